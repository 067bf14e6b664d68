"""Two things that misled counters on real data: isolated hits, and unknown heights written as zero.

    python scripts/known_problems.py top_my_generator side_my_generator --out problems.pdf

Ideal events are counted as they are, with one isolated noise hit each, and with some of their heights
missing. A missing height is absent from the views that need it, as everywhere here; or, as it once was, in
the image at z = 0. All of that is counted with and without isolated hits removed. Models of one tracker side
count events of `my_generator`, those of two the haystack.

Prints a Markdown table, a row a kind of events and filter, and draws the wrongly counted events (.pdf or
.png).
"""

import argparse
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from datasets import filters
from datasets.events import HIT_FIELDS, offsets_of
from datasets.geometry import CELL_RADIUS_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS, N_SIDES
from my_generator import straight_lines, toyhaystack
from my_generator.response import Response, apply

AS_ZERO = "of heights set to 0"
NO_FILTER = "none"
FILTERS = (NO_FILTER, "isolated hits removed")
BAR_HEIGHT = 0.8
# behind the number of a bar that is cut off
BOX = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("models", nargs="+", help="names of shipped models or paths of runs, counters of tracks")
    add("--out", type=Path, required=True, metavar="FILE", help="the figure")
    add("--events", type=lib.at_least(1), default=4096, help="of each kind (default: %(default)s)")
    missing_help = "share of the hits (default: %(default)s)"
    add("--heights-missing", type=float, default=0.3, metavar="SHARE", help=missing_help)
    add("--seed", type=lib.at_least(0), default=2024, help="(default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the shares here, with their intervals")
    inference.add_engine(parser)
    args = parser.parse_args(argv)
    if args.out.suffix not in (".pdf", ".png"):
        parser.error(f"--out {args.out} ends neither in .pdf nor in .png")
    if not 0 <= args.heights_missing <= 1:
        parser.error(f"--heights-missing {args.heights_missing} outside 0..1")
    return args


def main(argv=None):
    args = parse_args(argv)
    networks = {name: inference.load_track_counter(name, args.engine) for name in args.models}
    results = {}
    for name, network in networks.items():
        generator = straight_lines if network.n_channels == 1 else toyhaystack
        clean = generator.generate(args.events, seed=args.seed)
        kinds = kinds_of_events(clean, args.heights_missing, args.seed)
        results[name] = measure(network, kinds)
    print(table(results))
    if args.json:
        lib.write_json(args.json, {"n_events": args.events, "seed": args.seed, "shares": results})
    draw(results, args.events, args.out)
    return results


# ---- events with problems ----------------------------------------------------------------------------------


def kinds_of_events(events, share, seed):
    """Name -> events with one of the problems, from ideal ones."""
    rng = np.random.default_rng([seed, 1])
    missing = apply(events, Response(heights_missing=share), rng)
    sides_in_use = np.unique(events.hits["side"])
    percent = f"{100 * share:g} %"
    return {
        "clean": events,
        "one isolated hit added": with_isolated_hit(events, sides_in_use, rng),
        f"{percent} of heights missing": missing,
        f"{percent} {AS_ZERO}": heights_as_zero(missing),
    }


def with_isolated_hit(events, sides, rng):
    """The same events with one more hit each, last and of no track.

    Its cell lies on one of the `sides` and has no hit in itself and the eight around it, each such cell as
    likely as the other.
    """
    n_events = len(events)
    may_be = free_cells(events)
    may_be[:, ~np.isin(range(N_SIDES), sides)] = False
    dice = rng.random(may_be.shape, np.float32)
    cell = np.where(may_be, dice, -1).reshape(n_events, -1).argmax(1)
    side, layer, column = np.unravel_index(cell, may_be.shape[1:])
    added = {
        "side": side,
        "layer": layer,
        "column": column,
        "drift_radius_mm": rng.uniform(0, CELL_RADIUS_MM, n_events),
        "z_mm": rng.uniform(-HALF_HEIGHT_MM, HALF_HEIGHT_MM, n_events),
    }
    hits = {}
    last = events.hit_offsets[1:]
    for name, (_, default, *_) in HIT_FIELDS.items():
        hits[name] = np.insert(events.hits[name], last, added.get(name, default))
    return events.with_hits(hits, offsets_of(events.n_hits + 1))


def free_cells(events):
    """(event, side, layer, column) bool: no hit in the cell and the eight around it."""
    hits = events.hits
    near = np.zeros((len(events), N_SIDES, N_LAYERS + 2, N_COLUMNS + 2), bool)
    for i in range(3):
        for j in range(3):
            near[events.hit_event, hits["side"], hits["layer"] + i, hits["column"] + j] = True
    return ~near[:, :, 1:-1, 1:-1]


def heights_as_zero(events):
    """The same events with z = 0 where it is not known: what this project never does."""
    return events.with_hits({"z_mm": np.nan_to_num(events.hits["z_mm"])})


# ---- how they are counted ----------------------------------------------------------------------------------


