"""Finding tracks one after the other: the best line takes its hits, the next is looked for among the rest.

`find` is the procedure that RANSAC and the Hough transform share; they differ in how they propose a line. All
half events go through it at the same time: it loops over rounds, not over events.
"""

from dataclasses import dataclass, field

import numpy as np

from finding import segments as seg
from finding.labels import finder_hits, number_tracks, places
from fitting.lines import concatenate, unknown


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


def find(events, propose, tolerances):
    """Labels from a way of proposing lines.

    Args:
        events: Events. propose: function (Hits, tolerances, round) -> Lines, (group,), the line to try in
            each half event; it gets the hits that are left of those half events that still have enough.
        tolerances: Tolerances.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    hits, order = finder_hits(events)
    lines, owner = peel(hits, propose, tolerances)
    lines, owner = reassign(hits, lines, owner, tolerances)
    track = np.arange(len(lines))
    if tolerances.kinks is not None:
        track = join(hits, lines, owner, **tolerances.kinks)
    return label_hits(events, order, owner, track, tolerances.min_track_hits)


def label_hits(events, order, owner, track, min_hits=1):
    """Labels from lines that belong to tracks.

    Args:
        events: Events. order: (hit,) as `finder_hits` gives it. owner: (hit,) line of each hit in that order,
            -1 for none. track: (line,) int, track of each line, -1 for none. min_hits: of a track.
    Returns:
        (hit,) int16, in the order of the events, -1 for hits left out.
    """
    owned = owner >= 0
    hit = order[owned]
    cluster = np.full(len(order), -1)
    cluster[hit] = track[owner[owned]]
    return number_tracks(cluster, events.hit_event, min_hits)


def peel(hits, propose, tolerances):
    """Lines and the hits they took, line by line in each half event.

    Args:
        hits, propose, tolerances: as `find`.
    Returns:
        lines: Lines. owner: (hit,) index of the line that took each hit, -1 for none.
    """
    owner = np.full(len(hits), -1)
    found = [unknown(0)]
    n_found = 0
    active = np.ones(hits.n_groups, bool)
    for number in range(tolerances.rounds):
        free = owner < 0
        n_free = np.bincount(hits.group[free], minlength=hits.n_groups)
        active &= n_free >= tolerances.min_hits
        left = np.flatnonzero(free & active[hits.group])
        if not len(left):
            break
        lines, taken = _one_line_each(hits[left], propose, tolerances, number)
        group = hits.group[left[taken]]
        active = np.bincount(group, minlength=hits.n_groups) > 0
        line_of_group = n_found + np.cumsum(active) - 1
        owner[left[taken]] = line_of_group[group]
        found.append(lines[active])
        n_found += np.count_nonzero(active)
    return concatenate(found), owner


def _one_line_each(hits, propose, tolerances, number):
    """One line in each half event: Lines, (group,), and the indices of the hits they take."""
    lines = propose(hits, tolerances, number)
    near = inliers(lines, hits, tolerances)
    for _ in range(tolerances.refits):
        near_hits = hits[near]
        lines = seg.fit(lines, near_hits.group, near_hits, tolerances.use_radii)
        near = inliers(lines, hits, tolerances)
    taken = hits[near]
    path = lines.path_mm(taken.group, taken.x, taken.y)
    in_run = seg.in_runs(taken.group, path, tolerances.max_gap_mm, tolerances.min_hits)
    return lines, near[in_run]


def inliers(lines, hits, tolerances):
    """Indices of the hits within the tolerances of the line of their half event, Lines, (group,)."""
    off = seg.off_mm(lines, hits.group, hits, tolerances.use_radii)
    near = np.flatnonzero(off < tolerances.off_mm)
    near_hits = hits[near]
    height_off = seg.height_off_mm(lines, near_hits.group, near_hits)
    return near[height_off < tolerances.height_mm]


def reassign(hits, lines, owner, tolerances, repeats=2):
    """Refit all lines and give each hit to the nearest one of its half event, so that the first lines keep
    nothing of the later ones.

    Args:
        hits: Hits. lines, owner: as `peel` gives them.
    Returns:
        lines, owner: the same; lines that are left with too few hits have none.
    """
    for _ in range(repeats):
        line, owned = seg.owned_hits(owner, hits)
        lines = seg.fit(lines, line, owned, tolerances.use_radii)
        extent = seg.extents(lines, line, owned)
        group = group_of_lines(hits, owner, len(lines))
        owner = nearest_line(hits, lines, group, extent, tolerances)
        owner = without_few(owner, len(lines), tolerances.min_hits)
    return lines, owner


def nearest_line(hits, lines, group, extent, tolerances):
    """(hit,) index of the nearest line of each hit among those of its half event, -1 for none within reach.

    Args:
        hits: Hits. lines: Lines. group: (line,) half event, -1 for lines left out. extent: of lines, as
            `segments.extents` gives it; they take hits up to a gap beyond.
    """
    first, last = extent
    hit, line = pairs_in_group(hits.group, group, hits.n_groups)
    off = seg.off_mm(lines, line, hits[hit], tolerances.use_radii)
    near = off < tolerances.reach_mm
    hit = hit[near]
    line = line[near]
    pair_hits = hits[hit]
    off = off[near] / tolerances.reach_mm
    height_off = seg.height_off_mm(lines, line, pair_hits) / tolerances.height_mm
    path = lines.path_mm(line, pair_hits.x, pair_hits.y)
    begun = path > first[line] - tolerances.max_gap_mm
    ended = path >= last[line] + tolerances.max_gap_mm
    badness = off**2 + height_off**2
    possible = np.flatnonzero(begun & ~ended & (height_off < 1))
    hit = hit[possible]
    line = line[possible]
    return least_bad(len(hits), hit, line, badness[possible])


def least_bad(n_hits, hit, line, badness):
    """(hit,) the line of the lowest badness of each hit among pairs, -1 for a hit of no pair.

    Args:
        hit, line, badness: (pair,).
    """
    worst_first = np.argsort(-badness, kind="stable")
    owner = np.full(n_hits, -1)
    owner[hit[worst_first]] = line[worst_first]  # the last one written is the best
    return owner


def without_few(owner, n_lines, min_hits):
    """The same owners without lines that own fewer hits than `min_hits`."""
    n_hits = np.bincount(owner + 1, minlength=n_lines + 1)  # the first of those without a line
    few = n_hits[owner + 1] < min_hits
    return np.where(few, -1, owner)


def group_of_lines(hits, owner, n_lines):
    """(line,) half event of each line, -1 for a line without hits."""
    group = np.full(n_lines + 1, -1)
    group[owner] = hits.group
    group[-1] = -1  # where hits without a line, -1, have written
    return group[:-1]


def pairs_in_group(one_group, other_group, n_groups):
    """All pairs of one of some things and one of others in the same half event.

    Args:
        one_group: (one,) half events. other_group: (other,) half events, -1 for those left out.
    Returns:
        (one, other) indices, each (pair,), in the order of the ones and then of the others.
    """
    others = np.flatnonzero(other_group >= 0)
    others = others[np.argsort(other_group[others], kind="stable")]
    n = np.bincount(other_group[others], minlength=n_groups)
    first = np.cumsum(n) - n
    one, place = places(n[one_group])
    other = first[one_group[one]] + place
    return one, others[other]


def join(hits, lines, owner, **limits):
    """(line,) index of the track of each line: that of the line it continues, if there is one, else its own.

    Args:
        hits, lines, owner: as `peel` gives them. limits: of `segments.continuation`.
    """
    before, after, badness = continuations(hits, lines, owner, **limits)
    best_first = np.argsort(badness, kind="stable")
    before = before[best_first]
    after = after[best_first]
    return chain(before, after, len(lines))


def chain(before, after, n_lines):
    """(line,) index of the track of each line, where each goes on in one other at most and is the end of one
    other.

    Args:
        before, after: (pair,) lines that go on in others, the best match first.
    """
    track = np.arange(n_lines)
    best = first_of(before) & first_of(after)
    track[after[best]] = before[best]
    for _ in range(3):  # chains of lines
        track = track[track]
    return track


def first_of(values):
    """(n,) bool, where a value occurs for the first time."""
    _, index = np.unique(values, return_index=True)
    first = np.zeros(len(values), bool)
    first[index] = True
    return first


def continuations(hits, lines, owner, **limits):
    """Pairs of lines (before, after) of a half event that may be one track, and how bad they match, each
    (pair,).

    Args:
        hits, lines, owner: as `peel` gives them. limits: of `segments.continuation`.
    """
    line, owned = seg.owned_hits(owner, hits)
    extent = seg.extents(lines, line, owned)
    group = group_of_lines(hits, owner, len(lines))
    used = np.flatnonzero(group >= 0)
    after, before = pairs_in_group(group[used], group, hits.n_groups)
    after = used[after]
    badness = seg.continuation(lines, before, after, extent, **limits)
    good = (before != after) & np.isfinite(badness)
    return before[good], after[good], badness[good]
