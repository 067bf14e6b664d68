"""Where tracks end: blocks of lines against the generators', probabilities that come true, mirror images."""

import numpy as np
import pytest
from conftest import random_events, toy_line

from datasets import geometry as geo
from datasets.events import concatenate, make_events
from fitting import association, calorimeter, tracks
from my_generator import realistic, toyhaystack

pytestmark = pytest.mark.filterwarnings("error")


def ends_of(events, labels=None):
    labels = events.hits["track"].astype(int) if labels is None else labels
    return calorimeter.ends(events, tracks.fit(events, labels))


def truth(events, found):
    """Index among all tracks of a table, where the labels are the true ones."""
    return events.track_offsets[found.event] + found.label


def is_right(events, found):
    best = found.best()
    true = truth(events, found)
    same_column = best["calo_column"] == events.tracks["calo_column"][true]
    return same_column & (best["calo_row"] == events.tracks["calo_row"][true])


def probabilities(found, name, n):
    """(track, n) probability of each column or row of the toy's main walls; name: calo_column or calo_row."""
    track = np.repeat(np.arange(len(found.event)), np.diff(found.offsets))
    marginal = np.zeros((len(found.event), n))
    np.add.at(marginal, (track, found.address[name]), found.block_probability)
    return marginal


def columns_of(found):
    return probabilities(found, "calo_column", 22)


def rows_of(found):
    return probabilities(found, "calo_row", 15)


@pytest.fixture(scope="module")
def ideal():
    events = realistic.generate(400, preset="ideal", seed=1)
    return events, ends_of(events)


@pytest.fixture(scope="module")
def data():
    events = realistic.generate(1000, preset="data", seed=2)
    return events, ends_of(events)


# Blocks -----------------------------------------------------------------------------------------------------


def test_ideal_tracks_end_in_their_blocks(ideal):
    events, found = ideal
    assert is_right(events, found).mean() > 0.99
    sure = found.best()["probability"] > 0.9
    assert sure.mean() > 0.98 and is_right(events, found)[sure].all()


def test_a_kinked_track_ends_where_its_last_piece_points():
    events = realistic.generate(150, tracks=1, preset="simulation", seed=3, kinks=1.0)
    found = ends_of(events)
    assert is_right(events, found).mean() > 0.85
    assert np.median(found.kink_probability) > 0.99
    straight = realistic.generate(150, tracks=1, preset="simulation", seed=3, kinks=0.0)
    assert np.mean(ends_of(straight).kink_probability) < 0.1


def test_a_mirror_image_in_a_column_shares_the_probability_of_a_border():
    events = toy_line(56.5, 0.045)  # the border of blocks 10 and 11 is at the wires of column 56
    assert set(events.hits["column"].tolist()) == {56}
    columns = columns_of(ends_of(events))[0]
    np.testing.assert_allclose(columns[[10, 11]], 0.5, atol=0.02)


@pytest.mark.parametrize("slope", [40.0, -40.0])
def test_silent_cells_tell_a_track_along_the_foil_from_its_mirror_image(slope):
    y0 = 56.5 - np.sign(slope) * 20
    on_two_layers = toy_line(y0, slope, 10.0, 1.0)
    leaves_on_top = toy_line(y0, slope, 30.0, 10.0)
    assert set(on_two_layers.hits["layer"].tolist()) == {0, 1}
    assert set(leaves_on_top.hits["layer"].tolist()) == {0}
    for events in (on_two_layers, leaves_on_top):
        columns = columns_of(ends_of(events))[0]
        assert columns[21 if slope > 0 else 0] > 0.95


def test_the_mirrored_event_ends_in_the_mirrored_columns(data):
    events, found = data
    mirrored = events.with_hits({"column": geo.N_COLUMNS - 1 - events.hits["column"]})
    other = ends_of(mirrored)
    of_columns = np.abs(columns_of(other)[:, ::-1] - columns_of(found)).max(1)
    of_rows = np.abs(rows_of(other) - rows_of(found)).max(1)
    # the draws are not symmetric, and a search may end in another maximum
    assert np.mean(np.maximum(of_columns, of_rows) > 0.15) < 0.003


def test_the_order_of_hits_is_irrelevant():
    events = realistic.generate(50, preset="data", seed=4)
    order = np.lexsort((np.random.default_rng(0).random(len(events.hit_event)), events.hit_event))
    shuffled = events.with_hits({name: values[order] for name, values in events.hits.items()})
    np.testing.assert_allclose(
        ends_of(shuffled).best()["probability"], ends_of(events).best()["probability"], atol=1e-4
    )


