"""The task of naming the calorimeter block of an event's only track: one class of columns, one of rows.

Classes are those of the straight-line toy: columns 0 to 21 and rows 0 to 14, the first and the last for beyond
the ends of the main wall.
"""

from functools import partial

import numpy as np

from datasets import clustering, number_of_tracks, views
from datasets.batches import Task
from datasets.geometry import TOY

N_CLASSES = {"column": 22, "row": 15}


def task(view="top", targets=("column",)):
    """The task for one view, or for "hits" as `datasets.clustering.inputs` gives them.

    Args:
        targets: names of N_CLASSES.
    Returns:
        Task; labels are name -> (event,) int32.
    """
    return task_of(
        view, partial(labels, targets=targets), dict.fromkeys(targets, ((None,), "int32")), check
    )


def task_of(view, labels, shapes, check):
    """A task whose inputs are a view or hits.

    Args:
        labels: function Events -> name -> array. shapes: name -> (shape with the event, type) of the same.
        check: as of `Task`.
    """
    if view == "hits":
        return Task(clustering.inputs, labels, partial(_signature, view, shapes), _n_hits, check)
    inputs = partial(number_of_tracks.images, names=(view,))
    return Task(inputs, labels, partial(_signature, view, shapes), _n_hits, check)


def _n_hits(events):
    return events.n_hits


def _signature(view, shapes):
    import tensorflow as tf

    inputs = clustering.input_signature()
    if view != "hits":
        inputs = tf.TensorSpec((None, *views.SHAPES[view], 1), tf.uint8)
    return inputs, {name: tf.TensorSpec(shape, dtype) for name, (shape, dtype) in shapes.items()}


def labels(events, targets=("column",)):
    """name -> (event,) int32, the class of the block in which each event's only track ends."""
    return {name: events.tracks[f"calo_{name}"].astype(np.int32) for name in targets}


def check(events, source="events"):
    """See that every event has one track, on one side, and tells its block.

    Raises:
        ValueError: it does not; names the source.
    """
    check_blocks(events, source)
    n_tracks = np.diff(events.track_offsets)
    bad = np.flatnonzero(n_tracks != 1)
    if len(bad):
        said = f"event {bad[0]} has {n_tracks[bad[0]]} tracks"
        raise ValueError(f"{source}: {said}; a single label is for events of one track")


def check_blocks(events, source="events"):
    """See that all tracks of a table are in it and tell their blocks, as the straight-line toy counts them.

    Raises:
        ValueError: they do not; names the source.
    """
    if not (events.info["geometry"] == TOY).all():
        raise ValueError(
            f"{source}: not the straight-line toy's events, whose 22 x 15 blocks are learned"
        )
    unknown = events.info["n_tracks"] != np.diff(events.track_offsets)
    if unknown.any():
        raise ValueError(f"{source}: event {unknown.argmax()} does not tell all of its tracks")
    for name, n_classes in N_CLASSES.items():
        block = events.tracks[f"calo_{name}"]
        bad = np.flatnonzero((block < 0) | (block >= n_classes))
        if len(bad):
            said = f"a track of event {events.track_event[bad[0]]} ends in {name} {block[bad[0]]}"
            raise ValueError(f"{source}: {said}, outside 0..{n_classes - 1}")
