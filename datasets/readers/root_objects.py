"""Read a branch `vector<Class*>` of a ROOT tree by the streamer info of its file, some ten times faster than
uproot's general way.

ROOT writes such a vector object by object; where a pointer stands, the object itself follows, or the place
where it was written before, so sizes vary. The fast way walks from object to object, notes where the plain
numbers of each start, and lets NumPy copy them all at once. It checks every byte count, version and class on
its way and gives up on whatever it doesn't know; then uproot reads the branch.
"""

import re
import struct
from dataclasses import dataclass

import numpy as np
from uproot.streamers import Model_TStreamerBasicType, Model_TStreamerSTL

# Numbers by ROOT's type codes (TVirtualStreamerInfo); 20 more is an array of fixed length
TYPES = {
    1: "i1",
    2: "i2",
    3: "i4",
    4: "i8",
    5: "f4",
    6: "i4",
    8: "f8",
    11: "u1",
    12: "u2",
    13: "u4",
    14: "u8",
    16: "i8",
    17: "u8",
    18: "?",
}
ARRAY, TOBJECT, POINTERS = 20, 66, (64, 69)
# Marks in the byte stream (TBufferFile)
HAS_BYTE_COUNT, NEW_CLASS, CLASS_TAG, MAP_OFFSET, MEMBERWISE = 0x40000000, 0xFFFFFFFF, 0x80000000, 2, 0x4000
TOBJECT_FIELDS = [("@version", ">u2"), ("@unique_id", ">u4"), ("@bits", ">u4")]
BLOCK = 9  # bytes of the header of a compressed block: method, then both lengths in three bytes each
WORD, LIST = struct.Struct(">I"), struct.Struct(">IHI")


@dataclass
class Pointers:
    """What a branch `vector<Class*>` holds.

    Attributes:
        offsets: (entry + 1,) which of `top` belong to an entry.
        top: (n,) index of each object of the vectors among all objects of that class; null pointers are
            dropped.
        numbers: class -> member -> (object,) or (object, length) values of all objects met, in the order in
            which they were written.
        links: class -> member -> (object,) indices among the objects of the class that a pointer means, -1
            for null; of a vector of pointers a pair of such indices (n,) and offsets (object + 1,).
    """

    offsets: np.ndarray
    top: np.ndarray
    numbers: dict
    links: dict


class Unusual(Exception):
    """The fast way does not know what it met."""


def read(branch, start, stop):
    """Entries `start` to `stop` of a branch `vector<Class*>`, as uproot gives the branch.

    Returns:
        Pointers.
    Raises:
        ValueError: the branch holds something else, or its baskets don't hold its entries. Damaged bytes may
            raise anything.
    """
    if pointee(branch.typename) is None:
        raise ValueError(f"branch {branch.name} is {branch.typename}, not a vector of pointers to objects")
    check_baskets(branch, start, stop)
    try:
        return read_fast(branch, start, stop)
    except Unusual:
        return read_with_uproot(branch, start, stop)


def pointee(typename):
    """Class of a `vector<Class*>`, or None."""
    match = re.fullmatch(r"(?:std::)?vector<\s*([\w:]+)\s*\*\s*>", typename)
    return match and match[1]


def read_numbers(branch, start, stop):
    """(entry,) values of a branch of one plain number an entry."""
    check_baskets(branch, start, stop)
    values = branch.array(entry_start=start, entry_stop=stop, library="np")
    if values.shape != (stop - start,) or values.dtype.kind not in "biuf":
        raise ValueError(f"branch {branch.name} is {branch.typename}, not a number an entry")
    return values


