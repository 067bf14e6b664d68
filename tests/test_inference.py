"""From models and events to counts and tracks: the network's answers put back to events, sides and hits."""

import keras
import numpy as np
import pytest
from conftest import random_events

import inference
import lib
from architectures.track_finder import track_finder
from datasets import clustering
from datasets.clustering import MAX_HITS
from datasets.events import concatenate, make_events
from datasets.readers import open_events
from my_generator import realistic, straight_lines, toyhaystack

# Counting ---------------------------------------------------------------------------------------------------


def certain_model(n_channels, n_classes=4):
    """A model that says what it counts: half the number of lit cells, from 1."""
    inputs = keras.Input((9, 113, n_channels), name="top")
    n = keras.layers.Lambda(lambda x: keras.ops.sum(x, axis=(1, 2, 3)) / 2 - 1)(inputs)
    return keras.Model(
        inputs,
        keras.layers.Lambda(lambda n: keras.ops.one_hot(keras.ops.cast(n, "int32"), n_classes))(n),
    )


def events_with_cells(cells):
    """A table from a list of events, each a list of (side, number of cells)."""
    rows = [
        (e, side, layer) for e, parts in enumerate(cells) for side, n in parts for layer in range(n)
    ]
    event, side, layer = (np.array(values, int) for values in zip(*rows, strict=True))
    offsets = np.searchsorted(event, np.arange(len(cells) + 1))
    return make_events({"side": side, "layer": layer, "column": np.full(len(event), 7)}, offsets)


def test_a_model_of_one_side_counts_both_sides_and_none_in_an_empty_event():
    events = events_with_cells([[(1, 2)], [(0, 4), (1, 6)], [], [(0, 8), (1, 8)]])
    probabilities = inference.count_probabilities(events, certain_model(1))
    assert probabilities.argmax(1).tolist() == [1, 5, 0, 8]
    np.testing.assert_allclose(probabilities.sum(1), 1)


def test_the_order_of_events_by_size_is_of_no_matter(monkeypatch):
    monkeypatch.setattr(inference, "BLOCK", 4)
    cells = [[(1, 8)], [(0, 2), (1, 4)], [], [(0, 6)], [(1, 4)], [(0, 4), (1, 2)], [(0, 2)]]
    counted = inference.count_tracks(events_with_cells(cells), certain_model(1), batch_size=2)
    assert counted.tolist() == [4, 3, 0, 3, 2, 3, 1]


def test_a_model_of_two_sides_sees_them_together():
    events = events_with_cells([[(0, 2), (1, 2)], []])
    assert inference.count_probabilities(events, certain_model(2)).argmax(1).tolist() == [2, 0]


def test_a_model_that_takes_no_view_is_no_counter():
    inputs = keras.Input((None, 6), name="hits")
    with pytest.raises(ValueError, match="is no counter: it takes hits"):
        inference.count_probabilities(events_with_cells([[(1, 2)]]), keras.Model(inputs, inputs))


@pytest.mark.parametrize("n_classes", [2, 6])
def test_a_model_of_any_number_of_classes_counts_up_to_twice_as_many(n_classes):
    n = n_classes // 2
    events = events_with_cells([[(1, 2)], [(0, 2 * n), (1, 2 * n)], [], [(0, 2), (1, 2 * n)]])
    probabilities = inference.count_probabilities(events, certain_model(1, n_classes))
    assert probabilities.shape == (4, 2 * n_classes + 1)
    assert probabilities.argmax(1).tolist() == [1, 2 * n, 0, 1 + n]
    assert inference.count_probabilities(events[:0], certain_model(1, n_classes)).shape == (
        0,
        2 * n_classes + 1,
    )


def test_what_is_more_than_the_most_counts_as_the_most():
    probabilities = np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1]])
    np.testing.assert_allclose(inference.up_to(2, probabilities), [[0.1, 0.2, 0.7], [0, 0, 1]])
    np.testing.assert_array_equal(inference.up_to(3, probabilities), probabilities)


