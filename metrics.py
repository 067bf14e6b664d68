"""Figures of merit of a classification and of a finder of tracks, pure NumPy and SciPy.

Class k stands for k + 1 tracks where tracks are counted.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import beta

OR_MORE = {"segments": 6}  # what is counted -> the label that stands for it or more


def binomial_interval(successes, trials, level=0.6827):
    """Clopper-Pearson interval of an efficiency or an accuracy: it covers the true value with at least the
    given probability.

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
        {"n_events": int, "accuracy": float, NaN without events, "interval": [low, high] of 68 %}; ready for
        JSON.
    """
    truth, predicted = _classes(truth, "truth"), _classes(predicted, "predicted")
    _same_shape(truth, predicted)
    n_right, n_events = int((truth == predicted).sum()), len(truth)
    interval = [float(limit) for limit in binomial_interval(n_right, n_events)]
    return {
        "n_events": n_events,
        "accuracy": n_right / n_events if n_events else float("nan"),
        "interval": interval,
    }


def expected_calibration_error(truth, probabilities, n_bins=15):
    """How far the highest probability is from the accuracy, on average over events (Guo et al. 2017,
    arXiv:1706.04599, eq. 3).

    Args:
        truth: (event,) classes. probabilities: (event, n_classes). n_bins: bins of equal width of the highest
            probability, upper edge included.
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
        truth: (event,) number of tracks. probabilities: (event, label). labels: the number of tracks each
            column stands for.
    Returns:
        dict: `n_events`, `accuracy`, `interval`; `by_tracks`, the same by true number of tracks; `labels`,
        those that occur; `confusion`, their matrix, rows truth and columns predicted;
        `expected_calibration_error`.
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
        "by_tracks": {
            str(n): accuracy(truth[truth == n], predicted[truth == n]) for n in occurring if n in truth
        },
        "labels": occurring.tolist(),
        "confusion": confusion_matrix(index(truth), index(predicted), len(occurring)).tolist(),
        "expected_calibration_error": expected_calibration_error(
            np.searchsorted(labels, truth), probabilities
        ),
    }


def name_of(label, what="tracks"):
    """A label as it is read: 6+ where it stands for six or more of what is counted."""
    return f"{label}+" if label == OR_MORE.get(what) else f"{label}"


def number_of(label, what="tracks"):
    """A label with what is counted: 1 track, 2 tracks, 6+ segments."""
    return f"{name_of(label, what)} {what.removesuffix('s') if label == 1 else what}"


def failures(scores, least=0.005, what="tracks"):
    """Sentences on the confusions that happen to more than a share of the events of their class, worst first.

    Args:
        scores: as `counting` gives them. least: share of the events of a true number of tracks. what: is
            counted.
    """
    confusion = np.array(scores["confusion"])
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    wrong = np.argwhere((share > least) & ~np.eye(len(share), dtype=bool))
    worst_first = wrong[np.argsort(-share[*wrong.T], kind="stable")]
    name = [name_of(label, what) for label in scores["labels"]]
    return [
        f"{name[i]} counted as {name[j]}: {share[i, j]:.1%} of {confusion[i].sum()} test events"
        for i, j in worst_first
    ]


def describe(scores, what="tracks"):
    """Lines for the terminal of what `counting` found: accuracy with its interval, confusion matrix."""
    low, high = scores["interval"]
    names = [name_of(label, what) for label in scores["labels"]]
    lines = [
        f"{scores['n_events']} events, accuracy {scores['accuracy']:.4f} (68 % interval {low:.4f} to {high:.4f})"
    ]
    lines.append("true \\ predicted " + "".join(f"{name:>8}" for name in names))
    for name, row in zip(names, scores["confusion"], strict=True):
        lines.append(f"{name:>16} " + "".join(f"{n:>8}" for n in row))
    return "\n".join(lines)


# Which found and true tracks match, from the hits they have in common and the hits of each; in whole numbers,
# so exactly half is half.
MATCHES = {
    "": lambda common, found, true: (2 * common > found) & (2 * common > true),
    "_loose": lambda common, found, true: (3 * common > 2 * found) & (20 * common > true),
    "_90": lambda common, found, true: (10 * common >= 9 * found) & (10 * common >= 9 * true),
}


