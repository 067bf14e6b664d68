"""The SN-IE haystack: straight tracks in the detector's geometry, the same distribution as the original script, vectorised.

Lengths are in mm. A track is y = y0 + tan(a) |x|, z = z0 + tan(b) |x| on a random side, with a, b uniform in +-(pi/2 - 0.1), y0
uniform in +-2000, z0 uniform in +-1300. A cell fires if wire and line come within 0.51 pitches of each other in 3D. The wires are
parallel to z, so that is the distance in the top view: with D = y_wire - y_line at the wire's |x| it is |D| cos(a), reached at
|x| + D sin(a) cos(a). In every layer the fired columns are one interval, so nothing loops over the cells.

The original draws all tracks of an event again while one of them hits no calorimeter block. Tracks are independent, so drawing
only that track again gives the same distribution.

Two differences to the original:
- It compares only consecutive tracks (1 and 2, 2 and 3, ...) for shared cells: the first keeps the cell, its own z, and the smaller
  of the two radii, and only then are hits beyond a veto dropped, so a few cells get lost. Here the hits beyond a veto go first, the
  event table merges every shared cell, and the whole hit with the smaller radius stays.
- Its blocks are 1 or 2 mm thick, which gives one line in 100 000 another block or none. Here they are faces.
"""

import numpy as np

from datasets.events import make_events
from datasets.geometry import (
    CELL_MM,
    FIRST_WIRE_MM,
    GAMMA_VETO,
    MAIN_WALL,
    MAIN_WALL_X_MM,
    MIDDLE_COLUMN,
    N_COLUMNS,
    N_LAYERS,
    N_MAIN_COLUMNS,
    N_MAIN_ROWS,
    N_VETO_COLUMNS,
    N_X_COLUMNS,
    N_X_ROWS,
    VETO_Z_MM,
    X_WALL,
    X_WALL_Y_MM,
)
from my_generator import blocks

MAX_ANGLE = np.pi / 2 - 0.1
FOIL_Y_MM, FOIL_Z_MM = 2000.0, 1300.0  # half ranges of the foil point
HIT_RADIUS_MM = 0.51 * CELL_MM  # a little more than the cell, as the original allows

