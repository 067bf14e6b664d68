"""The maximum-likelihood fit of straight lines to drift-chamber hits: all tracks of all events in one call.

Of a hit, a drift radius r >= 0 with a Gaussian error says that the wire is at distance +r or -r from the line
(`fitting.lines` says what phi, d, z0 and tan_dip are); which of both is unknown. A height z, where measured,
belongs to the line's point closest to the wire. The likelihood separates: (phi, d) follow from the radii, and
given phi a weighted linear fit of the heights gives (z0, tan_dip).

How the sides of the wires are found. For given sides the best line needs only weighted moments of wires and
radii, a few numbers a line: the angle follows by Newton's method, d in closed form. For a given line the best
side of each hit is the one its wire is on. Both steps in turn never raise chi2; they begin at the four
tangents to the two outermost cells.

What that leaves wrong is a hit whose side cannot change without the line. Let p be its distance and h its
leverage (its diagonal element of the hat matrix of the linearised fit). Changing its side and fitting again
changes chi2 by 4 w r (|p| - r h), from the update of linear least squares by one measurement. Where that is
negative for a hit, its side is changed.
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import chdtrc

from datasets.geometry import CELL_MM, N_COLUMNS
from fitting.lines import Lines, normal_angle

UNKNOWN_RADIUS_SIGMA_MM = CELL_MM / np.sqrt(12)  # a track anywhere in the cell
_CHUNK = 1024  # lines at a time: their hits stay in the processor's cache
_SAME_CHI2 = (
    1e-6  # of two solutions closer than this the first is taken, whatever the order of the hits
)
_MIN_SPREAD_MM = 1e-3  # of weighted hits along the line; less is one wire
_ROW_MM = 0.1  # rms distance of wires from a straight line; in the grid it is larger unless they are on it
_CONVERGED_RAD = 1e-6
_FLIPS = 2  # tries to change the side of one hit
_STEPS_AFTER_FLIP = 2
_OUTLIER_ROUNDS = 4
_ROUNDS_AFTER_CLIP = 5  # until the hits used have settled
# which hits tangents are drawn to: how many to skip at the one end and at the other
_END_PAIRS = [(0, 0)]
_ROBUST_END_PAIRS = [(0, 0), (1, 1), (2, 2)]  # the hit at an end may be a wrong one
# the four common tangents of two circles: the side that each circle is on
_SIDE_OF_ONE = np.array([1, 1, -1, -1])[:, None]
_SIDE_OF_TWO = np.array([1, -1, 1, -1])[:, None]
_UNSURE_ROUNDS = 10
_LEAST_KNOWN = (
    0.1  # of a radius that fits a line on neither side, where the likelihood is not a parabola
)
_OF_HITS = ("side", "used")  # what FittedLines has of hits; the rest is of lines
_TINY = 1e-300


@dataclass
class FittedLines(Lines):
    """Fitted lines; NaN where the hits do not determine a value.

    Attributes:
        phi_rad, d_mm, z0_mm, tan_dip: (line,), as of `Lines`.
        covariance_phi_d, covariance_z0_dip: (line, 2, 2). The second holds the part of phi too: turning the
            line moves s = 0 by d.
        chi2_radius, chi2_z: (line,), of the hits used; 0 for two hits, chi2_z also for fewer heights.
        n_hits, n_z: (line,) hits and heights used.
        valid: (line,) bool, (phi, d) are determined and the fit has converged.
        mirrored: (line,) bool, the wires used lie on one straight line: this line's mirror image there fits
            as well; `fit_mirror_images` gives it.
        side: (hit,) int8, +1 where the wire is on the side of the normal, -1 on the other, 0 for a hit of no
            fitted line.
        used: (hit,) bool, false for hits of no fitted line and for those that `clip_sigma` left out.
    """

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

    def n_degrees(self):
        """Degrees of freedom of chi2_radius and chi2_z, each (line,)."""
        of_radius = np.maximum(self.n_hits - 2, 0)
        of_z = np.maximum(self.n_z - 2, 0)
        return of_radius, of_z

    def p_value(self):
        """(line,) probability of a worse chi2 (radii and heights together), NaN where there is no degree of
        freedom.
        """
        of_radius, of_z = self.n_degrees()
        chi2 = self.chi2_radius + self.chi2_z
        return probability_of_worse(chi2, of_radius + of_z)

    def quality(self):
        """(line,) from 0 to 1, exp(-chi2 / 2n) of n radii and heights: TKEvent's quality of a track.

        It is the nth root of the likelihood, 1 for a line that meets every hit, about 0.6 for one whose hits
        are off by their errors. It does not ask how many hits there are: two are always met. A single height
        does not count.
        """
        n = self.n_hits + np.where(self.n_z > 1, self.n_z, 0)
        chi2 = self.chi2_radius + self.chi2_z
        return np.exp(-chi2 / (2 * np.maximum(n, 1)))

    def covariance(self):
        """(line, 4, 4) covariance of phi_rad, d_mm, z0_mm and tan_dip; NaN where one is not known.

        Heights know nothing of phi and d, but turning the line moves s = 0 by d and so changes z0.
        """
        covariance = np.zeros((len(self), 4, 4))
        z0_by_phi = self.tan_dip * self.d_mm
        of_phi = self.covariance_phi_d[:, 0]
        shared = z0_by_phi[:, None] * of_phi
        covariance[:, :2, :2] = self.covariance_phi_d
        covariance[:, 2:, 2:] = self.covariance_z0_dip
        covariance[:, 2, :2] = shared
        covariance[:, :2, 2] = shared
        without_heights = np.isnan(self.z0_mm)
        covariance[without_heights, 3, :2] = np.nan
        covariance[without_heights, :2, 3] = np.nan
        return covariance


def probability_of_worse(chi2, n_degrees):
    """Probability of a larger chi2 with that many degrees of freedom, NaN where there is none."""
    return np.where(n_degrees > 0, chdtrc(np.maximum(n_degrees, 1), chi2), np.nan)


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
        FittedLines.
    """
    line = np.asarray(line)
    measurements = x_mm, y_mm, radius_mm, z_mm, sigma_radius_mm, sigma_z_mm
    lines = _nothing(n_lines, len(line))
    owned = line >= 0
    with_height = owned & np.isfinite(np.broadcast_to(np.asarray(z_mm, float), line.shape))
    lines.n_hits = np.bincount(line[owned], minlength=n_lines)
    lines.n_z = np.bincount(line[with_height], minlength=n_lines)
    for these, index, hits in _chunks(line, lines.n_hits, measurements, unknown_radius_sigma_mm):
        given = None if start is None else [np.asarray(values, float)[these] for values in start]
        phi, d = _search(hits, given, clip_sigma, max_iterations)
        if clip_sigma is not None:
            phi, d = _without_wrong_heights(hits, phi, d, clip_sigma)
        used = _fill_top_view(lines, these, index, hits, phi, d, clip_sigma)
        _fill_heights(lines, these, hits, used)
    return lines


