"""Figures of two models that give an event several labels: the calorimeter columns in which its tracks end.

`metrics.py` has the figures of merit, "sets of labels". Each function returns a matplotlib Figure, a page;
`plotting.save` writes them. The first model is blue with circles, the second orange with squares.
"""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import metrics
from plotting import GRID_COLOUR, MARKERS, PALETTE

PAGE = (11.7, 8.3)  # inches
LOW_PAGE = (11.7, 6.2)
COLUMN = "calorimeter column"
LEVEL_COLOUR = "0.4"
BAR_COLOUR = "0.35"
RIGHT_COLOUR = "0.7"
MISSED_COLOUR = "0.25"  # by both models
DOT = {"markersize": 4}
RING = {"markersize": 8, "markerfacecolor": "none"}
FEWEST = 10  # entries of what is still drawn


def _page(title, n_rows, n_columns, size=PAGE, **options):
    """A page with a title and its panels, (row, column)."""
    figure = Figure(size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    figure.suptitle(title, fontsize=12)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False, **options)


def _grid(ax, axis="both"):
    ax.grid(color=GRID_COLOUR, linewidth=0.6, axis=axis)
    ax.set_axisbelow(True)


def _look(place):
    """Colour, marker and shift of the first and the second model."""
    return PALETTE[place], MARKERS[place], (-0.12, 0.12)[place]


def _handles(models, linestyle="", **style):
    """Entries of the legend, one a model."""
    handles = []
    for place, model in enumerate(models):
        colour, marker, _ = _look(place)
        handles.append(
            Line2D([], [], linestyle=linestyle, color=colour, marker=marker, label=model, **style)
        )
    return handles


def _symbol(label, **style):
    return Line2D(
        [], [], **{"color": "0.3", "marker": "o", "linestyle": "", "label": label} | style
    )


def _below(figure, handles, n_columns):
    """The legend, below everything."""
    figure.legend(handles=handles, loc="outside lower center", ncols=n_columns, frameon=False)


def _percent(ratios):
    """Values and lengths of the 68 % errors, (n,) and (2, n), in percent. ratios: list of {"value", "interval"}."""
    values = 100 * np.array([[ratio["value"], *ratio["interval"]] for ratio in ratios])
    value, low, high = values.reshape(-1, 3).T
    return value, np.maximum(
        [value - low, high - value], 0
    )  # a limit may lie a rounding error inside


def _dots(ax, x, ratios, place, **style):
    """The shares of a model in percent with their 68 % intervals. place: 0 or 1, of the model."""
    colour, marker, shift = _look(place)
    value, errors = _percent(ratios)
    style = {
        "color": colour,
        "marker": marker,
        "linestyle": "",
        "markersize": 5,
        "elinewidth": 1,
    } | style
    ax.errorbar(np.asarray(x) + shift, value, errors, **style)


def _ratios(n_right, n_events):
    """List of {"value", "interval"} from (n,) counts, of which those of events are above 0."""
    intervals = np.stack(metrics.binomial_interval(n_right, n_events), 1)
    values = n_right / n_events
    return [
        {"value": value, "interval": ends} for value, ends in zip(values, intervals, strict=True)
    ]


def _numbers(by_tracks):
    """The numbers of tracks in scores, without "all"."""
    return [name for name in by_tracks if name.isdigit()]


def _levels(ax, shares):
    """A short horizontal line at each number of tracks. shares: number -> 0 to 1."""
    x = np.array(list(shares), int)
    y = 100 * np.array(list(shares.values()))
    ax.hlines(y, x - 0.3, x + 0.3, color=LEVEL_COLOUR, linewidth=1.5, zorder=1)


# ---- by number of tracks -----------------------------------------------------------------------------------


