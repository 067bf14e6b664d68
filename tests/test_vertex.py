"""Lines held to a point of the foil, and their common point: fits with one more hit, statistics, symmetries,
little input.
"""

from dataclasses import replace

import numpy as np
import pytest

from datasets.drift import sigma_radius_mm
from datasets.geometry import CELL_MM, wire_y_mm
from fitting import line as lines_of
from fitting import parameters, vertex
from fitting.parameters import as_array
from my_generator import family, realistic
from my_generator.response import PRESETS

pytestmark = pytest.mark.filterwarnings("error")
SIGMA_Z_MM = 10.0  # of the preset `simulation`


def hit_arrays(events):
    """Arguments of `line.fit` from an event table, by |x|: every hit of a track."""
    hits = events.hits
    line = np.where(
        hits["track"] >= 0, events.track_offsets[:-1][events.hit_event] + hits["track"], -1
    )
    x = events.first_wire_mm[events.hit_event] + CELL_MM * hits["layer"]
    y = wire_y_mm(hits["column"].astype(float))
    radius = hits["drift_radius_mm"].astype(float)
    z = hits["z_mm"].astype(float)
    return [
        line,
        len(events.tracks["side"]),
        x,
        y,
        radius,
        z,
        sigma_radius_mm(radius),
        np.full(len(z), SIGMA_Z_MM),
    ]


@pytest.fixture(scope="module")
def pairs():
    """500 pairs of tracks from one point of the foil, one on each side: events, fitted lines."""
    events = family.generate("double_left_right", 500, seed=3, response=PRESETS["simulation"])
    return events, lines_of.fit(*hit_arrays(events))


@pytest.fixture(scope="module")
def singles():
    """800 single tracks: events, arguments of `line.fit`, fitted lines."""
    events = realistic.generate(800, tracks=1, preset="simulation", seed=5)
    arrays = hit_arrays(events)
    return events, arrays, lines_of.fit(*arrays)


def true_foil(events):
    return events.tracks["foil_y_mm"].astype(float), events.tracks["foil_z_mm"].astype(float)


def assert_flat(p_values):
    """As many of ten bins as a flat distribution gives, within 4.5 errors."""
    counts, _ = np.histogram(p_values, 10, (0, 1))
    expected = len(p_values) / 10
    assert np.abs(counts - expected).max() < 4.5 * np.sqrt(0.9 * expected)


def gentle(lines):
    """Lines that a fit tells well: no mirror image, neither along the foil nor along the wires."""
    return (
        lines.valid & ~lines.mirrored & (np.sin(lines.phi_rad) < -0.3) & (np.abs(lines.tan_dip) < 3)
    )


# a given point


def test_a_held_line_is_the_fit_with_the_point_as_one_more_hit(singles):
    events, arrays, lines = singles
    line, n_lines, *measurements = arrays
    y, z = true_foil(events)
    y = y + np.random.default_rng(0).normal(0, 0.5, n_lines)
    sigma_distance = 0.5
    sigma_y = sigma_distance / np.abs(np.sin(lines.phi_rad))
    held = vertex.hold(lines, y, z, sigma_y, 10.0)
    points = [
        np.zeros(n_lines),
        y,
        np.zeros(n_lines),
        z,
        np.full(n_lines, sigma_distance),
        np.full(n_lines, 10.0),
    ]
    more = [np.concatenate(both) for both in zip(measurements, points, strict=True)]
    with_point = lines_of.fit(np.append(line, np.arange(n_lines)), n_lines, *more)
    # the error of the point's y is seen in its height too, but little by lines that hardly rise across it
    flat = np.abs(lines.tan_dip / np.tan(lines.phi_rad)) < 1
    same_sides = np.bincount(line, with_point.side[: len(line)] != lines.side, n_lines) == 0
    chosen = gentle(lines) & flat & same_sides
    assert chosen.sum() > 200
    errors = np.sqrt(np.diagonal(held.covariance, axis1=1, axis2=2))
    difference = (as_array(held.lines) - as_array(with_point)) / errors
    assert np.abs(difference[chosen]).max() < 0.1
    gained = with_point.chi2_radius + with_point.chi2_z - lines.chi2_radius - lines.chi2_z
    np.testing.assert_allclose(held.chi2[chosen], gained[chosen], rtol=0.1, atol=0.1)
    scale = errors[:, :2, None] * errors[:, None, :2]
    of_top_view = (held.covariance[:, :2, :2] - with_point.covariance_phi_d) / scale
    assert np.abs(of_top_view[chosen]).max() < 0.1