def fit_mirror_images(
    lines,
    line,
    x_mm,
    y_mm,
    radius_mm,
    z_mm,
    sigma_radius_mm,
    sigma_z_mm,
    unknown_radius_sigma_mm=UNKNOWN_RADIUS_SIGMA_MM,
):
    """The other solutions of the lines whose wires lie on one straight line.

    Such a line is turned over about the row of its wires: every wire is on its other side, at the same
    distance, so the radii cannot tell which of both was there. The heights are fitted again; they cannot
    either, since the points nearest to the wires are as far from each other as before.

    Args:
        lines: FittedLines. The others are those that `fit` was called with; the hits it used are used here.
    Returns:
        FittedLines, one for each of `lines`; NaN and not valid where there is no mirror image. Where all
        radii are 0 the line lies on the row and is its own mirror image. Two hits have four solutions; this
        is one of the others.
    """
    line = np.asarray(line)
    measurements = x_mm, y_mm, radius_mm, z_mm, sigma_radius_mm, sigma_z_mm
    hits_of_mirrored = np.flatnonzero(lines.used)
    hits_of_mirrored = hits_of_mirrored[lines.mirrored[line[hits_of_mirrored]]]
    turned = np.full(len(line), -1)
    turned[hits_of_mirrored] = line[hits_of_mirrored]
    n_hits = np.bincount(line[hits_of_mirrored], minlength=len(lines))

    images = _nothing(len(lines), len(line))
    for these, index, hits in _chunks(turned, n_hits, measurements, unknown_radius_sigma_mm):
        phi, d = _turned_over(hits, lines.phi_rad[these], lines.d_mm[these])
        used = _fill_top_view(images, these, index, hits, phi, d, None)
        _fill_heights(images, these, hits, used)
    return images


