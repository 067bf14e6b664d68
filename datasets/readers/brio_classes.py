"""The classes in `.brio` archives: for each its highest known version, and its fields in the order of the
archive.

A newer version may look different and is refused. Lengths are in mm, times in ns (ticks in the digitized
hits), energies in MeV. Nothing here contains itself, not even through pointers, so a damaged archive cannot
nest without end.
"""

from functools import partial
from math import isnan

from datasets.events import MOST_HITS
from datasets.geometry import N_CELLS
from datasets.readers.boost_archive import (
    Archive,
    Class,
    Unknown,
    array,
    bit,
    boolean,
    double,
    handle,
    i32,
    i64,
    mapping,
    numbers,
    pair,
    record,
    since,
    string,
    u32,
    vector,
    waveform,
)


def check_n_hits(n, error):
    """Refuse a list of more hits than a tracker can have, before there is an object for each; `error` makes
    an error of a text.
    """
    if n > MOST_HITS:
        raise error(f"{n} hits, but the tracker has {N_CELLS} cells")


any_integer = Archive.integer
SERIALIZABLE = Class("i_serializable", 0, lambda archive, version: {})
BASE = ("", SERIALIZABLE)


def _data(archive, version):
    """The value of a property; a tuple if it is a vector. Its description and unit are left out."""
    string(archive)
    flags = archive.integer()
    if flags & 7 not in VALUES:
        raise archive.error(f"a property of type {flags & 7}")
    values = tuple(VALUES[flags & 7](archive))
    if flags & 8:
        string(archive)
    return values[0] if len(values) == 1 and not flags & 0x80 else values


VALUES = {1: numbers(boolean), 2: numbers(i32), 3: numbers(double), 4: vector(string).read}
DATA = Class("data", 2, _data)
PROPERTIES = record(
    "properties",
    2,
    BASE,
    ("description", string),
    ("data", mapping(DATA)),
    finish=lambda values: values["data"],
)
VECTOR_3D = Class(
    "vector_3d", 0, lambda archive, version: (double(archive), double(archive), double(archive))
)
GEOM_ID = record("geom_id", 1, BASE, ("type", u32), ("address", numbers(u32)))
BASE_HIT = record(
    "base_hit",
    1,
    BASE,
    ("store", u32),
    ("hit_id", i32, bit(0)),
    ("geom_id", GEOM_ID, bit(1)),
    ("properties", PROPERTIES, bit(2)),
)
HIT = ("", BASE_HIT)

# EH. The time of day was never met in a file; its fields are those that Boost documents for posix_time.
NO_DATES = ("not-a-date-time", "+infinity", "-infinity")
DATE = record("date", 0, ("date", string), finish=lambda values: values["date"])
TIME_OF_DAY = record(
    "time_duration",
    1,
    ("is_special", boolean),
    ("special", string, lambda values, version: values["is_special"]),
    *[
        (name, any_integer, lambda values, version: not values["is_special"])
        for name in ("hours", "minutes", "seconds", "fraction")
    ],
)
PTIME = record(
    "ptime",
    0,
    ("date", DATE),
    ("time", TIME_OF_DAY, lambda values, version: values["date"] not in NO_DATES),
)
EVENT_HEADER = record(
    "snemo::datamodel::event_header",
    2,
    BASE,
    ("event_id", record("event_id", 1, BASE, ("run", i32), ("event", i32))),
    ("generation", any_integer),  # 0 real, 1 simulated
    ("timestamp", record("timestamp", 1, BASE, ("s", i64), ("ps", i64))),
    ("properties", PROPERTIES),
    ("mc_run_id", any_integer, since(2)),
    ("ptime", PTIME, since(2)),
)

