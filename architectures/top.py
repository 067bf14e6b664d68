"""Count tracks in the top view: a small residual network along the foil."""

from architectures.residual import counter

# Arguments of the network that is less than half as much work, for the combined model, which has to run three of them
SMALL = {"stem_filters": 64, "stages": ((64, (1, 1), 1), (64, (1, 2), 1), (64, (1, 2), 1))}


def top_view_cnn(
    input_shape=(9, 113, 1),
    n_classes=4,
    stem_filters=96,
    stages=((96, (1, 1), 1), (96, (1, 2), 1), (96, (1, 2), 1)),
    n_hidden=64,
):
    """Count tracks. In: (event, layer, column, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks.

    The first convolution takes all nine layers into its filters: a track crosses each of them, so there is nothing to look for at
    another depth, and what follows is one-dimensional, at a fifth of the work of images.
    """
    return counter("top", input_shape, n_classes, stem_filters, (9, 9), (9, 1), stages, n_hidden, "top_view_cnn", kernel=(1, 5))
