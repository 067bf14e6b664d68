"""Train a network of two channels, the event and a seed, to say which hits are on the track of the seed.

    python scripts/two_channels.py --out runs/two_channels
    python scripts/two_channels.py --network deep --epochs 4 --out runs/two_channels_deep

The seed is the outermost hit of a track, as `datasets/clustering_images.py` says; an event gives a row for each
of its tracks and for its noise. The card has the figures of merit by number of tracks beside those of the
trivial answers and of the straight line through the seed that has most hits, which learns nothing. A run is
tested on files by `testing_clustering.py` and compared by `benchmark_clustering.py --image-models`.
"""

import argparse

import lib
import metrics
from datasets import batches, clustering_images
from my_generator import realistic

OUTPUTS = "logit that a lit cell is on the track of the seed; dark cells mean nothing"


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=2)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    add = parser.add_argument
    network_help = (
        "one layer of filters, or an encoder-decoder that sees all columns (default: %(default)s)"
    )
    add("--network", choices=("one_layer", "deep"), default="one_layer", help=network_help)
    tracks_help = "of fresh events (default: 1 2 3 4)"
    add(
        "--tracks",
        type=lib.at_least(1),
        nargs="+",
        default=[1, 2, 3, 4],
        metavar="N",
        help=tracks_help,
    )
    generators = (*realistic.RESPONSES, *realistic.MIXES)
    lib.generator_arguments(
        parser, generators, epoch_events=16384, val_events=2048, test_events=8192
    )
    parser.set_defaults(generator="mix", target="cells", answers="seeded")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    import inference
    from architectures import losses, optimizer, two_channels

    steps = args.epoch_events // args.batch_size
    build = {"one_layer": two_channels.one_layer, "deep": two_channels.deep}[args.network]
    with lib.choose_strategy(args).scope():
        model = build((*clustering_images.SHAPE, clustering_images.N_INPUTS["seeded"]))
        muon = optimizer.muon(args.learning_rate, args.epochs * steps)
        watched = {"cells": [losses.right_on_lit_cells]}
        model.compile(muon, loss={"cells": losses.on_lit_cells}, metrics=watched)
    task = clustering_images.task("seeded")
    data = batches.load(
        task, realistic.generator(args.generator, args.tracks), **lib.data_settings(args)
    )
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    scores = inference.test_images(model, data.val_events, data.tests, "seeded")
    lib.finish(model, args, scores, data.description, OUTPUTS)
    print(f"{metrics.describe_cells(scores['test'])}\nin {args.out}")
    return scores


if __name__ == "__main__":
    lib.run(main)
