"""The track finder's network, its loss, and the labels that follow from its probabilities."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lib
from architectures.layers import ToCells
from architectures.losses import hit_accuracy, matched, ordered, perfect
from architectures.track_finder import _WAVES, FromCells, HitFeatures, track_finder
from datasets import clustering
from datasets.events import make_events
from finding.refit import labels_of
from my_generator import realistic

SEEDS = st.integers(0, 2**32 - 1)
NO_HIT = clustering.NO_HIT


def tiny(seed=0, scale=0.4):
    """A small network with weights that are not those a new one starts with, where every other convolution is
    zero.
    """
    keras.utils.set_random_seed(seed)
    model = track_finder(filters=8, width=8, n_heads=2)
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            w + rng.normal(0, scale, w.shape) / np.sqrt(max(1, w.size // w.shape[-1]))
            for w in model.get_weights()
        ]
    )
    return model


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def batch():
    """12 realistic events as the network takes them, with radii and heights missing here and there."""
    return clustering.inputs(realistic.generate(12, preset="harsh", seed=3))


def predict(model, batch):
    return {name: np.asarray(values) for name, values in model.predict_on_batch(batch).items()}


def assert_close(a, b, atol=1e-5):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=atol, err_msg=name)


# The network ------------------------------------------------------------------------------------------------


def test_every_output_is_a_probability_for_each_class(model, batch):
    found = predict(model, batch)
    n_events, n_hits = batch["mask"].shape
    assert {name: values.shape for name, values in found.items()} == {
        "track": (n_events, n_hits, 5),
        "n_tracks": (n_events, 5),
        "n_segments": (n_events, 9),
    }
    for values in found.values():
        assert (values >= 0).all() and values.dtype == np.float32
        np.testing.assert_allclose(values.sum(-1), 1, rtol=1e-5)


def test_the_numbers_of_tracks_and_segments_are_arguments(batch):
    found = predict(track_finder(n_tracks=2, n_segments=3, filters=8, width=8, n_heads=2), batch)
    assert [found[name].shape[-1] for name in ("track", "n_tracks", "n_segments")] == [3, 3, 4]


def test_outputs_depend_on_every_feature_and_on_the_cells(model, batch):
    before = predict(model, batch)["track"][batch["mask"]]
    changed = [
        dict(batch, hits=batch["hits"] + 0.5 * (np.arange(6) == k).astype("float32"))
        for k in range(6)
    ]
    changed.append(
        dict(
            batch,
            cell=np.where(batch["mask"], (batch["cell"] + 300) % (9 * 113), 0).astype("int32"),
        )
    )
    for other in changed:
        assert np.abs(predict(model, other)["track"][batch["mask"]] - before).max() > 1e-3


def test_padding_does_not_change_what_is_found(model):
    events = realistic.generate(12, preset="harsh", seed=3)
    shortest, longer = (
        clustering.inputs(events),
        clustering.inputs(events, events.n_hits.max() + 37),
    )
    found, padded = predict(model, shortest), predict(model, longer)
    padded["track"] = padded["track"][:, : shortest["mask"].shape[1]]
    found["track"], padded["track"] = (
        values["track"][shortest["mask"]] for values in (found, padded)
    )
    assert_close(found, padded)


def test_whatever_stands_in_the_padding_is_ignored(model, batch):
    rng = np.random.default_rng(0)
    other = dict(batch)
    other["hits"] = np.where(
        batch["mask"][..., None], batch["hits"], rng.normal(0, 5, batch["hits"].shape)
    ).astype("float32")
    other["cell"] = np.where(
        batch["mask"], batch["cell"], rng.integers(0, 9 * 113, batch["cell"].shape)
    ).astype("int32")
    found, odd = predict(model, batch), predict(model, other)
    found["track"], odd["track"] = found["track"][batch["mask"]], odd["track"][batch["mask"]]
    assert_close(found, odd)


def test_an_event_does_not_change_what_is_found_in_another(model, batch):
    alone = predict(model, {name: values[4:5] for name, values in batch.items()})
    assert_close(alone, {name: values[4:5] for name, values in predict(model, batch).items()})


def test_permuted_hits_have_permuted_outputs(model, batch):
    order = np.random.default_rng(1).permutation(batch["mask"].shape[1])
    found, permuted = (
        predict(model, batch),
        predict(model, {name: values[:, order] for name, values in batch.items()}),
    )
    found["track"] = found["track"][:, order]
    mask = batch["mask"][:, order]
    found["track"], permuted["track"] = found["track"][mask], permuted["track"][mask]
    assert_close(found, permuted)


def test_an_event_without_hits_gives_finite_outputs(model):
    found = predict(model, clustering.inputs(make_events({}, [0, 0])))
    for values in found.values():
        assert np.isfinite(values).all()


def test_saved_and_loaded_network_gives_the_same_output_without_custom_objects(
    model, batch, tmp_path
):
    model.save(tmp_path / "model.keras")
    assert_close(
        predict(keras.saving.load_model(tmp_path / "model.keras"), batch),
        predict(model, batch),
        atol=1e-6,
    )


def test_trained_in_16_bits_it_is_tested_and_shipped_in_float32(batch):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        mixed = tiny()
        assert mixed.get_layer("fine_conv1").compute_dtype == "bfloat16"
        mixed.compile("adam", {"track": ordered}, metrics={"track": [hit_accuracy, perfect]})
        plain = lib.in_float32(mixed)
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in plain.layers if layer.get_weights()} == {"float32"}
    assert_close(predict(plain, batch), predict(tiny(), batch), atol=1e-6)
    assert_close(predict(plain, batch), predict(mixed, batch), atol=0.1)
    assert predict(mixed, batch)["track"].dtype == np.float32


def test_a_batch_can_be_learned_by_heart():
    keras.utils.set_random_seed(0)
    model = track_finder(filters=8, width=16, n_heads=2)
    events = realistic.generate(4, preset="data", seed=1)
    count = "sparse_categorical_crossentropy"
    model.compile(
        keras.optimizers.Adam(1e-2),
        {"track": matched, "n_tracks": count, "n_segments": count},
        metrics={"track": [hit_accuracy], "n_tracks": ["accuracy"], "n_segments": ["accuracy"]},
    )
    for _ in range(150):
        scores = model.train_on_batch(
            clustering.inputs(events), clustering.labels(events), return_dict=True
        )
        learned = (
            scores["track_hit_accuracy"] > 0.99
            and scores["n_tracks_accuracy"] == scores["n_segments_accuracy"] == 1
        )
        if learned:
            break
    assert learned


# Its layers -------------------------------------------------------------------------------------------------


def test_heights_that_were_not_measured_make_no_waves():
    hits = np.zeros((1, 2, 6), "float32")
    hits[0, 0, 3], hits[0, 0, 5] = 0.3, 1
    features = np.asarray(HitFeatures()(hits))[0]
    n = len(_WAVES)
    np.testing.assert_array_equal(features[:, :6], hits[0])
    np.testing.assert_allclose(
        features[0, 6 : 6 + 2 * n],
        [*np.sin(0.3 * np.array(_WAVES)), *np.cos(0.3 * np.array(_WAVES))],
        rtol=1e-5,
    )
    assert (features[1, 6 : 6 + 2 * n] == 0).all()


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_what_is_put_into_cells_is_found_there_again(seed):
    rng = np.random.default_rng(seed)
    cell = np.stack([rng.permutation(3 * 5)[:6] for _ in range(4)]).astype(
        "int32"
    )  # 3 layers, 5 columns
    mask = rng.random((4, 6)) < 0.7
    features = rng.normal(size=(4, 6, 2)).astype("float32")
    cells = np.asarray(ToCells(3, 5)([features, cell, mask]))
    assert cells.shape == (4, 1, 5, 3 * 2)
    assert np.count_nonzero(cells) == 2 * mask.sum()
    for event, hit in np.argwhere(mask):
        column, layer = divmod(cell[event, hit], 3)
        np.testing.assert_array_equal(
            cells[event, 0, column, 2 * layer : 2 * layer + 2], features[event, hit]
        )
    np.testing.assert_array_equal(
        np.asarray(FromCells(3)([cells, cell])), features * mask[..., None]
    )


# Its loss ---------------------------------------------------------------------------------------------------


def random_case(seed, n_events=3, n_hits=9, n_tracks=4, shared=0.3):
    """Owners (event, hit, 2) and probabilities (event, hit, n_tracks + 1).

    A second owner is the first one of another hit.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(-1, rng.integers(1, n_tracks + 1), (n_events, n_hits))
    second = np.stack([rng.permutation(row) for row in first])
    second = np.where(
        (rng.random(first.shape) < shared) & (first >= 0) & (second != first), second, -1
    )
    owners = np.stack([first, second], -1)
    owners[np.arange(n_hits) >= rng.integers(0, n_hits + 1, (n_events, 1))] = NO_HIT
    for row in owners:  # cutting the sequence may have cut the other hit
        row[:, 1][~np.isin(row[:, 1], row[:, 0])] = -1
        row[row[:, 0] == NO_HIT] = NO_HIT
    return owners.astype("int8"), rng.dirichlet(
        np.full(n_tracks + 1, 0.7), (n_events, n_hits)
    ).astype("float32")


