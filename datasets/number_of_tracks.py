"""Images of events and their number of tracks, as `tf.data`, from files or from a generator without end.

Only the event table stays in memory (about 0.7 kB an event); images are made a block of events at a time.
Class k is k + 1 tracks; or, with the target `segments`, k + 1 straight segments, where a track with a kink
has two and six stands for six or more.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from datasets import views
from datasets.events import concatenate
from datasets.readers import files, open_events

LABELS = (1, 2, 3, 4)
TARGETS = {
    "tracks": LABELS,
    "segments": (1, 2, 3, 4, 5, 6),
}  # what is counted -> number that each class stands for
OWNERS = {
    "tracks": {"n_tracks": 4, "n_segments": 1},
    "segments": {"n_tracks": 4, "n_segments": 2},
}  # told apart by `views.owners`
BLOCK = 2048
PREDICTED_BLOCK = 8192  # events among which those of like size are looked for


def images(events, names=("top",), n_channels=1):
    """Images of one view, or name -> images of several; each (event, ..., channel) uint8."""
    made = views.images(events, names, n_channels)
    return made if len(names) > 1 else made[names[0]]


def numbers(events, target="tracks"):
    """(event,) true number of tracks, or of segments up to the highest of TARGETS, that or more; -1 where it
    is unknown.

    Segments are known where all tracks of an event are in the table.
    """
    n_tracks = events.info["n_tracks"]
    if target == "segments":
        known = n_tracks == np.diff(events.track_offsets)
        return np.where(known, np.minimum(events.n_segments, TARGETS[target][-1]), -1)
    return n_tracks


def classes(events, source="events", target="tracks"):
    """(event,) int32 class of each event, its number of tracks, or of segments, less one.

    Raises:
        ValueError: an event whose number is unknown or not one of TARGETS.
    """
    labels, number = TARGETS[target], numbers(events, target)
    bad = np.flatnonzero((number < 1) | (number > labels[-1]))
    if len(bad):
        raise ValueError(
            f"{source}: event {bad[0]} has {number[bad[0]]} {target} (-1 is unknown); counting needs 1 to {labels[-1]}"
        )
    return (number - 1).astype(np.int32)


def predict(model, events, batch_size=128, target="tracks"):
    """Let a trained counter count the tracks, or segments, of a table, block by block.

    A model of one channel counts on one tracker side: it sees each side alone, and the two counts are added.
    A side, or an event, without hits has none. Events of like size are looked at together: a transformer pads
    all of a batch to its longest.

    Args:
        model: its inputs are named after views; its output is the probability of 1 to n tracks. target: what
            it counts, of TARGETS.
    Returns:
        (event, 2 n + 1) float: probability of 0 to 2 n tracks; of segments (event, n + 1), the last n or
            more, as in `numbers`.
    """
    names, n_channels = tuple(tensor.name for tensor in model.inputs), model.inputs[0].shape[-1]
    if not set(names) <= set(views.SHAPES):
        raise ValueError(f"model {model.name} is no counter: it takes {', '.join(names)} and no view")
    starts = range(0, len(events), PREDICTED_BLOCK)
    blocks = [
        _predict_block(model, events[i : i + PREDICTED_BLOCK], names, n_channels, batch_size) for i in starts
    ]
    probabilities = np.concatenate([np.zeros((0, 2 * model.output_shape[-1] + 1)), *blocks])
    return up_to(TARGETS[target][-1], probabilities) if target == "segments" else probabilities


def _predict_block(model, events, names, n_channels, batch_size):
    n_classes = model.output_shape[-1]
    total = np.zeros((len(events), 2 * n_classes + 1))
    total[:, 0] = 1
    parts = (
        [events] if n_channels == 2 else [events.keep_hits(events.hits["side"] == side) for side in (0, 1)]
    )
    for part in parts:
        filled = np.argsort(part.n_hits, kind="stable")[np.count_nonzero(part.n_hits == 0) :]
        if len(filled):
            one = model.predict(images(part[filled], names, n_channels), batch_size, verbose=0)
            before = total[filled]
            total[filled] = 0
            for k in range(n_classes):  # the sum of two counts: their distributions convolved
                total[filled, k + 1 :] += one[:, k : k + 1] * before[:, : -(k + 1)]
    return total


def up_to(most, probabilities):
    """(event, most + 1) probability of 0, 1, ..., `most` or more, from those of 0 to any number, (event,
    number).
    """
    return np.column_stack([probabilities[:, :most], probabilities[:, most:].sum(1)])


@dataclass
class CountingData:
    """What a training that counts tracks needs; datasets of (images, class) batches.

    Attributes:
        train: without end. val: validation events. tests: name -> test events; "test" belongs to the
            training's own source.
        description: where all of it came from, for the card.
    """

    train: tf.data.Dataset
    val: tf.data.Dataset
    tests: dict
    description: dict


def load(
    names=("top",),
    paths=None,
    generate=None,
    n_channels=1,
    batch_size=64,
    seed=0,
    n_val=16384,
    n_test=65536,
    test_paths=None,
    target="tracks",
    owners_in=None,
    **kwargs,
):
    """Training, validation and test events, from files or from a generator.

    Args:
        names: views to make. n_channels: 2 puts the tracker sides into channels of their own, 1 is for events
            on one side.
        paths: files to train on, split by file; without them the generator makes fresh events.
        generate: function (n_events, seed=, first_event=) -> Events, such as
            `my_generator.straight_lines.generate`.
        test_paths: files that are only tested on, as "files". target: what the classes count, of TARGETS.
        owners_in: with a number of pixels, a training on one view learns too which tracks, or segments, are
            in each piece of so many pixels of a row: labels of training and validation are {"n_tracks":
            class, "owners": `views.owners`}, and a batch holds events with about the same number of lit
            pieces.
        kwargs: `first_event` where a resumed run goes on in the generator's stream; `block` events made at a
            time.
    Raises:
        ValueError: events that cannot be trained or tested on, as `check` finds; of a file it names the file.
    """
    shape = {"names": names, "n_channels": n_channels, "batch_size": batch_size, "target": target}
    if paths:
        kwargs.pop("first_event", None)
        train, val, test, description = from_files(paths, seed=seed, owners_in=owners_in, **shape, **kwargs)
    else:
        train, val, test = from_generator(
            generate, seed=seed, n_val=n_val, n_test=n_test, owners_in=owners_in, **shape, **kwargs
        )
        description = {
            "generator": generate.__module__,
            "seeds": {"train": [seed, 0], "val": [seed, 1], "test": [seed, 2]},
        }
        description |= {"n_val": n_val, "n_test": n_test}
    data = CountingData(train, val, {"test": test}, description)
    if test_paths:
        data.tests["files"] = from_events(read(test_paths, n_channels, target), **shape)
        data.description["test_files"] = files.checksums(test_paths)
    return data


def from_generator(
    generate,
    names=("top",),
    n_channels=1,
    batch_size=64,
    seed=0,
    first_event=0,
    n_val=16384,
    n_test=65536,
    block=BLOCK,
    target="tracks",
    owners_in=None,
):
    """Endless fresh training events, and fixed validation and test events with seeds of their own; arguments
    as `load`.

    Returns:
        (train, val, test).
    """

    block = _whole_batches(block, batch_size)

    def endless():
        start = first_event
        while True:
            yield generate(block, seed=[seed, 0], first_event=start)
            start += block

    val, test = (generate(n, seed=[seed, split]) for split, n in ((1, n_val), (2, n_test)))
    shape = {"names": names, "n_channels": n_channels, "batch_size": batch_size, "target": target}
    return (
        _dataset(endless, **shape, owners_in=owners_in, seed=[seed, 3, first_event]),
        from_events(val, **shape, block=block, owners_in=owners_in, source=generate.__module__),
        from_events(test, **shape, block=block, source=generate.__module__),
    )


def from_files(
    paths, names=("top",), n_channels=1, batch_size=64, seed=0, block=BLOCK, target="tracks", owners_in=None
):
    """Events of files, split by file; arguments as `load`.

    Returns:
        (train, val, test, description): train goes round and round in a new order each time.
    """
    split = split_files(paths, seed)
    train, val, test = (read(split[name], n_channels, target) for name in ("train", "val", "test"))
    description = {"files": {name: files.checksums(split[name]) for name in split}}
    description |= {"n_train": len(train), "n_val": len(val), "n_test": len(test)}
    shape = {
        "names": names,
        "n_channels": n_channels,
        "batch_size": batch_size,
        "block": block,
        "target": target,
    }
    train, val = (
        from_events(train, shuffle_seed=seed, owners_in=owners_in, **shape),
        from_events(val, owners_in=owners_in, **shape),
    )
    return train, val, from_events(test, **shape), description


def split_files(paths, seed=0):
    """Split -> files of train, val and test: of every series `name_0.root, name_1.root, ...` a tenth each, at
    least one file, is validation and test.

    Raises:
        ValueError: a series of fewer than three files.
    """
    series = defaultdict(list)
    for path in files.expand(paths):
        series[path.parent / re.sub(r"\d+$", "", Path(path).stem)].append(path)
    split = {"train": [], "val": [], "test": []}
    rng = np.random.default_rng(seed)
    for name, members in sorted(series.items()):
        if len(members) < 3:
            raise ValueError(
                f"{name}*: {len(members)} files; a split by file needs three of each series for train, val and test"
            )
        members = [members[i] for i in rng.permutation(len(members))]
        n = max(1, len(members) // 10)
        split["val"] += members[:n]
        split["test"] += members[n : 2 * n]
        split["train"] += members[2 * n :]
    return split


def sides_of_files(paths):
    """How many tracker sides the events of files may use: 1 where all files are the straight-line
    generator's.
    """
    return 1 if {open_events.kind_of(path) for path in files.expand(paths)} == {"my_generator"} else 2


def read(paths, n_channels=1, target="tracks"):
    """All events of files as one table.

    Raises:
        ValueError: events that `check` refuses; names the file.
    """
    tables = []
    for path in files.expand(paths):
        tables.append(open_events.read(path, progress=True))
        check(tables[-1], n_channels, target, path)
    return concatenate(tables)


def check(events, n_channels=1, target="tracks", source="events"):
    """See that events can be trained or tested on now, rather than in the middle of a training.

    Raises:
        ValueError: an event of an unknown number, or one on both tracker sides where there is one channel: a
            model of one channel counts on one side, see `predict`.
    """
    classes(events, source, target)
    side = events.hits["side"]
    on_side = [np.bincount(events.hit_event[side == s], minlength=len(events)) > 0 for s in (0, 1)]
    both = np.flatnonzero(on_side[0] & on_side[1])
    if n_channels == 1 and len(both):
        raise ValueError(
            f"{source}: event {both[0]} has hits on both tracker sides, but there is one channel: --sides 2 gives two"
        )


def from_events(
    events,
    names=("top",),
    n_channels=1,
    batch_size=64,
    shuffle_seed=None,
    block=BLOCK,
    target="tracks",
    owners_in=None,
    source="events",
):
    """A table as (images, class) batches: once, in order; or with `shuffle_seed` without end, in a new order
    each time.
    """
    check(events, n_channels, target, source)
    block = _whole_batches(block, batch_size)

    def blocks():
        rng = np.random.default_rng(shuffle_seed)
        while True:
            order = np.arange(len(events)) if shuffle_seed is None else rng.permutation(len(events))
            for start in range(0, len(order), block):
                yield events[order[start : start + block]]
            if shuffle_seed is None:
                return

    dataset = _dataset(blocks, names, n_channels, batch_size, target, owners_in, shuffle_seed)
    if shuffle_seed is None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-len(events) // batch_size)))
    return dataset


def _dataset(blocks, names, n_channels, batch_size, target, owners_in=None, seed=None):
    """(images, label) batches from a function that gives an iterator of tables; their images are made a table
    at a time.

    Batches are cut here and not by `tf.data`, because under OneDeviceStrategy TensorFlow 2.21 silently drops
    `rebatch`.
    """
    spec = {name: tf.TensorSpec((None, *views.SHAPES[name], n_channels), tf.uint8) for name in names}
    spec = (spec if len(names) > 1 else spec[names[0]], tf.TensorSpec((None,), tf.int32))
    if owners_in:
        spec = (spec[0], {"n_tracks": spec[1], "owners": tf.TensorSpec((None,) * 4, tf.uint8)})

    def batches():
        rng = np.random.default_rng(0 if seed is None else seed)
        for events in blocks():
            arrays = images(events, names, n_channels), classes(events, target=target)
            order, starts = np.arange(len(events)), range(0, len(events), batch_size)
            if owners_in:
                arrays = (
                    arrays[0],
                    {
                        "n_tracks": arrays[1],
                        "owners": views.owners(events, names[0], owners_in, **OWNERS[target]),
                    },
                )
                order = np.argsort(
                    _n_lit_pieces(arrays[0], owners_in) + rng.uniform(0, 8, len(events)), kind="stable"
                )
                starts = rng.permutation(starts)
            for start in starts:
                yield tf.nest.map_structure(
                    lambda array, some=order[start : start + batch_size]: array[some], arrays
                )

    return tf.data.Dataset.from_generator(batches, output_signature=spec).prefetch(tf.data.AUTOTUNE)


def _n_lit_pieces(images, length):
    """(event,) pieces of `length` pixels of a row in which some pixel is lit."""
    return np.logical_or.reduceat(images.any(-1), np.arange(0, images.shape[2], length), axis=2).sum((1, 2))


def _whole_batches(block, batch_size):
    """The size of a block that holds whole batches."""
    return max(1, block // batch_size) * batch_size
