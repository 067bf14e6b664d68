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
        first_layers: but a line with a hit in that many layers starts a track of its own.
        doubt: lines are joined by `same` and `first_layers` unless the network finds another number of tracks
            so many times more probable: that of `same` without `first_layers`, or of a probability of SAME.
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
    cluster[best == n_slots] = -1
    return number_tracks(cluster, events.hit_event)


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
    _, _, owner, track_of_line = explain(hits, track[order], n_tracks, seed, constants)
    return peeling.label_hits(events, order, owner, track_of_line, LINES.min_track_hits)


def explain(hits, track, n_tracks, seed, constants):
    """Lines, and the hits and tracks that they are of.

    Args:
        hits: Hits. track: (hit, n_tracks + 1) of the network. n_tracks, seed, constants: as of `find`.
    Returns:
        lines: Lines. pairs: Pairs of hits and lines. owner: (hit,) line of each hit, -1 for none.
        track_of_line: (line,).
    """
    lines, owner = find_lines(hits, track, seed, constants)
    lines = refit_lines(lines, owner, hits)
    pairs = score_pairs(lines, owner, hits, track, constants)
    # hits near those of a line tell which lines meet; in the end a line may take hits farther out
    near = most_probable_line(pairs, constants.near_mm, track)
    far_mm = constants.far_mm + constants.far_share * pairs.length_mm
    far = most_probable_line(pairs, far_mm, track)
    ways = ways_to_join(lines, near, hits, track, constants)
    track_of_line = most_probable_way(ways, near, hits, n_tracks, constants)
    return lines, pairs, far, track_of_line


def find_lines(hits, track, seed, constants):
    """Lines among the hits that may belong to a track.

    Returns:
        lines: Lines. owner: (hit,) line that took each hit, -1 for none.
    """
    noise = track[:, -1]
    maybe = np.flatnonzero(noise < constants.sure)
    propose = ransac.proposer(N_PAIRS, seed)
    lines, owner_of_maybe = peeling.peel(hits[maybe], propose, LINES)
    owner = np.full(len(hits), -1)
    owner[maybe] = owner_of_maybe
    return lines, owner


def refit_lines(lines, owner, hits):
    """The lines fitted again to the hits they own."""
    line, owned = seg.owned_hits(owner, hits)
    return seg.fit(lines, line, owned)


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


def score_pairs(lines, owner, hits, track, constants, more_mm=SIGMA_MORE_MM):
    """Ask every hit about every line of its half event that passes its cell.

    Args:
        lines, owner: as `find_lines` gives them. hits: Hits. track: (hit, n_tracks + 1) of the network.
        more_mm: error of radii more, by that of the lines.
    Returns:
        Pairs.
    """
    group = peeling.group_of_lines(hits, owner, len(lines))
    hit, line = peeling.pairs_in_group(hits.group, group, hits.n_groups)
    distance = lines.distance_mm(line, hits.x[hit], hits.y[hit])
    passes = np.flatnonzero(np.abs(distance) < CELL_MM)
    hit = hit[passes]
    line = line[passes]
    pair_hits = hits[hit]
    likelihood = _likelihood(lines, line, pair_hits, constants, more_mm)
    opinion = _opinion(owner, track, len(lines))
    agreement = track[hit, :-1] * opinion[line]

    first, last = seg.extents(lines, *seg.owned_hits(owner, hits))
    path = lines.path_mm(line, pair_hits.x, pair_hits.y)
    before_first = first[line] - path
    after_last = path - last[line]
    length = last - first
    return Pairs(
        hit=hit,
        line=line,
        score=agreement.sum(1) * likelihood,
        beyond_mm=np.maximum(before_first, after_last),
        length_mm=length[line],
    )


