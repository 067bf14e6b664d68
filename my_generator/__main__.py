"""Write files of simulated events.

    python -m my_generator --tracks 1 2 3 4 --events 20000 --files 10 --seed 0 --out data/my_generator

makes `my_generator_t1_0.root` to `my_generator_t4_9.root`, 20000 events each. File i of n tracks depends on seed, n and i alone, so
that an array of jobs can make them one by one (`--first-file`); `generate.sh` is such a job. The kinds of `family` have their own
number of tracks and some an option:

    python -m my_generator --kind signal_like --sides opposite --events 20000 --out data/signal_like

makes `signal_like_t2_0.root`.
"""

import argparse
import inspect
from pathlib import Path

from rich.progress import Progress

from datasets import hit_tree
from my_generator import blocks, family, lines, straight_lines, toyhaystack

ANY_NUMBER = {"my_generator": straight_lines.make_block, "toyhaystack": toyhaystack.make_block}  # of tracks
OPTIONS = ("degrees", "paths", "sides")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(prog="python -m my_generator", description=__doc__.splitlines()[0])
    kinds = [*ANY_NUMBER, *family.KINDS]
    parser.add_argument(
        "--kind", choices=kinds, default="my_generator", metavar="KIND", help=f"one of {', '.join(kinds)} (default: %(default)s)"
    )
    parser.add_argument(
        "--tracks", type=int, nargs="+", help=f"{' and '.join(ANY_NUMBER)}: files for each of these numbers of tracks (default: 1 2 3 4)"
    )
    parser.add_argument("--events", type=int, default=20000, help="events a file (default: %(default)s)")
    parser.add_argument("--files", type=int, default=1, help="files for each number of tracks (default: %(default)s)")
    parser.add_argument("--first-file", type=int, default=0, help="number of the first file (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    options = parser.add_argument_group("options of a kind")
    options.add_argument(
        "--degrees", type=float, help=f"scatter: standard deviation of the kink in a plane (default: {lines.SCATTER_DEGREES:g})"
    )
    options.add_argument("--paths", choices=["helices", "lines"], help="signal_like: with or without the field (default: helices)")
    options.add_argument("--sides", choices=["any", "same", "opposite"], help="signal_like: sides of the two electrons (default: any)")
    args = parser.parse_args(argv)
    args.options = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    for name in [*args.options, *(["tracks"] if args.tracks else [])]:
        if name not in arguments_of(args.kind):
            parser.error(f"--{name} does not go with --kind {args.kind}")
    return args


def arguments_of(kind):
    """Names of the arguments that a kind has."""
    return ["tracks"] if kind in ANY_NUMBER else inspect.signature(family.KINDS[kind][0]).parameters


def tables(args, n_tracks, file):
    """Events of one file, a block at a time."""
    if args.kind in ANY_NUMBER:
        return blocks.stream(ANY_NUMBER[args.kind], args.events, n_tracks, [args.seed, n_tracks, file])
    return family.stream(args.kind, args.events, [args.seed, file], **args.options)


def main(argv=None):
    args = parse_args(argv)
    n_tracks = args.tracks or [1, 2, 3, 4] if args.kind in ANY_NUMBER else [family.KINDS[args.kind][1]]
    geometry = "my_generator" if args.kind == "my_generator" else "toyhaystack"  # so that readers of the files know it
    numbers = [(n, i) for n in n_tracks for i in range(args.first_file, args.first_file + args.files)]
    with Progress() as progress:
        task = progress.add_task("events", total=len(numbers) * args.events)
        for n, i in numbers:
            hit_tree.write(args.out / f"{args.kind}_t{n}_{i}.root", counted(tables(args, n, i), progress, task), geometry)
    print(f"{len(numbers)} files in {args.out}")


def counted(tables, progress, task):
    """The same tables, advancing the bar."""
    for events in tables:
        yield events
        progress.advance(task, len(events))


if __name__ == "__main__":
    main()
