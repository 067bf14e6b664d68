"""Figures of merit of a classification and of a finder of tracks, pure NumPy and SciPy.

Class k stands for k + 1 tracks where tracks are counted. SciPy is imported where it is needed: that takes
longer than all the rest of a script's start.
"""

import numpy as np

OR_MORE = {"segments": 6}  # what is counted -> the label that stands for it or more


# Classification ---------------------------------------------------------------------------------------------


def binomial_interval(successes, trials, level=0.6827):
    """Clopper-Pearson interval of an efficiency or an accuracy.

    It covers the true value with at least the given probability.

    Args:
        successes, trials: numbers or arrays of counts that broadcast. level: 0.6827 is one sigma.
    Returns:
        (low, high), each of the inputs' shape, in 0..1; (0, 1) where there was no trial.
    """
    from scipy.stats import beta

    successes, trials = np.broadcast_arrays(successes, trials)
    impossible = ~((successes >= 0) & (successes <= trials))
    if impossible.any():
        bad = successes[impossible][0]
        raise ValueError(f"{bad} successes in {trials[impossible][0]} trials")
    missed = trials - successes
    tail = (1 - level) / 2
    low = beta.ppf(tail, successes, missed + 1)
    high = beta.ppf(1 - tail, successes + 1, missed)
    # At either end the beta distribution does not exist and the limit is exact.
    low = np.where(successes == 0, 0.0, low)
    high = np.where(missed == 0, 1.0, high)
    return low[()], high[()]  # numbers, not arrays, where numbers came in


def confusion_matrix(truth, predicted, n_classes):
    """Count the events of each true and predicted class.

    Args:
        truth, predicted: (event,) classes 0..n_classes - 1.
    Returns:
        (n_classes, n_classes) int64; rows are truth, columns are predicted.
    """
    truth = _classes(truth, "truth", n_classes)
    predicted = _classes(predicted, "predicted", n_classes)
    _same_shape(truth, predicted)
    cell = truth * n_classes + predicted
    n_events = np.bincount(cell, minlength=n_classes**2)
    return n_events.reshape(n_classes, n_classes)


def accuracy(truth, predicted):
    """Share of events whose class is right.

    Args:
        truth, predicted: (event,) classes from 0 on.
    Returns:
        {"n_events": int, "accuracy": float, NaN without events, "interval": [low, high] of 68 %}; ready for
        JSON.
    """
    truth = _classes(truth, "truth")
    predicted = _classes(predicted, "predicted")
    _same_shape(truth, predicted)
    n_events = len(truth)
    n_right = int((truth == predicted).sum())
    low, high = binomial_interval(n_right, n_events)
    return {
        "n_events": n_events,
        "accuracy": n_right / n_events if n_events else float("nan"),
        "interval": [float(low), float(high)],
    }


def share_right(right, n_tracks=None):
    """Share of events that are right, as `accuracy` gives it; and `by_tracks`, by true number of tracks.

    Args:
        right: (event,) bool. n_tracks: (event,) int, or None.
    """
    scores = accuracy(np.ones(len(right), int), right)
    if n_tracks is not None:
        numbers = np.unique(n_tracks)
        scores["by_tracks"] = {str(n): share_right(right[n_tracks == n]) for n in numbers}
    return scores


def expected_calibration_error(truth, probabilities, n_bins=15):
    """How far the highest probability is from the accuracy, on average over events.

    Guo et al. 2017, arXiv:1706.04599, eq. 3.

    Args:
        truth: (event,) classes. probabilities: (event, n_classes).
        n_bins: number of bins of the highest probability, all of one width; the upper edge is included.
    Returns:
        float in 0..1, 0 for perfectly calibrated probabilities; NaN without events.
    """
    probabilities = _probabilities(probabilities)
    truth = _classes(truth, "truth", probabilities.shape[1])
    predicted = probabilities.argmax(1)
    _same_shape(truth, predicted)
    return _calibration_error(truth == predicted, probabilities.max(1), n_bins)


def _calibration_error(is_right, confidence, n_bins=15):
    """The same from (event,) whether the most probable class is right, and its probability."""
    n_events = len(is_right)
    if n_events == 0:
        return float("nan")

    which_bin = np.ceil(confidence * n_bins).astype(int) - 1
    which_bin = np.clip(which_bin, 0, n_bins - 1)
    # A bin counts |accuracy - confidence| times its events: the modulus of this sum over its events.
    gap = np.bincount(which_bin, is_right - confidence)
    return float(np.abs(gap).sum() / n_events)


def _probabilities(values):
    """The values as float64, after checking that each is a probability."""
    values = np.asarray(values, float)
    highest = 1 + 1e-5  # a float32 softmax may exceed 1 by rounding
    possible = (values >= 0) & (values <= highest)
    if not possible.all():
        raise ValueError(f"probability {values[~possible][0]} outside 0..1")
    return values


def _classes(values, name, n_classes=np.inf):
    """The values as (event,) int64, after checking that each is a class."""
    values = np.asarray(values)
    in_range = (values >= 0) & (values < n_classes)
    is_class = in_range & (values == np.floor(values))
    if not is_class.all():
        bad = values[~is_class]
        raise ValueError(f"{name} {bad[0]} is not a class 0..{n_classes - 1}")
    return values.astype(np.int64)


def _same_shape(truth, predicted):
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise ValueError(
            f"truth {truth.shape} and predicted {predicted.shape} are not one class an event"
        )


# Counting tracks --------------------------------------------------------------------------------------------


