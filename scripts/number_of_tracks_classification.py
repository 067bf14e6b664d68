"""Count the tracks (1 to 4), or the straight segments (1 to 6 or more), of an event in one view.

    python scripts/number_of_tracks_classification.py --view top --out models/top_my_generator
    python scripts/number_of_tracks_classification.py --target segments --generator kinked --out models/linear_segments

Trains on fresh events of a generator, or on files (`--data`), and writes model, card, history and confusion matrix to the run
folder. The test events, and the files of `--test-data`, are looked at once, at the end. Times and accuracies of the shipped
models stand in the README.
"""

import argparse

import lib
import metrics
import plotting
from architectures import front, side, top, top_big
from datasets import number_of_tracks, views
from my_generator import GENERATORS

NETWORKS = {"top": top, "side": side, "front": front}
OUTPUTS = {
    "tracks": "probability of 1, 2, 3 and 4 tracks",
    "segments": "probability of 1, 2, 3, 4, 5 and of 6 or more straight segments; a track with a kink has two",
}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=[lib.run_arguments(epochs=20)])
    parser.add_argument("--view", choices=NETWORKS, default="top", help="(default: %(default)s)")
    parser.add_argument(
        "--size",
        choices=("small", "standard", "big"),
        default="standard",
        help="small: a tower of the combined model; big: the large plain network, top view only (default: %(default)s)",
    )
    parser.add_argument(
        "--target",
        choices=number_of_tracks.TARGETS,
        default="tracks",
        help="segments: a track with a kink has two; needs events with kinks, as those of --generator kinked (default: %(default)s)",
    )
    parser.add_argument("--start-from", metavar="MODEL", help="begin with the weights of a trained model (default: random ones)")
    lib.generator_arguments(parser, GENERATORS)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)
    generate, n_sides = GENERATORS[args.generator]
    n_channels = args.sides or n_sides
    data = number_of_tracks.load((args.view,), generate=generate, n_channels=n_channels, target=args.target, **lib.data_settings(args))
    labels = number_of_tracks.TARGETS[args.target]
    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = build(args.view, args.size, (*views.SHAPES[args.view], n_channels), len(labels))
        if args.start_from:
            model.set_weights(lib.load_model(args.start_from).get_weights())
        optimizer = lib.optimizer(args.learning_rate, args.epochs * steps)
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.train, validation_data=data.val, epochs=args.epochs, steps_per_epoch=steps, callbacks=lib.callbacks(args), verbose=2)
    model = lib.in_float32(model)
    scores = {}
    for name, test in data.tests.items():
        classes, probabilities = lib.predict(model, test)
        scores[name] = metrics.counting(classes + 1, probabilities, labels)
    lib.save_run(model, args, scores, data.description, OUTPUTS[args.target], metrics.failures(scores["test"]))
    plotting.history(lib.read_history(args.out / "history.csv"), args.out / "history.pdf")
    found = scores["test"]
    plotting.confusion(found["confusion"], args.out / "confusion.pdf", found["labels"], args.out.name, args.target)
    lib.draw_model(model, args.out / "model.png")
    return scores


def build(view, size, input_shape, n_classes=4):
    """The network of a view in one of its sizes."""
    if size == "big":
        if view != "top":
            raise SystemExit(f"--size big is for the top view, not {view}")
        return top_big.top_big_cnn(input_shape, n_classes)
    module = NETWORKS[view]
    network = getattr(module, f"{view}_view_cnn")
    return network(input_shape, n_classes, **(module.SMALL if size == "small" else {}))


if __name__ == "__main__":
    main()
