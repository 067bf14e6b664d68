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
    # cells with a margin, numbered through all half events: no two cells of different columns or events look
    # like neighbours
    height, width = N_LAYERS + gap + 1, N_COLUMNS + gap + 1
    cell = (group_of_hits(events) * height + events.hits["layer"]) * width + events.hits["column"]
    order = np.argsort(cell)
    cell, z = cell[order], events.hits["z_mm"][order]
    reach = gap + 1
    steps = [
        (i, j) for i in range(reach + 1) for j in range(-reach, reach + 1) if (i, j) > (0, 0)
    ]  # each pair once
    pairs = [_pairs(cell, i * width + j) for i, j in steps]
    one, other = np.concatenate(pairs, axis=1)
    joined = ~(np.abs(z[one] - z[other]) > z_step_mm)
    graph = coo_matrix((joined[joined], (one[joined], other[joined])), shape=(len(cell), len(cell)))
    component = np.empty(len(cell), int)
    component[order] = connected_components(graph, directed=False)[1]
    return number_tracks(component, events.hit_event, min_hits)


def _pairs(cell, step):
    """(2, pair) indices of hits whose cells, rising, are `step` apart."""
    place = np.minimum(np.searchsorted(cell, cell + step), len(cell) - 1)
    one = np.flatnonzero(cell[place] == cell + step) if len(cell) else np.zeros(0, int)
    return np.stack([one, place[one]])
