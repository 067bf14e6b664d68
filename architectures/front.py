"""Count tracks in the front view: a small residual network."""

from architectures.residual import counter


def front_view_cnn(
    input_shape=(30, 9, 1),
    n_classes=4,
    stem_filters=16,
    stages=((32, (2, 1), 1), (48, (2, 2), 1), (64, (2, 2), 1)),
    n_hidden=64,
):
    """Count tracks. In: (event, z, layer, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks."""
    return counter("front", input_shape, n_classes, stem_filters, (5, 3), (1, 1), stages, n_hidden, "front_view_cnn")
