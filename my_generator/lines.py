"""Events of straight pieces: one line, two lines from one foil point, a line with a kink, a line that bounces
off the wall.

Foil points and angles are those of the haystack (`toyhaystack`), in mm and by |x|. A line ends in the first
calorimeter block on its way, and is drawn again if there is none. SN-IE's own scripts mostly start at y = z =
0 and, but for the single line, stay at that z.

A kind is a function (n, rng) -> Events: n events are drawn, and those left out that are not as the kind wants
them.
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
SCATTER_DEGREES = (
    3.0  # standard deviation of each of the two projected angles; SN-IE has the one in the top view
)
SCATTER_X_MM = (
    LAYER_X_MM[1] - CELL_MM / 2,
    LAYER_X_MM[7] + CELL_MM / 2,
)  # range of |x| of a kink: anywhere in layers 1 to 7
BOUNCE_BACK_X_MM = LAYER_X_MM[6]  # a bounced line gets back at least to this wire


def foil_lines(side, rng):
    """Random lines that share a foil point in each event.

    Args:
        side: (event, track) int, tracker half of each line. rng: random generator.
    Returns:
        name -> (event, track) array: `side`, `foil_y_mm`, `foil_z_mm`, `slope_y`, `slope_z`.
    """
    slope_y, slope_z = np.tan(rng.uniform(-MAX_ANGLE, MAX_ANGLE, (2, *side.shape)))
    y, z = (
        rng.uniform(-FOIL_Y_MM, FOIL_Y_MM, (len(side), 1)),
        rng.uniform(-FOIL_Z_MM, FOIL_Z_MM, (len(side), 1)),
    )
    names = ("side", "foil_y_mm", "foil_z_mm", "slope_y", "slope_z")
    return dict(zip(names, np.broadcast_arrays(side, y, z, slope_y, slope_z), strict=True))


def chosen(which, tracks):
    """name -> (track,) array: the tracks of the chosen events of name -> (event, track) or (event,)."""
    return {name: values[which].ravel() for name, values in tracks.items()}


def straight(lines, good=True):
    """Events of lines, name -> (event, track) array: of those that are good, (event,) bool, and whose lines
    all hit a block.
    """
    calo = toyhaystack.calo_blocks(lines, nearest=True)
    good = good & (calo["calo_type"] >= 0).all(1)
    tracks = chosen(good, {**lines, **calo})
    hits, n_hits = toyhaystack.find_hits(tracks, tracks["calo_type"])
    return toyhaystack.events_of_hits(hits, n_hits, tracks, np.full(good.sum(), lines["side"].shape[1]))


def single_foil_lines(n, rng):
    """Random lines on random sides, name -> (n,) array."""
    return chosen(slice(None), foil_lines(rng.integers(0, 2, (n, 1)), rng))


def single_line(n, rng):
    """A line on a random side."""
    return straight(foil_lines(rng.integers(0, 2, (n, 1)), rng))


def v_vertex(n, rng):
    """Two lines from one foil point on one side."""
    lines = foil_lines(np.repeat(rng.integers(0, 2, (n, 1)), 2, 1), rng)
    return straight(lines, np.abs(np.diff(lines["slope_y"])[:, 0]) >= MIN_SLOPE_DIFFERENCE)


def double_left_right(n, rng):
    """Two lines from one foil point, the first on side 0, the second on side 1."""
    return straight(foil_lines(np.tile([0, 1], (n, 1)), rng))


def scatter(n, rng, degrees=SCATTER_DEGREES):
    """A line that once changes its direction a little, at a random |x| in the tracker, as by multiple
    scattering in the gas.
    """
    first = single_foil_lines(n, rng)
    x = rng.uniform(*SCATTER_X_MM, n)
    tilts = np.tan(np.radians(degrees) * rng.standard_normal((2, n, 1)))
    direction = directions(first)
    direction = direction + sum(
        tilt * across for tilt, across in zip(tilts, perpendiculars(direction), strict=True)
    )
    forward = direction[:, 0] > 0
    away = np.where(forward, direction[:, 0], 1)
    second = line_through(first, x, direction[:, 1] / away, direction[:, 2] / away)
    good = forward & is_inside(first, x) & (toyhaystack.calo_blocks(second, nearest=True)["calo_type"] >= 0)
    return kinked_events(chosen(good, first), chosen(good, second), x[good])


def bounce(n, rng):
    """A line to the main wall that comes back from there in a random direction, until the foil, an X-wall or
    a veto.

    One track; its block is the one of the bounce. The direction is random, since electrons leave a
    scintillator diffusely: both angles are drawn like those at the foil, and away from the way there, so that
    two lines are seen.
    """
    first = single_foil_lines(n, rng)
    x = np.full(n, MAIN_WALL_X_MM)
    second = line_through(first, x, *np.tan(rng.uniform(-MAX_ANGLE, MAX_ANGLE, (2, n))))
    good = (
        (toyhaystack.calo_blocks(first, nearest=True)["calo_type"] == MAIN_WALL)
        & is_inside(first, x)
        & is_inside(second, BOUNCE_BACK_X_MM)
    )
    good &= np.abs(second["slope_y"] - first["slope_y"]) >= MIN_BOUNCE_DIFFERENCE
    return kinked_events(chosen(good, first), chosen(good, second), x[good], back=True)


def directions(lines):
    """(n, 3) unit vectors (|x|, y, z) of lines."""
    vectors = np.stack([np.ones(len(lines["side"])), lines["slope_y"], lines["slope_z"]], -1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def perpendiculars(directions):
    """Two (n, 3) unit vectors across unit vectors and each other, the first in the top view."""
    x, y, _ = directions.T
    first = np.stack([-y, x, 0 * x], -1) / np.hypot(x, y)[:, None]
    return first, np.cross(directions, first)


def line_through(lines, x, slope_y, slope_z):
    """Lines with other slopes that meet the given ones at |x| = x mm; their foil points are where they would
    leave the foil.
    """
    y = lines["foil_y_mm"] + (lines["slope_y"] - slope_y) * x
    z = lines["foil_z_mm"] + (lines["slope_z"] - slope_z) * x
    return {"side": lines["side"], "foil_y_mm": y, "foil_z_mm": z, "slope_y": slope_y, "slope_z": slope_z}


def is_inside(lines, x):
    """(n,) bool, whether lines are between the X-walls and between the vetos at |x| = x mm."""
    y, z = lines["foil_y_mm"] + lines["slope_y"] * x, lines["foil_z_mm"] + lines["slope_z"] * x
    return (np.abs(y) < X_WALL_Y_MM) & (np.abs(z) < VETO_Z_MM)


def kinked_events(first, second, x, back=False):
    """Events of one track each: a line from the foil to |x| = x, and another from there on.

    A cell fires if any point of the two pieces, ends at the walls aside, is within 0.51 pitches of its wire.

    Args:
        first, second: name -> (n,) array, lines that meet at |x|. x: (n,) mm.
        back: the second piece goes back to the foil, and the first one ends in the block, instead of the
            second.
    Returns:
        Events of tracks of two segments, hits of the first before those of the second.
    """
    line_1, x_1, hits_1 = toyhaystack.cells_near(first)
    line_2, x_2, hits_2 = toyhaystack.cells_near(second)
    line_3, hits_3 = _cells_at(first, x)
    calo = toyhaystack.calo_blocks(first if back else second, nearest=True)
    beyond = (np.abs(hits_2["z_mm"]) > VETO_Z_MM) & (back | (calo["calo_type"] == GAMMA_VETO)[line_2])
    keep = np.concatenate(
        [x_1 <= x[line_1], ((x_2 <= x[line_2]) == back) & ~beyond, np.full(len(line_3), True)]
    )
    line = np.concatenate([line_1, line_2, line_3])
    order = np.argsort(line, kind="stable")
    order = order[keep[order]]
    hits = {name: np.concatenate([hits_1[name], hits_2[name], hits_3[name]])[order] for name in hits_1}
    hits["segment"] = np.repeat([0, 1, 0], [len(line_1), len(line_2), len(line_3)])[order]
    tracks = {**first, **calo, "kinked": np.full(len(x), True), "n_segments": np.full(len(x), 2)}
    return toyhaystack.events_of_hits(
        hits, np.bincount(line[order], minlength=len(x)), tracks, np.ones(len(x), int)
    )


def _cells_at(lines, x):
    """Cells within 0.51 pitches of the points of lines at |x| = x: outside a kink they are close to its
    corner alone.

    Returns:
        line: (hit,) int, the line of each hit; name -> (hit,) array as in `toyhaystack.cells_near`.
    """
    y, z = lines["foil_y_mm"] + lines["slope_y"] * x, lines["foil_z_mm"] + lines["slope_z"] * x
    corners = np.array([(0, 0), (0, 1), (1, 0), (1, 1)]).T[:, :, None]  # the four wires around a point
    layer = (np.floor((x - LAYER_X_MM[0]) / CELL_MM) + corners[0]).astype(int)
    column = (np.floor(y / CELL_MM + MIDDLE_COLUMN) + corners[1]).astype(int)
    radius = np.hypot(LAYER_X_MM[0] + CELL_MM * layer - x, CELL_MM * (column - MIDDLE_COLUMN) - y)
    near = (
        (radius <= HIT_RADIUS_MM) & (layer >= 0) & (layer < N_LAYERS) & (column >= 0) & (column < N_COLUMNS)
    )
    wire, line = np.nonzero(near)
    hits = {"side": lines["side"][line], "layer": layer[wire, line], "column": column[wire, line]}
    return line, {**hits, "drift_radius_mm": radius[wire, line], "z_mm": z[line]}
