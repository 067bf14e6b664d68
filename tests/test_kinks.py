"""Tracks with kinks: the broken lines themselves, their hits and their truth, and that events without kinks
stay as they were.
"""

import hashlib
from functools import partial

import numpy as np
import pytest
import uproot
from conftest import assert_same
from scipy import stats

from datasets.events import concatenate, make_events
from datasets.geometry import CELL_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS, TOY_HALF_HEIGHT, toy_calo_block
from datasets.readers import hit_tree
from my_generator import blocks, straight_lines

DEGREES, LAYERS = (5, 25), (3, 6)


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
    """Where the two lines of each track meet in the top view and in the side view, (track, 2) in cells from
    the foil.
    """
    slopes, starts = np.tan(lines[..., :2]), lines[..., 2:]
    return (starts[:, 0] - starts[:, 1]) / (slopes[:, 1] - slopes[:, 0])


# Without kinks ----------------------------------------------------------------------------------------------


def test_events_without_kinks_are_those_that_models_were_trained_on():
    events = straight_lines.generate(3000, seed=[0, 0], first_event=1000)
    whole = [events.hit_offsets, *(events.hits[k] for k in ("layer", "column", "track", "second_track"))]
    whole += [
        events.track_offsets,
        events.tracks["calo_column"],
        events.tracks["calo_row"],
        events.info["event"],
    ]
    rounded = [
        np.round(events.hits[k]) for k in ("drift_radius_mm", "z_mm")
    ]  # sin and tan differ by a bit between machines
    content = b"".join(values.astype("<i8").tobytes() for values in whole + rounded)
    assert (
        hashlib.sha256(content).hexdigest()
        == "0e9e9ff7648a3530ec34e6bd392f424043b99185c4ab4f409449a198f93c395e"
    )


def test_no_kinks_and_no_kinks_asked_for_are_the_same():
    events = straight_lines.generate(3000, seed=5)
    assert_same(
        straight_lines.generate(3000, seed=5, kink_probability=0.0, kink_degrees=(1, 2), kink_layers=(1, 8)),
        events,
    )
    assert not events.tracks["kinked"].any() and not events.hits["segment"].any()
    np.testing.assert_array_equal(events.n_segments, events.info["n_tracks"])


def test_tracks_that_get_no_kink_stay_as_they_were(events):
    straight = straight_lines.generate(2000, seed=3)
    np.testing.assert_array_equal(events.info["n_tracks"], straight.info["n_tracks"])
    same = ~events.tracks["kinked"]
    for name in events.tracks:
        np.testing.assert_array_equal(events.tracks[name][same], straight.tracks[name][same], err_msg=name)
    untouched = np.bincount(events.track_event, events.tracks["kinked"], len(events)) == 0
    assert 500 < untouched.sum() < 1500
    assert_same(events[untouched], straight[untouched])


# The broken lines -------------------------------------------------------------------------------------------


def test_the_two_segments_meet_between_layers_three_and_six(kinked):
    x = kink_x(kinked[0])
    np.testing.assert_allclose(x, np.round(x), atol=1e-6)
    np.testing.assert_array_equal(np.round(x[:, 0]), np.round(x[:, 1]))
    assert set(np.round(x[:, 0])) == {3, 4, 5, 6}


def test_both_views_turn_by_five_to_twenty_five_degrees_either_way(kinked):
    before, after = angles(kinked[0]).swapaxes(0, 1)
    turn = after - before
    assert 5 <= np.abs(turn).min() < 5.1 and 24.9 < np.abs(turn).max() <= 25
    signs = np.sign(turn) @ [2, 1]
    assert set(signs) == {-3, -1, 1, 3} and (np.bincount(signs.astype(int) + 3)[::2] > 300).all()
    assert np.abs(after).max() < 90  # away from the foil, as before


def test_turns_and_layers_are_drawn_uniformly():
    lines, *_ = straight_lines._kinked(
        20_000, np.random.default_rng(11), DEGREES, LAYERS
    )  # before any is rejected
    turn = np.abs(np.diff(angles(lines.transpose(2, 0, 1)), axis=1))[:, 0]
    for view in turn.T:
        assert stats.kstest(view, stats.uniform(5, 20).cdf).pvalue > 0.001
    assert abs(stats.pearsonr(*turn.T)[0]) < 0.03
    layer = np.round(kink_x(lines.transpose(2, 0, 1))[:, 0]).astype(int)
    assert stats.chisquare(np.bincount(layer)[3:]).pvalue > 0.001