def counting(truth, probabilities, labels):
    """Everything published about a model that counts tracks, ready for JSON.

    Args:
        truth: (event,) number of tracks. probabilities: (event, label).
        labels: the number of tracks each column stands for, rising.
    Returns:
        As `counting_of`.
    """
    probabilities = _probabilities(probabilities)
    labels = np.asarray(labels)
    return counting_of(truth, labels[probabilities.argmax(1)], probabilities.max(1), labels)


def counting_of(truth, predicted, confidence, labels):
    """The same from what was predicted, which takes less memory than all probabilities.

    Args:
        truth, predicted: (event,) numbers of tracks. confidence: (event,) probability of what was predicted.
        labels: the numbers of tracks that can be predicted, rising.
    Returns:
        dict: `n_events`, `accuracy`, `interval`; `by_tracks`, the same by true number of tracks; `labels`,
        those that occur, and 1 to 4 in any case; `confusion`, their matrix, rows truth and columns
        predicted; `expected_calibration_error`.
    """
    truth = np.asarray(truth)
    predicted = np.asarray(predicted)
    labels = np.asarray(labels)
    unknown = ~np.isin(truth, labels)
    if unknown.any():
        raise ValueError(f"truth {truth[unknown][0]} is none of the labels {labels.tolist()}")

    scores = accuracy(truth, predicted)
    occurs = np.isin(labels, truth) | np.isin(labels, predicted)
    usual = (labels >= 1) & (labels <= 4)
    shown = labels[occurs | usual]

    scores["by_tracks"] = {}
    for n_tracks in shown:
        of_n = truth == n_tracks
        if of_n.any():
            scores["by_tracks"][str(n_tracks)] = accuracy(truth[of_n], predicted[of_n])
    scores["labels"] = shown.tolist()

    row = np.searchsorted(shown, truth)
    column = np.searchsorted(shown, predicted)
    scores["confusion"] = confusion_matrix(row, column, len(shown)).tolist()
    scores["expected_calibration_error"] = _calibration_error(
        truth == predicted, np.asarray(confidence)
    )
    return scores


def name_of(label, what="tracks"):
    """A label as it is read: 6+ where it stands for six or more of what is counted."""
    return f"{label}+" if label == OR_MORE.get(what) else f"{label}"


def number_of(label, what="tracks"):
    """A label with what is counted: 1 track, 2 tracks, 6+ segments."""
    noun = what.removesuffix("s") if label == 1 else what
    return f"{name_of(label, what)} {noun}"


def failures(scores, least=0.005, what="tracks"):
    """Sentences on the frequent confusions, worst first.

    Args:
        scores: as `counting` gives them.
        least: a confusion is frequent if more than this share of the events of a true class suffer it.
        what: is counted.
    """
    confusion = np.array(scores["confusion"])
    n_events = confusion.sum(1)
    share = confusion / np.maximum(n_events, 1)[:, None]
    is_wrong = ~np.eye(len(share), dtype=bool)
    true, counted = np.nonzero((share > least) & is_wrong)
    worst_first = np.argsort(-share[true, counted], kind="stable")

    names = [name_of(label, what) for label in scores["labels"]]
    sentences = []
    for which in worst_first:
        i = true[which]
        j = counted[which]
        confused = f"{names[i]} counted as {names[j]}"
        sentences.append(f"{confused}: {share[i, j]:.1%} of {n_events[i]} test events")
    return sentences


def describe(scores, what="tracks"):
    """Lines for the terminal of what `counting` found: accuracy with its interval, confusion matrix."""
    found = f"{scores['n_events']} events, accuracy {scores['accuracy']:.4f}"
    low, high = scores["interval"]
    names = [name_of(label, what) for label in scores["labels"]]
    lines = [
        f"{found} (68 % interval {low:.4f} to {high:.4f})",
        "true \\ predicted " + _columns_of_8(names),
    ]
    for name, n_events in zip(names, scores["confusion"], strict=True):
        lines.append(f"{name:>16} " + _columns_of_8(n_events))
    return "\n".join(lines)


def describe_labels(scores):
    """Lines for the terminal of what `inference.judge` found."""
    lines = [f"right: {_said(scores)}"]
    for name, of_name in scores["targets"].items():
        lines.append(f"  {name}: {_said(of_name)}")
    for n_tracks, of_number in scores["by_tracks"].items():
        lines.append(f"  {n_tracks} tracks: {_said(of_number)}")
    return "\n".join(lines)


def _said(scores):
    low, high = scores["interval"]
    return f"{scores['accuracy']:.4f} of {scores['n_events']} events (68 % interval {low:.4f} to {high:.4f})"


def _columns_of_8(values):
    return "".join(f"{value:>8}" for value in values)


# Finding tracks ---------------------------------------------------------------------------------------------


def majority_owners(found, true, n_found):
    """The true track that made most hits of each found one.

    Args:
        found, true: (hit,) int, tracks of all events numbered through, below 0 is none. n_found: found tracks.
    Returns:
        (n_found,) int, -1 where no true track has a hit; of equal numbers the higher track.
    """
    both = (found >= 0) & (true >= 0)
    pairs, n_hits = np.unique(np.stack([found[both], true[both]]), axis=1, return_counts=True)
    fewest_first = np.argsort(n_hits, kind="stable")
    owners = np.full(n_found, -1)
    owners[pairs[0, fewest_first]] = pairs[1, fewest_first]  # the last one written has most
    return owners


# Does a found track match a true one? `common` are the hits they share, `found` and `true` the hits of each.
# All is in whole numbers, so that exactly half is half.


