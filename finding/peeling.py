"""Finding tracks one after the other: the best line takes its hits, the next is looked for among the rest.

`find` is the procedure that RANSAC and the Hough transform share; they differ in how they propose a line. All
half events go through it at the same time: it loops over rounds, not over events.
"""

from dataclasses import dataclass, field

import numpy as np

from finding import segments as seg
from finding.labels import Hits, finder_hits, number_tracks


@dataclass(frozen=True)
class Tolerances:
    """What makes a hit one of a line's, and lines a track.

    Attributes:
        off_mm: line to drift circle; without radii, line beyond the cell. height_mm: line to measured height.
        max_gap_mm: largest step along a line between neighbouring hits of it. min_hits: of a segment, at
            least 2.
        min_track_hits: of a track, joined or not.
        rounds: largest number of segments of a half event. refits: of a proposed line to the hits near it,
            which reach farther each time.
        reach_mm: as off_mm, when in the end each hit goes to the nearest segment. use_radii: False for cells
            and heights only.
        kinks: limits of `segments.continuation` within which one segment goes on where another ends and both
            are one track; {} are the usual ones, None joins nothing.
    """

    off_mm: float = 6.0
    height_mm: float = 130.0
    max_gap_mm: float = 200.0
    min_hits: int = 3
    min_track_hits: int = 3
    rounds: int = 12
    refits: int = 3
    reach_mm: float = 8.0
    use_radii: bool = True
    kinks: dict | None = field(default_factory=dict)


def take(hits, which):
    """The chosen ones of Hits."""
    return Hits(*(getattr(hits, name)[which] for name in ("x", "y", "radius", "z", "group")), hits.n_groups)


