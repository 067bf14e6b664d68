"""The event table: what every reader and generator gives, and everything else takes.

An `Events` holds three groups of flat arrays; offsets say which entries belong to which event.

| group | name | meaning | type |
| --- | --- | --- | --- |
| hits | side | 0 is x < 0, 1 is x > 0 | int8 |
| | layer, column | cell, 0..8 away from the foil and 0..112 along it | int8 |
| | drift_radius_mm | distance from wire to track, NaN where unknown | float32 |
| | z_mm | height along the wire, NaN where not measured (never 0 instead) | float32 |
| | track | index of the track in its event, -1 for noise or unknown | int16 |
| | second_track | the other owner of a cell that two tracks crossed, else -1 | int16 |
| | segment | index of the straight segment within its track `track`, 0 nearest the foil; 0 for noise or unknown | int8 |
| tracks | side | tracker half the track leaves the foil to | int8 |
| | calo_type | 0 main wall, 1 X-wall, 2 gamma veto, -1 none or unknown | int8 |
| | calo_side, calo_wall, calo_column, calo_row | address of the block, -1 where it has none; toy files count 0..21 x 0..14 | int16 |
| | foil_y_mm, foil_z_mm | where the track leaves the foil, NaN where unknown | float32 |
| | slope_y, slope_z | dy/d|x|, dz/d|x| at the foil, NaN where unknown | float32 |
| | kinked | the track is not one straight line | bool |
| | n_segments | straight segments the track is made of | int16 |
| info | n_tracks | true number of tracks, -1 where unknown | int16 |
| | run, event | numbers of the run and of the event in its file, -1 where unknown | int64 |

A cell fires once an event: hits that share a cell merge, the one with the smaller radius stays and both
owners are kept. Tracks stay in the table when a detector response lost their hits: `n_tracks` and
`n_segments` count what was there.
"""

from dataclasses import dataclass, field

import awkward as ak
import numpy as np

from datasets.geometry import N_CELLS, N_COLUMNS, N_LAYERS

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
}
INFO_FIELDS = {
    "n_tracks": (np.int16, -1, -1, 1000),
    "run": (np.int64, -1, -(2**62), 2**62),
    "event": (np.int64, -1, -(2**62), 2**62),
}


