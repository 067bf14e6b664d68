"""The Legendre search finds the highest point of the plane, in the whole of it or in a window."""

import numpy as np
import pytest

from datasets.geometry import CELL_MM, N_COLUMNS, N_LAYERS
from fitting import legendre

IDEAL = 1 / (np.sqrt(2 * np.pi) * 2)


def circles_of(phi, d, layers=range(N_LAYERS)):
    """Wires of the cells that a line crosses, nearest to it in each layer, and its distances from them."""
    x = 53 + CELL_MM * np.array(layers, float)
    y = np.round((d - np.cos(phi) * x) / np.sin(phi) / CELL_MM) * CELL_MM
    return x, y, np.abs(np.cos(phi) * x + np.sin(phi) * y - d)


def random_groups(seed, n_groups, n_lines=2, n_noise=5):
    """Groups of hits of lines with errors, and of noise: (group, x, y, radius, z)."""
    rng = np.random.default_rng(seed)
    columns = []
    for group in range(n_groups):
        parts = []
        for _ in range(n_lines):
            phi = rng.uniform(-np.pi + 0.3, -0.3)
            parts.append(circles_of(phi, rng.uniform(-1000, 1000)))
        noise = (
            rng.uniform(0, 400, n_noise),
            rng.uniform(-1500, 1500, n_noise),
            rng.uniform(0, 22, n_noise),
        )
        x, y, radius = np.concatenate([*parts, noise], axis=1)
        radius = np.abs(radius + rng.normal(0, 0.7, len(radius)))
        columns.append((np.full(len(x), group), x, y, radius, rng.uniform(-1000, 1000, len(x))))
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


def highest(x, y, radius):
    """The highest point of a plane by brute force: at fine angles, on every curve."""
    phi = np.linspace(-np.pi, 0, 4000, endpoint=False)
    across = np.cos(phi)[:, None] * (x - x.mean()) + np.sin(phi)[:, None] * (y - y.mean())
    curves = np.concatenate([across - radius, across + radius], axis=1)
    distance = np.abs(curves[:, :, None] - across[:, None, :])
    terms = np.exp(-0.5 * ((distance - radius) / 2) ** 2) * IDEAL
    return terms.sum(2).max()


@pytest.mark.parametrize(
    ("phi", "d"), [(-1.2, 300.0), (-2.2, -200.0), (-1.3, -1000.0), (-0.9, 1500.0)]
)
def test_a_line_through_ideal_circles_is_found_with_the_ideal_quality(phi, d):
    x, y, radius = circles_of(phi, d)
    lines = legendre.search(np.zeros(9, int), 1, x, y, radius, np.full(9, np.nan))
    path = np.cos(phi) * y - np.sin(phi) * x
    for s in (path.min(), path.max()):  # both ends of the line are where they are
        end = np.cos(phi) * d - np.sin(phi) * s, np.sin(phi) * d + np.cos(phi) * s
        assert abs(lines.distance_mm([0], *end)[0]) < 1.0
    assert lines.n_hits.tolist() == [9]
    np.testing.assert_allclose(lines.quality_per_mm(), IDEAL, rtol=0.02)
    assert lines.near.all()


def test_the_peak_is_the_one_that_brute_force_finds():
    group, x, y, radius, z = random_groups(1, 12)
    lines = legendre.search(group, 12, x, y, radius, z)
    expected = [highest(x[group == g], y[group == g], radius[group == g]) for g in range(12)]
    np.testing.assert_allclose(lines.peak_per_mm, expected, rtol=0.01)


def test_the_peak_is_the_height_of_the_plane_there():
    group, x, y, radius, z = random_groups(2, 5)
    lines = legendre.search(group, 5, x, y, radius, z)
    for g in range(5):
        own = group == g
        height = legendre.plane(x[own], y[own], radius[own], lines.phi_rad[[g]], lines.d_mm[[g]])
        np.testing.assert_allclose(lines.peak_per_mm[g], height[0, 0])
        assert lines.n_hits[g] == np.count_nonzero(lines.near[own])


def test_order_of_hits_and_size_of_chunks_do_not_matter(monkeypatch):
    group, x, y, radius, z = random_groups(3, 12)
    lines = legendre.search(group, 12, x, y, radius, z)
    monkeypatch.setattr(legendre, "_CHUNK_BINS", 200_000)
    monkeypatch.setattr(legendre, "_CHUNK_TERMS", 3_000)
    order = np.random.default_rng(4).permutation(len(x))
    again = legendre.search(group[order], 12, x[order], y[order], radius[order], z[order])
    np.testing.assert_allclose(again.peak_per_mm, lines.peak_per_mm)
    np.testing.assert_allclose(again.phi_rad, lines.phi_rad, atol=1e-9)
    np.testing.assert_array_equal(again.near, lines.near[order])


