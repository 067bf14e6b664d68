"""The track finder: which hits belong together, in one pass over the hits of a tracker side.

Every hit is a token. Attention between hits is biased by the geometry of the pair, computed once for all layers (as in the Particle
Transformer, arXiv:2202.03772); in the last layers tokens for the tracks take part as well (a light form of mask queries,
arXiv:2107.06278): a hit goes to the track whose token it matches best, or to none.
"""

import math

import keras
from keras import ops

N_FEATURES = 6  # layer, column, drift radius, z, radius measured, z measured: datasets.views.SEQUENCE_FEATURES without the side
_FAR = -1e4  # bias of attention to a place without a hit


@keras.saving.register_keras_serializable(package="supernemo")
class PairGeometry(keras.layers.Layer):
    """What a pair of hits says about lying on one line.

    In: features (event, hit, 6). Out: (event, hit, hit, 13), finite everywhere, of order one.
    """

    def call(self, hits):
        layer, column, radius, z, _, z_measured = ops.unstack(ops.cast(hits, "float32"), 6, axis=-1)
        step = lambda values: values[:, None, :] - values[:, :, None]  # noqa: E731
        both = lambda values: values[:, None, :] * values[:, :, None]  # noqa: E731
        dx, dy = 4 * step(layer), 56 * step(column)  # in cells
        dz = step(z) * both(z_measured) * 1550 / 44
        distance = ops.sqrt(dx * dx + dy * dy + 0.25)
        radii = radius[:, None, :], radius[:, :, None]
        pairs = [
            dx / distance,
            dy / distance,
            ops.abs(dx) / 4,
            ops.tanh(dy / 3),
            ops.log(distance),
            ops.tanh(dz / 2),
            ops.tanh(dz / distance),
            ops.log(1 + ops.abs(dz)),
            both(z_measured),
            (radii[0] - radii[1]) / distance,  # sines of the angles between the common tangents and the line of wires
            (radii[0] + radii[1]) / distance,
            ops.exp(-distance),
            ops.abs(radii[0] - radii[1]),
        ]
        return ops.cast(ops.stack(pairs, -1), self.compute_dtype)

    def compute_output_shape(self, shape):
        return (shape[0], shape[1], shape[1], 13)


