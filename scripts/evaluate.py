"""Measure a trained counter on labelled files.

    python scripts/evaluate.py top_my_generator FILES... --json out.json

Takes a shipped model's name or the path of a run. What the model counts, tracks or straight segments, stands
in its card; of segments the highest label is that number or more. Prints the confusion matrix and writes the
figures of merit as JSON: `target`, `n_events`, `accuracy` (0 to 1), `interval` (68 %, binomial), `confusion`
(rows true, columns predicted), `labels` of its rows and columns.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from datasets import number_of_tracks
from datasets.readers import open_events


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of a shipped model, or path of a run folder or .keras file")
    parser.add_argument("files", nargs="+", help="files or globs, labelled with their number of tracks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of merit here")
    parser.add_argument("--batch-size", type=lib.at_least(1), default=128, help="(default: %(default)s)")
    inference.add_engine(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    network = inference.load(args.model, args.engine)
    truth, probabilities = [], []
    tables = open_events.stream(args.files, progress=True)
    for path, events in lib.once_a_file(tables, partial(inference.kind_note, network)):
        truth.append(number_of_tracks.classes(events, path, network.target) + 1)
        probabilities.append(inference.count_probabilities(events, network, args.batch_size))
    if not any(map(len, truth)):
        raise ValueError(f"{', '.join(args.files)}: no events")
    probabilities = np.concatenate(probabilities)
    scores = metrics.counting(np.concatenate(truth), probabilities, range(probabilities.shape[1]))
    scores = {"model": args.model, "target": network.target, "files": args.files, **scores}
    print(metrics.describe(scores, network.target))
    if args.json:
        lib.write_json(args.json, scores)
    return scores


if __name__ == "__main__":
    lib.run(main)
