import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, optimize
from sklearn.cluster import DBSCAN

from datasets.events import concatenate, make_events
from datasets.geometry import CELL_MM, MIDDLE_COLUMN, N_COLUMNS, N_LAYERS
from finding import connected, density, hough, peeling, ransac
from finding import segments as seg
from finding.foil import foil_rule
from finding.labels import Hits, count_tracks, finder_hits, number_tracks
from fitting.lines import Lines
from my_generator import realistic
from scripts import tune_baselines

FINDERS = {
    "connected": connected.find,
    "dbscan": density.find,
    "hdbscan": density.find_hdbscan,
    "hough": hough.find,
    "ransac_cells": ransac.find_cells,
    "ransac": ransac.find,
}
LINE_FINDERS = ("hough", "ransac_cells", "ransac")
every_finder = pytest.mark.parametrize("find", FINDERS.values(), ids=FINDERS.keys())
line_finders = pytest.mark.parametrize(
    "find", [FINDERS[name] for name in LINE_FINDERS], ids=LINE_FINDERS
)


def line_hits(y0, slope, z0=0.0, slope_z=0.0, layers=(0, 8), side=1):
    """Hits of the line y = y0 + slope x, z = z0 + slope_z x (mm): of all cells, those in whose square the
    nearest point to the wire is.
    """
    layer, column = (grid.ravel() for grid in np.mgrid[layers[0] : layers[1] + 1, :N_COLUMNS])
    x, y = 22 + CELL_MM * layer, CELL_MM * (column - MIDDLE_COLUMN)
    nearest_x = (x + slope * (y - y0)) / (1 + slope**2)
    nearest_y, z = y0 + slope * nearest_x, z0 + slope_z * nearest_x
    dx, dy = nearest_x - x, nearest_y - y
    fired = (np.maximum(np.abs(dx), np.abs(dy)) < 22) & (np.abs(z) < 1550)
    values = {
        "layer": layer,
        "column": column,
        "drift_radius_mm": np.hypot(dx, dy),
        "z_mm": z,
        "side": np.full(len(x), side),
    }
    return {name: array[fired] for name, array in values.items()}


def event(*lines, noise=()):
    """One event of the lines, dicts of hits; each is a track; noise: (layer, column, radius, z)."""
    names = ("layer", "column", "drift_radius_mm", "z_mm")
    noise = dict(zip(names, np.array(noise, float).reshape(-1, 4).T, strict=True)) | {
        "side": np.ones(len(noise))
    }
    hits = {
        name: np.concatenate([line[name] for line in (*lines, noise)]) for name in (*names, "side")
    }
    counts = [len(line["layer"]) for line in lines]
    hits["track"] = np.concatenate(
        [np.repeat(np.arange(len(lines)), counts), np.full(len(noise["layer"]), -1)]
    )
    return make_events(
        hits,
        [0, len(hits["layer"])],
        {"side": np.ones(len(lines))},
        [0, len(lines)],
        {"n_tracks": [len(lines)]},
    )


def same_partition(labels, other):
    return (
        len(np.unique(np.stack([labels, other]), axis=1).T)
        == len(np.unique(labels))
        == len(np.unique(other))
    )


def data_events(n=30):
    return realistic.generate(n, preset="data", seed=11)


def test_all_finders_work_in_one_frame():
    cells = {"layer": [0, 8, 3], "column": [MIDDLE_COLUMN, 0, 112], "side": [0, 1, 1]}
    hits, order = finder_hits(make_events(cells, [0, 3]))
    assert order.tolist() == [0, 2, 1]
    assert hits.x.tolist() == [22.0, 22 + 3 * 44, 22 + 8 * 44]
    assert hits.y.tolist() == [0.0, 56 * 44, -56 * 44]


@every_finder
@pytest.mark.parametrize("slope", [0.0, -0.7, 3.0])
def test_a_clean_line_is_found_whole(find, slope):
    events = event(line_hits(10.0, slope, 100.0, 0.5))
    np.testing.assert_array_equal(find(events), 0)


