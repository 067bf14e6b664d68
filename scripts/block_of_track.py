"""Which calorimeter block does each track end in? How often the fit is right, and whether it knows.

    python scripts/block_of_track.py ideal data --baseline --json blocks.json
    python scripts/block_of_track.py FILES... --labels true
    python scripts/block_of_track.py ideal ideal+height_sigma_mm ideal+kink_probability

A sample is a file, a glob, or simulated events: a preset of the response, or an ideal detector with some
effects of `data`, fields of `my_generator.response.Response`, each after a plus. Tracks are the found ones,
each compared with the true track that made most of its hits, or with `--labels true` the true ones. Right is a
track whose most probable block is the one that it ends in: wall, column and row.

Prints a Markdown table: a row a sample, shares right for events of 1, 2, 3 and 4 tracks, and the calibration;
then a reliability table of each sample.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from datasets.geometry import TOY
from datasets.readers import open_events
from datasets.readers.files import expand
from fitting import calorimeter, tracks
from my_generator import realistic
from my_generator.response import PRESETS

N_BINS = 10  # of the reliability table
ADDRESS = ("calo_type", "calo_side", "calo_wall", "calo_column", "calo_row")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("samples", nargs="+", help="files, globs, presets, or ideal+EFFECT...")
    add(
        "--labels",
        choices=("found", "true"),
        default="found",
        help="of the hits (default: %(default)s)",
    )
    add(
        "--events",
        type=lib.at_least(1),
        default=2000,
        help="simulated ones of each (default: %(default)s)",
    )
    add("--seed", type=lib.at_least(0), default=2025, help="(default: %(default)s)")
    kind_help = "of simulated events (default: %(default)s)"
    add("--kind", choices=tuple(realistic.KINDS), default="my_generator", help=kind_help)
    baseline_help = "also the principal axis of the cells that fired, without their radii"
    add("--baseline", action="store_true", help=baseline_help)
    add("--model", default=inference.FINDER, help="that finds the tracks (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write all figures here")
    inference.add_engine(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    network = inference.load(args.model, args.engine) if args.labels == "found" else None
    results = {}
    for name in args.samples:
        events = sample(name, args)
        labels = true_labels(events) if network is None else inference.find_tracks(events, network)
        results[name] = measure(events, labels.astype(int), args.baseline)
    print_table(results)
    for name, result in results.items():
        print_reliability(name, result["fit"])
    if args.json:
        settings = {
            "labels": args.labels,
            "events": args.events,
            "seed": args.seed,
            "kind": args.kind,
        }
        lib.write_json(args.json, {**settings, "samples": results})
    return results


def sample(name, args):
    """The events of a sample.

    Raises:
        ValueError: neither files nor a preset with effects; a file without true blocks.
    """
    preset, *effects = name.split("+")
    if preset in realistic.RESPONSES:
        response = with_effects(realistic.RESPONSES[preset], effects)
        return realistic.generate(args.events, preset=response, seed=args.seed, kind=args.kind)
    events = open_events.read(expand([name]))
    if not (events.tracks["calo_column"] >= 0).any():
        raise ValueError(f"{name}: no track of it tells the block that it ends in")
    return events


def with_effects(response, effects):
    """A response with fields as they are in `data`."""
    data = PRESETS["data"]
    for field in effects:
        if field not in vars(data):
            raise ValueError(f"no effect {field}, only {', '.join(vars(data))}")
        response = replace(response, **{field: getattr(data, field)})
    return response


def true_labels(events):
    """(hit,) true track of each hit in its event."""
    return events.hits["track"]


def measure(events, labels, baseline=False):
    """Figures of merit: {"fit": ..., "principal axis": ...}, each as `figures` gives them, and numbers of
    tracks.
    """
    fitted = tracks.fit(events, labels)
    owner = metrics.majority_owners(fitted.of_hits, events.track_of_hits, len(fitted.event))
    known = (owner >= 0) & (events.tracks["calo_column"][owner] >= 0)
    found = calorimeter.ends(events, fitted).best()
    answers = {"fit": found}
    if baseline:
        answers["principal axis"] = calorimeter.of_principal_axis(events, fitted)
    n_true = events.info["n_tracks"][fitted.event]
    result = {"n_tracks": len(owner), "n_known": int(known.sum())}
    for name, answer in answers.items():
        wrong = difference(events, fitted, owner, answer)
        result[name] = figures(
            wrong[known], n_true[known], answer.get("probability", np.zeros(len(owner)))[known]
        )
    if not baseline:
        return result
    for unknown in ("mean_probability", "expected_calibration_error", "reliability"):
        del result["principal axis"][unknown]
    return result


def difference(events, fitted, owner, answer):
    """(track, 3) whether wall, column and row are wrong: the first 0 or 1, the others by how many blocks."""
    truth = {name: events.tracks[name][owner].astype(int) for name in ADDRESS}
    is_toy = events.info["geometry"][fitted.event] == TOY
    other_type = (truth["calo_type"] >= 0) & (answer["calo_type"] != truth["calo_type"])
    other_wall = ~is_toy & (
        (answer["calo_wall"] != truth["calo_wall"]) | (answer["calo_side"] != truth["calo_side"])
    )
    column = np.abs(answer["calo_column"] - truth["calo_column"])
    row = np.abs(answer["calo_row"] - truth["calo_row"])
    return np.stack([other_type | other_wall, column, row], -1)


def figures(wrong, n_true, probability):
    """Shares right, in all and by number of true tracks, and the calibration, ready for JSON.

    Args:
        wrong: (track, 3) as of `difference`. n_true: (track,) tracks of the event. probability: (track,).
    """
    is_right = (wrong == 0).all(1)
    same_wall = wrong[:, 0] == 0
    within_one = same_wall & (wrong[:, 1:] <= 1).all(1)
    by_number = {int(n): share(is_right[n_true == n]) for n in np.unique(n_true)}
    which = np.clip(np.ceil(probability * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    gaps = np.bincount(which, is_right - probability, N_BINS)
    reliability = []
    for i in np.unique(which):
        own = which == i
        mean = float(probability[own].mean())
        reliability.append({"from": i / N_BINS, "mean_probability": mean, **share(is_right[own])})
    return {
        "right": share(is_right),
        "by_number_of_tracks": by_number,
        "within_one_block": share(within_one),
        "column": share(same_wall & (wrong[:, 1] == 0)),
        "row": share(same_wall & (wrong[:, 2] == 0)),
        "mean_probability": float(probability.mean()) if len(probability) else float("nan"),
        "expected_calibration_error": float(np.abs(gaps).sum() / max(len(probability), 1)),
        "reliability": reliability,
    }


def share(good):
    """{"n", "value", "interval"} of a mask."""
    n = len(good)
    n_good = int(good.sum())
    low, high = metrics.binomial_interval(n_good, n)
    return {
        "n": n,
        "value": n_good / n if n else float("nan"),
        "interval": [float(low), float(high)],
    }


def print_table(results):
    """A Markdown table, a row a sample and method."""
    columns = [
        "sample",
        "tracks",
        "right",
        "by number of tracks",
        "within one block",
        "column",
        "row",
    ]
    columns += ["mean probability", "calibration error"]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for name, result in results.items():
        for method in ("fit", "principal axis"):
            if method in result:
                print(f"| {' | '.join([f'{name}, {method}', *cells(result[method])])} |")


def cells(scores):
    """The figures of a row as text."""
    right = scores["right"]
    low, high = (100 * end for end in right["interval"])
    by_number = "/".join(
        f"{100 * one['value']:.1f}" for one in scores["by_number_of_tracks"].values()
    )
    row = [str(right["n"]), f"{100 * right['value']:.2f} % ({low:.2f}–{high:.2f})", by_number]
    row += [
        f"{100 * scores[name]['value']:.2f} %" for name in ("within_one_block", "column", "row")
    ]
    if "mean_probability" in scores:
        row.append(f"{100 * scores['mean_probability']:.2f} %")
        row.append(f"{100 * scores['expected_calibration_error']:.2f} %")
    else:
        row += ["", ""]
    return row


def print_reliability(name, scores):
    """A Markdown table: probabilities and how often they came true."""
    print(f"\n| {name}: probability | tracks | mean | right |\n| --- | --- | --- | --- |")
    for one in scores["reliability"]:
        low, high = (100 * end for end in one["interval"])
        bounds = f"{one['from']:.1f}–{one['from'] + 1 / N_BINS:.1f}"
        right = f"{100 * one['value']:.1f} % ({low:.1f}–{high:.1f})"
        print(f"| {bounds} | {one['n']} | {100 * one['mean_probability']:.1f} % | {right} |")


if __name__ == "__main__":
    lib.run(main)
