"""Answers of image networks become labels: networks that know the truth find it, and any event is taken."""

import numpy as np
import pytest
from conftest import random_events

import metrics
from datasets import clustering_images, views
from datasets.events import concatenate, make_events
from datasets.geometry import N_CELLS
from finding import by_images
from my_generator import realistic, toyhaystack

SURE = 20.0
N_SIDE = 9 * 113


def key(images):
    """Bytes of each image, to look its answer up."""
    return [image.tobytes() for image in images]


def sides_of(events):
    return [events.keep_hits(events.hits["side"] == side) for side in (0, 1)]


def knows_removal(events):
    """A network that knows what stays of these events, of one side each, and of what is left of them."""
    known = {}
    for side in sides_of(events):
        left = side
        for _ in range(8):
            image = views.padded_view(left)
            answer = np.where(clustering_images.without_left(left) > 0, SURE, -SURE)
            known.update(zip(key(image), answer, strict=True))
            left = without_owner(left, clustering_images.owners_from_left(left) == 0)
            left = left.keep_hits(clustering_images.at_hits(left, answer)[:, 0] > 0)
    return lambda images: np.stack([known[k] for k in key(images)])


def without_owner(events, gone):
    """Events in which some owners, (hit, 2) bool, own their hits no more; a shared hit is the other's alone."""
    owners = np.stack([events.hits["track"], events.hits["second_track"]], 1)
    owners[gone] = -1
    track = np.where(owners[:, 0] < 0, owners[:, 1], owners[:, 0])
    second = np.where(owners[:, 0] < 0, -1, owners[:, 1])
    return events.with_hits({"track": track, "second_track": second})


def knows_channels(events):
    known = {}
    for side in sides_of(events):
        answer = np.where(clustering_images.channels(side) > 0, SURE, -SURE)
        known.update(zip(key(views.padded_view(side)), answer, strict=True))
    return lambda images: np.stack([known[k] for k in key(images)])


def knows_tracks(events):
    """A network that grows the track of any seed; from noise nothing."""
    known = {}
    for side in sides_of(events):
        channels = clustering_images.channels(side)[..., :-1]
        known.update(zip(key(views.padded_view(side)), channels, strict=True))

    def say(images):
        of_event = np.stack([known[k] for k in key(images[..., :1])])
        seed = images[..., 1:]
        of_seed = (of_event * seed).max((1, 2), keepdims=True)  # the tracks of the seed's cell
        return np.where((of_event * of_seed).any(-1, keepdims=True), SURE, -SURE)

    return say


def scores_of(events, found):
    return {
        name: score["value"] for name, score in metrics.clustering_of(events, found)["all"].items()
    }


FINDERS = {
    "removal": lambda events: by_images.by_removal(
        events, knows_removal(events), by_images.true_number, min_hits=1
    ),
    "removal of the last too": lambda events: by_images.by_removal(
        events, knows_removal(events), by_images.true_number, remove_last=True, min_hits=1
    ),
    "channels": lambda events: by_images.by_channels(events, knows_channels(events), min_hits=1),
    "seeds": lambda events: by_images.by_seeds(events, knows_tracks(events), min_hits=1),
}


@pytest.mark.parametrize("name", ["removal", "channels"])
def test_who_knows_every_answer_finds_every_track_of_ideal_events(name):
    events = realistic.generate(60, preset="ideal", seed=2)
    scores = scores_of(events, FINDERS[name](events))
    assert scores["perfect"] == scores["hit_accuracy"] == 1


def test_seeds_find_every_track_but_those_whose_last_free_hit_is_shared():
    events = realistic.generate(60, preset="ideal", seed=2)
    found = FINDERS["seeds"](events)
    alone = np.bincount(events.hit_event, events.hits["second_track"] >= 0, len(events)) == 0
    assert alone.sum() > 20
    assert scores_of(events[alone], found[alone[events.hit_event]])["perfect"] == 1


