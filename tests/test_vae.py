"""Latent spaces: networks, equations, what each step moves, and what is saved."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit

import architectures
import metrics_latent
from datasets import clustering_images
from datasets.events import make_events
from my_generator import straight_lines
from vae import decoders, discriminators, encoders, my_dataset_with_hint
from vae import lib as models

SHAPE = (12, 8, 1)
N_LATENT = 3


def as_numpy(values):
    return ops.convert_to_numpy(values)


def small(variational=True, n_hints=(0, 0), seed=0):
    keras.utils.set_random_seed(seed)
    options = {"n_latent": N_LATENT, "n_hidden": 16}
    encoder = encoders.small_encoder(
        SHAPE, filters=(4, 6), variational=variational, n_hints=n_hints[0], **options
    )
    decoder = decoders.small_decoder(SHAPE, filters=(6, 4), n_hints=n_hints[1], **options)
    return encoder, decoder


def bars(n, seed=0):
    """Images of one lit row each, (n, *SHAPE) uint8."""
    rows = np.random.default_rng(seed).integers(0, SHAPE[0], n)
    image = np.zeros((n, *SHAPE), np.uint8)
    image[np.arange(n), rows] = 1
    return image


def batches_of(image, size=16):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((image, {"cells": image})).batch(size)


def adam(rate=1e-3):
    return keras.optimizers.Adam(rate)


def build(kind, run_eagerly=True, **options):
    """A compiled model of each kind; to make a graph costs more than a few steps do."""
    encoder, decoder = small(variational=kind != "adversarial")
    if kind == "variational":
        model = models.VariationalAutoencoder(encoder, decoder, seed=1, **options)
        model.compile(adam(), run_eagerly=run_eagerly)
    elif kind == "gan":
        discriminator = discriminators.image_discriminator(SHAPE, (4, 4), 8)
        model = models.VaeGan(encoder, decoder, discriminator, seed=1, **options)
        model.compile(adam(), adam(), adam(), run_eagerly=run_eagerly)
    elif kind == "adversarial":
        discriminator = discriminators.latent_discriminator(N_LATENT, (8,))
        model = models.AdversarialAutoencoder(encoder, decoder, discriminator, seed=1, **options)
        model.compile(adam(), adam(), adam(), run_eagerly=run_eagerly)
    else:
        to_code, from_code = models.parts_of(models.copy_network(encoder, decoder))
        width = np.ones(N_LATENT, np.float32)
        mover = models.code_mover(np.zeros(N_LATENT, np.float32), width, (8,))
        model = models.LatentRemoval(to_code, mover, from_code, width)
        model.compile(adam(), on_cells=costs_of_cells, run_eagerly=run_eagerly)
    return model


def costs_of_cells(answer, logits):
    return models.cross_entropy(ops.maximum(answer, 0), logits)


KINDS = ("variational", "gan", "adversarial", "removal")


def weights_of(model):
    return [as_numpy(weight).copy() for weight in model.weights]


# Equations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mean, log_variance, expected", [(0, 0, 0), (1, 0, 0.5), (0, 1, (np.e - 2) / 2), (-2, 0, 2)]
)
def test_divergence_of_single_dimensions_by_hand(mean, log_variance, expected):
    assert float(models.divergence(float(mean), float(log_variance))) == pytest.approx(
        expected, abs=1e-6
    )


def test_divergence_is_the_mean_log_ratio_of_the_two_densities():
    rng = np.random.default_rng(0)
    mean, log_variance = 0.7, -1.2
    z = mean + np.exp(log_variance / 2) * rng.normal(size=400_000)
    log_ratio = -((z - mean) ** 2) / (2 * np.exp(log_variance)) - log_variance / 2 + z**2 / 2
    assert float(models.divergence(mean, log_variance)) == pytest.approx(log_ratio.mean(), abs=0.01)


def test_samples_have_the_mean_and_variance_that_were_asked_for_and_differ_at_each_call():
    mean = np.tile([[-1.0, 0.0, 3.0]], (20_000, 1)).astype(np.float32)
    log_variance = np.tile(np.log([[0.25, 1.0, 4.0]]), (20_000, 1)).astype(np.float32)
    sampling = models.Sampling(seed=4)
    drawn = as_numpy(sampling([mean, log_variance]))
    np.testing.assert_allclose(drawn.mean(0), [-1, 0, 3], atol=0.06)
    np.testing.assert_allclose(drawn.var(0), [0.25, 1, 4], rtol=0.05)
    assert (as_numpy(sampling([mean, log_variance])) != drawn).mean() > 0.99
    np.testing.assert_array_equal(as_numpy(models.Sampling(seed=4)([mean, log_variance])), drawn)


def test_gradients_pass_through_samples_to_mean_and_width():
    import tensorflow as tf

    mean, log_variance = tf.Variable([[0.5, -0.5]]), tf.Variable([[0.0, 2.0]])
    with tf.GradientTape() as tape:
        drawn = models.Sampling(seed=0)([mean, log_variance])
        total = tf.reduce_sum(drawn)
    of_mean, of_log_variance = tape.gradient(total, [mean, log_variance])
    np.testing.assert_allclose(of_mean, [[1, 1]])
    np.testing.assert_allclose(of_log_variance, (drawn - mean) / 2, rtol=1e-5)


def test_costs_of_a_copy_are_summed_over_cells_and_lit_ones_may_count_more():
    rng = np.random.default_rng(1)
    image, logits = (
        rng.integers(0, 2, (5, *SHAPE)),
        rng.normal(size=(5, *SHAPE)).astype(np.float32) * 3,
    )
    entropy = -np.where(image, np.log(expit(logits)), np.log(expit(-logits)))
    np.testing.assert_allclose(
        models.cross_entropy(image, logits), entropy.sum((1, 2, 3)), rtol=1e-5
    )
    weighted = (entropy * np.where(image, 7, 1)).sum((1, 2, 3))
    np.testing.assert_allclose(models.cross_entropy(image, logits, 7.0), weighted, rtol=1e-5)
    dark = np.zeros((1, *SHAPE), np.uint8)  # an event without hits
    np.testing.assert_allclose(
        models.cross_entropy(dark, np.zeros((1, *SHAPE))), [96 * np.log(2)], rtol=1e-5
    )


def test_free_bits_leave_a_dimension_alone_that_holds_less():
    import tensorflow as tf

    divergences = tf.Variable([[0.0, 2.0], [0.1, 4.0]])
    with tf.GradientTape() as tape:
        total = models.with_free_bits(divergences, 0.1)
    assert float(total) == pytest.approx(0.1 + 3.0)
    np.testing.assert_allclose(tape.gradient(total, divergences), [[0, 0.5], [0, 0.5]])


def test_cells_that_a_discriminator_sees_are_lit_or_dark_with_the_gradients_of_probabilities():
    import tensorflow as tf

    logits = tf.Variable([-3.0, -0.1, 0.2, 5.0])
    with tf.GradientTape() as tape:
        lit = models.lit_cells(logits)
    np.testing.assert_allclose(lit, [0, 0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(
        tape.gradient(lit, logits), expit(logits) * expit(-logits.numpy()), rtol=1e-4
    )


# Networks ---------------------------------------------------------------------------------------------------


def test_defaults_are_the_published_networks():
    assert encoders.first_encoder().count_params() == 6_240_262
    assert decoders.first_decoder().count_params() == 1_607_713
    second = encoders.second_encoder()
    assert second.get_layer("mean").input.shape == (None, 87)
    assert second.get_layer("mean").activation is keras.activations.tanh
    for encoder, decoder in (
        (encoders.first_encoder(), decoders.first_decoder()),
        (second, decoders.second_decoder()),
    ):
        copied = models.copy_network(encoder, decoder)(np.zeros((1, 116, 12, 1), np.uint8))
        assert copied["cells"].shape == (1, 116, 12, 1)


def test_the_first_encoder_sees_the_cells_of_the_tracker_and_no_padding():
    keras.utils.set_random_seed(0)
    encoder = encoders.first_encoder()
    image = np.zeros((2, 116, 12, 1), np.float32)
    image[1, :2] = image[1, -1:] = image[1, :, :2] = image[1, :, -1:] = 1
    mean = as_numpy(encoder({"padded": image})["mean"])
    np.testing.assert_array_equal(mean[0], mean[1])
    image[1, 2, 10] = 1
    assert (as_numpy(encoder({"padded": image})["mean"])[1] != mean[0]).any()


def test_a_hint_reaches_what_it_was_given_to():
    image = bars(4)
    hints = np.eye(4, dtype=np.float32)
    for n_hints in ((4, 0), (0, 4)):
        network = models.copy_network(*small(n_hints=n_hints))
        assert {tensor.name for tensor in network.inputs} == {"padded", "hint"}
        one = as_numpy(network({"padded": image, "hint": hints})["cells"])
        other = as_numpy(network({"padded": image, "hint": hints[::-1]})["cells"])
        assert (one != other).any()


# What the steps move ----------------------------------------------------------------------------------------


def test_one_step_of_a_vae_gan_moves_each_network_by_its_own_loss_alone():
    import tensorflow as tf

    model, twin = build("gan", gamma=0.3), build("gan", gamma=0.3)
    model.compile(*[keras.optimizers.SGD(1.0) for _ in model.NETWORKS])
    image = bars(16).astype(np.float32)
    with tf.GradientTape(persistent=True) as tape:  # the paper's equations, with the same noise
        seen = twin.encoder({"padded": image})
        z = twin.sampling([seen["mean"], seen["log_variance"]])
        lit = [
            models.lit_cells(twin.decoder({"latent": code})["cells"])
            for code in (z, twin._prior(z))
        ]
        said = [twin.discriminator(x) for x in (image, *lit)]
        prior = tf.reduce_mean(
            tf.reduce_sum(models.divergence(seen["mean"], seen["log_variance"]), 1)
        )
        squares = tf.square(said[0]["features"] - said[1]["features"])
        features = tf.reduce_mean(tf.reduce_sum(squares, 1)) / 2
        knows = tf.reduce_mean(
            sum(
                tf.math.softplus(sign * answer["real"])
                for sign, answer in zip((-1, 1, 1), said, strict=True)
            )
        )
        fooling = tf.reduce_mean(sum(tf.math.softplus(-answer["real"]) for answer in said[1:]))
        losses = {
            "encoder": prior + features,
            "decoder": 0.3 * features + fooling,
            "discriminator": knows,
        }
    model.train_step((image, {"cells": image}))
    for name, loss in losses.items():
        before = getattr(twin, name).trainable_variables
        after = getattr(model, name).trainable_variables
        for gradient, old, new in zip(tape.gradient(loss, before), before, after, strict=True):
            np.testing.assert_allclose(
                as_numpy(old) - as_numpy(new), gradient, rtol=1e-3, atol=2e-6
            )
    # which says something only where the losses that must not reach a network would move it
    assert any(
        np.abs(g).max() > 2e-5 for g in tape.gradient(fooling, twin.encoder.trainable_variables)
    )
    assert any(
        np.abs(g).max() > 1e-3
        for g in tape.gradient(features, twin.discriminator.trainable_variables)
    )


@pytest.mark.parametrize("frozen", ["encoder", "decoder", "discriminator"])
def test_a_vae_gan_steps_each_network_by_its_own_optimizer(frozen):
    model = build("gan")
    rates = {name: 0.0 if name == frozen else 1e-2 for name in model.NETWORKS}
    model.compile(*[adam(rates[name]) for name in model.NETWORKS], run_eagerly=True)
    before = {name: weights_of(getattr(model, name)) for name in model.NETWORKS}
    model.fit(batches_of(bars(16)), verbose=0)
    for name in model.NETWORKS:
        after = weights_of(getattr(model, name))
        same = [np.array_equal(a, b) for a, b in zip(before[name], after, strict=True)]
        assert all(same) if name == frozen else not any(same[:1])


def test_regularisation_of_an_adversarial_autoencoder_never_moves_the_decoder():
    model = build("adversarial")
    model.compile(adam(0.0), adam(1e-2), adam(0.0), run_eagerly=True)  # no copying, no telling
    before = {name: weights_of(getattr(model, name)) for name in model.NETWORKS}
    model.fit(batches_of(bars(16)), verbose=0)
    moved = {
        name: any(
            not np.array_equal(a, b)
            for a, b in zip(before[name], weights_of(getattr(model, name)), strict=True)
        )
        for name in model.NETWORKS
    }
    assert moved == {"encoder": True, "decoder": False, "discriminator": False}


def test_removal_in_latent_space_moves_neither_encoder_nor_decoder():
    model = build("removal")
    before = {name: weights_of(getattr(model, name)) for name in model.NETWORKS}
    model.fit(batches_of(bars(16)), verbose=0)
    for name in model.NETWORKS:
        same = [
            np.array_equal(a, b)
            for a, b in zip(before[name], weights_of(getattr(model, name)), strict=True)
        ]
        assert all(same) == (name != "mover")


def test_latent_removal_learns_by_heart_what_to_take_away():
    keras.utils.set_random_seed(3)
    encoder, decoder = small()
    to_code, from_code = models.parts_of(models.copy_network(encoder, decoder))
    image = bars(8, seed=2) | bars(8, seed=3)
    answer = np.where(image, bars(8, seed=3), -1).astype(np.int8)
    codes = to_code.predict(image, verbose=0)
    width = codes.std(0)
    model = models.LatentRemoval(
        to_code, models.code_mover(codes.mean(0), width, (32,)), from_code, width, cell_weight=0.0
    )
    model.compile(adam(1e-2), on_cells=costs_of_cells)
    before = model.evaluate(image, {"cells": answer}, batch_size=8, verbose=0, return_dict=True)
    again = (150, 1, 1, 1)
    model.fit(
        np.tile(image, again),
        {"cells": np.tile(answer, again)},
        batch_size=8,
        shuffle=False,
        verbose=0,
    )
    after = model.evaluate(image, {"cells": answer}, batch_size=8, verbose=0, return_dict=True)
    assert after["code"] < 0.05 * before["code"]
    wanted = to_code.predict((answer > 0).astype(np.uint8), verbose=0)
    np.testing.assert_allclose(
        model.mover.predict(codes, verbose=0), wanted, atol=0.5 * width.max()
    )


def test_a_mean_over_cells_lets_the_posteriors_collapse_and_a_sum_does_not():
    image = bars(256)
    active = {}
    for over_cells in ("sum", "mean"):
        model = build("variational", over_cells=over_cells)
        model.compile(adam(1e-2))
        model.fit(batches_of(image, 32), epochs=25, verbose=0)
        mean = model.encoder.predict({"padded": image}, verbose=0)["mean"]
        active[over_cells] = metrics_latent.spread(mean)["active_units"]
    assert active["mean"] == 0 and active["sum"] >= 2


def test_validation_is_the_negative_bound_whatever_the_training_weighs():
    model = build("variational", hit_weight=5.0, free_bits=3.0, warm_up_steps=100)
    image = bars(32)
    found = model.evaluate(batches_of(image, 32), return_dict=True, verbose=0)
    seen = model.encoder.predict({"padded": image}, verbose=0)
    mean, log_variance = seen["mean"], seen["log_variance"]
    expected = (0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)).sum(1).mean()
    assert found["divergence"] == pytest.approx(expected, rel=1e-4)
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["divergence"], rel=1e-5)


# Saving, resuming, several devices --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_trained_is_saved_and_says_the_same(kind, tmp_path):
    model = build(kind)
    image = bars(16)
    model.fit(batches_of(image), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    said = as_numpy(model(image.astype(np.float32))["cells"])
    np.testing.assert_allclose(as_numpy(loaded(image.astype(np.float32))["cells"]), said, atol=1e-6)
    options = ("seed", "hit_weight", "free_bits", "gamma", "width", "over_cells")
    assert {name: getattr(loaded, name, None) for name in options} == {
        name: getattr(model, name, None) for name in options
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_resumes_with_the_states_of_all_optimizers(kind, tmp_path):
    image = bars(32)
    straight = build(kind)
    straight.fit(batches_of(image), epochs=2, verbose=0)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / kind, delete_checkpoint=False)

    build(kind).fit(batches_of(image), epochs=1, verbose=0, callbacks=[backup()])
    resumed = build(kind)
    resumed.fit(batches_of(image), epochs=2, verbose=0, callbacks=[backup()])
    for own, expected in zip(weights_of(resumed), weights_of(straight), strict=True):
        np.testing.assert_allclose(own, expected, atol=2e-6)
    names = [
        name for name in vars(straight) if name.endswith("optimizer") and not name.startswith("_")
    ]
    assert len(names) == {"gan": 4, "adversarial": 3}.get(kind, 1)
    for name in names:
        for own, expected in zip(
            getattr(resumed, name).variables, getattr(straight, name).variables, strict=True
        ):
            np.testing.assert_allclose(as_numpy(own), as_numpy(expected), atol=1e-5)
        assert int(getattr(resumed, name).iterations) == 4


def test_a_saved_copy_network_gives_its_parts_back(tmp_path):
    encoder, decoder = small()
    network = models.copy_network(encoder, decoder)
    network.save(tmp_path / "model.keras")
    loaded = architectures.load(tmp_path / "model.keras")
    image = bars(5).astype(np.float32)
    to_code, from_code = models.parts_of(loaded)
    code = as_numpy(encoder({"padded": image})["mean"])
    np.testing.assert_allclose(as_numpy(to_code(image)), code, atol=1e-6)
    np.testing.assert_allclose(
        as_numpy(from_code(code)), as_numpy(network(image)["cells"]), atol=1e-5
    )
    np.testing.assert_allclose(
        as_numpy(loaded(image)["cells"]), as_numpy(network(image)["cells"]), atol=1e-6
    )


def test_a_plain_autoencoder_is_taken_apart_at_its_code():
    from architectures.matteo import encoder_decoder

    model = encoder_decoder((12, 8, 1), 1, (4, 6), skip_connections=False, n_code=5)
    to_code, from_code = models.parts_of(model)
    image = bars(3).astype(np.float32)
    code = to_code(image)
    assert code.shape == (3, 5)
    np.testing.assert_allclose(
        as_numpy(from_code(code)), as_numpy(model(image)["cells"]), atol=1e-5
    )
    with pytest.raises(ValueError, match="has no short code"):
        models.parts_of(encoder_decoder((12, 8, 1), 1, (4, 6)))
    with pytest.raises(ValueError, match="takes a hint"):
        models.parts_of(models.copy_network(*small(n_hints=(0, 4))))


PROGRAM = """
import sys
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
import test_vae
from vae import lib as models