def find(events, propose, tolerances):
    """Labels from a way of proposing lines.

    Args:
        events: Events. propose: function (Hits, tolerances, round) -> (5, n_groups) segments, the line to try
            in each half event; it gets the hits that are left of those half events that still have enough.
        tolerances: Tolerances.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    hits, order = finder_hits(events)
    segments, segment = peel(hits, propose, tolerances)
    segments, segment = reassign(hits, segments, segment, tolerances)
    track = np.arange(segments.shape[1])
    if tolerances.kinks is not None:
        track = join(hits, segments, segment, **tolerances.kinks)
    cluster = np.full(len(order), -1)
    cluster[order] = np.where(segment >= 0, track[segment] if len(track) else -1, -1)
    return number_tracks(cluster, events.hit_event, tolerances.min_track_hits)


def peel(hits, propose, tolerances):
    """Lines and the hits they took.

    Returns:
        segments (5, segment); segment (hit,) index into them, -1 where no line took a hit.
    """
    segment = np.full(len(hits.x), -1)
    active = np.ones(hits.n_groups, bool)
    found, n_found = [np.zeros((5, 0))], 0
    for number in range(tolerances.rounds):
        enough = active & (
            np.bincount(hits.group[segment < 0], minlength=hits.n_groups) >= tolerances.min_hits
        )
        left = np.flatnonzero((segment < 0) & enough[hits.group])
        if not len(left):
            break
        free = take(hits, left)
        lines = propose(free, tolerances, number)
        for _ in range(tolerances.refits):
            near = np.flatnonzero(inliers(lines, free.group, free, tolerances))
            lines = seg.fit(lines, free.group[near], take(free, near), tolerances.use_radii)
        near = np.flatnonzero(inliers(lines, free.group, free, tolerances))
        _, _, t = seg.distances(lines, free.group[near], take(free, near))
        near = near[seg.in_runs(free.group[near], t, tolerances.max_gap_mm, tolerances.min_hits)]
        taken = np.bincount(free.group[near], minlength=hits.n_groups)
        active = taken >= tolerances.min_hits
        near = near[active[free.group[near]]]
        segment[left[near]] = n_found + (np.cumsum(active) - 1)[free.group[near]]
        found.append(lines[:, active])
        n_found += active.sum()
    return np.concatenate(found, axis=1), segment


def inliers(lines, index, hits, tolerances):
    """(hit,) bool, hits within the tolerances of the lines they are compared with; arguments as
    `segments.distances`.
    """
    off, height, _ = seg.distances(lines, index, hits, tolerances.use_radii)
    return (off < tolerances.off_mm) & (height < tolerances.height_mm)


def reassign(hits, segments, segment, tolerances, repeats=2):
    """Refit all segments and give each hit to the nearest one of its half event, so that the first lines keep
    nothing of the later ones.

    Args:
        hits: Hits. segments (5, segment), segment (hit,): as `peel` gives them.
    Returns:
        segments, segment: the same; segments that are left with too few hits have none.
    """
    for _ in range(repeats):
        mine = np.flatnonzero(segment >= 0)
        if not len(mine):
            break
        segments = seg.fit(segments, segment[mine], take(hits, mine), tolerances.use_radii)
        first, last = seg.extents(segments, segment[mine], take(hits, mine))
        group = np.zeros(segments.shape[1], int)
        group[segment[mine]] = hits.group[mine]
        hit, candidate = pairs_in_group(hits.group, group, segment, hits.n_groups)
        off, height, t = seg.distances(segments, candidate, take(hits, hit), tolerances.use_radii)
        inside = (t > first[candidate] - tolerances.max_gap_mm) & (
            t < last[candidate] + tolerances.max_gap_mm
        )
        near = np.flatnonzero(inside & (off < tolerances.reach_mm) & (height < tolerances.height_mm))
        badness = (off[near] / tolerances.reach_mm) ** 2 + (height[near] / tolerances.height_mm) ** 2
        worst_first = np.argsort(-badness, kind="stable")
        segment = np.full(len(hits.x), -1)
        segment[hit[near[worst_first]]] = candidate[near[worst_first]]  # the last one written is the nearest
        mine = np.flatnonzero(segment >= 0)
        few = np.bincount(segment[mine], minlength=segments.shape[1]) < tolerances.min_hits
        segment[mine[few[segment[mine]]]] = -1
    return segments, segment


def pairs_in_group(hit_group, segment_group, segment, n_groups):
    """All pairs of a hit and a segment of its half event, (hit, segment), leaving out segments that no hit
    has.
    """
    used = np.unique(segment[segment >= 0])
    used = used[np.argsort(segment_group[used], kind="stable")]
    n = np.bincount(segment_group[used], minlength=n_groups)
    start = np.cumsum(n) - n
    count = n[hit_group]
    hit = np.repeat(np.arange(len(hit_group)), count)
    step = np.arange(len(hit)) - np.repeat(np.cumsum(count) - count, count)
    return hit, used[start[hit_group[hit]] + step]


def join(hits, segments, segment, **limits):
    """(segment,) index of the track of each segment: that of the segment it continues, if there is one, else
    its own.

    Args:
        hits, segments, segment: as `peel` gives them. limits: of `segments.continuation`.
    """
    before, after, badness = continuations(hits, segments, segment, **limits)
    order = np.argsort(badness, kind="stable")
    return chain(before[order], after[order], segments.shape[1])


def chain(before, after, n_segments):
    """(segment,) index of the track of each segment, where each goes on in one other at most and is the end
    of one other.

    Args:
        before, after: (pair,) segments that go on in others, the best match first.
    """
    track = np.arange(n_segments)
    best = first_of(before) & first_of(after)
    track[after[best]] = before[best]
    for _ in range(3):  # chains of segments
        track = track[track]
    return track


def first_of(values):
    """(n,) bool, where a value occurs for the first time."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def continuations(hits, segments, segment, **limits):
    """Pairs of segments (before, after) of a half event that may be one track, and how bad they match, each
    (pair,).
    """
    mine = np.flatnonzero(segment >= 0)
    first, last = seg.extents(segments, segment[mine], take(hits, mine))
    group = np.full(segments.shape[1], -1)
    group[segment[mine]] = hits.group[mine]
    used = np.flatnonzero(group >= 0)
    after, before = pairs_in_group(group[used], group, segment, hits.n_groups)
    after = used[after]
    other = before != after
    before, after = before[other], after[other]
    part = lambda which: (segments[:, which], first[which], last[which])  # noqa: E731
    badness = seg.continuation(part(before), part(after), **limits)
    good = np.flatnonzero(np.isfinite(badness))
    return before[good], after[good], badness[good]
