"""Measure a trained model on labelled files: one that counts, names calorimeter blocks or gives fit hints.

    python scripts/evaluate.py top_my_generator FILES... --json out.json

Takes a shipped model's name or the path of a run; what the model says stands in its card. Prints and writes
as JSON `n_events`, `accuracy` (0 to 1) and its `interval` (68 %, binomial), `by_tracks` the same by true number
of tracks. Of a counter also the `confusion` matrix (rows true, columns predicted) and the `labels` of its rows
and columns; of segments the highest label is that number or more. Of blocks and hints an event is right if
those of all its tracks are, and `targets` has each of them alone.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from datasets import batches, number_of_tracks
from datasets.readers import open_events


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "model", help="name of a shipped model, or path of a run folder or .keras file"
    )
    parser.add_argument(
        "files", nargs="+", help="files or globs, labelled with their number of tracks"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of merit here")
    parser.add_argument(
        "--batch-size", type=lib.at_least(1), default=128, help="(default: %(default)s)"
    )
    inference.add_engine(parser)
    open_events.add_visible_cells(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    network = inference.load(args.model, args.engine)
    measure = measure_labels if network.answers else measure_counter
    scores = {
        "model": args.model,
        "target": network.target,
        "files": args.files,
        **measure(network, args),
    }
    describe = (
        metrics.describe_labels
        if network.answers
        else partial(metrics.describe, what=network.target)
    )
    print(describe(scores))
    if args.json:
        lib.write_json(args.json, scores)
    return scores


def measure_counter(network, args):
    """Figures of merit of a counter, as `metrics.counting` gives them."""
    truth, probabilities = [], []
    tables = open_events.stream(args.files, progress=True, visible_cells=args.visible_cells)
    truth_note = partial(open_events.truth_note, visible_cells=args.visible_cells)
    for path, events in lib.once_a_file(tables, partial(inference.kind_note, network), truth_note):
        truth.append(number_of_tracks.classes(events, path, network.target) + 1)
        probabilities.append(inference.count_probabilities(events, network, args.batch_size))
    if not any(map(len, truth)):
        raise ValueError(f"{', '.join(args.files)}: no events")
    probabilities = np.concatenate(probabilities)
    return metrics.counting(np.concatenate(truth), probabilities, range(probabilities.shape[1]))


def measure_labels(network, args):
    """Figures of merit of a network that names classes of tracks, as `inference.judge` gives them."""
    events = batches.read(inference.task_of(network), args.files)
    said = inference.label_probabilities(events, network, args.batch_size)
    return inference.judge(events, said, network.answers, threshold_of(args.model))


def threshold_of(model):
    """The probability from which on a label counts as said; the card has it where it was chosen."""
    return lib.load_card(model)["metrics"]["test"].get("threshold", 0.5)


if __name__ == "__main__":
    lib.run(main)
