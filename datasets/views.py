"""Hits to arrays: the images, voxels and sequences that networks take. Whole tables at once, by scatter.

All images are uint8, 1 where a cell fired. Hits without a measured z are in the top view and absent from
views that need z. With `n_channels=2` the two tracker sides become channels; with 1 the sides are laid on top
of each other.
"""

import numpy as np

from datasets.events import rows_and_places
from datasets.geometry import (
    CELL_MM,
    CELL_RADIUS_MM,
    HALF_HEIGHT_MM,
    MIDDLE_COLUMN,
    N_COLUMNS,
    N_LAYERS,
    N_Z_BINS,
    z_bin,
)

SHAPES = {
    "top": (N_LAYERS, N_COLUMNS),
    "side": (N_Z_BINS, N_COLUMNS),
    "front": (N_Z_BINS, N_LAYERS),
    "padded": (N_COLUMNS + 3, N_LAYERS + 3),
    "voxels": (N_LAYERS, N_COLUMNS, N_Z_BINS),
}
AXES = {
    "top": ("layer", "column"),
    "side": ("z", "column"),
    "front": ("z", "layer"),
    "padded": ("column", "layer"),
    "voxels": ("layer", "column", "z"),
}
WAY_OFF_FOIL_MM = 2 * CELL_MM
PADDING = 2  # cells before the first in the padded view
CHUNK = 2048  # events whose hits and indices stay in the processor's cache

SEQUENCE_FEATURES = (
    "side",
    "layer",
    "column",
    "drift_radius",
    "z",
    "radius_measured",
    "z_measured",
)


def top_view(events, n_channels=1):
    """Cells that fired, seen along the wires: (event, layer 9, column 113, channel) uint8."""
    return images(events, ("top",), n_channels)["top"]


def side_view(events, n_channels=1):
    """Seen from the calorimeter wall: (event, z 30, column 113, channel) uint8."""
    return images(events, ("side",), n_channels)["side"]


def front_view(events, n_channels=1):
    """Seen along the foil: (event, z 30, layer 9, channel) uint8."""
    return images(events, ("front",), n_channels)["front"]


def padded_view(events, n_channels=1):
    """Top view of the clustering networks, (event, 116, 12, channel) uint8: cell (layer, column) at [column +
    2, layer + 2].
    """
    return images(events, ("padded",), n_channels)["padded"]


def voxels(events, n_channels=1):
    """Fired cells with z as the third axis: (event, layer 9, column 113, z 30, channel) uint8."""
    return images(events, ("voxels",), n_channels)["voxels"]


def images(events, names, n_channels=1):
    """Several views at once, which share the work on the hits.

    Args:
        names: views to make, of SHAPES.
    Returns:
        name -> (event, *SHAPES[name], channel) uint8.
    """
    n_events = len(events)
    out = {name: np.zeros((n_events, *SHAPES[name], n_channels), np.uint8) for name in names}
    for start in range(0, n_events, CHUNK):
        stop = min(start + CHUNK, n_events)
        offsets = events.hit_offsets[start : stop + 1]
        event = np.repeat(np.arange(stop - start), np.diff(offsets))
        chunk = slice(offsets[0], offsets[-1])
        hits = {name: events.hits[name][chunk] for name in ("side", "layer", "column", "z_mm")}
        measured = np.isfinite(hits["z_mm"])
        place = {axis: _places(hits, axis) for axis in ("side", "layer", "column", "z")}
        for name, image in out.items():
            lit = _pixels(name, event, place, n_channels)
            if "z" in AXES[name] and not measured.all():
                lit = lit[measured]
            pixels = image[start:stop].reshape(-1)
            pixels[lit] = 1
    return out


def _places(hits, axis):
    """(hit,) int: where hits are on an axis of the views; on z those without a measured one are anywhere."""
    if axis == "z":
        measured = np.isfinite(hits["z_mm"])
        return z_bin(np.where(measured, hits["z_mm"], 0))
    return hits[axis].astype(np.intp)


def _pixels(name, event, place, n_channels):
    """(hit,) index of the pixel of each hit, through the images of all events.

    Args:
        name: of the view. event: (hit,). place: axis -> (hit,) int.
    """
    pixel = event
    for axis, size in zip(AXES[name], SHAPES[name], strict=True):
        pixel = pixel * size + place[axis]
    if name == "padded":
        _, n_layers = SHAPES["padded"]
        pixel += PADDING * n_layers + PADDING
    if n_channels == 2:
        pixel = pixel * 2 + place["side"]
    return pixel


