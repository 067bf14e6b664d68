"""Capsules, their routing against the paper's procedure in plain loops, and the counter made of them."""

from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import capsule_lib
import inference
import lib
from architectures import capsnet
from capsule_lib import (
    EMRouting,
    OneCapsule,
    PrimaryCapsule,
    RoutingByAgreement,
    SecondaryCapsule,
    Shares,
)
from datasets import views
from datasets.events import make_events
from my_generator import straight_lines
from scripts import capsnet as training
from scripts import count_tracks, evaluate

SEEDS = st.integers(0, 2**32 - 1)
SMALL = {
    "stem_filters": 8,
    "stages": ((8, (1, 4)), (8, (1, 2))),
    "n_types": 2,
    "n_dims": 4,
    "n_class_dims": 4,
}
N_HITS = {"no hit": 0, "one hit": 1, "a full detector": 9 * 113 * 2}


def small(seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return capsnet.capsule_network(**{**SMALL, "n_hidden": (16,), **kwargs})


def squashed(vector):
    squared = vector @ vector
    return vector * np.sqrt(squared) / (1 + squared)


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def routed(votes, n_iterations):
    """Procedure 1 for one event, votes (input, capsule, dimension), as it is printed."""
    n_inputs, n_capsules, _ = votes.shape
    logits = np.zeros((n_inputs, n_capsules))
    for _ in range(n_iterations):
        share = np.array([softmax(of_input) for of_input in logits])
        capsules = np.array([squashed(share[:, j] @ votes[:, j]) for j in range(n_capsules)])
        for i in range(n_inputs):
            for j in range(n_capsules):
                logits[i, j] += votes[i, j] @ capsules[j]
    return capsules


def gradient(function, values):
    import tensorflow as tf

    values = tf.constant(values, "float32")
    with tf.GradientTape() as tape:
        tape.watch(values)
        answer = keras.ops.sum(function(values))
    return tape.gradient(answer, values).numpy()


# ---- squash, margin loss -----------------------------------------------------------------------------------


@given(SEEDS, st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_squash_keeps_the_direction_and_gives_the_length_of_the_paper(seed, size):
    vectors = size * np.random.default_rng(seed).normal(size=(5, 3))
    found = np.asarray(capsule_lib.squash(vectors.astype("float32")))
    np.testing.assert_allclose(found, [squashed(v) for v in vectors], rtol=1e-3, atol=1e-6)


def test_a_vector_of_length_one_is_squashed_to_a_half():
    vector = np.float32([[0.6, 0.8]])
    np.testing.assert_allclose(capsule_lib.length(capsule_lib.squash(vector)), [0.5], rtol=1e-5)


@pytest.mark.parametrize("function", [capsule_lib.squash, capsule_lib.length])
def test_value_and_gradient_are_finite_at_zero(function):
    zeros = np.zeros((2, 4), "float32")
    assert np.isfinite(function(zeros)).all()
    assert np.abs(function(zeros)).max() < 1e-3
    assert np.isfinite(gradient(function, zeros)).all()


def test_the_margin_loss_of_a_case_worked_by_hand():
    lengths = np.float32([[0.95, 0.05, 0.1], [0.4, 0.3, 0.95]])
    # the first event has nothing to learn; the second: (0.9 - 0.4)^2 + 0.5 (0.2^2 + 0.85^2)
    np.testing.assert_allclose(capsule_lib.margin_loss([0, 0], lengths), [0, 0.63125], atol=1e-6)


def test_drawings_are_judged_by_the_sum_over_their_pixels():
    images = np.zeros((2, 2, 3, 1), "uint8")
    images[1, 0, 0] = 1
    drawn = np.full((2, 2, 3, 1), 0.5, "float32")
    drawn[1, 0, 0] = 1
    np.testing.assert_allclose(
        capsule_lib.squared_errors(images, drawn), [6 * 0.25, 5 * 0.25], rtol=1e-6
    )


# ---- routing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_iterations", [1, 2, 3, 5])
def test_routing_is_the_procedure_of_the_paper(n_iterations):
    votes = np.random.default_rng(n_iterations).normal(0, 0.7, (4, 6, 3, 5))
    found = RoutingByAgreement(n_iterations)(votes.astype("float32"))
    expected = [routed(of_event, n_iterations) for of_event in votes]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_votes_go_where_others_agree():
    votes = np.zeros((1, 4, 2, 2), "float32")
    votes[0, :, 0] = [1, 0]  # all agree on the first capsule
    votes[0, :, 1] = [[1, 0], [-1, 0], [0, 1], [0, -1]]  # and contradict each other on the second
    before, after = (capsule_lib.length(RoutingByAgreement(n)(votes))[0] for n in (1, 3))
    assert after[0] > before[0] + 0.05
    np.testing.assert_allclose(after[1], 0, atol=1e-3)


def test_routing_of_nothing_is_nothing_and_has_a_gradient():
    zeros = np.zeros((2, 5, 3, 4), "float32")
    routing = RoutingByAgreement(3)
    np.testing.assert_array_equal(routing(zeros), np.zeros((2, 3, 4)))
    assert np.isfinite(gradient(routing, zeros)).all()


def test_an_event_is_routed_the_same_in_any_company():
    votes = np.random.default_rng(0).normal(size=(6, 7, 3, 4)).astype("float32")
    given = np.random.default_rng(1).random((6, 7)).astype("float32")
    agreement, em = RoutingByAgreement(3), EMRouting(3)
    np.testing.assert_allclose(agreement(votes[2:3])[0], agreement(votes)[2], atol=1e-6)
    np.testing.assert_allclose(em([votes[2:3], given[2:3]])[0], em([votes, given])[2], atol=1e-5)


def em_routed(votes, given, n_iterations, sharpness, worth, price, least_variance=1e-4):
    """EM routing for one event in loops: M step, then E step and M step in turn."""
    n_inputs, n_capsules, n_dims = votes.shape
    share = np.full((n_inputs, n_capsules), 1 / n_capsules)
    for iteration in range(1, n_iterations + 1):
        mean, variance = np.zeros((2, n_capsules, n_dims))
        activation = np.zeros(n_capsules)
        for j in range(n_capsules):
            weight = share[:, j] * given
            mean[j] = np.average(votes[:, j], axis=0, weights=weight)
            variance[j] = (
                np.average((votes[:, j] - mean[j]) ** 2, axis=0, weights=weight) + least_variance
            )
            cost = (
                (price[j] + np.log(np.sqrt(variance[j])).mean())
                * weight.sum()
                / (n_inputs / n_capsules)
            )
            activation[j] = 1 / (
                1 + np.exp(-sharpness * iteration / n_iterations * (worth[j] - cost))
            )
        for i in range(n_inputs):
            density = np.exp(-((votes[i] - mean) ** 2) / (2 * variance)) / np.sqrt(
                2 * np.pi * variance
            )
            share[i] = activation * density.prod(1)
            share[i] /= share[i].sum()
    return np.array([activation[j] * mean[j] / np.linalg.norm(mean[j]) for j in range(n_capsules)])


@pytest.mark.parametrize("n_iterations", [1, 2, 3])
def test_em_routing_is_expectation_and_maximisation(n_iterations):
    rng = np.random.default_rng(n_iterations)
    votes, given = rng.normal(size=(3, 8, 2, 3)), rng.uniform(0.2, 1, (3, 8))
    layer = EMRouting(n_iterations, sharpness=2.0)
    layer.build([votes.shape, given.shape])
    worth, price = np.float32([0.3, -0.2]), np.float32([0.1, 0.4])
    layer.set_weights([worth, price])
    expected = [
        em_routed(v, g, n_iterations, 2.0, worth, price) for v, g in zip(votes, given, strict=True)
    ]
    found = layer([votes.astype("float32"), given.astype("float32")])
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_em_routing_of_nothing_is_finite():
    nothing = [np.zeros((1, 5, 3, 4), "float32"), np.zeros((1, 5), "float32")]
    layer = EMRouting(3)
    assert np.isfinite(layer(nothing)).all()
    assert np.isfinite(gradient(lambda votes: layer([votes, nothing[1]]), nothing[0])).all()


@pytest.mark.parametrize("layer", [RoutingByAgreement, EMRouting])
def test_a_routing_without_iterations_is_refused(layer):
    with pytest.raises(ValueError, match="0 iterations: a routing needs 1 at least"):
        layer(0)


# ---- layers ------------------------------------------------------------------------------------------------


def test_primary_capsules_are_squashed_groups_of_a_convolution():
    keras.utils.set_random_seed(0)
    image = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    layer = PrimaryCapsule(n_types=2, n_dims=3, kernel_size=1)
    found = np.asarray(layer(image))
    kernel, bias = layer.get_weights()
    values = image @ kernel[0, 0] + bias
    assert found.shape == (2, 3 * 4 * 2, 3) == layer.compute_output_shape((2, 3, 4, 5))
    np.testing.assert_allclose(found[1, 0], squashed(values[1, 0, 0, :3]), atol=1e-5)
    np.testing.assert_allclose(found[1, -1], squashed(values[1, 2, 3, 3:]), atol=1e-5)


def test_every_pair_of_capsules_has_a_matrix_of_its_own():
    keras.utils.set_random_seed(0)
    capsules = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    layer = SecondaryCapsule(n_capsules=4, n_dims=2)
    found = layer(capsules)
    (transform,) = layer.get_weights()
    votes = np.einsum("eid,idjk->eijk", capsules, transform.reshape(5, 3, 4, 2))
    np.testing.assert_allclose(found, [routed(of_event, 3) for of_event in votes], atol=1e-5)


def test_an_unknown_routing_is_refused():
    with pytest.raises(ValueError, match="routing vote: not one of agreement, em"):
        SecondaryCapsule(2, 2, routing="vote")


def test_one_capsule_is_kept():
    capsules = np.float32([[[1, 2], [3, 4]], [[9, 0], [0, 1]]])
    chosen = np.uint8([[1, 0], [0, 1]])
    np.testing.assert_array_equal(OneCapsule()([capsules, chosen]), [[1, 2, 0, 0], [0, 0, 0, 1]])


def test_shares_sum_to_one_in_the_order_of_the_lengths():
    lengths = np.float32([[0.8, 0.4, 0.2, 0.2], [0, 0, 0, 0]])
    np.testing.assert_allclose(
        Shares(1)(lengths), [[0.5, 0.25, 0.125, 0.125], [0.25] * 4], atol=1e-5
    )
    np.testing.assert_allclose(Shares(2)(lengths)[0], np.array([16, 4, 1, 1]) / 22, atol=1e-5)


def test_the_best_power_is_the_one_that_made_the_answers():
    rng = np.random.default_rng(0)
    lengths = rng.uniform(0.05, 0.95, (20000, 3))
    shares = np.asarray(Shares(2.5)(lengths))
    classes = (rng.random((20000, 1)) > shares.cumsum(1)[:, :2]).sum(1)
    assert abs(capsule_lib.best_power(classes, lengths) - 2.5) < 0.1  # three standard errors


# ---- the counter -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [{}, {"routing": "em"}, {"input_shape": (9, 113, 2)}])
def test_a_saved_and_loaded_counter_gives_the_same_probabilities(kwargs, tmp_path):
    counter = capsnet.counter_of(small(**kwargs), power=3.0)
    counter.save(tmp_path / "model.keras")
    images = (np.random.default_rng(0).random((5, *counter.input_shape[1:])) < 0.05).astype(
        "float32"
    )
    found = counter.predict(images, verbose=0)
    assert list(inference.load(counter).outputs) == ["n_tracks"]
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), found, atol=1e-6)


