"""The walk through ROOT's bytes, on bytes written here by hand as ROOT's TBufferFile writes them."""

import struct
import time
from types import SimpleNamespace

import numpy as np
import pytest
from uproot.streamers import (
    Model_TStreamerBase,
    Model_TStreamerBasicType,
    Model_TStreamerObjectPointer,
    Model_TStreamerSTL,
)

from datasets.readers import root_objects

KEY = 75  # length of a basket's key: references count from its start, and 2 more


def element(kind, name, code, typename="", length=0):
    """One member of a class's streamer info, as uproot gives it."""
    made = kind.empty()
    made._members = {"fName": name, "fTypeName": typename, "fType": code, "fArrayLength": length}
    return made


TOBJECT = element(Model_TStreamerBase, "TObject", 66, "BASE")
NODE = [
    TOBJECT,
    element(Model_TStreamerBasicType, "cell", 3, "int"),
    element(Model_TStreamerBasicType, "time", 16 + 20, "long", 2),
    element(Model_TStreamerObjectPointer, "other", 64, "Node*"),
    element(Model_TStreamerSTL, "extra", 500, "vector<double>"),
    element(Model_TStreamerBasicType, "radius", 5, "float"),
    element(Model_TStreamerSTL, "friends", 500, "vector<Node*>"),
]


class Writer:
    """Writes vectors of pointers to `Node` as ROOT does, each object where it is met first."""

    def __init__(self):
        self.data, self.places, self.class_place = bytearray(), {}, None

    def u32(self, value):
        self.data += struct.pack(">I", value)

    def counted(self, write, *head):
        """What `write` writes, after its length."""
        start = len(self.data)
        self.u32(0)
        for part in head:
            self.data += part
        write()
        self.data[start : start + 4] = struct.pack(">I", 0x40000000 | (len(self.data) - start - 4))

    def entry(self, nodes):
        self.places, self.class_place = {}, None
        self.vector(nodes)

    def vector(self, nodes):
        def body():
            self.u32(len(nodes))
            for node in nodes:
                self.pointer(node)

        self.counted(body, struct.pack(">H", 10))

    def pointer(self, node):
        if node is None:
            self.u32(0)
        elif id(node) in self.places:
            self.u32(self.places[id(node)])
        else:
            self.places[id(node)] = len(self.data) + KEY + 2
            self.counted(lambda: self.object(node))

    def object(self, node):
        if self.class_place is None:
            self.class_place = len(self.data) + KEY + 2
            self.data += b"\xff\xff\xff\xffNode\0"
        else:
            self.u32(0x80000000 | self.class_place)
        self.counted(
            lambda: self.members(node), struct.pack(">HHII", node["version"], 1, 0, 0x01000000)
        )

    def members(self, node):
        self.data += struct.pack(">i2q", node["cell"], *node["time"])
        self.pointer(node["other"])
        self.counted(lambda: self.u32(0), struct.pack(">H", 10))
        self.data += struct.pack(">f", node["radius"])
        self.vector(node["friends"])


def make_node(cell, **members):
    return {
        "version": 3,
        "cell": cell,
        "time": (2**50 + cell, -1),
        "other": None,
        "radius": cell / 2,
        "friends": [],
    } | members


def make_branch(entries, streamers=None):
    """A branch with one basket of entries, each a list of nodes."""
    writer, offsets = Writer(), [0]
    for nodes in entries:
        writer.entry(nodes)
        offsets.append(len(writer.data))
    basket = SimpleNamespace(
        data=bytes(writer.data), byte_offsets=np.array(offsets, np.int32), member=lambda name: KEY
    )
    streamers = {"Node": {3: SimpleNamespace(elements=NODE)}} if streamers is None else streamers
    return SimpleNamespace(
        name="nodes",
        typename="std::vector<Node*>",
        file=SimpleNamespace(streamers=streamers),
        entry_offsets=[0, len(entries)],
        basket=lambda i: basket,
    )