def loss(owners, probability):
    return np.asarray(matched(owners, probability))


def loss_of_matching(owners, probability, column):
    """Loss of one event's hits when true track t is column[t], and of that the share that comes from first
    owners; a plain loop.
    """
    total, of_first, n_hits = 0.0, 0.0, 0
    for (first, second), p in zip(owners, probability.astype(float), strict=True):
        if first == NO_HIT:
            continue
        n_hits += 1
        if first < 0:
            total -= np.log(p[-1] + 1e-6)
            continue
        total -= np.log(p[column[first]] + (p[column[second]] if second >= 0 else 0) + 1e-6)
        of_first -= np.log(p[column[first]] + 1e-6)
    return total / max(n_hits, 1), of_first


def test_loss_of_a_case_worked_by_hand():
    owners = np.array([[[0, -1], [1, -1], [-1, -1], [NO_HIT, NO_HIT]]], "int8")
    probability = np.array(
        [[[0.1, 0.7, 0.2], [0.6, 0.2, 0.2], [0.3, 0.2, 0.5], [0.9, 0.1, 0.0]]], "float32"
    )
    # track 0 is column 1, track 1 is column 0; the third hit is noise; the fourth is no hit
    np.testing.assert_allclose(loss(owners, probability), [-np.log(0.7 * 0.6 * 0.5) / 3], rtol=1e-4)
    assert np.asarray(hit_accuracy(owners, probability)) == [1] and np.asarray(
        perfect(owners, probability)
    ) == [1]


