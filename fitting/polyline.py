"""Kinks: tracks that are two straight segments, one line up to a layer and another beyond it.

All tracks in one call.

A track whose hits do not fit one line is cut in front of each candidate layer and both parts are fitted on
their own; the best cut is kept if it gains enough. Hits may be wrong, which must not look like a kink: one
line and two compete with at most clip_sigma^2 for a hit, so a wrong hit or two never pay for a cut. The
segments are not made to meet; `Polylines.gap_mm` tells whether they do.
"""

from dataclasses import dataclass

import numpy as np

from datasets.geometry import N_LAYERS
from fitting import line as lines_of


@dataclass
class Polylines:
    """Tracks of one segment or two.

    Attributes:
        kinked: (line,) bool. layer: (line,) int, the first layer beyond the kink, -1 without one.
        gain: (line,) what the best cut gains in chi2, NaN for lines that were not cut.
        segment: (hit,) int, row of `segments` each hit belongs to, -1 for none.
        segments: FittedLines, two rows a track: 2 line up to the kink or for the whole track, 2 line + 1
            beyond the kink.
    """

    kinked: np.ndarray
    layer: np.ndarray
    gain: np.ndarray
    segment: np.ndarray
    segments: lines_of.FittedLines

    def meeting_mm(self):
        """(x, y) in mm where the two segments of each track cross in the top view, each (line,); NaN without
        a kink.
        """
        one = self.segments[0::2]
        two = self.segments[1::2]
        with np.errstate(divide="ignore", invalid="ignore"):
            determinant = np.sin(two.phi_rad - one.phi_rad)
            x = (one.d_mm * np.sin(two.phi_rad) - two.d_mm * np.sin(one.phi_rad)) / determinant
            y = (two.d_mm * np.cos(one.phi_rad) - one.d_mm * np.cos(two.phi_rad)) / determinant
        return x, y

    def gap_mm(self):
        """(line,) how much higher the second segment is than the first where they cross in the top view; NaN
        without a kink.
        """
        first = 2 * np.arange(len(self.kinked))
        x, y = self.meeting_mm()
        return self.segments.z_at(first + 1, x, y) - self.segments.z_at(first, x, y)


def fit(
    line,
    n_lines,
    layer,
    x_mm,
    y_mm,
    radius_mm,
    z_mm,
    sigma_radius_mm,
    sigma_z_mm,
    layers=range(2, 8),
    min_hits=3,
    max_p=1e-3,
    min_gain=25.0,
    clip_sigma=5.0,
):
    """Fit each track as one line or as two.

    Args:
        line, n_lines, x_mm, y_mm, radius_mm, z_mm, sigma_radius_mm, sigma_z_mm, clip_sigma: as `line.fit`.
        layer: (hit,) int. layers: first layers beyond a kink to try. min_hits: hits that each segment must
            keep.
        max_p: only tracks are cut whose p-value as one line, with all their hits, is below it.
        min_gain: chi2 that a cut must gain, for its four parameters and the choice of the layer.
    Returns:
        Polylines.
    """
    line = np.asarray(line)
    layer = np.asarray(layer)
    measurements = [
        np.broadcast_to(np.asarray(values, float), line.shape)
        for values in (x_mm, y_mm, radius_mm, z_mm, sigma_radius_mm, sigma_z_mm)
    ]
    p_value = lines_of.fit(line, n_lines, *measurements).p_value()
    bad = np.flatnonzero(p_value < max_p)
    cuts = np.append(layers, N_LAYERS)  # the last is none: the whole track before it
    costs = _costs(line, n_lines, layer, measurements, bad, cuts, min_hits, clip_sigma)
    cost_of_one_line = costs[-1]
    cost = costs[:-1].min(0)
    best_cut = cuts[costs[:-1].argmin(0)]
    possible = np.isfinite(cost)

    gain = np.full(n_lines, np.nan)
    gain[bad[possible]] = cost_of_one_line[possible] - cost[possible]
    kinked = gain > min_gain
    first_beyond = np.full(n_lines, N_LAYERS)
    first_beyond[bad] = np.where(kinked[bad], best_cut, N_LAYERS)
    segment = np.full(len(line), -1)
    owned = np.flatnonzero(line >= 0)
    beyond = layer[owned] >= first_beyond[line[owned]]
    segment[owned] = 2 * line[owned] + beyond
    return Polylines(
        kinked=kinked,
        layer=np.where(kinked, first_beyond, -1),
        gain=gain,
        segment=segment,
        segments=lines_of.fit(segment, 2 * n_lines, *measurements, clip_sigma=clip_sigma),
    )


def _costs(line, n_lines, layer, measurements, which, cuts, min_hits, clip_sigma):
    """(cut, chosen line) chi2 of both segments, clip_sigma^2 for each hit left out, infinite where a segment
    has too few hits.

    Args:
        line, n_lines, layer, min_hits, clip_sigma: as of `fit`. measurements: the others, a list of (hit,).
        which: (chosen line,) lines to cut. cuts: (cut,) first layers beyond; for the last one the second
            segment may be empty.
    """
    place = np.full(n_lines, -1)
    place[which] = np.arange(len(which))
    hits = np.flatnonzero(line >= 0)
    hits = hits[place[line[hits]] >= 0]
    # every track is fitted once a cut, as two lines
    track = np.arange(len(cuts))[:, None] * len(which) + place[line[hits]]
    beyond = layer[hits] >= cuts[:, None]
    segment = (2 * track + beyond).ravel()
    n_segments = 2 * len(cuts) * len(which)
    copies = [np.tile(values[hits], len(cuts)) for values in measurements]
    segments = lines_of.fit(segment, n_segments, *copies, clip_sigma=clip_sigma)
    n_left_out = np.bincount(segment, minlength=n_segments) - segments.n_hits
    cost = segments.chi2_radius + segments.chi2_z + clip_sigma**2 * n_left_out
    enough = segments.valid & (segments.n_hits >= min_hits)
    cost = np.where(enough, cost, np.inf).reshape(len(cuts), len(which), 2)
    cost[-1, :, 1] = 0
    return cost.sum(2)
