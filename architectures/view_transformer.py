"""Count tracks in a view by attention: the lit pieces of its image are tokens that look at each other.

Few of the pixels of an image are lit, some dozens of 3390 in the side view, so a network that looks at those
alone can look at each of them harder than a convolution can at all. Beside the number of tracks it learns
which tracks cross each piece, which tells it far more of an event than one number.
"""

import math

import keras
import numpy as np
from keras import ops

from architectures.layers import (
    Phases,
    ToCells,
    TrackTokens,
    Trunk,
    attend,
    attend_by_place,
    feed_forward,
)

# What suits each view, as arguments of `view_tokens`. A track along the foil is a streak of pixels a row high:
# pieces of the top and the side view are longer than high, so that it has fewer of them. In the front view
# every lit pixel is a token, since two tracks that lie close differ by a cell or two.
TRUNKS = {
    "top": {"length": 4, "reach": (4, 6), "n_heads": 2, "n_layers": 3},
    "side": {"length": 4, "reach": (3, 8), "n_heads": 2, "n_layers": 3},
    "front": {"length": 1, "reach": (3, 8), "n_heads": 2, "n_layers": 4},
}
PLACES = {
    "top": ("layer", "column"),
    "side": ("z", "column"),
    "front": ("z", "layer"),
}  # rows, columns


