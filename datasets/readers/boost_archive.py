"""Decode Boost archives of the "eos portable" binary format: primitives, and the tables of classes and
objects they refer to.

A type is anything with `read(archive)`: the primitives below, a `Class` made by `record`, `vector`,
`handle`..., or a function. What a program writes is described by nesting them, as
`datasets.readers.brio_classes` does; the descriptions must not contain themselves, which is why reading needs
no limit of depth.
"""

import struct
from functools import cache

import numpy as np

DOUBLE = struct.Struct("<d")
# The class id of a null pointer, -1, as releases of Boost wrote it: with a sign, or as 16, 32 or 64 bits without
NULL = (-1, 2**16 - 1, 2**32 - 1, 2**64 - 1)
MOST_NAMED = 3  # classes in an error
IN_GAP = -2  # instead of a class id: it was given in bytes that were skipped


class Unreadable(ValueError):
    """Bytes that were not understood; `where` is the innermost class, with its version."""

    where = ""

    def __str__(self):
        return f"{self.where}: {super().__str__()}" if self.where else super().__str__()


class Unknown(Unreadable):
    """A class, or a version of one, that nobody described; the bytes may be sound."""


class Gap:
    """Bytes of an archive that were skipped, and a guess at which types were met in them.

    Attributes:
        may_hold: type -> (tracked, version). guesses: whether each type that was asked for was met in the gap,
            in the order in which they were asked for; n_asked: how many were, in the present try.
        n_objects_known: the number of objects in the gap is known.
    """

    def __init__(self, may_hold):
        self.may_hold = may_hold
        self.guesses = []
        self.n_asked = 0
        self.n_objects_known = False

    def holds(self, kind):
        """Whether a type was met in the gap, by the present guess."""
        if kind not in self.may_hold:
            return False
        if self.n_asked == len(self.guesses):
            self.guesses.append(False)
        self.n_asked += 1
        return self.guesses[self.n_asked - 1]

    def guess_again(self):
        """Make the next guess; False where there is none left."""
        self.n_asked = 0
        self.n_objects_known = False
        while self.guesses and self.guesses[-1]:
            self.guesses.pop()
        if self.guesses:
            self.guesses[-1] = True
        return bool(self.guesses)


class Archive:
    """A place in the bytes of one archive, and what was met before it.

    Attributes:
        data, end, position: the bytes, their number, and where reading goes on.
        ids, types: type -> class id and back, in the order the types are met; versions: type -> (tracked,
            version).
        objects: object id -> (type, value) of tracked objects, None while one is being read.
        waveforms: keep waveforms, otherwise step over them.
        gap: the bytes that were skipped, a `Gap`; None where all were read.
    """

    def __init__(self, data, waveforms=False):
        self.data = data
        self.end = len(data)
        self.ids = {}
        self.types = []
        self.versions = {}
        self.objects = []
        self.waveforms = waveforms
        self.gap = None
        if not self.end or data[0] != 0x7F:
            raise Unreadable(
                f"no portable binary archive: it starts with {data[:8].hex() or 'nothing'}, not with 7f"
            )
        self.position = 1
        self.library_version = self.integer()

    def error(self, what, kind=Unreadable):
        return kind(f"{what} (byte {self.position} of {self.end})")

    def take(self, n):
        """The next n bytes."""
        start = self.position
        if n > self.end - start:
            raise self.error(f"{n} bytes wanted, {self.end - start} left")
        self.position = start + n
        return self.data[start : start + n]

    def integer(self):
        """A whole number of at most 64 bits, signed or not."""
        start = self.position + 1
        if start > self.end:
            raise self.error("the archive ends early")
        size = self.data[start - 1]
        if size == 0:
            self.position = start
            return 0
        if size == 1 and start < self.end:
            self.position = start + 1
            return self.data[start]
        negative = size > 127
        if negative:
            size = 256 - size
        if size > 8 or start + size > self.end:
            raise self.error(f"no integer: {size} bytes wide, {self.end - start} left")
        self.position = start + size
        value = int.from_bytes(self.data[start : start + size], "little")
        return value - (1 << 8 * size) if negative else value

    def count(self):
        """A number of items; each takes a byte or more, so more items than bytes are an error, not a long
        loop.
        """
        n = self.integer()
        if not 0 <= n <= self.end - self.position:
            raise self.error(f"{n} items, {self.end - self.position} bytes left")
        return n

    def finish(self):
        """Raise if something comes after what was understood."""
        if self.position != self.end:
            raise self.error("the archive goes on")

    def register(self, kind):
        """Class id of a type; the next free one if it is met for the first time."""
        if kind not in self.ids:
            if self.gap is not None and self.gap.holds(kind):
                self.ids[kind] = IN_GAP
                self.versions[kind] = self.gap.may_hold[kind]
            else:
                self.ids[kind] = len(self.types)
                self.types.append(kind)
        return self.ids[kind]

    def skip(self, position, n_types, may_hold, read, most_tries=64):
        """Go on at a later position, and read there what has a class of its own and a number as an object.

        What the skipped bytes held is not known: neither their objects, to which nothing may point, nor which
        of the common types were met in them and are announced no more. Of these all combinations are tried
        until one can be read; class ids and object numbers, which are written again and again, betray the
        wrong ones.

        Args:
            n_types: number of types met before the position. may_hold: type -> (tracked, version) of the
                common ones. read: function of the archive.
        Raises:
            Unreadable: no combination can be read; then the archive is as it was before.
        """
        before = self.position, self.ids, self.types, self.versions, self.objects, self.gap
        gap = Gap(may_hold)
        error = None
        for _ in range(most_tries):
            _, ids, types, versions, objects, _ = before
            self.position = position
            self.ids = dict(ids)
            self.types = types + [None] * (n_types - len(types))
            self.versions = dict(versions)
            self.objects = list(objects)
            self.gap = gap
            try:
                return read(self)
            except Unreadable as wrong:
                error = error or wrong
            if not gap.guess_again():
                break
        self.position, self.ids, self.types, self.versions, self.objects, self.gap = before
        raise error

    def known_object(self, index, kind):
        """The object a back-reference means."""
        known = self.objects[index] if index >= 0 else None
        if known is None or known[0] is not kind:
            raise self.error(f"object {index} is no {kind.name}")
        return known[1]