@pytest.mark.parametrize("kind", ["toy", "detector"])
def test_lines_end_where_the_generators_say(kind):
    rng = np.random.default_rng(5)
    lines = toyhaystack.draw_lines(3000, rng)
    slope = (lines["slope_y"], lines["slope_z"])
    place = (np.zeros(3000), lines["foil_y_mm"], lines["foil_z_mm"])
    info = {"geometry": [geo.GEOMETRIES.index(kind)]}
    events = make_events({}, [0, 0], info=info)
    got = calorimeter.blocks_of_lines(events, np.zeros(3000, int), lines["side"], place, slope)
    if kind == "toy":
        y = (place[1] + 9 * geo.CELL_MM * slope[0]) / geo.CELL_MM + geo.N_COLUMNS / 2
        z = (place[2] + 9 * geo.CELL_MM * slope[1]) / geo.HALF_HEIGHT_MM * geo.TOY_HALF_HEIGHT
        column, row = geo.toy_calo_block(y, z)
        np.testing.assert_array_equal(got["calo_column"], column)
        np.testing.assert_array_equal(got["calo_row"], row)
        return
    expected = toyhaystack.calo_blocks(lines, nearest=True)
    same = np.all([got[name] == expected[name] for name in expected], axis=0)
    assert (
        same.mean() > 0.995
    )  # gaps between blocks go to the next block here, and to another wall there


# Probabilities ----------------------------------------------------------------------------------------------


def test_probabilities_of_a_track_sum_to_one_the_largest_first(data):
    _, found = data
    n = np.diff(found.offsets)
    assert (n > 0).all()
    track = np.repeat(np.arange(len(n)), n)
    np.testing.assert_allclose(np.bincount(track, found.block_probability), 1)
    np.testing.assert_allclose(columns_of(found).sum(1), 1)
    np.testing.assert_allclose(rows_of(found).sum(1), 1)
    same_track = np.diff(track) == 0
    assert (np.diff(found.block_probability)[same_track] <= 0).all()


def test_probabilities_come_true(data):
    events, found = data
    probability = found.best()["probability"]
    right = is_right(events, found)
    assert right.mean() > 0.93
    for low, high in ((0.4, 0.7), (0.7, 0.9), (0.9, 0.99), (0.99, 1.01)):
        own = (probability >= low) & (probability < high)
        mean = probability[own].mean()
        error = np.sqrt(mean * (1 - mean) / own.sum())
        assert abs(right[own].mean() - mean) < 3.5 * error + 0.01


def test_unknown_heights_leave_the_row_open_but_not_the_column():
    events = realistic.generate(300, tracks=1, preset="no_heights", seed=6)
    found = ends_of(events)
    true = truth(events, found)
    column = columns_of(found).argmax(1)
    assert (column == events.tracks["calo_column"][true]).mean() > 0.85
    rows = rows_of(found)
    right = rows.argmax(1) == events.tracks["calo_row"][true]
    assert abs(rows.max(1).mean() - right.mean()) < 0.12  # it knows that it does not know


# Populations that nobody named ------------------------------------------------------------------------------


def line_of_hits(**fields):
    n = len(fields["layer"])
    return make_events({"track": [0] * n, **fields}, [0, n], info={"geometry": [geo.TOY]})


@pytest.mark.parametrize("n_hits", [0, 1])
def test_a_track_of_no_direction_has_no_block(n_hits):
    found = ends_of(line_of_hits(layer=[0] * n_hits, column=[5] * n_hits))
    best = found.best()
    assert len(best["calo_column"]) == n_hits
    assert (best["calo_column"] == -1).all() and (best["probability"] == 0).all()


def test_events_without_tracks_have_no_ends():
    for events in (concatenate([]), random_events(0, [20, 0, 3])):
        found = ends_of(events, np.full(len(events.hit_event), -1))
        assert len(found.event) == 0 and len(found.block_probability) == 0
        assert (association.associate(events, found).track == -1).all()


@pytest.mark.parametrize("geometry", [geo.TOY, geo.DETECTOR, geo.TKEVENT])
def test_any_cells_as_tracks_give_probabilities(geometry):
    events = random_events(1, [2, 3, 40, 2034], sides=(0, 1))
    events.info["geometry"][:] = geometry
    labels = events.hits["side"].astype(int)
    found = ends_of(events, labels)
    best = found.best()
    n_hits = np.bincount(tracks.fit(events, labels).fitted.segment[labels >= 0] // 2)
    assert (np.isfinite(best["probability"]) & ((best["probability"] > 0) == (n_hits > 1))).all()
    np.testing.assert_array_equal(best["calo_column"] >= 0, n_hits > 1)


def test_hits_without_radius_and_height_still_point_somewhere():
    events = line_of_hits(
        layer=range(9), column=[56] * 9, drift_radius_mm=[np.nan] * 9, z_mm=[np.nan] * 9
    )
    found = ends_of(events)
    assert columns_of(found)[0, 10:12].sum() > 0.95
    assert rows_of(found)[0].max() < 0.5


def test_a_full_layer_is_a_track_along_the_foil():
    events = line_of_hits(
        layer=[3] * 113, column=range(113), drift_radius_mm=[5.0] * 113, z_mm=[100.0] * 113
    )
    best = ends_of(events).best()
    assert best["calo_column"][0] in (0, 21)
