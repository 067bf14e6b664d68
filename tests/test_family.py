"""The family of idealised events, against trajectories followed in small steps and cases worked by hand."""

import itertools

import numpy as np
import pytest
from conftest import assert_same
from scipy.spatial import cKDTree

from datasets.geometry import (
    GAMMA_VETO,
    MAIN_WALL,
    N_COLUMNS,
    N_LAYERS,
    X_WALL,
    wire_x_mm,
    wire_y_mm,
)
from datasets.readers import hit_tree, open_events
from my_generator import __main__ as cli
from my_generator import blocks, family, helices, lines, toyhaystack
from my_generator.response import PRESETS

STEP_MM = 0.05
REACH_MM = 0.51 * 44
# (|x|, y) of all wires of a side, layer after layer: (wire, 2)
WIRES = np.stack(
    [
        np.repeat(wire_x_mm(1, np.arange(N_LAYERS)), N_COLUMNS),
        np.tile(wire_y_mm(np.arange(N_COLUMNS)), N_LAYERS),
    ],
    axis=1,
)
KINKED = ("scatter", "bounce")
HELICES = ("single_helix", "double_helix", "signal_like")
IDEALISED = tuple(kind for kind in family.KINDS if "electron" not in kind)
LINES = tuple(kind for kind in IDEALISED if kind not in HELICES + KINKED)


def foil_line(side=1, foil_y_mm=0.0, foil_z_mm=0.0, slope_y=0.0, slope_z=0.0):
    """Lines as the generator takes them, (n,), from numbers or lists."""
    numbers = {
        "side": side,
        "foil_y_mm": foil_y_mm,
        "foil_z_mm": foil_z_mm,
        "slope_y": slope_y,
        "slope_z": slope_z,
    }
    arrays = [np.atleast_1d(values) for values in numbers.values()]
    return dict(zip(numbers, np.broadcast_arrays(*arrays), strict=True))


def at(arrays, i):
    """Entry i of every array."""
    return {name: values[i] for name, values in arrays.items()}


# Trajectories in small steps --------------------------------------------------------------------------------


def walk(start, velocities):
    """(point, 3) of (|x|, y, z) from the start, in steps of STEP_MM in the top view.

    Args:
        velocities: (step, 3), of length 1 in the top view.
    """
    way = STEP_MM * np.cumsum(velocities, 0)
    return start + np.concatenate([np.zeros((1, 3)), way])


def walk_line(start, line, away=1, way_mm=6000):
    """Along a line's slopes away from the foil, or back to it (-1)."""
    direction = np.array([1, line["slope_y"], line["slope_z"]])
    velocity = away * direction / np.hypot(1, line["slope_y"])
    n_steps = int(way_mm / STEP_MM)
    return walk(start, np.tile(velocity, (n_steps, 1)))


def walk_helix(track, way_mm=6500):
    """Turning the velocity a little at every step."""
    steps = np.arange(int(way_mm / STEP_MM)) + 0.5
    turn = track["mirror"] * STEP_MM / track["radius_mm"]
    heading = np.arctan(track["slope_y"]) + turn * steps
    climb = track["slope_z"] / np.hypot(1, track["slope_y"])
    climbs = np.full(len(steps), climb)
    velocities = np.stack([np.cos(heading), np.sin(heading), climbs], 1)
    return walk(foil_point(track), velocities)


def foil_point(track):
    return np.array([0, track["foil_y_mm"], track["foil_z_mm"]])


def over(points):
    """What each point is beyond: calo_type, or -1 for the foil -> (point,) bool."""
    x, y, z = points.T
    return {
        MAIN_WALL: np.abs(x) >= 435,
        X_WALL: np.abs(y) >= 2505.5,
        GAMMA_VETO: np.abs(z) >= 1550,
        -1: x < 0,
    }


def until(points, beyond):
    """Points up to the first that is beyond something."""
    assert beyond.any()
    return points[: beyond.argmax() + 1]


