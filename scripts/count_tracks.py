"""Count the tracks of every event of some files with a shipped model, and show what was counted.

    python scripts/count_tracks.py                     simulated events
    python scripts/count_tracks.py FILES... --out runs/my_files      any kind of file, real ones too

Writes `counts.csv` (a line an event: true number of tracks or -1, predicted, its probability) and `events.pdf` with event displays to
the output folder; where events carry labels, also `confusion.pdf` and `scores.json`.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.progress import track

import lib
import metrics
import plotting
from architectures import view_transformer  # noqa: F401  saved counters need its layers
from datasets import number_of_tracks, open_events
from datasets.events import concatenate
from datasets.files import expand
from my_generator import straight_lines

SIMULATED_BLOCK = 2048


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="files or globs (default: simulated events of the straight-line generator)")
    parser.add_argument("--model", default="top_my_generator", help="name of a shipped model or path of a run (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/count_tracks"), metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument("--events", type=int, default=20000, help="events to simulate without files (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=12345, help="of the simulated events (default: %(default)s)")
    parser.add_argument("--displays", type=int, default=20, help="events drawn, half of them wrongly counted ones (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=1024, help="(default: %(default)s)")
    open_events.add_drift_model(parser)
    return parser.parse_args(argv)


def tables(args):
    """Tables of events, from files or simulated."""
    if args.files:
        yield from open_events.stream(args.files, progress=True, drift_model=args.drift_model)
        return
    for start in track(range(0, args.events, SIMULATED_BLOCK), "simulating", transient=True):
        n = min(SIMULATED_BLOCK, args.events - start)
        yield straight_lines.generate(n, seed=args.seed, first_event=start)


def main(argv=None):
    args = parse_args(argv)
    model, target = lib.load_model(args.model), lib.target_of(args.model)
    numbers, truth, probabilities, right, wrong = [], [], [], [], []
    for events in tables(args):
        p = number_of_tracks.predict(model, events, args.batch_size, target)
        n_true, counted = number_of_tracks.numbers(events, target), p.argmax(1)
        numbers.append(events.info["event"]), truth.append(n_true), probabilities.append(p)
        missed = (n_true >= 0) & (n_true != counted)
        keep_examples(right, events, p, ~missed, args.displays // 2)
        keep_examples(wrong, events, p, missed, args.displays - args.displays // 2)
    numbers, truth, probabilities = (np.concatenate(parts) for parts in (numbers, truth, probabilities))

    args.out.mkdir(parents=True, exist_ok=True)
    rows = np.column_stack([numbers, truth, probabilities.argmax(1), probabilities.max(1)])
    np.savetxt(args.out / "counts.csv", rows, ["%d", "%d", "%d", "%.4f"], ",", header="event,true,predicted,probability", comments="")
    counts = np.bincount(probabilities.argmax(1))
    print(f"{len(rows)} events; counted " + ", ".join(f"{n} {target}: {count}" for n, count in enumerate(counts) if count))
    scores = None
    if len(truth) and ((truth >= 0) & (truth < probabilities.shape[1])).all():
        scores = metrics.counting(truth, probabilities, range(probabilities.shape[1]))
        print(metrics.describe(scores))
        lib.write_json(args.out / "scores.json", {"model": args.model, "files": args.files, **scores})
        plotting.confusion(scores["confusion"], args.out / "confusion.pdf", scores["labels"], args.model, target)
    draw(wrong + right, args, target)
    print(f"results in {args.out}: " + ", ".join(sorted(path.name for path in args.out.iterdir())))
    return scores


def keep_examples(examples, events, probabilities, mask, limit):
    """Add the first events of a mask to the examples, (table of one event, its probabilities), up to a limit."""
    for i in np.flatnonzero(mask)[: limit - len(examples)]:
        examples.append((events[i], probabilities[i]))


def draw(examples, args, target):
    """A page of event displays with what was counted."""
    titles = []
    for event, p in examples:
        true = number_of_tracks.numbers(event, target)[0]
        said = f"predicted {p.argmax()} (p = {p.max():.2f})"
        titles.append(f"event {event.info['event'][0]}: " + (f"true {true}, {said}" if true >= 0 else said))
    if examples:
        events = concatenate([event for event, _ in examples])
        n_sides = len(np.unique(events.hits["side"]))
        kinds = [open_events.kind_of(path) for path in expand(args.files)] or ["my_generator"]
        first_wire = open_events.FIRST_WIRE_MM[kinds[0]]
        plotting.page_of_events(events, range(len(events)), args.out / "events.pdf", titles, n_sides, first_wire)


if __name__ == "__main__":
    main()
