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

The event table takes its hits from CD, else UDD, else SD. Where there is SD, `track` counts the particles,
primary or secondary, that made a true hit in the tracker of that event: 0, 1, ... in the order of their
Geant4 numbers. `n_tracks` is how many they are, even if the detector missed all hits of one; delta electrons
count, so it is often more than the number of decay products. A hit belongs to the particle that came nearest
to its wire, `second_track` is the next one, and both are -1 in a cell without true steps. Without SD,
`n_tracks` and `track` are -1. So they are, with one warning a file, where a class that is not described here
stands between CD and SD: in PTD a trajectory that is no straight line does.

A hit without a usable measurement stays, with NaN for the value and its error:

- radius: UDD knows none; in CD one that is outside the range of the event table;
- height: in CD both cathodes missing, where Falaise's simulation writes 0 (of one alone it computes a height,
  with a larger error), or outside the range of the event table; in UDD a cathode missing or before the anode.
  UDD's heights are those of `drift.height_mm`, as TKEvent's and those of Falaise for real data, which use the
  effective length of the wire.
"""

import warnings
from itertools import islice, pairwise
from math import hypot, inf, isnan, nan

import numpy as np
import uproot

from datasets.drift import CALO_DELAY_NS, LONGEST_DRIFT_NS, drift_radius_mm, height_mm, time_since_calorimeter
from datasets.events import HIT_FIELDS, concatenate, make_events
from datasets.geometry import GAMMA_VETO, MAIN_WALL, X_WALL, block_face_mm, wire_x_mm, wire_y_mm
from datasets.readers import files
from datasets.readers.boost_archive import Archive, Class, Unknown, Unreadable, pointer, record, string
from datasets.readers.brio_classes import BANKS, BASE, PROPERTIES

TRACKER_TICK_NS, CALO_TICK_NS = 12.5, 6.25
NO_CATHODE = 4 | 8  # the traits of a calibrated hit that miss the bottom and the top one
TRACKER = (1203, 1204)  # geometry types: [module, side, layer, row]; row is our column
CALO = {  # geometry type: our type and the names of its address after the module
    **dict.fromkeys((1301, 1302), (MAIN_WALL, ("side", "column", "row"))),
    **dict.fromkeys((1231, 1232), (X_WALL, ("side", "wall", "column", "row"))),
    **dict.fromkeys((1251, 1252), (GAMMA_VETO, ("side", "wall", "column"))),
}
CALO_STEPS = ("calo", "xcalo", "gveto")

# What is known of a hit beside the event table: name -> value where it is not known
DETAILS = {
    **dict.fromkeys(
        ("sigma_r_mm", "sigma_z_mm", "anode_time_ns", "bottom_time_ns", "top_time_ns", "delayed_time_ns"), nan
    ),
    "cluster": -1,
}
HIT_COLUMNS = {
    name: (np.int64 if np.dtype(dtype).kind == "i" else np.float64, default)
    for name, (dtype, default, *_) in HIT_FIELDS.items()
}
HIT_COLUMNS |= {
    name: (np.int64 if name == "cluster" else np.float64, default) for name, default in DETAILS.items()
}
WORDS = {"hits": {"column": "row", "drift_radius_mm": "r", "z_mm": "z"}}  # of the file, for errors
RAW = uproot.AsJagged(uproot.AsDtype("u1"))
TOBJECT_SIZE = 10  # version, id, bits


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
    yield from _each_entry(path, lambda entry, raw: decode(raw, banks, waveforms))


def metadata(path):
    """The property lists in the file's tree `GI`: which programs wrote it, with what settings."""
    return list(_each_entry(path, _properties, tree="GI"))


def _properties(entry, raw):
    archive = Archive(archive_of(raw, "datatools::properties"))
    properties = PROPERTIES.read(archive)
    archive.finish()
    return properties


def _entries(file, name):
    """(entry, bytes, fraction of the file that is read) of a tree, a basket at a time."""
    if name not in file:
        raise ValueError(f"no tree {name}, only {file.keys()}")
    branch = file[name].branches[
        -1
    ]  # there is one, called after what it holds; in files of uproot a counter comes first
    offsets = branch.entry_offsets
    if offsets[-1] != file[name].num_entries or any(start > stop for start, stop in pairwise(offsets)):
        raise ValueError(f"tree {name}: baskets of {offsets[-1]} entries, {file[name].num_entries} expected")
    for start, stop in pairwise(offsets):
        basket = branch.array(RAW, start, stop, library="np", array_cache=None)
        if len(basket) != stop - start:
            raise ValueError(f"tree {name}: entries {start}..{stop} are not there")
        for entry, raw in enumerate(basket, start):
            yield entry, raw.tobytes(), (entry + 1) / offsets[-1]


