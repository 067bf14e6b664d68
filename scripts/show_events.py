"""Say what is in files of events, of any kind, and draw some.

    python scripts/show_events.py FILES... --out runs/events

Prints for each file: kind, events, hits an event, sides, missing radii and heights, isolated hits,
calorimeter hits (in simulated files of generators the blocks at the ends of tracks); draws its first events
to `OUT/<file>.pdf`.
"""

import argparse
from pathlib import Path

import numpy as np

import lib
import plotting
from datasets import filters
from datasets.events import concatenate
from datasets.readers import brio, open_events, tkevent
from datasets.readers.files import expand

GENERATED = ("my_generator", "toyhaystack")  # kinds whose tracks are in the table
CALORIMETER_HITS = {  # of the other kinds: function of a path
    "tkevent": lambda path: sum(
        int(offsets[-1]) for _, offsets in tkevent.stream_objects(path, "optical_modules")
    ),
    "brio": lambda path: sum(
        len(brio.calo_hits(banks)["calo_type"]) for banks in brio.iter_events(path, ("CD", "UDD", "SD"))
    ),
}

SHARES = (
    "hits on side 0",
    "hits without radius",
    "hits without z",
    "isolated hits",
    "hits of two tracks",
)  # told of all hits too


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="files or globs")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/events"), metavar="FOLDER", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--displays",
        type=lib.at_least(0),
        default=10,
        help="events drawn of each file (default: %(default)s)",
    )
    parser.add_argument("--format", choices=("pdf", "png"), default="pdf", help="(default: %(default)s)")
    open_events.add_drift_model(parser)
    return parser.parse_args(argv)


def summarise(path, kind, displays, drift_model):
    """(what a file of a kind holds, its first events), streaming."""
    total, examples = {}, []
    n_tracks = np.zeros(0, int)
    for events in open_events.stream(path, drift_model=drift_model):
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
        }
        if kind in GENERATED:
            counts["calorimeter hits"] = int((events.tracks["calo_column"] >= 0).sum())
        total = {name: total.get(name, 0) + n for name, n in counts.items()}
        n_tracks = np.union1d(n_tracks, events.info["n_tracks"])
        if sum(map(len, examples)) < displays:
            examples.append(events[: displays - sum(map(len, examples))])
    if kind in CALORIMETER_HITS:
        total["calorimeter hits"] = CALORIMETER_HITS[kind](path)
    total["hits an event"] = f"{total['hits'] / total['events']:.1f}" if total["events"] else "none"
    total["tracks an event"] = (
        "unknown" if (n_tracks < 0).any() or not len(n_tracks) else f"{n_tracks.min()} to {n_tracks.max()}"
    )
    return total, concatenate(examples)


def names_of(paths):
    """A name for each file: its own, with its folders' before it where others have the same."""
    names = [path.name for path in paths]
    return [
        path.as_posix().strip("/").replace("/", "_") if names.count(path.name) > 1 else path.name
        for path in paths
    ]


def main(argv=None):
    args = parse_args(argv)
    summaries, paths = {}, expand(args.files)
    for path, name in zip(paths, names_of(paths), strict=True):
        kind = open_events.kind_of(path)
        total, examples = summarise(path, kind, args.displays, args.drift_model)
        summaries[name] = {"kind": kind, **total}
        print(f"{path}: {kind}")
        for what, value in total.items():
            share = f" ({100 * value / total['hits']:.1f} %)" if what in SHARES and total["hits"] else ""
            print(f"    {what:<22} {value}{share}")
        if len(examples):
            titles = [plotting.title_of(examples, i, path) for i in range(len(examples))]
            picture = args.out / f"{Path(name).stem}.{args.format}"
            plotting.page_of_events(
                examples, range(len(examples)), picture, titles, first_wire_mm=open_events.FIRST_WIRE_MM[kind]
            )
            print(f"    drawn in               {picture}")
    return summaries


if __name__ == "__main__":
    lib.run(main)
