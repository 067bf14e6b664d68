import argparse
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

import lib
import plotting
from my_generator import straight_lines

HISTORY = {
    "loss": [1.2, 0.6, 0.4],
    "accuracy": [0.5, 0.8, 0.9],
    "val_loss": [1.1, 0.7, 0.8],
    "val_accuracy": [0.6, 0.8, 0.7],
}
MATRIX = [[8, 2, 0, 0], [1, 9, 0, 0], [0, 0, 5, 5], [0, 0, 0, 0]]
MAGIC = {".png": b"\x89PNG", ".pdf": b"%PDF"}


def hits(
    column=(56, 57), side=(0, 1), layer=(0, 8), z_mm=(100, -200), radius=(5, 20), track=(0, 1), second=(-1, 0)
):
    """Two hits with the names and types of the event table."""
    floats = {"drift_radius_mm": np.array(radius, np.float32), "z_mm": np.array(z_mm, np.float32)}
    cells = {
        name: np.array(values, np.int8)
        for name, values in (("side", side), ("layer", layer), ("column", column))
    }
    return cells | floats | {"track": np.array(track, np.int16), "second_track": np.array(second, np.int16)}


@pytest.fixture(scope="module")
def events():
    return straight_lines.generate(8, seed=1)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    assert plt.get_fignums() == []


@pytest.fixture
def saved(monkeypatch):
    """Figures that would have been written."""
    figures = []
    monkeypatch.setattr(plotting, "save", lambda figure, path: figures.append(figure))
    return figures


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_each_figure_is_written_whole_in_the_format_of_its_suffix(tmp_path, events, suffix):
    folder = tmp_path / "new" / "folder"
    draw = {
        "history": lambda path: plotting.history(HISTORY, path),
        "confusion": lambda path: plotting.confusion(MATRIX, path, title="test"),
        "event": lambda path: plotting.event_display(hits(), path, "event 0", n_sides=2),
        "page": lambda path: plotting.page_of_events(
            events, [3, 1], path, ["event 3", "event 1"], first_wire_mm=22
        ),
    }
    for name, function in draw.items():
        function(folder / f"{name}{suffix}")
        assert (folder / f"{name}{suffix}").read_bytes().startswith(MAGIC[suffix])
    assert len(list(folder.iterdir())) == len(draw)  # no temporary file stays


