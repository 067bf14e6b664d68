"""Straight lines through drift-chamber hits: the maximum-likelihood fit of all tracks of all events in one
call.

In the top view a line is cos(phi) x + sin(phi) y = d (Hesse's normal form, regular for any direction, also
along the foil); its path s = -sin(phi) x + cos(phi) y grows away from the foil on side 1. Its height is z0 +
tan_dip s. Of a hit, a drift radius r >= 0 with a Gaussian error says that the wire is at distance +r or -r
from the line, which of both is unknown; a height z, where measured, belongs to the line's point closest to
the wire. The likelihood separates: (phi, d) follow from the radii, and given phi a weighted linear fit of the
heights gives (z0, tan_dip).

How the sides of the wires are found. For given sides the best line needs only weighted moments of wires and
radii (per line, not per hit): the angle by Newton's method, d in closed form. For a given line the best side
of each hit is the one its wire is on. Both steps in turn never raise chi2; they begin at the four tangents to
the two outermost cells. What that leaves wrong is a hit whose side cannot change without the line: if a hit
at distance p has the leverage h (its diagonal element of the hat matrix of the linearised fit), changing its
side and fitting again changes chi2 by 4 w r (|p| - r h), from the update of linear least squares by one
measurement. Where that is negative for a hit, its side is changed.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from datasets.geometry import CELL_MM

UNKNOWN_RADIUS_SIGMA_MM = CELL_MM / np.sqrt(12)  # a track anywhere in the cell
_CHUNK = 1024  # lines at a time: their hits stay in the processor's cache
_SAME_CHI2 = 1e-6  # of two solutions closer than this the first is taken, whatever the order of the hits
_MIN_SPREAD_MM = 1e-3  # of weighted hits along the line; less is one wire
_ROW_MM = 0.1  # rms distance of wires from a straight line; in the grid it is larger unless they are on it
_CONVERGED_RAD = 1e-6
_FLIPS = 2  # tries to change the side of one hit
_OUTLIER_ROUNDS = 4
_ROUNDS_AFTER_CLIP = 5  # until the hits used have settled
_ROBUST_PAIRS = [(0, 0), (1, 1), (2, 2)]  # the hit at an end may be a wrong one
_TINY = 1e-300


@dataclass
class Lines:
    """Fitted lines; NaN where the hits do not determine a value.

    Attributes:
        phi_rad: (line,) angle of the normal, from -pi to 0; d_mm: distance of the origin along the normal.
        z0_mm: (line,) height at the point nearest to the origin in the top view; tan_dip: dz/ds.
        covariance_phi_d, covariance_z0_dip: (line, 2, 2). The second holds the part of phi too: turning the
            line moves s = 0 by d.
        chi2_radius, chi2_z: (line,), of the hits used; 0 for two hits, chi2_z also for fewer heights.
        n_hits, n_z: (line,) hits and heights used.
        valid: (line,) bool, (phi, d) are determined and the fit has converged.
        mirrored: (line,) bool, the wires used lie on one straight line: this line's mirror image there fits
            the radii as well.
        side: (hit,) int8, +1 where the wire is on the side of the normal, -1 on the other, 0 for a hit of no
            fitted line.
        used: (hit,) bool, false for hits of no fitted line and for those that `clip_sigma` left out.
    """

    phi_rad: np.ndarray
    d_mm: np.ndarray
    z0_mm: np.ndarray
    tan_dip: np.ndarray
    covariance_phi_d: np.ndarray
    covariance_z0_dip: np.ndarray
    chi2_radius: np.ndarray
    chi2_z: np.ndarray
    n_hits: np.ndarray
    n_z: np.ndarray
    valid: np.ndarray
    mirrored: np.ndarray
    side: np.ndarray
    used: np.ndarray

    def distance_mm(self, line, x_mm, y_mm):
        """Signed distance of points in the top view from the lines with these indices; + on the side of the
        normal.
        """
        phi = self.phi_rad[line]
        return np.cos(phi) * x_mm + np.sin(phi) * y_mm - self.d_mm[line]

    def path_mm(self, line, x_mm, y_mm):
        """Path s of the point of a line closest to (x, y) in the top view."""
        phi = self.phi_rad[line]
        return np.cos(phi) * y_mm - np.sin(phi) * x_mm

    def z_at(self, line, x_mm, y_mm):
        """Height in mm of the point of a line closest to (x, y) in the top view."""
        return self.z0_mm[line] + self.tan_dip[line] * self.path_mm(line, x_mm, y_mm)

    def slopes(self):
        """(dy/dx, dz/dx), each (line,); infinite for lines along the foil."""
        sin = np.sin(self.phi_rad)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.cos(self.phi_rad) / -sin, self.tan_dip / -sin

    def foil_mm(self):
        """(y, z) in mm where the lines cross the foil, x = 0, each (line,); infinite or NaN for lines along
        it.
        """
        sin = np.sin(self.phi_rad)
        with np.errstate(divide="ignore", invalid="ignore"):
            y = self.d_mm / sin
            return y, self.z0_mm + self.tan_dip * y * np.cos(self.phi_rad)

    def n_degrees(self):
        """Degrees of freedom of chi2_radius and chi2_z, each (line,)."""
        return np.maximum(self.n_hits - 2, 0), np.maximum(self.n_z - 2, 0)

    def p_value(self):
        """(line,) probability of a worse chi2 (radii and heights together), NaN where there is no degree of
        freedom.
        """
        n = np.add(*self.n_degrees())
        return np.where(n > 0, chdtrc(np.maximum(n, 1), self.chi2_radius + self.chi2_z), np.nan)


def fit(
    line,
    n_lines,
    x_mm,
    y_mm,
    radius_mm,
    z_mm,
    sigma_radius_mm,
    sigma_z_mm,
    start=None,
    clip_sigma=None,
    unknown_radius_sigma_mm=UNKNOWN_RADIUS_SIGMA_MM,
    max_iterations=4,
):
    """Fit straight lines to hits.

    Args:
        line: (hit,) int, the line each hit belongs to, -1 for none; any order. n_lines: how many lines there
            are.
        x_mm, y_mm: (hit,) wires. radius_mm: (hit,) drift radii, NaN where unknown: then 0 with
            `unknown_radius_sigma_mm`.
        z_mm: (hit,) heights, NaN where not measured. sigma_radius_mm, sigma_z_mm: their errors, (hit,) or one
            number.
        start: (phi_rad, d_mm), each (line,), lines to try beside the tangents; NaN where there is none.
        clip_sigma: leave out hits with a radius or a height further than this many errors from the line; such
            a hit costs chi2 clip_sigma^2 in the search. By default all hits count.
        max_iterations: rounds of choosing sides and fitting, for each start.
    Returns:
        Lines.
    """
    line = np.asarray(line)
    which = np.flatnonzero(line >= 0)
    n_hits = np.bincount(line[which], minlength=n_lines)
    which = which[n_hits[line[which]] >= 2]
    which = which[np.argsort(line[which], kind="stable")]
    fitted = np.flatnonzero(n_hits >= 2)
    end = np.cumsum(n_hits[fitted])
    x, y, radius, z, sigma, sigma_z = (
        np.broadcast_to(np.asarray(values, float), line.shape)
        for values in (x_mm, y_mm, radius_mm, z_mm, sigma_radius_mm, sigma_z_mm)
    )
    lines = _nothing(n_lines, len(line))
    lines.n_hits[:] = n_hits
    lines.n_z[:] = np.bincount(line[(line >= 0) & np.isfinite(z)], minlength=n_lines)
    for first in range(0, len(fitted), _CHUNK):
        these = fitted[first : first + _CHUNK]
        index = which[end[first] - n_hits[fitted[first]] : end[first + len(these) - 1]]
        hits = _hits(n_hits[these], x[index], y[index], radius[index], sigma[index], unknown_radius_sigma_mm)
        given = None if start is None else [np.asarray(a, float)[these] for a in start]
        phi, d = _search(hits, given, clip_sigma, max_iterations)
        if clip_sigma is not None:
            hits.weight[_height_outliers(hits, phi, d, z[index], sigma_z[index], clip_sigma)] = 0
            for _ in range(_ROUNDS_AFTER_CLIP):
                phi, d = _step(hits, phi, d, clip_sigma)
        used = _fill_top_view(lines, these, index, hits, phi, d, clip_sigma)
        _fill_heights(lines, these, hits, z[index], sigma_z[index], used)
    return lines


def _nothing(n_lines, n_hits):
    """Lines without a result."""
    nan = [np.full(n_lines, np.nan) for _ in range(6)]
    matrices = [np.full((n_lines, 2, 2), np.nan) for _ in range(2)]
    counts = [np.zeros(n_lines, int) for _ in range(2)]
    masks = [np.zeros(n_lines, bool) for _ in range(2)]
    return Lines(
        *nan[:4], *matrices, *nan[4:], *counts, *masks, np.zeros(n_hits, np.int8), np.zeros(n_hits, bool)
    )


@dataclass
class _Hits:
    """Hits of some lines, sorted by line; coordinates from the middle of each line's wires.

    Arrays end in (hit,), per line in (line,).
    """

    first: np.ndarray
    counts: np.ndarray
    x0: np.ndarray
    y0: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    weight: np.ndarray

    def sum(self, values):
        return np.add.reduceat(values, self.first, axis=-1)

    def spread(self, values):
        """Values of lines, (..., line), for each of their hits."""
        return np.repeat(values, self.counts, axis=-1)


def _hits(counts, x, y, radius, sigma, unknown_sigma):
    first = np.cumsum(counts) - counts
    unknown = np.isnan(radius)
    radius, sigma = np.where(unknown, 0.0, radius), np.where(unknown, unknown_sigma, sigma)
    x0, y0 = np.add.reduceat(x, first) / counts, np.add.reduceat(y, first) / counts
    return _Hits(
        first, counts, x0, y0, x - np.repeat(x0, counts), y - np.repeat(y0, counts), radius, sigma**-2.0
    )


def _search(hits, given, clip, rounds):
    """The best line of each group of hits: (phi, d), each (line,), d from the middle of the wires."""
    pairs = _end_pairs(hits, [(0, 0)] if clip is None else _ROBUST_PAIRS)
    phi, d = (
        np.concatenate(parts) for parts in zip(*(_tangents(hits, *pair) for pair in pairs), strict=True)
    )
    if given is not None:
        given_d = given[1] - np.cos(given[0]) * hits.x0 - np.sin(given[0]) * hits.y0
        known = np.isfinite(given[0]) & np.isfinite(given_d)
        phi, d = (
            np.vstack([np.where(known, given[0], phi[0]), phi]),
            np.vstack([np.where(known, given_d, d[0]), d]),
        )
    for _ in range(rounds):
        phi, d = _step(hits, phi, d, clip)
    phi, d = _best(hits, phi, d, clip)
    for _ in range(_FLIPS):
        other = _flip(hits, phi, d, clip)
        for _ in range(2):
            other = _step(hits, *other, clip)
        phi, d = _best(hits, *(np.stack(pair) for pair in zip((phi, d), other, strict=True)), clip)
    return _step(hits, phi, d, clip, 3)


def _end_pairs(hits, pairs):
    """Hits near the two ends of each line, along the main axis of its wires.

    Args:
        pairs: list of two numbers of hits to skip, one from each end.
    Returns:
        for each pair, index of the two hits, each (line,); a line that is too short repeats the last hit it
        has.
    """
    xx, xy, yy = hits.sum(hits.x * hits.x), hits.sum(hits.x * hits.y), hits.sum(hits.y * hits.y)
    axis = (
        np.mod(np.arctan2(2 * xy, xx - yy) + 2, 2 * np.pi) / 2 - 1
    )  # jumps at -1, not at a direction of the grid of wires,
    axis += 1e-6  # and no two wires of the grid are equally far: rounding decides nothing
    along = hits.spread(np.cos(axis)) * hits.x + hits.spread(np.sin(axis)) * hits.y
    ends = [
        _last(hits, sign * along, 1 + max(pair[end] for pair in pairs)) for end, sign in enumerate((-1, 1))
    ]
    return [(ends[0][one], ends[1][two]) for one, two in pairs]


def _last(hits, value, n):
    """Indices of the hits with the n largest values of each line, as a list of (line,)."""
    last = []
    for _ in range(n):
        index = _one_each(hits, value == hits.spread(np.maximum.reduceat(value, hits.first)))
        last.append(index)
        value = value.copy()
        value[index] = -np.inf
    return last


def _one_each(hits, mask):
    """Index of one hit of each line where the (hit,) mask is true."""
    index = np.flatnonzero(mask)
    one = np.zeros(len(hits.first), int)
    one[np.searchsorted(hits.first, index, side="right") - 1] = index
    return one


def _tangents(hits, one, two):
    """The four lines that touch two cells' drift circles: phi and d, each (4, line).

    Without direction there are no more.
    """
    dx, dy = hits.x[two] - hits.x[one], hits.y[two] - hits.y[one]
    away = np.maximum(np.hypot(dx, dy), _MIN_SPREAD_MM)
    near = np.array([[1], [1], [-1], [-1]]) * hits.radius[one]
    far = np.array([[1], [-1], [1], [-1]]) * hits.radius[two]
    phi = np.arctan2(dy, dx) + np.arccos(np.clip((far - near) / away, -1, 1))
    return phi, np.cos(phi) * hits.x[one] + np.sin(phi) * hits.y[one] - near


def _distance(hits, phi, d):
    """Signed distance of each wire from its line, (..., hit)."""
    return hits.spread(np.cos(phi)) * hits.x + hits.spread(np.sin(phi)) * hits.y - hits.spread(d)


def _weight(hits, distance, clip):
    """1 / sigma^2 of each hit, 0 for those left out; (hit,) or (..., hit)."""
    if clip is None:
        return hits.weight
    return hits.weight * (np.square(np.abs(distance) - hits.radius) * hits.weight < clip**2)


def _chi2(hits, phi, d, clip):
    """(..., line) chi2 of the radii; hits left out cost clip^2."""
    each = np.square(np.abs(_distance(hits, phi, d)) - hits.radius) * hits.weight
    return hits.sum(each if clip is None else np.minimum(each, clip**2))


def _step(hits, phi, d, clip, newton_steps=2):
    """Choose the sides of the wires, and the hits, by the lines; then the best lines for that choice."""
    distance = _distance(hits, phi, d)
    return _best_line(
        hits, _weight(hits, distance, clip), np.copysign(hits.radius, distance), phi, newton_steps
    )


def _best_line(hits, weight, radius, phi, newton_steps):
    """Least squares for signed radii: minimum of sum w (cos(phi) x + sin(phi) y - d - r)^2, near phi.

    Args:
        weight: (hit,) or (..., hit). radius: (..., hit), signed. phi: (..., line).
    Returns:
        phi, d: (..., line).
    """
    wx, wy, wr = weight * hits.x, weight * hits.y, weight * radius
    total = np.maximum(hits.sum(weight), _TINY)
    x, y, r = hits.sum(wx) / total, hits.sum(wy) / total, hits.sum(wr) / total
    xx, xy, yy = (
        hits.sum(wx * hits.x) - total * x * x,
        hits.sum(wx * hits.y) - total * x * y,
        hits.sum(wy * hits.y) - total * y * y,
    )
    xr, yr = hits.sum(wr * hits.x) - total * x * r, hits.sum(wr * hits.y) - total * y * r
    for _ in range(newton_steps):
        cos, sin = np.cos(phi), np.sin(phi)
        slope = (
            (yy - xx) * sin * cos + xy * (cos * cos - sin * sin) + xr * sin - yr * cos
        )  # halves of the derivatives of chi2
        gauss_newton = xx * sin * sin - 2 * xy * sin * cos + yy * cos * cos
        curvature = (yy - xx) * (cos * cos - sin * sin) - 4 * xy * sin * cos + xr * cos + yr * sin
        phi = phi - np.clip(
            slope / np.maximum(np.maximum(curvature, gauss_newton / 4), _TINY), -0.5, 0.5
        )  # downhill, also far away
    return phi, np.cos(phi) * x + np.sin(phi) * y - r


def _best(hits, phi, d, clip):
    """The solutions of lowest chi2 out of several, (start, line) -> (line,)."""
    chi2 = _chi2(hits, phi, d, clip)
    best = np.argmax(chi2 <= chi2.min(0) + _SAME_CHI2, axis=0)[None]
    return np.take_along_axis(phi, best, 0)[0], np.take_along_axis(d, best, 0)[0]


def _flip(hits, phi, d, clip):
    """Change the side of the one hit of each line where that lowers chi2 most, or of none, and fit again."""
    distance = _distance(hits, phi, d)
    weight = _weight(hits, distance, clip)
    path = _path(hits, phi)
    total, mean, spread = _spread(hits, weight, path)
    leverage = weight * (
        hits.spread(1 / total) + np.square(path - hits.spread(mean)) / hits.spread(np.maximum(spread, _TINY))
    )
    gain = weight * hits.radius * (hits.radius * leverage - np.abs(distance))
    flip = (gain > 0) & (gain == hits.spread(np.maximum.reduceat(gain, hits.first)))
    return _best_line(hits, weight, np.copysign(hits.radius, distance) * (1 - 2 * flip), phi, 3)


def _fill_top_view(lines, these, index, hits, phi, d, clip):
    """Write phi, d and what belongs to the radii into `lines`; returns the (hit,) mask of the hits used."""
    settled = np.abs(_step(hits, phi, d, clip)[0] - phi) < _CONVERGED_RAD
    phi, d = _normal_form(phi, d)
    distance = _distance(hits, phi, d)
    weight = _weight(hits, distance, clip)
    used = weight > 0
    total, middle, spread = _spread(hits, weight, _path(hits, phi))
    known = spread > _MIN_SPREAD_MM**2 * total
    # distances are s phi - d: a straight-line fit with constant d and slope -phi
    covariance = _covariance(total, -middle - _origin(hits, phi), spread)[:, ::-1, ::-1]
    lines.phi_rad[these] = np.where(known, phi, np.nan)
    lines.d_mm[these] = np.where(known, d + np.cos(phi) * hits.x0 + np.sin(phi) * hits.y0, np.nan)
    lines.covariance_phi_d[these] = np.where(known[:, None, None], covariance, np.nan)
    lines.chi2_radius[these] = np.where(
        known, hits.sum(weight * np.square(np.abs(distance) - hits.radius)), np.nan
    )
    lines.n_hits[these] = hits.sum(used.astype(int))
    lines.valid[these], lines.mirrored[these] = known & settled, known & _on_a_row(hits, used)
    lines.side[index], lines.used[index] = np.where(distance < 0, -1, 1), used
    return used


def _fill_heights(lines, these, hits, z, sigma_z, used):
    """Fit the heights of the hits used and write z0, tan_dip and what belongs to them into `lines`; z,
    sigma_z, used: (hit,).
    """
    phi, known = np.nan_to_num(lines.phi_rad[these]), np.isfinite(lines.phi_rad[these])
    path = _path(hits, phi)
    measured = np.isfinite(z) & used
    z, weight = np.where(measured, z, 0.0), measured / np.square(np.where(measured, sigma_z, 1.0))
    height, dip, (total, middle, spread) = _height_line(hits, weight, path, z)
    residual = z - hits.spread(height) - hits.spread(dip) * (path - hits.spread(middle))
    known_z = known & (spread > _MIN_SPREAD_MM**2 * total)
    lever = middle + _origin(hits, phi)
    covariance = _covariance(total, lever, spread)
    covariance[:, 0, 0] += np.square(dip * lines.d_mm[these]) * lines.covariance_phi_d[these, 0, 0]
    lines.z0_mm[these], lines.tan_dip[these] = np.where(known_z, (height - dip * lever, dip), np.nan)
    lines.covariance_z0_dip[these] = np.where(known_z[:, None, None], covariance, np.nan)
    lines.chi2_z[these] = np.where(known, known_z * hits.sum(weight * np.square(residual)), np.nan)
    lines.n_z[these] = hits.sum(measured.astype(int))


def _on_a_row(hits, used):
    """(line,) bool, whether the wires of the hits used lie on one straight line."""
    n, xx, xy, yy = (
        hits.sum(used * values) for values in (np.ones(len(used)), hits.x**2, hits.x * hits.y, hits.y**2)
    )
    x, y = hits.sum(used * hits.x), hits.sum(used * hits.y)
    n = np.maximum(n, 1)
    xx, xy, yy = xx - x * x / n, xy - x * y / n, yy - y * y / n
    return (xx + yy - np.hypot(xx - yy, 2 * xy)) / 2 < _ROW_MM**2 * n


def _normal_form(phi, d):
    """The same lines with phi from -pi to 0."""
    turned = phi % (2 * np.pi) - 2 * np.pi
    over = turned < -np.pi
    return turned + over * np.pi, np.where(over, -d, d)


def _path(hits, phi):
    """Path along its line of the point nearest to each wire, (hit,), from the point nearest to the middle of
    the wires.
    """
    return hits.spread(np.cos(phi)) * hits.y - hits.spread(np.sin(phi)) * hits.x


def _origin(hits, phi):
    """(line,) path of the middle of the wires from the point nearest to x = y = 0."""
    return np.cos(phi) * hits.y0 - np.sin(phi) * hits.x0


def _spread(hits, weight, path):
    """Sum of the weights, weighted mean of the path, and weighted sum of the squares about it; each (line,)."""
    total = np.maximum(hits.sum(weight), _TINY)
    mean = hits.sum(weight * path) / total
    return total, mean, hits.sum(weight * np.square(path - hits.spread(mean)))


def _covariance(total, middle, spread):
    """Covariance of constant and slope, (line, 2, 2), of a straight-line fit; arguments as from `_spread`,
    middle from the origin.
    """
    spread = np.maximum(spread, _TINY)
    covariance = np.stack(
        [1 / total + middle**2 / spread, -middle / spread, -middle / spread, 1 / spread], axis=-1
    )
    return covariance.reshape(-1, 2, 2)


def _height_line(hits, weight, path, z):
    """Weighted straight-line fit of heights: height at the mean path, slope (each (line,)), and `_spread`."""
    total, middle, spread = _spread(hits, weight, path)
    slope = hits.sum(weight * (path - hits.spread(middle)) * z) / np.maximum(spread, _TINY)
    return hits.sum(weight * z) / total, slope, (total, middle, spread)


def _height_outliers(hits, phi, d, z, sigma_z, clip):
    """(hit,) bool, heights more than `clip` errors from the line of the others; dropped the worst first,
    since they bend the line.
    """
    path = _path(hits, phi)
    measured = np.isfinite(z) & (_weight(hits, _distance(hits, phi, d), clip) > 0)
    z, sigma = np.where(measured, z, 0.0), np.where(measured, sigma_z, np.inf)
    out = np.zeros(len(z), bool)
    for _ in range(_OUTLIER_ROUNDS):
        z_middle, slope, (_, middle, _) = _height_line(hits, ~out / np.square(sigma), path, z)
        pull = np.abs(z - hits.spread(z_middle) - hits.spread(slope) * (path - hits.spread(middle))) / sigma
        worst = np.maximum.reduceat(pull * ~out, hits.first)
        out = (pull > clip) & (out | (pull > hits.spread(worst) / 2))
    return out
