"""Tracks are found one after the other, as many as asked for on each side."""

import numpy as np
import pytest

from datasets.events import concatenate, make_events
from datasets.geometry import CELL_MM
from finding import iterative
from my_generator import realistic, straight_lines


def two_tracks(radius_missing=(), noise=()):
    """An event of the detector with a track on side 0 and two that cross on side 1, and noise."""
    hits = []
    for track, (side, y0, slope) in enumerate([(0, 500, 0.4), (1, -300, 0.7), (1, 310, -0.9)]):
        for layer in range(9):
            x = 53 + CELL_MM * layer
            y = y0 + slope * x
            column = round(y / CELL_MM)
            radius = abs(y - CELL_MM * column) / np.hypot(1, slope)
            path = x * np.hypot(1, slope)
            hits.append((side, layer, column + 56, radius, 100 * track + 0.5 * path, track))
    hits += [(1, layer, column, 8.0, 0.0, -1) for layer, column in noise]
    side, layer, column, radius, z, track = np.array(hits).T
    radius[list(radius_missing)] = np.nan
    names = ("side", "layer", "column", "drift_radius_mm", "z_mm", "track")
    table = dict(zip(names, (side, layer, column, radius, z, track), strict=True))
    for name in ("side", "layer", "column", "track"):
        table[name] = table[name].astype(int)
    tracks = {"side": [0, 1, 1]}
    assert len({hit[:3] for hit in hits}) == len(hits)
    return make_events(table, [0, len(hits)], tracks, [0, 3], {"n_tracks": [3]})


def same_partition(labels, truth):
    """Whether labels are those of the truth but for their numbers."""
    pairs = set(zip(labels.tolist(), truth.tolist(), strict=True))
    return len(pairs) == len(set(labels.tolist())) == len(set(truth.tolist()))


def test_all_tracks_of_both_sides_are_found_with_their_lines():
    events = two_tracks(noise=[(4, 100), (8, 5)])
    found = iterative.find(events, [[1, 2]])
    assert same_partition(found.labels, events.hits["track"])
    assert found.event.tolist() == [0, 0, 0]
    assert found.side.tolist() == [0, 1, 1]
    assert found.label.tolist() == [0, 1, 2]
    assert found.place.tolist() == [0, 0, 1]
    assert found.n_hits.tolist() == [9, 9, 9]
    slope, _ = found.lines.slopes()
    foil, _ = found.lines.foil_mm()
    assert sorted(np.round(slope, 2).tolist()) == [-0.9, 0.4, 0.7]
    assert sorted(np.round(foil).tolist()) == [-300, 310, 500]
    assert (found.quality_per_mm > 0.17).all()