def from_foil(lines, images, line, x_mm, y_mm, least_mm=CELL_MM / 2):
    """Of lines and their mirror images those that come from the foil, x = 0.

    Between the foil and its first hit a track crosses cells, which would have fired. So the one is taken whose
    way from there to its hits is shorter, by `least_mm` or more. That tells tracks along the foil, whose image
    often begins at their other end; an image in a row of wires away from the foil has the same way.

    Args:
        lines, images: FittedLines, of `fit` and `fit_mirror_images`. line, x_mm, y_mm: (hit,), as of `fit`.
    Returns:
        FittedLines, the images in the places of their lines where they were taken.
    """
    line = np.asarray(line)
    hits = np.flatnonzero(images.used)
    way = _way_from_foil(lines, line[hits], x_mm[hits], y_mm[hits])
    way_of_image = _way_from_foil(images, line[hits], x_mm[hits], y_mm[hits])
    taken = images.valid & (way - way_of_image > least_mm)
    taken_hits = np.append(taken, False)[line]  # the last is for hits of no line
    both = {}
    for field in fields(FittedLines):
        values = getattr(lines, field.name).copy()
        which = taken_hits if field.name in _OF_HITS else taken
        values[which] = getattr(images, field.name)[which]
        both[field.name] = values
    return FittedLines(**both)


def _way_from_foil(lines, line, x, y):
    """(line,) path from where lines cross the foil to the stretch of their hits, 0 within it; at most the
    length of the tracker, from where on one way is as impossible as another.
    """
    foil_y, _ = lines.foil_mm()
    with np.errstate(invalid="ignore"):  # infinite along the foil
        way = lines.path_mm(line, x, y) - lines.path_mm(line, 0.0, foil_y[line])
    first = np.full(len(lines), np.inf)
    last = np.full(len(lines), -np.inf)
    np.fmin.at(first, line, way)
    np.fmax.at(last, line, way)
    return np.clip(np.maximum(first, -last), 0, N_COLUMNS * CELL_MM)


def refit_unsure_sides(
    lines,
    line,
    x_mm,
    y_mm,
    radius_mm,
    z_mm,
    sigma_radius_mm,
    sigma_z_mm,
    unknown_radius_sigma_mm=UNKNOWN_RADIUS_SIGMA_MM,
):
    """Fit lines again where wires may be on either side, as probably as the line says.

    `fit` puts every wire on one side. Of a line that passes a wire within its error that is a guess, and a
    wrong one makes the errors of the line look smaller than they are. Here a radius is what is left of a
    Gaussian without its sign, so its likelihood is the sum of those of both sides. The lines are hardly
    better than before; their errors are the right ones.

    Args:
        lines: FittedLines, of `fit`, `fit_mirror_images` or `from_foil`. The others are those that `fit` was
            called with; the hits it used are used here.
    Returns:
        FittedLines. `chi2_radius` is that of the radii to these lines, a little more than the least;
        `side` is the more probable one; `valid` is that of `lines`.
    """
    line = np.asarray(line)
    measurements = x_mm, y_mm, radius_mm, z_mm, sigma_radius_mm, sigma_z_mm
    known_line = np.append(np.isfinite(lines.phi_rad), False)  # the last is for hits of no line
    owned = np.where(lines.used & known_line[line], line, -1)
    n_hits = np.bincount(line[owned >= 0], minlength=len(lines))

    refitted = _nothing(len(lines), len(line))
    for these, index, hits in _chunks(owned, n_hits, measurements, unknown_radius_sigma_mm):
        phi = lines.phi_rad[these]
        d = lines.d_mm[these] - _across(phi, hits.x0, hits.y0)
        for _ in range(_UNSURE_ROUNDS):
            radius = hits.radius * _sureness(hits, phi, d)
            phi, d = _best_line(hits, hits.weight, radius, phi, newton_steps=2)
        sure = _sureness(hits, phi, d)
        lost = hits.weight * np.square(hits.radius) * (1 - np.square(sure))
        used = _fill_top_view(
            refitted, these, index, hits, phi, d, None, np.maximum(1 - lost, _LEAST_KNOWN)
        )
        _fill_heights(refitted, these, hits, used)
    refitted.valid = lines.valid.copy()
    return refitted


