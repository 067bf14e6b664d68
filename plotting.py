"""Figures: training history, confusion matrix, event display.

Figures are made without pyplot, so they need no display and none stays open. The suffix of a path decides the
format (.png, .pdf).
"""

import os
from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np
import seaborn
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from scipy.optimize import linear_sum_assignment

import metrics

# Okabe and Ito, https://jfly.uni-koeln.de/color: told apart by colour-blind readers. A marker a track helps
# on top of it.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
NOISE_COLOUR, UNKNOWN_COLOUR, WALL_COLOUR, FOIL_COLOUR, GRID_COLOUR = "0.5", "0.25", "0.72", "#7F3C00", "0.9"
NO_TRACK, UNKNOWN = -1, -2  # instead of a track; the event table has -1 for both

# Detector in mm (Falaise geometry; the same numbers as in datasets/geometry.py, which this room may not
# import)
CELL_MM = 44.0
N_LAYERS = 9
MIDDLE_COLUMN = 56
FIRST_WIRE_MM, TOY_FIRST_WIRE_MM = 53.0, 22.0  # the toy is that of `my_generator`, all on one side
Y_EDGE_MM = 56.5 * CELL_MM  # of the tracker
X_WALL_Y_MM, VETO_Z_MM = 2505.5, 1550.0
MAIN_WALL_GAP_MM = 8.0  # from the last cell to the main wall, which stands at 435
BAR_MM = 25.0  # how thick a wall is drawn
Y_LIMIT_MM, Z_LIMIT_MM = 2580.0, 1680.0
MARGIN_MM = 3 * CELL_MM  # left free beside the outermost hits

WRONG_AREA = 150  # of the ring around a wrong hit, in square points
MAX_IN_LEGEND = 10


def figure_path(text):
    """The path of a figure, for flags: argparse refuses other formats before a script has worked for an hour."""
    if Path(text).suffix not in (".pdf", ".png"):
        raise ArgumentTypeError(f"{text} ends neither in .pdf nor in .png")
    return Path(text)