# Rows of blocks: (first edge, pitch, inset of a block's face from there, width of the face, number of blocks), mm
MAIN_COLUMN_GRID = (-2590.0, 259.0, 1.5, 256.0, N_MAIN_COLUMNS)
MAIN_ROW_GRID = (-1683.5, 259.0, 1.5, 256.0, N_MAIN_ROWS)
X_COLUMN_GRID = (29.0, 203.0, 1.0, 200.0, N_X_COLUMNS)  # along |x|
X_ROW_GRID = (-1696.0, 212.0, 1.75, 208.5, N_X_ROWS)
VETO_COLUMN_GRID = (5.25, 311.5, 1.75, 308.0, N_VETO_COLUMNS // 2)  # along |y|, the two halves mirror each other
VETO_X_GRID = (4.9, 292.0, 1.0, 290.0, 1)  # along |x|
TOLERANCE_MM = 0.01  # the original lets a block reach this much further on every edge

_X = FIRST_WIRE_MM + CELL_MM * np.arange(N_LAYERS)  # |x| of the wires


def draw_lines(n, rng):
    """Random lines that hit a calorimeter block.

    Args:
        n: how many. rng: random generator.
    Returns:
        name -> (n,) array: `side` 0 or 1, `foil_y_mm`, `foil_z_mm`, `slope_y` and `slope_z` (per |x|).
    """
    drawn, missing = [], n
    while missing or not drawn:  # 6 % of the lines pass a gap between blocks or miss the walls, and are drawn again
        m = int(1.1 * missing) + 16
        slopes = np.tan(rng.uniform(-MAX_ANGLE, MAX_ANGLE, (2, m)))
        y, z = rng.uniform(-FOIL_Y_MM, FOIL_Y_MM, m), rng.uniform(-FOIL_Z_MM, FOIL_Z_MM, m)
        lines = {"side": rng.integers(0, 2, m), "foil_y_mm": y, "foil_z_mm": z, "slope_y": slopes[0], "slope_z": slopes[1]}
        hit = np.flatnonzero(calo_blocks(lines)["calo_type"] >= 0)[:missing]
        drawn.append({name: values[hit] for name, values in lines.items()})
        missing -= len(hit)
    return {name: np.concatenate([part[name] for part in drawn]) for name in drawn[0]}


def _block(position, grid):
    """Index of the block at a position, (n,) int, -1 in a gap or outside the row of blocks."""
    start, pitch, inset, width, n = grid
    index = np.floor((position - start) / pitch)
    within = position - start - pitch * index - inset
    inside = (index >= 0) & (index < n) & (within >= -TOLERANCE_MM) & (within <= width + TOLERANCE_MM)
    return np.where(inside, index, -1).astype(int)


def calo_blocks(lines):
    """The calorimeter block each line hits; of several the main wall comes first, then the X-wall, as in the original.

    Args:
        lines: name -> (n,) array, as `draw_lines` gives them; the foil point lies between the walls.
    Returns:
        calo_type, calo_side, calo_wall, calo_column, calo_row: name -> (n,) int, all -1 where the line hits no block. The main
        wall has wall -1; wall 0 of the others is at negative y or z, wall 1 at positive; a veto has no row, -1.
    """
    y0, z0, slope_y, slope_z = (lines[name] for name in ("foil_y_mm", "foil_z_mm", "slope_y", "slope_z"))
    with np.errstate(divide="ignore", invalid="ignore"):  # a slope of 0 never gets to the wall: infinity is no block
        to_x_wall = (X_WALL_Y_MM - np.sign(slope_y) * y0) / np.abs(slope_y)  # |x| where y is +-2505.5
        to_veto = (VETO_Z_MM - np.sign(slope_z) * z0) / np.abs(slope_z)  # |x| where z is +-1550
        x_row = _block(z0 + slope_z * to_x_wall, X_ROW_GRID)
        veto_y = y0 + slope_y * to_veto
        veto = _block(np.abs(veto_y), VETO_COLUMN_GRID)
        x_column, veto_x = _block(to_x_wall, X_COLUMN_GRID), _block(to_veto, VETO_X_GRID)
    veto_column = N_VETO_COLUMNS // 2 + np.where(veto_y > 0, veto, -1 - veto)
    main_column = _block(y0 + slope_y * MAIN_WALL_X_MM, MAIN_COLUMN_GRID)
    main_row = _block(z0 + slope_z * MAIN_WALL_X_MM, MAIN_ROW_GRID)
    hit = [(main_column >= 0) & (main_row >= 0), (x_column >= 0) & (x_row >= 0), (veto >= 0) & (veto_x >= 0)]
    return {
        "calo_type": np.select(hit, [MAIN_WALL, X_WALL, GAMMA_VETO], -1),
        "calo_side": np.select(hit, [lines["side"]] * 3, -1),
        "calo_wall": np.select(hit, [-1, slope_y > 0, slope_z > 0], -1),
        "calo_column": np.select(hit, [main_column, x_column, veto_column], -1),
        "calo_row": np.select(hit, [main_row, x_row, -1], -1),
    }


def find_hits(lines, calo_type):
    """All cells each line fires, cells shared by several lines not merged.

    Args:
        lines: name -> (n,) array, as `draw_lines` gives them. calo_type: (n,) int, of the block each line hits.
    Returns:
        side, layer, column, drift_radius_mm, z_mm: name -> (hit,) array, line after line; and the number of hits of each line, (n,).
    """
    y0, z0, tan_a, tan_b = (lines[name] for name in ("foil_y_mm", "foil_z_mm", "slope_y", "slope_z"))
    cos = 1 / np.sqrt(1 + tan_a**2)
    y = (y0[:, None] + tan_a[:, None] * _X) / CELL_MM + MIDDLE_COLUMN  # of the line at the wires' |x|, in columns
    reach = (HIT_RADIUS_MM / CELL_MM / cos)[:, None]
    first = np.maximum(np.ceil(y - reach), 0).astype(np.int64)
    last = np.minimum(np.floor(y + reach), N_COLUMNS - 1).astype(np.int64)

    row, step = blocks.expand(np.maximum(last - first + 1, 0).ravel())
    line, layer = np.divmod(row, N_LAYERS)
    column = first.ravel()[row] + step
    distance = (column - y.ravel()[row]) * CELL_MM  # D
    z = (z0[:, None] + tan_b[:, None] * _X).ravel()[row] + (tan_b * tan_a * cos**2)[line] * distance
    hits = {"side": lines["side"][line], "layer": layer, "column": column, "drift_radius_mm": np.abs(distance) * cos[line], "z_mm": z}

    # Hits beyond the veto a line ends in are dropped. An X-wall needs nothing: its distance is more than that of any wire. Lines
    # that end in another wall keep hits beyond |z| = 1550 mm, as in the original.
    beyond = (np.abs(z) > VETO_Z_MM) & (calo_type == GAMMA_VETO)[line]
    keep = np.flatnonzero(~beyond)
    return {name: values[keep] for name, values in hits.items()}, np.bincount(line[keep], minlength=len(y0))


def events_of_lines(lines, n_tracks):
    """Events of given lines.

    Args:
        lines: name -> (track,) array, as `draw_lines` gives them. n_tracks: (event,) int, how many lines each event takes.
    Returns:
        Events.
    """
    calo = calo_blocks(lines)
    hits, n_hits = find_hits(lines, calo["calo_type"])
    track_offsets = np.concatenate([[0], np.cumsum(n_tracks)])
    hit_offsets = np.concatenate([[0], np.cumsum(n_hits)])[track_offsets]
    _, track = blocks.expand(n_tracks)
    hits["track"] = np.repeat(track, n_hits)
    return make_events(hits, hit_offsets, {**lines, **calo}, track_offsets, {"n_tracks": n_tracks}, source="toyhaystack")


def make_block(n_tracks, rng):
    """Events with the given numbers of tracks, (event,), from a random generator."""
    return events_of_lines(draw_lines(int(n_tracks.sum()), rng), n_tracks)


def generate(n_events, tracks=(1, 2, 3, 4), seed=0, first_event=0):
    """Haystack events on both tracker sides.

    Args:
        n_events: how many. tracks: numbers of tracks an event may have, drawn uniformly. seed: integer or sequence of them.
        first_event: event of the stream to begin with; event i of a seed is always the same event.
    Returns:
        Events; each track has a calorimeter block, a track that soon ends in the veto may have no hit.
    """
    return blocks.generate(make_block, n_events, tracks, seed, first_event)
