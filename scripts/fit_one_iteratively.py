"""Fit the tracks of events one after the other: count them, fit the best, take its hits away, and again.

    python scripts/fit_one_iteratively.py FILES... --out runs/fit
    python scripts/fit_one_iteratively.py run.root --drift-model manchester --mask 0,111,7 --compare

A counter says how many tracks each tracker side of an event has. Of the hits left there, the line of the
highest peak of the Legendre search is fitted by maximum likelihood and takes its hits, until there are as
many tracks as were counted, fewer than three hits, or the quality falls below `--min-quality`. The quality is
the height of the peak over the number of its hits, in 1/mm: 1 / (sqrt(2 pi) 2 mm) = .199 where all hits touch
the line, since the search smears circles with 2 mm.

In real events, hits without a radius or with one above 35 mm are not used. Hits without another one in the
cells around may be kept from the counter, or from the fit too (`--neighbour-filter`).

Writes to the output folder `tracks.csv` (a line a track: `angle_deg` is that of the track from the normal of
the foil, and x is the distance from the foil on either side), `hits_left.csv` (a line a hit on no track, and
why), `events.pdf` with displays, `quality.pdf`, and on request `sinograms.pdf`.
"""

import argparse
import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import inference
import lib
import metrics
import outputs
import plotting
from datasets import filters
from datasets.events import concatenate
from datasets.readers import open_events, tkevent
from finding import iterative
from finding.labels import count_tracks
from finding.peeling import pairs_in_group
from fitting import legendre
from fitting.lines import concatenate as concatenate_lines
from fitting.lines import unknown

BLOCK = 4096  # events looked at together: what bounds the memory
TRACK_COLUMNS = [
    *("file", "run", "event", "side", "track", "n_hits", "quality_per_mm", "p_value"),
    *("phi_rad", "d_mm", "z0_mm", "tan_dip", "angle_deg", "foil_y_mm", "foil_z_mm"),
]
HIT_COLUMNS = ("file", "run", "event", "side", "column", "layer", "radius_mm", "z_mm", "why")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    limits = iterative.Limits()
    add("files", nargs="+", help="files or globs")
    default_out = Path("runs/fit_one_iteratively")
    add(
        "--out",
        type=lib.folder,
        default=default_out,
        metavar="FOLDER",
        help="(default: %(default)s)",
    )
    model_help = "counter: name of a shipped model or path of a run (default: %(default)s)"
    add("--model", default=inference.COUNTER, help=model_help)
    off_help = "from a track to the drift circle of a hit that it takes away (default: %(default)s)"
    add("--tolerance", type=float, default=limits.off_mm, metavar="MM", help=off_help)
    quality_help = "of the last track of a side, in 1/mm (default: %(default)s)"
    add(
        "--min-quality",
        type=float,
        default=limits.min_quality_per_mm,
        metavar="Q",
        help=quality_help,
    )
    angle_help = "look only for tracks at these angles from the normal of the foil, degrees"
    add("--angle-window", type=float, nargs=2, metavar=("LOW", "HIGH"), help=angle_help)
    foil_help = "look only for tracks that cross the foil between these y, mm"
    add("--foil-window", type=float, nargs=2, metavar=("LOW", "HIGH"), help=foil_help)
    filter_help = (
        "what sees no hit without another one in the cells around: the count, or count and fit"
    )
    choices = inference.NEIGHBOUR_FILTER
    add(
        "--neighbour-filter",
        choices=choices,
        default="none",
        help=f"{filter_help} (default: %(default)s)",
    )
    displays_help = "events drawn (default: %(default)s)"
    add("--displays", type=lib.at_least(0), default=20, metavar="N", help=displays_help)
    sinograms_help = "events whose planes of the search are drawn (default: %(default)s)"
    add("--sinograms", type=lib.at_least(0), default=0, metavar="N", help=sinograms_help)
    compare_help = (
        "compare with the track finder, with the truth where it is known, and with TKEvent's tracks"
    )
    add("--compare", action="store_true", help=compare_help)
    filters.add_mask(parser)
    inference.add_engine(parser)
    open_events.add_drift_model(parser)
    return parser.parse_args(argv)


@dataclass
class Results:
    """What is kept of the events for the summary, the comparison and the figures.

    Attributes:
        path, index: lists of the file of each table and of the number of its first event there.
        counted, fitted: lists of (event,) numbers of tracks.
        tracks: list of FoundTracks.
        left: reason -> number of hits.
        drawn: list of (table of one event, its FoundTracks, its index among those of its table, title).
        finder, truth: lists of (event,) numbers of tracks, -1 for an unknown truth.
        perfect: list of (2, event) bool, of the iterative fit and of the finder.
    """

    path: list = field(default_factory=list)
    index: list = field(default_factory=list)
    counted: list = field(default_factory=list)
    fitted: list = field(default_factory=list)
    tracks: list = field(default_factory=list)
    left: dict = field(default_factory=dict)
    drawn: list = field(default_factory=list)
    finder: list = field(default_factory=list)
    truth: list = field(default_factory=list)
    perfect: list = field(default_factory=list)


