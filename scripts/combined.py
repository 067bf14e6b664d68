r"""Count the tracks (1 to 4) of an event in three views: trained counters joined by transfer learning.

    python scripts/combined.py --top top_my_generator --side runs/small/side \
        --front runs/small/front --out runs/combined

The towers are counters trained by `number_of_tracks_classification.py`. Three of them have to run in little
more than the time of one, so that most are of `--size small`. They are frozen while the new layers learn,
then everything is trained at a lower rate.
"""

import argparse

import lib
import metrics
import plotting
from datasets import batches, number_of_tracks
from my_generator import GENERATORS

VIEWS = ("top", "side", "front")


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=10)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
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

    import inference
    from architectures import optimizer
    from architectures.combined import combined_cnn, set_towers_trainable

    towers = {view: getattr(args, view) for view in VIEWS}
    generate, n_sides = GENERATORS[args.generator]
    n_channels = number_of_tracks.n_channels_for(args.sides, args.data, n_sides)
    steps = args.epoch_events // args.batch_size
    compiled = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    with lib.choose_strategy(args).scope():
        model = combined_cnn(
            {view: load_tower(name, view, n_channels) for view, name in towers.items()}
        )
        set_towers_trainable(model, False)
        model.compile(optimizer.muon(4e-3, args.frozen_epochs * steps), **compiled)
    task = number_of_tracks.task(VIEWS, n_channels)
    settings = lib.data_settings(args)
    settings["seed"] += 1000  # other events than the towers were trained on
    data = batches.load(task, generate, **settings)
    if args.frozen_epochs and not lib.epochs_done(args):
        frozen = {
            "epochs": args.frozen_epochs,
            "steps_per_epoch": steps,
            "verbose": 2,
            "shuffle": False,
        }
        model.fit(data.train, validation_data=data.val, **frozen)
    with lib.choose_strategy(args).scope():
        set_towers_trainable(model, True)
        model.compile(optimizer.muon(args.learning_rate, args.epochs * steps), **compiled)
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    scores = inference.test_counter(model, data.tests)
    data.description["towers"] = {
        view: lib.load_card(name)["command"] for view, name in towers.items()
    }
    failures = metrics.failures(scores["test"])
    lib.finish(
        model, args, scores, data.description, "probability of 1, 2, 3 and 4 tracks", failures
    )
    found = scores["test"]
    plotting.confusion(
        found["confusion"], args.out / "confusion.pdf", found["labels"], args.out.name
    )
    print(f"{metrics.describe(found)}\nin {args.out}")
    return scores


def load_tower(name, view, n_channels):
    """A trained counter of one view and of as many tracker sides as the events have channels."""
    tower = lib.load_model(name)
    names = [tensor.name for tensor in tower.inputs]
    if names != [view]:
        raise ValueError(f"--{view} {name}: a model of {', '.join(names)}")
    n_sides = tower.inputs[0].shape[-1]
    if n_sides != n_channels:
        said = f"a counter of {n_sides} tracker sides, but the events have {n_channels}"
        raise ValueError(f"--{view} {name}: {said} (--generator, --sides)")
    return tower


if __name__ == "__main__":
    lib.run(main)
