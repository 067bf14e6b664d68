"""Which hits to keep, as (hit,) masks for `Events.keep_hits`. Real events hold hits that no track made, and hits without measurements.

events = events.keep_hits(~filters.isolated(events) & filters.usable(events))
"""

import numpy as np

from datasets.geometry import N_COLUMNS, N_LAYERS


def isolated(events, chunk=1024):
    """Hits without another hit in the eight cells around, on the same side. A vectorised 3 x 3 sum over a grid of cells.

    Returns:
        (hit,) bool.
    """
    alone = np.zeros(len(events.hits["layer"]), bool)
    for start in range(0, len(events), chunk):
        offsets = events.hit_offsets[start : start + chunk + 1]
        hit = slice(offsets[0], offsets[-1])
        event = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        side, layer, column = (events.hits[name][hit].astype(np.intp) for name in ("side", "layer", "column"))
        grid = np.zeros((len(offsets) - 1, 2, N_LAYERS + 2, N_COLUMNS + 2), np.uint8)  # an empty cell all around
        grid[event, side, layer + 1, column + 1] = 1
        around = sum(grid[event, side, layer + 1 + i, column + 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1))
        alone[hit] = around == 1
    return alone


def usable(events):
    """Hits with a measured drift radius: what a fit can use."""
    return np.isfinite(events.hits["drift_radius_mm"])


def on_side(events, side):
    """Hits of one tracker side, 0 or 1."""
    return events.hits["side"] == side


def in_time(time_ns, events, before_ns=1000.0, after_ns=10000.0):
    """Hits within a window around the first of their event: real events can hold others, tens of microseconds late.

    Args:
        time_ns: (hit,) anode times, as `brio.stream_details` gives them; NaN is out of the window.
        before_ns, after_ns: the window around the event's median time.
    """
    time_ns = np.asarray(time_ns, float)
    centre = np.full(len(events), np.nan)
    filled = np.flatnonzero(events.n_hits)
    order = np.lexsort((time_ns, events.hit_event))  # NaN last
    n_known = np.add.reduceat(np.isfinite(time_ns), events.hit_offsets[filled]) if len(filled) else filled
    some = n_known > 0
    centre[filled[some]] = time_ns[order][events.hit_offsets[filled[some]] + (n_known[some] - 1) // 2]
    late = time_ns - centre[events.hit_event]
    return (late >= -before_ns) & (late <= after_ns)
