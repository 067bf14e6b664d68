"""Track finding by a Legendre transform, the Hough transform of drift circles (Alexopoulos et al. 2008), in
the top view.

The tangents of a circle of radius r around a wire at (x, y) are the lines cos(a) x' + sin(a) y' = cos(a) x +
sin(a) y +- r: two curves in the plane of angle a and offset. The bin that most hits' curves cross is the line
that is proposed; it is refined with heights and takes its hits (`peeling`).
"""

import numpy as np

from datasets.geometry import CELL_MM, N_COLUMNS, N_LAYERS
from finding import peeling
from finding import segments as seg
from finding.peeling import Tolerances

_CHUNK_BINS = 4_000_000
_LARGEST_MM = np.hypot(N_COLUMNS / 2, N_LAYERS + 1) * CELL_MM + 50  # an offset, with its radius


def find(events, n_angles=180, bin_mm=6.0, **tolerances):
    """Labels by repeated Legendre transforms.

    Args:
        events: Events. n_angles: bins of the angle over half a turn. bin_mm: width of the bins of the offset.
        tolerances: of `peeling.Tolerances`.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    tolerances = Tolerances(**tolerances)

    def propose(hits, tolerances, number):
        lines = peaks(hits, n_angles, bin_mm)
        return with_heights(lines, hits, tolerances, bin_mm)

    return peeling.find(events, propose, tolerances)


def peaks(hits, n_angles, bin_mm):
    """(5, group) lines of the highest bin of each half event, heights NaN; hits in the order of their groups.

    Each curve counts in the next bin too, on the side it is nearer to, so that a line on an edge between bins
    is not split. A hit without a radius counts at its wire.
    """
    angle = (np.arange(n_angles) + 0.5) * np.pi / n_angles
    n_bins = int(2 * _LARGEST_MM / bin_mm) + 2
    lines = np.zeros((5, hits.n_groups))
    lines[3] = np.nan
    groups, start = np.unique(hits.group, return_index=True)
    bounds = np.append(start, len(hits.group))
    n_together = max(1, _CHUNK_BINS // (n_angles * n_bins))
    for first in range(0, len(groups), n_together):
        now = groups[first : first + n_together]
        here = slice(bounds[first], bounds[first + len(now)])
        radius = np.nan_to_num(hits.radius[here, None])
        wire = hits.x[here, None] * np.cos(angle) + hits.y[here, None] * np.sin(angle) + _LARGEST_MM
        place = np.stack([wire + radius, wire - radius]) / bin_mm
        row = np.searchsorted(now, hits.group[here])[:, None] * n_angles + np.arange(n_angles)
        index = row * n_bins + place.astype(np.int64)
        beside = index + np.where(place % 1 < 0.5, -1, 1)
        votes = np.bincount(np.stack([index, beside]).ravel(), minlength=len(now) * n_angles * n_bins)
        best = votes.reshape(len(now), -1).argmax(1)
        lines[0, now] = angle[best // n_bins]
        lines[1, now] = (best % n_bins + 0.5) * bin_mm - _LARGEST_MM
    return lines


def with_heights(lines, hits, tolerances, bin_mm):
    """The lines with heights fitted to the hits near them, hits far from the heights left out step by step."""
    near = np.flatnonzero(seg.distances(lines, hits.group, hits)[0] < tolerances.off_mm + bin_mm)
    for limit in (np.inf, 8.0, 4.0, 2.0):
        some = peeling.take(hits, near)
        height = seg.distances(lines, some.group, some)[1]
        near = near[height < limit * tolerances.height_mm]
        lines = seg.fit(lines, hits.group[near], peeling.take(hits, near))
    return lines
