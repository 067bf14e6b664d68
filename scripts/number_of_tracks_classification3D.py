"""Count the tracks (1 to 4) of an event with three-dimensional convolutions on voxels (layer, column, z).

    python scripts/number_of_tracks_classification3D.py --out runs/voxels

A voxel grid is thirty images: expect an hour on a laptop where the three views take minutes.
"""

import argparse

import lib
import metrics
import plotting
from datasets import batches, number_of_tracks, number_of_tracks3D, views
from my_generator import GENERATORS


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=10)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    lib.generator_arguments(
        parser, GENERATORS, epoch_events=16384, val_events=4096, test_events=16384
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    import inference
    from architectures import optimizer
    from architectures.conv3d import voxel_cnn

    generate, n_sides = GENERATORS[args.generator]
    n_channels = number_of_tracks.n_channels_for(args.sides, args.data, n_sides)
    task = number_of_tracks3D.task(n_channels=n_channels)
    data = batches.load(task, generate, block=number_of_tracks3D.BLOCK, **lib.data_settings(args))
    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = voxel_cnn((*views.SHAPES["voxels"], n_channels))
        muon = optimizer.muon(args.learning_rate, args.epochs * steps)
        model.compile(muon, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    lib.fit(model, data, args, steps)

    model = lib.in_float32(model)
    scores = inference.test_counter(model, data.tests)
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


if __name__ == "__main__":
    lib.run(main)
