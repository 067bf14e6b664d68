"""The batched fit of straight lines: exact hits, statistics of smeared ones, symmetries, SciPy, degenerate
input.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, optimize, stats

from datasets.drift import sigma_radius_mm
from datasets.geometry import CELL_RADIUS_MM, TOY_FIRST_WIRE_MM, wire_x_mm, wire_y_mm
from fitting import line as lines_of
from fitting import parameters, vertex
from my_generator import realistic, straight_lines

pytestmark = pytest.mark.filterwarnings("error")
SIGMA_Z_MM = 10.0  # of the preset `simulation`


def hit_arrays(events):
    """Arguments of `fit` from an event table, up to the errors: hits of no track get line -1."""
    hits = events.hits
    line = np.where(
        hits["track"] >= 0, events.track_offsets[:-1][events.hit_event] + hits["track"], -1
    )
    x, y = wire_x_mm(hits["side"], hits["layer"], TOY_FIRST_WIRE_MM), wire_y_mm(hits["column"])
    return [
        line,
        len(events.tracks["side"]),
        x,
        y,
        hits["drift_radius_mm"].astype(float),
        hits["z_mm"].astype(float),
    ]


def fit(arrays, **options):
    return lines_of.fit(*arrays, sigma_radius_mm(arrays[4]), SIGMA_Z_MM, **options)


def true_lines(events):
    """phi, d, z0, tan_dip of the tracks of an event table with hits on side 1."""
    slope, foil_y, foil_z = (
        events.tracks[name].astype(float) for name in ("slope_y", "foil_y_mm", "foil_z_mm")
    )
    phi = np.arctan2(-1, slope)
    dip = events.tracks["slope_z"] * -np.sin(phi)
    return phi, np.sin(phi) * foil_y, foil_z - dip * np.cos(phi) * foil_y, dip


@pytest.fixture(scope="module")
def smeared():
    """2000 single tracks with the errors of the preset `simulation`: events, arguments of `fit`, the fitted
    lines.
    """
    events = realistic.generate(2000, tracks=1, preset="simulation", seed=7)
    arrays = hit_arrays(events)
    return events, arrays, fit(arrays)


def some(arrays, n_lines):
    """The hits of the first lines only."""
    first = (arrays[0] >= 0) & (arrays[0] < n_lines)
    return [arrays[0][first], n_lines, *(array[first] for array in arrays[2:])]


# exact hits


def test_a_line_worked_by_hand_is_found():
    # y = 3/4 x, normal (4, -3) / 5 to the right of it or (-4, 3) / 5; wires at distances 8.8 and 17.6; z =
    # 100 + 2 s
    x, y = np.array([44.0, 88, 88, 132]), np.array([44.0, 44, 88, 88])
    z = 100 + 2 * (4 * x + 3 * y) / 5
    lines = lines_of.fit(np.zeros(4, int), 1, x, y, np.array([8.8, 17.6, 17.6, 8.8]), z, 1.0, 10.0)
    assert lines.valid.all()
    assert np.allclose(lines.slopes(), [[0.75], [2 * 5 / 4]])
    assert np.allclose(lines.foil_mm(), [[0], [100]])
    assert np.allclose([lines.d_mm[0], lines.z0_mm[0], lines.tan_dip[0]], [0, 100, 2])
    assert np.allclose(lines.distance_mm(0, x, y), np.array([-8.8, 17.6, -17.6, 8.8]))
    assert lines.side.tolist() == [-1, 1, -1, 1]
    assert np.allclose(lines.z_at(0, x, y), z)
    assert lines.n_hits[0] == lines.n_z[0] == 4


def test_exact_hits_lie_on_the_fitted_lines_and_give_the_true_ones():
    events = straight_lines.generate(1500, tracks=1, seed=3)
    arrays = hit_arrays(events)
    line, n_lines, x, y, radius, z = arrays
    lines = fit(arrays)
    assert lines.valid.all()
    assert np.abs(np.abs(lines.distance_mm(line, x, y)) - radius).max() < 1e-3
    assert (
        np.abs(lines.z_at(line, x, y) - z).max() < 1e-2
    )  # float32 heights of lines that hardly move along s
    phi, d, *_ = true_lines(events)
    far = np.cos(phi)[line] * x + np.sin(phi)[line] * y - d[line]
    found = lines.distance_mm(line, x, y) * np.sign(np.cos(lines.phi_rad - phi))[line]
    assert np.abs(found - far)[~lines.mirrored[line]].max() < 1e-2
    flat = ~lines.mirrored & (np.abs(events.tracks["slope_y"]) < 3)
    assert np.abs(lines.foil_mm()[0] - events.tracks["foil_y_mm"])[flat].max() < 1e-2
    assert np.allclose(lines.slopes()[0][flat], events.tracks["slope_y"][flat], atol=1e-4)
    gentle = flat & (np.abs(events.tracks["slope_z"]) < 3)
    assert np.abs(lines.foil_mm()[1] - events.tracks["foil_z_mm"])[gentle].max() < 1e-2
    assert np.allclose(lines.slopes()[1][gentle], events.tracks["slope_z"][gentle], atol=1e-3)


def test_only_wires_on_a_straight_line_leave_two_solutions():
    events = straight_lines.generate(1500, tracks=1, seed=3)
    arrays = hit_arrays(events)
    lines = fit(arrays)
    line, n_lines, x, y, *_ = arrays
    for k in range(300):
        wires = np.stack([x[line == k], y[line == k]], 1)
        assert lines.mirrored[k] == (np.linalg.matrix_rank(wires - wires[0]) == 1)
    assert 0.01 < lines.mirrored.mean() < 0.1


# statistics of smeared hits


def test_chi2_is_that_of_its_degrees_of_freedom(smeared):
    _, _, lines = smeared
    n_radius, n_z = lines.n_degrees()
    assert (
        abs(lines.chi2_radius.sum() / n_radius.sum() - 1) < 0.03
    )  # 0.01 expected from 24,000 degrees
    assert abs(lines.chi2_z.sum() / n_z.sum() - 1) < 0.03


def test_p_values_are_flat(smeared):
    p = smeared[2].p_value()
    counts = np.histogram(p, 10, (0, 1))[0]
    assert np.abs(counts - 200).max() < 4.5 * np.sqrt(180)


def test_pulls_have_unit_width(smeared):
    events, _, lines = smeared
    found = np.stack([lines.phi_rad, lines.d_mm, lines.z0_mm, lines.tan_dip])
    errors = np.sqrt(
        [
            *lines.covariance_phi_d[:, [0, 1], [0, 1]].T,
            *lines.covariance_z0_dip[:, [0, 1], [0, 1]].T,
        ]
    )
    pulls = ((found - true_lines(events)) / errors)[:, ~lines.mirrored]
    assert np.abs(pulls.std(1) - 1).max() < 4 / np.sqrt(2 * 1900)
    assert np.abs(pulls.mean(1)).max() < 4 / np.sqrt(1900)
    assert (np.abs(pulls) > 4).mean() < 0.002


def test_correlations_are_those_of_the_errors(smeared):
    events, _, lines = smeared
    found, true = (
        np.stack([lines.phi_rad, lines.d_mm, lines.z0_mm, lines.tan_dip]),
        true_lines(events),
    )
    for which, covariance in (
        (slice(0, 2), lines.covariance_phi_d),
        (slice(2, 4), lines.covariance_z0_dip),
    ):
        difference = (found - true)[which].T
        squares = np.einsum("li,lij,lj->l", difference, np.linalg.inv(covariance), difference)[
            ~lines.mirrored
        ]
        assert abs(np.median(squares) - 2 * np.log(2)) < 0.15  # chi2 of two degrees; 0.045 expected


def test_covariance_is_the_inverse_of_the_curvature_of_chi2():
    events = straight_lines.generate(30, tracks=1, seed=4)
    arrays = hit_arrays(events)
    line, n_lines, x, y, radius, _ = arrays
    lines = fit(arrays)

    def half_chi2(phi, d):
        distance = np.cos(phi)[line] * x + np.sin(phi)[line] * y - d[line]
        return (
            np.bincount(line, ((np.abs(distance) - radius) / sigma_radius_mm(radius)) ** 2, n_lines)
            / 2
        )

    step = np.sqrt(lines.covariance_phi_d[:, [0, 1], [0, 1]]).T / 50
    curvature = np.empty((n_lines, 2, 2))
    one, two = np.eye(2)[:, :, None] * step  # a step in phi, a step in d, each (2, line)
    best = np.stack([lines.phi_rad, lines.d_mm])
    for i, j, first, second in [
        (0, 0, one, one),
        (0, 1, one, two),
        (1, 0, two, one),
        (1, 1, two, two),
    ]:
        ends = [
            half_chi2(*(best + a * first + b * second))
            for a, b in [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        ]
        curvature[:, i, j] = (ends[0] - ends[1] - ends[2] + ends[3]) / (4 * step[i] * step[j])
    smooth = (
        np.bincount(line, radius < 0.3, n_lines) == 0
    )  # chi2 has an edge where a line touches a wire
    assert smooth.sum() > 10
    np.testing.assert_allclose(
        np.linalg.inv(curvature[smooth]), lines.covariance_phi_d[smooth], rtol=0.01
    )


def test_heights_are_a_weighted_straight_line_fit():
    rng = np.random.default_rng(0)
    x = np.tile(22 + 44.0 * np.arange(9), 2)
    y = np.repeat([0.0, 44.0], 9)  # a line at y = 22 along x through the middle between two rows
    sigma_z = rng.uniform(5, 50, 18)
    z = 50 + 1.5 * x + sigma_z * rng.standard_normal(18)
    lines = lines_of.fit(
        np.zeros(18, int), 1, x, y - 22, np.full(18, 22.0), z, 0.5, sigma_z
    )  # shifted: d = 0
    (slope, constant), covariance = np.polyfit(x, z, 1, w=1 / sigma_z, cov="unscaled")
    assert np.allclose([lines.z0_mm[0], lines.tan_dip[0]], [constant, slope])
    assert np.allclose(lines.covariance_z0_dip[0], covariance[::-1, ::-1])
    assert np.isclose(lines.chi2_z[0], np.sum(((z - constant - slope * x) / sigma_z) ** 2))


def best_of_scipy(x, y, radius, sigma, n_starts=6):
    """Lowest chi2 that SciPy finds from the lowest minima of a fine grid of lines through a track's cells."""
    x, y = x - x.mean(), y - y.mean()
    axis = np.linalg.eigh(np.cov(x, y))[1][:, 1]
    length = max(np.abs(axis[0] * x + axis[1] * y).max(), 30)
    phi = np.arctan2(axis[0], -axis[1]) + np.arctan(np.linspace(-60, 60, 121) / length)
    d = np.arange(-45, 46.0)
    distance = np.multiply.outer(np.cos(phi), x) + np.multiply.outer(np.sin(phi), y)
    chi2 = (((np.abs(distance[:, None] - d[:, None]) - radius) / sigma) ** 2).sum(-1)
    minima = np.argwhere(chi2 == ndimage.minimum_filter(chi2, 3))
    minima = minima[np.argsort(chi2[tuple(minima.T)])[:n_starts]]

    def residuals(line):
        return (np.abs(np.cos(line[0]) * x + np.sin(line[0]) * y - line[1]) - radius) / sigma

    return min(
        2 * optimize.least_squares(residuals, (phi[i], d[j]), x_scale=(1 / length, 1)).cost
        for i, j in minima
    )


