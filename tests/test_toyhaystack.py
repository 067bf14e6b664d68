"""The SN-IE haystack generator, against its own definition and against the files of the original script."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from scipy import stats

from datasets.events import concatenate
from datasets.geometry import (
    CELL_MM,
    GAMMA_VETO,
    MAIN_WALL,
    N_COLUMNS,
    N_LAYERS,
    X_WALL,
    optical_module,
    wire_x_mm,
    wire_y_mm,
)
from datasets.readers import hit_tree
from my_generator import blocks, toyhaystack

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "root"
BLOCK_FIELDS = ("calo_type", "calo_side", "calo_wall", "calo_column", "calo_row")


def make_lines(foil_y_mm=0.0, foil_z_mm=0.0, slope_y=0.0, slope_z=0.0, side=1):
    """Lines as the generator takes them, from numbers or lists."""
    names = ("foil_y_mm", "foil_z_mm", "slope_y", "slope_z", "side")
    values = np.broadcast_arrays(
        *map(np.atleast_1d, (foil_y_mm, foil_z_mm, slope_y, slope_z, side))
    )
    return dict(zip(names, values, strict=True))


def closest_approach(side, layer, column, lines):
    """Independent of the generator, by cross products in 3D: distance of wire and line, and z where it is
    reached.
    """
    one, zero = np.ones_like(lines["slope_y"]), np.zeros_like(lines["slope_y"])
    foil = np.stack([zero, lines["foil_y_mm"], lines["foil_z_mm"]], -1)
    direction = np.stack([2 * lines["side"] - one, lines["slope_y"], lines["slope_z"]], -1)
    wire = np.stack([wire_x_mm(side, layer), wire_y_mm(column), 0 * wire_y_mm(column)], -1)
    normal = np.cross(direction, [0.0, 0.0, 1.0])
    distance = np.abs(((wire - foil) * normal).sum(-1)) / np.linalg.norm(normal, axis=-1)
    step = (np.cross(wire - foil, [0.0, 0.0, 1.0]) * normal).sum(-1) / (normal**2).sum(-1)
    return distance, foil[..., 2] + step * direction[..., 2]


def line_of_hit(events):
    """The line of each hit's owner, name -> (hit,) array."""
    owner = events.track_offsets[events.hit_event] + events.hits["track"]
    return {
        name: events.tracks[name][owner].astype(float)
        for name in ("side", "foil_y_mm", "foil_z_mm", "slope_y", "slope_z")
    }


def same(a, b):
    """Whether two event tables are equal in everything."""
    groups = [(getattr(a, name), getattr(b, name)) for name in ("hits", "tracks", "info")]
    equal = all(np.array_equal(x[name], y[name], equal_nan=True) for x, y in groups for name in x)
    return (
        equal
        and np.array_equal(a.hit_offsets, b.hit_offsets)
        and np.array_equal(a.track_offsets, b.track_offsets)
    )


@pytest.fixture(scope="module")
def events():
    return toyhaystack.generate(2000, seed=3)


def test_every_hit_lies_on_its_line(events):
    distance, z = closest_approach(
        *(events.hits[k] for k in ("side", "layer", "column")), line_of_hit(events)
    )
    np.testing.assert_allclose(events.hits["drift_radius_mm"], distance, atol=2e-3)
    np.testing.assert_allclose(events.hits["z_mm"], z, atol=2e-2)


def test_no_hit_is_further_than_0_51_pitches_from_its_line(events):
    assert events.hits["drift_radius_mm"].max() <= np.float32(0.51 * CELL_MM)
    assert events.hits["drift_radius_mm"].max() > 0.509 * CELL_MM


def test_hits_are_on_the_side_of_their_track(events):
    np.testing.assert_array_equal(events.hits["side"], line_of_hit(events)["side"])
    assert 0.4 < events.tracks["side"].mean() < 0.6


