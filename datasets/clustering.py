"""The task of finding tracks: the hits of a tracker side, and the tracks that they belong to.

Inputs are padded to the longest event of a batch, so batches are made of events with about the same number of
hits.
"""

import numpy as np

from datasets import views
from datasets.batches import Task
from datasets.drift import possible_radius_mm
from datasets.geometry import N_LAYERS
from datasets.readers import open_events

MAX_HITS = 300  # of a tracker side that the network looks at
MAX_TRACKS = 8  # of a tracker side: more are beyond what anything here was measured on
MAX_SEGMENTS = 8
NO_HIT = -2


def inputs(events, max_hits=None):
    """What the track finder takes, of events on one tracker side.

    Args:
        max_hits: length to pad to; the hits of an event beyond it are dropped (default: that of the longest
            event, at most MAX_HITS).
    Returns:
        {"hits": (event, hit, 6) float32, views.SEQUENCE_FEATURES without the side; "cell": (event, hit)
        int32, column x 9 + layer; "mask": (event, hit) bool, where a hit is}. A radius that no track through
        the cell can have counts as not measured.
    """
    max_hits = max_hits or longest(events)
    radius = possible_radius_mm(events.hits["drift_radius_mm"])
    features, mask = views.sequences(events.with_hits({"drift_radius_mm": radius}), max_hits)
    kept = events.hit_place < max_hits
    cell = np.zeros(mask.shape, np.int32)
    cell[mask] = (events.hits["column"].astype(np.int32) * N_LAYERS + events.hits["layer"])[kept]
    return {"hits": features[..., 1:], "cell": cell, "mask": mask}


def labels(events, max_hits=None):
    """What the track finder is to find.

    Returns:
        {"track": (event, hit, 2) int8 owners of each hit, -1 noise or no second owner, NO_HIT beyond the
        last; the tracks of an event are numbered along the foil; "n_tracks", "n_segments": (event,) int32}.
    """
    max_hits = max_hits or longest(events)
    mask = np.arange(max_hits) < events.n_hits[:, None]
    kept = events.hit_place < max_hits
    owners = np.full((*mask.shape, 2), NO_HIT, np.int8)
    for k, name in enumerate(("track", "second_track")):
        owners[..., k][mask] = _along_foil(events, events.hits[name])[kept]
    n_segments = np.minimum(events.n_segments, MAX_SEGMENTS).astype(np.int32)
    return {
        "track": owners,
        "n_tracks": events.info["n_tracks"].astype(np.int32),
        "n_segments": n_segments,
    }


def _along_foil(events, track):
    """(hit,) owners numbered in the order of the tracks along the foil; -1 stays."""
    rank = views.track_rank(events)
    if not len(rank):
        return track
    in_table = events.track_offsets[events.hit_event] + track
    owned = track >= 0
    return np.where(owned, rank[np.where(owned, in_table, 0)], -1)


def longest(events):
    """Hits of the longest event, but 1 at least and MAX_HITS at most."""
    return min(max(1, events.n_hits.max(initial=0)), MAX_HITS)


def _n_hits(events):
    return events.n_hits


def input_signature():
    """`inputs` as name -> `tf.TensorSpec`."""
    import tensorflow as tf

    return {
        "hits": tf.TensorSpec((None, None, 6), tf.float32),
        "cell": tf.TensorSpec((None, None), tf.int32),
        "mask": tf.TensorSpec((None, None), tf.bool),
    }


def _signature():
    import tensorflow as tf

    labels = {
        "track": tf.TensorSpec((None, None, 2), tf.int8),
        "n_tracks": tf.TensorSpec((None,), tf.int32),
        "n_segments": tf.TensorSpec((None,), tf.int32),
    }
    return input_signature(), labels


def check(events, source="events"):
    """See that a table tells which hits belong to which track.

    Raises:
        ValueError: it does not; names the source.
    """
    n_tracks, track = events.info["n_tracks"], events.hits["track"]
    unknown = n_tracks < 0
    if unknown.any():
        said = f"the number of tracks of {unknown.sum()} of {len(events)} events is unknown"
        raise ValueError(f"{source}: no labels: {said}")
    if len(track) and n_tracks.any() and (track < 0).all():
        raise ValueError(f"{source}: no labels: none of its {len(track)} hits belongs to a track")


def read_labelled(path):
    """The events of a file.

    Raises:
        ValueError: it does not tell how many tracks there were or which hits they own; names the file.
    """
    events = open_events.read(path, progress=True)
    check(events, path)
    return events


task = Task(inputs, labels, _signature, size=_n_hits, check=check)
