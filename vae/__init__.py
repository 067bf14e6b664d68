"""Variational and adversarial autoencoders of the top view: encoders, decoders, and models that train them."""
