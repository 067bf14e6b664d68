"""Networks that tell the truth from what a generator made: is this how the event looks without its leftmost track?

All see the clustered image, and by `access_truth` the event beside it. Their answers are logits: `real`, and
by `questions` two more on what is wrong: `missing`, a significant part of the tracks that stay, and `present`,
a significant part of the track that goes.
"""

import keras

from capsule_lib import Length, LogOdds, PrimaryCapsule, SecondaryCapsule

ANSWERS = ("real", "missing", "present")
DILATIONS = (1, 2, 4, 8, 16)  # of the small networks: every place has seen all columns


def published_discriminator(
    input_shape=(116, 12, 1),
    access_truth=True,
    questions=False,
    spectral_normalization=False,
    filters=(32, 64, 128),
    n_hidden=(256, 128),
    dropout=0.2,
    name="published_discriminator",
):
    """The published network: two convolutions a level, max pooling between levels, then dense layers with
    tanh. Nine tenths of its 3,170,817 parameters are in the first of these.

    In: `event`, with `access_truth`, and `clustered`, (event, column, layer, 1). Out: name of ANSWERS ->
    (event, 1) logits.
    """
    inputs, x = _inputs(input_shape, access_truth)
    for level, n_filters in enumerate(filters):
        if level:
            x = keras.layers.MaxPooling2D(2)(x)
        x = _normalized(_convolution(n_filters, "relu"), spectral_normalization)(x)
        x = keras.layers.Dropout(dropout)(x)
        x = _normalized(_convolution(n_filters, "relu"), spectral_normalization)(x)
    x = keras.layers.Flatten()(x)
    for n in n_hidden:
        x = _normalized(keras.layers.Dense(n, activation="tanh"), spectral_normalization)(x)
    return keras.Model(inputs, _answers(x, questions, spectral_normalization), name=name)


def small_discriminator(
    input_shape=(116, 12, 1),
    access_truth=True,
    questions=False,
    spectral_normalization=False,
    filters=(8, 16, 32),
    dilations=DILATIONS,
    dropout=0.2,
    name="small_discriminator",
):
    """One that has no dense layer of places: features of each place, with dilated convolutions along the foil,
    their mean and their maximum over all places, and the answers. Inputs and outputs as of the published one.
    """
    inputs, x = _inputs(input_shape, access_truth)
    x = _places(x, filters, dilations, spectral_normalization)
    mean = keras.layers.GlobalAveragePooling2D()(x)
    most = keras.layers.GlobalMaxPooling2D()(x)
    x = keras.layers.Concatenate()([mean, most])
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, _answers(x, questions, spectral_normalization), name=name)


def capsule_discriminator(
    input_shape=(116, 12, 1),
    access_truth=True,
    questions=False,
    filters=(8, 16, 32),
    dilations=DILATIONS,
    n_types=2,
    n_dims=8,
    n_answer_dims=8,
    n_iterations=3,
    name="capsule_discriminator",
):
    """Capsules at every second place along the foil vote for two capsules an answer, yes and no; the logit is
    the logarithm of the ratio of their lengths. Inputs and outputs as of the published one.
    """
    inputs, x = _inputs(input_shape, access_truth)
    x = _places(x, filters, dilations, False)
    n_columns, n_layers = x.shape[1:3]
    x = PrimaryCapsule(n_types, n_dims, (3, n_layers), (2, 1), name="primary")(x)
    answers = ANSWERS if questions else ANSWERS[:1]
    capsules = SecondaryCapsule(2 * len(answers), n_answer_dims, n_iterations, name="answers")(x)
    lengths = Length(dtype="float32", name="lengths")(capsules)
    logits = LogOdds(name="logits")(lengths)
    outputs = {}
    for i, answer in enumerate(answers):
        outputs[answer] = keras.layers.Identity(dtype="float32", name=answer)(logits[:, i : i + 1])
    return keras.Model(inputs, outputs, name=name)


BUILDERS = {
    "small": small_discriminator,
    "published": published_discriminator,
    "capsule": capsule_discriminator,
}


def _inputs(input_shape, access_truth):
    clustered = keras.Input(input_shape, name="clustered")
    if not access_truth:
        return {"clustered": clustered}, clustered
    event = keras.Input(input_shape, name="event")
    return {"event": event, "clustered": clustered}, keras.layers.Concatenate()([event, clustered])


def _places(x, filters, dilations, spectral_normalization):
    """Features of a fourth of the columns, for three levels of filters; the last level is dilated."""
    for level, n_filters in enumerate(filters):
        is_last = level == len(filters) - 1
        if level:
            x = keras.layers.AveragePooling2D(2)(x)
        for dilation in dilations if is_last else (1,):
            convolution = _convolution(n_filters, "leaky_relu", (dilation, 1))
            x = _normalized(convolution, spectral_normalization)(x)
    return x


def _convolution(n_filters, activation, dilation=1):
    return keras.layers.Conv2D(
        n_filters, 3, padding="same", activation=activation, dilation_rate=dilation
    )


def _normalized(layer, spectral_normalization):
    return keras.layers.SpectralNormalization(layer) if spectral_normalization else layer


def _answers(x, questions, spectral_normalization):
    outputs = {}
    for answer in ANSWERS if questions else ANSWERS[:1]:
        dense = _normalized(keras.layers.Dense(1, name=f"{answer}_logit"), spectral_normalization)
        outputs[answer] = keras.layers.Identity(dtype="float32", name=answer)(dense(x))
    return outputs
