"""Find the tracks of every event of some files, of any kind: which hits belong together, and which to none.

    python scripts/find_tracks.py FILES... --out found.root
    python scripts/find_tracks.py FILES... --out found.root --foil-rule --displays found.pdf

Writes a ROOT tree `found` with an entry for each event, in the order of the files. An entry lists the hits of
the event as the reader gives them, one a cell: jagged `side`, `layer`, `column`, `track` (-1: no track) and
`probability`, what the network gives the track that the hit was put on, or gives none; `n_tracks` is the
number of found tracks, `run` and `event` are the file's own numbers.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np

import lib
import metrics
import plotting
from architectures import track_finder  # noqa: F401  its layers, which a saved model is made of
from datasets import clustering, filters
from datasets.events import concatenate, jagged
from datasets.readers import hit_tree, open_events
from datasets.readers.files import expand
from finding import refit
from finding.foil import foil_rule
from finding.labels import count_tracks, group_of_hits

TREE = "found"
BLOCK = 4096  # events looked at together: what bounds the memory


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="files or globs")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.root")
    parser.add_argument(
        "--model",
        default="track_finder",
        help="name of a shipped model or path of a run (default: %(default)s)",
    )
    parser.add_argument(
        "--no-refit",
        dest="refit",
        action="store_false",
        help="leave the last word to the network, fit no lines",
    )
    parser.add_argument(
        "--foil-rule",
        action="store_true",
        help="tracks start at the foil: join those that do not to one they continue",
    )
    parser.add_argument(
        "--displays",
        type=plotting.figure_path,
        metavar="FILE.pdf",
        help="draw the first events, coloured by found track",
    )
    number = lib.at_least(1)
    parser.add_argument(
        "--n-displays", type=number, default=20, metavar="N", help="events drawn (default: %(default)s)"
    )
    open_events.add_drift_model(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    if args.out.resolve() in [path.resolve() for path in expand(args.files)]:
        raise ValueError(f"{args.out} is one of the files to read")
    model = lib.load_model(args.model)
    counts, hits, drawn, start = [], [], [], time.perf_counter()

    def parts():
        yield branches(
            concatenate([]), np.zeros(0, np.int16), np.zeros(0, np.float32)
        )  # a tree even where there is no event
        for events, path, first_wire_mm in blocks(args.files, args.drift_model):
            labels, probability = look(model, events, first_wire_mm, args)
            counts.append(count_tracks(events, labels))
            hits.append(where_hits_are(events, labels))
            if args.displays and len(drawn) < args.n_displays:
                keep_first(drawn, events, labels, path, first_wire_mm, args.n_displays)
            yield branches(events, labels, probability)

    hit_tree.write_tree(args.out, TREE, "tracks of hits", parts())
    seconds = time.perf_counter() - start
    counts = np.concatenate([np.zeros(0, int), *counts])
    found = ", ".join(
        f"{metrics.number_of(n)}: {count}" for n, count in enumerate(np.bincount(counts)) if count
    )
    print(
        f"{len(counts)} events in {seconds:.1f} s, {len(counts) / seconds:.0f} events/s; {found or 'nothing to find'}; in {args.out}"
    )
    on_tracks, beside, elsewhere = sum(hits, np.zeros(3, int))
    print(
        f"{on_tracks + beside + elsewhere} hits: {on_tracks} on tracks, {beside} on none but next to a hit of one, {elsewhere} elsewhere"
    )
    if drawn:
        draw(drawn, args.displays)
    return counts


def blocks(paths, drift_model=None):
    """Yield (events, their file, distance of their first wires from the foil in mm), a block at a time, with
    a bar on the terminal.
    """
    opened = []
    tables = open_events.stream(
        paths, progress=True, on_file=lambda *file: opened.append(file), drift_model=drift_model
    )
    for events in tables:
        path, kind = opened[-1]
        for start in range(0, len(events), BLOCK):
            yield events[start : start + BLOCK], path, open_events.FIRST_WIRE_MM[kind]


def look(model, events, first_wire_mm, args):
    """((hit,) labels, (hit,) probabilities) by a track finder and what the flags add to it."""
    seen = clustering.predict(model, events)
    if args.refit:
        labels = refit.find(events, seen["track"], seen["n_tracks"], first_wire_mm=first_wire_mm)
    else:
        labels = refit.labels_of(events, seen["track"])
    if args.foil_rule:
        labels = foil_rule(events, labels, first_wire_mm=first_wire_mm)
    return labels, chosen_probability(events, labels, seen["track"])


def where_hits_are(events, labels):
    """(3,) int: hits on found tracks, hits on none with a neighbour on one, other hits."""
    on_track = labels >= 0
    beside = ~on_track & (filters.neighbours(events, on_track) > 0)
    return np.array([np.count_nonzero(kind) for kind in (on_track, beside, ~on_track & ~beside)])


def chosen_probability(events, labels, track):
    """What the network thinks of where each hit was put.

    A found track stands for the columns of the network whose hits it mostly got, and for the column that most
    of its own hits come from: two columns where lines joined them, the same one as another track where they
    parted it.

    Args:
        labels: (hit,) found tracks, -1 none. track: (hit, n + 1) probability of each column of the hit's
            side, and last of none.
    Returns:
        (hit,) float32.
    """
    found = np.flatnonzero(labels >= 0)
    group = group_of_hits(events)
    columns = track[found, :-1]
    _, first, number = np.unique(
        np.stack([group[found], labels[found]]), axis=1, return_index=True, return_inverse=True
    )
    number = number.reshape(-1)
    hits = np.zeros((len(first), columns.shape[1]), int)
    np.add.at(hits, (number, columns.argmax(1)), 1)
    most = np.ones((2 * len(events), columns.shape[1]), int)
    group_of_track = group[found[first]]
    np.maximum.at(most, group_of_track, hits)
    stands_for = (hits == most[group_of_track]) | (hits == hits.max(1, keepdims=True))
    probability = track[:, -1].copy()
    probability[found] = (columns * stands_for[number]).sum(1)
    return probability


def branches(events, labels, probability):
    """The branches of the tree `found`."""
    hits = {name: events.hits[name].astype(np.int32) for name in ("side", "layer", "column")}
    hits |= {"track": labels.astype(np.int32), "probability": probability}
    info = {
        "n_tracks": count_tracks(events, labels).astype(np.int32),
        "run": events.info["run"],
        "event": events.info["event"],
    }
    return {
        "hits": jagged(hits, events.hit_offsets),
        **{name: ak.Array(values) for name, values in info.items()},
    }


def keep_first(drawn, events, labels, path, first_wire_mm, limit):
    """Add (table of one event with found tracks, its title, its first wires) to those to draw, up to a number
    of them.
    """
    n_found = count_tracks(events, labels)
    hits = events.hits | {"track": labels, "second_track": np.full_like(labels, -1)}
    found = replace(events, hits=hits, info=events.info | {"n_tracks": n_found})
    for i in range(min(len(events), limit - len(drawn))):
        true = events.info["n_tracks"][i]
        title = f"{plotting.title_of(events, i, path)}: {metrics.number_of(n_found[i])} found" + (
            f", true {true}" if true >= 0 else ""
        )
        drawn.append((found[i], title, first_wire_mm))


def draw(drawn, path):
    """Event displays, coloured by found track."""
    tables, titles, first_wires = zip(*drawn, strict=True)
    plotting.page_of_events(concatenate(tables), range(len(drawn)), path, titles, first_wire_mm=first_wires)
    print(f"first {len(drawn)} events drawn in {path}")


if __name__ == "__main__":
    lib.run(main)
