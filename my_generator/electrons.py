"""Electrons and positrons as they fly: bent by the magnetic field and scattered by the gas, step by step.

A track leaves the foil as a line of `lines` would. In a step of STEP_MM it turns about the field, which is
along the wires, and changes its direction by random angles: in each of two planes across it by a Gaussian of
SCATTERING_MEV / (beta p) sqrt(step), as Geant4 has it in the tracker's gas. The momentum stays what it was.
The track ends where it leaves the box between foil and calorimeter walls; the block there is the one it
fires, and it has none where it comes back to the foil or passes between two blocks.

A cell fires where the track comes within 22 mm of its wire, by the closest point. Between the points of three
steps the track is a parabola: for an electron of 0.1 MeV in 25 G it is off a circle by up to 0.06 mm.
In the last 10 mm before a veto no cell fires.

All is counted by |x|, as in `toyhaystack`. Steps are taken for all tracks at once. There is no loop over
tracks.
"""

from functools import partial

import numpy as np

from datasets.events import entries_of, offsets_of, rows_and_places
from datasets.geometry import (
    CELL_MM,
    CELL_RADIUS_MM,
    FIRST_WIRE_MM,
    MAIN_WALL_X_MM,
    MIDDLE_COLUMN,
    N_COLUMNS,
    N_LAYERS,
    VETO_Z_MM,
    X_WALL_Y_MM,
)
from my_generator import lines, toyhaystack
from my_generator.helices import ELECTRON_MASS_MEV, MM_T_PER_MEV, momentum_of

FIELD_GAUSS = 25.0  # of SuperNEMO's coil, along z
# rms of a projected angle times beta p after 1 mm of gas, in MeV; it grows with the root of the way
SCATTERING_MEV = 0.0047
LEAST_ENERGY_MEV = 0.1  # kinetic
MOST_ENERGY_MEV = 3.5
STEP_MM = 20.0
MOST_STEPS = 400  # 8 m, more than the box is long; a track that is still inside has no block
MIN_HITS = 5  # of each of several tracks, as in `straight_lines`
_T_PER_GAUSS = 1e-4
_TOGETHER = 8000  # points
# from a wire: within it one of the points of a track is that has a hit there
_NEAR_MM = np.hypot(CELL_RADIUS_MM, STEP_MM / 2) + 1


def fly(
    foil_lines, momentum_mev, charge, rng, field_gauss=FIELD_GAUSS, scattering_mev=SCATTERING_MEV
):
    """Follow tracks through the tracker.

    Args:
        foil_lines: name -> (n,) array, as `lines.foil_lines` gives them: where tracks begin, and how.
        momentum_mev: (n,) in MeV/c. charge: (n,) -1 or 1. rng: random generator.
        field_gauss: along z. scattering_mev: as SCATTERING_MEV; 0 for none.
    Returns:
        hits: side, layer, column, drift_radius_mm, z_mm: name -> (hit,) array, track after track, by layer
            and column. n_hits: (n,) of each. calo: name -> (n,) int, the block, as `toyhaystack.blocks_met`.
    """
    energy = np.hypot(momentum_mev, ELECTRON_MASS_MEV)
    beta = momentum_mev / energy
    turn = STEP_MM * signed_curvature(foil_lines["side"], momentum_mev, charge, field_gauss)
    kick = scattering_mev / (beta * momentum_mev) * np.sqrt(STEP_MM)
    inside = np.empty((3, len(turn)))
    beyond = np.empty((3, len(turn)))
    found = [
        _cells(*points) for points in _together(_steps(foil_lines, turn, kick, rng, inside, beyond))
    ]
    hits, n_hits = _by_track(found, foil_lines["side"])
    return hits, n_hits, _blocks(foil_lines["side"], inside, beyond)


