"""Count tracks in the top view: a small residual network."""

from architectures.residual import counter


def top_view_cnn(
    input_shape=(9, 113, 1),
    n_classes=4,
    stem_filters=16,
    stages=((32, (1, 2), 1), (48, (2, 2), 1), (64, (2, 2), 1)),
    n_hidden=64,
):
    """Count tracks. In: (event, layer, column, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks."""
    return counter("top", input_shape, n_classes, stem_filters, (3, 5), (1, 2), stages, n_hidden, "top_view_cnn")
