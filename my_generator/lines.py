"""Events of straight pieces: one line, two lines from one foil point, a line with a kink, a line that bounces
off the wall.

Foil points and angles are those of the haystack (`toyhaystack`), in mm and by |x|. A line ends in the first
calorimeter block on its way, and is drawn again if there is none. SN-IE's own scripts mostly start at
y = z = 0 and, but for the single line, stay at that z.

A kind is a function (n, rng) -> Events. It draws n events and leaves out those that are not as it wants them.
"""

import numpy as np

from datasets.geometry import (
    CELL_MM,
    GAMMA_VETO,
    MAIN_WALL,
    MAIN_WALL_X_MM,
    MIDDLE_COLUMN,
    N_COLUMNS,
    N_LAYERS,
    VETO_Z_MM,
    X_WALL_Y_MM,
)
from my_generator import toyhaystack
from my_generator.toyhaystack import FOIL_Y_MM, FOIL_Z_MM, HIT_RADIUS_MM, LAYER_X_MM, MAX_ANGLE

MIN_SLOPE_DIFFERENCE = 0.2  # of the two lines of a V in the top view, as in SN-IE
MIN_BOUNCE_DIFFERENCE = 0.5  # of the slopes before and after a bounce in the top view, as in SN-IE
# Standard deviation of each of the two projected angles; SN-IE has the one in the top view.
SCATTER_DEGREES = 3.0
# Range of |x| of a kink: anywhere in layers 1 to 7.
SCATTER_X_MM = (
    LAYER_X_MM[1] - CELL_MM / 2,
    LAYER_X_MM[7] + CELL_MM / 2,
)
BOUNCE_BACK_X_MM = LAYER_X_MM[6]  # a bounced line gets back at least to this wire


def foil_lines(side, rng):
    """Random lines that share a foil point in each event.

    Args:
        side: (event, track) int, tracker half of each line. rng: random generator.
    Returns:
        name -> (event, track) array: `side`, `foil_y_mm`, `foil_z_mm`, `slope_y`, `slope_z`.
    """
    angles = rng.uniform(-MAX_ANGLE, MAX_ANGLE, (2, *side.shape))
    slope_y, slope_z = np.tan(angles)
    foil_y_mm = rng.uniform(-FOIL_Y_MM, FOIL_Y_MM, (len(side), 1))
    foil_z_mm = rng.uniform(-FOIL_Z_MM, FOIL_Z_MM, (len(side), 1))
    return {
        "side": side,
        "foil_y_mm": np.broadcast_to(foil_y_mm, side.shape),
        "foil_z_mm": np.broadcast_to(foil_z_mm, side.shape),
        "slope_y": slope_y,
        "slope_z": slope_z,
    }


def chosen(which, tracks):
    """name -> (track,) array: the tracks of the chosen events of name -> (event, track) or (event,)."""
    return {name: values[which].ravel() for name, values in tracks.items()}


def straight(lines, good=True):
    """Events of lines: of those that are good, and whose lines all hit a block.

    Args:
        lines: name -> (event, track) array. good: (event,) bool.
    """
    calo = toyhaystack.calo_blocks(lines, nearest=True)
    hits_block = calo["calo_type"] >= 0
    good = good & hits_block.all(1)
    tracks = chosen(good, {**lines, **calo})
    hits, n_hits = toyhaystack.find_hits(tracks, tracks["calo_type"])
    n_tracks = np.full(good.sum(), hits_block.shape[1])
    return toyhaystack.events_of_hits(hits, n_hits, tracks, n_tracks)


def random_side(n, rng):
    """(n, 1) int, 0 or 1: the tracker half of one line an event."""
    return rng.integers(0, 2, (n, 1))


def single_foil_lines(n, rng):
    """Random lines on random sides, name -> (n,) array."""
    lines = foil_lines(random_side(n, rng), rng)
    return chosen(slice(None), lines)


def single_line(n, rng):
    """A line on a random side."""
    lines = foil_lines(random_side(n, rng), rng)
    return straight(lines)


