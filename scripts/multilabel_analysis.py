"""Compare two models that name the calorimeter columns of all tracks of an event.

    python scripts/multilabel_analysis.py MODEL_A MODEL_B --out runs/multilabel
    python scripts/multilabel_analysis.py MODEL_A MODEL_B FILES... --out runs/multilabel --json runs/sets.json

Without files the events are fresh ones of the straight-line toy, with 1 to 4 tracks. The threshold of each
model is chosen on other fresh events. Two tracks may end in one column, so the labels of an event are a
multiset, of which a model without counts can only tell the set; the tables have both.

Prints exact sets and multisets by true number of tracks, with 68 % intervals, and what metrics made for one
label say instead. Draws `multilabel.pdf`, and its pages as pictures; from the third page on each model is read
by the decision that gets most sets right of the other fresh events.
"""

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np

import lib
import metrics
from datasets import associated_calohit_multilabel, batches, number_of_tracks
from finding import ransac
from fitting import calorimeter, tracks
from my_generator import straight_lines

N_COLUMNS = 22  # of the toy's calorimeter, with both overflows
THRESHOLD = "threshold"
LIMITED = "threshold, 1 to k predicted"
TOP = "top k, k predicted"
MULTISET = "nearest multiset, k predicted"
OWN = (
    LIMITED,
    TOP,
    MULTISET,
)  # decisions that a model makes without the truth, from both of its outputs
ONE_LABEL = (
    "arg_max_of_marks",
    "arg_max_of_counts",
    "arg_max_is_true",
    "half_of_marks",
    "half_of_shares",
)
EXTRAPOLATED = "RANSAC on cells, principal axis"
# Figures of the original notes, read off a plot; which metric they are is not said there
PUBLISHED = {
    "published, sigmoid": {"1": 0.953, "2": 0.534, "3": 0.412},
    "published, softmax": {"1": 0.988, "2": 0.908, "3": 0.865},
}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("models", nargs=2, metavar="MODEL", help="names of shipped models, or paths of run folders")
    add(
        "files",
        nargs="*",
        metavar="FILES",
        help="files or globs of the toy (default: fresh events)",
    )
    add("--out", type=lib.folder, metavar="FOLDER", help="draw figures here")
    add("--json", type=Path, metavar="FILE", help="write all figures of merit here")
    add("--events", type=lib.at_least(1), default=20000, help="fresh events (default: %(default)s)")
    val_help = "fresh events to choose thresholds on (default: %(default)s)"
    add("--val-events", type=lib.at_least(1), default=20000, help=val_help)
    add("--seed", type=lib.at_least(0), default=4242, help="of fresh events (default: %(default)s)")
    args = parser.parse_args(argv)
    args.names = names_of(args.models)
    return args


def main(argv=None):
    args = parse_args(argv)
    events = events_of(args)
    truth = columns_of(events)
    val_events = straight_lines.generate(args.val_events, seed=(args.seed, 1))
    val_truth = columns_of(val_events)

    answers = {}
    decided = {}
    results = {}
    for name, model in zip(args.names, args.models, strict=True):
        print(f"{name}: looking at {len(val_events)} + {len(events)} events", flush=True)
        val_answer = probabilities(val_events, model)
        threshold = metrics.best_threshold(val_truth, val_answer["column"])
        val_decided = decisions(val_truth, val_answer, threshold)
        answers[name] = probabilities(events, model)
        decided[name] = decisions(truth, answers[name], threshold)
        results[name] = {
            "threshold": threshold,
            "best_decision": best_decision(val_truth, val_decided),
            **measure(truth, answers[name], decided[name]),
        }

    words = sys.argv[1:] if argv is None else argv
    content = {
        "command": shlex.join(["python", "scripts/multilabel_analysis.py", *words]),
        "seed": None if args.files else args.seed,
        "files": args.files,
        "n_events": len(events),
        "different_columns": share_different(truth),
        "without_learning": metrics.label_sets(truth, extrapolated(events)),
        "models": results,
    }
    print("\n" + tables(content))
    if args.json:
        lib.write_json(args.json, content)
    if args.out:
        draw(truth, answers, decided, content, args.out)
    return content


