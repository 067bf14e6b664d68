"""Two things that misled counters on real data: isolated hits, and unknown heights written as zero.

    python scripts/known_problems.py top_my_generator side_my_generator front_my_generator combined_my_generator --out problems.pdf

Ideal events are counted as they are, with one isolated noise hit each, and with some of their heights
missing: absent from the views that need them, as everywhere here, and in the image at z = 0, as they once
were. All of that with and without isolated hits removed. Prints a Markdown table, a row a kind of events and
filter, and draws the wrongly counted events (.pdf or .png). Models of one tracker side count events of
`my_generator`, those of two the haystack.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import lib
import metrics
import plotting
from architectures import view_transformer  # noqa: F401  saved counters need its layers
from datasets import filters, number_of_tracks
from datasets.events import HIT_FIELDS, Events
from datasets.geometry import CELL_RADIUS_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS, N_SIDES
from my_generator import straight_lines, toyhaystack
from my_generator.response import Response, apply


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="+", help="names of shipped models or paths of runs, counters of tracks"
    )
    parser.add_argument("--out", type=plotting.figure_path, required=True, metavar="FILE", help="the figure")
    parser.add_argument(
        "--events", type=lib.at_least(1), default=4096, help="of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--heights-missing", type=float, default=0.3, help="share of the hits (default: %(default)s)"
    )
    parser.add_argument("--seed", type=lib.at_least(0), default=2024, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    if not 0 <= args.heights_missing <= 1:
        parser.error(f"--heights-missing {args.heights_missing} outside 0..1")
    return args


def with_isolated_hit(events, sides, rng):
    """The same events with one more hit each, last and of no track.

    Its cell lies on one of the `sides` and has no hit in itself and the eight around it, each such cell as
    likely as the other.
    """
    hit = events.hits
    near = np.zeros((len(events), N_SIDES, N_LAYERS + 2, N_COLUMNS + 2), bool)
    for i in range(3):
        for j in range(3):
            near[events.hit_event, hit["side"], hit["layer"] + i, hit["column"] + j] = True
    free = ~near[:, :, 1:-1, 1:-1] & np.isin([0, 1], sides)[:, None, None]
    cell = np.where(free, rng.random(free.shape, np.float32), -1).reshape(len(events), -1).argmax(1)
    side, layer, column = np.unravel_index(cell, free.shape[1:])
    radius = rng.uniform(0, CELL_RADIUS_MM, len(events))
    added = {"side": side, "layer": layer, "column": column, "drift_radius_mm": radius}
    added["z_mm"] = rng.uniform(-HALF_HEIGHT_MM, HALF_HEIGHT_MM, len(events))
    ends = events.hit_offsets[1:]
    hits = {
        name: np.insert(hit[name], ends, added.get(name, default))
        for name, (_, default, *_) in HIT_FIELDS.items()
    }
    return Events(
        hits,
        events.hit_offsets + np.arange(len(events) + 1),
        events.tracks,
        events.track_offsets,
        events.info,
    )


def heights_as_zero(events):
    """The same events with z = 0 where it is not known: what this project never does."""
    hits = {**events.hits, "z_mm": np.nan_to_num(events.hits["z_mm"])}
    return Events(hits, events.hit_offsets, events.tracks, events.track_offsets, events.info)


def kinds_of_events(events, share, seed):
    """Name -> events with one of the problems, from ideal ones."""
    rng = np.random.default_rng([seed, 1])
    missing = apply(events, Response(heights_missing=share), rng)
    return {
        "clean": events,
        "one isolated hit added": with_isolated_hit(events, np.unique(events.hits["side"]), rng),
        f"{100 * share:g} % of heights missing": missing,
        f"{100 * share:g} % {AS_ZERO}": heights_as_zero(missing),
    }


AS_ZERO = "of heights set to 0"
BOX = {
    "boxstyle": "round,pad=0.15",
    "facecolor": "white",
    "edgecolor": "none",
}  # behind the number of a bar that is cut off
FILTERS = {
    "none": lambda events: events,
    "isolated hits removed": lambda events: events.keep_hits(~filters.isolated(events)),
}


def scores_of(model, events):
    """How many events a model counts right, too high and too low: name -> share and its 68 % interval."""
    difference = number_of_tracks.predict(model, events).argmax(1) - events.info["n_tracks"]
    counts = {
        "right": (difference == 0).sum(),
        "over": (difference > 0).sum(),
        "under": (difference < 0).sum(),
    }
    return {
        name: {"share": float(n / len(events)), "interval": list(metrics.binomial_interval(n, len(events)))}
        for name, n in counts.items()
    }


def main(argv=None):
    args = parse_args(argv)
    for name in args.models:
        if lib.target_of(name) != "tracks":
            raise ValueError(
                f"{name} counts {lib.target_of(name)}: what it gets right cannot be told by numbers of tracks"
            )
    for path in filter(None, [args.out, args.json]):
        path.parent.mkdir(parents=True, exist_ok=True)
    models = {name: lib.load_model(name) for name in args.models}
    results = {name: {} for name in models}
    for name, model in models.items():
        generator = straight_lines if model.inputs[0].shape[-1] == 1 else toyhaystack
        clean = generator.generate(args.events, seed=args.seed)
        for kind, events in kinds_of_events(clean, args.heights_missing, args.seed).items():
            for label, keep in FILTERS.items():
                results[name][f"{kind} | {label}"] = scores_of(model, keep(events))
    print(table(results))
    if args.json:
        lib.write_json(args.json, {"n_events": args.events, "seed": args.seed, "shares": results})
    draw(results, args.events, args.out)
    return results


def table(results):
    """The shares counted right and too high, as Markdown."""
    lines = ["| events | filter | " + " | ".join(f"{name}: right | too many" for name in results) + " |"]
    lines.append("| --- | --- |" + " --- | --- |" * len(results))
    for row in next(iter(results.values())):
        cells = [
            f"{100 * scores[row][what]['share']:.2f} %"
            for scores in results.values()
            for what in ("right", "over")
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def axis_end(results):
    """Where the axis of wrongly counted events ends, in %: past all bars but those of heights set to 0, which
    would dwarf the others.
    """
    highest = [
        1 - row["right"]["interval"][0]
        for scores in results.values()
        for name, row in scores.items()
        if AS_ZERO not in name
    ]
    return 100 * min(1, 1.1 * max(highest))


def draw(results, n_events, path):
    """Bars of the wrongly counted events of each model: too many tracks, and beside them too few."""
    rows = list(next(iter(results.values())))
    labels = [kind if label == "none" else f"… {label}" for kind, label in (row.split(" | ") for row in rows)]
    place = -np.arange(len(rows)) - 0.5 * (np.arange(len(rows)) // len(FILTERS))
    figure = Figure((2.6 * len(results) + 3.2, 0.42 * len(rows) + 1.7), layout="constrained")
    panels = figure.subplots(1, len(results), sharex=True, sharey=True, squeeze=False)[0]
    end = axis_end(results)
    for ax, (name, scores) in zip(panels, results.items(), strict=True):
        over = (
            100
            * np.array([[scores[row]["over"]["share"], *scores[row]["over"]["interval"]] for row in rows]).T
        )
        wrong = (
            100
            - 100
            * np.array(
                [[scores[row]["right"]["share"], *scores[row]["right"]["interval"][::-1]] for row in rows]
            ).T
        )
        ax.barh(place, over[0], 0.8, color=plotting.PALETTE[1])
        ax.barh(place, wrong[0] - over[0], 0.8, over[0], color=plotting.PALETTE[5])
        for shift, (share, low, high) in ((0.2, over), (-0.2, wrong)):
            ax.errorbar(
                share,
                place + shift,
                xerr=(share - low, high - share),
                fmt="none",
                ecolor="black",
                elinewidth=0.9,
                capsize=1.5,
            )
        for y, share in zip(place, wrong[0], strict=True):
            if share > end:
                ax.text(0.98 * end, y, f"{share:.0f} % →", ha="right", va="center", fontsize=8, bbox=BOX)
        ax.set(
            title=name, xlabel="wrongly counted events (%)", xlim=(0, end), yticks=place, yticklabels=labels
        )
        ax.grid(axis="x", color=plotting.GRID_COLOUR, linewidth=0.6)
        ax.set_axisbelow(True)
    handles = [
        Patch(color=plotting.PALETTE[1], label="too many tracks counted"),
        Patch(color=plotting.PALETTE[5], label="too few"),
    ]
    title = f"{n_events} events of 1 to 4 tracks a bar\nlines: 68 % intervals of ‘too many’ (upper) and of all wrong (lower)"
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=2,
        frameon=False,
        title=title,
        fontsize=9,
        title_fontsize=9,
    )
    plotting.save(figure, path)


if __name__ == "__main__":
    lib.run(main)