def test_the_cells_that_fire_are_exactly_those_near_the_line():
    lines = toyhaystack.draw_lines(200, np.random.default_rng(5))
    calo_type = toyhaystack.calo_blocks(lines)["calo_type"]
    hits, n_hits = toyhaystack.find_hits(lines, calo_type)
    found = np.zeros((200, N_LAYERS, N_COLUMNS), bool)
    found[np.repeat(np.arange(200), n_hits), hits["layer"], hits["column"]] = True

    line, layer, column = np.indices(found.shape)
    distance, z = closest_approach(
        lines["side"][line], layer, column, {k: v[line] for k, v in lines.items()}
    )
    behind_veto = (calo_type == GAMMA_VETO)[line] & (np.abs(z) > 1550)
    np.testing.assert_array_equal(found, (distance <= 0.51 * CELL_MM) & ~behind_veto)


def test_a_line_straight_away_from_the_foil_hits_one_cell_a_layer():
    hits, n_hits = toyhaystack.find_hits(make_lines(44 * 10 + 5, 100), np.array([MAIN_WALL]))
    assert n_hits.tolist() == [9]
    assert hits["layer"].tolist() == list(range(9))
    assert set(hits["column"]) == {66} and set(hits["z_mm"]) == {100}
    np.testing.assert_allclose(hits["drift_radius_mm"], 5)


def test_a_line_midway_between_two_wires_fires_both():
    hits, n_hits = toyhaystack.find_hits(make_lines(22), np.array([MAIN_WALL]))
    assert n_hits.tolist() == [18]
    assert set(hits["column"]) == {56, 57}


@pytest.mark.parametrize(
    "y, z, slope_y, slope_z, side, block",
    [
        # block: type, side, wall, column, row; worked out by hand
        (10, 10, 0, 0, 1, (MAIN_WALL, 1, -1, 10, 6)),  # 2600 / 259 = 10.04, 1693.5 / 259 = 6.54
        (-10, 200, 0, 0, 0, (MAIN_WALL, 0, -1, 9, 7)),  # 2580 / 259 = 9.96, 1883.5 / 259 = 7.27
        (1900, 10, 5, 0, 1, (X_WALL, 1, 1, 0, 8)),  # at |x| = 121.1; 1706 / 212 = 8.05
        (-1900, 10, -2, 0, 1, (X_WALL, 1, 0, 1, 8)),  # at |x| = 302.75; 273.75 / 203 = 1.35
        (100, 1200, 0, 2, 1, (GAMMA_VETO, 1, 1, 8, -1)),  # at |x| = 175; 2586.75 / 311.5 = 8.3
        (-100, -1200, 0, -2, 0, (GAMMA_VETO, 0, 0, 7, -1)),  # 2397.25 / 311.5 = 7.7
        (0, 10, 0, 0, 1, (-1,) * 5),  # between main columns 9 and 10
        (10, 130, 0, 0, 1, (-1,) * 5),  # between main rows 6 and 7, which meet at 129.5
        (1900, 0, 5, 0, 1, (-1,) * 5),  # between X-wall rows 7 and 8
        (-3, 1200, 0, 2, 1, (-1,) * 5),  # between the two halves of the veto, 14 mm apart
        (3, 1200, 0, 2, 1, (-1,) * 5),
        (
            100,
            1205,
            0,
            1.1,
            1,
            (-1,) * 5,
        ),  # at |x| = 314 beside the veto, at z = 1683.5 above the main wall
        # a line that would hit two: the main wall comes before the X-wall, the X-wall before the veto
        (
            1700,
            10,
            1.9,
            0,
            1,
            (MAIN_WALL, 1, -1, 19, 6),
        ),  # y = 2505.5 at |x| = 424, 2526.5 at the main wall
        (
            1985,
            1290,
            2.42,
            1.3,
            1,
            (X_WALL, 1, 1, 0, 15),
        ),  # z = 1550 at |x| = 200, y = 2469; X-wall at |x| = 215, z = 1569.6
        (1700, 1290, 2.42, 1.3, 1, (GAMMA_VETO, 1, 1, 14, -1)),  # z = 1550 at |x| = 200, y = 2184
    ],
)
def test_lines_hit_the_block_worked_out_by_hand(y, z, slope_y, slope_z, side, block):
    calo = toyhaystack.calo_blocks(make_lines(y, z, slope_y, slope_z, side))
    assert tuple(int(calo[name][0]) for name in BLOCK_FIELDS) == block


