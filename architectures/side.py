"""Count tracks in the side view: a transformer, and a small residual network for the combined model."""

from architectures.residual import counter
from architectures.view_transformer import view_transformer

PIECE = 4  # pixels of a row that make a token of the transformer
# Arguments of the network that is a third as much work, for the combined model, which has to run three of them
SMALL = {"stem_filters": 16, "stages": ((32, (2, 2), 1), (48, (2, 2), 1), (64, (1, 2), 1)), "mirrors": ()}


def side_view_transformer(input_shape=(30, 113, 1), n_classes=4, length=PIECE, reach=(3, 8), width=64, n_heads=2, n_layers=3):
    """Count tracks. In: (event, z, column, side). Out: see `view_transformer`; class k is k + 1 tracks.

    A track is a streak of pixels a row high: pieces of a row are longer than high, so that long tracks have fewer of them.
    """
    return view_transformer("side", input_shape, n_classes, length, reach, width, n_heads, n_layers)


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
