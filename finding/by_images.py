"""Track finding by networks that look at images of the top view and say something of every cell.

What a network says becomes a label of each hit, in one of three ways:

- `by_removal`: the network says which hits stay when the leftmost track goes. Those that go are the first
  track; what stays is looked at again, n - 1 times for n tracks. Errors add up.
- `by_channels`: the network has a channel for each track and one for noise; the highest one is the hit's.
- `by_seeds`: the network says which hits are on the track of one hit, the seed. Seeds are the outermost hits
  that no track has yet, one after another.

A network is a function `say` (event, 116, 12, channel) uint8 -> (event, 116, 12, value) logits, so that any
library may be behind it. It looks at one tracker side at a time. Clusters of fewer than MIN_HITS hits are left
out.
"""

import numpy as np
from scipy.special import logit

from datasets import clustering_images, views
from datasets.events import entries_of
from finding.labels import number_tracks

MIN_HITS = 3
MOST_SEEDS = 12  # of a tracker side of an event: rounds in which tracks may grow
CHUNK = 512  # events whose images are looked at together


def by_removal(events, say, n_tracks, threshold=0.5, remove_last=False, min_hits=MIN_HITS):
    """Labels by taking away the leftmost track again and again.

    Args:
        events: Events. say: network of answers "removal".
        n_tracks: function Events -> (event,) int, how many tracks there are; it is given events of one
            tracker side. `true_number` where that is known.
        threshold: probability of staying from which a hit stays.
        remove_last: the last track is removed too, and what stays is noise: for networks that have learned
            from events of one track. Else all that is left is the last track.
    Returns:
        (hit,) int16, index of each hit's track in its event, -1 for none.
    """

    def find(side):
        return removal_steps(side, say, n_tracks(side), threshold, remove_last)

    return _of_sides(events, find, min_hits)


def removal_steps(events, say, n_tracks, threshold=0.5, remove_last=False):
    """In which step each hit was taken away: (hit,) int from 0 on, -1 for what stays.

    Args:
        events: of one tracker side. n_tracks: (event,) int. The rest is as of `by_removal`.
    """
    n_left = np.asarray(n_tracks)
    step_of_hit = np.full(events.hit_offsets[-1], -1)
    for step in range(n_left.max(initial=0)):
        left = np.flatnonzero(step_of_hit < 0)
        of_hit = n_left[events.hit_event[left]]
        if not remove_last:
            step_of_hit[left[of_hit == step + 1]] = step
        looked_at = np.flatnonzero(n_left > (step if remove_last else step + 1))
        hit, part = _part(events, looked_at, step_of_hit < 0)
        stays = at_hits(part, say)[:, 0] >= logit(threshold)
        step_of_hit[hit[~stays]] = step
    return step_of_hit


def by_channels(events, say, min_hits=MIN_HITS):
    """Labels by the highest channel; arguments as `by_removal`, a network of answers "channels"."""

    def find(side):
        said = at_hits(side, say)
        channel = said.argmax(1)
        is_noise = channel == said.shape[1] - 1
        return np.where(is_noise, -1, channel)

    return _of_sides(events, find, min_hits)


def by_seeds(events, say, threshold=0.5, min_hits=MIN_HITS, most_seeds=MOST_SEEDS):
    """Labels by growing tracks from seeds; arguments as `by_removal`, a network of answers "seeded".

    The network sees the whole event each time; hits that have a track keep it. A seed from which too little
    grows is left out.

    Args:
        most_seeds: that are tried on a tracker side.
    """

    def find(side):
        cluster = np.full(side.hit_offsets[-1], -1)
        is_free = np.ones(len(cluster), bool)
        for step in range(most_seeds):
            seed = _outermost(side, is_free)
            if not len(seed):
                break
            chosen = side.hit_event[seed]
            part = side[chosen]
            hit, _ = entries_of(side.hit_offsets, chosen)
            place = seed - side.hit_offsets[chosen]
            grows = at_hits(part, say, part.hit_offsets[:-1] + place)[:, 0] >= logit(threshold)
            taken = hit[grows & is_free[hit]]
            n_taken = np.bincount(side.hit_event[taken], minlength=len(side))
            large = n_taken[side.hit_event[taken]] >= min_hits
            cluster[taken[large]] = step
            is_free[taken[large]] = False
            is_free[seed] = False
        return cluster

    return _of_sides(events, find, min_hits)


def true_number(events):
    """(event,) number of tracks that have a hit in the table, for `by_removal`."""
    n_in_table = np.diff(events.track_offsets)
    has_hit = np.zeros(events.track_offsets[-1], bool)
    for name in ("track", "second_track"):
        owner = events.hits[name]
        owned = (owner >= 0) & (owner < n_in_table[events.hit_event])
        has_hit[events.track_offsets[events.hit_event[owned]] + owner[owned]] = True
    return np.bincount(events.track_event, has_hit, len(events)).astype(int)


def at_hits(events, say, seed=None):
    """(hit, value) what a network says of the cells of hits, float32.

    Args:
        seed: (event,) index of a hit of each event, which the network sees as the seed of a track.
    """
    said = [np.zeros((0, 1), np.float32)]
    for first in range(0, len(events), CHUNK):
        some = events[first : first + CHUNK]
        if seed is None:
            images = views.padded_view(some)
        else:
            of_some = seed[first : first + CHUNK] - events.hit_offsets[first]
            images = clustering_images.with_seeds(some, np.arange(len(some)), of_some)
        said.append(clustering_images.at_hits(some, np.asarray(say(images))))
    return np.concatenate(said[1:] or said)


def _of_sides(events, find, min_hits):
    """Labels of a function Events of one side -> (hit,) clusters, numbered within their events."""
    n_all = events.hit_offsets[-1]
    cluster = np.full(n_all, -1)
    for side in (0, 1):
        on_side = events.hits["side"] == side
        part = events.keep_hits(on_side)
        found = find(part).astype(np.int64)
        whole = (2 * part.hit_event + side) * (
            n_all + 1
        ) + found  # none is the same in another event or side
        cluster[on_side] = np.where(found >= 0, whole, -1)
    return number_tracks(cluster, events.hit_event, min_hits)


def _part(events, which, mask):
    """Chosen events with only the hits of a mask, and the index of each of those hits among all.

    Args:
        which: (chosen,) rising indices of events. mask: (hit,) bool.
    Returns:
        hit: (hit of the part,) int. part: Events.
    """
    chosen = np.zeros(len(events), bool)
    chosen[which] = True
    hit = np.flatnonzero(mask & chosen[events.hit_event])
    return hit, events.keep_hits(mask)[which]


def _outermost(events, is_free):
    """The outermost free hit of each event that has one: (chosen,) indices of hits, by event."""
    free = np.flatnonzero(is_free)
    event = events.hit_event[free]
    order = np.lexsort(
        (events.hits["column"][free], -events.hits["layer"][free].astype(int), event)
    )
    _, first = np.unique(event[order], return_index=True)
    return free[order[first]]
