"""The event table: merging of hits that share a cell, checks, and picking events."""

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.events import (
    HIT_FIELDS,
    Events,
    concatenate,
    entries_of,
    make_events,
    merge_cells,
    offsets_of,
    one_a_cell,
    rows_and_places,
)
from datasets.geometry import DETECTOR, TKEVENT, TOY
from my_generator import straight_lines, toyhaystack

NAMES = ("side", "layer", "column", "drift_radius_mm", "z_mm", "track", "second_track")
NAN = math.nan


def arrays_of(events):
    """Lists of hits, one an event, as (name -> array, offsets)."""
    hits = [hit for event in events for hit in event]
    columns = {
        name: np.array([hit[i] for hit in hits], HIT_FIELDS[name][0])
        for i, name in enumerate(NAMES)
    }
    return columns, np.concatenate([[0], np.cumsum([len(event) for event in events])]).astype(int)


def table(events):
    return make_events(*arrays_of(events))


def hits_of(events):
    """The inverse: lists of hits, one an event. NaN becomes None, so lists can be compared."""
    columns = [events.hits[name].tolist() for name in NAMES]
    rows = [
        tuple(None if value != value else value for value in row)
        for row in zip(*columns, strict=True)
    ]
    return [rows[a:b] for a, b in zip(events.hit_offsets[:-1], events.hit_offsets[1:], strict=True)]


def merge_slowly(event):
    """What merging means: the hit with the smallest radius stays where it was; owners in order of radius,
    tracks only.
    """
    cells = {}
    for place, hit in enumerate(event):
        cells.setdefault(hit[:3], []).append((place, hit))
    kept = []
    for sharing in cells.values():
        sharing.sort(
            key=lambda item: math.inf if math.isnan(item[1][3]) else item[1][3]
        )  # stable: of equals the first
        place, hit = sharing[0]
        if len(sharing) > 1:
            owners = [owner for _, other in sharing for owner in other[5:] if owner >= 0]
            owners = list(dict.fromkeys(owners)) + [-1, -1]
            hit = (*hit[:5], *owners[:2])
        kept.append((place, hit))
    return [tuple(None if value != value else value for value in hit) for _, hit in sorted(kept)]


# Merging by hand --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hits, expected",
    [
        # (radius, z, track, second) of hits in one cell -> of the hit that stays
        ([(5, 1, 0, -1), (3, 2, 1, -1)], (3, 2, 1, 0)),
        ([(3, 1, 0, -1), (5, 2, 1, -1)], (3, 1, 0, 1)),
        ([(3, 1, 0, -1), (3, 2, 1, -1)], (3, 1, 0, 1)),  # equal radii: the first stays
        (
            [(3, 1, -1, -1), (5, 2, 4, -1)],
            (3, 1, 4, -1),
        ),  # noise nearer to the wire: its hit stays, the track owns it
        ([(5, 1, -1, -1), (3, 2, 4, -1)], (3, 2, 4, -1)),
        ([(5, 1, -1, -1), (3, 2, -1, -1)], (3, 2, -1, -1)),
        ([(NAN, 1, 0, -1), (9, 2, 1, -1)], (9, 2, 1, 0)),  # an unknown radius is not the smallest
        ([(NAN, 1, 0, -1), (NAN, 2, 1, -1)], (None, 1, 0, 1)),
        ([(3, NAN, 0, -1), (5, 2, 1, -1)], (3, None, 0, 1)),  # the whole hit stays, even without z
        ([(9, 1, 0, -1), (3, 2, 1, -1), (5, 3, 2, -1)], (3, 2, 1, 2)),
        ([(3, 1, 0, -1), (5, 2, -1, -1), (9, 3, 2, -1)], (3, 1, 0, 2)),
        ([(3, 1, 0, -1), (5, 2, 0, -1), (9, 3, 2, -1)], (3, 1, 0, 2)),
        ([(5, 1, 2, -1), (3, 2, 2, -1)], (3, 2, 2, -1)),  # one track twice in a cell owns it once
        ([(3, 1, 0, 1), (5, 2, 2, -1)], (3, 1, 0, 1)),
        ([(5, 1, 0, 1), (3, 2, 2, -1)], (3, 2, 2, 0)),
        ([(3, 1, 0, -1), (5, 2, 0, 3)], (3, 1, 0, 3)),
        ([(3, 1, -1, -1), (5, 2, 3, 0)], (3, 1, 3, 0)),
        ([(3, 1, 0, 1), (5, 2, 1, 0)], (3, 1, 0, 1)),
        ([(0, 1, 7, -1), (50, 2, 8, -1)], (0, 1, 7, 8)),
    ],
)
def test_hits_of_one_cell_merge_as_worked_out_by_hand(hits, expected):
    cell = (1, 8, 112)
    assert hits_of(table([[(*cell, *hit) for hit in hits]])) == [[(*cell, *expected)]]


