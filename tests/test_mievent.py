"""The reader of MiModule's files, by tables of members, and on the real file."""

from pathlib import Path

import numpy as np
import pytest

from datasets.events import concatenate
from datasets.geometry import GAMMA_VETO, MAIN_WALL, X_WALL
from datasets.readers import mievent, open_events, tkevent
from tests.conftest import assert_same

CASE = Path(__file__).resolve().parents[2] / "shared" / "data" / "cases" / "mievent.root"


def hits(x, y, r=5.0, z=100.0):
    """The event table's hits of one event of wires at these places."""
    x = np.asarray(x, float)
    members = {"X": x, "Y": np.asarray(y, float), "R": np.full(len(x), r), "Z": np.full(len(x), z)}
    named = {mievent.HIT + name: values for name, values in members.items()}
    return mievent._hits(named, np.array([0, len(x)]), start=7)


def test_a_wire_is_its_cell():
    found = hits([-53, 53, 405, -405.4, 97.0], [-2464, 0, 2464, 44.3, -44])
    assert found["side"].tolist() == [0, 1, 1, 0, 1]
    assert found["layer"].tolist() == [0, 0, 8, 8, 1]
    assert found["column"].tolist() == [0, 56, 112, 57, 55]


@pytest.mark.parametrize(
    ("x", "y"), [(75, 0), (449, 0), (53, 2508), (9, 0), (53, 22), (np.nan, 0), (53, np.inf)]
)
def test_a_wire_that_is_none_of_the_detector_is_an_error(x, y):
    with pytest.raises(
        ValueError, match=rf"^entry 7: a wire at x {x:.1f}, y {y:.1f} mm is none of the detector"
    ):
        hits([53, x], [0, y])


@pytest.mark.parametrize(
    ("r", "z", "known"),
    [
        (5, 100, [True, True]),
        (-1, 100, [False, True]),
        (51, 0, [False, False]),
        (np.inf, -2001, [False, False]),
    ],
)
def test_a_measurement_that_cannot_be_is_unknown(r, z, known):
    found = hits([53], [0], r, z)
    assert np.isfinite([found["drift_radius_mm"][0], found["z_mm"][0]]).tolist() == known


def test_blocks_have_the_address_of_their_geometry_id_and_energies_in_mev():
    """The file calls the numbers of an address by names of its own; only their order means something."""
    texts = [
        ("1302", "0", "1", "11", "6", "-2"),
        ("1232", "0", "0", "1", "0", "15"),
        ("1252", "0", "1", "0", "15", "*"),
        ("1302", "0", "1", "20", "6", "-2"),
        ("", "", "*", "", "", ""),
    ]
    members = {
        f"{mievent.BLOCK}GID.{part}": column
        for part, column in zip(mievent.ADDRESS, zip(*texts, strict=True), strict=True)
    }
    members[f"{mievent.BLOCK}E"] = np.array([1250.0, 1, 2, np.inf, 4])
    members[f"{mievent.BLOCK}t"] = np.array([3.5, 1, 2, 3, -1e30])
    found = mievent._blocks(members)
    assert found["calo_type"].tolist() == [MAIN_WALL, X_WALL, GAMMA_VETO, -1, -1]
    assert found["side"].tolist() == [1, 0, 1, -1, -1] and found["wall"].tolist() == [
        -1,
        1,
        0,
        -1,
        -1,
    ]
    assert found["column"].tolist() == [11, 0, 15, -1, -1] and found["row"].tolist() == [
        6,
        15,
        -1,
        -1,
        -1,
    ]
    np.testing.assert_array_equal(found["energy_mev"], [1.25, 0.001, 0.002, np.nan, 0.004])
    np.testing.assert_array_equal(found["time_ns"], [3.5, 1, 2, 3, np.nan])


@pytest.mark.real
def test_a_real_file_is_told_from_one_of_tkevent_and_read():
    assert open_events.kind_of(CASE) == "mievent"
    events = open_events.read(CASE)
    assert len(events) == 100 and events.hit_offsets[-1] == 2198
    assert np.isfinite(events.hits["drift_radius_mm"]).sum() == 2195
    assert set(events.info["n_tracks"]) == set(events.hits["track"]) == {-1}
    assert events.block_offsets[-1] == 107 and (events.blocks["calo_type"] >= 0).all()
    assert 0 < np.median(events.blocks["energy_mev"]) < 3
    with pytest.raises(ValueError, match=r"mievent\.root: branch Eventdata has no branch tr_hits"):
        tkevent.read(CASE)


@pytest.mark.real
@pytest.mark.parametrize("chunk", [7, 100, "1 B"])
def test_chunks_of_a_real_file_are_the_whole(chunk):
    assert_same(concatenate(mievent.stream(CASE, chunk)), mievent.read(CASE))


@pytest.mark.real
def test_a_damaged_file_is_read_or_one_clear_error(tmp_path):
    whole, rng, broken = CASE.read_bytes(), np.random.default_rng(5), tmp_path / "broken.root"
    n_refused = 0
    for n in range(100):
        data = bytearray(whole)
        if n % 2:
            del data[rng.integers(len(data)) :]
        for at in rng.integers(max(1, len(data)), size=3):
            data[at % max(1, len(data)) : at + 1] = rng.bytes(1)
        broken.write_bytes(data)
        try:
            open_events.read(broken)
        except ValueError as error:
            assert str(error).startswith(f"{broken}: ") and "\n" not in str(error)
            n_refused += 1
    assert n_refused >= 50
