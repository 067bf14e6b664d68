"""Kinked tracks are cut at their kink, straight ones and those with wrong hits are not."""

import numpy as np
import pytest

from datasets.drift import sigma_radius_mm
from datasets.geometry import TOY_FIRST_WIRE_MM, wire_x_mm, wire_y_mm
from fitting import polyline
from my_generator import realistic

pytestmark = pytest.mark.filterwarnings("error")


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
        hits["layer"],
        x,
        y,
        hits["drift_radius_mm"].astype(float),
        hits["z_mm"].astype(float),
    ]


def fit(arrays, **options):
    return polyline.fit(*arrays, sigma_radius_mm(arrays[5]), 10.0, **options)


@pytest.fixture(scope="module")
def half_kinked():
    """1000 single tracks, half of them kinked, with the errors of the preset `simulation`."""
    events = realistic.generate(1000, tracks=1, preset="simulation", seed=21, kinks=0.5)
    arrays = hit_arrays(events)
    return events, arrays, fit(arrays)


def bent_track(slope, slope_beyond):
    """Three exact hits a layer of a track that starts at y = 0 and bends in front of layer 4, at x = 176;
    dz/dx is 1, then 1.5.
    """
    layer = np.repeat(np.arange(9), 3)
    x = TOY_FIRST_WIRE_MM + 44.0 * layer
    tangent, y0, dz, z0 = np.where(
        layer >= 4,
        [[slope_beyond], [(slope - slope_beyond) * 176], [1.5], [-88]],
        [[slope], [0], [1], [0]],
    )
    y = 44 * (np.round((y0 + tangent * x) / 44) + np.tile([-1, 0, 1], 9))
    distance = (y - y0 - tangent * x) / np.hypot(1, tangent)
    closest_x = x + distance * tangent / np.hypot(1, tangent)
    return [np.zeros(27, int), 1, layer, x, y, np.abs(distance), z0 + dz * closest_x]


def test_a_kink_worked_by_hand_is_found():
    found = fit(bent_track(0.2, 0.7))
    assert found.kinked.tolist() == [True] and found.layer.tolist() == [4]
    np.testing.assert_allclose(found.segments.slopes(), [[0.2, 0.7], [1, 1.5]], atol=1e-6)
    np.testing.assert_allclose(np.ravel(found.meeting_mm()), [176, 0.2 * 176], atol=1e-4)
    np.testing.assert_allclose(found.gap_mm(), 0, atol=1e-3)
    assert found.segment.tolist() == [0] * 12 + [1] * 15


def test_kinks_are_found_at_their_layer(half_kinked):
    events, (line, n_lines, layer, *_), found = half_kinked
    kinked = events.tracks["kinked"]
    first = np.full(n_lines, 9)
    beyond = events.hits["segment"] == 1
    np.minimum.at(first, line[beyond], layer[beyond])
    assert found.kinked[kinked].mean() > 0.98
    assert found.kinked[~kinked].mean() < 0.005
    hit = found.kinked & kinked
    assert (found.layer == first)[
        hit
    ].mean() > 0.94  # a segment may pass a wire of the next layer by chance
    assert (np.abs(found.layer - first)[hit] <= 1).mean() > 0.99
    assert (found.segment % 2 == events.hits["segment"])[hit[line]].mean() > 0.99


def test_segments_meet_at_the_kink(half_kinked):
    events, _, found = half_kinked
    hit = found.kinked & events.tracks["kinked"]
    x, _ = found.meeting_mm()
    assert np.abs(np.median((x - 44 * found.layer)[hit])) < 5  # the border between two layers
    assert np.median(np.abs(found.gap_mm()[hit])) < 30  # heights of 10 mm
    assert np.isnan(found.gap_mm()[~found.kinked]).all() and np.isnan(x[~found.kinked]).all()


def test_segments_of_straight_tracks_are_their_lines(half_kinked):
    _, (line, *_), found = half_kinked
    straight = ~found.kinked
    assert (found.layer[straight] == -1).all()
    assert (found.segment == 2 * line)[straight[line]].all()
    assert found.segments.n_hits[1::2][straight].max() == 0
    assert found.segments.valid[::2][straight].all()


def test_wrong_hits_are_no_kink():
    events = realistic.generate(1000, tracks=1, preset="simulation", seed=22, kinks=0.0)
    arrays = hit_arrays(events)
    rng = np.random.default_rng(0)
    wrong = events.hit_offsets[:-1] + rng.integers(
        0, events.n_hits
    )  # one hit of each track is another particle's
    arrays[5][wrong], arrays[6][wrong] = rng.uniform(0, 22, 1000), rng.uniform(-1500, 1500, 1000)
    found = fit(arrays)
    assert (~np.isnan(found.gain)).mean() > 0.8  # one line fits hardly any of them
    assert found.kinked.mean() < 0.005
    assert found.segments.used[wrong].mean() < 0.1


def test_the_order_of_hits_is_irrelevant(half_kinked):
    _, arrays, found = half_kinked
    order = np.random.default_rng(1).permutation(len(arrays[0]))
    mixed = fit([arrays[0][order], arrays[1], *(array[order] for array in arrays[2:])])
    np.testing.assert_array_equal(mixed.layer, found.layer)
    np.testing.assert_array_equal(mixed.segment, found.segment[order])
    np.testing.assert_allclose(mixed.gain, found.gain, rtol=1e-6, atol=1e-6)


def test_little_input_is_no_error():
    nothing = [np.zeros(0, int), 2, np.zeros(0, int), *[np.zeros(0)] * 4]
    assert fit(nothing).kinked.tolist() == [False, False]
    few = [
        np.array([0, 1, 1, -1]),
        2,
        np.array([0, 0, 5, 3]),
        np.array([22.0, 22, 242, 154]),
        np.zeros(4),
        np.full(4, 5.0),
        np.full(4, np.nan),
    ]
    found = fit(few)
    assert found.kinked.tolist() == [False, False] and found.segment.tolist() == [0, 2, 2, -1]
