"""Matteo's encoder-decoder with skip connections, as published: 471,233 parameters."""

from architectures.matteo import encoder_decoder


def matteo_with_skip_connections(input_shape=(116, 12, 1), **options):
    """In, out and options: see `matteo.encoder_decoder`."""
    return encoder_decoder(input_shape, name="matteo_with_skip_connections", **options)
