"""Event tables to `tf.data`, once for all tasks: files or a generator, seeds, splits, batches of events of
like size.

A task, such as that of `datasets.number_of_tracks`, says only what its inputs and labels are. Only event
tables stay in memory (about 0.7 kB an event): inputs are made a batch at a time. TensorFlow is imported where
a dataset is made.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

from datasets.events import concatenate
from datasets.readers import files, open_events

BLOCK = 2048  # events made, or shuffled into batches, together
SIZE_BLUR = (
    8  # events of like size are not always the same ones together: sizes count up to so much more
)


@dataclass(frozen=True)
class Task:
    """What a network learns from, and what it is to say of it.

    Attributes:
        inputs, labels: function Events -> array, or name -> array, event first.
        signature: function () -> (inputs, labels), the same as `tf.TensorSpec`.
        size: function Events -> (event,) number: batches to learn from hold events of about the same size,
            since inputs are padded to the largest of a batch. None: events keep their order.
        check: function (Events, source): raises a ValueError for events that cannot be learned from or tested
            on.
    """

    inputs: Callable
    labels: Callable
    signature: Callable
    size: Callable | None = None
    check: Callable = lambda events, source: None


@dataclass
class Data:
    """What a training needs.

    Attributes:
        train: `tf.data.Dataset` of (inputs, labels) without end. val: the same, once. val_events: the table
            that it is made from.
        tests: name -> Events; "test" belongs to the training's own source, "files" to files that are only
            tested on.
        description: where all of it came from, for the card.
    """

    train: object
    val: object
    val_events: object
    tests: dict
    description: dict


def load(
    task,
    generate=None,
    paths=None,
    test_paths=None,
    batch_size=64,
    seed=0,
    n_val=16384,
    n_test=65536,
    **more,
):
    """Training, validation and test events, from files or from a generator.

    Args:
        task: Task. paths: files to train on, split by file; without them the generator makes fresh events.
        generate: function (n_events, seed=, first_event=) -> Events, such as
            `my_generator.straight_lines.generate`.
        test_paths: files that are only tested on.
        more: `first_event` where a resumed run goes on in the generator's stream; `block` events made at a
            time.
    Returns:
        Data.
    Raises:
        ValueError: events that the task cannot learn from; names the file, or the generator.
    """
    if paths:
        more.pop("first_event", None)
        data = from_files(task, paths, batch_size, seed, **more)
    else:
        data = from_generator(task, generate, batch_size, seed, n_val=n_val, n_test=n_test, **more)
    if test_paths:
        data.tests["files"] = read(task, test_paths)
        data.description["test_files"] = files.checksums(test_paths)
    return data


def from_generator(
    task, generate, batch_size=64, seed=0, first_event=0, n_val=16384, n_test=65536, block=BLOCK
):
    """Endless fresh training events, and fixed validation and test events with seeds of their own; as `load`."""
    block = _whole_batches(block, batch_size)

    def tables():
        for start in count(first_event, block):
            yield generate(block, seed=[seed, 0], first_event=start)

    source = generate.__module__
    val = generate(n_val, seed=[seed, 1])
    test = generate(n_test, seed=[seed, 2])
    task.check(test, source)
    description = {
        "generator": source,
        "seeds": {"train": [seed, 0], "val": [seed, 1], "test": [seed, 2]},
        "n_val": n_val,
        "n_test": n_test,
    }
    return Data(
        dataset(task, tables, batch_size, seed=[seed, 3, first_event]),
        from_events(task, val, batch_size, block=block, source=source),
        val,
        {"test": test},
        description,
    )


def from_files(task, paths, batch_size=64, seed=0, block=BLOCK):
    """Events of files, split by file; training goes round and round in a new order each time; as `load`."""
    split = split_files(paths, seed)
    tables = {name: read(task, split[name]) for name in split}
    description = {"files": {name: files.checksums(split[name]) for name in split}}
    description |= {f"n_{name}": len(table) for name, table in tables.items()}
    return Data(
        from_events(task, tables["train"], batch_size, shuffle_seed=seed, block=block),
        from_events(task, tables["val"], batch_size, block=block),
        tables["val"],
        {"test": tables["test"]},
        description,
    )


def split_files(paths, seed=0):
    """Split -> files of train, val and test.

    Of every series `name_0.root, name_1.root, ...` a tenth each, at least one file, is validation and test.

    Raises:
        ValueError: a series of fewer than three files.
    """
    series = defaultdict(list)
    for path in files.expand(paths):
        series[path.parent / re.sub(r"\d+$", "", path.stem)].append(path)
    split = {"train": [], "val": [], "test": []}
    rng = np.random.default_rng(seed)
    for name, members in sorted(series.items()):
        if len(members) < 3:
            need = "a split by file needs three of each series for train, val and test"
            raise ValueError(f"{name}*: {len(members)} files; {need}")
        members = [members[i] for i in rng.permutation(len(members))]
        n = max(1, len(members) // 10)
        split["val"] += members[:n]
        split["test"] += members[n : 2 * n]
        split["train"] += members[2 * n :]
    return split


def read(task, paths):
    """All events of files as one table.

    Raises:
        ValueError: events that the task cannot learn from or be tested on; names the file.
    """
    tables = []
    for path in files.expand(paths):
        events = open_events.read(path, progress=True)
        task.check(events, path)
        tables.append(events)
    return concatenate(tables)


def from_events(task, events, batch_size=64, shuffle_seed=None, block=BLOCK, source="events"):
    """A table as (inputs, labels) batches: once; or with `shuffle_seed` without end, in a new order each
    time.
    """
    import tensorflow as tf

    task.check(events, source)
    block = _whole_batches(block, batch_size)

    def tables():
        rng = np.random.default_rng(shuffle_seed)
        while True:
            order = np.arange(len(events)) if shuffle_seed is None else rng.permutation(len(events))
            for start in range(0, len(order), block):
                yield events[order[start : start + block]]
            if shuffle_seed is None:
                return

    made = dataset(task, tables, batch_size, seed=shuffle_seed or 0)
    if shuffle_seed is None:
        n_batches = -(-len(events) // batch_size)
        made = made.apply(tf.data.experimental.assert_cardinality(n_batches))
    return made


def dataset(task, tables, batch_size, seed=0):
    """(inputs, labels) batches as `tf.data`, from a function that gives an iterator of tables.

    Batches are cut here and not by `tf.data`, because under OneDeviceStrategy TensorFlow 2.21 silently drops
    `rebatch`.
    """
    import tensorflow as tf

    def batches():
        rng = np.random.default_rng(seed)
        for events in tables():
            for some in parts(task, events, batch_size, rng):
                yield task.inputs(some), task.labels(some)

    made = tf.data.Dataset.from_generator(batches, output_signature=task.signature())
    return made.prefetch(tf.data.AUTOTUNE)


def parts(task, events, batch_size, rng):
    """The table in parts of a batch each: of events of like size, in random order, or as they come."""
    if task.size is None:
        starts = range(0, len(events), batch_size)
        order = np.arange(len(events))
    else:
        order = np.argsort(
            task.size(events) + rng.uniform(0, SIZE_BLUR, len(events)), kind="stable"
        )
        starts = rng.permutation(range(0, len(events), batch_size))
    for start in starts:
        yield events[order[start : start + batch_size]]


def _whole_batches(block, batch_size):
    """The size of a block that holds whole batches."""
    return max(1, block // batch_size) * batch_size
