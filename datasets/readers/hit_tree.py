"""Read and write `hit_tree` files: those of `my_generator` and of the SN-IEgenerator haystack.

As ROOT writes them (a TTree of `std::vector` branches), as uproot does (a TTree of counters and arrays), and
as RNTuple, which is what uproot makes of an assigned dictionary and what ROOT 7 writes. Labels are optional:
a file may carry `track_split` (cumulative hits of the tracks), or per hit `track` (-1 noise) and
`second_owner`, or none. Tracks with kinks have `n_segments`, and their hits a `segment`.
"""

from functools import partial
from itertools import chain

import awkward as ak
import numpy as np
import uproot

import outputs
from datasets.events import (
    HIT_FIELDS,
    TRACK_FIELDS,
    Events,
    check_sizes,
    concatenate,
    jagged,
    make_events,
    offsets_of,
    rows_and_places,
)
from datasets.geometry import DETECTOR, GAMMA_VETO, TOY
from datasets.readers import files

TREE = "hit_tree"
NTUPLE = "ROOT::RNTuple"
CLASSES = ("TTree", NTUPLE)  # of ROOT, that a tree may be of
HIT_BRANCHES = {
    "side": "grid_side",
    "layer": "grid_layer",
    "column": "grid_column",
    "drift_radius_mm": "radius",
    "z_mm": "wirez",
    "track": "track",
    "second_track": "second_owner",
    "segment": "segment",
}
TRACK_BRANCHES = {
    "side": "track_side",
    "calo_type": "calo_type",
    "calo_side": "calo_side",
    "calo_wall": "calo_wall",
    "calo_column": "calo_column",
    "calo_row": "calo_row",
    "foil_y_mm": "foil_y",
    "foil_z_mm": "foil_z",
    "slope_y": "slope_y",
    "slope_z": "slope_z",
    "kinked": "kinked",
    "n_segments": "n_segments",
    "charge": "charge",
    "momentum_mev": "momentum",
    "curvature_per_mm": "curvature",
    "vertex": "vertex",
}
INFO_BRANCHES = {name: name for name in ("n_tracks", "n_particles", "run", "event", "geometry")}
NEEDED = ("layer", "column", "drift_radius_mm", "z_mm")
COUNTED = HIT_BRANCHES["layer"]  # the branch that says how many hits an event has
SPLIT = "track_split"
LINE = ("pointx", "pointy", "pointz", "diry", "dirz")  # haystack: point on the wall, slopes by x
LINE_FIELDS = dict.fromkeys(LINE, (np.float32, np.nan))
BRANCHES = (*HIT_BRANCHES.values(), *TRACK_BRANCHES.values(), *INFO_BRANCHES.values(), SPLIT, *LINE)
FEWEST_EVENTS = 100  # of a chunk


# ---- files to chunks of branches ---------------------------------------------------------------------------


def stream(paths, chunk="10 MB", progress=False):
    """Events of files, a chunk at a time, in bounded memory: that of a chunk, and of a cluster of an RNTuple.

    Args:
        paths: a file, a glob, or a list of them. chunk: bytes ("10 MB", but at least 100 events) or number of
            events read at once.
        progress: draw a bar on the terminal.
    Yields:
        Events.
    Raises:
        ValueError: a file that is missing, truncated, foreign or out of range; names the file and the branch.
    """
    yield from files.stream(paths, partial(_tables, chunk=chunk), progress)


def read(paths, progress=False):
    """All events of files as one table."""
    return concatenate(stream(paths, progress=progress))


def _tables(file, path, within_file, chunk):
    """Events of an open file, a chunk at a time."""
    tree = file.get(TREE)
    if getattr(tree, "classname", None) not in CLASSES:
        raise ValueError(f"no tree {TREE}, only {file.classnames()}")
    names = _names(tree)
    step = chunk
    if isinstance(chunk, str):
        step = max(FEWEST_EVENTS, tree.num_entries_for(chunk, names))
    step = max(1, step)
    chunks = _ntuple_chunks if tree.classname == NTUPLE else _tree_chunks
    geometry = geometry_of(tree)
    start = 0
    for arrays in chunks(tree, names, step, str(path)):
        events = _to_events(arrays, str(path), start, geometry)
        start += len(events)
        yield events
        within_file(start / tree.num_entries)


