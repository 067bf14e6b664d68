"""Name the calorimeter blocks that the tracks of an event end in, or other classes of its tracks.

The published network is a large convolutional one; ours reads an image, or hits, by attention. The toy of
`my_generator` has 22 columns and 15 rows of blocks.
"""

import keras

from architectures import heads
from architectures.track_finder import hit_tokens
from architectures.view_transformer import TRUNKS, view_tokens

N_TRACKS = 4
HIDDEN = 128
# widths of the published hidden layers
PUBLISHED = {"column": (256, 128, 128), "row": (256, 128, 64)}


def transformer(
    view, input_shape=None, targets=("column",), answers="shares", n_tracks=N_TRACKS, **trunk
):
    """Read a view, or the hits of a tracker side, by attention.

    Args:
        view: "top", "side", "front" or "hits". input_shape: of an image (row, column, channel).
        targets: what is to be named, of `heads.WALLS`.
        answers: what is said of it. "one": the class of the event's only track; "shares": the share of the
            tracks that each class has, summing to 1; "several": for each class the probability that a track
            has it; "each": the class of each track, in their order along the foil.
        n_tracks: most tracks. trunk: as of `view_tokens` or `hit_tokens`, by default what suits the view.
    Returns:
        Model. In: image (event, row, column, channel), or what `hit_tokens` takes. Out: `n_tracks` (event,
        n_tracks): probabilities of 1 to n_tracks tracks, but for "one"; and each target, (event, class), or
        (event, track, class) for "each".
    """
    if view == "hits":
        read = hit_tokens(n_tokens=n_tracks + 1, **trunk)
    else:
        trunk = {**TRUNKS[view], **trunk}
        read, _ = view_tokens(view, input_shape, n_tokens=n_tracks + 1, **trunk)
    if answers == "one":
        of_event = heads.segments(read.tokens[:, -1:], read, targets)
        outputs = {name: _named(values[:, 0], name) for name, values in of_event.items()}
        return keras.Model(read.inputs, outputs, name=f"{view}_associated_calorimeter")
    outputs = {"n_tracks": heads.number_of_tracks(read.tokens, n_tracks)}
    for name, of_tracks in heads.segments(read.tokens[:, :-1], read, targets).items():
        if answers == "each":
            outputs[name] = _named(of_tracks, name)
        else:
            activation = "softmax" if answers == "shares" else "sigmoid"
            outputs[name] = _of_event(read.tokens, of_tracks, activation, name)
    return keras.Model(read.inputs, outputs, name=f"{view}_associated_calorimeter")


def _of_event(tokens, of_tracks, activation, name):
    """One answer an event, (event, class), from its tokens and the classes that its tracks may have."""
    n_classes = of_tracks.shape[-1]
    together = keras.layers.Concatenate(name=f"{name}_together")([_flat(tokens), _flat(of_tracks)])
    hidden = keras.layers.Dense(HIDDEN, activation="relu", name=f"{name}_of_event")(together)
    return keras.layers.Dense(n_classes, activation=activation, dtype="float32", name=name)(hidden)


def _flat(x):
    return keras.layers.Flatten()(x)


def _named(x, name):
    """The same values as an output with a name."""
    return keras.layers.Activation("linear", dtype="float32", name=name)(x)


def published(
    view, input_shape, targets=("column",), n_tracks=N_TRACKS, activation="sigmoid", filters=256
):
    """The published network: four convolutions, then dense heads.

    Args:
        view, input_shape, targets, n_tracks: as of `transformer`; targets of PUBLISHED. activation: of what
            names them; the published one has sigmoids.
        filters: of every convolution.
    Returns:
        Model. In: image (event, row, column, channel). Out: `n_tracks` (event, n_tracks) and each target,
        (event, class).
    """
    image = keras.Input(input_shape, name=view)
    x = keras.layers.Conv2D(filters, (3, 15), activation="relu", padding="same", name="stem")(image)
    x = keras.layers.MaxPooling2D((1, 2), name="stem_pool")(x)
    for i in range(3):
        x = keras.layers.Conv2D(
            filters, (3, 3), activation="relu", padding="same", name=f"conv{i}"
        )(x)
        pool = [min(2, size) for size in x.shape[1:3]]  # the front view is but nine layers wide
        x = keras.layers.MaxPooling2D(pool, name=f"pool{i}")(x)
    x = keras.layers.Flatten(name="flat")(x)
    counted = keras.layers.Dense(128, activation="relu", name="n_tracks_hidden0")(x)
    counted = keras.layers.Dense(64, activation="sigmoid", name="n_tracks_hidden1")(counted)
    outputs = {
        "n_tracks": keras.layers.Dense(n_tracks, activation="softmax", name="n_tracks")(counted)
    }
    for name in targets:
        hidden = x
        for i, width in enumerate(PUBLISHED[name]):
            hidden = keras.layers.Dense(width, activation="relu", name=f"{name}_hidden{i}")(hidden)
        outputs[name] = keras.layers.Dense(
            heads.N_SEGMENTS[name], activation, use_bias=False, name=name
        )(hidden)
    return keras.Model(image, outputs, name=f"{view}_associated_calorimeter")
