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
from finding.labels import finder_hits, group_of_hits, number_tracks

LINES = peeling.Tolerances(rounds=8)
N_PAIRS = 20
SIGMA_MORE_MM = 0.2  # of a fitted line
# limits of `segments.continuation` for lines that may be one track
MEET = {
    "margin_mm": 300.0,
    "gap_mm": 350.0,
    "off_mm": 60.0,
    "height_mm": 500.0,
    "kink_degrees": 90.0,
}
# other probabilities than the usual one from which on lines that meet are one track
SAME = (0.05, 0.1, 0.5, 0.7, 0.9)


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
    n_slots = track.shape[1] - 1
    best = track.argmax(1)
    cluster = group_of_hits(events) * n_slots + best
    return number_tracks(np.where(best == n_slots, -1, cluster), events.hit_event)


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
    lines, owner = find_lines(hits, track, seed, constants)
    lines = refit_lines(lines, owner, hits)
    pairs = score_pairs(lines, owner, hits, track, constants)
    # Near its own hits a line has them for sure: they tell which lines meet. Farther out it may have more.
    near = most_probable_line(pairs, constants.near_mm, track)
    far = most_probable_line(pairs, constants.far_mm + constants.far_share * pairs.length_mm, track)
    ways = ways_to_join(lines, near, hits, track, constants)
    track_of_line = most_probable_way(ways, near, hits, n_tracks, constants)
    return peeling.label_hits(events, order, far, track_of_line, LINES.min_track_hits)


def find_lines(hits, track, seed, constants):
    """Lines among the hits that may belong to a track.

    Returns:
        lines: Lines. owner: (hit,) line that took each hit, -1 for none.
    """
    maybe = np.flatnonzero(track[:, -1] < constants.sure)
    lines, owner_of_maybe = peeling.peel(hits[maybe], ransac.proposer(N_PAIRS, seed), LINES)
    owner = np.full(len(hits), -1)
    owner[maybe] = owner_of_maybe
    return lines, owner


def refit_lines(lines, owner, hits):
    """The lines fitted again to the hits they own."""
    owned = np.flatnonzero(owner >= 0)
    return seg.fit(lines, owner[owned], hits[owned])


@dataclass
class Pairs:
    """Pairs of a hit and a line of its half event that passes its cell.

    Attributes:
        hit, line: (pair,) indices; the pairs of a hit follow each other.
        score: (pair,) how probable it is that the hit is the line's, on the scale of the network's
            probability that it is noise.
        beyond_mm: (pair,) how far the hit lies beyond those that the line owns, negative between them.
        length_mm: (pair,) from the first to the last hit that the line owns.
    """

    hit: np.ndarray
    line: np.ndarray
    score: np.ndarray
    beyond_mm: np.ndarray
    length_mm: np.ndarray


def score_pairs(lines, owner, hits, track, constants):
    """Ask every hit about every line of its half event that passes its cell.

    Args:
        lines, owner: as `find_lines` gives them. hits: Hits. track: (hit, n_tracks + 1) of the network.
    Returns:
        Pairs.
    """
    group = peeling.group_of_lines(hits, owner, len(lines))
    hit, line = peeling.pairs_in_group(hits.group, group, hits.n_groups)
    distance = np.abs(lines.distance_mm(line, hits.x[hit], hits.y[hit]))
    passes = distance < CELL_MM
    hit = hit[passes]
    line = line[passes]
    hits_of_pairs = hits[hit]
    likelihood = _likelihood(lines, line, hits_of_pairs, distance[passes], constants)
    opinion = _opinion(owner, track, len(lines))
    agreement = (track[hit, :-1] * opinion[line]).sum(1)

    owned = np.flatnonzero(owner >= 0)
    first, last = seg.extents(lines, owner[owned], hits[owned])
    path = lines.path_mm(line, hits_of_pairs.x, hits_of_pairs.y)
    return Pairs(
        hit=hit,
        line=line,
        score=agreement * likelihood,
        beyond_mm=np.maximum(first[line] - path, path - last[line]),
        length_mm=(last - first)[line],
    )


def _likelihood(lines, line, hits, distance, constants):
    """How much more probable the radius and height of hits are on a line than those of noise; 0 where the
    line misses the cell.

    Args:
        lines: Lines. line: (hit,) index of the line each hit is compared with. hits: Hits of the same length.
        distance: (hit,) of the wire from that line, mm.
    Returns:
        (hit,) ratio of densities.
    """
    odd = constants.odd
    sigma_of_radius = sigma_radius_mm(np.nan_to_num(hits.radius, nan=CELL_RADIUS_MM / 2))
    sigma = constants.radius_scale * sigma_of_radius + SIGMA_MORE_MM
    normal_radius = CELL_RADIUS_MM * _normal_density(distance - hits.radius, sigma)
    by_radius = (1 - odd) * normal_radius + odd
    by_radius[np.isnan(by_radius)] = 1.0
    height_off = lines.z_at(line, hits.x, hits.y) - hits.z
    normal_height = 2 * HALF_HEIGHT_MM * _normal_density(height_off, constants.sigma_z_mm)
    by_height = (1 - odd) * normal_height + odd / 10
    by_height[np.isnan(by_height)] = 1.0
    hidden = constants.covered * CELL_RADIUS_MM / np.maximum(distance, 2.0)
    hidden[~(hits.radius < distance)] = 0.0
    crosses = distance < seg.reach_mm(lines)[line] + 2 * sigma
    return np.where(crosses, by_radius * by_height + hidden, 0.0)


