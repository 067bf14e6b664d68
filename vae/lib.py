"""Models that learn a latent space, each with its own train and test step.

- `VariationalAutoencoder` (arXiv:1312.6114): the encoder gives a normal distribution for each event; a copy has to
  be cheap, and the distributions near the prior, a standard normal.
- `VaeGan` (arXiv:1512.09300): what a copy costs is told by the features of a network that learns to know real
  events from made-up ones.
- `AdversarialAutoencoder` (arXiv:1511.05644): a network that learns to know samples of the prior from codes says
  how far the codes are from the prior.
- `LatentRemoval`: a network between a frozen encoder and a frozen decoder, which takes a track out of the code.

They train networks that are theirs by name (`encoder`, `decoder`, ...). What a run saves is a plain network of
those, `copy_network` or `removal_network`, in which encoder and decoder stay layers of these names.

A training of several devices sums gradients over them, so each loss is divided by their number.
"""

import keras
from keras import ops

PACKAGE = "supernemo"


# ---- equations ---------------------------------------------------------------------------------------------


def divergence(mean, log_variance):
    """Kullback-Leibler divergence of normal distributions from the standard normal one, of each dimension
    (arXiv:1312.6114, appendix B); all (event, n_latent).
    """
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1 - log_variance)


def cross_entropy(image, logits, hit_weight=1.0):
    """Binary cross-entropy summed over the cells of each image, (event,).

    Args:
        image: (event, row, column, 1), 1 where a cell is lit. logits: the same shape. hit_weight: how much more
            than a dark cell a lit one counts; other than 1 it is no likelihood any more.
    """
    image = ops.cast(image, "float32")
    logits = ops.cast(logits, "float32")
    entropy = ops.softplus(logits) - image * logits
    weight = 1 + (hit_weight - 1) * image
    return ops.sum(weight * entropy, (1, 2, 3))


def with_free_bits(divergences, free_bits):
    """Sum over dimensions of the mean divergence of a batch, (event, n_latent), or of `free_bits` where it is less:
    a dimension may hold so much at no cost (arXiv:1606.04934).
    """
    of_dimension = ops.mean(divergences, 0)
    return ops.sum(ops.maximum(of_dimension, free_bits))


def real_loss(logits):
    """Cross-entropy of logits that are to say "real", mean."""
    return ops.mean(ops.softplus(-logits))


def fake_loss(logits):
    """The same of those that are to say "made up"."""
    return ops.mean(ops.softplus(logits))


