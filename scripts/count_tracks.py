"""Count the tracks of every event of some files with a shipped model, and show what was counted.

    python scripts/count_tracks.py                     simulated events
    python scripts/count_tracks.py FILES... --out runs/my_files      any kind of file, real ones too

Writes `counts.csv` (a line an event: its file, run and number, true number of tracks, each -1 where unknown,
predicted one and its probability) and `events.pdf` with event displays to the output folder; where all events
carry labels, also `confusion.pdf` and `scores.json`. Those of an earlier run stay until there are new ones.
"""

import argparse
import csv
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import track

import inference
import lib
import metrics
import outputs
import plotting
from datasets import number_of_tracks
from datasets.events import concatenate
from datasets.readers import open_events
from my_generator import straight_lines

SIMULATED_BLOCK = 8192
LABELLED_ONLY = ("scores.json", "confusion.pdf")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "files",
        nargs="*",
        help="files or globs (default: simulated events of the straight-line generator)",
    )
    model_help = "name of a shipped model or path of a run (default: %(default)s)"
    add("--model", default=inference.COUNTER, help=model_help)
    default_out = Path("runs/count_tracks")
    add(
        "--out",
        type=lib.folder,
        default=default_out,
        metavar="FOLDER",
        help="(default: %(default)s)",
    )
    positive, natural = lib.at_least(1), lib.at_least(0)
    events_help = "events to simulate without files (default: %(default)s)"
    add("--events", type=positive, default=20000, help=events_help)
    add(
        "--seed", type=natural, default=12345, help="of the simulated events (default: %(default)s)"
    )
    displays_help = "events drawn, half of them wrongly counted ones (default: %(default)s)"
    add("--displays", type=natural, default=20, help=displays_help)
    add("--batch-size", type=positive, default=128, help="(default: %(default)s)")
    inference.add_engine(parser)
    open_events.add_drift_model(parser)
    open_events.add_visible_cells(parser)
    return parser.parse_args(argv)


@dataclass
class Counted:
    """What is kept of the events that were counted: a few bytes each, and some examples.

    Attributes:
        true, predicted, confidence: lists of (event,) arrays, the last the probability of what was predicted.
        most: the largest number that can be predicted.
        right, wrong: examples, (table of one event, its title) each.
    """

    most: int = 0
    true: list = field(default_factory=list)
    predicted: list = field(default_factory=list)
    confidence: list = field(default_factory=list)
    right: list = field(default_factory=list)
    wrong: list = field(default_factory=list)


def tables(args):
    """Yield (file, table of some of its events), from files or simulated."""
    if args.files:
        options = {"drift_model": args.drift_model, "visible_cells": args.visible_cells}
        yield from open_events.stream(args.files, progress=True, **options)
        return
    for start in track(range(0, args.events, SIMULATED_BLOCK), "simulating", transient=True):
        n = min(SIMULATED_BLOCK, args.events - start)
        yield "", straight_lines.generate(n, seed=args.seed, first_event=start)


def main(argv=None):
    args = parse_args(argv)
    network = inference.load(args.model, args.engine)
    counted = Counted()
    with (
        outputs.whole(args.out / "counts.csv") as temporary,
        open(temporary, "w", newline="") as file,
    ):
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["file", "run", "event", "true", "predicted", "probability"])
        truth_note = partial(open_events.truth_note, visible_cells=args.visible_cells)
        notes = partial(inference.kind_note, network), truth_note
        for path, events in lib.once_a_file(tables(args), *notes):
            probabilities = inference.count_probabilities(events, network, args.batch_size)
            keep(counted, path, events, probabilities, network.target, args.displays)
            lines.writerows(rows(counted, path, events))
        if not any(map(len, counted.true)):
            raise ValueError(f"{', '.join(args.files)}: no events")
    numbers = np.bincount(np.concatenate(counted.predicted))
    found = [
        f"{metrics.number_of(n, network.target)}: {count}"
        for n, count in enumerate(numbers)
        if count
    ]
    print(f"{numbers.sum()} events; counted {', '.join(found)}")
    scores = measure(counted, args, network.target)
    written = ["counts.csv"]
    if scores is not None:
        written += LABELLED_ONLY
    else:
        for name in LABELLED_ONLY:  # of an earlier run, on files with labels
            (args.out / name).unlink(missing_ok=True)
    if draw(counted, args.out / "events.pdf", args.displays):
        written.append("events.pdf")
    print(f"results in {args.out}: {', '.join(written)}")
    return scores


