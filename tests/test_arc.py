"""Arcs and their batched fit: exact circles, statistics of smeared hits with and without scattering, SciPy,
lines, degenerate input.
"""

import numpy as np
import pytest
from scipy import optimize

from datasets.drift import sigma_radius_mm
from datasets.geometry import CELL_MM, wire_y_mm
from fitting import arc as arc_of
from fitting import arcs
from fitting import line as line_of
from fitting.lines import Lines
from my_generator import electrons, helices, lines, toyhaystack

SIGMA_Z_MM = 10.0


def single_tracks(n, seed, scattering_mev=0.0, field_gauss=25.0):
    """Events of one electron each on side 1, and what is known of the tracks."""
    rng = np.random.default_rng(seed)
    foil = lines.chosen(slice(None), lines.foil_lines(np.ones((n, 1), int), rng))
    energy = rng.uniform(0.3, 3.5, n)
    drawn = foil | {"energy": energy, "charge": rng.choice([-1, 1], n), "vertex": np.zeros(n, int)}
    gas = {"field_gauss": field_gauss, "scattering_mev": scattering_mev}
    hits, n_hits, tracks = electrons._tracks(drawn, rng, **gas)
    return toyhaystack.events_of_hits(hits, n_hits, tracks, np.ones(n, int))


def arguments(events, seed=None):
    """Arguments of `fit`: exact radii and heights, or smeared ones."""
    hits = events.hits
    x = events.first_wire_mm[events.hit_event] + CELL_MM * hits["layer"]
    y = wire_y_mm(hits["column"].astype(float))
    radius = hits["drift_radius_mm"].astype(float)
    z = hits["z_mm"].astype(float)
    sigma = sigma_radius_mm(radius)
    if seed is not None:
        rng = np.random.default_rng(seed)
        radius = np.abs(radius + sigma * rng.standard_normal(len(radius)))
        z = z + SIGMA_Z_MM * rng.standard_normal(len(z))
    return [events.track_of_hits, len(events.tracks["side"]), x, y, radius, z, sigma, SIGMA_Z_MM]


def clear(events, fitted, n_hits=8):
    """(track,) bool, tracks of enough hits whose wires are on no straight line, and that leave to the
    wall.
    """
    leaves = events.tracks["calo_type"] >= 0
    return (
        fitted.valid & ~fitted.mirrored & leaves & (fitted.n_hits >= n_hits) & (fitted.n_hits < 25)
    )


def pull_of_curvature(events, fitted):
    return (
        fitted.curvature_per_mm - events.tracks["curvature_per_mm"]
    ) / fitted.sigma_curvature_per_mm


def width(pull):
    low, high = np.quantile(pull, [0.1587, 0.8413])
    return (high - low) / 2


@pytest.fixture(scope="module")
def smeared():
    events = single_tracks(4000, seed=1)
    given = arguments(events, seed=2)
    return events, given, arc_of.fit(*given, start=line_of.fit(*given))


def random_arcs(n, seed):
    rng = np.random.default_rng(seed)
    return arcs.Arcs(
        x0_mm=rng.uniform(0, 100, n),
        y0_mm=rng.uniform(-2000, 2000, n),
        phi_rad=rng.uniform(-np.pi, 0, n),
        d_mm=rng.uniform(-22, 22, n),
        curvature_per_mm=rng.choice([0.0, 1e-9, 1e-3, -2e-3], n),
        z0_mm=rng.uniform(-1000, 1000, n),
        tan_dip=rng.uniform(-1, 1, n),
    )


