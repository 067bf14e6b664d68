"""The foil rule: tracks start at the source foil, so a found line that does not is the rest of another track,
or no track.

A prior of the events, not of the detector: it holds for what is simulated here, not for tracks of cosmic rays
or from the tracker's gas.
"""

import numpy as np

from datasets.geometry import CELL_MM, HALF_HEIGHT_MM, MIDDLE_COLUMN, N_COLUMNS, N_LAYERS
from finding import peeling
from finding import segments as seg
from finding.labels import finder_hits, group_of_hits

HEIGHT_MARGIN_MM = (
    150.0  # how far beyond the ends of the wires a height that a line predicts may lie
)
_MARGIN = (
    2  # columns more on each side of the tracker: a line may pass one beyond, and look beside that
)


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
    owner, n_lines = one_line_a_track(labels[order], hits.group)
    line, owned = seg.owned_hits(owner, hits)
    lines = seg.fit_clusters(line, owned, n_lines)
    group = peeling.group_of_lines(hits, owner, n_lines)
    layer = seg.first_layer(line, owned, n_lines)
    at_foil = silent_cells(lines, layer, group, events) <= max_silent

    before, after, badness = peeling.continuations(hits, lines, owner, **limits)
    starts_later = layer[after] >= first_layers
    useful = np.flatnonzero(at_foil[before] & starts_later)
    before = before[useful]
    after = after[useful]
    continued = peeling.least_bad(n_lines, after, before, badness[useful])
    alone = np.arange(n_lines)
    alone[~at_foil] = -1
    track = np.where(continued >= 0, continued, alone)
    track = np.where(track >= 0, track[track], -1)  # to a track that was itself joined to another
    return peeling.label_hits(events, order, owner, track)


def one_line_a_track(labels, group):
    """Found tracks as owners of hits, with a number for each track of each half event.

    Args:
        labels: (hit,) int16, found tracks. group: (hit,) half event.
    Returns:
        owner: (hit,) number of the track of each hit, -1 for none. n_lines: how many there are.
    """
    most_tracks = np.iinfo(np.int16).max + 1
    track = group * most_tracks + labels
    owned = labels >= 0
    found, number = np.unique(track[owned], return_inverse=True)
    owner = np.full(len(labels), -1)
    owner[owned] = number
    return owner, len(found)


def silent_cells(lines, layer, group, events):
    """How many cells between the foil and its first hit a line crosses that did not fire; neither did those
    beside them.

    Args:
        lines: Lines. layer: (line,) of the first hit. group: (line,) half event. events: Events, all.
    Returns:
        (line,) int, one for each layer before the first hit at most; more than there are layers where the
        line leaves the tracker before the foil. An unknown height may be any.
    """
    layers = np.arange(N_LAYERS)
    before = layers < layer[:, None]
    x = CELL_MM * (layers + 0.5)
    y, z = _crossings(lines, x)
    column = MIDDLE_COLUMN + np.rint(np.nan_to_num(y) / CELL_MM)
    too_far = (column < -1) | (column > N_COLUMNS)
    too_high = np.abs(z) > HALF_HEIGHT_MM + HEIGHT_MARGIN_MM
    leaves = before & (too_far | too_high)
    fired = _fired_with_neighbours(events)
    column = column.clip(-_MARGIN, N_COLUMNS + _MARGIN - 1).astype(int)
    fired_on_the_way = fired[group[:, None], layers, column + _MARGIN]
    n_silent = np.count_nonzero(before & ~fired_on_the_way, axis=1)
    n_silent[leaves.any(1)] = N_LAYERS + 1
    return n_silent


def _crossings(lines, x_mm):
    """(y, z) in mm where lines cross planes along the foil, each (line, plane); infinite or NaN for lines
    along it.

    Args:
        x_mm: (plane,).
    """
    line = np.arange(len(lines))[:, None]
    cos, sin = lines.normal(line)
    to_go = lines.d_mm[line] - cos * x_mm
    with np.errstate(divide="ignore", invalid="ignore"):
        y = to_go / sin
        z = lines.z_at(line, x_mm, y)
    return y, z


def _fired_with_neighbours(events):
    """(half event, layer, column) bool, whether a cell fired or one beside it in its layer; _MARGIN columns
    more on each side.
    """
    shape = (2 * len(events), N_LAYERS, N_COLUMNS + 2 * _MARGIN)
    image = np.zeros(shape, bool)
    group = group_of_hits(events)
    layer = events.hits["layer"]
    column = events.hits["column"].astype(int) + _MARGIN
    for beside in (-1, 0, 1):
        image[group, layer, column + beside] = True
    return image
