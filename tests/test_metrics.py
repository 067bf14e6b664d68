import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

import metrics

classes = st.integers(0, 3)
pairs = st.lists(st.tuples(classes, classes), max_size=50)


def test_no_success_in_ten_trials_is_the_formula_on_paper():
    low, high = metrics.binomial_interval(0, 10, level=0.9)
    assert low == 0
    assert high == pytest.approx(1 - 0.05**0.1)  # (1 - p)^10 = 5 %


def test_no_trial_says_nothing():
    assert metrics.binomial_interval(0, 0) == (0, 1)


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from([0.6827, 0.9, 0.95]))
def test_interval_is_that_of_scipy(successes, trials, level):
    successes = min(successes, trials)
    expected = binomtest(successes, trials).proportion_ci(level, "exact")
    interval = metrics.binomial_interval(successes, trials, level)
    np.testing.assert_allclose(interval, (expected.low, expected.high), atol=1e-9)


@given(st.integers(1, 60), st.floats(1e-6, 1 - 1e-6))
def test_interval_covers_the_truth_as_often_as_it_says(trials, p):
    successes = np.arange(trials + 1)
    low, high = metrics.binomial_interval(successes, trials)
    is_covered = (low <= p) & (p <= high)
    probability = binom.pmf(successes, trials, p)
    assert probability[is_covered].sum() > 0.6827 - 1e-6


def test_interval_takes_arrays():
    low, high = metrics.binomial_interval([0, 5, 0], [10, 10, 0])
    assert low.shape == high.shape == (3,)
    assert (low[1], high[1]) == metrics.binomial_interval(5, 10)


@pytest.mark.parametrize(("successes", "trials"), [(11, 10), (-1, 10)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match=f"{successes} successes in {trials} trials"):
        metrics.binomial_interval(successes, trials)


def test_confusion_matrix_has_truth_in_rows():
    matrix = metrics.confusion_matrix([0, 0, 1, 2], [0, 2, 1, 1], 3)
    np.testing.assert_array_equal(matrix, [[1, 0, 1], [0, 1, 0], [0, 1, 0]])


@given(pairs)
def test_confusion_matrix_counts_each_event_once_and_agrees_with_the_accuracy(both):
    truth, predicted = np.array(both, int).reshape(-1, 2).T
    matrix = metrics.confusion_matrix(truth, predicted, 4)
    assert matrix.shape == (4, 4)
    assert matrix.sum() == len(truth)
    np.testing.assert_array_equal(matrix.sum(1), np.bincount(truth, minlength=4))
    np.testing.assert_array_equal(matrix.T, metrics.confusion_matrix(predicted, truth, 4))
    scores = metrics.accuracy(truth, predicted)
    assert scores["n_events"] == len(truth)
    if len(truth):
        assert scores["accuracy"] == np.trace(matrix) / len(truth)


def test_accuracy_counts_right_events_and_fits_in_a_card():
    truth = np.array([0, 1, 2, 3], np.uint8)
    scores = metrics.accuracy(truth, np.array([0, 1, 2, 2]))
    interval = list(metrics.binomial_interval(3, 4))
    assert scores == {"n_events": 4, "accuracy": 0.75, "interval": interval}
    assert json.loads(json.dumps(scores)) == scores


def test_accuracy_of_no_events_is_unknown():
    scores = metrics.accuracy([], [])
    assert np.isnan(scores["accuracy"])
    assert scores["interval"] == [0, 1]


def test_a_column_of_predictions_is_refused_instead_of_broadcast():
    with pytest.raises(ValueError, match="one class an event"):
        metrics.accuracy([0, 1, 2], [[0], [1], [2]])


@pytest.mark.parametrize("bad", [-1, 4, 1.5, np.nan])
def test_a_value_that_is_no_class_is_named(bad):
    message = f"{float(bad):g}.* is not a class 0..3"
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix([0, bad], [0, 1], 4)
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix([0, 1], [0, bad], 4)


def test_unknown_truth_is_not_counted_as_wrong():
    with pytest.raises(ValueError, match="truth -1"):
        metrics.accuracy([0, -1], [0, 1])


def test_calibrated_probabilities_have_no_error():
    probabilities = np.tile([0.75, 0.25], (4, 1))
    assert metrics.expected_calibration_error([0, 0, 0, 1], probabilities) == pytest.approx(0)


def test_calibration_error_worked_by_hand():
    # Bin (0.8, 0.9]: one of two right, at 0.85 and 0.9, adds |1 - 1.75|.
    # Bin (0.6, 0.7]: one right, at 0.7, adds |1 - 0.7|.
    probabilities = [[0.85, 0.15], [0.1, 0.9], [0.7, 0.3]]
    error = metrics.expected_calibration_error([0, 0, 0], probabilities, n_bins=10)
    assert error == pytest.approx((0.75 + 0.3) / 3)


def test_sure_and_wrong_is_the_largest_error():
    assert metrics.expected_calibration_error([1, 1], [[1, 0], [1, 0]]) == 1


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_calibration_error_lies_between_that_of_one_bin_and_one(events):
    truth = np.array([is_one for is_one, _ in events])
    p = np.array([probability for _, probability in events])
    probabilities = np.stack([1 - p, p], 1)
    accuracy = (probabilities.argmax(1) == truth).mean()
    confidence = probabilities.max(1).mean()
    one_bin = abs(accuracy - confidence)
    assert metrics.expected_calibration_error(truth, probabilities, n_bins=1) == pytest.approx(
        one_bin
    )
    assert one_bin - 1e-9 <= metrics.expected_calibration_error(truth, probabilities) <= 1


def test_calibration_error_of_no_events_is_unknown():
    assert np.isnan(metrics.expected_calibration_error([], np.zeros((0, 4))))


@pytest.mark.parametrize("bad", [-0.2, 1.2, np.nan])
def test_logits_are_refused_as_probabilities(bad):
    with pytest.raises(ValueError, match=f"probability {bad}"):
        metrics.expected_calibration_error([0], [[0.5, bad]])


def test_failures_tell_the_frequent_confusions_worst_first():
    scores = {"labels": [1, 2, 3], "confusion": [[998, 2, 0], [10, 989, 1], [0, 80, 920]]}
    assert metrics.failures(scores) == [
        "3 counted as 2: 8.0% of 1000 test events",
        "2 counted as 1: 1.0% of 1000 test events",
    ]
    assert metrics.failures({"labels": [1, 2], "confusion": [[5, 0], [0, 0]]}) == []


def test_six_segments_are_six_or_more():
    scores = {
        "n_events": 10,
        "accuracy": 0.9,
        "interval": [0.8, 0.95],
        "labels": [5, 6],
        "confusion": [[4, 1], [0, 5]],
    }
    assert metrics.failures(scores, what="segments") == ["5 counted as 6+: 20.0% of 5 test events"]
    assert metrics.describe(scores, "segments").splitlines()[1:] == [
        "true \\ predicted        5      6+",
        "               5        4       1",
        "              6+        0       5",
    ]
    assert "+" not in metrics.describe(scores) + metrics.failures(scores)[0]
    assert [metrics.number_of(n, "tracks") for n in (0, 1, 6)] == [
        "0 tracks",
        "1 track",
        "6 tracks",
    ]
    assert [metrics.number_of(n, "segments") for n in (0, 1, 6)] == [
        "0 segments",
        "1 segment",
        "6+ segments",
    ]