# without noise, of which two devices draw other samples than one
models.Sampling.call = lambda self, inputs: inputs[0]
models._Autoencoder._prior = lambda self, like: keras.ops.ones_like(like)
kind = sys.argv[2]
image = test_vae.bars(32)
found = []
for devices in (["/cpu:0"], ["/cpu:0", "/cpu:1"]):
    strategy = tf.distribute.MirroredStrategy(devices)
    assert strategy.num_replicas_in_sync == len(devices)
    with strategy.scope():
        model = test_vae.build(kind, run_eagerly=False)
    history = model.fit(test_vae.batches_of(image, 16), epochs=2, verbose=0).history
    found.append((test_vae.weights_of(model), history))
(one, first), (two, second) = found
for a, b in zip(one, two):
    np.testing.assert_allclose(a, b, atol=5e-5)
for name in first:
    np.testing.assert_allclose(first[name], second[name], rtol=1e-3, atol=1e-4)
print("same")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_two_devices_train_as_one_does(kind):
    """A process each: strategies of several devices, one after another, get into each other's way."""
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.stdout.strip().endswith("same"), done.stderr[-3000:]


# Hints and figures of merit ---------------------------------------------------------------------------------


def test_a_hint_is_the_true_number_of_tracks():
    hits = {"layer": [0, 0, 1], "column": [5, 9, 9], "track": [0, 1, 1]}
    events = make_events(hits, [0, 0, 3], {"side": [1, 1]}, [0, 0, 2], {"n_tracks": [0, 2]})
    np.testing.assert_array_equal(clustering_images.hint(events), [[0, 0, 0, 0], [0, 1, 0, 0]])
    inputs = my_dataset_with_hint.inputs(events)
    assert inputs["padded"].shape == (2, 116, 12, 1) and inputs["padded"].sum() == 3
    np.testing.assert_array_equal(my_dataset_with_hint.labels(events)["cells"], inputs["padded"])


