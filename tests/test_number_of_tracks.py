import itertools

import numpy as np
import pytest
import tensorflow as tf

from datasets import batches, number_of_tracks, number_of_tracks3D, views
from datasets.events import make_events
from datasets.readers import hit_tree
from my_generator import realistic, straight_lines, toyhaystack


def first_batches(dataset, n):
    return [(x if isinstance(x, dict) else x.numpy(), y.numpy()) for x, y in dataset.take(n)]


TASK = number_of_tracks.task()


def load(task=TASK, generate=straight_lines.generate, **kwargs):
    settings = {"n_val": 100, "n_test": 100, "batch_size": 32} | kwargs
    return batches.load(task, generate, **settings)


def test_generator_gives_fresh_events_that_a_seed_repeats():
    one, again, other = (first_batches(load(seed=seed).train, 3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[2][0], again[2][0])
    assert not np.array_equal(one[0][0], one[1][0])
    assert not np.array_equal(one[0][0], other[0][0])


def test_training_validation_and_test_events_differ():
    data = load(seed=0)
    parts = [first_batches(part, 1)[0][0] for part in (data.train, data.val)]
    parts.append(views.top_view(data.tests["test"][:32]))
    assert not any(np.array_equal(parts[i], parts[j]) for i in range(3) for j in range(i))


def test_a_resumed_run_goes_on_where_it_stopped():
    whole = first_batches(load(seed=3).train, 3)
    resumed = first_batches(load(seed=3, first_event=64).train, 1)
    np.testing.assert_array_equal(whole[2][0], resumed[0][0])


def test_images_and_classes_are_those_of_the_events():
    events = straight_lines.generate(50, seed=4)
    (images, classes), *_ = first_batches(
        batches.from_events(number_of_tracks.task(("side",)), events, batch_size=50), 1
    )
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, views.side_view(events))
    np.testing.assert_array_equal(classes, events.info["n_tracks"] - 1)


def test_several_views_come_as_a_dictionary_and_sides_as_channels():
    task = number_of_tracks.task(("top", "front"), n_channels=2)
    data = load(task, toyhaystack.generate, n_val=10, n_test=10, batch_size=8)
    images, _ = first_batches(data.val, 1)[0]
    assert {name: tuple(image.shape) for name, image in images.items()} == {
        "top": (8, 9, 113, 2),
        "front": (8, 30, 9, 2),
    }


def test_realistic_events_of_a_preset_are_loaded_by_the_same_means():
    data = load(generate=realistic.generator("harsh"), n_val=40, n_test=10, batch_size=40)
    events = realistic.generate(40, preset="harsh", seed=[0, 1])
    images, classes = first_batches(data.val, 1)[0]
    np.testing.assert_array_equal(images, views.top_view(events))
    np.testing.assert_array_equal(classes, events.info["n_tracks"] - 1)
    assert data.description["generator"] == "my_generator.realistic"


def test_validation_events_come_once_each():
    assert sum(len(y) for _, y in load(seed=0).val) == 100


def test_owners_come_with_the_images_they_belong_to():
    events = realistic.generate(70, preset="data", seed=2)
    task = number_of_tracks.task(("side",), owners_in=4)
    taken = list(batches.from_events(task, events, batch_size=32).as_numpy_iterator())
    assert sorted(len(images) for images, _ in taken) == [6, 32, 32]
    images = np.concatenate([images for images, _ in taken])
    owners, classes = (
        np.concatenate([labels[name] for _, labels in taken]) for name in ("owners", "n_tracks")
    )
    expected = {image.tobytes(): i for i, image in enumerate(views.side_view(events))}
    order = [expected[image.tobytes()] for image in images]
    assert sorted(order) == list(range(70))
    np.testing.assert_array_equal(owners, views.owners(events, "side", 4)[order])
    np.testing.assert_array_equal(classes, events.info["n_tracks"][order] - 1)
    n_lit = sorted((labels["owners"].any(-1).sum((1, 2)) for _, labels in taken), key=np.mean)
    assert all(less.max() < more.min() + 8 for less, more in itertools.pairwise(n_lit))


