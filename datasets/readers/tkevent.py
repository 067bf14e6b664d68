"""Read files of TKEvent (github.com/TomasKrizak/TKEvent): real events, with radii, heights and fitted tracks
if it computed them.

A file holds a tree `Event` with a branch `Eventdata` of TKEvent objects: vectors of tracker hits, optical
modules, tracks and clusters. Members come and go between versions of TKEvent, all of which call themselves
version 1: only the streamer info in the file counts.

`stream` and `read` give the event table: the tracker hits, and the optical modules that fired as `blocks`,
with their times, but without energies, since no version of TKEvent calibrates its `charge`. `stream_details`
gives the anode times as well. Nothing in a file is truth, so `track` is -1 and `n_tracks` too; what TKEvent
itself found and all timestamps come from `read_objects`. A hit without a usable radius or height stays, with
NaN:

- radius: no anode time; -1 (what TKEvent writes then); above 35 mm (it found no reference time, its 1e10 ns
  become 47 mm or more); exactly 22 mm, the default of a hit whose radius nobody computed. Older versions left
  that member uninitialised.
- height: exactly 0, the default and what older versions write without a cathode time, unless both cathodes
  did fire at the same time; a cathode that fired before the anode; beyond the wire's ends.

A file in which no hit has a plausible anode time is converted simulation, whose timestamps nobody set: there a
radius needs none.

A late hit has a radius, 26 mm after 66 us: `filters.in_time` knows it by its anode time. TKEvent writes a
cell once for each time it fired; the table keeps the one with the smallest usable radius.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import uproot

from datasets.drift import CALO_DELAY_NS, drift_radius_mm, height_mm, time_since_calorimeter
from datasets.events import (
    BLOCK_FIELDS,
    check_sizes,
    concatenate,
    entries_of,
    make_events,
    offsets_of,
    one_a_cell,
    rows_and_places,
)
from datasets.geometry import (
    N_CELLS,
    N_COLUMNS,
    N_LAYERS,
    N_OPTICAL_MODULES,
    N_SIDES,
    TKEVENT,
    TKEVENT_FIRST_WIRE_MM,
    optical_module_address,
    wire_x_mm,
    wire_y_mm,
)
from datasets.readers import files, root_objects

TREE = "Event"
BRANCH = "Eventdata"
HIT = "TKtrhit"
MODULE = "TKOMhit"
TRACK = "TKtrack"
CLUSTER = "TKcluster"
CLASSES = ("TKEvent", "TKEvent*")
MEMBERS = {"tr_hits", "OM_hits"}
# where the times stand in a hit's seven timestamps, -1 if missing
ANODE = 0
BOTTOM = 5
TOP = 6
N_TIMESTAMPS = 7
TRACKER_TICK_NS = 12.5
CALO_TICK_NS = 6.25
LARGEST_RADIUS_MM = 35.0
DEFAULT_RADIUS_MM = 22.0
LATEST_TICK = (
    2**52
)  # of the tracker, nearly two years after its clock started; memory that nobody set is later
SMALLEST_RADIUS_MM = 1e-6  # memory that nobody set is often 0, or nearly
LARGEST_HEIGHT_MM = 1515.0  # half of the 3030 mm with which older versions computed
INFO = {"run": "run_number", "event": "event_number"}
ADDRESS = ("calo_type", "side", "wall", "column", "row")
FEWEST_EVENTS = 100  # of a chunk


def stream(paths, chunk="10 MB", progress=False, drift_model=None):
    """Events of files, a chunk at a time, in bounded memory.

    Args:
        paths: a file, a glob, or a list of them. chunk: bytes or number of events read at once. progress:
            draw a bar.
        drift_model: None takes the radii and heights of the file; "manchester" or "betsy" computes both from
            the timestamps, so a file that TKEvent only converted can be read. The reference time is that of
            the nearest optical module that fired before.
    Yields:
        Events.
    Raises:
        ValueError: a file that is missing, truncated, foreign or out of range; names the file.
    """
    for events, _ in stream_details(paths, chunk, progress, drift_model):
        yield events


def read(paths, progress=False, drift_model=None):
    """All events of files as one table."""
    return concatenate(stream(paths, progress=progress, drift_model=drift_model))


def stream_details(paths, chunk="10 MB", progress=False, drift_model=None):
    """As `stream`, with what the event table has no field for.

        for events, details in tkevent.stream_details("run-974.root"):
            events = events.keep_hits(filters.in_time(details["anode_time_ns"], events))

    Yields:
        (Events, details): details is name -> (hit,) array, in the order of the hits in the table:
        anode_time_ns: when the anode's signal began, by the clock of the tracker; NaN where it is not known.
    """
    if drift_model is not None:
        drift_radius_mm(0, drift_model)  # a wrong name is no file's fault
    parse = partial(_events, drift_model=drift_model)
    yield from _stream(paths, parse, "tr_hits", chunk, progress)


def is_one(tree):
    """Whether a tree holds events of TKEvent, by its class or its members."""
    if BRANCH not in tree:
        return False
    members = {branch.name.split(".")[-1] for branch in tree[BRANCH].branches}
    return tree[BRANCH].typename in CLASSES or bool(members & MEMBERS)


def stream_objects(paths, what, progress=False):
    """What the files hold beside the event table, for the same events in the same order, a chunk at a time,
    in bounded memory.

    Args:
        what: one of these; each gives the plain members that the file has, under TKEvent's names, and "hits":
            side, layer, column; `tsp` are the timestamps, (hit, 7) in ticks of 12.5 ns, as yet without merged
            cells; "optical_modules": calo_type, calo_side, calo_wall, calo_column, calo_row; `OM_TDC` is in
            ticks of 6.25 ns; "tracks": cluster (index in the event, -1 for none), mirror (the other solution
            of the track before it);
                they are lines y = a x + b, z = c x + d in mm with x = 0 at the foil;
            "clusters": nothing more;
            "cluster_hits": as hits, and cluster.
    Yields:
        (arrays, offsets): name -> (object, ...) array, and (event + 1,) first object of each event.
    Raises:
        ValueError: as `stream`.
    """
    branch = {"optical_modules": "OM_hits", "hits": "tr_hits"}.get(what, "clusters")
    yield from _stream(paths, OBJECTS[what], branch, "10 MB", progress)


def read_objects(paths, what, progress=False):
    """The same of all chunks as one (arrays, offsets)."""
    groups = []
    counts = [np.zeros(0, np.int64)]
    for members, offsets in stream_objects(paths, what, progress):
        groups.append((members, offsets[-1]))
        counts.append(np.diff(offsets))
    return _join(groups), offsets_of(np.concatenate(counts))


# ---- files to objects --------------------------------------------------------------------------------------


@dataclass
class Entries:
    """Some entries of a file.

    Attributes:
        branches: member of TKEvent -> branch. start, stop: the entries. source: the file's name. has_times:
            some hit of the file has a plausible anode time.
    """

    branches: dict
    start: int
    stop: int
    source: str
    has_times: bool = True

    def __len__(self):
        return self.stop - self.start

    def objects(self, name, check=None):
        """Pointers of a vector of TKEvent; empty if the file's version has no such member."""
        if name in self.branches:
            return root_objects.read(self.branches[name], self.start, self.stop, check)
        offsets = np.zeros(len(self) + 1, np.int64)
        top = np.zeros(0, np.int64)
        return root_objects.Pointers(offsets, top, numbers={}, links={})

    def numbers(self, name):
        """(entry,) values of a plain member of TKEvent."""
        return root_objects.read_numbers(self.branches[name], self.start, self.stop)

    def check_hits(self, counts):
        """Refuse events of absurdly many hits by their numbers alone."""
        check_sizes(offsets_of(counts), self.source, self.start)


