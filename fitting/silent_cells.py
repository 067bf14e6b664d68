"""What cells that did not fire tell of solutions: a track that had crossed them would have made them fire.

Without that, nothing would tell a track along the foil from its mirror image, which often goes on through
other cells. How often a crossed cell fires is measured from the events.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from datasets import geometry as geo
from datasets.events import rows_and_places
from datasets.geometry import CELL_MM, CELL_RADIUS_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS
from fitting.solutions import RISE, RISE_CHANGE, SHIFT, THETA, TURN, Z

EFFICIENCY = 0.9  # of a crossed cell, before any was seen
CROSSING_MM = 0.5  # error of the edge of a cell

_USUAL_CELLS = (
    100  # as many crossed cells count as the opinion that the efficiency is the usual one
)
_SURE = 0.99  # probability of a crossing from which on it tells the efficiency
_LEAST_COS = 1e-3  # of a direction along the foil


def log_likelihood(some, events, fitted):
    """Log likelihood of the cells that did not fire.

    Args:
        some: Solutions. events: Events. fitted: FittedTracks of them.
    Returns:
        (solution,) float, 0 or less.
    """
    crossings = _crossings(some, events, fitted)
    is_alone = np.bincount(some.track)[some.track] == 1
    efficiency = _efficiency(crossings, is_alone)
    is_silent = ~crossings.fired
    log = np.log1p(-efficiency * crossings.probability[is_silent])
    return np.bincount(crossings.solution[is_silent], log, len(some))


@dataclass
class _Crossings:
    """Cells that solutions may cross.

    Attributes:
        solution: (crossing,) its index. probability: (crossing,) that it does cross the cell.
        fired: (crossing,) whether the cell did.
    """

    solution: np.ndarray
    probability: np.ndarray
    fired: np.ndarray


def _efficiency(crossings, is_alone):
    """How often a cell fires that a track crosses for sure: its only solution, (solution,) bool, does."""
    is_sure = is_alone[crossings.solution] & (crossings.probability > _SURE)
    n_fired = np.count_nonzero(crossings.fired & is_sure)
    n_crossed = np.count_nonzero(is_sure)
    return (n_fired + EFFICIENCY * _USUAL_CELLS) / (n_crossed + _USUAL_CELLS)


def _crossings(some, events, fitted):
    """_Crossings of solutions between the foil and where they leave the tracker."""
    event = fitted.event[some.track]
    side = fitted.side[some.track]
    is_toy = events.info["geometry"][event] == geo.TOY
    lines = _lines_at_layers(some, events.first_wire_mm[event], is_toy)
    solution, layer, column = _cells_near(lines)
    probability = _probability(some, lines, solution, layer, column)
    has_fired = np.zeros((len(events), 2, N_LAYERS, N_COLUMNS), bool)
    has_fired[
        events.hit_event, events.hits["side"], events.hits["layer"], events.hits["column"]
    ] = True
    fired = has_fired[event[solution], side[solution], layer, column]
    return _Crossings(solution, probability, fired)


@dataclass
class _LinesAtLayers:
    """Solutions where they pass the wires of each layer; all (solution, layer).

    Attributes:
        x_mm, y_mm: on the line, x that of the wires. cos, sin: of its direction. rise: dz/ds.
        reach_mm: distance of the line from a wire whose cell it just crosses.
    """

    x_mm: np.ndarray
    y_mm: np.ndarray
    cos: np.ndarray
    sin: np.ndarray
    rise: np.ndarray
    reach_mm: np.ndarray


def _lines_at_layers(some, first_wire_mm, is_toy):
    """_LinesAtLayers of solutions.

    In the toy a line crosses a cell if its point nearest to the wire lies in the cell's square, in the
    detector if it comes within half a cell's width.

    Args:
        some: Solutions. first_wire_mm: (solution,) |x| of layer 0. is_toy: (solution,) bool.
    """
    layers = np.arange(N_LAYERS)
    x = first_wire_mm[:, None] + CELL_MM * layers
    is_beyond = layers >= some.kink[:, None]
    value = some.value[:, :, None]
    theta = value[:, THETA] + value[:, TURN] * is_beyond
    cos = np.cos(theta)
    cos = np.copysign(np.maximum(np.abs(cos), _LEAST_COS), cos)
    sin = np.sin(theta)
    point = _points(some)
    larger = np.where(is_toy[:, None], np.maximum(np.abs(cos), np.abs(sin)), 1.0)
    return _LinesAtLayers(
        x_mm=x,
        y_mm=point[:, 1, None] + sin / cos * (x - point[:, 0, None]),
        cos=cos,
        sin=sin,
        rise=value[:, RISE] + value[:, RISE_CHANGE] * is_beyond,
        reach_mm=CELL_RADIUS_MM / larger,
    )


def _points(some):
    """(solution, 2) x and y of the point that all lines of a solution meet."""
    return some.point_mm + some.value[:, SHIFT, None] * some.along


def _cells_near(lines):
    """Cells that lines may cross: index of the solution, layer and column, each (crossing,)."""
    margin = 3 * CROSSING_MM
    half = (lines.reach_mm + margin) / np.abs(lines.cos)
    first = (
        np.ceil((lines.y_mm - half) / CELL_MM + geo.MIDDLE_COLUMN).clip(0, N_COLUMNS).astype(int)
    )
    last = (
        np.floor((lines.y_mm + half) / CELL_MM + geo.MIDDLE_COLUMN)
        .clip(-1, N_COLUMNS - 1)
        .astype(int)
    )
    n_cells = np.maximum(last - first + 1, 0)
    row, place = rows_and_places(n_cells.ravel())
    solution, layer = np.divmod(row, N_LAYERS)
    return solution, layer, first[solution, layer] + place


def _probability(some, lines, solution, layer, column):
    """(crossing,) probability that a line crosses a cell, and within the height of its wire.

    Args:
        some: Solutions. lines: _LinesAtLayers of them. solution, layer, column: (crossing,), of
            `_cells_near`.
    """
    cos = lines.cos[solution, layer]
    sin = lines.sin[solution, layer]
    point = _points(some)[solution]
    x = lines.x_mm[solution, layer] - point[:, 0]
    y = geo.wire_y_mm(column) - point[:, 1]
    distance = -sin * x + cos * y
    in_cell = ndtr((lines.reach_mm[solution, layer] - np.abs(distance)) / CROSSING_MM)

    path = cos * x + sin * y
    height = some.value[solution, Z] + lines.rise[solution, layer] * path
    covariance = some.covariance[solution]
    variance = covariance[:, Z, Z]
    variance = variance + np.square(path) * covariance[:, RISE, RISE]
    variance = variance + 2 * path * covariance[:, Z, RISE]
    sigma = np.sqrt(np.maximum(variance, 0) + CROSSING_MM**2)
    in_height = ndtr((HALF_HEIGHT_MM - np.abs(height)) / sigma)
    return in_cell * in_height