def test_held_lines_are_nearer_to_the_truth_and_their_errors_say_so(singles):
    events, _, lines = singles
    rng = np.random.default_rng(1)
    true_y, true_z = true_foil(events)
    y = true_y + rng.normal(0, 0.3, len(lines))
    z = true_z + rng.normal(0, 4.0, len(lines))
    held = vertex.hold(lines, y, z, 0.3, 4.0)
    chosen = gentle(lines)
    assert_flat(held.p_value()[chosen])
    found_y, found_z = held.lines.foil_mm()
    first_y, first_z = lines.foil_mm()
    assert np.std((found_y - true_y)[chosen]) < 0.7 * np.std((first_y - true_y)[chosen])
    assert np.std((found_z - true_z)[chosen]) < 0.7 * np.std((first_z - true_z)[chosen])
    true_phi = np.arctan2(-1, events.tracks["slope_y"].astype(float))
    true_dip = -np.sin(true_phi) * events.tracks["slope_z"]
    for i, true in ((0, true_phi), (3, true_dip)):
        pulls = (as_array(held.lines)[:, i] - true) / np.sqrt(held.covariance[:, i, i])
        assert abs(pulls[chosen].std() - 1) < 4 / np.sqrt(2 * chosen.sum())


def test_a_point_tells_a_line_from_its_mirror_image(singles):
    events, arrays, lines = singles
    images = lines_of.fit_mirror_images(lines, arrays[0], *arrays[2:])
    held, held_image = (
        vertex.hold(fitted, *true_foil(events), 1.0, 10.0) for fitted in (lines, images)
    )
    better = np.where(held_image.chi2 < held.chi2, images.phi_rad, lines.phi_rad)
    true_phi = np.arctan2(-1, events.tracks["slope_y"].astype(float))
    errors = np.sqrt(lines.covariance_phi_d[:, 0, 0])
    told = lines.mirrored & (np.abs(held_image.chi2 - held.chi2) > 9)
    assert told.sum() > 20
    assert (np.abs(np.sin(better - true_phi)) < 5 * errors)[told].mean() > 0.95


def test_an_exact_point_is_on_the_held_line(singles):
    _, _, lines = singles
    foil_y, foil_z = lines.foil_mm()
    held = vertex.hold(lines, foil_y + 1, foil_z - 5, 0.0, 0.0)
    y, z = held.lines.foil_mm()
    chosen = gentle(lines)
    np.testing.assert_allclose(y[chosen], (foil_y + 1)[chosen], atol=1e-3)
    np.testing.assert_allclose(z[chosen], (foil_z - 5)[chosen], atol=1e-3)


def test_a_point_on_the_line_changes_nothing_but_the_errors(singles):
    _, _, lines = singles
    chosen = np.flatnonzero(gentle(lines))
    held = vertex.hold(lines, *lines.foil_mm(), 1.0, 10.0)
    np.testing.assert_allclose(
        as_array(held.lines)[chosen], as_array(lines)[chosen], rtol=1e-6, atol=1e-6
    )
    assert held.chi2[chosen].max() < 1e-9
    before = np.diagonal(lines.covariance(), axis1=1, axis2=2)
    after = np.diagonal(held.covariance, axis1=1, axis2=2)
    assert (after[chosen] <= before[chosen] * (1 + 1e-9)).all()


