"""The Legendre search: the line that touches most drift circles of a group of hits (Alexopoulos et al. 2008).

Lines that touch a circle of radius r around a wire at (x, y) are d = cos(phi) x + sin(phi) y +- r: two curves
in the plane of phi and d (`fitting.lines` says what they are). Each curve is smeared along d with a normal
distribution of sigma, so that the height at (phi, d) is a sum over hits, in 1/mm. Its maximum is the line.
Hits that all touch it add up to 0.3989 / sigma each, .199 1/mm for 2 mm: the height a hit is the quality.

The maximum is found in passes. The first is a histogram of the whole plane, or of a window of it that someone
hints at, with bins wider than sigma. Around the highest angles of it, the height is then summed exactly on
finer and finer grids, with d counted from the middle of the hits near the line: there the angle moves a line
least.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from fitting.lines import Lines, normal_angle, unknown

SIGMA_MM = 2.0  # by which curves are smeared; also the error of a radius in real data
NEAR_SIGMA = 3.0  # a hit this near is associated with the line
IDEAL_QUALITY = 1 / np.sqrt(
    2 * np.pi
)  # height a hit, in units of 1 / sigma, where every hit touches the line
WHOLE_PLANE = (-np.pi, 0.0)  # all angles of a line

_ANGLE_STEP_RAD = np.pi / 180  # of the first pass
_BIN_MM = 6.0  # of the first pass
_BIN_SIGMA_MM = (
    5.0  # curves of the first pass are smeared so: half an angle moves the ends of a line by more
)
_PAD = 3  # bins beyond the ends of a plane
_SUMMITS = 4  # angles of the first pass around which the second looks
# of each finer pass: half widths in phi and d, and steps to either side
_FINER = [
    (np.pi / 180, 9.0, 16, 6),
    (np.pi / 1440, 3.0, 8, 6),
    (np.pi / 11520, 0.5, 4, 4),
]
_CHUNK_BINS = 4_000_000
_CHUNK_TERMS = 8_000_000


@dataclass
class LegendreLines(Lines):
    """Lines of highest peak; NaN where a group has none.

    Attributes:
        phi_rad, d_mm, z0_mm, tan_dip: (line,), as of `Lines`.
        peak_per_mm: (line,) height of the maximum, 0 where there is none.
        n_hits: (line,) hits associated with the line. near: (hit,) bool, which they are.
    """

    peak_per_mm: np.ndarray
    n_hits: np.ndarray
    near: np.ndarray

    def quality_per_mm(self):
        """(line,) peak a hit in 1/mm: .199 where all hits touch the line, for a sigma of 2 mm; NaN without
        hits.
        """
        return np.where(self.n_hits > 0, self.peak_per_mm / np.maximum(self.n_hits, 1), np.nan)


def search(
    group,
    n_groups,
    x_mm,
    y_mm,
    radius_mm,
    z_mm,
    sigma_z_mm=1.0,
    sigma_mm=SIGMA_MM,
    phi_window_rad=None,
    foil_window_mm=None,
):
    """The best line of each group of hits.

    Args:
        group: (hit,) int, the group each hit belongs to, -1 for none; any order. n_groups: how many there
            are.
        x_mm, y_mm: (hit,) wires; with a window at the foil, x is the distance from it. radius_mm: (hit,)
            drift radii; a hit whose radius is NaN has no part in the search.
        z_mm: (hit,) heights, NaN where not measured: such a hit is left out of the line's height.
            sigma_z_mm: (hit,) or one number, errors of the heights, as weights of their regression.
        sigma_mm: by which curves are smeared.
        phi_window_rad: (group, 2), lowest and highest phi. An angle more or less than half a turn away means
            the same lines, so a window may reach beyond -pi or 0.
        foil_window_mm: (group, 2), lowest and highest y at which the line crosses x = 0.
    Returns:
        LegendreLines, (group,). Two hits with a radius are needed.
    """
    group = np.asarray(group)
    x, y, radius, z = (np.asarray(values, float) for values in (x_mm, y_mm, radius_mm, z_mm))
    weight = np.broadcast_to(np.asarray(sigma_z_mm, float), z.shape) ** -2.0
    circle = np.flatnonzero((group >= 0) & np.isfinite(radius))
    n_circles = np.bincount(group[circle], minlength=n_groups)
    circle = circle[n_circles[group[circle]] >= 2]
    searched = np.flatnonzero(n_circles >= 2)
    window = _Window.of(n_groups, phi_window_rad, foil_window_mm)

    lines = unknown(n_groups)
    peak = np.zeros(n_groups)
    # groups of like size together: those of a chunk have planes of one size
    length = _lengths(group[circle], n_groups, x[circle], y[circle], radius[circle])
    if foil_window_mm is not None:
        length = np.ptp(window.foil, axis=1)
    searched = searched[np.argsort(length[searched], kind="stable")]
    row = np.zeros(n_groups, int)
    row[searched] = np.arange(len(searched))
    circle = circle[np.argsort(row[group[circle]], kind="stable")]
    circles = _Circles(row[group[circle]], x[circle], y[circle], radius[circle], sigma_mm)
    window = window.part(searched)
    length = length[searched]
    first = 0
    while first < len(searched):
        last = first + _n_together(window.phi[first:], length[first:])
        now = searched[first:last]
        phi, d, peak[now] = _best_lines(
            circles.part(first, last), window.part(slice(first, last)), length[first:last]
        )
        lines.phi_rad[now], sign = normal_angle(phi)
        lines.d_mm[now] = sign * d
        first = last

    hit = np.flatnonzero(group >= 0)
    distance = np.abs(lines.distance_mm(group[hit], x[hit], y[hit]))
    is_near = np.abs(distance - radius[hit]) <= NEAR_SIGMA * sigma_mm
    hit = hit[is_near]
    near = np.zeros(len(group), bool)
    near[hit] = True
    n_hits = np.bincount(group[hit], minlength=n_groups)
    hit = hit[np.isfinite(z[hit])]
    _fit_heights(lines, group[hit], x[hit], y[hit], z[hit], weight[hit])
    return LegendreLines(
        phi_rad=lines.phi_rad,
        d_mm=lines.d_mm,
        z0_mm=lines.z0_mm,
        tan_dip=lines.tan_dip,
        peak_per_mm=peak,
        n_hits=n_hits,
        near=near,
    )


def plane(x_mm, y_mm, radius_mm, phi_rad, d_mm, sigma_mm=SIGMA_MM):
    """Heights in the plane of phi and d of one group of hits, to look at.

    Args:
        x_mm, y_mm, radius_mm: (hit,), without NaN. phi_rad: (angle,). d_mm: (offset,).
    Returns:
        (angle, offset) in 1/mm.
    """
    height = np.zeros((len(phi_rad), len(d_mm)))
    for x, y, radius in zip(x_mm, y_mm, radius_mm, strict=True):
        across = np.cos(phi_rad) * x + np.sin(phi_rad) * y
        distance = np.abs(d_mm - across[:, None])
        height += _normal(distance - radius, sigma_mm)
    return height


def outline(phi_window_rad, foil_window_mm, largest_mm):
    """The edge of a window in the plane, to draw: (phi_rad, d_mm), each (point,); closed.

    Args:
        phi_window_rad, foil_window_mm: (lowest, highest), or None. largest_mm: |d| where nothing limits it.
    """
    phi = np.linspace(*(phi_window_rad or WHOLE_PLANE), 200)
    low = np.full(len(phi), -largest_mm)
    high = np.full(len(phi), largest_mm)
    if foil_window_mm is not None:
        ends = np.sort(np.outer(foil_window_mm, np.sin(phi)), axis=0)
        low = np.maximum(low, ends[0])
        high = np.minimum(high, ends[1])
    around = np.concatenate([phi, phi[::-1], phi[:1]])
    return around, np.concatenate([low, high[::-1], low[:1]])


# ---- hits and windows --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Circles:
    """Drift circles, sorted by the row they belong to.

    Attributes:
        row: (hit,) int, rising. x, y, radius: (hit,) mm. sigma: mm.
    """

    row: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    sigma: float

    def part(self, first, last):
        """The circles of rows first to last - 1, counted from the first."""
        start, stop = np.searchsorted(self.row, [first, last])
        here = slice(start, stop)
        return _Circles(
            self.row[here] - first, self.x[here], self.y[here], self.radius[here], self.sigma
        )


@dataclass(frozen=True)
class _Window:
    """Where lines may be.

    Attributes:
        phi: (row, 2) lowest and highest angle. foil: (row, 2) lowest and highest y at x = 0, or None.
        is_whole: all angles are allowed, so the last is next to the first.
    """

    phi: np.ndarray
    foil: np.ndarray | None
    is_whole: bool

    @classmethod
    def of(cls, n_rows, phi, foil):
        """The windows that were hinted at, or all angles."""
        is_whole = phi is None
        phi = np.tile(WHOLE_PLANE, (n_rows, 1)) if is_whole else _checked(phi, n_rows, "angles")
        foil = None if foil is None else _checked(foil, n_rows, "places at the foil")
        return cls(phi, foil, is_whole)

    def part(self, rows):
        """The windows of some rows."""
        foil = None if self.foil is None else self.foil[rows]
        return _Window(self.phi[rows], foil, self.is_whole)

    def d_limits(self, phi):
        """(lowest, highest) d at angles (row, ...), of lines that cross the foil in the window; without one
        any d.
        """
        if self.foil is None:
            return np.full(phi.shape, -np.inf), np.full(phi.shape, np.inf)
        shape = (-1,) + (1,) * (phi.ndim - 1)
        one = self.foil[:, 0].reshape(shape) * np.sin(phi)
        other = self.foil[:, 1].reshape(shape) * np.sin(phi)
        return np.minimum(one, other), np.maximum(one, other)

    def contains(self, phi, d):
        """Whether lines (row, ...) are in the window of their row; a rounding beyond the edge is."""
        low, high = self.d_limits(phi)
        inside = (d >= low - 1e-6) & (d <= high + 1e-6)
        if not self.is_whole:
            shape = (-1,) + (1,) * (phi.ndim - 1)
            inside &= phi >= self.phi[:, 0].reshape(shape) - 1e-9
            inside &= phi <= self.phi[:, 1].reshape(shape) + 1e-9
        return inside


def _checked(window, n_groups, what):
    """A window as (group, 2) float; refused where its ends are not in order."""
    window = np.asarray(window, float)
    if window.shape != (n_groups, 2):
        raise ValueError(f"window of {what} of shape {window.shape}, not ({n_groups}, 2)")
    bad = np.flatnonzero(~(window[:, 0] < window[:, 1]))
    if len(bad):
        raise ValueError(
            f"window of {what} of group {bad[0]} from {window[bad[0], 0]} to {window[bad[0], 1]}"
        )
    return window


def _normal(value, sigma):
    """The normal distribution of a width, in the inverse of its unit."""
    return np.exp(-0.5 * np.square(value / sigma)) * (IDEAL_QUALITY / sigma)


# ---- passes ------------------------------------------------------------------------------------------------


def _lengths(group, n_groups, x, y, radius):
    """(group,) how far the curves of a group's circles are apart along d at most."""
    largest = np.full((3, n_groups), -1e9)
    smallest = np.full((2, n_groups), 1e9)
    for k, values in enumerate((x, y, radius)):
        np.maximum.at(largest[k], group, values)
    for k, values in enumerate((x, y)):
        np.minimum.at(smallest[k], group, values)
    width, height = largest[:2] - smallest
    return np.hypot(width, height) + 2 * largest[2]


