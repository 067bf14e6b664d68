"""Which calorimeter block each track ends in, with a probability; and which fired block belongs to which
track.

One fit is not enough: the wires of a track along a column, or along the foil, lie on one straight line, and
the mirror image of the track there fits the radii as well; a short piece beyond a kink can lie on either side
of its wires. So each track is a mixture of solutions, straight ones and ones with a kink, and of each

- the radii and heights tell the likelihood, with a small share of wrong ones among them;
- the cells that it crosses and that did not fire make it less likely, and so do mirror images that would have
  gone on through other cells;
- the size of the errors in all six parameters counts (Laplace's approximation of the evidence), which is what
  keeps two lines from winning over one for free;
- only what starts at the foil, within the detector, counts.

The parameters of a solution are drawn from its normal distribution, all at the same fixed quasi-random
points, and each draw is followed to where it ends. The share of the draws in a block is its probability:
correlations, and that heights and columns are no linear functions of angles, are in it.

The errors that belong to the events are measured from the events: how far radii and heights of all their
tracks are from straight lines, and how often a crossed cell fires.

Coordinates are those of the events' own geometry, by |x|. A solution is a point that all its lines meet, the
angle theta of the direction in the top view, from the normal of the foil, and dz/ds, how the height rises
along it; beyond a kink both change.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.special import chdtrc, chdtri, ndtr, ndtri
from scipy.stats import qmc

from datasets import geometry as geo
from datasets.drift import possible_radius_mm, sigma_radius_mm
from datasets.events import offsets_of, rows_and_places
from datasets.geometry import CELL_MM, CELL_RADIUS_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS
from fitting.line import UNKNOWN_RADIUS_SIGMA_MM
from fitting.tracks import RADIUS_SCALE, SIGMA_Z_MM

N_DRAWS = 128
CHUNK = 512  # solutions at a time: their hits stay in the processor's cache
WRONG_RADII = 0.01  # share of hits whose radius is not the track's
WRONG_HEIGHTS = 0.003
KINK_SHARE = 0.1  # of the tracks
KINK_RAD = np.radians(16)  # rms change of each angle at a kink
KINK_LAYERS = range(2, 8)  # first layers beyond a kink that are tried
MAX_P = 0.1  # kinks are looked for in tracks whose p-value as one line is lower
OFF_FOIL = 1e-4  # how much less probable a track is that does not start at the foil, or ends above its wires
BEYOND_WIRES_MM = 50.0  # that a height may be, by its error
LEAST_SCALE = 0.02  # of the errors: ideal events have none
GOOD_TRACKS = 0.3  # share of tracks that are straight: their chi2 tells the errors
FEW_TRACKS = 10  # as many count as one opinion that the usual errors are right
EFFICIENCY = 0.9  # of a crossed cell, before any was seen
CROSSING_MM = 0.5  # error of the edge of a cell
SLACK_MM = 10.0  # of a real track's end: curvature, depth of a block
WORTH_TRYING = 200.0  # in chi2 beyond the best start
NEGLIGIBLE = 12.0  # in log likelihood below the best solution
# Factors on the errors, one a round: wide first, so that wrong hits show; of heights nothing is known at first
FROM_AFAR = (np.inf, 10.0, 4.0, 2.0, 1.0, 1.0, 1.0)
FROM_NEAR = (2.0, 1.0, 1.0)
_NO_KINK = N_LAYERS  # a kink in front of this layer is none
_STIFF = 1e-6  # change of angle that a straight line allows
_FLAT = 3.0  # prior width of dz/ds; a few heights may not tell it
_FAR_MM = 3000.0  # and of the places
_ROUNDING = 1e-9  # of a correlation
_N_NUMBERS = 2**14  # more than those of `_number`


@dataclass
class Ends:
    """Where tracks may end.

    Attributes:
        event, label, side: (track,) event of each track, its label there, and its tracker side.
        offsets: (track + 1,) of the blocks below; those of a track follow each other, the most probable first.
            A track of which no direction is known has none.
        address: name -> (block,) int: calo_type, calo_side, calo_wall, calo_column, calo_row as in the tracks
            of the event table.
        block_probability: (block,) float.
        kink_probability: (track,) that the track has a kink.
        solutions: Solutions, all that count, in any order.
    """

    event: np.ndarray
    label: np.ndarray
    side: np.ndarray
    offsets: np.ndarray
    address: dict
    block_probability: np.ndarray
    kink_probability: np.ndarray
    solutions: "Solutions"

    def best(self):
        """The most probable block of each track.

        Returns:
            name -> (track,) array: those of `address`, -1 where nothing is known, and `probability`, then 0.
        """
        known = np.flatnonzero(np.diff(self.offsets))
        first = self.offsets[known]
        best = {name: np.full(len(self.event), -1) for name in self.address}
        for name, values in self.address.items():
            best[name][known] = values[first]
        best["probability"] = np.zeros(len(self.event))
        best["probability"][known] = self.block_probability[first]
        return best

    def of_columns(self):
        """(track, 22) probability of each column of main walls as the toy counts them."""
        return self._marginal("calo_column", geo.TOY_WALL_OVERFLOW[0][1] + 1)

    def of_rows(self):
        """(track, 15) probability of each row of main walls as the toy counts them."""
        return self._marginal("calo_row", geo.TOY_WALL_OVERFLOW[1][1] + 1)

    def _marginal(self, name, n):
        track = np.repeat(np.arange(len(self.event)), np.diff(self.offsets))
        marginal = np.zeros((len(self.event), n))
        np.add.at(marginal, (track, self.address[name]), self.block_probability)
        return marginal


@dataclass
class Solutions:
    """Solutions for tracks, straight or with a kink.

    Attributes:
        track: (solution,) index of the track. kink: (solution,) first layer beyond the kink, 9 without one.
        point_mm: (solution, 2) where parameter 0 counts from. along: (solution, 2) unit vector along which it
            shifts the point.
        value: (solution, 6) shift in mm; theta, and its change at the kink; height of the point; dz/ds, and
            its change at the kink.
        covariance: (solution, 6, 6). log_likelihood: (solution,), with prior and size of the errors.
    """

    track: np.ndarray
    kink: np.ndarray
    point_mm: np.ndarray
    along: np.ndarray
    value: np.ndarray
    covariance: np.ndarray
    log_likelihood: np.ndarray

    def __len__(self):
        return len(self.track)

    def __getitem__(self, which):
        """The solutions of a slice, of a mask or of an array of indices."""
        return Solutions(**{name: values[which] for name, values in vars(self).items()})


def _concatenated(parts):
    """Solutions of several Solutions."""
    names = vars(parts[0])
    return Solutions(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


# ---- the tracks' hits --------------------------------------------------------------------------------------


@dataclass
class _Hits:
    """Hits of tracks, sorted by track.

    Attributes:
        offsets: (track + 1,). layer: (hit,). x, y: (hit,) wire. radius, z: (hit,), 0 where unknown.
        sigma_radius, sigma_z: (hit,), infinite for an unknown height.
    """

    offsets: np.ndarray
    layer: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    z: np.ndarray
    sigma_radius: np.ndarray
    sigma_z: np.ndarray

    @property
    def wire(self):
        """(hit, 2) x and y."""
        return np.stack([self.x, self.y], -1)

    def padded(self, track):
        """The hits of some tracks as a table: name -> (chosen, place, ...) array, errors infinite where a
        track has no more hits.
        """
        counts = np.diff(self.offsets)[track]
        place = np.arange(counts.max(initial=1))
        missing = place >= counts[:, None]
        index = np.where(missing, 0, self.offsets[track][:, None] + place)
        table = {name: getattr(self, name)[index] for name in ("layer", "x", "y", "radius", "z")}
        for name in ("sigma_radius", "sigma_z"):
            table[name] = np.where(missing, np.inf, getattr(self, name)[index])
        return table


def _hits_of_tracks(events, line, n_tracks):
    """_Hits of the tracks with these numbers, (hit,), -1 for none, with the usual errors."""
    owned = np.flatnonzero(line >= 0)
    owned = owned[np.argsort(line[owned], kind="stable")]
    hits = {name: values[owned] for name, values in events.hits.items()}
    x = events.first_wire_mm[events.hit_event[owned]] + CELL_MM * hits["layer"]
    y = geo.wire_y_mm(hits["column"].astype(float))
    radius = possible_radius_mm(hits["drift_radius_mm"]).astype(float)
    z = hits["z_mm"].astype(float)
    sigma_radius = RADIUS_SCALE * sigma_radius_mm(radius)
    return _Hits(
        offsets=offsets_of(np.bincount(line[owned], minlength=n_tracks)),
        layer=hits["layer"].astype(int),
        x=x,
        y=y,
        radius=np.nan_to_num(radius),
        z=np.nan_to_num(z),
        sigma_radius=np.where(np.isnan(radius), UNKNOWN_RADIUS_SIGMA_MM, sigma_radius),
        sigma_z=np.where(np.isnan(z), np.inf, SIGMA_Z_MM),
    )


# ---- solutions ---------------------------------------------------------------------------------------------


def _normal_and_direction(theta):
    """Unit vectors across and along directions, (..., 2) each."""
    cos = np.cos(theta)
    sin = np.sin(theta)
    return np.stack([-sin, cos], -1), np.stack([cos, sin], -1)


def _residuals(table, some):
    """How far hits are from solutions, and by what that changes.

    Args:
        table: of `_Hits.padded`, a row a solution. some: Solutions.
    Returns:
        distance, height: (solution, place) signed distance of the wire, and height of the solution at the
        point nearest to it. by_distance, by_height: (solution, place, 6) their derivatives.
    """
    shift, theta, turn, z, rise, more = (some.value[:, i, None] for i in range(6))
    beyond = table["layer"] >= some.kink[:, None]
    theta = np.where(beyond, theta + turn, theta)
    cos = np.cos(theta)
    sin = np.sin(theta)
    slope = np.where(beyond, rise + more, rise)
    point = some.point_mm + some.value[:, :1] * some.along
    x = table["x"] - point[:, :1]
    y = table["y"] - point[:, 1:]
    distance = cos * y - sin * x
    path = cos * x + sin * y
    height = z + slope * path
    along_x = some.along[:, :1]
    along_y = some.along[:, 1:]
    distance_by_shift = sin * along_x - cos * along_y
    path_by_shift = -cos * along_x - sin * along_y
    nothing = np.zeros_like(path)
    by_distance = [distance_by_shift, -path, -path * beyond, nothing, nothing, nothing]
    turned = slope * distance
    by_height = [slope * path_by_shift, turned, turned * beyond, nothing + 1, path, path * beyond]
    return distance, height, np.stack(by_distance, -1), np.stack(by_height, -1)


def _log_and_weight(residual, sigma, share, range_mm):
    """Log density of residuals of which a share is anything within a range, and how far each is a good one.

    An infinite error is no measurement: 0 and 0.
    """
    measured = np.isfinite(sigma)
    safe = np.where(measured, sigma, 1.0)
    log_normal = np.log1p(-share) - 0.5 * np.square(residual / safe) - np.log(np.sqrt(2 * np.pi) * safe)
    log = np.logaddexp(log_normal, np.log(share / range_mm)) if share else log_normal
    good = np.exp(log_normal - log)
    return np.where(measured, log, 0.0), np.where(measured, good / np.square(safe), 0.0)


def _solve(hits, some, widen):
    """Move solutions to the nearest maximum of their likelihood: Gauss and Newton, a wrong hit's weight
    fading.

    Args:
        widen: factors on the errors, one a round; infinite: no hit is wrong.
    Returns:
        the distinct Solutions, with all attributes.
    """
    by_size = np.argsort(np.diff(hits.offsets)[some.track], kind="stable")
    solved = [some[:0]]
    patterns = [np.zeros(0)]
    for start in range(0, len(some), CHUNK):
        part, pattern = _solve_chunk(hits, some[by_size[start : start + CHUNK]], widen)
        solved.append(part)
        patterns.append(pattern)
    return _distinct(_concatenated(solved), np.concatenate(patterns))


def _solve_chunk(hits, some, widen):
    table = hits.padded(some.track)
    value = some.value
    for wide in widen:
        matrix, slope, _ = _quadratic(table, some, wide)
        step = np.linalg.solve(matrix, slope[..., None])[..., 0]
        step[:, 1:3] = np.clip(step[:, 1:3], -0.3, 0.3)
        value = value - step
        some = replace(some, value=value)
    matrix, _, (log_density, distance) = _quadratic(table, some, 1.0)
    _, log_det = np.linalg.slogdet(matrix)
    log_likelihood = log_density - 0.5 * log_det
    scale = 1 / np.sqrt(matrix[:, range(6), range(6)])
    scale = scale[:, :, None] * scale[:, None]  # its elements are of very different sizes
    covariance = np.linalg.inv(matrix * scale) * scale
    solved = Solutions(some.track, some.kink, some.point_mm, some.along, value, covariance, log_likelihood)
    return solved, _pattern(table, distance, value[:, 1])


def _pattern(table, distance, theta):
    """(solution,) a number for each pattern of sides on which wires are, seen along the track from its first
    wire.
    """
    measured = np.isfinite(table["sigma_radius"])
    sides = np.where(distance < 0, -1.0, 1.0) * measured
    x = (table["x"] - table["x"][:, :1]) * measured
    y = (table["y"] - table["y"][:, :1]) * measured
    farthest = (x**2 + y**2).argmax(1)
    every = np.arange(len(theta))
    along = np.cos(theta) * x[every, farthest] + np.sin(theta) * y[every, farthest]
    forward = np.where(along < 0, -1.0, 1.0)
    digits = np.sin(1.0 + np.arange(sides.shape[1]))
    return forward * (sides * digits).sum(1)


def _quadratic(table, some, wide):
    """What Gauss and Newton need at solutions: half the second and first derivatives of chi2, (solution, 6, 6)
    and (solution, 6), and (log density of hits and parameters, distance of hits).

    Args:
        table: of `_Hits.padded`. wide: factor on the errors; infinite: no hit is wrong.
    """
    distance, height, by_distance, by_height = _residuals(table, some)
    off = distance - np.copysign(table["radius"], distance)
    off_z = height - table["z"]
    trusting = np.isinf(wide)
    wide = 10.0 if trusting else wide
    radius_errors = wide * table["sigma_radius"]
    log_radius, weight = _log_and_weight(off, radius_errors, WRONG_RADII, CELL_RADIUS_MM)
    share = 0.0 if trusting else WRONG_HEIGHTS
    log_z, weight_z = _log_and_weight(off_z, wide * table["sigma_z"], share, 2 * HALF_HEIGHT_MM)
    weighted = by_distance * weight[..., None]
    weighted_z = by_height * weight_z[..., None]
    sigma_prior = _prior_widths(some)
    precision = sigma_prior**-2.0
    matrix = weighted.swapaxes(1, 2) @ by_distance + weighted_z.swapaxes(1, 2) @ by_height
    matrix[:, range(6), range(6)] += precision
    slope = (weighted * off[..., None]).sum(1) + (weighted_z * off_z[..., None]).sum(1)
    slope += precision * some.value
    log_prior = -0.5 * np.square(some.value / sigma_prior).sum(1) - np.log(sigma_prior).sum(1)
    log_density = log_radius.sum(1) + log_z.sum(1) + log_prior
    return matrix, slope, (log_density, distance)


def _prior_widths(some):
    """(solution, 6) standard deviations of the parameters before any hit is seen; only those of the changes at
    a kink tell anything.
    """
    width = np.empty((len(some), 6))
    turn = np.where(some.kink == _NO_KINK, _STIFF, KINK_RAD)
    width[:, 0] = _FAR_MM
    width[:, 1] = np.pi
    width[:, 2] = turn
    width[:, 3] = _FAR_MM
    width[:, 4] = _FLAT
    width[:, 5] = turn * (1 + np.square(some.value[:, 4]))  # an angle of the side view
    return width


def _distinct(some, key):
    """Without solutions that have the same track, kink and sides of the wires; the best of them stays."""
    order = np.lexsort((-some.log_likelihood, np.round(key, 9), some.kink, some.track))
    group = np.stack([some.track, some.kink, np.round(key, 9)])[:, order]
    first = np.ones(len(some), bool)
    first[1:] = (np.diff(group, axis=1) != 0).any(0)
    return some[order[first]]


def _axes(hits, mask):
    """Main axes of the wires of tracks.

    Args:
        mask: (hit,) bool, which hits count.
    Returns:
        middle: (track, 2). theta: (track,) direction of the axis. n: (track,) hits that count.
    """
    n_tracks = len(hits.offsets) - 1
    track = np.repeat(np.arange(n_tracks), np.diff(hits.offsets))[mask]
    wire = hits.wire[mask]
    n = np.bincount(track, minlength=n_tracks)
    count = np.maximum(n, 1)
    middle = np.stack([np.bincount(track, wire[:, i], n_tracks) for i in (0, 1)], -1) / count[:, None]
    x, y = (wire - middle[track]).T
    xx, xy, yy = (np.bincount(track, values, n_tracks) for values in (x * x, x * y, y * y))
    theta = np.arctan2(2 * xy, xx - yy) / 2
    return middle, theta, n


def _tangents(hits, mask):
    """Lines to begin with: the four tangents to the outermost circles of tracks, and their mirror images about
    the main axis of the wires.

    Args:
        mask: (hit,) bool, which hits count.
    Returns:
        point: (start, track, 2) a point of each line. theta: (start, track). n: (track,) hits that count.
    """
    middle, axis, n = _axes(hits, mask)
    _, direction = _normal_and_direction(axis)
    n_tracks = len(n)
    track = np.repeat(np.arange(n_tracks), np.diff(hits.offsets))
    along = ((hits.wire - middle[track]) * direction[track]).sum(1)
    order = np.lexsort((np.where(mask, along, np.inf), track))
    start = np.minimum(hits.offsets[:-1], len(track) - 1)
    one = order[start]
    two = order[np.minimum(start + np.maximum(n - 1, 0), len(track) - 1)]
    apart = hits.wire[two] - hits.wire[one]
    length = np.maximum(np.hypot(*apart.T), 1e-3)
    straight = np.arctan2(apart[:, 1], apart[:, 0])
    points = []
    thetas = []
    for side_one, side_two in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        # the line passes the first wire at the distance radius_one on its left, and so the second
        left_one = side_one * hits.radius[one]
        left_two = side_two * hits.radius[two]
        turn = np.arcsin(np.clip((left_two - left_one) / length, -1, 1))
        theta = straight - turn
        normal, _ = _normal_and_direction(theta)
        points.append(hits.wire[one] - normal * left_one[:, None])
        thetas.append(theta)
    point = np.stack(points)
    theta = np.stack(thetas)
    axis_normal, _ = _normal_and_direction(axis)
    off_axis = ((point - middle) * axis_normal).sum(-1)
    mirrored = point - 2 * off_axis[..., None] * axis_normal
    return np.concatenate([point, mirrored]), np.concatenate([theta, 2 * axis - theta]), n


def _half_turn(theta):
    """The same lines with angles from -pi/2 to pi/2, away from the foil."""
    return theta - np.pi * np.round(theta / np.pi)


def _start(track, kink, point, along, theta, turn):
    """Solutions to begin with; heights unknown."""
    n = len(track)
    nothing = np.zeros(n)
    return Solutions(
        track=track,
        kink=np.broadcast_to(kink, n).astype(int),
        point_mm=point,
        along=along,
        value=np.stack([nothing, theta, turn, nothing, nothing, nothing], -1),
        covariance=np.zeros((n, 6, 6)),
        log_likelihood=nothing,
    )


def _no_starts():
    nothing = np.zeros(0)
    return _start(np.zeros(0, int), 0, np.zeros((0, 2)), np.zeros((0, 2)), nothing, nothing)


def _straight_solutions(hits):
    """Distinct straight solutions of all tracks with two wires or more."""
    every = np.ones(len(hits.layer), bool)
    middle, _, _ = _axes(hits, every)
    points, thetas, _ = _tangents(hits, every)
    cost = _costs(hits, every, points, thetas)
    worth_trying = (cost < cost.min(0) + WORTH_TRYING) & (_n_wires(hits) >= 2)
    starts = [_no_starts()]
    for i in range(len(points)):
        track = np.flatnonzero(worth_trying[i])
        point = points[i, track]
        theta = thetas[i, track]
        normal, direction = _normal_and_direction(theta)
        back = ((middle[track] - point) * direction).sum(1)
        near_middle = point + back[:, None] * direction
        starts.append(_start(track, _NO_KINK, near_middle, normal, _half_turn(theta), np.zeros(len(track))))
    return _solve(hits, _unlike_starts(hits, _concatenated(starts)), FROM_AFAR)


def _unlike_starts(hits, some):
    """Without starts that have the same sides of the wires as another one."""
    patterns = [np.zeros(0)]
    for start in range(0, len(some), CHUNK):
        part = some[start : start + CHUNK]
        table = hits.padded(part.track)
        distance, _, _, _ = _residuals(table, part)
        patterns.append(_pattern(table, distance, part.value[:, 1]))
    return _distinct(some, np.concatenate(patterns))


def _n_wires(hits):
    """(track,) distinct wires."""
    track = np.repeat(np.arange(len(hits.offsets) - 1), np.diff(hits.offsets))
    distinct = np.unique(np.column_stack([track, hits.wire]), axis=0)[:, 0].astype(int)
    return np.bincount(distinct, minlength=len(hits.offsets) - 1)


def _kinked_solutions(hits, which, first_wire_mm, n_best=2):
    """Distinct solutions with a kink.

    Args:
        which: (chosen,) tracks. first_wire_mm: (track,) |x| of layer 0. n_best: best starts of each piece.
    """
    chosen = np.zeros(len(hits.offsets) - 1, bool)
    chosen[which] = True
    track_of_hit = np.repeat(np.arange(len(chosen)), np.diff(hits.offsets))
    starts = [_no_starts()]
    costs = [np.zeros(0)]
    for layer in KINK_LAYERS:
        pieces = []
        enough = chosen.copy()
        for beyond in (False, True):
            mask = chosen[track_of_hit] & ((hits.layer >= layer) == beyond)
            points, thetas, n = _tangents(hits, mask)
            enough &= n >= 2
            pieces.append(_best_starts(hits, mask, points, thetas, n_best))
        track = np.flatnonzero(enough)
        plane = first_wire_mm[track] + CELL_MM * (layer - 0.5)
        for i, j in np.ndindex(n_best, n_best):
            point, theta, cost = (values[i][track] for values in pieces[0])
            _, theta_beyond, cost_beyond = (values[j][track] for values in pieces[1])
            starts.append(_kinked_start(track, layer, plane, point, theta, theta_beyond))
            costs.append(cost + cost_beyond)
    starts = _concatenated(starts)
    starts.log_likelihood = -np.concatenate(costs) / 2
    starts = starts[_counts(starts, WORTH_TRYING / 2)]
    return _solve(hits, _unlike_starts(hits, starts), FROM_AFAR)


def _kinked_start(track, layer, plane, point, theta, theta_beyond):
    """Solutions to begin with, with a kink where lines reach a plane in front of a layer.

    Args:
        track: (chosen,). plane: (chosen,) |x|. point: (chosen, 2) on the first piece. theta, theta_beyond:
            (chosen,) of the two pieces.
    """
    theta = _half_turn(theta)
    turn = np.clip(_half_turn(theta_beyond - theta), -1.0, 1.0)
    cos = np.maximum(np.cos(theta), 1e-2)
    y = point[:, 1] + np.sin(theta) / cos * (plane - point[:, 0])
    at_plane = np.stack([plane, y], -1)
    along = np.broadcast_to([0.0, 1.0], at_plane.shape)
    return _start(track, layer, at_plane, along, theta, turn)


def _costs(hits, mask, points, thetas):
    """(start, track) chi2 of the radii of some hits, (hit,) bool, to lines; at most 25 a hit."""
    n_tracks = points.shape[1]
    track = np.repeat(np.arange(n_tracks), np.diff(hits.offsets))[mask]
    normal, _ = _normal_and_direction(thetas)
    of_line = (points * normal).sum(-1)
    x = hits.x[mask]
    y = hits.y[mask]
    distance = normal[:, track, 0] * x + normal[:, track, 1] * y - of_line[:, track]
    off = (np.abs(distance) - hits.radius[mask]) / hits.sigma_radius[mask]
    each = np.minimum(np.square(off), 25.0)
    return np.stack([np.bincount(track, row, n_tracks) for row in each])


def _best_starts(hits, mask, points, thetas, n_best):
    """The starts that fit the radii of some hits best: point (n_best, track, 2), and theta and cost (n_best,
    track).
    """
    cost = _costs(hits, mask, points, thetas)
    order = np.argsort(cost, axis=0, kind="stable")[:n_best]
    every = np.arange(points.shape[1])
    return points[order, every], thetas[order, every], cost[order, every]


# ---- what the events tell of errors and cells --------------------------------------------------------------


def _scale_errors(hits, best):
    """Multiply the usual errors by what the hits of straight tracks tell of them.

    Args:
        hits: _Hits, changed. best: Solutions, the best straight one of each track.
    """
    chi2s = _chi2_of_straight(hits, best)
    for (chi2, n_measured), name in zip(chi2s, ("sigma_radius", "sigma_z"), strict=True):
        n_free = n_measured - 2  # two parameters of a line follow from radii, two from heights
        seen = n_free >= 3
        usual = chdtri(n_free[seen], 1 - GOOD_TRACKS)
        variance = np.quantile(chi2[seen] / usual, GOOD_TRACKS) if seen.any() else 1.0
        opinion = seen.sum() / (seen.sum() + FEW_TRACKS)
        scale = np.maximum(variance, LEAST_SCALE**2) ** (opinion / 2)
        values = getattr(hits, name)
        is_usual = values != UNKNOWN_RADIUS_SIGMA_MM
        setattr(hits, name, np.where(is_usual, values * scale, values))


def _chi2_of_straight(hits, best):
    """Of radii and of heights: (chi2, number of hits), each (solution,); unknown radii do not count."""
    sums = np.zeros((4, len(best)))
    by_size = np.argsort(np.diff(hits.offsets)[best.track], kind="stable")
    for start in range(0, len(best), CHUNK):
        which = by_size[start : start + CHUNK]
        table = hits.padded(best.track[which])
        distance, height, _, _ = _residuals(table, best[which])
        off = (np.abs(distance) - table["radius"]) / table["sigma_radius"]
        off_z = (height - table["z"]) / table["sigma_z"]
        known = table["sigma_radius"] < UNKNOWN_RADIUS_SIGMA_MM
        measured = np.isfinite(table["sigma_z"])
        sums[0, which] = (np.square(off) * known).sum(1)
        sums[1, which] = known.sum(1)
        sums[2, which] = np.square(off_z).sum(1)
        sums[3, which] = measured.sum(1)
    return sums[:2], sums[2:]


@dataclass
class _Crossings:
    """Cells that solutions cross: index of the solution, probability that it really does, and whether the cell
    fired; each (crossing,).
    """

    solution: np.ndarray
    probability: np.ndarray
    fired: np.ndarray


def _crossings(some, events, fitted):
    """The cells that solutions cross between the foil and where they leave the tracker.

    In the toy a line crosses a cell if its point nearest to the wire lies in the cell's square, in the
    detector if it comes within half a cell's width.

    Args:
        some: Solutions. events: Events. fitted: FittedTracks.
    """
    event = fitted.event[some.track]
    side = fitted.side[some.track]
    first_wire_mm = events.first_wire_mm[event]
    is_toy = events.info["geometry"][event] == geo.TOY
    layers = np.arange(N_LAYERS)
    x = first_wire_mm[:, None] + CELL_MM * layers
    beyond = layers >= some.kink[:, None]
    shift, theta, turn, z, rise, more = (some.value[:, i, None] for i in range(6))
    theta = theta + turn * beyond
    point = some.point_mm + shift * some.along
    cos = np.cos(theta)
    cos = np.copysign(np.maximum(np.abs(cos), 1e-3), cos)
    sin = np.sin(theta)
    y = point[:, 1, None] + sin / cos * (x - point[:, 0, None])
    larger = np.where(is_toy[:, None], np.maximum(np.abs(cos), np.abs(sin)), 1.0)
    reach = CELL_RADIUS_MM / larger  # of the line from a wire whose cell it crosses
    margin = 3 * CROSSING_MM
    half = (reach + margin) / np.abs(cos)
    first = np.ceil((y - half) / CELL_MM + geo.MIDDLE_COLUMN).clip(0, N_COLUMNS).astype(int)
    last = np.floor((y + half) / CELL_MM + geo.MIDDLE_COLUMN).clip(-1, N_COLUMNS - 1).astype(int)
    row, step = rows_and_places(np.maximum(last - first + 1, 0).ravel())
    solution, layer = np.divmod(row, N_LAYERS)
    column = first.ravel()[row] + step

    def of(values):
        return np.broadcast_to(values, first.shape).ravel()[row]

    from_point_x = of(x) - point[solution, 0]
    from_point_y = geo.wire_y_mm(column) - point[solution, 1]
    distance = -of(sin) * from_point_x + of(cos) * from_point_y
    path = of(cos) * from_point_x + of(sin) * from_point_y
    height = some.value[solution, 3] + of(rise + more * beyond) * path
    variance_z = some.covariance[solution, 3, 3]
    variance_z = variance_z + np.square(path) * some.covariance[solution, 4, 4]
    variance_z = variance_z + 2 * path * some.covariance[solution, 3, 4]
    sigma_z = np.sqrt(np.maximum(variance_z, 0) + CROSSING_MM**2)
    in_cell = ndtr((of(reach) - np.abs(distance)) / CROSSING_MM)
    in_height = ndtr((HALF_HEIGHT_MM - np.abs(height)) / sigma_z)
    fired_cells = np.zeros((len(events), 2, N_LAYERS, N_COLUMNS), bool)
    fired_cells[events.hit_event, events.hits["side"], events.hits["layer"], events.hits["column"]] = True
    fired = fired_cells[event[solution], side[solution], layer, column]
    return _Crossings(solution, in_cell * in_height, fired)


def _efficiency(crossings, is_alone):
    """How often a cell fires that solutions without another one, (solution,) bool, cross for sure."""
    sure = is_alone[crossings.solution] & (crossings.probability > 0.99)
    n_fired = np.count_nonzero(crossings.fired & sure)
    n_crossed = np.count_nonzero(sure)
    usual = 10 * FEW_TRACKS
    return (n_fired + EFFICIENCY * usual) / (n_crossed + usual)


def _log_silent(crossings, efficiency, n_solutions):
    """(solution,) log likelihood of the cells that did not fire."""
    silent = ~crossings.fired
    log = np.log1p(-efficiency * crossings.probability[silent])
    return np.bincount(crossings.solution[silent], log, n_solutions)


# ---- from solutions to blocks ------------------------------------------------------------------------------


@cache
def _draws():
    """(draw, 6) points of a normal distribution, spread evenly."""
    uniform = qmc.Sobol(6, scramble=True, rng=0).random(N_DRAWS)
    return ndtri(uniform)


def _draw(some):
    """Solutions at random: value (solution, draw, 6)."""
    sigma = np.sqrt(some.covariance[:, range(6), range(6)])
    correlation = some.covariance / (sigma[:, :, None] * sigma[:, None])
    root = np.linalg.cholesky(correlation + _ROUNDING * np.eye(6))
    return some.value[:, None] + _draws() @ root.swapaxes(1, 2) * sigma[:, None]


def _pieces(some, value):
    """Point and slopes of the first and the last piece of solutions.

    Args:
        value: (solution, draw, 6).
    Returns:
        x, y, z: (solution, draw) of the common point; slopes: [first, last], each (dy/dx, dz/dx).
    """
    point = some.point_mm[:, None] + value[..., :1] * some.along[:, None]
    slopes = []
    for theta, rise in (
        (value[..., 1], value[..., 4]),
        (value[..., 1] + value[..., 2], value[..., 4] + value[..., 5]),
    ):
        cos = np.cos(theta)
        cos = np.copysign(np.maximum(np.abs(cos), 1e-6), cos)
        slopes.append((np.sin(theta) / cos, rise / cos))
    return point[..., 0], point[..., 1], value[..., 3], slopes


def _at(x, place, slope):
    """(y, z) at |x| of lines through a place (x, y, z) with slopes (dy/dx, dz/dx)."""
    to_go = x - place[0]
    return place[1] + slope[0] * to_go, place[2] + slope[1] * to_go


def _toy_block(place, slope):
    """Number of the toy's block that lines end in."""
    y, z = _at(N_LAYERS * CELL_MM, place, slope)
    column, row = geo.toy_calo_block(y / CELL_MM + N_COLUMNS / 2, z / HALF_HEIGHT_MM * geo.TOY_HALF_HEIGHT)
    return _number(geo.MAIN_WALL, -1, column, row)