def test_neighbouring_cells_the_other_side_and_other_events_do_not_merge():
    cells = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 112), (0, 8, 0), (1, 8, 112)]
    event = [(*cell, 1.0, 2.0, 0, -1) for cell in cells]
    assert hits_of(table([event, event])) == [event, event]


def test_a_merged_hit_stays_at_its_place_among_the_others():
    event = [
        (0, 0, 5, 9.0, 1.0, 0, -1),
        (0, 1, 5, 1.0, 2.0, 0, -1),
        (0, 0, 5, 3.0, 3.0, 1, -1),
        (0, 2, 5, 1.0, 4.0, 1, -1),
    ]
    assert hits_of(table([event])) == [[event[1], (0, 0, 5, 3.0, 3.0, 1, 0), event[3]]]


def test_merging_changes_nothing_in_the_arrays_it_was_given():
    arrays, offsets = arrays_of([[(0, 0, 0, 5.0, 1.0, 0, -1), (0, 0, 0, 3.0, 2.0, 1, -1)]])
    before = {name: values.copy() for name, values in arrays.items()}
    make_events(arrays, offsets)
    for name in before:
        np.testing.assert_array_equal(arrays[name], before[name])


# Merging against the slow way -------------------------------------------------------------------------------

owner = st.integers(-1, 3)
radius = st.one_of(st.just(NAN), st.sampled_from([0.0, 1.5, 22.0]), st.floats(0, 50, width=32))
height = st.one_of(st.just(NAN), st.floats(-1500, 1500, width=32))
hit = st.tuples(
    st.integers(0, 1),
    st.sampled_from([0, 8]),
    st.sampled_from([0, 1, 112]),
    radius,
    height,
    owner,
    owner,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(hit, max_size=15), max_size=5))
def test_merging_is_what_the_slow_way_gives(events):
    merged = table(events)
    assert hits_of(merged) == [merge_slowly(event) for event in events]
    assert_same(merge_cells(merged), merged)


@pytest.mark.parametrize("chunk", [1, 7, 1024, 100_000])
def test_thousands_of_events_merge_as_one_by_one_whatever_the_chunk(chunk):
    rng = np.random.default_rng(4)
    events = []
    for n in rng.integers(0, 8, 2500):
        cells = zip(
            rng.integers(0, 2, n), rng.integers(0, 9, n), rng.integers(0, 2, n), strict=True
        )
        events.append(
            [
                (*map(int, cell), float(rng.integers(0, 5)), NAN, int(rng.integers(-1, 3)), -1)
                for cell in cells
            ]
        )
    hits, offsets = arrays_of(events)
    no_tracks = make_events({}, [0] * 2501)
    hits["segment"] = np.zeros(len(hits["side"]), np.int8)
    many = Events(hits, offsets, no_tracks.tracks, no_tracks.track_offsets, no_tracks.info)
    merged = merge_cells(many, chunk)
    assert sum(map(len, events)) > len(merged.hits["side"])
    assert hits_of(merged) == [merge_slowly(event) for event in events]


# What goes into a table -------------------------------------------------------------------------------------


def test_fields_that_are_not_given_are_unknown():
    events = make_events({"layer": [3], "column": [7]}, [0, 1], {}, [0, 1])
    (hit,), (track,), blocks, *info = events.to_awkward().to_list()[0].values()
    assert hit["side"] == 1 and hit["track"] == hit["second_track"] == -1
    assert math.isnan(hit["drift_radius_mm"]) and math.isnan(hit["z_mm"])
    assert track["side"] == 1 and track["kinked"] is False
    assert all(math.isnan(track[name]) for name in ("foil_y_mm", "foil_z_mm", "slope_y", "slope_z"))
    assert all(
        track[name] == -1
        for name in ("calo_type", "calo_side", "calo_wall", "calo_column", "calo_row")
    )
    assert blocks == [] and info == [-1, -1, -1, -1, DETECTOR]