def batch_of(n=16):
    events = straight_lines.generate(n, seed=1)
    task = training.task(n_channels=1)
    inputs, labels = task.inputs(events), task.labels(events)
    floats = {name: values.astype("float32") for name, values in inputs.items()}
    return floats, labels


@pytest.mark.parametrize("routing", ["agreement", "em"])
def test_a_gradient_reaches_every_weight(routing):
    import tensorflow as tf

    model = small(routing=routing)
    for weight in model.trainable_weights:  # the residual blocks start as the identity, by zeros
        if not weight.numpy().any():
            weight.assign(np.random.default_rng(0).normal(0, 0.1, weight.shape))
    inputs, labels = batch_of()
    with tf.GradientTape() as tape:
        said = model(inputs)
        loss = capsule_lib.margin_loss(labels["lengths"], said["lengths"])
        loss = keras.ops.sum(loss) + keras.ops.sum(
            capsule_lib.squared_errors(labels["drawing"], said["drawing"])
        )
    variables = [weight.value for weight in model.trainable_weights]
    for weight, slope in zip(model.trainable_weights, tape.gradient(loss, variables), strict=True):
        assert np.isfinite(slope).all() and np.abs(slope).max() > 0, weight.path


def test_one_batch_can_be_learned_by_heart():
    model = small()
    inputs, labels = batch_of()
    loss = {"lengths": capsule_lib.margin_loss, "drawing": capsule_lib.squared_errors}
    model.compile(
        keras.optimizers.Adam(0.02), loss=loss, loss_weights={"lengths": 1.0, "drawing": 0.0005}
    )
    model.fit(inputs, labels, epochs=60, verbose=0)
    counted = capsnet.counter_of(model).predict(inputs["top"], verbose=0).argmax(1)
    np.testing.assert_array_equal(counted, labels["lengths"])