def _number(calo_type, wall, column, row):
    """One number for an address, without the side."""
    return ((calo_type * 3 + (wall + 1)) * 32 + (column + 1)) * 32 + (row + 1)


def _address(number, side):
    """The inverse of `_number`: name -> array."""
    number, row = np.divmod(number, 32)
    number, column = np.divmod(number, 32)
    calo_type, wall = np.divmod(number, 3)
    return {
        "calo_type": calo_type,
        "calo_side": side,
        "calo_wall": wall - 1,
        "calo_column": column - 1,
        "calo_row": row - 1,
    }


def _index(position_mm, row):
    """Index of the block at a position in a row of blocks; the nearest where there is none."""
    index = np.floor((position_mm - row.first_edge_mm) / row.pitch_mm)
    return np.clip(index, 0, row.n_blocks - 1).astype(int)


def _covers(position_mm, row):
    """Whether a position is in a row of blocks, gaps between them included."""
    from_edge = position_mm - row.first_edge_mm
    return (from_edge >= 0) & (from_edge <= row.n_blocks * row.pitch_mm)


def _detector_block(place, slope):
    """Number of the detector's block that lines end in: at the first wall that they reach.

    In a gap between blocks it is the next one; lines that slip through between two walls end in that of the
    nearest plane.
    """
    y0, z0 = _at(0.0, place, slope)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_x_wall = (geo.X_WALL_Y_MM - np.sign(slope[0]) * y0) / np.abs(slope[0])
        to_veto = (geo.VETO_Z_MM - np.sign(slope[1]) * z0) / np.abs(slope[1])
    x = np.stack([np.full_like(to_veto, geo.MAIN_WALL_X_MM), to_x_wall, to_veto])
    x = np.clip(np.nan_to_num(x, nan=_FAR_MM), 0.0, _FAR_MM)
    y, z = _at(x, place, slope)
    half = geo.N_VETO_COLUMNS // 2
    is_there = [
        _covers(y[0], geo.MAIN_COLUMN_GRID) & _covers(z[0], geo.MAIN_ROW_GRID),
        _covers(x[1], geo.X_COLUMN_GRID) & _covers(z[1], geo.X_ROW_GRID),
        _covers(x[2], geo.VETO_X_GRID) & (np.abs(y[2]) < geo.X_WALL_Y_MM),
    ]
    wall = (x + np.where(is_there, 0.0, 2 * _FAR_MM)).argmin(0)
    from_middle = _index(np.abs(y[2]), geo.VETO_COLUMN_GRID)
    veto_column = np.where(y[2] > 0, half + from_middle, half - 1 - from_middle)
    main_column = _index(y[0], geo.MAIN_COLUMN_GRID)
    main_row = _index(z[0], geo.MAIN_ROW_GRID)
    x_column = _index(x[1], geo.X_COLUMN_GRID)
    x_row = _index(z[1], geo.X_ROW_GRID)
    numbers = [
        _number(geo.MAIN_WALL, -1, main_column, main_row),
        _number(geo.X_WALL, (y[1] > 0).astype(int), x_column, x_row),
        _number(geo.GAMMA_VETO, (z[2] > 0).astype(int), veto_column, -1),
    ]
    return np.choose(wall, numbers)


