"""Read `.brio` files of Falaise and of the acquisition, without Falaise: banks as dictionaries, tracker hits
as an event table.

    events = brio.read("run-724.brio")
    for banks in brio.iter_events("reconstructed.brio", banks=["CD", "PTD"]):
        print(len(banks["CD"]["tracker_hits"]), [track["charge"] for track in banks["PTD"]["particles"]])

A `.brio` file is a ROOT file; an entry of its tree `ER` is one event, written as one Boost archive ("eos
portable" binary). There is no index in it, so the banks of an event, which come in ASCII order, are decoded
up to the last one that is wanted.

| bank | content |
| --- | --- |
| CD | calibrated hits: drift radius, z and their errors; energies |
| EH | run and event number |
| PTD, TTD, TCD | reconstruction: particles, fitted trajectories, clusters of tracker hits |
| SD | true steps of a simulation; those in the tracker (`gg`) know their particle |
| UDD | digitized hits of the acquisition: times, no drift radius |

`datasets.readers.brio_classes` lists the names inside, as in `banks["CD"]["tracker_hits"][0]["r"]`. A handle
is what it points to (None if null), what several handles share is one object, properties are a dictionary of
their values.

The event table takes its hits from CD, else UDD, else SD, and so its calorimeter blocks; no bank says which
particle made a calorimeter hit, so their `track` is -1. Where there is SD, the particles, primary or
secondary, that made a true hit in the tracker of an event are counted 0, 1, ... in the order of their Geant4
numbers; `n_particles` is how many they are, even if the detector missed all hits of one. A cell belongs to
the particle that came nearest to its wire, and to the others that made a true hit in it. What a particle has
on one tracker side is a visible track if these are `VISIBLE_CELLS` cells or more that fired; one that is seen
on both sides has a track on each. `n_tracks` counts visible tracks, `track` of a hit is the one that came
nearest, `second_track` the next one, and both are -1 in cells that belong to none. Without SD all of these
are -1.

A bank that is not understood ends there: the next ones that are known are looked for behind it, which is
possible where they have nothing in common with it but the simplest types. What cannot be read is said in one
warning a file, and stays unknown; it is an error only where no hits are left, or where the bank of the hits
is damaged.

A hit without a usable measurement stays, with NaN for the value and its error:

- radius: UDD knows none; in CD and SD one that is outside the range of the event table;
- height: in SD and CD one outside that range; in CD both cathodes missing, where Falaise's simulation writes
  0 (of one alone it computes a height, with a larger error); in UDD a cathode missing or before the anode.
  UDD's heights are those of `drift.height_mm`, as TKEvent's and those of Falaise for real data, which use the
  effective length of the wire.

True steps end at their wire, so their radii are right in any geometry; a file whose wires are not where the
detector has them is named in a warning.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from math import hypot, inf, isnan, nan

import numpy as np
import uproot

from datasets.drift import (
    CALO_DELAY_NS,
    LONGEST_DRIFT_NS,
    drift_radius_mm,
    height_mm,
    time_since_calorimeter,
)
from datasets.events import (
    BLOCK_FIELDS,
    HIT_FIELDS,
    VISIBLE_CELLS,
    concatenate,
    make_events,
    offsets_of,
    one_a_cell,
)
from datasets.geometry import (
    GAMMA_VETO,
    MAIN_WALL,
    N_MAIN_COLUMNS,
    N_MAIN_ROWS,
    N_SIDES,
    N_VETO_COLUMNS,
    N_X_COLUMNS,
    N_X_ROWS,
    X_WALL,
    block_face_mm,
    wire_x_mm,
    wire_y_mm,
)
from datasets.readers import files
from datasets.readers.boost_archive import (
    Archive,
    Class,
    Unknown,
    Unreadable,
    pointer,
    record,
    string,
)
from datasets.readers.brio_classes import BANKS, BASE, COMMON, PROPERTIES, check_n_hits

TRACKER_TICK_NS = 12.5
CALO_TICK_NS = 6.25
NO_CATHODE = 4 | 8  # the traits of a calibrated hit that miss the bottom and the top one
TRACKER = (1203, 1204)  # geometry types: [module, side, layer, row]; row is our column
# Types of blocks: ours, and how many blocks each number of their address after the module counts
MAIN_BLOCK = (MAIN_WALL, {"side": N_SIDES, "column": N_MAIN_COLUMNS, "row": N_MAIN_ROWS})
X_BLOCK = (X_WALL, {"side": N_SIDES, "wall": 2, "column": N_X_COLUMNS, "row": N_X_ROWS})
VETO_BLOCK = (GAMMA_VETO, {"side": N_SIDES, "wall": 2, "column": N_VETO_COLUMNS})
CALO = {  # by geometry type
    1301: MAIN_BLOCK,
    1302: MAIN_BLOCK,
    1231: X_BLOCK,
    1232: X_BLOCK,
    1251: VETO_BLOCK,
    1252: VETO_BLOCK,
}
CALO_STEPS = ("calo", "xcalo", "gveto")
NOWHERE = {"type": None, "address": ()}

# name -> (type, value where it is not known); the details are what is known of a hit beside the event table
DETAILS = {
    "sigma_r_mm": (np.float64, nan),
    "sigma_z_mm": (np.float64, nan),
    "anode_time_ns": (np.float64, nan),
    "bottom_time_ns": (np.float64, nan),
    "top_time_ns": (np.float64, nan),
    "delayed_time_ns": (np.float64, nan),
    "cluster": (np.int64, -1),
    "trajectory": (np.int64, -1),
    "reconstructed": (np.int64, -1),
    "particle": (np.int64, -1),
}
PLACE = dict.fromkeys(("wire_x_mm", "wire_y_mm"), (np.float64, nan))
CELL = ("side", "layer", "column")
ADDRESS = ("calo_type", "side", "wall", "column", "row")
CALO_COLUMNS = dict.fromkeys(ADDRESS, (np.int64, -1))
CALO_COLUMNS |= dict.fromkeys(
    ("energy_mev", "sigma_energy_mev", "time_ns", "sigma_time_ns"), (np.float64, nan)
)


def _wide(dtype):
    """The type in which values are collected before their range is checked."""
    return np.int64 if np.dtype(dtype).kind == "i" else np.float64


HIT_COLUMNS = (
    {name: (_wide(dtype), default) for name, (dtype, default, *_) in HIT_FIELDS.items()}
    | DETAILS
    | PLACE
)
WORDS = {"hits": {"column": "row", "drift_radius_mm": "r", "z_mm": "z"}}  # of the file, for errors
RAW = uproot.AsJagged(uproot.AsDtype("u1"))
TOBJECT_SIZE = 10  # version, id, bits
LONG_TEXT = 255  # instead of a length that one byte cannot hold
HIT_BANKS = ("CD", "UDD", "SD")  # the best first
TRUTH = frozenset(["SD"])
LABELS = frozenset(["SD", "PTD", "TCD", "TTD"])
WIRES_APART_MM = 1.0  # in one geometry they are the same to a rounding error


# ---- bytes to banks ----------------------------------------------------------------------------------------


def iter_events(path, banks=None, waveforms=False):
    """The banks of a file, an event at a time, in bounded memory.

    Args:
        path: the file. banks: names of those to give, where the event has them; None: all. Fewer is faster,
            CD alone much faster.
        waveforms: decode the waveforms in UDD too, (sample,) int16; otherwise they are None.
    Yields:
        name of a bank -> its content, as dictionaries, lists, tuples and numbers.
    Raises:
        ValueError: a file that is damaged, or in which one of these banks is not understood or cannot be found
            behind one that is not; names the file, the entry, the class and its version.
    """
    with files.open_root(path) as file:
        yield from _each_entry(file, "ER", lambda entry, raw: decode(raw, banks, waveforms))


def metadata(path):
    """The property lists in the file's tree `GI`: which programs wrote it, with what settings."""
    with files.open_root(path) as file:
        return list(_each_entry(file, "GI", _properties))


