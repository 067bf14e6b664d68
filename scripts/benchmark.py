"""Measure speed and memory: whole commands, counters, generators, reading, views, line fits.

    python scripts/benchmark.py --json benchmark.json
    python scripts/benchmark.py --only commands
    python scripts/benchmark.py --only reading --memory-events 1000000

Speeds are events, of fits lines, per CPU second (process time over all threads), best of some repeats.

Commands are what a user types, from start to end, each in a process of its own: `find_tracks.py` on a file of
four-track events like data, `count_tracks.py` on one of mixed events. Beside each stands RANSAC on drift
radii on the same events, and the ratio of both speeds, which depends less on the machine.

Counters run on one thread: on batches of 1024 images in memory, and "from tables", as
`inference.count_probabilities` counts: images are made, events of like size go together. Memory is the
largest resident size of a process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from threadpoolctl import threadpool_limits

import inference
import lib
from datasets import views
from datasets.readers import hit_tree
from my_generator import realistic, straight_lines, toyhaystack

THREE_VIEWS = ("top", "side", "front")
IMAGES = 1024  # in a batch of a counter
BLOCK = 2048  # events whose images are made together, as in a training
FILE_BLOCK = 20480  # events that are written together
# Runs a command and tells what it used. It is small, as a process inherits the peak memory of its parent.
MEASURE = """
import json, os, subprocess, sys