def _blocks_of_draws(some, is_toy, last_wire):
    """Blocks where draws of solutions end, and how probable each draw is: less where it does not start at the
    foil, or passes its last hit above or below the wires.

    Args:
        some: Solutions. is_toy: (solution,) bool. last_wire: (solution, 2) wire of the hit farthest out.
    Returns:
        number: (solution, draw) int. probability: (solution, draw).
    """
    value = _draw(some)
    x, y, z, (first, last) = _pieces(some, value)
    place = (x, y, z)
    foil_y, foil_z = _at(0.0, place, first)
    on_foil = (np.abs(foil_y) < N_COLUMNS * CELL_MM / 2) & (np.abs(foil_z) < HALF_HEIGHT_MM)
    theta = value[..., 1] + value[..., 2]
    path = np.cos(theta) * (last_wire[:, :1] - x) + np.sin(theta) * (last_wire[:, 1:] - y)
    last_z = z + (value[..., 4] + value[..., 5]) * path
    in_tracker = np.abs(last_z) < HALF_HEIGHT_MM + BEYOND_WIRES_MM
    number = np.where(is_toy[:, None], _toy_block(place, last), _detector_block(place, last))
    return number, np.where(on_foil & in_tracker, 1.0, OFF_FOIL)


def _last_wires(hits):
    """(track, 2) wire of the hit of each track that is farthest from the foil; NaN without a hit."""
    n_tracks = len(hits.offsets) - 1
    track = np.repeat(np.arange(n_tracks), np.diff(hits.offsets))
    order = np.lexsort((hits.x, track))
    wire = np.full((n_tracks, 2), np.nan)
    wire[track[order]] = hits.wire[order]  # the last one written is the farthest
    return wire