def _properties(entry, raw):
    archive = Archive(archive_of(raw, "datatools::properties"))
    properties = PROPERTIES.read(archive)
    archive.finish()
    return properties


def _each_entry(file, name, function, within_file=None):
    """function(entry, bytes) of each entry of a tree, a basket at a time; errors name the entry.

    `within_file` is called with the fraction that is read.
    """
    if name not in file:
        raise ValueError(f"no tree {name}, only {file.keys()}")
    tree = file[name]
    branch = tree.branches[
        -1
    ]  # called after what it holds; in files of uproot a counter comes first
    offsets = branch.entry_offsets
    n_entries = tree.num_entries
    if offsets[-1] != n_entries or any(start > stop for start, stop in pairwise(offsets)):
        raise ValueError(f"tree {name}: baskets of {offsets[-1]} entries, {n_entries} expected")
    for start, stop in pairwise(offsets):
        basket = branch.array(RAW, start, stop, library="np", array_cache=None)
        if len(basket) != stop - start:
            raise ValueError(f"tree {name}: entries {start}..{stop} are not there")
        for entry, raw in enumerate(basket, start):
            try:
                value = function(entry, raw.tobytes())
            except Unreadable as error:
                raise ValueError(f"entry {entry}: {error}") from error
            yield value
            if within_file is not None:
                within_file((entry + 1) / n_entries)


