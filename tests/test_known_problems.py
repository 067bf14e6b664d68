"""What misled counters on real data: isolated hits, and unknown heights at z = 0.

Parts, shipped models and the scripts that measure it.
"""

import json

import numpy as np
import pytest
from conftest import assert_same

import inference
import lib
from datasets import filters, views
from my_generator import realistic, straight_lines, toyhaystack
from my_generator.response import PRESETS, Response, apply
from scripts import effects, known_problems, number_of_tracks_classification

CLEAN = {1: straight_lines.generate(300, seed=11), 2: toyhaystack.generate(300, seed=11)}


@pytest.mark.parametrize("n_sides", CLEAN)
def test_the_hit_that_is_added_is_isolated_and_on_a_side_in_use(n_sides):
    clean = CLEAN[n_sides]
    events = known_problems.with_isolated_hit(clean, (0, 1)[-n_sides:], np.random.default_rng(0))
    added = events.hits["track"] == -1
    np.testing.assert_array_equal(np.bincount(events.hit_event[added], minlength=300), 1)
    assert filters.isolated(events)[added].all()
    assert set(events.hits["side"][added]) == set(clean.hits["side"])
    assert_same(events.keep_hits(~added), clean)


def test_added_hits_are_spread_over_the_tracker():
    hits = known_problems.with_isolated_hit(
        straight_lines.generate(4000, tracks=0), (0, 1), np.random.default_rng(1)
    ).hits
    for name, n in (("side", 2), ("layer", 9), ("column", 113)):
        counts = np.bincount(hits[name], minlength=n)
        assert len(counts) == n and (np.abs(counts - 4000 / n) < 5 * np.sqrt(4000 / n)).all()


def test_the_filter_removes_exactly_the_added_hits_of_clean_events():
    events = known_problems.with_isolated_hit(CLEAN[1], (1,), np.random.default_rng(2))
    assert_same(events.keep_hits(~filters.isolated(events)), CLEAN[1])


@pytest.mark.parametrize("view", ["side", "front"])
def test_missing_heights_only_darken_pixels_and_zeros_light_some_up(view):
    missing = apply(CLEAN[1], Response(heights_missing=0.3), np.random.default_rng(3))
    clean, absent, zero = (
        views.images(events, (view,))[view]
        for events in (CLEAN[1], missing, known_problems.heights_as_zero(missing))
    )
    assert (absent <= clean).all() and absent.sum() < clean.sum()
    assert (zero >= absent).all()
    only_with_zero = np.nonzero(zero > clean)
    assert len(np.unique(only_with_zero[0])) > 200  # of 300 events
    assert len(np.unique(only_with_zero[1])) == 1  # all of them in the one row of z = 0


def test_a_hit_without_a_height_changes_neither_the_side_nor_the_front_view():
    events = known_problems.with_isolated_hit(CLEAN[2], (0, 1), np.random.default_rng(4))
    events.hits["z_mm"][events.hits["track"] == -1] = np.nan
    names = ("side", "front")
    with_hit, without = views.images(events, names, 2), views.images(CLEAN[2], names, 2)
    for name in names:
        np.testing.assert_array_equal(with_hit[name], without[name])


def counters(views_seen):
    """Names of shipped counters of tracks on one side, of these views."""
    return [
        name
        for view in views_seen
        for name in (f"{view}_my_generator", f"{view}_realistic")
        if name in lib.shipped_models()
    ]


@pytest.fixture(scope="module")
def shares():
    """Name of a shipped counter -> its shares by kind of events and filter; each is measured once."""
    measured = {}

    def of(name):
        if name not in measured:
            kinds = known_problems.kinds_of_events(
                straight_lines.generate(400, seed=[2026, 12]), 0.3, seed=1
            )
            network = inference.load(name)
            with_hit = kinds["one isolated hit added"]
            removed = with_hit.keep_hits(~filters.isolated(with_hit))
            kinds["one isolated hit added, removed"] = removed
            measured[name] = {
                kind: known_problems.scores_of(network, events) for kind, events in kinds.items()
            }
        return measured[name]

    return of


@pytest.mark.parametrize("name", counters(("top", "side", "front", "combined")))
def test_an_isolated_hit_that_is_removed_counts_as_no_track(name, shares):
    assert shares(name)["one isolated hit added, removed"] == shares(name)["clean"]


