"""The detector's response: each effect alone against its parameter, what becomes of the labels, presets and
streams.
"""

from dataclasses import fields, replace

import numpy as np
import pytest
from conftest import assert_same
from scipy import stats

from datasets.drift import sigma_radius_mm
from datasets.events import make_events
from datasets.geometry import CELL_RADIUS_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS
from datasets.readers import hit_tree
from my_generator import __main__ as my_generator_cli
from my_generator import blocks, realistic, straight_lines, toyhaystack
from my_generator.response import PRESETS, Response, apply

EVERYTHING = replace(PRESETS["harsh"], radius_sigma_scale=1.0)


@pytest.fixture(scope="module")
def ideal():
    return straight_lines.generate(1500, seed=3)


def respond(events, seed=0, sides=(1,), **effects):
    return apply(events, Response(**effects), np.random.default_rng(seed), sides)


def single_hits(n, radius=10.0, z=100.0, side=1, layer=4, column=50):
    """n events of one hit of one track, in the same cell or in cells given as arrays."""
    values = {
        "side": side,
        "layer": layer,
        "column": column,
        "drift_radius_mm": radius,
        "z_mm": z,
        "track": 0,
    }
    hits = {name: np.broadcast_to(value, n) for name, value in values.items()}
    return make_events(
        hits,
        np.arange(n + 1),
        {"side": hits["side"]},
        np.arange(n + 1),
        {"n_tracks": np.ones(n, int)},
    )


def cells(events):
    """(hit,) number of the event and cell of each hit."""
    hits = events.hits
    return ((events.hit_event * 2 + hits["side"]) * N_LAYERS + hits["layer"]) * N_COLUMNS + hits[
        "column"
    ]


def assert_share(mask, probability):
    assert stats.binomtest(int(np.sum(mask)), len(mask), probability).pvalue > 0.001


def assert_in_order(events):
    """One hit a cell; tracks in order, noise last; as `hit_tree.write` puts them."""
    assert len(np.unique(cells(events))) == len(events.hits["layer"])
    track = np.where(events.hits["track"] < 0, 9999, events.hits["track"])
    assert (np.diff(events.hit_event * 10_000 + track) >= 0).all()


# The ideal detector -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", [straight_lines, toyhaystack])
def test_the_ideal_detector_changes_nothing(generator):
    events = generator.generate(300, tracks=(0, 1, 4), seed=2)
    rng = np.random.default_rng(0)
    assert_same(apply(events, PRESETS["ideal"], rng), events)
    assert rng.random() == np.random.default_rng(0).random()  # nothing drawn either


def test_the_events_that_go_in_stay_as_they_are(ideal):
    before = ideal[np.arange(len(ideal))]
    apply(ideal, EVERYTHING, np.random.default_rng(0))
    assert_same(ideal, before)


# Lost hits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("efficiency", [0.0, 0.5, 0.84, 0.999])
def test_as_many_cells_fire_as_are_efficient(ideal, efficiency):
    fired = respond(ideal, efficiency=efficiency)
    assert_share(np.isin(cells(ideal), cells(fired)), efficiency)
    assert np.isin(cells(fired), cells(ideal)).all()


def test_hits_that_are_left_are_unchanged(ideal):
    fired = respond(ideal, efficiency=0.7)
    left = np.isin(cells(ideal), cells(fired))
    for name in ideal.hits:
        np.testing.assert_array_equal(fired.hits[name], ideal.hits[name][left], err_msg=name)


def test_tracks_without_hits_stay_tracks(ideal):
    dark = respond(ideal, efficiency=0.0)
    assert len(dark) == len(ideal) and not dark.n_hits.any()
    np.testing.assert_array_equal(dark.info["n_tracks"], ideal.info["n_tracks"])
    np.testing.assert_array_equal(dark.track_offsets, ideal.track_offsets)