def _match(common, found, true):
    """More than half of either track is in common."""
    of_found = 2 * common > found
    of_true = 2 * common > true
    return of_found & of_true


def _match_loosely(common, found, true):
    """More than 2/3 of the found track and more than 5 % of the true one are in common."""
    of_found = 3 * common > 2 * found
    of_true = 20 * common > true
    return of_found & of_true


def _match_closely(common, found, true):
    """At least 90 % of either track is in common."""
    of_found = 10 * common >= 9 * found
    of_true = 10 * common >= 9 * true
    return of_found & of_true


MATCHES = {
    "": _match,
    "_loose": _match_loosely,
    "_90": _match_closely,
}  # suffix of the figures -> rule


def clustering(hit_offsets, track, second_track, found, n_tracks, kinked=None):
    """Everything published about a finder of tracks, ready for JSON.

    Args:
        hit_offsets: (event + 1,) first hit of each event, and the end.
        track, second_track: (hit,) int, the true owners of each hit, numbered within their event; below 0 is
            noise, or no second owner.
        found: (hit,) int, found track of each hit, below 0 where the hit was left out. The labels are any
            numbers from 0 on; two tracks of one event have different ones.
        n_tracks: (event,) true number of tracks.
        kinked: (event,) bool, whether a track of the event has a kink.
    Returns:
        dict: class of events -> figure -> {"value", "interval" of 68 %, "n"}.

        The classes are "1", "2", ..., the true numbers of tracks that occur; "all"; "noisy", with a noise
        hit; and, where `kinked` is given, "kinked" and "clean", with neither.

        The figures are those of `clustering_by_event`. The value is the ratio of the sums over events, n is
        the lower sum, and where that is 0 the value is NaN. Intervals are binomial; those of hits are too
        short, since the hits of an event are not independent. The interval of `adjusted_rand` is its mean
        plus and minus the standard error.
    """
    n_tracks = np.asarray(n_tracks)
    counts = clustering_by_event(hit_offsets, track, second_track, found, n_tracks)

    classes = {str(n): n_tracks == n for n in np.unique(n_tracks)}
    classes["all"] = np.ones(len(n_tracks), bool)
    _, n_noise = counts["noise_rejected"]
    noisy = n_noise > 0
    classes["noisy"] = noisy
    if kinked is not None:
        kinked = np.asarray(kinked, bool)
        _same_shape(n_tracks, kinked)
        classes["kinked"] = kinked
        classes["clean"] = ~(kinked | noisy)

    scores = {}
    for name, chosen in classes.items():
        scores[name] = {}
        for figure, (counted, of) in counts.items():
            scores[name][figure] = _ratio(figure, counted[chosen], of[chosen])
    return scores


def clustering_of(events, found):
    """`clustering` of an event table with labels: its arguments are taken from `hits`, `tracks` and `info`.

    Args:
        found: (hit,) int.
    """
    hits = events.hits
    kinked = events.tracks["kinked"]
    n_kinked = np.bincount(events.track_event, kinked, len(events))
    return clustering(
        events.hit_offsets,
        hits["track"],
        hits["second_track"],
        found,
        events.info["n_tracks"],
        kinked=n_kinked > 0,
    )


def clustering_by_event(hit_offsets, track, second_track, found, n_tracks):
    """What each event adds to the figures of merit of a finder of tracks.

    | figure | counted | of |
    | --- | --- | --- |
    | efficiency | true tracks that are in a pair | true tracks with a hit |
    | fake | found tracks that match no true one | found tracks |
    | duplicate | found tracks that match a true one, but are in no pair | found tracks |
    | hit_accuracy | hits on the found track of an owner, and noise hits left out | hits |
    | adjusted_rand | index of Hubert and Arabie (1985) | events with a hit |
    | noise_rejected | noise hits left out | noise hits |
    | signal_kept | hits of a track that are on a found track | hits of a track |
    | count_right | as many found tracks as there were true ones, with hits or without | events |
    | perfect | the count and every hit are right | events |

    A hit with two owners is a hit of both; for `adjusted_rand` it is one of `track`. There the noise is a
    cluster of its own, and so are the hits left out.

    Two tracks match when each has more than half of its hits in common with the other: the double majority
    of TrackML (arXiv:1904.06778) and ACTS. Matching tracks are paired, a found with a true one: as many
    pairs as can be, each track in one pair at most. Found tracks share no hit, so no two of them can have
    more than half of the same true one: `duplicate` is 0.

    `efficiency_loose`, `fake_loose` and `duplicate_loose` count matches as Belle II does (arXiv:2003.12466):
    more than 2/3 of the found track and more than 5 % of the true one are in common. `efficiency_90` counts
    those with 90 % or more of both. For `hit_accuracy` and `perfect` the pairs are those that make most hits
    right.

    Args:
        as in `clustering`.
    Returns:
        dict: figure -> (counted, of), each (event,).
    """
    n_hits = np.diff(hit_offsets)
    n_events = len(n_hits)
    track = _labels(track)
    second_track = _labels(second_track)
    found = _labels(found)
    n_tracks = np.asarray(n_tracks)
    _check_lengths(track, second_track, found, n_tracks, n_events, hit_offsets[-1])
    if found.max(initial=0) > len(
        found
    ):  # small labels, so that keys made of them stay below 2**63
        found = _small_labels(found)

    # Cells of the contingency table of each event: from here on nothing is as long as the hits.
    hit_event = np.repeat(np.arange(n_events), n_hits)
    first = _cells(hit_event, track, found)
    is_shared = (second_track >= 0) & (second_track != track)
    shared = np.flatnonzero(is_shared)
    second = _cells(hit_event[shared], second_track[shared], found[shared])

    event, track, found, n = first
    is_noise = track < 0
    is_out = found < 0
    n_noise = _sums(event, n * is_noise, n_events)
    n_signal = _sums(event, n * ~is_noise, n_events)
    is_rejected = is_noise & is_out
    is_kept = ~is_noise & ~is_out
    n_rejected = _sums(event, n * is_rejected, n_events)
    n_kept = _sums(event, n * is_kept, n_events)

    counts, n_found, n_on_track = _matched(first, second, n_events)
    n_right = n_on_track + n_rejected
    count_right = n_found == n_tracks
    perfect = count_right & (n_right == n_hits)
    one = np.ones(n_events, np.int64)
    counts["hit_accuracy"] = (n_right, n_hits)
    counts["adjusted_rand"] = (_adjusted_rand(first, n_hits), n_hits > 0)
    counts["noise_rejected"] = (n_rejected, n_noise)
    counts["signal_kept"] = (n_kept, n_signal)
    counts["count_right"] = (count_right, one)
    counts["perfect"] = (perfect, one)
    return counts