def check_baskets(branch, start, stop):
    """Indices of the baskets that hold entries `start` to `stop`.

    Raises:
        ValueError: they don't, or the key of one claims another length than its blocks do: uproot would
            reserve gigabytes for it.
    """
    first = np.asarray(branch.entry_offsets)
    if (np.diff(first) < 0).any() or first[0] != 0 or first[-1] < stop:
        raise ValueError(f"baskets of branch {branch.name} don't hold its entries")
    indices = np.flatnonzero((first[:-1] < stop) & (first[1:] > start)).tolist()
    for i in indices:
        if i >= branch.num_baskets - len(branch.embedded_baskets):
            continue  # inside the tree's own record, which has been read
        chunk, cursor = branch.basket_chunk_cursor(i)
        data = bytes(chunk.get(cursor.index, cursor.index + branch.basket_compressed_bytes(i), cursor, {}))
        n_bytes, length, position = *struct.unpack_from(">i2xi", data), struct.unpack_from(">h", data, 14)[0]
        if length == n_bytes - position:
            continue  # not compressed
        while BLOCK <= position <= n_bytes - BLOCK:
            length -= int.from_bytes(data[position + 6 : position + 9], "little")
            position += BLOCK + int.from_bytes(data[position + 3 : position + 6], "little")
        if length != 0 or n_bytes != len(data):
            raise ValueError(f"basket {i} of branch {branch.name} has another length than its parts")
    return indices


def baskets(branch, start, stop):
    """Baskets that hold entries `start` to `stop`: (bytes, offsets of the entries, length of the key), the
    bytes without the key.
    """
    first = np.asarray(branch.entry_offsets)
    for i in np.flatnonzero((first[:-1] < stop) & (first[1:] > start)):
        basket = branch.basket(i)
        offsets = np.asarray(basket.byte_offsets if basket.byte_offsets is not None else [], np.int64)
        if (
            len(offsets) != first[i + 1] - first[i] + 1
            or (np.diff(offsets) < 0).any()
            or offsets[0] < 0
            or offsets[-1] > len(basket.data)
        ):
            raise ValueError(f"basket {i} of branch {branch.name} doesn't hold its entries")
        some = slice(max(start - first[i], 0), min(stop, first[i + 1]) - first[i] + 1)
        yield bytes(basket.data), offsets[some].tolist(), int(basket.member("fKeylen"))


def layout(element):
    """What a member is: ("number", NumPy field), ("pointer", class), ("list", class), ("skip", None) or, if
    none of these, None.
    """
    kind, length = element.member("fType"), element.member("fArrayLength")
    if isinstance(element, Model_TStreamerBasicType):
        code = kind - ARRAY if kind > ARRAY else kind  # uproot takes the mark of an array away
        if code in TYPES and 0 <= length < 10_000:
            return "number", (element.name, ">" + TYPES[code], (length,) if length else ())
    elif kind in POINTERS and not length:
        return "pointer", element.typename.rstrip("*")
    elif (
        isinstance(element, Model_TStreamerSTL)
        and not length
        and element.typename.startswith(("vector<", "std::vector<"))
    ):
        name = pointee(element.typename)
        return ("list", name) if name else ("skip", None)
    return None


class Plan:
    """How the objects of one class are laid out, by the streamer info, and the objects met.

    Attributes:
        steps: (kind, argument) in the order of the bytes: "run" of plain numbers and its length in bytes,
            "pointer" and "list" (a vector of pointers) and their class, "skip" of a vector of anything else.
        names: member of each step but runs; types: NumPy type of each run.
        start: bytes of the versions with which every object starts.
        rows: an object each: [plan, index, one value a step]: position of a run, row or rows that a pointer
            or list means.
    """

    def __init__(self, name, streamers):
        versions = streamers.get(name, {})
        if len(versions) != 1:  # none, or a file that was merged from files of several
            raise Unusual(f"{len(versions)} versions of class {name}")
        ((version, info),) = versions.items()
        self.name, self.rows, self.steps, self.names, self.types = name, [], [], [], []
        self.start, run = struct.pack(">H", version), []
        for element in info.elements:
            if (
                element.name == "TObject"
                and element.member("fType") == TOBJECT
                and element is info.elements[0]
            ):
                run, self.start = list(TOBJECT_FIELDS), struct.pack(">HH", version, 1)
                continue
            step = layout(element)
            if step is None:
                raise Unusual(f"{name}.{element.name}")
            if step[0] == "number":
                run.append(step[1])
                continue
            self._end(run)
            run = []
            self._add(step, element.name, None)
        self._end(run)

    def _end(self, run):
        if run:
            self._add(("run", np.dtype(run).itemsize), None, np.dtype(run))

    def _add(self, step, name, dtype):
        self.steps.append(step)
        self.names.append(name)
        self.types.append(dtype)

    def columns(self, data):
        """(numbers, links) of all rows, member -> values; `data` are the bytes that the positions of runs
        mean.
        """
        numbers, links = {}, {}
        for i, ((kind, _), name, dtype) in enumerate(
            zip(self.steps, self.names, self.types, strict=True), start=2
        ):
            column = [row[i] for row in self.rows]
            if kind == "run":
                numbers |= _copy(data, np.array(column, np.int64), dtype)
            elif kind == "pointer":
                links[name] = _indices(column)
            elif kind == "list":
                links[name] = (
                    _indices([row for rows in column for row in rows]),
                    np.cumsum([0, *map(len, column)]),
                )
        return numbers, links