def trajectory(kind, truth, track, i):
    """(point, 3) of track i from the arguments that the generator made it of."""
    calo_type = int(track["calo_type"])
    if kind in HELICES:
        points = walk_helix(at(truth[0], i))
        return until(points, over(points)[calo_type])
    if kind in LINES:
        points = walk_line(foil_point(track), track)
        return until(points, over(points)[calo_type])

    first = at(truth[0], i)
    second = at(truth[1], i)
    x = truth[2][i]
    points = walk_line(foil_point(first), first)
    points = until(points, points[:, 0] >= x)
    kink = foil_point(first) + x * np.array([1, first["slope_y"], first["slope_z"]])
    if kind == "scatter":
        rest = walk_line(kink, second)
        stop = over(rest)[calo_type]
    else:
        rest = walk_line(kink, second, away=-1)
        beyond = over(rest)
        stop = beyond[-1] | beyond[X_WALL] | beyond[GAMMA_VETO]
    return np.concatenate([points, until(rest, stop)])


def recorded(monkeypatch, module, name):
    """The arguments of every call of a function from now on."""
    calls = []
    function = getattr(module, name)

    def recording(*args, **options):
        calls.append(args)
        return function(*args, **options)

    monkeypatch.setattr(module, name, recording)
    return calls


@pytest.fixture(scope="module", params=IDEALISED)
def truth_of_tracks(request):
    """A kind, its events, and (points, labels, hits) of each track.

    The hits are those before they merge with the hits of others.
    """
    kind = request.param
    make, _ = family.KINDS[kind]
    with pytest.MonkeyPatch.context() as monkeypatch:
        of_hits = recorded(monkeypatch, toyhaystack, "events_of_hits")
        if kind in HELICES:
            of_tracks = recorded(monkeypatch, helices, "find_hits")
        else:
            of_tracks = recorded(monkeypatch, lines, "kinked_events")
        events = make(50, np.random.default_rng(8))
    hits, n_hits, tracks, _ = of_hits[0]
    truth = of_tracks[0] if of_tracks else None
    offsets = np.concatenate([[0], np.cumsum(n_hits)])
    found = []
    for i, (first, end) in enumerate(itertools.pairwise(offsets)):
        track = at(tracks, i)
        own = {name: values[first:end] for name, values in hits.items()}
        found.append((trajectory(kind, truth, track, i), track, own))
    return kind, events, found


def heights_of_closest_points(points, wire, reach_mm):
    """Heights of the points within reach of a wire that are closer to it than those before and after."""
    distance = np.hypot(*(points[:, :2] - WIRES[wire]).T)
    before = distance[:-2]
    here = distance[1:-1]
    after = distance[2:]
    is_closest = (here <= before) & (here <= after) & (here < reach_mm)
    return points[1:-1][is_closest, 2]


def test_hits_are_exactly_the_cells_near_the_trajectory_with_their_distance_and_height(
    truth_of_tracks,
):
    _, _, tracks = truth_of_tracks
    assert len(tracks) > 25
    for points, track, hits in tracks:
        assert (hits["side"] == track["side"]).all()
        # a kinked track may have two hits in a cell; the smaller radius is written last
        order = np.argsort(-hits["drift_radius_mm"])
        cell = (hits["layer"] * N_COLUMNS + hits["column"])[order]
        radius = np.full(len(WIRES), np.nan)
        radius[cell] = hits["drift_radius_mm"][order]
        z = np.full(len(WIRES), np.nan)
        z[cell] = hits["z_mm"][order]

        distance, nearest = cKDTree(points[:, :2]).query(WIRES, distance_upper_bound=REACH_MM + 1)
        fired = np.isfinite(radius)
        at_the_end = nearest >= len(points) - 3  # no cell fires for the end alone
        sure = (np.abs(distance - REACH_MM) > 0.03) & ~at_the_end
        np.testing.assert_array_equal(fired[sure], distance[sure] < REACH_MM)
        assert fired[at_the_end & (nearest < len(points))].sum() <= 1
        np.testing.assert_allclose(radius[fired], distance[fired], atol=0.03)

        highest_step = np.abs(np.diff(points[:, 2])).max()
        tolerance = 0.05 + 2 * highest_step
        wires = np.flatnonzero(fired)
        error = np.abs(z[wires] - points[nearest[wires], 2])
        off = wires[error > tolerance]
        for wire in off:  # allowed where the track comes as near a second time
            heights = heights_of_closest_points(points, wire, radius[wire] + 0.03)
            assert np.abs(heights - z[wire]).min() <= tolerance
        assert len(off) <= 2


