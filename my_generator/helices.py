"""Events of helices: electrons and positrons from the foil in the magnetic field along the wires, without
energy loss.

A track leaves the foil as a line of `lines` would, and turns on a circle in the top view. The radius of the
circle is r[mm] = p_T[MeV/c] / (0.299792458 B[T]), p_T the momentum across the wires; z rises in proportion to
the way in the top view. The track ends in the first calorimeter block it meets, or on the foil when it comes
back to it; then it has no block.

All is counted by |x|, as in `toyhaystack`. With the heading psi from the |x| axis, a circle that starts at
angle a with curvature k is |x| = (sin psi - sin a) / k, y = y0 + (cos a - cos psi) / k after the way
(psi - a) / k. One that turns towards -y is the mirror image in y of one that turns towards +y, so the
functions below take k > 0. The start is on the foil, so a comes back as pi - a: no circle is run through
twice.

SN-IE's script has electrons from y = z = 0 with momenta 0.5 to 1.4 MeV/c away from the foil and up to 0.1
along it, and draws those again that miss the main wall.
"""

import numpy as np

from datasets.events import rows_and_places
from datasets.geometry import (
    CELL_MM,
    MAIN_WALL_X_MM,
    MIDDLE_COLUMN,
    N_COLUMNS,
    N_LAYERS,
    VETO_Z_MM,
    X_WALL_Y_MM,
)
from my_generator import lines, toyhaystack
from my_generator.toyhaystack import HIT_RADIUS_MM, LAYER_X_MM

FIELD_T = 0.0025  # 25 G, along z
MM_T_PER_MEV = 1 / 0.299792458  # radius in mm of 1 MeV/c in 1 T
ELECTRON_MASS_MEV = 0.51099895
MIN_ENERGY_MEV = 0.3  # kinetic
MAX_ENERGY_MEV = 3.5


def momentum_of(kinetic_mev):
    """Momentum in MeV/c of an electron with a kinetic energy."""
    return np.sqrt(kinetic_mev * (kinetic_mev + 2 * ELECTRON_MASS_MEV))


def from_lines(foil_lines, momentum_mev, charge):
    """Helices that leave the foil as lines do.

    Args:
        foil_lines: name -> array of any shape, as `lines.foil_lines` gives them. momentum_mev: in MeV/c,
            charge: -1 or 1, the same.
    Returns:
        name -> array: those of the lines; `mirror`, 1 for a turn towards +y, else -1; `angle` of the start
        from the |x| axis, of the mirror image where `mirror` is -1; `radius_mm`; `climb`, dz per way in the
        top view.
    """
    angle = np.arctan(foil_lines["slope_y"])
    climb = foil_lines["slope_z"] * np.cos(angle)
    radius_of_1_t = MM_T_PER_MEV * momentum_mev / np.sqrt(1 + climb**2)
    # The force q v x B turns a negative charge from +x towards +y; by |x| that is towards -y on side 0.
    mirror = -charge * (2 * foil_lines["side"] - 1)
    return {
        **foil_lines,
        "angle": mirror * angle,
        "mirror": mirror,
        "radius_mm": radius_of_1_t / FIELD_T,
        "climb": climb,
    }


def position(tracks, way):
    """(|x|, y, z) in mm after a way in the top view."""
    angle = tracks["angle"]
    radius = tracks["radius_mm"]
    heading = angle + way / radius
    x = (np.sin(heading) - np.sin(angle)) * radius
    turn = tracks["mirror"] * (np.cos(angle) - np.cos(heading))
    y = tracks["foil_y_mm"] + turn * radius
    z = tracks["foil_z_mm"] + tracks["climb"] * way
    return x, y, z


def ends(tracks):
    """Where helices end.

    Args:
        tracks: name -> array of any shape, as `from_lines` gives them.
    Returns:
        way: mm in the top view, NaN where the helix leaves the detector between blocks;
        name -> int array, the block, all -1 where there is none, as `toyhaystack.blocks_met` gives them.
    """
    to_foil = (np.pi - 2 * tracks["angle"]) * tracks["radius_mm"]
    with np.errstate(invalid="ignore", divide="ignore"):  # walls out of reach are NaN or infinite
        to_main_wall = _way_to_main_wall(tracks)
        to_x_wall = _way_to_x_wall(tracks)
        to_veto = _way_to_veto(tracks)
        ways = np.stack([to_main_wall, to_x_wall, to_veto])  # in the order of the calorimeter types
        ways[~(ways < to_foil)] = np.nan
        main_x, main_y, main_z = position(tracks, ways[0])
        x_wall_x, x_wall_y, x_wall_z = position(tracks, ways[1])
        veto_x, veto_y, veto_z = position(tracks, ways[2])
        main_wall = (main_y, main_z)
        x_wall = (x_wall_x, x_wall_z, x_wall_y > 0)
        veto = (veto_x, veto_y, veto_z > 0)
        calo = toyhaystack.blocks_met(tracks["side"], main_wall, x_wall, veto, ways)
    calo_type = calo["calo_type"]
    has_block = calo_type >= 0
    to_block = np.choose(np.maximum(calo_type, 0), ways)
    meets_no_wall = np.isnan(ways).all(0)
    otherwise = np.where(meets_no_wall, to_foil, np.nan)
    return np.where(has_block, to_block, otherwise), calo


def _way_to_main_wall(tracks):
    angle = tracks["angle"]
    radius = tracks["radius_mm"]
    heading = np.arcsin(np.sin(angle) + MAIN_WALL_X_MM / radius)
    return (heading - angle) * radius


