"""The refit for tracks that may be bent: lines or arcs, whichever explains the hits of a half event better.

The magnetic field and the gas bend electrons, and lines through pieces of them make more tracks than there
are. So the hits of a half event are explained in four ways: by the lines of `refit`; by one arc for each
track that the network sees; by one arc for each track of `refit`; and by the tracks of the network as they
are, paths of any form, such as that of an electron that turns round. Arcs are fitted to their hits without
those that are far off; then every hit is asked again which arc it belongs to, as `refit` asks it. The way
that makes network, radii and heights most probable together is taken. Each line, arc and path costs something,
since with more of them anything can be explained.

The curvature has a prior: that of electrons. What the gas scatters beyond an arc makes radii less exact.
"""

from dataclasses import dataclass

import numpy as np

from datasets.drift import sigma_radius_mm
from finding import peeling, refit
from finding import segments as seg
from finding.labels import finder_hits
from fitting import arc as arc_of

OFF_MM = (
    25.0,
    10.0,
    8.0,
)  # how far hits may be from an arc, fit after fit; the last holds from then on
HEIGHT_MM = 150.0
MIN_HITS = 4  # of an arc
LEAST_PROBABILITY = 1e-4  # of a number of tracks
OF_LINES = refit.Constants()


@dataclass(frozen=True)
class Constants:
    """What the choice takes for granted, beside `refit.Constants`.

    Attributes:
        scatter_mm: error of radii more for an arc, by what the gas scatters.
        sigma_curvature_per_mm: of the prior.
        per_line, per_arc, per_path: what each costs in log likelihood.
        hit_of_path: how much more probable a hit is on a path than as noise, as a logarithm. It stands for
            heights and neighbours, which go on along any path; a line or arc that fits gives a hit about 6.
        count: weight of the network's log probability of the number of tracks.
        rounds: of asking hits and fitting arcs.
    """

    scatter_mm: float = 1.0
    sigma_curvature_per_mm: float = 1e-3
    per_line: float = 8.0
    per_arc: float = 10.0
    per_path: float = 10.0
    hit_of_path: float = 3.5
    count: float = 12.0
    rounds: int = 2


def find(events, track, n_tracks, seed=0, constants=Constants(), of_lines=OF_LINES):
    """Tracks from the network's probabilities, lines and arcs.

    Args:
        events, track, n_tracks, seed: as of `refit.find`. constants: Constants. of_lines: `refit.Constants`.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    hits, order = finder_hits(events)
    ways = explanations(hits, track[order], n_tracks, seed, constants, of_lines)
    return choose(events, hits, order, ways)


def explanations(hits, track, n_tracks, seed, constants, of_lines):
    """The ways to explain all hits: list of (owner, track_of_line, log_likelihood).

    owner: (hit,) line or arc of each hit, -1 for none; track_of_line: (line,) its track;
    log_likelihood: (half event,).
    """
    by_lines = _by_lines(hits, track, n_tracks, seed, constants, of_lines)
    slot = track.argmax(1)
    n_slots = track.shape[1] - 1
    network = np.where(slot < n_slots, hits.group * n_slots + slot, -1)
    owner, track_of_line, _ = by_lines
    lines_tracks = np.append(track_of_line, -1)[owner]  # the last is for hits of no line
    by_arcs = [
        _by_arcs(hits, track, cluster, constants, of_lines) for cluster in (network, lines_tracks)
    ]
    by_paths = _by_paths(hits, track, network, constants)
    ways = (by_lines, *by_arcs, by_paths)
    return [_with_count(way, hits, n_tracks, constants) for way in ways]


def _with_count(way, hits, n_tracks, constants):
    """The same way; its log likelihood with what the network says of the number of tracks."""
    owner, track_of_line, log_likelihood = way
    group = peeling.group_of_lines(hits, owner, len(track_of_line))
    n_found = refit.count_tracks(track_of_line, owner, group, hits.n_groups)
    of_count = n_tracks.reshape(hits.n_groups, n_tracks.shape[-1])
    of_count = np.pad(of_count, ((0, 0), (0, 1)))  # a larger number has no probability
    n_found = np.minimum(n_found, of_count.shape[1] - 1)
    probability = of_count[np.arange(hits.n_groups), n_found]
    return (
        owner,
        track_of_line,
        log_likelihood + constants.count * np.log(np.maximum(probability, LEAST_PROBABILITY)),
    )


def choose(events, hits, order, ways):
    """(hit,) labels of the most probable way in each half event; the first of equal ones."""
    best = np.argmax([log_likelihood for _, _, log_likelihood in ways], axis=0)
    cluster = np.full(len(hits), -1)
    n_before = 0
    for number, (owner, track_of_line, _) in enumerate(ways):
        mine = (best[hits.group] == number) & (owner >= 0)
        cluster[mine] = n_before + track_of_line[owner[mine]]
        n_before += len(track_of_line)
    every = np.arange(n_before)
    return peeling.label_hits(events, order, cluster, every, refit.LINES.min_track_hits)


def _by_lines(hits, track, n_tracks, seed, constants, of_lines):
    """The way of `refit`."""
    lines, pairs, owner, track_of_line = refit.explain(hits, track, n_tracks, seed, of_lines)
    return (
        owner,
        track_of_line,
        _log_likelihood(hits, track, pairs, owner, len(lines), constants.per_line),
    )


def _by_arcs(hits, track, cluster, constants, of_lines):
    """A way with one arc for each cluster of hits, numbered in any way, -1 for none."""
    number, n_arcs = _numbered(cluster)
    owner = number
    for number_of_round in range(constants.rounds):
        limits = OFF_MM if number_of_round == 0 else OFF_MM[-1:]
        arcs, owner = fit_arcs(hits, owner, n_arcs, constants, of_lines, limits)
        pairs = refit.score_pairs(arcs, owner, hits, track, of_lines, constants.scatter_mm)
        far_mm = of_lines.far_mm + of_lines.far_share * pairs.length_mm
        owner = refit.most_probable_line(pairs, far_mm, track)
    log_likelihood = _log_likelihood(hits, track, pairs, owner, n_arcs, constants.per_arc)
    is_lost = np.bincount(owner[owner >= 0], minlength=n_arcs) == 0
    kept = (owner < 0) & np.append(is_lost, False)[number]  # the last is for hits of no cluster
    owner = np.where(kept, number, owner)
    return owner, np.arange(n_arcs), log_likelihood


def _by_paths(hits, track, network, constants):
    """The way of the network's own tracks, `network` (hit,), whatever form they have."""
    number, n_paths = _numbered(network)
    owner = peeling.without_few(number, n_paths, MIN_HITS)
    of_hit = np.log(np.maximum(track[:, -1], 1e-6))
    on_path = np.flatnonzero(owner >= 0)
    probability = track[on_path, :-1].max(1)
    of_hit[on_path] = np.log(np.maximum(probability, 1e-6)) + constants.hit_of_path
    total = _less_cost(of_hit, hits, owner, n_paths, constants.per_path)
    return owner, np.arange(n_paths), total