def test_no_radius_is_more_than_0_51_pitches(truth_of_tracks):
    _, events, _ = truth_of_tracks
    assert 20 < events.hits["drift_radius_mm"].max() <= np.float32(REACH_MM)


def test_the_block_is_where_the_trajectory_first_meets_a_wall(truth_of_tracks):
    kind, _, tracks = truth_of_tracks
    for points, track, _ in tracks:
        column = int(track["calo_column"])
        row = int(track["calo_row"])
        wall = int(track["calo_wall"])
        if track["calo_type"] == -1:
            assert kind in HELICES
            assert (column, row, wall) == (-1, -1, -1)
            beyond = over(points)
            assert not any(beyond[k].any() for k in (MAIN_WALL, X_WALL, GAMMA_VETO))
            continue
        end = points[:, 0].argmax() if kind == "bounce" else -1
        x, y, z = points[end]
        sign = 2 * wall - 1
        assert track["calo_side"] == track["side"]
        if track["calo_type"] == MAIN_WALL:
            assert wall == -1
            assert abs(x - 435) < 0.1
            assert 0 <= y + 2590 - 259 * column <= 259
            assert 0 <= z + 1683.5 - 259 * row <= 259
        elif track["calo_type"] == X_WALL:
            assert abs(y - sign * 2505.5) < 0.1
            assert 0 <= x - 29 - 203 * column <= 203
            assert 0 <= z + 1696 - 212 * row <= 212
        else:
            assert row == -1
            assert abs(z - sign * 1550) < 0.6
            assert 5.8 <= x <= 296
            middle_gap = 10.5 * (column > 7)
            assert 0 <= y + 2497.25 - 311.5 * column - middle_gap <= 311.5
        points_before = points[:-3]
        before = over(points_before)
        if kind != "bounce":
            assert not before[MAIN_WALL].any()
            assert not before[X_WALL].any()
        assert (points_before[before[GAMMA_VETO], 0] > 295.9).all()  # where no veto is


# Kinds ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=IDEALISED)
def kind_and_events(request):
    return request.param, family.generate(request.param, 2500, seed=5)


def test_kinds_have_their_number_of_tracks_and_every_track_enough_cells(kind_and_events):
    kind, events = kind_and_events
    assert len(events) == 2500
    _, n_tracks = family.KINDS[kind]
    assert set(np.diff(events.track_offsets)) == {n_tracks}
    assert set(events.info["n_tracks"].tolist()) == {n_tracks}
    assert family.cells_crossed(events).min() >= family.MIN_HITS == 3
    assert set(events.tracks["kinked"].tolist()) == {kind in KINKED + HELICES}


def test_tracks_of_an_event_leave_from_one_foil_point(kind_and_events):
    _, events = kind_and_events
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
    if kind in HELICES:
        assert 0.05 < without < 0.15
    else:
        assert without == 0
    if kind == "bounce":
        assert set(events.tracks["calo_type"].tolist()) == {MAIN_WALL}


def test_same_seed_gives_same_events_and_any_event_can_be_made_again_alone(kind_and_events):
    kind, events = kind_and_events
    start = blocks.BLOCK - 2
    assert_same(events[start : start + 5], family.generate(kind, 5, seed=5, first_event=start))
    other = family.generate(kind, 20, seed=6)
    assert not np.array_equal(other.tracks["slope_y"], events[:20].tracks["slope_y"])


