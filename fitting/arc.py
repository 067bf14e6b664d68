"""The maximum-likelihood fit of arcs to drift-chamber hits: all tracks of all events in one call.

As in `line`, a drift radius says that the wire is at distance +r or -r from the track, and which of both is
unknown; heights belong to the points closest to the wires, and rise evenly along the arc (`arcs` says what
the numbers of an arc are).

The fit begins at the eight circles that touch the drift circles of the first, the middle and the last hit,
and at a given line. From the best of them, Gauss-Newton steps for given sides and the choice of the sides for
a given arc follow each other; then the side of one hit after the other is changed where that lowers chi2, as
in `line`.

Scattering in the gas makes a track leave its arc: its residuals grow with the path and are correlated. With
`beta_p_mev` given, the last steps take their covariance into account: phi, d, z0 and tan_dip are then those
of the track at its first hit, and the curvature is that of the field. The direction does a random walk, so
two residuals at paths a <= b from there have the covariance q a^2 (3 b - a) / 6, and q is the variance of the
direction after 1 mm of path. The errors without it are too small: for 1 MeV the curvature's by half.
"""

from dataclasses import dataclass

import numpy as np

from fitting.arcs import Arcs, distance, path
from fitting.line import UNKNOWN_RADIUS_SIGMA_MM, probability_of_worse

# rms of a projected angle times beta p after 1 mm of gas, in MeV, as in `my_generator.electrons`
SCATTERING_MEV = 0.0047
MEASURED_SIGMA = 3.0  # of the curvature: below it none was measured
_CHUNK = 512  # arcs at a time: their hits stay in the processor's cache
_SIDES = (
    np.array(np.meshgrid([1, -1], [1, -1], [1, -1], indexing="ij")).reshape(3, 8).T
)  # of three circles
_START_STEPS = 3
_BEST_STARTS = 3
_STEPS = 2
_FLIPS = 2
_LAST_STEPS = 3
# with scattering, where sides are looked for: how far tracks are at their ends from arcs that know nothing of
# it, without a walk and by it
_SIDE_STEPS = 2
_ARC_SIGMA_MM = 0.5
_WALK_LEFT = 1 / 100
_WALK_LEFT_OF_SLOPE = 1 / 10
_UNKNOWN_MM = 1e3
_UNKNOWN_RAD = 10.0
_PAIRS = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]  # of a symmetric matrix
_MOST_TURN_RAD = 0.3  # in a step
_MOST_CURVATURE_PER_MM = 1 / 50
_CONVERGED = 0.05  # of the errors, is the last step
_ROW_MM = 0.1
_TINY = 1e-12
_NO_HIT_MM = 1e6


