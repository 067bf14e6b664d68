"""Networks that say something of every cell of an image, and what they learn by."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.special import expit, log_softmax

import architectures
from architectures import losses
from architectures.layers import PoolWithIndices, UnpoolAtIndices
from architectures.matteo import UNPOOLING, encoder_decoder
from architectures.matteo_with_skip_connections import matteo_with_skip_connections
from architectures.matteo_without_skip_connections import matteo_without_skip_connections

SMALL = (4, 6, 8)
SEEDS = st.integers(0, 2**32 - 1)


def gradient(loss, answer, output):
    """d loss / d output, by TensorFlow."""
    import tensorflow as tf

    output = tf.Variable(output, dtype="float32")
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(loss(answer, output))
    return tape.gradient(total, output).numpy()


# Networks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build, n_parameters",
    [(matteo_with_skip_connections, 471_233), (matteo_without_skip_connections, 425_153)],
)
def test_defaults_are_the_published_networks(build, n_parameters):
    model = build()
    assert model.count_params() == n_parameters
    assert model.input_shape == (None, 116, 12, 1) and model.input.name == "padded"
    assert model.output["cells"].shape == (None, 116, 12, 1)
    assert (
        min(layer.output.shape[1] for layer in model.layers) == 29
    )  # and 3 layers, 128 channels: the latent
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [
        0.2
    ] * 5
    assert model.get_layer("cells").activation is keras.activations.linear


@pytest.mark.parametrize("dilations, reach", [((1, 1), 18), ((1, 2, 4, 8, 16), 115)])
def test_dilations_say_how_far_an_output_sees(dilations, reach):
    import tensorflow as tf

    keras.utils.set_random_seed(2)
    model = encoder_decoder((116, 12, 1), 1, SMALL, dilations=dilations, dropout=0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(ops.abs(layer.kernel))  # so that no two ways cancel
    image = tf.Variable(np.ones((1, 116, 12, 1), np.float32))
    with tf.GradientTape() as tape:
        said = model({"padded": image})["cells"][0, 0, 6, 0]
    seen = tape.gradient(said, image).numpy()[0].any((1, 2))
    assert np.flatnonzero(seen).max() == reach


def test_a_code_is_all_that_the_decoder_gets():
    model = encoder_decoder((20, 12, 1), 1, SMALL, skip_connections=False, n_code=5)
    assert model.get_layer("code").output.shape == (None, 5)
    image = np.random.default_rng(0).integers(0, 2, (3, 20, 12, 1)).astype(np.uint8)
    model.get_layer("code").set_weights(
        [np.zeros(w.shape) for w in model.get_layer("code").get_weights()]
    )
    said = ops.convert_to_numpy(model(image)["cells"])
    np.testing.assert_array_equal(said[0], said[1])
    for options in (
        {"skip_connections": True},
        {"skip_connections": False, "unpooling": "indices"},
    ):
        with pytest.raises(ValueError, match="n_code 5"):
            encoder_decoder((20, 12, 1), 1, SMALL, n_code=5, **options)


@pytest.mark.parametrize("unpooling", UNPOOLING)
@pytest.mark.parametrize("skip_connections", [True, False])
def test_a_saved_network_says_the_same(unpooling, skip_connections, tmp_path):
    keras.utils.set_random_seed(1)
    options = {"skip_connections": skip_connections, "unpooling": unpooling}
    model = encoder_decoder((20, 12, 2), 5, SMALL, **options)
    image = np.random.default_rng(0).integers(0, 2, (3, 20, 12, 2)).astype(np.uint8)
    said = ops.convert_to_numpy(model(image)["cells"])
    assert said.shape == (3, 20, 12, 5)
    model.save(tmp_path / "model.keras")
    loaded = architectures.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(image)["cells"]), said)


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="116 x 12 cells cannot be halved 3 times"):
        encoder_decoder(filters=(2, 2, 2, 2))


@pytest.mark.parametrize("unpooling", UNPOOLING)
def test_removal_of_one_batch_can_be_learned_by_heart(unpooling):
    keras.utils.set_random_seed(2)
    image = np.zeros((2, 12, 12, 1), np.uint8)
    image[0, [2, 9]] = 1
    image[1, [6, 11]] = 1
    answer = np.where(image, 1, -1).astype(np.int8)
    answer[0, 2] = answer[1, 6] = 0  # the left track goes
    model = encoder_decoder((12, 12, 1), filters=(6, 8), unpooling=unpooling, dropout=0.0)
    model.compile(keras.optimizers.Adam(1e-2), loss={"cells": losses.on_lit_cells})
    model.fit(image, {"cells": answer}, epochs=80, verbose=0)
    logits = model.predict(image, verbose=0)["cells"]
    np.testing.assert_allclose(losses.right_on_lit_cells(answer, logits), [1, 1])


def test_pooling_with_indices_is_max_pooling_and_values_go_back_to_where_they_were():
    x = np.random.default_rng(3).normal(size=(2, 8, 6, 5)).astype(np.float32)
    pooled, where = PoolWithIndices()(x)
    np.testing.assert_array_equal(pooled, keras.layers.MaxPooling2D(2)(x))
    back = ops.convert_to_numpy(UnpoolAtIndices()([pooled, where]))
    highest = ops.convert_to_numpy(keras.layers.UpSampling2D(2)(pooled)) == x
    np.testing.assert_array_equal(back, np.where(highest, x, 0))


def test_of_equal_values_one_alone_is_pooled():
    _, where = PoolWithIndices()(np.zeros((1, 2, 2, 1), np.float32))
    assert ops.convert_to_numpy(where).ravel().tolist() == [1, 0, 0, 0]


# Losses of cells --------------------------------------------------------------------------------------------


def test_a_linear_output_taken_for_a_probability_never_recovers_and_a_logit_does():
    answer = np.array([1.0, 0.0, 1.0]).reshape(1, 1, 3, 1)
    output = np.array([-0.5, 1.5, 0.5]).reshape(1, 1, 3, 1)
    as_probability = keras.losses.BinaryCrossentropy()
    stuck = gradient(as_probability, answer, output).ravel()
    assert stuck[0] == 0 and stuck[1] == 0 and stuck[2] != 0  # the published fault: exactly zero
    assert (
        float(as_probability(answer[:, :, :1], output[:, :, :1])) > 16
    )  # though the loss is as high as it gets
    moving = gradient(losses.on_lit_cells, answer, output).ravel()
    np.testing.assert_allclose(moving, (expit(output) - answer).ravel() / 3, rtol=1e-6)
    far = gradient(losses.on_lit_cells, answer, 100 * output).ravel()
    assert far[0] < 0 < far[1]


@given(SEEDS, st.integers(0, 12))
@settings(max_examples=20, deadline=None)
def test_losses_are_means_over_lit_cells(seed, n_lit):
    rng = np.random.default_rng(seed)
    answer = np.full(12, -1, np.int8)
    answer[:n_lit] = rng.integers(0, 2, n_lit)
    logits = rng.normal(size=12).astype(np.float32) * 5
    entropy = -np.log(np.where(answer > 0, expit(logits), expit(-logits)))
    shape = (1, 4, 3, 1)
    arrays = answer.reshape(shape), logits.reshape(shape)
    expected = entropy[:n_lit].mean() if n_lit else 0
    np.testing.assert_allclose(losses.on_lit_cells(*arrays), [expected], rtol=1e-4, atol=1e-5)
    right = ((logits > 0) == (answer > 0))[:n_lit]
    np.testing.assert_allclose(
        losses.right_on_lit_cells(*arrays), [right.mean() if n_lit else 0], rtol=1e-6
    )
    assert (gradient(losses.on_lit_cells, *arrays).ravel()[n_lit:] == 0).all()


def test_a_copy_costs_as_much_on_few_lit_cells_as_on_many_dark_ones():
    image = np.zeros((1, 4, 3, 1), np.uint8)
    image[0, 0, 0, 0] = 1
    logits = np.where(image, -2.0, -3.0)
    expected = (np.log1p(np.exp(2.0)) + np.log1p(np.exp(-3.0))) / 2
    np.testing.assert_allclose(losses.on_all_cells(image, logits), [expected], rtol=1e-5)


def channels_of(seed, n_cells=8, n_tracks=3):
    """Random owners, (1, cell, 1, n_tracks + 1), and logits; some cells are dark, some of two tracks."""
    rng = np.random.default_rng(seed)
    right = np.eye(n_tracks + 1)[rng.integers(0, n_tracks + 1, n_cells)]
    shared = rng.random(n_cells) < 0.3
    right[shared, :2] = 1
    right[shared, 2:] = 0
    right[rng.random(n_cells) < 0.3] = 0
    logits = rng.normal(size=right.shape).astype(np.float32) * 4
    return right.astype(np.uint8), logits


def entropy_of(right, logits):
    lit = right.any(1)
    p = np.exp(log_softmax(logits, 1))
    entropy = -np.log((p * right).sum(1)[lit])
    return entropy.mean() if lit.any() else 0.0


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_channels_cost_what_all_permutations_say(seed):
    right, logits = channels_of(seed)
    shape = (1, 8, 1, 4)
    arrays = right.reshape(shape), logits.reshape(shape)
    np.testing.assert_allclose(
        losses.channels_in_order(*arrays), [entropy_of(right, logits)], rtol=1e-4, atol=1e-5
    )
    share = right[:, :3] / np.maximum(right[:, :3].sum(1, keepdims=True), 1)
    log_probability = log_softmax(logits, 1)[:, :3]
    permutations = [list(order) for order in itertools.permutations(range(3))]
    costs = [-(share * log_probability[:, order]).sum() for order in permutations]
    best = permutations[int(np.argmin(costs))]
    matched = right.copy()
    matched[:, best] = right[:, :3]  # true track k is in channel best[k]
    np.testing.assert_allclose(
        losses.channels_matched(*arrays), [entropy_of(matched, logits)], rtol=1e-4, atol=1e-5
    )
    lit = right.any(1)
    hit = matched[np.arange(8), logits.argmax(1)][lit]
    np.testing.assert_allclose(
        losses.right_channels(*arrays), [hit.mean() if lit.any() else 0], rtol=1e-5, atol=1e-6
    )


def test_matched_channels_cost_the_same_in_any_order_and_dark_cells_move_nothing():
    right, logits = channels_of(7)
    order = [2, 0, 1, 3]
    shape = (1, 8, 1, 4)
    one = losses.channels_matched(right.reshape(shape), logits.reshape(shape))
    other = losses.channels_matched(right[:, order].reshape(shape), logits.reshape(shape))
    np.testing.assert_allclose(one, other, rtol=1e-6)
    moved = gradient(losses.channels_matched, right.reshape(shape), logits.reshape(shape)).reshape(
        8, 4
    )
    dark = ~right.any(1)
    assert dark.any() and (moved[dark] == 0).all() and (moved[~dark] != 0).any()
    assert np.isfinite(
        gradient(losses.channels_matched, np.zeros(shape), logits.reshape(shape))
    ).all()
