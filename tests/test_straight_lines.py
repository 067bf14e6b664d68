"""The straight-line generator, against its own definition and against the files of the original macro."""

import numpy as np
import pytest
from conftest import assert_same
from scipy import stats

from datasets.events import concatenate
from datasets.geometry import (
    CELL_MM,
    HALF_HEIGHT_MM,
    N_COLUMNS,
    N_LAYERS,
    TOY_FIRST_WIRE_MM,
    TOY_HALF_HEIGHT,
    wire_x_mm,
    wire_y_mm,
)
from datasets.readers import hit_tree
from my_generator import blocks, straight_lines


@pytest.fixture(scope="module")
def events():
    return straight_lines.generate(2000, seed=3)


def owner_of(events):
    """(hit,) index of the track of each hit."""
    return events.track_offsets[events.hit_event] + events.hits["track"]


@pytest.fixture(scope="module")
def closest(events):
    """Where, in mm, the line of each hit's owner comes closest to its wire.

    Returns:
        (x, y, z): (hit,) each; x and y from the wire, z from the middle.
    """
    tracks = {
        name: values[owner_of(events)].astype(float) for name, values in events.tracks.items()
    }
    y0 = tracks["foil_y_mm"]
    slope_y = tracks["slope_y"]
    wire_x = wire_x_mm(1, events.hits["layer"], TOY_FIRST_WIRE_MM)
    wire_y = wire_y_mm(events.hits["column"])
    # foot of the perpendicular from the wire to the line, by its direction (1, slope)
    x = (wire_x + slope_y * (wire_y - y0)) / (1 + slope_y**2)
    y = y0 + slope_y * x
    z = tracks["foil_z_mm"] + tracks["slope_z"] * x
    return x - wire_x, y - wire_y, z


def test_every_hit_lies_on_its_line(events, closest):
    x, y, z = closest
    np.testing.assert_allclose(events.hits["drift_radius_mm"], np.hypot(x, y), atol=2e-3)
    slope = np.abs(events.tracks["slope_z"][owner_of(events)])
    error = np.abs(events.hits["z_mm"] - z)
    # the table holds slopes in single precision
    assert (error < 2e-3 + 1e-4 * slope).all()
    assert np.median(error) < 1e-3


def test_the_closest_point_lies_in_the_square_of_the_cell_and_within_the_height(events, closest):
    x, y, _ = closest
    assert 21.9 < np.abs(x).max() <= 22 + 1e-2
    assert 21.9 < np.abs(y).max() <= 22 + 1e-2
    assert np.abs(events.hits["z_mm"]).max() <= HALF_HEIGHT_MM


def test_all_hits_are_on_side_one_and_in_the_tracker(events):
    assert set(events.hits["side"]) == {1}
    assert set(events.hits["layer"]) == set(range(N_LAYERS))
    assert set(events.hits["column"]) == set(range(N_COLUMNS))
    assert not np.isnan(events.hits["z_mm"]).any()
    assert not np.isnan(events.hits["drift_radius_mm"]).any()


def test_a_track_has_at_least_five_hits():
    n_hits = straight_lines.generate(3000, tracks=1, seed=5).n_hits
    assert n_hits.min() == 5


def test_a_loop_over_all_cells_gives_the_same_hits():
    lines = straight_lines._draw(400, np.random.default_rng(8))
    first, count = straight_lines._columns_hit(*lines)
    column = np.arange(N_COLUMNS)
    found = (column >= first[..., None]) & (column < (first + count)[..., None])

    a, b, y0, z0 = (values[:, None, None] for values in lines)
    wire_x = np.arange(N_LAYERS)[:, None] + 0.5
    wire_y = np.arange(N_COLUMNS) + 0.5
    # along the line, from the foil point to the point closest to the wire
    step = wire_x * np.cos(a) + (wire_y - y0) * np.sin(a)
    x = step * np.cos(a)
    y = y0 + step * np.sin(a)
    z = z0 + np.tan(b) * x
    in_square = (np.abs(x - wire_x) < 0.5) & (np.abs(y - wire_y) < 0.5)
    expected = in_square & (np.abs(z) < TOY_HALF_HEIGHT)
    np.testing.assert_array_equal(found, expected)
    assert (expected.sum((1, 2)) >= 5).sum() > 200