def v_vertex(n, rng):
    """Two lines from one foil point on one side."""
    side = np.repeat(random_side(n, rng), 2, axis=1)
    lines = foil_lines(side, rng)
    difference = np.diff(lines["slope_y"])[:, 0]
    good = np.abs(difference) >= MIN_SLOPE_DIFFERENCE
    return straight(lines, good)


def double_left_right(n, rng):
    """Two lines from one foil point, the first on side 0, the second on side 1."""
    side = np.tile([0, 1], (n, 1))
    return straight(foil_lines(side, rng))


def scatter(n, rng, degrees=SCATTER_DEGREES):
    """A line that once changes its direction a little, at a random |x| in the tracker.

    This is what multiple scattering in the gas does.
    """
    first = single_foil_lines(n, rng)
    x = rng.uniform(*SCATTER_X_MM, n)
    angles = np.radians(degrees) * rng.standard_normal((2, n, 1))
    tilt_1, tilt_2 = np.tan(angles)
    direction = directions(first)
    across_1, across_2 = perpendiculars(direction)
    direction = direction + (tilt_1 * across_1 + tilt_2 * across_2)

    dx, dy, dz = direction.T
    forward = dx > 0
    dx = np.where(forward, dx, 1)  # the others are left out
    second = line_through(first, x, dy / dx, dz / dx)
    calo = toyhaystack.calo_blocks(second, nearest=True)
    hits_block = calo["calo_type"] >= 0
    good = forward & is_inside(first, x) & hits_block
    first = chosen(good, first)
    second = chosen(good, second)
    return kinked_events(first, second, x[good])


def bounce(n, rng):
    """A line to the main wall that comes back from there, until the foil, an X-wall or a veto.

    It is one track, and its block is the one of the bounce. The direction of the way back is random, since
    electrons leave a scintillator diffusely: both angles are drawn like those at the foil. It differs so much
    from that of the way there that two lines are seen.
    """
    first = single_foil_lines(n, rng)
    x = np.full(n, MAIN_WALL_X_MM)
    angles = rng.uniform(-MAX_ANGLE, MAX_ANGLE, (2, n))
    slope_y, slope_z = np.tan(angles)
    second = line_through(first, x, slope_y, slope_z)

    calo = toyhaystack.calo_blocks(first, nearest=True)
    hits_main_wall = calo["calo_type"] == MAIN_WALL
    comes_back = is_inside(second, BOUNCE_BACK_X_MM)
    difference = np.abs(slope_y - first["slope_y"])
    two_are_seen = difference >= MIN_BOUNCE_DIFFERENCE
    good = hits_main_wall & is_inside(first, x) & comes_back & two_are_seen
    first = chosen(good, first)
    second = chosen(good, second)
    return kinked_events(first, second, x[good], back=True)


def directions(lines):
    """(n, 3) unit vectors (|x|, y, z) of lines."""
    ones = np.ones(len(lines["side"]))
    vectors = np.stack([ones, lines["slope_y"], lines["slope_z"]], -1)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / length


def perpendiculars(directions):
    """Two (n, 3) unit vectors across unit vectors and each other, the first in the top view."""
    x, y, _ = directions.T
    first = np.stack([-y, x, 0 * x], -1)
    first = first / np.hypot(x, y)[:, None]
    return first, np.cross(directions, first)


def at_x(lines, x):
    """(y, z) in mm of lines at |x| = x mm."""
    y = lines["foil_y_mm"] + lines["slope_y"] * x
    z = lines["foil_z_mm"] + lines["slope_z"] * x
    return y, z


def line_through(lines, x, slope_y, slope_z):
    """Lines with other slopes that meet the given ones at |x| = x mm.

    Their foil points are where they would leave the foil.
    """
    rise_y = (lines["slope_y"] - slope_y) * x
    rise_z = (lines["slope_z"] - slope_z) * x
    return {
        "side": lines["side"],
        "foil_y_mm": lines["foil_y_mm"] + rise_y,
        "foil_z_mm": lines["foil_z_mm"] + rise_z,
        "slope_y": slope_y,
        "slope_z": slope_z,
    }


