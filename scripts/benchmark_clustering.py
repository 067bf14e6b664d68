"""Compare track finders: classical ones, network, network plus line fit, an oracle that knows the lines.

    python scripts/benchmark_clustering.py --json runs/clustering.json --figures runs/clustering
    python scripts/benchmark_clustering.py FILES... --json runs/clustering.json

    python scripts/benchmark_clustering.py --kind electrons --presets data --finders refit arcs oracle_arcs

Without files the events are fresh ones of `my_generator.realistic`, which neither the tuning of the classical
finders (seed 77) nor the training has seen. Every finder is shown as it is and with the foil rule after it.

Prints a Markdown table for each preset, or for each kind of files. Values are for 1/2/3/4 true tracks, in
percent and in events per second of process time on one thread. The JSON holds all figures of merit with their
intervals, for the classes clean, noisy and kinked too.

About a minute for four presets of 1000 events each.
"""

import argparse
import shlex
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import inference
import lib
import metrics
from datasets import clustering
from datasets.drift import sigma_radius_mm
from datasets.events import Events, concatenate
from datasets.readers import brio, open_events
from datasets.readers.files import expand
from finding import by_images, from_seed
from finding.foil import foil_rule
from my_generator import realistic
from my_generator.response import PRESETS, Response

FINDERS = {
    "connected": "connected cells",
    "dbscan": "DBSCAN",
    "hdbscan": "HDBSCAN",
    "agglomerative": "single linkage, number counted",
    "hough": "Hough",
    "ransac_cells": "RANSAC on cells and z",
    "ransac": "RANSAC on drift radii",
    "seeds": "lines through outermost hits",
    "network": "track finder alone",
    "refit": "track finder + refit",
    "arcs": "track finder + refit with arcs",
    "oracle": "oracle: lines known",
    "oracle_covered": "oracle: lines known, covered hits kept",
    "oracle_arcs": "oracle: arcs known, covered hits kept",
}
OF_BENT_TRACKS = ("arcs", "oracle_arcs")  # only on request: most events here are straight
OF_MODEL = ("network", "refit", "arcs")
HIDDEN = {"radii hidden": "drift_radius_mm", "heights hidden": "z_mm"}
WITH_FOIL = " + foil rule"
IN_FILE = {  # rows of what `.brio` files hold beside the truth, by the details of `datasets.readers.brio`
    "cluster": "clusters in the files",
    "trajectory": "trajectories in the files",
    "reconstructed": "particles in the files",
}
COLUMNS = {
    "count right": "count_right",
    "efficiency": "efficiency",
    "fake": "fake",
    "noise rejected": "noise_rejected",
    "perfect events": "perfect",
    "hit accuracy": "hit_accuracy",
}
SMALLEST_RADIUS_ERROR_MM = 0.1  # that the oracle takes for ideal events
SMALLEST_HEIGHT_ERROR_MM = 1.0
SCATTERING_MM = 2.0  # of electrons beyond their arcs
WARM_UP = 48  # events that a finder sees before the clock runs: the first call prepares things


