"""Outputs appear whole or not at all."""

import errno
import os
import subprocess
import sys

import pytest

import outputs


def test_an_output_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "counts.csv"
    with outputs.whole(path) as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".csv" and not path.exists()
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


def test_what_was_there_stays_when_writing_fails(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("earlier")
    with pytest.raises(ValueError, match="broken"), outputs.whole(path) as temporary:
        temporary.write_text("half")
        raise ValueError("broken")
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_error_that_names_the_output(tmp_path):
    with pytest.raises(OSError) as error, outputs.whole(tmp_path / "a.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert outputs.message_of(error.value) == f"{tmp_path}/a.csv: no space left on the disk"


def test_a_folder_in_the_place_of_an_output_is_named(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(OSError) as error, outputs.whole(tmp_path / "a.csv") as temporary:
        temporary.write_text("x")
    assert f"{tmp_path}/a.csv: is a directory" in outputs.message_of(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_temporary_files_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    (tmp_path / f".a[1].{int(dead.stdout)}.part.csv").write_text("dead")
    (tmp_path / f".a[1].{os.getppid()}.part.csv").write_text("alive")
    (tmp_path / f".other.{int(dead.stdout)}.part.csv").write_text("another output")
    with outputs.whole(tmp_path / "a[1].csv") as temporary:
        temporary.write_text("")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        "a[1].csv",
        f".a[1].{os.getppid()}.part.csv",
        f".other.{int(dead.stdout)}.part.csv",
    }