def _labels(values):
    """Labels as int64, all of those below 0 as -1."""
    return np.maximum(values, -1).astype(np.int64)


def _small_labels(labels):
    """The same labels as 0, 1, 2, ... in their order; -1 stays."""
    with_none = np.append(labels, -1)
    _, number = np.unique(with_none, return_inverse=True)
    return number[:-1] - 1  # the lowest, -1, has number 0


def _check_lengths(track, second_track, found, n_tracks, n_events, n_hits):
    arrays = (track, second_track, found, n_tracks)
    shapes = [values.shape for values in arrays]
    if shapes != [(n_hits,), (n_hits,), (n_hits,), (n_events,)]:
        names = "track, second_track, found, n_tracks"
        raise ValueError(f"{names} {shapes} for {n_events} events of {n_hits} hits")


def _sums(event, n, n_events):
    """(event,) int64, the sum of the numbers n of each event."""
    return np.bincount(event, n, n_events).astype(np.int64)


def _cells(event, track, found):
    """Distinct combinations of the (hit,) labels, which begin at -1.

    Returns:
        event, track, found, number of hits: (cell,) each, rising in event.
    """
    n_track = track.max(initial=-1) + 2
    n_found = found.max(initial=-1) + 2
    event_track = event * n_track + (track + 1)
    key = event_track * n_found + (found + 1)
    key, n = np.unique(key, return_counts=True)
    event_track, found = np.divmod(key, n_found)
    event, track = np.divmod(event_track, n_track)
    return event, track - 1, found - 1, n


def _number(event, label):
    """Number the distinct pairs of an event and a label, through all events.

    Returns:
        number: of each entry. event_of: the event of each number.
    """
    n_label = label.max(initial=-1) + 2
    key = event * n_label + (label + 1)
    key, number = np.unique(key, return_inverse=True)
    event_of = key // n_label
    return number, event_of


def _n_distinct(number, event_of, n_events):
    """(event,) how many distinct numbers of `_number` there are in each event."""
    event = event_of[np.unique(number)]
    return np.bincount(event, minlength=n_events)


def _matched(first, second, n_events):
    """The figures of whole tracks, and what others need of them.

    Args:
        first, second: cells of the hits with their first owners, and with their second where there is one.
    Returns:
        figure -> (counted, of); (event,) found tracks; (event,) hits on the track of an owner when tracks are
        paired best.
    """
    cells = [np.concatenate(both) for both in zip(first, second, strict=True)]
    event, track, found, n = cells
    n_first = n.copy()
    n_first[len(first[0]) :] = 0  # a hit of two true tracks is one hit of its found track

    # From here on tracks are numbered through all events.
    true, true_event = _number(event, track)
    found_track, found_event = _number(event, found)
    true_size = np.bincount(true, n)
    found_size = np.bincount(found_track, n_first)
    n_true = _n_distinct(true[track >= 0], true_event, n_events)
    n_found = _n_distinct(found_track[found >= 0], found_event, n_events)

    both = (track >= 0) & (found >= 0)
    true, found_track, common = _pairs(true[both], found_track[both], n[both])
    event = true_event[true]
    n_true_hits = true_size[true]
    n_found_hits = found_size[found_track]

    counts = {}
    for name, is_match in MATCHES.items():
        match = is_match(common, n_found_hits, n_true_hits)
        one = np.ones(match.sum(), np.int64)
        n_pairs = _best_pairs(event[match], true[match], found_track[match], one, n_events)
        n_match = _n_distinct(found_track[match], found_event, n_events)
        counts[f"efficiency{name}"] = (n_pairs, n_true)
        if name != "_90":
            counts[f"fake{name}"] = (n_found - n_match, n_found)
            counts[f"duplicate{name}"] = (n_match - n_pairs, n_found)
    n_on_track = _best_pairs(event, true, found_track, common, n_events)
    return counts, n_found, n_on_track


def _pairs(true, found, n):
    """Distinct pairs of a true and a found track, of the (cell,) ones with n hits each.

    Returns:
        true, found, hits in common: (pair,) each, rising in true.
    """
    n_found = found.max(initial=0) + 1
    key = true * n_found + found
    pair, index = np.unique(key, return_inverse=True)
    true, found = np.divmod(pair, n_found)
    common = _sums(index, n, len(pair))
    return true, found, common


