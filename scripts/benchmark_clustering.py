"""Compare track finders: classical ones, network, network plus line fit, an oracle that knows the lines.

    python scripts/benchmark_clustering.py --json runs/clustering.json --figures runs/clustering
    python scripts/benchmark_clustering.py FILES... --json runs/clustering.json

Without files the events are fresh ones of `my_generator.realistic`, which neither the tuning of the classical
finders (seed 77) nor the training has seen. Every finder is shown as it is and with the foil rule after it.
Prints a Markdown table for each preset, or for each kind of files; values are for 1/2/3/4 true tracks, in
percent and in events per second of process time on one thread. The JSON holds all figures of merit with their
intervals, for the classes clean, noisy and kinked too.

About a minute for four presets of 1000 events each.
"""

import argparse
import shlex
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from threadpoolctl import threadpool_limits

import inference
import lib
import metrics
import plotting
from datasets import clustering
from datasets.drift import sigma_radius_mm
from datasets.events import Events, concatenate
from datasets.readers import brio, open_events
from datasets.readers.files import expand
from finding import connected, density, hough, oracle, ransac
from finding.foil import foil_rule
from my_generator import realistic
from my_generator.response import PRESETS, Response

DEFAULT_MODEL = "track_finder"
FINDERS = {
    "connected": "connected cells",
    "dbscan": "DBSCAN",
    "hdbscan": "HDBSCAN",
    "hough": "Hough",
    "ransac_cells": "RANSAC on cells and z",
    "ransac": "RANSAC on drift radii",
    "network": "track finder alone",
    "refit": "track finder + refit",
    "oracle": "oracle: lines known",
    "oracle_covered": "oracle: lines known, covered hits kept",
}
OF_MODEL = ("network", "refit")
HIDDEN = {"radii hidden": "drift_radius_mm", "heights hidden": "z_mm"}
WITH_FOIL = " + foil rule"
IN_FILE = "clusters in the files"
COLUMNS = {
    "count right": "count_right",
    "efficiency": "efficiency",
    "fake": "fake",
    "noise rejected": "noise_rejected",
    "perfect events": "perfect",
    "hit accuracy": "hit_accuracy",
}
SMALLEST_ERRORS_MM = 0.1, 1.0  # of radius and height that the oracle takes for ideal events
WARM_UP = (
    48,
    2,
)  # events of two calls before the clock runs: TensorFlow then has a graph for batches of any shape


@dataclass
class Sample:
    """Events to compare on, and the response whose errors the oracle knows.

    `clusters`, (hit,) int, are those that files hold beside the truth: the cellular automaton's of Falaise.
    """

    events: Events
    response: Response
    clusters: np.ndarray | None = None


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "files", nargs="*", metavar="FILES", help="labelled files or globs (default: fresh events)"
    )
    parser.add_argument(
        "--presets", nargs="+", choices=PRESETS, default=list(PRESETS), help="of fresh events (default: all)"
    )
    parser.add_argument(
        "--events",
        type=lib.at_least(1),
        default=4000,
        help="fresh events of each preset (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=lib.at_least(0), default=4242, help="of fresh events (default: %(default)s)"
    )
    parser.add_argument("--finders", nargs="+", choices=FINDERS, default=list(FINDERS), help="(default: all)")
    parser.add_argument(
        "--model", metavar="NAME", help=f"shipped track finder or path of a run (default: {DEFAULT_MODEL})"
    )
    parser.add_argument(
        "--hidden", action="store_true", help="finder + refit without drift radii and without heights too"
    )
    parser.add_argument(
        "--errors",
        choices=PRESETS,
        default="data",
        help="preset whose errors files have, for the oracle (default: data)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="draw the comparison, and events found well and not"
    )
    parser.add_argument(
        "--displays", type=lib.at_least(0), default=2, help="events drawn of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--format", choices=("png", "pdf"), default="png", help="of the figures (default: %(default)s)"
    )
    inference.add_engine(parser)
    return parser.parse_args(argv)


def samples_of(args):
    """Name -> Sample: the presets, or the kinds of the files."""
    if not args.files:
        fresh = {
            preset: realistic.generate(args.events, preset=preset, seed=args.seed) for preset in args.presets
        }
        return {preset: Sample(events, PRESETS[preset]) for preset, events in fresh.items()}
    of_kind = {}
    for path in expand(args.files):
        of_kind.setdefault(open_events.kind_of(path), []).append(path)
    samples = {}
    for kind, paths in of_kind.items():
        events = concatenate(clustering.read_labelled(path) for path in paths)
        clusters = (
            np.concatenate([hits["cluster"] for _, hits in brio.stream_details(paths)])
            if kind == "brio"
            else np.array([-1])
        )
        known = clusters if (clusters >= 0).any() else None
        samples[f"{kind} files"] = Sample(events, PRESETS[args.errors], known)
    return samples


