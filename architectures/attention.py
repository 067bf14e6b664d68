"""Attention for feature maps: what a convolution adds up, weighed by what the whole image shows.

Self-attention of SAGAN (arXiv:1805.08318), squeeze and excitation (arXiv:1709.01507) and CBAM
(arXiv:1807.06521). All take and give (event, row, column, channel). Attention among hits and pieces of images
is in `architectures.layers`.
"""

import keras
from keras import ops

# Self-attention, the same with a learned vector for each place, squeeze and excitation, CBAM
KINDS = ("self", "self_positions", "se", "cbam")


@keras.saving.register_keras_serializable(package="supernemo")
class SelfAttention(keras.layers.Layer):
    """Every place looks at all others and adds what it finds there, SAGAN's equations 1 to 3.

    In and out: (event, row, column, channel).

    What is added starts with the weight `gamma` = 0: a new layer changes nothing, and in the first step gamma
    alone learns. Work and memory go with the square of the number of places: 348 (29 x 12) are 121,000 weights
    an event, all 1017 cells of the top view a million.

    Args:
        reduction: channels for each one that is compared; there is one at least.
        positions: learn a vector for each place, which is added before places are compared. Without them
            attention knows what is elsewhere and not where, such as left or right of a place.
    """

    def __init__(self, reduction=8, positions=False, **kwargs):
        super().__init__(**kwargs)
        self.reduction = reduction
        self.positions = positions

    def build(self, shape):
        n_channels = shape[-1]
        n_compared = max(1, n_channels // self.reduction)
        for name in ("query", "key", "value"):
            dense = keras.layers.Dense(
                n_compared, use_bias=False, dtype=self.dtype_policy, name=name
            )
            dense.build((None, None, n_channels))
            setattr(self, name, dense)
        self.out = keras.layers.Dense(
            n_channels, use_bias=False, dtype=self.dtype_policy, name="out"
        )
        self.out.build((None, None, n_compared))
        self.gamma = self.add_weight((), "zeros", name="gamma")
        if self.positions:
            n_places = shape[1] * shape[2]
            self.of_place = self.add_weight(
                (n_places, n_channels), "random_normal", name="of_place"
            )

    def call(self, x):
        n_rows, n_columns, n_channels = x.shape[1:]
        places = ops.reshape(x, (-1, n_rows * n_columns, n_channels))
        if self.positions:
            places = places + ops.cast(self.of_place, x.dtype)
        match = ops.matmul(self.query(places), ops.swapaxes(self.key(places), -1, -2))
        share = ops.softmax(ops.cast(match, "float32"), -1)  # of each place that is looked at
        seen = ops.matmul(ops.cast(share, x.dtype), self.value(places))
        seen = ops.reshape(self.out(seen), (-1, n_rows, n_columns, n_channels))
        return ops.cast(self.gamma, x.dtype) * seen + x

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction, "positions": self.positions}


class _OfChannels(keras.layers.Layer):
    """Weigh the channels by two dense layers, the hidden one `ratio` times narrower; one unit at least."""

    def __init__(self, ratio=16, **kwargs):
        super().__init__(**kwargs)
        self.ratio = ratio

    def build(self, shape):
        n_channels = shape[-1]
        n_hidden = max(1, n_channels // self.ratio)
        self.hidden = keras.layers.Dense(
            n_hidden,
            activation="relu",
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="hidden",
        )
        self.hidden.build((None, n_channels))
        self.out = keras.layers.Dense(n_channels, dtype=self.dtype_policy, name="out")
        self.out.build((None, n_hidden))

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "ratio": self.ratio}


@keras.saving.register_keras_serializable(package="supernemo")
class SqueezeExcitation(_OfChannels):
    """Weigh the channels by what their means over the image say, equations 2 to 4 of the paper.

    In and out: (event, row, column, channel).
    """

    def call(self, x):
        squeezed = ops.mean(x, (1, 2))
        weight = ops.sigmoid(self.out(self.hidden(squeezed)))
        return x * weight[:, None, None]


@keras.saving.register_keras_serializable(package="supernemo")
class ChannelAttention(_OfChannels):
    """Weigh the channels by what their means and largest values say, CBAM's equation 2.

    In and out: (event, row, column, channel). Both are read by the same two dense layers.
    """

    def call(self, x):
        of_mean = self.out(self.hidden(ops.mean(x, (1, 2))))
        of_largest = self.out(self.hidden(ops.max(x, (1, 2))))
        weight = ops.sigmoid(of_mean + of_largest)
        return x * weight[:, None, None]


@keras.saving.register_keras_serializable(package="supernemo")
class SpatialAttention(keras.layers.Layer):
    """Weigh the places by a convolution over the mean and the largest of their channels, CBAM's equation 3.

    In and out: (event, row, column, channel).
    """

    def __init__(self, kernel_size=7, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size

    def build(self, shape):
        self.convolution = keras.layers.Conv2D(
            1,
            self.kernel_size,
            padding="same",
            use_bias=False,
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.convolution.build((*shape[:-1], 2))

    def call(self, x):
        mean = ops.mean(x, -1, keepdims=True)
        largest = ops.max(x, -1, keepdims=True)
        weight = ops.sigmoid(self.convolution(ops.concatenate([mean, largest], -1)))
        return x * weight

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}


def cbam(x, ratio=16, kernel_size=7, beside=False, name="cbam"):
    """Weigh channels, then places: CBAM's equation 1.

    Args:
        x: (event, row, column, channel) tensor. ratio: of `ChannelAttention`. kernel_size: of
            `SpatialAttention`.
        beside: as of `attend`.
    """
    weighed = ChannelAttention(ratio, name=f"{name}_channels")(x)
    weighed = SpatialAttention(kernel_size, name=f"{name}_places")(weighed)
    return _beside(weighed, x, name) if beside else weighed


def attend(x, kind, ratio, beside=False, name="attention"):
    """Attention of one of KINDS.

    Args:
        x: (event, row, column, channel) tensor. ratio: how many times fewer channels are compared, or how many
            times narrower the hidden layer is.
        beside: put what was weighed, each place's channels normalised, before x instead of in its place; twice
            as many channels come out.
    """
    if kind == "cbam":
        return cbam(x, ratio, beside=beside, name=name)
    layers = {
        "self": SelfAttention(ratio, name=name),
        "self_positions": SelfAttention(ratio, positions=True, name=name),
        "se": SqueezeExcitation(ratio, name=name),
    }
    if kind not in layers:
        raise ValueError(f"attention {kind}: there are {', '.join(KINDS)}")
    weighed = layers[kind](x)
    return _beside(weighed, x, name) if beside else weighed


def _beside(weighed, x, name):
    weighed = keras.layers.LayerNormalization(name=f"{name}_norm")(weighed)
    return keras.layers.Concatenate(name=f"{name}_beside")([weighed, x])
