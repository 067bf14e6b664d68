import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from datasets import filters
from datasets.drift import drift_radius_mm, height_mm
from datasets.geometry import (
    GAMMA_VETO,
    MAIN_WALL,
    TKEVENT_FIRST_WIRE_MM,
    X_WALL,
    optical_module,
    wire_x_mm,
    wire_y_mm,
)
from datasets.readers import root_objects, tkevent

SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "root" / "tkevent_sample.root"


@pytest.fixture
def branches(monkeypatch):
    """Branches of one event, as pointers that `root_objects` would give: `branches(tr_hits={...},
    OM_hits={...})`.
    """
    monkeypatch.setattr(root_objects, "read", lambda branch, start, stop, check: branch)
    monkeypatch.setattr(root_objects, "read_numbers", lambda branch, start, stop: branch)
    classes = {"tr_hits": "TKtrhit", "OM_hits": "TKOMhit"}

    def make(**vectors):
        made = {"run_number": np.array([974]), "event_number": np.array([12])}
        for name, members in vectors.items():
            members = {member: np.asarray(values) for member, values in members.items()}
            n = len(next(iter(members.values())))
            made[name] = root_objects.Pointers(
                np.array([0, n]), np.arange(n), {classes[name]: members}, {}
            )
        return made

    return make


def hits(n=1, **members):
    """Members of `n` tracker hits in cells 0, 1, ...: anode at tick 1000, cathodes 2000 and 1000 ticks later,
    5 mm, 100 mm.
    """
    default = {
        "cell_num": np.arange(n),
        "tsp": np.tile([1000, -1, -1, -1, -1, 3000, 2000], (n, 1)),
        "r": np.full(n, 5.0),
    }
    return default | {"h": np.full(n, 100.0)} | members


def table(branches, drift_model=None):
    return details(branches, drift_model)[0]


def details(branches, drift_model=None):
    return tkevent._events(one_entry(branches), drift_model)


def one_entry(branches):
    return tkevent.Entries(branches, 0, 1, "file")


def same(a, b):
    """Whether two event tables are equal in everything."""
    for group in ("hits", "tracks", "info", "blocks"):
        first = getattr(a, group)
        second = getattr(b, group)
        if not all(np.array_equal(first[name], second[name], equal_nan=True) for name in first):
            return False
    offsets = ("hit_offsets", "track_offsets", "block_offsets")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in offsets)


def test_cells_run_and_event_come_from_the_file_and_nothing_is_truth(branches):
    events = table(branches(tr_hits=hits(3, cell_num=[0, 9 * 112 + 8, 2033])))
    assert events.hits["side"].tolist() == [0, 0, 1]
    assert events.hits["column"].tolist() == [0, 112, 112]
    assert events.hits["layer"].tolist() == [0, 8, 8]
    assert (events.hits["track"] == -1).all()
    assert (events.info["run"], events.info["event"], events.info["n_tracks"]) == (974, 12, -1)
    assert events.track_offsets.tolist() == [0, 0]


def test_a_file_without_cell_numbers_has_side_row_and_layer(branches):
    members = hits(2, SRL=[[0, 3, 8], [1, 112, 0]])
    del members["cell_num"]
    events = table(branches(tr_hits=members))
    assert [events.hits[k].tolist() for k in ("side", "column", "layer")] == [
        [0, 1],
        [3, 112],
        [8, 0],
    ]
    members["SRL"] = [[0, 3, 8], [1, 113, 0]]
    with pytest.raises(ValueError, match=r"entry 0: cell -1 outside 0..2033"):
        table(branches(tr_hits=members))


@pytest.mark.parametrize("cell", [-1, 2034])
def test_a_cell_that_does_not_exist_is_an_error(branches, cell):
    with pytest.raises(ValueError, match=f"entry 0: cell {cell} outside 0..2033"):
        table(branches(tr_hits=hits(2, cell_num=[1, cell])))


NO_TIME = -7378697629483820647  # memory that nobody set, as a converter of simulation left it


