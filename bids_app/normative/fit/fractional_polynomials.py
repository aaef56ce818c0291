"""Fractional polynomials of one positive variable (Royston & Altman 1994, doi:10.2307/2986270)."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.arrays import FloatArray

POWERS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)
LINEAR = POWERS.index(1.0)
PAIRS = tuple(combinations_with_replacement(range(len(POWERS)), 2))


def shift_and_scale(x: FloatArray) -> tuple[float, float]:
    """Shift and scale that R's ``mfp`` 1.5.4 applies before powers are taken.

    Parameters
    ----------
    x : (n,) array
        Training values, at least two distinct.

    Returns
    -------
    shift, scale : float
        Powers are taken of ``(x + shift) / scale``, which is positive on the training data.
    """
    smallest = float(x.min())
    shift = 0.0
    if smallest <= 0:
        gaps = np.diff(np.unique(x))
        shift = float(np.ceil((gaps.min() - smallest) * 10) / 10)
    magnitude = float(np.log10(np.mean(x + shift)))
    return shift, float(10 ** (np.sign(magnitude) * np.round(np.abs(magnitude))))


def power(x: FloatArray, exponent: float) -> FloatArray:
    """``x ** exponent``, or ``log(x)`` for exponent 0 (Box-Tidwell convention).

    Parameters
    ----------
    x : array
        Positive.
    exponent : float

    Returns
    -------
    array
        The shape of `x`.
    """
    if exponent == 0:
        return np.log(x)
    if exponent == 1:
        return x
    return np.sqrt(x) if exponent == 0.5 else x**exponent


def basis(x: FloatArray, powers: ArrayLike) -> FloatArray:
    """Columns of a fractional polynomial.

    Parameters
    ----------
    x : (n,) array
        Positive values, shifted and scaled.
    powers : sequence of float
        In rising order; NaN is skipped. A power p that comes twice or three times gives ``x^p``, ``x^p log x``
        and ``x^p log(x)^2``.

    Returns
    -------
    (n, number of powers) array
    """
    columns: list[FloatArray] = []
    wanted = [float(p) for p in np.atleast_1d(np.asarray(powers, dtype=float)) if not np.isnan(p)]
    for i, exponent in enumerate(wanted):
        repeated = i > 0 and exponent == wanted[i - 1]
        columns.append(columns[-1] * np.log(x) if repeated else power(x, exponent))
    return np.column_stack(columns) if columns else np.empty((x.size, 0))


def candidates(x: FloatArray) -> FloatArray:
    """All columns that an FP1 or FP2 can use: ``x^p`` (8), then ``x^p log x`` (8); shape (n, 16).

    Parameters
    ----------
    x : (n,) array
        Positive.

    Returns
    -------
    (n, 16) array
    """
    logarithm = np.log(x)
    plain = [power(x, p) for p in POWERS]
    return np.column_stack(plain + [column * logarithm for column in plain])


def candidate_columns(pair: tuple[int, int]) -> tuple[int, int]:
    """Columns of `candidates` for a pair of indices into `POWERS`."""
    first, second = pair
    return (first, second) if first != second else (first, first + len(POWERS))


def groups(powers: FloatArray) -> list[tuple[FloatArray, NDArray[np.intp]]]:
    """Regions that share powers.

    Parameters
    ----------
    powers : (p, k) array
        NaN for a power that is not used.

    Returns
    -------
    list of (powers without NaN, indices into the p regions)
    """
    keys = np.where(np.isnan(powers), np.inf, powers)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    inverse = np.ravel(inverse)
    return [(row[np.isfinite(row)], np.flatnonzero(inverse == i)) for i, row in enumerate(unique)]
