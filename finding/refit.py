"""From what the network says of each hit to tracks: lines are found among the hits, and every hit is asked
which it belongs to.

The network sees what belongs together; the drift radii know to a millimetre where a line runs. Both speak as
probabilities: a hit goes to the line, or to none, for which the network's probability and the line's
likelihood are most probable together. A hit whose radius no line explains may hide one that was farther from
its wire: a cell gives one hit.
"""

from dataclasses import dataclass

import numpy as np

from datasets.drift import sigma_radius_mm
from datasets.geometry import CELL_MM, CELL_RADIUS_MM, HALF_HEIGHT_MM
from finding import peeling, ransac
from finding import segments as seg
from finding.labels import finder_hits, number_tracks

LINES = peeling.Tolerances(rounds=8)
N_PAIRS = 20
SIGMA_MORE_MM = 0.2  # of a fitted line
MEET = {
    "margin_mm": 300.0,
    "gap_mm": 350.0,
    "off_mm": 60.0,
    "height_mm": 500.0,
    "kink_degrees": 90.0,
}  # lines that may be one track
SAME = (
    0.05,
    0.1,
    0.5,
    0.7,
    0.9,
)  # other probabilities than the usual one from which on lines that meet are one track


@dataclass(frozen=True)
class Constants:
    """What the refit takes for granted; `scripts/tune_baselines.py --baselines refit` compares other values.

    Attributes:
        sure: probability of noise from which on no line is looked for through a hit.
        radius_scale, sigma_z_mm: errors of radii, in sigma_r(r), and of heights.
        odd: share of a track's hits whose radius fits no Gaussian; a tenth of it those whose height does not.
        covered: density of the radii and heights of nearer hits that hide a track's own, relative to that of
            noise.
        near_mm: how far beyond its hits a line goes on for sure, which tells whether two lines meet.
        far_mm, far_share: how far it may take a hit, so many mm and so much of its length: other tracks may
            hide the hits between.
        same: probability from which on lines that meet are one track, with a kink.
        first_layers: but a line with a hit in that many layers starts a track of its own. Both hold unless
            the network finds the number of tracks that one of SAME, or none of this, gives `doubt` times more
            probable.
    """

    sure: float = 0.95
    radius_scale: float = 1.5
    sigma_z_mm: float = 15.0
    odd: float = 0.05
    covered: float = 0.1
    near_mm: float = 70.0
    far_mm: float = 150.0
    far_share: float = 0.5
    same: float = 0.3
    first_layers: float = 2
    doubt: float = 20.0


def labels_of(events, track):
    """Each hit goes to its most probable track, or to none: the network alone.

    Args:
        events: Events. track: (hit, n_tracks + 1) probabilities, last of none, as
            `datasets.clustering.predict` gives them.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    return number_tracks(_most_probable(track, 2 * events.hit_event + events.hits["side"]), events.hit_event)


def find(events, track, n_tracks, seed=0, constants=Constants()):
    """Tracks from the network's probabilities and straight lines.

    Lines are found by RANSAC among the hits that may belong to a track. What the network says of a line's
    hits together is what it says of the line: which track it is a part of. Then each hit is asked again, with
    all lines of its side; and lines that meet are one track, with a kink, where the network sees one.

    Args:
        events: Events. track: as in `labels_of`. n_tracks: (event, side, n + 1) probabilities of the numbers
            of tracks on a side.
        seed: of RANSAC. constants: Constants.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    hits, order = finder_hits(events)
    track = track[order]
    maybe = np.flatnonzero(track[:, -1] < constants.sure)
    segments, segment_of = peeling.peel(peeling.take(hits, maybe), ransac.proposer(N_PAIRS, seed), LINES)
    segment = np.full(len(order), -1)
    segment[maybe] = segment_of
    segments, near, far = _ask(hits, segments, segment, track, constants)
    tracks = _joinings(hits, segments, near, track, constants)
    probability = np.stack([_probability_of_count(hits, near, joined, n_tracks) for joined in tracks])
    probability[0] *= constants.doubt
    best = probability.argmax(0)  # (half event,); of equal ones the first
    found = np.full(len(order), -1)
    taken = np.flatnonzero(far >= 0)
    found[order[taken]] = tracks[best[hits.group[taken]], far[taken]]
    return number_tracks(found, events.hit_event, LINES.min_track_hits)


def _probability_of_count(hits, segment, joined, n_tracks):
    """(half event,) what the network gives for the number of tracks that joined segments make."""
    mine = np.flatnonzero(segment >= 0)
    track, count = np.unique(joined[segment[mine]], return_counts=True)
    group = np.zeros(len(joined), int)
    group[joined[segment[mine]]] = hits.group[mine]
    n = np.bincount(group[track[count >= LINES.min_track_hits]], minlength=hits.n_groups)
    known = n_tracks.reshape(hits.n_groups, n_tracks.shape[-1])
    return np.where(n < known.shape[1], known[np.arange(hits.n_groups), np.minimum(n, known.shape[1] - 1)], 0)