def test_the_share_of_dead_cells_is_that_asked_for(ideal):
    for seed in range(3):
        fired = respond(ideal, seed, dead_cells=0.2)
        cell = cells(ideal) % (N_LAYERS * N_COLUMNS)
        alive = np.zeros(N_LAYERS * N_COLUMNS, int)
        alive[cells(fired) % (N_LAYERS * N_COLUMNS)] = 1
        assert (
            np.isin(cells(ideal), cells(fired)).sum() == alive[cell].sum()
        )  # a cell is dead in all events or in none
        assert len(np.unique(cell)) == 1017
        assert_share(alive == 0, 0.2)


def test_dead_cells_of_a_map_never_fire_whatever_happens(ideal):
    dead = np.random.default_rng(1).random((2, 9, 113)) < 0.3
    events = respond(
        ideal, sides=(0, 1), dead_cells=dead, cross_talk=0.5, noise_hits=20.0, efficiency=0.9
    )
    in_dead = dead[events.hits["side"], events.hits["layer"], events.hits["column"]]
    assert not in_dead.any()
    alive = ~dead[ideal.hits["side"], ideal.hits["layer"], ideal.hits["column"]]
    assert_same(respond(ideal, dead_cells=dead), ideal.keep_hits(alive))


def test_a_detector_of_dead_cells_sees_nothing(ideal):
    events = respond(ideal, sides=(0, 1), dead_cells=1.0, cross_talk=1.0, noise_hits=20.0)
    assert len(events) == len(ideal) and not len(events.hits["layer"])


# Radii ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [8.0, 12.25, 20.0, 30.0])
@pytest.mark.parametrize(
    "effects, sigma",
    [({"radius_sigma_mm": 1.5}, lambda r: 1.5), ({"radius_sigma_scale": 1.5}, None)],
)
def test_radii_scatter_as_asked_for(radius, effects, sigma):
    expected = sigma(radius) if sigma else 1.5 * sigma_radius_mm(radius)
    measured = respond(single_hits(40_000, radius), **effects).hits["drift_radius_mm"].astype(float)
    assert measured.std() == pytest.approx(expected, rel=0.02)
    assert measured.mean() == pytest.approx(radius, abs=0.025 * expected)
    assert stats.kstest((measured - radius) / expected, "norm").pvalue > 0.001


def test_both_errors_of_the_radius_add_in_quadrature():
    measured = respond(
        single_hits(40_000, 12.25), radius_sigma_mm=0.425, radius_sigma_scale=2.0
    ).hits["drift_radius_mm"]
    assert measured.std() == pytest.approx(0.425 * np.sqrt(5), rel=0.02)


@pytest.mark.parametrize("effects", [{"radius_sigma_mm": 30.0}, {"radius_sigma_scale": 40.0}])
def test_radii_stay_within_the_range_of_the_table(ideal, effects):
    radius = respond(ideal, **effects).hits["drift_radius_mm"]
    assert radius.min() >= 0 and radius.max() == 50 and radius.dtype == np.float32
    assert not np.isnan(radius).any()


def test_a_radius_below_zero_is_reflected():
    measured = respond(single_hits(40_000, 0.0), radius_sigma_mm=2.0).hits["drift_radius_mm"]
    assert stats.kstest(measured / 2.0, stats.halfnorm.cdf).pvalue > 0.001


def test_unknown_radii_and_heights_stay_unknown():
    unknown = single_hits(2000, np.nan, np.nan)
    events = respond(unknown, radius_sigma_scale=1.0, height_sigma_mm=10.0, cross_talk=0.5)
    assert len(events.hits["layer"]) > 2900
    assert np.isnan(events.hits["drift_radius_mm"]).all() and np.isnan(events.hits["z_mm"]).all()


# Heights ----------------------------------------------------------------------------------------------------


def test_heights_scatter_as_asked_for():
    measured = (
        respond(single_hits(40_000, z=-700.0), height_sigma_mm=15.0).hits["z_mm"].astype(float)
    )
    assert stats.kstest(
        (measured + 700) / 15, "norm"
    ).pvalue > 0.001 and measured.std() == pytest.approx(15, rel=0.02)
    assert respond(single_hits(10), height_sigma_mm=15.0).hits["z_mm"].dtype == np.float32


