"""Train an image network to take the leftmost track away, by a GAN: a second network tells removals from the truth.

    python scripts/gan.py --tracks 2 --generator ideal --hit-weight 0 --adversarial-weight 1 \\
        --discriminator published --out runs/gan_published
    python scripts/gan.py --tracks 2 --filters 8 16 32 --dilations 1 2 4 8 16 --start-from runs/removal --out runs/gan
    python scripts/gan.py --tracks 2 --hit-weight 0 --questions --out runs/gan_questions

The generator is Matteo's encoder-decoder, as `clustering_one.py` trains it, and is saved as the model of the
run, which `testing_clustering.py` and `benchmark_clustering.py` take. It learns from the hits
(`--hit-weight`) and from the discriminator (`--adversarial-weight`), which sees the event and what is left of
it, or what is left alone (`--no-discriminator-access-truth`). With `--questions` the discriminator learns two
more answers from damaged truth, and the generator from them: is a significant part (half) of the tracks that
stay missing, is one of the leftmost track still there?

The card has the figures of merit of every removal, and under `discriminator` how often it is right on test
events. Judge a GAN by the former: losses say nothing. `gan.keras` has both networks and their optimizers.
"""

import argparse

import numpy as np

import lib
import metrics
import outputs
from datasets import batches, clustering_images
from my_generator import realistic

OUTPUTS = "logit that a lit cell stays when the leftmost track goes; dark cells mean nothing"
DISCRIMINATORS = (
    "small",
    "published",
    "capsule",
)  # those of `architectures.discriminator`, which needs Keras
OPTIMIZERS = ("muon", "adam")
QUESTIONS = {
    "missing": "less_than_expected",
    "present": "more_than_expected",
}  # figures of a removal
CHUNK = 256  # events that the discriminator is tested on together


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=20)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    add = parser.add_argument
    add(
        "--hit-weight",
        type=float,
        default=1.0,
        help="of the loss of lit cells; published 0 (default: %(default)s)",
    )
    adversarial_help = "of the discriminator's say; published 1 (default: %(default)s)"
    add("--adversarial-weight", type=float, default=0.01, help=adversarial_help)
    add("--discriminator", choices=DISCRIMINATORS, default="small", help="(default: %(default)s)")
    access_help = "the discriminator sees the event beside what is left of it (default: yes)"
    add(
        "--discriminator-access-truth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help=access_help,
    )
    add("--spectral-normalization", action="store_true", help="of all layers of the discriminator")
    add("--questions", action="store_true", help="it also learns to say what is wrong")
    add(
        "--smoothing",
        type=float,
        default=0.1,
        help="real is to be said with 1 less this (default: %(default)s)",
    )
    noise_help = "on what it sees at first; none after half of the training (default: %(default)s)"
    add("--noise", type=float, default=0.1, help=noise_help)
    start_help = "share of the training in which the discriminator learns and does not count (default: %(default)s)"
    add("--head-start", type=float, default=0.1, metavar="SHARE", help=start_help)
    rate_help = "of the discriminator's Adam (default: %(default)s)"
    add("--discriminator-learning-rate", type=float, default=1e-3, help=rate_help)
    optimizer_help = "of the generator; adam without a schedule (default: %(default)s)"
    add("--optimizer", choices=OPTIMIZERS, default="muon", help=optimizer_help)
    lib.encoder_decoder_arguments(parser)
    lib.generator_arguments(parser, (*realistic.RESPONSES, *realistic.MIXES), test_events=16384)
    parser.set_defaults(generator="mix", answers="removal", target="cells", val_events=4096)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    check(args)
    lib.start_run(args)

    import inference

    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = build(args, steps)
    task = clustering_images.task("removal")
    data = batches.load(
        task, realistic.generator(args.generator, args.tracks), **lib.data_settings(args)
    )
    lib.fit(model, data, args, steps)

    with outputs.whole(args.out / "gan.keras") as temporary:
        model.save(temporary)
    generator = lib.in_float32(model.generator)
    remove_last = 1 in args.tracks
    scores = inference.test_images(
        generator, data.val_events, data.tests, "removal", remove_last=remove_last
    )
    for name, events in data.tests.items():
        scores[name]["discriminator"] = test_discriminator(model, events, scores[name]["threshold"])
    lib.finish(generator, args, scores, data.description, OUTPUTS)
    print(
        f"{metrics.describe_cells(scores['test'])}\n{describe(scores['test']['discriminator'])}\nin {args.out}"
    )
    return scores


def check(args):
    """Refuse flags that say nothing together."""
    if args.precision == "mixed_float16":
        raise ValueError(
            "--precision mixed_float16: two losses would need two scales; use mixed_bfloat16"
        )
    for name in ("hit_weight", "adversarial_weight", "noise"):
        if getattr(args, name) < 0:
            raise ValueError(
                f"--{name.replace('_', '-')} {getattr(args, name)}: has to be 0 or more"
            )
    if not args.hit_weight and not args.adversarial_weight:
        raise ValueError("--hit-weight 0 --adversarial-weight 0: nothing would be learned")
    if not 0 <= args.head_start < 1:
        raise ValueError(f"--head-start {args.head_start}: has to be from 0 to 1")
    if not 0 <= args.smoothing < 0.5:
        raise ValueError(f"--smoothing {args.smoothing}: has to be from 0 to 0.5")
    if args.spectral_normalization and args.discriminator == "capsule":
        raise ValueError("--spectral-normalization: not of a discriminator of capsules")


