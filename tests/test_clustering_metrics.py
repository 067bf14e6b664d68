import itertools
import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

import metrics

slow_at_times = settings(deadline=None, max_examples=60)
GOOD = (
    "efficiency",
    "efficiency_loose",
    "efficiency_90",
    "hit_accuracy",
    "noise_rejected",
    "signal_kept",
    "count_right",
    "perfect",
)
BAD = ("fake", "fake_loose", "duplicate", "duplicate_loose")


@st.composite
def tables(draw, shared=True):
    """Arguments of `clustering`.

    Events have up to 14 hits, some have none, of up to four true and four found tracks and noise.
    """
    n_hits = draw(st.lists(st.integers(0, 14), min_size=1, max_size=6))
    n_events = len(n_hits)
    total = sum(n_hits)
    labels = st.lists(st.integers(-1, 3), min_size=total, max_size=total)
    track = np.array(draw(labels), int)
    second = np.array(draw(labels), int)
    found = np.array(draw(labels), int)
    is_shared = (track >= 0) & (second != track) & shared
    second = np.where(is_shared, second, -1)
    n_tracks = draw(st.lists(st.integers(1, 4), min_size=n_events, max_size=n_events))
    offsets = np.r_[0, np.cumsum(n_hits)]
    return offsets, track, second, found, np.array(n_tracks)


def numbers(word):
    """A letter is a track, a dot is none."""
    return np.array([".abcdefgh".index(letter) - 1 for letter in word], int)


def one_event(track, found, second=None, n_tracks=None):
    """Figure -> value of one event.

    A letter a hit: which track it is of; a dot is noise, left out or no second owner.
    """
    second = numbers(second or "." * len(track))
    track = numbers(track)
    found = numbers(found)
    if n_tracks is None:
        n_tracks = len(set(track[track >= 0]))
    scores = metrics.clustering([0, len(track)], track, second, found, [n_tracks])
    return {figure: score["value"] for figure, score in scores["all"].items()}


def more_than_half(purity, share):
    return purity > Fraction(1, 2) and share > Fraction(1, 2)


def as_belle_ii(purity, share):
    return purity > Fraction(2, 3) and share > Fraction(1, 20)


def ninety_percent(purity, share):
    return purity >= Fraction(9, 10) and share >= Fraction(9, 10)


RULES = {"": more_than_half, "_loose": as_belle_ii, "_90": ninety_percent}


def n_common(found_track, true_track):
    return len(found_track & true_track)


def highest_sum(weights, free):
    """Highest sum of weights: each found track in turn goes to any true one that is free, or to none.

    Args:
        weights: a list a found track of its weight with each true one. free: indices of true tracks.
    """
    if not weights:
        return 0
    first, *others = weights
    sums = [highest_sum(others, free)]
    for t in free:
        sums.append(first[t] + highest_sum(others, free - {t}))
    return max(sums)


def best_pairs(weight, found_tracks, true_tracks):
    """Highest sum of weights, function (found track, true track) -> number, of all ways to pair tracks."""
    weights = [[weight(f, t) for t in true_tracks] for f in found_tracks]
    return highest_sum(weights, frozenset(range(len(true_tracks))))


def by_hand(track, second, found, n_tracks):
    """Figure -> (counted, of) of one event, by sets of hits and every way to pair tracks.

    The adjusted Rand index is not among them.
    """
    hits = range(len(track))
    owners = [{track[i], second[i]} - {-1} for i in hits]
    true_tracks = []
    for t in set().union(*owners):
        true_tracks.append({i for i in hits if t in owners[i]})
    found_tracks = []
    for f in set(found) - {-1}:
        found_tracks.append({i for i in hits if found[i] == f})
    n_true = len(true_tracks)
    n_found = len(found_tracks)

    expected = {}
    for name, rule in RULES.items():

        def is_match(found_track, true_track, rule=rule):
            n = n_common(found_track, true_track)
            purity = Fraction(n, len(found_track))
            share = Fraction(n, len(true_track))
            return rule(purity, share)

        n_pairs = best_pairs(is_match, found_tracks, true_tracks)
        n_match = sum(any(is_match(f, t) for t in true_tracks) for f in found_tracks)
        expected[f"efficiency{name}"] = (n_pairs, n_true)
        if name != "_90":
            expected[f"fake{name}"] = (n_found - n_match, n_found)
            expected[f"duplicate{name}"] = (n_match - n_pairs, n_found)

    signal = [i for i in hits if owners[i]]
    noise = [i for i in hits if not owners[i]]
    n_kept = sum(found[i] >= 0 for i in signal)
    n_rejected = sum(found[i] < 0 for i in noise)
    n_right = n_rejected + best_pairs(n_common, found_tracks, true_tracks)
    is_count_right = n_found == n_tracks
    return expected | {
        "hit_accuracy": (n_right, len(hits)),
        "noise_rejected": (n_rejected, len(noise)),
        "signal_kept": (n_kept, len(signal)),
        "count_right": (is_count_right, 1),
        "perfect": (is_count_right and n_right == len(hits), 1),
    }


