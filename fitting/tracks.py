"""Fits of all tracks of an event table at once: each found or true track as one straight line, or as two with
a kink.

Coordinates are those of the events' own geometry, by |x|: x is the distance from the foil on either side.
"""

from dataclasses import dataclass

import numpy as np

from datasets.drift import possible_radius_mm, sigma_radius_mm
from datasets.geometry import CELL_MM, wire_y_mm
from fitting import polyline

RADIUS_SCALE = 1.5  # error of a radius, in units of Falaise's sigma_r(r), as in the `data` response
SIGMA_Z_MM = 15.0
MOST_TO_FOIL_MM = (
    150.0  # from a track's first hit back to the foil, up to which it is taken to start there
)
MOST_TO_KINK_MM = 250.0  # from the end of a segment to where it crosses the next


@dataclass
class FittedTracks:
    """Tracks of an event table and the lines through them.

    Attributes:
        event, label, side: (track,) event of each track, its label there, and its tracker side.
        first_s_mm, last_s_mm: (segment,) path along each segment's line of its first and last hit.
        fitted: Polylines; track i has the segments 2 i and 2 i + 1.
    """

    event: np.ndarray
    label: np.ndarray
    side: np.ndarray
    first_s_mm: np.ndarray
    last_s_mm: np.ndarray
    fitted: polyline.Polylines

    @property
    def of_hits(self):
        """(hit,) index of the track of each hit, -1 for none."""
        segment = self.fitted.segment
        return np.where(segment >= 0, segment // 2, -1)

    def pieces(self):
        """The lines to draw.

        Returns:
            name -> array, one entry a straight piece: `event`, `track` (its label), and `x_mm`, `y_mm`,
            `z_mm`, each (piece, 2), its two ends, x negative on side 0; z is NaN where no height is known.
        """
        lines = self.fitted.segments
        path = np.stack([self.first_s_mm, self.last_s_mm], axis=1)
        first = np.arange(0, len(path), 2)
        self._reach_the_foil(path, first)
        self._meet_at_kinks(path, first)
        drawn = np.flatnonzero(lines.valid & np.isfinite(path).all(1) & (path[:, 0] < path[:, 1]))
        track = drawn // 2
        x, y = lines.point_mm(drawn[:, None], path[drawn])
        return {
            "event": self.event[track],
            "track": self.label[track],
            "x_mm": x * (2 * self.side[track] - 1)[:, None],
            "y_mm": y,
            "z_mm": lines.z_along(drawn[:, None], path[drawn]),
        }

    def _reach_the_foil(self, path, first):
        """Let tracks with hits near the foil begin there, x = 0."""
        foil_y, _ = self.fitted.segments.foil_mm()
        to_foil = self.fitted.segments.path_mm(first, 0.0, foil_y[first])
        near = np.abs(path[first, 0] - to_foil) < MOST_TO_FOIL_MM
        path[first[near], 0] = to_foil[near]

    def _meet_at_kinks(self, path, first):
        """Let both segments of a kinked track end where they cross, if that is near their hits."""
        kinked = first[self.fitted.kinked]
        x, y = (values[self.fitted.kinked] for values in self.fitted.meeting_mm())
        for segment, end in ((kinked, 1), (kinked + 1, 0)):
            to_kink = self.fitted.segments.path_mm(segment, x, y)
            near = np.abs(path[segment, end] - to_kink) < MOST_TO_KINK_MM
            path[segment[near], end] = to_kink[near]


def fit(events, labels):
    """Fit each track of a table.

    Args:
        events: Events. labels: (hit,) track of each hit in its event, as finders give them; below 0 is none.
            The hits of a track are on one tracker side.
    Returns:
        FittedTracks, in the order of events and labels.
    """
    hits = events.hits
    owned = np.flatnonzero(labels >= 0)
    key = np.stack([events.hit_event[owned], labels[owned]])
    (event, label), first, number = np.unique(key, axis=1, return_index=True, return_inverse=True)
    line = np.full(len(labels), -1)
    line[owned] = number.reshape(-1)

    x = events.first_wire_mm[events.hit_event] + CELL_MM * hits["layer"]
    y = wire_y_mm(hits["column"].astype(float))
    radius = possible_radius_mm(hits["drift_radius_mm"]).astype(float)
    sigma = RADIUS_SCALE * sigma_radius_mm(np.nan_to_num(radius))
    z = hits["z_mm"].astype(float)
    fitted = polyline.fit(line, len(event), hits["layer"], x, y, radius, z, sigma, SIGMA_Z_MM)

    n_segments = 2 * len(event)
    first_s, last_s = np.full(n_segments, np.inf), np.full(n_segments, -np.inf)
    used = np.flatnonzero(fitted.segment >= 0)
    segment = fitted.segment[used]
    s = fitted.segments.path_mm(segment, x[used], y[used])
    np.fmin.at(first_s, segment, s)
    np.fmax.at(last_s, segment, s)
    return FittedTracks(event, label, hits["side"][owned[first]], first_s, last_s, fitted)
