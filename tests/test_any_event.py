"""Every way to find tracks takes events of any size: none, a hit or two, all cells, dozens of tracks."""

import numpy as np
import pytest

from datasets.events import concatenate, make_events
from datasets.geometry import N_CELLS, N_COLUMNS, N_LAYERS
from finding import connected, density, hough, oracle, ransac, refit
from finding.foil import foil_rule
from my_generator import realistic

N_SLOTS = 4  # tracks on a side that the stand-in for a network tells apart


def network(events):
    """What a network may say that knows no better: most hits are of some track, by their column."""
    slot = events.hits["column"].astype(int) // 3 % (N_SLOTS + 1)
    track = np.full((len(slot), N_SLOTS + 1), 0.05)
    track[np.arange(len(slot)), slot] = 0.8
    n_tracks = np.full((len(events), 2, N_SLOTS + 1), 1 / (N_SLOTS + 1))
    return track, n_tracks


def refitted(events):
    return refit.find(events, *network(events))


def one_track_an_event(events):
    return np.zeros(len(events.hits["layer"]), np.int16)


def one_track_a_hit(events):
    return (np.arange(len(events.hits["layer"])) - events.hit_offsets[events.hit_event]).astype(
        np.int16
    )


def oracle_that_covers(events):
    return oracle.find(events, 0.5, 10.0, covered=True)


FINDERS = {
    "connected": connected.find,
    "dbscan": density.find,
    "hdbscan": density.find_hdbscan,
    "hough": hough.find,
    "ransac_cells": ransac.find_cells,
    "ransac": ransac.find,
    "alone": lambda events: refit.labels_of(events, network(events)[0]),
    "refit": refitted,
    "refit and foil rule": lambda events: foil_rule(events, refitted(events)),
    "foil rule of one track": lambda events: foil_rule(events, one_track_an_event(events)),
    "foil rule of single hits": lambda events: foil_rule(events, one_track_a_hit(events)),
    "foil rule of no track": lambda events: foil_rule(events, one_track_an_event(events) - 1),
    "oracle": lambda events: oracle.find(events, 0.5, 10.0),
    "oracle that covers": oracle_that_covers,
}
every_finder = pytest.mark.parametrize("find", FINDERS.values(), ids=FINDERS.keys())
GIVEN_TRACKS = ("alone", "foil rule of one track", "foil rule of single hits")
LOOK_FOR_TRACKS = [name for name in FINDERS if name not in GIVEN_TRACKS]


def cells(chosen, n_events=1, seed=0):
    """Events of the same cells each, with radii and heights of noise.

    Args:
        chosen: (hit,) numbers of cells, 0..2033.
    """
    rng = np.random.default_rng(seed)
    side, layer, column = np.unravel_index(np.tile(chosen, n_events), (2, N_LAYERS, N_COLUMNS))
    hits = {
        "side": side,
        "layer": layer,
        "column": column,
        "drift_radius_mm": rng.uniform(0, 22, len(side)),
        "z_mm": rng.uniform(-1500, 1500, len(side)),
    }
    return make_events(hits, len(chosen) * np.arange(n_events + 1))


def scattered(n_hits, n_events=1):
    """Events of so many cells each, drawn at random."""
    chosen = np.random.default_rng(n_hits).choice(N_CELLS, n_hits, replace=False)
    return cells(np.sort(chosen), n_events)


TABLES = {
    "no events": make_events({}, [0]),
    "an event without hits": make_events({}, [0, 0]),
    "events without hits": make_events({}, [0] * 8),
    "a hit": scattered(1),
    "two hits": scattered(2),
    "two neighbours": cells([5, 6]),
    "a full layer": cells(np.arange(N_COLUMNS)),
    "three hits of noise each": scattered(3, 100),
    "300 hits": scattered(300),
    "all cells": cells(np.arange(N_CELLS)),
    "10 tracks": realistic.generate(3, tracks=(10,), preset="data", seed=1),
    "40 tracks": realistic.generate(3, tracks=(40,), preset="data", seed=2),
    "all at once": concatenate(
        [make_events({}, [0, 0]), scattered(1), scattered(300), scattered(2)]
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("events", TABLES.values(), ids=TABLES.keys())
@every_finder
def test_every_hit_is_listed_and_tracks_are_of_one_side_and_count_from_zero(find, events):
    labels = find(events)
    assert labels.dtype == np.int16
    assert labels.shape == events.hits["layer"].shape
    assert (labels >= -1).all()
    for start, stop in zip(events.hit_offsets[:-1], events.hit_offsets[1:], strict=True):
        mine = labels[start:stop]
        side = events.hits["side"][start:stop]
        found = np.unique(mine[mine >= 0])
        np.testing.assert_array_equal(found, np.arange(len(found)))
        pairs = np.unique(np.stack([mine, side])[:, mine >= 0], axis=1)
        assert pairs.shape[1] == len(found)


@pytest.mark.parametrize("name", LOOK_FOR_TRACKS)
@pytest.mark.parametrize("n_hits", [1, 2])
def test_one_hit_or_two_are_no_track(name, n_hits):
    apart = cells([3 * N_COLUMNS, 5 * N_COLUMNS + 60][:n_hits], 20)
    np.testing.assert_array_equal(FINDERS[name](apart), -1)


@pytest.mark.parametrize("name", ["ransac", "refit", "refit and foil rule"])
def test_events_in_which_nothing_is_found_change_nothing_in_the_others(name):
    tracks = realistic.generate(20, preset="ideal", seed=3)
    mixed = concatenate([scattered(1), tracks, scattered(2), make_events({}, [0, 0])])
    alone = FINDERS[name](tracks)
    np.testing.assert_array_equal(FINDERS[name](mixed)[1 : 1 + len(alone)], alone)
    assert alone.max() > 0


def test_dozens_of_tracks_are_found_where_hits_suffice():
    events = TABLES["10 tracks"]
    labels = oracle_that_covers(events)
    assert np.maximum.reduceat(labels, events.hit_offsets[:-1]).min() >= 8
