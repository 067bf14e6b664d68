"""Train a network that gives hints to the track fit: the segment of the angle, and of the place on the foil.

    python scripts/fitting_hints.py --out models/fitting_hints
    python scripts/fitting_hints.py --view hits --out runs/hints_with_radii
    python scripts/fitting_hints.py --answers shares --out runs/hints_of_several

Angles in the top view are told in 5 and 30 segments, places along the foil in 10 and 113. One answer is for
events of one track; of 1 to 4 tracks a network says which share of them is in each segment (`shares`), or the
segments of each track in their order along the foil (`each`). Trains on fresh events of the straight-line toy,
ideal or with a detector's response, or on its files (`--data`). An epoch of 65,536 events takes one to two
minutes on one core; times and figures of the shipped models stand in `docs/models.md`.
"""

import argparse

import lib
import metrics
from datasets import batches, fitting_hints, views
from my_generator import realistic

VIEWS = ("top", "hits")
ANSWERS = ("one", "shares", "each")
OUTPUTS = {
    "one": "probability of each segment of the angle, -90 to 90 degrees, and of the foil",
    "shares": "share of the tracks in each segment; n_tracks: probability of 1 to 4 tracks",
    "each": "probability of each segment for each of 4 tracks along the foil; n_tracks: of 1 to 4 tracks",
}


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=20)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    add = parser.add_argument
    add(
        "--view",
        choices=VIEWS,
        default="top",
        help="what the network sees; hits have radii (default: %(default)s)",
    )
    add("--answers", choices=ANSWERS, default="one", help="what it says (default: %(default)s)")
    add(
        "--start-from",
        metavar="MODEL",
        help="begin with the weights of a trained model, where layers are alike",
    )
    lib.generator_arguments(parser, (*realistic.RESPONSES, *realistic.MIXES))
    parser.set_defaults(generator="mix", target="hints")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    import inference
    from architectures import losses, optimizer
    from architectures.fitting_hints import fitting_hints as network

    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        shape = None if args.view == "hits" else (*views.SHAPES[args.view], 1)
        model = network(args.view, shape, answers=args.answers)
        if args.start_from:
            lib.start_from(model, args.start_from, all_layers=False)
        muon = optimizer.muon(args.learning_rate, args.epochs * steps)
        model.compile(muon, **losses.objective(fitting_hints.N_CLASSES, args.answers))
    tracks = (1,) if args.answers == "one" else (1, 2, 3, 4)
    task = fitting_hints.task(args.view, args.answers)
    data = batches.load(
        task, realistic.generator(args.generator, tracks), **lib.data_settings(args)
    )
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    scores = inference.test_labels(model, data.tests, args.answers)
    lib.finish(model, args, scores, data.description, OUTPUTS[args.answers])
    print(f"{metrics.describe_labels(scores['test'])}\nin {args.out}")
    return scores


if __name__ == "__main__":
    lib.run(main)
