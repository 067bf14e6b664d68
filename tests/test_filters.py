import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import drift, filters
from datasets.events import make_events

CELLS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 112)), max_size=12, unique=True
)


def table(events):
    """A table from a list of events, each a list of (side, layer, column)."""
    rows = [cell for cells in events for cell in cells]
    side, layer, column = np.array(rows, int).reshape(-1, 3).T
    return make_events({"side": side, "layer": layer, "column": column}, np.cumsum([0, *map(len, events)]))


@given(st.lists(CELLS, max_size=4), st.data())
def test_neighbours_are_those_an_obvious_loop_finds(events, data):
    def near(cell, other):
        return (
            other != cell
            and other[0] == cell[0]
            and abs(other[1] - cell[1]) <= 1
            and abs(other[2] - cell[2]) <= 1
        )

    hits = [(event, cell) for event, cells in enumerate(events) for cell in cells]
    counted = data.draw(st.lists(st.booleans(), min_size=len(hits), max_size=len(hits)))
    found, counted_alone = [], []
    for event, cell in hits:
        around = [
            of
            for (its_event, other), of in zip(hits, counted, strict=True)
            if its_event == event and near(cell, other)
        ]
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


def test_usable_hits_have_a_radius():
    events = make_events({"layer": [1, 2], "column": [3, 3], "drift_radius_mm": [np.nan, 4.0]}, [0, 2])
    assert filters.usable(events).tolist() == [False, True]


def test_hits_of_a_side():
    assert filters.on_side(table([[(0, 1, 1), (1, 1, 1)]]), 1).tolist() == [False, True]


def test_late_hits_and_hits_without_a_time_are_out_of_the_window():
    events = table([[(0, layer, 1) for layer in range(5)], [], [(0, 1, 1)], [(1, 0, 0)]])
    time = np.array([100.0, 900.0, 2000.0, 60000.0, np.nan, np.nan, 5.0])
    assert filters.in_time(time, events).tolist() == [True, True, True, False, False, False, True]


def test_a_hit_at_the_wire_is_in_time_with_those_at_the_edges_of_cells():
    events = table([[(0, layer, 1) for layer in range(6)]])
    time = 125e6 + drift.drift_time_ns([0.1, 20, 21, 22, 21, 20])
    assert filters.in_time(time, events).all()


@given(st.lists(st.lists(st.integers(0, 60) | st.just(np.nan), max_size=7), max_size=4))
def test_the_window_is_that_with_most_hits_whatever_the_order(times):
    def expected(some):
        windows = [[start <= t <= start + 10 for t in some] for start in sorted(t for t in some if t == t)]
        return max(windows, key=sum) if windows else [False] * len(some)  # of equal ones the first

    events = table([[(0, layer, 1) for layer in range(len(some))] for some in times])
    assert filters.in_time([t for some in times for t in some], events, 10).tolist() == [
        b for some in times for b in expected(some)
    ]


def test_a_lone_hit_long_before_the_others_does_not_open_the_window():
    events = table([[(0, layer, 1) for layer in range(4)]])
    assert filters.in_time([125e9 - 66e3, 125e9 + 10, 125e9 + 5_000, 125e9], events).tolist() == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("function", [filters.isolated, filters.usable])
def test_an_empty_table_has_no_hits_to_keep(function):
    assert len(function(make_events({}, [0]))) == 0