def read_fast(branch, start, stop):
    return root_objects.read_fast(branch, list(root_objects.baskets(branch, start, stop)))


def test_numbers_of_every_object_come_back():
    nodes = [make_node(cell) for cell in range(5)]
    found = read_fast(make_branch([nodes[:2], [], nodes[2:]]), 0, 3)
    np.testing.assert_array_equal(found.offsets, [0, 2, 2, 5])
    np.testing.assert_array_equal(found.top, range(5))
    numbers = found.numbers["Node"]
    assert set(numbers) == {"cell", "time", "radius"}
    np.testing.assert_array_equal(numbers["cell"], range(5))
    np.testing.assert_array_equal(numbers["time"][:, 0], 2**50 + np.arange(5))
    np.testing.assert_array_equal(numbers["radius"], np.arange(5) / 2)
    assert [numbers[name].dtype for name in ("cell", "time", "radius")] == [
        np.int32,
        np.int64,
        np.float32,
    ]


def test_only_the_entries_asked_for_are_read():
    nodes = [make_node(cell) for cell in range(6)]
    found = read_fast(make_branch([[node] for node in nodes]), 2, 5)
    np.testing.assert_array_equal(found.numbers["Node"]["cell"][found.top], [2, 3, 4])


def test_objects_inside_others_are_found_and_pointers_back_are_kept():
    first, second, third = (make_node(cell) for cell in range(3))
    first |= {"other": third, "friends": [second, first, None]}
    third["other"] = first  # while the first one is still being written
    found = read_fast(make_branch([[first, None, second, third]]), 0, 1)
    np.testing.assert_array_equal(
        found.numbers["Node"]["cell"], [0, 2, 1]
    )  # in the order of the bytes
    np.testing.assert_array_equal(found.top, [0, 2, 1])  # null is dropped
    np.testing.assert_array_equal(found.links["Node"]["other"], [1, 0, -1])
    friends, offsets = found.links["Node"]["friends"]
    np.testing.assert_array_equal(friends, [2, 0, -1])
    np.testing.assert_array_equal(offsets, [0, 3, 3, 3])


def test_a_place_in_one_entry_means_nothing_in_the_next():
    shared = make_node(7)
    found = read_fast(make_branch([[shared], [shared, shared]]), 0, 2)
    np.testing.assert_array_equal(found.numbers["Node"]["cell"], [7, 7])
    np.testing.assert_array_equal(found.top, [0, 1, 1])


def unusual_branches():
    good, label = (
        [[make_node(1), make_node(2)]],
        element(Model_TStreamerBase, "label", 65, "TString"),
    )
    info = SimpleNamespace(elements=NODE)
    yield "another version", make_branch([[make_node(1, version=4)]])
    yield "no streamer info", make_branch(good, {})
    yield "two versions", make_branch(good, {"Node": {3: info, 4: info}})
    yield "a string", make_branch(good, {"Node": {3: SimpleNamespace(elements=[*NODE, label])}})
    yield "one member less", make_branch(good, {"Node": {3: SimpleNamespace(elements=NODE[:-1])}})
    yield "another class", make_branch(good, {"Node": {3: info}, "Leaf": {3: info}})
    for word in (2, 5, 30, 60):  # bytes cut out
        branch = make_branch(good)
        basket = branch.basket(0)
        basket.data = basket.data[: -word or None]
        basket.byte_offsets[-1] -= word
        yield f"{word} bytes less", branch


@pytest.mark.parametrize(
    "what, branch", [pytest.param(*case, id=case[0]) for case in unusual_branches()]
)
def test_what_does_not_fit_the_streamer_info_is_left_to_uproot(what, branch):
    if what == "another class":
        branch.typename = "vector<Leaf*>"
    with pytest.raises(root_objects.Unusual):
        read_fast(branch, 0, 1)


