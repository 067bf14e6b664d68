"""Losses and metrics of our own: of the track finder, of transformers that learn whose pieces of an image are,
of networks that name classes of tracks, and of those that say something of every cell of an image.

In all of them the first argument are the labels, as the datasets give them, the other is what the network
says.
"""

import itertools

import numpy as np
from keras import ops


def owners_of_pieces(owners, logits):
    """Cross-entropy of which tracks, and noise, are in a lit piece, summed over them.

    Args:
        owners: (event, row, piece, owner), 1 where an owner has a hit, as `datasets.views.owners` gives it.
        logits: the same shape.
    Returns:
        (event,) mean over the lit pieces of an event.
    """
    owners = ops.cast(owners, "float32")
    lit = ops.max(owners, -1)
    entropy = ops.sum(ops.binary_crossentropy(owners, logits, from_logits=True), -1)
    n_lit = ops.sum(lit, (1, 2))
    return ops.sum(entropy * lit, (1, 2)) / ops.maximum(n_lit, 1)


def matched(owners, probability):
    """Cross-entropy of the hits' tracks under the best matching of true tracks to columns, over all
    permutations.

    Args:
        owners: (event, hit, 2) int, the true tracks of each hit; -1 noise, or no second owner; -2 no hit. A
            hit of two owners is right on either.
        probability: (event, hit, n_tracks + 1), of each column and last of none.
    Returns:
        (event,) mean over the hits of an event.
    """
    return _cross_entropy(owners, probability, _after_matching(owners, probability))


def ordered(owners, probability):
    """The same without a matching: the first column is to be the track that comes first along the foil, and
    so on.
    """
    return _cross_entropy(owners, probability, _in_order(owners, probability))


def hit_accuracy(owners, probability):
    """Share of hits on the right track, or rightly on none, after the matching; (event,), arguments as
    `matched`.
    """
    right = _after_matching(owners, probability)
    chosen = ops.one_hot(ops.argmax(probability, -1), probability.shape[-1], dtype="float32")
    return _mean_over_hits(ops.sum(right * chosen, -1), owners)


def perfect(owners, probability):
    """1 for an event whose hits are all on the right track, or rightly on none; (event,), arguments as
    `matched`.
    """
    return ops.cast(hit_accuracy(owners, probability) > 1 - 1e-6, "float32")


def several(labels, probability):
    """Binary cross-entropy of independent classes, summed over them; both (event, class), returns (event,)."""
    entropy = ops.binary_crossentropy(labels, ops.clip(probability, 1e-7, 1 - 1e-7))
    return ops.sum(entropy, -1)


def of_each(classes, probability):
    """Cross-entropy of the class of each track, mean over the tracks of an event.

    Args:
        classes: (event, track) int, -1 where there is no track. probability: (event, track, class).
    Returns:
        (event,).
    """
    is_track = ops.cast(classes >= 0, "float32")
    right = ops.one_hot(classes, probability.shape[-1], dtype="float32")
    entropy = -ops.log(ops.sum(right * probability, -1) + 1e-7)
    return ops.sum(entropy * is_track, -1) / ops.maximum(ops.sum(is_track, -1), 1)


def right_each(classes, probability):
    """Share of an event's tracks whose most probable class is right, (event,); arguments as `of_each`."""
    classes = ops.cast(classes, "int32")
    is_track = ops.cast(classes >= 0, "float32")
    right = ops.cast(ops.cast(ops.argmax(probability, -1), "int32") == classes, "float32")
    return ops.sum(right * is_track, -1) / ops.maximum(ops.sum(is_track, -1), 1)


def objective(targets, answers):
    """What a network that names classes of tracks is to learn, as arguments of `compile`: its targets, and
    beside them the number of tracks.

    Args:
        targets: names of its outputs. answers: what it says, as of `associated_calorimeter.transformer`.
    """
    number = "sparse_categorical_crossentropy"
    entropies = {
        "one": number,
        "shares": "categorical_crossentropy",
        "several": several,
        "each": of_each,
    }
    loss = dict.fromkeys(targets, entropies[answers])
    metrics = {"one": "accuracy", "each": right_each}
    watched = dict.fromkeys(targets, [metrics[answers]]) if answers in metrics else {}
    if answers != "one":
        loss["n_tracks"] = number
        watched["n_tracks"] = ["accuracy"]
    return {"loss": loss, "metrics": watched}


