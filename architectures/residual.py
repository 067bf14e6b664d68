"""Small residual networks: the side and front towers of the combined counters, and blocks for other networks."""

import keras


def residual_tower(x, stem_filters, stem_kernel, stem_strides, stages, kernel=3):
    """Convolutional features of an image, pooled over its whole area.

    No batch normalisation: the second convolution of a block starts at zero, so every block starts as the
    identity and the tower trains at a high rate without it (Fixup, arXiv:1901.09321).

    Args:
        x: (event, height, width, channel) tensor.
        stem_filters, stem_kernel, stem_strides: of the first convolution.
        stages: (filters, strides, blocks) of each stage; the strides are those of its first block.
        kernel: of the convolutions in the blocks.
    Returns:
        (event, 2 x filters of the last stage): the mean and the largest value of each feature. The mean
            counts, the largest finds.
    """
    stem = keras.layers.Conv2D(
        stem_filters, stem_kernel, stem_strides, padding="same", activation="relu", name="stem"
    )
    x = stem(x)
    for stage, (filters, strides, n_blocks) in enumerate(stages):
        for block in range(n_blocks):
            name = f"stage{stage}_block{block}"
            own_strides = strides if block == 0 else (1, 1)
            x = residual_block(x, filters, own_strides, name, kernel)
    mean = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    largest = keras.layers.GlobalMaxPooling2D(name="largest")(x)
    return keras.layers.Concatenate(name="features")([mean, largest])


def residual_block(x, filters, strides, name, kernel=3):
    """Two convolutions beside a shortcut; averaged and projected where the size or the number of filters
    changes.
    """
    conv1 = keras.layers.Conv2D(
        filters, kernel, strides, padding="same", activation="relu", name=f"{name}_conv1"
    )
    conv2 = keras.layers.Conv2D(
        filters, kernel, padding="same", kernel_initializer="zeros", name=f"{name}_conv2"
    )
    y = conv2(conv1(x))
    if tuple(strides) != (1, 1):
        x = keras.layers.AveragePooling2D(strides, padding="same", name=f"{name}_pool")(x)
    if x.shape[-1] != filters:
        x = keras.layers.Conv2D(filters, 1, name=f"{name}_project")(x)
    x = keras.layers.Add(name=f"{name}_add")([x, y])
    return keras.layers.ReLU(name=f"{name}_out")(x)


def counter(
    view,
    input_shape,
    n_classes,
    stem_filters,
    stem_kernel,
    stem_strides,
    stages,
    n_hidden,
    name,
    kernel=3,
):
    """A residual tower with a hidden layer and class probabilities: the common form of the single-view
    counters.
    """
    inputs = keras.Input(input_shape, name=view)
    x = residual_tower(inputs, stem_filters, stem_kernel, stem_strides, stages, kernel)
    x = keras.layers.Dense(n_hidden, activation="relu", name="hidden")(x)
    outputs = keras.layers.Dense(n_classes, activation="softmax", dtype="float32", name="n_tracks")(
        x
    )
    return keras.Model(inputs, outputs, name=name)
