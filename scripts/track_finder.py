"""Train the track finder: which hits of a tracker side belong together, and which are noise.

    python scripts/track_finder.py --precision mixed_bfloat16 --out models/track_finder

Trains on fresh events: half of them like data, the others ideal, like simulation, or worse than data. The
card gives the figures of merit of the network alone for every kind; those with the line fit that follows it
are `benchmark_clustering.py`'s.
"""

import argparse
import itertools

import numpy as np
from keras import ops

import lib
import metrics
import plotting
from architectures import track_finder
from datasets import clustering
from finding import refit
from my_generator import GENERATORS, realistic
from my_generator.response import PRESETS


def _targets(owners, probability, matching=True):
    """Which columns of `track` are right for each hit, after the matching of tracks that costs least: (event,
    hit, n_tracks + 1).

    Without matching, the first column is to be the first track and so on.
    """
    n_tracks = probability.shape[-1] - 1
    first, second = (
        ops.one_hot(owners[..., k], n_tracks, dtype="float32") for k in (0, 1)
    )  # a negative owner gives zeros
    if not matching:
        return ops.concatenate([ops.maximum(first, second), ops.cast(owners[..., :1] == -1, "float32")], -1)
    log_probability = ops.log(probability[..., :n_tracks] + 1e-6)
    gain = ops.matmul(ops.swapaxes(first, -1, -2), log_probability)  # (event, true track, column)
    permutations = np.eye(n_tracks, dtype="float32")[np.array(list(itertools.permutations(range(n_tracks))))]
    best = ops.argmax(
        ops.matmul(ops.reshape(gain, (-1, n_tracks**2)), permutations.reshape(-1, n_tracks**2).T), -1
    )
    matched = ops.take(permutations, best, axis=0)  # (event, true track, column)
    tracks = ops.matmul(ops.maximum(first, second), matched)
    none = ops.cast(owners[..., :1] == -1, "float32")
    return ops.stop_gradient(ops.concatenate([tracks, none], -1))


def assignment_loss(owners, probability, matching=True):
    """Cross-entropy of the hits' tracks under the best matching of true tracks to columns, over all
    permutations.

    Args:
        owners: (event, hit, 2) int, the true tracks of each hit; -1 noise, or no second owner; -2 no hit. A
            hit of two owners is right on either.
        probability: (event, hit, n_tracks + 1), as the model gives it. matching: see `_targets`.
    Returns:
        (event,) mean over the hits of an event.
    """
    owners = ops.cast(owners, "int32")
    right = ops.sum(_targets(owners, probability, matching) * probability, -1)
    hit = ops.cast(owners[..., 0] > -2, "float32")
    return -ops.sum(ops.log(right + 1e-6) * hit, -1) / ops.maximum(ops.sum(hit, -1), 1)


def ordered_loss(owners, probability):
    """The same without a matching: the first column is to be the track that comes first along the foil, and
    so on.
    """
    return assignment_loss(owners, probability, matching=False)


def hit_accuracy(owners, probability):
    """Share of hits on the right track, or rightly on none; (event,), arguments as `assignment_loss`."""
    owners = ops.cast(owners, "int32")
    chosen = ops.one_hot(ops.argmax(probability, -1), probability.shape[-1], dtype="float32")
    hit = ops.cast(owners[..., 0] > -2, "float32")
    return ops.sum(ops.sum(_targets(owners, probability) * chosen, -1) * hit, -1) / ops.maximum(
        ops.sum(hit, -1), 1
    )


def perfect(owners, probability):
    """1 for an event whose hits are all on the right track, or rightly on none; (event,), arguments as
    `assignment_loss`.
    """
    return ops.cast(hit_accuracy(owners, probability) > 1 - 1e-6, "float32")


LOSSES = {"ordered": ordered_loss, "matched": assignment_loss}


OUTPUTS = (
    "track: probability of each of 4 tracks, along the foil, and of none; n_tracks, n_segments: of 0, 1, ..."
)
LIMITS = (
    "Knows four tracks on a side at most: those of a busier side share them.",
    "Knows straight lines with kinks: tracks bent by a magnetic field were not in its training.",
    "Alone it seldom gets every hit of three or four tracks right: use it with finding/refit.py.",
)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], parents=[lib.run_arguments(epochs=40)]
    )
    for name, default in (("filters", 48), ("width", 48), ("hit-layers", 1), ("token-layers", 2)):
        parser.add_argument(
            f"--{name}", type=int, default=default, help="of the network (default: %(default)s)"
        )
    parser.add_argument(
        "--loss",
        choices=LOSSES,
        default="ordered",
        help="ordered: tracks in the order of their foil points; matched: in any order (default: %(default)s)",
    )
    parser.add_argument(
        "--start-from",
        metavar="MODEL",
        help="begin with the weights of a trained model (default: random ones)",
    )
    lib.generator_arguments(parser, GENERATORS)
    parser.set_defaults(generator="data_mix", test_events=16384)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)
    generate, _ = GENERATORS[args.generator]
    data = clustering.load(generate, **lib.data_settings(args))
    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = track_finder.track_finder(
            filters=args.filters,
            width=args.width,
            n_hit_layers=args.hit_layers,
            n_token_layers=args.token_layers,
        )
        if args.start_from:
            weights = lib.load_model(args.start_from).get_weights()
            if [values.shape for values in weights] != [values.shape for values in model.get_weights()]:
                raise ValueError(f"--start-from {args.start_from}: another network than this one")
            model.set_weights(weights)
        count = "sparse_categorical_crossentropy"
        model.compile(
            lib.optimizer(args.learning_rate, args.epochs * steps),
            loss={"track": LOSSES[args.loss], "n_tracks": count, "n_segments": count},
            loss_weights={"track": 1.0, "n_tracks": 0.3, "n_segments": 0.1},
            metrics={"track": [hit_accuracy, perfect], "n_tracks": "accuracy", "n_segments": "accuracy"},
        )
    model.fit(
        data.train,
        validation_data=data.val,
        epochs=args.epochs,
        steps_per_epoch=steps,
        callbacks=lib.callbacks(args),
        verbose=2,
        shuffle=False,
    )
    model = lib.in_float32(model)
    tests = data.tests | {
        name: realistic.generate(args.test_events, preset=name, seed=[args.seed, 2]) for name in PRESETS
    }
    scores = {name: evaluate(model, events) for name, events in tests.items()}
    lib.save_run(model, args, scores, data.description, OUTPUTS, LIMITS)
    plotting.history(lib.read_history(args.out / "history.csv"), args.out / "history.pdf")
    lib.draw_model(model, args.out / "model.png")
    perfect_events = scores["test"]["all"]["perfect"]
    print(
        f"{perfect_events['n']} events, {perfect_events['value']:.2%} perfect by the network alone; in {args.out}"
    )
    return scores


def evaluate(model, events):
    """Figures of merit of the network alone."""
    return metrics.clustering_of(events, refit.labels_of(events, clustering.predict(model, events)["track"]))


if __name__ == "__main__":
    lib.run(main)
