"""Event generators in NumPy: the straight-line toy, and the SN-IE haystack. They return the event table."""
