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

from datasets.events import offsets_of

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
ARRAY = 20
TOBJECT = 66
POINTERS = (64, 69)
LONGEST_ARRAY = 10_000
# Marks in the byte stream (TBufferFile)
HAS_BYTE_COUNT = 0x40000000
NEW_CLASS = 0xFFFFFFFF
CLASS_TAG = 0x80000000
MAP_OFFSET = 2
MEMBERWISE = 0x4000
TOBJECT_FIELDS = [("@version", ">u2"), ("@unique_id", ">u4"), ("@bits", ">u4")]
# The key before a basket: its length in bytes, that of its content when unpacked, and its own
KEY = struct.Struct(">i2xi4xh")
# The header of a compressed block: method, then both lengths in three bytes each
BLOCK = 9
PACKED = slice(3, 6)
UNPACKED = slice(6, 9)
VECTOR = re.compile(r"(?:std::)?vector<")
VECTOR_OF_POINTERS = re.compile(r"(?:std::)?vector<\s*([\w:]+)\s*\*\s*>")
WORD = struct.Struct(">I")
LIST = struct.Struct(">IHI")  # before a vector: byte count, version, number of pointers


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


def read(branch, start, stop, check=None):
    """Entries `start` to `stop` of a branch `vector<Class*>`, as uproot gives the branch.

    Args:
        check: function of (entry,) numbers of pointers, called before there is an object for each; it may
            raise.
    Returns:
        Pointers.
    Raises:
        ValueError: the branch holds something else, or its baskets don't hold its entries. Damaged bytes may
            raise anything.
    """
    if pointee(branch.typename) is None:
        raise ValueError(
            f"branch {branch.name} is {branch.typename}, not a vector of pointers to objects"
        )
    check_baskets(branch, start, stop)
    loaded = list(baskets(branch, start, stop))
    if check is not None:
        check(np.concatenate([n_pointers(data, offsets) for data, offsets, _ in loaded]))
    try:
        return read_fast(branch, loaded)
    except Unusual:
        return read_with_uproot(branch, start, stop)


def pointee(typename):
    """Class of a `vector<Class*>`, or None."""
    match = VECTOR_OF_POINTERS.fullmatch(typename)
    return match and match[1]


def read_numbers(branch, start, stop):
    """(entry,) values of a branch of one plain number an entry."""
    check_baskets(branch, start, stop)
    values = branch.array(entry_start=start, entry_stop=stop, library="np")
    if values.shape != (stop - start,) or values.dtype.kind not in "biuf":
        raise ValueError(f"branch {branch.name} is {branch.typename}, not a number an entry")
    return values


# ---- baskets -----------------------------------------------------------------------------------------------


def baskets_of(branch, start, stop):
    """Indices of the baskets that hold entries `start` to `stop`."""
    first = np.asarray(branch.entry_offsets)
    return np.flatnonzero((first[:-1] < stop) & (first[1:] > start)).tolist()


def check_baskets(branch, start, stop):
    """Look at the baskets that hold entries `start` to `stop` before uproot reserves memory for them.

    Raises:
        ValueError: they don't hold them, or the key of one claims another length than its blocks do, which
            may be gigabytes.
    """
    first = np.asarray(branch.entry_offsets)
    if (np.diff(first) < 0).any() or first[0] != 0 or first[-1] < stop:
        raise ValueError(f"baskets of branch {branch.name} don't hold its entries")
    n_in_file = branch.num_baskets - len(branch.embedded_baskets)
    for i in baskets_of(branch, start, stop):
        if i >= n_in_file:
            continue  # inside the tree's own record, which has been read
        n_bytes = branch.basket_compressed_bytes(i)
        chunk, cursor = branch.basket_chunk_cursor(i)
        data = bytes(chunk.get(cursor.index, cursor.index + n_bytes, cursor, {}))
        if not _has_its_length(data):
            raise ValueError(
                f"basket {i} of branch {branch.name} has another length than its parts"
            )


def _has_its_length(data):
    """Whether a basket, with its key, is as long as its key says, packed and unpacked."""
    n_bytes, unpacked, position = KEY.unpack_from(data)
    if n_bytes != len(data):
        return False
    if unpacked == n_bytes - position:
        return True  # not compressed
    while BLOCK <= position <= n_bytes - BLOCK:
        header = data[position : position + BLOCK]
        unpacked -= int.from_bytes(header[UNPACKED], "little")
        position += BLOCK + int.from_bytes(header[PACKED], "little")
    return unpacked == 0


