"""Figures of merit of the removal of a track: by hand, and by trying all thresholds."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metrics

OFFSETS = np.array([0, 4, 6, 8, 8])  # four hits, two to keep only, two to remove only, none
KEEP = np.array([1, 1, 0, 0, 1, 1, 0, 0], bool)
KEPT = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)


def test_shares_of_events_worked_by_hand():
    of_events = metrics.removal_by_event(OFFSETS, KEEP, KEPT)
    np.testing.assert_array_equal(of_events["less_than_expected"], [0.5, 0, np.nan, np.nan])
    np.testing.assert_array_equal(of_events["more_than_expected"], [0, np.nan, 0.5, np.nan])
    np.testing.assert_array_equal(of_events["balanced"], [0.75, np.nan, np.nan, np.nan])


def test_classes_tell_where_there_was_nothing_to_keep_or_to_remove():
    scores = metrics.removal(OFFSETS, KEEP, KEPT, [2, 1, 1, 0])
    json.dumps(scores)
    assert set(scores) == {"0", "1", "2", "all", "nothing_to_keep", "nothing_to_remove"}
    everything = scores["all"]
    assert everything["hit_accuracy"]["value"] == 6 / 8 and everything["hit_accuracy"]["n"] == 8
    assert everything["perfect"]["value"] == 2 / 4  # the empty one too: nothing was wrong
    assert (everything["less_than_expected"]["value"], everything["less_than_expected"]["n"]) == (
        0.25,
        2,
    )
    assert scores["nothing_to_keep"]["more_than_expected"]["value"] == 0.5
    assert scores["nothing_to_keep"]["less_than_expected"]["n"] == 0
    assert np.isnan(scores["nothing_to_keep"]["less_than_expected"]["value"])
    assert scores["nothing_to_remove"]["less_than_expected"]["value"] == 0


def test_the_standard_error_is_that_of_a_mean():
    less = np.array([0.5, 0.0])
    interval = metrics.removal(OFFSETS, KEEP, KEPT, [2, 1, 1, 0])["all"]["less_than_expected"][
        "interval"
    ]
    error = less.std(ddof=1) / 2**0.5
    np.testing.assert_allclose(interval, [0.25 - error, 0.25 + error])


def test_trivial_answers_stand_beside_the_network():
    scores = metrics.removal_with_trivial(OFFSETS, KEEP, KEPT, [2, 2, 2, 2])
    values = {
        name: {figure: of["2"][figure]["value"] for figure in of["2"]}
        for name, of in scores.items()
    }
    assert (
        values["keep all"]["less_than_expected"] == 0
        and values["keep all"]["more_than_expected"] == 1
    )
    assert (
        values["remove all"]["less_than_expected"] == 1
        and values["remove all"]["more_than_expected"] == 0
    )
    assert values["keep all"]["balanced"] == values["remove all"]["balanced"] == 0.5
    assert values["keep all"]["hit_accuracy"] == KEEP.mean()
    assert "keep all" in metrics.describe_removal(scores)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 6), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_no_other_threshold_is_better(seed, n_hits):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(n_hits)])
    keep = rng.random(offsets[-1]) < 0.5
    scores = rng.integers(0, 8, len(keep)) / 8  # with ties

    def balanced(threshold):
        values = metrics.removal_by_event(offsets, keep, scores >= threshold)["balanced"]
        return values[~np.isnan(values)].mean() if (~np.isnan(values)).any() else 0.0

    chosen = metrics.best_hit_threshold(offsets, keep, scores)
    best = max(balanced(threshold) for threshold in np.linspace(-0.1, 1.1, 97))
    assert balanced(chosen) == pytest.approx(best)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_threshold_that_is_not_balanced_makes_most_hits_right(seed):
    rng = np.random.default_rng(seed)
    offsets = np.array([0, 12, 20])
    keep = rng.random(20) < 0.3
    keep[[0, 12]], keep[[1, 13]] = True, False
    scores = rng.integers(0, 8, 20) / 8
    chosen = metrics.best_hit_threshold(offsets, keep, scores, balanced=False)
    n_right = [
        (keep == (scores >= threshold)).sum() for threshold in (chosen, *np.linspace(-0.1, 1.1, 97))
    ]
    assert n_right[0] == max(n_right)


def test_without_hits_of_both_kinds_there_is_no_choice():
    assert metrics.best_hit_threshold([0, 0], [], []) == 0.5
    assert metrics.best_hit_threshold([0, 2], [True, True], [0.1, 0.2]) == 0.5


def test_cells_that_nobody_measured_are_counted_of_those_that_are_lit():
    image = np.array([[1, 1, 0, 0], [0, 0, 0, 1]])
    lit = np.array([[1, 0, 1, 0], [0, 0, 1, 1]])
    assert (
        metrics.randomly_added(image, lit)["value"] == 0.5
        and metrics.randomly_added(image, lit)["n"] == 4
    )
    assert np.isnan(metrics.randomly_added(image, 0 * lit)["value"])
