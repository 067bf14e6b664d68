"""Count the tracks (1 to 4) of an event in the top view by capsules.

    python scripts/capsnet.py --test-data '../shared/data/root/my_generator_t*_0.root' --out runs/capsnet

The network has a capsule for each number of tracks. It learns that of the true number to be long and the
others to be short, and beside it to draw the event from the true one. The counter that is saved gives
probabilities as every counter does: a power of the lengths, each divided by the sum of all. The power is
chosen on the validation events.

Trains on fresh events of a generator, or on files (`--data`), and writes model, card, history, confusion matrix
and `drawn.pdf`, events of the validation and how they are drawn, to the run folder. The test events, and the
files of `--test-data`, are looked at once, at the end.
"""

import argparse

import numpy as np

import lib
import metrics
import outputs
import plotting
from datasets import batches, number_of_tracks, views
from my_generator import GENERATORS

OUTPUTS = "probability of 1, 2, 3 and 4 tracks"
ROUTINGS = ("agreement", "em")  # those of `capsule_lib`, which needs Keras
N_DRAWN = 2  # events of each number of tracks


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=12, batch_size=128)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    add = parser.add_argument
    add(
        "--routing",
        choices=ROUTINGS,
        default="agreement",
        help="of the capsules (default: %(default)s)",
    )
    iterations_help = (
        "of the routing; 1 sends every vote to all numbers alike (default: %(default)s)"
    )
    add("--iterations", type=lib.at_least(1), default=3, help=iterations_help)
    weight_help = "of a drawing's squared errors, summed over pixels; 0: it is not learned (default: %(default)s)"
    add("--drawing-weight", type=float, default=0.0005, help=weight_help)
    lib.generator_arguments(parser, GENERATORS)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    import capsule_lib
    import inference
    from architectures import capsnet, optimizer

    generate, n_sides = GENERATORS[args.generator]
    n_channels = number_of_tracks.n_channels_for(args.sides, args.data, n_sides)
    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        shape = (*views.SHAPES["top"], n_channels)
        model = capsnet.capsule_network(shape, n_iterations=args.iterations, routing=args.routing)
        model.compile(
            optimizer.muon(args.learning_rate, args.epochs * steps),
            loss={"lengths": capsule_lib.margin_loss, "drawing": capsule_lib.squared_errors},
            loss_weights={"lengths": 1.0, "drawing": args.drawing_weight},
            metrics={"lengths": ["accuracy"]},
        )
    data = batches.load(task(n_channels), generate, **lib.data_settings(args))
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    counter = capsnet.counter_of(model, power_of(model, data.val_events, n_channels))
    scores = inference.test_counter(counter, data.tests)
    failures = metrics.failures(scores["test"])
    if args.generator in lib.IDEAL and not args.data:
        failures += lib.KNOWS_IDEAL
    lib.finish(counter, args, scores, data.description, OUTPUTS, failures)
    found = scores["test"]
    plotting.confusion(
        found["confusion"], args.out / "confusion.pdf", found["labels"], args.out.name
    )
    if args.drawing_weight:
        draw(capsnet.drawer_of(model), data.val_events, n_channels, args.out / "drawn.pdf")
    print(f"{metrics.describe(found)}\nin {args.out}")
    return scores


def task(n_channels):
    """What the network learns: the number of tracks of an image; and, told the number, to draw the image."""
    counting = number_of_tracks.task(("top",), n_channels)

    def inputs(events):
        number = np.eye(len(number_of_tracks.LABELS), dtype=np.uint8)[counting.labels(events)]
        return {"top": counting.inputs(events), "number": number}

    def labels(events):
        return {"lengths": counting.labels(events), "drawing": counting.inputs(events)}

    def signature():
        import tensorflow as tf

        image, number = counting.signature()
        numbers = tf.TensorSpec((None, len(number_of_tracks.LABELS)), tf.uint8)
        return {"top": image, "number": numbers}, {"lengths": number, "drawing": image}

    return batches.Task(inputs, labels, signature, check=counting.check)


def power_of(model, events, n_channels):
    """The power of lengths with which the true numbers of events are most probable."""
    import capsule_lib
    from architectures import capsnet

    lengths_of = capsnet.lengths_of(model)
    lengths = lengths_of.predict(views.top_view(events, n_channels), batch_size=128, verbose=0)
    return capsule_lib.best_power(number_of_tracks.classes(events), lengths)


def draw(drawer, events, n_channels, path):
    """Draw some events of each number of tracks, and beneath each what its longest capsule makes of it."""
    from matplotlib.figure import Figure

    n_tracks = events.info["n_tracks"]
    chosen = [np.flatnonzero(n_tracks == n)[:N_DRAWN] for n in number_of_tracks.LABELS]
    chosen = np.concatenate(chosen)
    images = views.top_view(events[chosen], n_channels)
    drawn = drawer.predict(images, verbose=0)
    figure = Figure(figsize=(9, 1.5 * len(chosen)), layout="constrained")
    axes = figure.subplots(2 * len(chosen), 1, squeeze=False)[:, 0]
    for row, event in enumerate(chosen):
        both = (
            (images[row].max(-1), metrics.number_of(n_tracks[event])),
            (drawn[row].max(-1), "drawn"),
        )
        for ax, (image, name) in zip(axes[2 * row : 2 * row + 2], both, strict=True):
            ax.imshow(image, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="none")
            ax.set_ylabel(name, rotation=0, ha="right", va="center")
            ax.set_xticks([])
            ax.set_yticks([])
    axes[-1].set_xlabel("column along the foil; layers downwards, nearest to the foil on top")
    with outputs.whole(path) as temporary:
        figure.savefig(temporary)


if __name__ == "__main__":
    lib.run(main)