def test_kinds_of_one_seed_are_independent():
    a = family.generate("single_line", 500, seed=1).tracks["foil_y_mm"]
    b = family.generate("single_helix", 500, seed=1).tracks["foil_y_mm"]
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.2


def test_single_lines_are_those_of_the_haystack_with_enough_cells():
    haystack = toyhaystack.generate(4000, tracks=1, seed=2)
    haystack = haystack[family.cells_crossed(haystack) >= family.MIN_HITS]
    ours = family.generate("single_line", 4000, seed=2)
    for name in ("foil_y_mm", "foil_z_mm", "slope_y", "slope_z"):
        expected = np.quantile(haystack.tracks[name], [0.1, 0.3, 0.5, 0.7, 0.9])
        quantiles = np.quantile(ours.tracks[name], [0.1, 0.3, 0.5, 0.7, 0.9])
        np.testing.assert_allclose(expected, quantiles, atol=0.06 * np.ptp(expected))


# Kinks ------------------------------------------------------------------------------------------------------


def test_a_line_that_turns_on_its_way_worked_out_by_hand():
    # straight away from the foil at y = 5, 5 mm from the wires of column 56, until 20 mm before the wire of
    # layer 3; then 45 degrees
    first = foil_line(foil_y_mm=5, foil_z_mm=10)
    x = np.array([53 + 3 * 44 - 20.0])
    second = lines.line_through(first, x, np.array([1.0]), np.array([0.5]))
    events = lines.kinked_events(first, second, x)
    cells = list(zip(events.hits["layer"].tolist(), events.hits["column"].tolist(), strict=True))
    assert cells[:3] == [(0, 56), (1, 56), (2, 56)]
    np.testing.assert_allclose(events.hits["drift_radius_mm"][:3], 5)
    # The wire of layer 3, column 56, is 20 mm further in x than the kink and 5 mm lower. It is 25 / sqrt 2 mm
    # from the line, which comes closest 7.5 mm in x after the kink.
    third = cells.index((3, 56))
    assert events.hits["drift_radius_mm"][third] == pytest.approx(25 / np.sqrt(2), abs=1e-3)
    assert events.hits["z_mm"][third] == pytest.approx(10 + 0.5 * 7.5, abs=1e-3)
    assert events.tracks["kinked"].tolist() == [True]
    # y = 5 + 435 - 165 = 275; (275 + 2590) / 259 = 11.06
    assert events.tracks["calo_column"].tolist() == [11]


def test_a_cell_outside_a_kink_fires_by_its_corner():
    # from +45 to -45 degrees, 10 mm below the wire of layer 4, column 60 at (229, 176): the points of both
    # lines that are closest to it lie beyond the kink
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
    cos = (lines.directions(first) * lines.directions(second)).sum(1)
    angle = np.degrees(np.arccos(cos.clip(-1, 1)))
    of_one_projection = np.sqrt((angle**2).mean() / 2)
    assert of_one_projection == pytest.approx(degrees, rel=0.05)  # a few large ones miss the walls
    assert 75 < x.min() < 80
    assert 380 < x.max() < 383


def test_a_bounced_track_comes_back_through_three_layers(kind_and_events):
    kind, events = kind_and_events
    if kind == "bounce":
        # its two pieces fire each of layers 6 and 7 at least once, and seldom the same cell
        outer = events.hits["layer"] >= 6
        n_outer = np.bincount(events.hit_event[outer], minlength=len(events))
        assert n_outer.min() >= 4
        assert np.median(n_outer) > 8


# Helices ----------------------------------------------------------------------------------------------------


def helix(line, momentum_mev=1.0, charge=-1):
    """The helix of one line."""
    return helices.from_lines(line, np.array([momentum_mev]), np.array([charge]))