def signed_curvature(side, momentum_mev, charge, field_gauss):
    """Turn of tracks in the top view in rad for a mm of way in space, positive towards +y.

    A mm of way in the top view turns a track by more, 1 / cos(dip) times as much.

    Args:
        side, momentum_mev, charge: arrays. field_gauss: along z.
    """
    # The force q v x B turns a negative charge from +x towards +y; by |x| that is towards -y on side 0.
    sign = -charge * (2 * side - 1)
    return sign * field_gauss * _T_PER_GAUSS / (MM_T_PER_MEV * momentum_mev)


def _steps(foil_lines, turn, kick, rng, last_inside, first_beyond):
    """Go step by step, all tracks at once.

    Args:
        foil_lines: as of `fly`. turn: (n,) rad about z in a step. kick: (n,) rad, rms of a random angle in a
            step.
        last_inside, first_beyond: (3, n), filled with the last point in the box of each track and the first
            beyond; both are the last one where a track never left.
    Yields:
        track: (point,) of the tracks that are still inside. before, here, after: (3, point) three points, one
            step from each other.
    """
    n = len(turn)
    track = np.arange(n)
    before = np.stack([np.zeros(n), foil_lines["foil_y_mm"], foil_lines["foil_z_mm"]])
    direction = lines.directions(foil_lines).T
    # half of a turn at first: the direction of a step is that of its middle
    direction = _turned(direction, np.cos(turn / 2), np.sin(turn / 2))
    direction = _scattered(direction, kick * np.sqrt(0.5), rng)
    here = before + STEP_MM * direction
    cos = np.cos(turn)
    sin = np.sin(turn)
    for _ in range(MOST_STEPS):
        inside = _is_inside(here)
        if not inside.all():
            left = track[~inside]
            last_inside[:, left] = before[:, ~inside]
            first_beyond[:, left] = here[:, ~inside]
            track, kick, cos, sin = (values[inside] for values in (track, kick, cos, sin))
            before, here, direction = (values[:, inside] for values in (before, here, direction))
        if not len(track):
            return
        direction = _scattered(_turned(direction, cos, sin), kick, rng)
        after = here + STEP_MM * direction
        yield track, before, here, after
        before = here
        here = after
    last_inside[:, track] = here
    first_beyond[:, track] = here


def _together(steps):
    """The same points, those of some steps together: as many as stay in the processor's cache."""
    held = []
    n_held = 0
    for points in steps:
        held.append(points)
        n_held += len(points[0])
        if n_held > _TOGETHER:
            yield [np.concatenate(values, axis=-1) for values in zip(*held, strict=True)]
            held = []
            n_held = 0
    if held:
        yield [np.concatenate(values, axis=-1) for values in zip(*held, strict=True)]


def _turned(direction, cos, sin):
    """(3, n) directions turned about z, towards +y."""
    x, y, z = direction
    return np.stack([cos * x - sin * y, sin * x + cos * y, z])


def _scattered(direction, kick, rng):
    """(3, n) unit vectors turned by random angles, of the same rms in both planes across them."""
    if not kick.any():
        return direction
    angles = kick * rng.standard_normal(direction.shape, np.float32)
    along = (angles * direction).sum(0)
    direction = direction + angles - along * direction
    return direction / np.sqrt(np.square(direction).sum(0))


def _is_inside(place):
    """(n,) bool, whether points, (3, n), are between foil and walls."""
    x, y, z = place
    return (x > 0) & (x < MAIN_WALL_X_MM) & (np.abs(y) < X_WALL_Y_MM) & (np.abs(z) < VETO_Z_MM)


