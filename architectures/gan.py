"""A GAN whose generator removes the leftmost track of an event (I. Goodfellow et al., arXiv:1406.2661).

The generator says of lit cells whether they stay; the discriminator is to tell that from the event without its
leftmost track. They learn in turn on every batch: first the discriminator, from a fresh removal, then the
generator, from another one. What the published training did otherwise: both at once, from one removal, with an
output that was neither bound to lit cells nor to (0, 1), so that values alone could give it away.

Beside the adversarial loss there may be the loss of every lit cell, `losses.on_lit_cells`.

The state of a run is that of both networks and both optimizers. The model to keep is the generator: it is an
ordinary network of removal, as without a GAN.
"""

import keras
import tensorflow as tf
from keras import ops

from architectures import losses
from architectures.generator import left_over

SIGNIFICANT = 0.5  # share of the hits of a track from which on it counts as missing, or as present
WANTED = {
    "real": 1.0,
    "missing": 0.0,
    "present": 0.0,
}  # what a generator wants a discriminator to answer


def discriminator_loss(of_real, of_fake, smoothing=0.0):
    """Cross-entropy of both kinds, each the mean over its logits; 1406.2661 equation 1 as a loss.

    Args:
        smoothing: real is to be said with 1 less this probability; fake stays 0 (arXiv:1701.00160, 4.2).
    """
    real = ops.mean(ops.softplus(of_real) - (1 - smoothing) * of_real)
    fake = ops.mean(ops.softplus(of_fake))
    return real + fake


def entropy(target, logits, weight=1.0):
    """Cross-entropy of answers to one target or (event, 1) targets, mean over the events; their weight is 0
    where there is nothing to answer.

    With the target 1 and what is said of fakes: the generator's loss that does not saturate.
    """
    return ops.mean(weight * (ops.softplus(logits) - target * logits))


def corrupt(event, truth, seed_generator):
    """Do the truth harm as a bad generator would: drop a random share of what stays, leave a random share of
    what goes.

    Of half of the events these are scattered cells, of the others all on one end in a random direction, as
    where a track was cut off.

    Args:
        event, truth: (event, column, layer, 1) float, 1 where lit. seed_generator: keras.random.SeedGenerator.
    Returns:
        corrupted: as `truth`. labels: "missing" and "present" -> (event, 1) float, 1 where that share is
        above SIGNIFICANT. weights: the same, 0 where there is nothing to keep, or to remove, else 1.
    """
    goes = event - truth
    dropped = truth * _random_part(truth, seed_generator)
    left = goes * _random_part(goes, seed_generator)
    missing, n_keep = share_of(dropped, truth)
    present, n_go = share_of(left, goes)
    labels = {"missing": missing > SIGNIFICANT, "present": present > SIGNIFICANT}
    weights = {"missing": n_keep > 0, "present": n_go > 0}
    labels = {name: ops.cast(label, "float32") for name, label in labels.items()}
    weights = {name: ops.cast(weight, "float32") for name, weight in weights.items()}
    return truth - dropped + left, labels, weights


def share_of(part, whole):
    """(event, 1) share of the lit cells of images that are in a part of them, 0 where none is lit; and how many
    are lit.
    """
    n_part = ops.sum(part, (1, 2))
    n_whole = ops.sum(whole, (1, 2))
    return n_part / ops.maximum(n_whole, 1), n_whole


def _random_part(image, seed_generator):
    """1 in about a random share of the lit cells of each event, scattered or on one end, else 0."""
    n_events = ops.shape(image)[0]
    n_columns, n_layers = image.shape[1:3]
    of_event = ops.reshape(_uniform((n_events, 4), seed_generator), (n_events, 4, 1, 1, 1))
    share, scattered, slope, sign = of_event[:, 0], of_event[:, 1], of_event[:, 2], of_event[:, 3]
    column = ops.reshape(ops.arange(n_columns, dtype="float32"), (1, n_columns, 1, 1))
    layer = ops.reshape(ops.arange(n_layers, dtype="float32"), (1, 1, n_layers, 1))
    along = ops.where(sign > 0.5, 1.0, -1.0) * (column + (4 * slope - 2) * layer)
    lowest = ops.min(ops.where(image > 0, along, 1e6), (1, 2), keepdims=True)
    highest = ops.max(ops.where(image > 0, along, -1e6), (1, 2), keepdims=True)
    place = (along - lowest) / ops.maximum(
        highest - lowest, 1e-3
    )  # 0 to 1 from end to end, at lit cells
    noise = _uniform((n_events, n_columns, n_layers, 1), seed_generator)
    return ops.cast(ops.where(scattered > 0.5, noise, place) < share, "float32")