@pytest.mark.parametrize("times", [NO_TIME, -1, 2**53, 2**62])
def test_radii_need_an_anode_time_where_the_file_has_any(branches, times):
    missing = [times] * 7
    known = [1000, -1, -1, -1, -1, 3000, 2000]
    mixed = branches(tr_hits=hits(3, tsp=[known, missing, known]))
    none = branches(tr_hits=hits(3, tsp=[missing] * 3))
    assert tkevent._has_times(mixed, 1, "file") and not tkevent._has_times(none, 1, "file")
    raw, _ = tkevent._events(tkevent.Entries(mixed, 0, 1, "file", has_times=True), None)
    assert np.isnan(raw.hits["drift_radius_mm"]).tolist() == [False, True, False]
    converted, known_times = tkevent._events(
        tkevent.Entries(none, 0, 1, "file", has_times=False), None
    )
    assert converted.hits["drift_radius_mm"].tolist() == [5.0] * 3
    assert (
        converted.hits["z_mm"].tolist() == [100.0] * 3
        and np.isnan(known_times["anode_time_ns"]).all()
    )
    computed, _ = tkevent._events(
        tkevent.Entries(none | modules_of(branches), 0, 1, "file", False), "manchester"
    )
    assert np.isnan(computed.hits["drift_radius_mm"]).all()


def modules_of(branches):
    """A branch of one optical module, beside those of hits."""
    return {
        "OM_hits": branches(OM_hits={"OM_num": [1], "OM_TDC": [10], "xyz": [[0.0, 0, 0]]})[
            "OM_hits"
        ]
    }


@pytest.mark.real
def test_converted_simulation_keeps_its_radii():
    path = SAMPLE.parents[1] / "cases" / "falaise2tk_run0.root"
    events = tkevent.read(path)
    assert len(events) == 100 and events.hit_offsets[-1] == 2127
    assert np.isfinite(events.hits["drift_radius_mm"]).sum() == 2125
    chunks = list(tkevent.stream(path, chunk=9))
    assert sum(np.isfinite(chunk.hits["drift_radius_mm"]).sum() for chunk in chunks) == 2125


def test_unusable_radii_become_nan_and_the_hit_stays(branches):
    radius = [5.0, -1, 35.1, 35, 22, 0, np.nan, 5e-324, 1e300]
    events = table(branches(tr_hits=hits(9, r=radius)))
    np.testing.assert_array_equal(
        events.hits["drift_radius_mm"], np.float32([5, *[np.nan] * 2, 35, *[np.nan] * 5])
    )
    assert (events.hits["z_mm"] == 100).all()


def test_without_an_anode_time_there_is_no_radius(branches):
    members = hits(2)
    members["tsp"][1, 0] = -1
    np.testing.assert_array_equal(
        table(branches(tr_hits=members)).hits["drift_radius_mm"], np.float32([5, np.nan])
    )


def test_a_height_of_zero_is_one_only_if_both_cathodes_fired_together(branches):
    members = hits(4, h=[0.0, 0.0, 0.0, 1600.0])
    members["tsp"][1, 6] = -1
    members["tsp"][2, 5:] = 2500
    np.testing.assert_array_equal(
        table(branches(tr_hits=members)).hits["z_mm"], np.float32([np.nan, np.nan, 0, np.nan])
    )


@pytest.mark.parametrize("drift_model", [None, "manchester"])
def test_a_cathode_that_fired_before_the_anode_gives_no_height(branches, drift_model):
    members = hits(3, h=[100.0, -1456.0, 1456.0])
    members["tsp"][1, 5] = members["tsp"][2, 6] = 950
    z = table(branches(tr_hits=members), drift_model).hits["z_mm"]
    np.testing.assert_array_equal(np.isnan(z), [False, True, True])


def test_heights_under_their_old_name(branches):
    members = hits(2)
    members["Z"] = members.pop("h")
    assert (table(branches(tr_hits=members)).hits["z_mm"] == 100).all()


def test_a_cell_that_fired_twice_keeps_the_smaller_usable_radius(branches):
    events = table(branches(tr_hits=hits(3, cell_num=[4, 4, 4], r=[-1.0, 9, 7], h=[10.0, 20, 30])))
    assert events.hits["drift_radius_mm"].tolist() == [7] and events.hits["z_mm"].tolist() == [30]


def test_anode_times_are_those_of_the_hits_in_the_table(branches):
    members = hits(5, cell_num=[4, 4, 7, 4, 7], r=[-1.0, 9, -1, 7, -1])
    members["tsp"][:, 0] = [900, 1000, 1100, 1200, 1300]
    events, known = details(branches(tr_hits=members))
    assert events.hits["column"].tolist() == [0, 0] and events.hits["layer"].tolist() == [7, 4]
    assert known["anode_time_ns"].tolist() == [1100 * 12.5, 1200 * 12.5]


