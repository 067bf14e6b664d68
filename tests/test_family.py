"""The family of idealised events, against trajectories followed in small steps and cases worked out by hand."""

import numpy as np
import pytest
from conftest import assert_same
from scipy.spatial import cKDTree

from datasets.geometry import GAMMA_VETO, MAIN_WALL, N_COLUMNS, N_LAYERS, X_WALL, wire_x_mm, wire_y_mm
from datasets.readers import hit_tree, open_events
from my_generator import __main__ as cli
from my_generator import blocks, family, helices, lines, toyhaystack
from my_generator.response import PRESETS

STEP_MM = 0.05
REACH_MM = 0.51 * 44
WIRES = np.stack([index.ravel() for index in (wire_x_mm(1, np.arange(N_LAYERS)[:, None]) + np.zeros(N_COLUMNS),
                                              wire_y_mm(np.arange(N_COLUMNS)) + np.zeros((N_LAYERS, 1)))], 1)  # fmt: skip
KINKED = ("scatter", "bounce")
HELICES = ("single_helix", "double_helix", "signal_like")
LINES = tuple(kind for kind in family.KINDS if kind not in HELICES + KINKED)


def foil_line(side=1, foil_y_mm=0.0, foil_z_mm=0.0, slope_y=0.0, slope_z=0.0):
    """Lines as the generator takes them, (n,), from numbers or lists."""
    names = ("side", "foil_y_mm", "foil_z_mm", "slope_y", "slope_z")
    values = np.broadcast_arrays(*map(np.atleast_1d, (side, foil_y_mm, foil_z_mm, slope_y, slope_z)))
    return dict(zip(names, values, strict=True))


def at(arrays, i):
    """Entry i of every array."""
    return {name: values[i] for name, values in arrays.items()}


# Trajectories in small steps --------------------------------------------------------------------------------


def walk(start, velocities):
    """(point, 3) of (|x|, y, z): from the start in steps of STEP_MM in the top view along (step, 3)
    velocities.
    """
    return start + STEP_MM * np.concatenate([np.zeros((1, 3)), np.cumsum(velocities, 0)])


def walk_line(start, line, away=1, way_mm=6000):
    """Along a line's slopes away from the foil, or back to it (-1)."""
    velocity = away * np.array([1, line["slope_y"], line["slope_z"]]) / np.hypot(1, line["slope_y"])
    return walk(start, np.tile(velocity, (int(way_mm / STEP_MM), 1)))


def walk_helix(track, way_mm=6500):
    """Turning the velocity a little at every step."""
    steps = np.arange(int(way_mm / STEP_MM)) + 0.5
    heading = np.arctan(track["slope_y"]) + track["mirror"] * STEP_MM / track["radius_mm"] * steps
    climb = track["slope_z"] / np.hypot(1, track["slope_y"])
    return walk(
        foil_point(track), np.stack([np.cos(heading), np.sin(heading), np.full(len(steps), climb)], 1)
    )


def foil_point(track):
    return np.array([0, track["foil_y_mm"], track["foil_z_mm"]])


def over(points):
    """What each point is beyond: calo_type, or -1 for the foil -> (point,) bool."""
    x, y, z = np.abs(points).T
    return {MAIN_WALL: x >= 435, X_WALL: y >= 2505.5, GAMMA_VETO: z >= 1550, -1: points[:, 0] < 0}


def until(points, beyond):
    """Points up to the first that is beyond something."""
    assert beyond.any()
    return points[: beyond.argmax() + 1]


