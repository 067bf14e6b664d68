"""The `.brio` reader, against records written by `brio_encoder` and against real files."""

import math
import struct
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import uproot
from brio_encoder import (
    TRACKED,
    boolean,
    double,
    event,
    integer,
    property_list,
    record,
    string,
    write_file,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import drift
from datasets.drift import EFFECTIVE_LENGTH_MM, height_mm
from datasets.events import concatenate
from datasets.geometry import CELL_MM, DETECTOR, GAMMA_VETO, MAIN_WALL, X_WALL
from datasets.readers import boost_archive, brio, files
from datasets.readers.boost_archive import Archive

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "brio"
RUN_724, SIMULATED, RECONSTRUCTED = (
    DATA / name
    for name in ("snemo_run-724_udd-10events.brio", "flsim2.brio", "flsim_flrec_cd_tcd.brio")
)
NEVER = -(2**63)
NAN = math.nan


class Everything:
    def __contains__(self, name):
        return True


# ---- events to encode: with the names that the reader gives


def make_hit(number, kind, *address, **properties):
    return {
        "store": 7,
        "hit_id": number,
        "geom_id": {"type": kind, "address": address},
        "properties": properties,
    }


def make_point(*values):
    return tuple(map(float, values))


def calibrated(number, side, layer, column, r=5.0, z=100.0, **more):
    hit = make_hit(number, 1204, 0, side, layer, column, anode_time=250.0)
    return {**hit, "traits": 0, "r": r, "sigma_r": 0.5, "z": z, "sigma_z": 10.0, **more}


def calibrated_calo(number, kind=1302, address=(0, 1, 3, 5, 0xFFFFFFFE)):
    return {
        **make_hit(number, kind, *address, category="calo"),
        "E": 1.25,
        "sigma_E": 0.1,
        "t": 3.0,
        "sigma_t": 0.2,
    }


def make_step(number, side, layer, column, away=(3.0, 4.0), z=50.0, track=1):
    """A true step at `away` (mm, in x and y) from its wire."""
    x, y = (53 + 44 * layer) * (1 if side else -1) + away[0], (column - 56) * 44 + away[1]
    hit = make_hit(
        number, 1204, 0, side, layer, column, **{"track.id": track, "track.parent_id": 0}
    )
    hit["store"] |= 1 << 3
    return {**hit, "position_start": make_point(x, y, z)}


def calo_step(number, kind, *address, energy=0.5, time=2.0):
    hit = make_hit(number, kind, *address)
    return {**hit, "store": 7 | 1 << 5 | 1 << 9, "time_start": time, "energy_deposit": energy}


def simulated(**steps):
    particle = {
        "generation_id": 0,
        "type": 3,
        "pdg": 11,
        "label": "e-",
        "time": 0.5,
        "momentum": make_point(1, 2, 3),
    }
    particle |= {"vertex": make_point(0, 1, 2), "properties": {"weight": 2.0}}
    primary = {
        "label": "Se82.0nubb",
        "time": 0.0,
        "vertex": make_point(0, 5, 6),
        "particles": [particle, dict(particle)],
    }
    primary |= {"classification": "2e", "weight": 1.0, "properties": {}}
    bank = {
        "vertex": make_point(0, 7, 8),
        "time": 0.25,
        "primary_event": primary,
        "properties": {"seed": 3},
    }
    return {**bank, "collection_type": 1, "step_hits": steps}


def header(run=724, number=5):
    times = {
        "timestamp": {"s": NEVER, "ps": NEVER},
        "properties": {},
        "mc_run_id": -1,
        "ptime": {"date": "not-a-date-time"},
    }
    return {"event_id": {"run": run, "event": number}, "generation": 1, **times}


def fired(number, side, layer, column, anode=1000, bottom=3000, top=2000):
    origin = {"hit": 7, "trigger": 1}
    times = {
        "origin": (origin,) * 5,
        "anode": (anode, *[NEVER] * 4),
        "bottom_origin": origin,
        "top_origin": origin,
    }
    return {
        **make_hit(number, 1203, 0, side, layer, column),
        "times": [{**times, "bottom": bottom, "top": top}],
    }


def digitized_calo(number, kind=1301, address=(0, 1, 5, 8), waveform=(900, -20, 0, 901, 30000)):
    hit = {
        **make_hit(number, kind, *address),
        "store": 2047,
        "timestamp": 2000,
        "low_threshold_only": True,
        "high_threshold": False,
    }
    names = (
        "fcr",
        "lt_trigger_counter",
        "lt_time_counter",
        "baseline",
        "peak_amplitude",
        "peak_cell",
        "charge",
    )
    hit |= {name: i - 3 for i, name in enumerate(names)} | {"rising_cell": 8, "falling_cell": 9}
    return {**hit, "waveform": waveform, "origin": {"hit": 1, "trigger": 2}}


def digitized(tracker_hits, calorimeter_hits=()):
    bank = {
        "run": 724,
        "event": 9,
        "ref_timestamp": 0,
        "calorimeter_hits": list(calorimeter_hits),
        "tracker_hits": tracker_hits,
    }
    return {**bank, "trigger_ids": (1, 2), "properties": {}}


def calibrated_bank(tracker_hits, calorimeter_hits=()):
    return {
        "calorimeter_hits": list(calorimeter_hits),
        "tracker_hits": tracker_hits,
        "properties": {},
    }


def clustered(clusters, unclustered=()):
    found = [
        {**make_hit(i, 1205, 0), "hits": hits, "delayed": False} for i, hits in enumerate(clusters)
    ]
    solution = {
        "id": 0,
        "clusters": found,
        "unclustered": list(unclustered),
        "properties": {"clusterizer.id": "CAT"},
    }
    return {"solutions": [solution], "default": solution, "properties": {}}


def fitted(clustering):
    line = {
        "tolerance": 1e-7,
        "angular_tolerance": 1e-9,
        "first": make_point(0, 1, 2),
        "last": make_point(400, 5, 6),
    }
    pattern = {"pattern_id": "line", "segment": line}
    cluster = clustering["default"]["clusters"][0]
    trajectory = {
        **make_hit(1, 1200, 0, 0, chi2=2.5),
        "cluster": cluster,
        "orphans": [],
        "pattern": pattern,
    }
    solution = {
        "id": 0,
        "clustering": clustering["default"],
        "trajectories": [trajectory],
        "unfitted": [cluster],
        "properties": {},
    }
    return {"solutions": [solution], "default": solution, "properties": {}}


def particles(trajectories, calo):
    unit = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    placement = {"translation": make_point(0, 1, 2), "rotation_kind": -1, "angles": (0.0, 0.0, 0.0)}
    placement |= {"rotation": unit, "inverse_rotation": unit}
    vertex = {
        **make_hit(1, 1302, 0, 1),
        "store": 15,
        "dimension": 3,
        "tolerance": 1e-7,
        "placement": placement,
    }
    vertex |= {"sigma_x": 1.0, "sigma_y": 2.0, "sigma_z": 3.0}
    trajectory = trajectories["default"]["trajectories"][0]
    track = {
        **make_hit(0, 1200, 0),
        "charge": -1,
        "trajectory": trajectory,
        "vertices": [vertex, dict(vertex)],
        "calorimeter_hits": [calo],
    }
    return {"particles": [track], "isolated_calorimeter_hits": [calo], "properties": {}}


def full_event():
    """All banks, sharing hits, clusters and trajectories as Falaise's do."""
    hits = [calibrated(i, 1, i, 20) for i in range(4)] + [
        calibrated(4, 0, 3, 110, traits=33, x=-185.0, y=2376.0, delayed_time=5.0)
    ]
    hits[4]["sigma_delayed_time"] = 0.5
    properties = {
        "bool": True,
        "bools": (True, False),
        "int": -5,
        "ints": (1, -300),
        "text": "a",
        "texts": ("b", ""),
        "none": (),
    }
    hits[0]["properties"] |= properties
    calo = calibrated_calo(0)
    tcd = clustered([hits[:2], hits[2:3]], hits[3:])
    ttd = fitted(tcd)
    steps = [make_step(i, 1, i, 20, track=1 + i % 2) for i in range(4)]
    sd = simulated(calo=[calo_step(0, 1302, 0, 1, 3, 5, 0)], gg=steps)
    udd = digitized([fired(0, 1, 0, 20), fired(1, 1, 1, 20, bottom=NEVER)], [digitized_calo(0)])
    cd = calibrated_bank(hits, [calo])
    return {
        "CD": cd,
        "EH": header(),
        "PTD": particles(ttd, calo),
        "SD": sd,
        "TCD": tcd,
        "TTD": ttd,
        "UDD": udd,
    }


def plain(value):
    """Arrays as tuples, NaN as text, so that contents compare."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return type(value if not isinstance(value, np.ndarray) else ())(
            plain(item) for item in value
        )
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def decoded(banks, wanted=None, waveforms=True, **how):
    return brio.decode(record(event(banks, **how)), wanted, waveforms)


@pytest.fixture
def make_file(tmp_path):
    def make(*events, name="events.brio"):
        return write_file(tmp_path / name, [record(event(banks)) for banks in events], [])

    return make


# ---- primitives


def read_back(encoded, read):
    archive = Archive(b"\x7f" + integer(18) + encoded)
    value = read(archive)
    archive.finish()
    return value


@given(st.integers(-(2**63), 2**64 - 1))
def test_an_integer_comes_back(value):
    assert read_back(integer(value), Archive.integer) == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1, "0101"),
        (255, "01ff"),
        (256, "020001"),
        (724, "02d402"),
        (-1, "ffff"),
        (-256, "ff00"),
        (NEVER, "f8" + 7 * "00" + "80"),
    ],
)
def test_integers_worked_by_hand(value, encoded):
    assert integer(value).hex() == encoded
    assert read_back(bytes.fromhex(encoded), Archive.integer) == value


@given(st.integers(0, 2**64 - 1))
def test_a_double_comes_back_bit_by_bit(pattern):
    written = struct.pack("<Q", pattern)
    (value,) = struct.unpack("<d", written)
    read = read_back(double(value), boost_archive.double)
    assert struct.pack("<d", read) == struct.pack("<d", value)


@given(st.text())
def test_a_text_comes_back(text):
    assert read_back(string(text), boost_archive.string) == text


@given(st.booleans())
def test_a_boolean_comes_back(value):
    assert read_back(boolean(value), boost_archive.boolean) is value


@given(st.lists(st.integers(-(2**15), 2**15 - 1) | st.integers(256, 2**15 - 1)), st.booleans())
def test_a_waveform_is_read_or_stepped_over(samples, keep):
    encoded = (
        b"\x7f"
        + integer(18)
        + integer(len(samples))
        + integer(0)
        + b"".join(map(integer, samples))
        + b"\x01\x07"
    )
    archive = Archive(encoded, waveforms=keep)
    found = boost_archive.waveform(archive)
    assert archive.integer() == 7
    archive.finish()
    assert found is None if not keep else (found.tolist() == samples and found.dtype == np.int16)


@given(
    st.binary(max_size=12),
    st.sampled_from(
        [Archive.integer, boost_archive.double, boost_archive.string, boost_archive.boolean]
    ),
)
def test_any_bytes_are_a_value_or_an_error(data, read):
    archive = Archive(b"\x7f\x00" + data)
    with suppress(ValueError):
        read(archive)
    assert archive.position <= archive.end


@pytest.mark.parametrize("read", [boost_archive.i16, boost_archive.i32, boost_archive.u32])
def test_a_number_too_wide_for_its_type_is_an_error(read):
    with pytest.raises(ValueError, match="outside"):
        read_back(integer(2**40), read)


# ---- records


@pytest.mark.parametrize(
    "tracked", [TRACKED, (), Everything()], ids=["usual", "nothing", "everything"]
)
def test_every_bank_comes_back_whatever_is_tracked(tracked):
    banks = full_event()
    assert plain(decoded(banks, tracked=tracked)) == plain(banks)


def test_an_archive_worked_by_hand_from_the_format_page():
    name = b"snemo::datamodel::event_header"
    never = bytes([0xF8]) + bytes(7) + b"\x80"
    pieces = [
        bytes.fromhex(
            "7f0112 0101 0101 00 0000"
        ),  # header; things: tracked, version 1, object 0; i_serializable
        b"\x01\x04ER_0" + b"\x01\x5b" + b"x" * 91,
        bytes.fromhex("0000 0101 00 0000")
        + b"\x01\x02EH"
        + bytes.fromhex("0000 00 00"),  # map of 1; pair; entry
        b"\x01\x05\x01\x1e"
        + name
        + bytes.fromhex("0101 0102 0101"),  # class 5, tracked, version 2, object 1
        bytes.fromhex("00 0101 02d402 00 00 00 0101")
        + never
        + never,  # event_id, generation, timestamp
        bytes.fromhex("0101 0102 0102 00 0000 00 00"),  # properties: object 2, an empty map
        bytes.fromhex("ffff 0000 0000") + b"\x01\x0fnot-a-date-time",
    ]
    (bank,) = brio.decode(record(b"".join(pieces))).values()
    assert bank == {**header(724, 0), "generation": 0}


def test_a_waveform_that_nobody_wants_is_none():
    banks = decoded({"UDD": digitized([], [digitized_calo(0)])}, waveforms=False)
    assert banks["UDD"]["calorimeter_hits"][0]["waveform"] is None
    assert banks["UDD"]["calorimeter_hits"][0]["baseline"] == 0


def test_shared_objects_are_one_object():
    banks = decoded(full_event())
    assert banks["TCD"]["default"] is banks["TCD"]["solutions"][0]
    assert banks["TCD"]["default"]["clusters"][0]["hits"][0] is banks["CD"]["tracker_hits"][0]
    assert banks["TTD"]["default"]["trajectories"][0] is banks["PTD"]["particles"][0]["trajectory"]


def test_null_handles_are_none_and_no_hits():
    banks = decoded({"CD": calibrated_bank([None, calibrated(0, 1, 2, 3)], [None])})
    assert banks["CD"]["tracker_hits"][0] is None
    assert len(brio.tracker_hits(banks)[0]["layer"]) == 1
    assert len(brio.calo_hits(banks)["row"]) == 0


STEP_VALUES = {
    "position_start": (1.0, 2.0, 3.0),
    "position_stop": (4.0, 5.0, 6.0),
    "time_start": 0.5,
    "time_stop": 0.75,
    "momentum_start": (7.0, 8.0, 9.0),
    "momentum_stop": (0.0, -1.0, -2.0),
    "energy_deposit": 0.125,
    "particle": "e-",
    "biasing_weight": 1.5,
    "kinetic_energy_start": 2.5,
    "kinetic_energy_stop": 2.25,
    "step_length": 3.5,
    "entering": False,
    "leaving": True,
    "process": "eIoni",
    "flag_18": True,
    "flag_19": False,
    "flag_20": True,
    "track_id": 21,
    "parent_id": 22,
    "string_23": "a",
    "string_24": "b",
    "string_25": "c",
    "copy_number": 26,
    "string_27": "d",
    "flag_28": True,
}
STEP_FIELDS = list(STEP_VALUES)


def full_step():
    """A step with all its fields."""
    return {**make_hit(3, 1204, 0, 1, 2, 3), **STEP_VALUES, "store": 2**29 - 1}


@pytest.mark.parametrize(
    ("name", "version", "missing"),
    [
        ("base_step_hit", 2, ()),
        ("base_step_hit", 1, STEP_FIELDS[9:]),
        ("base_step_hit", 0, STEP_FIELDS[8:]),
        ("simulated_data", 2, ("time",)),
        ("primary_event", 4, ("vertex",)),
        ("primary_event", 3, ("vertex", "properties")),
        ("primary_event", 2, ("vertex", "properties", "label")),
        ("primary_event", 1, ("vertex", "properties", "label", "weight")),
        ("primary_particle", 3, ("generation_id",)),
        ("primary_particle", 2, ("generation_id", "pdg", "properties", "label")),
        ("primary_particle", 1, ("generation_id", "pdg", "properties", "label", "vertex")),
    ],
)
def test_fields_that_a_version_of_a_simulated_class_lacks(name, version, missing):
    bank = simulated(gg=[full_step(), full_step()])
    places = {
        "simulated_data": lambda bank: [bank],
        "base_step_hit": lambda bank: bank["step_hits"]["gg"],
        "primary_event": lambda bank: [bank["primary_event"]],
        "primary_particle": lambda bank: bank["primary_event"]["particles"],
    }
    found = decoded({"SD": bank}, versions={name: version})["SD"]
    for thing in places[name](bank):
        for field in missing:
            del thing[field]
    assert plain(found) == plain(bank)


def test_old_particles_of_type_zero_have_a_label():
    bank = simulated()
    bank["primary_event"]["particles"][0]["type"] = 0
    found = decoded({"SD": bank}, versions={"primary_particle": 1})["SD"]["primary_event"][
        "particles"
    ]
    assert ["label" in particle for particle in found] == [True, False]


@pytest.mark.parametrize("bit", range(29))
def test_a_step_has_the_fields_of_its_store_bits(bit):
    step = full_step()
    names = ["hit_id", "geom_id", "properties", *STEP_FIELDS]
    step = {name: value for name, value in step.items() if name in ("store", names[bit])} | {
        "store": 1 << bit
    }
    assert plain(decoded({"SD": simulated(gg=[step])})["SD"]["step_hits"]["gg"]) == [plain(step)]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("traits", [0, 1, 32, 33])
def test_traits_and_version_decide_what_a_calibrated_hit_has(traits, version):
    hit = calibrated(0, 1, 2, 3, traits=traits)
    hit |= {"x": 1.0, "y": 2.0} if traits & 32 or version == 0 else {}
    hit |= {"delayed_time": 7.0, "sigma_delayed_time": 8.0} if traits & 1 else {}
    found = decoded({"CD": calibrated_bank([hit])}, versions={"calibrated_tracker_hit": version})
    assert plain(found["CD"]["tracker_hits"]) == [plain(hit)]


def test_old_clusters_and_headers():
    banks = full_event()
    found = decoded(banks, versions={"tracker_cluster": 0, "event_header": 1})
    assert "delayed" not in found["TCD"]["default"]["clusters"][0]
    assert set(header()) - set(found["EH"]) == {"mc_run_id", "ptime"}


def test_a_header_with_a_date_has_a_time_of_day():
    time = {"hours": 1, "minutes": 2, "seconds": 3, "fraction": 400000}
    bank = header() | {"ptime": {"date": "20240229", "time": time}}
    assert decoded({"EH": bank})["EH"]["ptime"] == {
        "date": "20240229",
        "time": {"is_special": False, **time},
    }


@pytest.mark.parametrize("wanted", ["CD", "EH", "SD", "UDD"])
def test_what_comes_after_the_wanted_bank_may_be_anything(wanted):
    banks = full_event()
    start = record(event({name: bank for name, bank in banks.items() if name <= wanted}))
    archive = bytearray(event(banks))
    broken = bytes(archive[: len(brio.archive_of(start, "datatools::things"))]) + b"\x7e" * 50
    # the number of banks is the only difference before the wanted one ends
    assert plain(brio.decode(record(broken), [wanted], waveforms=True)) == {
        wanted: plain(banks[wanted])
    }


def test_wanted_banks_that_are_missing_are_left_out():
    banks = {name: bank for name, bank in full_event().items() if name in ("CD", "SD", "UDD")}
    assert list(decoded(banks, ["EH", "SD"])) == ["SD"]
    assert decoded(banks, ["EH"]) == decoded(banks, []) == {}


# ---- what is not understood


def test_a_newer_class_is_refused_with_file_entry_class_and_version(tmp_path):
    good, bad = (
        record(event({"CD": calibrated_bank([calibrated(0, 1, 2, 3)])}, versions=v))
        for v in ({}, {"geom_id": 2})
    )
    path = write_file(tmp_path / "new.brio", [good, good, good, bad])
    with pytest.raises(
        ValueError, match=r"new\.brio: entry 3: class geom_id version 2: .*0\.\.1 are known"
    ):
        list(brio.iter_events(path))


def test_an_unknown_bank_is_named_and_those_before_it_can_be_read(make_file, tmp_path):
    classes = {"pCD": "precalibrated_data"}
    raw = record(event({**full_event(), "pCD": {"anything": 1}}, classes=classes))
    path = write_file(tmp_path / "pcd.brio", [raw])
    with pytest.raises(
        ValueError, match=r"pcd\.brio: entry 0: .*snemo::datamodel::precalibrated_data"
    ):
        list(brio.iter_events(path))
    assert list(next(brio.iter_events(path, ["CD", "UDD"]))) == ["CD", "UDD"]
    assert len(brio.read(path)) == 1


def with_another_pattern(banks):
    return record(event(banks).replace(b"line_trajectory_pattern", b"long_trajectory_pattern"))


def without_recovery(banks):
    """The same, and what comes behind the bank cannot be found: its class is spelled otherwise."""
    return record(
        brio.archive_of(with_another_pattern(banks), "datatools::things").replace(
            b"mctools::", b"tools::mc"
        )
    )


def test_an_unknown_class_behind_the_labels_does_not_matter(tmp_path, recwarn):
    banks = full_event()
    del banks["PTD"]
    path = write_file(tmp_path / "long.brio", [with_another_pattern(banks)])
    with pytest.raises(
        ValueError, match=r"long\.brio: entry 0: .*long_trajectory_pattern' is not known"
    ):
        list(brio.iter_events(path))
    events = brio.read(path, visible_cells=2)
    assert not recwarn
    assert events.hits["track"].tolist() == [0, 1, 0, 1, -1] and events.info["n_tracks"] == [2]
    with pytest.warns(
        UserWarning, match=r"long\.brio: entry 0: not understood: bank TTD: .*hits are from CD"
    ):
        ((events, details),) = brio.stream_details(path, visible_cells=2)
    assert events.hits["track"].tolist() == [0, 1, 0, 1, -1]
    assert details["cluster"].tolist() == [0, 0, 1, -1, -1] and set(details["trajectory"]) == {-1}


def test_an_unknown_class_before_the_labels_leaves_them_unknown_with_one_warning(tmp_path):
    good, bad = record(event(full_event())), without_recovery(full_event())
    path = write_file(tmp_path / "long.brio", [good, bad, good, bad])
    with pytest.warns(
        UserWarning,
        match=r"long\.brio: entry 1: .*long_trajectory_pattern' is not known.* labels behind it",
    ) as warned:
        tables = list(brio.stream_details(path, chunk=1, visible_cells=2))
    assert len(warned) == 1
    assert [events.n_hits.tolist() for events, _ in tables] == [[5]] * 4
    assert [events.info["n_tracks"].tolist() for events, _ in tables] == [[2], [-1], [2], [-1]]
    for events, details in tables[1::2]:
        assert set(events.hits["track"]) == set(events.hits["second_track"]) == {-1}
        assert details["cluster"].tolist() == [0, 0, 1, -1, -1]  # that bank is found behind SD
        assert (events.info["run"], events.info["event"]) == ([724], [5])


def test_labels_before_an_unknown_class_are_kept(tmp_path):
    path = write_file(
        tmp_path / "new.brio",
        [record(event(full_event() | {"PTD": None}, versions={"tracker_cluster": 2}))],
    )
    with pytest.warns(UserWarning, match=r"new\.brio: entry 0: .*class tracker_cluster version 2"):
        ((events, details),) = brio.stream_details(path, visible_cells=2)
    assert events.info["n_tracks"] == [2] and set(details["cluster"]) == {-1}


def test_without_truth_nobody_asks_for_labels(tmp_path, recwarn):
    events = brio.read(
        write_file(tmp_path / "long.brio", [with_another_pattern(full_event())]), truth=False
    )
    assert events.n_hits.tolist() == [5] and events.info["n_tracks"] == [-1]
    assert not recwarn


@pytest.mark.parametrize(
    ("names", "versions", "source"),
    [
        ("CD EH SD", {"calibrated_data": 2}, "SD"),
        ("CD EH SD", {"event_header": 3}, "CD"),
        ("EH SD UDD", {"unified_digitized_data": 1}, "SD"),
        ("EH UDD", {"event_header": 3}, "UDD"),
    ],
)
def test_an_unknown_version_ends_only_its_bank(tmp_path, names, versions, source):
    banks = {name: bank for name, bank in full_event().items() if name in names.split()}
    path = write_file(tmp_path / "new.brio", [record(event(banks, versions=versions))])
    said = rf"new\.brio: entry 0: not understood: bank .*: class .* version [123]: .* are known.*from {source}"
    with pytest.warns(UserWarning, match=said) as warned:
        events = brio.read(path)
    assert len(warned) == 1
    hits, _ = brio.tracker_hits({source: banks[source], "SD": banks.get("SD", simulated())})
    np.testing.assert_array_equal(events.hits["column"], hits["column"])
    np.testing.assert_array_equal(
        events.hits["drift_radius_mm"], hits["drift_radius_mm"].astype(np.float32)
    )


@pytest.mark.parametrize(
    "versions", [{"calibrated_data": 2}, {"event_header": 3, "calibrated_data": 2}]
)
def test_an_event_without_any_hits_that_are_understood_is_an_error(tmp_path, versions):
    banks = {name: bank for name, bank in full_event().items() if name in ("CD", "EH", "TCD")}
    path = write_file(tmp_path / "new.brio", [record(event(banks, versions=versions))])
    with pytest.raises(
        ValueError, match=r"new\.brio: entry 0: class .*calibrated_data version 2: .* are known"
    ):
        brio.read(path)


COMMON_CONTENTS = [
    {"bytes": bytes(range(40))},
    {"bytes": b"\x01\x02SD", "point": (0.0, 0.0, 0.0)},
    {"properties": {"a": 1, "b": 2.0, "c": "text", "d": True}},
    {"properties": {"b": (2.0,)}, "point": (1.0, 2.0, 3.0)},
    {"properties": {"a": (1, 2)}, "point": (0.0, 0.0, 0.0), "bytes": b""},
]


@pytest.mark.parametrize("unknown", COMMON_CONTENTS, ids=lambda unknown: "+".join(unknown))
@pytest.mark.parametrize("name", ["AA", "FF", "SSD"])
def test_banks_behind_an_unknown_one_are_found_again(tmp_path, unknown, name):
    """Whatever of the types that they share the unknown one announced before them."""
    banks = {key: bank for key, bank in full_event().items() if key in ("CD", "EH", "SD", "TCD")}
    for one in [banks, {key: bank for key, bank in banks.items() if key != "CD"}]:
        expected = decoded(one, one)
        mixed = dict(sorted({**one, name: unknown}.items()))
        raw = record(event(mixed, classes={name: "unheard_of"}))
        assert plain(brio.decode(raw, list(one))) == plain(expected)
        with pytest.raises(ValueError, match="unheard_of' is not known here"):
            brio.decode(raw)
        path = write_file(tmp_path / "a.brio", [raw, raw])
        with pytest.warns(
            UserWarning, match=f"entry 0: not understood: bank {name}: .*unheard_of"
        ) as warned:
            ((events, details),) = brio.stream_details(path, visible_cells=2)
        assert len(warned) == 1 and "lost" not in str(warned[0].message)
        assert events.info["n_tracks"].tolist() == [2, 2]
        if "CD" in one:
            assert details["cluster"].tolist() == 2 * [0, 0, 1, -1, -1]


def test_a_bank_that_points_into_an_unknown_one_is_lost_and_named(tmp_path):
    """TCD's clusters were written first in PTD, which a newer class ends; SD has nothing to do with it."""
    banks, versions = of_falaise_5(full_event())
    raw = record(event(banks, versions=versions | {"particle_track": 2}))
    with pytest.raises(ValueError, match="class particle_track version 2"):
        brio.decode(raw, ["TCD"])
    assert list(brio.decode(raw, ["SD"])) == ["SD"]
    with pytest.warns(UserWarning, match=r"bank PTD: .*; bank TCD: .*; bank TTD: ") as warned:
        ((events, details),) = brio.stream_details(
            write_file(tmp_path / "a.brio", [raw]), visible_cells=2
        )
    assert len(warned) == 1
    assert events.hits["track"].tolist() == [0, 1, 0, 1, -1] and set(details["cluster"]) == {-1}


def test_damage_behind_the_hits_costs_only_the_labels(tmp_path):
    archive = event(full_event())
    path = write_file(
        tmp_path / "short.brio", [record(archive[: archive.index(b"line_trajectory_pattern") + 99])]
    )
    with pytest.warns(UserWarning, match=r"short\.brio: entry 0: not understood: bank PTD: .*left"):
        events = brio.read(path)
    assert events.n_hits.tolist() == [5] and events.info["n_tracks"] == [-1]


@pytest.mark.parametrize("end", [b"calibrated_data", b"unified_digitized_data"])
def test_damage_in_the_hits_is_an_error(tmp_path, end):
    banks = full_event()
    if end.startswith(b"unified"):
        del banks["CD"], banks["PTD"], banks["TCD"], banks["TTD"]
    archive = event(banks)
    path = write_file(tmp_path / "short.brio", [record(archive[: archive.index(end) + 99])])
    with pytest.raises(ValueError, match=r"short\.brio: entry 0: class .*(left|ends early)"):
        brio.read(path)


@pytest.mark.parametrize("null", [-1, 2**16 - 1, 2**32 - 1, 2**64 - 1])
def test_a_null_pointer_may_be_written_with_or_without_a_sign(null):
    banks = full_event()
    banks["PTD"]["particles"][0]["trajectory"] = None
    banks["TTD"]["default"]["trajectories"][0]["pattern"] = None
    banks["TCD"]["solutions"].append(None)
    banks["CD"]["tracker_hits"].append(None)
    assert plain(decoded(banks, null=null)) == plain(banks)
    empty = {"CD": calibrated_bank([]), "TCD": {"solutions": [], "default": None, "properties": {}}}
    assert plain(decoded(empty, null=null)) == plain(empty)
    assert brio.clusters(decoded(empty, null=null)) == []


def test_banks_out_of_order_or_of_a_wrong_class_are_errors():
    with pytest.raises(ValueError, match="bank 'CD' after 'EH'"):
        decoded({"EH": header(), "CD": calibrated_bank([])})
    with pytest.raises(ValueError, match="not known here, only snemo::datamodel::calibrated_data"):
        decoded({"CD": header()}, classes={"CD": "event_header"})


def test_a_text_archive_is_refused():
    with pytest.raises(ValueError, match="no portable binary archive"):
        brio.decode(record(b"22 serialization::archive 18"))


def test_a_record_of_something_else_is_refused():
    archive = event({"EH": header()})
    for raw in (
        record(archive, "datatools::properties"),
        record(archive)[:-1],
        record(archive) + b"\0",
        b"",
        b"\0" * 9,
        b"\xff" * 30,
    ):
        with pytest.raises(ValueError, match="no record of datatools::things"):
            brio.decode(raw)


def test_bytes_after_the_last_bank_are_an_error():
    with pytest.raises(ValueError, match="the archive goes on"):
        brio.decode(record(event(full_event()) + b"\0"))


def test_a_record_truncated_at_any_byte_is_an_error():
    archive = event(full_event())
    for end in range(len(archive)):
        with pytest.raises(ValueError, match=r"archive|byte"):
            brio.decode(record(archive[:end]))


def test_flipped_bytes_give_an_event_or_a_value_error():
    archive, rng = event(full_event()), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        broken = bytearray(archive)
        broken[rng.integers(len(broken))] ^= rng.integers(1, 256)
        try:
            use_everything(brio.decode(record(bytes(broken)), waveforms=True))
        except ValueError:
            refused += 1
    assert 0 < refused < 200


def test_archives_with_pieces_elsewhere_give_an_event_or_a_value_error():
    archive, rng = event(full_event()), np.random.default_rng(3)
    refused = 0
    for _ in range(200):
        start, stop, at = rng.integers(len(archive), size=3)
        try:
            use_everything(
                brio.decode(
                    record(
                        archive[:at] + archive[min(start, stop) : max(start, stop)] + archive[at:]
                    ),
                    waveforms=True,
                )
            )
        except ValueError:
            refused += 1
    assert 150 < refused <= 200


def use_everything(banks):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        brio.tracker_hits(banks), brio.clusters(banks), brio.calo_hits(banks)


@pytest.mark.parametrize("n", [2**16, 2**40, 2**63, -1])
def test_a_count_beyond_the_bytes_is_refused_at_once(n):
    few = event({"CD": calibrated_bank([])})
    empty_list = bytes.fromhex("0000 00 00")  # class information, no hits, their version
    at = few.index(empty_list, few.index(b"calibrated_data"))
    with pytest.raises(ValueError, match=r"class vector<.*> version 0: .* items, .* bytes left"):
        brio.decode(record(few[:at] + b"\0\0" + integer(n) + few[at + 3 :]))


def test_an_event_of_too_many_hits_is_refused_before_they_are_read(tmp_path):
    few = event({"CD": calibrated_bank([])})
    empty_list = bytes.fromhex("0000 00 00")  # class information, no hits, their version
    first = few.index(empty_list, few.index(b"calibrated_data"))
    at = few.index(bytes.fromhex("0000 00 00"), first + 4)  # after that of the calorimeter hits
    n = 2_000_000
    path = write_file(
        tmp_path / "a.brio", [record(few), record(few[:at] + b"\0\0" + integer(n) + bytes(3 * n))]
    )
    start = time.perf_counter()
    with pytest.raises(
        ValueError, match=r"a\.brio: entry 1: .*: 2000000 hits, but the tracker has 2034 cells"
    ):
        brio.read(path)
    assert time.perf_counter() - start < 2


def test_true_steps_are_refused_by_their_number_too(make_file):
    steps = [make_step(0, 1, 2, 3)] * 20_341
    path = make_file({"SD": simulated(gg=steps)})
    with pytest.raises(
        ValueError, match=r"brio: entry 0: 20341 hits, but the tracker has 2034 cells$"
    ):
        brio.read(path)


@pytest.mark.parametrize(
    ("number", "error"),
    [(-2, "is no calibrated_tracker_hit"), (0, "is no"), (2**40, "after .* objects")],
)
def test_an_object_number_that_cannot_be_is_an_error(number, error):
    kind, versions = boost_archive.record("calibrated_tracker_hit", 0), b"\1\1\0"
    with pytest.raises(ValueError, match=error):
        other = boost_archive.record("other", 0)
        archive = Archive(b"\x7f\0" + versions + integer(0) + versions + integer(number))
        other.read(archive)
        kind.read(archive)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200))
