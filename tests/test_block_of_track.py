"""The script that measures how often the block of a track is right."""

import json

import numpy as np
import pytest
from conftest import random_events

import metrics
from datasets.events import make_events
from datasets.readers import hit_tree
from fitting import tracks
from scripts import block_of_track

pytestmark = pytest.mark.filterwarnings("error")


def test_the_script_measures_files_and_presets(toy_file, tmp_path, capsys):
    out = tmp_path / "blocks.json"
    flags = ["--labels", "true", "--events", "60", "--baseline", "--json", str(out)]
    effect = "ideal+height_sigma_mm"
    results = block_of_track.main([str(toy_file), effect, *flags])
    said = capsys.readouterr().out
    assert set(results) == {str(toy_file), effect}
    for result in results.values():
        assert result["fit"]["right"]["value"] > result["principal axis"]["right"]["value"] > 0.7
        assert sum(one["n"] for one in result["fit"]["reliability"]) == result["n_known"]
    assert results[str(toy_file)]["fit"]["right"]["value"] > 0.97
    assert f"| {effect}, principal axis | " in said
    assert json.loads(out.read_text())["samples"].keys() == results.keys()


def test_the_script_refuses_what_it_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="no effect rain, only "):
        block_of_track.main(["ideal+rain", "--labels", "true"])
    path = tmp_path / "unlabelled.root"
    hit_tree.write(path, random_events(0, [5, 5]))
    with pytest.raises(ValueError, match=r"unlabelled\.root: no track of it tells the block"):
        block_of_track.main([str(path), "--labels", "true"])


def test_found_tracks_belong_to_the_true_track_of_most_hits():
    hits = {"layer": [0, 1, 2, 3, 4, 5], "column": [5] * 6, "track": [0, 0, 1, 1, 1, -1]}
    events = make_events(hits, [0, 6], {"calo_column": [3, 4], "calo_row": [1, 2]}, [0, 2])
    labels = np.array([0, 0, 0, 1, 1, 2])
    fitted = tracks.fit(events, labels)
    owners = metrics.majority_owners(fitted.of_hits, events.track_of_hits, len(fitted.event))
    assert owners.tolist() == [0, 1, -1]