def baskets(branch, start, stop):
    """Baskets that hold entries `start` to `stop`: (bytes, offsets of the entries, length of the key), the
    bytes without the key.
    """
    first = np.asarray(branch.entry_offsets)
    for i in baskets_of(branch, start, stop):
        basket = branch.basket(i)
        n_entries = first[i + 1] - first[i]
        offsets = np.zeros(0, np.int64)
        if basket.byte_offsets is not None:
            offsets = np.asarray(basket.byte_offsets, np.int64)
        fits = len(offsets) == n_entries + 1 and offsets[0] >= 0 and offsets[-1] <= len(basket.data)
        if not fits or (np.diff(offsets) < 0).any():
            raise ValueError(f"basket {i} of branch {branch.name} doesn't hold its entries")
        from_entry = max(start - first[i], 0)
        to_entry = min(stop - first[i], n_entries)
        yield (
            bytes(basket.data),
            offsets[from_entry : to_entry + 1].tolist(),
            int(basket.member("fKeylen")),
        )


def n_pointers(data, offsets):
    """(entry,) number of pointers in the vector that each entry of a basket is, 0 where it is too short."""
    found = np.zeros(len(offsets) - 1, np.int64)
    for i, start in enumerate(offsets[:-1]):
        if offsets[i + 1] - start >= LIST.size:
            _, _, found[i] = LIST.unpack_from(data, start)
    return found


# ---- the layout of objects ---------------------------------------------------------------------------------


def layout(element):
    """What a member is: ("number", NumPy field), ("pointer", class), ("list", class), ("skip", None) or, if
    none of these, None.
    """
    kind = element.member("fType")
    length = element.member("fArrayLength")
    if isinstance(element, Model_TStreamerBasicType):
        code = kind - ARRAY if kind > ARRAY else kind  # uproot takes the mark of an array away
        if code in TYPES and 0 <= length < LONGEST_ARRAY:
            shape = (length,) if length else ()
            return "number", (element.name, ">" + TYPES[code], shape)
    elif kind in POINTERS and not length:
        return "pointer", element.typename.rstrip("*")
    elif isinstance(element, Model_TStreamerSTL) and not length and VECTOR.match(element.typename):
        name = pointee(element.typename)
        return ("list", name) if name else ("skip", None)
    return None


def _is_base(element):
    """Whether a member is the base class TObject."""
    return element.name == "TObject" and element.member("fType") == TOBJECT


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
        self.name = name
        self.rows = []
        self.steps = []
        self.names = []
        self.types = []
        self.start = struct.pack(">H", version)
        elements = list(info.elements)
        run = []
        if elements and _is_base(elements[0]):
            self.start = struct.pack(">HH", version, 1)
            run = list(TOBJECT_FIELDS)
            elements = elements[1:]
        for element in elements:
            step = layout(element)
            if step is None:
                raise Unusual(f"{name}.{element.name}")
            kind, argument = step
            if kind == "number":
                run.append(argument)
            else:
                self._end(run)
                run = []
                self._add(step, element.name, None)
        self._end(run)

    def _end(self, run):
        if run:
            dtype = np.dtype(run)
            self._add(("run", dtype.itemsize), None, dtype)

    def _add(self, step, name, dtype):
        self.steps.append(step)
        self.names.append(name)
        self.types.append(dtype)

    def columns(self, data):
        """(numbers, links) of all rows, member -> values; `data` are the bytes that the positions of runs
        mean.
        """
        numbers = {}
        links = {}
        for i, (kind, _) in enumerate(self.steps):
            column = [row[2 + i] for row in self.rows]
            if kind == "run":
                numbers |= _copy(data, np.array(column, np.int64), self.types[i])
            elif kind == "pointer":
                links[self.names[i]] = _indices(column)
            elif kind == "list":
                links[self.names[i]] = _flat(column, _indices)
        return numbers, links


def _indices(rows):
    return np.array([-1 if row is None else row[1] for row in rows], np.int64)


def _flat(lists, indices):
    """(indices of all things in lists, offsets of the lists)."""
    things = [thing for listed in lists for thing in listed]
    return indices(things), offsets_of([len(listed) for listed in lists])


def _copy(data, positions, dtype):
    """Field -> (n, ...) values of the records of `dtype` that start at `positions` of `data`, in this
    machine's byte order.
    """
    places = positions[:, None] + np.arange(dtype.itemsize)
    records = np.frombuffer(data, np.uint8)[places].view(dtype)[:, 0]
    fields = {name: records[name] for name in dtype.names if not name.startswith("@")}
    return {name: values.astype(values.dtype.newbyteorder("=")) for name, values in fields.items()}


# ---- the fast way ------------------------------------------------------------------------------------------


