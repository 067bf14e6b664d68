"""Count tracks in the side view: a small residual network."""

from architectures.residual import counter


def side_view_cnn(
    input_shape=(30, 113, 1),
    n_classes=4,
    stem_filters=16,
    stages=((32, (2, 2), 1), (48, (2, 2), 1), (64, (1, 2), 1)),
    n_hidden=64,
):
    """Count tracks. In: (event, z, column, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks."""
    return counter("side", input_shape, n_classes, stem_filters, (3, 5), (2, 2), stages, n_hidden, "side_view_cnn")
