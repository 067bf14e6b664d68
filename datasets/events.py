"""The event table: what every reader and generator gives, and everything else takes.

An `Events` holds groups of flat arrays; offsets say which entries belong to which event.

| group | name | meaning | type |
| --- | --- | --- | --- |
| hits | side | 0 is x < 0, 1 is x > 0 | int8 |
| | layer, column | cell, 0..8 away from the foil and 0..112 along it | int8 |
| | drift_radius_mm | distance from wire to track, NaN where unknown | float32 |
| | z_mm | height along the wire, NaN where not measured (never 0 instead) | float32 |
| | track | index of the track in its event, -1 for noise or unknown | int16 |
| | second_track | the other owner of a cell that two tracks crossed, else -1 | int16 |
| | segment | straight segment of `track`, 0 nearest the foil; 0 for noise or unknown | int8 |
| tracks | side | tracker half the track leaves the foil to | int8 |
| | calo_type | 0 main wall, 1 X-wall, 2 gamma veto, -1 none or unknown | int8 |
| | calo_side, calo_wall, calo_column, calo_row | address of the block the track ends in | int16 |
| | foil_y_mm, foil_z_mm | where the track leaves the foil, NaN where unknown | float32 |
| | slope_y, slope_z | dy, dz for a step away from the foil, NaN where unknown | float32 |
| | kinked | the track is not one straight line | bool |
| | n_segments | straight segments the track is made of | int16 |
| | charge | -1 or 1, 0 where unknown | int8 |
| | momentum_mev | in MeV/c, NaN where unknown | float32 |
| | curvature_per_mm | at the foil in the top view, positive towards +y, NaN where unknown | float32 |
| | vertex | which foil point of its event the track is from, -1 where unknown | int16 |
| blocks | calo_type, side, wall, column, row | address of a calorimeter block that fired | int8, int16 |
| | energy_mev, time_ns | what it measured, NaN where unknown | float32, float64 |
| | track | index of the first track that ends in it, -1 for none or unknown | int16 |
| info | n_tracks | true number of tracks, -1 where unknown | int16 |
| | n_particles | particles with a true hit in the tracker, -1 where unknown | int16 |
| | run, event | numbers of the run and of the event in its file, -1 where unknown | int64 |
| | geometry | TOY, DETECTOR or TKEVENT of `datasets.geometry` | int8 |

The geometry says where the first wires are and how blocks are counted. In the toy a main wall is 1..20
columns x 1..13 rows, and 0, 21 and 14 stand for beyond its ends. In the detector, and in TKEvent, addresses
are the detector's own, from 0 on, and -1 where a block has none.

A cell fires once an event: hits that share a cell merge, the one with the smaller radius stays and both
owners are kept. Tracks stay in the table when a detector response lost their hits: `n_tracks` and
`n_segments` count what was there.

Generators make tracks; a simulation of the detector makes particles, and most of those that reach the tracker
are electrons of one or two cells that nobody could find. There `n_tracks` counts visible tracks: what a
particle has on a tracker side is one if it owns `VISIBLE_CELLS` cells there or more.
"""

from dataclasses import dataclass, field, replace

import awkward as ak
import numpy as np

from datasets.geometry import (
    DETECTOR,
    FIRST_WIRES_MM,
    GEOMETRIES,
    LARGEST_BLOCK,
    N_CELLS,
    N_COLUMNS,
    N_LAYERS,
    TOY,
    TOY_WALL_OVERFLOW,
)