def _size_of_plane(phi_window, length):
    """Numbers of angles and of offsets that cover the planes of some rows."""
    widest = np.ptp(phi_window, axis=1).max()
    n_angles = max(3, int(np.ceil(widest / _ANGLE_STEP_RAD)))
    return n_angles, int(np.ceil(length.max() / _BIN_MM)) + 2 * _PAD


def _n_together(phi_window, length):
    """How many of the next rows have planes that fit into memory together."""
    n_angles, n_offsets = _size_of_plane(phi_window, length[:1])
    n = max(1, _CHUNK_BINS // (n_angles * n_offsets))
    # the last of them is the longest
    n_angles, n_offsets = _size_of_plane(phi_window[:n], length[:n])
    return max(1, _CHUNK_BINS // (n_angles * n_offsets))


def _best_lines(circles, window, length):
    """The highest point of the plane of each row: (phi, d, height), each (row,)."""
    phi, d = _summits(circles, window, length)
    n_rows, n_summits = phi.shape
    # each circle once for each summit of its row
    hit = np.repeat(np.arange(len(circles.row)), n_summits)
    line = n_summits * circles.row[hit] + np.tile(np.arange(n_summits), len(circles.row))
    order = np.argsort(line, kind="stable")
    row_of_line = np.repeat(np.arange(n_rows), n_summits)
    window = window.part(row_of_line)
    phi = phi.ravel()
    d = d.ravel()
    for passed in _FINER:
        phi, d, height = _finer(circles, hit[order], line[order], window, phi, d, passed)
    height = height.reshape(n_rows, n_summits)
    best = n_summits * np.arange(n_rows) + height.argmax(1)
    return phi[best], d[best], height.max(1)


def _summits(circles, window, length):
    """First pass: lines (phi, d), each (row, summit), of the angles whose highest bins are highest."""
    n_angles, n_offsets = _size_of_plane(window.phi, length)
    low_phi = window.phi[:, :1]
    step = (window.phi[:, 1:] - low_phi) / n_angles
    phi = low_phi + step * (np.arange(n_angles) + 0.5)
    cos = np.cos(phi)
    sin = np.sin(phi)
    low, high = window.d_limits(phi)
    if window.foil is None:
        low, high = _span(circles, cos, sin)
    lowest = low - _PAD * _BIN_MM  # curves outside the window are smeared into it
    votes = _votes(circles, cos, sin, lowest, n_offsets)
    bin_number = np.arange(n_offsets)
    n_inside = np.ceil((high - low) / _BIN_MM).clip(min=1)
    inside = (bin_number >= _PAD) & (bin_number < _PAD + n_inside[..., None])
    votes[~inside] = -1

    best = votes.argmax(2)
    height = votes.max(2)  # (row, angle)
    d = np.clip(lowest + _BIN_MM * (best + 0.5), low, high)
    around = np.pad(height, ((0, 0), (1, 1)), mode="wrap" if window.is_whole else "edge")
    is_summit = (height >= around[:, :-2]) & (height >= around[:, 2:])
    height = height - np.where(is_summit, 0, np.inf)
    n_summits = min(_SUMMITS, n_angles)
    chosen = np.argpartition(-height, n_summits - 1, axis=1)[:, :n_summits]
    return np.take_along_axis(phi, chosen, 1), np.take_along_axis(d, chosen, 1)


def _span(circles, cos, sin):
    """(lowest, highest) d of the curves of each row at each angle, (row, angle)."""
    across = cos[circles.row] * circles.x[:, None] + sin[circles.row] * circles.y[:, None]
    first = np.flatnonzero(np.diff(circles.row, prepend=-1))
    radius = circles.radius[:, None]
    return np.minimum.reduceat(across - radius, first), np.maximum.reduceat(across + radius, first)


def _votes(circles, cos, sin, lowest, n_offsets):
    """(row, angle, offset) float32, how many curves are near each bin; `lowest` is d of the first edge."""
    n_rows, n_angles = cos.shape
    across = cos[circles.row] * circles.x[:, None] + sin[circles.row] * circles.y[:, None]
    radius = circles.radius[:, None]
    curves = (np.stack([across - radius, across + radius]) - lowest[circles.row]) / _BIN_MM
    place = np.floor(curves).astype(int)
    # where both curves of a hit are one, it does not count twice
    share = 1 / (1 + np.exp(-2 * np.square(radius / _BIN_SIGMA_MM)))
    weight = np.where((place >= 0) & (place < n_offsets), share, 0.0)
    first_bin = (circles.row[:, None] * n_angles + np.arange(n_angles)) * n_offsets
    index = first_bin + place.clip(0, n_offsets - 1)
    votes = np.bincount(index.ravel(), weight.ravel(), n_rows * n_angles * n_offsets)
    votes = votes.reshape(n_rows, n_angles, n_offsets).astype(np.float32)
    return gaussian_filter1d(votes, _BIN_SIGMA_MM / _BIN_MM, axis=2, mode="constant", truncate=2.5)


def _finer(circles, hit, line, window, phi, d, passed):
    """A finer pass around lines: (phi, d, height), each (line,).

    Args:
        hit, line: (pair,) index of a circle and of the line it may belong to, sorted by line.
        window: of each line. phi, d: (line,). passed: one of _FINER.
    """
    half_phi, half_d, n_phi, n_d = passed
    sigma = circles.sigma
    cos = np.cos(phi)
    sin = np.sin(phi)
    x = circles.x[hit]
    y = circles.y[hit]
    radius = circles.radius[hit]
    distance = np.abs(cos[line] * x + sin[line] * y - d[line])
    path = cos[line] * y - sin[line] * x
    off = np.abs(distance - radius)

    # the middle of the hits near the line: around it the line is turned
    weight = np.exp(-0.5 * np.square(off / (half_d + sigma)))
    total = np.bincount(line, weight, len(phi))
    middle = np.bincount(line, weight * path, len(phi)) / np.maximum(total, 1e-9)
    from_middle = path - middle[line]

    reachable = NEAR_SIGMA * sigma + half_d + half_phi * np.abs(from_middle)
    near = off < reachable
    line = line[near]
    across = cos[line] * x[near] + sin[line] * y[near] - d[line]
    from_middle = from_middle[near]
    radius = radius[near]

    turn = half_phi * np.linspace(-1, 1, 2 * n_phi + 1)
    shift = half_d * np.linspace(-1, 1, 2 * n_d + 1)
    height = np.zeros((len(phi), len(turn), len(shift)))
    step = max(1, _CHUNK_TERMS // (len(turn) * len(shift)))
    for start in range(0, len(line), step):
        here = slice(start, start + step)
        # of the wire from the line that is turned around its middle
        turned = across[here, None] * np.cos(turn) + from_middle[here, None] * np.sin(turn)
        distance = np.abs(turned[..., None] - shift)
        added = _normal(distance - radius[here, None, None], sigma)
        first = np.flatnonzero(np.diff(line[here], prepend=-1))
        height[line[here][first]] += np.add.reduceat(added, first, axis=0)

    # d of the turned lines: the middle of the line, d and s from the origin, stays on them but for the shift
    new_phi = phi[:, None] + turn
    through_middle = d[:, None] * np.cos(turn) + middle[:, None] * np.sin(turn)
    new_d = through_middle[..., None] + shift
    all_phi = np.broadcast_to(new_phi[..., None], new_d.shape)
    height = np.where(window.contains(all_phi, new_d), height, -1.0)
    height = height.reshape(len(phi), -1)
    best = height.argmax(1)
    one = np.arange(len(phi))
    return (
        all_phi.reshape(len(phi), -1)[one, best],
        new_d.reshape(len(phi), -1)[one, best],
        height[one, best],
    )


def _fit_heights(lines, line, x, y, z, weight):
    """Weighted linear regression of heights along the lines, written into `lines`; hits as (hit,), the line
    of each. Two different paths are needed.
    """
    n = len(lines)
    path = lines.path_mm(line, x, y)
    total = np.maximum(np.bincount(line, weight, n), 1e-300)
    middle = np.bincount(line, weight * path, n) / total
    height = np.bincount(line, weight * z, n) / total
    from_middle = path - middle[line]
    spread = np.bincount(line, weight * from_middle**2, n)
    both = np.bincount(line, weight * from_middle * z, n)
    known = spread > total  # an rms of more than 1 mm: not one wire
    slope = both / np.maximum(spread, 1e-300)
    lines.tan_dip[known] = slope[known]
    lines.z0_mm[known] = (height - slope * middle)[known]
