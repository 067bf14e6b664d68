"""Tracks with kinks: the broken lines themselves, their hits and their truth.

Events without kinks stay as they were.
"""

import hashlib
import itertools
from functools import partial

import numpy as np
import pytest
import uproot
from conftest import assert_same
from scipy import stats

from datasets.events import concatenate, make_events
from datasets.geometry import (
    CELL_MM,
    HALF_HEIGHT_MM,
    N_COLUMNS,
    N_LAYERS,
    TOY_HALF_HEIGHT,
    toy_calo_block,
)
from datasets.readers import hit_tree
from my_generator import blocks, straight_lines

DEGREES = (5, 25)
LAYERS = (3, 6)


def draw(n, seed=0, degrees=DEGREES, layers=LAYERS):
    """n tracks with a kink: lines (track, segment, 4), first and count (track, segment, layer)."""
    drawing = partial(straight_lines._kinked, degrees=degrees, layers=layers)
    return straight_lines._draw_until(n, np.random.default_rng(seed), drawing)


@pytest.fixture(scope="module")
def kinked():
    return draw(2000)


@pytest.fixture(scope="module")
def events():
    return straight_lines.generate(2000, seed=3, kink_probability=0.3)


def angles(lines):
    """Of the directions away from the foil, in degrees: (..., 2) of the top and of the side view."""
    return np.degrees(np.arctan(np.tan(lines[..., :2])))


def kink_x(lines):
    """Where the two lines of each track meet, in cells from the foil.

    Returns:
        (track, 2), in the top view and in the side view.
    """
    slope_1, slope_2 = np.tan(lines[..., :2]).swapaxes(0, 1)
    start_1, start_2 = lines[..., 2:].swapaxes(0, 1)
    return (start_1 - start_2) / (slope_2 - slope_1)


def owner_of(events):
    """(hit,) index of the track of each hit."""
    return events.track_offsets[events.hit_event] + events.hits["track"]


# Without kinks ----------------------------------------------------------------------------------------------


def test_events_without_kinks_are_those_that_models_were_trained_on():
    events = straight_lines.generate(3000, seed=[0, 0], first_event=1000)
    hits = events.hits
    tracks = events.tracks
    arrays = [
        events.hit_offsets,
        hits["layer"],
        hits["column"],
        hits["track"],
        hits["second_track"],
        events.track_offsets,
        tracks["calo_column"],
        tracks["calo_row"],
        events.info["event"],
        # sin and tan differ by a bit between machines
        np.round(hits["drift_radius_mm"]),
        np.round(hits["z_mm"]),
    ]
    content = b"".join(values.astype("<i8").tobytes() for values in arrays)
    digest = hashlib.sha256(content).hexdigest()
    assert digest == "0e9e9ff7648a3530ec34e6bd392f424043b99185c4ab4f409449a198f93c395e"


def test_no_kinks_and_no_kinks_asked_for_are_the_same():
    events = straight_lines.generate(3000, seed=5)
    kinks = {"kink_probability": 0.0, "kink_degrees": (1, 2), "kink_layers": (1, 8)}
    assert_same(straight_lines.generate(3000, seed=5, **kinks), events)
    assert not events.tracks["kinked"].any()
    assert not events.hits["segment"].any()
    np.testing.assert_array_equal(events.n_segments, events.info["n_tracks"])


def test_tracks_that_get_no_kink_stay_as_they_were(events):
    straight = straight_lines.generate(2000, seed=3)
    np.testing.assert_array_equal(events.info["n_tracks"], straight.info["n_tracks"])
    same = ~events.tracks["kinked"]
    for name in events.tracks:
        np.testing.assert_array_equal(
            events.tracks[name][same], straight.tracks[name][same], err_msg=name
        )
    n_kinked = np.bincount(events.track_event, events.tracks["kinked"], len(events))
    untouched = n_kinked == 0
    assert 500 < untouched.sum() < 1500
    assert_same(events[untouched], straight[untouched])