def test_owners_of_segments_come_with_numbers_of_segments():
    events = realistic.generate(32, preset="data", seed=2, kinks=0.5)
    task = number_of_tracks.task(owners_in=4, target="segments")
    ((_, labels),) = batches.from_events(task, events, batch_size=32).as_numpy_iterator()
    assert labels["owners"].shape[-1] == 9
    n_told = (
        labels["owners"][..., :8].any((1, 2)).sum()
    )  # a segment may have lost all of its hits, or share them
    assert 0.9 * events.n_segments.sum() < n_told <= events.n_segments.sum()


def test_a_resumed_run_with_owners_gets_the_events_that_come_next():
    task = number_of_tracks.task(("front",), owners_in=1)
    settings = {"task": task, "seed": 3, "block": 64}
    whole, resumed = (
        first_labels(load(**settings).train, 4),
        first_labels(load(**settings, first_event=64).train, 2),
    )
    assert sorted(whole[2:].ravel()) == sorted(resumed.ravel())


def first_labels(dataset, n):
    return np.stack([labels["n_tracks"].numpy() for _, labels in dataset.take(n)])


def test_validation_has_owners_and_tests_are_tables():
    data = load(number_of_tracks.task(("front",), owners_in=1))
    assert set(next(iter(data.val))[1]) == {"n_tracks", "owners"}
    assert len(data.tests["test"]) == 100


def test_voxels_are_loaded_by_the_same_means():
    data = load(
        number_of_tracks3D.task(), n_val=10, n_test=10, batch_size=8, block=number_of_tracks3D.BLOCK
    )
    assert first_batches(data.train, 1)[0][0].shape == (8, 9, 113, 30, 1)


@pytest.mark.parametrize(
    "strategy", [tf.distribute.get_strategy(), tf.distribute.OneDeviceStrategy("/cpu:0")]
)
@pytest.mark.parametrize("batch_size", [7, 64, 5000])
def test_batches_have_the_size_asked_for_under_every_strategy(strategy, batch_size):
    data = load(batch_size=batch_size, n_val=2100, n_test=1)
    distributed = strategy.experimental_distribute_dataset(data.train)
    assert [len(y) for _, (_, y) in zip(range(3), distributed, strict=False)] == [batch_size] * 3
    sizes = [len(y) for _, y in strategy.experimental_distribute_dataset(data.val)]
    assert sizes == [min(batch_size, 2100 - i) for i in range(0, 2100, batch_size)]


@pytest.fixture
def series(tmp_path):
    """Two series of four files, for 1 and 2 tracks, 10 events each."""
    for n in (1, 2):
        for i in range(4):
            hit_tree.write(
                tmp_path / f"my_generator_t{n}_{i}.root", straight_lines.generate(10, n, [n, i])
            )
    return tmp_path


def test_files_are_split_whole_and_every_series_is_in_each_split(series):
    split = batches.split_files(f"{series}/*.root")
    names = {name: sorted(path.name for path in paths) for name, paths in split.items()}
    assert {name: len(paths) for name, paths in names.items()} == {"train": 4, "val": 2, "test": 2}
    assert len({path for paths in names.values() for path in paths}) == 8
    assert all(
        {path[:15] for path in paths} == {"my_generator_t1", "my_generator_t2"}
        for paths in names.values()
    )


def test_files_are_shuffled_anew_each_time_round(series):
    data = batches.load(TASK, paths=f"{series}/*.root", batch_size=40)
    first, second = first_batches(data.train, 2)
    assert sorted(first[1]) == sorted(second[1])  # the same forty events
    assert not np.array_equal(first[0], second[0])
    assert set(data.description["files"]) == {"train", "val", "test"}


def test_files_only_tested_on_are_a_test_set_of_their_own(series):
    data = load(test_paths=f"{series}/my_generator_t1_*.root")
    assert len(data.tests["files"]) == 40
    assert len(data.description["test_files"]) == 4


def test_too_few_files_to_split_are_an_error_that_names_them(series):
    with pytest.raises(ValueError, match="my_generator_t1_.*1 files"):
        batches.split_files(series / "my_generator_t1_0.root")