def archive_of(raw, expected):
    """The archive in an entry: ROOT's `brio_record` is a TObject, a class name, a tag and a length, without
    byte counts.

    Args:
        raw: bytes of the entry. expected: the class name.
    """
    start = TOBJECT_SIZE
    length = _big_endian(raw, start, 1)
    start += 1
    if length == LONG_TEXT:
        length = _big_endian(raw, start, 4)
        start += 4
    name = raw[start : start + length]
    start += length
    tag = _big_endian(raw, start, 4)
    size = _big_endian(raw, start + 4, 4)
    start += 8
    size_there = len(raw) - start
    if raw[:2] != b"\0\1" or name != expected.encode() or tag or size != size_there:
        said = f"{name[:40]!r}, tag {tag}, {size} of {size_there} bytes"
        raise Unreadable(f"no record of {expected}: {said}")
    return raw[start:]


def _big_endian(raw, start, size):
    return int.from_bytes(raw[start : start + size], "big")


def decode(raw, banks=None, waveforms=False):
    """The banks in the bytes of one entry; see `iter_events`."""
    names = None if banks is None else set(banks)
    archive = _Event(raw, lambda found: names, waveforms)
    archive.read_banks()
    for name, error in archive.errors.items():
        if names is None or name in names or (archive.n_lost and names - archive.banks.keys()):
            raise error
    return {
        name: content for name, content in archive.banks.items() if names is None or name in names
    }


class _Event(Archive):
    """The archive of an event in the bytes of its entry.

    Attributes:
        banks: name -> content of those decoded so far, null pointers left out; bank: name of the last one
            met; errors: name -> why it was not understood; n_lost: how many were not met, yet or at all.
        wanted: function of `banks` that gives the names of those to read, None for all.
    """

    def __init__(self, raw, wanted, waveforms=False):
        super().__init__(archive_of(raw, "datatools::things"), waveforms)
        self.wanted = wanted
        self.banks = {}
        self.bank = ""
        self.errors = {}
        self.n_lost = 0

    def enough(self):
        """All banks that are wanted were met, or cannot come any more."""
        wanted = self.wanted(self.banks)
        if wanted is None:
            return False
        return self.bank > max(wanted, default="") or wanted <= self.banks.keys()

    def read_banks(self):
        """Read those that are wanted; what is not understood goes to `errors`.

        Raises:
            Unreadable: damage.
        """
        THINGS.read(self)
        if not self.enough() and not self.errors:
            self.finish()

    def find_banks(self):
        """Read the banks that are found behind one that was not understood.

        How long that was is not known, but each bank starts with its name and spells its class.
        """
        for match in BANK_START.finditer(self.data, self.position):
            start = match.start()
            name, n_types, spelled = self.bank_at(start)
            is_one = name in BANKS and spelled == BANKS[name].name and n_types >= len(self.types)
            if not is_one or start < self.position or name <= self.bank or self.enough():
                continue
            self.n_lost -= 1
            try:
                self.skip(start, n_types, COMMON, partial(_bank_behind, bank=self.bank))
            except Unreadable as error:
                self.errors[name] = error
                self.bank = name

    def bank_at(self, start):
        """(name, class id, class name) of the bank that starts there, as far as one does; its class is always new,
        so its id is the number of types before.
        """
        here = self.position
        self.position = start
        try:
            name, _, _, class_id, spelled = [read(self) for read in BANK_WORDS]
        except Unreadable:
            return "", -1, ""
        finally:
            self.position = here
        return name, class_id if class_id <= self.end else -1, spelled


def _content(archive):
    """What an entry of `things` points to; the well-known banks are of a certain class."""
    return CONTENTS.get(archive.bank, ANY_CONTENT)(archive)


def _bank(archive, version):
    name = string(archive)
    if name <= archive.bank:
        raise archive.error(f"bank {name[:20]!r} after {archive.bank[:20]!r}")
    archive.bank = name
    if not archive.enough():
        content = ENTRY.read(archive)["content"]
        if content:
            archive.banks[name] = content


def _bank_behind(archive, bank):
    """Read a bank that comes after another one; the next one must agree on the types met so far."""
    archive.bank = bank
    BANK.read(archive)
    name, n_types, _ = archive.bank_at(archive.position)
    if name in BANKS and n_types not in (-1, len(archive.types)):
        raise archive.error(
            f"{len(archive.types)} types before bank {name}, which counts {n_types}"
        )


def _banks(archive, version):
    archive.n_lost = archive.count()
    archive.integer()
    while archive.n_lost and not archive.enough():
        archive.n_lost -= 1
        try:
            BANK.read(archive)
        except Unknown as error:
            archive.errors[archive.bank] = error
            archive.find_banks()
            break


