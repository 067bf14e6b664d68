"""Hits and their owners as the track finder takes them, and batches of them."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_events
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import batches, clustering
from datasets.clustering import MAX_HITS, MAX_SEGMENTS, NO_HIT
from datasets.events import make_events
from datasets.readers import hit_tree
from my_generator import realistic

SEEDS = st.integers(0, 2**32 - 1)


# What the network takes -------------------------------------------------------------------------------------


def test_inputs_of_two_hits_worked_by_hand():
    hits = {
        "layer": [8, 0],
        "column": [112, 56],
        "drift_radius_mm": [11, np.nan],
        "z_mm": [np.nan, -775],
    }
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
    made, wanted = clustering.inputs(events), clustering.labels(events)
    mask = made["mask"]
    assert mask.shape == (len(events), max([1, *n_hits]))  # padded to the longest event
    np.testing.assert_array_equal(mask.sum(1), n_hits)
    np.testing.assert_array_equal(mask, np.sort(mask)[:, ::-1])  # hits come first
    np.testing.assert_array_equal(
        made["cell"][mask], events.hits["column"].astype(int) * 9 + events.hits["layer"]
    )
    np.testing.assert_allclose(
        made["hits"][mask][:, 3] * 1550, np.nan_to_num(events.hits["z_mm"]), rtol=1e-6
    )
    np.testing.assert_array_equal(
        made["hits"][mask][:, 4] == 1, np.isfinite(events.hits["drift_radius_mm"])
    )
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
    wanted = clustering.labels(events, max_hits=4)
    assert wanted["track"].tolist() == [[[0, -1], [-1, -1], [1, 0], [NO_HIT, NO_HIT]]]
    assert wanted["n_tracks"].tolist() == [2] and wanted["n_segments"].tolist() == [3]
    assert {name: values.dtype.name for name, values in wanted.items()} == {
        "track": "int8",
        "n_tracks": "int32",
        "n_segments": "int32",
    }


def test_more_segments_than_can_be_counted_are_the_most_that_can():
    events = make_events(
        {}, [0, 0, 0], {"n_segments": [3, 3, 3, 4, 4]}, [0, 3, 5], {"n_tracks": [3, 2]}
    )
    assert clustering.labels(events)["n_segments"].tolist() == [MAX_SEGMENTS, 8]
    assert MAX_SEGMENTS == 8


def test_hits_beyond_the_most_are_dropped_from_inputs_and_targets_alike():
    events = random_events(0, [MAX_HITS + 5, 3])
    made, wanted = clustering.inputs(events), clustering.labels(events)
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
    for cell, mask, track, *numbers in zip(
        inputs["cell"], inputs["mask"], *targets.values(), strict=True
    ):
        yield (*cell[mask].tolist(), *track[mask].ravel().tolist(), *(int(n) for n in numbers))


def cut(events, batch_size, seed):
    """(inputs, labels) of the batches that a table is cut into."""
    parts = batches.parts(clustering.task, events, batch_size, np.random.default_rng(seed))
    return [(clustering.inputs(part), clustering.labels(part)) for part in parts]


@given(SEEDS, st.lists(st.integers(0, 20), min_size=1, max_size=40), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_batches_hold_every_event_exactly_once(seed, n_hits, batch_size):
    events = random_events(seed, n_hits)
    made = cut(events, batch_size, seed)
    sizes = sorted(len(inputs["mask"]) for inputs, _ in made)
    assert sum(sizes) == len(events) and sizes[1:] == [batch_size] * (len(sizes) - 1)
    whole = contents(clustering.inputs(events), clustering.labels(events))
    assert sorted(content for batch in made for content in contents(*batch)) == sorted(whole)


def test_events_of_a_batch_are_of_like_length():
    n_hits = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 101), 4))
    for inputs, targets in cut(random_events(0, n_hits), 40, 1):
        of_event = inputs["mask"].sum(1)
        assert np.ptp(of_event) < 8 + 40 / 4 + 1  # the random part, and a tenth of the events
        assert inputs["mask"].shape[1] == targets["track"].shape[1] == of_event.max()


def test_batches_come_in_another_order_with_another_random_generator():
    events = random_events(0, np.arange(1, 60))
    first, again, other = (
        [inputs["mask"].sum() for inputs, _ in cut(events, 4, s)] for s in (0, 0, 1)
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
    settings = {
        "batch_size": 8,
        "seed": 5,
        "first_event": 100,
        "n_val": 20,
        "n_test": 10,
        "block": 32,
    }
    data = batches.load(clustering.task, recording(asked), **settings)
    assert asked == [
        (20, (5, 1), 0),
        (10, (5, 2), 0),
    ]  # validation and test events have seeds of their own
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
    settings = {"batch_size": 8, "seed": 5, "first_event": 64, "n_val": 8, "n_test": 8, "block": 32}
    train = batches.load(clustering.task, generate, **settings).train
    taken = [tf.nest.map_structure(np.asarray, part) for part in train.take(4).as_numpy_iterator()]
    events = generate(32, [5, 0], 64)
    whole = contents(clustering.inputs(events), clustering.labels(events))
    assert sorted(content for batch in taken for content in contents(*batch)) == sorted(whole)


def test_files_to_test_on_are_read(toy_file):
    data = batches.load(clustering.task, recording([]), n_val=8, n_test=8, test_paths=[toy_file])
    assert len(data.tests["files"]) == 40 and set(data.description["test_files"]) == {toy_file.name}


def test_files_to_test_on_without_labels_are_refused(tmp_path):
    for name, change in (("number", "n_tracks"), ("owners", "track")):
        events = realistic.generate(5, preset="ideal")
        values = events.info if change == "n_tracks" else events.hits
        values[change][:] = -1
        hit_tree.write(tmp_path / f"{name}.root", events)
        with pytest.raises(ValueError, match=f"{name}.root: no labels"):
            batches.load(
                clustering.task,
                recording([]),
                n_val=8,
                n_test=8,
                test_paths=[f"{tmp_path}/{name}.root"],
            )


def test_a_radius_wider_than_the_cell_is_given_to_the_network_as_not_measured():
    events = realistic.generate(3, preset="ideal", seed=1)
    events.hits["drift_radius_mm"][0] = 33.2
    hits = clustering.inputs(events)["hits"]
    assert hits[0, 0, 2] == hits[0, 0, 4] == 0 and hits[0, 1, 4] == 1
    assert events.hits["drift_radius_mm"][0] > 33  # the table keeps what was read
