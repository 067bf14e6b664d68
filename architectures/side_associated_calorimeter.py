"""Name the calorimeter columns and rows that tracks end in, from the side view: the published network."""

from architectures.associated_calorimeter import published


def side_associated_calorimeter(input_shape=(30, 113, 1), targets=("column", "row"), **options):
    """In: (event, z, column, 1). Out and options: see `associated_calorimeter.published`."""
    return published("side", input_shape, targets, **options)
