"""Measure a network that clusters images on labelled files, and show in the terminal what it does.

    python scripts/testing_clustering.py runs/removal FILES... --json runs/removal.json
    python scripts/testing_clustering.py runs/removal FILES... --text 4 --errors

Takes the path of a run of `clustering_one.py` or `autoencoder.py`; what the network was asked, and the
threshold chosen on its validation events, stand in its card. Prints and writes as JSON, by true number of
tracks, what of the hits to keep it lost and what of those to remove it left, beside the trivial answers; and
the figures of merit of the tracks that follow, the number of tracks given.

`--errors` says where the wrong hits of a network are that takes the leftmost track away. The wrong track is
chosen where less than half of the leftmost one goes and half or more of another one; the two are close where
their lowest columns are at most CLOSE apart. Of the other wrong hits some are in cells of both tracks, which
are to stay, are noise, or touch a hit of which the opposite is to be said, as at crossings. What is left may
still follow from a crossing that the event has.

In the text a line is a column of the tracker, and its nine characters are the layers, from the foil on. Two
events stand side by side, each with the truth and with what the network made of it: `#` stays, `o` goes; wrong
are `!`, which should go, and `?`, which should stay. Of networks that find tracks, each has a number, in the
truth from left to right, and `-` is noise.
"""

import argparse
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.special import logit

import inference
import lib
import metrics
from datasets import batches, clustering_images
from datasets.geometry import N_COLUMNS, N_LAYERS
from finding import by_images

