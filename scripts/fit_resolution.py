"""How well straight lines are fitted: errors of the angle and of the place, and pulls of all four parameters.

    python scripts/fit_resolution.py --found --json runs/fit.json --figure runs/fit.png
    python scripts/fit_resolution.py --response millimetre --json runs/fit_1mm.json

Straight tracks of `my_generator` get the errors of a response, and the fit is told the same errors. It gets
the hits that are truly a track's, and with `--found` those of found tracks too, of which each is compared
with the true track that has more than half of its hits and more than half of whose hits it has.

- angle: between fitted and true line in the top view.
- offset: distance of the fitted from the true line in the top view, at the middle of the hits.
- pulls: of phi_rad, d_mm, z0_mm, tan_dip. `core` is the width of a Gaussian fitted within two widths of the
  median, `robust` half of what holds the inner 68 %.

Each is given for all tracks; for all, but of line and mirror image the one that comes from the foil, as it is
and fitted again with unsure sides (`line.refit_unsure_sides`), and the one nearer to the truth, as if one knew
which; for those without an image; for those whose wires are all on the right side; and, as the limit, for a
fit that is told the sides. 20,000 events take some seconds on one core, with `--found` a minute.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from datasets.drift import sigma_radius_mm
from datasets.geometry import CELL_MM, wire_y_mm
from fitting import line as lines_of
from fitting import parameters
from my_generator import realistic
from my_generator.response import PRESETS, Response

RESPONSES = {
    "simulation": PRESETS["simulation"],
    "millimetre": Response(radius_sigma_mm=1.0, height_sigma_mm=10.0),
    "data": PRESETS["data"],
    "harsh": PRESETS["harsh"],
}
PARAMETERS = ("phi_rad", "d_mm", "z0_mm", "tan_dip")
LEAST_HITS = 3
CORE = 2.0  # robust widths to either side
BINS = 40
# Of half the inner 68 % of n Gaussian values: sqrt(2 p (1 - 2 p)) / (2 f(1) sqrt(n)), p = 0.159, f the density
ERROR_OF_ROBUST = 0.96


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--events", type=lib.at_least(1), default=20_000, help="(default: %(default)s)")
    tracks_help = "numbers of tracks an event may have (default: 1 2 3 4)"
    add(
        "--tracks",
        type=lib.at_least(1),
        nargs="+",
        default=[1, 2, 3, 4],
        metavar="N",
        help=tracks_help,
    )
    response_help = "millimetre: radii to 1 mm, heights to 10 mm (default: %(default)s)"
    add("--response", choices=RESPONSES, default="simulation", help=response_help)
    add("--seed", type=lib.at_least(0), default=2025, help="(default: %(default)s)")
    clip_help = "leave out hits so many errors away (default: none)"
    add("--clip-sigma", type=above_zero, metavar="SIGMA", help=clip_help)
    add("--found", action="store_true", help="fit found tracks too")
    add("--json", type=Path, metavar="FILE", help="write the figures of merit here")
    add("--figure", type=figure_path, metavar="FILE", help="draw residuals and pulls, .pdf or .png")
    return parser.parse_args(argv)


def above_zero(text):
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return float(text)


def figure_path(text):
    import plotting

    return plotting.figure_path(text)


def main(argv=None):
    args = parse_args(argv)
    response = RESPONSES[args.response]
    events = realistic.generate(args.events, args.tracks, response, args.seed, kinks=0.0)
    true = true_lines(events)
    scores = {
        "n_events": args.events,
        "tracks": args.tracks,
        "response": args.response,
        "seed": args.seed,
        "clip_sigma": args.clip_sigma,
    }
    true_track = events.track_of_hits
    fits = {
        "true": compare(events, true, true_track, np.arange(len(true)), response, args.clip_sigma)
    }
    if args.found:
        labels = inference.find_tracks(events)
        found_track, partner = partners(events, labels, true_track, len(true))
        fits["found"] = compare(events, true, found_track, partner, response, args.clip_sigma)
    for name, fitted in fits.items():
        scores[name] = figures_of_merit(fitted)
        print("\n".join(table(name, scores[name])))
    if args.json:
        lib.write_json(args.json, scores)
    if args.figure:
        draw(fits, args.figure)
    return scores


# ---- tracks ------------------------------------------------------------------------------------------------


def true_lines(events):
    """The lines of the tracks of a table, by |x|, as Lines."""
    names = ("slope_y", "foil_y_mm", "slope_z", "foil_z_mm")
    slopes = np.stack([events.tracks[name].astype(float) for name in names], axis=-1)
    return parameters.lines_of_slopes(slopes)


def partners(events, labels, true_track, n_true):
    """Found tracks and the true tracks that they are.

    Args:
        labels: (hit,) found track of each hit in its event, -1 for none. true_track: (hit,), of n_true.
    Returns:
        found_track: (hit,) index of the found track among those of all events, -1 for none.
        partner: (found track,) its true track, -1 where it is none.
    """
    owned = np.flatnonzero(labels >= 0)
    key = np.stack([events.hit_event[owned], labels[owned]])
    found, number = np.unique(key, axis=1, return_inverse=True)
    n_found = found.shape[1]
    found_track = np.full(len(labels), -1)
    found_track[owned] = number.reshape(-1)

    both = (found_track >= 0) & (true_track >= 0)
    pairs, n_common = np.unique(
        np.stack([found_track[both], true_track[both]]), axis=1, return_counts=True
    )
    of_found = np.bincount(found_track[owned], minlength=n_found)[pairs[0]]
    of_true = np.bincount(true_track[true_track >= 0], minlength=n_true)[pairs[1]]
    match = (2 * n_common > of_found) & (2 * n_common > of_true)
    partner = np.full(n_found, -1)
    partner[pairs[0, match]] = pairs[1, match]
    return found_track, partner


@dataclass
class Compared:
    """Fitted lines beside true ones, of the tracks that have enough hits and a true partner.

    Attributes:
        residuals: name -> (track, 4) fitted less true parameters: `line` as fitted; of line and image `foil`
            the one from the foil, `nearer` the one nearer to the truth; `unsure` the one from the foil, fitted
            with unsure sides; `told` the sides, phi and d only.
        pulls: the same, divided by their errors.
        offset_mm: name -> (track,) distance of the line from the true one, at the middle of the hits.
        has_image, right: (track,) bool, whether there is a mirror image, and whether all wires are on the
            right side of the line.
        n_left_out: tracks with fewer hits, or found tracks that are no true one.
    """

    residuals: dict
    pulls: dict
    offset_mm: dict
    has_image: np.ndarray
    right: np.ndarray
    n_left_out: int


def compare(events, true, track, partner, response, clip_sigma):
    """Fit tracks and compare them with the truth.

    Args:
        true: Lines of the true tracks. track: (hit,) track to fit each hit with, -1 for none. partner: (track,)
            the true one of each, -1 for none. response: Response that the events went through.
    Returns:
        Compared.
    """
    x = events.first_wire_mm[events.hit_event] + CELL_MM * events.hits["layer"]
    y = wire_y_mm(events.hits["column"].astype(float))
    radius = events.hits["drift_radius_mm"].astype(float)
    z = events.hits["z_mm"].astype(float)
    of_falaise = response.radius_sigma_scale * sigma_radius_mm(radius)
    sigma = np.hypot(of_falaise, response.radius_sigma_mm)
    hits = (track, x, y, radius, z, sigma, response.height_sigma_mm)
    fitted = lines_of.fit(track, len(partner), *hits[1:], clip_sigma=clip_sigma)
    images = lines_of.fit_mirror_images(fitted, *hits)

    enough = np.isfinite(fitted.z0_mm) & (fitted.n_hits >= LEAST_HITS) & (partner >= 0)
    chosen = np.flatnonzero(enough)
    truth = true[np.maximum(partner, 0)]
    used = np.flatnonzero(fitted.used & enough[np.maximum(track, 0)])
    owner = track[used]
    signed = truth.distance_mm(owner, x[used], y[used])
    path = truth.path_mm(owner, x[used], y[used])
    every = np.arange(len(partner))
    middle = truth.point_mm(every, mean_of(path, owner, len(partner)))

    residuals = {}
    pulls = {}
    offsets = {}
    of_foil = lines_of.from_foil(fitted, images, track, x, y)
    unsure = lines_of.refit_unsure_sides(of_foil, *hits)
    found = {"line": fitted, "image": images, "foil": of_foil, "unsure": unsure}
    for name, lines in found.items():
        residuals[name] = residuals_of(lines, truth)
        pulls[name] = residuals[name] / errors_of(lines)
        offsets[name] = np.abs(lines.distance_mm(every, *middle))
    is_nearer = np.abs(residuals["image"][:, 0]) < np.abs(residuals["line"][:, 0])
    for figures in (residuals, pulls):
        figures["nearer"] = np.where(is_nearer[:, None], figures.pop("image"), figures["line"])
    offsets["nearer"] = np.where(is_nearer, offsets.pop("image"), offsets["line"])
    told, errors_of_told, offset_of_told = fit_of_known_sides(
        owner, len(partner), signed, path, radius[used], sigma[used]
    )
    residuals["told"] = told
    pulls["told"] = told / errors_of_told
    offsets["told"] = np.abs(offset_of_told)

    same_normal = np.sign(np.cos(fitted.phi_rad - truth.phi_rad))[owner]
    wrong = np.sign(signed) != same_normal * fitted.side[used]
    n_wrong = np.bincount(owner, wrong, len(partner))
    return Compared(
        residuals={name: values[chosen] for name, values in residuals.items()},
        pulls={name: values[chosen] for name, values in pulls.items()},
        offset_mm={name: values[chosen] for name, values in offsets.items()},
        has_image=fitted.mirrored[chosen],
        right=n_wrong[chosen] == 0,
        n_left_out=int(len(partner) - len(chosen)),
    )


def mean_of(values, group, n_groups):
    """Mean of the values of each group; 0 for those without."""
    return np.bincount(group, values, n_groups) / np.maximum(
        np.bincount(group, minlength=n_groups), 1
    )


def residuals_of(lines, truth):
    """(line, 4) parameters less the true ones, with the normal on the true one's side."""
    turn = lines.phi_rad - truth.phi_rad
    half_turns = np.round(turn / np.pi)
    sign = np.where(half_turns % 2 == 0, 1.0, -1.0)
    residuals = parameters.as_array(lines) * np.stack(
        [np.ones_like(sign), sign, np.ones_like(sign), sign], -1
    )
    residuals = residuals - parameters.as_array(truth)
    residuals[:, 0] = turn - np.pi * half_turns
    return residuals