def owners(events, name, length=1, n_tracks=4, n_segments=1):
    """Which tracks, or straight segments of tracks, are in each piece of an image, for networks that learn
    it.

    Args:
        name: of the view. length: pixels of a row that make a piece. n_tracks: tracks that are told; hits of
            those beyond count for none.
        n_segments: segments of a track that are told apart; those beyond count for the last.
    Returns:
        (event, row, piece, n_tracks x n_segments + 1) uint8, 1 where a track has a hit. An event's tracks are
        in their order along the foil, or by height in the front view, which does not show the place along the
        foil; each has places for its segments, outwards; the last is noise. All 0 in an event whose hits have
        no owners in the table.
    """
    n_rows, n_columns = SHAPES[name]
    n_pieces = -(-n_columns // length)
    n_owners = n_tracks * n_segments + 1
    owned = np.zeros((len(events), n_rows, n_pieces, n_owners), np.uint8)

    hits = events.hits
    event = events.hit_event
    row_axis, column_axis = AXES[name]
    row = _places(hits, row_axis)
    piece = _places(hits, column_axis) // length
    seen = np.isfinite(hits["z_mm"]) if "z" in AXES[name] else np.ones(len(event), bool)

    first_track = events.track_offsets[event]
    n_in_table = np.diff(events.track_offsets)[event]
    rank = track_rank(events, "z" if name == "front" else "y")
    for owner in ("track", "second_track"):
        in_table = (hits[owner] >= 0) & (hits[owner] < n_in_table)
        hit = np.flatnonzero(seen & in_table)
        track = rank[first_track[hit] + hits[owner][hit]]
        told = track < n_tracks
        hit = hit[told]
        track = track[told]
        segment = 0  # a second owner's is not known
        if owner == "track":
            segment = np.minimum(hits["segment"][hit], n_segments - 1)
        place_of_owner = track * n_segments + segment
        owned[event[hit], row[hit], piece[hit], place_of_owner] = 1

    labelled = owned.any((1, 2, 3))
    is_noise = seen & (hits["track"] < 0)
    hit = np.flatnonzero(is_noise & labelled[event])
    owned[event[hit], row[hit], piece[hit], -1] = 1
    return owned


def track_rank(events, along="y"):
    """(track,) place of each track among those of its event, in the order of y or z a little off the foil.

    There, WAY_OFF_FOIL_MM further on in the view, tracks of one foil point are apart: an order by foil points
    would be chance.
    """
    slope = np.nan_to_num(events.tracks[f"slope_{along}"])
    sine = slope / np.hypot(1, slope)
    place_mm = events.tracks[f"foil_{along}_mm"] + WAY_OFF_FOIL_MM * sine
    order = np.lexsort((place_mm, events.track_event))
    _, place = rows_and_places(np.diff(events.track_offsets))
    rank = np.empty(len(order), int)
    rank[order] = place
    return rank


def sequences(events, max_hits=128):
    """Hits of each event one after the other, padded to the same length, for attention models.

    Hits keep the order of the table; those of an event beyond `max_hits` are dropped, so its last ones.

    Args:
        max_hits: length of a sequence.
    Returns:
        features: (event, max_hits, 7) float32, in the order of SEQUENCE_FEATURES: side -1 or 1, layer -1 (at
            the foil) to 1, column -1 to 1, drift radius in cell radii of 22 mm, z in half heights of 1550 mm,
            then 1 where the radius and where z was measured, else 0 and the value is 0. Rows without a hit
            are 0.
        mask: (event, max_hits) bool, where there is a hit.
    """
    kept = events.hit_place < max_hits
    names = ("side", "layer", "column", "drift_radius_mm", "z_mm")
    hits = {name: events.hits[name][kept].astype(np.float32) for name in names}
    radius = hits["drift_radius_mm"] / CELL_RADIUS_MM
    z = hits["z_mm"] / HALF_HEIGHT_MM
    middle_layer = (N_LAYERS - 1) / 2
    columns = [
        2 * hits["side"] - 1,
        hits["layer"] / middle_layer - 1,
        hits["column"] / MIDDLE_COLUMN - 1,
        np.nan_to_num(radius),
        np.nan_to_num(z),
        np.isfinite(radius),
        np.isfinite(z),
    ]
    mask = np.arange(max_hits) < events.n_hits[:, None]
    features = np.zeros((*mask.shape, len(columns)), np.float32)
    features[mask] = np.stack(columns, -1)
    return features, mask


def n_lit_pieces(events, name, length=1):
    """(event,) pieces of `length` pixels of a row of a view in which some pixel is lit, on either side."""
    lit = images(events, (name,))[name].any(-1)
    first_pixels = np.arange(0, lit.shape[2], length)
    return np.logical_or.reduceat(lit, first_pixels, axis=2).sum((1, 2))
