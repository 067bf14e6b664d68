"""Count the tracks of every event of some files with a shipped model, and show what was counted.

    python scripts/count_tracks.py                     simulated events
    python scripts/count_tracks.py FILES... --out runs/my_files      any kind of file, real ones too

Writes `counts.csv` (a line an event: its file, run and number, true number of tracks, each -1 where unknown,
predicted one and its probability) and `events.pdf` with event displays to the output folder; where all events
carry labels, also `confusion.pdf` and `scores.json`. Those of an earlier run are removed.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from rich.progress import track

import lib
import metrics
import plotting
from architectures import view_transformer  # noqa: F401  saved counters need its layers
from datasets import number_of_tracks
from datasets.events import concatenate
from datasets.readers import open_events
from my_generator import straight_lines

SIMULATED_BLOCK = 8192
RESULTS = ("counts.csv", "scores.json", "confusion.pdf", "events.pdf")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "files", nargs="*", help="files or globs (default: simulated events of the straight-line generator)"
    )
    parser.add_argument(
        "--model",
        default="top_my_generator",
        help="name of a shipped model or path of a run (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/count_tracks"), metavar="FOLDER", help="(default: %(default)s)"
    )
    positive, natural = lib.at_least(1), lib.at_least(0)
    parser.add_argument(
        "--events",
        type=positive,
        default=20000,
        help="events to simulate without files (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=natural, default=12345, help="of the simulated events (default: %(default)s)"
    )
    parser.add_argument(
        "--displays",
        type=natural,
        default=20,
        help="events drawn, half of them wrongly counted ones (default: %(default)s)",
    )
    parser.add_argument("--batch-size", type=positive, default=128, help="(default: %(default)s)")
    open_events.add_drift_model(parser)
    return parser.parse_args(argv)


def tables(args):
    """Yield (table of events, their file, distance of their first wires from the foil in mm), from files or
    simulated.
    """
    if args.files:
        opened = []
        on_file = lambda *file: opened.append(file)  # noqa: E731
        for events in open_events.stream(
            args.files, progress=True, on_file=on_file, drift_model=args.drift_model
        ):
            path, kind = opened[-1]
            yield events, path, open_events.FIRST_WIRE_MM[kind]
        return
    for start in track(range(0, args.events, SIMULATED_BLOCK), "simulating", transient=True):
        n = min(SIMULATED_BLOCK, args.events - start)
        yield (
            straight_lines.generate(n, seed=args.seed, first_event=start),
            "",
            open_events.FIRST_WIRE_MM["my_generator"],
        )


def main(argv=None):
    args = parse_args(argv)
    model, target = lib.load_model(args.model), lib.target_of(args.model)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:
        (args.out / name).unlink(missing_ok=True)
    names, truth, probabilities, right, wrong = [], [], [], [], []
    for events, path, first_wire_mm in tables(args):
        p = number_of_tracks.predict(model, events, args.batch_size, target)
        n_true, counted = number_of_tracks.numbers(events, target), p.argmax(1)
        names.append([np.full(len(events), path, object), events.info["run"], events.info["event"]])
        truth.append(n_true), probabilities.append(p)
        missed = (n_true >= 0) & (n_true != counted)
        for examples, mask in ((right, ~missed), (wrong, missed)):
            some = np.flatnonzero(mask)[: args.displays - len(examples)]
            examples += [(events[i], title(events, i, path, p[i], target), first_wire_mm) for i in some]
    if not any(map(len, truth)):
        raise ValueError(f"{', '.join(args.files)}: no events")
    names, truth, probabilities = (
        np.concatenate(names, axis=1),
        np.concatenate(truth),
        np.concatenate(probabilities),
    )
    counts = np.bincount(probabilities.argmax(1))
    found = ", ".join(f"{metrics.number_of(n, target)}: {count}" for n, count in enumerate(counts) if count)
    print(f"{len(truth)} events; counted {found}")
    write(names, truth, probabilities, args.out / "counts.csv")
    scores = measure(truth, probabilities, args, target)
    wrong = wrong[: args.displays - min(len(right), args.displays // 2)]
    draw(wrong + right[: args.displays - len(wrong)], args.out / "events.pdf")
    print(f"results in {args.out}: " + ", ".join(name for name in RESULTS if (args.out / name).exists()))
    return scores


def title(events, i, path, probabilities, target):
    """What stands above the display of an event: what it is, and what was counted."""
    true, counted = (
        metrics.name_of(n, target)
        for n in (number_of_tracks.numbers(events[i], target)[0], probabilities.argmax())
    )
    said = f"predicted {counted} (p = {probabilities.max():.2f})"
    return f"{plotting.title_of(events, i, path)}: " + (said if true == "-1" else f"true {true}, {said}")


def write(names, truth, probabilities, path):
    """A line an event; names: (3, event) its file, run and number."""
    with open(path, "w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["file", "run", "event", "true", "predicted", "probability"])
        for *name, true, p in zip(*names, truth, probabilities, strict=True):
            lines.writerow([*name, true, p.argmax(), f"{p.max():.4f}"])


def measure(truth, probabilities, args, target):
    """The figures of merit, printed, written and drawn; None, and a line that says why, where some event
    cannot be judged.
    """
    n_events, most = len(truth), probabilities.shape[1] - 1
    unknown, beyond = (truth < 0).sum(), (truth > most).sum()
    if unknown or beyond:
        why = (
            f"{unknown} of {n_events} events carry no label"
            if unknown
            else f"{beyond} of {n_events} events have more than {most}"
        )
        print(f"no scores: {why}")
        return None
    scores = metrics.counting(truth, probabilities, range(most + 1))
    print(metrics.describe(scores, target))
    lib.write_json(args.out / "scores.json", {"model": args.model, "files": args.files, **scores})
    plotting.confusion(scores["confusion"], args.out / "confusion.pdf", scores["labels"], args.model, target)
    return scores


def draw(examples, path):
    """Pages of event displays, (table of one event, its title, its first wires) each."""
    if examples:
        tables, titles, first_wires = zip(*examples, strict=True)
        plotting.page_of_events(
            concatenate(tables), range(len(examples)), path, titles, first_wire_mm=first_wires
        )


if __name__ == "__main__":
    lib.run(main)