class Walker:
    """Goes through the objects of one entry after the other and fills the rows of the plans."""

    def __init__(self, streamers):
        self.streamers = streamers
        self.plans = {}

    def plan(self, name):
        if name not in self.plans:
            self.plans[name] = Plan(name, self.streamers)
        return self.plans[name]

    def entry(self, data, start, end, key_length, base, name):
        """Rows of the vector in bytes `start` to `end`; `base` is where `data` starts among all the bytes."""
        self.data = data
        self.base = base
        # what later words refer to: place, as ROOT counts it from the start of the key -> row or, of a class,
        # plan
        self.known = {}
        self.shift = key_length + MAP_OFFSET
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
        position += LIST.size
        rows = []
        for _ in range(n):
            position, row = self.pointer(position, name)
            rows.append(row)
        if position != end:
            raise Unusual("length of a vector")
        return position, rows

    def pointer(self, position, name):
        """Position behind a pointer, and the row it means, None for null."""
        data = self.data
        place = position + self.shift
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
        if (
            not count & HAS_BYTE_COUNT
            or end > len(data)
            or not data.startswith(plan.start, position + 4)
        ):
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
                # without a byte count this jumps too far, which the end shows
                (count,) = WORD.unpack_from(data, position)
                position += 4 + (count ^ HAS_BYTE_COUNT)
                row.append(None)
        if position != end:
            raise Unusual("length of an object")
        return end


def read_fast(branch, loaded):
    """`read` by walking through the bytes of the baskets that `baskets` gave.

    Raises:
        Unusual: anything that the walker doesn't know.
    """
    name = pointee(branch.typename)
    walker = Walker(branch.file.streamers)
    top = []
    counts = []
    base = 0
    for data, offsets, key_length in loaded:
        try:
            for start, end in zip(offsets[:-1], offsets[1:], strict=True):
                rows = walker.entry(data, start, end, key_length, base, name)
                top += rows
                counts.append(len(rows))
        except (struct.error, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Unusual(str(error)) from error
        base += len(data)
    data = b"".join([data for data, _, _ in loaded])
    columns = {name: plan.columns(data) for name, plan in walker.plans.items()}
    return _pointers(counts, _indices(top), columns)


def _pointers(counts, top, columns):
    """Pointers from the objects of each entry and class -> (numbers, links)."""
    numbers = {name: of_class[0] for name, of_class in columns.items()}
    links = {name: of_class[1] for name, of_class in columns.items()}
    return Pointers(offsets_of(counts), top, numbers, links)


# ---- uproot's way ------------------------------------------------------------------------------------------


def read_with_uproot(branch, start, stop):
    """`read` by uproot; it loses pointers back to an object that is still being read, as of a hit to its
    track: they are -1.
    """
    entries = branch.array(entry_start=start, entry_stop=stop, library="np")
    vectors = [[thing for thing in entry if thing is not None] for entry in entries]
    things = [thing for vector in vectors for thing in vector]
    found = {}  # class -> objects
    index = {}  # identity of an object -> its index in its class
    for thing in things:
        _meet(thing, found, index)
    top = np.array([index[id(thing)] for thing in things], np.int64)
    streamers = branch.file.streamers
    columns = {name: _columns(group, index, streamers[name]) for name, group in found.items()}
    return _pointers([len(vector) for vector in vectors], top, columns)


def _meet(thing, found, index):
    """Number an object of uproot, and those that it points to."""
    if id(thing) in index or not hasattr(thing, "classname") or not hasattr(thing, "members"):
        return
    group = found.setdefault(thing.classname, [])
    index[id(thing)] = len(group)
    group.append(thing)
    for name, value in thing.members.items():
        if name.startswith("@"):
            continue
        is_list = hasattr(value, "__len__") and not isinstance(value, np.ndarray | str | bytes)
        for part in value if is_list else [value]:
            _meet(part, found, index)


def _columns(group, index, versions):
    """(numbers, links) of uproot's objects of one class."""

    def indices(things):
        return np.array([index.get(id(thing), -1) for thing in things], np.int64)

    numbers = {}
    links = {}
    for element in (element for info in versions.values() for element in info.elements):
        name = element.name
        if not all(thing.has_member(name, all=False) for thing in group):
            continue
        column = [thing.member(name, all=False) for thing in group]
        kind, argument = layout(element) or (None, None)
        if kind == "number":
            _, dtype, _ = argument
            numbers[name] = np.array(column, np.dtype(dtype).newbyteorder("="))
        elif kind == "pointer":
            links[name] = indices(column)
        elif kind == "list":
            links[name] = _flat(column, indices)
        elif kind is None and isinstance(element, Model_TStreamerBasicType):
            numbers[name] = np.array(column)  # a packed number, which uproot unpacks
    return numbers, links
