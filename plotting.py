"""Figures: training history, confusion matrix, event display.

Figures are made without pyplot, so they need no display and none stays open. The suffix of a path decides the
format (.png, .pdf).
"""

from argparse import ArgumentTypeError
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

import metrics
import outputs
from datasets.geometry import (
    CELL_MM,
    CELL_RADIUS_MM,
    FACE_SIZES_MM,
    FIRST_WIRE_MM,
    MAIN_WALL,
    MAIN_WALL_X_MM,
    N_COLUMNS,
    N_LAYERS,
    TOY,
    TOY_FACE_SIZE_MM,
    VETO_Z_MM,
    X_WALL_Y_MM,
    block_face_mm,
    toy_block_face_mm,
    wire_x_mm,
    wire_y_mm,
)

# Okabe and Ito, https://jfly.uni-koeln.de/color: told apart by colour-blind readers. A marker a track helps
# on top of it.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
NOISE_COLOUR = "0.5"
UNKNOWN_COLOUR = "0.25"
WALL_COLOUR = "0.78"
FIRED_COLOUR = "0.35"
FOIL_COLOUR = "#7F3C00"
GRID_COLOUR = "0.9"
ZOOM_COLOUR = "0.93"
NO_TRACK = -1  # instead of a track; the event table has -1 for both
UNKNOWN = -2

# What is drawn of the detector, mm
Y_EDGE_MM = N_COLUMNS * CELL_MM / 2  # of the tracker
LAYERS_MM = N_LAYERS * CELL_MM
MAIN_WALL_GAP_MM = MAIN_WALL_X_MM - (
    FIRST_WIRE_MM - CELL_RADIUS_MM + LAYERS_MM
)  # from the last cell to the wall
BAR_MM = 25.0  # how thick a wall is drawn
Y_LIMIT_MM = 2580.0
Z_LIMIT_MM = 1680.0
MARGIN_MM = 3 * CELL_MM  # left free beside the outermost hits

# What lies on top of what
FACE_LEVEL = 0.5
BLOCK_LEVEL = 1.5
CELL_LEVEL = 2
FRAME_LEVEL = 3
LINE_LEVEL = 3.5
POINT_LEVEL = 3.8
CIRCLE_LEVEL = 4
RING_LEVEL = 5

LINE_WIDTH = 1.2
WRONG_AREA = 150  # of the ring around a wrong hit, in square points
MAX_IN_LEGEND = 10

# A page of events, inches
PAGE_WIDTH = 16.5
LEGEND_HEIGHT = 0.6
ROWS_AND_HEIGHT = {
    1: (5, 2.2),
    2: (3, 3.6),
}  # number of sides: most rows of a page, and the height of a row


def figure_path(text):
    """The path of a figure, for flags: argparse refuses other formats before a script works for an hour."""
    if Path(text).suffix not in (".pdf", ".png"):
        raise ArgumentTypeError(f"{text} ends neither in .pdf nor in .png")
    return Path(text)


# ---- training history --------------------------------------------------------------------------------------


def history(history, path):
    """Draw the metrics of a training by epoch, one panel a metric, training and validation together.

    A training value is the mean over its epoch, during which the network learned; a validation value is that
    of the network at the end of the epoch. So they differ even where nothing is overfitted, and the legend
    says what they are.

    Args:
        history: name -> (epoch,) values, a Keras `History` or the columns of a CSV log; `val_x` goes with
            `x`.
        path: the figure.
    """
    curves = dict(getattr(history, "history", history))
    curves.pop("epoch", None)
    curves = {name: np.asarray(values, float) for name, values in curves.items()}
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    best = _best_epoch(curves)
    n_columns = int(np.ceil(np.sqrt(len(names))))
    n_rows = int(np.ceil(len(names) / n_columns))
    figure = Figure((4.8 * n_columns, 3.6 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=False):
        _curves(ax, name, curves, best)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    save(figure, path)


def _best_epoch(curves):
    """The epoch, from 1 on, of the lowest validation loss; None where there is none."""
    loss = curves.get("val_loss", np.array([np.nan]))
    if np.isnan(loss).all():
        return None
    return int(np.nanargmin(loss)) + 1


def _curves(ax, name, curves, best):
    """The panel of one metric."""
    styles = {
        name: ("training (mean of the epoch)", PALETTE[0], "o-"),
        f"val_{name}": ("validation (after the epoch)", PALETTE[1], "s--"),
    }
    shown = {key: curves[key] for key in styles if key in curves}
    for key, values in shown.items():
        label, colour, style = styles[key]
        epochs = np.arange(len(values)) + 1
        ax.plot(epochs, values, style, color=colour, label=label, markersize=3, linewidth=1.4)
    if best is not None:
        label = f"lowest validation loss (epoch {best})"
        ax.axvline(best, color="0.6", linewidth=1, linestyle=":", label=label, zorder=0)
    values = np.concatenate(list(shown.values()))
    positive = values[np.isfinite(values)] > 0
    if "loss" in name and positive.all():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="epoch", ylabel=name.replace("_", " "))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(color=GRID_COLOUR, linewidth=0.6)
    ax.legend(fontsize=8)