def exact_sets(scores, all_different):
    """Events with exactly their labels, a panel a decision.

    Args:
        scores: model -> decision -> as `metrics.label_sets`.
        all_different: number of tracks -> share of the events whose tracks have different labels.
    """
    decisions = list(next(iter(scores.values())))
    n_columns = len(decisions) // 2 + 1  # the last panel is free for the legend
    title = "Events with exactly the right columns, with 68 % intervals; k is the number of tracks"
    figure, axes = _page(title, 2, n_columns, sharey=True)
    for ax, decision in zip(axes.ravel(), decisions, strict=False):
        for place, of_model in enumerate(scores.values()):
            by_tracks = of_model[decision]
            names = _numbers(by_tracks)
            x = np.array(names, int)
            _dots(ax, x, [by_tracks[name]["exact_sets"] for name in names], place, **DOT)
            _dots(ax, x, [by_tracks[name]["exact_multisets"] for name in names], place, **RING)
        _levels(ax, all_different)
        ax.set_title(decision, fontsize=10)
        ax.set(xticks=np.array(list(all_different), int))
        _grid(ax, "y")
        ax.set_xlabel("true number of tracks")
    for ax in axes[:, 0]:
        ax.set_ylabel("events (%)")
    for ax in axes.ravel()[len(decisions) :]:
        ax.set_axis_off()
    handles = _handles(scores)
    handles.append(_symbol("set: which columns", **DOT))
    handles.append(_symbol("multiset: how many tracks\nin each", **RING))
    handles.append(
        Line2D([], [], color=LEVEL_COLOUR, label="events whose tracks\nend in different columns")
    )
    legend = axes[-1, -1].legend(handles=handles, loc="center left", frameon=False, labelspacing=1)
    legend.set_in_layout(False)
    return figure


ONE_LABEL = {  # figure of `metrics.one_label` -> title of its panel
    "arg_max_of_marks": "highest score = arg max of the marks\n(Keras' accuracy, marks of 0 and 1)",
    "arg_max_of_counts": "highest score = arg max of the counts\n(Keras' accuracy, shares)",
    "arg_max_is_true": "highest score is any true column",
    "half_of_marks": "(score > 0.5) = mark, each column\n(Keras' binary accuracy, marks of 0 and 1)",
    "half_of_shares": "(score > 0.5) = share, each column\n(Keras' binary accuracy, shares)",
}


def one_label(scores, published):
    """What metrics that are made for one label say of several, with the published points.

    Args:
        scores: model -> as `metrics.one_label`. published: name of a curve -> number of tracks -> 0 to 1.
    """
    title = "What metrics made for one label say, with 68 % intervals; shares are counts / number of tracks"
    figure, axes = _page(title, 2, 3)
    markers = dict(zip(published, "x+", strict=True))
    for ax, (kind, name) in zip(axes.ravel(), ONE_LABEL.items(), strict=False):
        for place, by_tracks in enumerate(scores.values()):
            names = _numbers(by_tracks)
            x = np.array(names, int)
            _dots(ax, x, [by_tracks[number][kind] for number in names], place)
        perfect = f"perfect_{kind}"
        if perfect in by_tracks["all"]:
            _levels(ax, {number: by_tracks[number][perfect] for number in names})
        for curve, points in published.items():
            share = 100 * np.array(list(points.values()))
            ax.plot(np.array(list(points), int), share, markers[curve], color="black", markersize=8)
        ax.set_title(name, fontsize=10)
        ax.set(xticks=x, xlabel="true number of tracks")
        ax.set_ylabel("columns of all events (%)" if kind.startswith("half") else "events (%)")
        _grid(ax, "y")
    handles = _handles(scores)
    handles.append(Line2D([], [], color=LEVEL_COLOUR, label="a perfect model"))
    for curve, marker in markers.items():
        handles.append(_symbol(curve, marker=marker, color="black", markersize=8))
    axes[-1, -1].set_axis_off()
    legend = axes[-1, -1].legend(handles=handles, loc="center left", frameon=False, labelspacing=1)
    legend.set_in_layout(False)
    return figure