def errors_of(lines):
    """(line, 4) standard deviations that the fit gives."""
    return np.sqrt(np.diagonal(lines.covariance(), axis1=1, axis2=2))


def fit_of_known_sides(track, n_tracks, distance, path, radius, sigma):
    """What a fit that is told the sides of the wires finds: one step of least squares from the true line.

    Args:
        track: (hit,). distance, path: (hit,) of the wires from and along the true line, mm.
    Returns:
        (track, 2) residuals of phi and d, their errors, and (track,) offsets in the middle of the hits.
    """
    # a line turned by t and moved by m has its wires at distance + t path - m
    missing = np.copysign(radius, distance) - distance
    weight = sigma**-2.0

    def total(values):
        return np.bincount(track, weight * values, n_tracks)

    with np.errstate(divide="ignore", invalid="ignore"):
        weights = total(np.ones(len(track)))
        mean_path = total(path) / weights
        from_mean = path - mean_path[track]
        turn = total(from_mean * missing) / total(from_mean**2)
        error_of_turn = total(from_mean**2) ** -0.5
        middle = total(missing) / weights
        move = turn * mean_path - middle
        error_of_move = np.sqrt(1 / weights + (mean_path * error_of_turn) ** 2)
    center = mean_of(path, track, n_tracks)
    offset = turn * (center - mean_path) + middle
    return (
        np.stack([turn, move], axis=-1),
        np.stack([error_of_turn, error_of_move], axis=-1),
        offset,
    )


