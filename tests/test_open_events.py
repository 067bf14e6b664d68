import gzip
import random
import re
from contextlib import suppress

import awkward as ak
import numpy as np
import pytest
import uproot

from datasets.events import make_events
from datasets.geometry import DETECTOR, TOY
from datasets.readers import open_events, root_objects, tkevent
from tests.conftest import assert_same

KINDS = {
    "root/my_generator_t1_0.root": "my_generator",
    "root/toyhaystack_t4_0.root": "toyhaystack",
    "root/tkevent_sample.root": "tkevent",
    "brio/snemo_run-724_udd-10events.brio": "brio",
    "brio/flsim2.brio": "brio",
}


def test_generated_files_of_both_kinds_are_told_apart(toy_file, haystack_file):
    assert open_events.kind_of(toy_file) == "my_generator"
    assert open_events.kind_of(haystack_file) == "toyhaystack"


def test_files_of_several_kinds_are_read_in_order_each_table_with_its_file(toy_file, haystack_file):
    paths, tables = zip(*open_events.stream([toy_file, haystack_file]), strict=True)
    assert paths == (toy_file, haystack_file)
    assert [set(table.info["geometry"]) for table in tables] == [{TOY}, {DETECTOR}]
    assert_same(tables[0], open_events.read(toy_file))
    assert sum(map(len, tables)) == len(open_events.read([toy_file, haystack_file]))


@pytest.mark.parametrize("with_geometry", [True, False])
def test_generated_rntuples_of_both_kinds_are_told_apart(
    toy_file, haystack_file, tmp_path, with_geometry
):
    for path, kind in ((toy_file, "my_generator"), (haystack_file, "toyhaystack")):
        with uproot.open(path) as file:
            arrays = file["hit_tree"].arrays()
        branches = {
            name: arrays[name] for name in arrays.fields if with_geometry or name != "geometry"
        }
        if kind == "toyhaystack" and not with_geometry:
            branches["pointx"] = branches["foil_y"]  # as in the original script
        with uproot.recreate(tmp_path / "ntuple.root") as file:
            file["hit_tree"] = branches
        assert open_events.kind_of(tmp_path / "ntuple.root") == kind
        assert_same(open_events.read(tmp_path / "ntuple.root"), open_events.read(path))


def test_a_foreign_file_is_named_before_anything_is_read(toy_file, tmp_path):
    foreign = tmp_path / "notes.root"
    foreign.write_text("no ROOT file")
    with pytest.raises(ValueError, match=r"notes\.root: not a ROOT file$"):
        next(open_events.stream([toy_file, foreign]))


def test_a_root_file_without_events_is_refused_by_what_it_holds(tmp_path):
    with uproot.recreate(tmp_path / "other.root") as file:
        file["tree"] = {"x": [1.0, 2.0]}
    with pytest.raises(ValueError, match=r"other\.root.*holds tree"):
        open_events.kind_of(tmp_path / "other.root")


WRONG_TREES = {
    ("hit_tree",): ("grid_layer", "grid_column", "radius", "wirez"),
    ("Event",): ("Eventdata", "tr_hits", "run_number"),
    ("ER", "GI"): ("datatools::event_record", "things"),
    ("tree",): ("x", "y"),
}
WRONG_VALUES = [
    np.arange(3),
    np.arange(3.0),
    np.ones((3, 2)),
    [True, False, True],
    [[1, 2], [], [9]],
    [[0.5], [], [np.nan]],
    ["a", "bc", ""],
]