def _best_pairs(event, true, found, weight, n_events):
    """Highest sum of weights of pairs that share no track, exactly.

    Args:
        event, true, found, weight: (pair,) of the possible pairs, rising in event; numbers of tracks go
            through all events.
    Returns:
        (event,) int64.
    """
    best_of_true, true_agree = _best_partners(event, true, found, weight, n_events)
    best_of_found, found_agree = _best_partners(event, found, true, weight, n_events)
    total = np.where(true_agree, best_of_true, best_of_found)

    contested = np.flatnonzero(
        ~true_agree & ~found_agree
    )  # seldom: a split and a merged track in one event
    starts = np.searchsorted(event, contested)
    stops = np.searchsorted(event, contested + 1)
    for which, start, stop in zip(contested, starts, stops, strict=True):
        pairs = slice(start, stop)
        total[which] = _best_assignment(true[pairs], found[pairs], weight[pairs])
    return total


def _best_partners(event, one, other, weight, n_events):
    """Give each track of one kind its best partner of the other.

    Returns:
        total: (event,) int64, the sum of their weights. agree: (event,) bool, no two of them want the same
        partner, so these are the best pairs.
    """
    order = np.lexsort((-weight, one))  # the pairs of a track one after another, its best first
    is_best = np.diff(one[order], prepend=-1) > 0
    best = order[is_best]
    event = event[best]
    total = _sums(event, weight[best], n_events)
    _, distinct = np.unique(other[best], return_index=True)
    n_wanting = np.bincount(event, minlength=n_events)
    n_wanted = np.bincount(event[distinct], minlength=n_events)
    return total, n_wanting == n_wanted


def _best_assignment(true, found, weight):
    """Highest sum of weights of pairs that share no track, of the (pair,) possible ones of one event."""
    from scipy.optimize import linear_sum_assignment

    row = true - true.min()
    column = found - found.min()
    n_rows = row.max() + 1
    n_columns = column.max() + 1
    weights = np.zeros((n_rows, n_columns), np.int64)
    weights[row, column] = weight
    chosen = linear_sum_assignment(weights, maximize=True)
    return weights[chosen].sum()


def _adjusted_rand(cells, n_hits):
    """Adjusted Rand index of labels: Hubert and Arabie 1985, eq. 5, by pairs of hits.

    Args:
        cells: as `_cells` gives them. n_hits: (event,).
    Returns:
        (event,) float; 0 without hits.
    """
    event, track, found, n = cells
    n_events = len(n_hits)
    in_true = _pairs_in_clusters(event, track, n, n_events)
    in_found = _pairs_in_clusters(event, found, n, n_events)
    in_both = _squares(event, n, n_events)

    # Ordered pairs of two hits that are together in the true, the found, both or neither clusters.
    only_true = in_true - in_both
    only_found = in_found - in_both
    both = in_both - n_hits
    neither = n_hits.astype(float) ** 2 - in_true - in_found + in_both

    scale = (both + only_true) * (only_true + neither)
    scale += (both + only_found) * (only_found + neither)
    same = (only_true == 0) & (
        only_found == 0
    )  # equal clusters, also where all are of one hit, or it is one
    difference = both * neither - only_true * only_found
    index = 2 * difference / np.where(same, 1, scale)
    index = np.where(same, 1.0, index)
    return np.where(n_hits == 0, 0.0, index)


def _pairs_in_clusters(event, label, n, n_events):
    """(event,) ordered pairs of hits that have the same label; a hit makes a pair with itself too."""
    number, event_of = _number(event, label)
    size = np.bincount(number, n)
    return _squares(event_of, size, n_events)


def _squares(event, n, n_events):
    """(event,) float, the sum of the squares of the numbers n of each event."""
    square = n.astype(float) ** 2
    return np.bincount(event, square, n_events)


def _ratio(figure, counted, of):
    """{"value", "interval", "n"} of a figure from what events add to it, ready for JSON."""
    n = int(of.sum())
    value = counted.sum() / n if n else float("nan")
    if figure != "adjusted_rand":
        n_counted = int(counted.sum())
        low, high = binomial_interval(n_counted, n)
    elif n < 2:
        low, high = (
            -0.5,
            1,
        )  # all that the index can be (Chacon and Rastrojo 2022, Adv. Data Anal. Classif.)
    else:
        of_events = counted[of > 0]
        error = of_events.std(ddof=1) / n**0.5
        low = value - error
        high = value + error
    return {"value": float(value), "interval": [float(low), float(high)], "n": n}


# Sets of labels ---------------------------------------------------------------------------------------------

# An event has as many labels as tracks, here the calorimeter columns they end in. `truth` and `decided` are
# (event, label) int, how many tracks of an event have a label: a multiset. Where only the set counts, a label
# is there or not; two tracks with one label make the set smaller than the number of tracks.


def best_threshold(truth, scores):
    """The threshold for which most events get exactly the set of their labels.

    Args:
        truth: (event, label) counts. scores: (event, label), 0 to 1.
    Returns:
        float: labels whose score is not below it are taken. The middle of the best range, of the first such
        range where there are several.
    Raises:
        ValueError: there is no event.
    """
    truth, scores = _label_arrays(truth, scores)
    if not len(truth):
        raise ValueError("no events to choose a threshold on")
    is_true = truth > 0
    highest_false = np.where(is_true, -1, scores).max(1)
    lowest_true = np.where(is_true, scores, 2).min(1)
    # An event is exact for thresholds above its highest false score, up to its lowest true one.
    possible = highest_false < lowest_true
    if not possible.any():
        return 0.5
    edges = np.concatenate([highest_false[possible], lowest_true[possible]])
    change = np.repeat([1, -1], possible.sum())
    edges, place = np.unique(edges, return_inverse=True)
    n_exact = np.bincount(place, change).cumsum()
    best = n_exact.argmax()
    low = edges[best]
    high = edges[best + 1]
    return float(max((low + high) / 2, np.nextafter(low, high)))


