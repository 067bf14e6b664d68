"""From a model's name and events, or files, to counts and tracks: what notebooks and scripts call.

    import inference

    counts = inference.count_tracks("file.root")  # (event,) number of tracks
    labels = inference.find_tracks("file.root")  # (hit,) track of each hit in its event, -1 for none

A model runs by ONNX Runtime where its folder holds `model.onnx`, which starts at once, else by TensorFlow.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import expit

import lib
import metrics
from datasets import (
    associated_calohit_multilabel,
    associated_calohit_singlelabel,
    clustering,
    clustering_images,
    filters,
    fitting_hints,
    number_of_tracks,
    views,
)
from datasets.events import Events, offsets_of, rows_and_places
from datasets.geometry import TOY
from datasets.readers import open_events
from finding import arc_refit, by_images, from_seed, iterative, refit
from finding.foil import foil_rule

COUNTER = "combined_my_generator"
FINDER = "track_finder"
# What hits without neighbours are kept from in the iterative fit
NEIGHBOUR_FILTER = ("none", "count", "both")
SIDE_COUNTER = (
    "top_my_generator"  # counts the tracks of one tracker side, for what removes them one by one
)
ENGINES = ("auto", "onnx", "tensorflow")
BLOCK = 8192  # events among which those of like size are looked for


@dataclass(frozen=True)
class Network:
    """A trained network, ready to run.

    Attributes:
        name: what it is called. target: what a counter counts, "tracks" or "segments", or what is named.
        answers: what a network that names classes of tracks says of them, as the tasks have it, else "".
        inputs, outputs: name -> shape without the event, None where it is open.
        run: function name -> array to name -> array, event first.
    """

    name: str
    target: str
    answers: str
    inputs: dict
    outputs: dict
    run: Callable

    @property
    def n_channels(self):
        """Tracker sides that a counter tells apart, the channels of its images."""
        return next(iter(self.inputs.values()))[-1]


def _line_of_seed(arrays):
    return {"cells": from_seed.say(arrays["padded"])}


# Answers as a network does, without learning
LINE_OF_SEED = Network(
    name="line of the seed",
    target="cells",
    answers="seeded",
    inputs={"padded": (*clustering_images.SHAPE, clustering_images.N_INPUTS["seeded"])},
    outputs={"cells": (*clustering_images.SHAPE, clustering_images.N_OUTPUTS["seeded"])},
    run=_line_of_seed,
)


def load(model, engine="auto", threads=None):
    """A network by the name of a shipped model, by the path of a run folder or `.keras` file, or a Keras
    model.

    Args:
        engine: "onnx", "tensorflow", or "auto" for ONNX Runtime where there is a `model.onnx` beside the
            model.
        threads: that ONNX Runtime computes with (default: as many as the machine has).
    Raises:
        ValueError: no such model; or none for ONNX Runtime.
    """
    if isinstance(model, Network):
        return model
    if not isinstance(model, (str, Path)):
        return _with_keras(model, model.name, "tracks", "")
    path = lib.model_path(model)
    exported = path.with_name("model.onnx")
    if engine == "onnx" and not exported.is_file():
        raise ValueError(f"{exported}: no such file; scripts/export.py makes it")
    if engine != "tensorflow" and path.name == "model.keras" and exported.is_file():
        return run_onnx(exported, str(model), *lib.task_of(model), threads)
    return _with_keras(lib.load_model(model), str(model), *lib.task_of(model))


def run_onnx(path, name, target="tracks", answers="", threads=None):
    """The network of an ONNX file, as `load` gives it; it may have been moved or renamed."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # waiting threads leave the processor
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no common kind
        raise ValueError(f"{path}: not a model that ONNX Runtime can load") from error
    inputs = {tensor.name: _sizes(tensor.shape[1:]) for tensor in session.get_inputs()}
    outputs = {tensor.name: _sizes(tensor.shape[1:]) for tensor in session.get_outputs()}

    def run(arrays):
        return dict(zip(outputs, session.run(list(outputs), arrays), strict=True))

    return Network(name, target, answers, inputs, outputs, run)


