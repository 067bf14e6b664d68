"""Layers of our own: attention and what it needs, for the networks that read hits or pieces of an image as
tokens; pooling that remembers where the highest value was.
"""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops


class Trunk(NamedTuple):
    """The part of a network that reads an event by attention, and that its answers start from.

    Attributes:
        inputs: of the network. x: (event, token, width), what is known of each hit or piece of an image.
        mask: (event, token) bool, where there is one.
        tokens: (event, query, width), what the learned tokens saw: the tracks along the foil, and last the
            event as a whole.
        place: name of a coordinate -> (event, token), where each token is along it, 0 to 1.
    """

    inputs: object
    x: object
    mask: object
    tokens: object
    place: dict


@keras.saving.register_keras_serializable(package="supernemo")
class ToCells(keras.layers.Layer):
    """Put tokens into their cells.

    In: features (event, token, feature), cell (event, token) int, mask (event, token). Out: (event, 1,
    column, layer x feature), 0 in cells without a token; the cell is column x n_layers + layer.
    """

    def __init__(self, n_layers, n_columns, **kwargs):
        super().__init__(**kwargs)
        self.n_layers = n_layers
        self.n_columns = n_columns

    def call(self, inputs):
        features, cell, mask = inputs
        n_features = features.shape[-1]
        n_events = ops.shape(features)[0]
        n_cells = self.n_layers * self.n_columns
        n_all = n_events * n_cells
        event = ops.arange(n_events, dtype="int32")[:, None]
        # what is no token goes to a cell beyond the last: exported to ONNX, the last one written to a cell
        # stays
        index = ops.where(mask, cell + n_cells * event, n_all)
        values = features * ops.cast(mask, features.dtype)[..., None]
        values = ops.reshape(values, (-1, n_features))
        cells = ops.scatter(ops.reshape(index, (-1, 1)), values, (n_all + 1, n_features))
        return ops.reshape(cells[:n_all], (-1, 1, self.n_columns, self.n_layers * n_features))

    def compute_output_shape(self, shapes):
        return (shapes[0][0], 1, self.n_columns, self.n_layers * shapes[0][-1])

    def get_config(self):
        return {**super().get_config(), "n_layers": self.n_layers, "n_columns": self.n_columns}


@keras.saving.register_keras_serializable(package="supernemo")
class TrackTokens(keras.layers.Layer):
    """Learned tokens, the same for every event.

    In: hits (event, hit, width). Out: (event, n_tokens, width).
    """

    def __init__(self, n_tokens, **kwargs):
        super().__init__(**kwargs)
        self.n_tokens = n_tokens

    def build(self, shape):
        at_random = keras.initializers.RandomNormal(stddev=1.0)
        self.tokens = self.add_weight((1, self.n_tokens, shape[-1]), at_random, name="tokens")

    def call(self, hits):
        n_events = ops.shape(hits)[0]
        tokens = ops.cast(self.tokens, hits.dtype)
        return ops.broadcast_to(tokens, (n_events, self.n_tokens, hits.shape[-1]))

    def compute_output_shape(self, shape):
        return (shape[0], self.n_tokens, shape[-1])

    def get_config(self):
        return {**super().get_config(), "n_tokens": self.n_tokens}


