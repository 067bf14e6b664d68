"""Files that users have and that were not read once: each by its right numbers."""

import warnings

import numpy as np
import pytest

from datasets.readers import brio, open_events

pytestmark = pytest.mark.real

# name -> kind, events, hits, hits with radius, events with a known number of tracks, part of the warning
CASES = {
    "falaise4_cd_ptd_helix.brio": ("brio", 99, 2183, 2180, 99, ""),
    "falaise4_sd.brio": ("brio", 100, 2834, 2834, 100, ""),
    "falaise5_particle_track_v1.brio": ("brio", 1, 24, 24, 1, ""),
    "falaise_ssd_bank.brio": ("brio", 10, 313, 313, 10, "bank SSD: .*mctools::signal::signal_data"),
    "half_detector_sd.brio": (
        "brio",
        100,
        12,
        12,
        100,
        "its wires are 479.5 mm from .* another geometry",
    ),
    "falaise2tk_run0.root": ("tkevent", 100, 2127, 2125, 0, ""),
    "mievent.root": ("mievent", 100, 2198, 2195, 0, ""),
    "helix_hit_tree.root": ("toyhaystack", 846, 7978, 7978, 0, ""),
    "falaise3_sd_cd_tcd.brio": ("brio", 10, 209, 208, 10, ""),
    "ex00_flsd.brio.gz": ("brio", 10, 301, 301, 10, ""),
    "one_hit.root": ("my_generator", 1, 1, 1, 0, ""),
}


@pytest.mark.parametrize("name", CASES)
def test_every_file_is_read_with_all_its_hits(real_data, name):
    kind, n_events, n_hits, n_radii, n_known, warning = CASES[name]
    path = real_data / "cases" / name
    assert open_events.kind_of(path) == kind
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        events = open_events.read(path)
    assert (len(events), events.hit_offsets[-1]) == (n_events, n_hits)
    assert np.isfinite(events.hits["drift_radius_mm"]).sum() == n_radii
    assert (events.info["n_tracks"] >= 0).sum() == n_known
    assert len(said) == bool(warning)
    if warning:
        with pytest.raises(UserWarning, match=f"{name}: .*{warning}"):
            raise said[0].message


def test_falaise_4_with_helices_has_tracks_of_all_its_banks(real_data):
    path = real_data / "cases" / "falaise4_cd_ptd_helix.brio"
    every = list(brio.iter_events(path))
    assert {tuple(banks) for banks in every} == {("CD", "EH", "PTD", "SD", "TCD", "TTD")}
    fitted = [trajectory for banks in every for trajectory in brio.trajectories(banks)]
    # helices of many starts and lines: of each cluster the one that Falaise prefers, which its particles have
    assert len(fitted) == 197 and all(trajectory["properties"]["default"] for trajectory in fitted)
    preferred = {id(trajectory) for trajectory in fitted}
    of_particles = [particle["trajectory"] for banks in every for particle in brio.particles(banks)]
    assert {id(trajectory) for trajectory in of_particles if trajectory} == preferred
    assert {trajectory["pattern"]["pattern_id"] for trajectory in fitted} == {"line", "helix"}

    ((_, details),) = brio.stream_details(path)
    on_trajectories = details["trajectory"] >= 0
    assert on_trajectories.sum() > 0.85 * len(on_trajectories)
    # a trajectory fits one cluster
    assert (details["cluster"][on_trajectories] >= 0).all()
    assert (details["reconstructed"][on_trajectories] >= 0).all()


def test_helices_pass_near_the_hits_that_they_were_fitted_to(real_data):
    """A helix is a circle seen from above: hits are their drift radius away from it."""
    pulls = []
    for banks in brio.iter_events(
        real_data / "cases" / "falaise4_cd_ptd_helix.brio", ["CD", "TCD", "TTD"]
    ):
        for trajectory in brio.trajectories(banks):
            is_good = trajectory["properties"]["chi2"] < 5 * trajectory["properties"]["ndof"]
            if "helix" not in trajectory["pattern"] or not is_good:
                continue
            helix = trajectory["pattern"]["helix"]
            for hit in trajectory["cluster"]["hits"]:
                from_center = np.hypot(hit["x"] - helix["center"][0], hit["y"] - helix["center"][1])
                pulls.append((abs(from_center - helix["radius"]) - hit["r"]) / hit["sigma_r"])
    assert len(pulls) > 500
    assert np.nanmedian(np.abs(pulls)) < 1.5


def test_trajectories_and_particles_of_falaise_5_are_read(real_data):
    (banks,) = brio.iter_events(real_data / "cases" / "falaise5_particle_track_v1.brio")
    fitted = brio.trajectories(banks)
    assert fitted and all(trajectory["fit"]["ndof"] > 0 for trajectory in fitted)
    vertices = [vertex for particle in brio.particles(banks) for vertex in particle["vertices"]]
    assert vertices and {vertex["category"] for vertex in vertices} <= {1, 2, 4, 8, 16, 32, 64}
    events = brio.read(real_data / "cases" / "falaise5_particle_track_v1.brio")
    assert events.info["n_tracks"] == [2] and events.info["n_particles"] == [2]


def test_visible_tracks_are_fewer_than_particles_where_electrons_stray(real_data):
    events = brio.read(real_data / "cases" / "falaise4_sd.brio")
    n_tracks, n_particles = events.info["n_tracks"], events.info["n_particles"]
    assert n_particles.sum() == 225 and n_tracks.sum() < 200
    for i in range(len(events)):
        own = slice(*events.hit_offsets[i : i + 2])
        owners = np.stack([events.hits["track"][own], events.hits["second_track"][own]])
        cells = np.bincount(owners[owners >= 0], minlength=n_tracks[i])
        assert len(cells) == n_tracks[i] and (cells >= 3).all()
