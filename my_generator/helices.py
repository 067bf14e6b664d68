"""Events of helices: electrons and positrons from the foil in the magnetic field along the wires, without
energy loss.

A track leaves the foil as a line of `lines` would, and turns on a circle in the top view: its radius is r[mm]
= p_T[MeV/c] / (0.299792458 B[T]), p_T the momentum across the wires; z rises in proportion to the way in the
top view. It ends in the first calorimeter block it meets, or on the foil when it comes back to it; then it
has no block.

All is counted by |x|, as in `toyhaystack`. With the heading psi from the |x| axis, a circle that starts at
angle a with curvature k is |x| = (sin psi - sin a) / k, y = y0 + (cos a - cos psi) / k after the way (psi -
a) / k. One that turns towards -y is the mirror image in y of one that turns towards +y, so the functions
below take k > 0. The start is on the foil, so a comes back as pi - a: no circle is run through twice.

SN-IE's script has electrons from y = z = 0 with momenta 0.5 to 1.4 MeV/c away from the foil and up to 0.1
along it, and draws those again that miss the main wall.
"""

import numpy as np

from datasets.geometry import (
    CELL_MM,
    MAIN_WALL_X_MM,
    MIDDLE_COLUMN,
    N_COLUMNS,
    N_LAYERS,
    VETO_Z_MM,
    X_WALL_Y_MM,
)
from my_generator import blocks, lines, toyhaystack
from my_generator.toyhaystack import HIT_RADIUS_MM, LAYER_X_MM

FIELD_T = 0.0025  # 25 G, along z
MM_T_PER_MEV = 1 / 0.299792458  # radius in mm of 1 MeV/c in 1 T
ELECTRON_MASS_MEV = 0.51099895
MIN_ENERGY_MEV, MAX_ENERGY_MEV = 0.3, 3.5  # kinetic


def momentum_of(kinetic_mev):
    """Momentum in MeV/c of an electron with a kinetic energy."""
    return np.sqrt(kinetic_mev * (kinetic_mev + 2 * ELECTRON_MASS_MEV))


def from_lines(foil_lines, momentum_mev, charge):
    """Helices that leave the foil as lines do.

    Args:
        foil_lines: name -> array of any shape, as `lines.foil_lines` gives them. momentum_mev: in MeV/c,
            charge: -1 or 1, the same.
    Returns:
        name -> array: those of the lines; `angle` of the start from the |x| axis and `mirror`, 1 for a turn
        towards +y; for -1 the angle is that of the mirror image; `radius_mm`; `climb`, dz per way in the top
        view.
    """
    angle = np.arctan(foil_lines["slope_y"])
    climb = foil_lines["slope_z"] * np.cos(angle)
    radius = MM_T_PER_MEV * momentum_mev / np.sqrt(1 + climb**2) / FIELD_T
    # the force q v x B turns a negative charge from +x towards +y; by |x| that is towards -y on side 0
    mirror = -charge * (2 * foil_lines["side"] - 1)
    return {**foil_lines, "angle": mirror * angle, "mirror": mirror, "radius_mm": radius, "climb": climb}


def position(tracks, way):
    """(|x|, y, z) in mm after a way in the top view."""
    angle, r = tracks["angle"], tracks["radius_mm"]
    psi = angle + way / r
    y = tracks["foil_y_mm"] + tracks["mirror"] * (np.cos(angle) - np.cos(psi)) * r
    return (np.sin(psi) - np.sin(angle)) * r, y, tracks["foil_z_mm"] + tracks["climb"] * way


