"""The comparison of track finders, on a few events."""

import json

import numpy as np
import pytest

import lib
import metrics
import plotting
from architectures import track_finder
from datasets.readers import hit_tree
from finding import connected, foil, oracle, refit
from my_generator import realistic, straight_lines, toyhaystack
from my_generator.response import PRESETS
from scripts import benchmark_clustering
from scripts.benchmark_clustering import FINDERS

ORACLE, COVERED = FINDERS["oracle"], FINDERS["oracle_covered"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A track finder that knows nothing."""
    path = tmp_path_factory.mktemp("model") / "finder.keras"
    track_finder.track_finder(filters=8, width=8, n_hit_layers=0, n_token_layers=1).save(path)
    return str(path)


def unlabelled(events):
    """The same events as a file without labels gives them."""
    events.info["n_tracks"][:] = -1
    events.hits["track"][:] = events.hits["second_track"][:] = -1
    return events


def test_the_oracle_is_right_on_ideal_events(tmp_path, capsys):
    arguments = [
        "--presets",
        "ideal",
        "--events",
        "200",
        "--finders",
        "oracle",
        "oracle_covered",
        "--json",
        str(tmp_path / "out.json"),
    ]
    content = benchmark_clustering.main(arguments)
    finders = content["samples"]["ideal"]["finders"]
    assert list(finders) == [ORACLE, ORACLE + " + foil rule", COVERED, COVERED + " + foil rule"]
    for name in (ORACLE, COVERED):
        assert finders[name]["scores"]["all"]["perfect"]["value"] >= 0.995
    assert "100.0/100.0/100.0/100.0" in capsys.readouterr().out


def test_the_json_holds_every_figure_of_every_class_and_how_it_was_made(tmp_path):
    path = tmp_path / "out.json"
    arguments = [
        "--presets",
        "data",
        "harsh",
        "--events",
        "60",
        "--seed",
        "5",
        "--finders",
        "ransac",
        "--json",
        str(path),
    ]
    benchmark_clustering.main(arguments)
    content = json.loads(path.read_text())
    assert content["seed"] == 5 and content["files"] == [] and content["model"] is None
    assert content["command"] == "python scripts/benchmark_clustering.py " + " ".join(arguments)
    assert list(content["samples"]) == ["data", "harsh"]
    for sample in content["samples"].values():
        assert sample["n_events"] == 60
        for result in sample["finders"].values():
            assert result["scores"].keys() == {
                "1",
                "2",
                "3",
                "4",
                "all",
                "noisy",
                "clean",
                "kinked",
            }
            assert result["scores"]["all"]["perfect"]["n"] == 60
            low, high = result["scores"]["all"]["perfect"]["interval"]
            assert low <= result["scores"]["all"]["perfect"]["value"] <= high
            assert result["events_per_cpu_second"].keys() == {"1", "2", "3", "4"}
            assert min(result["events_per_cpu_second"].values()) > 0


def test_all_classical_finders_have_a_row_with_and_without_the_foil_rule(capsys):
    names = ["connected", "dbscan", "hdbscan", "hough", "ransac_cells", "ransac"]
    benchmark_clustering.main(["--presets", "simulation", "--events", "24", "--finders", *names])
    rows = [
        line.split(" | ")[0].removeprefix("| ")
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| ")
    ]
    assert rows[2:] == [FINDERS[name] + rule for name in names for rule in ("", " + foil rule")]


def test_labels_are_those_of_the_finder_on_all_events_at_once():
    events = realistic.generate(100, preset="data", seed=2)
    runs = benchmark_clustering.run(connected.find, events)
    expected = connected.find(events)
    np.testing.assert_array_equal(runs[""][0], expected)
    np.testing.assert_array_equal(runs[" + foil rule"][0], foil.foil_rule(events, expected))


def test_a_table_shows_percent_by_number_of_tracks():
    scores = {
        n: {
            name: {"value": value, "n": 3, "interval": [0, 1]}
            for name in benchmark_clustering.COLUMNS.values()
        }
        for n, value in (("1", 0.5), ("2", 1))
    }
    scores["1"]["noise_rejected"]["n"] = 0
    lines = benchmark_clustering.table(
        {
            "mine": {
                "scores": scores | {"all": {}},
                "events_per_cpu_second": {"1": 1390.0, "2": 70.0},
            }
        }
    ).splitlines()
    assert lines[0].startswith("| 1/2 tracks | count right | efficiency | fake | noise rejected |")
    assert (
        lines[2]
        == "| mine | 50.0/100.0 | 50.0/100.0 | 50.0/100.0 | –/100.0 | 50.0/100.0 | 50.0/100.0 | 1390/70 |"
    )


def test_files_of_both_generators_have_a_table_each_and_their_own_geometry(
    toy_file, haystack_file, capsys
):
    args = benchmark_clustering.parse_args([str(toy_file), str(haystack_file)])
    samples = benchmark_clustering.samples_of(args)
    assert {name: set(sample.events.first_wire_mm) for name, sample in samples.items()} == {
        "my_generator files": {22.0},
        "toyhaystack files": {53.0},
    }
    content = benchmark_clustering.main(
        [str(toy_file), str(haystack_file), "--finders", "oracle", "connected"]
    )
    assert content["seed"] is None and content["files"] == [str(toy_file), str(haystack_file)]
    for sample in content["samples"].values():
        assert sample["n_events"] == 40
        assert sample["finders"][ORACLE]["scores"]["all"]["perfect"]["value"] >= 0.95
    assert "**toyhaystack files**, 40 events" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ("everything", "owners"))
def test_a_file_without_labels_is_an_error_that_names_it(missing, toy_file, tmp_path):
    events = unlabelled(straight_lines.generate(5, seed=1))
    if missing == "owners":
        events.info["n_tracks"][:] = 2
    path = tmp_path / "real.root"
    hit_tree.write(path, events)
    with pytest.raises(ValueError, match="real.root: no labels"):
        benchmark_clustering.main([str(toy_file), str(path), "--finders", "connected"])


def test_a_finder_that_is_not_shipped_is_left_out_with_a_word(monkeypatch, capsys):
    monkeypatch.setattr(lib, "shipped_models", lambda: ["top"])
    content = benchmark_clustering.main(
        ["--presets", "ideal", "--events", "8", "--finders", "connected", "refit", "--hidden"]
    )
    assert list(content["samples"]["ideal"]["finders"]) == [
        "connected cells",
        "connected cells + foil rule",
    ]
    assert "rows of the track finder are left out" in capsys.readouterr().out


def test_the_network_has_rows_and_what_is_hidden_from_it_is_unknown(model, monkeypatch):
    seen = []

    def find(events, track, n_tracks):
        seen.append([np.isnan(events.hits[name]).all() for name in ("drift_radius_mm", "z_mm")])
        return refit.labels_of(events, track)

    monkeypatch.setattr(refit, "find", find)
    arguments = [
        "--presets",
        "simulation",
        "--events",
        "16",
        "--finders",
        "network",
        "refit",
        "--hidden",
        "--model",
        model,
    ]
    finders = benchmark_clustering.main(arguments)["samples"]["simulation"]["finders"]
    plain = [name for name in finders if not name.endswith("foil rule")]
    assert plain == [
        FINDERS["network"],
        FINDERS["refit"],
        f"{FINDERS['refit']}, radii hidden",
        f"{FINDERS['refit']}, heights hidden",
    ]
    assert set(map(tuple, seen)) == {(False, False), (True, False), (False, True)}
    for figure in ("hit_accuracy", "efficiency", "perfect"):
        assert (
            finders[FINDERS["network"]]["scores"]["all"][figure]
            == finders[FINDERS["refit"]]["scores"]["all"][figure]
        )


@pytest.mark.parametrize("preset", PRESETS)
def test_the_oracle_knows_the_errors_of_the_preset(preset, monkeypatch):
    events = realistic.generate(50, preset=preset, seed=3)
    given = []
    monkeypatch.setattr(
        oracle, "find", lambda events, radius, z, covered: given.append((radius, z))
    )
    benchmark_clustering.of_known_lines(events, PRESETS[preset], False)
    ((radius, z),) = given
    lowest, highest, height = {
        "ideal": (0.1, 0.1, 1),
        "simulation": (0.4, 3, 10),
        "data": (0.6, 10, 15),
        "harsh": (2, 2, 17),
    }[preset]
    assert z == height and radius.shape == events.hits["layer"].shape
    assert lowest <= radius.min() and radius.max() <= highest


def test_events_and_the_comparison_are_drawn(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        plotting,
        "page_of_events",
        lambda events, which, path, titles, *rest, **of: drawn.update(
            {path.name: (which, titles, of)}
        ),
    )
    arguments = [
        "--presets",
        "ideal",
        "data",
        "--events",
        "80",
        "--finders",
        "ransac",
        "connected",
        "--figures",
        str(tmp_path),
        "--displays",
        "1",
    ]
    benchmark_clustering.main(arguments)
    assert drawn.keys() == {f"tracks_{n}.png" for n in (1, 2, 3, 4)}
    which, titles, options = drawn["tracks_4.png"]
    events = realistic.generate(80, preset="data", seed=4242)
    assert (events.info["n_tracks"][which] == 4).all() and options[
        "finder"
    ] == "connected cells + foil rule"
    assert "hits wrong" in titles[-1] and len(which) == len(titles) <= 2
    assert (tmp_path / "perfect_events.png").read_bytes().startswith(b"\x89PNG")


def test_rows_that_no_foil_rule_follows_are_left_out_of_the_comparison(tmp_path):
    score = {"perfect": {"value": 0.5, "interval": [0.4, 0.6]}}
    finders = {
        row: {"scores": {"2": score}}
        for row in ("mine", "mine + foil rule", *benchmark_clustering.IN_FILE.values())
    }
    benchmark_clustering.draw_comparison(
        {"brio files": {"n_events": 4, "finders": finders}}, tmp_path / "perfect.png"
    )
    assert (tmp_path / "perfect.png").exists()


def test_a_number_of_tracks_has_its_colour_whichever_occur(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plotting, "save", lambda figure, path: figures.append(figure))
    hit_tree.write(
        tmp_path / "two.root",
        straight_lines.generate(20, seed=1)[
            straight_lines.generate(20, seed=1).info["n_tracks"] == 2
        ],
    )
    arguments = [
        str(tmp_path / "two.root"),
        "--finders",
        "connected",
        "--displays",
        "0",
        "--figures",
        str(tmp_path),
    ]
    benchmark_clustering.main(arguments)
    handles = figures[-1].legends[0].legend_handles
    assert (handles[0].get_label(), handles[0].get_color(), handles[0].get_marker()) == (
        "2 tracks",
        plotting.PALETTE[1],
        plotting.MARKERS[1],
    )


def test_figures_of_merit_are_written_before_anything_is_drawn(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(plotting, "page_of_events", fail)
    flags = [
        "--presets",
        "ideal",
        "--events",
        "8",
        "--finders",
        "connected",
        "--figures",
        str(tmp_path),
        "--json",
        str(tmp_path / "out.json"),
    ]
    with pytest.raises(OSError, match="disk full"):
        benchmark_clustering.main(flags)
    assert (tmp_path / "out.json").exists()


def test_two_sided_events_are_drawn_for_files(haystack_file, tmp_path):
    assert set(toyhaystack.generate(40, seed=1).hits["side"]) == {0, 1}
    folder = tmp_path / "figures"
    arguments = [
        str(haystack_file),
        "--finders",
        "connected",
        "--figures",
        str(folder),
        "--displays",
        "1",
        "--format",
        "pdf",
    ]
    benchmark_clustering.main(arguments)
    assert sorted(path.name for path in folder.iterdir()) == [
        "perfect_events.pdf",
        *(f"tracks_{n}.pdf" for n in (1, 2, 3, 4)),
    ]


def test_displays_ring_as_many_hits_as_the_figures_of_merit_count_wrong():
    events = realistic.generate(60, preset="harsh", seed=8)
    hits, labels = events.hits, connected.find(events)
    arguments = (
        events.hit_offsets,
        hits["track"],
        hits["second_track"],
        labels,
        events.info["n_tracks"],
    )
    n_right, n_hits = metrics.clustering_by_event(*arguments)["hit_accuracy"]
    for event, (start, stop) in enumerate(
        zip(events.hit_offsets[:-1], events.hit_offsets[1:], strict=True)
    ):
        own = {name: values[start:stop] for name, values in hits.items()}
        assert (
            plotting.as_found(own, labels[start:stop])["wrong"].sum()
            == n_hits[event] - n_right[event]
        )