# name, description, flags, class id, class name
BANK_WORDS = (string, string, Archive.integer, Archive.integer, string)
BANK_START = re.compile(
    b"|".join(re.escape(bytes([1, len(name)]) + name.encode()) for name in BANKS)
)
CONTENTS = {name: pointer(kind, abstract=True) for name, kind in BANKS.items()}
ANY_CONTENT = pointer(*BANKS.values(), abstract=True)
ENTRY = record(
    "entry", 0, ("description", string), ("flags", Archive.integer), ("content", _content)
)
BANK = Class("pair<string,entry>", 0, _bank)
THINGS = record(
    "things",
    1,
    BASE,
    ("name", string),
    ("description", string),
    ("banks", Class("map<string,entry>", 0, _banks)),
)


# ---- banks to event tables ---------------------------------------------------------------------------------


def stream(
    paths, chunk=1000, progress=False, truth=True, drift_model=None, visible_cells=VISIBLE_CELLS
):
    """Event tables of files, some events at a time, in bounded memory.

    Args:
        paths: a file, a glob, or a list of them. chunk: number of events in a table. progress: draw a bar on
            the terminal.
        truth: False leaves out the owners of the hits in CD: faster.
        drift_model: "manchester" or "betsy" computes the radii of real hits, in UDD, from the time since the
            nearest calorimeter hit that was before; without one they are unknown.
        visible_cells: cells on a tracker side that make a particle's hits there a track.
    Yields:
        Events; `tracks` is empty.
    Raises:
        ValueError: as `iter_events`, or a value out of range; a bank that is not understood is a warning where
            there are hits without it.
    """
    labels = TRUTH if truth else frozenset()
    for events, _ in _stream(paths, chunk, progress, labels, drift_model, visible_cells):
        yield events


def read(paths, progress=False, truth=True, drift_model=None, visible_cells=VISIBLE_CELLS):
    """All events of files as one table."""
    options = {"truth": truth, "drift_model": drift_model, "visible_cells": visible_cells}
    return concatenate(stream(paths, progress=progress, **options))


def stream_details(
    paths, chunk=1000, progress=False, truth=True, drift_model=None, visible_cells=VISIBLE_CELLS
):
    """As `stream`, with what the event table has no field for.

    Yields:
        (Events, details): details is name -> (hit,) array, in the order of the hits in the table:
        sigma_r_mm, sigma_z_mm: errors (CD);
        anode_time_ns: when the anode's signal began, by the clock of the tracker (UDD) or since the decay
            (CD);
        bottom_time_ns, top_time_ns: when the plasma reached the cathodes, after the anode (UDD);
        delayed_time_ns: of delayed hits (CD); NaN where a time or an error is not known;
        cluster, trajectory, reconstructed: index of the hit's first cluster in `clusters` (TCD), first
            trajectory in `trajectories` (TTD) and first particle in `particles` (PTD), -1 for none;
        particle: index of the particle whose `track` the hit is, or of the nearest one in its cell if it is
            of no visible track (SD), -1 for none. None of the four with `truth=False`.
    """
    labels = LABELS if truth else frozenset()
    yield from _stream(paths, chunk, progress, labels, drift_model, visible_cells)


def _stream(paths, chunk, progress, labels, drift_model, visible_cells):
    """(Events, details); `labels` are the names of the banks that are wanted for labels."""
    if drift_model is not None:
        drift_radius_mm(0, drift_model)  # a wrong name is no file's fault
    found = partial(_found, labels=labels, visible_cells=visible_cells)
    tables = partial(_tables, found=found, chunk=chunk, drift_model=drift_model)
    yield from files.stream(paths, tables, progress)


@dataclass
class _Found:
    """What the event table needs of one entry.

    Attributes:
        hits: as those of `tracker_hits`, but a cell may have several. blocks: as `calo_hits` gives them.
        info: n_tracks, n_particles, run, event. digitized: the hits are from UDD.
        lost: a sentence on the banks that were not understood, "" where there is none.
    """

    hits: dict
    blocks: dict
    info: dict
    digitized: bool
    lost: str


def _tables(file, path, within_file, found, chunk, drift_model):
    """(Events, details) of an open file, `chunk` events at a time."""
    entries = _each_entry(file, "ER", found, within_file)
    entries = _with_one_warning(entries, path)
    first_entry = 0
    has_other_wires = False
    while some := list(islice(entries, chunk)):
        events, hits = _table(some, str(path), first_entry, drift_model)
        apart = _wires_apart_mm(hits)
        if apart > WIRES_APART_MM and not has_other_wires:
            has_other_wires = True
            said = f"its wires are {apart:.1f} mm from where the detector has them"
            files.say(path, f"{said}: another geometry")
        yield events, {name: hits[name] for name in DETAILS}
        first_entry += len(some)