def top_labels(scores, k):
    """The labels with the highest scores, each once.

    Args:
        scores: (event, label); of equal scores the first label is taken. k: (event,) int, how many to take.
    Returns:
        (event, label) int64, 0 or 1.
    """
    best_first = np.argsort(-np.asarray(scores), axis=1, kind="stable")
    rank = np.argsort(best_first, axis=1)
    return (rank < np.asarray(k)[:, None]).astype(np.int64)


def nearest_multiset(scores, k):
    """Give k tracks to labels, several to one where its score is high: the shares nearest to the scores.

    The method of largest remainders: a label gets the whole part of k times its share of the scores, and the
    tracks that are left go to the largest remainders. No other multiset of k has a smaller sum of squared
    differences to the shares.

    Args:
        scores: (event, label), not negative; shares, or probabilities, which are divided by their sum.
        k: (event,) int.
    Returns:
        (event, label) int64, k in each event.
    """
    k = np.asarray(k)[:, None]
    expected = k * shares_of(scores)
    whole = np.floor(expected).astype(np.int64)
    n_left = k[:, 0] - whole.sum(1)
    return whole + top_labels(expected - whole, n_left)


def shares_of(scores):
    """(event, label) scores, not negative, over their sum in an event; equal shares where every score is 0."""
    scores = np.asarray(scores, float) + np.finfo(float).tiny
    return scores / scores.sum(1, keepdims=True)


def label_sets(truth, decided):
    """How many events get exactly their labels, ready for JSON.

    Args:
        truth, decided: (event, label) counts.
    Returns:
        dict: "1", "2", ..., the true numbers of tracks that occur, and "all" -> {"exact_sets" and
        "exact_multisets", each with "value", "interval" of 68 % and "n"; "missed_labels", list of the events
        of which 0, 1, ... different labels are missing}.
    """
    truth, decided = _label_arrays(truth, decided)
    same_set = ((truth > 0) == (decided > 0)).all(1)
    same_multiset = (truth == decided).all(1)
    n_missed = ((truth > 0) & (decided == 0)).sum(1)
    scores = {}
    for name, chosen in _by_tracks(truth).items():
        n_most = int(truth[chosen].sum(1).max(initial=0))
        one = np.ones(chosen.sum())
        scores[name] = {
            "exact_sets": _ratio("", same_set[chosen], one),
            "exact_multisets": _ratio("", same_multiset[chosen], one),
            "missed_labels": np.bincount(n_missed[chosen], minlength=n_most + 1).tolist(),
        }
    return scores


def _by_tracks(truth):
    """Name -> (event,) bool: the events of each true number of tracks that occurs, and all."""
    n_tracks = truth.sum(1).astype(np.int64)
    classes = {str(n): n_tracks == n for n in np.unique(n_tracks)}
    return classes | {"all": np.ones(len(truth), bool)}


def single_labels(truth, decided):
    """Precision and recall of each label: of the events that get it, or have it, those that do both.

    Args:
        truth, decided: (event, label) counts, of which only the set is looked at.
    Returns:
        {"precision", "recall"}: each a list, one {"value", "interval", "n"} a label.
    """
    truth, decided = _label_arrays(truth, decided)
    is_true = truth > 0
    is_decided = decided > 0
    both = is_true & is_decided
    labels = range(truth.shape[1])
    return {
        "precision": [_ratio("", both[:, label], is_decided[:, label]) for label in labels],
        "recall": [_ratio("", both[:, label], is_true[:, label]) for label in labels],
    }


def single_confusions(truth, decided):
    """Which label was taken for which, where exactly one is missing and exactly one too many.

    Args:
        truth, decided: (event, label) counts; as sets where both are 0 or 1.
    Returns:
        (label, label) int64, events; rows are true and not decided, columns are decided and not true.
    """
    truth, decided = _label_arrays(truth, decided)
    missing = np.maximum(truth - decided, 0)
    surplus = np.maximum(decided - truth, 0)
    single = (missing.sum(1) == 1) & (surplus.sum(1) == 1)
    return confusion_matrix(missing[single].argmax(1), surplus[single].argmax(1), truth.shape[1])


def one_label(truth, scores):
    """What metrics that are made for one label, or for labels one by one, say of several, by number of tracks.

    The arg max of marks of 0 and 1 is their first 1, so a perfect model agrees with it in about one of as many
    events as there are labels. Shares, counts over the number of tracks, are never the 0 or 1 that a threshold
    gives unless all tracks have one label, so there a perfect model gets only the absent labels right.

    Args:
        truth: (event, label) counts. scores: (event, label), 0 to 1.
    Returns:
        As `label_sets`, with these figures, each with "value", "interval" of 68 % and "n":
        "arg_max_of_marks" and "arg_max_of_counts", the highest score is where the first highest mark or count
        is: Keras' categorical accuracy; "arg_max_is_true", it is any true label; "half_of_marks" and
        "half_of_shares", labels whose mark or share is equal to score > 0.5: Keras' binary accuracy, whose
        interval is too short, as the labels of an event are not independent. Besides two numbers,
        "perfect_arg_max_of_marks" and "perfect_half_of_shares": the expectation for a model that gives all
        true labels of an event equal scores, up to a random rest, and one whose scores are the shares.
    """
    truth, scores = _label_arrays(truth, scores)
    is_true = truth > 0
    n_labels = is_true.sum(1)
    shares = truth / np.maximum(truth.sum(1, keepdims=True), 1)
    highest = scores.argmax(1)
    above = scores > 0.5
    one = np.ones(len(truth))
    all_labels = one * truth.shape[1]
    figures = {
        "arg_max_of_marks": (highest == is_true.argmax(1), one),
        "arg_max_of_counts": (highest == truth.argmax(1), one),
        "arg_max_is_true": (np.take_along_axis(is_true, highest[:, None], 1)[:, 0], one),
        "half_of_marks": ((above == is_true).sum(1), all_labels),
        "half_of_shares": ((above == shares).sum(1), all_labels),
    }
    perfect = {
        "perfect_arg_max_of_marks": 1 / np.maximum(n_labels, 1),
        "perfect_half_of_shares": ((shares > 0.5) == shares).mean(1),
    }
    found = {}
    for name, chosen in _by_tracks(truth).items():
        found[name] = {
            figure: _ratio("", right[chosen], of[chosen]) for figure, (right, of) in figures.items()
        }
        for figure, expected in perfect.items():
            found[name][figure] = float(expected[chosen].mean()) if chosen.any() else float("nan")
    return found


