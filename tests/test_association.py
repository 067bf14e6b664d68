"""Fired blocks and the tracks that they belong to."""

import numpy as np
import pytest
from conftest import toy_line

from datasets import geometry as geo
from datasets.events import make_events
from datasets.readers import open_events
from fitting import association, calorimeter, tracks
from my_generator import realistic

pytestmark = pytest.mark.filterwarnings("error")


def ends_of(events):
    return calorimeter.ends(events, tracks.fit(events, events.hits["track"].astype(int)))


def test_fired_blocks_go_to_the_tracks_that_end_there():
    events = realistic.generate(150, preset="data", seed=7, kind="toyhaystack")
    found = ends_of(events)
    own = association.associate(events, found)
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
    blocks = {
        "calo_type": [0] * n,
        "side": [1] * n,
        "wall": [-1] * n,
        "column": columns,
        "row": [7] * n,
    }
    return make_events(
        events.hits, events.hit_offsets, info=events.info, blocks=blocks, block_offsets=[0, n]
    )


def test_a_gamma_gets_no_track_and_the_distance_is_in_errors():
    straight = toy_line(52.0, 0.01)  # 0.3 columns beyond the border of blocks 9 and 10 at 50.85
    own = association.associate(with_blocks(straight, [3, 10, 17]), ends_of(straight))
    assert (
        own.track.tolist() == [-1, 0, -1]
        and own.block.tolist() == [1]
        and own.distance.tolist() == [0]
    )
    off = (52.0 + 0.09 - 50.85) * geo.CELL_MM
    beside = with_blocks(straight, [9])
    assert association.associate(beside, ends_of(straight)).block.tolist() == [-1]
    near = association.associate(beside, ends_of(straight), slack_mm=100.0)
    np.testing.assert_allclose(near.distance, off / 100, rtol=0.02)


def test_two_tracks_never_share_a_block():
    one = toy_line(52.0, 0.01)
    two = toy_line(54.0, -0.01)
    hits = {name: np.concatenate([one.hits[name], two.hits[name]]) for name in one.hits}
    hits["track"] = np.repeat([0, 1], [len(one.hits["track"]), len(two.hits["track"])])
    both = make_events(hits, [0, len(hits["track"])], info=one.info)
    own = association.associate(with_blocks(both, [10]), ends_of(both))
    assert (
        sorted(own.block.tolist()) == [-1, 0] and own.track[0] == np.flatnonzero(own.block == 0)[0]
    )


@pytest.mark.real
def test_blocks_of_a_falaise_file_are_found(real_data):
    events = open_events.read(real_data / "cases" / "falaise3_sd_cd_tcd.brio")
    own = association.associate(events, ends_of(events))
    # of the 17 electrons whose block the true steps tell, by hand, one fired two cells: no visible track
    assert (own.block >= 0).sum() == 16