def test_momentum_and_radius_of_an_electron():
    assert helices.momentum_of(1.0) == pytest.approx(1.42197, abs=1e-5)  # sqrt(1 (1 + 1.02200))
    track = helix(foil_line())
    assert track["radius_mm"].tolist() == pytest.approx(
        [1334.26], abs=0.01
    )  # 1 / (0.299792458 * 0.0025)
    tilted = helix(foil_line(slope_y=1.0, slope_z=np.sqrt(2)))  # 45 degrees out of the plane
    assert tilted["radius_mm"].tolist() == pytest.approx([1334.26 / np.sqrt(2)], abs=0.01)


def test_a_track_of_one_mev_runs_on_a_circle_of_that_radius():
    track = helix(foil_line())
    a, b, c = (np.array(helices.position(track, way))[:2, 0] for way in (0.0, 100.0, 300.0))
    sides = (np.hypot(*(a - b)), np.hypot(*(b - c)), np.hypot(*(c - a)))
    (ux, uy), (vx, vy) = b - a, c - a
    twice_the_area = abs(ux * vy - uy * vx)
    circumscribed_radius = np.prod(sides) / (2 * twice_the_area)
    assert circumscribed_radius == pytest.approx(1334.26, abs=0.01)


@pytest.mark.parametrize("side, charge, turn", [(1, -1, 1), (0, -1, -1), (1, 1, -1), (0, 1, 1)])
def test_the_force_turns_an_electron_on_side_1_towards_positive_y(side, charge, turn):
    # v along x, B along z: F = q v x B = -q v B along y, by true x
    track = helix(foil_line(side), charge=charge)
    _, y, _ = helices.position(track, 100.0)
    assert np.sign(y).tolist() == [turn]


@pytest.mark.parametrize("charge", [-1, 1])
def test_a_slow_electron_comes_back_to_the_foil_after_half_a_circle(charge):
    momentum = 200 * 0.299792458 * 0.0025  # a circle of 200 mm, its far side between layers 3 and 4
    track = helix(foil_line(foil_y_mm=44.0), momentum, charge)
    way, calo = helices.ends(track)
    assert way.tolist() == pytest.approx([200 * np.pi])
    assert calo["calo_type"].tolist() == [-1]
    assert calo["calo_row"].tolist() == [-1]
    hits, n_hits = helices.find_hits(track, way)
    assert hits["layer"].max() == 3
    assert n_hits[0] > 12
    end = -charge * 400 + 44
    wire_x = 53 + 44 * hits["layer"]
    wire_y = 44 * (hits["column"] - 56)
    from_centre = np.hypot(wire_x, wire_y - (44 + end) / 2)
    np.testing.assert_allclose(hits["drift_radius_mm"], np.abs(from_centre - 200))
    # Layer 0, on both ways: the circle passes |x| = 53 mm at 200 - sqrt(200^2 - 53^2) = 7.15 mm in y from
    # either end.
    columns = hits["column"][hits["layer"] == 0]
    assert set(columns.tolist()) >= {57, round(56 + (end + charge * 7.15) / 44)}


def cell_of(events):
    """(hit,) a number for the event and the cell of each hit."""
    half = events.hit_event * 2 + events.hits["side"]
    layer = half * N_LAYERS + events.hits["layer"]
    return layer * N_COLUMNS + events.hits["column"]


