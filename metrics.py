"""Figures of merit of a classification, pure NumPy and SciPy. Class k stands for k + 1 tracks where tracks are counted."""

import numpy as np
from scipy.stats import beta


def binomial_interval(successes, trials, level=0.6827):
    """Clopper-Pearson interval of an efficiency or an accuracy: it covers the true value with at least the given probability.

    Args:
        successes, trials: numbers or arrays of counts that broadcast. level: 0.6827 is one sigma.
    Returns:
        (low, high), each of the inputs' shape, in 0..1; (0, 1) where there was no trial.
    """
    successes, trials = np.broadcast_arrays(successes, trials)
    bad = ~((successes >= 0) & (successes <= trials))
    if bad.any():
        raise ValueError(f"{successes[bad][0]} successes in {trials[bad][0]} trials")
    tail = (1 - level) / 2
    # At either end the beta distribution does not exist and the limit is exact.
    low = np.where(successes == 0, 0.0, beta.ppf(tail, successes, trials - successes + 1))
    high = np.where(successes == trials, 1.0, beta.ppf(1 - tail, successes + 1, trials - successes))
    return low[()], high[()]


def confusion_matrix(truth, predicted, n_classes):
    """Count the events of each true and predicted class.

    Args:
        truth, predicted: (event,) classes 0..n_classes - 1.
    Returns:
        (n_classes, n_classes) int64; rows are truth, columns are predicted.
    """
    truth, predicted = _classes(truth, "truth", n_classes), _classes(predicted, "predicted", n_classes)
    _same_shape(truth, predicted)
    return np.bincount(truth * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def accuracy(truth, predicted):
    """Share of events whose class is right.

    Args:
        truth, predicted: (event,) classes from 0 on.
    Returns:
        {"n_events": int, "accuracy": float, NaN without events, "interval": [low, high] of 68 %}; ready for JSON.
    """
    truth, predicted = _classes(truth, "truth"), _classes(predicted, "predicted")
    _same_shape(truth, predicted)
    n_right, n_events = int((truth == predicted).sum()), len(truth)
    interval = [float(limit) for limit in binomial_interval(n_right, n_events)]
    return {"n_events": n_events, "accuracy": n_right / n_events if n_events else float("nan"), "interval": interval}


def expected_calibration_error(truth, probabilities, n_bins=15):
    """How far the highest probability is from the accuracy, on average over events (Guo et al. 2017, arXiv:1706.04599, eq. 3).

    Args:
        truth: (event,) classes. probabilities: (event, n_classes). n_bins: bins of equal width of the highest probability,
            upper edge included.
    Returns:
        float in 0..1, 0 for perfectly calibrated probabilities; NaN without events.
    """
    probabilities = np.asarray(probabilities, float)
    bad = ~((probabilities >= 0) & (probabilities <= 1 + 1e-5))  # a float32 softmax may exceed 1 by rounding
    if bad.any():
        raise ValueError(f"probability {probabilities[bad][0]} outside 0..1")
    truth = _classes(truth, "truth", probabilities.shape[1])
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    _same_shape(truth, predicted)
    if not len(truth):
        return float("nan")
    which_bin = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    # |accuracy - confidence| of a bin, weighted by its events, is the modulus of the sum over its events
    return float(np.abs(np.bincount(which_bin, (truth == predicted) - confidence)).sum() / len(truth))


def _classes(values, name, n_classes=np.inf):
    """The values as (event,) int64, after checking that each is a class."""
    values = np.asarray(values)
    bad = ~((values >= 0) & (values < n_classes) & (values == np.floor(values)))
    if bad.any():
        raise ValueError(f"{name} {values[bad].flat[0]} is not a class 0..{n_classes - 1}")
    return values.astype(np.int64)


def _same_shape(truth, predicted):
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise ValueError(f"truth {truth.shape} and predicted {predicted.shape} are not one class an event")


def counting(truth, probabilities, labels):
    """Everything published about a model that counts tracks, ready for JSON.

    Args:
        truth: (event,) number of tracks. probabilities: (event, label). labels: the number of tracks each column stands for.
    Returns:
        dict: `n_events`, `accuracy`, `interval`; `by_tracks`, the same by true number of tracks; `labels`, those that occur; `confusion`,
        their matrix, rows truth and columns predicted; `expected_calibration_error`.
    """
    truth, probabilities, labels = np.asarray(truth), np.asarray(probabilities), np.asarray(labels)
    predicted = labels[probabilities.argmax(1)]
    occurring = labels[np.isin(labels, truth) | np.isin(labels, predicted) | ((labels >= 1) & (labels <= 4))]
    unknown = ~np.isin(truth, labels)
    if unknown.any():
        raise ValueError(f"truth {truth[unknown][0]} is none of the labels {labels.tolist()}")
    index = lambda values: np.searchsorted(occurring, values)  # noqa: E731
    return {
        **accuracy(truth, predicted),
        "by_tracks": {str(n): accuracy(truth[truth == n], predicted[truth == n]) for n in occurring if n in truth},
        "labels": occurring.tolist(),
        "confusion": confusion_matrix(index(truth), index(predicted), len(occurring)).tolist(),
        "expected_calibration_error": expected_calibration_error(np.searchsorted(labels, truth), probabilities),
    }


def describe(scores):
    """Lines for the terminal of what `counting` found: accuracy with its interval, confusion matrix."""
    low, high = scores["interval"]
    lines = [f"{scores['n_events']} events, accuracy {scores['accuracy']:.4f} (68 % interval {low:.4f} to {high:.4f})"]
    lines.append("true \\ predicted " + "".join(f"{label:>8}" for label in scores["labels"]))
    for label, row in zip(scores["labels"], scores["confusion"], strict=True):
        lines.append(f"{label:>16} " + "".join(f"{n:>8}" for n in row))
    return "\n".join(lines)
