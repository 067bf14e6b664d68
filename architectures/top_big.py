"""Count tracks in the top view: the large plain network in the manner of the published ones, the baseline of
the small one.
"""

import keras


def top_big_cnn(
    input_shape=(9, 113, 1), n_classes=4, filters=(32, 64, 128), n_hidden=(256, 64), dropout=0.3
):
    """Count tracks.

    In: (event, layer, column, side). Out: (event, n_classes) probabilities; class k is k + 1 tracks.
    """
    inputs = keras.Input(input_shape, name="top")
    x = inputs
    for n in filters:
        x = keras.layers.Conv2D(n, (3, 7), padding="same", activation="relu")(x)
        x = keras.layers.Conv2D(n, (3, 3), padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D((1, 2))(x)
    x = keras.layers.Flatten()(x)
    for n in n_hidden:
        x = keras.layers.Dense(n, activation="relu")(x)
        x = keras.layers.Dropout(dropout)(x)
    outputs = keras.layers.Dense(n_classes, activation="softmax", dtype="float32", name="n_tracks")(
        x
    )
    return keras.Model(inputs, outputs, name="top_big_cnn")