def _indices(rows):
    return np.array([-1 if row is None else row[1] for row in rows], np.int64)


def _copy(data, positions, dtype):
    """Field -> (n, ...) values of the records of `dtype` that start at `positions` of `data`, in this
    machine's byte order.
    """
    records = np.frombuffer(data, np.uint8)[positions[:, None] + np.arange(dtype.itemsize)].view(dtype)[:, 0]
    fields = {name: records[name] for name in dtype.names if not name.startswith("@")}
    return {name: values.astype(values.dtype.newbyteorder("=")) for name, values in fields.items()}


class Walker:
    """Goes through the objects of one entry after the other and fills the rows of the plans."""

    def __init__(self, streamers):
        self.streamers, self.plans = streamers, {}

    def plan(self, name):
        if name not in self.plans:
            self.plans[name] = Plan(name, self.streamers)
        return self.plans[name]

    def entry(self, data, start, end, key_length, base, name):
        """Rows of the vector in bytes `start` to `end`; `base` is where `data` starts among all the bytes."""
        # what later words refer to: place, as ROOT counts it from the start of the key -> row or, of a class,
        # plan
        self.data, self.known, self.base, self.shift = data, {}, base, key_length + MAP_OFFSET
        position, rows = self.list(start, name)
        if position != end:
            raise Unusual("bytes left in an entry")
        return [row for row in rows if row is not None]

    def list(self, position, name):
        """Position behind a vector of pointers, and the row of each."""
        count, version, n = LIST.unpack_from(self.data, position)
        end = position + 4 + (count ^ HAS_BYTE_COUNT)
        if version & MEMBERWISE or not count & HAS_BYTE_COUNT:
            raise Unusual("vector by members")
        position, rows = position + LIST.size, []
        for _ in range(n):
            position, row = self.pointer(position, name)
            rows.append(row)
        if position != end:
            raise Unusual("length of a vector")
        return position, rows

    def pointer(self, position, name):
        """Position behind a pointer, and the row it means, None for null."""
        data, place = self.data, position + self.shift
        (word,) = WORD.unpack_from(data, position)
        if word == 0:
            return position + 4, None
        plan = self.plans.get(name) or self.plan(name)
        if not word & HAS_BYTE_COUNT:
            row = self.known[word]
            if row[0] is not plan:
                raise Unusual("reference to another class")
            return position + 4, row
        (tag,) = WORD.unpack_from(data, position + 4)
        start = position + 8
        if tag == NEW_CLASS:
            named = name.encode() + b"\0"
            if not data.startswith(named, start):
                raise Unusual("derived class")
            start += len(named)
            self.known[place + 4] = plan
        elif self.known[tag ^ CLASS_TAG] is not plan:
            raise Unusual("object of another class")
        row = [plan, len(plan.rows)]
        plan.rows.append(row)
        self.known[place] = row  # known before it is read: its members may point back
        end = self.object(start, plan, row)
        if end != position + 4 + (word ^ HAS_BYTE_COUNT):
            raise Unusual("length of an object")
        return end, row

    def object(self, position, plan, row):
        """Position behind an object; its values go to its row."""
        data = self.data
        (count,) = WORD.unpack_from(data, position)
        end = position + 4 + (count ^ HAS_BYTE_COUNT)
        if not count & HAS_BYTE_COUNT or end > len(data) or not data.startswith(plan.start, position + 4):
            raise Unusual("length or version of an object")
        position += 6
        for kind, argument in plan.steps:
            if kind == "run":
                row.append(position + self.base)
                position += argument
            elif kind == "pointer":
                position, target = self.pointer(position, argument)
                row.append(target)
            elif kind == "list":
                position, targets = self.list(position, argument)
                row.append(targets)
            else:
                (count,) = WORD.unpack_from(data, position)
                position += 4 + (
                    count ^ HAS_BYTE_COUNT
                )  # without a byte count this jumps too far, which the end shows
                row.append(None)
        if position != end:
            raise Unusual("length of an object")
        return end


