"""Which fired calorimeter block belongs to which track.

A solution of a track is extrapolated to the plane of a block's face. Its distance from the face is counted in
the errors of the extrapolation; a solution that is less likely than the track's best one is farther off.
Tracks and blocks that are nearest to each other belong together.
"""

from dataclasses import dataclass

import numpy as np

from datasets import geometry as geo
from datasets.events import rows_and_places
from fitting.solutions import chunks, draw, last_slopes, points_mm

SLACK_MM = 10.0  # of a real track's end: curvature, depth of a block

_OUT_OF_REACH_MM = 1e5
_OFF_MIDDLE = 1e-3  # in errors for half a face: decides where several tracks are at distance 0


@dataclass
class Associated:
    """Which fired blocks of events belong to which tracks.

    Attributes:
        block: (track,) index among all blocks of the table, -1 where no block is the track's.
        distance: (track,) of the solution from the face of that block, in its errors, 0 on the face; NaN
            without one.
        track: (block,) index of the track, -1 where none ends there: a gamma, or a track that was not found.
    """

    block: np.ndarray
    distance: np.ndarray
    track: np.ndarray


def associate(events, found, farthest=3.0, slack_mm=SLACK_MM):
    """Give fired blocks to tracks: the nearest in errors of the extrapolation, each at most once.

    Args:
        events: Events with blocks. found: Ends of its tracks, as of `calorimeter.ends`.
        farthest: from the face of a block, in errors, that a track may end. slack_mm: added to the errors,
            for what is no straight line.
    Returns:
        Associated.
    """
    some = found.solutions
    solution, block = _possible_pairs(events, found)
    track = some.track[solution]
    middle, half = _faces_mm(events)
    from_face = np.zeros(len(solution))
    off_middle = np.zeros(len(solution))
    for pairs in chunks(len(solution)):
        faces = middle[block[pairs]], half[block[pairs]]
        from_face[pairs], off_middle[pairs] = _from_face(some[solution[pairs]], *faces, slack_mm)
    best = some.best_log_likelihood(len(found.event))
    less_likely = (best[some.track] - some.log_likelihood)[solution]
    distance = np.hypot(from_face, np.sqrt(2 * less_likely))
    near = distance <= farthest
    cost = distance[near] + _OFF_MIDDLE * off_middle[near]
    order = np.argsort(cost, kind="stable")
    n_tracks = len(found.event)
    return _best_pairs(
        track[near][order],
        block[near][order],
        distance[near][order],
        n_tracks,
        n_blocks=len(middle),
    )


def _possible_pairs(events, found):
    """Solutions and blocks of the same event and tracker side: indices of both, each (pair,)."""
    track = found.solutions.track
    event = found.event[track]
    n_blocks = np.diff(events.block_offsets)[event]
    solution, place = rows_and_places(n_blocks)
    block = events.block_offsets[:-1][event[solution]] + place
    is_possible = events.blocks["side"][block] == found.side[track[solution]]
    is_possible &= events.blocks["calo_type"][block] >= 0
    return solution[is_possible], block[is_possible]


def _faces_mm(events):
    """Middle and half size of the faces of all blocks of a table, (block, 3) each, by |x|; 0 is across."""
    blocks = events.blocks
    event = np.repeat(np.arange(len(events)), np.diff(events.block_offsets))
    is_toy = (events.info["geometry"][event] == geo.TOY)[:, None]
    calo_type, side, wall, column, row = (
        blocks[name].astype(int) for name in ("calo_type", "side", "wall", "column", "row")
    )
    detector_middle = geo.block_face_mm(calo_type, side, wall, column, row)
    middle = np.where(is_toy, geo.toy_block_face_mm(side, column, row), detector_middle)
    middle[:, 0] = np.abs(middle[:, 0])
    size = np.where(is_toy, geo.TOY_FACE_SIZE_MM, geo.FACE_SIZES_MM[calo_type])
    return middle, size / 2


def _from_face(some, middle, half, slack_mm):
    """How far solutions are from faces where they reach their planes.

    Args:
        some: Solutions. middle, half: (solution, 3) in mm.
    Returns:
        (solution,) distance from the edge in errors, 0 inside, and distance from the middle in half sizes;
        both infinite for solutions that go the other way.
    """
    mean = _on_plane_mm(some, some.value[:, None], middle, half)[:, 0]
    draws = _on_plane_mm(some, draw(some), middle, half)
    variance = np.square(draws - mean[:, None]).mean(1) + slack_mm**2
    off = np.abs(mean - middle)
    beyond = np.maximum(off - half, 0) / np.sqrt(variance)
    is_forward = (mean[:, 0] > 0) & np.isfinite(beyond).all(1)
    from_edge = np.sqrt(np.square(beyond).sum(1))
    off_middle = (off / np.where(half > 0, half, np.inf)).max(1)
    return np.where(is_forward, from_edge, np.inf), np.where(is_forward, off_middle, np.inf)


def _on_plane_mm(some, value, middle, half):
    """(solution, draw, 3) where solutions, of value (solution, draw, 6), meet the planes of faces."""
    x, y, z = points_mm(some, value)
    slope_y, slope_z = last_slopes(value)
    # the way in |x| to the plane, which is across x, y or z
    with np.errstate(divide="ignore", invalid="ignore"):
        ways = np.stack(
            [
                middle[:, :1] - x,
                (middle[:, 1:2] - y) / slope_y,
                (middle[:, 2:] - z) / slope_z,
            ]
        )
    across = half.argmin(1)
    way = ways[across, np.arange(len(across))]
    with np.errstate(invalid="ignore", over="ignore"):
        point = np.stack([x + way, y + slope_y * way, z + slope_z * way], -1)
    return np.clip(np.nan_to_num(point, nan=np.inf), -_OUT_OF_REACH_MM, _OUT_OF_REACH_MM)


def _best_pairs(track, block, distance, n_tracks, n_blocks):
    """Associated: pairs of tracks and blocks that are each other's nearest first, then those of what is left.

    Args:
        track, block, distance: (pair,), the nearest first.
    """
    of_track = np.full(n_tracks, -1)
    of_block = np.full(n_blocks, -1)
    distance_of_track = np.full(n_tracks, np.nan)
    while len(track):
        _, first_of_track = np.unique(track, return_index=True)
        _, first_of_block = np.unique(block, return_index=True)
        pair = np.intersect1d(first_of_track, first_of_block)
        of_track[track[pair]] = block[pair]
        of_block[block[pair]] = track[pair]
        distance_of_track[track[pair]] = distance[pair]
        is_left = (of_track[track] < 0) & (of_block[block] < 0)
        track = track[is_left]
        block = block[is_left]
        distance = distance[is_left]
    return Associated(of_track, distance_of_track, of_block)
