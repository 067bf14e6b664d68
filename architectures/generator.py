"""The network that a GAN trains to remove a track: an encoder-decoder, and how a discriminator sees its answer."""

from keras import ops

from architectures.matteo import encoder_decoder

LIMIT = 6.0  # of the logits that a discriminator sees: probabilities of 0.0025 to 0.9975


def removal_generator(input_shape=(116, 12, 1), name="generator", **options):
    """Matteo's encoder-decoder, as published by default: the same network as without a GAN.

    In: `padded` (event, column, layer, 1). Out: {"cells": (event, column, layer, 1)} logits of staying, which
    mean something on lit cells only.

    Args:
        options: of `architectures.matteo.encoder_decoder`.
    """
    return encoder_decoder(input_shape, n_outputs=1, name=name, **options)


def left_over(image, logits):
    """What a discriminator sees of a removal: the image times the probability that a cell stays.

    A generator may therefore only remove: dark cells stay dark. Logits count up to LIMIT, and beyond it the
    gradient is that at the limit: where it vanished, a generator that once kept everything with
    certainty would keep it for ever. All (event, column, layer, 1), returns float32.
    """
    logits = ops.cast(logits, "float32")
    beyond = logits - ops.clip(logits, -LIMIT, LIMIT)
    return ops.cast(image, "float32") * ops.sigmoid(logits - ops.stop_gradient(beyond))