def trajectory(kind, truth, track, i):
    """(point, 3) of track i from the arguments that the generator made it of."""
    if kind in HELICES:
        points = walk_helix(at(truth[0], i))
        return until(points, over(points)[int(track["calo_type"])])
    if kind in LINES:
        points = walk_line(foil_point(track), track)
        return until(points, over(points)[int(track["calo_type"])])
    first, second, x = at(truth[0], i), at(truth[1], i), truth[2][i]
    points = walk_line(foil_point(first), first)
    points = until(points, points[:, 0] >= x)
    kink = foil_point(first) + x * np.array([1, first["slope_y"], first["slope_z"]])
    rest = walk_line(kink, second, away=1 if kind == "scatter" else -1)
    beyond = over(rest)
    stop = (
        beyond[int(track["calo_type"])]
        if kind == "scatter"
        else beyond[-1] | beyond[X_WALL] | beyond[GAMMA_VETO]
    )
    return np.concatenate([points, until(rest, stop)])


def recorded(monkeypatch, module, name):
    """The arguments of every call of a function from now on."""
    calls, function = [], getattr(module, name)
    monkeypatch.setattr(
        module, name, lambda *args, **options: calls.append(args) or function(*args, **options)
    )
    return calls


@pytest.fixture(scope="module", params=family.KINDS)
def truth_of_tracks(request):
    """kind, its events, and for each track: its points, its labels and its hits before they merge with those
    of others.
    """
    kind = request.param
    with pytest.MonkeyPatch.context() as monkeypatch:
        of_hits = recorded(monkeypatch, toyhaystack, "events_of_hits")
        of_tracks = (
            recorded(monkeypatch, helices, "find_hits")
            if kind in HELICES
            else recorded(monkeypatch, lines, "kinked_events")
        )
        events = family.KINDS[kind][0](50, np.random.default_rng(8))
    hits, n_hits, tracks, _ = of_hits[0]
    ends = np.cumsum(n_hits)
    own = [
        {name: values[end - n : end] for name, values in hits.items()}
        for n, end in zip(n_hits, ends, strict=True)
    ]
    labels = [at(tracks, i) for i in range(len(n_hits))]
    truth = of_tracks[0] if of_tracks else None
    return (
        kind,
        events,
        [(trajectory(kind, truth, track, i), track, own[i]) for i, track in enumerate(labels)],
    )


def test_hits_are_exactly_the_cells_near_the_trajectory_with_their_distance_and_height(truth_of_tracks):
    kind, _, tracks = truth_of_tracks
    assert len(tracks) > 25
    for points, track, hits in tracks:
        assert (hits["side"] == track["side"]).all()
        order = np.argsort(
            -hits["drift_radius_mm"]
        )  # a kinked track may have two hits in a cell; the smaller radius is written last
        cell = (hits["layer"] * N_COLUMNS + hits["column"])[order]
        radius, z = np.full((2, len(WIRES)), np.nan)
        radius[cell], z[cell] = hits["drift_radius_mm"][order], hits["z_mm"][order]

        distance, nearest = cKDTree(points[:, :2]).query(WIRES, distance_upper_bound=REACH_MM + 1)
        fired = np.isfinite(radius)
        at_the_end = nearest >= len(points) - 3  # no cell fires for the end alone
        sure = (np.abs(distance - REACH_MM) > 0.03) & ~at_the_end
        np.testing.assert_array_equal(fired[sure], distance[sure] < REACH_MM)
        assert fired[at_the_end & (nearest < len(points))].sum() <= 1
        np.testing.assert_allclose(radius[fired], distance[fired], atol=0.03)

        tolerance = 0.05 + 2 * np.abs(np.diff(points[:, 2])).max()
        off = np.flatnonzero(fired)[np.abs(z[fired] - points[nearest[fired], 2]) > tolerance]
        for wire in off:  # allowed where the track comes as near a second time
            along = np.hypot(*(points[:, :2] - WIRES[wire]).T)
            lowest = (
                np.flatnonzero(
                    (along[1:-1] <= along[:-2])
                    & (along[1:-1] <= along[2:])
                    & (along[1:-1] < radius[wire] + 0.03)
                )
                + 1
            )
            assert np.abs(points[lowest, 2] - z[wire]).min() <= tolerance
        assert len(off) <= 2


