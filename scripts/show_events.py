"""Say what is in files of events, of any kind, and draw some.

    python scripts/show_events.py FILES... --out runs/events

Prints for each file: kind, events, hits an event, sides, missing radii and heights, isolated hits, calorimeter hits; draws its first
events to `OUT/<file>.pdf`.
"""

import argparse
from pathlib import Path

import numpy as np

import plotting
from datasets import filters, open_events
from datasets.events import concatenate
from datasets.files import expand


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="files or globs")
    parser.add_argument("--out", type=Path, default=Path("runs/events"), metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument("--displays", type=int, default=10, help="events drawn of each file (default: %(default)s)")
    parser.add_argument("--format", choices=("pdf", "png"), default="pdf", help="(default: %(default)s)")
    return parser.parse_args(argv)


def summarise(path, displays):
    """(what a file holds, its first events), streaming."""
    total, examples = {}, []
    n_tracks = np.zeros(0, int)
    for events in open_events.stream(path):
        hits = events.hits
        counts = {
            "events": len(events),
            "events without hits": int((events.n_hits == 0).sum()),
            "hits": len(hits["layer"]),
            "hits on side 0": int((hits["side"] == 0).sum()),
            "hits without radius": int((~np.isfinite(hits["drift_radius_mm"])).sum()),
            "hits without z": int((~np.isfinite(hits["z_mm"])).sum()),
            "isolated hits": int(filters.isolated(events).sum()),
            "hits of two tracks": int((hits["second_track"] >= 0).sum()),
            "calorimeter blocks": int((events.tracks["calo_column"] >= 0).sum()),
        }
        total = {name: total.get(name, 0) + n for name, n in counts.items()}
        n_tracks = np.union1d(n_tracks, events.info["n_tracks"])
        if sum(map(len, examples)) < displays:
            examples.append(events[: displays - sum(map(len, examples))])
    total["tracks an event"] = "unknown" if (n_tracks < 0).any() or not len(n_tracks) else f"{n_tracks.min()} to {n_tracks.max()}"
    return total, concatenate(examples)


def main(argv=None):
    args = parse_args(argv)
    summaries = {}
    for path in expand(args.files):
        kind = open_events.kind_of(path)
        total, examples = summarise(path, args.displays)
        summaries[path.name] = {"kind": kind, **total}
        print(f"{path}: {kind}")
        for name, value in total.items():
            share = f" ({100 * value / total['hits']:.1f} %)" if name.startswith(("hits ", "isolated")) and total["hits"] else ""
            print(f"    {name:<22} {value}{share}")
        if len(examples):
            first_wire = open_events.FIRST_WIRE_MM[kind]
            titles = [f"{path.name}: run {run}, event {n}" for run, n in zip(examples.info["run"], examples.info["event"], strict=True)]
            n_sides = 1 if kind == "my_generator" else 2
            picture = args.out / f"{path.stem}.{args.format}"
            plotting.page_of_events(examples, range(len(examples)), picture, titles, n_sides, first_wire)
            print(f"    drawn in               {picture}")
    return summaries


if __name__ == "__main__":
    main()