def _stream(paths, parse, name, chunk, progress):
    """What `parse(entries)` gives of each chunk of files; branch `name` says how many events are a chunk.

    It is called while its file is open, so that whatever a damaged file makes it raise becomes an error that
    names the file.
    """
    chunks = partial(_chunks, parse=parse, name=name, chunk=chunk)
    yield from files.stream(paths, chunks, progress, classes=_own_classes)


def _chunks(file, path, within_file, parse, name, chunk):
    """What `parse(entries)` gives of each chunk of an open file."""
    tree, branches = _branches(file)
    n_entries = tree.num_entries
    step = chunk
    if isinstance(chunk, str):
        sized_by = name if name in branches else "tr_hits"
        step = max(FEWEST_EVENTS, tree.num_entries_for(chunk, [f"{BRANCH}/{sized_by}"]))
    has_times = _has_times(branches, n_entries, str(path))
    for start in range(0, n_entries, step):
        stop = min(start + step, n_entries)
        yield parse(Entries(branches, start, stop, str(path), has_times))
        within_file(stop / n_entries)


def _has_times(branches, n_entries, source):
    """Whether some hit of a file has a plausible anode time; in real data one of the first has."""
    start = 0
    while start < n_entries:
        stop = min(start + min(2 * start + 5, FEWEST_EVENTS), n_entries)
        entries = Entries(branches, start, stop, source)
        found = entries.objects("tr_hits", entries.check_hits)
        times = _members(found, HIT).get("tsp")
        if times is not None and _is_time(times[:, ANODE]).any():
            return True
        start = stop
    return False


