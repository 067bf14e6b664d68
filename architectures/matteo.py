"""The encoder-decoder of images that Matteo proposed for clustering: a U-Net (arXiv:1505.04597), SegNet on
request.

An image of cells goes in, and values for every cell come out. All convolutions are 3 x 3 with ReLU, without
normalisation. Every level has two of them with dropout between; on the way down images are halved by max
pooling. The published networks are in `matteo_with_skip_connections.py` and
`matteo_without_skip_connections.py`.

The output is linear: these are logits, so losses and what uses the network have to take them as such. The
published training did not; `losses.py` says what that costs.
"""

import math

import keras

from architectures.attention import attend
from architectures.layers import PoolWithIndices, UnpoolAtIndices

UNPOOLING = ("nearest", "indices")


def encoder_decoder(
    input_shape=(116, 12, 1),
    n_outputs=1,
    filters=(32, 64, 128),
    skip_connections=True,
    unpooling="nearest",
    dilations=(1, 1),
    n_code=None,
    attention=None,
    ratios=(),
    beside=False,
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
        dilations: along the foil, of the convolutions of the latent level, one each. As published (1, 1), an
            output depends on about 20 columns to either side: in most events of two tracks it cannot know which of
            them is the left one. With (1, 2, 4, 8, 16) it depends on all.
        n_code: numbers that everything goes through, without skip connections: after the latent level a dense
            layer, named "code", and another one back. None: the latent level is the code.
        attention: one of `attention.KINDS`, or None. ratios: of the attention at each place, 0 for none, one for
            each level down and up again; of three levels P1 to P5. On the way down it is after the convolutions
            of a level, and what skips to the decoder is taken before; on the way up it is between them.
        beside: attention is put beside what it looked at, not in its place, as of `attention.attend`.
    """
    _check_shape(input_shape, filters)
    ratios = _ratios(attention, ratios, len(filters))
    if n_code and (skip_connections or unpooling == "indices"):
        raise ValueError(
            f"n_code {n_code}: without skip connections and indices only, which go around it"
        )

    def look_around(x, place):
        ratio = ratios[place]
        return attend(x, attention, ratio, beside, f"attention_{place + 1}") if ratio else x

    inputs = keras.Input(input_shape, name="padded")
    x = inputs
    levels = []
    for place, n_filters in enumerate(filters[:-1]):
        seen = _level(x, n_filters, dropout)
        x = look_around(seen, place)
        where = None
        if unpooling == "indices":
            x, where = PoolWithIndices()(x)
        else:
            x = keras.layers.MaxPooling2D(2)(x)
        levels.append((n_filters, seen, where))

    x = _latent_level(x, filters[-1], dilations, dropout)
    x = look_around(x, len(levels))
    if n_code:
        x = _through_code(x, n_code)
    for place, (n_filters, seen, where) in enumerate(reversed(levels), len(levels) + 1):
        if unpooling == "indices":
            x = _convolution(n_filters)(x)
            x = UnpoolAtIndices()([x, where])
        else:
            x = keras.layers.UpSampling2D(2)(x)
        if skip_connections:
            x = keras.layers.Concatenate()([x, seen])
        x = _convolution(n_filters)(x)
        x = look_around(x, place)
        x = keras.layers.Dropout(dropout)(x)
        x = _convolution(n_filters)(x)
    cells = keras.layers.Conv2D(n_outputs, 3, padding="same", dtype="float32", name="cells")(x)
    return keras.Model(inputs, {"cells": cells}, name=name)


def _level(x, n_filters, dropout):
    x = _convolution(n_filters)(x)
    x = keras.layers.Dropout(dropout)(x)
    return _convolution(n_filters)(x)


def _latent_level(x, n_filters, dilations, dropout):
    for i, dilation in enumerate(dilations):
        x = _convolution(n_filters, (dilation, 1))(x)
        if i == 0:
            x = keras.layers.Dropout(dropout)(x)
    return x


def _through_code(x, n_code):
    shape = x.shape[1:]
    code = keras.layers.Dense(n_code, name="code")(keras.layers.Flatten()(x))
    x = keras.layers.Dense(math.prod(shape), activation="relu", name="from_code")(code)
    return keras.layers.Reshape(shape)(x)


def _convolution(n_filters, dilation=1):
    return keras.layers.Conv2D(
        n_filters, 3, padding="same", activation="relu", dilation_rate=dilation
    )


def _ratios(attention, ratios, n_levels):
    """The ratios at all places, zeros where no attention is asked for; refuses those that make no sense."""
    n_places = 2 * n_levels - 1
    said = f"attention {attention}, ratios {' '.join(map(str, ratios)) or 'none'}"
    if attention is None and any(ratios):
        raise ValueError(f"{said}: of which kind?")
    if attention is None:
        return (0,) * n_places
    if len(ratios) != n_places or not any(ratios):
        raise ValueError(
            f"{said}: {n_places} are needed for {n_levels} levels, one of them above 0"
        )
    return ratios


def _check_shape(input_shape, filters):
    divisor = 2 ** (len(filters) - 1)
    n_rows, n_columns, _ = input_shape
    if n_rows % divisor or n_columns % divisor:
        raise ValueError(f"{n_rows} x {n_columns} cells cannot be halved {len(filters) - 1} times")
