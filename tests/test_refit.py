import numpy as np
import pytest

import metrics
from datasets.events import concatenate, make_events
from datasets.geometry import CELL_MM
from finding import refit
from my_generator import realistic

N = 4


def opinion(events, wrong=0.0, seed=0, sure=0.94):
    """What a network says that takes a share of the hits for another track or for noise, and knows the number
    of tracks.
    """
    rng = np.random.default_rng(seed)
    label = events.hits["track"].copy()
    other = rng.random(len(label)) < wrong
    label[other] = rng.integers(-1, N, other.sum())
    track = np.full((len(label), N + 1), (1 - sure) / N, np.float32)
    track[np.arange(len(label)), label] = sure
    n_tracks = np.full((len(events), 2, N + 1), 0.01, np.float32)
    n_tracks[:, 0, 0] = 0.96
    n_tracks[np.arange(len(events)), 1, events.info["n_tracks"]] = 0.96
    return track, n_tracks


def score(events, labels):
    hits = events.hits
    return metrics.clustering(
        events.hit_offsets, hits["track"], hits["second_track"], labels, events.info["n_tracks"]
    )["all"]


def test_each_hit_goes_to_its_most_probable_track_on_its_side():
    hits = {"layer": [0, 0, 1, 1, 2], "column": [3, 50, 3, 50, 3], "side": [0, 0, 1, 0, 1]}
    events = make_events({name: np.array(values) for name, values in hits.items()}, [0, 5])
    track = np.array(
        [[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.4, 0.5, 0.1]]
    )
    # tracks count in the order of their first hits; the second slot of side 1 is another track than that of
    # side 0
    assert refit.labels_of(events, track).tolist() == [0, 1, 2, -1, 2]


def test_a_network_that_is_right_is_left_right_on_ideal_events():
    events = realistic.generate(600, preset="ideal", seed=1)
    scores = score(events, refit.find(events, *opinion(events)))
    assert scores["perfect"]["value"] > 0.995


@pytest.mark.parametrize(
    ("preset", "perfect", "accuracy"), [("ideal", 0.95, 0.995), ("data", 0.6, 0.98)]
)
def test_lines_repair_what_the_network_got_wrong(preset, perfect, accuracy):
    events = realistic.generate(600, preset=preset, seed=2)
    track, n_tracks = opinion(events, wrong=0.07)
    alone, both = (
        score(events, refit.labels_of(events, track)),
        score(events, refit.find(events, track, n_tracks)),
    )
    assert alone["perfect"]["value"] < 0.35 and alone["hit_accuracy"]["value"] < 0.96
    assert both["perfect"]["value"] > perfect and both["hit_accuracy"]["value"] > accuracy


def test_hits_that_are_surely_noise_stay_out_even_on_a_line():
    events = realistic.generate(200, preset="ideal", tracks=(1,), seed=3)
    track, n_tracks = opinion(events)
    noise = np.random.default_rng(0).random(len(track)) < 0.1
    track[noise] = [0, 0, 0, 0, 1]
    labels = refit.find(events, track, n_tracks)
    assert (labels[noise] == -1).all()
    assert (labels[~noise] >= 0).mean() > 0.99


def test_segments_of_a_kinked_track_are_one_track_only_where_the_network_sees_one():
    events = realistic.generate(300, preset="ideal", tracks=(1,), seed=4, kinks=1.0)
    track, n_tracks = opinion(events)
    assert score(events, refit.find(events, track, n_tracks))["count_right"]["value"] > 0.97
    by_segment = np.full_like(track, 0.01)
    by_segment[np.arange(len(track)), events.hits["segment"]] = 0.96
    two = np.roll(n_tracks, 1, axis=2)
    two[:, 0] = n_tracks[:, 0]
    labels = refit.find(events, by_segment, two)
    n_found = np.array(
        [len(np.unique(part[part >= 0])) for part in np.split(labels, events.hit_offsets[1:-1])]
    )
    assert (n_found == 2).mean() > 0.7  # the others turn so little that one line fits both


def test_no_event_depends_on_those_beside_it_and_empty_ones_do_no_harm():
    events = realistic.generate(60, preset="data", seed=5)
    empty = make_events({}, [0, 0])
    track, n_tracks = opinion(events, wrong=0.05)
    whole = refit.find(events, track, n_tracks)
    parts = concatenate([events[30:], empty, events[:30]])
    cut = events.hit_offsets[30]
    swapped = refit.find(
        parts,
        np.concatenate([track[cut:], track[:cut]]),
        np.concatenate([n_tracks[30:], n_tracks[:1], n_tracks[:30]]),
    )
    np.testing.assert_array_equal(swapped, np.concatenate([whole[cut:], whole[:cut]]))
    assert (
        len(
            refit.find(empty, np.zeros((0, N + 1), np.float32), np.zeros((1, 2, N + 1), np.float32))
        )
        == 0
    )


@pytest.mark.parametrize("gap_mm, taken", [(300.0, True), (700.0, False)])
def test_a_long_line_takes_a_hit_beyond_a_gap_but_not_at_any_distance(gap_mm, taken):
    column = np.array(
        [*range(40, 60), 59 + round(gap_mm / CELL_MM)]
    )  # along the foil: 19 cells long
    hits = {"layer": np.full(len(column), 4), "column": column, "side": np.ones(len(column), int)}
    hits |= {
        "drift_radius_mm": np.full(len(column), 10.0),
        "z_mm": np.zeros(len(column)),
        "track": np.zeros(len(column), int),
    }
    events = make_events(hits, [0, len(column)], info={"n_tracks": [1]})
    labels = refit.find(events, *opinion(events))
    assert labels.tolist() == [0] * (len(column) - 1) + [0 if taken else -1]


def test_radii_wider_than_the_cell_are_no_harm():
    events = realistic.generate(200, preset="ideal", seed=8)
    events.hits["drift_radius_mm"][:] = 33.2  # what a drift time that is too long gives
    assert score(events, refit.find(events, *opinion(events)))["hit_accuracy"]["value"] > 0.97


def test_unmeasured_radii_and_heights_are_no_harm():
    events = realistic.generate(100, preset="data", seed=6)
    track, n_tracks = opinion(events)
    for name in ("drift_radius_mm", "z_mm"):
        events.hits[name][::3] = np.nan
    assert score(events, refit.find(events, track, n_tracks))["hit_accuracy"]["value"] > 0.97