@keras.saving.register_keras_serializable(package="supernemo")
class LitPieces(keras.layers.Layer):
    """Where an image is lit, in pieces of `length` pixels of a row.

    In: image (event, row, column, channel). Out: piece (event, token) int32, row x pieces a row + piece in
    its row; mask (event, token) bool, where there is one. As many tokens as the event with the most has.
    """

    def __init__(self, length, **kwargs):
        super().__init__(**kwargs)
        self.length = length
        self.supports_jit = False  # the number of tokens depends on the images

    def call(self, image):
        n_rows, n_columns = image.shape[1:3]
        n_pieces = -(-n_columns // self.length)  # of a row
        n_beyond = n_pieces * self.length - n_columns
        lit = ops.pad(ops.any(image > 0, -1), ((0, 0), (0, 0), (0, n_beyond)))
        lit = ops.any(ops.reshape(lit, (-1, n_rows * n_pieces, self.length)), -1)
        lit = ops.cast(lit, "int32")
        n_tokens = ops.maximum(ops.max(ops.sum(lit, 1)), 1)
        lit, piece = ops.top_k(lit, n_tokens)  # of equal ones the first comes first
        return piece, lit > 0

    def get_config(self):
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable(package="supernemo")
class PieceFeatures(keras.layers.Layer):
    """Where each piece lies, as numbers and as waves, and the pixels in and around it.

    In: image (event, row, column, channel), piece (event, token) int as `LitPieces` gives it. Out: features
    (event, token, feature); position (event, token, 2), 0 to 1 along the rows' and the columns' axis.

    Args:
        length: pixels in a piece. reach: (rows, columns) around a piece that are seen.
    """

    def __init__(self, length, reach, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})  # positions need more than 8 bits
        self.length = length
        self.reach = tuple(reach)

    def call(self, inputs):
        image, piece = inputs
        n_rows, n_columns, n_channels = image.shape[1:]
        n_pieces = -(-n_columns // self.length)
        row = piece // n_pieces
        column = piece % n_pieces * self.length
        across_rows = ops.cast(row, "float32") / n_rows
        along_row = ops.cast(column, "float32") / n_columns
        position = ops.stack([across_rows, along_row], -1)
        features = [2 * position - 1]
        for axis, size in enumerate((n_rows, n_columns)):
            n_waves = math.ceil(math.log2(size))
            waves = (math.pi * 2.0 ** np.arange(n_waves)).astype("float32")
            phases = position[..., axis : axis + 1] * waves
            features += [ops.sin(phases), ops.cos(phases)]
        n_beyond = n_pieces * self.length - n_columns
        features.append(self._pixels_around(image, row, column, n_beyond))
        return ops.concatenate(features, -1), position

    def _pixels_around(self, image, row, column, n_beyond):
        """(event, token, value) pixels in and around each piece; n_beyond: columns that the last piece lacks."""
        up, left = self.reach
        padded = ops.pad(image, ((0, 0), (up, up), (left, left + n_beyond), (0, 0)))
        height, width, n_channels = padded.shape[1:]
        around = np.arange(2 * up + 1)[:, None] * width + np.arange(2 * left + self.length)
        pixel = (row * width + column)[..., None] + around.ravel().astype("int32")
        event = ops.arange(ops.shape(image)[0], dtype="int32")[:, None, None]
        pixels = ops.take(
            ops.reshape(padded, (-1, n_channels)), pixel + event * (height * width), axis=0
        )
        return ops.reshape(pixels, (*ops.shape(row), around.size * n_channels))

    def get_config(self):
        return {**super().get_config(), "length": self.length, "reach": self.reach}


def view_tokens(
    view, input_shape, length, reach, width=64, n_heads=4, n_layers=3, expansion=2, n_tokens=5
):
    """Read an image by attention: the trunk of networks that look at one view.

    Args:
        view: name of the input. input_shape: (row, column, channel).
        length: pixels of a row that make a piece. reach: (rows, columns) around a piece that are seen with
            it.
        width: of a token. n_layers: layers of attention among the pieces. expansion: of the hidden layers
            between. n_tokens: learned tokens that look at the pieces.
    Returns:
        Trunk; piece (event, token) as `LitPieces` gives it.
    """
    image = keras.Input(input_shape, name=view)
    piece, mask = LitPieces(length, name="lit_pieces")(image)
    features, position = PieceFeatures(length, reach, name="piece_features")([image, piece])
    phases = Phases(n_heads, width // n_heads // 2, name="phases")(position)
    x = keras.layers.Dense(2 * width, activation="relu", name="pieces_hidden")(features)
    x = keras.layers.Dense(width, name="pieces")(x)
    for i in range(n_layers):
        x = attend_by_place(x, phases, mask, n_heads, f"pieces{i}")
        x = feed_forward(x, expansion, f"pieces{i}")
    x = keras.layers.LayerNormalization(name="pieces_norm")(x)
    tokens = TrackTokens(n_tokens, name="tokens")(x)
    tokens = attend(tokens, x, mask, n_heads, "tokens")
    tokens = attend(tokens, tokens, None, n_heads, "tokens_each_other")
    tokens = feed_forward(tokens, expansion, "tokens")
    tokens = keras.layers.LayerNormalization(name="tokens_norm")(tokens)
    place = {name: position[..., axis] for axis, name in enumerate(PLACES[view])}
    return Trunk(image, x, mask, tokens, place), piece


def view_transformer(view, input_shape, n_classes, width=64, n_owners=4, **trunk):
    """Count tracks in a view, and say which of them cross each piece of its image.

    Args:
        view, input_shape, width, trunk: as of `view_tokens`, by default what suits the view. n_classes:
            numbers that are told apart.
        n_owners: tracks, or segments of tracks, whose pieces are told.
    Returns:
        Model. In: image (event, row, column, channel). Out:
        `n_tracks` (event, n_classes): probabilities of the numbers;
        `owners` (event, row, piece, n_owners + 1): logits that each of them, in the order of the labels, or
        noise is in a piece; 0 where nothing is lit. To learn from; `counter_of` leaves it out.
    """
    trunk = {**TRUNKS[view], **trunk, "width": width, "n_tokens": n_owners + 1}
    (image, x, mask, tokens, _), piece = view_tokens(view, input_shape, **trunk)
    n_rows = input_shape[0]
    n_pieces = -(-input_shape[1] // trunk["length"])
    counted = keras.layers.Dense(width, activation="relu", name="features")(tokens[:, n_owners])
    counted = keras.layers.Dense(n_classes, activation="softmax", dtype="float32", name="n_tracks")(
        counted
    )
    of_piece = keras.layers.Dense(width, use_bias=False, name="of_piece")(x)
    of_track = keras.layers.Dense(width, use_bias=False, name="of_track")(tokens[:, :n_owners])
    match = keras.layers.Dot(2, name="match")([of_piece, of_track])
    noise = keras.layers.Dense(1, name="noise")(x)
    owners = keras.layers.Concatenate(name="owners_of_pieces")([match, noise])
    owners = ToCells(1, n_rows * n_pieces, dtype="float32", name="to_image")([owners, piece, mask])
    owners = keras.layers.Reshape((n_rows, n_pieces, n_owners + 1), dtype="float32", name="owners")(
        owners
    )
    return keras.Model(
        image, {"n_tracks": counted, "owners": owners}, name=f"{view}_view_transformer"
    )


def counter_of(model):
    """The part of a `view_transformer` that counts: image -> (event, n_classes) probabilities."""
    return keras.Model(model.input, model.output["n_tracks"], name=model.name)
