"""Realistic events: an ideal generator, kinks and the detector's response in one reproducible stream.

    from datasets import batches, number_of_tracks
    from my_generator import realistic

    events = realistic.generate(10_000, preset="data", seed=3)
    data = batches.load(number_of_tracks.task(("top",)), realistic.generator("harsh"))

Ideal events and response come from the random generator of their block, so event i of a seed is always the
same event. A block of 2048 events is a run of its own: its dead cells are the same in all of its events, in a
mix in all of one preset.

Mixes of presets are for trainings. In `mix` half of the events are ideal, in `data_mix` half are like data.
`combined_mix` is for networks with more than one view: one event in seven has no height at all. In
`noise_mix` half are ideal, and one in eight is ideal but for isolated noise: a network that never saw such an
event would take every hit of an otherwise perfect one for a track's. As many events in a row as MIXES names
are one of each, in a random order.
"""

from dataclasses import replace

import numpy as np

from datasets.events import concatenate
from my_generator import blocks, electrons, straight_lines, toyhaystack
from my_generator.response import PRESETS, apply

# name -> the ideal generator, and the tracker sides in use
KINDS = {
    "my_generator": (straight_lines.make_block, (1,)),
    "toyhaystack": (toyhaystack.make_block, (0, 1)),
    "electrons": (electrons.make_block, (1,)),
    "electrons_of_one_vertex": (electrons.make_block_of_one_vertex, (1,)),
    "electrons_without_field": (electrons.make_block_without_field, (1,)),
}
# kinds of which an event is one, each as often as the other
_ELECTRONS = ("electrons", "electrons_of_one_vertex", "electrons_without_field")
KINDS_OF_MIX = {
    "lines_and_electrons": ("my_generator", "my_generator", "my_generator", *_ELECTRONS)
}
MIXES = {
    "mix": ("ideal", "ideal", "ideal", "simulation", "data", "harsh"),
    "data_mix": ("ideal", "simulation", "data", "data", "data", "harsh"),
    "combined_mix": ("ideal", "ideal", "ideal", "simulation", "data", "harsh", "no_heights"),
    "noise_mix": ("ideal", "ideal", "ideal", "ideal", "simulation", "data", "harsh", "noise"),
}
_DATA = PRESETS["data"]
RESPONSES = {
    **PRESETS,
    "no_heights": replace(_DATA, heights_missing=1.0),
    "noise": replace(PRESETS["ideal"], noise_hits=_DATA.noise_hits),
}


def block_maker(preset="data", kind="my_generator", kinks=None):
    """Function (n_tracks (event,), rng) -> realistic Events, for `blocks`.

    Args:
        preset: name of one of RESPONSES or of MIXES, or a Response.
        kind: the ideal generator, of KINDS or of KINDS_OF_MIX. kinks: share of tracks with a kink (default:
            the preset's); only `my_generator` has any.
    """
    if kind in KINDS_OF_MIX:
        makers = {
            name: block_maker(preset, name, kinks) for name in dict.fromkeys(KINDS_OF_MIX[kind])
        }
        return _mixed(KINDS_OF_MIX[kind], makers)
    if isinstance(preset, str) and preset in MIXES:
        mix = MIXES[preset]
        makers = {name: block_maker(name, kind, kinks) for name in dict.fromkeys(mix)}
        return _mixed(mix, makers)
    response = RESPONSES[preset] if isinstance(preset, str) else preset
    make_ideal, sides = KINDS[kind]
    has_kinks = kind == "my_generator"
    if kinks and not has_kinks:
        raise ValueError(f"{kind} has no kinks, not {kinks} of its tracks")
    if kinks is not None:
        response = replace(response, kink_probability=kinks)
    options = response.kinks if has_kinks else {}

    def make_block(n_tracks, rng):
        ideal = make_ideal(n_tracks, rng, **options)
        return apply(ideal, response, rng, sides)

    return make_block


def _mixed(mix, makers):
    """One block maker out of those of the presets or kinds in a mix, name -> function."""

    def make_block(n_tracks, rng):
        n_rounds = -(-len(n_tracks) // len(mix))  # rounded up
        rounds = np.tile(mix, (n_rounds, 1))
        preset = rng.permuted(rounds, axis=1).ravel()[: len(n_tracks)]
        made = []
        places = []
        for name, make in makers.items():
            place = np.flatnonzero(preset == name)
            made.append(make(n_tracks[place], rng))
            places.append(place)
        order = np.argsort(np.concatenate(places))
        return concatenate(made)[order]

    return make_block


def generate(
    n_events,
    tracks=(1, 2, 3, 4),
    preset="data",
    seed=0,
    first_event=0,
    kind="my_generator",
    kinks=None,
):
    """Realistic events.

    Args:
        n_events: how many. tracks: numbers of tracks an event may have, drawn uniformly. seed: integer or
            sequence of them.
        first_event: event of the stream to begin with. preset, kind, kinks: as in `block_maker`.
    Returns:
        Events; an event may have no hits, `info["n_tracks"]` is what the generator put in.
    """
    return blocks.generate(block_maker(preset, kind, kinks), n_events, tracks, seed, first_event)


def generator(preset="data", tracks=(1, 2, 3, 4), kind="my_generator", kinks=None):
    """The same as a function (n_events, seed=0, first_event=0) -> Events, for `datasets.batches.load`;
    arguments as `generate`.
    """
    make_block = block_maker(preset, kind, kinks)

    def realistic(n_events, seed=0, first_event=0):
        return blocks.generate(make_block, n_events, tracks, seed, first_event)

    return realistic