# Finding: what the network says, hit by hit -----------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    """A small network that is not indifferent: a new one has zeros for every other convolution."""
    keras.utils.set_random_seed(0)
    model = track_finder(filters=8, width=8, n_heads=2)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def network(model):
    return inference.load(model)


@pytest.fixture(scope="module")
def events():
    """Events on both sides whose hits stand in any order, some without hits on a side or at all."""
    return random_events(1, [7, 0, 30, 1, 12, 55, 0, 2, 3, 20, 41], sides=(0, 1))


def look(network, events, batch_size=128):
    """What the network says of a table, name -> array."""
    seen = inference.look(events, network, batch_size)
    return {"track": seen.track, "n_tracks": seen.n_tracks, "n_segments": seen.n_segments}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)


def test_probabilities_of_each_hit_are_those_of_its_side_alone(model, network, events):
    found = look(network, events)
    assert {name: values.shape for name, values in found.items()} == {
        "track": (len(events.hits["layer"]), 5),
        "n_tracks": (11, 2, 5),
        "n_segments": (11, 2, 9),
    }
    for event, side in np.ndindex(11, 2):
        mine = (events.hit_event == event) & (events.hits["side"] == side)
        if mine.any():
            alone = model.predict_on_batch(clustering.inputs(events.keep_hits(mine)[[event]]))
            np.testing.assert_allclose(found["track"][mine], alone["track"][0], atol=1e-5)
            for name in ("n_tracks", "n_segments"):
                np.testing.assert_allclose(found[name][event, side], alone[name][0], atol=1e-5)
    assert np.ptp(found["track"], 0).min() > 0.01  # they do differ


def test_a_table_is_answered_as_its_events_one_by_one(network, events):
    parts = [look(network, events[i]) for i in range(len(events))]
    assert_same(
        look(network, events),
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
    )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_size_of_batches_does_not_matter(network, events, batch_size):
    assert_same(look(network, events, batch_size), look(network, events))


def test_the_order_of_events_does_not_matter(network, events):
    order = np.random.default_rng(0).permutation(len(events))
    found = look(network, events)
    hit = np.concatenate([np.arange(*events.hit_offsets[i : i + 2]) for i in order])
    expected = {
        "track": found["track"][hit],
        "n_tracks": found["n_tracks"][order],
        "n_segments": found["n_segments"][order],
    }
    assert_same(look(network, events[order]), expected)


def test_exchanged_sides_have_exchanged_answers(network, events):
    found = look(network, events)
    exchanged = concatenate([events])
    exchanged.hits["side"] = 1 - events.hits["side"]
    expected = {
        "track": found["track"],
        "n_tracks": found["n_tracks"][:, ::-1],
        "n_segments": found["n_segments"][:, ::-1],
    }
    assert_same(look(network, exchanged), expected)


def test_the_order_of_hits_does_not_matter(network, events):
    found = look(network, events)
    order = np.lexsort((np.random.default_rng(0).random(len(events.hit_event)), events.hit_event))
    permuted = concatenate([events])
    permuted.hits = {name: values[order] for name, values in events.hits.items()}
    assert_same(look(network, permuted), found | {"track": found["track"][order]})


def test_a_model_that_says_nothing_of_hits_is_no_track_finder(events):
    inputs = keras.Input((9, 113, 1), name="top")
    with pytest.raises(ValueError, match="is no track finder"):
        inference.look(events, keras.Model(inputs, keras.layers.Flatten()(inputs)))


@pytest.mark.parametrize("n_events", [0, 3])
def test_where_there_are_no_hits_there_are_no_tracks(network, n_events):
    found = look(network, make_events({}, np.zeros(n_events + 1, int)))
    assert found["track"].shape == (0, 5)
    for name, n in (("n_tracks", 5), ("n_segments", 9)):
        np.testing.assert_array_equal(found[name], np.broadcast_to(np.eye(n)[0], (n_events, 2, n)))