@dataclass
class FittedArcs(Arcs):
    """Fitted arcs; NaN where the hits do not determine a value.

    Attributes:
        those of Arcs; and
        covariance_top: (arc, 3, 3) of phi_rad, d_mm, curvature_per_mm. covariance_z: (arc, 2, 2) of z0_mm and
            tan_dip; what the errors of the top view add to it is left out.
        chi2_radius, chi2_z: (arc,) of the hits; with scattering that of correlated residuals. n_hits, n_z:
            (arc,).
        valid: (arc,) bool, the fit has converged.
        mirrored: (arc,) bool, the wires lie on one straight line, and the mirror image there fits as well.
        side: (hit,) int8, +1 where the wire is on the side of the normal, -1 on the other, 0 for a hit of no
            arc.
    """

    covariance_top: np.ndarray
    covariance_z: np.ndarray
    chi2_radius: np.ndarray
    chi2_z: np.ndarray
    n_hits: np.ndarray
    n_z: np.ndarray
    valid: np.ndarray
    mirrored: np.ndarray
    side: np.ndarray

    @property
    def sigma_curvature_per_mm(self):
        """(arc,) error of the curvature."""
        return np.sqrt(self.covariance_top[:, 2, 2])

    def p_value(self):
        """(arc,) probability of a worse chi2, NaN where there is no degree of freedom."""
        n_degrees = np.maximum(self.n_hits - 3, 0) + np.maximum(self.n_z - 2, 0)
        return probability_of_worse(self.chi2_radius + self.chi2_z, n_degrees)

    def is_curved(self, n_sigma=MEASURED_SIGMA):
        """(arc,) bool, whether the curvature was measured: it is so many errors from 0."""
        return np.abs(self.curvature_per_mm) > n_sigma * self.sigma_curvature_per_mm

    def charge(self, side, n_sigma=MEASURED_SIGMA):
        """(arc,) int, -1 or 1 of tracks that leave the foil in a field along +z, 0 where no curvature was
        measured.

        Args:
            side: (arc,) tracker half; the arcs are in |x|.
        """
        sign = -np.sign(np.nan_to_num(self.curvature_per_mm)) * (2 * np.asarray(side) - 1)
        return np.where(self.is_curved(n_sigma), sign, 0).astype(int)

    def measured_momentum_mev(self, field_gauss, n_sigma=MEASURED_SIGMA):
        """(arc,) momentum, NaN where no curvature was measured; and its error, (arc,), by that of the
        curvature.
        """
        momentum = np.where(self.is_curved(n_sigma), self.momentum_mev(field_gauss), np.nan)
        return momentum, momentum * self.sigma_curvature_per_mm / np.abs(self.curvature_per_mm)


def fit(
    arc,
    n_arcs,
    x_mm,
    y_mm,
    radius_mm,
    z_mm,
    sigma_radius_mm,
    sigma_z_mm,
    start=None,
    beta_p_mev=None,
    sigma_curvature_per_mm=np.inf,
    unknown_radius_sigma_mm=UNKNOWN_RADIUS_SIGMA_MM,
):
    """Fit arcs to hits.

    Args:
        arc: (hit,) int, the arc each hit belongs to, -1 for none; any order. n_arcs: how many there are.
            Those with fewer than three hits are not fitted.
        x_mm, y_mm: (hit,) wires, x from the foil. radius_mm: (hit,) drift radii, NaN where unknown: then 0
            with `unknown_radius_sigma_mm`. z_mm: (hit,) heights, NaN where not measured.
        sigma_radius_mm, sigma_z_mm: their errors, (hit,) or one number.
        start: Lines, (arc,), to begin with too, as of `line.fit`.
        beta_p_mev: beta p in MeV that tells how much the gas scatters, (arc,) or one number; None for not at
            all.
        sigma_curvature_per_mm: the curvature is taken to be 0 within this error before any hit is seen.
    Returns:
        FittedArcs.
    """
    arc = np.asarray(arc)
    columns = [
        np.broadcast_to(np.asarray(values, float), arc.shape)
        for values in (x_mm, y_mm, radius_mm, z_mm, sigma_radius_mm, sigma_z_mm)
    ]
    fitted = _nothing(n_arcs, len(arc))
    owned = np.flatnonzero(arc >= 0)
    fitted.n_hits[:] = np.bincount(arc[owned], minlength=n_arcs)
    owned = owned[np.argsort(arc[owned], kind="stable")]
    first = np.cumsum(fitted.n_hits) - fitted.n_hits
    by_size = np.argsort(fitted.n_hits, kind="stable")
    by_size = by_size[fitted.n_hits[by_size] >= 3]
    for begin in range(0, len(by_size), _CHUNK):
        these = by_size[begin : begin + _CHUNK]
        place = np.arange(fitted.n_hits[these].max())
        exists = place < fitted.n_hits[these, None]
        index = owned[np.where(exists, first[these, None] + place, 0)]
        table = _table(*(values[index] for values in columns), exists, unknown_radius_sigma_mm)
        table.prior = sigma_curvature_per_mm**-2.0
        given = None if start is None else _given(table, start, these)
        q = (
            None
            if beta_p_mev is None
            else np.square(SCATTERING_MEV / np.broadcast_to(beta_p_mev, n_arcs)[these])
        )
        value = _search(table, given)
        _fill(fitted, these, index, table, value, q)
    return fitted


