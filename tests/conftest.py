"""Fixtures and helpers of several test files."""

from pathlib import Path

import numpy as np
import pytest

from datasets.events import make_events
from datasets.readers import hit_tree
from my_generator import straight_lines, toyhaystack

N_CELLS_OF_SIDE = 9 * 113
REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def toy_file(tmp_path):
    """40 straight-line events of 1 to 4 tracks as a `hit_tree` file."""
    path = tmp_path / "my_generator_0.root"
    hit_tree.write(path, straight_lines.generate(40, seed=1))
    return path


@pytest.fixture
def haystack_file(tmp_path):
    """40 haystack events of 1 to 4 tracks as a `hit_tree` file."""
    path = tmp_path / "toyhaystack_0.root"
    hit_tree.write(path, toyhaystack.generate(40, seed=1))
    return path


@pytest.fixture(scope="session")
def real_data():
    """The folder of real files; a test that wants it fails without it."""
    assert REAL.is_dir(), f"{REAL} is missing: tests marked real need it"
    return REAL


def assert_same(a, b):
    """Two event tables are equal in everything: values, NaN, types and offsets."""
    np.testing.assert_array_equal(a.hit_offsets, b.hit_offsets)
    np.testing.assert_array_equal(a.track_offsets, b.track_offsets)
    for group in ("hits", "tracks", "info"):
        first, second = getattr(a, group), getattr(b, group)
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=f"{group} {name}")
            assert first[name].dtype == second[name].dtype, f"{group} {name}"


def random_events(seed, n_hits, sides=(1,)):
    """Events with these numbers of hits in random cells, every one with other values; owners are tracks 0 to
    3, or none.
    """
    rng = np.random.default_rng(seed)
    n_hits = np.asarray(n_hits)
    cell = np.concatenate(
        [np.zeros(0, int), *(rng.permutation(N_CELLS_OF_SIDE * len(sides))[:n] for n in n_hits)]
    )
    n = len(cell)
    track = rng.integers(-1, 4, n)
    second = np.where((track >= 0) & (rng.random(n) < 0.2), (track + 1) % 4, -1)
    hits = {
        "side": np.array(sides)[cell // N_CELLS_OF_SIDE],
        "layer": cell % 9,
        "column": cell % N_CELLS_OF_SIDE // 9,
        "drift_radius_mm": np.where(rng.random(n) < 0.2, np.nan, rng.uniform(0, 22, n)),
        "z_mm": np.where(rng.random(n) < 0.2, np.nan, rng.uniform(-1550, 1550, n)),
        "track": track,
        "second_track": second,
    }
    offsets = np.concatenate([[0], np.cumsum(n_hits)])
    tracks = {
        "side": np.full(4 * len(n_hits), sides[-1]),
        "n_segments": rng.integers(1, 4, 4 * len(n_hits)),
    }
    info = {"n_tracks": np.full(len(n_hits), 4), "event": np.arange(len(n_hits))}
    return make_events(hits, offsets, tracks, 4 * np.arange(len(n_hits) + 1), info)


def toy_line(y0, slope_y, z0=0.0, slope_z=0.1):
    """An event of one ideal line, y = y0 + slope_y x and so z, in cells, as the toy makes it."""
    a = np.arctan(slope_y) % np.pi
    b = np.arctan(slope_z) % np.pi
    lines = np.array([[a], [b], [y0], [z0]])
    first, count = straight_lines._columns_hit(*lines)
    return straight_lines._to_events(np.array([1]), np.array([0]), lines, first, count)