def missed_labels(scores, decision):
    """How many labels of an event are missing, a panel a true number of tracks.

    Args:
        scores: model -> as `metrics.label_sets`. decision: what the models were read by.
    """
    names = _numbers(next(iter(scores.values())))
    n_rows = min(len(names), 2)
    title = f"Columns of an event that were missed\n{decision}"
    figure, axes = _page(title, n_rows, int(np.ceil(len(names) / n_rows)))
    for ax in axes.ravel()[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.ravel(), names, strict=False):
        for place, by_tracks in enumerate(scores.values()):
            colour, _, _ = _look(place)
            n_events = np.array(by_tracks[name]["missed_labels"])
            share = 100 * n_events / n_events.sum()
            x = np.arange(len(share))
            bars = ax.bar(x + (-0.2, 0.2)[place], share, 0.4, color=colour)
            ax.bar_label(bars, [f"{value:.2f}" for value in share], fontsize=8, padding=2)
        ax.set_title(f"{metrics.number_of(int(name))}, {n_events.sum()} events", fontsize=10)
        ax.set(yscale="log", ylim=(0.005, 300), xticks=x)
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set(xlabel="missed columns", ylabel="events (%)")
        _grid(ax, "y")
    _below(
        figure, [Patch(color=_look(place)[0], label=model) for place, model in enumerate(scores)], 2
    )
    return figure


# ---- label by label ----------------------------------------------------------------------------------------


def label_by_label(scores, outcomes, decision):
    """Two models compared label by label, after ComDia+ (Park et al. 2019): recall, precision, who found it.

    Args:
        scores: model -> as `metrics.single_labels`. outcomes: (4, label) events that have the label and were
            given it by both models, by the first only, by the second only, by neither. decision: what the models
            were read by.
    """
    title = f"Column by column, with 68 % intervals\n{decision}"
    figure, axes = _page(title, 1, 3, sharey=True, width_ratios=(3, 3, 2))
    recall, precision, missed = axes[0]
    _dumbbells(recall, [of_model["recall"] for of_model in scores.values()])
    _dumbbells(precision, [of_model["precision"] for of_model in scores.values()])
    recall.set(xlabel="recall: of the events with the column (%)", ylabel=COLUMN)
    precision.set(xlabel="precision: of the events that were given it (%)")

    y = np.arange(outcomes.shape[1])
    share = 100 * outcomes[1:] / np.maximum(outcomes.sum(0), 1)
    start = np.zeros(len(y))
    colours = (PALETTE[0], PALETTE[1], MISSED_COLOUR)
    for part, colour in zip(share, colours, strict=True):
        missed.barh(y, part, 0.7, start, color=colour)
        start += part
    missed.set(xlabel="events with the column that\none model or both missed (%)")
    missed.set(yticks=y, ylim=(len(y) - 0.4, -0.6))
    _grid(missed, "x")

    first, second = scores
    said = (f"found by {first} only", f"found by {second} only", "found by neither")
    patches = [
        Patch(color=colour, label=label) for colour, label in zip(colours, said, strict=True)
    ]
    _below(figure, _handles(scores) + patches, 3)
    return figure


def _dumbbells(ax, ratios):
    """Two models' shares, a row a label. ratios: for each model a list of {"value", "interval"}."""
    y = np.arange(len(ratios[0]))
    values = []
    for place, of_model in enumerate(ratios):
        colour, marker, _ = _look(place)
        value, errors = _percent(of_model)
        values.append(value)
        style = {
            "color": colour,
            "marker": marker,
            "linestyle": "",
            "markersize": 5,
            "elinewidth": 1,
        }
        ax.errorbar(value, y, xerr=errors, **style)
    bars = np.stack([np.transpose(values), np.stack([y, y], 1)], -1)
    ax.add_collection(LineCollection(bars, colors=RIGHT_COLOUR, linewidths=4, zorder=1))
    _grid(ax)


