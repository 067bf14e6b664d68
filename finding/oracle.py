"""What geometry alone can tell when the lines are known: the ceiling of a track finder.

No finder: it is told which hits belong to each true track. It fits a line to them, or to those of each
straight segment, forgets who owned which hit, and asks of every hit which of the lines explains it best.
"""

import numpy as np

from datasets.geometry import CELL_RADIUS_MM
from finding import peeling
from finding.labels import group_of_hits, number_tracks, wires_mm
from fitting import line as lines_of

_MANY = 2**16  # more than tracks in an event, and than segments in a track


def find(events, sigma_radius_mm, sigma_z_mm, covered=False, n_sigma=5.0):
    """Give each hit to the true line of its half event that explains its radius and height best, or to none.

    What is left wrong: hits that another line explains better than their own, hits of noise and cross-talk on
    a line, and hits whose radius and height are not those of their track. A line of a single hit, which fixes
    no line, keeps its hit.

    Args:
        events: Events with labels, `track` and `segment` of each hit. sigma_radius_mm, sigma_z_mm: the true
            errors, (hit,) or one number.
        covered: a cell gives one hit, the one nearest to its wire. So a hit that no line explains may cover
            that of a track: it goes to a line that crosses its cell farther from the wire than the hit is,
            since there the track would have fired the cell.
        n_sigma: a hit whose radius or height is as many errors from a line is not explained by it; nor is one
            without a radius whose cell the line does not cross.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    radius, z, track = (events.hits[name] for name in ("drift_radius_mm", "z_mm", "track"))
    sigma_radius_mm, sigma_z_mm = (
        np.broadcast_to(sigma, radius.shape) for sigma in (sigma_radius_mm, sigma_z_mm)
    )
    x, y = wires_mm(events)
    group, owned = group_of_hits(events), np.flatnonzero(track >= 0)
    key = (group[owned] * _MANY + track[owned]) * _MANY + events.hits["segment"][owned]
    key, line_of_owned = np.unique(key, return_inverse=True)
    line_group, line_track = key // _MANY**2, key // _MANY % _MANY
    line = np.full(len(track), -1)
    line[owned] = line_of_owned
    lines = lines_of.fit(line, len(key), x, y, radius, z, sigma_radius_mm, sigma_z_mm, clip_sigma=n_sigma)

    hit, candidate = peeling.pairs_in_group(group, line_group, line, 2 * len(events))
    phi, distance = lines.phi_rad[candidate], np.abs(lines.distance_mm(candidate, x[hit], y[hit]))
    # where in the cell's square, 1 at its edge, the line's point nearest to the wire is
    place = distance * np.maximum(np.abs(np.cos(phi)), np.abs(np.sin(phi))) / CELL_RADIUS_MM
    off = np.where(
        np.isfinite(radius[hit]), np.abs(distance - radius[hit]) / sigma_radius_mm[hit], n_sigma * place
    )
    off_height = np.abs(lines.z_at(candidate, x[hit], y[hit]) - z[hit]) / sigma_z_mm[hit]
    explained = (off < n_sigma) & ~(off_height >= n_sigma)
    badness = off**2 + np.nan_to_num(off_height**2, nan=1.0)  # an unknown height is as good as an average one
    if covered:
        covers = ~explained & (place < 1) & (radius[hit] < distance)
        badness = np.where(covers, 2 * n_sigma**2 + off, badness)
        explained |= covers
    possible = np.flatnonzero(explained)
    worst_first = possible[np.argsort(-badness[possible], kind="stable")]
    found = np.full(len(track), -1)
    found[hit[worst_first]] = line_track[candidate[worst_first]]  # the last one written is the best
    alone = owned[np.isnan(lines.phi_rad[line_of_owned])]
    found[alone] = track[alone]
    return number_tracks(np.where(found >= 0, events.hit_event * _MANY + found, -1), events.hit_event)