def test_a_height_that_was_not_measured_stays_nan():
    events = make_events({"layer": [3, 4], "column": [7, 7], "z_mm": [NAN, 0.0]}, [0, 2])
    assert math.isnan(events.hits["z_mm"][0]) and events.hits["z_mm"][1] == 0


def test_a_table_has_the_documented_types():
    events = make_events(
        {"layer": [3], "column": [7]}, [0, 1], {"calo_row": [2]}, [0, 1], {"run": [974]}
    )
    for name, kind in (
        ("side", "i1"),
        ("layer", "i1"),
        ("column", "i1"),
        ("drift_radius_mm", "f4"),
        ("z_mm", "f4"),
        ("track", "i2"),
    ):
        assert events.hits[name].dtype == kind
    assert events.tracks["calo_row"].dtype == "i2" and events.tracks["kinked"].dtype == bool
    assert events.info["run"].dtype == "i8" and events.hit_offsets.dtype == "i8"


GOOD = {
    "hits": {
        "side": 1,
        "layer": 3,
        "column": 7,
        "drift_radius_mm": 5.0,
        "z_mm": 0.0,
        "track": 0,
        "second_track": -1,
    },
    "tracks": {"side": 0, "calo_column": 1, "foil_y_mm": 0.0},
    "info": {"n_tracks": 1, "run": 974},
}


def with_one_bad(group, name, value):
    """Events of 2, 0 and 2 hits, of 2, 0 and 2 tracks: the first value of the last event is bad.

    Arguments of make_events.
    """
    arrays = {
        g: {k: np.array([v] * (3 if g == "info" else 4)) for k, v in GOOD[g].items()} for g in GOOD
    }
    arrays["hits"]["column"] = np.arange(4)
    bad = arrays[group].get(name, np.zeros(3 if group == "info" else 4, int))
    bad = bad.astype(np.result_type(bad, np.asarray(value)))
    bad[2] = value
    arrays[group][name] = bad
    return arrays["hits"], [0, 2, 2, 4], arrays["tracks"], [0, 2, 2, 4], arrays["info"]


@pytest.mark.parametrize(
    "group, name, value",
    [
        ("hits", "side", 2),
        ("hits", "side", -1),
        ("hits", "layer", 9),
        ("hits", "layer", -1),
        ("hits", "layer", 256),  # 0 as an int8
        ("hits", "layer", NAN),
        ("hits", "layer", 2.5),
        ("hits", "column", 113),
        ("hits", "column", -1),
        ("hits", "drift_radius_mm", -0.5),
        ("hits", "drift_radius_mm", 50.5),
        ("hits", "drift_radius_mm", math.inf),
        ("hits", "drift_radius_mm", -math.inf),
        ("hits", "z_mm", 2000.5),
        ("hits", "z_mm", math.inf),
        ("hits", "z_mm", -math.inf),
        ("hits", "track", -2),
        ("hits", "track", 65536),  # 0 as an int16
        ("hits", "second_track", 1001),
        ("hits", "second_track", NAN),
        ("tracks", "side", 2),
        ("tracks", "calo_type", 3),
        ("tracks", "calo_row", 16),
        ("tracks", "calo_column", 22),
        ("tracks", "foil_y_mm", math.inf),
        ("tracks", "slope_y", -math.inf),
        ("tracks", "slope_z", 1e10),
        ("tracks", "kinked", 2),
        ("info", "n_tracks", -2),
        ("info", "n_tracks", 65537),
        ("info", "n_tracks", NAN),
        ("info", "run", 0.5),
        ("info", "event", math.inf),
    ],
)
def test_a_value_out_of_range_is_refused_with_file_entry_branch_and_value(group, name, value):
    arguments = with_one_bad(group, name, value)
    branches = {group: {name: "their_name"}}
    with pytest.raises(ValueError) as error:
        make_events(*arguments, source="some.root", branches=branches, first_entry=100)
    assert str(error.value).startswith(f"some.root: entry 102: their_name {value} ")


def test_sides_of_hits_and_of_tracks_have_branches_of_their_own():
    branches = {"hits": {"side": "grid_side"}, "tracks": {"side": "track_side"}}
    for group, branch in (("hits", "grid_side"), ("tracks", "track_side")):
        with pytest.raises(ValueError, match=f"entry 2: {branch} 5 outside 0..1"):
            make_events(*with_one_bad(group, "side", 5), branches=branches)


