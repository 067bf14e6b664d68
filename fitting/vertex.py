"""Where tracks begin on the source foil, x = 0: lines held to a given point of it, and the point that lines
have in common.

Both work on fitted lines and their covariances, without the hits: the sides of the wires stay as the fit has
chosen them. A line passes (y, z) of the foil at a distance of sin(phi) y - d in the top view, and there its
height is z0 + tan_dip cos(phi) y. These two are asked to be zero and z, which is regular for lines along the
foil as well, and the same for lines in x and in |x|: tracks of both tracker sides have one foil.
"""

from dataclasses import dataclass

import numpy as np

from fitting.line import probability_of_worse
from fitting.lines import Lines, normal_angle
from fitting.parameters import as_array

_STEPS = 3  # of Gauss-Newton; what the third changes is far below the errors
_PARALLEL = 1e-12  # smaller determinants mean that lines do not cross the foil


@dataclass
class HeldLines:
    """Lines held to a point of the foil; where none was known they are as they were fitted.

    Attributes:
        lines: Lines. covariance: (line, 4, 4) of phi_rad, d_mm, z0_mm, tan_dip.
        chi2: (line,) what holding adds to the chi2 of the hits, NaN where no point was known.
        n_degrees: (line,) degrees of freedom of it: 2, 1 without height of the line or the point, 0 without
            point.
    """

    lines: Lines
    covariance: np.ndarray
    chi2: np.ndarray
    n_degrees: np.ndarray

    def p_value(self):
        """(line,) probability that a line from the point misses it by more."""
        return probability_of_worse(self.chi2, self.n_degrees)


@dataclass
class Vertices:
    """Points of the foil from which lines come; NaN where the lines do not tell.

    Attributes:
        y_mm, z_mm: (vertex,). covariance: (vertex, 2, 2) of them.
        chi2: (vertex,) of the lines' ways past the vertex. n_degrees: (vertex,), two for each line with
            heights and one without, less those that the vertex takes; 0 for one line alone.
    """

    y_mm: np.ndarray
    z_mm: np.ndarray
    covariance: np.ndarray
    chi2: np.ndarray
    n_degrees: np.ndarray

    def p_value(self):
        """(vertex,) probability that lines from one point miss each other by more, NaN for one line alone."""
        return probability_of_worse(self.chi2, self.n_degrees)


def hold(fitted, y_mm, z_mm, sigma_y_mm, sigma_z_mm):
    """Fit lines again with a point of the foil that each must come from, within its errors.

    Args:
        fitted: FittedLines. y_mm, z_mm: (line,) or one number; NaN where not known, z alone too.
        sigma_y_mm, sigma_z_mm: errors of the point, (line,) or one number; infinite is not known.
    Returns:
        HeldLines. Of a line and its mirror image the one of lower chi2 comes from the point.
    """
    n_lines = len(fitted)
    y, z, sigma_y, sigma_z = (
        np.broadcast_to(np.asarray(values, float), n_lines)
        for values in (y_mm, z_mm, sigma_y_mm, sigma_z_mm)
    )
    held = np.isfinite(fitted.phi_rad) & np.isfinite(y) & np.isfinite(sigma_y)
    with_height = held & np.isfinite(fitted.z0_mm) & np.isfinite(z) & np.isfinite(sigma_z)
    y = np.where(held, y, 0)
    z = np.where(with_height, z, 0)
    asked = np.stack([held, with_height], axis=-1)

    before = np.nan_to_num(as_array(fitted))
    covariance = np.nan_to_num(fitted.covariance())
    parameters = before
    for _ in range(_STEPS):
        miss, derivatives = _miss(parameters, y, z, asked)
        noise = _noise(parameters, y, sigma_y, sigma_z, asked)
        expected = derivatives @ covariance @ derivatives.swapaxes(1, 2) + noise
        back = np.einsum("lij,lj->li", derivatives, before - parameters)
        first_miss = miss + back  # of the line as it was, by the derivatives here
        gain = covariance @ derivatives.swapaxes(1, 2) @ np.linalg.inv(expected)
        parameters = before - np.einsum("lij,lj->li", gain, first_miss)
    chi2 = np.einsum("li,lij,lj->l", first_miss, np.linalg.inv(expected), first_miss)
    covariance = covariance - gain @ derivatives @ covariance

    phi, sign = normal_angle(parameters[:, 0])
    signs = np.stack([np.ones(n_lines), sign, np.ones(n_lines), sign], axis=-1)
    unknown = np.isnan(as_array(fitted))
    values = np.where(unknown, np.nan, signs * np.column_stack([phi, parameters[:, 1:]]))
    unknown_pair = unknown[:, :, None] | unknown[:, None, :]
    covariance = np.where(unknown_pair, np.nan, signs[:, :, None] * covariance * signs[:, None, :])
    return HeldLines(
        lines=Lines(*values.T.copy()),
        covariance=covariance,
        chi2=np.where(held, chi2, np.nan),
        n_degrees=asked.sum(1),
    )


