"""Capsules: neurons in groups whose vector says what was seen, and whose length how sure it is.

Of S. Sabour, N. Frosst and G. Hinton, arXiv:1710.09829, with the routing of G. Hinton, S. Sabour and N. Frosst,
"Matrix capsules with EM routing" (ICLR 2018), as an option. `architectures.capsnet` builds a network of them.

The few iterations of a routing are written one after another into the graph; a loop of TensorFlow would gain
nothing.
"""

import math

import keras
import numpy as np
from keras import ops
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

SQUARED_LENGTH_AT_ZERO = 1e-7  # a root has no gradient at zero, and one NaN there ends a training
LENGTH_IN_LOG = 1e-6  # added to lengths before their logarithm is taken


def length(vectors):
    """Length of vectors along the last axis, with a finite gradient at zero."""
    squared = ops.sum(ops.square(vectors), -1)
    return ops.sqrt(squared + SQUARED_LENGTH_AT_ZERO)


def squash(vectors):
    """Shorten vectors along the last axis to less than 1, equation 1: long ones nearly to 1, short ones to
    the square of their length.
    """
    long = length(vectors)[..., None]
    return vectors * long / (1 + ops.square(long))


def margin_loss(classes, lengths, present=0.9, absent=0.1, absent_weight=0.5):
    """How far capsules are from being long where their class is there and short where not, equation 4.

    Args:
        classes: (event,) int, the true one. lengths: (event, class).
        present, absent: lengths from which on, and up to which, nothing is to be learned.
    Returns:
        (event,) sum over the classes.
    """
    is_class = ops.one_hot(ops.cast(classes, "int32"), lengths.shape[-1], dtype=lengths.dtype)
    too_short = ops.square(ops.relu(present - lengths))
    too_long = ops.square(ops.relu(lengths - absent))
    return ops.sum(is_class * too_short + absent_weight * (1 - is_class) * too_long, -1)


def squared_errors(images, drawing):
    """(event,) sum over the pixels of squared differences: how badly events are drawn, section 4.1.

    A sum, since the weight beside the margin loss, 0.0005, is of a sum.
    """
    off = ops.square(ops.cast(images, drawing.dtype) - drawing)
    return ops.sum(off, tuple(range(1, len(drawing.shape))))


@keras.saving.register_keras_serializable(package="supernemo")
class Length(keras.layers.Layer):
    """Lengths of capsules. In: (event, capsule, dimension). Out: (event, capsule)."""

    def call(self, capsules):
        return length(capsules)

    def compute_output_shape(self, shape):
        return shape[:-1]