def confusions(matrices, n_events, decision):
    """Which label was taken for which, where one is missing and one too many.

    Args:
        matrices: model -> (label, label) events, as `metrics.single_confusions`. n_events: of which.
        decision: what the models were read by.
    """
    title = f"One column taken for another, events with exactly one such mistake\n{decision}"
    figure, axes = _page(title, 1, 2, LOW_PAGE)
    highest = max(2, *(matrix.max() for matrix in matrices.values()))
    for ax, (model, matrix) in zip(axes[0], matrices.items(), strict=True):
        image = ax.imshow(np.ma.masked_equal(matrix, 0), cmap="viridis_r", norm=LogNorm(1, highest))
        ticks = np.arange(0, len(matrix), 3)
        ax.set(xlabel=f"{COLUMN}, given and not true", ylabel=f"{COLUMN}, true and not given")
        ax.set(xticks=ticks, yticks=ticks)
        n_wrong = matrix.sum()
        n_near = np.diagonal(matrix, 1).sum() + np.diagonal(matrix, -1).sum()
        near = f", {100 * n_near / n_wrong:.1f} % with a neighbour" if n_wrong else ""
        ax.set_title(f"{model}\n{n_wrong} of {n_events} events{near}", fontsize=10)
    figure.colorbar(image, ax=axes[0], label="events", shrink=0.8, format="{x:g}")
    return figure


def reliability(diagrams, says):
    """What happened where a score was given, a panel a label.

    Args:
        diagrams: model -> list of `metrics.reliability`, one a label. says: model -> what its scores mean.
    """
    n_labels = len(next(iter(diagrams.values())))
    n_columns = 6
    n_rows = n_labels // n_columns + 1  # the last panels are free for the legend
    title = "Is a score what it says? Columns one by one, with calibration errors in percent"
    figure, axes = _page(title, n_rows, n_columns, sharex=True, sharey=True)
    axes = axes.ravel()
    for label, ax in enumerate(axes[:n_labels]):
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
        errors = []
        for place, of_model in enumerate(diagrams.values()):
            colour, marker, _ = _look(place)
            found = {name: np.asarray(values) for name, values in of_model[label].items()}
            shown = found["n"] >= FEWEST
            style = {"color": colour, "marker": marker, "markersize": 3, "linewidth": 0.8}
            ax.errorbar(
                found["score"][shown], found["target"][shown], found["error"][shown], **style
            )
            errors.append(f"{100 * found['expected_calibration_error']:.2f}")
        ax.set_title(f"{label}: {' / '.join(errors)}", fontsize=8)
        ax.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        _grid(ax)
    for ax in axes[n_labels:]:
        ax.set_axis_off()
    names = [f"{model}:\n{says[model]}" for model in diagrams]
    handles = _handles(names, "-", linewidth=0.8)
    handles.append(Line2D([], [], color="0.6", linewidth=0.8, label="as the score says"))
    legend = axes[n_labels].legend(handles=handles, loc="upper left", frameon=False, fontsize=9)
    legend.set_in_layout(False)
    figure.supxlabel("score, mean of its bin", fontsize=10)
    figure.supylabel("what was true, mean of the bin with its standard error", fontsize=10)
    return figure


# ---- sets --------------------------------------------------------------------------------------------------


def upset(members, names, title, shares=None, n_most=40):
    """UpSet plot (Lex et al. 2014): which combinations of sets occur, the most frequent ones.

    Args:
        members: (event, set) bool. names: (set,). title: of the page.
        shares: name -> (event,) bool, such as what each of two models got right: its share of a combination
            is drawn above. n_most: combinations that are shown.
    """
    import pandas
    from marsilea import upset as sets

    members = np.asarray(members, bool)
    patterns, which, n_events = np.unique(members, axis=0, return_inverse=True, return_counts=True)
    frequent = np.argsort(-n_events, kind="stable")[:n_most]
    shown = members[np.isin(which, frequent)]
    data = sets.UpsetData(pandas.DataFrame(shown.astype(int), columns=list(names)))
    board = sets.Upset(
        data,
        sets_order=list(names),
        sort_subsets="-cardinality",
        radius=22,
        width=0.22 * len(frequent) + 0.4,
        height=0.185 * len(names) + 0.3,
        add_intersections=False,
        add_sets_size=False,
        add_labels="left",
    )
    board.add_canvas("top", "events", size=1.5, pad=0.15)
    if shares:
        board.add_canvas("top", "shares", size=1.5, pad=0.25)
    board.set_margin((1.1 if shares else 0.8, 0.4, 0.3, 0.4))  # top, right, bottom, left, inches
    figure = Figure()
    FigureCanvasAgg(figure)  # marsilea measures its texts while it draws
    board.render(figure)

    drawn = board.subset_order.to_frame().to_numpy(bool)
    pattern = (drawn[:, None] == patterns).all(2).argmax(1)  # of each column of dots
    n_drawn = n_events[pattern]
    ax = board.get_ax("events")
    bars = ax.bar(np.arange(len(drawn)), n_drawn, 0.7, color=BAR_COLOUR)
    ax.bar_label(bars, fontsize=6, padding=1)
    ax.set(ylabel="events")
    ax.margins(y=0.15)
    _bare(ax, len(drawn))
    if shares:
        ax = board.get_ax("shares")
        for place, is_right in enumerate(shares.values()):
            n_right = np.bincount(which, is_right, len(patterns)).astype(int)
            _dots(ax, np.arange(len(drawn)), _ratios(n_right[pattern], n_drawn), place)
        ax.set(ylabel="exactly right (%)")
        _bare(ax, len(drawn))
        _grid(ax, "y")
        style = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2, "frameon": False}
        ax.legend(handles=_handles(shares), **style)
    counted = (
        f"{len(drawn)} of {len(patterns)} combinations, {n_drawn.sum()} of {len(members)} events"
    )
    figure.suptitle(f"{title}\n{counted}", fontsize=12)
    return figure


