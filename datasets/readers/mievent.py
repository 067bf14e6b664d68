"""Read files of MiModule (github.com/miroslav-macko/MiModule): calibrated hits of Falaise as `MiEvent` objects.

A file holds a tree `Event` with a branch `Eventdata`, as TKEvent's do, but of class MiEvent: the bank CD is the
wire, radius and height of each tracker hit, and the energy, time and address of each calorimeter block that
fired; the table takes these. PTD and SD hold no tracker hits, so nothing says which particle made one: `track`
and `n_tracks` are -1. A height of exactly 0 is what Falaise writes where both cathodes are missing, and becomes
NaN.
"""

from functools import partial

import awkward as ak
import numpy as np

from datasets.events import (
    BLOCK_FIELDS,
    HIT_FIELDS,
    check_sizes,
    concatenate,
    make_events,
    offsets_of,
)
from datasets.geometry import CELL_MM, N_COLUMNS, N_LAYERS, wire_x_mm, wire_y_mm
from datasets.readers import brio, files

TREE = "Event"
BRANCH = "Eventdata"
CLASS = "MiEvent"
HIT = "CD.trackerhit."
BLOCK = "CD.calohit."
PLACE = ("X", "Y")  # of the wire, mm
MEASURED = {"R": "drift_radius_mm", "Z": "z_mm"}
ADDRESS = (
    "type",
    "module",
    "side",
    "wall",
    "column",
    "row",
)  # texts: the type, then the numbers of its address
WIRE_MM = 1.0  # from its place in the detector, that a wire may be
FEWEST_EVENTS = 100  # of a chunk


def stream(paths, chunk="10 MB", progress=False):
    """Events of files, a chunk at a time, in bounded memory.

    Args:
        paths: a file, a glob, or a list of them. chunk: bytes or number of events read at once. progress:
            draw a bar.
    Yields:
        Events.
    Raises:
        ValueError: a file that is missing, truncated, foreign or out of range; names the file.
    """
    yield from files.stream(paths, partial(_tables, chunk=chunk), progress)


def read(paths, progress=False):
    """All events of files as one table."""
    return concatenate(stream(paths, progress=progress))


def is_one(tree):
    """Whether a tree holds events of MiModule."""
    return BRANCH in tree and tree[BRANCH].typename == CLASS


def _tables(file, path, within_file, chunk):
    """Events of an open file, a chunk at a time."""
    tree = file[TREE]
    branches = {branch.name: branch for branch in tree[BRANCH].itervalues()}
    hit_names = [HIT + name for name in (*PLACE, *MEASURED)]
    block_names = [BLOCK + name for name in ("E", "t", *[f"GID.{part}" for part in ADDRESS])]
    missing = [name for name in hit_names + block_names if name not in branches]
    if missing:
        raise ValueError(f"branch {BRANCH} of {CLASS} has no {', '.join(missing)}")
    n_entries = tree.num_entries
    step = chunk
    if isinstance(chunk, str):
        wanted = [f"{BRANCH}/CD/{HIT[:-1]}/{name}" for name in hit_names]
        step = max(FEWEST_EVENTS, tree.num_entries_for(chunk, wanted))
    for start in range(0, n_entries, step):
        stop = min(start + step, n_entries)
        hits, hit_offsets = _flat(branches, hit_names, start, stop)
        check_sizes(hit_offsets, str(path), start)
        blocks, block_offsets = _flat(branches, block_names, start, stop)
        yield make_events(
            _hits(hits, hit_offsets, start),
            hit_offsets,
            info={"event": np.arange(start, stop)},
            source=str(path),
            first_entry=start,
            blocks=_blocks(blocks),
            block_offsets=block_offsets,
        )
        within_file(stop / n_entries)


def _flat(branches, names, start, stop):
    """(name -> (thing,) array, offsets) of branches of one vector."""
    flat = {}
    counts = None
    for name in names:
        values = branches[name].array(entry_start=start, entry_stop=stop)
        if len(values) != stop - start:
            raise ValueError(f"branch {name} has no {stop - start} entries from {start} on")
        own_counts = ak.to_numpy(ak.num(values))
        if counts is not None and (own_counts != counts).any():
            raise ValueError(f"branch {name} has other numbers of entries than {names[0]}")
        counts = own_counts
        flat[name] = ak.to_numpy(ak.flatten(values))
    return flat, offsets_of(counts)


def _hits(hits, offsets, start):
    """The event table's hits; a value that it does not allow is unknown."""
    x, y = (hits[HIT + name] for name in PLACE)
    side = (x > 0).astype(np.int64)
    layer = _nearest((np.abs(x) - wire_x_mm(1, 0)) / CELL_MM, N_LAYERS)
    column = _nearest((y - wire_y_mm(0)) / CELL_MM, N_COLUMNS)
    apart = np.hypot(x - wire_x_mm(side, layer), y - wire_y_mm(column))
    bad = np.flatnonzero(~(apart <= WIRE_MM))
    if len(bad):
        entry = start + np.searchsorted(offsets, bad[0], side="right") - 1
        at = f"a wire at x {x[bad[0]]:.1f}, y {y[bad[0]]:.1f} mm"
        raise ValueError(f"entry {entry}: {at} is none of the detector: another geometry")
    table = {"side": side, "layer": layer, "column": column}
    for member, name in MEASURED.items():
        table[name] = _possible(hits[HIT + member], HIT_FIELDS[name])
    table["z_mm"] = np.where(table["z_mm"] == 0, np.nan, table["z_mm"])
    return table


def _nearest(place, n):
    """The nearest of the whole numbers 0..n - 1, 0 for NaN."""
    return np.rint(np.nan_to_num(place).clip(0, n - 1)).astype(np.int64)


def _possible(values, field):
    """The values, NaN where they are outside the range of their field."""
    _, _, lowest, highest = field
    return np.where((values >= lowest) & (values <= highest), values, np.nan)


def _blocks(members):
    """The event table's blocks; one at no place of the detector has fired somewhere."""
    texts = [members[f"{BLOCK}GID.{part}"] for part in ADDRESS]
    rows = []
    for kind, *address in zip(*texts, strict=True):
        numbers = []
        for text in address:
            if not str(text).isdecimal():
                break
            numbers.append(int(text))
        geom_id = {"type": int(kind) if str(kind).isdecimal() else None, "address": tuple(numbers)}
        rows.append(brio.block_at(geom_id))
    blocks = {
        name: np.array([row.get(name, -1) for row in rows], np.int64) for name in brio.ADDRESS
    }
    blocks["energy_mev"] = _possible(members[f"{BLOCK}E"] / 1000, BLOCK_FIELDS["energy_mev"])
    blocks["time_ns"] = _possible(members[f"{BLOCK}t"], BLOCK_FIELDS["time_ns"])
    return blocks