def test_noise_is_left_by_those_who_can_tell_it():
    events = realistic.generate(60, preset="data", seed=2)
    for name in ("removal of the last too", "channels"):
        assert scores_of(events, FINDERS[name](events))["noise_rejected"] == 1
    last_left = scores_of(events, FINDERS["removal"](events))
    assert last_left["noise_rejected"] == 0 and last_left["count_right"] > 0.9


def test_each_side_is_looked_at_alone():
    events = toyhaystack.generate(30, seed=4)
    assert len(np.unique(events.hits["side"])) == 2
    for name in ("removal", "channels"):
        found = FINDERS[name](events)
        for i in range(len(events)):
            hits = slice(*events.hit_offsets[i : i + 2])
            of_side = [
                set(found[hits][events.hits["side"][hits] == side]) - {-1} for side in (0, 1)
            ]
            assert not of_side[0] & of_side[1]


def test_a_number_of_tracks_that_is_too_small_joins_the_rest():
    events = realistic.generate(30, (3,), "ideal", seed=5)

    def two(some):
        return np.full(len(some), 2)

    found = by_images.by_removal(events, knows_removal(events), two, min_hits=1)
    n_found = np.maximum.reduceat(found, events.hit_offsets[:-1]) + 1
    assert (n_found == 2).all()


def test_the_threshold_is_a_probability():
    events = realistic.generate(5, (2,), "ideal", seed=5)

    def says_three_quarters(images):
        return np.full((*images.shape[:3], 1), np.log(3.0))

    def two(some):
        return np.full(len(some), 2)

    for threshold, first_has_all in ((0.7, False), (0.8, True)):
        found = by_images.by_removal(events, says_three_quarters, two, threshold)
        assert (found == 0).all()  # one track either way
        steps = by_images.by_removal(
            events, says_three_quarters, lambda some: 0 * two(some), threshold
        )
        assert (steps == -1).all()
        last = by_images.by_removal(events, says_three_quarters, two, threshold, remove_last=True)
        assert (last == (0 if first_has_all else -1)).all()


def test_small_clusters_are_left_out():
    events = make_events({"layer": [0, 1, 0, 1, 2], "column": [5, 5, 50, 50, 50]}, [0, 5])

    def by_side(images):
        first = np.arange(images.shape[1])[:, None] < 30
        is_first = np.broadcast_to(first, images.shape[:3])
        return np.stack([is_first, ~is_first, np.zeros_like(is_first)], -1) * SURE

    assert by_images.by_channels(events, by_side).tolist() == [-1, -1, 0, 0, 0]
    assert by_images.by_channels(events, by_side, min_hits=2).tolist() == [0, 0, 1, 1, 1]


def random_network(n_values):
    def say(images):
        rng = np.random.default_rng(images.sum())
        return rng.normal(size=(*images.shape[:3], n_values)).astype(np.float32)

    return say


def three(events):
    return np.full(len(events), 3)


@pytest.mark.parametrize(
    "find",
    [
        lambda events: by_images.by_removal(events, random_network(1), three),
        lambda events: by_images.by_removal(events, random_network(1), three, remove_last=True),
        lambda events: by_images.by_channels(events, random_network(5)),
        lambda events: by_images.by_seeds(events, random_network(1)),
    ],
    ids=["removal", "last", "channels", "seeds"],
)
def test_every_event_is_taken_also_without_radii_heights_or_hits(find):
    odd = random_events(3, [0, 1, 2, N_CELLS, 40, 0], sides=(0, 1))
    along_foil = make_events({"layer": np.zeros(113, int), "column": np.arange(113)}, [0, 113])
    blind = odd[4:5].with_hits(
        {"drift_radius_mm": np.full(40, np.nan), "z_mm": np.full(40, np.nan)}
    )
    events = concatenate([odd, along_foil, blind])
    found = find(events)
    assert (
        found.shape == (events.hit_offsets[-1],) and found.dtype == np.int16 and found.min() >= -1
    )
    for i in np.flatnonzero(events.n_hits):  # numbered without gaps
        of_event = found[events.hit_offsets[i] : events.hit_offsets[i + 1]]
        assert set(of_event) - {-1} == set(range(of_event.max() + 1))
    assert find(events[:0]).shape == (0,) and find(events[:1]).shape == (0,)
