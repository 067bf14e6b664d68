"""Write files of simulated events.

    python -m my_generator --tracks 1 2 3 4 --events 20000 --files 10 --seed 0 --out data/my_generator
    python -m my_generator --response data --out data/realistic

The first makes `my_generator_t1_0.root` to `my_generator_t4_9.root`, 20000 events each, ideal ones; the second sends events with kinks
through the detector (`response.py`). File i of n tracks depends on seed, n and i alone, so that an array of jobs can make them one by
one (`--first-file`); `generate.sh` is such a job.
"""

import argparse
from pathlib import Path

from rich.progress import Progress

from datasets import hit_tree
from my_generator import blocks, realistic
from my_generator.response import PRESETS


def parse_args(argv=None):
    parser = argparse.ArgumentParser(prog="python -m my_generator", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=realistic.KINDS, default="my_generator", help="which generator (default: %(default)s)")
    parser.add_argument("--tracks", type=int, nargs="+", default=[1, 2, 3, 4], help="numbers of tracks, files for each (default: 1 2 3 4)")
    parser.add_argument("--events", type=int, default=20000, help="events a file (default: %(default)s)")
    parser.add_argument("--files", type=int, default=1, help="files for each number of tracks (default: %(default)s)")
    parser.add_argument("--first-file", type=int, default=0, help="number of the first file (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--response", choices=PRESETS, default="ideal", help="what the detector makes of them (default: %(default)s)")
    parser.add_argument(
        "--kinks", type=float, metavar="FRACTION", help="of the tracks; only my_generator has any (default: the response's own fraction)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    args = parser.parse_args(argv)
    if args.kinks is not None and not 0 <= args.kinks <= 1:
        parser.error(f"--kinks {args.kinks} outside 0..1")
    if args.kinks and args.kind != "my_generator":
        parser.error(f"--kinks {args.kinks}: only my_generator has kinks")
    return args


def main(argv=None):
    args = parse_args(argv)
    make_block = realistic.block_maker(args.response, args.kind, args.kinks)
    numbers = [(n, i) for n in args.tracks for i in range(args.first_file, args.first_file + args.files)]
    with Progress() as progress:
        task = progress.add_task("events", total=len(numbers) * args.events)
        for n, i in numbers:
            tables = blocks.stream(make_block, args.events, n, [args.seed, n, i])
            hit_tree.write(args.out / f"{args.kind}_t{n}_{i}.root", counted(tables, progress, task), args.kind)
    print(f"{len(numbers)} files in {args.out}")


def counted(tables, progress, task):
    """The same tables, advancing the bar."""
    for events in tables:
        yield events
        progress.advance(task, len(events))


if __name__ == "__main__":
    main()