def read_fast(branch, start, stop):
    """`read` by walking through the bytes.

    Raises:
        Unusual: anything that the walker doesn't know.
    """
    walker, name = Walker(branch.file.streamers), pointee(branch.typename)
    rows, counts, parts, base = [], [], [], 0
    for data, offsets, key_length in baskets(branch, start, stop):
        try:
            for first, end in zip(offsets[:-1], offsets[1:], strict=True):
                found = walker.entry(data, first, end, key_length, base, name)
                rows += found
                counts.append(len(found))
        except (struct.error, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Unusual(str(error)) from error
        parts.append(data)
        base += len(data)
    data = b"".join(parts)
    return _pointers(
        counts, _indices(rows), {name: plan.columns(data) for name, plan in walker.plans.items()}
    )


def _pointers(counts, top, columns):
    """Pointers from the objects of each entry and class -> (numbers, links)."""
    return Pointers(
        np.cumsum([0, *counts]),
        top,
        {k: v[0] for k, v in columns.items()},
        {k: v[1] for k, v in columns.items()},
    )


def read_with_uproot(branch, start, stop):
    """`read` by uproot; it loses pointers back to an object that is still being read, as of a hit to its
    track: they are -1.
    """
    entries = branch.array(entry_start=start, entry_stop=stop, library="np")
    found, index = {}, {}  # class -> objects; identity of an object -> its index in its class

    def meet(thing):
        if id(thing) in index or not hasattr(thing, "classname") or not hasattr(thing, "members"):
            return
        group = found.setdefault(thing.classname, [])
        index[id(thing)] = len(group)
        group.append(thing)
        for name, value in thing.members.items():
            if not name.startswith("@"):
                for part in (
                    value
                    if hasattr(value, "__len__") and not isinstance(value, np.ndarray | str | bytes)
                    else [value]
                ):
                    meet(part)

    vectors = [[thing for thing in entry if thing is not None] for entry in entries]
    for thing in (thing for vector in vectors for thing in vector):
        meet(thing)
    top = np.array([index[id(thing)] for vector in vectors for thing in vector], np.int64)
    columns = {name: _columns(group, index, branch.file.streamers[name]) for name, group in found.items()}
    return _pointers([len(vector) for vector in vectors], top, columns)


def _columns(group, index, versions):
    """(numbers, links) of uproot's objects of one class."""
    numbers, links = {}, {}
    where = lambda things: np.array([index.get(id(thing), -1) for thing in things], np.int64)  # noqa: E731
    for element in (element for info in versions.values() for element in info.elements):
        name, (kind, argument) = element.name, layout(element) or (None, None)
        if not all(thing.has_member(name, all=False) for thing in group):
            continue
        column = [thing.member(name, all=False) for thing in group]
        if kind == "number":
            numbers[name] = np.array(column, np.dtype(argument[1]).newbyteorder("="))
        elif kind == "pointer":
            links[name] = where(column)
        elif kind == "list":
            links[name] = (
                where([thing for things in column for thing in things]),
                np.cumsum([0, *map(len, column)]),
            )
        elif kind is None and isinstance(
            element, Model_TStreamerBasicType
        ):  # a packed number, which uproot unpacks
            numbers[name] = np.array(column)
    return numbers, links
