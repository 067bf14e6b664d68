"""Straight segments in the top view with a height along them: distances, fits, extents, and which segments
continue which.

A segment is a column of a (5, segment) array: angle, offset, t0, z0, slope. Its unit normal is n = (cos
angle, sin angle), its direction u = (sin angle, -cos angle) points away from the foil (angle in 0..pi).
Points of its line have n p = offset; t = u p is the way along it, in mm, and the height is z0 + slope (t -
t0), NaN where no height was measured.
"""

import numpy as np

from datasets.geometry import CELL_RADIUS_MM

_UNKNOWN_WEIGHT = (
    0.01  # of a hit without a radius: the wire is 22 / sqrt(3) mm from the line, against about 1.3 mm
)
_FIT_STEPS = 2


def distances(segments, index, hits, use_radii=True):
    """How far hits are from segments.

    Args:
        segments: (5, segment). index: (hit,) segment each hit is compared with. hits: Hits of the same
            length.
        use_radii: False treats the drift radii as unknown.
    Returns:
        (off, height, t), each (hit,) in mm: distance of the line from the drift circle, or where there is no
        radius the distance from the wire beyond what a cell allows; difference of the heights, 0 where either
        is unknown; way along the line.
    """
    angle, offset, t0, z0, slope = segments[:, index]
    cos, sin = np.cos(angle), np.sin(angle)
    distance = np.abs(cos * hits.x + sin * hits.y - offset)
    t = sin * hits.x - cos * hits.y
    # a cell fires if the nearest point of the line lies in its square
    beyond = np.maximum(distance - CELL_RADIUS_MM / np.maximum(np.abs(cos), np.abs(sin)), 0)
    off = np.where(np.isfinite(hits.radius), np.abs(distance - hits.radius), beyond) if use_radii else beyond
    height = np.abs(z0 + slope * (t - t0) - hits.z)
    return off, np.where(np.isfinite(height), height, 0.0), t


def fit(segments, index, hits, use_radii=True, steps=_FIT_STEPS):
    """Least squares fit of all segments to their hits at once, near where they are; each hit stays on the
    side of the line it is on.

    Args:
        segments: (5, segment) start. index: (hit,) segment of each hit. hits: Hits.
        use_radii: False fits to the wires. steps: Gauss-Newton steps.
    Returns:
        (5, segment); segments without hits stay as they are.
    """
    n = segments.shape[1]
    total = lambda values: np.bincount(index, values, n)  # noqa: E731
    radius = hits.radius if use_radii else np.full(len(hits.x), np.nan)
    known = np.isfinite(radius)
    radius = np.where(known, radius, 0.0)
    weight = np.where(known, 1.0, _UNKNOWN_WEIGHT)
    weights = total(weight)
    some = weights > 0
    over = np.where(some, weights, 1.0)
    mean_x, mean_y = total(weight * hits.x) / over, total(weight * hits.y) / over
    x, y = hits.x - mean_x[index], hits.y - mean_y[index]
    angle, offset = segments[0].copy(), segments[1].copy()
    for _ in range(steps):
        cos, sin = np.cos(angle), np.sin(angle)
        local = offset - cos * mean_x - sin * mean_y
        distance = cos[index] * x + sin[index] * y - local[index]
        signed = np.copysign(radius, distance)
        t = sin[index] * x - cos[index] * y  # its weighted mean is 0
        spread = total(weight * t * t)
        turn = total(weight * t * (distance - signed)) / np.where(spread > 0, spread, 1.0)
        angle = np.where(some, angle + np.clip(turn, -0.5, 0.5), angle)
        offset = np.where(
            some, np.cos(angle) * mean_x + np.sin(angle) * mean_y - total(weight * signed) / over, offset
        )
    angle, offset = _away_from_foil(angle, offset)
    t = np.sin(angle)[index] * hits.x - np.cos(angle)[index] * hits.y
    t0, z0, slope = _fit_heights(t, hits.z, total, index)
    kept = np.where(some, np.stack([t0, z0, slope]), segments[2:])
    return np.stack([angle, offset, *kept])


def _away_from_foil(angle, offset):
    """The same lines with directions away from the foil."""
    turned = np.floor(angle / np.pi)
    return angle - np.pi * turned, np.where(turned % 2 == 0, offset, -offset)


def _fit_heights(t, z, total, index):
    """Straight lines through heights, (t0, z0, slope): NaN without a height, flat with one."""
    known = np.isfinite(z)
    n = total(known.astype(float))
    over = np.where(n > 0, n, np.nan)
    z = np.where(known, z, 0.0)
    t0, z0 = total(known * t) / over, total(z) / over
    from_mean = np.where(known, t - t0[index], 0.0)
    spread = total(from_mean**2)
    slope = total(from_mean * z) / np.where(spread > 0, spread, 1.0)
    return np.nan_to_num(t0), z0, slope


