"""Hints for the track fit: the segments in which a track's angle and its place on the foil lie.

In: a view, or the hits of a tracker side. Out: `angle` 5, `foil` 10, `fine_angle` 30 and `fine_foil` 113
classes, those of `datasets.fitting_hints`.
"""

from architectures import associated_calorimeter

TARGETS = ("angle", "foil", "fine_angle", "fine_foil")


def fitting_hints(view="top", input_shape=(9, 113, 1), targets=TARGETS, answers="one", **trunk):
    """Name the segments of an event's only track, or of several; arguments and model as of
    `associated_calorimeter.transformer`.
    """
    return associated_calorimeter.transformer(view, input_shape, targets, answers, **trunk)
