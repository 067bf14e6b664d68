"""Event generators in NumPy: the straight-line toy, the SN-IE haystack, and the detector's response. They return the event table."""

from my_generator import straight_lines, toyhaystack

# name -> its function (n_events, tracks, seed, first_event) -> Events, and how many tracker sides its events use
GENERATORS = {"my_generator": (straight_lines.generate, 1), "toyhaystack": (toyhaystack.generate, 2)}