@pytest.mark.parametrize("degrees, layers", [((1, 2), (2, 2)), ((40, 60), (1, 8)), ((10, 10), (6, 7))])
def test_turns_and_layers_are_those_asked_for(degrees, layers):
    lines, *_ = draw(300, 1, degrees, layers)
    turn = np.abs(np.diff(angles(lines), axis=1))
    assert degrees[0] - 1e-9 <= turn.min() and turn.max() <= degrees[1] + 1e-9
    layer = np.round(kink_x(lines)[:, 0])
    assert layer.min() >= layers[0] and layer.max() <= layers[1]


def test_a_kink_by_hand():
    # 45 degrees up from y = 10, level in z; at x = 4, y = 14 it turns to 60 degrees, and down to -20 degrees
    # in z
    lines = np.array([[np.pi / 4], [0.0], [10.0], [2.0]])
    a, b, y0, z0 = straight_lines._beyond_kink(lines, np.array([4]), np.radians([[15.0], [-20.0]]))[:, 0]
    assert np.degrees([a, b]) == pytest.approx([60, -20])
    assert y0 + np.tan(a) * 4 == pytest.approx(14) and z0 + np.tan(b) * 4 == pytest.approx(2)


@pytest.mark.parametrize(
    "angle, turn, expected",
    [(80, 20, 60), (100, -20, -60), (80, 5, 85), (95, -10, -75), (20, -25, -5), (170, 25, 15)],
)
def test_a_track_that_would_turn_back_to_the_foil_turns_the_other_way(angle, turn, expected):
    # 100 degrees in (0, 180), as angles are drawn, is -80 away from the foil
    lines = np.array([[np.radians(angle)], [1.0], [50.0], [0.0]])
    turned = straight_lines._beyond_kink(lines, np.array([5]), np.radians([[turn], [10.0]]))
    assert np.degrees(turned[0, 0]) == pytest.approx(expected)


# Their hits -------------------------------------------------------------------------------------------------


def test_a_loop_over_all_cells_gives_the_hits_of_both_segments(kinked):
    lines, first, count = (values[:300] for values in kinked)
    column = np.arange(N_COLUMNS)
    found = (column >= first[..., None]) & (column < (first + count)[..., None])

    a, b, y0, z0 = np.moveaxis(lines, -1, 0)[..., None, None]
    x, y = np.arange(N_LAYERS)[:, None] + 0.5, np.arange(N_COLUMNS) + 0.5
    along = (x + (y - y0) * np.tan(a)) * np.cos(
        a
    ) ** 2  # x of the point closest to the wire, (track, segment, layer, column)
    dx, dy = along - x, y0 + np.tan(a) * along - y
    expected = (np.abs(dx) < 0.5) & (np.abs(dy) < 0.5) & (np.abs(z0 + np.tan(b) * along) < TOY_HALF_HEIGHT)
    # and that point is on the part of the line that is there
    kink = np.round(kink_x(lines)[:, 0])[:, None, None]
    expected[:, 0] &= along[:, 0] < kink
    expected[:, 1] &= along[:, 1] > kink
    np.testing.assert_array_equal(found, expected)


