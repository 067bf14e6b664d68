"""Scripts that measure: counters, views, speeds, finders; what they need, what they leave, what they refuse."""

import json
import subprocess
import sys

import numpy as np
import pytest

import lib
from datasets.events import make_events
from scripts import ablation, benchmark, effects, known_problems, tune_baselines, view_ceiling

SCRIPTS = (
    "ablation",
    "benchmark",
    "benchmark_clustering",
    "effects",
    "known_problems",
    "show_events",
    "tune_baselines",
    "view_ceiling",
)
SLOW = {
    "tensorflow",
    "keras",
    "onnxruntime",
    "matplotlib",
    "seaborn",
    "pandas",
    "sklearn",
    "scipy.stats",
}


def test_nothing_slow_is_imported_before_it_is_needed():
    names = [f"scripts.{name}" for name in SCRIPTS] + ["my_generator.__main__"]
    program = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not SLOW & set(done.stdout.split())


# ---- views -------------------------------------------------------------------------------------------------


def test_ceilings_are_shares_of_events_and_the_upper_is_the_higher(tmp_path):
    path = tmp_path / "ceilings.json"
    ceilings = view_ceiling.main(["--events", "500", "--json", str(path)])
    assert set(ceilings) == {"top", "side", "front", "voxels"}
    assert all(0.8 < ceiling["lower"] <= ceiling["upper"] <= 1 for ceiling in ceilings.values())
    written = json.loads(path.read_text())
    assert written["ceilings"] == ceilings and written["n_events"] == 500


def test_pixels_of_their_own_are_counted_by_hand():
    hits = {
        "side": [1, 1, 1, 1],
        "layer": [0, 1, 2, 2],
        "column": [10, 10, 10, 11],
        "drift_radius_mm": [1.0, 1.0, 1.0, 1.0],
        "z_mm": [0.0, 0.0, 0.0, 500.0],
        "track": [0, 0, 0, 1],
        "second_track": [-1, 1, -1, -1],
    }
    tracks = {"side": [1, 1]}
    events = make_events(hits, [0, 4], tracks, [0, 2], {"n_tracks": [2]})
    # track 0 has three cells and shares one of them; track 1 has the last cell, and a share
    assert view_ceiling.fewest_own_pixels(events, "top", 1).tolist() == [1]
    # along the foil all hits of track 0 are one pixel of the side view, which is not shared as z is drawn
    assert view_ceiling.fewest_own_pixels(events, "side", 1).tolist() == [1]
    np.testing.assert_array_equal(view_ceiling.pixels(events, "side", 1)[:3], 15 * 113 + 10)


# ---- speed -------------------------------------------------------------------------------------------------


def test_benchmark_measures_every_section(tmp_path):
    out = tmp_path / "out.json"
    flags = [
        "--events",
        "200",
        "--memory-events",
        "300",
        "--command-events",
        "30",
        "--repeats",
        "1",
    ]
    benchmark.main([*flags, "--models", "top_my_generator", "--json", str(out)])
    results = json.loads(out.read_text())
    assert set(results) == {"device", "events", *benchmark.SECTIONS}
    for section in benchmark.SECTIONS:
        assert all(value > 0 for value in results[section].values())
    of_commands = results["commands"]
    for script in ("find_tracks.py", "count_tracks.py"):
        ratio = of_commands[script] / of_commands[f"{script}, RANSAC on the same events"]
        assert of_commands[f"{script}, ratio to RANSAC"] == pytest.approx(ratio, rel=0.01)
        assert of_commands[script] == pytest.approx(
            30 / of_commands[f"{script}, CPU seconds"], rel=0.3, abs=1
        )


def test_the_memory_of_a_command_is_its_own():
    much = np.ones(50_000_000)  # 400 MB here
    seconds, megabytes = benchmark.usage_of([sys.executable, "-c", "sum(range(3_000_000))"])
    assert 0.02 < seconds < 10 and megabytes < 100
    _, megabytes = benchmark.usage_of([sys.executable, "-c", "x = b'1' * 200_000_000"])
    assert 190 < megabytes < 300
    del much


def test_a_command_that_fails_is_told_with_what_it_said():
    with pytest.raises(ValueError, match="-c import sys.* failed: no such thing"):
        benchmark.usage_of([sys.executable, "-c", "import sys; sys.exit('no such thing')"])


# ---- what is left ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [effects, known_problems])
def test_a_wrong_model_leaves_everything_as_it_was(script, tmp_path):
    flags = ["--out", str(tmp_path / "new" / "x.png")] if script is known_problems else []
    with pytest.raises(ValueError, match="no model topp"):
        script.main(["top", "topp", "--json", str(tmp_path / "new" / "x.json"), *flags])
    assert not list(tmp_path.iterdir())


def test_an_ablation_of_a_run_that_is_not_there_leaves_the_card(tmp_path):
    card = tmp_path / "card.json"
    lib.write_json(card, {"name": "mine"})
    with pytest.raises(ValueError, match="no model .*none"):
        ablation.main([str(tmp_path / "none"), "--card", str(tmp_path)])
    with pytest.raises(FileNotFoundError):
        ablation.main(["track_finder", "--card", str(tmp_path / "none")])
    assert list(tmp_path.iterdir()) == [card]
    assert json.loads(card.read_text()) == {"name": "mine"}


def test_an_ablation_is_written_into_a_card(tmp_path, capsys):
    card = tmp_path / "card.json"
    lib.write_json(card, {"name": "mine", "ablation": "old"})
    results = ablation.main(["track_finder", "--events", "20", "--card", str(tmp_path)])
    written = json.loads(card.read_text())
    assert written == {"name": "mine", "ablation": results}
    assert list(results["runs"]["track_finder"]["perfect"]) == list(ablation.STEPS)
    assert capsys.readouterr().out.splitlines()[-1].startswith("| track finder | 2,621,440 | ")


def test_a_tuning_that_fails_has_written_what_was_found_before(tmp_path, monkeypatch):
    def fail(events, **options):
        raise ValueError("no lines")

    path = tmp_path / "tuned.json"
    monkeypatch.setitem(tune_baselines.BASELINES, "hough", (fail, tune_baselines.HOUGH))
    monkeypatch.setattr(tune_baselines, "score", lambda results: 0.5)
    flags = ["--events", "10", "--presets", "ideal", "--sweeps", "1", "--json", str(path)]
    with pytest.raises(ValueError, match="no lines"):
        tune_baselines.main(["--baselines", "connected", "hough", *flags])
    assert list(json.loads(path.read_text())["baselines"]) == ["connected"]


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        (ablation, ["models/top", "--events", "0"]),
        (ablation, ["models/top", "--preset", "date"]),
        (benchmark, ["--only", "all"]),
        (benchmark, ["--repeats", "0"]),
        (tune_baselines, ["--sweeps", "0"]),
        (view_ceiling, ["--seed", "-1"]),
    ],
)
def test_impossible_flags_are_refused_at_once(script, flags):
    with pytest.raises(SystemExit):
        script.main(flags)