def _nothing(n_arcs, n_hits):
    """FittedArcs without a result."""
    unknown = [np.full(n_arcs, np.nan) for _ in range(7)]
    return FittedArcs(
        *unknown,
        covariance_top=np.full((n_arcs, 3, 3), np.nan),
        covariance_z=np.full((n_arcs, 2, 2), np.nan),
        chi2_radius=np.full(n_arcs, np.nan),
        chi2_z=np.full(n_arcs, np.nan),
        n_hits=np.zeros(n_arcs, int),
        n_z=np.zeros(n_arcs, int),
        valid=np.zeros(n_arcs, bool),
        mirrored=np.zeros(n_arcs, bool),
        side=np.zeros(n_hits, np.int8),
    )


@dataclass
class _Table:
    """Hits of arcs in rows.

    Attributes:
        x0, y0: (arc,) wire of the first hit: at one end of the track, at the one nearer to the foil.
        x, y: (arc, hit) wires from there. radius: (arc, hit). weight, weight_z: (arc, hit) 1 / sigma^2, 0
            where there is no hit or nothing was measured. z: (arc, hit), 0 where not measured. exists: (arc,
            hit).
        ends: (arc, 3) places of the first, the middle and the last hit. length: (arc,) from first to last.
        mirrored: (arc,) whether the wires lie on one line.
        prior: 1 / sigma^2 of the curvature.
    """

    x0: np.ndarray
    y0: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    weight: np.ndarray
    z: np.ndarray
    weight_z: np.ndarray
    exists: np.ndarray
    ends: np.ndarray
    length: np.ndarray
    mirrored: np.ndarray
    prior: float = 0.0


def _table(x, y, radius, z, sigma, sigma_z, exists, unknown_sigma):
    """_Table from measurements, (arc, hit) each."""
    n = exists.sum(1)
    unknown = np.isnan(radius)
    weight = np.where(exists, np.where(unknown, unknown_sigma, sigma) ** -2.0, 0.0)
    measured = exists & np.isfinite(z)
    middle_x = (x * exists).sum(1) / n
    middle_y = (y * exists).sum(1) / n
    dx = (x - middle_x[:, None]) * exists
    dy = (y - middle_y[:, None]) * exists
    xx = (dx * dx).sum(1)
    xy = (dx * dy).sum(1)
    yy = (dy * dy).sum(1)
    axis = np.arctan2(2 * xy, xx - yy) / 2 + 1e-6  # no two wires are equally far along it
    along = np.cos(axis)[:, None] * dx + np.sin(axis)[:, None] * dy
    row = np.arange(len(n))
    low = np.where(exists, along, _NO_HIT_MM).argmin(1)
    high = np.where(exists, along, -_NO_HIT_MM).argmax(1)
    low_is_first = x[row, low] <= x[row, high]
    first = np.where(low_is_first, low, high)
    last = np.where(low_is_first, high, low)
    half_way = (along[row, low] + along[row, high]) / 2
    from_half_way = np.abs(along - half_way[:, None])
    from_half_way[row, low] = _NO_HIT_MM / 2
    from_half_way[row, high] = _NO_HIT_MM / 2
    middle = np.where(exists, from_half_way, _NO_HIT_MM).argmin(1)
    across = (xx + yy - np.hypot(xx - yy, 2 * xy)) / 2
    x0 = x[row, first]
    y0 = y[row, first]
    return _Table(
        x0=x0,
        y0=y0,
        x=(x - x0[:, None]) * exists,
        y=(y - y0[:, None]) * exists,
        radius=np.where(unknown, 0.0, radius) * exists,
        weight=weight,
        z=np.where(measured, z, 0.0),
        weight_z=np.where(measured, np.broadcast_to(sigma_z, z.shape) ** -2.0, 0.0),
        exists=exists,
        ends=np.stack([first, middle, last], 1),
        length=np.hypot(x[row, last] - x0, y[row, last] - y0),
        mirrored=across < _ROW_MM**2 * n,
    )