@pytest.mark.parametrize("missing", [0.12, 0.3, 1.0])
def test_as_many_heights_are_missing_as_asked_for(ideal, missing):
    events = respond(ideal, heights_missing=missing)
    lost = np.isnan(events.hits["z_mm"])
    assert_share(lost, missing)
    np.testing.assert_array_equal(events.hits["z_mm"][~lost], ideal.hits["z_mm"][~lost])
    np.testing.assert_array_equal(events.hits["drift_radius_mm"], ideal.hits["drift_radius_mm"])


def test_heights_stay_within_the_range_of_the_table(ideal):
    z = respond(ideal, height_sigma_mm=1e4).hits["z_mm"]
    assert z.min() == -2000 and z.max() == 2000


# Cross-talk -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.03, 0.4, 1.0])
def test_fired_cells_set_off_neighbours_as_often_as_asked_for(probability):
    events = respond(single_hits(20_000), cross_talk=probability)
    assert_share(events.n_hits == 2, probability)
    assert events.n_hits.max() <= 2


def test_cross_talk_goes_to_the_four_cells_next_to_the_hit_alike():
    events = respond(single_hits(20_000, side=0), cross_talk=1.0)
    source, other = np.arange(0, 40_000, 2), np.arange(1, 40_000, 2)
    assert (events.hits["track"][source] == 0).all() and (events.hits["track"][other] == -1).all()
    steps = np.stack(
        [events.hits[name][other] - events.hits[name][source] for name in ("layer", "column")], 1
    )
    found, counts = np.unique(steps, axis=0, return_counts=True)
    assert found.tolist() == [[-1, 0], [0, -1], [0, 1], [1, 0]]
    assert stats.chisquare(counts).pvalue > 0.001
    for name in ("side", "drift_radius_mm", "z_mm"):  # same place along the wire, same time
        np.testing.assert_array_equal(events.hits[name][other], events.hits[name][source])
    assert set(events.hits["second_track"]) == {-1} and set(events.hits["segment"]) == {0}


@pytest.mark.parametrize(
    "layer, column, inside",
    [(0, 50, {(1, 50)}), (8, 50, {(7, 50)}), (4, 0, {(4, 1)}), (0, 112, {(1, 112), (0, 111)})],
)
def test_at_the_edge_of_the_tracker_the_neighbour_on_the_other_side_fires_instead(
    layer, column, inside
):
    events = respond(single_hits(4000, layer=layer, column=column), cross_talk=1.0)
    assert set(events.n_hits) == {2}
    other = events.hits["track"] == -1
    found = set(
        zip(
            events.hits["layer"][other].tolist(), events.hits["column"][other].tolist(), strict=True
        )
    )
    around = {(layer - 1, column), (layer + 1, column), (layer, column - 1), (layer, column + 1)}
    assert (
        found == {(la, c) for la, c in around if 0 <= la < 9 and 0 <= c < 113} and found >= inside
    )


def test_cross_talk_hits_are_measured_on_their_own():
    events = respond(
        single_hits(20_000),
        cross_talk=1.0,
        radius_sigma_mm=1.0,
        height_sigma_mm=10.0,
        heights_missing=0.2,
    )
    radius, z = (events.hits[name].reshape(-1, 2) for name in ("drift_radius_mm", "z_mm"))
    assert np.diff(radius).std() == pytest.approx(np.sqrt(2), rel=0.03) and np.nanstd(
        np.diff(z)
    ) == pytest.approx(10 * np.sqrt(2), rel=0.03)
    assert_share(np.isnan(z).all(1), 0.04)


