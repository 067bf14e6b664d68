"""See what single hits do: count and fit an event, remove or add hits, and count and fit it again.

    python scripts/special_events.py run.root --event 3 --remove 0,111,7
    python scripts/special_events.py run.root --event 3 --add 1,56,0 1,57,1,12.5,-300 --model combined top

A hit is side,column,layer (TKEvent and Falaise call the column row), one to add may have a radius and then a
height in mm, else it has none. Prints what each counter says of all hits and what is fitted (as by
`fit_one_iteratively.py`, with the first counter), before and after, and draws both.
"""

import argparse
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
import plotting
from datasets import filters
from datasets.events import HIT_FIELDS, concatenate
from datasets.readers import open_events
from finding.labels import count_tracks


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("file", help="a file of events, of any kind")
    add(
        "--event",
        type=lib.at_least(0),
        required=True,
        metavar="N",
        help="place of the event in the file, from 0",
    )
    cell_word = "SIDE,COLUMN,LAYER"
    add(
        "--remove",
        type=filters.cell,
        nargs="+",
        default=[],
        metavar=cell_word,
        help="hits to remove",
    )
    hit_word = f"{cell_word}[,RADIUS[,Z]]"
    add(
        "--add",
        type=hit,
        nargs="+",
        default=[],
        metavar=hit_word,
        help="hits to add, lengths in mm",
    )
    model_help = "counters: names of shipped models or paths of runs (default: %(default)s)"
    add("--model", nargs="+", default=[inference.COUNTER], help=model_help)
    default_out = Path("runs/special_event.pdf")
    out_help = "the figure (default: %(default)s)"
    add("--out", type=plotting.figure_path, default=default_out, metavar="FILE.pdf", help=out_help)
    filters.add_mask(parser)
    inference.add_engine(parser)
    open_events.add_drift_model(parser)
    return parser.parse_args(argv)


def hit(text):
    """The type of the flag `--add`: ((side, column, layer), radius, z), NaN where they are not given."""
    words = text.split(",")
    cell = filters.cell(",".join(words[:3]))
    lengths = [np.nan, np.nan]
    for place, (word, name) in enumerate(zip(words[3:], ("drift_radius_mm", "z_mm"), strict=False)):
        _, _, lowest, highest = HIT_FIELDS[name]
        try:
            lengths[place] = float(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text}: {word} is no number of mm") from None
        if not lowest <= lengths[place] <= highest:
            raise argparse.ArgumentTypeError(f"{text}: {name} {word} outside {lowest}..{highest}")
    if len(words) > 5:
        raise argparse.ArgumentTypeError(f"{text} has more than side,column,layer,radius,z")
    return cell, *lengths


def main(argv=None):
    args = parse_args(argv)
    if not args.remove and not args.add:
        raise ValueError("nothing to do: --remove or --add some hits")
    networks = [inference.load_track_counter(model, args.engine) for model in args.model]
    before = read(args.file, args.event, args.drift_model, args.mask)
    after = changed(before, args.remove, args.add, f"{args.file}: event {args.event}")
    events = concatenate([before, after])
    probabilities = {
        network.name: inference.count_probabilities(events, network) for network in networks
    }
    _, found, _ = inference.fit_iteratively(events, networks[0], neighbour_filter="none")
    print(f"{plotting.title_of(before, 0, args.file)}, place {args.event} of the file")
    rows = rows_of(events, probabilities, found)
    width = max(len(name) for name, *_ in rows)
    for name, *columns in [("", "before", "after"), *rows]:
        print(f"    {name:<{width}}  {columns[0]:<34}  {columns[1]}".rstrip())
    draw(events, probabilities[networks[0].name], found, args)
    print(f"drawn in {args.out}")
    return {name: said.argmax(1).tolist() for name, said in probabilities.items()} | {
        "fitted": np.bincount(found.event, minlength=2).tolist()
    }


def read(path, place, drift_model, mask):
    """A table of the event at some place of a file, without masked cells."""
    start = 0
    for _, events in open_events.stream(path, drift_model=drift_model):
        if place < start + len(events):
            event = events[[place - start]]
            return event.keep_hits(~filters.masked(event, mask))
        start += len(events)
    raise ValueError(f"{path}: no event {place}, it has {start}, counted from 0")


def changed(event, remove, add, name):
    """An event without some hits and with others.

    Args:
        event: Events, one. remove: list of (side, column, layer). add: list of (cell, radius, z).
        name: of the event, for errors.
    Raises:
        ValueError: a hit to remove is not there, one to add is.
    """
    for cell in remove:
        if not filters.masked(event, [cell]).any():
            raise ValueError(
                f"{name}: no hit to remove in side,column,layer {filters.text_of(cell)}"
            )
    event = event.keep_hits(~filters.masked(event, remove))
    for cell, radius, z in add:
        if filters.masked(event, [cell]).any():
            raise ValueError(
                f"{name}: a hit is in side,column,layer {filters.text_of(cell)} already"
            )
        event = with_hit(event, cell, radius, z)
    return event


def with_hit(event, cell, radius, z):
    """An event, Events, with one more hit behind the others, of no track."""
    values = dict(zip(("side", "column", "layer"), cell, strict=True)) | {
        "drift_radius_mm": radius,
        "z_mm": z,
    }
    hits = {}
    for name, (dtype, default, *_) in HIT_FIELDS.items():
        one = np.array([values.get(name, default)], dtype)
        hits[name] = np.concatenate([event.hits[name], one])
    return event.with_hits(hits, event.hit_offsets + [0, 1])


def rows_of(events, probabilities, found):
    """The lines of the printed table: (name, before, after)."""
    rows = [("hits", *map(str, events.n_hits))]
    for name, said in probabilities.items():
        rows.append((name, *[said_of(said[i]) for i in (0, 1)]))
    for side in (0, 1):
        columns = []
        for i in (0, 1):
            own = (found.event == i) & (found.side == side)
            qualities = ", ".join(f"{quality:.3f}" for quality in found.quality_per_mm[own])
            number = metrics.number_of(np.count_nonzero(own))
            columns.append(f"{number}, quality {qualities}" if own.any() else number)
        rows.append((f"fitted on side {side}", *columns))
    on_tracks = np.bincount(events.hit_event[found.labels >= 0], minlength=2)
    rows.append(("hits on fitted tracks", *map(str, on_tracks)))
    return rows


def said_of(probabilities):
    """What a counter says: the most probable number, and the next where it is not impossible."""
    first, second = np.argsort(-probabilities, kind="stable")[:2]
    said = f"{metrics.number_of(first)} (p = {probabilities[first]:.3f})"
    if probabilities[second] >= 0.001:
        said += f", {second} ({probabilities[second]:.3f})"
    return said


def draw(events, said, found, args):
    """The event before and after, with its fitted tracks."""
    names = (
        f"{plotting.title_of(events, 0, args.file)}, before",
        f"after, hits removed: {len(args.remove)}, added: {len(args.add)}",
    )
    titles = []
    for i, name in enumerate(names):
        counted = metrics.number_of(said[i].argmax())
        fitted = metrics.number_of(np.count_nonzero(found.event == i))
        titles.append(f"{name}: {counted} counted (p = {said[i].max():.2f}), {fitted} fitted")
    unowned = np.full_like(found.labels, -1)
    shown = events.with_hits({"track": found.labels, "second_track": unowned})
    shown.info = {**events.info, "n_tracks": count_tracks(events, found.labels)}
    plotting.page_of_events(shown, (0, 1), args.out, titles, lines=found.pieces())


if __name__ == "__main__":
    lib.run(main)