@given(tables())
@slow_at_times
def test_every_figure_is_what_sets_of_hits_and_all_pairings_give(table):
    offsets, track, second, found, n_tracks = table
    counts = metrics.clustering_by_event(*table)
    del counts["adjusted_rand"]
    for i, (start, stop) in enumerate(itertools.pairwise(offsets)):
        expected = by_hand(track[start:stop], second[start:stop], found[start:stop], n_tracks[i])
        of_event = {
            figure: (int(counted[i]), int(of[i])) for figure, (counted, of) in counts.items()
        }
        assert of_event == expected


@given(tables())
@slow_at_times
def test_adjusted_rand_index_is_that_of_scikit_learn(table):
    offsets, track, _, found, _ = table
    index, has_hits = metrics.clustering_by_event(*table)["adjusted_rand"]
    np.testing.assert_array_equal(has_hits, np.diff(offsets) > 0)
    expected = []
    for start, stop in itertools.pairwise(offsets):
        score = adjusted_rand_score(track[start:stop], found[start:stop]) if stop > start else 0
        expected.append(score)
    np.testing.assert_allclose(index, expected, atol=1e-12)


@given(tables(), st.randoms(use_true_random=False))
@slow_at_times
def test_names_of_found_tracks_and_the_order_of_hits_do_not_matter(table, random):
    offsets, track, second, found, n_tracks = table
    other = found.copy()
    order = np.arange(len(found))
    for start, stop in itertools.pairwise(offsets):
        names = random.sample([0, 3, 8, 77, 2**62], 4)
        left_out = random.choice([-1, -9])  # the last name, which index -1 takes
        names = np.array([*names, left_out])
        other[start:stop] = names[found[start:stop]]
        order[start:stop] = random.sample(range(start, stop), int(stop - start))
    expected = metrics.clustering_by_event(*table)
    renamed = metrics.clustering_by_event(
        offsets, track[order], second[order], other[order], n_tracks
    )
    for figure in expected:
        np.testing.assert_allclose(renamed[figure], expected[figure], atol=1e-12, err_msg=figure)


@given(tables(shared=False))
@slow_at_times
def test_a_perfect_finder_has_hundred_percent_of_everything(table):
    offsets, track, second, _, _ = table
    n_tracks = []
    for start, stop in itertools.pairwise(offsets):
        true_tracks = set(track[start:stop]) - {-1}
        n_tracks.append(len(true_tracks))
    scores = metrics.clustering(offsets, track, second, track, n_tracks)["all"]
    for figure in (*GOOD, "adjusted_rand"):
        assert scores[figure]["value"] == 1 or scores[figure]["n"] == 0
    for figure in BAD:
        assert scores[figure]["value"] == 0 or scores[figure]["n"] == 0


@given(tables())
@slow_at_times
def test_who_finds_nothing_has_no_efficiency_and_no_fakes(table):
    offsets, track, second, _, n_tracks = table
    nothing = np.full_like(track, -1)
    counts = metrics.clustering_by_event(offsets, track, second, nothing, n_tracks)
    none = set(GOOD) - {"hit_accuracy", "noise_rejected"}
    for figure in none:
        counted, _ = counts[figure]
        assert not counted.any()
    for figure in BAD:
        assert not np.any(counts[figure])
    n_rejected, n_noise = counts["noise_rejected"]
    n_right, _ = counts["hit_accuracy"]
    np.testing.assert_array_equal(n_rejected, n_noise)
    np.testing.assert_array_equal(n_right, n_noise)


@given(tables())
@slow_at_times
def test_found_tracks_are_matched_doubled_or_fake_and_none_is_doubled_under_double_majority(table):
    pairs_of_counts = metrics.clustering_by_event(*table)
    counts = {figure: counted for figure, (counted, _) in pairs_of_counts.items()}
    _, n_found = pairs_of_counts["fake"]
    for kind in ("", "_loose"):
        total = counts[f"efficiency{kind}"] + counts[f"fake{kind}"] + counts[f"duplicate{kind}"]
        np.testing.assert_array_equal(total, n_found)
    assert not counts["duplicate"].any()
    assert (counts["efficiency_90"] <= counts["efficiency"]).all()