def _with_one_warning(entries, path):
    """The same entries; the first one with banks that are not understood gives a warning."""
    warned = False
    for entry, found in enumerate(entries):
        if found.lost and not warned:
            files.say(path, f"entry {entry}: {found.lost}")
            warned = True
        yield found


def _wires_apart_mm(hits):
    """How far the wires are from where the detector has them: the median, 0 where none is known."""
    x = hits["wire_x_mm"] - wire_x_mm(hits["side"], hits["layer"])
    y = hits["wire_y_mm"] - wire_y_mm(hits["column"])
    apart = np.hypot(x, y)
    known = np.isfinite(apart)
    return np.median(apart[known]) if known.any() else 0


def _found(entry, raw, labels, visible_cells):
    """What there is in the bytes of an entry."""
    banks, lost = _hit_banks(raw, labels)
    hits, n_tracks, n_particles = _hits_and_owners(banks, visible_cells)
    numbers = {"run": -1, "event": entry}
    if "EH" in banks:
        numbers = banks["EH"]["event_id"]
    elif "UDD" in banks:
        numbers = banks["UDD"]
    info = {"n_tracks": n_tracks, "n_particles": n_particles}
    info |= {name: numbers[name] for name in ("run", "event")}
    digitized = "UDD" in banks and "CD" not in banks
    return _Found(hits, calo_hits(banks), info, digitized, lost)


def _hit_banks(raw, labels):
    """The banks of an entry that hits and labels need, and a sentence on those that are not understood.

    Here it is decided what stops a file: no bank of hits is left, or one that is better than those is damaged.
    """

    def wanted(found):
        hits = {"CD"} if "CD" in found else set(HIT_BANKS)
        return {"EH"} | hits | labels

    archive = _Event(raw, wanted)
    try:
        archive.read_banks()
    except Unreadable as damage:
        archive.errors[archive.bank] = damage
    banks = archive.banks
    sources = [name for name in HIT_BANKS if name in banks]
    better = HIT_BANKS[: HIT_BANKS.index(sources[0])] if sources else archive.errors
    for name, error in archive.errors.items():
        if not sources or (name in better and not isinstance(error, Unknown)):
            raise error
    return banks, _said_of(archive, sources)


def _said_of(archive, sources):
    """A sentence on the banks that are not understood, "" where all are."""
    if not archive.errors:
        return ""
    named = [f"bank {name}: {error}" for name, error in archive.errors.items()]
    said = [f"not understood: {'; '.join(named)}", f"hits are from {sources[0]}"]
    if archive.n_lost:
        said.append(f"lost: {archive.n_lost} behind it")
    if "SD" not in archive.banks:
        said.append("labels behind it are unknown")
    return f"{', '.join(said)}, there and in events like it"


def _table(found, source, first_entry, drift_model):
    """(Events, all columns of their hits) of some entries."""
    hits, offsets = _joined([event.hits for event in found])
    blocks, block_offsets = _joined([event.blocks for event in found])
    hits, offsets = _merged(hits, offsets)
    if drift_model is not None:
        radius = _drift_radius_mm(hits, offsets, blocks, block_offsets, drift_model)
        digitized = np.repeat([event.digitized for event in found], np.diff(offsets))
        hits["drift_radius_mm"] = np.where(digitized, radius, hits["drift_radius_mm"])
    events = make_events(
        {name: hits[name] for name in HIT_FIELDS},
        offsets,
        info={name: np.array([event.info[name] for event in found]) for name in found[0].info},
        source=source,
        branches=WORDS,
        first_entry=first_entry,
        blocks=_possible_blocks(blocks),
        block_offsets=block_offsets,
    )
    return events, hits


def _joined(parts):
    """One group of arrays of those of several events, and their offsets."""
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    counts = [len(part["column"]) for part in parts]
    return joined, offsets_of(counts)


def _merged(hits, offsets):
    """(hits, offsets) with one hit a cell: that with the smallest radius, of the earliest time if none is
    known.
    """
    kept = one_a_cell(hits, offsets, then_by=hits["anode_time_ns"])
    for name in CELL:  # a place that does not exist is an error later on, not a hit of another cell
        _, _, lowest, highest = HIT_FIELDS[name]
        kept |= (hits[name] < lowest) | (hits[name] > highest)
    return {name: values[kept] for name, values in hits.items()}, offsets_of(kept)[offsets]