def main(argv=None):
    args = parse_args(argv)
    limits = limits_of(args)
    network = inference.load_track_counter(args.model, args.engine)
    finder = inference.load(inference.FINDER, args.engine) if args.compare else None
    results = Results()
    with (
        outputs.whole(args.out / "tracks.csv") as of_tracks,
        outputs.whole(args.out / "hits_left.csv") as of_hits,
        open(of_tracks, "w", newline="") as tracks_file,
        open(of_hits, "w", newline="") as hits_file,
    ):
        tracks = csv.writer(tracks_file, lineterminator="\n")
        hits_left = csv.writer(hits_file, lineterminator="\n")
        tracks.writerow(TRACK_COLUMNS)
        hits_left.writerow(HIT_COLUMNS)
        for path, first, events in tables(args):
            counted, found, why = inference.fit_iteratively(
                events, network, limits, args.neighbour_filter
            )
            keep(results, path, first, events, why, counted, found, args)
            tracks.writerows(rows_of_tracks(path, events, found))
            hits_left.writerows(rows_of_hits(path, events, why))
            if finder:
                compare(results, events, found.labels, finder)
        if not results.path:
            raise ValueError(f"{', '.join(args.files)}: no events")
    scores = summarise(results)
    if finder:
        scores |= compared(results)
        scores |= compared_with_tkevent(results)
    draw(results, args)
    print(f"results in {args.out}")
    return scores


def limits_of(args):
    """The limits of the fit from the flags."""
    phi_window = None
    if args.angle_window:
        phi_window = tuple(np.radians(np.array(args.angle_window) - 90))
    foil_window = tuple(args.foil_window) if args.foil_window else None
    for name, window in (("--angle-window", args.angle_window), ("--foil-window", foil_window)):
        if window and not window[0] < window[1]:
            raise ValueError(f"{name} from {window[0]} to {window[1]}: the first is to be lower")
    return iterative.Limits(
        off_mm=args.tolerance,
        min_quality_per_mm=args.min_quality,
        phi_window_rad=phi_window,
        foil_window_mm=foil_window,
    )


def tables(args):
    """Yield (file, number of the first event in it, table of some of its events, without masked cells)."""
    notes = [] if args.drift_model else [open_events.radii_note]
    stream = open_events.stream(args.files, progress=True, drift_model=args.drift_model)
    seen = {}
    for path, table in lib.once_a_file(stream, *notes):
        for start in range(0, len(table), BLOCK):
            events = table[start : start + BLOCK]
            events = events.keep_hits(~filters.masked(events, args.mask))
            first = seen.get(path, 0)
            seen[path] = first + len(events)
            yield path, first, events


# ---- what is written and kept ------------------------------------------------------------------------------


def rows_of_tracks(path, events, found):
    """The lines of the tracks of a table."""
    foil_y, foil_z = found.lines.foil_mm()
    angle = 90 + np.degrees(found.lines.phi_rad)
    whole = [events.info["run"][found.event], events.info["event"][found.event]]
    whole += [found.side, found.label, found.n_hits]
    values = [found.quality_per_mm, found.lines.p_value(), found.lines.phi_rad, found.lines.d_mm]
    values += [found.lines.z0_mm, found.lines.tan_dip, angle, foil_y, foil_z]
    shown = [[f"{value:.6g}" for value in column] for column in values]
    return zip([path] * len(found), *[column.tolist() for column in whole], *shown, strict=True)


def rows_of_hits(path, events, why):
    """The lines of the hits of a table that are on no track."""
    left = np.flatnonzero(why != "")
    event = events.hit_event[left]
    whole = [events.info["run"][event], events.info["event"][event]]
    whole += [events.hits[name][left] for name in ("side", "column", "layer")]
    values = [events.hits[name][left] for name in ("drift_radius_mm", "z_mm")]
    shown = [[f"{value:.2f}" for value in column] for column in values]
    columns = [column.tolist() for column in whole]
    return zip([path] * len(left), *columns, *shown, why[left].tolist(), strict=True)


def keep(results, path, first, events, why, counted, found, args):
    """Note what the summary and the figures need of a table."""
    results.path.append(path)
    results.index.append(first)
    results.counted.append(counted.sum(1))
    results.fitted.append(np.bincount(found.event, minlength=len(events)))
    results.tracks.append(found)
    for reason, n in zip(*np.unique(why, return_counts=True), strict=True):
        results.left[str(reason)] = results.left.get(str(reason), 0) + int(n)
    n_missing = max(args.displays, args.sinograms) - len(results.drawn)
    for i in np.flatnonzero(events.n_hits > 0)[:n_missing]:
        number = [metrics.number_of(table[-1][i]) for table in (results.counted, results.fitted)]
        title = f"{plotting.title_of(events, i, path)}: {number[0]} counted, {number[1]} fitted"
        if events.info["n_tracks"][i] >= 0:
            title += f", true {events.info['n_tracks'][i]}{plotting.particles_of(events, i)}"
        results.drawn.append((events, found, i, title))