# ---- confusion matrix --------------------------------------------------------------------------------------


def confusion(matrix, path, labels=(1, 2, 3, 4), title="", what="tracks"):
    """Draw a confusion matrix: each cell shows its events and their share of the true row, which is also the
    colour.

    Args:
        matrix: (n_classes, n_classes) counts, rows truth, columns predicted, as `metrics.confusion_matrix`
            gives.
        path: the figure. labels: (n_classes,) numbers the classes stand for. title: put above the accuracy.
            what: is counted.
    """
    import seaborn  # slow to import

    matrix = np.asarray(matrix)
    n_classes = len(labels)
    if matrix.shape != (n_classes, n_classes):
        raise ValueError(f"{path}: a matrix of shape {matrix.shape} for {n_classes} labels")
    total = matrix.sum(1, keepdims=True)
    names = [metrics.name_of(label, what) for label in labels]
    figure = Figure((1.25 * n_classes + 1.8, 1.05 * n_classes + 1.6), layout="constrained")
    ax = figure.subplots()
    seaborn.heatmap(
        matrix / np.maximum(total, 1),
        vmin=0,
        vmax=1,
        cmap="Blues",
        cbar_kws={"label": "share of the true row"},
        annot=np.vectorize(_count_and_share)(matrix, total),
        annot_kws={"fontsize": 11},
        fmt="",
        square=True,
        linewidths=1,
        linecolor="white",
        xticklabels=names,
        yticklabels=names,
        ax=ax,
    )
    ax.set(xlabel=f"predicted number of {what}", ylabel=f"true number of {what}")
    ax.tick_params(axis="y", rotation=0)
    ax.set_title(f"{title}\n{_accuracy(matrix)}".strip(), fontsize=11)
    save(figure, path)


def _count_and_share(n, total):
    return f"{n}\n{100 * n / total:.1f} %" if total else "0\n–"


def _accuracy(matrix):
    """The accuracy of a confusion matrix in words."""
    n_events = matrix.sum()
    if not n_events:
        return "no events"
    n_right = np.trace(matrix)
    low, high = metrics.binomial_interval(n_right, n_events)
    interval = f"68 % interval {100 * low:.2f} to {100 * high:.2f}"
    return f"accuracy {100 * n_right / n_events:.2f} % ({interval}), {n_events} events"


# ---- event displays ----------------------------------------------------------------------------------------


def event_display(
    events, event=0, path=None, title="", n_sides=None, axes=None, found=None, lines=None
):
    """Draw the three views of one event. x points down in the top view, so it is seen from above and side 0
    lies above the foil.

    Cells have the colour of their track, a second colour as frame where two tracks share them, a grey cross
    where they belong to none, and are plain where that is unknown. Drift circles are to scale. Hits without z
    are hollow and dashed in the top view and absent from the other two. Calorimeter blocks that fired are
    darker than their wall, and frames in the view that looks at their face.

    Args:
        events: an event table. event: index of the one to draw.
        path: the figure, if it is to be written. title: of the event.
        n_sides: 2 shows both tracker sides in their places, 1 lays them on top of each other, as |x|; by
            default 1 for an event of the toy, 2 for others.
        axes: (top, side, front) to draw into; without them a figure is made.
        found: (hit,) int, found track of each hit of the table, below 0 where it was left out. Found tracks
            have the colours of the true ones they are made of, and wrong hits a ring, as `as_found` says.
        lines: fitted lines to draw through the circles: a dict of arrays, an entry a straight piece. `event`
            and `track`, (piece,) int: its event in the table and the label of its track there, in `found`
            where that is given. `x_mm`, `y_mm`, `z_mm`, (piece, 2): its ends; x is below 0 on side 0, z is
            NaN where no height is known.
    Returns:
        the matplotlib Figure, which a notebook shows.
    """
    n_sides = n_sides or _sides_of(events, [event])
    shown = _shown(events, event, title, n_sides, found, lines)
    if axes is None:
        figure = _figure_of(shown)
    else:
        figure = axes[0].figure
        _draw_event(shown, axes, marker_area=16)
    if path is not None:
        save(figure, path)
    return figure


