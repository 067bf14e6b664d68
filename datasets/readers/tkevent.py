"""Read files of TKEvent (github.com/TomasKrizak/TKEvent): real events, with radii, heights and fitted tracks
if it computed them.

A file holds a tree `Event` with a branch `Eventdata` of TKEvent objects: vectors of tracker hits, optical
modules, tracks and clusters. Members come and go between versions of TKEvent, all of which call themselves
version 1: only the streamer info in the file counts.

`stream` and `read` give the event table of the tracker hits, `stream_details` the anode times as well.
Nothing in it is truth, so `track` is -1 and `n_tracks` too; what TKEvent itself found, the optical modules
and all timestamps come from `read_objects`. A hit without a usable radius or height stays, with NaN:

- radius: no anode time; -1 (what TKEvent writes then); above 35 mm (it found no reference time, its 1e10 ns
  become 47 mm or more); exactly 22 mm, the default of a hit whose radius nobody computed. Older versions left
  that member uninitialised.
- height: exactly 0, the default and what older versions write without a cathode time, unless both cathodes
  did fire at the same time; a cathode that fired before the anode; beyond the wire's ends.

A late hit has a radius, 26 mm after 66 us: `filters.in_time` knows it by its anode time. TKEvent writes a
cell once for each time it fired; the table keeps the one with the smallest usable radius.
"""

import numpy as np
import uproot

from datasets.drift import CALO_DELAY_NS, drift_radius_mm, height_mm, time_since_calorimeter
from datasets.events import concatenate, make_events, one_a_cell
from datasets.geometry import (
    N_CELLS,
    N_COLUMNS,
    N_LAYERS,
    TKEVENT,
    TKEVENT_FIRST_WIRE_MM,
    optical_module_address,
    wire_x_mm,
    wire_y_mm,
)
from datasets.readers import files, root_objects

TREE, BRANCH = "Event", "Eventdata"
HIT, MODULE, TRACK, CLUSTER = "TKtrhit", "TKOMhit", "TKtrack", "TKcluster"
ANODE, BOTTOM, TOP = 0, 5, 6  # where the times stand in a hit's seven timestamps, -1 if missing
TRACKER_TICK_NS, CALO_TICK_NS = 12.5, 6.25
LARGEST_RADIUS_MM = 35.0
DEFAULT_RADIUS_MM = 22.0
SMALLEST_RADIUS_MM = 1e-6  # memory that nobody set is often 0, or nearly
INFO = (("run", "run_number"), ("event", "event_number"))
LARGEST_HEIGHT_MM = 1515.0  # half of the 3030 mm with which older versions computed


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
    parse = lambda branches, start, stop, source: _events(branches, start, stop, source, drift_model)  # noqa: E731
    yield from _chunks(paths, parse, "tr_hits", chunk, progress)


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
    parse = lambda branches, start, stop, _: OBJECTS[what](branches, start, stop)  # noqa: E731
    yield from _chunks(
        paths,
        parse,
        {"optical_modules": "OM_hits", "hits": "tr_hits"}.get(what, "clusters"),
        "10 MB",
        progress,
    )


def read_objects(paths, what, progress=False):
    """The same of all chunks as one (arrays, offsets)."""
    parts = list(stream_objects(paths, what, progress))
    counts = [np.diff(offsets) for _, offsets in parts]
    return _join([(members, offsets[-1]) for members, offsets in parts]), np.cumsum(
        np.concatenate([[0], *counts]), dtype=np.int64
    )


def _chunks(paths, parse, name, chunk, progress):
    """What `parse(branches, start, stop, source)` gives of each chunk of files; branch `name` says how many
    events are a chunk.

    It is called while its file is open, so that whatever a damaged file makes it raise becomes an error that
    names the file.
    """
    paths = files.expand(paths)
    with files.FileProgress(paths, progress) as bar:
        for path in paths:
            with files.open_root(path, custom_classes=_own_classes()) as file:
                tree, branches = _branches(file)
                step = chunk
                if isinstance(chunk, str):
                    step = max(
                        100,
                        tree.num_entries_for(chunk, [f"{BRANCH}/{name if name in branches else 'tr_hits'}"]),
                    )
                for start in range(0, tree.num_entries, step):
                    stop = min(start + step, tree.num_entries)
                    yield parse(branches, start, stop, str(path))
                    bar.within_file(stop / tree.num_entries)
            bar.next_file()


def _own_classes():
    """uproot's classes but those of TKEvent: from one file to the next they differ under the same name and
    version.
    """
    return {
        name: model for name, model in uproot.classes.items() if not name.startswith("TK") or name == "TKey"
    }


