import argparse
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import lib
import plotting
from datasets.events import concatenate, make_events
from datasets.geometry import DETECTOR, TKEVENT, TOY
from datasets.readers import open_events
from my_generator import straight_lines, toyhaystack

HISTORY = {
    "loss": [1.2, 0.6, 0.4],
    "accuracy": [0.5, 0.8, 0.9],
    "val_loss": [1.1, 0.7, 0.8],
    "val_accuracy": [0.6, 0.8, 0.7],
}
MATRIX = [[8, 2, 0, 0], [1, 9, 0, 0], [0, 0, 5, 5], [0, 0, 0, 0]]
MAGIC = {".png": b"\x89PNG", ".pdf": b"%PDF"}


def event(
    column=(56, 57),
    side=(0, 1),
    layer=(0, 8),
    z_mm=(100, -200),
    radius=(5, 20),
    track=(0, 1),
    second=(-1, 0),
    geometry=DETECTOR,
    blocks=None,
):
    """A table of one event; without arguments one of two hits."""
    hits = {"column": column, "side": side, "layer": layer, "z_mm": z_mm, "drift_radius_mm": radius}
    hits |= {"track": track, "second_track": second}
    info = {"geometry": [geometry]}
    n_blocks = len(blocks["side"]) if blocks else 0
    return make_events(
        hits, [0, len(column)], info=info, blocks=blocks or {}, block_offsets=[0, n_blocks]
    )


def lines(event=(0,), track=(0,), x=((0, 400),), y=((0, 100),), z=((50, 60),)):
    """Fitted lines as figures take them; without arguments one on side 1."""
    ends = {"x_mm": np.array(x, float), "y_mm": np.array(y, float), "z_mm": np.array(z, float)}
    return {"event": np.array(event), "track": np.array(track), **ends}


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
        "event": lambda path: plotting.event_display(events, 2, path, "event 2"),
        "page": lambda path: plotting.page_of_events(events, [3, 1], path, ["event 3", "event 1"]),
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
        plotting.event_display(event(), path=tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


@pytest.mark.parametrize(("n_events", "n_rows"), [(1, [1]), (5, [5]), (8, [5, 3])])
def test_a_pdf_has_the_pages_that_the_events_need_each_as_high_as_its_rows(
    tmp_path, events, n_events, n_rows
):
    path = tmp_path / "events.pdf"
    plotting.page_of_events(events, range(n_events), path, [f"event {i}" for i in range(n_events)])
    pages = re.findall(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", path.read_bytes())
    assert len(pages) == len(n_rows)
    for (width, height), n in zip(pages, n_rows, strict=True):
        assert float(width) == 16.5 * 72
        assert float(height) == pytest.approx((2.2 * n + 0.6) * 72)


def test_a_pdf_of_no_events_has_an_empty_page(tmp_path, events):
    path = tmp_path / "events.pdf"
    plotting.page_of_events(events, [], path, [])
    assert len(re.findall(rb"/Type /Page\b", path.read_bytes())) == 1


def test_a_picture_of_many_events_is_one_long_page(saved, events):
    plotting.page_of_events(events, range(8), "events.png", ["event"] * 8)
    (page,) = saved[0]
    assert page.get_figheight() == pytest.approx(8 * 2.2 + 0.6)


def test_each_event_needs_its_title(tmp_path, events):
    with pytest.raises(ValueError):
        plotting.page_of_events(events, [0, 1], tmp_path / "events.pdf", ["event 0"])


@pytest.mark.parametrize("n_sides", [1, 2])
def test_an_empty_event_shows_the_whole_detector(n_sides):
    empty = make_events({}, [0, 0])
    figure = plotting.event_display(empty, title="nothing", n_sides=n_sides)
    top = figure.axes[0]
    assert top.get_title(loc="left") == "nothing"
    assert top.get_xlim()[0] < -56.5 * 44 and top.get_xlim()[1] > 56.5 * 44


def markers(ax):
    """(hit, 2) sorted places of the markers in a side or front view."""
    return sorted(
        tuple(place) for scatter in ax.collections for place in scatter.get_offsets().tolist()
    )


def test_wires_are_in_their_places():
    top, side, front = plotting.event_display(event()).axes
    assert markers(front) == [(-53, 100), (53 + 8 * 44, -200)]
    assert markers(side) == [(0, 100), (44, -200)]
    assert (
        top.get_ylim()[0] > 435 and top.get_ylim()[1] < -435
    )  # x points down: side 0 lies above the foil


def test_one_side_lays_both_on_top_of_each_other():
    front = plotting.event_display(event(geometry=TKEVENT), n_sides=1).axes[2]
    assert markers(front) == [(51, 100), (51 + 8 * 44, -200)]


@pytest.mark.parametrize(("geometry", "n_sides"), [(TOY, 1), (DETECTOR, 2), (TKEVENT, 2)])
def test_toy_events_have_one_side_and_others_both(geometry, n_sides):
    for figure in (
        plotting.event_display(event(geometry=geometry)),
        plotting.event_display(concatenate([event(geometry=TOY), event(geometry=geometry)]), 1),
    ):
        assert (figure.axes[0].get_ylim()[1] < -400) == (n_sides == 2)


def test_drift_circles_are_to_scale():
    top = plotting.event_display(event()).axes[0]
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
    top, side, front = plotting.event_display(event(z_mm=(np.nan, -200)), title="event 7").axes
    assert top.get_title(loc="left") == "event 7 · 1 of 2 hits without z, in the top view only"
    assert markers(side) == [(44, -200)] and len(markers(front)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"z_mm": (np.nan, np.nan)},
        {"radius": (np.nan, np.nan)},
        {"track": (-1, -1), "second": (-1, -1)},
    ],
)
def test_events_without_z_or_radius_or_labels_can_be_drawn(tmp_path, changes):
    plotting.event_display(event(**changes), path=tmp_path / "event.png")
    assert (tmp_path / "event.png").exists()


