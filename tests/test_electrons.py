"""Electrons in field and gas: against closed circles and lines, the statistics of scattering, and by hand."""

import numpy as np
import pytest

import my_generator
from datasets.geometry import CELL_MM, FIRST_WIRE_MM, MAIN_WALL, MIDDLE_COLUMN, N_COLUMNS
from datasets.readers import hit_tree
from my_generator import __main__ as command
from my_generator import electrons, family, helices, lines, realistic, toyhaystack

ONE_MEV = helices.momentum_of(1.0)


def foil_line(n=1, **values):
    """n lines from the middle of the foil straight away from it on side 1, with other values where given."""
    usual = {"side": 1, "foil_y_mm": 0.0, "foil_z_mm": 0.0, "slope_y": 0.0, "slope_z": 0.0}
    return {name: np.full(n, value) for name, value in (usual | values).items()}


def random_tracks(n, seed):
    """n foil lines, momenta and charges."""
    rng = np.random.default_rng(seed)
    side = rng.integers(0, 2, (n, 1))
    foil = lines.chosen(slice(None), lines.foil_lines(side, rng))
    return foil, helices.momentum_of(rng.uniform(0.1, 3.5, n)), rng.choice([-1, 1], n)


def by_cell(hits, n_hits):
    """(track, side, layer, column) -> (radius, z), the nearer of two in a cell."""
    order = np.argsort(-hits["drift_radius_mm"], kind="stable")
    track = np.repeat(np.arange(len(n_hits)), n_hits)
    names = ("side", "layer", "column", "drift_radius_mm", "z_mm")
    rows = zip(*(values[order] for values in (track, *(hits[name] for name in names))), strict=True)
    return {row[:4]: row[4:] for row in rows}


def assert_same_cells(found, expected):
    """The same cells, at the same places there, but for those at the edge of a cell or just before a veto."""
    both = found.keys() & expected.keys()
    for cell in found.keys() ^ expected.keys():
        radius, z = (found | expected)[cell]
        assert radius > 21.9 or abs(z) > 1550 - electrons.STEP_MM / 2, cell
    assert len(both) > 0.95 * len(expected)
    at = np.array([found[cell] for cell in both])
    wanted = np.array([expected[cell] for cell in both])
    np.testing.assert_allclose(at, wanted, atol=0.2)
    assert np.abs(at[:, 0] - wanted[:, 0]).max() < 0.1


def test_without_gas_tracks_are_circles():
    foil, momentum, charge = random_tracks(300, seed=1)
    rng = np.random.default_rng(0)
    hits, n_hits, calo = electrons.fly(foil, momentum, charge, rng, scattering_mev=0.0)
    tracks = helices.from_lines(foil, momentum, charge)
    way, expected_calo = helices.ends(tracks)
    # between two blocks its track ends nowhere, or flies on outside to another block
    same_end = np.isfinite(way) & (calo["calo_type"] == expected_calo["calo_type"])
    assert same_end.mean() > 0.9
    expected, n_expected = helices.find_hits(tracks, np.where(same_end, way, 0))
    inside = (expected["drift_radius_mm"] < 22) & (np.abs(expected["z_mm"]) < 1550)
    track = np.repeat(np.arange(300), n_expected)[inside]
    expected = {name: values[inside] for name, values in expected.items()}
    keep = same_end[np.repeat(np.arange(300), n_hits)]
    hits = {name: values[keep] for name, values in hits.items()}
    n_hits = np.where(same_end, n_hits, 0)
    assert_same_cells(by_cell(hits, n_hits), by_cell(expected, np.bincount(track, minlength=300)))
    for name, values in expected_calo.items():
        assert (calo[name] == values)[same_end].mean() > 0.99
    assert (expected_calo["calo_type"][same_end] == -1).sum() > 10  # came back to the foil


def test_without_field_and_gas_tracks_are_lines():
    foil, momentum, charge = random_tracks(200, seed=2)
    rng = np.random.default_rng(0)
    hits, n_hits, _ = electrons.fly(
        foil, momentum, charge, rng, field_gauss=0.0, scattering_mev=0.0
    )
    line, x, expected = toyhaystack.cells_near(foil)
    inside = (expected["drift_radius_mm"] < 22) & (np.abs(expected["z_mm"]) < 1550)
    expected = {name: values[inside] for name, values in expected.items()}
    n_expected = np.bincount(line[inside], minlength=200)
    assert_same_cells(by_cell(hits, n_hits), by_cell(expected, n_expected))