# name: (type, value where a file has none, lowest, highest); NaN is always allowed in floats, infinity never
HIT_FIELDS = {
    "side": (np.int8, 1, 0, 1),
    "layer": (np.int8, None, 0, N_LAYERS - 1),
    "column": (np.int8, None, 0, N_COLUMNS - 1),
    "drift_radius_mm": (np.float32, np.nan, 0, 50),
    "z_mm": (np.float32, np.nan, -2000, 2000),
    "track": (np.int16, -1, -1, 1000),
    "second_track": (np.int16, -1, -1, 1000),
    "segment": (np.int8, 0, 0, 100),
}
TRACK_FIELDS = {
    "side": (np.int8, 1, 0, 1),
    "calo_type": (np.int8, -1, -1, 2),
    "calo_side": (np.int16, -1, -1, 1),
    "calo_wall": (np.int16, -1, -1, 1),
    "calo_column": (np.int16, -1, -1, 21),
    "calo_row": (np.int16, -1, -1, 15),
    "foil_y_mm": (np.float32, np.nan, -1e5, 1e5),
    "foil_z_mm": (np.float32, np.nan, -1e5, 1e5),
    "slope_y": (np.float32, np.nan, -1e9, 1e9),
    "slope_z": (np.float32, np.nan, -1e9, 1e9),
    "kinked": (np.bool_, False, 0, 1),
    "n_segments": (np.int16, 1, 1, 101),
    "charge": (np.int8, 0, -1, 1),
    "momentum_mev": (np.float32, np.nan, 0, 1e6),
    "curvature_per_mm": (np.float32, np.nan, -1e3, 1e3),
    "vertex": (np.int16, -1, -1, 1000),
}
BLOCK_FIELDS = {
    "calo_type": (np.int8, -1, -1, 2),
    "side": (np.int16, -1, -1, 1),
    "wall": (np.int16, -1, -1, 1),
    "column": (np.int16, -1, -1, 21),
    "row": (np.int16, -1, -1, 15),
    "energy_mev": (np.float32, np.nan, -1e3, 1e6),
    "time_ns": (np.float64, np.nan, -1e18, 1e18),
    "track": (np.int16, -1, -1, 1000),
}
INFO_FIELDS = {
    "n_tracks": (np.int16, -1, -1, 1000),
    "n_particles": (np.int16, -1, -1, 32767),
    "run": (np.int64, -1, -(2**62), 2**62),
    "event": (np.int64, -1, -(2**62), 2**62),
    "geometry": (np.int8, DETECTOR, 0, len(GEOMETRIES) - 1),
}
VISIBLE_CELLS = 3  # on a tracker side, that make a particle's hits there a track
# Of an event: the original files keep several hits in a cell, but not hundreds.
MOST_HITS = 10 * N_CELLS


# ---- ragged arrays -----------------------------------------------------------------------------------------