def _given(table, start, these):
    """(1, arc, 3) phi, d and curvature of Lines, in the direction of the tables; NaN where there is none."""
    phi = start.phi_rad[these]
    d = start.d_mm[these] - (np.cos(phi) * table.x0 + np.sin(phi) * table.y0)
    row = np.arange(len(phi))
    last = table.ends[:, 2]
    ahead = np.cos(phi) * table.y[row, last] - np.sin(phi) * table.x[row, last]
    phi = np.where(ahead < 0, phi + np.pi, phi)
    d = np.where(ahead < 0, -d, d)
    return np.stack([phi, d, np.zeros(len(phi))], -1)[None]


def _search(table, given):
    """The best arcs, (arc, 3) phi, d and curvature."""
    value = _touching(table)
    if given is not None:
        known = np.isfinite(given).all(-1, keepdims=True)
        value = np.concatenate([value, np.where(known, given, value[:1])])
    chi2 = _chi2(table, value)
    best = np.argpartition(chi2, _BEST_STARTS, axis=0)[:_BEST_STARTS]
    value = np.take_along_axis(value, best[..., None], axis=0)
    for _ in range(_STEPS):
        value = _step(table, value)
    value = _best(table, value)[None]
    for _ in range(_STEPS):
        value = _step(table, value)
    for _ in range(_FLIPS):
        other = _flip(table, value)
        other = _step(table, _step(table, other))
        value = _best(table, np.concatenate([value, other]))[None]
    for _ in range(_LAST_STEPS):
        value = _step(table, value)
    return value[0]


def _touching(table):
    """(8, arc, 3) the arcs that touch the drift circles of the first, the middle and the last hit."""
    row = np.arange(len(table.x))[:, None]
    x = table.x[row, table.ends]
    y = table.y[row, table.ends]
    radius = _SIDES[:, None] * table.radius[row, table.ends]  # (8, arc, 3)
    phi = np.arctan2(y[:, 2], x[:, 2]) - np.pi / 2
    value = np.zeros((len(_SIDES), len(x), 3))
    value[..., 0] = phi
    scale = _scale(table.length)
    for _ in range(_START_STEPS):
        off, jacobian = _distance_and_derivatives(x, y, value)
        matrix, gradient = _normal_equations(1.0, scale, jacobian, radius - off)
        value = _moved(value, np.stack(_solved(matrix, gradient), -1) * scale)
    return value


def _solved(matrix, vector):
    """Solutions of symmetric equations of three unknowns.

    Args:
        matrix: aa, ab, ac, bb, bc, cc, arrays of one shape. vector: three more.
    Returns:
        three arrays.
    """
    inverse, determinant = _adjugate(matrix)
    a, b, c = vector
    aa, ab, ac, bb, bc, cc = inverse
    return [
        (one * a + two * b + three * c) / determinant
        for one, two, three in ((aa, ab, ac), (ab, bb, bc), (ac, bc, cc))
    ]


def _adjugate(matrix):
    """aa, ab, ac, bb, bc, cc of the adjugate of symmetric matrices, and their determinants, which are not
    0.
    """
    aa, ab, ac, bb, bc, cc = matrix
    first = bb * cc - bc * bc
    second = ac * bc - ab * cc
    third = ab * bc - ac * bb
    determinant = aa * first + ab * second + ac * third
    adjugate = (first, second, third, aa * cc - ac * ac, ab * ac - aa * bc, aa * bb - ab * ab)
    return adjugate, np.maximum(determinant, _TINY)


def _scale(length):
    """(arc, 3) sizes of phi, d and curvature that move hits by about 1 mm."""
    length = np.maximum(length, 1.0)
    return np.stack([1 / length, np.ones(len(length)), 1 / length**2], -1)


