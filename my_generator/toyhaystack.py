"""The SN-IE haystack: straight tracks in the detector's geometry, the same distribution as the original
script, vectorised.

Lengths are in mm. A track is y = y0 + tan(a) |x|, z = z0 + tan(b) |x| on a random side, with a, b uniform in
+-(pi/2 - 0.1), y0 uniform in +-2000, z0 uniform in +-1300. A cell fires if wire and line come within 0.51
pitches of each other in 3D. The wires are parallel to z, so that is the distance in the top view: with D =
y_wire - y_line at the wire's |x| it is |D| cos(a), reached at
|x| + D sin(a) cos(a). In every layer the fired columns are one interval, so nothing loops over the cells.

The original draws all tracks of an event again while one of them hits no calorimeter block. Tracks are
independent, so drawing only that track again gives the same distribution.

Two differences to the original:
- It compares only consecutive tracks (1 and 2, 2 and 3, ...) for shared cells: the first keeps the cell, its
  own z, and the smaller of the two radii, and only then are hits beyond a veto dropped, so a few cells get
  lost. Here the hits beyond a veto go first, the event table merges every shared cell, and the whole hit with
  the smaller radius stays.
- Its blocks are 1 or 2 mm thick, which gives one line in 100 000 another block or none. Here they are faces.
"""

import numpy as np

from datasets.events import make_events, offsets_of, rows_and_places
from datasets.geometry import (
    CELL_MM,
    FIRST_WIRE_MM,
    GAMMA_VETO,
    MAIN_COLUMN_GRID,
    MAIN_ROW_GRID,
    MAIN_WALL,
    MAIN_WALL_X_MM,
    MIDDLE_COLUMN,
    N_COLUMNS,
    N_LAYERS,
    N_VETO_COLUMNS,
    VETO_COLUMN_GRID,
    VETO_X_GRID,
    VETO_Z_MM,
    X_COLUMN_GRID,
    X_ROW_GRID,
    X_WALL,
    X_WALL_Y_MM,
)
from my_generator import blocks

MAX_ANGLE = np.pi / 2 - 0.1
FOIL_Y_MM = 2000.0  # half range of the foil point
FOIL_Z_MM = 1300.0
HIT_RADIUS_MM = 0.51 * CELL_MM  # a little more than the cell, as the original allows
TOLERANCE_MM = 0.01  # the original lets a block reach this much further on every edge
LAYER_X_MM = FIRST_WIRE_MM + CELL_MM * np.arange(N_LAYERS)  # |x| of the wires


def draw_lines(n, rng):
    """Random lines that hit a calorimeter block.

    Args:
        n: how many. rng: random generator.
    Returns:
        name -> (n,) array: `side` 0 or 1, `foil_y_mm`, `foil_z_mm`, `slope_y` and `slope_z` (per |x|).
    """
    drawn = []
    missing = n
    while missing or not drawn:
        # 6 % of the lines pass a gap between blocks or miss the walls, and are drawn again
        n_drawn = int(1.1 * missing) + 16
        angles = rng.uniform(-MAX_ANGLE, MAX_ANGLE, (2, n_drawn))
        slope_y, slope_z = np.tan(angles)
        lines = {
            "foil_y_mm": rng.uniform(-FOIL_Y_MM, FOIL_Y_MM, n_drawn),
            "foil_z_mm": rng.uniform(-FOIL_Z_MM, FOIL_Z_MM, n_drawn),
            "side": rng.integers(0, 2, n_drawn),
            "slope_y": slope_y,
            "slope_z": slope_z,
        }
        hits_block = calo_blocks(lines)["calo_type"] >= 0
        good = np.flatnonzero(hits_block)[:missing]
        drawn.append({name: values[good] for name, values in lines.items()})
        missing -= len(good)
    return {name: np.concatenate([part[name] for part in drawn]) for name in drawn[0]}


def _block(position_mm, row):
    """Index of the block at a position in a row of blocks, (n,) int, -1 in a gap or outside the row."""
    from_edge = position_mm - row.first_edge_mm
    index = np.floor(from_edge / row.pitch_mm)
    within = from_edge - row.pitch_mm * index - row.inset_mm
    on_face = (within >= -TOLERANCE_MM) & (within <= row.width_mm + TOLERANCE_MM)
    in_row = (index >= 0) & (index < row.n_blocks)
    return np.where(in_row & on_face, index, -1).astype(int)


