"""The oracle: lines are known, owners of hits are not."""

import numpy as np
import pytest

import metrics
from datasets.events import make_events
from finding import oracle
from my_generator import realistic, straight_lines, toyhaystack
from my_generator.response import PRESETS


def score(events, labels, figure="perfect"):
    hits = events.hits
    return metrics.clustering(
        events.hit_offsets, hits["track"], hits["second_track"], labels, events.info["n_tracks"]
    )["all"][figure]["value"]


def one_event(extra=(), track=(), length=9):
    """A track straight away from the foil, 8 mm beside the wires of column 56, at z = 100 mm, and more hits.

    Args:
        extra: (layer, column, radius, z) of more hits. track: of them, -1 by default.
    """
    hits = np.array(
        [(layer, 56, 8.0, 100.0) for layer in range(length)] + list(extra), float
    ).reshape(-1, 4)
    track = [0] * length + list(track or [-1] * len(extra))
    names = ("layer", "column", "drift_radius_mm", "z_mm")
    table = dict(zip(names, hits.T, strict=True)) | {"track": track}
    return make_events(
        table,
        [0, len(hits)],
        {"side": [1] * (max(track) + 1)},
        [0, max(track) + 1],
        {"n_tracks": [max(track) + 1]},
    )


@pytest.mark.parametrize(
    "make",
    [straight_lines.generate, lambda n: straight_lines.generate(n, kink_probability=0.5)],
    ids=("straight", "kinked"),
)
def test_exact_events_are_right_hit_for_hit(make):
    events = make(400)
    labels = oracle.find(events, 0.1, 1.0)
    assert score(events, labels) >= 0.995 and score(events, labels, "signal_kept") == 1


def test_both_tracker_sides_are_looked_at():
    events = toyhaystack.generate(400, seed=2)
    assert set(events.hits["side"]) == {0, 1}
    assert score(events, oracle.find(events, 0.1, 1.0)) >= 0.98


@pytest.mark.parametrize(
    ("hit", "plain", "covered"),
    [
        ((8, 56, 8.0, 100.0), 0, 0),
        (
            (8, 56, 12.0, 100.0),
            -1,
            -1,
        ),  # farther from the wire than the line, which would have fired the cell before
        ((8, 56, 3.0, 100.0), -1, 0),  # nearer: it covers the track's
        ((8, 56, 8.0, 160.0), -1, -1),  # its height is another
        ((8, 56, 3.0, 160.0), -1, 0),
        (
            (8, 56, np.nan, 100.0),
            0,
            0,
        ),  # a line that crosses the cell explains a hit without a radius
        ((8, 57, np.nan, 100.0), -1, -1),
        ((8, 57, 20.0, 100.0), -1, -1),
        ((8, 60, 8.0, 100.0), -1, -1),
        ((8, 56, 8.0, np.nan), 0, 0),
    ],
)
def test_which_hits_a_line_explains(hit, plain, covered):
    events = one_event([hit], length=8)
    for wanted, keep in ((plain, False), (covered, True)):
        labels = oracle.find(events, 0.5, 10.0, covered=keep)
        assert labels.tolist() == [0] * 8 + [wanted]


def test_a_hit_goes_to_the_line_that_explains_it_best():
    """Lines 8 mm on either side of the wires: the second's hits in column 57 lie 36 mm beyond the first line."""
    second = [(layer, 57, 14.0, 100.0) for layer in range(9)]  # at 44 - 14 = 30 mm, or at 58 mm
    events = one_event(second, [1] * 9)
    assert oracle.find(events, 0.5, 10.0).tolist() == [0] * 9 + [1] * 9


def test_a_track_of_one_hit_keeps_it_and_a_track_without_hits_is_not_found():
    events = one_event([(4, 80, 5.0, 0.0)], [1])
    assert oracle.find(events, 0.5, 10.0).tolist() == [0] * 9 + [1]
    lost = events.keep_hits(events.hits["track"] != 1)
    assert oracle.find(lost, 0.5, 10.0).tolist() == [0] * 9


def test_events_without_hits_and_no_events_at_all_are_no_problem():
    events = one_event()
    assert oracle.find(events.keep_hits(events.hits["layer"] < 0), 0.5, 10.0).tolist() == []
    assert oracle.find(events[:0], 0.5, 10.0).tolist() == []


@pytest.mark.parametrize("preset", ("data", "harsh"))
def test_covered_hits_are_worth_keeping(preset):
    """A cell fires once, so where noise comes nearer the track's hit has the noise's radius; labels give it
    to the track.
    """
    events = realistic.generate(400, preset=preset, seed=5)
    errors = 1.2 if preset == "data" else 2.0, PRESETS[preset].height_sigma_mm
    kept = [
        score(events, oracle.find(events, *errors, covered=covered), "signal_kept")
        for covered in (False, True)
    ]
    assert kept[0] < kept[1] and kept[1] > 0.995


def test_bent_tracks_need_arcs():
    events = realistic.generate(200, tracks=(1, 2), preset="ideal", seed=9, kind="electrons")
    labels = [oracle.find(events, 2.0, 15.0, covered=True, arcs=arcs) for arcs in (False, True)]
    by_lines, by_arcs = (score(events, found) for found in labels)
    assert by_arcs > 0.8 > by_lines + 0.2


def test_lines_are_arcs_for_the_oracle_too():
    events = realistic.generate(200, preset="ideal", seed=10, kinks=0.0)
    assert score(events, oracle.find(events, 0.1, 1.0, arcs=True)) > 0.95