def offsets_of(counts):
    """(n + 1,) int64: where each group of `counts` entries begins in a flat array, and the end."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def rows_and_places(counts):
    """For rows of `counts` entries each: (entry,) index of the row, and place of the entry in its row."""
    counts = np.asarray(counts, np.int64)
    row = np.repeat(np.arange(len(counts)), counts)
    return row, _places(counts)


def _places(counts):
    first = offsets_of(counts)[:-1]
    return np.arange(counts.sum()) - np.repeat(first, counts)


def entries_of(offsets, which):
    """Entries of some groups, one group after the other.

    Args:
        offsets: (n + 1,) of all groups. which: (chosen,) indices of groups.
    Returns:
        (entry,) indices into the flat arrays; (chosen + 1,) offsets of the chosen groups.
    """
    counts = np.diff(offsets)[which]
    new_offsets = offsets_of(counts)
    shift = np.asarray(offsets)[:-1][which] - new_offsets[:-1]
    return np.arange(new_offsets[-1]) + np.repeat(shift, counts), new_offsets


def jagged(arrays, offsets):
    """Flat arrays and their offsets as one jagged Awkward Array of records; no copy."""
    records = ak.contents.RecordArray(
        [ak.contents.NumpyArray(values) for values in arrays.values()], list(arrays)
    )
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), records))


# ---- the table ---------------------------------------------------------------------------------------------


def _no_blocks():
    return {name: np.zeros(0, dtype) for name, (dtype, *_) in BLOCK_FIELDS.items()}


@dataclass(repr=False)
class Events:
    """Events as flat arrays with offsets; the module's docstring lists the names.

    Make one with `make_events`.

    Attributes:
        hits: name -> (hit,) array; hit_offsets: (event + 1,) int64.
        tracks: name -> (track,) array; track_offsets: (event + 1,) int64.
        info: name -> (event,) array.
        blocks: name -> (block,) array; block_offsets: (event + 1,) int64.
    """

    hits: dict
    hit_offsets: np.ndarray
    tracks: dict
    track_offsets: np.ndarray
    info: dict
    blocks: dict = field(default_factory=_no_blocks)
    block_offsets: np.ndarray = None

    def __post_init__(self):
        if self.block_offsets is None:
            self.block_offsets = np.zeros(len(self) + 1, np.int64)

    def __len__(self):
        return len(self.hit_offsets) - 1

    def __repr__(self):
        held = f"{len(self)} events, {self.hit_offsets[-1]} hits, {self.track_offsets[-1]} tracks"
        names = [GEOMETRIES[code] for code in np.unique(self.info["geometry"])]
        return f"<Events: {held}, {self.block_offsets[-1]} blocks; {' and '.join(names) or 'no'} geometry>"

    @property
    def n_hits(self):
        """(event,) hits of each event."""
        return np.diff(self.hit_offsets)

    @property
    def hit_event(self):
        """(hit,) index of the event each hit belongs to."""
        return np.repeat(np.arange(len(self)), self.n_hits)

    @property
    def hit_place(self):
        """(hit,) place of each hit among those of its event."""
        return _places(self.n_hits)

    @property
    def track_of_hits(self):
        """(hit,) index of the true track of each hit among those of all events, -1 for none."""
        track = self.hits["track"]
        first = self.track_offsets[self.hit_event]
        return np.where(track >= 0, first + track, -1)

    @property
    def track_event(self):
        """(track,) index of the event each track belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.track_offsets))

    @property
    def block_event(self):
        """(block,) index of the event each calorimeter block belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.block_offsets))

    @property
    def n_segments(self):
        """(event,) straight segments of all tracks of each event."""
        before = offsets_of(self.tracks["n_segments"])
        return np.diff(before[self.track_offsets])

    @property
    def first_wire_mm(self):
        """(event,) distance of the wires of layer 0 from the foil."""
        return FIRST_WIRES_MM[self.info["geometry"]]

    def __getitem__(self, which):
        """The events of a slice, of a (event,) mask or of an array of indices, in that order."""
        which = np.atleast_1d(np.arange(len(self))[which])
        hits, hit_offsets = _take(self.hits, self.hit_offsets, which)
        tracks, track_offsets = _take(self.tracks, self.track_offsets, which)
        blocks, block_offsets = _take(self.blocks, self.block_offsets, which)
        info = {name: values[which] for name, values in self.info.items()}
        return Events(hits, hit_offsets, tracks, track_offsets, info, blocks, block_offsets)

    def with_hits(self, hits, hit_offsets=None):
        """The same events with other hits, name -> (hit,) array; names that are left out stay as they are."""
        hit_offsets = self.hit_offsets if hit_offsets is None else hit_offsets
        return replace(self, hits={**self.hits, **hits}, hit_offsets=hit_offsets)

    def keep_hits(self, mask):
        """The same events with only the hits where the (hit,) mask is true; labels stay."""
        kept = {name: values[mask] for name, values in self.hits.items()}
        return self.with_hits(kept, offsets_of(mask)[self.hit_offsets])

    def to_awkward(self):
        """The table as an Awkward Array: jagged records `hits`, `tracks`, `blocks`, beside the `info`."""
        groups = {
            "hits": jagged(self.hits, self.hit_offsets),
            "tracks": jagged(self.tracks, self.track_offsets),
            "blocks": jagged(self.blocks, self.block_offsets),
        }
        return ak.zip({**groups, **self.info}, depth_limit=1)


def _take(arrays, offsets, which):
    """Entries of the chosen events from flat arrays, with their new offsets."""
    index, new_offsets = entries_of(offsets, which)
    return {name: values[index] for name, values in arrays.items()}, new_offsets


def concatenate(tables):
    """One table of the events of several, in order."""
    tables = list(tables)
    if not tables:
        return make_events({}, [0])

    def join(group):
        return {
            name: np.concatenate([getattr(t, group)[name] for t in tables])
            for name in getattr(tables[0], group)
        }

    def join_offsets(name):
        return offsets_of(np.concatenate([np.diff(getattr(t, name)) for t in tables]))

    return Events(
        join("hits"),
        join_offsets("hit_offsets"),
        join("tracks"),
        join_offsets("track_offsets"),
        join("info"),
        join("blocks"),
        join_offsets("block_offsets"),
    )


# ---- making a table ----------------------------------------------------------------------------------------


def make_events(
    hits,
    hit_offsets,
    tracks=None,
    track_offsets=None,
    info=None,
    source="events",
    branches=None,
    first_entry=0,
    blocks=None,
    block_offsets=None,
):
    """Check, complete and merge: the one place where an event table is made from raw arrays.

    Args:
        hits: name -> (hit,) array; `layer` and `column` are needed when there is a hit, the rest has
            defaults.
        hit_offsets: (event + 1,) first hit of each event, and the end.
        tracks, track_offsets: the same for tracks. info: name -> (event,) array.
        source: the file's name for errors; branches: "hits", "tracks", "info" -> name -> branch of that file;
            first_entry: entry of event 0.
        blocks, block_offsets: the same for fired calorimeter blocks; by default those in which the tracks
            end.
    Returns:
        Events with one hit a cell.
    Raises:
        ValueError: a value outside its range, arrays that do not fit together; names file, entry, branch,
            value.
    """
    hit_offsets = np.asarray(hit_offsets, np.int64)
    n_events = len(hit_offsets) - 1
    track_offsets = _or_zeros(track_offsets, n_events)
    if len(track_offsets) != len(hit_offsets):
        raise ValueError(f"{source}: hits of {n_events} events, tracks of {len(track_offsets) - 1}")
    check_sizes(hit_offsets, source, first_entry)
    branches = {"hits": {}, "tracks": {}, "info": {}, "blocks": {}, **(branches or {})}
    hits = _complete(hits, HIT_FIELDS, hit_offsets, source, branches["hits"], first_entry)
    tracks = _complete(
        tracks or {}, TRACK_FIELDS, track_offsets, source, branches["tracks"], first_entry
    )
    info = _complete(
        info or {}, INFO_FIELDS, np.arange(n_events + 1), source, branches["info"], first_entry
    )
    events = Events(hits, hit_offsets, tracks, track_offsets, info)
    if blocks is None:
        events.blocks, events.block_offsets = blocks_of_tracks(events)
    else:
        events.block_offsets = _or_zeros(block_offsets, n_events)
        events.blocks = _complete(
            blocks, BLOCK_FIELDS, events.block_offsets, source, branches["blocks"], first_entry
        )
    _check_owners(events, source, branches["hits"], first_entry)
    _check_addresses(events, source, branches["tracks"], first_entry)
    return merge_cells(events)


def _or_zeros(offsets, n_events):
    return np.zeros(n_events + 1, np.int64) if offsets is None else np.asarray(offsets, np.int64)


def check_sizes(hit_offsets, source="events", first_entry=0):
    """Refuse events with more hits than a detector can have: a damaged file must not cost the memory of the
    machine.

    Raises:
        ValueError: names file, entry and number.
    """
    n_hits = np.diff(hit_offsets)
    large = np.flatnonzero(n_hits > MOST_HITS)
    if len(large):
        entry = first_entry + large[0]
        raise ValueError(
            f"{source}: entry {entry}: {n_hits[large[0]]} hits, but the tracker has {N_CELLS} cells"
        )


def _check_owners(events, source, branches, first_entry):
    """Owners are tracks of their event, unless the event's tracks are not in the table."""
    n_tracks = np.diff(events.track_offsets)
    most = np.iinfo(np.int16).max
    n_known = np.where(n_tracks > 0, n_tracks, most).clip(max=most).astype(np.int16)
    n_known = np.repeat(n_known, events.n_hits)
    for name in ("track", "second_track"):
        bad = np.flatnonzero(events.hits[name] >= n_known)
        if len(bad):
            entry = _entry_of(events.hit_offsets, bad[0])
            owner = f"{branches.get(name, name)} {events.hits[name][bad[0]]}"
            said = f"{owner} in an event of {n_tracks[entry]} tracks"
            raise ValueError(f"{source}: entry {first_entry + entry}: {said}")