def keep(counted, path, events, probabilities, target, displays):
    """Note what was counted in some events, and keep examples of them to draw."""
    true = number_of_tracks.numbers(events, target)
    predicted = probabilities.argmax(1)
    counted.most = probabilities.shape[1] - 1
    counted.true.append(true.astype(np.int16))
    counted.predicted.append(predicted.astype(np.int16))
    counted.confidence.append(probabilities.max(1))
    missed = (true >= 0) & (true != predicted)
    for examples, chosen in ((counted.right, ~missed), (counted.wrong, missed)):
        for i in np.flatnonzero(chosen)[: displays - len(examples)]:
            title = title_of(events, i, path, probabilities[i], true[i], target)
            examples.append((events[i], title))


def title_of(events, i, path, probabilities, true, target):
    """What stands above the display of an event: what it is, and what was counted."""
    predicted = metrics.name_of(probabilities.argmax(), target)
    said = f"predicted {predicted} (p = {probabilities.max():.2f})"
    if true >= 0:
        true_name = metrics.name_of(true, target)
        said = f"true {true_name}{plotting.particles_of(events, i)}, {said}"
    return f"{plotting.title_of(events, i, path)}: {said}"


def rows(counted, path, events):
    """The lines of the events that were counted last."""
    last = counted.true[-1], counted.predicted[-1], counted.confidence[-1]
    names = [str(path)] * len(events), events.info["run"].tolist(), events.info["event"].tolist()
    shown = [f"{confidence:.4f}" for confidence in last[2]]
    return zip(*names, last[0].tolist(), last[1].tolist(), shown, strict=True)


def measure(counted, args, target):
    """The figures of merit, printed, written and drawn.

    Returns:
        None, after a line that says why, where some event cannot be judged.
    """
    truth = np.concatenate(counted.true)
    predicted = np.concatenate(counted.predicted)
    confidence = np.concatenate(counted.confidence)
    n_unknown = np.count_nonzero(truth < 0)
    n_beyond = np.count_nonzero(truth > counted.most)
    if n_unknown:
        print(f"no scores: {n_unknown} of {len(truth)} events carry no label")
        return None
    if n_beyond:
        print(f"no scores: {n_beyond} of {len(truth)} events have more than {counted.most}")
        return None
    labels = range(counted.most + 1)
    scores = metrics.counting_of(truth, predicted, confidence, labels)
    print(metrics.describe(scores, target))
    of_what = {"model": args.model, "files": args.files, "visible_cells": args.visible_cells}
    lib.write_json(args.out / "scores.json", {**of_what, **scores})
    picture = args.out / "confusion.pdf"
    plotting.confusion(scores["confusion"], picture, scores["labels"], args.model, target)
    return scores


def draw(counted, path, displays):
    """Draw examples, half of them wrongly counted ones, and say how many there are."""
    n_right = min(len(counted.right), displays // 2)
    wrong = counted.wrong[: displays - n_right]
    examples = wrong + counted.right[: displays - len(wrong)]
    if not examples:
        path.unlink(missing_ok=True)  # that of an earlier run
        return 0
    print(f"drawing {len(examples)} events", flush=True)
    shown = concatenate(table for table, _ in examples)
    plotting.page_of_events(shown, range(len(examples)), path, [title for _, title in examples])
    return len(examples)


if __name__ == "__main__":
    lib.run(main)
