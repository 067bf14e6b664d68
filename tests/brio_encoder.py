"""Write `.brio` records for tests, step by step as the description of the format tells it; shares nothing
with the reader.

Objects are the dictionaries that the reader gives; a dictionary that is written twice becomes a
back-reference.
"""

import struct

import awkward as ak
import numpy as np
import uproot

VERSIONS = {
    "things": 1,
    "properties": 2,
    "data": 2,
    "geom_id": 1,
    "base_hit": 1,
    "event_header": 2,
    "event_id": 1,
    "timestamp": 1,
    "simulated_data": 3,
    "primary_event": 5,
    "primary_particle": 4,
    "base_step_hit": 2,
    "calibrated_data": 1,
    "calibrated_tracker_hit": 1,
    "tracker_cluster": 1,
    "line_3d": 2,
    "helix_3d": 2,
    "polyline_3d": 2,
    "blur_spot": 1,
}
TRACKED = {
    "things",
    "properties",
    "geom_id",
    "base_hit",
    "event_header",
    "simulated_data",
    "primary_event",
    "base_step_hit",
    "unified_digitized_data",
    "calorimeter_digitized_hit",
    "tracker_digitized_hit",
    "calibrated_data",
    "calibrated_calorimeter_hit",
    "calibrated_tracker_hit",
    "tracker_cluster",
    "tracker_clustering_solution",
    "tracker_clustering_data",
    "tracker_trajectory",
    "line_trajectory_pattern",
    "line_3d",
    "helix_trajectory_pattern",
    "helix_3d",
    "polyline_trajectory_pattern",
    "polyline_3d",
    "vertex",
    "tracker_trajectory_solution",
    "tracker_trajectory_data",
    "particle_track",
    "blur_spot",
    "placement",
    "particle_track_data",
}
BANKS = {
    "CD": "calibrated_data",
    "EH": "event_header",
    "PTD": "particle_track_data",
    "SD": "simulated_data",
    "TCD": "tracker_clustering_data",
    "TTD": "tracker_trajectory_data",
    "UDD": "unified_digitized_data",
}


def integer(value):
    if value == 0:
        return b"\0"
    size = 1
    while not -(1 << 8 * size) <= value < 1 << 8 * size:
        size += 1
    sign = -size if value < 0 else size
    return struct.pack("b", sign) + (value % (1 << 8 * size)).to_bytes(size, "little")


def double(value):
    return integer(int.from_bytes(struct.pack("<d", value), "little"))


def string(value):
    return integer(len(value.encode())) + value.encode()


def boolean(value):
    return b"\1T" if value else b"\0"


def record(archive, name="datatools::things"):
    """The entry of ROOT's `brio_record` around an archive."""
    length = bytes([len(name)]) if len(name) < 255 else b"\xff" + struct.pack(">I", len(name))
    return (
        struct.pack(">HII", 1, 0, 0x02000000)
        + length
        + name.encode()
        + struct.pack(">II", 0, len(archive))
        + archive
    )


def write_file(path, records, properties=()):
    """A file with the trees ER and GI; baskets of two entries, not compressed, so that damage to the file
    reaches the archives.
    """
    with uproot.recreate(path, compression=None) as file:
        for tree, entries in (("GI", properties), ("ER", records)):
            file.mktree(tree, {"record": "var * uint8"})
            for basket in (entries[i : i + 2] for i in range(0, len(entries), 2)):
                array = ak.unflatten(
                    np.frombuffer(b"".join(basket), np.uint8), [len(entry) for entry in basket]
                )
                file[tree].extend({"record": array})
    return path


