"""What the track finders of this room share: coordinates of hits, tracker halves as groups, numbering of
found tracks.

A found track is a label of its hits: (hit,) int16, index of the track in its event, -1 for a hit that is left
out. Halves of the tracker never share a track: finders work on groups, one a half of an event, and number the
tracks of an event through.

All finders work in one frame, whatever detector or simulation the events are from: x is 0 at the near edge of
the first cells and grows away from the foil. Where the foil lies before it changes nothing in what is found.
"""

from dataclasses import dataclass

import numpy as np

from datasets.drift import possible_radius_mm
from datasets.geometry import CELL_MM, N_COLUMNS, N_LAYERS, wire_y_mm


@dataclass(frozen=True)
class Hits:
    """Hits as a finder takes them.

    Attributes:
        x, y: (hit,) wire in mm. radius: (hit,) drift radius in mm, NaN unknown; one that no track through the
            cell can have counts as unknown. z: (hit,) height in mm, NaN unknown.
        group: (hit,) int, half event of each hit. n_groups: half events, those without hits too.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    z: np.ndarray
    group: np.ndarray
    n_groups: int

    def __len__(self):
        return len(self.x)

    def __getitem__(self, which):
        """The hits of a slice, of a (hit,) mask or of an array of indices."""
        return Hits(
            x=self.x[which],
            y=self.y[which],
            radius=self.radius[which],
            z=self.z[which],
            group=self.group[which],
            n_groups=self.n_groups,
        )


def group_of_hits(events):
    """(hit,) index of the half event of each hit: twice its event, plus its side."""
    return 2 * events.hit_event + events.hits["side"]


def wires_mm(events):
    """x and y of the wire of each hit, each (hit,) float64, in the frame of this room."""
    x = CELL_MM * (events.hits["layer"].astype(float) + 0.5)
    y = wire_y_mm(events.hits["column"].astype(float))
    return x, y


def finder_hits(events):
    """Hits in the order of their cells, so that no finder can profit from the order in a file, and that
    order.

    Returns:
        Hits, float64; order (hit,): entry i is hit order[i] of the event table.
    """
    group = group_of_hits(events)
    layer = (
        group * N_LAYERS + events.hits["layer"]
    )  # numbered through all half events, and so the cells
    cell = layer * N_COLUMNS + events.hits["column"]
    order = np.argsort(cell, kind="stable")
    x, y = wires_mm(events)
    radius = possible_radius_mm(events.hits["drift_radius_mm"].astype(float))
    hits = Hits(
        x=x,
        y=y,
        radius=radius,
        z=events.hits["z_mm"].astype(float),
        group=group,
        n_groups=2 * len(events),
    )
    return hits[order], order


def places(counts):
    """For rows that hold `counts` entries each: (entry,) index of the row, place of the entry in its row."""
    row = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return row, np.arange(len(row)) - first[row]


def number_tracks(cluster, event, min_hits=1):
    """Labels from clusters that are numbered in any way.

    Args:
        cluster: (hit,) int, the same for hits of one track and never shared by events; below 0 is left out.
        event: (hit,) event of each hit, rising. min_hits: smaller clusters are left out.
    Returns:
        (hit,) int16; the tracks of an event count in the order of their first hits.
    """
    cluster = np.asarray(cluster)
    event = np.asarray(event)
    kept = np.flatnonzero(cluster >= 0)
    _, first, inverse, count = np.unique(
        cluster[kept],
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    large = np.flatnonzero(count >= min_hits)
    by_first = large[np.argsort(first[large])]
    event_of = event[kept[first[by_first]]]
    number = np.full(len(count), -1)
    number[by_first] = np.arange(len(by_first)) - np.searchsorted(event_of, event_of)
    labels = np.full(len(cluster), -1, np.int16)
    labels[kept] = number[inverse]
    return labels


def count_tracks(events, labels):
    """(event,) number of found tracks."""
    n_tracks = np.zeros(len(events), int)
    np.maximum.at(n_tracks, events.hit_event, labels.astype(int) + 1)
    return n_tracks
