"""What networks that read tokens say of the tracks of an event: the segment of a wall, of the foil or of a
circle that each of them meets.

Every token, a piece of an image or a hit, says where it expects its track to meet the wall and how sure it
is; a query looks for the tokens to believe. The segment's probability is what lies between its borders, as in
the mixtures of logistic densities of arXiv:1701.05517: neighbouring segments, and fine and coarse ones, need
not be learned one by one.

The learned tokens, the queries, are the tracks of an event in their order along the foil, and last the event
as a whole.
"""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops


class Wall(NamedTuple):
    """What tracks meet, in segments; lengths in those of the whole.

    Attributes:
        what: answers of the same are the same place in coarser and finer segments. along: the coordinate of
            hits along it, None where there is none. borders, cyclic: as of `InSegments`.
    """

    what: str
    along: str | None
    borders: np.ndarray
    cyclic: bool = False


WALLS = {
    # the toy's calorimeter: the first and the last block are beyond the ends of the main wall
    "column": Wall("column", "column", np.linspace(0, 1, 21)),
    "row": Wall("row", "z", np.linspace(0, 1, 14)),
    # hints for the fit: the angle in the top view, and the place on the foil
    "angle": Wall("angle", None, np.linspace(0, 1, 6), cyclic=True),
    "fine_angle": Wall("angle", None, np.linspace(0, 1, 31), cyclic=True),
    "foil": Wall("foil", "column", np.linspace(0, 1, 11)[1:-1]),
    "fine_foil": Wall("foil", "column", np.linspace(0, 1, 114)[1:-1]),
}
N_SEGMENTS = {name: len(wall.borders) + (-1 if wall.cyclic else 1) for name, wall in WALLS.items()}
_SHIFT = 0.1  # of the whole wall: what an output of 1 moves the place where a track is expected
_LEAST_WIDTH = 1e-4
_HIDDEN = 64


@keras.saving.register_keras_serializable(package="supernemo")
class InSegments(keras.layers.Layer):
    """Probability of each segment of a wall for logistic densities.

    In: centre, width (event, token), in lengths of the wall. Out: (event, token, segment) float32.

    Args:
        borders: rising; the first and the last segment go on to infinity. Of a circle, 0 to 1, the first and
            the last border are the same place.
        cyclic: it is a circle.
    """

    def __init__(self, borders, cyclic=False, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.borders = [float(border) for border in borders]
        self.cyclic = cyclic

    def call(self, inputs):
        centre, width = inputs
        borders = np.array(self.borders, "float32")
        if not self.cyclic:
            return self._between(borders, centre, width)
        turns = [self._between(borders + turn, centre % 1, width)[..., 1:-1] for turn in (-1, 0, 1)]
        within = sum(turns)
        beyond = ops.maximum(
            1 - ops.sum(within, -1, keepdims=True), 0
        )  # of wide densities, spread evenly
        return within + beyond / len(self.borders[1:])

    def _between(self, borders, centre, width):
        """Probability before the first border, between each two, and beyond the last."""
        below = ops.sigmoid((borders - centre[..., None]) / width[..., None])
        none = ops.zeros_like(below[..., :1])
        below = ops.concatenate([none, below, none + 1], -1)
        return ops.maximum(below[..., 1:] - below[..., :-1], 0)

    def compute_output_shape(self, shapes):
        n_segments = len(self.borders) + (-1 if self.cyclic else 1)
        return (*shapes[0], n_segments)

    def get_config(self):
        return {**super().get_config(), "borders": self.borders, "cyclic": self.cyclic}


@keras.saving.register_keras_serializable(package="supernemo")
class Believe(keras.layers.Layer):
    """How much each query believes each token.

    In: queries (event, query, width), x (event, token, width), mask (event, token). Out: (event, query,
    token) float32, summing to 1.
    """

    def build(self, shapes):
        width = shapes[0][-1]
        self.of_query = keras.layers.Dense(
            width, use_bias=False, dtype=self.dtype_policy, name="of_query"
        )
        self.of_token = keras.layers.Dense(
            width, use_bias=False, dtype=self.dtype_policy, name="of_token"
        )
        for layer in (self.of_query, self.of_token):
            layer.build((None, None, width))

    def call(self, inputs):
        queries, x, mask = inputs
        keys = ops.swapaxes(self.of_token(x), -1, -2)
        match = ops.matmul(self.of_query(queries), keys) / math.sqrt(x.shape[-1])
        hidden = 1e9 * (1 - ops.cast(mask, "float32"))[:, None]
        return ops.softmax(ops.cast(match, "float32") - hidden)

    def compute_output_shape(self, shapes):
        return (*shapes[0][:2], shapes[1][1])


@keras.saving.register_keras_serializable(package="supernemo")
class Expected(keras.layers.Layer):
    """Where tokens expect their tracks to meet a wall: centre and width of a density.

    In: said (event, token, 2), place of the tokens along the wall (event, token). Out: centre, width, each
    (event, token) float32, in lengths of the wall.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, inputs):
        said, place = inputs
        centre = place + _SHIFT * said[..., 0]
        width = _LEAST_WIDTH + ops.softplus(said[..., 1] - 4)
        return centre, width

    def compute_output_shape(self, shapes):
        return shapes[1], shapes[1]


def segments(queries, trunk, names):
    """Which segments the tracks meet.

    Args:
        queries: (event, query, width). trunk: Trunk. names: of WALLS.
    Returns:
        name -> (event, query, segment) probabilities.
    """
    walls = {name: WALLS[name] for name in names}
    expected = {wall.what: _expected(queries, trunk, wall) for wall in walls.values()}
    answers = {}
    for name, wall in walls.items():
        centre, width, believed = expected[wall.what]
        of_tokens = InSegments(wall.borders, wall.cyclic, name=f"{name}_segments")([centre, width])
        answers[name] = ops.matmul(believed, of_tokens)
    return answers


def _expected(queries, trunk, wall):
    """Where the tokens expect their tracks to meet a wall, (event, token) each, and how much the queries
    believe them, (event, query, token).
    """
    hidden = keras.layers.Dense(_HIDDEN, activation="relu", name=f"{wall.what}_hidden")(trunk.x)
    said = keras.layers.Dense(2, dtype="float32", name=f"{wall.what}_said")(hidden)
    place = trunk.place.get(wall.along, 0.5 * ops.ones_like(said[..., 0]))
    centre, width = Expected(name=f"{wall.what}_expected")([said, place])
    believed = Believe(name=f"{wall.what}_believed")([queries, trunk.x, trunk.mask])
    return centre, width, believed


def number_of_tracks(tokens, n_classes=4):
    """(event, n_classes) probabilities of 1 to n_classes tracks, as the counters of one view have them."""
    counted = keras.layers.Dense(tokens.shape[-1], activation="relu", name="features")(
        tokens[:, -1]
    )
    return keras.layers.Dense(n_classes, activation="softmax", dtype="float32", name="n_tracks")(
        counted
    )