@line_finders
def test_two_lines_that_cross_are_two_tracks(find):
    events = event(line_hits(-100, 0.6, 600, -0.5), line_hits(100, -0.6, -300, 0.5))
    labels = find(events)
    assert count_tracks(events, labels) == 2
    assert same_partition(labels, events.hits["track"])


@every_finder
def test_events_without_hits_and_with_one_hit_give_no_track(find):
    lone = {"layer": [3], "column": [40], "drift_radius_mm": [5.0], "z_mm": [0.0]}
    labels = find(make_events(lone, [0, 0, 1, 1]))
    assert labels.dtype == np.int16
    np.testing.assert_array_equal(labels, [-1])
    assert find(make_events({}, [0])).shape == (0,)
    assert find(make_events({}, [0, 0, 0])).shape == (0,)


@every_finder
def test_labels_do_not_depend_on_the_other_events(find):
    events = data_events()
    labels = find(events)
    order = np.random.default_rng(1).permutation(len(events))[:20]
    shuffled = find(events[order])
    expected = np.concatenate(
        [labels[events.hit_offsets[i] : events.hit_offsets[i + 1]] for i in order]
    )
    np.testing.assert_array_equal(shuffled, expected)


@every_finder
def test_found_tracks_do_not_depend_on_the_order_of_hits(find):
    events = data_events(1)
    order = np.random.default_rng(2).permutation(len(events.hits["layer"]))
    shuffled = make_events(
        {name: values[order] for name, values in events.hits.items()}, events.hit_offsets
    )
    assert same_partition(find(shuffled), find(events)[order])


@every_finder
def test_labels_count_from_zero_in_each_event(find):
    events = data_events()
    labels = find(events)
    for start, stop in zip(events.hit_offsets[:-1], events.hit_offsets[1:], strict=True):
        found = np.unique(labels[start:stop][labels[start:stop] >= 0])
        np.testing.assert_array_equal(found, np.arange(len(found)))


@every_finder
def test_noise_far_from_a_line_is_left_out(find):
    events = event(line_hits(0, 0.3), noise=[(2, 5, 10.0, 900.0), (5, 100, 3.0, -200.0)])
    labels = find(events)
    np.testing.assert_array_equal(labels[events.hits["track"] < 0], -1)
    np.testing.assert_array_equal(labels[events.hits["track"] == 0], 0)


@every_finder
def test_sides_never_share_a_track(find):
    # the same cells on both sides: one line through the foil
    events = event(line_hits(0, 0.3, side=0), line_hits(0, 0.3, side=1))
    labels = find(events)
    np.testing.assert_array_equal(labels, events.hits["track"])


@line_finders
def test_a_seed_gives_the_same_labels(find):
    events = data_events()
    np.testing.assert_array_equal(find(events), find(events))


def test_another_seed_draws_other_pairs_but_finds_a_clear_line_too():
    events = event(line_hits(0, 0.3), line_hits(800, -1.0))
    for seed in range(5):
        assert same_partition(ransac.find(events, seed=seed), events.hits["track"])


@every_finder
def test_a_line_is_found_with_missing_heights_and_radii(find):
    events = event(line_hits(10.0, 0.5, 100.0, 0.5))
    n = len(events.hits["layer"])
    events.hits["z_mm"][::3] = np.nan
    events.hits["drift_radius_mm"][1:n:4] = np.nan
    np.testing.assert_array_equal(find(events), 0)


@every_finder
@pytest.mark.parametrize("name", ["z_mm", "drift_radius_mm"])
def test_a_line_is_found_without_any_height_or_radius(find, name):
    events = event(line_hits(10.0, 0.5, 100.0, 0.5))
    events.hits[name][:] = np.nan
    np.testing.assert_array_equal(find(events), 0)