def test_any_archive_is_an_event_or_a_value_error(data):
    with suppress(ValueError):
        brio.decode(record(b"\x7f\1\x12" + data))


def test_files_that_are_no_brio_files(tmp_path):
    text, tree = tmp_path / "text.brio", tmp_path / "tree.brio"
    text.write_text("a text archive")
    with uproot.recreate(tree) as file:
        file["hit_tree"] = {"x": [1, 2]}
    with pytest.raises(ValueError, match=r"text\.brio: not a ROOT file"):
        list(brio.iter_events(text))
    with pytest.raises(ValueError, match=r"tree\.brio: no tree ER"):
        brio.read(tree)
    with pytest.raises(ValueError, match=r"none\.brio: no such file"):
        brio.read(tmp_path / "none.brio")


# ---- the event table


def test_calibrated_hits_have_radius_and_owners_of_their_cells(make_file):
    hits = [
        calibrated(0, 1, 0, 20, r=5.0),
        calibrated(1, 1, 1, 20, r=7.0),
        calibrated(2, 0, 8, 112, r=NAN, z=NAN),
    ]
    steps = [
        make_step(0, 1, 0, 20, away=(3, 4), track=12),
        make_step(1, 1, 0, 20, away=(1, 0), track=30),
        make_step(2, 1, 1, 20, track=12),
        make_step(3, 1, 2, 20, track=7),  # in a cell that did not fire
    ]
    events = brio.read(
        make_file({"CD": calibrated_bank(hits), "EH": header(3, 4), "SD": simulated(gg=steps)}),
        visible_cells=1,
    )
    assert {name: events.hits[name].tolist() for name in ("side", "layer", "column")} == {
        "side": [1, 1, 0],
        "layer": [0, 1, 8],
        "column": [20, 20, 112],
    }
    np.testing.assert_array_equal(events.hits["drift_radius_mm"], np.float32([5, 7, NAN]))
    np.testing.assert_array_equal(events.hits["z_mm"], np.float32([100, 100, NAN]))
    assert events.hits["track"].tolist() == [1, 0, -1]
    assert events.hits["second_track"].tolist() == [0, -1, -1]
    assert {name: values.tolist() for name, values in events.info.items()} == {
        "n_tracks": [2],
        "n_particles": [3],
        "run": [3],
        "event": [4],
        "geometry": [DETECTOR],
    }