def _drift_radius_mm(hits, offsets, blocks, block_offsets, drift_model):
    """(hit,) radii of real hits, NaN without a calorimeter hit before or where that is too long ago."""
    x = wire_x_mm(hits["side"], hits["layer"])
    place = np.column_stack([x, wire_y_mm(hits["column"]), np.nan_to_num(hits["z_mm"])])
    face = block_face_mm(*(blocks[name] for name in ADDRESS))
    time = time_since_calorimeter(
        place, hits["anode_time_ns"], offsets, face, blocks["time_ns"], block_offsets, CALO_DELAY_NS
    )
    return drift_radius_mm(np.where(time <= LONGEST_DRIFT_NS, time, np.nan), drift_model)


def _possible_blocks(blocks):
    """The event table's blocks: an energy or time out of range is unknown."""
    possible = {name: blocks[name] for name in ADDRESS}
    for name in ("energy_mev", "time_ns"):
        _, _, lowest, highest = BLOCK_FIELDS[name]
        inside = (blocks[name] >= lowest) & (blocks[name] <= highest)
        possible[name] = np.where(inside, blocks[name], nan)
    return possible


# ---- banks to hits -----------------------------------------------------------------------------------------


def tracker_hits(banks, visible_cells=VISIBLE_CELLS):
    """Tracker hits of one event, one a cell, in the order of the bank.

    Args:
        banks: hits are taken from CD, else UDD, else SD, owners from SD, clusters from TCD, trajectories from
            TTD, particles from PTD, as far as they are there. visible_cells: as `stream`.
    Returns:
        (hits, n_tracks): name -> (hit,) array, the hit fields of the event table (ranges not checked yet), the
        details of `stream_details` and the place of the wire, where the file tells it; number of visible
        tracks, -1 without SD.
    """
    hits, n_tracks, _ = _hits_and_owners(banks, visible_cells)
    merged, _ = _merged(*_joined([hits]))
    return merged, n_tracks


def _hits_and_owners(banks, visible_cells):
    """(hits, n_tracks, n_particles), hits as `tracker_hits`, but a cell may have several; all of them have its
    owners.
    """
    measured = [(_cell(hit), fields) for hit, fields in _measured(banks)]
    owners, n_particles = _owners(banks)
    track_of = _visible_tracks(owners, {cell for cell, _ in measured}, visible_cells)
    n_tracks = len(track_of) if n_particles >= 0 else -1
    found = {
        "cluster": _first_in(_cells_of_clusters(banks)),
        "trajectory": _first_in(_fitted_cells(trajectory) for trajectory in trajectories(banks)),
        "reconstructed": _first_in(_cells_of_particles(banks)),
    }
    in_cell = {}
    for cell, fields in measured:
        labels = _owner_labels(owners.get(cell, ()), cell, track_of)
        labels |= {name: first.get(cell, -1) for name, first in found.items()}
        row = fields | labels | dict(zip(CELL, cell, strict=True))
        in_cell.setdefault(cell, []).append(row)
    # in the order of the bank; the hits of a cell together, where its first one is
    hits = _columns([row for rows in in_cell.values() for row in rows], HIT_COLUMNS)
    # since the anode: a cathode before it counts as missing
    digitized_z = height_mm(0, hits["bottom_time_ns"], hits["top_time_ns"])
    hits["z_mm"] = np.where(np.isnan(hits["z_mm"]), digitized_z, hits["z_mm"])
    return hits, n_tracks, n_particles


def _visible_tracks(owners, fired, visible_cells):
    """(particle, side) -> index of the track, of particles that own enough of the cells that fired."""
    n_cells = Counter((particle, cell[0]) for cell in fired for particle in owners.get(cell, ()))
    visible = sorted(piece for piece, n in n_cells.items() if n >= visible_cells)
    return {piece: index for index, piece in enumerate(visible)}


def _owner_labels(particles, cell, track_of):
    """The labels of a hit by the particles that own its cell, the nearest first."""
    if not particles:
        return {}
    side = cell[0]
    seen = [particle for particle in particles if (particle, side) in track_of]
    tracks = [track_of[particle, side] for particle in seen]
    track, second_track, *_ = [*tracks, -1, -1]
    nearest, *_ = [*seen, *particles]
    return {"track": track, "second_track": second_track, "particle": nearest}


def _columns(rows, columns):
    """name -> array from dictionaries, with the value that `columns` has for what is not in them."""
    return {
        name: np.array([row.get(name, default) for row in rows], dtype)
        for name, (dtype, default) in columns.items()
    }


def _measured(banks):
    """(hit, its fields) of all tracker hits of the best bank."""
    for bank, kind, fields_of in (
        ("CD", "tracker_hits", _calibrated),
        ("UDD", "tracker_hits", _digitized),
        ("SD", "gg", _true),
    ):
        if bank in banks:
            hits = _hits(banks, bank, kind)
            check_n_hits(len(hits), Unreadable)
            return [(hit, fields_of(hit)) for hit in hits]
    return []


