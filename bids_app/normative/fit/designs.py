"""Designs of many regions: one QR decomposition per distinct set of columns, and the solvers on them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.normative.fit import fractional_polynomials as fp

WIDTH = 6
MAX_CONDITION = 1e12
ROW_BLOCK = 8192
# From so many people on regions lie one behind the other in memory, and blocks of them are fitted side by side;
# smaller fits would wait for the interpreter, and keep the bits of the packaged models.
MANY = 20_000


class Design:
    """Columns intercept, male, eTIV^q and a fractional polynomial of age, for p regions; without eTIV where None.

    Parameters
    ----------
    scaled : (n,) array
        Age, shifted and scaled.
    male : (n,) array
    etiv : (n,) array or None
    powers : (p, k) array
        Of age, at most three; NaN when not used.
    etiv_power : (p,) array, optional
        q; default 1.
    constant : bool
        Only the intercept.

    Attributes
    ----------
    parts : list of (Q, R, members)
        Decomposition of each distinct design, and the regions that have it.
    """

    def __init__(
        self,
        scaled: FloatArray,
        male: FloatArray,
        etiv: FloatArray | None,
        powers: FloatArray,
        etiv_power: FloatArray | None = None,
        constant: bool = False,
    ) -> None:
        self.parts: list[tuple[FloatArray, FloatArray, NDArray[np.intp]]] = []
        self.shape = (scaled.size, len(powers))
        exponents = np.ones(len(powers)) if etiv_power is None else etiv_power
        for exponent in np.unique(exponents):
            regions = np.flatnonzero(exponents == exponent)
            for chosen, members in fp.groups(powers[regions]):
                head = [] if etiv is None else [etiv**exponent]
                x = np.column_stack([np.ones(scaled.size), male, *head, fp.basis(scaled, chosen)])
                q, r = np.linalg.qr(x[:, :1] if constant else x)
                self.parts.append((q, r, regions[members]))

    def predict(self, coefficients: FloatArray) -> FloatArray:
        """Linear predictor (n, p) of coefficients (p, 6).

        Parameters
        ----------
        coefficients : (p, 6) array
            Zeros behind the columns that a region's powers use.

        Returns
        -------
        (n, p) array
        """
        out = np.empty(self.shape, order=layout(self.shape[0]))
        for q, r, members in self.parts:
            out[:, members] = q @ (r @ coefficients[members, : r.shape[1]].T)
        return out

    def quadratic(self, roots: FloatArray) -> FloatArray:
        """``|L x|^2`` (n, p) for roots L (p, 6, 6).

        Parameters
        ----------
        roots : (p, 6, 6) array

        Returns
        -------
        (n, p) array
            The leverage of each person in each region, where L L' is the covariance of the coefficients.
        """
        out = np.empty(self.shape, order=layout(self.shape[0]))
        for q, r, members in self.parts:
            width = r.shape[1]
            rows, columns = np.triu_indices(width)
            turned = roots[members, :width, :width] @ r.T
            gram = np.einsum("mki,mkj->mij", turned, turned)
            doubled = gram[:, rows, columns] * np.where(rows == columns, 1.0, 2.0)
            for some in _row_blocks(len(q)):
                out[some, members] = (q[some][:, rows] * q[some][:, columns]) @ doubled.T
        return out

    def ordinary_roots(self) -> FloatArray:
        """Roots (p, 6, 6) of ``(X'X)^-1``.

        Returns
        -------
        (p, 6, 6) array
            Lower triangular; from the R factor of each design's QR decomposition.
        """
        roots = np.zeros((self.shape[1], WIDTH, WIDTH))
        for _, r, members in self.parts:
            roots[members, : r.shape[1], : r.shape[1]] = np.linalg.inv(r).T
        return roots

    def step(self, gradient: FloatArray, precision: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Solve ``X'WX b = X'g`` in every region.

        Parameters
        ----------
        gradient : (n, p) array
            g.
        precision : (n, p) array, optional
            Diagonal of W; default 1.

        Returns
        -------
        b : (p, 6) array
        roots : (p, 6, 6) array
            Of ``(X'WX)^-1``. Both are NaN where the system is singular.
        """
        out = np.zeros((self.shape[1], WIDTH))
        roots = self.ordinary_roots()
        for q, r, members in self.parts:
            width = r.shape[1]
            right = (q.T @ gradient[:, members]).T
            if precision is not None:
                normal = _normal(q, precision[:, members])
                bad = ~(np.linalg.cond(normal) < MAX_CONDITION)
                normal[bad] = np.eye(width)
                inverse = np.linalg.inv(np.linalg.cholesky(normal))
                right = np.einsum("mki,mkj,mj->mi", inverse, inverse, right)
                roots[members, :width, :width] = inverse @ np.linalg.inv(r).T
                right[bad], roots[members[bad]] = np.nan, np.nan
            out[members, :width] = np.linalg.solve(r, right.T).T
        return out, roots


def layout(n: int) -> Literal["C", "F"]:
    """How arrays (n, p) lie in memory."""
    return "F" if n >= MANY else "C"


def _row_blocks(n: int) -> list[slice]:
    """Blocks of rows whose products fit the processor's cache."""
    return [slice(start, start + ROW_BLOCK) for start in range(0, n, ROW_BLOCK)]


def _normal(q: FloatArray, precision: FloatArray) -> FloatArray:
    """``Q'WQ`` (m, q, q) for weights (n, m)."""
    width = q.shape[1]
    rows, columns = np.triu_indices(width)
    normal = np.empty((precision.shape[1], width, width))
    total = np.zeros((rows.size, precision.shape[1]))
    for some in _row_blocks(len(q)):
        total += (q[some][:, rows] * q[some][:, columns]).T @ precision[some]
    normal[:, rows, columns] = total.T
    normal[:, columns, rows] = normal[:, rows, columns]
    return normal