@pytest.mark.parametrize("trees", WRONG_TREES, ids="+".join)
def test_wrong_trees_are_one_clear_error(tmp_path, trees):
    rng, path = random.Random(0), tmp_path / "wrong.root"
    for _ in range(200 // len(WRONG_TREES)):
        names = rng.sample(WRONG_TREES[trees], rng.randint(1, len(WRONG_TREES[trees])))
        arrays = {name: ak.Array(rng.choice(WRONG_VALUES)) for name in names}
        with uproot.recreate(path) as file:
            for tree in trees:
                if rng.random() < 0.1:
                    file[tree] = rng.choice(["no tree", np.histogram([1, 2, 3])])
                else:
                    file.mktree(
                        tree, {name: values.type.content for name, values in arrays.items()}
                    ).extend(arrays)
        with pytest.raises(ValueError) as error:
            open_events.read(path)
        assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("tree", ["hit_tree", "Event", "ER"])
def test_what_is_no_tree_is_refused_by_any_name(tmp_path, tree):
    with uproot.recreate(tmp_path / "wrong.root") as file:
        file[tree] = np.histogram([1, 2, 3])
    with pytest.raises(ValueError, match=rf"no file of events: it holds {tree} \(TH1D\)"):
        open_events.read(tmp_path / "wrong.root")
    with pytest.raises(ValueError, match="no tree Event with a branch Eventdata, only .*TH1D"):
        tkevent.read(tmp_path / "wrong.root")


def test_what_the_true_number_counts_is_said_where_it_is_not_the_number_of_particles():
    def table(n_tracks, n_particles):
        info = {"n_tracks": n_tracks, "n_particles": n_particles}
        return make_events({}, [0] * (len(n_tracks) + 1), info=info)

    said = open_events.truth_note(table([1, 2, -1], [4, 2, -1]), 5)
    assert said == "the true number counts tracks of 5 cells or more on a side, not particles"
    for n_tracks, n_particles in (([2, 1], [-1, -1]), ([2, 1], [2, 1]), ([], []), ([-1], [-1])):
        assert open_events.truth_note(table(n_tracks, n_particles)) == ""


def test_a_drift_model_is_of_no_use_to_files_that_hold_radii_and_a_wrong_one_is_said_at_once(
    toy_file, haystack_file
):
    assert_same(
        open_events.read([toy_file, haystack_file], drift_model="betsy"),
        open_events.read([toy_file, haystack_file]),
    )
    with pytest.raises(ValueError, match="^no drift model prague"):
        next(open_events.stream(toy_file, drift_model="prague"))


@pytest.mark.real
def test_a_tkevent_file_of_timestamps_alone_opens_with_a_drift_model(real_data, monkeypatch):
    def read(*args, read=root_objects.read):
        found = read(*args)
        for name in ("r", "h"):
            found.numbers.get("TKtrhit", {}).pop(name, None)
        return found

    path = real_data / "root" / "tkevent_sample.root"
    whole = tkevent.read(path)
    monkeypatch.setattr(root_objects, "read", read)
    with pytest.raises(
        ValueError, match="tkevent_sample.root: no radius in TKtrhit: choose a drift model$"
    ):
        open_events.read(path)
    assert_same(open_events.read(path, drift_model="manchester"), whole)
    betsy = open_events.read(path, drift_model="betsy").hits["drift_radius_mm"]
    assert np.isnan(
        betsy
    ).all()  # this law gives 35 mm after 16 us, and the modules of this file fired 9 ms earlier


@pytest.mark.real
def test_a_file_of_times_without_radii_says_how_they_are_computed(real_data, toy_file):
    digitized = real_data / "brio" / "snemo_run-724_udd-10events.brio"
    assert "--drift-model" in open_events.radii_note(open_events.read(digitized))
    assert open_events.radii_note(open_events.read(digitized, drift_model="manchester")) == ""
    for name in ("root/tkevent_sample.root", "brio/flsim2.brio", "brio/flsim_flrec_cd_tcd.brio"):
        assert open_events.radii_note(open_events.read(real_data / name)) == ""
    assert open_events.radii_note(open_events.read(toy_file)) == ""


def test_zipped_files_of_every_kind_are_read_as_what_is_in_them(toy_file, haystack_file, tmp_path):
    for path in (toy_file, haystack_file):
        zipped = tmp_path / f"{path.name}.gz"
        zipped.write_bytes(gzip.compress(path.read_bytes()))
        assert open_events.kind_of(zipped) == open_events.kind_of(path)
        assert_same(open_events.read(zipped), open_events.read(path))


def test_a_damaged_zipped_file_is_one_clear_error(toy_file, tmp_path):
    whole = gzip.compress(toy_file.read_bytes())
    broken = tmp_path / "broken.root.gz"
    for data in (
        whole[:2],
        whole[:1000],
        whole[:-4],
        whole[:500] + b"x" + whole[501:],
        gzip.compress(b"text"),
    ):
        broken.write_bytes(data)
        with pytest.raises(ValueError) as error:
            open_events.read(broken)
        assert str(error.value).startswith(f"{broken}: ") and "\n" not in str(error.value)


def test_a_tree_of_a_known_name_is_named_for_what_it_holds(tmp_path):
    with uproot.recreate(tmp_path / "other.root") as file:
        file.mktree("Event", {"Eventdata": np.float64, "x": np.int64}).extend(
            {"Eventdata": [1.0], "x": [2]}
        )
    said = r"no file of events: its tree Event holds Eventdata \(double\), x \(int64_t\)$"
    with pytest.raises(ValueError, match=rf"other\.root: {said}"):
        open_events.read(tmp_path / "other.root")


@pytest.mark.real
@pytest.mark.parametrize("name", KINDS)
def test_real_files_of_every_kind_open(real_data, name):
    assert open_events.kind_of(real_data / name) == KINDS[name]
    assert len(open_events.read(real_data / name)) > 0


def uproot_classes():
    return {
        name: dict(getattr(model, "known_versions", {})) for name, model in uproot.classes.items()
    }


def test_a_damaged_file_leaves_no_classes_behind_for_the_next(toy_file, tmp_path):
    whole = toy_file.read_bytes()
    expected = open_events.read(toy_file)
    damaged = tmp_path / "damaged.root"
    # a byte count and the version 12 or 13 of a branch
    versions = list(re.finditer(rb"\x40\x00..\x00[\x0c\x0d]", whole, re.DOTALL))
    assert len(versions) > 5
    classes = uproot_classes()
    for version in versions:
        damaged.write_bytes(whole[: version.end() - 1] + b"\x4d" + whole[version.end() :])
        with suppress(ValueError):
            open_events.read(damaged)
        assert uproot_classes() == classes
    assert_same(open_events.read(toy_file), expected)