PER_LINE = 2  # events side by side
WIDTH = 2 * N_LAYERS + 6
CLOSE = 2  # columns


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", help="path of a run folder or .keras file, or the name of a shipped model")
    add(
        "files", nargs="+", metavar="FILES", help="files or globs, labelled with the owners of hits"
    )
    threshold_help = (
        "probability from which a cell stays (default: that of the model's card, or 0.5)"
    )
    add("--threshold", type=float, help=threshold_help)
    add(
        "--text",
        type=lib.at_least(0),
        default=0,
        metavar="N",
        help="events to show (default: %(default)s)",
    )
    add("--errors", action="store_true", help="say where the wrong hits of a removal are")
    add("--json", type=Path, metavar="FILE", help="write the figures of merit here")
    inference.add_engine(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    if args.threshold is not None and not 0 < args.threshold < 1:
        raise ValueError(f"--threshold {args.threshold}: has to be between 0 and 1")
    network = inference.load(args.model, args.engine)
    answers = inference.answers_of_images(network)
    settings = {"threshold": 0.5, **inference.settings_of_images(args.model)}
    if args.threshold is not None:
        settings["threshold"] = args.threshold
    if args.errors and answers != "removal":
        raise ValueError(f"--errors: of networks that take a track away, not of answers {answers}")
    events = batches.read(clustering_images.task(answers), args.files)
    if not len(events):
        raise ValueError(f"{', '.join(args.files)}: no events")
    scores = inference.test_images(network, None, {"files": events}, answers, **settings)["files"]
    if args.text:
        print(text(events[: args.text], network, answers, settings))
    print(metrics.describe_cells(scores))
    content = {"model": args.model, "answers": answers, "files": args.files, **scores}
    if args.errors:
        content["errors"] = errors(events, network, settings["threshold"])
        print(describe_errors(content["errors"]))
    if args.json:
        lib.write_json(args.json, content)
    return content


# ---- where errors are --------------------------------------------------------------------------------------


def errors(events, network, threshold):
    """Where the wrong hits of a removal are: kind -> numbers of wrong hits, and of events that have any.

    Returns:
        dict, "hits" and "events" of all that were looked at, and "wrong": kind -> {"hits", "events"}; each wrong
        hit is of one kind, the first that fits.
    """
    event = events.hit_event
    owners = clustering_images.owners_from_left(events)
    owner = owners.max(1)  # of a shared cell the one that stays longer
    is_to_go = owner == 0
    logits = by_images.at_hits(events, partial(inference.say, network))[:, 0]
    goes = logits < logit(threshold)
    touches = touches_other_kind(events, is_to_go)
    has_touching = np.bincount(event, touches, len(events)) > 0
    chosen_wrong, columns_apart = wrong_choices(events, owner, goes)
    kinds = {
        f"wrong track chosen, lowest columns at most {CLOSE} apart": (
            chosen_wrong & (columns_apart <= CLOSE)
        )[event],
        "wrong track chosen, lowest columns further apart": chosen_wrong[event],
        "cell of the leftmost and another track": (owners == 0).any(1) & ~is_to_go,
        "noise": owner < 0,
        "touches a hit of the other kind": touches,
        "elsewhere in an event where tracks touch": has_touching[event],
        "elsewhere": np.ones(len(owner), bool),
    }
    wrong = goes != is_to_go
    found = {}
    for kind, fits in kinds.items():
        of_kind = wrong & fits
        found[kind] = {"hits": int(of_kind.sum()), "events": len(np.unique(event[of_kind]))}
        wrong = wrong & ~fits
    return {"hits": len(owner), "events": len(events), "wrong": found}


def wrong_choices(events, owner, goes):
    """(event,) bool, whether another track went in place of the leftmost one; and how many columns its lowest
    one is above.
    """
    n_ranks = owner.max(initial=0) + 1
    of_track = np.flatnonzero(owner >= 0)
    track = events.hit_event[of_track] * n_ranks + owner[of_track]
    n_tracks = len(events) * n_ranks
    n_hits = np.bincount(track, minlength=n_tracks)
    share = np.bincount(track, goes[of_track], n_tracks) / np.maximum(n_hits, 1)
    share = share.reshape(len(events), n_ranks)
    lowest = np.full(n_tracks, N_COLUMNS)
    np.minimum.at(lowest, track, events.hits["column"][of_track])
    lowest = lowest.reshape(len(events), n_ranks)
    other = share[:, 1:].argmax(1) + 1 if n_ranks > 1 else np.zeros(len(events), int)
    row = np.arange(len(events))
    is_wrong = (share[:, 0] < 0.5) & (share[row, other] >= 0.5)
    return is_wrong, lowest[row, other] - lowest[:, 0]


def touches_other_kind(events, is_to_go):
    """(hit,) bool, whether a hit of the other kind is in its cell or one of the eight around it."""
    touched = np.zeros(len(is_to_go), bool)
    cells = clustering_images.cells_of_hits(events)
    for kind in (False, True):
        image = np.zeros((len(events), *clustering_images.SHAPE), np.uint8)
        of_kind = is_to_go == kind
        image[tuple(index[of_kind] for index in cells)] = 1
        around = maximum_filter(image, (1, 3, 3))[cells] > 0
        touched[~of_kind] = around[~of_kind]
    return touched


def describe_errors(found):
    """Markdown of what `errors` found."""
    n_wrong = sum(of_kind["hits"] for of_kind in found["wrong"].values())
    lines = [f"{n_wrong} of {found['hits']} hits are wrong, in {found['events']} events", ""]
    lines += ["| wrong hits | share of them | events |", "| --- | --- | --- |"]
    for kind, of_kind in found["wrong"].items():
        share = f"{100 * of_kind['hits'] / max(n_wrong, 1):.1f} %"
        lines.append(f"| {kind} | {share} | {of_kind['events']} |")
    return "\n".join(lines)


# ---- events as text ----------------------------------------------------------------------------------------


def text(events, network, answers, settings):
    """Events as the module's docstring says."""
    if answers in ("copy", "removal"):
        truth, found = pictures_of_cells(events, network, answers, settings["threshold"])
    else:
        labels = inference.find_by_images(events, network, by_images.true_number, **settings)
        owners = clustering_images.owners_from_left(events).max(1)
        truth, found = picture_of_labels(events, owners), picture_of_labels(events, labels)
    blocks = [block(i, truth[i], found[i]) for i in range(len(events))]
    lines = []
    for first in range(0, len(blocks), PER_LINE):
        for parts in zip_longest(*blocks[first : first + PER_LINE], fillvalue=""):
            lines.append("   ".join(part.ljust(WIDTH) for part in parts).rstrip())
        lines.append("")
    return "\n".join(lines)


def pictures_of_cells(events, network, answers, threshold):
    """(event, column, layer) characters of what is to stay and to go, and of what does."""
    offsets, keep, probability, _ = inference.cells_said(network, events)
    asked = clustering_images.task(answers).labels(events)["cells"][..., 0].astype(int) >= 0
    truth = np.full(asked.shape, ".")
    found = truth.copy()
    kept = probability >= threshold
    dark = "." if answers == "copy" else "o"
    truth[asked] = np.where(keep, "#", dark)
    found[asked] = np.where(keep, np.where(kept, "#", "?"), np.where(kept, "!", dark))
    return truth, found


def picture_of_labels(events, labels):
    """(event, column, layer) characters of the tracks of hits, (hit,) int below 10, or noise, -1."""
    picture = np.full((len(events), *clustering_images.SHAPE), ".")
    picture[clustering_images.cells_of_hits(events)] = np.where(
        labels < 0, "-", (labels + 1).astype(str)
    )
    return picture


def block(number, truth, found):
    """Lines of an event: its lit columns, and a colon for those between that are dark."""
    cells = slice(clustering_images.PADDING, clustering_images.PADDING + N_COLUMNS)
    layers = slice(clustering_images.PADDING, clustering_images.PADDING + N_LAYERS)
    truth, found = truth[cells, layers], found[cells, layers]
    lit = np.flatnonzero(((truth != ".") | (found != ".")).any(1))
    lines = [f"event {number}", f"    {'truth':<{N_LAYERS}}  network"]
    for column, step in zip(lit, np.diff(lit, prepend=lit[:1]), strict=True):
        if step > 1:
            lines.append("  :")
        lines.append(f"{column:3d} {''.join(truth[column])}  {''.join(found[column])}")
    return lines


if __name__ == "__main__":
    lib.run(main)
