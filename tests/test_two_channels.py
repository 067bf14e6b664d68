"""Growing a track from its seed: by the line through it, and by networks of two channels."""

import keras
import numpy as np
import pytest
from conftest import random_events
from keras import ops

import architectures
import inference
import lib
from architectures import two_channels
from datasets import clustering_images
from datasets.events import make_events
from finding import by_images, from_seed
from my_generator import realistic
from scripts import two_channels as script

TINY = ["--epochs", "1", "--epoch-events", "16", "--batch-size", "8", "--val-events", "8"]


def image_of(cells, seed, shape=(116, 12)):
    """(1, column, layer, 2) of cells (column, layer), and of one of them as the seed."""
    image = np.zeros((1, *shape, 2), np.uint8)
    for column, layer in cells:
        image[0, column, layer, 0] = 1
    image[0, *seed, 1] = 1
    return image


def on_track(image, **options):
    said = from_seed.say(image, **options)
    assert said.shape == (*image.shape[:3], 1) and (np.abs(said) == from_seed.SURE).all()
    return {tuple(map(int, cell)) for cell in np.argwhere(said[0, ..., 0] > 0)}


# ---- the line through the seed -----------------------------------------------------------------------------


def test_the_longer_of_two_lines_through_the_seed_is_taken_whole():
    long = [(50 + i, 10 - i) for i in range(8)]
    short = [(50 - 2 * i, 10 - i) for i in range(1, 4)]
    assert on_track(image_of([*long, *short], (50, 10)), off=0.5, gap=3.0) == set(long)


def test_what_lies_beyond_a_gap_is_not_of_the_track():
    near = [(20, layer) for layer in (10, 9, 8, 6)]
    far = [(20, 2)]
    image = image_of([*near, *far], (20, 10))
    assert on_track(image, gap=2.5) == set(near)
    assert on_track(image, gap=4.0) == {*near, *far}


def test_lines_depend_on_no_other_image_and_a_turned_image_gives_a_turned_line():
    images = clustering_images.seeded(realistic.generate(60, preset="data", seed=3))
    said = from_seed.say(images)
    np.testing.assert_array_equal(from_seed.say(images[37:38])[0], said[37])
    turned = from_seed.say(images[:, ::-1, ::-1])
    same = (turned[:, ::-1, ::-1] == said).all((1, 2, 3))
    assert same.mean() > 0.9  # of lines with as many cells, none is better


def test_a_seed_alone_is_its_track_and_without_a_seed_nothing_grows():
    assert on_track(image_of([(5, 5)], (5, 5))) == {(5, 5)}
    without = image_of([(5, 5), (6, 5)], (5, 5))
    without[..., 1] = 0
    assert on_track(without) == set()
    assert from_seed.say(np.zeros((0, 116, 12, 2), np.uint8)).shape == (0, 116, 12, 1)
    assert (from_seed.say(np.zeros((2, 116, 12, 2), np.uint8)) < 0).all()


def test_straight_tracks_far_apart_are_found_by_lines_through_outermost_hits():
    hits = {
        "layer": [*range(9), *range(9)],
        "column": [20] * 9 + [80] * 9,
        "track": [0] * 9 + [1] * 9,
    }
    events = make_events(hits, [0, 18], {"side": [1, 1]}, [0, 2], {"n_tracks": [2]})
    np.testing.assert_array_equal(by_images.by_seeds(events, from_seed.say), hits["track"])


def test_every_event_is_taken():
    events = random_events(3, [0, 1, 2, 1017, 40, 0])
    found = by_images.by_seeds(events, from_seed.say)
    assert found.shape == (1060,) and found.dtype == np.int16


# ---- networks ----------------------------------------------------------------------------------------------


def test_one_layer_sees_half_a_filter_and_a_deep_network_all_columns():
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    for build, reach in ((two_channels.one_layer, 15), (two_channels.deep, 115)):
        model = build()
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D):
                layer.kernel.assign(ops.abs(layer.kernel))  # so that no two ways cancel
        image = tf.Variable(np.ones((1, 116, 12, 2), np.float32))
        with tf.GradientTape() as tape:
            said = model(image, training=False)["cells"][0, 0, 6, 0]
        seen = tape.gradient(said, image).numpy()[0].any((1, 2))
        assert np.flatnonzero(seen).max() == reach


def test_one_layer_is_as_small_as_it_says():
    assert two_channels.one_layer().count_params() == 31 * 17 * 2 * 16 + 16 + 16 + 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one_layer"
    flags = ["--out", str(folder), *TINY, "--test-events", "20", "--generator", "data"]
    return folder, script.main(flags)


def test_a_run_has_a_row_of_the_line_and_says_the_same_when_loaded(run):
    folder, scores = run
    assert set(scores["test"]["cells"]) == {"network", "keep all", "remove all", "line of the seed"}
    assert scores["test"]["cells"]["line of the seed"]["all"]["balanced"]["value"] > 0.8
    assert "clustering" in scores["test"]
    network = inference.load(folder)
    assert inference.answers_of_images(network) == "seeded"
    images = clustering_images.seeded(realistic.generate(4, seed=1))
    model = architectures.load(folder / "model.keras")
    expected = ops.convert_to_numpy(model(images)["cells"])
    np.testing.assert_allclose(
        network.run({"padded": images})["cells"], expected, rtol=1e-5, atol=1e-6
    )
    assert lib.load_card(folder)["arguments"]["network"] == "one_layer"