def _moved(value, step):
    """Arcs after a step, which is not longer than is good."""
    turn = np.abs(step[..., :1])
    step = step * np.minimum(1, _MOST_TURN_RAD / np.maximum(turn, _TINY))
    value = value + step
    value[..., 2] = np.clip(value[..., 2], -_MOST_CURVATURE_PER_MM, _MOST_CURVATURE_PER_MM)
    return value


def _frame(x, y, value):
    """along, beyond: (..., arc, hit) as `arcs.distance` takes them; and the curvature, (..., arc, 1)."""
    phi, d, curvature = (value[..., i, None] for i in range(3))
    cos = np.cos(phi)
    sin = np.sin(phi)
    return cos * y - sin * x, cos * x + sin * y - d, curvature


def _distance_and_derivatives(x, y, value):
    """Distances of wires from arcs, (..., arc, hit), and their derivatives by phi, d and curvature, the
    same.
    """
    along, beyond, curvature = _frame(x, y, value)
    off, in_radii = distance(along, beyond, curvature)
    cos_turn = (1 + curvature * beyond) / in_radii
    sin_turn_by_curvature = along / in_radii
    by_phi = sin_turn_by_curvature * (1 - curvature * value[..., 1, None])
    # (1 - cos) / curvature^2
    by_curvature = sin_turn_by_curvature**2 / np.maximum(1 + cos_turn, 1e-2)
    return off, (by_phi, -cos_turn, by_curvature)


def _chi2(table, value):
    """(..., arc) chi2 of the radii, and of the curvature's prior."""
    along, beyond, curvature = _frame(table.x, table.y, value)
    off, _ = distance(along, beyond, curvature)
    residual = np.abs(off) - table.radius
    of_radii = np.einsum("...h,...h->...", table.weight * residual, residual)
    return of_radii + table.prior * value[..., 2] ** 2


def _best(table, value):
    """The arcs of lowest chi2 out of several, (start, arc, 3) -> (arc, 3)."""
    best = _chi2(table, value).argmin(0)
    return value[best, np.arange(len(best))]


def _step(table, value, radius=None):
    """One step of Gauss-Newton with each wire on the side it is on, or for given signed radii."""
    off, jacobian = _distance_and_derivatives(table.x, table.y, value)
    radius = np.copysign(table.radius, off) if radius is None else radius
    scale = _scale(table.length)
    matrix, gradient = _normal_equations(table.weight, scale, jacobian, radius - off)
    matrix, gradient = _with_prior(matrix, gradient, table.prior, scale, value)
    return _moved(value, np.stack(_solved(matrix, gradient), -1) * scale)


def _normal_equations(weight, scale, jacobian, residual):
    """Least squares in units of `_scale`: matrix and vector as `_solved` takes them, (..., arc) each.

    Args:
        weight, residual: (..., arc, hit). scale: (arc, 3). jacobian: three (..., arc, hit).
    """
    weighted = [weight * values for values in jacobian]
    matrix = [
        np.einsum("...h,...h->...", weighted[i], jacobian[j]) * (scale[:, i] * scale[:, j])
        for i, j in _PAIRS
    ]
    vector = [np.einsum("...h,...h->...", weighted[i], residual) * scale[:, i] for i in range(3)]
    return matrix, vector


def _with_prior(matrix, vector, prior, scale, value):
    """The same equations, with what is known of the curvature before."""
    scaled = prior * scale[:, 2]
    matrix = [*matrix[:5], matrix[5] + scaled * scale[:, 2]]
    vector = [*vector[:2], vector[2] - scaled * value[..., 2]]
    return matrix, vector


def _covariance(matrix, scale):
    """(arc, 3, 3) inverse of a matrix in units of `_scale`."""
    adjugate, determinant = _adjugate(matrix)
    inverse = np.empty((len(determinant), 3, 3))
    for (i, j), values in zip(_PAIRS, adjugate, strict=True):
        inverse[:, i, j] = values / determinant * scale[:, i] * scale[:, j]
        inverse[:, j, i] = inverse[:, i, j]
    return inverse


