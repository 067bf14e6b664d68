"""Train an image network to cluster: to take a track away, to sort tracks into channels, or to grow one.

    python scripts/clustering_one.py --tracks 2 --generator ideal --out models/clustering_matteo_with_skip_connections
    python scripts/clustering_one.py --answers channels --loss matched --out runs/channels
    python scripts/clustering_one.py --answers seeded --out runs/seeded
    python scripts/clustering_one.py --filters 8 16 32 --epochs 3 --epoch-events 16384 --out runs/small

The network is Matteo's encoder-decoder, which sees the top view of one tracker side and gives logits of every
cell; only lit cells count. `datasets/clustering_images.py` says what it is asked. A threshold is chosen on
validation events. The card has the figures of merit by number of tracks, beside the trivial answers, and
those of the tracks that follow (`finding/by_images.py`, number of tracks given).
"""

import argparse

import lib
import metrics
from datasets import batches, clustering_images
from my_generator import realistic

ANSWERS = ("removal", "channels", "seeded")
LOSSES = ("ordered", "matched")  # of `architectures.losses.OF_CHANNELS`
OUTPUTS = {
    "removal": "logit that a lit cell stays when the leftmost track goes; dark cells mean nothing",
    "channels": "logits of 4 tracks and of noise, of each lit cell; dark cells mean nothing",
    "seeded": "logit that a lit cell is on the track of the seed; dark cells mean nothing",
}


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=20)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    add = parser.add_argument
    add("--answers", choices=ANSWERS, default="removal", help="what it says (default: %(default)s)")
    loss_help = (
        "of channels; ordered: tracks from the left; matched: in any order (default: %(default)s)"
    )
    add("--loss", choices=LOSSES, default="ordered", help=loss_help)
    lib.encoder_decoder_arguments(parser)
    lib.generator_arguments(parser, (*realistic.RESPONSES, *realistic.MIXES), test_events=16384)
    parser.set_defaults(generator="mix", target="cells", val_events=4096)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    import inference
    from architectures import losses, optimizer
    from architectures.matteo import encoder_decoder

    steps = args.epoch_events // args.batch_size
    shape = (*clustering_images.SHAPE, clustering_images.N_INPUTS[args.answers])
    n_outputs = clustering_images.N_OUTPUTS[args.answers]
    with lib.choose_strategy(args).scope():
        model = encoder_decoder(shape, n_outputs, **lib.encoder_decoder_options(args))
        if args.start_from:
            lib.start_from(model, args.start_from, all_layers=False)
        loss, watched = losses.on_lit_cells, losses.right_on_lit_cells
        if args.answers == "channels":
            loss, watched = losses.OF_CHANNELS[args.loss], losses.right_channels
        muon = optimizer.muon(args.learning_rate, args.epochs * steps)
        model.compile(muon, loss={"cells": loss}, metrics={"cells": [watched]})
    task = clustering_images.task(args.answers)
    data = batches.load(
        task, realistic.generator(args.generator, args.tracks), **lib.data_settings(args)
    )
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    remove_last = 1 in args.tracks
    scores = inference.test_images(
        model, data.val_events, data.tests, args.answers, remove_last=remove_last
    )
    lib.finish(model, args, scores, data.description, OUTPUTS[args.answers])
    print(f"{metrics.describe_cells(scores['test'])}\nin {args.out}")
    return scores


if __name__ == "__main__":
    lib.run(main)