def _numbered(cluster):
    """(hit,) clusters numbered from 0, -1 stays, and how many there are."""
    used = np.flatnonzero(cluster >= 0)
    number = np.full(len(cluster), -1)
    names, number[used] = np.unique(cluster[used], return_inverse=True)
    return number, len(names)


def fit_arcs(hits, owner, n_arcs, constants, of_lines, limits_mm):
    """Arcs through the hits they own, without those that are far off.

    Args:
        limits_mm: how far hits may be off, fit after fit.
    Returns:
        FittedArcs; (hit,) owner of each hit, -1 for none and for those left out.
    """
    sigma = of_lines.radius_scale * sigma_radius_mm(np.nan_to_num(hits.radius))
    sigma = np.hypot(sigma, constants.scatter_mm)
    for off_mm in limits_mm:
        owner = peeling.without_few(owner, n_arcs, MIN_HITS)
        arcs = arc_of.fit(
            owner,
            n_arcs,
            hits.x,
            hits.y,
            hits.radius,
            hits.z,
            sigma,
            of_lines.sigma_z_mm,
            sigma_curvature_per_mm=constants.sigma_curvature_per_mm,
        )
        owned = np.flatnonzero(owner >= 0)
        arc = owner[owned]
        off = seg.off_mm(arcs, arc, hits[owned])
        height_off = seg.height_off_mm(arcs, arc, hits[owned])
        is_far = (off > off_mm) | (height_off > HEIGHT_MM)
        owner = owner.copy()
        owner[owned[is_far]] = -1
    owner = peeling.without_few(owner, n_arcs, MIN_HITS)
    return arcs, owner


def _log_likelihood(hits, track, pairs, owner, n_lines, cost):
    """(half event,) log likelihood of a way: of each hit that of its line, or of noise; less the cost of
    lines.
    """
    of_hit = np.log(np.maximum(track[:, -1], 1e-6))
    own = owner[pairs.hit] == pairs.line
    of_hit[pairs.hit[own]] = np.log(np.maximum(pairs.score[own], 1e-12))
    return _less_cost(of_hit, hits, owner, n_lines, cost)


def _less_cost(of_hit, hits, owner, n_lines, cost):
    """(half event,) sum of the log likelihoods of hits, less the cost of the lines that own some."""
    total = np.bincount(hits.group, of_hit, hits.n_groups)
    group = peeling.group_of_lines(hits, owner, n_lines)
    n_used = np.bincount(group[group >= 0], minlength=hits.n_groups)
    return total - cost * n_used
