"""The task of autoencoders that are given the number of tracks as a hint.

The published module of this name held no hint in the end: its files told which hit is of which track, and nothing
of that reached the network. Here the hint is one of four values, a one for the true number of tracks. With it at
the decoder the code need not say how many tracks there are, and events of a given number can be drawn.
"""

import numpy as np

from datasets import clustering_images, views
from datasets.batches import Task
from datasets.clustering_images import N_HINTS


def task():
    """Task; inputs {"padded": (event, 116, 12, 1) uint8, "hint": (event, 4) float32}, labels {"cells": image}."""
    return Task(inputs, labels, _signature, check=check)


def inputs(events):
    return {"padded": views.padded_view(events), "hint": clustering_images.hint(events)}


def labels(events):
    return {"cells": views.padded_view(events)}


def check(events, source="events"):
    """As `clustering_images.check`; raises a ValueError for events of more tracks than there are hints, too."""
    clustering_images.check(events, source)
    n_tracks = np.asarray(events.info["n_tracks"])
    if (n_tracks > N_HINTS).any():
        event = n_tracks.argmax()
        raise ValueError(
            f"{source}: event {event} has {n_tracks[event]} tracks; hints are of {N_HINTS} at most"
        )


def _signature():
    import tensorflow as tf

    image = tf.TensorSpec((None, *clustering_images.SHAPE, 1), tf.uint8)
    given = tf.TensorSpec((None, N_HINTS), tf.float32)
    return {"padded": image, "hint": given}, {"cells": image}