def test_cross_talk_of_whole_events_is_next_to_a_hit(ideal):
    events = respond(ideal, cross_talk=0.2)
    assert_in_order(events)
    assert np.isin(cells(ideal), cells(events)).all()
    other = np.flatnonzero(events.hits["track"] < 0)
    assert len(other) > 5000
    hits = {
        name: values[other].astype(int)
        for name, values in events.hits.items()
        if name in ("layer", "column")
    }
    fired = np.zeros((len(ideal), 11, 115), bool)
    fired[ideal.hit_event, ideal.hits["layer"] + 1, ideal.hits["column"] + 1] = True
    event = events.hit_event[other]
    near = [
        fired[event, hits["layer"] + 1 + i, hits["column"] + 1 + j]
        for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1))
    ]
    assert np.any(near, 0).all() and not fired[event, hits["layer"] + 1, hits["column"] + 1].any()


def test_cells_that_did_not_fire_set_off_nothing():
    assert not respond(single_hits(100), cross_talk=1.0, efficiency=0.0).n_hits.any()


# Noise ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.3, 1.5, 4.0])
def test_noise_hits_are_poisson_distributed(mean):
    n_hits = respond(make_events({}, np.zeros(20_001, int)), noise_hits=mean).n_hits
    assert n_hits.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / 20_000))
    counts = np.bincount(n_hits.clip(max=9), minlength=10)
    expected = 20_000 * np.append(stats.poisson.pmf(np.arange(9), mean), stats.poisson.sf(8, mean))
    good = expected > 5
    # a cell hit twice by noise is one hit: 0.7 % of events at a mean of 4
    assert np.abs(counts - expected)[good].max() < 4 * np.sqrt(expected.max()) + 150 * (mean > 3)


@pytest.mark.parametrize("sides", [(1,), (0,), (0, 1)])
def test_noise_is_uniform_over_the_cells_in_use(sides):
    hits = respond(make_events({}, np.zeros(5001, int)), sides=sides, noise_hits=8.0).hits
    assert set(hits["side"]) == set(sides)
    assert_share(hits["side"] == sides[0], 1 / len(sides))
    assert stats.chisquare(np.bincount(hits["layer"], minlength=9)).pvalue > 0.001
    assert stats.chisquare(np.bincount(hits["column"], minlength=113)).pvalue > 0.001
    assert stats.kstest(hits["z_mm"] / HALF_HEIGHT_MM, stats.uniform(-1, 2).cdf).pvalue > 0.001
    assert stats.kstest(hits["drift_radius_mm"] / CELL_RADIUS_MM, "uniform").pvalue > 0.001
    assert set(hits["track"]) == set(hits["second_track"]) == {-1} and set(hits["segment"]) == {0}


def test_noise_comes_on_top_of_the_hits_of_tracks(ideal):
    events = respond(ideal, noise_hits=4.0)
    assert_in_order(events)
    noisy = events.hits["track"] < 0
    assert noisy.sum() / len(ideal) == pytest.approx(4 * (1 - ideal.n_hits.mean() / 1017), rel=0.05)
    kept = events.keep_hits(~noisy)
    np.testing.assert_array_equal(cells(kept), cells(ideal))
    for name in ("track", "second_track", "segment"):
        np.testing.assert_array_equal(kept.hits[name], ideal.hits[name], err_msg=name)


def test_noise_nearer_to_the_wire_gives_its_radius_to_the_track_s_hit():
    far, near = (respond(single_hits(300, radius), noise_hits=1000.0) for radius in (22.0, 0.0))
    for events, changed in ((far, True), (near, False)):
        mine = events.hits["track"] == 0
        assert (
            mine.sum() == 300
            and (mine == np.isin(np.arange(len(mine)), events.hit_offsets[:-1])).all()
        )
        radius, z = events.hits["drift_radius_mm"][mine], events.hits["z_mm"][mine]
        assert (radius < 22).mean() == (
            pytest.approx(1 - np.exp(-1000 / 1017), abs=0.1) if changed else 1
        )
        assert ((z != 100) == (radius < 22) if changed else z == 100).all()


