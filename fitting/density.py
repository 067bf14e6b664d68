"""Track finding by density: DBSCAN (Ester et al. 1996) and HDBSCAN (Campello et al. 2013) of scikit-learn on scaled (x, y, z)."""

import numpy as np
from scipy.spatial import cKDTree
from sklearn.cluster import DBSCAN, HDBSCAN

from datasets.geometry import CELL_MM
from fitting.tracks import finder_hits, number_tracks

_FAR = 1e5  # cells between half events: beyond any distance within one
_TOGETHER = 32  # half events in one call of HDBSCAN, whose time rises with the square of its points


def scaled_points(hits, mm_per_z):
    """Points to cluster: (hit, 3), x and y in cells, z in units of `mm_per_z`.

    A missing height is that of the hit nearest in the top view, of the same half event, that has one; 0 where none has.
    """
    top = np.stack([hits.x, hits.y], axis=1) / CELL_MM
    known = np.isfinite(hits.z)
    z = np.where(known, hits.z, 0.0)
    if known.any() and not known.all():
        apart = np.column_stack([top, hits.group * _FAR])
        distance, nearest = cKDTree(apart[known]).query(apart[~known])
        z[~known] = np.where(distance < _FAR / 2, hits.z[known][nearest], 0.0)
    return np.column_stack([top, z / mm_per_z])


def find(events, eps=2.0, mm_per_z=150.0, min_samples=2, min_hits=3):
    """Labels by DBSCAN, in one call for all events: half events lie far apart along a fourth coordinate.

    Args:
        events: Events. eps: reach of a hit, in cells. mm_per_z: height that counts as one cell. min_samples: hits within reach,
            itself included, that make a hit a core of its cluster. min_hits: smaller clusters are left out.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    hits, order = finder_hits(events)
    cluster = np.full(len(order), -1)
    if len(order):
        points = np.column_stack([scaled_points(hits, mm_per_z), hits.group * _FAR])
        cluster[order] = DBSCAN(eps=eps, min_samples=min_samples).fit_predict(points)
    return number_tracks(cluster, events.hit_event, min_hits)


def find_hdbscan(events, mm_per_z=150.0, min_samples=2, min_hits=4):
    """Labels by HDBSCAN, in one call for some half events at a time, far apart as in `find`.

    Args:
        events: Events. mm_per_z, min_samples: as in `find`. min_hits: smallest cluster.
    Returns:
        (hit,) int16, -1 for hits left out; the same for an event whatever events are beside it.
    """
    hits, order = finder_hits(events)
    points = scaled_points(hits, mm_per_z)
    starts = np.searchsorted(hits.group, np.arange(0, hits.n_groups + _TOGETHER, _TOGETHER))
    # scikit-learn never takes all points of a call for one cluster unless told to: a far cluster stands by
    bystander = np.column_stack([np.zeros((min_hits + min_samples, 3)), np.full(min_hits + min_samples, -_FAR)])
    finder = HDBSCAN(min_cluster_size=min_hits, min_samples=min_samples, algorithm="kd_tree", copy=True)
    cluster = np.full(len(order), -1)
    for start, stop in zip(starts[:-1], starts[1:], strict=True):
        if start < stop:
            here = np.column_stack([points[start:stop], (hits.group[start:stop] - hits.group[start]) * _FAR])
            found = finder.fit_predict(np.concatenate([here, bystander]))[: stop - start]
            cluster[order[start:stop]] = np.where(found >= 0, found + start, -1)  # `start` keeps the clusters of calls apart
    return number_tracks(cluster, events.hit_event, min_hits)
