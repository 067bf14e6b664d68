"""Networks from a point in latent space to an image of cells.

In: `latent` (event, n_latent), and with n_hints `hint` (event, n_hints), what is known of the event. Out:
{"cells": (event, 116, 12, 1)} logits. The published trainings took the same linear output for a probability, whose
gradient is zero outside (0, 1).

`first_decoder` and `second_decoder` are the published ones, `small_decoder` learns in minutes on a processor.
"""

import keras

from vae.encoders import SHAPE


def small_decoder(
    output_shape=SHAPE, n_latent=16, filters=(32, 16, 8), n_hidden=64, n_hints=0, name="decoder"
):
    """Two dense layers, then convolutions, after each level but the last of which the image is doubled.

    Args:
        filters: of each level. n_hidden: of the first dense layer.
    """
    inputs, x = _inputs(n_latent, n_hints)
    scale = 2 ** (len(filters) - 1)
    n_rows, n_columns, _ = output_shape
    if n_rows % scale or n_columns % scale:
        raise ValueError(f"{n_rows} x {n_columns} cells cannot be halved {len(filters) - 1} times")
    x = keras.layers.Dense(n_hidden, activation="gelu")(x)
    x = _to_image(x, (n_rows // scale, n_columns // scale, filters[0]), "gelu")
    for i, n_filters in enumerate(filters):
        if i:
            x = keras.layers.UpSampling2D(2)(x)
        x = keras.layers.Conv2D(n_filters, 3, padding="same", activation="gelu")(x)
    return keras.Model(inputs, _cells(x), name=name)


def first_decoder(output_shape=SHAPE, n_latent=3, n_hints=0, name="decoder"):
    """The first published decoder: 1,607,713 parameters."""
    return _published(output_shape, n_latent, n_hints, 256, (64, 64, 32), name)


def second_decoder(output_shape=SHAPE, n_latent=87, n_hints=0, name="decoder"):
    """The second published decoder: a narrower first dense layer, and two convolutions fewer."""
    return _published(output_shape, n_latent, n_hints, n_latent, (None, 64, 32), name)


def _published(output_shape, n_latent, n_hints, n_hidden, filters, name):
    inputs, x = _inputs(n_latent, n_hints)
    x = keras.layers.Dense(n_hidden)(x)
    n_rows, n_columns, _ = output_shape
    x = _to_image(x, (n_rows // 4, n_columns // 4, 64), "relu")
    for i, n_filters in enumerate(filters):
        if i:
            x = keras.layers.UpSampling2D(2)(x)
        if n_filters is None:
            continue
        x = _convolution(n_filters)(x)
        if i == len(filters) - 1:
            x = keras.layers.Dropout(0.2)(x)
        x = _convolution(n_filters)(x)
    return keras.Model(inputs, _cells(x), name=name)


def _inputs(n_latent, n_hints):
    """The inputs by name, and all of them as one vector."""
    inputs = {"latent": keras.Input((n_latent,), name="latent")}
    if not n_hints:
        return inputs, inputs["latent"]
    inputs["hint"] = keras.Input((n_hints,), name="hint")
    return inputs, keras.layers.Concatenate()([inputs["latent"], inputs["hint"]])


def _to_image(x, shape, activation):
    n_rows, n_columns, n_filters = shape
    x = keras.layers.Dense(n_rows * n_columns * n_filters, activation=activation)(x)
    return keras.layers.Reshape(shape)(x)


def _convolution(n_filters):
    return keras.layers.Conv2D(n_filters, 3, padding="same", activation="relu")


def _cells(x):
    return {"cells": keras.layers.Conv2D(1, 3, padding="same", dtype="float32", name="cells")(x)}