@pytest.mark.parametrize(("preset", "scale"), [("simulation", 1.0), ("harsh", 2.0)])
def test_scipy_finds_hardly_any_better_line(preset, scale):
    arrays = some(
        hit_arrays(realistic.generate(120, tracks=1, preset=preset, seed=11, kinks=0.0)), 60
    )
    line, n_lines, x, y, radius, _ = arrays
    sigma = scale * sigma_radius_mm(radius)
    lines = lines_of.fit(*arrays, sigma, SIGMA_Z_MM)
    tracks = [line == k for k in range(n_lines) if (line == k).sum() > 2]
    scipy = np.array(
        [best_of_scipy(x[hits], y[hits], radius[hits], sigma[hits]) for hits in tracks]
    )
    ours = lines.chi2_radius[[line[hits][0] for hits in tracks]]
    assert (ours > scipy + 0.01).sum() == 0  # of 60; less than one in a hundred in the long run
    assert (ours < scipy + 0.01).all()
    assert (np.abs(ours - scipy) < 0.01).mean() > 0.9


def test_the_covariance_of_all_four_is_that_of_the_errors(smeared):
    events, _, lines = smeared
    difference = (
        np.stack([lines.phi_rad, lines.d_mm, lines.z0_mm, lines.tan_dip]) - true_lines(events)
    ).T
    covariance = lines.covariance()
    squares = np.einsum("li,lij,lj->l", difference, np.linalg.inv(covariance), difference)[
        ~lines.mirrored
    ]
    assert abs(np.median(squares) - stats.chi2(4).median()) < 0.25  # 0.075 expected
    np.testing.assert_allclose(covariance[:, :2, :2], lines.covariance_phi_d)
    np.testing.assert_allclose(covariance[:, 2:, 2:], lines.covariance_z0_dip)
    np.testing.assert_allclose(covariance, covariance.swapaxes(1, 2))


