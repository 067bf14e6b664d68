"""What trainings refuse, and what they say at their end."""

import keras
import pytest

import lib
from datasets.readers import hit_tree
from my_generator import toyhaystack
from scripts import combined, number_of_tracks_classification, track_finder

QUICK = [
    "--epochs",
    "1",
    "--epoch-events",
    "16",
    "--val-events",
    "16",
    "--test-events",
    "16",
    "--batch-size",
    "16",
]


def test_a_training_on_files_of_both_sides_makes_a_model_of_two_and_says_what_it_reached(
    tmp_path, capsys
):
    for i in range(3):
        hit_tree.write(tmp_path / f"toyhaystack_{i}.root", toyhaystack.generate(10, seed=i))
    flags = [
        "--view",
        "front",
        "--size",
        "small",
        "--data",
        f"{tmp_path}/*.root",
        "--out",
        str(tmp_path / "run"),
        *QUICK,
    ]
    number_of_tracks_classification.main(flags)
    assert lib.load_card(tmp_path / "run")["inputs"] == {"front": [30, 9, 2]}
    said = capsys.readouterr().out
    assert "10 events, accuracy" in said and said.endswith(f"in {tmp_path / 'run'}\n")


def test_the_training_of_a_track_finder_says_what_it_reached(tmp_path, capsys):
    tiny = ["--filters", "8", "--width", "8", "--token-layers", "1", "--generator", "my_generator"]
    track_finder.main(["--out", str(tmp_path / "run"), *tiny, *QUICK])
    assert "16 events, " in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    "script, name", [(number_of_tracks_classification, "track_finder"), (track_finder, "top")]
)
def test_a_training_does_not_start_from_another_kind_of_network(script, name, tmp_path):
    with pytest.raises(ValueError, match=f"--start-from {name}: another network"):
        script.main(
            [
                "--out",
                str(tmp_path / "run"),
                "--generator",
                "my_generator",
                "--start-from",
                name,
                *QUICK,
            ]
        )


@pytest.mark.parametrize(
    "view, kind, name",
    [("top", "toyhaystack", "top_my_generator"), ("side", "my_generator", "top_my_generator")],
)
def test_a_training_does_not_start_from_a_network_of_other_shapes(view, kind, name, tmp_path):
    with pytest.raises(
        ValueError, match=f"--start-from {name}: another network than this one, which has no such "
    ):
        flags = [
            "--out",
            str(tmp_path / "run"),
            "--view",
            view,
            "--generator",
            kind,
            "--start-from",
            name,
        ]
        number_of_tracks_classification.main([*flags, *QUICK])


def save_tower(folder, view, n_sides):
    folder.mkdir()
    inputs = keras.Input((9, 113, n_sides), name=view)
    keras.Model(inputs, keras.layers.Flatten()(inputs)).save(folder / "model.keras")
    return str(folder)


def test_towers_are_of_their_view_and_of_the_sides_of_the_events(tmp_path):
    name = save_tower(tmp_path / "two", "top", 2)
    assert combined.load_tower(name, "top", 2).inputs[0].name == "top"
    with pytest.raises(ValueError, match="--top .*two: .*2 tracker sides, but the events have 1"):
        combined.load_tower(name, "top", 1)
    with pytest.raises(ValueError, match="--side .*two: a model of top"):
        combined.load_tower(name, "side", 2)
