"""Realistic events: an ideal generator, kinks and the detector's response in one reproducible stream.

    from my_generator import realistic

    events = realistic.generate(10_000, preset="data", seed=3)
    data = number_of_tracks.load(("top",), generate=realistic.generator("harsh"))

Ideal events and response come from the random generator of their block, so event i of a seed is always the
same event. A block of 2048 events is a run of its own: its dead cells are the same in all of its events, in a
mix in all of one preset. More presets mix the others, for trainings: in `mix` half of the events are ideal,
in `data_mix` half are like data. In `combined_mix`, for networks with more than one view, one event in seven
has no height at all; in `noise_mix` half are ideal and one in eight is but for isolated noise, so that a
network cannot take every hit of an otherwise perfect event for a track's. As many events in a row as MIXES
names are those of it in a random order.
"""

from dataclasses import replace

import numpy as np

from datasets.events import concatenate
from my_generator import blocks, straight_lines, toyhaystack
from my_generator.response import PRESETS, apply

KINDS = {
    "my_generator": (straight_lines.make_block, (1,)),
    "toyhaystack": (toyhaystack.make_block, (0, 1)),
}  # and sides in use
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
        kind: the ideal generator, of KINDS. kinks: share of tracks with a kink (default: the preset's; the
            haystack has none).
    """
    if isinstance(preset, str) and preset in MIXES:
        mix = MIXES[preset]
        return _mixed(mix, {name: block_maker(name, kind, kinks) for name in dict.fromkeys(mix)})
    response = RESPONSES[preset] if isinstance(preset, str) else preset
    ideal, sides = KINDS[kind]
    if kind != "my_generator":
        if kinks:
            raise ValueError(f"{kind} has no kinks, not {kinks} of its tracks")
        return lambda n_tracks, rng: apply(ideal(n_tracks, rng), response, rng, sides)
    if kinks is not None:
        response = replace(response, kink_probability=kinks)
    return lambda n_tracks, rng: apply(ideal(n_tracks, rng, **response.kinks), response, rng, sides)


def _mixed(mix, makers):
    """One block maker out of those of the presets in a mix, name -> function."""

    def make_block(n_tracks, rng):
        preset = rng.permuted(np.tile(mix, (-(-len(n_tracks) // len(mix)), 1)), axis=1).ravel()[
            : len(n_tracks)
        ]
        parts = [np.flatnonzero(preset == name) for name in makers]
        events = concatenate(
            make(n_tracks[part], rng) for make, part in zip(makers.values(), parts, strict=True)
        )
        return events[np.argsort(np.concatenate(parts))]

    return make_block


def generate(
    n_events, tracks=(1, 2, 3, 4), preset="data", seed=0, first_event=0, kind="my_generator", kinks=None
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
    """The same as a function (n_events, seed=0, first_event=0) -> Events, for `number_of_tracks.load`;
    arguments as `generate`.
    """
    make_block = block_maker(preset, kind, kinks)

    def realistic(n_events, seed=0, first_event=0):
        return blocks.generate(make_block, n_events, tracks, seed, first_event)

    return realistic
