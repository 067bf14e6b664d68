"""Which hits belong together: classical track finders, the refit after a network, foil rule, oracle."""