@keras.saving.register_keras_serializable(package=PACKAGE)
class Sampling(keras.layers.Layer):
    """Draw from normal distributions so that gradients reach mean and width: mean + width x noise.

    In: mean and log variance, (event, n_latent) each. Out: (event, n_latent).
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})  # of 16 bits noise would be coarse
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        mean, log_variance = inputs
        return mean + ops.exp(0.5 * log_variance) * keras.random.normal(
            ops.shape(mean), seed=self.noise
        )

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}

    def save_own_variables(self, store):
        """With where the noise stands, which Keras leaves out: a resumed training goes on with it."""
        store["noise"] = ops.convert_to_numpy(self.noise.state)

    def load_own_variables(self, store):
        self.noise.state.assign(store["noise"])


# ---- what a run saves --------------------------------------------------------------------------------------


def copy_network(encoder, decoder, name="autoencoder"):
    """The network that copies events by the means of their distributions, without noise.

    In: `padded`, and `hint` where one of the two takes it. Out: {"cells": logits}. `encoder` and `decoder` are its
    layers of these names.
    """
    inputs = {}
    for tensor in (*encoder.inputs, *decoder.inputs):
        if tensor.name != "latent":
            inputs.setdefault(tensor.name, keras.Input(tensor.shape[1:], name=tensor.name))
    latent = encoder(_wanted(encoder, inputs))["mean"]
    cells = decoder(_wanted(decoder, {**inputs, "latent": latent}))["cells"]
    only = list(inputs.values())
    return keras.Model(inputs if len(only) > 1 else only[0], {"cells": cells}, name=name)


def parts_of(model):
    """Encoder and decoder of a network that copies events by a short code: of `copy_network`, or of
    `architectures.matteo.encoder_decoder` with a code.

    Returns:
        (encoder, decoder), networks image -> code (event, n_latent) and code -> logits.
    Raises:
        ValueError: it has no code; or one of its parts takes a hint.
    """
    names = {layer.name for layer in model.layers}
    if {"code", "from_code"} <= names:
        code = model.get_layer("code").output
        encoder = keras.Model(model.input, code, name="encoder")
        return encoder, keras.Model(code, model.output["cells"], name="decoder")
    if not {"encoder", "decoder"} <= names:
        raise ValueError(
            f"{model.name}: has no short code, of an autoencoder with --code or of scripts/vae.py"
        )
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    if "hint" in {tensor.name for tensor in (*encoder.inputs, *decoder.inputs)}:
        raise ValueError(
            f"{model.name}: takes a hint, which the event without its left track does not have"
        )
    image = keras.Input(encoder.inputs[0].shape[1:], name="padded")
    latent = keras.Input(decoder.inputs[0].shape[1:], name="latent")
    to_code = keras.Model(image, encoder({"padded": image})["mean"], name="encoder")
    return to_code, keras.Model(latent, decoder({"latent": latent})["cells"], name="decoder")


def removal_network(encoder, mover, decoder, name="latent_removal"):
    """The network that looks at events without their left tracks: encoder, mover in latent space, decoder.

    In: `padded`. Out: {"cells": logits}. The three are its layers of these names.
    """
    image = keras.Input(encoder.input.shape[1:], name="padded")
    cells = decoder(mover(encoder(image)))
    return keras.Model(image, {"cells": cells}, name=name)


def code_mover(mean, width, n_hidden=(512, 512), name="mover"):
    """A small dense network from the code of an event to that of the event without its left track.

    Args:
        mean, width: (n_latent,) of the codes of events, whose units it computes in.
    """
    code = keras.Input((len(mean),), name="latent")
    x = keras.layers.Normalization(mean=mean, variance=width**2)(code)
    for n_units in n_hidden:
        x = keras.layers.Dense(n_units, activation="gelu")(x)
    x = keras.layers.Dense(len(mean), dtype="float32")(x)
    x = keras.layers.Normalization(mean=mean, variance=width**2, invert=True, dtype="float32")(x)
    return keras.Model(code, x, name=name)


def _wanted(network, arrays):
    """Of arrays by name those that a network takes."""
    return {tensor.name: arrays[tensor.name] for tensor in network.inputs}


# ---- models that train -------------------------------------------------------------------------------------


class _OwnSteps(keras.Model):
    """What the models here have in common: networks as arguments, and the means of their losses over an epoch."""

    NETWORKS = ()  # names of the networks that it is made of
    PIECES = ()  # names of what is watched

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.trackers = [keras.metrics.Mean(name=name) for name in self.PIECES]
        self.built = True  # its networks are

    @property
    def metrics(self):
        return self.trackers

    def get_config(self):
        networks = {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.NETWORKS
        }
        return {**super().get_config(), **networks}

    @classmethod
    def from_config(cls, config):
        networks = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in cls.NETWORKS
        }
        return cls(**{**config, **networks})

    def _watch(self, **values):
        for tracker in self.trackers:
            if tracker.name in values:
                tracker.update_state(values[tracker.name])
        return {tracker.name: tracker.result() for tracker in self.trackers}

    def _own_optimizers(self, **optimizers):
        """Keep an optimizer for each of the networks, with its state, which is only restored if it is there."""
        for name, optimizer in optimizers.items():
            setattr(self, f"{name}_optimizer", optimizer)
            optimizer.build(getattr(self, name).trainable_variables)


class _Autoencoder(_OwnSteps):
    """An encoder and a decoder, which may take what is known of an event beside its image."""

    NETWORKS = ("encoder", "decoder")

    def __init__(self, encoder, decoder, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.seed = seed
        self.sampling = Sampling(seed)
        self.prior = Sampling(None if seed is None else seed + 1)
        self.n_latent = encoder.output["mean"].shape[-1]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}

    def call(self, inputs, training=False):
        """{"cells": logits} of the copies by the means."""
        arrays = _by_name(inputs)
        return {"cells": self._decode(self._encode(arrays, training)["mean"], arrays, training)}

    def _encode(self, arrays, training):
        return self.encoder(_wanted(self.encoder, arrays), training=training)

    def _decode(self, latent, arrays, training):
        return self.decoder(_wanted(self.decoder, {**arrays, "latent": latent}), training=training)[
            "cells"
        ]

    def _prior(self, like):
        """Samples of the prior, as many as there are codes `like`."""
        standard = ops.zeros_like(like)
        return self.prior([standard, standard])

    @property
    def _both(self):
        return self.encoder.trainable_variables + self.decoder.trainable_variables


@keras.saving.register_keras_serializable(package=PACKAGE)
class VariationalAutoencoder(_Autoencoder):
    """Minimise what a copy costs, plus the divergence from the prior: the negative evidence lower bound.

    Validation gives that bound (`loss`) with its pieces, without weights, warm-up or free bits.

    Args:
        encoder, decoder: of `vae.encoders` and `vae.decoders`.
        over_cells: "sum", as the bound has it, or "mean". A mean makes the copy cheaper than anything that the
            code could say: then the posteriors collapse to the prior.
        hit_weight: as of `cross_entropy`. warm_up_steps: over which the weight of the divergence goes from 0 to 1.
        free_bits: nats that each dimension may hold at no cost. seed: of the noise.
    """

    PIECES = ("loss", "reconstruction", "divergence")

    def __init__(
        self,
        encoder,
        decoder,
        over_cells="sum",
        hit_weight=1.0,
        warm_up_steps=0,
        free_bits=0.0,
        **kwargs,
    ):
        super().__init__(encoder, decoder, **kwargs)
        if over_cells not in ("sum", "mean"):
            raise ValueError(f"over_cells {over_cells}: neither sum nor mean")
        self.over_cells = over_cells
        self.hit_weight = hit_weight
        self.warm_up_steps = warm_up_steps
        self.free_bits = free_bits

    def get_config(self):
        options = ("over_cells", "hit_weight", "warm_up_steps", "free_bits")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def compile(self, optimizer, **kwargs):
        super().compile(optimizer=optimizer, **kwargs)
        self.optimizer.build(self._both)

    def train_step(self, data):
        import tensorflow as tf

        arrays, image = _arrays_and_image(data)
        with tf.GradientTape() as tape:
            logits, divergences = self._copy(arrays, training=True)
            costs = cross_entropy(image, logits, self.hit_weight)
            if self.over_cells == "mean":
                costs = costs / float(image.shape[1] * image.shape[2])
            loss = ops.mean(costs) + self._weight() * with_free_bits(divergences, self.free_bits)
            share = loss / _n_devices()
        variables = self._both
        self.optimizer.apply_gradients(zip(tape.gradient(share, variables), variables, strict=True))
        of_event = ops.mean(ops.sum(divergences, -1))
        return self._watch(loss=loss, reconstruction=ops.mean(costs), divergence=of_event)

    def test_step(self, data):
        arrays, image = _arrays_and_image(data)
        logits, divergences = self._copy(arrays, training=False)
        reconstruction = ops.mean(cross_entropy(image, logits))
        of_event = ops.mean(ops.sum(divergences, -1))
        return self._watch(
            loss=reconstruction + of_event, reconstruction=reconstruction, divergence=of_event
        )

    def _copy(self, arrays, training):
        seen = self._encode(arrays, training)
        latent = self.sampling([seen["mean"], seen["log_variance"]])
        return self._decode(latent, arrays, training), divergence(
            seen["mean"], seen["log_variance"]
        )

    def _weight(self):
        """Of the divergence, at this step."""
        if not self.warm_up_steps:
            return 1.0
        return ops.minimum(ops.cast(self.optimizer.iterations, "float32") / self.warm_up_steps, 1.0)


@keras.saving.register_keras_serializable(package=PACKAGE)
class VaeGan(_Autoencoder):
    """Three networks with a loss each (arXiv:1512.09300, algorithm 1); x' is the copy of an event x, and xp what the
    decoder makes of a sample of the prior.

    - encoder: divergence from the prior + feature loss, half of the squared distance of the discriminator's
      features of x and x'.
    - decoder: gamma x feature loss + fooling, x' and xp to be taken for real.
    - discriminator: x is real, x' and xp are not; the feature loss never reaches it.

    The discriminator sees cells that are lit or not, 1 or 0, as events have them: else it could tell images by
    their greys. Gradients pass through that decision as if it were not there.

    Args:
        encoder, decoder, discriminator: of the modules of these names.
        gamma: weight of copying against fooling. pixel_weight: encoder and decoder also minimise this times the
            cross-entropy of the cells; 0 as published. free_bits: as of VariationalAutoencoder.
    """

    NETWORKS = ("encoder", "decoder", "discriminator")
    PIECES = (
        *("loss", "reconstruction", "divergence", "features", "fooling", "discriminator"),
        *("knows_real", "knows_copies", "knows_made_up"),
    )

    def __init__(
        self, encoder, decoder, discriminator, gamma=1.0, pixel_weight=0.0, free_bits=0.0, **kwargs
    ):
        super().__init__(encoder, decoder, **kwargs)
        self.discriminator = discriminator
        self.gamma = gamma
        self.pixel_weight = pixel_weight
        self.free_bits = free_bits

    def get_config(self):
        options = ("gamma", "pixel_weight", "free_bits")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def compile(self, encoder_optimizer, decoder_optimizer, discriminator_optimizer, **kwargs):
        super().compile(optimizer=encoder_optimizer, **kwargs)
        self._own_optimizers(
            encoder=encoder_optimizer,
            decoder=decoder_optimizer,
            discriminator=discriminator_optimizer,
        )

    def train_step(self, data):
        import tensorflow as tf

        arrays, image = _arrays_and_image(data)
        with tf.GradientTape(persistent=True) as tape:
            losses, watched = self.losses_of(arrays, image, training=True)
            shares = {name: loss / _n_devices() for name, loss in losses.items()}
        gradients = {}
        for name in self.NETWORKS:
            gradients[name] = tape.gradient(shares[name], getattr(self, name).trainable_variables)
        del tape
        for name in self.NETWORKS:
            optimizer = getattr(self, f"{name}_optimizer")
            optimizer.apply_gradients(
                zip(gradients[name], getattr(self, name).trainable_variables, strict=True)
            )
        return self._watch(**watched)

    def test_step(self, data):
        arrays, image = _arrays_and_image(data)
        _, watched = self.losses_of(arrays, image, training=False)
        return self._watch(**watched)

    def losses_of(self, arrays, image, training):
        """What each of the networks minimises, and what is watched, by name."""
        seen = self._encode(arrays, training)
        divergences = divergence(seen["mean"], seen["log_variance"])
        logits = self._decode(self.sampling([seen["mean"], seen["log_variance"]]), arrays, training)
        made_up = self._decode(self._prior(seen["mean"]), arrays, training)

        images = ops.concatenate([image, lit_cells(logits), lit_cells(made_up)])
        said = self.discriminator(images, training=training)
        of_real, of_copies, of_made_up = ops.split(said["real"], 3)
        features, features_of_copies, _ = ops.split(said["features"], 3)

        feature_loss = 0.5 * ops.mean(ops.sum(ops.square(features - features_of_copies), -1))
        fooling = real_loss(of_copies) + real_loss(of_made_up)
        reconstruction = ops.mean(cross_entropy(image, logits))
        copying = self.pixel_weight * reconstruction
        losses = {
            "encoder": with_free_bits(divergences, self.free_bits) + feature_loss + copying,
            "decoder": self.gamma * feature_loss + fooling + copying,
            "discriminator": real_loss(of_real) + fake_loss(of_copies) + fake_loss(of_made_up),
        }
        of_event = ops.mean(ops.sum(divergences, -1))
        watched = {
            "loss": reconstruction + of_event,
            "reconstruction": reconstruction,
            "divergence": of_event,
            "features": feature_loss,
            "fooling": fooling,
            "discriminator": losses["discriminator"],
            "knows_real": _share(of_real > 0),
            "knows_copies": _share(of_copies < 0),
            "knows_made_up": _share(of_made_up < 0),
        }
        return losses, watched


@keras.saving.register_keras_serializable(package=PACKAGE)
class AdversarialAutoencoder(_Autoencoder):
    """Three steps a batch (arXiv:1511.05644, section 2): encoder and decoder learn to copy; the discriminator learns
    to know samples of the prior from codes; the encoder alone learns to make codes that it takes for samples.

    The code is the encoder's mean, without noise.

    Args:
        encoder: with or without a variance, which has no part here. discriminator: of
            `vae.discriminators.latent_discriminator`. hit_weight: as of `cross_entropy`.
    """

    NETWORKS = ("encoder", "decoder", "discriminator")
    PIECES = ("loss", "fooling", "discriminator", "knows_prior", "knows_codes")

    def __init__(self, encoder, decoder, discriminator, hit_weight=1.0, **kwargs):
        super().__init__(encoder, decoder, **kwargs)
        self.discriminator = discriminator
        self.hit_weight = hit_weight

    def get_config(self):
        return {**super().get_config(), "hit_weight": self.hit_weight}

    def compile(self, optimizer, encoder_optimizer, discriminator_optimizer, **kwargs):
        """`optimizer` copies, the second one lets the encoder fool the discriminator, which has the third."""
        super().compile(optimizer=optimizer, **kwargs)
        self.optimizer.build(self._both)
        self._own_optimizers(encoder=encoder_optimizer, discriminator=discriminator_optimizer)

    def train_step(self, data):
        import tensorflow as tf

        arrays, image = _arrays_and_image(data)
        with tf.GradientTape() as tape:
            copying = self._copying(arrays, image, training=True)
            share = copying / _n_devices()
        _apply(self.optimizer, tape.gradient(share, self._both), self._both)

        codes = self._encode(arrays, training=True)["mean"]
        with tf.GradientTape() as tape:
            telling, of_prior, of_codes = self._telling(codes, training=True)
            share = telling / _n_devices()
        variables = self.discriminator.trainable_variables
        _apply(self.discriminator_optimizer, tape.gradient(share, variables), variables)

        with tf.GradientTape() as tape:
            fooling = self._fooling(arrays, training=True)
            share = fooling / _n_devices()
        variables = self.encoder.trainable_variables
        gradients = tape.gradient(
            share, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        _apply(self.encoder_optimizer, gradients, variables)
        return self._watch_all(copying, fooling, telling, of_prior, of_codes)

    def test_step(self, data):
        arrays, image = _arrays_and_image(data)
        copying = ops.mean(cross_entropy(image, self.call(arrays)["cells"]))
        told = self._telling(self._encode(arrays, training=False)["mean"], training=False)
        return self._watch_all(copying, self._fooling(arrays, training=False), *told)

    def _copying(self, arrays, image, training):
        logits = self.call(arrays, training)["cells"]
        return ops.mean(cross_entropy(image, logits, self.hit_weight))

    def _telling(self, codes, training):
        """The discriminator's loss, and its logits of samples of the prior and of codes."""
        said = self.discriminator(ops.concatenate([self._prior(codes), codes]), training=training)[
            "real"
        ]
        of_prior, of_codes = ops.split(said, 2)
        return real_loss(of_prior) + fake_loss(of_codes), of_prior, of_codes

    def _fooling(self, arrays, training):
        codes = self._encode(arrays, training)["mean"]
        return real_loss(self.discriminator(codes, training=training)["real"])

    def _watch_all(self, copying, fooling, telling, of_prior, of_codes):
        knows = {"knows_prior": _share(of_prior > 0), "knows_codes": _share(of_codes < 0)}
        return self._watch(loss=copying, fooling=fooling, discriminator=telling, **knows)


