"""Arcs: circles in the top view whose height rises evenly along them, the tracks of charged particles in the
field. A line is an arc of curvature 0.

Each arc has a point (x0, y0) to which it is referred, near its first hit. There it passes at the distance d
along its normal (cos(phi), sin(phi)), and goes in the direction (-sin(phi), cos(phi)). The path s is 0 there
and grows in that direction, which is away from the foil. The curvature is positive where the arc turns to the
left, which is towards +y for a track that leaves the foil straight away, in |x|. Everything is regular at
curvature 0.
"""

from dataclasses import dataclass

import numpy as np

_MM_T_PER_MEV = 1 / 0.299792458  # radius in mm of 1 MeV/c in 1 T
_T_PER_GAUSS = 1e-4
_STRAIGHT_RAD = 1e-6  # turns below it are as good as none


@dataclass
class Arcs:
    """Arcs; NaN where a value is not known.

    Attributes:
        x0_mm, y0_mm: (arc,) the point that the arc is referred to.
        phi_rad: (arc,) angle of the normal at the point of the arc nearest to it.
        d_mm: (arc,) distance of that point along the normal.
        curvature_per_mm: (arc,) positive to the left.
        z0_mm: (arc,) height there. tan_dip: (arc,) dz/ds.
    """

    x0_mm: np.ndarray
    y0_mm: np.ndarray
    phi_rad: np.ndarray
    d_mm: np.ndarray
    curvature_per_mm: np.ndarray
    z0_mm: np.ndarray
    tan_dip: np.ndarray

    def __len__(self):
        return len(self.phi_rad)

    def _in_frame(self, arc, x_mm, y_mm):
        """(along, beyond) of points: along the direction at s = 0, and along the normal beyond the arc
        there.
        """
        x = x_mm - self.x0_mm[arc]
        y = y_mm - self.y0_mm[arc]
        cos = np.cos(self.phi_rad[arc])
        sin = np.sin(self.phi_rad[arc])
        return cos * y - sin * x, cos * x + sin * y - self.d_mm[arc]

    def normal(self, arc):
        """(cos, sin) of phi of the arcs with these indices: their unit normals where the path is 0."""
        return np.cos(self.phi_rad)[arc], np.sin(self.phi_rad)[arc]

    def distance_mm(self, arc, x_mm, y_mm):
        """Signed distance of points in the top view from the arcs with these indices; + on the side of the
        normal.
        """
        along, beyond = self._in_frame(arc, x_mm, y_mm)
        return distance(along, beyond, self.curvature_per_mm[arc])[0]

    def path_mm(self, arc, x_mm, y_mm):
        """Path s of the point of an arc closest to (x, y) in the top view."""
        along, beyond = self._in_frame(arc, x_mm, y_mm)
        return path(along, beyond, self.curvature_per_mm[arc])

    def point_mm(self, arc, path_mm):
        """(x, y) in the top view of the point of an arc at a path."""
        along, to_left = _from_start(path_mm, self.curvature_per_mm[arc])
        cos = np.cos(self.phi_rad[arc])
        sin = np.sin(self.phi_rad[arc])
        across = self.d_mm[arc] - to_left  # the left is against the normal
        x = self.x0_mm[arc] + cos * across - sin * along
        y = self.y0_mm[arc] + sin * across + cos * along
        return x, y

    def z_along(self, arc, path_mm):
        """Height in mm of the point of an arc at a path."""
        return self.z0_mm[arc] + self.tan_dip[arc] * path_mm

    def z_at(self, arc, x_mm, y_mm):
        """Height in mm of the point of an arc closest to (x, y) in the top view."""
        return self.z_along(arc, self.path_mm(arc, x_mm, y_mm))

    def path_at_foil_mm(self):
        """(arc,) path at which arcs cross x = 0, the crossing nearest to s = 0; NaN where they do not."""
        angle = self.phi_rad + np.pi / 2  # of the direction
        k = self.curvature_per_mm
        # x(s) = x_start + (sin(angle + k s) - sin(angle)) / k
        x_start = self.x0_mm + np.cos(self.phi_rad) * self.d_mm
        with np.errstate(invalid="ignore", divide="ignore"):
            turned = np.arcsin(np.sin(angle) - k * x_start)
            # of the two crossings that one where the direction is the same, away from the foil or towards it
            goes_away = np.cos(angle) >= 0
            turned = np.where(goes_away, turned, np.pi - turned)
            turn = (turned - angle + np.pi) % (2 * np.pi) - np.pi
            straight = -x_start / np.cos(angle)
            return np.where(np.abs(k * x_start) < _STRAIGHT_RAD, straight, turn / k)

    def foil_mm(self):
        """(y, z) in mm where arcs cross x = 0, each (arc,); NaN for those that do not."""
        arc = np.arange(len(self))
        way = self.path_at_foil_mm()
        _, y = self.point_mm(arc, way)
        return y, self.z_along(arc, way)

    def momentum_mev(self, field_gauss):
        """(arc,) momentum in MeV/c in a field along the wires; infinite for lines. Without a height it is
        that across the wires.
        """
        radius_of_1_mev = _MM_T_PER_MEV / (field_gauss * _T_PER_GAUSS)
        climb = np.hypot(1, np.nan_to_num(self.tan_dip))
        with np.errstate(divide="ignore"):
            return climb / (np.abs(self.curvature_per_mm) * radius_of_1_mev)


def of_lines(lines, x0_mm, y0_mm):
    """Lines as arcs, referred to points, (line,) each."""
    line = np.arange(len(lines))
    distance_of_points = lines.distance_mm(line, x0_mm, y0_mm)
    return Arcs(
        x0_mm=np.array(x0_mm, float),
        y0_mm=np.array(y0_mm, float),
        phi_rad=lines.phi_rad.copy(),
        d_mm=-distance_of_points,
        curvature_per_mm=np.zeros(len(lines)),
        z0_mm=lines.z_at(line, x0_mm, y0_mm),
        tan_dip=lines.tan_dip.copy(),
    )


def distance(along, beyond, curvature):
    """Signed distance of points from arcs.

    Args:
        along, beyond: of points from the arc's own at s = 0, in its direction and along its normal.
        curvature: of the arcs.
    Returns:
        the distance, + on the side of the normal; and how far from the middle of the circle the points are,
        in radii.
    """
    curved_along = curvature * along
    up = 1 + curvature * beyond
    in_radii = np.sqrt(up * up + curved_along * curved_along)
    return (2 * beyond + curvature * (along * along + beyond * beyond)) / (1 + in_radii), in_radii


def path(along, beyond, curvature):
    """Path along arcs to the points nearest to others; arguments as of `distance`."""
    turn = np.arctan2(curvature * along, 1 + curvature * beyond)
    curved = np.abs(turn) > _STRAIGHT_RAD
    return np.where(curved, turn / np.where(curved, curvature, 1), along)


def _from_start(path_mm, curvature):
    """How far the points of arcs at paths are along the direction at s = 0, and to the left of it."""
    half = curvature * path_mm / 2
    chord = path_mm * np.sinc(half / np.pi)
    return chord * np.cos(half), chord * np.sin(half)
