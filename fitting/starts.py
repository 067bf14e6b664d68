"""Where the search for solutions of tracks begins: the best lines through their radii, by `line.fit`, and the
mirror images of those whose wires lie on one straight line.

Coordinates are those of the events' own geometry, by |x|.
"""

import numpy as np

from datasets.geometry import CELL_MM
from fitting import line
from fitting.solutions import N_PARAMETERS, NO_KINK, THETA, TURN, Solutions, concatenate

KINK_LAYERS = range(2, 8)  # first layers beyond a kink that are tried
WORTH_TRYING = 200.0  # in chi2 beyond the best start

_MOST_KINK_RAD = 1.0
_LEAST_COS = 1e-2  # of a first piece along the foil


def straight(hits):
    """Straight lines to begin with, for tracks of two wires or more.

    Args:
        hits: TrackHits.
    Returns:
        Solutions without heights.
    """
    every = np.ones(len(hits.layer), bool)
    middle, _ = hits.axes()
    starts = [_none()]
    for lines in _lines_and_images(hits, every):
        track = np.flatnonzero(_are_known(lines) & (_n_wires(hits) >= 2))
        phi = lines.phi_rad[track]
        normal = np.stack([np.cos(phi), np.sin(phi)], -1)
        to_line = lines.d_mm[track] - (middle[track] * normal).sum(1)
        near_middle = middle[track] + to_line[:, None] * normal
        starts.append(_start(track, NO_KINK, near_middle, normal, _theta(lines, track)))
    return concatenate(starts)


def kinked(hits, is_chosen, first_wire_mm):
    """Lines with a kink to begin with: those of the hits in front of a kink, with those of the hits beyond.

    Args:
        hits: TrackHits. is_chosen: (track,) bool, which tracks. first_wire_mm: (track,) |x| of layer 0.
    Returns:
        Solutions without heights; `log_likelihood` is that of the radii.
    """
    chosen_hit = is_chosen[hits.track]
    starts = [_none()]
    for layer in KINK_LAYERS:
        in_front = _lines_and_images(hits, chosen_hit & (hits.layer < layer))
        beyond = _lines_and_images(hits, chosen_hit & (hits.layer >= layer))
        plane = first_wire_mm + CELL_MM * (layer - 0.5)
        for first_lines in in_front:
            for last_lines in beyond:
                starts.append(_with_kink(layer, plane, first_lines, last_lines))
    starts = concatenate(starts)
    return starts[starts.near_best(WORTH_TRYING / 2)]


def _lines_and_images(hits, mask):
    """Fits of the radii of some hits.

    Args:
        hits: TrackHits. mask: (hit,) bool.
    Returns:
        two FittedLines, (track,): the best line, and its mirror image where the wires lie on a straight line.
    """
    track = np.where(mask, hits.track, -1)
    no_height = np.full(len(track), np.nan)
    of_hits = (hits.x_mm, hits.y_mm, hits.radius_mm, no_height, hits.sigma_radius_mm, np.inf)
    lines = line.fit(track, hits.n_tracks, *of_hits)
    return lines, line.fit_mirror_images(lines, track, *of_hits)


def _are_known(lines):
    """(track,) bool, whether a FittedLines has a line there."""
    return np.isfinite(lines.phi_rad)


def _theta(lines, track):
    """(chosen,) angle of the direction of FittedLines, from -pi/2 to pi/2: away from the foil."""
    return _half_turn(lines.phi_rad[track] - np.pi / 2)


def _half_turn(theta):
    """The same lines with angles from -pi/2 to pi/2."""
    return theta - np.pi * np.round(theta / np.pi)


def _with_kink(layer, plane_mm, first_lines, last_lines):
    """Solutions to begin with, with a kink where their first lines reach a plane in front of a layer.

    Args:
        layer: int. plane_mm: (track,) |x|. first_lines, last_lines: FittedLines, (track,).
    """
    track = np.flatnonzero(_are_known(first_lines) & _are_known(last_lines))
    theta = _theta(first_lines, track)
    turn = _half_turn(_theta(last_lines, track) - theta)
    phi = first_lines.phi_rad[track]
    x = plane_mm[track]
    foot_x = first_lines.d_mm[track] * np.cos(
        phi
    )  # of the perpendicular from the origin to the line
    foot_y = first_lines.d_mm[track] * np.sin(phi)
    slope = np.sin(theta) / np.maximum(np.cos(theta), _LEAST_COS)
    at_plane = np.stack([x, foot_y + slope * (x - foot_x)], -1)
    along_foil = np.broadcast_to([0.0, 1.0], at_plane.shape)
    start = _start(track, layer, at_plane, along_foil, theta)
    start.value[:, TURN] = np.clip(turn, -_MOST_KINK_RAD, _MOST_KINK_RAD)
    start.log_likelihood = -(first_lines.chi2_radius[track] + last_lines.chi2_radius[track]) / 2
    return start


def _start(track, kink, point, along, theta):
    """Solutions of a direction, everything else 0."""
    n = len(track)
    value = np.zeros((n, N_PARAMETERS))
    value[:, THETA] = theta
    return Solutions(
        track=track,
        kink=np.full(n, kink),
        point_mm=point,
        along=along,
        value=value,
        covariance=np.zeros((n, N_PARAMETERS, N_PARAMETERS)),
        log_likelihood=np.zeros(n),
    )


def _none():
    """No Solutions."""
    nowhere = np.zeros((0, 2))
    return _start(np.zeros(0, int), NO_KINK, nowhere, nowhere, np.zeros(0))


def _n_wires(hits):
    """(track,) distinct wires."""
    wires = np.unique(np.column_stack([hits.track, hits.wire_mm]), axis=0)
    return np.bincount(wires[:, 0].astype(int), minlength=hits.n_tracks)
