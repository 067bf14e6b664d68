"""Runnable experiments and tools, one a file. Only tests import them."""
