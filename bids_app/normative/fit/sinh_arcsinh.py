"""The sinh-arcsinh distribution (Jones & Pewsey 2009, doi:10.1093/biomet/asp053) in z-space.

A standardised residual u has ``z = sinh(delta * asinh((u - xi) / lambda) - epsilon)`` standard normal.
z is computed directly, never through a probability, so that it does not saturate in the tails.
Shapes are (p, 4) arrays of xi, lambda, epsilon, delta; (0, 1, 0, 1) is the standard normal.
"""

from __future__ import annotations

import numpy as np

from bids_app.arrays import FloatArray

# Beyond asinh(z) of 20 the density is zero in floating point
STEEPEST = 20.0
# Values whose intermediate arrays fit the processor's cache
CELLS = 16_384


def to_z(u: FloatArray, shape: FloatArray) -> FloatArray:
    """z (n, p) of standardised residuals u (n, p).

    Parameters
    ----------
    u : (n, p) array
    shape : (p, 4) array
        ``xi width epsilon delta``; width and delta positive.

    Returns
    -------
    (n, p) array
    """
    xi, width, epsilon, delta = shape.T
    return np.sinh(delta * np.arcsinh((u - xi) / width) - epsilon)


def from_z(z: FloatArray, shape: FloatArray) -> FloatArray:
    """Standardised residuals (n, p) that have z (n, p); inverse of `to_z`.

    Parameters
    ----------
    z : (n, p) array
    shape : (p, 4) array

    Returns
    -------
    (n, p) array
    """
    xi, width, epsilon, delta = shape.T
    return xi + width * np.sinh((np.arcsinh(z) + epsilon) / delta)


def slope(u: FloatArray, z: FloatArray, shape: FloatArray) -> FloatArray:
    """dz/du (n, p), positive.

    Parameters
    ----------
    u, z : (n, p) arrays
        ``z = to_z(u, shape)``.
    shape : (p, 4) array

    Returns
    -------
    (n, p) array
    """
    xi, width, _, delta = shape.T
    return delta / width * np.sqrt((1 + z**2) / (1 + ((u - xi) / width) ** 2))


def log_density(u: FloatArray, shape: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log density of u (n, p), up to a constant, and its derivative by u, each (n, p).

    Parameters
    ----------
    u : (n, p) array
    shape : (p, 4) array

    Returns
    -------
    density, derivative : (n, p) arrays
    """
    density, by_u = np.empty_like(u), np.empty_like(u)
    rows = max(1, CELLS // max(1, u.shape[1]))
    for start in range(0, len(u), rows):
        some = slice(start, start + rows)
        density[some], by_u[some] = _log_density(u[some], shape)
    return density, by_u


def _log_density(u: FloatArray, shape: FloatArray) -> tuple[FloatArray, FloatArray]:
    xi, width, epsilon, delta = shape.T
    a = (u - xi) / width
    root = np.sqrt(1 + a**2)
    t = quick_arcsinh(a, root)
    t *= delta
    t -= epsilon
    grown = np.exp(np.clip(t, -STEEPEST, STEEPEST, out=t), out=t)
    shrunk = 1 / grown
    z, cosh = (grown - shrunk) / 2, (grown + shrunk) / 2
    by_u = z * (delta / width)
    by_u *= 1 / cosh - cosh
    by_u /= root
    by_u -= a / (root**2 * width)
    density = np.log(cosh / root)
    density -= 0.5 * z**2
    density += np.log(delta / width)
    return density, by_u


def quick_arcsinh(a: FloatArray, root: FloatArray | None = None) -> FloatArray:
    """asinh(a) by the logarithm, several times faster, to 1e-16 of a + 1; `root` is ``sqrt(1 + a^2)``.

    Parameters
    ----------
    a : array
        Of any shape.
    root : array, optional
        Of the same shape; worked out where it is not given.

    Returns
    -------
    array
        As `a`.
    """
    magnitude = np.abs(a)
    magnitude += np.sqrt(1 + a**2) if root is None else root
    return np.copysign(np.log(magnitude, out=magnitude), a, out=magnitude)