def page_of_events(
    events, which, path, titles, n_sides=None, found=None, finder="found", lines=None
):
    """Draw many events, one a row: a large top view, small side and front views.

    `event_display` says how to read them. With the tracks of a finder each event has two rows, as found and
    below it as true, if that is known. Where an event's number of tracks is unknown and no hit has one, so
    are the tracks of its hits.

    Args:
        events: an event table. which: indices of the events to draw.
        path: a .pdf gets as many pages as it needs, a picture one long page; each is as high as its rows.
        titles: one for each of `which`.
        n_sides: as in `event_display`; by default 1 where all events are of the toy, 2 elsewhere.
        found, lines: as in `event_display`. finder: its name, for the titles.
    """
    n_sides = n_sides or _sides_of(events, which)
    groups = []  # rows that stay on the same page
    for event, title in zip(which, titles, strict=True):
        if found is None:
            groups.append([_shown(events, event, title, n_sides, found, lines)])
            continue
        shown = _shown(events, event, f"{title} · {finder}", n_sides, found, lines)
        groups.append([shown])
        hits = _hits_of(events, event, n_sides)
        if UNKNOWN not in hits["track"]:
            groups[-1].append(replace(shown, title="truth", hits=hits, lines=None))

    most_rows, row_height = ROWS_AND_HEIGHT[n_sides]
    per_page = most_rows // max(map(len, groups), default=1)
    if Path(path).suffix != ".pdf":
        per_page = max(len(groups), 1)
    save(_pages(groups, per_page, row_height), path)


def title_of(events, event, path=""):
    """What an event of a table is called: its file, its run and its number, as far as they are known."""
    known = []
    for name in ("run", "event"):
        number = events.info[name][event]
        if number >= 0:
            known.append(f"{name} {number}")
    parts = (Path(path).name, ", ".join(known))
    return ": ".join(part for part in parts if part)


def particles_of(events, event):
    """What stands behind the true number of tracks of an event in a title: the number of particles, where it is
    known.
    """
    n_particles = events.info["n_particles"][event]
    return f" of {metrics.number_of(n_particles, 'particles')}" if n_particles >= 0 else ""


def as_found(hits, found):
    """The hits of an event with found tracks instead of the true ones, as they are drawn.

    Args:
        hits: name -> (hit,) array with the true owners. found: (hit,) int, found tracks, below 0 where a hit
            was left out.
    Returns:
        the same, but `track` is the found one, numbered as the true track it is paired with (so that most
        hits are right; what has no partner goes on counting), no hit has a `second_track`, and `wrong` (hit,)
        bool tells hits that are not on the track of an owner.
    """
    first = hits["track"]
    second = hits["second_track"]
    found = np.maximum(found, -1)
    labels, index = np.unique(np.append(found, -1), return_inverse=True)
    found = index[:-1] - 1  # from 0 on, as -1 is the first label
    number = _numbers_of_partners(np.stack([first, second]), found, len(labels) - 1)
    track = number[found]
    on_track = (first == track) | (second == track)
    right = np.where(track < 0, first < 0, on_track)
    none = np.full(len(track), -1)
    return hits | {"track": track, "second_track": none, "wrong": ~right}


def _numbers_of_partners(owners, found, n_found):
    """By what each found track is called: the number of the true track that it shares most hits with.

    Args:
        owners: (2, hit) true tracks. found: (hit,) index of the found track, -1 for none.
    Returns:
        (n_found + 1,) int; the last, -1, is for hits that were left out.
    """
    from scipy.optimize import linear_sum_assignment

    n_true = owners.max(initial=-1) + 1
    number = np.full(n_found + 1, -1)
    true_tracks = np.arange(n_true)[:, None, None]
    on_true = (owners == true_tracks).any(1)  # (n_true, hit)
    on_found = found == np.arange(n_found)[:, None]  # (n_found, hit)
    n_common = on_true.astype(int) @ on_found.T
    true, partner = linear_sum_assignment(n_common, maximize=True)
    shared = n_common[true, partner] > 0
    number[partner[shared]] = true[shared]
    alone = np.flatnonzero(number[:-1] < 0)
    number[alone] = n_true + np.arange(len(alone))
    return number


# ---- what is drawn of an event -----------------------------------------------------------------------------


@dataclass
class _Shown:
    """One event as it is drawn, everything in the place where it is drawn.

    Attributes:
        first_edge_mm, wall_mm: where the cells begin and where the main walls stand, from the foil.
        hits: name -> (hit,) array of the event table, `x_mm` and `y_mm` of the wires, perhaps `wrong`.
        lines: name -> (piece,) array `track`, or (piece, 2) arrays `x_mm`, `y_mm`, `z_mm`; None for none.
        blocks: (block, 3, 2) ends of the calorimeter blocks that fired, along x, y and z.
        y_seen: (n,) mm, what the top view must show.
    """

    title: str
    n_sides: int
    first_edge_mm: float
    wall_mm: float
    hits: dict
    lines: dict
    blocks: np.ndarray
    y_seen: np.ndarray

    @property
    def signs(self):
        """Signs of x of the tracker halves that are drawn."""
        return (1,) if self.n_sides == 1 else (-1, 1)

    @property
    def x_limits(self):
        """(low, high) of the views that show x."""
        end = self.wall_mm + BAR_MM + 15
        return (-15 if self.n_sides == 1 else -end, end)