@pytest.mark.parametrize("charge", [-1, 1])
def test_a_very_fast_helix_is_a_line(charge):
    foil_lines = toyhaystack.draw_lines(4000, np.random.default_rng(6))
    fast = np.full(4000, 1e6)  # circles of 100 km and more
    track = helices.from_lines(foil_lines, fast, np.full(4000, charge))
    way, calo = helices.ends(track)
    line_calo = toyhaystack.calo_blocks(foil_lines, nearest=True)
    same = np.flatnonzero(calo["calo_type"] == line_calo["calo_type"])
    assert len(same) >= 3999
    for name in calo:
        np.testing.assert_array_equal(calo[name][same], line_calo[name][same])
    one = np.ones(len(same), int)
    foil_lines = at(foil_lines, same)
    calo = at(calo, same)
    tracks = {**foil_lines, **calo}
    hits, n_hits = toyhaystack.find_hits(foil_lines, calo["calo_type"])
    a = toyhaystack.events_of_hits(hits, n_hits, tracks, one)
    hits, n_hits = helices.find_hits(at(track, same), way[same])
    b = toyhaystack.events_of_hits(hits, n_hits, tracks, one)

    _, in_a, in_b = np.intersect1d(cell_of(a), cell_of(b), return_indices=True)
    assert len(in_a) > 60_000
    # the sagitta of 0.02 mm may move a hit over the edge of its cell
    for events, matched in ((a, in_a), (b, in_b)):
        alone = np.delete(events.hits["drift_radius_mm"], matched)
        assert (alone > REACH_MM - 0.02).all()
    np.testing.assert_allclose(
        a.hits["drift_radius_mm"][in_a], b.hits["drift_radius_mm"][in_b], atol=0.02
    )
    np.testing.assert_allclose(a.hits["z_mm"][in_a], b.hits["z_mm"][in_b], atol=0.05)


def kinetic_energy(momentum_mev):
    """Of an electron, in MeV."""
    return np.sqrt(momentum_mev**2 + 0.51099895**2) - 0.51099895


def test_helices_are_drawn_with_kinetic_energies_of_0_3_to_3_5_mev_and_both_charges(monkeypatch):
    calls = recorded(monkeypatch, helices, "from_lines")
    helices.double_helix(3000, np.random.default_rng(1))
    _, momentum, charge = calls[0]
    energy = kinetic_energy(momentum)
    assert 0.3 <= energy.min() < 0.31
    assert 3.49 < energy.max() <= 3.5
    assert set(charge.ravel()) == {-1, 1}
    assert abs(charge.mean()) < 0.1
    assert abs(np.corrcoef(charge.T)[0, 1]) < 0.1


# Signal-like ------------------------------------------------------------------------------------------------


def test_electrons_of_a_decay_share_its_energy(monkeypatch):
    calls = recorded(monkeypatch, helices, "curved")
    family.signal_like(3000, np.random.default_rng(1))
    _, momentum, charge, _ = calls[0]
    energy = kinetic_energy(momentum)
    np.testing.assert_allclose(energy.sum(1), 2.9979)
    assert 0.3 <= energy.min() < 0.31
    assert (charge == -1).all()


@pytest.mark.parametrize("b", [0.3, 0.95])
def test_the_angle_between_two_electrons_is_distributed_as_1_minus_b_cos(b):
    directions = family._two_directions(np.full(200_000, b), np.random.default_rng(2))
    first, second = directions.swapaxes(0, 1)
    np.testing.assert_allclose(np.linalg.norm(second, axis=1), 1)
    cos = (first * second).sum(1)
    counts, edges = np.histogram(cos, 20, (-1, 1))
    middle = (edges[1:] + edges[:-1]) / 2
    expected = 200_000 / 20 * (1 - b * middle)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 50  # of 20 bins
    for direction in (first, second):
        np.testing.assert_allclose(direction.mean(0), 0, atol=0.005)
        np.testing.assert_allclose((direction**2).mean(0), 1 / 3, atol=0.005)


@pytest.mark.parametrize("paths", ["lines", "helices"])
@pytest.mark.parametrize("sides", ["any", "same", "opposite"])
def test_signal_like_events_have_the_sides_and_paths_asked_for(paths, sides):
    events = family.generate("signal_like", 800, seed=3, paths=paths, sides=sides)
    side = events.tracks["side"].reshape(-1, 2)
    share = (side[:, 0] == side[:, 1]).mean()
    as_asked = {"same": share == 1, "opposite": share == 0, "any": 0.3 < share < 0.45}
    assert as_asked[sides]
    assert set(events.tracks["kinked"].tolist()) == {paths == "helices"}