def _each_entry(path, function, progress=lambda fraction: None, tree="ER"):
    """function(entry, bytes) of each entry of a tree; errors name the entry."""
    with files.open_root(path) as file:
        for entry, raw, fraction in _entries(file, tree):
            try:
                value = function(entry, raw)
            except Unreadable as error:
                raise ValueError(f"entry {entry}: {error}") from error
            yield value
            progress(fraction)


def archive_of(raw, expected):
    """The archive in an entry: ROOT's `brio_record` is a TObject, a class name, a tag and a length, without
    byte counts.

    Args:
        raw: bytes of the entry. expected: the class name.
    """
    start = TOBJECT_SIZE + 1
    long = raw[start - 1 : start] == b"\xff"
    length = (
        int.from_bytes(raw[start : start + 4], "big") if long else raw[start - 1] if len(raw) >= start else 0
    )
    start += 4 * long
    name, start = raw[start : start + length], start + length
    tag, size = (
        int.from_bytes(raw[start : start + 4], "big"),
        int.from_bytes(raw[start + 4 : start + 8], "big"),
    )
    if raw[:2] != b"\0\1" or name != expected.encode() or tag or size != len(raw) - start - 8:
        raise Unreadable(
            f"no record of {expected}: {name[:40]!r}, tag {tag}, {size} of {len(raw) - start - 8} bytes"
        )
    return raw[start + 8 :]


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
        self.wanted, self.banks, self.bank = wanted, {}, ""

    def enough(self):
        """All banks that are wanted were met, or cannot come any more."""
        wanted = self.wanted(self.banks)
        return wanted is not None and (self.bank > max(wanted, default="") or wanted <= self.banks.keys())

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


# ---- banks to hits -----------------------------------------------------------------------------------------


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
    paths = files.expand(paths)
    with files.FileProgress(paths, progress) as bar:
        for path in paths:
            first, rows = 0, _rows(path, truth, drift_model, bar.within_file)
            while batch := list(islice(rows, chunk)):
                yield _table(batch, str(path), first)
                first += len(batch)
            bar.next_file()


def _rows(path, truth, drift_model, progress):
    """(hits, (n_tracks, run, event)) of each entry; the first one with labels that cannot be read gives a
    warning.
    """
    warned = False
    entries = _each_entry(path, lambda entry, raw: _event_row(entry, raw, truth, drift_model), progress)
    for entry, (hits, numbers, unknown) in enumerate(entries):
        if unknown and not warned:
            warnings.warn(
                f"{path}: entry {entry}: {unknown}; labels behind it are unknown, there and in events like it",
                stacklevel=2,
            )
            warned = True
        yield hits, numbers


def _event_row(entry, raw, truth, drift_model):
    """(hits, (n_tracks, run, event), error that ended the labels) of an entry."""
    banks, unknown = _hit_banks(raw, truth)
    hits, n_tracks = tracker_hits(banks)
    if drift_model and "UDD" in banks and "CD" not in banks:
        hits["drift_radius_mm"] = _drift_radius_mm(hits, calo_hits(banks), drift_model)
    numbers = banks["EH"]["event_id"] if "EH" in banks else banks.get("UDD", {"run": -1, "event": entry})
    return hits, (n_tracks, numbers["run"], numbers["event"]), unknown


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


def _drift_radius_mm(hits, calo, drift_model):
    """(hit,) radii of the real hits of one event, NaN without a calorimeter hit before or where that is too
    long ago.
    """
    place = np.column_stack(
        [wire_x_mm(hits["side"], hits["layer"]), wire_y_mm(hits["column"]), np.nan_to_num(hits["z_mm"])]
    )
    blocks = block_face_mm(*(calo[name] for name in ("calo_type", "side", "wall", "column", "row")))
    of_hits, of_blocks = np.array([0, len(place)]), np.array([0, len(blocks)])
    time = time_since_calorimeter(
        place, hits["anode_time_ns"], of_hits, blocks, calo["time_ns"], of_blocks, CALO_DELAY_NS
    )
    return drift_radius_mm(np.where(time <= LONGEST_DRIFT_NS, time, np.nan), drift_model)


