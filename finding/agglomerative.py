"""Track finding by agglomerative clustering: single linkage on scaled (x, y, z), cut at a given number of tracks.

The tracks of a half event come from outside, such as from a network that counts them. Single linkage joins the
two nearest clusters, by their nearest hits, until so many are left: the same as a minimum spanning tree without
its longest edges (Gower and Ross 1969). That is how it is done here, for many events at once.
"""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from finding.density import has_company, scaled_points
from finding.labels import finder_hits, number_tracks, places

MOST_PAIRS = 2_000_000  # that are looked at together, unless one half event has more


def find(events, n_tracks, mm_per_z=150.0, reach=3.0, min_hits=1):
    """Labels by single linkage.

    Args:
        events: Events. n_tracks: function Events -> (event, 2) int, tracks of each tracker side.
        mm_per_z: height that counts as one cell. reach: hits with no other within it, in cells, are left out
            before: each would be a cluster. min_hits: smaller clusters are left out after.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    hits, order = finder_hits(events)
    points = scaled_points(hits, mm_per_z)
    taken = np.flatnonzero(has_company(points, hits.group, reach)) if len(hits) > 1 else []
    cluster = np.full(len(order), -1)
    n_clusters = np.maximum(np.asarray(n_tracks(events)).reshape(-1), 1)
    if len(taken):
        cluster[order[taken]] = single_linkage(points[taken], hits.group[taken], n_clusters)
    return number_tracks(cluster, events.hit_event, min_hits)


def single_linkage(points, group, n_clusters):
    """Clusters of points, numbered through all groups.

    Args:
        points: (hit, coordinate) float. group: (hit,) int, rising. n_clusters: (group,) int, 1 at least.
    Returns:
        (hit,) int; where distances are equal, that between earlier points is the shorter one.
    """
    n_points = np.bincount(group, minlength=len(n_clusters))
    n_pairs = np.cumsum(n_points * (n_points - 1) // 2)
    block = n_pairs[group] // MOST_PAIRS
    cluster = np.empty(len(group), int)
    bounds = np.flatnonzero(np.diff(block, prepend=-1, append=-1))
    for first, stop in zip(bounds[:-1], bounds[1:], strict=True):
        some = slice(first, stop)
        cluster[some] = first + _linked(points[some], group[some], n_clusters)
    return cluster


def _linked(points, group, n_clusters):
    one, other = _pairs(group)
    distance = np.linalg.norm(points[one] - points[other], axis=1)
    rank = np.empty(len(distance))
    rank[np.argsort(distance, kind="stable")] = np.arange(
        1, len(distance) + 1
    )  # no two are equal, none is 0
    shape = (len(group), len(group))
    tree = minimum_spanning_tree(coo_matrix((rank, (one, other)), shape)).tocoo()

    of_group = group[tree.row]
    longest_first = np.lexsort((-tree.data, of_group))
    n_edges = np.bincount(of_group, minlength=len(n_clusters))
    _, place = places(n_edges)
    stays = longest_first[place >= n_clusters[of_group[longest_first]] - 1]
    forest = coo_matrix((tree.data[stays], (tree.row[stays], tree.col[stays])), shape)
    _, number = connected_components(forest, directed=False)
    return number


def _pairs(group):
    """All pairs of points of one group, the later and the earlier one, each (pair,)."""
    first_of_group = np.searchsorted(group, group)
    n_before = np.arange(len(group)) - first_of_group
    later, place = places(n_before)
    return later, first_of_group[later] + place
