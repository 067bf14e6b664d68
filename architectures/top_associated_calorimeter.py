"""Name the calorimeter columns that tracks end in, from the top view: the published network."""

from architectures.associated_calorimeter import published


def top_associated_calorimeter(input_shape=(9, 113, 1), targets=("column",), **options):
    """In: (event, layer, column, 1). Out and options: see `associated_calorimeter.published`."""
    return published("top", input_shape, targets, **options)