def _table(rows, source, first_entry):
    """(Events, details) of some events."""
    offsets = np.cumsum([0] + [len(hits["layer"]) for hits, _ in rows])
    columns = {name: np.concatenate([hits[name] for hits, _ in rows]) for name in HIT_COLUMNS}
    info = dict(zip(("n_tracks", "run", "event"), np.array([numbers for _, numbers in rows]).T, strict=True))
    hits = {name: columns[name] for name in HIT_FIELDS}
    events = make_events(hits, offsets, info=info, source=source, branches=WORDS, first_entry=first_entry)
    return events, {name: columns[name] for name in DETAILS}


def tracker_hits(banks):
    """Tracker hits of one event, one a cell, in the order of the bank.

    Args:
        banks: hits are taken from CD, else UDD, else SD, owners from SD, clusters from TCD, as far as they
            are there.
    Returns:
        (hits, n_tracks): name -> (hit,) array, the hit fields of the event table (ranges not checked yet) and
        the details of `stream_details`; number of particles in the tracker, -1 without SD.
    """
    owners, n_tracks = _owners(banks)
    label = {
        tuple(cell): i for i, cells in reversed(list(enumerate(clusters(banks)))) for cell in cells.tolist()
    }
    rows = []
    for cell, fields in _one_a_cell(banks).items():
        track, second_track = (owners.get(cell, []) + [-1, -1])[:2]
        place = dict(zip(("side", "layer", "column"), cell, strict=True))
        rows.append(
            {
                **DETAILS,
                **fields,
                **place,
                "track": track,
                "second_track": second_track,
                "cluster": label.get(cell, -1),
            }
        )
    columns = {
        name: np.array([row.get(name, default) for row in rows], type_)
        for name, (type_, default) in HIT_COLUMNS.items()
    }
    return columns, n_tracks


def _one_a_cell(banks):
    """Cell -> fields of its hit: that with the smallest radius, of the earliest time if none is known."""
    kept = {}
    for bank, key, fields_of in (
        ("CD", "tracker_hits", _calibrated),
        ("UDD", "tracker_hits", _digitized),
        ("SD", "gg", _true),
    ):
        if bank not in banks:
            continue
        for hit in _hits(banks, bank, key):
            cell, fields = _cell(hit), fields_of(hit)
            if cell not in kept or _rank(fields) < _rank(kept[cell]):
                kept[cell] = fields
        break
    return kept


def _hits(banks, bank, key):
    """The hits of a bank, without null handles; in SD `key` names the kind of steps."""
    content = banks[bank]["step_hits"] if bank == "SD" else banks[bank]
    return [hit for hit in content.get(key, []) if hit]


def _cell(hit):
    """(side, layer, column) of a tracker hit."""
    geom_id = hit.get("geom_id", {"type": None, "address": ()})
    if geom_id["type"] not in TRACKER or len(geom_id["address"]) != 4:
        raise Unreadable(f"a tracker hit at geometry id {geom_id}")
    return geom_id["address"][1:]


def _calibrated(hit):
    r, sigma_r = _possible("drift_radius_mm", hit["r"], hit["sigma_r"])
    z, sigma_z = (
        (nan, nan)
        if hit["traits"] & NO_CATHODE == NO_CATHODE
        else _possible("z_mm", hit["z"], hit["sigma_z"])
    )
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
    _, _, low, high = HIT_FIELDS[field]
    return (value, error) if low <= value <= high else (nan, nan)


def _digitized(hit):
    """Times of a cell; if it fired more than once, those of the first time.

    The acquisition writes -2^63 or 0 for a missing one.
    """
    fired = [gg for gg in hit["times"] if gg["anode"] and gg["anode"][0] > 0]
    if not fired:
        return {}
    gg = min(fired, key=lambda gg: gg["anode"][0])
    anode = gg["anode"][0]
    bottom, top = ((gg[end] - anode) * TRACKER_TICK_NS if gg[end] > 0 else nan for end in ("bottom", "top"))
    z = height_mm(0, bottom, top).item()  # since the anode: a cathode before it counts as missing
    return {"z_mm": z, "anode_time_ns": anode * TRACKER_TICK_NS, "bottom_time_ns": bottom, "top_time_ns": top}


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


