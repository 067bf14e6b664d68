"""Measure speed and memory: generators, reading, views, line fits, shipped counters.

    python scripts/benchmark.py --json benchmark.json
    python scripts/benchmark.py --only reading --memory-events 1000000

All speeds are events, of fits lines, per CPU second (process time over all threads), best of some repeats;
models run on one thread, on batches of 1024 images in memory, and "from tables", as
`number_of_tracks.predict` counts: images are made, events of like size go together. The memory figure is the
peak resident size of a process that streams a file of that many events into images.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from datasets import views
from datasets.drift import sigma_radius_mm
from datasets.geometry import CELL_MM, TOY_FIRST_WIRE_MM, wire_y_mm
from datasets.readers import hit_tree
from fitting import polyline
from fitting.line import fit as fit_lines
from my_generator import realistic, straight_lines, toyhaystack

SECTIONS = ("generators", "views", "reading", "fits", "models")
THREE_VIEWS = ("top", "side", "front")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="(default: all)")
    parser.add_argument(
        "--events", type=int, default=50000, help="events a measurement (default: %(default)s)"
    )
    parser.add_argument(
        "--memory-events",
        type=int,
        default=0,
        help="events of the file for the memory figure (default: none)",
    )
    parser.add_argument("--models", nargs="+", metavar="NAME", help="(default: all shipped)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def best(function, n_events, repeats=3):
    """Events per CPU second of the fastest of some calls."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return round(n_events / min(seconds))


def generators(args):
    made = {}
    for name, generate in (
        ("straight_lines", straight_lines.generate),
        ("toyhaystack", toyhaystack.generate),
    ):
        for n in (1, 2, 3, 4):
            made[f"{name}, {n} tracks"] = best(
                lambda generate=generate, n=n: generate(args.events, n), args.events
            )
    return made


def three_views(args):
    events = straight_lines.generate(args.events)
    return {"three views from memory": best(lambda: three_images(events), args.events)}


def three_images(events, block=2048):
    """All three images of a table, a block of events at a time, as a training makes them."""
    for start in range(0, len(events), block):
        views.images(events[start : start + block], THREE_VIEWS)


def reading(args):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.root"
        write(path, args.events)
        figures = {"ROOT file to three views": best(lambda: stream_views(path), args.events)}
        if args.memory_events:
            write(path, args.memory_events)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                figures["peak memory, MB"] = pool.apply(stream_views, (path,))
            figures["peak memory, events"] = args.memory_events
    return figures


def write(path, n_events, block=20480):
    hit_tree.write(
        path,
        (straight_lines.generate(min(block, n_events - i), first_event=i) for i in range(0, n_events, block)),
    )


def stream_views(path):
    """Read a file into three images, a chunk at a time; the process' peak memory in MB."""
    for events in hit_tree.stream(path):
        three_images(events)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def fits(args):
    """Lines per CPU second, of tracks as in data."""
    events = realistic.generate(args.events // 5, preset="data")
    hits = events.hits
    line = np.where(hits["track"] >= 0, events.track_offsets[events.hit_event] + hits["track"], -1)
    x = TOY_FIRST_WIRE_MM + CELL_MM * hits["layer"].astype(float)
    errors = 1.5 * sigma_radius_mm(hits["drift_radius_mm"]), 15.0
    values = x, wire_y_mm(hits["column"].astype(float)), hits["drift_radius_mm"], hits["z_mm"], *errors
    n_lines = len(events.tracks["side"])
    return {
        "lines": best(lambda: fit_lines(line, n_lines, *values), n_lines),
        "lines, wrong hits left out": best(
            lambda: fit_lines(line, n_lines, *values, clip_sigma=5.0), n_lines
        ),
        "lines with or without a kink": best(
            lambda: polyline.fit(line, n_lines, hits["layer"], *values), n_lines
        ),
    }


def models(args):
    """Speeds of shipped counters, measured in a process of its own: TensorFlow's threads are set before it
    starts.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(model_speeds, (args.models, args.events))


def model_speeds(names, n_events):
    import tensorflow as tf

    import lib
    from architectures import view_transformer  # noqa: F401  saved counters need its layers
    from datasets import number_of_tracks

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    speeds = {}
    for name in names or lib.shipped_counters():
        model = lib.load_model(name)
        inputs, n_channels = tuple(tensor.name for tensor in model.inputs), model.inputs[0].shape[-1]
        n = max(1024, min(n_events, number_of_tracks.PREDICTED_BLOCK))
        events = (toyhaystack if n_channels == 2 else straight_lines).generate(n)
        batch = tf.nest.map_structure(tf.constant, number_of_tracks.images(events[:1024], inputs, n_channels))
        run = tf.function(lambda x, model=model: model(x, training=False))
        run(batch)
        speeds[name] = best(lambda run=run, batch=batch: run(batch), 1024, repeats=5)
        speeds[f"{name}, from tables"] = best(
            lambda model=model, events=events: number_of_tracks.predict(model, events), len(events)
        )
    return speeds


def main(argv=None):
    args = parse_args(argv)
    measure = {
        "generators": generators,
        "views": three_views,
        "reading": reading,
        "fits": fits,
        "models": models,
    }
    results = {}
    for section in args.only:
        results[section] = measure[section](args)
        for name, value in results[section].items():
            print(f"{section:>10}  {name:<36} {value:>9}", flush=True)
    if args.json:
        import lib

        lib.write_json(args.json, {"device": lib.describe_device(), "events": args.events, **results})
    return results


if __name__ == "__main__":
    main()
