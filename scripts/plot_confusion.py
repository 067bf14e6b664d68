"""Look at the events that a counter gets wrong.

    python scripts/plot_confusion.py top_my_generator FILES... --out runs/confusion

Draws the confusion matrix, and for every wrong cell of it a page of events, the most confident mistakes
first.
"""

import argparse
from pathlib import Path

import numpy as np

import lib
import metrics
import plotting
from architectures import view_transformer  # noqa: F401  saved counters need its layers
from datasets import number_of_tracks
from datasets.events import concatenate
from datasets.readers import open_events


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of a shipped model, or path of a run folder or .keras file")
    parser.add_argument("files", nargs="+", help="files or globs, labelled with their number of tracks")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--per-cell",
        type=lib.at_least(0),
        default=10,
        help="events drawn for a wrong cell (default: %(default)s)",
    )
    parser.add_argument(
        "--format", choices=("pdf", "png"), default="pdf", help="of the pictures (default: %(default)s)"
    )
    parser.add_argument("--batch-size", type=lib.at_least(1), default=128, help="(default: %(default)s)")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    model, target = lib.load_model(args.model), lib.target_of(args.model)
    args.out.mkdir(parents=True, exist_ok=True)
    for page in args.out.glob("true[0-9]*_predicted[0-9]*.p[dn][fg]"):  # of an earlier run
        page.unlink()
    truth, probabilities, wrong, opened = [], [], [], []
    for events in open_events.stream(args.files, progress=True, on_file=lambda *file: opened.append(file)):
        path, kind = opened[-1]
        n_true = number_of_tracks.classes(events, path, target) + 1
        p = number_of_tracks.predict(model, events, args.batch_size, target)
        missed = p.argmax(1) != n_true
        (
            truth.append(n_true),
            probabilities.append(p),
            wrong.append((events[missed], p[missed], path, open_events.FIRST_WIRE_MM[kind])),
        )
    if not any(map(len, truth)):
        raise ValueError(f"{', '.join(args.files)}: no events")
    truth, probabilities = np.concatenate(truth), np.concatenate(probabilities)
    scores = metrics.counting(truth, probabilities, range(probabilities.shape[1]))
    print(metrics.describe(scores, target))
    plotting.confusion(
        scores["confusion"], args.out / f"confusion.{args.format}", scores["labels"], args.model, target
    )

    events, p = concatenate([table for table, *_ in wrong]), np.concatenate([p for _, p, *_ in wrong])
    names = [plotting.title_of(table, i, path) for table, _, path, _ in wrong for i in range(len(table))]
    first_wires = np.concatenate([np.full(len(table), first_wire_mm) for table, *_, first_wire_mm in wrong])
    n_true, counted = number_of_tracks.numbers(events, target), p.argmax(1)
    for true, predicted in sorted(set(zip(n_true.tolist(), counted.tolist(), strict=True))):
        cell = np.flatnonzero((n_true == true) & (counted == predicted))
        cell = cell[np.argsort(-p[cell, predicted])][: args.per_cell]
        said = [metrics.name_of(n, target) for n in (true, predicted)]
        titles = [
            f"{names[i]}: true {said[0]}, predicted {said[1]} (p = {p[i, predicted]:.2f})" for i in cell
        ]
        path = args.out / f"true{true}_predicted{predicted}.{args.format}"
        plotting.page_of_events(events, cell, path, titles, first_wire_mm=first_wires[cell])
        print(path)
    return scores


if __name__ == "__main__":
    lib.run(main)
