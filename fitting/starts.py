"""Where the search for solutions of tracks begins: tangents to circles at their ends, and mirror images.

Coordinates are those of the events' own geometry, by |x|.
"""

import numpy as np

from datasets.geometry import CELL_MM
from fitting.solutions import N_PARAMETERS, NO_KINK, THETA, TURN, Solutions, concatenate

KINK_LAYERS = range(2, 8)  # first layers beyond a kink that are tried
WORTH_TRYING = 200.0  # in chi2 beyond the best start

_BEST_OF_A_PIECE = 2  # starts of each piece of a kinked track
_MOST_OF_A_HIT = 25.0  # in chi2: it may be a wrong one
_MOST_KINK_RAD = 1.0
_LEAST_APART_MM = 1e-3  # of two wires
_LEAST_COS = 1e-2  # of a first piece along the foil


def straight(hits):
    """Straight lines to begin with, for tracks of two wires or more.

    Args:
        hits: TrackHits.
    Returns:
        Solutions without heights.
    """
    every = np.ones(len(hits.layer), bool)
    middle, _, _ = hits.axes()
    points, thetas, _ = _tangents(hits, every)
    chi2 = _chi2(hits, every, points, thetas)
    is_tried = (chi2 < chi2.min(0) + WORTH_TRYING) & (_n_wires(hits) >= 2)
    starts = [_none()]
    for point, theta, tried in zip(points, thetas, is_tried, strict=True):
        track = np.flatnonzero(tried)
        normal, direction = _normal_and_direction(theta[track])
        back = ((middle[track] - point[track]) * direction).sum(1)
        near_middle = point[track] + back[:, None] * direction
        starts.append(_start(track, NO_KINK, near_middle, normal, _half_turn(theta[track])))
    return concatenate(starts)


def kinked(hits, is_chosen, first_wire_mm):
    """Lines with a kink to begin with: the best ones of the hits in front of a kink, and of those beyond.

    Args:
        hits: TrackHits. is_chosen: (track,) bool, which tracks. first_wire_mm: (track,) |x| of layer 0.
    Returns:
        Solutions without heights; `log_likelihood` is that of the radii.
    """
    chosen_hit = is_chosen[hits.track]
    starts = [_none()]
    for layer in KINK_LAYERS:
        in_front = chosen_hit & (hits.layer < layer)
        beyond = chosen_hit & (hits.layer >= layer)
        first_pieces, n_in_front = _best_lines(hits, in_front)
        last_pieces, n_beyond = _best_lines(hits, beyond)
        track = np.flatnonzero(is_chosen & (n_in_front >= 2) & (n_beyond >= 2))
        plane = first_wire_mm[track] + CELL_MM * (layer - 0.5)
        for first_piece in first_pieces:
            for last_piece in last_pieces:
                starts.append(_with_kink(track, layer, plane, first_piece, last_piece))
    starts = concatenate(starts)
    return starts[starts.near_best(WORTH_TRYING / 2)]


def _with_kink(track, layer, plane, first_piece, last_piece):
    """Solutions to begin with, with a kink where their first pieces reach a plane in front of a layer.

    Args:
        track: (chosen,). layer: int. plane: (chosen,) |x| in mm. first_piece, last_piece: (point, theta,
            chi2) of all tracks, as of `_best_lines`.
    """
    point, theta, chi2 = (values[track] for values in first_piece)
    _, theta_beyond, chi2_beyond = (values[track] for values in last_piece)
    theta = _half_turn(theta)
    turn = np.clip(_half_turn(theta_beyond - theta), -_MOST_KINK_RAD, _MOST_KINK_RAD)
    cos = np.maximum(np.cos(theta), _LEAST_COS)
    y = point[:, 1] + np.sin(theta) / cos * (plane - point[:, 0])
    at_plane = np.stack([plane, y], -1)
    along_foil = np.broadcast_to([0.0, 1.0], at_plane.shape)
    start = _start(track, layer, at_plane, along_foil, theta)
    start.value[:, TURN] = turn
    start.log_likelihood = -(chi2 + chi2_beyond) / 2
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