def test_unknown_points_leave_lines_alone_and_half_known_ones_hold_the_top_view(singles):
    _, _, lines = singles
    foil_y, _ = lines.foil_mm()
    nothing = vertex.hold(lines, np.nan, 0.0, 1.0, 1.0)
    np.testing.assert_allclose(as_array(nothing.lines), as_array(lines), rtol=1e-12)
    assert np.isnan(nothing.chi2).all() and (nothing.n_degrees == 0).all()
    np.testing.assert_array_equal(vertex.hold(lines, 0.0, 0.0, np.inf, 1.0).n_degrees, 0)
    half = vertex.hold(lines, foil_y + 1, np.nan, 1.0, np.nan)
    assert (half.n_degrees == 1).all()
    chosen = gentle(lines)
    np.testing.assert_allclose(half.lines.tan_dip[chosen], lines.tan_dip[chosen])
    assert (half.chi2[chosen] > 0).all()


def test_lines_without_heights_or_without_hits_are_held_as_far_as_they_are_known(singles):
    _, arrays, _ = singles
    few = (arrays[0] >= 0) & (arrays[0] < 3)
    line, _, x, y, radius, z, *sigmas = [
        np.asarray(values)[few] if np.ndim(values) else values for values in arrays
    ]
    lines = lines_of.fit(line, 4, x, y, radius, np.full(len(z), np.nan), *sigmas)
    held = vertex.hold(lines, 0.0, 0.0, 1.0, 1.0)
    assert held.n_degrees.tolist() == [1, 1, 1, 0]
    assert np.isfinite(held.lines.phi_rad).tolist() == [True, True, True, False]
    assert np.isnan(held.lines.z0_mm).all() and np.isnan(held.covariance[:, 2:]).all()
    assert np.isfinite(held.covariance[:3, :2, :2]).all()


def test_a_line_along_the_foil_is_moved_towards_a_point_of_it():
    y = CELL_MM * np.arange(8)
    z = 0.5 * y
    lines = lines_of.fit(
        np.zeros(8, int),
        1,
        np.full(8, 22.0),
        y,
        np.full(8, 20.0),
        z,
        0.5,
        10.0,
        start=([0.0], [2.0]),
    )
    foil_distance = np.abs(lines.distance_mm(0, 0.0, 100.0))
    held = vertex.hold(lines, 100.0, 50.0, 0.1, 10.0)
    assert np.isfinite(held.covariance).all()
    assert np.abs(held.lines.distance_mm(0, 0.0, 100.0)) < 0.1 * foil_distance + 1e-3
    assert held.chi2[0] > 10  # it passes the foil at 2 mm or 42, known to a fraction of one


# the common point


def in_pairs(n):
    return np.repeat(np.arange(n), 2)


def test_pairs_from_one_point_meet_there(pairs):
    events, lines = pairs
    true_y, true_z = true_foil(events)
    found = vertex.common(lines, in_pairs(500), 500)
    both = gentle(lines).reshape(-1, 2).all(1)
    assert both.sum() > 150
    assert (found.n_degrees == 2).all()
    assert_flat(found.p_value()[both])
    for i, (value, true) in enumerate([(found.y_mm, true_y[::2]), (found.z_mm, true_z[::2])]):
        pulls = (value - true) / np.sqrt(found.covariance[:, i, i])
        assert abs(pulls[both].std() - 1) < 4 / np.sqrt(2 * both.sum())
        assert abs(pulls[both].mean()) < 4 / np.sqrt(both.sum())


def test_tracks_of_two_events_do_not_meet(pairs):
    _, lines = pairs
    strangers = np.roll(in_pairs(500), 1)  # the second of one event with the first of the next
    assert np.median(vertex.common(lines, strangers, 500).p_value()) < 1e-6


def test_it_is_the_weighted_mean_of_the_points_where_the_lines_cross_the_foil(pairs):
    _, lines = pairs
    found = vertex.common(lines, in_pairs(500), 500)
    y, z = lines.foil_mm()
    of_slopes = parameters.carry(lines.covariance(), parameters.slopes_by_line(lines))
    errors = of_slopes[:, [1, 3]][:, :, [1, 3]]
    both = np.flatnonzero(gentle(lines).reshape(-1, 2).all(1))
    for k in both[:100]:
        one, two = 2 * k, 2 * k + 1
        weights = np.linalg.inv(errors[[one, two]])
        points = np.stack([y[[one, two]], z[[one, two]]], axis=-1)
        mean = np.linalg.solve(weights.sum(0), np.einsum("lij,lj->i", weights, points))
        way = points[0] - points[1]
        chi2 = way @ np.linalg.solve(errors[one] + errors[two], way)
        scale = np.sqrt(np.diag(found.covariance[k]))
        assert np.abs((mean - [found.y_mm[k], found.z_mm[k]]) / scale).max() < 0.1
        np.testing.assert_allclose(chi2, found.chi2[k], rtol=0.1, atol=0.05)


