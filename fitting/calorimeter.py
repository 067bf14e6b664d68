"""Which calorimeter block each track ends in, with a probability.

Each track is a mixture of solutions, straight ones and ones with a kink (`mixture`). The parameters of each
are drawn from its normal distribution, and each draw is followed to where it ends. The share of the draws in
a block is its probability: correlations, and that heights and columns are no linear functions of angles, are
in it. Only what starts at the foil, within the detector, counts.

Coordinates are those of the events' own geometry, by |x|. Lines are given by a place (x, y, z) in mm and a
slope (dy/dx, dz/dx).
"""

from dataclasses import dataclass, replace

import numpy as np

from datasets import geometry as geo
from datasets.events import offsets_of
from datasets.geometry import CELL_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS
from fitting import mixture, track_hits
from fitting.solutions import (
    N_DRAWS,
    NO_KINK,
    RISE,
    RISE_CHANGE,
    THETA,
    TURN,
    Solutions,
    chunks,
    draw,
    first_slopes,
    last_slopes,
    points_mm,
)

OFF_FOIL = 1e-4  # how much less probable a track is that does not start at the foil, or ends above its wires
BEYOND_WIRES_MM = 50.0  # that a height may be, by its error

_FAR_MM = 3000.0  # farther than any wall
_N_NUMBERS = 2**14  # more than those of `_number`
_TINY = 1e-9


@dataclass
class Ends:
    """Where tracks may end.

    Attributes:
        event, label, side: (track,) event of each track, its label there, and its tracker side.
        offsets: (track + 1,) of the blocks below; those of a track follow each other, the most probable
            first. A track of which no direction is known has none.
        address: name -> (block,) int: calo_type, calo_side, calo_wall, calo_column, calo_row as in the tracks
            of the event table.
        block_probability: (block,) float.
        kink_probability: (track,) that the track has a kink.
        solutions: Solutions, all that count, in any order.
    """

    event: np.ndarray
    label: np.ndarray
    side: np.ndarray
    offsets: np.ndarray
    address: dict
    block_probability: np.ndarray
    kink_probability: np.ndarray
    solutions: Solutions

    def best(self):
        """The most probable block of each track.

        Returns:
            name -> (track,) array: those of `address`, -1 where nothing is known, and `probability`, then 0.
        """
        known = np.flatnonzero(np.diff(self.offsets))
        first = self.offsets[known]
        best = {name: np.full(len(self.event), -1) for name in self.address}
        for name, values in self.address.items():
            best[name][known] = values[first]
        best["probability"] = np.zeros(len(self.event))
        best["probability"][known] = self.block_probability[first]
        return best


def ends(events, fitted):
    """Where the tracks of a table end.

    Args:
        events: Events. fitted: FittedTracks of them, as of `tracks.fit`.
    Returns:
        Ends.
    """
    n_tracks = len(fitted.event)
    hits = track_hits.of_tracks(events, fitted)
    some = mixture.of_tracks(events, fitted, hits)
    key, share, of_solution = _shares(some, events, fitted, _last_wires_mm(hits))
    track, number = np.divmod(key, _N_NUMBERS)
    of_track = np.bincount(some.track, of_solution, n_tracks)
    of_kinks = np.bincount(some.track, of_solution * (some.kink != NO_KINK), n_tracks)
    probability = share / of_track[track]
    order = np.lexsort((-probability, track))
    return Ends(
        event=fitted.event,
        label=fitted.label,
        side=fitted.side,
        offsets=offsets_of(np.bincount(track, minlength=n_tracks)),
        address=_address(number[order], fitted.side[track[order]].astype(int)),
        block_probability=probability[order],
        kink_probability=of_kinks / np.where(of_track > 0, of_track, 1.0),
        solutions=replace(some, log_likelihood=np.log(of_solution)),
    )