@pytest.mark.parametrize("columns", [(0, 0), (112, 112), (0, 112), (50, 60)])
def test_the_top_view_shows_every_cell(columns):
    low, high = plotting.event_display(event(column=columns)).axes[0].get_xlim()
    assert low < 44 * (columns[0] - 56) - 22 and high > 44 * (columns[1] - 56) + 22


def test_a_cell_of_two_tracks_is_framed_in_the_second_colour():
    side = plotting.event_display(event()).axes[1]
    edges = [scatter.get_edgecolors() for scatter in side.collections]
    assert edges[0][0, 3] == 0  # invisible: the first hit has one owner
    np.testing.assert_allclose(edges[1][0, :3], [0, 0x72 / 255, 0xB2 / 255], atol=0.01)


def test_an_event_can_be_drawn_into_given_axes():
    figure = Figure()
    axes = figure.subplots(1, 3)
    assert plotting.event_display(event(), axes=axes) is figure
    assert len(markers(axes[1])) == 2


def test_confusion_matrix_shows_counts_and_shares_of_the_true_row(saved):
    plotting.confusion(MATRIX, "confusion.pdf")
    ax = saved[0].axes[0]
    texts = np.reshape([text.get_text() for text in ax.texts], (4, 4))
    assert texts[0].tolist() == ["8\n80.0 %", "2\n20.0 %", "0\n0.0 %", "0\n0.0 %"]
    assert texts[3].tolist() == ["0\n–"] * 4
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "predicted number of tracks",
        "true number of tracks",
    )
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
        "training (mean of the epoch)",
        "validation (after the epoch)",
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
        shown = plotting.as_found(
            {"track": track, "second_track": second}, np.array([0, 0, owner, 1, 1])
        )
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
        events, [2, 5, 1], "events.pdf", ["a", "b", "c"], found=found, finder="mine"
    )
    pages = list(saved[0])
    titles = [[ax.get_title(loc="left") for ax in page.axes[::3]] for page in pages]
    assert titles == [["a · mine", "truth", "b · mine", "truth"], ["c · mine", "truth"]]
    assert pages[0].legends[0].get_texts()[-1].get_text() == "wrong hit"
    n_rings = [
        [len(c.get_offsets()) for c in ax.collections if c.get_zorder() == 5]
        for ax in pages[0].axes[::3]
    ]
    n_wrong = [
        int((np.arange(*events.hit_offsets[[event, event + 1]]) % 5 == 0).sum()) for event in (2, 5)
    ]
    assert n_rings == [[n_wrong[0]], [], [n_wrong[1]], []]


