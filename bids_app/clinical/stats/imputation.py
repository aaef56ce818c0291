"""Missing clinical scores: two-level normal multiple imputation and Rubin's rules.

The model of a score y of person j at visit i is ``y_ij = x_ij' beta + u_j + e_ij`` with normal u and e, drawn
by a Gibbs sampler (Schafer & Yucel 2002, doi:10.1198/106186002760180608). As in ``2l.norm`` of R's mice every person
has a residual variance of their own, drawn around a common one by as much as the data say (inverse chi-squared, Kasim
& Raudenbush 1998, doi:10.3102/10769986023002093; van Buuren 2018, chapter 7). Results are combined by Rubin's rules
(Rubin 1987) with the degrees of freedom of Barnard & Rubin (1999, doi:10.1093/biomet/86.4.948).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import gammaln

from bids_app.arrays import FloatArray
from bids_app.errors import AnalysisError

BURN_IN, THINNING = 150, 25
# Degrees of freedom of the people's variances around the common one: few, unlike; many, as good as one for everybody.
# Estimates that differ by less than this share of their standard error are the same
UNTOUCHED = 1e-9
ALIKE = np.array([2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0])


@dataclass(frozen=True)
class Pooled:
    """Estimates combined over m imputed datasets; arrays of the shape of one estimate.

    `missing_information` is the share of the variance that is due to missing values.
    """

    estimate: FloatArray
    se: FloatArray
    df: FloatArray
    missing_information: FloatArray


def impute_two_level(
    y: ArrayLike, X: ArrayLike, people: ArrayLike, m: int = 5, seed: int = 1, limits: tuple[float, float] | None = None
) -> FloatArray:
    """Draw the missing values of `y` m times.

    Parameters
    ----------
    y : (n,) array
        NaN where missing.
    X : (n, k) array
        Complete predictors, without the intercept's column; they should hold every variable of the analysis
        that follows, or its associations are weakened.
    people : (n,) array
    m, seed : int
    limits : (float, float), optional
        Imputed values are clipped to this range (a score's own range).

    Returns
    -------
    (m, n) array
        Observed values are unchanged.

    Raises
    ------
    AnalysisError
        When predictors are missing or observed values are too few.
    """
    response = np.asarray(y, dtype=float)
    missing = np.isnan(response)
    predictors = _standard_design(np.asarray(X, dtype=float), missing)
    sampler = _Sampler(
        response, predictors, np.unique(np.asarray(people), return_inverse=True)[1], np.random.default_rng(seed)
    )
    completed = np.tile(response, (m, 1))
    if missing.any():
        for draw in range(m):
            sampler.advance(BURN_IN if draw == 0 else THINNING)
            values = sampler.draw_missing()
            completed[draw, missing] = np.clip(values, *limits) if limits else values
    return completed


def _standard_design(X: FloatArray, missing: np.ndarray) -> FloatArray:
    if np.isnan(X).any():
        raise AnalysisError("a predictor of the imputation is missing for some scans", "leave it out of the model")
    if (~missing).sum() < X.shape[1] + 5:
        raise AnalysisError(f"{int((~missing).sum())} observed values are too few to impute the others")
    spread = X.std(axis=0)
    varying = np.ptp(X, axis=0) > 0
    return np.column_stack([np.ones(len(X)), (X[:, varying] - X[:, varying].mean(axis=0)) / spread[varying]])


class _Sampler:
    """Gibbs sampler over beta, the people's intercepts and variances, given the observed values."""

    def __init__(self, y: FloatArray, X: FloatArray, codes: np.ndarray, generator: np.random.Generator) -> None:
        self.missing = np.isnan(y)
        self.y, self.X, self.codes = y[~self.missing], X[~self.missing], codes[~self.missing]
        self.X_missing, self.codes_missing = X[self.missing], codes[self.missing]
        self.n_people = int(codes.max()) + 1
        self.per_person = np.bincount(self.codes, minlength=self.n_people)
        self.generator = generator
        self.ridge = 1e-10 * np.eye(X.shape[1])
        # Weak priors: one degree of freedom at the scale of the data.
        self.scale = 0.5 * float(self.y.var()) + 1e-12
        self.u = np.zeros(self.n_people)
        self.sigma2 = np.full(self.n_people, self.scale)
        self.typical, self.tau2, self.alike = self.scale, self.scale, float(ALIKE[-1])

    def advance(self, sweeps: int) -> None:
        for _ in range(sweeps):
            self._sweep()

    def _sweep(self) -> None:
        """beta, intercepts u, own variances sigma2, variance of the intercepts tau2, and what sigma2 have in common."""
        generator, weight = self.generator, 1 / self.sigma2[self.codes]
        precision = (self.X * weight[:, None]).T @ self.X
        root = np.linalg.cholesky(precision + self.ridge * np.trace(precision))
        centre = np.linalg.solve(root, self.X.T @ (weight * (self.y - self.u[self.codes])))
        self.beta = np.linalg.solve(root.T, centre + generator.standard_normal(len(centre)))
        rest = self.y - self.X @ self.beta
        known = self.per_person / self.sigma2 + 1 / self.tau2
        sums = np.bincount(self.codes, rest, self.n_people) / self.sigma2
        self.u = sums / known + generator.standard_normal(self.n_people) / np.sqrt(known)
        squares = np.bincount(self.codes, (rest - self.u[self.codes]) ** 2, self.n_people)
        drawn = generator.chisquare(self.per_person + self.alike)
        self.sigma2 = (squares + self.alike * self.typical) / drawn
        self._common_variance()
        self.tau2 = float(self.u @ self.u + self.scale) / generator.chisquare(self.n_people + 1)

    def _common_variance(self) -> None:
        """The scale and the degrees of freedom of the people's variances (inverse chi-squared)."""
        precision = float(np.sum(1 / self.sigma2))
        shape = (self.n_people * self.alike + 1) / 2
        self.typical = self.generator.gamma(shape) / ((self.alike * precision + 1 / self.scale) / 2)
        half = ALIKE / 2
        density = self.n_people * (half * np.log(half * self.typical) - gammaln(half))
        density -= half * (np.sum(np.log(self.sigma2)) + self.typical * precision)
        chance = np.exp(density - density.max())
        self.alike = float(self.generator.choice(ALIKE, p=chance / chance.sum()))

    def draw_missing(self) -> FloatArray:
        """One draw of the missing values at the current state."""
        centre = self.X_missing @ self.beta + self.u[self.codes_missing]
        spread = np.sqrt(self.sigma2[self.codes_missing])
        return np.asarray(centre + spread * self.generator.standard_normal(len(centre)))


def pool(estimates: ArrayLike, ses: ArrayLike, df_complete: ArrayLike = np.inf) -> Pooled:
    """Rubin's rules.

    Parameters
    ----------
    estimates, ses : (m, ...) arrays
        Estimates and their standard errors in each imputed dataset.
    df_complete : array
        Degrees of freedom that the analysis would have without missing values.

    Returns
    -------
    Pooled
        `df` by Barnard and Rubin (1999, doi:10.1093/biomet/86.4.948).
    """
    q, u = np.asarray(estimates, dtype=float), np.asarray(ses, dtype=float) ** 2
    m = len(q)
    within, between = u.mean(axis=0), q.var(axis=0, ddof=1)
    # What imputation does not touch differs by rounding errors, and any difference takes degrees of freedom
    between = np.where(between > UNTOUCHED**2 * within, between, 0.0)
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    complete = np.broadcast_to(np.asarray(df_complete, dtype=float), share.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        old = (m - 1) / share**2
        observed = np.where(np.isinf(complete), np.inf, (complete + 1) / (complete + 3) * complete * (1 - share))
        df = np.where(share > 0, 1 / (1 / old + 1 / observed), complete)
        rise = (1 + 1 / m) * between / within
        information = np.where(share > 0, (rise + 2 / (df + 3)) / (rise + 1), 0.0)
    return Pooled(q.mean(axis=0), np.sqrt(total), df, information)


def pool_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Combine the association tables of m imputed datasets row by row.

    The tables have the same rows in the same order and the columns ``beta se df``; the result has ``beta se
    statistic df low high p missing_information`` pooled and everything else from the first table.

    Parameters
    ----------
    tables : sequence of DataFrame
        One per imputed dataset, of one shape.

    Returns
    -------
    DataFrame
        Rubin 1987; degrees of freedom of Barnard & Rubin 1999.
    """
    from scipy.stats import t

    estimates, ses, df = (
        np.stack([table[name].to_numpy(dtype=float) for table in tables]) for name in ("beta", "se", "df")
    )
    pooled = pool(estimates, ses, df.mean(axis=0))
    half, statistic = t.ppf(0.975, pooled.df) * pooled.se, pooled.estimate / pooled.se
    return tables[0].assign(
        beta=pooled.estimate,
        se=pooled.se,
        statistic=statistic,
        df=pooled.df,
        low=pooled.estimate - half,
        high=pooled.estimate + half,
        p=2 * t.sf(np.abs(statistic), pooled.df),
        missing_information=pooled.missing_information,
    )


def impute_scores(
    scans: pd.DataFrame, scores: Sequence[str], predictors: Sequence[str], m: int, seed: int
) -> tuple[pd.DataFrame, ...]:
    """The table of scans m times, with the missing values of each score drawn.

    Parameters
    ----------
    scans : DataFrame
        One row per scan: ``participant_id``, the scores and predictors.
    scores : sequence of str
        Columns to impute, each from the predictors; imputed values stay within the observed range. A score with too
        few values keeps its gaps.
    predictors : sequence of str
        Numeric columns; those with missing values are left out.
    m : int
        Tables.
    seed : int

    Returns
    -------
    tuple of DataFrame
        Of length m; columns and index as `scans`.
    """
    complete = [name for name in predictors if name in scans and scans[name].notna().all()]
    X = scans[complete].to_numpy(dtype=float)
    drawn = {}
    for position, score in enumerate(scores):
        y = scans[score].to_numpy(dtype=float)
        limits = (float(np.nanmin(y)), float(np.nanmax(y))) if np.isfinite(y).any() else None
        try:
            drawn[score] = impute_two_level(y, X, scans["participant_id"], m, seed + position, limits)
        except AnalysisError:
            continue
    return tuple(scans.assign(**{score: values[draw] for score, values in drawn.items()}) for draw in range(m))
