"""Errors of a removal network by step, and where they are."""

import json

import numpy as np
import pytest

import inference
from architectures.matteo import encoder_decoder
from datasets import clustering_images
from datasets.events import make_events
from datasets.readers import hit_tree
from finding import by_images
from my_generator import realistic
from scripts import iterative_clustering as script
from scripts import testing_clustering
from tests.test_by_images import knows_removal

SURE = 20.0


def of_columns(columns, tracks):
    """One event with a whole row of nine hits in each column, of these tracks; its hits are (hit,) by row."""
    n = len(columns)
    hits = {
        "layer": np.tile(np.arange(9), n),
        "column": np.repeat(columns, 9),
        "track": np.repeat(tracks, 9),
    }
    n_tracks = max(tracks) + 1
    return make_events(
        hits, [0, 9 * n], {"side": [1] * n_tracks}, [0, n_tracks], {"n_tracks": [n_tracks]}
    )


def network_of(say):
    shape = (*clustering_images.SHAPE, 1)
    run = lambda arrays: {"cells": say(arrays["padded"])}  # noqa: E731
    return inference.Network(
        "by hand", "cells", "removal", {"padded": shape}, {"cells": shape}, run
    )


def values(figures):
    return [score["value"] for score in figures]


def test_who_knows_every_answer_is_right_in_every_step():
    events = realistic.generate(40, preset="ideal", seed=2)
    say = knows_removal(events)
    owners = clustering_images.owners_from_left(events)
    n_tracks = by_images.true_number(events)
    for step in (
        by_images.removal_steps(events, say, n_tracks),
        by_images.removal_steps(events, say, n_tracks, remove_last=True),
    ):
        scores = script.by_step(events, owners, script.in_steps(step, n_tracks), n_tracks)
        for n, figures in scores.items():
            for name in script.FIGURES:
                assert values(figures[name]) == [1.0] * int(n)


def test_an_error_of_the_first_step_is_handed_on_but_not_where_each_step_is_alone():
    events = of_columns([20, 50, 80], [0, 1, 2])
    n_tracks = np.array([3])
    owners = clustering_images.owners_from_left(events)

    def takes_first_row_but_its_last_hit(images):
        first = images.any((2, 3)).argmax(1)
        goes = (np.arange(116) == first[:, None])[:, :, None, None] & (images > 0)
        last_layer = np.arange(12) == clustering_images.PADDING + 8
        of_first_track = first == 20 + clustering_images.PADDING
        is_whole_row = images.sum((1, 2, 3)) == 27
        spared = (of_first_track & is_whole_row)[:, None, None, None] & last_layer[:, None]
        return np.where(goes & ~spared, -SURE, SURE)

    step = by_images.removal_steps(
        events, takes_first_row_but_its_last_hit, n_tracks, remove_last=True
    )
    expected = np.repeat([0, 2, -1], 9)
    expected[8] = 1  # the spared hit is all that is leftmost in the second step
    np.testing.assert_array_equal(step, expected)
    figures = script.by_step(events, owners, script.in_steps(step, n_tracks), n_tracks)["3"]
    np.testing.assert_allclose(values(figures["whole"]), [8 / 9, 0, 0])
    np.testing.assert_allclose(values(figures["right"]), [1, 0, 0])
    assert values(figures["perfect"]) == [0, 0, 0]

    alone = script.steps_alone(
        events, takes_first_row_but_its_last_hit, owners, n_tracks, 0.5, True
    )
    rows = np.arange(27) // 9
    expected = rows[:, None] == np.arange(3)
    expected[8, 0] = False
    np.testing.assert_array_equal(alone, expected)
    figures = script.by_step(events, owners, alone, n_tracks, handed_on=False)["3"]
    np.testing.assert_allclose(values(figures["whole"]), [8 / 9, 1, 1])
    assert values(figures["perfect"]) == [0, 1, 1]