def _likelihood(lines, line, hits, constants, more_mm):
    """How much more probable the radius and height of hits are on a line than those of noise; 0 where the
    line misses the cell.

    Args:
        lines: Lines. line: (hit,) index of the line each hit is compared with. hits: Hits of the same length.
    Returns:
        (hit,) ratio of densities.
    """
    odd = constants.odd
    distance = np.abs(lines.distance_mm(line, hits.x, hits.y))
    radius_or_some = np.nan_to_num(hits.radius, nan=CELL_RADIUS_MM / 2)
    sigma = constants.radius_scale * sigma_radius_mm(radius_or_some) + more_mm
    normal = _density(distance - hits.radius, sigma) * CELL_RADIUS_MM
    by_radius = (1 - odd) * normal + odd
    by_radius[np.isnan(by_radius)] = 1.0  # an unknown radius speaks for nobody
    height = lines.z_at(line, hits.x, hits.y)
    normal = _density(height - hits.z, constants.sigma_z_mm) * 2 * HALF_HEIGHT_MM
    by_height = (1 - odd) * normal + odd / 10
    by_height[np.isnan(by_height)] = 1.0
    hidden = constants.covered * CELL_RADIUS_MM / np.maximum(distance, 2.0)
    may_hide = hits.radius < distance
    likelihood = by_radius * by_height + hidden * may_hide
    reach = seg.reach_mm(lines)
    crosses = distance < reach[line] + 2 * sigma
    return likelihood * crosses


def _density(value, sigma):
    """Density of the normal distribution of width sigma about 0."""
    pull = value / sigma
    norm = np.sqrt(2 * np.pi) * sigma
    return np.exp(-0.5 * pull**2) / norm


def _opinion(owner, track, n_lines):
    """(line, n_tracks): which of the tracks it found the network takes each line for; rows sum to 1."""
    owned = np.flatnonzero(owner >= 0)
    line = owner[owned]
    n_slots = track.shape[1] - 1
    total = np.empty((n_lines, n_slots))
    for slot in range(n_slots):
        total[:, slot] = np.bincount(line, track[owned, slot], n_lines)
    total += 1e-9  # a line without hits may be of any track
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
    more_probable = pairs.score > noise[pairs.hit]
    possible = more_probable & (pairs.beyond_mm < reach_mm)
    hit = pairs.hit[possible]
    line = pairs.line[possible]
    score = pairs.score[possible]
    first = np.flatnonzero(np.diff(hit, prepend=-1))  # of the pairs of each hit
    best = np.zeros(len(noise))
    best[hit[first]] = np.maximum.reduceat(score, first)
    chosen = score == best[hit]
    owner[hit[chosen]] = line[chosen]
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
    line, owned = seg.owned_hits(owner, hits)
    starts_later = seg.first_layer(line, owned, len(lines))[after] >= constants.first_layers
    joins = [(agreement > constants.same) & starts_later]
    for same in (constants.same, *SAME):
        joins.append(agreement > same)
    ways = [peeling.chain(before[join], after[join], len(lines)) for join in joins]
    return np.stack(ways)


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
    half_event = np.arange(hits.n_groups)
    probability = []
    for way in ways:
        n_found = count_tracks(way, owner, group, hits.n_groups)
        n_found = np.minimum(n_found, of_count.shape[1] - 1)
        probability.append(of_count[half_event, n_found])
    probability[0] *= constants.doubt
    best = np.argmax(probability, axis=0)  # (half event,); of equal ones the first
    line = np.arange(len(group))
    # a line without hits has no half event here, but is a track of its own in every way
    return ways[best[group], line]


def count_tracks(track_of_line, owner, group, n_groups):
    """(half event,) how many tracks have hits enough, if lines belong to them like this."""
    n_lines = len(track_of_line)
    n_hits_of_line = np.bincount(owner[owner >= 0], minlength=n_lines)
    n_hits = np.bincount(track_of_line, n_hits_of_line, n_lines)
    large = np.flatnonzero(n_hits >= LINES.min_track_hits)
    return np.bincount(group[large], minlength=n_groups)
