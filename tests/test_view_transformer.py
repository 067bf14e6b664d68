"""The transformer on the lit pieces of a view: its tokens, its attention, what it learns from."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.front import front_view_transformer
from architectures.layers import Phases, RotaryAttention
from architectures.losses import owners_of_pieces
from architectures.side import side_view_transformer
from architectures.top import top_view_transformer
from architectures.view_transformer import LitPieces, PieceFeatures, counter_of
from datasets import views
from my_generator import realistic

SEEDS = st.integers(0, 2**32 - 1)
BUILDERS = {
    "top": top_view_transformer,
    "side": side_view_transformer,
    "front": front_view_transformer,
}


def tiny(view, seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return BUILDERS[view](width=16, n_layers=1, **kwargs)


def images_of(view, n=12, seed=3):
    return views.images(realistic.generate(n, preset="harsh", seed=seed), (view,))[view]


def random_images(seed, shape=(5, 11, 2), n=3):
    return (np.random.default_rng(seed).random((n, *shape)) < 0.1).astype("float32")


@pytest.mark.parametrize("length", [1, 3, 4, 20])
@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_tokens_are_the_lit_pieces_in_their_order(length, seed):
    images = random_images(seed)
    images[0] = 0
    piece, mask = (np.asarray(x) for x in LitPieces(length)(images))
    n_pieces = -(-11 // length)
    expected = [
        sorted(
            {row * n_pieces + column // length for row, column, _ in np.argwhere(image).tolist()}
        )
        for image in images
    ]
    assert piece.shape[1] == max(1, *map(len, expected))
    assert [p[m].tolist() for p, m in zip(piece, mask, strict=True)] == expected


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_a_piece_is_seen_with_the_pixels_around_it(seed):
    images, length, (up, left) = random_images(seed), 4, (1, 2)
    piece, mask = (np.asarray(x) for x in LitPieces(length)(images))
    features, position = (np.asarray(x) for x in PieceFeatures(length, (up, left))([images, piece]))
    n_seen = (2 * up + 1) * (2 * left + length) * 2
    for event, token in np.argwhere(mask):
        row, column = piece[event, token] // 3, piece[event, token] % 3 * length
        window = np.pad(images[event], ((up, up), (left, left + 1), (0, 0)))[
            row : row + 2 * up + 1, column : column + 2 * left + length
        ]
        np.testing.assert_array_equal(features[event, token, -n_seen:], window.ravel())
        np.testing.assert_allclose(position[event, token], [row / 5, column / 11], rtol=1e-6)
    waves = features[mask][:, 2:-n_seen]
    assert len(np.unique(waves.round(4), axis=0)) == len(
        np.unique(position[mask], axis=0)
    )  # every place has waves of its own


def attention(x, position, mask, layer):
    return np.asarray(layer([x, Phases(2, 4)(position), mask]))


def test_attention_sees_differences_of_places_alone_and_no_hidden_token():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    layer = RotaryAttention(2)
    x, position = (
        rng.normal(size=(2, 6, 16)).astype("float32"),
        rng.random((2, 6, 2)).astype("float32"),
    )
    mask = np.arange(6) < np.array([[6], [4]])
    seen = attention(x, position, mask, layer)
    np.testing.assert_allclose(
        attention(x, position + np.float32([0.3, -0.2]), mask, layer), seen, atol=1e-4
    )
    assert np.abs(attention(x, position * 0.5, mask, layer) - seen).max() > 1e-2
    other = x.copy()
    other[1, 4:] += 1
    np.testing.assert_array_equal(attention(other, position, mask, layer)[1, :4], seen[1, :4])
    order = rng.permutation(6)
    np.testing.assert_allclose(
        attention(x[:, order], position[:, order], mask[:, order], layer), seen[:, order], atol=1e-5
    )


def test_attention_is_that_of_turned_queries_and_keys():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(1)
    layer, x, position = (
        RotaryAttention(2),
        rng.normal(size=(1, 5, 16)).astype("float32"),
        rng.random((1, 5, 2)).astype("float32"),
    )
    seen = attention(x, position, np.ones((1, 5), bool), layer)
    kernel, out, bias = (np.asarray(w) for w in layer.weights)
    queries, keys, values = np.split(
        (x[0] @ kernel).reshape(5, 6, 8), 3, axis=1
    )  # (token, head, 8)
    turn = np.exp(1j * np.asarray(Phases(2, 4)(position))[0].transpose(1, 0, 2))
    queries, keys = ((v[..., :4] + 1j * v[..., 4:]) * turn for v in (queries, keys))
    match = np.einsum("qhd,khd->hqk", queries, keys.conj()).real / np.sqrt(8)
    share = np.exp(match) / np.exp(match).sum(-1, keepdims=True)
    expected = np.einsum("hqk,khd->qhd", share, values).reshape(5, 16) @ out + bias
    np.testing.assert_allclose(seen[0], expected, atol=1e-5)


@pytest.mark.parametrize("view", BUILDERS)
def test_an_event_counts_the_same_in_any_company(view):
    model, images = tiny(view), images_of(view)
    together = model.predict(images, verbose=0)
    for i in (0, 5):
        alone = model.predict(images[i : i + 1], verbose=0)
        for name in ("n_tracks", "owners"):
            np.testing.assert_allclose(alone[name][0], together[name][i], atol=1e-4)


@pytest.mark.parametrize("view", BUILDERS)
def test_an_event_without_hits_has_a_finite_answer(view):
    model = tiny(view)
    found = model.predict(np.zeros((2, *views.SHAPES[view], 1)), verbose=0)
    np.testing.assert_allclose(found["n_tracks"].sum(1), 1, rtol=1e-5)
    assert (found["owners"] == 0).all()


@pytest.mark.parametrize("view", BUILDERS)
def test_owners_are_told_where_a_piece_is_lit(view):
    model, images = tiny(view), images_of(view)
    owners = model.predict(images, verbose=0)["owners"]
    length = model.get_layer("lit_pieces").length
    lit = np.logical_or.reduceat(images[..., 0], np.arange(0, images.shape[2], length), axis=2)
    np.testing.assert_array_equal((owners != 0).any(-1), lit)
    assert (
        owners.shape
        == views.owners(realistic.generate(12, preset="harsh", seed=3), view, length).shape
    )


@pytest.mark.parametrize("view", BUILDERS)
def test_the_shipped_part_counts_as_the_whole_and_is_loaded_again(view, tmp_path):
    model, images = (
        tiny(view, input_shape=(*views.SHAPES[view], 2)),
        np.repeat(images_of(view), 2, axis=-1),
    )
    counter = counter_of(model)
    counter.save(tmp_path / "model.keras")
    assert counter.count_params() < model.count_params()
    for one in (counter, keras.saving.load_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(
            one.predict(images, verbose=0), model.predict(images, verbose=0)["n_tracks"], atol=1e-6
        )


def test_loss_of_owners_is_the_mean_over_lit_pieces():
    rng = np.random.default_rng(0)
    owners = (rng.random((3, 4, 5, 3)) < 0.2).astype("uint8")
    owners[2] = 0
    logits = rng.normal(size=owners.shape).astype("float32")
    lit = owners.any(-1)
    entropy = np.logaddexp(0, np.where(owners, -logits, logits)).sum(-1)
    expected = [entropy[i][lit[i]].mean() if lit[i].any() else 0 for i in range(3)]
    np.testing.assert_allclose(np.asarray(owners_of_pieces(owners, logits)), expected, rtol=1e-4)


@pytest.mark.parametrize("build", BUILDERS.values())
def test_shipped_transformers_are_small(build):
    assert counter_of(build()).count_params() < 320_000
