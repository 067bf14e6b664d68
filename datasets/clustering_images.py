"""The tasks of clustering networks that look at images: the padded top view of one tracker side.

What a network is to say of an image, of `ANSWERS`:

- "copy": the image itself, as an autoencoder does;
- "removal": the event without its leftmost track;
- "channels": which track each lit cell belongs to, one channel a track from left to right, and last noise;
- "seeded": the track of one hit, the seed, which a second channel of the input shows.

Left is the same everywhere: the track whose hits reach the lowest column; of two that reach the same one, the
track whose foil point is lower; of those the first in the table. A track that left no hit comes last. Who owns
a hit is taken from the event table, so a cell that two tracks share belongs to both: it stays when one of them
is removed. Noise stays too.

The seed of a track is its outermost hit, the one in the highest layer, and of several there the one of the
lowest column. That is a hit where tracks are apart, and one that can be chosen without knowing the tracks: the
outermost of all hits that are left. An event gives a row for each of its tracks and, where it has noise, one
whose seed is the outermost noise hit: from there nothing is to be found.
"""

from functools import partial

import numpy as np

from datasets import clustering, views
from datasets.batches import Task
from datasets.geometry import N_COLUMNS
from datasets.views import PADDING

ANSWERS = ("copy", "removal", "channels", "seeded")
SHAPE = views.SHAPES["padded"]
N_TRACKS = 4  # that have a channel
DARK = -1  # in labels: no hit in this cell, so nothing is asked of it
N_HINTS = 4  # numbers of tracks, from 1 on, that a network can be given
N_INPUTS = {"copy": 1, "removal": 1, "channels": 1, "seeded": 2}  # channels of the images
N_OUTPUTS = {
    "copy": 1,
    "removal": 1,
    "channels": N_TRACKS + 1,
    "seeded": 1,
}  # values a cell of what is said


def task(answers="removal"):
    """The task whose answers are one of ANSWERS.

    Returns:
        Task; inputs are (event, 116, 12, N_INPUTS) uint8 and labels {"cells": ...}, as `removed_left`,
        `channels` and `grown` make them; a copy's labels are the image.
    """
    make = {
        "copy": (views.padded_view, views.padded_view),
        "removal": (views.padded_view, removed_left),
        "channels": (views.padded_view, channels),
        "seeded": (seeded, grown),
    }
    inputs, cells = make[answers]
    check_all = partial(check, most_tracks=N_TRACKS if answers == "channels" else None)
    return Task(inputs, partial(_named, cells), partial(_signature, answers), check=check_all)


def _named(make, events):
    return {"cells": make(events)}


def _signature(answers):
    import tensorflow as tf

    dtype = tf.int8 if answers in ("removal", "seeded") else tf.uint8
    inputs = tf.TensorSpec((None, *SHAPE, N_INPUTS[answers]), tf.uint8)
    return inputs, {"cells": tf.TensorSpec((None, *SHAPE, N_OUTPUTS[answers]), dtype)}


# ---- cells and owners --------------------------------------------------------------------------------------


def cells_of_hits(events):
    """Where the hits are in the images: event, row and column of the image, (hit,) int each."""
    row = events.hits["column"].astype(np.intp) + PADDING
    column = events.hits["layer"].astype(np.intp) + PADDING
    return events.hit_event, row, column


def at_hits(events, images):
    """(hit, ...) what images, (event, 116, 12, ...), hold in the cell of each hit."""
    return images[cells_of_hits(events)]


def rank_from_left(events):
    """(track,) place of each track among those of its event, counted from the left."""
    lowest = np.full(events.track_offsets[-1], N_COLUMNS)
    for name in ("track", "second_track"):
        hit, track = _owned_hits(events, name)
        np.minimum.at(lowest, track, events.hits["column"][hit])
    foil_y_mm = events.tracks["foil_y_mm"]
    order = np.lexsort(
        (foil_y_mm, lowest, events.track_event)
    )  # where both are the same, as in the table
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order)) - events.track_offsets[events.track_event]
    return rank


def owners_from_left(events):
    """(hit, 2) int, the owners of each hit, numbered from the left; -1 for noise, or for no second owner."""
    owners = np.full((events.hit_offsets[-1], 2), -1)
    rank = rank_from_left(events)
    for k, name in enumerate(("track", "second_track")):
        hit, track = _owned_hits(events, name)
        owners[hit, k] = rank[track]
    return owners


def _owned_hits(events, name):
    """Hits that have an owner of this name, `track` or `second_track`, and its index in the whole table."""
    owner = events.hits[name]
    n_in_table = np.diff(events.track_offsets)[events.hit_event]
    hit = np.flatnonzero((owner >= 0) & (owner < n_in_table))
    return hit, events.track_offsets[events.hit_event[hit]] + owner[hit]


# ---- what a network is to say ------------------------------------------------------------------------------


def without_left(events):
    """The events without their leftmost tracks: (event, 116, 12, 1) uint8.

    A cell stays lit if any of its hits is noise or is of another track too.
    """
    owners = owners_from_left(events)
    is_noise = (owners < 0).all(1)
    has_other = (owners > 0).any(1)
    event, row, column = cells_of_hits(events)
    stays = is_noise | has_other
    image = np.zeros((len(events), *SHAPE, 1), np.uint8)
    image[event[stays], row[stays], column[stays]] = 1
    return image