def _sides_of(events, which):
    """How many sides are drawn of some events: 1 where all are of the toy."""
    is_toy = events.info["geometry"][list(which)] == TOY
    return 1 if len(is_toy) and is_toy.all() else 2


def _own(offsets, event):
    """Where the entries of an event are in the flat arrays of its table."""
    return slice(offsets[event], offsets[event + 1])


def _shown(events, event, title, n_sides, found, lines):
    """An event of a table as it is drawn."""
    hits = _hits_of(events, event, n_sides)
    y_seen = hits["y_mm"]
    labels = None
    if found is not None:
        labels = np.asarray(found)[_own(events.hit_offsets, event)]
        truth_is_known = (hits["track"] != UNKNOWN).all()
        hits = as_found(hits, labels)
        hits["wrong"] &= truth_is_known
    if lines is not None:
        lines = _lines_of(lines, event, n_sides, labels, hits["track"])
        y_seen = np.append(y_seen, lines["y_mm"])
    first_edge_mm = events.first_wire_mm[event] - CELL_RADIUS_MM
    wall_mm = first_edge_mm + LAYERS_MM + MAIN_WALL_GAP_MM
    blocks = _blocks_of(events, event, n_sides, wall_mm)
    return _Shown(title, n_sides, first_edge_mm, wall_mm, hits, lines, blocks, y_seen)


def _hits_of(events, event, n_sides):
    """The hits of an event: name -> (hit,) array of the table, and `x_mm`, `y_mm` where they are drawn.

    `track` is UNKNOWN where the file does not tell it.
    """
    own = _own(events.hit_offsets, event)
    hits = {name: values[own] for name, values in events.hits.items()}
    no_number = events.info["n_tracks"][event] < 0
    no_label = hits["track"] < 0
    if no_number and no_label.all():
        hits["track"] = np.full_like(hits["track"], UNKNOWN)
    x = wire_x_mm(hits["side"], hits["layer"], events.first_wire_mm[event])
    hits["x_mm"] = np.abs(x) if n_sides == 1 else x
    hits["y_mm"] = wire_y_mm(hits["column"])
    return hits


def _lines_of(lines, event, n_sides, labels, track):
    """The lines of an event, with the numbers by which their tracks are drawn.

    Args:
        lines: of the whole table. labels: (hit,) found tracks, or None where those of the table are drawn.
            track: (hit,) numbers of the found tracks as they are drawn.
    """
    own = np.asarray(lines["event"]) == event
    lines = {name: np.asarray(values)[own] for name, values in lines.items()}
    if n_sides == 1:
        lines["x_mm"] = np.abs(lines["x_mm"])
    if labels is not None:
        number = dict(zip(labels, track, strict=True))
        numbers = [number.get(label, UNKNOWN) for label in lines["track"]]
        lines["track"] = np.array(numbers, int)
    return lines


def _blocks_of(events, event, n_sides, wall_mm):
    """(block, 3, 2) ends, along x, y and z, of the calorimeter blocks of an event that fired.

    They are as thick as the walls are drawn. A block of unknown place is left out.
    """
    own = _own(events.block_offsets, event)
    address = np.stack(
        [events.blocks[name][own] for name in ("calo_type", "side", "wall", "column", "row")]
    )
    is_known = (address[[0, 1, 3]] >= 0).all(0)
    address = address[:, is_known]
    calo_type, side, _, column, row = address
    if events.info["geometry"][event] == TOY:
        middle = toy_block_face_mm(side, column, row)
        size = np.broadcast_to(TOY_FACE_SIZE_MM, middle.shape)
    else:
        middle = block_face_mm(*address)
        size = FACE_SIZES_MM[calo_type]
    if n_sides == 1:
        middle[:, 0] = np.abs(middle[:, 0])
    outwards = np.sign(middle)
    in_main_wall = calo_type == MAIN_WALL
    middle[in_main_wall, 0] = wall_mm * outwards[in_main_wall, 0]
    low = middle - size / 2
    high = middle + size / 2
    high += np.where(size == 0, BAR_MM * outwards, 0)
    return np.stack([low, high], -1)


# ---- figures and pages -------------------------------------------------------------------------------------


def _figure_of(shown):
    """A figure of one event: the top view above, the side and front views below it."""
    width = 9.8
    room = 2.6 if shown.n_sides == 1 else 3.9
    zoom = _zoom(shown, width / room)
    top_height = width * np.ptp(shown.x_limits) / np.ptp(zoom)
    lower_height = 2.5 + room - top_height  # a wide range of y makes the top view flat
    figure = Figure((11, room + 5.0))
    top = _axes(figure, 0.9, lower_height + 2.0, width, top_height)
    side = _axes(figure, 0.9, 1.2, 6.2, lower_height)
    front = _axes(figure, 8.0, 1.2, 2.7, lower_height)
    _draw_event(shown, (top, side, front), marker_area=16)
    _legend(figure, [shown])
    return figure


