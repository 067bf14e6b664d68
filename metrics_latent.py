"""What is in a latent space: figures of merit of codes, pure NumPy, and walks through it."""

import numpy as np
from scipy import stats

import metrics

ACTIVE = 0.01  # variance of its mean from which a dimension says something of the event (arXiv:1509.00519)


def spread(mean):
    """Which dimensions are in use, ready for JSON; mean: (event, n_latent) of the events' distributions."""
    variance = np.var(mean, 0)
    return {
        "active_units": int((variance > ACTIVE).sum()),
        "variance_of_means": np.sort(variance)[::-1].tolist(),
    }


def moments(codes):
    """How the moments of codes, (event, n_latent), differ from those of a standard normal distribution: the
    furthest mean, standard deviation and correlation of any dimensions, and the mean kurtosis, which is to be 0.
    """
    deviation = np.std(codes, 0)
    correlation = np.atleast_2d(np.corrcoef(codes, rowvar=False)) - np.eye(codes.shape[1])
    return {
        "furthest_mean": float(np.abs(codes.mean(0)).max()),
        "deviation": [float(deviation.min()), float(deviation.max())],
        "strongest_correlation": float(np.abs(correlation).max()),
        "kurtosis": float(np.mean(stats.kurtosis(codes, 0))),
    }


def against_prior(codes, seed=0):
    """Two tests of whether codes, (event, n_latent), are samples of the standard normal distribution.

    - `dimensions`: the largest Kolmogorov-Smirnov distance of one dimension, and its p value, times the number of
      dimensions tried.
    - `told_apart`: the share of codes and samples of the prior that a classifier of gradient-boosted trees tells
      right, having learned from one half and being asked of the other (arXiv:1610.06545). 0.5 is the best.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(
        [seed, 1]
    )  # not the noise of samples that were drawn with the same seed
    n_events, n_latent = codes.shape
    tests = [stats.kstest(codes[:, i], "norm") for i in range(n_latent)]
    furthest = max(tests, key=_distance)
    both = np.concatenate([codes, rng.normal(size=codes.shape)])
    is_code = np.repeat([True, False], n_events)
    order = rng.permutation(2 * n_events)
    learned, asked = order[:n_events], order[n_events:]
    classifier = HistGradientBoostingClassifier(random_state=seed).fit(
        both[learned], is_code[learned]
    )
    right = classifier.predict(both[asked]) == is_code[asked]
    return {
        "dimensions": {
            "distance": float(furthest.statistic),
            "p": min(1.0, float(furthest.pvalue) * n_latent),
        },
        "told_apart": metrics.share_right(right),
    }


def _distance(test):
    return test.statistic


def walk(mean, start, steps=(-2, -1, 0, 1, 2), n_dimensions=6):
    """Points along the dimensions of largest variance, from the code of one event: the mean of all codes, far from
    most events, is often the code of none.

    Args:
        mean: (event, n_latent) of the events' distributions. start: (n_latent,) the code. steps: in standard
            deviations of these means.
    Returns:
        points: (dimension, step, n_latent) float32. dimensions: (dimension,) their indices.
    """
    deviation = np.std(mean, 0)
    dimensions = np.argsort(-deviation)[:n_dimensions]
    points = np.tile(start, (len(dimensions), len(steps), 1)).astype(np.float32)
    for row, dimension in enumerate(dimensions):
        points[row, :, dimension] += np.asarray(steps) * deviation[dimension]
    return points, dimensions