def clustering(hit_offsets, track, second_track, found, n_tracks, kinked=None):
    """Everything published about a finder of tracks, ready for JSON.

    Args:
        hit_offsets: (event + 1,) first hit of each event, and the end.
        track, second_track: (hit,) int, the true owners of each hit, numbered within their event; below 0 is
            noise, or no second owner.
        found: (hit,) int, found track of each hit, any labels from 0 on that differ within an event; below 0
            where it was left out.
        n_tracks: (event,) true number of tracks. kinked: (event,) bool, whether a track of the event has a
            kink.
    Returns:
        dict: class of events -> figure -> {"value", "interval" of 68 %, "n"}. The classes: "1", "2", ..., the
        true numbers of tracks that occur; "all"; "noisy", with a noise hit; and, where `kinked` is given,
        "kinked" and "clean", with neither. The figures are
        those of `clustering_by_event`: value is the ratio of the sums over events, n the lower sum, the value
        is NaN if that is 0. Intervals are binomial (the hits of an event are not independent: theirs are too
        short), that of `adjusted_rand` is its mean plus and minus the standard error.
    """
    n_tracks = np.asarray(n_tracks)
    counts = clustering_by_event(hit_offsets, track, second_track, found, n_tracks)
    noisy = counts["noise_rejected"][1] > 0
    classes = {str(n): n_tracks == n for n in np.unique(n_tracks)} | {
        "all": np.ones(len(n_tracks), bool),
        "noisy": noisy,
    }
    if kinked is not None:
        kinked = np.asarray(kinked, bool)
        _same_shape(n_tracks, kinked)
        classes |= {"kinked": kinked, "clean": ~(kinked | noisy)}
    return {
        name: {figure: _ratio(figure, *(part[events] for part in counts[figure])) for figure in counts}
        for name, events in classes.items()
    }


def clustering_of(events, found):
    """`clustering` of an event table with labels: its arguments are taken from `hits`, `tracks` and `info`;
    found: (hit,) int.
    """
    hits, kinked = events.hits, np.bincount(events.track_event, events.tracks["kinked"], len(events)) > 0
    return clustering(
        events.hit_offsets, hits["track"], hits["second_track"], found, events.info["n_tracks"], kinked
    )


def clustering_by_event(hit_offsets, track, second_track, found, n_tracks):
    """What each event adds to the figures of merit of a finder of tracks.

    | figure | counted | of |
    | --- | --- | --- |
    | efficiency | true tracks that are in a pair | true tracks with a hit |
    | fake | found tracks that match no true one | found tracks |
    | duplicate | found tracks that match a true one, but are in no pair | found tracks |
    | hit_accuracy | hits on the found track of an owner, and noise hits left out | hits |
    | adjusted_rand | index of Hubert and Arabie (1985), with noise and the hits left out as clusters of their own | events with a hit |
    | noise_rejected | noise hits left out | noise hits |
    | signal_kept | hits of a track that are on a found track | hits of a track |
    | count_right | as many found tracks as there were true ones, with hits or without | events |
    | perfect | the count and every hit are right | events |

    A hit with two owners is a hit of both; for `adjusted_rand` it is one of `track`. Two tracks match when
    each has more than half of its hits in common with the other: the double majority of TrackML
    (arXiv:1904.06778) and ACTS. Of the tracks that match, as many pairs of a found and a true one are made as
    can be, each track in one pair at most. No two found tracks can have more than half of the same true one,
    since they share no hit: `duplicate` is 0. `efficiency_loose`, `fake_loose` and `duplicate_loose` count
    matches as Belle II does (arXiv:2003.12466): more than 2/3 of the found track and more than 5 % of the
    true one are in common; `efficiency_90` those with 90 % or more of both. For `hit_accuracy` and `perfect`
    the pairs are those that make most hits right.

    Args:
        as in `clustering`.
    Returns:
        dict: figure -> (counted, of), each (event,).
    """
    n_hits, n_tracks = np.diff(hit_offsets), np.asarray(n_tracks)
    track, second_track, found = (
        np.maximum(labels, -1).astype(np.int64) for labels in (track, second_track, found)
    )
    shapes, n_events = [labels.shape for labels in (track, second_track, found, n_tracks)], len(n_hits)
    if shapes != 3 * [(hit_offsets[-1],)] + [(n_events,)]:
        raise ValueError(
            f"track, second_track, found, n_tracks {shapes} for {n_events} events of {hit_offsets[-1]} hits"
        )
    if found.max(initial=0) > len(found):  # small labels, so that keys made of them stay below 2**63
        found = np.unique(np.append(found, -1), return_inverse=True)[1][:-1] - 1
    total = lambda event, n: np.bincount(event, n, n_events).astype(np.int64)  # noqa: E731

    # Cells of the contingency table of each event: from here on nothing is as long as the hits.
    hit_event, two = np.repeat(np.arange(n_events), n_hits), (second_track >= 0) & (second_track != track)
    first = _cells(hit_event, track, found)
    second = _cells(hit_event[two], second_track[two], found[two])
    event, is_noise, is_out, n = first[0], first[1] < 0, first[2] < 0, first[3]
    n_noise, n_signal = total(event, n * is_noise), total(event, n * ~is_noise)
    n_rejected, n_kept = total(event, n * (is_noise & is_out)), total(event, n * ~(is_noise | is_out))

    counts, n_found, n_on_track = _matched(first, second, n_events)
    n_right, count_right, one = n_on_track + n_rejected, n_found == n_tracks, np.ones(n_events, np.int64)
    return counts | {
        "hit_accuracy": (n_right, n_hits),
        "adjusted_rand": (_adjusted_rand(first, n_hits), n_hits > 0),
        "noise_rejected": (n_rejected, n_noise),
        "signal_kept": (n_kept, n_signal),
        "count_right": (count_right, one),
        "perfect": (count_right & (n_right == n_hits), one),
    }