def _pages(groups, per_page, row_height):
    """Pages with so many groups of rows each; an empty page where there is no group."""
    for start in range(0, max(len(groups), 1), per_page):
        part = groups[start : start + per_page]
        yield _page([row for group in part for row in group], row_height)


def _page(rows, row_height):
    """A page with a row for each event, as high as they need."""
    height = max(len(rows), 1) * row_height + LEGEND_HEIGHT
    figure = Figure((PAGE_WIDTH, height))
    for row, shown in enumerate(rows):
        bottom = height - (row + 1) * row_height + 0.45
        box_height = row_height - 0.75
        top = _axes(figure, 0.75, bottom, 10.4, box_height)
        side = _axes(figure, 12.2, bottom, 2.7, box_height)
        front = _axes(figure, 15.3, bottom, 1.0, box_height)
        _draw_event(shown, (top, side, front), marker_area=7)
    _legend(figure, rows)
    return figure


def _axes(figure, left, bottom, width, height):
    """Axes at a place in inches, which unlike fractions keeps text apart on any page."""
    page_width, page_height = figure.get_size_inches()
    place = (left / page_width, bottom / page_height, width / page_width, height / page_height)
    ax = figure.add_axes(place)
    ax.tick_params(labelsize=8, length=2.5, pad=2)
    return ax


def _legend(figure, rows):
    """What the colours and shapes of the drawn events mean, below everything."""
    handles = _meanings(rows)
    most_columns = int(figure.get_figwidth() / 1.35)
    n_rows = np.ceil(len(handles) / most_columns)
    n_columns = int(np.ceil(len(handles) / n_rows))
    figure.legend(handles=handles, loc="lower center", ncols=n_columns, fontsize=9, frameon=False)


def _meanings(rows):
    """The entries of the legend, of what there is in some drawn events."""
    track = _of_all(rows, "track")
    tracks = np.unique(track[track >= 0]).astype(int)
    entries = [_symbol(_colour(t), _marker(t), f"track {t}") for t in tracks[:MAX_IN_LEGEND]]
    n_more = len(tracks) - MAX_IN_LEGEND
    if n_more > 0:
        entries.append(_symbol("none", "", f"and {n_more} more tracks"))
    if NO_TRACK in track:
        entries.append(_symbol(NOISE_COLOUR, "x", "no track"))
    if UNKNOWN in track:
        entries.append(_symbol(UNKNOWN_COLOUR, "o", "track unknown"))
    if (_of_all(rows, "second_track") >= 0).any():
        frame = {"facecolor": to_rgba(PALETTE[0], 0.25), "edgecolor": PALETTE[1], "linewidth": 1.6}
        entries.append(Patch(**frame, label="cell of two tracks"))
    if np.isnan(_of_all(rows, "z_mm")).any():
        dashes = {"facecolor": "none", "edgecolor": PALETTE[0], "linestyle": "--"}
        entries.append(Patch(**dashes, label="hit without z"))
    if any(shown.lines and len(shown.lines["track"]) for shown in rows):
        entries.append(_line(PALETTE[0], LINE_WIDTH, "fitted line"))
    entries.append(_line(FOIL_COLOUR, 2, "source foil"))
    entries.append(Patch(color=WALL_COLOUR, label="calorimeter"))
    if any(len(shown.blocks) for shown in rows):
        entries.append(Patch(color=FIRED_COLOUR, label="fired block"))
    if _of_all(rows, "wrong").any():
        entries.append(_symbol("black", "o", "wrong hit", markerfacecolor="none", markersize=10))
    return entries


def _of_all(rows, name):
    """One array of the hits of all drawn events that have it."""
    arrays = [shown.hits[name] for shown in rows if name in shown.hits]
    return np.concatenate([np.zeros(0), *arrays])


def _line(colour, width, label):
    return Line2D([], [], color=colour, linewidth=width, label=label)


def _symbol(colour, marker, label, **style):
    return Line2D([], [], color=colour, marker=marker, linestyle="", label=label, **style)


# ---- the three views ---------------------------------------------------------------------------------------


def _draw_event(shown, axes, marker_area):
    """The three views into axes (top, side, front), which fit their limits to the event."""
    top, side, front = axes
    _draw_top(top, shown)
    _draw_side(side, shown, top.get_xlim(), marker_area)
    _draw_front(front, shown, marker_area)
    highest = np.nanmax(np.abs(shown.hits["z_mm"]), initial=0)
    z_limit = max(Z_LIMIT_MM, highest + 50)
    for ax in (side, front):
        ax.set(ylim=(-z_limit, z_limit), yticks=[-1000, 0, 1000])
    front.set_yticklabels([])