def test_quality_is_one_for_exact_hits_and_falls_with_their_errors(smeared):
    exact = fit(hit_arrays(straight_lines.generate(50, tracks=1, seed=3)))
    assert exact.quality().min() > 0.999
    _, arrays, lines = smeared
    quality = lines.quality()
    assert ((quality > 0) & (quality <= 1)).all()
    np.testing.assert_allclose(
        -2 * (lines.n_hits + lines.n_z) * np.log(quality), lines.chi2_radius + lines.chi2_z
    )
    # 17 hits of a line with four parameters: chi2 is 30 of 34 values
    assert 0.6 < np.median(quality) < 0.7
    worse = lines_of.fit(*arrays, sigma_radius_mm(arrays[4]) / 2, SIGMA_Z_MM / 2)
    assert (worse.quality() <= quality + 1e-9).all()


def test_quality_by_hand():
    # three wires at 10 from a line along them, one of them by 2 errors off: the line's own chi2 is known
    x = np.array([0.0, 44, 88])
    lines = lines_of.fit(
        np.zeros(3, int), 2, x, np.zeros(3), np.array([10.0, 13, 10]), np.zeros(3), 1.0, 10.0
    )
    # residuals of a straight line through 0, 3, 0 are -1, 2, -1
    np.testing.assert_allclose(lines.quality()[0], np.exp(-6 / (2 * 6)), rtol=1e-4)
    assert np.isnan(lines.quality()[1])


# mirror images


@pytest.fixture(scope="module")
def images(smeared):
    _, arrays, lines = smeared
    return lines_of.fit_mirror_images(
        lines, arrays[0], *arrays[2:], sigma_radius_mm(arrays[4]), SIGMA_Z_MM
    )


