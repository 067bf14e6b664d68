"""Write files of simulated events.

    python -m my_generator --tracks 1 2 3 4 --events 20000 --files 10 --seed 0 --out data/my_generator
    python -m my_generator --response data --out data/realistic
    python -m my_generator --kinks 0.5 --max-kinks 2 --out data/segments
    python -m my_generator --kind signal_like --sides opposite --events 20000 --out data/signal_like

The first makes `my_generator_t1_0.root` to `my_generator_t4_9.root`, 20000 ideal events each; the second
sends events with kinks through the detector (`response.py`); in the third half of the tracks are two or three
straight segments; the fourth makes `signal_like_t2_0.root`, as the kinds of `family.py` have their own number
of tracks and some an option. File i of n tracks depends on seed, n and i alone, so that an array of jobs can
make them one by one (`--first-file`); `generate.sh` is such a job.
"""

import argparse
import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import Progress

from datasets.readers import hit_tree
from my_generator import blocks, family, lines, realistic
from my_generator.response import PRESETS

OPTIONS = ("degrees", "paths", "sides")
LEAST = {
    "tracks": 1,
    "events": 1,
    "files": 1,
    "first_file": 0,
    "seed": 0,
    "max_kinks": 1,
    "degrees": 0,
}  # of what flags take


def parse_args(argv=None):
    parser = argparse.ArgumentParser(prog="python -m my_generator", description=__doc__.splitlines()[0])
    kinds = [*realistic.KINDS, *family.KINDS]
    parser.add_argument(
        "--kind",
        choices=kinds,
        default="my_generator",
        metavar="KIND",
        help=f"one of {', '.join(kinds)} (default: %(default)s)",
    )
    for_any_number = " and ".join(realistic.KINDS)
    parser.add_argument(
        "--tracks",
        type=int,
        nargs="+",
        help=f"{for_any_number}: files for each of these numbers (default: 1 2 3 4)",
    )
    parser.add_argument("--events", type=int, default=20000, help="events a file (default: %(default)s)")
    parser.add_argument(
        "--files", type=int, default=1, help="files for each number of tracks (default: %(default)s)"
    )
    parser.add_argument(
        "--first-file", type=int, default=0, help="number of the first file (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    options = parser.add_argument_group("options of a kind")
    options.add_argument(
        "--response",
        choices=PRESETS,
        help="what the detector makes of them; only my_generator has its kinks (default: ideal)",
    )
    options.add_argument(
        "--kinks",
        type=float,
        metavar="FRACTION",
        help="my_generator: of the tracks (default: the response's own fraction)",
    )
    options.add_argument(
        "--max-kinks",
        type=int,
        metavar="N",
        help="my_generator: most kinks of a track that has some (default: 1)",
    )
    options.add_argument(
        "--degrees",
        type=float,
        help=f"scatter: standard deviation of the kink in a plane (default: {lines.SCATTER_DEGREES:g})",
    )
    options.add_argument(
        "--paths",
        choices=["helices", "lines"],
        help="signal_like: with or without the field (default: helices)",
    )
    options.add_argument(
        "--sides",
        choices=["any", "same", "opposite"],
        help="signal_like: sides of the two electrons (default: any)",
    )
    args = parser.parse_args(argv)
    for name in ("tracks", "response", "kinks", "max_kinks", *OPTIONS):
        if getattr(args, name) is not None and name not in options_of(args.kind):
            parser.error(f"--{name.replace('_', '-')} does not go with --kind {args.kind}")
    for name, least in LEAST.items():
        for value in np.atleast_1d(getattr(args, name)):
            if value is not None and not value >= least:
                parser.error(f"--{name.replace('_', '-')} {value} is less than {least}")
    if args.kinks is not None and not 0 <= args.kinks <= 1:
        parser.error(f"--kinks {args.kinks} outside 0..1")
    return args


def options_of(kind):
    """Names of the flags that go with a kind."""
    if kind in realistic.KINDS:
        return ["tracks", "response", *(["kinks", "max_kinks"] if kind == "my_generator" else [])]
    return ["response", *inspect.signature(family.KINDS[kind][0]).parameters]


def tables(args, n_tracks, file):
    """Events of one file, a block at a time."""
    response = replace(PRESETS[args.response or "ideal"], max_kinks=args.max_kinks or 1)
    if args.kind in realistic.KINDS:
        make_block = realistic.block_maker(response, args.kind, args.kinks)
        return blocks.stream(make_block, args.events, n_tracks, [args.seed, n_tracks, file])
    options = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    return family.stream(args.kind, args.events, [args.seed, file], response=response, **options)


def main(argv=None):
    args = parse_args(argv)
    n_tracks = args.tracks or [1, 2, 3, 4] if args.kind in realistic.KINDS else [family.KINDS[args.kind][1]]
    numbers = [(n, i) for n in n_tracks for i in range(args.first_file, args.first_file + args.files)]
    with Progress() as progress:
        task = progress.add_task("events", total=len(numbers) * args.events)
        for n, i in numbers:
            path = args.out / f"{args.kind}_t{n}_{i}.root"
            hit_tree.write(path, counted(tables(args, n, i), progress, task))
    print(f"{len(numbers)} files in {args.out}")


def counted(tables, progress, task):
    """The same tables, advancing the bar."""
    for events in tables:
        yield events
        progress.advance(task, len(events))


if __name__ == "__main__":
    main()