def test_an_event_is_drawn_from_its_longest_capsule():
    model = small()
    images = batch_of()[0]["top"]
    lengths = capsnet.lengths_of(model).predict(images, verbose=0)
    longest = np.eye(4, dtype="float32")[lengths.argmax(1)]
    told = model.predict({"top": images, "number": longest}, verbose=0)["drawing"]
    np.testing.assert_allclose(capsnet.drawer_of(model).predict(images, verbose=0), told, atol=1e-6)


def test_a_network_trained_with_16_bits_counts_the_same_with_32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
        plain = lib.in_float32(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    inputs, _ = batch_of()
    exact = plain.predict(inputs, verbose=0)
    rough = model.predict(inputs, verbose=0)
    for name in ("lengths", "drawing"):
        np.testing.assert_allclose(rough[name], exact[name], atol=0.02)


@pytest.mark.parametrize("name", N_HITS)
def test_events_that_nobody_thought_of_are_counted(name):
    cell = np.arange(N_HITS[name])
    hits = {"side": cell // (9 * 113), "layer": cell % 9, "column": cell // 9 % 113}
    events = make_events(hits, [0, len(cell)])
    probabilities = inference.count_probabilities(events, capsnet.counter_of(small()))
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_the_published_network_is_small_where_it_counts():
    assert capsnet.counter_of(capsnet.capsule_network()).count_params() < 200_000


# ---- the script --------------------------------------------------------------------------------------------


def test_a_training_makes_a_counter_for_the_other_scripts(tmp_path, toy_file, monkeypatch):
    network = partial(capsnet.capsule_network, n_hidden=(16,), **SMALL)
    monkeypatch.setattr(capsnet, "capsule_network", network)
    run = tmp_path / "run"
    sizes = [
        "--epoch-events",
        "32",
        "--val-events",
        "32",
        "--test-events",
        "16",
        "--batch-size",
        "16",
    ]
    training.main(["--out", str(run), "--epochs", "1", "--test-data", str(toy_file), *sizes])
    card = lib.load_card(run)
    assert card["inputs"] == {"top": [9, 113, 1]} and card["metrics"]["files"]["n_events"] == 40
    assert (run / "drawn.pdf").is_file() and (run / "confusion.pdf").is_file()
    scores = evaluate.main([str(run), str(toy_file)])
    assert scores["confusion"] == card["metrics"]["files"]["confusion"]
    count_tracks.main(
        [str(toy_file), "--model", str(run), "--out", str(tmp_path / "counts"), "--displays", "1"]
    )
    assert len((tmp_path / "counts" / "counts.csv").read_text().splitlines()) == 41
    said = views.top_view(straight_lines.generate(3, seed=0))
    assert inference.load(run).run({"top": said})["n_tracks"].shape == (3, 4)