def boolean(archive):
    if archive.take(1) == b"\0":
        return False
    archive.position -= 1
    if archive.take(2) != b"\1T":
        archive.position -= 2
        raise archive.error("no boolean")
    return True


def double(archive):
    start = archive.position + 1
    if start > archive.end:
        raise archive.error("the archive ends early")
    size = archive.data[start - 1]
    if size > 8 or start + size > archive.end:
        raise archive.error(f"no double: {size} bytes wide, {archive.end - start} left")
    archive.position = start + size
    return DOUBLE.unpack(archive.data[start : start + size].ljust(8, b"\0"))[0]


def string(archive):
    n = archive.integer()
    start = archive.position
    if not 0 <= n <= archive.end - start:
        raise archive.error(f"a text of {n} bytes, {archive.end - start} left")
    archive.position = start + n
    return str(archive.data[start : start + n], "utf-8", "replace")


def integer(bits, signed):
    """Type of the whole numbers of so many bits."""
    low = -(1 << bits - 1) if signed else 0
    high = low + (1 << bits) - 1

    def read(archive):
        value = archive.integer()
        if not low <= value <= high:
            raise archive.error(f"{value} outside {low}..{high}")
        return value

    return read


i16 = integer(16, signed=True)
i32 = integer(32, signed=True)
i64 = integer(64, signed=True)
u32 = integer(32, signed=False)


class Class:
    """A type that announces itself once (tracked or not, its version), and whose tracked objects have a
    number.

    Args:
        name: of the C++ class; all of it where archives spell it. version: the highest that is known.
        body: function of (archive, version) that reads one object.
    """

    def __init__(self, name, version, body):
        self.name = name
        self.version = version
        self.body = body

    def announced(self, archive):
        """(tracked, version) of this class in this archive."""
        if archive.register(self) == IN_GAP:
            return archive.versions[self]
        tracked = archive.integer()
        version = archive.integer()
        if tracked not in (0, 1) or not 0 <= version <= self.version:
            is_newer = tracked in (0, 1) and version > self.version
            kind = Unknown if is_newer else Unreadable
            error = archive.error(
                f"tracking {tracked}, only versions 0..{self.version} are known", kind
            )
            error.where = f"class {self.name} version {version}"
            raise error
        archive.versions[self] = tracked, version
        return tracked, version

    def read(self, archive):
        version = self.version
        try:
            tracked, version = archive.versions.get(self) or self.announced(archive)
            if not tracked:
                return self.body(archive, version)
            index = archive.integer()
            if archive.gap is not None:
                _count_objects(archive, index)
            n_known = len(archive.objects)
            if index < n_known:
                return archive.known_object(index, self)
            if index > n_known:
                raise archive.error(f"object {index} after {n_known} objects")
            archive.objects.append(None)
            value = self.body(archive, version)
            archive.objects[index] = (self, value)
            return value
        except Unreadable as error:
            error.where = error.where or f"class {self.name} version {version}"
            raise


def _count_objects(archive, index):
    """The first object behind a gap tells how many there were before."""
    n_missing = index - len(archive.objects)
    if not archive.gap.n_objects_known and 0 <= n_missing <= archive.end:
        archive.gap.n_objects_known = True
        archive.objects += [None] * n_missing


def read_of(kind):
    """The function that reads a type."""
    return getattr(kind, "read", kind)