# The broken lines -------------------------------------------------------------------------------------------


def test_the_two_segments_meet_between_layers_three_and_six(kinked):
    x = kink_x(kinked[0])
    np.testing.assert_allclose(x, np.round(x), atol=1e-6)
    in_top_view, in_side_view = np.round(x).T
    np.testing.assert_array_equal(in_top_view, in_side_view)
    assert set(in_top_view) == {3, 4, 5, 6}


def test_both_views_turn_by_five_to_twenty_five_degrees_either_way(kinked):
    before, after = angles(kinked[0]).swapaxes(0, 1)
    turn = after - before
    size = np.abs(turn)
    assert 5 <= size.min() < 5.1
    assert 24.9 < size.max() <= 25
    signs, n_tracks = np.unique(np.sign(turn), axis=0, return_counts=True)
    assert signs.tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert n_tracks.min() > 300
    assert np.abs(after).max() < 90  # away from the foil, as before


def test_turns_and_layers_are_drawn_uniformly():
    lines, *_ = straight_lines._kinked(20_000, np.random.default_rng(11), DEGREES, LAYERS)
    lines = lines.transpose(2, 0, 1)  # of all tracks, before any is rejected
    turn = np.abs(np.diff(angles(lines), axis=1))[:, 0]
    for view in turn.T:
        assert stats.kstest(view, stats.uniform(5, 20).cdf).pvalue > 0.001
    correlation, _ = stats.pearsonr(*turn.T)
    assert abs(correlation) < 0.03
    layer = np.round(kink_x(lines)[:, 0]).astype(int)
    n_kinks = np.bincount(layer)[3:]
    assert stats.chisquare(n_kinks).pvalue > 0.001


@pytest.mark.parametrize(
    "degrees, layers", [((1, 2), (2, 2)), ((40, 60), (1, 8)), ((10, 10), (6, 7))]
)
def test_turns_and_layers_are_those_asked_for(degrees, layers):
    lines, *_ = draw(300, 1, degrees, layers)
    turn = np.abs(np.diff(angles(lines), axis=1))
    least, most = degrees
    assert least - 1e-9 <= turn.min() <= turn.max() <= most + 1e-9
    layer = np.round(kink_x(lines)[:, 0])
    first, last = layers
    assert first <= layer.min() <= layer.max() <= last


def test_a_kink_by_hand():
    # 45 degrees up from y = 10, level in z; at x = 4, y = 14 it turns to 60 degrees, and down to -20 degrees
    # in z
    line = np.array([[np.pi / 4], [0.0], [10.0], [2.0]])
    turns = np.radians([[15.0], [-20.0]])
    beyond = straight_lines._beyond_kink(line, np.array([4]), turns)
    a, b, y0, z0 = beyond[:, 0]
    assert np.degrees([a, b]) == pytest.approx([60, -20])
    assert y0 + np.tan(a) * 4 == pytest.approx(14)
    assert z0 + np.tan(b) * 4 == pytest.approx(2)


@pytest.mark.parametrize(
    "angle, turn, expected",
    [(80, 20, 60), (100, -20, -60), (80, 5, 85), (95, -10, -75), (20, -25, -5), (170, 25, 15)],
)
def test_a_track_that_would_turn_back_to_the_foil_turns_the_other_way(angle, turn, expected):
    # 100 degrees in (0, 180), as angles are drawn, is -80 away from the foil
    line = np.array([[np.radians(angle)], [1.0], [50.0], [0.0]])
    turns = np.radians([[turn], [10.0]])
    turned = straight_lines._beyond_kink(line, np.array([5]), turns)
    assert np.degrees(turned[0, 0]) == pytest.approx(expected)


# Their hits -------------------------------------------------------------------------------------------------


