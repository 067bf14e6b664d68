"""The track finder: which hits belong together, in one pass over the hits of a tracker side.

A one-dimensional residual U-net along the foil reads the cells, all nine layers at once, and gives each hit
what lies around it. Hits then exchange what they know by attention, and tokens for the tracks look at the
hits (a light form of mask queries, arXiv:2107.06278): a hit goes to the track whose token it matches best, or
to none.
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
    waves_of_heads,
)
from architectures.residual import residual_block

N_FEATURES = 6  # of a hit, those of datasets.views.SEQUENCE_FEATURES but the side
_WAVES = (3.0, 12.0)  # of the height, in radians a half height of the tracker


@keras.saving.register_keras_serializable(package="supernemo")
class HitFeatures(keras.layers.Layer):
    """What a network should see of a hit: its features, and its height as waves too, so that small
    differences of height show.

    In: (event, hit, 6). Out: (event, hit, 11), 0 where not measured, and last 1.
    """

    def call(self, hits):
        z = hits[..., 3:4]
        z_measured = hits[..., 5:6]
        phase = z * ops.convert_to_tensor(_WAVES, z.dtype)
        waves = [ops.sin(phase), ops.cos(phase) * z_measured]
        return ops.concatenate([hits, *waves, ops.ones_like(z)], -1)

    def compute_output_shape(self, shape):
        return (*shape[:-1], shape[-1] + 2 * len(_WAVES) + 1)


@keras.saving.register_keras_serializable(package="supernemo")
class HitPhases(Phases):
    """Phases of plane waves at the places of hits.

    The first half of the heads sees places in the top view, with waves from 226 cells down to 4; the other
    half sees the column and the height. A height that was not measured counts as 0.

    In: hits (event, hit, 6). Out: (event, head, hit, n_waves) float32.
    """

    def __init__(self, n_heads, n_waves, **kwargs):
        super().__init__(n_heads, n_waves, **kwargs)
        waves = waves_of_heads(n_heads // 2, n_waves, longest=2 * 113, shortest=4)
        nothing = np.zeros_like(waves[:1])
        in_top_view = np.concatenate([waves, nothing])
        in_side_view = np.concatenate([nothing, waves[[1, 0]]])
        self.waves = np.concatenate([in_top_view, in_side_view], 1).astype("float32")

    def call(self, hits):
        in_cells = [
            4.0 * hits[..., 0],
            56.0 * hits[..., 1],
            35.0 * hits[..., 3],
        ]  # layer, column and height
        return super().call(ops.stack(in_cells, -1))


@keras.saving.register_keras_serializable(package="supernemo")
class FromCells(keras.layers.Layer):
    """What the cells of hits hold.

    In: (event, 1, column, layer x feature), cell (event, hit) int. Out: (event, hit, feature).
    """

    def __init__(self, n_layers, **kwargs):
        super().__init__(**kwargs)
        self.n_layers = n_layers

    def call(self, inputs):
        cells, cell = inputs
        n_features = cells.shape[3] // self.n_layers
        n_cells = self.n_layers * cells.shape[2]
        n_events, n_hits = ops.shape(cell)
        event = ops.arange(n_events, dtype="int32")[:, None]
        index = ops.reshape(cell + n_cells * event, (-1,))
        values = ops.take(ops.reshape(cells, (-1, n_features)), index, axis=0)
        return ops.reshape(values, (-1, n_hits, n_features))

    def compute_output_shape(self, shapes):
        return (*shapes[1], shapes[0][3] // self.n_layers)

    def get_config(self):
        return {**super().get_config(), "n_layers": self.n_layers}


@keras.saving.register_keras_serializable(package="supernemo")
class MatchTokens(keras.layers.Layer):
    """Probability that a hit belongs to each track, or to none: softmax over the products with the tracks'
    tokens.

    In: hits (event, hit, width), tokens (event, n_tracks, width). Out: (event, hit, n_tracks + 1) float32,
    the last is none.
    """

    def build(self, shapes):
        width = shapes[0][-1]
        self.of_track = keras.layers.Dense(
            width, use_bias=False, dtype=self.dtype_policy, name="of_track"
        )
        self.of_hit = keras.layers.Dense(
            width, use_bias=False, dtype=self.dtype_policy, name="of_hit"
        )
        self.none = keras.layers.Dense(1, dtype=self.dtype_policy, name="none")
        for layer in (self.of_track, self.of_hit, self.none):
            layer.build((None, None, width))

    def call(self, inputs):
        hits, tokens = inputs
        of_track = ops.swapaxes(self.of_track(tokens), -1, -2)
        match = ops.matmul(self.of_hit(hits), of_track) / math.sqrt(hits.shape[-1])
        logits = ops.concatenate([match, self.none(hits)], -1)
        return ops.softmax(ops.cast(logits, "float32"))

    def compute_output_shape(self, shapes):
        return (*shapes[0][:2], shapes[1][1] + 1)


def hit_tokens(
    n_tokens=5,
    n_layers=9,
    n_columns=113,
    filters=0,
    width=48,
    n_heads=4,
    n_hit_layers=3,
    n_token_layers=1,
    expansion=2,
    by_place=True,
):
    """Read the hits of a tracker side by attention: the trunk of networks that look at hits.

    Args:
        n_tokens: learned tokens that look at the hits. filters: of a U-net over the cells before it, 0 for
            none.
        width: of a hit's or a learned token. n_hit_layers: layers of attention among hits. n_token_layers:
            layers in which the learned tokens look at each other and at the hits. expansion: of the hidden
            layer between attentions.
        by_place: hits know how they lie to each other (`RotaryAttention`).
    Returns:
        Trunk; its inputs are `hits` (event, hit, 6), `cell` (event, hit) int, column x 9 + layer, `mask`
        (event, hit) bool, where there is a hit.
    """
    hits = keras.Input((None, N_FEATURES), name="hits")
    cell = keras.Input((None,), dtype="int32", name="cell")
    mask = keras.Input((None,), dtype="bool", name="mask")
    features = HitFeatures(dtype="float32", name="hit_features")(hits)
    x = keras.layers.Dense(width, name="own")(features)
    if filters:
        around = _surroundings(features, cell, mask, n_layers, n_columns, filters, width)
        x = keras.layers.Add(name="hit_tokens")([around, x])
    if by_place:
        phases = HitPhases(n_heads, width // n_heads // 2, name="phases")(hits)
    for i in range(n_hit_layers):
        if by_place:
            x = attend_by_place(x, phases, mask, n_heads, f"hits{i}")
        else:
            x = attend(x, x, mask, n_heads, f"hits{i}")
        x = feed_forward(x, expansion, f"hits{i}")
    x = keras.layers.LayerNormalization(name="hits_norm")(x)
    tokens = TrackTokens(n_tokens, name="tokens")(x)
    for i in range(n_token_layers):
        tokens = attend(tokens, x, mask, n_heads, f"tokens{i}")
        tokens = attend(tokens, tokens, None, n_heads, f"tokens{i}_each_other")
        tokens = feed_forward(tokens, expansion, f"tokens{i}")
    tokens = keras.layers.LayerNormalization(name="tokens_norm")(tokens)
    place = {"column": (hits[..., 1] + 1) / 2, "z": (hits[..., 3] + 1) / 2}
    return Trunk({"hits": hits, "cell": cell, "mask": mask}, x, mask, tokens, place)


def track_finder(
    n_tracks=4,
    n_segments=8,
    filters=48,
    width=48,
    n_hit_layers=1,
    n_token_layers=2,
    by_place=False,
    **trunk,
):
    """Find the tracks of the hits of one tracker side.

    Args:
        n_tracks: most tracks it can find. n_segments: most straight segments it can count. The others: as of
            `hit_tokens`.
    Returns:
        Model. In: as of `hit_tokens`.
        Out: `track` (event, hit, n_tracks + 1): probability of each track, along the foil, and last of none;
        `n_tracks` (event, n_tracks + 1): probability of 0 to n_tracks tracks;
        `n_segments` (event, n_segments + 1): of 0 to n_segments straight segments.
    """
    trunk |= {
        "filters": filters,
        "width": width,
        "n_hit_layers": n_hit_layers,
        "n_token_layers": n_token_layers,
        "by_place": by_place,
    }
    inputs, x, _, tokens, _ = hit_tokens(n_tracks + 1, **trunk)
    event = keras.layers.Dense(width, activation="relu", name="event_hidden")(tokens[:, n_tracks])
    outputs = {
        "track": MatchTokens(name="track")([x, tokens[:, :n_tracks]]),
        "n_tracks": _probabilities(event, n_tracks + 1, "n_tracks"),
        "n_segments": _probabilities(event, n_segments + 1, "n_segments"),
    }
    return keras.Model(inputs, outputs, name="track_finder")


def _probabilities(x, n_classes, name):
    return keras.layers.Dense(n_classes, activation="softmax", dtype="float32", name=name)(x)


def _surroundings(features, cell, mask, n_layers, n_columns, filters, width):
    """What the U-net sees around each hit, (event, hit, width)."""
    but_place = features[..., 2:]  # a cell need not say where it is
    x = ToCells(n_layers, n_columns, name="to_cells")([but_place, cell, mask])
    x = keras.layers.Conv2D(filters, (1, 7), padding="same", activation="relu", name="stem")(x)
    fine = residual_block(x, filters, (1, 1), "fine", (1, 3))
    middle = residual_block(fine, filters, (1, 2), "middle", (1, 5))
    x = residual_block(middle, filters, (1, 2), "coarse", (1, 5))
    x = residual_block(x, filters, (1, 1), "coarsest", (1, 5))
    for name, skip, kernel in (("middle", middle, (1, 5)), ("fine", fine, (1, 3))):
        x = keras.layers.UpSampling2D((1, 2), name=f"{name}_up")(x)
        x = keras.layers.Add(name=f"{name}_skip")([x[:, :, : skip.shape[2]], skip])
        x = residual_block(x, filters, (1, 1), f"{name}_again", kernel)
    around = keras.layers.Conv2D(n_layers * width, 1, name="of_layers")(x)
    return FromCells(n_layers, name="from_cells")([around, cell])