def test_unknown_paths_or_sides_are_refused():
    with pytest.raises(ValueError, match="left"):
        family.generate("signal_like", 1, sides="left")
    with pytest.raises(ValueError, match="arcs"):
        family.generate("signal_like", 1, paths="arcs")


# Command line -----------------------------------------------------------------------------------------------


def test_the_command_line_writes_every_kind(tmp_path):
    for kind, (_, n_tracks) in family.KINDS.items():
        cli.main(
            [
                "--kind",
                kind,
                "--events",
                "15",
                "--files",
                "2",
                "--seed",
                "4",
                "--out",
                str(tmp_path),
            ]
        )
        path = tmp_path / f"{kind}_t{n_tracks}_1.root"
        assert open_events.kind_of(path) == "toyhaystack"  # the geometry, for displays
        events = hit_tree.read(path)
        made = family.generate(kind, 15, seed=[4, 1])
        np.testing.assert_array_equal(events.tracks["slope_z"], made.tracks["slope_z"])
        np.testing.assert_array_equal(events.n_hits, made.n_hits)


def test_options_reach_their_kind_and_are_refused_by_others(tmp_path, capsys):
    options = "--kind signal_like --sides same --paths lines --events 30"
    cli.main([*options.split(), "--out", str(tmp_path)])
    events = hit_tree.read(tmp_path / "signal_like_t2_0.root")
    side = events.tracks["side"].reshape(-1, 2)
    assert (side[:, 0] == side[:, 1]).all()
    assert not events.tracks["kinked"].any()
    for kind, option, value in (
        ("bounce", "--degrees", "2"),
        ("scatter", "--tracks", "1"),
        ("toyhaystack", "--sides", "any"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["--kind", kind, option, value, "--out", str(tmp_path)])
        assert f"{option} does not go with --kind {kind}" in capsys.readouterr().err


def is_on_a_line(layer, z_mm):
    """Whether the hits of a segment are at most 40 mm from a line in the side view, on average."""
    if len(set(layer)) == 1:
        return True
    _, residuals, *_ = np.polyfit(layer, z_mm, 1, full=True)
    return residuals.sum() < len(layer) * 40**2


@pytest.mark.parametrize("kind", ["scatter", "bounce"])
def test_a_track_with_a_kink_is_two_segments_each_on_a_line_of_its_own(kind):
    events = family.generate(kind, 200, seed=5)
    assert (events.tracks["n_segments"] == 2).all()
    hits = events.hits
    n_flat = 0
    n_seen = 0
    for event in range(200):
        for segment in (0, 1):
            mine = (events.hit_event == event) & (hits["segment"] == segment)
            if mine.sum() > 3:
                n_seen += 1
                n_flat += is_on_a_line(hits["layer"][mine], hits["z_mm"][mine])
    assert n_seen > 250
    assert n_flat > 0.95 * n_seen


@pytest.mark.parametrize("kind", family.KINDS)
def test_a_response_keeps_the_truth_and_adds_noise_on_both_sides(kind):
    ideal = family.generate(kind, 300, seed=4)
    data = family.generate(kind, 300, seed=4, response=PRESETS["data"])
    for name, values in ideal.tracks.items():
        np.testing.assert_array_equal(data.tracks[name], values)
    is_noise = data.hits["track"] < 0
    assert set(data.hits["side"][is_noise]) == {0, 1}
    assert (~is_noise).sum() < (ideal.hits["track"] >= 0).sum()
    assert np.isnan(data.hits["z_mm"]).any()
    unchanged = family.generate(kind, 300, seed=4, response=PRESETS["ideal"])
    np.testing.assert_array_equal(unchanged.hits["drift_radius_mm"], ideal.hits["drift_radius_mm"])
