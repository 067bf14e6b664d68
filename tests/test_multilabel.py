"""Sets of labels: decisions, figures of merit, and the script that compares two models."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_fscore_support

import inference
import metrics
import plotting
import plotting_sets
from datasets.readers import hit_tree
from my_generator import straight_lines
from scripts import multilabel_analysis

N_LABELS = 5
relaxed = settings(deadline=None)  # a first call may import much
all_scores = arrays(float, (3, N_LABELS), elements=st.floats(0, 1, width=16))
all_counts = arrays(int, (3, N_LABELS), elements=st.integers(0, 2))


def values(by_tracks, figure):
    """The values of a figure by number of tracks."""
    return {name: scores[figure]["value"] for name, scores in by_tracks.items()}


# ---- decisions ---------------------------------------------------------------------------------------------


@relaxed
@given(all_counts, all_scores)
def test_no_threshold_gives_more_exact_sets_than_the_best(truth, scores):
    def n_exact(threshold):
        return ((scores >= threshold) == (truth > 0)).all(1).sum()

    candidates = np.append(scores, 2)
    assert n_exact(metrics.best_threshold(truth, scores)) == max(map(n_exact, candidates))


def test_the_best_threshold_is_in_the_middle_of_its_range():
    truth = [[1, 0, 0], [0, 2, 0], [1, 0, 1]]
    scores = [[0.9, 0.2, 0.1], [0.3, 0.8, 0.4], [0.7, 0.1, 0.6]]
    assert metrics.best_threshold(truth, scores) == pytest.approx(0.5)  # 0.4 is false, 0.6 is true


def test_a_threshold_needs_events():
    with pytest.raises(ValueError, match="no events"):
        metrics.best_threshold(np.zeros((0, 3), int), np.zeros((0, 3)))


def test_top_labels_are_those_with_the_highest_scores_and_the_first_of_equal_ones():
    scores = [[0.1, 0.5, 0.4], [0.3, 0.3, 0.3], [0.1, 0.2, 0.3]]
    expected = [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_array_equal(metrics.top_labels(scores, [2, 1, 0]), expected)


def test_labels_without_scores_have_equal_shares():
    shares = metrics.shares_of([[0, 0, 0, 0], [0, 1, 3, 0]])
    np.testing.assert_allclose(shares, [[0.25] * 4, [0, 0.25, 0.75, 0]], atol=1e-12)
    np.testing.assert_array_equal(metrics.nearest_multiset([[0, 0, 0]], [2]), [[1, 1, 0]])


def test_two_tracks_get_one_label_where_its_share_is_above_three_quarters():
    scores = [[0.8, 0.2, 0], [0.7, 0.3, 0], [0.7, 0.2, 0.1]]
    multiset = metrics.nearest_multiset(scores, [2, 2, 4])
    np.testing.assert_array_equal(multiset, [[2, 0, 0], [1, 1, 0], [3, 1, 0]])


@relaxed
@given(arrays(float, (1, N_LABELS), elements=st.floats(0, 1, width=16)), st.integers(0, 4))
def test_no_multiset_is_nearer_to_the_scores(scores, k):
    found = metrics.nearest_multiset(scores, [k])[0]
    assert found.sum() == k
    if scores.sum() == 0 or k == 0:
        return
    shares = scores[0] / scores.sum()
    choices = itertools.combinations_with_replacement(range(N_LABELS), k)
    possible = np.array([np.bincount(choice, minlength=N_LABELS) for choice in choices])
    distance = ((possible / k - shares) ** 2).sum(1)
    assert ((found / k - shares) ** 2).sum() == pytest.approx(distance.min(), abs=1e-12)


@relaxed
@given(all_counts)
def test_true_shares_give_the_true_multiset(truth):
    k = truth.sum(1)
    shares = truth / np.maximum(k, 1)[:, None]
    np.testing.assert_array_equal(metrics.nearest_multiset(shares, k), truth)


# ---- figures of merit --------------------------------------------------------------------------------------


def test_sets_are_counted_by_hand():
    truth = [[1, 0, 0], [1, 1, 0], [2, 0, 0], [0, 1, 1]]
    decided = [[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]]
    scores = metrics.label_sets(truth, decided)
    assert values(scores, "exact_sets") == {"1": 1, "2": 2 / 3, "all": 3 / 4}
    assert values(scores, "exact_multisets") == {"1": 1, "2": 1 / 3, "all": 1 / 2}
    assert scores["2"]["exact_sets"]["interval"] == list(metrics.binomial_interval(2, 3))
    assert scores["1"]["missed_labels"] == [1, 0]
    assert scores["2"]["missed_labels"] == [2, 0, 1]


def test_top_k_is_never_exact_where_two_tracks_share_a_label():
    truth = np.array([[2, 0, 0], [2, 1, 0], [1, 1, 1]])
    decided = metrics.top_labels(truth / truth.sum(1, keepdims=True), truth.sum(1))
    assert values(metrics.label_sets(truth, decided), "exact_sets") == {
        "2": 0,
        "3": 0.5,
        "all": 1 / 3,
    }


def test_no_events_have_no_figures():
    none = np.zeros((0, 3), int)
    scores = metrics.label_sets(none, none)
    assert list(scores) == ["all"]
    assert scores["all"]["exact_sets"]["n"] == 0
    assert np.isnan(scores["all"]["exact_sets"]["value"])


@relaxed
@given(all_counts, all_counts)
def test_precision_and_recall_are_those_of_scikit_learn(truth, decided):
    scores = metrics.single_labels(truth, decided)
    expected = precision_recall_fscore_support(
        truth > 0, decided > 0, average=None, zero_division=np.nan
    )
    for figure, of_labels in zip(("precision", "recall"), expected, strict=False):
        np.testing.assert_allclose([score["value"] for score in scores[figure]], of_labels)


def test_single_confusions_have_truth_in_rows():
    truth = [[1, 1, 0], [1, 0, 1], [1, 0, 0], [2, 0, 0], [1, 1, 0]]
    decided = [[1, 0, 1], [1, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
    expected = np.zeros((3, 3))
    expected[1, 2] = 1
    expected[0, 2] = 2  # the fourth event as a multiset, and the fifth
    np.testing.assert_array_equal(metrics.single_confusions(truth, decided), expected)
    as_sets = metrics.single_confusions(np.array(truth) > 0, np.array(decided) > 0)
    assert as_sets[0, 2] == 1


def test_arg_max_of_several_labels_is_counted_by_hand():
    truth = [[0, 1, 1], [0, 1, 2], [0, 1, 1], [0, 1, 1]]
    scores = [[0.1, 0.9, 0.8], [0.1, 0.8, 0.9], [0.1, 0.8, 0.9], [0.9, 0.4, 0.4]]
    found = metrics.one_label(truth, scores)
    assert found["all"]["arg_max_of_marks"]["value"] == 1 / 4
    assert found["all"]["arg_max_of_counts"]["value"] == 2 / 4
    assert found["all"]["arg_max_is_true"]["value"] == 3 / 4
    assert found["all"]["half_of_marks"]["value"] == 9 / 12
    assert (
        found["all"]["half_of_shares"]["value"] == 3 / 12
    )  # only absent labels, where they have no score
    assert found["all"]["perfect_arg_max_of_marks"] == 1 / 2
    assert found["all"]["perfect_half_of_shares"] == pytest.approx(1 / 3)


def test_a_perfect_model_of_many_labels_has_a_low_arg_max_accuracy():
    events = straight_lines.generate(4000, seed=5)
    truth = multilabel_analysis.columns_of(events)
    rest = np.random.default_rng(6).uniform(0, 1e-3, truth.shape)
    found = metrics.one_label(truth, np.where(truth > 0, 1 - rest, rest))
    for name, scores in found.items():
        n = scores["arg_max_of_marks"]["n"]
        expected = scores["perfect_arg_max_of_marks"]
        error = (expected * (1 - expected) / n) ** 0.5
        assert scores["arg_max_of_marks"]["value"] == pytest.approx(
            expected, abs=4 * error + 1e-9
        ), name
        assert scores["arg_max_is_true"]["value"] == 1
        assert scores["half_of_marks"]["value"] == 1


def test_reliability_is_that_of_scikit_learn():
    rng = np.random.default_rng(7)
    scores = rng.uniform(size=3000) ** 3
    target = rng.random(3000) < scores
    found = metrics.reliability(target, scores, n_bins=8)
    is_filled = found["n"] > 0
    was_true, said = calibration_curve(target, scores, n_bins=8)
    np.testing.assert_allclose(found["target"][is_filled], was_true)
    np.testing.assert_allclose(found["score"][is_filled], said)
    pull = (found["target"] - found["score"]) / found["error"]
    assert np.abs(pull).max() < 4
    expected = (found["n"] * np.abs(found["target"] - found["score"])).sum() / 3000
    assert found["expected_calibration_error"] == pytest.approx(expected)


def test_bins_without_entries_are_unknown():
    found = metrics.reliability([1, 0], [0.95, 0.9], n_bins=2)
    assert np.isnan(found["target"][0])
    assert (found["n"][1], found["target"][1]) == (2, 0.5)
    assert found["error"][1] == pytest.approx(0.5)  # root of 1/2 over root of 2


@pytest.mark.parametrize(
    ("truth", "scores", "said"),
    [
        ([[1, 0]], [[0.5, 0.5, 0]], "alike"),
        ([[-1, 0]], [[0.5, 0.5]], "-1"),
        ([[1, 0]], [[1.5, 0.5]], "1.5"),
    ],
)
def test_impossible_labels_and_scores_are_refused(truth, scores, said):
    with pytest.raises(ValueError, match=said):
        metrics.best_threshold(truth, scores)


# ---- the script --------------------------------------------------------------------------------------------


def answer(events, model):
    """A made-up model: a score leaks to the next column, more in the one that is less sure; "softmax" are
    shares, "sigmoid" are probabilities.
    """
    truth = multilabel_analysis.columns_of(events)
    rng = np.random.default_rng(len(model))
    leak = rng.uniform(0, 0.6, (len(truth), 1))
    blurred = (1 - leak) * truth + leak * np.roll(truth, 1, axis=1)
    shares = blurred / blurred.sum(1, keepdims=True)
    column = shares if "softmax" in model else np.minimum(blurred, 1)
    n_tracks = np.eye(4)[truth.sum(1) - 1] * 0.8 + 0.05
    return {"column": column.astype(np.float32), "n_tracks": n_tracks}


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setattr(inference, "label_probabilities", answer, raising=False)


def test_columns_are_counted_by_event():
    events = straight_lines.generate(200, seed=3)
    truth = multilabel_analysis.columns_of(events)
    np.testing.assert_array_equal(truth.sum(1), events.info["n_tracks"])
    for event in (0, 17, 199):
        own = events.tracks["calo_column"][events.track_event == event]
        assert np.flatnonzero(truth[event]).tolist() == sorted(set(own.tolist()))


def test_two_models_are_compared_on_fresh_events(made_up, tmp_path, capsys):
    flags = ["--events", "300", "--val-events", "200", "--json", str(tmp_path / "sets.json")]
    content = multilabel_analysis.main(["softmax", "sigmoid", *flags])
    assert json.loads((tmp_path / "sets.json").read_text())["models"].keys() == {
        "softmax",
        "sigmoid",
    }
    truth = multilabel_analysis.columns_of(straight_lines.generate(300, seed=4242))
    different = (truth <= 1).all(1)
    two = truth.sum(1) == 2
    assert content["different_columns"]["2"] == different[two].mean()
    for result in content["models"].values():
        top = result["decisions"]["top k, k true"]["by_tracks"]
        assert top["2"]["exact_sets"]["value"] <= different[two].mean()
        assert result["counting"]["accuracy"] == 1
        exact = [
            result["decisions"][name]["by_tracks"]["all"]["exact_sets"]["value"]
            for name in (multilabel_analysis.THRESHOLD, *multilabel_analysis.OWN)
        ]
        assert max(exact) > 0.5
    said = {
        model: result["calibration"]["scores_are"] for model, result in content["models"].items()
    }
    assert said == {"softmax": "share of the tracks", "sigmoid": "probability of a track"}
    printed = capsys.readouterr().out
    assert "| nearest multiset, k predicted | softmax |" in printed
    assert "| unknown | published, sigmoid | 95.3 | 53.4 | 41.2 | – | – |" in printed


def test_a_perfect_model_is_right_in_everything_but_arg_max(monkeypatch):
    def perfect(events, model):
        truth = multilabel_analysis.columns_of(events)
        n_tracks = truth.sum(1, keepdims=True)
        return {"column": truth / n_tracks, "n_tracks": np.eye(4)[n_tracks[:, 0] - 1]}

    monkeypatch.setattr(inference, "label_probabilities", perfect, raising=False)
    content = multilabel_analysis.main(["a", "b", "--events", "300", "--val-events", "100"])
    result = content["models"]["a"]
    multisets = result["decisions"][multilabel_analysis.MULTISET]["by_tracks"]
    assert set(values(multisets, "exact_multisets").values()) == {1}
    assert not np.any(result["decisions"][multilabel_analysis.MULTISET]["single_confusions"])
    assert result["calibration"]["by_tracks"]["all"] == pytest.approx(0, abs=1e-12)
    of_four = result["one_label"]["4"]
    assert of_four["arg_max_is_true"]["value"] == 1
    assert of_four["half_of_shares"]["value"] == pytest.approx(of_four["perfect_half_of_shares"])


def test_files_of_the_toy_are_read(made_up, toy_file):
    content = multilabel_analysis.main(["softmax", "sigmoid", str(toy_file), "--val-events", "50"])
    assert (content["n_events"], content["seed"], content["files"]) == (40, None, [str(toy_file)])


def test_files_of_another_geometry_are_refused(made_up, haystack_file):
    with pytest.raises(ValueError, match="haystack_0.root: .*straight-line toy"):
        multilabel_analysis.main(["softmax", "sigmoid", str(haystack_file)])


def test_what_is_said_of_each_track_becomes_shares():
    of_track = np.eye(3)[[[0, 2, 2, 1], [1, 1, 0, 0]]]
    n_tracks = np.array([[0.1, 0.2, 0.6, 0.1], [0.9, 0.1, 0.0, 0.0]])
    shares = multilabel_analysis.shares_of_each(of_track, n_tracks)
    np.testing.assert_allclose(shares, [[1 / 3, 0, 2 / 3], [0, 1, 0]])


def test_a_file_without_events_is_refused(made_up, tmp_path):
    path = tmp_path / "none.root"
    hit_tree.write(path, straight_lines.generate(0, seed=1))
    with pytest.raises(ValueError, match="none.root: no events"):
        multilabel_analysis.main(["softmax", "sigmoid", str(path)])


def test_a_model_of_another_shape_is_refused(monkeypatch):
    def narrow(events, model):
        return {"column": np.zeros((len(events), 15)), "n_tracks": np.zeros((len(events), 4))}

    monkeypatch.setattr(inference, "label_probabilities", narrow, raising=False)
    with pytest.raises(
        ValueError, match=r"rows: its column is of shape \(20, 15\); \(20, 22\) is wanted"
    ):
        multilabel_analysis.main(["rows", "b", "--events", "10", "--val-events", "20"])


def test_models_of_one_name_are_told_apart():
    names_of = multilabel_analysis.names_of
    assert names_of(["runs/a", "runs/b/model.keras"]) == ["a", "b"]
    assert names_of(["runs/a", "old/a/model.keras"]) == ["a (A)", "a (B)"]


# ---- figures -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pandas, about how marsilea sorts
def test_all_pages_are_drawn(made_up, tmp_path):
    flags = ["--events", "300", "--val-events", "100", "--out", str(tmp_path / "all")]
    multilabel_analysis.main(["softmax", "sigmoid", *flags])
    assert len(list((tmp_path / "all").glob("[01]*.png"))) == 10
    assert (tmp_path / "all" / "multilabel.pdf").is_file()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_events_of_one_track_have_no_pages_of_pairs(made_up, tmp_path, toy_file, monkeypatch):
    drawn = []
    monkeypatch.setattr(plotting, "save", lambda pages, path: drawn.append(path.name))
    hit_tree.write(toy_file, straight_lines.generate(60, tracks=(1,), seed=1))
    flags = ["--val-events", "100", "--out", str(tmp_path)]
    multilabel_analysis.main(["softmax", "softmax", str(toy_file), *flags])
    assert drawn[-3:] == ["07_upset_decisions.png", "08_label_map.png", "multilabel.pdf"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_bars_of_an_upset_plot_are_the_frequent_combinations():
    members = np.array([[1, 0], [1, 1], [1, 1], [0, 0], [1, 1], [1, 0]], bool)
    figure = plotting_sets.upset(members, ["a", "b"], "title", {"first": members[:, 1]}, n_most=2)
    heights = [
        sorted(bar.get_height() for bar in ax.patches)
        for ax in figure.axes
        if ax.get_ylabel() == "events"
    ]
    assert heights == [[2, 3]]
    assert "2 of 3 combinations, 5 of 6 events" in figure.get_suptitle()


def test_the_label_map_orders_labels_by_what_they_are_taken_for():
    chain = np.array([2, 0, 3, 1, 4])
    likeness = np.full((5, 5), 0.01)
    likeness[chain[:-1], chain[1:]] = 1
    order = plotting_sets._order(np.maximum(likeness, likeness.T))
    assert order.tolist() in (chain.tolist(), chain[::-1].tolist())
    place = plotting_sets._on_circle(order)
    np.testing.assert_allclose(np.hypot(*place.T), 1)
