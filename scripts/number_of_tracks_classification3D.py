"""Count the tracks (1 to 4) of an event with three-dimensional convolutions on voxels (layer, column, z).

    python scripts/number_of_tracks_classification3D.py --out runs/voxels

A voxel grid is thirty images: expect an hour on a laptop where the three views take minutes.
"""

import argparse

import lib
import metrics
import plotting
from architectures.conv3d import voxel_cnn
from datasets import number_of_tracks, number_of_tracks3D, views
from my_generator import GENERATORS


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], parents=[lib.run_arguments(epochs=10)]
    )
    lib.generator_arguments(parser, GENERATORS, epoch_events=16384, val_events=4096, test_events=16384)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)
    generate, n_sides = GENERATORS[args.generator]
    n_channels = args.sides or (number_of_tracks.sides_of_files(args.data) if args.data else n_sides)
    data = number_of_tracks3D.load(generate=generate, n_channels=n_channels, **lib.data_settings(args))
    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = voxel_cnn((*views.SHAPES["voxels"], n_channels))
        optimizer = lib.optimizer(args.learning_rate, args.epochs * steps)
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
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
        data.description,
        "probability of 1, 2, 3 and 4 tracks",
        metrics.failures(scores["test"]),
    )
    plotting.history(lib.read_history(args.out / "history.csv"), args.out / "history.pdf")
    plotting.confusion(scores["test"]["confusion"], args.out / "confusion.pdf", title=args.out.name)
    lib.draw_model(model, args.out / "model.png")
    print(f"{metrics.describe(scores['test'])}\nin {args.out}")
    return scores


if __name__ == "__main__":
    lib.run(main)
