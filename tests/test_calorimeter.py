"""Where tracks end: blocks of lines against the generators', probabilities that keep their word, mirror images,
fired blocks; and the script that measures it.
"""

import json

import numpy as np
import pytest
from conftest import random_events

import metrics
from datasets import geometry as geo
from datasets.events import concatenate, make_events
from datasets.readers import hit_tree, open_events
from fitting import calorimeter, tracks
from my_generator import realistic, straight_lines, toyhaystack
from scripts import block_of_track

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


def toy_line(y0, slope_y, z0=0.0, slope_z=0.1):
    """An event of one ideal line, y = y0 + slope_y x and so z, in cells, as the toy makes it."""
    a = np.arctan(slope_y) % np.pi
    b = np.arctan(slope_z) % np.pi
    lines = np.array([[a], [b], [y0], [z0]])
    first, count = straight_lines._columns_hit(*lines)
    return straight_lines._to_events(np.array([1]), np.array([0]), lines, first, count)


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
    columns = ends_of(events).of_columns()[0]
    np.testing.assert_allclose(columns[[10, 11]], 0.5, atol=0.02)


@pytest.mark.parametrize("slope", [40.0, -40.0])
def test_silent_cells_tell_a_track_along_the_foil_from_its_mirror_image(slope):
    y0 = 56.5 - np.sign(slope) * 20
    on_two_layers = toy_line(y0, slope, 10.0, 1.0)
    leaves_on_top = toy_line(y0, slope, 30.0, 10.0)
    assert set(on_two_layers.hits["layer"].tolist()) == {0, 1}
    assert set(leaves_on_top.hits["layer"].tolist()) == {0}
    for events in (on_two_layers, leaves_on_top):
        columns = ends_of(events).of_columns()[0]
        assert columns[21 if slope > 0 else 0] > 0.95


def test_the_mirrored_event_ends_in_the_mirrored_columns(data):
    events, found = data
    mirrored = events.with_hits({"column": geo.N_COLUMNS - 1 - events.hits["column"]})
    other = ends_of(mirrored)
    of_columns = np.abs(other.of_columns()[:, ::-1] - found.of_columns()).max(1)
    of_rows = np.abs(other.of_rows() - found.of_rows()).max(1)
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
    assert same.mean() > 0.995  # gaps between blocks go to the next block here, and to another wall there


# Probabilities ----------------------------------------------------------------------------------------------


def test_probabilities_of_a_track_sum_to_one_the_largest_first(data):
    _, found = data
    n = np.diff(found.offsets)
    assert (n > 0).all()
    track = np.repeat(np.arange(len(n)), n)
    np.testing.assert_allclose(np.bincount(track, found.block_probability), 1)
    np.testing.assert_allclose(found.of_columns().sum(1), 1)
    np.testing.assert_allclose(found.of_rows().sum(1), 1)
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
    column = found.of_columns().argmax(1)
    assert (column == events.tracks["calo_column"][true]).mean() > 0.85
    rows = found.of_rows()
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
        assert len(found.event) == 0 and found.of_columns().shape == (0, 22)
        assert (calorimeter.associate(events, found).track == -1).all()


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
    events = line_of_hits(layer=range(9), column=[56] * 9, drift_radius_mm=[np.nan] * 9, z_mm=[np.nan] * 9)
    found = ends_of(events)
    assert found.of_columns()[0, 10:12].sum() > 0.95
    assert found.of_rows()[0].max() < 0.5


def test_a_full_layer_is_a_track_along_the_foil():
    events = line_of_hits(layer=[3] * 113, column=range(113), drift_radius_mm=[5.0] * 113, z_mm=[100.0] * 113)
    best = ends_of(events).best()
    assert best["calo_column"][0] in (0, 21)


# Fired blocks -----------------------------------------------------------------------------------------------


def test_fired_blocks_go_to_the_tracks_that_end_there():
    events = realistic.generate(150, preset="data", seed=7, kind="toyhaystack")
    found = ends_of(events)
    own = calorimeter.associate(events, found)
    given = own.block >= 0
    owner = events.blocks["track"][own.block[given]]
    assert given.mean() > 0.95
    assert (owner == found.label[given]).mean() > 0.98
    np.testing.assert_array_equal(own.track[own.block[given]], np.flatnonzero(given))
    assert (own.distance[given] <= 3).all() and np.isnan(own.distance[~given]).all()
    assert (own.track >= 0).sum() == given.sum()  # one block a track


