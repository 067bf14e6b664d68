import numpy as np
import pytest
from conftest import assert_same

from my_generator import GENERATORS, realistic

MIX = realistic.MIXES["mix"]


@pytest.mark.parametrize("name", ["mix", "data_mix", "noise_mix", "toyhaystack_mix", "kinked"])
def test_any_range_of_a_mixed_stream_is_the_same_as_in_the_whole(name):
    generate, _ = GENERATORS[name]
    whole = generate(2500, seed=[3, 1])
    assert_same(whole[2000:2100], generate(100, seed=[3, 1], first_event=2000))
    assert whole.info["event"].tolist() == list(range(2500))


def spy(name):
    """A block maker whose events tell their preset in `run`."""

    def make_block(n_tracks, rng):
        events = realistic.block_maker(name)(n_tracks, rng)
        events.info["run"][:] = MIX.index(name)
        return events

    return make_block


def test_every_six_events_of_a_mix_are_three_ideal_ones_and_one_of_each_other_preset():
    make_block = realistic._mixed(MIX, {name: spy(name) for name in dict.fromkeys(MIX)})
    n_tracks = np.random.default_rng(0).integers(1, 5, 2048)
    events = make_block(n_tracks, np.random.default_rng(1))
    groups = events.info["run"][:2046].reshape(-1, 6)
    np.testing.assert_array_equal(
        np.sort(groups, axis=1), np.broadcast_to([0, 0, 0, 3, 4, 5], groups.shape)
    )
    assert len(np.unique(groups, axis=0)) > 50  # of the 120 orders
    np.testing.assert_array_equal(events.info["n_tracks"], n_tracks)
    np.testing.assert_array_equal(np.diff(events.track_offsets), n_tracks)


def test_one_event_in_seven_of_the_combined_mix_has_no_height():
    events = GENERATORS["combined_mix"][0](7 * 290, seed=6)  # within a block
    with_z = np.bincount(events.hit_event, np.isfinite(events.hits["z_mm"]), len(events)) > 0
    np.testing.assert_array_equal((~with_z).reshape(-1, 7).sum(1), 1)


def test_noise_alone_leaves_the_hits_of_tracks_as_they_are():
    ideal, noisy = (
        realistic.generate(2000, preset=preset, seed=7) for preset in ("ideal", "noise")
    )
    own = noisy.hits["track"] >= 0
    assert 1 - np.exp(-1.5) - 0.03 < (np.bincount(noisy.hit_event, ~own, 2000) > 0).mean() < 1
    assert np.isfinite(noisy.hits["z_mm"]).all()
    kept = (
        np.bincount(noisy.hit_event[own], minlength=2000) / ideal.n_hits
    )  # a noise hit may fall into a track's cell and be nearer
    assert kept.mean() > 0.99


def test_one_event_in_eight_of_the_noise_mix_is_ideal_but_for_noise():
    assert [realistic.MIXES["noise_mix"].count(preset) for preset in ("noise", "ideal")] == [1, 4]
    events = GENERATORS["noise_mix"][0](8192, seed=8)
    noisy = np.bincount(events.hit_event, events.hits["track"] < 0, len(events)) > 0
    assert (3 - 2 * np.exp(-1.5) - np.exp(-4)) / 8 - 0.02 < noisy.mean() < 3 / 8


@pytest.mark.parametrize("kind", realistic.KINDS)
def test_events_of_a_mix_have_the_effects_of_their_presets(kind):
    events = realistic.generate(12288, preset="mix", seed=4, kind=kind)
    noisy = np.bincount(events.hit_event, events.hits["track"] < 0, len(events)) > 0
    # a Poisson number of noise hits with mean 1.5 in a sixth of the events and 4 in another, and some
    # cross-talk
    assert (2 - np.exp(-1.5) - np.exp(-4)) / 6 - 0.02 < noisy.mean() < 2 / 6
    without_z = np.bincount(events.hit_event, np.isnan(events.hits["z_mm"]), len(events)) > 0
    assert 0.28 < without_z.mean() < 2 / 6
    assert set(np.unique(events.info["n_tracks"])) == {1, 2, 3, 4}


def test_half_of_the_tracks_of_the_kinked_generator_have_two_segments():
    events = GENERATORS["kinked"][0](4096, seed=5)
    n_tracks = len(events.tracks["kinked"])
    assert abs(events.tracks["kinked"].mean() - 0.5) < 4 * 0.5 / np.sqrt(n_tracks)
    np.testing.assert_array_equal(events.tracks["n_segments"], 1 + events.tracks["kinked"])