def _sureness(hits, phi, d):
    """(hit,) probability that a wire is on the side of the normal, less that of the other side."""
    return np.tanh(hits.weight * hits.radius * _distance(hits, phi, d))


def _turned_over(hits, phi, d):
    """Lines reflected in the row of their wires: (phi, d), d from the middle of the wires."""
    _, _, _, xx, xy, yy = _scatter(hits, np.ones(len(hits.x)))
    twice_the_row = np.arctan2(2 * xy, xx - yy)
    return twice_the_row - phi, d - _across(phi, hits.x0, hits.y0)


def _chunks(line, n_hits, measurements, unknown_sigma):
    """The hits of the lines that have two or more, some lines at a time.

    Args:
        line: (hit,). n_hits: (line,) how many hits have that number. measurements: x, y, radius, z and the
            errors of both, each (hit,) or one number.
    Yields:
        these: (chosen line,) their indices. index: (chosen hit,) indices of their hits. hits: _Hits.
    """
    columns = [np.broadcast_to(np.asarray(values, float), line.shape) for values in measurements]
    fitted = np.flatnonzero(n_hits >= 2)
    sorted_hits = np.flatnonzero(line >= 0)
    sorted_hits = sorted_hits[n_hits[line[sorted_hits]] >= 2]
    sorted_hits = sorted_hits[np.argsort(line[sorted_hits], kind="stable")]
    bounds = np.append(0, np.cumsum(n_hits[fitted]))
    for first in range(0, len(fitted), _CHUNK):
        these = fitted[first : first + _CHUNK]
        index = sorted_hits[bounds[first] : bounds[first + len(these)]]
        of_these = [values[index] for values in columns]
        yield these, index, _hits(n_hits[these], *of_these, unknown_sigma)


def _nothing(n_lines, n_hits):
    """FittedLines without a result."""
    return FittedLines(
        phi_rad=np.full(n_lines, np.nan),
        d_mm=np.full(n_lines, np.nan),
        z0_mm=np.full(n_lines, np.nan),
        tan_dip=np.full(n_lines, np.nan),
        covariance_phi_d=np.full((n_lines, 2, 2), np.nan),
        covariance_z0_dip=np.full((n_lines, 2, 2), np.nan),
        chi2_radius=np.full(n_lines, np.nan),
        chi2_z=np.full(n_lines, np.nan),
        n_hits=np.zeros(n_lines, int),
        n_z=np.zeros(n_lines, int),
        valid=np.zeros(n_lines, bool),
        mirrored=np.zeros(n_lines, bool),
        side=np.zeros(n_hits, np.int8),
        used=np.zeros(n_hits, bool),
    )


@dataclass
class _Hits:
    """Hits of some lines, sorted by line; x and y from the middle of each line's wires.

    Attributes:
        first: (line,) index of the first hit of each line. counts: (line,) hits of each line.
        x0, y0: (line,) middle of the wires.
        x, y, radius, z, sigma_z: (hit,). weight: (hit,) 1 / sigma^2 of the radius, 0 for a hit left out.
    """

    first: np.ndarray
    counts: np.ndarray
    x0: np.ndarray
    y0: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    z: np.ndarray
    weight: np.ndarray
    sigma_z: np.ndarray

    def sum(self, values):
        """Values of hits, (..., hit), added up for each line, (..., line)."""
        return np.add.reduceat(values, self.first, axis=-1)

    def largest(self, values):
        """The largest value of each line's hits, (hit,) to (line,)."""
        return np.maximum.reduceat(values, self.first)

    def spread(self, values):
        """Values of lines, (..., line), for each of their hits."""
        return np.repeat(values, self.counts, axis=-1)

    def across(self, phi):
        """Way of each wire along the normal of its line, (..., hit), from the middle of the wires."""
        cos = self.spread(np.cos(phi))
        sin = self.spread(np.sin(phi))
        return cos * self.x + sin * self.y

    def path(self, phi):
        """Path along its line of the point nearest to each wire, (..., hit), from the point nearest to the
        middle of the wires.
        """
        cos = self.spread(np.cos(phi))
        sin = self.spread(np.sin(phi))
        return cos * self.y - sin * self.x