def _cells(track, before, here, after):
    """Cells that tracks fire.

    Args:
        track, before, here, after: as `_steps` gives them.
    Returns:
        track, layer, column, drift_radius_mm, z_mm: each (hit,).
    """
    layer = np.rint((here[0] - FIRST_WIRE_MM) / CELL_MM)
    column = np.rint(here[1] / CELL_MM) + MIDDLE_COLUMN
    x = FIRST_WIRE_MM + CELL_MM * layer - here[0]
    y = CELL_MM * (column - MIDDLE_COLUMN) - here[1]
    # the nearest wire, and those beyond the walls of its cell that are close; no wire beyond a corner is
    own = np.flatnonzero(x * x + y * y < _NEAR_MM**2)
    in_x = np.flatnonzero(CELL_MM - np.abs(x) < _NEAR_MM)
    in_y = np.flatnonzero(CELL_MM - np.abs(y) < _NEAR_MM)
    layers_on = -np.sign(x[in_x])
    columns_on = -np.sign(y[in_y])
    point = np.concatenate([own, in_x, in_y])
    layer = np.concatenate([layer[own], layer[in_x] + layers_on, layer[in_y]])
    column = np.concatenate([column[own], column[in_x], column[in_y] + columns_on])
    x = np.concatenate([x[own], x[in_x] + CELL_MM * layers_on, x[in_y]])
    y = np.concatenate([y[own], y[in_x], y[in_y] + CELL_MM * columns_on])

    exists = (layer >= 0) & (layer < N_LAYERS) & (column >= 0) & (column < N_COLUMNS)
    nearest = exists & _is_nearest(before, here, after, point, x, y)
    point, layer, column, x, y = (values[nearest] for values in (point, layer, column, x, y))
    along, across, bend, climb = _parabola(before[:, point], here[:, point], after[:, point], x, y)
    closest = along / (
        1 - bend * across
    )  # along the parabola: it is shorter on the inner side of the bend
    radius = np.abs(across - bend * along * closest / 2)
    z = here[2, point] + climb * closest
    fires = (radius < CELL_RADIUS_MM) & (np.abs(z) < VETO_Z_MM)
    return [
        values[fires] for values in (track[point], layer.astype(int), column.astype(int), radius, z)
    ]


def _by_track(found, side):
    """Hits in the order of their tracks, layers and columns.

    Args:
        found: list of what `_cells` gives. side: (n,) of tracks.
    Returns:
        name -> (hit,) array; and the number of hits of each track, (n,).
    """
    nothing = [np.zeros(0, int)] * 5
    track, layer, column, radius, z = (
        np.concatenate(values) for values in zip(nothing, *found, strict=True)
    )
    order = np.argsort((track * N_LAYERS + layer) * N_COLUMNS + column, kind="stable")
    hits = {
        "side": side[track],
        "layer": layer,
        "column": column,
        "drift_radius_mm": radius,
        "z_mm": z,
    }
    hits = {name: values[order] for name, values in hits.items()}
    return hits, np.bincount(track, minlength=len(side))


def _is_nearest(before, here, after, point, x, y):
    """Whether points are nearer to another one than those before and after them.

    Args:
        before, here, after: as `_steps` gives them. point: (n,) indices of points. x, y: (n,) of the other
            one in the top view, from these.
    """
    back_x = here[0, point] - before[0, point]
    back_y = here[1, point] - before[1, point]
    on_x = after[0, point] - here[0, point]
    on_y = after[1, point] - here[1, point]
    not_before = 2 * (x * back_x + y * back_y) >= -(back_x**2 + back_y**2)
    not_after = 2 * (x * on_x + y * on_y) < on_x**2 + on_y**2
    return not_before & not_after


def _parabola(before, here, after, x, y):
    """The parabola through three points, seen from the second.

    Args:
        before, here, after: (3, n) points. x, y: (n,) of another point in the top view, from the second.
    Returns:
        along, across: (n,) of that point, in the direction of the parabola there, and across. bend: (n,) its
        second derivative. climb: (n,) dz by way in the top view.
    """
    to_here = here - before
    from_here = after - here
    way_1 = np.hypot(to_here[0], to_here[1])
    way_2 = np.hypot(from_here[0], from_here[1])
    sum_x, sum_y, rise = after - before
    chord = np.hypot(sum_x, sum_y)
    cos = sum_x / chord
    sin = sum_y / chord
    turned = to_here[0] * from_here[1] - to_here[1] * from_here[0]
    bend = turned / (way_1 * way_2) / ((way_1 + way_2) / 2)
    return cos * x + sin * y, cos * y - sin * x, bend, rise / (way_1 + way_2)