def test_a_loop_over_all_cells_gives_the_hits_of_both_segments(kinked):
    lines, first, count = (values[:300] for values in kinked)
    column = np.arange(N_COLUMNS)
    found = (column >= first[..., None]) & (column < (first + count)[..., None])

    a, b, y0, z0 = np.moveaxis(lines, -1, 0)[..., None, None]
    wire_x = np.arange(N_LAYERS)[:, None] + 0.5
    wire_y = np.arange(N_COLUMNS) + 0.5
    # of the point closest to the wire, (track, segment, layer, column)
    x = (wire_x + (wire_y - y0) * np.tan(a)) * np.cos(a) ** 2
    y = y0 + np.tan(a) * x
    z = z0 + np.tan(b) * x
    in_square = (np.abs(x - wire_x) < 0.5) & (np.abs(y - wire_y) < 0.5)
    expected = in_square & (np.abs(z) < TOY_HALF_HEIGHT)
    # and that point is on the part of the line that is there
    kink = np.round(kink_x(lines)[:, 0])[:, None, None]
    expected[:, 0] &= x[:, 0] < kink
    expected[:, 1] &= x[:, 1] > kink
    np.testing.assert_array_equal(found, expected)


def one_track_each(kinked):
    """Events of one track with a kink each, from what `draw` gives."""
    lines, first, count = kinked
    n = len(lines)
    n_tracks = np.ones(n, int)
    n_kinks = np.ones(n, int)
    lines = lines.reshape(-1, 4).T
    first = first.reshape(-1, N_LAYERS)
    count = count.reshape(-1, N_LAYERS)
    return straight_lines._to_events(n_tracks, n_kinks, lines, first, count)


def test_every_hit_lies_on_its_segment(kinked):
    lines, _, _ = kinked
    events = one_track_each(kinked)
    segment = events.hits["segment"]
    a, b, y0, z0 = lines[events.hit_event, segment].T
    wire_x = events.hits["layer"] + 0.5
    wire_y = events.hits["column"] + 0.5
    distance = wire_y - y0 - np.tan(a) * wire_x  # along y
    radius = np.abs(distance * np.cos(a)) * CELL_MM
    np.testing.assert_allclose(events.hits["drift_radius_mm"], radius, atol=1e-3)
    x = (wire_x + (wire_y - y0) * np.tan(a)) * np.cos(a) ** 2  # of the point closest to the wire
    z = z0 + np.tan(b) * x
    np.testing.assert_allclose(events.hits["z_mm"], z / TOY_HALF_HEIGHT * HALF_HEIGHT_MM, atol=1e-3)
    kink = kink_x(lines)[events.hit_event, 0]
    assert (x[segment == 0] < kink[segment == 0] + 1e-6).all()
    assert (x[segment > 0] > kink[segment > 0] - 1e-6).all()