def _particle(step):
    """Geant4 number of the particle, None if the file does not say; Falaise moved it from the properties to a
    field.
    """
    number = step.get("track_id", step.get("properties", {}).get("track.id"))
    return number if isinstance(number, int) else None


def _rank(fields):
    """For sorting: by radius, then by time; what is unknown comes last."""
    values = [fields.get(name, nan) for name in ("drift_radius_mm", "anode_time_ns")]
    return [inf if isnan(value) else value for value in values]


def _owners(banks):
    """Cell -> particles of SD, nearest first, counted 0, 1, ... in their event; and how many there are, -1 if
    that is not known.
    """
    if "SD" not in banks:
        return {}, -1
    steps = _hits(banks, "SD", "gg")
    numbers = sorted({_particle(step) for step in steps} - {None})
    dense, owners = {number: i for i, number in enumerate(numbers)}, {}
    for step in sorted(steps, key=lambda step: _rank(_true(step))):
        in_cell = owners.setdefault(_cell(step), [])
        if _particle(step) is not None and dense[_particle(step)] not in in_cell:
            in_cell.append(dense[_particle(step)])
    return owners, len(numbers) if numbers or not steps else -1


def clusters(banks):
    """Clusters that Falaise found, from TCD's default solution: (hit, 3) int arrays, the cells (side, layer,
    column).

    A hit may be in several clusters.
    """
    solution = banks.get("TCD", {}).get("default") or {"clusters": []}
    cells = [[_cell(hit) for hit in cluster["hits"] if hit] for cluster in solution["clusters"] if cluster]
    return [np.array(found, np.int64).reshape(-1, 3) for found in cells]


def calo_hits(banks):
    """Calorimeter hits of one event.

    Args:
        banks: the event's banks; CD, else UDD (no calibrated energy), else SD (energies of a block's steps
            added, first time).
    Returns:
        name -> (hit,) array: calo_type (0 main wall, 1 X-wall, 2 gamma veto), side, wall, column, row (-1
        where there is none), energy_mev, sigma_energy_mev, time_ns, sigma_time_ns (NaN where unknown).
    """
    if "CD" in banks:
        hits = [
            (hit, hit["E"], hit["sigma_E"], hit["t"], hit["sigma_t"])
            for hit in _hits(banks, "CD", "calorimeter_hits")
        ]
    elif "UDD" in banks:
        hits = [
            (hit, nan, nan, hit["timestamp"] * CALO_TICK_NS, nan)
            for hit in _hits(banks, "UDD", "calorimeter_hits")
        ]
    else:
        hits = [(step, energy, nan, time, nan) for step, energy, time in _calo_steps(banks)]
    addresses = [_block(hit) for hit, *_ in hits]
    columns = {
        name: np.array([a[i] for a in addresses], np.int64)
        for i, name in enumerate(("calo_type", "side", "wall", "column", "row"))
    }
    values = ("energy_mev", "sigma_energy_mev", "time_ns", "sigma_time_ns")
    return columns | {
        name: np.array([hit[i] for hit in hits], np.float64) for i, name in enumerate(values, 1)
    }


def _calo_steps(banks):
    """(a step, energy, first time) of the blocks in SD that took energy."""
    blocks = {}
    for step in (step for kind in CALO_STEPS for step in (_hits(banks, "SD", kind) if "SD" in banks else [])):
        _, energy, time = blocks.get(_block(step), (step, 0.0, inf))
        blocks[_block(step)] = (
            step,
            energy + step.get("energy_deposit", 0.0),
            min(time, step.get("time_start", inf)),
        )
    return [
        (step, energy, time if time < inf else nan) for step, energy, time in blocks.values() if energy > 0
    ]


def _block(hit):
    """(type, side, wall, column, row) of a calorimeter hit, -1 where its wall counts none."""
    geom_id = hit.get("geom_id", {"type": None, "address": ()})
    calo_type, names = CALO.get(geom_id["type"], (-1, ()))
    address = dict(zip(names, geom_id["address"][1:], strict=False))
    if not names or len(address) < len(names):
        raise Unreadable(f"a calorimeter hit at geometry id {geom_id}")
    return (calo_type, *(address.get(name, -1) for name in ("side", "wall", "column", "row")))