def test_without_found_tracks_no_hit_has_a_ring(saved, events):
    plotting.page_of_events(events, [2], "events.png", ["a"])
    (page,) = saved[0]
    assert "wrong hit" not in [text.get_text() for text in page.legends[0].get_texts()]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_legend_lists_what_is_drawn():
    always = ["source foil", "calorimeter"]
    assert legend(plotting.event_display(event(second=(-1, -1)))) == ["track 0", "track 1", *always]
    everything = ["track 0", "no track", "cell of two tracks", "hit without z", *always]
    figure = plotting.event_display(event(z_mm=(np.nan, 1), track=(0, -1), second=(1, -1)))
    assert legend(figure) == everything
    one_block = {"calo_type": [0], "side": [1], "column": [3], "row": [4]}
    figure = plotting.event_display(event(second=(-1, -1), blocks=one_block), lines=lines())
    assert legend(figure) == ["track 0", "track 1", "fitted line", *always, "fired block"]


def test_a_long_legend_stays_below_the_axes():
    columns = np.arange(15)
    many = event(
        columns, columns % 2, columns % 9, columns * np.nan, columns, columns, -1 + 0 * columns
    )
    figure = plotting.event_display(many, lines=lines())
    figure.draw_without_rendering()
    top_of_legend = figure.legends[0].get_window_extent().y1
    assert "and 5 more tracks" in legend(figure)
    assert all(ax.xaxis.label.get_window_extent().y0 > top_of_legend for ax in figure.axes)


def test_hits_of_unknown_tracks_are_no_noise(saved, events):
    """Of three events, the first has no labels, the second holds noise alone, the third has labels for its
    hits.
    """
    some = events[[0, 1, 2]]
    some.hits["track"][: some.hit_offsets[2]] = some.hits["second_track"][:] = -1
    some.info["n_tracks"][[0, 2]] = -1
    plotting.page_of_events(some, range(3), "events.pdf", ["a", "b", "c"])
    (page,) = saved[0]
    crosses = [
        sum(len(c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection))
        for ax in page.axes[::3]
    ]
    assert crosses[0] == crosses[2] == 0 < crosses[1]
    assert {"track unknown", "no track", "track 0"} < set(legend(page))
    assert (some.hits["track"][: some.hit_offsets[2]] == -1).all()


@pytest.mark.parametrize("geometries", [(TOY, TOY), (TOY, DETECTOR), (TKEVENT, DETECTOR)])
def test_each_event_of_a_page_has_its_own_geometry(saved, geometries):
    both = concatenate(event(side=(1, 1), geometry=geometry) for geometry in geometries)
    plotting.page_of_events(both, [0, 1], "events.pdf", ["a", "b"])
    (page,) = saved[0]
    n_named = 0 if geometries == (TOY, TOY) else 2
    for top in page.axes[::3]:
        assert len([text for text in top.texts if text.get_text().startswith("side")]) == n_named
    first_wires = [min(markers(front))[0] for front in page.axes[2::3]]
    assert first_wires == both.first_wire_mm.tolist()


def rings(ax):
    """(hit, 2) sorted places of the rings around wrong hits in a top view."""
    found = [
        c.get_offsets().tolist() for c in ax.collections if c.get_zorder() == plotting.RING_LEVEL
    ]
    return sorted(tuple(place) for places in found for place in places)


def test_an_event_is_drawn_with_found_tracks_of_the_whole_table():
    both = concatenate([event(), event(second=(-1, -1))])
    top, side, _ = plotting.event_display(both, 1, found=np.array([9, 9, -1, 4])).axes
    assert rings(top) == [(0, -53)]  # it was left out
    assert markers(side) == [(0, 100), (44, -200)]
    colours = [to_hex(scatter.get_facecolor()[0]).upper() for scatter in side.collections]
    assert colours[1] == plotting.PALETTE[1]


def test_found_tracks_of_an_event_without_truth_are_neither_right_nor_wrong(saved):
    unknown = event(track=(-1, -1), second=(-1, -1))
    both = concatenate([unknown, event()])
    plotting.page_of_events(both, [0, 1], "events.png", ["a", "b"], found=np.array([3, -1, 0, 1]))
    (page,) = saved[0]
    assert [ax.get_title(loc="left") for ax in page.axes[::3]] == [
        "a · found",
        "b · found",
        "truth",
    ]
    assert rings(page.axes[0]) == []
    assert legend(page)[:3] == ["track 0", "track 1", "no track"]


# Fitted lines ----------------------------------------------------------------------------------------------


