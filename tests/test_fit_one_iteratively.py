"""The script that counts and fits tracks one after the other."""

import csv

import numpy as np
import pytest

import inference
from datasets import filters
from datasets.readers import hit_tree
from my_generator import realistic, straight_lines, toyhaystack
from scripts import fit_one_iteratively


def lines_of(path):
    """The lines of a CSV file, each a dict."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def data_file(tmp_path):
    """30 events as the detector sees them."""
    path = tmp_path / "data.root"
    hit_tree.write(path, realistic.generate(30, preset="data", seed=4))
    return path


def test_each_hit_is_on_a_track_or_in_the_list_of_others(data_file, tmp_path):
    out = tmp_path / "out"
    scores = fit_one_iteratively.main(
        [str(data_file), "--out", str(out), "--displays", "3", "--sinograms", "1"]
    )
    tracks = lines_of(out / "tracks.csv")
    left = lines_of(out / "hits_left.csv")
    events = realistic.generate(30, preset="data", seed=4)
    assert scores["events"] == 30
    assert len(tracks) == scores["fitted"]
    assert sum(int(line["n_hits"]) for line in tracks) + len(left) == len(events.hits["layer"])
    assert {line["why"] for line in left} == {"isolated", "left over"}
    assert sorted(path.name for path in out.iterdir()) == [
        "events.pdf",
        "hits_left.csv",
        "quality.pdf",
        "sinograms.pdf",
        "tracks.csv",
    ]


def test_tracks_of_ideal_events_are_the_true_lines(tmp_path):
    events = straight_lines.generate(20, tracks=(1,), seed=5)
    hit_tree.write(tmp_path / "one.root", events)
    fit_one_iteratively.main(
        [str(tmp_path / "one.root"), "--out", str(tmp_path / "out"), "--displays", "0"]
    )
    tracks = lines_of(tmp_path / "out" / "tracks.csv")
    assert [int(line["event"]) for line in tracks] == list(range(20))
    assert {line["file"] for line in tracks} == {str(tmp_path / "one.root")}
    angle = np.array([float(line["angle_deg"]) for line in tracks])
    foil = np.array([float(line["foil_y_mm"]) for line in tracks])
    true_angle = np.degrees(np.arctan(events.tracks["slope_y"]))
    close = np.abs(angle - true_angle) < 0.5
    assert close.mean() >= 0.9  # mirror images of rows of wires are the others
    shallow = close & (np.abs(true_angle) < 80)
    np.testing.assert_allclose(foil[shallow], events.tracks["foil_y_mm"][shallow], atol=5)


def test_the_comparison_tells_perfect_events(data_file, tmp_path, capsys):
    scores = fit_one_iteratively.main([str(data_file), "--out", str(tmp_path / "out"), "--compare"])
    assert 0.3 < scores["fit perfect"] < scores["finder perfect"] <= 1
    assert scores["finder right"] > 0.9
    assert scores["same number"] > 0.9
    assert "perfect events, finder" in capsys.readouterr().out


def test_masked_cells_are_nowhere(data_file, tmp_path):
    events = realistic.generate(30, preset="data", seed=4)
    cell = [int(events.hits[name][0]) for name in ("side", "column", "layer")]
    word = ",".join(map(str, cell))
    n = sum((events.hits["column"] == cell[1]) & (events.hits["layer"] == cell[2]))
    out = tmp_path / "out"
    fit_one_iteratively.main([str(data_file), "--out", str(out), "--displays", "0", "--mask", word])
    left = lines_of(out / "hits_left.csv")
    n_hits = sum(int(line["n_hits"]) for line in lines_of(out / "tracks.csv")) + len(left)
    assert n_hits == len(events.hits["layer"]) - n
    assert word not in {f"{line['side']},{line['column']},{line['layer']}" for line in left}


def test_a_window_keeps_tracks_at_other_angles_away(data_file, tmp_path):
    flags = ["--out", str(tmp_path / "out"), "--sinograms", "1", "--displays", "1"]
    windows = ["--angle-window", "-20", "45", "--foil-window", "-1000", "1000"]
    fit_one_iteratively.main([str(data_file), *flags, *windows])
    angles = [float(line["angle_deg"]) for line in lines_of(tmp_path / "out" / "tracks.csv")]
    assert len(angles) > 5
    assert min(angles) >= -20
    assert max(angles) <= 45


def test_what_makes_no_sense_is_said(data_file, tmp_path):
    out = ["--out", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="--angle-window from 45.0 to 20.0"):
        fit_one_iteratively.main([str(data_file), *out, "--angle-window", "45", "20"])
    with pytest.raises(ValueError, match="linear_segments counts segments"):
        fit_one_iteratively.main([str(data_file), *out, "--model", "linear_segments"])
    hit_tree.write(tmp_path / "none.root", straight_lines.generate(0, seed=1))
    with pytest.raises(ValueError, match="none.root: no events"):
        fit_one_iteratively.main([str(tmp_path / "none.root"), *out])
    assert not list((tmp_path / "out").glob("*.csv"))


def test_events_without_hits_have_no_tracks(tmp_path):
    events = straight_lines.generate(3, seed=1)
    events = events.keep_hits(np.zeros(len(events.hits["layer"]), bool))
    hit_tree.write(tmp_path / "empty.root", events)
    flags = ["--out", str(tmp_path / "out"), "--compare", "--sinograms", "2"]
    scores = fit_one_iteratively.main([str(tmp_path / "empty.root"), *flags])
    assert (scores["events"], scores["counted"], scores["fitted"]) == (3, 0, 0)
    assert lines_of(tmp_path / "out" / "tracks.csv") == []


def test_ranks_are_by_quality_within_an_event():
    class Found:
        event = np.array([0, 0, 0, 2, 2])
        quality_per_mm = np.array([0.1, 0.2, 0.15, 0.1, 0.3])

        def __len__(self):
            return 5

    assert fit_one_iteratively.ranks(Found()).tolist() == [2, 0, 1, 1, 0]


@pytest.mark.real
def test_real_files_are_fitted_and_compared_with_stored_tracks(real_data, tmp_path):
    flags = ["--out", str(tmp_path / "out"), "--displays", "1", "--compare"]
    file = real_data / "root" / "tkevent_sample.root"
    scores = fit_one_iteratively.main([str(file), *flags, "--neighbour-filter", "none"])
    assert scores["events"] == 500
    assert scores["tkevent angle_mrad"] >= 0
    file = real_data / "brio" / "snemo_run-724_udd-10events.brio"
    scores = fit_one_iteratively.main([str(file), *flags, "--drift-model", "manchester"])
    assert (scores["events"], scores["fitted"]) == (10, scores["counted"])
    scores = fit_one_iteratively.main([str(file), *flags])  # no radii, no tracks
    assert scores["fitted"] == 0


def test_counts_of_sides_add_up_to_those_of_events():
    events = toyhaystack.generate(60, seed=6)
    sides = inference.count_tracks_of_sides(events)
    assert sides.shape == (60, 2)
    likely = inference.count_probabilities(events).max(1) > 0.9
    np.testing.assert_array_equal(sides.sum(1)[likely], inference.count_tracks(events)[likely])
    n_hits = [
        np.bincount(events.hit_event[events.hits["side"] == side], minlength=60) for side in (0, 1)
    ]
    np.testing.assert_array_equal(sides == 0, np.stack(n_hits, axis=1) == 0)


def test_hits_without_neighbours_are_on_no_track_if_the_filter_says_so():
    events = realistic.generate(40, preset="harsh", seed=7)
    alone = filters.isolated(events)
    _, found, why = inference.fit_iteratively(events, neighbour_filter="both")
    assert (found.labels[alone] == -1).all()
    assert (why[alone] == "isolated").all()
    _, found, why = inference.fit_iteratively(events, neighbour_filter="count")
    assert (found.labels[alone] >= 0).any()
    np.testing.assert_array_equal(why == "", found.labels >= 0)
    np.testing.assert_array_equal(why == "isolated", alone & (found.labels < 0))


def test_hits_of_real_events_that_are_not_usable_are_on_no_track():
    events = straight_lines.generate(10, tracks=(1,), seed=8)
    radius = events.hits["drift_radius_mm"].copy()
    radius[::4] = np.nan
    radius[1::4] = 40.0
    events = events.with_hits({"drift_radius_mm": radius})
    events.info["n_tracks"][:] = -1
    _, found, why = inference.fit_iteratively(events)
    bad = np.arange(len(radius)) % 4 < 2
    assert (why[bad] == "unusable").all()
    assert (found.labels[bad] == -1).all()
    assert (why[~bad] == "").mean() > 0.5
