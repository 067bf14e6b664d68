"""How well can tracks be counted at all in a view? Count the tracks that leave no pixel of their own.

    python scripts/view_ceiling.py --generator my_generator --events 100000

A track without a pixel of its own cannot be seen beside the others: its event counts as lost in the upper
ceiling. A track with a single pixel of its own can hardly be told from a fluctuation: with those events lost
too it is the lower ceiling. (Real networks do better than the lower one: the pattern of the shared pixels
tells something too.)
"""

import argparse
from pathlib import Path

import numpy as np

import lib
from datasets import geometry
from my_generator import GENERATORS

AXES = {
    "top": ("layer", "column"),
    "side": ("z", "column"),
    "front": ("z", "layer"),
    "voxels": ("layer", "column", "z"),
}
BLOCK = 20480


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--generator",
        choices=("my_generator", "toyhaystack"),
        default="my_generator",
        help="(default: %(default)s)",
    )
    parser.add_argument("--events", type=lib.at_least(1), default=100000, help="(default: %(default)s)")
    parser.add_argument("--seed", type=lib.at_least(0), default=99, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def fewest_own_pixels(events, axes, n_sides):
    """(event,) pixels of its own that the poorest track of each event has; those that it shares with other
    tracks do not count.
    """
    hits = {**events.hits, "z": geometry.z_bin(events.hits["z_mm"])}
    pixel = np.ravel_multi_index(
        [hits[axis].astype(int) for axis in axes],
        [{"layer": 9, "column": 113, "z": 30}[axis] for axis in axes],
    )
    pixel = (events.hit_event * 2 + (hits["side"] if n_sides == 2 else 0)) * 9 * 113 * 30 + pixel
    first_track = events.track_offsets[events.hit_event]
    # a shared cell has the height of the hit that stayed: where z is drawn, the pixel is that track's alone
    shared = (hits["second_track"] >= 0) & ("z" not in axes)
    owners = np.concatenate([first_track + hits["track"], (first_track + hits["second_track"])[shared]])
    pixels = np.concatenate([pixel, pixel[shared]])
    pairs = np.unique(np.stack([pixels, owners]), axis=1)  # a track's pixel counts once
    _, index, n_owners = np.unique(pairs[0], return_inverse=True, return_counts=True)
    own = np.bincount(pairs[1][n_owners[index] == 1], minlength=events.track_offsets[-1])
    return np.minimum.reduceat(own, events.track_offsets[:-1])


def main(argv=None):
    args = parse_args(argv)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    generate, n_sides = GENERATORS[args.generator]
    own = {name: [] for name in AXES}
    for start in range(0, args.events, BLOCK):
        events = generate(min(BLOCK, args.events - start), seed=args.seed, first_event=start)
        for name, axes in AXES.items():
            own[name].append(fewest_own_pixels(events, axes, n_sides))
    ceilings = {}
    for name in AXES:
        fewest = np.concatenate(own[name])
        ceilings[name] = {"lower": float((fewest > 1).mean()), "upper": float((fewest > 0).mean())}
        print(f"{name:>9}: {100 * ceilings[name]['lower']:.2f} to {100 * ceilings[name]['upper']:.2f} %")
    if args.json:
        lib.write_json(
            args.json,
            {"generator": args.generator, "n_events": args.events, "seed": args.seed, "ceilings": ceilings},
        )
    return ceilings


if __name__ == "__main__":
    lib.run(main)
