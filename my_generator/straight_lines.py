"""The straight-track toy: the same distribution as the original ROOT macro, vectorised; on request some
tracks have kinks.

Lengths are in cells of 44 mm as the macro counts them (x away from the foil, y along it, z up). A track is
y = y0 + tan(a) x, z = z0 + tan(b) x with a, b uniform in (0.01, 3.131592), y0 and z0 uniform over the foil.
The wire at (layer + 0.5, column + 0.5) fires if the point of the line closest to it, in the top view, lies
inside the cell's square and |z| < h there. With D the distance from line to wire along y, that point is
(D sin a cos a, -D cos^2 a) from the wire: in every layer the fired columns are one interval, so nothing loops
over 1017 cells.

A kink lies between two layers. There the angles a and b of the track change, each by a random size and sign,
and the track goes on along another line: a segment. A closest point lies in the square of its cell, so each
layer belongs to the segment that crosses it, and the hits of a kinked track are those of the broken line
itself.
"""

from functools import partial

import numpy as np

from datasets.events import make_events, rows_and_places
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

MIN_ANGLE = 0.01
MAX_ANGLE = 3.131592
MIN_HITS = 5
MIN_SEGMENT_HITS = 3  # of each segment of a kinked track: fewer show no line of their own
_MM_PER_Z = HALF_HEIGHT_MM / TOY_HALF_HEIGHT
_X = np.arange(N_LAYERS) + 0.5


def _draw(n, rng):
    """n lines: angles a and b, foil point (y0, z0). Each (n,)."""
    a, b = rng.uniform(MIN_ANGLE, MAX_ANGLE, (2, n))
    y0 = rng.uniform(0, N_COLUMNS, n)
    z0 = rng.uniform(-TOY_HALF_HEIGHT, TOY_HALF_HEIGHT, n)
    return a, b, y0, z0


def _columns_hit(a, b, y0, z0):
    """First column hit and number of columns hit in each layer, (line, layer)."""
    sin = np.sin(a)[:, None]
    cos = np.cos(a)[:, None]
    tan_a = sin / cos
    tan_b = np.tan(b)[:, None]
    y = y0[:, None] + tan_a * _X  # of the line at the wires' x
    z = z0[:, None] + tan_b * _X

    # The closest point is inside the square where |D| is below the reach.
    larger = np.maximum(np.abs(sin), np.abs(cos))
    reach = 0.5 / (np.abs(cos) * larger)
    # |z + tan(b) sin(a) cos(a) D| < h bounds D too.
    slope = tan_b * sin * cos
    at_bottom = (-TOY_HALF_HEIGHT - z) / slope
    at_top = (TOY_HALF_HEIGHT - z) / slope
    lower = np.minimum(at_bottom, at_top)
    upper = np.maximum(at_bottom, at_top)

    # column = D + y - 0.5
    low = np.maximum(-reach, lower) + y - 0.5
    high = np.minimum(reach, upper) + y - 0.5
    first = np.maximum(np.floor(low) + 1, 0)
    last = np.minimum(np.ceil(high) - 1, N_COLUMNS - 1)
    count = np.maximum(last - first + 1, 0)
    return first.astype(np.int64), count.astype(np.int64)


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
        n_drawn = 2 * missing + 16
        lines, first, count, keep = draw(n_drawn, rng)
        good = np.flatnonzero(keep)[:missing]
        lines = lines[..., good].transpose(2, 0, 1)
        first = first[:, good].swapaxes(0, 1)
        count = count[:, good].swapaxes(0, 1)
        parts.append((lines, first, count))
        missing -= len(good)
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _straight(n, rng):
    """Tracks of one segment; those with fewer than five hits, one in nine, are rejected.

    Arguments and result as those of `draw` in `_draw_until`.
    """
    lines = np.stack(_draw(n, rng))
    first, count = _columns_hit(*lines)
    keep = count.sum(1) >= MIN_HITS
    return lines[None], first[None], count[None], keep


