import csv
import json

import keras
import numpy as np
import pytest

import lib
import plotting
from datasets.readers import hit_tree
from my_generator import __main__ as my_generator_cli
from my_generator import straight_lines, toyhaystack
from scripts import (
    combined,
    count_tracks,
    evaluate,
    number_of_tracks_classification,
    number_of_tracks_classification3D,
    plot_confusion,
    show_events,
    view_ceiling,
)

QUICK = [
    "--epochs",
    "1",
    "--epoch-events",
    "64",
    "--val-events",
    "32",
    "--test-events",
    "32",
    "--batch-size",
    "16",
]


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Files of 1 and 2 tracks, three of each, 20 events a file."""
    folder = tmp_path_factory.mktemp("my_generator")
    my_generator_cli.main(
        ["--tracks", "1", "2", "--events", "20", "--files", "3", "--out", str(folder)]
    )
    return folder


@pytest.fixture(scope="session")
def towers(tmp_path_factory):
    """Counters of the three views, trained for a moment."""
    folder = tmp_path_factory.mktemp("towers")
    for view in ("top", "side", "front"):
        number_of_tracks_classification.main(
            ["--view", view, "--size", "small", "--out", str(folder / view), *QUICK]
        )
    return folder


def test_single_view_run_leaves_a_model_a_card_and_figures(towers):
    for view in ("top", "side", "front"):
        assert {"model.keras", "card.json", "history.csv", "history.pdf", "confusion.pdf"} <= {
            p.name for p in (towers / view).iterdir()
        }
        assert lib.load_card(towers / view)["metrics"]["test"]["n_events"] == 32
        assert lib.load_model(towers / view).inputs[0].name == view


def test_training_on_files_splits_and_tests_on_them(files, tmp_path):
    data = ["--data", f"{files}/*.root", "--test-data", f"{files}/my_generator_t1_0.root"]
    scores = number_of_tracks_classification.main(
        ["--view", "front", "--out", str(tmp_path / "run"), *QUICK, *data]
    )
    assert {name: score["n_events"] for name, score in scores.items()} == {"test": 40, "files": 20}


def test_a_run_begins_with_the_weights_of_another(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    number_of_tracks_classification.main(["--view", "side", "--out", str(first), *QUICK])
    assert lib.read_history(first / "history.csv")["owners_loss"]
    assert lib.load_model(first).output_shape == (None, 4)
    flags = [
        "--view",
        "side",
        "--start-from",
        str(first),
        "--learning-rate",
        "0",
        "--out",
        str(second),
        *QUICK,
    ]
    number_of_tracks_classification.main(flags)
    for one, other in zip(
        lib.load_model(first).get_weights(), lib.load_model(second).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_haystack_counters_take_two_sides(tmp_path):
    number_of_tracks_classification.main(
        ["--generator", "toyhaystack", "--view", "front", "--out", str(tmp_path / "run"), *QUICK]
    )
    assert lib.load_card(tmp_path / "run")["inputs"] == {"front": [30, 9, 2]}


def test_a_run_on_segments_is_evaluated_on_segments(tmp_path):
    flags = [
        "--target",
        "segments",
        "--generator",
        "kinked",
        "--size",
        "small",
        "--out",
        str(tmp_path / "run"),
        *QUICK,
    ]
    number_of_tracks_classification.main(flags)
    assert "6 or more straight segments" in lib.load_card(tmp_path / "run")["outputs"]
    assert lib.load_model(tmp_path / "run").output_shape == (None, 6)
    my_generator_cli.main(
        ["--tracks", "1", "4", "--kinks", "1", "--events", "20", "--out", str(tmp_path)]
    )
    scores = evaluate.main([str(tmp_path / "run"), f"{tmp_path}/my_generator_t*.root"])
    assert scores["target"] == "segments"
    true = dict(zip(scores["labels"], (sum(row) for row in scores["confusion"]), strict=True))
    assert (true[2], true[6], scores["n_events"]) == (20, 20, 40)


def test_combined_run_joins_trained_towers(towers, files, tmp_path):
    names = [
        flag for view in ("top", "side", "front") for flag in (f"--{view}", str(towers / view))
    ]
    combined.main(["--out", str(tmp_path / "run"), *names, *QUICK])
    assert set(lib.load_card(tmp_path / "run")["inputs"]) == {"top", "side", "front"}
    scores = evaluate.main([str(tmp_path / "run"), f"{files}/*.root"])
    assert scores["n_events"] == 120


def test_voxel_run(tmp_path):
    number_of_tracks_classification3D.main(["--out", str(tmp_path / "run"), *QUICK])
    assert lib.load_card(tmp_path / "run")["inputs"] == {"voxels": [9, 113, 30, 1]}


def test_evaluation_writes_the_figures_of_merit(towers, files, tmp_path):
    evaluate.main(
        [
            str(towers / "top"),
            f"{files}/my_generator_t1_*.root",
            f"{files}/my_generator_t2_0.root",
            "--json",
            str(tmp_path / "out.json"),
        ]
    )
    scores = json.loads((tmp_path / "out.json").read_text())
    assert scores["n_events"] == 80
    assert 0 <= scores["interval"][0] <= scores["accuracy"] <= scores["interval"][1] <= 1
    assert [sum(row) for row in scores["confusion"]][:2] == [60, 20]


def test_wrong_events_are_drawn_a_page_for_each_wrong_cell(towers, files, tmp_path):
    scores = plot_confusion.main(
        [
            str(towers / "front"),
            f"{files}/*.root",
            "--out",
            str(tmp_path),
            "--per-cell",
            "1",
            "--format",
            "png",
        ]
    )
    wrong = [
        (true, predicted)
        for true, row in zip(scores["labels"], scores["confusion"], strict=True)
        for predicted, n in zip(scores["labels"], row, strict=True)
        if n and true != predicted
    ]
    expected = {
        "confusion.png",
        *(f"true{true}_predicted{predicted}.png" for true, predicted in wrong),
    }
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_counting_simulated_events_draws_and_lists_them(towers, tmp_path):
    count_tracks.main(
        [
            "--model",
            str(towers / "top"),
            "--events",
            "30",
            "--displays",
            "4",
            "--out",
            str(tmp_path),
        ]
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        "counts.csv",
        "scores.json",
        "confusion.pdf",
        "events.pdf",
    }
    assert len((tmp_path / "counts.csv").read_text().splitlines()) == 31


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """A counter that knows nothing."""
    path = tmp_path_factory.mktemp("untrained") / "top.keras"
    keras.utils.set_random_seed(0)
    number_of_tracks_classification.build("top", "small", (9, 113, 1)).save(path)
    return str(path)


def unlabelled_file(path):
    events = straight_lines.generate(12, seed=3)
    events.info["n_tracks"][:] = events.hits["track"][:] = events.hits["second_track"][:] = -1
    events.info["run"][:] = 7
    hit_tree.write(path, events)
    return str(path)


def test_only_results_of_this_run_are_left_and_listed(untrained, files, tmp_path, capsys):
    out, path = tmp_path / "out", unlabelled_file(tmp_path / "real.root")
    count_tracks.main(
        ["--model", untrained, "--events", "10", "--displays", "1", "--out", str(out)]
    )
    (out / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert (
        count_tracks.main([path, "--model", untrained, "--displays", "0", "--out", str(out)])
        is None
    )
    assert {file.name for file in out.iterdir()} == {"counts.csv", "notes.txt"}
    said = capsys.readouterr().out
    assert (
        f"results in {out}: counts.csv\n" in said
        and "no scores: 12 of 12 events carry no label" in said
    )
    plot_confusion.main([untrained, f"{files}/*_0.root", "--per-cell", "1", "--out", str(out)])
    old = out / "true9_predicted8.pdf"
    old.write_text("old")
    plot_confusion.main([untrained, f"{files}/*_0.root", "--per-cell", "1", "--out", str(out)])
    assert not old.exists() and list(out.glob("true*_predicted*.pdf"))


@pytest.mark.parametrize("script", [count_tracks, plot_confusion])
def test_a_wrong_name_leaves_the_results_of_an_earlier_run(script, untrained, files, tmp_path):
    out = tmp_path / "out"
    flags = ["--model", untrained] if script is count_tracks else [untrained]
    script.main([*flags, f"{files}/*_0.root", "--out", str(out)])
    before = {path: path.read_bytes() for path in out.iterdir()}
    damaged = tmp_path / "damaged.root"
    damaged.write_bytes((files / "my_generator_t1_0.root").read_bytes()[:-100])
    for name in ("/nope.root", str(damaged)):
        with pytest.raises(ValueError, match=name):
            script.main([*flags, name, "--out", str(out)])
        assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_counter_of_another_kind_of_events_says_so_once_a_file(files, capsys):
    evaluate.main(["top", f"{files}/my_generator_t1_*.root"])
    assert (
        capsys.readouterr().err.count("top was trained on the haystack, on both tracker sides") == 3
    )


def test_a_track_finder_is_refused_as_a_counter(files, tmp_path):
    with pytest.raises(ValueError, match="track_finder is no counter: it finds tracks"):
        count_tracks.main(
            [f"{files}/*.root", "--model", "track_finder", "--out", str(tmp_path / "out")]
        )
    assert not list((tmp_path / "out").glob("*"))


def test_counted_events_of_several_files_are_told_apart(
    untrained, files, tmp_path, capsys, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        plotting, "page_of_events", lambda *of, **geometry: drawn.append((*of, geometry))
    )
    haystack, real = tmp_path / "haystack.root", unlabelled_file(tmp_path / "real.root")
    hit_tree.write(haystack, toyhaystack.generate(5, seed=1))
    count_tracks.main(
        [
            real,
            str(haystack),
            "--model",
            untrained,
            "--displays",
            "15",
            "--out",
            str(tmp_path / "out"),
        ]
    )
    lines = list(csv.DictReader((tmp_path / "out" / "counts.csv").open()))
    assert list(lines[0]) == ["file", "run", "event", "true", "predicted", "probability"]
    assert [line["file"] for line in lines] == [real] * 12 + [str(haystack)] * 5
    assert [(line["run"], line["true"]) for line in lines[:12]] == [("7", "-1")] * 12
    assert "no scores: 12 of 17 events carry no label" in capsys.readouterr().out
    ((events, which, _, titles, _),) = drawn
    assert len(which) == len(titles) == 15  # though no event of the first file can be wrong
    wires = dict(zip((title.split(": ")[0] for title in titles), events.first_wire_mm, strict=True))
    assert wires == {"real.root": 22.0, "haystack.root": 53.0}
    assert any(title.startswith("real.root: run 7, event 0: predicted ") for title in titles)
    assert any(title.startswith("haystack.root: event ") and ": true " in title for title in titles)


def test_wrong_events_are_drawn_in_the_geometry_of_their_file(
    untrained, files, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        plotting, "page_of_events", lambda *of, **geometry: drawn.append((*of, geometry))
    )
    haystack = tmp_path / "haystack.root"
    hit_tree.write(haystack, toyhaystack.generate(20, seed=1))
    plot_confusion.main(
        [
            untrained,
            str(files / "my_generator_t1_0.root"),
            f"{files}/my_generator_t2_0.root",
            str(haystack),
            "--out",
            str(tmp_path),
        ]
    )
    wires = {
        (title.split(": ")[0][:8], wire)
        for events, which, _, titles, _ in drawn
        for title, wire in zip(titles, events.first_wire_mm[which], strict=True)
    }
    assert {wire for _, wire in wires} == {22.0, 53.0} and len(wires) == 2


@pytest.mark.parametrize("script", [count_tracks, evaluate, plot_confusion])
def test_files_of_no_events_are_named(script, untrained, tmp_path):
    hit_tree.write(tmp_path / "none.root", straight_lines.generate(0, seed=1))
    flags = ["--model", untrained] if script is count_tracks else [untrained]
    with pytest.raises(ValueError, match="none.root: no events"):
        script.main(
            [
                *flags,
                str(tmp_path / "none.root"),
                *([] if script is evaluate else ["--out", str(tmp_path)]),
            ]
        )


@pytest.mark.parametrize("script", [evaluate, plot_confusion])
def test_a_file_without_labels_is_named(script, untrained, files, tmp_path):
    path, flag = (
        unlabelled_file(tmp_path / "real.root"),
        "--json" if script is evaluate else "--out",
    )
    with pytest.raises(ValueError, match="real.root: event 0 has -1 tracks"):
        script.main(
            [untrained, f"{files}/my_generator_t1_0.root", path, flag, str(tmp_path / "out")]
        )


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        (count_tracks, ["--events", "0"]),
        (count_tracks, ["--displays", "-1"]),
        (view_ceiling, ["--events", "0"]),
        (show_events, ["x.root", "--displays", "-1"]),
        (plot_confusion, ["top", "x.root", "--out", "x", "--per-cell", "-1"]),
        (evaluate, ["top", "x.root", "--batch-size", "0"]),
        *(
            (my_generator_cli, ["--out", "x", *flags])
            for flags in (
                ["--seed", "-1"],
                ["--first-file", "-1"],
                ["--files", "0"],
                ["--tracks", "0"],
            )
        ),
        (my_generator_cli, ["--out", "x", "--kind", "scatter", "--degrees", "-3"]),
    ],
)
def test_impossible_numbers_are_refused_at_once(script, flags, capsys):
    with pytest.raises(SystemExit):
        script.main(flags)
    assert " is less than " in capsys.readouterr().err
