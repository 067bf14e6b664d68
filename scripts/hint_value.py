"""What hints for the track fit are worth: how often they are right beside simpler ways, and what a fit gains.

    python scripts/hint_value.py fitting_hints --json hints.json

The first table compares, on simulated events of one track, networks with the principal axis of the cells that
fired and with the line through the track that the track finder finds; on events of 2 to 4 tracks every found
track is looked at alone. The second hands the hints to two fits of one line: the Legendre search in the hinted
window, and the maximum-likelihood fit that begins at the middle of the fine hint. A wrong solution is a line
that is further than 20 mrad or 2 mm, at the middle of its hits, from the true one; a failure is no line.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from datasets import fitting_hints
from datasets.drift import possible_radius_mm, sigma_radius_mm
from datasets.events import make_events, offsets_of
from datasets.geometry import CELL_MM, wire_y_mm
from finding import segments
from finding.labels import Hits
from fitting import legendre, line, tracks
from fitting import lines as lines_of
from my_generator import realistic
from my_generator.response import PRESETS

HINTS = ("angle", "foil")
LEAST_HITS = 3  # of a found track
WRONG_RAD = 0.02
WRONG_MM = 2.0
CLIP_SIGMA = 5.0


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        help="networks that give hints of one track; the first one's are handed to the fits",
    )
    add(
        "--presets",
        nargs="+",
        choices=PRESETS,
        default=["ideal", "data"],
        help="(default: %(default)s)",
    )
    add("--events", type=lib.at_least(1), default=10000, help="of each kind (default: %(default)s)")
    add("--seed", type=lib.at_least(0), default=77, help="(default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write all figures here")
    inference.add_engine(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    networks = [inference.load(model, args.engine) for model in args.models]
    results = {"events": args.events, "seed": args.seed, "hints": {}, "fits": {}}
    for preset in args.presets:
        for n_tracks in (1, 2, 3, 4):
            sample = f"{preset}, {n_tracks} tracks" if n_tracks > 1 else f"{preset}, 1 track"
            print(f"measuring {sample}", flush=True)
            events = realistic.generate(
                args.events, tracks=(n_tracks,), preset=preset, seed=args.seed
            )
            events = as_found(events) if n_tracks > 1 else events
            results["hints"][sample] = compare_hints(events, networks)
            if n_tracks == 1:
                results["fits"][sample] = compare_fits(events, networks[0])
    print_hints(results["hints"])
    print_fits(results["fits"])
    if args.json:
        lib.write_json(args.json, results)
    return results


def as_found(events):
    """Every found track as an event of its own, with the true track that made most of its hits; those that
    no track made, and found tracks of fewer than LEAST_HITS hits, are left out.
    """
    labels = inference.find_tracks(events).astype(int)
    fitted = tracks.fit(events, labels)
    found = fitted.of_hits
    owner = metrics.majority_owners(found, events.track_of_hits, len(fitted.event))
    n_hits = np.bincount(found[found >= 0], minlength=len(fitted.event))
    chosen = np.flatnonzero((owner >= 0) & (n_hits >= LEAST_HITS))

    kept = np.flatnonzero(np.isin(found, chosen))
    kept = kept[np.argsort(found[kept], kind="stable")]
    hits = {name: values[kept] for name, values in events.hits.items()}
    hits |= {"track": np.zeros(len(kept), int), "second_track": np.full(len(kept), -1)}
    true = {name: values[owner[chosen]] for name, values in events.tracks.items()}
    geometry = events.info["geometry"][fitted.event[chosen]]
    info = {"n_tracks": np.ones(len(chosen), int), "geometry": geometry}
    return make_events(hits, offsets_of(n_hits[chosen]), true, np.arange(len(chosen) + 1), info)


# ---- hints -------------------------------------------------------------------------------------------------


def compare_hints(events, networks):
    """Name of a way -> figures of merit of its hints, of events of one track."""
    ways = {"principal axis": principal_axis(events), "found track and fit": fit_of_found(events)}
    told = {name: fitting_hints.segments(*values) for name, values in ways.items()}
    for network in networks:
        said = inference.label_probabilities(events, network)
        told[network.name] = {name: said[name].argmax(1) for name in fitting_hints.N_CLASSES}
    truth = fitting_hints.of_tracks(events)
    return {name: figures(truth, segment) for name, segment in told.items()}


def figures(truth, told):
    """Shares right of each hint, and of angle and foil both: exactly, and at most one segment off."""
    apart = {name: fitting_hints.steps_apart(name, truth[name], told[name]) for name in truth}
    scores = {name: metrics.share_right(steps == 0) for name, steps in apart.items()}
    largest = np.maximum(*(apart[name] for name in HINTS))
    scores["both"] = metrics.share_right(largest == 0)
    scores["both_within_one"] = metrics.share_right(largest <= 1)
    return scores


def principal_axis(events):
    """(dy/dx, y at the foil in mm) of the main axis of the wires of each event, each (event,)."""
    x, y, _, _ = measurements(events)
    hits = Hits(
        x=x,
        y=y,
        radius=np.zeros_like(x),
        z=np.full_like(x, np.nan),
        group=None,
        n_groups=len(events),
    )
    return slope_and_foil(segments.through_wires(events.hit_event, hits, len(events)))


def fit_of_found(events):
    """The same of the line through the largest track that the track finder finds in each event, its first
    segment where it is kinked; NaN counts as along the foil, in its middle.
    """
    labels = inference.find_tracks(events).astype(int)
    fitted = tracks.fit(events, labels)
    n_hits = np.bincount(fitted.of_hits[fitted.of_hits >= 0], minlength=len(fitted.event))
    largest_last = np.lexsort((n_hits, fitted.event))
    track = np.full(len(events), -1)
    track[fitted.event[largest_last]] = largest_last
    lines = lines_of.concatenate([fitted.fitted.segments[0::2], lines_of.unknown(1)])
    return slope_and_foil(lines[track])


def slope_and_foil(lines):
    """(dy/dx, y at the foil in mm) of Lines; what is not known is along the foil, in its middle."""
    slope, _ = lines.slopes()
    foil, _ = lines.foil_mm()
    return np.nan_to_num(slope, nan=np.inf), np.nan_to_num(foil, nan=0.0)


# ---- fits --------------------------------------------------------------------------------------------------


def compare_fits(events, network):
    """Name of a fit -> its figures, of events of one track, all hits of an event together."""
    said = inference.label_probabilities(events, network)
    told = {name: said[name].argmax(1) for name in fitting_hints.N_CLASSES}
    coarse = {
        "phi_window_rad": phi_window(told["angle"]),
        "foil_window_mm": foil_window("foil", told["foil"]),
    }
    fine = {
        "phi_window_rad": phi_window(told["fine_angle"], "fine_angle", margin=1),
        "foil_window_mm": foil_window("fine_foil", told["fine_foil"], margin=1),
    }
    middle = fine["phi_window_rad"].mean(1)
    start = middle, fine["foil_window_mm"].mean(1) * np.sin(middle)
    fits = {
        "Legendre, everywhere": partial(legendre_fit, windows={}),
        "Legendre, 5 x 10 hint": partial(legendre_fit, windows=coarse),
        "Legendre, fine hint": partial(legendre_fit, windows=fine),
        "likelihood": partial(likelihood_fit, start=None),
        "likelihood from the hint": partial(likelihood_fit, start=start),
    }
    hits = (events.hit_event, len(events), *measurements(events))
    return {name: judge(events, fit, hits) for name, fit in fits.items()}


def measurements(events):
    """x and y of the wires, radii and heights of all hits, each (hit,) float, in mm."""
    x = events.first_wire_mm[events.hit_event] + CELL_MM * events.hits["layer"]
    y = wire_y_mm(events.hits["column"].astype(float))
    return (
        x,
        y,
        possible_radius_mm(events.hits["drift_radius_mm"]).astype(float),
        events.hits["z_mm"].astype(float),
    )


def phi_window(segment, name="angle", margin=0):
    """(event, 2) angles of the normal in radians of the segments of the angle, wider by so many segments."""
    low, high = fitting_hints.windows(name, segment)
    wider = margin * np.pi / fitting_hints.N_CLASSES[name]
    return np.stack([low - wider, high + wider], 1) - np.pi / 2


def foil_window(name, segment, margin=0):
    """(event, 2) y in mm of the parts of the foil, wider by so many parts."""
    low, high = fitting_hints.windows(name, segment)
    wider = margin * (high - low)
    return np.stack([low - wider, high + wider], 1)


def legendre_fit(hits, windows):
    """Lines of the Legendre search, and which there are."""
    found = legendre.search(*hits, **windows)
    return found, np.isfinite(found.phi_rad)


def likelihood_fit(hits, start):
    """Lines of the maximum-likelihood fit, and which there are."""
    sigma = tracks.RADIUS_SCALE * sigma_radius_mm(np.nan_to_num(hits[4]))
    fitted = line.fit(*hits, sigma, tracks.SIGMA_Z_MM, start=start, clip_sigma=CLIP_SIGMA)
    return fitted, fitted.valid


def judge(events, fit, hits):
    """Fits a second of processor time, and the shares of failures and of wrong solutions."""
    before = time.process_time()
    lines, there = fit(hits)
    spent = time.process_time() - before
    is_wrong = there & far_from_truth(events, lines, *hits[2:4])
    scores = {"fits_per_cpu_s": len(events) / spent}
    for name, mask in (("failures", ~there), ("wrong", is_wrong)):
        scores[name] = metrics.share_right(mask)
    return scores


def far_from_truth(events, lines, x, y):
    """(event,) bool, whether a line is far from the true one in angle, or at the middle of its hits."""
    n_hits = np.maximum(events.n_hits, 1)
    middle = [np.bincount(events.hit_event, values, len(events)) / n_hits for values in (x, y)]
    angle = np.arctan(events.tracks["slope_y"].astype(float))
    turn = np.abs((lines.phi_rad + np.pi / 2 - angle + np.pi / 2) % np.pi - np.pi / 2)
    phi = angle - np.pi / 2
    true_off = np.cos(phi) * middle[0] + np.sin(phi) * (middle[1] - events.tracks["foil_y_mm"])
    off = lines.distance_mm(np.arange(len(lines)), *middle)
    same_way = np.sign(np.cos(lines.phi_rad - phi))
    return (turn > WRONG_RAD) | (np.abs(off * same_way - true_off) > WRONG_MM)


# ---- tables ------------------------------------------------------------------------------------------------


def print_hints(results):
    names = ("angle", "foil", "both", "both_within_one", "fine_angle", "fine_foil")
    print(f"\n| events | hints from | {' | '.join(name.replace('_', ' ') for name in names)} |")
    print("| --- " * (len(names) + 2) + "|")
    for sample, ways in results.items():
        for way, scores in ways.items():
            shares = [f"{100 * scores[name]['accuracy']:.2f}" for name in names]
            print(f"| {sample} | {way} | {' | '.join(shares)} |")


def print_fits(results):
    print(
        "\n| events | fit | fits a CPU second | failures, % | wrong, % |\n| --- | --- | --- | --- | --- |"
    )
    for sample, fits in results.items():
        for name, scores in fits.items():
            shares = [f"{100 * scores[key]['accuracy']:.2f}" for key in ("failures", "wrong")]
            print(f"| {sample} | {name} | {scores['fits_per_cpu_s']:,.0f} | {' | '.join(shares)} |")


if __name__ == "__main__":
    lib.run(main)
