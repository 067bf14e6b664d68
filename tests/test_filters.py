import argparse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import drift, filters
from datasets.events import concatenate, make_events
from datasets.geometry import N_CELLS
from my_generator import realistic, straight_lines

CELL = st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 112))
CELLS = st.lists(CELL, max_size=12, unique=True)


def table(events):
    """A table from a list of events, each a list of (side, layer, column)."""
    rows = [cell for cells in events for cell in cells]
    side, layer, column = np.array(rows, int).reshape(-1, 3).T
    hits = {"side": side, "layer": layer, "column": column}
    n_hits = [len(cells) for cells in events]
    return make_events(hits, np.cumsum([0, *n_hits]))


def near(cell, other):
    """Whether two (side, layer, column) are neighbours."""
    if other == cell or other[0] != cell[0]:
        return False
    return abs(other[1] - cell[1]) <= 1 and abs(other[2] - cell[2]) <= 1


@given(st.lists(CELLS, max_size=4), st.data())
def test_neighbours_are_those_an_obvious_loop_finds(events, data):
    hits = [(event, cell) for event, cells in enumerate(events) for cell in cells]
    counted = data.draw(st.lists(st.booleans(), min_size=len(hits), max_size=len(hits)))
    found = []
    counted_alone = []
    for event, cell in hits:
        around = []
        for (its_event, other), is_counted in zip(hits, counted, strict=True):
            if its_event == event and near(cell, other):
                around.append(is_counted)
        found.append(len(around))
        counted_alone.append(sum(around))
    assert filters.neighbours(table(events), chunk=2).tolist() == found
    assert filters.neighbours(table(events), counted, chunk=2).tolist() == counted_alone
    assert filters.isolated(table(events)).tolist() == [n == 0 for n in found]


def test_a_neighbour_on_the_other_side_or_in_the_next_event_is_none():
    events = table([[(0, 0, 5), (1, 0, 5)], [(1, 0, 6)]])
    assert filters.isolated(events).all()


def test_cells_at_opposite_ends_of_a_row_are_no_neighbours():
    assert filters.isolated(table([[(0, 3, 112), (0, 4, 0)]])).all()


def test_diagonal_neighbours_count():
    assert not filters.isolated(table([[(0, 3, 7), (0, 4, 8)]])).any()


def test_late_hits_and_hits_without_a_time_are_out_of_the_window():
    five_hits = [(0, layer, 1) for layer in range(5)]
    events = table([five_hits, [], [(0, 1, 1)], [(1, 0, 0)]])
    time = np.array([100.0, 900.0, 2000.0, 60000.0, np.nan, np.nan, 5.0])
    assert filters.in_time(time, events).tolist() == [True, True, True, False, False, False, True]


def test_a_hit_at_the_wire_is_in_time_with_those_at_the_edges_of_cells():
    events = table([[(0, layer, 1) for layer in range(6)]])
    time = 125e6 + drift.drift_time_ns([0.1, 20, 21, 22, 21, 20])
    assert filters.in_time(time, events).all()


def in_best_window(times, window=10):
    """Which times are in the window that holds most of them; of equal ones the first counts."""
    starts = sorted(t for t in times if not np.isnan(t))
    windows = [[start <= t <= start + window for t in times] for start in starts]
    return max(windows, key=sum, default=[False] * len(times))


@given(st.lists(st.lists(st.integers(0, 60) | st.just(np.nan), max_size=7), max_size=4))
def test_the_window_is_that_with_most_hits_whatever_the_order(times):
    cells = []
    all_times = []
    expected = []
    for of_event in times:
        cells.append([(0, layer, 1) for layer in range(len(of_event))])
        all_times += of_event
        expected += in_best_window(of_event)
    assert filters.in_time(all_times, table(cells), 10).tolist() == expected


def test_a_lone_hit_long_before_the_others_does_not_open_the_window():
    events = table([[(0, layer, 1) for layer in range(4)]])
    time = [125e9 - 66e3, 125e9 + 10, 125e9 + 5_000, 125e9]
    assert filters.in_time(time, events).tolist() == [False, True, True, True]