@pytest.mark.parametrize(("missing", "z"), [(0, 40.0), (4, 40.0), (8, 40.0), (12, NAN)])
def test_a_calibrated_hit_without_both_cathodes_has_no_height(make_file, missing, z):
    hit = calibrated(0, 1, 2, 3, z=0.0 if missing == 12 else 40.0, sigma_z=50.0, traits=missing)
    ((events, details),) = brio.stream_details(make_file({"CD": calibrated_bank([hit])}))
    np.testing.assert_array_equal(events.hits["z_mm"], [z])
    np.testing.assert_array_equal(details["sigma_z_mm"], [z + 10])


def test_true_steps_merge_in_their_cell_with_their_distance_to_the_wire(make_file):
    steps = [
        make_step(0, 0, 4, 30, away=(3, -4), z=-70.0, track=2),
        make_step(1, 0, 4, 30, away=(0, 1), z=80.0, track=9),
    ]
    path = make_file({"SD": simulated(gg=steps)}, {"SD": simulated(gg=[])}, {"SD": simulated()})
    events = brio.read(path, visible_cells=1)
    np.testing.assert_allclose(events.hits["drift_radius_mm"], [1.0], rtol=1e-6)
    assert events.hits["z_mm"] == [80.0]
    assert (events.hits["track"], events.hits["second_track"]) == ([1], [0])
    assert events.n_hits.tolist() == [1, 0, 0] and events.info["n_tracks"].tolist() == [2, 0, 0]
    assert events.info["run"].tolist() == [-1] * 3 and events.info["event"].tolist() == [0, 1, 2]