def test_the_order_of_lines_is_irrelevant_and_so_is_the_side_of_the_foil(pairs):
    _, lines = pairs
    numbers = in_pairs(500)
    found = vertex.common(lines, numbers, 500)
    order = np.random.default_rng(0).permutation(1000)
    sides = replace(
        lines,
        phi_rad=-np.pi - lines.phi_rad,  # x is -x
        tan_dip=-lines.tan_dip,
        covariance_phi_d=lines.covariance_phi_d * [[1, -1], [-1, 1]],
        covariance_z0_dip=lines.covariance_z0_dip * [[1, -1], [-1, 1]],
    )
    well = gentle(lines).reshape(-1, 2).all(1)
    turned = vertex.common(sides, numbers, 500)
    for name in ("y_mm", "z_mm", "chi2"):
        np.testing.assert_allclose(
            getattr(turned, name)[well], getattr(found, name)[well], rtol=1e-6, atol=1e-6
        )
    mixed_lines = replace(
        lines,
        **{
            name: getattr(lines, name)[order]
            for name in (
                "phi_rad",
                "d_mm",
                "z0_mm",
                "tan_dip",
                "covariance_phi_d",
                "covariance_z0_dip",
            )
        },
    )
    mixed = vertex.common(mixed_lines, numbers[order], 500)
    np.testing.assert_allclose(mixed.chi2[well], found.chi2[well], rtol=1e-9, atol=1e-9)


def test_a_line_alone_comes_from_where_it_crosses_the_foil(singles):
    _, _, lines = singles
    found = vertex.common(lines, np.arange(len(lines)), len(lines))
    chosen = gentle(lines)
    y, z = lines.foil_mm()
    np.testing.assert_allclose(found.y_mm[chosen], y[chosen], atol=1e-6)
    np.testing.assert_allclose(found.z_mm[chosen], z[chosen], atol=1e-6)
    assert (found.n_degrees[chosen] == 0).all() and np.isnan(found.p_value()[chosen]).all()


def test_lines_without_heights_meet_in_the_top_view(pairs):
    events, _ = pairs
    arrays = hit_arrays(events)
    arrays[5] = np.where(arrays[0] % 2, np.nan, arrays[5])  # of every second line
    lines = lines_of.fit(*arrays)
    found = vertex.common(lines, in_pairs(500), 500)
    assert (found.n_degrees[lines.valid.reshape(-1, 2).all(1)] == 1).all()
    well = (lines.valid & (np.sin(lines.phi_rad) < -0.3)).reshape(-1, 2).all(1)
    assert np.isfinite(found.z_mm[well]).all()
    arrays[5] = np.full(len(arrays[5]), np.nan)
    found = vertex.common(lines_of.fit(*arrays), in_pairs(500), 500)
    assert np.isnan(found.z_mm).all() and np.isnan(found.covariance[:, 1]).all()
    assert np.isfinite(found.y_mm[well]).all() and (found.n_degrees[well] == 1).all()


def test_nothing_has_no_vertex(singles):
    _, _, lines = singles
    none = vertex.common(lines, np.full(len(lines), -1), 2)
    assert (
        np.isnan(none.y_mm).all()
        and np.isnan(none.p_value()).all()
        and none.n_degrees.tolist() == [0, 0]
    )
    empty = lines_of.fit(np.zeros(0, int), 0, *np.zeros((4, 0)), 1.0, 1.0)
    assert len(vertex.common(empty, np.zeros(0, int), 0).y_mm) == 0
    assert len(vertex.hold(empty, 0.0, 0.0, 1.0, 1.0).chi2) == 0