def _sizes(shape):
    """A shape with None where a size is open, which ONNX gives as a name."""
    return tuple(size if isinstance(size, int) else None for size in shape)


def _with_keras(model, name, target, answers):
    import tensorflow as tf

    inputs = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    made = model.output if isinstance(model.output, dict) else {"n_tracks": model.output}
    outputs = {name: tuple(tensor.shape[1:]) for name, tensor in made.items()}
    signature = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs}

    @tf.function(input_signature=[signature])  # one graph for batches of any size
    def graph(arrays):
        answer = model(arrays if len(inputs) > 1 else next(iter(arrays.values())), training=False)
        return answer if isinstance(answer, dict) else {"n_tracks": answer}

    def run(arrays):
        tensors = {name: tf.cast(arrays[name], spec.dtype) for name, spec in signature.items()}
        return {name: tensor.numpy() for name, tensor in graph(tensors).items()}

    return Network(name, target, answers, inputs, outputs, run)


def load_track_counter(model, engine="auto"):
    """A counter of tracks, as `load` gives it, for what is judged by numbers of tracks.

    Raises:
        ValueError: it counts segments.
    """
    network = load(model, engine)
    if network.target != "tracks":
        counted = f"{network.name} counts {network.target}"
        raise ValueError(f"{counted}: what it gets right cannot be told by numbers of tracks")
    return network


def add_engine(parser):
    """Give a script the flag `--engine`, what a network runs by."""
    text = "what the network runs by; auto: ONNX Runtime where its folder has a model.onnx (default: %(default)s)"
    parser.add_argument("--engine", choices=ENGINES, default="auto", help=text)


def answers(network, inputs_of, events, batch_size=128):
    """Let a network look at events, those of like size together.

    Args:
        network: Network. inputs_of: function Events -> name -> array, such as `datasets.clustering.inputs`.
        events: those without a hit are left out.
    Yields:
        (which, inputs, outputs): (event,) indices of the events of a batch, and what went in and came out.
    """
    for start in range(0, len(events), BLOCK):
        n_hits = events.n_hits[start : start + BLOCK]
        order = np.argsort(n_hits, kind="stable")
        order = start + order[np.count_nonzero(n_hits == 0) :]
        for first in range(0, len(order), batch_size):
            which = order[first : first + batch_size]
            inputs = inputs_of(events[which])
            yield which, inputs, network.run(inputs)


def kind_note(network, events):
    """A sentence where a counter was trained on another kind of simulated events than these, else "".

    Counters of one tracker side learn the straight-line toy, those of two the detector's haystack. Either
    gives plausible numbers on the other's events.
    """
    if not len(events) or (events.info["n_tracks"] < 0).any():  # real events are no generator's
        return ""
    is_toy = (events.info["geometry"] == TOY).all()
    if network.n_channels == 2 and is_toy:
        return f"{network.name} was trained on the haystack, on both tracker sides; these are the straight-line toy's"
    if network.n_channels == 1 and not is_toy:
        return f"{network.name} was trained on the straight-line toy, on one side; these are the detector's"
    return ""


# ---- counting ----------------------------------------------------------------------------------------------


def count_tracks(events, model=COUNTER, **options):
    """The most probable number of tracks of each event.

    Args:
        events: an event table, a file, a glob, or a list of them. model: of `load`. options: of
            `count_probabilities`.
    Returns:
        (event,) int; of a counter of one tracker side 0 to 8, since the counts of both sides are added. Of
        segments, 6 stands for six or more.
    """
    return count_probabilities(events, model, **options).argmax(1)