def is_inside(lines, x):
    """(n,) bool, whether lines are between the X-walls and between the vetos at |x| = x mm."""
    y, z = at_x(lines, x)
    between_x_walls = np.abs(y) < X_WALL_Y_MM
    between_vetos = np.abs(z) < VETO_Z_MM
    return between_x_walls & between_vetos


def kinked_events(first, second, x, back=False):
    """Events of one track each: a line from the foil to |x| = x, and another from there on.

    A cell fires if any point of the two pieces is within 0.51 pitches of its wire; the ends at the walls do
    not count.

    Args:
        first, second: name -> (n,) array, lines that meet at |x|. x: (n,) mm.
        back: the first piece ends in the block, and the second goes back to the foil. Without it the second
            piece goes on away from the foil and ends in the block.
    Returns:
        Events of tracks of two segments, hits of the first before those of the second.
    """
    calo = toyhaystack.calo_blocks(first if back else second, nearest=True)
    in_veto = calo["calo_type"] == GAMMA_VETO

    line_1, x_1, hits_1 = toyhaystack.cells_near(first)
    keep_1 = x_1 <= x[line_1]

    line_2, x_2, hits_2 = toyhaystack.cells_near(second)
    is_before = x_2 <= x[line_2]
    beyond = np.abs(hits_2["z_mm"]) > VETO_Z_MM
    beyond &= back | in_veto[line_2]
    keep_2 = (is_before == back) & ~beyond

    line_3, hits_3 = _cells_at(first, x)
    keep_3 = np.full(len(line_3), True)

    line = np.concatenate([line_1, line_2, line_3])
    keep = np.concatenate([keep_1, keep_2, keep_3])
    n_cells = [len(line_1), len(line_2), len(line_3)]
    segment = np.repeat([0, 1, 0], n_cells)
    order = np.argsort(line, kind="stable")
    order = order[keep[order]]
    hits = {"segment": segment[order]}
    for name in hits_1:
        values = np.concatenate([hits_1[name], hits_2[name], hits_3[name]])
        hits[name] = values[order]

    n = len(x)
    n_hits = np.bincount(line[order], minlength=n)
    kinks = {"kinked": np.full(n, True), "n_segments": np.full(n, 2)}
    tracks = {**first, **calo, **kinks}
    return toyhaystack.events_of_hits(hits, n_hits, tracks, np.ones(n, int))


def _cells_at(lines, x):
    """Cells within 0.51 pitches of the points of lines at |x| = x.

    A cell on the outer side of a kink may be close to the corner alone: the points of both lines that are
    closest to its wire lie beyond the kink.

    Returns:
        line: (hit,) int, the line of each hit; name -> (hit,) array as in `toyhaystack.cells_near`.
    """
    y, z = at_x(lines, x)
    # The four wires around a point, (wire, line).
    layer_below = np.floor((x - LAYER_X_MM[0]) / CELL_MM).astype(int)
    column_below = np.floor(y / CELL_MM + MIDDLE_COLUMN).astype(int)
    layer = np.stack([layer_below, layer_below, layer_below + 1, layer_below + 1])
    column = np.stack([column_below, column_below + 1, column_below, column_below + 1])

    to_wire_x = LAYER_X_MM[0] + CELL_MM * layer - x
    to_wire_y = CELL_MM * (column - MIDDLE_COLUMN) - y
    radius = np.hypot(to_wire_x, to_wire_y)
    is_near = radius <= HIT_RADIUS_MM
    in_layers = (layer >= 0) & (layer < N_LAYERS)
    in_columns = (column >= 0) & (column < N_COLUMNS)
    near = is_near & in_layers & in_columns
    _, line = np.nonzero(near)
    hits = {
        "side": lines["side"][line],
        "layer": layer[near],
        "column": column[near],
        "drift_radius_mm": radius[near],
        "z_mm": z[line],
    }
    return line, hits