def _opinion(segment, track, n_segments):
    """(segment, n_slots): which of the tracks it found the network takes each segment for; rows sum to 1."""
    mine = np.flatnonzero(segment >= 0)
    total = (
        np.stack(
            [np.bincount(segment[mine], track[mine, slot], n_segments) for slot in range(track.shape[1] - 1)],
            1,
        )
        + 1e-9
    )
    return total / total.sum(1, keepdims=True)


def _ask(hits, segments, segment, track, constants):
    """Fit the segments again and give each hit to the most probable one, or to none.

    Returns:
        segments (5, segment); near (hit,) index into them, -1 for none, when they end with their hits; far
        (hit,) when they go on.
    """
    mine = np.flatnonzero(segment >= 0)
    own = peeling.take(hits, mine)
    segments = seg.fit(segments, segment[mine], own)
    group = np.zeros(segments.shape[1], int)
    group[segment[mine]] = hits.group[mine]
    first, last = seg.extents(segments, segment[mine], own)
    opinion = _opinion(segment, track, segments.shape[1])
    hit, which = peeling.pairs_in_group(hits.group, group, segment, hits.n_groups)
    cos, sin = np.cos(segments[0]), np.sin(segments[0])
    passes = (
        np.abs(cos[which] * hits.x[hit] + sin[which] * hits.y[hit] - segments[1, which]) < CELL_MM
    )  # the others are not worth the rest
    hit, which = hit[passes], which[passes]
    likelihood, t = _likelihood(segments, which, peeling.take(hits, hit), constants)
    score = (track[hit, :-1] * opinion[which]).sum(1) * likelihood
    beyond = np.maximum(first[which] - t, t - last[which])
    reaches = (constants.near_mm, constants.far_mm + constants.far_share * (last - first)[which])
    return segments, *(
        _most_probable_segment(np.where(beyond < reach, score, 0), hit, which, track[:, -1])
        for reach in reaches
    )


def _most_probable_segment(score, hit, which, none):
    """(hit,) the segment of the highest score of each hit, -1 where it is not above that of none; hits of
    pairs follow each other.
    """
    best, segment = np.zeros(len(none)), np.full(len(none), -1)
    asked, start = np.unique(hit, return_index=True)
    if len(asked):
        best[asked] = np.maximum.reduceat(score, start)
        chosen = score == best[hit]
        segment[hit[chosen]] = which[chosen]
    return np.where(best > none, segment, -1)


def _likelihood(segments, index, hits, constants):
    """How much more probable the radius and height of hits are on a line than those of noise; 0 where the
    line misses the cell.

    Args:
        segments: (5, segment). index: (hit,) segment each hit is compared with. hits: Hits of the same
            length.
    Returns:
        (hit,) ratio of densities; (hit,) way along the line in mm.
    """
    odd = constants.odd
    angle, offset, t0, z0, slope = segments[:, index]
    cos, sin = np.cos(angle), np.sin(angle)
    distance, t = np.abs(cos * hits.x + sin * hits.y - offset), sin * hits.x - cos * hits.y
    density = lambda pull, sigma, width: width * np.exp(-0.5 * pull**2) / (np.sqrt(2 * np.pi) * sigma)  # noqa: E731
    sigma = (
        constants.radius_scale * sigma_radius_mm(np.nan_to_num(hits.radius, nan=CELL_RADIUS_MM / 2))
        + SIGMA_MORE_MM
    )
    pull = (distance - hits.radius) / sigma
    by_radius = np.where(np.isfinite(pull), (1 - odd) * density(pull, sigma, CELL_RADIUS_MM) + odd, 1.0)
    pull = (z0 + slope * (t - t0) - hits.z) / constants.sigma_z_mm
    by_height = np.where(
        np.isfinite(pull), (1 - odd) * density(pull, constants.sigma_z_mm, 2 * HALF_HEIGHT_MM) + odd / 10, 1.0
    )
    hidden = np.where(
        hits.radius < distance, constants.covered * CELL_RADIUS_MM / np.maximum(distance, 2.0), 0.0
    )
    crosses = distance < CELL_RADIUS_MM / np.maximum(np.abs(cos), np.abs(sin)) + 2 * sigma
    return np.where(crosses, by_radius * by_height + hidden, 0.0), t


def _joinings(hits, segments, segment, track, constants):
    """(2 + len(SAME), segment): for each way to join segments, one of those of the track that each belongs
    to.
    """
    opinion = _opinion(segment, track, segments.shape[1])
    before, after, badness = peeling.continuations(hits, segments, segment, **MEET)
    best_first = np.argsort(badness, kind="stable")
    before, after = before[best_first], after[best_first]
    mine = np.flatnonzero(segment >= 0)
    nearest = np.full(segments.shape[1], np.inf)
    np.minimum.at(nearest, segment[mine], hits.x[mine])
    later = nearest[after] > CELL_MM * constants.first_layers
    agreement = (opinion[before] * opinion[after]).sum(1)
    ways = [(agreement > constants.same) & later, *(agreement > same for same in (constants.same, *SAME))]
    return np.stack([peeling.chain(before[way], after[way], segments.shape[1]) for way in ways])


def _most_probable(track, group):
    """(hit,) number of the half event and most probable track of each hit, -1 where none is."""
    best, n_slots = track.argmax(1), track.shape[1] - 1
    return np.where(best == n_slots, -1, group * n_slots + best)