def _hits(counts, x, y, radius, z, sigma, sigma_z, unknown_sigma):
    """_Hits from measurements, (hit,), sorted by line."""
    first = np.cumsum(counts) - counts
    unknown = np.isnan(radius)
    sigma = np.where(unknown, unknown_sigma, sigma)
    x0 = np.add.reduceat(x, first) / counts
    y0 = np.add.reduceat(y, first) / counts
    return _Hits(
        first=first,
        counts=counts,
        x0=x0,
        y0=y0,
        x=x - np.repeat(x0, counts),
        y=y - np.repeat(y0, counts),
        radius=np.where(unknown, 0.0, radius),
        z=z,
        weight=sigma**-2.0,
        sigma_z=sigma_z,
    )


def _search(hits, given, clip, rounds):
    """The best line of each group of hits: (phi, d), each (line,), d from the middle of the wires."""
    phi, d = _starts(hits, given, clip)
    for _ in range(rounds):
        phi, d = _step(hits, phi, d, clip)
    phi, d = _best(hits, phi, d, clip)
    for _ in range(_FLIPS):
        other_phi, other_d = _flip(hits, phi, d, clip)
        for _ in range(_STEPS_AFTER_FLIP):
            other_phi, other_d = _step(hits, other_phi, other_d, clip)
        both_phi = np.stack([phi, other_phi])
        both_d = np.stack([d, other_d])
        phi, d = _best(hits, both_phi, both_d, clip)
    return _step(hits, phi, d, clip, 3)


def _starts(hits, given, clip):
    """Lines to begin with: those given, then tangents to cells at the ends; (phi, d), each (start, line)."""
    phi = []
    d = []
    pairs = _END_PAIRS if clip is None else _ROBUST_END_PAIRS
    for one, two in _end_hits(hits, pairs):
        tangent_phi, tangent_d = _tangents(hits, one, two)
        phi.extend(tangent_phi)
        d.extend(tangent_d)
    if given is not None:
        given_phi, given_d = given
        given_d = given_d - _across(given_phi, hits.x0, hits.y0)
        known = np.isfinite(given_phi) & np.isfinite(given_d)
        phi.insert(0, np.where(known, given_phi, phi[0]))
        d.insert(0, np.where(known, given_d, d[0]))
    return np.stack(phi), np.stack(d)


def _end_hits(hits, pairs):
    """Hits near the two ends of each line, along the main axis of its wires.

    Args:
        pairs: list of two numbers of hits to skip, one from each end.
    Returns:
        for each pair, index of the two hits, each (line,); a line that is too short repeats the last hit it
        has.
    """
    xx = hits.sum(hits.x * hits.x)
    xy = hits.sum(hits.x * hits.y)
    yy = hits.sum(hits.y * hits.y)
    twice = np.arctan2(2 * xy, xx - yy)
    axis = (
        np.mod(twice + 2, 2 * np.pi) / 2 - 1
    )  # jumps at -1, not at a direction of the grid of wires,
    axis += 1e-6  # and no two wires of the grid are equally far: rounding decides nothing
    along = hits.across(axis)
    n = 1 + np.max(pairs)
    at_one_end = _last(hits, -along, n)
    at_other_end = _last(hits, along, n)
    return [(at_one_end[one], at_other_end[two]) for one, two in pairs]


def _last(hits, value, n):
    """Indices of the hits with the n largest values of each line, as a list of (line,)."""
    last = []
    value = value.copy()
    for _ in range(n):
        index = _one_each(hits, value == hits.spread(hits.largest(value)))
        last.append(index)
        value[index] = -np.inf
    return last