# ---- events and answers ------------------------------------------------------------------------------------


def names_of(models):
    """What two models are called: by the names of their folders, with A and B where these are the same."""
    folders = [Path(model).parent if model.endswith(".keras") else Path(model) for model in models]
    first, second = (folder.name for folder in folders)
    return [first, second] if first != second else [f"{first} (A)", f"{second} (B)"]


def events_of(args):
    """The events to compare on, of 1 to 4 tracks with known ends."""
    if not args.files:
        return straight_lines.generate(args.events, seed=args.seed)
    events = batches.read(associated_calohit_multilabel.task(), args.files)
    if not len(events):
        raise ValueError(f"{', '.join(args.files)}: no events")
    return events


def columns_of(events):
    """(event, column) int64, how many tracks end in each calorimeter column."""
    return associated_calohit_multilabel.counts(events, events.tracks["calo_column"], N_COLUMNS)


def extrapolated(events):
    """(event, column) int, what is found without learning from the same picture: RANSAC on the cells that
    fired, and the principal axis of each track's wires, followed to the wall.
    """
    unknown = np.full(len(events.hits["z_mm"]), np.nan, np.float32)
    seen = events.with_hits({"z_mm": unknown, "drift_radius_mm": unknown})
    fitted = tracks.fit(seen, ransac.find_cells(seen))
    block = calorimeter.of_principal_axis(seen, fitted)
    known = block["calo_column"] >= 0
    cell = fitted.event[known] * N_COLUMNS + block["calo_column"][known]
    return np.bincount(cell, minlength=len(events) * N_COLUMNS).reshape(len(events), N_COLUMNS)


def shares_of_each(of_track, n_tracks):
    """(event, column) shares of the tracks, from the columns of each, (event, track, column), and the
    probabilities of 1, 2, ... tracks.
    """
    there = np.arange(of_track.shape[1]) <= n_tracks.argmax(1)[:, None]
    return (of_track * there[..., None]).sum(1) / there.sum(1, keepdims=True)


def probabilities(events, model):
    """What a model says: "column" (event, 22) and "n_tracks" (event, 4), as float64."""
    from inference import label_probabilities

    said = label_probabilities(events, model)
    if said.get("column", np.zeros(0)).ndim == 3:
        said["column"] = shares_of_each(said["column"], said["n_tracks"])
    answer = {}
    for name, n in (("column", N_COLUMNS), ("n_tracks", len(number_of_tracks.LABELS))):
        answer[name] = np.asarray(said[name], float)
        if answer[name].shape != (len(events), n):
            shape = answer[name].shape
            raise ValueError(
                f"{model}: its {name} is of shape {shape}; {(len(events), n)} is wanted"
            )
    return answer


# ---- decisions and figures of merit ------------------------------------------------------------------------


def decisions(truth, answer, threshold):
    """Name -> (event, column) int, the columns that are given to each event; k is its number of tracks."""
    scores = answer["column"]
    k_true = truth.sum(1)
    k_predicted = answer["n_tracks"].argmax(1) + 1
    n_columns = (truth > 0).sum(1)
    above = scores >= threshold
    return {
        THRESHOLD: above.astype(np.int64),
        LIMITED: metrics.top_labels(scores, np.clip(above.sum(1), 1, k_predicted)),
        "top k, k true": metrics.top_labels(scores, k_true),
        TOP: metrics.top_labels(scores, k_predicted),
        "top, true number of columns": metrics.top_labels(scores, n_columns),
        "nearest multiset, k true": metrics.nearest_multiset(scores, k_true),
        MULTISET: metrics.nearest_multiset(scores, k_predicted),
    }


def best_decision(truth, decided):
    """The name of the decision, of those without the truth, that gets most sets exactly right."""
    n_exact = {name: is_exact(truth, decided[name]).sum() for name in OWN}
    return max(n_exact, key=n_exact.get)


def is_exact(truth, columns):
    """(event,) bool, whether the columns given to an event are exactly the true ones."""
    return ((columns > 0) == (truth > 0)).all(1)


