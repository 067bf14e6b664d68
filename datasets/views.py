"""Hits to arrays: the images, voxels and sequences that networks take. Whole tables at once, by scatter.

All images are uint8, 1 where a cell fired. Hits without a measured z are in the top view and absent from views that need z.
With `n_channels=2` the two tracker sides become channels; with 1 the sides are laid on top of each other.
"""

import numpy as np

from datasets.geometry import N_COLUMNS, N_LAYERS, N_Z_BINS, z_bin

SHAPES = {
    "top": (N_LAYERS, N_COLUMNS),
    "side": (N_Z_BINS, N_COLUMNS),
    "front": (N_Z_BINS, N_LAYERS),
    "padded": (N_COLUMNS + 3, N_LAYERS + 3),
    "voxels": (N_LAYERS, N_COLUMNS, N_Z_BINS),
}


def _scatter(event, cell, shape, n_events, n_channels, side):
    """Mark flat cells of images of `shape`: (event, *shape, channel) uint8."""
    image = np.zeros((n_events, *shape, n_channels), np.uint8)
    index = event * (image.size // n_events if n_events else 0) + cell * n_channels
    if n_channels == 2:
        index += side
    image.reshape(-1)[index] = 1
    return image


def top_view(events, n_channels=1):
    """Cells that fired, seen along the wires: (event, layer 9, column 113, channel) uint8."""
    return _view(events, "top", n_channels)


def side_view(events, n_channels=1):
    """Seen from the calorimeter wall: (event, z 30, column 113, channel) uint8."""
    return _view(events, "side", n_channels)


def front_view(events, n_channels=1):
    """Seen along the foil: (event, z 30, layer 9, channel) uint8."""
    return _view(events, "front", n_channels)


def padded_view(events, n_channels=1):
    """Top view of the clustering networks, (event, 116, 12, channel) uint8: cell (layer, column) at [column + 2, layer + 2]."""
    return _view(events, "padded", n_channels)


def voxels(events, n_channels=1):
    """Fired cells with z as the third axis: (event, layer 9, column 113, z 30, channel) uint8."""
    return _view(events, "voxels", n_channels)


def _view(events, name, n_channels):
    shape = SHAPES[name]
    hits, event = events.hits, events.hit_event
    if name in ("side", "front", "voxels"):
        measured = np.isfinite(hits["z_mm"])
        if not measured.all():
            hits, event = {k: hits[k][measured] for k in ("side", "layer", "column", "z_mm")}, event[measured]
        z = z_bin(hits["z_mm"])
    layer, column = hits["layer"].astype(np.intp), hits["column"].astype(np.intp)
    cell = {
        "top": lambda: layer * N_COLUMNS + column,
        "side": lambda: z * N_COLUMNS + column,
        "front": lambda: z * N_LAYERS + layer,
        "padded": lambda: (column + 2) * (N_LAYERS + 3) + layer + 2,
        "voxels": lambda: (layer * N_COLUMNS + column) * N_Z_BINS + z,
    }[name]()
    return _scatter(event, cell, shape, len(events), n_channels, hits["side"])
