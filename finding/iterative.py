"""Tracks one after the other, as many as a counter says: the best line takes its hits, the next is looked for
among the rest.

A line is found by the Legendre search (`fitting.legendre`) and made exact by the maximum-likelihood fit
(`fitting.line`). All tracker sides of all events go through it at the same time: it loops over rounds, not
over events.
"""

from dataclasses import dataclass

import numpy as np

from datasets import filters
from datasets.drift import sigma_radius_mm
from datasets.geometry import CELL_MM, wire_y_mm
from finding import peeling
from finding import segments as seg
from finding.labels import Hits, group_of_hits
from fitting import legendre, line
from fitting.tracks import MOST_TO_FOIL_MM, RADIUS_SCALE, SIGMA_Z_MM

CLIP_SIGMA = 5.0  # hits farther from a line than so many errors do not bend it


@dataclass(frozen=True)
class Limits:
    """What a track may take, and when no more are looked for.

    Attributes:
        off_mm: line to drift circle; without a radius, line beyond the cell. height_mm: line to measured
            height.
        reach_mm: as off_mm, when in the end each hit goes to the nearest line.
        max_gap_mm: largest step along a line between neighbouring hits of it.
        min_hits: of a track, and what must be left to look for one.
        min_quality_per_mm: peak a hit; .199 is ideal, .083 what hits have that are within 6 mm by chance.
        phi_window_rad, foil_window_mm: (lowest, highest), where lines are looked for on every side, as
            `legendre.search` has them; None is everywhere.
    """

    off_mm: float = 6.0
    height_mm: float = 130.0
    reach_mm: float = 10.0
    max_gap_mm: float = 200.0
    min_hits: int = 3
    min_quality_per_mm: float = 0.1
    phi_window_rad: tuple | None = None
    foil_window_mm: tuple | None = None


@dataclass
class FoundTracks:
    """Tracks of an event table, sorted by event and side, and on a side as they were found.

    Attributes:
        event, side, place: (track,) int; the first track found on a side has place 0.
        label: (track,) int, index of the track in its event.
        lines: FittedLines, (track,), by |x|: x is the distance from the foil on either side.
        quality_per_mm: (track,) peak a hit of the Legendre search. n_hits: (track,) that it took.
        first_s_mm, last_s_mm: (track,) path along the line of its first and last hit.
        labels: (hit,) int16, the label of each hit's track, -1 for none.
    """

    event: np.ndarray
    side: np.ndarray
    place: np.ndarray
    label: np.ndarray
    lines: line.FittedLines
    quality_per_mm: np.ndarray
    n_hits: np.ndarray
    first_s_mm: np.ndarray
    last_s_mm: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.event)

    def pieces(self):
        """The lines to draw, as `plotting.event_display` takes them: from a track's first hit, or from the
        foil where that is near, to its last.
        """
        path = np.stack([self.first_s_mm, self.last_s_mm], axis=1)
        all_lines = np.arange(len(self))
        foil_y, _ = self.lines.foil_mm()
        to_foil = self.lines.path_mm(all_lines, 0.0, foil_y)
        near = np.abs(path[:, 0] - to_foil) < MOST_TO_FOIL_MM
        path[near, 0] = to_foil[near]
        x, y = self.lines.point_mm(all_lines[:, None], path)
        return {
            "event": self.event,
            "track": self.label,
            "x_mm": x * (2 * self.side - 1)[:, None],
            "y_mm": y,
            "z_mm": self.lines.z_along(all_lines[:, None], path),
        }


USUAL = Limits()


def find(events, n_tracks, limits=USUAL):
    """Fit the best track of each tracker side, take its hits away, and again.

    Args:
        events: Events. n_tracks: (event, 2) int, how many to look for on each side. limits: Limits.
    Returns:
        FoundTracks. A side has fewer than asked for where too few hits are left, or where the best line has
        too low a quality.
    """
    hits = hits_of(events)
    wanted = np.asarray(n_tracks).ravel()
    owner = np.full(len(hits), -1)  # place of the track that took a hit, among those of its side
    rounds = []
    active = wanted > 0
    for place in range(wanted.max(initial=0)):
        left = np.flatnonzero((owner < 0) & active[hits.group])
        quality, taken = best_track_each(hits[left], limits)
        owner[left[taken]] = place
        group = np.unique(hits.group[left[taken]])
        rounds.append((group, np.full(len(group), place), quality[group]))
        active = np.zeros(hits.n_groups, bool)
        active[group] = wanted[group] > place + 1
    return _tracks_of(rounds, owner, hits, limits)