def reliability(target, scores, n_bins=15):
    """What happened where a score was given: the points of a reliability diagram.

    Args:
        target: (n,) what the score should say on average, 0 to 1. scores: (n,) 0 to 1.
        n_bins: of the score, all of one width; the upper edge is included.
    Returns:
        dict: "n", "score", "target" and "error", each (bin,): entries, mean score, mean target and its
        standard error, NaN where there are too few; "expected_calibration_error", float.
    """
    scores = _probabilities(scores)
    target = np.asarray(target, float)
    which_bin = np.clip(np.ceil(scores * n_bins).astype(int) - 1, 0, n_bins - 1)
    n = np.bincount(which_bin, minlength=n_bins)

    def mean(values, n):
        total = np.bincount(which_bin, values, n_bins)
        return np.divide(total, n, out=np.full(n_bins, np.nan), where=n > 0)

    mean_target = mean(target, n)
    variance = mean((target - mean_target[which_bin]) ** 2, n - 1)
    return {
        "n": n,
        "score": mean(scores, n),
        "target": mean_target,
        "error": np.sqrt(variance / np.maximum(n, 1)),
        "expected_calibration_error": _calibration_error(target, scores, n_bins),
    }


def _label_arrays(truth, other):
    """Both as float64 or int64 arrays, after checking that they are of the same events and labels."""
    truth = np.asarray(truth)
    other = np.asarray(other)
    if truth.ndim != 2 or truth.shape != other.shape:
        raise ValueError(
            f"truth {truth.shape} and scores or labels {other.shape} are not (event, label) alike"
        )
    if (truth < 0).any():
        raise ValueError(f"truth {truth[truth < 0][0]} is no number of tracks")
    is_whole = np.issubdtype(other.dtype, np.integer) or other.dtype == bool
    return truth.astype(np.int64), other.astype(np.int64) if is_whole else _probabilities(other)


# Removal of a track -----------------------------------------------------------------------------------------

# A network sees an event and says which hits stay when one track is removed; or it grows a track, and the hits
# of the others go. `keep` and `kept` are (hit,) bool: which are to stay, and which do. The cells of an image
# may stand for hits where a network copies it: those that are to be lit stay.


def removal_by_event(hit_offsets, keep, kept):
    """What a removal did to each event.

    Args:
        hit_offsets: (event + 1,) first hit of each event, and the end. keep, kept: (hit,) bool.
    Returns:
        dict: `less_than_expected`, the share lost of the hits that are to stay, and `more_than_expected`, the
        share left of those that are to go, (event,) float, NaN where there are none; `balanced`, 1 minus the
        mean of the two, NaN where either is.
    """
    event, n_events = _event_of_hits(hit_offsets)
    keep, kept = np.asarray(keep, bool), np.asarray(kept, bool)
    n_keep = _sums(event, keep, n_events)
    n_lost = _sums(event, keep & ~kept, n_events)
    n_go = _sums(event, ~keep, n_events)
    n_left = _sums(event, ~keep & kept, n_events)
    less = _share(n_lost, n_keep)
    more = _share(n_left, n_go)
    return {
        "less_than_expected": less,
        "more_than_expected": more,
        "balanced": 1 - (less + more) / 2,
    }


def removal(hit_offsets, keep, kept, n_tracks):
    """Everything published about the removal of a track, ready for JSON.

    Args:
        as `removal_by_event`. n_tracks: (event,) true number of tracks.
    Returns:
        dict: class of events -> figure -> {"value", "interval" of 68 %, "n"}.

        The classes are "1", "2", ..., the true numbers of tracks that occur; "all"; "nothing_to_keep" and
        "nothing_to_remove", for which one figure or the other does not exist. The figures are those of
        `removal_by_event`, means over the events that have them, with standard errors; `hit_accuracy`, the
        share of all hits that are right, in which long tracks and the larger kind of hits count most; and
        `perfect`, the share of events in which all are.
    """
    n_tracks = np.asarray(n_tracks)
    event, n_events = _event_of_hits(hit_offsets)
    n_right = _sums(event, np.asarray(keep, bool) == np.asarray(kept, bool), n_events)
    n_hits = np.diff(hit_offsets)
    of_events = removal_by_event(hit_offsets, keep, kept)
    classes = {str(n): n_tracks == n for n in np.unique(n_tracks)}
    classes["all"] = np.ones(n_events, bool)
    classes["nothing_to_keep"] = np.isnan(of_events["less_than_expected"])
    classes["nothing_to_remove"] = np.isnan(of_events["more_than_expected"])

    scores = {}
    for name, chosen in classes.items():
        scores[name] = {figure: _mean(values[chosen]) for figure, values in of_events.items()}
        scores[name]["hit_accuracy"] = _ratio("hit_accuracy", n_right[chosen], n_hits[chosen])
        perfect = n_right[chosen] == n_hits[chosen]
        scores[name]["perfect"] = _ratio("perfect", perfect, np.ones(len(perfect), np.int64))
    return scores