def test_noise_that_goes_with_the_last_track_is_wrong_then_only():
    events = of_columns([20, 50], [0, 1])
    hits = {name: array.copy() for name, array in events.hits.items()}
    hits["track"][-1] = -1
    events = events.with_hits(hits)
    owners = clustering_images.owners_from_left(events)
    n_tracks = np.array([2])
    went = script.in_steps(np.repeat([0, 1], 9), n_tracks)
    figures = script.by_step(events, owners, went, n_tracks)["2"]
    assert values(figures["perfect"]) == [1, 0]
    np.testing.assert_allclose(values(figures["right"]), [1, 8 / 9])


def test_a_hit_of_two_tracks_may_go_with_either():
    events = of_columns([20, 50], [0, 1])
    hits = {name: array.copy() for name, array in events.hits.items()}
    hits["second_track"][0] = 1
    events = events.with_hits(hits)
    owners = clustering_images.owners_from_left(events)
    for step_of_shared in (0, 1):
        step = np.repeat([0, 1], 9)
        step[0] = step_of_shared
        n_tracks = np.array([2])
        figures = script.by_step(events, owners, script.in_steps(step, n_tracks), n_tracks)["2"]
        for name in script.FIGURES:
            assert values(figures[name]) == [1, 1]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "removal.keras"
    encoder_decoder(filters=(2, 2, 2)).save(path)
    return str(path)


def test_the_script_writes_every_figure_and_draws_them(model, tmp_path, capsys):
    out = tmp_path / "out.json"
    flags = [
        "--events",
        "30",
        "--tracks",
        "1",
        "3",
        "--json",
        str(out),
        "--figure",
        str(tmp_path / "out.png"),
    ]
    script.main([model, *flags])
    content = json.loads(out.read_text())
    assert set(content["scores"]) == set(script.WAYS) and content["n_events"] == 30
    assert len(content["scores"]["counted"]["3"]["perfect"]) == 3
    assert (tmp_path / "out.png").stat().st_size > 10_000
    said = capsys.readouterr().out
    assert "| perfect, alone |" in said and "| by step | 1 track | 3 tracks |" in said


def test_files_without_events_are_refused_and_networks_of_other_things(model, tmp_path):
    empty = tmp_path / "none_0.root"
    hit_tree.write(empty, realistic.generate(3, seed=1)[:0])
    with pytest.raises(ValueError, match="none_0.root"):
        script.main([model, str(empty)])
    with pytest.raises(ValueError, match="says nothing of the cells"):
        script.main(["track_finder", "--events", "3"])


# ---- where errors are --------------------------------------------------------------------------------------


def test_each_wrong_hit_is_of_the_first_kind_that_fits():
    events = of_columns([20, 21, 50, 90], [0, 1, 2, -1])

    def second_row_goes(images):
        rows = np.arange(116)[:, None, None] == 21 + clustering_images.PADDING
        return np.where(np.broadcast_to(rows, images.shape), -SURE, SURE)

    found = testing_clustering.errors(events, network_of(second_row_goes), 0.5)
    kinds = list(found["wrong"].values())
    assert kinds[0] == {"hits": 18, "events": 1} and sum(kind["hits"] for kind in kinds) == 18

    def last_goes_too(images):
        first = np.arange(116)[:, None, None] == 20 + clustering_images.PADDING
        noise = np.arange(116)[:, None, None] == 90 + clustering_images.PADDING
        one = np.arange(12)[:, None] == clustering_images.PADDING + 2
        beside = (np.arange(116)[:, None, None] == 21 + clustering_images.PADDING) & one
        far = (np.arange(116)[:, None, None] == 50 + clustering_images.PADDING) & one
        goes = first | noise | beside | far
        return np.where(np.broadcast_to(goes, images.shape), -SURE, SURE)

    found = testing_clustering.errors(events, network_of(last_goes_too), 0.5)
    assert [kind["hits"] for kind in found["wrong"].values()] == [0, 0, 0, 9, 1, 1, 0]
    assert "11 of 36 hits are wrong, in 1 events" in testing_clustering.describe_errors(found)


def test_errors_of_events_without_tracks_or_hits_are_none():
    nothing = of_columns([20], [0])[:0]
    found = testing_clustering.errors(
        nothing, network_of(lambda images: SURE * np.ones(images.shape)), 0.5
    )
    assert found["hits"] == 0 and all(kind["hits"] == 0 for kind in found["wrong"].values())
