"""The straight-track toy: the same distribution as the original ROOT macro, vectorised; on request some
tracks have kinks.

Lengths are in cells of 44 mm as the macro counts them (x away from the foil, y along it, z up). A track is y
= y0 + tan(a) x, z = z0 + tan(b) x with a, b uniform in (0.01, 3.131592), y0 and z0 uniform over the foil. The
wire at (layer + 0.5, column + 0.5) fires if the point of the line closest to it, in the top view, lies inside
the cell's square and
|z| < h there. With D the distance from line to wire along y, that point is (D sin a cos a, -D cos^2 a) from the wire: in every
layer the fired columns are one interval, so nothing loops over 1017 cells.

A kink lies between two layers. There the angles a and b of the track change, each by a random size and sign,
and the track goes on along another line: a segment. Closest points lie in the square of their cell, so each
layer belongs to the segment that crosses it and the hits of a kinked track are those of the broken line
itself.
"""

from functools import partial

import numpy as np

from datasets.events import make_events
from datasets.geometry import (
    CELL_MM,
    HALF_HEIGHT_MM,
    N_COLUMNS,
    N_LAYERS,
    TOY,
    TOY_HALF_HEIGHT,
    toy_calo_block,
)
from my_generator import blocks

MIN_ANGLE, MAX_ANGLE = 0.01, 3.131592
MIN_HITS = 5
MIN_SEGMENT_HITS = 3  # of each segment of a kinked track: fewer show no line of their own
_MM_PER_Z = HALF_HEIGHT_MM / TOY_HALF_HEIGHT
_X = np.arange(N_LAYERS) + 0.5


def _draw(n, rng):
    """n lines: angles a and b, foil point (y0, z0). Each (n,)."""
    a, b = rng.uniform(MIN_ANGLE, MAX_ANGLE, (2, n))
    return a, b, rng.uniform(0, N_COLUMNS, n), rng.uniform(-TOY_HALF_HEIGHT, TOY_HALF_HEIGHT, n)


def _columns_hit(a, b, y0, z0):
    """First column hit and number of columns hit in each layer, (line, layer)."""
    sin, cos, tan_b = np.sin(a)[:, None], np.cos(a)[:, None], np.tan(b)[:, None]
    y = y0[:, None] + sin / cos * _X  # of the line at the wires' x
    z = z0[:, None] + tan_b * _X
    reach = 0.5 / (
        np.abs(cos) * np.maximum(np.abs(sin), np.abs(cos))
    )  # |D| below this: closest point inside the square
    # |z + tan(b) sin(a) cos(a) D| < h bounds D too
    slope = tan_b * sin * cos
    ends = (-TOY_HALF_HEIGHT - z) / slope, (TOY_HALF_HEIGHT - z) / slope
    low = np.maximum(-reach, np.minimum(*ends)) + y - 0.5  # column = y + D - 0.5
    high = np.minimum(reach, np.maximum(*ends)) + y - 0.5
    first = np.maximum(np.floor(low) + 1, 0)
    last = np.minimum(np.ceil(high) - 1, N_COLUMNS - 1)
    return first.astype(np.int64), np.maximum(last - first + 1, 0).astype(np.int64)


def _draw_until(n, rng, draw):
    """n tracks, as `draw` gives them; those it rejects are drawn again.

    Args:
        draw: function (n, rng) -> (lines (segment, 4, n), first and count (segment, n, layer), (n,) mask of
            those to keep).
    Returns:
        lines (track, segment, 4); first, count (track, segment, layer).
    """
    parts = []
    missing = n
    while missing or not parts:
        lines, first, count, keep = draw(2 * missing + 16, rng)
        good = np.flatnonzero(keep)[:missing]
        parts.append(
            (
                lines[..., good].transpose(2, 0, 1),
                first[:, good].swapaxes(0, 1),
                count[:, good].swapaxes(0, 1),
            )
        )
        missing -= len(good)
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _straight(n, rng):
    """Tracks of one segment; those with fewer than five hits, one in nine, are rejected.

    Arguments and result as `_draw_until`.
    """
    lines = np.stack(_draw(n, rng))
    first, count = _columns_hit(*lines)
    return lines[None], first[None], count[None], count.sum(1) >= MIN_HITS


def _kinked(n, rng, degrees, layers, n_kinks=1):
    """Tracks with kinks; those with too few hits on a segment are rejected.

    Arguments and result as `_draw_until`.
    """
    lines = [np.stack(_draw(n, rng))]
    kinks = np.sort(rng.integers(layers[0], layers[1] + 1, (n_kinks, n)), axis=0)
    turns = np.radians(rng.uniform(*degrees, (n_kinks, 2, n))) * rng.choice([-1, 1], (n_kinks, 2, n))
    for layer, turn in zip(kinks, turns, strict=True):
        lines.append(_beyond_kink(lines[-1], layer, turn))
    first, count = (np.stack(arrays) for arrays in zip(*(_columns_hit(*line) for line in lines), strict=True))
    ends = np.concatenate([np.zeros((1, n), int), kinks, np.full((1, n), N_LAYERS)])[..., None]
    count *= (np.arange(N_LAYERS) >= ends[:-1]) & (np.arange(N_LAYERS) < ends[1:])
    return np.stack(lines), first, count, (count.sum(2) >= MIN_SEGMENT_HITS).all(0)