# ---- figures of merit --------------------------------------------------------------------------------------


def figures_of_merit(fitted):
    """Shares of tracks, and population -> median errors and widths of pulls, from Compared."""
    n_tracks = len(fitted.right)
    everything = np.ones(n_tracks, bool)
    populations = {
        "all": ("line", everything),
        "image by the foil": ("foil", everything),
        "the same, sides unsure": ("unsure", everything),
        "nearer image": ("nearer", everything),
        "no image": ("line", ~fitted.has_image),
        "right sides": ("line", fitted.right),
        "sides told": ("told", everything),
    }
    shares = {}
    for name, which in (("with image", fitted.has_image), ("with a wrong side", ~fitted.right)):
        n = int(np.count_nonzero(which))
        interval = [float(limit) for limit in metrics.binomial_interval(n, n_tracks)]
        shares[name] = {"value": n / max(n_tracks, 1), "interval": interval}
    scores = {
        "n_tracks": n_tracks,
        "n_left_out": fitted.n_left_out,
        "shares": shares,
        "populations": {},
    }
    for name, (fit, chosen) in populations.items():
        pulls = fitted.pulls[fit][chosen]
        scores["populations"][name] = {
            "n_tracks": int(np.count_nonzero(chosen)),
            "angle_mrad": median_of(1e3 * np.abs(fitted.residuals[fit][chosen, 0])),
            "offset_mm": median_of(fitted.offset_mm[fit][chosen]),
            "pulls": {
                parameter: widths(pulls[:, i])
                for i, parameter in enumerate(PARAMETERS[: pulls.shape[1]])
            },
        }
    return scores


