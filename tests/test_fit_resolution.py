"""The script that measures fits: its figures of merit by hand, what it leaves, what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest

from datasets.events import make_events
from fitting.lines import Lines
from my_generator import realistic
from scripts import fit_resolution

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
    program = "import sys, scripts.fit_resolution; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not SLOW & set(done.stdout.split())


def test_a_run_leaves_figures_of_merit_and_a_figure(tmp_path, capsys):
    path = tmp_path / "fit.json"
    figure = tmp_path / "fit.png"
    scores = fit_resolution.main(["--events", "150", "--json", str(path), "--figure", str(figure)])
    assert figure.stat().st_size > 10_000
    assert json.loads(path.read_text())["true"]["n_tracks"] == scores["true"]["n_tracks"] > 300
    everything = scores["true"]["populations"]["all"]
    assert everything["angle_mrad"]["value"] < 1 and everything["offset_mm"]["value"] < 0.2
    assert "| all |" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_figures():
    arguments = ["--events", "40", "--tracks", "2", "--response", "millimetre", "--seed", "4"]
    assert fit_resolution.main(arguments) == fit_resolution.main(arguments)


def test_found_tracks_of_easy_events_are_as_good_as_true_ones():
    scores = fit_resolution.main(["--events", "60", "--tracks", "1", "--found"])
    found, true = (
        scores[name]["populations"]["all"]["offset_mm"]["value"] for name in ("found", "true")
    )
    assert abs(found - true) < 0.05


@pytest.mark.parametrize("response", ["data", "harsh"])
def test_events_with_noise_and_missing_heights_are_no_error(response):
    scores = fit_resolution.main(["--events", "60", "--response", response, "--clip-sigma", "5"])
    assert scores["true"]["n_left_out"] < scores["true"]["n_tracks"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--response", "ideal"],
        ["--events", "0"],
        ["--clip-sigma", "0"],
        ["--figure", "fit.txt"],
        ["--tracks", "0"],
    ],
)
def test_wrong_flags_are_refused(flags, capsys):
    with pytest.raises(SystemExit):
        fit_resolution.parse_args(flags)
    assert flags[1] in capsys.readouterr().err


def test_residuals_do_not_depend_on_which_way_normals_point():
    truth = Lines(
        np.array([-0.001, -1.0]), np.array([100.0, 50]), np.array([5.0, 6]), np.array([0.5, 0.3])
    )
    # the first line just beyond the foil's direction: its normal is turned round
    found = Lines(
        np.array([-np.pi + 0.002, -1.1]),
        np.array([-101.0, 49]),
        np.array([7.0, 6]),
        np.array([-0.4, 0.2]),
    )
    residuals = fit_resolution.residuals_of(found, truth)
    np.testing.assert_allclose(residuals, [[0.003, 1, 2, -0.1], [-0.1, -1, 0, -0.1]], atol=1e-12)


def test_widths_are_those_of_a_gaussian_whatever_its_tails():
    rng = np.random.default_rng(0)
    pulls = 1.3 * rng.standard_normal(40_000)
    figures = fit_resolution.widths(pulls)
    assert abs(figures["core"] - 1.3) < 4 * figures["core_error"] < 0.1
    assert abs(figures["robust"] - 1.3) < 4 * figures["robust_error"] < 0.1
    with_tails = np.append(pulls, rng.uniform(-1000, 1000, 400))
    figures = fit_resolution.widths(with_tails)
    assert abs(figures["core"] - 1.3) < 0.03 and abs(figures["beyond_5"] - 400 / 40_400) < 0.001
    assert np.isnan(fit_resolution.widths(pulls[:5])["core"])


def test_the_error_of_the_robust_width_is_how_much_it_varies():
    rng = np.random.default_rng(1)
    figures = [fit_resolution.widths(rng.standard_normal(400)) for _ in range(300)]
    spread = np.std([one["robust"] for one in figures])
    assert abs(spread / np.mean([one["robust_error"] for one in figures]) - 1) < 0.2


def test_a_median_lies_in_its_interval_two_times_of_three():
    rng = np.random.default_rng(2)
    medians = [fit_resolution.median_of(rng.standard_normal(100)) for _ in range(600)]
    covered = np.mean([low <= 0 <= high for low, high in (one["interval"] for one in medians)])
    assert 0.6 < covered < 0.76
    assert np.isnan(fit_resolution.median_of(np.zeros(0))["value"])


def test_found_tracks_are_the_true_ones_that_share_most_hits():
    hits = {
        "side": np.ones(10, int),
        "layer": np.arange(10) % 9,
        "column": np.arange(10),
        "drift_radius_mm": np.ones(10),
        "z_mm": np.zeros(10),
        "track": [0, 0, 0, 1, 1, 1, -1, 0, 0, 0],
    }
    events = make_events(hits, [0, 7, 10], {"side": [1, 1, 1]}, [0, 2, 3], {"n_tracks": [2, 1]})
    true_track = events.track_of_hits
    assert true_track.tolist() == [0, 0, 0, 1, 1, 1, -1, 2, 2, 2]
    # 4 has two of three hits of track 0; 2 has one of track 0, one of 1 and the noise
    labels = np.array([4, 4, 2, 2, -1, -1, 2, 4, 4, 4])
    found, partner = fit_resolution.partners(events, labels, true_track, 3)
    assert found.tolist() == [1, 1, 0, 0, -1, -1, 0, 2, 2, 2]
    assert partner.tolist() == [-1, 0, 2]


def test_a_fit_that_is_told_the_sides_agrees_with_one_that_found_them():
    response = fit_resolution.RESPONSES["simulation"]
    events = realistic.generate(200, 1, response, 3, kinks=0.0)
    truth = fit_resolution.true_lines(events)
    track = events.track_of_hits
    fitted = fit_resolution.compare(events, truth, track, np.arange(200), response, None)
    chosen = fitted.right & ~fitted.has_image
    assert chosen.sum() > 150
    for figures, tolerance in ((fitted.residuals, 1e-4), (fitted.pulls, 0.1)):
        difference = np.abs(figures["told"] - figures["line"][:, :2])[chosen]
        assert np.median(difference[:, 0]) < tolerance
    difference = np.abs(fitted.offset_mm["told"] - fitted.offset_mm["line"])
    assert np.median(difference[chosen]) < 0.005


def test_of_no_tracks_there_is_nothing_to_tell():
    response = fit_resolution.RESPONSES["simulation"]
    events = realistic.generate(1, 1, response, 3, kinks=0.0)
    truth = fit_resolution.true_lines(events)
    nothing = np.full(len(events.hits["layer"]), -1)
    fitted = fit_resolution.compare(events, truth, nothing, np.arange(1), response, None)
    scores = fit_resolution.figures_of_merit(fitted)
    assert scores["n_tracks"] == 0 and scores["n_left_out"] == 1
    assert np.isnan(scores["populations"]["all"]["angle_mrad"]["value"])
    assert fit_resolution.table("true", scores)


def test_true_lines_pass_their_hits():
    events = realistic.generate(50, (1, 2, 3, 4), "ideal", 3)
    track = events.track_of_hits
    x = events.first_wire_mm[events.hit_event] + 44.0 * events.hits["layer"]
    y = 44.0 * (events.hits["column"] - 56.0)
    truth = fit_resolution.true_lines(events)
    distance = truth.distance_mm(track, x, y)
    np.testing.assert_allclose(np.abs(distance), events.hits["drift_radius_mm"], atol=0.01)
