"""Hits and their owners as the track finder takes them, and its answers put back to the hits."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.track_finder import track_finder
from datasets import clustering
from datasets.clustering import MAX_HITS, MAX_SEGMENTS, NO_HIT
from datasets.events import concatenate, make_events
from datasets.readers import hit_tree
from my_generator import realistic

SEEDS = st.integers(0, 2**32 - 1)
N_SIDE = 9 * 113
NAN = np.nan


def random_events(seed, n_hits, sides=(1,)):
    """Events with these numbers of hits in random cells, every one with other values; owners are tracks 0 to
    3, or none.
    """
    rng = np.random.default_rng(seed)
    n_hits = np.asarray(n_hits)
    cell = np.concatenate([np.zeros(0, int), *(rng.permutation(N_SIDE * len(sides))[:n] for n in n_hits)])
    n = len(cell)
    track = rng.integers(-1, 4, n)
    second = np.where((track >= 0) & (rng.random(n) < 0.2), (track + 1) % 4, -1)
    hits = {
        "side": np.array(sides)[cell // N_SIDE],
        "layer": cell % 9,
        "column": cell % N_SIDE // 9,
        "drift_radius_mm": np.where(rng.random(n) < 0.2, NAN, rng.uniform(0, 22, n)),
        "z_mm": np.where(rng.random(n) < 0.2, NAN, rng.uniform(-1550, 1550, n)),
        "track": track,
        "second_track": second,
    }
    offsets = np.concatenate([[0], np.cumsum(n_hits)])
    tracks = {"side": np.full(4 * len(n_hits), sides[-1]), "n_segments": rng.integers(1, 4, 4 * len(n_hits))}
    info = {"n_tracks": np.full(len(n_hits), 4), "event": np.arange(len(n_hits))}
    return make_events(hits, offsets, tracks, 4 * np.arange(len(n_hits) + 1), info)


# What the network takes -------------------------------------------------------------------------------------


def test_inputs_of_two_hits_worked_by_hand():
    hits = {"layer": [8, 0], "column": [112, 56], "drift_radius_mm": [11, NAN], "z_mm": [NAN, -775]}
    made = clustering.inputs(make_events(hits, [0, 2, 2]), max_hits=3)
    assert {name: (values.shape, values.dtype.name) for name, values in made.items()} == {
        "hits": ((2, 3, 6), "float32"),
        "cell": ((2, 3), "int32"),
        "mask": ((2, 3), "bool"),
    }
    # layer, column, radius, z, radius measured, z measured
    assert made["hits"][0].tolist() == [[1, 1, 0.5, 0, 1, 0], [-1, 0, 0, -0.5, 0, 1], [0] * 6]
    assert made["cell"][0].tolist() == [112 * 9 + 8, 56 * 9, 0]
    assert made["mask"].tolist() == [[True, True, False], [False] * 3]
    assert (made["hits"][1] == 0).all() and (made["cell"][1] == 0).all()


@given(SEEDS, st.lists(st.integers(0, 12), max_size=6))
@settings(max_examples=40, deadline=None)
def test_every_hit_is_there_once_in_order_and_the_rest_is_padding(seed, n_hits):
    events = random_events(seed, n_hits)
    made, wanted = clustering.inputs(events), clustering.targets(events)
    mask = made["mask"]
    assert mask.shape == (len(events), max([1, *n_hits]))  # padded to the longest event
    np.testing.assert_array_equal(mask.sum(1), n_hits)
    np.testing.assert_array_equal(mask, np.sort(mask)[:, ::-1])  # hits come first
    np.testing.assert_array_equal(
        made["cell"][mask], events.hits["column"].astype(int) * 9 + events.hits["layer"]
    )
    np.testing.assert_allclose(made["hits"][mask][:, 3] * 1550, np.nan_to_num(events.hits["z_mm"]), rtol=1e-6)
    np.testing.assert_array_equal(made["hits"][mask][:, 4] == 1, np.isfinite(events.hits["drift_radius_mm"]))
    assert (made["hits"][~mask] == 0).all() and (made["cell"][~mask] == 0).all()
    np.testing.assert_array_equal(
        wanted["track"][mask], np.stack([events.hits["track"], events.hits["second_track"]], 1)
    )
    assert (wanted["track"][~mask] == NO_HIT).all()
    np.testing.assert_array_equal(wanted["n_tracks"], events.info["n_tracks"])


def test_targets_of_a_cell_that_two_tracks_share_name_both():
    # track 1 is nearer in the shared cell (3, 7), which comes last; a noise hit stands before it
    hits = {
        "layer": [0, 3, 5, 3],
        "column": [7, 7, 90, 7],
        "drift_radius_mm": [5, 9, 1, 2],
        "track": [0, 0, -1, 1],
    }
    events = make_events(hits, [0, 4], {"n_segments": [2, 1]}, [0, 2], {"n_tracks": [2]})
    wanted = clustering.targets(events, max_hits=4)
    assert wanted["track"].tolist() == [[[0, -1], [-1, -1], [1, 0], [NO_HIT, NO_HIT]]]
    assert wanted["n_tracks"].tolist() == [2] and wanted["n_segments"].tolist() == [3]
    assert {name: values.dtype.name for name, values in wanted.items()} == {
        "track": "int8",
        "n_tracks": "int32",
        "n_segments": "int32",
    }


def test_more_segments_than_can_be_counted_are_the_most_that_can():
    events = make_events({}, [0, 0, 0], {"n_segments": [3, 3, 3, 4, 4]}, [0, 3, 5], {"n_tracks": [3, 2]})
    assert clustering.targets(events)["n_segments"].tolist() == [MAX_SEGMENTS, 8]
    assert MAX_SEGMENTS == 8


def test_hits_beyond_the_most_are_dropped_from_inputs_and_targets_alike():
    events = random_events(0, [MAX_HITS + 5, 3])
    made, wanted = clustering.inputs(events), clustering.targets(events)
    assert made["mask"].shape == wanted["track"].shape[:2] == (2, MAX_HITS)
    assert made["mask"].sum(1).tolist() == [MAX_HITS, 3]
    np.testing.assert_array_equal(
        made["cell"][0], (events.hits["column"].astype(int) * 9 + events.hits["layer"])[:MAX_HITS]
    )
    np.testing.assert_array_equal(wanted["track"][0, :, 0], events.hits["track"][:MAX_HITS])
    np.testing.assert_array_equal(wanted["track"][1, :3, 0], events.hits["track"][-3:])


# Batches ----------------------------------------------------------------------------------------------------


def contents(inputs, targets):
    """The events of a batch as values that can be compared: cells, owners, numbers."""
    for cell, mask, track, *numbers in zip(inputs["cell"], inputs["mask"], *targets.values(), strict=True):
        yield (*cell[mask].tolist(), *track[mask].ravel().tolist(), *(int(n) for n in numbers))


@given(SEEDS, st.lists(st.integers(0, 20), min_size=1, max_size=40), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_batches_hold_every_event_exactly_once(seed, n_hits, batch_size):
    events = random_events(seed, n_hits)
    made = list(clustering.batches(events, batch_size, np.random.default_rng(seed)))
    sizes = sorted(len(inputs["mask"]) for inputs, _ in made)
    assert sum(sizes) == len(events) and sizes[1:] == [batch_size] * (len(sizes) - 1)
    whole = contents(clustering.inputs(events), clustering.targets(events))
    assert sorted(content for batch in made for content in contents(*batch)) == sorted(whole)


def test_events_of_a_batch_are_of_like_length():
    n_hits = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 101), 4))
    for inputs, targets in clustering.batches(random_events(0, n_hits), 40, np.random.default_rng(1)):
        of_event = inputs["mask"].sum(1)
        assert np.ptp(of_event) < 8 + 40 / 4 + 1  # the random part, and a tenth of the events
        assert inputs["mask"].shape[1] == targets["track"].shape[1] == of_event.max()


def test_batches_come_in_another_order_with_another_random_generator():
    events = random_events(0, np.arange(1, 60))
    first, again, other = (
        [inputs["mask"].sum() for inputs, _ in clustering.batches(events, 4, np.random.default_rng(s))]
        for s in (0, 0, 1)
    )
    assert first == again != other


def recording(asked):
    """A generator that notes what it was asked for."""

    def generate(n_events, seed, first_event=0):
        asked.append((n_events, tuple(seed), first_event))
        return realistic.generate(n_events, preset="data", seed=seed, first_event=first_event)

    return generate


def test_datasets_give_batches_of_their_declared_types_and_fresh_events():
    asked = []
    data = clustering.load(
        recording(asked), batch_size=8, seed=5, first_event=100, n_val=20, n_test=10, block=32
    )
    assert asked == [(20, (5, 1), 0), (10, (5, 2), 0)]  # validation and test events have seeds of their own
    assert int(data.val.cardinality()) == 3 == len(list(data.val))
    assert sum(len(inputs["mask"]) for inputs, _ in data.val) == 20
    for dataset in (data.train.take(9), data.val):
        for inputs, targets in dataset:
            for group, spec in zip((inputs, targets), dataset.element_spec, strict=True):
                assert group.keys() == spec.keys()
                assert all(spec[name].is_compatible_with(group[name]) for name in group)
    starts = [start for _, seed, start in asked if seed == (5, 0)]
    assert starts[:3] == [100, 132, 164]  # four batches each; the ninth is of the third block
    assert len(data.tests["test"]) == 10 and data.description["seeds"]["train"] == [5, 0]


def test_training_events_are_those_of_the_generator_from_the_first_asked_for():
    generate = recording([])
    train = clustering.load(generate, batch_size=8, seed=5, first_event=64, n_val=8, n_test=8, block=32).train
    batches = [(tf.nest.map_structure(np.asarray, part)) for part in train.take(4).as_numpy_iterator()]
    events = generate(32, [5, 0], 64)
    whole = contents(clustering.inputs(events), clustering.targets(events))
    assert sorted(content for batch in batches for content in contents(*batch)) == sorted(whole)


def test_files_to_test_on_are_read_and_files_to_train_on_refused(toy_file):
    data = clustering.load(recording([]), n_val=8, n_test=8, test_paths=[toy_file])
    assert len(data.tests["files"]) == 40 and set(data.description["test_files"]) == {toy_file.name}
    with pytest.raises(ValueError, match="--data"):
        clustering.load(recording([]), paths=[toy_file])


def test_files_to_test_on_without_labels_are_refused(tmp_path):
    for name, change in (("number", "n_tracks"), ("owners", "track")):
        events = realistic.generate(5, preset="ideal")
        values = events.info if change == "n_tracks" else events.hits
        values[change][:] = -1
        hit_tree.write(tmp_path / f"{name}.root", events)
        with pytest.raises(ValueError, match=f"{name}.root: no labels"):
            clustering.load(recording([]), n_val=8, n_test=8, test_paths=[f"{tmp_path}/{name}.root"])


# What the network says, hit by hit --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    """A small network that is not indifferent: a new one has zeros for every other convolution."""
    keras.utils.set_random_seed(0)
    model = track_finder(filters=8, width=8, n_heads=2)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def events():
    """Events on both sides whose hits stand in any order, some without hits on a side or at all."""
    return random_events(1, [7, 0, 30, 1, 12, 55, 0, 2, 3, 20, 41], sides=(0, 1))


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)


def test_probabilities_of_each_hit_are_those_of_its_side_alone(model, events):
    found = clustering.predict(model, events)
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


def test_a_table_is_answered_as_its_events_one_by_one(model, events):
    parts = [clustering.predict(model, events[i]) for i in range(len(events))]
    assert_same(
        clustering.predict(model, events),
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
    )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_size_of_batches_does_not_matter(model, events, batch_size):
    assert_same(clustering.predict(model, events, batch_size), clustering.predict(model, events))


def test_the_order_of_events_does_not_matter(model, events):
    order = np.random.default_rng(0).permutation(len(events))
    found = clustering.predict(model, events)
    hit = np.concatenate([np.arange(*events.hit_offsets[i : i + 2]) for i in order])
    expected = {
        "track": found["track"][hit],
        "n_tracks": found["n_tracks"][order],
        "n_segments": found["n_segments"][order],
    }
    assert_same(clustering.predict(model, events[order]), expected)


def test_exchanged_sides_have_exchanged_answers(model, events):
    found = clustering.predict(model, events)
    exchanged = concatenate([events])
    exchanged.hits["side"] = 1 - events.hits["side"]
    expected = {
        "track": found["track"],
        "n_tracks": found["n_tracks"][:, ::-1],
        "n_segments": found["n_segments"][:, ::-1],
    }
    assert_same(clustering.predict(model, exchanged), expected)


def test_the_order_of_hits_does_not_matter(model, events):
    found = clustering.predict(model, events)
    order = np.lexsort((np.random.default_rng(0).random(len(events.hit_event)), events.hit_event))
    permuted = concatenate([events])
    permuted.hits = {name: values[order] for name, values in events.hits.items()}
    assert_same(clustering.predict(model, permuted), found | {"track": found["track"][order]})


def test_a_model_that_says_nothing_of_hits_is_no_track_finder(events):
    inputs = keras.Input((9, 113, 1), name="top")
    with pytest.raises(ValueError, match="is no track finder"):
        clustering.predict(keras.Model(inputs, keras.layers.Flatten()(inputs)), events)


@pytest.mark.parametrize("n_events", [0, 3])
def test_where_there_are_no_hits_there_are_no_tracks(model, n_events):
    found = clustering.predict(model, make_events({}, np.zeros(n_events + 1, int)))
    assert found["track"].shape == (0, 5)
    for name, n in (("n_tracks", 5), ("n_segments", 9)):
        np.testing.assert_array_equal(found[name], np.broadcast_to(np.eye(n)[0], (n_events, 2, n)))


def test_hits_beyond_the_most_belong_to_no_track_and_the_others_are_looked_at(model):
    events = random_events(2, [4, 2 * MAX_HITS + 40, 4], sides=(0, 1))
    found = clustering.predict(model, events)
    first = np.zeros(len(events.hits["side"]), bool)
    for event, side in np.ndindex(3, 2):
        first[np.flatnonzero((events.hit_event == event) & (events.hits["side"] == side))[:MAX_HITS]] = True
    assert (~first).sum() >= 40
    np.testing.assert_array_equal(
        found["track"][~first], np.broadcast_to([0, 0, 0, 0, 1], ((~first).sum(), 5))
    )
    shorter = clustering.predict(model, events.keep_hits(first))
    assert_same({**found, "track": found["track"][first]}, shorter)


def test_a_radius_wider_than_the_cell_is_given_to_the_network_as_not_measured():
    events = realistic.generate(3, preset="ideal", seed=1)
    events.hits["drift_radius_mm"][0] = 33.2
    hits = clustering.inputs(events)["hits"]
    assert hits[0, 0, 2] == hits[0, 0, 4] == 0 and hits[0, 1, 4] == 1
    assert events.hits["drift_radius_mm"][0] > 33  # the table keeps what was read
