"""Look at the events that a counter gets wrong.

    python scripts/plot_confusion.py top_my_generator FILES... --out runs/confusion

Draws the confusion matrix, and for every wrong cell of it a page of events, the most confident mistakes
first.
"""

import argparse
from functools import partial

import numpy as np

import inference
import lib
import metrics
import plotting
from datasets import number_of_tracks
from datasets.events import concatenate
from datasets.readers import open_events


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", help="name of a shipped model, or path of a run folder or .keras file")
    add("files", nargs="+", help="files or globs, labelled with their number of tracks")
    add("--out", type=lib.folder, required=True, metavar="FOLDER")
    add(
        "--per-cell",
        type=lib.at_least(0),
        default=10,
        help="events drawn for a wrong cell (default: %(default)s)",
    )
    add(
        "--format",
        choices=("pdf", "png"),
        default="pdf",
        help="of the pictures (default: %(default)s)",
    )
    add("--batch-size", type=lib.at_least(1), default=128, help="(default: %(default)s)")
    inference.add_engine(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    network = inference.load(args.model, args.engine)
    truth, probabilities, wrong, names = [], [], [], []
    tables = open_events.stream(args.files, progress=True)
    for path, events in lib.once_a_file(tables, partial(inference.kind_note, network)):
        n_true = number_of_tracks.classes(events, path, network.target) + 1
        p = inference.count_probabilities(events, network, args.batch_size)
        missed = np.flatnonzero(p.argmax(1) != n_true)
        truth.append(n_true)
        probabilities.append(p)
        wrong.append(events[missed])
        names += [plotting.title_of(events, i, path) for i in missed]
    if not any(map(len, truth)):
        raise ValueError(f"{', '.join(args.files)}: no events")
    truth = np.concatenate(truth)
    probabilities = np.concatenate(probabilities)
    scores = metrics.counting(truth, probabilities, range(probabilities.shape[1]))
    print(metrics.describe(scores, network.target))
    picture = args.out / f"confusion.{args.format}"
    plotting.confusion(scores["confusion"], picture, scores["labels"], args.model, network.target)
    missed = probabilities.argmax(1) != truth
    pages = draw(
        concatenate(wrong), truth[missed], probabilities[missed], names, network.target, args
    )
    for page in set(args.out.glob("true[0-9]*_predicted[0-9]*.p[dn][fg]")) - set(pages):
        page.unlink()  # of an earlier run
    return scores


def draw(events, truth, probabilities, names, target, args):
    """A page for each wrong cell of the confusion matrix.

    Args:
        events: the wrongly counted ones. truth: (event,). probabilities: (event, n). names: (event,) for the
            titles.
    Returns:
        paths of the pages.
    """
    predicted = probabilities.argmax(1)
    confidence = probabilities.max(1)
    pages = []
    for n_true, n_predicted in sorted(set(zip(truth.tolist(), predicted.tolist(), strict=True))):
        cell = np.flatnonzero((truth == n_true) & (predicted == n_predicted))
        cell = cell[np.argsort(-confidence[cell])][: args.per_cell]
        said = f"true {metrics.name_of(n_true, target)}, predicted {metrics.name_of(n_predicted, target)}"
        titles = [f"{names[i]}: {said} (p = {confidence[i]:.2f})" for i in cell]
        page = args.out / f"true{n_true}_predicted{n_predicted}.{args.format}"
        plotting.page_of_events(events, cell, page, titles)
        print(page, flush=True)
        pages.append(page)
    return pages


if __name__ == "__main__":
    lib.run(main)
