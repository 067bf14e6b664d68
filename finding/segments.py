"""Segments: straight lines and the hits that each owns. How far hits are from lines, fits, where a segment
begins and ends, and which segments continue which.

Lines are `fitting.lines.Lines` in the frame of this room. `owner`, (hit,) int, is the index of the line that
owns each hit, -1 for none; functions that take `line`, (hit,) int, take only hits with a line.
"""

import numpy as np

from datasets.geometry import CELL_MM, CELL_RADIUS_MM, N_LAYERS
from fitting.lines import normal_angle, unknown

# of a hit without a radius: the wire is 22 / sqrt(3) mm from the line, against about 1.3 mm
_UNKNOWN_WEIGHT = 0.01
_FIT_STEPS = 2
_FAR_MM = 1e5  # more than twice any path
_MOST_TURN_RAD = 0.5  # in a step of a fit
_ROUNDING_RAD = 1e-9  # more than angles are rounded, and less than matters


def owned_hits(owner, hits):
    """The hits that a line owns.

    Returns:
        line: (owned hit,) index of the line of each. hits: Hits, these only.
    """
    owned = np.flatnonzero(owner >= 0)
    return owner[owned], hits[owned]


def reach_mm(lines):
    """(line,) how far from a line in mm a wire can be whose cell fires: the nearest point of the line lies in
    the cell's square.
    """
    cos, sin = lines.normal(slice(None))
    larger = np.maximum(np.abs(cos), np.abs(sin))
    return CELL_RADIUS_MM / larger


def off_mm(lines, line, hits, use_radii=True):
    """How far lines are from drift circles, (hit,) in mm; where there is no radius, how far from the wire
    beyond what a cell allows.

    Args:
        lines: Lines. line: (hit,) index of the line each hit is compared with. hits: Hits.
        use_radii: False treats the drift radii as unknown.
    """
    distance = np.abs(lines.distance_mm(line, hits.x, hits.y))
    reach = reach_mm(lines)
    beyond = np.maximum(distance - reach[line], 0)
    if not use_radii:
        return beyond
    from_circle = np.abs(distance - hits.radius)
    known = np.isfinite(hits.radius)
    return np.where(known, from_circle, beyond)


def height_off_mm(lines, line, hits):
    """(hit,) difference of the heights of lines and hits in mm, 0 where either is unknown; arguments as
    `off_mm`.
    """
    height = lines.z_at(line, hits.x, hits.y)
    difference = np.abs(height - hits.z)
    difference[np.isnan(difference)] = 0.0
    return difference


def fit(lines, line, hits, use_radii=True, steps=_FIT_STEPS):
    """Least squares fit of all lines to their hits at once, near where they are; each hit stays on the side
    of the line it is on.

    Args:
        lines: Lines, the start. line: (hit,) line of each hit. hits: Hits.
        use_radii: False fits to the wires. steps: Gauss-Newton steps.
    Returns:
        Lines; those without hits stay as they are.
    """
    phi, d = _fit_top_view(lines, line, hits, use_radii, steps)
    # a line along the foil has no way away from it: its path grows with y, however its angle is rounded
    phi, sign = normal_angle(phi - _ROUNDING_RAD)
    fitted = unknown(len(lines))
    fitted.phi_rad = phi + _ROUNDING_RAD
    fitted.d_mm = sign * d
    fitted.z0_mm, fitted.tan_dip = _fit_heights(fitted, line, hits)
    idle = np.bincount(line, minlength=len(lines)) == 0
    fitted[idle] = lines[idle]
    return fitted


