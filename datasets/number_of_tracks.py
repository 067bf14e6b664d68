"""The task of counting: images of events, and their number of tracks or of straight segments.

Class k is k + 1 tracks; or, with the target `segments`, k + 1 straight segments, where a track with a kink
has two and six stands for six or more.
"""

from functools import partial

import numpy as np

from datasets import views
from datasets.batches import Task
from datasets.readers import files, open_events

LABELS = (1, 2, 3, 4)
TARGETS = {
    "tracks": LABELS,
    "segments": (1, 2, 3, 4, 5, 6),
}  # what is counted -> number that a class stands for
OWNERS = {  # owners that `views.owners` tells apart
    "tracks": {"n_tracks": 4, "n_segments": 1},
    "segments": {"n_tracks": 4, "n_segments": 2},
}


def task(names=("top",), n_channels=1, target="tracks", owners_in=None):
    """The task of counting in some views.

    Args:
        names: views to make. n_channels: 2 puts the tracker sides into channels of their own, 1 is for events
            on one side. target: what the classes count, of TARGETS.
        owners_in: with a number of pixels, a training on one view learns too which tracks, or segments, are
            in each piece of so many pixels of a row: labels are {"n_tracks": class, "owners":
            `views.owners`}, and a batch holds events with about the same number of lit pieces.
    Returns:
        Task.
    """
    counting = {
        "inputs": partial(images, names=names, n_channels=n_channels),
        "check": partial(check, n_channels=n_channels, target=target),
    }
    if not owners_in:
        labels = partial(classes, target=target)
        signature = partial(_signature, names, n_channels)
        return Task(labels=labels, signature=signature, **counting)
    return Task(
        labels=partial(_with_owners, name=names[0], length=owners_in, target=target),
        signature=partial(_signature, names, n_channels, with_owners=True),
        size=partial(views.n_lit_pieces, name=names[0], length=owners_in),
        **counting,
    )


def _signature(names, n_channels, with_owners=False):
    import tensorflow as tf

    inputs = {
        name: tf.TensorSpec((None, *views.SHAPES[name], n_channels), tf.uint8) for name in names
    }
    labels = tf.TensorSpec((None,), tf.int32)
    if with_owners:
        labels = {"n_tracks": labels, "owners": tf.TensorSpec((None,) * 4, tf.uint8)}
    return (inputs if len(names) > 1 else inputs[names[0]]), labels


def images(events, names=("top",), n_channels=1):
    """Images of one view, or name -> images of several; each (event, ..., channel) uint8."""
    made = views.images(events, names, n_channels)
    return made if len(names) > 1 else made[names[0]]


def _with_owners(events, name, length, target):
    return {
        "n_tracks": classes(events, target=target),
        "owners": views.owners(events, name, length, **OWNERS[target]),
    }


def numbers(events, target="tracks"):
    """(event,) true number of tracks, or of segments up to the highest of TARGETS, that or more; -1 if
    unknown.

    Segments are known where all tracks of an event are in the table.
    """
    n_tracks = events.info["n_tracks"]
    if target == "segments":
        known = n_tracks == np.diff(events.track_offsets)
        return np.where(known, np.minimum(events.n_segments, TARGETS[target][-1]), -1)
    return n_tracks


def classes(events, source="events", target="tracks"):
    """(event,) int32 class of each event, its number of tracks, or of segments, less one.

    Raises:
        ValueError: an event whose number is unknown or not one of TARGETS.
    """
    most = TARGETS[target][-1]
    number = numbers(events, target)
    bad = np.flatnonzero((number < 1) | (number > most))
    if len(bad):
        said = f"event {bad[0]} has {number[bad[0]]} {target} (-1 is unknown)"
        raise ValueError(f"{source}: {said}; counting needs 1 to {most}")
    return (number - 1).astype(np.int32)


def check(events, source="events", n_channels=1, target="tracks"):
    """See that events can be trained or tested on now, rather than in the middle of a training.

    Raises:
        ValueError: an event of an unknown number, or one on both tracker sides where there is one channel: a
            model of one channel counts on one side.
    """
    classes(events, source, target)
    side = events.hits["side"]
    on_side = [np.bincount(events.hit_event[side == s], minlength=len(events)) > 0 for s in (0, 1)]
    both = np.flatnonzero(on_side[0] & on_side[1])
    if n_channels == 1 and len(both):
        said = f"event {both[0]} has hits on both tracker sides"
        raise ValueError(f"{source}: {said}, but there is one channel: --sides 2 gives two")


def n_channels_for(sides, paths, n_sides):
    """Channels of a training's images, one a tracker side.

    Args:
        sides: what the user asked for, or None. paths: files to train on, or None. n_sides: of the
            generator's events.
    """
    if sides:
        return sides
    return sides_of_files(paths) if paths else n_sides


def sides_of_files(paths):
    """How many tracker sides the events of files may use: 1 where all files are the straight-line
    generator's.
    """
    kinds = {open_events.kind_of(path) for path in files.expand(paths)}
    return 1 if kinds == {"my_generator"} else 2
