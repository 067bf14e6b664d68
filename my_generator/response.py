"""The detector's response: ideal events, as the generators give them, become what a real tracker might read
out.

In the order of nature: crossed cells fire or not, fired cells set off neighbours, other cells fire alone, a
cell fires once (the nearest, first, of its hits stays), and of each hit a radius and a height are measured.
Every effect is one field of `Response` and off by default; `PRESETS` are the usual ones.

What happens to the labels:
- A hit of a track keeps its owners and its segment. Hits of cross-talk and noise belong to no track: track
  -1.
- Where such a hit falls into a cell that a track fired and is nearer to the wire, its radius and height stay
  but the track owns it, as in the event table everywhere.
- Tracks that lost all their hits stay among the tracks, and `n_tracks` does not change: it counts what was
  there to be seen.
"""

from dataclasses import dataclass, replace

import numpy as np

from datasets.drift import drift_radius_mm, drift_time_ns, sigma_radius_mm
from datasets.events import HIT_FIELDS, merge_cells
from datasets.geometry import CELL_RADIUS_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS, N_SIDES

ONE_CATHODE_SIGMA_MM = 50.0  # of a height from one cathode's time alone (Falaise)
NEIGHBOURS = np.array(
    [(-1, 0), (1, 0), (0, -1), (0, 1)]
)  # (layer, column): cells that share a wall, 44 mm from wire to wire
_NOISE_LAST = np.iinfo(np.int16).max


@dataclass(frozen=True)
class Response:
    """Strength of each effect; the defaults are the ideal detector. Shares are from 0 to 1.

    Attributes:
        efficiency: probability that a crossed cell fires (84 +- 2 % in a prototype of 2008, later ones
            better). A cell that two tracks crossed is one cell.
        dead_cells: share of the cells that never fire, drawn anew by every `apply`, as for a run of its own;
            or the (2, 9, 113) bool map (side, layer, column) of the dead ones.
        cross_talk: probability that a fired cell sets off one of the four cells it shares a wall with, at the
            same time and height: with its own true radius and height, measured on their own.
        noise_hits: mean number of isolated hits an event, Poisson, uniform over cells (those in dead cells
            are lost), height, and radius up to 22 mm.
        radius_sigma_scale: error of the radius, in units of Falaise's sigma_r(r), `drift.sigma_radius_mm`.
        radius_sigma_mm: error of the radius that is the same everywhere, mm; both add in quadrature (TKEvent
            takes 2 mm for data).
        time_jitter_ns: error of the drift time, ns; it widens the radius by the slope of the Manchester model
            (the clock: 12.5 ns).
        height_sigma_mm: error of the height, mm (10 in Falaise, 17 in TKEvent).
        heights_missing: share of hits without a height, NaN. TKEvent needs both cathodes, so in data this
            counts one missing or two.
        one_cathode: share of hits whose height comes from one cathode, with 50 mm error. Falaise does that,
            data does not.
        kink_probability, kink_degrees, kink_layers, max_kinks: of the tracks, for
            `straight_lines.make_block`; `apply` can not bend tracks.
    """

    efficiency: float = 1.0
    dead_cells: float | np.ndarray = 0.0
    cross_talk: float = 0.0
    noise_hits: float = 0.0
    radius_sigma_scale: float = 0.0
    radius_sigma_mm: float = 0.0
    time_jitter_ns: float = 0.0
    height_sigma_mm: float = 0.0
    heights_missing: float = 0.0
    one_cathode: float = 0.0
    kink_probability: float = 0.0
    kink_degrees: tuple = (5, 25)
    kink_layers: tuple = (3, 6)
    max_kinks: int = 1

    def __post_init__(self):
        dead = self.dead_cells
        if np.ndim(dead) and np.shape(dead) != (N_SIDES, N_LAYERS, N_COLUMNS):
            raise ValueError(
                f"the map of dead cells must be {(N_SIDES, N_LAYERS, N_COLUMNS)}, not {np.shape(dead)}"
            )
        for name in (
            "efficiency",
            "dead_cells",
            "cross_talk",
            "heights_missing",
            "one_cathode",
            "kink_probability",
        ):
            if not np.all((np.asarray(getattr(self, name)) >= 0) & (np.asarray(getattr(self, name)) <= 1)):
                raise ValueError(f"{name} {getattr(self, name)} outside 0..1")
        if self.heights_missing + self.one_cathode > 1:
            raise ValueError(
                f"heights_missing {self.heights_missing} and one_cathode {self.one_cathode} are more than all hits"
            )
        for name in (
            "noise_hits",
            "radius_sigma_scale",
            "radius_sigma_mm",
            "time_jitter_ns",
            "height_sigma_mm",
        ):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")

    @property
    def kinks(self):
        """Arguments of `straight_lines.make_block`."""
        return {
            name: getattr(self, name)
            for name in ("kink_probability", "kink_degrees", "kink_layers", "max_kinks")
        }