def _cells(event, track, found):
    """Distinct combinations of the (hit,) labels, which begin at -1: event, track, found and the number of
    hits of each.
    """
    n_track, n_found = track.max(initial=-1) + 2, found.max(initial=-1) + 2
    key, n = np.unique((event * n_track + track + 1) * n_found + found + 1, return_counts=True)
    event_track, found = np.divmod(key, n_found)
    event, track = np.divmod(event_track, n_track)
    return event, track - 1, found - 1, n


def _number(event, label):
    """Number the distinct pairs of an event and a label, through all events: number of each entry, event of
    each number.
    """
    n_label = label.max(initial=-1) + 2
    key, number = np.unique(event * n_label + label + 1, return_inverse=True)
    return number, key // n_label


def _matched(first, second, n_events):
    """The figures of whole tracks, and what others need of them.

    Args:
        first, second: cells of the hits with their first owners, and with their second where there is one.
    Returns:
        figure -> (counted, of); (event,) found tracks; (event,) hits on the track of an owner when tracks are
        paired best.
    """
    event, track, found, n = (np.concatenate(both) for both in zip(first, second, strict=True))
    n_first = np.where(np.arange(len(n)) < len(first[0]), n, 0)
    true, true_event = _number(event, track)
    found_track, found_event = _number(event, found)
    true_size, found_size = np.bincount(true, n), np.bincount(found_track, n_first)
    distinct = lambda number, event: np.bincount(event[np.unique(number)], minlength=n_events)  # noqa: E731
    n_true, n_found = distinct(true[track >= 0], true_event), distinct(found_track[found >= 0], found_event)

    both = (track >= 0) & (found >= 0)
    pair, index = np.unique(true[both] * len(found_event) + found_track[both], return_inverse=True)
    true, found_track = np.divmod(pair, max(len(found_event), 1))
    common = np.bincount(index, n[both], len(pair)).astype(np.int64)
    counts = {}
    for name, is_match in MATCHES.items():
        match = is_match(common, found_size[found_track], true_size[true])
        n_pairs = _best_pairs(
            true_event[true[match]], true[match], found_track[match], np.ones(match.sum(), np.int64), n_events
        )
        n_match = distinct(found_track[match], found_event)
        counts[f"efficiency{name}"] = n_pairs, n_true
        if name != "_90":
            counts |= {
                f"fake{name}": (n_found - n_match, n_found),
                f"duplicate{name}": (n_match - n_pairs, n_found),
            }
    return counts, n_found, _best_pairs(true_event[true], true, found_track, common, n_events)