def since(first):
    """Condition on a field: versions from `first`."""
    return lambda values, version: version >= first


def bit(number, first=0):
    """Condition on a field: bit of `store` set, in versions from `first`."""
    mask = 1 << number
    return lambda values, version: values["store"] & mask and version >= first


def record(name, version, *fields, finish=None):
    """Class read to a dictionary.

    Args:
        fields: (name, type) or (name, type, condition), condition a function of (the fields so far, version).
            A field without a name is a base class, its fields become fields of this one.
        finish: function of the dictionary that gives the value to keep instead.
    """
    layout = [(field, read_of(kind), *(condition or [None])) for field, kind, *condition in fields]

    def body(archive, version):
        values = {}
        for field, read, condition in layout:
            if condition is None or condition(values, version):
                if field:
                    values[field] = read(archive)
                else:
                    values.update(read(archive))
        return finish(values) if finish else values

    return Class(name, version, body)


def _items(archive, read, check=None):
    n = archive.count()
    if check is not None:
        check(n, archive.error)
    archive.integer()  # version of the items
    return [read(archive) for _ in range(n)]


@cache
def vector(kind, container="vector", check=None):
    """A list of objects, or of strings.

    Args:
        kind: of its items. container: its name in C++. check: function of (number of items, function that
            makes an error of a text), called before they are read.
    """
    read = read_of(kind)
    name = getattr(kind, "name", "string")
    return Class(f"{container}<{name}>", 0, lambda archive, version: _items(archive, read, check))


@cache
def numbers(kind, container="vector"):
    """A tuple of numbers; it has a class id, but does not announce itself. Booleans have no item version."""

    def read(archive):
        archive.register(read)
        if kind is boolean:
            return tuple([boolean(archive) for _ in range(archive.count())])
        return tuple(_items(archive, kind))

    return read


def array(kind):
    """A C array as a tuple."""
    read = read_of(kind)
    return lambda archive: tuple([read(archive) for _ in range(archive.count())])


@cache
def pair(kind):
    """An item of a map from strings."""
    return record(f"pair<string,{kind.name}>", 0, ("first", string), ("second", kind))


@cache
def mapping(kind):
    """A map from strings as a dictionary."""
    item_of = pair(kind)

    def body(archive, version):
        return {item["first"]: item["second"] for item in _items(archive, item_of.read)}

    return Class(f"map<string,{kind.name}>", 0, body)


@cache
def pointer(*classes, abstract=False):
    """What a pointer means, None if it is null.

    Args:
        classes: those of the object. abstract: they are derived from the pointer's own class, so the archive
            spells their names.
    """
    by_name = {kind.name: kind for kind in classes}

    def read(archive):
        if not abstract:
            archive.register(classes[0])
        index = archive.integer()
        if index in NULL:
            return None
        if index == len(archive.types):
            name = string(archive)
            if name not in by_name:
                said = f"class {name[:80]!r} is not known here"
                if len(by_name) <= MOST_NAMED:
                    said += f", only {', '.join(by_name)}"
                raise archive.error(said, Unknown)
            if by_name[name] in archive.ids:
                raise archive.error(f"class {name} has an id already")
            archive.register(by_name[name])
        if not 0 <= index < len(archive.types) or archive.types[index] not in classes:
            raise archive.error(f"class id {index} is none of {', '.join(by_name)}")
        return archive.types[index].read(archive)

    return read


@cache
def handle(*classes, abstract=False):
    """What a handle, that is an object around a shared pointer, means; None if it is null."""
    name = "|".join(kind.name for kind in classes)
    target = pointer(*classes, abstract=abstract)
    shared = Class(f"shared_ptr<{name}>", 1, lambda archive, version: target(archive))
    return Class(f"handle<{name}>", 0, lambda archive, version: shared.read(archive))


def waveform(archive):
    """A vector<short> as (sample,) int16, None if waveforms are stepped over.

    Nearly all samples take three bytes, `02 xx xx`.
    """
    archive.register(waveform)
    n = archive.count()
    archive.integer()
    pieces = [np.zeros(0, np.int16)]
    while n:
        n_triples = (archive.end - archive.position) // 3
        whole = min(n, n_triples, 1024)  # not all at once: other widths may come often
        triples = np.frombuffer(archive.data, np.uint8, 3 * whole, archive.position).reshape(-1, 3)
        other = (triples[:, 0] != 2) | (triples[:, 2] > 127)
        run = int(other.argmax()) if other.any() else whole
        if archive.waveforms:
            pieces.append(
                np.ascontiguousarray(triples[:run, 1:]).view("<u2")[:, 0].astype(np.int16)
            )
        archive.position += 3 * run
        n -= run
        if n and (run < whole or not whole):
            sample = i16(archive)
            n -= 1
            if archive.waveforms:
                pieces.append(np.array([sample], np.int16))
    return np.concatenate(pieces) if archive.waveforms else None