def test_flipped_bits_are_noticed_or_change_only_values():
    rng = np.random.default_rng(0)
    nodes = [make_node(cell) for cell in range(4)]
    nodes[0] |= {"other": nodes[3], "friends": nodes[1:]}
    for _ in range(2000):
        branch = make_branch([nodes])
        data = bytearray(branch.basket(0).data)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        branch.basket(0).data = bytes(data)
        try:
            found = read_fast(branch, 0, 1)
        except root_objects.Unusual:
            continue
        assert len(found.numbers["Node"]["cell"]) == 4


def test_baskets_must_hold_the_entries():
    branch = make_branch([[make_node(1)]])
    branch.entry_offsets = [0, 2]
    with pytest.raises(ValueError, match="basket 0 of branch nodes doesn't hold its entries"):
        read_fast(branch, 0, 2)
    with pytest.raises(ValueError, match="baskets of branch nodes don't hold its entries"):
        root_objects.check_baskets(branch, 0, 3)


def test_numbers_of_pointers_are_counted_before_there_is_an_object_for_each():
    nodes = [make_node(cell) for cell in range(3)]
    branch = make_branch([nodes, [], [None] * 1000, nodes[:1]])
    ((data, offsets, _),) = root_objects.baskets(branch, 0, 4)
    assert root_objects.n_pointers(data, offsets).tolist() == [3, 0, 1000, 1]
    ((data, offsets, _),) = root_objects.baskets(branch, 2, 4)
    assert root_objects.n_pointers(data, offsets).tolist() == [1000, 1]
    assert root_objects.n_pointers(data, [0, 0, 4]).tolist() == [0, 0]


def test_too_many_pointers_are_refused_before_they_are_read(monkeypatch):
    def check(counts):
        raise ValueError(f"{counts.max()} pointers")

    monkeypatch.setattr(root_objects, "check_baskets", lambda *_: None)
    for way in ("read_fast", "read_with_uproot"):
        monkeypatch.setattr(root_objects, way, lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match="^2000000 pointers$"):
        root_objects.read(make_branch([[], [None] * 2_000_000]), 0, 2, check)


def packed_basket(*blocks, key=KEY, unpacked=None, n_bytes=None):
    """A basket in a file: its key, and blocks, each (bytes when packed, bytes when unpacked)."""
    content = b""
    for packed, size in blocks:
        content += (
            b"ZL\x08" + packed.to_bytes(3, "little") + size.to_bytes(3, "little") + bytes(packed)
        )
    unpacked = sum(size for _, size in blocks) if unpacked is None else unpacked
    n_bytes = key + len(content) if n_bytes is None else n_bytes
    return struct.pack(">ihiih", n_bytes, 4, unpacked, 0, key).ljust(key, b"\0") + content


@pytest.mark.parametrize(
    "basket, fits",
    [
        (packed_basket((20, 100)), True),
        (packed_basket((20, 100), (0, 7), (300, 70_000)), True),
        (packed_basket(unpacked=0), True),
        (packed_basket(unpacked=40, n_bytes=KEY + 40) + bytes(40), True),  # not compressed
        (packed_basket((20, 100), unpacked=101), False),
        (packed_basket((20, 100), n_bytes=KEY + 28), False),
        (packed_basket((20, 100)) + b"\0", False),
        (packed_basket((20, 100), unpacked=0x7C00804C), False),
        (packed_basket((20, 100), n_bytes=0x7FFFFFFF), False),
        (packed_basket((20, 100), n_bytes=-1), False),
    ],
)
def test_a_basket_is_as_long_as_its_key_says_or_refused_at_once(basket, fits):
    start = time.perf_counter()
    assert root_objects._has_its_length(basket) == fits
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "typename, name",
    [
        ("std::vector<TKtrhit*>", "TKtrhit"),
        ("vector<TKtrhit*>", "TKtrhit"),
        ("std::vector<double>", None),
        ("TKEvent", None),
    ],
)
def test_class_of_a_vector_of_pointers(typename, name):
    assert root_objects.pointee(typename) == name
