import json

import numpy as np
import pytest

import lib
from my_generator import __main__ as my_generator_cli
from scripts import (
    benchmark,
    combined,
    count_tracks,
    evaluate,
    model_table,
    number_of_tracks_classification,
    number_of_tracks_classification3D,
    plot_confusion,
    show_events,
    view_ceiling,
)

QUICK = ["--epochs", "1", "--epoch-events", "64", "--val-events", "32", "--test-events", "32", "--batch-size", "16"]


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Files of 1 and 2 tracks, three of each, 20 events a file."""
    folder = tmp_path_factory.mktemp("my_generator")
    my_generator_cli.main(["--tracks", "1", "2", "--events", "20", "--files", "3", "--out", str(folder)])
    return folder


@pytest.fixture(scope="session")
def towers(tmp_path_factory):
    """Counters of the three views, trained for a moment."""
    folder = tmp_path_factory.mktemp("towers")
    for view in ("top", "side", "front"):
        number_of_tracks_classification.main(["--view", view, "--size", "small", "--out", str(folder / view), *QUICK])
    return folder


def test_generator_writes_the_files_it_was_asked_for(files):
    assert sorted(path.name for path in files.iterdir()) == [f"my_generator_t{n}_{i}.root" for n in (1, 2) for i in range(3)]


def test_single_view_run_leaves_a_model_a_card_and_figures(towers):
    for view in ("top", "side", "front"):
        assert {"model.keras", "card.json", "history.csv", "history.pdf", "confusion.pdf"} <= {p.name for p in (towers / view).iterdir()}
        assert lib.load_card(towers / view)["metrics"]["test"]["n_events"] == 32
        assert lib.load_model(towers / view).inputs[0].name == view


def test_training_on_files_splits_and_tests_on_them(files, tmp_path):
    data = ["--data", f"{files}/*.root", "--test-data", f"{files}/my_generator_t1_0.root"]
    scores = number_of_tracks_classification.main(["--view", "front", "--out", str(tmp_path / "run"), *QUICK, *data])
    assert {name: score["n_events"] for name, score in scores.items()} == {"test": 40, "files": 20}


def test_a_run_begins_with_the_weights_of_another(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    number_of_tracks_classification.main(["--view", "side", "--out", str(first), *QUICK])
    assert lib.read_history(first / "history.csv")["owners_loss"]
    assert lib.load_model(first).output_shape == (None, 4)
    flags = ["--view", "side", "--start-from", str(first), "--learning-rate", "0", "--out", str(second), *QUICK]
    number_of_tracks_classification.main(flags)
    for one, other in zip(lib.load_model(first).get_weights(), lib.load_model(second).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_haystack_counters_take_two_sides(tmp_path):
    number_of_tracks_classification.main(["--generator", "toyhaystack", "--view", "front", "--out", str(tmp_path / "run"), *QUICK])
    assert lib.load_card(tmp_path / "run")["inputs"] == {"front": [30, 9, 2]}


def test_a_run_on_segments_is_evaluated_on_segments(tmp_path):
    flags = ["--target", "segments", "--generator", "kinked", "--size", "small", "--out", str(tmp_path / "run"), *QUICK]
    number_of_tracks_classification.main(flags)
    assert "6 or more straight segments" in lib.load_card(tmp_path / "run")["outputs"]
    assert lib.load_model(tmp_path / "run").output_shape == (None, 6)
    my_generator_cli.main(["--tracks", "1", "4", "--kinks", "1", "--events", "20", "--out", str(tmp_path)])
    scores = evaluate.main([str(tmp_path / "run"), f"{tmp_path}/my_generator_t*.root"])
    assert scores["target"] == "segments"
    true = dict(zip(scores["labels"], (sum(row) for row in scores["confusion"]), strict=True))
    assert (true[2], true[6], scores["n_events"]) == (20, 20, 40)


def test_combined_run_joins_trained_towers(towers, files, tmp_path):
    names = [flag for view in ("top", "side", "front") for flag in (f"--{view}", str(towers / view))]
    combined.main(["--out", str(tmp_path / "run"), *names, *QUICK])
    assert set(lib.load_card(tmp_path / "run")["inputs"]) == {"top", "side", "front"}
    scores = evaluate.main([str(tmp_path / "run"), f"{files}/*.root"])
    assert scores["n_events"] == 120


def test_voxel_run(tmp_path):
    number_of_tracks_classification3D.main(["--out", str(tmp_path / "run"), *QUICK])
    assert lib.load_card(tmp_path / "run")["inputs"] == {"voxels": [9, 113, 30, 1]}


def test_evaluation_writes_the_figures_of_merit(towers, files, tmp_path):
    evaluate.main(
        [str(towers / "top"), f"{files}/my_generator_t1_*.root", f"{files}/my_generator_t2_0.root", "--json", str(tmp_path / "out.json")]
    )
    scores = json.loads((tmp_path / "out.json").read_text())
    assert scores["n_events"] == 80
    assert 0 <= scores["interval"][0] <= scores["accuracy"] <= scores["interval"][1] <= 1
    assert [sum(row) for row in scores["confusion"]][:2] == [60, 20]


def test_wrong_events_are_drawn_a_page_for_each_wrong_cell(towers, files, tmp_path):
    scores = plot_confusion.main([str(towers / "front"), f"{files}/*.root", "--out", str(tmp_path), "--per-cell", "1", "--format", "png"])
    wrong = [
        (true, predicted)
        for true, row in zip(scores["labels"], scores["confusion"], strict=True)
        for predicted, n in zip(scores["labels"], row, strict=True)
        if n and true != predicted
    ]
    expected = {"confusion.png", *(f"true{true}_predicted{predicted}.png" for true, predicted in wrong)}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_counting_simulated_events_draws_and_lists_them(towers, tmp_path):
    count_tracks.main(["--model", str(towers / "top"), "--events", "30", "--displays", "4", "--out", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"counts.csv", "scores.json", "confusion.pdf", "events.pdf"}
    assert len((tmp_path / "counts.csv").read_text().splitlines()) == 31


def test_benchmark_measures_every_section(towers, tmp_path):
    out = tmp_path / "out.json"
    benchmark.main(["--events", "200", "--memory-events", "300", "--models", str(towers / "top"), "--json", str(out)])
    results = json.loads(out.read_text())
    assert set(results) == {"device", "events", *benchmark.SECTIONS}
    assert all(value > 0 for section in benchmark.SECTIONS for value in results[section].values())


def test_events_of_a_file_are_summed_up_and_drawn(files, tmp_path):
    path = files / "my_generator_t2_0.root"
    summary = show_events.main([str(path), "--out", str(tmp_path), "--displays", "2", "--format", "png"])[path.name]
    assert (summary["kind"], summary["events"], summary["tracks an event"]) == ("my_generator", 20, "2 to 2")
    assert (tmp_path / "my_generator_t2_0.png").exists()


def test_ceilings_are_shares_of_events_and_the_upper_is_the_higher():
    ceilings = view_ceiling.main(["--events", "500"])
    assert set(ceilings) == {"top", "side", "front", "voxels"}
    assert all(0.8 < ceiling["lower"] <= ceiling["upper"] <= 1 for ceiling in ceilings.values())


def test_the_readme_shows_the_table_of_the_cards():
    readme = (lib.ROOT / "README.md").read_text()
    for text in (model_table.table(), model_table.commands()):
        assert f"\n{text}\n" in readme


@pytest.mark.real
def test_every_real_file_is_summed_up_and_drawn(real_data, tmp_path):
    summaries = show_events.main([f"{real_data}/root/*.root", f"{real_data}/brio/*.brio", "--out", str(tmp_path), "--displays", "1"])
    assert len(summaries) == len(list(tmp_path.iterdir())) == 12
    run_724 = summaries["snemo_run-724_udd-10events.brio"]
    assert (run_724["events"], run_724["hits"], run_724["hits without z"]) == (10, 161, 63)