def test_a_mirrored_group_gives_the_mirrored_line():
    group, x, y, radius, z = random_groups(5, 8)
    lines = legendre.search(group, 8, x, y, radius, z)
    mirrored = legendre.search(group, 8, x, -y, radius, z)
    np.testing.assert_allclose(mirrored.peak_per_mm, lines.peak_per_mm, rtol=0.01)
    np.testing.assert_allclose(mirrored.d_mm, -lines.d_mm, atol=5.0)
    turn = mirrored.phi_rad - (-np.pi - lines.phi_rad)
    np.testing.assert_allclose((turn + np.pi / 2) % np.pi - np.pi / 2, 0, atol=0.01)


def test_a_track_along_the_foil_is_found():
    y = CELL_MM * np.arange(-50, 51)
    x = np.full(len(y), 97.0)
    lines = legendre.search(
        np.zeros(len(y), int), 1, x, y, np.full(len(y), 11.0), np.full(len(y), np.nan)
    )
    assert lines.n_hits[0] == len(y)
    assert abs(np.sin(lines.phi_rad[0])) < 1e-3
    assert min(abs(abs(lines.d_mm[0]) - wanted) for wanted in (86, 108)) < 0.5


def test_a_wire_on_the_line_counts_once():
    x, y, _ = circles_of(-1.0, 100.0)
    for radius in (0.0, 1.0, 1.9):
        hits = np.zeros(2, int), 1, x[:2], y[:2], np.full(2, radius), np.full(2, np.nan)
        lines = legendre.search(*hits)
        assert 0.98 * 2 * IDEAL < lines.peak_per_mm[0] <= 2 * IDEAL + 1e-9


def test_heights_are_the_regression_of_the_measured_ones_near_the_line():
    x, y, radius = circles_of(-1.3, 250.0)
    rng = np.random.default_rng(6)
    z = rng.normal(300, 100, 9)
    z[[2, 5]] = np.nan
    sigma = rng.uniform(5, 40, 9)
    far = [200.0], [3000.0], [5.0], [-1500.0]  # not on the line
    x, y, radius, z = (
        np.append(values, one) for values, one in zip((x, y, radius, z), far, strict=True)
    )
    lines = legendre.search(np.zeros(10, int), 1, x, y, radius, z, sigma_z_mm=np.append(sigma, 1))
    path = lines.path_mm(np.zeros(10, int), x, y)
    used = np.isfinite(z) & (np.arange(10) < 9)
    slope, constant = np.polyfit(path[used], z[used], 1, w=1 / sigma[used[:9]])
    np.testing.assert_allclose([lines.tan_dip[0], lines.z0_mm[0]], [slope, constant], rtol=1e-6)


def test_without_two_heights_the_line_has_none():
    x, y, radius = circles_of(-1.3, 250.0)
    z = np.full(9, np.nan)
    z[4] = 10.0
    lines = legendre.search(np.zeros(9, int), 1, x, y, radius, z)
    assert np.isfinite(lines.phi_rad[0])
    assert np.isnan([lines.z0_mm[0], lines.tan_dip[0]]).all()


def test_groups_with_too_few_radii_have_no_line():
    nan = np.nan
    group = np.array([1, 2, 2, 3, 3, -1, -1, -1])
    radius = np.array([5.0, 5.0, nan, nan, nan, 1.0, 2.0, 3.0])
    x = np.arange(8) * CELL_MM
    lines = legendre.search(group, 5, x, x, radius, np.full(8, nan))
    assert np.isnan(lines.phi_rad).all()
    assert lines.peak_per_mm.tolist() == lines.n_hits.tolist() == [0] * 5
    assert np.isnan(lines.quality_per_mm()).all()
    assert not lines.near.any()


def test_nothing_gives_nothing():
    nothing = np.zeros(0)
    for n_groups in (0, 3):
        lines = legendre.search(np.zeros(0, int), n_groups, *[nothing] * 4)
        assert len(lines) == n_groups
        assert np.isnan(lines.phi_rad).all()


def test_a_tracker_in_which_every_cell_fired_gets_a_line():
    layer, column = np.divmod(np.arange(N_LAYERS * N_COLUMNS), N_COLUMNS)
    x = np.tile(53 + CELL_MM * layer, 2)
    y = np.tile(CELL_MM * (column - 56.0), 2)
    side = np.repeat([0, 1], len(layer))
    lines = legendre.search(side, 2, x, y, np.full(len(x), 10.0), np.full(len(x), np.nan))
    assert len(x) == 2034
    assert (lines.n_hits >= 2 * N_LAYERS).all()
    assert lines.peak_per_mm[0] == lines.peak_per_mm[1]


