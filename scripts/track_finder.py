"""Train the track finder: which hits of a tracker side belong together, which are noise, how many tracks and segments there are.

    python scripts/track_finder.py --precision mixed_bfloat16 --out models/track_finder

Trains on fresh events: half of them like data, the others ideal, like simulation, or worse than data. The card gives the figures of
merit of the network alone for every kind; those with the line fit that follows it are `benchmark_clustering.py`'s.
"""

import argparse

import lib
import metrics
import plotting
from architectures import track_finder
from datasets import clustering
from fitting import refit
from my_generator import GENERATORS, realistic
from my_generator.response import PRESETS

LOSSES = {"ordered": track_finder.ordered_loss, "matched": track_finder.assignment_loss}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=[lib.run_arguments(epochs=40)])
    for name, default in (("filters", 48), ("width", 48), ("hit-layers", 1), ("token-layers", 2)):
        parser.add_argument(f"--{name}", type=int, default=default, help="of the network (default: %(default)s)")
    parser.add_argument(
        "--loss",
        choices=LOSSES,
        default="ordered",
        help="ordered: tracks in the order of their foil points; matched: in any order (default: %(default)s)",
    )
    parser.add_argument("--start-from", metavar="MODEL", help="begin with the weights of a trained model (default: random ones)")
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
            filters=args.filters, width=args.width, n_hit_layers=args.hit_layers, n_token_layers=args.token_layers
        )
        if args.start_from:
            model.set_weights(lib.load_model(args.start_from).get_weights())
        count = "sparse_categorical_crossentropy"
        model.compile(
            lib.optimizer(args.learning_rate, args.epochs * steps),
            loss={"track": LOSSES[args.loss], "n_tracks": count, "n_segments": count},
            loss_weights={"track": 1.0, "n_tracks": 0.3, "n_segments": 0.1},
            metrics={"track": [track_finder.hit_accuracy, track_finder.perfect], "n_tracks": "accuracy", "n_segments": "accuracy"},
        )
    model.fit(data.train, validation_data=data.val, epochs=args.epochs, steps_per_epoch=steps, callbacks=lib.callbacks(args), verbose=2)
    model = lib.in_float32(model)
    tests = data.tests | {name: realistic.generate(args.test_events, preset=name, seed=[args.seed, 2]) for name in PRESETS}
    scores = {name: evaluate(model, events) for name, events in tests.items()}
    lib.save_run(
        model, args, scores, data.description, "track: probability of each of 4 tracks and of none; n_tracks, n_segments: of 0, 1, ..."
    )
    plotting.history(lib.read_history(args.out / "history.csv"), args.out / "history.pdf")
    lib.draw_model(model, args.out / "model.png")
    return scores


def evaluate(model, events):
    """Figures of merit of the network alone."""
    return metrics.clustering_of(events, refit.labels_of(events, clustering.predict(model, events)["track"]))


if __name__ == "__main__":
    main()