def test_hits_without_an_anode_time_have_none(branches):
    members = hits(2)
    members["tsp"][0, 0] = -1
    np.testing.assert_array_equal(
        details(branches(tr_hits=members))[1]["anode_time_ns"], [np.nan, 12500]
    )
    del members["tsp"]
    assert np.isnan(details(branches(tr_hits=members))[1]["anode_time_ns"]).all()


def test_late_hits_keep_their_radius_and_are_out_of_the_time_window(branches):
    members = hits(4, cell_num=[0, 1, 2, 0])
    members["tsp"][:, 0] = [1000, 1080, 1000 + 66_000 / 12.5, 900]
    del members["r"]
    events, known = details(
        branches(tr_hits=members, OM_hits={"xyz": [[-435.0, -2464, 0]], "OM_TDC": [1700]}),
        "manchester",
    )
    np.testing.assert_allclose(
        events.hits["drift_radius_mm"], drift_radius_mm([3150, 68_150, 900]), rtol=1e-6
    )
    assert events.keep_hits(filters.in_time(known["anode_time_ns"], events)).hits[
        "layer"
    ].tolist() == [1, 0]


def test_timestamps_alone_give_radius_and_height(branches):
    # 2 x 1000 - 1900 + 44 = 144 ticks of 6.25 ns; (3000 - 1000) / (2000 + 1000) of 2770 mm from the bottom
    modules = {"xyz": [[-435.0, -2000, 0]], "OM_TDC": [1900]}
    members = {name: values for name, values in hits(1).items() if name in ("cell_num", "tsp")}
    for model in ("manchester", "betsy"):
        events = table(branches(tr_hits=members, OM_hits=modules), model)
        assert events.hits["drift_radius_mm"][0] == pytest.approx(drift_radius_mm(900, model))
        assert events.hits["z_mm"][0] == pytest.approx(2770 * 2 / 3 - 1385)
    with pytest.raises(ValueError, match="no radius in TKtrhit: choose a drift model"):
        table(branches(tr_hits=members, OM_hits=modules))


def test_the_reference_is_the_nearest_module_that_fired_before(branches):
    near, far, later = [-435.0, -2464, 461], [435.0, 2000, 0], [-51.0, -2464, 461]
    modules = {"xyz": [far, near, later], "OM_TDC": [1000, 1900, 5000]}
    events = table(branches(tr_hits=hits(1), OM_hits=modules), "manchester")
    assert events.hits["drift_radius_mm"][0] == pytest.approx(drift_radius_mm(900))
    only_later = {name: values[2:] for name, values in modules.items()}
    assert np.isnan(
        table(branches(tr_hits=hits(1), OM_hits=only_later), "manchester").hits["drift_radius_mm"]
    ).all()
    assert np.isnan(table(branches(tr_hits=hits(1)), "manchester").hits["drift_radius_mm"]).all()


@pytest.mark.parametrize("name", ["xyz", "OM_TDC"])
def test_optical_modules_that_give_no_reference_are_an_error(branches, name):
    modules = {"xyz": [[-435.0, -2000, 0]], "OM_TDC": [1900], "HT": [True]}
    del modules[name]
    made = branches(tr_hits=hits(1), OM_hits=modules)
    with pytest.raises(ValueError, match=f"^no {name} in TKOMhit: no drift model can be used$"):
        table(made, "manchester")
    assert table(made).hits["drift_radius_mm"] == 5
    with pytest.raises(ValueError, match="^no OM_num in TKOMhit$"):
        tkevent.OBJECTS["optical_modules"](one_entry(made))


def test_optical_modules_are_blocks_with_a_time_and_without_an_energy(branches):
    modules = {"OM_num": [174, 521, 711], "OM_TDC": [1900, 0, 2000], "charge": [1, 2, 3]}
    events = table(branches(tr_hits=hits(1), OM_hits=modules))
    assert events.block_offsets.tolist() == [0, 3]
    found = {
        name: values.tolist() for name, values in events.blocks.items() if name != "energy_mev"
    }
    assert found == {
        "calo_type": [MAIN_WALL, X_WALL, GAMMA_VETO],
        "side": [0, 0, 1],
        "wall": [-1, 0, 1],
        "column": [13, 0, 15],
        "row": [5, 1, -1],
        "time_ns": [11875, 0, 12500],
        "track": [-1, -1, -1],
    }
    assert np.isnan(events.blocks["energy_mev"]).all()