def ends(tracks):
    """Where helices end.

    Args:
        tracks: name -> array of any shape, as `from_lines` gives them.
    Returns:
        way: mm in the top view, NaN where the helix leaves the detector between blocks;
        name -> int array, the block, all -1 where there is none, as `toyhaystack.blocks_met` gives them.
    """
    angle, r, mirror, z0 = (tracks[name] for name in ("angle", "radius_mm", "mirror", "foil_z_mm"))
    y0 = mirror * tracks["foil_y_mm"]
    with np.errstate(invalid="ignore", divide="ignore"):  # walls out of reach are NaN or infinite
        to_main = np.arcsin(np.sin(angle) + MAIN_WALL_X_MM / r) - angle
        up = np.arccos(np.cos(angle) - (X_WALL_Y_MM - y0) / r) - angle
        down = (
            -np.arccos(np.cos(angle) + (X_WALL_Y_MM + y0) / r) - angle
        )  # first, while still heading there: the start lies between
        to_x_wall = np.where(down >= 0, down, up)
        to_veto = (VETO_Z_MM - np.sign(tracks["climb"]) * z0) / np.abs(tracks["climb"])
        to_foil = (np.pi - 2 * angle) * r
        ways = np.stack([to_main * r, to_x_wall * r, to_veto])
        ways[~(ways < to_foil)] = np.nan
        main, x_wall, veto = (position(tracks, way) for way in ways)
        positive = x_wall[1] > 0, veto[2] > 0
        calo = toyhaystack.blocks_met(
            tracks["side"], main[1:], (x_wall[0], x_wall[2], positive[0]), (*veto[:2], positive[1]), ways
        )
    to_block = np.choose(
        np.maximum(calo["calo_type"], 0), ways
    )  # calorimeter types are in the order of the ways
    no_block = np.where(np.isnan(ways).all(0), to_foil, np.nan)
    return np.where(calo["calo_type"] >= 0, to_block, no_block), calo


def _columns_near(x, r, centre_y):
    """First column and number of columns within 0.51 pitches of circles, (n, layer, 2): before and behind the
    circle's far side.

    Args:
        x: (n, layer) of the wires from the centre. r: (n,) radius. centre_y: (n,), all in mm.
    """
    outer, inner = ((r + reach)[:, None] ** 2 - x**2 for reach in (HIT_RADIUS_MM, -HIT_RADIUS_MM))
    outer = np.sqrt(np.where(outer >= 0, outer, np.nan))  # NaN in layers the circle does not get to
    inner = np.sqrt(np.where(outer >= 0, np.maximum(inner, 0), np.nan))
    edges = np.stack([-outer, -inner, inner, outer], -1) + centre_y[:, None, None]
    edges = np.nan_to_num(edges / CELL_MM + MIDDLE_COLUMN, nan=-1)
    first = np.ceil(np.clip(edges[..., ::2], 0, N_COLUMNS)).astype(np.int64)
    last = np.floor(np.clip(edges[..., 1::2], -1, N_COLUMNS - 1)).astype(np.int64)
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
    r, angle, mirror = tracks["radius_mm"], tracks["angle"], tracks["mirror"]
    x = LAYER_X_MM + (np.sin(angle) * r)[:, None]  # of the wires from the centre, (n, layer)
    centre_y = mirror * tracks["foil_y_mm"] + np.cos(angle) * r
    first, count = _columns_near(x, r, centre_y)

    row, step = blocks.expand(count.ravel())
    track, layer = np.divmod(row // 2, N_LAYERS)
    column = first.ravel()[row] + step
    x, y = x.ravel()[row // 2], CELL_MM * (column - MIDDLE_COLUMN) - centre_y[track]
    way = (np.arctan2(x, -y) - angle[track]) % (2 * np.pi) * r[track]
    hits = {
        "side": tracks["side"][track],
        "layer": layer,
        "column": np.where(mirror[track] > 0, column, N_COLUMNS - 1 - column),
        "drift_radius_mm": np.abs(np.hypot(x, y) - r[track]),
        "z_mm": tracks["foil_z_mm"][track] + tracks["climb"][track] * way,
    }
    keep = np.flatnonzero(way <= way_to_end[track])
    return {name: values[keep] for name, values in hits.items()}, np.bincount(track[keep], minlength=len(r))


def curved(foil_lines, momentum_mev, charge, good=True):
    """Events of helices that leave the foil as lines do: of those that are good, and where none leaves the
    detector between blocks.

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
    hits, n_hits = find_hits(lines.chosen(good, tracks), way[good].ravel())
    labels = {**lines.chosen(good, {**foil_lines, **calo}), "kinked": np.full(len(n_hits), True)}
    return toyhaystack.events_of_hits(hits, n_hits, labels, np.full(good.sum(), way.shape[1]))


def _random(side, rng):
    """Helices with random momentum and charge on given sides, (event, track)."""
    foil_lines = lines.foil_lines(side, rng)
    energy = rng.uniform(MIN_ENERGY_MEV, MAX_ENERGY_MEV, side.shape)
    return curved(foil_lines, momentum_of(energy), rng.choice([-1, 1], side.shape))


def single_helix(n, rng):
    """A helix on a random side."""
    return _random(rng.integers(0, 2, (n, 1)), rng)


def double_helix(n, rng):
    """Two helices from one foil point, the first on side 0, the second on side 1."""
    return _random(np.tile([0, 1], (n, 1)), rng)
