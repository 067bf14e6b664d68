"""Count tracks in the top view by capsules, one for each number of tracks; a second network draws the event
from the capsule of its number.
"""

import math

import keras
from keras import ops

from architectures.residual import residual_block
from capsule_lib import Length, OneCapsule, PrimaryCapsule, SecondaryCapsule, Shares


def capsule_network(
    input_shape=(9, 113, 1),
    n_classes=4,
    stem_filters=48,
    stages=((48, (1, 1)), (48, (1, 2)), (48, (1, 2)), (48, (1, 2))),
    n_types=8,
    n_dims=8,
    n_class_dims=16,
    n_iterations=3,
    routing="agreement",
    n_hidden=(128, 256),
):
    """The network as it learns: numbers of tracks, and drawings of events from them.

    Each capsule below costs a matrix and a vote for every number, and the published way, 8 types on a grid of
    places half as fine as the image, would make more than 2000 of them. The first convolution therefore takes
    all nine layers into its filters, as a track crosses each of them, and strides leave 8 places along the
    foil: 64 capsules. Each of them has seen some 130 columns, since a capsule that is to vote for a number of
    tracks has to see all of them.

    Args:
        input_shape: (layer, column, side). n_classes: numbers that are told apart; class k is k + 1 tracks.
        stages: (filters, strides) of residual blocks along the foil. n_types, n_dims: capsules at each place
            that is left, and their dimensions. n_class_dims: dimensions of a number's capsule.
        n_iterations, routing: of `SecondaryCapsule`. n_hidden: of the layers that draw.
    Returns:
        Model. In: `top` (event, layer, column, side); `number` (event, n_classes), 1 for the true number. Out:
        `lengths` (event, n_classes) of the capsules, `drawing`, as `top`, 0 to 1. `counter_of` counts alone.
    """
    image = keras.Input(input_shape, name="top")
    number = keras.Input((n_classes,), name="number")
    n_layers = input_shape[0]
    stem = keras.layers.Conv2D(
        stem_filters, (n_layers, 9), (n_layers, 1), padding="same", activation="relu", name="stem"
    )
    x = stem(image)
    for stage, (filters, strides) in enumerate(stages):
        x = residual_block(x, filters, strides, f"stage{stage}", kernel=(1, 5))
    x = PrimaryCapsule(n_types, n_dims, (1, 5), (1, 2), "same", name="primary")(x)
    capsules = SecondaryCapsule(n_classes, n_class_dims, n_iterations, routing, name="numbers")(x)
    lengths = Length(dtype="float32", name="lengths")(capsules)
    kept = OneCapsule(dtype="float32", name="kept")([capsules, number])
    x = kept
    for i, n in enumerate(n_hidden):
        x = keras.layers.Dense(n, activation="relu", name=f"drawing_hidden{i}")(x)
    n_pixels = math.prod(input_shape)
    x = keras.layers.Dense(n_pixels, activation="sigmoid", dtype="float32", name="drawing_pixels")(
        x
    )
    drawing = keras.layers.Reshape(input_shape, dtype="float32", name="drawing")(x)
    return keras.Model(
        [image, number], {"lengths": lengths, "drawing": drawing}, name="capsule_network"
    )


def lengths_of(model):
    """The part of a `capsule_network` that says how long its capsules are: image -> (event, n_classes)."""
    image, _ = model.inputs
    return keras.Model(image, model.output["lengths"], name="lengths")


def counter_of(model, power=1.0):
    """The part of a `capsule_network` that counts: image -> (event, n_classes) probabilities, `Shares` of the
    lengths.
    """
    image, _ = model.inputs
    shares = Shares(power, name="n_tracks")(model.output["lengths"])
    return keras.Model(image, shares, name="top_view_capsules")


def drawer_of(model):
    """A `capsule_network` that is told no number and draws an event from its longest capsule: image -> image."""
    image, number = model.inputs
    longest = ops.argmax(model.output["lengths"], -1)
    longest = ops.one_hot(longest, number.shape[-1])
    return keras.Model(image, model([image, longest])["drawing"], name="top_view_drawn")
