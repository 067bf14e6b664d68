"""The task of fit hints: in which segment the angle of a track lies, and in which part of the foil it starts.

The angle is atan(dy/dx) at the foil, from -90 to 90 degrees, and cyclic: a track along the foil is as near to
-90 as to 90. The place is the foil point along the 113 columns; what lies beyond them counts for the first or
the last part.
"""

from functools import partial

import numpy as np

from datasets import associated_calohit_multilabel as multilabel
from datasets.associated_calohit_singlelabel import task_of
from datasets.geometry import CELL_MM, N_COLUMNS, TOY

# name -> number of segments, of the angle or of the foil; the first two are those of the notes
N_CLASSES = {"angle": 5, "foil": 10, "fine_angle": 30, "fine_foil": 113}


def task(view="top", answers="one"):
    """The task for one view, or for "hits" as `datasets.clustering.inputs` gives them.

    Args:
        answers: "one" for events of one track, else as of `datasets.associated_calohit_multilabel`.
    Returns:
        Task; labels are (event,) int32 of each of N_CLASSES, or as of that module.
    """
    if answers == "one":
        return task_of(view, of_tracks, dict.fromkeys(N_CLASSES, ((None,), "int32")), check_one)
    shapes = {name: ((None, n_classes), "float32") for name, n_classes in N_CLASSES.items()}
    if answers == "each":
        shapes = dict.fromkeys(N_CLASSES, ((None, multilabel.N_TRACKS), "int32"))
    shapes["n_tracks"] = ((None,), "int32")
    return task_of(view, partial(labels, answers=answers), shapes, check)


def segments(slope_y, foil_y_mm):
    """Name -> (track,) int32, the segment of each of N_CLASSES that tracks are in.

    Args:
        slope_y: (track,) dy/dx at the foil. foil_y_mm: (track,) place along the foil, 0 in its middle.
    """
    turned = np.arctan(slope_y.astype(float)) / np.pi + 0.5  # 0 to 1
    along = foil_y_mm / (CELL_MM * N_COLUMNS) + 0.5
    share = {"angle": turned, "foil": along}
    return {
        name: np.clip(share[name.removeprefix("fine_")] * n_classes, 0, n_classes - 1).astype(
            np.int32
        )
        for name, n_classes in N_CLASSES.items()
    }


def windows(name, segment):
    """Borders of segments, low and high, each as the shape of `segment`: angles in radians, places on the foil
    in mm.
    """
    n_classes = N_CLASSES[name]
    low = segment / n_classes - 0.5
    high = (segment + 1) / n_classes - 0.5
    whole = np.pi if name.endswith("angle") else CELL_MM * N_COLUMNS
    return low * whole, high * whole


def steps_apart(name, one, other):
    """How many segments two are apart, also of blocks; round the circle for angles."""
    apart = np.abs(one - other)
    return np.minimum(apart, N_CLASSES[name] - apart) if name.endswith("angle") else apart


def of_tracks(events):
    """Name -> (track,) int32, the segments of all tracks of a table."""
    return segments(events.tracks["slope_y"], events.tracks["foil_y_mm"])


def labels(events, answers="shares"):
    """Name -> labels of events of 1 to 4 tracks, as `datasets.associated_calohit_multilabel` has them."""
    made = {"n_tracks": (events.info["n_tracks"] - 1).astype(np.int32)}
    for name, segment in of_tracks(events).items():
        made[name] = multilabel.labels_of(events, segment, N_CLASSES[name], answers)
    return made


def check(events, source="events"):
    """See that every event has 1 to 4 tracks and tells where they leave the foil, and how.

    Raises:
        ValueError: it does not; names the source.
    """
    n_tracks = np.diff(events.track_offsets)
    bad = (n_tracks != events.info["n_tracks"]) | (n_tracks < 1) | (n_tracks > multilabel.N_TRACKS)
    if bad.any():
        said = f"event {bad.argmax()} tells {n_tracks[bad.argmax()]} tracks"
        raise ValueError(
            f"{source}: {said} of {events.info['n_tracks'][bad.argmax()]}; hints need all of 1 to 4"
        )
    known = np.isfinite(events.tracks["slope_y"]) & np.isfinite(events.tracks["foil_y_mm"])
    if not known.all():
        event = events.track_event[known.argmin()]
        raise ValueError(f"{source}: event {event} does not tell where a track leaves the foil")
    if not (events.info["geometry"] == TOY).all():
        raise ValueError(
            f"{source}: not the straight-line toy's events, which hints are learned from"
        )


def check_one(events, source="events"):
    """The same, of events of one track."""
    check(events, source)
    several = np.diff(events.track_offsets) != 1
    if several.any():
        raise ValueError(
            f"{source}: event {several.argmax()} has several tracks; one answer is for one"
        )
