"""The GAN that removes a track: its equations, its steps, its state, and the scripts."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.special import expit

import architectures
import inference
import lib
import metrics
from architectures import dcgan, discriminator, gan
from architectures.gan import RemovalGAN
from architectures.generator import left_over, removal_generator
from capsule_lib import LogOdds
from datasets import clustering_images
from my_generator import straight_lines
from scripts import benchmark_clustering, gan_test, testing_clustering
from scripts import gan as training

SEEDS = st.integers(0, 2**32 - 1)
SHAPE = (12, 12, 1)
TINY = {"filters": (3, 4), "dilations": (1, 2)}
RUN = [
    *["--filters", "2", "2", "2", "--epoch-events", "16", "--batch-size", "8", "--val-events", "8"],
    *["--test-events", "12", "--generator", "data", "--tracks", "2"],
]


def tiny_gan(seed=0, questions=False, spectral_normalization=False, dropout=0.2, **options):
    keras.utils.set_random_seed(seed)
    generator = removal_generator(SHAPE, filters=(3, 4), dropout=dropout)
    of_truth = discriminator.small_discriminator(
        SHAPE, True, questions, spectral_normalization, dropout=dropout, **TINY
    )
    model = RemovalGAN(generator, of_truth, seed=seed, **options)
    model.compile(keras.optimizers.Adam(1e-2, beta_1=0.5), keras.optimizers.Adam(1e-2, beta_1=0.5))
    return model


def images_and_labels(n_events=8, seed=0):
    """Random images, and labels of which of their cells stay; the first event is dark."""
    rng = np.random.default_rng(seed)
    image = (rng.random((n_events, *SHAPE)) < 0.2).astype(np.uint8)
    image[0] = 0
    stays = rng.integers(0, 2, image.shape)
    return image, {"cells": np.where(image > 0, stays, -1).astype(np.int8)}


def weights_of(model):
    return [np.array(weight) for weight in model.get_weights()]


def cross_entropy(target, logits):
    p = expit(logits.astype(np.float64))
    return -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()


# Equations --------------------------------------------------------------------------------------------------


@given(SEEDS, st.sampled_from([0.0, 0.1, 0.4]))
@settings(max_examples=20, deadline=None)
def test_losses_are_the_cross_entropies_of_the_paper(seed, smoothing):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(2, 6, 1)).astype(np.float32) * 3
    expected = cross_entropy(1 - smoothing, real) + cross_entropy(0, fake)
    np.testing.assert_allclose(gan.discriminator_loss(real, fake, smoothing), expected, rtol=1e-5)
    np.testing.assert_allclose(gan.entropy(1.0, fake), np.log1p(np.exp(-fake)).mean(), rtol=1e-5)
    weight = np.array([1, 0, 1, 1, 0, 0], np.float32)[:, None]
    label = rng.integers(0, 2, (6, 1)).astype(np.float32)
    asked = cross_entropy(label[weight > 0], fake[weight > 0]) / 2
    np.testing.assert_allclose(gan.entropy(label, fake, weight), asked, rtol=1e-5)


def test_a_smoothed_discriminator_is_best_where_it_says_so_and_fake_stays_0():
    import tensorflow as tf

    best = tf.Variable([[np.log(9.0)]], dtype="float32")  # the logit of 0.9
    fake = tf.Variable([[-9.0]], dtype="float32")
    with tf.GradientTape() as tape:
        loss = gan.discriminator_loss(best, fake, 0.1)
    of_real, of_fake = tape.gradient(loss, [best, fake])
    np.testing.assert_allclose(of_real, 0, atol=1e-6)
    np.testing.assert_allclose(of_fake, expit(-9.0), rtol=1e-4)


def test_spectral_normalisation_divides_a_kernel_by_its_largest_singular_value():
    layer = keras.layers.SpectralNormalization(keras.layers.Conv2D(6, 3), power_iterations=1)
    layer.build((None, 8, 8, 2))
    kernel = np.random.default_rng(4).normal(size=(3, 3, 2, 6)).astype(np.float32)
    normalised = []
    for factor in (1, 7):
        layer.layer.kernel.assign(factor * kernel)
        for _ in range(60):  # one iteration a call, as in a training
            layer(np.zeros((1, 8, 8, 2), np.float32), training=True)
        normalised.append(ops.convert_to_numpy(layer.layer.kernel))
    sigma = np.linalg.svd(kernel.reshape(-1, 6))[1][0]
    np.testing.assert_allclose(normalised[0], kernel / sigma, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(normalised[1], normalised[0], rtol=1e-3, atol=1e-5)


def test_the_log_odds_of_two_capsules_worked_by_hand():
    lengths = np.array([[0.9, 0.1, 0.2, 0.2], [0.0, 0.5, 0.3, 0.6]], np.float32)
    logits = ops.convert_to_numpy(LogOdds()(lengths))
    np.testing.assert_allclose(logits[0], [np.log(9), 0], atol=1e-4)
    np.testing.assert_allclose(logits[1, 1], np.log(0.5), rtol=1e-4)
    assert np.isfinite(logits).all() and logits[1, 0] < -10


# Networks ---------------------------------------------------------------------------------------------------


def test_defaults_are_the_published_networks():
    model = discriminator.published_discriminator()
    assert model.count_params() == 3_170_817
    assert {name: tensor.shape for name, tensor in model.input.items()} == {
        "event": (None, 116, 12, 1),
        "clustered": (None, 116, 12, 1),
    }
    assert model.output["real"].shape == (None, 1)
    assert removal_generator().count_params() == 471_233


@pytest.mark.parametrize("access_truth", [True, False])
@pytest.mark.parametrize("questions", [True, False])
@pytest.mark.parametrize("name", discriminator.BUILDERS)
def test_a_discriminator_says_the_same_after_it_was_saved(name, questions, access_truth, tmp_path):
    keras.utils.set_random_seed(0)
    options = {"access_truth": access_truth, "questions": questions, "filters": (2, 3, 4)}
    if name == "published":
        options["n_hidden"] = (5,)
    model = discriminator.BUILDERS[name](**options)
    assert list(model.input) == (["event", "clustered"] if access_truth else ["clustered"])
    rng = np.random.default_rng(0)
    inputs = {name: rng.integers(0, 2, (3, 116, 12, 1)).astype(np.float32) for name in model.input}
    inputs["clustered"][0] = 0  # nothing is left of an event of one track
    said = model(inputs)
    assert list(said) == list(discriminator.ANSWERS if questions else ["real"])
    model.save(tmp_path / "model.keras")
    again = architectures.load(tmp_path / "model.keras")(inputs)
    for answer, logits in said.items():
        assert logits.shape == (3, 1) and np.isfinite(logits).all()
        np.testing.assert_array_equal(logits, again[answer])


def test_spectral_normalisation_is_around_every_kernel_of_a_discriminator():
    for build in (discriminator.published_discriminator, discriminator.small_discriminator):
        plain = build(filters=(2, 3, 4), questions=True)
        model = build(filters=(2, 3, 4), questions=True, spectral_normalization=True)
        n_kernels = sum(hasattr(layer, "kernel") for layer in plain.layers)
        wrapped = [
            layer for layer in model.layers if isinstance(layer, keras.layers.SpectralNormalization)
        ]
        assert len(wrapped) == n_kernels and not any(
            type(x) is keras.layers.Conv2D for x in model.layers
        )


def test_no_network_of_a_removal_has_batch_normalisation():
    networks = [removal_generator(filters=(2, 3, 4))]
    networks += [build(filters=(2, 3, 4)) for build in discriminator.BUILDERS.values()]
    layers = [layer for network in networks for layer in network.layers]
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_a_generator_may_only_remove(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 2, (2, *SHAPE)).astype(np.uint8)
    logits = rng.normal(size=image.shape).astype(np.float32) * 50
    left = ops.convert_to_numpy(left_over(image, logits))
    np.testing.assert_allclose(left, image * expit(np.clip(logits, -6, 6)), rtol=1e-5, atol=1e-30)
    assert (left[image == 0] == 0).all() and (left <= image).all()


def test_a_generator_that_is_certain_can_still_be_moved():
    import tensorflow as tf

    logits = tf.Variable([[[[50.0], [-50.0], [1.0], [50.0]]]])
    with tf.GradientTape() as tape:
        left = left_over(np.array([[[[1], [1], [1], [0]]]], np.uint8), logits)
    at_limit = expit(6.0) * expit(-6.0)
    expected = [at_limit, at_limit, expit(1.0) * expit(-1.0), 0]
    np.testing.assert_allclose(np.ravel(tape.gradient(left, logits)), expected, rtol=1e-4)


# Damaged truth ----------------------------------------------------------------------------------------------


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_what_is_asked_of_damaged_truth_is_so(seed):
    image, labels = images_and_labels(12, seed)
    truth = (labels["cells"] > 0).astype(np.float32)
    truth[1] = image[1]  # nothing goes
    truth[2] = 0  # nothing stays
    event = image.astype(np.float32)
    damaged, labels, weights = gan.corrupt(event, truth, keras.random.SeedGenerator(seed % 1000))
    damaged = ops.convert_to_numpy(damaged)
    assert set(np.unique(damaged)) <= {0, 1} and (damaged <= event).all()
    goes = event - truth
    n_keep = truth.sum((1, 2))
    n_go = goes.sum((1, 2))
    missing = (truth * (1 - damaged)).sum((1, 2)) / np.maximum(n_keep, 1)
    present = (goes * damaged).sum((1, 2)) / np.maximum(n_go, 1)
    np.testing.assert_array_equal(labels["missing"], missing > 0.5)
    np.testing.assert_array_equal(labels["present"], present > 0.5)
    np.testing.assert_array_equal(weights["missing"], n_keep > 0)
    np.testing.assert_array_equal(weights["present"], n_go > 0)
    assert weights["present"][0] == weights["present"][1] == weights["missing"][2] == 0


def test_damage_is_of_all_sizes_and_on_either_side_of_significant():
    line = np.zeros((2000, 12, 12, 1), np.float32)
    line[:, :, 3] = 1
    events = np.concatenate([line, line], 2)
    truth = np.concatenate([line, 0 * line], 2)
    damaged, labels, _ = gan.corrupt(events, truth, keras.random.SeedGenerator(1))
    damaged = ops.convert_to_numpy(damaged)
    kept = (damaged * truth).sum((1, 2, 3)) / 12
    assert set(np.round(12 * kept)) == set(range(13))
    for label in labels.values():
        assert 0.4 < np.mean(label) < 0.6
    runs = np.count_nonzero(np.diff(damaged[:, :, 3, 0], axis=1), axis=1)
    cut = (runs == 1) & (kept > 0.2) & (kept < 0.8)
    assert (
        0.25 < cut.sum() / np.count_nonzero((kept > 0.2) & (kept < 0.8)) < 0.75
    )  # half are cut off in one place


# Steps ------------------------------------------------------------------------------------------------------


def test_a_step_trains_first_the_discriminator_then_the_generator():
    model = tiny_gan(noise=0.0, dropout=0.0, smoothing=0.1, hit_weight=0.5, adversarial_weight=2.0)
    image, labels = images_and_labels()
    event = image.astype(np.float32)
    truth = (labels["cells"] > 0).astype(np.float32)
    logits = ops.convert_to_numpy(model(event)["cells"])
    seen = event * expit(logits)
    of_real = ops.convert_to_numpy(
        model.discriminator({"event": event, "clustered": truth})["real"]
    )
    of_fake = ops.convert_to_numpy(model.discriminator({"event": event, "clustered": seen})["real"])
    before = [weights_of(model.discriminator), weights_of(model.generator)]
    found = {name: float(value) for name, value in model.train_step((image, labels)).items()}
    after = [weights_of(model.discriminator), weights_of(model.generator)]
    for one, other in zip(before, after, strict=True):
        assert any((a != b).any() for a, b in zip(one, other, strict=True))
    expected = cross_entropy(0.9, of_real) + cross_entropy(0, of_fake)
    assert found["discriminator_loss"] == pytest.approx(expected, rel=1e-4)
    of_fake = ops.convert_to_numpy(model.discriminator({"event": event, "clustered": seen})["real"])
    assert found["adversarial_loss"] == pytest.approx(cross_entropy(1, of_fake), rel=1e-4)
    hit_losses = [
        cross_entropy(answer[answer >= 0], said[answer >= 0]) if (answer >= 0).any() else 0
        for answer, said in zip(labels["cells"], logits, strict=True)
    ]
    assert found["hit_loss"] == pytest.approx(np.mean(hit_losses), rel=1e-4)
    total = 0.5 * found["hit_loss"] + 2 * found["adversarial_loss"]
    assert found["generator_loss"] == pytest.approx(total, rel=1e-5)


def test_noise_falls_to_nothing_and_moves_what_the_discriminator_sees(monkeypatch):
    model = tiny_gan(noise=0.1, noise_steps=4)
    image, labels = images_and_labels()
    event = image.astype(np.float32)
    quiet, again, loud = (
        np.array(model.discriminate(event, [event], False, noise)["real"]) for noise in (0, 0, 1)
    )
    np.testing.assert_array_equal(quiet, again)
    assert (quiet != loud).all()
    sizes = []
    usual = model.discriminator_losses
    monkeypatch.setattr(
        model, "discriminator_losses", lambda *args: sizes.append(float(args[-1])) or usual(*args)
    )
    for _ in range(6):
        model.train_step((image, labels))
    np.testing.assert_allclose(sizes, [0.1, 0.075, 0.05, 0.025, 0, 0], rtol=1e-5, atol=1e-8)


def test_a_generator_waits_until_the_discriminator_has_its_head_start():
    model = tiny_gan(hit_weight=0.0, head_start=2)
    image, labels = images_and_labels()
    weights = [weights_of(model.generator)]
    for _ in range(3):
        before = weights_of(model.discriminator)
        model.train_step((image, labels))
        assert any(
            (a != b).any() for a, b in zip(before, weights_of(model.discriminator), strict=True)
        )
        weights.append(weights_of(model.generator))
    same = [
        all((a == b).all() for a, b in zip(weights[i], weights[i + 1], strict=True))
        for i in range(3)
    ]
    assert same == [True, True, False]


@pytest.mark.slow
def test_a_generator_learns_from_the_discriminator_alone():
    image = np.zeros((64, *SHAPE), np.uint8)
    image[:, 2] = image[:, 9] = 1
    answer = np.where(image > 0, 0, -1).astype(np.int8)
    answer[:, 9][image[:, 9] > 0] = 1  # the left line goes
    model = tiny_gan(questions=True, hit_weight=0.0, noise=0.0, dropout=0.0, head_start=40)
    model.compile(keras.optimizers.Adam(3e-3, beta_1=0.5), keras.optimizers.Adam(1e-2, beta_1=0.5))
    fitted = model.fit(image, {"cells": answer}, batch_size=64, epochs=110, verbose=0).history
    assert fitted["question_loss"][-1] < 0.3 * fitted["question_loss"][0]
    found = model.evaluate(image, {"cells": answer}, verbose=0, return_dict=True)
    assert found["hit_accuracy"] > 0.9


@pytest.mark.parametrize("empty", ["dark", "full"])
def test_events_without_hits_or_full_of_them_give_finite_losses(empty):
    model = tiny_gan(questions=True, hit_weight=1.0)
    image = np.full((4, *SHAPE), empty == "full", np.uint8)
    labels = {"cells": np.where(image > 0, 1, -1).astype(np.int8)}  # noise only: all stays
    found = model.train_step((image, labels))
    assert all(np.isfinite(float(value)) for value in found.values())
    assert all(np.isfinite(weight).all() for weight in weights_of(model))


def test_a_whole_gan_goes_on_from_a_file_as_if_nothing_had_been(tmp_path):
    model = tiny_gan(
        hit_weight=0.3, spectral_normalization=True, noise=0.0, dropout=0.0
    )  # nothing random
    image, labels = images_and_labels()
    for _ in range(3):
        model.train_step((image, labels))
    model.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    np.testing.assert_array_equal(loaded(image)["cells"], model(image)["cells"])
    for name in ("hit_weight", "adversarial_weight", "smoothing", "noise", "noise_steps"):
        assert getattr(loaded, name) == getattr(model, name)
    assert int(loaded.optimizer.iterations) == int(loaded.discriminator_optimizer.iterations) == 3
    for each in (model, loaded):
        for _ in range(2):
            each.train_step((image, labels))
    for one, other in zip(weights_of(model), weights_of(loaded), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_same_seed_trains_the_same_and_another_seed_does_not():
    image, labels = images_and_labels()
    trained = []
    for seed in (3, 3, 4):
        model = tiny_gan(0, questions=True)
        model.random = keras.random.SeedGenerator(seed)
        model.train_step((image, labels))
        trained.append(
            np.concatenate([weight.ravel() for weight in weights_of(model.discriminator)])
        )
    np.testing.assert_array_equal(trained[0], trained[1])
    assert (trained[0] != trained[2]).any()


# Scripts ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "gan"
    flags = ["--questions", "--hit-weight", "0.5", "--spectral-normalization", "--epochs", "1"]
    return folder, training.main(["--out", str(folder), *RUN, *flags])


def test_the_model_of_a_run_is_its_generator(run, capsys):
    folder, scores = run
    assert inference.answers_of_images(inference.load(folder)) == "removal"
    card = lib.load_card(folder)
    assert card["parameters"] == lib.load_model(folder).count_params()
    assert card["metrics"]["test"]["cells"] == json.loads(
        json.dumps(lib._finite(scores["test"]["cells"]))
    )
    whole = keras.models.load_model(folder / "gan.keras")
    events = straight_lines.generate(5, (2,), seed=1)
    image = clustering_images.task("removal").inputs(events)
    said = lib.load_model(folder)(image)["cells"]
    np.testing.assert_array_equal(whole(image)["cells"], said)
    (row,) = (
        name
        for name in benchmark_clustering.main(
            [
                "--presets",
                "data",
                "--events",
                "6",
                "--finders",
                "connected",
                "--image-models",
                str(folder),
            ]
        )["samples"]["data"]["finders"]
        if name.endswith("number given")
    )
    assert str(folder) in row


def test_a_run_is_tested_on_files_as_others_are(run, toy_file, tmp_path):
    folder, scores = run
    found = testing_clustering.main([str(folder), str(toy_file), "--text", "1"])
    assert found["n_events"] == 40 and found["threshold"] == scores["test"]["threshold"]


def test_the_questions_of_a_run_are_counted_as_the_figures_of_the_removal_are(run):
    folder, scores = run
    found = scores["test"]["discriminator"]
    for images in ("removals", "damaged"):
        truth, said = (np.array(found[images]["table"][which]) for which in ("truth", "said"))
        assert truth.shape == said.shape == (2, 2)
        assert truth.sum() == said.sum() == found[images]["missing"]["n_events"] == 12
    events = straight_lines.generate(30, (2,), seed=3)
    whole = keras.models.load_model(folder / "gan.keras")
    table = training.test_discriminator(whole, events, 0.5)["removals"]["table"]["truth"]
    offsets, keep, probability, _ = inference.cells_said(inference.load(folder), events)
    figures = metrics.removal_by_event(offsets, keep, probability >= 0.5)
    both = [figures["less_than_expected"] > 0.5, figures["more_than_expected"] > 0.5]
    expected = [[np.sum((both[0] == i) & (both[1] == j)) for j in (0, 1)] for i in (0, 1)]
    np.testing.assert_array_equal(table, expected)


def test_a_table_worked_by_hand():
    missing = np.array([True, True, True, False])
    present = np.array([False, False, True, True])
    assert training.table(missing, present) == [[0, 1], [2, 1]]


def test_an_interrupted_run_goes_on_with_the_states_of_both_optimizers(tmp_path, monkeypatch):
    def flags(name):
        return ["--out", str(tmp_path / name), *RUN, "--epochs", "2", "--noise", "0.05"]

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    usual = lib.callbacks
    monkeypatch.setattr(lib, "callbacks", lambda args: [*usual(args), Stop()])
    with pytest.raises(KeyboardInterrupt, match="interrupted after epoch 1"):
        training.main(flags("broken"))
    monkeypatch.undo()
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            model = self.model
            optimizers = (model.optimizer, model.discriminator_optimizer)
            moments = [float(ops.sum(ops.abs(o.variables[2]))) for o in optimizers]
            seen.append((epoch, [int(o.iterations) for o in optimizers], min(moments) > 0))

    monkeypatch.setattr(lib, "callbacks", lambda args: [*usual(args), Look()])
    training.main(flags("broken"))
    assert seen == [(1, [2, 2], True)]
    assert len(lib.read_history(tmp_path / "broken" / "history.csv")["hit_loss"]) == 2


def test_the_generator_starts_from_a_trained_removal_and_the_discriminator_anew(tmp_path):
    trained = []
    for start in ([], ["--start-from", str(tmp_path / "model.keras")]):
        keras.backend.clear_session()  # layers are found by their names
        keras.utils.set_random_seed(len(start))
        args = training.parse_args(
            ["--out", str(tmp_path / "run"), *RUN, "--discriminator", "capsule", *start]
        )
        model = training.build(args, 2)
        model.generator.save(tmp_path / "model.keras")
        trained.append(model)
    one, other = (weights_of(model.generator) for model in trained)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    one, other = (weights_of(model.discriminator)[0] for model in trained)
    assert (one != other).any()


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--hit-weight", "0", "--adversarial-weight", "0"], "nothing would be learned"),
        (["--hit-weight", "-1"], "--hit-weight -1.0: has to be 0 or more"),
        (["--smoothing", "0.7"], "--smoothing 0.7"),
        (["--head-start", "1"], "--head-start 1.0"),
        (["--precision", "mixed_float16"], "use mixed_bfloat16"),
        (["--discriminator", "capsule", "--spectral-normalization"], "capsules"),
    ],
)
def test_flags_that_say_nothing_together_are_refused(flags, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        training.main(["--out", str(tmp_path / "run"), *RUN, *flags])


# Digits -----------------------------------------------------------------------------------------------------


def test_the_frechet_distance_of_normal_samples_worked_by_hand():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(200_000, 2))
    other = rng.normal(size=(200_000, 2)) * [2, 3] + [1, 0]
    # |m - n|^2 + (1 - 2)^2 + (1 - 3)^2
    assert gan_test.frechet_distance(one, other) == pytest.approx(6, rel=0.02)
    assert gan_test.frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    from scipy.linalg import sqrtm

    skewed = other @ [[1, 0.5], [0.2, 1]]
    c, d = np.cov(one, rowvar=False), np.cov(skewed, rowvar=False)
    between = np.sum((one.mean(0) - skewed.mean(0)) ** 2)
    expected = between + np.trace(c + d - 2 * sqrtm(c @ d).real)
    assert gan_test.frechet_distance(one, skewed) == pytest.approx(expected, rel=1e-6)


def test_figures_of_digits_worked_by_hand():
    assert gan_test.entropy_of(np.full(10, 0.1)) == pytest.approx(2.302585)
    assert gan_test.entropy_of(np.eye(10)[3]) == 0
    known = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert gan_test.nearest_distance(known, np.array([[0.0, 1.0], [3.0, 4.0]])) == 0.5


def test_networks_of_digits_have_the_shapes_of_the_tutorial_and_normalise_on_request():
    for wanted in (True, False):
        model = dcgan.digit_generator(7, (4, 3, 2), wanted)
        n_layers = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
        assert n_layers == (3 if wanted else 0)
        drawn = model(np.random.default_rng(0).normal(size=(5, 7)))
        assert drawn.shape == (5, 8, 8, 1) and np.abs(drawn).max() <= 1
        assert dcgan.digit_discriminator((2, 3))(drawn).shape == (5, 1)


def test_the_test_of_batch_normalisation_writes_its_table(tmp_path):
    content = gan_test.main(["--out", str(tmp_path), "--seeds", "1", "--steps", "2"])
    text = (tmp_path / "scores.md").read_text()
    assert "| without, 0.001 |" in text and len(text.splitlines()) == 2 + 2 + 4
    assert json.loads((tmp_path / "scores.json").read_text()) == content
    assert content["classifier_accuracy_on_held_out"]["accuracy"] > 0.95
    real, noise = (content["rows"][name][0] for name in ("held-out digits", "random pixels"))
    assert real["n_classes"] == 10 and real["frechet"] < noise["frechet"] / 10
    assert (tmp_path / "digits.png").stat().st_size > 1000


# Several devices --------------------------------------------------------------------------------------------

PROGRAM = """
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.test_gan import images_and_labels, tiny_gan
image, labels = images_and_labels(16)
weights, losses = [], []
for strategy in (tf.distribute.OneDeviceStrategy("/cpu:0"), tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])):
    with strategy.scope():
        # plain steps, of the size of the gradient: its scale would not be seen in those of Adam
        model = tiny_gan(noise=0.0, dropout=0.0, hit_weight=0.5, spectral_normalization=True)
        model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    data = tf.data.Dataset.from_tensor_slices((image, labels)).batch(8)
    history = model.fit(data, validation_data=data, epochs=2, verbose=0).history
    weights.append(model.get_weights())
    losses.append(history)
for one, other in zip(*weights):
    np.testing.assert_allclose(one, other, atol=2e-5)
for name, values in losses[0].items():
    np.testing.assert_allclose(values, losses[1][name], rtol=1e-4, atol=1e-5, err_msg=name)
with strategy.scope():
    model = tiny_gan(questions=True)  # noise, dropout and damage on both devices
assert np.isfinite(model.fit(data, epochs=1, verbose=0).history["question_loss"]).all()
print("same")
"""


def test_two_devices_train_as_one_does():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=600, cwd=lib.ROOT
    )
    assert done.stdout.strip().endswith("same"), done.stderr[-3000:]