def test_points_beside_an_arc_have_the_distance_and_the_path_they_were_put_at():
    made = random_arcs(200, seed=0)
    arc = np.arange(200)
    rng = np.random.default_rng(1)
    s = rng.uniform(-300, 500, 200)
    off = rng.uniform(-22, 22, 200)
    x, y = made.point_mm(arc, s)
    ahead = made.point_mm(arc, s + 1e-3)
    behind = made.point_mm(arc, s - 1e-3)
    along_x, along_y = ((a - b) / 2e-3 for a, b in zip(ahead, behind, strict=True))
    x, y = x + off * along_y, y - off * along_x  # to the right, where the normal points
    np.testing.assert_allclose(made.distance_mm(arc, x, y), off, atol=1e-6)
    np.testing.assert_allclose(made.path_mm(arc, x, y), s, atol=1e-5)
    np.testing.assert_allclose(made.z_at(arc, x, y), made.z0_mm + made.tan_dip * s, atol=1e-4)


def test_a_line_is_an_arc_of_curvature_0():
    rng = np.random.default_rng(3)
    line = Lines(
        rng.uniform(-3, -0.2, 50),
        rng.uniform(-500, 500, 50),
        rng.uniform(-9, 9, 50),
        rng.uniform(-1, 1, 50),
    )
    made = arcs.of_lines(line, np.full(50, 31.0), rng.uniform(-100, 100, 50))
    x, y = rng.uniform(0, 400, (2, 50))
    number = np.arange(50)
    np.testing.assert_allclose(
        made.distance_mm(number, x, y), line.distance_mm(number, x, y), atol=1e-9
    )
    np.testing.assert_allclose(made.z_at(number, x, y), line.z_at(number, x, y), atol=1e-9)
    np.testing.assert_allclose(made.foil_mm(), line.foil_mm(), atol=1e-6)
    assert np.isinf(made.momentum_mev(25.0)).all()


def test_exact_hits_give_the_circle_they_are_of():
    events = single_tracks(500, seed=4)
    given = arguments(events)
    fitted = arc_of.fit(*given, start=line_of.fit(*given))
    good = clear(events, fitted)
    assert good.sum() > 250
    right = good & (fitted.chi2_radius < 1)
    assert right.sum() > 0.99 * good.sum()
    tracks = events.tracks
    off = np.abs(fitted.curvature_per_mm - tracks["curvature_per_mm"])[right]
    assert (
        off > 2e-6
    ).sum() <= 2  # that come back so far that their other end is nearer to the foil
    right[right] = off < 2e-6
    foil_y, foil_z = fitted.foil_mm()
    np.testing.assert_allclose(foil_y[right], tracks["foil_y_mm"][right], atol=1.0)
    momentum = fitted.momentum_mev(25.0)[right]
    assert np.median(np.abs(momentum / tracks["momentum_mev"][right] - 1)) < 1e-3
    charge = fitted.charge(tracks["side"])
    assert (charge[right] == tracks["charge"][right]).mean() > 0.99


def test_errors_of_smeared_hits_are_those_that_the_fit_says(smeared):
    events, _, fitted = smeared
    good = clear(events, fitted)
    assert good.sum() > 2000
    pull = pull_of_curvature(events, fitted)[good]
    assert width(pull) == pytest.approx(1, abs=0.05)
    assert abs(pull[np.abs(pull) < 5].mean()) < 0.1
    assert (np.abs(pull) > 5).mean() < 0.005
    slope = events.tracks["slope_y"].astype(float)
    dip = events.tracks["slope_z"] / np.hypot(1, slope)
    pull = ((fitted.tan_dip - dip) / np.sqrt(fitted.covariance_z[:, 1, 1]))[good]
    assert width(pull) == pytest.approx(1, abs=0.06)
    assert np.median(fitted.p_value()[good]) == pytest.approx(0.5, abs=0.06)


