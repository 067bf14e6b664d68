"""Take the leftmost track out of an event's code: a small network between a trained encoder and its decoder.

    python scripts/autoencoder.py --no-skip-connections --code 64 --dilations 1 2 4 8 16 --out runs/code_64
    python scripts/latent_removal.py runs/code_64 --out runs/latent_removal
    python scripts/latent_removal.py runs/vae --out runs/latent_removal_vae

Takes the path of a run of `autoencoder.py` with a short code or of `vae.py` without a hint. Encoder and decoder
stay as they are. The network between them learns to make of an event's code that of the event without its left
track: squared distance in the code, and the lit cells behind the decoder. Saved is all of it as one network of
answers "removal", so that it is judged as those of `clustering_one.py` are.

What it can do is bounded by the autoencoder: the card also has what the decoder makes of the true code, the one
of the event without its left track (`true_code`), and how well whole events are copied (`copy`).
"""

import argparse

import numpy as np

import lib
import metrics
from datasets import batches, clustering_images
from my_generator import realistic

OUTPUTS = "logit that a lit cell stays when the leftmost track goes; dark cells mean nothing"
N_CODES = 8192  # events whose codes say how wide they are
CHUNK = 512  # events that a decoder makes images of together
NARROWEST = (
    0.1  # of the widest dimension: narrower ones, which say little, are not blown up further
)


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=10, batch_size=128)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    add = parser.add_argument
    add("model", help="path of a run of autoencoder.py with --code, or of vae.py")
    hidden_help = "of the dense layers between encoder and decoder (default: 512 512)"
    add(
        "--hidden",
        type=lib.at_least(1),
        nargs="+",
        default=[512, 512],
        metavar="N",
        help=hidden_help,
    )
    add(
        "--code-weight",
        type=float,
        default=1.0,
        help="of the distance in the code (default: %(default)s)",
    )
    add("--cell-weight", type=float, default=1.0, help="of the lit cells (default: %(default)s)")
    tracks_help = "of fresh events (default: 1 2 3 4)"
    add(
        "--tracks",
        type=lib.at_least(1),
        nargs="+",
        default=[1, 2, 3, 4],
        metavar="N",
        help=tracks_help,
    )
    lib.generator_arguments(parser, (*realistic.RESPONSES, *realistic.MIXES), test_events=16384)
    defaults = {
        "generator": "mix",
        "val_events": 4096,
        "epoch_events": 16384,
        "learning_rate": 2e-3,
    }
    parser.set_defaults(target="cells", answers="removal", **defaults)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    import inference
    from architectures import losses, optimizer
    from vae import lib as models

    steps = args.epoch_events // args.batch_size
    generate = realistic.generator(args.generator, args.tracks)
    task = clustering_images.task("removal")
    data = batches.load(task, generate, **lib.data_settings(args))
    with lib.choose_strategy(args).scope():
        trained = lib.load_model(args.model)
        encoder, decoder = models.parts_of(trained)
        mean, width = codes_of(encoder, data.val_events)
        mover = models.code_mover(mean, width, args.hidden)
        weights = {"code_weight": args.code_weight, "cell_weight": args.cell_weight}
        model = models.LatentRemoval(encoder, mover, decoder, width, **weights)
        model.compile(optimizer.muon(args.learning_rate, args.epochs * steps), losses.on_lit_cells)
    lib.fit(model, data, args, steps)

    network = lib.in_float32(models.removal_network(encoder, mover, decoder))
    remove_last = 1 in args.tracks
    tests = data.tests
    scores = inference.test_images(
        network, data.val_events, tests, "removal", remove_last=remove_last
    )
    copies = inference.test_images(trained, data.val_events, tests, "copy")
    for name, events in tests.items():
        scores[name]["true_code"] = test_true_code(trained, events)
        scores[name]["copy"] = copies[name]
    lib.finish(network, args, scores, data.description, OUTPUTS)
    print(metrics.describe_cells(scores["test"]))
    print(f"of the true code:\n{metrics.describe_removal(scores['test']['true_code'])}")
    print(f"of copies:\n{metrics.describe_cells(scores['test']['copy'])}\nin {args.out}")
    return scores


def codes_of(encoder, events):
    """Mean and width of the codes of events, (n_latent,) each."""
    image = clustering_images.task("copy").inputs(events[:N_CODES])
    codes = encoder.predict(image, verbose=0)
    deviation = codes.std(0)
    return codes.mean(0), np.maximum(deviation, NARROWEST * deviation.max())


def test_true_code(trained, events, threshold=0.5):
    """Figures of merit of the removal that a perfect network between encoder and decoder would give, one answer
    of `metrics.removal_with_trivial` and the trivial ones.
    """
    import inference
    from datasets.events import offsets_of

    copier = inference.load(trained)
    answer = clustering_images.removed_left(events)
    asked = answer != clustering_images.DARK
    without_left = (answer > 0).astype(np.uint8)
    parts = np.split(without_left, range(CHUNK, len(events), CHUNK))
    logits = np.concatenate([inference.say(copier, part) for part in parts])
    kept = logits[asked] >= np.log(threshold / (1 - threshold))
    n_tracks = events.info["n_tracks"]
    return metrics.removal_with_trivial(
        offsets_of(asked.sum((1, 2, 3))), answer[asked] > 0, kept, n_tracks
    )


if __name__ == "__main__":
    lib.run(main)