def test_no_radius_is_more_than_0_51_pitches(truth_of_tracks):
    _, events, _ = truth_of_tracks
    assert 20 < events.hits["drift_radius_mm"].max() <= np.float32(REACH_MM)


def test_the_block_is_where_the_trajectory_first_meets_a_wall(truth_of_tracks):
    kind, _, tracks = truth_of_tracks
    for points, track, _ in tracks:
        column, row, wall = (int(track[name]) for name in ("calo_column", "calo_row", "calo_wall"))
        if track["calo_type"] == -1:
            assert kind in HELICES and (column, row, wall) == (-1, -1, -1)
            assert not any(over(points)[k].any() for k in (MAIN_WALL, X_WALL, GAMMA_VETO))
            continue
        x, y, z = points[-1] if kind != "bounce" else points[points[:, 0].argmax()]
        assert track["calo_side"] == track["side"]
        if track["calo_type"] == MAIN_WALL:
            assert abs(x - 435) < 0.1 and wall == -1
            assert 0 <= y + 2590 - 259 * column <= 259 and 0 <= z + 1683.5 - 259 * row <= 259
        elif track["calo_type"] == X_WALL:
            assert abs(y - (2 * wall - 1) * 2505.5) < 0.1
            assert 0 <= x - 29 - 203 * column <= 203 and 0 <= z + 1696 - 212 * row <= 212
        else:
            assert abs(z - (2 * wall - 1) * 1550) < 0.6 and row == -1
            assert 5.8 <= x <= 296 and 0 <= y + 2497.25 - 311.5 * column - 10.5 * (column > 7) <= 311.5
        before = over(points[:-3])
        assert kind == "bounce" or not before[MAIN_WALL].any() and not before[X_WALL].any()
        assert (points[:-3][before[GAMMA_VETO], 0] > 295.9).all()  # where no veto is


# Kinds ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=family.KINDS)
def kind_and_events(request):
    return request.param, family.generate(request.param, 2500, seed=5)


def test_kinds_have_their_number_of_tracks_and_every_track_enough_cells(kind_and_events):
    kind, events = kind_and_events
    assert len(events) == 2500
    assert (
        set(np.diff(events.track_offsets)) == set(events.info["n_tracks"].tolist()) == {family.KINDS[kind][1]}
    )
    assert family.cells_crossed(events).min() >= family.MIN_HITS == 3
    assert set(events.tracks["kinked"].tolist()) == {kind in KINKED + HELICES}


def test_tracks_of_an_event_leave_from_one_foil_point(kind_and_events):
    kind, events = kind_and_events
    for name, limit in (("foil_y_mm", 2000), ("foil_z_mm", 1300)):
        values = events.tracks[name].reshape(len(events), -1)
        assert (values == values[:, :1]).all()
        assert 0.98 * limit < np.abs(values).max() <= limit


def test_tracks_are_on_the_sides_of_their_kind(kind_and_events):
    kind, events = kind_and_events
    side = events.tracks["side"].reshape(len(events), -1)
    owner = events.track_offsets[events.hit_event] + events.hits["track"]
    np.testing.assert_array_equal(events.hits["side"], events.tracks["side"][owner])
    if kind in ("double_left_right", "double_helix"):
        assert (side == [0, 1]).all()
    else:
        assert 0.45 < side.mean() < 0.55
    if kind == "v_vertex":
        assert (side[:, 0] == side[:, 1]).all()
        slopes = events.tracks["slope_y"].reshape(-1, 2)
        assert 0.2 <= np.abs(np.diff(slopes)).min() < 0.25


def test_every_track_has_a_block_but_some_helices_come_back_to_the_foil(kind_and_events):
    kind, events = kind_and_events
    without = (events.tracks["calo_type"] == -1).mean()
    assert 0.05 < without < 0.15 if kind in HELICES else without == 0
    if kind == "bounce":
        assert set(events.tracks["calo_type"].tolist()) == {MAIN_WALL}