# UDD
CALO_DIGITIZED = record(
    "calorimeter_digitized_hit",
    0,
    HIT,
    ("timestamp", i64),  # ticks of 6.25 ns
    ("low_threshold_only", boolean),
    ("high_threshold", boolean),
    *[(name, any_integer) for name in ("fcr", "lt_trigger_counter", "lt_time_counter")],
    ("waveform", waveform, bit(3)),
    *[
        (name, any_integer, bit(4 + i))
        for i, name in enumerate(("baseline", "peak_amplitude", "peak_cell", "charge"))
    ],
    *[(name, any_integer, bit(8 + i)) for i, name in enumerate(("rising_cell", "falling_cell"))],
    (
        "origin",
        record("calorimeter origin", 0, ("hit", any_integer), ("trigger", any_integer)),
        bit(10),
    ),
)
TRACKER_ORIGIN = record("tracker origin", 0, ("hit", any_integer), ("trigger", any_integer))
GG_TIMES = record(  # ticks of 12.5 ns
    "gg_times",
    0,
    ("origin", array(TRACKER_ORIGIN)),
    ("anode", array(i64)),
    ("bottom_origin", TRACKER_ORIGIN),
    ("bottom", i64),
    ("top_origin", TRACKER_ORIGIN),
    ("top", i64),
)
TRACKER_DIGITIZED = record("tracker_digitized_hit", 0, HIT, ("times", vector(GG_TIMES)))
UNIFIED_DIGITIZED_DATA = record(
    "snemo::datamodel::unified_digitized_data",
    0,
    BASE,
    ("run", i32),
    ("event", i32),
    ("ref_timestamp", i64),
    ("calorimeter_hits", vector(handle(CALO_DIGITIZED))),
    ("tracker_hits", vector(handle(TRACKER_DIGITIZED), check=check_n_hits)),
    ("trigger_ids", numbers(i32, "set")),
    ("properties", PROPERTIES),
)

# SD
PARTICLE = record(
    "primary_particle",
    4,
    BASE,
    ("generation_id", any_integer, since(4)),
    ("type", any_integer),
    ("pdg", any_integer, since(3)),
    ("label", string, lambda values, version: version >= 3 or values["type"] == 0),
    ("time", double),
    ("momentum", VECTOR_3D),
    ("vertex", VECTOR_3D, since(2)),
    ("properties", PROPERTIES, since(3)),
)
PRIMARY_EVENT = record(
    "primary_event",
    5,
    BASE,
    ("label", string, since(3)),
    ("time", double),
    ("vertex", VECTOR_3D, since(5)),
    ("particles", vector(PARTICLE, "list")),
    ("classification", string),
    ("weight", double, since(2)),
    ("properties", PROPERTIES, since(4)),
)
STEP = record(
    "base_step_hit",
    2,
    HIT,
    ("position_start", VECTOR_3D, bit(3)),
    ("position_stop", VECTOR_3D, bit(4)),
    ("time_start", double, bit(5)),
    ("time_stop", double, bit(6)),
    ("momentum_start", VECTOR_3D, bit(7)),
    ("momentum_stop", VECTOR_3D, bit(8)),
    ("energy_deposit", double, bit(9)),
    ("particle", string, bit(10)),
    ("biasing_weight", double, bit(11, first=1)),
    ("kinetic_energy_start", double, bit(12, first=2)),
    ("kinetic_energy_stop", double, bit(13, first=2)),
    ("step_length", double, bit(14, first=2)),
    ("entering", boolean, bit(15, first=2)),
    ("leaving", boolean, bit(16, first=2)),
    ("process", string, bit(17, first=2)),
    *[(f"flag_{i}", boolean, bit(i, first=2)) for i in (18, 19, 20)],
    ("track_id", i32, bit(21, first=2)),
    ("parent_id", i32, bit(22, first=2)),
    *[(f"string_{i}", string, bit(i, first=2)) for i in (23, 24, 25)],
    ("copy_number", any_integer, bit(26, first=2)),
    ("string_27", string, bit(27, first=2)),
    ("flag_28", boolean, bit(28, first=2)),
)


def _collection_type(archive):
    kind = archive.integer()
    if kind != 1:
        raise archive.error(f"steps of collection type {kind}, only 1 (handles) is known", Unknown)
    return kind


SIMULATED_DATA = record(
    "mctools::simulated_data",
    3,
    BASE,
    ("vertex", VECTOR_3D),
    ("time", double, since(3)),
    ("primary_event", PRIMARY_EVENT),
    ("properties", PROPERTIES),
    ("collection_type", _collection_type),
    ("step_hits", mapping(vector(handle(STEP)))),
)