@pytest.fixture
def haystack_series(tmp_path):
    """Three haystack files."""
    for i in range(3):
        hit_tree.write(tmp_path / f"toyhaystack_{i}.root", toyhaystack.generate(10, seed=i))
    return tmp_path


def test_the_straight_line_generators_files_have_one_side_and_others_two(series, haystack_series):
    assert number_of_tracks.sides_of_files(f"{series}/my_generator_*.root") == 1
    assert (
        number_of_tracks.sides_of_files(
            [f"{series}/my_generator_*.root", f"{haystack_series}/toyhaystack_0.root"]
        )
        == 2
    )


def test_events_on_both_sides_need_two_channels(haystack_series):
    hits = {"side": [0, 0, 1, 0, 1], "layer": range(5), "column": range(5)}
    events = make_events(hits, [0, 2, 3, 5], info={"n_tracks": [1, 1, 2]})
    with pytest.raises(ValueError, match="source: event 2 has hits on both tracker sides"):
        batches.from_events(TASK, events, source="source")
    assert first_batches(batches.from_events(number_of_tracks.task(n_channels=2), events), 1)[0][
        0
    ].shape == (
        3,
        9,
        113,
        2,
    )
    assert first_batches(batches.from_events(TASK, events[:2]), 1)[0][0].shape == (2, 9, 113, 1)
    with pytest.raises(ValueError, match="toyhaystack_0.root: event [0-9]+ has hits on both"):
        load(test_paths=f"{haystack_series}/*_0.root")
    with pytest.raises(ValueError, match="toyhaystack_[0-2].root: event [0-9]+ has hits on both"):
        batches.load(TASK, paths=f"{haystack_series}/*.root")


def test_unknown_number_of_tracks_is_an_error():
    events = straight_lines.generate(5)
    events.info["n_tracks"][2] = -1
    for target in number_of_tracks.TARGETS:
        with pytest.raises(ValueError, match=f"event 2 has -1 {target}"):
            batches.from_events(number_of_tracks.task(target=target), events)


def test_segments_are_counted_over_all_tracks_and_six_stands_for_more():
    n_segments = [[1], [2], [1, 2], [2, 2, 1], [2, 2, 2], [2, 2, 2, 2]]
    tracks = {"n_segments": np.concatenate(n_segments)}
    n_tracks = [len(of_event) for of_event in n_segments]
    offsets = np.concatenate([[0], np.cumsum(n_tracks)])
    events = make_events(
        {}, np.zeros(len(n_segments) + 1, int), tracks, offsets, {"n_tracks": n_tracks}
    )
    assert (number_of_tracks.classes(events, target="segments") + 1).tolist() == [1, 2, 3, 5, 6, 6]
    assert (number_of_tracks.classes(events) + 1).tolist() == [1, 1, 2, 3, 3, 4]


def test_an_event_whose_tracks_are_not_in_the_table_has_no_number_of_segments():
    events = make_events({}, [0, 0], info={"n_tracks": [2]})
    assert number_of_tracks.classes(events).tolist() == [1]
    with pytest.raises(ValueError, match="event 0 has -1 segments"):
        number_of_tracks.classes(events, target="segments")


def test_segments_of_tracks_that_are_not_in_the_table_are_unknown():
    events = make_events({}, [0, 0, 0], {"n_segments": [2]}, [0, 0, 1], {"n_tracks": [2, 1]})
    assert number_of_tracks.numbers(events, "segments").tolist() == [-1, 2]


def test_a_training_on_segments_gets_their_classes_in_every_split():
    kinked = realistic.generator("ideal", kinks=0.5)
    task = number_of_tracks.task(target="segments")
    data = load(task, kinked, n_val=64, n_test=64, batch_size=64)
    assert np.array_equal(data.tests["test"].n_segments, kinked(64, seed=[0, 2]).n_segments)
    for split, part in enumerate((data.train, data.val)):
        _, classes = first_batches(part, 1)[0]
        np.testing.assert_array_equal(
            classes, np.minimum(kinked(64, seed=[0, split]).n_segments, 6) - 1
        )