def test_same_seed_gives_same_events_and_any_event_can_be_made_again_alone(kind_and_events):
    kind, events = kind_and_events
    start = blocks.BLOCK - 2
    assert_same(events[start : start + 5], family.generate(kind, 5, seed=5, first_event=start))
    assert not np.array_equal(
        family.generate(kind, 20, seed=6).tracks["slope_y"], events[:20].tracks["slope_y"]
    )


def test_kinds_of_one_seed_are_independent():
    a, b = (
        family.generate(kind, 500, seed=1).tracks["foil_y_mm"] for kind in ("single_line", "single_helix")
    )
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.2


def test_single_lines_are_those_of_the_haystack_with_enough_cells():
    haystack = toyhaystack.generate(4000, tracks=1, seed=2)
    haystack = haystack[family.cells_crossed(haystack) >= family.MIN_HITS]
    ours = family.generate("single_line", 4000, seed=2)
    for name in ("foil_y_mm", "foil_z_mm", "slope_y", "slope_z"):
        quantiles = [np.quantile(e.tracks[name], [0.1, 0.3, 0.5, 0.7, 0.9]) for e in (haystack, ours)]
        np.testing.assert_allclose(*quantiles, atol=0.06 * np.ptp(quantiles[0]))


# Kinks ------------------------------------------------------------------------------------------------------


def test_a_line_that_turns_on_its_way_worked_out_by_hand():
    # straight away from the foil at y = 5, 5 mm from the wires of column 56, until 20 mm before the wire of
    # layer 3; then 45 degrees
    first = foil_line(foil_y_mm=5, foil_z_mm=10)
    x = np.array([53 + 3 * 44 - 20.0])
    second = lines.line_through(first, x, np.array([1.0]), np.array([0.5]))
    events = lines.kinked_events(first, second, x)
    cells = list(zip(*(events.hits[name].tolist() for name in ("layer", "column")), strict=True))
    assert cells[:3] == [(0, 56), (1, 56), (2, 56)]
    np.testing.assert_allclose(events.hits["drift_radius_mm"][:3], 5)
    # the wire of layer 3, column 56, is 20 further in x and 5 lower: 25 / sqrt 2 from the line, closest 7.5
    # mm after the kink in x
    third = cells.index((3, 56))
    assert events.hits["drift_radius_mm"][third] == pytest.approx(25 / np.sqrt(2), abs=1e-3)
    assert events.hits["z_mm"][third] == pytest.approx(10 + 0.5 * 7.5, abs=1e-3)
    assert events.tracks["kinked"].tolist() == [True]
    assert events.tracks["calo_column"].tolist() == [
        11
    ]  # y = 5 + 435 - 165 = 275; (275 + 2590) / 259 = 11.06


def test_a_cell_outside_a_kink_fires_by_its_corner():
    # from +45 to -45 degrees, 10 mm below the wire of layer 4, column 60 at (229, 176): its feet on both
    # lines lie beyond the kink
    first = foil_line(foil_y_mm=166 - 229, slope_y=1)
    x = np.array([229.0])
    second = lines.line_through(first, x, np.array([-1.0]), np.array([0.0]))
    events = lines.kinked_events(first, second, x)
    cell = (events.hits["layer"] == 4) & (events.hits["column"] == 60)
    assert events.hits["drift_radius_mm"][cell].tolist() == [10]
    assert (events.hits["track"] == 0).all() and (events.hits["second_track"] == -1).all()


@pytest.mark.parametrize("degrees", [3.0, 8.0])
def test_the_angle_of_a_scattering_has_its_standard_deviation(monkeypatch, degrees):
    calls = recorded(monkeypatch, lines, "kinked_events")
    lines.scatter(20_000, np.random.default_rng(3), degrees)
    first, second, x = calls[0]
    angle = np.degrees(np.arccos((lines.directions(first) * lines.directions(second)).sum(1).clip(-1, 1)))
    assert np.sqrt((angle**2).mean() / 2) == pytest.approx(
        degrees, rel=0.05
    )  # two projected angles; a few large ones miss the walls
    assert 75 < x.min() < 80 and 380 < x.max() < 383