@keras.saving.register_keras_serializable(package=PACKAGE)
class LatentRemoval(_OwnSteps):
    """Train a network that takes the left track out of a code; encoder and decoder stay as they are.

    It minimises the squared distance from the code of the event without its left track, mean over the dimensions
    in units of the codes' width, plus the loss of the lit cells through the decoder.

    Args:
        encoder, decoder: of `parts_of`. mover: of `code_mover`. width: (n_latent,) of codes.
        code_weight, cell_weight: of the two losses.
    """

    NETWORKS = ("encoder", "mover", "decoder")
    PIECES = ("loss", "code", "cells")

    def __init__(self, encoder, mover, decoder, width, code_weight=1.0, cell_weight=1.0, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.mover = mover
        self.width = [float(value) for value in width]
        self.code_weight = code_weight
        self.cell_weight = cell_weight
        encoder.trainable = False
        decoder.trainable = False

    def get_config(self):
        options = ("width", "code_weight", "cell_weight")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def compile(self, optimizer, on_cells, **kwargs):
        """on_cells: loss (answer, logits) -> (event,) of the cells, such as `architectures.losses.on_lit_cells`."""
        super().compile(optimizer=optimizer, **kwargs)
        self.on_cells = on_cells
        self.optimizer.build(self.mover.trainable_variables)

    def call(self, image, training=False):
        """{"cells": logits} of events without their left tracks."""
        return {"cells": self.decoder(self.mover(self.encoder(image)), training=False)}

    def train_step(self, data):
        import tensorflow as tf

        image, answer = _arrays_and_image(data)
        with tf.GradientTape() as tape:
            pieces = self._pieces(image["padded"], answer, training=True)
            share = pieces["loss"] / _n_devices()
        variables = self.mover.trainable_variables
        _apply(self.optimizer, tape.gradient(share, variables), variables)
        return self._watch(**pieces)

    def test_step(self, data):
        image, answer = _arrays_and_image(data)
        return self._watch(**self._pieces(image["padded"], answer, training=False))

    def _pieces(self, image, answer, training):
        without_left = ops.cast(answer > 0, "float32")
        wanted = ops.stop_gradient(self.encoder(without_left, training=False))
        moved = self.mover(self.encoder(image, training=False), training=training)
        distance = (moved - wanted) / ops.convert_to_tensor(self.width, "float32")
        code = ops.mean(ops.square(distance))
        cells = ops.mean(self.on_cells(answer, self.decoder(moved, training=False)))
        return {
            "loss": self.code_weight * code + self.cell_weight * cells,
            "code": code,
            "cells": cells,
        }


def lit_cells(logits):
    """1 where a cell is more probably lit than not, else 0, with the gradients of the probability."""
    probability = ops.sigmoid(logits)
    lit = ops.cast(logits > 0, probability.dtype)
    return probability + ops.stop_gradient(lit - probability)


def _by_name(inputs):
    return inputs if isinstance(inputs, dict) else {"padded": inputs}


def _arrays_and_image(data):
    """Inputs by name, and what the cells are to be, of a batch as the datasets give it."""
    inputs, labels = data
    image = labels["cells"]
    return _by_name(inputs), ops.cast(image, "float32")


def _apply(optimizer, gradients, variables):
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def _share(which):
    return ops.mean(ops.cast(which, "float32"))


def _n_devices():
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
