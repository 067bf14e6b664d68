"""Attention for feature maps, against the papers' equations in NumPy."""

import argparse

import keras
import numpy as np
import pytest
from keras import ops

import architectures
import lib
from architectures.attention import (
    KINDS,
    ChannelAttention,
    SelfAttention,
    SpatialAttention,
    SqueezeExcitation,
    attend,
    cbam,
)
from architectures.matteo import encoder_decoder

LAYERS = {
    "self": lambda: SelfAttention(reduction=2),
    "self, positions": lambda: SelfAttention(reduction=2, positions=True),
    "excitation": lambda: SqueezeExcitation(ratio=2),
    "channels": lambda: ChannelAttention(ratio=2),
    "places": lambda: SpatialAttention(kernel_size=3),
}


def features(shape=(3, 4, 5, 6), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(layer, x, seed=0):
    """The layer with weights that are not those it starts with."""
    layer.build(x.shape)
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(0, 0.5, weight.shape) for weight in layer.weights])
    return layer, {
        weight.path.removeprefix(f"{layer.name}/"): weight.numpy() for weight in layer.weights
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def two_dense(z, weights):
    hidden = np.maximum(z @ weights["hidden/kernel"] + weights["hidden/bias"], 0)
    return hidden @ weights["out/kernel"] + weights["out/bias"]


# ---- self-attention ----------------------------------------------------------------------------------------


def test_self_attention_is_that_of_sagan():
    x = features()
    layer, weights = built(SelfAttention(reduction=2), x)
    expected = np.empty_like(x)
    for event in range(len(x)):
        places = x[event].reshape(-1, 6)
        query, key, value = (
            places @ weights[f"{name}/kernel"] for name in ("query", "key", "value")
        )
        for j in range(len(places)):
            match = np.array([key[i] @ query[j] for i in range(len(places))])
            share = np.exp(match) / np.exp(match).sum()  # over i, the places that j looks at
            seen = share @ value @ weights["out/kernel"]
            expected[event].reshape(-1, 6)[j] = weights["gamma"] * seen + places[j]
    np.testing.assert_allclose(layer(x), expected, atol=1e-4)


def test_new_self_attention_changes_nothing_and_gamma_alone_learns_first():
    import tensorflow as tf

    x = features()
    layer = SelfAttention(reduction=2)
    np.testing.assert_array_equal(layer(x), x)
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(keras.ops.square(layer(x)))
    slopes = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    learns = {
        weight.name
        for weight, slope in zip(layer.trainable_weights, slopes, strict=True)
        if np.any(slope)
    }
    assert learns == {"gamma"}


def test_self_attention_follows_its_places_when_they_are_put_in_another_order():
    x = features()
    layer, _ = built(SelfAttention(), x)
    order = np.random.default_rng(1).permutation(20)
    shuffled = x.reshape(3, 20, 6)[:, order].reshape(x.shape)
    expected = np.asarray(layer(x)).reshape(3, 20, 6)[:, order]
    np.testing.assert_allclose(np.asarray(layer(shuffled)).reshape(3, 20, 6), expected, atol=1e-5)


def test_a_place_far_away_is_seen():
    x = features()
    layer, _ = built(SelfAttention(), x)
    other = x.copy()
    other[:, -1, -1] += 1
    assert np.abs(np.asarray(layer(other) - layer(x))[:, 0, 0]).max() > 1e-3


# ---- squeeze and excitation, CBAM --------------------------------------------------------------------------


def test_squeeze_and_excitation_is_that_of_the_paper():
    x = features()
    layer, weights = built(SqueezeExcitation(ratio=2), x)
    weight = sigmoid(two_dense(x.mean((1, 2)), weights))
    np.testing.assert_allclose(layer(x), x * weight[:, None, None], atol=1e-5)


def test_channel_attention_is_that_of_cbam():
    x = features()
    layer, weights = built(ChannelAttention(ratio=2), x)
    weight = sigmoid(two_dense(x.mean((1, 2)), weights) + two_dense(x.max((1, 2)), weights))
    np.testing.assert_allclose(layer(x), x * weight[:, None, None], atol=1e-5)


def test_of_an_even_image_mean_and_largest_are_the_same():
    x = np.broadcast_to(features((3, 1, 1, 6)), (3, 4, 5, 6))
    layer, weights = built(ChannelAttention(ratio=2), x)
    weight = sigmoid(2 * two_dense(x[:, 0, 0], weights))
    np.testing.assert_allclose(layer(x), x * weight[:, None, None], atol=1e-5)


def test_spatial_attention_is_that_of_cbam():
    x = features()
    layer, weights = built(SpatialAttention(kernel_size=3), x)
    pooled = np.stack([x.mean(-1), x.max(-1)], -1)
    padded = np.pad(pooled, ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = weights["convolution/kernel"][..., 0]
    expected = np.empty_like(x)
    for row, column in np.ndindex(4, 5):
        window = padded[:, row : row + 3, column : column + 3]
        weight = sigmoid((window * kernel).sum((1, 2, 3)))
        expected[:, row, column] = x[:, row, column] * weight[:, None]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def cbam_model(**kwargs):
    inputs = keras.Input((4, 5, 6))
    return keras.Model(inputs, cbam(inputs, ratio=2, kernel_size=3, **kwargs))


def test_cbam_without_weights_is_a_quarter():
    model, x = cbam_model(), features()
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    np.testing.assert_allclose(model(x), x / 4, rtol=1e-5)


def test_cbam_weighs_channels_and_then_places():
    model, x = cbam_model(), features()
    channels, places = model.get_layer("cbam_channels"), model.get_layer("cbam_places")
    np.testing.assert_allclose(model(x), places(channels(x)), atol=1e-6)
    assert np.abs(model(x) - channels(places(x))).max() > 1e-4


def test_cbam_beside_its_input_is_normalised_and_leaves_the_input_alone():
    both, x = np.asarray(cbam_model(beside=True)(features())), features()
    np.testing.assert_array_equal(both[..., 6:], x)
    np.testing.assert_allclose(both[..., :6].mean(-1), 0, atol=1e-5)


# ---- all of them -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "self, positions"])
def test_of_nothing_comes_nothing(name):
    x = np.zeros((2, 4, 5, 6), "float32")
    layer, _ = built(LAYERS[name](), x)
    np.testing.assert_array_equal(layer(x), x)


@pytest.mark.parametrize("name", LAYERS)
def test_a_gradient_reaches_every_weight(name):
    import tensorflow as tf

    x = features()
    layer, _ = built(LAYERS[name](), x)
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(keras.ops.square(layer(x)))
    slopes = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    for weight, slope in zip(layer.trainable_weights, slopes, strict=True):
        assert np.isfinite(slope).all() and np.any(slope), weight.path


@pytest.mark.parametrize("name", [*LAYERS, "cbam", "cbam_beside"])
def test_a_saved_and_loaded_network_gives_the_same(name, tmp_path):
    if name in LAYERS:
        inputs = keras.Input((4, 5, 6))
        model = keras.Model(inputs, LAYERS[name]()(inputs))
    else:
        model = cbam_model(beside=name == "cbam_beside")
    x, rng = features(), np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_one_channel_is_no_trouble(name):
    x = features((2, 9, 29, 1))
    layer, _ = built(LAYERS[name](), x)
    found = np.asarray(layer(x))
    assert found.shape == x.shape and np.isfinite(found).all()


# ---- attention in the encoder-decoder ----------------------------------------------------------------------


def test_with_positions_the_vectors_of_places_are_added_before_places_are_compared():
    x = features()
    with_positions, weights = built(SelfAttention(reduction=2, positions=True), x)
    without = SelfAttention(reduction=2)
    without.build(x.shape)
    names = [weight.path.removeprefix(f"{without.name}/") for weight in without.weights]
    without.set_weights([weights[name] for name in names])
    shift = weights["of_place"].reshape(1, 4, 5, 6)
    expected = without(x + shift) - shift
    np.testing.assert_allclose(with_positions(x), expected, atol=1e-4)


def test_without_positions_attention_moves_with_the_image_and_with_them_it_does_not():
    x = features()
    turned = x[:, ::-1, ::-1]
    plain, _ = built(SelfAttention(reduction=2), x)
    np.testing.assert_allclose(plain(turned), np.asarray(plain(x))[:, ::-1, ::-1], atol=1e-4)
    placed, _ = built(SelfAttention(reduction=2, positions=True), x)
    assert np.abs(placed(turned) - np.asarray(placed(x))[:, ::-1, ::-1]).max() > 1e-2


def test_the_flags_name_the_kinds_that_there_are():
    parser = argparse.ArgumentParser()
    lib.encoder_decoder_arguments(parser)
    for kind in KINDS:
        args = parser.parse_args(
            ["--attention", kind, "--ratios", "0", "2", "0", "--filters", "2", "4"]
        )
        options = lib.encoder_decoder_options(args)
        model = encoder_decoder((12, 12, 1), 1, **options)
        assert any(layer.name.startswith("attention_2") for layer in model.layers)
    with pytest.raises(ValueError, match="attention bahdanau: there are self,"):
        attend(features(), "bahdanau", 2)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_decoder_with_attention_everywhere_says_the_same_when_loaded(
    kind, beside, tmp_path
):
    options = {"attention": kind, "ratios": (2, 2, 2, 2, 2), "beside": beside}
    model = encoder_decoder((16, 12, 1), 1, (4, 6, 8), **options)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, weight.shape) for weight in model.weights])
    image = rng.integers(0, 2, (3, 16, 12, 1)).astype(np.uint8)
    said = ops.convert_to_numpy(model(image)["cells"])
    model.save(tmp_path / "model.keras")
    loaded = architectures.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(image)["cells"]), said)