# All at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_what_comes_out_is_a_table(ideal, name):
    events = apply(ideal, PRESETS[name], np.random.default_rng(1))
    assert_same(
        make_events(
            events.hits, events.hit_offsets, events.tracks, events.track_offsets, events.info
        ),
        events,
    )
    assert_in_order(events)


def test_hits_of_tracks_keep_their_owners_and_segments():
    ideal = straight_lines.generate(1000, seed=4, kink_probability=0.3)
    events = apply(ideal, EVERYTHING, np.random.default_rng(0))
    mine = events.hits["track"] >= 0
    by_cell = {cell: i for i, cell in enumerate(cells(ideal).tolist())}
    before = np.array([by_cell[cell] for cell in cells(events)[mine].tolist()])
    for name in ("track", "second_track", "segment"):
        np.testing.assert_array_equal(
            events.hits[name][mine], ideal.hits[name][before], err_msg=name
        )


@pytest.mark.parametrize("name", ["data", "harsh"])
def test_presets_do_what_they_say(ideal, name):
    preset = PRESETS[name]
    events = apply(ideal, preset, np.random.default_rng(2))
    fired = np.isin(cells(ideal), cells(events.keep_hits(events.hits["track"] >= 0)))
    assert fired.mean() == pytest.approx(preset.efficiency * 0.98, abs=0.02)
    assert np.isnan(events.hits["z_mm"]).mean() == pytest.approx(preset.heights_missing, abs=0.01)
    unowned = (events.hits["track"] < 0).sum() / len(events)
    assert (
        preset.noise_hits < unowned + 0.5
        and unowned < preset.noise_hits + 0.03 * ideal.n_hits.mean() + 0.5
    )


def test_the_presets_are_the_documented_ones():
    assert list(PRESETS) == ["ideal", "simulation", "data", "harsh"]
    assert PRESETS["simulation"] == Response(radius_sigma_scale=1.0, height_sigma_mm=10.0)
    data, harsh = PRESETS["data"], PRESETS["harsh"]
    different = {
        f.name for f in fields(Response) if getattr(data, f.name) != getattr(harsh, f.name)
    }
    assert different == {
        "efficiency",
        "noise_hits",
        "radius_sigma_scale",
        "radius_sigma_mm",
        "height_sigma_mm",
        "heights_missing",
    }
    assert (
        data.kinks
        == harsh.kinks
        == {
            "kink_probability": 0.15,
            "kink_degrees": (5, 25),
            "kink_layers": (3, 6),
            "max_kinks": 1,
        }
    )


@pytest.mark.parametrize("name", PRESETS)
def test_events_without_hits_and_no_events_pass(name):
    rng = np.random.default_rng(0)
    empty = apply(make_events({}, [0]), PRESETS[name], rng)
    assert len(empty) == 0
    three = apply(
        make_events({}, [0] * 4, {}, [0, 1, 1, 3], {"n_tracks": [1, 0, 2]}), PRESETS[name], rng
    )
    assert (
        len(three) == 3
        and three.info["n_tracks"].tolist() == [1, 0, 2]
        and (three.hits["track"] == -1).all()
    )