@pytest.mark.parametrize("slope_z", [0.0, 1.0])
def test_gas_scatters_as_much_as_a_random_walk_of_the_direction(slope_z):
    n = 4000
    foil = foil_line(n, slope_z=slope_z)
    ends = np.empty((2, 3, n))
    theta = electrons.SCATTERING_MEV / (ONE_MEV**2 / (1 + helices.ELECTRON_MASS_MEV)) * np.sqrt(300)
    kick = np.full(n, theta * np.sqrt(electrons.STEP_MM / 300))
    steps = electrons._steps(foil, np.zeros(n), kick, np.random.default_rng(3), *ends)
    points = [next(steps) for _ in range(15)]
    _, before, here, _ = points[-1]  # after 300 mm
    climb = np.arctan(slope_z)
    direction = (here - before) / electrons.STEP_MM
    # in the top view and across it, in the plane of the track
    off = [here[1], np.cos(climb) * here[2] - np.sin(climb) * here[0]]
    turned = [direction[1], np.cos(climb) * direction[2] - np.sin(climb) * direction[0]]
    for distance, angle in zip(off, turned, strict=True):
        assert np.std(distance) == pytest.approx(theta * 300 / np.sqrt(3), rel=0.04)
        assert np.std(angle) == pytest.approx(theta, rel=0.06)
        assert np.corrcoef(distance, angle)[0, 1] == pytest.approx(np.sqrt(3) / 2, abs=0.03)
        assert abs(distance.mean()) < 4 * np.std(distance) / np.sqrt(n)


@pytest.mark.parametrize(
    "side, charge, up", [(1, -1, True), (1, 1, False), (0, -1, False), (0, 1, True)]
)
def test_the_field_turns_electrons_the_way_it_should(side, charge, up):
    foil = foil_line(side=side)
    no_gas = {"scattering_mev": 0.0}
    hits, _, calo = electrons.fly(foil, np.array([ONE_MEV]), np.array([charge]), None, **no_gas)
    last = hits["column"][np.argmax(hits["layer"])]
    assert (last > 56) == up
    assert calo["calo_type"][0] == MAIN_WALL and calo["calo_side"][0] == side
    # 1 MeV turns on a circle of 1.897 m, so after 405 mm it is 43.7 mm off
    radius_mm = ONE_MEV / (0.299792458 * 0.0025)
    assert radius_mm == pytest.approx(1897, abs=2)
    off = radius_mm - np.sqrt(radius_mm**2 - 405**2)
    in_last = (hits["layer"] == 8) & (hits["column"] == last)
    wire = 44 * abs(last - 56.0)
    closest = np.abs(np.hypot(405, radius_mm - wire) - radius_mm)
    assert hits["drift_radius_mm"][in_last] == pytest.approx(closest, abs=0.02)
    assert abs(off - wire) < 22.5


def test_a_slow_electron_comes_back_to_the_foil_and_has_no_block():
    radius_mm = 400.0
    momentum = np.array([0.299792458 * 0.0025 * radius_mm])
    hits, _, calo = electrons.fly(foil_line(), momentum, np.array([-1]), None, scattering_mev=0.0)
    assert calo["calo_type"][0] == -1
    # a quarter of a circle leads away from the foil, another one back: all layers but the last twice
    assert np.ptp(hits["column"]) * 44 == pytest.approx(2 * radius_mm, abs=44)
    assert (np.bincount(hits["layer"])[:8] >= 2).all()


def test_tracks_along_the_foil_and_no_tracks_do_no_harm():
    foil = foil_line(3, slope_y=1e6, foil_y_mm=-2000.0)
    gas = {"field_gauss": 0.0, "scattering_mev": 0.0}
    _, n_hits, calo = electrons.fly(foil, np.full(3, 1.0), np.ones(3), None, **gas)
    assert n_hits.tolist() == [0, 0, 0]  # within 5 mm of the foil
    assert (calo["calo_type"] == -1).all()  # no block reaches so near
    nothing = {name: values[:0] for name, values in foil.items()}
    hits, n_hits, _ = electrons.fly(nothing, np.zeros(0), np.zeros(0), np.random.default_rng(0))
    assert len(hits["layer"]) == len(n_hits) == 0
    events = electrons.make_block(np.zeros(2, int), np.random.default_rng(0))
    assert len(events) == 2 and not events.n_hits.any()


def test_the_truth_of_a_track_is_kept():
    events = realistic.generate(200, tracks=3, preset="ideal", seed=5, kind="electrons")
    tracks = events.tracks
    momentum = tracks["momentum_mev"].astype(float)
    assert (
        momentum.min() > helices.momentum_of(0.1) - 1e-3
        and momentum.max() < helices.momentum_of(3.5) + 1e-3
    )
    dip = np.arctan(tracks["slope_z"] / np.hypot(1, tracks["slope_y"]))
    expected = 0.299792458 * 0.0025 / (momentum * np.cos(dip)) * -tracks["charge"]
    np.testing.assert_allclose(tracks["curvature_per_mm"], expected, rtol=1e-4)
    assert tracks["vertex"].reshape(-1, 3).tolist() == [[0, 1, 2]] * 200
    n_cells = family.cells_crossed(events)
    assert n_cells.min() >= electrons.MIN_HITS
    without = realistic.generate(50, preset="ideal", seed=5, kind="electrons_without_field")
    assert not without.tracks["curvature_per_mm"].any()