def of_principal_axis(events, fitted):
    """The block of each track without a fit of radii: the principal axis of its wires in the top view goes on
    to the wall, and so does a least-squares line through the heights along it.

    Args:
        events, fitted: as of `ends`.
    Returns:
        name -> (track,) int, as `Ends.address`; a track of one wire goes straight away from the foil.
    """
    hits = track_hits.of_tracks(events, fitted)
    track = hits.track
    middle, theta = hits.axes()
    direction = np.stack([np.cos(theta), np.sin(theta)], -1)
    path = ((hits.wire_mm - middle[track]) * direction[track]).sum(1)
    measured = np.isfinite(hits.sigma_z_mm)
    n_measured = np.maximum(np.bincount(track[measured], minlength=hits.n_tracks), 1)

    def mean(values):
        """(track,) mean of (hit,) values over measured heights."""
        return np.bincount(track[measured], values[measured], hits.n_tracks) / n_measured

    mean_path = mean(path)
    mean_z = mean(hits.z_mm)
    from_mean = path - mean_path[track]
    rise = mean(from_mean * hits.z_mm) / np.maximum(mean(from_mean**2), _TINY)
    cos = np.copysign(np.maximum(np.abs(direction[:, 0]), _TINY), direction[:, 0])
    place = (middle[:, 0], middle[:, 1], mean_z - rise * mean_path)
    slope = (direction[:, 1] / cos, rise / cos)
    return blocks_of_lines(events, fitted.event, fitted.side, place, slope)


def blocks_of_lines(events, event, side, place, slope):
    """The block that straight lines end in.

    Args:
        events: Events, which say the geometry. event, side: (line,). place: (x, y, z) in mm of a point of
            each line, by |x|, each (line,). slope: (dy/dx, dz/dx), each (line,).
    Returns:
        name -> (line,) int, as `Ends.address`.
    """
    is_toy = events.info["geometry"][event] == geo.TOY
    number = np.where(is_toy, _toy_block(place, slope), _detector_block(place, slope))
    return _address(number, side.astype(int))


# ---- from solutions to blocks ------------------------------------------------------------------------------


def _shares(some, events, fitted, last_wire_mm):
    """How much of the mixture of its solutions of a track ends in each block.

    Args:
        some: Solutions. events, fitted: as of `ends`. last_wire_mm: (track, 2), as of `_last_wires_mm`.
    Returns:
        key: (block,) int, track * _N_NUMBERS + number of the block, rising.
        share: (block,) of the track in that block.
        of_solution: (solution,) share of each. The best one of a track has 1 if all its draws start at the
            foil and pass their hits within the wires.
    """
    best = some.best_log_likelihood(len(fitted.event))
    weight = np.exp(some.log_likelihood - best[some.track])
    is_toy = events.info["geometry"][fitted.event] == geo.TOY
    keys = [np.zeros(0, int)]
    shares = [np.zeros(0)]
    of_solution = np.zeros(len(some))
    for which in chunks(len(some)):
        part = some[which]
        number, probability = _blocks_of_draws(part, is_toy[part.track], last_wire_mm[part.track])
        share = weight[which, None] * probability / N_DRAWS
        of_solution[which] = share.sum(1)
        key, share = _added(part.track[:, None] * _N_NUMBERS + number, share)
        keys.append(key)
        shares.append(share)
    key, share = _added(np.concatenate(keys), np.concatenate(shares))
    return key, share, of_solution


def _added(key, share):
    """Distinct keys, rising, and the sum of the shares of each."""
    key, number = np.unique(key, return_inverse=True)
    return key, np.bincount(number.ravel(), share.ravel(), len(key))


def _blocks_of_draws(some, is_toy, last_wire_mm):
    """Blocks where draws of solutions end, and how probable each draw is: less where it does not start at the
    foil, or passes its last hit above or below the wires.

    Args:
        some: Solutions. is_toy: (solution,) bool. last_wire_mm: (solution, 2) wire of the hit farthest out.
    Returns:
        number: (solution, draw) int. probability: (solution, draw).
    """
    value = draw(some)
    place = points_mm(some, value)
    foil_y, foil_z = _at(0.0, place, first_slopes(value))
    on_foil = (np.abs(foil_y) < N_COLUMNS * CELL_MM / 2) & (np.abs(foil_z) < HALF_HEIGHT_MM)

    x, y, z = place
    theta = value[..., THETA] + value[..., TURN]
    rise = value[..., RISE] + value[..., RISE_CHANGE]
    path = np.cos(theta) * (last_wire_mm[:, :1] - x) + np.sin(theta) * (last_wire_mm[:, 1:] - y)
    last_z = z + rise * path
    in_tracker = np.abs(last_z) < HALF_HEIGHT_MM + BEYOND_WIRES_MM

    slope = last_slopes(value)
    number = np.where(is_toy[:, None], _toy_block(place, slope), _detector_block(place, slope))
    return number, np.where(on_foil & in_tracker, 1.0, OFF_FOIL)


