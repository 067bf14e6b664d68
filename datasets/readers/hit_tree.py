"""Read and write `hit_tree` files: those of `my_generator` and of the SN-IEgenerator haystack.

Both as ROOT writes them (`std::vector` branches) and as uproot does (a counter and an array). Labels are
optional: a file may carry `track_split` (cumulative hits of the tracks), or per hit `track` (-1 noise) and
`second_owner`, or none. Tracks with kinks have `n_segments`, and their hits a `segment`.
"""

import os
from itertools import chain
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from datasets.events import HIT_FIELDS, TRACK_FIELDS, Events, concatenate, jagged, make_events
from datasets.geometry import DETECTOR, GAMMA_VETO, TOY
from datasets.readers import files

TREE = "hit_tree"
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
}
INFO_BRANCHES = {"n_tracks": "n_tracks", "run": "run", "event": "event", "geometry": "geometry"}
NEEDED = ("layer", "column", "drift_radius_mm", "z_mm")
SPLIT = "track_split"
LINE = ("pointx", "pointy", "pointz", "diry", "dirz")  # haystack: point on the wall, slopes by x
LINE_FIELDS = dict.fromkeys(LINE, (np.float32, np.nan))


def stream(paths, chunk="10 MB", progress=False):
    """Events of files, a chunk at a time, in bounded memory.

    Args:
        paths: a file, a glob, or a list of them. chunk: bytes ("10 MB", but at least 100 events) or number of
            events read at once.
        progress: draw a bar on the terminal.
    Yields:
        Events.
    Raises:
        ValueError: a file that is missing, truncated, foreign or out of range; names the file and the branch.
    """
    paths = files.expand(paths)
    with files.FileProgress(paths, progress) as bar:
        for path in paths:
            with files.open_root(path) as file:
                yield from _stream_file(file, path, chunk, bar)
            bar.next_file()


def read(paths, progress=False):
    """All events of files as one table."""
    return concatenate(stream(paths, progress=progress))


def _stream_file(file, path, chunk, bar):
    tree = file.get(TREE)
    if not isinstance(tree, uproot.TTree):
        raise ValueError(f"no tree {TREE}, only {file.classnames()}")
    missing = [HIT_BRANCHES[n] for n in NEEDED if HIT_BRANCHES[n] not in tree]
    if missing:
        raise ValueError(f"tree {TREE} has no branch {', '.join(missing)}")
    names = [*HIT_BRANCHES.values(), *TRACK_BRANCHES.values(), *INFO_BRANCHES.values(), SPLIT, *LINE]
    names = [n for n in names if n in tree]
    short = [f"{n} has {tree[n].num_entries}" for n in names if tree[n].num_entries != tree.num_entries]
    if short:
        raise ValueError(f"tree {TREE} has {tree.num_entries} entries, branch {', '.join(short)}")
    step = max(100, tree.num_entries_for(chunk, names)) if isinstance(chunk, str) else max(1, chunk)
    start = 0
    for arrays in tree.iterate(
        names, step_size=step
    ):  # unlike calls of `arrays`, it uncompresses every basket once
        yield _to_events(arrays, str(path), start, geometry_of(tree))
        start += len(arrays)
        bar.within_file(start / tree.num_entries)


def _flat(array, branch):
    """(values, offsets) of a jagged branch."""
    if not isinstance(array.layout, ak.contents.ListOffsetArray) or array.ndim != 2:
        raise ValueError(f"branch {branch} holds {array.type.content}, not a list of numbers an entry")
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
        if branch not in arrays.fields:
            continue
        values, own = _flat(arrays[branch], branch)
        if not np.array_equal(own, offsets):
            n, wanted = np.diff(own), np.diff(offsets)
            wrong = np.flatnonzero((n != wanted) & ((n > 0) | (name in NEEDED)))
            if len(wrong):
                raise ValueError(
                    f"entry {start + wrong[0]}: branch {branch} has {n[wrong[0]]} values, others {wanted[wrong[0]]}"
                )
            filled = np.full(offsets[-1], fields[name][1], np.float64)
            filled[np.repeat(n > 0, wanted)] = values
            values = filled
        group[name] = values
    return group