def _best_lines(hits, mask):
    """The lines that fit the radii of some hits best.

    Args:
        hits: TrackHits. mask: (hit,) bool.
    Returns:
        list of (point, theta, chi2), (track, 2), (track,) and (track,), the best first; (track,) how many
        hits.
    """
    points, thetas, n = _tangents(hits, mask)
    chi2 = _chi2(hits, mask, points, thetas)
    order = np.argsort(chi2, axis=0, kind="stable")
    every = np.arange(hits.n_tracks)
    lines = [(points[i, every], thetas[i, every], chi2[i, every]) for i in order[:_BEST_OF_A_PIECE]]
    return lines, n


def _tangents(hits, mask):
    """The four tangents to the outermost circles of tracks, and their mirror images about the main axis of
    the wires.

    Args:
        hits: TrackHits. mask: (hit,) bool, which hits count.
    Returns:
        point: (start, track, 2) of each line, in mm. theta: (start, track). n: (track,) hits that count.
    """
    middle, axis, n = hits.axes(mask)
    one, two = _outermost(hits, mask, middle, axis, n)
    wires = hits.wire_mm
    apart = wires[two] - wires[one]
    length = np.maximum(np.hypot(*apart.T), _LEAST_APART_MM)
    from_one_to_two = np.arctan2(apart[:, 1], apart[:, 0])
    points = []
    thetas = []
    for side_one, side_two in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        # the line passes the first wire at the distance left_one on its left, and so the second
        left_one = side_one * hits.radius_mm[one]
        left_two = side_two * hits.radius_mm[two]
        theta = from_one_to_two - np.arcsin(np.clip((left_two - left_one) / length, -1, 1))
        normal, _ = _normal_and_direction(theta)
        points.append(wires[one] - normal * left_one[:, None])
        thetas.append(theta)
    point = np.stack(points)
    theta = np.stack(thetas)
    axis_normal, _ = _normal_and_direction(axis)
    off_axis = ((point - middle) * axis_normal).sum(-1)
    mirrored_point = point - 2 * off_axis[..., None] * axis_normal
    mirrored_theta = 2 * axis - theta
    return np.concatenate([point, mirrored_point]), np.concatenate([theta, mirrored_theta]), n


def _outermost(hits, mask, middle, axis, n):
    """First and last hit of tracks along the main axes of their wires: two (track,) indices.

    Args:
        hits: TrackHits. mask: (hit,) bool, which hits count. middle, axis, n: (track, ...), of
            `TrackHits.axes`.
    """
    track = hits.track
    _, direction = _normal_and_direction(axis)
    along = ((hits.wire_mm - middle[track]) * direction[track]).sum(1)
    order = np.lexsort((np.where(mask, along, np.inf), track))
    last_of_all = len(track) - 1
    first = np.minimum(hits.offsets[:-1], last_of_all)
    last = np.minimum(first + np.maximum(n - 1, 0), last_of_all)
    return order[first], order[last]


def _chi2(hits, mask, points, thetas):
    """(start, track) chi2 of the radii of some hits to lines.

    Args:
        hits: TrackHits. mask: (hit,) bool. points: (start, track, 2). thetas: (start, track).
    """
    track = hits.track[mask]
    normal, _ = _normal_and_direction(thetas)
    of_line = (points * normal).sum(-1)
    across = normal[:, track, 0] * hits.x_mm[mask] + normal[:, track, 1] * hits.y_mm[mask]
    distance = across - of_line[:, track]
    off = (np.abs(distance) - hits.radius_mm[mask]) / hits.sigma_radius_mm[mask]
    each = np.minimum(np.square(off), _MOST_OF_A_HIT)
    return np.stack([np.bincount(track, of_start, hits.n_tracks) for of_start in each])


def _n_wires(hits):
    """(track,) distinct wires."""
    wires = np.unique(np.column_stack([hits.track, hits.wire_mm]), axis=0)
    return np.bincount(wires[:, 0].astype(int), minlength=hits.n_tracks)


def _normal_and_direction(theta):
    """Unit vectors across and along directions, (..., 2) each."""
    cos = np.cos(theta)
    sin = np.sin(theta)
    return np.stack([-sin, cos], -1), np.stack([cos, sin], -1)


def _half_turn(theta):
    """The same lines with angles from -pi/2 to pi/2, away from the foil."""
    return theta - np.pi * np.round(theta / np.pi)
