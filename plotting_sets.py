"""Figures of two models that give an event several labels: the calorimeter columns in which its tracks end.

`metrics.py` has the figures of merit, "sets of labels". The functions return a matplotlib Figure each, a page;
`plotting.save` writes them. The first model is blue with circles, the second orange with squares.
"""

import warnings

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import metrics
from plotting import GRID_COLOUR, MARKERS, PALETTE

PAGE = (11.7, 8.3)  # A4, inches
COLUMN = "calorimeter column"
RIGHT_COLOUR = "0.7"
BOTH_COLOURS = {
    "both": "0.8",
    "only the first": PALETTE[0],
    "only the second": PALETTE[1],
    "neither": "0.25",
}


def _page(title, n_rows=1, n_columns=1, **options):
    """A page with a title and its panels, (row, column)."""
    figure = Figure(PAGE, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    figure.suptitle(title, fontsize=13)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False, **options)


def _grid(ax, axis="both"):
    ax.grid(color=GRID_COLOUR, linewidth=0.6, axis=axis)
    ax.set_axisbelow(True)


def _look(place):
    """Colour, marker and shift of the first and the second model."""
    return PALETTE[place], MARKERS[place], (-0.12, 0.12)[place]


def _handles(models, **style):
    handles = []
    for place, model in enumerate(models):
        colour, marker, _ = _look(place)
        handles.append(Line2D([], [], color=colour, marker=marker, label=model, **style))
    return handles


def _dots(ax, x, ratios, colour, marker, **style):
    """Shares in percent with their 68 % intervals. ratios: list of {"value", "interval"}."""
    values = np.array([[ratio["value"], *ratio["interval"]] for ratio in ratios])
    value, low, high = 100 * values.reshape(-1, 3).T
    errors = np.maximum([value - low, high - value], 0)
    ax.errorbar(x, value, errors, color=colour, marker=marker, markersize=5, elinewidth=1, **style)


def _numbers(by_tracks):
    """The numbers of tracks in the scores of one decision, without "all"."""
    return [name for name in by_tracks if name.isdigit()]


# ---- by number of tracks -----------------------------------------------------------------------------------


