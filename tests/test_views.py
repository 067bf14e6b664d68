"""Hits to images, voxels and sequences, against loops over single hits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import views
from datasets.events import concatenate, make_events
from datasets.geometry import N_COLUMNS, N_LAYERS
from my_generator import realistic, toyhaystack

VIEWS = {
    "top": views.top_view,
    "side": views.side_view,
    "front": views.front_view,
    "padded": views.padded_view,
    "voxels": views.voxels,
}
NAN = np.nan


def table(events):
    """Events from lists of (side, layer, column, z)."""
    hits = [hit for event in events for hit in event]
    columns = zip(
        ("side", "layer", "column", "z_mm"), np.array(hits, float).reshape(-1, 4).T, strict=True
    )
    return make_events(
        dict(columns),
        np.concatenate([[0], np.cumsum([len(event) for event in events])]).astype(int),
    )


def lit(image):
    """The lit cells of one image, as a set of indices."""
    return set(map(tuple, np.argwhere(image).tolist()))


def place(name, side, layer, column, z, n_channels):
    """The cell one hit lights, None without the z it needs."""
    channel = side if n_channels == 2 else 0
    if name == "top":
        return layer, column, channel
    if name == "padded":
        return column + 2, layer + 2, channel
    if z != z:
        return None
    height = int((min(max(z, -1500), 1490) + 1500) / 100)
    return {"side": (height, column), "front": (height, layer), "voxels": (layer, column, height)}[
        name
    ] + (channel,)


heights = st.just(NAN) | st.integers(-1600, 1600).map(float)
hits = st.tuples(
    st.integers(0, 1), st.integers(0, N_LAYERS - 1), st.integers(0, N_COLUMNS - 1), heights
)
events = st.lists(st.lists(hits, max_size=12, unique_by=lambda hit: hit[:3]), max_size=4)
both = pytest.mark.parametrize("n_channels", [1, 2])
every = pytest.mark.parametrize("name", VIEWS)


@every
@both
@settings(max_examples=25, deadline=None)
@given(events)
def test_lit_cells_are_exactly_the_distinct_hits(name, n_channels, events):
    image = VIEWS[name](table(events), n_channels)
    assert image.shape == (len(events), *views.SHAPES[name], n_channels)
    assert image.dtype == np.uint8 and image.max(initial=0) <= 1
    for one, event in zip(image, events, strict=True):
        assert lit(one) == {place(name, *hit, n_channels) for hit in event} - {None}


@every
@both
def test_thousands_of_events_are_lit_as_one_by_one(name, n_channels):
    n = 2 * views.CHUNK + 3 if name != "voxels" else views.CHUNK + 3
    rng = np.random.default_rng(0)
    n_hits = rng.integers(0, 4, n)
    n_hits[[0, -1, views.CHUNK - 1, views.CHUNK]] = 3, 3, 0, 2
    total = n_hits.sum()
    hits = [
        rng.integers(0, 2, total),
        rng.integers(0, 9, total),
        rng.integers(0, 113, total),
        rng.uniform(-1600, 1600, total),
    ]
    hits[3][rng.random(total) < 0.1] = NAN
    events = make_events(
        dict(zip(("side", "layer", "column", "z_mm"), hits, strict=True)),
        np.concatenate([[0], np.cumsum(n_hits)]),
    )
    columns = [events.hits[k].tolist() for k in ("side", "layer", "column", "z_mm")]
    places = [place(name, *hit, n_channels) for hit in zip(*columns, strict=True)]
    expected = {
        (event, *p)
        for event, p in zip(events.hit_event.tolist(), places, strict=True)
        if p is not None
    }
    assert lit(VIEWS[name](events, n_channels)) == expected


@every
@both
@settings(max_examples=10, deadline=None)
@given(events, st.randoms(use_true_random=False))
def test_hit_order_is_irrelevant(name, n_channels, events, random):
    shuffled = [random.sample(event, len(event)) for event in events]
    np.testing.assert_array_equal(
        VIEWS[name](table(shuffled), n_channels), VIEWS[name](table(events), n_channels)
    )


COLUMN_AXIS = {"top": 2, "side": 2, "padded": 1, "voxels": 2}


@pytest.mark.parametrize("name", COLUMN_AXIS)
@settings(max_examples=10, deadline=None)
@given(events)
def test_mirrored_event_gives_mirrored_image(name, events):
    mirrored = [
        [(side, layer, N_COLUMNS - 1 - column, z) for side, layer, column, z in event]
        for event in events
    ]
    image, other = VIEWS[name](table(events)), VIEWS[name](table(mirrored))
    if name == "padded":  # two empty columns before and one behind
        image, other = image[:, 2:-1], other[:, 2:-1]
    np.testing.assert_array_equal(other, np.flip(image, COLUMN_AXIS[name]))


@every
@settings(max_examples=10, deadline=None)
@given(events)
def test_two_channels_are_the_two_sides_and_one_lays_them_together(name, events):
    image = VIEWS[name](table(events), 2)
    for side in (0, 1):
        alone = [[hit for hit in event if hit[0] == side] for event in events]
        np.testing.assert_array_equal(image[..., side : side + 1], VIEWS[name](table(alone), 1))
    np.testing.assert_array_equal(VIEWS[name](table(events), 1), image.max(-1, keepdims=True))


def test_a_hit_without_z_is_in_the_top_and_padded_views_only():
    events = table([[(1, 3, 7, NAN)], [(1, 3, 7, 0.0), (1, 4, 8, NAN)], [(1, 0, 0, NAN)]])
    counts = {
        name: view(events).sum((1, 2, 3) if name != "voxels" else (1, 2, 3, 4)).tolist()
        for name, view in VIEWS.items()
    }
    assert counts == {
        "top": [1, 2, 1],
        "padded": [1, 2, 1],
        "side": [0, 1, 0],
        "front": [0, 1, 0],
        "voxels": [0, 1, 0],
    }


def test_cells_of_the_padded_view_are_moved_by_two():
    image = views.padded_view(table([[(1, 0, 0, 0.0), (1, 8, 112, 0.0)]]))
    assert image.shape == (1, 116, 12, 1)
    assert lit(image[0, ..., 0]) == {(2, 2), (114, 10)}
    top = views.top_view(table([[(1, 0, 0, 0.0), (1, 8, 112, 0.0)]]))
    np.testing.assert_array_equal(image[0, 2:-1, 2:-1, 0], top[0, ..., 0].T)


def test_heights_beyond_the_ends_are_in_the_last_bins():
    heights = [-2000, -1550, -1500, -1401, 1399, 1400, 1490, 1500, 1550, 2000]
    image = views.front_view(table([[(1, 0, 0, z)] for z in heights]))
    assert image.argmax(1)[:, 0, 0].tolist() == [0, 0, 0, 0, 28, 29, 29, 29, 29, 29]


@every
@both
def test_an_empty_table_and_events_without_hits_give_dark_images(name, n_channels):
    assert VIEWS[name](make_events({}, [0]), n_channels).shape == (
        0,
        *views.SHAPES[name],
        n_channels,
    )
    dark = VIEWS[name](make_events({}, [0, 0, 0]), n_channels)
    assert dark.shape == (2, *views.SHAPES[name], n_channels) and not dark.any()


@both
def test_views_made_together_are_those_made_one_by_one(n_channels):
    events = toyhaystack.generate(50, seed=1)
    events.hits["z_mm"][::5] = NAN
    together = views.images(events, tuple(VIEWS), n_channels)
    assert list(together) == list(VIEWS)
    for name, view in VIEWS.items():
        np.testing.assert_array_equal(together[name], view(events, n_channels))


def test_images_leave_the_table_as_it_was():
    events = toyhaystack.generate(5, seed=1)
    before = {name: values.copy() for name, values in events.hits.items()}
    views.images(events, tuple(VIEWS)), views.sequences(events)
    for name in before:
        np.testing.assert_array_equal(events.hits[name], before[name])


# Sequences --------------------------------------------------------------------------------------------------


def hit_features(side, layer, column, radius, z):
    """One hit, as the docstring says."""
    radius, z = (None if value != value else value for value in (radius, z))
    return [
        2 * side - 1,
        (layer - 4) / 4,
        (column - 56) / 56,
        (radius or 0) / 22,
        (z or 0) / 1550,
        radius is not None,
        z is not None,
    ]


def test_features_of_a_hit_are_those_worked_out_by_hand():
    hits = {
        "side": [0, 1, 1],
        "layer": [0, 8, 4],
        "column": [0, 112, 56],
        "drift_radius_mm": [22, 0, NAN],
        "z_mm": [-1550, NAN, 775],
    }
    features, mask = views.sequences(make_events(hits, [0, 3]), max_hits=4)
    assert features.dtype == np.float32 and mask.dtype == bool
    assert mask.tolist() == [[True, True, True, False]]
    assert features.tolist() == [
        [[-1, -1, -1, 1, -1, 1, 1], [1, 1, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0.5, 0, 1], [0] * 7]
    ]
    assert len(views.SEQUENCE_FEATURES) == 7


@pytest.mark.parametrize("max_hits", [0, 1, 3, 128])
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(hits, st.just(NAN) | st.floats(0, 50, width=32)),
            max_size=6,
            unique_by=lambda h: h[0][:3],
        ),
        max_size=4,
    )
)
def test_sequences_are_the_hits_in_order_and_padding(max_hits, events):
    flat = (
        np.array([(*hit, radius) for event in events for hit, radius in event], float)
        .reshape(-1, 5)
        .T
    )
    columns = dict(zip(("side", "layer", "column", "z_mm", "drift_radius_mm"), flat, strict=True))
    offsets = np.concatenate([[0], np.cumsum([len(event) for event in events])]).astype(int)
    features, mask = views.sequences(make_events(columns, offsets), max_hits)
    assert features.shape == (len(events), max_hits, 7) and mask.shape == (len(events), max_hits)
    assert np.isfinite(features).all()
    for one, filled, event in zip(features, mask, events, strict=True):
        expected = [hit_features(*hit[:3], radius, hit[3]) for hit, radius in event[:max_hits]]
        assert filled.tolist() == [True] * len(expected) + [False] * (max_hits - len(expected))
        np.testing.assert_allclose(one[filled], np.array(expected).reshape(-1, 7), atol=1e-6)
        assert not one[~filled].any()


def test_values_of_sequences_are_about_minus_one_to_one():
    features, mask = views.sequences(toyhaystack.generate(500, tracks=4, seed=2), max_hits=256)
    assert mask.any(1).all() and np.abs(features).max() < 1.2
    assert features[mask].min(0)[:3].tolist() == [-1, -1, -1] and features[mask].max(0)[
        :3
    ].tolist() == [
        1,
        1,
        1,
    ]


def test_an_event_with_too_many_hits_loses_its_last_ones_and_the_next_none():
    events = concatenate(
        [table([[(1, 0, column, 0.0) for column in range(5)]]), table([[(1, 8, 112, 0.0)]])]
    )
    features, mask = views.sequences(events, max_hits=3)
    assert mask.tolist() == [[True] * 3, [True, False, False]]
    np.testing.assert_allclose(features[0, :, 2] * 56 + 56, [0, 1, 2], atol=1e-5)
    assert features[1, 0, 2] == 1


def test_an_empty_table_has_no_sequences():
    features, mask = views.sequences(make_events({}, [0]), max_hits=5)
    assert features.shape == (0, 5, 7) and mask.shape == (0, 5)
    features, mask = views.sequences(make_events({}, [0, 0]), max_hits=5)
    assert features.shape == (1, 5, 7) and not features.any() and not mask.any()


def test_owners_are_the_tracks_with_a_hit_in_the_piece():
    hits = {
        "side": [1] * 6,
        "layer": [0, 1, 2, 2, 3, 4],
        "column": [3, 4, 4, 5, 50, 60],
        "z_mm": [-1500, -1500, 1499, 0, 0, NAN],
    }
    hits |= {"track": [0, 1, 0, 2, -1, 1], "second_track": [1, -1, -1, -1, -1, -1]}
    tracks = {"foil_y_mm": [5.0, -5.0, 0.0], "foil_z_mm": [1.0, 3.0, 2.0]}
    events = make_events(hits, [0, 6], tracks, [0, 3])
    side = views.owners(events, "side", 4)  # along the foil: track 1, then 2, then 0
    assert lit(side[0]) == {(0, 0, 2), (0, 0, 0), (0, 1, 0), (29, 1, 2), (15, 1, 1), (15, 12, 4)}
    assert side.shape == (1, 30, 29, 5)
    front = views.owners(
        events, "front", n_tracks=2
    )  # by height: track 0, then 2, then 1, which is too many
    assert lit(front[0]) == {(0, 0, 0), (29, 2, 0), (15, 2, 1), (15, 3, 2)}
    assert lit(views.owners(events, "top", 113)[0]) == {
        (0, 0, 2),
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 2),
        (2, 0, 1),
        (3, 0, 4),
        (4, 0, 0),
    }


def test_owners_are_segments_where_they_are_told_apart():
    hits = {
        "side": [1] * 5,
        "layer": [0, 3, 5, 7, 8],
        "column": [3, 3, 4, 5, 90],
        "z_mm": [0.0] * 5,
    }
    hits |= {
        "track": [0, 0, 1, 1, -1],
        "second_track": [-1, 1, 0, -1, -1],
        "segment": [0, 1, 0, 2, 0],
    }
    events = make_events(hits, [0, 5], {"foil_y_mm": [5.0, -5.0], "n_segments": [2, 3]}, [0, 2])
    top = views.owners(
        events, "top", 113, n_segments=2
    )  # track 1 comes first; its third segment is told as its second
    assert lit(top[0]) == {
        (0, 0, 2),
        (3, 0, 3),
        (3, 0, 0),
        (5, 0, 0),
        (5, 0, 2),
        (7, 0, 1),
        (8, 0, 8),
    }


def test_owners_that_are_not_in_the_table_count_for_none():
    hits = {
        "side": [1] * 3,
        "layer": [0, 1, 2],
        "column": [3, 4, 5],
        "z_mm": [0.0] * 3,
        "track": [1, 0, -1],
    }
    events = make_events(hits, [0, 1, 3], {"foil_y_mm": [5.0]}, [0, 0, 1])
    assert [lit(top) for top in views.owners(events, "top", 113)] == [set(), {(1, 0, 0), (2, 0, 4)}]


def test_a_hit_without_owner_is_noise_only_where_others_have_one():
    hits = {
        "side": [1, 1],
        "layer": [0, 0],
        "column": [3, 9],
        "z_mm": [0.0, 0.0],
        "track": [-1, -1],
    }
    assert not views.owners(make_events(hits, [0, 1, 2]), "side").any()


@pytest.mark.parametrize("n_segments", [1, 2])
@pytest.mark.parametrize("name", ["top", "side", "front"])
def test_owners_cover_the_image(name, n_segments):
    events = realistic.generate(200, preset="harsh", seed=1)
    owned = views.owners(events, name, n_segments=n_segments)
    labelled = owned.any((1, 2, 3))
    assert labelled.mean() > 0.9
    np.testing.assert_array_equal(
        owned.any(-1)[labelled], views.images(events, (name,))[name][labelled, ..., 0]
    )


def test_tracks_of_one_foil_point_are_ordered_by_where_they_go():
    tracks = {"foil_y_mm": [10.0, 10.0, -5.0], "slope_y": [0.5, -0.5, NAN]}
    rank = views.track_rank(make_events({}, [0, 0], tracks, [0, 3]))
    np.testing.assert_array_equal(rank, [2, 0, 1])
    tracks["slope_y"] = [1, 1e9, -1e9]  # along the foil it is still two cells' way
    rank = views.track_rank(make_events({}, [0, 0], tracks, [0, 3]))
    np.testing.assert_array_equal(rank, [1, 2, 0])
