"""Tune the classical track finders and the refit, on events that no comparison uses.

    python scripts/tune_baselines.py --json runs/baselines.json

One option after the other takes the best value of its grid, as often as there are sweeps. What is maximised
is the mean of two shares: events whose number of tracks is right, and events that are right hit for hit. The
mean is over the presets of the detector's response, over the true numbers of tracks, and over the labels as
they are found and after the foil rule. A finder takes from one to five minutes of a CPU core. The JSON is
written anew after each.

The defaults in `finding/` come from such runs with seed 77, those of the refit from looks at seed 991 too.
Near its top the score is flat: of values that differ by less than the statistical error the finders on lines
share one. Comparisons use another seed.
"""

import argparse
import time
from importlib import import_module
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from finding import refit
from finding.foil import foil_rule
from my_generator import realistic
from my_generator.response import PRESETS

KINKS = ("margin_mm", "gap_mm", "join_off_mm", "join_height_mm", "kink_degrees")
OF_RULE = ("max_silent",)  # options of the foil rule
FIGURES = ("count_right", "perfect")


# ---- what is tuned -----------------------------------------------------------------------------------------


def finder(module, name="find"):
    """A finder of `finding`, imported at its first call: some need packages that take a second."""

    def find(events, **options):
        function = getattr(import_module(f"finding.{module}"), name)
        return function(events, **options)

    return find


def with_kinks(find):
    """The finder with the limits of joins as options beside its own."""

    def find_with_kinks(events, **options):
        kinks = {name.removeprefix("join_"): options.pop(name) for name in KINKS if name in options}
        return find(events, kinks=kinks, **options)

    return find_with_kinks


class Refit:
    """The refit after a network, which looks at the same events once only.

    Attributes:
        model: of `inference.load`. seen: list of (events, what the network said of them).
    """

    def __init__(self, model=inference.FINDER):
        self.model = model
        self.seen = []

    def __call__(self, events, **constants):
        said = self.look(events)
        return refit.find(events, said.track, said.n_tracks, constants=refit.Constants(**constants))

    def look(self, events):
        """What the network says of events, `inference.Seen`."""
        for known, said in self.seen:
            if known is events:
                return said
        said = inference.look(events, self.model)
        self.seen.append((events, said))
        return said


class Agglomerative:
    """Single linkage with the numbers that a counter says, which looks at the same events once only.

    Attributes:
        counted: list of (events, (event, 2) number of tracks).
    """

    def __init__(self):
        self.counted = []

    def __call__(self, events, **options):
        return finder("agglomerative")(events, n_tracks=self.count, **options)

    def count(self, events):
        for known, n_tracks in self.counted:
            if known is events:
                return n_tracks
        n_tracks = inference.count_tracks_of_sides(events, inference.SIDE_COUNTER)
        self.counted.append((events, n_tracks))
        return n_tracks


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
    "max_silent": (1, 2, 3),
}
OFF_CELLS = {"off_mm": (0.0, 2.0, 4.0, 7.0, 10.0), "reach_mm": (0.0, 2.0, 4.0, 7.0, 10.0)}
CONNECTED = {
    "gap": (0, 1),
    "z_step_mm": (100.0, 200.0, 300.0, 500.0, np.inf),
    "min_hits": (2, 3, 4, 5),
}
DBSCAN = {
    "eps": (1.5, 2.1, 2.5, 3.0, 3.7, 4.5),
    "mm_per_z": (40.0, 60.0, 90.0, 150.0, 250.0),
    "min_samples": (1, 2, 3, 4),
    "min_hits": (2, 3, 4, 5),
}
HDBSCAN = {
    "mm_per_z": (25.0, 40.0, 60.0, 90.0, 150.0),
    "min_samples": (1, 2, 3, 4),
    "min_hits": (3, 4, 5, 6),
    "reach": (2.1, 3.0, 4.5, 7.0),
}
AGGLOMERATIVE = {
    "mm_per_z": (25.0, 40.0, 60.0, 90.0, 150.0, 250.0),
    "reach": (1.5, 2.1, 3.0, 4.5, np.inf),
    "min_hits": (1, 2, 3, 4),
}
HOUGH = {"n_angles": (180, 360), "bin_mm": (4.0, 6.0, 8.0)}
REFIT = {
    "near_mm": (40.0, 70.0, 120.0, 200.0),
    "far_mm": (100.0, 150.0, 200.0),
    "far_share": (0.25, 0.5, 1.0),
    "sure": (0.9, 0.95, 0.98, 0.995),
    "odd": (0.02, 0.05, 0.1),
    "covered": (0.03, 0.1, 0.3),
    "same": (0.2, 0.3, 0.4),
    "first_layers": (1, 2, 3),
    "doubt": (5.0, 20.0, 80.0),
}
# name -> the finder, and the grids of its options
BASELINES = {
    "connected": (finder("connected"), CONNECTED),
    "dbscan": (finder("density"), DBSCAN),
    "hdbscan": (finder("density", "find_hdbscan"), HDBSCAN),
    "agglomerative": (Agglomerative(), AGGLOMERATIVE),
    "hough": (finder("hough"), HOUGH | LINES),
    "ransac_cells": (with_kinks(finder("ransac", "find_cells")), LINES | OFF_CELLS | JOINS),
    "ransac": (with_kinks(finder("ransac")), LINES | JOINS),
    "refit": (Refit(), REFIT),
}