@dataclass
class Events:
    """Events as flat arrays with offsets; the module's docstring lists the names.

    Make one with `make_events`.

    Attributes:
        hits: name -> (hit,) array; hit_offsets: (event + 1,) int64.
        tracks: name -> (track,) array; track_offsets: (event + 1,) int64.
        info: name -> (event,) array.
    """

    hits: dict
    hit_offsets: np.ndarray
    tracks: dict
    track_offsets: np.ndarray
    info: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.hit_offsets) - 1

    @property
    def n_hits(self):
        """(event,) hits of each event."""
        return np.diff(self.hit_offsets)

    @property
    def hit_event(self):
        """(hit,) index of the event each hit belongs to."""
        return np.repeat(np.arange(len(self)), self.n_hits)

    @property
    def track_event(self):
        """(track,) index of the event each track belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.track_offsets))

    @property
    def n_segments(self):
        """(event,) straight segments of all tracks of each event."""
        return np.diff(
            np.concatenate([[0], np.cumsum(self.tracks["n_segments"], dtype=np.int64)])[self.track_offsets]
        )

    def __getitem__(self, which):
        """The events of a slice, of a (event,) mask or of an array of indices, in that order."""
        which = np.arange(len(self))[which]
        if which.ndim == 0:
            which = which[None]
        hits, hit_offsets = _take(self.hits, self.hit_offsets, which)
        tracks, track_offsets = _take(self.tracks, self.track_offsets, which)
        return Events(hits, hit_offsets, tracks, track_offsets, {k: v[which] for k, v in self.info.items()})

    def keep_hits(self, mask):
        """The same events with only the hits where the (hit,) mask is true; labels stay."""
        offsets = np.concatenate([[0], np.cumsum(mask)])[self.hit_offsets]
        return Events(
            {k: v[mask] for k, v in self.hits.items()}, offsets, self.tracks, self.track_offsets, self.info
        )

    def to_awkward(self):
        """The table as an Awkward Array: `hits` and `tracks` are jagged records, beside the fields of `info`."""
        groups = {
            "hits": jagged(self.hits, self.hit_offsets),
            "tracks": jagged(self.tracks, self.track_offsets),
        }
        return ak.zip({**groups, **self.info}, depth_limit=1)


def jagged(arrays, offsets):
    """Flat arrays and their offsets as one jagged Awkward Array of records; no copy."""
    records = ak.contents.RecordArray(
        [ak.contents.NumpyArray(values) for values in arrays.values()], list(arrays)
    )
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), records))


def _take(arrays, offsets, which):
    """Entries of the chosen events from flat arrays, with their new offsets."""
    counts = np.diff(offsets)[which]
    new = np.concatenate([[0], np.cumsum(counts)])
    index = np.arange(new[-1]) + np.repeat(offsets[which] - new[:-1], counts)
    return {k: v[index] for k, v in arrays.items()}, new


def concatenate(tables):
    """One table of the events of several, in order."""
    tables = list(tables)
    if not tables:
        return make_events({}, [0])
    join = lambda group: {
        k: np.concatenate([getattr(t, group)[k] for t in tables]) for k in getattr(tables[0], group)
    }  # noqa: E731
    offsets = lambda name: np.concatenate(
        [[0], np.cumsum(np.concatenate([np.diff(getattr(t, name)) for t in tables]))]
    )  # noqa: E731
    return Events(
        join("hits"), offsets("hit_offsets"), join("tracks"), offsets("track_offsets"), join("info")
    )


def make_events(
    hits,
    hit_offsets,
    tracks=None,
    track_offsets=None,
    info=None,
    source="events",
    branches=None,
    first_entry=0,
):
    """Check, complete and merge: the one place where an event table is made from raw arrays.

    Args:
        hits: name -> (hit,) array; `layer` and `column` are needed when there is a hit, the rest has
            defaults.
        hit_offsets: (event + 1,) first hit of each event, and the end.
        tracks, track_offsets: the same for tracks. info: name -> (event,) array.
        source: the file's name for errors; branches: "hits", "tracks", "info" -> name -> branch of that file;
            first_entry: entry of event 0.
    Returns:
        Events with one hit a cell.
    Raises:
        ValueError: a value outside its range, arrays that do not fit together; names file, entry, branch and
            value.
    """
    hit_offsets = np.asarray(hit_offsets, np.int64)
    n_events = len(hit_offsets) - 1
    track_offsets = (
        np.zeros(n_events + 1, np.int64) if track_offsets is None else np.asarray(track_offsets, np.int64)
    )
    if len(track_offsets) != len(hit_offsets):
        raise ValueError(f"{source}: hits of {n_events} events, tracks of {len(track_offsets) - 1}")
    branches = branches or {}
    hits = _complete(hits, HIT_FIELDS, hit_offsets, source, branches.get("hits", {}), first_entry)
    tracks = _complete(
        tracks or {}, TRACK_FIELDS, track_offsets, source, branches.get("tracks", {}), first_entry
    )
    info = _complete(
        info or {}, INFO_FIELDS, np.arange(n_events + 1), source, branches.get("info", {}), first_entry
    )
    events = Events(hits, hit_offsets, tracks, track_offsets, info)
    _check_owners(events, source, branches.get("hits", {}), first_entry)
    return merge_cells(events)


def _check_owners(events, source, branches, first_entry):
    """Owners are tracks of their event, unless the event's tracks are not in the table."""
    n_tracks = np.diff(events.track_offsets)
    most = np.iinfo(np.int16).max
    n_known = np.repeat(np.where(n_tracks > 0, n_tracks, most).clip(max=most).astype(np.int16), events.n_hits)
    for name in ("track", "second_track"):
        bad = np.flatnonzero(events.hits[name] >= n_known)
        if len(bad):
            entry = np.searchsorted(events.hit_offsets, bad[0], side="right") - 1
            branch, value = branches.get(name, name), events.hits[name][bad[0]]
            raise ValueError(
                f"{source}: entry {first_entry + entry}: {branch} {value} in an event of {n_tracks[entry]} tracks"
            )


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
        if n:
            # two reductions instead of a mask: this runs on every value of every file (NaN drops out of fmin
            # and fmax)
            bad, what = [], f"outside {low}..{high}"
            if np.fmin.reduce(values) < low or np.fmax.reduce(values) > high:
                bad = np.flatnonzero((values < low) | (values > high))
            elif (
                values.dtype.kind == "f" and np.dtype(dtype).kind != "f"
            ):  # whole numbers that a file keeps as floats
                bad, what = np.flatnonzero(values != np.floor(values)), "is no whole number"
            if len(bad):
                entry = first_entry + np.searchsorted(offsets, bad[0], side="right") - 1
                raise ValueError(f"{source}: entry {entry}: {branch} {values[bad[0]]} {what}")
        complete[name] = values.astype(dtype, copy=False)
    return complete


