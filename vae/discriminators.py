"""Networks that say which images, or which points in latent space, are real. Both give logits."""

import keras

from vae.encoders import SHAPE


def image_discriminator(input_shape=SHAPE, filters=(16, 32, 32), n_hidden=64, name="discriminator"):
    """Tell events from what a decoder makes up (arXiv:1512.09300).

    In: (event, 116, 12, 1), lit cells or probabilities. Out: {"real": (event, 1) logit, "features": (event, n),
    the last feature map, in which the images of a variational autoencoder are compared}.
    """
    image = keras.Input(input_shape, name="padded")
    x = image
    for i, n_filters in enumerate(filters):
        x = keras.layers.Conv2D(n_filters, 3, 1 if i == 0 else 2, padding="same")(x)
        x = keras.layers.LeakyReLU(0.2)(x)
    features = keras.layers.Flatten(name="features", dtype="float32")(x)
    x = keras.layers.Dense(n_hidden)(features)
    x = keras.layers.LeakyReLU(0.2)(x)
    real = keras.layers.Dense(1, name="real", dtype="float32")(x)
    return keras.Model(image, {"real": real, "features": features}, name=name)


def latent_discriminator(n_latent=16, n_hidden=(128, 128), name="discriminator"):
    """Tell samples of the prior from codes of events (arXiv:1511.05644).

    In: (event, n_latent). Out: {"real": (event, 1) logit}.
    """
    latent = keras.Input((n_latent,), name="latent")
    x = latent
    for n_units in n_hidden:
        x = keras.layers.LeakyReLU(0.2)(keras.layers.Dense(n_units)(x))
    real = keras.layers.Dense(1, name="real", dtype="float32")(x)
    return keras.Model(latent, {"real": real}, name=name)