def _check_addresses(events, source, branches, first_entry):
    """In the detector's numbering each wall has its own number of columns and rows."""
    tracks = events.tracks
    in_detector = np.repeat(events.info["geometry"] != TOY, np.diff(events.track_offsets))
    for name, axis in (("calo_column", 0), ("calo_row", 1)):
        largest = LARGEST_BLOCK[tracks["calo_type"], axis]
        bad = np.flatnonzero(in_detector & (tracks[name] > largest))
        if len(bad):
            entry = first_entry + _entry_of(events.track_offsets, bad[0])
            said = f"{branches.get(name, name)} {tracks[name][bad[0]]} outside 0..{largest[bad[0]]}"
            raise ValueError(
                f"{source}: entry {entry}: {said} of calorimeter type {tracks['calo_type'][bad[0]]}"
            )


def _entry_of(offsets, index):
    """The event that an entry of a flat array belongs to."""
    return np.searchsorted(offsets, index, side="right") - 1


def _complete(arrays, fields, offsets, source, branches, first_entry):
    """All fields of a group in their types, defaults filled in, ranges checked."""
    if len(offsets) == 0 or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError(f"{source}: offsets must rise from 0")
    n = int(offsets[-1])
    unknown = set(arrays) - set(fields)
    if unknown:
        raise ValueError(f"{source}: no field {sorted(unknown)} in the event table")
    complete = {}
    for name, (dtype, default, low, high) in fields.items():
        branch = branches.get(name, name)
        if name not in arrays:
            if default is None and n:
                raise ValueError(f"{source}: branch {branch} is missing")
            complete[name] = np.full(n, 0 if default is None else default, dtype)
            continue
        values = np.asarray(arrays[name])
        if len(values) != n:
            raise ValueError(f"{source}: branch {branch} has {len(values)} values, the others {n}")
        bad, reason = _first_bad(values, dtype, low, high)
        if bad is not None:
            entry = first_entry + _entry_of(offsets, bad)
            raise ValueError(f"{source}: entry {entry}: {branch} {values[bad]} {reason}")
        complete[name] = values.astype(dtype, copy=False)
    return complete


