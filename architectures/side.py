"""Count tracks in the side view: a small residual network."""

from architectures.residual import counter

# Arguments of the network that is a third as much work, for the combined model, which has to run three of them
SMALL = {"stem_filters": 16, "stages": ((32, (2, 2), 1), (48, (2, 2), 1), (64, (1, 2), 1)), "mirrors": ()}


def side_view_cnn(
    input_shape=(30, 113, 1),
    n_classes=4,
    stem_filters=16,
    stem_strides=(2, 2),
    stages=((32, (2, 2), 1), (48, (2, 2), 1), (80, (1, 2), 1)),
    n_hidden=64,
    mirrors=((1,), (2,), (1, 2)),
):
    """Count tracks. In: (event, z, column, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks.

    Events mirrored in height, or along the foil, are as likely as they are. A small tower that looks at all four images learns more
    than one of four times the work that looks at one.
    """
    return counter("side", input_shape, n_classes, stem_filters, (3, 5), stem_strides, stages, n_hidden, "side_view_cnn", mirrors=mirrors)