class Encoder:
    """An archive being written; `versions`, `tracked` and `null` (the class id of a null pointer) as a release of
    Falaise had them.
    """

    def __init__(self, versions=None, tracked=TRACKED, null=-1):
        self.out = bytearray(b"\x7f" + integer(18))
        self.versions, self.tracked = {**VERSIONS, **(versions or {})}, tracked
        self.ids, self.announced, self.numbers, self.n_objects = {}, set(), {}, 0
        self.null = null

    def put(self, *pieces):
        for piece in pieces:
            self.out += piece

    def class_id(self, name):
        return self.ids.setdefault(name, len(self.ids))

    def start(self, name, thing=None, short=None):
        """Class information if it is new, object number if tracked; False if only a back-reference was
        written.
        """
        self.class_id(name)
        short = short or name.split("::")[-1]
        if name not in self.announced:
            self.announced.add(name)
            self.put(
                integer(short in self.tracked),
                integer(self.versions.get(short, 1 if name.startswith("shared_ptr") else 0)),
            )
        if short not in self.tracked:
            return True
        key = (name, id(thing))
        if thing is not None and key in self.numbers:
            self.put(integer(self.numbers[key]))
            return False
        self.numbers[key] = self.n_objects
        self.put(integer(self.n_objects))
        self.n_objects += 1
        return True

    def base(self):
        self.start("i_serializable")

    def version(self, name):
        return self.versions.get(name, 0)

    def items(self, name, things, write):
        """A vector or a list of objects."""
        if self.start(name):
            self.put(integer(len(things)), integer(0))
            for thing in things:
                write(thing)

    def simple(self, name, values, write):
        """A vector or a set of numbers."""
        self.class_id(name)
        self.put(
            integer(len(values)), b"" if name == "vector<bool>" else integer(0), *map(write, values)
        )

    def pointer(self, name, thing, write, spelled=False):
        """`spelled`: the class that the pointer declares is abstract, so a new class is called by its full
        name.
        """
        if not spelled:
            self.class_id(name)
        if thing is None:
            self.put(integer(self.null))
            return
        new = name not in self.ids
        self.put(integer(self.class_id(name)))
        if new:
            self.put(string(name))
        if self.start(name, thing):
            write(thing)

    def handle(self, name, thing, write, of=None):
        """`of`: the abstract class of the handle, where there is one."""
        self.start(f"handle<{of or name}>")
        self.start(f"shared_ptr<{of or name}>")
        self.pointer(name, thing, write, spelled=bool(of))

    def handles(self, name, things, write):
        self.items(f"vector<handle<{name}>>", things, lambda thing: self.handle(name, thing, write))

    # -- classes of all banks

    def point(self, values):
        self.start("vector_3d")
        self.put(*map(double, values))

    def properties(self, values):
        if not self.start("properties", values):
            return
        self.base()
        self.put(string("a description"))
        self.start("map<string,data>")
        self.put(integer(len(values)), integer(0))
        for name, value in values.items():
            self.start("pair<string,data>")
            self.put(string(name))
            self.start("data")
            self.data(value)

    def data(self, value):
        several = isinstance(value, tuple)
        values = value if several else (value,)
        kind = {bool: 1, int: 2, float: 3, str: 4}[type(values[0]) if values else int]
        unit = kind == 3
        self.put(string(""), integer(kind | 8 * unit | 0x80 * several))
        if kind == 4:
            self.items("vector<string>", values, lambda text: self.put(string(text)))
        else:
            name, write = {1: ("bool", boolean), 2: ("int", integer), 3: ("double", double)}[kind]
            self.simple(f"vector<{name}>", values, write)
        if unit:
            self.put(string("mm"))

    def hit(self, hit):
        self.start("base_hit")
        self.base()
        self.put(integer(hit["store"]))
        if hit["store"] & 1:
            self.put(integer(hit["hit_id"]))
        if hit["store"] & 2 and self.start("geom_id", hit["geom_id"]):
            self.base()
            self.put(integer(hit["geom_id"]["type"]))
            self.simple("vector<u32>", hit["geom_id"]["address"], integer)
        if hit["store"] & 4:
            self.properties(hit["properties"])

    # -- EH

    def event_header(self, header):
        self.base()
        self.start("event_id")
        self.base()
        self.put(
            integer(header["event_id"]["run"]),
            integer(header["event_id"]["event"]),
            integer(header["generation"]),
        )
        self.start("timestamp")
        self.base()
        self.put(integer(header["timestamp"]["s"]), integer(header["timestamp"]["ps"]))
        self.properties(header["properties"])
        if self.version("event_header") >= 2:
            self.put(integer(header["mc_run_id"]))
            self.start("ptime")
            self.start("date")
            self.put(string(header["ptime"]["date"]))
            if "time" in header["ptime"]:
                self.start("time_duration")
                self.put(
                    boolean(False),
                    *(
                        integer(header["ptime"]["time"][k])
                        for k in ("hours", "minutes", "seconds", "fraction")
                    ),
                )

    # -- UDD

    def calorimeter_digitized_hit(self, hit):
        self.hit(hit)
        self.put(
            integer(hit["timestamp"]),
            boolean(hit["low_threshold_only"]),
            boolean(hit["high_threshold"]),
        )
        self.put(*(integer(hit[name]) for name in ("fcr", "lt_trigger_counter", "lt_time_counter")))
        if hit["store"] & 8:
            self.simple("vector<short>", hit["waveform"], integer)
        for i, name in enumerate(
            ("baseline", "peak_amplitude", "peak_cell", "charge", "rising_cell", "falling_cell"), 4
        ):
            if hit["store"] >> i & 1:
                self.put(integer(hit[name]))
        if hit["store"] & 1024:
            self.origin("calo", hit["origin"])

    def origin(self, kind, origin):
        self.start(f"{kind} origin")
        self.put(integer(origin["hit"]), integer(origin["trigger"]))

    def gg_times(self, times):
        self.start("gg_times")
        self.put(integer(len(times["origin"])))
        for origin in times["origin"]:
            self.origin("tracker", origin)
        self.put(integer(len(times["anode"])), *map(integer, times["anode"]))
        for end in ("bottom", "top"):
            self.origin("tracker", times[f"{end}_origin"])
            self.put(integer(times[end]))

    def tracker_digitized_hit(self, hit):
        self.hit(hit)
        self.items("vector<gg_times>", hit["times"], self.gg_times)

    def unified_digitized_data(self, bank):
        self.base()
        self.put(integer(bank["run"]), integer(bank["event"]), integer(bank["ref_timestamp"]))
        self.handles(
            "calorimeter_digitized_hit", bank["calorimeter_hits"], self.calorimeter_digitized_hit
        )
        self.handles("tracker_digitized_hit", bank["tracker_hits"], self.tracker_digitized_hit)
        self.simple("set<int>", bank["trigger_ids"], integer)
        self.properties(bank["properties"])

    # -- SD

    def primary_particle(self, particle):
        version = self.version("primary_particle")
        self.start("primary_particle")
        self.base()
        if version >= 4:
            self.put(integer(particle["generation_id"]))
        self.put(integer(particle["type"]))
        if version >= 3:
            self.put(integer(particle["pdg"]))
        if version >= 3 or particle["type"] == 0:
            self.put(string(particle["label"]))
        self.put(double(particle["time"]))
        self.point(particle["momentum"])
        if version >= 2:
            self.point(particle["vertex"])
        if version >= 3:
            self.properties(particle["properties"])

    def primary_event(self, event):
        version = self.version("primary_event")
        self.start("primary_event")
        self.base()
        if version >= 3:
            self.put(string(event["label"]))
        self.put(double(event["time"]))
        if version >= 5:
            self.point(event["vertex"])
        self.items("list<primary_particle>", event["particles"], self.primary_particle)
        self.put(string(event["classification"]))
        if version >= 2:
            self.put(double(event["weight"]))
        if version >= 4:
            self.properties(event["properties"])

    def base_step_hit(self, step):
        self.hit(step)
        writers = {
            "position_start": self.point,
            "position_stop": self.point,
            "time_start": double,
            "time_stop": double,
            "momentum_start": self.point,
            "momentum_stop": self.point,
            "energy_deposit": double,
            "particle": string,
            "biasing_weight": double,
            "kinetic_energy_start": double,
            "kinetic_energy_stop": double,
            "step_length": double,
            "entering": boolean,
            "leaving": boolean,
            "process": string,
            "flag_18": boolean,
            "flag_19": boolean,
            "flag_20": boolean,
            "track_id": integer,
            "parent_id": integer,
            "string_23": string,
            "string_24": string,
            "string_25": string,
            "copy_number": integer,
            "string_27": string,
            "flag_28": boolean,
        }
        for i, (name, write) in enumerate(writers.items(), 3):
            since = 0 if i < 11 else 1 if i == 11 else 2
            if step["store"] >> i & 1 and self.version("base_step_hit") >= since:
                self.put(write(step[name]) or b"")

    def simulated_data(self, bank):
        self.base()
        self.point(bank["vertex"])
        if self.version("simulated_data") >= 3:
            self.put(double(bank["time"]))
        self.primary_event(bank["primary_event"])
        self.properties(bank["properties"])
        self.put(integer(bank["collection_type"]))
        self.start("map<string,steps>")
        self.put(integer(len(bank["step_hits"])), integer(0))
        for name, steps in bank["step_hits"].items():
            self.start("pair<string,steps>")
            self.put(string(name))
            self.handles("base_step_hit", steps, self.base_step_hit)

    # -- CD

    def calibrated_calorimeter_hit(self, hit):
        self.hit(hit)
        self.put(*(double(hit[name]) for name in ("E", "sigma_E", "t", "sigma_t")))

    def calibrated_tracker_hit(self, hit):
        self.hit(hit)
        old = self.version("calibrated_tracker_hit") == 0
        values = [double(hit[name]) for name in ("r", "sigma_r", "z", "sigma_z")]
        place = [double(hit[name]) for name in ("x", "y")] if old or hit["traits"] & 32 else []
        traits = integer(hit["traits"])
        self.put(*([*values, *place, traits] if old else [traits, *values, *place]))
        if hit["traits"] & 1:
            self.put(double(hit["delayed_time"]), double(hit["sigma_delayed_time"]))

    def calibrated_data(self, bank):
        self.base()
        self.handles(
            "calibrated_calorimeter_hit", bank["calorimeter_hits"], self.calibrated_calorimeter_hit
        )
        self.handles("calibrated_tracker_hit", bank["tracker_hits"], self.calibrated_tracker_hit)
        self.properties(bank["properties"])

    # -- TCD, TTD, PTD

    def tracker_cluster(self, cluster):
        self.hit(cluster)
        self.handles("calibrated_tracker_hit", cluster["hits"], self.calibrated_tracker_hit)
        if self.version("tracker_cluster") >= 1:
            self.put(boolean(cluster["delayed"]))

    def tracker_clustering_solution(self, solution):
        self.put(integer(solution["id"]))
        self.handles("tracker_cluster", solution["clusters"], self.tracker_cluster)
        self.handles("calibrated_tracker_hit", solution["unclustered"], self.calibrated_tracker_hit)
        self.properties(solution["properties"])

    def tracker_clustering_data(self, bank):
        self.handles(
            "tracker_clustering_solution", bank["solutions"], self.tracker_clustering_solution
        )
        self.handle(
            "tracker_clustering_solution", bank["default"], self.tracker_clustering_solution
        )
        self.properties(bank["properties"])

    def shape(self, name, pattern, shape):
        self.start("base_trajectory_pattern")
        self.put(string(pattern["pattern_id"]))
        self.start(name, shape)
        self.start("i_shape_1d")
        self.start("i_object_3d")
        self.put(double(shape["tolerance"]), double(shape["angular_tolerance"]))

    def line_trajectory_pattern(self, pattern):
        line = pattern["segment"]
        self.shape("line_3d", pattern, line)
        self.point(line["first"])
        self.point(line["last"])

    def helix_trajectory_pattern(self, pattern):
        helix = pattern["helix"]
        self.shape("helix_3d", pattern, helix)
        self.put(double(helix["radius"]))
        if helix["radius"] == helix["radius"]:
            self.point(helix["center"])
            self.put(*(double(helix[name]) for name in ("step", "t1", "t2")))

    def polyline_trajectory_pattern(self, pattern):
        path = pattern["path"]
        self.shape("polyline_3d", pattern, path)
        self.put(boolean(path["closed"]))
        self.items("list<vector_3d>", path["points"], self.point)

    def track_fit_infos(self, fit):
        self.start("track_fit_infos")
        self.base()
        self.put(
            integer(fit["algorithm"]), string(fit["guess"]), double(fit["t0"]), double(fit["chi2"])
        )
        self.put(integer(fit["ndof"]), double(fit["pvalue"]), boolean(fit["best"]))

    def tracker_trajectory(self, trajectory):
        self.hit(trajectory)
        self.handle("tracker_cluster", trajectory["cluster"], self.tracker_cluster)
        self.handles("calibrated_tracker_hit", trajectory["orphans"], self.calibrated_tracker_hit)
        pattern = trajectory["pattern"] or {"segment": None}
        kind = {"segment": "line", "helix": "helix", "path": "polyline"}[list(pattern)[-1]]
        write = getattr(self, f"{kind}_trajectory_pattern")
        name = f"snemo::datamodel::{kind}_trajectory_pattern"
        self.handle(name, trajectory["pattern"], write, of="base_trajectory_pattern")
        if self.version("tracker_trajectory") >= 1:
            self.track_fit_infos(trajectory["fit"])

    def tracker_trajectory_solution(self, solution):
        self.put(integer(solution["id"]))
        self.handle(
            "tracker_clustering_solution", solution["clustering"], self.tracker_clustering_solution
        )
        self.handles("tracker_trajectory", solution["trajectories"], self.tracker_trajectory)
        self.handles("tracker_cluster", solution["unfitted"], self.tracker_cluster)
        self.properties(solution["properties"])
        if self.version("tracker_trajectory_solution") >= 1:
            self.simple("set<int>", solution["best"], integer)

    def tracker_trajectory_data(self, bank):
        self.handles(
            "tracker_trajectory_solution", bank["solutions"], self.tracker_trajectory_solution
        )
        self.handle(
            "tracker_trajectory_solution", bank["default"], self.tracker_trajectory_solution
        )
        self.properties(bank["properties"])

    def blur_spot(self, vertex):
        self.hit(vertex)
        self.put(integer(vertex["dimension"]), double(vertex["tolerance"]))
        if vertex["store"] & 8:
            self.placement(vertex["placement"])
        axes = {0: "", 1: "z", 2: "xy", 3: "xyz"}[vertex["dimension"]]
        self.put(*(double(vertex[f"sigma_{axis}"]) for axis in axes))

    def placement(self, placement):
        if not self.start("placement", placement):
            return
        self.start("i_placement")
        self.point(placement["translation"])
        kind = placement["rotation_kind"]
        angles = placement["angles"] if kind == -1 else [placement["angle"]]
        self.put(integer(kind), *map(double, angles))
        for name in ("rotation", "inverse_rotation"):
            self.start("rotation_3d")
            self.put(*map(double, placement[name]))

    def vertex(self, vertex):
        self.hit(vertex)
        self.put(*(integer(vertex[name]) for name in ("category", "from", "extrapolation")))
        if self.start("blur_spot", vertex["spot"]):
            self.blur_spot(vertex["spot"])
        self.put(*(double(vertex[name]) for name in ("distance", "distance_xy")))
        self.put(*(boolean(vertex[name]) for name in ("edge", "best")))

    def particle_track(self, track):
        self.hit(track)
        self.put(integer(track["charge"]))
        self.handle("tracker_trajectory", track["trajectory"], self.tracker_trajectory)
        kind = "vertex" if self.version("particle_track") >= 1 else "blur_spot"
        self.handles(kind, track["vertices"], getattr(self, kind))
        self.handles(
            "calibrated_calorimeter_hit", track["calorimeter_hits"], self.calibrated_calorimeter_hit
        )

    def particle_track_data(self, bank):
        self.handles("particle_track", bank["particles"], self.particle_track)
        self.handles(
            "calibrated_calorimeter_hit",
            bank["isolated_calorimeter_hits"],
            self.calibrated_calorimeter_hit,
        )
        self.properties(bank["properties"])

    # -- an event

    def things(self, banks, classes):
        self.start("things")
        self.base()
        self.put(string("ER"), string(""))
        self.start("map<string,entry>")
        self.put(integer(len(banks)), integer(0))
        for name, bank in banks.items():
            self.start("pair<string,entry>")
            self.put(string(name))
            self.start("entry")
            self.put(string(""), integer(0))
            spelled = classes[name]
            namespace = "mctools" if spelled == "simulated_data" else "snemo::datamodel"
            self.pointer(
                f"{namespace}::{spelled}", bank, getattr(self, spelled, self.nothing), spelled=True
            )
        return bytes(self.out)

    def nothing(self, thing):
        """A class that was never described: bytes and, where there are some, properties and a point."""
        self.put(thing.get("bytes", b""))
        if "properties" in thing:
            self.properties(thing["properties"])
        if "point" in thing:
            self.point(thing["point"])


def event(banks, versions=None, tracked=TRACKED, classes=None, null=-1):
    """The archive of an event.

    Args:
        banks: name -> content, in order. versions: class -> version, tracked: classes whose objects have
            numbers.
        classes: name of a bank -> its class, where it is not the usual one. null: class id of null pointers.
    """
    return Encoder(versions, tracked, null).things(banks, {**BANKS, **(classes or {})})


def property_list(values):
    """The archive of a `datatools::properties`, as in the tree GI."""
    encoder = Encoder()
    encoder.properties(values)
    return bytes(encoder.out)