@keras.saving.register_keras_serializable(package="supernemo")
class Phases(keras.layers.Layer):
    """Phases of plane waves at the places of tokens, by which `RotaryAttention` turns its queries and keys.

    The waves have fixed directions, spread evenly, and lengths from twice the image down to a tenth of it.

    In: position (event, token, 2), 0 to 1 across the image. Out: (event, head, token, n_waves) float32.
    """

    def __init__(self, n_heads, n_waves, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.n_heads = n_heads
        self.n_waves = n_waves
        waves = waves_of_heads(n_heads, n_waves, longest=2.0, shortest=2 * 2**-4.5)
        self.waves = waves.astype("float32")

    def call(self, position):
        n_events, n_tokens = ops.shape(position)[:2]
        phases = ops.matmul(position, self.waves)
        phases = ops.reshape(phases, (n_events, n_tokens, self.n_heads, self.n_waves))
        return ops.transpose(phases, (0, 2, 1, 3))

    def compute_output_shape(self, shape):
        return (shape[0], self.n_heads, shape[1], self.n_waves)

    def get_config(self):
        return {**super().get_config(), "n_heads": self.n_heads, "n_waves": self.n_waves}


def waves_of_heads(n_heads, n_waves, longest, shortest):
    """Wave vectors in the plane, (2, n_heads x n_waves), radians a unit of length.

    Their directions are spread evenly, their lengths in equal ratios between the two, and every head has long
    and short ones.
    """
    wave = np.arange(n_waves)[None, :] * n_heads + np.arange(n_heads)[:, None]
    golden_ratio = (math.sqrt(5) - 1) / 2
    direction = math.pi * (wave * golden_ratio % 1)
    ratio = (longest / shortest) ** ((wave + 0.5) / wave.size)
    number = 2 * math.pi / longest * ratio
    waves = number * np.stack([np.cos(direction), np.sin(direction)])
    return waves.reshape(2, -1)


@keras.saving.register_keras_serializable(package="supernemo")
class RotaryAttention(keras.layers.Layer):
    """Attention of tokens among themselves that knows in which direction and how far away another token lies.

    Queries and keys are turned by the phases of their places, so that their product depends on the difference
    of the places (arXiv:2104.09864; in two dimensions arXiv:2403.13298).

    In: x (event, token, width), phases (event, head, token, width / n_heads / 2), mask (event, token). Out:
    as x.
    """

    def __init__(self, n_heads, **kwargs):
        super().__init__(**kwargs)
        self.n_heads = n_heads

    def build(self, shapes):
        width = shapes[0][-1]
        self.queries_keys_values = keras.layers.Dense(
            3 * width, use_bias=False, dtype=self.dtype_policy, name="queries_keys_values"
        )
        self.out = keras.layers.Dense(width, dtype=self.dtype_policy, name="out")
        for layer in (self.queries_keys_values, self.out):
            layer.build(shapes[0])

    def call(self, inputs):
        x, phases, mask = inputs
        n_events, n_tokens = ops.shape(x)[:2]
        head_width = x.shape[-1] // self.n_heads
        heads = ops.reshape(
            self.queries_keys_values(x), (n_events, n_tokens, 3, self.n_heads, head_width)
        )
        queries, keys, values = ops.unstack(ops.transpose(heads, (2, 0, 3, 1, 4)), 3)
        cos = ops.cast(ops.cos(phases), x.dtype)
        sin = ops.cast(ops.sin(phases), x.dtype)
        turned_keys = ops.swapaxes(_turned(keys, cos, sin), -1, -2)
        match = ops.matmul(_turned(queries, cos, sin), turned_keys) / math.sqrt(head_width)
        hidden = 1e9 * (1 - ops.cast(mask, "float32"))[:, None, None]
        share = ops.cast(ops.softmax(ops.cast(match, "float32") - hidden), x.dtype)
        seen = ops.matmul(share, values)  # (event, head, token, head_width)
        seen = ops.reshape(ops.transpose(seen, (0, 2, 1, 3)), (n_events, n_tokens, x.shape[-1]))
        return self.out(seen)

    def compute_output_shape(self, shapes):
        return shapes[0]

    def get_config(self):
        return {**super().get_config(), "n_heads": self.n_heads}


def _turned(vectors, cos, sin):
    a, b = ops.split(vectors, 2, axis=-1)
    turned_a = a * cos - b * sin
    turned_b = a * sin + b * cos
    return ops.concatenate([turned_a, turned_b], -1)


def attend(x, to, mask, n_heads, name):
    """Tokens x look at tokens `to`, (event, token, width) both, where the mask (event, token of `to`) is
    true.
    """
    y = keras.layers.LayerNormalization(name=f"{name}_norm1")(x)
    to = y if to is x else to
    attention = keras.layers.MultiHeadAttention(
        n_heads, x.shape[-1] // n_heads, name=f"{name}_attention"
    )
    of_all_tokens = None if mask is None else ops.expand_dims(mask, 1)
    y = attention(y, to, attention_mask=of_all_tokens)
    return keras.layers.Add(name=f"{name}_add1")([x, y])


def attend_by_place(x, phases, mask, n_heads, name):
    """Tokens look at each other and at how they lie, `RotaryAttention`'s inputs."""
    y = keras.layers.LayerNormalization(name=f"{name}_norm1")(x)
    y = RotaryAttention(n_heads, name=f"{name}_attention")([y, phases, mask])
    return keras.layers.Add(name=f"{name}_add1")([x, y])


def feed_forward(x, expansion, name):
    """Two dense layers beside a shortcut, the hidden one `expansion` times as wide."""
    y = keras.layers.LayerNormalization(name=f"{name}_norm2")(x)
    width = x.shape[-1]
    y = keras.layers.Dense(expansion * width, activation="relu", name=f"{name}_hidden")(y)
    y = keras.layers.Dense(width, name=f"{name}_out")(y)
    return keras.layers.Add(name=f"{name}_add2")([x, y])


@keras.saving.register_keras_serializable(package="supernemo")
class PoolWithIndices(keras.layers.Layer):
    """The highest of every 2 x 2 values, and which of the four it was, as SegNet pools (arXiv:1511.00561).

    In: (event, row, column, channel), rows and columns even. Out: (event, row / 2, column / 2, channel), and
    where it was, (event, row / 2, column / 2, 4, channel), 1 for the first of the highest.
    """

    def call(self, x):
        _, n_rows, n_columns, n_channels = x.shape
        squares = ops.reshape(x, (-1, n_rows // 2, 2, n_columns // 2, 2, n_channels))
        squares = ops.transpose(squares, (0, 1, 3, 2, 4, 5))
        squares = ops.reshape(squares, (-1, n_rows // 2, n_columns // 2, 4, n_channels))
        where = ops.one_hot(ops.argmax(squares, 3), 4, axis=3, dtype=squares.dtype)
        return ops.max(squares, 3), where

    def compute_output_shape(self, shape):
        n_events, n_rows, n_columns, n_channels = shape
        pooled = (n_events, n_rows // 2, n_columns // 2)
        return (*pooled, n_channels), (*pooled, 4, n_channels)


@keras.saving.register_keras_serializable(package="supernemo")
class UnpoolAtIndices(keras.layers.Layer):
    """Put values back to where the highest were, 0 elsewhere; the way back of `PoolWithIndices`.

    In: its two outputs, the values changed. Out: (event, row, column, channel).
    """

    def call(self, inputs):
        x, where = inputs
        _, n_rows, n_columns, n_channels = x.shape
        squares = ops.expand_dims(x, 3) * where
        squares = ops.reshape(squares, (-1, n_rows, n_columns, 2, 2, n_channels))
        squares = ops.transpose(squares, (0, 1, 3, 2, 4, 5))
        return ops.reshape(squares, (-1, 2 * n_rows, 2 * n_columns, n_channels))

    def compute_output_shape(self, shapes):
        n_events, n_rows, n_columns, n_channels = shapes[0]
        return (n_events, 2 * n_rows, 2 * n_columns, n_channels)