def _first_bad(values, dtype, low, high):
    """(index, reason) of the first value that its field does not allow; (None, "") where there is none."""
    if not len(values):
        return None, ""
    # two reductions instead of a mask: this runs on every value of every file (NaN drops out of fmin and
    # fmax)
    if np.fmin.reduce(values) < low or np.fmax.reduce(values) > high:
        return np.flatnonzero((values < low) | (values > high))[0], f"outside {low}..{high}"
    if (
        values.dtype.kind == "f" and np.dtype(dtype).kind != "f"
    ):  # whole numbers that a file keeps as floats
        broken = np.flatnonzero(values != np.floor(values))
        if len(broken):
            return broken[0], "is no whole number"
    return None, ""


def blocks_of_tracks(events):
    """The calorimeter blocks in which the tracks of a table end: each once an event, with its first track.

    Returns:
        (blocks, block_offsets) as `Events` has them; energies and times are unknown. A place beyond the toy's
        wall is no block.
    """
    tracks = events.tracks
    ends = tracks["calo_column"] >= 0
    is_toy = np.repeat(events.info["geometry"] == TOY, np.diff(events.track_offsets))
    column, row = tracks["calo_column"], tracks["calo_row"]
    beyond = np.isin(column, TOY_WALL_OVERFLOW[0]) | np.isin(row, TOY_WALL_OVERFLOW[1])
    track = np.flatnonzero(ends & ~(is_toy & beyond))
    address = {
        "calo_type": np.where(is_toy, 0, tracks["calo_type"]),
        "side": np.where(is_toy, tracks["side"], tracks["calo_side"]),
        "wall": tracks["calo_wall"],
        "column": column,
        "row": row,
    }
    event = events.track_event[track]
    key = event.astype(np.int64)
    for values in address.values():
        key = key * 32 + (values[track] + 1)
    _, first = np.unique(key, return_index=True)
    first.sort()
    blocks = {name: values[track[first]] for name, values in address.items()}
    blocks["track"] = track[first] - events.track_offsets[event[first]]
    offsets = offsets_of(np.bincount(event[first], minlength=len(events)))
    return _complete(blocks, BLOCK_FIELDS, offsets, "blocks of tracks", {}, 0), offsets


# ---- one hit a cell ----------------------------------------------------------------------------------------


def one_a_cell(hits, hit_offsets, then_by=None):
    """Which hit of each cell stays: the one with the smallest radius.

    Args:
        hits: name -> (hit,) array: `side`, `layer`, `column`, `drift_radius_mm`. hit_offsets: (event + 1,).
        then_by: (hit,) decides between equal or unknown radii, such as a time; after that the first hit
            stays.
    Returns:
        (hit,) bool.
    """
    event = np.repeat(np.arange(len(hit_offsets) - 1), np.diff(hit_offsets))
    cell = _cell_in_event(event, hits)
    keys = (
        (hits["drift_radius_mm"], cell)
        if then_by is None
        else (then_by, hits["drift_radius_mm"], cell)
    )
    order = np.lexsort(keys)  # NaN sorts last
    first = np.diff(cell[order], prepend=-1) != 0
    kept = np.zeros(len(cell), bool)
    kept[order[first]] = True
    return kept