def test_events_of_more_tracks_than_hints_are_refused():
    events = straight_lines.generate(4, (5,), seed=0)
    with pytest.raises(ValueError, match="here: event 0 has 5 tracks; hints are of 4 at most"):
        my_dataset_with_hint.task().check(events, "here")


def test_samples_of_the_prior_pass_the_tests_against_it_and_others_do_not():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(2000, 4))
    right = metrics_latent.against_prior(samples)
    assert right["dimensions"]["p"] > 0.01 and abs(right["told_apart"]["accuracy"] - 0.5) < 0.04
    ring = (
        samples / np.linalg.norm(samples, axis=1, keepdims=True) * 2
    )  # unit variances, another joint distribution
    assert metrics_latent.against_prior(ring)["told_apart"]["accuracy"] > 0.7
    shifted = metrics_latent.against_prior(samples + [0, 0, 0.3, 0])
    assert shifted["dimensions"]["p"] < 1e-6
    assert metrics_latent.moments(samples + [0, 0, 0.3, 0])["furthest_mean"] == pytest.approx(
        0.3, abs=0.07
    )


def test_a_walk_goes_along_the_dimensions_that_vary_most():
    mean = np.random.default_rng(0).normal(size=(500, 3)) * [0.001, 2, 1] + [5, 0, 0]
    points, dimensions = metrics_latent.walk(mean, mean[3], (-2, 0, 2), 2)
    assert dimensions.tolist() == [1, 2] and points.shape == (2, 3, 3)
    np.testing.assert_allclose(points[:, 1], np.tile(mean[3], (2, 1)), atol=1e-5)
    np.testing.assert_allclose(points[0, 2] - points[0, 0], [0, 4 * mean[:, 1].std(), 0], atol=1e-5)
    assert metrics_latent.spread(mean)["active_units"] == 2


def test_the_task_without_hint_is_that_of_copies():
    events = straight_lines.generate(4, seed=0)
    np.testing.assert_array_equal(
        my_dataset_with_hint.inputs(events)["padded"], clustering_images.task("copy").inputs(events)
    )
