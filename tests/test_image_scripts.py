"""The scripts that train and test networks of images, for a moment each."""

import json
import shutil

import numpy as np
import pytest

import inference
import lib
from datasets import clustering_images
from datasets.events import make_events
from datasets.readers import hit_tree
from my_generator import realistic, straight_lines
from scripts import autoencoder, benchmark_clustering, clustering_one, evaluate, testing_clustering

TINY = [
    *["--filters", "2", "2", "2", "--epochs", "1", "--epoch-events", "16", "--batch-size", "8"],
    *["--val-events", "8", "--test-events", "12", "--generator", "data"],
]
RUNS = {
    "removal": (clustering_one, ["--tracks", "2", "--unpooling", "indices"]),
    "channels": (clustering_one, ["--answers", "channels", "--loss", "matched"]),
    "seeded": (clustering_one, ["--answers", "seeded", "--no-skip-connections"]),
    "copy": (autoencoder, ["--tracks", "1", "3"]),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each kind, and what its script returned."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: (folder / name, script.main(["--out", str(folder / name), *TINY, *more]))
        for name, (script, more) in RUNS.items()
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "events_0.root"
    hit_tree.write(path, realistic.generate(30, preset="data", seed=8))
    return path


@pytest.mark.parametrize("answers", RUNS)
def test_a_run_leaves_a_model_that_says_what_it_was_trained_for(runs, answers):
    folder, scores = runs[answers]
    network = inference.load(folder)
    assert inference.answers_of_images(network) == answers
    assert network.inputs["padded"][-1] == clustering_images.N_INPUTS[answers]
    assert network.outputs["cells"][-1] == clustering_images.N_OUTPUTS[answers]
    card = lib.load_card(folder)
    assert card["metrics"]["test"]["n_events"] == 12 and 0 < scores["test"]["threshold"] < 1
    assert ("clustering" in scores["test"]) == (answers != "copy")
    assert ("cells" in scores["test"]) == (answers != "channels")


def test_what_a_network_is_follows_from_its_shapes_where_there_is_no_card(runs, file, tmp_path):
    for answers in ("removal", "channels", "seeded"):
        copied = shutil.copy(runs[answers][0] / "model.keras", tmp_path / f"{answers}.keras")
        assert inference.answers_of_images(inference.load(copied)) == answers
        assert inference.settings_of_images(copied) == {}
    assert testing_clustering.main([str(tmp_path / "removal.keras"), str(file)])["threshold"] == 0.5


@pytest.mark.parametrize("answers", RUNS)
def test_a_model_is_tested_on_files_as_it_was_after_its_training(
    runs, answers, file, tmp_path, capsys
):
    folder, _ = runs[answers]
    testing_clustering.main(
        [str(folder), str(file), "--text", "3", "--json", str(tmp_path / "scores.json")]
    )
    said = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    events = hit_tree.read(file)
    again = inference.test_images(
        folder, None, {"files": events}, answers, **inference.settings_of_images(folder)
    )["files"]
    assert scores["answers"] == answers and scores["n_events"] == 30
    assert (
        scores["threshold"]
        == again["threshold"]
        == lib.load_card(folder)["metrics"]["test"]["threshold"]
    )
    for part in ("cells", "clustering"):
        if part in again:
            assert scores[part] == json.loads(json.dumps(lib._finite(again[part])))
    assert "event 0" in said and "event 2" in said and "event 3" not in said


def test_the_text_of_an_event_worked_by_hand():
    hits = {"layer": [0, 1, 0, 1], "column": [5, 5, 8, 8], "track": [1, 1, 0, 0]}
    events = make_events(hits, [0, 4], {"side": [1, 1]}, [0, 2], {"n_tracks": [2]})

    def first_layer_stays(arrays):
        stays = np.arange(12) == clustering_images.PADDING
        logits = np.where(stays, 9.0, -9.0)[:, None]
        return {"cells": np.tile(logits, (len(arrays["padded"]), 116, 1, 1))}

    shapes = {"padded": (116, 12, 1)}, {"cells": (116, 12, 1)}
    network = inference.Network("by hand", "", "removal", *shapes, first_layer_stays)
    lines = testing_clustering.text(events, network, "removal", {"threshold": 0.5}).splitlines()
    assert lines == [
        "event 0",
        "    truth      network",
        "  5 oo.......  !o.......",
        "  :",
        "  8 ##.......  #?.......",
    ]


def test_rows_of_image_models_stand_in_the_comparison(runs, capsys):
    folders = [str(runs[name][0]) for name in ("removal", "channels", "seeded")]
    flags = [
        "--presets",
        "data",
        "--events",
        "12",
        "--finders",
        "connected",
        "--image-models",
        *folders,
    ]
    rows = benchmark_clustering.main(flags)["samples"]["data"]["finders"]
    wanted = [f"images: {folder}" for folder in folders] + [f"images: {folders[0]}, number given"]
    assert set(wanted) <= set(rows)


def test_networks_of_other_things_are_refused_in_a_sentence(runs, file):
    with pytest.raises(ValueError, match="track_finder says nothing of the cells of images"):
        testing_clustering.main(["track_finder", str(file)])
    with pytest.raises(ValueError, match="use scripts/testing_clustering.py"):
        evaluate.main([str(runs["removal"][0]), str(file)])
    with pytest.raises(ValueError, match="copy copies images: it finds nothing"):
        inference.find_by_images(str(file), runs["copy"][0])
    with pytest.raises(ValueError, match="--threshold 1.5: has to be between 0 and 1"):
        testing_clustering.main([str(runs["removal"][0]), str(file), "--threshold", "1.5"])


def test_files_of_both_sides_are_refused_and_named(runs, haystack_file):
    with pytest.raises(
        ValueError, match="toyhaystack_0.root: event .* has hits on both tracker sides"
    ):
        testing_clustering.main([str(runs["removal"][0]), str(haystack_file)])


def test_training_on_files_splits_them(tmp_path):
    for i in range(3):
        hit_tree.write(tmp_path / f"toy_{i}.root", straight_lines.generate(16, (2,), seed=i))
    data = ["--data", f"{tmp_path}/*.root", "--test-data", str(tmp_path / "toy_0.root")]
    scores = clustering_one.main(["--out", str(tmp_path / "run"), *TINY, *data])
    assert {name: score["n_events"] for name, score in scores.items()} == {"test": 16, "files": 16}