def test_errors_of_direction_and_place_are_right_at_the_first_hit(smeared):
    events, _, fitted = smeared
    tracks = events.tracks
    good = clear(events, fitted)
    radius = 1 / tracks["curvature_per_mm"].astype(float)
    slope = tracks["slope_y"].astype(float)
    # the true circle: its middle is to the left of the direction at the foil
    angle = np.arctan(slope)
    middle_x = -radius * np.sin(angle)
    middle_y = tracks["foil_y_mm"] + radius * np.cos(angle)
    away_x = fitted.x0_mm - middle_x
    away_y = fitted.y0_mm - middle_y
    to_circle = np.abs(radius) - np.hypot(away_x, away_y)  # outwards
    outwards = np.sign(away_x * np.cos(fitted.phi_rad) + away_y * np.sin(fitted.phi_rad))
    d = to_circle * outwards
    pull = ((fitted.d_mm - d) / np.sqrt(fitted.covariance_top[:, 1, 1]))[good]
    assert width(pull) == pytest.approx(1, abs=0.06)
    true_normal = np.arctan2(away_y * outwards, away_x * outwards)
    turn = (fitted.phi_rad - true_normal + np.pi) % (2 * np.pi) - np.pi
    pull = (turn / np.sqrt(fitted.covariance_top[:, 0, 0]))[good]
    assert width(pull) == pytest.approx(1, abs=0.06)


def test_scipy_finds_the_same_minimum(smeared):
    events, given, fitted = smeared
    track, _, x, y, radius, _, sigma, _ = given
    for number in np.flatnonzero(clear(events, fitted))[:6]:
        own = track == number
        signed = radius[own] * fitted.side[own]

        def residuals(value, own=own, signed=signed, number=number):
            one = arcs.Arcs(*fitted_numbers(fitted, number))
            one.phi_rad, one.d_mm, one.curvature_per_mm = value[0:1], value[1:2], value[2:3]
            return (one.distance_mm(0, x[own], y[own]) - signed) / sigma[own]

        begin = [fitted.phi_rad[number] + 0.01, fitted.d_mm[number] + 0.5, 0.0]
        found = optimize.least_squares(
            residuals, begin, x_scale=[0.01, 1, 1e-4], xtol=1e-12, ftol=1e-12
        )
        error = np.sqrt(np.diag(fitted.covariance_top[number]))
        value = [fitted.phi_rad[number], fitted.d_mm[number], fitted.curvature_per_mm[number]]
        assert (np.abs(found.x - value) < 0.01 * error).all()
        assert 2 * found.cost == pytest.approx(fitted.chi2_radius[number], rel=1e-4)
        covariance = np.linalg.inv(found.jac.T @ found.jac)
        np.testing.assert_allclose(np.sqrt(np.diag(covariance)), error, rtol=0.02)


def fitted_numbers(fitted, number):
    names = ("x0_mm", "y0_mm", "phi_rad", "d_mm", "curvature_per_mm", "z0_mm", "tan_dip")
    return [getattr(fitted, name)[number : number + 1] for name in names]


def test_scattered_tracks_have_the_right_errors_only_where_the_fit_knows_of_the_gas():
    events = single_tracks(4000, seed=6, scattering_mev=electrons.SCATTERING_MEV)
    given = arguments(events, seed=7)
    momentum = events.tracks["momentum_mev"].astype(float)
    beta_p = momentum**2 / np.hypot(momentum, helices.ELECTRON_MASS_MEV)
    start = line_of.fit(*given)
    with_gas = arc_of.fit(*given, start=start, beta_p_mev=beta_p)
    without = arc_of.fit(*given, start=start)
    fast = momentum > 1
    good = clear(events, with_gas) & fast
    assert good.sum() > 1000
    pull = pull_of_curvature(events, with_gas)[good]
    assert width(pull) == pytest.approx(1, abs=0.06)
    assert abs(np.median(pull)) < 0.1
    assert width(pull_of_curvature(events, without)[clear(events, without) & fast]) > 5
    # both the turn and what the gas adds go as 1 / p: a track tells its curvature to a third, fast or slow
    relative = with_gas.sigma_curvature_per_mm / np.abs(events.tracks["curvature_per_mm"])
    assert 0.25 < np.median(relative[good]) < 0.5


