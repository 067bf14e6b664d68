"""Reading and writing `hit_tree` files: round trips, files with less in them, broken files, and the
originals.
"""

import glob
import gzip
import random
import struct
import subprocess
import sys

import awkward as ak
import numpy as np
import pytest
import uproot
from conftest import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.events import concatenate, make_events
from datasets.geometry import TKEVENT, TOY, wire_x_mm, wire_y_mm
from datasets.readers import files, hit_tree
from my_generator import straight_lines, toyhaystack

GENERATORS = [straight_lines, toyhaystack]
NAN = np.nan

# Three events: two tracks and a noise hit, nothing, one track
PLAIN = {
    "grid_layer": [[0, 1, 0, 1, 8], [], [4, 5]],
    "grid_column": [[10, 10, 50, 51, 112], [], [0, 1]],
    "radius": [[1.0, 2.0, 3.0, 4.0, 5.0], [], [6.0, 7.0]],
    "wirez": [[100.0, 200.0, -100.0, NAN, 0.0], [], [-1500.0, 1500.0]],
}
SPLIT = {"track_split": [[2, 4], [], [2]]}
TRACK = [0, 0, 1, 1, -1, 0, 0]
TREES = ["TTree", "RNTuple"]


def write_branches(path, **branches):
    """A `hit_tree` as other programs might write it: every branch has the numbers and the lengths given."""
    arrays = as_arrays(branches)
    with uproot.recreate(path) as file:
        file.mktree(
            "hit_tree", {name: array.type.content for name, array in arrays.items()}
        ).extend(arrays)
    return path


def write_fields(path, *clusters):
    """The same as an RNTuple of clusters, each a dictionary of branches."""
    first, *rest = map(as_arrays, clusters)
    with uproot.recreate(path) as file:
        ntuple = file.mkrntuple("hit_tree", first)
        for arrays in rest:
            ntuple.extend(arrays)
    return path


def as_arrays(branches):
    """name -> Awkward Array."""
    arrays = {}
    for name, values in branches.items():
        array = ak.Array(values)
        if "unknown" in str(array.type):  # uproot has no type for lists that are all empty
            array = ak.values_astype(array, np.int32)
        arrays[name] = array
    return arrays


