"""The task of naming the calorimeter blocks of all tracks of an event that is not clustered.

Three ways to tell a network, of `ANSWERS`:

- "shares": each class has its share of the tracks, counts / k of k tracks (after Mahajan et al.,
  arXiv:1805.00932): two tracks of three in one block count twice, 2/3 and 1/3;
- "several": 1 for each class that some track ends in;
- "each": the class of each track, in their order along the foil, -1 beyond the last.
"""

from functools import partial

import numpy as np

from datasets import number_of_tracks, views
from datasets.associated_calohit_singlelabel import N_CLASSES, check_blocks, task_of

ANSWERS = ("shares", "several", "each")
N_TRACKS = 4


def task(view="top", targets=("column",), answers="shares"):
    """The task for one view, or for "hits" as `datasets.clustering.inputs` gives them.

    Args:
        targets: names of N_CLASSES. answers: of ANSWERS.
    Returns:
        Task; labels are `n_tracks` (event,) int32, class k is k + 1 tracks, and each target: (event, class)
        float32, or (event, N_TRACKS) int32 for "each".
    """
    return task_of(
        view,
        partial(labels, targets=targets, answers=answers),
        {"n_tracks": ((None,), "int32")} | {name: _shape(name, answers) for name in targets},
        check,
    )


def _shape(name, answers):
    return (
        ((None, N_TRACKS), "int32") if answers == "each" else ((None, N_CLASSES[name]), "float32")
    )


def labels(events, targets=("column",), answers="shares"):
    """Labels of events, as `task` says."""
    made = {"n_tracks": number_of_tracks.classes(events)}
    for name in targets:
        block = events.tracks[f"calo_{name}"]
        made[name] = labels_of(events, block, N_CLASSES[name], answers)
    return made


def labels_of(events, classes, n_classes, answers):
    """Labels of events, given the class of each of their tracks, (track,)."""
    if answers == "each":
        return each(events, classes)
    counted = counts(events, classes, n_classes)
    if answers == "several":
        return (counted > 0).astype(np.float32)
    total = counted.sum(1, keepdims=True)
    return (counted / np.maximum(total, 1)).astype(np.float32)


def counts(events, classes, n_classes):
    """(event, n_classes) int, how many tracks of each event are of each class; classes: (track,)."""
    place = events.track_event * n_classes + classes
    counted = np.bincount(place, minlength=len(events) * n_classes)
    return counted.reshape(len(events), n_classes)


def each(events, classes):
    """(event, N_TRACKS) int32, the class of each track of an event in their order along the foil, -1
    beyond the last.
    """
    ordered = np.full((len(events), N_TRACKS), -1, np.int32)
    rank = views.track_rank(events)
    ordered[events.track_event, rank] = classes
    return ordered


def check(events, source="events"):
    """See that every event has 1 to 4 tracks and tells their blocks.

    Raises:
        ValueError: it does not; names the source.
    """
    check_blocks(events, source)
    number_of_tracks.check(events, source)
