"""Train a network that names the calorimeter blocks, columns or rows or both, that tracks end in.

    python scripts/associated_calorimeter.py --out models/calorimeter_column
    python scripts/associated_calorimeter.py --answers shares --out models/calorimeter_columns_softmax
    python scripts/associated_calorimeter.py --answers several --out models/calorimeter_columns_bce
    python scripts/associated_calorimeter.py --answers each --view hits --target both --out models/calorimeter_hits

One answer is for events of one track. Of events of 1 to 4 tracks, not clustered, a network says which share of
the tracks ends in each column (`shares`), or for each column whether a track ends there (`several`), or the
column of each track in their order along the foil (`each`). Trains on fresh events of the straight-line toy,
ideal or with a detector's response, or on its files (`--data`). An epoch of 65,536 events takes one to two
minutes on one core; times and figures of the shipped models stand in `docs/models.md`.
"""

import argparse

import lib
import metrics
from datasets import associated_calohit_multilabel, associated_calohit_singlelabel, batches, views
from my_generator import realistic

VIEWS = ("top", "side", "front", "hits")
TARGETS = {"column": ("column",), "row": ("row",), "both": ("column", "row")}
ANSWERS = ("one", *associated_calohit_multilabel.ANSWERS)
SIZES = ("standard", "published")
OUTPUTS = {
    "one": "probability of each column 0 to 21, or row 0 to 14, of the event's only track",
    "shares": "share of the tracks that end in each column, or row; n_tracks: probability of 1 to 4 tracks",
    "several": "probability that a track ends in each column, or row; n_tracks: probability of 1 to 4 tracks",
    "each": "probability of each column, or row, of each of 4 tracks along the foil; n_tracks: of 1 to 4 tracks",
}


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=20)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    add = parser.add_argument
    add("--view", choices=VIEWS, default="top", help="what the network sees (default: %(default)s)")
    add("--target", choices=TARGETS, default="column", help="(default: %(default)s)")
    add("--answers", choices=ANSWERS, default="one", help="what it says (default: %(default)s)")
    add(
        "--size",
        choices=SIZES,
        default="standard",
        help="published: the large convolutional network",
    )
    add(
        "--start-from",
        metavar="MODEL",
        help="begin with the weights of a trained model, where layers are alike",
    )
    lib.generator_arguments(parser, (*realistic.RESPONSES, *realistic.MIXES))
    parser.set_defaults(generator="mix")
    args = parser.parse_args(argv)
    if args.size == "published" and (args.view == "hits" or args.answers in ("one", "each")):
        parser.error("--size published: it sees a view, and answers with shares or several")
    return args


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    import inference
    from architectures import losses, optimizer

    targets = TARGETS[args.target]
    task, tracks = task_of(args.view, targets, args.answers)
    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = build(args.view, targets, args.answers, args.size)
        if args.start_from:
            lib.start_from(model, args.start_from, all_layers=False)
        muon = optimizer.muon(args.learning_rate, args.epochs * steps)
        model.compile(muon, **losses.objective(targets, args.answers))
    data = batches.load(
        task, realistic.generator(args.generator, tracks), **lib.data_settings(args)
    )
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    threshold = (
        best_threshold(model, data.val_events, targets) if args.answers == "several" else 0.5
    )
    scores = inference.test_labels(model, data.tests, args.answers, threshold)
    lib.finish(model, args, scores, data.description, OUTPUTS[args.answers])
    print(f"{metrics.describe_labels(scores['test'])}\nin {args.out}")
    return scores


def best_threshold(model, events, targets):
    """The probability from which on a label counts as said, for which most validation events are right."""
    import inference

    said = inference.label_probabilities(events, model)
    name = targets[0]
    truth = inference.classes_of_tracks(events, name)
    counted = associated_calohit_multilabel.counts(events, truth, said[name].shape[-1])
    return metrics.best_threshold(counted, said[name])


def task_of(view, targets, answers):
    """The task, and the numbers of tracks of its events."""
    if answers == "one":
        return associated_calohit_singlelabel.task(view, targets), (1,)
    return associated_calohit_multilabel.task(view, targets, answers), (1, 2, 3, 4)


def build(view, targets, answers, size="standard"):
    """The network for what is to be named."""
    from architectures import (
        associated_calorimeter,
        front_associated_calorimeter,
        side_associated_calorimeter,
        top_associated_calorimeter,
    )

    if size == "published":
        networks = {
            "top": top_associated_calorimeter.top_associated_calorimeter,
            "side": side_associated_calorimeter.side_associated_calorimeter,
            "front": front_associated_calorimeter.front_associated_calorimeter,
        }
        activation = "sigmoid" if answers == "several" else "softmax"
        return networks[view](targets=targets, activation=activation)
    shape = None if view == "hits" else (*views.SHAPES[view], 1)
    return associated_calorimeter.transformer(view, shape, targets, answers)


if __name__ == "__main__":
    lib.run(main)