def median_of(values):
    """The median and its interval of 68 %, from the ranks half a square root of the number around it."""
    values = np.sort(values)
    n = len(values)
    if not n:
        return {"value": np.nan, "interval": [np.nan, np.nan]}
    ranks = (n - 1) / 2 + np.array([-1, 1]) * np.sqrt(n) / 2
    low, high = np.clip(np.round(ranks).astype(int), 0, n - 1)
    return {
        "value": float(np.median(values)),
        "interval": [float(values[low]), float(values[high])],
    }


def widths(pulls):
    """Width of the core and robust width of pulls, with their errors, their median, and the share beyond 5."""
    from scipy.optimize import curve_fit

    n = len(pulls)
    nothing = {"core": np.nan, "core_error": np.nan, "robust": np.nan, "robust_error": np.nan}
    if n < BINS:
        return {**nothing, "median": np.nan, "beyond_5": np.nan}
    low, median, high = np.quantile(pulls, [0.1587, 0.5, 0.8413])
    robust = (high - low) / 2
    limits = median - CORE * robust, median + CORE * robust
    counts, edges = np.histogram(pulls, BINS, limits)
    middles = (edges[1:] + edges[:-1]) / 2
    start = (counts.max(), median, robust)
    errors = np.sqrt(np.maximum(counts, 1))
    (_, _, core), covariance = curve_fit(
        gaussian, middles, counts, start, errors, absolute_sigma=True
    )
    return {
        "core": float(abs(core)),
        "core_error": float(np.sqrt(covariance[2, 2])),
        "robust": float(robust),
        "robust_error": float(ERROR_OF_ROBUST * robust / np.sqrt(n)),
        "median": float(median),
        "beyond_5": float(np.mean(np.abs(pulls) > 5)),
    }


