"""Track finding by RANSAC (Fischler and Bolles 1981) on drift circles or on cells, all events at once.

A hypothesis is a line through a pair of hits: with radii the four common tangents of their drift circles,
without them the line through the wires; its height is the line through theirs. Each hit near a hypothesis
adds to its score up to one, the less the farther it is (MSAC, Torr and Zisserman 2000). The best hypothesis
of each half event is refined and takes its hits (`peeling`).
"""

from dataclasses import dataclass

import numpy as np

from datasets.geometry import CELL_MM, CELL_RADIUS_MM
from finding import peeling
from finding.peeling import Tolerances
from fitting.lines import Lines, normal_angle, unknown

_CHUNK = 600_000  # hypotheses times hits in memory at once: fits into the processor's cache
_NEIGHBOURS_MM = 1.5 * CELL_MM  # wires nearer to each other say little about a direction
_VERY_FAR_MM = 1e4
_ENOUGH_HEIGHTS = 3
_NO_HIT = np.float32(1e3)  # distance, in tolerances, of hits that are not there
# sides of the two circles that the four common tangents pass, (tangent,) each
_SIDE_OF_ONE = np.array([1, 1, -1, -1], np.float32)
_SIDE_OF_OTHER = np.array([1, -1, 1, -1], np.float32)
_MOST_OF_STEP = (
    0.99  # of circles that overlap: how far their radii may differ, in distances of the wires
)


def find(events, n_pairs=48, seed=0, **tolerances):
    """Labels by RANSAC on drift radii with left-right ambiguity, and heights.

    Args:
        events: Events. n_pairs: pairs of hits tried in each half event and round, with four hypotheses each.
            seed: of the pairs.
        tolerances: of `peeling.Tolerances`.
    Returns:
        (hit,) int16, -1 for hits left out; the same for an event whatever events are beside it.
    """
    tolerances = Tolerances(**tolerances)
    return peeling.find(events, proposer(n_pairs, seed), tolerances)


def find_cells(events, n_pairs=96, seed=0, off_mm=10.0, reach_mm=7.0, **tolerances):
    """Labels by RANSAC on cells and heights, as where no radius is known; arguments as `find`, one hypothesis
    a pair.
    """
    tolerances = Tolerances(use_radii=False, off_mm=off_mm, reach_mm=reach_mm, **tolerances)
    return peeling.find(events, proposer(n_pairs, seed), tolerances)


def proposer(n_pairs, seed):
    """The way to propose lines for `peeling.find`.

    All half events use the same random numbers, so none depends on the others.
    """

    def propose(hits, tolerances, number):
        rng = np.random.default_rng((seed, number))
        dice = rng.random((4, n_pairs))
        n_hypotheses = n_pairs * len(_SIDE_OF_ONE) if tolerances.use_radii else n_pairs
        lines = unknown(hits.n_groups)
        for groups, padded in _chunks(hits, n_hypotheses):
            lines[groups] = _best(padded, dice, tolerances)
        return lines

    return propose