def test_every_hit_lies_on_its_segment(kinked):
    lines, first, count = kinked
    n = len(lines)
    events = straight_lines._to_events(
        np.ones(n, int),
        np.ones(n, bool),
        lines.reshape(-1, 4).T,
        first.reshape(-1, N_LAYERS),
        count.reshape(-1, N_LAYERS),
    )
    a, b, y0, z0 = lines[events.hit_event, events.hits["segment"]].T
    x, y = events.hits["layer"] + 0.5, events.hits["column"] + 0.5
    radius = np.abs(y - y0 - np.tan(a) * x) * np.abs(np.cos(a)) * CELL_MM
    np.testing.assert_allclose(events.hits["drift_radius_mm"], radius, atol=1e-3)
    along = (x + (y - y0) * np.tan(a)) * np.cos(a) ** 2
    z = (z0 + np.tan(b) * along) / TOY_HALF_HEIGHT * HALF_HEIGHT_MM
    np.testing.assert_allclose(events.hits["z_mm"], z, atol=1e-3)
    kink = kink_x(lines)[events.hit_event, 0]
    assert (np.where(events.hits["segment"] == 0, along < kink + 1e-6, along > kink - 1e-6)).all()

    # foil point and slopes belong to the first segment, the block to the last
    np.testing.assert_allclose(
        events.tracks["foil_y_mm"], (lines[:, 0, 2] - N_COLUMNS / 2) * CELL_MM, rtol=1e-5, atol=1e-2
    )
    np.testing.assert_allclose(events.tracks["slope_y"], np.tan(lines[:, 0, 0]), rtol=1e-5)
    end = lines[:, 1, 2:] + np.tan(lines[:, 1, :2]) * N_LAYERS
    np.testing.assert_array_equal(events.tracks["calo_column"], toy_calo_block(*end.T)[0])
    np.testing.assert_array_equal(events.tracks["calo_row"], toy_calo_block(*end.T)[1])


def test_a_segment_has_three_hits_at_least_and_layers_of_its_own():
    events = straight_lines.generate(3000, tracks=1, seed=2, kink_probability=1.0)
    for segment in (0, 1):
        mine = events.hits["segment"] == segment
        assert np.bincount(events.hit_event[mine], minlength=3000).min() == 3
    last = np.zeros(3000, int)
    np.maximum.at(last, events.hit_event, np.where(events.hits["segment"] == 0, events.hits["layer"], -1))
    first = np.full(3000, 9)
    np.minimum.at(first, events.hit_event, np.where(events.hits["segment"] == 1, events.hits["layer"], 9))
    assert (last < first).all() and set(first[last == first - 1]) == {3, 4, 5, 6}
    assert (np.diff(events.hits["segment"])[np.diff(events.hit_event) == 0] >= 0).all()


# Their truth ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.01, 0.15, 1.0])
def test_the_share_of_kinked_tracks_is_that_asked_for(probability):
    events = straight_lines.generate(2048, seed=1, kink_probability=probability)
    kinked = events.tracks["kinked"]
    assert stats.binomtest(int(kinked.sum()), len(kinked), probability).pvalue > 0.001
    np.testing.assert_array_equal(events.tracks["n_segments"], 1 + kinked)


def test_a_track_may_have_more_than_one_kink():
    events = straight_lines.generate(2048, seed=1, kink_probability=0.5, max_kinks=2)
    n_segments = np.bincount(events.tracks["n_segments"])
    assert stats.binomtest(int(n_segments[1]), int(n_segments.sum()), 0.5).pvalue > 0.001
    assert (
        stats.binomtest(int(n_segments[2]), int(n_segments[2:].sum()), 0.5).pvalue > 0.001
        and len(n_segments) == 4
    )
    np.testing.assert_array_equal(events.tracks["kinked"], events.tracks["n_segments"] > 1)
    owner = events.track_offsets[events.hit_event] + events.hits["track"]
    own = events.hits["second_track"] < 0
    of_segment = np.zeros((len(events.tracks["kinked"]), 3), int)
    np.add.at(of_segment, (owner[own], events.hits["segment"][own]), 1)
    assert ((of_segment > 0) <= (np.arange(3) < events.tracks["n_segments"][:, None])).all()
    alone = np.bincount(owner[~own], minlength=len(of_segment)) == 0
    assert (
        of_segment[alone & (events.tracks["n_segments"] == 3)] >= straight_lines.MIN_SEGMENT_HITS
    ).mean() > 0.98


def test_lines_of_neighbouring_segments_meet():
    lines, _, count = straight_lines._draw_until(
        500,
        np.random.default_rng(3),
        partial(straight_lines._kinked, degrees=DEGREES, layers=LAYERS, n_kinks=2),
    )
    layers = np.argmax(count > 0, 2)[:, 1:]  # a kink lies in front of the first layer of the segment after it
    for k in (0, 1):
        before, after, x = lines[:, k], lines[:, k + 1], layers[:, k, None]
        for view in (0, 1):
            at = [line[:, 2 + view] + np.tan(line[:, view]) * x[:, 0] for line in (before, after)]
            np.testing.assert_allclose(*at, atol=1e-6 * np.abs(at[0]).max())