def calo_blocks(lines, nearest=False):
    """The calorimeter block each line hits.

    Args:
        lines: name -> array of any shape, as `draw_lines` gives them; they start between the walls.
        nearest: which of several blocks (1 line in 200 would hit two): the first on its way, or else, as in
            the original, the main wall before the X-wall before the veto.
    Returns:
        As `blocks_met`.
    """
    y0 = lines["foil_y_mm"]
    z0 = lines["foil_z_mm"]
    slope_y = lines["slope_y"]
    slope_z = lines["slope_z"]
    # a line of slope 0 never gets to the wall: infinity is no block
    with np.errstate(divide="ignore", invalid="ignore"):
        to_main_wall = np.full(
            y0.shape, MAIN_WALL_X_MM
        )  # |x| where the line meets the plane of a wall
        to_x_wall = (X_WALL_Y_MM - np.sign(slope_y) * y0) / np.abs(slope_y)
        to_veto = (VETO_Z_MM - np.sign(slope_z) * z0) / np.abs(slope_z)
        main_wall = (y0 + slope_y * MAIN_WALL_X_MM, z0 + slope_z * MAIN_WALL_X_MM)
        x_wall = (to_x_wall, z0 + slope_z * to_x_wall, slope_y > 0)
        veto = (to_veto, y0 + slope_y * to_veto, slope_z > 0)
        order = np.stack([to_main_wall, to_x_wall, to_veto]) if nearest else None
        return blocks_met(lines["side"], main_wall, x_wall, veto, order)


def blocks_met(side, main_wall, x_wall, veto, order=None):
    """The calorimeter block of each track, from the points where it meets the planes of the walls.

    Lengths are in mm, NaN or infinite where a track never gets there.

    Args:
        side: tracker half of each track, an array of any shape, as all others.
        main_wall: (y, z) at |x| = 435 mm.
        x_wall: (|x|, z, whether y > 0) at |y| = 2505.5 mm.
        veto: (|x|, y, whether z > 0) at |z| = 1550 mm.
        order: (3, ...) of main wall, X-wall, veto: of several blocks the lowest is taken; without it, the
            first of these three.
    Returns:
        calo_type, calo_side, calo_wall, calo_column, calo_row: name -> int array, all -1 where the track
        meets no block. The main wall has wall -1; wall 0 of the others is at negative y or z, wall 1 at
        positive; a veto has no row, -1.
    """
    main_y, main_z = main_wall
    main_column = _block(main_y, MAIN_COLUMN_GRID)
    main_row = _block(main_z, MAIN_ROW_GRID)
    hits_main_wall = (main_column >= 0) & (main_row >= 0)

    x_wall_x, x_wall_z, is_left = x_wall
    x_column = _block(x_wall_x, X_COLUMN_GRID)
    x_row = _block(x_wall_z, X_ROW_GRID)
    hits_x_wall = (x_column >= 0) & (x_row >= 0)

    veto_x, veto_y, is_top = veto
    from_middle = _block(np.abs(veto_y), VETO_COLUMN_GRID)
    hits_veto = (from_middle >= 0) & (_block(veto_x, VETO_X_GRID) >= 0)
    from_first = np.where(veto_y > 0, from_middle, -1 - from_middle)
    veto_column = N_VETO_COLUMNS // 2 + from_first

    hit = np.stack([hits_main_wall, hits_x_wall, hits_veto])
    if order is not None:
        lowest = np.where(hit, order, np.inf).min(0)
        hit &= order == lowest
    hit = list(hit)
    return {
        "calo_type": np.select(hit, [MAIN_WALL, X_WALL, GAMMA_VETO], -1),
        "calo_side": np.select(hit, [side] * 3, -1),
        "calo_wall": np.select(hit, [-1, is_left, is_top], -1),
        "calo_column": np.select(hit, [main_column, x_column, veto_column], -1),
        "calo_row": np.select(hit, [main_row, x_row, -1], -1),
    }