def test_hits_beyond_the_most_belong_to_no_track_and_the_others_are_looked_at(network):
    events = random_events(2, [4, 2 * MAX_HITS + 40, 4], sides=(0, 1))
    found = look(network, events)
    first = np.zeros(len(events.hits["side"]), bool)
    for event, side in np.ndindex(3, 2):
        first[
            np.flatnonzero((events.hit_event == event) & (events.hits["side"] == side))[:MAX_HITS]
        ] = True
    assert (~first).sum() >= 40
    np.testing.assert_array_equal(
        found["track"][~first], np.broadcast_to([0, 0, 0, 0, 1], ((~first).sum(), 5))
    )
    shorter = look(network, events.keep_hits(first))
    assert_same({**found, "track": found["track"][first]}, shorter)


# Models and engines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["top_my_generator", "combined", "track_finder"])
def test_both_engines_give_the_same_answers(name):
    generate = toyhaystack.generate if name == "combined" else realistic.generate
    events = generate(60, seed=3)
    onnx, keras_ = (inference.load(name, engine) for engine in ("onnx", "tensorflow"))
    assert onnx.inputs.keys() == keras_.inputs.keys() and onnx.outputs == keras_.outputs
    if name == "track_finder":
        assert_same(look(onnx, events), look(keras_, events))
    else:
        ours, theirs = (
            inference.count_probabilities(events, network) for network in (onnx, keras_)
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_counting_and_finding_take_a_file_or_a_table(toy_file):
    events = open_events.read(toy_file)
    counts = inference.count_tracks(str(toy_file))
    np.testing.assert_array_equal(counts, inference.count_tracks(events))
    assert (counts == events.info["n_tracks"]).mean() > 0.9
    labels = inference.find_tracks(toy_file)
    np.testing.assert_array_equal(labels, inference.find_tracks(events))
    assert (
        labels.shape == events.hits["track"].shape and (labels == events.hits["track"]).mean() > 0.6
    )


def test_a_model_of_segments_counts_to_six_or_more():
    events = realistic.generate(50, preset="ideal", seed=4, kinks=0.5)
    probabilities = inference.count_probabilities(events, "linear_segments")
    assert probabilities.shape == (50, 7)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


def test_a_track_finder_is_no_counter():
    with pytest.raises(ValueError, match="track_finder is no counter: it finds tracks"):
        inference.count_tracks(straight_lines.generate(2), "track_finder")


def test_a_model_that_is_not_exported_runs_by_tensorflow_only(tmp_path):
    certain_model(1).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="model.onnx: no such file; scripts/export.py"):
        inference.load(tmp_path, "onnx")


def test_a_damaged_onnx_file_is_named(tmp_path):
    (tmp_path / "model.keras").write_bytes((lib.MODELS / "top" / "model.keras").read_bytes())
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match="model.onnx: not a model that ONNX Runtime can load"):
        inference.load(tmp_path)


def test_a_counter_of_another_kind_of_events_says_so():
    toy, haystack = straight_lines.generate(3), toyhaystack.generate(3)
    of_toy, of_haystack = inference.load("top_my_generator"), inference.load("top")
    assert inference.kind_note(of_toy, toy) == inference.kind_note(of_haystack, haystack) == ""
    assert "top was trained on the haystack" in inference.kind_note(of_haystack, toy)
    assert "top_my_generator was trained on the straight-line toy" in inference.kind_note(
        of_toy, haystack
    )
    real = make_events({"layer": [1], "column": [2]}, [0, 1])
    assert inference.kind_note(of_toy, real) == inference.kind_note(of_haystack, real) == ""


def test_events_beyond_what_a_finder_sees_are_told():
    assert inference.beyond_limits(random_events(0, [5, MAX_HITS])) == ""
    assert "1 events have more than 300 hits" in inference.beyond_limits(
        random_events(0, [5, MAX_HITS + 1])
    )


@pytest.mark.parametrize("n", [0, 1, 2, 300, 2034])
def test_events_of_any_size_are_counted_and_found(n):
    events = random_events(5, [n], sides=(0, 1))
    assert inference.count_tracks(events, "top_my_generator").shape == (1,)
    assert inference.find_tracks(events).shape == (n,)
