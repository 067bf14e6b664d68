"""The encoder-decoder of images that Matteo proposed for clustering: a U-Net (arXiv:1505.04597), SegNet on
request.

An image of cells goes in, and values for every cell come out. All convolutions are 3 x 3 with ReLU, without
normalisation. Every level has two of them with dropout between; on the way down images are halved by max
pooling. The published networks are in `matteo_with_skip_connections.py` and
`matteo_without_skip_connections.py`.

The output is linear: these are logits, so losses and what uses the network have to take them as such. The
published training did not; `losses.py` says what that costs.
"""

import keras

from architectures.layers import PoolWithIndices, UnpoolAtIndices

UNPOOLING = ("nearest", "indices")


def encoder_decoder(
    input_shape=(116, 12, 1),
    n_outputs=1,
    filters=(32, 64, 128),
    skip_connections=True,
    unpooling="nearest",
    dropout=0.2,
    name="matteo",
):
    """Say something of every cell.

    In: `padded` (event, column, layer, channel). Out: {"cells": (event, column, layer, n_outputs)} logits.

    Args:
        filters: of each level; the last is the latent one. Small networks that learn in minutes on a
            processor have (8, 16, 32).
        skip_connections: what a level of the encoder saw is given to that of the decoder. With them the latent
            level is no bottleneck.
        unpooling: "nearest" repeats values; "indices" puts them where the encoder's highest were, as SegNet
            does, after a convolution more that makes as many channels as that level has.
    """
    _check_shape(input_shape, filters)
    inputs = keras.Input(input_shape, name="padded")
    x = inputs
    levels = []
    for n_filters in filters[:-1]:
        seen = _level(x, n_filters, dropout)
        where = None
        if unpooling == "indices":
            x, where = PoolWithIndices()(seen)
        else:
            x = keras.layers.MaxPooling2D(2)(seen)
        levels.append((n_filters, seen, where))

    x = _level(x, filters[-1], dropout)
    for n_filters, seen, where in reversed(levels):
        if unpooling == "indices":
            x = _convolution(n_filters)(x)
            x = UnpoolAtIndices()([x, where])
        else:
            x = keras.layers.UpSampling2D(2)(x)
        if skip_connections:
            x = keras.layers.Concatenate()([x, seen])
        x = _level(x, n_filters, dropout)
    cells = keras.layers.Conv2D(n_outputs, 3, padding="same", dtype="float32", name="cells")(x)
    return keras.Model(inputs, {"cells": cells}, name=name)


def _level(x, n_filters, dropout):
    x = _convolution(n_filters)(x)
    x = keras.layers.Dropout(dropout)(x)
    return _convolution(n_filters)(x)


def _convolution(n_filters):
    return keras.layers.Conv2D(n_filters, 3, padding="same", activation="relu")


def _check_shape(input_shape, filters):
    divisor = 2 ** (len(filters) - 1)
    n_rows, n_columns, _ = input_shape
    if n_rows % divisor or n_columns % divisor:
        raise ValueError(f"{n_rows} x {n_columns} cells cannot be halved {len(filters) - 1} times")