def test_attention_stands_at_the_places_of_the_notes():
    model = encoder_decoder(attention="cbam", ratios=(8, 8, 8, 8, 8))
    shapes = [
        model.get_layer(f"attention_{place}_places").output.shape[1:] for place in range(1, 6)
    ]
    assert shapes == [(116, 12, 32), (58, 6, 64), (29, 3, 128), (58, 6, 64), (116, 12, 32)]
    hidden = [model.get_layer(f"attention_{place}_channels").hidden.units for place in range(1, 6)]
    assert hidden == [4, 8, 16, 8, 4]
    # of the decoder's concatenation one part comes from below, the other from before the attention
    skips = [layer for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    for skip in skips:
        assert not any(
            tensor._keras_history.operation.name.startswith("attention") for tensor in skip.input
        )


def test_attention_of_ratio_zero_is_none_and_beside_it_the_network_is_wider():
    plain = encoder_decoder((12, 12, 1), filters=(4, 8))
    placed = encoder_decoder((12, 12, 1), filters=(4, 8), attention="se", ratios=(0, 4, 0))
    n_of_block = 8 * 2 + 2 + 2 * 8 + 8
    assert placed.count_params() == plain.count_params() + n_of_block
    wide = encoder_decoder(
        (12, 12, 1), filters=(4, 8), attention="se", ratios=(0, 4, 0), beside=True
    )
    n_of_norm, n_of_wider_input = 2 * 8, 9 * 8 * 4
    assert wide.count_params() == placed.count_params() + n_of_norm + n_of_wider_input


@pytest.mark.parametrize(
    "attention, ratios", [("se", ()), ("se", (0, 0, 0)), ("se", (2, 2)), (None, (0, 2, 0))]
)
def test_ratios_that_make_no_sense_are_refused(attention, ratios):
    with pytest.raises(ValueError, match=f"attention {attention}, ratios"):
        encoder_decoder((12, 12, 1), filters=(4, 8), attention=attention, ratios=ratios)
