"""Which hits belong together: classical track finders, the refit after the network, the foil rule, an oracle."""
