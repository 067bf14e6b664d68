"""Which hits to keep, as (hit,) masks for `Events.keep_hits`.

Real events hold hits that no track made, and hits without measurements.

events = events.keep_hits(~filters.isolated(events) & filters.usable(events))
"""

import numpy as np

from datasets.drift import LONGEST_DRIFT_NS
from datasets.geometry import N_COLUMNS, N_LAYERS


def isolated(events):
    """Hits without another hit in the eight cells around, on the same side.

    Returns:
        (hit,) bool.
    """
    return neighbours(events) == 0


def neighbours(events, counted=None, chunk=1024):
    """How many hits each hit has in the eight cells around, on the same side.

    A vectorised 3 x 3 sum over a grid of cells.

    Args:
        counted: (hit,) bool, the hits that count as neighbours (default: all). chunk: events a grid.
    Returns:
        (hit,) uint8.
    """
    counted = np.ones(len(events.hits["layer"]), bool) if counted is None else np.asarray(counted, bool)
    found = np.zeros(len(counted), np.uint8)
    for start in range(0, len(events), chunk):
        offsets = events.hit_offsets[start : start + chunk + 1]
        hit = slice(offsets[0], offsets[-1])
        event = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        side, layer, column = (events.hits[name][hit].astype(np.intp) for name in ("side", "layer", "column"))
        grid = np.zeros(
            (len(offsets) - 1, 2, N_LAYERS + 2, N_COLUMNS + 2), np.uint8
        )  # an empty cell all around
        grid[event, side, layer + 1, column + 1] = counted[hit]
        around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
        found[hit] = sum(grid[event, side, layer + 1 + i, column + 1 + j] for i, j in around)
    return found


def usable(events):
    """Hits with a measured drift radius: what a fit can use."""
    return np.isfinite(events.hits["drift_radius_mm"])


def on_side(events, side):
    """Hits of one tracker side, 0 or 1."""
    return events.hits["side"] == side


def in_time(time_ns, events, window_ns=LONGEST_DRIFT_NS):
    """Hits of the window of an event that holds most of them: real events hold others, tens of microseconds
    before or after.

    Args:
        time_ns: (hit,) anode times, as the `stream_details` of `brio` and `tkevent` give them; a hit without
            one, NaN, is not in time.
        window_ns: how long the window is, by default as the longest drift. It opens at a hit; of equal ones
            the first counts.
    Returns:
        (hit,) bool.
    """
    time_ns, event = np.asarray(time_ns, float), events.hit_event
    order = np.lexsort((time_ns, event))
    order = order[np.isfinite(time_ns[order])]
    event_of, time = event[order], time_ns[order]
    first = np.flatnonzero(np.diff(event_of, prepend=-1))  # hit of each event that has some
    since = time - np.repeat(time[first], np.diff(np.append(first, len(time))))
    line = since + event_of * (
        2 * window_ns + since.max(initial=0)
    )  # the events one after another, out of reach of each other
    n_within = np.searchsorted(line, line + window_ns, side="right") - np.arange(len(line))
    opens = np.full(len(events), np.nan)
    best = np.lexsort((time, -n_within, event_of))[first]
    opens[event_of[best]] = time[best]
    late = time_ns - opens[event]
    return (late >= 0) & (late <= window_ns)