# ---- tuning ------------------------------------------------------------------------------------------------


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    names = list(BASELINES)
    add("--baselines", nargs="+", choices=names, default=names, help="(default: all)")
    positive = lib.at_least(1)
    add("--events", type=positive, default=1000, help="of each preset (default: %(default)s)")
    seed_help = "not that of a comparison (default: %(default)s)"
    add("--seed", type=lib.at_least(0), default=77, help=seed_help)
    add("--presets", nargs="+", choices=PRESETS, default=list(PRESETS), help="(default: all)")
    add("--sweeps", type=positive, default=2, help="through all options (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the best options here, and what they give")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    samples = {}
    for preset in args.presets:
        samples[preset] = realistic.generate(args.events, preset=preset, seed=args.seed)
    found = {}
    for name in args.baselines:
        find, grids = BASELINES[name]
        options, results = tune(find, grids, samples, args.sweeps)
        found[name] = {"options": options, "score": score(results), "results": results}
        print(f"{name}: score {score(results):.4f}, {options}", flush=True)
        for line in lines_of(results):
            print(f"  {line}", flush=True)
        if args.json:
            lib.write_json(
                args.json, {"events": args.events, "seed": args.seed, "baselines": found}
            )
    return found


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
                changed = options | {name: value}
                tried = evaluate(find, samples, changed)
                if score(tried) > score(best):
                    options = changed
                    best = tried
    return options, best


def evaluate(find, samples, options):
    """preset -> {"plain", "foil": [count right, perfect], each a list by number of tracks;
    "events_per_cpu_second"}.
    """
    of_rule = {name: value for name, value in options.items() if name in OF_RULE}
    of_finder = {name: value for name, value in options.items() if name not in OF_RULE}
    results = {}
    for preset, events in samples.items():
        start = time.process_time()
        labels = find(events, **of_finder)
        seconds = time.process_time() - start
        ruled = foil_rule(events, labels, **of_rule)
        results[preset] = {
            "plain": shares(events, labels).tolist(),
            "foil": shares(events, ruled).tolist(),
            "events_per_cpu_second": len(events) / max(seconds, 1e-9),
        }
    return results


def shares(events, labels):
    """(2, number of tracks) shares of events whose number of tracks is right, and of perfect ones, by true
    number of tracks.
    """
    n_tracks = events.info["n_tracks"]
    owners = events.hits["track"], events.hits["second_track"]
    counts = metrics.clustering_by_event(events.hit_offsets, *owners, labels, n_tracks)
    by_figure = []
    for figure in FIGURES:
        good, _ = counts[figure]
        by_figure.append([good[n_tracks == n].mean() for n in np.unique(n_tracks)])
    return np.array(by_figure)


def score(results):
    """The figure that is maximised, in 0..1."""
    return float(np.mean([[result["plain"], result["foil"]] for result in results.values()]))


def lines_of(results):
    """What `evaluate` gives, as lines of text."""
    lines = []
    for preset, result in results.items():
        speed = f"{result['events_per_cpu_second']:.0f} events/s"
        for kind in ("plain", "foil"):
            count, perfect = map(in_percent, result[kind])
            lines.append(f"{preset:>10} {kind:>5}: count {count}, perfect {perfect}, {speed}")
    return lines


def in_percent(values):
    """Shares as text."""
    return "/".join(f"{100 * share:.1f}" for share in values)


if __name__ == "__main__":
    lib.run(main)