def removed_left(events):
    """The same as labels: (event, 116, 12, 1) int8, 1 where a hit stays, 0 where one goes, else DARK."""
    return _on_lit_cells(views.padded_view(events), without_left(events))


def channels(events):
    """Which tracks are in a cell: (event, 116, 12, N_TRACKS + 1) uint8, tracks from the left, last noise.

    A cell that two tracks share is in the channels of both; tracks beyond N_TRACKS are in none.
    """
    owners = owners_from_left(events)
    event, row, column = cells_of_hits(events)
    image = np.zeros((len(events), *SHAPE, N_TRACKS + 1), np.uint8)
    for k in range(owners.shape[1]):
        hit = np.flatnonzero((owners[:, k] >= 0) & (owners[:, k] < N_TRACKS))
        image[event[hit], row[hit], column[hit], owners[hit, k]] = 1
    noise = np.flatnonzero((owners < 0).all(1))
    image[event[noise], row[noise], column[noise], N_TRACKS] = 1
    return image


def seeded(events):
    """Events with seeds: (row, 116, 12, 2) uint8, the event and the seed; as many rows as events have tracks
    and noise.
    """
    _, event_of_row, seed, *_ = _rows(events)
    return with_seeds(events, event_of_row, seed)


def event_of_rows(events, answers):
    """(row,) index of the event that each image of a task's inputs is of."""
    if answers != "seeded":
        return np.arange(len(events))
    _, event, *_ = _rows(events)
    return event


def with_seeds(events, which, seed):
    """(row, 116, 12, 2) uint8: an event, and one of its hits as the seed, in each row.

    Args:
        which: (row,) index of the event. seed: (row,) index of the hit among all hits.
    """
    images = np.zeros((len(which), *SHAPE, 2), np.uint8)
    images[..., :1] = views.padded_view(events)[which]
    _, row, column = cells_of_hits(events)
    images[np.arange(len(which)), row[seed], column[seed], 1] = 1
    return images


def grown(events):
    """What is to grow from the seeds of `seeded`: (row, 116, 12, 1) int8, 1 in the cells of the seed's track,
    0 in other lit cells, else DARK. From noise nothing grows.
    """
    is_noise, event_of_row, _, hit, row_of_hit = _rows(events)
    image = np.zeros((len(event_of_row), *SHAPE, 1), np.uint8)
    of_track = ~is_noise[row_of_hit]
    _, row, column = cells_of_hits(events)
    image[row_of_hit[of_track], row[hit[of_track]], column[hit[of_track]]] = 1
    return _on_lit_cells(views.padded_view(events)[event_of_row], image)


def _rows(events):
    """The tracks that have a hit, and the noise, as rows; those of an event from the left, its noise last.

    Returns:
        is_noise, event, seed: (row,), the seed as index of a hit. hit, row: (entry,), the hits of all rows, a
        hit of two tracks twice.
    """
    owners = owners_from_left(events)
    n_owners = owners.max(initial=0) + 2  # of an event at most; the last is noise
    hit, k = np.nonzero(owners >= 0)
    owner = owners[hit, k]
    noise = np.flatnonzero((owners < 0).all(1))
    hit = np.concatenate([hit, noise])
    owner = np.concatenate([owner, np.full(len(noise), n_owners - 1)])
    key = events.hit_event[hit] * n_owners + owner

    order = np.lexsort(
        (events.hits["column"][hit], -events.hits["layer"][hit], key)
    )  # outermost first
    keys, first, row = np.unique(key[order], return_index=True, return_inverse=True)
    event, owner = np.divmod(keys, n_owners)
    return owner == n_owners - 1, event, hit[order][first], hit[order], row


def _on_lit_cells(image, answer):
    """(event, 116, 12, 1) int8: the answer where the image is lit, else DARK."""
    return np.where(image > 0, answer, DARK).astype(np.int8)


def hint(events):
    """(event, N_HINTS) float32, 1 for the true number of tracks; zeros alone for an event without a track."""
    n_tracks = np.asarray(events.info["n_tracks"])
    return (n_tracks[:, None] == np.arange(1, N_HINTS + 1)).astype(np.float32)


# ---- what can be learned from ------------------------------------------------------------------------------


def check(events, source="events", most_tracks=None):
    """See that every event lies on one tracker side and tells which hits belong to which track.

    Args:
        most_tracks: that an event may have.
    Raises:
        ValueError: it does not; names the source.
    """
    clustering.check(events, source)
    n_on_side_1 = np.bincount(events.hit_event, events.hits["side"], len(events))
    on_both = (n_on_side_1 > 0) & (n_on_side_1 < events.n_hits)
    if on_both.any():
        said = f"event {on_both.argmax()} has hits on both tracker sides"
        raise ValueError(f"{source}: {said}; an image is of one")
    n_tracks = np.diff(events.track_offsets)
    if most_tracks is not None and (n_tracks > most_tracks).any():
        event = n_tracks.argmax()
        raise ValueError(
            f"{source}: event {event} has {n_tracks[event]} tracks; channels are {most_tracks}"
        )
