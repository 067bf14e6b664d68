"""Does a GAN need batch normalisation? DCGAN on scikit-learn's 8 x 8 digits, with and without, at two learning rates.

    python scripts/gan_test.py --out runs/gan_test

A published test of a GAN left batch normalisation out of its generator and, compared with the tutorial that it
followed, took a ten times higher learning rate. Its digits failed, and the missing normalisation was blamed.
Here both are varied by themselves, each with several seeds.

Writes `scores.json`, the table `scores.md` and the figure `digits.png` of what is drawn. The numbers come from a
small classifier that learned three quarters of the real digits, those that the GANs learn from too; the other
quarter, and random pixels, stand in the table as well. It has: the entropy of the histogram of classes, at most
2.303; the share of pictures that are one class with a probability above 0.9; the classes that at least 2 % of the
pictures are of; the Frechet distance in the features before its answer; and the mean distance to the nearest
picture learned from, in pixels of 0 to 1: a copy has 0.
"""

import argparse
import itertools
import time

import numpy as np

import lib
import outputs
import plotting

BATCH = 32
TOGETHER = 500  # batches given to TensorFlow together
N_NOISE = 100
N_JUDGED = 2000  # pictures of each GAN
N_DRAWN = 10  # of these in the figure
LEAST_OF_CLASS = 0.02
FIGURES = {
    "entropy": "entropy of classes",
    "sure": "share sure",
    "n_classes": "classes",
    "frechet": "Frechet distance",
    "nearest": "nearest distance",
}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--out", type=lib.folder, required=True, metavar="FOLDER", help="where scores and figure go"
    )
    add(
        "--seeds",
        type=lib.at_least(1),
        default=3,
        help="trainings of each kind (default: %(default)s)",
    )
    add(
        "--steps",
        type=lib.at_least(1),
        default=8000,
        help="batches of a training (default: %(default)s)",
    )
    rates_help = "of both networks' Adam (default: 0.0001 0.001)"
    add(
        "--learning-rates",
        type=float,
        nargs="+",
        default=[1e-4, 1e-3],
        metavar="RATE",
        help=rates_help,
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_tensorflow()
    real, held_out, judge, accuracy = digits_and_judge()
    rows = {
        "held-out digits": [judge(held_out)],
        "random pixels": [judge(np.random.default_rng(0).random((N_JUDGED, 8, 8, 1)))],
    }
    drawn = {}
    kinds = list(itertools.product((True, False), args.learning_rates))
    for seed in range(args.seeds):
        for batch_normalization, rate in kinds:
            name = f"{'with' if batch_normalization else 'without'}, {rate:g}"
            start = time.process_time()
            pictures = train(real, batch_normalization, rate, args.steps, seed)
            scores = judge(pictures)
            rows.setdefault(name, []).append(scores)
            drawn[f"{name}, seed {seed}"] = pictures[:N_DRAWN]
            seconds = time.process_time() - start
            print(f"{name}, seed {seed}: {scores}, {seconds:.0f} s of processor", flush=True)
    text = table(rows)
    content = {
        "steps": args.steps,
        "learning_rates": args.learning_rates,
        "classifier_accuracy_on_held_out": accuracy,
        "rows": rows,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    lib.write_json(args.out / "scores.json", content)
    with outputs.whole(args.out / "scores.md") as temporary:
        temporary.write_text(text)
    in_order = {name: drawn[name] for name in sorted(drawn)}  # kinds together, not seeds
    draw({"real": real[:N_DRAWN], **in_order}, args.out / "digits.png")
    print(
        f"{text}the classifier is right on {accuracy['accuracy']:.1%} of {len(held_out)} held-out digits"
    )
    return content


# ---- the GAN -----------------------------------------------------------------------------------------------


def train(real, batch_normalization, rate, steps, seed):
    """Train a GAN on pictures (picture, 8, 8, 1), 0 to 1, and let it draw N_JUDGED of them, 0 to 1.

    Both networks learn at once from batches of BATCH, by the losses of the tutorial and by Adam.
    """
    import keras
    import tensorflow as tf

    from architectures.dcgan import digit_discriminator, digit_generator
    from architectures.gan import discriminator_loss, entropy

    keras.utils.set_random_seed(seed)
    generator = digit_generator(N_NOISE, batch_normalization=batch_normalization)
    discriminator = digit_discriminator()
    of_generator = keras.optimizers.Adam(rate)
    of_discriminator = keras.optimizers.Adam(rate)
    of_generator.build(generator.trainable_variables)
    of_discriminator.build(discriminator.trainable_variables)

    pixels = tf.constant(2 * real - 1, tf.float32)

    @tf.function
    def learn(chosen, noise):
        for i in tf.range(len(chosen)):
            with tf.GradientTape() as tape_of_generator, tf.GradientTape() as tape_of_discriminator:
                made = generator(noise[i], training=True)
                both = tf.concat([tf.gather(pixels, chosen[i]), made], 0)
                of_real, of_fake = tf.split(discriminator(both, training=True), 2)
                loss_of_generator = entropy(1.0, of_fake)
                loss_of_discriminator = discriminator_loss(of_real, of_fake)
            for network, optimizer, tape, loss in (
                (generator, of_generator, tape_of_generator, loss_of_generator),
                (discriminator, of_discriminator, tape_of_discriminator, loss_of_discriminator),
            ):
                gradients = tape.gradient(loss, network.trainable_variables)
                optimizer.apply(gradients, network.trainable_variables)

    rng = np.random.default_rng(seed)
    for start in range(0, steps, TOGETHER):
        n = min(TOGETHER, steps - start)
        chosen = rng.integers(0, len(real), (n, BATCH))
        learn(tf.constant(chosen), tf.constant(rng.normal(size=(n, BATCH, N_NOISE)), tf.float32))
    noise = rng.normal(size=(N_JUDGED, N_NOISE)).astype(np.float32)
    return (generator.predict(noise, batch_size=500, verbose=0) + 1) / 2


# ---- judging -----------------------------------------------------------------------------------------------


def digits_and_judge():
    """The digits, and a classifier of them.

    Returns:
        real, held_out: (picture, 8, 8, 1), 0 to 1; the classifier knows `real`. judge: function pictures ->
        figure of FIGURES -> number. accuracy: of the classifier on `held_out`, as `metrics.accuracy`.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    import metrics

    pictures, classes = load_digits(return_X_y=True)
    split = train_test_split(
        pictures / 16, classes, test_size=0.25, stratify=classes, random_state=0
    )
    real, held_out, classes_of_real, classes_of_held_out = split
    classifier = MLPClassifier((128, 32), alpha=0.1, max_iter=1000, random_state=0)
    classifier.fit(real, classes_of_real)
    accuracy = metrics.accuracy(classes_of_held_out, classifier.predict(held_out))
    features_of_real = features(classifier, real)

    def judge(of_pictures):
        flat = of_pictures.reshape(len(of_pictures), -1)
        probability = classifier.predict_proba(flat)
        share = np.bincount(probability.argmax(1), minlength=10) / len(flat)
        return {
            "entropy": entropy_of(share),
            "sure": float(np.mean(probability.max(1) > 0.9)),
            "n_classes": int(np.count_nonzero(share >= LEAST_OF_CLASS)),
            "frechet": frechet_distance(features_of_real, features(classifier, flat)),
            "nearest": nearest_distance(real, flat),
        }

    shape = (-1, 8, 8, 1)
    return real.reshape(shape), held_out.reshape(shape), judge, accuracy


def features(classifier, pictures):
    """(picture, feature) values of the last hidden layer of scikit-learn's MLPClassifier."""
    x = pictures
    for weights, bias in zip(classifier.coefs_[:-1], classifier.intercepts_[:-1], strict=True):
        x = np.maximum(x @ weights + bias, 0)
    return x


def entropy_of(share):
    """Entropy of shares that sum to 1, of classes without any too."""
    some = share[share > 0]
    return float(-np.sum(some * np.log(some)))


def frechet_distance(one, other):
    """Squared distance of two samples (picture, feature) taken for normal distributions (arXiv:1706.08500):
    |m - n|^2 + trace(C + D - 2 (C D)^(1/2)), with means m, n and covariances C, D.
    """
    between = np.sum((one.mean(0) - other.mean(0)) ** 2)
    covariances = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    # the eigenvalues of C D are real and not negative, as both are covariances; rounding makes them less so
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1]).real
    root = np.sum(np.sqrt(np.maximum(eigenvalues, 0)))
    return float(between + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root)


