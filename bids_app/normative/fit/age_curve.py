"""The fractional polynomial of third degree in age that fits best beside linear covariates, for many regions."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from bids_app.arrays import FloatArray
from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.fit.age_groups import AgeGroups

DEGREE = 3
AGE_GROUPS = 1000
MODELS = tuple(combinations_with_replacement(range(len(fp.POWERS)), DEGREE))


def select_powers(scaled: FloatArray, linear: FloatArray, response: FloatArray, precision: FloatArray) -> FloatArray:
    """Powers of the smallest weighted sum of squares among the 120 polynomials of third degree.

    Parameters
    ----------
    scaled : (n,) array
        Age, shifted and scaled.
    linear : (n, k) array
        Covariates beside age.
    response, precision : (n, p) arrays

    Returns
    -------
    (p, 3) array

    Notes
    -----
    Sums of squares come from the moments of at most 1,000 groups of similar age.
    """
    groups = AgeGroups(scaled, AGE_GROUPS)
    root = np.sqrt(groups.people)[:, None]
    orthonormal, triangle = np.linalg.qr(_columns(groups.age) * root)
    standard = (linear - linear.mean(axis=0)) / np.maximum(linear.std(axis=0), np.finfo(float).tiny)
    normal, right = _moments(groups, orthonormal / root, standard, response, precision)
    gain = _explained(normal, right, _spaces(triangle, linear.shape[1]))
    return np.asarray(fp.POWERS)[np.asarray(MODELS)[gain.argmax(axis=0)]]


def _columns(x: FloatArray) -> FloatArray:
    """Columns (g, 25) that a polynomial can use: 1, then for each power ``x^p``, ``x^p log x`` and ``x^p log(x)^2``."""
    return np.column_stack([np.ones(x.size), *(fp.basis(x, [p] * DEGREE) for p in fp.POWERS)])


def _places(model: tuple[int, ...]) -> list[int]:
    """Columns of `_columns` that a model has: how often a power came before says which of its three."""
    return [0, *(1 + DEGREE * i + model[:place].count(i) for place, i in enumerate(model))]


def _spaces(triangle: FloatArray, n_linear: int) -> FloatArray:
    """Orthonormal basis (models, columns, width) of each model, in coordinates of the linear and age columns."""
    size = n_linear + triangle.shape[1]
    out = np.zeros((len(MODELS), size, n_linear + 1 + DEGREE))
    out[:, range(n_linear), range(n_linear)] = 1
    for space, model in zip(out, MODELS):
        space[n_linear:, n_linear:] = np.linalg.qr(triangle[:, _places(model)])[0]
    return out


def _moments(
    groups: AgeGroups, basis: FloatArray, linear: FloatArray, response: FloatArray, precision: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """``X'WX`` (p, c, c) and ``X'Wy`` (p, c) for the linear columns and an age basis (g, c - k)."""
    p, k, size = response.shape[1], linear.shape[1], linear.shape[1] + basis.shape[1]
    weighted = precision * response
    normal, right = np.empty((p, size, size)), np.empty((p, size))
    for i in range(k):
        own = precision * linear[:, [i]]
        normal[:, :k, i] = own.T @ linear
        normal[:, k:, i] = groups.total(own).T @ basis
        normal[:, i, k:] = normal[:, k:, i]
    rows, columns = np.triu_indices(basis.shape[1])
    age = (basis[:, rows] * basis[:, columns]).T @ groups.total(precision)
    normal[:, k + rows, k + columns] = normal[:, k + columns, k + rows] = age.T
    right[:, :k], right[:, k:] = weighted.T @ linear, groups.total(weighted).T @ basis
    return normal, right


def _explained(normal: FloatArray, right: FloatArray, spaces: FloatArray) -> FloatArray:
    """Weighted sum of squares (models, p) that each model explains."""
    turned = spaces.transpose(0, 2, 1)[:, None]
    inner = turned @ normal @ spaces[:, None]
    outer = turned @ right[None, :, :, None]
    solved = np.linalg.solve(inner, outer)
    return np.asarray(np.sum(outer * solved, axis=(2, 3)))
