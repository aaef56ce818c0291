"""The calibrated fit: location, log scale and shape of every region, both sexes together.

1. Location ``b0 + b1 male + b2 eTIV^q + FP(age)``: powers by the closed test (`mfpr`); q is 1 or 2, the same for
   all regions, by the sum of their log deviances.
2. ``log sigma = c0 + c1 male + c2 eTIV + FP(age)`` (`scale_fit`), on squared residuals corrected for leverage
   (Aitkin 1987, doi:10.2307/2347792); with few people location again by weighted least squares, twice.
3. Sinh-arcsinh shape of the standardised residuals by maximum likelihood (`shape_fit`).
4. Unless people are few, location, scale and shape at the maximum of their joint likelihood; with many people
   the age curve of the location is chosen anew there, of third degree (`joint_fit`).

Sharing slopes and the age curve between the sexes describes people held out better than separate fits do.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.normative.fit import joint_fit, mfpr, scale_fit, shape_fit
from bids_app.normative.fit.designs import MANY, Design, layout
from bids_app.normative.fit.joint_fit import linear_columns
from bids_app.normative.parameters import GAUSSIAN_SHAPE

ETIV_POWERS = (1.0, 2.0)
ETIV_COLUMN = 2
# Years; powers of an age near zero would let early childhood decide on the whole curve
ORIGIN = 10.0
MIN_FOR_SCALE = 100
# Fewer regions at a time would repeat what they share
LEAST_WIDTH = 4
THREADS = 2
# Tolerance of fits that only begin something
ROUGH = 1e-5
MIN_FOR_SHAPE = 200

CONSTANT_SCALE = "constant standard deviation"
NORMAL_SHAPE = "normal shape"


@dataclass(frozen=True)
class CalibratedFit:
    """Fits of p regions.

    Parameters
    ----------
    etiv_power : (p,) array
        q.
    powers : (p, 3) array
    sigma_powers : (p, 2) array
        Powers of ``(age + shift) / scale``; NaN when not used.
    coefficients, sigma_coefficients : (p, 6) arrays
        Intercept, male, eTIV, age terms; 0 when not used.
    roots, sigma_roots : (p, 6, 6) arrays
        ``|L x|^2`` is the variance of the predictor at the design row x.
    shape : (p, 4) array
    constant, normal : (p,) bool arrays
        Regions that fell back to a constant standard deviation, or to the normal shape.
    shift, scale : float
    n : int
    """

    etiv_power: FloatArray
    powers: FloatArray
    coefficients: FloatArray
    roots: FloatArray
    sigma_powers: FloatArray
    sigma_coefficients: FloatArray
    sigma_roots: FloatArray
    shape: FloatArray
    constant: NDArray[np.bool_]
    normal: NDArray[np.bool_]
    shift: float = 0.0
    scale: float = 1.0
    n: int = 0

    def location(self, age: FloatArray, male: FloatArray, etiv: FloatArray) -> FloatArray:
        """Location (n, p).

        Parameters
        ----------
        age, male, etiv : (n,) arrays
            Age in years; eTIV in mm^3.

        Returns
        -------
        (n, p) array
            On the modelled scale.
        """
        x = (age + self.shift) / self.scale
        return Design(x, male, etiv, self.powers, self.etiv_power).predict(self.coefficients)

    def sigma(self, age: FloatArray, male: FloatArray, etiv: FloatArray) -> FloatArray:
        """Scale (n, p).

        Parameters
        ----------
        age, male, etiv : (n,) arrays
            As for `location`.

        Returns
        -------
        (n, p) array
            Positive, on the modelled scale.
        """
        x = (age + self.shift) / self.scale
        return np.exp(Design(x, male, etiv, self.sigma_powers).predict(self.sigma_coefficients))

    def fallback(self, i: int) -> str | None:
        """What was simplified in region i, in words."""
        words = [word for word, used in ((CONSTANT_SCALE, self.constant[i]), (NORMAL_SHAPE, self.normal[i])) if used]
        return "; ".join(words) or None


def fit_location_scale_shape(
    age: FloatArray, male: FloatArray, etiv: FloatArray | None, values: FloatArray
) -> CalibratedFit:
    """Fit p regions.

    Parameters
    ----------
    age : (n,) array
        Years.
    etiv : (n,) array or None
        mm^3; None: no covariate, its coefficients are 0.
    male : (n,) array
        1 for male, 0 for female.
    values : (n, p) array
        On the modelled scale.

    Returns
    -------
    CalibratedFit
    """
    powers_of_etiv = (1.0,) if etiv is None else ETIV_POWERS
    starts = [mfpr.select(age + ORIGIN, linear_columns(male, etiv, q), values) for q in powers_of_etiv]
    best = int(np.argmin([np.log(np.maximum(start.deviance, np.finfo(float).tiny)).sum() for start in starts]))
    powers, shift, scale = starts[best].powers, starts[best].shift + ORIGIN, starts[best].scale
    scaled = (age + shift) / scale
    # Regions of the same powers side by side: a block then has few designs
    order = np.lexsort(powers.T) if age.size >= MANY else np.arange(len(powers))
    blocks = [order[b] for b in mfpr.blocks(age.size, values.shape[1], LEAST_WIDTH)]
    with ThreadPoolExecutor(THREADS if age.size >= MANY else 1) as pool:
        parts = list(
            pool.map(
                lambda b: _fit_block(
                    scaled, male, etiv, np.asarray(values[:, b], order=layout(age.size)), powers[b], ETIV_POWERS[best]
                ),
                blocks,
            )
        )
    back = np.argsort(order)
    arrays: dict[str, Any] = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])[back] for f in fields(CalibratedFit)[:-3]
    }
    if etiv is None:
        for name in ("coefficients", "roots", "sigma_coefficients", "sigma_roots"):
            arrays[name] = with_zero_etiv(arrays[name], ETIV_COLUMN)
    return CalibratedFit(**arrays, shift=shift, scale=scale, n=age.size)


def with_zero_etiv(values: FloatArray, column: int) -> FloatArray:
    """Coefficients (p, q) or roots (p, q, q) of a fit without eTIV, with zeros at `column`; the last is given up.

    Parameters
    ----------
    values : (p, q) or (p, q, q) array
    column : int
        Where the coefficient of eTIV stands.

    Returns
    -------
    array
        The shape of `values`.
    """
    for axis in range(1, values.ndim):
        values = np.insert(values, column, 0.0, axis=axis)
    return values[:, :-1] if values.ndim == 2 else values[:, :-1, :-1]


def _fit_block(
    scaled: FloatArray,
    male: FloatArray,
    etiv: FloatArray | None,
    values: FloatArray,
    powers: FloatArray,
    etiv_power: float,
) -> CalibratedFit:
    n, p = values.shape
    exponents = np.full(p, etiv_power)
    mean = Design(scaled, male, etiv, powers, exponents)
    beta, roots = mean.step(values)[0], mean.ordinary_roots()
    leverage = mean.quadratic(roots)
    squares = (values - mean.predict(beta)) ** 2 / (1 - leverage)
    kurtosis = scale_fit.excess_kurtosis(np.sqrt(squares))
    sigma_powers, start = _sigma_powers(scaled, male, etiv, squares, kurtosis)
    spread = Design(scaled, male, etiv, sigma_powers, constant=n < MIN_FOR_SCALE)
    gamma, failed = scale_fit.fit_log_sigma(spread, squares, start, scale_fit.TOLERANCE if n < MIN_FOR_SHAPE else ROUGH)
    for _ in range(0 if n >= MIN_FOR_SHAPE else 2):
        precision = np.exp(-2 * spread.predict(gamma))
        beta, roots = _known(mean.step(precision * values, precision), beta, roots)
        squares = (values - mean.predict(beta)) ** 2
        leverage = np.minimum(mean.quadratic(roots) * precision, 0.5)
        squares /= 1 - leverage
        gamma, failed = scale_fit.fit_log_sigma(spread, squares, gamma)
    sigma_roots = spread.ordinary_roots() * np.sqrt((1 + kurtosis / 2) / 2)[:, None, None]
    parts = joint_fit.Parts(_three(powers), beta, roots, gamma, sigma_roots, np.tile(GAUSSIAN_SHAPE, (p, 1)))
    shaped = np.zeros(p, dtype=bool)
    if n >= MIN_FOR_SHAPE:
        data = joint_fit.Data(scaled, male, etiv, etiv_power, values, 0.5 * np.log(1 - leverage))
        parts, shaped = _shaped(data, mean, spread, parts, failed)
    return CalibratedFit(
        exponents,
        parts.powers,
        parts.beta,
        parts.roots,
        sigma_powers,
        parts.gamma,
        parts.sigma_roots,
        parts.shape,
        failed | (n < MIN_FOR_SCALE),
        ~shaped,
    )


def _shaped(
    data: joint_fit.Data, mean: Design, spread: Design, parts: joint_fit.Parts, failed: NDArray[np.bool_]
) -> tuple[joint_fit.Parts, NDArray[np.bool_]]:
    """The fit with the shape of its residuals and, where its scale did not fail, at the joint maximum."""
    u = (data.values - mean.predict(parts.beta)) * np.exp(-spread.predict(parts.gamma))
    shape, shaped = shape_fit.fit_shapes(u)
    parts = replace(parts, shape=shape)
    return joint_fit.fit_jointly(data, mean, spread, parts).where(shaped & ~failed, parts), shaped


def _three(powers: FloatArray) -> FloatArray:
    return np.column_stack([powers, np.full(len(powers), np.nan)])


def _known(new: tuple[FloatArray, FloatArray], beta: FloatArray, roots: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The new solution where there is one, otherwise the old."""
    fine = np.asarray(np.isfinite(new[0]).all(axis=1))
    return np.where(fine[:, None], new[0], beta), np.where(fine[:, None, None], new[1], roots)


def _sigma_powers(
    scaled: FloatArray, male: FloatArray, etiv: FloatArray | None, squares: FloatArray, kurtosis: FloatArray
) -> tuple[FloatArray, FloatArray | None]:
    """Powers (p, 2) of age in log sigma, beside sex and eTIV, and the coefficients of these two."""
    none = np.full((squares.shape[1], 2), np.nan)
    if scaled.size < MIN_FOR_SCALE:
        return none, None
    linear = Design(scaled, male, etiv, none)
    gamma, _ = scale_fit.fit_log_sigma(linear, squares, tolerance=ROUGH)
    return scale_fit.select_powers(scaled, squares * np.exp(-2 * linear.predict(gamma)), kurtosis), gamma