def build(args, steps):
    """The GAN that the flags ask for, compiled; steps: batches an epoch."""
    import keras

    from architectures import discriminator, optimizer
    from architectures.gan import RemovalGAN
    from architectures.generator import removal_generator

    shape = (*clustering_images.SHAPE, 1)
    # first of all networks: --start-from goes by the names that Keras gives to layers in order
    generator = removal_generator(shape, **lib.encoder_decoder_options(args))
    if args.start_from:
        lib.start_from(generator, args.start_from, all_layers=False)
    options = {"access_truth": args.discriminator_access_truth, "questions": args.questions}
    if args.spectral_normalization:
        options["spectral_normalization"] = True
    model = RemovalGAN(
        generator,
        discriminator.BUILDERS[args.discriminator](shape, **options),
        hit_weight=args.hit_weight,
        adversarial_weight=args.adversarial_weight,
        head_start=round(args.head_start * args.epochs * steps),
        smoothing=args.smoothing,
        noise=args.noise,
        noise_steps=args.epochs * steps // 2,
        seed=args.seed,
    )
    if args.optimizer == "muon":
        of_generator = optimizer.muon(args.learning_rate, args.epochs * steps)
    else:
        of_generator = keras.optimizers.Adam(args.learning_rate, beta_1=0.5)
    of_discriminator = keras.optimizers.Adam(args.discriminator_learning_rate, beta_1=0.5)
    model.compile(of_generator, of_discriminator)
    return model


# ---- the discriminator -------------------------------------------------------------------------------------


def test_discriminator(model, events, threshold):
    """How often a discriminator is right on labelled events.

    Args:
        threshold: probability from which a cell stays.
    Returns:
        dict: `real`, right on the truth; `fake`, on what is left as it learned to see it, and `fake_cells`, on
        the same with cells that stay or go; as `metrics.share_right`. If it answers questions, for "removals"
        and for "damaged", truth that was corrupted: question -> share right, and `table`, events by what is
        so: "truth" and "said" -> [not missing, missing] of [not present, present].
    """
    said, so = _said_of_events(model, events, threshold)
    scores = {
        "real": metrics.share_right(said["truth"]["real"] > 0),
        "fake": metrics.share_right(said["seen"]["real"] < 0),
        "fake_cells": metrics.share_right(said["removals"]["real"] < 0),
    }
    if not model.asks:
        return scores
    for name, of_images in so.items():
        answerable = np.isfinite(of_images["missing"]) & np.isfinite(of_images["present"])
        is_so = {question: of_images[question][answerable] > 0.5 for question in QUESTIONS}
        is_said = {question: said[name][question][answerable] > 0 for question in QUESTIONS}
        scores[name] = {
            question: metrics.share_right(is_so[question] == is_said[question])
            for question in QUESTIONS
        }
        scores[name]["table"] = {"truth": table(**is_so), "said": table(**is_said)}
    return scores


def table(missing, present):
    """Numbers of events, [not missing, missing] of [not present, present]; both (event,) bool."""
    return metrics.confusion_matrix(missing.astype(int), present.astype(int), 2).tolist()


def describe(scores):
    """What `test_discriminator` found, for the terminal."""
    right = ", ".join(
        f"{name} {scores[name]['accuracy']:.1%}" for name in ("real", "fake", "fake_cells")
    )
    lines = [f"discriminator right: {right}"]
    for name in ("removals", "damaged"):
        if name not in scores:
            continue
        of_images = scores[name]
        right = ", ".join(
            f"{question} {of_images[question]['accuracy']:.1%}" for question in QUESTIONS
        )
        lines += [
            f"questions on {name}, right: {right}",
            "| events | as it is | as it says |",
            "| --- | --- | --- |",
        ]
        rows = ("kept, removed", "kept, left", "lost, removed", "lost, left")
        for i, row in enumerate(rows):
            counts = [of_images["table"][which][i // 2][i % 2] for which in ("truth", "said")]
            lines.append(f"| {row} | {counts[0]} | {counts[1]} |")
    return "\n".join(lines)


def _said_of_events(model, events, threshold):
    """What the discriminator says, images -> answer -> (event,) logits; and what is so, images -> question ->
    (event,) share of the hits, NaN where there are none.
    """
    from architectures import gan
    from architectures.generator import left_over

    task = clustering_images.task("removal")
    said, so = [], []
    for start in range(0, len(events), CHUNK):
        some = events[start : start + CHUNK]
        event = task.inputs(some).astype(np.float32)
        truth = (task.labels(some)["cells"] > 0).astype(np.float32)
        seen = np.asarray(left_over(event, model.generator(event, training=False)["cells"]))
        removal = event * (seen >= threshold)
        damaged = np.asarray(gan.corrupt(event, truth, model.random)[0])
        images = {"truth": truth, "seen": seen, "removals": removal, "damaged": damaged}
        answers = model.discriminate(event, list(images.values()), False)
        said.append(
            {
                name: {
                    answer: np.asarray(of_images[i])[:, 0] for answer, of_images in answers.items()
                }
                for i, name in enumerate(images)
            }
        )
        so.append({name: _shares(event, truth, images[name]) for name in ("removals", "damaged")})
    return _joined(said), _joined(so)


def _shares(event, truth, image):
    """(event,) share missing of the cells that are to stay, and share present of those that are to go."""
    asked = event > 0
    offsets = np.append(0, np.cumsum(asked.sum((1, 2, 3))))
    figures = metrics.removal_by_event(offsets, truth[asked] > 0, image[asked] > 0)
    return {question: figures[figure] for question, figure in QUESTIONS.items()}


def _joined(parts):
    """Parts of events, each images -> name -> (event,) array, as one of all."""
    return {
        images: {
            name: np.concatenate([part[images][name] for part in parts])
            for name in parts[0][images]
        }
        for images in parts[0]
    }


if __name__ == "__main__":
    lib.run(main)
