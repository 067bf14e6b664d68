"""Train the track finder: which hits of a tracker side belong together, and which are noise.

    python scripts/track_finder.py --precision mixed_bfloat16 --out models/track_finder

Trains on fresh events: half of them like data, the others ideal, like simulation, or worse than data. The
card gives the figures of merit of the network alone for every kind; those with the line fit that follows it
are `benchmark_clustering.py`'s.
"""

import argparse

import lib
import metrics
from datasets import batches, clustering
from my_generator import GENERATORS, realistic
from my_generator.response import PRESETS

LOSSES = ("ordered", "matched")  # of `architectures.losses.OF_TRACKS`
OUTPUTS = "track: probability of each of 4 tracks, along the foil, and of none; n_tracks, n_segments: of 0, 1, ..."
STRAIGHT = (
    "Knows straight lines with kinks: tracks bent by a magnetic field were not in its training."
)
LIMITS = (
    "Knows four tracks on a side at most: those of a busier side share them.",
    "Alone it seldom gets every hit of three or four tracks right: use it with finding/refit.py.",
)


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=40)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    for name, default in (("filters", 48), ("width", 48), ("hit-layers", 1), ("token-layers", 2)):
        parser.add_argument(
            f"--{name}", type=int, default=default, help="of the network (default: %(default)s)"
        )
    parser.add_argument(
        "--loss",
        choices=LOSSES,
        default="ordered",
        help="ordered: tracks in their order along the foil; matched: in any order (default: %(default)s)",
    )
    parser.add_argument(
        "--start-from",
        metavar="MODEL",
        help="begin with the weights of a trained model (default: random ones)",
    )
    lib.generator_arguments(parser, GENERATORS)
    parser.set_defaults(generator="data_mix", test_events=16384)
    args = parser.parse_args(argv)
    if args.data:
        parser.error(
            "--data: the track finder trains on a generator's events, which know the owners of every hit"
        )
    return args


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    from architectures import losses, optimizer, track_finder

    generate, _ = GENERATORS[args.generator]
    data = batches.load(clustering.task, generate, **lib.data_settings(args))
    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = track_finder.track_finder(
            filters=args.filters,
            width=args.width,
            n_hit_layers=args.hit_layers,
            n_token_layers=args.token_layers,
        )
        if args.start_from:
            lib.start_from(model, args.start_from)
        count = "sparse_categorical_crossentropy"
        model.compile(
            optimizer.muon(args.learning_rate, args.epochs * steps),
            loss={"track": losses.OF_TRACKS[args.loss], "n_tracks": count, "n_segments": count},
            loss_weights={"track": 1.0, "n_tracks": 0.3, "n_segments": 0.1},
            metrics={
                "track": [losses.hit_accuracy, losses.perfect],
                "n_tracks": "accuracy",
                "n_segments": "accuracy",
            },
        )
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    tests = dict(data.tests)
    for preset in PRESETS:
        tests[preset] = realistic.generate(args.test_events, preset=preset, seed=[args.seed, 2])
    scores = {}
    for name, events in tests.items():
        print(f"testing on {len(events)} events, {name}", flush=True)
        scores[name] = evaluate(model, events)
    limits = LIMITS if "electrons" in args.generator else (*LIMITS, STRAIGHT)
    lib.finish(model, args, scores, data.description, OUTPUTS, limits)
    perfect = scores["test"]["all"]["perfect"]
    print(
        f"{perfect['n']} events, {perfect['value']:.2%} perfect by the network alone; in {args.out}"
    )
    return scores


def evaluate(model, events):
    """Figures of merit of the network alone."""
    import inference

    return metrics.clustering_of(events, inference.find_tracks(events, model, refit_lines=False))


if __name__ == "__main__":
    lib.run(main)
