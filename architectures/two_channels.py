"""Networks of two channels, the event and the seed of a track, which say what belongs to the seed's track.

`one_layer` is what was proposed: a single layer of convolutional filters. It knows what is within half a filter
of a cell, so it cannot follow a track that runs further along the foil. `deep` is Matteo's encoder-decoder with
a latent level that sees all columns.
"""

import keras

from architectures.matteo import encoder_decoder

WIDE = (1, 2, 4, 8, 16)  # dilations of the latent level


def one_layer(input_shape=(116, 12, 2), filters=16, kernel_size=(31, 17)):
    """One layer of filters, and for each cell the weighed sum of what they say.

    In: `padded` (event, column, layer, 2). Out: {"cells": (event, column, layer, 1)} logits.

    Args:
        kernel_size: columns and layers that a filter sees. 17 layers are all nine from any of them.
    """
    inputs = keras.Input(input_shape, name="padded")
    x = keras.layers.Conv2D(
        filters, kernel_size, padding="same", activation="relu", name="filters"
    )(inputs)
    cells = keras.layers.Conv2D(1, 1, dtype="float32", name="cells")(x)
    return keras.Model(inputs, {"cells": cells}, name="two_channels")


def deep(input_shape=(116, 12, 2), filters=(8, 16, 32)):
    """The encoder-decoder with a latent level that sees all columns; in and out as of `one_layer`."""
    return encoder_decoder(input_shape, 1, filters, dilations=WIDE, name="two_channels_deep")