def blocks_of_lines(events, event, side, place, slope):
    """The block that straight lines end in.

    Args:
        events: Events, which say the geometry. event, side: (line,). place: (x, y, z) in mm of a point of each
            line, by |x|, each (line,). slope: (dy/dx, dz/dx), each (line,).
    Returns:
        name -> (line,) int, as `Ends.address`.
    """
    is_toy = events.info["geometry"][event] == geo.TOY
    number = np.where(is_toy, _toy_block(place, slope), _detector_block(place, slope))
    return _address(number, side.astype(int))


def of_principal_axis(events, fitted):
    """The block of each track without a fit of radii: the principal axis of its wires in the top view goes on
    to the wall, and so does a least-squares line through the heights along it.

    Args:
        events, fitted: as of `ends`.
    Returns:
        name -> (track,) int, as `Ends.address`; a track of one wire goes straight away from the foil.
    """
    n_tracks = len(fitted.event)
    hits = _hits_of_tracks(events, _track_of_hits(fitted), n_tracks)
    middle, theta, _ = _axes(hits, np.ones(len(hits.layer), bool))
    _, direction = _normal_and_direction(theta)
    track = np.repeat(np.arange(n_tracks), np.diff(hits.offsets))
    path = ((hits.wire - middle[track]) * direction[track]).sum(1)
    measured = np.isfinite(hits.sigma_z)

    def mean(values):
        total = np.bincount(track[measured], values[measured], n_tracks)
        return total / np.maximum(np.bincount(track[measured], minlength=n_tracks), 1)

    mean_path = mean(path)
    mean_z = mean(hits.z)
    from_mean = path - mean_path[track]
    rise = mean(from_mean * hits.z) / np.maximum(mean(from_mean**2), 1e-9)
    cos = np.copysign(np.maximum(np.abs(direction[:, 0]), 1e-9), direction[:, 0])
    place = (*middle.T, mean_z - rise * mean_path)
    slope = (direction[:, 1] / cos, rise / cos)
    return blocks_of_lines(events, fitted.event, fitted.side, place, slope)