def measure(truth, answer, decided):
    """All figures of merit of one model, ready for JSON."""
    scores = answer["column"]
    target, says = targets(truth, scores)
    errors = {
        name: metrics.reliability(target[chosen].ravel(), scores[chosen].ravel())[
            "expected_calibration_error"
        ]
        for name, chosen in by_tracks(truth).items()
    }
    diagrams = [
        metrics.reliability(target[:, column], scores[:, column], 10) for column in range(N_COLUMNS)
    ]
    return {
        "decisions": {
            name: {
                "by_tracks": metrics.label_sets(truth, columns),
                **metrics.single_labels(truth, columns),
                "single_confusions": metrics.single_confusions(truth > 0, columns > 0).tolist(),
            }
            for name, columns in decided.items()
        },
        "one_label": metrics.one_label(truth, scores),
        "calibration": {
            "scores_are": says,
            "by_tracks": errors,
            "columns": [
                {key: np.asarray(values).tolist() for key, values in diagram.items()}
                for diagram in diagrams
            ],
        },
        "counting": metrics.counting(truth.sum(1), answer["n_tracks"], number_of_tracks.LABELS),
    }


def targets(truth, scores):
    """What scores should say on average, and that in words: shares where they sum to 1, else whether a track
    ends in the column.
    """
    if np.allclose(scores.sum(1), 1, atol=1e-3):
        return truth / truth.sum(1, keepdims=True), "share of the tracks"
    return (truth > 0).astype(float), "probability of a track"


def by_tracks(truth):
    """Name -> (event,) bool: events of each true number of tracks, and all."""
    n_tracks = truth.sum(1)
    return {str(n): n_tracks == n for n in np.unique(n_tracks)} | {"all": np.ones(len(truth), bool)}


def share_different(truth):
    """Number of tracks -> share of its events whose tracks all end in different columns."""
    different = (truth <= 1).all(1)
    return {
        name: float(different[chosen].mean())
        for name, chosen in by_tracks(truth).items()
        if name != "all"
    }


# ---- tables ------------------------------------------------------------------------------------------------


def tables(content):
    """Markdown: exact sets and multisets of each decision, and figures made for one label."""
    models = content["models"]
    numbers = [*content["different_columns"], "all"]
    heads = [metrics.number_of(int(number)) if number.isdigit() else number for number in numbers]
    lines = []
    for kind, name in (("exact_sets", "exact sets"), ("exact_multisets", "exact multisets")):
        lines += [row_of([f"{name}, %", "model", *heads]), row_of(["---"] * (len(heads) + 2))]
        for decision in next(iter(models.values()))["decisions"]:
            for model, result in models.items():
                scores = result["decisions"][decision]["by_tracks"]
                lines.append(
                    row_of([decision, model, *(percent(scores[n][kind]) for n in numbers)])
                )
        scores = content["without_learning"]
        lines.append(row_of([EXTRAPOLATED, "none", *(percent(scores[n][kind]) for n in numbers)]))
        lines.append("")
    lines += [
        row_of(["made for one label, %", "model", *heads]),
        row_of(["---"] * (len(heads) + 2)),
    ]
    for figure in ONE_LABEL:
        for model, result in models.items():
            cells = [percent(result["one_label"][n][figure]) for n in numbers]
            lines.append(row_of([figure.replace("_", " "), model, *cells]))
        if f"perfect_{figure}" in result["one_label"]["all"]:
            perfect = [f"{100 * result['one_label'][n][f'perfect_{figure}']:.1f}" for n in numbers]
            lines.append(row_of([figure.replace("_", " "), "a perfect model", *perfect]))
    for name, points in PUBLISHED.items():
        cells = [f"{100 * points[n]:.1f}" if n in points else "–" for n in numbers]
        lines.append(row_of(["unknown", name, *cells]))
    lines.append("")
    for model, result in models.items():
        calibration = result["calibration"]
        chosen = f"threshold {result['threshold']:.3f}, best by {result['best_decision']}"
        counted = f"number of tracks right {100 * result['counting']['accuracy']:.2f} %"
        error = 100 * calibration["by_tracks"]["all"]
        says = f"scores are the {calibration['scores_are']}, calibration error {error:.2f} %"
        lines.append(f"{model}: {chosen}; {counted}; {says}")
    return "\n".join(lines)