def pieces(ax):
    """(colour, ends) of the fitted lines in a view, in their order."""
    drawn = [one for one in ax.collections if one.get_zorder() == plotting.LINE_LEVEL]
    assert all(isinstance(one, LineCollection) for one in drawn)
    return [
        (to_hex(colour).upper(), ends.tolist())
        for one in drawn
        for colour, ends in zip(one.get_colors(), one.get_segments(), strict=True)
    ]


def test_a_line_is_drawn_from_end_to_end_in_all_views():
    of_two = lines(
        (0, 0), (0, 1), x=((0, 400), (-53, -400)), y=((0, 100), (5, 6)), z=((50, 60), (7, 8))
    )
    top, side, front = plotting.event_display(event(), lines=of_two).axes
    blue, red = plotting.PALETTE[:2]
    assert pieces(top) == [(blue, [[0, 0], [100, 400]]), (red, [[5, -53], [6, -400]])]
    assert pieces(side) == [(blue, [[0, 50], [100, 60]]), (red, [[5, 7], [6, 8]])]
    assert pieces(front) == [(blue, [[0, 50], [400, 60]]), (red, [[-53, 7], [-400, 8]])]


def test_a_line_lies_on_top_of_the_cells_and_hides_no_circle_and_no_ring():
    order = (plotting.CELL_LEVEL, plotting.FRAME_LEVEL, plotting.LINE_LEVEL, plotting.CIRCLE_LEVEL)
    assert sorted(order) == list(order) and plotting.CIRCLE_LEVEL < plotting.RING_LEVEL
    top = plotting.event_display(
        event(second=(-1, -1)), lines=lines(), found=np.array([0, -1])
    ).axes[0]
    levels = {collection.get_zorder() for collection in top.collections}
    assert {*order, plotting.RING_LEVEL} <= levels


def test_a_line_without_a_height_is_in_the_top_view_only():
    of_two = lines(
        (0, 0), (0, 1), ((0, 400), (0, 300)), ((0, 100), (5, 6)), z=((np.nan, np.nan), (1, 2))
    )
    figure = plotting.event_display(event(), lines=of_two)
    figure.draw_without_rendering()
    assert [sum(len(ends) == 2 for _, ends in pieces(ax)) for ax in figure.axes] == [2, 1, 1]


def test_one_side_folds_the_lines_with_the_hits():
    on_side_0 = lines(x=((0, -400),))
    top, _, front = plotting.event_display(event(), n_sides=1, lines=on_side_0).axes
    assert pieces(top)[0][1] == [[0, 0], [100, 400]]
    assert pieces(front)[0][1] == [[0, 50], [400, 60]]


def test_a_line_has_the_colour_of_the_true_track_that_the_found_one_is_paired_with():
    table = concatenate([event(), event(second=(-1, -1))])
    found = np.array([0, 1, 8, 5])  # of the second event: the true tracks 0 and 1
    of_all = lines((0, 1, 1, 1), (0, 5, 8, 7), *np.zeros((3, 4, 2)))
    top = plotting.event_display(table, 1, found=found, lines=of_all).axes[0]
    grey = to_hex(plotting.UNKNOWN_COLOUR).upper()  # no hit is on track 7
    assert [colour for colour, _ in pieces(top)] == [plotting.PALETTE[1], plotting.PALETTE[0], grey]


def test_each_event_of_a_page_has_its_own_lines_where_its_tracks_are_found(saved, events):
    ends = np.zeros((3, 2))
    of_all = lines([5, 2, 5], [0, 0, 0], ends, ends, ends)
    plotting.page_of_events(events, [2, 3, 5], "events.png", ["a", "b", "c"], lines=of_all)
    (page,) = saved.pop()
    assert [len(pieces(top)) for top in page.axes[::3]] == [1, 0, 2]
    found = events.hits["track"]
    plotting.page_of_events(events, [2, 5], "events.png", ["a", "c"], found=found, lines=of_all)
    (page,) = saved.pop()
    assert [len(pieces(top)) for top in page.axes[::3]] == [1, 0, 2, 0]


def test_the_top_view_shows_where_a_line_leaves_the_foil(saved):
    far = lines(y=((-900, 0),))
    plotting.page_of_events(event(), [0], "events.png", ["a"], found=np.array([0, 1]), lines=far)
    (page,) = saved[0]
    found, truth = page.axes[::3]
    assert found.get_xlim()[0] < -900
    assert truth.get_xlim() == found.get_xlim()  # one event below the other


