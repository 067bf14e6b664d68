"""The refit with arcs: bent tracks, straight ones, and events nobody named."""

import numpy as np
import pytest
from test_refit import N, opinion, score

from datasets.events import concatenate, make_events
from finding import arc_refit, refit
from finding.labels import finder_hits
from my_generator import family, realistic


def figures(events, labels):
    scores = score(events, labels)
    return scores["perfect"]["value"], scores["count_right"]["value"]


def test_a_network_that_is_right_is_left_right_on_bent_tracks():
    events = realistic.generate(300, tracks=(1, 2), preset="ideal", seed=1, kind="electrons")
    perfect, count_right = figures(events, arc_refit.find(events, *opinion(events)))
    assert perfect > 0.85 and count_right > 0.92


def test_arcs_repair_bent_tracks_that_lines_break():
    events = realistic.generate(250, tracks=(1, 2, 3), preset="data", seed=2, kind="electrons")
    track, n_tracks = opinion(events, wrong=0.05)
    by_arcs, count_by_arcs = figures(events, arc_refit.find(events, track, n_tracks))
    by_lines, count_by_lines = figures(events, refit.find(events, track, n_tracks))
    assert by_arcs > by_lines + 0.2
    assert count_by_arcs > count_by_lines + 0.05


@pytest.mark.parametrize("preset", ["ideal", "data"])
def test_straight_tracks_are_found_as_well_as_with_lines_alone(preset):
    events = realistic.generate(250, preset=preset, seed=3)
    track, n_tracks = opinion(events, wrong=0.05)
    perfect, count_right = figures(events, arc_refit.find(events, track, n_tracks))
    perfect_by_lines, count_by_lines = figures(events, refit.find(events, track, n_tracks))
    assert perfect > perfect_by_lines - 0.01
    assert count_right > count_by_lines - 0.01


def test_the_way_of_lines_alone_is_that_of_the_refit():
    events = realistic.generate(100, preset="data", seed=4)
    track, n_tracks = opinion(events, wrong=0.05)
    hits, order = finder_hits(events)
    constants = (arc_refit.Constants(), refit.Constants())
    ways = arc_refit.explanations(hits, track[order], n_tracks, 0, *constants)
    labels = arc_refit.choose(events, hits, order, ways[:1])
    np.testing.assert_array_equal(labels, refit.find(events, track, n_tracks))


def test_no_event_depends_on_those_beside_it_and_empty_ones_do_no_harm():
    events = family.generate("electron_v_vertex", 40, seed=5)
    empty = make_events({}, [0, 0])
    track, n_tracks = opinion(events, wrong=0.05)
    whole = arc_refit.find(events, track, n_tracks)
    cut = events.hit_offsets[20]
    swapped = arc_refit.find(
        concatenate([events[20:], empty, events[:20]]),
        np.concatenate([track[cut:], track[:cut]]),
        np.concatenate([n_tracks[20:], n_tracks[:1], n_tracks[:20]]),
    )
    assert (swapped == np.concatenate([whole[cut:], whole[:cut]])).mean() > 0.99
    nothing = arc_refit.find(
        empty, np.zeros((0, N + 1), np.float32), np.zeros((1, 2, N + 1), np.float32)
    )
    assert len(nothing) == 0


def test_unmeasured_radii_and_heights_single_hits_and_noise_are_no_harm():
    events = realistic.generate(100, preset="data", seed=6, kind="electrons")
    track, n_tracks = opinion(events)
    for name in ("drift_radius_mm", "z_mm"):
        events.hits[name][::3] = np.nan
    labels = arc_refit.find(events, track, n_tracks)
    assert score(events, labels)["hit_accuracy"]["value"] > 0.9
    first = events.keep_hits(events.hit_place == 0)
    of_first = track[events.hit_place == 0]
    assert (arc_refit.find(first, of_first, n_tracks) == -1).all()
    is_noise = np.zeros_like(track)
    is_noise[:, -1] = 1
    assert (arc_refit.find(events, is_noise, n_tracks) == -1).all()