def summarise(results):
    """Print what was found; name -> number."""
    counted = np.concatenate(results.counted)
    fitted = np.concatenate(results.fitted)
    quality = np.concatenate([found.quality_per_mm for found in results.tracks])
    numbers = [
        f"{metrics.number_of(n)}: {count}" for n, count in enumerate(np.bincount(counted)) if count
    ]
    print(f"{len(counted)} events; counted {', '.join(numbers)}")
    ideal = legendre.IDEAL_QUALITY / legendre.SIGMA_MM
    middle = (
        f"median quality {np.median(quality):.3f} of {ideal:.3f}" if len(quality) else "no quality"
    )
    print(f"{fitted.sum()} of {counted.sum()} tracks fitted, {middle}")
    share("events with as many fitted as counted", counted == fitted)
    on_tracks = results.left.get("", 0)
    left = [f"{n} {reason}" for reason, n in results.left.items() if reason]
    print(f"hits: {on_tracks} on tracks" + "".join(f", {one}" for one in left))
    return {"events": len(counted), "counted": int(counted.sum()), "fitted": int(fitted.sum())}


def share(text, is_so):
    """Print a share of events with its interval; returns it."""
    n = np.count_nonzero(is_so)
    if not len(is_so):
        print(f"{text}: none")
        return np.nan
    low, high = metrics.binomial_interval(n, len(is_so))
    print(
        f"{text}: {100 * n / len(is_so):.1f} % ({100 * low:.1f} to {100 * high:.1f}) of {len(is_so)}"
    )
    return n / len(is_so)


# ---- comparisons -------------------------------------------------------------------------------------------


def compare(results, events, labels, finder):
    """Find the tracks of a table with the track finder, and judge both where the truth is known."""
    of_finder = inference.find_tracks(events, finder)
    results.finder.append(count_tracks(events, of_finder))
    truth = events.info["n_tracks"].astype(int)
    results.truth.append(truth)
    owners = events.hits["track"], events.hits["second_track"]
    perfect = np.zeros((2, len(events)), bool)
    for method, found in enumerate((labels, of_finder)):
        judged = metrics.clustering_by_event(events.hit_offsets, *owners, found, truth.clip(min=0))
        perfect[method] = judged["perfect"][0]
    results.perfect.append(perfect)


def compared(results):
    """Print the comparison with the track finder; name -> share."""
    counted, fitted, finder, truth = (
        np.concatenate(values)
        for values in (results.counted, results.fitted, results.finder, results.truth)
    )
    shares = {
        "same number": share(
            "events in which finder and fit have the same number", finder == fitted
        ),
        "same count": share(
            "events in which finder and counter have the same number", finder == counted
        ),
    }
    known = truth >= 0
    if known.any():
        perfect = np.concatenate(results.perfect, axis=1)[:, known]
        shares["fit right"] = share("count right, fit", (fitted == truth)[known])
        shares["finder right"] = share("count right, finder", (finder == truth)[known])
        shares["fit perfect"] = share("perfect events, fit", perfect[0])
        shares["finder perfect"] = share("perfect events, finder", perfect[1])
    return shares


def compared_with_tkevent(results):
    """Print how far fitted tracks are from those that TKEvent stored in its files; name -> number."""
    paths = [path for path in dict.fromkeys(results.path) if open_events.kind_of(path) == "tkevent"]
    differences = [differences_of(path, results) for path in paths]
    if not sum(len(angle) for angle, _ in differences):
        return {}
    angle, offset = np.concatenate(differences, axis=1)
    close = (np.abs(angle) < np.radians(1)) & (np.abs(offset) < 2)
    print(
        f"{len(angle)} fitted tracks on sides with a track of TKEvent; from the nearest of those:"
    )
    median = np.median(np.abs(angle)) * 1000, np.median(np.abs(offset))
    print(
        f"    median difference {median[0]:.2f} mrad and {median[1]:.3f} mm at the middle of the hits"
    )
    within = share("    within 1 degree and 2 mm", close)
    return {
        "tkevent angle_mrad": median[0],
        "tkevent offset_mm": median[1],
        "tkevent close": within,
    }