@pytest.mark.parametrize("find", [ransac.find, hough.find])
def test_a_kinked_track_is_one_track_unless_segments_are_asked_for(find):
    # both lines meet at x = 198 mm, the wires of layer 4, and turn by 13 degrees there
    before, after = (
        line_hits(-300, 2.0, 0, 1.5, layers=(0, 4)),
        line_hits(-300 + 198 * (2 - 4), 4.0, 0, 1.5, layers=(4, 8)),
    )
    events = event(before, after)
    np.testing.assert_array_equal(find(events), 0)
    assert count_tracks(events, find(events, kinks=None)) == 2


def test_hypotheses_touch_both_circles_on_all_four_ways():
    one = ransac._Padded(*np.array([22.0, 0.0, 5.0, 100.0], np.float32).reshape(4, 1, 1, 1))
    other = ransac._Padded(
        *np.array([22 + 3 * 44.0, 88.0, 15.0, 300.0], np.float32).reshape(4, 1, 1, 1)
    )
    hypotheses = ransac._hypotheses(one, other, use_radii=True)
    assert hypotheses.d.shape == (1, 4)
    np.testing.assert_allclose(np.hypot(hypotheses.cos, hypotheses.sin), 1, rtol=1e-5)
    lines = hypotheses.lines(0, np.arange(4))
    assert ((lines.phi_rad >= -np.pi) & (lines.phi_rad <= 0)).all()
    sides = []
    for hit in (one, other):
        x, y = hit.x.item(), hit.y.item()
        distance = lines.distance_mm(np.arange(4), x, y)
        np.testing.assert_allclose(np.abs(distance), hit.radius.item(), atol=1e-3)
        np.testing.assert_allclose(lines.z_at(np.arange(4), x, y), hit.z.item(), atol=1e-2)
        before = hypotheses.cos * x + hypotheses.sin * y - hypotheses.d
        sides.append(tuple(np.sign(before[0])))
    assert len(set(zip(*sides, strict=True))) == 4


def test_the_fit_agrees_with_scipy():
    rng = np.random.default_rng(4)
    events = event(line_hits(30.0, 0.7, 100, 0.4))
    hits, _ = finder_hits(events)
    smeared = Hits(
        hits.x,
        hits.y,
        hits.radius + rng.normal(0, 0.5, len(hits)),
        hits.z + rng.normal(0, 10, len(hits)),
        hits.group,
        2,
    )
    slope = np.arctan(0.7)
    start = Lines(
        np.array([slope - np.pi / 2]),
        np.array([-np.cos(slope) * 30]),
        np.array([np.nan]),
        np.zeros(1),
    )
    owner = np.zeros(len(hits), int)
    lines = seg.fit(start, owner, smeared, steps=10)

    def residuals(parameters):
        phi, d = parameters
        return np.abs(np.cos(phi) * hits.x + np.sin(phi) * hits.y - d) - np.abs(smeared.radius)

    best = optimize.least_squares(residuals, [start.phi_rad[0], start.d_mm[0]], x_scale=[1e-3, 1])
    assert lines.phi_rad[0] == pytest.approx(best.x[0], abs=1e-5)
    assert lines.d_mm[0] == pytest.approx(best.x[1], abs=1e-3)
    path = lines.path_mm(owner, hits.x, hits.y)
    tan_dip, z0 = np.polyfit(path, smeared.z, 1)
    np.testing.assert_allclose([lines.tan_dip[0], lines.z0_mm[0]], [tan_dip, z0], rtol=1e-6)


def test_a_line_without_hits_stays_as_it_is():
    hits, _ = finder_hits(event(line_hits(30.0, 0.7, 100, 0.4)))
    start = Lines(
        np.array([-1.0, -2.0]), np.array([5.0, 6.0]), np.array([7.0, np.nan]), np.array([0.5, 0.25])
    )
    lines = seg.fit(start, np.ones(len(hits), int), hits)
    assert lines[:1] == start[:1]