def test_an_empty_table_has_no_hits_to_keep():
    empty = make_events({}, [0])
    assert len(filters.isolated(empty)) == 0


# ---- usable hits, masks, noisy cells -----------------------------------------------------------------------


def test_radii_matter_in_real_events_only():
    hits = {
        "layer": [0, 1, 2, 3],
        "column": [5, 5, 5, 5],
        "drift_radius_mm": [3, np.nan, 35.5, 34.5],
    }
    real = make_events(hits, [0, 4], info={"n_tracks": [-1]})
    simulated = make_events(hits, [0, 4], info={"n_tracks": [1]})
    assert filters.usable(real).tolist() == [True, False, False, True]
    assert filters.usable(simulated).all()
    both = concatenate([simulated, real])
    assert filters.usable(both).tolist() == [True] * 4 + [True, False, False, True]


def test_cells_are_numbered_as_they_are_named():
    events = table([[(0, 0, 0), (1, 8, 112), (0, 7, 111)]])
    number = filters.cell_of_hits(events)
    assert number.tolist() == [0, N_CELLS - 1, 111 * 9 + 7]
    assert [filters.text_of(filters.cell_at(n)) for n in number] == ["0,0,0", "1,112,8", "0,111,7"]
    assert [filters.cell(filters.text_of(filters.cell_at(n))) for n in number] == [
        (0, 0, 0),
        (1, 112, 8),
        (0, 111, 7),
    ]


def test_masked_hits_are_those_of_the_cells():
    events = table([[(0, 7, 111), (1, 7, 111)], [], [(0, 7, 111), (0, 6, 2)]])
    assert filters.masked(events, [(0, 111, 7)]).tolist() == [True, False, True, False]
    assert filters.masked(events, [(0, 2, 6), (1, 111, 7)]).tolist() == [False, True, False, True]
    assert not filters.masked(events, []).any()
    assert filters.masked(table([[]]), [(0, 1, 2)]).shape == (0,)


def test_a_mask_is_read_from_the_command_line(capsys):
    parser = argparse.ArgumentParser()
    filters.add_mask(parser)
    assert parser.parse_args(["--mask", "0,111,7", "1,0,8"]).mask == [(0, 111, 7), (1, 0, 8)]
    assert parser.parse_args([]).mask == []
    with pytest.raises(SystemExit):
        parser.parse_args(["--mask", "0,7,111"])
    assert "0,7,111: layer 111 outside 0..8" in capsys.readouterr().err


def test_cells_are_counted_by_hand():
    events = table([[(0, 0, 3), (0, 1, 4), (1, 0, 9)], [(0, 0, 3)], []])
    fired, alone = filters.counts_of_cells(events)
    assert fired.sum() == 4
    assert (fired[3 * 9], alone[3 * 9]) == (2, 1)
    assert (fired[4 * 9 + 1], alone[4 * 9 + 1]) == (1, 0)
    assert alone.sum() == 2
    masked = filters.counts_of_cells(events, [(0, 3, 0)])
    assert masked[0].tolist() == fired.tolist()
    assert np.flatnonzero(masked[1]).tolist() == [113 * 9 + 9 * 9]  # the neighbour is not alone


def with_noisy_cells(events, cells, share, seed):
    """The same events with cells that fire in a share of them by themselves."""
    rng = np.random.default_rng(seed)
    parts = [events]
    for side, column, layer in cells:
        fires = rng.random(len(events)) < share
        hits = {"side": np.full(fires.sum(), side)}
        hits |= {"layer": np.full(fires.sum(), layer), "column": np.full(fires.sum(), column)}
        parts.append(make_events(hits, np.append(0, np.cumsum(fires))))
    names = parts[0].hits
    event = np.concatenate([part.hit_event for part in parts])
    order = np.argsort(event, kind="stable")
    hits = {name: np.concatenate([part.hits[name] for part in parts])[order] for name in names}
    offsets = np.append(0, np.cumsum(np.bincount(event, minlength=len(events))))
    tracks = events.tracks, events.track_offsets
    return make_events(hits, offsets, *tracks, info=events.info)