def _bare(ax, n):
    """Axes above the n columns of an UpSet plot."""
    ax.set(xlim=(-0.5, n - 0.5), xticks=[])
    ax.spines[["top", "right"]].set_visible(False)


def together(truth, wrong, decision):
    """AggreSet (Yalcin et al. 2016): pairs of labels that occur together, and how large the sets are.

    Args:
        truth: (event, label) counts. wrong: model -> (event,) bool, its set was not exactly right.
        decision: what the models were read by.
    """
    figure = Figure((11.7, 7.6), layout="constrained")
    figure.suptitle(
        f"Columns that occur together, and where sets go wrong\n{decision}", fontsize=12
    )
    rows = [["pairs", *wrong], ["labels", "sizes", "sizes"]]
    axes = figure.subplot_mosaic(rows, height_ratios=(5, 4))
    n_events = _of_pairs(truth, np.ones(len(truth)))
    counted = np.ma.masked_equal(n_events, 0)
    title = "events with both columns\n(diagonal: with two tracks in it)"
    _triangle(axes["pairs"], counted, title, "cividis_r", vmin=0)
    shares = {
        model: 100 * _of_pairs(truth, is_wrong) / counted for model, is_wrong in wrong.items()
    }
    highest = max(1, *(np.percentile(share.compressed(), 98) for share in shares.values()))
    for model, share in shares.items():
        title = f"{model}:\nwrong sets, of these events (%)"
        _triangle(axes[model], share, title, "viridis_r", vmin=0, vmax=highest)

    n_events = (truth > 0).sum(0)
    ax = axes["labels"]
    ax.bar(np.arange(len(n_events)), n_events, 0.7, color=BAR_COLOUR)
    ax.set(xlabel=COLUMN, ylabel="events with the column", xticks=np.arange(0, len(n_events), 3))
    _grid(ax, "y")
    _sizes(axes["sizes"], truth, wrong)
    return figure


def _of_pairs(truth, weight):
    """(label, label) weights of the events that have both labels, in the diagonal those that have it twice."""
    weight = np.asarray(weight, float)
    is_true = (truth > 0).astype(float)
    pairs = is_true.T @ (is_true * weight[:, None])
    np.fill_diagonal(pairs, weight @ (truth > 1))
    return pairs


def _triangle(ax, values, title, colours, **scale):
    """The lower half of a symmetric masked matrix."""
    upper = np.triu(np.ones(values.shape, bool), 1)
    image = ax.imshow(np.ma.masked_where(upper, values), cmap=colours, **scale)
    ticks = np.arange(0, len(values), 3)
    ax.set(xticks=ticks, yticks=ticks, xlabel=COLUMN, ylabel=COLUMN)
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, format="{x:g}")