def _flip(table, value):
    """Change the side of the one hit of each arc where that lowers chi2 most, or of none, and fit again.

    Args:
        value: (1, arc, 3).
    """
    off, jacobian = _distance_and_derivatives(table.x, table.y, value)
    radius = np.copysign(table.radius, off)
    scale = _scale(table.length)
    matrix, vector = _normal_equations(table.weight, scale, jacobian, radius - off)
    matrix, _ = _with_prior(matrix, vector, table.prior, scale, value)
    (aa, ab, ac, bb, bc, cc), determinant = _adjugate(matrix)
    a, b, c = (values * scale[:, i, None] for i, values in enumerate(jacobian))
    leverage = a * (aa[..., None] * a + 2 * (ab[..., None] * b + ac[..., None] * c))
    leverage += b * (bb[..., None] * b + 2 * bc[..., None] * c) + cc[..., None] * c * c
    leverage *= table.weight / determinant[..., None]
    gain = table.weight * table.radius * (table.radius * leverage - np.abs(off))
    most = gain.argmax(-1)[..., None]
    flip = (np.arange(gain.shape[-1]) == most) & (gain > 0)
    return _step(table, value, np.where(flip, -radius, radius))


def _fill(fitted, these, index, table, value, q):
    """Write what was found into `fitted`.

    Args:
        these: (arc,) indices of arcs. index: (arc, hit) of hits. value: (arc, 3). q: (arc,) variance of the
            direction after 1 mm in space, or None.
    """
    scale = _scale(table.length)
    if q is None:
        before = value
        value = _step(table, value)
        off, jacobian = _distance_and_derivatives(table.x, table.y, value)
        radius = np.copysign(table.radius, off)
        matrix, vector = _normal_equations(table.weight, scale, jacobian, off - radius)
        matrix, _ = _with_prior(matrix, vector, table.prior, scale, value)
        covariance = _covariance(matrix, scale)
        chi2 = np.einsum("ah,ah->a", table.weight * (off - radius), off - radius)
        height, covariance_z, chi2_z = _heights(table, value)
    else:
        height, _, _ = _heights(table, value)
        climb = np.hypot(1, np.nan_to_num(height[:, 1]))
        for _ in range(_SIDE_STEPS):
            value, _, _, told = _walk_step(table, value, q * climb**3, None)
        for _ in range(_LAST_STEPS):
            before = value
            value, covariance, chi2, _ = _walk_step(table, value, q * climb**3, told)
        off = told[0]
        height, covariance_z, chi2_z = _walk_heights(table, value, q * climb**5)
    fitted.x0_mm[these] = table.x0
    fitted.y0_mm[these] = table.y0
    fitted.phi_rad[these] = (value[:, 0] + np.pi) % (2 * np.pi) - np.pi
    fitted.d_mm[these] = value[:, 1]
    fitted.curvature_per_mm[these] = value[:, 2]
    fitted.z0_mm[these] = height[:, 0]
    fitted.tan_dip[these] = height[:, 1]
    fitted.covariance_top[these] = covariance
    fitted.covariance_z[these] = covariance_z
    fitted.chi2_radius[these] = chi2
    fitted.chi2_z[these] = chi2_z
    fitted.n_z[these] = (table.weight_z > 0).sum(1)
    error = np.sqrt(covariance[:, range(3), range(3)])
    fitted.valid[these] = (np.abs(value - before) < _CONVERGED * error).all(1)
    fitted.mirrored[these] = table.mirrored
    fitted.side[index[table.exists]] = np.where(off < 0, -1, 1)[table.exists]


def _paths(table, value):
    """(arc, hit) paths along arcs of the points nearest to the wires."""
    along, beyond, curvature = _frame(table.x, table.y, value)
    return path(along, beyond, curvature)