def test_track_numbers_may_stand_in_their_own_field():
    step = make_step(0, 1, 0, 20)
    step = step | {"store": step["store"] | 1 << 21, "properties": {}, "track_id": 41}
    hits, n_tracks = brio.tracker_hits(decoded({"SD": simulated(gg=[step])}), visible_cells=1)
    assert hits["track"] == [0] and n_tracks == 1


def test_steps_without_track_numbers_leave_the_tracks_unknown():
    step = make_step(0, 1, 0, 20) | {"properties": {}}
    hits, n_tracks = brio.tracker_hits(decoded({"SD": simulated(gg=[step])}))
    assert hits["track"] == [-1] and n_tracks == -1


@pytest.mark.parametrize(
    ("anode", "bottom", "top", "z"),
    [
        (1000, 3000, 2000, EFFECTIVE_LENGTH_MM / 2 / 3),  # 2000 and 1000 ticks: nearer to the top
        (1000, 2000, 2000, 0.0),
        (1000, NEVER, 2000, NAN),
        (1000, 3000, 0, NAN),
        (NEVER, 3000, 2000, NAN),
        (0, 3000, 2000, NAN),
        (1000, 1000, 2000, -EFFECTIVE_LENGTH_MM / 2),
        (1000, 900, 2000, NAN),  # before the anode
    ],
)
def test_height_of_a_digitized_hit_from_its_cathode_times(make_file, anode, bottom, top, z):
    events = brio.read(make_file({"UDD": digitized([fired(0, 1, 3, 50, anode, bottom, top)])}))
    np.testing.assert_allclose(events.hits["z_mm"], [z], rtol=1e-6)
    if anode > 0 and min(bottom, top) >= anode:
        np.testing.assert_allclose(
            z, height_mm(anode, bottom, top), atol=1e-9
        )  # as from a file of TKEvent
    assert np.isnan(events.hits["drift_radius_mm"]).all()
    assert {name: values.tolist() for name, values in events.info.items()} == {
        "n_tracks": [-1],
        "n_particles": [-1],
        "run": [724],
        "event": [9],
        "geometry": [DETECTOR],
    }
    assert events.hits["track"].tolist() == [-1]