def row_of(cells):
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def percent(score):
    """A share in percent with its interval."""
    low, high = score["interval"]
    return f"{100 * score['value']:.1f} ({100 * low:.1f}–{100 * high:.1f})"


# ---- figures -----------------------------------------------------------------------------------------------


def draw(truth, answers, decided, content, folder):
    """All pages, as one PDF and as pictures."""
    import plotting

    pages = pages_of(truth, answers, decided, content)
    for place, (name, page) in enumerate(pages.items(), 1):
        plotting.save(page, folder / f"{place:02}_{name}.png")
        page.set_layout_engine("none")  # the PDF keeps the layout, which takes long to find
    path = folder / "multilabel.pdf"
    plotting.save(pages.values(), path)
    print(f"drawn in {path}", flush=True)


def pages_of(truth, answers, decided, content):
    """Name -> figure; those of columns that occur together only where there are events of several tracks."""
    import plotting_sets as figures

    models = content["models"]
    by_decision = {}
    for model, result in models.items():
        by_decision[model] = {
            name: scores["by_tracks"] for name, scores in result["decisions"].items()
        }
    one_label = {model: result["one_label"] for model, result in models.items()}
    diagrams = {model: result["calibration"]["columns"] for model, result in models.items()}
    says = {model: result["calibration"]["scores_are"] for model, result in models.items()}
    scores = {model: answer["column"] for model, answer in answers.items()}

    # From here on each model is read by its best decision.
    best = {model: result["best_decision"] for model, result in models.items()}
    read_by = "; ".join(f"{model}: {decision}" for model, decision in best.items())
    results = {model: result["decisions"][best[model]] for model, result in models.items()}
    by_tracks = {model: result["by_tracks"] for model, result in results.items()}
    matrices = {model: np.array(result["single_confusions"]) for model, result in results.items()}
    given = {model: columns[best[model]] > 0 for model, columns in decided.items()}
    right = {model: is_exact(truth, columns) for model, columns in given.items()}

    pages = {
        "exact_sets": figures.exact_sets(by_decision, content["different_columns"]),
        "one_label": figures.one_label(one_label, PUBLISHED),
        "missed_labels": figures.missed_labels(by_tracks, read_by),
        "label_by_label": figures.label_by_label(
            results, outcomes(truth, *given.values()), read_by
        ),
        "confusions": figures.confusions(matrices, len(truth), read_by),
        "reliability": figures.reliability(diagrams, says),
        "upset_decisions": upset_of_decisions(truth, decided),
        "label_map": figures.label_map(scores, truth, right, read_by),
    }
    several = truth.sum(1) > 1
    if several.any():
        names = [f"column {column}" for column in range(N_COLUMNS)]
        title = f"Most frequent sets of columns, events of two tracks or more\n{read_by}"
        shares = {model: is_right[several] for model, is_right in right.items()}
        wrong = {model: ~is_right for model, is_right in right.items()}
        pages["upset_columns"] = figures.upset(truth[several] > 0, names, title, shares)
        pages["together"] = figures.together(truth, wrong, read_by)
    return pages


def outcomes(truth, first, second):
    """(4, column) events with a column that were given it by both, by the first, by the second, by neither.

    Args:
        truth: (event, column) counts. first, second: (event, column) bool.
    """
    is_true = truth > 0
    kinds = (first & second, first & ~second, ~first & second, ~first & ~second)
    return np.stack([(is_true & kind).sum(0) for kind in kinds])


def upset_of_decisions(truth, decided):
    """UpSet plot of what each decision of each model gets right."""
    import plotting_sets

    right = {}
    for model, columns in decided.items():
        for decision in OWN:
            right[f"{model}: {decision}"] = is_exact(truth, columns[decision])
    title = "Which decisions give exactly the right set (black dot: it does)"
    return plotting_sets.upset(np.stack(list(right.values()), 1), list(right), title, n_most=24)


if __name__ == "__main__":
    lib.run(main)