def _heights(table, value):
    """Straight-line fits of heights along arcs: height, (arc, 2), z0 and tan_dip; its covariance, (arc, 2,
    2); both NaN where fewer than two heights tell; chi2, (arc,).
    """
    s = _paths(table, value)
    w = table.weight_z
    total = np.maximum(w.sum(1), _TINY)
    middle = np.einsum("ah,ah->a", w, s) / total
    from_middle = s - middle[:, None]
    spread = np.einsum("ah,ah->a", w * from_middle, from_middle)
    spread = np.where(spread > total, spread, np.nan)  # 1 mm at least
    dip = np.einsum("ah,ah->a", w * from_middle, table.z) / spread
    at_middle = np.einsum("ah,ah->a", w, table.z) / total
    residual = table.z - at_middle[:, None] - dip[:, None] * from_middle
    chi2 = np.nan_to_num(np.einsum("ah,ah->a", w * residual, residual))
    both = -middle / spread
    covariance = np.stack([1 / total + middle**2 / spread, both, both, 1 / spread], -1).reshape(
        -1, 2, 2
    )
    return np.stack([at_middle - dip * middle, dip], -1), covariance, chi2


# ---- with scattering: a Kalman filter from the last hit back to the first ----------------------------------


def _in_order(s, exists):
    """Places of hits from the last along the path to the first, those that are not there last: (arc, hit)."""
    return np.argsort(np.where(exists, -s, np.inf), axis=1, kind="stable")


def _walk_step(table, value, per_mm, told):
    """One step to arcs that scatter.

    Args:
        value: (arc, 3). per_mm: (arc,) variance of the direction after 1 mm of path. told: signed radii and
            weights, (arc, hit) each; None to find them on the way, from what the arc and the hits before
            tell.
    Returns:
        value, its covariance (arc, 3, 3), chi2 (arc,), and signed radii and weights. Where a wire may be on
        either side the radius is the mean of both and the weight is less.
    """
    s = _paths(table, value)
    order = _in_order(s, table.exists)
    row = np.arange(len(s))[:, None]
    off, _ = _distance_and_derivatives(table.x, table.y, value)
    off = off[row, order]
    s = s[row, order]
    if told is None:
        size = table.radius[row, order]
        weight = table.weight[row, order].copy()
        signed = np.empty(s.shape)
        walk = per_mm * table.length
        sigma_place = np.hypot(_ARC_SIGMA_MM, np.sqrt(_WALK_LEFT * walk) * table.length)
        sigma_slope = np.hypot(
            _ARC_SIGMA_MM / np.maximum(table.length, 1), np.sqrt(walk * _WALK_LEFT_OF_SLOPE)
        )
    else:
        signed, weight = (values[row, order] for values in told)
        sigma_place = np.full(len(value), _UNKNOWN_MM)
        sigma_slope = np.full(len(value), _UNKNOWN_RAD)

    # the state: how far the track is beyond the arc along its normal, the slope of that, and its bend
    n = len(s)
    n_hits = table.exists.sum(1)
    k = value[:, 2]
    bend_variance = 1 / max(table.prior, _MOST_CURVATURE_PER_MM**-2)
    state = [np.zeros(n), np.zeros(n), k * (table.prior > 0)]
    zero = np.zeros(n)
    p = [sigma_place**2, zero, zero, sigma_slope**2, zero, np.full(n, bend_variance)]
    chi2 = np.zeros(n)
    at = s[:, 0]
    for i in range(s.shape[1]):
        to = np.where(n_hits > i, s[:, i], at)
        state, p = _transported(state, p, to - at, k, per_mm)
        at = to
        expected = off[:, i] - state[0]
        w = weight[:, i]
        if told is None:
            sure = np.tanh(size[:, i] * expected * w / (1 + w * p[0]))
            signed[:, i] = size[:, i] * sure
            w = w / (1 + w * size[:, i] ** 2 * (1 - sure**2))
            weight[:, i] = w
        innovation = expected - signed[:, i]
        shared = w / (1 + w * p[0])
        chi2 += shared * innovation**2
        state, p = _updated(state, p, shared, innovation)
    state, p = _transported(state, p, -at, k, per_mm)
    found = np.empty((2, *s.shape))
    found[:, row, order] = signed, weight
    # phi turns the arc about the point it is referred to, which is d beside it
    lever = 1 - k * value[:, 1]
    e, slope, bend = state
    new = value + np.stack([-slope / lever, e, -bend], -1)
    ee, es, eb, ss, sb, bb = p
    es, ss, sb = es / lever, ss / lever**2, sb / lever
    covariance = np.stack([ss, -es, sb, -es, ee, -eb, sb, -eb, bb], -1).reshape(-1, 3, 3)
    return new, covariance, chi2, found


