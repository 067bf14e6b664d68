"""What geometry alone can tell when the lines are known: the ceiling of a track finder.

No finder: it is told which hits belong to each true track. It fits a line to them, or to those of each
straight segment, or an arc, forgets who owned which hit, and asks of every hit which of the lines explains it
best.
"""

import numpy as np

from finding import peeling
from finding import segments as seg
from finding.labels import group_of_hits, number_tracks, wires_mm
from fitting import arc as arcs_of
from fitting import line as lines_of

_MANY = 2**16  # more than tracks in an event, and than segments in a track


def find(events, sigma_radius_mm, sigma_z_mm, covered=False, n_sigma=5.0, arcs=False):
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
        arcs: fit arcs instead of lines, for tracks that are bent. What the gas scatters beyond an arc has to
            be in `sigma_radius_mm`; hits that are far off do not leave the fit.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    radius = events.hits["drift_radius_mm"]
    z = events.hits["z_mm"]
    sigma_radius = np.broadcast_to(sigma_radius_mm, radius.shape)
    sigma_z = np.broadcast_to(sigma_z_mm, z.shape)
    x, y = wires_mm(events)
    true_line, group, track = _true_lines(events)
    of_hits = (x, y, radius, z, sigma_radius, sigma_z)
    lines = lines_of.fit(true_line, len(group), *of_hits, clip_sigma=n_sigma)
    if arcs:
        lines = arcs_of.fit(true_line, len(group), *of_hits, start=lines)

    # every pair of a hit and a line of its half event: how far off they are, in errors
    hit, line = peeling.pairs_in_group(group_of_hits(events), group, 2 * len(events))
    radius = radius[hit]
    distance = np.abs(lines.distance_mm(line, x[hit], y[hit]))
    reach = seg.reach_mm(lines)
    place = distance / reach[line]  # of the line in the cell's square, 1 at its edge
    from_circle = np.abs(distance - radius) / sigma_radius[hit]
    known = np.isfinite(radius)
    off = np.where(known, from_circle, n_sigma * place)
    height = lines.z_at(line, x[hit], y[hit])
    height_off = np.abs(height - z[hit]) / sigma_z[hit]
    height_off[np.isnan(height_off)] = 1.0  # an unknown height is as good as an average one

    explained = (off < n_sigma) & (height_off < n_sigma)
    badness = off**2 + height_off**2
    if covered:
        covers = ~explained & (place < 1) & (radius < distance)
        badness[covers] = 2 * n_sigma**2 + off[covers]  # worse than what any line explains
        explained |= covers
    owner = peeling.least_bad(len(x), hit[explained], line[explained], badness[explained])
    # a line without an angle is that of a single hit, or of several of one wire: it keeps them
    owned = np.flatnonzero(true_line >= 0)
    alone = owned[np.isnan(lines.phi_rad[true_line[owned]])]
    owner[alone] = true_line[alone]
    cluster = np.full(len(x), -1)
    found = np.flatnonzero(owner >= 0)
    cluster[found] = track[owner[found]]
    return number_tracks(cluster, events.hit_event)


def _true_lines(events):
    """The straight segments of the true tracks.

    Returns:
        true_line: (hit,) index of the line each hit belongs to, -1 for none. group, track: (line,) half event
            of each line, and a number for its track that no other event has.
    """
    owned = np.flatnonzero(events.hits["track"] >= 0)
    group = group_of_hits(events)[owned]
    track = group // 2 * _MANY + events.hits["track"][owned]
    segment = events.hits["segment"][owned]
    _, first, number = np.unique(
        (track * 2 + group % 2) * _MANY + segment,
        return_index=True,
        return_inverse=True,
    )
    true_line = np.full(len(events.hits["track"]), -1)
    true_line[owned] = number
    return true_line, group[first], track[first]