def _cell_in_event(event, hits):
    """(hit,) number of each hit's cell, through all events."""
    return ((event * 2 + hits["side"]) * N_LAYERS + hits["layer"]) * N_COLUMNS + hits["column"]


def merge_cells(events, chunk=1024):
    """Let each cell fire once an event: of hits that share a cell the smallest radius stays, and two owners.

    `track` is the owner of the hit that stays (a track before noise), `second_track` the owner of the next
    one; `segment` goes with `track`.
    """
    shared = _in_shared_cells(events, chunk)
    if not len(shared):
        return events
    hits = {name: values[shared] for name, values in events.hits.items()}
    cell = _cell_in_event(_entry_of(events.hit_offsets, shared), hits)
    order = np.lexsort((hits["drift_radius_mm"], cell))  # NaN radii sort last
    new = np.diff(cell[order], prepend=-1) != 0
    stays = shared[order[new]]
    owners = _owners_of_cells(
        {name: values[order] for name, values in hits.items()}, np.cumsum(new) - 1
    )

    merged = {name: values.copy() for name, values in events.hits.items()}
    for name, values in owners.items():
        merged[name][stays] = values
    keep = np.ones(len(merged["side"]), bool)
    keep[shared] = False
    keep[stays] = True
    return events.with_hits(merged).keep_hits(keep)


def _in_shared_cells(events, chunk):
    """(n,) indices of the hits that share their cell with another hit of their event, rising."""
    side, layer, column = (events.hits[name] for name in ("side", "layer", "column"))
    # Where the last hit of each cell stands; one buffer for some events at a time stays in the processor's
    # cache.
    last = np.empty(min(chunk, len(events)) * N_CELLS, np.int32)
    shared = [np.zeros(0, np.int64)]
    for start in range(0, len(events), chunk):
        offsets = events.hit_offsets[start : start + chunk + 1]
        hit = slice(offsets[0], offsets[-1])
        cell = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32) * N_CELLS, np.diff(offsets))
        cell += (side[hit].astype(np.int32) * N_LAYERS + layer[hit]) * N_COLUMNS + column[hit]
        index = np.arange(len(cell), dtype=np.int32)
        last[cell] = index
        winner = last[cell]
        earlier = np.flatnonzero(winner != index)
        shared.append(np.union1d(earlier, winner[earlier]) + offsets[0])
    return np.concatenate(shared)


def _owners_of_cells(hits, group):
    """Who owns each cell: the first track in the order of the radii, then the first other one.

    Args:
        hits: name -> (hit,) array, cell after cell, nearest hit first. group: (hit,) number of its cell,
            rising.
    Returns:
        name -> (cell,) array: `track`, `second_track`, and the `segment` of `track`.
    """
    n_hits, n_cells = len(group), group[-1] + 1
    owner = np.concatenate([hits["track"], hits["second_track"]])  # both owners of every hit count
    place = np.concatenate([np.arange(n_hits), np.arange(n_hits) + 0.5])
    segment = np.concatenate(
        [hits["segment"], np.zeros(n_hits, np.int8)]
    )  # that of a second owner is not known
    cell = np.tile(group, 2)
    known = np.flatnonzero(owner >= 0)
    known = known[np.lexsort((place[known], cell[known]))]
    owner, segment, cell = owner[known], segment[known], cell[known]

    leads = np.diff(cell, prepend=-1) != 0
    found = {
        "track": np.full(n_cells, -1, np.int16),
        "second_track": np.full(n_cells, -1, np.int16),
        "segment": hits["segment"][np.diff(group, prepend=-1) != 0],
    }
    found["track"][cell[leads]] = owner[leads]
    found["segment"][cell[leads]] = segment[leads]
    other = np.flatnonzero(owner != found["track"][cell])[::-1]
    found["second_track"][cell[other]] = owner[
        other
    ]  # reversed: the nearest one is written last and stays
    return found