def test_details_of_hits_go_with_the_hits_of_the_table(make_file):
    hits = [
        fired(0, 1, 0, 5),
        fired(1, 1, 1, 5, anode=NEVER),
        fired(2, 1, 0, 5, anode=1500),
        fired(3, 0, 0, 7, anode=1600, top=NEVER),
    ]
    (events, details), *rest = brio.stream_details(make_file({"UDD": digitized(hits)}))
    assert not rest and events.hits["column"].tolist() == [5, 5, 7]  # one hit a cell, the first
    np.testing.assert_array_equal(details["anode_time_ns"], [12500, NAN, 20000])
    np.testing.assert_array_equal(details["bottom_time_ns"], [25000, NAN, 17500])
    np.testing.assert_array_equal(details["top_time_ns"], [12500, NAN, NAN])


def test_a_drift_model_gives_digitized_hits_the_radius_of_the_time_since_the_nearest_calorimeter_hit_before(
    make_file,
):
    def calo(number, address, ticks):
        return {**digitized_calo(number, address=address), "timestamp": ticks}

    near, far, late = (
        calo(0, (0, 1, 9, 6), 10_000),
        calo(1, (0, 1, 2, 6), 9_000),
        calo(2, (0, 1, 9, 7), 20_000),
    )
    ticks = [
        5000,
        5100,
        4300,
        9000,
    ]  # of the tracker: twice as long; the third is before the near block, the last much later
    hits = [fired(i, 1, i, 56, anode) for i, anode in enumerate(ticks)]
    path = make_file({"UDD": digitized(hits, [far, late, near])}, {"UDD": digitized(hits)})
    events = brio.read(path, drift_model="manchester")
    expected = drift.drift_radius_mm([275, 1525, np.nan, np.nan])
    np.testing.assert_allclose(events.hits["drift_radius_mm"][:4], expected, rtol=1e-5)
    assert (
        np.isnan(events.hits["drift_radius_mm"][4:]).all()
        and np.isnan(brio.read(path).hits["drift_radius_mm"]).all()
    )
    with pytest.raises(ValueError, match="no drift model prague"):
        next(brio.stream(path, drift_model="prague"))


def test_of_the_times_of_a_digitized_hit_those_of_the_first_discharge_count():
    late, first, without_anode = (
        fired(0, 1, 0, 5, *times)["times"][0]
        for times in [(9000, 12000, 11000), (1000,), (NEVER, 2500, 1200)]
    )
    hit = {**fired(0, 1, 0, 5), "times": [without_anode, late, first]}
    hits, _ = brio.tracker_hits({"UDD": digitized([hit])})
    assert [hits[f"{name}_time_ns"].item() for name in ("anode", "bottom", "top")] == [
        12500,
        25000,
        12500,
    ]
    hits, _ = brio.tracker_hits(
        {"UDD": digitized([{**hit, "times": [without_anode]}, {**hit, "times": []}])}
    )
    assert np.isnan([hits["anode_time_ns"].item(), hits["z_mm"].item()]).all()


def test_of_the_digitized_hits_of_a_cell_the_first_known_time_counts():
    hits = [
        fired(i, 1, 0, 5, anode, anode + 2000, anode + 1000)
        for i, anode in enumerate((NEVER, 7000, 3000, 0, 5000))
    ]
    for order in (hits, hits[::-1]):
        found, _ = brio.tracker_hits({"UDD": digitized(order)})
        assert (found["anode_time_ns"], found["bottom_time_ns"]) == ([37500], [25000])


def test_the_nearer_of_two_calibrated_hits_in_a_cell_keeps_its_details(make_file):
    far = calibrated(0, 1, 0, 5, r=9.0)
    near = calibrated(
        1, 1, 0, 5, r=2.0, traits=1, delayed_time=77.0, sigma_delayed_time=1.0, sigma_r=0.25
    )
    unknown = calibrated(2, 1, 0, 5, r=NAN)
    for order in ([far, near, unknown], [unknown, near, far]):
        ((events, details),) = brio.stream_details(make_file({"CD": calibrated_bank(order)}))
        assert events.hits["drift_radius_mm"] == [2.0]
        assert (details["delayed_time_ns"], details["sigma_r_mm"], details["anode_time_ns"]) == (
            [77.0],
            [0.25],
            [250.0],
        )


def test_clusters_are_lists_of_cells_and_a_detail_of_the_hits(make_file):
    banks = full_event()
    assert [cells.tolist() for cells in brio.clusters(banks)] == [
        [[1, 0, 20], [1, 1, 20]],
        [[1, 2, 20]],
    ]
    ((_, details),) = brio.stream_details(make_file(banks))
    assert details["cluster"].tolist() == [0, 0, 1, -1, -1]
    assert brio.clusters({"CD": banks["CD"]}) == []


def test_a_file_comes_in_chunks_and_baskets_in_order(make_file):
    events = [
        {"EH": header(1, i), "UDD": digitized([fired(0, 1, 2, column) for column in range(i)])}
        for i in range(7)
    ]
    path = make_file(*events)
    tables = list(brio.stream(path, chunk=3))
    assert [len(table) for table in tables] == [3, 3, 1]
    whole = brio.read([path, path])
    assert whole.info["event"].tolist() == [*range(7), *range(7)]
    assert whole.n_hits.tolist() == [*range(7), *range(7)]
    assert [banks["EH"]["event_id"]["event"] for banks in brio.iter_events(path)] == [*range(7)]


def test_files_without_events_or_without_tracker_hits(make_file):
    assert len(brio.read(make_file())) == 0
    events = brio.read(make_file({"EH": header()}, {}))
    assert events.n_hits.tolist() == [0, 0] and events.info["event"].tolist() == [5, 1]


@pytest.mark.parametrize(
    ("hit", "error"),
    [
        (calibrated(0, 1, 9, 5), "layer 9 outside 0..8"),
        (calibrated(0, 1, 2, 113), "row 113 outside 0..112"),
        (calibrated(0, 2, 2, 3), "side 2 outside 0..1"),
        (
            {**calibrated(0, 1, 2, 3), "geom_id": {"type": 1204, "address": (0, 1, 2)}},
            "tracker hit at geometry id",
        ),
        (
            {**calibrated(0, 1, 2, 3), "geom_id": {"type": 1302, "address": (0, 1, 2, 3)}},
            "tracker hit at geometry id",
        ),
    ],
)
def test_a_hit_out_of_range_names_file_entry_and_value(make_file, hit, error):
    good = {"CD": calibrated_bank([calibrated(0, 1, 2, 3)])}
    path = make_file(good, good, {"CD": calibrated_bank([hit])}, name="range.brio")
    with pytest.raises(ValueError, match=f"range.brio: entry 2: .*{error}"):
        list(brio.stream(path, chunk=2))


