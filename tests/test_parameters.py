"""Other parameters of lines: TKEvent's own formulas, round trips, derivatives, lines along the foil."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.readers import tkevent
from fitting import line as lines_of
from fitting import parameters
from fitting.lines import Lines

# y = 3/4 x: its normal is (3, -4) / 5, its direction (4, 3) / 5; z = 100 + 2 s
BY_HAND = Lines(np.arctan2([-0.8], [0.6]), np.zeros(1), np.array([100.0]), np.array([2.0]))


def random_lines(n=200, nearest_rad=0.05, seed=0):
    """Lines that are at least so far from along the foil."""
    rng = np.random.default_rng(seed)
    phi = rng.uniform(-np.pi + nearest_rad, -nearest_rad, n)
    d, z0 = rng.uniform(-1000, 1000, (2, n))
    return Lines(phi, d, z0, rng.normal(size=n))


def assert_same_lines(found, wanted, rtol=1e-9):
    np.testing.assert_allclose(
        parameters.as_array(found), parameters.as_array(wanted), rtol=rtol, atol=1e-9
    )


def test_a_line_worked_by_hand():
    np.testing.assert_allclose(parameters.slopes(BY_HAND), [[0.75, 0, 2.5, 100]], atol=1e-9)
    phi = np.arctan(0.75)
    np.testing.assert_allclose(parameters.angles(BY_HAND), [[phi, 0, np.arctan(2), 100]], atol=1e-9)


def test_both_are_those_of_tkevent_which_turns_them_into_each_other_so():
    # TKtrack.h, "set of transformations"
    lines = random_lines()
    a, b, c, d = parameters.slopes(lines).T
    phi, r, theta, h = parameters.angles(lines).T
    np.testing.assert_allclose(phi, np.arctan(a))
    np.testing.assert_allclose(r, -b / np.sqrt(a**2 + 1), atol=1e-9)
    np.testing.assert_allclose(theta, np.arctan(c / np.sqrt(a**2 + 1)))
    np.testing.assert_allclose(h, d - a * b * c / (a**2 + 1), atol=1e-6)
    np.testing.assert_allclose(b, -r / np.cos(phi), atol=1e-6)
    np.testing.assert_allclose(c, np.tan(theta) / np.cos(phi))
    np.testing.assert_allclose(d, h - r * np.tan(phi) * np.tan(theta), atol=1e-6)


def test_points_of_the_angles_lie_on_the_line():
    # TKtrack.h: x = cos(phi) cos(theta) t + r sin(phi), and so on
    lines = random_lines()
    phi, r, theta, h = parameters.angles(lines).T
    t = np.linspace(-500, 500, len(lines))
    x = np.cos(phi) * np.cos(theta) * t + r * np.sin(phi)
    y = np.sin(phi) * np.cos(theta) * t - r * np.cos(phi)
    index = np.arange(len(lines))
    np.testing.assert_allclose(lines.distance_mm(index, x, y), 0, atol=1e-9)
    np.testing.assert_allclose(lines.z_at(index, x, y), np.sin(theta) * t + h, atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_there_and_back_is_the_same_line(seed):
    lines = random_lines(30, 0.01, seed)
    assert_same_lines(parameters.lines_of_slopes(parameters.slopes(lines)), lines, rtol=1e-7)
    assert_same_lines(parameters.lines_of_angles(parameters.angles(lines)), lines)


def test_an_angle_of_another_turn_is_the_same_line():
    angles = parameters.angles(random_lines())
    turned = angles * [1, -1, -1, 1] + [np.pi, 0, 0, 0]
    assert_same_lines(parameters.lines_of_angles(turned), random_lines())
    turned_by = parameters.line_by_angles(turned)
    signs = np.outer([1, -1, 1, -1], [1, 1, 1, 1])
    np.testing.assert_allclose(turned_by, signs * parameters.line_by_angles(angles))


def numerical(function, values, steps):
    """Central differences of a function (line, 4) -> (line, 4)."""
    columns = []
    for i, step in enumerate(steps):
        change = step * np.eye(4)[i]
        columns.append((function(values + change) - function(values - change)) / (2 * step))
    return np.stack(columns, axis=-1)


def lines_of_array(values):
    return Lines(*values.T)


def test_derivatives_are_those_of_small_steps():
    lines = random_lines(nearest_rad=0.3)
    array = parameters.as_array(lines)
    steps = [1e-5, 1e-2, 1e-2, 1e-5]
    for there, by_line in (
        (parameters.slopes, parameters.slopes_by_line),
        (parameters.angles, parameters.angles_by_line),
    ):
        by_steps = numerical(lambda values: there(lines_of_array(values)), array, steps)  # noqa: B023
        np.testing.assert_allclose(by_line(lines), by_steps, rtol=1e-5, atol=1e-4)
    for there, back, by_others in (
        (parameters.slopes, parameters.lines_of_slopes, parameters.line_by_slopes),
        (parameters.angles, parameters.lines_of_angles, parameters.line_by_angles),
    ):
        others = there(lines)
        steps = [1e-5, 1e-2, 1e-5, 1e-2]
        by_steps = numerical(lambda values: parameters.as_array(back(values)), others, steps)  # noqa: B023
        np.testing.assert_allclose(by_others(others), by_steps, rtol=1e-5, atol=1e-4)


def test_derivatives_there_and_back_are_each_others_inverses():
    lines = random_lines()
    unity = np.broadcast_to(np.eye(4), (len(lines), 4, 4))
    there = parameters.slopes_by_line(lines)
    back = parameters.line_by_slopes(parameters.slopes(lines))
    np.testing.assert_allclose(there @ back, unity, atol=1e-6)
    np.testing.assert_allclose(
        parameters.angles_by_line(lines) @ parameters.line_by_angles(parameters.angles(lines)),
        unity,
        atol=1e-9,
    )


def test_a_covariance_is_that_of_lines_drawn_from_it():
    rng = np.random.default_rng(1)
    line = Lines(np.array([-1.2]), np.array([300.0]), np.array([-50.0]), np.array([0.8]))
    errors = np.array([1e-3, 0.3, 5, 1e-2])
    correlated = np.eye(4) + 0.4 * (1 - np.eye(4))
    covariance = errors[:, None] * correlated * errors
    drawn = rng.multivariate_normal(parameters.as_array(line)[0], covariance, 20_000)
    for there, by_line in (
        (parameters.slopes, parameters.slopes_by_line),
        (parameters.angles, parameters.angles_by_line),
    ):
        carried = parameters.carry(covariance[None], by_line(line))[0]
        of_drawn = np.cov(there(lines_of_array(drawn)).T)
        scale = np.sqrt(np.diag(carried))
        np.testing.assert_allclose(
            of_drawn / scale / scale[:, None], carried / scale / scale[:, None], atol=0.03
        )


def test_lines_along_the_foil_have_angles_but_no_slopes():
    along = Lines(
        np.array([-np.pi, 0]), np.array([-20.0, 30]), np.array([5.0, 6]), np.array([1.0, -1])
    )
    angles = parameters.angles(along)
    np.testing.assert_allclose(angles[:, 0], [-np.pi / 2, np.pi / 2])
    back = parameters.lines_of_angles(angles)
    x, y = along.point_mm(np.arange(2), 700.0)
    np.testing.assert_allclose(back.distance_mm(np.arange(2), x, y), 0, atol=1e-9)
    np.testing.assert_allclose(back.z_at(np.arange(2), x, y), along.z_along(np.arange(2), 700.0))
    assert np.isfinite(parameters.angles_by_line(along)).all()
    exactly = Lines(np.zeros(1), np.full(1, 30.0), np.zeros(1), np.ones(1))
    a, b, c, _ = parameters.slopes(exactly)[0]
    assert np.isinf([a, b, c]).all()
    back = parameters.lines_of_slopes(parameters.slopes(exactly))
    assert np.isnan(parameters.as_array(back)).all()
    carried = parameters.carry(np.eye(4)[None], parameters.slopes_by_line(exactly))
    assert np.isnan(carried).all()


def test_slopes_of_lines_nearly_along_the_foil_come_back():
    lines = Lines(np.array([-1e-6, -np.pi + 1e-6]), np.array([30.0, -20]), np.zeros(2), np.ones(2))
    back = parameters.lines_of_slopes(parameters.slopes(lines))
    np.testing.assert_allclose(back.phi_rad, lines.phi_rad, atol=1e-12)
    np.testing.assert_allclose(back.d_mm, lines.d_mm)


def test_a_line_without_heights_keeps_the_errors_of_its_top_view():
    x = 22 + 44.0 * np.arange(6)
    lines = lines_of.fit(
        np.zeros(6, int), 1, x, np.zeros(6), np.full(6, 5.0), np.full(6, np.nan), 1.0, 10.0
    )
    of_line = lines.covariance()
    assert np.isfinite(of_line[0, :2, :2]).all() and np.isnan(of_line[0, 2:]).all()
    of_slopes = parameters.carry(of_line, parameters.slopes_by_line(lines))
    assert np.isfinite(of_slopes[0, :2, :2]).all() and np.isnan(of_slopes[0, 2:]).all()
    assert np.isnan(parameters.slopes(lines)[0, 2:]).all()


@pytest.mark.real
def test_slopes_and_angles_of_a_file_of_tkevent_are_the_same_lines(real_data):
    tracks, _ = tkevent.read_objects(real_data / "root" / "tkevent_sample.root", "tracks")
    of_angles = np.stack([tracks[name] for name in ("phi", "r", "theta", "h")], axis=-1)
    of_slopes = np.stack([tracks[name] for name in ("a", "b", "c", "d")], axis=-1)
    assert len(of_angles) > 500
    assert_same_lines(
        parameters.lines_of_angles(of_angles), parameters.lines_of_slopes(of_slopes), 1e-6
    )
    # its quality is that of `FittedLines.quality`: its chi_squared is one a hit
    np.testing.assert_allclose(tracks["quality"], np.exp(-tracks["chi_squared"] / 2), rtol=1e-6)


def test_no_lines_are_no_error():
    none = Lines(*np.zeros((4, 0)))
    assert parameters.slopes(none).shape == parameters.angles(none).shape == (0, 4)
    assert parameters.carry(np.zeros((0, 4, 4)), parameters.slopes_by_line(none)).shape == (0, 4, 4)
    assert len(parameters.lines_of_slopes(np.zeros((0, 4)))) == 0