def count_probabilities(events, model=COUNTER, batch_size=128):
    """What a counter says of the number of tracks, or segments, of each event.

    A model of one channel counts on one tracker side: it sees each side alone, and the two counts are added.
    A side, or an event, without hits has none.

    Args:
        events: an event table, a file, a glob, or a list of them. model: of `load`. batch_size: events at a
            time.
    Returns:
        (event, 2 n + 1) float, probability of 0 to 2 n tracks for a model that tells 1 to n apart; of
        segments (event, n + 1), the last n or more.
    Raises:
        ValueError: a model that is no counter.
    """
    network = load(model)
    names = tuple(network.inputs)
    if not set(names) <= set(views.SHAPES) or list(network.outputs) != ["n_tracks"]:
        kind = f"{network.name} is no counter"
        if "track" in network.outputs:
            raise ValueError(f"{kind}: it finds tracks, use scripts/find_tracks.py")
        if network.answers:
            raise ValueError(f"{kind}: it names {network.target}, use scripts/evaluate.py")
        raise ValueError(f"{kind}: it takes {', '.join(names)} and no view")
    events = _table(events)

    def images(some):
        return views.images(some, names, network.n_channels)

    (n_classes,) = network.outputs["n_tracks"]
    total = np.zeros((len(events), 2 * n_classes + 1))
    total[:, 0] = 1
    sides = (
        [events]
        if network.n_channels == 2
        else [events.keep_hits(events.hits["side"] == s) for s in (0, 1)]
    )
    for side in sides:
        for which, _, outputs in answers(network, images, side, batch_size):
            total[which] = _sum_of_counts(total[which], outputs["n_tracks"])
    if network.target == "segments":
        return up_to(number_of_tracks.TARGETS["segments"][-1], total)
    return total


def count_tracks_of_sides(events, model=COUNTER):
    """The most probable number of tracks of each tracker side of an event, which the counter sees alone:
    (event, 2) int.

    Args:
        events: an event table. model: of `load`.
    """
    network = load_track_counter(model)
    sides = [events.keep_hits(events.hits["side"] == side) for side in (0, 1)]
    return np.stack([count_tracks(side, network) for side in sides], axis=1)


def _sum_of_counts(before, one):
    """Distribution of the sum of two counts: of `before`, (event, 0 to 2 n), and `one`, (event, 1 to n)."""
    total = np.zeros_like(before)
    for k in range(one.shape[1]):
        total[:, k + 1 :] += one[:, k : k + 1] * before[:, : -(k + 1)]
    return total


def up_to(most, probabilities):
    """(event, most + 1) probability of 0, 1, ..., `most` or more, from those of 0 to any number."""
    return np.column_stack([probabilities[:, :most], probabilities[:, most:].sum(1)])


def test_counter(model, tests, target="tracks"):
    """Figures of merit of a counter on labelled events, as evaluate.py gives them.

    Args:
        model: of `load`. tests: name -> Events. target: what it counts.
    Returns:
        name -> `metrics.counting`.
    """
    network = replace(load(model), target=target)
    scores = {}
    for name, events in tests.items():
        print(f"testing on {len(events)} events, {name}", flush=True)
        truth = number_of_tracks.classes(events, name, target) + 1
        probabilities = count_probabilities(events, network)
        scores[name] = metrics.counting(truth, probabilities, range(probabilities.shape[1]))
    return scores


# ---- classes of tracks -------------------------------------------------------------------------------------