@pytest.mark.parametrize(
    ("r", "z", "known"),
    [
        (51.0, 100.0, [False, True]),
        (-1.0, 100.0, [False, True]),
        (math.inf, 1e300, [False, False]),
        (0.0, -2001.0, [True, False]),
    ],
)
def test_a_measurement_that_cannot_be_is_unknown(make_file, r, z, known):
    ((events, details),) = brio.stream_details(
        make_file({"CD": calibrated_bank([calibrated(0, 1, 2, 3, r=r, z=z)])})
    )
    values = np.array([events.hits["drift_radius_mm"], events.hits["z_mm"]])[:, 0]
    errors = np.array([details["sigma_r_mm"], details["sigma_z_mm"]])[:, 0]
    assert np.isfinite(values).tolist() == np.isfinite(errors).tolist() == known


def test_a_true_step_far_from_its_wire_has_no_radius(make_file):
    far, high = make_step(0, 1, 2, 3, away=(51.0, 0.0)), make_step(1, 1, 3, 3, z=2001.0)
    events = brio.read(make_file({"SD": simulated(gg=[far, high])}))
    assert np.isnan(events.hits["drift_radius_mm"]).tolist() == [True, False]
    assert np.isnan(events.hits["z_mm"]).tolist() == [False, True]


def ends_at(step, x, y):
    """The same step with its end, where Falaise has the wire."""
    *_, z = step["position_start"]
    return step | {"store": step["store"] | 1 << 4, "position_stop": make_point(x, y, z)}


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5, -479.5])
def test_wires_are_those_of_the_file_and_another_geometry_is_said_once(make_file, shift, recwarn):
    steps = []
    for layer in range(4):
        step = make_step(layer, 1, layer, 56, away=(3 + shift, 4.0))
        steps.append(ends_at(step, 53 + 44 * layer + shift, 0.0))
    events = brio.read(
        make_file({"SD": simulated(gg=steps)}, {"SD": simulated(gg=steps)}), visible_cells=1
    )
    np.testing.assert_allclose(events.hits["drift_radius_mm"], 8 * [5.0])
    said = [str(warning.message) for warning in recwarn]
    assert len(said) == (abs(shift) > 1)
    assert all(
        f"{abs(shift)} mm from where the detector has them: another geometry" in one for one in said
    )


def test_a_step_that_ends_elsewhere_than_at_a_wire_is_measured_from_the_wire_of_its_cell(make_file):
    step = make_step(0, 1, 2, 56)
    x, y, z = step["position_start"]
    step |= {"store": step["store"] | 1 << 4, "position_stop": make_point(x + 20, y + 20, z + 3)}
    assert brio.read(make_file({"SD": simulated(gg=[step])})).hits["drift_radius_mm"] == [5.0]


def test_wires_of_calibrated_hits_tell_another_geometry_too(make_file):
    hits = [calibrated(i, 1, i, 56, traits=32, x=153.0 + 44 * i, y=0.0) for i in range(3)]
    with pytest.warns(UserWarning, match="100.0 mm from where the detector has them"):
        brio.read(make_file({"CD": calibrated_bank(hits)}))


# ---- visible tracks


def test_a_visible_track_is_what_a_particle_has_of_cells_on_a_side(make_file):
    """Particle 3 crosses both sides, 5 is seen on one, 8 has two cells and 9 only a cell that did not fire."""
    steps = [make_step(0, 0, layer, 10, track=3) for layer in range(3)]
    steps += [make_step(0, 1, layer, 10, away=(1, 0), track=3) for layer in range(4)]
    steps += [make_step(0, 1, layer, 10, away=(2, 0), track=5) for layer in range(3)]
    steps += [make_step(0, 1, layer, 10, away=(0.5, 0), track=8) for layer in (0, 1)]
    steps += [make_step(0, 1, 8, 10, track=9)]
    cells = [(0, layer) for layer in range(3)] + [(1, layer) for layer in range(4)]
    hits = [calibrated(i, side, layer, 10) for i, (side, layer) in enumerate([*cells, (1, 7)])]
    path = make_file({"CD": calibrated_bank(hits), "SD": simulated(gg=steps)})
    ((events, details),) = brio.stream_details(path)
    assert events.info["n_tracks"] == [3] and events.info["n_particles"] == [4]
    # tracks in the order of particles and sides; strangers nearer to the wire change nothing
    assert events.hits["track"].tolist() == [0, 0, 0, 1, 1, 1, 1, -1]
    assert events.hits["second_track"].tolist() == [-1, -1, -1, 2, 2, 2, -1, -1]
    assert details["particle"].tolist() == [0, 0, 0, 0, 0, 0, 0, -1]

    assert brio.read(path, visible_cells=4).info["n_tracks"] == [1]
    ((events, details),) = brio.stream_details(path, visible_cells=5)
    assert events.info["n_tracks"] == [0] and set(events.hits["track"]) == {-1}
    assert details["particle"].tolist() == [0, 0, 0, 2, 2, 0, 0, -1]  # of the nearest one
    every = brio.read(path, visible_cells=1)
    assert every.info["n_tracks"] == [4] and every.hits["track"].tolist() == [
        0,
        0,
        0,
        3,
        3,
        1,
        1,
        -1,
    ]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 4), st.integers(1, 4)),
        max_size=40,
    ),
    st.integers(1, 5),
)
def test_visible_tracks_against_counting_by_hand(crossed, visible_cells):
    steps = [
        make_step(i, side, layer, column, away=(0.1 * i, 0), track=particle)
        for i, (side, layer, column, particle) in enumerate(crossed)
    ]
    hits, n_tracks = brio.tracker_hits({"SD": simulated(gg=steps)}, visible_cells)
    cells_of = {}
    for side, layer, column, particle in crossed:
        cells_of.setdefault((particle, side), set()).add((side, layer, column))
    visible = sorted(piece for piece, cells in cells_of.items() if len(cells) >= visible_cells)
    assert n_tracks == len(visible)
    for i, cell in enumerate(zip(hits["side"], hits["layer"], hits["column"], strict=True)):
        owners = [k for k, piece in enumerate(visible) if cell in cells_of[piece]]
        assert (hits["track"][i] in owners) if owners else hits["track"][i] == -1
        assert (
            (hits["second_track"][i] in owners)
            if len(owners) > 1
            else hits["second_track"][i] == -1
        )
        assert hits["second_track"][i] == -1 or hits["second_track"][i] != hits["track"][i]


# ---- trajectories and particles of all releases


def helix(radius=500.0):
    shape = {"tolerance": 1e-7, "angular_tolerance": 1e-9, "radius": radius}
    if not math.isnan(radius):
        shape |= {"center": make_point(1, 2, 3), "step": 50.0, "t1": -0.25, "t2": 0.125}
    return {"pattern_id": "helix", "helix": shape}


def polyline(n_points):
    points = [make_point(i, i + 1, i + 2) for i in range(n_points)]
    shape = {"tolerance": 1e-7, "angular_tolerance": 1e-9, "closed": n_points > 2, "points": points}
    return {"pattern_id": "polyline", "path": shape}


@pytest.mark.parametrize(
    "tracked", [TRACKED, (), Everything()], ids=["usual", "nothing", "everything"]
)
@pytest.mark.parametrize("pattern", [helix(), helix(NAN), polyline(0), polyline(3), None])
def test_every_pattern_of_a_trajectory_comes_back(pattern, tracked):
    banks = full_event()
    banks["TTD"]["default"]["trajectories"][0]["pattern"] = pattern
    assert plain(decoded(banks, tracked=tracked)) == plain(banks)


def of_falaise_5(banks):
    """The same event as Falaise 5 writes it, and the versions of its classes."""
    solution = banks["TTD"]["default"]
    solution["best"] = (1, 7)
    fit = {
        "algorithm": 1,
        "guess": "BBT",
        "t0": NAN,
        "chi2": 2.5,
        "ndof": 3,
        "pvalue": 0.5,
        "best": True,
    }
    solution["trajectories"][0] |= {"fit": fit}
    for particle in banks["PTD"]["particles"]:
        names = {"category": 2, "from": 1, "extrapolation": 2}
        ends = {"distance": 1.5, "distance_xy": NAN, "edge": True, "best": False}
        vertices = [
            {**make_hit(9, 1302, 0, 1), **names, "spot": spot, **ends}
            for spot in particle["vertices"]
        ]
        particle["vertices"] = vertices
    versions = ("tracker_trajectory", "tracker_trajectory_solution", "particle_track")
    return banks, dict.fromkeys(versions, 1)


@pytest.mark.parametrize(
    "tracked", [TRACKED, (), Everything()], ids=["usual", "nothing", "everything"]
)
def test_trajectories_and_particles_of_falaise_5_come_back(tracked):
    banks, versions = of_falaise_5(full_event())
    assert plain(decoded(banks, versions=versions, tracked=tracked)) == plain(banks)