def _is_time(ticks):
    return (ticks >= 0) & (ticks <= LATEST_TICK)


def _own_classes():
    """uproot's classes but those of TKEvent: from one file to the next they differ under the same name and
    version.
    """
    classes = uproot.classes.items()
    return {name: model for name, model in classes if not name.startswith("TK") or name == "TKey"}


def _branches(file):
    """The tree, and member of TKEvent -> branch."""
    tree = file.get(TREE)
    if not isinstance(tree, uproot.TTree) or BRANCH not in tree:
        raise ValueError(f"no tree {TREE} with a branch {BRANCH}, only {file.classnames()}")
    branches = {branch.name.split(".")[-1]: branch for branch in tree[BRANCH].branches}
    if "tr_hits" not in branches:
        said = f"branch {BRANCH} has no branch tr_hits in it, only {list(branches)}"
        raise ValueError(f"{said}: was it written with split level 0?")
    for name, branch in branches.items():
        n = branch.num_entries
        if n != tree.num_entries:
            raise ValueError(f"branch {name} has {n} entries, tree {TREE} {tree.num_entries}")
    return tree, branches


def _members(found, name):
    """Member -> numbers of the vectors' own objects, of class `name`."""
    return _picked(found.numbers.get(name, {}), found.top)


def _picked(members, which):
    """Member -> values of some objects."""
    return {name: values[which] for name, values in members.items()}


def _within(values, n):
    """Where a value is one of 0..n - 1."""
    return (values >= 0) & (values < n)


# ---- objects to events -------------------------------------------------------------------------------------


def _events(entries, drift_model):
    """(Events, details) of some entries; see `stream_details`."""
    hits, offsets = _hits(entries)
    modules, module_offsets = _modules(entries)
    if drift_model is None:
        radius, z = _stored(hits)
    else:
        radius, z = _recomputed(hits, offsets, modules, module_offsets, drift_model)
    usable = (radius > SMALLEST_RADIUS_MM) & (radius <= LARGEST_RADIUS_MM)
    anode, _, _ = _times(hits)
    if "tsp" in hits and (entries.has_times or drift_model is not None):
        usable &= anode >= 0
    table = {
        "side": hits["side"],
        "layer": hits["layer"],
        "column": hits["column"],
        "drift_radius_mm": np.where(usable, radius, np.nan),
        "z_mm": np.where(np.abs(z) <= LARGEST_HEIGHT_MM, z, np.nan),
    }
    details = {"anode_time_ns": np.where(anode >= 0, anode * TRACKER_TICK_NS, np.nan)}

    kept = one_a_cell(table, offsets)
    events = make_events(
        _picked(table, kept),
        offsets_of(kept)[offsets],
        info=_info(entries),
        source=entries.source,
        first_entry=entries.start,
        blocks=_blocks(modules, module_offsets[-1]),
        block_offsets=module_offsets,
    )
    return events, _picked(details, kept)


def _info(entries):
    info = {
        "event": np.arange(entries.start, entries.stop),
        "geometry": np.full(len(entries), TKEVENT),
    }
    for name, member in INFO.items():
        if member in entries.branches:
            info[name] = entries.numbers(member)
    return info


