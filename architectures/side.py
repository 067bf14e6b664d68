"""Count tracks in the side view: a transformer, and a small residual network for the combined model."""

from architectures.residual import counter
from architectures.view_transformer import view_transformer


def side_view_transformer(input_shape=(30, 113, 1), n_classes=4, n_owners=4, **trunk):
    """Count tracks. In: (event, z, column, side). Out: see `view_transformer`; class k is k + 1 tracks."""
    return view_transformer("side", input_shape, n_classes, n_owners=n_owners, **trunk)


def side_view_cnn(
    input_shape=(30, 113, 1),
    n_classes=4,
    stem_filters=16,
    stem_strides=(2, 2),
    stages=((32, (2, 2), 1), (48, (2, 2), 1), (64, (1, 2), 1)),
    n_hidden=64,
):
    """Count tracks, with little work.

    In: (event, z, column, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks.
    """
    return counter(
        "side",
        input_shape,
        n_classes,
        stem_filters,
        (3, 5),
        stem_strides,
        stages,
        n_hidden,
        "side_view_cnn",
    )