@keras.saving.register_keras_serializable(package="supernemo")
class PrimaryCapsule(keras.layers.Layer):
    """The first capsules: a convolution whose filters are taken in groups.

    In: features (event, row, column, feature). Out: capsules (event, row x column x n_types, n_dims) float32,
    shorter than 1.

    Args:
        n_types: capsules at each place. n_dims: of a capsule. kernel_size, strides, padding: of the
            convolution.
    """

    def __init__(self, n_types, n_dims, kernel_size, strides=(1, 1), padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.n_types = n_types
        self.n_dims = n_dims
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding

    def build(self, shape):
        self.convolution = keras.layers.Conv2D(
            self.n_types * self.n_dims,
            self.kernel_size,
            self.strides,
            self.padding,
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.convolution.build(shape)

    def call(self, features):
        values = ops.cast(self.convolution(features), "float32")
        n_rows, n_columns = values.shape[1:3]
        return squash(ops.reshape(values, (-1, n_rows * n_columns * self.n_types, self.n_dims)))

    def compute_output_shape(self, shape):
        n_events, n_rows, n_columns, _ = self.convolution.compute_output_shape(shape)
        return n_events, n_rows * n_columns * self.n_types, self.n_dims

    def compute_output_spec(self, features):
        return keras.KerasTensor(self.compute_output_shape(features.shape), "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "n_types": self.n_types,
            "n_dims": self.n_dims,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
        }


@keras.saving.register_keras_serializable(package="supernemo")
class RoutingByAgreement(keras.layers.Layer):
    """Each capsule sends its votes where other votes agree with them, procedure 1.

    In: votes (event, input capsule, capsule, dimension). Out: capsules (event, capsule, dimension) float32.

    The share that a capsule sends to each of those above starts the same for all, in every event anew: it is
    no weight. One iteration is that start alone.
    """

    def __init__(self, n_iterations=3, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.n_iterations = _at_least_one(n_iterations)

    def call(self, votes):
        n_capsules = votes.shape[2]
        capsules = squash(ops.sum(votes, 1) / n_capsules)
        agreement = 0.0
        for _ in range(self.n_iterations - 1):
            agreement = agreement + ops.sum(votes * capsules[:, None], -1)
            share = ops.softmax(
                agreement, -1
            )  # over the capsules above: a capsule has one share to give
            capsules = squash(ops.sum(share[..., None] * votes, 1))
        return capsules

    def compute_output_shape(self, shape):
        n_events, _, n_capsules, n_dims = shape
        return n_events, n_capsules, n_dims

    def get_config(self):
        return {**super().get_config(), "n_iterations": self.n_iterations}


@keras.saving.register_keras_serializable(package="supernemo")
class EMRouting(keras.layers.Layer):
    """Each capsule is a Gaussian cluster of the votes for it, fitted by expectation and maximisation.

    In: votes (event, input capsule, capsule, dimension), activation of the input capsules (event, input
    capsule), 0 to 1. Out: capsules (event, capsule, dimension) float32, whose direction is the cluster's mean
    and whose length its activation.

    The votes are vectors, not the paper's matrices of 4 x 4; a cluster's price is the mean over the votes and
    dimensions, where the paper has the sum and a factor that makes up for it.

    Args:
        sharpness: of the activation in the last iteration, the paper's lambda; it grows in equal steps.
    """

    least_variance = 1e-4

    def __init__(self, n_iterations=3, sharpness=4.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.n_iterations = _at_least_one(n_iterations)
        self.sharpness = sharpness

    def build(self, shapes):
        n_capsules = shapes[0][2]
        self.worth = self.add_weight((n_capsules,), "zeros", name="worth")
        self.price = self.add_weight((n_capsules,), "zeros", name="price")

    def call(self, inputs):
        votes, given = inputs
        share = ops.ones_like(votes[..., 0]) / votes.shape[2]
        clusters = self._fitted(votes, share * given[..., None], self.sharpness / self.n_iterations)
        for iteration in range(2, self.n_iterations + 1):
            share = self._expected(votes, *clusters)
            sharpness = self.sharpness * iteration / self.n_iterations
            clusters = self._fitted(votes, share * given[..., None], sharpness)
        mean, _, activation = clusters
        return mean / length(mean)[..., None] * activation[..., None]

    def _fitted(self, votes, weight, sharpness):
        """Mean and variance (event, capsule, dimension) of the weighted votes, and the capsules' activation.

        Args:
            weight: (event, input capsule, capsule), how much of each vote goes to a capsule.
        """
        total = ops.sum(weight, 1) + 1e-6  # (event, capsule)
        part = (weight / total[:, None])[..., None]
        mean = ops.sum(part * votes, 1)
        variance = ops.sum(part * ops.square(votes - mean[:, None]), 1) + self.least_variance
        spread = ops.mean(ops.log(variance), -1) / 2  # log of the standard deviation
        n_given = votes.shape[1] / votes.shape[2]
        cost = (self.price + spread) * total / n_given
        return mean, variance, ops.sigmoid(sharpness * (self.worth - cost))

    def _expected(self, votes, mean, variance, activation):
        """(event, input capsule, capsule) share of each vote: how likely it is in a cluster, among all."""
        off = ops.square(votes - mean[:, None]) / variance[:, None]
        constant = math.log(2 * math.pi)
        log_density = -(ops.sum(off, -1) + ops.sum(ops.log(variance) + constant, -1)[:, None]) / 2
        return ops.softmax(ops.log(activation + 1e-6)[:, None] + log_density, -1)

    def compute_output_shape(self, shapes):
        n_events, _, n_capsules, n_dims = shapes[0]
        return n_events, n_capsules, n_dims

    def get_config(self):
        return {
            **super().get_config(),
            "n_iterations": self.n_iterations,
            "sharpness": self.sharpness,
        }


ROUTINGS = ("agreement", "em")


@keras.saving.register_keras_serializable(package="supernemo")
class SecondaryCapsule(keras.layers.Layer):
    """Capsules above others: each of those below votes for each of these, and a routing weighs the votes.

    In: capsules (event, input capsule, dimension). Out: (event, n_capsules, n_dims) float32, shorter than 1.

    Every pair has a matrix of its own, equation 2. They start small, with less the more capsules vote: a sum
    of many large votes is squashed to a length of 1, where no gradient is left.

    Args:
        n_capsules, n_dims: how many, and dimensions of each. n_iterations, routing: how votes are weighed, of
            ROUTINGS.
    """

    def __init__(self, n_capsules, n_dims, n_iterations=3, routing="agreement", **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if routing not in ROUTINGS:
            raise ValueError(f"routing {routing}: not one of {', '.join(ROUTINGS)}")
        self.n_capsules = n_capsules
        self.n_dims = n_dims
        self.n_iterations = n_iterations
        self.routing = routing

    def build(self, shape):
        _, n_inputs, n_input_dims = shape
        self.transform = self.add_weight(
            (n_inputs, n_input_dims, self.n_capsules * self.n_dims),
            keras.initializers.RandomNormal(stddev=1 / math.sqrt(n_inputs)),
            name="transform",
        )
        votes = (None, n_inputs, self.n_capsules, self.n_dims)
        if self.routing == "em":
            self.router = EMRouting(self.n_iterations, name="routing")
            self.router.build([votes, (None, n_inputs)])
        else:
            self.router = RoutingByAgreement(self.n_iterations, name="routing")
            self.router.build(votes)

    def call(self, capsules):
        by_input = ops.transpose(capsules, (1, 0, 2))
        votes = ops.transpose(ops.matmul(by_input, self.transform), (1, 0, 2))
        n_inputs = capsules.shape[1]
        votes = ops.reshape(votes, (-1, n_inputs, self.n_capsules, self.n_dims))
        if self.routing == "em":
            return self.router([votes, length(capsules)])
        return self.router(votes)

    def compute_output_shape(self, shape):
        return shape[0], self.n_capsules, self.n_dims

    def get_config(self):
        return {
            **super().get_config(),
            "n_capsules": self.n_capsules,
            "n_dims": self.n_dims,
            "n_iterations": self.n_iterations,
            "routing": self.routing,
        }


@keras.saving.register_keras_serializable(package="supernemo")
class OneCapsule(keras.layers.Layer):
    """Keep one capsule of an event and zero the others, for a network that draws what it stands for.

    In: capsules (event, capsule, dimension), and 1 for the one to keep and 0 for the others (event, capsule).
    Out: (event, capsule x dimension).
    """

    def call(self, inputs):
        capsules, chosen = inputs
        _, n_capsules, n_dims = capsules.shape
        kept = capsules * ops.cast(chosen, capsules.dtype)[..., None]
        return ops.reshape(kept, (-1, n_capsules * n_dims))

    def compute_output_shape(self, shapes):
        n_events, n_capsules, n_dims = shapes[0]
        return n_events, n_capsules * n_dims


@keras.saving.register_keras_serializable(package="supernemo")
class Shares(keras.layers.Layer):
    """Lengths of capsules as probabilities that sum to 1: their powers, each divided by the sum of all.

    In and out: (event, capsule). Without any length all are alike.

    Args:
        power: how much a longer one is to be preferred; the margin loss says nothing of it, so it is
            found after a training, on validation events (`best_power`).
    """

    def __init__(self, power=1.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.power = float(power)

    def call(self, lengths):
        return ops.softmax(self.power * ops.log(lengths + LENGTH_IN_LOG), -1)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "power": self.power}


@keras.saving.register_keras_serializable(package="supernemo")
class LogOdds(keras.layers.Layer):
    """Lengths of two capsules a question, yes and no, as a logit: the logarithm of their ratio.

    In: (event, 2 x question), yes and no of each question side by side. Out: (event, question) float32.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, lengths):
        logs = ops.log(lengths + LENGTH_IN_LOG)
        return logs[:, ::2] - logs[:, 1::2]

    def compute_output_shape(self, shape):
        return shape[0], shape[1] // 2


def best_power(classes, lengths):
    """The power of `Shares` under which true classes are most probable.

    Args:
        classes: (event,) int, the true ones. lengths: (event, class) NumPy array.
    """
    logs = np.log(lengths + LENGTH_IN_LOG)
    logs_of_true = np.take_along_axis(logs, classes[:, None], 1)[:, 0]

    def surprise(power):
        return np.mean(logsumexp(power * logs, axis=1) - power * logs_of_true)

    return float(minimize_scalar(surprise, bounds=(0, 100), method="bounded").x)


def _at_least_one(n_iterations):
    if n_iterations < 1:
        raise ValueError(f"{n_iterations} iterations: a routing needs 1 at least")
    return n_iterations