def _best_pairs(event, true, found, weight, n_events):
    """Highest sum of weights of pairs that share no track, exactly.

    Args:
        event, true, found, weight: (pair,) of the possible pairs, rising in event; numbers of tracks go
            through all events.
    Returns:
        (event,) int64.
    """
    best, is_free = np.zeros((2, n_events), np.int64), np.zeros((2, n_events), bool)
    for way, (one, other) in enumerate(((true, found), (found, true))):
        # where the best partners of all true (or all found) tracks differ, these are the pairs
        order = np.lexsort((-weight, one))
        top = order[np.r_[True, np.diff(one[order]) > 0][: len(order)]]
        best[way] = np.bincount(event[top], weight[top], n_events)
        taken = np.unique(other[top], return_index=True)[1]
        is_free[way] = np.bincount(event[top], minlength=n_events) == np.bincount(
            event[top][taken], minlength=n_events
        )
    total = np.where(is_free[0], best[0], best[1])
    contested = np.flatnonzero(~is_free.any(0))  # seldom: a split and a merged track in one event
    for which, start, stop in zip(
        contested, *np.searchsorted(event, [contested, contested + 1]), strict=True
    ):
        row, column = true[start:stop] - true[start], found[start:stop] - found[start:stop].min()
        weights = np.zeros((row.max() + 1, column.max() + 1), np.int64)
        weights[row, column] = weight[start:stop]
        total[which] = weights[linear_sum_assignment(weights, maximize=True)].sum()
    return total


def _adjusted_rand(cells, n_hits):
    """(event,) adjusted Rand index of labels from their `_cells`: Hubert and Arabie 1985, eq. 5, as pairs of
    hits; 0 without hits.
    """
    event, track, found, n = cells
    squares = lambda event, n: np.bincount(event, n.astype(float) ** 2, len(n_hits))  # noqa: E731
    marginals = []
    for label in (track, found):
        number, event_of = _number(event, label)
        marginals.append(squares(event_of, np.bincount(number, n)))
    together = squares(event, n)
    only_true, only_found = marginals[0] - together, marginals[1] - together
    both, neither = together - n_hits, n_hits.astype(float) ** 2 - marginals[0] - marginals[1] + together
    scale = (both + only_true) * (only_true + neither) + (both + only_found) * (only_found + neither)
    agree = (only_true == 0) & (only_found == 0)  # equal clusters, of one hit or all hits too
    index = 2 * (both * neither - only_true * only_found) / np.where(agree, 1, scale)
    return np.where(n_hits == 0, 0.0, np.where(agree, 1.0, index))


def _ratio(figure, counted, of):
    """{"value", "interval", "n"} of a figure from what events add to it, ready for JSON."""
    n = int(of.sum())
    value = counted.sum() / n if n else float("nan")
    if figure != "adjusted_rand":
        interval = binomial_interval(int(counted.sum()), n)
    elif n < 2:
        interval = -0.5, 1  # all that the index can be (Chacon and Rastrojo 2022, Adv. Data Anal. Classif.)
    else:
        error = counted[of > 0].std(ddof=1) / n**0.5
        interval = value - error, value + error
    return {"value": float(value), "interval": [float(limit) for limit in interval], "n": n}


def describe_clustering(scores):
    """A table for the terminal of what `clustering` found, or of some of its classes, in percent: a row a
    figure, a column a class.
    """
    names = sorted(scores, key=lambda name: not name.isdigit())
    lines = ["tracks or class".ljust(17) + "".join(f"{name:>15}" for name in names)]
    lines.append("events".ljust(17) + "".join(f"{scores[name]['count_right']['n']:>15}" for name in names))
    lines += [
        f"{figure:<17}" + "".join(_cell(scores[name][figure]) for name in names)
        for figure in scores[names[0]]
    ]
    return "\n".join(lines)


def _cell(score):
    """A figure and half its interval in percent, 15 characters; a dash where there was nothing to count."""
    low, high = score["interval"]
    return f"{100 * score['value']:>7.2f} +-{50 * (high - low):>5.2f}" if score["n"] else f"{'-':>15}"
