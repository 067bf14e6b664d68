"""Look at the events that a counter gets wrong.

    python scripts/plot_confusion.py top_my_generator FILES... --out runs/confusion

Draws the confusion matrix, and for every wrong cell of it a page of events, the most confident mistakes first.
"""

import argparse
from pathlib import Path

import numpy as np

import lib
import metrics
import plotting
from architectures import view_transformer  # noqa: F401  saved counters need its layers
from datasets import number_of_tracks, open_events
from datasets.events import concatenate


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of a shipped model, or path of a run folder or .keras file")
    parser.add_argument("files", nargs="+", help="files or globs, labelled with their number of tracks")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--per-cell", type=int, default=10, help="events drawn for a wrong cell (default: %(default)s)")
    parser.add_argument("--format", choices=("pdf", "png"), default="pdf", help="of the pictures (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=1024, help="(default: %(default)s)")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    model, target = lib.load_model(args.model), lib.target_of(args.model)
    truth, probabilities, wrong = [], [], []
    for events in open_events.stream(args.files, progress=True):
        n_true = number_of_tracks.classes(events, target=target) + 1
        p = number_of_tracks.predict(model, events, args.batch_size, target)
        missed = p.argmax(1) != n_true
        truth.append(n_true), probabilities.append(p), wrong.append((events[missed], p[missed]))
    truth, probabilities = np.concatenate(truth), np.concatenate(probabilities)
    scores = metrics.counting(truth, probabilities, range(probabilities.shape[1]))
    print(metrics.describe(scores))
    plotting.confusion(scores["confusion"], args.out / f"confusion.{args.format}", scores["labels"], args.model, target)

    events, p = concatenate([table for table, _ in wrong]), np.concatenate([p for _, p in wrong])
    n_true, counted = number_of_tracks.numbers(events, target), p.argmax(1)
    for true, predicted in sorted(set(zip(n_true.tolist(), counted.tolist(), strict=True))):
        cell = np.flatnonzero((n_true == true) & (counted == predicted))
        cell = cell[np.argsort(-p[cell, predicted])][: args.per_cell]
        titles = [f"event {events.info['event'][i]}: true {true}, predicted {predicted} (p = {p[i, predicted]:.2f})" for i in cell]
        path = args.out / f"true{true}_predicted{predicted}.{args.format}"
        plotting.page_of_events(events, cell, path, titles, len(np.unique(events.hits["side"])))
        print(path)
    return scores


if __name__ == "__main__":
    main()