def _miss(parameters, y, z, asked):
    """How lines miss a point of the foil, (line, 2): distance in the top view, and height; and the
    derivatives by their parameters, (line, 2, 4). 0 where not asked.
    """
    phi, distance, z0, dip = parameters.T
    cos = np.cos(phi)
    sin = np.sin(phi)
    zero = np.zeros(len(phi))
    one = np.ones(len(phi))
    miss = np.stack([sin * y - distance, z0 + dip * cos * y - z], axis=-1)
    of_distance = np.stack([cos * y, -one, zero, zero], axis=-1)
    of_height = np.stack([-dip * sin * y, zero, one, cos * y], axis=-1)
    derivatives = np.stack([of_distance, of_height], axis=1)
    return miss * asked, derivatives * asked[:, :, None]


def _by_point(phi, dip):
    """Derivatives of `_miss` by y and z of the point, (line, 2, 2)."""
    by_y = np.stack([np.sin(phi), dip * np.cos(phi)], axis=-1)
    by_z = np.stack([np.zeros(len(phi)), -np.ones(len(phi))], axis=-1)
    return np.stack([by_y, by_z], axis=-1)


def _noise(parameters, y, sigma_y, sigma_z, asked):
    """What the errors of the point add to the covariance of `_miss`, (line, 2, 2); 1 where not asked."""
    by_point = _by_point(parameters[:, 0], parameters[:, 3])
    variance = np.stack([sigma_y, sigma_z], axis=-1) ** 2
    variance = np.where(asked, variance, 0)
    noise = (by_point * variance[:, None, :]) @ by_point.swapaxes(1, 2)
    both = asked[:, :, None] & asked[:, None, :]
    return np.where(both, noise, np.eye(2))


def common(fitted, vertex, n_vertices):
    """The point of the foil that lines have in common, for all vertices in one call.

    Two tracks of an event, on one side of the foil or on both, get one number of vertex; so may more.

    Args:
        fitted: FittedLines. vertex: (line,) int, the vertex that each comes from, -1 for none. n_vertices:
            how many there are.
    Returns:
        Vertices.
    """
    used = np.flatnonzero((np.asarray(vertex) >= 0) & np.isfinite(fitted.phi_rad))
    vertex = np.asarray(vertex)[used]
    all_parameters = as_array(fitted)[used]
    covariance = np.nan_to_num(fitted.covariance()[used])
    with_height = np.isfinite(all_parameters[:, 2])
    asked = np.stack([np.ones(len(used), bool), with_height], axis=-1)
    parameters = np.nan_to_num(all_parameters)
    phi, distance, z0, dip = parameters.T
    by_point = _by_point(phi, dip) * asked[:, :, None]
    wanted = np.stack([distance, -z0], axis=-1)  # by_point @ (y, z) for a line that meets the point

    def total(values):
        """Values of lines, (line,), added up for each vertex."""
        return np.bincount(vertex, values, n_vertices)

    n_heights = total(with_height)
    no_heights = n_heights == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        y = total(np.sin(phi) * distance) / total(np.sin(phi) ** 2)
        for _ in range(_STEPS):
            _, derivatives = _miss(parameters, y[vertex], 0, asked)
            expected = derivatives @ covariance @ derivatives.swapaxes(1, 2)
            expected[:, 1, 1] += ~with_height
            weight = _inverse(expected) * asked[:, :, None]
            to_point = by_point.swapaxes(1, 2) @ weight
            each = to_point @ by_point
            information = np.stack([total(each[:, i, j]) for i in (0, 1) for j in (0, 1)], axis=-1)
            information = information.reshape(-1, 2, 2)
            information[no_heights, 1, 1] = 1
            pulled = np.einsum("lij,lj->li", to_point, wanted)
            covariance_of_point = _inverse(information)
            pull = np.stack([total(pulled[:, 0]), total(pulled[:, 1])], axis=-1)
            y, z = np.einsum("vij,vj->iv", covariance_of_point, pull)
        point = np.stack([y, z], axis=-1)[vertex]
        miss = np.einsum("lij,lj->li", by_point, point) - wanted
        chi2 = total(np.einsum("li,lij,lj->l", miss, weight, miss))

    known = np.isfinite(y)
    z = np.where(no_heights, np.nan, z)
    covariance_of_point[no_heights, 1] = np.nan
    covariance_of_point[no_heights, :, 1] = np.nan
    n_degrees = total(np.ones(len(used))) + n_heights - np.where(no_heights, 1, 2)
    return Vertices(
        y_mm=y,
        z_mm=z,
        covariance=covariance_of_point,
        chi2=np.where(known, chi2, np.nan),
        n_degrees=np.where(known, n_degrees, 0).astype(int),
    )


def _inverse(matrices):
    """Inverse of symmetric (n, 2, 2) matrices; NaN for those without."""
    (a, b), (_, d) = np.moveaxis(matrices, 0, -1)
    determinant = a * d - b * b
    regular = determinant > _PARALLEL * np.abs(a * d)
    adjoint = np.stack([np.stack([d, -b], axis=-1), np.stack([-b, a], axis=-1)], axis=-2)
    return adjoint / np.where(regular, determinant, np.nan)[:, None, None]