NOISY = [(0, 111, 7), (0, 2, 6), (1, 10, 0)]


@pytest.mark.parametrize("preset", ["ideal", "data", "harsh"])
@pytest.mark.parametrize("kind", ["my_generator", "toyhaystack"])
def test_exactly_the_noisy_cells_are_found(preset, kind):
    events = realistic.generate(1000, preset=preset, kind=kind, seed=7)
    fired, alone = filters.counts_of_cells(events)
    noisy, expected = filters.noisy_cells(fired, alone)
    assert not noisy.any()

    events = with_noisy_cells(events, NOISY, 0.1, seed=8)
    fired, alone = filters.counts_of_cells(events)
    noisy, expected = filters.noisy_cells(fired, alone)
    assert sorted(map(filters.cell_at, np.flatnonzero(noisy))) == sorted(NOISY)
    assert (alone[noisy] > 5 * expected[noisy]).all()

    noisy, _ = filters.noisy_cells(*filters.counts_of_cells(events, NOISY))
    assert not noisy.any()


def test_a_noisy_cell_is_found_behind_a_much_noisier_one_of_its_layer():
    alone = np.zeros((2, 113, 9), int)
    alone[:, :, 3] = 2
    alone[1, 20, 3] = 5000
    alone[1, 80, 3] = 40
    noisy, expected = filters.noisy_cells(alone.ravel(), alone.ravel())
    assert [filters.cell_at(cell) for cell in np.flatnonzero(noisy)] == [(1, 20, 3), (1, 80, 3)]
    np.testing.assert_allclose(expected.reshape(2, 113, 9)[1, :, 3], 2)


def test_few_lonely_hits_prove_nothing():
    alone = np.zeros(N_CELLS, int)
    assert not filters.noisy_cells(alone, alone)[0].any()
    alone[100] = 3  # all three of its layer: (3 / 113)^3 is 2e-5, and one of 2034 cells may do that
    assert not filters.noisy_cells(alone, alone)[0].any()
    alone[100] = 4
    assert np.flatnonzero(filters.noisy_cells(alone, alone)[0]).tolist() == [100]


def test_a_cell_beside_a_dead_one_is_not_called_noisy():
    fired = np.full((2, 113, 9), 100)
    alone = np.full((2, 113, 9), 3)
    alone[1, 34, 1] = 45
    assert np.flatnonzero(filters.noisy_cells(fired.ravel(), alone.ravel())[0]).tolist() == [
        113 * 9 + 34 * 9 + 1
    ]
    fired[1, 33, 0] = alone[1, 33, 0] = 0
    assert not filters.noisy_cells(fired.ravel(), alone.ravel())[0].any()
    fired[1, 34, 1] += 130  # unless it fires more altogether
    assert filters.noisy_cells(fired.ravel(), alone.ravel())[0].sum() == 1
    fired[1, 34, 1] -= 130
    fired[1, 33, 0] = 1
    assert filters.noisy_cells(fired.ravel(), alone.ravel())[0].sum() == 1


@pytest.mark.parametrize("seed", [1000, 1002])
def test_dead_cells_make_no_noisy_ones(seed):
    events = realistic.generate(2000, preset="data", seed=seed)
    assert not filters.noisy_cells(*filters.counts_of_cells(events))[0].any()


def test_three_times_as_often_as_others_is_not_far_more_often():
    alone = np.full((2, 113, 9), 1000)
    alone[0, 50, 4] = 3000
    assert not filters.noisy_cells(alone.ravel(), alone.ravel())[0].any()
    alone[0, 50, 4] = 3500
    assert np.flatnonzero(filters.noisy_cells(alone.ravel(), alone.ravel())[0]).tolist() == [
        50 * 9 + 4
    ]


def test_the_cells_of_the_toy_are_counted_without_loss():
    events = straight_lines.generate(200, seed=9)
    fired, _ = filters.counts_of_cells(events)
    assert fired.sum() == len(events.hits["layer"])
    assert fired[: N_CELLS // 2].sum() == 0
