"""Count the tracks (1 to 4) of an event in three views: trained counters joined by transfer learning.

    python scripts/combined.py --top top_my_generator --side runs/small/side --front runs/small/front --out runs/combined

The towers are counters trained by `number_of_tracks_classification.py`. Three of them have to run in the time
of one, so that most are of `--size small`. They are frozen while the new layers learn, then everything is
trained at a lower rate.
"""

import argparse

import lib
import metrics
import plotting
from architectures import view_transformer  # noqa: F401  towers may need its layers
from architectures.combined import combined_cnn, set_towers_trainable
from datasets import number_of_tracks
from my_generator import GENERATORS

VIEWS = ("top", "side", "front")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], parents=[lib.run_arguments(epochs=10)]
    )
    for view in VIEWS:
        parser.add_argument(
            f"--{view}", required=True, metavar="MODEL", help="trained counter, name or run folder"
        )
    parser.add_argument(
        "--frozen-epochs",
        type=int,
        default=1,
        help="epochs with frozen towers, before the others (default: %(default)s)",
    )
    lib.generator_arguments(parser, GENERATORS)
    parser.set_defaults(learning_rate=3e-4)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)
    towers = {view: getattr(args, view) for view in VIEWS}
    generate, n_sides = GENERATORS[args.generator]
    n_channels = args.sides or (number_of_tracks.sides_of_files(args.data) if args.data else n_sides)
    settings = {
        **lib.data_settings(args),
        "seed": args.seed + 1000,
    }  # other events than the towers were trained on
    steps = args.epoch_events // args.batch_size
    compiled = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    with lib.choose_strategy(args).scope():
        model = combined_cnn({view: load_tower(name, view, n_channels) for view, name in towers.items()})
        set_towers_trainable(model, False)
        model.compile(lib.optimizer(4e-3, args.frozen_epochs * steps), **compiled)
    data = number_of_tracks.load(VIEWS, generate=generate, n_channels=n_channels, **settings)
    if args.frozen_epochs and not lib.epochs_done(args):
        model.fit(
            data.train,
            validation_data=data.val,
            epochs=args.frozen_epochs,
            steps_per_epoch=steps,
            verbose=2,
            shuffle=False,
        )
    with lib.choose_strategy(args).scope():
        set_towers_trainable(model, True)
        model.compile(lib.optimizer(args.learning_rate, args.epochs * steps), **compiled)
    model.fit(
        data.train,
        validation_data=data.val,
        epochs=args.epochs,
        steps_per_epoch=steps,
        callbacks=lib.callbacks(args),
        verbose=2,
        shuffle=False,
    )
    model = lib.in_float32(model)
    scores = {}
    for name, test in data.tests.items():
        classes, probabilities = lib.predict(model, test)
        scores[name] = metrics.counting(classes + 1, probabilities, number_of_tracks.LABELS)
    lib.save_run(
        model,
        args,
        scores,
        {
            **data.description,
            "towers": {view: lib.load_card(name)["command"] for view, name in towers.items()},
        },
        "probability of 1, 2, 3 and 4 tracks",
        metrics.failures(scores["test"]),
    )
    plotting.history(lib.read_history(args.out / "history.csv"), args.out / "history.pdf")
    plotting.confusion(scores["test"]["confusion"], args.out / "confusion.pdf", title=args.out.name)
    lib.draw_model(model, args.out / "model.png")
    print(f"{metrics.describe(scores['test'])}\nin {args.out}")
    return scores


def load_tower(name, view, n_channels):
    """A trained counter of one view and of as many tracker sides as the events have channels."""
    tower = lib.load_model(name)
    names, n_sides = [tensor.name for tensor in tower.inputs], tower.inputs[0].shape[-1]
    if names != [view]:
        raise ValueError(f"--{view} {name}: a model of {', '.join(names)}")
    if n_sides != n_channels:
        raise ValueError(
            f"--{view} {name}: a counter of {n_sides} tracker sides, but the events have {n_channels} (--generator, --sides)"
        )
    return tower


if __name__ == "__main__":
    lib.run(main)