def _branches(file):
    """The tree, and member of TKEvent -> branch."""
    tree = file.get(TREE)
    if not isinstance(tree, uproot.TTree) or BRANCH not in tree:
        raise ValueError(f"no tree {TREE} with a branch {BRANCH}, only {file.classnames()}")
    branches = {branch.name.split(".")[-1]: branch for branch in tree[BRANCH].branches}
    if "tr_hits" not in branches:
        raise ValueError(
            f"branch {BRANCH} has no branch tr_hits in it, only {list(branches)}: was it written with split level 0?"
        )
    for name, branch in branches.items():
        if branch.num_entries != tree.num_entries:
            raise ValueError(
                f"branch {name} has {branch.num_entries} entries, tree {TREE} {tree.num_entries}"
            )
    return tree, branches


def _events(branches, start, stop, source, drift_model):
    """(Events, details) of some entries; see `stream_details`."""
    hits, offsets = _hits(branches, start, stop)
    radius, z = (
        _stored(hits)
        if drift_model is None
        else _recomputed(hits, offsets, _modules(branches, start, stop), drift_model)
    )
    usable = (radius > SMALLEST_RADIUS_MM) & (radius <= LARGEST_RADIUS_MM)
    anode, _, _ = _times(hits)
    if "tsp" in hits:
        usable &= anode >= 0
    table = {name: hits[name] for name in ("side", "layer", "column")}
    table["drift_radius_mm"] = np.where(usable, radius, np.nan)
    table["z_mm"] = np.where(np.abs(z) <= LARGEST_HEIGHT_MM, z, np.nan)
    info = {
        name: root_objects.read_numbers(branches[branch], start, stop)
        for name, branch in INFO
        if branch in branches
    }
    info.setdefault("event", np.arange(start, stop))
    info["geometry"] = np.full(stop - start, TKEVENT)
    kept = one_a_cell(table, offsets)
    table, offsets = (
        {name: values[kept] for name, values in table.items()},
        np.concatenate([[0], np.cumsum(kept)])[offsets],
    )
    details = {"anode_time_ns": np.where(anode >= 0, anode * TRACKER_TICK_NS, np.nan)[kept]}
    return make_events(table, offsets, info=info, source=source, first_entry=start), details


def _times(hits):
    """(anode, bottom, top) times of the hits in ticks, negative where missing, as all are in a file without
    timestamps.
    """
    times = hits.get("tsp", np.full((len(hits["side"]), TOP + 1), -1))
    return times[:, ANODE], times[:, BOTTOM], times[:, TOP]


def _stored(hits):
    """(radius, z) of the hits in the file, mm; z is NaN where the file says 0 and means none."""
    if "r" not in hits and len(hits["side"]):
        raise ValueError(f"no radius in {HIT}: choose a drift model")
    radius = hits.get("r", np.zeros(len(hits["side"]))).astype(float)
    z = hits.get("h", hits.get("Z", np.zeros(len(radius)))).astype(
        float
    )  # one version, of December 2023, called it Z
    anode, bottom, top = _times(hits)
    known = (z != 0) | ((anode >= 0) & (bottom >= 0) & (bottom == top))
    for cathode in (bottom, top):
        known &= (cathode < 0) | (cathode >= anode)
    return np.where(radius == DEFAULT_RADIUS_MM, np.nan, radius), np.where(known, z, np.nan)


def _recomputed(hits, offsets, modules, drift_model):
    """(radius, z) of the hits from their timestamps, mm; `modules` are (members, offsets) of the optical
    modules.
    """
    needed = (HIT, "tsp", hits, offsets), (MODULE, "xyz", *modules), (MODULE, "OM_TDC", *modules)
    for owner, name, members, first in needed:
        if name not in members and first[-1]:
            raise ValueError(f"no {name} in {owner}: no drift model can be used")
    anode, bottom, top = _times(hits)
    z = height_mm(anode, bottom, top)
    place = np.column_stack(
        [
            wire_x_mm(hits["side"], hits["layer"], TKEVENT_FIRST_WIRE_MM),
            wire_y_mm(hits["column"]),
            np.nan_to_num(z),
        ]
    )
    modules, first = modules
    fired, ticks = modules.get("OM_TDC", np.zeros(0)), CALO_DELAY_NS / CALO_TICK_NS
    time = time_since_calorimeter(
        place, 2 * anode, offsets, modules.get("xyz", np.zeros((0, 3))), fired, first, ticks
    )
    return drift_radius_mm(CALO_TICK_NS * time, drift_model), z


def _read(branches, branch, start, stop):
    """Pointers of a vector of TKEvent; empty if the file's version has no such member."""
    if branch in branches:
        return root_objects.read(branches[branch], start, stop)
    return root_objects.Pointers(np.zeros(stop - start + 1, np.int64), np.zeros(0, np.int64), {}, {})


def _members(found, name):
    """Member -> numbers of the vectors' own objects, of class `name`."""
    return {member: values[found.top] for member, values in found.numbers.get(name, {}).items()}


def _hits(branches, start, stop):
    found = _read(branches, "tr_hits", start, stop)
    return _with_cell(_members(found, HIT), found.offsets, start), found.offsets


def _modules(branches, start, stop):
    found = _read(branches, "OM_hits", start, stop)
    return _members(found, MODULE), found.offsets