_DATA = Response(
    efficiency=0.92,
    dead_cells=0.02,
    cross_talk=0.03,
    noise_hits=1.5,
    radius_sigma_scale=1.5,
    height_sigma_mm=15.0,
    heights_missing=0.12,
    kink_probability=0.15,
)
PRESETS = {
    "ideal": Response(),
    "simulation": Response(
        radius_sigma_scale=1.0, height_sigma_mm=10.0
    ),  # Falaise, both cathodes always seen
    "data": _DATA,
    "harsh": replace(
        _DATA,
        efficiency=0.84,
        noise_hits=4.0,
        radius_sigma_scale=0.0,
        radius_sigma_mm=2.0,
        height_sigma_mm=17.0,
        heights_missing=0.3,
    ),
}


def apply(events, response, rng, sides=(1,)):
    """Events as the detector sees them.

    Args:
        events: ideal Events, one hit a cell. response: Response. rng: random generator, which alone decides
            about everything.
        sides: tracker halves in use, where noise may be.
    Returns:
        Events; where hits were added, those of an event are in the order of their tracks and noise is last,
        and those of a track are sorted by layer and column, as generators give them. Tracks and info are
        those of `events`, not copied.
    """
    dead = dead_map(response.dead_cells, rng)
    events = _fire(events, response.efficiency, dead, rng)
    if response.cross_talk or response.noise_hits:
        added = (
            cross_talk(events, response.cross_talk, rng),
            noise(len(events), response.noise_hits, sides, rng),
        )
        events = _add(events, added, dead)
    radius = measured_radius(events.hits["drift_radius_mm"], response, rng)
    z = measured_height(events.hits["z_mm"], response, rng)
    return events.with_hits({"drift_radius_mm": radius, "z_mm": z})


def dead_map(dead_cells, rng):
    """(2, 9, 113) bool, the cells that never fire, from their share or as given; None without any."""
    if np.ndim(dead_cells):
        return np.asarray(dead_cells, bool)
    return rng.random((N_SIDES, N_LAYERS, N_COLUMNS)) < dead_cells if dead_cells else None


def cross_talk(events, probability, rng):
    """Hits that fired cells set off next to them; at the tracker's edge the neighbour on the other side takes
    the part of the missing one.

    Returns:
        (event, hits): (hit,) event of each, name -> (hit,) array.
    """
    source = np.flatnonzero(rng.random(len(events.hits["layer"]), np.float32) < probability)
    step = NEIGHBOURS[rng.integers(0, len(NEIGHBOURS), len(source))]
    hits = {name: events.hits[name][source] for name in ("side", "drift_radius_mm", "z_mm")}
    for name, steps, n in (("layer", step[:, 0], N_LAYERS), ("column", step[:, 1], N_COLUMNS)):
        there = events.hits[name][source] + steps
        hits[name] = np.where((there < 0) | (there >= n), there - 2 * steps, there)
    return np.searchsorted(events.hit_offsets, source, side="right") - 1, hits