@pytest.mark.parametrize("step", [(1, 0), (0, 1), (1, 1), (1, -1)])
def test_a_row_of_wires_gives_the_same_line_wherever_it_is(step):
    """Wires on the line itself: rounding must not decide on which side they are, or where its path grows."""
    fits = []
    for first in range(10, 100, 7):
        cells = {
            "layer": 2 + step[0] * np.arange(6),
            "column": first + step[1] * np.arange(6),
            "drift_radius_mm": [15.0, 8.5, 3.5, 1.8, 7.4, 12.8],
        }
        hits, _ = finder_hits(make_events(cells, [0, 6]))
        owner = np.zeros(6, int)
        lines = seg.fit_clusters(owner, hits, 1)
        y = hits.y - hits.y.mean()
        fits.append(
            [lines.phi_rad, lines.distance_mm(owner, hits.x, hits.y), lines.path_mm(0, 0.0, y)]
        )
    for phi, distance, path in fits:
        np.testing.assert_allclose(phi, fits[0][0], atol=1e-6)
        np.testing.assert_allclose(distance, fits[0][1], atol=1e-6)
        np.testing.assert_allclose(path, fits[0][2], atol=1e-3)


def test_runs_end_at_gaps_and_short_ones_are_left_out():
    group = np.array([0, 0, 0, 0, 0, 1, 1])
    t = np.array([300.0, 0.0, 90.0, 45.0, 345.0, 0.0, 10.0])
    np.testing.assert_array_equal(
        seg.in_runs(group, t, 100.0, 3), [False, True, True, True, False, False, False]
    )
    np.testing.assert_array_equal(seg.in_runs(group, t, 100.0, 2), True)
    np.testing.assert_array_equal(
        seg.in_runs(group, t, 40.0, 2), [False, False, False, False, False, True, True]
    )


def horizontal(y, z):
    """Lines along x at constant y and z, each (line,)."""
    n = len(y)
    return Lines(np.full(n, -np.pi / 2), -np.array(y), np.array(z), np.zeros(n))


def test_a_segment_goes_on_only_beyond_the_end_of_another_and_near_it():
    limits = {"margin_mm": 50.0, "gap_mm": 150.0, "off_mm": 10.0, "height_mm": 80.0}

    def badness(y, z, start, stop):
        """Of a segment along x that goes on from one at y = 0, z = 0 that ends at x = 100."""
        lines = horizontal([0.0, y], [0.0, z])
        extent = np.array([0.0, start]), np.array([100.0, stop])
        return seg.continuation(lines, np.array([0]), np.array([1]), extent, **limits)[0]

    assert badness(0.0, 0.0, 150.0, 300.0) == pytest.approx(0)
    assert badness(5.0, 40.0, 150.0, 300.0) == pytest.approx(1)
    assert badness(11.0, 0.0, 150.0, 300.0) == np.inf
    assert badness(0.0, 81.0, 150.0, 300.0) == np.inf
    assert badness(0.0, 0.0, 260.0, 400.0) == np.inf
    assert badness(0.0, 0.0, 40.0, 300.0) == np.inf
    assert badness(0.0, np.nan, 150.0, 300.0) == pytest.approx(0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 4)), max_size=40), st.integers(1, 4))
def test_numbered_tracks_are_the_large_clusters(pairs, min_hits):
    pairs = sorted(pairs, key=lambda pair: pair[0])
    of, cluster = np.array(pairs, int).reshape(-1, 2).T
    labels = number_tracks(np.where(cluster >= 0, of * 10 + cluster, -1), of, min_hits)
    for number in range(4):
        mine, found = cluster[of == number], labels[of == number]
        names, counts = np.unique(mine[mine >= 0], return_counts=True)
        large = np.isin(mine, names[counts >= min_hits])
        np.testing.assert_array_equal(found >= 0, large)
        assert same_partition(found[large], mine[large])
        _, first = np.unique(found[large], return_index=True)
        assert (np.diff(first) > 0).all()  # tracks count in the order of their first hits


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 112)), max_size=40, unique=True))
@settings(max_examples=50, deadline=None)
def test_connected_cells_are_those_of_an_image(cells):
    layer, column = np.array(cells, int).reshape(-1, 2).T
    image = np.zeros((N_LAYERS, N_COLUMNS), int)
    image[layer, column] = 1
    expected = ndimage.label(image, np.ones((3, 3)))[0][layer, column]
    labels = connected.find(
        make_events({"layer": layer, "column": column}, [0, len(layer)]), gap=0, min_hits=1
    )
    assert same_partition(labels, expected)


