"""Find the tracks of every event of some files, of any kind: which hits belong together, and which to none.

    python scripts/find_tracks.py FILES... --out found.root
    python scripts/find_tracks.py FILES... --out found.root --foil-rule --displays found.pdf
    python scripts/find_tracks.py FILES... --out found.root --blocks

Writes a ROOT tree `found` with an entry for each event, in the order of the files. An entry lists the hits of
the event as the reader gives them, one a cell: jagged `side`, `layer`, `column`, `radius` and `z` (mm, NaN
where unknown), `track` (-1: no track) and `probability`, what the network gives the track that the hit was
put on, or gives none; `n_tracks` is the number of found tracks, `run` and `event` are the file's own numbers,
and `file` counts the input files from 0, whose names, a line each, are in the text `files` beside the tree.

With `--blocks` it also lists the found tracks of the event, in the order of their numbers: the calorimeter
block that each most probably ends in, by a fit of lines, as jagged `calo_type`, `calo_side`, `calo_wall`,
`calo_column`, `calo_row`, as the event table counts blocks, -1 where there is none or no line, and
`calo_probability`; and where the file has blocks that fired, `block`, which of those of the event is the
track's, from 0, -1 for none, and `block_distance`, how far from its face the track ends, in errors of the
fit, NaN for none.
"""

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path

import awkward as ak
import numpy as np

import inference
import lib
import metrics
import plotting
from datasets import filters
from datasets.events import concatenate, jagged, offsets_of
from datasets.readers import hit_tree, open_events
from datasets.readers.files import expand
from finding.labels import count_tracks, group_of_hits
from fitting import association, calorimeter, tracks

TREE = "found"
BLOCK = 4096  # events looked at together: what bounds the memory
MOST_TRACKS = 8  # of a tracker side, as many lines as are looked for


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("files", nargs="+", help="files or globs")
    add("--out", type=root_file, required=True, metavar="FILE.root")
    model_help = "name of a shipped model or path of a run (default: %(default)s)"
    add("--model", default=inference.FINDER, help=model_help)
    refit_help = "leave the last word to the network, fit no lines"
    add("--no-refit", dest="refit", action="store_false", help=refit_help)
    add("--arcs", action="store_true", help="tracks may be bent: fit arcs beside lines")
    foil_help = "tracks start at the foil: join those that do not to one they continue"
    add("--foil-rule", action="store_true", help=foil_help)
    blocks_help = "also write the calorimeter block that each track ends in, and which fired block is its own; "
    blocks_help += "takes about 1.6 ms more an event of 1 to 4 tracks"
    add("--blocks", action="store_true", help=blocks_help)
    displays_help = "draw some events of each file, coloured by found track, with their lines"
    add("--displays", type=plotting.figure_path, metavar="FILE.pdf", help=displays_help)
    n_help = "events drawn (default: %(default)s)"
    add("--n-displays", type=lib.at_least(1), default=20, metavar="N", help=n_help)
    inference.add_engine(parser)
    open_events.add_drift_model(parser)
    return parser.parse_args(argv)


def root_file(text):
    """The type of the flag `--out`: refused before a run has worked for an hour."""
    path = Path(text)
    if path.is_dir() or path.suffix != ".root":
        raise argparse.ArgumentTypeError(f"{text} is no name of a ROOT file, which ends in .root")
    return path


@dataclass
class Found:
    """What is kept of the events for the summary and the displays.

    Attributes:
        n_tracks: list of (event,) numbers of found tracks. hits: (3,) hits on tracks, beside them, elsewhere.
        drawn: file -> list of (table of one event, its labels, its title).
    """

    n_tracks: list = field(default_factory=list)
    hits: np.ndarray = field(default_factory=lambda: np.zeros(3, int))
    drawn: dict = field(default_factory=dict)


def main(argv=None):
    args = parse_args(argv)
    paths = expand(args.files)
    if args.out.resolve() in [path.resolve() for path in paths]:
        raise ValueError(f"{args.out} is one of the files to read")
    network = inference.load(args.model, args.engine)
    found = Found()
    start = time.perf_counter()
    names = "\n".join(map(str, paths))
    parts = search(network, paths, found, args)
    hit_tree.write_tree(args.out, TREE, "tracks of hits", parts, {"files": names})
    seconds = time.perf_counter() - start

    counts = np.concatenate([np.zeros(0, int), *found.n_tracks])
    numbers = [
        f"{metrics.number_of(n)}: {count}" for n, count in enumerate(np.bincount(counts)) if count
    ]
    speed = f"{len(counts)} events in {seconds:.1f} s, {len(counts) / seconds:.0f} events/s"
    print(f"{speed}; {', '.join(numbers) or 'nothing to find'}; in {args.out}")
    on_tracks, beside, elsewhere = found.hits
    where = (
        f"{on_tracks} on tracks, {beside} on none but next to a hit of one, {elsewhere} elsewhere"
    )
    print(f"{found.hits.sum()} hits: {where}")
    if args.displays:
        draw(found.drawn, args.displays)
    return counts


