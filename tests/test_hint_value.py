"""What hints are worth, and how well classes can be told at all."""

import numpy as np
import pytest

from datasets import fitting_hints
from datasets.geometry import CELL_MM
from my_generator import realistic, straight_lines
from scripts import class_ceiling, hint_value
from scripts import fitting_hints as train_hints

QUICK = [
    *("--epochs", "1", "--epoch-events", "16", "--val-events", "16", "--test-events", "16"),
    *("--batch-size", "16", "--generator", "ideal"),
]


@pytest.fixture(scope="module")
def hints_model(tmp_path_factory):
    run = tmp_path_factory.mktemp("hints") / "run"
    train_hints.main(["--out", str(run), *QUICK])
    return run


def test_hints_and_fits_are_compared(hints_model, tmp_path, capsys):
    flags = ["--presets", "ideal", "--events", "60", "--json", str(tmp_path / "hints.json")]
    results = hint_value.main([str(hints_model), *flags])
    assert set(results["hints"]) == {
        "ideal, 1 track",
        "ideal, 2 tracks",
        "ideal, 3 tracks",
        "ideal, 4 tracks",
    }
    assert {"principal axis", "found track and fit"} < set(results["hints"]["ideal, 1 track"])
    fits = results["fits"]["ideal, 1 track"]
    assert fits["likelihood"]["wrong"]["accuracy"] < 0.2
    assert fits["likelihood"]["failures"]["accuracy"] == 0
    assert (tmp_path / "hints.json").is_file()
    assert "| ideal, 1 track | likelihood |" in capsys.readouterr().out


def test_the_line_of_the_found_track_gives_better_hints_than_the_axis_of_the_cells():
    events = straight_lines.generate(300, tracks=(1,), seed=3)
    truth = fitting_hints.of_tracks(events)
    right = {}
    for name, way in (("axis", hint_value.principal_axis), ("fit", hint_value.fit_of_found)):
        told = fitting_hints.segments(*way(events))
        right[name] = hint_value.figures(truth, told)["both"]["accuracy"]
    assert 0.85 < right["axis"] < right["fit"]


def test_found_tracks_become_events_of_one_track_with_its_truth():
    events = straight_lines.generate(50, tracks=(2,), seed=4)
    found = hint_value.as_found(events)
    assert 90 <= len(found) <= 110
    assert (found.info["n_tracks"] == 1).all()
    slope, foil = hint_value.fit_of_found(found)
    near = np.abs(foil - found.tracks["foil_y_mm"]) < 5
    assert near.mean() > 0.9


def test_an_event_without_hits_has_hints_all_the_same():
    events = realistic.generate(5, tracks=(1,), preset="ideal", seed=5)
    empty = events.keep_hits(np.zeros(len(events.hits["layer"]), bool))
    for way in (hint_value.principal_axis, hint_value.fit_of_found):
        told = fitting_hints.segments(*way(empty))
        assert all((segment >= 0).all() for segment in told.values())


def test_the_true_line_is_near_itself_and_a_moved_one_is_not():
    events = straight_lines.generate(100, tracks=(1,), seed=6)
    x, y, _, _ = hint_value.measurements(events)
    phi = np.arctan(events.tracks["slope_y"].astype(float)) - np.pi / 2
    d = events.tracks["foil_y_mm"] * np.sin(phi)
    unknown = np.full(len(phi), np.nan)
    lines = hint_value.line.Lines(phi, d, unknown, unknown)
    assert not hint_value.far_from_truth(events, lines, x, y).any()
    lines.d_mm = d + 3
    assert hint_value.far_from_truth(events, lines, x, y).all()


def test_windows_hold_the_line_that_they_hint_at():
    events = straight_lines.generate(100, tracks=(1,), seed=7)
    told = fitting_hints.of_tracks(events)
    phi = np.arctan(events.tracks["slope_y"].astype(float)) - np.pi / 2
    low, high = hint_value.phi_window(told["angle"]).T
    assert ((low <= phi) & (phi <= high)).all()
    low, high = hint_value.foil_window("foil", told["foil"]).T
    assert (
        (low - 1e-3 <= events.tracks["foil_y_mm"]) & (events.tracks["foil_y_mm"] <= high + 1e-3)
    ).all()
    assert high[0] - low[0] == pytest.approx(11.3 * CELL_MM)


def test_the_ceiling_of_the_column_is_that_of_lines_of_one_picture(tmp_path):
    ceilings = class_ceiling.main(
        ["--events", "60", "--lines", "400", "--json", str(tmp_path / "c.json")]
    )
    assert 0.9 < ceilings["column"]["value"] <= 1
    assert ceilings["fine_foil"]["value"] < ceilings["foil"]["value"]
    events = straight_lines.generate(20, tracks=(1,), seed=8)
    slope, y0, weight = class_ceiling.same_pictures(
        class_ceiling.true_lines(events), 300, np.random.default_rng(0)
    )
    assert (weight[:, 0] > 0).all()  # the true line makes its own picture
    np.testing.assert_allclose(slope[:, 0], events.tracks["slope_y"], rtol=1e-4)


def test_the_best_share_is_that_of_the_most_probable_class():
    classes = np.array([[0, 1, 1], [2, 2, 0]])
    weight = np.array([[1.0, 1.0, 2.0], [0.0, 1.0, 3.0]])
    np.testing.assert_allclose(class_ceiling.best_share(classes, weight), [0.75, 0.75])
