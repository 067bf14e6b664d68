"""The command that writes files of simulated events: what it writes, leaves and refuses."""

import signal
import subprocess
import sys
import time

import pytest
from conftest import assert_same

from datasets.readers import hit_tree
from my_generator import __main__ as command
from my_generator import straight_lines


def test_generator_writes_the_files_it_was_asked_for(tmp_path, capsys):
    flags = ["--tracks", "1", "2", "--events", "20", "--files", "2", "--first-file", "3"]
    command.main([*flags, "--seed", "5", "--out", str(tmp_path / "new")])
    names = [f"my_generator_t{n}_{i}.root" for n in (1, 2) for i in (3, 4)]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    events = hit_tree.read(tmp_path / "new" / "my_generator_t2_4.root")
    assert_same(events, straight_lines.generate(20, 2, seed=[5, 2, 4]))
    assert f"4 files in {tmp_path / 'new'}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--seed", "-1"], "-1 is less than 0"),
        (["--files", "0"], "0 is less than 1"),
        (["--max-kinks", "0"], "0 is less than 1"),
        (["--kinks", "nan"], "nan is outside 0..1"),
        (["--kind", "scatter", "--degrees", "nan"], "nan is less than 0"),
        (
            ["--kind", "toyhaystack", "--max-kinks", "1"],
            "--max-kinks does not go with --kind toyhaystack",
        ),
        (["--kind", "bounce", "--tracks", "1"], "--tracks does not go with --kind bounce"),
    ],
)
def test_what_it_can_not_do_is_refused_at_once(flags, said, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main([*flags, "--out", str(tmp_path / "new")])
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_out_that_is_a_file_is_refused_at_once(tmp_path, capsys):
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    with pytest.raises(SystemExit):
        command.main(["--out", str(path)])
    assert "mine.txt is a file, not a folder" in capsys.readouterr().err
    assert path.read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_leaves_the_file_of_before_and_nothing_half_written(number, tmp_path):
    before = tmp_path / "my_generator_t1_0.root"
    before.write_text("mine")
    words = [sys.executable, "-m", "my_generator", "--tracks", "1", "--events", "10000000"]
    process = subprocess.Popen([*words, "--out", str(tmp_path)], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) == 1 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == [before.name]
    assert before.read_text() == "mine"