def exact_sets(scores, all_different):
    """Events with exactly their labels, a panel a decision.

    Args:
        scores: model -> decision -> as `metrics.label_sets`.
        all_different: number of tracks -> share of the events whose tracks have different labels.
    """
    decisions = list(next(iter(scores.values())))
    n_columns = int(np.ceil(len(decisions) / 2))
    figure, axes = _page(
        "Events with exactly the right columns, 68 % intervals", 2, n_columns, sharex=True, sharey=True
    )
    for ax, decision in zip(axes.ravel(), decisions, strict=False):
        for place, of_model in enumerate(scores.values()):
            colour, marker, shift = _look(place)
            by_tracks = of_model[decision]
            names = _numbers(by_tracks)
            x = np.array(names, int) + shift
            for kind, face in (("exact_sets", colour), ("exact_multisets", "white")):
                ratios = [by_tracks[name][kind] for name in names]
                _dots(ax, x, ratios, colour, marker, linestyle="", markerfacecolor=face)
        _levels(ax, all_different, "0.4")
        ax.set_title(decision, fontsize=10)
        ax.set(xticks=np.array(list(all_different), int))
        _grid(ax, "y")
    for ax in axes[-1]:
        ax.set_xlabel("true number of tracks")
    for ax in axes[:, 0]:
        ax.set_ylabel("events (%)")
    grey = {"color": "0.3", "marker": "o", "linestyle": ""}
    handles = _handles(scores, linestyle="")
    handles.append(Line2D([], [], label="set (which columns)", **grey))
    handles.append(
        Line2D([], [], label="multiset (how many tracks in each)", markerfacecolor="white", **grey)
    )
    handles.append(Line2D([], [], color="0.4", label="events whose tracks end in different columns"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _levels(ax, shares, colour, **style):
    """A short horizontal line at each number of tracks. shares: number -> 0 to 1."""
    x = np.array(list(shares), int)
    y = 100 * np.array(list(shares.values()))
    ax.hlines(y, x - 0.3, x + 0.3, color=colour, linewidth=1.5, zorder=1, **style)


ONE_LABEL = {
    "arg_max_of_marks": "highest score = arg max of the marks\n(Keras' accuracy, marks of 0 and 1)",
    "arg_max_of_counts": "highest score = arg max of the counts\n(Keras' accuracy, targets counts / k)",
    "arg_max_is_true": "highest score is any true column",
    "half_threshold": "single columns right with the threshold 0.5\n(binary accuracy)",
}


def one_label(scores, published):
    """What a metric that is made for one label says of several, with the published points.

    Args:
        scores: model -> as `metrics.one_label`. published: name of a curve -> number of tracks -> 0 to 1.
    """
    title = "What metrics made for one label say: arg max and binary accuracy"
    figure, axes = _page(title, 2, 2, sharex=True)
    for ax, (kind, name) in zip(axes.ravel(), ONE_LABEL.items(), strict=True):
        for place, by_tracks in enumerate(scores.values()):
            colour, marker, shift = _look(place)
            names = _numbers(by_tracks)
            ratios = [by_tracks[name][kind] for name in names]
            _dots(ax, np.array(names, int) + shift, ratios, colour, marker, linestyle="")
        if kind == "arg_max_of_marks":
            _levels(ax, {name: by_tracks[name]["perfect_arg_max"] for name in names}, "0.4")
        if kind != "half_threshold":
            for marker, points in zip("x+", published.values(), strict=True):
                x = np.array(list(points), int)
                ax.plot(x, 100 * np.array(list(points.values())), marker, color="black", markersize=8)
        ax.set_title(name, fontsize=10)
        ax.set(xticks=np.array(names, int), ylim=(None, 101.5))
        _grid(ax, "y")
    for ax in axes[-1]:
        ax.set_xlabel("true number of tracks")
    axes[0, 0].set_ylabel("events (%)")
    axes[1, 0].set_ylabel("events (%)")
    axes[1, 1].set_ylabel("decisions (%)")
    handles = _handles(scores, linestyle="")
    handles.append(Line2D([], [], color="0.4", label="perfect model, equal scores"))
    for marker, name in zip("x+", published, strict=True):
        handles.append(Line2D([], [], color="black", marker=marker, linestyle="", label=name))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def right_labels(scores, decision):
    """How many tracks of an event have their column, a panel a true number of tracks.

    Args:
        scores: model -> as `metrics.label_sets`. decision: its name.
    """
    names = _numbers(next(iter(scores.values())))
    n_columns = int(np.ceil(len(names) / 2))
    title = f"Tracks whose column was found · {decision}"
    figure, axes = _page(title, min(len(names), 2), n_columns)
    for ax, name in zip(axes.ravel(), names, strict=False):
        for place, by_tracks in enumerate(scores.values()):
            colour, _, _ = _look(place)
            n_events = np.array(by_tracks[name]["right_labels"])
            share = 100 * n_events / n_events.sum()
            x = np.arange(len(share)) + (-0.2, 0.2)[place]
            bars = ax.bar(x, share, 0.4, color=colour)
            ax.bar_label(bars, [f"{value:.2f}" for value in share], fontsize=8, padding=2)
        ax.set_title(f"{metrics.number_of(int(name))}, {n_events.sum()} events", fontsize=10)
        ax.set(yscale="log", ylim=(0.005, 250), xticks=np.arange(len(share)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set(xlabel="tracks with the right column", ylabel="events (%)")
        _grid(ax, "y")
    handles = [Patch(color=_look(place)[0], label=model) for place, model in enumerate(scores)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


# ---- label by label ----------------------------------------------------------------------------------------


def label_by_label(scores, outcomes, decision):
    """Two models compared column by column: dumbbells of recall and precision, and who found it.

    Args:
        scores: model -> as `metrics.single_labels`. outcomes: (4, label) events that have the label and were
            given it by both models, only the first, only the second, neither. decision: its name.
    """
    figure, axes = _page(f"Column by column · {decision}", 1, 3, sharey=True, width_ratios=(3, 3, 2))
    y = np.arange(outcomes.shape[1])
    for ax, kind in zip(axes[0], ("recall", "precision"), strict=False):
        ratios = [of_model[kind] for of_model in scores.values()]
        ends = 100 * np.array([[ratio["value"] for ratio in of_model] for of_model in ratios])
        bars = np.stack([ends.T, np.repeat(y[:, None], 2, 1)], -1)
        ax.add_collection(LineCollection(bars, colors=RIGHT_COLOUR, linewidths=4, zorder=1))
        for place, of_model in enumerate(ratios):
            colour, marker, _ = _look(place)
            values = 100 * np.array([[ratio["value"], *ratio["interval"]] for ratio in of_model])
            value, low, high = values.T
            errors = np.maximum([value - low, high - value], 0)
            style = {"color": colour, "marker": marker, "markersize": 5, "elinewidth": 1, "linestyle": ""}
            ax.errorbar(value, y, xerr=errors, **style)
        of = "events with the column" if kind == "recall" else "events that were given it"
        ax.set(xlabel=f"{kind}: share of {of} (%)")
        _grid(ax)

    total = outcomes.sum(0)
    share = 100 * outcomes[1:] / np.maximum(total, 1)
    start = np.zeros(len(y))
    ax = axes[0, 2]
    for part, name in zip(share, list(BOTH_COLOURS)[1:], strict=True):
        ax.barh(y, part, 0.7, start, color=BOTH_COLOURS[name])
        start = start + part
    ax.set(xlabel="events with the column that one\nor both models missed (%)")
    _grid(ax, "x")
    axes[0, 0].set(ylabel=COLUMN, yticks=y, ylim=(len(y) - 0.4, -0.6))
    handles = _handles(scores, linestyle="")
    first, second = scores
    for name, said in (
        ("only the first", f"found by {first} only"),
        ("only the second", f"found by {second} only"),
        ("neither", "found by neither"),
    ):
        handles.append(Patch(color=BOTH_COLOURS[name], label=said))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def confusions(matrices, n_events, decision):
    """Which column was taken for which, where one is missing and one too many.

    Args:
        matrices: model -> (label, label) events, as `metrics.single_confusions`. n_events: of which.
        decision: its name.
    """
    title = f"One column taken for another, events with exactly one such mistake · {decision}"
    figure, axes = _page(title, 1, 2)
    highest = max(2, *(matrix.max() for matrix in matrices.values()))
    for ax, (model, matrix) in zip(axes[0], matrices.items(), strict=True):
        shown = np.ma.masked_equal(matrix, 0)
        image = ax.imshow(shown, cmap="viridis_r", norm=LogNorm(1, highest))
        ticks = np.arange(0, len(matrix), 3)
        ax.set(xlabel=f"{COLUMN}, given and not true", ylabel=f"{COLUMN}, true and not given")
        ax.set(xticks=ticks, yticks=ticks)
        n_wrong = matrix.sum()
        place = np.arange(len(matrix))
        distance = np.abs(place[:, None] - place)
        n_near = matrix[distance == 1].sum()
        near = f", {100 * n_near / n_wrong:.1f} % with a neighbour" if n_wrong else ""
        ax.set_title(f"{model}\n{n_wrong} of {n_events} events{near}", fontsize=10)
    figure.colorbar(image, ax=axes[0], label="events", shrink=0.5, format="{x:g}")
    return figure


def reliability(diagrams, says):
    """What happened where a score was given, a panel a column.

    Args:
        diagrams: model -> list of `metrics.reliability`, one a label. says: model -> what its scores mean.
    """
    n_labels = len(next(iter(diagrams.values())))
    n_columns = 6
    n_rows = int(np.ceil((n_labels + 1) / n_columns))
    title = "Is a score what it says? Columns one by one, with the calibration error in percent"
    figure, axes = _page(title, n_rows, n_columns, sharex=True, sharey=True)
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04)
    for label, ax in enumerate(axes.ravel()[:n_labels]):
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
        errors = []
        for place, of_model in enumerate(diagrams.values()):
            colour, marker, _ = _look(place)
            found = of_model[label]
            shown = found["n"] >= 2
            style = {"color": colour, "marker": marker, "markersize": 3, "linewidth": 0.8, "elinewidth": 0.8}
            ax.errorbar(found["score"][shown], found["target"][shown], found["error"][shown], **style)
            errors.append(f"{100 * found['expected_calibration_error']:.2f}")
        ax.set_title(f"{label}: {' / '.join(errors)}", fontsize=8)
        ax.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        _grid(ax)
    for ax in axes.ravel()[n_labels:]:
        ax.set_axis_off()
    handles = _handles([f"{model}: {says[model]}" for model in diagrams], linewidth=0.8)
    handles.append(Line2D([], [], color="0.6", linewidth=0.8, label="as it says"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    figure.supxlabel("score, mean of its bin", fontsize=10)
    figure.supylabel("what was true, mean of the bin with its standard error", fontsize=10)
    return figure


# ---- sets --------------------------------------------------------------------------------------------------


def upset(members, names, title, unit, shares=None, n_most=40):
    """UpSet plot (Lex et al. 2014): which combinations of sets occur, the most frequent ones.

    Args:
        members: (event, set) bool. names: (set,). title: of the page. unit: what is counted.
        shares: name -> (event,) bool, such as what a model got right: its share of each combination is drawn
            above. n_most: combinations that are shown.
    """
    import pandas
    from marsilea import upset as sets

    members = np.asarray(members, bool)
    patterns, which, n_events = np.unique(members, axis=0, return_inverse=True, return_counts=True)
    frequent = np.argsort(-n_events, kind="stable")[:n_most]
    shown = members[np.isin(which, frequent)]
    data = sets.UpsetData(pandas.DataFrame(shown.astype(int), columns=list(names)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, about how marsilea sorts
        board = sets.Upset(
            data,
            sets_order=list(names),
            sort_subsets="-cardinality",
            radius=22,
            width=8.6,
            height=0.185 * len(names) + 0.3,
            add_intersections=False,
            add_sets_size=False,
            add_labels="left",
        )
    board.add_canvas("top", "events", size=1.5, pad=0.15)
    if shares:
        board.add_canvas("top", "shares", size=1.5, pad=0.25)
    board.set_margin((0.7, 0.5, 0.9, 0.6))
    figure = Figure()
    FigureCanvasAgg(figure)  # marsilea measures its texts while it draws
    board.render(figure)

    order = board.subset_order.to_frame().to_numpy(bool)
    is_of = (order[:, None] == patterns).all(2)
    place = is_of.argmax(1)
    x = np.arange(len(order))
    ax = board.get_ax("events")
    bars = ax.bar(x, n_events[place], 0.7, color="0.35")
    ax.bar_label(bars, fontsize=7, padding=1)
    ax.set(ylabel=unit)
    _bare(ax, len(x))
    if shares:
        ax = board.get_ax("shares")
        for number, is_right in enumerate(shares.values()):
            colour, marker, shift = _look(number)
            n_right = np.bincount(which, is_right, len(patterns)).astype(int)
            low, high = metrics.binomial_interval(n_right, n_events)
            ratios = [{"value": n_right[i] / n_events[i], "interval": (low[i], high[i])} for i in place]
            _dots(ax, x + shift, ratios, colour, marker, linestyle="")
        ax.set(ylabel="exactly right (%)")
        _bare(ax, len(x))
        _grid(ax, "y")
        ax.legend(
            handles=_handles(shares, linestyle=""),
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            frameon=False,
        )
    n_shown = n_events[place].sum()
    figure.suptitle(
        f"{title}\n{len(x)} of {len(patterns)} combinations, {n_shown} of {len(members)} events", fontsize=12
    )
    return figure


def _bare(ax, n):
    """Axes above the n columns of an UpSet plot."""
    ax.set(xlim=(-0.5, n - 0.5), xticks=[])
    ax.spines[["top", "right"]].set_visible(False)


def together(truth, wrong):
    """AggreSet (Yalcin et al. 2016): pairs of labels that occur together, and how large the sets are.

    Args:
        truth: (event, label) counts. wrong: model -> (event,) bool, its set was not exactly right.
    """
    truth = np.asarray(truth)
    n_labels = truth.shape[1]
    figure = Figure(PAGE, layout="constrained")
    figure.suptitle("Columns that occur together, and where sets go wrong", fontsize=13)
    axes = figure.subplot_mosaic([["events", *wrong], ["labels", "sizes", "sizes"]], height_ratios=(3, 2))
    pairs = _pairs(truth, np.ones(len(truth)))
    _triangle(
        axes["events"], pairs, "events with both columns", "cividis_r", norm=LogNorm(1, max(2, pairs.max()))
    )
    shares = {
        model: 100 * _pairs(truth, is_wrong) / np.maximum(pairs, 1) for model, is_wrong in wrong.items()
    }
    highest = max(1, *(np.percentile(share[pairs > 0], 98) for share in shares.values()))
    for model, share in shares.items():
        shown = np.where(pairs > 0, share, -1)
        _triangle(axes[model], shown, f"{model}: wrong (%)", "viridis_r", vmin=0, vmax=highest)

    ax = axes["labels"]
    ax.bar(np.arange(n_labels), (truth > 0).sum(0), 0.7, color="0.35")
    ax.set(xlabel=COLUMN, ylabel="events with the column", xticks=np.arange(0, n_labels, 3))
    _grid(ax, "y")
    _sizes(axes["sizes"], truth, wrong)
    return figure


def _pairs(truth, weight):
    """(label, label) sum of the weights of the events that have both; twice the same for one in the diagonal."""
    is_true = (truth > 0).astype(float)
    twice = (truth > 1).T @ weight
    pairs = (is_true * np.asarray(weight, float)[:, None]).T @ is_true
    pairs[np.diag_indices_from(pairs)] = twice
    return pairs


def _triangle(ax, values, title, colours, **scale):
    """The lower half of a symmetric matrix; what is 0 or less in `values` is no colour where it is a count."""
    upper = np.triu(np.ones_like(values, bool), 1)
    shown = np.ma.masked_array(values, upper | (values < 0))
    image = ax.imshow(shown, cmap=colours, **scale)
    ticks = np.arange(0, len(values), 3)
    ax.set(xticks=ticks, yticks=ticks, xlabel=COLUMN, ylabel=COLUMN)
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.text(
        0.98,
        0.98,
        "diagonal: two tracks\nor more in the column",
        transform=ax.transAxes,
        ha="right",
        va="top",
        fontsize=8,
    )
    ax.figure.colorbar(image, ax=ax, shrink=0.7)


def _sizes(ax, truth, wrong):
    """Events by number of tracks and of different labels, and the share that each model got wrong."""
    sizes = np.stack([truth.sum(1), (truth > 0).sum(1)], 1)
    kinds, which, n_events = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    x = np.arange(len(kinds))
    for number, (model, is_wrong) in enumerate(wrong.items()):
        colour, _, _ = _look(number)
        n_wrong = np.bincount(which, is_wrong, len(kinds))
        left = x + (-0.2, 0.2)[number]
        ax.bar(left, n_events, 0.38, color="0.88")
        bars = ax.bar(left, n_wrong, 0.38, color=colour, label=f"{model}: set not exactly right")
        ax.bar_label(bars, [f"{100 * share:.1f} %" for share in n_wrong / n_events], fontsize=7, padding=1)
    names = [f"{columns} of {metrics.number_of(tracks)}" for tracks, columns in kinds]
    ax.set(xlabel="different columns of an event, by its number of tracks", ylabel="events")
    ax.set_xticks(x, names, fontsize=8)
    ax.legend(fontsize=9, frameon=False)
    _grid(ax, "y")


def label_map(answers, truth, right, n_most=1500):
    """A plane of label probabilities, after UnTangle Map (Cao et al. 2016): labels around, events inside.

    Labels stand on a circle in the order of their likeness: two are alike where scores of the one are given to
    the other. An event lies at the mean of its labels, weighted with its scores.

    Args:
        answers: model -> (event, label) scores. truth: (event, label) counts.
        right: model -> (event,) bool. n_most: events of a panel.
    """
    numbers = np.unique(truth.sum(1))[:3]
    title = "Events between their columns: each at the mean of the columns, weighted with the scores"
    figure, axes = _page(title, len(answers), len(numbers))
    place = _on_circle(_order(sum(answers.values()), truth))
    for row, (model, scores) in zip(axes, answers.items(), strict=True):
        shares = scores / scores.sum(1, keepdims=True)
        where = shares @ place
        for ax, number in zip(row, numbers, strict=True):
            of_number = np.flatnonzero(truth.sum(1) == number)[:n_most]
            is_right = right[model][of_number]
            ax.scatter(*where[of_number[is_right]].T, 4, "0.7", linewidths=0)
            ax.scatter(*where[of_number[~is_right]].T, 9, PALETTE[1], marker="s", linewidths=0)
            for label, (x, y) in enumerate(place):
                ax.text(1.1 * x, 1.1 * y, f"{label}", ha="center", va="center", fontsize=8)
            n_wrong = np.count_nonzero(~is_right)
            said = f"{metrics.number_of(number)}: {n_wrong} of {len(of_number)} events wrong"
            ax.set_title(f"{model}, {said}", fontsize=9)
            ax.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
            ax.set_axis_off()
    handles = [
        Line2D([], [], color="0.7", marker="o", linestyle="", label="set exactly right"),
        Line2D([], [], color=PALETTE[1], marker="s", linestyle="", label="set not exactly right"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _order(scores, truth):
    """(label,) labels in the order of their likeness, along the slowest change over their graph."""
    from sklearn.manifold import spectral_embedding

    is_true = truth > 0
    given_away = (scores * is_true).T @ (scores * ~is_true)
    likeness = given_away + given_away.T + 1e-9  # one graph, without parts
    along = spectral_embedding(likeness, n_components=1, random_state=0)[:, 0]
    order = np.argsort(along)
    return order if order[0] < order[-1] else order[::-1]


def _on_circle(order):
    """(label, 2) places, clockwise from the lower left, with a gap between the first and the last."""
    angle = np.empty(len(order))
    angle[order] = np.radians(np.linspace(245, -65, len(order)))
    return np.column_stack([np.cos(angle), np.sin(angle)])