def _fit_top_view(lines, line, hits, use_radii, steps):
    """(phi, d), each (line,), as `fit`; of lines without hits they mean nothing."""
    known = np.isfinite(hits.radius) & use_radii
    radius = np.where(known, hits.radius, 0.0)
    weight = np.where(known, 1.0, _UNKNOWN_WEIGHT)
    total = np.bincount(line, weight, len(lines))
    total[total == 0] = 1.0

    def mean(values):
        """Weighted mean of values of hits, (hit,) to (line,); 0 without hits."""
        return np.bincount(line, weight * values, len(lines)) / total

    x0 = mean(hits.x)
    y0 = mean(hits.y)
    x = hits.x - x0[line]
    y = hits.y - y0[line]
    phi = lines.phi_rad
    cos = np.cos(phi)
    sin = np.sin(phi)
    d = lines.d_mm - cos * x0 - sin * y0  # from the middle of the hits
    for _ in range(steps):
        cos_of_hit = cos[line]
        sin_of_hit = sin[line]
        distance = cos_of_hit * x + sin_of_hit * y - d[line]
        path = cos_of_hit * y - sin_of_hit * x  # its mean is 0
        signed_radius = np.copysign(radius, distance)
        residual = distance - signed_radius
        spread = mean(path * path)
        spread[spread == 0] = 1.0
        turn = mean(path * residual) / spread
        phi = phi - np.clip(turn, -_MOST_TURN_RAD, _MOST_TURN_RAD)
        d = -mean(signed_radius)
        cos = np.cos(phi)
        sin = np.sin(phi)
    return phi, d + cos * x0 + sin * y0


def _fit_heights(lines, line, hits):
    """(z0, tan_dip), each (line,), of straight lines through the heights of the hits; NaN and 0 without a
    height, flat with one.
    """
    path = lines.path_mm(line, hits.x, hits.y)
    known = np.isfinite(hits.z)
    line = line[known]
    path = path[known]
    z = hits.z[known]

    def total(values):
        """Sum of values of hits for each line."""
        return np.bincount(line, values, len(lines))

    n = np.bincount(line, minlength=len(lines))
    n = np.where(n > 0, n, np.nan)
    mean_path = total(path) / n
    mean_z = total(z) / n
    from_mean = path - mean_path[line]
    spread = total(from_mean**2)
    spread[spread == 0] = 1.0
    tan_dip = total(from_mean * z) / spread
    z0 = mean_z - tan_dip * mean_path
    return z0, tan_dip


def through_wires(line, hits, n_lines):
    """Lines through the wires of their hits: the main axis of each cloud of points, and its heights.

    Args:
        line: (hit,) line of each hit. hits: Hits. n_lines: how many lines there are.
    """

    def total(values):
        """Sum of values of hits for each line."""
        return np.bincount(line, values, n_lines)

    n = np.maximum(np.bincount(line, minlength=n_lines), 1)
    x0 = total(hits.x) / n
    y0 = total(hits.y) / n
    x = hits.x - x0[line]
    y = hits.y - y0[line]
    xx = total(x * x)
    xy = total(x * y)
    yy = total(y * y)
    direction = np.arctan2(2 * xy, xx - yy) / 2
    # turned a little, so that rounding does not decide on which side wires are that lie on the line
    phi = direction - np.pi / 2 - _ROUNDING_RAD
    start = unknown(n_lines)
    start.phi_rad = phi
    start.d_mm = x0 * np.cos(phi) + y0 * np.sin(phi)
    return fit(start, line, hits, use_radii=False, steps=0)


def fit_clusters(line, hits, n_lines):
    """Lines of clusters of hits of which nothing is known yet: through the wires first, then tangent to the
    circles; arguments as `through_wires`.
    """
    start = through_wires(line, hits, n_lines)
    return fit(start, line, hits, steps=3)


def extents(lines, line, hits):
    """Paths in mm at which the hits of each line begin and end.

    Args:
        lines: Lines. line: (hit,) line of each hit. hits: Hits.
    Returns:
        (first, last), each (line,); (inf, -inf) without hits.
    """
    path = lines.path_mm(line, hits.x, hits.y)
    first = np.full(len(lines), np.inf)
    last = np.full(len(lines), -np.inf)
    np.minimum.at(first, line, path)
    np.maximum.at(last, line, path)
    return first, last