def _with_cell(hits, offsets, start):
    """The same members and side, layer and column, by the number of the cell or else by its side, row and
    layer.
    """
    number = np.zeros(0, np.int64)
    if "cell_num" in hits:
        number = hits["cell_num"].astype(np.int64)
    elif "SRL" in hits:
        side, row, layer = hits["SRL"].astype(np.int64).T
        inside = (side >= 0) & (side < 2) & (row >= 0) & (row < N_COLUMNS) & (layer >= 0) & (layer < N_LAYERS)
        number = np.where(inside, (side * N_COLUMNS + row) * N_LAYERS + layer, -1)
    elif offsets[-1]:
        raise ValueError(f"neither cell_num nor SRL in {HIT}")
    bad = np.flatnonzero((number < 0) | (number >= N_CELLS))
    if len(bad):
        entry = start + np.searchsorted(offsets, bad[0], side="right") - 1
        raise ValueError(f"entry {entry}: cell {number[bad[0]]} outside 0..{N_CELLS - 1}")
    side, rest = np.divmod(number, N_COLUMNS * N_LAYERS)
    return hits | {"side": side, "layer": rest % N_LAYERS, "column": rest // N_LAYERS}


def _addressed_modules(branches, start, stop):
    modules, offsets = _modules(branches, start, stop)
    if "OM_num" not in modules and offsets[-1]:
        raise ValueError(f"no OM_num in {MODULE}")
    address = optical_module_address(modules.get("OM_num", np.zeros(0, np.int64)))
    return modules | dict(
        zip(("calo_type", "calo_side", "calo_wall", "calo_column", "calo_row"), address, strict=True)
    ), offsets


def _clusters(branches, start, stop):
    found = _read(branches, "clusters", start, stop)
    return _members(found, CLUSTER), found.offsets


def _own_index(offsets):
    """(event, index in the event) of each object."""
    event = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return event, np.arange(offsets[-1]) - offsets[event]


def _tracks(branches, start, stop):
    """Tracks as TKEvent::get_tracks lists them: those without a cluster, then each cluster's, with its mirror
    image behind it.
    """
    free, clustered = _read(branches, "tracks", start, stop), _read(branches, "clusters", start, stop)
    free_event, _ = _own_index(free.offsets)
    event, cluster = _own_index(clustered.offsets)
    track = _link(clustered, CLUSTER, "track")[clustered.top]
    mirror = np.append(_link(clustered, TRACK, "mirror_image"), -1)[track]
    has_track, has_mirror = track >= 0, (track >= 0) & (mirror >= 0)

    index = np.concatenate([track[has_track], mirror[has_mirror]])
    inside = {name: values[index] for name, values in clustered.numbers.get(TRACK, {}).items()}
    event = np.concatenate([free_event, event[has_track], event[has_mirror]])
    inside_of = {
        "cluster": np.concatenate([np.full(len(free_event), -1), cluster[has_track], cluster[has_mirror]])
    }
    inside_of["mirror"] = np.arange(len(event)) >= len(event) - has_mirror.sum()
    tracks = _join([(_members(free, TRACK), len(free_event)), (inside, len(index))]) | inside_of
    order = np.lexsort((tracks["mirror"], tracks["cluster"], event))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(event, minlength=stop - start))])
    return {name: values[order] for name, values in tracks.items()}, offsets


def _link(found, name, member):
    return found.links.get(name, {}).get(
        member, np.full(len(next(iter(found.numbers.get(name, {}).values()), ())), -1)
    )


def _cluster_hits(branches, start, stop):
    found = _read(branches, "clusters", start, stop)
    hit, first = found.links.get(CLUSTER, {}).get(
        "cluster_tr_hits", (np.zeros(0, np.int64), np.zeros(len(found.top) + 1, np.int64))
    )
    n = np.diff(first)[found.top]
    hit = hit[np.arange(n.sum()) + np.repeat(first[found.top] - np.cumsum(n) + n, n)]
    event, cluster = (np.repeat(values, n) for values in _own_index(found.offsets))
    event, cluster, hit = event[hit >= 0], cluster[hit >= 0], hit[hit >= 0]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(event, minlength=stop - start))])
    hits = {name: values[hit] for name, values in found.numbers.get(HIT, {}).items()}
    return _with_cell(hits, offsets, start) | {"cluster": cluster}, offsets


OBJECTS = {
    "hits": _hits,
    "optical_modules": _addressed_modules,
    "tracks": _tracks,
    "clusters": _clusters,
    "cluster_hits": _cluster_hits,
}


def _join(parts):
    """Member -> values from (members, number of objects) of several groups of objects: the members that all
    of them have.
    """
    parts = [members for members, n in parts if n] or [members for members, _ in parts[:1]] or [{}]
    common = [name for name in parts[0] if all(name in members for members in parts)]
    return {name: np.concatenate([members[name] for members in parts]) for name in common}