def _blocks(side, inside, beyond):
    """The calorimeter blocks of tracks, as `toyhaystack.blocks_met`.

    Args:
        side: (n,). inside, beyond: (3, n) the last point in the box and the first beyond; the same point for
            tracks that have not left it.
    """
    step = beyond - inside
    # what part of the step leads to the foil and to the planes of the walls
    with np.errstate(divide="ignore", invalid="ignore"):
        to_foil = -inside[0] / step[0]
        parts = [
            (MAIN_WALL_X_MM - inside[0]) / step[0],
            (np.sign(step[1]) * X_WALL_Y_MM - inside[1]) / step[1],
            (np.sign(step[2]) * VETO_Z_MM - inside[2]) / step[2],
        ]
        parts = np.stack(parts)
        is_met = (parts >= 0) & (parts <= 1)
        to_foil = np.where((to_foil > 0) & (to_foil <= 1), to_foil, np.inf)
        parts = np.where(is_met & (parts < to_foil), parts, np.nan)
        at_main, at_x, at_veto = (inside + part * step for part in parts)
        main_wall = (at_main[1], at_main[2])
        x_wall = (at_x[0], at_x[2], step[1] > 0)
        veto = (at_veto[0], at_veto[1], step[2] > 0)
        return toyhaystack.blocks_met(side, main_wall, x_wall, veto, parts)


def flown(foil_lines, energy_mev, charge, rng, good=True, vertex=None, **gas):
    """Events of electrons and positrons that leave the foil as lines do.

    Args:
        foil_lines: name -> (event, track) array, as `lines.foil_lines` gives them. energy_mev, charge:
            (event, track). good: (event,) bool, the events to make; the others are left out.
        vertex: (event, track) int, which foil point of its event each track is from (default: all from one).
        gas: `field_gauss` and `scattering_mev` of `fly`.
    Returns:
        Events, all tracks marked as `kinked`, which stands for any track but a straight line. Slopes and
        curvature are those at the foil.
    """
    n_events, n_tracks = energy_mev.shape
    good = np.broadcast_to(good, n_events)
    vertex = np.zeros(energy_mev.shape, int) if vertex is None else vertex
    truth = {"energy": energy_mev, "charge": charge, "vertex": vertex}
    chosen = lines.chosen(good, {**foil_lines, **truth})
    return _events(chosen, np.full(good.sum(), n_tracks), rng, **gas)


def _events(chosen, n_tracks, rng, **gas):
    """Events of tracks that `_tracks` flies."""
    hits, n_hits, tracks = _tracks(chosen, rng, **gas)
    return toyhaystack.events_of_hits(hits, n_hits, tracks, n_tracks)


def _tracks(drawn, rng, field_gauss=FIELD_GAUSS, **gas):
    """Fly tracks.

    Args:
        drawn: name -> (n,) array: of foil lines, and `energy`, `charge`, `vertex`.
    Returns:
        hits, n_hits: as `fly`. tracks: name -> (n,) array, as the event table has them.
    """
    tracks = dict(drawn)
    momentum = momentum_of(tracks.pop("energy"))
    hits, n_hits, calo = fly(tracks, momentum, tracks["charge"], rng, field_gauss, **gas)
    in_space = signed_curvature(tracks["side"], momentum, tracks["charge"], field_gauss)
    way = np.sqrt(1 + tracks["slope_y"] ** 2 + tracks["slope_z"] ** 2)
    way_in_top_view = np.sqrt(1 + tracks["slope_y"] ** 2)
    tracks |= {
        "momentum_mev": momentum,
        "curvature_per_mm": in_space * way / way_in_top_view,
        "kinked": np.full(len(momentum), True),
    }
    return hits, n_hits, tracks | calo


