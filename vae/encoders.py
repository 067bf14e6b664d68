"""Networks from an image of cells to a point in latent space, or to a normal distribution there.

In: `padded` (event, 116, 12, 1), and with n_hints `hint` (event, n_hints), what is known of the event beside its
image. Out: {"mean", "log_variance"} (event, n_latent) each; with variational=False {"mean"} alone, the code.

`first_encoder` and `second_encoder` are the published ones. The first was shown the top view without padding,
9 layers x 113 columns, which it cuts from the padded image. The second bounds both outputs by tanh: a mean
between -1 and 1 and a width of 0.61 to 1.65, so that the posteriors of all events overlap and say little.
`small_encoder` learns in minutes on a processor.
"""

import keras

SHAPE = (116, 12, 1)  # of the padded image: column + 2, layer + 2
PADDING = (2, 1)  # cells before the first and after the last, along either axis


def small_encoder(
    input_shape=SHAPE,
    n_latent=16,
    filters=(8, 16, 32),
    n_hidden=64,
    variational=True,
    n_hints=0,
    name="encoder",
):
    """Convolutions of stride 2 but for the first, each with one more beside it, and a dense layer.

    Args:
        filters: of each level, the first of which has all cells. n_hidden: of the dense layer.
    """
    inputs, hints = _inputs(input_shape, n_hints)
    x = inputs["padded"]
    for i, n_filters in enumerate(filters):
        strides = 1 if i == 0 else 2
        x = keras.layers.Conv2D(n_filters, 3, strides, padding="same", activation="gelu")(x)
        if i:
            x = keras.layers.Conv2D(n_filters, 3, padding="same", activation="gelu")(x)
    x = _with_hints(keras.layers.Flatten()(x), hints)
    x = keras.layers.Dense(n_hidden, activation="gelu")(x)
    return keras.Model(inputs, _latent(x, n_latent, variational), name=name)


def first_encoder(input_shape=SHAPE, n_latent=3, variational=True, n_hints=0, name="encoder"):
    """The first published encoder: 6,240,262 parameters."""
    inputs, hints = _inputs(input_shape, n_hints)
    x = keras.layers.Cropping2D((PADDING, PADDING))(inputs["padded"])
    x = keras.layers.Permute((2, 1, 3))(x)
    for size, pool in (((3, 15), (1, 2)), ((3, 7), (1, 2)), ((3, 3), (2, 2))):
        x = _convolution(256, size)(x)
        x = keras.layers.MaxPooling2D(pool)(x)
    x = keras.layers.Dropout(0.2)(_convolution(256)(x))
    x = _with_hints(keras.layers.Flatten()(x), hints)
    x = keras.layers.Dense(256, activation="relu")(x)
    return keras.Model(inputs, _latent(x, n_latent, variational), name=name)


def second_encoder(input_shape=SHAPE, n_latent=87, variational=True, n_hints=0, name="encoder"):
    """The second published encoder. Its latent space had 87 dimensions, whatever was asked for."""
    inputs, hints = _inputs(input_shape, n_hints)
    x = inputs["padded"]
    for n_filters in (256, 256):
        x = _convolution(n_filters)(_convolution(n_filters)(x))
        x = keras.layers.MaxPooling2D(2)(x)
    x = _convolution(1)(_convolution(1)(x))
    x = _with_hints(keras.layers.Flatten()(x), hints)
    return keras.Model(inputs, _latent(x, n_latent, variational, "tanh"), name=name)


def _inputs(input_shape, n_hints):
    """The inputs by name, and the hints or None."""
    inputs = {"padded": keras.Input(input_shape, name="padded")}
    if n_hints:
        inputs["hint"] = keras.Input((n_hints,), name="hint")
    return inputs, inputs.get("hint")


def _with_hints(x, hints):
    return x if hints is None else keras.layers.Concatenate()([x, hints])


def _convolution(n_filters, size=3):
    return keras.layers.Conv2D(n_filters, size, padding="same", activation="relu")


def _latent(x, n_latent, variational, activation=None):
    """The outputs by name."""
    options = {"activation": activation, "dtype": "float32"}
    outputs = {"mean": keras.layers.Dense(n_latent, name="mean", **options)(x)}
    if variational:
        outputs["log_variance"] = keras.layers.Dense(n_latent, name="log_variance", **options)(x)
    return outputs