def through_wires(index, hits, n):
    """(5, n) segments through the wires of their hits: the main axis of each cloud of points, and its
    heights.
    """
    total = lambda values: np.bincount(index, values, n)  # noqa: E731
    over = np.maximum(total(np.ones(len(index))), 1)
    mean_x, mean_y = total(hits.x) / over, total(hits.y) / over
    x, y = hits.x - mean_x[index], hits.y - mean_y[index]
    direction = 0.5 * np.arctan2(2 * total(x * y), total(x * x) - total(y * y))
    angle, offset = direction + np.pi / 2, 0.0
    offset = np.cos(angle) * mean_x + np.sin(angle) * mean_y
    start = np.stack([*_away_from_foil(angle, offset), np.zeros(n), np.full(n, np.nan), np.zeros(n)])
    return fit(start, index, hits, use_radii=False, steps=0)


def fit_clusters(index, hits, n):
    """(5, n) segments of clusters of hits whose line is not known yet: through the wires first, then tangent
    to the circles.
    """
    return fit(through_wires(index, hits, n), index, hits, steps=3)


def extents(segments, index, hits):
    """(first t, last t), each (segment,): where the hits of a segment begin and end along it; (inf, -inf)
    without hits.
    """
    t = np.sin(segments[0])[index] * hits.x - np.cos(segments[0])[index] * hits.y
    first, last = np.full(segments.shape[1], np.inf), np.full(segments.shape[1], -np.inf)
    np.minimum.at(first, index, t)
    np.maximum.at(last, index, t)
    return first, last


def in_runs(group, t, max_gap_mm, min_hits):
    """Which hits of each group lie in runs without a gap that are long enough.

    Args:
        group: (hit,) int. t: (hit,) way along the group's line, mm. max_gap_mm: largest step within a run.
            min_hits: of a run.
    Returns:
        (hit,) bool.
    """
    if not len(group):
        return np.zeros(0, bool)
    order = np.lexsort((t, group))
    new = np.r_[True, (np.diff(group[order]) != 0) | (np.diff(t[order]) > max_gap_mm)]
    run = np.cumsum(new) - 1
    kept = np.empty(len(group), bool)
    kept[order] = (np.bincount(run) >= min_hits)[run]
    return kept


def continuation(
    before, after, margin_mm=250.0, gap_mm=250.0, off_mm=25.0, height_mm=250.0, kink_degrees=30.0
):
    """Does a segment go on where another ends? Both lines must meet, in the top view and in height, near the
    gap between them.

    Args:
        before, after: (segments (5, pair), first t (pair,), last t (pair,)) as of `extents`; `before` is the
            one nearer the foil.
        margin_mm: how far the meeting point may lie within either, and how far they may overlap: at a small
            kink the first line takes some of the hits beyond it. gap_mm: largest way from the end of one to
            the other.
        off_mm, height_mm: largest distance where they meet. kink_degrees: largest angle between the two in
            the top view.
    Returns:
        (pair,) float: 0 for a perfect match, rising to 2 at the limits, infinity where they do not belong
            together.
    """
    (a, _, a_last), (b, b_first, b_last) = before, after
    turn = (b[0] - a[0] + np.pi / 2) % np.pi - np.pi / 2
    cos, sin = np.cos(a[0]), np.sin(a[0])
    end = lambda t: (np.cos(b[0]) * b[1] + np.sin(b[0]) * t, np.sin(b[0]) * b[1] - np.cos(b[0]) * t)  # noqa: E731
    (x0, y0), (x1, y1) = end(b_first), end(b_last)
    # in the frame of `before`: way along it and distance from it, of both ends of `after`
    s0, s1 = sin * x0 - cos * y0, sin * x1 - cos * y1
    w0, w1 = cos * x0 + sin * y0 - a[1], cos * x1 + sin * y1 - a[1]
    step = np.where(s1 > s0, s1 - s0, np.inf)
    slope = (w1 - w0) / step
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = s0 - w0 / slope
    low, high = np.minimum(a_last, s0) - margin_mm, np.maximum(a_last, s0) + margin_mm
    meet = np.clip(np.where(np.isfinite(crossing), crossing, (a_last + s0) / 2), low, high)
    off = np.abs(w0 + slope * (meet - s0))
    height = np.abs(
        a[3] + a[4] * (meet - a[2]) - b[3] - b[4] * (b_first + (meet - s0) * (b_last - b_first) / step - b[2])
    )
    height = np.where(np.isfinite(height), height, 0.0)
    # one ends where the other begins
    in_order = (s0 > a_last - margin_mm) & (s1 > a_last) & (s0 - a_last < gap_mm)
    fits = in_order & (np.abs(turn) < np.radians(kink_degrees)) & (off < off_mm) & (height < height_mm)
    return np.where(fits, off / off_mm + height / height_mm, np.inf)