def measure(network, kinds):
    """ "kind of events | filter" -> `scores_of`; `kinds` are name -> events."""
    scores = {}
    for kind, events in kinds.items():
        for label in FILTERS:
            seen = events if label == NO_FILTER else events.keep_hits(~filters.isolated(events))
            scores[f"{kind} | {label}"] = scores_of(network, seen)
    return scores


def scores_of(network, events):
    """How many events a counter counts right, too high and too low: name -> share and its 68 % interval."""
    counted = inference.count_tracks(events, network)
    true = events.info["n_tracks"]
    return {
        "right": share_of(counted == true),
        "over": share_of(counted > true),
        "under": share_of(counted < true),
    }


def share_of(chosen):
    """The share of chosen events, (event,) bool, with its interval."""
    n_chosen = np.count_nonzero(chosen)
    interval = metrics.binomial_interval(n_chosen, len(chosen))
    return {"share": n_chosen / len(chosen), "interval": list(interval)}


def table(results):
    """The shares counted right and too high, as Markdown."""
    titles = [f"{name}: right | too many" for name in results]
    lines = [
        row_of("events | filter", titles),
        row_of("--- | ---", ["--- | ---"] * len(results)),
    ]
    for row in rows_of(results):
        cells = []
        for scores in results.values():
            for what in ("right", "over"):
                cells.append(f"{100 * scores[row][what]['share']:.2f} %")
        lines.append(row_of(row, cells))
    return "\n".join(lines)


def row_of(first, cells):
    """A row of a Markdown table."""
    return f"| {' | '.join([first, *cells])} |"


def rows_of(results):
    """Names of the rows, the same for every model."""
    return list(next(iter(results.values())))


# ---- the figure --------------------------------------------------------------------------------------------


def draw(results, n_events, path):
    """Bars of the wrongly counted events of each model: too many tracks, and beside them too few."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    import plotting

    colours = {"over": plotting.PALETTE[1], "under": plotting.PALETTE[5]}
    rows = rows_of(results)
    number = np.arange(len(rows))
    place = -(number + 0.5 * (number // len(FILTERS)))  # a gap after each kind of events
    size = (2.6 * len(results) + 3.2, 0.42 * len(rows) + 1.7)
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(1, len(results), sharex=True, sharey=True, squeeze=False)[0]
    end = axis_end(results)
    for ax, name in zip(panels, results, strict=True):
        draw_bars(ax, results[name], rows, place, end, colours)
        ax.set(title=name, xlabel="wrongly counted events (%)", xlim=(0, end))
        ax.set(yticks=place, yticklabels=labels_of(rows))
        ax.grid(axis="x", color=plotting.GRID_COLOUR, linewidth=0.6)
        ax.set_axisbelow(True)
    handles = [
        Patch(color=colours["over"], label="too many tracks counted"),
        Patch(color=colours["under"], label="too few"),
    ]
    bars = f"{n_events} events of 1 to 4 tracks a bar"
    lines = "lines: 68 % intervals of ‘too many’ (upper) and of all wrong (lower)"
    style = {"ncols": 2, "frameon": False, "fontsize": 9, "title_fontsize": 9}
    place_of_legend = "outside lower center"
    figure.legend(handles=handles, title=f"{bars}\n{lines}", loc=place_of_legend, **style)
    plotting.save(figure, path)


def draw_bars(ax, scores, rows, place, end, colours):
    """The bars of one model: its `scores` of the `rows`, at a `place` each, up to the `end` of the axis."""
    over = in_percent([scores[row]["over"] for row in rows])
    right = in_percent([scores[row]["right"] for row in rows])
    wrong = (
        100 - right[[0, 2, 1]]
    )  # the upper end of what is right is the lower one of what is wrong
    ax.barh(place, over[0], BAR_HEIGHT, color=colours["over"])
    ax.barh(place, wrong[0] - over[0], BAR_HEIGHT, over[0], color=colours["under"])
    for shift, (share, low, high) in ((0.2, over), (-0.2, wrong)):
        style = {"fmt": "none", "ecolor": "black", "elinewidth": 0.9, "capsize": 1.5}
        ax.errorbar(share, place + shift, xerr=(share - low, high - share), **style)
    for y, share in zip(place, wrong[0], strict=True):
        if share > end:
            text = f"{share:.0f} % →"
            ax.text(0.98 * end, y, text, ha="right", va="center", fontsize=8, bbox=BOX)


def in_percent(scores):
    """(3, row) shares, their lower and their upper limits."""
    values = [[score["share"], *score["interval"]] for score in scores]
    return 100 * np.array(values).T


def labels_of(rows):
    """How rows are called in the figure: a filter stands below the events it belongs to."""
    labels = []
    for row in rows:
        kind, label = row.split(" | ")
        labels.append(kind if label == NO_FILTER else f"… {label}")
    return labels


def axis_end(results):
    """Where the axis of wrongly counted events ends, in %: past all bars but those of heights set to 0, which
    would dwarf the others.
    """
    highest = 0
    for scores in results.values():
        for row, score in scores.items():
            if AS_ZERO not in row:
                low, _ = score["right"]["interval"]
                highest = max(highest, 1 - low)
    return 100 * min(1, 1.1 * highest)


if __name__ == "__main__":
    lib.run(main)
