"""Single linkage for many events at once, against scikit-learn's of each."""

import numpy as np
import pytest
from conftest import random_events
from sklearn.cluster import AgglomerativeClustering

from datasets.events import concatenate, make_events
from finding import agglomerative
from my_generator import realistic


def same_partition(labels, other):
    pairs = set(zip(labels.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(labels)) == len(set(other))


def counts(n):
    """A counter that says n on every side."""

    def say(events):
        return np.full((len(events), 2), n)

    return say


def true_counts(events):
    return np.column_stack([0 * events.info["n_tracks"], events.info["n_tracks"]])


@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_those_of_scikit_learn(seed, monkeypatch):
    monkeypatch.setattr(agglomerative, "MOST_PAIRS", 300)  # so that several blocks are looked at
    rng = np.random.default_rng(seed)
    sizes = np.array([20, 1, 0, 2, 40, 30, 7])
    group = np.repeat(np.arange(len(sizes)), sizes)
    points = rng.normal(size=(len(group), 3))
    n_clusters = rng.integers(1, 5, len(sizes))
    found = agglomerative.single_linkage(points, group, n_clusters)
    for of_group, size in enumerate(sizes):
        mine = group == of_group
        n = min(n_clusters[of_group], size)
        if size == 1:
            assert mine.sum() == 1
        elif size:
            linkage = AgglomerativeClustering(n, linkage="single")
            assert same_partition(found[mine], linkage.fit_predict(points[mine]))
    ends = [set(found[group == of_group]) for of_group in range(len(sizes))]
    assert sum(map(len, ends)) == len(set(found))  # no cluster is in two groups


def test_two_parallel_tracks_are_two_clusters_and_far_noise_is_left_out():
    hits = {
        "layer": [*range(9), *range(9), 4],
        "column": [20] * 9 + [30] * 9 + [90],
        "z_mm": np.zeros(19),
    }
    found = agglomerative.find(make_events(hits, [0, 19]), counts(2))
    np.testing.assert_array_equal(found, [0] * 9 + [1] * 9 + [-1])
    joined = agglomerative.find(make_events(hits, [0, 19]), counts(1))
    np.testing.assert_array_equal(joined, [0] * 18 + [-1])


def test_heights_tell_tracks_apart_that_the_top_view_does_not():
    hits = {
        "layer": [*range(9)] * 2,
        "column": [20] * 9 + [21] * 9,
        "z_mm": [0.0] * 9 + [900.0] * 9,
    }
    found = agglomerative.find(make_events(hits, [0, 18]), counts(2))
    np.testing.assert_array_equal(found, [0] * 9 + [1] * 9)


def test_labels_depend_neither_on_other_events_nor_on_the_order_of_hits():
    events = realistic.generate(30, preset="data", seed=11)
    found = agglomerative.find(events, true_counts)
    some = np.array([17, 3, 25])
    expected = np.concatenate([found[slice(*events.hit_offsets[i : i + 2])] for i in some])
    np.testing.assert_array_equal(agglomerative.find(events[some], true_counts), expected)
    order = np.random.default_rng(2).permutation(events.n_hits[0])
    hits = {name: values[order] for name, values in events[0:1].hits.items()}
    shuffled = make_events(hits, events[0:1].hit_offsets)
    n_first = counts(events.info["n_tracks"][0])
    assert same_partition(agglomerative.find(shuffled, n_first), found[: events.n_hits[0]][order])


def test_every_event_is_taken():
    odd = random_events(3, [0, 1, 2, 2034, 40, 0], sides=(0, 1))
    blind = odd[4:5].with_hits({"z_mm": np.full(40, np.nan)})
    along_foil = make_events({"layer": np.zeros(113, int), "column": np.arange(113)}, [0, 113])
    events = concatenate([odd, blind, along_foil])
    for n in (0, 1, 4):
        found = agglomerative.find(events, counts(n))
        assert found.shape == (events.hit_offsets[-1],) and found.dtype == np.int16
    assert agglomerative.find(odd[:1], counts(1)).shape == (0,)
    assert agglomerative.find(odd[1:2], counts(1)).tolist() == [-1]
    assert set(agglomerative.find(along_foil, counts(1))) == {0}