def _draw_top(ax, shown):
    """Seen from above: y to the right, x downwards."""
    box = ax.get_position()
    width, height = ax.figure.get_size_inches() * box.size
    low, high = shown.x_limits
    ax.set(xlim=_zoom(shown, width / height), ylim=(high, low), xlabel="y (mm)", ylabel="x (mm)")
    ax.set_yticks([tick for tick in (-400, -200, 0, 200, 400) if tick >= low])
    ax.set_aspect("equal", adjustable="box", anchor="NW")
    for sign in shown.signs:
        _grid(ax, sign, shown.first_edge_mm)
    if shown.n_sides == 2:
        _name_side(ax, 0, -shown.wall_mm / 2)
        _name_side(ax, 1, shown.wall_mm / 2)
    _foil_and_walls(ax, shown)
    _fired_blocks(ax, shown.blocks[:, 1], shown.blocks[:, 0])
    _cells(ax, shown.hits)
    _fitted_lines(ax, shown.lines, "y_mm", "x_mm")

    said = [shown.title] if shown.title else []
    has_no_z = np.isnan(shown.hits["z_mm"])
    if has_no_z.any():
        said.append(f"{has_no_z.sum()} of {len(has_no_z)} hits without z, in the top view only")
    ax.set_title(" · ".join(said), loc="left", fontsize=10)


def _draw_side(ax, shown, zoom, marker_area):
    """Seen from the calorimeter wall: y to the right, z upwards. zoom: (low, high) y of the top view."""
    ax.set(xlim=(-Y_LIMIT_MM, Y_LIMIT_MM), xticks=[-2000, -1000, 0, 1000, 2000], xlabel="y (mm)")
    ax.set_ylabel("z (mm)", labelpad=0)
    title = "side view"
    if np.ptp(zoom) < 2 * Y_LIMIT_MM:
        title = "side view (grey: y of the top view)"
        ax.axvspan(*zoom, color=ZOOM_COLOUR, zorder=0)
    ax.set_title(title, fontsize=8)
    _vetos(ax, -Y_EDGE_MM, Y_EDGE_MM)
    _wall(ax, -X_WALL_Y_MM, -1)
    _wall(ax, X_WALL_Y_MM, 1)
    _fired_blocks(ax, shown.blocks[:, 1], shown.blocks[:, 2])
    _fitted_lines(ax, shown.lines, "y_mm", "z_mm")
    _points(ax, shown.hits["y_mm"], shown.hits, marker_area)


def _draw_front(ax, shown, marker_area):
    """Seen along the foil: x to the right, z upwards."""
    low, high = shown.x_limits
    ax.set(xlim=(low, high), xlabel="x (mm)")
    ax.set_xticks([tick for tick in (-400, 0, 400) if tick >= low])
    ax.set_title("front view", fontsize=8)
    wall = shown.wall_mm
    _vetos(ax, min(shown.signs[0], 0) * wall, wall)
    for sign in shown.signs:
        _wall(ax, sign * wall, sign)
    _fired_blocks(ax, shown.blocks[:, 0], shown.blocks[:, 2])
    ax.axvline(0, color=FOIL_COLOUR, linewidth=2)
    _fitted_lines(ax, shown.lines, "x_mm", "z_mm")
    _points(ax, shown.hits["x_mm"], shown.hits, marker_area)


def _zoom(shown, aspect):
    """(low, high) of y that shows all of an event and fills the axes when the scales are equal, in the
    detector's limits. aspect: width of the axes over their height.
    """
    if not len(shown.y_seen):
        return -Y_LIMIT_MM, Y_LIMIT_MM
    y = np.clip(shown.y_seen, -Y_LIMIT_MM, Y_LIMIT_MM)  # a line may leave the detector
    needed = np.ptp(y) + CELL_MM + 2 * MARGIN_MM
    filling = np.ptp(shown.x_limits) * aspect
    half = min(max(needed, filling) / 2, Y_LIMIT_MM)
    farthest = Y_LIMIT_MM - half
    middle = (y.min() + y.max()) / 2
    middle = np.clip(middle, -farthest, farthest)
    return middle - half, middle + half


# ---- parts of a view ---------------------------------------------------------------------------------------


def _grid(ax, sign, first_edge_mm):
    """The cells of one tracker side as a faint grid with a frame."""
    thin = {"color": GRID_COLOUR, "linewidth": 0.4, "zorder": 0}
    frame = {"fill": False, "edgecolor": "0.4", "linewidth": 0.8}
    start = sign * first_edge_mm
    end = start + sign * LAYERS_MM
    ax.hlines(np.linspace(start, end, N_LAYERS + 1), -Y_EDGE_MM, Y_EDGE_MM, **thin)
    ax.vlines(np.linspace(-Y_EDGE_MM, Y_EDGE_MM, N_COLUMNS + 1), start, end, **thin)
    ax.add_patch(Rectangle((-Y_EDGE_MM, start), 2 * Y_EDGE_MM, end - start, **frame))