def history(history, path):
    """Draw the metrics of a training by epoch, one panel a metric, training and validation together.

    Args:
        history: name -> (epoch,) values, a Keras `History` or the columns of a CSV log; `val_x` goes with
            `x`.
        path: the figure.
    """
    curves = {
        name: np.asarray(values, float)
        for name, values in getattr(history, "history", history).items()
        if name != "epoch"
    }
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    n_columns = int(np.ceil(np.sqrt(len(names))))
    n_rows = int(np.ceil(len(names) / n_columns))
    figure = Figure((4.8 * n_columns, 3.6 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    val_loss = curves.get("val_loss", np.array([np.nan]))
    best = None if np.isnan(val_loss).all() else int(np.nanargmin(val_loss))
    for ax, name in zip(axes, names, strict=False):
        for label, key, colour, style in (
            ("training", name, PALETTE[0], "o-"),
            ("validation", f"val_{name}", PALETTE[1], "s--"),
        ):
            if key in curves:
                ax.plot(
                    np.arange(len(curves[key])) + 1,
                    curves[key],
                    style,
                    color=colour,
                    label=label,
                    markersize=3,
                    linewidth=1.4,
                )
        if best is not None:
            ax.axvline(
                best + 1,
                color="0.6",
                linewidth=1,
                linestyle=":",
                label=f"lowest validation loss (epoch {best + 1})",
                zorder=0,
            )
        shown = np.concatenate([line.get_ydata() for line in ax.lines if line.get_marker() != "None"])
        if "loss" in name and (shown[np.isfinite(shown)] > 0).all():
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            ax.yaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_formatter("{x:g}")
        ax.set(xlabel="epoch", ylabel=name.replace("_", " "))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(color=GRID_COLOUR, linewidth=0.6)
        ax.legend(fontsize=8)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    save(figure, path)


def confusion(matrix, path, labels=(1, 2, 3, 4), title="", what="tracks"):
    """Draw a confusion matrix: each cell shows its events and their share of the true row, which is also the
    colour.

    Args:
        matrix: (n_classes, n_classes) counts, rows truth, columns predicted, as `metrics.confusion_matrix`
            gives.
        path: the figure. labels: (n_classes,) numbers the classes stand for. title: put above the accuracy.
            what: is counted.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(labels), len(labels)):
        raise ValueError(f"{path}: a matrix of shape {matrix.shape} for {len(labels)} labels")
    total = matrix.sum(1, keepdims=True)
    text = np.vectorize(lambda n, t: f"{n}\n{100 * n / t:.1f} %" if t else "0\n–")(matrix, total)
    figure = Figure((1.25 * len(labels) + 1.8, 1.05 * len(labels) + 1.6), layout="constrained")
    ax = figure.subplots()
    shown = {
        "annot": text,
        "fmt": "",
        "annot_kws": {"fontsize": 11},
        "square": True,
        "linewidths": 1,
        "linecolor": "white",
    }
    colours = {"vmin": 0, "vmax": 1, "cmap": "Blues", "cbar_kws": {"label": "share of the true row"}}
    names = [metrics.name_of(label, what) for label in labels]
    seaborn.heatmap(
        matrix / np.maximum(total, 1), ax=ax, xticklabels=names, yticklabels=names, **shown, **colours
    )
    ax.set(xlabel=f"predicted number of {what}", ylabel=f"true number of {what}")
    ax.tick_params(axis="y", rotation=0)
    n_right, n_events = np.trace(matrix), matrix.sum()
    low, high = metrics.binomial_interval(n_right, n_events)
    summary = "no events"
    if n_events:
        interval = f"68 % interval {100 * low:.2f} to {100 * high:.2f}"
        summary = f"accuracy {100 * n_right / n_events:.2f} % ({interval}), {n_events} events"
    ax.set_title(f"{title}\n{summary}".strip(), fontsize=11)
    save(figure, path)


def event_display(hits, path=None, title="", n_sides=1, axes=None, first_wire_mm=FIRST_WIRE_MM):
    """Draw the three views of one event. x points down in the top view, so it is seen from above and side 0
    lies above the foil.

    Cells have the colour of their track, a second colour as frame where two tracks share them, a grey cross
    where they belong to none, and are plain where that is unknown. Drift circles are to scale. Hits without z
    are hollow and dashed in the top view and absent from the other two.

    Args:
        hits: name -> (hit,) array with the names of the event table: side, layer, column, drift_radius_mm,
            z_mm, track, second_track. Put predicted labels in `track` to see them, or use `as_found`, which
            rings wrong hits. Track -1 is none, -2 unknown.
        path: the figure, if it is to be written. title: of the event.
        n_sides: 2 shows both tracker sides in their places, 1 lays them on top of each other, as |x|.
        axes: (top, side, front) to draw into; without them a figure is made.
        first_wire_mm: distance of layer 0 from the foil; 22 for events of the straight-line toy.
    Returns:
        the matplotlib Figure, which a notebook shows.
    """
    if axes is not None:
        _draw_event(hits, axes, title, n_sides, first_wire_mm, marker_area=16)
        figure = axes[0].figure
    else:
        top_height = 2.6 if n_sides == 1 else 3.9
        figure = Figure((11, top_height + 5.1))
        axes = [
            _axes(figure, 0.9, 4.55, 9.8, top_height),
            _axes(figure, 0.9, 1.25, 6.2, 2.5),
            _axes(figure, 8.0, 1.25, 2.7, 2.5),
        ]
        _draw_event(hits, axes, title, n_sides, first_wire_mm, marker_area=16)
        # A wide range of y makes the top view flat; the other two get the height it leaves.
        unused = top_height - 9.8 * abs(np.ptp(axes[0].get_ylim()) / np.ptp(axes[0].get_xlim()))
        for ax in axes[1:]:
            box = ax.get_position()
            ax.set_position((box.x0, box.y0, box.width, box.height + unused / figure.get_figheight()))
        _legend(figure, [hits])
    if path is not None:
        save(figure, path)
    return figure


def page_of_events(
    events, which, path, titles, n_sides=None, first_wire_mm=FIRST_WIRE_MM, found=None, finder="found"
):
    """Draw many events, one a row: a large top view, small side and front views.

    `event_display` says how to read them.

    With the tracks of a finder each event has two rows, as found and below it as true. Found tracks have the
    colours of the true ones they are made of, and hits that are wrong have a ring. Where an event's number of
    tracks is unknown and no hit has one, so are the tracks of its hits.

    Args:
        events: an event table. which: indices of the events to draw.
        path: a .pdf gets as many A3 pages as it needs, a picture one long page. titles: one for each of
            `which`.
        n_sides: as in `event_display`; by default 1 where all events are of the straight-line toy, 2
            elsewhere.
        first_wire_mm: distance of layer 0 from the foil, one for all or one for each of `which`.
        found: (hit,) int, found track of each hit of the table, below 0 where it was left out. finder: its
            name, for the titles.
    """
    first_wires = np.broadcast_to(first_wire_mm, len(which))
    n_sides = n_sides or (1 if len(first_wires) and (first_wires == TOY_FIRST_WIRE_MM).all() else 2)
    rows_per_page, row_height = (5, 2.2) if n_sides == 1 else (3, 3.6)
    rows = [(_hits_of(events, event), *row) for event, *row in zip(which, titles, first_wires, strict=True)]
    if found is not None:
        rows_per_page -= 1  # both rows of an event on the same page
        labels = [found[events.hit_offsets[event] : events.hit_offsets[event + 1]] for event in which]
        pairs = [
            ((as_found(hits, own), f"{title} · {finder}", first_wire), (hits, "truth", first_wire))
            for (hits, title, first_wire), own in zip(rows, labels, strict=True)
        ]
        rows = [row for pair in pairs for row in pair]
    if Path(path).suffix != ".pdf":
        rows_per_page = max(len(rows), 1)
    pages = (
        _page(rows[start : start + rows_per_page], rows_per_page, row_height, n_sides)
        for start in range(0, max(len(rows), 1), rows_per_page)
    )
    save(pages, path)


def _hits_of(events, event):
    """The hits of one event: name -> (hit,) array; `track` is UNKNOWN where the file does not tell."""
    hits = {
        name: values[events.hit_offsets[event] : events.hit_offsets[event + 1]]
        for name, values in events.hits.items()
    }
    if events.info["n_tracks"][event] < 0 and (hits["track"] < 0).all():
        hits["track"] = np.full_like(hits["track"], UNKNOWN)
    return hits


def title_of(events, event, path=""):
    """What an event of a table is called: its file, its run and its number, as far as they are known."""
    known = ", ".join(
        f"{name} {events.info[name][event]}" for name in ("run", "event") if events.info[name][event] >= 0
    )
    return ": ".join(part for part in (Path(path).name, known) if part)


def as_found(hits, found):
    """The hits of an event with found tracks instead of the true ones, as `event_display` takes them.

    Args:
        hits: name -> (hit,) array with the true owners. found: (hit,) int, found tracks, below 0 where a hit
            was left out.
    Returns:
        the same, but `track` is the found one, numbered as the true track it is paired with (so that most
        hits are right; what has no partner goes on counting), no hit has a `second_track`, and `wrong` (hit,)
        bool tells hits that are not on the track of an owner.
    """
    owners = np.stack([hits["track"], hits["second_track"]])
    names, found = np.unique(np.append(found, -1).clip(-1), return_inverse=True)
    found = found[:-1] - 1  # from 0 on
    n_true, n_found = owners.max(initial=-1) + 1, len(names) - 1
    common = np.array(
        [
            [((owners == true) & (found == one)).any(0).sum() for one in range(n_found)]
            for true in range(n_true)
        ]
    )
    number = np.full(n_found + 1, -1)  # the last is for hits left out
    if common.size:
        true, one = linear_sum_assignment(common, maximize=True)
        number[one[common[true, one] > 0]] = true[common[true, one] > 0]
    alone = np.flatnonzero(number[:-1] < 0)
    number[alone] = n_true + np.arange(len(alone))
    track = number[found]
    right = np.where(track < 0, owners[0] < 0, (track == owners).any(0))
    return hits | {"track": track, "second_track": np.full(len(track), -1), "wrong": ~right}


def _page(rows, n_rows, row_height, n_sides):
    """One page with a row for each (hits, title, first wire)."""
    height = n_rows * row_height + 0.6
    figure = Figure((16.5, height))
    for row, (hits, title, first_wire_mm) in enumerate(rows):
        bottom, box = height - (row + 1) * row_height + 0.45, row_height - 0.75
        axes = [
            _axes(figure, 0.75, bottom, 10.4, box),
            _axes(figure, 12.2, bottom, 2.7, box),
            _axes(figure, 15.3, bottom, 1.0, box),
        ]
        _draw_event(hits, axes, title, n_sides, first_wire_mm, marker_area=7)
    _legend(figure, [hits for hits, *_ in rows])
    return figure


def _axes(figure, left, bottom, width, height):
    """Axes at a place in inches, which unlike fractions keeps text apart on any page."""
    w, h = figure.get_size_inches()
    ax = figure.add_axes((left / w, bottom / h, width / w, height / h))
    ax.tick_params(labelsize=8, length=2.5, pad=2)
    return ax


def _draw_event(hits, axes, title, n_sides, first_wire_mm, marker_area):
    """The three views into axes (top, side, front), which fit their limits to the hits."""
    top, side, front = axes
    hits = {name: np.asarray(values) for name, values in hits.items()}
    signs = (1,) if n_sides == 1 else (-1, 1)
    first_edge = first_wire_mm - CELL_MM / 2
    wall_x = first_edge + N_LAYERS * CELL_MM + MAIN_WALL_GAP_MM
    x = np.where((hits["side"] == 0) & (n_sides == 2), -1, 1) * (first_wire_mm + CELL_MM * hits["layer"])
    y = CELL_MM * (hits["column"] - MIDDLE_COLUMN)
    x_limits = (-15 if n_sides == 1 else -wall_x - BAR_MM - 15, wall_x + BAR_MM + 15)

    zoom = _zoom(top, y, x_limits[1] - x_limits[0])
    for sign in signs:
        _grid(top, sign, first_edge)
        if n_sides == 2:
            place = (1.006, sign * wall_x / 2)
            top.text(
                *place,
                f"side {(sign + 1) // 2}",
                transform=top.get_yaxis_transform(),
                rotation=270,
                va="center",
                fontsize=8,
            )
    _foil_and_walls(top, signs, wall_x)
    _cells(top, x, y, hits)
    top.set(xlim=zoom, ylim=x_limits[::-1], xlabel="y (mm)", ylabel="x (mm)")
    top.set_yticks([t for t in (-400, -200, 0, 200, 400) if t >= x_limits[0]])
    top.set_aspect("equal", adjustable="box", anchor="NW")
    n_without = np.isnan(hits["z_mm"]).sum()
    without = f"{n_without} of {len(y)} hits without z, in the top view only" if n_without else ""
    top.set_title(" · ".join(part for part in (title, without) if part), loc="left", fontsize=10)

    zoomed = zoom[1] - zoom[0] < 2 * Y_LIMIT_MM
    if zoomed:
        side.axvspan(*zoom, color="0.93", zorder=0)
    _bars(side, (-Y_EDGE_MM, Y_EDGE_MM), (-X_WALL_Y_MM - BAR_MM, X_WALL_Y_MM))
    _points(side, y, hits, marker_area)
    side.set(xlim=(-Y_LIMIT_MM, Y_LIMIT_MM), xticks=[-2000, -1000, 0, 1000, 2000], xlabel="y (mm)")
    side.set_ylabel("z (mm)", labelpad=0)
    side.set_title("side view (grey: y of the top view)" if zoomed else "side view", fontsize=8)

    _bars(
        front,
        (0 if n_sides == 1 else -wall_x, wall_x),
        [wall_x if sign > 0 else -wall_x - BAR_MM for sign in signs],
    )
    front.axvline(0, color=FOIL_COLOUR, linewidth=2)
    _points(front, x, hits, marker_area)
    front.set(xlim=x_limits, xticks=[t for t in (-400, 0, 400) if t >= x_limits[0]], xlabel="x (mm)")
    front.set_title("front view", fontsize=8)

    z_limit = max(Z_LIMIT_MM, np.nanmax(np.abs(hits["z_mm"]), initial=0) + 50)
    for ax in (side, front):
        ax.set(ylim=(-z_limit, z_limit), yticks=[-1000, 0, 1000])
    front.set_yticklabels([])


def _grid(ax, sign, first_edge):
    """The cells of one tracker side as a faint grid with a frame."""
    x = sign * (first_edge + CELL_MM * np.arange(N_LAYERS + 1))
    y = np.arange(-Y_EDGE_MM, Y_EDGE_MM + 1, CELL_MM)
    ax.hlines(x, y[0], y[-1], color=GRID_COLOUR, linewidth=0.4, zorder=0)
    ax.vlines(y, x[0], x[-1], color=GRID_COLOUR, linewidth=0.4, zorder=0)
    ax.add_patch(
        Rectangle((y[0], x[0]), y[-1] - y[0], x[-1] - x[0], fill=False, edgecolor="0.4", linewidth=0.8)
    )


def _foil_and_walls(ax, signs, wall_x):
    """Source foil, main walls and X-walls, seen from above."""
    ax.plot([-Y_EDGE_MM, Y_EDGE_MM], [0, 0], color=FOIL_COLOUR, linewidth=2)
    for sign in signs:
        ax.add_patch(
            Rectangle((-X_WALL_Y_MM, sign * wall_x), 2 * X_WALL_Y_MM, sign * BAR_MM, color=WALL_COLOUR)
        )
        for wall in (-X_WALL_Y_MM - BAR_MM, X_WALL_Y_MM):
            ax.add_patch(Rectangle((wall, 0), BAR_MM, sign * wall_x, color=WALL_COLOUR))


def _bars(ax, across, walls):
    """Gamma vetos below and above the tracker over the range `across`, and walls at both or one of its ends,
    by their low edges.
    """
    for z in (-VETO_Z_MM - BAR_MM, VETO_Z_MM):
        ax.add_patch(Rectangle((across[0], z), across[1] - across[0], BAR_MM, color=WALL_COLOUR))
    for wall in walls:
        ax.add_patch(Rectangle((wall, -VETO_Z_MM), BAR_MM, 2 * VETO_Z_MM, color=WALL_COLOUR))


def _zoom(ax, y, depth):
    """(low, high) of y that shows all hits and fills the axes when the scales are equal, in the detector's
    limits.
    """
    if not len(y):
        return -Y_LIMIT_MM, Y_LIMIT_MM
    box = ax.get_position()
    width, height = ax.figure.get_size_inches() * (box.width, box.height)
    span = min(max(np.ptp(y) + CELL_MM + 2 * MARGIN_MM, depth * width / height), 2 * Y_LIMIT_MM)
    middle = np.clip((y.min() + y.max()) / 2, span / 2 - Y_LIMIT_MM, Y_LIMIT_MM - span / 2)
    return middle - span / 2, middle + span / 2


def _colours(track):
    """(hit,) colours of tracks; greys for none and for unknown."""
    grey = {NO_TRACK: NOISE_COLOUR, UNKNOWN: UNKNOWN_COLOUR}
    return np.array([grey[t] if t < 0 else PALETTE[t % len(PALETTE)] for t in track], dtype=object)


def _cells(ax, x, y, hits):
    """Fired cells with their drift circles, seen from above."""
    radius, track, second = hits["drift_radius_mm"], hits["track"], hits["second_track"]
    colours = _colours(track)
    squares = [
        Rectangle((b - CELL_MM / 2, a - CELL_MM / 2), CELL_MM, CELL_MM) for a, b in zip(x, y, strict=True)
    ]
    circles = [Circle((b, a), r) for a, b, r in zip(x, y, radius, strict=True)]
    for measured in (True, False):
        chosen = np.isfinite(hits["z_mm"]) == measured
        style = "solid" if measured else (0, (2.5, 1.5))
        faces = [to_rgba(colour, 0.25 if measured else 0) for colour in colours[chosen]]
        _patches(
            ax,
            squares,
            chosen,
            facecolors=faces,
            edgecolors=colours[chosen],
            linewidths=0.7,
            linestyles=[style],
            zorder=2,
        )
        known = chosen & np.isfinite(radius)
        _patches(
            ax,
            circles,
            known,
            facecolors="none",
            edgecolors=colours[known],
            linewidths=0.9,
            linestyles=[style],
            zorder=4,
        )
    shared = second >= 0
    _patches(
        ax, squares, shared, facecolors="none", edgecolors=_colours(second[shared]), linewidths=1.6, zorder=3
    )
    ax.scatter(
        y[track == NO_TRACK], x[track == NO_TRACK], 12, NOISE_COLOUR, marker="x", linewidths=0.9, zorder=4
    )
    if "wrong" in hits:
        ax.scatter(
            y[hits["wrong"]],
            x[hits["wrong"]],
            WRONG_AREA,
            "none",
            edgecolors="black",
            linewidths=1.3,
            zorder=5,
        )


def _patches(ax, patches, chosen, **style):
    ax.add_collection(PatchCollection([patches[i] for i in np.flatnonzero(chosen)], **style))


def _points(ax, across, hits, area):
    """Hits with a measured z as markers, one shape and colour a track."""
    z, track, second = hits["z_mm"], hits["track"], hits["second_track"]
    measured = np.isfinite(z)
    for t in np.unique(track[measured]):
        chosen = measured & (track == t)
        place = across[chosen], z[chosen], area
        if t == NO_TRACK:
            ax.scatter(*place, NOISE_COLOUR, marker="x", linewidths=0.8)
        elif t == UNKNOWN:
            ax.scatter(*place, UNKNOWN_COLOUR, marker="o", linewidths=0.8)
        else:
            edges = np.where(second[chosen] >= 0, _colours(second[chosen]), "none")
            ax.scatter(
                *place,
                PALETTE[t % len(PALETTE)],
                marker=MARKERS[t % len(MARKERS)],
                edgecolors=edges,
                linewidths=1,
                zorder=3,
            )


def _legend(figure, drawn):
    """What the colours and shapes of the drawn hits mean, (name -> (hit,) array) an event, below everything."""
    track, second, z = (
        np.concatenate([[], *(hits[name] for hits in drawn)]) for name in ("track", "second_track", "z_mm")
    )
    tracks = np.unique(track[track >= 0]).astype(int)
    point = lambda t: Line2D(
        [],
        [],
        color=PALETTE[t % len(PALETTE)],
        marker=MARKERS[t % len(MARKERS)],
        linestyle="",
        label=f"track {t}",
    )  # noqa: E731
    handles = [point(t) for t in tracks[:MAX_IN_LEGEND]]
    if len(tracks) > MAX_IN_LEGEND:
        handles.append(Line2D([], [], linestyle="", label=f"and {len(tracks) - MAX_IN_LEGEND} more tracks"))
    some = [
        (
            (track == NO_TRACK).any(),
            Line2D([], [], marker="x", linestyle="", color=NOISE_COLOUR, label="no track"),
        ),
        (
            (track == UNKNOWN).any(),
            Line2D([], [], marker="o", linestyle="", color=UNKNOWN_COLOUR, label="track unknown"),
        ),
        (
            (second >= 0).any(),
            Patch(
                facecolor=to_rgba(PALETTE[0], 0.25),
                edgecolor=PALETTE[1],
                linewidth=1.6,
                label="cell of two tracks",
            ),
        ),
        (
            np.isnan(z).any(),
            Patch(facecolor="none", edgecolor=PALETTE[0], linestyle="--", label="hit without z"),
        ),
    ]
    handles += [handle for there, handle in some if there]
    handles += [
        Line2D([], [], color=FOIL_COLOUR, linewidth=2, label="source foil"),
        Patch(color=WALL_COLOUR, label="calorimeter"),
    ]
    if any(np.any(hits.get("wrong", False)) for hits in drawn):
        handles.append(
            Line2D(
                [],
                [],
                color="black",
                marker="o",
                markerfacecolor="none",
                markersize=10,
                linestyle="",
                label="wrong hit",
            )
        )
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=int(figure.get_figwidth() / 1.35),
        fontsize=9,
        frameon=False,
    )


def save(figures, path):
    """Write a figure, or an iterable of them as pages of a PDF, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    figures = [figures] if isinstance(figures, Figure) else figures
    try:
        if path.suffix == ".pdf":
            with PdfPages(
                temporary, metadata={"CreationDate": None}
            ) as pages:  # without a date the same data give the same file
                for figure in figures:
                    pages.savefig(figure)
        else:
            (figure,) = figures
            figure.savefig(temporary, format=path.suffix[1:], dpi=150)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