def removal_with_trivial(hit_offsets, keep, kept, n_tracks):
    """`removal` of a network, and of the two answers that need none: "network", "keep all", "remove all"."""
    answers = {
        "network": kept,
        "keep all": np.ones_like(keep, bool),
        "remove all": np.zeros_like(keep, bool),
    }
    return {name: removal(hit_offsets, keep, answer, n_tracks) for name, answer in answers.items()}


def best_hit_threshold(hit_offsets, keep, scores, balanced=True):
    """The threshold for which `balanced` of `removal_by_event` is best on average: a choice for validation
    events.

    Args:
        hit_offsets, keep: as `removal_by_event`. scores: (hit,), high where a hit is to stay. balanced: False
            chooses the most right hits of all events instead, as the published threshold finder did; for
            copies, in which most cells are dark.
    Returns:
        float: hits whose score is not below it stay. The middle of the best range, of the first one where
        there are several; 0.5 where no event has hits of both kinds.
    """
    event, n_events = _event_of_hits(hit_offsets)
    keep = np.asarray(keep, bool)
    n_keep = _sums(event, keep, n_events)
    n_go = _sums(event, ~keep, n_events)
    counts = ((n_keep > 0) & (n_go > 0))[event]
    if not counts.any():
        return 0.5
    keep = keep[counts]
    event = event[counts]
    weight = 1 / np.where(keep, n_keep[event], n_go[event]) if balanced else np.ones(len(keep))
    gain = np.where(keep, weight, -weight)  # if it stays
    values, place = np.unique(np.asarray(scores, float)[counts], return_inverse=True)
    gain_of_value = np.bincount(place, gain)
    gain_from = np.append(
        np.cumsum(gain_of_value[::-1])[::-1], 0
    )  # if all from a value on stay, or none
    edges = np.concatenate([[-np.inf], values, [np.inf]])
    best = int(gain_from.argmax())
    low, high = edges[best], edges[best + 1]
    if not np.isfinite(low):
        return float(high)
    if not np.isfinite(high):
        return float(np.nextafter(low, np.inf))
    return float(max((low + high) / 2, np.nextafter(low, high)))


def randomly_added(image, lit):
    """Share of the cells lit in an answer that are dark in the event: hits that nobody measured, for networks
    that are free to light any cell.

    Args:
        image: what the events are, lit: what a network made of them; both (event, ...), above 0 where lit.
    Returns:
        {"value", "interval" of 68 %, "n"}.
    """
    image, lit = np.asarray(image) > 0, np.asarray(lit) > 0
    return _ratio("randomly_added", np.count_nonzero(lit & ~image), np.array(np.count_nonzero(lit)))


def describe_removal(scores):
    """Markdown for the terminal of what `removal_with_trivial` found, in percent: a row an answer, values for
    each class of events that has any.
    """
    names = [name for name, of_class in scores["network"].items() if of_class["perfect"]["n"]]
    figures = list(scores["network"]["all"])
    lines = [f"| {' | '.join(['/'.join(names), *figures])} |", f"|{' --- |' * (len(figures) + 1)}"]
    for answer, of_answer in scores.items():
        cells = [
            "/".join(_percent(of_answer[name][figure]) for name in names) for figure in figures
        ]
        lines.append(f"| {' | '.join([answer, *cells])} |")
    return "\n".join(lines)


def describe_cells(scores):
    """Lines for the terminal of what `inference.test_images` found of a test."""
    lines = []
    if "cells" in scores:
        lines.append(describe_removal(scores["cells"]))
        lines.append(f"cells stay from probability {scores['threshold']:.3f} on")
    if "randomly_added" in scores:
        lines.append(
            f"dark in the event: {scores['randomly_added']['value']:.3%} of the cells it lights"
        )
    for name, of_class in scores.get("clustering", {}).items():
        if name.isdigit():
            perfect, hits = of_class["perfect"], of_class["hit_accuracy"]
            found = f"{perfect['value']:.2%} of {perfect['n']} events perfect, {hits['value']:.2%} of hits right"
            lines.append(f"{number_of(int(name))}: {found}")
    return "\n".join(lines)


def _percent(score):
    return f"{100 * score['value']:.1f}" if score["n"] else "–"


def _event_of_hits(hit_offsets):
    """(hit,) event of each hit, and how many events there are."""
    n_hits = np.diff(hit_offsets)
    return np.repeat(np.arange(len(n_hits)), n_hits), len(n_hits)


def _share(n, of):
    """(event,) n / of, NaN where there is nothing to share."""
    return np.where(of > 0, n / np.maximum(of, 1), np.nan)


def _mean(values):
    """{"value", "interval", "n"} of the mean of the (event,) values that are not NaN, with its standard error."""
    values = values[~np.isnan(values)]
    n = len(values)
    mean = values.mean() if n else np.nan
    error = values.std(ddof=1) / n**0.5 if n > 1 else np.nan
    return {"value": float(mean), "interval": [float(mean - error), float(mean + error)], "n": n}
