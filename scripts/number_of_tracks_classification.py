"""Count the tracks (1 to 4), or the straight segments (1 to 6 or more), of an event in one view.

    python scripts/number_of_tracks_classification.py --view top --out models/top_my_generator
    python scripts/number_of_tracks_classification.py --target segments --generator kinked --out models/linear_segments

The networks are transformers, which learn beside the number which tracks are in each piece of the image;
those of `--size small`, the towers of the combined model, are residual networks.

Trains on fresh events of a generator, or on files (`--data`), and writes model, card, history and confusion
matrix to the run folder. The test events, and the files of `--test-data`, are looked at once, at the end.
Times and accuracies of the shipped models stand in the README.
"""

import argparse
import math

from keras import ops

import lib
import metrics
import plotting
from architectures import front, side, top, top_big, view_transformer
from datasets import number_of_tracks, views
from my_generator import GENERATORS

NETWORKS = {
    "top": {"standard": top.top_view_transformer, "small": top.top_view_cnn, "big": top_big.top_big_cnn},
    "side": {"standard": side.side_view_transformer, "small": side.side_view_cnn},
    "front": {"standard": front.front_view_transformer, "small": front.front_view_cnn},
}
OUTPUTS = {
    "tracks": "probability of 1, 2, 3 and 4 tracks",
    "segments": "probability of 1, 2, 3, 4, 5 and of 6 or more straight segments; a track with a kink has two",
}

IDEAL = ("my_generator", "toyhaystack")  # generators of ideal events
KNOWS_IDEAL = [
    "Knows ideal events alone: an isolated hit, a missing height or cross-talk may count as a track."
]


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], parents=[lib.run_arguments(epochs=20)]
    )
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
    parser.add_argument(
        "--owners-weight",
        type=float,
        default=1.0,
        help="of the loss of a transformer's second task, the owners of the pieces; 0: it learns the number alone (default: %(default)s)",
    )
    parser.add_argument(
        "--start-from",
        metavar="MODEL",
        help="begin with the weights of a trained model (default: random ones)",
    )
    lib.generator_arguments(parser, GENERATORS)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)
    generate, n_sides = GENERATORS[args.generator]
    n_channels = args.sides or (number_of_tracks.sides_of_files(args.data) if args.data else n_sides)
    labels = number_of_tracks.TARGETS[args.target]
    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = build(args.view, args.size, (*views.SHAPES[args.view], n_channels), args.target)
        if args.start_from:
            own = {layer.name: layer for layer in model.layers}
            trained = lib.load_model(args.start_from).layers
            if other := [
                layer.name
                for layer in trained
                if layer.name not in own or shapes(layer) != shapes(own[layer.name])
            ]:
                raise ValueError(
                    f"--start-from {args.start_from}: another network than this one, which has no such {other[0]}"
                )
            for layer in trained:
                own[layer.name].set_weights(layer.get_weights())
        model.compile(
            lib.optimizer(args.learning_rate, args.epochs * steps), **objective(model, args.owners_weight)
        )
    owners_in = model.get_layer("lit_pieces").length if "owners" in model.output_names else None
    settings = lib.data_settings(args)
    data = number_of_tracks.load(
        (args.view,),
        generate=generate,
        n_channels=n_channels,
        target=args.target,
        owners_in=owners_in,
        **settings,
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
    if owners_in:
        model = view_transformer.counter_of(model)
    scores = {}
    for name, test in data.tests.items():
        classes, probabilities = lib.predict(model, test)
        scores[name] = metrics.counting(classes + 1, probabilities, labels)
    failures = metrics.failures(scores["test"], what=args.target) + (
        KNOWS_IDEAL if args.generator in IDEAL and not args.data else []
    )
    lib.save_run(model, args, scores, data.description, OUTPUTS[args.target], failures)
    plotting.history(lib.read_history(args.out / "history.csv"), args.out / "history.pdf")
    found = scores["test"]
    plotting.confusion(
        found["confusion"], args.out / "confusion.pdf", found["labels"], args.out.name, args.target
    )
    lib.draw_model(model, args.out / "model.png")
    print(f"{metrics.describe(found, args.target)}\nin {args.out}")
    return scores


def shapes(layer):
    """Shapes of a layer's weights."""
    return [tuple(weight.shape) for weight in layer.weights]


def build(view, size, input_shape, target="tracks"):
    """The network of a view in one of its sizes, for what is to be counted."""
    if size not in NETWORKS[view]:
        raise ValueError(f"--size {size} is for the top view, not {view}")
    owners = {"n_owners": math.prod(number_of_tracks.OWNERS[target].values())} if size == "standard" else {}
    return NETWORKS[view][size](input_shape, len(number_of_tracks.TARGETS[target]), **owners)


def objective(model, owners_weight):
    """What a network is to learn, as keyword arguments of `compile`: the number, a transformer the owners of
    lit pieces too.
    """
    number = "sparse_categorical_crossentropy"
    if "owners" not in model.output_names:
        return {"loss": number, "metrics": ["accuracy"]}
    return {
        "loss": {"n_tracks": number, "owners": owners_loss},
        "loss_weights": {"n_tracks": 1.0, "owners": owners_weight},
        "metrics": {"n_tracks": ["accuracy"]},
    }


def owners_loss(owners, logits):
    """Cross-entropy of which tracks, and noise, are in a lit piece, summed over them; (event,) mean over the
    pieces of an event.

    Args:
        owners: (event, row, piece, owner), as `views.owners` gives it. logits: the same, as the model gives
            it.
    """
    owners = ops.cast(owners, "float32")
    lit = ops.max(owners, -1)
    entropy = ops.sum(ops.binary_crossentropy(owners, logits, from_logits=True), -1)
    return ops.sum(entropy * lit, (1, 2)) / ops.maximum(ops.sum(lit, (1, 2)), 1)


if __name__ == "__main__":
    lib.run(main)