def test_the_limits_themselves_are_allowed():
    for group, name, value in (
        ("hits", "layer", 8),
        ("hits", "column", 112),
        ("hits", "drift_radius_mm", 50),
        ("hits", "z_mm", -2000),
    ):
        make_events(*with_one_bad(group, name, value))
    make_events(*with_one_bad("info", "event", 2**62))
    make_events(*with_one_bad("tracks", "kinked", 1))


@pytest.mark.parametrize("name", ["track", "second_track"])
def test_an_owner_that_is_no_track_of_the_event_is_refused(name):
    with pytest.raises(ValueError, match=f"some.root: entry 2: {name} 2 in an event of 2 tracks"):
        make_events(*with_one_bad("hits", name, 2), source="some.root")


def test_owners_of_events_whose_tracks_are_not_in_the_table_are_kept():
    events = make_events({"layer": [3, 3], "column": [7, 8], "track": [4, -1]}, [0, 2])
    assert events.hits["track"].tolist() == [4, -1]


def test_arrays_that_do_not_fit_together_are_refused():
    hits = {"layer": [3, 4], "column": [7, 7]}
    with pytest.raises(ValueError, match="f.root: branch column is missing"):
        make_events({"layer": [3]}, [0, 1], source="f.root")
    with pytest.raises(ValueError, match="f.root: branch z_mm has 1 values, the others 2"):
        make_events({**hits, "z_mm": [1.0]}, [0, 2], source="f.root")
    with pytest.raises(ValueError, match="f.root: no field .*colour"):
        make_events({**hits, "colour": [1, 2]}, [0, 2], source="f.root")
    with pytest.raises(ValueError, match="f.root: hits of 1 events, tracks of 2"):
        make_events(hits, [0, 2], {}, [0, 0, 0], source="f.root")
    with pytest.raises(ValueError, match="f.root: branch run has 2 values"):
        make_events(hits, [0, 2], info={"run": [1, 2]}, source="f.root")
    for offsets in ([1, 2], [0, 3, 2], []):
        with pytest.raises(ValueError, match="f.root: "):
            make_events(hits, offsets, source="f.root")


# Picking events ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def events():
    """Haystack events of 0 to 4 tracks, so some without hits; no NaN, so lists of them can be compared."""
    events = toyhaystack.generate(30, tracks=(0, 1, 4), seed=5)
    of_blocks = {
        name: np.nan_to_num(events.blocks[name], nan=3) for name in ("energy_mev", "time_ns")
    }
    of_tracks = {
        name: np.nan_to_num(events.tracks[name], nan=3)
        for name in ("momentum_mev", "curvature_per_mm")
    }
    return replace(events, blocks=events.blocks | of_blocks, tracks=events.tracks | of_tracks)


def test_awkward_arrays_hold_the_same_as_the_table(events):
    array = events.to_awkward()
    assert len(array) == len(events) == 30
    assert array.fields == ["hits", "tracks", "blocks", *events.info]
    assert list(events.info) == ["n_tracks", "n_particles", "run", "event", "geometry"]
    for i, one in enumerate(array):
        hit, track = slice(*events.hit_offsets[i : i + 2]), slice(*events.track_offsets[i : i + 2])
        assert [h["column"] for h in one.hits.to_list()] == events.hits["column"][hit].tolist()
        assert [t["slope_y"] for t in one.tracks.to_list()] == events.tracks["slope_y"][
            track
        ].tolist()
        assert one.n_tracks == events.info["n_tracks"][i] == len(one.tracks)


def test_the_event_of_each_hit_and_track_is_where_the_offsets_say(events):
    array = events.to_awkward()
    assert events.n_hits.tolist() == [len(one.hits) for one in array]
    assert events.hit_event.tolist() == [i for i, one in enumerate(array) for _ in one.hits]
    assert events.track_event.tolist() == [i for i, one in enumerate(array) for _ in one.tracks]


@pytest.mark.parametrize(
    "which",
    [
        slice(3, 9),
        slice(None),
        slice(20, 3, -4),
        slice(5, 5),
        slice(28, 99),
        [4, 4, 0, -1],
        [],
        np.array([], int),
        np.arange(30) % 3 == 0,
    ]
    + [
        np.zeros(30, bool),
        np.ones(30, bool),
        np.random.default_rng(0).permutation(30),
        np.array([7], np.uint8),
    ],
    ids=str,
)
def test_events_are_picked_by_slice_mask_and_index_in_that_order(events, which):
    everything = events.to_awkward().to_list()
    picked = events[which]
    assert picked.to_awkward().to_list() == [everything[i] for i in np.arange(30)[which]]
    assert picked.hit_offsets[0] == 0 and picked.hit_offsets.dtype == np.int64
    assert picked.hits["layer"].dtype == events.hits["layer"].dtype


