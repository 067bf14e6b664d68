"""Lines: what their named fields mean, worked by hand and as invariants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitting import lines as lines_of
from fitting.lines import Lines

# y = 3/4 x: its normal (3, -4) / 5 is on the side of larger x, its path grows with x and y; z = 100 + 2 s
BY_HAND = Lines(np.arctan2([-0.8], [0.6]), np.zeros(1), np.array([100.0]), np.array([2.0]))


@pytest.fixture
def many():
    rng = np.random.default_rng(0)
    phi = rng.uniform(-np.pi, 0, 50)
    d, z0 = rng.uniform(-1000, 1000, (2, 50))
    return Lines(phi, d, z0, rng.normal(size=50))


def test_a_line_worked_by_hand():
    assert len(BY_HAND) == 1
    np.testing.assert_allclose(
        BY_HAND.distance_mm(0, np.array([4.0, 5.0]), np.array([3.0, 0.0])), [0, 3], atol=1e-9
    )
    np.testing.assert_allclose(
        BY_HAND.path_mm(0, np.array([4.0, 5.0]), np.array([3.0, 0.0])), [5, 4]
    )
    np.testing.assert_allclose(BY_HAND.point_mm(0, 5.0), [4, 3])
    np.testing.assert_allclose(BY_HAND.z_along(0, 5.0), 110)
    np.testing.assert_allclose(BY_HAND.z_at(0, 4.0, 3.0), 110)
    np.testing.assert_allclose(BY_HAND.slopes(), [[0.75], [2.5]])
    np.testing.assert_allclose(BY_HAND.foil_mm(), [[0], [100]], atol=1e-9)


def test_a_point_at_a_path_lies_on_its_line_at_that_path(many):
    line = np.arange(50)
    path = np.linspace(-300, 300, 50)
    x, y = many.point_mm(line, path)
    np.testing.assert_allclose(many.distance_mm(line, x, y), 0, atol=1e-9)
    np.testing.assert_allclose(many.path_mm(line, x, y), path, atol=1e-9)
    np.testing.assert_allclose(many.z_at(line, x, y), many.z_along(line, path), atol=1e-9)


def test_slopes_and_the_crossing_of_the_foil_give_the_same_points(many):
    dy_dx, dz_dx = many.slopes()
    foil_y, foil_z = many.foil_mm()
    line = np.arange(50)
    x = 200.0
    y = foil_y + dy_dx * x
    np.testing.assert_allclose(many.distance_mm(line, x, y), 0, atol=1e-6)
    np.testing.assert_allclose(many.z_at(line, x, y), foil_z + dz_dx * x, atol=1e-6)


def test_lines_are_taken_put_and_joined(many):
    first, rest = many[:20], many[20:]
    both = lines_of.concatenate([first, rest])
    assert len(first) == 20 and len(both) == 50
    for name in ("phi_rad", "d_mm", "z0_mm", "tan_dip"):
        np.testing.assert_array_equal(getattr(both, name), getattr(many, name))
        np.testing.assert_array_equal(
            getattr(many[many.d_mm > 0], name), getattr(many, name)[many.d_mm > 0]
        )
    places = np.array([3, 0])
    some = lines_of.unknown(4)
    some[places] = many[:2]
    assert np.isnan(some.d_mm).tolist() == [False, True, True, False]
    assert some.tan_dip[places].tolist() == many.tan_dip[:2].tolist()


@given(st.floats(-20, 20), st.floats(-1000, 1000), st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_a_normal_that_is_turned_round_belongs_to_the_same_line(phi, d, x, y):
    angle, sign = lines_of.normal_angle(np.array([phi]))
    assert -np.pi <= angle[0] <= 0
    before = np.cos(phi) * x + np.sin(phi) * y - d
    turned = Lines(angle, sign * d, np.zeros(1), sign)
    np.testing.assert_allclose(turned.distance_mm(0, x, y), sign[0] * before, atol=1e-9)
    path = np.cos(phi) * y - np.sin(phi) * x
    np.testing.assert_allclose(turned.z_at(0, x, y), path, atol=1e-9)