def test_a_matching_is_chosen_for_the_whole_event_and_not_by_hit():
    owners = np.array([[[0, -1], [0, -1], [1, -1]]], "int8")
    probability = np.array([[[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1]]], "float32")
    # straight: 0.8 0.3 0.4 = 0.096; crossed: 0.1 0.6 0.5 = 0.03
    np.testing.assert_allclose(loss(owners, probability), [-np.log(0.096) / 3], rtol=1e-4)
    np.testing.assert_allclose(np.asarray(hit_accuracy(owners, probability)), [1 / 3])
    assert np.asarray(perfect(owners, probability)) == [0]


@pytest.mark.parametrize("column", [0, 1])
def test_a_shared_hit_is_right_on_either_owner(column):
    owners = np.array([[[0, -1], [1, -1], [0, 1]]], "int8")
    probability = np.full((1, 3, 3), 1e-9, "float32")
    probability[0, [0, 1, 2], [0, 1, column]] = 1
    np.testing.assert_allclose(loss(owners, probability), [0], atol=1e-5)
    assert np.asarray(hit_accuracy(owners, probability)) == [1]
    probability[0, 2] = [0, 0, 1]  # none is wrong
    np.testing.assert_allclose(loss(owners, probability), [-np.log(1e-6) / 3], rtol=1e-3)
    np.testing.assert_allclose(np.asarray(hit_accuracy(owners, probability)), [2 / 3])


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_loss_is_the_lowest_over_all_matchings_of_tracks(seed):
    owners, probability = random_case(seed, shared=0)
    expected = [
        min(loss_of_matching(of_event, p, column)[0] for column in itertools.permutations(range(4)))
        for of_event, p in zip(owners, probability, strict=True)
    ]
    np.testing.assert_allclose(loss(owners, probability), expected, rtol=1e-4, atol=1e-5)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_where_tracks_share_hits_the_first_owners_choose_the_matching(seed):
    owners, probability = random_case(seed)
    expected = []
    for of_event, p in zip(owners, probability, strict=True):
        best = min(
            itertools.permutations(range(4)),
            key=lambda column: loss_of_matching(of_event, p, column)[1],
        )
        expected.append(loss_of_matching(of_event, p, best)[0])
    np.testing.assert_allclose(loss(owners, probability), expected, rtol=1e-4, atol=1e-5)