# CD
CALO_CALIBRATED = record(
    "calibrated_calorimeter_hit",
    0,
    HIT,
    *[(name, double) for name in ("E", "sigma_E", "t", "sigma_t")],
)


def _old(values, version):
    return version == 0


def _trait(mask):
    return lambda values, version: values["traits"] & mask


TRACKER_CALIBRATED = record(
    "calibrated_tracker_hit",
    1,
    HIT,
    *[(name, double, _old) for name in ("r", "sigma_r", "z", "sigma_z", "x", "y")],
    ("traits", any_integer),
    *[(name, double, since(1)) for name in ("r", "sigma_r", "z", "sigma_z")],
    *[
        (name, double, lambda values, version: version >= 1 and values["traits"] & 32)
        for name in ("x", "y")
    ],
    *[(name, double, _trait(1)) for name in ("delayed_time", "sigma_delayed_time")],
)
CALIBRATED_HITS = vector(handle(TRACKER_CALIBRATED), check=check_n_hits)
CALIBRATED_DATA = record(
    "snemo::datamodel::calibrated_data",
    1,
    BASE,
    ("calorimeter_hits", vector(handle(CALO_CALIBRATED))),
    ("tracker_hits", CALIBRATED_HITS),
    ("properties", PROPERTIES),
)

# TCD
CLUSTER = record(
    "tracker_cluster", 1, HIT, ("hits", CALIBRATED_HITS), ("delayed", boolean, since(1))
)
CLUSTERING_SOLUTION = record(
    "tracker_clustering_solution",
    0,
    ("id", any_integer),
    ("clusters", vector(handle(CLUSTER))),
    ("unclustered", CALIBRATED_HITS),
    ("properties", PROPERTIES),
)
TRACKER_CLUSTERING_DATA = record(
    "snemo::datamodel::tracker_clustering_data",
    0,
    ("solutions", vector(handle(CLUSTERING_SOLUTION))),
    ("default", handle(CLUSTERING_SOLUTION)),
    ("properties", PROPERTIES),
)

# TTD and PTD, as all releases of Falaise since 3.0 write them
OBJECT_3D = record("i_object_3d", 0, ("tolerance", double), ("angular_tolerance", double))
SHAPE_1D = record("i_shape_1d", 0, ("", OBJECT_3D))
LINE = record("line_3d", 2, ("", SHAPE_1D), ("first", VECTOR_3D), ("last", VECTOR_3D))


def _has_radius(values, version):
    return not isnan(values["radius"])


HELIX = record(
    "helix_3d",
    2,
    ("", SHAPE_1D),
    ("radius", double),
    ("center", VECTOR_3D, _has_radius),
    ("step", double, _has_radius),  # height of a turn
    ("t1", double, _has_radius),  # angles of the ends, in turns
    ("t2", double, _has_radius),
)
POLYLINE = record(
    "polyline_3d", 2, ("", SHAPE_1D), ("closed", boolean), ("points", vector(VECTOR_3D, "list"))
)
PATTERN = record("base_trajectory_pattern", 0, ("pattern_id", string))
LINE_PATTERN = record(
    "snemo::datamodel::line_trajectory_pattern", 0, ("", PATTERN), ("segment", LINE)
)
HELIX_PATTERN = record(
    "snemo::datamodel::helix_trajectory_pattern", 0, ("", PATTERN), ("helix", HELIX)
)
POLYLINE_PATTERN = record(
    "snemo::datamodel::polyline_trajectory_pattern", 0, ("", PATTERN), ("path", POLYLINE)
)
FIT = record(
    "track_fit_infos",
    0,
    BASE,
    ("algorithm", any_integer),  # 0 line, 1 helix
    ("guess", string),
    *[(name, double) for name in ("t0", "chi2")],
    ("ndof", u32),
    ("pvalue", double),
    ("best", boolean),
)
TRAJECTORY = record(
    "tracker_trajectory",
    1,
    HIT,
    ("cluster", handle(CLUSTER)),
    ("orphans", CALIBRATED_HITS),
    ("pattern", handle(LINE_PATTERN, HELIX_PATTERN, POLYLINE_PATTERN, abstract=True)),
    ("fit", FIT, since(1)),
)
TRAJECTORY_SOLUTION = record(
    "tracker_trajectory_solution",
    1,
    ("id", any_integer),
    ("clustering", handle(CLUSTERING_SOLUTION)),
    ("trajectories", vector(handle(TRAJECTORY))),
    ("unfitted", vector(handle(CLUSTER))),
    ("properties", PROPERTIES),
    ("best", numbers(i32, "set"), since(1)),  # numbers of trajectories
)
TRACKER_TRAJECTORY_DATA = record(
    "snemo::datamodel::tracker_trajectory_data",
    0,
    ("solutions", vector(handle(TRAJECTORY_SOLUTION))),
    ("default", handle(TRAJECTORY_SOLUTION)),
    ("properties", PROPERTIES),
)
AXES = (0, 1, 2)  # around which a simple rotation turns
ROTATION = Class("rotation_3d", 0, lambda archive, version: _doubles(archive, 9))