# ---- windows -----------------------------------------------------------------------------------------------


def two_lines():
    """Hits of a line of nine hits and of one of six, and the second: (hits, phi, d)."""
    phi, d = -1.9, 500.0
    first = circles_of(-1.1, -200.0)
    second = circles_of(phi, d, range(6))
    x, y, radius = np.concatenate([first, second], axis=1)
    return (np.zeros(15, int), 1, x, y, radius, np.full(15, np.nan)), phi, d


def test_a_window_hides_the_better_line_outside():
    hits, phi, d = two_lines()
    assert abs(legendre.search(*hits).phi_rad[0] + 1.1) < 0.01
    foil = d / np.sin(phi)
    by_angle = legendre.search(*hits, phi_window_rad=[(phi - 0.2, phi + 0.3)])
    by_place = legendre.search(*hits, foil_window_mm=[(foil - 40, foil + 30)])
    both = legendre.search(
        *hits, phi_window_rad=[(phi - 0.05, phi + 0.05)], foil_window_mm=[(foil - 5, foil + 5)]
    )
    for lines in (by_angle, by_place, both):
        np.testing.assert_allclose(
            [lines.phi_rad[0], lines.d_mm[0] / 1000], [phi, d / 1000], atol=0.005
        )
        assert lines.n_hits[0] >= 6


def test_a_line_stays_in_its_window():
    group, x, y, radius, z = random_groups(7, 40)
    rng = np.random.default_rng(8)
    phi = rng.uniform(-np.pi, -0.3, 40)
    foil = rng.uniform(-1500, 1500, 40)
    phi_window = np.column_stack([phi, phi + rng.uniform(0.01, 0.3, 40)])
    foil_window = np.column_stack([foil, foil + rng.uniform(1, 300, 40)])
    lines = legendre.search(
        group, 40, x, y, radius, z, phi_window_rad=phi_window, foil_window_mm=foil_window
    )
    where, _ = lines.foil_mm()
    assert (lines.phi_rad >= phi_window[:, 0] - 1e-6).all()
    assert (lines.phi_rad <= phi_window[:, 1] + 1e-6).all()
    assert (where >= foil_window[:, 0] - 1e-3).all()
    assert (where <= foil_window[:, 1] + 1e-3).all()


def test_a_window_beyond_half_a_turn_means_the_same_lines():
    hits, phi, _ = two_lines()
    window = np.array([(phi - 0.1, phi + 0.1)])
    lines = legendre.search(*hits, phi_window_rad=window)
    turned = legendre.search(*hits, phi_window_rad=window + np.pi)
    np.testing.assert_allclose(turned.phi_rad, lines.phi_rad, atol=1e-4)
    np.testing.assert_allclose(turned.d_mm, lines.d_mm, atol=0.1)


def test_a_hint_that_is_right_costs_nothing():
    group, x, y, radius, z = random_groups(9, 30)
    free = legendre.search(group, 30, x, y, radius, z)
    foil, _ = free.foil_mm()
    steep = np.abs(np.sin(free.phi_rad)) > 0.2
    phi_window = free.phi_rad[:, None] + [-0.06, 0.05]
    foil_window = foil[:, None] + [-30, 20]
    hinted = legendre.search(
        group, 30, x, y, radius, z, phi_window_rad=phi_window, foil_window_mm=foil_window
    )
    assert steep.sum() > 20
    assert (hinted.peak_per_mm[steep] > 0.99 * free.peak_per_mm[steep]).all()


def test_windows_that_make_no_sense_are_refused():
    hits, _, _ = two_lines()
    with pytest.raises(ValueError, match="window of angles of group 0 from -1.0 to -2.0"):
        legendre.search(*hits, phi_window_rad=[(-1, -2)])
    with pytest.raises(ValueError, match=r"places at the foil of shape \(2, 2\), not \(1, 2\)"):
        legendre.search(*hits, foil_window_mm=[(0, 1), (0, 1)])


def test_the_outline_of_a_window_goes_around_it():
    phi, d = legendre.outline((-2.0, -1.0), (100.0, 200.0), 3000)
    assert (phi[0], d[0]) == (phi[-1], d[-1])
    assert (phi.min(), phi.max()) == (-2, -1)
    ratio = d / np.sin(phi)
    assert set(np.round(ratio)) == {100, 200}
    _, d = legendre.outline(None, None, 3000)
    assert (d.min(), d.max()) == (-3000, 3000)