def columns_hit(a=1e-9, b=1e-9, y0=50.7, z0=0.0):
    """First column and number of columns of one line, (layer,)."""
    line = np.array([[a], [b], [y0], [z0]])
    first, count = straight_lines._columns_hit(*line)
    return first[0], count[0]


def test_a_line_straight_away_from_the_foil_hits_one_cell_a_layer():
    first, count = columns_hit()
    assert first.tolist() == [50] * 9
    assert count.tolist() == [1] * 9


def test_a_diagonal_line_hits_two_cells_a_layer():
    # y = x + 20.2 comes closest to the wires it passes below at (-0.1, 0.1), to those it passes above at
    # (0.4, -0.4)
    first, count = columns_hit(a=np.pi / 4, y0=20.2)
    assert first.tolist() == list(range(20, 29))
    assert count.tolist() == [2] * 9


def test_a_line_along_the_foil_hits_a_row_of_cells():
    # x = 0.5 at y = 56.5, and 0.01 rad from parallel: |x - 0.5| stays below 0.5 for 50 columns on both sides
    first, count = columns_hit(a=np.pi / 2 - 0.01, y0=56.5 - 0.5 / np.tan(0.01))
    assert count[0] in (99, 100, 101)
    assert first[0] + count[0] // 2 == 56


def test_hits_beyond_the_ends_of_the_wires_are_none():
    # z = 30 + 2 x passes the end, 35.03, at x = 2.5
    _, count = columns_hit(b=np.arctan(2), z0=30.0)
    assert count.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]


def test_the_calorimeter_block_is_where_the_line_leaves_the_last_layer(events):
    tracks = {name: values.astype(float) for name, values in events.tracks.items()}
    end_mm = 9 * CELL_MM
    y_mm = tracks["foil_y_mm"] + tracks["slope_y"] * end_mm
    z_mm = tracks["foil_z_mm"] + tracks["slope_z"] * end_mm
    y = y_mm / CELL_MM + N_COLUMNS / 2  # in cells
    z = z_mm / HALF_HEIGHT_MM
    column = np.select([y < 0, y > 113], [0, 21], np.ceil(y / 5.65))  # 20 blocks over 113 cells
    row = np.select([z < -1, z > 1], [0, 14], np.ceil((z + 1) * 6.5))  # 13 over -1..1
    np.testing.assert_array_equal(events.tracks["calo_column"], column)
    np.testing.assert_array_equal(events.tracks["calo_row"], row)
    assert set(column) == set(range(22)) and set(row) == set(range(15))


def test_lines_are_drawn_in_their_ranges():
    a, b, y0, z0 = straight_lines._draw(20_000, np.random.default_rng(4))
    for angle in (a, b):
        assert 0.01 <= angle.min() < 0.011 and 3.13 < angle.max() <= 3.131592
    assert 0 <= y0.min() < 0.1 and 112.9 < y0.max() <= 113
    assert 0.999 * TOY_HALF_HEIGHT < np.abs(z0).max() <= TOY_HALF_HEIGHT


def test_an_event_of_n_tracks_has_n_tracks():
    events = straight_lines.generate(500, tracks=(0, 1, 4), seed=1)
    np.testing.assert_array_equal(np.diff(events.track_offsets), events.info["n_tracks"])
    assert set(events.info["n_tracks"].tolist()) == {0, 1, 4}
    assert ((events.n_hits == 0) == (events.info["n_tracks"] == 0)).all()
    assert len(straight_lines.generate(10, tracks=0).hits["layer"]) == 0
    assert len(straight_lines.generate(0)) == 0


def test_numbers_of_tracks_are_drawn_uniformly():
    events = straight_lines.generate(4 * blocks.BLOCK, seed=7)
    counts = np.bincount(events.info["n_tracks"])
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 0.001


def test_same_seed_gives_same_events():
    events = straight_lines.generate(300, seed=9)
    assert_same(straight_lines.generate(300, seed=9), events)
    other = straight_lines.generate(300, seed=10)
    assert not np.array_equal(other.n_hits, events.n_hits)
    assert not np.array_equal(straight_lines.generate(300, seed=[9, 1]).n_hits, events.n_hits)


