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

from datasets.drift import sigma_radius_mm
from datasets.events import HIT_FIELDS, merge_cells
from datasets.geometry import CELL_RADIUS_MM, HALF_HEIGHT_MM, N_COLUMNS, N_LAYERS, N_SIDES

# (layer, column): cells that share a wall, 44 mm from wire to wire
NEIGHBOURS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])
SHARES = ("efficiency", "dead_cells", "cross_talk", "heights_missing", "kink_probability")  # 0 to 1
SIZES = ("noise_hits", "radius_sigma_scale", "radius_sigma_mm", "height_sigma_mm")  # 0 or more
KINKS = ("kink_probability", "kink_degrees", "kink_layers", "max_kinks")
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
        height_sigma_mm: error of the height, mm (10 in Falaise, 17 in TKEvent).
        heights_missing: share of hits without a height, NaN. TKEvent needs both cathodes, so in data this
            counts one missing or two.
        kink_probability, kink_degrees, kink_layers, max_kinks: of the tracks, for
            `straight_lines.make_block`; `apply` can not bend tracks.
    """

    efficiency: float = 1.0
    dead_cells: float | np.ndarray = 0.0
    cross_talk: float = 0.0
    noise_hits: float = 0.0
    radius_sigma_scale: float = 0.0
    radius_sigma_mm: float = 0.0
    height_sigma_mm: float = 0.0
    heights_missing: float = 0.0
    kink_probability: float = 0.0
    kink_degrees: tuple = (5, 25)
    kink_layers: tuple = (3, 6)
    max_kinks: int = 1

    def __post_init__(self):
        tracker = (N_SIDES, N_LAYERS, N_COLUMNS)
        shape = np.shape(self.dead_cells)
        if shape and shape != tracker:
            raise ValueError(f"the map of dead cells must be {tracker}, not {shape}")
        for name in SHARES:
            share = np.asarray(getattr(self, name))
            allowed = (share >= 0) & (share <= 1)
            if not allowed.all():
                raise ValueError(f"{name} {share} outside 0..1")
        for name in SIZES:
            size = getattr(self, name)
            if not 0 <= size < np.inf:
                raise ValueError(f"{name} must be 0 or more, not {size}")

    @property
    def kinks(self):
        """Arguments of `straight_lines.make_block`."""
        return {name: getattr(self, name) for name in KINKS}


_IDEAL = Response()
_SIMULATION = Response(
    radius_sigma_scale=1.0, height_sigma_mm=10.0
)  # Falaise, both cathodes always seen
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
_HARSH = replace(
    _DATA,
    efficiency=0.84,
    noise_hits=4.0,
    radius_sigma_scale=0.0,
    radius_sigma_mm=2.0,
    height_sigma_mm=17.0,
    heights_missing=0.3,
)
PRESETS = {"ideal": _IDEAL, "simulation": _SIMULATION, "data": _DATA, "harsh": _HARSH}


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
        of_neighbours = cross_talk(events, response.cross_talk, rng)
        alone = noise(len(events), response.noise_hits, sides, rng)
        events = _add(events, [of_neighbours, alone], dead)
    radius = measured_radius(events.hits["drift_radius_mm"], response, rng)
    z = measured_height(events.hits["z_mm"], response, rng)
    return events.with_hits({"drift_radius_mm": radius, "z_mm": z})


def dead_map(dead_cells, rng):
    """(2, 9, 113) bool, the cells that never fire, from their share or as given; None without any."""
    if np.ndim(dead_cells):
        return np.asarray(dead_cells, bool)
    if not dead_cells:
        return None
    dice = rng.random((N_SIDES, N_LAYERS, N_COLUMNS))
    return dice < dead_cells


def cross_talk(events, probability, rng):
    """Hits that fired cells set off next to them; at the tracker's edge the neighbour on the other side takes
    the part of the missing one.

    Returns:
        (event, hits): (hit,) event of each, name -> (hit,) array.
    """
    dice = rng.random(len(events.hits["layer"]), np.float32)
    source = np.flatnonzero(dice < probability)
    neighbour = rng.integers(0, len(NEIGHBOURS), len(source))
    layers_away, columns_away = NEIGHBOURS[neighbour].T
    fired = {name: values[source] for name, values in events.hits.items()}
    hits = {
        "side": fired["side"],
        "drift_radius_mm": fired["drift_radius_mm"],
        "z_mm": fired["z_mm"],
        "layer": _step(fired["layer"], layers_away, N_LAYERS),
        "column": _step(fired["column"], columns_away, N_COLUMNS),
    }
    return events.hit_event[source], hits


def _step(place, step, n):
    """Where steps from places lead; those out of 0..n - 1 are taken the other way."""
    there = place + step
    outside = (there < 0) | (there >= n)
    return np.where(outside, place - step, there)


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
    sigma = response.radius_sigma_mm
    if response.radius_sigma_scale:
        of_falaise = response.radius_sigma_scale * sigma_radius_mm(radius_mm)
        sigma = np.hypot(of_falaise, sigma)
    if np.any(sigma):
        error = sigma * rng.standard_normal(len(radius_mm), np.float32)
        radius_mm = np.abs(radius_mm + error)
    largest = HIT_FIELDS["drift_radius_mm"][3]
    return np.minimum(radius_mm, largest).astype(np.float32, copy=False)


def measured_height(z_mm, response, rng):
    """Heights with their errors, (hit,) float32, NaN where missing.

    They may reach a little beyond the ends of the wire.
    """
    if response.heights_missing:
        dice = rng.random(len(z_mm), np.float32)
        z_mm = np.where(dice < response.heights_missing, np.float32(np.nan), z_mm)
    if response.height_sigma_mm:
        error = response.height_sigma_mm * rng.standard_normal(len(z_mm), np.float32)
        z_mm = z_mm + error
    _, _, lowest, highest = HIT_FIELDS["z_mm"]
    return np.clip(z_mm, lowest, highest).astype(np.float32, copy=False)


def _fire(events, efficiency, dead, rng):
    """The hits of cells that fire."""
    if efficiency == 1 and dead is None:
        return events
    dice = rng.random(len(events.hits["layer"]), np.float32)
    fired = dice < efficiency
    if dead is not None:
        fired &= ~_in_dead_cell(events.hits, dead)
    return events.keep_hits(fired)


def _in_dead_cell(hits, dead):
    return dead[hits["side"], hits["layer"], hits["column"]]


def _add(events, added, dead):
    """The same events with more hits, of no track; one hit a cell, in order: by track, noise last, and by
    layer and column.

    Args:
        added: list of (event, hits), as `cross_talk` gives them. dead: of `dead_map`; no hit is added there.
    """
    parts = [(events.hit_event, events.hits)]
    for event, hits in added:
        if dead is not None:
            alive = ~_in_dead_cell(hits, dead)
            event = event[alive]
            hits = {name: values[alive] for name, values in hits.items()}
        parts.append((event, _of_no_track(hits)))
    event = np.concatenate([event for event, _ in parts])
    by_event = np.argsort(event, kind="stable")
    merged = {}
    for name, (kind, *_) in HIT_FIELDS.items():
        values = np.concatenate([hits[name] for _, hits in parts])
        merged[name] = values[by_event].astype(kind, copy=False)
    hit_offsets = np.searchsorted(event[by_event], np.arange(len(events) + 1))
    events = merge_cells(events.with_hits(merged, hit_offsets))
    return _in_order(events)


def _of_no_track(hits):
    """The same hits, name -> (hit,) array, with the fields that they lack."""
    n_hits = len(hits["layer"])
    defaults = {name: np.full(n_hits, default) for name, (_, default, *_) in HIT_FIELDS.items()}
    return defaults | hits


def _in_order(events):
    """The same events; the hits of each by track, noise last, and those of a track by layer and column."""
    hits = events.hits
    track = np.where(hits["track"] < 0, _NOISE_LAST, hits["track"])
    place = events.hit_event * (_NOISE_LAST + 1) + track
    place = (place * N_LAYERS + hits["layer"]) * N_COLUMNS + hits["column"]
    order = np.argsort(place, kind="stable")
    return events.with_hits({name: values[order] for name, values in hits.items()})
