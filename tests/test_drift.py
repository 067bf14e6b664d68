import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from datasets.drift import (
    BETSY_BREAK_US,
    MODELS,
    drift_radius_mm,
    drift_time_ns,
    height_mm,
    possible_radius_mm,
    sigma_radius_mm,
)


def test_radii_worked_by_hand():
    # Manchester at 1 us: u = 10, 10^0.580148 = 3.803193, 5.70947153 / (3.803193 + 1.656748) = 1.045702 cm
    assert drift_radius_mm(1000) == pytest.approx(10.45702, abs=1e-4)
    # Betsy at 1 us: (1 / 0.828)^(1 / 1.907) = exp(0.188742 / 1.907) = 1.104037 cm
    assert drift_radius_mm(1000, "betsy") == pytest.approx(11.04037, abs=1e-4)
    # Betsy at 5 us: (5 / 0.402)^(1 / 2.955) = 2.346776 cm
    assert drift_radius_mm(5000, "betsy") == pytest.approx(23.46776, abs=1e-4)


def test_the_names_tkevent_uses_are_understood_and_others_are_not():
    assert drift_radius_mm(1000, "Betsy") == drift_radius_mm(1000, "betsy")
    with pytest.raises(ValueError, match="no drift model prague, only manchester, betsy"):
        drift_time_ns(10, "prague")


@pytest.mark.parametrize("model", MODELS)
def test_time_and_radius_are_inverse_to_each_other(model):
    radius = np.linspace(0, 50, 2001)
    back = drift_radius_mm(drift_time_ns(radius, model), model)
    np.testing.assert_allclose(back, radius, atol=1e-10)
    time = np.linspace(0, 20_000, 20_001)
    back = drift_time_ns(drift_radius_mm(time, model), model)
    break_ns = 1000 * BETSY_BREAK_US
    settled = (time < break_ns) | (time > break_ns + 1)
    np.testing.assert_allclose(back[settled], time[settled], atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_the_inverse_agrees_with_a_search_for_the_root(model):
    def too_far(time, radius):
        return drift_radius_mm(time, model) - radius

    for radius in (0.3, 7.0, 15.5, 19.8, 22.0):
        root = brentq(too_far, 0, 6000, args=(radius,))
        assert drift_time_ns(radius, model) == pytest.approx(root, abs=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_radii_start_at_the_wire_and_rise(model):
    time = np.linspace(0, 20_000, 200_001)
    radius = drift_radius_mm(time, model)
    assert radius[0] == 0
    assert drift_time_ns(0, model) == 0
    # Betsy's second law starts 1.2 um below the end of the first
    rise = np.diff(radius)
    settled = np.abs(time[1:] - 1000 * BETSY_BREAK_US) > 1
    assert (rise[settled] > 0).all()
    assert rise.min() > -0.0013


def test_the_two_laws_of_manchester_meet_at_the_edge_of_the_cell():
    np.testing.assert_allclose(drift_radius_mm([4000.9, 4001.2]), 22.488, atol=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_without_a_time_there_is_no_radius(model):
    assert np.isnan(drift_radius_mm([-1, np.nan, -0.5], model)).all()
    assert np.isnan(drift_time_ns([-1, np.nan], model)).all()
    assert drift_radius_mm([], model).shape == (0,)


@given(st.floats(0, 50), st.sampled_from(list(MODELS)))
def test_every_radius_has_a_time(radius, model):
    time = drift_time_ns(radius, model)
    assert float(drift_radius_mm(time, model)) == pytest.approx(radius, abs=1e-9)


def test_heights_worked_by_hand():
    # a plasma that starts at the bottom reaches it at once, one in the middle reaches both ends together
    height = height_mm([100, 100, 100], [100, 300, 500], [500, 300, 100])
    np.testing.assert_allclose(height, [-1385, 0, 1385])
    np.testing.assert_allclose(height_mm(0.0, 30.0, 10.0, length_mm=2900), 725)


def test_a_height_needs_three_times():
    anode = [-1, 1, 1, np.nan, 3, 1]
    bottom = [5, -1, 5, 5, 3, 5]
    top = [5, 5, -1, 5, 3, 5]
    np.testing.assert_array_equal(height_mm(anode, bottom, top), [np.nan] * 5 + [0])


def test_a_cathode_that_fired_before_the_anode_gives_no_height():
    # 2770 x -50 / 1900 - 1385 = -1458 mm would be beyond the end of the wire
    height = height_mm(100, [50, 2050, 50, 100], [2050, 50, 60, 2050])
    np.testing.assert_array_equal(height, [np.nan, np.nan, np.nan, -1385])


def test_long_timestamps_keep_their_last_tick():
    start = 2**60
    height = height_mm(np.int64(start), np.int64(start + 1000), np.int64(start + 1001))
    assert height == pytest.approx(2770 * 1000 / 2001 - 1385, abs=1e-9)


def test_mirrored_cathode_times_give_the_mirrored_height():
    rng = np.random.default_rng(0)
    anode = rng.integers(0, 10**6, 100)
    one = anode + rng.integers(1, 4000, 100)
    other = anode + rng.integers(1, 4000, 100)
    np.testing.assert_allclose(
        height_mm(anode, one, other), -height_mm(anode, other, one), atol=1e-9
    )


def test_resolution_is_best_at_12_25_mm_and_worse_at_the_wire():
    # 0.425 (1 + 0.0083 x 12.25^2) = 0.425 x 2.245519 = 0.954345
    np.testing.assert_allclose(
        sigma_radius_mm([0, 12.25, 22]), [0.954345, 0.425, 0.760333], atol=1e-6
    )


def test_a_radius_beyond_the_corner_of_the_cell_is_no_distance_of_a_track():
    corner = np.hypot(22, 22)
    radius = possible_radius_mm(np.array([0.0, 22.0, corner, 33.2, np.nan]))
    np.testing.assert_array_equal(radius, [0, 22, corner, np.nan, np.nan])