def test_the_random_generator_alone_decides(ideal):
    one, same, other = (apply(ideal, EVERYTHING, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert_same(one, same)
    assert not np.array_equal(one.n_hits, other.n_hits)


@pytest.mark.parametrize(
    "name, value",
    [
        ("efficiency", 1.1),
        ("efficiency", -0.1),
        ("dead_cells", 2.0),
        ("cross_talk", np.nan),
        ("kink_probability", -1.0),
    ]
    + [
        ("noise_hits", -1.0),
        ("radius_sigma_mm", -0.1),
        ("radius_sigma_scale", np.inf),
        ("height_sigma_mm", np.nan),
    ],
)
def test_impossible_responses_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        Response(**{name: value})


def test_maps_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 9, 113\), not \(9, 113\)"):
        Response(dead_cells=np.zeros((9, 113), bool))


# Streams ----------------------------------------------------------------------------------------------------


def test_the_ideal_stream_is_that_of_the_generator():
    for kind, generator in (("my_generator", straight_lines), ("toyhaystack", toyhaystack)):
        events = generator.generate(100, seed=[3, 1], first_event=50)
        assert_same(
            realistic.generate(100, preset="ideal", seed=[3, 1], first_event=50, kind=kind), events
        )


@pytest.mark.parametrize("kind", realistic.KINDS)
def test_any_realistic_event_can_be_made_again_alone(kind):
    start = blocks.BLOCK - 3
    events = realistic.generate(blocks.BLOCK + 10, seed=[4, 2], kind=kind)
    assert events.info["event"].tolist() == list(range(blocks.BLOCK + 10))
    assert_same(
        realistic.generate(6, seed=[4, 2], first_event=start, kind=kind), events[start : start + 6]
    )
    for i in (0, start + 3):
        assert_same(realistic.generate(1, seed=[4, 2], first_event=i, kind=kind), events[i])


def test_a_generator_of_a_preset_makes_the_same_events():
    make = realistic.generator("harsh", tracks=(2, 3), kinks=0.5)
    assert_same(
        make(50, seed=[1, 0], first_event=20),
        realistic.generate(50, (2, 3), "harsh", [1, 0], 20, kinks=0.5),
    )
    assert make.__module__ == "my_generator.realistic"  # for the card


def test_the_share_of_kinks_is_the_preset_s_or_the_one_asked_for():
    assert realistic.generate(2048).tracks["kinked"].mean() == pytest.approx(0.15, abs=0.02)
    assert realistic.generate(2048, kinks=0.5).tracks["kinked"].mean() == pytest.approx(
        0.5, abs=0.03
    )
    assert not realistic.generate(200, kinks=0).tracks["kinked"].any()
    assert not realistic.generate(200, preset="simulation").tracks["kinked"].any()


def test_a_response_of_one_s_own_takes_the_place_of_a_preset():
    events = realistic.generate(200, preset=Response(heights_missing=1.0), seed=1)
    np.testing.assert_array_equal(
        events.hits["column"], straight_lines.generate(200, seed=1).hits["column"]
    )
    assert np.isnan(events.hits["z_mm"]).all()


def test_the_haystack_has_no_kinks():
    assert not realistic.generate(100, kind="toyhaystack").tracks["kinked"].any()
    assert set(
        realistic.generate(100, tracks=0, preset="harsh", kind="toyhaystack").hits["side"]
    ) == {0, 1}
    with pytest.raises(ValueError, match="toyhaystack has no kinks"):
        realistic.generate(100, kind="toyhaystack", kinks=0.1)


def test_realistic_events_are_written_and_read_back(tmp_path):
    events = realistic.generate(500, tracks=(0, 1, 4), preset="harsh", seed=1)
    hit_tree.write(tmp_path / "a.root", events)
    assert_same(hit_tree.read(tmp_path / "a.root"), events)


def test_the_command_writes_realistic_events(tmp_path):
    command = [
        "--tracks",
        "3",
        "--events",
        "30",
        "--seed",
        "4",
        "--response",
        "data",
        "--kinks",
        "0.6",
        "--out",
        str(tmp_path),
    ]
    my_generator_cli.main(command)
    events = hit_tree.read(tmp_path / "my_generator_t3_0.root")
    assert_same(events, realistic.generate(30, 3, "data", [4, 3, 0], kinks=0.6))


@pytest.mark.parametrize(
    "flags",
    [["--kinks", "1.5"], ["--kinks", "0.1", "--kind", "toyhaystack"], ["--response", "none"]],
)
def test_the_command_refuses_what_it_can_not_do(tmp_path, flags, capsys):
    with pytest.raises(SystemExit):
        my_generator_cli.main([*flags, "--out", str(tmp_path)])
    assert flags[0] in capsys.readouterr().err
