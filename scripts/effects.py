"""What does each effect of a real detector cost a counter? One effect at a time, and all together.

    python scripts/effects.py top_my_generator side_my_generator front_my_generator --json effects.json

Each effect has the strength it has in the `data` preset of `my_generator/response.py`. The presets follow,
with their heights and without any. Every set of events is counted as it is and with isolated hits removed.
Models of one tracker side count events of `my_generator`, those of two the haystack, which has no kinks.

Prints a Markdown table: a row an effect, a column a model and filter.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import inference
import lib
import metrics
from datasets import filters
from my_generator import realistic
from my_generator.response import PRESETS

REMOVED = ", isolated hits removed"
# effect -> fields of the response that make it
ALONE = {
    "cells 92 % efficient": ("efficiency",),
    "2 % of cells dead": ("dead_cells",),
    "3 % cross-talk": ("cross_talk",),
    "1.5 noise hits an event": ("noise_hits",),
    "radius and height smeared": ("radius_sigma_scale", "height_sigma_mm"),
    "12 % of heights missing": ("heights_missing",),
    "15 % of tracks kinked": ("kink_probability",),
}


def responses():
    """Label of a row -> Response."""
    ideal = PRESETS["ideal"]
    data = PRESETS["data"]
    made = {"ideal": ideal}
    for label, fields in ALONE.items():
        strengths = {field: getattr(data, field) for field in fields}
        made[label] = replace(ideal, **strengths)
    for preset in ("simulation", "data", "harsh"):
        made[f"all of `{preset}`"] = PRESETS[preset]
    for preset, response in PRESETS.items():
        made[f"`{preset}` without heights"] = replace(response, heights_missing=1.0)
    return made


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("models", nargs="+", help="names of shipped models or paths of runs, counters of tracks")
    add("--events", type=lib.at_least(1), default=8192, help="of each kind (default: %(default)s)")
    add("--seed", type=lib.at_least(0), default=2024, help="(default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the accuracies here, with their intervals")
    inference.add_engine(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    networks = {name: inference.load_track_counter(name, args.engine) for name in args.models}
    columns = [name + removed for name in networks for removed in ("", REMOVED)]
    print(row_of("events", columns))
    print(row_of("---", ["---"] * len(columns)), flush=True)
    results = {}
    for effect, response in responses().items():
        scores = measure(networks, response, args.events, args.seed)
        results[effect] = scores
        shown = [f"{100 * scores[column]['accuracy']:.2f} %" for column in columns]
        print(row_of(effect, shown), flush=True)
    if args.json:
        lib.write_json(args.json, {"n_events": args.events, "seed": args.seed, "accuracy": results})
    return results


def row_of(first, cells):
    """A row of a Markdown table."""
    return f"| {' | '.join([first, *cells])} |"


def measure(networks, response, n_events, seed):
    """Column -> `metrics.accuracy` of a counter on events with a response."""
    scores = {}
    made = {}  # kind -> its events
    for name, network in networks.items():
        kind = "my_generator" if network.n_channels == 1 else "toyhaystack"
        if kind not in made:
            made[kind] = realistic.generate(n_events, preset=response, seed=seed, kind=kind)
        events = made[kind]
        scores[name] = accuracy(events, network)
        kept = events.keep_hits(~filters.isolated(events))
        scores[name + REMOVED] = accuracy(kept, network)
    return scores


def accuracy(events, network):
    """`metrics.accuracy` of a counter."""
    counted = inference.count_tracks(events, network)
    return metrics.accuracy(events.info["n_tracks"], counted)


if __name__ == "__main__":
    lib.run(main)