process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    positive = lib.at_least(1)
    add("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="(default: all)")
    add(
        "--events", type=positive, default=50000, help="events a measurement (default: %(default)s)"
    )
    command_help = "events of the file of a command (default: %(default)s)"
    add("--command-events", type=positive, default=10000, metavar="N", help=command_help)
    memory_help = "events of the file for the memory of reading (default: none)"
    add("--memory-events", type=lib.at_least(0), default=0, metavar="N", help=memory_help)
    add("--models", nargs="+", metavar="NAME", help="(default: all shipped counters)")
    add("--repeats", type=positive, default=3, help="of a measurement (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the figures here")
    inference.add_engine(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    results = {}
    with threadpool_limits(1):
        for section in args.only:
            results[section] = SECTIONS[section](args)
            for name, value in results[section].items():
                print(f"{section:>10}  {name:<48} {value:>9}", flush=True)
    if args.json:
        lib.write_json(
            args.json, {"device": lib.describe_processor(), "events": args.events, **results}
        )
    return results


def best(function, n_events, repeats):
    """Events per CPU second of the fastest of some calls."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return round(n_events / min(seconds))


# ---- whole commands ----------------------------------------------------------------------------------------


def commands(args):
    """Speed and memory of what a user types, and RANSAC on the same events."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        of_four = realistic.generate(args.command_events, tracks=4, preset="data")
        out = ["--out", f"{folder}/found.root"]
        figures |= compare_with_ransac("find_tracks.py", of_four, out, folder, args.repeats)
        mixed = realistic.generate(args.command_events, preset="mix")
        out = ["--out", f"{folder}/counted"]
        figures |= compare_with_ransac("count_tracks.py", mixed, out, folder, args.repeats)
    return figures


def compare_with_ransac(script, events, flags, folder, repeats):
    """Figures of a script on a file of some events, and of RANSAC."""
    from finding import ransac

    path = Path(folder) / "events.root"
    hit_tree.write(path, events)
    command = [sys.executable, str(lib.ROOT / "scripts" / script), str(path), *flags]
    runs = [usage_of(command) for _ in range(repeats)]
    seconds = min(cpu_seconds for cpu_seconds, _ in runs)
    megabytes = max(peak for _, peak in runs)
    of_command = round(len(events) / seconds)
    of_ransac = best(partial(ransac.find, events), len(events), repeats)
    return {
        script: of_command,
        f"{script}, RANSAC on the same events": of_ransac,
        f"{script}, ratio to RANSAC": float(f"{of_command / of_ransac:.3g}"),
        f"{script}, CPU seconds": round(seconds, 2),
        f"{script}, peak memory, MB": megabytes,
    }


def usage_of(command):
    """(CPU seconds, peak memory in MB) of a command, with all that it starts.

    Raises:
        ValueError: it failed; says how.
    """
    measured = [sys.executable, "-c", MEASURE, *command]
    done = subprocess.run(measured, capture_output=True, text=True, check=True)
    status, seconds, kilobytes = json.loads(done.stdout)
    if status:
        raise ValueError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return seconds, round(kilobytes / 1024)


# ---- parts -------------------------------------------------------------------------------------------------


def generators(args):
    """Speeds of the ideal generators, by number of tracks."""
    figures = {}
    for generator in (straight_lines, toyhaystack):
        name = generator.__name__.split(".")[-1]
        for n_tracks in (1, 2, 3, 4):
            make = partial(generator.generate, args.events, n_tracks)
            figures[f"{name}, {n_tracks} tracks"] = best(make, args.events, args.repeats)
    return figures


def three_views(args):
    """Speed of making images."""
    events = straight_lines.generate(args.events)
    return {
        "three views from memory": best(partial(three_images, events), args.events, args.repeats)
    }


def three_images(events):
    """All three images of a table, a block of events at a time, as a training makes them."""
    for start in range(0, len(events), BLOCK):
        views.images(events[start : start + BLOCK], THREE_VIEWS)


def reading(args):
    """Speed of reading a file into images and, if that is asked for, the memory that it takes."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.root"
        write(path, args.events)
        figures["ROOT file to three views"] = best(
            partial(read_views, path), args.events, args.repeats
        )
        if args.memory_events:
            write(path, args.memory_events)
            program = f"from scripts import benchmark; benchmark.read_views({str(path)!r})"
            _, megabytes = usage_of([sys.executable, "-c", program])
            figures["peak memory, MB"] = megabytes
            figures["peak memory, events"] = args.memory_events
    return figures


def write(path, n_events):
    """Write a file of many events, some at a time."""

    def tables():
        for start in range(0, n_events, FILE_BLOCK):
            n = min(FILE_BLOCK, n_events - start)
            yield straight_lines.generate(n, first_event=start)

    hit_tree.write(path, tables())


def read_views(path):
    """Read a file into three images, a chunk at a time."""
    for events in hit_tree.stream(path):
        three_images(events)


def fits(args):
    """Lines per CPU second, of tracks as in data."""
    import numpy as np

    from datasets.drift import sigma_radius_mm
    from finding.labels import wires_mm
    from fitting import line, polyline

    events = realistic.generate(max(1, args.events // 5), preset="data")
    hits = events.hits
    first_track = events.track_offsets[events.hit_event]
    track = np.where(hits["track"] >= 0, first_track + hits["track"], -1)
    radius = hits["drift_radius_mm"]
    measured = (*wires_mm(events), radius, hits["z_mm"], 1.5 * sigma_radius_mm(radius), 15.0)
    n_tracks = len(events.tracks["side"])
    functions = {
        "lines": partial(line.fit, track, n_tracks, *measured),
        "lines, wrong hits left out": partial(line.fit, track, n_tracks, *measured, clip_sigma=5.0),
        "lines with or without a kink": partial(
            polyline.fit, track, n_tracks, hits["layer"], *measured
        ),
    }
    return {name: best(function, n_tracks, args.repeats) for name, function in functions.items()}


def models(args):
    """Speeds of counters."""
    figures = {}
    for name in args.models or lib.shipped_counters():
        network = inference.load(name, args.engine, threads=1)
        generator = toyhaystack if network.n_channels == 2 else straight_lines
        events = generator.generate(max(IMAGES, min(args.events, inference.BLOCK)))
        images = views.images(events[:IMAGES], tuple(network.inputs), network.n_channels)
        network.run(images)  # what is made at the first call
        figures[name] = best(partial(network.run, images), IMAGES, args.repeats)
        count = partial(inference.count_probabilities, events, network)
        figures[f"{name}, from tables"] = best(count, len(events), args.repeats)
    return figures


SECTIONS = {
    "commands": commands,
    "models": models,
    "generators": generators,
    "views": three_views,
    "reading": reading,
    "fits": fits,
}


if __name__ == "__main__":
    lib.run(main)