def _name_side(ax, side, x):
    """The number of a tracker side, to the right of the top view."""
    beside = ax.get_yaxis_transform()
    ax.text(1.006, x, f"side {side}", transform=beside, rotation=270, va="center", fontsize=8)


def _bar(ax, left, low, width, height):
    ax.add_patch(Rectangle((left, low), width, height, color=WALL_COLOUR, linewidth=0))


def _foil_and_walls(ax, shown):
    """Source foil, main walls and X-walls, seen from above."""
    wall = shown.wall_mm
    ax.plot([-Y_EDGE_MM, Y_EDGE_MM], [0, 0], color=FOIL_COLOUR, linewidth=2)
    for sign in shown.signs:
        _bar(ax, -X_WALL_Y_MM, sign * wall, 2 * X_WALL_Y_MM, sign * BAR_MM)
        _bar(ax, -X_WALL_Y_MM - BAR_MM, 0, BAR_MM, sign * wall)
        _bar(ax, X_WALL_Y_MM, 0, BAR_MM, sign * wall)


def _vetos(ax, left, right):
    """Gamma vetos below and above the tracker, from its edge."""
    _bar(ax, left, -VETO_Z_MM - BAR_MM, right - left, BAR_MM)
    _bar(ax, left, VETO_Z_MM, right - left, BAR_MM)


def _wall(ax, face, outwards):
    """A wall from its edge, behind its face. outwards: 1 or -1."""
    _bar(ax, face, -VETO_Z_MM, outwards * BAR_MM, 2 * VETO_Z_MM)


def _fired_blocks(ax, across, up):
    """Calorimeter blocks that fired, (block, 2) ends along both axes: dark pieces of a wall that is seen from
    its edge, frames in a wall that is seen from its face.
    """
    widths = np.diff(across)[:, 0]
    heights = np.diff(up)[:, 0]
    corners = zip(across[:, 0], up[:, 0], strict=True)
    for corner, width, height in zip(corners, widths, heights, strict=True):
        box = Rectangle(corner, width, height)
        if min(abs(width), abs(height)) > BAR_MM:
            box.set(fill=False, edgecolor=FIRED_COLOUR, linewidth=0.6, zorder=FACE_LEVEL)
        else:
            box.set(color=FIRED_COLOUR, linewidth=0, zorder=BLOCK_LEVEL)
        ax.add_patch(box)


def _fitted_lines(ax, lines, across, up):
    """Straight pieces in the colours of their tracks; `across` and `up` name the coordinates to draw."""
    if lines is None:
        return
    ends = np.stack([lines[across], lines[up]], -1)
    colours = _colours(lines["track"])
    pieces = LineCollection(ends, colors=colours, linewidths=LINE_WIDTH, zorder=LINE_LEVEL)
    ax.add_collection(pieces, autolim=False)


def _colour(track):
    """The colour of a track; greys for none and for unknown."""
    if track == NO_TRACK:
        return NOISE_COLOUR
    if track == UNKNOWN:
        return UNKNOWN_COLOUR
    return PALETTE[track % len(PALETTE)]


def _colours(track):
    """(hit,) colours of tracks."""
    return np.array([_colour(one) for one in track], dtype=object)


def _marker(track):
    return MARKERS[track % len(MARKERS)]


def _cells(ax, hits):
    """Fired cells with their drift circles, seen from above."""
    x = hits["x_mm"]
    y = hits["y_mm"]
    corners = zip(y - CELL_RADIUS_MM, x - CELL_RADIUS_MM, strict=True)
    squares = [Rectangle(corner, CELL_MM, CELL_MM) for corner in corners]
    wires = zip(y, x, strict=True)
    radius = hits["drift_radius_mm"]
    circles = [Circle(wire, r) for wire, r in zip(wires, radius, strict=True)]

    colours = _colours(hits["track"])
    measured = np.isfinite(hits["z_mm"])
    has_radius = np.isfinite(radius)
    solid = {"linestyles": ["solid"]}
    dashed = {"linestyles": [(0, (2.5, 1.5))]}
    for chosen, face, edge, outline in ((measured, 0.25, 0.4, solid), (~measured, 0, 0.7, dashed)):
        faces = [to_rgba(colour, face) for colour in colours[chosen]]
        edges = [to_rgba(colour, edge) for colour in colours[chosen]]
        cell = {"facecolors": faces, "edgecolors": edges, "linewidths": 0.7, "zorder": CELL_LEVEL}
        _patches(ax, squares, chosen, **cell, **outline)
        chosen = chosen & has_radius
        circle = {"facecolors": "none", "edgecolors": colours[chosen], "linewidths": 0.9}
        _patches(ax, circles, chosen, zorder=CIRCLE_LEVEL, **circle, **outline)

    second = hits["second_track"]
    shared = second >= 0
    frame = {"facecolors": "none", "edgecolors": _colours(second[shared]), "linewidths": 1.6}
    _patches(ax, squares, shared, zorder=FRAME_LEVEL, **frame)
    noise = hits["track"] == NO_TRACK
    ax.scatter(
        y[noise], x[noise], 12, NOISE_COLOUR, marker="x", linewidths=0.9, zorder=CIRCLE_LEVEL
    )
    if "wrong" in hits:
        wrong = hits["wrong"]
        ring = {"edgecolors": "black", "linewidths": 1.3, "zorder": RING_LEVEL}
        ax.scatter(y[wrong], x[wrong], WRONG_AREA, "none", **ring)