def _transported(state, p, step, k, per_mm):
    """State and covariance after a way along arcs, (arc,) mm, with what scatters there."""
    turn = k * step
    cos = np.cos(turn)
    along = step * np.sinc(turn / np.pi)
    half = np.sinc(turn / (2 * np.pi))
    bent = step * step * half * half / 2  # (1 - cos) / k^2
    back = -k * np.sin(turn)
    e, slope, bend = state
    state = [cos * e + along * slope + bent * bend, back * e + cos * slope + along * bend, bend]
    ee, es, eb, ss, sb, bb = p
    # F P, row by row, then times the transpose of F
    fe = [
        cos * one + along * two + bent * three
        for one, two, three in ((ee, es, eb), (es, ss, sb), (eb, sb, bb))
    ]
    fs = [
        back * one + cos * two + along * three
        for one, two, three in ((ee, es, eb), (es, ss, sb), (eb, sb, bb))
    ]
    way = np.abs(step)
    return state, [
        cos * fe[0] + along * fe[1] + bent * fe[2] + per_mm * way**3 / 3,
        back * fe[0] + cos * fe[1] + along * fe[2] + per_mm * way * step / 2,
        fe[2],
        back * fs[0] + cos * fs[1] + along * fs[2] + per_mm * way,
        fs[2],
        bb,
    ]


def _updated(state, p, shared, innovation):
    """State and covariance after a measurement of the first number of the state."""
    ee, es, eb, ss, sb, bb = p
    by = shared * innovation
    state = [state[0] + ee * by, state[1] + es * by, state[2] + eb * by]
    return state, [
        ee - shared * ee * ee,
        es - shared * ee * es,
        eb - shared * ee * eb,
        ss - shared * es * es,
        sb - shared * es * eb,
        bb - shared * eb * eb,
    ]


def _walk_heights(table, value, per_mm):
    """As `_heights`, for a dip that does a random walk: at the first hit. per_mm: (arc,) its variance after
    1 mm.
    """
    s = _paths(table, value)
    order = _in_order(s, table.exists)
    row = np.arange(len(s))[:, None]
    weight = table.weight_z[row, order]
    z = table.z[row, order]
    n_hits = table.exists.sum(1)
    s = s[row, order]
    n = len(s)
    no_bend = np.zeros(n)
    state = [np.zeros(n), np.zeros(n), no_bend]
    p = [np.full(n, 1e10), no_bend, no_bend, np.full(n, 1e6), no_bend, no_bend]
    chi2 = np.zeros(n)
    at = s[:, 0]
    for i in range(s.shape[1]):
        to = np.where(n_hits > i, s[:, i], at)
        state, p = _transported(state, p, to - at, no_bend, per_mm)
        at = to
        shared = weight[:, i] / (1 + weight[:, i] * p[0])
        innovation = z[:, i] - state[0]
        chi2 += shared * innovation**2
        state, p = _updated(state, p, shared, innovation)
    state, p = _transported(state, p, -at, no_bend, per_mm)
    known = (weight > 0).sum(1) >= 2
    height = np.where(known[:, None], np.stack(state[:2], -1), np.nan)
    covariance = np.stack([p[0], p[1], p[1], p[3]], -1).reshape(-1, 2, 2)
    covariance[~known] = np.nan
    return height, covariance, np.where(known, chi2, 0.0)
