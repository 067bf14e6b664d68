"""Name the calorimeter rows that tracks end in, from the front view: the published network."""

from architectures.associated_calorimeter import published


def front_associated_calorimeter(input_shape=(30, 9, 1), targets=("row",), **options):
    """In: (event, z, layer, 1). Out and options: see `associated_calorimeter.published`."""
    return published("front", input_shape, targets, **options)
