"""Other parameters of straight lines, those of TKEvent, with their covariances.

A line has four numbers. There are three ways to give them here, each as an array (line, 4), and a covariance
as (line, 4, 4) in the same order:

- of `Lines`: phi_rad, d_mm, z0_mm, tan_dip (`as_array`, `FittedLines.covariance`).
- slopes: a, b, c, d of y = a x + b, z = c x + d. (b, d) is where the line crosses the foil. A line along the
  foil has none: a and c are infinite there, b and d infinite or NaN, and their errors without bound near it.
- angles: phi, r, theta, h of TKEvent, regular for every line. phi, from -pi/2 to pi/2, is the direction of
  the line in the top view, measured from x: the normal is at phi - pi/2. r is the signed distance of the
  origin along that normal, (sin(phi), -cos(phi)). theta is the angle above the horizontal, from -pi/2 to
  pi/2. h is the height at the point nearest to the origin in the top view.

So the angles are those of `Lines` by another name: phi = phi_rad + pi/2, r = d_mm, theta = atan(tan_dip), h =
z0_mm. TKEvent's x is negative on side 0. Lines in |x| turn into those there by the sign of a and c.

    slopes = parameters.slopes(lines)
    covariance = parameters.carry(lines.covariance(), parameters.slopes_by_line(lines))
"""

import numpy as np

from fitting.lines import Lines, normal_angle


def as_array(lines):
    """(line, 4) phi_rad, d_mm, z0_mm, tan_dip."""
    return np.stack([lines.phi_rad, lines.d_mm, lines.z0_mm, lines.tan_dip], axis=-1)


def slopes(lines):
    """(line, 4) a, b, c, d of y = a x + b, z = c x + d, in mm."""
    a, c = lines.slopes()
    b, d = lines.foil_mm()
    return np.stack([a, b, c, d], axis=-1)


def lines_of_slopes(slopes):
    """Lines from a, b, c, d, (line, 4); NaN where a is infinite, since b cannot say where such a line is."""
    a, b, c, d = np.moveaxis(np.asarray(slopes, float), -1, 0)
    a = np.where(np.isfinite(a), a, np.nan)
    length = np.hypot(1, a)  # of the way in the top view, for a step of 1 along x
    tan_dip = c / length
    to_foil = b / length * a  # path at x = 0
    return Lines(
        phi_rad=np.arctan2(-1, a),
        d_mm=-b / length,
        z0_mm=d - tan_dip * to_foil,
        tan_dip=tan_dip,
    )


def angles(lines):
    """(line, 4) phi, r, theta, h of TKEvent, in rad and mm."""
    phi = lines.phi_rad + np.pi / 2
    theta = np.arctan(lines.tan_dip)
    return np.stack([phi, lines.d_mm, theta, lines.z0_mm], axis=-1)


def lines_of_angles(angles):
    """Lines from phi, r, theta, h, (line, 4), whatever turn phi is in: TKEvent's own is often beyond pi/2.

    A line exactly along the foil may come back with its normal turned round, -pi for 0.
    """
    phi, r, theta, h = np.moveaxis(np.asarray(angles, float), -1, 0)
    phi, sign = normal_angle(phi - np.pi / 2)
    return Lines(phi_rad=phi, d_mm=sign * r, z0_mm=h.copy(), tan_dip=sign * np.tan(theta))


# ---- derivatives, (line, 4, 4): first what changes, then what it changes with -------------------------------


def slopes_by_line(lines):
    """Derivatives of a, b, c, d by phi_rad, d_mm, z0_mm, tan_dip; not finite for lines along the foil."""
    sin = np.sin(lines.phi_rad)
    cos = np.cos(lines.phi_rad)
    distance = lines.d_mm
    dip = lines.tan_dip
    zero = np.zeros(len(lines))
    one = np.ones(len(lines))
    with np.errstate(divide="ignore", invalid="ignore"):
        cot = cos / sin
        of_a = [1 / sin**2, zero, zero, zero]
        of_b = [-distance * cos / sin**2, 1 / sin, zero, zero]
        of_c = [dip * cos / sin**2, zero, zero, -1 / sin]
        of_d = [-dip * distance / sin**2, dip * cot, one, distance * cot]
    return _matrices(of_a, of_b, of_c, of_d)


def line_by_slopes(slopes):
    """Derivatives of phi_rad, d_mm, z0_mm, tan_dip by a, b, c, d."""
    a, b, c, _ = np.moveaxis(np.asarray(slopes, float), -1, 0)
    length = np.hypot(1, a)
    square = length**2
    zero = np.zeros(len(a))
    one = np.ones(len(a))
    of_phi = [1 / square, zero, zero, zero]
    of_distance = [a * b / length**3, -1 / length, zero, zero]
    of_z0 = [b * c * (a**2 - 1) / square**2, -a * c / square, -a * b / square, one]
    of_dip = [-a * c / length**3, zero, 1 / length, zero]
    return _matrices(of_phi, of_distance, of_z0, of_dip)


def angles_by_line(lines):
    """Derivatives of phi, r, theta, h by phi_rad, d_mm, z0_mm, tan_dip."""
    derivatives = np.zeros((len(lines), 4, 4))
    derivatives[:, 0, 0] = 1
    derivatives[:, 1, 1] = 1
    derivatives[:, 2, 3] = 1 / (1 + lines.tan_dip**2)
    derivatives[:, 3, 2] = 1
    return derivatives


def line_by_angles(angles):
    """Derivatives of phi_rad, d_mm, z0_mm, tan_dip by phi, r, theta, h."""
    phi, _, theta, _ = np.moveaxis(np.asarray(angles, float), -1, 0)
    _, sign = normal_angle(phi - np.pi / 2)
    derivatives = np.zeros((len(phi), 4, 4))
    derivatives[:, 0, 0] = 1
    derivatives[:, 1, 1] = sign
    derivatives[:, 2, 3] = 1
    derivatives[:, 3, 2] = sign / np.cos(theta) ** 2
    return derivatives


def _matrices(*rows):
    """(line, 4, 4) from four rows of four (line,) arrays."""
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def carry(covariance, derivatives):
    """The covariance of other parameters, (line, 4, 4), from that of the first ones and their derivatives.

    What depends on something unknown is NaN; slopes of lines without heights keep the errors of a and b.
    """
    depends = derivatives != 0
    unknown = depends @ np.isnan(covariance) @ depends.swapaxes(-1, -2)
    no_derivative = ~np.isfinite(derivatives).all(-1)
    unknown |= no_derivative[:, :, None] | no_derivative[:, None, :]
    known_derivatives = np.nan_to_num(derivatives, posinf=0, neginf=0)
    carried = known_derivatives @ np.nan_to_num(covariance) @ known_derivatives.swapaxes(-1, -2)
    return np.where(unknown, np.nan, carried)