def _normal_density(value, sigma):
    """Density of the normal distribution of width sigma."""
    return np.exp(-0.5 * (value / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def _opinion(owner, track, n_lines):
    """(line, n_tracks): which of the tracks it found the network takes each line for; rows sum to 1."""
    owned = np.flatnonzero(owner >= 0)
    n_slots = track.shape[1] - 1
    total = np.empty((n_lines, n_slots))
    for slot in range(n_slots):
        total[:, slot] = np.bincount(owner[owned], track[owned, slot], n_lines)
    total += 1e-9
    return total / total.sum(1, keepdims=True)


def most_probable_line(pairs, reach_mm, track):
    """The line of the highest score of each hit.

    Args:
        pairs: Pairs. reach_mm: how far beyond its hits a line takes others, (pair,) or one number. track:
            (hit, n_tracks + 1) of the network.
    Returns:
        (hit,) index of the line, -1 where its score is not above the network's probability of noise.
    """
    noise = track[:, -1]
    owner = np.full(len(noise), -1)
    possible = (pairs.beyond_mm < reach_mm) & (pairs.score > noise[pairs.hit])
    hit = pairs.hit[possible]
    score = pairs.score[possible]
    first = np.flatnonzero(np.diff(hit, prepend=-1))
    if len(first):
        best = np.zeros(len(noise))
        best[hit[first]] = np.maximum.reduceat(score, first)
        chosen = score == best[hit]
        owner[hit[chosen]] = pairs.line[possible][chosen]
    return owner


def ways_to_join(lines, owner, hits, track, constants):
    """(way, line): for each way to join lines, index of the track that each line belongs to: one of its
    lines.

    Args:
        lines: Lines. owner: (hit,) line of each hit, -1 for none. hits: Hits. track: (hit, n_tracks + 1) of
            the network.
    """
    before, after, badness = peeling.continuations(hits, lines, owner, **MEET)
    best_first = np.argsort(badness, kind="stable")
    before = before[best_first]
    after = after[best_first]
    opinion = _opinion(owner, track, len(lines))
    agreement = (opinion[before] * opinion[after]).sum(1)
    owned = np.flatnonzero(owner >= 0)
    nearest_x = np.full(len(lines), np.inf)
    np.minimum.at(nearest_x, owner[owned], hits.x[owned])
    starts_later = nearest_x[after] > CELL_MM * constants.first_layers
    joined = [(agreement > constants.same) & starts_later]
    joined += [agreement > same for same in (constants.same, *SAME)]
    return np.stack([peeling.chain(before[pair], after[pair], len(lines)) for pair in joined])


def most_probable_way(ways, owner, hits, n_tracks, constants):
    """Choose in each half event the way whose number of tracks the network finds most probable; the first way
    is preferred.

    Args:
        ways: (way, line), as of `ways_to_join`. owner: (hit,) line of each hit, -1 for none.
        n_tracks: (event, side, n + 1) probabilities of the numbers of tracks.
    Returns:
        (line,) index of the track of each line.
    """
    group = peeling.group_of_lines(hits, owner, ways.shape[1])
    of_count = n_tracks.reshape(hits.n_groups, n_tracks.shape[-1])
    of_count = np.pad(of_count, ((0, 0), (0, 1)))  # a larger number has no probability
    probability = np.empty((len(ways), hits.n_groups))
    for way, track_of_line in enumerate(ways):
        n_found = _count_tracks(track_of_line, owner, group, hits.n_groups)
        n_found = np.minimum(n_found, of_count.shape[1] - 1)
        probability[way] = of_count[np.arange(hits.n_groups), n_found]
    probability[0] *= constants.doubt
    best = probability.argmax(0)  # (half event,); of equal ones the first
    # a line without hits has no half event here, but is a track of its own in every way
    return ways[best[group], np.arange(ways.shape[1])]


def _count_tracks(track_of_line, owner, group, n_groups):
    """(half event,) how many tracks have hits enough, if lines belong to them like this."""
    n_lines = len(track_of_line)
    n_hits_of_line = np.bincount(owner[owner >= 0], minlength=n_lines)
    n_hits = np.bincount(track_of_line, n_hits_of_line, n_lines)
    large = np.flatnonzero(n_hits >= LINES.min_track_hits)
    return np.bincount(group[large], minlength=n_groups)