@given(SEEDS, st.permutations(range(4)))
@settings(max_examples=60, deadline=None)
def test_how_true_tracks_are_numbered_does_not_matter(seed, number):
    owners, probability = random_case(seed)
    renumbered = np.where(owners >= 0, np.array(number)[np.maximum(owners, 0)], owners)
    for function in (matched, hit_accuracy, perfect):
        np.testing.assert_allclose(
            np.asarray(function(renumbered, probability)),
            np.asarray(function(owners, probability)),
            rtol=1e-4,
            atol=1e-5,
        )


@given(SEEDS, st.permutations(range(4)))
@settings(max_examples=60, deadline=None)
def test_how_the_columns_are_numbered_does_not_matter(seed, number):
    owners, probability = random_case(seed)
    np.testing.assert_allclose(
        loss(owners, probability[..., [*number, 4]]),
        loss(owners, probability),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_ordered_wants_the_first_track_in_the_first_column():
    owners = np.array([[[0, -1], [1, -1], [-1, -1], [0, 1]]])
    right = np.full((1, 4, 5), 0.025, np.float32)
    right[0, [0, 1, 2, 3], [0, 1, 4, 1]] = 0.9
    np.testing.assert_allclose(
        ordered(owners, right), [-np.log([0.9, 0.9, 0.9, 0.925]).mean()], rtol=1e-4
    )
    swapped = right[..., [1, 0, 2, 3, 4]]
    np.testing.assert_allclose(
        ordered(owners, swapped), [-np.log([0.025, 0.025, 0.9, 0.925]).mean()], rtol=1e-4
    )
    np.testing.assert_allclose(loss(owners, swapped), loss(owners, right), rtol=1e-4)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_the_truth_as_probabilities_costs_nothing_and_is_perfect(seed):
    owners, _ = random_case(seed)
    owners = owners[owners[:, 0, 0] != NO_HIT]  # an event without hits has no accuracy
    column = np.random.default_rng(seed).permutation(4)
    truth = np.eye(5, dtype="float32")[
        np.where(owners[..., 0] >= 0, column[np.maximum(owners[..., 0], 0)], 4)
    ]
    np.testing.assert_allclose(loss(owners, truth), 0, atol=1e-5)
    assert (np.asarray(perfect(owners, truth)) == 1).all()


def test_an_event_without_hits_costs_nothing():
    owners = np.full((1, 5, 2), NO_HIT, "int8")
    assert loss(owners, np.full((1, 5, 5), 0.2, "float32")) == [0]


# Labels of the network alone --------------------------------------------------------------------------------


def test_labels_are_the_most_probable_tracks_numbered_through_the_event():
    # event 0: side 1, side 0, side 1, side 1; event 1: one hit; event 2: none; event 3: two hits
    events = make_events(
        {"side": [1, 0, 1, 1, 1, 0, 0], "layer": range(7), "column": range(7)}, [0, 4, 5, 5, 7]
    )
    best = [
        3,
        3,
        0,
        3,
        4,
        2,
        1,
    ]  # of 4 tracks; 4 is none. Column 3 of side 0 is another track than that of side 1
    track = np.full((7, 5), 0.1, "float32")
    track[np.arange(7), best] = 0.6
    labels = labels_of(events, track)
    assert labels.tolist() == [0, 1, 2, 0, -1, 0, 1] and labels.dtype == np.int16


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_hits_share_a_label_where_side_and_most_probable_track_are_the_same(seed):
    rng = np.random.default_rng(seed)
    n_hits = rng.integers(0, 8, 5)
    cell = np.concatenate([rng.permutation(2 * 9 * 113)[:n] for n in n_hits]).astype(int)
    hits = {"side": cell // (9 * 113), "layer": cell % 9, "column": cell // 9 % 113}
    events = make_events(hits, np.concatenate([[0], np.cumsum(n_hits)]))
    track = rng.dirichlet(np.ones(4), len(cell))
    labels, best = labels_of(events, track), track.argmax(1)
    same = lambda *keys: np.logical_and.reduce([np.equal.outer(key, key) for key in keys])  # noqa: E731
    found = labels >= 0
    np.testing.assert_array_equal(found, best < 3)
    of_found = [values[found] for values in (events.hit_event, events.hits["side"], best)]
    np.testing.assert_array_equal(same(events.hit_event[found], labels[found]), same(*of_found))