def nearest_distance(known, pictures):
    """Mean Euclidean distance of pictures to the nearest known one; both (picture, pixel)."""
    from scipy.spatial.distance import cdist

    return float(cdist(pictures, known).min(1).mean())


def table(rows):
    """Markdown: each row's mean over its trainings, and the lowest and highest where there are several."""
    lines = [f"| batch normalisation, learning rate | {' | '.join(FIGURES.values())} |"]
    lines.append(f"|{' --- |' * (len(FIGURES) + 1)}")
    for name, scores in rows.items():
        cells = [_range([of_one[figure] for of_one in scores]) for figure in FIGURES]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines) + "\n"


def _range(values):
    mean = f"{np.mean(values):.3g}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.3g}–{max(values):.3g})"


def draw(drawn, path):
    """A row of pictures of each training, under the first real ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.55 * N_DRAWN + 2.2, 0.62 * len(drawn)), layout="constrained")
    axes = figure.subplots(len(drawn), N_DRAWN, squeeze=False)
    for of_row, (name, pictures) in zip(axes, drawn.items(), strict=True):
        for ax, picture in zip(of_row, pictures, strict=False):
            ax.imshow(picture[..., 0], cmap="Greys", vmin=0, vmax=1)
        for ax in of_row:
            ax.set_xticks([])
            ax.set_yticks([])
        of_row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.suptitle("Digits drawn: batch normalisation, learning rate, seed")
    plotting.save(figure, path)


if __name__ == "__main__":
    lib.run(main)