def label_probabilities(events, model, batch_size=128):
    """What a network says of the calorimeter blocks of events, or of hints for their fits.

    Args:
        events: an event table, a file, a glob, or a list of them. model: of `load`.
    Returns:
        name -> (event, class), or (event, track, class) where it names each track's; `n_tracks` is the
        probability of 1 to 4 tracks. Of events without a hit nothing is known: all classes are alike.
    Raises:
        ValueError: a model that says nothing of the kind; events with hits on both tracker sides, which these
            networks would see as one; blocks asked for in another geometry than the toy's.
    """
    network = load(model)
    blocks = set(network.outputs) & set(associated_calohit_singlelabel.N_CLASSES)
    if not blocks and not set(network.outputs) & set(fitting_hints.N_CLASSES):
        raise ValueError(f"{network.name} names no calorimeter blocks and gives no hints")
    events = _table(events)
    if blocks and (events.info["geometry"] != TOY).any():
        raise ValueError(
            f"{network.name} knows the straight-line toy's blocks; for others fit found tracks"
        )
    if _on_both_sides(events).any():
        said = f"event {_on_both_sides(events).argmax()} has hits on both tracker sides"
        raise ValueError(
            f"{said}: {network.name} looks at one, such as events.keep_hits(side == 1)"
        )
    said = {}
    for name, shape in network.outputs.items():
        said[name] = np.full((len(events), *shape), 1 / shape[-1], np.float32)
    for which, _, outputs in answers(network, inputs_of(network), events, batch_size):
        for name, values in outputs.items():
            said[name][which] = values
    return said


def _on_both_sides(events):
    """(event,) bool, whether an event has hits on both tracker sides."""
    side = events.hits["side"]
    n_hits = [np.bincount(events.hit_event[side == one], minlength=len(events)) for one in (0, 1)]
    return np.minimum(*n_hits) > 0


def inputs_of(network):
    """The function Events -> name -> array that makes what a network takes."""
    names = tuple(network.inputs)
    if "hits" in names:
        return clustering.inputs
    return partial(views.images, names=names, n_channels=network.n_channels)


def task_of(network):
    """The task that a network which names classes of tracks was trained for, `datasets.batches.Task`.

    Raises:
        ValueError: a network of images, which names no classes.
    """
    if "cells" in network.outputs:
        raise ValueError(f"{network.name} clusters images: use scripts/testing_clustering.py")
    view = "hits" if "hits" in network.inputs else next(iter(network.inputs))
    targets = tuple(set(network.outputs) - {"n_tracks"})
    if "angle" in targets:
        return fitting_hints.task(view, network.answers)
    if network.answers == "one":
        return associated_calohit_singlelabel.task(view, targets)
    return associated_calohit_multilabel.task(view, targets, network.answers)


def test_labels(model, tests, answers, threshold=0.5):
    """Figures of merit of a network that names classes of tracks, on labelled events, as evaluate.py gives
    them.

    Args:
        model: of `load`. tests: name -> Events. answers: what it says, as the tasks have it. threshold: from
            which probability on "several" counts as said.
    Returns:
        name -> as `judge`.
    """
    network = replace(load(model), answers=answers)
    scores = {}
    for name, events in tests.items():
        print(f"testing on {len(events)} events, {name}", flush=True)
        scores[name] = judge(events, label_probabilities(events, network), answers, threshold)
    return scores


def judge(events, said, answers, threshold=0.5):
    """Compare what a network says of events with the truth.

    An event is right if all of its blocks, or of hints the coarse angle and the place on the foil, are: the
    number of tracks in every class as it is, or of "several" just the classes that occur.

    Args:
        said: of `label_probabilities`. answers, threshold: as of `test_labels`.
    Returns:
        As `metrics.share_right`; `targets`, name -> the same of each alone; of one class an event with
        `within_one`, the share at most one class off, and `expected_calibration_error`.
    """
    n_tracks = np.diff(events.track_offsets)
    right, targets = {}, {}
    for name in sorted(set(said) - {"n_tracks"}):
        truth = classes_of_tracks(events, name)
        counted = associated_calohit_multilabel.counts(events, truth, said[name].shape[-1])
        decided = decide(said, name, answers, threshold)
        right[name] = (decided == (counted > 0 if answers == "several" else counted)).all(1)
        targets[name] = metrics.share_right(right[name])
        if answers == "one":
            apart = fitting_hints.steps_apart(name, truth, said[name].argmax(1))
            targets[name]["within_one"] = metrics.share_right(apart <= 1)
            error = metrics.expected_calibration_error(truth, said[name])
            targets[name]["expected_calibration_error"] = error
    wanted = [values for name, values in right.items() if not name.startswith("fine")]
    scores = metrics.share_right(np.logical_and.reduce(wanted), n_tracks)
    if answers == "several":
        scores["threshold"] = threshold
    return {**scores, "targets": targets}