@dataclass
class _Padded:
    """Hits in rows, a half event each, float32; NaN where there is none, or a value is unknown.

    Attributes:
        x, y, radius, z: (group, hit), or (group, pair, 1) for hits drawn from each row.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    z: np.ndarray

    def pick(self, place):
        """The hits at these places of their rows, (group, pair); the last axis is for hypotheses."""
        row = np.arange(len(place))[:, None, None]
        place = place[..., None]
        return _Padded(
            x=self.x[row, place],
            y=self.y[row, place],
            radius=self.radius[row, place],
            z=self.z[row, place],
        )


def _chunks(hits, n_hypotheses):
    """Half events of about the same number of hits at a time.

    Yields:
        groups (group,); their hits as _Padded, hits with a height first.
    """
    no_height = np.isnan(hits.z)
    hits = hits[np.argsort(2 * hits.group + no_height, kind="stable")]
    values = np.stack([hits.x, hits.y, hits.radius, hits.z]).astype(np.float32)
    count = np.bincount(hits.group, minlength=hits.n_groups)
    first = np.cumsum(count) - count
    groups = np.flatnonzero(count)
    by_count = groups[np.argsort(count[groups], kind="stable")]
    stop = len(by_count)
    while stop:  # from the largest
        width = count[by_count[stop - 1]]
        n_together = max(1, _CHUNK // (n_hypotheses * width))
        now = by_count[max(0, stop - n_together) : stop]
        stop -= len(now)
        place = np.arange(width)
        missing = place >= count[now, None]
        index = np.minimum(first[now, None] + place, len(hits) - 1)
        padded = values[:, index]
        padded[:, missing] = np.nan
        yield now, _Padded(*padded)


def _best(padded, dice, tolerances):
    """The best hypothesis of each half event, Lines, (group,).

    Args:
        padded: _Padded, (group, hit). dice: (4, pair) uniform random numbers.
    """
    one, other = _pairs(padded, dice)
    hypotheses = _hypotheses(one, other, tolerances.use_radii)
    score = _score(padded, hypotheses, tolerances)
    group = np.arange(len(score))
    return hypotheses.lines(group, score.argmax(1))


def _pairs(padded, dice):
    """Pairs of different hits, two _Padded, (group, pair, 1).

    Hits without a height are drawn only where there are not three with one.

    Of three candidates for the second hit the nearest is taken: hits near each other are more often of one
    track. Direct neighbours are not, where there is a choice: they say little about a direction.
    """
    n_hits = np.isfinite(padded.x).sum(1)
    n_heights = np.isfinite(padded.z).sum(1)
    n = np.where(n_heights >= _ENOUGH_HEIGHTS, n_heights, n_hits)
    n = n[:, None]
    first = (dice[0] * n).astype(int)
    step = (dice[1:, None] * (n - 1)).astype(int)
    candidates = (first + 1 + step) % n  # (candidate, group, pair), each another hit than the first
    row = np.arange(len(n))[:, None]
    dx = padded.x[row, candidates] - padded.x[row, first]
    dy = padded.y[row, candidates] - padded.y[row, first]
    apart = np.hypot(dx, dy)
    apart = np.where(apart < _NEIGHBOURS_MM, _VERY_FAR_MM - apart, apart)
    nearest = apart.argmin(0)[None]
    other = np.take_along_axis(candidates, nearest, axis=0)[0]
    return padded.pick(first), padded.pick(other)


@dataclass
class _Hypotheses:
    """Lines to try, float32.

    Attributes:
        cos, sin: (group, hypothesis) of the angle of the normal, whatever direction it has; d: distance of
            the origin along it. z0, tan_dip: height at the point nearest to the origin, and how fast it
            rises along the path; NaN where a height is missing.
    """

    cos: np.ndarray
    sin: np.ndarray
    d: np.ndarray
    z0: np.ndarray
    tan_dip: np.ndarray

    def lines(self, group, number):
        """Some hypotheses, one of each (group,), as Lines."""
        cos = self.cos[group, number].astype(float)
        sin = self.sin[group, number].astype(float)
        phi, sign = normal_angle(np.arctan2(sin, cos))
        return Lines(
            phi_rad=phi,
            d_mm=sign * self.d[group, number],
            z0_mm=self.z0[group, number].astype(float),
            tan_dip=sign * self.tan_dip[group, number],
        )


def _hypotheses(one, other, use_radii):
    """_Hypotheses of pairs of hits, two _Padded, (group, pair, 1)."""
    dx = other.x - one.x
    dy = other.y - one.y
    length = np.hypot(dx, dy)
    along_x = dx / length
    along_y = dy / length
    if use_radii:
        signed_one = _SIDE_OF_ONE * np.nan_to_num(one.radius)  # unknown radii count as 0
        signed_other = _SIDE_OF_OTHER * np.nan_to_num(other.radius)
    else:
        signed_one = np.zeros_like(length)
        signed_other = signed_one
    # n p = d + signed radius at both wires: the component of n along the pair follows
    part = (signed_other - signed_one) / length
    part = np.clip(part, -_MOST_OF_STEP, _MOST_OF_STEP)
    rest = np.sqrt(1 - part**2)
    cos = along_x * part - along_y * rest
    sin = along_y * part + along_x * rest
    d = cos * one.x + sin * one.y - signed_one
    path_one = cos * one.y - sin * one.x
    path_other = cos * other.y - sin * other.x
    tan_dip = (other.z - one.z) / (path_other - path_one)
    z0 = one.z - tan_dip * path_one
    every = (len(length), -1)
    return _Hypotheses(
        cos=cos.reshape(every),
        sin=sin.reshape(every),
        d=d.reshape(every),
        z0=z0.reshape(every),
        tan_dip=tan_dip.reshape(every),
    )


def _score(padded, hypotheses, tolerances):
    """(group, hypothesis) sum over hits of 1 - (off / tolerance)^2 - (height / tolerance)^2 where that is
    positive.
    """
    # most of the time goes here: in place, and distances of all hits from all hypotheses as products of
    # matrices
    off = _off(padded, hypotheses, tolerances)
    off *= off
    if not tolerances.use_radii:  # the distance is uniform in a cell: nearly a box
        off *= off
        off *= off
    height_off = _height_off(padded, hypotheses, tolerances)
    height_off *= height_off
    off += height_off
    score = np.subtract(1, off, out=off)
    np.maximum(score, 0, out=score)
    return score.sum(2)


def _off(padded, hypotheses, tolerances):
    """(group, hypothesis, hit) how far hypotheses are from circles or wires, in tolerances; much where there
    is no hit.
    """
    exists = np.isfinite(padded.x)
    x = np.nan_to_num(padded.x)
    y = np.nan_to_num(padded.y)
    lines = np.stack([hypotheses.cos, hypotheses.sin, -hypotheses.d], axis=-1)
    if tolerances.use_radii:
        known = np.isfinite(padded.radius)
        # without a radius anything within the cell is as good as a distance of half a cell
        half_a_cell = np.float32(CELL_RADIUS_MM / 2)
        radius = np.where(known, padded.radius, half_a_cell)
        tolerance = tolerances.off_mm + np.where(known, 0.0, CELL_RADIUS_MM / 2)
    else:
        radius = np.zeros_like(x)
        tolerance = np.full(x.shape, CELL_RADIUS_MM + tolerances.off_mm)
        # a cell fires if the nearest point lies in its square
        larger = np.maximum(np.abs(hypotheses.cos), np.abs(hypotheses.sin))
        lines *= larger[..., None]
    scale = (1 / tolerance).astype(np.float32)
    wires = np.stack([x * scale, y * scale, scale], axis=1)
    off = lines @ wires
    np.abs(off, out=off)
    radius_or_far = np.where(exists, radius * scale, _NO_HIT)
    off -= radius_or_far[:, None]
    return off


def _height_off(padded, hypotheses, tolerances):
    """(group, hypothesis, hit) difference of heights, in tolerances; 0 where either is unknown."""
    x = np.nan_to_num(padded.x)
    y = np.nan_to_num(padded.y)
    z = np.nan_to_num(padded.z)
    known = np.isfinite(padded.z)
    scale = known / np.float32(tolerances.height_mm)
    lines = np.stack(
        [
            -hypotheses.tan_dip * hypotheses.sin,
            hypotheses.tan_dip * hypotheses.cos,
            hypotheses.z0,
            np.full_like(hypotheses.z0, -1),
        ],
        axis=-1,
    )
    lines[~np.isfinite(hypotheses.z0)] = 0
    points = np.stack([x * scale, y * scale, scale, z * scale], axis=1)
    return lines @ points
