"""Hits of a tracker side and the tracks they belong to, as `tf.data`, for networks that find tracks.

Batches are made of events with about the same number of hits and padded to the longest of them, so little is
computed for nothing.
"""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from datasets import views
from datasets.drift import possible_radius_mm
from datasets.events import concatenate
from datasets.geometry import N_LAYERS
from datasets.number_of_tracks import BLOCK, CountingData
from datasets.readers import files, open_events

MAX_HITS = 300
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
    max_hits = max_hits or _longest(events)
    radius = possible_radius_mm(events.hits["drift_radius_mm"])
    features, mask = views.sequences(
        replace(events, hits=events.hits | {"drift_radius_mm": radius}), max_hits
    )
    cell = np.zeros(mask.shape, np.int32)
    kept = _place(events) < max_hits
    cell[mask] = (events.hits["column"].astype(np.int32) * N_LAYERS + events.hits["layer"])[kept]
    return {"hits": features[..., 1:], "cell": cell, "mask": mask}


def targets(events, max_hits=None):
    """What the track finder is to find.

    Returns:
        {"track": (event, hit, 2) int8 owners of each hit, -1 noise or no second owner, NO_HIT beyond the
        last; the tracks of an event are numbered along the foil; "n_tracks", "n_segments": (event,) int32}.
    """
    max_hits = max_hits or _longest(events)
    mask = np.arange(max_hits) < events.n_hits[:, None]
    place = _place(events)
    owners = np.full((*mask.shape, 2), NO_HIT, np.int8)
    rank = views.track_rank(events)
    for k, name in enumerate(("track", "second_track")):
        track = events.hits[name]
        of_table = events.track_offsets[events.hit_event] + track
        ranked = np.where(track >= 0, rank[np.where(track >= 0, of_table, 0)], -1) if len(rank) else track
        owners[..., k][mask] = ranked[place < max_hits]
    n_segments = np.minimum(events.n_segments, MAX_SEGMENTS).astype(np.int32)
    return {"track": owners, "n_tracks": events.info["n_tracks"].astype(np.int32), "n_segments": n_segments}


def predict(model, events, batch_size=256):
    """Let a track finder look at all hits of a table; each tracker side on its own, in batches of events with
    like numbers of hits.

    Returns:
        {"track": (hit, n_tracks + 1) float32, probability of each track of the hit's side, along the foil,
        and last of none; "n_tracks", "n_segments": (event, side, n + 1) float32, probability of 0 to n tracks
        and segments on each tracker side}.
    """
    if not isinstance(model.output, dict) or "track" not in model.output:
        raise ValueError(f"model {model.name} is no track finder: it says nothing of single hits")
    shapes = {name: output.shape[-1] for name, output in model.output.items()}
    found = {
        name: np.zeros((len(events), 2, shapes[name]), np.float32) for name in ("n_tracks", "n_segments")
    }
    found["n_tracks"][..., 0] = found["n_segments"][..., 0] = 1  # where there is no hit
    found["track"] = np.zeros((len(events.hits["layer"]), shapes["track"]), np.float32)
    found["track"][:, -1] = 1
    for side in (0, 1):
        of_side = np.flatnonzero(events.hits["side"] == side)
        part = events.keep_hits(events.hits["side"] == side)
        order = np.argsort(part.n_hits, kind="stable")
        order = order[part.n_hits[order] > 0]
        for start in range(0, len(order), batch_size):
            which = order[start : start + batch_size]
            batch = inputs(part[which])
            outputs = model.predict_on_batch(batch)
            n_kept = batch["mask"].sum(1)
            hit = np.repeat(part.hit_offsets[which] - np.cumsum(n_kept) + n_kept, n_kept) + np.arange(
                n_kept.sum()
            )
            found["track"][of_side[hit]] = outputs["track"][batch["mask"]]
            for name in ("n_tracks", "n_segments"):
                found[name][which, side] = outputs[name]
    return found


def _longest(events):
    return min(max(1, events.n_hits.max(initial=0)), MAX_HITS)


def _place(events):
    """(hit,) place of each hit among those of its event."""
    return np.arange(len(events.hits["layer"])) - np.repeat(events.hit_offsets[:-1], events.n_hits)


def read_labelled(path):
    """The events of a file.

    Raises:
        ValueError: it does not tell how many tracks there were or which hits they own; names the file.
    """
    events = open_events.read(path, progress=True)
    n_tracks, track = events.info["n_tracks"], events.hits["track"]
    if (n_tracks < 0).any():
        raise ValueError(
            f"{path}: no labels: the number of tracks of {(n_tracks < 0).sum()} of {len(events)} events is unknown"
        )
    if len(track) and n_tracks.any() and (track < 0).all():
        raise ValueError(f"{path}: no labels: none of its {len(track)} hits belongs to a track")
    return events


def load(
    generate,
    batch_size=64,
    seed=0,
    first_event=0,
    n_val=16384,
    n_test=65536,
    paths=None,
    test_paths=None,
    block=BLOCK,
):
    """Training, validation and test events of a generator, and files to test on as "files"; arguments as
    `number_of_tracks.load`.

    Returns:
        CountingData whose labels are `targets`.
    """
    if paths:
        raise ValueError(
            "the track finder trains on a generator's events, which know the owners of every hit; leave out --data"
        )

    def endless():
        start, rng = first_event, np.random.default_rng([seed, 3, first_event])
        while True:
            yield from batches(generate(block, seed=[seed, 0], first_event=start), batch_size, rng)
            start += block

    fixed = [generate(n, seed=[seed, split]) for split, n in ((1, n_val), (2, n_test))]
    description = {
        "generator": generate.__module__,
        "seeds": {"train": [seed, 0], "val": [seed, 1], "test": [seed, 2]},
    }
    description |= {"n_val": n_val, "n_test": n_test}
    tests = {"test": fixed[1]}
    if test_paths:
        tests["files"] = concatenate(map(read_labelled, files.expand(test_paths)))
        description["test_files"] = files.checksums(test_paths)
    val = _dataset(lambda: batches(fixed[0], batch_size, np.random.default_rng(0)))
    return CountingData(
        _dataset(endless),
        val.apply(tf.data.experimental.assert_cardinality(-(-n_val // batch_size))),
        tests,
        description,
    )


def batches(events, batch_size, rng):
    """(inputs, targets) of batches of events with like numbers of hits, in random order; every event once."""
    order = np.argsort(events.n_hits + rng.uniform(0, 8, len(events)), kind="stable")
    parts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    for part in rng.permutation(len(parts)):
        some = events[parts[part]]
        yield inputs(some), targets(some)


def _dataset(make_batches):
    ints = lambda *shape: tf.TensorSpec((None, *shape), tf.int32)  # noqa: E731
    spec = (
        {
            "hits": tf.TensorSpec((None, None, 6), tf.float32),
            "cell": ints(None),
            "mask": tf.TensorSpec((None, None), tf.bool),
        },
        {"track": tf.TensorSpec((None, None, 2), tf.int8), "n_tracks": ints(), "n_segments": ints()},
    )
    return tf.data.Dataset.from_generator(make_batches, output_signature=spec).prefetch(tf.data.AUTOTUNE)
