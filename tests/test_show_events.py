"""What is said and drawn of files of events."""

from pathlib import Path

import numpy as np
import pytest

from datasets.events import make_events
from datasets.readers import hit_tree
from my_generator import straight_lines, toyhaystack
from scripts import show_events


def test_events_of_a_file_are_summed_up_and_drawn(toy_file, tmp_path, capsys):
    flags = ["--out", str(tmp_path / "drawn"), "--displays", "2", "--format", "png"]
    summary = show_events.main([str(toy_file), *flags])[toy_file.name]
    assert (summary["kind"], summary["events"], summary["tracks an event"]) == (
        "my_generator",
        40,
        "1 to 4",
    )
    picture = tmp_path / "drawn" / "my_generator_0.png"
    assert [path.name for path in picture.parent.iterdir()] == [picture.name]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{toy_file}: my_generator"
    assert said[-1].split() == ["drawn", "in", str(picture)]


def test_hits_are_counted_by_hand(tmp_path):
    hits = {
        "side": [0, 0, 1],
        "layer": [0, 1, 0],
        "column": [5, 6, 100],
        "drift_radius_mm": [1.0, float("nan"), 2.0],
        "z_mm": [float("nan"), float("nan"), 10.0],
        "track": [0, 0, -1],
        "second_track": [1, -1, -1],
    }
    tracks = {
        "side": [0, 0],
        "calo_type": [0, 0],
        "calo_side": [0, 0],
        "calo_column": [3, 3],
        "calo_row": [4, 4],
    }
    events = make_events(hits, [0, 3, 3], tracks, [0, 2, 2], {"n_tracks": [2, 0]})
    hit_tree.write(tmp_path / "two.root", events)
    summary, _, _ = show_events.summarise(tmp_path / "two.root", 0, None)
    assert summary == {
        "events": 2,
        "events without hits": 1,
        "hits": 3,
        "hits on side 0": 2,
        "hits without radius": 1,
        "hits without z": 2,
        "isolated hits": 1,
        "hits of two tracks": 1,
        "calorimeter hits": 1,  # both tracks end in the same block
        "hits an event": "1.5",
        "tracks an event": "0 to 2",
    }
    lines = show_events.lines_of(summary)
    assert lines[3].split() == ["hits", "on", "side", "0", "2", "(66.7", "%)"]


def test_a_file_without_events_is_summed_up_and_not_drawn(tmp_path):
    path = tmp_path / "none.root"
    hit_tree.write(path, straight_lines.generate(0, seed=1))
    summary = show_events.main([str(path), "--out", str(tmp_path / "drawn")])["none.root"]
    assert (summary["events"], summary["hits"], summary["hits an event"]) == (0, 0, "none")
    assert summary["tracks an event"] == "unknown"
    assert not (tmp_path / "drawn").exists()


def test_files_of_one_name_are_told_apart():
    paths = [Path("/a/run.root"), Path("/b/run.root"), Path("c/run.brio"), Path("c/other.root")]
    names = show_events.names_of(paths)
    assert names == ["a_run.root", "b_run.root", "run.brio", "other.root"]
    assert show_events.pictures_of(names) == ["a_run", "b_run", "run", "other"]
    assert show_events.pictures_of(["run.root", "run.brio", "x.root"]) == [
        "run.root",
        "run.brio",
        "x",
    ]


def test_a_wrong_file_is_said_before_anything_is_drawn(toy_file, tmp_path):
    wrong = tmp_path / "wrong.root"
    wrong.write_text("no events")
    with pytest.raises(ValueError, match="wrong.root"):
        show_events.main([str(toy_file), str(wrong), "--out", str(tmp_path / "drawn")])
    assert not (tmp_path / "drawn").exists()


def test_as_many_events_are_drawn_as_asked_for_also_from_several_chunks(tmp_path, monkeypatch):
    def chunks(path, drift_model):
        for start in range(0, 12, 3):
            yield path, events[start : start + 3]

    events = toyhaystack.generate(12, seed=1)
    monkeypatch.setattr(show_events.open_events, "stream", chunks)
    for displays in (0, 2, 3, 7, 20):
        summary, examples, _ = show_events.summarise("any.root", displays, None)
        assert summary["events"] == 12
        assert examples.info["event"].tolist() == list(range(min(displays, 12)))


def test_out_that_is_a_file_is_refused_at_once(toy_file, capsys):
    with pytest.raises(SystemExit):
        show_events.main(["x.root", "--out", str(toy_file)])
    assert "is a file, not a folder" in capsys.readouterr().err


def test_noisy_cells_are_listed_with_the_words_that_mask_them(tmp_path, capsys):
    side = np.tile([1, 0], 30)
    column = np.where(side == 1, 50, np.arange(60) % 100)
    events = make_events({"side": side, "layer": np.full(60, 4), "column": column}, np.arange(61))
    paths = [str(tmp_path / f"{name}.root") for name in "ab"]
    for path in paths:
        hit_tree.write(path, events)
    flags = ["--out", str(tmp_path / "drawn"), "--displays", "0"]
    show_events.main([*paths, *flags, "--noisy-cells"])
    said = capsys.readouterr().out.splitlines()
    assert said[-4] == "1 noisy cell in 120 events:"
    assert said[-2].split() == ["1,50,4", "60", "60", "0.0"]
    assert said[-1].split() == ["--mask", "1,50,4"]

    summaries = show_events.main([*paths, *flags, "--noisy-cells", *said[-1].split()])
    assert [summary["hits"] for summary in summaries.values()] == [30, 30]
    assert capsys.readouterr().out.splitlines()[-1].startswith("no noisy cells in 120 events")


@pytest.mark.real
def test_every_real_file_is_summed_up_and_drawn(real_data, tmp_path):
    files = [f"{real_data}/root/*.root", f"{real_data}/brio/*.brio"]
    summaries = show_events.main([*files, "--out", str(tmp_path), "--displays", "1"])
    assert len(summaries) == len(list(tmp_path.iterdir())) == 12
    run_724 = summaries["snemo_run-724_udd-10events.brio"]
    assert (run_724["events"], run_724["hits"], run_724["hits without z"]) == (10, 161, 63)
