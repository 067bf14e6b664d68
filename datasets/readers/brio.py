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
particle made a calorimeter hit, so their `track` is -1. Where there is SD, `track` of a hit counts the
particles, primary or secondary, that made a true hit in the tracker of that event: 0, 1, ... in the order of
their Geant4 numbers. `n_tracks` is how many they are, even if the detector missed all hits of one; delta
electrons count, so it is often more than the number of decay products. A hit belongs to the particle that
came nearest to its wire, `second_track` is the next one, and both are -1 in a cell without true steps.
Without SD, `n_tracks` and `track` are -1. So they are, with one warning a file, where a class that is not
described here stands between CD and SD: in PTD a trajectory that is no straight line does.

A hit without a usable measurement stays, with NaN for the value and its error:

- radius: UDD knows none; in CD one that is outside the range of the event table;
- height: in CD both cathodes missing, where Falaise's simulation writes 0 (of one alone it computes a height,
  with a larger error), or outside the range of the event table; in UDD a cathode missing or before the anode.
  UDD's heights are those of `drift.height_mm`, as TKEvent's and those of Falaise for real data, which use the
  effective length of the wire.
"""

import warnings
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from math import hypot, inf, isnan, nan

import numpy as np
import uproot

from datasets.drift import CALO_DELAY_NS, LONGEST_DRIFT_NS, drift_radius_mm, height_mm, time_since_calorimeter
from datasets.events import (
    BLOCK_FIELDS,
    HIT_FIELDS,
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
from datasets.readers.boost_archive import Archive, Class, Unknown, Unreadable, pointer, record, string
from datasets.readers.brio_classes import BANKS, BASE, PROPERTIES, check_n_hits

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
}
CELL = ("side", "layer", "column")
ADDRESS = ("calo_type", "side", "wall", "column", "row")
CALO_COLUMNS = dict.fromkeys(ADDRESS, (np.int64, -1))
CALO_COLUMNS |= dict.fromkeys(
    ("energy_mev", "sigma_energy_mev", "time_ns", "sigma_time_ns"), (np.float64, nan)
)


def _wide(dtype):
    """The type in which values are collected before their range is checked."""
    return np.int64 if np.dtype(dtype).kind == "i" else np.float64


HIT_COLUMNS = {name: (_wide(dtype), default) for name, (dtype, default, *_) in HIT_FIELDS.items()} | DETAILS
WORDS = {"hits": {"column": "row", "drift_radius_mm": "r", "z_mm": "z"}}  # of the file, for errors
RAW = uproot.AsJagged(uproot.AsDtype("u1"))
TOBJECT_SIZE = 10  # version, id, bits
LONG_TEXT = 255  # instead of a length that one byte cannot hold


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
        ValueError: a file that is damaged or holds something unknown; names the file, the entry, the class
            and its version.
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
    branch = tree.branches[-1]  # called after what it holds; in files of uproot a counter comes first
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
    return {name: content for name, content in archive.banks.items() if names is None or name in names}


class _Event(Archive):
    """The archive of an event in the bytes of its entry.

    Attributes:
        banks: name -> content of those decoded so far, null pointers left out; bank: name of the last one
            met.
        wanted: function of `banks` that gives the names of those to read, None for all.
    """

    def __init__(self, raw, wanted, waveforms=False):
        super().__init__(archive_of(raw, "datatools::things"), waveforms)
        self.wanted = wanted
        self.banks = {}
        self.bank = ""

    def enough(self):
        """All banks that are wanted were met, or cannot come any more."""
        wanted = self.wanted(self.banks)
        if wanted is None:
            return False
        return self.bank > max(wanted, default="") or wanted <= self.banks.keys()

    def read_banks(self):
        THINGS.read(self)
        if not self.enough():
            self.finish()


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


def _banks(archive, version):
    n = archive.count()
    archive.integer()
    for _ in range(n):
        BANK.read(archive)
        if archive.enough():
            break


CONTENTS = {name: pointer(kind, abstract=True) for name, kind in BANKS.items()}
ANY_CONTENT = pointer(*BANKS.values(), abstract=True)
ENTRY = record("entry", 0, ("description", string), ("flags", Archive.integer), ("content", _content))
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


def stream(paths, chunk=1000, progress=False, truth=True, drift_model=None):
    """Event tables of files, some events at a time, in bounded memory.

    Args:
        paths: a file, a glob, or a list of them. chunk: number of events in a table. progress: draw a bar on
            the terminal.
        truth: False leaves out the owners of the hits in CD: faster, and later banks may hold anything.
        drift_model: "manchester" or "betsy" computes the radii of real hits, in UDD, from the time since the
            nearest calorimeter hit that was before; without one they are unknown.
    Yields:
        Events; `tracks` is empty.
    Raises:
        ValueError: as `iter_events`, or a value out of range; a class that only hides labels is a warning.
    """
    for events, _ in stream_details(paths, chunk, progress, truth, drift_model):
        yield events


def read(paths, progress=False, truth=True, drift_model=None):
    """All events of files as one table."""
    return concatenate(stream(paths, progress=progress, truth=truth, drift_model=drift_model))


def stream_details(paths, chunk=1000, progress=False, truth=True, drift_model=None):
    """As `stream`, with what the event table has no field for.

    Yields:
        (Events, details): details is name -> (hit,) array, in the order of the hits in the table:
        sigma_r_mm, sigma_z_mm: errors (CD);
        anode_time_ns: when the anode's signal began, in UDD by the clock of `calo_hits`; in CD the drift time
            of simulated hits;
        bottom_time_ns, top_time_ns: when the plasma reached the cathodes, after the anode (UDD);
        delayed_time_ns: of delayed hits (CD); NaN where a time or an error is not known;
        cluster: index in `clusters` of the hit's first cluster, -1 for none (CD and TCD, not with
            `truth=False`).
    """
    if drift_model is not None:
        drift_radius_mm(0, drift_model)  # a wrong name is no file's fault
    tables = partial(_tables, chunk=chunk, truth=truth, drift_model=drift_model)
    yield from files.stream(paths, tables, progress)


@dataclass
class _Found:
    """What the event table needs of one entry.

    Attributes:
        hits: as those of `tracker_hits`, but a cell may have several. blocks: as `calo_hits` gives them.
        info: n_tracks, run, event. digitized: the hits are from UDD.
        unknown: the error that ended the labels, or None.
    """

    hits: dict
    blocks: dict
    info: dict
    digitized: bool
    unknown: Exception | None


def _tables(file, path, within_file, chunk, truth, drift_model):
    """(Events, details) of an open file, `chunk` events at a time."""
    entries = _each_entry(file, "ER", partial(_found, truth=truth), within_file)
    entries = _with_one_warning(entries, path)
    first_entry = 0
    while found := list(islice(entries, chunk)):
        yield _table(found, str(path), first_entry, drift_model)
        first_entry += len(found)


def _with_one_warning(entries, path):
    """The same entries; the first one with labels that cannot be read gives a warning."""
    warned = False
    for entry, found in enumerate(entries):
        if found.unknown and not warned:
            said = f"{path}: entry {entry}: {found.unknown}"
            warnings.warn(f"{said}; labels behind it are unknown, there and in events like it", stacklevel=2)
            warned = True
        yield found


def _found(entry, raw, truth):
    """What there is in the bytes of an entry."""
    banks, unknown = _hit_banks(raw, truth)
    hits, n_tracks = _hits_and_owners(banks)
    numbers = {"run": -1, "event": entry}
    if "EH" in banks:
        numbers = banks["EH"]["event_id"]
    elif "UDD" in banks:
        numbers = banks["UDD"]
    info = {"n_tracks": n_tracks, "run": numbers["run"], "event": numbers["event"]}
    digitized = "UDD" in banks and "CD" not in banks
    return _Found(hits, calo_hits(banks), info, digitized, unknown)


def _hit_banks(raw, truth):
    """The banks of an entry that hits and labels need, and the error if a class that nobody described hides
    some of the labels.
    """

    def wanted(found):
        if "CD" not in found:
            return {"CD", "EH", "SD", "TCD", "UDD"}
        return {"CD", "EH", "SD", "TCD"} if truth else {"CD", "EH"}

    archive = _Event(raw, wanted)
    try:
        archive.read_banks()
    except Unknown as error:
        if "CD" not in archive.banks or archive.bank <= "EH":
            raise
        return archive.banks, error
    return archive.banks, None


def _table(found, source, first_entry, drift_model):
    """(Events, details) of some entries."""
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
    return events, {name: hits[name] for name in DETAILS}


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


def tracker_hits(banks):
    """Tracker hits of one event, one a cell, in the order of the bank.

    Args:
        banks: hits are taken from CD, else UDD, else SD, owners from SD, clusters from TCD, as far as they
            are there.
    Returns:
        (hits, n_tracks): name -> (hit,) array, the hit fields of the event table (ranges not checked yet) and
        the details of `stream_details`; number of particles in the tracker, -1 without SD.
    """
    hits, n_tracks = _hits_and_owners(banks)
    merged, _ = _merged(*_joined([hits]))
    return merged, n_tracks


def _hits_and_owners(banks):
    """As `tracker_hits`, but a cell may have several hits; all of them have its owners."""
    owners, n_tracks = _owners(banks)
    cluster_of = _cluster_of_cells(banks)
    in_cell = {}
    for hit, fields in _measured(banks):
        cell = _cell(hit)
        track, second_track, *_ = [*owners.get(cell, []), -1, -1]
        labels = {"track": track, "second_track": second_track, "cluster": cluster_of.get(cell, -1)}
        row = fields | labels | dict(zip(CELL, cell, strict=True))
        in_cell.setdefault(cell, []).append(row)
    # in the order of the bank; the hits of a cell together, where its first one is
    hits = _columns([row for rows in in_cell.values() for row in rows], HIT_COLUMNS)
    # since the anode: a cathode before it counts as missing
    digitized_z = height_mm(0, hits["bottom_time_ns"], hits["top_time_ns"])
    hits["z_mm"] = np.where(np.isnan(hits["z_mm"]), digitized_z, hits["z_mm"])
    return hits, n_tracks


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
    """A step in the gas begins where its particle was nearest to the wire."""
    if "position_start" not in step:
        return {}
    side, layer, column = _cell(step)
    x, y, z = step["position_start"]
    return {"drift_radius_mm": hypot(x - wire_x_mm(side, layer), y - wire_y_mm(column)), "z_mm": z}


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
    return [np.array(cells, np.int64).reshape(-1, 3) for cells in _clusters(banks)]


def _clusters(banks):
    """The same as lists of cells."""
    solution = banks.get("TCD", {}).get("default") or {"clusters": []}
    return [[_cell(hit) for hit in cluster["hits"] if hit] for cluster in solution["clusters"] if cluster]


def _cluster_of_cells(banks):
    """Cell -> index of its first cluster."""
    first = {}
    for i, cells in enumerate(_clusters(banks)):
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
            block = blocks.setdefault(tuple(address.items()), {**address, "energy_mev": 0.0, "time_ns": inf})
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
    geom_id = hit.get("geom_id", NOWHERE)
    calo_type, sizes = CALO.get(geom_id["type"], (None, {}))
    address = dict(zip(sizes, geom_id["address"][1:], strict=False))
    exists = all(index < sizes[name] for name, index in address.items())
    if not sizes or len(address) < len(sizes) or not exists:
        return {}
    return {"calo_type": calo_type, **address}