def test_two_of_one_vertex_share_it_and_cells_where_they_cross():
    events = family.generate("electron_v_vertex", 300, seed=6)
    for name in ("foil_y_mm", "foil_z_mm", "side", "vertex"):
        values = events.tracks[name].reshape(-1, 2)
        np.testing.assert_array_equal(values[:, 0], values[:, 1])
    apart = family.generate("electron_double_helix", 300, seed=6).tracks
    assert (np.diff(apart["foil_y_mm"].reshape(-1, 2)) != 0).all()
    assert (apart["vertex"].reshape(-1, 2) == [0, 1]).all()
    shared = events.hits["second_track"] >= 0
    assert shared.any() and (events.hits["second_track"] != events.hits["track"])[shared].all()
    hits = events.hits
    cell = ((events.hit_event * 2 + hits["side"]) * 9 + hits["layer"]) * N_COLUMNS + hits["column"]
    assert len(np.unique(cell)) == len(cell)
    assert hits["drift_radius_mm"].max() < 22


def test_the_electrons_of_a_decay_share_its_energy_on_one_side():
    events = family.generate("electron_signal_like", 300, seed=7)
    momentum = events.tracks["momentum_mev"].astype(float).reshape(-1, 2)
    energy = np.hypot(momentum, helices.ELECTRON_MASS_MEV) - helices.ELECTRON_MASS_MEV
    np.testing.assert_allclose(energy.sum(1), family.Q_MEV, rtol=1e-5)
    assert (np.diff(events.tracks["side"].reshape(-1, 2)) == 0).all()
    assert (events.tracks["charge"] == -1).all()


@pytest.mark.parametrize("name", ["electrons_mix", "lines_and_electrons_mix"])
def test_mixes_are_there_by_name(name):
    generate, n_sides = my_generator.GENERATORS[name]
    events = generate(300, seed=8)
    assert n_sides == 1 and (events.hits["side"] == 1).all()
    is_electron = np.isfinite(events.tracks["momentum_mev"])
    share = is_electron.mean()
    assert share == 1 if name == "electrons_mix" else 0.4 < share < 0.6


def test_files_are_written_and_read_with_the_truth_of_their_tracks(tmp_path):
    flags = ["--kind", "electrons", "--tracks", "2", "--response", "data", "--events", "30"]
    command.main([*flags, "--seed", "5", "--out", str(tmp_path)])
    read = hit_tree.read(tmp_path / "electrons_t2_0.root")
    made = realistic.generate(30, tracks=2, preset="data", seed=[5, 2, 0], kind="electrons")
    for name, values in made.tracks.items():
        np.testing.assert_array_equal(read.tracks[name], values)
    field = ["--kind", "electron_v_vertex", "--field-gauss", "0", "--events", "30"]
    command.main([*field, "--out", str(tmp_path)])
    assert (
        not hit_tree.read(tmp_path / "electron_v_vertex_t2_0.root").tracks["curvature_per_mm"].any()
    )


def test_tracks_of_one_vertex_share_their_foil_point_and_keep_their_order():
    n_tracks = np.array([3, 0, 1, 2])
    events = electrons.make_block(n_tracks, np.random.default_rng(4), one_vertex=True)
    np.testing.assert_array_equal(np.diff(events.track_offsets), n_tracks)
    event = events.track_event
    for name in ("foil_y_mm", "foil_z_mm"):
        first = events.tracks[name][events.track_offsets[event]]
        np.testing.assert_array_equal(events.tracks[name], first)
    assert not events.tracks["vertex"].any()
    n_hits = np.zeros(len(event), int)
    for name in ("track", "second_track"):
        owned = events.hits[name] >= 0
        np.add.at(
            n_hits, events.track_offsets[events.hit_event[owned]] + events.hits[name][owned], 1
        )
    assert (n_hits >= electrons.MIN_HITS).all()


def test_hits_of_a_block_are_on_the_tracks_that_own_them():
    n_tracks = np.tile([1, 2, 3, 4], 50)
    events = electrons.make_block(n_tracks, np.random.default_rng(5), field_gauss=0.0)
    hits, tracks = events.hits, events.tracks
    track = events.track_offsets[events.hit_event] + hits["track"]
    x = FIRST_WIRE_MM + CELL_MM * hits["layer"]
    y = CELL_MM * (hits["column"].astype(int) - MIDDLE_COLUMN)
    slope = tracks["slope_y"][track]
    distance = np.abs(y - tracks["foil_y_mm"][track] - slope * x) / np.hypot(1, slope)
    assert (
        np.median(distance) < CELL_MM
    )  # the gas scatters them off the line, to other tracks it is far