def _last_wires_mm(hits):
    """(track, 2) wire of the hit of each track that is farthest from the foil; NaN without a hit."""
    track = hits.track
    order = np.lexsort((hits.x_mm, track))
    wire = np.full((hits.n_tracks, 2), np.nan)
    wire[track[order]] = hits.wire_mm[order]  # the last one written is the farthest
    return wire


# ---- walls and blocks --------------------------------------------------------------------------------------


def _at(x, place, slope):
    """(y, z) of lines at |x|."""
    to_go = x - place[0]
    return place[1] + slope[0] * to_go, place[2] + slope[1] * to_go


def _toy_block(place, slope):
    """Number of the toy's block that lines end in."""
    y, z = _at(N_LAYERS * CELL_MM, place, slope)
    column, row = geo.toy_calo_block(
        y / CELL_MM + N_COLUMNS / 2, z / HALF_HEIGHT_MM * geo.TOY_HALF_HEIGHT
    )
    return _number(geo.MAIN_WALL, -1, column, row)


def _detector_block(place, slope):
    """Number of the detector's block that lines end in: at the first wall that they reach.

    In a gap between blocks it is the next one; lines that slip through between two walls end in that of the
    nearest plane.
    """
    x = _to_walls(place, slope)
    y, z = _at(x, place, slope)
    is_there = [
        _covers(y[0], geo.MAIN_COLUMN_GRID) & _covers(z[0], geo.MAIN_ROW_GRID),
        _covers(x[1], geo.X_COLUMN_GRID) & _covers(z[1], geo.X_ROW_GRID),
        _covers(x[2], geo.VETO_X_GRID) & (np.abs(y[2]) < geo.X_WALL_Y_MM),
    ]
    wall = (x + np.where(is_there, 0.0, 2 * _FAR_MM)).argmin(0)

    main_column = _index(y[0], geo.MAIN_COLUMN_GRID)
    main_row = _index(z[0], geo.MAIN_ROW_GRID)
    x_column = _index(x[1], geo.X_COLUMN_GRID)
    x_row = _index(z[1], geo.X_ROW_GRID)
    half = geo.N_VETO_COLUMNS // 2
    from_middle = _index(np.abs(y[2]), geo.VETO_COLUMN_GRID)
    veto_column = np.where(y[2] > 0, half + from_middle, half - 1 - from_middle)
    numbers = [
        _number(geo.MAIN_WALL, -1, main_column, main_row),
        _number(geo.X_WALL, (y[1] > 0).astype(int), x_column, x_row),
        _number(geo.GAMMA_VETO, (z[2] > 0).astype(int), veto_column, -1),
    ]
    return np.choose(wall, numbers)


def _to_walls(place, slope):
    """(3, line) |x| where lines reach the planes of main wall, X-wall and gamma veto, from 0 to _FAR_MM."""
    foil_y, foil_z = _at(0.0, place, slope)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_x_wall = (geo.X_WALL_Y_MM - np.sign(slope[0]) * foil_y) / np.abs(slope[0])
        to_veto = (geo.VETO_Z_MM - np.sign(slope[1]) * foil_z) / np.abs(slope[1])
    to_main_wall = np.full_like(to_veto, geo.MAIN_WALL_X_MM)
    x = np.stack([to_main_wall, to_x_wall, to_veto])
    return np.clip(np.nan_to_num(x, nan=_FAR_MM), 0.0, _FAR_MM)


def _covers(position_mm, row):
    """Whether a position is in a row of blocks, gaps between them included."""
    from_edge = position_mm - row.first_edge_mm
    return (from_edge >= 0) & (from_edge <= row.n_blocks * row.pitch_mm)


def _index(position_mm, row):
    """Index of the block at a position in a row of blocks; the nearest where there is none."""
    index = np.floor((position_mm - row.first_edge_mm) / row.pitch_mm)
    return np.clip(index, 0, row.n_blocks - 1).astype(int)


def _number(calo_type, wall, column, row):
    """One number for an address, without the side."""
    return ((calo_type * 3 + (wall + 1)) * 32 + (column + 1)) * 32 + (row + 1)


def _address(number, side):
    """The inverse of `_number`: name -> array."""
    number, row = np.divmod(number, 32)
    number, column = np.divmod(number, 32)
    calo_type, wall = np.divmod(number, 3)
    return {
        "calo_type": calo_type,
        "calo_side": side,
        "calo_wall": wall - 1,
        "calo_column": column - 1,
        "calo_row": row - 1,
    }