def as_ntuple(tree_path, path, sizes=(1.0,)):
    """Copy a file's `hit_tree` into an RNTuple of clusters, each with a share of the events; its path."""
    with uproot.open(tree_path) as file:
        arrays = file["hit_tree"].arrays()
    stops = np.round(np.cumsum(sizes) * len(arrays)).astype(int).tolist()
    parts = [arrays[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]
    return write_fields(path, *({name: part[name] for name in part.fields} for part in parts))


def write_as(kind, path, events):
    """Write events as a TTree, as we do, or copy that into an RNTuple."""
    hit_tree.write(path, events)
    return path if kind == "TTree" else as_ntuple(path, path.with_name(f"ntuple_{path.name}"))


def refusal(path, **kwargs):
    """The message of the one ValueError that reading a file gives; it starts with the file."""
    with pytest.raises(ValueError) as error:
        for _ in hit_tree.stream(path, **kwargs):
            pass
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


# Round trips ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", GENERATORS)
def test_events_read_back_are_identical(tmp_path, generator):
    events = generator.generate(200, tracks=(0, 1, 4), seed=3)
    assert (events.n_hits == 0).any() and (events.hits["second_track"] >= 0).any()
    hit_tree.write(tmp_path / "a.root", events)
    assert_same(hit_tree.read(tmp_path / "a.root"), events)


def test_everything_a_table_can_hold_reads_back(tmp_path):
    hits = {
        "side": [0, 1, 1, 0],
        "layer": [0, 8, 3, 4],
        "column": [0, 112, 7, 7],
        "drift_radius_mm": [0, 50, NAN, 3],
        "z_mm": [-2000, 0, NAN, 2000],
        "track": [0, 1, -1, -1],
        "second_track": [1, -1, -1, -1],
        "segment": [100, 1, 0, 0],
    }
    tracks = {
        "side": [0, 1],
        "calo_type": [2, -1],
        "calo_side": [1, -1],
        "calo_wall": [0, -1],
        "calo_column": [21, -1],
        "calo_row": [-1, 15],
        "foil_y_mm": [NAN, -2500.5],
        "foil_z_mm": [12.25, NAN],
        "slope_y": [-1e9, NAN],
        "slope_z": [NAN, 1e9],
        "kinked": [True, False],
        "n_segments": [101, 1],
    }
    info = {
        "n_tracks": [2, -1, 0],
        "run": [974, -1, 2**40],
        "event": [2**40, 0, -1],
        "geometry": [TOY, TOY, TKEVENT],
    }
    events = make_events(hits, [0, 3, 3, 4], tracks, [0, 2, 2, 2], info)
    hit_tree.write(tmp_path / "a.root", events)
    assert_same(hit_tree.read(tmp_path / "a.root"), events)


def test_hits_are_written_in_the_order_of_their_tracks_and_noise_last(tmp_path):
    hits = {"layer": [0, 1, 2, 3, 4], "column": [5] * 5, "track": [1, -1, 0, 1, 0]}
    hit_tree.write(tmp_path / "a.root", make_events(hits, [0, 5], {}, [0, 3], {"n_tracks": [3]}))
    with uproot.open(tmp_path / "a.root") as file:
        tree = file["hit_tree"].arrays()
    assert tree["grid_layer"].to_list() == [[2, 4, 0, 3, 1]]
    assert tree["track_split"].to_list() == [[2, 4, 4]]
    assert hit_tree.read(tmp_path / "a.root").hits["track"].tolist() == [0, 0, 1, 1, -1]


@pytest.mark.parametrize("generator", GENERATORS)
def test_track_split_alone_says_the_same_as_the_owner_of_each_hit(tmp_path, generator):
    events = generator.generate(50, tracks=(0, 2, 4), seed=3)
    noise = np.random.default_rng(0).random(len(events.hits["track"])) < 0.2
    events.hits["track"][noise], events.hits["second_track"][noise] = -1, -1
    hit_tree.write(tmp_path / "a.root", events)
    with uproot.open(tmp_path / "a.root") as file:
        tree = file["hit_tree"].arrays(
            ["grid_side", "grid_layer", "grid_column", "radius", "wirez", "track_split"]
        )
    write_branches(tmp_path / "b.root", **{name: tree[name] for name in tree.fields})
    both, alone = hit_tree.read(tmp_path / "a.root"), hit_tree.read(tmp_path / "b.root")
    np.testing.assert_array_equal(alone.hits["track"], both.hits["track"])
    np.testing.assert_array_equal(alone.info["n_tracks"], both.info["n_tracks"])
    np.testing.assert_array_equal(alone.track_offsets, both.track_offsets)


def test_branches_have_the_types_that_root_programs_expect(toy_file):
    with uproot.open(toy_file) as file:
        tree = file["hit_tree"]
        types = {branch.name: branch.typename for branch in tree.branches}
    assert {
        types[name]
        for name in (
            "grid_side",
            "grid_layer",
            "grid_column",
            "track_split",
            "calo_column",
            "track",
        )
    } == {"int32_t[]"}
    assert {types[name] for name in ("radius", "wirez", "foil_y")} == {"float[]"}
    assert types["n_tracks"] == "int64_t"


@pytest.mark.parametrize("chunk", [1, 7, np.int64(13), 1000, "1 B", "5 kB", "10 MB", 0])
def test_small_chunks_give_the_same_events_as_reading_at_once(haystack_file, chunk):
    chunks = list(hit_tree.stream(haystack_file, chunk))
    assert_same(concatenate(chunks), hit_tree.read(haystack_file))
    if chunk in (0, 1):
        assert [len(one) for one in chunks] == [1] * 40


def test_several_chunks_are_written_into_one_file(tmp_path):
    events = straight_lines.generate(100, seed=1)
    hit_tree.write(tmp_path / "a.root", (events[i : i + 30] for i in range(0, 100, 30)))
    assert_same(hit_tree.read(tmp_path / "a.root"), events)
    hit_tree.write(tmp_path / "a.root", [events[:0], events, events[:0]])
    assert_same(hit_tree.read(tmp_path / "a.root"), events)


def test_a_file_without_events_is_an_empty_table(tmp_path):
    hit_tree.write(tmp_path / "a.root", straight_lines.generate(0))
    assert_same(hit_tree.read(tmp_path / "a.root"), make_events({}, [0]))
    with uproot.recreate(tmp_path / "b.root") as file:  # a tree that was made and never filled
        file.mktree("hit_tree", dict.fromkeys(PLAIN, "var * int32"))
    assert len(hit_tree.read(tmp_path / "b.root")) == 0
    assert len(hit_tree.read([tmp_path / "a.root", tmp_path / "b.root"])) == 0


def test_events_without_hits_read_back(tmp_path):
    events = make_events({}, [0, 0, 0], info={"n_tracks": [0, 0], "event": [5, 6]})
    hit_tree.write(tmp_path / "a.root", events)
    assert_same(hit_tree.read(tmp_path / "a.root"), events)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_table_reads_back_when_its_hits_are_in_order(tmp_path_factory, data):
    n_tracks = data.draw(st.lists(st.integers(0, 3), max_size=4))
    hits, n_hits = [], []
    for n in n_tracks:
        tracks = st.integers(-1, n - 1)
        number = st.floats(0, 50, width=32) | st.just(NAN)
        cells = st.tuples(
            st.integers(0, 1),
            st.integers(0, 8),
            st.integers(0, 112),
            number,
            number,
            tracks,
            tracks,
        )
        event = data.draw(st.lists(cells, max_size=6, unique_by=lambda hit: hit[:3]))
        hits += sorted(event, key=lambda hit: hit[5] if hit[5] >= 0 else 99)
        n_hits.append(len(event))
    names = ("side", "layer", "column", "drift_radius_mm", "z_mm", "track", "second_track")
    columns = dict(zip(names, np.array(hits).reshape(-1, 7).T, strict=True))
    offsets = [np.concatenate([[0], np.cumsum(n)]).astype(int) for n in (n_hits, n_tracks)]
    events = make_events(
        columns,
        offsets[0],
        {},
        offsets[1],
        {"n_tracks": n_tracks, "event": np.arange(len(n_tracks))},
    )
    path = tmp_path_factory.mktemp("any") / "a.root"
    hit_tree.write(path, events)
    assert_same(hit_tree.read(path), events)


# RNTuples ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("sizes", [(1.0,), (0.5, 0.5), (0.1, 0.02, 0.48, 0.0, 0.4)])
def test_an_rntuple_reads_as_the_tree_that_it_was(tmp_path, generator, sizes):
    events = generator.generate(50, tracks=(0, 1, 4), seed=3)
    hit_tree.write(tmp_path / "a.root", events)
    path = as_ntuple(tmp_path / "a.root", tmp_path / "b.root", sizes)
    assert_same(hit_tree.read(path), events)
    for chunk in (1, 7, 40, "1 B"):
        assert_same(concatenate(hit_tree.stream(path, chunk)), events)


def test_chunks_of_an_rntuple_are_whole_clusters_or_parts_of_one(tmp_path, toy_file):
    path = as_ntuple(toy_file, tmp_path / "b.root", (0.25, 0.25, 0.5))
    for chunk, sizes in (
        (10, [10] * 4),
        (15, [15, 5, 15, 5]),
        (4, [4, 4, 2, 4, 4, 2, 4, 4, 4, 4, 4]),
        (99, [40]),
    ):
        assert [len(events) for events in hit_tree.stream(path, chunk)] == sizes


def test_an_assigned_dictionary_is_read(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file["hit_tree"] = as_arrays(PLAIN | SPLIT)
    events = hit_tree.read(tmp_path / "a.root")
    assert_same(events, hit_tree.read(write_branches(tmp_path / "b.root", **PLAIN, **SPLIT)))
    assert events.hits["track"].tolist() == TRACK and set(events.info["geometry"]) == {TOY}


def test_hits_and_tracks_may_be_records(tmp_path, haystack_file):
    with uproot.open(haystack_file) as file:
        arrays = file["hit_tree"].arrays()
    groups = [hit_tree.HIT_BRANCHES.values(), [*hit_tree.TRACK_BRANCHES.values(), "track_split"]]
    hits, tracks = [ak.zip({name: arrays[name] for name in names}) for names in groups]
    info = {name: arrays[name] for name in hit_tree.INFO_BRANCHES.values()}
    with uproot.recreate(tmp_path / "a.root") as file:
        file["hit_tree"] = {"hits": hits, "tracks": tracks, **info}
    assert_same(hit_tree.read(tmp_path / "a.root"), hit_tree.read(haystack_file))


def test_an_rntuple_without_events_is_an_empty_table(tmp_path):
    none = {name: values[:0] for name, values in as_arrays(PLAIN).items()}
    assert len(hit_tree.read(write_fields(tmp_path / "a.root", none))) == 0


def test_errors_in_an_rntuple_name_entry_and_branch(tmp_path):
    path = write_fields(
        tmp_path / "a.root", PLAIN, {**PLAIN, "grid_layer": [[0, 1, 0, 1, 8], [], [4, 9]]}
    )
    for chunk in (1, 3, 1000):
        assert refusal(path, chunk=chunk).startswith("entry 5: grid_layer 9 ")
    without = {name: values for name, values in PLAIN.items() if name != "radius"}
    assert "has no branch radius" in refusal(write_fields(tmp_path / "b.root", without))
    text = PLAIN | {"wirez": ["two", "words", ""]}
    assert "branch wirez holds string" in refusal(write_fields(tmp_path / "c.root", text))


# Names of files ---------------------------------------------------------------------------------------------


def test_files_are_read_in_order_from_a_glob_or_a_list(tmp_path):
    parts = [straight_lines.generate(5, seed=1, first_event=5 * i) for i in range(3)]
    for i, part in enumerate(parts):
        hit_tree.write(tmp_path / f"part_{i}.root", part)
    paths = [tmp_path / f"part_{i}.root" for i in range(3)]
    assert_same(hit_tree.read(tmp_path / "part_*.root"), concatenate(parts))
    assert_same(hit_tree.read(str(tmp_path / "part_?.root")), concatenate(parts))
    assert_same(hit_tree.read([paths[2], str(paths[0])]), concatenate([parts[2], parts[0]]))
    assert_same(
        hit_tree.read([tmp_path / "part_[12].root", paths[0]]),
        concatenate([parts[1], parts[2], parts[0]]),
    )


@pytest.mark.parametrize(
    "name", ["run[1].root", "a:b.root", "a*.root", "with space.root", "no_suffix"]
)
def test_a_file_with_a_strange_name_is_written_and_read(tmp_path, name):
    (tmp_path / "run1.root").touch()  # what the name run[1].root would match as a glob
    events = straight_lines.generate(3, seed=1)
    hit_tree.write(tmp_path / name, events)
    assert_same(hit_tree.read(tmp_path / name), events)
    assert_same(hit_tree.read([str(tmp_path / name)]), events)


def test_checksums_are_those_of_sha256sum(tmp_path):
    (tmp_path / "a.root").write_bytes(b"abc")
    assert files.checksums(tmp_path / "*.root") == {
        "a.root": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    }


def test_the_progress_bar_changes_nothing(haystack_file):
    assert_same(
        hit_tree.read([haystack_file, haystack_file], progress=True),
        hit_tree.read([haystack_file, haystack_file]),
    )


def test_reading_can_be_left_in_the_middle(haystack_file):
    stream = hit_tree.stream([haystack_file, haystack_file], chunk=5)
    assert len(next(stream)) == 5
    stream.close()


def test_an_error_of_the_one_who_reads_is_not_blamed_on_the_file(haystack_file):
    with pytest.raises(KeyError):
        for _ in hit_tree.stream(haystack_file):
            raise KeyError("mine")


# Files with less in them ------------------------------------------------------------------------------------


def test_a_file_without_any_label_has_hits_of_unknown_owners(tmp_path):
    events = hit_tree.read(write_branches(tmp_path / "a.root", **PLAIN))
    assert events.n_hits.tolist() == [5, 0, 2]
    assert events.hits["column"].tolist() == [10, 10, 50, 51, 112, 0, 1]
    np.testing.assert_array_equal(events.hits["z_mm"], [100, 200, -100, NAN, 0, -1500, 1500])
    assert set(events.hits["track"]) == set(events.hits["second_track"]) == {-1}
    assert set(events.hits["side"]) == {1}  # no grid_side
    assert events.info["n_tracks"].tolist() == [-1, -1, -1]
    assert events.info["event"].tolist() == [0, 1, 2]
    assert events.track_offsets.tolist() == [0, 0, 0, 0]


def test_track_split_gives_owners_and_numbers_of_tracks(tmp_path):
    events = hit_tree.read(write_branches(tmp_path / "a.root", **PLAIN, **SPLIT))
    # the last hit of the first event is beyond its tracks: noise
    assert events.hits["track"].tolist() == TRACK
    assert events.info["n_tracks"].tolist() == [2, 0, 1]
    assert events.track_offsets.tolist() == [0, 2, 2, 3]


def test_tracks_without_hits_have_none(tmp_path):
    path = write_branches(
        tmp_path / "a.root", **PLAIN, track_split=[[0, 2, 2, 5, 5], [0, 0], [0, 2]]
    )
    events = hit_tree.read(path)
    assert events.hits["track"].tolist() == [1, 1, 3, 3, 3, 1, 1]
    assert events.info["n_tracks"].tolist() == [5, 2, 2]


def test_owners_of_hits_alone_are_read_and_the_number_of_tracks_stays_unknown(tmp_path):
    path = write_branches(tmp_path / "a.root", **PLAIN, track=[TRACK[:5], [], TRACK[5:]])
    events = hit_tree.read(path)
    assert events.hits["track"].tolist() == TRACK
    assert events.info["n_tracks"].tolist() == [-1, -1, -1]
    hit_tree.write(tmp_path / "b.root", events)
    assert_same(hit_tree.read(tmp_path / "b.root"), events)


def test_the_owner_of_each_hit_comes_before_track_split(tmp_path):
    path = write_branches(
        tmp_path / "a.root", **PLAIN, **SPLIT, track=[[1, 0, 1, 0, -1], [], [-1, 0]]
    )
    assert hit_tree.read(path).hits["track"].tolist() == [1, 0, 1, 0, -1, -1, 0]


def test_calorimeter_blocks_are_read_without_track_split(tmp_path):
    path = write_branches(
        tmp_path / "a.root", **PLAIN, calo_column=[[3, 4], [], [5]], calo_row=[[1, 2], [], [0]]
    )
    events = hit_tree.read(path)
    assert events.tracks["calo_column"].tolist() == [3, 4, 5] and events.tracks[
        "calo_row"
    ].tolist() == [
        1,
        2,
        0,
    ]
    assert events.info["n_tracks"].tolist() == [-1, -1, -1]


def test_branches_left_empty_as_by_the_original_are_unknown(tmp_path):
    empty = [[], [], []]
    path = write_branches(
        tmp_path / "a.root",
        **PLAIN,
        **SPLIT,
        grid_side=empty,
        calo_side=empty,
        calo_column=[[1, 2], [], [3]],
    )
    events = hit_tree.read(path)
    assert set(events.hits["side"]) == {1}
    assert set(events.tracks["side"]) == {1} and set(events.tracks["calo_side"]) == {-1}
    assert_same(concatenate(hit_tree.stream(path, 1)), events)


def test_files_of_both_generators_merged_into_one_read_as_both(tmp_path):
    path = write_branches(
        tmp_path / "a.root", **PLAIN, **SPLIT, grid_side=[[], [], [0, 0]], calo_side=[[], [], [0]]
    )
    events = hit_tree.read(path)
    assert events.hits["side"].tolist() == [1] * 5 + [0, 0]
    assert events.tracks["side"].tolist() == [1, 1, 0] and events.tracks["calo_side"].tolist() == [
        -1,
        -1,
        0,
    ]
    assert_same(concatenate(hit_tree.stream(path, 1)), events)


def test_branches_may_have_any_type_of_number(tmp_path):
    odd = {
        name: ak.values_astype(ak.Array(values), np.float64)
        for name, values in (PLAIN | SPLIT).items()
    }
    odd["grid_column"] = ak.values_astype(odd["grid_column"], np.uint8)
    odd["run"] = np.array([1, 2, 3], np.uint16)
    assert hit_tree.read(write_branches(tmp_path / "a.root", **odd)).hits["track"].tolist() == TRACK


def test_two_hits_of_a_cell_are_one_hit_with_two_owners(tmp_path):
    hits = {
        "grid_layer": [[3, 3]],
        "grid_column": [[7, 7]],
        "radius": [[5.0, 4.0]],
        "wirez": [[1.0, 2.0]],
        "track_split": [[1, 2]],
    }
    events = hit_tree.read(write_branches(tmp_path / "a.root", **hits))
    assert [
        events.hits[name].tolist() for name in ("drift_radius_mm", "z_mm", "track", "second_track")
    ] == [
        [4],
        [2],
        [1],
        [0],
    ]
    assert events.info["n_tracks"].tolist() == [2]


def test_haystack_lines_are_those_through_the_point_on_the_wall(tmp_path):
    # from foil point (0, 10, 20): to x = 400 with slopes 0.5 and -0.25, and to x = -200 with dy/dx = 2, so -2
    # per |x|
    wall = {
        "pointx": [[400.0, -200.0], [], [100.0]],
        "pointy": [[210.0, -390.0], [], [0.0]],
        "pointz": [[-80.0, 20.0], [], [0.0]],
    }
    path = write_branches(
        tmp_path / "a.root",
        **PLAIN,
        **SPLIT,
        **wall,
        diry=[[0.5, 2.0], [], [0.0]],
        dirz=[[-0.25, 0.0], [], [0.0]],
    )
    tracks = hit_tree.read(path).tracks
    assert tracks["foil_y_mm"].tolist() == [10, 10, 0] and tracks["foil_z_mm"].tolist() == [
        20,
        20,
        0,
    ]
    assert tracks["slope_y"].tolist() == [0.5, -2, 0] and tracks["slope_z"].tolist() == [
        -0.25,
        0,
        0,
    ]


@pytest.mark.parametrize("labels", [SPLIT, {}], ids=["track_split", "no labels"])
def test_points_on_the_wall_alone_are_no_line(tmp_path, labels):
    path = write_branches(
        tmp_path / "a.root",
        **PLAIN,
        **labels,
        pointx=[[4.0, 4.0], [], [4.0]],
        diry=[[1.0, 1.0], [], [1.0]],
    )
    assert np.isnan(hit_tree.read(path).tracks["foil_y_mm"]).all()


def test_a_veto_has_no_row_whatever_the_file_says(tmp_path):
    calo = {
        "calo_type": [[0, 2], [], [1]],
        "calo_row": [[5, 1], [], [15]],
        "calo_column": [[1, 2], [], [0]],
    }
    assert hit_tree.read(write_branches(tmp_path / "a.root", **PLAIN, **SPLIT, **calo)).tracks[
        "calo_row"
    ].tolist() == [5, -1, 15]


# Broken files -----------------------------------------------------------------------------------------------


def test_a_missing_file_is_refused(tmp_path):
    assert refusal(tmp_path / "a.root") == "no such file"
    assert refusal(tmp_path / "*.root") == "no such file"
    hit_tree.write(tmp_path / "b.root", straight_lines.generate(1))
    with pytest.raises(ValueError, match="a.root: no such file"):
        hit_tree.read([tmp_path / "b.root", tmp_path / "a.root"])


@pytest.mark.parametrize(
    "content, error",
    [
        (b"", "empty file"),
        (b"r", "not a ROOT file"),
        (b"x,y\n1,2\n" * 500, "not a ROOT file"),
        (bytes(5000), "not a ROOT file"),
        (gzip.compress(b"x,y\n1,2\n" * 500, mtime=0), "not a ROOT file"),
    ],
    ids=lambda value: repr(value[:6]),
)
def test_a_file_that_is_not_root_is_refused_in_one_short_line(tmp_path, content, error):
    path = tmp_path / "a.root"
    path.write_bytes(content)
    assert refusal(path) == error.format(path=path)


@pytest.mark.parametrize(
    "content",
    [b"root", b"root" + bytes(5000), gzip.compress(b"root" + bytes(5000), mtime=0)],
    ids=len,
)
def test_a_file_that_only_starts_as_root_is_refused(tmp_path, content):
    (tmp_path / "a.root").write_bytes(content)
    assert "no" in refusal(tmp_path / "a.root")  # not readable, or no tree in it


def test_a_folder_is_refused_and_its_files_are_named(tmp_path, toy_file):
    error = f"a folder, not a file: name the files in it, such as {tmp_path}/*.root"
    assert refusal(tmp_path) == error
    with pytest.raises(ValueError, match="a folder, not a file"):
        hit_tree.read([toy_file, tmp_path])
    (tmp_path / "run[1]").mkdir()
    assert refusal(tmp_path / "run[1]").startswith("a folder, not a file")


@pytest.mark.parametrize("kind", TREES)
def test_an_event_of_millions_of_hits_is_refused_before_it_is_read(tmp_path, kind):
    n = 2_000_000
    names = (*PLAIN, "grid_side", "track", "second_owner", "segment")
    arrays = {name: ak.unflatten(np.zeros(n + 5, np.int32), [3, n, 2]) for name in names}
    path = tmp_path / "a.root"
    if kind == "TTree":
        write_branches(path, **arrays)
    else:
        write_fields(path, arrays)
    code = f"""
import resource
from datasets.readers import hit_tree
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    hit_tree.read({str(path)!r})
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    error, kilobytes = ran.stdout.splitlines()
    assert error == f"{path}: entry 1: {n} hits, but the tracker has 2034 cells"
    assert int(kilobytes) < 100_000  # one branch; all of them take five times as much


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("generator", GENERATORS)
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, generator, kind):
    whole = write_as(kind, tmp_path / "whole.root", generator.generate(30, seed=1)).read_bytes()
    lengths = random.Random(0).sample(range(len(whole)), 60)
    for length in (*lengths, *range(len(whole) - 20, len(whole)), *range(0, 300, 10)):
        (tmp_path / "a.root").write_bytes(whole[:length])
        refusal(tmp_path / "a.root")


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("generator", GENERATORS)
def test_flipped_bytes_give_events_or_one_clear_error(tmp_path, generator, kind):
    whole = write_as(kind, tmp_path / "whole.root", generator.generate(30, seed=1)).read_bytes()
    rng = random.Random(1)
    errors = []
    for _ in range(100):
        broken = bytearray(whole)
        for _ in range(rng.choice([1, 3, 30])):
            broken[rng.randrange(len(broken))] ^= rng.randrange(1, 256)
        (tmp_path / "a.root").write_bytes(broken)
        try:
            hit_tree.read(tmp_path / "a.root")
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path / 'a.root'}: ") and "\n" not in str(error)
            errors.append(str(error))
    assert len(errors) > 50
    if kind == "TTree":
        assert any("the streamer info is damaged" in error for error in errors)
    assert not any("RecursionError" in error for error in errors)


def test_a_bit_flipped_in_the_data_never_gives_other_events(tmp_path):
    events = straight_lines.generate(300, seed=1)
    hit_tree.write(tmp_path / "whole.root", events)
    whole = (tmp_path / "whole.root").read_bytes()
    with uproot.open(tmp_path / "whole.root") as file:
        baskets = [
            (branch.member("fBasketSeek")[0], branch.member("fBasketBytes")[0])
            for branch in file["hit_tree"].branches
        ]
    rng = random.Random(0)
    for _ in range(200):
        start, size = rng.choice(baskets)
        broken = bytearray(whole)
        broken[start + rng.randrange(size)] ^= 1 << rng.randrange(8)
        (tmp_path / "a.root").write_bytes(broken)
        try:
            read = hit_tree.read(tmp_path / "a.root")
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path / 'a.root'}: ")
        else:
            assert_same(read, events)  # a bit of the basket's name or date


def test_a_root_file_without_the_tree_is_refused(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("Event", {"x": "int32"}).extend({"x": np.arange(3)})
    assert "no tree hit_tree" in refusal(tmp_path / "a.root") and "Event" in refusal(
        tmp_path / "a.root"
    )
    with uproot.recreate(tmp_path / "b.root") as file:
        file["hit_tree"] = np.histogram([1, 2, 3])
    assert "no tree hit_tree" in refusal(tmp_path / "b.root")


@pytest.mark.parametrize("name", PLAIN)
def test_a_tree_without_a_needed_branch_is_refused(tmp_path, name):
    path = write_branches(
        tmp_path / "a.root", **{k: v for k, v in PLAIN.items() if k != name}, **SPLIT
    )
    assert f"no branch {name}" in refusal(path)


@pytest.mark.parametrize("name", PLAIN)
def test_a_needed_branch_that_is_empty_is_refused(tmp_path, name):
    path = write_branches(tmp_path / "a.root", **{**PLAIN, name: [[], [], []]})
    assert "entry 0: branch " in refusal(path)


@pytest.mark.parametrize("name", [*PLAIN, "track_split"])
def test_a_branch_of_text_is_refused(tmp_path, name):
    path = write_branches(tmp_path / "a.root", **{**PLAIN, **SPLIT, name: ["two", "words", ""]})
    assert f"branch {name} holds string, not a list of numbers" in refusal(path)


@pytest.mark.parametrize("name", [*PLAIN, "track_split"])
def test_a_branch_of_single_numbers_is_refused(tmp_path, name):
    path = write_branches(tmp_path / "a.root", **{**PLAIN, **SPLIT, name: np.array([1, 2, 3])})
    assert f"branch {name} holds int64" in refusal(path)


@pytest.mark.parametrize(
    "name, value",
    [
        ("grid_layer", 9),
        ("grid_layer", -1),
        ("grid_layer", 1.5),
        ("grid_layer", NAN),
        ("grid_column", 113),
        ("grid_column", -1),
    ]
    + [
        ("radius", -1.0),
        ("radius", 51.0),
        ("radius", np.inf),
        ("wirez", np.inf),
        ("wirez", -np.inf),
        ("wirez", 2001.0),
    ]
    + [("grid_side", 2), ("track", -2), ("second_owner", 1), ("track", 1)],
)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_a_value_out_of_range_is_refused_with_its_entry_and_branch(tmp_path, name, value, chunk):
    whole = {
        **PLAIN,
        **SPLIT,
        "grid_side": [[0] * 5, [], [1, 1]],
        "track": [TRACK[:5], [], [0, 0]],
        "second_owner": [[-1] * 5, [], [-1, -1]],
    }
    hit_tree.read(write_branches(tmp_path / "good.root", **whole))
    first, second, third = whole[name]
    path = write_branches(
        tmp_path / "a.root", **{**whole, name: [first, second, [third[0], value]]}
    )
    assert refusal(path, chunk=chunk).startswith(f"entry 2: {name} {value} ")


@pytest.mark.parametrize(
    "name, value",
    [("calo_column", 22), ("calo_row", 16), ("calo_side", 2), ("calo_type", 3), ("track_side", 2)],
)
def test_a_block_out_of_range_is_refused_with_its_entry_and_branch(tmp_path, name, value):
    path = write_branches(tmp_path / "a.root", **PLAIN, **SPLIT, **{name: [[0, 1], [], [value]]})
    assert refusal(path).startswith(f"entry 2: {name} {value} ")


def test_an_infinite_height_in_the_middle_of_a_written_file_is_refused(tmp_path):
    events = straight_lines.generate(50, seed=1)
    events.hits["z_mm"][events.hit_offsets[33]] = np.inf
    hit_tree.write(tmp_path / "a.root", events)
    assert refusal(tmp_path / "a.root", chunk=10).startswith("entry 33: wirez inf ")


@pytest.mark.parametrize(
    "split, entry, value",
    [
        ([[2, 6], [], [2]], 0, 6),  # more than there are hits
        ([[4, 2], [], [2]], 0, 2),  # falls
        ([[-1, 4], [], [2]], 0, -1),
        ([[2, 4], [1], [2]], 1, 1),  # no hits at all
        ([[2, 4], [], [3]], 2, 3),  # the next event's hits are not this one's
        ([[2, 4], [], [-(2**31)]], 2, -(2**31)),
        ([[2, 4], [], [2**40]], 2, 2**40),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1000])
@pytest.mark.parametrize(
    "owners", [{}, {"track": [TRACK[:5], [], TRACK[5:]]}], ids=["alone", "with owners"]
)
def test_a_track_split_that_does_not_fit_is_refused(tmp_path, split, entry, value, chunk, owners):
    path = write_branches(tmp_path / "a.root", **PLAIN, **owners, track_split=split)
    assert refusal(path, chunk=chunk).startswith(f"entry {entry}: track_split {value} ")


@pytest.mark.parametrize(
    "name", ["grid_column", "radius", "wirez", "grid_side", "track", "calo_column", "foil_y"]
)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_branches_of_different_lengths_in_an_event_are_refused(tmp_path, name, chunk):
    per_track = name in ("calo_column", "foil_y")
    values = [[1, 1], [], [1, 1]] if per_track else [[1] * 5, [], [1]]
    path = write_branches(tmp_path / "a.root", **{**PLAIN, **SPLIT, name: values})
    assert refusal(path, chunk=chunk).startswith(
        f"entry 2: branch {name} has {len(values[2])} values, others {1 if per_track else 2}"
    )


def test_hits_in_an_event_where_others_have_none_are_refused(tmp_path):
    path = write_branches(tmp_path / "a.root", **{**PLAIN, "grid_side": [[1] * 5, [1], [1]]})
    assert refusal(path).startswith("entry 1: branch grid_side has 1 values, others 0")


def test_a_branch_with_fewer_entries_than_the_tree_is_refused(tmp_path):
    n = 12345
    path = write_branches(tmp_path / "a.root", **{name: [[1]] * n for name in PLAIN})
    content = path.read_bytes()
    # uproot cannot write such a tree; after the branch's title come fEntryNumber and fEntries, big-endian
    number = struct.pack(">q", n)
    place = content.index(number, content.index(number, content.index(b"wirez[nwirez]")) + 1)
    path.write_bytes(content[:place] + struct.pack(">q", n - 1) + content[place + 8 :])
    assert refusal(path) == f"tree hit_tree has {n} entries, branch wirez has {n - 1}"


def test_an_error_in_the_second_file_names_the_second_file(tmp_path, toy_file):
    path = write_branches(
        tmp_path / "a.root", **{**PLAIN, "grid_layer": [[0, 1, 0, 1, 9], [], [4, 5]]}
    )
    with pytest.raises(ValueError) as error:
        hit_tree.read([toy_file, path])
    assert str(error.value).startswith(f"{path}: entry 0: grid_layer 9 ")


# Writing that fails -----------------------------------------------------------------------------------------


def failing():
    yield straight_lines.generate(5)
    raise RuntimeError("disk on fire")


def test_a_file_is_not_there_when_its_writer_fails_half_way(tmp_path):
    with pytest.raises(RuntimeError, match="disk on fire"):
        hit_tree.write(tmp_path / "a.root", failing())
    assert list(tmp_path.iterdir()) == []


def test_the_file_before_stays_when_its_writer_fails_half_way(tmp_path, toy_file):
    before = toy_file.read_bytes()
    with pytest.raises(RuntimeError):
        hit_tree.write(toy_file, failing())
    assert toy_file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [toy_file]


def test_a_file_is_not_visible_under_its_name_before_it_is_whole(tmp_path):
    def tables():
        yield straight_lines.generate(5)
        assert not (tmp_path / "a.root").exists()
        assert not glob.glob(
            f"{tmp_path}/*.root"
        )  # as users name files, which leaves out hidden ones

    hit_tree.write(tmp_path / "a.root", tables())
    assert [path.name for path in tmp_path.iterdir()] == ["a.root"]


def test_no_tables_at_all_make_no_file(tmp_path):
    with pytest.raises(ValueError, match="a.root: no events to write"):
        hit_tree.write(tmp_path / "a.root", [])
    assert list(tmp_path.iterdir()) == []


def test_folders_on_the_way_are_made(tmp_path):
    hit_tree.write(tmp_path / "new" / "folder" / "a.root", straight_lines.generate(2))
    assert len(hit_tree.read(tmp_path / "new" / "folder" / "a.root")) == 2


# The originals ----------------------------------------------------------------------------------------------

ORIGINALS = [(kind, n) for kind in ("my_generator", "toyhaystack") for n in (1, 2, 3, 4)]


def original(real_data, kind, n_tracks):
    """Path of an original file, its raw branches, and how many events it has."""
    path = real_data / "root" / f"{kind}_t{n_tracks}_0.root"
    with uproot.open(path) as file:
        return path, file["hit_tree"].arrays(), {"my_generator": 500, "toyhaystack": 100}[kind]


@pytest.mark.real
@pytest.mark.parametrize("kind, n_tracks", ORIGINALS)
def test_originals_have_their_events_and_tracks(real_data, kind, n_tracks):
    path, raw, n_events = original(real_data, kind, n_tracks)
    events = hit_tree.read(path)
    assert len(events) == len(raw) == n_events
    assert set(events.info["n_tracks"]) == set(np.diff(events.track_offsets)) == {n_tracks}
    assert events.info["event"].tolist() == list(range(n_events))
    assert (
        set(events.hits["side"])
        == set(events.tracks["side"])
        == ({1} if kind == "my_generator" else {0, 1})
    )
    assert (
        not np.isnan(events.hits["z_mm"]).any()
        and not np.isnan(events.hits["drift_radius_mm"]).any()
    )
    assert_same(concatenate(hit_tree.stream(path, 17)), events)


@pytest.mark.real
@pytest.mark.parametrize("kind, n_tracks", ORIGINALS)
def test_hits_of_originals_are_the_raw_ones_less_the_duplicates_with_the_raw_labels(
    real_data, kind, n_tracks
):
    path, raw, _ = original(real_data, kind, n_tracks)
    events = hit_tree.read(path)
    for i, entry in enumerate(raw.to_list()):
        sides = entry["grid_side"] or [1] * len(entry["radius"])
        owners = np.searchsorted(entry["track_split"], np.arange(len(sides)), side="right")
        cells = {}
        for cell, *hit in zip(
            zip(sides, entry["grid_layer"], entry["grid_column"], strict=True),
            entry["radius"],
            entry["wirez"],
            owners,
            strict=True,
        ):
            cells.setdefault(cell, []).append(hit)
        place = slice(events.hit_offsets[i], events.hit_offsets[i + 1])
        ours = {name: values[place].tolist() for name, values in events.hits.items()}
        assert len(ours["side"]) == len(cells)
        for side, layer, column, radius, z, track, second, segment in zip(
            *ours.values(), strict=True
        ):
            hits = sorted(cells[side, layer, column], key=lambda hit: np.float32(hit[0]))
            assert radius == np.float32(hits[0][0]) and z == np.float32(hits[0][1])
            assert [track, second] == ([hit[2] for hit in hits] + [-1])[:2] and segment == 0


@pytest.mark.real
@pytest.mark.parametrize("kind, n_tracks", ORIGINALS)
def test_blocks_of_originals_are_the_raw_ones(real_data, kind, n_tracks):
    path, raw, _ = original(real_data, kind, n_tracks)
    tracks = hit_tree.read(path).tracks
    np.testing.assert_array_equal(tracks["calo_column"], ak.flatten(raw["calo_column"]))
    veto = tracks["calo_type"] == 2
    np.testing.assert_array_equal(
        tracks["calo_row"], np.where(veto, -1, ak.flatten(raw["calo_row"]))
    )
    if kind == "toyhaystack":
        np.testing.assert_array_equal(tracks["calo_side"], ak.flatten(raw["calo_side"]))
    else:
        assert set(tracks["calo_type"]) == set(tracks["calo_side"]) == {-1}


@pytest.mark.real
@pytest.mark.parametrize("n_tracks", [1, 2, 3, 4])
def test_lines_of_haystack_originals_touch_the_drift_circles(real_data, n_tracks):
    events = hit_tree.read(original(real_data, "toyhaystack", n_tracks)[0])
    hits = events.hits
    owner = events.track_offsets[events.hit_event] + hits["track"]
    assert (hits["side"] == events.tracks["side"][owner]).all()
    foil_y, slope = (events.tracks[name][owner].astype(float) for name in ("foil_y_mm", "slope_y"))
    x, y = np.abs(wire_x_mm(hits["side"], hits["layer"])), wire_y_mm(hits["column"])
    distance = np.abs(foil_y + slope * x - y) / np.sqrt(1 + slope**2)
    # the original gives a cell that two tracks share to the first, with the radius of the nearer: then the
    # line is further away
    away = np.abs(distance - hits["drift_radius_mm"]) > 0.01
    assert away.mean() < {1: 0, 2: 0.02, 3: 0.04, 4: 0.06}[n_tracks] + 1e-9
    assert (
        distance[away] > hits["drift_radius_mm"][away]
    ).all() and distance.max() <= 0.51 * 44 + 0.01


@pytest.mark.real
@pytest.mark.parametrize("kind, n_tracks", ORIGINALS)
def test_originals_written_again_read_the_same(real_data, tmp_path, kind, n_tracks):
    events = hit_tree.read(original(real_data, kind, n_tracks)[0])
    hit_tree.write(tmp_path / "a.root", events)
    assert_same(hit_tree.read(tmp_path / "a.root"), events)


@pytest.mark.real
@pytest.mark.parametrize("kind", ["my_generator", "toyhaystack"])
def test_a_truncated_original_is_refused_wherever_it_ends(real_data, tmp_path, kind):
    whole = (real_data / "root" / f"{kind}_t1_0.root").read_bytes()
    for length in random.Random(0).sample(range(len(whole)), 99) + [len(whole) - 1]:
        (tmp_path / "a.root").write_bytes(whole[:length])
        refusal(tmp_path / "a.root")


@pytest.mark.real
@pytest.mark.parametrize("kind", ["my_generator", "toyhaystack"])
def test_flipped_bytes_in_an_original_give_events_or_one_clear_error(real_data, tmp_path, kind):
    whole = (real_data / "root" / f"{kind}_t1_0.root").read_bytes()
    rng = random.Random(0)
    for _ in range(100):
        broken = bytearray(whole)
        broken[rng.randrange(len(whole))] ^= rng.randrange(1, 256)
        (tmp_path / "a.root").write_bytes(broken)
        try:
            hit_tree.read(tmp_path / "a.root")
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path / 'a.root'}: ")
