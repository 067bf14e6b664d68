"""Networks that name calorimeter blocks and give fit hints: labels, what is between borders, scripts."""

import keras
import numpy as np
import pytest

import inference
import lib
from architectures import associated_calorimeter, heads, losses
from architectures.front_associated_calorimeter import front_associated_calorimeter
from architectures.side_associated_calorimeter import side_associated_calorimeter
from architectures.top_associated_calorimeter import top_associated_calorimeter
from datasets import associated_calohit_multilabel as multilabel
from datasets import associated_calohit_singlelabel as singlelabel
from datasets import batches, fitting_hints
from datasets.geometry import CELL_MM, N_COLUMNS
from datasets.readers import hit_tree
from my_generator import realistic, straight_lines, toyhaystack
from scripts import associated_calorimeter as train_blocks
from scripts import evaluate
from scripts import fitting_hints as train_hints

QUICK = [
    *("--epochs", "1", "--epoch-events", "16", "--val-events", "16", "--test-events", "16"),
    *("--batch-size", "16", "--generator", "data"),
]
SMALL = {"width": 16, "n_heads": 2}
N_SEGMENTS = {**singlelabel.N_CLASSES, **fitting_hints.N_CLASSES}


# ---- labels ------------------------------------------------------------------------------------------------


def test_shares_are_counts_over_the_number_of_tracks():
    events = straight_lines.generate(3, tracks=(3,), seed=1)
    events.tracks["calo_column"][:3] = (7, 7, 2)
    share = multilabel.labels(events)["column"][0]
    assert share[7] == pytest.approx(2 / 3)
    assert share[2] == pytest.approx(1 / 3)
    np.testing.assert_allclose(multilabel.labels(events)["column"].sum(1), 1, rtol=1e-6)
    assert multilabel.labels(events, answers="several")["column"][0].sum() == 2


def test_the_class_of_each_track_stands_in_the_order_of_the_foil():
    events = straight_lines.generate(200, tracks=(1, 2, 3, 4), seed=2)
    each = multilabel.labels(events, ("column", "row"), "each")
    for event in range(len(events)):
        own = slice(*events.track_offsets[event : event + 2])
        angle = np.arctan(events.tracks["slope_y"][own])
        two_cells_on = events.tracks["foil_y_mm"][own] + 2 * CELL_MM * np.sin(angle)
        order = np.argsort(two_cells_on, kind="stable")
        for name in ("column", "row"):
            expected = events.tracks[f"calo_{name}"][own][order]
            np.testing.assert_array_equal(each[name][event, : len(order)], expected)
            assert (each[name][event, len(order) :] == -1).all()


def test_counts_add_up_to_the_tracks_and_empty_events_have_none():
    events = straight_lines.generate(50, tracks=(0, 1, 4), seed=3)
    counted = multilabel.counts(events, events.tracks["calo_column"], 22)
    np.testing.assert_array_equal(counted.sum(1), np.diff(events.track_offsets))