def _to_events(arrays, source, start, geometry):
    names = {"hits": HIT_BRANCHES, "tracks": TRACK_BRANCHES, "info": INFO_BRANCHES}
    _, hit_offsets = _flat(arrays[HIT_BRANCHES["layer"]], HIT_BRANCHES["layer"])
    hits = _group(arrays, HIT_BRANCHES, HIT_FIELDS, hit_offsets, start)
    info = {
        name: np.asarray(arrays[branch]) for name, branch in INFO_BRANCHES.items() if branch in arrays.fields
    }
    info.setdefault("event", start + np.arange(len(arrays)))
    info.setdefault("geometry", np.full(len(arrays), geometry))
    tracks, track_offsets = {}, None
    per_track = [branch for branch in (SPLIT, TRACK_BRANCHES["calo_column"]) if branch in arrays.fields]
    if per_track:
        values, track_offsets = _flat(arrays[per_track[0]], per_track[0])
        tracks = _group(arrays, TRACK_BRANCHES, TRACK_FIELDS, track_offsets, start)
        if per_track[0] == SPLIT:
            hits.setdefault("track", _tracks_from_split(values, track_offsets, hit_offsets, start))
            info.setdefault("n_tracks", np.diff(track_offsets))
        if "calo_side" in tracks and "side" not in tracks:
            tracks["side"] = np.where(tracks["calo_side"] == -1, TRACK_FIELDS["side"][1], tracks["calo_side"])
            names["tracks"] = {**TRACK_BRANCHES, "side": "calo_side"}
        if {"calo_type", "calo_row"} <= set(tracks):  # the haystack script writes row 1 for a veto
            tracks["calo_row"] = np.where(tracks["calo_type"] == GAMMA_VETO, -1, tracks["calo_row"])
        if set(LINE) <= set(arrays.fields) and "foil_y_mm" not in tracks:
            tracks |= _haystack_lines(
                _group(arrays, {name: name for name in LINE}, LINE_FIELDS, track_offsets, start)
            )
    return make_events(hits, hit_offsets, tracks, track_offsets, info, source, names, start)


def _tracks_from_split(split, track_offsets, hit_offsets, start):
    """(hit,) owner of each hit from the cumulative hits of an event's tracks; hits beyond the last track are
    noise.
    """
    n_hits, split = np.diff(hit_offsets), split.astype(np.int64)
    first = np.concatenate([[0], split[:-1]]) if len(split) else split
    first[track_offsets[:-1][np.diff(track_offsets) > 0]] = 0
    counts = split - first
    event = np.repeat(np.arange(len(n_hits)), np.diff(track_offsets))
    wrong = (counts < 0) | (split > n_hits[event])
    if wrong.any():
        bad = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"entry {start + event[bad]}: {SPLIT} {split[bad]} outside {first[bad]}..{n_hits[event[bad]]}, the hits left in the event"
        )
    track = np.full(hit_offsets[-1], -1, np.int16)
    row = np.repeat(np.arange(len(split)), counts)
    step = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    track[(hit_offsets[event] + first)[row] + step] = (np.arange(len(split)) - track_offsets[event])[row]
    return track


def _haystack_lines(line):
    """Foil point and slopes by |x| of haystack tracks, from the point on the wall and the direction."""
    x, y, z, dy, dz = (line[name] for name in LINE)
    away = np.sign(x)
    return {"foil_y_mm": y - dy * x, "foil_z_mm": z - dz * x, "slope_y": dy * away, "slope_z": dz * away}


def geometry_of(tree):
    """TOY or DETECTOR: in which geometry the events of a tree are that does not say it event by event."""
    is_haystack = tree.title == "toyhaystack" or "pointx" in tree
    return DETECTOR if is_haystack else TOY


def write(path, tables):
    """Write events as `hit_tree`: the original branch names, and labels per hit. ROOT and `stream` read it back.

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


def write_tree(path, name, title, parts):
    """Write one ROOT tree, a part at a time; under a temporary name, renamed when whole.

    Args:
        path: the file. name, title: of the tree.
        parts: iterable of branch -> (event,) Awkward Array; the fields of a jagged record are branches that
            share a counter.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    tree = None
    try:
        # ZLIB has a checksum: a flipped bit is an error, and not another event as with ZSTD and LZ4
        with uproot.recreate(temporary, compression=uproot.ZLIB(1)) as file:
            for arrays in parts:
                if tree is None:
                    types = {branch: array.type.content for branch, array in arrays.items()}
                    names = {
                        "counter_name": lambda group: f"size_{group}",
                        "field_name": lambda _, field: field,
                    }
                    tree = file.mktree(name, types, title, **names)
                tree.extend(arrays)
        if tree is None:
            raise ValueError(f"{path}: no events to write")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _to_branches(events):
    """Two jagged records, hits and tracks, and one array each for the event's own numbers."""
    track = events.hits["track"]
    noise_last = np.where(track < 0, np.iinfo(np.int16).max, track)
    order = np.lexsort((noise_last, events.hit_event))
    hits = {HIT_BRANCHES[name]: _root_type(values[order]) for name, values in events.hits.items()}
    tracks = {TRACK_BRANCHES[name]: _root_type(values) for name, values in events.tracks.items()}

    owned = (track >= 0) & (
        track < np.diff(events.track_offsets)[events.hit_event]
    )  # a table may know owners, but no tracks
    owner = events.track_offsets[events.hit_event[owned]] + track[owned]
    total = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=events.track_offsets[-1]))])
    split = total[1:] - total[events.track_offsets[:-1]][events.track_event]
    tracks[SPLIT] = split.astype(np.int32)

    info = {INFO_BRANCHES[name]: ak.Array(values.astype(np.int64)) for name, values in events.info.items()}
    return {"hits": jagged(hits, events.hit_offsets), "tracks": jagged(tracks, events.track_offsets), **info}


def _root_type(values):
    """The macro's own types, as far as they cost nothing: int for small integers, float stays float."""
    return values.astype(np.int32) if values.dtype.kind in "ib" else values
