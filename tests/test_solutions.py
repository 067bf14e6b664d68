"""Solutions for tracks: their derivatives, draws and errors; what silent cells tell of them."""

import numpy as np
import pytest
from conftest import random_events, toy_line

from datasets import geometry as geo
from datasets.geometry import CELL_MM
from fitting import mixture, silent_cells, solutions, track_hits, tracks
from fitting.solutions import NO_KINK, RISE, SHIFT, THETA, Solutions, Z
from my_generator import realistic

pytestmark = pytest.mark.filterwarnings("error")


def solutions_of(events):
    fitted = tracks.fit(events, events.hits["track"].astype(int))
    return fitted, mixture.of_tracks(events, fitted, track_hits.of_tracks(events, fitted))


def random_solutions(n, seed):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, n)
    root = rng.normal(0, 1, (n, 6, 6))
    return Solutions(
        track=np.zeros(n, int),
        kink=rng.integers(2, NO_KINK + 1, n),
        point_mm=rng.normal(100, 50, (n, 2)),
        along=np.stack([np.cos(angle), np.sin(angle)], -1),
        value=rng.normal(0, 1, (n, 6)) * [10, 0.5, 0.3, 100, 0.5, 0.3],
        covariance=root @ root.swapaxes(1, 2) + np.eye(6),
        log_likelihood=np.zeros(n),
    )


def test_derivatives_are_those_of_small_steps():
    events = random_events(0, [30])
    fitted = tracks.fit(events, np.zeros(30, int))
    some = random_solutions(50, seed=1)
    table = track_hits.of_tracks(events, fitted).padded(some.track)
    _, _, by_distance, by_height = solutions.residuals(table, some)
    for i in range(6):
        step = 1e-5 * np.eye(6)[i]
        some.value += step
        distance, height, _, _ = solutions.residuals(table, some)
        some.value -= 2 * step
        distance_before, height_before, _, _ = solutions.residuals(table, some)
        some.value += step
        np.testing.assert_allclose(
            (distance - distance_before) / 2e-5, by_distance[..., i], atol=1e-3
        )
        np.testing.assert_allclose((height - height_before) / 2e-5, by_height[..., i], atol=1e-3)


def test_draws_have_the_mean_and_the_covariance():
    some = random_solutions(5, seed=2)
    draws = solutions.draw(some)
    for own, value, covariance in zip(draws, some.value, some.covariance, strict=True):
        sigma = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(own.mean(0), value, atol=0.05 * sigma.max())
        off = np.cov(own.T) - covariance
        assert np.abs(off / np.outer(sigma, sigma)).max() < 0.1


def test_the_errors_of_straight_tracks_keep_their_word():
    events = realistic.generate(600, tracks=1, preset="data", seed=3, kinks=0.0)
    fitted, some = solutions_of(events)
    best = some[some.are_best()]
    event = fitted.event[best.track]
    draws = solutions.draw(best)
    x, y, z = solutions.points_mm(best, draws)
    slope_y, slope_z = solutions.first_slopes(draws)
    for drawn, name in (
        (y - x * slope_y, "foil_y_mm"),
        (z - x * slope_z, "foil_z_mm"),
        (slope_y, "slope_y"),
        (slope_z, "slope_z"),
    ):
        off = (drawn.mean(1) - events.tracks[name][event]) / drawn.std(1)
        assert 0.6 < np.mean(np.abs(off) < 1) < 0.76, name
        assert np.mean(np.abs(off) < 3) > 0.95, name  # the best solution may be the mirror image


def test_the_errors_are_measured_from_the_events():
    sigma = {}
    for preset in ("ideal", "data"):
        _, some = solutions_of(realistic.generate(200, tracks=1, preset=preset, seed=4, kinks=0.0))
        best = some[some.are_best()]
        sigma[preset] = np.median(np.sqrt(best.covariance[:, THETA, THETA]))
    assert sigma["ideal"] < 0.1 * sigma["data"]


@pytest.mark.parametrize("n_hits", [0, 1, 2])
def test_a_track_needs_two_hits_for_a_solution(n_hits):
    events = random_events(0, [n_hits])
    events.hits["track"][:] = 0
    _, some = solutions_of(events)
    assert (len(some) > 0) == (n_hits == 2)


# Silent cells -----------------------------------------------------------------------------------------------


def along_line(events, y0, slope_y, z0=0.0, slope_z=0.1):
    """The Solutions of a line of `toy_line`, without errors."""
    theta = np.arctan(slope_y)
    value = np.zeros((1, 6))
    value[0, THETA] = theta
    value[0, Z] = z0
    value[0, RISE] = slope_z * np.cos(theta)
    point = [[0.0, (y0 - geo.N_COLUMNS / 2) * CELL_MM]]
    return Solutions(
        track=np.zeros(1, int),
        kink=np.array([NO_KINK]),
        point_mm=np.array(point),
        along=np.array([[0.0, 1.0]]),
        value=value,
        covariance=np.zeros((1, 6, 6)),
        log_likelihood=np.zeros(1),
    )


@pytest.mark.parametrize("slope", [0.1, 0.8, -3.0])
def test_a_line_is_punished_for_each_crossed_cell_that_is_silent(slope):
    events = toy_line(50.3, slope)
    some = along_line(events, 50.3, slope)
    fitted = tracks.fit(events, np.zeros(len(events.hit_event), int))
    all_fired = silent_cells.log_likelihood(some, events, fitted)[0]
    assert -2.0 < all_fired <= 0  # cells that are crossed at their edge may not be
    silent = 4
    without = events.with_hits(
        {"column": np.where(events.hits["layer"] == silent, 0, events.hits["column"])}
    )
    n_silent = np.count_nonzero(events.hits["layer"] == silent)
    less = all_fired - silent_cells.log_likelihood(some, without, fitted)[0]
    assert (
        1.5 * n_silent < less < 3.0 * n_silent
    )  # -log(1 - 0.9) each, more or less near the edge of a cell


def test_a_shift_moves_the_crossed_cells():
    events = toy_line(50.3, 0.1)
    fitted = tracks.fit(events, np.zeros(len(events.hit_event), int))
    beside = along_line(events, 50.3, 0.1)
    beside.value[0, SHIFT] = 3 * CELL_MM
    assert silent_cells.log_likelihood(beside, events, fitted)[0] < -15