def _random(side, rng, one_vertex):
    """Electrons and positrons of random energies: foil lines, energy, charge and vertex, each (event, track).

    Args:
        side: (event, track). one_vertex: whether the tracks of an event share a foil point.
    """
    n_tracks = side.shape[1]
    foil = lines.foil_lines(side if one_vertex else side.reshape(-1, 1), rng)
    foil = {name: values.reshape(side.shape) for name, values in foil.items()}
    energy = rng.uniform(LEAST_ENERGY_MEV, MOST_ENERGY_MEV, side.shape)
    charge = rng.choice([-1, 1], side.shape)
    vertex = np.zeros(n_tracks, int) if one_vertex else np.arange(n_tracks)
    return foil, energy, charge, np.broadcast_to(vertex, side.shape)


def electron(n, rng, field_gauss=FIELD_GAUSS):
    """An electron or positron on a random side."""
    foil, energy, charge, vertex = _random(lines.random_side(n, rng), rng, one_vertex=True)
    return flown(foil, energy, charge, rng, vertex=vertex, field_gauss=field_gauss)


def electron_v_vertex(n, rng, field_gauss=FIELD_GAUSS):
    """Two electrons or positrons from one foil point on one side."""
    side = np.repeat(lines.random_side(n, rng), 2, axis=1)
    foil, energy, charge, vertex = _random(side, rng, one_vertex=True)
    good = np.abs(np.diff(foil["slope_y"])[:, 0]) >= lines.MIN_SLOPE_DIFFERENCE
    return flown(foil, energy, charge, rng, good, vertex, field_gauss=field_gauss)


def electron_double_helix(n, rng, field_gauss=FIELD_GAUSS):
    """Two electrons or positrons from two foil points on one side."""
    side = np.repeat(lines.random_side(n, rng), 2, axis=1)
    foil, energy, charge, vertex = _random(side, rng, one_vertex=False)
    return flown(foil, energy, charge, rng, vertex=vertex, field_gauss=field_gauss)


KINDS = {  # of `family`: name -> (function (n, rng, options) -> Events, number of tracks)
    "electron": (electron, 1),
    "electron_v_vertex": (electron_v_vertex, 2),
    "electron_double_helix": (electron_double_helix, 2),
}


def make_block(n_tracks, rng, field_gauss=FIELD_GAUSS, one_vertex=False):
    """Events of electrons and positrons on side 1, each with MIN_HITS cells or more.

    Args:
        n_tracks: (event,) int. rng: random generator. field_gauss: along z. one_vertex: whether the tracks of an
            event share a foil point.
    """
    event, place = rows_and_places(n_tracks)
    vertices = lines.foil_lines(np.ones((len(n_tracks), 1), int), rng)
    found = []
    missing = np.arange(len(event))
    while len(missing) or not found:
        foil, energy, charge, _ = _random(np.ones((len(missing), 1), int), rng, one_vertex=False)
        if one_vertex:
            for name in ("foil_y_mm", "foil_z_mm"):
                foil[name] = vertices[name][event[missing]]
        truth = {"energy": energy, "charge": charge, "vertex": np.zeros_like(charge)}
        drawn = lines.chosen(slice(None), {**foil, **truth})
        hits, n_hits, tracks = _tracks(drawn, rng, field_gauss)
        good = n_hits >= MIN_HITS
        entry, _ = entries_of(offsets_of(n_hits), np.flatnonzero(good))
        hits = {name: values[entry] for name, values in hits.items()}
        tracks = {name: values[good] for name, values in tracks.items()}
        found.append((hits, {**tracks, "n_hits": n_hits[good], "index": missing[good]}))
        missing = missing[~good]

    hits, tracks = (
        {name: np.concatenate([part[i][name] for part in found]) for name in found[0][i]}
        for i in (0, 1)
    )
    order = np.argsort(tracks.pop("index"))
    entry, _ = entries_of(offsets_of(tracks["n_hits"]), order)
    hits = {name: values[entry] for name, values in hits.items()}
    tracks = {name: values[order] for name, values in tracks.items()}
    n_hits = tracks.pop("n_hits")
    tracks["vertex"] = np.zeros_like(place) if one_vertex else place
    return toyhaystack.events_of_hits(hits, n_hits, tracks, n_tracks)


make_block_of_one_vertex = partial(make_block, one_vertex=True)
make_block_without_field = partial(make_block, field_gauss=0.0)
