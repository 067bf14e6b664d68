"""The family of SN-IE's idealised events, by name: `family.generate("v_vertex", 1000, seed=3)`.

| kind | tracks | is |
| --- | --- | --- |
| single_line | 1 | a line on a random side |
| v_vertex | 2 | two lines from one foil point on one side |
| double_left_right | 2 | two lines from one foil point, one on each side |
| scatter | 1 | a line that changes its direction once |
| bounce | 1 | a line that comes back from the main wall |
| single_helix | 1 | an electron or positron of 0.3 to 3.5 MeV in the magnetic field |
| double_helix | 2 | two of them from one foil point, one on each side |
| signal_like | 2 | two electrons that share the energy of a neutrinoless double-beta decay |
| electron | 1 | an electron or positron of 0.1 to 3.5 MeV in field and gas |
| electron_v_vertex | 2 | two of them from one foil point on one side |
| electron_double_helix | 2 | two of them from two foil points on one side |
| electron_signal_like | 2 | signal_like in field and gas, both on one side |

`lines`, `helices`, `electrons` and `signal_like` below say how they are drawn. Every track fires at least
MIN_HITS cells; cells shared with another track count. Every track ends in a calorimeter block; only helices
may come back to the foil instead, and electrons pass between blocks too. An event that is not so is drawn
again. The haystack with any number of lines is in `toyhaystack`, electrons of any number in `electrons`.
"""

import zlib

import numpy as np

from datasets.events import concatenate
from my_generator import blocks, electrons, helices, lines
from my_generator.response import apply

MIN_HITS = 3
Q_MEV = 2.9979  # of the double-beta decay of Se-82, arXiv:1211.5659


def signal_like(n, rng, paths="helices", sides="any"):
    """Two electrons from one foil point, roughly as from a neutrinoless double-beta decay of Se-82.

    Their kinetic energies add up to Q. The share is uniform, but each has at least 0.3 MeV. The first
    direction is isotropic, the angle between both follows 1 - beta1 beta2 cos(theta), as for the exchange of
    a light neutrino when the field of the nucleus is left out (arXiv:0706.4165 has 1 - 0.88 cos(theta) on the
    whole). With straight paths the energies matter for that angle alone.

    Args:
        paths: "helices"; "lines" as without a field; "scattered" for helices that the gas scatters.
        sides: keep events with both electrons on the "same" side or on "opposite" sides; "any" keeps all, and
            6 of 10 have them opposite.
    """
    known = paths in ("helices", "lines", "scattered") and sides in ("any", "same", "opposite")
    if not known:
        raise ValueError(f"no paths {paths!r} or no sides {sides!r}")
    least = helices.MIN_ENERGY_MEV
    first_energy = rng.uniform(least, Q_MEV - least, n)
    energy = np.stack([first_energy, Q_MEV - first_energy], 1)
    momentum = helices.momentum_of(energy)
    beta = momentum / (energy + helices.ELECTRON_MASS_MEV)
    directions = _two_directions(beta.prod(1), rng)

    x, y, z = np.moveaxis(directions, -1, 0)
    side = (x > 0).astype(int)
    foil = lines.foil_lines(side, rng)
    foil["slope_y"] = y / np.abs(x)
    foil["slope_z"] = z / np.abs(x)
    is_same = side[:, 0] == side[:, 1]
    good = {"any": True, "same": is_same, "opposite": ~is_same}[sides]
    if paths == "lines":
        return lines.straight(foil, good)
    charge = np.full((n, 2), -1)
    if paths == "scattered":
        return electrons.flown(foil, energy, charge, rng, good)
    return helices.curved(foil, momentum, charge, good)


def electron_signal_like(n, rng):
    """The same in field and gas, with both electrons on one side."""
    return signal_like(n, rng, paths="scattered", sides="same")


def _two_directions(b, rng):
    """Pairs of directions, the first isotropic, the cosine between both distributed as 1 - b cos.

    Args:
        b: (n,).
    Returns:
        (n, 2, 3) unit vectors.
    """
    n = len(b)
    first = rng.standard_normal((n, 3))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    uniform = rng.random(n)
    root = np.sqrt(1 - b * (4 * uniform - 2 - b))
    cos = (1 - root) / b  # inverse of the cumulative distribution
    sin = np.sqrt(1 - cos**2)
    phi = rng.uniform(0, 2 * np.pi, n)
    across_1, across_2 = lines.perpendiculars(first)
    across_1 = np.cos(phi)[:, None] * across_1
    across_2 = np.sin(phi)[:, None] * across_2
    across = across_1 + across_2
    second = cos[:, None] * first + sin[:, None] * across
    return np.stack([first, second], 1)


KINDS = {  # name: (function (n, rng, options) -> Events, number of tracks)
    "single_line": (lines.single_line, 1),
    "v_vertex": (lines.v_vertex, 2),
    "double_left_right": (lines.double_left_right, 2),
    "scatter": (lines.scatter, 1),
    "bounce": (lines.bounce, 1),
    "single_helix": (helices.single_helix, 1),
    "double_helix": (helices.double_helix, 2),
    "signal_like": (signal_like, 2),
    **electrons.KINDS,
    "electron_signal_like": (electron_signal_like, 2),
}


def cells_crossed(events):
    """(track,) number of cells that each track fires, alone or together with another."""
    counts = np.zeros(events.track_offsets[-1], int)
    first_track = events.track_offsets[events.hit_event]  # of the event of each hit
    for name in ("track", "second_track"):
        track = events.hits[name]
        owner = (first_track + track)[track >= 0]
        counts += np.bincount(owner, minlength=len(counts))
    return counts


def make_block(kind, n_events, rng, **options):
    """Events of a kind from a random generator."""
    function, n_tracks = KINDS[kind]
    tables = []
    missing = n_events
    while missing:
        n_drawn = int(1.2 * missing) + 16
        events = function(n_drawn, rng, **options)
        n_cells = cells_crossed(events).reshape(-1, n_tracks)
        good = (n_cells >= MIN_HITS).all(1)
        taken = np.flatnonzero(good)[:missing]
        tables.append(events[taken])
        missing -= len(taken)
    return concatenate(tables)


def stream(kind, n_events, seed=0, first_event=0, response=None, **options):
    """Events of a kind, a block at a time.

    Args:
        kind: name in KINDS. n_events: how many. seed: integer or sequence of them; kinds of one seed are
            independent.
        first_event: event of the stream to begin with; event i of a seed is always the same event.
        response: a Response that the events go through (default: they stay ideal); its kinks are left out.
        options: of the kind: `degrees` for scatter, `paths` and `sides` for signal_like.
    Yields:
        Events.
    """
    _, n_tracks = KINDS[kind]
    seed_of_kind = [*np.atleast_1d(seed), zlib.crc32(kind.encode())]

    def of_block(tracks, rng):
        events = make_block(kind, len(tracks), rng, **options)
        if response:
            events = apply(events, response, rng, sides=(0, 1))
        return events

    return blocks.stream(of_block, n_events, n_tracks, seed_of_kind, first_event)


def generate(kind, n_events, seed=0, first_event=0, response=None, **options):
    """The same as one table."""
    tables = stream(kind, n_events, seed, first_event, response, **options)
    return concatenate(tables)