@dataclass
class Sample:
    """Events to compare on.

    Attributes:
        events: with labels. response: whose errors the oracle knows.
        in_file: row -> (hit,) int labels that files hold beside the truth, such as the clusters of Falaise's
            cellular automaton.
    """

    events: Events
    response: Response
    in_file: dict = field(default_factory=dict)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("files", nargs="*", metavar="FILES", help="labelled files or globs (default: fresh events)")
    presets_help = "of fresh events (default: all)"
    add("--presets", nargs="+", choices=PRESETS, default=list(PRESETS), help=presets_help)
    events_help = "fresh events of each preset (default: %(default)s)"
    add("--events", type=lib.at_least(1), default=4000, help=events_help)
    add("--seed", type=lib.at_least(0), default=4242, help="of fresh events (default: %(default)s)")
    kinds = [*realistic.KINDS, *realistic.KINDS_OF_MIX]
    add(
        "--kind",
        choices=kinds,
        default="my_generator",
        help="of fresh events (default: %(default)s)",
    )
    usual = [name for name in FINDERS if name not in OF_BENT_TRACKS]
    finders_help = f"(default: all but {' and '.join(OF_BENT_TRACKS)})"
    add("--finders", nargs="+", choices=FINDERS, default=usual, help=finders_help)
    model_help = f"shipped track finder or path of a run (default: {inference.FINDER})"
    add("--model", metavar="NAME", help=model_help)
    images_help = "networks that look at images, of clustering_one.py, as rows more"
    add("--image-models", nargs="+", default=[], metavar="NAME", help=images_help)
    hidden_help = "finder + refit without drift radii and without heights too"
    add("--hidden", action="store_true", help=hidden_help)
    errors_help = "preset whose errors files have, for the oracle (default: %(default)s)"
    add("--errors", choices=PRESETS, default="data", help=errors_help)
    add("--json", type=Path, metavar="FILE", help="write all figures of merit here")
    figures_help = "draw the comparison, and events found well and not"
    add("--figures", type=lib.folder, metavar="FOLDER", help=figures_help)
    displays_help = "events drawn of each kind (default: %(default)s)"
    add("--displays", type=lib.at_least(0), default=2, metavar="N", help=displays_help)
    format_help = "of the figures (default: %(default)s)"
    add("--format", choices=("png", "pdf"), default="png", help=format_help)
    inference.add_engine(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    network = load_finder(args)
    samples = samples_of(args)
    drawn_sample = "data" if "data" in samples else next(iter(samples))
    measured = {}
    with threadpool_limits(1):
        for name, sample in samples.items():
            results, labels = compare(sample, finders_of(args, network, sample))
            n_events = len(sample.events)
            measured[name] = {"n_events": n_events, "finders": results}
            print(f"**{name}**, {n_events} events\n\n{table(results)}\n", flush=True)
            if name == drawn_sample:
                drawn_row = row_to_draw(labels)
                drawn_labels = labels[drawn_row]
    words = sys.argv[1:] if argv is None else argv
    content = {
        "command": shlex.join(["python", "scripts/benchmark_clustering.py", *words]),
        "device": device(),
        "model": None if network is None else network.name,
        "seed": None if args.files else args.seed,
        "files": args.files,
        "samples": measured,
    }
    if args.json:
        lib.write_json(args.json, content)
    if args.figures:
        draw_events(samples[drawn_sample].events, drawn_row, drawn_labels, args)
        draw_comparison(measured, args.figures / f"perfect_events.{args.format}")
    return content


def device():
    """What the finders ran on: the processor, or what TensorFlow found where it ran the network."""
    if "tensorflow" in sys.modules:
        return lib.describe_device()
    return lib.describe_processor()


# ---- what is compared --------------------------------------------------------------------------------------


def samples_of(args):
    """Name -> Sample: the presets, or the kinds of the files."""
    samples = {}
    if not args.files:
        for preset in args.presets:
            events = realistic.generate(args.events, preset=preset, seed=args.seed, kind=args.kind)
            samples[preset] = Sample(events, PRESETS[preset])
        return samples
    of_kind = {}
    for path in expand(args.files):
        of_kind.setdefault(open_events.kind_of(path), []).append(path)
    for kind, paths in of_kind.items():
        events = concatenate(clustering.read_labelled(path) for path in paths)
        in_file = labels_in(paths) if kind == "brio" else {}
        samples[f"{kind} files"] = Sample(events, PRESETS[args.errors], in_file)
    return samples


def labels_in(paths):
    """Row -> (hit,) labels that `.brio` files hold, without those of which they hold none."""
    parts = [details for _, details in brio.stream_details(paths)]
    labels = {row: np.concatenate([part[name] for part in parts]) for name, row in IN_FILE.items()}
    return {row: values for row, values in labels.items() if (values >= 0).any()}


def load_finder(args):
    """The network of the rows that need one; None, and a line that says so, where there is none."""
    if not set(args.finders) & set(OF_MODEL):
        return None
    if args.model is None and inference.FINDER not in lib.shipped_models():
        left_out = "the rows of the track finder are left out"
        print(f"no model {inference.FINDER} is shipped, so {left_out}; --model names another\n")
        return None
    return inference.load(args.model or inference.FINDER, args.engine, threads=1)


def finders_of(args, network, sample):
    """Label of the row -> (function Events -> (hit,) labels, field of the hits that is hidden or None)."""
    from finding import (
        agglomerative,
        connected,
        density,
        hough,
        ransac,
    )  # scikit-learn takes a second

    count = partial(
        inference.count_tracks_of_sides, model=inference.load(inference.SIDE_COUNTER, threads=1)
    )
    functions = {
        "connected": connected.find,
        "dbscan": density.find,
        "hdbscan": density.find_hdbscan,
        "agglomerative": partial(agglomerative.find, n_tracks=count),
        "hough": hough.find,
        "ransac_cells": ransac.find_cells,
        "ransac": ransac.find,
        "seeds": partial(by_images.by_seeds, say=from_seed.say),
        "network": partial(inference.find_tracks, model=network, refit_lines=False),
        "refit": partial(inference.find_tracks, model=network),
        "arcs": partial(inference.find_tracks, model=network, arcs=True),
        "oracle": partial(of_known_lines, response=sample.response, covered=False),
        "oracle_covered": partial(of_known_lines, response=sample.response, covered=True),
        "oracle_arcs": partial(of_known_lines, response=sample.response, covered=True, arcs=True),
    }
    finders = {}
    for name in args.finders:
        if network is None and name in OF_MODEL:
            continue
        row = FINDERS[name]
        finders[row] = functions[name], None
        if name == "refit" and args.hidden:
            for what, field in HIDDEN.items():
                finders[f"{row}, {what}"] = functions[name], field
    return finders | of_image_models(args)


def of_image_models(args):
    """The same of the networks that look at images; the number of tracks, where they need it, is counted, and
    in a row more it is given.
    """
    finders = {}
    for name in args.image_models:
        network = inference.load(name, args.engine, threads=1)
        find = partial(
            inference.find_by_images, model=network, **inference.settings_of_images(name)
        )
        finders[f"images: {name}"] = find, None
        if inference.answers_of_images(network) == "removal":
            finders[f"images: {name}, number given"] = (
                partial(find, n_tracks=by_images.true_number),
                None,
            )
    return finders


def of_known_lines(events, response, covered, arcs=False):
    """Labels of the oracle, with the errors the events were made with, for arcs with scattering too."""
    from finding import oracle

    of_falaise = response.radius_sigma_scale * sigma_radius_mm(events.hits["drift_radius_mm"])
    sigma_radius = np.hypot(of_falaise, response.radius_sigma_mm)
    if arcs:
        sigma_radius = np.hypot(sigma_radius, SCATTERING_MM)
    sigma_radius = np.fmax(sigma_radius, SMALLEST_RADIUS_ERROR_MM)
    sigma_height = max(response.height_sigma_mm, SMALLEST_HEIGHT_ERROR_MM)
    options = {"arcs": True} if arcs else {}
    return oracle.find(events, sigma_radius, sigma_height, covered, **options)


def without(events, field):
    """The same events with a field of the hits unknown."""
    return events.with_hits({field: np.full_like(events.hits[field], np.nan)})


# ---- the comparison ----------------------------------------------------------------------------------------


def compare(sample, finders):
    """Row -> {"scores": as `metrics.clustering`, "events_per_cpu_second": by number of tracks}, and row ->
    (hit,) labels.
    """
    results = {}
    labels = {}
    for row, (find, hidden) in finders.items():
        seen = without(sample.events, hidden) if hidden else sample.events
        for rule, (found, speeds) in run(find, seen).items():
            scores = metrics.clustering_of(sample.events, found)
            results[row + rule] = {"scores": scores, "events_per_cpu_second": speeds}
            labels[row + rule] = found
    for row, in_file in sample.in_file.items():
        scores = metrics.clustering_of(sample.events, in_file)
        results[row] = {"scores": scores, "events_per_cpu_second": {}}
    return results, labels


def run(find, events):
    """Let a finder look at the events, one true number of tracks after the other.

    Returns:
        "" and WITH_FOIL -> ((hit,) int16 labels, {"1": events per second of process time, ...}).
    """
    n_tracks = events.info["n_tracks"]
    plain = np.full(len(events.hits["layer"]), -1, np.int16)
    ruled = plain.copy()
    speeds = {}
    speeds_with_rule = {}
    find(events[:WARM_UP])
    for n in np.unique(n_tracks):
        chosen = n_tracks == n
        part = events[chosen]
        of_part = chosen[events.hit_event]
        start = time.process_time()
        plain[of_part] = find(part)
        seconds = time.process_time() - start
        ruled[of_part] = foil_rule(part, plain[of_part])
        seconds_with_rule = time.process_time() - start
        speeds[str(n)] = speed(len(part), seconds)
        speeds_with_rule[str(n)] = speed(len(part), seconds_with_rule)
    return {"": (plain, speeds), WITH_FOIL: (ruled, speeds_with_rule)}


def speed(n_events, seconds):
    """Events per second, to three digits."""
    return float(f"{n_events / max(seconds, 1e-6):.3g}")


def table(results):
    """Markdown: a row a finder, a column a figure, values for each true number of tracks."""
    classes = numbers_of_tracks(results)
    tracks = "track" if classes == ["1"] else "tracks"
    titles = [f"{'/'.join(classes)} {tracks}", *COLUMNS, "events per CPU second"]
    lines = [row_of(titles), row_of(["---"] * len(titles))]
    for row, result in results.items():
        cells = [row]
        for figure in COLUMNS.values():
            cells.append("/".join(percent(result["scores"][n][figure]) for n in classes))
        speeds = result["events_per_cpu_second"]
        cells.append("/".join(f"{speeds[n]:.0f}" if n in speeds else "–" for n in classes))
        lines.append(row_of(cells))
    return "\n".join(lines)


def row_of(cells):
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def numbers_of_tracks(results):
    """The true numbers of tracks that occur, as the scores name them."""
    first = next(iter(results.values()))
    return [name for name in first["scores"] if name.isdigit()]


def percent(score):
    """A share in percent, a dash where it is of nothing."""
    return f"{100 * score['value']:.1f}" if score["n"] else "–"


# ---- figures -----------------------------------------------------------------------------------------------


def row_to_draw(labels):
    """The row whose labels are drawn: that of the network and refit with the foil rule, or else the last."""
    row = FINDERS["refit"] + WITH_FOIL
    return row if row in labels else list(labels)[-1]


def draw_events(events, row, labels, args):
    """For each true number of tracks, the first events that were found right hit for hit and the first
    others.
    """
    import plotting

    hits = events.hits
    n_tracks = events.info["n_tracks"]
    owners = hits["track"], hits["second_track"]
    counts = metrics.clustering_by_event(events.hit_offsets, *owners, labels, n_tracks)
    n_perfect, _ = counts["perfect"]
    n_right, n_hits = counts["hit_accuracy"]
    for n in np.unique(n_tracks):
        of_class = (n_tracks == n) & (n_hits > 0)
        perfect = np.flatnonzero(of_class & (n_perfect > 0))[: args.displays]
        others = np.flatnonzero(of_class & (n_perfect == 0))[: args.displays]
        name = metrics.number_of(n)
        titles = [f"{name}, event {event}: perfect" for event in perfect]
        for event in others:
            n_wrong = n_hits[event] - n_right[event]
            titles.append(f"{name}, event {event}: {n_wrong} of {n_hits[event]} hits wrong")
        path = args.figures / f"tracks_{n}.{args.format}"
        plotting.page_of_events(events, [*perfect, *others], path, titles, found=labels, finder=row)


def draw_comparison(samples, path):
    """Perfect events of all finders, a panel a sample: dots by true number of tracks, bars the 68 %
    intervals.
    """
    from matplotlib.figure import Figure

    import plotting

    results = [sample["finders"] for sample in samples.values()]
    rows = [
        row for row in results[0] if row + WITH_FOIL in results[0]
    ]  # clusters of files have no rule
    classes = sorted(set().union(*map(numbers_of_tracks, results)), key=int)
    size = (3.1 * len(results) + 2.6, 0.42 * len(rows) + 1.9)
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for ax, name in zip(panels, samples, strict=True):
        draw_dots(ax, rows, samples[name]["finders"])
        title = f"{name}, {samples[name]['n_events']} events"
        ax.set(title=title, xlabel="perfect events (%)", xlim=(-3, 103))
        ax.set(yticks=-np.arange(len(rows)), yticklabels=rows)
        ax.grid(color=plotting.GRID_COLOUR, linewidth=0.6)
        ax.set_axisbelow(True)
    handles = meanings(classes)
    style = {"ncols": min(len(handles), 2 + 2 * len(results)), "frameon": False, "fontsize": 9}
    figure.legend(handles=handles, loc="outside lower center", **style)
    plotting.save(figure, path)


def draw_dots(ax, rows, results):
    """The perfect events of one sample: filled dots with the foil rule, empty ones without."""
    place = -np.arange(len(rows))
    for n in numbers_of_tracks(results):
        colour, marker = look_of(n)
        for rule, shift, face in (("", 0.15, "white"), (WITH_FOIL, -0.15, colour)):
            scores = [results[row + rule]["scores"][n]["perfect"] for row in rows]
            shares = [[score["value"], *score["interval"]] for score in scores]
            value, low, high = 100 * np.array(shares).T
            style = {"fmt": marker, "color": colour, "markerfacecolor": face}
            errors = (value - low, high - value)
            ax.errorbar(value, place + shift, xerr=errors, markersize=5, elinewidth=1, **style)


def look_of(n):
    """Colour and marker of a number of tracks, the same in all figures."""
    import plotting

    place = int(n) - 1
    colour = plotting.PALETTE[place % len(plotting.PALETTE)]
    marker = plotting.MARKERS[place % len(plotting.MARKERS)]
    return colour, marker


def meanings(classes):
    """Entries of the legend."""
    from matplotlib.lines import Line2D

    handles = []
    for n in classes:
        colour, marker = look_of(n)
        label = metrics.number_of(int(n))
        handles.append(Line2D([], [], linestyle="", label=label, color=colour, marker=marker))
    grey = {"color": "0.3", "marker": "o", "linestyle": ""}
    handles.append(Line2D([], [], label="with the foil rule", **grey))
    handles.append(Line2D([], [], label="without", markerfacecolor="white", **grey))
    return handles


if __name__ == "__main__":
    lib.run(main)