def _kinked(n, rng, degrees, layers, n_kinks=1):
    """Tracks with kinks; those with too few hits on a segment are rejected.

    Arguments and result as those of `draw` in `_draw_until`.
    """
    line = np.stack(_draw(n, rng))
    first_layer, last_layer = layers
    kinks = rng.integers(first_layer, last_layer + 1, (n_kinks, n))
    kinks = np.sort(kinks, axis=0)
    sizes = rng.uniform(*degrees, (n_kinks, 2, n))
    signs = rng.choice([-1, 1], (n_kinks, 2, n))
    turns = np.radians(sizes) * signs
    lines = [line]
    for kink, turn in zip(kinks, turns, strict=True):
        line = _beyond_kink(line, kink, turn)
        lines.append(line)

    columns = [_columns_hit(*line) for line in lines]
    firsts, counts = zip(*columns, strict=True)
    count = np.stack(counts) * _is_crossed(kinks)
    enough = count.sum(2) >= MIN_SEGMENT_HITS
    keep = enough.all(0)
    return np.stack(lines), np.stack(firsts), count, keep


def _is_crossed(kinks):
    """(segment, n, layer) bool, whether a segment crosses a layer.

    Args:
        kinks: (kink, n) int, the layers in front of which n tracks have kinks, rising.
    """
    foil = np.zeros_like(kinks[:1])
    end = np.full_like(kinks[:1], N_LAYERS)
    first = np.concatenate([foil, kinks])[..., None]
    stop = np.concatenate([kinks, end])[..., None]
    layer = np.arange(N_LAYERS)
    return (layer >= first) & (layer < stop)


def _beyond_kink(lines, layer, turns):
    """The lines that tracks go on along from a kink in front of a layer, at x = layer.

    Args:
        lines: (4, n) a, b, y0, z0. layer: (n,). turns: (2, n) change of a and of b in radians; where the
            track would turn back to the foil it turns the other way.
    Returns:
        (4, n).
    """
    angles = lines[:2]
    foil_point = lines[2:]
    away = (angles + np.pi / 2) % np.pi - np.pi / 2  # angles of the direction away from the foil
    turned = away + turns
    is_away = np.abs(turned) < np.pi / 2 - MIN_ANGLE
    turned = np.where(is_away, turned, away - turns)
    shift = (np.tan(angles) - np.tan(turned)) * layer
    return np.concatenate([turned, foil_point + shift])


def make_block(
    n_tracks, rng, kink_probability=0.0, kink_degrees=(5, 25), kink_layers=(3, 6), max_kinks=1
):
    """Events with the given numbers of tracks.

    Args:
        n_tracks: (event,) int. rng: random generator.
        kink_probability: share of the tracks that have kinks; each of their segments has at least three hits.
            The other tracks are those of the same rng without kinks.
        kink_degrees: lowest and highest change of angle at a kink, in the top and in the side view, each with
            a sign of its own.
        kink_layers: first and last layer in front of which a kink may lie.
        max_kinks: most kinks of a track. A track with kinks has 1 to `max_kinks` of them, each number as
            likely as the other.
    Returns:
        Events; foil point and slopes are those of a track's first segment, the calorimeter block is that of
        its last.
    """
    total = int(n_tracks.sum())
    n_kinks = np.zeros(total, int)
    drawn = [_draw_until(total, rng, _straight)]  # by number of kinks
    if kink_probability:
        kinked = rng.random(total) < kink_probability
        n_kinks[kinked] = rng.integers(1, max_kinks + 1, kinked.sum())
        drawn[0] = [values[n_kinks == 0] for values in drawn[0]]
        for k in range(1, max_kinks + 1):
            draw = partial(_kinked, degrees=kink_degrees, layers=kink_layers, n_kinks=k)
            n_drawn = (n_kinks == k).sum()
            drawn.append(_draw_until(n_drawn, rng, draw))
    arrays = [_in_their_places(parts, n_kinks) for parts in zip(*drawn, strict=True)]
    lines, first, count = arrays
    return _to_events(n_tracks, n_kinks, lines.T, first, count)