def test_one_index_gives_a_table_of_one_event(events):
    everything = events.to_awkward().to_list()
    assert events[7].to_awkward().to_list() == [everything[7]]
    assert events[np.int64(-1)].to_awkward().to_list() == [everything[-1]]
    assert [one.to_awkward().to_list()[0] for one in events] == everything


def test_an_event_that_is_not_there_is_an_index_error(events):
    for which in (30, -31, [3, 30]):
        with pytest.raises(IndexError):
            events[which]
    with pytest.raises(IndexError):
        events[np.ones(29, bool)]


def test_picking_is_a_copy(events):
    before = events.hits["layer"].copy()
    events[3:9].hits["layer"][:] = 0
    np.testing.assert_array_equal(events.hits["layer"], before)


def test_kept_hits_are_those_of_the_mask_and_labels_stay(events):
    mask = np.random.default_rng(1).random(len(events.hits["layer"])) < 0.3
    kept = events.keep_hits(mask)
    flags = iter(mask.tolist())
    expected = [
        {**one, "hits": [h for h in one["hits"] if next(flags)]}
        for one in events.to_awkward().to_list()
    ]
    assert kept.to_awkward().to_list() == expected
    assert kept.hit_offsets.dtype == np.int64


def test_all_hits_or_none_can_be_kept(events):
    assert_same(events.keep_hits(np.ones(len(events.hits["layer"]), bool)), events)
    none = events.keep_hits(np.zeros(len(events.hits["layer"]), bool))
    assert len(none) == 30 and none.n_hits.sum() == 0
    np.testing.assert_array_equal(none.info["n_tracks"], events.info["n_tracks"])
    empty = make_events({}, [0])
    assert_same(empty.keep_hits(np.zeros(0, bool)), empty)


def test_pieces_of_a_table_put_together_are_the_table(events):
    assert_same(concatenate(events[i : i + 7] for i in range(0, 30, 7)), events)
    assert_same(concatenate([events[:0], events, events[:0]]), events)
    assert_same(concatenate([events]), events)


def test_nothing_put_together_is_an_empty_table():
    empty = concatenate([])
    assert len(empty) == 0 and len(empty.to_awkward()) == 0
    assert_same(empty, make_events({}, [0]))


def test_events_without_hits_are_events():
    events = make_events({"layer": [1], "column": [2]}, [0, 0, 1, 1], info={"n_tracks": [0, 1, 0]})
    assert len(events) == 3 and events.n_hits.tolist() == [0, 1, 0]
    assert events[[2, 1]].n_hits.tolist() == [0, 1]
    assert events.to_awkward().hits.layer.to_list() == [[], [1], []]


def test_a_generated_table_has_one_hit_a_cell():
    events = straight_lines.generate(1500, tracks=4, seed=3)
    cell = np.stack(
        [events.hit_event, events.hits["side"], events.hits["layer"], events.hits["column"]]
    )
    assert len(np.unique(cell, axis=1).T) == cell.shape[1]
    shared = events.hits["second_track"] >= 0
    assert shared.any()
    assert (events.hits["second_track"] != events.hits["track"])[shared].all()


# Geometry and blocks ----------------------------------------------------------------------------------------


def test_events_know_where_their_first_wires_are():
    toy, haystack = straight_lines.generate(2), toyhaystack.generate(3)
    both = concatenate(
        [
            toy,
            haystack,
            replace(haystack[:1], info={**haystack[:1].info, "geometry": np.array([TKEVENT])}),
        ]
    )
    assert both.first_wire_mm.tolist() == [22, 22, 53, 53, 53, 51]
    assert both[[5, 0]].first_wire_mm.tolist() == [51, 22]


def test_a_table_says_what_it_is_in_one_line():
    events = straight_lines.generate(500, 2, seed=1)
    assert repr(events).startswith("<Events: 500 events, ") and repr(events).endswith(
        "toy geometry>"
    )
    assert len(repr(events)) < 110
    assert repr(concatenate([])) == "<Events: 0 events, 0 hits, 0 tracks, 0 blocks; no geometry>"