def test_connected_cells_may_jump_over_one_cell_and_not_over_a_step_in_height():
    hits = {"layer": [0, 1, 3, 4], "column": [5, 5, 5, 5], "z_mm": [0.0, 10.0, 20.0, 500.0]}
    events = make_events(hits, [0, 4])

    def find(**options):
        return connected.find(events, min_hits=1, **options).tolist()

    assert find(gap=0, z_step_mm=np.inf) == [0, 0, 1, 1]
    assert find(gap=1, z_step_mm=np.inf) == [0, 0, 0, 0]
    assert find(gap=1, z_step_mm=100.0) == [0, 0, 0, 1]


def test_dbscan_of_all_events_at_once_is_that_of_each():
    events = data_events()
    labels = density.find(events, eps=2.2, mm_per_z=100.0, min_samples=3, min_hits=1)
    hits, order = finder_hits(events)
    points = density.scaled_points(hits, 100.0)
    for number in range(len(events)):
        mine = hits.group == 2 * number + 1
        expected = DBSCAN(eps=2.2, min_samples=3).fit_predict(points[mine])
        found = labels[order][mine]
        np.testing.assert_array_equal(found < 0, expected < 0)
        assert same_partition(found, expected)


def test_a_missing_height_is_that_of_the_nearest_hit_of_the_same_side():
    hits = {
        "layer": [0, 1, 5, 0],
        "column": [5, 5, 5, 5],
        "side": [1, 1, 1, 0],
        "z_mm": [100.0, np.nan, 300.0, np.nan],
    }
    coordinates, order = finder_hits(make_events(hits, [0, 4]))
    z = np.empty(4)
    z[order] = density.scaled_points(coordinates, 10.0)[:, 2]
    np.testing.assert_allclose(z, [10.0, 10.0, 30.0, 0.0])


def test_the_foil_rule_keeps_a_track_that_starts_in_the_first_layers():
    for first in (0, 1):
        events = event(line_hits(0, 0.2, layers=(first, 8)))
        np.testing.assert_array_equal(foil_rule(events, events.hits["track"]), 0)


def test_the_foil_rule_drops_a_line_that_starts_far_from_the_foil():
    events = event(line_hits(0, 0.2, layers=(0, 8)), line_hits(900, 0.2, layers=(5, 8)))
    expected = np.where(events.hits["track"] == 1, -1, 0)
    np.testing.assert_array_equal(foil_rule(events, events.hits["track"]), expected)


def test_the_foil_rule_renumbers_what_is_left():
    events = event(line_hits(0, 0.2, layers=(5, 8)), line_hits(900, 0.2, layers=(0, 8)))
    expected = np.where(events.hits["track"] == 0, -1, 0)
    np.testing.assert_array_equal(foil_rule(events, events.hits["track"]), expected)


def test_the_foil_rule_joins_a_line_to_the_track_it_continues():
    events = event(
        line_hits(0, 0.2, 0, 1.0, layers=(0, 4)),
        line_hits(0, 0.2, 0, 1.0, layers=(5, 8)),
        line_hits(900, 0.0),
    )
    expected = np.where(events.hits["track"] == 2, 1, 0)
    np.testing.assert_array_equal(foil_rule(events, events.hits["track"]), expected)


def test_the_foil_rule_does_not_join_at_another_height():
    events = event(line_hits(0, 0.2, 0, layers=(0, 4)), line_hits(0, 0.2, 800, layers=(5, 8)))
    labels = foil_rule(events, events.hits["track"])
    np.testing.assert_array_equal(
        labels, events.hits["track"]
    )  # it stays alone: all cells on its way to the foil fired
    aside = event(line_hits(0, 0.2, 0, layers=(0, 4)), line_hits(200, 0.2, 0, layers=(5, 8)))
    np.testing.assert_array_equal(
        foil_rule(aside, aside.hits["track"]), np.where(aside.hits["track"] == 1, -1, 0)
    )


