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
from fitting.lines import unknown

_CHUNK_BINS = 4_000_000
_FARTHEST_WIRE_MM = np.hypot(N_COLUMNS / 2, N_LAYERS + 1) * CELL_MM
_LARGEST_MM = _FARTHEST_WIRE_MM + 50  # an offset, with its radius
_HEIGHT_LIMITS = (
    np.inf,
    8.0,
    4.0,
    2.0,
)  # of hits that heights are fitted to, in tolerances, step by step


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
    """The line of the highest bin of each half event, Lines, (group,), without heights.

    Args:
        hits: Hits, in the order of their groups. A hit without a radius counts at its wire.
        n_angles, bin_mm: as `find`.
    """
    angle_width = np.pi / n_angles
    angle = (np.arange(n_angles) + 0.5) * angle_width
    n_offsets = int(2 * _LARGEST_MM / bin_mm) + 2
    lines = unknown(hits.n_groups)
    groups, first = np.unique(hits.group, return_index=True)
    bounds = np.append(first, len(hits))
    n_together = max(1, _CHUNK_BINS // (n_angles * n_offsets))
    for start in range(0, len(groups), n_together):
        now = groups[start : start + n_together]
        stop = start + len(now)
        here = hits[bounds[start] : bounds[stop]]
        row = np.searchsorted(now, here.group)
        votes = _votes(here, row, len(now), angle, n_offsets, bin_mm)
        best_angle, best_offset = np.divmod(votes.argmax(1), n_offsets)
        offset = (best_offset + 0.5) * bin_mm - _LARGEST_MM
        # Lines have angles below 0: the normal is turned round
        lines.phi_rad[now] = angle[best_angle] - np.pi
        lines.d_mm[now] = -offset
    return lines


def _votes(hits, row, n_rows, angle, n_offsets, bin_mm):
    """(row, bin) how many curves cross each bin; angle * n_offsets + offset is the number of a bin.

    Each curve counts in the next bin too, on the side it is nearer to, so that a line on an edge between bins
    is not split.

    Args:
        hits: Hits. row: (hit,) row each belongs to. angle: (angle,) middle of the bins.
    """
    x = hits.x[:, None]
    y = hits.y[:, None]
    radius = np.nan_to_num(hits.radius)[:, None]
    wire = np.cos(angle) * x + np.sin(angle) * y
    offset = np.stack([wire + radius, wire - radius])
    place = (offset + _LARGEST_MM) / bin_mm
    angle_bin = np.arange(len(angle))
    first_bin = (row[:, None] * len(angle) + angle_bin) * n_offsets
    index = first_bin + place.astype(int)
    nearer_side = np.where(place % 1 < 0.5, -1, 1)
    both = np.stack([index, index + nearer_side])
    n_bins = len(angle) * n_offsets
    votes = np.bincount(both.ravel(), minlength=n_rows * n_bins)
    return votes.reshape(n_rows, n_bins)


def with_heights(lines, hits, tolerances, bin_mm):
    """The lines with heights fitted to the hits near them; hits far from the heights are left out step by
    step.
    """
    off = seg.off_mm(lines, hits.group, hits)
    near = off < tolerances.off_mm + bin_mm
    hits = hits[near]
    for limit in _HEIGHT_LIMITS:
        height_off = seg.height_off_mm(lines, hits.group, hits)
        hits = hits[height_off < limit * tolerances.height_mm]
        lines = seg.fit(lines, hits.group, hits)
    return lines