def test_a_module_without_a_possible_number_or_time_has_fired_somewhere_sometime(branches):
    modules = {"OM_num": [712, -1, 0], "OM_TDC": [1, -7378697629483820647, 2]}
    blocks = table(branches(tr_hits=hits(1), OM_hits=modules)).blocks
    assert blocks["calo_type"].tolist() == blocks["side"].tolist() == [-1, -1, 0]
    np.testing.assert_array_equal(blocks["time_ns"], [6.25, np.nan, 12.5])
    blocks = table(branches(tr_hits=hits(1), OM_hits={"HT": [True, False]})).blocks
    assert blocks["column"].tolist() == [-1, -1] and np.isnan(blocks["time_ns"]).all()


def test_an_event_of_too_many_hits_is_refused_by_its_number(monkeypatch):
    def read(branch, start, stop, check):
        check(np.array([3, 2_000_000, 0]))
        pytest.fail("the hits were read")

    monkeypatch.setattr(root_objects, "read", read)
    entries = tkevent.Entries({"tr_hits": None}, 7, 10, "file")
    with pytest.raises(
        ValueError, match="^file: entry 8: 2000000 hits, but the tracker has 2034 cells$"
    ):
        tkevent._events(entries, None)


def test_missing_times_are_not_used(branches):
    members = hits(3)
    members["tsp"][0, 0] = members["tsp"][1, 5] = members["tsp"][2, 6] = -1
    events = table(
        branches(tr_hits=members, OM_hits={"xyz": [[-435.0, -2000, 0]], "OM_TDC": [1900]}),
        "manchester",
    )
    np.testing.assert_array_equal(np.isnan(events.hits["drift_radius_mm"]), [True, False, False])
    assert np.isnan(events.hits["z_mm"]).all()


def test_wrong_names_are_said_before_a_file_is_opened(tmp_path):
    with pytest.raises(ValueError, match="^no drift model prague"):
        next(tkevent.stream(tmp_path / "missing.root", drift_model="prague"))
    with pytest.raises(ValueError, match="no such file"):
        tkevent.read(tmp_path / "missing.root")


# The real file: 500 events of run 974


@pytest.fixture(scope="module")
def sample():
    return tkevent.read(SAMPLE)


@pytest.mark.real
def test_the_sample_has_its_events(sample):
    assert len(sample) == 500 and sample.n_hits.sum() == 5858
    assert (sample.info["run"] == 974).all() and (sample.info["n_tracks"] == -1).all()
    np.testing.assert_array_equal(sample.info["event"], np.arange(500))
    # as many hits without an anode time, and without one of the three times
    assert np.isnan(sample.hits["drift_radius_mm"]).sum() == 313
    assert np.isnan(sample.hits["z_mm"]).sum() == 842


@pytest.mark.real
@pytest.mark.parametrize("chunk", [7, 100, "100 kB"])
def test_chunks_make_no_difference(sample, chunk):
    parts = list(tkevent.stream([SAMPLE, SAMPLE], chunk=chunk))
    assert sum(map(len, parts)) == 1000 and len(parts) > 2
    assert same(tkevent.concatenate(parts), tkevent.concatenate([sample, sample]))


@pytest.mark.real
def test_anode_times_of_the_sample_fit_its_table(sample):
    tables, known = zip(*tkevent.stream_details(SAMPLE, chunk=100), strict=True)
    assert same(tkevent.concatenate(tables), sample)
    anode_time = np.concatenate([part["anode_time_ns"] for part in known])
    # no cell fired twice, no radius was cut
    np.testing.assert_array_equal(np.isnan(anode_time), np.isnan(sample.hits["drift_radius_mm"]))
    found, _ = tkevent.read_objects(SAMPLE, "hits")
    np.testing.assert_array_equal(
        anode_time[~np.isnan(anode_time)], 12.5 * found["tsp"][found["tsp"][:, 0] >= 0, 0]
    )
    # all of them: the last is 3.7 us after the first
    assert filters.in_time(anode_time, sample).sum() == 5858 - 313


@pytest.mark.real
def test_optical_modules_without_positions_are_an_error_that_names_the_file(monkeypatch):
    def read(*args, read=root_objects.read):
        found = read(*args)
        found.numbers.get("TKOMhit", {}).pop("xyz", None)
        return found

    monkeypatch.setattr(root_objects, "read", read)
    with pytest.raises(
        ValueError, match="tkevent_sample.root: no xyz in TKOMhit: no drift model can be used$"
    ):
        tkevent.read(SAMPLE, drift_model="betsy")


