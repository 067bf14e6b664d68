"""Track finding by density: DBSCAN (Ester et al. 1996) and HDBSCAN (Campello et al. 2013) of scikit-learn on
scaled (x, y, z).
"""

import numpy as np
from scipy.spatial import cKDTree
from sklearn.cluster import DBSCAN, HDBSCAN

from datasets.geometry import CELL_MM
from finding.labels import finder_hits, number_tracks

_FAR = 1e5  # cells between half events: beyond any distance within one
_MOST_TIES = 12  # cells at one distance from another
_SAME_DISTANCE = 1e-6


def scaled_points(hits, mm_per_z):
    """Points to cluster: (hit, 3), x and y in cells, z in units of `mm_per_z`.

    A missing height is that of the nearest hit in the top view, of the same half event, that has one: the
    mean of those that are equally near; 0 where none has.
    """
    x = hits.x / CELL_MM
    y = hits.y / CELL_MM
    known = np.isfinite(hits.z)
    z = np.where(known, hits.z, 0.0)
    if known.any() and not known.all():
        apart = np.column_stack([x, y, hits.group * _FAR])
        tree = cKDTree(apart[known])
        distance, nearest = tree.query(apart[~known], k=_MOST_TIES)
        as_near = distance < distance[:, :1] + _SAME_DISTANCE
        of_same_half = distance < _FAR / 2
        tied = as_near & of_same_half
        # the tree gives one beyond the last where there are fewer
        heights = np.append(hits.z[known], 0.0)
        sum_of_tied = (tied * heights[nearest]).sum(1)
        z[~known] = sum_of_tied / np.maximum(tied.sum(1), 1)
    return np.column_stack([x, y, z / mm_per_z])


def find(events, eps=3.7, mm_per_z=90.0, min_samples=3, min_hits=2):
    """Labels by DBSCAN, in one call for all events: half events lie far apart along a fourth coordinate.

    Args:
        events: Events. eps: reach of a hit, in cells. mm_per_z: height that counts as one cell. min_samples:
            hits within reach, itself included, that make a hit a core of its cluster. min_hits: smaller
            clusters are left out.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    hits, order = finder_hits(events)
    cluster = np.full(len(order), -1)
    if len(order):
        points = scaled_points(hits, mm_per_z)
        apart = np.column_stack([points, hits.group * _FAR])
        finder = DBSCAN(eps=eps, min_samples=min_samples)
        cluster[order] = finder.fit_predict(apart)
    return number_tracks(cluster, events.hit_event, min_hits)


def find_hdbscan(events, mm_per_z=90.0, min_samples=3, min_hits=4, reach=4.5):
    """Labels by HDBSCAN, with one call for each half event: among equal distances its tree depends on
    everything in the call.

    Args:
        events: Events. mm_per_z, min_samples: as in `find`. min_hits: smallest cluster.
        reach: hits with no other of their cluster within it, in cells, are left out: a cluster keeps all hits
            it was made of.
    Returns:
        (hit,) int16, -1 for hits left out; the same for an event whatever events are beside it.
    """
    hits, order = finder_hits(events)
    points = scaled_points(hits, mm_per_z)
    finder = HDBSCAN(
        min_cluster_size=min_hits,
        min_samples=min_samples,
        algorithm="kd_tree",
        copy=True,
    )
    # all points of a call are never one cluster, and if they may be its ends are cut off: far points stand by
    bystanders = np.full((min_hits + min_samples, 3), _FAR)
    found = np.full(len(order), -1)
    bounds = np.searchsorted(hits.group, np.arange(hits.n_groups + 1))
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        if start < stop:
            together = np.concatenate([points[start:stop], bystanders])
            number = finder.fit_predict(together)[: stop - start]
            found[start:stop] = np.where(
                number >= 0, start + number, -1
            )  # `start` keeps calls apart
    found[~has_company(points, found, reach)] = -1
    cluster = np.empty(len(order), int)
    cluster[order] = found
    return number_tracks(cluster, events.hit_event, min_hits)


def has_company(points, cluster, reach):
    """(hit,) bool, whether another hit of the same cluster is within reach."""
    if len(points) < 2:
        return np.ones(len(points), bool)
    apart = np.column_stack([points, cluster * _FAR])
    tree = cKDTree(apart)
    distance, _ = tree.query(apart, k=2)  # the first is the hit itself
    return distance[:, 1] <= reach
