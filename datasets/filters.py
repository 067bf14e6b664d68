"""Which hits to keep, as (hit,) masks for `Events.keep_hits`. Real events hold hits that no track made, and hits without measurements.

events = events.keep_hits(~filters.isolated(events) & filters.usable(events))
"""

import numpy as np

from datasets.geometry import N_COLUMNS, N_LAYERS

LONGEST_DRIFT_NS = 10_000.0  # Falaise gives no radius to later hits


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


def in_time(time_ns, events, window_ns=LONGEST_DRIFT_NS):
    """Hits no later than a window after the first of their event: real events can hold others, tens of microseconds late.

    Args:
        time_ns: (hit,) anode times, as the `stream_details` of `brio` and `tkevent` give them; a hit without one, NaN, is not in time.
        window_ns: from the first hit on; by default the longest drift, so that no hit of what came first is lost.
    Returns:
        (hit,) bool.
    """
    time_ns = np.asarray(time_ns, float)
    first = np.full(len(events), np.inf)
    np.fmin.at(first, events.hit_event, time_ns)
    return time_ns - first[events.hit_event] <= window_ns