def test_a_figure_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "history.abc"
    path.write_text("old")
    with pytest.raises(ValueError, match="abc"):
        plotting.history(HISTORY, path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_a_pdf_that_fails_on_its_second_page_leaves_nothing(tmp_path, events):
    with pytest.raises(IndexError):
        plotting.page_of_events(events, [0, 1, 2, 3, 4, 99], tmp_path / "events.pdf", ["event"] * 6)
    assert list(tmp_path.iterdir()) == []


def test_same_events_give_the_same_pdf(tmp_path):
    for name in ("a.pdf", "b.pdf"):
        plotting.event_display(hits(), tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


@pytest.mark.parametrize(("n_events", "n_pages"), [(0, 1), (5, 1), (8, 2)])
def test_a_pdf_has_as_many_pages_as_the_events_need(tmp_path, events, n_events, n_pages):
    path = tmp_path / "events.pdf"
    plotting.page_of_events(
        events, range(n_events), path, [f"event {i}" for i in range(n_events)], first_wire_mm=22
    )
    assert len(re.findall(rb"/Type /Page\b", path.read_bytes())) == n_pages


def test_each_event_needs_its_title(tmp_path, events):
    with pytest.raises(ValueError):
        plotting.page_of_events(events, [0, 1], tmp_path / "events.pdf", ["event 0"])


@pytest.mark.parametrize("n_sides", [1, 2])
def test_an_empty_event_shows_the_whole_detector(n_sides):
    empty = {name: values[:0] for name, values in hits().items()}
    figure = plotting.event_display(empty, title="nothing", n_sides=n_sides)
    top = figure.axes[0]
    assert top.get_title(loc="left") == "nothing"
    assert top.get_xlim()[0] < -56.5 * 44 and top.get_xlim()[1] > 56.5 * 44


def markers(ax):
    """(hit, 2) sorted places of the markers in a side or front view."""
    return sorted(tuple(place) for scatter in ax.collections for place in scatter.get_offsets().tolist())


def test_wires_are_in_their_places():
    top, side, front = plotting.event_display(hits(), n_sides=2).axes
    assert markers(front) == [(-53, 100), (53 + 8 * 44, -200)]
    assert markers(side) == [(0, 100), (44, -200)]
    assert top.get_ylim()[0] > 435 and top.get_ylim()[1] < -435  # x points down: side 0 lies above the foil


def test_one_side_lays_both_on_top_of_each_other():
    front = plotting.event_display(hits(), n_sides=1, first_wire_mm=22).axes[2]
    assert markers(front) == [(22, 100), (22 + 8 * 44, -200)]


def test_drift_circles_are_to_scale():
    top = plotting.event_display(hits(), n_sides=2).axes[0]
    extents = [
        path.get_extents()
        for collection in top.collections
        for path in collection.get_paths()
        if len(path) > 5
    ]
    boxes = sorted((box.x0, box.y0, box.width, box.height) for box in extents if box.width < 44)
    np.testing.assert_allclose(boxes, [(-5, -58, 10, 10), (24, 385, 40, 40)], atol=1e-3)
    assert top.get_aspect() == 1


def test_hits_without_z_are_counted_and_only_in_the_top_view():
    top, side, front = plotting.event_display(hits(z_mm=(np.nan, -200)), title="event 7", n_sides=2).axes
    assert top.get_title(loc="left") == "event 7 · 1 of 2 hits without z, in the top view only"
    assert markers(side) == [(44, -200)] and len(markers(front)) == 1


@pytest.mark.parametrize(
    "changes",
    [{"z_mm": (np.nan, np.nan)}, {"radius": (np.nan, np.nan)}, {"track": (-1, -1), "second": (-1, -1)}],
)
def test_events_without_z_or_radius_or_labels_can_be_drawn(tmp_path, changes):
    plotting.event_display(hits(**changes), tmp_path / "event.png")
    assert (tmp_path / "event.png").exists()


@pytest.mark.parametrize("columns", [(0, 0), (112, 112), (0, 112), (50, 60)])
def test_the_top_view_shows_every_cell(columns):
    low, high = plotting.event_display(hits(column=columns)).axes[0].get_xlim()
    assert low < 44 * (columns[0] - 56) - 22 and high > 44 * (columns[1] - 56) + 22


def test_a_cell_of_two_tracks_is_framed_in_the_second_colour():
    side = plotting.event_display(hits(), n_sides=2).axes[1]
    edges = [scatter.get_edgecolors() for scatter in side.collections]
    assert edges[0][0, 3] == 0  # invisible: the first hit has one owner
    np.testing.assert_allclose(edges[1][0, :3], [0, 0x72 / 255, 0xB2 / 255], atol=0.01)


def test_an_event_can_be_drawn_into_given_axes():
    figure = Figure()
    axes = figure.subplots(1, 3)
    assert plotting.event_display(hits(), axes=axes) is figure
    assert len(markers(axes[1])) == 2


def test_confusion_matrix_shows_counts_and_shares_of_the_true_row(saved):
    plotting.confusion(MATRIX, "confusion.pdf")
    ax = saved[0].axes[0]
    texts = np.reshape([text.get_text() for text in ax.texts], (4, 4))
    assert texts[0].tolist() == ["8\n80.0 %", "2\n20.0 %", "0\n0.0 %", "0\n0.0 %"]
    assert texts[3].tolist() == ["0\n–"] * 4
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted number of tracks", "true number of tracks")
    assert "accuracy 73.33 %" in ax.get_title() and "30 events" in ax.get_title()


def test_a_matrix_that_does_not_fit_its_labels_is_refused():
    with pytest.raises(ValueError, match="confusion.pdf"):
        plotting.confusion(np.eye(3, dtype=int), "confusion.pdf")


def test_history_has_a_panel_a_metric_and_marks_the_best_epoch(saved):
    columns = {"epoch": ["0", "1", "2"]} | {
        name: [str(v) for v in values] for name, values in HISTORY.items()
    }  # as a CSV gives them
    plotting.history(columns, "history.pdf")
    loss, accuracy = saved[0].axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert loss.get_legend_handles_labels()[1] == [
        "training",
        "validation",
        "lowest validation loss (epoch 2)",
    ]


def test_history_without_validation_and_with_a_failed_epoch_is_drawn(tmp_path):
    plotting.history({"loss": [1.0, np.nan, -0.5]}, tmp_path / "history.png")
    assert (tmp_path / "history.png").exists()


def test_found_tracks_have_the_colours_of_the_true_ones_they_are_made_of():
    """Two true tracks and a noise hit; the finder calls them 7 and 3, takes the noise, leaves out one hit and
    splits another off.
    """
    track, second = np.array([0, 0, 0, 0, 1, 1, 1, -1]), np.array([-1, 1, -1, -1, -1, -1, -1, -1])
    found = np.array([7, 7, 7, -1, 3, 3, 5, 3])
    shown = plotting.as_found({"track": track, "second_track": second}, found)
    assert shown["track"].tolist() == [0, 0, 0, -1, 1, 1, 2, 1]
    assert shown["wrong"].tolist() == [False, False, False, True, False, False, True, True]
    assert (shown["second_track"] == -1).all()


def test_the_hit_of_two_tracks_is_right_on_either():
    track, second = np.array([0, 0, 0, 1, 1]), np.array([-1, -1, 1, -1, -1])
    for owner in (0, 1):
        shown = plotting.as_found({"track": track, "second_track": second}, np.array([0, 0, owner, 1, 1]))
        assert shown["track"].tolist() == [0, 0, owner, 1, 1] and not shown["wrong"].any()


@pytest.mark.parametrize("found", [[-1, -1], [0, 0], [5, -4]])
def test_whatever_is_found_among_noise_is_wrong(found):
    shown = plotting.as_found(
        {"track": np.array([-1, -1]), "second_track": np.array([-1, -1])}, np.array(found)
    )
    assert shown["wrong"].tolist() == [label >= 0 for label in found]
    assert (shown["track"] >= 0).tolist() == [label >= 0 for label in found]


def test_found_and_true_tracks_are_rows_of_one_page(saved, events):
    found = np.where(np.arange(len(events.hits["track"])) % 5, events.hits["track"], -1)
    plotting.page_of_events(
        events, [2, 5, 1], "events.pdf", ["a", "b", "c"], first_wire_mm=22, found=found, finder="mine"
    )
    pages = list(saved[0])
    titles = [[ax.get_title(loc="left") for ax in page.axes[::3]] for page in pages]
    assert titles == [["a · mine", "truth", "b · mine", "truth"], ["c · mine", "truth"]]
    assert pages[0].legends[0].get_texts()[-1].get_text() == "wrong hit"
    n_rings = [
        [len(c.get_offsets()) for c in ax.collections if c.get_zorder() == 5] for ax in pages[0].axes[::3]
    ]
    n_wrong = [int((np.arange(*events.hit_offsets[[event, event + 1]]) % 5 == 0).sum()) for event in (2, 5)]
    assert n_rings == [[n_wrong[0]], [], [n_wrong[1]], []]


def test_without_found_tracks_no_hit_has_a_ring(saved, events):
    plotting.page_of_events(events, [2], "events.png", ["a"])
    (page,) = saved[0]
    assert "wrong hit" not in [text.get_text() for text in page.legends[0].get_texts()]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_legend_lists_what_is_drawn():
    always = ["source foil", "calorimeter"]
    assert legend(plotting.event_display(hits(second=(-1, -1)))) == ["track 0", "track 1", *always]
    everything = ["track 0", "no track", "cell of two tracks", "hit without z", *always]
    assert legend(plotting.event_display(hits(z_mm=(np.nan, 1), track=(0, -1), second=(1, -1)))) == everything


def test_hits_of_unknown_tracks_are_no_noise(saved, events):
    """Of three events, the first has no labels, the second holds noise alone, the third has labels for its
    hits.
    """
    some = events[[0, 1, 2]]
    some.hits["track"][: some.hit_offsets[2]] = some.hits["second_track"][:] = -1
    some.info["n_tracks"][[0, 2]] = -1
    plotting.page_of_events(some, range(3), "events.pdf", ["a", "b", "c"], first_wire_mm=22)
    (page,) = saved[0]
    crosses = [
        sum(len(c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection))
        for ax in page.axes[::3]
    ]
    assert crosses[0] == crosses[2] == 0 < crosses[1]
    assert {"track unknown", "no track", "track 0"} < set(legend(page))
    assert (some.hits["track"][: some.hit_offsets[2]] == -1).all()


def test_each_event_of_a_page_has_its_own_geometry(saved, events):
    for first_wires, n_sides in (((22, 22), 1), ((22, 53), 2), ((53, 53), 2)):
        plotting.page_of_events(events, [0, 1], "events.pdf", ["a", "b"], first_wire_mm=first_wires)
        (page,) = saved.pop()
        for (top, front), first_wire in zip(
            zip(page.axes[::3], page.axes[2::3], strict=True), first_wires, strict=True
        ):
            assert len([text for text in top.texts if text.get_text().startswith("side")]) == (
                n_sides if n_sides == 2 else 0
            )
            assert min(place[0] for place in markers(front)) == first_wire


def test_an_event_is_called_by_what_is_known_of_it(events):
    assert plotting.title_of(events, 3) == "event 3"
    events.info["run"][3] = 724
    assert plotting.title_of(events, 3, "runs/a.brio") == "a.brio: run 724, event 3"
    events.info["run"][3] = -1


def test_segments_have_a_class_of_six_or_more(saved):
    for what, last in (("segments", "6+"), ("tracks", "6")):
        plotting.confusion(np.eye(2, dtype=int), "confusion.pdf", [5, 6], what=what)
        ax = saved.pop().axes[0]
        for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
            assert [label.get_text() for label in labels] == ["5", last]


@pytest.mark.parametrize(
    ("flag", "kind", "good", "bad"),
    [
        ("--figure", plotting.figure_path, ("a.pdf", "b/c.png"), ("a", "a.foo")),
        ("--number", lib.at_least(1), ("1", "20"), ("0", "-3", "x")),
    ],
)
def test_flags_refuse_what_would_fail_later(flag, kind, good, bad, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument(flag, type=kind)
    for text in good:
        assert str(getattr(parser.parse_args([flag, text]), flag[2:])) == text
    for text in bad:
        with pytest.raises(SystemExit):
            parser.parse_args([flag, text])
        assert f"argument {flag}: " in capsys.readouterr().err