def test_foil_point_and_slopes_belong_to_the_first_segment_the_block_to_the_last(kinked):
    lines, _, _ = kinked
    tracks = one_track_each(kinked).tracks
    first, last = lines.swapaxes(0, 1)
    foil_y_mm = (first[:, 2] - N_COLUMNS / 2) * CELL_MM
    np.testing.assert_allclose(tracks["foil_y_mm"], foil_y_mm, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(tracks["slope_y"], np.tan(first[:, 0]), rtol=1e-5)
    end = last[:, 2:] + np.tan(last[:, :2]) * N_LAYERS
    calo_column, calo_row = toy_calo_block(*end.T)
    np.testing.assert_array_equal(tracks["calo_column"], calo_column)
    np.testing.assert_array_equal(tracks["calo_row"], calo_row)


def test_a_segment_has_three_hits_at_least_and_layers_of_its_own():
    events = straight_lines.generate(3000, tracks=1, seed=2, kink_probability=1.0)
    layer = events.hits["layer"]
    segment = events.hits["segment"]
    for k in (0, 1):
        n_hits = np.bincount(events.hit_event[segment == k], minlength=3000)
        assert n_hits.min() == 3
    last = np.zeros(3000, int)  # layer of the first segment
    np.maximum.at(last, events.hit_event[segment == 0], layer[segment == 0])
    first = np.full(3000, 9)  # layer of the second
    np.minimum.at(first, events.hit_event[segment == 1], layer[segment == 1])
    assert (last < first).all()
    assert set(first[last == first - 1]) == {3, 4, 5, 6}
    same_event = np.diff(events.hit_event) == 0
    assert (np.diff(segment)[same_event] >= 0).all()


# Their truth ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.01, 0.15, 1.0])
def test_the_share_of_kinked_tracks_is_that_asked_for(probability):
    events = straight_lines.generate(2048, seed=1, kink_probability=probability)
    kinked = events.tracks["kinked"]
    assert stats.binomtest(int(kinked.sum()), len(kinked), probability).pvalue > 0.001
    np.testing.assert_array_equal(events.tracks["n_segments"], 1 + kinked)


def test_a_track_may_have_more_than_one_kink():
    events = straight_lines.generate(2048, seed=1, kink_probability=0.5, max_kinks=2)
    n_segments = events.tracks["n_segments"]
    n_tracks = np.bincount(n_segments)
    assert len(n_tracks) == 4
    _, straight, one_kink, two_kinks = n_tracks.tolist()
    kinked = one_kink + two_kinks
    assert stats.binomtest(straight, straight + kinked, 0.5).pvalue > 0.001
    assert stats.binomtest(one_kink, kinked, 0.5).pvalue > 0.001
    np.testing.assert_array_equal(events.tracks["kinked"], n_segments > 1)

    owner = owner_of(events)
    own = events.hits["second_track"] < 0
    n_hits = np.zeros((len(n_segments), 3), int)  # (track, segment)
    np.add.at(n_hits, (owner[own], events.hits["segment"][own]), 1)
    exists = np.arange(3) < n_segments[:, None]
    assert not n_hits[~exists].any()
    n_shared = np.bincount(owner[~own], minlength=len(n_segments))
    alone = (n_segments == 3) & (n_shared == 0)
    enough = n_hits[alone] >= straight_lines.MIN_SEGMENT_HITS
    assert enough.mean() > 0.98


def test_lines_of_neighbouring_segments_meet():
    two_kinks = partial(straight_lines._kinked, degrees=DEGREES, layers=LAYERS, n_kinks=2)
    lines, _, count = straight_lines._draw_until(500, np.random.default_rng(3), two_kinks)
    layers = np.argmax(
        count > 0, 2
    )  # a kink lies in front of the first layer of the segment after it
    for k in (0, 1):
        x = layers[:, k + 1]
        for view in (0, 1):
            before, after = (
                line[:, 2 + view] + np.tan(line[:, view]) * x
                for line in (lines[:, k], lines[:, k + 1])
            )
            np.testing.assert_allclose(before, after, atol=1e-6 * np.abs(before).max())


def test_segments_of_an_event_are_counted_over_its_tracks(events):
    of_tracks = events.tracks["n_segments"]
    expected = [
        of_tracks[first:end].sum() for first, end in itertools.pairwise(events.track_offsets)
    ]
    assert events.n_segments.tolist() == expected
    assert events.n_segments.dtype == np.int64
    assert (events.n_segments >= events.info["n_tracks"]).all()
    np.testing.assert_array_equal(events[[5, 3, 3]].n_segments, events.n_segments[[5, 3, 3]])
    assert make_events({}, [0]).n_segments.tolist() == []
    assert make_events({}, [0, 0]).n_segments.tolist() == [0]


def test_the_segment_of_a_hit_is_one_of_its_track(events):
    owner = owner_of(events)
    segment = events.hits["segment"]
    assert (segment < events.tracks["n_segments"][owner]).all()
    kinked = events.tracks["kinked"]
    seen = np.zeros((len(kinked), 2), bool)
    seen[owner, segment] = True
    # other tracks may own all cells of a short segment
    assert seen[kinked].all(1).mean() > 0.99


@pytest.mark.parametrize(
    "hits, track, segment",
    [
        # (radius, track, second track, segment) of hits in one cell -> owner and its segment
        ([(5, 0, -1, 1), (3, 1, -1, 0)], 1, 0),
        ([(5, 0, -1, 0), (3, 1, -1, 1)], 1, 1),
        ([(3, 0, -1, 1), (5, 1, -1, 0)], 0, 1),
        # noise nearer to the wire: the track owns it, with its segment
        ([(3, -1, -1, 0), (5, 1, -1, 1)], 1, 1),
        ([(5, -1, -1, 0), (3, 1, -1, 1)], 1, 1),
        ([(5, -1, -1, 0), (3, -1, -1, 0)], -1, 0),
        # the segment of a second owner is not known
        ([(3, -1, -1, 0), (5, -1, 0, 1), (9, 1, -1, 1)], 0, 0),
        # one track with both segments in a cell
        ([(5, 0, -1, 0), (3, 0, -1, 1)], 0, 1),
        ([(9, 1, -1, 0), (3, 0, -1, 2), (5, 2, -1, 1)], 0, 2),
    ],
)
def test_in_a_shared_cell_the_segment_goes_with_its_track(hits, track, segment):
    radius, owner, second, segments = zip(*hits, strict=True)
    columns = {
        "layer": [4] * len(hits),
        "column": [7] * len(hits),
        "drift_radius_mm": radius,
        "track": owner,
        "second_track": second,
        "segment": segments,
    }
    events = make_events(columns, [0, len(hits)])
    assert events.hits["track"].tolist() == [track]
    assert events.hits["segment"].tolist() == [segment]


@pytest.mark.parametrize(
    "group, name, value",
    [("hits", "segment", -1), ("hits", "segment", 256), ("tracks", "n_segments", 0)],
)
def test_segments_out_of_range_are_refused(group, name, value):
    hits = {"layer": [1], "column": [2]}
    tracks = {}
    groups = {"hits": hits, "tracks": tracks}
    groups[group][name] = [value]
    with pytest.raises(ValueError, match=f"entry 0: {name} {value} outside"):
        make_events(hits, [0, 1], tracks, [0, 1])


# Seeds and files --------------------------------------------------------------------------------------------


def test_any_event_with_kinks_can_be_made_again_alone():
    make = partial(straight_lines.generate, seed=[4, 2], kink_probability=0.2)
    start = blocks.BLOCK - 3
    events = make(blocks.BLOCK + 10)
    assert_same(make(6, first_event=start), events[start : start + 6])
    for i in (0, start + 3):
        assert_same(make(1, first_event=i), events[i])


def test_events_without_tracks_have_no_kinks():
    events = straight_lines.generate(10, tracks=0, kink_probability=0.5)
    assert len(events) == 10
    assert len(events.hits["layer"]) == 0
    assert events.n_segments.tolist() == [0] * 10
    assert len(straight_lines.generate(0, kink_probability=0.5)) == 0


def test_segments_are_written_and_read_back(tmp_path, events):
    hit_tree.write(tmp_path / "a.root", events)
    assert_same(hit_tree.read(tmp_path / "a.root"), events)


def test_files_without_segments_hold_tracks_of_one_segment(tmp_path, events):
    hit_tree.write(tmp_path / "a.root", events[:50])
    with uproot.open(tmp_path / "a.root") as file:
        names = [branch.name for branch in file["hit_tree"].branches]
        kept = [name for name in names if "segment" not in name and not name.startswith("size")]
        tree = file["hit_tree"].arrays(kept)
    branches = {name: tree[name] for name in tree.fields}
    types = {name: values.type.content for name, values in branches.items()}
    with uproot.recreate(tmp_path / "b.root") as file:
        file.mktree("hit_tree", types).extend(branches)
    old = hit_tree.read(tmp_path / "b.root")
    assert set(old.tracks["n_segments"]) == {1} and set(old.hits["segment"]) == {0}
    np.testing.assert_array_equal(old.n_segments, old.info["n_tracks"])
    np.testing.assert_array_equal(old.tracks["kinked"], events[:50].tracks["kinked"])
    assert len(concatenate([old, events])) == 2050