def test_a_track_whose_first_cells_another_one_took_starts_at_the_foil():
    # both cross the same cells in layers 0 to 2; the first one got the hits
    shared, other = line_hits(0, 0.0), line_hits(-50, 0.4, 500, layers=(3, 8))
    events = event(shared, other)
    np.testing.assert_array_equal(foil_rule(events, events.hits["track"]), events.hits["track"])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_the_foil_rule_invents_no_hit_and_joins_only_whole_tracks(seed):
    events = realistic.generate(20, preset="harsh", seed=seed)
    labels = ransac.find(events, n_pairs=16)
    after = foil_rule(events, labels)
    assert (after[labels < 0] == -1).all()
    key = events.hit_event * 100 + labels
    pairs = np.unique(np.stack([key, after])[:, labels >= 0], axis=1)
    assert len(pairs.T) == len(np.unique(key[labels >= 0]))


def test_ransac_counts_ideal_events():
    events = realistic.generate(200, preset="ideal", seed=5)
    assert (count_tracks(events, ransac.find(events)) == events.info["n_tracks"]).mean() >= 0.98


def test_each_hit_is_given_to_the_line_nearest_to_it():
    events = event(line_hits(-100, 0.6), line_hits(100, -0.6))
    hits, order = finder_hits(events)
    truth = events.hits["track"][order].astype(int)
    lines = seg.fit_clusters(truth, hits, 2)
    tolerances = peeling.Tolerances()
    wrong = truth.copy()
    nearest = seg.off_mm(lines, 1 - truth, hits).argmin()
    wrong[nearest] = 1 - wrong[nearest]  # as the first line of two takes a hit of the other
    lines, owner = peeling.reassign(hits, lines, wrong, tolerances)
    np.testing.assert_array_equal(owner, truth)
    np.testing.assert_allclose(seg.fit(lines, truth, hits).d_mm, lines.d_mm, atol=0.5)


def test_pairs_are_all_those_of_a_half_event():
    one, other = peeling.pairs_in_group(np.array([0, 2, 2, 3]), np.array([2, 0, -1, 2, 1]), 4)
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == [
        (0, 1),
        (1, 0),
        (1, 3),
        (2, 0),
        (2, 3),
    ]


def test_shares_to_tune_by_are_those_of_events_right_in_number_and_in_every_hit():
    events = concatenate(
        [event(line_hits(0, 0.2), line_hits(500, 0.0), noise=[(3, 100, 5.0, 0.0)])] * 4
    )
    truth = events.hits["track"].copy()
    labels = np.where(truth >= 0, 1 - truth, -1)  # names do not matter
    starts = events.hit_offsets
    labels[starts[1]] = -1  # a hit of a track left out
    labels[starts[3] - 1] = 0  # noise taken
    labels[starts[3] : starts[4]] = np.where(
        truth[starts[3] : starts[4]] >= 0, 0, -1
    )  # two tracks in one
    np.testing.assert_allclose(tune_baselines.shares(events, labels), [[3 / 4], [1 / 4]])


@pytest.mark.parametrize("name", ["connected", "refit"])
def test_the_tuning_script_writes_the_best_options(name, tmp_path):
    path = tmp_path / "tuned.json"
    found = tune_baselines.main(
        [
            "--baselines",
            name,
            "--events",
            "20",
            "--presets",
            "data",
            "--sweeps",
            "1",
            "--json",
            str(path),
        ]
    )
    assert path.exists()
    find, grids = tune_baselines.BASELINES[name]
    samples = {"data": realistic.generate(20, preset="data", seed=77)}
    assert set(found[name]["options"]) == set(grids)
    middle = {option: values[len(values) // 2] for option, values in grids.items()}
    assert found[name]["score"] >= tune_baselines.score(
        tune_baselines.evaluate(find, samples, middle)
    )