def test_hits_beyond_the_veto_are_dropped_and_beyond_its_height_elsewhere_kept():
    lines = make_lines(
        [100, 100], [1200, 1290], 0, [2, 0.8]
    )  # to the veto at |x| = 175; to z = 1638 at the main wall
    events = toyhaystack.events_of_lines(lines, np.array([1, 1]))
    assert events.tracks["calo_type"].tolist() == [GAMMA_VETO, MAIN_WALL]
    assert events[0].hits["layer"].tolist() == [0, 1, 2]  # wires at 53, 97 and 141 mm
    assert events[1].hits["layer"].tolist() == list(range(9))
    assert events[1].hits["z_mm"].max() > 1550


def test_every_track_has_a_calorimeter_block(events):
    tracks = events.tracks
    assert np.isin(tracks["calo_type"], [0, 1, 2]).all()
    np.testing.assert_array_equal(tracks["calo_side"], tracks["side"])
    for calo_type, walls, n_columns, rows in (
        (0, {-1}, 20, range(13)),
        (1, {0, 1}, 2, range(16)),
        (2, {0, 1}, 16, [-1]),
    ):
        of_type = tracks["calo_type"] == calo_type
        assert set(tracks["calo_wall"][of_type].tolist()) == walls
        assert (
            tracks["calo_column"][of_type].min() >= 0
            and tracks["calo_column"][of_type].max() < n_columns
        )
        assert np.isin(tracks["calo_row"][of_type], rows).all()


def test_every_optical_module_can_be_hit():
    lines = toyhaystack.draw_lines(100_000, np.random.default_rng(2))
    calo = toyhaystack.calo_blocks(lines)
    number = optical_module(*(calo[name] for name in BLOCK_FIELDS))
    missed = set(range(712)) - set(number.tolist())
    assert not missed


def test_mirrored_lines_give_mirrored_hits_and_blocks():
    lines = toyhaystack.draw_lines(3000, np.random.default_rng(7))
    mirrored = {
        **lines,
        "foil_y_mm": -lines["foil_y_mm"],
        "slope_y": -lines["slope_y"],
        "side": 1 - lines["side"],
    }
    n_tracks = np.full(1000, 3)
    a, b = (toyhaystack.events_of_lines(x, n_tracks) for x in (lines, mirrored))
    np.testing.assert_array_equal(a.tracks["calo_type"], b.tracks["calo_type"])
    np.testing.assert_array_equal(a.tracks["calo_row"], b.tracks["calo_row"])
    columns = np.array([20, 2, 16])[a.tracks["calo_type"]]
    flipped = np.where(
        a.tracks["calo_type"] == X_WALL,
        a.tracks["calo_column"],
        columns - 1 - a.tracks["calo_column"],
    )
    np.testing.assert_array_equal(flipped, b.tracks["calo_column"])

    def cells(events, flip):
        h = {k: v.astype(int) for k, v in events.hits.items() if k in ("side", "layer", "column")}
        side, column = (1 - h["side"], 112 - h["column"]) if flip else (h["side"], h["column"])
        order = np.lexsort((column, h["layer"], side, events.hit_event))
        return np.stack([events.hit_event, side, h["layer"], column])[:, order], events.hits[
            "drift_radius_mm"
        ][order]

    (cells_a, radius_a), (cells_b, radius_b) = cells(a, False), cells(b, True)
    np.testing.assert_array_equal(cells_a, cells_b)
    np.testing.assert_allclose(radius_a, radius_b, atol=1e-4)


def test_an_event_of_n_tracks_has_n_tracks():
    events = toyhaystack.generate(500, tracks=(0, 1, 4), seed=1)
    np.testing.assert_array_equal(np.diff(events.track_offsets), events.info["n_tracks"])
    assert set(events.info["n_tracks"].tolist()) == {0, 1, 4}
    assert (events.n_hits[events.info["n_tracks"] == 0] == 0).all()
    assert len(toyhaystack.generate(10, tracks=0).hits["layer"]) == 0


def test_lines_are_drawn_in_their_ranges():
    lines = toyhaystack.draw_lines(20_000, np.random.default_rng(4))
    for name, limit in (
        ("foil_y_mm", 2000),
        ("foil_z_mm", 1300),
        ("slope_y", 1 / np.tan(0.1)),
        ("slope_z", 1 / np.tan(0.1)),
    ):
        assert 0.99 * limit < np.abs(lines[name]).max() <= limit


