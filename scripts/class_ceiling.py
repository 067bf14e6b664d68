"""How well can the block and the fit hints of one ideal track be told from its top view at all?

    python scripts/class_ceiling.py --events 20000

Many lines light exactly the same cells as a track of the straight-line toy; nothing in the picture tells them
apart. Lines near the true one are drawn, those of the same picture are kept, and the most probable class among
them is the best answer there is: its share, averaged over tracks, is the ceiling. Lines are drawn around the
true one, with its own height, so the ceiling may be a little too high, never too low.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.progress import track as progress

import lib
from datasets import associated_calohit_singlelabel, fitting_hints
from datasets.geometry import CELL_MM, N_COLUMNS, N_LAYERS, toy_calo_block
from my_generator import straight_lines

CHUNK = 200  # tracks at a time
ENOUGH = 100  # lines of the same picture from which on their spread is known
N_CLASSES = {
    "column": associated_calohit_singlelabel.N_CLASSES["column"],
    **fitting_hints.N_CLASSES,
}
BOTH = ("angle", "foil")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--events", type=lib.at_least(1), default=20000, help="tracks (default: %(default)s)")
    add(
        "--lines",
        type=lib.at_least(100),
        default=2000,
        help="drawn for each track (default: %(default)s)",
    )
    add("--seed", type=lib.at_least(0), default=99, help="(default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the ceilings here")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    rng = np.random.default_rng(args.seed)
    best = {name: [] for name in (*N_CLASSES, "angle and foil")}
    for start in progress(range(0, args.events, CHUNK), "tracks"):
        n = min(CHUNK, args.events - start)
        events = straight_lines.generate(n, tracks=(1,), seed=args.seed, first_event=start)
        slope, y0, weight = same_pictures(true_lines(events), args.lines, rng)
        for name, share in best_shares(slope, y0, weight).items():
            best[name].append(share)
    ceilings = {}
    for name, shares in best.items():
        shares = np.concatenate(shares)
        ceilings[name] = {
            "value": float(shares.mean()),
            "error": float(shares.std() / np.sqrt(len(shares))),
        }
        print(
            f"{name:>15}: {100 * ceilings[name]['value']:.2f} +- {100 * ceilings[name]['error']:.2f} %"
        )
    if args.json:
        lib.write_json(
            args.json, {"n_events": args.events, "seed": args.seed, "ceilings": ceilings}
        )
    return ceilings


def true_lines(events):
    """(track, 4) slope dy/dx, y0, slope dz/dx and z0 of tracks in cells, as the toy has them."""
    tracks = events.tracks
    height = straight_lines.TOY_HALF_HEIGHT / straight_lines.HALF_HEIGHT_MM
    y0 = tracks["foil_y_mm"] / CELL_MM + N_COLUMNS / 2
    slope_z = tracks["slope_z"] * height * CELL_MM
    return np.stack([tracks["slope_y"], y0, slope_z, tracks["foil_z_mm"] * height], 1).astype(float)


def same_pictures(lines, n_lines, rng):
    """Lines that light the same cells as tracks do.

    Args:
        lines: (track, 4) as of `true_lines`.
    Returns:
        slope dy/dx, y0, weight, each (track, line); the weight is 0 for another picture, else the density of
        the toy's angles.
    """
    slope = lines[:, :1]
    first, count = picture(lines[:, None])
    is_hit = count[:, 0] > 0
    near = is_hit.argmax(1)[:, None] + 0.25  # a line is drawn by its places at the ends of its hits
    far = N_LAYERS - is_hit[:, ::-1].argmax(1)[:, None] - 0.25
    middle = np.stack([lines[:, 1:2] + slope * near, lines[:, 1:2] + slope * far])
    reach = np.broadcast_to(1 + np.abs(slope), middle.shape).copy()
    for _ in range(6):
        ends = middle + reach * rng.uniform(-1, 1, (2, len(lines), n_lines))
        ends[:, :, 0] = (
            lines[:, 1] + slope[:, 0] * np.stack([near, far])[..., 0]
        )  # the true line is one of them
        slopes = (ends[1] - ends[0]) / (far - near)
        y0 = ends[0] - slopes * near
        heights = np.broadcast_to(lines[:, None, 2:], (*y0.shape, 2))
        other_first, other_count = picture(
            np.concatenate([slopes[..., None], y0[..., None], heights], -1)
        )
        alike = (other_count == count) & ((other_first == first) | (count == 0))
        same = alike.all(-1) & (y0 > 0) & (y0 < N_COLUMNS)
        low = np.where(same, ends, np.inf).min(-1, keepdims=True)
        high = np.where(same, ends, -np.inf).max(-1, keepdims=True)
        enough = same.sum(1)[:, None] >= ENOUGH
        found_reach = 0.75 * (high - low)
        middle = np.where(enough, (low + high) / 2, ends[:, :, :1])
        reach = np.where(enough, found_reach, reach / 3)
    return slopes, y0, same / (1 + np.square(slopes))


def picture(lines):
    """First column and number of columns that (track, line, 4) lines light in each layer, (track, line, 9)."""
    slope, y0, slope_z, z0 = lines.reshape(-1, 4).T
    angle = np.arctan(slope) % np.pi
    first, count = straight_lines._columns_hit(angle, np.arctan(slope_z), y0, z0)
    shape = (*lines.shape[:2], N_LAYERS)
    return first.reshape(shape), count.reshape(shape)


def best_shares(slope, y0, weight):
    """Name -> (track,) share of the most probable class among lines of the same picture."""
    column, _ = toy_calo_block(y0 + N_LAYERS * slope, np.zeros_like(y0))
    classes = {"column": column, **fitting_hints.segments(slope, (y0 - N_COLUMNS / 2) * CELL_MM)}
    angle, foil = (classes[name] for name in BOTH)
    classes["angle and foil"] = angle * N_CLASSES["foil"] + foil
    return {name: best_share(values, weight) for name, values in classes.items()}


def best_share(classes, weight):
    """(track,) the largest share that a class has of the weights, (track, line)."""
    n_classes = classes.max() + 1
    track = np.arange(len(classes))[:, None] * n_classes
    total = np.bincount((track + classes).ravel(), weight.ravel(), len(classes) * n_classes)
    total = total.reshape(len(classes), n_classes)
    return total.max(1) / total.sum(1)


if __name__ == "__main__":
    lib.run(main)