def _sizes(ax, truth, wrong):
    """The share that each model got wrong, by number of tracks and of different labels."""
    sizes = np.stack([truth.sum(1), (truth > 0).sum(1)], 1)
    kinds, which, n_events = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    shown = np.flatnonzero(n_events >= FEWEST)
    x = np.arange(len(shown))
    for place, (model, is_wrong) in enumerate(wrong.items()):
        n_wrong = np.bincount(which, is_wrong, len(kinds)).astype(int)
        _dots(ax, x, _ratios(n_wrong[shown], n_events[shown]), place, label=model)
    names = []
    for (n_tracks, n_labels), n in zip(kinds[shown], n_events[shown], strict=True):
        names.append(f"{n_labels} of\n{metrics.number_of(n_tracks)}\n({n})")
    ax.set_xticks(x, names, fontsize=8)
    ax.set(xlabel="different columns, of the tracks of an event (events)", ylabel="wrong sets (%)")
    ax.legend(frameon=False, loc="upper left")
    _grid(ax, "y")


def label_map(scores, truth, right, decision, n_most=1500):
    """A plane of label probabilities, after UnTangle Map (Cao et al. 2016): labels around, events inside.

    Labels stand on a circle in the order of their likeness: two are alike where the one gets the score that
    the other lacks. An event lies at the mean of the labels, weighted with its scores: one of one track on
    its label, one of two tracks half-way between them. Events of more tracks would all lie in the middle.

    Args:
        scores: model -> (event, label). truth: (event, label) counts. right: model -> (event,) bool.
        decision: what the models were read by. n_most: events of a panel.
    """
    n_tracks = truth.sum(1)
    numbers = np.unique(n_tracks)[:2]
    title = f"Events at the mean of the columns, weighted with their scores\n{decision}"
    figure, axes = _page(title, len(numbers), len(scores), (11.7, 5.6 * len(numbers) + 0.8))
    few = (
        n_tracks == n_tracks.min()
    )  # with more tracks all labels of an event compete for its shares
    place = _on_circle(
        _order(sum(_likeness(values[few], truth[few]) for values in scores.values()))
    )
    for column, (model, values) in zip(axes.T, scores.items(), strict=True):
        where = metrics.shares_of(values) @ place
        for ax, number in zip(column, numbers, strict=True):
            which = np.flatnonzero(n_tracks == number)[:n_most]
            is_right = right[model][which]
            ax.scatter(*where[which[is_right]].T, 5, RIGHT_COLOUR, linewidths=0)
            ax.scatter(*where[which[~is_right]].T, 12, PALETTE[1], marker="s", linewidths=0)
            for label, (x, y) in enumerate(place):
                ax.text(1.08 * x, 1.08 * y, f"{label}", ha="center", va="center", fontsize=9)
            said = f"{np.count_nonzero(~is_right)} of {len(which)} events wrong"
            ax.set_title(f"{model}, {metrics.number_of(number)}: {said}", fontsize=10)
            ax.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal")
            ax.set_axis_off()
    handles = [
        _symbol("set exactly right", color=RIGHT_COLOUR),
        _symbol("set not exactly right", color=PALETTE[1], marker="s"),
    ]
    _below(figure, handles, 2)
    return figure


def _likeness(scores, truth):
    """(label, label) how much one label gets of the score that the other lacks, 0 or more."""
    residual = metrics.shares_of(scores) - metrics.shares_of(truth)
    return np.maximum(-residual.T @ residual, 0)


def _order(likeness):
    """(label,) labels in the order along which likeness changes most slowly."""
    from sklearn.manifold import spectral_embedding

    connected = likeness + 1e-6 * max(likeness.max(), 1)  # one graph, without parts
    along = spectral_embedding(connected, n_components=1, random_state=0)[:, 0]
    order = np.argsort(along)
    return order if order[0] < order[-1] else order[::-1]


def _on_circle(order):
    """(label, 2) places, clockwise from the lower left, with a gap between the first and the last."""
    angle = np.empty(len(order))
    angle[order] = np.radians(np.linspace(250, -70, len(order)))
    return np.column_stack([np.cos(angle), np.sin(angle)])