def differences_of(path, results):
    """(angle_rad, offset_mm), each (track,), of the fitted tracks of a file from the nearest stored line of
    their side. The mirror images that TKEvent stores count as lines too.
    """
    stored, offsets = tkevent.read_objects(path, "tracks")
    if not len(stored.get("a", ())):
        return np.zeros((2, 0))
    its_group = 2 * np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) + stored["side"]
    sign = 2 * stored["side"] - 1
    phi = np.arctan(sign * stored["a"]) - np.pi / 2  # by |x|
    d = stored["b"] * np.sin(phi)

    own = [i for i, one in enumerate(results.path) if one == path]
    found = [results.tracks[i] for i in own]
    lines = concatenate_lines([unknown(0), *[one.lines for one in found]])
    group = np.concatenate(
        [2 * (results.index[i] + results.tracks[i].event) + results.tracks[i].side for i in own]
    )
    first_s = np.concatenate([one.first_s_mm for one in found])
    last_s = np.concatenate([one.last_s_mm for one in found])
    n_groups = 2 * (len(offsets) - 1)
    one, other = pairs_in_group(group, its_group, n_groups)
    x, y = lines.point_mm(one, (first_s + last_s)[one] / 2)
    offset = np.cos(phi[other]) * x + np.sin(phi[other]) * y - d[other]
    turn = lines.phi_rad[one] - phi[other]
    turn = (turn + np.pi / 2) % np.pi - np.pi / 2
    worst_first = np.argsort(-np.hypot(200 * turn, offset), kind="stable")
    nearest = np.full(len(lines), -1)
    nearest[one[worst_first]] = worst_first  # the last one written is the nearest
    nearest = nearest[nearest >= 0]
    return np.stack([turn[nearest], offset[nearest]])


# ---- figures -----------------------------------------------------------------------------------------------


def draw(results, args):
    """The figures of a run."""
    rank = np.concatenate([ranks(found) for found in results.tracks])
    quality = np.concatenate([found.quality_per_mm for found in results.tracks])
    ideal = legendre.IDEAL_QUALITY / legendre.SIGMA_MM
    plotting.track_qualities(quality, rank, ideal, args.out / "quality.pdf")
    drawn = results.drawn[: args.displays]
    if drawn:
        print(f"drawing {len(drawn)} events", flush=True)
        display(drawn, args.out / "events.pdf")
    shown = results.drawn[: args.sinograms]
    pages = [page for one in shown for page in sinograms(*one, args)]
    if pages:
        plotting.save(pages, args.out / "sinograms.pdf")


def ranks(found):
    """(track,) int, 0 for the track of highest quality of its event."""
    best_first = np.lexsort((-found.quality_per_mm, found.event))
    rank = np.zeros(len(found), int)
    event = found.event[best_first]
    rank[best_first] = np.arange(len(found)) - np.searchsorted(event, event)
    return rank


def display(drawn, path):
    """Events, coloured by fitted track, with their lines."""
    tables, labels, pieces = [], [], []
    for place, (events, found, i, _) in enumerate(drawn):
        own = found.event == i
        tables.append(events[i])
        labels.append(found.labels[events.hit_offsets[i] : events.hit_offsets[i + 1]])
        piece = {name: values[own] for name, values in found.pieces().items()}
        pieces.append(piece | {"event": np.full(own.sum(), place)})
    lines = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    shown = concatenate(tables)
    labels = np.concatenate(labels)
    shown = shown.with_hits({"track": labels, "second_track": np.full_like(labels, -1)})
    shown.info = {**shown.info, "n_tracks": count_tracks(shown, labels)}
    plotting.page_of_events(
        shown, range(len(drawn)), path, [title for *_, title in drawn], lines=lines
    )


def sinograms(events, found, i, title, args):
    """A page for each side of an event that has tracks: its plane of the search, with the window and the
    lines that were found.
    """
    hits = iterative.hits_of(events[i])
    for side in np.unique(found.side[found.event == i]):
        own = (hits.group == side) & np.isfinite(hits.radius)
        circles = hits.x[own], hits.y[own], hits.radius[own]
        phi = np.linspace(-np.pi, 0, 721)
        across = np.outer(np.cos(phi), circles[0]) + np.outer(np.sin(phi), circles[1])
        d = np.linspace(across.min() - 50, across.max() + 50, 1600)
        tracks = np.flatnonzero((found.event == i) & (found.side == side))
        lines = found.lines.phi_rad[tracks], found.lines.d_mm[tracks]
        figure = Figure((10, 6), layout="constrained")
        ax = figure.subplots()
        height = legendre.plane(*circles, phi, d)
        windows = []
        if args.angle_window or args.foil_window:
            limits = limits_of(args)
            windows.append(
                legendre.outline(limits.phi_window_rad, limits.foil_window_mm, np.abs(d).max())
            )
        plotting.sinogram(height, phi, d, ax, f"{title} · side {side}", lines, windows)
        yield figure


if __name__ == "__main__":
    lib.run(main)
