"""The sinh-arcsinh distribution (Jones & Pewsey 2009, doi:10.1093/biomet/asp053) in z-space.

A standardised residual u has ``z = sinh(delta * asinh((u - xi) / lambda) - epsilon)`` standard normal.
z is computed directly, never through a probability, so that it does not saturate in the tails.
Shapes are (p, 4) arrays of xi, lambda, epsilon, delta; (0, 1, 0, 1) is the standard normal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def to_z(u: FloatArray, shape: FloatArray) -> FloatArray:
    """z (n, p) of standardised residuals u (n, p)."""
    xi, width, epsilon, delta = shape.T
    return np.sinh(delta * np.arcsinh((u - xi) / width) - epsilon)


def from_z(z: FloatArray, shape: FloatArray) -> FloatArray:
    """Standardised residuals (n, p) that have z (n, p); inverse of `to_z`."""
    xi, width, epsilon, delta = shape.T
    return xi + width * np.sinh((np.arcsinh(z) + epsilon) / delta)


def slope(u: FloatArray, z: FloatArray, shape: FloatArray) -> FloatArray:
    """dz/du (n, p), positive."""
    xi, width, _, delta = shape.T
    return delta / width * np.sqrt((1 + z**2) / (1 + ((u - xi) / width) ** 2))