def test_mirror_images_fit_as_well_and_are_the_other_solution(smeared, images):
    _, (line, _, x, y, *_), lines = smeared
    mirrored = lines.mirrored
    assert mirrored.sum() > 50
    np.testing.assert_array_equal(images.valid, mirrored)
    np.testing.assert_allclose(
        images.chi2_radius[mirrored], lines.chi2_radius[mirrored], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        images.chi2_z[mirrored], lines.chi2_z[mirrored], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(images.n_hits[mirrored], lines.n_hits[mirrored])
    np.testing.assert_array_equal(images.n_z[mirrored], lines.n_z[mirrored])
    np.testing.assert_allclose(images.quality()[mirrored], lines.quality()[mirrored])
    assert np.isnan(images.phi_rad[~mirrored]).all() and (images.n_hits[~mirrored] == 0).all()
    own = mirrored[line]
    there = images.distance_mm(line, x, y)[own]
    here = lines.distance_mm(line, x, y)[own]
    np.testing.assert_allclose(np.abs(there), np.abs(here), atol=1e-6)
    far = np.abs(here) > 1
    sign_of_normals = np.sign(np.cos(images.phi_rad - lines.phi_rad))[line[own]]
    row_side = sign_of_normals * np.sign(there) == -np.sign(here)
    along_normals = np.abs(np.cos(images.phi_rad - lines.phi_rad))[line[own]] > 0.1
    assert row_side[far & along_normals].all()


def test_one_of_both_images_is_the_true_line(smeared, images):
    events, _, lines = smeared
    phi, *_ = true_lines(events)
    mirrored = np.flatnonzero(lines.mirrored)

    def off(found):
        turn = found.phi_rad - phi
        return np.abs(np.arctan(np.tan(turn)))[mirrored] / np.sqrt(
            lines.covariance_phi_d[mirrored, 0, 0]
        )

    assert (np.minimum(off(lines), off(images)) < 4).all()
    assert 0.3 < (off(lines) > 4).mean() < 0.8  # the fit cannot know which


def test_the_image_of_an_image_is_the_line(smeared, images):
    _, arrays, lines = smeared
    again = lines_of.fit_mirror_images(
        images, arrays[0], *arrays[2:], sigma_radius_mm(arrays[4]), SIGMA_Z_MM
    )
    for name in ("phi_rad", "d_mm", "z0_mm", "tan_dip", "covariance_phi_d", "covariance_z0_dip"):
        found = getattr(again, name)[lines.mirrored]
        np.testing.assert_allclose(
            found, getattr(lines, name)[lines.mirrored], rtol=1e-5, atol=1e-6
        )


def test_the_image_of_a_line_worked_by_hand():
    # wires on the x axis; y = 4 + x / 4 and its image y = -4 - x / 4, z = 2 x
    x = 44.0 * np.arange(5)
    radius = (4 + x / 4) / np.hypot(1, 0.25)
    z = 2 * (x + 0.25 * -4) / (1 + 0.25**2)  # where the wires are nearest to the line
    hits = [np.zeros(5, int), x, np.zeros(5), radius, z, 0.5, 10.0]
    lines = lines_of.fit(hits[0], 1, *hits[1:])
    images = lines_of.fit_mirror_images(lines, *hits)
    both = [lines, images]
    assert sorted(one.slopes()[0][0].round(6) for one in both) == [-0.25, 0.25]
    for one in both:
        foil_y, foil_z = one.foil_mm()
        np.testing.assert_allclose(foil_y[0], 16 * one.slopes()[0][0])
        np.testing.assert_allclose([foil_z[0], one.slopes()[1][0]], [0, 2], atol=1e-9)


def test_the_image_that_comes_from_the_foil_is_taken(smeared, images):
    events, arrays, lines = smeared
    taken = lines_of.from_foil(lines, images, arrays[0], arrays[2], arrays[3])
    phi, *_ = true_lines(events)

    def is_wrong(found):
        return np.abs(np.sin(found.phi_rad - phi)) > 4 * np.sqrt(lines.covariance_phi_d[:, 0, 0])

    changed = taken.phi_rad != lines.phi_rad
    assert changed.sum() > 10 and lines.mirrored[changed].all()
    assert is_wrong(lines)[changed].mean() > 0.9 and is_wrong(taken)[changed].mean() < 0.1
    for name in (
        "phi_rad",
        "d_mm",
        "z0_mm",
        "covariance_phi_d",
        "covariance_z0_dip",
        "chi2_z",
        "n_hits",
    ):
        wanted = np.where(
            changed.reshape(-1, *[1] * (getattr(lines, name).ndim - 1)),
            getattr(images, name),
            getattr(lines, name),
        )
        np.testing.assert_array_equal(getattr(taken, name), wanted)
    distance = taken.distance_mm(arrays[0], arrays[2], arrays[3])
    np.testing.assert_array_equal(taken.side, np.where(distance < 0, -1, 1))


def test_a_track_along_the_foil_begins_at_the_foil_and_its_image_at_the_other_end():
    # through the first layer from the foil at y = -20: x = 10 at the first wire, 30 at the last
    y = 44.0 * np.arange(11)
    hits = [
        np.zeros(11, int),
        np.full(11, 22.0),
        y,
        np.abs(2 * np.arange(11) - 12.0),
        0 * y,
        0.5,
        10.0,
    ]
    lines = lines_of.fit(hits[0], 1, *hits[1:])
    images = lines_of.fit_mirror_images(lines, *hits)
    one = lines_of.from_foil(lines, images, *hits[:3])
    other = lines_of.from_foil(images, lines, *hits[:3])
    np.testing.assert_allclose(one.foil_mm()[0], other.foil_mm()[0], rtol=1e-6)
    foil_y = one.foil_mm()[0][0]
    assert -250 < foil_y < 0
    assert one.slopes()[0][0] > 0


def test_an_image_of_the_same_way_from_the_foil_is_not_taken():
    x = 22 + 44.0 * np.arange(9)
    hits = [np.zeros(9, int), x, np.zeros(9), 5 + x / 50, 2 * x, 0.5, 10.0]
    lines = lines_of.fit(hits[0], 1, *hits[1:])
    images = lines_of.fit_mirror_images(lines, *hits)
    for one, other in ((lines, images), (images, lines)):
        np.testing.assert_array_equal(
            lines_of.from_foil(one, other, *hits[:3]).phi_rad, one.phi_rad
        )
    along = [
        np.zeros(9, int),
        np.full(9, 22.0),
        x,
        np.full(9, 10.0),
        2 * x,
        0.5,
        10.0,
    ]  # never at the foil
    lines = lines_of.fit(along[0], 1, *along[1:], start=([0.0], [32.0]))
    images = lines_of.fit_mirror_images(lines, *along)
    np.testing.assert_array_equal(lines_of.from_foil(lines, images, *along[:3]).d_mm, lines.d_mm)


def test_hits_left_out_are_left_out_of_the_image_too():
    x = 22 + 44.0 * np.arange(9)
    z = 2 * x
    z[3] += 700
    hits = [np.zeros(9, int), x, np.zeros(9), 5 + x / 50, z, 0.5, 10.0]
    lines = lines_of.fit(hits[0], 1, *hits[1:], clip_sigma=5)
    images = lines_of.fit_mirror_images(lines, *hits)
    np.testing.assert_array_equal(images.used, lines.used)
    assert images.chi2_z[0] < 1e-6 and images.n_hits[0] == 8


def test_lines_without_images_and_no_lines_are_no_error():
    nothing = np.zeros(0)
    lines = lines_of.fit(nothing.astype(int), 0, *[nothing] * 4, 1.0, 1.0)
    assert (
        len(
            lines_of.fit_mirror_images(lines, nothing.astype(int), *[nothing] * 4, 1.0, 1.0).phi_rad
        )
        == 0
    )
    alone = [np.array([-1, 0]), *[np.ones(2)] * 4, 1.0, 1.0]
    images = lines_of.fit_mirror_images(lines_of.fit(alone[0], 1, *alone[1:]), *alone)
    assert np.isnan(images.phi_rad).all() and not images.valid.any()
    without_radii = [
        np.zeros(4, int),
        44.0 * np.arange(4),
        np.zeros(4),
        np.full(4, np.nan),
        np.zeros(4),
        1.0,
        1.0,
    ]
    line = lines_of.fit(without_radii[0], 1, *without_radii[1:])
    image = lines_of.fit_mirror_images(line, *without_radii)
    np.testing.assert_allclose(image.slopes()[0], line.slopes()[0], atol=1e-9)  # its own


# unsure sides


def test_unsure_sides_are_the_maximum_of_a_likelihood_of_both_and_its_curvature():
    arrays = some(hit_arrays(realistic.generate(300, tracks=1, preset="simulation", seed=8)), 300)
    line, n_lines, x, y, radius, z = arrays
    n_hits = np.bincount(line)
    x = x - (np.bincount(line, x) / n_hits)[line]  # far from the origin turning is moving too
    y = y - (np.bincount(line, y) / n_hits)[line]
    sigma = np.full(len(line), 1.0)
    lines = lines_of.fit(line, n_lines, x, y, radius, z, sigma, SIGMA_Z_MM)
    unsure = lines_of.refit_unsure_sides(lines, line, x, y, radius, z, sigma, SIGMA_Z_MM)

    def half_chi2(phi, d):
        distance = np.cos(phi)[line] * x + np.sin(phi)[line] * y - d[line]
        both = np.logaddexp(-((distance - radius) ** 2) / 2, -((distance + radius) ** 2) / 2)
        return -np.bincount(line, both, n_lines)

    errors = np.sqrt(unsure.covariance_phi_d[:, [0, 1], [0, 1]]).T
    conditional = errors * np.sqrt(1 - (unsure.covariance_phi_d[:, 0, 1] / errors.prod(0)) ** 2)
    step = conditional / 50
    best = np.stack([unsure.phi_rad, unsure.d_mm])
    curvature = np.empty((n_lines, 2, 2))
    one, two = np.eye(2)[:, :, None] * step
    for i, j, first, second in [
        (0, 0, one, one),
        (0, 1, one, two),
        (1, 0, two, one),
        (1, 1, two, two),
    ]:
        ends = [
            half_chi2(*(best + a * first + b * second))
            for a, b in [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        ]
        curvature[:, i, j] = (ends[0] - ends[1] - ends[2] + ends[3]) / (4 * step[i] * step[j])
    for along, away in ((one, step[0]), (two, step[1])):
        slope = (half_chi2(*(best + along)) - half_chi2(*(best - along))) / (2 * away)
        # a step of the slope over the curvature is far below the errors
        assert np.quantile(np.abs(slope) * away * 50, 0.98) < 0.02
    scale = conditional[:, None] * conditional[None, :]
    of_fit = np.linalg.inv(unsure.covariance_phi_d) * np.moveaxis(scale, -1, 0)
    by_steps = curvature * np.moveaxis(scale, -1, 0)
    # but for hits that fit on neither side, whose likelihood is bent the other way
    distance = unsure.distance_mm(line, x, y)
    lost = radius**2 / np.cosh(np.minimum(radius * np.abs(distance), 300)) ** 2
    usual = np.bincount(line, lost > 0.9, n_lines) == 0
    assert usual.mean() > 0.8
    assert np.quantile(np.abs(of_fit - by_steps)[usual].max((1, 2)), 0.98) < 0.02


def test_unsure_sides_change_no_line_whose_wires_are_far_away():
    x = 22 + 44.0 * np.arange(9)
    hits = [np.zeros(9, int), x, 44.0 * (np.arange(9) % 2), np.full(9, 22.0), 2 * x, 0.5, 10.0]
    lines = lines_of.fit(hits[0], 2, *hits[1:])
    unsure = lines_of.refit_unsure_sides(lines, *hits)
    for name in (
        "phi_rad",
        "d_mm",
        "z0_mm",
        "tan_dip",
        "covariance_phi_d",
        "covariance_z0_dip",
        "chi2_radius",
    ):
        np.testing.assert_allclose(
            getattr(unsure, name), getattr(lines, name), rtol=1e-9, atol=1e-12
        )
    for name in ("valid", "mirrored", "side", "used", "n_hits", "n_z"):
        np.testing.assert_array_equal(getattr(unsure, name), getattr(lines, name))


def test_unsure_sides_make_errors_larger_and_pulls_narrower():
    ideal = realistic.generate(3000, tracks=1, preset="ideal", seed=9)
    arrays = hit_arrays(ideal)
    rng = np.random.default_rng(0)
    arrays[4] = np.abs(arrays[4] + 2 * rng.standard_normal(len(arrays[4])))
    lines = lines_of.fit(*arrays, 2.0, SIGMA_Z_MM)
    unsure = lines_of.refit_unsure_sides(lines, arrays[0], *arrays[2:], 2.0, SIGMA_Z_MM)
    phi, *_ = true_lines(ideal)
    clear = ~lines.mirrored

    def width(found):
        pulls = np.sin(found.phi_rad - phi) / np.sqrt(found.covariance_phi_d[:, 0, 0])
        low, high = np.quantile(pulls[clear], [0.1587, 0.8413])
        return (high - low) / 2

    assert (
        unsure.covariance_phi_d[:, 0, 0] >= 0.999 * lines.covariance_phi_d[:, 0, 0]
    ).mean() > 0.9
    assert abs(width(unsure) - 1) < 0.04 < width(lines) - 1


# invariants


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_order_of_hits_and_lines_is_irrelevant(smeared, seed):
    arrays = some(smeared[1], 50)
    rng = np.random.default_rng(seed)
    order, new_name = rng.permutation(len(arrays[0])), rng.permutation(50)
    mixed = fit([new_name[arrays[0]][order], 50, *(array[order] for array in arrays[2:])])
    lines = fit(arrays)
    for name in (
        "phi_rad",
        "d_mm",
        "z0_mm",
        "tan_dip",
        "covariance_phi_d",
        "covariance_z0_dip",
        "chi2_radius",
        "chi2_z",
        "n_hits",
        "valid",
    ):
        np.testing.assert_allclose(
            getattr(mixed, name)[new_name], getattr(lines, name), rtol=1e-6, atol=1e-6, err_msg=name
        )
    np.testing.assert_array_equal(mixed.side, lines.side[order])


@given(st.floats(-np.pi, np.pi), st.floats(-3000, 3000), st.floats(-3000, 3000), st.booleans())
@settings(max_examples=30, deadline=None)
def test_moved_turned_and_mirrored_hits_give_the_moved_turned_and_mirrored_lines(
    smeared, angle, dx, dy, mirror
):
    line, n_lines, x, y, radius, z = arrays = some(smeared[1], 60)
    cos, sin = np.cos(angle), np.sin(angle)
    y_in = -y if mirror else y
    moved = fit([line, n_lines, cos * x - sin * y_in + dx, sin * x + cos * y_in + dy, radius, z])
    lines = fit(arrays)
    np.testing.assert_allclose(moved.chi2_radius, lines.chi2_radius, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(moved.chi2_z, lines.chi2_z, rtol=1e-4, atol=1e-4)
    assert ((moved.phi_rad >= -np.pi) & (moved.phi_rad <= 0)).all()
    np.testing.assert_array_equal(moved.mirrored, lines.mirrored)
    one = ~lines.mirrored  # the others have two solutions as good
    turned = (
        2 * (moved.phi_rad - (-lines.phi_rad if mirror else lines.phi_rad) - angle)[one]
    )  # phi is a line's: modulo pi
    np.testing.assert_allclose(np.abs(np.angle(np.exp(1j * turned))), 0, atol=1e-5)
    there = np.abs(moved.distance_mm(line, cos * x - sin * y_in + dx, sin * x + cos * y_in + dy))
    np.testing.assert_allclose(
        (there - np.abs(lines.distance_mm(line, x, y)))[one[line]], 0, atol=1e-3
    )


def test_lines_of_one_call_do_not_know_of_each_other(smeared):
    _, arrays, lines = smeared
    for k in (0, 700, 1999):
        own = arrays[0] == k
        alone = fit([np.zeros(own.sum(), int), 1, *(array[own] for array in arrays[2:])])
        assert np.isclose(alone.phi_rad[0], lines.phi_rad[k])
        assert np.isclose(alone.chi2_z[0], lines.chi2_z[k])


def test_chi2_is_that_of_the_sides_and_residuals(smeared):
    _, (line, n_lines, x, y, radius, z), lines = smeared
    distance = lines.distance_mm(line, x, y)
    np.testing.assert_array_equal(lines.side, np.where(distance < 0, -1, 1))
    chi2 = np.bincount(
        line, ((distance - lines.side * radius) / sigma_radius_mm(radius)) ** 2, n_lines
    )
    np.testing.assert_allclose(chi2, lines.chi2_radius, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        np.bincount(line, ((lines.z_at(line, x, y) - z) / SIGMA_Z_MM) ** 2, n_lines),
        lines.chi2_z,
        rtol=1e-6,
        atol=1e-6,
    )


# options


def test_a_start_is_used_and_its_gaps_are_not(smeared):
    events, arrays, lines = smeared
    phi, d, *_ = true_lines(events)
    started = fit(arrays, start=(phi, d))
    assert (started.chi2_radius <= lines.chi2_radius + 1e-4).all()
    unknown = np.full(len(phi), np.nan)
    np.testing.assert_allclose(
        fit(arrays, start=(unknown, unknown)).chi2_radius, lines.chi2_radius, rtol=1e-9, atol=1e-9
    )


def test_a_start_alone_leads_to_its_line():
    # two cells: four lines touch both drift circles, and the start says which of them is meant
    x, y, radius = np.array([0.0, 100]), np.zeros(2), np.array([10.0, 10])
    for side in (-1, 1):
        lines = lines_of.fit(
            [0, 0],
            1,
            x,
            y,
            radius,
            np.full(2, np.nan),
            1.0,
            10.0,
            start=([-np.pi / 2], [10.0 * side]),
        )
        assert np.isclose(lines.d_mm[0], 10 * side)


def test_wrong_hits_are_left_out(smeared):
    _, arrays, lines = smeared
    line, n_lines, x, y, radius, z = arrays
    rng = np.random.default_rng(2)
    where = rng.integers(
        0, len(line), 1000
    )  # cells two further along the foil than one of the track
    strange = [
        line[where],
        x[where],
        y[where] + 88,
        rng.uniform(0, CELL_RADIUS_MM, 1000),
        rng.uniform(-1500, 1500, 1000),
    ]
    more = [np.concatenate(pair) for pair in zip([line, x, y, radius, z], strange, strict=True)]
    with_wrong = [more[0], n_lines, *more[1:]]
    robust = fit(with_wrong, clip_sigma=5)
    far = lambda other: np.abs(other.phi_rad - lines.phi_rad) > 0.02  # noqa: E731
    assert far(fit(with_wrong)).mean() > 0.08
    assert far(robust).mean() < 0.01
    assert robust.used[: len(line)].mean() > 0.99
    assert robust.used[len(line) :].mean() < 0.03


def test_a_wrong_height_is_left_out():
    x = 22 + 44.0 * np.arange(9)
    z = 2 * x
    z[3] += 700
    arrays = [np.zeros(9, int), 1, x, np.zeros(9), np.full(9, 5.0), z]
    lines = fit(arrays, clip_sigma=5)
    assert lines.used.tolist() == [k != 3 for k in range(9)]
    assert np.isclose(lines.slopes()[1][0], 2)
    assert lines.n_hits[0] == lines.n_z[0] == 8
    assert lines.chi2_z[0] < 1e-6 < fit(arrays).chi2_z[0]


def test_clipping_leaves_good_hits_alone(smeared):
    _, arrays, lines = smeared
    clipped = fit(arrays, clip_sigma=8)
    assert clipped.used.mean() > 0.9995
    all_used = clipped.n_hits == lines.n_hits
    np.testing.assert_allclose(
        clipped.chi2_radius[all_used], lines.chi2_radius[all_used], rtol=1e-5, atol=1e-5
    )


# little and degenerate input


def test_too_few_hits_give_nan_and_leave_the_other_lines_alone():
    x = np.array([22.0, 22, 66, 110, 22, 66])
    line = np.array([1, 3, 3, 3, 4, -1])
    lines = lines_of.fit(line, 6, x, np.zeros(6), np.full(6, 5.0), np.zeros(6), 0.5, 10.0)
    assert lines.valid.tolist() == [False, False, False, True, False, False]
    assert lines.n_hits.tolist() == [0, 1, 0, 3, 1, 0]
    assert lines.n_z.tolist() == [0, 1, 0, 3, 1, 0]
    assert lines.side[[0, 4, 5]].tolist() == [0, 0, 0] and not lines.used[[0, 4, 5]].any()
    assert (
        np.isfinite(lines.phi_rad).tolist()
        == np.isfinite(lines.chi2_radius).tolist()
        == lines.valid.tolist()
    )
    assert np.isnan(lines.p_value()).tolist() == (~lines.valid).tolist()


def test_no_hits_and_no_lines_are_no_error():
    nothing = np.zeros(0)
    assert np.isnan(lines_of.fit(nothing.astype(int), 2, *[nothing] * 4, 1.0, 1.0).phi_rad).all()
    assert len(lines_of.fit(nothing.astype(int), 0, *[nothing] * 4, 1.0, 1.0).phi_rad) == 0
    assert len(lines_of.fit(np.array([-1]), 0, *[np.ones(1)] * 4, 1.0, 1.0).side) == 1


def test_two_hits_are_touched_exactly():
    lines = lines_of.fit([0, 0], 1, [22.0, 66], [0.0, 44], [7.0, 12], [3.0, 8], 0.5, 10.0)
    assert lines.valid.all() and lines.chi2_radius[0] < 1e-12 and lines.chi2_z[0] < 1e-12
    assert np.allclose(
        np.abs(lines.distance_mm(0, np.array([22.0, 66]), np.array([0.0, 44]))), [7, 12]
    )
    assert np.isnan(lines.p_value()[0])


def test_hits_on_one_wire_have_no_direction():
    lines = lines_of.fit([0, 0, 0], 1, [22.0] * 3, [44.0] * 3, [5.0, 6, 7], [0.0, 1, 2], 0.5, 10.0)
    assert (
        not lines.valid.any()
        and np.isnan(lines.phi_rad).all()
        and np.isnan(lines.chi2_radius).all()
        and np.isnan(lines.z0_mm).all()
    )


def test_a_line_along_the_foil_is_regular():
    y = 44.0 * np.arange(8)
    lines = lines_of.fit(
        np.zeros(8, int), 1, np.full(8, 22.0), y, np.full(8, 10.0), 100 + 0.5 * y, 0.5, 10.0
    )
    assert (
        lines.valid.all()
        and np.isfinite(lines.covariance_phi_d).all()
        and np.isfinite(lines.covariance_z0_dip).all()
    )
    assert np.isclose(np.abs(lines.d_mm[0]), 32) or np.isclose(np.abs(lines.d_mm[0]), 12)
    assert np.isclose(np.abs(lines.tan_dip[0]), 0.5)
    assert np.abs(lines.slopes()[0][0]) > 1e9
    assert np.isclose(lines.z_at(0, 22.0, 0.0), 100)
    lines.phi_rad[:], lines.d_mm[:] = 0.0, 32.0  # exactly along it
    assert np.isinf(lines.slopes()).all() and not np.isfinite(lines.foil_mm()).any()


def test_without_heights_only_the_top_view_is_fitted():
    x = 22 + 44.0 * np.arange(5)
    z = np.full(5, np.nan)
    lines = lines_of.fit(np.zeros(5, int), 1, x, np.zeros(5), np.full(5, 5.0), z, 0.5, 10.0)
    assert (
        lines.valid.all()
        and np.isnan(lines.z0_mm).all()
        and np.isnan(lines.tan_dip).all()
        and np.isnan(lines.covariance_z0_dip).all()
    )
    assert (
        lines.chi2_z[0] == 0 and np.isfinite(lines.p_value()[0]) and np.isnan(lines.slopes()[1][0])
    )
    z[2] = 70
    one = lines_of.fit(np.zeros(5, int), 1, x, np.zeros(5), np.full(5, 5.0), z, 0.5, 10.0)
    assert np.isnan(one.z0_mm).all() and one.n_z[0] == 1 and one.chi2_z[0] == 0
    z[4] = 90
    assert np.isclose(
        lines_of.fit(np.zeros(5, int), 1, x, np.zeros(5), np.full(5, 5.0), z, 0.5, 10.0).slopes()[
            1
        ][0],
        20 / 88,
    )


def test_unknown_radii_count_as_hits_somewhere_in_the_cell():
    x, y = 22 + 44.0 * np.arange(6), np.array([0.0, 0, 44, 44, 88, 88])
    unknown = np.full(6, np.nan)
    lines = lines_of.fit(
        np.zeros(6, int), 1, x, y, unknown, np.zeros(6), sigma_radius_mm(unknown), 10.0
    )
    axis = np.linalg.eigh(np.cov(x, y))[1][:, 1]  # orthogonal regression of the wires
    assert np.isclose(lines.slopes()[0][0], axis[1] / axis[0])
    distance = lines.distance_mm(0, x, y)
    assert np.isclose(lines.chi2_radius[0], np.sum(distance**2) / (44**2 / 12))
    radius = unknown.copy()
    radius[:2] = 5.0
    sharper = lines_of.fit(np.zeros(6, int), 1, x, y, radius, np.zeros(6), 0.01, 10.0)
    assert (
        np.abs(np.abs(sharper.distance_mm(0, x[:2], y[:2])) - 5).max()
        < 0.01
        < np.abs(np.abs(distance[:2]) - 5).min()
    )


cells = st.tuples(
    st.integers(-1, 3),
    st.integers(0, 8),
    st.integers(50, 60),
    st.sampled_from([0.0, 3.0, 22.0, 50.0, np.nan]),
    st.sampled_from([0.0, 1e3, np.nan]),
)


@given(st.lists(cells, max_size=25), st.sampled_from([None, 3.0]))
@settings(max_examples=150, deadline=None)
def test_any_hits_at_all_give_numbers_or_nan(hits, clip):
    line, layer, column, radius, z = (
        (np.array(values) for values in zip(*hits, strict=True)) if hits else np.zeros((5, 0))
    )
    lines = lines_of.fit(
        line.astype(int),
        4,
        wire_x_mm(1, layer),
        wire_y_mm(column),
        radius,
        z,
        0.5,
        10.0,
        clip_sigma=clip,
    )
    determined = np.isfinite(lines.phi_rad)
    assert (determined >= lines.valid).all()
    assert (
        np.isfinite(lines.d_mm[determined]).all()
        and np.isfinite(lines.covariance_phi_d[determined]).all()
    )
    assert (lines.chi2_radius[determined] >= 0).all() and (lines.chi2_z[determined] >= 0).all()
    assert (
        np.isfinite(lines.tan_dip).tolist()
        == np.isfinite(lines.covariance_z0_dip).all((1, 2)).tolist()
    )
    lines.slopes(), lines.foil_mm(), lines.p_value()
    quality = lines.quality()[determined]
    assert ((quality >= 0) & (quality <= 1)).all()
    hits = [line.astype(int), wire_x_mm(1, layer), wire_y_mm(column), radius, z, 0.5, 10.0]
    images = lines_of.fit_mirror_images(lines, *hits)
    np.testing.assert_array_equal(np.isfinite(images.phi_rad), lines.mirrored)
    assert len(lines_of.from_foil(lines, images, *hits[:3])) == 4
    unsure = lines_of.refit_unsure_sides(lines, *hits)
    assert np.isfinite(unsure.phi_rad).tolist() == determined.tolist()
    held = vertex.hold(lines, 100.0, 50.0, 1.0, 10.0)
    assert np.isfinite(held.lines.phi_rad).tolist() == determined.tolist()
    assert (held.chi2[determined] >= 0).all()
    of_slopes = parameters.carry(lines.covariance(), parameters.slopes_by_line(lines))
    assert np.isnan(of_slopes[~determined]).all()
    point = vertex.common(lines, np.zeros(4, int), 1)
    assert np.isnan(point.y_mm[0]) or point.chi2[0] > -1e-6


def test_all_cells_of_the_detector_as_one_line_are_no_error():
    side, layer, column = np.indices((2, 9, 113)).reshape(3, -1)
    rng = np.random.default_rng(0)
    radius = np.where(rng.random(2034) < 0.1, np.nan, rng.uniform(0, CELL_RADIUS_MM, 2034))
    z = np.where(rng.random(2034) < 0.1, np.nan, rng.uniform(-1500, 1500, 2034))
    hits = [np.zeros(2034, int), wire_x_mm(side, layer), wire_y_mm(column), radius, z, 0.5, 10.0]
    for clip in (None, 5):
        lines = lines_of.fit(hits[0], 1, *hits[1:], clip_sigma=clip)
        images = lines_of.fit_mirror_images(lines, *hits)
        assert np.isfinite(lines.covariance()).all()
        assert 0 <= lines.quality()[0] < 0.5
        assert not images.valid.any()