def _one_each(hits, mask):
    """Index of one hit of each line where the (hit,) mask is true."""
    index = np.flatnonzero(mask)
    line = np.searchsorted(hits.first, index, side="right") - 1
    one = np.zeros(len(hits.first), int)
    one[line] = index
    return one


def _tangents(hits, one, two):
    """The four lines that touch two cells' drift circles: phi and d, each (4, line).

    Without direction there are no more.
    """
    dx = hits.x[two] - hits.x[one]
    dy = hits.y[two] - hits.y[one]
    away = np.maximum(np.hypot(dx, dy), _MIN_SPREAD_MM)
    near = _SIDE_OF_ONE * hits.radius[one]
    far = _SIDE_OF_TWO * hits.radius[two]
    cos_between = np.clip((far - near) / away, -1, 1)
    phi = np.arctan2(dy, dx) + np.arccos(cos_between)
    d = _across(phi, hits.x[one], hits.y[one]) - near
    return phi, d


def _across(phi, x, y):
    """Way of points along the normals of lines."""
    return np.cos(phi) * x + np.sin(phi) * y


def _distance(hits, phi, d):
    """Signed distance of each wire from its line, (..., hit)."""
    return hits.across(phi) - hits.spread(d)


def _chi2_of_hits(hits, distance):
    """(..., hit) what each radius adds to chi2 at a distance of its wire."""
    residual = np.abs(distance) - hits.radius
    return np.square(residual) * hits.weight


def _weight(hits, distance, clip):
    """1 / sigma^2 of each hit, 0 for those left out; (hit,) or (..., hit)."""
    if clip is None:
        return hits.weight
    near = _chi2_of_hits(hits, distance) < clip**2
    return hits.weight * near


def _chi2(hits, phi, d, clip):
    """(..., line) chi2 of the radii; hits left out cost clip^2."""
    each = _chi2_of_hits(hits, _distance(hits, phi, d))
    if clip is not None:
        each = np.minimum(each, clip**2)
    return hits.sum(each)


def _step(hits, phi, d, clip, newton_steps=2):
    """Choose the sides of the wires, and the hits, by the lines; then the best lines for that choice."""
    distance = _distance(hits, phi, d)
    weight = _weight(hits, distance, clip)
    radius = np.copysign(hits.radius, distance)
    return _best_line(hits, weight, radius, phi, newton_steps)


def _best_line(hits, weight, radius, phi, newton_steps):
    """Least squares for signed radii: minimum of sum w (cos(phi) x + sin(phi) y - d - r)^2, near phi.

    Args:
        weight: (hit,) or (..., hit). radius: (..., hit), signed. phi: (..., line).
    Returns:
        phi, d: (..., line).
    """
    total, x, y, xx, xy, yy = _scatter(hits, weight)
    wr = weight * radius
    r = hits.sum(wr) / total
    xr = hits.sum(wr * hits.x) - total * x * r
    yr = hits.sum(wr * hits.y) - total * y * r
    longer = yy - xx  # along y than along x
    for _ in range(newton_steps):
        cos = np.cos(phi)
        sin = np.sin(phi)
        cos_of_twice = cos * cos - sin * sin
        half_sin_of_twice = sin * cos
        # halves of the derivatives of chi2
        slope = longer * half_sin_of_twice + xy * cos_of_twice + xr * sin - yr * cos
        curvature = longer * cos_of_twice - 4 * xy * half_sin_of_twice + xr * cos + yr * sin
        gauss_newton = xx * sin * sin - 2 * xy * half_sin_of_twice + yy * cos * cos
        least = np.maximum(gauss_newton / 4, _TINY)
        turn = slope / np.maximum(curvature, least)  # downhill, also far away
        phi = phi - np.clip(turn, -0.5, 0.5)
    return phi, _across(phi, x, y) - r


