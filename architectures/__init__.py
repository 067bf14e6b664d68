"""Functions that return an uncompiled `keras.Model`; they take their shapes as arguments and know no dataset.

`import architectures` makes every layer of our own known to Keras, so that saved models load; `load` is the
way with clear errors.
"""

import os
import re
import zipfile
from pathlib import Path

# TensorFlow's start-up lines read like a crash ("failed call to cuInit"); a level that the user has set
# stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import vae.lib  # noqa: F401
from architectures import attention, capsnet, gan, heads, layers, track_finder, view_transformer

__all__ = [
    "attention",
    "capsnet",
    "gan",
    "heads",
    "layers",
    "load",
    "start_from",
    "track_finder",
    "view_transformer",
]


def load(path):
    """The model of a `.keras` file, not compiled.

    Raises:
        ValueError: not a whole `.keras` file, or a model with layers that were made elsewhere; names the
            file.
    """
    path = Path(path)
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not a Keras model, a whole .keras file")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # a damaged archive surfaces as almost any exception
        raise ValueError(f"{path}: not a model this code can load: {_reason(error)}") from error


def start_from(model, trained, all_layers=True):
    """Give a network the weights of a trained one, layer by layer.

    Args:
        all_layers: the network has every layer of the trained one; else those are taken that both have.
    Raises:
        ValueError: it has not; or the two have no layer with weights in common.
    """
    own = {layer.name: layer for layer in model.layers}
    with_weights = [layer for layer in trained.layers if layer.weights]
    common = [
        layer
        for layer in with_weights
        if layer.name in own and _shapes(layer) == _shapes(own[layer.name])
    ]
    missing = [layer.name for layer in with_weights if layer not in common]
    if missing and (all_layers or not common):
        raise ValueError(f"another network than this one, which has no such {missing[0]}")
    for layer in common:
        own[layer.name].set_weights(layer.get_weights())


def _shapes(layer):
    return [tuple(weight.shape) for weight in layer.weights]


def _reason(error):
    """Why a model did not load, in a few words."""
    foreign = re.search(r"Could not locate class '(\w+)'", str(error))
    if foreign:
        return f"its layer {foreign[1]} was made elsewhere"
    if isinstance(error, (zipfile.BadZipFile, KeyError, OSError)):
        return "the file is damaged"
    return str(error).strip().partition("\n")[0] or type(error).__name__