def _patches(ax, patches, chosen, **style):
    """Draw those of some patches where the mask `chosen` is true."""
    patches = [patches[i] for i in np.flatnonzero(chosen)]
    ax.add_collection(PatchCollection(patches, **style))


def _points(ax, across, hits, area):
    """Hits with a measured z as markers, one shape and colour a track."""
    z = hits["z_mm"]
    measured = np.isfinite(z)
    for track in np.unique(hits["track"][measured]):
        chosen = measured & (hits["track"] == track)
        if track == NO_TRACK:
            style = {"marker": "x", "linewidths": 0.8}
        elif track == UNKNOWN:
            style = {"marker": "o", "linewidths": 0.8}
        else:
            second = hits["second_track"][chosen]
            edges = np.where(second >= 0, _colours(second), "none")
            style = {
                "marker": _marker(track),
                "linewidths": 1,
                "edgecolors": edges,
                "zorder": POINT_LEVEL,
            }
        ax.scatter(across[chosen], z[chosen], area, _colour(track), **style)


# ---- files -------------------------------------------------------------------------------------------------


def save(figures, path):
    """Write a figure, or an iterable of them as pages of a PDF, whole or not at all."""
    figures = [figures] if isinstance(figures, Figure) else figures
    with outputs.whole(path) as temporary:
        if temporary.suffix != ".pdf":
            (figure,) = figures
            figure.savefig(temporary, dpi=150)
            return
        from matplotlib.backends.backend_pdf import PdfPages

        without_date = {"CreationDate": None}  # the same data give the same file
        with PdfPages(temporary, metadata=without_date) as pages:
            for figure in figures:
                pages.savefig(figure)


# ---- lines -------------------------------------------------------------------------------------------------


def sinogram(height, phi_rad, d_mm, ax, title="", lines=None, windows=()):
    """The plane of the Legendre search, (angle, offset) heights in 1/mm, into axes.

    Args:
        phi_rad: (angle,). d_mm: (offset,). lines: (phi_rad, d_mm), each (line,), marked in the colours of
            tracks. windows: list of (phi_rad, d_mm), each (point,), outlines to draw.
    """
    extent = [*np.degrees(phi_rad[[0, -1]]), *d_mm[[0, -1]]]
    visible = PowerNorm(0.4)  # single curves are faint beside a peak
    image = ax.imshow(
        height.T, origin="lower", aspect="auto", extent=extent, cmap="magma", norm=visible
    )
    ax.figure.colorbar(image, ax=ax, label="height (1/mm)", pad=0.01)
    for phi, d in windows:
        ax.plot(np.degrees(phi), d, color="white", linewidth=1)
    if lines is not None:
        for track, (phi, d) in enumerate(zip(*lines, strict=True)):
            marker = {
                "marker": "o",
                "markersize": 14,
                "markerfacecolor": "none",
                "markeredgewidth": 1.5,
            }
            ax.plot(np.degrees(phi), d, color=PALETTE[track % len(PALETTE)], **marker)
    ax.set(xlabel="phi of the normal (degrees)", ylabel="d (mm)", xlim=extent[:2], ylim=extent[2:])
    ax.set_title(title, loc="left", fontsize=10)


def track_qualities(quality, rank, ideal, path):
    """Histograms of the quality of fitted tracks: of all, and of the best, the second, ... of an event.

    Args:
        quality: (track,) in 1/mm. rank: (track,) int, 0 for the best track of its event. ideal: of a track
            whose hits all touch it.
    """
    figure = Figure((7, 4.2), layout="constrained")
    ax = figure.subplots()
    bins = np.linspace(0, 0.25, 51)
    ax.hist(quality, bins, color="0.85", label=f"all {len(quality)} tracks")
    for k, name in enumerate(("best", "second", "third", "fourth", "fifth", "sixth")):
        own = quality[rank == k]
        if len(own):
            label = f"{name} of an event, {len(own)}"
            ax.hist(own, bins, histtype="step", color=PALETTE[k], linewidth=1.4, label=label)
    ax.axvline(ideal, color="black", linestyle="--", linewidth=1, label=f"ideal, {ideal:.3f}")
    ax.set(xlabel="peak height a hit (1/mm)", ylabel="tracks", xlim=(0, 0.25))
    ax.legend(loc="upper left", fontsize=8, frameon=False)
    save(figure, path)
