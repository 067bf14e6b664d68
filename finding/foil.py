"""The foil rule: tracks start at the source foil, so a found line that does not is the rest of another track,
or no track.

A prior of the events, not of the detector: it holds for what is simulated here, not for tracks of cosmic rays
or from the tracker's gas.
"""

import numpy as np

from datasets.geometry import CELL_MM, HALF_HEIGHT_MM, MIDDLE_COLUMN, N_COLUMNS, N_LAYERS
from finding import peeling
from finding import segments as seg
from finding.labels import finder_hits, number_tracks

HEIGHT_MARGIN_MM = 150.0  # how far beyond the ends of the wires a height that a line predicts may lie


def foil_rule(events, labels, first_layers=2, max_silent=2, **limits):
    """Join found tracks that do not start at the foil to the track they continue, else leave their hits out.

    A track that has a hit in the first layers starts at the foil. Another one may be the rest of a track, and
    if not it starts there if its line reaches the foil within its edges and few of the cells on the way are
    silent: hits in them may be lost, or another track's.

    Args:
        events: Events. labels: (hit,) as a finder gives them. first_layers: how many layers count as first.
        max_silent: how many of the cells on a track's way from the foil to its first hit may not have fired.
        limits: of `segments.continuation`.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    hits, order = finder_hits(events)
    found = labels[order] >= 0
    # a track becomes a segment, numbered through all half events
    track = hits.group * (np.iinfo(np.int16).max + 1) + labels[order]
    mine = np.flatnonzero(found)
    segment = np.full(len(order), -1)
    _, segment[mine] = np.unique(track[mine], return_inverse=True)
    n = segment.max(initial=-1) + 1
    segments = seg.fit_clusters(segment[mine], peeling.take(hits, mine), n)
    layer, group = np.full(n, N_LAYERS), np.zeros(n, int)
    np.minimum.at(layer, segment[mine], events.hits["layer"][order[mine]])
    group[segment[mine]] = hits.group[mine]
    at_foil = silent_cells(segments, layer, group, hits) <= max_silent

    before, after, badness = peeling.continuations(hits, segments, segment, **limits)
    useful = at_foil[before] & (layer[after] >= first_layers)
    before, after, badness = before[useful], after[useful], badness[useful]
    worst_first = np.argsort(-badness, kind="stable")
    track = np.where(at_foil, np.arange(n), -1)
    track[after[worst_first]] = before[worst_first]
    track = np.where(track >= 0, track[track], -1)  # to a track that was itself joined to another
    cluster = np.full(len(order), -1)
    cluster[order[mine]] = track[segment[mine]]
    return number_tracks(cluster, events.hit_event)


def silent_cells(segments, layer, group, hits):
    """How many cells between the foil and its first hit a line crosses that did not fire; neither did those
    beside them.

    Args:
        segments: (5, segment). layer: (segment,) of the first hit. group: (segment,) half event. hits: Hits,
            all.
    Returns:
        (segment,) int, one for each layer before the first hit at most; more than there are layers where the
        line leaves the tracker before the foil. An unknown height may be any.
    """
    angle, offset, t0, z0, slope = (values[:, None] for values in segments)
    x = CELL_MM * (np.arange(N_LAYERS) + 0.5)
    before = np.arange(N_LAYERS) < layer[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        y = (offset - np.cos(angle) * x) / np.sin(angle)
        z = z0 + slope * (np.sin(angle) * x - np.cos(angle) * y - t0)
    column = np.rint(np.nan_to_num(y) / CELL_MM).clip(-N_COLUMNS, N_COLUMNS).astype(int) + MIDDLE_COLUMN
    inside = (column >= -1) & (column <= N_COLUMNS) & ~(np.abs(z) > HALF_HEIGHT_MM + HEIGHT_MARGIN_MM)
    fired = np.zeros(
        (hits.n_groups, N_LAYERS, N_COLUMNS + 4), bool
    )  # two columns more on each side: a cell beside the last ones
    hit_layer = np.floor(hits.x / CELL_MM).astype(int)
    hit_column = np.rint(hits.y / CELL_MM).astype(int) + MIDDLE_COLUMN + 2
    for beside in (-1, 0, 1):
        fired[hits.group, hit_layer, hit_column + beside] = True
    silent = ~fired[group[:, None], np.arange(N_LAYERS), (column + 2).clip(0, N_COLUMNS + 3)]
    return np.where((before & ~inside).any(1), N_LAYERS + 1, (before & silent).sum(1))
