"""The straight-track toy: the same distribution as the original ROOT macro, vectorised.

Lengths are in cells of 44 mm as the macro counts them (x away from the foil, y along it, z up). A track is
y = y0 + tan(a) x, z = z0 + tan(b) x with a, b uniform in (0.01, 3.131592), y0 and z0 uniform over the foil. The wire at
(layer + 0.5, column + 0.5) fires if the point of the line closest to it, in the top view, lies inside the cell's square and
|z| < h there. With D the distance from line to wire along y, that point is (D sin a cos a, -D cos^2 a) from the wire: in every
layer the fired columns are one interval, so nothing loops over 1017 cells.
"""

import numpy as np

from datasets.events import make_events
from datasets.geometry import CELL_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS, TOY_HALF_HEIGHT, toy_calo_block
from my_generator import blocks

MIN_ANGLE, MAX_ANGLE = 0.01, 3.131592
MIN_HITS = 5
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
    reach = 0.5 / (np.abs(cos) * np.maximum(np.abs(sin), np.abs(cos)))  # |D| below this: closest point inside the square
    # |z + tan(b) sin(a) cos(a) D| < h bounds D too
    slope = tan_b * sin * cos
    ends = (-TOY_HALF_HEIGHT - z) / slope, (TOY_HALF_HEIGHT - z) / slope
    low = np.maximum(-reach, np.minimum(*ends)) + y - 0.5  # column = y + D - 0.5
    high = np.minimum(reach, np.maximum(*ends)) + y - 0.5
    first = np.maximum(np.floor(low) + 1, 0)
    last = np.minimum(np.ceil(high) - 1, N_COLUMNS - 1)
    return first.astype(np.int64), np.maximum(last - first + 1, 0).astype(np.int64)


def make_block(n_tracks, rng):
    """Events with the given numbers of tracks, (event,), from a random generator."""
    total = int(n_tracks.sum())
    lines, first, count = [], [], []
    missing = total
    while missing:  # lines with fewer than five hits are drawn again; about a third of all
        drawn = np.stack(_draw(2 * missing + 16, rng))
        columns, counts = _columns_hit(*drawn)
        good = np.flatnonzero(counts.sum(1) >= MIN_HITS)[:missing]
        lines.append(drawn[:, good]), first.append(columns[good]), count.append(counts[good])
        missing -= len(good)
    a, b, y0, z0 = np.concatenate(lines, 1) if lines else np.zeros((4, 0))
    first = np.concatenate(first) if first else np.zeros((0, N_LAYERS), int)
    count = np.concatenate(count) if count else np.zeros((0, N_LAYERS), int)

    row, step = blocks.expand(count.ravel())
    line, layer = np.divmod(row, N_LAYERS)
    column = first.ravel()[row] + step
    sin, cos, tan_b = np.sin(a), np.cos(a), np.tan(b)
    tan_a = sin / cos
    distance = column + 0.5 - y0[line] - tan_a[line] * _X[layer]  # D
    z = z0[line] + tan_b[line] * (_X[layer] + (sin * cos)[line] * distance)

    track_offsets = np.concatenate([[0], np.cumsum(n_tracks)])
    hit_offsets = np.concatenate([[0], np.cumsum(count.sum(1))])[track_offsets]
    calo_column, calo_row = toy_calo_block(y0 + tan_a * N_LAYERS, z0 + tan_b * N_LAYERS)
    hits = {
        "layer": layer,
        "column": column,
        "drift_radius_mm": np.abs(distance * cos[line]) * CELL_MM,
        "z_mm": z * _MM_PER_Z,
        "track": line - np.repeat(track_offsets[:-1], n_tracks)[line],
    }
    tracks = {
        "calo_type": np.zeros(total, int),
        "calo_column": calo_column,
        "calo_row": calo_row,
        "foil_y_mm": (y0 - N_COLUMNS / 2) * CELL_MM,
        "foil_z_mm": z0 * _MM_PER_Z,
        "slope_y": tan_a,
        "slope_z": tan_b * _MM_PER_Z / CELL_MM,
    }
    return make_events(hits, hit_offsets, tracks, track_offsets, {"n_tracks": n_tracks}, source="straight_lines")


def generate(n_events, tracks=(1, 2, 3, 4), seed=0, first_event=0):
    """Straight-track events of one tracker side.

    Args:
        n_events: how many. tracks: numbers of tracks an event may have, drawn uniformly. seed: integer or sequence of them.
        first_event: event of the stream to begin with; event i of a seed is always the same event.
    Returns:
        Events; all hits on side 1, as the macro leaves the side open.
    """
    return blocks.generate(make_block, n_events, tracks, seed, first_event)
