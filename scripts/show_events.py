"""Say what is in files of events, of any kind, and draw some.

    python scripts/show_events.py FILES... --out runs/events

Prints for each file: kind, events, hits an event, sides, missing radii and heights, isolated hits,
calorimeter hits (in simulated files of generators the blocks at the ends of tracks); draws its first events
to `OUT/<file>.pdf`.

    python scripts/show_events.py run.root --noisy-cells
    python scripts/show_events.py run.root --mask 0,111,7 0,2,6

`--noisy-cells` lists cells that fire without a neighbour far more often than others of their layer
(`datasets.filters.noisy_cells` says what that means), and the words by which scripts leave them out.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

import lib
from datasets import filters
from datasets.events import concatenate
from datasets.geometry import N_CELLS
from datasets.readers import open_events
from datasets.readers.files import expand

# these are told as a share of all hits too
SHARES = (
    "hits on side 0",
    "hits without radius",
    "hits without z",
    "isolated hits",
    "hits of two tracks",
)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("files", nargs="+", help="files or globs")
    default_out = Path("runs/events")
    add(
        "--out",
        type=lib.folder,
        default=default_out,
        metavar="FOLDER",
        help="(default: %(default)s)",
    )
    displays_help = "events drawn of each file (default: %(default)s)"
    add("--displays", type=lib.at_least(0), default=10, metavar="N", help=displays_help)
    add("--format", choices=("pdf", "png"), default="pdf", help="(default: %(default)s)")
    noisy_help = "list cells of all files together that fire alone far more often than others"
    add("--noisy-cells", action="store_true", help=noisy_help)
    filters.add_mask(parser)
    open_events.add_drift_model(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    paths = expand(args.files)
    kinds = [open_events.kind_of(path) for path in paths]
    names = names_of(paths)
    summaries = {}
    counts = np.zeros((2, N_CELLS), int)
    for path, kind, name, picture in zip(paths, kinds, names, pictures_of(names), strict=True):
        summary, examples, of_file = summarise(path, args.displays, args.drift_model, args.mask)
        counts += of_file
        summaries[name] = {"kind": kind, **summary}
        print(f"{path}: {kind}")
        for line in lines_of(summary):
            print(f"    {line}")
        if len(examples):
            drawn = args.out / f"{picture}.{args.format}"
            draw(examples, path, drawn)
            print(f"    {'drawn in':<22} {drawn}")
    if args.noisy_cells:
        say_noisy_cells(counts, sum(summary["events"] for summary in summaries.values()))
    return summaries


def names_of(paths):
    """A name for each file: its own, with its folders' before it where others have the same."""
    own = [path.name for path in paths]
    whole = [path.as_posix().strip("/").replace("/", "_") for path in paths]
    return [whole[i] if own.count(own[i]) > 1 else own[i] for i in range(len(paths))]


def pictures_of(names):
    """A name for the picture of each file: without the file's suffix, but with it where others are alike."""
    stems = [Path(name).stem for name in names]
    return [
        name if stems.count(stem) > 1 else stem for name, stem in zip(names, stems, strict=True)
    ]


def summarise(path, displays, drift_model, mask=()):
    """What a file holds, without masked cells; read a chunk at a time.

    Returns:
        name -> number or text; a table of its first events; `filters.counts_of_cells` of all.
    """
    counts = np.zeros((2, N_CELLS), int)
    total = Counter(counts_of(concatenate([])))
    numbers = set()  # of tracks
    n_particles = set()
    examples = []
    n_missing = displays
    for _, events in open_events.stream(path, drift_model=drift_model):
        counts += filters.counts_of_cells(events, mask)
        events = events.keep_hits(~filters.masked(events, mask))
        total.update(counts_of(events))
        numbers.update(events.info["n_tracks"].tolist())
        n_particles.update(events.info["n_particles"].tolist())
        examples.append(events[:n_missing])
        n_missing -= len(examples[-1])
    summary = dict(total)
    n_events = total["events"]
    summary["hits an event"] = f"{total['hits'] / n_events:.1f}" if n_events else "none"
    summary["tracks an event"] = _from_to(numbers)
    if max(n_particles, default=-1) >= 0:
        summary["particles an event"] = _from_to(n_particles)
    return summary, concatenate(examples), counts


def _from_to(numbers):
    """A set of numbers as a text; -1 is unknown."""
    is_known = numbers and min(numbers) >= 0
    return f"{min(numbers)} to {max(numbers)}" if is_known else "unknown"


def counts_of(events):
    """What is added up over the events of a file: name -> number."""
    hits = events.hits
    return {
        "events": len(events),
        "events without hits": int(np.count_nonzero(events.n_hits == 0)),
        "hits": len(hits["layer"]),
        "hits on side 0": int(np.count_nonzero(hits["side"] == 0)),
        "hits without radius": int(np.count_nonzero(np.isnan(hits["drift_radius_mm"]))),
        "hits without z": int(np.count_nonzero(np.isnan(hits["z_mm"]))),
        "isolated hits": int(np.count_nonzero(filters.isolated(events))),
        "hits of two tracks": int(np.count_nonzero(hits["second_track"] >= 0)),
        "calorimeter hits": int(events.block_offsets[-1]),
    }


def lines_of(summary):
    """A summary as lines of text."""
    lines = []
    for name, value in summary.items():
        line = f"{name:<22} {value}"
        if name in SHARES and summary["hits"]:
            line += f" ({100 * value / summary['hits']:.1f} %)"
        lines.append(line)
    return lines


def say_noisy_cells(counts, n_events):
    """Print a table of noisy cells, and the words that mask them."""
    fired, alone = counts
    noisy, expected = filters.noisy_cells(fired, alone)
    cells = np.flatnonzero(noisy)
    if not len(cells):
        print(
            f"no noisy cells in {n_events} events: none fires alone far more often than others of its layer"
        )
        return
    cells = cells[np.argsort(-alone[cells], kind="stable")]
    names = [filters.text_of(filters.cell_at(cell)) for cell in cells]
    what = "noisy cell" if len(cells) == 1 else "noisy cells"
    print(f"{len(cells)} {what} in {n_events} events:")
    print("    side,column,layer   fired   alone   alone expected")
    for cell, name in zip(cells, names, strict=True):
        print(f"    {name:<17} {fired[cell]:>7} {alone[cell]:>7} {expected[cell]:>16.1f}")
    print(f"    --mask {' '.join(names)}")


def draw(events, path, picture):
    """Draw all events of a table from a file."""
    import plotting

    which = range(len(events))
    titles = [plotting.title_of(events, i, path) for i in which]
    plotting.page_of_events(events, which, picture, titles)


if __name__ == "__main__":
    lib.run(main)
