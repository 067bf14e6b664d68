"""Track finding by connected cells: hits whose cells touch, directly or over a gap, are a track."""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from datasets.geometry import N_COLUMNS, N_LAYERS
from finding.labels import group_of_hits, number_tracks


def find(events, gap=1, z_step_mm=300.0, min_hits=3):
    """Labels of the connected components of each half event.

    Args:
        events: Events. gap: empty cells that a track may jump over (0: the eight cells around a hit are its
            neighbours; 1: also the sixteen around those).
        z_step_mm: neighbours whose heights differ by more are not connected; a missing height connects.
        min_hits: smaller components are left out.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    reach = gap + 1
    # cells with a margin, numbered through all half events: no two cells of different columns or events look
    # like neighbours
    n_layers = N_LAYERS + reach
    n_columns = N_COLUMNS + reach
    layer = group_of_hits(events) * n_layers + events.hits["layer"]
    cell = layer * n_columns + events.hits["column"]
    order = np.argsort(cell)
    one, other = _neighbours(cell[order], reach, n_columns)
    z = events.hits["z_mm"][order]
    step = np.abs(z[one] - z[other])
    joined = ~(step > z_step_mm)  # also where a height is missing
    pairs = one[joined], other[joined]
    n_hits = len(cell)
    graph = coo_matrix((joined[joined], pairs), shape=(n_hits, n_hits))
    _, number = connected_components(graph, directed=False)
    component = np.empty(n_hits, int)
    component[order] = number
    return number_tracks(component, events.hit_event, min_hits)


def _neighbours(cell, reach, n_columns):
    """Pairs of hits whose cells are `reach` layers and columns apart at most, each pair once.

    Args:
        cell: (hit,) int, rising; the cell of the next layer has a number higher by `n_columns`.
    Returns:
        (one, other) indices, each (pair,).
    """
    pairs = []
    for layers in range(reach + 1):
        for columns in range(-reach, reach + 1):
            if (layers, columns) > (0, 0):  # the others are pairs with one and other exchanged
                pairs.append(_pairs(cell, layers * n_columns + columns))
    return np.concatenate(pairs, axis=1)


def _pairs(cell, step):
    """(2, pair) indices of hits whose cells, rising, are `step` apart."""
    wanted = cell + step
    first = np.searchsorted(cell, wanted)
    stop = np.searchsorted(cell, wanted, side="right")
    one = np.flatnonzero(stop > first)
    return np.stack([one, first[one]])
