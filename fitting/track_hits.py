"""The hits of tracks, sorted by track.

Coordinates are those of the events' own geometry, by |x|: x is the distance from the foil on either side.
"""

from dataclasses import dataclass

import numpy as np

from datasets import geometry as geo
from datasets.drift import possible_radius_mm, sigma_radius_mm
from datasets.events import offsets_of
from datasets.geometry import CELL_MM
from fitting.line import UNKNOWN_RADIUS_SIGMA_MM
from fitting.tracks import RADIUS_SCALE, SIGMA_Z_MM


@dataclass
class TrackHits:
    """Hits of tracks, sorted by track.

    Attributes:
        offsets: (track + 1,) of the hits below.
        layer: (hit,) int.
        x_mm, y_mm: (hit,) wire.
        radius_mm, z_mm: (hit,) drift radius and height, 0 where unknown.
        sigma_radius_mm, sigma_z_mm: (hit,) their errors. That of an unknown radius is
            UNKNOWN_RADIUS_SIGMA_MM, that of an unknown height infinite.
    """

    offsets: np.ndarray
    layer: np.ndarray
    x_mm: np.ndarray
    y_mm: np.ndarray
    radius_mm: np.ndarray
    z_mm: np.ndarray
    sigma_radius_mm: np.ndarray
    sigma_z_mm: np.ndarray

    @property
    def n_tracks(self):
        """Number of tracks, those without a hit included."""
        return len(self.offsets) - 1

    @property
    def n_hits(self):
        """(track,) number of hits."""
        return np.diff(self.offsets)

    @property
    def track(self):
        """(hit,) index of the track."""
        return np.repeat(np.arange(self.n_tracks), self.n_hits)

    @property
    def wire_mm(self):
        """(hit, 2) x and y."""
        return np.stack([self.x_mm, self.y_mm], -1)

    def padded(self, track):
        """The hits of some tracks as a table.

        Args:
            track: (chosen,) indices of tracks, in any order and as often as wanted.
        Returns:
            name -> (chosen, place) array: all attributes of hits. Where a track has no more hits, both errors
            are infinite.
        """
        n_hits = self.n_hits[track]
        place = np.arange(n_hits.max(initial=1))
        missing = place >= n_hits[:, None]
        hit = np.where(missing, 0, self.offsets[track][:, None] + place)
        names = ("layer", "x_mm", "y_mm", "radius_mm", "z_mm")
        table = {name: getattr(self, name)[hit] for name in names}
        for name in ("sigma_radius_mm", "sigma_z_mm"):
            table[name] = np.where(missing, np.inf, getattr(self, name)[hit])
        return table

    def axes(self):
        """Main axes of the wires of tracks.

        Returns:
            middle_mm: (track, 2) of the wires, 0 without one.
            theta: (track,) direction of the axis, from the x axis, in rad.
        """
        track = self.track
        wire = self.wire_mm
        total = np.stack([np.bincount(track, wire[:, i], self.n_tracks) for i in (0, 1)], -1)
        middle = total / np.maximum(self.n_hits, 1)[:, None]
        x, y = (wire - middle[track]).T
        xx = np.bincount(track, x * x, self.n_tracks)
        xy = np.bincount(track, x * y, self.n_tracks)
        yy = np.bincount(track, y * y, self.n_tracks)
        theta = np.arctan2(2 * xy, xx - yy) / 2
        return middle, theta


def of_tracks(events, fitted):
    """The hits of fitted tracks, with the usual errors.

    Args:
        events: Events. fitted: FittedTracks of them, as of `tracks.fit`.
    Returns:
        TrackHits, of the same tracks.
    """
    track = fitted.of_hits
    owned = np.flatnonzero(track >= 0)
    owned = owned[np.argsort(track[owned], kind="stable")]
    hits = {name: values[owned] for name, values in events.hits.items()}
    radius = possible_radius_mm(hits["drift_radius_mm"]).astype(float)
    sigma_radius = RADIUS_SCALE * sigma_radius_mm(radius)
    z = hits["z_mm"].astype(float)
    return TrackHits(
        offsets=offsets_of(np.bincount(track[owned], minlength=len(fitted.event))),
        layer=hits["layer"].astype(int),
        x_mm=events.first_wire_mm[events.hit_event[owned]] + CELL_MM * hits["layer"],
        y_mm=geo.wire_y_mm(hits["column"].astype(float)),
        radius_mm=np.nan_to_num(radius),
        z_mm=np.nan_to_num(z),
        sigma_radius_mm=np.where(np.isnan(radius), UNKNOWN_RADIUS_SIGMA_MM, sigma_radius),
        sigma_z_mm=np.where(np.isnan(z), np.inf, SIGMA_Z_MM),
    )