def test_a_bounced_track_comes_back_through_three_layers(kind_and_events):
    kind, events = kind_and_events
    if kind == "bounce":
        # its two pieces fire each of layers 6 and 7 at least once, and seldom the same cell
        outer = events.hits["layer"] >= 6
        n_outer = np.bincount(events.hit_event[outer], minlength=len(events))
        assert n_outer.min() >= 4 and np.median(n_outer) > 8


# Helices ----------------------------------------------------------------------------------------------------


def test_momentum_and_radius_of_an_electron():
    assert helices.momentum_of(1.0) == pytest.approx(1.42197, abs=1e-5)  # sqrt(1 (1 + 1.02200))
    track = helices.from_lines(foil_line(), np.array([1.0]), np.array([-1]))
    assert track["radius_mm"].tolist() == pytest.approx([1334.26], abs=0.01)  # 1 / (0.299792458 * 0.0025)
    tilted = helices.from_lines(
        foil_line(slope_y=1.0, slope_z=np.sqrt(2)), np.array([1.0]), np.array([-1])
    )  # 45 degrees out of the plane
    assert tilted["radius_mm"].tolist() == pytest.approx([1334.26 / np.sqrt(2)], abs=0.01)
    a, b, c = (np.array(helices.position(track, way))[:2, 0] for way in (0.0, 100.0, 300.0))
    sides = np.hypot(*(a - b)), np.hypot(*(b - c)), np.hypot(*(c - a))
    (ux, uy), (vx, vy) = b - a, c - a
    assert np.prod(sides) / (2 * abs(ux * vy - uy * vx)) == pytest.approx(
        1334.26, abs=0.01
    )  # circumscribed circle


@pytest.mark.parametrize("side, charge, turn", [(1, -1, 1), (0, -1, -1), (1, 1, -1), (0, 1, 1)])
def test_the_force_turns_an_electron_on_side_1_towards_positive_y(side, charge, turn):
    # v along x, B along z: F = q v x B = -q v B along y, by true x
    track = helices.from_lines(foil_line(side), np.array([1.0]), np.array([charge]))
    assert np.sign(helices.position(track, 100.0)[1]).tolist() == [turn]


@pytest.mark.parametrize("charge", [-1, 1])
def test_a_slow_electron_comes_back_to_the_foil_after_half_a_circle(charge):
    momentum = np.array(
        [200 * 0.299792458 * 0.0025]
    )  # a circle of 200 mm, its far side between layers 3 and 4
    track = helices.from_lines(foil_line(foil_y_mm=44.0), momentum, np.array([charge]))
    way, calo = helices.ends(track)
    assert way.tolist() == pytest.approx([200 * np.pi])
    assert calo["calo_type"].tolist() == [-1] and calo["calo_row"].tolist() == [-1]
    hits, n_hits = helices.find_hits(track, way)
    assert hits["layer"].max() == 3 and n_hits[0] > 12
    end = -charge * 400 + 44
    np.testing.assert_allclose(
        hits["drift_radius_mm"],
        np.abs(np.hypot(53 + 44 * hits["layer"], 44 * (hits["column"] - 56) - (44 + end) / 2) - 200),
    )
    # layer 0, on both ways: the circle passes |x| = 53 at 200 - sqrt(200^2 - 53^2) = 7.15 from either end in
    # y
    columns = hits["column"][hits["layer"] == 0]
    assert set(columns.tolist()) >= {57, round(56 + (end + charge * 7.15) / 44)}


