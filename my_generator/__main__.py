"""Write files of simulated events.

    python -m my_generator --tracks 1 2 3 4 --events 20000 --files 10 --seed 0 --out data/my_generator
    python -m my_generator --response data --out data/realistic
    python -m my_generator --kinks 0.5 --max-kinks 2 --out data/segments
    python -m my_generator --kind signal_like --sides opposite --events 20000 --out data/signal_like
    python -m my_generator --kind electrons --tracks 2 --response data --out data/electrons

The first makes `my_generator_t1_0.root` to `my_generator_t4_9.root`, 20000 ideal events each. The second
sends events with kinks through the detector (`response.py`). In the third half of the tracks are two or three
straight segments. The fourth makes `signal_like_t2_0.root`: the kinds of `family.py` have their own number of
tracks, and some have an option. In the last, tracks are bent by the magnetic field and scattered by the gas
(`electrons.py`).

File i of n tracks depends on seed, n and i alone. An array of jobs can therefore make the files one by one,
with `--first-file`; `generate.sh` is such a job. A file appears when it is whole.
"""

import argparse
import inspect
from dataclasses import replace

from rich.progress import Progress

import lib
from datasets.readers import hit_tree
from my_generator import blocks, electrons, family, lines, realistic
from my_generator.response import PRESETS

OPTIONS = ("degrees", "paths", "sides", "field_gauss")  # of kinds of `family`
ANY_NUMBER = ", ".join(
    [*realistic.KINDS, *realistic.KINDS_OF_MIX]
)  # kinds that have any number of tracks


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m my_generator", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    positive = lib.at_least(1)
    natural = lib.at_least(0)
    kinds = [*realistic.KINDS, *realistic.KINDS_OF_MIX, *family.KINDS]
    kind_help = f"one of {', '.join(kinds)} (default: %(default)s)"
    add("--kind", choices=kinds, default="my_generator", metavar="KIND", help=kind_help)
    tracks_help = f"{ANY_NUMBER}: files for each of these numbers (default: 1 2 3 4)"
    add("--tracks", type=positive, nargs="+", metavar="N", help=tracks_help)
    add("--events", type=positive, default=20000, help="events a file (default: %(default)s)")
    files_help = "files for each number of tracks (default: %(default)s)"
    add("--files", type=positive, default=1, help=files_help)
    first_help = "number of the first file (default: %(default)s)"
    add("--first-file", type=natural, default=0, metavar="I", help=first_help)
    add("--seed", type=natural, default=0, help="(default: %(default)s)")
    add("--out", type=lib.folder, required=True, metavar="FOLDER")

    add = parser.add_argument_group("options of a kind").add_argument
    response_help = (
        "what the detector makes of them; only my_generator has its kinks (default: ideal)"
    )
    add("--response", choices=PRESETS, help=response_help)
    kinks_help = "my_generator: of the tracks (default: the response's own fraction)"
    add("--kinks", type=fraction, metavar="FRACTION", help=kinks_help)
    max_kinks_help = "my_generator: most kinks of a track that has some (default: 1)"
    add("--max-kinks", type=positive, metavar="N", help=max_kinks_help)
    width = f"{lines.SCATTER_DEGREES:g}"
    degrees_help = f"scatter: standard deviation of the kink in a plane (default: {width})"
    add("--degrees", type=angle, help=degrees_help)
    paths_help = (
        "signal_like: with or without the field, or scattered by the gas too (default: helices)"
    )
    add("--paths", choices=["helices", "lines", "scattered"], help=paths_help)
    field_help = (
        f"electron kinds: magnetic field along the wires (default: {electrons.FIELD_GAUSS:g})"
    )
    add("--field-gauss", type=angle, metavar="GAUSS", help=field_help)
    sides_help = "signal_like: sides of the two electrons (default: any)"
    add("--sides", choices=["any", "same", "opposite"], help=sides_help)

    args = parser.parse_args(argv)
    for name in ("tracks", "response", "kinks", "max_kinks", *OPTIONS):
        if getattr(args, name) is not None and name not in options_of(args.kind):
            parser.error(f"--{name.replace('_', '-')} does not go with --kind {args.kind}")
    return args


def fraction(text):
    """The type of a flag that takes a part of all, from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is outside 0..1")
    return value


def angle(text):
    """The type of a flag that takes an angle or a field."""
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value


def has_any_number(kind):
    """Whether events of a kind may have any number of tracks."""
    return kind in realistic.KINDS or kind in realistic.KINDS_OF_MIX


def options_of(kind):
    """Names of the flags that go with a kind."""
    if kind == "my_generator":
        return ["tracks", "response", "kinks", "max_kinks"]
    if has_any_number(kind):
        return ["tracks", "response"]
    make_events, _ = family.KINDS[kind]
    return ["response", *inspect.signature(make_events).parameters]


def numbers_of_tracks(args):
    """The numbers of tracks that there are files for."""
    if has_any_number(args.kind):
        return args.tracks or [1, 2, 3, 4]
    _, n_tracks = family.KINDS[args.kind]
    return [n_tracks]


def tables(args, n_tracks, file):
    """Events of one file, a block at a time."""
    response = PRESETS[args.response or "ideal"]
    if args.max_kinks:
        response = replace(response, max_kinks=args.max_kinks)
    if has_any_number(args.kind):
        make_block = realistic.block_maker(response, args.kind, args.kinks)
        return blocks.stream(make_block, args.events, n_tracks, [args.seed, n_tracks, file])
    options = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    return family.stream(args.kind, args.events, [args.seed, file], response=response, **options)


def main(argv=None):
    args = parse_args(argv)
    numbers = numbers_of_tracks(args)
    n_files = len(numbers) * args.files
    with Progress() as progress:
        bar = progress.add_task("events", total=n_files * args.events)
        for n_tracks in numbers:
            for file in range(args.first_file, args.first_file + args.files):
                path = args.out / f"{args.kind}_t{n_tracks}_{file}.root"
                events = tables(args, n_tracks, file)
                hit_tree.write(path, counted(events, progress, bar))
    print(f"{n_files} files in {args.out}")


def counted(tables, progress, bar):
    """The same tables, advancing the bar."""
    for events in tables:
        yield events
        progress.advance(bar, len(events))


if __name__ == "__main__":
    lib.run(main)