def load_finder(args):
    """The network of the rows that need one; None, and a line that says so, where there is none."""
    if not set(args.finders) & set(OF_MODEL):
        return None
    if args.model is None and DEFAULT_MODEL not in lib.shipped_models():
        left_out = "the rows of the track finder are left out"
        print(f"no model {DEFAULT_MODEL} is shipped, so {left_out}; --model names another\n")
        return None
    return inference.load(args.model or DEFAULT_MODEL, args.engine, threads=1)


def of_known_lines(events, sample, covered):
    """Labels of the oracle, with the errors the events were made with."""
    errors, (least_radius, least_z) = sample.response, SMALLEST_ERRORS_MM
    radius = np.hypot(
        errors.radius_sigma_scale * sigma_radius_mm(events.hits["drift_radius_mm"]), errors.radius_sigma_mm
    )
    radius = np.fmax(radius, least_radius)
    return oracle.find(events, radius, max(errors.height_sigma_mm, least_z), covered)


def finders_of(args, model, sample):
    """Label of the row -> (function Events -> (hit,) labels, field of the hits that is hidden or None)."""
    find = {
        "connected": connected.find,
        "dbscan": density.find,
        "hdbscan": density.find_hdbscan,
        "hough": hough.find,
        "ransac_cells": ransac.find_cells,
        "ransac": ransac.find,
        "network": partial(inference.find_tracks, model=model, refit_lines=False),
        "refit": partial(inference.find_tracks, model=model),
        "oracle": partial(of_known_lines, sample=sample, covered=False),
        "oracle_covered": partial(of_known_lines, sample=sample, covered=True),
    }
    finders = {}
    for name in args.finders:
        if model is None and name in OF_MODEL:
            continue
        finders[FINDERS[name]] = find[name], None
        if name == "refit" and args.hidden:
            finders |= {f"{FINDERS[name]}, {what}": (find[name], field) for what, field in HIDDEN.items()}
    return finders


def without(events, field):
    """The same events with a field of the hits unknown."""
    return events.with_hits({field: np.full_like(events.hits[field], np.nan)})


def run(find, events):
    """Let a finder look at the events, one true number of tracks after the other.

    Returns:
        "" and WITH_FOIL -> ((hit,) int16 labels, {"1": events per second of process time, ...}).
    """
    n_tracks = events.info["n_tracks"]
    labels = np.full((2, len(events.hits["layer"])), -1, np.int16)
    speeds = {}, {}
    for n in WARM_UP:
        find(events[:n])
    for n in np.unique(n_tracks):
        part, of_part = events[n_tracks == n], (n_tracks == n)[events.hit_event]
        start = time.process_time()
        labels[0, of_part] = find(part)
        found = time.process_time()
        labels[1, of_part] = foil_rule(part, labels[0, of_part])
        for speed, end in zip(speeds, (found, time.process_time()), strict=True):
            speed[str(n)] = float(f"{len(part) / max(end - start, 1e-6):.3g}")
    return dict(zip(("", WITH_FOIL), zip(labels, speeds, strict=True), strict=True))


def compare(sample, finders):
    """Row -> {"scores": as `metrics.clustering`, "events_per_cpu_second": by number of tracks}, and row ->
    (hit,) labels.
    """
    results, labels = {}, {}
    for name, (find, hidden) in finders.items():
        seen = without(sample.events, hidden) if hidden else sample.events
        for rule, (found, speed) in run(find, seen).items():
            labels[name + rule] = found
            results[name + rule] = {
                "scores": metrics.clustering_of(sample.events, found),
                "events_per_cpu_second": speed,
            }
    return results, labels


def main(argv=None):
    args = parse_args(argv)
    samples = samples_of(args)
    model = load_finder(args)
    content = {
        "command": shlex.join(
            ["python", "scripts/benchmark_clustering.py", *(sys.argv[1:] if argv is None else argv)]
        ),
        "device": lib.describe_device(),
        "model": None if model is None else args.model or DEFAULT_MODEL,
        "seed": None if args.files else args.seed,
        "files": args.files,
        "samples": {},
    }
    with threadpool_limits(1):
        for name, sample in samples.items():
            results, labels = compare(sample, finders_of(args, model, sample))
            if sample.clusters is not None:
                results[IN_FILE] = {
                    "scores": metrics.clustering_of(sample.events, sample.clusters),
                    "events_per_cpu_second": {},
                }
            content["samples"][name] = {"n_events": len(sample.events), "finders": results}
            print(f"**{name}**, {len(sample.events)} events\n\n{table(results)}\n", flush=True)
            if args.figures and name == drawn_sample(samples):
                drawn = sample, *drawn_row(args, labels), args
    if args.json:
        lib.write_json(args.json, content)
    if args.figures:
        draw_events(*drawn)
        draw_comparison(content["samples"], args.figures / f"perfect_events.{args.format}")
    return content