OF_TRACKS = {"ordered": ordered, "matched": matched}


def _cross_entropy(owners, probability, right):
    """(event,) of the probability of all that is right for a hit; right: as `_in_order` gives it."""
    of_right = ops.sum(right * probability, -1)
    return -_mean_over_hits(ops.log(of_right + 1e-6), owners)


def _mean_over_hits(values, owners):
    """(event,) mean of (event, hit) values over the hits that there are."""
    hit = ops.cast(ops.cast(owners[..., 0], "int32") > -2, "float32")
    return ops.sum(values * hit, -1) / ops.maximum(ops.sum(hit, -1), 1)


def _owned(owners, n_tracks):
    """(event, hit, track) of the first owner, the same of either owner, and (event, hit, 1) where there is
    none.
    """
    owners = ops.cast(owners, "int32")
    first = ops.one_hot(owners[..., 0], n_tracks, dtype="float32")  # a negative owner gives zeros
    second = ops.one_hot(owners[..., 1], n_tracks, dtype="float32")
    none = ops.cast(owners[..., :1] == -1, "float32")
    return first, ops.maximum(first, second), none


def _in_order(owners, probability):
    """Which columns are right for each hit if they are the tracks in their order: (event, hit, n_tracks + 1)."""
    _, either, none = _owned(owners, probability.shape[-1] - 1)
    return ops.concatenate([either, none], -1)


def _after_matching(owners, probability):
    """The same after the matching of tracks to columns that costs the first owners least."""
    n_tracks = probability.shape[-1] - 1
    first, either, none = _owned(owners, n_tracks)
    log_probability = ops.log(probability[..., :n_tracks] + 1e-6)
    return _in_best_columns(first, either, none, log_probability)


def _in_best_columns(first, either, none, log_probability):
    """The owners of hits, or of cells, in those columns in which they cost least.

    Args:
        first: (event, hit, n_tracks) what is matched. either, none: of `_owned`. log_probability: (event, hit,
            n_tracks).
    Returns:
        (event, hit, n_tracks + 1), no gradient goes through it.
    """
    n_tracks = first.shape[-1]
    gain = ops.matmul(ops.swapaxes(first, -1, -2), log_probability)  # (event, true track, column)
    order = np.array(list(itertools.permutations(range(n_tracks))))
    permutations = np.eye(n_tracks, dtype="float32")[order]  # (permutation, true track, column)
    gains = ops.matmul(
        ops.reshape(gain, (-1, n_tracks**2)), permutations.reshape(-1, n_tracks**2).T
    )
    best = ops.take(permutations, ops.argmax(gains, -1), axis=0)
    return ops.stop_gradient(ops.concatenate([ops.matmul(either, best), none], -1))


# Cells of images --------------------------------------------------------------------------------------------

# What a network says of cells are logits. The published trainings gave a linear output to a cross-entropy of
# probabilities instead: Keras clips those to (0, 1), so outside of it the gradient is exactly zero, and a lit
# cell whose output is once below 0 is dark for ever.


def on_lit_cells(answer, logits):
    """Binary cross-entropy of the lit cells, each event's mean.

    Args:
        answer: (event, row, column, 1), 1 or 0 where a cell is lit, below 0 where none is, as
            `datasets.clustering_images` gives it. logits: the same shape.
    Returns:
        (event,), 0 of an event without a lit cell.
    """
    answer, lit = _answer_and_lit(answer)
    return _mean_where(lit, _binary_entropy(answer, logits))


