"""Count tracks in the top view: a transformer, and a small residual network along the foil for the combined
model.
"""

from architectures.residual import counter
from architectures.view_transformer import view_transformer


def top_view_transformer(input_shape=(9, 113, 1), n_classes=4, n_owners=4, **trunk):
    """Count tracks. In: (event, layer, column, side). Out: see `view_transformer`; class k is k + 1 tracks."""
    return view_transformer("top", input_shape, n_classes, n_owners=n_owners, **trunk)


def top_view_cnn(
    input_shape=(9, 113, 1),
    n_classes=4,
    stem_filters=64,
    stages=((64, (1, 1), 1), (64, (1, 2), 1), (64, (1, 2), 1)),
    n_hidden=64,
):
    """Count tracks, with little work.

    In: (event, layer, column, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks.

    The first convolution takes all nine layers into its filters: a track crosses each of them, so there is
    nothing to look for at another depth, and what follows is one-dimensional, at a fifth of the work of
    images.
    """
    return counter(
        "top",
        input_shape,
        n_classes,
        stem_filters,
        (9, 9),
        (9, 1),
        stages,
        n_hidden,
        "top_view_cnn",
        kernel=(1, 5),
    )