def table(results):
    """Markdown: a row a finder, a column a figure, values for each true number of tracks."""
    classes = numbers_of_tracks(results)
    lines = [
        f"| {'/'.join(classes)} {'track' if classes == ['1'] else 'tracks'} | "
        + " | ".join(COLUMNS)
        + " | events per CPU second |"
    ]
    lines.append("| --- |" + " --- |" * (len(COLUMNS) + 1))
    for row, result in results.items():
        cells = [
            "/".join(percent(result["scores"][n][figure]) for n in classes) for figure in COLUMNS.values()
        ]
        speed = result["events_per_cpu_second"]
        cells.append("/".join(f"{speed[n]:.0f}" if n in speed else "–" for n in classes))
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def numbers_of_tracks(results):
    """The true numbers of tracks that occur, as the scores name them."""
    return [name for name in next(iter(results.values()))["scores"] if name.isdigit()]


def percent(score):
    return f"{100 * score['value']:.1f}" if score["n"] else "–"


def drawn_sample(samples):
    """Name of the sample whose events are drawn."""
    return "data" if "data" in samples else next(iter(samples))


def drawn_row(args, labels):
    """(row, its labels) that is drawn: network and refit with the foil rule, where there is one, else the
    last finder.
    """
    row = FINDERS["refit"] + WITH_FOIL
    row = row if row in labels else list(labels)[-1]
    return row, labels[row]


def draw_events(sample, row, labels, args):
    """For each true number of tracks, the first events that were found right hit for hit and the first
    others.
    """
    events, hits = sample.events, sample.events.hits
    n_tracks = events.info["n_tracks"]
    counts = metrics.clustering_by_event(
        events.hit_offsets, hits["track"], hits["second_track"], labels, n_tracks
    )
    perfect, (n_right, n_hits) = counts["perfect"][0] > 0, counts["hit_accuracy"]
    for n in np.unique(n_tracks):
        good, failed = (
            np.flatnonzero((n_tracks == n) & chosen & (n_hits > 0))[: args.displays]
            for chosen in (perfect, ~perfect)
        )
        name = metrics.number_of(n)
        titles = [f"{name}, event {event}: perfect" for event in good]
        titles += [
            f"{name}, event {event}: {n_hits[event] - n_right[event]} of {n_hits[event]} hits wrong"
            for event in failed
        ]
        path = args.figures / f"tracks_{n}.{args.format}"
        plotting.page_of_events(events, [*good, *failed], path, titles, found=labels, finder=row)


def draw_comparison(samples, path):
    """Perfect events of all finders, a panel a sample: dots by true number of tracks, bars the 68 %
    intervals.
    """
    results = [sample["finders"] for sample in samples.values()]
    rows = [
        row for row in results[0] if row + WITH_FOIL in results[0]
    ]  # clusters of files have no foil rule after them
    place = -np.arange(len(rows))
    classes = sorted(set().union(*map(numbers_of_tracks, results)), key=int)
    colour = lambda n: plotting.PALETTE[(int(n) - 1) % len(plotting.PALETTE)]  # noqa: E731  that of n tracks in all figures
    marker = lambda n: plotting.MARKERS[(int(n) - 1) % len(plotting.MARKERS)]  # noqa: E731
    figure = Figure((3.1 * len(results) + 2.6, 0.42 * len(rows) + 1.9), layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for ax, name, result in zip(panels, samples, results, strict=True):
        for n in classes:
            if n not in numbers_of_tracks(result):
                continue
            for rule, shift, face in (("", 0.15, "white"), (WITH_FOIL, -0.15, colour(n))):
                scores = [result[row + rule]["scores"][n]["perfect"] for row in rows]
                value, low, high = (
                    100 * np.array([[score["value"], *score["interval"]] for score in scores]).T
                )
                style = {
                    "fmt": marker(n),
                    "color": colour(n),
                    "markerfacecolor": face,
                    "markersize": 5,
                    "elinewidth": 1,
                }
                ax.errorbar(value, place + shift, xerr=(value - low, high - value), **style)
        ax.set(
            title=f"{name}, {samples[name]['n_events']} events", xlabel="perfect events (%)", xlim=(-3, 103)
        )
        ax.set(yticks=place, yticklabels=rows)
        ax.grid(color=plotting.GRID_COLOUR, linewidth=0.6)
        ax.set_axisbelow(True)
    handles = [
        Line2D([], [], linestyle="", label=metrics.number_of(int(n)), color=colour(n), marker=marker(n))
        for n in classes
    ]
    grey = {"color": "0.3", "marker": "o", "linestyle": ""}
    handles += [
        Line2D([], [], label="with the foil rule", **grey),
        Line2D([], [], label="without", markerfacecolor="white", **grey),
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 2 + 2 * len(results)),
        frameon=False,
        fontsize=9,
    )
    plotting.save(figure, path)


if __name__ == "__main__":
    lib.run(main)