def _hits(banks, bank, key):
    """The hits of a bank, without null handles; in SD `key` names the kind of steps."""
    if bank not in banks:
        return []
    content = banks[bank]["step_hits"] if bank == "SD" else banks[bank]
    return [hit for hit in content.get(key, []) if hit]


def _cell(hit):
    """(side, layer, column) of a tracker hit."""
    geom_id = hit.get("geom_id", NOWHERE)
    if geom_id["type"] not in TRACKER or len(geom_id["address"]) != 4:
        raise Unreadable(f"a tracker hit at geometry id {geom_id}")
    return geom_id["address"][1:]


def _calibrated(hit):
    r, sigma_r = _possible("drift_radius_mm", hit["r"], hit["sigma_r"])
    z, sigma_z = _possible("z_mm", hit["z"], hit["sigma_z"])
    if hit["traits"] & NO_CATHODE == NO_CATHODE:
        z = sigma_z = nan
    return {
        "drift_radius_mm": r,
        "sigma_r_mm": sigma_r,
        "z_mm": z,
        "sigma_z_mm": sigma_z,
        "anode_time_ns": _number(hit, "anode_time"),
        "delayed_time_ns": hit.get("delayed_time", nan),
        "wire_x_mm": hit.get("x", nan),
        "wire_y_mm": hit.get("y", nan),
    }


def _possible(field, value, error):
    """A measurement and its error, NaN where the event table does not allow the value."""
    _, _, lowest, highest = HIT_FIELDS[field]
    return (value, error) if lowest <= value <= highest else (nan, nan)


def _digitized(hit):
    """Times of a cell; if it fired more than once, those of the first time.

    The acquisition writes -2^63 or 0 for a missing one.
    """
    fired = [gg for gg in hit["times"] if gg["anode"] and gg["anode"][0] > 0]
    if not fired:
        return {}
    gg = min(fired, key=lambda gg: gg["anode"][0])
    anode = gg["anode"][0]
    times = {"anode_time_ns": anode * TRACKER_TICK_NS}
    for end in ("bottom", "top"):
        if gg[end] > 0:
            times[f"{end}_time_ns"] = (gg[end] - anode) * TRACKER_TICK_NS
    return times


def _true(step):
    """A step in the gas begins where its particle was nearest to the wire, and ends at the wire, at the same
    height.
    """
    if "position_start" not in step:
        return {}
    x, y, z = step["position_start"]
    wire_x, wire_y, height = step.get("position_stop", (nan, nan, nan))
    fields = {"wire_x_mm": wire_x, "wire_y_mm": wire_y} if height == z else {}
    if not fields:
        side, layer, column = _cell(step)
        wire_x, wire_y = wire_x_mm(side, layer), wire_y_mm(column)
    fields["drift_radius_mm"], _ = _possible("drift_radius_mm", hypot(x - wire_x, y - wire_y), nan)
    fields["z_mm"], _ = _possible("z_mm", z, nan)
    return fields


def _number(hit, name):
    value = hit.get("properties", {}).get(name)
    return value if isinstance(value, (int, float)) else nan


# ---- banks to labels ---------------------------------------------------------------------------------------


def _owners(banks):
    """Cell -> particles of SD, nearest first, counted 0, 1, ... in their event; and how many there are, -1 if
    that is not known.
    """
    if "SD" not in banks:
        return {}, -1
    steps = _hits(banks, "SD", "gg")
    numbers = sorted({_particle(step) for step in steps} - {None})
    index = {number: i for i, number in enumerate(numbers)}
    owners = {}
    for step in sorted(steps, key=_distance):
        in_cell = owners.setdefault(_cell(step), [])
        particle = _particle(step)
        if particle is not None and index[particle] not in in_cell:
            in_cell.append(index[particle])
    n_known = len(numbers) if numbers or not steps else -1
    return owners, n_known


def _particle(step):
    """Geant4 number of the particle, None if the file does not say; Falaise moved it from the properties to a
    field.
    """
    number = step.get("track_id", step.get("properties", {}).get("track.id"))
    return number if isinstance(number, int) else None


def _distance(step):
    """Of a step from its wire; what is unknown comes last."""
    radius = _true(step).get("drift_radius_mm", nan)
    return inf if isnan(radius) else radius


def clusters(banks):
    """Clusters that Falaise found, from TCD's default solution: (hit, 3) int arrays, the cells (side, layer,
    column).

    A hit may be in several clusters.
    """
    return [np.array(cells, np.int64).reshape(-1, 3) for cells in _cells_of_clusters(banks)]


def trajectories(banks):
    """Trajectories that Falaise fitted, from TTD's default solution: the best one of each cluster, as TTD has
    them.
    """
    solution = _default(banks, "TTD", "trajectories")
    best_of = {}  # cluster -> trajectory; an object read once is one object
    for trajectory in solution["trajectories"]:
        if trajectory and trajectory["cluster"]:
            cluster = id(trajectory["cluster"])
            if cluster not in best_of or _is_best(trajectory, solution):
                best_of[cluster] = trajectory
    return list(best_of.values())


