"""Tune the classical track finders and the refit, on events that no comparison uses.

    python scripts/tune_baselines.py --json runs/baselines.json

One option after the other takes the best value of its grid, as often as there are sweeps. What is maximised
is the mean of two shares, events whose number of tracks is right and events that are right hit for hit, over
the presets of the detector's response, the true numbers of tracks, and the labels as they are found and after
the foil rule. A finder takes from one to five minutes of a CPU core.

The defaults in `fitting/` come from such runs with seed 77, those of the refit from looks at seed 991 too.
Near its top the score is flat: of values that differ by less than the statistical error the finders on lines
share one. Comparisons use another seed.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from finding import connected, density, hough, ransac, refit
from finding.foil import foil_rule
from my_generator import realistic

PRESETS = ("ideal", "simulation", "data", "harsh")
KINKS = ("margin_mm", "gap_mm", "join_off_mm", "join_height_mm", "kink_degrees")


def with_kinks(find):
    """The finder with the limits of joins as options beside its own."""

    def find_with_kinks(events, **options):
        kinks = {name.removeprefix("join_"): options.pop(name) for name in KINKS if name in options}
        return find(events, kinks=kinks, **options)

    return find_with_kinks


def refit_of_network(model="track_finder"):
    """The refit after a shipped network, which looks at the same events once only."""
    seen = {}

    def find(events, **constants):
        if not seen:
            seen["model"] = inference.load(model)
        if id(events) not in seen:
            seen[id(events)] = events, inference.look(events, seen["model"])
        _, said = seen[id(events)]
        return refit.find(events, said.track, said.n_tracks, constants=refit.Constants(**constants))

    return find


LINES = {
    "off_mm": (4.0, 6.0, 8.0, 10.0),
    "reach_mm": (6.0, 7.0, 8.0, 10.0),
    "height_mm": (80.0, 100.0, 130.0, 180.0, 250.0),
    "max_gap_mm": (160.0, 200.0, 250.0, 350.0),
    "min_hits": (3, 4),
    "min_track_hits": (4, 3, 5),
}
JOINS = {
    "margin_mm": (150.0, 200.0, 250.0, 350.0),
    "gap_mm": (150.0, 250.0, 350.0),
    "join_off_mm": (8.0, 15.0, 25.0, 40.0),
    "join_height_mm": (100.0, 150.0, 250.0, 400.0),
    "kink_degrees": (30.0, 35.0, 50.0),
    "max_silent": (1, 2, 3),  # of the foil rule
}
# the finder, and the grids of its options
BASELINES = {
    "connected": (
        connected.find,
        {"gap": (0, 1), "z_step_mm": (100.0, 200.0, 300.0, 500.0, np.inf), "min_hits": (2, 3, 4, 5)},
    ),
    "dbscan": (
        density.find,
        {
            "eps": (1.5, 2.1, 2.5, 3.0, 3.7, 4.5),
            "mm_per_z": (40.0, 60.0, 90.0, 150.0, 250.0),
            "min_samples": (1, 2, 3, 4),
            "min_hits": (2, 3, 4, 5),
        },
    ),
    "hdbscan": (
        density.find_hdbscan,
        {
            "mm_per_z": (25.0, 40.0, 60.0, 90.0, 150.0),
            "min_samples": (1, 2, 3, 4),
            "min_hits": (3, 4, 5, 6),
            "reach": (2.1, 3.0, 4.5, 7.0),
        },
    ),
    "hough": (hough.find, {"n_angles": (180, 360), "bin_mm": (4.0, 6.0, 8.0), **LINES}),
    "ransac_cells": (
        with_kinks(ransac.find_cells),
        LINES | dict.fromkeys(("off_mm", "reach_mm"), (0.0, 2.0, 4.0, 7.0, 10.0)) | JOINS,
    ),
    "ransac": (with_kinks(ransac.find), LINES | JOINS),
    "refit": (
        refit_of_network(),
        {
            "near_mm": (40.0, 70.0, 120.0, 200.0),
            "far_mm": (100.0, 150.0, 200.0),
            "far_share": (0.25, 0.5, 1.0),
            "sure": (0.9, 0.95, 0.98, 0.995),
            "odd": (0.02, 0.05, 0.1),
            "covered": (0.03, 0.1, 0.3),
            "same": (0.2, 0.3, 0.4),
            "first_layers": (1, 2, 3),
            "doubt": (5.0, 20.0, 80.0),
        },
    ),
}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--baselines", nargs="+", choices=BASELINES, default=list(BASELINES), help="(default: all)"
    )
    parser.add_argument("--events", type=int, default=1000, help="of each preset (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=77, help="not that of a comparison (default: %(default)s)"
    )
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS), help="(default: all)")
    parser.add_argument("--sweeps", type=int, default=2, help="through all options (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def shares(events, labels):
    """(2, number of tracks) shares of events whose number of tracks is right, and of perfect ones, by true
    number of tracks.
    """
    truth, hits = events.info["n_tracks"], events.hits
    counts = metrics.clustering_by_event(
        events.hit_offsets, hits["track"], hits["second_track"], labels, truth
    )
    good = np.stack([counts[figure][0] for figure in ("count_right", "perfect")])
    return np.stack([good[:, truth == n].mean(1) for n in np.unique(truth)], axis=1)


def evaluate(find, samples, options):
    """preset -> {"plain", "foil": [count right, perfect], each a list by number of tracks;
    "events_per_cpu_second"}.
    """
    of_rule = {name: value for name, value in options.items() if name == "max_silent"}
    of_finder = {name: value for name, value in options.items() if name not in of_rule}
    results = {}
    for preset, events in samples.items():
        start = time.process_time()
        labels = find(events, **of_finder)
        seconds = time.process_time() - start
        plain, foil = shares(events, labels), shares(events, foil_rule(events, labels, **of_rule))
        results[preset] = {
            "plain": plain.tolist(),
            "foil": foil.tolist(),
            "events_per_cpu_second": len(events) / max(seconds, 1e-9),
        }
    return results


def score(results):
    """The figure that is maximised, in 0..1."""
    return float(np.mean([[result["plain"], result["foil"]] for result in results.values()]))


def tune(find, grids, samples, sweeps):
    """The best options found, and what `evaluate` gives with them.

    A sweep starts from the middle of each grid, the next from its best.
    """
    options = {name: values[len(values) // 2] for name, values in grids.items()}
    best = evaluate(find, samples, options)
    for _ in range(sweeps):
        for name, values in grids.items():
            for value in values:
                if value == options[name]:
                    continue
                tried = evaluate(find, samples, options | {name: value})
                if score(tried) > score(best):
                    options, best = options | {name: value}, tried
    return options, best


def main(argv=None):
    args = parse_args(argv)
    samples = {
        preset: realistic.generate(args.events, preset=preset, seed=args.seed) for preset in args.presets
    }
    found = {}
    for name in args.baselines:
        options, results = tune(*BASELINES[name], samples, args.sweeps)
        found[name] = {"options": options, "score": score(results), "results": results}
        print(f"{name}: score {score(results):.4f}, {options}", flush=True)
        for preset, result in results.items():
            for kind in ("plain", "foil"):
                count, right = ("/".join(f"{100 * share:.1f}" for share in row) for row in result[kind])
                speed = f"{result['events_per_cpu_second']:.0f} events/s"
                print(f"  {preset:>10} {kind:>5}: count {count}, perfect {right}, {speed}", flush=True)
    if args.json:
        lib.write_json(args.json, {"events": args.events, "seed": args.seed, "baselines": found})
    return found


if __name__ == "__main__":
    main()