@keras.saving.register_keras_serializable(package="supernemo")
class BiasedAttention(keras.layers.Layer):
    """Self-attention whose logits get a bias a pair and head.

    In: tokens (event, token, width), bias (event, token, token, head). Out: (event, token, width).
    """

    def __init__(self, n_heads, **kwargs):
        super().__init__(**kwargs)
        self.n_heads = n_heads

    def build(self, shapes):
        width = shapes[0][-1]
        self.query_key_value = keras.layers.Dense(3 * width, dtype=self.dtype_policy, name="query_key_value")
        self.query_key_value.build(shapes[0])
        self.project = keras.layers.Dense(width, dtype=self.dtype_policy, name="project")
        self.project.build(shapes[0])

    def call(self, inputs):
        tokens, bias = inputs
        n_tokens, width = ops.shape(tokens)[1], tokens.shape[-1]
        x = ops.reshape(self.query_key_value(tokens), (-1, n_tokens, 3, self.n_heads, width // self.n_heads))
        query, key, value = ops.unstack(ops.transpose(x, (2, 0, 3, 1, 4)), 3)  # each (event, head, token, width of a head)
        logits = ops.matmul(query, ops.swapaxes(key, -1, -2)) / math.sqrt(width // self.n_heads)
        weights = ops.softmax(logits + ops.transpose(bias, (0, 3, 1, 2)))
        x = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.project(ops.reshape(x, (-1, n_tokens, width)))

    def compute_output_shape(self, shapes):
        return shapes[0]

    def get_config(self):
        return {**super().get_config(), "n_heads": self.n_heads}


@keras.saving.register_keras_serializable(package="supernemo")
class AddTokens(keras.layers.Layer):
    """Put learned tokens before those of the hits, and make room for them in the bias.

    In: hits (event, hit, width), bias (event, hit, hit, head). Out: the same with n_tokens more.
    """

    def __init__(self, n_tokens, **kwargs):
        super().__init__(**kwargs)
        self.n_tokens = n_tokens

    def build(self, shapes):
        self.tokens = self.add_weight((1, self.n_tokens, shapes[0][-1]), keras.initializers.RandomNormal(0.5), name="tokens")

    def call(self, inputs):
        hits, bias, mask = inputs
        tokens = ops.broadcast_to(ops.cast(self.tokens, hits.dtype), (ops.shape(hits)[0], self.n_tokens, hits.shape[-1]))
        # From a token, a hit that is there looks like any other; a place without one like nothing.
        absent = ops.cast((1 - ops.cast(mask, "float32")) * _FAR, bias.dtype)[:, None, :, None]
        from_tokens = ops.broadcast_to(absent, (ops.shape(hits)[0], self.n_tokens, ops.shape(hits)[1], bias.shape[-1]))
        bias = ops.concatenate([from_tokens, bias], 1)
        return ops.concatenate([tokens, hits], 1), ops.pad(bias, [[0, 0], [0, 0], [self.n_tokens, 0], [0, 0]])

    def compute_output_shape(self, shapes):
        hits, bias, _ = shapes
        add = lambda size: None if size is None else size + self.n_tokens  # noqa: E731
        return (hits[0], add(hits[1]), hits[2]), (bias[0], add(bias[1]), add(bias[2]), bias[3])

    def get_config(self):
        return {**super().get_config(), "n_tokens": self.n_tokens}


@keras.saving.register_keras_serializable(package="supernemo")
class MaskBias(keras.layers.Layer):
    """Hide places without a hit from attention. In: bias (event, hit, hit, head), mask (event, hit). Out: bias."""

    def call(self, inputs):
        bias, mask = inputs
        return bias + ops.cast((1 - ops.cast(mask, "float32")) * _FAR, bias.dtype)[:, None, :, None]

    def compute_output_shape(self, shapes):
        return shapes[0]


@keras.saving.register_keras_serializable(package="supernemo")
class MatchTokens(keras.layers.Layer):
    """Probability that a hit belongs to each track, or to none: softmax over the products with the tracks' tokens.

    In: tokens (event, n_tracks + 1 + hit, width): of the tracks, of the event, of the hits. Out: (event, hit, n_tracks + 1) float32,
    the last is none.
    """

    def __init__(self, n_tracks, **kwargs):
        super().__init__(**kwargs)
        self.n_tracks = n_tracks

    def build(self, shape):
        width = shape[-1]
        self.of_track = keras.layers.Dense(width, use_bias=False, dtype=self.dtype_policy, name="of_track")
        self.of_hit = keras.layers.Dense(width, use_bias=False, dtype=self.dtype_policy, name="of_hit")
        self.none = keras.layers.Dense(1, dtype=self.dtype_policy, name="none")
        for layer in (self.of_track, self.of_hit, self.none):
            layer.build((shape[0], None, width))

    def call(self, tokens):
        tracks, hits = tokens[:, : self.n_tracks], tokens[:, self.n_tracks + 1 :]
        match = ops.matmul(self.of_hit(hits), ops.swapaxes(self.of_track(tracks), -1, -2)) / math.sqrt(tokens.shape[-1])
        return ops.softmax(ops.cast(ops.concatenate([match, self.none(hits)], -1), "float32"))

    def compute_output_shape(self, shape):
        return (shape[0], None if shape[1] is None else shape[1] - self.n_tracks - 1, self.n_tracks + 1)

    def get_config(self):
        return {**super().get_config(), "n_tracks": self.n_tracks}


def track_finder(n_tracks=4, n_segments=8, width=64, n_heads=4, n_hit_layers=3, n_track_layers=3, n_pair_features=24, expansion=2):
    """Find the tracks of the hits of one tracker side.

    Args:
        n_tracks: most tracks it can find. n_segments: most straight segments it can count. width: of a token.
        n_hit_layers: layers with hits only. n_track_layers: layers after them that have tokens of tracks too.
        n_pair_features: hidden units of the pair geometry. expansion: of the hidden layer between attentions.
    Returns:
        Model. In: `hits` (event, hit, 6), `mask` (event, hit), 1 where there is a hit. Out:
        `track` (event, hit, n_tracks + 1): probability of each track, in no order, and last of none;
        `n_tracks` (event, n_tracks + 1): probability of 0 to n_tracks tracks;
        `n_segments` (event, n_segments + 1): of 0 to n_segments straight segments.
    """
    hits = keras.Input((None, N_FEATURES), name="hits")
    mask = keras.Input((None,), name="mask")
    n_layers = n_hit_layers + n_track_layers
    pairs = keras.layers.Dense(n_pair_features, activation="relu", name="pair_hidden")(PairGeometry(name="pair_geometry")(hits))
    biases = keras.layers.Dense(n_layers * n_heads, name="pair_bias")(pairs)
    biases = MaskBias(name="mask_bias")([biases, mask])
    x = keras.layers.Dense(width, activation="relu", name="hit_hidden")(hits)
    x = keras.layers.Dense(width, name="hit_embedding")(x)
    for i in range(n_layers):
        if i == n_hit_layers:
            x, biases = AddTokens(n_tracks + 1, name="add_tokens")([x, biases, mask])
        bias = biases[..., i * n_heads : (i + 1) * n_heads]
        y = keras.layers.LayerNormalization(name=f"layer{i}_norm1")(x)
        x = keras.layers.Add(name=f"layer{i}_add1")([x, BiasedAttention(n_heads, name=f"layer{i}_attention")([y, bias])])
        y = keras.layers.LayerNormalization(name=f"layer{i}_norm2")(x)
        y = keras.layers.Dense(expansion * width, activation="relu", name=f"layer{i}_hidden")(y)
        x = keras.layers.Add(name=f"layer{i}_add2")([x, keras.layers.Dense(width, name=f"layer{i}_out")(y)])
    x = keras.layers.LayerNormalization(name="norm")(x)
    event = x[:, n_tracks]
    event = keras.layers.Dense(width, activation="relu", name="event_hidden")(event)
    outputs = {
        "track": MatchTokens(n_tracks, name="track")(x),
        "n_tracks": keras.layers.Dense(n_tracks + 1, activation="softmax", dtype="float32", name="n_tracks")(event),
        "n_segments": keras.layers.Dense(n_segments + 1, activation="softmax", dtype="float32", name="n_segments")(event),
    }
    return keras.Model({"hits": hits, "mask": mask}, outputs, name="track_finder")