def right_on_lit_cells(answer, logits):
    """Share of an event's lit cells that are right at logit 0; arguments as `on_lit_cells`."""
    answer, lit = _answer_and_lit(answer)
    right = ops.cast((logits > 0) == (answer > 0.5), "float32")
    return _mean_where(lit, right)


def on_all_cells(image, logits):
    """Binary cross-entropy of the whole image, for networks that copy it: the lit cells, of which there are
    few, count as much as the dark ones. Both (event, row, column, 1), returns (event,).
    """
    image = ops.cast(image, "float32")
    return _mean_of_both(image, ops.ones_like(image), _binary_entropy(image, logits))


def channels_in_order(channels, logits):
    """Cross-entropy of whose the lit cells are, where the first channel is the leftmost track, and so on.

    Args:
        channels: (event, row, column, n_tracks + 1), 1 where a track is, last noise; a cell of two tracks is
            right on either. logits: the same shape, of one answer a cell.
    Returns:
        (event,) mean over the lit cells.
    """
    right, logits = _flat(channels), _flat(logits)
    return _entropy_of(right, logits)


def channels_matched(channels, logits):
    """The same under the best matching of tracks to channels, over all permutations."""
    right, logits = _flat(channels), _flat(logits)
    return _entropy_of(_matched_channels(right, logits), logits)


def right_channels(channels, logits):
    """Share of an event's lit cells in the right channel, after the matching; arguments as
    `channels_in_order`.
    """
    right, logits = _flat(channels), _flat(logits)
    chosen = ops.one_hot(ops.argmax(logits, -1), logits.shape[-1], dtype="float32")
    of_chosen = ops.sum(_matched_channels(right, logits) * chosen, -1)
    return _mean_where(ops.max(right, -1), of_chosen)


OF_CHANNELS = {"ordered": channels_in_order, "matched": channels_matched}


def _binary_entropy(answer, logits):
    """Cross-entropy of each cell, without the exponent of a large number."""
    logits = ops.cast(logits, "float32")
    return ops.softplus(logits) - answer * logits


def _answer_and_lit(answer):
    """What is to be said of cells, and where they are lit, as numbers 0 or 1."""
    answer = ops.cast(answer, "float32")
    return ops.maximum(answer, 0), ops.cast(answer >= 0, "float32")


def _mean_where(where, values):
    """(event,) mean of values over the cells where there is a 1; 0 where there is none."""
    axes = tuple(range(1, len(values.shape)))
    return ops.sum(values * where, axes) / ops.maximum(ops.sum(where, axes), 1)


def _mean_of_both(answer, lit, values):
    """(event,) mean of the mean over ones and that over zeros; of one alone where the other is missing."""
    axes = tuple(range(1, len(values.shape)))
    ones, zeros = lit * answer, lit * (1 - answer)
    n_kinds = ops.cast(ops.any(ones > 0, axes), "float32") + ops.cast(
        ops.any(zeros > 0, axes), "float32"
    )
    return (_mean_where(ones, values) + _mean_where(zeros, values)) / ops.maximum(n_kinds, 1)


def _flat(cells):
    """(event, cell, channel) of an image, as numbers."""
    return ops.cast(
        ops.reshape(cells, (-1, np.prod(cells.shape[1:-1]), cells.shape[-1])), "float32"
    )


def _entropy_of(right, logits):
    """(event,) cross-entropy of all that is right for a cell, (event, cell, channel), mean over lit cells."""
    of_right = ops.logsumexp(logits - 1e9 * (1 - right), -1)
    entropy = ops.logsumexp(logits, -1) - of_right
    lit = ops.max(right, -1)
    return _mean_where(lit, ops.where(lit > 0, entropy, 0.0))


def _matched_channels(right, logits):
    """Whose the cells are, in those channels in which it costs least; half of a shared cell for either track."""
    n_tracks = right.shape[-1] - 1
    either, none = right[..., :n_tracks], right[..., n_tracks:]
    share = either / ops.maximum(ops.sum(either, -1, keepdims=True), 1)
    return _in_best_columns(share, either, none, ops.log_softmax(logits)[..., :n_tracks])
