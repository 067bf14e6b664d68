"""Count the tracks, take the leftmost away, and again: how errors of a removal network add up, step by step.

    python scripts/iterative_clustering.py runs/removal --json runs/iterative.json --figure runs/iterative.png
    python scripts/iterative_clustering.py runs/removal FILES... --json runs/iterative.json

Takes the path of a run of `clustering_one.py`, and labelled files or fresh events of a generator. The hits that
go in step k are to be those of the k-th true track from the left; a hit of two tracks may go with either. By
true number of tracks and by step it says

- right: what share of the hits that went in this step are of its track;
- whole: what share of the hits of its track went in this step;
- perfect: in what share of events all hits are right, in this step and in those before.

All is given three ways: the number of tracks as a counter says, `number given`, and `alone`, where in each step
the network sees the event without the earlier tracks by truth, so that no error is handed on; perfect is then
said of this step by itself.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import logit

import inference
import lib
import metrics
from datasets import batches, clustering_images
from finding import by_images
from my_generator import realistic

WAYS = {"counted": "--", "number given": "-", "alone": ":"}  # and the lines they have in the figure
FIGURES = ("right", "whole", "perfect")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", help="path of a run folder or .keras file, or the name of a shipped model")
    add("files", nargs="*", metavar="FILES", help="labelled files or globs (default: fresh events)")
    generators = (*realistic.RESPONSES, *realistic.MIXES)
    add(
        "--generator",
        choices=generators,
        default="ideal",
        help="of fresh events (default: %(default)s)",
    )
    add(
        "--events",
        type=lib.at_least(1),
        default=4000,
        help="how many of them (default: %(default)s)",
    )
    tracks_help = "that they have (default: 1 2 3 4)"
    add(
        "--tracks",
        type=lib.at_least(1),
        nargs="+",
        default=[1, 2, 3, 4],
        metavar="N",
        help=tracks_help,
    )
    add("--seed", type=lib.at_least(0), default=4242, help="of fresh events (default: %(default)s)")
    counter_help = "shipped counter or path of a run (default: %(default)s)"
    add("--counter", default=inference.SIDE_COUNTER, metavar="NAME", help=counter_help)
    add("--json", type=Path, metavar="FILE", help="write the figures of merit here, with intervals")
    add("--figure", type=figure_path, metavar="FILE", help="draw them, as .png or .pdf")
    inference.add_engine(parser)
    return parser.parse_args(argv)


def figure_path(text):
    """The path of a figure, as `plotting` has it, which takes a while to import."""
    import plotting

    return plotting.figure_path(text)


def main(argv=None):
    args = parse_args(argv)
    network = inference.load(args.model, args.engine)
    if inference.answers_of_images(network) != "removal":
        raise ValueError(f"{network.name} takes no track away: its answers are {network.answers}")
    settings = {"threshold": 0.5, "remove_last": False, **inference.settings_of_images(args.model)}
    events = events_of(args)
    if not len(events):
        raise ValueError(f"{', '.join(args.files)}: no events")
    say = partial(inference.say, network)
    n_given = by_images.true_number(events)
    n_counted = inference.count_tracks(events, args.counter)
    owners = clustering_images.owners_from_left(events)
    went = {
        "counted": in_steps(by_images.removal_steps(events, say, n_counted, **settings), n_given),
        "number given": in_steps(
            by_images.removal_steps(events, say, n_given, **settings), n_given
        ),
        "alone": steps_alone(events, say, owners, n_given, **settings),
    }
    scores = {}
    for way in WAYS:
        scores[way] = by_step(events, owners, went[way], n_given, handed_on=way != "alone")
    print(table(scores))
    source = (
        {"files": args.files} if args.files else {"generator": args.generator, "seed": args.seed}
    )
    content = {"model": args.model, "counter": args.counter, **source, "n_events": len(events)}
    content |= {**settings, "scores": scores}
    if args.json:
        lib.write_json(args.json, content)
    if args.figure:
        draw(scores, args.figure)
    return content


def events_of(args):
    """The events of the files, or fresh ones."""
    if args.files:
        return batches.read(clustering_images.task("removal"), args.files)
    return realistic.generator(args.generator, args.tracks)(args.events, seed=args.seed)


def in_steps(step, n_tracks):
    """(hit, step) bool, whether a hit went in a step, from the step of each hit, (hit,) int."""
    return step[:, None] == np.arange(n_tracks.max(initial=0))


def steps_alone(events, say, owners, n_tracks, threshold, remove_last):
    """The same where before each step the earlier tracks went as they should: a hit may go in several steps."""
    due = owners.max(1)
    went = np.zeros((len(due), n_tracks.max(initial=0)), bool)
    for step in range(went.shape[1]):
        is_left = (due < 0) | (due >= step)
        goes = by_images.at_hits(events.keep_hits(is_left), say)[:, 0] < logit(threshold)
        went[is_left, step] = goes
        if not remove_last:
            is_last = (n_tracks == step + 1)[events.hit_event]
            went[:, step] |= is_left & is_last
    return went


# ---- figures of merit --------------------------------------------------------------------------------------


def by_step(events, owners, went, n_tracks, handed_on=True):
    """True number of tracks -> figure -> list by step of {"value", "interval" of 68 %, "n"}.

    Args:
        owners: (hit, 2) int, numbered from the left, -1 for none. went: (hit, step) bool. n_tracks: (event,)
            int, true number. handed_on: what went in a step is missing in the next.
    """
    event = events.hit_event
    due = owners.max(1)  # a shared cell stays until its last track goes
    scores = {}
    for n in np.unique(n_tracks[n_tracks > 0]):
        of_class = n_tracks[event] == n
        figures = {name: [] for name in FIGURES}
        had_wrong = np.zeros(len(events), bool)
        for k in range(n):
            is_of_track = (owners == k).any(1)
            is_due = of_class & (due == k)
            goes = of_class & went[:, k]
            has_gone = went[:, k]
            if handed_on:
                has_gone = has_gone | went_with_owner(owners, went)
            is_wrong = (goes & ~is_of_track) | (is_due & ~has_gone)
            has_wrong = np.bincount(event, is_wrong, len(events)) > 0
            had_wrong = has_wrong | (had_wrong & handed_on)
            figures["right"].append(share(is_of_track[goes]))
            figures["whole"].append(share(has_gone[is_due]))
            figures["perfect"].append(share(~had_wrong[n_tracks == n]))
        scores[str(n)] = figures
    return scores


def went_with_owner(owners, went):
    """(hit,) bool, whether a hit went in the step of one of its tracks."""
    n_steps = went.shape[1]
    with_owner = np.zeros(len(owners), bool)
    for k in range(n_steps):
        with_owner |= went[:, k] & (owners == k).any(1)
    return with_owner


def share(right):
    """{"value", "interval" of 68 %, "n"} of (n,) bool."""
    n_right, n = np.count_nonzero(right), len(right)
    interval = [float(bound) for bound in metrics.binomial_interval(n_right, n)]
    return {"value": n_right / n if n else float("nan"), "interval": interval, "n": n}


def table(scores):
    """Markdown: a row for each way and figure, values by step for each true number of tracks, in percent."""
    classes = list(next(iter(scores.values())))
    lines = [f"| by step | {' | '.join(metrics.number_of(int(n)) for n in classes)} |"]
    lines.append(f"|{' --- |' * (len(classes) + 1)}")
    for figure in FIGURES:
        for way, of_way in scores.items():
            cells = ["/".join(percent(score) for score in of_way[n][figure]) for n in classes]
            lines.append(f"| {' | '.join([f'{figure}, {way}', *cells])} |")
    return "\n".join(lines)


def percent(score):
    """A share in percent, a dash where it is of nothing."""
    return f"{100 * score['value']:.1f}" if score["n"] else "–"


def draw(scores, path):
    """Whole tracks and perfect events by step: a colour a true number of tracks, a kind of line a way."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    import plotting

    titles = {
        "whole": "hits of the track that go in its step (%)",
        "perfect": "events right so far; alone: in this step (%)",
    }
    figure = Figure((9.5, 4.2), layout="constrained")
    panels = figure.subplots(1, len(titles), sharex=True)
    classes = list(next(iter(scores.values())))
    for ax, (name, title) in zip(panels, titles.items(), strict=True):
        for way, line in WAYS.items():
            for place, n in enumerate(classes):
                values = [100 * score["value"] for score in scores[way][n][name]]
                style = {
                    "color": plotting.PALETTE[place],
                    "marker": plotting.MARKERS[place],
                    "linestyle": line,
                }
                ax.plot(np.arange(len(values)) + 1, values, markersize=5, **style)
        ax.set(xlabel="step", title=title)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(color=plotting.GRID_COLOUR, linewidth=0.6)
    handles = [
        Line2D(
            [],
            [],
            color=plotting.PALETTE[i],
            marker=plotting.MARKERS[i],
            label=metrics.number_of(int(n)),
        )
        for i, n in enumerate(classes)
    ]
    handles += [
        Line2D([], [], color="0.3", linestyle=line, label=way) for way, line in WAYS.items()
    ]
    figure.legend(handles=handles, loc="outside right center", frameon=False)
    plotting.save(figure, path)


if __name__ == "__main__":
    lib.run(main)
