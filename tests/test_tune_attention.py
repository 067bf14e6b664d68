"""The search over attention: what is drawn, what is trained again, and what an interruption costs."""

import json

import numpy as np
import pytest

from scripts import tune_attention as script

TINY = [
    "--latents",
    "wide",
    "--trials",
    "4",
    "--seeds",
    "2",
    "--events",
    "64",
    "--filters",
    "2",
    "2",
    "2",
]


@pytest.fixture
def trained(monkeypatch):
    """The networks that were trained, (options, seed); training is made up, attention at P3 is best."""
    done = []

    def train(latent, options, seed, args):
        done.append((json.dumps(options), seed))
        model = script.build(latent, options, args)
        return 0.8 + 0.01 * (options["ratios"][2] > 0) + 0.001 * (seed % 7), model.count_params()

    monkeypatch.setattr(script, "train", train)
    return done


def test_the_best_and_none_are_trained_again_with_the_same_other_seeds(trained, tmp_path):
    results = script.main(["--out", str(tmp_path), *TINY])
    searched = [r for r in results if r["seed"] == 0]
    again = [r for r in results if r["seed"] != 0]
    assert searched[0]["options"] == script.AT_LATENT
    assert len(searched) == 5 == len(trained) - len(again)
    best = max(searched, key=script.balanced_of)
    of_none = [r["seed"] for r in again if r["options"] == script.NONE]
    of_best = [r["seed"] for r in again if r["options"] == best["options"]]
    assert of_none == of_best == [script.FIRST_SEED, script.FIRST_SEED + 1]
    for result in searched:
        options = result["options"]
        assert any(options["ratios"]) or options == script.NONE
        if options["attention"] in ("self", "self_positions"):
            assert options["ratios"][0] == options["ratios"][4] == 0
    assert json.loads((tmp_path / "results.json").read_text())["results"] == results
    assert "| none | " in (tmp_path / "results.md").read_text()


def test_a_killed_search_measures_nothing_twice_and_gives_the_same(trained, tmp_path, monkeypatch):
    whole = script.main(["--out", str(tmp_path / "whole"), *TINY])
    asked = list(trained)
    trained.clear()
    train = script.train

    def killed_later(*arguments):
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(script, "train", killed_later)
    out = ["--out", str(tmp_path / "killed")]
    with pytest.raises(KeyboardInterrupt):
        script.main([*out, *TINY])
    for file in (tmp_path / "killed").rglob("*.json"):
        if file.name != "results.json":
            file.write_text(file.read_text()[:20])  # a tuner's file that was not whole
    monkeypatch.setattr(script, "train", train)
    results = script.main([*out, *TINY])
    assert trained == asked
    without_time = [{k: v for k, v in r.items() if k != "cpu_s"} for r in results]
    assert without_time == [{k: v for k, v in r.items() if k != "cpu_s"} for r in whole]


def test_results_of_other_settings_are_not_mixed(trained, tmp_path):
    script.main(["--out", str(tmp_path), *TINY])
    with pytest.raises(ValueError, match="other settings"):
        script.main(["--out", str(tmp_path), *TINY, "--tracks", "3"])


def test_a_widened_winner_has_a_control_with_about_as_many_parameters(tmp_path):
    args = script.parse_args(["--out", str(tmp_path)])
    beside = {"attention": "cbam", "ratios": [4, 4, 4, 4, 4], "beside": True}
    drawn = [{"options": beside, "balanced": 0.9}]
    none, best, control = script.finalists("published", drawn, args)
    assert none == script.NONE and best == beside
    n_wanted = script.n_parameters("published", best, args)
    n_plain = script.n_parameters("published", none, args)
    n_control = script.n_parameters("published", control, args)
    assert n_plain < n_control <= n_wanted and n_control > 0.9 * n_wanted


def test_the_table_gives_mean_deviation_and_difference_worked_by_hand(tmp_path):
    args = script.parse_args(["--out", str(tmp_path), "--latents", "wide"])
    attention = {"attention": "se", "ratios": [0, 0, 8, 0, 0], "beside": False}
    results = []
    for options, values in ((script.NONE, (0.80, 0.82)), (attention, (0.83, 0.85))):
        for i, value in enumerate(values):
            result = {"latent": "wide", "options": options, "seed": script.FIRST_SEED + i}
            results.append(result | {"balanced": value, "parameters": 1234, "cpu_s": 1.0})
    lines = script.table(results, args).splitlines()
    deviation = 100 * np.std([0.80, 0.82], ddof=1)
    assert f"| none | 1,234 | 81.00 ± {deviation:.2f} % (2 seeds) |  |" in lines
    assert f"| se 0 0 8 0 0 | 1,234 | 84.00 ± {deviation:.2f} % (2 seeds) | +3.00 ± 1.41 |" in lines


def test_a_training_of_a_moment_gives_a_share(tmp_path):
    args = script.parse_args(
        ["--out", str(tmp_path), *TINY, "--val-events", "32", "--batch-size", "16"]
    )
    options = {"attention": "self_positions", "ratios": [0, 0, 2, 0, 0], "beside": False}
    balanced, n_parameters = script.train("wide", options, 3, args)
    assert 0.3 < balanced <= 1 and n_parameters == script.n_parameters("wide", options, args)
    again, _ = script.train("wide", options, 3, args)
    assert balanced == pytest.approx(again, abs=1e-3)
