"""Straight lines: the one way in which fits give them, finders pass them on and figures draw them.

In the top view a line is cos(phi) x + sin(phi) y = d (Hesse's normal form, regular for any direction, also
along the foil). Its path s = -sin(phi) x + cos(phi) y is the way along it; phi lies between -pi and 0, so the
path grows with x. Its height is z0 + tan_dip s.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Lines:
    """Straight lines; NaN where a value is not known.

    Attributes:
        phi_rad: (line,) angle of the normal in the top view, from -pi to 0.
        d_mm: (line,) distance of the origin along the normal.
        z0_mm: (line,) height at the point nearest to the origin in the top view.
        tan_dip: (line,) dz/ds, how fast the height rises along the path.
    """

    phi_rad: np.ndarray
    d_mm: np.ndarray
    z0_mm: np.ndarray
    tan_dip: np.ndarray

    def __len__(self):
        return len(self.phi_rad)

    def __getitem__(self, which):
        """The lines of a slice, of a (line,) mask or of an array of indices, as Lines."""
        return Lines(
            phi_rad=self.phi_rad[which],
            d_mm=self.d_mm[which],
            z0_mm=self.z0_mm[which],
            tan_dip=self.tan_dip[which],
        )

    def __setitem__(self, which, lines):
        """Put other Lines in the places of these."""
        self.phi_rad[which] = lines.phi_rad
        self.d_mm[which] = lines.d_mm
        self.z0_mm[which] = lines.z0_mm
        self.tan_dip[which] = lines.tan_dip

    def normal(self, line):
        """(cos, sin) of phi of the lines with these indices: their unit normals in the top view."""
        cos = np.cos(self.phi_rad)
        sin = np.sin(self.phi_rad)
        return cos[line], sin[line]

    def distance_mm(self, line, x_mm, y_mm):
        """Signed distance of points in the top view from the lines with these indices; + on the side of the
        normal.
        """
        cos, sin = self.normal(line)
        return cos * x_mm + sin * y_mm - self.d_mm[line]

    def path_mm(self, line, x_mm, y_mm):
        """Path s of the point of a line closest to (x, y) in the top view."""
        cos, sin = self.normal(line)
        return cos * y_mm - sin * x_mm

    def point_mm(self, line, path_mm):
        """(x, y) in the top view of the point of a line at a path."""
        cos, sin = self.normal(line)
        d = self.d_mm[line]
        x = cos * d - sin * path_mm
        y = sin * d + cos * path_mm
        return x, y

    def z_along(self, line, path_mm):
        """Height in mm of the point of a line at a path."""
        return self.z0_mm[line] + self.tan_dip[line] * path_mm

    def z_at(self, line, x_mm, y_mm):
        """Height in mm of the point of a line closest to (x, y) in the top view."""
        return self.z_along(line, self.path_mm(line, x_mm, y_mm))

    def slopes(self):
        """(dy/dx, dz/dx), each (line,); infinite for lines along the foil."""
        dx_ds = -np.sin(self.phi_rad)
        dy_ds = np.cos(self.phi_rad)
        with np.errstate(divide="ignore", invalid="ignore"):
            return dy_ds / dx_ds, self.tan_dip / dx_ds

    def foil_mm(self):
        """(y, z) in mm where the lines cross x = 0, the foil in the frame of the detector, each (line,);
        infinite or NaN for lines along it.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            y = self.d_mm / np.sin(self.phi_rad)
            path = y * np.cos(self.phi_rad)
            z = self.z0_mm + self.tan_dip * path
        return y, z


def concatenate(parts):
    """The lines of several Lines, one after the other."""
    return Lines(
        np.concatenate([part.phi_rad for part in parts]),
        np.concatenate([part.d_mm for part in parts]),
        np.concatenate([part.z0_mm for part in parts]),
        np.concatenate([part.tan_dip for part in parts]),
    )


def unknown(n_lines):
    """Lines of which nothing is known: all NaN."""
    return Lines(*np.full((4, n_lines), np.nan))


def normal_angle(phi_rad):
    """Angles of the same lines from -pi to 0, and -1 where the normal was turned round for that, else 1.

    Where it was turned round, d and tan_dip change their sign.
    """
    whole_turn = 2 * np.pi
    phi = phi_rad % whole_turn - whole_turn
    turned = phi < -np.pi
    sign = np.where(turned, -1.0, 1.0)
    return phi + turned * np.pi, sign
