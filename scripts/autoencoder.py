"""Train an autoencoder of the top view: Matteo's encoder-decoder, which copies events.

    python scripts/autoencoder.py --generator ideal --out models/matteo_with_skip
    python scripts/autoencoder.py --generator ideal --no-skip-connections --out models/matteo_without_skip
    python scripts/autoencoder.py --filters 8 16 32 --no-skip-connections --epochs 3 --out runs/small

With skip connections a copy is no task. Without them all goes through the latent level, 29 x 3 cells of the
last filters. The card has the lit cells that the copy lost (`less_than_expected`), the dark ones that it lit
(`more_than_expected`, and `randomly_added` as a share of all that it lit), and the events copied without a
wrong cell, beside the trivial answer "remove all", an empty image.
"""

import argparse

import lib
import metrics
from datasets import batches, clustering_images
from my_generator import realistic

OUTPUTS = "logit that a cell is lit"


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=10)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    lib.encoder_decoder_arguments(parser)
    lib.generator_arguments(parser, (*realistic.RESPONSES, *realistic.MIXES))
    defaults = {
        "generator": "mix",
        "val_events": 2048,
        "test_events": 8192,
    }  # every cell of them is judged
    parser.set_defaults(target="cells", answers="copy", **defaults)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    import inference
    from architectures import losses, optimizer
    from architectures.matteo import encoder_decoder

    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        shape = (*clustering_images.SHAPE, 1)
        model = encoder_decoder(shape, 1, **lib.encoder_decoder_options(args))
        if args.start_from:
            lib.start_from(model, args.start_from, all_layers=False)
        muon = optimizer.muon(args.learning_rate, args.epochs * steps)
        model.compile(muon, loss={"cells": losses.on_all_cells})
    task = clustering_images.task("copy")
    data = batches.load(
        task, realistic.generator(args.generator, args.tracks), **lib.data_settings(args)
    )
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    scores = inference.test_images(model, data.val_events, data.tests, "copy")
    lib.finish(model, args, scores, data.description, OUTPUTS)
    print(f"{metrics.describe_cells(scores['test'])}\nin {args.out}")
    return scores


if __name__ == "__main__":
    lib.run(main)