def first_layer(line, hits, n_lines):
    """(line,) int, the layer nearest to the foil in which each line has a hit, one more
    than there are without hits; arguments as `through_wires`."""
    layer_of_hit = (hits.x // CELL_MM).astype(int)
    layer = np.full(n_lines, N_LAYERS)
    np.minimum.at(layer, line, layer_of_hit)
    return layer


def in_runs(group, path, max_gap_mm, min_hits):
    """Which hits of each group lie in runs without a gap that are long enough.

    Args:
        group: (hit,) int. path: (hit,) along the group's line, mm. max_gap_mm: largest step within a run.
        min_hits: of a run.
    Returns:
        (hit,) bool.
    """
    order = np.argsort(group * _FAR_MM + path)  # one key sorts faster than two
    new_group = np.diff(group[order], prepend=-1) != 0
    gap = np.diff(path[order], prepend=0.0) > max_gap_mm
    run = np.cumsum(new_group | gap) - 1
    long = np.bincount(run) >= min_hits
    kept = np.empty(len(group), bool)
    kept[order] = long[run]
    return kept


def continuation(
    lines,
    before,
    after,
    extent,
    margin_mm=250.0,
    gap_mm=250.0,
    off_mm=25.0,
    height_mm=250.0,
    kink_degrees=30.0,
):
    """Does a segment go on where another ends? Both lines must meet, in the top view and in height, near the
    gap between them.

    Args:
        lines: Lines. before, after: (pair,) indices of the lines compared; `before` is the one nearer the
            foil.
        extent: (first, last), as of `extents`.
        margin_mm: how far the meeting point may lie within either, and how far they may overlap: at a small
            kink the first line takes some of the hits beyond it. gap_mm: largest way from the end of one to
            the other.
        off_mm, height_mm: largest distance where they meet. kink_degrees: largest angle between the two in
            the top view.
    Returns:
        (pair,) float: 0 for a perfect match, rising to 2 at the limits, infinity where they do not belong
            together.
    """
    first, last = extent
    end = last[before]
    start = first[after]
    length = last[after] - start
    # all in the frame of `before`: the paths along it, and how far from it `after` begins and ends
    along, across = _in_frame_of(lines, before, after, start)
    last_along, last_across = _in_frame_of(lines, before, after, last[after])
    step = np.where(last_along > along, last_along - along, np.inf)
    slope = (last_across - across) / step

    # they meet where they cross, but not far from the gap
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = along - across / slope
    middle = (end + along) / 2
    meet = np.where(np.isfinite(crossing), crossing, middle)
    low = np.minimum(end, along) - margin_mm
    high = np.maximum(end, along) + margin_mm
    meet = np.clip(meet, low, high)
    off = np.abs(across + slope * (meet - along))
    meet_of_after = start + (meet - along) * length / step
    height = lines.z_along(before, meet)
    height_of_after = lines.z_along(after, meet_of_after)
    height_off = np.abs(height - height_of_after)
    height_off[np.isnan(height_off)] = 0.0

    follows = (along > end - margin_mm) & (along < end + gap_mm)
    reaches_farther = last_along > end
    turn = lines.phi_rad[after] - lines.phi_rad[before]
    turn = (turn + np.pi / 2) % np.pi - np.pi / 2
    straight = np.abs(turn) < np.radians(kink_degrees)
    meets = (off < off_mm) & (height_off < height_mm)
    fits = follows & reaches_farther & straight & meets
    badness = off / off_mm + height_off / height_mm
    return np.where(fits, badness, np.inf)


def _in_frame_of(lines, frame, line, path):
    """Points of lines, at paths along them, in the frame of other lines.

    Args:
        lines: Lines. frame, line: (pair,) indices. path: (pair,) mm along `line`.
    Returns:
        (path along `frame`, distance from it), each (pair,).
    """
    x, y = lines.point_mm(line, path)
    return lines.path_mm(frame, x, y), lines.distance_mm(frame, x, y)
