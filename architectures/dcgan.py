"""A GAN of small pictures, 8 x 8, such as scikit-learn's digits: DCGAN (arXiv:1511.06434) as TensorFlow's tutorial
has it, with four times fewer channels and no layer for the larger pictures.
"""

import keras


def digit_generator(
    n_noise=100, filters=(64, 32, 16), batch_normalization=True, name="digit_generator"
):
    """Draw pictures. In: (picture, n_noise) normal numbers. Out: (picture, 8, 8, 1), -1 to 1.

    Args:
        batch_normalization: after every layer but the last, as the tutorial has it.
    """
    first, *others = filters
    inputs = keras.Input((n_noise,), name="noise")
    x = keras.layers.Dense(2 * 2 * first, use_bias=False)(inputs)
    x = _activated(x, batch_normalization)
    x = keras.layers.Reshape((2, 2, first))(x)
    for n_filters, stride in zip(others, (1, 2), strict=True):
        x = _transposed(n_filters, stride)(x)
        x = _activated(x, batch_normalization)
    picture = _transposed(1, 2, activation="tanh")(x)
    return keras.Model(inputs, picture, name=name)


def digit_discriminator(filters=(16, 32), dropout=0.3, name="digit_discriminator"):
    """Tell real pictures from drawn ones. In: (picture, 8, 8, 1). Out: (picture, 1) logits of real."""
    inputs = keras.Input((8, 8, 1), name="picture")
    x = inputs
    for n_filters in filters:
        x = keras.layers.Conv2D(n_filters, 5, 2, padding="same")(x)
        x = keras.layers.LeakyReLU(0.3)(x)
        x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(1)(x), name=name)


def _transposed(n_filters, stride, activation=None):
    return keras.layers.Conv2DTranspose(
        n_filters, 5, stride, padding="same", use_bias=False, activation=activation
    )


def _activated(x, batch_normalization):
    if batch_normalization:
        x = keras.layers.BatchNormalization()(x)
    return keras.layers.LeakyReLU(0.3)(x)
