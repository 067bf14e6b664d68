"""Fixtures and helpers of several test files."""

from pathlib import Path

import numpy as np
import pytest

from datasets.readers import hit_tree
from my_generator import straight_lines, toyhaystack

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
