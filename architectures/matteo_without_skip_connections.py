"""Matteo's encoder-decoder without skip connections, as published: 425,153 parameters.

Everything it says of a cell has come through the latent level, whose cells are 4 x 4 of the image's.
"""

from architectures.matteo import encoder_decoder


def matteo_without_skip_connections(input_shape=(116, 12, 1), **options):
    """In, out and options: see `matteo.encoder_decoder`."""
    options = {"skip_connections": False, **options}
    return encoder_decoder(input_shape, name="matteo_without_skip_connections", **options)
