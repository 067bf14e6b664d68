"""Solutions for tracks: straight lines and lines with a kink, how likely they are, and their errors.

A solution is a point that all its lines meet, the angle theta of the direction in the top view, from the
normal of the foil, and dz/ds, how the height rises along it; beyond a kink both change. That is six
parameters, the columns SHIFT to RISE_CHANGE below; for a straight line the changes are held at 0.

The likelihood of a hit is a normal distribution of its residual, with a small share of wrong hits, which may
be anywhere (Hogg, Bovy and Lang, arXiv:1008.4686, section 3). `solve` looks for its maximum with errors that
are wide at first and shrink, so that a wrong hit fades out of the fit (annealing; Fruehwirth and Strandlie,
Comput. Phys. Commun. 120 (1999) 197). The likelihood of a solution is integrated over its parameters by
Laplace's approximation, so that two lines do not win over one for free (MacKay, Information Theory,
Inference, and Learning Algorithms, chapters 27 and 28).

Coordinates are those of the events' own geometry, by |x|.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.special import ndtri

from datasets.geometry import CELL_RADIUS_MM, HALF_HEIGHT_MM, N_LAYERS

# Columns of `Solutions.value`
SHIFT, THETA, TURN, Z, RISE, RISE_CHANGE = range(6)
N_PARAMETERS = 6
NO_KINK = N_LAYERS  # a kink in front of this layer is none

WRONG_RADII = 0.01  # share of hits whose radius is not the track's
WRONG_HEIGHTS = 0.003
KINK_RAD = np.radians(16)  # rms change of each angle at a kink
N_DRAWS = 128
# Rounds of `solve`: a factor on the errors, and the share of wrong heights. At first no height is given up,
# for nothing is known of the line's
FROM_AFAR = (
    (10.0, 0.0),
    (10.0, WRONG_HEIGHTS),
    (4.0, WRONG_HEIGHTS),
    (2.0, WRONG_HEIGHTS),
    (1.0, WRONG_HEIGHTS),
    (1.0, WRONG_HEIGHTS),
    (1.0, WRONG_HEIGHTS),
)
FROM_NEAR = FROM_AFAR[3:6]

_CHUNK = 512  # solutions at a time: their hits stay in the processor's cache
_MOST_TURN_RAD = 0.3  # in a step of `solve`
_STIFF_RAD = 1e-6  # change of angle that a straight line allows
_FLAT = 3.0  # prior width of dz/ds; a few heights may not tell it
_FAR_MM = 3000.0  # and of the places
_ROUNDING = 1e-9  # of a correlation
_STEEPEST_COS = 1e-6  # of a direction along the foil, whose slope would be infinite
_DIAGONAL = np.arange(N_PARAMETERS)


@dataclass
class Solutions:
    """Solutions for tracks, straight or with a kink.

    Attributes:
        track: (solution,) index of the track.
        kink: (solution,) first layer beyond the kink, NO_KINK without one.
        point_mm: (solution, 2) x and y that the shift counts from.
        along: (solution, 2) unit vector along which it shifts the point.
        value: (solution, 6) SHIFT in mm; THETA in rad, and TURN, its change at the kink; Z, height of the
            point in mm; RISE, dz/ds, and RISE_CHANGE, its change at the kink.
        covariance: (solution, 6, 6) of the values.
        log_likelihood: (solution,), with the prior, integrated over the values.
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

    def best_log_likelihood(self, n_tracks):
        """(track,) highest log likelihood of each track's solutions, -infinity without one."""
        best = np.full(n_tracks, -np.inf)
        np.maximum.at(best, self.track, self.log_likelihood)
        return best

    def are_best(self):
        """(solution,) bool, one for each track that has solutions."""
        order = np.lexsort((-self.log_likelihood, self.track))
        is_first = np.diff(self.track[order], prepend=-1) > 0
        are_best = np.zeros(len(self), bool)
        are_best[order[is_first]] = True
        return are_best

    def near_best(self, negligible):
        """(solution,) bool, whether the log likelihood is less than `negligible` below the best of its
        track.
        """
        best = self.best_log_likelihood(self.track.max(initial=-1) + 1)
        return self.log_likelihood > best[self.track] - negligible