def classes_of_tracks(events, name):
    """(track,) int, the true class of each track of a table: of a calorimeter block's column or row, or of a
    hint.
    """
    if name in fitting_hints.N_CLASSES:
        return fitting_hints.of_tracks(events)[name]
    return events.tracks[f"calo_{name}"].astype(np.int32)


def decide(said, name, answers, threshold=0.5):
    """(event, class) int, how many tracks are decided to be of each class; arguments as of `judge`.

    The number of tracks is the most probable one.
    """
    probability = said[name]
    n_classes = probability.shape[-1]
    if answers == "one":
        return np.eye(n_classes, dtype=int)[probability.argmax(1)]
    if answers == "several":
        return (probability >= threshold).astype(int)
    n_tracks = said["n_tracks"].argmax(1) + 1
    if answers == "shares":
        return metrics.nearest_multiset(probability, n_tracks)
    is_track = np.arange(probability.shape[1]) < n_tracks[:, None]
    return (np.eye(n_classes, dtype=int)[probability.argmax(2)] * is_track[..., None]).sum(1)


# ---- finding -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What a track finder says of the hits and sides of events.

    Attributes:
        track: (hit, n_tracks + 1) float32, probability of each track of the hit's side, along the foil, and
            last of none.
        n_tracks, n_segments: (event, side, n + 1) float32, probability of 0 to n tracks and segments on a
            side.
    """

    track: np.ndarray
    n_tracks: np.ndarray
    n_segments: np.ndarray


def find_tracks(events, model=FINDER, refit_lines=True, foil=False, batch_size=128, arcs=False):
    """Which hits belong together.

    Args:
        events: an event table, a file, a glob, or a list of them. model: of `load`.
        refit_lines: let lines through the drift circles have the last word (`finding.refit`), else the
            network alone.
        foil: join or leave out tracks that do not start at the foil (`finding.foil`): a prior of the toy's
            events.
        arcs: tracks may be bent, so the refit tries arcs beside lines (`finding.arc_refit`).
    Returns:
        (hit,) int16, index of each hit's track in its event, -1 for none.
    """
    events = _table(events)
    return tracks_of(events, look(events, model, batch_size), refit_lines, foil, arcs)


def tracks_of(events, seen, refit_lines=True, foil=False, arcs=False):
    """(hit,) labels from what a track finder said, `Seen`; arguments as `find_tracks`."""
    if not refit_lines:
        labels = refit.labels_of(events, seen.track)
    elif arcs:
        labels = arc_refit.find(events, seen.track, seen.n_tracks)
    else:
        labels = refit.find(events, seen.track, seen.n_tracks)
    return foil_rule(events, labels) if foil else labels


def fit_iteratively(events, model=COUNTER, limits=iterative.USUAL, neighbour_filter="none"):
    """Count the tracks of each side with a counter, then fit so many, one after the other. Hits that are not
    usable (`filters.usable`) have no part.

    Args:
        events: an event table. model: a counter, of `load`. limits: of the fit.
        neighbour_filter: what sees no hit without another usable one in the cells around, of NEIGHBOUR_FILTER.
    Returns:
        counted: (event, 2) int, tracks of each side. found: FoundTracks of `finding.iterative`.
        why: (hit,) str, why a hit is on no track: "unusable", "isolated" (seen or not) or "left over"; ""
        for a hit on one.
    """
    is_usable = filters.usable(events)
    alone = is_usable & (filters.neighbours(events, is_usable) == 0)
    counts = is_usable & ~(alone & (neighbour_filter != "none"))
    fits = is_usable & ~(alone & (neighbour_filter == "both"))
    counted = count_tracks_of_sides(events.keep_hits(counts), model)
    found = iterative.find(events.keep_hits(fits), counted, limits)
    labels = np.full(len(fits), -1, np.int16)
    labels[fits] = found.labels
    found.labels = labels
    why = np.select([labels >= 0, ~is_usable, alone], ["", "unusable", "isolated"], "left over")
    return counted, found, why


def look(events, model=FINDER, batch_size=128):
    """Let a track finder look at all hits of a table, each tracker side on its own.

    Returns:
        Seen. Hits beyond `datasets.clustering.MAX_HITS` of a side are on no track.
    Raises:
        ValueError: a model that is no track finder.
    """
    network = load(model)
    if "track" not in network.outputs:
        raise ValueError(f"{network.name} is no track finder: it says nothing of single hits")
    sizes = {name: shape[-1] for name, shape in network.outputs.items()}
    seen = Seen(
        _certain((len(events.hits["layer"]), sizes["track"]), -1),
        _certain((len(events), 2, sizes["n_tracks"]), 0),
        _certain((len(events), 2, sizes["n_segments"]), 0),
    )
    for side in (0, 1):
        on_side = events.hits["side"] == side
        of_side = np.flatnonzero(on_side)
        part = events.keep_hits(on_side)
        for which, inputs, outputs in answers(network, clustering.inputs, part, batch_size):
            event, place = rows_and_places(inputs["mask"].sum(1))
            hit = of_side[part.hit_offsets[which][event] + place]
            seen.track[hit] = outputs["track"][inputs["mask"]]
            seen.n_tracks[which, side] = outputs["n_tracks"]
            seen.n_segments[which, side] = outputs["n_segments"]
    return seen


def _certain(shape, answer):
    """Probabilities that are all on one answer of the last axis."""
    probabilities = np.zeros(shape, np.float32)
    probabilities[..., answer] = 1
    return probabilities


# ---- finding by images -------------------------------------------------------------------------------------


def answers_of_images(network):
    """What a network says of the cells of images, of `datasets.clustering_images.ANSWERS`.

    Raises:
        ValueError: it says nothing of cells.
    """
    if "cells" not in network.outputs or "padded" not in network.inputs:
        raise ValueError(f"{network.name} says nothing of the cells of images")
    if network.answers in clustering_images.ANSWERS:
        return network.answers
    if network.inputs["padded"][-1] == clustering_images.N_INPUTS["seeded"]:
        return "seeded"
    return "removal" if network.outputs["cells"][-1] == 1 else "channels"


def settings_of_images(model):
    """What else the card of such a network holds: `threshold` and `remove_last` of `find_by_images`.

    Nothing where there is no card, as of a .keras file alone.
    """
    try:
        card = lib.load_card(model)
    except FileNotFoundError:
        return {}
    threshold = card["metrics"]["test"].get("threshold", 0.5)
    return {"threshold": threshold, "remove_last": 1 in card["arguments"].get("tracks", ())}


def find_by_images(events, model, n_tracks=None, threshold=0.5, remove_last=False):
    """Which hits belong together, by a network that says something of every cell of the top view.

    Args:
        events: an event table, a file, a glob, or a list of them. model: of `load`.
        n_tracks: function Events of one tracker side -> (event,) int, where tracks are removed one by one
            (default: as SIDE_COUNTER counts them). threshold, remove_last: as of `finding.by_images`.
    Returns:
        (hit,) int16, index of each hit's track in its event, -1 for none.
    """
    network = load(model)
    answers = answers_of_images(network)
    events = _table(events)
    say_of = partial(say, network)
    if answers == "channels":
        return by_images.by_channels(events, say_of)
    if answers == "seeded":
        return by_images.by_seeds(events, say_of, threshold)
    if answers == "copy":
        raise ValueError(f"{network.name} copies images: it finds nothing")
    if n_tracks is None:
        n_tracks = partial(count_tracks, model=load(SIDE_COUNTER))
    return by_images.by_removal(events, say_of, n_tracks, threshold, remove_last)


def say(network, images, **hint):
    """(event, 116, 12, value) logits of the cells of images."""
    return network.run({"padded": images, **hint})["cells"]


def cells_said(network, events):
    """What a network says of cells that are to stay lit or to go dark, beside the truth.

    Of a copy all cells of an image are asked, else the lit ones. A network that takes a hint is given the truth.

    Returns:
        offsets: (row + 1,) first cell of each image asked. keep: (cell,) bool, whether it is to be lit.
        probability: (cell,) float32. n_tracks: (row,) int, of the image's event.
    """
    task = clustering_images.task(answers_of_images(network))
    n_cells, keep, probability, n_tracks = [], [], [], []
    for start in range(0, len(events), by_images.CHUNK):
        some = events[start : start + by_images.CHUNK]
        images = task.inputs(some)
        answer = task.labels(some)["cells"].astype(np.int8)
        asked = answer != clustering_images.DARK
        n_cells.append(asked.sum((1, 2, 3)))
        keep.append(answer[asked] > 0)
        hint = {"hint": clustering_images.hint(some)} if "hint" in network.inputs else {}
        probability.append(expit(say(network, images, **hint)[asked]))
        event = clustering_images.event_of_rows(some, answers_of_images(network))
        n_tracks.append(some.info["n_tracks"][event])
    offsets = offsets_of(np.concatenate(n_cells))
    return offsets, *map(np.concatenate, (keep, probability, n_tracks))


def test_images(model, val_events, tests, answers, threshold=None, remove_last=False):
    """Figures of merit of a network that says something of every cell.

    Args:
        model: of `load`. val_events: Events that a threshold is chosen on, if none is given. tests: name ->
            Events, with labels. answers: of `datasets.clustering_images.ANSWERS`. remove_last: as of
            `find_by_images`; the number of tracks is given.
    Returns:
        name -> {"cells": as `metrics.removal_with_trivial`, but of channels, and of seeded with the row "line
        of the seed", which learns nothing; "clustering": as
        `metrics.clustering`, but of a copy; "threshold"; "randomly_added" of a copy}.
    """
    network = replace(load(model), answers=answers)
    if answers == "channels":
        threshold = 0.5
    elif threshold is None:
        offsets, keep, probability, _ = cells_said(network, val_events)
        threshold = metrics.best_hit_threshold(
            offsets, keep, probability, balanced=answers != "copy"
        )
    scores = {}
    for name, events in tests.items():
        print(f"testing on {len(events)} events, {name}", flush=True)
        scores[name] = {"n_events": len(events), "threshold": threshold}
        if answers != "channels":
            offsets, keep, probability, n_tracks = cells_said(network, events)
            kept = probability >= threshold
            scores[name]["cells"] = metrics.removal_with_trivial(offsets, keep, kept, n_tracks)
        if answers == "seeded":
            _, _, on_line, _ = cells_said(LINE_OF_SEED, events)
            of_line = metrics.removal(offsets, keep, on_line >= 0.5, n_tracks)
            scores[name]["cells"]["line of the seed"] = of_line
        if answers == "copy":
            scores[name]["randomly_added"] = metrics.randomly_added(keep, kept)
        else:
            found = find_by_images(events, network, by_images.true_number, threshold, remove_last)
            scores[name]["clustering"] = metrics.clustering_of(events, found)
    return scores


def beyond_limits(events):
    """A sentence on events that are beyond what a track finder can see, or "" where there is none."""
    sides = [
        np.bincount(events.hit_event[events.hits["side"] == s], minlength=len(events))
        for s in (0, 1)
    ]
    n_large = np.count_nonzero(np.maximum(*sides) > clustering.MAX_HITS)
    if not n_large:
        return ""
    limit = f"more than {clustering.MAX_HITS} hits on a tracker side"
    return f"{n_large} events have {limit}; those beyond are put on no track"


def _table(events):
    return events if isinstance(events, Events) else open_events.read(events)