def test_a_shared_cell_keeps_the_smaller_radius_and_both_owners():
    lines = make_lines([44 * 10 + 9, 44 * 10 - 4], [50, 60])
    events = toyhaystack.events_of_lines(lines, np.array([2]))
    assert events.n_hits.tolist() == [9]
    np.testing.assert_allclose(events.hits["drift_radius_mm"], 4)
    assert set(events.hits["z_mm"]) == {60}
    assert set(events.hits["track"]) == {1} and set(events.hits["second_track"]) == {0}


def test_same_seed_gives_same_events():
    assert same(toyhaystack.generate(300, seed=9), toyhaystack.generate(300, seed=9))
    assert not same(toyhaystack.generate(300, seed=9), toyhaystack.generate(300, seed=10))


def test_any_event_can_be_made_again_alone():
    start = blocks.BLOCK - 3
    events = toyhaystack.generate(blocks.BLOCK + 10, seed=[4, 2])
    assert same(events[start : start + 6], toyhaystack.generate(6, seed=[4, 2], first_event=start))
    assert same(events[start + 5], toyhaystack.generate(1, seed=[4, 2], first_event=start + 5))


# Against the files of the original script -------------------------------------------------------------------


def read_original(n_tracks):
    """The branches of a file of the original, and its lines in double precision, name -> (track,) array."""
    with uproot.open(DATA / f"toyhaystack_t{n_tracks}_0.root") as file:
        arrays = file["hit_tree"].arrays()
    x, y, z, dy, dz = (ak.to_numpy(ak.flatten(arrays[name])) for name in hit_tree.LINE)
    away = np.sign(x)
    return arrays, make_lines(y - dy * x, z - dz * x, dy * away, dz * away, (x > 0).astype(int))


def tracks_as_the_original_writes_them(lines, n_tracks):
    """Hits of each track after the original's own rule for shared cells: [[{(column, layer): [radius, z]},
    ...], ...].
    """
    calo_type = toyhaystack.calo_blocks(lines)["calo_type"]
    hits, n_hits = toyhaystack.find_hits(
        lines, np.full_like(calo_type, MAIN_WALL)
    )  # nothing dropped yet
    starts = np.cumsum(n_hits) - n_hits
    events = []
    for first in range(0, len(n_hits), n_tracks):
        tracks = []
        for start, count in zip(
            starts[first : first + n_tracks], n_hits[first : first + n_tracks], strict=True
        ):
            h = {name: values[start : start + count].tolist() for name, values in hits.items()}
            cells = zip(h["side"], h["column"], h["layer"], strict=True)
            tracks.append(
                {
                    cell: [r, z]
                    for cell, r, z in zip(cells, h["drift_radius_mm"], h["z_mm"], strict=True)
                }
            )
        for track, following in zip(tracks, tracks[1:], strict=False):
            for cell in track.keys() & following.keys():
                track[cell][0] = min(track[cell][0], following.pop(cell)[0])
        veto = calo_type[first : first + n_tracks] == GAMMA_VETO
        events.append(
            [
                {c: v for c, v in sorted(t.items()) if not (ends and abs(v[1]) > 1550)}
                for t, ends in zip(tracks, veto, strict=True)
            ]
        )
    return events


@pytest.mark.real
@pytest.mark.parametrize("n_tracks", [1, 2, 3, 4])
def test_lines_of_the_original_hit_the_same_calorimeter_blocks(n_tracks):
    _, lines = read_original(n_tracks)
    calo = toyhaystack.calo_blocks(lines)
    original = hit_tree.read(DATA / f"toyhaystack_t{n_tracks}_0.root")
    for name in BLOCK_FIELDS:
        np.testing.assert_array_equal(calo[name], original.tracks[name], name)