def _beyond_kink(lines, layer, turns):
    """The lines that tracks go on along from a kink in front of a layer, at x = layer.

    Args:
        lines: (4, n) a, b, y0, z0. layer: (n,). turns: (2, n) change of a and of b in radians; where the
            track would turn back to the foil it turns the other way.
    Returns:
        (4, n).
    """
    angles = (lines[:2] + np.pi / 2) % np.pi - np.pi / 2  # of the direction away from the foil
    turned = angles + turns
    turned = np.where(np.abs(turned) < np.pi / 2 - MIN_ANGLE, turned, angles - turns)
    return np.concatenate([turned, lines[2:] + (np.tan(lines[:2]) - np.tan(turned)) * layer])


def make_block(n_tracks, rng, kink_probability=0.0, kink_degrees=(5, 25), kink_layers=(3, 6), max_kinks=1):
    """Events with the given numbers of tracks.

    Args:
        n_tracks: (event,) int. rng: random generator.
        kink_probability: share of the tracks that have kinks; each of their segments has at least three hits.
            The other tracks are those of the same rng without kinks.
        kink_degrees: lowest and highest change of angle at a kink, in the top and in the side view, each with
            a sign of its own.
        kink_layers: first and last layer in front of which a kink may lie.
        max_kinks: most kinks of a track; those with kinks have 1 to so many, each number as likely as the
            other.
    Returns:
        Events; foil point and slopes are those of a track's first segment, the calorimeter block is that of
        its last.
    """
    total = int(n_tracks.sum())
    drawn = [_draw_until(total, rng, _straight)]
    n_kinks = np.zeros(total, int)
    if kink_probability:
        kinked = rng.random(total) < kink_probability
        n_kinks[kinked] = rng.integers(1, max_kinks + 1, kinked.sum())
        drawn[0] = [values[n_kinks == 0] for values in drawn[0]]
        for k in range(1, max_kinks + 1):
            draw = partial(_kinked, degrees=kink_degrees, layers=kink_layers, n_kinks=k)
            drawn.append(_draw_until((n_kinks == k).sum(), rng, draw))
    lines, first, count = (_in_their_places(parts, n_kinks) for parts in zip(*drawn, strict=True))
    return _to_events(n_tracks, n_kinks, lines.T, first, count)


def _in_their_places(parts, n_kinks):
    """Segments of all tracks, (segment, ...), from those of the tracks without kinks, with one, and so on:
    (track, segment, ...) each.
    """
    start = np.cumsum(1 + n_kinks) - (1 + n_kinks)  # first segment of each track
    segments = np.empty((len(n_kinks) + n_kinks.sum(), *parts[0].shape[2:]), parts[0].dtype)
    for k, part in enumerate(parts):
        segments[start[n_kinks == k, None] + np.arange(k + 1)] = part
    return segments


def _to_events(n_tracks, n_kinks, lines, first, count):
    """Events from the lines of the segments, (4, segment), and the columns these hit, (segment, layer)."""
    a, b, y0, z0 = lines
    row, step = blocks.expand(count.ravel())
    line, layer = np.divmod(row, N_LAYERS)
    column = first.ravel()[row] + step
    sin, cos, tan_b = np.sin(a), np.cos(a), np.tan(b)
    tan_a = sin / cos
    distance = column + 0.5 - y0[line] - tan_a[line] * _X[layer]  # D
    z = z0[line] + tan_b[line] * (_X[layer] + (sin * cos)[line] * distance)

    n_segments = 1 + n_kinks
    track, segment = blocks.expand(n_segments)
    start = np.cumsum(n_segments) - n_segments  # first segment of each track
    track_offsets = np.concatenate([[0], np.cumsum(n_tracks)])
    hit_offsets = np.concatenate([[0], np.cumsum(count.sum(1))])[np.append(start, len(a))[track_offsets]]
    calo_column, calo_row = (
        of[start + n_kinks] for of in toy_calo_block(y0 + tan_a * N_LAYERS, z0 + tan_b * N_LAYERS)
    )
    hits = {
        "layer": layer,
        "column": column,
        "drift_radius_mm": np.abs(distance * cos[line]) * CELL_MM,
        "z_mm": z * _MM_PER_Z,
        "track": (track - np.repeat(track_offsets[:-1], n_tracks)[track])[line],
        "segment": segment[line],
    }
    tracks = {
        "calo_type": np.zeros(len(n_kinks), int),
        "calo_column": calo_column,
        "calo_row": calo_row,
        "foil_y_mm": ((y0 - N_COLUMNS / 2) * CELL_MM)[start],
        "foil_z_mm": (z0 * _MM_PER_Z)[start],
        "slope_y": tan_a[start],
        "slope_z": (tan_b * _MM_PER_Z / CELL_MM)[start],
        "kinked": n_kinks > 0,
        "n_segments": n_segments,
    }
    info = {"n_tracks": n_tracks, "geometry": np.full(len(n_tracks), TOY)}
    return make_events(hits, hit_offsets, tracks, track_offsets, info, source="straight_lines")


def generate(n_events, tracks=(1, 2, 3, 4), seed=0, first_event=0, **kinks):
    """Straight-track events of one tracker side.

    Args:
        n_events: how many. tracks: numbers of tracks an event may have, drawn uniformly. seed: integer or
            sequence of them.
        first_event: event of the stream to begin with; event i of a seed is always the same event. kinks: as
            in `make_block`.
    Returns:
        Events; all hits on side 1, as the macro leaves the side open.
    """
    return blocks.generate(partial(make_block, **kinks), n_events, tracks, seed, first_event)
