"""How well can tracks be counted at all in a view? Count the tracks that leave no pixel of their own.

    python scripts/view_ceiling.py --generator my_generator --events 100000

A track without a pixel of its own cannot be seen beside the others: its event counts as lost in the upper
ceiling. A track with a single pixel of its own can hardly be told from a fluctuation: in the lower ceiling
those events are lost too. (Networks can do better than the lower one: the pattern of the shared pixels tells
something too.)
"""

import argparse
from pathlib import Path

import numpy as np

import lib
from datasets import views
from datasets.geometry import N_SIDES, z_bin
from my_generator import GENERATORS

VIEWS = ("top", "side", "front", "voxels")
BLOCK = 20480


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    generators = ("my_generator", "toyhaystack")
    add("--generator", choices=generators, default=generators[0], help="(default: %(default)s)")
    add("--events", type=lib.at_least(1), default=100000, help="(default: %(default)s)")
    add("--seed", type=lib.at_least(0), default=99, help="(default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the ceilings here")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    generate, n_sides = GENERATORS[args.generator]
    fewest = {view: [] for view in VIEWS}
    for start in range(0, args.events, BLOCK):
        n_events = min(BLOCK, args.events - start)
        events = generate(n_events, seed=args.seed, first_event=start)
        for view in VIEWS:
            fewest[view].append(fewest_own_pixels(events, view, n_sides))
    ceilings = {}
    for view in VIEWS:
        ceilings[view] = ceiling = ceiling_of(np.concatenate(fewest[view]))
        print(f"{view:>9}: {100 * ceiling['lower']:.2f} to {100 * ceiling['upper']:.2f} %")
    if args.json:
        made_of = {"generator": args.generator, "n_events": args.events, "seed": args.seed}
        lib.write_json(args.json, {**made_of, "ceilings": ceilings})
    return ceilings


def ceiling_of(fewest):
    """Shares of the events that are not lost, from `fewest_own_pixels`."""
    return {"lower": float((fewest > 1).mean()), "upper": float((fewest > 0).mean())}


def fewest_own_pixels(events, view, n_sides):
    """(event,) pixels of its own that the poorest track of each event has; those that it shares with other
    tracks do not count.
    """
    hits = events.hits
    pixel = pixels(events, view, n_sides)
    first_track = events.track_offsets[events.hit_event]
    owner = first_track + hits["track"]
    second_owner = first_track + hits["second_track"]
    # a shared cell has the height of the hit that stayed: where z is drawn, the pixel is that track's alone
    shared = (hits["second_track"] >= 0) & ("z" not in views.AXES[view])
    all_pixels = np.concatenate([pixel, pixel[shared]])
    all_owners = np.concatenate([owner, second_owner[shared]])
    lit = np.unique(np.stack([all_pixels, all_owners]), axis=1)  # a track's pixel counts once
    lit_pixel, lit_by = lit
    _, index, n_owners = np.unique(lit_pixel, return_inverse=True, return_counts=True)
    is_own = n_owners[index] == 1
    n_own = np.bincount(lit_by[is_own], minlength=events.track_offsets[-1])
    return np.minimum.reduceat(n_own, events.track_offsets[:-1])


def pixels(events, view, n_sides):
    """(hit,) number of the pixel that each hit lights up, through all events."""
    hits = {**events.hits, "z": z_bin(events.hits["z_mm"])}
    shape = views.SHAPES[view]
    place = [hits[axis].astype(int) for axis in views.AXES[view]]
    image = events.hit_event * N_SIDES
    if n_sides == N_SIDES:
        image = image + hits["side"]
    return image * np.prod(shape) + np.ravel_multi_index(place, shape)


if __name__ == "__main__":
    lib.run(main)