@pytest.mark.parametrize("generator", [straight_lines, toyhaystack])
def test_blocks_are_those_in_which_tracks_end_each_once_an_event(generator):
    events = generator.generate(300, 4, seed=2)
    tracks, blocks = events.tracks, events.blocks
    side = tracks["side"] if generator is straight_lines else tracks["calo_side"]
    names = (
        tracks["calo_type"],
        side,
        tracks["calo_wall"],
        tracks["calo_column"],
        tracks["calo_row"],
    )
    is_block = np.ones(len(side), bool)
    if generator is straight_lines:
        is_block = np.isin(tracks["calo_column"], range(1, 21)) & np.isin(
            tracks["calo_row"], range(1, 14)
        )
    expected, owners = [], []
    for track, event in enumerate(events.track_event):
        key = (event, *(values[track] for values in names))
        if is_block[track] and key not in expected:
            expected.append(key)
            owners.append(track - events.track_offsets[event])
    found = zip(
        events.block_event,
        *(blocks[name] for name in ("calo_type", "side", "wall", "column", "row")),
        strict=True,
    )
    assert list(found) == expected
    assert blocks["track"].tolist() == owners
    assert np.isnan(blocks["energy_mev"]).all() and np.isnan(blocks["time_ns"]).all()
    assert 0 < len(expected) < len(side)


def test_blocks_of_a_detector_go_with_their_events():
    blocks = {
        "calo_type": [0, 2],
        "side": [1, 0],
        "column": [19, 15],
        "row": [12, -1],
        "energy_mev": [1.5, NAN],
    }
    events = make_events({}, [0, 0, 0, 0], blocks=blocks, block_offsets=[0, 1, 1, 2])
    assert events.block_event.tolist() == [0, 2]
    assert (
        events[[2]].blocks["column"].tolist() == [15]
        and events[1:2].blocks["column"].tolist() == []
    )
    assert concatenate([events, events]).block_offsets.tolist() == [0, 1, 1, 2, 3, 3, 4]


def test_a_block_that_a_wall_of_the_detector_does_not_have_is_refused():
    tracks = {"calo_type": [0], "calo_column": [20], "calo_row": [3]}
    with pytest.raises(
        ValueError, match="f.root: entry 7: calo_column 20 outside 0..19 of calorimeter type 0"
    ):
        make_events({}, [0, 0], tracks, [0, 1], source="f.root", first_entry=7)
    make_events({}, [0, 0], tracks, [0, 1], {"geometry": [TOY]})


def test_an_event_of_more_hits_than_a_detector_has_is_refused():
    n = 30_000
    with pytest.raises(
        ValueError, match="f.root: entry 1: 30000 hits, but the tracker has 2034 cells"
    ):
        make_events(
            {"layer": np.zeros(n, int), "column": np.zeros(n, int)}, [0, 0, n], source="f.root"
        )


# Ragged arrays ----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), max_size=8), st.data())
def test_rows_places_and_entries_are_those_of_nested_lists(counts, data):
    lists = [[(row, place) for place in range(n)] for row, n in enumerate(counts)]
    row, place = rows_and_places(counts)
    assert list(zip(row.tolist(), place.tolist(), strict=True)) == sum(lists, [])
    offsets = offsets_of(counts)
    which = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=5)) if counts else []
    index, new_offsets = entries_of(offsets, np.array(which, int))
    assert [sum(lists, [])[i] for i in index] == sum((lists[i] for i in which), [])
    assert new_offsets.tolist() == offsets_of([counts[i] for i in which]).tolist()


def test_of_hits_in_a_cell_the_nearest_stays_then_the_earliest_then_the_first():
    radius = np.array([3.0, 1.0, NAN, NAN, 2.0, 2.0])
    cell = {
        "side": np.ones(6, int),
        "layer": np.array([0, 0, 1, 1, 2, 2]),
        "column": np.zeros(6, int),
    }
    hits = {**cell, "drift_radius_mm": radius}
    assert one_a_cell(hits, [0, 6]).tolist() == [False, True, True, False, True, False]
    assert one_a_cell(hits, [0, 6], np.array([0, 0, 5, 4, 5, 4])).tolist() == [
        False,
        True,
        False,
        True,
        False,
        True,
    ]
    assert one_a_cell(hits, [0, 1, 3, 6]).tolist() == [True, True, True, True, True, False]