def _track_of_hits(fitted):
    """(hit,) index of the track of each hit, -1 for none."""
    segment = fitted.fitted.segment
    return np.where(segment >= 0, segment // 2, -1)


def ends(events, fitted):
    """Where the tracks of a table end.

    Args:
        events: Events. fitted: FittedTracks of them, as of `tracks.fit`.
    Returns:
        Ends.
    """
    n_tracks = len(fitted.event)
    hits = _hits_of_tracks(events, _track_of_hits(fitted), n_tracks)
    first_wire = events.first_wire_mm[fitted.event]
    some = _straight_solutions(hits)
    if len(some):
        _scale_errors(hits, some[_is_best(some)])
        some = _solve(hits, some[_counts(some, 4 * NEGLIGIBLE)], FROM_NEAR)
        kinked = _kinked_solutions(hits, _poorly_straight(hits, some), first_wire)
        some = _concatenated([some, kinked])
        prior = np.where(some.kink == _NO_KINK, 1 - KINK_SHARE, KINK_SHARE / len(KINK_LAYERS))
        some.log_likelihood += np.log(prior)
        some = some[_counts(some, 2 * NEGLIGIBLE)]
        crossings = _crossings(some, events, fitted)
        is_alone = np.bincount(some.track)[some.track] == 1
        efficiency = _efficiency(crossings, is_alone)
        some.log_likelihood += _log_silent(crossings, efficiency, len(some))
        some = some[_counts(some, NEGLIGIBLE)]
    return _mixture(events, fitted, some, _last_wires(hits))


def _best_of(some, n_tracks):
    """(track,) highest log likelihood of each track's solutions."""
    best = np.full(n_tracks, -np.inf)
    np.maximum.at(best, some.track, some.log_likelihood)
    return best


def _counts(some, negligible):
    """(solution,) bool, whether a solution is not much less likely than the best of its track."""
    best = _best_of(some, some.track.max(initial=-1) + 1)
    return some.log_likelihood > best[some.track] - negligible


def _is_best(some):
    """(solution,) bool, one a track."""
    order = np.lexsort((-some.log_likelihood, some.track))
    first = np.diff(some.track[order], prepend=-1) > 0
    is_best = np.zeros(len(some), bool)
    is_best[order[first]] = True
    return is_best


def _poorly_straight(hits, some):
    """Tracks whose best straight solution is improbable."""
    best = some[_is_best(some)]
    (chi2, n_radii), (chi2_z, n_heights) = _chi2_of_straight(hits, best)
    n_free = np.maximum(n_radii + n_heights - 4, 1)
    return best.track[chdtrc(n_free, chi2 + chi2_z) < MAX_P]


def _mixture(events, fitted, some, last_wire):
    """Ends from solutions with their log likelihoods; last_wire: (track, 2), as of `_last_wires`."""
    n_tracks = len(fitted.event)
    is_toy = events.info["geometry"][fitted.event] == geo.TOY
    weight = np.exp(some.log_likelihood - _best_of(some, n_tracks)[some.track])
    keys = [np.zeros(0, int)]  # a number for each track and block
    shares = [np.zeros(0)]
    of_solution = np.zeros(len(some))
    for start in range(0, len(some), CHUNK):
        part = some[start : start + CHUNK]
        number, probability = _blocks_of_draws(part, is_toy[part.track], last_wire[part.track])
        share = weight[start : start + CHUNK, None] * probability / N_DRAWS
        of_solution[start : start + CHUNK] = share.sum(1)
        key, share = _added(part.track[:, None] * _N_NUMBERS + number, share)
        keys.append(key)
        shares.append(share)
    key, share = _added(np.concatenate(keys), np.concatenate(shares))
    track, number = np.divmod(key, _N_NUMBERS)
    total = np.bincount(some.track, of_solution, n_tracks)
    probability = share / total[track]
    order = np.lexsort((-probability, track))
    kinked = np.bincount(some.track, of_solution * (some.kink != _NO_KINK), n_tracks)
    return Ends(
        event=fitted.event,
        label=fitted.label,
        side=fitted.side,
        offsets=offsets_of(np.bincount(track, minlength=n_tracks)),
        address=_address(number[order], fitted.side[track[order]].astype(int)),
        block_probability=probability[order],
        kink_probability=kinked / np.where(total > 0, total, 1.0),
        solutions=replace(some, log_likelihood=np.log(of_solution)),
    )


def _added(key, share):
    """Distinct keys, rising, and the sum of the shares of each."""
    key, number = np.unique(key, return_inverse=True)
    return key, np.bincount(number.ravel(), share.ravel(), len(key))


# ---- fired blocks ------------------------------------------------------------------------------------------


@dataclass
class Associated:
    """Which fired blocks of events belong to which tracks.

    Attributes:
        block: (track,) index among all blocks of the table, -1 where no block is the track's.
        distance: (track,) of the solution from the face of that block, in its errors, 0 on the face; NaN
            without one.
        track: (block,) index of the track, -1 where none ends there: a gamma, or a track that was not found.
    """

    block: np.ndarray
    distance: np.ndarray
    track: np.ndarray


def associate(events, found, farthest=3.0, slack_mm=SLACK_MM):
    """Give fired blocks to tracks: the nearest in errors of the extrapolation, each at most once.

    Args:
        events: Events with blocks. found: Ends of its tracks.
        farthest: from the face of a block, in errors, that a track may end. slack_mm: added to the errors, for
            what is no straight line.
    Returns:
        Associated.
    """
    some = found.solutions
    n_blocks = np.diff(events.block_offsets)[found.event[some.track]]
    solution, place = rows_and_places(n_blocks)
    block = events.block_offsets[:-1][found.event[some.track[solution]]] + place
    possible = events.blocks["side"][block] == found.side[some.track[solution]]
    possible &= events.blocks["calo_type"][block] >= 0
    solution = solution[possible]
    block = block[possible]
    distance = np.zeros(len(solution))
    off_middle = np.zeros(len(solution))
    middle, half = _faces(events)
    for start in range(0, len(solution), CHUNK):
        part = slice(start, start + CHUNK)
        faces = middle[block[part]], half[block[part]]
        distance[part], off_middle[part] = _from_face(some[solution[part]], *faces, slack_mm)
    # a solution that is less likely than another one is farther off
    best = _best_of(some, len(found.event))
    behind = (best[some.track] - some.log_likelihood)[solution]
    distance = np.hypot(distance, np.sqrt(2 * behind))
    near = distance <= farthest
    cost = distance + 1e-3 * off_middle  # where several are at distance 0
    return _best_pairs(
        some.track[solution[near]], block[near], distance[near], cost[near], found, len(middle)
    )


def _faces(events):
    """Middle and half size of the faces of all blocks of a table, (block, 3) each, by |x|; 0 is across."""
    blocks = events.blocks
    event = np.repeat(np.arange(len(events)), np.diff(events.block_offsets))
    is_toy = (events.info["geometry"][event] == geo.TOY)[:, None]
    place = [blocks[name].astype(int) for name in ("calo_type", "side", "wall", "column", "row")]
    middle = geo.block_face_mm(*place)
    toy_middle = geo.toy_block_face_mm(place[1], place[3], place[4])
    middle = np.where(is_toy, toy_middle, middle)
    middle[:, 0] = np.abs(middle[:, 0])
    size = np.where(is_toy, geo.TOY_FACE_SIZE_MM, geo.FACE_SIZES_MM[place[0]])
    return middle, size / 2


def _from_face(some, middle, half, slack_mm):
    """How far solutions are from faces where they reach their planes: in errors from the edge, 0 inside, and
    from the middle in half sizes; infinite for those that go the other way.

    Args:
        some: Solutions. middle, half: (solution, 3).
    """
    mean = _on_plane(some, some.value[:, None], middle, half)[:, 0]
    draws = _on_plane(some, _draw(some), middle, half)
    variance = np.square(draws - mean[:, None]).mean(1) + slack_mm**2
    off = np.abs(mean - middle)
    beyond = np.maximum(off - half, 0) / np.sqrt(variance)
    forward = (mean[:, 0] > 0) & np.isfinite(beyond).all(1)
    distance = np.where(forward, np.sqrt(np.square(beyond).sum(1)), np.inf)
    relative = off / np.where(half > 0, half, np.inf)
    return distance, np.where(forward, relative.max(1), np.inf)


def _on_plane(some, value, middle, half):
    """(solution, draw, 3) where solutions, value (solution, draw, 6), meet the planes of faces."""
    x, y, z, (_, last) = _pieces(some, value)
    # the way in |x| to the plane, which is across x, y or z
    with np.errstate(divide="ignore", invalid="ignore"):
        to_go = [
            middle[:, :1] - x,
            (middle[:, 1:2] - y) / last[0],
            (middle[:, 2:] - z) / last[1],
        ]
    across = half.argmin(1)
    way = np.stack(to_go)[across, np.arange(len(across))]
    with np.errstate(invalid="ignore", over="ignore"):
        point = np.stack([x + way, y + last[0] * way, z + last[1] * way], -1)
    return np.clip(np.nan_to_num(point, nan=np.inf), -1e5, 1e5)


def _best_pairs(track, block, distance, cost, found, n_blocks):
    """Associated: pairs of tracks and blocks that are each other's nearest first, then those of what is left.

    Args:
        track, block, distance, cost: (pair,). found: Ends. n_blocks: how many there are.
    """
    of_track = np.full(len(found.event), -1)
    of_block = np.full(n_blocks, -1)
    distance_of_track = np.full(len(found.event), np.nan)
    order = np.argsort(cost, kind="stable")
    track, block, distance = track[order], block[order], distance[order]
    while len(track):
        _, first_of_track = np.unique(track, return_index=True)
        _, first_of_block = np.unique(block, return_index=True)
        pair = np.intersect1d(first_of_track, first_of_block)
        of_track[track[pair]] = block[pair]
        of_block[block[pair]] = track[pair]
        distance_of_track[track[pair]] = distance[pair]
        left = (of_track[track] < 0) & (of_block[block] < 0)
        track, block, distance = track[left], block[left], distance[left]
    return Associated(of_track, distance_of_track, of_block)