def check(scores, **expected):
    assert {figure: scores[figure] for figure in expected} == pytest.approx(expected)


def test_a_split_track_is_found_once_and_doubled_only_for_belle_ii():
    scores = one_event("aaaaaaaaaa", "aaaaaabbbb")
    check(
        scores,
        efficiency=1,
        fake=0.5,
        duplicate=0,
        efficiency_loose=1,
        fake_loose=0,
        duplicate_loose=0.5,
    )
    check(
        scores,
        efficiency_90=0,
        hit_accuracy=0.6,
        signal_kept=1,
        count_right=0,
        perfect=0,
        adjusted_rand=0,
    )


def test_two_tracks_merged_into_one_are_one_match_at_most():
    scores = one_event("aaaaaaabbb", "aaaaaaaaaa")
    check(scores, efficiency=0.5, fake=0, efficiency_loose=0.5, fake_loose=0)
    check(scores, hit_accuracy=0.7, count_right=0, perfect=0)
    scores = one_event("aaaaaabbbb", "aaaaaaaaaa")  # 60 % is not enough for Belle II
    check(scores, efficiency=0.5, fake=0, efficiency_loose=0, fake_loose=1, hit_accuracy=0.6)


def test_swapped_hits_cost_accuracy_and_perfection_but_no_track():
    scores = one_event("aaaaabbbbb", "bbbbaaaaab")
    check(scores, efficiency=1, fake=0, efficiency_loose=1, efficiency_90=0)
    check(scores, hit_accuracy=0.8, count_right=1, perfect=0)


def test_kept_noise_costs_purity():
    scores = one_event("aaaaaaaaa.", "aaaaaaaaaa")
    check(scores, efficiency=1, efficiency_90=1, noise_rejected=0, signal_kept=1)
    check(scores, hit_accuracy=0.9, count_right=1, perfect=0)
    check(
        one_event("aaaaaaaa.", "aaaaaaaaa"), efficiency=1, efficiency_90=0
    )  # 8 of 9 is below 90 %


def test_a_track_of_noise_is_a_fake():
    scores = one_event("aaaa...", "aaaabb.")
    check(scores, efficiency=1, fake=0.5, fake_loose=0.5, noise_rejected=1 / 3)
    check(scores, hit_accuracy=5 / 7, count_right=0, perfect=0)


def test_exactly_half_is_no_match():
    check(one_event("aaaa", "aa.."), efficiency=0, fake=1, efficiency_loose=1)
    check(one_event("aa..", "aaaa"), efficiency=0, fake=1)
    check(one_event("aaaa", "aaa."), efficiency=1, fake=0)


def test_belle_ii_wants_more_than_two_thirds_and_more_than_a_twentieth():
    check(one_event("aa.", "aaa"), efficiency=1, efficiency_loose=0, fake_loose=1)
    check(one_event("aaa.", "aaaa"), efficiency_loose=1, fake_loose=0)
    check(one_event(20 * "a", "a" + 19 * "."), efficiency_loose=0, fake_loose=1)
    check(one_event(19 * "a", "a" + 18 * "."), efficiency_loose=1, fake_loose=0)


@pytest.mark.parametrize("found", ["aaaabbb", "aaabbbb"])
def test_a_hit_of_two_tracks_is_right_on_either(found):
    scores = one_event("aaaabbb", found, second="...b...")
    check(scores, efficiency=1, fake=0, hit_accuracy=1, count_right=1, perfect=1)
    check(scores, efficiency_90=0.5)  # of four hits one track has three


def test_the_same_owner_twice_is_one_owner():
    check(
        one_event("aaa", "aa.", second="..a"), efficiency=1, fake=0
    )  # two of three hits, not of four


def test_one_found_track_never_counts_for_two_that_share_most_hits():
    scores = one_event("aaab", "aaaa", second=".bb.")  # three hits each, two of them shared
    check(
        scores,
        efficiency=0.5,
        fake=0,
        duplicate=0,
        efficiency_loose=0.5,
        hit_accuracy=0.75,
        perfect=0,
    )


def test_as_many_tracks_are_paired_as_can_be():
    # the shared hits alone match both tracks and must leave the one that has another match
    scores = one_event("aabbb", "aacbb", second="..a..")
    check(scores, efficiency_loose=1, duplicate_loose=1 / 3, fake_loose=0, hit_accuracy=0.8)
    scores = one_event("abb", "abb", second="b..")
    check(scores, efficiency_loose=1, duplicate_loose=0, hit_accuracy=1)