def test_without_scattering_the_filter_gives_the_plain_fit(smeared):
    events, given, fitted = smeared
    start = line_of.fit(*given)
    filtered = arc_of.fit(*given, start=start, beta_p_mev=1e6)
    same = clear(events, fitted) & clear(events, filtered)
    # where a wire may be on either side the filter takes both sides for possible
    off = (
        np.abs(filtered.curvature_per_mm - fitted.curvature_per_mm) / fitted.sigma_curvature_per_mm
    )
    assert np.quantile(off[same], 0.5) < 0.4 and np.quantile(off[same], 0.9) < 1.5
    certain = same & (off < 0.03)
    errors = filtered.covariance_top / fitted.covariance_top
    assert np.median(errors[certain][:, range(3), range(3)], axis=0) == pytest.approx(
        [1, 1, 1], abs=0.08
    )
    np.testing.assert_allclose(filtered.z0_mm[certain], fitted.z0_mm[certain], atol=0.3)
    np.testing.assert_allclose(
        filtered.chi2_z[certain], fitted.chi2_z[certain], rtol=0.05, atol=0.05
    )


def test_a_prior_makes_arcs_straight():
    events = single_tracks(300, seed=8)
    given = arguments(events, seed=9)
    start = line_of.fit(*given)
    held = arc_of.fit(*given, start=start, sigma_curvature_per_mm=1e-9)
    assert np.nanmax(np.abs(held.curvature_per_mm)) < 1e-6


def test_a_fit_does_not_depend_on_the_order_of_hits_or_on_other_tracks(smeared):
    events, given, fitted = smeared
    some = np.flatnonzero(given[0] < 200)
    shuffled = np.random.default_rng(0).permutation(some)
    track, _, *values, sigma_z = given
    start = line_of.fit(track[some], 200, *(v[some] for v in values), sigma_z)
    again = arc_of.fit(track[shuffled], 200, *(v[shuffled] for v in values), sigma_z, start=start)
    good = clear(events, fitted)[:200]
    np.testing.assert_allclose(
        again.curvature_per_mm[good], fitted.curvature_per_mm[:200][good], atol=1e-8
    )
    of_good = good[track[shuffled]]
    np.testing.assert_array_equal(again.side[of_good], fitted.side[shuffled][of_good])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("beta_p", [None, 1.0])
def test_hits_that_determine_no_arc_do_no_harm(beta_p):
    nothing = np.zeros(0)
    empty = arc_of.fit(np.zeros(0, int), 3, *[nothing] * 6, beta_p_mev=beta_p)
    assert not empty.valid.any() and np.isnan(empty.curvature_per_mm).all()
    # track 0: two hits; 1: three in one cell; 2: along the foil, nothing measured; 3: one height; -1: noise
    track = np.array([0, 0, 1, 1, 1, *[2] * 12, *[3] * 9, -1])
    x = np.array([53.0, 97, 53, 53, 53, *[97.0] * 12, *(53 + 44.0 * np.arange(9)), 53])
    y = np.array([0.0, 0, 44, 44, 44, *(44.0 * np.arange(12)), *[0.0] * 9, 88])
    radius = np.full(len(x), 5.0)
    radius[track == 2] = np.nan
    z = np.full(len(x), np.nan)
    z[track == 3] = [10.0] + [np.nan] * 8
    fitted = arc_of.fit(track, 4, x, y, radius, z, 1.0, 10.0, beta_p_mev=beta_p)
    assert not fitted.valid[0] and np.isnan(fitted.d_mm[0])
    assert fitted.n_hits.tolist() == [2, 3, 12, 9] and fitted.n_z.tolist() == [0, 0, 0, 1]
    assert np.isnan(fitted.tan_dip).all() and not fitted.chi2_z[2:].any()
    assert fitted.mirrored[[2, 3]].all()
    assert abs(fitted.curvature_per_mm[2]) < 1e-6 and not fitted.is_curved()[2]
    assert fitted.charge(np.ones(4, int)).tolist() == [0, 0, 0, 0]
    assert np.isnan(fitted.measured_momentum_mev(25.0)[0]).all()
