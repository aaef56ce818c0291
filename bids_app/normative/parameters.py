"""Parameters of a native model: one region and sex at a time (file) and stacked (computation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import FloatArray

Range = tuple[float, float]

SEXES = ("female", "male")
GAUSSIAN_SHAPE = (0.0, 1.0, 0.0, 1.0)
LOG_FLOOR_MM3 = 1.0
MEAN_WIDTH = 5


@dataclass(frozen=True, kw_only=True)
class ScaleFit:
    """``log sigma = c0 + c1 eTIV + c2 f1(age) + c3 f2(age)``; `root` as in `RegionFit`, eTIV not raised."""

    powers: tuple[float, ...]
    coefficients: tuple[float, ...]
    root: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class RegionFit:
    """The model of one region in one sex.

    Parameters
    ----------
    n : int
        People it was fitted on.
    shift, scale : float
        Powers are of ``(age + shift) / scale``.
    powers : tuple
        One to three powers of the mean, in rising order; a repeated power p gives ``x^p``, ``x^p log x`` and
        ``x^p log(x)^2``.
    coefficients : tuple
        Intercept, ``eTIV^etiv_power`` (eTIV in mm^3), one per power.
    rmse : float
        Residual standard deviation, on the modelled scale (mm^3, or log mm^3).
    age_range, etiv_range, volume_range : (low, high)
        Years, mm^3, and the central 99 % of training volumes.
    root : tuple, optional
        Rows of a lower triangular L, ``Var(mean) = sum_i (sum_j L_ij x_j)^2`` for
        ``x = (1, eTIV^etiv_power, f1, ...)``; None when the precision of the mean is unknown.
    etiv_power : float
        1 or 2.
    sigma : ScaleFit, optional
        None: the standard deviation is `rmse` at every age.
    shape : (xi, lambda, epsilon, delta), optional
        Of the sinh-arcsinh distribution of standardised residuals; None: Gaussian.
    fallback : str, optional
        What was simplified because the data did not allow more.
    """

    n: int
    shift: float
    scale: float
    powers: tuple[float, ...]
    coefficients: tuple[float, ...]
    rmse: float
    age_range: Range
    etiv_range: Range
    volume_range: Range
    root: tuple[float, ...] | None = None
    etiv_power: float = 1.0
    sigma: ScaleFit | None = None
    shape: tuple[float, float, float, float] | None = None
    fallback: str | None = None


@dataclass(frozen=True, kw_only=True)
class RegionModel:
    """One region: its fits by sex, and how sites and FreeSurfer versions differ.

    Parameters
    ----------
    name : str
    transform : str
        ``identity``, or ``log``: the natural logarithm of the volume, at least 1 mm^3.
    fits : mapping of sex to RegionFit
    versions : mapping
        FreeSurfer major version to (offset, standard error), in units of sigma.
    site_sd : float, optional
        Standard deviation between sites of one version, in units of sigma.
    """

    name: str
    fits: Mapping[str, RegionFit]
    transform: str = "identity"
    versions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    site_sd: float | None = None


@dataclass(frozen=True)
class Terms:
    """Linear predictors of p regions, grouped by the design that they share.

    `groups` holds (powers, shift, scale, age range, power of eTIV, members); `coefficients` is (p, 5) and
    `roots` (p, 5, 5), zero-padded, NaN where the precision is unknown.
    """

    groups: tuple[tuple[FloatArray, float, float, Range, float, NDArray[np.intp]], ...]
    coefficients: FloatArray
    roots: FloatArray


@dataclass(frozen=True)
class Stack:
    """The fits of one sex in p regions as arrays."""

    mean: Terms
    sigma: Terms
    rmse: FloatArray
    constant: NDArray[np.bool_]
    shape: FloatArray
    age_range: FloatArray
    etiv_range: FloatArray


def triangle(rows: Sequence[float] | None, size: int) -> FloatArray:
    """Lower triangular (size, size) array from its rows; NaN when `rows` is None.

    Parameters
    ----------
    rows : sequence of float or None
    size : int

    Returns
    -------
    (size, size) array
        Zero behind the rows that are given.
    """
    if rows is None:
        return np.full((size, size), np.nan)
    width = round((float(np.sqrt(8 * len(rows) + 1)) - 1) / 2)
    out = np.zeros((size, size))
    out[np.tril_indices(width)] = rows
    return out


def lower_root(columns: FloatArray) -> FloatArray:
    """The lower triangle L, no row of which ends in a negative number, of ``L'L = columns' columns``.

    Without that rule its signs are those of rounding errors, so that two machines write two models of the same data.

    Parameters
    ----------
    columns : (m, q) array
        At least as many rows as columns.

    Returns
    -------
    (q, q) array
    """
    # QR of the columns in reverse order leaves a lower triangle.
    upper = np.asarray(np.linalg.qr(columns[:, ::-1], mode="r"))
    first = upper[np.arange(len(upper)), (upper != 0).argmax(axis=1)]
    signs = np.where(first < 0, -1.0, 1.0)
    return np.asarray(signs[:, None] * upper + 0.0)[::-1, ::-1]


def flat(root: FloatArray, width: int, digits: int = 8) -> tuple[float, ...]:
    """Rows of the leading lower triangle of `root`, rounded to significant `digits`.

    Parameters
    ----------
    root : (q, q) array
    width, digits : int

    Returns
    -------
    tuple of float
        ``width (width + 1) / 2`` numbers.
    """
    return tuple(float(f"{value:.{digits - 1}e}") for value in root[np.tril_indices(width)])


def _terms(
    fits: Sequence[RegionFit],
    powers: list[tuple[float, ...]],
    coefficients: list[tuple[float, ...]],
    roots: list[tuple[float, ...] | None],
    etiv_powers: list[float],
) -> Terms:
    keys = [(p, f.shift, f.scale, f.age_range, q) for p, f, q in zip(powers, fits, etiv_powers)]
    members: dict[tuple, list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    padded = np.zeros((len(fits), MEAN_WIDTH))
    for row, values in zip(padded, coefficients):
        row[: len(values)] = values
    return Terms(
        tuple((np.array(key[0], dtype=float), *key[1:], np.array(rows)) for key, rows in members.items()),
        padded,
        np.array([triangle(root, MEAN_WIDTH) for root in roots]).reshape(-1, MEAN_WIDTH, MEAN_WIDTH),
    )


def stack(fits: Sequence[RegionFit]) -> Stack:
    """Arrays for the fits of one sex."""
    sigma = [
        f.sigma
        or ScaleFit(powers=(), coefficients=(float(np.log(f.rmse)), 0.0), root=(1 / np.sqrt(2 * max(f.n, 1)), 0.0, 0.0))
        for f in fits
    ]
    return Stack(
        _terms(
            fits,
            [f.powers for f in fits],
            [f.coefficients for f in fits],
            [f.root for f in fits],
            [f.etiv_power for f in fits],
        ),
        _terms(
            fits, [s.powers for s in sigma], [s.coefficients for s in sigma], [s.root for s in sigma], [1.0] * len(fits)
        ),
        np.array([f.rmse for f in fits]),
        np.array([f.sigma is None for f in fits]),
        np.array([f.shape or GAUSSIAN_SHAPE for f in fits]),
        np.array([f.age_range for f in fits]),
        np.array([f.etiv_range for f in fits]),
    )