def _in_their_places(parts, n_kinks):
    """Segments of all tracks, in the order of the tracks.

    Args:
        parts: (track, segment, ...) of the tracks without kinks, of those with one, and so on.
        n_kinks: (track,) of all tracks.
    Returns:
        (segment, ...).
    """
    offsets = _offsets(1 + n_kinks)
    start = offsets[:-1]  # first segment of each track
    of_a_segment = parts[0].shape[2:]
    segments = np.empty((offsets[-1], *of_a_segment), parts[0].dtype)
    for k, part in enumerate(parts):
        first = start[n_kinks == k]
        place = first[:, None] + np.arange(k + 1)
        segments[place] = part
    return segments


def _offsets(counts):
    """(n + 1,) where the entries of each of n begin, and the end."""
    return np.concatenate([[0], np.cumsum(counts)])


def _to_events(n_tracks, n_kinks, lines, first, count):
    """Events from the lines of the segments, (4, segment), and the columns these hit, (segment, layer)."""
    n_segments = 1 + n_kinks
    track_offsets = _offsets(n_tracks)  # of each event
    line_offsets = _offsets(n_segments)  # of each track
    first_hit = _offsets(count.sum(1))  # of each line
    first_line = line_offsets[track_offsets]  # of each event
    hit_offsets = first_hit[first_line]

    line, hits = _hits_on(lines, first, count)
    track, segment = rows_and_places(n_segments)  # of each line
    first_track = np.repeat(track_offsets[:-1], n_tracks)  # of each track's event
    track -= first_track[track]
    hits["track"] = track[line]
    hits["segment"] = segment[line]

    start = line_offsets[:-1]  # first line of each track
    last = start + n_kinks
    a, b, y0, z0 = lines
    tan_a = np.sin(a) / np.cos(a)
    tan_b = np.tan(b)
    end_y = y0 + tan_a * N_LAYERS
    end_z = z0 + tan_b * N_LAYERS
    calo_column, calo_row = toy_calo_block(end_y, end_z)
    foil_y_mm = (y0 - N_COLUMNS / 2) * CELL_MM
    foil_z_mm = z0 * _MM_PER_Z
    slope_z = tan_b * _MM_PER_Z / CELL_MM
    tracks = {
        "calo_type": np.zeros(len(n_kinks), int),
        "calo_column": calo_column[last],
        "calo_row": calo_row[last],
        "foil_y_mm": foil_y_mm[start],
        "foil_z_mm": foil_z_mm[start],
        "slope_y": tan_a[start],
        "slope_z": slope_z[start],
        "kinked": n_kinks > 0,
        "n_segments": n_segments,
    }
    info = {"n_tracks": n_tracks, "geometry": np.full(len(n_tracks), TOY)}
    return make_events(hits, hit_offsets, tracks, track_offsets, info, source="straight_lines")


def _hits_on(lines, first, count):
    """Hits of lines, (4, line), in the columns these hit, (line, layer).

    Returns:
        line: (hit,) int, the line of each hit, rising; name -> (hit,) array.
    """
    a, b, y0, z0 = lines
    row, step = rows_and_places(count.ravel())
    line, layer = np.divmod(row, N_LAYERS)
    column = first.ravel()[row] + step

    sin = np.sin(a)
    cos = np.cos(a)
    tan_a = sin / cos
    tan_b = np.tan(b)
    x = _X[layer]
    wire_y = column + 0.5
    distance = wire_y - y0[line] - tan_a[line] * x  # D
    closest_x = x + (sin * cos)[line] * distance
    z = z0[line] + tan_b[line] * closest_x
    hits = {
        "layer": layer,
        "column": column,
        "drift_radius_mm": np.abs(distance * cos[line]) * CELL_MM,
        "z_mm": z * _MM_PER_Z,
    }
    return line, hits


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
    make = partial(make_block, **kinks)
    return blocks.generate(make, n_events, tracks, seed, first_event)