def noise(n_events, mean, sides, rng):
    """Isolated hits; result as `cross_talk`."""
    event = np.repeat(np.arange(n_events), rng.poisson(mean, n_events))
    n = len(event)
    hits = {
        "side": np.asarray(sides)[rng.integers(0, len(sides), n)],
        "layer": rng.integers(0, N_LAYERS, n),
        "column": rng.integers(0, N_COLUMNS, n),
        "drift_radius_mm": rng.uniform(0, CELL_RADIUS_MM, n),
        "z_mm": rng.uniform(-HALF_HEIGHT_MM, HALF_HEIGHT_MM, n),
    }
    return event, hits


def measured_radius(radius_mm, response, rng):
    """Radii with their errors, (hit,) float32.

    A radius below zero is one on the other side of the wire: its size is measured.
    """
    if response.time_jitter_ns:
        time = drift_time_ns(radius_mm) + response.time_jitter_ns * rng.standard_normal(len(radius_mm))
        radius_mm = drift_radius_mm(np.abs(time))
    if response.radius_sigma_scale or response.radius_sigma_mm:
        sigma = response.radius_sigma_mm
        if response.radius_sigma_scale:
            sigma = np.hypot(response.radius_sigma_scale * sigma_radius_mm(radius_mm), sigma)
        radius_mm = np.abs(radius_mm + sigma * rng.standard_normal(len(radius_mm), np.float32))
    return np.minimum(radius_mm, HIT_FIELDS["drift_radius_mm"][3]).astype(np.float32, copy=False)


def measured_height(z_mm, response, rng):
    """Heights with their errors, (hit,) float32, NaN where missing.

    They may reach a little beyond the ends of the wire.
    """
    sigma, missing = response.height_sigma_mm, response.heights_missing
    if missing or response.one_cathode:
        dice = rng.random(len(z_mm), np.float32)
        z_mm = np.where(dice < missing, np.float32(np.nan), z_mm)
        if response.one_cathode:
            sigma = np.where(
                dice < missing + response.one_cathode, np.float32(ONE_CATHODE_SIGMA_MM), np.float32(sigma)
            )
    if np.any(sigma):
        z_mm = z_mm + sigma * rng.standard_normal(len(z_mm), np.float32)
    return np.clip(z_mm, *HIT_FIELDS["z_mm"][2:]).astype(np.float32, copy=False)


def _fire(events, efficiency, dead, rng):
    """The hits of cells that fire."""
    if efficiency == 1 and dead is None:
        return events
    fired = rng.random(len(events.hits["layer"]), np.float32) < efficiency
    return events.keep_hits(fired if dead is None else fired & ~_in_dead_cell(events.hits, dead))


def _in_dead_cell(hits, dead):
    return dead[hits["side"], hits["layer"], hits["column"]]


def _add(events, added, dead):
    """The same events with more hits, of no track; one hit a cell, in order: by track, noise last, and by
    layer and column.
    """
    parts = [(events.hit_event, events.hits)]
    for event, hits in added:
        alive = np.ones(len(event), bool) if dead is None else ~_in_dead_cell(hits, dead)
        unowned = {name: np.full(len(event), default) for name, (_, default, *_) in HIT_FIELDS.items()}
        parts.append((event[alive], {name: values[alive] for name, values in (unowned | hits).items()}))
    event = np.concatenate([event for event, _ in parts])
    hits = {
        name: np.concatenate([hits[name] for _, hits in parts]).astype(kind, copy=False)
        for name, (kind, *_) in HIT_FIELDS.items()
    }
    grouped = np.argsort(event, kind="stable")
    hits = {name: values[grouped] for name, values in hits.items()}
    hit_offsets = np.searchsorted(event[grouped], np.arange(len(events) + 1))
    events = merge_cells(events.with_hits(hits, hit_offsets))

    track, layer, column = (events.hits[name] for name in ("track", "layer", "column"))
    place = events.hit_event * (_NOISE_LAST + 1) + np.where(track < 0, _NOISE_LAST, track)
    order = np.argsort((place * N_LAYERS + layer) * N_COLUMNS + column, kind="stable")
    return events.with_hits({name: values[order] for name, values in events.hits.items()})
