"""Hits are removed from an event and added to it, and both are counted and fitted."""

import numpy as np
import pytest

from datasets.readers import hit_tree
from my_generator import straight_lines, toyhaystack
from scripts import special_events


def word_of(events, hit):
    """A hit of a table as a user names its cell."""
    return ",".join(str(int(events.hits[name][hit])) for name in ("side", "column", "layer"))


def test_removing_a_track_lowers_count_and_fit_by_one(tmp_path, capsys):
    events = straight_lines.generate(5, tracks=(2,), seed=2)
    hit_tree.write(tmp_path / "two.root", events)
    of_track = np.flatnonzero((events.hit_event == 3) & (events.hits["track"] == 1))
    words = [word_of(events, hit) for hit in of_track]
    picture = tmp_path / "special.png"
    flags = ["--event", "3", "--remove", *words, "--out", str(picture)]
    models = ["--model", "combined_my_generator", "top_my_generator"]
    said = special_events.main([str(tmp_path / "two.root"), *flags, *models])
    assert said == {"combined_my_generator": [2, 1], "top_my_generator": [2, 1], "fitted": [2, 1]}
    assert picture.stat().st_size > 10_000
    printed = capsys.readouterr().out
    n = events.n_hits[3]
    row = next(line for line in printed.splitlines() if line.split()[:1] == ["hits"])
    assert row.split() == ["hits", str(n), str(n - len(words))]


def test_adding_a_track_raises_the_count(tmp_path):
    events = straight_lines.generate(3, tracks=(1,), seed=3)
    hit_tree.write(tmp_path / "one.root", events)
    far = 100 if np.median(events.hits["column"][events.hit_event == 1]) < 56 else 10
    words = [
        f"1,{far},{layer},{radius},100"
        for layer, radius in enumerate([3, 4, 5, 6, 7, 8, 9, 10, 11])
    ]
    flags = ["--event", "1", "--add", *words, "--out", str(tmp_path / "special.pdf")]
    said = special_events.main([str(tmp_path / "one.root"), *flags])
    assert said == {"combined_my_generator": [1, 2], "fitted": [1, 2]}


def test_a_changed_event_holds_the_hits_it_should():
    events = toyhaystack.generate(4, seed=1)[[2]]
    before = {word_of(events, hit) for hit in range(len(events.hits["side"]))}
    gone = special_events.filters.cell(sorted(before)[0])
    new = [
        special_events.hit("0,112,8"),
        special_events.hit("0,111,8,4.5"),
        special_events.hit("0,110,8,4.5,-20"),
    ]
    changed = special_events.changed(events, [gone], new, "it")
    after = {word_of(changed, hit) for hit in range(len(changed.hits["side"]))}
    assert after == before - {sorted(before)[0]} | {"0,112,8", "0,111,8", "0,110,8"}
    assert changed.n_hits.tolist() == [events.n_hits[0] + 2]
    np.testing.assert_array_equal(
        changed.hits["drift_radius_mm"][-3:], np.float32([np.nan, 4.5, 4.5])
    )
    np.testing.assert_array_equal(changed.hits["z_mm"][-3:], np.float32([np.nan, np.nan, -20]))
    assert changed.hits["track"][-3:].tolist() == [-1, -1, -1]
    for name, values in changed.hits.items():
        assert values.dtype == events.hits[name].dtype


def test_the_same_cell_on_the_other_side_is_another_cell():
    events = toyhaystack.generate(1, seed=1)
    side, column, layer = special_events.filters.cell(word_of(events, 0))
    with pytest.raises(
        ValueError, match=f"it: no hit to remove in side,column,layer {1 - side},{column},{layer}"
    ):
        special_events.changed(events, [(1 - side, column, layer)], [], "it")


def test_a_hit_can_be_replaced_but_not_doubled():
    events = toyhaystack.generate(1, seed=1)
    cell = special_events.filters.cell(word_of(events, 0))
    replaced = special_events.changed(events, [cell], [(cell, 3.0, 5.0)], "it")
    assert replaced.n_hits.tolist() == events.n_hits.tolist()
    with pytest.raises(ValueError, match="it: a hit is in side,column,layer .* already"):
        special_events.changed(events, [], [(cell, 3.0, 5.0)], "it")
    new = ((0, 112, 8), 1.0, 1.0)
    with pytest.raises(ValueError, match="0,112,8 already"):
        special_events.changed(events, [], [new, new], "it")


def test_a_hit_can_be_added_to_an_event_without_any():
    events = toyhaystack.generate(1, seed=1)
    empty = events.keep_hits(np.zeros(len(events.hits["side"]), bool))
    assert special_events.changed(empty, [], [((1, 2, 3), 4.0, 5.0)], "it").n_hits.tolist() == [1]


def test_an_event_that_is_not_there_is_named(toy_file, tmp_path):
    flags = ["--add", "1,1,1", "--out", str(tmp_path / "special.pdf")]
    with pytest.raises(ValueError, match=f"{toy_file}: no event 40, it has 40, counted from 0"):
        special_events.main([str(toy_file), "--event", "40", *flags])
    with pytest.raises(ValueError, match="nothing to do: --remove or --add"):
        special_events.main([str(toy_file), "--event", "0"])
    assert not list(tmp_path.glob("*.pdf"))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("1,2", "1,2 is no cell"),
        ("1,x,2", "1,x,2 is no cell"),
        ("2,5,5", "side 2 outside 0..1"),
        ("1,113,5", "column 113 outside 0..112"),
        ("1,5,9,3", "layer 9 outside 0..8"),
        ("1,5,5,a", "a is no number of mm"),
        ("1,5,5,60", "drift_radius_mm 60 outside 0..50"),
        ("1,5,5,nan", "drift_radius_mm nan outside 0..50"),
        ("1,5,5,6,3000", "z_mm 3000 outside -2000..2000"),
        ("1,5,5,6,30,1", "has more than side,column,layer,radius,z"),
    ],
)
def test_wrong_hits_are_refused(word, said, toy_file, capsys):
    with pytest.raises(SystemExit):
        special_events.main([str(toy_file), "--event", "0", "--add", word])
    assert said in capsys.readouterr().err


def test_masked_cells_are_gone_before(toy_file, tmp_path):
    events = straight_lines.generate(40, seed=1)
    word = word_of(events, 0)
    flags = [
        "--event",
        "0",
        "--remove",
        word,
        "--mask",
        word,
        "--out",
        str(tmp_path / "special.pdf"),
    ]
    with pytest.raises(ValueError, match=f"no hit to remove in side,column,layer {word}"):
        special_events.main([str(toy_file), *flags])
