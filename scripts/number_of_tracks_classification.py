"""Count the tracks (1 to 4), or the straight segments (1 to 6 or more), of an event in one view.

    python scripts/number_of_tracks_classification.py --view top --out models/top_my_generator
    python scripts/number_of_tracks_classification.py --target segments --generator kinked --out models/linear_segments

The networks are transformers, which learn beside the number which tracks are in each piece of the image;
those of `--size small`, the towers of the combined model, are residual networks.

Trains on fresh events of a generator, or on files (`--data`), and writes model, card, history and confusion
matrix to the run folder. The test events, and the files of `--test-data`, are looked at once, at the end.
Times and accuracies of the shipped models stand in `docs/models.md`.
"""

import argparse
import math

import lib
import metrics
import plotting
from datasets import batches, number_of_tracks, views
from my_generator import GENERATORS

VIEWS = ("top", "side", "front")
SIZES = ("small", "standard", "big")
OUTPUTS = {
    "tracks": "probability of 1, 2, 3 and 4 tracks",
    "segments": "probability of 1, 2, 3, 4, 5 and of 6 or more straight segments; a track with a kink has two",
}


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=20)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    parser.add_argument("--view", choices=VIEWS, default="top", help="(default: %(default)s)")
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="standard",
        help="small: a tower of the combined model; big: the large plain network, top view only "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--target",
        choices=number_of_tracks.TARGETS,
        default="tracks",
        help="segments: a track with a kink has two; needs events with kinks, as those of --generator kinked "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--owners-weight",
        type=float,
        default=1.0,
        help="of the loss of a transformer's second task, the owners of the pieces; 0: it learns the number alone "
        "(default: %(default)s)",
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

    import inference
    from architectures import optimizer, view_transformer

    generate, n_sides = GENERATORS[args.generator]
    n_channels = number_of_tracks.n_channels_for(args.sides, args.data, n_sides)
    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = build(args.view, args.size, (*views.SHAPES[args.view], n_channels), args.target)
        if args.start_from:
            lib.start_from(model, args.start_from)
        muon = optimizer.muon(args.learning_rate, args.epochs * steps)
        model.compile(muon, **objective(model, args.owners_weight))
    learns_owners = "owners" in model.output_names
    owners_in = model.get_layer("lit_pieces").length if learns_owners else None
    task = number_of_tracks.task((args.view,), n_channels, args.target, owners_in)
    data = batches.load(task, generate, **lib.data_settings(args))
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    if learns_owners:
        model = view_transformer.counter_of(model)
    scores = inference.test_counter(model, data.tests, args.target)
    failures = metrics.failures(scores["test"], what=args.target)
    if args.generator in lib.IDEAL and not args.data:
        failures += lib.KNOWS_IDEAL
    lib.finish(model, args, scores, data.description, OUTPUTS[args.target], failures)
    found = scores["test"]
    picture = args.out / "confusion.pdf"
    plotting.confusion(found["confusion"], picture, found["labels"], args.out.name, args.target)
    print(f"{metrics.describe(found, args.target)}\nin {args.out}")
    return scores


def build(view, size, input_shape, target="tracks"):
    """The network of a view in one of its sizes, for what is to be counted."""
    from architectures import front, side, top, top_big

    networks = {
        ("top", "standard"): top.top_view_transformer,
        ("top", "small"): top.top_view_cnn,
        ("top", "big"): top_big.top_big_cnn,
        ("side", "standard"): side.side_view_transformer,
        ("side", "small"): side.side_view_cnn,
        ("front", "standard"): front.front_view_transformer,
        ("front", "small"): front.front_view_cnn,
    }
    if (view, size) not in networks:
        raise ValueError(f"--size {size} is for the top view, not {view}")
    n_classes = len(number_of_tracks.TARGETS[target])
    owners = {}
    if size == "standard":
        owners["n_owners"] = math.prod(number_of_tracks.OWNERS[target].values())
    return networks[view, size](input_shape, n_classes, **owners)


def objective(model, owners_weight):
    """What a network is to learn, as arguments of `compile`: the number, a transformer the owners of pieces
    too.
    """
    from architectures import losses

    number = "sparse_categorical_crossentropy"
    if "owners" not in model.output_names:
        return {"loss": number, "metrics": ["accuracy"]}
    return {
        "loss": {"n_tracks": number, "owners": losses.owners_of_pieces},
        "loss_weights": {"n_tracks": 1.0, "owners": owners_weight},
        "metrics": {"n_tracks": ["accuracy"]},
    }


if __name__ == "__main__":
    lib.run(main)