def search(network, paths, found, args):
    """Find the tracks of files; yields the branches of the output, a block of events at a time."""
    none = concatenate([])
    no_labels = np.zeros(0, np.int16)
    no_probability = np.zeros(0, np.float32)
    yield branches(
        none, no_labels, no_probability, 0, args.blocks
    )  # a tree even where there is no event
    n_shown = max(1, args.n_displays // len(paths)) if args.displays else 0
    tables = open_events.stream(paths, progress=True, drift_model=args.drift_model)
    notes = [inference.beyond_limits]
    if args.displays:
        notes.append(open_events.truth_note)
    if args.drift_model is None:
        notes.append(open_events.radii_note)
    said = set()
    for path, table in lib.once_a_file(tables, *notes):
        for start in range(0, len(table), BLOCK):
            events = table[start : start + BLOCK]
            seen = inference.look(events, network)
            labels = inference.tracks_of(events, seen, args.refit, args.foil_rule, args.arcs)
            if path not in said and most_on_a_side(events, labels) >= MOST_TRACKS:
                said.add(path)
                lib.note(
                    path,
                    f"events with {MOST_TRACKS} tracks on a side, the most that are looked for",
                )
            found.n_tracks.append(count_tracks(events, labels))
            found.hits += where_hits_are(events, labels)
            if len(found.drawn.setdefault(path, [])) < n_shown:
                keep_first(found.drawn[path], events, labels, path, n_shown)
            probability = chosen_probability(events, labels, seen.track)
            yield branches(events, labels, probability, paths.index(path), args.blocks)


def most_on_a_side(events, labels):
    """Largest number of found tracks on a tracker side of an event."""
    found = labels >= 0
    group = group_of_hits(events)[found]
    tracks_of_sides = np.unique(np.stack([group, labels[found]]), axis=1)[0]
    return np.bincount(tracks_of_sides).max(initial=0)


def where_hits_are(events, labels):
    """(3,) int: hits on found tracks, hits on none with a neighbour on one, other hits."""
    on_track = labels >= 0
    beside = ~on_track & (filters.neighbours(events, on_track) > 0)
    elsewhere = ~on_track & ~beside
    return np.array([np.count_nonzero(kind) for kind in (on_track, beside, elsewhere)])


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
    key = np.stack([group[found], labels[found]])
    _, first, number = np.unique(key, axis=1, return_index=True, return_inverse=True)
    number = number.reshape(-1)
    hits = np.zeros((len(first), columns.shape[1]), int)  # of each found track, by column
    np.add.at(hits, (number, columns.argmax(1)), 1)
    group_of_track = group[found[first]]
    most = np.ones(
        (2 * len(events), columns.shape[1]), int
    )  # that a track of a side got of a column
    np.maximum.at(most, group_of_track, hits)
    got_most_of_column = hits == most[group_of_track]
    has_most_from_column = hits == hits.max(1, keepdims=True)
    stands_for = got_most_of_column | has_most_from_column
    probability = track[:, -1].copy()
    probability[found] = (columns * stands_for[number]).sum(1)
    return probability


def branches(events, labels, probability, file, with_blocks):
    """The branches of the tree `found`; file: number of the input; with_blocks: also those of tracks."""
    hits = {name: events.hits[name].astype(np.int32) for name in ("side", "layer", "column")}
    hits["radius"] = events.hits["drift_radius_mm"]
    hits["z"] = events.hits["z_mm"]
    hits["track"] = labels.astype(np.int32)
    hits["probability"] = probability
    info = {
        "n_tracks": count_tracks(events, labels).astype(np.int32),
        "run": events.info["run"],
        "event": events.info["event"],
        "file": np.full(len(events), file, np.int32),
    }
    arrays = {name: ak.Array(values) for name, values in info.items()}
    of_tracks = {"tracks": blocks_of_tracks(events, labels)} if with_blocks else {}
    return {"hits": jagged(hits, events.hit_offsets), **of_tracks, **arrays}


def blocks_of_tracks(events, labels):
    """Jagged branches of the found tracks: the block that each most probably ends in, and the fired block that
    is its own.
    """
    found = calorimeter.ends(events, tracks.fit(events, labels))
    own = association.associate(events, found)
    best = found.best()
    probability = best.pop("probability").astype(np.float32)
    of_tracks = {name: values.astype(np.int32) for name, values in best.items()}
    of_tracks["calo_probability"] = probability
    first_block = events.block_offsets[:-1][found.event]
    of_tracks["block"] = np.where(own.block >= 0, own.block - first_block, -1).astype(np.int32)
    of_tracks["block_distance"] = own.distance.astype(np.float32)
    return jagged(of_tracks, offsets_of(np.bincount(found.event, minlength=len(events))))


def keep_first(drawn, events, labels, path, limit):
    """Add (table of one event, its labels, its title) to those of a file to draw, up to a number; events with
    hits.
    """
    n_found = count_tracks(events, labels)
    for i in np.flatnonzero(events.n_hits > 0)[: limit - len(drawn)]:
        true = events.info["n_tracks"][i]
        title = f"{plotting.title_of(events, i, path)}: {metrics.number_of(n_found[i])} found"
        if true >= 0:
            title += f", true {true}{plotting.particles_of(events, i)}"
        own = labels[events.hit_offsets[i] : events.hit_offsets[i + 1]]
        drawn.append((events[i], own, title))


def draw(drawn, path):
    """Event displays, coloured by found track, with the lines fitted to them."""
    some = [event for of_file in drawn.values() for event in of_file]
    if not some:
        print("no event with a hit to draw")
        return
    print(f"drawing {len(some)} events", flush=True)
    events = concatenate(table for table, *_ in some)
    labels = np.concatenate([own for _, own, _ in some])
    unowned = np.full_like(labels, -1)
    n_found = count_tracks(events, labels)
    shown = events.with_hits({"track": labels, "second_track": unowned})
    shown.info = {**events.info, "n_tracks": n_found}
    lines = tracks.fit(events, labels).pieces()
    plotting.page_of_events(
        shown, range(len(some)), path, [title for *_, title in some], lines=lines
    )
    print(f"{len(some)} events drawn in {path}")


if __name__ == "__main__":
    lib.run(main)