def particles(banks):
    """Particles that Falaise reconstructed, as PTD has them."""
    return [particle for particle in banks.get("PTD", {}).get("particles", []) if particle]


def _default(banks, bank, key):
    """The default solution of a bank; one that holds nothing if it has none."""
    return banks.get(bank, {}).get("default") or {key: []}


def _is_best(trajectory, solution):
    """Whether Falaise prefers a trajectory to others of its cluster; it has said so in three ways."""
    numbers = solution.get("best", ())
    properties = trajectory.get("properties", {})
    says_so = (
        trajectory.get("fit", {}).get("best") or properties.get("default") or properties.get("best")
    )
    return bool(says_so) or trajectory.get("hit_id") in numbers


def _cells_of(hits):
    return [_cell(hit) for hit in hits if hit]


def _cells_of_clusters(banks):
    """The cells of each cluster."""
    solution = _default(banks, "TCD", "clusters")
    return [_cells_of(cluster["hits"]) for cluster in solution["clusters"] if cluster]


def _fitted_cells(trajectory):
    """The cells of a trajectory's cluster but those that it left out."""
    left_out = set(_cells_of(trajectory["orphans"]))
    return [cell for cell in _cells_of(trajectory["cluster"]["hits"]) if cell not in left_out]


def _cells_of_particles(banks):
    """The cells of each particle; none where it has no trajectory."""
    of_particles = []
    for particle in particles(banks):
        trajectory = particle["trajectory"]
        has_cells = trajectory and trajectory["cluster"]
        of_particles.append(_fitted_cells(trajectory) if has_cells else [])
    return of_particles


def _first_in(groups):
    """Cell -> index of the first group of cells that it is in."""
    first = {}
    for i, cells in enumerate(groups):
        for cell in cells:
            first.setdefault(cell, i)
    return first


# ---- banks to calorimeter hits -----------------------------------------------------------------------------


def calo_hits(banks):
    """Calorimeter hits of one event.

    Args:
        banks: the event's banks; CD, else UDD (no calibrated energy), else SD (energies of a block's steps
            added, first time).
    Returns:
        name -> (hit,) array: calo_type (0 main wall, 1 X-wall, 2 gamma veto), side, wall, column, row (-1
        where there is none; all -1 at a place that is no block of the detector), energy_mev,
        sigma_energy_mev, time_ns, sigma_time_ns (NaN where unknown).
    """
    if "CD" in banks:
        rows = [_calibrated_calo(hit) for hit in _hits(banks, "CD", "calorimeter_hits")]
    elif "UDD" in banks:
        rows = [_digitized_calo(hit) for hit in _hits(banks, "UDD", "calorimeter_hits")]
    else:
        rows = _true_calo(banks)
    return _columns(rows, CALO_COLUMNS)


def _calibrated_calo(hit):
    return {
        **_block(hit),
        "energy_mev": hit["E"],
        "sigma_energy_mev": hit["sigma_E"],
        "time_ns": hit["t"],
        "sigma_time_ns": hit["sigma_t"],
    }


def _digitized_calo(hit):
    return {**_block(hit), "time_ns": hit["timestamp"] * CALO_TICK_NS}


def _true_calo(banks):
    """Energy and first time of the blocks in SD that took energy."""
    blocks = {}
    for kind in CALO_STEPS:
        for step in _hits(banks, "SD", kind):
            address = _block(step)
            block = blocks.setdefault(
                tuple(address.items()), {**address, "energy_mev": 0.0, "time_ns": inf}
            )
            block["energy_mev"] += step.get("energy_deposit", 0.0)
            block["time_ns"] = min(block["time_ns"], step.get("time_start", inf))
    for block in blocks.values():
        if block["time_ns"] == inf:
            block["time_ns"] = nan
    return [block for block in blocks.values() if block["energy_mev"] > 0]


def _block(hit):
    """Where a calorimeter hit is: name -> index of those that its wall counts; nothing at a place that is no
    block of the detector.
    """
    return block_at(hit.get("geom_id", NOWHERE))


def block_at(geom_id):
    """The same of a geometry id, `type` and `address`: [module, then what its wall counts]."""
    calo_type, sizes = CALO.get(geom_id["type"], (None, {}))
    address = dict(zip(sizes, geom_id["address"][1:], strict=False))
    exists = all(index < sizes[name] for name, index in address.items())
    if not sizes or len(address) < len(sizes) or not exists:
        return {}
    return {"calo_type": calo_type, **address}
