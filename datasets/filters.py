"""Which hits to keep, as (hit,) masks for `Events.keep_hits`.

Real events hold hits that no track made, and hits of other times.

    events = events.keep_hits(~filters.isolated(events))
"""

import numpy as np

from datasets.drift import LONGEST_DRIFT_NS
from datasets.geometry import N_COLUMNS, N_LAYERS, N_SIDES


def isolated(events):
    """Hits without another hit in the eight cells around, on the same side.

    Returns:
        (hit,) bool.
    """
    return neighbours(events) == 0


def neighbours(events, counted=None, chunk=1024):
    """How many hits each hit has in the eight cells around, on the same side.

    Args:
        counted: (hit,) bool, the hits that count as neighbours (default: all).
        chunk: how many events are counted at once, in a grid of their cells.
    Returns:
        (hit,) uint8.
    """
    hits = events.hits
    n_hits = len(hits["layer"])
    if counted is None:
        counted = np.ones(n_hits, bool)
    counted = np.asarray(counted, bool)
    found = np.zeros(n_hits, np.uint8)
    for start in range(0, len(events), chunk):
        offsets = events.hit_offsets[start : start + chunk + 1]
        chosen = slice(offsets[0], offsets[-1])
        n_events = len(offsets) - 1
        event = np.repeat(np.arange(n_events), np.diff(offsets))
        side = hits["side"][chosen].astype(np.intp)
        layer = hits["layer"][chosen].astype(np.intp) + 1  # the grid has an empty cell all around
        column = hits["column"][chosen].astype(np.intp) + 1
        shape = (n_events, N_SIDES, N_LAYERS + 2, N_COLUMNS + 2)
        grid = np.zeros(shape, np.uint8)
        grid[event, side, layer, column] = counted[chosen]
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                if (i, j) != (0, 0):
                    found[chosen] += grid[event, side, layer + i, column + j]
    return found


def in_time(time_ns, events, window_ns=LONGEST_DRIFT_NS):
    """Hits of the window of an event that holds most of them.

    Real events hold others, tens of microseconds before or after.

    Args:
        time_ns: (hit,) anode times, as the `stream_details` of `brio` and `tkevent` give them; a hit without
            one, NaN, is not in time.
        window_ns: how long the window is, by default as the longest drift. It opens at a hit; of windows with
            as many hits the first counts.
    Returns:
        (hit,) bool.
    """
    time_ns = np.asarray(time_ns, float)
    hit_event = events.hit_event
    order = np.lexsort((time_ns, hit_event))
    known = np.isfinite(time_ns[order])
    order = order[known]
    event = hit_event[order]
    time = time_ns[order]

    # One after another on a line, events are out of reach of each other.
    is_first = np.diff(event, prepend=-1) > 0
    first = np.flatnonzero(is_first)  # hit of each event that has some
    n_hits = np.diff(np.append(first, len(time)))
    since_first = time - np.repeat(time[first], n_hits)
    apart = 2 * window_ns + since_first.max(initial=0)
    line = since_first + event * apart
    end = np.searchsorted(line, line + window_ns, side="right")
    n_within = end - np.arange(len(line))

    opens = np.full(len(events), np.nan)
    most_first = np.lexsort((time, -n_within, event))
    best = most_first[first]
    opens[event[best]] = time[best]
    late = time_ns - opens[hit_event]
    return (late >= 0) & (late <= window_ns)