def _blocks(modules, n):
    """The event table's blocks from the members of the `n` optical modules that fired.

    One whose number is not in the detector has fired somewhere, so its address is -1.
    """
    number = modules.get("OM_num", np.full(n, -1))
    known = _within(number, N_OPTICAL_MODULES)
    address = optical_module_address(np.where(known, number, 0))
    blocks = {}
    for name, part in zip(ADDRESS, address, strict=True):
        blocks[name] = np.where(known, part, -1)
    time = CALO_TICK_NS * modules.get("OM_TDC", np.full(n, np.nan))
    _, _, earliest, latest = BLOCK_FIELDS["time_ns"]
    possible = (time >= earliest) & (time <= latest)
    blocks["time_ns"] = np.where(possible, time, np.nan)
    return blocks


def _times(hits):
    """(anode, bottom, top) times of the hits in ticks, negative where missing, as all are in a file without
    timestamps.
    """
    missing = np.full((len(hits["side"]), N_TIMESTAMPS), -1)
    times = hits.get("tsp", missing)
    times = np.where(_is_time(times), times, -1)
    return times[:, ANODE], times[:, BOTTOM], times[:, TOP]


def _stored(hits):
    """(radius, z) of the hits in the file, mm; z is NaN where the file says 0 and means none."""
    zero = np.zeros(len(hits["side"]))
    if "r" not in hits and len(zero):
        raise ValueError(f"no radius in {HIT}: choose a drift model")
    radius = hits.get("r", zero).astype(float)
    radius = np.where(radius == DEFAULT_RADIUS_MM, np.nan, radius)
    z = hits.get("Z", zero)  # the name of one version, of December 2023
    z = hits.get("h", z).astype(float)
    anode, bottom, top = _times(hits)
    fired_together = (anode >= 0) & (bottom >= 0) & (bottom == top)
    known = (z != 0) | fired_together
    for cathode in (bottom, top):
        before_anode = (cathode >= 0) & (cathode < anode)
        known &= ~before_anode
    return radius, np.where(known, z, np.nan)


def _recomputed(hits, offsets, modules, module_offsets, drift_model):
    """(radius, z) of the hits from their timestamps and the optical modules, mm."""
    _need(hits, "tsp", HIT, offsets[-1])
    _need(modules, "xyz", MODULE, module_offsets[-1])
    _need(modules, "OM_TDC", MODULE, module_offsets[-1])
    anode, bottom, top = _times(hits)
    z = height_mm(anode, bottom, top)
    x = wire_x_mm(hits["side"], hits["layer"], TKEVENT_FIRST_WIRE_MM)
    y = wire_y_mm(hits["column"])
    place = np.column_stack([x, y, np.nan_to_num(z)])
    block = modules.get("xyz", np.zeros((0, 3)))
    fired = modules.get("OM_TDC", np.zeros(0))
    anode_ticks = 2 * anode  # of the calorimeter
    delay = CALO_DELAY_NS / CALO_TICK_NS
    ticks = time_since_calorimeter(place, anode_ticks, offsets, block, fired, module_offsets, delay)
    return drift_radius_mm(CALO_TICK_NS * ticks, drift_model), z


def _need(members, name, owner, n):
    if name not in members and n:
        raise ValueError(f"no {name} in {owner}: no drift model can be used")


# ---- what `stream_objects` gives: (members, offsets) of some entries ---------------------------------------


def _hits(entries):
    found = entries.objects("tr_hits", entries.check_hits)
    return _with_cell(_members(found, HIT), found.offsets, entries.start), found.offsets


def _with_cell(hits, offsets, start):
    """The same members and side, layer and column."""
    number = _cell_number(hits, offsets[-1])
    bad = np.flatnonzero(~_within(number, N_CELLS))
    if len(bad):
        event, _ = rows_and_places(np.diff(offsets))
        entry = start + event[bad[0]]
        raise ValueError(f"entry {entry}: cell {number[bad[0]]} outside 0..{N_CELLS - 1}")
    side, in_half = np.divmod(number, N_COLUMNS * N_LAYERS)
    column, layer = np.divmod(in_half, N_LAYERS)
    return hits | {"side": side, "layer": layer, "column": column}