@pytest.mark.parametrize("charge", [-1, 1])
def test_a_very_fast_helix_is_a_line(charge):
    foil_lines = toyhaystack.draw_lines(4000, np.random.default_rng(6))
    track = helices.from_lines(
        foil_lines, np.full(4000, 1e6), np.full(4000, charge)
    )  # circles of 100 km and more
    way, calo = helices.ends(track)
    line_calo = toyhaystack.calo_blocks(foil_lines, nearest=True)
    same = np.flatnonzero(calo["calo_type"] == line_calo["calo_type"])
    assert len(same) >= 3999
    for name in calo:
        np.testing.assert_array_equal(calo[name][same], line_calo[name][same])
    one = np.ones(len(same), int)
    foil_lines, calo = at(foil_lines, same), at(calo, same)
    a = toyhaystack.events_of_hits(
        *toyhaystack.find_hits(foil_lines, calo["calo_type"]), {**foil_lines, **calo}, one
    )
    b = toyhaystack.events_of_hits(
        *helices.find_hits(at(track, same), way[same]), {**foil_lines, **calo}, one
    )
    cells = [
        ((e.hit_event * 2 + e.hits["side"]) * N_LAYERS + e.hits["layer"]) * N_COLUMNS + e.hits["column"]
        for e in (a, b)
    ]
    _, in_a, in_b = np.intersect1d(*cells, return_indices=True)
    for events, matched in (
        (a, in_a),
        (b, in_b),
    ):  # the sagitta of 0.02 mm may move a hit over the edge of its cell
        alone = np.delete(events.hits["drift_radius_mm"], matched)
        assert len(matched) > 60_000 and (alone > REACH_MM - 0.02).all()
    np.testing.assert_allclose(a.hits["drift_radius_mm"][in_a], b.hits["drift_radius_mm"][in_b], atol=0.02)
    np.testing.assert_allclose(a.hits["z_mm"][in_a], b.hits["z_mm"][in_b], atol=0.05)


def test_helices_are_drawn_with_kinetic_energies_of_0_3_to_3_5_mev_and_both_charges(monkeypatch):
    calls = recorded(monkeypatch, helices, "from_lines")
    helices.double_helix(3000, np.random.default_rng(1))
    _, momentum, charge = calls[0]
    energy = np.sqrt(momentum**2 + 0.51099895**2) - 0.51099895
    assert 0.3 <= energy.min() < 0.31 and 3.49 < energy.max() <= 3.5
    assert abs(charge.mean()) < 0.1 and set(charge.ravel()) == {-1, 1}
    assert abs(np.corrcoef(charge.T)[0, 1]) < 0.1


# Signal-like ------------------------------------------------------------------------------------------------


def test_electrons_of_a_decay_share_its_energy(monkeypatch):
    calls = recorded(monkeypatch, helices, "curved")
    family.signal_like(3000, np.random.default_rng(1))
    _, momentum, charge, _ = calls[0]
    energy = np.sqrt(momentum**2 + 0.51099895**2) - 0.51099895
    np.testing.assert_allclose(energy.sum(1), 2.9979)
    assert 0.3 <= energy.min() < 0.31
    assert (charge == -1).all()


@pytest.mark.parametrize("b", [0.3, 0.95])
def test_the_angle_between_two_electrons_is_distributed_as_1_minus_b_cos(b):
    first, second = np.moveaxis(family._two_directions(np.full(200_000, b), np.random.default_rng(2)), 1, 0)
    np.testing.assert_allclose(np.linalg.norm(second, axis=1), 1)
    cos = (first * second).sum(1)
    counts, edges = np.histogram(cos, 20, (-1, 1))
    expected = 200_000 / 20 * (1 - b * (edges[1:] + edges[:-1]) / 2)
    assert ((counts - expected) ** 2 / expected).sum() < 50  # chi square of 20 bins
    for direction in (first, second):
        np.testing.assert_allclose(direction.mean(0), 0, atol=0.005)
        np.testing.assert_allclose((direction**2).mean(0), 1 / 3, atol=0.005)