def test_a_line_that_leaves_the_detector_does_not_take_the_view_along():
    astray = lines(y=((0, 1e6),), z=((0, 1e6),))
    top, side, _ = plotting.event_display(event(), lines=astray).axes
    assert top.get_xlim()[1] - top.get_xlim()[0] <= 2 * plotting.Y_LIMIT_MM
    assert top.get_xlim()[0] < -22 and side.get_ylim()[1] == plotting.Z_LIMIT_MM


# Calorimeter ------------------------------------------------------------------------------------------------


def fired(ax):
    """Blocks in a view, from left to right: [left, right, low, high] of each, and if it shows its face."""
    drawn = [
        patch
        for patch in ax.patches
        if isinstance(patch, Rectangle)
        and to_rgb(patch.get_edgecolor()) == to_rgb(plotting.FIRED_COLOUR)
    ]
    drawn.sort(key=lambda patch: min(patch.get_bbox().intervalx))
    boxes = [patch.get_bbox() for patch in drawn]
    places = [[*sorted(box.intervalx), *sorted(box.intervaly)] for box in boxes]
    return places, [patch.get_zorder() == plotting.FACE_LEVEL for patch in drawn]


def test_blocks_that_fired_are_dark_pieces_of_their_walls():
    one_a_kind = {"calo_type": [0, 1, 2], "side": [0, 1, 0], "wall": [-1, 1, 1]}
    one_a_kind |= {"column": [0, 0, 8], "row": [0, 15, -1]}
    figure = plotting.event_display(event(blocks=one_a_kind))
    main = {"x": (-460, -435), "y": (-2588.5, -2332.5), "z": (-1682, -1426)}
    x_wall = {"x": (30, 230), "y": (2505.5, 2530.5), "z": (1485.75, 1694.25)}
    veto = {"x": (-295.9, -5.9), "y": (7, 315), "z": (1550, 1575)}
    expected = (
        ("y", "x", (main, veto, x_wall), [False, True, False]),
        ("y", "z", (main, veto, x_wall), [True, False, False]),
        ("x", "z", (main, veto, x_wall), [False, False, True]),
    )
    for ax, (across, up, blocks, faces) in zip(figure.axes, expected, strict=True):
        places, seen_from_their_faces = fired(ax)
        np.testing.assert_allclose(places, [[*block[across], *block[up]] for block in blocks])
        assert seen_from_their_faces == faces


def test_blocks_of_the_toy_lie_along_its_113_columns():
    corner = {"calo_type": [0], "side": [1], "column": [20], "row": [13]}
    figure = plotting.event_display(event(geometry=TOY, blocks=corner))
    x = (404, 429)
    y = (56.5 * 44 - 113 * 44 / 20, 56.5 * 44)
    z = (1550 - 3100 / 13, 1550)
    for ax, place in zip(figure.axes, ([*y, *x], [*y, *z], [*x, *z]), strict=True):
        np.testing.assert_allclose(fired(ax)[0], [place])


def test_a_track_of_the_haystack_points_to_a_block_that_fired():
    haystack = toyhaystack.generate(20, tracks=1, seed=4)
    ends_in_main_wall = np.flatnonzero(haystack.tracks["calo_type"] == 0)
    for i in ends_in_main_wall[:5]:
        top = plotting.event_display(haystack, i).axes[0]
        left, right, *_ = fired(top)[0][0]
        at_wall = haystack.tracks["foil_y_mm"][i] + 435 * haystack.tracks["slope_y"][i]
        assert left - 2 < at_wall < right + 2


def test_a_block_of_unknown_place_is_not_drawn():
    unknown = {"calo_type": [-1, 0, 0], "side": [1, -1, 1], "column": [1, 1, -1], "row": [1, 1, 1]}
    figure = plotting.event_display(event(blocks=unknown))
    assert [fired(ax)[0] for ax in figure.axes] == [[], [], []]
    assert "fired block" not in legend(figure)


@pytest.mark.real
def test_events_of_the_detector_are_drawn_with_found_tracks_and_lines(real_data, tmp_path):
    events = open_events.read(
        real_data / "brio/snemo_run-724_udd-10events.brio", drift_model="manchester"
    )
    titles = [plotting.title_of(events, i) for i in range(len(events))]
    found = events.hits["side"].astype(int)
    path = tmp_path / "events.pdf"
    plotting.page_of_events(events, range(len(events)), path, titles, found=found, lines=lines())
    assert len(re.findall(rb"/Type /Page\b", path.read_bytes())) == 4  # three events a page


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
