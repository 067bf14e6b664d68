"""Tracks found in files, and the file that says so."""

import re

import awkward as ak
import keras
import numpy as np
import pytest
import uproot
from conftest import random_events
from hypothesis import given, settings
from hypothesis import strategies as st

import inference
import plotting
from architectures.track_finder import track_finder
from datasets import geometry
from datasets.events import concatenate, make_events
from datasets.readers import hit_tree, open_events
from finding import refit
from finding.labels import count_tracks, group_of_hits
from fitting import line
from my_generator import realistic
from scripts import export, find_tracks

REAL_FILES = [
    f"root/{kind}_t{n}_0.root" for kind in ("my_generator", "toyhaystack") for n in (1, 2, 3, 4)
]
REAL_FILES += [
    "root/tkevent_sample.root",
    "brio/flsim2.brio",
    "brio/flsim_flrec_cd_tcd.brio",
    "brio/snemo_run-724_udd-10events.brio",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Path of a small network that was never trained, but whose zeros are not zero any more: its tracks are
    arbitrary, and several.
    """
    keras.utils.set_random_seed(0)
    model = track_finder(filters=8, width=8, n_heads=2)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    export.export(model, path.with_name("model.onnx"))
    return path


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    """A file of events on both sides without any label; the first, one in the middle and the last have no
    hits.
    """
    path = tmp_path_factory.mktemp("files") / "unlabelled.root"
    events = realistic.generate(9, preset="data", seed=4, kind="toyhaystack")
    empty = make_events({}, [0, 0])
    events = concatenate([empty, events[:4], empty, events[4:], empty])
    jagged = events.to_awkward().hits
    names = {
        "side": "grid_side",
        "layer": "grid_layer",
        "column": "grid_column",
        "drift_radius_mm": "radius",
        "z_mm": "wirez",
    }
    with uproot.recreate(path) as file:
        file.mktree(
            "hit_tree",
            {branch: f"var * {events.hits[name].dtype}" for name, branch in names.items()},
            "toyhaystack",
        )
        file["hit_tree"].extend({branch: jagged[name] for name, branch in names.items()})
    return path


def find(model, out, *flags):
    """What the script wrote, as name -> values: jagged branches flat, and `n_hits`."""
    find_tracks.main([*map(str, flags), "--out", str(out), "--model", str(model)])
    with uproot.open(out) as file:
        assert file.keys(cycle=False) == ["found", "files"]
        arrays = file["found"].arrays()
        names = str(file["files"]).splitlines()
    per_hit = ("side", "layer", "column", "radius", "z", "track", "probability")
    found = {
        name: np.concatenate([np.zeros(0, int), *map(np.asarray, arrays[name])]) for name in per_hit
    }
    return (
        found
        | {name: np.asarray(arrays[name]) for name in ("n_tracks", "run", "event")}
        | {"file": np.array([names[i] for i in arrays["file"]], object)}
        | {"n_hits": np.asarray(arrays["size_hits"])}
    )


def assert_belongs(found, events):
    """The output lists these events, in this order, with all their hits."""
    np.testing.assert_array_equal(found["n_hits"], events.n_hits)
    for name in ("side", "layer", "column"):
        np.testing.assert_array_equal(found[name], events.hits[name], err_msg=name)
    for branch, name in (("radius", "drift_radius_mm"), ("z", "z_mm")):
        np.testing.assert_array_equal(found[branch], events.hits[name], err_msg=name)
    for name in ("run", "event"):
        np.testing.assert_array_equal(found[name], events.info[name], err_msg=name)
    np.testing.assert_array_equal(found["n_tracks"], count_tracks(events, found["track"]))
    assert ((found["probability"] >= 0) & (found["probability"] <= 1 + 1e-5)).all()
    numbers = {
        (event, track)
        for event, track in zip(events.hit_event, found["track"], strict=True)
        if track >= 0
    }
    assert numbers == {
        (event, track) for event, n in enumerate(found["n_tracks"]) for track in range(n)
    }  # none is left out


# The file ---------------------------------------------------------------------------------------------------


def test_labelled_events_are_written_in_order_with_what_the_network_says(model, toy_file, tmp_path):
    found, events = (
        find(model, tmp_path / "found.root", toy_file, "--no-refit"),
        open_events.read(toy_file),
    )
    assert_belongs(found, events)
    seen = inference.look(events, model)
    np.testing.assert_array_equal(found["track"], refit.labels_of(events, seen.track))
    np.testing.assert_allclose(found["probability"], seen.track.max(1), atol=1e-5)
    assert len(set(found["n_tracks"])) > 1


def test_events_without_labels_or_hits_are_written_as_well(model, unlabelled, tmp_path):
    found, events = find(model, tmp_path / "found.root", unlabelled), open_events.read(unlabelled)
    assert_belongs(found, events)
    assert (
        len(events) == 12
        and set(events.hits["side"]) == {0, 1}
        and set(events.info["n_tracks"]) == {-1}
    )
    assert (found["n_hits"][[0, 5, 11]] == 0).all() and (found["n_tracks"][[0, 5, 11]] == 0).all()


def test_labels_of_a_file_are_not_looked_at(model, toy_file, tmp_path):
    events = open_events.read(toy_file)
    events.hits["track"][:], events.hits["second_track"][:] = 0, -1
    hit_tree.write(tmp_path / "other.root", events)  # of one owner, so the hits stay in their order
    found, other = (
        find(model, tmp_path / "found.root", path) for path in (toy_file, tmp_path / "other.root")
    )
    for name, values in found.items():
        if name != "file":
            np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_files_of_several_kinds_follow_each_other_each_with_its_geometry(
    model, toy_file, haystack_file, tmp_path
):
    both = find(model, tmp_path / "found.root", haystack_file, toy_file)
    assert_belongs(both, open_events.read([haystack_file, toy_file]))
    alone = [find(model, tmp_path / "found.root", path) for path in (haystack_file, toy_file)]
    names = [str(haystack_file)] * 40 + [str(toy_file)] * 40
    assert both.pop("file").tolist() == names
    for name, values in both.items():
        expected = np.concatenate([part[name] for part in alone])
        np.testing.assert_allclose(values, expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("flags", [[], ["--foil-rule"]], ids=["refit", "foil rule"])
def test_tracks_are_those_that_inference_finds(model, haystack_file, tmp_path, flags):
    events = open_events.read(haystack_file)
    labels = inference.find_tracks(events, model, foil=bool(flags))
    np.testing.assert_array_equal(
        find(model, tmp_path / "found.root", haystack_file, *flags)["track"], labels
    )


def test_any_number_of_events_at_a_time_gives_the_same(
    model, unlabelled, toy_file, tmp_path, monkeypatch
):
    whole = find(model, tmp_path / "found.root", unlabelled, toy_file)
    monkeypatch.setattr(find_tracks, "BLOCK", 5)
    parts = find(model, tmp_path / "found.root", unlabelled, toy_file)
    assert parts.pop("file").tolist() == whole["file"].tolist()
    for name, values in parts.items():
        np.testing.assert_allclose(values, whole[name], atol=1e-5, err_msg=name)


def test_a_file_of_no_events_makes_a_tree_of_no_entries(model, tmp_path):
    hit_tree.write(tmp_path / "none.root", make_events({}, [0]))
    found = find(
        model, tmp_path / "found.root", tmp_path / "none.root", "--displays", tmp_path / "found.pdf"
    )
    assert all(len(values) == 0 for values in found.values())
    assert not (tmp_path / "found.pdf").exists()


def test_branches_have_the_types_that_root_programs_expect(model, toy_file, tmp_path):
    find(model, tmp_path / "found.root", toy_file)
    with uproot.open(tmp_path / "found.root") as file:
        types = {branch.name: branch.typename for branch in file["found"].branches}
    jagged = dict.fromkeys(("side", "layer", "column"), "int32_t[]")
    jagged |= {"radius": "float[]", "z": "float[]", "track": "int32_t[]", "probability": "float[]"}
    assert types == {
        "size_hits": "int32_t",
        **jagged,
        "n_tracks": "int32_t",
        "run": "int64_t",
        "event": "int64_t",
        "file": "int32_t",
    }


def test_blocks_add_branches_of_tracks_and_change_no_other(model, toy_file, tmp_path):
    arrays = []
    for flags in ([], ["--blocks"]):
        find(model, tmp_path / "found.root", toy_file, *flags)
        with uproot.open(tmp_path / "found.root") as file:
            types = {branch.name: branch.typename for branch in file["found"].branches}
            arrays.append(file["found"].arrays())
    without, with_blocks = arrays
    for name in without.fields:
        assert ak.array_equal(with_blocks[name], without[name], equal_nan=True), name
    added = {name: types[name] for name in types if name not in without.fields}
    address = ("calo_type", "calo_side", "calo_wall", "calo_column", "calo_row", "block")
    floats = ("calo_probability", "block_distance")
    assert added == {
        "size_tracks": "int32_t",
        **dict.fromkeys(address, "int32_t[]"),
        **dict.fromkeys(floats, "float[]"),
    }


def test_a_file_of_no_events_has_branches_of_blocks_when_they_are_wanted(model, tmp_path):
    hit_tree.write(tmp_path / "none.root", make_events({}, [0]))
    find(model, tmp_path / "found.root", tmp_path / "none.root", "--blocks")
    with uproot.open(tmp_path / "found.root") as file:
        assert len(file["found"]["calo_column"].array()) == 0


def test_blocks_of_tracks_are_written_for_every_track(toy_file, tmp_path):
    found = find("track_finder", tmp_path / "found.root", toy_file, "--blocks")
    events = open_events.read(toy_file)
    with uproot.open(tmp_path / "found.root") as file:
        arrays = file["found"].arrays(
            ["calo_column", "calo_row", "calo_probability", "block", "track"]
        )
    np.testing.assert_array_equal(
        [len(columns) for columns in arrays["calo_column"]], found["n_tracks"]
    )
    names = ("calo_column", "calo_row")
    first = events.track_offsets
    same = 0
    for i in range(len(events)):
        true = {name: events.tracks[name][first[i] : first[i + 1]] for name in names}
        same += sorted(zip(*true.values(), strict=True)) == sorted(
            zip(*(arrays[i][n] for n in names), strict=True)
        )
    assert same >= 36  # of 40 events
    for i, blocks in enumerate(arrays["block"]):
        assert len(set(blocks) - {-1}) == sum(blocks >= 0)  # a block has one track
        assert max(blocks, default=-1) < np.diff(events.block_offsets)[i]


def test_the_first_events_are_drawn_and_the_speed_is_said(model, haystack_file, tmp_path, capsys):
    hit_tree.write(tmp_path / "toy.root", realistic.generate(3, preset="data", seed=1))
    flags = ["--displays", tmp_path / "found.pdf", "--n-displays", "4"]
    find(model, tmp_path / "found.root", tmp_path / "toy.root", haystack_file, *flags)
    said = capsys.readouterr().out
    assert "43 events in " in said and " events/s; " in said
    assert re.search(
        r"(?m)^\d+ hits: \d+ on tracks, \d+ on none but next to a hit of one, \d+ elsewhere$", said
    )
    assert "drawing 4 events\n" in said and "4 events drawn in " in said
    assert (tmp_path / "found.pdf").read_bytes().startswith(b"%PDF")


def test_hits_on_beside_and_off_tracks_are_counted():
    layer, column = [0, 1, 2, 2, 3, 8], [5, 5, 5, 6, 7, 90]
    events = make_events({"side": [0] * 6, "layer": layer, "column": column}, [0, 6])
    assert find_tracks.where_hits_are(events, np.array([0, 0, 0, -1, -1, -1])).tolist() == [3, 1, 2]


def test_displays_show_some_events_of_each_file_with_their_lines(
    model, unlabelled, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(plotting, "page_of_events", lambda *of, **more: drawn.append((*of, more)))
    hit_tree.write(tmp_path / "toy.root", realistic.generate(4, preset="data", seed=1))
    flags = ["--displays", tmp_path / "found.pdf", "--n-displays", "5"]
    found = find(model, tmp_path / "found.root", tmp_path / "toy.root", unlabelled, *flags)
    ((events, which, _, titles, more),) = drawn
    assert events.first_wire_mm.tolist() == [22.0, 22.0, 53.0, 53.0] and list(which) == [0, 1, 2, 3]
    n_hits = events.hit_offsets[2]
    np.testing.assert_array_equal(events.hits["track"][:n_hits], found["track"][:n_hits])
    assert (
        events.info["n_tracks"][:2].tolist() == found["n_tracks"][:2].tolist()
    )  # what was left out is drawn so
    assert titles[0].startswith("toy.root: event 0: ") and titles[0].endswith(" found, true 2")
    assert titles[2].startswith("unlabelled.root: event 1: ")  # the first one has no hit
    assert set(zip(more["lines"]["event"], more["lines"]["track"], strict=True)) <= set(
        zip(events.hit_event, events.hits["track"], strict=True)
    )


@pytest.mark.parametrize("n_hits", [1, 2, 113])
def test_events_with_too_few_hits_for_a_line_are_written(model, tmp_path, n_hits):
    events = make_events({"layer": [0] * n_hits, "column": range(n_hits)}, [0, n_hits])
    hit_tree.write(tmp_path / "few.root", events)
    found = find(model, tmp_path / "found.root", tmp_path / "few.root", "--foil-rule", "--blocks")
    assert found["n_hits"].tolist() == [n_hits]


def test_what_is_beyond_the_limits_is_said_once_a_file(tmp_path, capsys):
    events = random_events(0, [400, 400, 3])
    hit_tree.write(tmp_path / "busy.root", events)
    find("track_finder", tmp_path / "found.root", tmp_path / "busy.root")
    assert capsys.readouterr().err.count("2 events have more than 300 hits on a tracker side") == 1


# When it fails ----------------------------------------------------------------------------------------------


def test_a_damaged_file_leaves_no_output(model, toy_file, tmp_path):
    whole = toy_file.read_bytes()
    folder = tmp_path / "out"
    (tmp_path / "cut.root").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.root: "):
        find(model, folder / "found.root", toy_file, tmp_path / "cut.root")
    with uproot.open(toy_file) as file:  # damage that shows only when the hits are read
        start, size = (
            file["hit_tree/radius"].member(name)[0] for name in ("fBasketSeek", "fBasketBytes")
        )
    broken = bytearray(whole)
    broken[start + size - 20] ^= 255
    (tmp_path / "broken.root").write_bytes(broken)
    with pytest.raises(ValueError, match=r"broken\.root: "):
        find(model, folder / "found.root", toy_file, tmp_path / "broken.root")
    assert not folder.exists() or list(folder.iterdir()) == []


def test_the_output_before_stays_when_a_file_is_damaged(model, toy_file, tmp_path):
    find(model, tmp_path / "found.root", toy_file)
    before = (tmp_path / "found.root").read_bytes()
    (tmp_path / "cut.root").write_bytes(toy_file.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"cut\.root: "):
        find(model, tmp_path / "found.root", toy_file, tmp_path / "cut.root")
    assert (tmp_path / "found.root").read_bytes() == before


def test_a_file_that_is_read_is_not_overwritten(model, toy_file):
    before = toy_file.read_bytes()
    with pytest.raises(ValueError, match="one of the files to read"):
        find(model, toy_file, f"{toy_file.parent}/*.root")
    assert toy_file.read_bytes() == before


@pytest.mark.parametrize(
    "flags", [["--displays", "found"], ["--displays", "found.svgg"], ["--n-displays", "0"]]
)
def test_wrong_displays_are_refused_at_once(flags, tmp_path):
    with pytest.raises(SystemExit):
        find_tracks.main(["nothing.root", "--out", str(tmp_path / "found.root"), *flags])


@pytest.mark.parametrize("name", ["folder.root", "found.csv", "found"])
def test_an_output_that_is_no_name_of_a_root_file_is_refused_at_once(name, tmp_path, capsys):
    (tmp_path / "folder.root").mkdir()
    with pytest.raises(SystemExit):
        find_tracks.main(["nothing.root", "--out", str(tmp_path / name)])
    assert f"{name} is no name of a ROOT file" in capsys.readouterr().err


def test_an_unknown_model_is_refused_and_leaves_no_output(toy_file, tmp_path):
    with pytest.raises(ValueError, match="no model nonsense"):
        find("nonsense", tmp_path / "found.root", toy_file)
    assert not (tmp_path / "found.root").exists()


# Probability of the chosen ----------------------------------------------------------------------------------

# four hits on side 1 and two on side 0; the network has two columns, and none
SIX = make_events({"side": [1, 1, 1, 1, 0, 0], "layer": range(6), "column": range(6)}, [0, 6])
TWO_COLUMNS = np.array(
    [
        [0.7, 0.2, 0.1],
        [0.6, 0.1, 0.3],
        [0.3, 0.5, 0.2],
        [0.2, 0.45, 0.35],
        [0.1, 0.8, 0.1],
        [0.2, 0.3, 0.5],
    ]
)


@pytest.mark.parametrize(
    "labels, expected",
    [
        ([0, 0, 1, 1, 2, -1], [0.7, 0.6, 0.5, 0.45, 0.8, 0.5]),  # as the network has it
        (
            [0, 0, 1, 0, 2, 2],
            [0.9, 0.7, 0.5, 0.65, 0.8, 0.3],
        ),  # a tie: one hit of column 1 each, so track 0 stands for that as well
        (
            [0, 0, 0, 0, -1, -1],
            [0.9, 0.7, 0.8, 0.65, 0.1, 0.5],
        ),  # lines joined the columns of side 1
        ([0, 1, 2, 2, -1, -1], [0.7, 0.6, 0.5, 0.45, 0.1, 0.5]),  # and parted one
        ([0, 0, -1, -1, -1, -1], [0.7, 0.6, 0.2, 0.35, 0.1, 0.5]),
        ([-1] * 6, [0.1, 0.3, 0.2, 0.35, 0.1, 0.5]),
    ],
)
def test_a_hit_has_the_probability_of_the_columns_its_track_stands_for(labels, expected):
    probability = find_tracks.chosen_probability(SIX, np.array(labels), TWO_COLUMNS)
    np.testing.assert_allclose(probability, expected)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_network_alone_chooses_what_it_finds_most_probable(seed):
    rng = np.random.default_rng(seed)
    n_hits = rng.integers(0, 9, 4)
    cell = np.concatenate([rng.permutation(2 * 9 * 113)[:n] for n in n_hits]).astype(int)
    hits = {"side": cell // (9 * 113), "layer": cell % 9, "column": cell // 9 % 113}
    events = make_events(hits, np.concatenate([[0], np.cumsum(n_hits)]))
    track = rng.dirichlet(np.ones(5), len(cell))
    np.testing.assert_allclose(
        find_tracks.chosen_probability(events, refit.labels_of(events, track), track), track.max(1)
    )


# Files of the original programs -----------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("name", REAL_FILES)
def test_tracks_are_found_in_real_files_of_every_kind(model, real_data, tmp_path, name):
    for flags in (
        ["--no-refit"],
        [],
        ["--foil-rule", "--displays", tmp_path / "found.pdf", "--n-displays", "3"],
    ):
        assert_belongs(
            find(model, tmp_path / "found.root", real_data / name, *flags),
            open_events.read(real_data / name),
        )
    assert (tmp_path / "found.pdf").stat().st_size > 0


@pytest.mark.real
def test_tracks_of_run_724_pass_its_wires_at_the_drift_radii(real_data):
    events = open_events.read(
        real_data / "brio/snemo_run-724_udd-10events.brio", drift_model="manchester"
    )
    labels = inference.find_tracks(events)
    assert count_tracks(events, labels).tolist() == [
        2,
        1,
        1,
        1,
        1,
        2,
        1,
        1,
        2,
        1,
    ]  # as the eye sees them
    hits = events.hits
    known = (labels >= 0) & (
        hits["drift_radius_mm"] < geometry.CELL_RADIUS_MM
    )  # larger ones are of a corner, or late
    track = np.where(known, group_of_hits(events) * 10 + labels, -1)
    x, y = geometry.wire_x_mm(hits["side"], hits["layer"]), geometry.wire_y_mm(hits["column"])
    lines = line.fit(
        track,
        track.max() + 1,
        x,
        y,
        hits["drift_radius_mm"],
        hits["z_mm"],
        2.0,
        17.0,
        clip_sigma=5.0,
    )
    assert lines.used[known].mean() > 0.9
    away = np.abs(lines.distance_mm(track, x, y)) - hits["drift_radius_mm"]
    assert (
        np.median(np.abs(away[lines.used])) < 2
    )  # mm; TKEvent takes a resolution of 2 mm for real hits