@pytest.mark.parametrize("paths", ["lines", "helices"])
@pytest.mark.parametrize("sides", ["any", "same", "opposite"])
def test_signal_like_events_have_the_sides_and_paths_asked_for(paths, sides):
    events = family.generate("signal_like", 800, seed=3, paths=paths, sides=sides)
    side = events.tracks["side"].reshape(-1, 2)
    share = (side[:, 0] == side[:, 1]).mean()
    assert {"same": share == 1, "opposite": share == 0, "any": 0.3 < share < 0.45}[sides]
    assert set(events.tracks["kinked"].tolist()) == {paths == "helices"}


def test_unknown_paths_or_sides_are_refused():
    with pytest.raises(ValueError, match="left"):
        family.generate("signal_like", 1, sides="left")
    with pytest.raises(ValueError, match="arcs"):
        family.generate("signal_like", 1, paths="arcs")


# Command line -----------------------------------------------------------------------------------------------


def test_the_command_line_writes_every_kind(tmp_path):
    for kind, (_, n_tracks) in family.KINDS.items():
        cli.main(["--kind", kind, "--events", "15", "--files", "2", "--seed", "4", "--out", str(tmp_path)])
        path = tmp_path / f"{kind}_t{n_tracks}_1.root"
        assert open_events.kind_of(path) == "toyhaystack"  # the geometry, for displays
        events = hit_tree.read(path)
        made = family.generate(kind, 15, seed=[4, 1])
        np.testing.assert_array_equal(events.tracks["slope_z"], made.tracks["slope_z"])
        np.testing.assert_array_equal(events.n_hits, made.n_hits)


def test_options_reach_their_kind_and_are_refused_by_others(tmp_path, capsys):
    cli.main(
        [
            "--kind",
            "signal_like",
            "--sides",
            "same",
            "--paths",
            "lines",
            "--events",
            "30",
            "--out",
            str(tmp_path),
        ]
    )
    events = hit_tree.read(tmp_path / "signal_like_t2_0.root")
    assert (np.diff(events.tracks["side"].reshape(-1, 2)) == 0).all() and not events.tracks["kinked"].any()
    for wrong in (
        ["--kind", "bounce", "--degrees", "2"],
        ["--kind", "scatter", "--tracks", "1"],
        ["--kind", "toyhaystack", "--sides", "any"],
    ):
        with pytest.raises(SystemExit):
            cli.main([*wrong, "--out", str(tmp_path)])
        assert f"{wrong[2]} does not go with --kind {wrong[1]}" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["scatter", "bounce"])
def test_a_track_with_a_kink_is_two_segments_each_on_a_line_of_its_own(kind):
    events = family.generate(kind, 200, seed=5)
    assert (events.tracks["n_segments"] == 2).all()
    hits, n_flat, n_seen = events.hits, 0, 0
    for event in range(200):
        for segment in (0, 1):
            mine = (events.hit_event == event) & (hits["segment"] == segment)
            if mine.sum() > 3:
                layer, z = hits["layer"][mine], hits["z_mm"][mine]
                n_seen += 1
                n_flat += (
                    np.polyfit(layer, z, 1, full=True)[1].sum() < mine.sum() * 40**2
                    if len(set(layer)) > 1
                    else 1
                )
    assert n_seen > 250 and n_flat > 0.95 * n_seen


@pytest.mark.parametrize("kind", family.KINDS)
def test_a_response_keeps_the_truth_and_adds_noise_on_both_sides(kind):
    ideal, data = (
        family.generate(kind, 300, seed=4),
        family.generate(kind, 300, seed=4, response=PRESETS["data"]),
    )
    for name, values in ideal.tracks.items():
        np.testing.assert_array_equal(data.tracks[name], values)
    assert set(data.hits["side"][data.hits["track"] < 0]) == {0, 1}
    assert (data.hits["track"] >= 0).sum() < (ideal.hits["track"] >= 0).sum() and np.isnan(
        data.hits["z_mm"]
    ).any()
    unchanged = family.generate(kind, 300, seed=4, response=PRESETS["ideal"])
    np.testing.assert_array_equal(unchanged.hits["drift_radius_mm"], ideal.hits["drift_radius_mm"])
