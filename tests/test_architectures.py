import keras
import numpy as np
import pytest

from architectures.combined import combined_cnn, set_towers_trainable
from architectures.conv3d import voxel_cnn
from architectures.front import front_view_cnn, front_view_transformer
from architectures.side import side_view_cnn, side_view_transformer
from architectures.top import top_view_cnn, top_view_transformer
from architectures.top_big import top_big_cnn
from architectures.view_transformer import counter_of
from datasets.views import SHAPES

SMALL = {"stem_filters": 4, "stages": ((8, (1, 2), 1), (8, (2, 2), 1)), "n_hidden": 8}
SINGLE_VIEW = {
    "top": lambda **kwargs: top_view_cnn(**SMALL, **kwargs),
    "side": lambda **kwargs: side_view_cnn(**SMALL, **kwargs),
    "front": lambda **kwargs: front_view_cnn(**SMALL, **kwargs),
    "top_transformer": lambda **kwargs: counter_of(
        top_view_transformer(width=16, n_layers=1, **kwargs)
    ),
    "side_transformer": lambda **kwargs: counter_of(
        side_view_transformer(width=16, n_layers=1, **kwargs)
    ),
    "front_transformer": lambda **kwargs: counter_of(
        front_view_transformer(width=16, n_layers=1, **kwargs)
    ),
    "top_big": lambda **kwargs: top_big_cnn(filters=(4, 8), n_hidden=(16,), dropout=0.0, **kwargs),
    "voxels": lambda **kwargs: voxel_cnn(filters=(4, 8), n_hidden=8, **kwargs),
}


def random_images(model, n=8, seed=0):
    """(n, ...) images with a few lit cells, or view -> images, as the model takes them."""
    rng = np.random.default_rng(seed)
    images = {
        x.name: (rng.random((n, *x.shape[1:])) < 0.05).astype("float32") for x in model.inputs
    }
    return images if len(images) > 1 else next(iter(images.values()))


def combined(trained=False):
    towers = {view: SINGLE_VIEW[view]() for view in ("top", "side", "front")}
    if trained:  # weights that are not those a new model starts with
        for tower in towers.values():
            tower.set_weights(
                [np.random.default_rng(1).normal(0, 0.1, w.shape) for w in tower.get_weights()]
            )
    return towers, combined_cnn(towers, n_hidden=8)


@pytest.fixture(params=[*SINGLE_VIEW, "combined"])
def model(request):
    keras.utils.set_random_seed(0)
    return combined()[1] if request.param == "combined" else SINGLE_VIEW[request.param]()


def test_output_is_a_probability_for_each_class(model):
    output = model.predict(random_images(model), verbose=0)
    assert output.shape == (8, 4)
    assert (output >= 0).all()
    np.testing.assert_allclose(output.sum(1), 1, rtol=1e-5)


def test_saved_and_loaded_model_gives_the_same_output(model, tmp_path):
    model.save(tmp_path / "model.keras")
    images = random_images(model)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6
    )


def test_one_batch_can_be_learned_by_heart(model):
    images, labels = random_images(model), np.arange(8) % 4
    model.compile(keras.optimizers.Adam(5e-3), loss="sparse_categorical_crossentropy")
    for _ in range(400):
        loss = model.train_on_batch(images, labels)
        if loss < 0.1:
            break
    assert loss < 0.1


@pytest.mark.parametrize("view", SINGLE_VIEW)
def test_two_tracker_sides_are_two_channels(view):
    shape = SHAPES[view.split("_")[0]]
    model = SINGLE_VIEW[view](input_shape=(*shape, 2))
    assert model.input_shape == (None, *shape, 2)
    assert model.output_shape == (None, 4)


@pytest.mark.parametrize("build", [top_view_cnn, side_view_cnn, front_view_cnn])
def test_shipped_networks_are_small(build):
    assert build().count_params() < 320_000


def test_combined_model_is_under_half_a_million_parameters():
    towers = {"top": top_view_cnn(), "side": side_view_cnn(), "front": front_view_cnn()}
    assert combined_cnn(towers).count_params() < 500_000


def test_combined_model_computes_the_features_of_its_trained_towers():
    towers, joined = combined(trained=True)
    images = random_images(joined)
    features = keras.Model(
        joined.inputs, [joined.get_layer(f"{view}_features").output for view in towers]
    )
    for (view, tower), got in zip(towers.items(), features.predict(images, verbose=0), strict=True):
        alone = keras.Model(tower.inputs, tower.get_layer("features").output)
        np.testing.assert_allclose(got, alone.predict(images[view], verbose=0), atol=1e-6)


def test_transformers_can_be_towers(tmp_path):
    towers = {
        "top": SINGLE_VIEW["top"](),
        "side": SINGLE_VIEW["side_transformer"](),
        "front": SINGLE_VIEW["front_transformer"](),
    }
    joined = combined_cnn(towers, n_hidden=8)
    images = random_images(joined)
    features = keras.Model(joined.inputs, joined.get_layer("side_features").output)
    alone = keras.Model(towers["side"].inputs, towers["side"].get_layer("features").output)
    np.testing.assert_allclose(
        features.predict(images, verbose=0), alone.predict(images["side"], verbose=0), atol=1e-6
    )
    joined.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), joined.predict(images, verbose=0), atol=1e-6
    )


def test_frozen_towers_do_not_change_and_unfrozen_ones_do():
    _, joined = combined(trained=True)
    images, labels = random_images(joined), np.arange(8) % 4

    def train(trainable):
        set_towers_trainable(joined, trainable)
        joined.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")
        before = (
            joined.get_layer("top_stem").get_weights()[0],
            joined.get_layer("hidden").get_weights()[0],
        )
        for _ in range(3):
            joined.train_on_batch(images, labels)
        after = (
            joined.get_layer("top_stem").get_weights()[0],
            joined.get_layer("hidden").get_weights()[0],
        )
        return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]

    assert train(False) == [False, True]
    assert train(True) == [True, True]


def test_towers_are_not_changed_by_the_joined_model():
    towers, joined = combined(trained=True)
    before = towers["top"].get_weights()
    joined.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")
    joined.train_on_batch(random_images(joined), np.arange(8) % 4)
    for a, b in zip(before, towers["top"].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
