"""Measure a network that clusters images on labelled files, and show in the terminal what it does.

    python scripts/testing_clustering.py runs/removal FILES... --json runs/removal.json
    python scripts/testing_clustering.py runs/removal FILES... --text 4

Takes the path of a run of `clustering_one.py` or `autoencoder.py`; what the network was asked, and the
threshold chosen on its validation events, stand in its card. Prints and writes as JSON, by true number of
tracks, what of the hits to keep it lost and what of those to remove it left, beside the trivial answers; and
the figures of merit of the tracks that follow, the number of tracks given.

In the text a line is a column of the tracker, and its nine characters are the layers, from the foil on. Two
events stand side by side, each with the truth and with what the network made of it: `#` stays, `o` goes; wrong
are `!`, which should go, and `?`, which should stay. Of networks that find tracks, each has a number, in the
truth from left to right, and `-` is noise.
"""

import argparse
from itertools import zip_longest
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from datasets import batches, clustering_images
from datasets.geometry import N_COLUMNS, N_LAYERS
from finding import by_images

PER_LINE = 2  # events side by side
WIDTH = 2 * N_LAYERS + 6


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", help="path of a run folder or .keras file, or the name of a shipped model")
    add("files", nargs="+", metavar="FILES", help="files or globs, labelled with the owners of hits")
    threshold_help = "probability from which a cell stays (default: that of the model's card, or 0.5)"
    add("--threshold", type=float, help=threshold_help)
    add("--text", type=lib.at_least(0), default=0, metavar="N", help="events to show (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the figures of merit here")
    inference.add_engine(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    if args.threshold is not None and not 0 < args.threshold < 1:
        raise ValueError(f"--threshold {args.threshold}: has to be between 0 and 1")
    network = inference.load(args.model, args.engine)
    answers = inference.answers_of_images(network)
    settings = {"threshold": 0.5, **inference.settings_of_images(args.model)}
    if args.threshold is not None:
        settings["threshold"] = args.threshold
    events = batches.read(clustering_images.task(answers), args.files)
    if not len(events):
        raise ValueError(f"{', '.join(args.files)}: no events")
    scores = inference.test_images(network, None, {"files": events}, answers, **settings)["files"]
    if args.text:
        print(text(events[: args.text], network, answers, settings))
    print(metrics.describe_cells(scores))
    content = {"model": args.model, "answers": answers, "files": args.files, **scores}
    if args.json:
        lib.write_json(args.json, content)
    return content


# ---- events as text ----------------------------------------------------------------------------------------


def text(events, network, answers, settings):
    """Events as the module's docstring says."""
    if answers in ("copy", "removal"):
        truth, found = pictures_of_cells(events, network, answers, settings["threshold"])
    else:
        labels = inference.find_by_images(events, network, by_images.true_number, **settings)
        owners = clustering_images.owners_from_left(events).max(1)
        truth, found = picture_of_labels(events, owners), picture_of_labels(events, labels)
    blocks = [block(i, truth[i], found[i]) for i in range(len(events))]
    lines = []
    for first in range(0, len(blocks), PER_LINE):
        for parts in zip_longest(*blocks[first : first + PER_LINE], fillvalue=""):
            lines.append("   ".join(part.ljust(WIDTH) for part in parts).rstrip())
        lines.append("")
    return "\n".join(lines)


def pictures_of_cells(events, network, answers, threshold):
    """(event, column, layer) characters of what is to stay and to go, and of what does."""
    offsets, keep, probability, _ = inference.cells_said(network, events)
    asked = clustering_images.task(answers).labels(events)["cells"][..., 0].astype(int) >= 0
    truth = np.full(asked.shape, ".")
    found = truth.copy()
    kept = probability >= threshold
    dark = "." if answers == "copy" else "o"
    truth[asked] = np.where(keep, "#", dark)
    found[asked] = np.where(keep, np.where(kept, "#", "?"), np.where(kept, "!", dark))
    return truth, found


def picture_of_labels(events, labels):
    """(event, column, layer) characters of the tracks of hits, (hit,) int below 10, or noise, -1."""
    picture = np.full((len(events), *clustering_images.SHAPE), ".")
    picture[clustering_images.cells_of_hits(events)] = np.where(labels < 0, "-", (labels + 1).astype(str))
    return picture


def block(number, truth, found):
    """Lines of an event: its lit columns, and a colon for those between that are dark."""
    cells = slice(clustering_images.PADDING, clustering_images.PADDING + N_COLUMNS)
    layers = slice(clustering_images.PADDING, clustering_images.PADDING + N_LAYERS)
    truth, found = truth[cells, layers], found[cells, layers]
    lit = np.flatnonzero(((truth != ".") | (found != ".")).any(1))
    lines = [f"event {number}", f"    {'truth':<{N_LAYERS}}  network"]
    for column, step in zip(lit, np.diff(lit, prepend=lit[:1]), strict=True):
        if step > 1:
            lines.append("  :")
        lines.append(f"{column:3d} {''.join(truth[column])}  {''.join(found[column])}")
    return lines


if __name__ == "__main__":
    lib.run(main)
