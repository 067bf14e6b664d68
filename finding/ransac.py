"""Track finding by RANSAC (Fischler and Bolles 1981) on drift circles or on cells, all events at once.

A hypothesis is a line through a pair of hits: with radii the four common tangents of their drift circles,
without them the line through the wires; its height is the line through theirs. Each hit near a hypothesis
adds to its score up to one, the less the farther it is (MSAC, Torr and Zisserman 2000). The best hypothesis
of each half event is refined and takes its hits (`peeling`).
"""

import numpy as np

from datasets.geometry import CELL_MM, CELL_RADIUS_MM
from finding import peeling
from finding.peeling import Tolerances

_CHUNK = 300_000  # hypotheses times hits in memory at once: fits into the processor's cache
_SIGNS = np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)], np.float32)


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
        dice = np.random.default_rng((seed, number)).random((4, n_pairs))
        lines = np.zeros((5, hits.n_groups))
        lines[3] = np.nan
        for groups, padded in _chunks(hits, n_pairs * (4 if tolerances.use_radii else 1)):
            lines[:, groups] = _best(padded, dice, tolerances)
        return lines

    return propose


def _chunks(hits, n_hypotheses):
    """Half events of about the same number of hits at a time.

    Yields:
        groups (group,); x, y, radius, z, each (group, hit) float32, hits with a height first, NaN coordinates
        where there is no hit.
    """
    order = np.lexsort((np.isnan(hits.z), hits.group))
    columns = np.stack([hits.x, hits.y, hits.radius, hits.z]).astype(np.float32)[:, order]
    groups, start, count = np.unique(hits.group[order], return_index=True, return_counts=True)
    by_count = np.argsort(count, kind="stable")
    stop = len(by_count)
    while stop:  # from the largest
        width = count[by_count[stop - 1]]
        now = by_count[max(0, stop - max(1, _CHUNK // (n_hypotheses * width))) : stop]
        stop -= len(now)
        place = np.arange(width)
        index = np.minimum(start[now, None] + place, len(order) - 1)
        yield groups[now], np.where(place < count[now, None], columns[:, index], np.float32(np.nan))


def _best(padded, dice, tolerances):
    """(5, group) best hypotheses.

    Args:
        padded: (4, group, hit). dice: (4, pair) uniform random numbers.
    """
    one, other = _pairs(padded, dice)
    normal, offset, height = _hypotheses(one, other, tolerances.use_radii)
    score = _score(padded, normal, offset, height, tolerances)
    best = score.argmax(1)
    row = np.arange(len(best))
    cos, sin, offset, (slope, z0) = (
        normal[0][row, best],
        normal[1][row, best],
        offset[row, best],
        height[:, row, best],
    )
    return np.stack([np.arctan2(sin, cos), offset, np.zeros(len(best)), z0, slope]).astype(float)


def _pairs(padded, dice):
    """Pairs of different hits, each (4, group, pair).

    Hits without a height are drawn only where there are not three with one.

    Of two candidates for the second hit the nearer is taken: hits near each other are more often of one
    track. Direct neighbours are not, where there is a choice: they say little about a direction.
    """
    n_hits = np.isfinite(padded[0]).sum(1)[:, None]
    n_heights = np.isfinite(padded[3]).sum(1)[:, None]
    n = np.where(n_heights >= 3, n_heights, n_hits)
    first = (dice[0] * n).astype(int)
    pick = lambda index: np.take_along_axis(padded, index[None], axis=2)  # noqa: E731
    one = pick(first)
    second = [(first + 1 + (d * (n - 1)).astype(int)) % n for d in dice[1:]]
    candidates = np.stack([pick(s) for s in second])
    apart = np.hypot(*(candidates[:, :2] - one[:2]).swapaxes(0, 1))
    apart = np.where(apart < 1.5 * CELL_MM, np.float32(1e4) - apart, apart)
    nearest = apart.argmin(0)
    return one, np.take_along_axis(candidates, nearest[None, None], axis=0)[0]


def _hypotheses(one, other, use_radii):
    """Lines through pairs: normals (2, group, hypothesis), offsets (group, hypothesis), heights (2, group,
    hypothesis).

    Heights are (slope, z0) along the direction (sin, -cos) of the normal, NaN where a height is missing.
    """
    step = other[:2] - one[:2]
    length = np.hypot(*step)
    along = step / length
    across = np.stack([-along[1], along[0]])
    if use_radii:
        # n p = offset + sign radius at both circles: the component of n along the pair follows, unknown radii
        # count as 0
        signed = [_SIGNS[:, i] * np.nan_to_num(hit[2])[..., None] for i, hit in enumerate((one, other))]
        part = np.clip((signed[1] - signed[0]) / length[..., None], -0.99, 0.99)
    else:
        signed = [np.zeros((*length.shape, 1), np.float32)]
        part = signed[0]
    normal = along[..., None] * part + across[..., None] * np.sqrt(1 - part**2)
    offset = (normal * one[:2, ..., None]).sum(0) - signed[0]
    t = lambda hit: normal[1] * hit[0][..., None] - normal[0] * hit[1][..., None]  # noqa: E731
    t_one = t(one)
    slope = (other[3] - one[3])[..., None] / (t(other) - t_one)
    height = np.stack([slope, one[3][..., None] - slope * t_one])
    flat = lambda values: values.reshape(*values.shape[:-2], -1)  # noqa: E731
    return flat(normal), flat(offset), flat(height)


def _score(padded, normal, offset, height, tolerances):
    """(group, hypothesis) sum over hits of 1 - (off / tolerance)^2 - (height / tolerance)^2 where that is
    positive.
    """
    x, y, radius, z = padded
    exists = np.isfinite(x)
    x, y = np.nan_to_num(x), np.nan_to_num(y)
    if tolerances.use_radii:
        known = np.isfinite(radius)
        # without a radius anything within the cell is as good as a distance of half a cell
        radius = np.where(known, radius, np.float32(CELL_RADIUS_MM / 2))
        scale = 1 / np.where(known, tolerances.off_mm, CELL_RADIUS_MM / 2 + tolerances.off_mm)
        lines = np.stack([*normal, -offset], axis=-1)
    else:
        radius, scale = np.zeros_like(x), np.full_like(x, 1 / (CELL_RADIUS_MM + tolerances.off_mm))
        square = np.abs(normal).max(0)  # a cell fires if the nearest point lies in its square
        lines = np.stack([*(normal * square), -offset * square], axis=-1)
    scale = scale.astype(np.float32)
    off = lines @ np.stack([x * scale, y * scale, scale], axis=1)
    np.abs(off, out=off)
    off -= np.where(exists, radius * scale, np.float32(1e3))[:, None]
    off *= off
    if not tolerances.use_radii:  # the distance is uniform in a cell: nearly a box
        off *= off
        off *= off
    measured = np.isfinite(z) / np.float32(tolerances.height_mm)
    slope, z0 = height
    known = np.isfinite(z0)
    heights = np.stack([slope * normal[1], -slope * normal[0], z0, -np.ones_like(z0)], axis=-1)
    heights = np.where(known[..., None], heights, np.float32(0))
    off_height = heights @ np.stack(
        [x * measured, y * measured, measured, np.nan_to_num(z) * measured], axis=1
    )
    off_height *= off_height
    off += off_height
    np.subtract(1, off, out=off)
    np.maximum(off, 0, out=off)
    return off.sum(2)
