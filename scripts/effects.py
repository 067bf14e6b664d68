"""What does each effect of a real detector cost a counter? One effect at a time, and all together.

    python scripts/effects.py top_my_generator side_my_generator front_my_generator combined_my_generator --json effects.json

Each effect has the strength it has in the `data` preset of `my_generator/response.py`; the presets come with
their heights and without any. Every set of events is counted as it is and with isolated hits removed. Models
of one tracker side count events of `my_generator`, those of two the haystack, which has no kinks. Prints a
Markdown table: a row an effect, a column a model and filter.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import lib
import metrics
from architectures import view_transformer  # noqa: F401  saved counters need its layers
from datasets import filters, number_of_tracks
from my_generator import realistic
from my_generator.response import PRESETS

IDEAL, DATA = PRESETS["ideal"], PRESETS["data"]
ALONE = {
    "cells 92 % efficient": ("efficiency",),
    "2 % of cells dead": ("dead_cells",),
    "3 % cross-talk": ("cross_talk",),
    "1.5 noise hits an event": ("noise_hits",),
    "radius and height smeared": ("radius_sigma_scale", "height_sigma_mm"),
    "12 % of heights missing": ("heights_missing",),
    "15 % of tracks kinked": ("kink_probability",),
}
RESPONSES = {
    "ideal": IDEAL,
    **{
        label: replace(IDEAL, **{field: getattr(DATA, field) for field in fields})
        for label, fields in ALONE.items()
    },
    **{f"all of `{preset}`": PRESETS[preset] for preset in ("simulation", "data", "harsh")},
    **{
        f"`{preset}` without heights": replace(response, heights_missing=1.0)
        for preset, response in PRESETS.items()
    },
}
FILTERS = {
    "": lambda events: events,
    ", isolated hits removed": lambda events: events.keep_hits(~filters.isolated(events)),
}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="+", help="names of shipped models or paths of runs, counters of tracks"
    )
    parser.add_argument(
        "--events", type=lib.at_least(1), default=8192, help="of each kind (default: %(default)s)"
    )
    parser.add_argument("--seed", type=lib.at_least(0), default=2024, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    for name in args.models:
        if lib.target_of(name) != "tracks":
            raise ValueError(
                f"{name} counts {lib.target_of(name)}: what it gets right cannot be told by numbers of tracks"
            )
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    models = {name: lib.load_model(name) for name in args.models}
    kinds = {
        name: "my_generator" if model.inputs[0].shape[-1] == 1 else "toyhaystack"
        for name, model in models.items()
    }
    columns = [(name, label) for name in models for label in FILTERS]
    print("| events | " + " | ".join(name + label for name, label in columns) + " |")
    print("| --- |" + " --- |" * len(columns), flush=True)
    results = {}
    for effect, response in RESPONSES.items():
        tables = {
            kind: realistic.generate(args.events, preset=response, seed=args.seed, kind=kind)
            for kind in set(kinds.values())
        }
        results[effect] = {}
        for name, label in columns:
            events = tables[kinds[name]]
            counted = number_of_tracks.predict(models[name], FILTERS[label](events)).argmax(1)
            results[effect][name + label] = metrics.accuracy(events.info["n_tracks"], counted)
        print(
            f"| {effect} | "
            + " | ".join(f"{100 * score['accuracy']:.2f} %" for score in results[effect].values())
            + " |",
            flush=True,
        )
    if args.json:
        lib.write_json(args.json, {"n_events": args.events, "seed": args.seed, "accuracy": results})
    return results


if __name__ == "__main__":
    lib.run(main)