def _way_to_x_wall(tracks):
    angle = tracks["angle"]
    radius = tracks["radius_mm"]
    y0 = tracks["mirror"] * tracks["foil_y_mm"]
    up = (X_WALL_Y_MM - y0) / radius
    down = (X_WALL_Y_MM + y0) / radius
    turn_up = np.arccos(np.cos(angle) - up) - angle
    turn_down = -np.arccos(np.cos(angle) + down) - angle
    # The start lies between the walls, so a helix that heads for -y meets that wall first.
    turn = np.where(turn_down >= 0, turn_down, turn_up)
    return turn * radius


def _way_to_veto(tracks):
    climb = tracks["climb"]
    to_go = VETO_Z_MM - np.sign(climb) * tracks["foil_z_mm"]
    return to_go / np.abs(climb)


def _columns_near(x, radius, centre_y):
    """First column and number of columns within 0.51 pitches of circles, (n, layer, 2): before and behind the
    circle's far side.

    Args:
        x: (n, layer) of the wires from the centre. radius: (n,). centre_y: (n,), all in mm.
    """
    outer_radius = (radius + HIT_RADIUS_MM)[:, None]
    inner_radius = (radius - HIT_RADIUS_MM)[:, None]
    outer = outer_radius**2 - x**2
    inner = np.maximum(inner_radius**2 - x**2, 0)
    gets_there = outer >= 0
    outer = np.sqrt(np.where(gets_there, outer, np.nan))
    inner = np.sqrt(np.where(gets_there, inner, np.nan))
    edges = np.stack([-outer, -inner, inner, outer], -1)
    edges = edges + centre_y[:, None, None]
    edges = edges / CELL_MM + MIDDLE_COLUMN
    edges = np.nan_to_num(edges, nan=-1)  # no column in layers that the circle does not get to
    low = np.clip(edges[..., ::2], 0, N_COLUMNS)
    high = np.clip(edges[..., 1::2], -1, N_COLUMNS - 1)
    first = np.ceil(low).astype(np.int64)
    last = np.floor(high).astype(np.int64)
    return first, np.maximum(last - first + 1, 0)


def find_hits(tracks, way_to_end):
    """All cells whose wire has its closest point of the circle before the helix ends, within 0.51 pitches.

    Args:
        tracks: name -> (n,) array, as `from_lines` gives them. way_to_end: (n,) mm, as from `ends`; NaN for
            no hits.
    Returns:
        side, layer, column, drift_radius_mm, z_mm: name -> (hit,) array, track after track; and the number of
            hits of each, (n,).
    """
    radius = tracks["radius_mm"]
    angle = tracks["angle"]
    mirror = tracks["mirror"]
    n = len(radius)
    wire_x = LAYER_X_MM + (np.sin(angle) * radius)[:, None]  # from the centre, (n, layer)
    centre_y = mirror * tracks["foil_y_mm"] + np.cos(angle) * radius
    first, count = _columns_near(wire_x, radius, centre_y)

    row, step = rows_and_places(count.ravel())
    column = first.ravel()[row] + step
    track_layer = row // 2
    track, layer = np.divmod(track_layer, N_LAYERS)
    x = wire_x.ravel()[track_layer]
    y = CELL_MM * (column - MIDDLE_COLUMN) - centre_y[track]
    heading = np.arctan2(x, -y)
    turned = (heading - angle[track]) % (2 * np.pi)
    way = turned * radius[track]
    keep = np.flatnonzero(way <= way_to_end[track])

    is_up = mirror[track] > 0
    from_centre = np.hypot(x, y)
    z = tracks["foil_z_mm"][track] + tracks["climb"][track] * way
    hits = {
        "side": tracks["side"][track],
        "layer": layer,
        "column": np.where(is_up, column, N_COLUMNS - 1 - column),
        "drift_radius_mm": np.abs(from_centre - radius[track]),
        "z_mm": z,
    }
    hits = {name: values[keep] for name, values in hits.items()}
    n_hits = np.bincount(track[keep], minlength=n)
    return hits, n_hits


def curved(foil_lines, momentum_mev, charge, good=True):
    """Events of helices that leave the foil as lines do.

    Events are left out that are not good, or where a helix leaves the detector between blocks.

    Args:
        foil_lines: name -> (event, track) array, as `lines.foil_lines` gives them. momentum_mev, charge:
            (event, track).
        good: (event,) bool.
    Returns:
        Events, all tracks marked as `kinked`, which stands for any track but a straight line; slopes are
        those at the foil.
    """
    tracks = from_lines(foil_lines, momentum_mev, charge)
    way, calo = ends(tracks)
    good = good & np.isfinite(way).all(1)
    good_tracks = lines.chosen(good, tracks)
    hits, n_hits = find_hits(good_tracks, way[good].ravel())
    labels = lines.chosen(good, {**foil_lines, **calo})
    labels["kinked"] = np.full(len(n_hits), True)
    n_tracks = np.full(good.sum(), way.shape[1])
    return toyhaystack.events_of_hits(hits, n_hits, labels, n_tracks)


def _random(side, rng):
    """Helices with random momentum and charge on given sides, (event, track)."""
    foil_lines = lines.foil_lines(side, rng)
    energy = rng.uniform(MIN_ENERGY_MEV, MAX_ENERGY_MEV, side.shape)
    charge = rng.choice([-1, 1], side.shape)
    return curved(foil_lines, momentum_of(energy), charge)


def single_helix(n, rng):
    """A helix on a random side."""
    side = lines.random_side(n, rng)
    return _random(side, rng)


def double_helix(n, rng):
    """Two helices from one foil point, the first on side 0, the second on side 1."""
    side = np.tile([0, 1], (n, 1))
    return _random(side, rng)