@pytest.mark.parametrize("name", counters(("side", "front", "combined")))
def test_absent_heights_make_fewer_extra_tracks_than_zeros(name, shares):
    over = {kind: score["over"]["share"] for kind, score in shares(name).items()}
    assert over["30 % of heights missing"] < over["30 % of heights set to 0"] / 2


REALISTIC = [
    n
    for n in counters(("top", "side", "front", "combined"))
    if lib.load_card(n)["arguments"]["generator"].endswith("mix")
]


@pytest.mark.parametrize("name", REALISTIC)
def test_counters_trained_on_realistic_events_are_not_misled_even_without_a_filter(name, shares):
    over = {kind: score["over"]["share"] for kind, score in shares(name).items()}
    for kind in ("one isolated hit added", "30 % of heights missing"):
        limit = (
            0.1 if name.startswith("front") else 0.05
        )  # in the front view a lone hit can look like a steep track
        assert over[kind] < over["clean"] + limit


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Counters that know nothing: front views of one tracker side and of two."""
    folder = tmp_path_factory.mktemp("untrained")
    for n_sides in (1, 2):
        number_of_tracks_classification.build("front", "small", (30, 9, n_sides)).save(
            folder / f"front{n_sides}.keras"
        )
    return [str(folder / f"front{n_sides}.keras") for n_sides in (1, 2)]


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_known_problems_are_tabulated_and_drawn(untrained, suffix, tmp_path, capsys):
    out = tmp_path / "figures" / f"problems.{suffix}"
    results = known_problems.main(
        [*untrained, "--events", "20", "--out", str(out), "--json", str(tmp_path / "out.json")]
    )
    assert out.stat().st_size > 1000
    assert json.loads((tmp_path / "out.json").read_text())["shares"] == results
    assert list(results) == untrained
    for scores in results.values():
        assert len(scores) == 8
        for shares in scores.values():
            assert sum(score["share"] for score in shares.values()) == pytest.approx(1)
            assert all(
                low <= score["share"] <= high
                for score in shares.values()
                for low, high in [score["interval"]]
            )
    assert len(capsys.readouterr().out.splitlines()) == 10


def test_effects_are_measured_with_and_without_heights_and_isolated_hits(untrained, tmp_path):
    results = effects.main([*untrained, "--events", "20", "--json", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text())["accuracy"] == results
    assert {f"`{preset}` without heights" for preset in PRESETS} < set(results)
    assert all(
        len(scores) == 4 and all(score["n_events"] == 20 for score in scores.values())
        for scores in results.values()
    )


@pytest.mark.parametrize("script", [effects, known_problems])
def test_a_counter_of_segments_is_not_measured_by_tracks(script, untrained, tmp_path, monkeypatch):
    monkeypatch.setattr(lib, "task_of", lambda name: ("segments", ""))
    with pytest.raises(ValueError, match=f"{untrained[0]} counts segments"):
        script.main(
            [
                *untrained,
                "--events",
                "2",
                *(["--out", str(tmp_path / "out.png")] if script is known_problems else []),
            ]
        )


@pytest.mark.parametrize(
    "flags",
    [
        ["--events", "0"],
        ["--seed", "-1"],
        ["--out", "x.foo"],
        ["--out", "x"],
        ["--heights-missing", "1.5"],
    ],
)
def test_wrong_flags_are_refused_at_once(flags, untrained):
    with pytest.raises(SystemExit):
        known_problems.main([*untrained, "--out", "x.png", *flags])
    if flags[0] in ("--events", "--seed"):
        with pytest.raises(SystemExit):
            effects.main([*untrained, *flags])


def test_the_axis_ends_past_all_bars_but_those_of_heights_set_to_zero():
    low, high = (
        {"right": {"share": share, "interval": [share - 0.02, share + 0.02]}}
        for share in (0.92, 0.4)
    )
    results = {"mine": {"clean | none": low, "30 % of heights set to 0 | none": high}}
    assert known_problems.axis_end(results) == pytest.approx(11)
    assert known_problems.axis_end({"mine": {"clean | none": high}}) == pytest.approx(68.2)


@pytest.mark.parametrize("preset", PRESETS)
def test_events_without_heights_are_otherwise_those_of_the_preset(preset):
    events = realistic.generate(
        50, preset=effects.responses()[f"`{preset}` without heights"], seed=6
    )
    same = realistic.generate(50, preset=preset, seed=6)
    assert np.isnan(events.hits["z_mm"]).all()
    events.hits["z_mm"] = same.hits["z_mm"]
    assert_same(events, same)