def _names(tree):
    """The branches of a tree that are read."""
    needed = [HIT_BRANCHES[name] for name in NEEDED]
    missing = [branch for branch in needed if branch not in tree]
    if missing:
        raise ValueError(f"tree {TREE} has no branch {', '.join(missing)}")
    names = [branch for branch in BRANCHES if branch in tree]
    n_entries = tree.num_entries
    for branch in names:
        n = tree[branch].num_entries
        if n != n_entries:
            raise ValueError(f"tree {TREE} has {n_entries} entries, branch {branch} has {n}")
    return names


def _tree_chunks(tree, names, step, source):
    """Branches of a TTree, `step` entries at a time: name -> (event,) Awkward Array."""
    others = [name for name in names if name != COUNTED]
    # unlike calls of `arrays`, `iterate` uncompresses every basket once
    chunks_of_others = tree.iterate(others, step_size=step)
    start = 0
    for counted in tree.iterate([COUNTED], step_size=step):
        _check_counts(counted, source, start)
        start += len(counted)
        yield _by_name(counted) | _by_name(next(chunks_of_others))


def _ntuple_chunks(ntuple, names, step, source):
    """The same of an RNTuple. A cluster of it has to be read at once."""
    others = [name for name in names if name != COUNTED]
    for first, stop in _whole_clusters(ntuple, step):
        counted = ntuple.arrays(filter_name=[COUNTED], entry_start=first, entry_stop=stop)
        _check_counts(counted, source, first)
        rest = ntuple.arrays(filter_name=others, entry_start=first, entry_stop=stop)
        for start in range(0, stop - first, step):
            some = slice(start, start + step)
            yield _by_name(counted[some]) | _by_name(rest[some])


def _whole_clusters(ntuple, step):
    """First entry, and the one behind the last, of neighbouring clusters that hold `step` entries or more."""
    first = 0
    for cluster in ntuple.cluster_summaries:
        stop = cluster.num_first_entry + cluster.num_entries
        if stop - first >= step or stop == ntuple.num_entries:
            yield first, stop
            first = stop


def _by_name(arrays):
    """name -> (event,) array; an RNTuple may hold the hits of an event as records, with branches inside."""
    found = {}
    for name in arrays.fields:
        inside = _by_name(arrays[name])
        found |= inside or {name: arrays[name]}
    return found


def _check_counts(arrays, source, start):
    """Look at the numbers of hits before anything else is read."""
    _, offsets = _flat(_by_name(arrays)[COUNTED], COUNTED)
    check_sizes(offsets, source, start)


def geometry_of(tree):
    """TOY or DETECTOR: in which geometry the events of a tree are that does not say it event by event."""
    if getattr(tree, "title", None) == "toyhaystack" or "pointx" in tree:
        return DETECTOR
    if (
        tree.classname == NTUPLE and "geometry" in tree
    ):  # it has no title, but may be of either generator
        first = np.asarray(tree["geometry"].array(entry_stop=1))
        return TOY if (first == TOY).all() else DETECTOR
    return TOY


# ---- branches to events ------------------------------------------------------------------------------------


def _flat(array, branch):
    """(values, offsets) of a jagged branch."""
    if not isinstance(array.layout, ak.contents.ListOffsetArray) or array.ndim != 2:
        raise ValueError(
            f"branch {branch} holds {array.type.content}, not a list of numbers an entry"
        )
    array = ak.to_packed(array)
    return ak.to_numpy(ak.flatten(array)), np.asarray(array.layout.offsets)