def _cell_number(hits, n):
    """(hit,) number of the cell of each of `n` hits, by itself or else by its side, row and layer; -1 where
    there is no such cell.
    """
    if "cell_num" in hits:
        return hits["cell_num"].astype(np.int64)
    if "SRL" in hits:
        side, column, layer = hits["SRL"].astype(np.int64).T
        inside = _within(side, N_SIDES) & _within(column, N_COLUMNS) & _within(layer, N_LAYERS)
        number = (side * N_COLUMNS + column) * N_LAYERS + layer
        return np.where(inside, number, -1)
    if n:
        raise ValueError(f"neither cell_num nor SRL in {HIT}")
    return np.zeros(0, np.int64)


def _modules(entries):
    found = entries.objects("OM_hits")
    return _members(found, MODULE), found.offsets


def _addressed_modules(entries):
    modules, offsets = _modules(entries)
    if "OM_num" not in modules and offsets[-1]:
        raise ValueError(f"no OM_num in {MODULE}")
    address = optical_module_address(modules.get("OM_num", np.zeros(0, np.int64)))
    names = ("calo_type", "calo_side", "calo_wall", "calo_column", "calo_row")
    return modules | dict(zip(names, address, strict=True)), offsets


def _clusters(entries):
    found = entries.objects("clusters")
    return _members(found, CLUSTER), found.offsets


def _tracks(entries):
    """Tracks as TKEvent::get_tracks lists them: those without a cluster, then each cluster's, with its mirror
    image behind it.
    """
    free = entries.objects("tracks")
    free_event, _ = rows_and_places(np.diff(free.offsets))
    found = entries.objects("clusters")
    event, cluster = rows_and_places(np.diff(found.offsets))
    track = _link(found, CLUSTER, "track")[found.top]
    mirror = np.append(_link(found, TRACK, "mirror_image"), -1)[track]
    has_track = track >= 0
    has_mirror = has_track & (mirror >= 0)

    # three groups one after the other: free tracks, those of clusters, and mirror images
    members = found.numbers.get(TRACK, {})
    sizes = (len(free_event), has_track.sum(), has_mirror.sum())
    groups = (
        _members(free, TRACK),
        _picked(members, track[has_track]),
        _picked(members, mirror[has_mirror]),
    )
    tracks = _join(list(zip(groups, sizes, strict=True)))
    no_cluster = np.full(len(free_event), -1)
    tracks["cluster"] = np.concatenate([no_cluster, cluster[has_track], cluster[has_mirror]])
    tracks["mirror"] = np.repeat([False, False, True], sizes)
    event = np.concatenate([free_event, event[has_track], event[has_mirror]])
    order = np.lexsort((tracks["mirror"], tracks["cluster"], event))
    return _picked(tracks, order), offsets_of(np.bincount(event, minlength=len(entries)))


def _link(found, name, member):
    """(object,) what a pointer of all objects of class `name` means; -1 where the file's version has none."""
    numbers = found.numbers.get(name, {})
    n_objects = len(next(iter(numbers.values()), ()))
    nothing = np.full(n_objects, -1)
    return found.links.get(name, {}).get(member, nothing)


def _cluster_hits(entries):
    found = entries.objects("clusters")
    no_hits = (np.zeros(0, np.int64), np.zeros(len(found.top) + 1, np.int64))
    links = found.links.get(CLUSTER, {})
    hit, first = links.get("cluster_tr_hits", no_hits)
    index, hit_offsets = entries_of(first, found.top)
    hit = hit[index]
    event, cluster = rows_and_places(np.diff(found.offsets))
    owner, _ = rows_and_places(np.diff(hit_offsets))
    owner = owner[hit >= 0]
    hit = hit[hit >= 0]
    offsets = offsets_of(np.bincount(event[owner], minlength=len(entries)))
    hits = _picked(found.numbers.get(HIT, {}), hit)
    return _with_cell(hits, offsets, entries.start) | {"cluster": cluster[owner]}, offsets


OBJECTS = {
    "hits": _hits,
    "optical_modules": _addressed_modules,
    "tracks": _tracks,
    "clusters": _clusters,
    "cluster_hits": _cluster_hits,
}


def _join(groups):
    """Member -> values from (members, number of objects) of several groups of objects: the members that all
    of them have.
    """
    filled = [members for members, n in groups if n]
    if not filled:
        return groups[0][0] if groups else {}
    common = [name for name in filled[0] if all(name in members for members in filled)]
    return {name: np.concatenate([members[name] for members in filled]) for name in common}