def concatenate(parts):
    """Solutions of a list of Solutions, which may not be empty."""
    names = vars(parts[0])
    return Solutions(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def chunks(n):
    """Slices of n solutions, a chunk that the processor's cache holds at a time."""
    for start in range(0, n, _CHUNK):
        yield slice(start, start + _CHUNK)


# ---- the nearest maximum of the likelihood -----------------------------------------------------------------


def solve(hits, starts, rounds):
    """Move solutions to the nearest maximum of their likelihood, by Gauss and Newton.

    Args:
        hits: TrackHits. starts: Solutions, of which covariance and likelihood do not matter.
        rounds: FROM_AFAR or FROM_NEAR.
    Returns:
        the distinct Solutions, with all attributes.
    """
    by_size = np.argsort(hits.n_hits[starts.track], kind="stable")
    solved = [starts[:0]]
    patterns = [np.zeros(0)]
    for which in chunks(len(starts)):
        part, pattern = _solve_chunk(hits, starts[by_size[which]], rounds)
        solved.append(part)
        patterns.append(pattern)
    return _distinct(concatenate(solved), np.concatenate(patterns))


def residuals(table, some):
    """How far wires and heights are from solutions, and by what that changes.

    Args:
        table: of `TrackHits.padded`, a row a solution. some: Solutions.
    Returns:
        distance, height: (solution, place) signed distance of the wire, and height of the solution at the
            point nearest to it, in mm.
        by_distance, by_height: (solution, place, 6) their derivatives.
    """
    is_beyond = table["layer"] >= some.kink[:, None]
    value = some.value[:, :, None]
    theta = np.where(is_beyond, value[:, THETA] + value[:, TURN], value[:, THETA])
    rise = np.where(is_beyond, value[:, RISE] + value[:, RISE_CHANGE], value[:, RISE])
    cos = np.cos(theta)
    sin = np.sin(theta)

    point = some.point_mm + some.value[:, SHIFT, None] * some.along
    x = table["x_mm"] - point[:, :1]
    y = table["y_mm"] - point[:, 1:]
    distance = cos * y - sin * x
    path = cos * x + sin * y  # from the point to where the line is nearest to the wire
    height = value[:, Z] + rise * path

    along_x = some.along[:, :1]
    along_y = some.along[:, 1:]
    distance_by_shift = sin * along_x - cos * along_y
    path_by_shift = -cos * along_x - sin * along_y
    height_by_theta = rise * distance
    nothing = np.zeros_like(path)
    one = np.ones_like(path)
    # in the order SHIFT, THETA, TURN, Z, RISE, RISE_CHANGE
    by_distance = [distance_by_shift, -path, -path * is_beyond, nothing, nothing, nothing]
    by_height = [
        rise * path_by_shift,
        height_by_theta,
        height_by_theta * is_beyond,
        one,
        path,
        path * is_beyond,
    ]
    return distance, height, np.stack(by_distance, -1), np.stack(by_height, -1)


def _solve_chunk(hits, some, rounds):
    """Solutions with all attributes, and the pattern of each, (solution,)."""
    table = hits.padded(some.track)
    for widen, wrong_heights in rounds:
        near = _approximate(table, some, widen, wrong_heights)
        step = np.linalg.solve(near.matrix, near.slope[..., None])[..., 0]
        angles = [THETA, TURN]
        step[:, angles] = np.clip(step[:, angles], -_MOST_TURN_RAD, _MOST_TURN_RAD)
        some = replace(some, value=some.value - step)
    near = _approximate(table, some, 1.0, WRONG_HEIGHTS)
    _, log_determinant = np.linalg.slogdet(near.matrix)
    some = replace(
        some,
        covariance=_inverse(near.matrix),
        log_likelihood=near.log_density - 0.5 * log_determinant,  # Laplace
    )
    return some, _pattern(table, near.distance, some.value[:, THETA])


def _inverse(matrix):
    """Inverse of positive (solution, 6, 6), whose elements are of very different sizes."""
    scale = 1 / np.sqrt(matrix[:, _DIAGONAL, _DIAGONAL])
    scale = scale[:, :, None] * scale[:, None]
    return np.linalg.inv(matrix * scale) * scale


@dataclass
class _Parabola:
    """The log density of hits and parameters near solutions.

    Attributes:
        matrix: (solution, 6, 6) half the second derivatives of chi2.
        slope: (solution, 6) half the first ones.
        log_density: (solution,) of all hits and of the parameters.
        distance: (solution, place) of the wires, as of `residuals`.
    """

    matrix: np.ndarray
    slope: np.ndarray
    log_density: np.ndarray
    distance: np.ndarray


def _approximate(table, some, widen, wrong_heights):
    """_Parabola at solutions.

    Args:
        table: of `TrackHits.padded`. widen: factor on the errors. wrong_heights: share of wrong ones.
    """
    distance, height, by_distance, by_height = residuals(table, some)
    off_radius = distance - np.copysign(table["radius_mm"], distance)
    off_z = height - table["z_mm"]
    sigma_radius = widen * table["sigma_radius_mm"]
    sigma_z = widen * table["sigma_z_mm"]
    log_radius, weight_radius = _log_and_weight(
        off_radius, sigma_radius, WRONG_RADII, CELL_RADIUS_MM
    )
    log_z, weight_z = _log_and_weight(off_z, sigma_z, wrong_heights, 2 * HALF_HEIGHT_MM)
    sigma_prior = _prior_widths(some)
    precision = sigma_prior**-2.0

    weighted_radius = by_distance * weight_radius[..., None]
    weighted_z = by_height * weight_z[..., None]
    matrix = weighted_radius.swapaxes(1, 2) @ by_distance + weighted_z.swapaxes(1, 2) @ by_height
    matrix[:, _DIAGONAL, _DIAGONAL] += precision
    slope = (weighted_radius * off_radius[..., None]).sum(1) + (weighted_z * off_z[..., None]).sum(
        1
    )
    slope += precision * some.value

    log_prior = -0.5 * np.square(some.value / sigma_prior).sum(1) - np.log(sigma_prior).sum(1)
    log_density = log_radius.sum(1) + log_z.sum(1) + log_prior
    return _Parabola(matrix, slope, log_density, distance)


def _log_and_weight(off, sigma, wrong_share, range_mm):
    """How probable residuals are, and how much they count.

    Args:
        off, sigma: (solution, place) residuals and their errors, infinite where nothing was measured.
        wrong_share: of the measurements, that are anything within range_mm.
    Returns:
        (solution, place) log density, and 1 / sigma^2 times the probability that the measurement is not a
        wrong one; both 0 where nothing was measured.
    """
    is_measured = np.isfinite(sigma)
    sigma = np.where(is_measured, sigma, 1.0)
    log_right = (
        np.log1p(-wrong_share) - 0.5 * np.square(off / sigma) - np.log(np.sqrt(2 * np.pi) * sigma)
    )
    log_any = np.logaddexp(log_right, np.log(wrong_share / range_mm)) if wrong_share else log_right
    right = np.exp(log_right - log_any)
    return np.where(is_measured, log_any, 0.0), np.where(is_measured, right / np.square(sigma), 0.0)


def _prior_widths(some):
    """(solution, 6) standard deviations of the parameters before any hit is seen; only those of the changes
    at a kink tell anything.
    """
    turn = np.where(some.kink == NO_KINK, _STIFF_RAD, KINK_RAD)
    width = np.empty((len(some), N_PARAMETERS))
    width[:, SHIFT] = _FAR_MM
    width[:, THETA] = np.pi
    width[:, TURN] = turn
    width[:, Z] = _FAR_MM
    width[:, RISE] = _FLAT
    width[:, RISE_CHANGE] = turn * (1 + np.square(some.value[:, RISE]))  # an angle of the side view
    return width


def _pattern(table, distance, theta):
    """A number for the sides of its line on which wires are, seen along the track from its first wire.

    Args:
        table: of `TrackHits.padded`. distance: (solution, place), as of `residuals`. theta: (solution,).
    Returns:
        (solution,) float, a different one for each pattern of sides.
    """
    is_hit = np.isfinite(table["sigma_radius_mm"])
    sides = np.where(distance < 0, -1.0, 1.0) * is_hit
    x = (table["x_mm"] - table["x_mm"][:, :1]) * is_hit
    y = (table["y_mm"] - table["y_mm"][:, :1]) * is_hit
    farthest = (x**2 + y**2).argmax(1)[:, None]
    far_x = np.take_along_axis(x, farthest, 1)[:, 0]
    far_y = np.take_along_axis(y, farthest, 1)[:, 0]
    along = np.cos(theta) * far_x + np.sin(theta) * far_y
    forward = np.where(along < 0, -1.0, 1.0)
    digits = np.sin(1.0 + np.arange(sides.shape[1]))  # no sum of some of them equals that of others
    return forward * (sides * digits).sum(1)


def _distinct(some, pattern):
    """Without solutions that have the same track, kink and pattern as another one; the most likely stays."""
    pattern = np.round(pattern, 9)
    order = np.lexsort((-some.log_likelihood, pattern, some.kink, some.track))
    group = np.stack([some.track, some.kink, pattern])[:, order]
    is_first = np.ones(len(some), bool)
    is_first[1:] = (np.diff(group, axis=1) != 0).any(0)
    return some[order[is_first]]


# ---- draws -------------------------------------------------------------------------------------------------


def draw(some):
    """Parameters of solutions at random, by their normal distributions: (solution, draw, 6).

    They are the same each time, and quasi-random, which is more even than random.
    """
    sigma = np.sqrt(some.covariance[:, _DIAGONAL, _DIAGONAL])
    correlation = some.covariance / (sigma[:, :, None] * sigma[:, None])
    root = np.linalg.cholesky(correlation + _ROUNDING * np.eye(N_PARAMETERS))
    return some.value[:, None] + _standard_draws() @ root.swapaxes(1, 2) * sigma[:, None]


@cache
def _standard_draws():
    """(draw, 6) points of a standard normal distribution, spread evenly (Sobol)."""
    from scipy.stats import qmc  # takes longer than all else at the start of a script

    uniform = qmc.Sobol(N_PARAMETERS, scramble=True, rng=0).random(N_DRAWS)
    return ndtri(uniform)


def points_mm(some, value):
    """The point that all lines of solutions meet: (x, y, z), each (solution, draw).

    Args:
        some: Solutions. value: (solution, draw, 6), as of `draw`.
    """
    point = some.point_mm[:, None] + value[..., SHIFT, None] * some.along[:, None]
    return point[..., 0], point[..., 1], value[..., Z]


def first_slopes(value):
    """(dy/dx, dz/dx) of solutions at the foil, each (solution, draw); value: (solution, draw, 6)."""
    return _slopes(value[..., THETA], value[..., RISE])


def last_slopes(value):
    """(dy/dx, dz/dx) of solutions where they end, each (solution, draw); value: (solution, draw, 6)."""
    return _slopes(value[..., THETA] + value[..., TURN], value[..., RISE] + value[..., RISE_CHANGE])


def _slopes(theta, rise):
    cos = np.cos(theta)
    cos = np.copysign(np.maximum(np.abs(cos), _STEEPEST_COS), cos)
    return np.sin(theta) / cos, rise / cos