def _group(arrays, branches, fields, offsets, start):
    """Branches of one group that are there: name -> values; `offsets` says how many values an event should
    have.

    Except those that are needed, a branch may be empty, as `grid_side` and `calo_side` of the original macro:
    then defaults fill it. That goes event by event, so files of both generators may be merged.
    """
    group = {}
    for name, branch in branches.items():
        if branch not in arrays:
            continue
        values, own_offsets = _flat(arrays[branch], branch)
        if not np.array_equal(own_offsets, offsets):
            counts = np.diff(own_offsets)
            wanted = np.diff(offsets)
            may_be_empty = name not in NEEDED
            wrong = np.flatnonzero((counts != wanted) & ~(may_be_empty & (counts == 0)))
            if len(wrong):
                event = wrong[0]
                said = f"branch {branch} has {counts[event]} values, others {wanted[event]}"
                raise ValueError(f"entry {start + event}: {said}")
            _, default = fields[name][:2]
            filled = np.full(offsets[-1], default, np.float64)
            filled[np.repeat(counts > 0, wanted)] = values
            values = filled
        group[name] = values
    return group


def _to_events(arrays, source, start, geometry):
    """The event table of some entries.

    Args:
        arrays: branch -> (event,) Awkward Array. source: the file. start: first entry. geometry: of events
            that do not say theirs.
    """
    n_events = len(arrays[COUNTED])
    info = {"event": start + np.arange(n_events), "geometry": np.full(n_events, geometry)}
    for name, branch in INFO_BRANCHES.items():
        if branch in arrays:
            info[name] = np.asarray(arrays[branch])
    _, hit_offsets = _flat(arrays[COUNTED], COUNTED)
    hits = _group(arrays, HIT_BRANCHES, HIT_FIELDS, hit_offsets, start)
    tracks, track_offsets, track_branches = _tracks(arrays, start)
    if SPLIT in arrays:
        split, _ = _flat(arrays[SPLIT], SPLIT)
        hits.setdefault("track", _tracks_from_split(split, track_offsets, hit_offsets, start))
        info.setdefault("n_tracks", np.diff(track_offsets))
    branches = {"hits": HIT_BRANCHES, "tracks": track_branches, "info": INFO_BRANCHES}
    return make_events(hits, hit_offsets, tracks, track_offsets, info, source, branches, start)


def _tracks(arrays, start):
    """(tracks, their offsets, name -> branch they are from); offsets are None in a file without tracks."""
    branches = TRACK_BRANCHES
    per_track = [branch for branch in (SPLIT, TRACK_BRANCHES["calo_column"]) if branch in arrays]
    if not per_track:
        return {}, None, branches
    _, offsets = _flat(arrays[per_track[0]], per_track[0])
    tracks = _group(arrays, TRACK_BRANCHES, TRACK_FIELDS, offsets, start)
    if "calo_side" in tracks and "side" not in tracks:
        _, default_side = TRACK_FIELDS["side"][:2]
        tracks["side"] = np.where(tracks["calo_side"] == -1, default_side, tracks["calo_side"])
        branches = {**TRACK_BRANCHES, "side": "calo_side"}
    if {"calo_type", "calo_row"} <= set(tracks):  # the haystack script writes row 1 for a veto
        tracks["calo_row"] = np.where(tracks["calo_type"] == GAMMA_VETO, -1, tracks["calo_row"])
    if set(LINE) <= set(arrays) and "foil_y_mm" not in tracks:
        line = _group(arrays, {name: name for name in LINE}, LINE_FIELDS, offsets, start)
        tracks |= _haystack_lines(line)
    return tracks, offsets, branches


def _tracks_from_split(split, track_offsets, hit_offsets, start):
    """(hit,) owner of each hit from the cumulative hits of an event's tracks; hits beyond the last track are
    noise.
    """
    split = split.astype(np.int64)
    event, place = rows_and_places(np.diff(track_offsets))
    before = np.roll(split, 1)  # hits of the event's tracks before this one
    before[place == 0] = 0
    n_hits = np.diff(hit_offsets)[event]
    wrong = np.flatnonzero((split < before) | (split > n_hits))
    if len(wrong):
        bad = wrong[0]
        said = (
            f"{SPLIT} {split[bad]} outside {before[bad]}..{n_hits[bad]}, the hits left in the event"
        )
        raise ValueError(f"entry {start + event[bad]}: {said}")
    first_hit = hit_offsets[event] + before
    track, step = rows_and_places(split - before)
    owner = np.full(hit_offsets[-1], -1, np.int16)
    owner[first_hit[track] + step] = place[track]
    return owner