def _tracks_of(rounds, owner, hits, limits):
    """FoundTracks of what each round found: half events, place of the track there, its quality, each (track,).

    Args:
        owner: (hit,) place of the track that took a hit, -1 for none.
    """
    none = (np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    groups, places, qualities = zip(none, *rounds, strict=True)
    group = np.concatenate(groups)
    order = np.argsort(group, kind="stable")
    group = group[order]
    place = np.concatenate(places)[order]
    quality = np.concatenate(qualities)[order]

    track = np.full(len(hits), -1)  # of each hit, among all
    hit = np.flatnonzero(owner >= 0)
    track[hit] = np.searchsorted(group, hits.group[hit]) + owner[hit]
    track = _to_the_nearest(track, group, hits, limits)
    kept = np.bincount(track[track >= 0], minlength=len(group)) > 0
    number = np.append(np.cumsum(kept) - 1, -1)
    track = number[track]
    group = group[kept]

    event = group // 2
    label = np.arange(len(event)) - np.searchsorted(event, event)
    hit = np.flatnonzero(track >= 0)
    labels = np.full(len(hits), -1, np.int16)
    labels[hit] = label[track[hit]]
    lines = fit(hits, track, len(group))
    first_s, last_s = seg.extents(lines, track[hit], hits[hit])
    return FoundTracks(
        event=event,
        side=group % 2,
        place=place[kept],
        label=label,
        lines=lines,
        quality_per_mm=quality[kept],
        n_hits=np.bincount(track[hit], minlength=len(group)),
        first_s_mm=first_s,
        last_s_mm=last_s,
        labels=labels,
    )


def _to_the_nearest(track, group, hits, limits):
    """(hit,) track of each hit, after all hits went to the nearest line of their side: the first tracks keep
    nothing of the later ones. Tracks that are left with too few hits lose them.

    Args:
        track: (hit,) the track that took each hit, -1 for none. group: (track,) half event of each.
    """
    lines, track = _with_line(hits, track, len(group), limits)
    owned = np.flatnonzero(track >= 0)
    extent = seg.extents(lines, track[owned], hits[owned])
    group = np.where(np.isfinite(lines.phi_rad), group, -1)
    tolerances = peeling.Tolerances(
        reach_mm=limits.reach_mm, height_mm=limits.height_mm, max_gap_mm=limits.max_gap_mm
    )
    nearest = peeling.nearest_line(hits, lines, group, extent, tolerances)
    nearest = peeling.without_few(nearest, len(group), limits.min_hits)
    _, track = _with_line(hits, nearest, len(group), limits)
    return track


def _with_line(hits, track, n_tracks, limits):
    """The lines of tracks, and (hit,) the same tracks without those whose hits determine no line, where all
    are too far from any to count, or one that has left the window.
    """
    lines = fit(hits, track, n_tracks)
    is_bad = ~np.isfinite(lines.phi_rad) | ~in_window(lines, limits)
    is_bad = np.append(is_bad, False)  # the last stands for no track
    return lines, np.where(is_bad[track], -1, track)


def hits_of(events):
    """Hits, in the order of the table; x is the distance of the wire from the foil, and a radius that is not
    usable is unknown.
    """
    radius = np.where(filters.usable(events), events.hits["drift_radius_mm"], np.nan)
    return Hits(
        x=events.first_wire_mm[events.hit_event] + CELL_MM * events.hits["layer"],
        y=wire_y_mm(events.hits["column"].astype(float)),
        radius=radius.astype(float),
        z=events.hits["z_mm"].astype(float),
        group=group_of_hits(events),
        n_groups=2 * len(events),
    )


def best_track_each(hits, limits):
    """The best track of each half event.

    Args:
        hits: Hits, those that are left.
    Returns:
        quality: (group,) in 1/mm, NaN without a line. taken: indices of the hits that belong to them;
        none of a half event without a good track.
    """
    windows = {}
    for name in ("phi_window_rad", "foil_window_mm"):
        window = getattr(limits, name)
        if window is not None:
            windows[name] = np.tile(window, (hits.n_groups, 1))
    peaks = legendre.search(
        hits.group,
        hits.n_groups,
        hits.x,
        hits.y,
        hits.radius,
        hits.z,
        sigma_z_mm=SIGMA_Z_MM,
        **windows,
    )
    quality = peaks.quality_per_mm()
    is_good = quality >= limits.min_quality_per_mm
    near = np.flatnonzero(
        (seg.off_mm(peaks, hits.group, hits) < limits.off_mm) & is_good[hits.group]
    )
    near = near[in_runs(peaks, hits[near], limits)]
    lines = fit(hits[near], hits.group[near], hits.n_groups)

    tolerances = peeling.Tolerances(off_mm=limits.off_mm, height_mm=limits.height_mm)
    taken = peeling.inliers(lines, hits, tolerances)
    taken = taken[in_window(lines, limits)[hits.group[taken]]]
    taken = taken[in_runs(lines, hits[taken], limits)]
    return quality, taken


def in_window(lines, limits):
    """(line,) bool, where lines are in the window: the last fit may have led one out of it."""
    inside = np.ones(len(lines), bool)
    if limits.phi_window_rad is not None:
        low, high = limits.phi_window_rad
        inside &= (lines.phi_rad - low) % np.pi <= high - low
    if limits.foil_window_mm is not None:
        low, high = limits.foil_window_mm
        foil, _ = lines.foil_mm()
        inside &= (foil >= low) & (foil <= high)
    return inside


def in_runs(lines, hits, limits):
    """(hit,) bool, where hits of the line of their half event lie without too large a gap."""
    path = lines.path_mm(hits.group, hits.x, hits.y)
    return seg.in_runs(hits.group, path, limits.max_gap_mm, limits.min_hits)


def fit(hits, line_of_hit, n_lines):
    """Maximum-likelihood lines: FittedLines."""
    sigma = RADIUS_SCALE * sigma_radius_mm(np.nan_to_num(hits.radius))
    return line.fit(
        line_of_hit,
        n_lines,
        hits.x,
        hits.y,
        hits.radius,
        hits.z,
        sigma,
        SIGMA_Z_MM,
        clip_sigma=CLIP_SIGMA,
    )
