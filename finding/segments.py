"""Segments: straight lines and the hits that each owns. How far hits are from lines, fits, where a segment
begins and ends, and which segments continue which.

Lines are `fitting.lines.Lines` in the frame of this room. `owner`, (hit,) int, is the index of the line that
owns each hit, where a function takes hits without a line -1 for none.
"""

import numpy as np

from datasets.geometry import CELL_RADIUS_MM
from fitting.lines import Lines, normal_angle

# of a hit without a radius: the wire is 22 / sqrt(3) mm from the line, against about 1.3 mm
_UNKNOWN_WEIGHT = 0.01
_FIT_STEPS = 2
_FAR_MM = 1e5  # more than twice any path
_MOST_TURN_RAD = 0.5  # in a step of a fit
_ROUNDING_RAD = 1e-9  # more than angles are rounded, and less than matters


def reach_mm(lines):
    """(line,) how far from a line in mm a wire can be whose cell fires: the nearest point of the line lies in
    the cell's square.
    """
    cos, sin = lines.normal(slice(None))
    return CELL_RADIUS_MM / np.maximum(np.abs(cos), np.abs(sin))


def off_mm(lines, line, hits, use_radii=True):
    """How far lines are from drift circles, (hit,) in mm; where there is no radius, how far from the wire
    beyond what a cell allows.

    Args:
        lines: Lines. line: (hit,) index of the line each hit is compared with. hits: Hits.
        use_radii: False treats the drift radii as unknown.
    """
    distance = np.abs(lines.distance_mm(line, hits.x, hits.y))
    beyond = np.maximum(distance - reach_mm(lines)[line], 0)
    if not use_radii:
        return beyond
    from_circle = np.abs(distance - hits.radius)
    return np.where(np.isfinite(hits.radius), from_circle, beyond)


def height_off_mm(lines, line, hits):
    """(hit,) difference of the heights of lines and hits in mm, 0 where either is unknown; arguments as
    `off_mm`.
    """
    difference = np.abs(lines.z_at(line, hits.x, hits.y) - hits.z)
    return np.where(np.isfinite(difference), difference, 0.0)


def fit(lines, owner, hits, use_radii=True, steps=_FIT_STEPS):
    """Least squares fit of all lines to their hits at once, near where they are; each hit stays on the side
    of the line it is on.

    Args:
        lines: Lines, the start. owner: (hit,) line of each hit. hits: Hits.
        use_radii: False fits to the wires. steps: Gauss-Newton steps.
    Returns:
        Lines; those without hits stay as they are.
    """
    phi, d = _fit_top_view(lines, owner, hits, use_radii, steps)
    # a line along the foil has no way away from it: its path grows with y, however its angle is rounded
    phi, sign = normal_angle(phi - _ROUNDING_RAD)
    phi += _ROUNDING_RAD
    fitted = Lines(phi, sign * d, np.full(len(lines), np.nan), np.zeros(len(lines)))
    fitted.z0_mm, fitted.tan_dip = _fit_heights(fitted, owner, hits)
    idle = np.bincount(owner, minlength=len(lines)) == 0
    fitted[idle] = lines[idle]
    return fitted


def _fit_top_view(lines, owner, hits, use_radii, steps):
    """(phi, d), each (line,), as `fit`; of lines without hits they mean nothing."""
    radius = hits.radius if use_radii else np.full(len(hits), np.nan)
    known = np.isfinite(radius)
    radius = np.where(known, radius, 0.0)
    weight = np.where(known, 1.0, _UNKNOWN_WEIGHT)
    total = np.bincount(owner, weight, len(lines))
    total = np.where(total > 0, total, 1.0)

    def mean(values):
        """Weighted mean of values of hits, (hit,) to (line,); 0 without hits."""
        return np.bincount(owner, weight * values, len(lines)) / total

    x0 = mean(hits.x)
    y0 = mean(hits.y)
    x = hits.x - x0[owner]
    y = hits.y - y0[owner]
    phi = lines.phi_rad
    cos = np.cos(phi)
    sin = np.sin(phi)
    d = lines.d_mm - cos * x0 - sin * y0  # from the middle of the hits
    for _ in range(steps):
        cos_of_hit = cos[owner]
        sin_of_hit = sin[owner]
        distance = cos_of_hit * x + sin_of_hit * y - d[owner]
        path = cos_of_hit * y - sin_of_hit * x  # its mean is 0
        signed_radius = np.copysign(radius, distance)
        spread = mean(path * path)
        turn = mean(path * (distance - signed_radius)) / np.where(spread > 0, spread, 1.0)
        phi = phi - np.clip(turn, -_MOST_TURN_RAD, _MOST_TURN_RAD)
        d = -mean(signed_radius)
        cos = np.cos(phi)
        sin = np.sin(phi)
    return phi, d + cos * x0 + sin * y0