def test_segments_of_an_event_are_counted_over_its_tracks(events):
    expected = [
        events.tracks["n_segments"][a:b].sum()
        for a, b in zip(events.track_offsets[:-1], events.track_offsets[1:], strict=True)
    ]
    assert events.n_segments.tolist() == expected
    assert events.n_segments.dtype == np.int64 and (events.n_segments >= events.info["n_tracks"]).all()
    np.testing.assert_array_equal(events[[5, 3, 3]].n_segments, events.n_segments[[5, 3, 3]])
    assert len(make_events({}, [0]).n_segments) == 0 and make_events({}, [0, 0]).n_segments.tolist() == [0]


def test_the_segment_of_a_hit_is_one_of_its_track(events):
    owner = events.track_offsets[events.hit_event] + events.hits["track"]
    assert (events.hits["segment"] < events.tracks["n_segments"][owner]).all()
    seen = np.zeros((len(events.tracks["kinked"]), 2), bool)
    seen[owner, events.hits["segment"]] = True
    assert (
        seen[events.tracks["kinked"]].all(1).mean() > 0.99
    )  # other tracks may own all cells of a short segment


@pytest.mark.parametrize(
    "hits, track, segment",
    [
        # (radius, track, second track, segment) of hits in one cell -> owner and its segment
        ([(5, 0, -1, 1), (3, 1, -1, 0)], 1, 0),
        ([(5, 0, -1, 0), (3, 1, -1, 1)], 1, 1),
        ([(3, 0, -1, 1), (5, 1, -1, 0)], 0, 1),
        (
            [(3, -1, -1, 0), (5, 1, -1, 1)],
            1,
            1,
        ),  # noise nearer to the wire: the track owns it, with its segment
        ([(5, -1, -1, 0), (3, 1, -1, 1)], 1, 1),
        ([(5, -1, -1, 0), (3, -1, -1, 0)], -1, 0),
        ([(3, -1, -1, 0), (5, -1, 0, 1), (9, 1, -1, 1)], 0, 0),  # that of a second owner is not known
        ([(5, 0, -1, 0), (3, 0, -1, 1)], 0, 1),  # one track with both segments in a cell
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
    }
    events = make_events({**columns, "segment": segments}, [0, len(hits)])
    assert events.hits["track"].tolist() == [track] and events.hits["segment"].tolist() == [segment]


@pytest.mark.parametrize(
    "group, name, value", [("hits", "segment", -1), ("hits", "segment", 256), ("tracks", "n_segments", 0)]
)
def test_segments_out_of_range_are_refused(group, name, value):
    arrays = {"hits": {"layer": [1], "column": [2]}, "tracks": {}}
    arrays[group][name] = [value]
    with pytest.raises(ValueError, match=f"entry 0: {name} {value} outside"):
        make_events(arrays["hits"], [0, 1], arrays["tracks"], [0, 1])


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
    assert len(events) == 10 and not len(events.hits["layer"]) and events.n_segments.tolist() == [0] * 10
    assert len(straight_lines.generate(0, kink_probability=0.5)) == 0


def test_segments_are_written_and_read_back(tmp_path, events):
    hit_tree.write(tmp_path / "a.root", events)
    assert_same(hit_tree.read(tmp_path / "a.root"), events)


def test_files_without_segments_hold_tracks_of_one_segment(tmp_path, events):
    hit_tree.write(tmp_path / "a.root", events[:50])
    with uproot.open(tmp_path / "a.root") as file:
        names = [
            b.name
            for b in file["hit_tree"].branches
            if "segment" not in b.name and not b.name.startswith("size")
        ]
        tree = file["hit_tree"].arrays(names)
    with uproot.recreate(tmp_path / "b.root") as file:
        file.mktree("hit_tree", {name: tree[name].type.content for name in tree.fields}).extend(
            {name: tree[name] for name in tree.fields}
        )
    old = hit_tree.read(tmp_path / "b.root")
    assert set(old.tracks["n_segments"]) == {1} and set(old.hits["segment"]) == {0}
    np.testing.assert_array_equal(old.n_segments, old.info["n_tracks"])
    np.testing.assert_array_equal(old.tracks["kinked"], events[:50].tracks["kinked"])
    assert len(concatenate([old, events])) == 2050