def _doubles(archive, n):
    return tuple([double(archive) for _ in range(n)])


PLACEMENT = record(
    "placement",
    0,
    ("", Class("i_placement", 0, lambda archive, version: {})),
    ("translation", VECTOR_3D),
    ("rotation_kind", any_integer),
    ("angles", partial(_doubles, n=3), lambda values, version: values["rotation_kind"] not in AXES),
    ("angle", double, lambda values, version: values["rotation_kind"] in AXES),
    ("rotation", ROTATION),
    ("inverse_rotation", ROTATION),
)


def _dimension(*dimensions):
    return lambda values, version: values["dimension"] in dimensions


SPOT = record(
    "blur_spot",
    1,
    HIT,
    ("dimension", any_integer),
    ("tolerance", double),
    ("placement", PLACEMENT, bit(3)),
    ("sigma_x", double, _dimension(2, 3)),
    ("sigma_y", double, _dimension(2, 3)),
    ("sigma_z", double, _dimension(1, 3)),
)
VERTEX = record(
    "vertex",
    0,
    HIT,
    *[(name, any_integer) for name in ("category", "from", "extrapolation")],
    ("spot", SPOT),
    *[(name, double) for name in ("distance", "distance_xy")],
    *[(name, boolean) for name in ("edge", "best")],
)
PARTICLE_TRACK = record(
    "particle_track",
    1,
    HIT,
    ("charge", any_integer),
    ("trajectory", handle(TRAJECTORY)),
    ("vertices", vector(handle(SPOT)), lambda values, version: version == 0),
    ("vertices", vector(handle(VERTEX)), since(1)),
    ("calorimeter_hits", vector(handle(CALO_CALIBRATED))),
)
PARTICLE_TRACK_DATA = record(
    "snemo::datamodel::particle_track_data",
    0,
    ("particles", vector(handle(PARTICLE_TRACK))),
    ("isolated_calorimeter_hits", vector(handle(CALO_CALIBRATED))),
    ("properties", PROPERTIES),
)

BANKS = {
    "CD": CALIBRATED_DATA,
    "EH": EVENT_HEADER,
    "PTD": PARTICLE_TRACK_DATA,
    "SD": SIMULATED_DATA,
    "TCD": TRACKER_CLUSTERING_DATA,
    "TTD": TRACKER_TRAJECTORY_DATA,
    "UDD": UNIFIED_DIGITIZED_DATA,
}

# Types of several banks, as (tracked, version) of all releases: what bytes that were skipped may have announced
COMMON = {
    BASE_HIT: (1, 1),
    GEOM_ID: (1, 1),
    PROPERTIES: (1, 2),
    mapping(DATA): (0, 0),
    pair(DATA): (0, 0),
    DATA: (0, 2),
    VECTOR_3D: (0, 0),
    vector(string): (0, 0),
    numbers(u32): (0, 0),
    VALUES[1]: (0, 0),
    VALUES[2]: (0, 0),
    VALUES[3]: (0, 0),
}