def gaussian(x, height, mean, width):
    return height * np.exp(-(((x - mean) / width) ** 2) / 2)


def table(hits, scores):
    """The figures of merit as lines of a Markdown table."""
    told = ", ".join(
        f"{100 * share['value']:.1f} % {name}" for name, share in scores["shares"].items()
    )
    lines = [
        f"{scores['n_tracks']} tracks of {hits} hits, {told}; {scores['n_left_out']} left out",
        "",
    ]
    pulls = " | ".join(f"pull of {name}, core, robust" for name in PARAMETERS)
    lines.append(f"| {hits} hits | angle, mrad | offset, mm | {pulls} |")
    lines.append("| --- " * 7 + "|")
    for name, figures in scores["populations"].items():
        medians = [f"{figures[key]['value']:.3f}" for key in ("angle_mrad", "offset_mm")]
        of_pulls = [
            f"{width['core']:.3f}, {width['robust']:.3f}" for width in figures["pulls"].values()
        ]
        of_pulls += [""] * (len(PARAMETERS) - len(of_pulls))
        lines.append(f"| {' | '.join([name, *medians, *of_pulls])} |")
    return [*lines, ""]


# ---- figure ------------------------------------------------------------------------------------------------


def draw(fits, path):
    """Errors of angle and place above, pulls below; hits -> Compared."""
    import seaborn
    from matplotlib.figure import Figure

    import plotting

    colours = seaborn.color_palette("colorblind")
    figure = Figure(figsize=(13, 7), layout="constrained")
    axes = figure.subplots(2, 4)
    first = next(iter(fits.values()))
    bins = np.linspace(-5, 5, 61)
    for number, (hits, fitted) in enumerate(fits.items()):
        style = {"histtype": "step", "density": True, "linewidth": 1.5, "label": f"{hits} hits"}
        style |= {"color": colours[number], "linestyle": ["-", "--"][number]}
        for ax, values, reference in zip(
            axes[0], residuals_drawn(fitted), residuals_drawn(first), strict=True
        ):
            reach = 6 * np.median(np.abs(reference))
            ax.hist(values, np.linspace(-reach, reach, 61), **style)
            ax.set_xlim(-reach, reach)
            ax.set_title(f"median error {np.median(np.abs(reference)):.3g}", fontsize=10)
        for ax, values in zip(axes[1], fitted.pulls["line"].T, strict=True):
            ax.hist(values, bins, **style)
    for ax, values in zip(axes[1], first.pulls["line"].T, strict=True):
        width = widths(values)
        ax.plot(
            bins,
            gaussian(bins, (2 * np.pi) ** -0.5, 0, 1),
            color="0.4",
            linewidth=1,
            label="unit Gaussian",
        )
        ax.set_title(f"width {width['core']:.3f}, robust {width['robust']:.3f}", fontsize=10)
        ax.set_xlim(-5, 5)
    names = (r"$\varphi$", "$d$", "$z_0$", r"$\tan\,$dip")
    units = ("mrad", "mm", "mm", "")
    for i, (name, unit) in enumerate(zip(names, units, strict=True)):
        axes[0, i].set_xlabel(f"error of {name}, {unit}".rstrip(", "))
        axes[1, i].set_xlabel(f"pull of {name}")
    for ax in axes[:, 0]:
        ax.set_ylabel("tracks")
        ax.legend(frameon=False, fontsize=9, loc="upper left", handlelength=1)
    for ax in axes.flat:
        seaborn.despine(ax=ax, left=True)
        ax.set_yticks([])
    figure.suptitle(
        f"{len(first.right)} straight tracks; medians and widths of those of {next(iter(fits))} hits"
    )
    plotting.save(figure, path)


def residuals_drawn(fitted):
    """(4, track) errors of the lines as they were fitted, phi in mrad."""
    return fitted.residuals["line"].T * [[1e3], [1], [1], [1]]


if __name__ == "__main__":
    lib.run(main)