def test_lines_are_drawn_on_their_side_from_the_foil_to_the_last_hit():
    found = iterative.find(two_tracks(), [[1, 2]])
    pieces = found.pieces()
    assert pieces["event"].tolist() == [0, 0, 0]
    assert pieces["track"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(pieces["x_mm"][:, 0], 0, atol=1e-9)
    ends = pieces["x_mm"][:, 1]
    assert -440 < ends[0] < -380
    assert ((ends[1:] > 380) & (ends[1:] < 440)).all()
    np.testing.assert_allclose(pieces["y_mm"][0, 0], 500, atol=1)


def test_no_more_are_found_than_asked_for():
    events = two_tracks()
    assert len(iterative.find(events, [[0, 0]])) == 0
    assert (iterative.find(events, [[0, 0]]).labels == -1).all()
    one = iterative.find(events, [[0, 1]])
    assert one.side.tolist() == [1]
    assert np.count_nonzero(one.labels >= 0) >= 9


def test_no_more_are_found_than_there_are():
    found = iterative.find(two_tracks(noise=[(4, 100), (8, 5)]), [[5, 5]])
    assert found.side.tolist() == [0, 1, 1]


def test_a_track_of_low_quality_is_not_taken():
    limits = iterative.Limits(min_quality_per_mm=0.1996)
    assert len(iterative.find(two_tracks(), [[1, 2]], limits)) == 0


def test_a_hit_without_radius_is_on_the_track_that_crosses_its_cell():
    events = two_tracks(radius_missing=[3, 12])
    found = iterative.find(events, [[1, 2]])
    assert same_partition(found.labels, events.hits["track"])


def test_tracks_are_looked_for_in_a_window():
    events = two_tracks()
    limits = iterative.Limits(
        phi_window_rad=(np.arctan(-1) - np.pi / 2, np.arctan(-0.5) - np.pi / 2)
    )
    found = iterative.find(events, [[1, 2]], limits)
    slope, _ = found.lines.slopes()
    assert np.round(slope, 2).tolist() == [-0.9]
    limits = iterative.Limits(foil_window_mm=(450, 600))
    found = iterative.find(events, [[1, 0]], limits)
    foil, _ = found.lines.foil_mm()
    assert np.round(foil).tolist() == [500]
    assert len(iterative.find(events, [[0, 2]], iterative.Limits(foil_window_mm=(1500, 1600)))) == 0


def test_events_do_not_depend_on_each_other_nor_on_the_order_of_hits():
    events = realistic.generate(40, preset="data", seed=1)
    n_tracks = np.stack([np.zeros(40, int), events.info["n_tracks"]], axis=1)
    together = iterative.find(events, n_tracks)
    for i in (0, 7, 39):
        alone = iterative.find(events[i], n_tracks[[i]])
        own = slice(events.hit_offsets[i], events.hit_offsets[i + 1])
        np.testing.assert_array_equal(alone.labels, together.labels[own])
    rng = np.random.default_rng(2)
    order = np.lexsort((rng.random(len(events.hits["side"])), events.hit_event))
    mixed = events.with_hits({name: values[order] for name, values in events.hits.items()})
    np.testing.assert_array_equal(iterative.find(mixed, n_tracks).labels, together.labels[order])


def test_ideal_tracks_are_nearly_all_perfect():
    events = straight_lines.generate(100, tracks=(1, 2), seed=3)
    n_tracks = np.stack([np.zeros(100, int), events.info["n_tracks"]], axis=1)
    found = iterative.find(events, n_tracks)
    assert len(found) == n_tracks.sum()
    right = found.labels >= 0
    assert right.mean() > 0.99


def test_labels_count_through_the_tracks_of_an_event():
    events = concatenate([two_tracks(), two_tracks(), two_tracks()])
    found = iterative.find(events, [[1, 2], [0, 0], [1, 1]])
    assert found.event.tolist() == [0, 0, 0, 2, 2]
    assert found.label.tolist() == [0, 1, 2, 0, 1]
    for track in range(len(found)):
        own = (events.hit_event == found.event[track]) & (found.labels == found.label[track])
        assert np.count_nonzero(own) == found.n_hits[track]
        assert (events.hits["side"][own] == found.side[track]).all()


@pytest.mark.parametrize("n_hits", [0, 1, 2])
def test_too_few_hits_give_no_track(n_hits):
    events = two_tracks()
    events = events.keep_hits(np.arange(len(events.hits["side"])) < n_hits)
    found = iterative.find(events, [[4, 4]])
    assert len(found) == 0
    assert found.labels.tolist() == [-1] * n_hits
    assert len(found.pieces()["event"]) == 0


def test_no_events_and_hits_without_any_radius_give_nothing():
    none = two_tracks()[:0]
    assert len(iterative.find(none, np.zeros((0, 2), int))) == 0
    assert len(iterative.find(two_tracks(radius_missing=range(27)), [[2, 2]])) == 0


def test_a_tracker_in_which_every_cell_fired_comes_to_an_end():
    side, layer, column = np.indices((2, 9, 113)).reshape(3, -1)
    hits = {"side": side, "layer": layer, "column": column, "drift_radius_mm": np.full(2034, 10.0)}
    found = iterative.find(
        make_events(hits, [0, 2034]), [[4, 4]], iterative.Limits(min_quality_per_mm=0)
    )
    assert len(found.labels) == 2034
    assert len(found) <= 8