def test_angles_are_told_in_segments_of_36_degrees_and_places_in_11_columns_each():
    degrees = np.array([-89.9, -54.1, -53.9, 0.0, 53.9, 54.1, 89.9])
    column = np.array([-5.0, 0.1, 11.2, 11.4, 56.0, 112.9, 120.0])
    found = fitting_hints.segments(np.tan(np.radians(degrees)), (column - N_COLUMNS / 2) * CELL_MM)
    np.testing.assert_array_equal(found["angle"], [0, 0, 1, 2, 3, 4, 4])
    np.testing.assert_array_equal(found["foil"], [0, 0, 0, 1, 4, 9, 9])
    np.testing.assert_array_equal(found["fine_foil"], [0, 0, 11, 11, 56, 112, 112])
    np.testing.assert_array_equal(found["fine_angle"] // 6, found["angle"])


def test_a_track_along_the_foil_is_one_segment_from_either_end():
    assert fitting_hints.steps_apart("angle", np.array([0]), np.array([4])) == 1
    assert fitting_hints.steps_apart("fine_angle", np.array([29]), np.array([1])) == 2
    assert fitting_hints.steps_apart("foil", np.array([0]), np.array([9])) == 9
    assert fitting_hints.steps_apart("column", np.array([0]), np.array([21])) == 21


def test_every_segment_is_in_its_window():
    events = straight_lines.generate(500, seed=4)
    angle, foil = np.arctan(events.tracks["slope_y"]), events.tracks["foil_y_mm"]
    for name, segment in fitting_hints.of_tracks(events).items():
        low, high = fitting_hints.windows(name, segment)
        value = angle if name.endswith("angle") else foil
        assert (low - 1e-3 <= value).all() and (value <= high + 1e-3).all()


@pytest.mark.parametrize("task", [singlelabel.task(), fitting_hints.task()])
def test_one_answer_is_for_events_of_one_track(task):
    task.check(straight_lines.generate(5, tracks=(1,)))
    with pytest.raises(ValueError, match="file.root: event 0 has .*tracks"):
        task.check(straight_lines.generate(5, tracks=(2,)), "file.root")


@pytest.mark.parametrize("task", [multilabel.task(), fitting_hints.task(answers="shares")])
def test_events_that_do_not_tell_their_blocks_are_refused(task):
    task.check(realistic.generate(20, preset="harsh"))
    with pytest.raises(ValueError, match="haystack: "):
        task.check(toyhaystack.generate(5, tracks=(2,)), "haystack")
    untold = straight_lines.generate(5, tracks=(2,))
    untold.info["n_tracks"][3] = 3
    with pytest.raises(ValueError, match="event 3"):
        task.check(untold)


# ---- networks ----------------------------------------------------------------------------------------------


def test_the_published_network_has_its_published_size():
    assert top_associated_calorimeter().count_params() == 2_531_268
    assert top_associated_calorimeter().output["column"].shape == (None, 22)
    small = {"filters": 4}
    assert set(side_associated_calorimeter(**small).output) == {"n_tracks", "column", "row"}
    assert front_associated_calorimeter(**small).output["row"].shape == (None, 15)


@pytest.mark.parametrize("name", heads.WALLS)
def test_probabilities_of_all_segments_add_up_to_one_wherever_a_track_is_expected(name):
    wall = heads.WALLS[name]
    centre = np.array([[-3.0, -0.01, 0.0, 0.3, 0.999, 1.0, 7.7]], "float32")
    for width in (1e-4, 0.02, 3.0):
        layer = heads.InSegments(wall.borders, wall.cyclic)
        said = np.array(layer([centre, np.full_like(centre, width)]))
        assert said.shape == (1, 7, heads.N_SEGMENTS[name])
        assert (said >= 0).all()
        np.testing.assert_allclose(said.sum(-1), 1, atol=1e-5)


def test_architecture_and_labels_agree_on_the_segments():
    assert heads.N_SEGMENTS == N_SEGMENTS


@pytest.mark.parametrize("name", heads.WALLS)
def test_a_sure_expectation_is_in_the_segment_that_the_labels_give(name):
    wall = heads.WALLS[name]
    events = straight_lines.generate(300, tracks=(1,), seed=5)
    tracks = events.tracks
    straight = {
        "column": 0.5
        + (tracks["foil_y_mm"] + tracks["slope_y"] * 9 * CELL_MM) / (N_COLUMNS * CELL_MM),
        "row": 0.5 + (tracks["foil_z_mm"] + tracks["slope_z"] * 9 * CELL_MM) / 3100,
        "angle": 0.5 + np.arctan(tracks["slope_y"].astype(float)) / np.pi,
        "foil": 0.5 + tracks["foil_y_mm"] / (N_COLUMNS * CELL_MM),
    }
    centre = straight[wall.what].astype("float32")[None]
    layer = heads.InSegments(wall.borders, wall.cyclic)
    said = np.array(layer([centre, np.full_like(centre, 1e-6)]))[0].argmax(-1)
    agrees = said == inference.classes_of_tracks(events, name)
    assert agrees.mean() > 0.99  # but for float32 at a border


@pytest.mark.parametrize("view", ["top", "side", "front", "hits"])
@pytest.mark.parametrize("answers", ["one", "shares", "several", "each"])
def test_networks_give_probabilities_and_load_as_they_were_saved(view, answers, tmp_path):
    shape = None if view == "hits" else (*batches_shape(view), 1)
    targets = ("column", "row")
    model = associated_calorimeter.transformer(view, shape, targets, answers, **SMALL)
    task = train_blocks.task_of(view, targets, answers)[0]
    events = realistic.generate(12, tracks=(1,), preset="data", seed=6)
    inputs = task.inputs(events)
    said = model.predict(inputs, verbose=0)
    for name in targets:
        n = N_SEGMENTS[name]
        assert said[name].shape == ((12, 4, n) if answers == "each" else (12, n))
        assert ((said[name] >= 0) & (said[name] < 1 + 1e-5)).all()
        if answers != "several":
            np.testing.assert_allclose(said[name].sum(-1), 1, atol=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").predict(inputs, verbose=0)
    np.testing.assert_allclose(again["column"], said["column"], atol=1e-5)


def batches_shape(view):
    return train_blocks.views.SHAPES[view]


@pytest.mark.parametrize(
    "view, answers", [("top", "one"), ("hits", "each"), ("top", "shares"), ("top", "several")]
)
def test_one_batch_can_be_learned_by_heart(view, answers):
    keras.utils.set_random_seed(0)
    targets = ("column",)
    model = train_blocks.build(view, targets, answers)
    task, tracks = train_blocks.task_of(view, targets, answers)
    events = straight_lines.generate(8, tracks=tracks[:2], seed=7)
    model.compile(keras.optimizers.Adam(3e-3), **losses.objective(targets, answers))
    inputs, labels = task.inputs(events), task.labels(events)
    for _ in range(60):
        model.train_on_batch(inputs, labels)
    said = inference.label_probabilities(events, model)
    scores = inference.judge(events, said, answers)
    assert scores["accuracy"] > 0.8


def test_the_loss_of_each_track_leaves_out_what_is_no_track():
    classes = np.array([[1, -1], [0, 2]])
    probability = np.array(
        [[[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], [[0.25, 0.5, 0.25], [0.0, 0.5, 0.5]]], "float32"
    )
    found = np.array(losses.of_each(classes, probability))
    np.testing.assert_allclose(found, [-np.log(0.5), -(np.log(0.25) + np.log(0.5)) / 2], rtol=1e-5)
    np.testing.assert_allclose(np.array(losses.right_each(classes, probability)), [1, 0])


# ---- what is said of events --------------------------------------------------------------------------------


def test_a_network_that_says_the_truth_is_always_right():
    events = straight_lines.generate(300, seed=8)
    n_tracks = np.eye(4)[events.info["n_tracks"] - 1]
    for answers in multilabel.ANSWERS:
        said = multilabel.labels(events, ("column", "row"), answers)
        said["n_tracks"] = n_tracks
        if answers == "each":
            said |= {
                name: np.eye(n)[np.maximum(said[name], 0)]
                for name, n in singlelabel.N_CLASSES.items()
            }
        scores = inference.judge(events, said, answers)
        assert scores["accuracy"] == 1, answers
        assert set(scores["by_tracks"]) == {"1", "2", "3", "4"}


def test_hints_are_right_where_the_coarse_ones_are():
    events = straight_lines.generate(100, tracks=(1,), seed=9)
    said = {
        name: np.eye(n)[fitting_hints.of_tracks(events)[name]]
        for name, n in fitting_hints.N_CLASSES.items()
    }
    said["fine_angle"] = np.roll(said["fine_angle"], 1, axis=1)
    scores = inference.judge(events, said, "one")
    assert scores["accuracy"] == 1
    assert scores["targets"]["fine_angle"]["accuracy"] == 0
    assert scores["targets"]["fine_angle"]["within_one"]["accuracy"] == 1


def test_a_counter_names_no_blocks():
    with pytest.raises(ValueError, match="top_my_generator names no calorimeter blocks"):
        inference.label_probabilities(straight_lines.generate(2), "top_my_generator")


def test_events_that_a_network_would_take_for_others_are_refused():
    haystack = toyhaystack.generate(20, tracks=(2,), seed=1)
    with pytest.raises(ValueError, match="knows the straight-line toy's blocks"):
        inference.label_probabilities(haystack, "calorimeter_column")
    with pytest.raises(ValueError, match="event .* has hits on both tracker sides"):
        inference.label_probabilities(haystack, "fitting_hints")
    one_side = haystack.keep_hits(haystack.hits["side"] == 1)
    assert len(inference.label_probabilities(one_side, "fitting_hints")["angle"]) == 20


# ---- scripts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script, flags, outputs",
    [
        (train_blocks, ["--target", "both"], {"column", "row"}),
        (train_blocks, ["--answers", "several"], {"column", "n_tracks"}),
        (train_blocks, ["--answers", "each", "--view", "hits"], {"column", "n_tracks"}),
        (train_hints, [], set(fitting_hints.N_CLASSES)),
        (
            train_hints,
            ["--answers", "shares", "--view", "hits"],
            {*fitting_hints.N_CLASSES, "n_tracks"},
        ),
    ],
)
def test_a_training_leaves_a_model_that_evaluate_measures(script, flags, outputs, tmp_path, capsys):
    run = tmp_path / "run"
    scores = script.main(["--out", str(run), *flags, *QUICK])
    assert set(scores["test"]["targets"]) == outputs - {"n_tracks"}
    assert set(inference.load(run).outputs) == outputs
    tracks = (1,) if "n_tracks" not in outputs else (1, 2, 3, 4)
    for i in range(2):
        hit_tree.write(
            tmp_path / f"toy_{i}.root", straight_lines.generate(20, tracks=tracks, seed=i)
        )
    measured = evaluate.main(
        [str(run), str(tmp_path / "toy_*.root"), "--json", str(tmp_path / "out.json")]
    )
    assert measured["n_events"] == 40
    assert 0 <= measured["accuracy"] <= 1
    assert (tmp_path / "out.json").is_file()
    assert "40 events" in capsys.readouterr().out


def test_a_threshold_is_chosen_on_validation_events_and_kept_in_the_card(tmp_path):
    script = train_blocks
    scores = script.main(["--out", str(tmp_path / "run"), "--answers", "several", *QUICK])
    kept = lib.load_card(tmp_path / "run")["metrics"]["test"]["threshold"]
    assert kept == scores["test"]["threshold"]
    assert 0 < kept < 1


def test_a_network_of_blocks_is_not_trained_on_events_of_two_sides(tmp_path):
    for i in range(3):
        hit_tree.write(
            tmp_path / f"haystack_{i}.root", toyhaystack.generate(10, tracks=(1,), seed=i)
        )
    with pytest.raises(ValueError, match="haystack_.*straight-line toy"):
        train_blocks.main(["--out", str(tmp_path / "run"), "--data", f"{tmp_path}/*.root", *QUICK])


def test_batches_hold_the_events_that_validate():
    data = batches.load(singlelabel.task(), realistic.generator("ideal", (1,)), n_val=10, n_test=10)
    assert len(data.val_events) == 10
