"""Which hits belong together: classical track finders, the refit after a network, the foil rule, an oracle."""