@pytest.mark.real
@pytest.mark.slow
def test_the_fast_way_gives_what_uproot_gives(sample, monkeypatch):
    objects = {what: tkevent.read_objects(SAMPLE, what) for what in tkevent.OBJECTS}
    recomputed = tkevent.read(SAMPLE, drift_model="manchester")

    def give_up(branch, loaded):
        raise root_objects.Unusual

    monkeypatch.setattr(root_objects, "read_fast", give_up)
    assert same(tkevent.read(SAMPLE), sample)
    assert same(tkevent.read(SAMPLE, drift_model="manchester"), recomputed)
    for what, (arrays, offsets) in objects.items():
        slow, slow_offsets = tkevent.read_objects(SAMPLE, what)
        np.testing.assert_array_equal(offsets, slow_offsets)
        assert set(arrays) == set(slow)
        for name in arrays:
            assert arrays[name].dtype == slow[name].dtype
            np.testing.assert_array_equal(arrays[name], slow[name])


@pytest.mark.real
def test_the_fast_way_knows_the_sample(monkeypatch):
    monkeypatch.setattr(
        root_objects, "read_with_uproot", lambda *_: pytest.fail("not the fast way")
    )
    tkevent.read(SAMPLE, drift_model="betsy")
    for what in tkevent.OBJECTS:
        tkevent.read_objects(SAMPLE, what)


@pytest.mark.real
def test_radii_and_heights_from_timestamps_are_those_tkevent_computed(sample):
    assert same(tkevent.read(SAMPLE, drift_model="Manchester"), sample)
    found, _ = tkevent.read_objects(SAMPLE, "hits")
    z = height_mm(*found["tsp"][:, [tkevent.ANODE, tkevent.BOTTOM, tkevent.TOP]].T)
    known = ~np.isnan(z)
    np.testing.assert_allclose(z[known], found["h"][known], atol=1e-9)
    assert (found["h"][~known] == 0).all()


@pytest.mark.real
def test_cells_of_the_sample_are_where_tkevent_puts_them():
    found, _ = tkevent.read_objects(SAMPLE, "hits")
    np.testing.assert_array_equal(
        np.column_stack([found["side"], found["column"], found["layer"]]), found["SRL"]
    )
    np.testing.assert_array_equal(
        wire_x_mm(found["side"], found["layer"], TKEVENT_FIRST_WIRE_MM), found["xy"][:, 0]
    )
    np.testing.assert_array_equal(wire_y_mm(found["column"]), found["xy"][:, 1])


@pytest.mark.real
def test_addresses_of_optical_modules_are_those_of_the_file():
    found, offsets = tkevent.read_objects(SAMPLE, "optical_modules")
    names = ("calo_side", "calo_wall", "calo_column", "calo_row")
    np.testing.assert_array_equal(np.column_stack([found[name] for name in names]), found["SWCR"])
    assert (found["calo_type"] == MAIN_WALL).all() and len(offsets) == 501
    np.testing.assert_array_equal(
        optical_module(found["calo_type"], *(found[name] for name in names)), found["OM_num"]
    )


@pytest.mark.real
def test_blocks_of_the_sample_are_its_optical_modules(sample):
    found, offsets = tkevent.read_objects(SAMPLE, "optical_modules")
    np.testing.assert_array_equal(sample.block_offsets, offsets)
    for name in ("side", "wall", "column", "row"):
        np.testing.assert_array_equal(sample.blocks[name], found[f"calo_{name}"])
    np.testing.assert_array_equal(sample.blocks["calo_type"], found["calo_type"])
    np.testing.assert_array_equal(sample.blocks["time_ns"], 6.25 * found["OM_TDC"])
    assert np.isnan(sample.blocks["energy_mev"]).all() and (sample.blocks["track"] == -1).all()


@pytest.mark.real
def test_fitted_tracks_keep_tkevents_relations_and_their_clusters():
    tracks, offsets = tkevent.read_objects(SAMPLE, "tracks")
    clusters, cluster_offsets = tkevent.read_objects(SAMPLE, "clusters")
    np.testing.assert_allclose(tracks["a"], np.tan(tracks["phi"]), rtol=1e-12)
    np.testing.assert_allclose(tracks["b"], -tracks["r"] / np.cos(tracks["phi"]), rtol=1e-12)
    assert (offsets[-1], cluster_offsets[-1], tracks["mirror"].sum()) == (714, 671, 43)
    event = np.repeat(np.arange(500), np.diff(offsets))
    own = cluster_offsets[event] + tracks["cluster"]
    np.testing.assert_array_equal(tracks["side"], clusters["side"][own])
    mirror = np.flatnonzero(tracks["mirror"])
    np.testing.assert_array_equal(own[mirror], own[mirror - 1])
    assert (tracks["ambiguity_type"][mirror] > 0).all()


