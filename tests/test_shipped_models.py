"""What stands in `models/` must load, be small, be published from a clean commit, and be as good as its card
says.
"""

import numpy as np
import pytest

import inference
import lib
import metrics
from datasets import number_of_tracks
from datasets.readers import open_events
from my_generator import GENERATORS, realistic
from scripts import track_finder
from scripts.make_results import CLASS_MODELS

EXPECTED = {
    f"{view}{family}"
    for view in ("top", "side", "front", "combined")
    for family in ("", "_my_generator")
}


def test_the_eight_counters_are_shipped():
    assert set(lib.shipped_counters()) >= EXPECTED


@pytest.mark.parametrize("name", lib.shipped_models())
def test_card_tells_name_and_commit_and_the_model_is_small(name):
    card = lib.load_card(name)
    assert card["name"] == name
    assert card["dirty"] is False and len(card["commit"]) == 40
    assert card["parameters"] < 800_000


@pytest.mark.parametrize("name", lib.shipped_counters())
def test_card_of_a_counter_tells_its_accuracy(name):
    card = lib.load_card(name)
    for scores in card["metrics"].values():
        assert scores["interval"][0] <= scores["accuracy"] <= scores["interval"][1]
        assert np.sum(scores["confusion"]) == scores["n_events"]
    known = lib.KNOWS_IDEAL if card["arguments"]["generator"] in lib.IDEAL else []
    assert (
        card["known_failures"]
        == metrics.failures(card["metrics"]["test"], what=lib.task_of(name)[0]) + known
    )


def accuracy_of(name, events):
    """Accuracy of a model on a table, with its interval."""
    target = lib.task_of(name)[0]
    counted = inference.count_tracks(events, name)
    return metrics.accuracy(number_of_tracks.classes(events, target=target) + 1, counted)


@pytest.mark.parametrize("name", lib.shipped_counters())
def test_model_is_as_good_on_fresh_events_as_its_card_says(name):
    card = lib.load_card(name)
    assert lib.load_model(name).count_params() == card["parameters"]
    generate, _ = GENERATORS[card["arguments"]["generator"]]
    n_events = 1000
    scores = accuracy_of(name, generate(n_events, seed=[2026, 11]))
    said = card["metrics"]["test"]["accuracy"]
    assert abs(scores["accuracy"] - said) < 4 * np.sqrt(said * (1 - said) / n_events) + 1 / n_events


def test_track_finder_is_as_good_on_fresh_events_as_its_card_says():
    card, n_events = lib.load_card("track_finder"), 1000
    said = card["metrics"]["data"]["all"]["perfect"]["value"]
    events = realistic.generate(n_events, preset="data", seed=[2026, 12])
    scores = track_finder.evaluate("track_finder", events)["all"]
    assert abs(scores["perfect"]["value"] - said) < 4 * np.sqrt(said * (1 - said) / n_events)


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_model_repeats_the_figure_of_its_card_on_the_original_files(name, real_data):
    kind = "my_generator" if name.endswith("my_generator") else "toyhaystack"
    scores = accuracy_of(name, open_events.read(f"{real_data}/root/{kind}_t*_0.root"))
    said = lib.load_card(name)["metrics"]["files"]
    assert scores["n_events"] == said["n_events"]
    assert (
        abs(scores["accuracy"] - said["accuracy"]) <= 1 / said["n_events"]
    )  # one event may tip by rounding


@pytest.mark.parametrize("name", sorted(CLASS_MODELS))
def test_networks_of_blocks_and_hints_are_as_good_as_their_cards_say(name):
    card = lib.load_card(name)
    network = inference.load(name)
    tracks = (1,) if network.answers == "one" else (1, 2, 3, 4)
    events = realistic.generate(
        1000, tracks=tracks, preset=card["arguments"]["generator"], seed=[2026, 11]
    )
    said = inference.label_probabilities(events, network)
    threshold = card["metrics"]["test"].get("threshold", 0.5)
    scores = inference.judge(events, said, network.answers, threshold)
    expected = card["metrics"]["test"]["accuracy"]
    error = np.sqrt(expected * (1 - expected) / len(events))
    assert abs(scores["accuracy"] - expected) < 4 * error