def test_pairs_are_the_best_in_all_and_not_the_largest_first():
    # largest first would give a-a (3 hits) and leave nothing in common for b; a-b and b-a are right for 2 + 2
    check(one_event("aaaaabb", "aaabbaa"), hit_accuracy=4 / 7)
    check(one_event("aaaaabb", "aaabbb."), hit_accuracy=4 / 7)


def test_a_track_without_hits_is_missed_in_the_count_only():
    check(
        one_event("aaa", "aaa", n_tracks=2), efficiency=1, hit_accuracy=1, count_right=0, perfect=0
    )


def test_events_without_hits_count():
    scores = metrics.clustering([0, 0, 0, 2], [0, 0], [-1, -1], [5, 5], [1, 0, 1])["all"]
    # the first event has no hits but one track: to find none is wrong
    assert scores["count_right"]["value"] == pytest.approx(2 / 3)
    assert scores["perfect"]["value"] == scores["count_right"]["value"]
    assert scores["perfect"]["n"] == 3
    assert scores["efficiency"]["n"] == 1
    assert scores["hit_accuracy"]["n"] == 2
    assert scores["adjusted_rand"]["n"] == 1
    assert np.isnan(scores["noise_rejected"]["value"])
    assert scores["noise_rejected"]["interval"] == [0, 1]


def test_no_events_are_no_error():
    scores = metrics.clustering([0], [], [], [], [], [])
    assert set(scores) == {"all", "noisy", "kinked", "clean"}
    assert all(score["n"] == 0 for score in scores["all"].values())


# Two events of one track, the second noisy; two events of two tracks and a kink, the second noisy too, and
# there a track is missed.
FOUR_EVENTS = {
    "hit_offsets": [0, 2, 5, 9, 14],
    "track": [0, 0, 0, 0, -1, 0, 0, 1, 1, 0, 0, 1, 1, -1],
    "second_track": np.full(14, -1),
    "found": [0, 0, 4, 4, -1, 2, 2, 3, 3, 0, 0, -1, -1, -1],
    "n_tracks": [1, 1, 2, 2],
    "kinked": [False, False, True, True],
}


def test_classes_are_apart_and_ready_for_json():
    scores = metrics.clustering(**FOUR_EVENTS)
    assert json.loads(json.dumps(scores["2"])) == scores["2"]
    n_events = {name: score["count_right"]["n"] for name, score in scores.items()}
    assert n_events == {"1": 2, "2": 2, "all": 4, "noisy": 2, "kinked": 2, "clean": 1}
    efficiency = {name: score["efficiency"]["value"] for name, score in scores.items()}
    expected = {"1": 1, "2": 3 / 4, "all": 5 / 6, "noisy": 2 / 3, "kinked": 3 / 4, "clean": 1}
    assert efficiency == pytest.approx(expected)
    assert "clean" not in metrics.clustering(**FOUR_EVENTS | {"kinked": None})


def test_intervals_are_binomial_and_that_of_a_mean_its_standard_error():
    scores = metrics.clustering(**FOUR_EVENTS)
    interval = list(metrics.binomial_interval(5, 6))
    assert scores["all"]["efficiency"] == {"value": 5 / 6, "interval": interval, "n": 6}
    # The last event has true clusters of 2, 2 and 1 hits, found ones of 2 and 3. Of 10 pairs of hits 2 are in
    # both, 2 in the true, 4 in the found ones: (2 - 2 4 / 10) / ((2 + 4) / 2 - 2 4 / 10).
    last = 1.2 / 2.2
    mean = (3 + last) / 4
    standard_deviation = (1 - last) / 2  # of three ones and the last
    error = standard_deviation / 4**0.5
    score = scores["all"]["adjusted_rand"]
    assert score["value"] == pytest.approx(mean)
    assert score["interval"] == pytest.approx([mean - error, mean + error])
    assert score["n"] == 4
    # one event has no spread
    assert scores["clean"]["adjusted_rand"] == {"value": 1, "interval": [-0.5, 1], "n": 1}


def test_arrays_of_other_events_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\).* for 1 events of 2 hits"):
        metrics.clustering([0, 2], [0, 0], [-1, -1], [0, 0, 0], [1])
    with pytest.raises(ValueError, match=r"\(1,\).* for 2 events of 2 hits"):
        metrics.clustering([0, 1, 2], [0, 0], [-1, -1], [0, 0], [1])
    with pytest.raises(ValueError, match="one class an event"):
        metrics.clustering([0, 2], [0, 0], [-1, -1], [0, 0], [1], [True, False])