def cells_near(lines):
    """All cells within 0.51 pitches of infinite lines.

    Args:
        lines: name -> (n,) array, as `draw_lines` gives them.
    Returns:
        line: (hit,) int, the line of each hit, rising.
        x: (hit,) |x| of the line's point closest to the wire, mm.
        hits: side, layer, column, drift_radius_mm, z_mm: name -> (hit,) array.
    """
    tan_a = lines["slope_y"][:, None]
    tan_b = lines["slope_z"][:, None]
    cos = 1 / np.sqrt(1 + tan_a**2)
    y_mm = lines["foil_y_mm"][:, None] + tan_a * LAYER_X_MM  # of the line at the wires' |x|
    z_mm = lines["foil_z_mm"][:, None] + tan_b * LAYER_X_MM
    column_mm = y_mm / CELL_MM + MIDDLE_COLUMN
    reach = HIT_RADIUS_MM / CELL_MM / cos
    first = np.maximum(np.ceil(column_mm - reach), 0).astype(np.int64)
    last = np.minimum(np.floor(column_mm + reach), N_COLUMNS - 1).astype(np.int64)
    n_columns = np.maximum(last - first + 1, 0)

    crossing, step = rows_and_places(n_columns.ravel())  # a crossing is a line in a layer
    line, layer = np.divmod(crossing, N_LAYERS)
    column = first.ravel()[crossing] + step
    distance = (column - column_mm.ravel()[crossing]) * CELL_MM  # D
    away = (tan_a * cos**2).ravel()  # way in |x| to the closest point, by D
    up = (tan_b * tan_a * cos**2).ravel()
    hits = {
        "side": lines["side"][line],
        "layer": layer,
        "column": column,
        "drift_radius_mm": np.abs(distance) * cos.ravel()[line],
        "z_mm": z_mm.ravel()[crossing] + up[line] * distance,
    }
    return line, LAYER_X_MM[layer] + away[line] * distance, hits


def find_hits(lines, calo_type):
    """All cells each line fires, cells shared by several lines not merged.

    Args:
        lines: name -> (n,) array, as `draw_lines` gives them. calo_type: (n,) int, of the block each line
            hits.
    Returns:
        side, layer, column, drift_radius_mm, z_mm: name -> (hit,) array, line after line; and the number of
            hits of each line, (n,).
    """
    line, _, hits = cells_near(lines)
    # Hits beyond the veto a line ends in are dropped. An X-wall needs nothing: its distance is more than that
    # of any wire. Lines that end in another wall keep hits beyond |z| = 1550 mm, as in the original.
    ends_in_veto = (calo_type == GAMMA_VETO)[line]
    beyond = ends_in_veto & (np.abs(hits["z_mm"]) > VETO_Z_MM)
    keep = np.flatnonzero(~beyond)
    kept = {name: values[keep] for name, values in hits.items()}
    return kept, np.bincount(line[keep], minlength=len(calo_type))


def events_of_lines(lines, n_tracks):
    """Events of given lines.

    Args:
        lines: name -> (track,) array, as `draw_lines` gives them. n_tracks: (event,) int, how many lines each
            event takes.
    Returns:
        Events.
    """
    calo = calo_blocks(lines)
    hits, n_hits = find_hits(lines, calo["calo_type"])
    return events_of_hits(hits, n_hits, {**lines, **calo}, n_tracks)


def events_of_hits(hits, n_hits, tracks, n_tracks):
    """Events of the hits of tracks.

    Args:
        hits: name -> (hit,) array, track after track. n_hits: (track,) int, how many hits each track takes.
        tracks: name -> (track,) array. n_tracks: (event,) int, how many tracks each event takes.
    Returns:
        Events.
    """
    track_offsets = offsets_of(n_tracks)
    hit_offsets = offsets_of(n_hits)[track_offsets]
    _, track = rows_and_places(n_tracks)
    hits = {**hits, "track": np.repeat(track, n_hits)}
    info = {"n_tracks": n_tracks}
    return make_events(hits, hit_offsets, tracks, track_offsets, info, source="my_generator")


def make_block(n_tracks, rng):
    """Events with the given numbers of tracks, (event,), from a random generator."""
    return events_of_lines(draw_lines(int(n_tracks.sum()), rng), n_tracks)


def generate(n_events, tracks=(1, 2, 3, 4), seed=0, first_event=0):
    """Haystack events on both tracker sides.

    Args:
        n_events: how many. tracks: numbers of tracks an event may have, drawn uniformly. seed: integer or
            sequence of them.
        first_event: event of the stream to begin with; event i of a seed is always the same event.
    Returns:
        Events; each track has a calorimeter block, a track that soon ends in the veto may have no hit.
    """
    return blocks.generate(make_block, n_events, tracks, seed, first_event)