def test_any_event_can_be_made_again_alone():
    start = blocks.BLOCK - 3
    events = straight_lines.generate(blocks.BLOCK + 10, seed=[4, 2])
    assert events.info["event"].tolist() == list(range(blocks.BLOCK + 10))
    assert_same(
        straight_lines.generate(6, seed=[4, 2], first_event=start), events[start : start + 6]
    )
    for i in (0, start + 2, start + 3):
        assert_same(straight_lines.generate(1, seed=[4, 2], first_event=i), events[i])


def test_cells_shared_by_tracks_are_rare_and_have_both_owners():
    events = straight_lines.generate(2000, tracks=4, seed=1)
    shared = events.hits["second_track"] >= 0
    assert 0.005 < shared.mean() < 0.1
    assert (events.hits["second_track"] != events.hits["track"])[shared].all()
    assert (events.hits["track"] >= 0).all()
    assert events.hits["second_track"].max() == 3


# Against the files of the original macro --------------------------------------------------------------------


@pytest.fixture(scope="module")
def original_and_generated(real_data):
    """Number of tracks -> (500 events of the macro, 10 000 of ours)."""
    tables = {}
    for n in (1, 2, 3, 4):
        original = hit_tree.read(real_data / "root" / f"my_generator_t{n}_0.root")
        ours = straight_lines.generate(10_000, tracks=n, seed=[n, 21])
        tables[n] = (original, ours)
    return tables


def p_value(*samples):
    """Of a common distribution: chi-square for few distinct values, Kolmogorov-Smirnov else."""
    values = np.unique(np.concatenate(samples))
    if len(values) > 25:
        return stats.ks_2samp(*samples).pvalue
    counts = [[(sample == value).sum() for value in values] for sample in samples]
    return stats.chi2_contingency(counts).pvalue


each = pytest.mark.parametrize("n_tracks", [1, 2, 3, 4])


@pytest.mark.real
@each
def test_hits_per_event_are_distributed_as_in_the_original(original_and_generated, n_tracks):
    original, ours = original_and_generated[n_tracks]
    assert p_value(original.n_hits, ours.n_hits) > 0.001


@pytest.mark.real
@each
@pytest.mark.parametrize("name", ["layer", "column", "drift_radius_mm", "z_mm"])
def test_hits_are_distributed_as_in_the_original(original_and_generated, n_tracks, name):
    # one hit an event: the hits of one track depend on each other, the test wants independent numbers
    rng = np.random.default_rng(0)
    samples = []
    for events in original_and_generated[n_tracks]:
        one = events.hit_offsets[:-1] + rng.integers(events.n_hits)
        samples.append(events.hits[name][one])
    assert p_value(*samples) > 0.001


@pytest.mark.real
@each
@pytest.mark.parametrize("name", ["calo_column", "calo_row"])
def test_calorimeter_blocks_are_distributed_as_in_the_original(
    original_and_generated, n_tracks, name
):
    original, ours = original_and_generated[n_tracks]
    assert p_value(original.tracks[name], ours.tracks[name]) > 0.001


@pytest.mark.real
def test_as_many_cells_are_shared_as_in_the_original(original_and_generated):
    original = concatenate([original for original, _ in original_and_generated.values()])
    ours = concatenate([ours for _, ours in original_and_generated.values()])
    original_share = (original.hits["second_track"] >= 0).mean()
    our_share = (ours.hits["second_track"] >= 0).mean()
    # shared cells come in runs along a track, so their number scatters more than that of independent ones
    assert original_share == pytest.approx(our_share, rel=0.15)


@pytest.mark.real
@each
def test_tracks_of_the_original_have_at_least_five_hits_too(original_and_generated, n_tracks):
    original, _ = original_and_generated[n_tracks]
    owners = np.concatenate([original.hits["track"], original.hits["second_track"]])
    track = np.tile(original.track_offsets[original.hit_event], 2) + owners
    counts = np.bincount(track[owners >= 0], minlength=original.track_offsets[-1])
    assert (counts >= 5).mean() > 0.995  # a cell of three tracks names two
    assert np.abs(original.hits["z_mm"]).max() <= HALF_HEIGHT_MM
