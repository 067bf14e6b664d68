"""Images as clustering networks take them, and what they are to say: checked by hand and by sets of cells."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_events
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import batches, clustering_images, views
from datasets.clustering_images import ANSWERS, DARK, N_TRACKS
from datasets.events import make_events
from my_generator import realistic

SEEDS = st.integers(0, 2**32 - 1)


def event_of(hits, n_tracks, foil_y_mm=None):
    """One event from (layer, column, track, second_track) of its hits."""
    layer, column, track, second = np.array(hits).T.reshape(4, -1)
    names = {"layer": layer, "column": column, "track": track, "second_track": second}
    tracks = {"foil_y_mm": np.arange(n_tracks) if foil_y_mm is None else foil_y_mm}
    info = {"n_tracks": [n_tracks]}
    return make_events(names, [0, len(layer)], tracks, [0, n_tracks], info)


def lit(image):
    """(layer, column) of the lit cells of an image (116, 12), as a set."""
    column, layer = np.nonzero(image == 1)
    return set(zip((layer - 2).tolist(), (column - 2).tolist(), strict=True))


def cells(hits):
    return {(layer, column) for layer, column, *_ in hits}


def sets_of(events, i):
    """Cells of each track, from the left, and of noise, by plain loops."""
    of_track = {t: set() for t in range(np.diff(events.track_offsets)[i])}
    noise = set()
    for h in range(events.hit_offsets[i], events.hit_offsets[i + 1]):
        cell = (int(events.hits["layer"][h]), int(events.hits["column"][h]))
        owners = {int(events.hits[name][h]) for name in ("track", "second_track")} & set(of_track)
        for owner in owners:
            of_track[owner].add(cell)
        if not owners:
            noise.add(cell)

    def place(t):
        lowest = min((column for _, column in of_track[t]), default=113)
        return lowest, events.tracks["foil_y_mm"][events.track_offsets[i] + t]

    return [of_track[t] for t in sorted(of_track, key=place)], noise


# Three tracks in the order of a file, the leftmost in the middle, the next one begins with its lowest layer:
# the original labels kept the whole event here, or lost the hit (0, 40).
MIDDLE = [
    (0, 30, 0, -1),
    (1, 31, 0, -1),
    (0, 10, 1, -1),
    (1, 9, 1, -1),
    (0, 40, 2, -1),
    (1, 41, 2, -1),
]


def test_the_left_track_goes_also_from_the_middle_of_a_file_and_nothing_else_does():
    events = event_of(MIDDLE, 3)
    assert lit(clustering_images.without_left(events)[0, ..., 0]) == cells(MIDDLE) - {
        (0, 10),
        (1, 9),
    }


def test_the_first_hit_of_the_track_written_after_the_left_one_stays():
    hits = [(0, 10, 0, -1), (1, 9, 0, -1), (0, 40, 1, -1), (1, 41, 1, -1)]
    assert lit(clustering_images.without_left(event_of(hits, 2))[0, ..., 0]) == {(0, 40), (1, 41)}


def test_a_shared_cell_and_noise_stay():
    hits = [(0, 10, 0, -1), (1, 11, 0, 1), (2, 12, 1, -1), (5, 2, -1, -1)]
    assert lit(clustering_images.without_left(event_of(hits, 2))[0, ..., 0]) == {
        (1, 11),
        (2, 12),
        (5, 2),
    }


def test_two_hits_in_a_cell_keep_it_if_one_of_them_stays():
    events = event_of([(0, 10, 0, -1), (1, 11, 0, -1), (2, 12, 1, -1)], 2)
    events.hits["layer"][2], events.hits["column"][2] = 1, 11  # as a table that was not merged
    assert lit(clustering_images.without_left(events)[0, ..., 0]) == {(1, 11)}
    kept = clustering_images.at_hits(events, clustering_images.removed_left(events))[:, 0]
    assert kept.tolist() == [0, 1, 1]


def test_of_one_track_noise_alone_stays():
    hits = [(0, 10, 0, -1), (5, 2, -1, -1)]
    assert lit(clustering_images.without_left(event_of(hits, 1))[0, ..., 0]) == {(5, 2)}


def test_of_two_tracks_in_the_same_lowest_column_the_lower_foil_point_is_left():
    hits = [(0, 10, 0, -1), (3, 10, 1, -1), (4, 12, 1, -1)]
    foil_says_second = event_of(hits, 2, foil_y_mm=[5.0, -5.0])
    assert lit(clustering_images.without_left(foil_says_second)[0, ..., 0]) == {(0, 10)}
    nothing_says = event_of(hits, 2, foil_y_mm=[np.nan, np.nan])
    assert clustering_images.rank_from_left(nothing_says).tolist() == [0, 1]


def test_tracks_without_a_hit_come_last():
    events = event_of([(0, 50, 1, -1)], 3, foil_y_mm=[-9.0, 0.0, -10.0])
    assert clustering_images.rank_from_left(events).tolist() == [2, 0, 1]


@given(SEEDS, st.lists(st.integers(0, 15), max_size=5))
@settings(max_examples=40, deadline=None)
def test_answers_are_the_sets_of_cells_of_tracks(seed, n_hits):
    events = random_events(seed, n_hits)
    events.tracks["foil_y_mm"][:] = np.random.default_rng(seed).uniform(
        -1, 1, len(events.tracks["side"])
    )
    image = views.padded_view(events)
    removed = clustering_images.removed_left(events)
    channels = clustering_images.channels(events)
    two = clustering_images.seeded(events)
    grown = clustering_images.grown(events)
    assert len(two) == len(grown)
    row = 0
    for i in range(len(events)):
        tracks, noise = sets_of(events, i)
        every = lit(image[i, ..., 0])
        stays = noise.union(*tracks[1:])
        assert lit(removed[i, ..., 0]) == stays
        assert np.count_nonzero(removed[i] == 0) == len(every - stays)
        assert [lit(channels[i, ..., k]) for k in range(N_TRACKS + 1)] == [*tracks, noise]
        for of_row in [*filter(None, tracks), *filter(None, [noise])]:
            assert lit(two[row, ..., 0]) == every
            highest = max(layer for layer, _ in of_row)
            lowest = min(column for layer, column in of_row if layer == highest)
            assert lit(two[row, ..., 1]) == {(highest, lowest)}
            found = set() if of_row is noise else of_row
            assert lit(grown[row, ..., 0]) == found
            assert np.count_nonzero(grown[row] == 0) == len(every - found)
            row += 1
    assert row == len(two)
    assert (removed[image == 0] == DARK).all() and (grown[two[..., :1] == 0] == DARK).all()


@pytest.mark.parametrize("preset", ["ideal", "data"])
@pytest.mark.parametrize("tracks", [(2,), (1, 2, 3, 4)])
def test_removal_takes_the_hits_of_one_track_and_no_other(preset, tracks):
    events = realistic.generate(200, tracks, preset, seed=3)
    removed = clustering_images.removed_left(events)
    gone = clustering_images.at_hits(events, removed)[:, 0] == 0
    owners = clustering_images.owners_from_left(events)
    np.testing.assert_array_equal(gone, (owners[:, 0] == 0) & (owners[:, 1] < 1))
    assert (removed[views.padded_view(events) == 0] == DARK).all()


@pytest.mark.parametrize("answers", ANSWERS)
def test_a_batch_is_what_its_signature_says_also_of_odd_events(answers):
    task = clustering_images.task(answers)
    inputs_spec, labels_spec = task.signature()
    odd = random_events(5, [0, 1, 40, 9 * 113])
    odd.hits["track"][odd.hit_event == 2] = -1  # noise only
    odd.hits["second_track"][odd.hit_event == 2] = -1
    for events in (odd, odd[:0], realistic.generate(20, preset="data", seed=1)):
        inputs, labels = task.inputs(events), task.labels(events)
        assert inputs_spec.is_compatible_with(tf.constant(inputs))
        assert labels_spec["cells"].is_compatible_with(tf.constant(labels["cells"]))
        assert len(inputs) == len(labels["cells"])


@pytest.mark.parametrize("answers", ANSWERS)
def test_events_come_from_a_generator_without_end_and_once_to_validate(answers):
    task = clustering_images.task(answers)
    generate = realistic.generator("data", (2,))
    data = batches.load(task, generate, batch_size=8, n_val=16, n_test=8, block=16)
    n_rows = [len(inputs) for inputs, _ in data.train.take(3)]
    assert len(n_rows) == 3
    assert n_rows == [8, 8, 8] or answers == "seeded"
    assert len(list(data.val)) == 2


def test_events_of_both_sides_and_of_many_tracks_are_refused():
    events = random_events(0, [3, 12], sides=(0, 1))
    with pytest.raises(ValueError, match="mine: event . has hits on both tracker sides"):
        clustering_images.task("removal").check(events, "mine")
    hits = [(0, 10 * t, t, -1) for t in range(5)]
    five = event_of(hits, 5)
    clustering_images.task("removal").check(five, "mine")
    with pytest.raises(ValueError, match="mine: event 0 has 5 tracks; channels are 4"):
        clustering_images.task("channels").check(five, "mine")