@pytest.mark.real
@pytest.mark.parametrize("n_tracks", [1, 2, 3, 4])
def test_lines_of_the_original_give_its_hits_one_by_one(n_tracks):
    original, lines = read_original(n_tracks)
    for event, tracks in zip(
        original, tracks_as_the_original_writes_them(lines, n_tracks), strict=True
    ):
        ours = [(*cell, *hit) for track in tracks for cell, hit in track.items()]
        assert np.cumsum([len(track) for track in tracks]).tolist() == event["track_split"].tolist()
        theirs = np.stack(
            [event[name] for name in ("grid_side", "grid_column", "grid_layer", "radius", "wirez")],
            -1,
        )
        ours = np.array(ours).reshape(-1, 5)
        np.testing.assert_array_equal(ours[:, :3], theirs[:, :3])
        np.testing.assert_allclose(
            ours[:, 3], theirs[:, 3], atol=1e-3
        )  # they computed partly in single precision
        np.testing.assert_allclose(ours[:, 4], theirs[:, 4], atol=1e-2)


@pytest.mark.real
@pytest.mark.parametrize("n_tracks", [1, 2, 3, 4])
def test_events_of_the_lines_of_the_original_differ_from_its_file_only_in_shared_cells(n_tracks):
    _, lines = read_original(n_tracks)
    ours = toyhaystack.events_of_lines(lines, np.full(100, n_tracks))
    original = hit_tree.read(DATA / f"toyhaystack_t{n_tracks}_0.root")
    cells = [
        ((e.hit_event * 2 + e.hits["side"]) * N_LAYERS + e.hits["layer"]) * N_COLUMNS
        + e.hits["column"]
        for e in (ours, original)
    ]
    _, a, b = np.intersect1d(*cells, return_indices=True)
    assert len(b) == len(cells[1])
    # cells that the original first gave to a track ending in the veto, and then dropped: 9 in its 4-track
    # file
    assert len(cells[0]) - len(a) == {1: 0, 2: 0, 3: 0, 4: 9}[n_tracks]
    alone = ours.hits["second_track"][a] < 0
    for name, atol in (("drift_radius_mm", 1e-3), ("z_mm", 1e-2), ("track", 0)):
        np.testing.assert_allclose(
            ours.hits[name][a][alone], original.hits[name][b][alone], atol=atol, rtol=0
        )


@pytest.fixture(scope="module")
def original_and_generated():
    """The 400 events of the files and 20 000 of ours, the same share of 1 to 4 tracks."""
    original = concatenate([hit_tree.read(DATA / f"toyhaystack_t{n}_0.root") for n in (1, 2, 3, 4)])
    return original, concatenate(
        [toyhaystack.generate(5000, tracks=n, seed=11) for n in (1, 2, 3, 4)]
    )


@pytest.mark.real
@pytest.mark.parametrize("n_tracks", [1, 2, 3, 4])
def test_hits_per_event_are_distributed_as_in_the_original(original_and_generated, n_tracks):
    original, ours = (e[e.info["n_tracks"] == n_tracks].n_hits for e in original_and_generated)
    assert stats.ks_2samp(original, ours).pvalue > 0.001


@pytest.mark.real
@pytest.mark.parametrize("name", ["side", "layer", "column", "drift_radius_mm", "z_mm"])
def test_hits_are_distributed_as_in_the_original(original_and_generated, name):
    # one hit an event: the hits of one track depend on each other, the test wants independent numbers
    rng = np.random.default_rng(0)
    samples = []
    for events in original_and_generated:
        events = events[events.n_hits > 0]
        samples.append(events.hits[name][events.hit_offsets[:-1] + rng.integers(events.n_hits)])
    assert stats.ks_2samp(*samples).pvalue > 0.001


@pytest.mark.real
@pytest.mark.parametrize("name", ["foil_y_mm", "foil_z_mm", "slope_y", "slope_z"])
def test_lines_are_distributed_as_in_the_original(original_and_generated, name):
    original, ours = (e.tracks[name] for e in original_and_generated)
    assert stats.ks_2samp(original, ours).pvalue > 0.001


@pytest.mark.real
@pytest.mark.parametrize("name", ["side", "calo_type"])
def test_tracks_end_on_sides_and_walls_as_in_the_original(original_and_generated, name):
    counts = [np.bincount(e.tracks[name]) for e in original_and_generated]
    assert stats.chi2_contingency(counts).pvalue > 0.001
