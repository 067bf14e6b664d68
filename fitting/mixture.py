"""Each track as a mixture of solutions, straight ones and ones with a kink.

One fit is not enough: the wires of a track along a column, or along the foil, lie on one straight line, and
the mirror image of the track there fits the radii as well; a short piece beyond a kink can lie on either side
of its wires. How much a solution counts is told by

- the radii and heights of its hits, and the size of the errors of its parameters (`solutions`);
- how many tracks have a kink;
- the cells that it crosses and that did not fire (`silent_cells`).

The errors of radii and heights are measured from the events: how far all their tracks are from straight
lines.
"""

from dataclasses import replace

import numpy as np
from scipy.special import chdtrc, chdtri

from fitting import silent_cells, starts
from fitting.line import UNKNOWN_RADIUS_SIGMA_MM
from fitting.solutions import (
    FROM_AFAR,
    FROM_NEAR,
    NO_KINK,
    chunks,
    concatenate,
    residuals,
    solve,
)

KINK_SHARE = 0.1  # of the tracks
MAX_P = 0.1  # kinks are looked for in tracks whose p-value as one line is lower
NEGLIGIBLE = 12.0  # in log likelihood below the best solution
LEAST_SCALE = 0.02  # of the errors: ideal events have none
GOOD_TRACKS = 0.3  # share of tracks that are straight: their chi2 tells the errors
FEW_TRACKS = 10  # as many count as one opinion that the usual errors are right


def of_tracks(events, fitted, hits):
    """All solutions of tracks that count.

    Args:
        events: Events. fitted: FittedTracks of them, as of `tracks.fit`. hits: TrackHits of these.
    Returns:
        Solutions, in any order; none of a track of one wire.
    """
    straight = solve(hits, starts.straight(hits), FROM_AFAR)
    if not len(straight):
        return straight
    hits = _with_measured_errors(hits, straight[straight.are_best()])
    straight = solve(hits, straight[straight.near_best(4 * NEGLIGIBLE)], FROM_NEAR)

    first_wire = events.first_wire_mm[fitted.event]
    kinked_starts = starts.kinked(hits, _is_poor(hits, straight), first_wire)
    kinked = solve(hits, kinked_starts, FROM_AFAR)

    some = concatenate([straight, kinked])
    some.log_likelihood += _log_prior(some)
    some = some[some.near_best(2 * NEGLIGIBLE)]
    some.log_likelihood += silent_cells.log_likelihood(some, events, fitted)
    return some[some.near_best(NEGLIGIBLE)]


def _log_prior(some):
    """(solution,) how probable a solution's kind is before any hit is seen."""
    of_a_layer = KINK_SHARE / len(starts.KINK_LAYERS)
    return np.log(np.where(some.kink == NO_KINK, 1 - KINK_SHARE, of_a_layer))


def _is_poor(hits, straight):
    """(track,) bool, tracks whose best straight solution is improbable; hits: TrackHits."""
    best = straight[straight.are_best()]
    chi2_radius, n_radii, chi2_z, n_heights = _chi2_of_straight(hits, best)
    n_free = np.maximum(n_radii + n_heights - 4, 1)
    is_poor = np.zeros(hits.n_tracks, bool)
    is_poor[best.track] = chdtrc(n_free, chi2_radius + chi2_z) < MAX_P
    return is_poor


def _with_measured_errors(hits, best):
    """The hits with the usual errors times what straight tracks tell of them.

    Args:
        hits: TrackHits. best: Solutions, the best straight one of each track.
    """
    chi2_radius, n_radii, chi2_z, n_heights = _chi2_of_straight(hits, best)
    is_known = hits.sigma_radius_mm != UNKNOWN_RADIUS_SIGMA_MM
    scaled_radius = hits.sigma_radius_mm * _scale_of_errors(chi2_radius, n_radii)
    return replace(
        hits,
        sigma_radius_mm=np.where(is_known, scaled_radius, hits.sigma_radius_mm),
        sigma_z_mm=hits.sigma_z_mm * _scale_of_errors(chi2_z, n_heights),
    )


def _scale_of_errors(chi2, n_measured):
    """The factor on the usual errors that brings the chi2 of good tracks to where it belongs.

    Args:
        chi2, n_measured: (track,) of radii or of heights, and their number.
    """
    n_free = n_measured - 2  # two parameters of a line follow from radii, two from heights
    tells = n_free >= 3
    if not tells.any():
        return 1.0
    usual_chi2 = chdtri(n_free[tells], 1 - GOOD_TRACKS)
    variance = np.quantile(chi2[tells] / usual_chi2, GOOD_TRACKS)
    opinion = tells.sum() / (tells.sum() + FEW_TRACKS)
    return np.maximum(variance, LEAST_SCALE**2) ** (opinion / 2)


def _chi2_of_straight(hits, best):
    """How well straight solutions fit.

    Args:
        hits: TrackHits. best: Solutions.
    Returns:
        chi2 of radii, number of known radii, chi2 of heights, number of known heights, each (solution,).
    """
    sums = np.zeros((4, len(best)))
    by_size = np.argsort(hits.n_hits[best.track], kind="stable")
    for chunk in chunks(len(best)):
        which = by_size[chunk]
        table = hits.padded(best.track[which])
        distance, height, _, _ = residuals(table, best[which])
        off_radius = (np.abs(distance) - table["radius_mm"]) / table["sigma_radius_mm"]
        off_z = (height - table["z_mm"]) / table["sigma_z_mm"]
        has_radius = table["sigma_radius_mm"] < UNKNOWN_RADIUS_SIGMA_MM
        has_height = np.isfinite(table["sigma_z_mm"])
        sums[0, which] = (np.square(off_radius) * has_radius).sum(1)
        sums[1, which] = has_radius.sum(1)
        sums[2, which] = np.square(off_z).sum(1)
        sums[3, which] = has_height.sum(1)
    return sums
