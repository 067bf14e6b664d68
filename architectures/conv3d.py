"""Count tracks in voxels: three-dimensional convolutions on (layer, column, z)."""

import keras


def voxel_cnn(input_shape=(9, 113, 30, 1), n_classes=4, filters=(8, 16, 32), n_hidden=64):
    """Count tracks.

    In: (event, layer, column, z, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks.
    """
    inputs = keras.Input(input_shape, name="voxels")
    x = keras.layers.Conv3D(filters[0], (3, 5, 5), (1, 2, 2), padding="same", activation="relu", name="stem")(
        inputs
    )
    for i, n in enumerate(filters):
        strides = (1, 1, 1) if i == 0 else (1, 2, 2) if i == 1 else 2
        y = keras.layers.Conv3D(n, 3, strides, padding="same", activation="relu", name=f"block{i}_conv1")(x)
        y = keras.layers.Conv3D(n, 3, padding="same", kernel_initializer="zeros", name=f"block{i}_conv2")(y)
        if i:
            x = keras.layers.AveragePooling3D(strides, padding="same", name=f"block{i}_pool")(x)
            x = keras.layers.Conv3D(n, 1, name=f"block{i}_project")(x)
        x = keras.layers.ReLU(name=f"block{i}_out")(keras.layers.Add(name=f"block{i}_add")([x, y]))
    mean = keras.layers.GlobalAveragePooling3D(name="mean")(x)
    largest = keras.layers.GlobalMaxPooling3D(name="largest")(x)
    x = keras.layers.Concatenate(name="features")([mean, largest])
    x = keras.layers.Dense(n_hidden, activation="relu", name="hidden")(x)
    outputs = keras.layers.Dense(n_classes, activation="softmax", dtype="float32", name="n_tracks")(x)
    return keras.Model(inputs, outputs, name="voxel_cnn")