@pytest.mark.real
def test_hits_of_a_cluster_are_hits_of_its_event_and_side():
    found, offsets = tkevent.read_objects(SAMPLE, "hits")
    inside, inside_offsets = tkevent.read_objects(SAMPLE, "cluster_hits")
    clusters, cluster_offsets = tkevent.read_objects(SAMPLE, "clusters")
    event = np.repeat(np.arange(500), np.diff(inside_offsets))
    np.testing.assert_array_equal(
        inside["side"], clusters["side"][cluster_offsets[event] + inside["cluster"]]
    )
    all_hits = zip(
        np.repeat(np.arange(500), np.diff(offsets)), found["cell_num"], found["r"], strict=True
    )
    assert set(zip(event, inside["cell_num"], inside["r"], strict=True)) <= set(all_hits)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Write the sample's bytes after `change`; returns the path."""
    data, path = SAMPLE.read_bytes(), tmp_path_factory.mktemp("damaged") / "damaged.root"

    def write(change):
        path.write_bytes(change(bytearray(data)))
        return path

    return write


@pytest.mark.real
def test_truncated_files_are_an_error_that_names_them(damaged):
    rng = np.random.default_rng(1)
    for _ in range(200):
        path = damaged(lambda data: data[: rng.integers(len(data))])
        with pytest.raises(ValueError, match=str(path)):
            tkevent.read(path)
    with pytest.raises(ValueError, match="truncated"):
        tkevent.read(damaged(lambda data: data[:-1]))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_a_flipped_bit_is_an_error_that_names_the_file_or_does_no_harm(damaged, sample):
    rng = np.random.default_rng(2)
    n_errors = 0
    for i in range(200):

        def flip(data, anywhere=i % 2 == 0):
            place = (
                rng.integers(len(data))
                if anywhere
                else rng.choice([rng.integers(300), len(data) - 1 - rng.integers(20_000)])
            )
            data[place] ^= 1 << rng.integers(8)
            return data

        path = damaged(flip)
        try:
            events = tkevent.read(path, drift_model="manchester")
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "RecursionError" not in str(error)
            n_errors += 1
        else:
            assert same(events, sample)
    assert n_errors > 50


@pytest.mark.real
def test_a_basket_that_claims_gigabytes_is_refused(damaged):
    def claim(data):
        key = data.index(b"\x07TBasket\x07tr_hits") - 26
        data[key + 6 : key + 10] = b"\x7c\x00\x80\x4c"  # its length when unpacked
        return data

    with pytest.raises(
        ValueError, match="basket 0 of branch tr_hits has another length than its parts"
    ):
        tkevent.read(damaged(claim))


@pytest.mark.real
def test_a_basket_that_claims_to_be_long_is_refused_at_once(damaged):
    def claim(data):
        key = data.index(b"\x07TBasket\x07tr_hits") - 26
        data[key : key + 4] = b"\x7f\xff\xff\xff"  # its length in the file
        return data

    path = damaged(claim)
    start = time.perf_counter()
    with pytest.raises(
        ValueError, match="basket 0 of branch tr_hits has another length than its parts"
    ):
        tkevent.read(path)
    assert time.perf_counter() - start < 2


@pytest.mark.real
def test_an_error_that_is_kept_does_not_keep_its_file(damaged):
    def break_hits(data):
        data[data.rindex(b"\x07TBasket\x07tr_hits") + 2000] ^= (
            255  # in the last basket: all others are read
        )
        return data

    path = damaged(break_hits)
    errors = []

    def read(n):
        for _ in range(n):
            with pytest.raises(ValueError) as error:
                tkevent.read(path)
            errors.append(error.value)

    read(3)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    read(10)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / 10 < 1.2e6


@pytest.mark.real
def test_foreign_root_files_are_an_error():
    path = SAMPLE.with_name("my_generator_t1_0.root")
    with pytest.raises(
        ValueError, match="my_generator_t1_0.root: no tree Event with a branch Eventdata"
    ):
        tkevent.read(path)