@pytest.mark.parametrize("dimension", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", [-1, 0, 1, 2])
@pytest.mark.parametrize("placed", [True, False])
def test_vertices_of_every_dimension_and_rotation_come_back(dimension, kind, placed):
    banks = full_event()
    spot = banks["PTD"]["particles"][0]["vertices"][0]
    spot["dimension"] = dimension
    for axis in "xyz":
        if axis not in {0: "", 1: "z", 2: "xy", 3: "xyz"}[dimension]:
            del spot[f"sigma_{axis}"]
    spot["placement"] = dict(spot["placement"], rotation_kind=kind)
    if kind >= 0:
        del spot["placement"]["angles"]
        spot["placement"]["angle"] = 0.25
    if not placed:
        spot["store"] = 7
        del spot["placement"]
    assert plain(decoded(banks)) == plain(banks)


def several_fits(best_says):
    """Two clusters with three trajectories each, of which the second is the best of its cluster."""
    banks = full_event()
    solution = banks["TTD"]["default"]
    first = solution["trajectories"][0]
    clusters = banks["TCD"]["default"]["clusters"]
    fits = []
    for number in range(6):
        fit = dict(first, cluster=clusters[number // 3], hit_id=number, properties={})
        if number % 3 == 1:
            fit |= best_says
        fits.append(fit)
    solution["trajectories"] = fits
    return banks


@pytest.mark.parametrize(
    "best_says",
    [
        {"properties": {"default": True}},
        {"properties": {"best": True}},
        {"fit": {"best": True}},
        "numbers",
    ],
)
def test_the_best_trajectory_of_each_cluster_is_the_one_that_falaise_prefers(best_says):
    banks = several_fits({} if best_says == "numbers" else best_says)
    if best_says == "numbers":
        banks["TTD"]["default"]["best"] = (1, 4)
    assert [trajectory["hit_id"] for trajectory in brio.trajectories(banks)] == [1, 4]
    assert brio.trajectories({}) == brio.trajectories({"TTD": {"default": None}}) == []


def test_labels_of_trajectories_and_particles_stand_beside_those_of_clusters(make_file):
    banks = several_fits({"properties": {"default": True}})
    trajectories = banks["TTD"]["default"]["trajectories"]
    trajectories[1]["orphans"] = [banks["CD"]["tracker_hits"][0]]  # left out of the fit
    (particle,) = banks["PTD"]["particles"]
    without = dict(particle, trajectory=None)
    banks["PTD"]["particles"] = [without, None, dict(particle, trajectory=trajectories[4])]
    ((_, details),) = brio.stream_details(make_file(banks))
    assert details["cluster"].tolist() == [0, 0, 1, -1, -1]
    assert details["trajectory"].tolist() == [-1, 0, 1, -1, -1]
    assert details["reconstructed"].tolist() == [-1, -1, 1, -1, -1]
    ((_, details),) = brio.stream_details(make_file(banks), truth=False)
    assert {
        name: set(details[name]) for name in ("cluster", "trajectory", "reconstructed", "particle")
    } == {name: {-1} for name in ("cluster", "trajectory", "reconstructed", "particle")}


def test_calorimeter_hits_of_each_bank():
    calibrated_hits = [
        calibrated_calo(0),
        calibrated_calo(1, 1232, (0, 1, 0, 1, 15)),
        calibrated_calo(2, 1252, (0, 1, 1, 13)),
    ]
    found = brio.calo_hits({"CD": calibrated_bank([], calibrated_hits)})
    assert found["calo_type"].tolist() == [MAIN_WALL, X_WALL, GAMMA_VETO]
    assert found["side"].tolist() == [1, 1, 1] and found["wall"].tolist() == [-1, 0, 1]
    assert found["column"].tolist() == [3, 1, 13] and found["row"].tolist() == [5, 15, -1]
    assert (
        found["energy_mev"].tolist() == [1.25] * 3 and found["sigma_time_ns"].tolist() == [0.2] * 3
    )

    found = brio.calo_hits({"UDD": digitized([], [digitized_calo(0)])})
    assert (found["column"], found["row"], found["time_ns"]) == ([5], [8], [12500.0]) and np.isnan(
        found["energy_mev"]
    ).all()

    main, veto = (
        calo_step(0, 1302, 0, 1, 3, 5, 0, time=4.0),
        calo_step(1, 1252, 0, 1, 1, 13, energy=0.0),
    )
    found = brio.calo_hits(
        {"SD": simulated(calo=[main, calo_step(2, 1302, 0, 1, 3, 5, 1)], gveto=[veto])}
    )
    assert (found["column"], found["energy_mev"], found["time_ns"]) == ([3], [1.0], [2.0])
    assert len(brio.calo_hits({})["row"]) == 0


def test_a_calorimeter_hit_at_no_block_of_the_detector_has_fired_somewhere():
    places = [
        (1302, (0, 1, 20, 5, 0)),
        (1302, (0, 1, 3, 0xFFFFFFFE, 0)),
        (1302, (0, 1)),
        (1999, (0, 1, 2, 3)),
        (1252, (0, 1, 1, 16)),
        (1302, (0, 1, 19, 12, 0)),
    ]
    hits = [calibrated_calo(i, *place) for i, place in enumerate(places)]
    found = brio.calo_hits({"CD": calibrated_bank([], hits)})
    assert found["calo_type"].tolist() == [-1] * 5 + [MAIN_WALL]
    assert found["side"].tolist() == [-1] * 5 + [1] and found["row"].tolist() == [-1] * 5 + [12]
    assert found["energy_mev"].tolist() == [1.25] * 6


def test_blocks_of_the_table_are_the_calorimeter_hits_of_the_event(make_file):
    good = calibrated_calo(0, 1232, (0, 1, 0, 1, 15))
    bad = {**calibrated_calo(1, 1252, (0, 1, 1, 13)), "E": math.inf, "t": NAN}
    veto = calo_step(1, 1252, 0, 1, 1, 13)
    never = {**digitized_calo(0), "timestamp": NEVER}
    events = brio.read(
        make_file(
            {"CD": calibrated_bank([calibrated(0, 1, 2, 3)], [good, bad])},
            {"UDD": digitized([fired(0, 1, 2, 3)], [digitized_calo(0), never])},
            {"EH": header()},
            {
                "SD": simulated(
                    calo=[calo_step(0, 1302, 0, 1, 3, 5, 0)],
                    gveto=[veto],
                    gg=[make_step(0, 1, 2, 3)],
                )
            },
        )
    )
    blocks = events.blocks
    assert events.block_offsets.tolist() == [0, 2, 4, 4, 6]
    assert blocks["calo_type"].tolist() == [
        X_WALL,
        GAMMA_VETO,
        MAIN_WALL,
        MAIN_WALL,
        MAIN_WALL,
        GAMMA_VETO,
    ]
    assert blocks["wall"].tolist() == [0, 1, -1, -1, -1, 1]
    np.testing.assert_array_equal(blocks["energy_mev"], np.float32([1.25, NAN, NAN, NAN, 0.5, 0.5]))
    np.testing.assert_array_equal(blocks["time_ns"], [3.0, NAN, 12500.0, NAN, 2.0, 2.0])
    assert set(blocks["track"]) == {-1}


def test_settings_of_the_programs_that_wrote_a_file(tmp_path):
    lists = [{"application": "flsimulate", "values": (1.0, 2.0)}, {}]
    records = [record(property_list(values), "datatools::properties") for values in lists]
    assert brio.metadata(write_file(tmp_path / "settings.brio", [], records)) == lists


# ---- real files


@pytest.fixture(scope="module")
def real():
    """All events of the real files, every bank decoded to the last byte."""
    return {path: list(brio.iter_events(path)) for path in (RUN_724, SIMULATED, RECONSTRUCTED)}


@pytest.mark.real
def test_real_files_hold_these_banks(real):
    names = {path: {tuple(banks) for banks in events} for path, events in real.items()}
    assert names == {
        RUN_724: {("EH", "UDD")},
        SIMULATED: {("SD",)},
        RECONSTRUCTED: {("CD", "PTD", "SD", "TCD", "TTD")},
    }
    assert [len(events) for events in real.values()] == [10, 3, 10]
    assert [len(brio.metadata(path)) for path in real] == [4, 12, 4]


@pytest.mark.real
def test_real_events_survive_being_encoded_again(real):
    for events in real.values():
        for banks in events[:3]:
            for hit in banks.get("UDD", {}).get("calorimeter_hits", []):
                hit["waveform"] = ()
            assert plain(decoded(banks, versions={"tracker_cluster": 0})) == plain(banks)


@pytest.mark.real
@pytest.mark.parametrize("model", drift.MODELS)
def test_drift_times_of_run_724_are_those_of_cells(real, model):
    radius = brio.read(RUN_724, drift_model=model).hits["drift_radius_mm"]
    known = radius[np.isfinite(radius)]
    assert len(known) > 130 and (known < 22).mean() > 0.8
    # a track passes a wire at any distance: as many near as far
    counts, _ = np.histogram(known, [0, 11, 22])
    assert (counts > 0.3 * len(known)).all()


@pytest.mark.real
def test_run_724_has_161_hits_98_of_them_with_both_cathodes():
    ((events, details),) = brio.stream_details(RUN_724)
    assert events.n_hits.sum() == 161
    assert np.isfinite(events.hits["z_mm"]).sum() == 98
    assert (
        np.abs(events.hits["z_mm"][np.isfinite(events.hits["z_mm"])]).max()
        <= EFFECTIVE_LENGTH_MM / 2
    )
    assert set(events.info["run"]) == {724} and events.info["event"].tolist() == list(range(10))
    assert np.isfinite(details["anode_time_ns"]).sum() == 159
    crossing = (details["bottom_time_ns"] + details["top_time_ns"])[
        np.isfinite(events.hits["z_mm"])
    ]
    # the plasma runs along the whole wire in about 50 us
    assert crossing.min() > 3e4 and crossing.max() < 1e5


@pytest.mark.real
@pytest.mark.parametrize("path", [RUN_724, SIMULATED, RECONSTRUCTED], ids=lambda path: path.name)
@pytest.mark.parametrize("chunk", [3, 1000])
def test_blocks_of_a_real_file_are_its_calorimeter_hits(real, path, chunk):
    events = concatenate(brio.stream(path, chunk))
    found = [brio.calo_hits(banks) for banks in real[path]]
    assert np.diff(events.block_offsets).tolist() == [len(hits["row"]) for hits in found]
    for name in ("calo_type", "side", "wall", "column", "row", "energy_mev", "time_ns"):
        values = np.concatenate([hits[name] for hits in found])
        np.testing.assert_array_equal(events.blocks[name], values.astype(events.blocks[name].dtype))
    assert len(events.blocks["row"]) > 5 and (events.blocks["calo_type"] >= 0).all()


@pytest.mark.real
def test_waveforms_of_run_724_have_1024_samples_and_do_not_change_the_rest(real):
    for banks, stepped_over in zip(
        brio.iter_events(RUN_724, waveforms=True), real[RUN_724], strict=True
    ):
        for hit in banks["UDD"]["calorimeter_hits"]:
            assert (
                hit["waveform"].shape == (1024,)
                and 0 < hit["waveform"].min() < hit["waveform"].max() < 4096
            )
            hit["waveform"] = None
        for hit in stepped_over["UDD"]["calorimeter_hits"]:
            hit["waveform"] = None
        assert banks == stepped_over


@pytest.mark.real
def test_true_steps_lie_in_their_cell_around_their_wire(real):
    steps = [
        step
        for path in (SIMULATED, RECONSTRUCTED)
        for banks in real[path]
        for step in banks["SD"]["step_hits"]["gg"]
    ]
    assert len(steps) == 420
    _, side, layer, column = np.array([step["geom_id"]["address"] for step in steps]).T
    wire = np.stack([np.where(side == 0, -1, 1) * (53 + 44 * layer), (column - 56) * 44], 1)
    start, stop = (
        np.array([step[name] for step in steps]) for name in ("position_start", "position_stop")
    )
    np.testing.assert_allclose(stop[:, :2], wire, atol=1e-6)
    assert np.abs(start[:, :2] - wire).max() <= CELL_MM / 2
    assert set(np.sign(start[side == 0, 0])) == {-1}
    np.testing.assert_array_equal(start[:, 2], stop[:, 2])


@pytest.mark.real
def test_calibrated_hits_are_at_their_wire_and_near_the_truth(real):
    hits = [hit for banks in real[RECONSTRUCTED] for hit in banks["CD"]["tracker_hits"]]
    _, side, layer, column = np.array([hit["geom_id"]["address"] for hit in hits]).T
    np.testing.assert_allclose(
        [hit["x"] for hit in hits], np.where(side == 0, -1, 1) * (53 + 44 * layer)
    )
    np.testing.assert_allclose([hit["y"] for hit in hits], (column - 56) * 44)

    events = brio.read(RECONSTRUCTED)
    assert events.n_hits.sum() == len(hits) == 207
    every = brio.read(RECONSTRUCTED, visible_cells=1)
    assert (every.hits["track"] >= 0).all()  # this simulation makes no noise
    truth = {}
    for i, banks in enumerate(real[RECONSTRUCTED]):
        found, _ = brio.tracker_hits({"SD": banks["SD"]})
        cells = zip(found["side"], found["layer"], found["column"], strict=True)
        truth |= {(i, *cell): r for cell, r in zip(cells, found["drift_radius_mm"], strict=True)}
    cells = zip(
        events.hit_event, *(events.hits[name] for name in ("side", "layer", "column")), strict=True
    )
    pull = (events.hits["drift_radius_mm"] - [truth[cell] for cell in cells]) / 0.7
    assert np.median(np.abs(pull)) < 1.5


@pytest.mark.real
def test_clusters_of_the_cellular_automaton_consist_of_calibrated_hits(real):
    n_clusters = [len(brio.clusters(banks)) for banks in real[RECONSTRUCTED]]
    assert n_clusters == [3, 3, 1, 1, 2, 1, 1, 1, 1, 3]
    n_shared = 0
    for banks in real[RECONSTRUCTED]:
        hits, _ = brio.tracker_hits(banks)
        cells = list(zip(hits["side"], hits["layer"], hits["column"], strict=True))
        found = [set(map(tuple, cluster)) for cluster in brio.clusters(banks)]
        assert {
            cell for cell, label in zip(cells, hits["cluster"], strict=True) if label >= 0
        } == set().union(*found)
        assert all(
            cell in found[label]
            for cell, label in zip(cells, hits["cluster"], strict=True)
            if label >= 0
        )
        assert (hits["cluster"] < 0).sum() == len(banks["TCD"]["default"]["unclustered"])
        n_shared += sum(map(len, found)) - len(set().union(*found))
    assert n_shared == 4  # the automaton lets clusters share hits


def read_whole(path):
    for banks in brio.iter_events(path, waveforms=True):
        with suppress(ValueError):  # banks know no file
            use_everything(banks)
    brio.read(path)


@pytest.mark.real
@pytest.mark.parametrize("path", [RUN_724, SIMULATED, RECONSTRUCTED], ids=lambda path: path.name)
def test_a_real_file_truncated_anywhere_is_a_value_error(path, tmp_path):
    whole, rng, broken = path.read_bytes(), np.random.default_rng(1), tmp_path / "broken.brio"
    for end in [len(whole) - 1, *rng.integers(len(whole), size=199)]:
        broken.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"broken\.brio: "):
            read_whole(broken)


def flip(data, rng):
    """Change a byte."""
    data[rng.integers(len(data))] ^= rng.integers(1, 256)


def overwrite(data, rng):
    """Put up to 1000 bytes from another place, or random ones."""
    n = rng.integers(1, 1000)
    start, at = rng.integers(len(data) - n, size=2)
    data[at : at + n] = data[start : start + n] if rng.random() < 0.5 else rng.bytes(n)


def n_refused(whole, damage, broken):
    """Of 200 damaged files, how many are an error that names the file; the others are read."""
    rng, n = np.random.default_rng(2), 0
    for _ in range(200):
        data = bytearray(whole)
        damage(data, rng)
        broken.write_bytes(data)
        try:
            read_whole(broken)
        except ValueError as error:
            assert str(error).startswith(f"{broken}: ") and "RecursionError" not in str(error)
            n += 1
    return n


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*(not understood|another geometry)")
@pytest.mark.parametrize("damage", [flip, overwrite])
@pytest.mark.parametrize("path", [RUN_724, SIMULATED, RECONSTRUCTED], ids=lambda path: path.name)
def test_a_real_event_in_a_damaged_file_is_read_or_a_value_error(path, damage, tmp_path):
    with files.open_root(path) as file:
        smallest = min(brio._each_entry(file, "ER", lambda entry, raw: raw), key=len)
    whole = write_file(tmp_path / "whole.brio", [smallest]).read_bytes()
    assert 0 < n_refused(whole, damage, tmp_path / "broken.brio") <= 200


def n_read(archive, damage, path, n_tries):
    """Of damaged archives, how many still give a table; the others are one clear error."""
    rng = np.random.default_rng(6)
    n = 0
    for _ in range(n_tries):
        data = bytearray(archive)
        damage(data, rng)
        write_file(path, [record(bytes(data))])
        try:
            ((events, details),) = brio.stream_details(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            continue
        assert (
            events.info["n_tracks"] >= -1
            and (events.hits["track"] < max(events.info["n_tracks"], 1)).all()
        )
        assert all(len(values) == events.hit_offsets[-1] for values in details.values())
        n += 1
    return n


@pytest.mark.filterwarnings("ignore:.*(not understood|another geometry)")
@pytest.mark.parametrize("damage", [flip, overwrite])
@pytest.mark.parametrize("unknown", [None, COMMON_CONTENTS[3]])
def test_a_damaged_event_of_falaise_5_gives_hits_or_a_value_error(damage, unknown, tmp_path):
    banks, versions = of_falaise_5(full_event())
    banks["TTD"]["default"]["trajectories"].append(
        dict(banks["TTD"]["default"]["trajectories"][0], pattern=helix(), hit_id=2)
    )
    if unknown:
        banks = dict(sorted((banks | {"SC": unknown}).items()))
    archive = event(banks, versions=versions, classes={"SC": "unheard_of"})
    assert n_read(archive, damage, tmp_path / "broken.brio", 50) > 5


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*(not understood|another geometry)")
@pytest.mark.parametrize("damage", [flip, overwrite])
@pytest.mark.parametrize(
    "name",
    ["falaise4_cd_ptd_helix.brio", "falaise5_particle_track_v1.brio", "falaise_ssd_bank.brio"],
)
def test_a_damaged_event_of_a_case_gives_hits_or_a_value_error(name, damage, tmp_path):
    with files.open_root(DATA.parent / "cases" / name) as file:
        entries = list(brio._each_entry(file, "ER", lambda entry, raw: raw))
    archive = brio.archive_of(sorted(entries, key=len)[len(entries) // 4], "datatools::things")
    assert n_read(archive, damage, tmp_path / "broken.brio", 40) > 3


@pytest.mark.real
@pytest.mark.parametrize("damage", [flip, overwrite])
def test_a_damaged_compressed_file_is_read_or_a_value_error(damage, tmp_path):
    assert n_refused(RUN_724.read_bytes(), damage, tmp_path / "broken.brio") > 150