def _fit_heights(lines, owner, hits):
    """(z0, tan_dip), each (line,), of straight lines through the heights of the hits; NaN and 0 without a
    height, flat with one.
    """
    known = np.flatnonzero(np.isfinite(hits.z))
    line = owner[known]
    z = hits.z[known]
    path = lines.path_mm(line, hits.x[known], hits.y[known])
    n = np.bincount(line, minlength=len(lines)).astype(float)
    n[n == 0] = np.nan
    mean_path = np.bincount(line, path, len(lines)) / n
    mean_z = np.bincount(line, z, len(lines)) / n
    from_mean = path - mean_path[line]
    spread = np.bincount(line, from_mean**2, len(lines))
    tan_dip = np.bincount(line, from_mean * z, len(lines)) / np.where(spread > 0, spread, 1.0)
    return mean_z - tan_dip * mean_path, tan_dip


def through_wires(owner, hits, n_lines):
    """Lines through the wires of their hits: the main axis of each cloud of points, and its heights.

    Args:
        owner: (hit,) line of each hit. hits: Hits. n_lines: how many lines there are.
    """
    n = np.maximum(np.bincount(owner, minlength=n_lines), 1)
    x0 = np.bincount(owner, hits.x, n_lines) / n
    y0 = np.bincount(owner, hits.y, n_lines) / n
    x = hits.x - x0[owner]
    y = hits.y - y0[owner]
    xx = np.bincount(owner, x * x, n_lines)
    xy = np.bincount(owner, x * y, n_lines)
    yy = np.bincount(owner, y * y, n_lines)
    direction = 0.5 * np.arctan2(2 * xy, xx - yy)
    # turned a little, so that rounding does not decide on which side wires are that lie on the line
    phi = direction - np.pi / 2 - _ROUNDING_RAD
    d = np.cos(phi) * x0 + np.sin(phi) * y0
    start = Lines(phi, d, np.full(n_lines, np.nan), np.zeros(n_lines))
    return fit(start, owner, hits, use_radii=False, steps=0)


def fit_clusters(owner, hits, n_lines):
    """Lines of clusters of hits of which nothing is known yet: through the wires first, then tangent to the
    circles; arguments as `through_wires`.
    """
    return fit(through_wires(owner, hits, n_lines), owner, hits, steps=3)


def extents(lines, owner, hits):
    """(first, last), each (line,): paths in mm at which the hits of each line begin and end; (inf, -inf)
    without hits.
    """
    path = lines.path_mm(owner, hits.x, hits.y)
    first = np.full(len(lines), np.inf)
    last = np.full(len(lines), -np.inf)
    np.minimum.at(first, owner, path)
    np.maximum.at(last, owner, path)
    return first, last


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
    # both ends of `after`, in the frame of `before`: way along it and distance from it
    x, y = lines.point_mm(after, first[after])
    along = lines.path_mm(before, x, y)
    across = lines.distance_mm(before, x, y)
    x, y = lines.point_mm(after, last[after])
    end_along = lines.path_mm(before, x, y)
    end_across = lines.distance_mm(before, x, y)
    length = np.where(end_along > along, end_along - along, np.inf)
    slope = (end_across - across) / length

    # where they meet: where the lines cross, but not far from the gap
    end = last[before]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = along - across / slope
    crossing = np.where(np.isfinite(crossing), crossing, (end + along) / 2)
    low = np.minimum(end, along) - margin_mm
    high = np.maximum(end, along) + margin_mm
    meet = np.clip(crossing, low, high)
    off = np.abs(across + slope * (meet - along))
    length_of_after = last[after] - first[after]
    meet_of_after = first[after] + (meet - along) * length_of_after / length
    height = np.abs(lines.z_along(before, meet) - lines.z_along(after, meet_of_after))
    height = np.where(np.isfinite(height), height, 0.0)

    one_ends_where_the_other_begins = (along > end - margin_mm) & (along < end + gap_mm) & (end_along > end)
    turn = (lines.phi_rad[after] - lines.phi_rad[before] + np.pi / 2) % np.pi - np.pi / 2
    straight = np.abs(turn) < np.radians(kink_degrees)
    close = (off < off_mm) & (height < height_mm)
    fits = one_ends_where_the_other_begins & straight & close
    return np.where(fits, off / off_mm + height / height_mm, np.inf)