def _uniform(shape, seed_generator):
    return keras.random.uniform(shape, seed=seed_generator)


@keras.saving.register_keras_serializable(package="supernemo")
class RemovalGAN(keras.Model):
    """Generator and discriminator that learn from events and their labels of removal.

    Called, it is the generator. In `fit` it takes the batches of `datasets.clustering_images.task("removal")`.

    Args:
        generator: of `architectures.generator`. discriminator: of `architectures.discriminator`; what it sees
            and answers follows from its inputs and outputs.
        hit_weight, adversarial_weight: of both losses of the generator; published 0 and 1. A discriminator
            without weight learns all the same, and says how far one could tell.
        head_start: batches in which the discriminator learns and its loss does not count yet: an untrained one
            would spoil a trained generator within some ten batches.
        smoothing: as of `discriminator_loss`.
        noise: standard deviation of what is added to all clustered images that the discriminator sees, so that
            it cannot go by values that are neither 0 nor 1. It falls to 0 in `noise_steps` batches.
        seed: of noise and corruptions.
    """

    def __init__(
        self,
        generator,
        discriminator,
        hit_weight=0.0,
        adversarial_weight=1.0,
        head_start=0,
        smoothing=0.1,
        noise=0.1,
        noise_steps=1000,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.hit_weight = hit_weight
        self.adversarial_weight = adversarial_weight
        self.head_start = head_start
        self.smoothing = smoothing
        self.noise = noise
        self.noise_steps = noise_steps
        self.seed = seed
        self.random = keras.random.SeedGenerator(seed)
        self.asks = len(discriminator.output) > 1
        names = ["generator_loss", "discriminator_loss", "hit_loss", "adversarial_loss"]
        names += ["hit_accuracy", "real_accuracy", "fake_accuracy"]
        names += ["question_loss"] if self.asks else []
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True  # both networks are; Keras asks before it loads weights

    def compile(self, generator_optimizer, discriminator_optimizer, **kwargs):
        """Give both networks an optimizer; a run that goes on needs their state, so they are built here."""
        super().compile(optimizer=generator_optimizer, **kwargs)
        self.discriminator_optimizer = discriminator_optimizer
        self.optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    @property
    def metrics(self):
        return list(self.trackers.values())

    def call(self, inputs, training=False):
        return self.generator(inputs, training=training)

    # ---- losses --------------------------------------------------------------------------------------------

    def discriminate(self, event, images, training, noise=0.0):
        """What the discriminator says of images of the same events: answer -> one (event, 1) for each image.

        All go through it in one call: a call that trains moves the weights of spectral normalisation.
        """
        n_images = len(images)
        clustered = ops.concatenate(images)
        clustered = clustered + noise * keras.random.normal(ops.shape(clustered), seed=self.random)
        inputs = {"clustered": clustered}
        if "event" in self.discriminator.input:
            inputs["event"] = ops.concatenate([event] * n_images)
        answers = self.discriminator(inputs, training=training)
        return {name: ops.split(answer, n_images) for name, answer in answers.items()}

    def discriminator_losses(self, event, truth, fake, training, noise=0.0):
        """Its loss and, of the questions, their part of it; and what it says of real and fake."""
        images = [truth, fake]
        if self.asks:
            corrupted, labels, weights = corrupt(event, truth, self.random)
            images.append(corrupted)
        answers = self.discriminate(event, images, training, noise)
        of_real, of_fake, *_ = answers["real"]
        loss = discriminator_loss(of_real, of_fake, self.smoothing)
        asked = 0.0
        if self.asks:
            for name, label in labels.items():
                of_truth, _, of_corrupted = answers[name]
                weight = weights[name]
                asked += (
                    entropy(label, of_corrupted, weight) / 2 + entropy(0.0, of_truth, weight) / 2
                )
        return loss + asked, asked, of_real, of_fake

    def generator_losses(self, event, answer, logits, noise=0.0, adversarial_weight=None):
        """Its loss, and both parts of it: of lit cells, and of what the discriminator says.

        The discriminator answers as outside of a training, without dropout.
        """
        hit_loss = ops.mean(losses.on_lit_cells(answer, logits))
        answers = self.discriminate(event, [left_over(event, logits)], False, noise)
        parts = [entropy(WANTED[name], said) for name, (said,) in answers.items()]
        adversarial_loss = sum(parts) / len(parts)
        if adversarial_weight is None:
            adversarial_weight = self.adversarial_weight
        loss = self.hit_weight * hit_loss + adversarial_weight * adversarial_loss
        return loss, hit_loss, adversarial_loss

    # ---- steps ---------------------------------------------------------------------------------------------

    def train_step(self, data):
        event, answer, truth = _unpacked(data)
        done = ops.cast(self.discriminator_optimizer.iterations, "float32")
        noise = self.noise * ops.maximum(1 - done / max(1, self.noise_steps), 0)
        adversarial_weight = self.adversarial_weight * ops.cast(done >= self.head_start, "float32")
        removed = left_over(event, self.generator(event, training=True)["cells"])
        with tf.GradientTape() as tape:
            found = self.discriminator_losses(event, truth, removed, True, noise)
            scaled = _share_of_replica(found[0])
        _step(self.discriminator_optimizer, tape, scaled, self.discriminator)

        with tf.GradientTape() as tape:
            logits = self.generator(event, training=True)["cells"]
            made = self.generator_losses(event, answer, logits, noise, adversarial_weight)
            scaled = _share_of_replica(made[0])
        _step(self.optimizer, tape, scaled, self.generator)
        return self._watched(answer, logits, found, made)

    def test_step(self, data):
        event, answer, truth = _unpacked(data)
        logits = self.generator(event, training=False)["cells"]
        found = self.discriminator_losses(event, truth, left_over(event, logits), False)
        made = self.generator_losses(event, answer, logits)
        return self._watched(answer, logits, found, made)

    def _watched(self, answer, logits, found, made):
        loss, asked, of_real, of_fake = found
        generator_loss, hit_loss, adversarial_loss = made
        values = {
            "generator_loss": generator_loss,
            "discriminator_loss": loss,
            "hit_loss": hit_loss,
            "adversarial_loss": adversarial_loss,
            "question_loss": asked,
            "hit_accuracy": losses.right_on_lit_cells(answer, logits),
            "real_accuracy": ops.cast(of_real > 0, "float32"),
            "fake_accuracy": ops.cast(of_fake < 0, "float32"),
        }
        n_events = ops.cast(ops.shape(answer)[0], "float32")
        for name, tracker in self.trackers.items():
            tracker.update_state(ops.mean(values[name]), sample_weight=n_events)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    # ---- saving --------------------------------------------------------------------------------------------

    def get_config(self):
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "hit_weight": self.hit_weight,
            "adversarial_weight": self.adversarial_weight,
            "head_start": self.head_start,
            "smoothing": self.smoothing,
            "noise": self.noise,
            "noise_steps": self.noise_steps,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        networks = {
            name: keras.saving.deserialize_keras_object(config.pop(name))
            for name in ("generator", "discriminator")
        }
        return cls(**networks, **config)

    def get_compile_config(self):
        return {
            "generator_optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "discriminator_optimizer": keras.saving.serialize_keras_object(
                self.discriminator_optimizer
            ),
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))


def _unpacked(data):
    """Events, labels and truth of a batch of removal: (event, column, layer, 1) float32, the labels as given."""
    event, labels = data
    answer = labels["cells"]
    truth = ops.cast(answer > 0, "float32")
    return ops.cast(event, "float32"), answer, truth


def _share_of_replica(loss):
    """The mean of a replica's events as its share of the mean of all: optimizers sum gradients over replicas."""
    return loss / tf.distribute.get_strategy().num_replicas_in_sync


def _step(optimizer, tape, loss, network):
    variables = network.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