def _haystack_lines(line):
    """Foil point and slopes by |x| of haystack tracks, from the point on the wall and the direction."""
    x, y, z, dy, dz = (line[name] for name in LINE)
    away = np.sign(x)
    return {
        "foil_y_mm": y - dy * x,
        "foil_z_mm": z - dz * x,
        "slope_y": dy * away,
        "slope_z": dz * away,
    }


# ---- events to files ---------------------------------------------------------------------------------------


def write(path, tables):
    """Write events as `hit_tree`: the original branch names, and labels per hit; ROOT and `stream` read it
    back.

    Args:
        path: the file; written under a temporary name and renamed when whole.
        tables: Events, or an iterable of them. Hits are put in the order of their tracks, noise last, as
            `track_split` needs.
    """
    tables = iter([tables] if isinstance(tables, Events) else tables)
    first = next(tables, None)
    if first is None:
        raise ValueError(f"{path}: no events to write")
    is_toy = len(first) == 0 or first.info["geometry"][0] == TOY
    title = "my_generator" if is_toy else "toyhaystack"
    write_tree(path, TREE, title, map(_to_branches, chain([first], tables)))


def write_tree(path, name, title, parts, texts=None):
    """Write one ROOT tree, a part at a time; under a temporary name, renamed when whole.

    Args:
        path: the file. name, title: of the tree.
        parts: iterable of branch -> (event,) Awkward Array; the fields of a jagged record are branches that
            share a counter.
        texts: name -> text that is written beside the tree.
    """
    tree = None
    # ZLIB has a checksum: a flipped bit is an error, and not another event as with ZSTD and LZ4
    compression = uproot.ZLIB(1)
    with (
        outputs.whole(path) as temporary,
        uproot.recreate(temporary, compression=compression) as file,
    ):
        for arrays in parts:
            if tree is None:
                types = {branch: array.type.content for branch, array in arrays.items()}
                tree = file.mktree(name, types, title, counter_name=_counter, field_name=_field)
            tree.extend(arrays)
        if tree is None:
            raise ValueError(f"{path}: no events to write")
        for text_name, text in (texts or {}).items():
            file[text_name] = text


def _counter(group):
    return f"size_{group}"


def _field(group, field):
    return field


def _to_branches(events):
    """Two jagged records, hits and tracks, and one array each for the event's own numbers."""
    track = events.hits["track"]
    noise_last = np.where(track < 0, np.iinfo(np.int16).max, track)
    order = np.lexsort((noise_last, events.hit_event))
    hits = {HIT_BRANCHES[name]: _root_type(values[order]) for name, values in events.hits.items()}
    tracks = {TRACK_BRANCHES[name]: _root_type(values) for name, values in events.tracks.items()}
    tracks[SPLIT] = _split(events)
    branches = {
        "hits": jagged(hits, events.hit_offsets),
        "tracks": jagged(tracks, events.track_offsets),
    }
    for name, values in events.info.items():
        branches[INFO_BRANCHES[name]] = ak.Array(values.astype(np.int64))
    return branches


def _split(events):
    """(track,) hits of an event's tracks up to each of them."""
    track = events.hits["track"]
    n_tracks = np.diff(events.track_offsets)[events.hit_event]
    owned = (track >= 0) & (track < n_tracks)  # a table may know owners, but no tracks
    owner = events.track_offsets[events.hit_event[owned]] + track[owned]
    n_hits = np.bincount(owner, minlength=events.track_offsets[-1])
    before = offsets_of(n_hits)
    before_event = before[events.track_offsets[:-1]]
    return (before[1:] - before_event[events.track_event]).astype(np.int32)


def _root_type(values):
    """The macro's own types, as far as they cost nothing: int for small integers, float stays float."""
    return values.astype(np.int32) if values.dtype.kind in "ib" else values
