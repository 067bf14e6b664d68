"""Count tracks in the front view: a transformer, and a small residual network for the combined model."""

from architectures.residual import counter
from architectures.view_transformer import view_transformer


def front_view_transformer(input_shape=(30, 9, 1), n_classes=4, n_owners=4, **trunk):
    """Count tracks. In: (event, z, layer, side). Out: see `view_transformer`; class k is k + 1 tracks."""
    return view_transformer("front", input_shape, n_classes, n_owners=n_owners, **trunk)


def front_view_cnn(
    input_shape=(30, 9, 1),
    n_classes=4,
    stem_filters=16,
    stem_strides=(1, 1),
    stages=((32, (2, 1), 1), (48, (2, 2), 1), (64, (2, 2), 1)),
    n_hidden=64,
):
    """Count tracks, with little work.

    In: (event, z, layer, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks.
    """
    return counter(
        "front",
        input_shape,
        n_classes,
        stem_filters,
        (5, 3),
        stem_strides,
        stages,
        n_hidden,
        "front_view_cnn",
    )
