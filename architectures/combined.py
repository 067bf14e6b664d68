"""Three trained counters, one a view, joined by transfer learning."""

from functools import partial

import keras


def combined_cnn(towers, n_classes=4, n_hidden=96):
    """Join trained single-view counters: their features side by side, a new hidden layer and new class
    probabilities.

    Args:
        towers: view -> trained counter with a layer `features`, such as {"top": model, "side": model,
            "front": model}. Their weights are copied; the models themselves are not changed.
    Returns:
        Model. In: view -> image, as the towers take them. Out: (event, n_classes) probabilities; class k is k
        + 1 tracks. Every layer taken from a tower has its view's name as prefix; `set_towers_trainable`
        freezes and unfreezes them.
    """
    inputs = {}
    features = []
    for view, tower in towers.items():
        part = keras.Model(tower.inputs[0], tower.get_layer("features").output)
        inputs[view] = keras.Input(tower.inputs[0].shape[1:], name=view)
        named = partial(_prefixed, prefix=f"{view}_")
        copy = keras.models.clone_model(part, inputs[view], clone_function=named)
        copy.set_weights(part.get_weights())
        features.append(copy.output)
    x = keras.layers.Concatenate(name="features")(features)
    x = keras.layers.Dense(n_hidden, activation="relu", name="hidden")(x)
    outputs = keras.layers.Dense(n_classes, activation="softmax", dtype="float32", name="n_tracks")(
        x
    )
    return keras.Model(inputs, outputs, name="combined_cnn")


def set_towers_trainable(model, trainable):
    """Freeze or unfreeze everything below the joined features. Compile the model again afterwards."""
    for layer in model.layers:
        if layer.name not in ("hidden", "n_tracks"):
            layer.trainable = trainable


def _prefixed(layer, prefix):
    config = layer.get_config()
    config.pop("dtype", None)  # the precision of this training, not that of the tower's
    return type(layer).from_config({**config, "name": prefix + config["name"]})
