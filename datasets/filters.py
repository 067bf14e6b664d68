"""Which hits to keep, as (hit,) masks for `Events.keep_hits`.

Real events hold hits that no track made, and hits of other times.

    events = events.keep_hits(~filters.isolated(events))
    events = events.keep_hits(~filters.masked(events, [(0, 111, 7)]))

A cell that fires by itself, without a particle, is noisy. `noisy_cells` tells them from the others by how
often they fire alone.
"""

import argparse

import numpy as np
from scipy.ndimage import maximum_filter

from datasets.drift import LONGEST_DRIFT_NS
from datasets.geometry import N_CELLS, N_COLUMNS, N_LAYERS, N_SIDES

CELLS = (N_SIDES, N_COLUMNS, N_LAYERS)  # as a user names a cell: side,column,layer
LARGEST_RADIUS_MM = (
    35.0  # of a usable hit; TKEvent gives hits without a reference time 47 mm or more
)
LEAST_FIRED = 10  # by the cells of a layer on average, before one that never did is called dead
MORE_FIRED = 1.5  # than its layer on average, a noisy cell beside a dead one


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


def usable(events, largest_mm=LARGEST_RADIUS_MM):
    """Hits that a count or a fit should see: in real events, where the number of tracks is unknown, those
    with a drift radius that is not too large. In simulated ones a missing radius is a loss of the detector,
    and not a hit of another time: all hits are usable.

    Returns:
        (hit,) bool.
    """
    is_simulated = np.repeat(events.info["n_tracks"] >= 0, events.n_hits)
    return is_simulated | (events.hits["drift_radius_mm"] <= largest_mm)  # NaN is not


# ---- noisy cells -------------------------------------------------------------------------------------------


def add_mask(parser):
    """Give a script the flag `--mask`, cells that are left out of all events."""
    text = "noisy cells, left out of all events; show_events.py --noisy-cells advises"
    parser.add_argument(
        "--mask", type=cell, nargs="+", default=[], metavar="SIDE,COLUMN,LAYER", help=text
    )


def cell(text):
    """The type of flags that take a cell, side,column,layer: (side, column, layer)."""
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(CELLS):
        raise argparse.ArgumentTypeError(
            f"{text} is no cell, which is side,column,layer such as 0,111,7"
        )
    for name, number, n in zip(("side", "column", "layer"), numbers, CELLS, strict=True):
        if not 0 <= number < n:
            raise argparse.ArgumentTypeError(f"{text}: {name} {number} outside 0..{n - 1}")
    return numbers


def cell_of_hits(events):
    """(hit,) number of the cell of each hit, 0..2033, counted by side, column and layer."""
    hits = events.hits
    address = [hits[name].astype(np.intp) for name in ("side", "column", "layer")]
    return np.ravel_multi_index(address, CELLS)


def cell_at(number):
    """(side, column, layer) of the number of a cell."""
    return tuple(int(part) for part in np.unravel_index(number, CELLS))


def text_of(cell):
    """A cell as a user writes it, side,column,layer."""
    return ",".join(map(str, cell))


def masked(events, cells):
    """Hits in some cells.

    Args:
        cells: list of (side, column, layer).
    Returns:
        (hit,) bool.
    """
    if not len(cells):
        return np.zeros(len(events.hits["layer"]), bool)
    return np.isin(cell_of_hits(events), np.ravel_multi_index(np.transpose(cells), CELLS))


def counts_of_cells(events, mask=()):
    """How often each cell fired, and how often alone, as `isolated` says.

    Args:
        mask: cells whose lonely hits are not counted, a list of (side, column, layer). They still are
            neighbours: a cell is not lonely because the one beside it is left out.
    Returns:
        fired, alone: (cell,) int, cells as `cell_of_hits` numbers them.
    """
    number = cell_of_hits(events)
    lonely = isolated(events) & ~masked(events, mask)
    return np.stack(
        [np.bincount(number, minlength=N_CELLS), np.bincount(number[lonely], minlength=N_CELLS)]
    )


def noisy_cells(fired, alone, factor=3.0, level=0.01):
    """Cells that fire alone far more often than others.

    A cell is compared with the other cells of its layer and side, which all see particles in the same way. Of
    the K lonely hits of a layer of m cells, one falls on a given cell with probability 1 / m. Cells differ a
    little: up to `factor` times 1 / m nothing is said. A cell is noisy where a binomial number of K trials,
    each of probability factor / m, is as large as its own with a probability below level / 2034: in a sample
    without noisy cells, with a probability of less than `level`, any one of the 2034 is found. Noisy cells
    are then left out of K and m and the others tested again, until no more are found.

    Beside a dead cell, a track's hit often has no neighbour. Cells there do not count among the others, and
    are noisy only if they also fire, alone or not, more than 1.5 times as often as their layer, by the same
    test. A cell is dead that never fired though its layer did ten times a cell or more.

    Args:
        fired, alone: (cell,) how often each cell fired, and alone, as `counts_of_cells` gives them.
    Returns:
        noisy: (cell,) bool. expected: (cell,) float, how often it would have fired alone as one of the cells
        of its layer that are not noisy.
    """
    from scipy.stats import binom  # takes longer than all else at the start of a script

    fired = fired.reshape(CELLS)
    alone = alone.reshape(CELLS)
    dead = (fired == 0) & (fired.mean(1, keepdims=True) >= LEAST_FIRED)
    beside_dead = maximum_filter(dead, size=(1, 3, 3), mode="constant")
    of_layer = fired.sum(1, keepdims=True)
    fires_more = binom.sf(fired - 1, of_layer, MORE_FIRED / N_COLUMNS) < level / N_CELLS
    noisy = np.zeros(CELLS, bool)
    while True:
        is_other = ~beside_dead & ~noisy
        n_others = is_other.sum(1, keepdims=True)
        of_others = np.where(is_other, alone, 0).sum(1, keepdims=True)
        # with the cell itself, where it is none of the others
        total = of_others + np.where(is_other, 0, alone)
        share = np.minimum(factor / (n_others + ~is_other), 1)
        found = (binom.sf(alone - 1, total, share) < level / N_CELLS) & (fires_more | ~beside_dead)
        if not (found & ~noisy).any():
            break
        noisy |= found
    expected = np.broadcast_to(of_others / np.maximum(n_others, 1), CELLS)
    return noisy.ravel(), expected.ravel()
