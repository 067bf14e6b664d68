"""Reproducible events: a stream of events is made in blocks, each with a random generator of its own.

Event i of a stream lies in block i // BLOCK whatever was asked for, so any range of events can be made again
alone.
"""

import numpy as np

from datasets.events import concatenate

BLOCK = 2048


def stream(make_block, n_events, tracks, seed, first_event=0):
    """Events `first_event` to `first_event + n_events` of the stream of `seed`, a block at a time.

    Args:
        make_block: function (n_tracks (event,), rng) -> Events.
        tracks: numbers of tracks an event may have, each as likely as the other.
        seed: an integer or a sequence of integers.
    Yields:
        Events of at most BLOCK events, with `info["event"]` counting from the stream's start.
    """
    tracks = np.atleast_1d(tracks)
    if len(tracks) == 0 or tracks.min() < 0:
        raise ValueError(f"numbers of tracks must be 0 or more, not {tracks.tolist()}")
    end = first_event + n_events
    first_block = first_event // BLOCK
    end_block = -(-end // BLOCK)  # rounded up
    for block in range(first_block, end_block):
        rng = np.random.default_rng([*np.atleast_1d(seed), block])
        n_tracks = rng.choice(tracks, BLOCK)
        events = make_block(n_tracks, rng)
        start = block * BLOCK
        events.info["event"] = np.arange(start, start + BLOCK)
        yield events[max(first_event - start, 0) : end - start]


def generate(make_block, n_events, tracks, seed, first_event=0):
    """The same as one table."""
    tables = stream(make_block, n_events, tracks, seed, first_event)
    return concatenate(tables)