def _scatter(hits, weight):
    """Where the wires of each line are: sum of weights, weighted means of x and y, and weighted sums of their
    squares and product about the means, xx, xy, yy; each (..., line).
    """
    total = np.maximum(hits.sum(weight), _TINY)
    wx = weight * hits.x
    wy = weight * hits.y
    x = hits.sum(wx) / total
    y = hits.sum(wy) / total
    xx = hits.sum(wx * hits.x) - total * x * x
    xy = hits.sum(wx * hits.y) - total * x * y
    yy = hits.sum(wy * hits.y) - total * y * y
    return total, x, y, xx, xy, yy


def _best(hits, phi, d, clip):
    """The solutions of lowest chi2 out of several, (start, line) -> (line,)."""
    chi2 = _chi2(hits, phi, d, clip)
    as_good = chi2 <= chi2.min(0) + _SAME_CHI2
    best = as_good.argmax(0)
    line = np.arange(len(best))
    return phi[best, line], d[best, line]


def _flip(hits, phi, d, clip):
    """Change the side of the one hit of each line where that lowers chi2 most, or of none, and fit again."""
    distance = _distance(hits, phi, d)
    weight = _weight(hits, distance, clip)
    path = hits.path(phi)
    total, mean, spread = _moments(hits, weight, path)
    from_mean = path - hits.spread(mean)
    of_d = hits.spread(1 / total)
    of_phi = np.square(from_mean) / hits.spread(np.maximum(spread, _TINY))
    leverage = weight * (of_d + of_phi)
    overshoot = hits.radius * leverage - np.abs(distance)
    gain = weight * hits.radius * overshoot
    most = hits.spread(hits.largest(gain))
    flip = (gain > 0) & (gain == most)
    radius = np.copysign(hits.radius, distance)
    radius[flip] *= -1
    return _best_line(hits, weight, radius, phi, 3)


def _fill_top_view(lines, these, index, hits, phi, d, clip, share_known=1.0):
    """Write phi, d and what belongs to the radii into `lines`.

    Args:
        lines: FittedLines. these: (chosen line,) indices in it of the lines of `hits`. index: (hit,) indices
            of `hits` among all hits.
        phi, d: (chosen line,). share_known: (hit,) or one number, how much of the weight of each radius tells
            where the line is.
    Returns:
        (hit,) bool, the hits used.
    """
    next_phi, _ = _step(hits, phi, d, clip)
    settled = np.abs(next_phi - phi) < _CONVERGED_RAD
    phi, sign = normal_angle(phi)
    d = sign * d
    distance = _distance(hits, phi, d)
    weight = _weight(hits, distance, clip)
    used = weight > 0
    total, middle, spread = _moments(hits, weight * share_known, hits.path(phi))
    known = spread > _MIN_SPREAD_MM**2 * total  # else there is but one wire
    # distances are s phi - d: a straight-line fit with constant d and slope -phi
    covariance_d_phi = _covariance(total, -middle - _origin(hits, phi), spread)
    _write(
        lines,
        these,
        known,
        phi_rad=phi,
        d_mm=d + _across(phi, hits.x0, hits.y0),
        covariance_phi_d=covariance_d_phi[:, ::-1, ::-1],
        chi2_radius=hits.sum(_chi2_of_hits(hits, distance) * used),
        valid=settled,
        mirrored=_on_a_row(hits, used),
    )
    lines.n_hits[these] = hits.sum(used.astype(int))
    lines.side[index] = np.where(distance < 0, -1, 1)
    lines.used[index] = used
    return used


def _fill_heights(lines, these, hits, used):
    """Fit the heights of the hits used and write z0, tan_dip and what belongs to them into `lines`.

    Args:
        lines, these, hits: as of `_fill_top_view`, which is called before. used: (hit,) bool, as it returns.
    """
    known = np.isfinite(lines.phi_rad[these])
    phi = np.where(known, lines.phi_rad[these], 0.0)
    path = hits.path(phi)
    measured = np.isfinite(hits.z) & used
    z = np.where(measured, hits.z, 0.0)
    sigma = np.where(measured, hits.sigma_z, 1.0)
    weight = measured / np.square(sigma)
    height, dip, (total, middle, spread) = _height_line(hits, weight, path, z)
    from_middle = path - hits.spread(middle)
    residual = z - hits.spread(height) - hits.spread(dip) * from_middle
    chi2 = hits.sum(weight * np.square(residual))
    sloped = spread > _MIN_SPREAD_MM**2 * total
    path_of_middle = middle + _origin(hits, phi)
    covariance = _covariance(total, path_of_middle, spread)
    z0_by_phi = dip * lines.d_mm[these]
    covariance[:, 0, 0] += np.square(z0_by_phi) * lines.covariance_phi_d[these, 0, 0]
    _write(lines, these, known, chi2_z=sloped * chi2)
    _write(
        lines,
        these,
        known & sloped,
        z0_mm=height - dip * path_of_middle,
        tan_dip=dip,
        covariance_z0_dip=covariance,
    )
    lines.n_z[these] = hits.sum(measured.astype(int))


