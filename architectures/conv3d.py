"""Count tracks in voxels: three-dimensional convolutions on (layer, column, z)."""

import keras

STRIDES = (1, 1, 1), (1, 2, 2), (2, 2, 2)  # of the first block, the second, and those after it


def voxel_cnn(input_shape=(9, 113, 30, 1), n_classes=4, filters=(8, 16, 32), n_hidden=64):
    """Count tracks.

    In: (event, layer, column, z, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks.
    """
    inputs = keras.Input(input_shape, name="voxels")
    stem = keras.layers.Conv3D(
        filters[0], (3, 5, 5), (1, 2, 2), padding="same", activation="relu", name="stem"
    )
    x = stem(inputs)
    for i, n in enumerate(filters):
        x = _residual_block(x, n, STRIDES[min(i, 2)], f"block{i}", is_first=i == 0)
    mean = keras.layers.GlobalAveragePooling3D(name="mean")(x)
    largest = keras.layers.GlobalMaxPooling3D(name="largest")(x)
    x = keras.layers.Concatenate(name="features")([mean, largest])
    x = keras.layers.Dense(n_hidden, activation="relu", name="hidden")(x)
    outputs = keras.layers.Dense(n_classes, activation="softmax", dtype="float32", name="n_tracks")(
        x
    )
    return keras.Model(inputs, outputs, name="voxel_cnn")


def _residual_block(x, filters, strides, name, is_first):
    """Two convolutions beside a shortcut, which is averaged and projected but in the first block."""
    conv1 = keras.layers.Conv3D(
        filters, 3, strides, padding="same", activation="relu", name=f"{name}_conv1"
    )
    conv2 = keras.layers.Conv3D(
        filters, 3, padding="same", kernel_initializer="zeros", name=f"{name}_conv2"
    )
    y = conv2(conv1(x))
    if not is_first:
        x = keras.layers.AveragePooling3D(strides, padding="same", name=f"{name}_pool")(x)
        x = keras.layers.Conv3D(filters, 1, name=f"{name}_project")(x)
    x = keras.layers.Add(name=f"{name}_add")([x, y])
    return keras.layers.ReLU(name=f"{name}_out")(x)
