import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datasets import drift, filters
from datasets.events import make_events

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