def _write(lines, these, known, **values):
    """Write values, name=(chosen line, ...), into `lines` where they are known, (chosen line,) bool."""
    for name, value in values.items():
        getattr(lines, name)[these[known]] = value[known]


def _on_a_row(hits, used):
    """(line,) bool, whether the wires of the hits used lie on one straight line."""
    n, _, _, xx, xy, yy = _scatter(hits, used.astype(float))
    longer = np.hypot(xx - yy, 2 * xy)
    across = (xx + yy - longer) / 2  # the smaller eigenvalue of the scatter matrix
    return across < _ROW_MM**2 * n


def _origin(hits, phi):
    """(line,) path of the middle of the wires from the point nearest to x = y = 0."""
    return np.cos(phi) * hits.y0 - np.sin(phi) * hits.x0


def _moments(hits, weight, path):
    """Sum of the weights, weighted mean of the path, weighted sum of the squares about it; each (line,)."""
    total = np.maximum(hits.sum(weight), _TINY)
    mean = hits.sum(weight * path) / total
    from_mean = path - hits.spread(mean)
    spread = hits.sum(weight * np.square(from_mean))
    return total, mean, spread


def _covariance(total, middle, spread):
    """Covariance of constant and slope, (line, 2, 2), of a straight-line fit; arguments as from `_moments`,
    middle from the origin.
    """
    variance_slope = 1 / np.maximum(spread, _TINY)
    both = -middle * variance_slope
    variance_constant = 1 / total + middle**2 * variance_slope
    covariance = np.stack([variance_constant, both, both, variance_slope], axis=-1)
    return covariance.reshape(-1, 2, 2)


def _height_line(hits, weight, path, z):
    """Weighted straight-line fit of heights: height at the mean path, slope, each (line,); and `_moments`."""
    total, middle, spread = _moments(hits, weight, path)
    from_middle = path - hits.spread(middle)
    height = hits.sum(weight * z) / total
    covariance = hits.sum(weight * from_middle * z)
    slope = covariance / np.maximum(spread, _TINY)
    return height, slope, (total, middle, spread)


def _without_wrong_heights(hits, phi, d, clip):
    """Leave out hits with wrong heights, weight 0, and fit the rest: (phi, d)."""
    hits.weight[_wrong_heights(hits, phi, d, clip)] = 0
    for _ in range(_ROUNDS_AFTER_CLIP):
        phi, d = _step(hits, phi, d, clip)
    return phi, d


def _wrong_heights(hits, phi, d, clip):
    """(hit,) bool, heights more than `clip` errors from the line of the others; dropped the worst first,
    since they bend the line.
    """
    path = hits.path(phi)
    distance = _distance(hits, phi, d)
    measured = np.isfinite(hits.z) & (_weight(hits, distance, clip) > 0)
    z = np.where(measured, hits.z, 0.0)
    sigma = np.where(measured, hits.sigma_z, np.inf)
    wrong = np.zeros(len(z), bool)
    for _ in range(_OUTLIER_ROUNDS):
        weight = ~wrong / np.square(sigma)
        height, slope, (_, middle, _) = _height_line(hits, weight, path, z)
        from_middle = path - hits.spread(middle)
        expected = hits.spread(height) + hits.spread(slope) * from_middle
        pull = np.abs(z - expected) / sigma
        worst = hits.spread(hits.largest(pull * ~wrong))
        wrong = (pull > clip) & (wrong | (pull > worst / 2))
    return wrong