def with_blocks(events, columns):
    """The event with other blocks: main wall, side 1, the middle row."""
    n = len(columns)
    blocks = {"calo_type": [0] * n, "side": [1] * n, "wall": [-1] * n, "column": columns, "row": [7] * n}
    return make_events(events.hits, events.hit_offsets, info=events.info, blocks=blocks, block_offsets=[0, n])


def test_a_gamma_gets_no_track_and_the_distance_is_in_errors():
    straight = toy_line(52.0, 0.01)  # 0.3 columns beyond the border of blocks 9 and 10 at 50.85
    own = calorimeter.associate(with_blocks(straight, [3, 10, 17]), ends_of(straight))
    assert own.track.tolist() == [-1, 0, -1] and own.block.tolist() == [1] and own.distance.tolist() == [0]
    off = (52.0 + 0.09 - 50.85) * geo.CELL_MM
    beside = with_blocks(straight, [9])
    assert calorimeter.associate(beside, ends_of(straight)).block.tolist() == [-1]
    near = calorimeter.associate(beside, ends_of(straight), slack_mm=100.0)
    np.testing.assert_allclose(near.distance, off / 100, rtol=0.02)


def test_two_tracks_never_share_a_block():
    one = toy_line(52.0, 0.01)
    two = toy_line(54.0, -0.01)
    hits = {name: np.concatenate([one.hits[name], two.hits[name]]) for name in one.hits}
    hits["track"] = np.repeat([0, 1], [len(one.hits["track"]), len(two.hits["track"])])
    both = make_events(hits, [0, len(hits["track"])], info=one.info)
    own = calorimeter.associate(with_blocks(both, [10]), ends_of(both))
    assert sorted(own.block.tolist()) == [-1, 0] and own.track[0] == np.flatnonzero(own.block == 0)[0]


@pytest.mark.real
def test_blocks_of_a_falaise_file_are_found(real_data):
    events = open_events.read(real_data / "cases" / "falaise3_sd_cd_tcd.brio")
    own = calorimeter.associate(events, ends_of(events))
    assert (own.block >= 0).sum() == 17  # of the 17 electrons whose block the true steps tell, by hand


# The script -------------------------------------------------------------------------------------------------


def test_the_script_measures_files_and_presets(toy_file, tmp_path, capsys):
    out = tmp_path / "blocks.json"
    flags = ["--labels", "true", "--events", "60", "--baseline", "--json", str(out)]
    effect = "ideal+height_sigma_mm"
    results = block_of_track.main([str(toy_file), effect, *flags])
    said = capsys.readouterr().out
    assert set(results) == {str(toy_file), effect}
    for result in results.values():
        assert result["fit"]["right"]["value"] > result["principal axis"]["right"]["value"] > 0.7
        assert sum(one["n"] for one in result["fit"]["reliability"]) == result["n_known"]
    assert results[str(toy_file)]["fit"]["right"]["value"] > 0.97
    assert f"| {effect}, principal axis | " in said
    assert json.loads(out.read_text())["samples"].keys() == results.keys()


def test_the_script_refuses_what_it_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="no effect rain, only "):
        block_of_track.main(["ideal+rain", "--labels", "true"])
    path = tmp_path / "unlabelled.root"
    hit_tree.write(path, random_events(0, [5, 5]))
    with pytest.raises(ValueError, match=r"unlabelled\.root: no track of it tells the block"):
        block_of_track.main([str(path), "--labels", "true"])


def test_found_tracks_belong_to_the_true_track_of_most_hits():
    hits = {"layer": [0, 1, 2, 3, 4, 5], "column": [5] * 6, "track": [0, 0, 1, 1, 1, -1]}
    events = make_events(hits, [0, 6], {"calo_column": [3, 4], "calo_row": [1, 2]}, [0, 2])
    labels = np.array([0, 0, 0, 1, 1, 2])
    fitted = tracks.fit(events, labels)
    owners = metrics.majority_owners(fitted.of_hits, events.track_of_hits, len(fitted.event))
    assert owners.tolist() == [0, 1, -1]