def merge_cells(events, chunk=1024):
    """Let each cell fire once an event: of hits that share a cell the smallest radius stays, and two owners.

    `track` is the owner of the hit that stays (a track before noise), `second_track` the owner of the next
    one; `segment` goes with `track`.
    """
    side, layer, column = (events.hits[k] for k in ("side", "layer", "column"))
    # Where the last hit of each cell stands; one buffer for some events at a time stays in the processor's
    # cache.
    last = np.empty(min(chunk, len(events)) * N_CELLS, np.int32)
    shared = []
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
    shared = np.concatenate(shared) if shared else np.zeros(0, int)
    if not len(shared):
        return events

    hits = {k: v[shared] for k, v in events.hits.items()}
    event = np.searchsorted(events.hit_offsets, shared, side="right") - 1
    cell = ((event * 2 + hits["side"]) * N_LAYERS + hits["layer"]) * N_COLUMNS + hits["column"]
    order = np.lexsort((hits["drift_radius_mm"], cell))  # NaN radii sort last
    new = np.r_[True, np.diff(cell[order]) != 0]
    group = np.cumsum(new) - 1
    first = order[new]

    # Owners in order of radius: the first track met, then the first other one; both owners of every hit
    # count.
    owner = np.concatenate([hits["track"][order], hits["second_track"][order]])
    rank = np.concatenate([np.arange(len(order)), np.arange(len(order)) + 0.5])
    known = np.flatnonzero(owner >= 0)
    by_rank = known[np.lexsort((rank[known], np.tile(group, 2)[known]))]
    group_of, owner = np.tile(group, 2)[by_rank], owner[by_rank]
    track = np.full(len(first), -1, np.int16)
    second = np.full(len(first), -1, np.int16)
    leads = np.r_[True, np.diff(group_of) != 0][: len(owner)]
    track[group_of[leads]] = owner[leads]
    other = owner != track[group_of]
    second[group_of[other][::-1]] = owner[other][
        ::-1
    ]  # reversed: the smallest radius is written last and stays

    merged = {k: v.copy() for k, v in events.hits.items()}
    merged["track"][shared[first]], merged["second_track"][shared[first]] = track, second
    if "segment" in merged:  # that of a second owner is not known
        segment = np.concatenate([hits["segment"][order], np.zeros(len(order), np.int8)])[by_rank]
        merged["segment"][shared[first[group_of[leads]]]] = segment[leads]
    keep = np.ones(len(side), bool)
    keep[shared] = False
    keep[shared[first]] = True
    return Events(merged, events.hit_offsets, events.tracks, events.track_offsets, events.info).keep_hits(
        keep
    )
