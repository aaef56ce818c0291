"""``mfp`` objects that were published without their training rows: what their inner fit still tells.

The triangle R of the design's QR decomposition gives the training means and spreads of the terms (its columns divided
by the corner, ``sqrt(n)``), with them the mean of the fitted values, and ``(R'R)^-1`` is the covariance of the
coefficients up to the residual variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_app.errors import ModelError
from bids_app.normative.importers.mfp import ANY_ETIV, ETIV_NAMES, FloatArray, matrix, model_terms, numbers
from bids_app.normative.importers.rfile import RObject
from bids_app.normative.parameters import RegionFit, flat

CENTRED_FIT = 0.01
CENTRED_COVARIATE = 0.001
CENTRAL_99 = 2.576
SPAN = 3.0


@dataclass(frozen=True)
class Means:
    """Training means that centred models do not hold: of the volume and of intracranial volume, mm^3."""

    volume: float | None = None
    etiv: float | None = None


def has_rows(model: RObject) -> bool:
    """Whether the object holds what its coefficients can be checked with."""
    return model.get("X") is not None or model.get("fit") is None


def summary_fit(model: RObject, where: str, ages: tuple[float, float], means: Means) -> tuple[RegionFit, bool]:
    """Parameters of one object without X and y, and whether it uses intracranial volume.

    Parameters
    ----------
    model : RObject
        R list of class ``mfp`` with ``powers``, ``scale`` and ``fit`` (coefficients, R, deviance, df.null).
    where : str
        File and element, for error messages.
    ages : (float, float)
        Training range that the authors state, years.
    means : Means
        For models of mean-centred volumes and covariates.

    Raises
    ------
    ModelError
        When parts are missing, or the model is centred and its means are not given.
    """
    powers, scale, used = model_terms(model, where)
    inner = model.get("fit")
    if inner is None:
        raise ModelError(f"{where} lacks fit", "it is not a whole mfp model")
    coefficients = numbers(inner, "coefficients", where)
    triangle, labels = matrix(inner, "R", where, columns=True)
    n = int(numbers(inner, "df.null", where)[0]) + 1
    square = (coefficients.size,) * 2
    if coefficients.size != 1 + sum(used.values()) or triangle.shape != square or not np.diag(triangle).all():
        raise ModelError(f"{where}: {coefficients.size} coefficients do not fit its {sum(used.values())} terms")
    rmse = _rmse(model, inner, n, where)
    etiv = [i for i, label in enumerate(labels) if any(name in label for name in ETIV_NAMES)]
    if len(etiv) != used.get("etiv", 0) or n <= coefficients.size or not np.isfinite([*coefficients, rmse]).all():
        raise ModelError(f"{where}: its terms {labels} are not those of its powers")
    column = triangle[0] / triangle[0, 0]
    spread = np.sqrt(np.square(triangle[1:]).sum(axis=0) / n)
    fitted_mean = float(coefficients @ column)
    volume = _volume_mean(where, fitted_mean, rmse, means)
    taken_off = sum(_etiv_mean(where, column[i], spread[i], means) for i in etiv)
    slope, etiv_range = 0.0, ANY_ETIV
    for i in etiv:
        slope, etiv_range = float(coefficients[i]), _span(column[i] + taken_off, SPAN * spread[i], 1000.0)
    ages_of = [float(b) for i, b in enumerate(coefficients) if i and i not in etiv]
    sd = np.sqrt(rmse**2 + np.square(triangle[1:] @ coefficients).sum() / n)
    fit = RegionFit(
        n=n,
        shift=scale[0],
        scale=scale[1],
        powers=powers,
        coefficients=(float(coefficients[0]) + volume - slope * taken_off, slope, *ages_of),
        rmse=rmse,
        age_range=ages,
        etiv_range=etiv_range,
        volume_range=_span(fitted_mean + volume, CENTRAL_99 * sd, 10.0),
        root=None if etiv else _root(triangle, rmse * np.sqrt(n / (n - coefficients.size))),
    )
    return fit, bool(etiv)


def _rmse(model: RObject, inner: RObject, n: int, where: str) -> float:
    if model.get("residuals") is not None:
        return float(np.sqrt(np.mean(numbers(model, "residuals", where) ** 2)))
    return float(np.sqrt(numbers(inner, "deviance", where)[0] / n))


def _volume_mean(where: str, fitted_mean: float, rmse: float, means: Means) -> float:
    """What was taken off the volumes before training."""
    if abs(fitted_mean) >= CENTRED_FIT * rmse:
        return 0.0
    if means.volume is None:
        raise ModelError(
            f"{where} was trained on mean-centred volumes and does not say which mean",
            "give a table of training means with --offsets (columns sex, region, K and, where intracranial volume was "
            "centred too, ICV)",
        )
    return means.volume


def _etiv_mean(where: str, mean: float, sd: float, means: Means) -> float:
    """What was taken off intracranial volume before training."""
    if abs(mean) >= CENTRED_COVARIATE * sd:
        return 0.0
    if means.etiv is None:
        raise ModelError(
            f"{where} was trained on mean-centred intracranial volumes and does not say which mean; the authors do not "
            "publish it",
            "give it with --offsets (column ICV, mm^3), or import the models without global measures",
        )
    return means.etiv


def _span(middle: float, half: float, unit: float) -> tuple[float, float]:
    return float(np.floor((middle - half) / unit) * unit), float(np.ceil((middle + half) / unit) * unit)


def _root(triangle: FloatArray, sigma: float) -> tuple[float, ...]:
    """Lower triangular L with ``Var(x'b) = |L x|^2``, a row and column of zeros for the absent eTIV."""
    inverse = np.linalg.inv(triangle)
    covariance = sigma**2 * inverse @ inverse.T
    sd = np.sqrt(np.diag(covariance))
    factor = np.linalg.cholesky((covariance / np.outer(sd, sd))[::-1, ::-1])
    small = factor[::-1, ::-1].T * sd
    root = np.zeros((len(small) + 1,) * 2)
    keep = [0, *range(2, len(root))]
    root[np.ix_(keep, keep)] = small
    return flat(root, len(root))
