"""Proportional hazards regression (Cox 1972) with Efron's or Breslow's ties, its checks and concordance.

Newton's method on the partial likelihood; agrees with R's ``coxph``. The check of proportional hazards is
the score test of a coefficient that changes with 1 - Kaplan-Meier (Grambsch & Therneau 1994,
doi:10.1093/biomet/81.3.515), as ``cox.zph`` from survival 3.0 on. Harrell's C counts a tie of the
predictor as one half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.clinical.stats.survival import checked_times, kaplan_meier
from bids_app.errors import AnalysisError

# |log hazard ratio| per standard deviation from which an estimate counts as infinite.
INFINITE = 12.0
# Information of a standardised predictor, relative to that without effects, from which events tell its coefficient.
INFORMATIVE = 1e-9


class Proportionality(NamedTuple):
    """Score tests of proportional hazards: one p per predictor, and the global one."""

    statistic: FloatArray
    p: FloatArray
    global_statistic: float
    global_p: float


class Concordance(NamedTuple):
    """Harrell's C with its standard error (infinitesimal jackknife) and number of comparable pairs."""

    c: float
    se: float
    pairs: int


@dataclass(frozen=True)
class CoxFit:
    """A fitted model.

    Parameters
    ----------
    coef, se, statistic, p, low, high : (k,) arrays
        Log hazard ratios with Wald tests and 95 % intervals.
    covariance : (k, k) array
    loglik_null, loglik : float
        Log partial likelihood without and with the predictors.
    n_people, n_events : int
    linear : (n,) array
        Linear predictor of each person, centred.
    estimable : (k,) bool array
        Coefficients with a finite, unique estimate. The others (a group without any event, one event of the person
        with the highest value, equal values among everybody at risk) have no standard error, test or interval.
    """

    coef: FloatArray
    se: FloatArray
    statistic: FloatArray
    p: FloatArray
    low: FloatArray
    high: FloatArray
    covariance: FloatArray
    loglik_null: float
    loglik: float
    n_people: int
    n_events: int
    linear: FloatArray
    estimable: np.ndarray

    @property
    def likelihood_ratio(self) -> tuple[float, float]:
        """Likelihood ratio statistic against no predictors, and its p."""
        from scipy.stats import chi2

        statistic = 2 * (self.loglik - self.loglik_null)
        return statistic, float(chi2.sf(statistic, len(self.coef)))


class CoxMaximum(NamedTuple):
    """Maximum of a partial likelihood: beta (k,), information (k, k), and which coefficients (k,) are `estimable`."""

    beta: FloatArray
    information: FloatArray
    loglik: float
    estimable: np.ndarray


class PartialLikelihood:
    """Cox's partial likelihood of one set of people.

    Parameters
    ----------
    time, event : (n,) arrays
    X : (n, k) array
        Predictors, without an intercept.
    ties : str
        ``efron`` or ``breslow``.

    Raises
    ------
    AnalysisError
        Without any event, or when predictors are missing, constant or dependent.
    """

    def __init__(self, time: ArrayLike, event: ArrayLike, X: ArrayLike, ties: str = "efron") -> None:
        times, status = checked_times(time, event)
        predictors = np.asarray(X, dtype=float)
        predictors = predictors[:, None] if predictors.ndim == 1 else predictors
        _check(predictors, status)
        self.order = np.argsort(-times, kind="stable")
        self.centre = predictors.mean(axis=0)
        self.X = (predictors - self.centre)[self.order]
        self.time, dead = times[self.order], status[self.order].astype(bool)
        self.deaths = np.flatnonzero(dead)
        # Rows up to `last` of a death are at risk at its time; `first` opens its block of equal times.
        descending = -self.time
        self.last = np.searchsorted(descending, descending[self.deaths], side="right") - 1
        _, group, size = np.unique(descending[self.deaths], return_inverse=True, return_counts=True)
        rank = np.arange(len(self.deaths)) - np.concatenate([[0], np.cumsum(size)])[group]
        self.share = rank / size[group] if ties == "efron" else np.zeros(len(self.deaths))
        self.group, self.n_groups = group, len(size)

    def terms(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log likelihood, and per death its score (d, k) and information (d, k, k).

        The sums over the risk set with Efron's correction for ties (Efron 1977; Therneau & Grambsch 2000, section 3.3).

        Parameters
        ----------
        beta : (k,) array

        Returns
        -------
        loglik : float
        score : (d, k) array
            One row per death; the score of the model is its sum.
        information : (d, k, k) array
        """
        eta = self.X @ beta
        eta = eta - eta.max()
        risk = np.exp(eta)
        k = self.X.shape[1]
        outer = (self.X[:, :, None] * self.X[:, None, :]).reshape(len(eta), k * k)
        moments = np.column_stack([risk, risk[:, None] * self.X, risk[:, None] * outer])
        tied = np.zeros((self.n_groups, moments.shape[1]))
        np.add.at(tied, self.group, moments[self.deaths])
        sums = moments.cumsum(axis=0)[self.last] - self.share[:, None] * tied[self.group]
        total = sums[:, 0]
        mean = sums[:, 1 : 1 + k] / total[:, None]
        square = (sums[:, 1 + k :] / total[:, None]).reshape(-1, k, k)
        loglik = float(eta[self.deaths].sum() - np.log(total).sum())
        return loglik, self.X[self.deaths] - mean, square - mean[:, :, None] * mean[:, None, :]

    def loglik(self, beta: FloatArray) -> float:
        """Log partial likelihood at `beta` (k,).

        Parameters
        ----------
        beta : (k,) array

        Returns
        -------
        float
        """
        return self.terms(np.asarray(beta, dtype=float))[0]

    def maximise(self) -> CoxMaximum:
        """The maximum (Newton with step halving), and whether it is one."""
        beta = np.zeros(self.X.shape[1])
        loglik, score, information = self.terms(beta)
        start = information.sum(axis=0)
        for _ in range(50):
            step = np.linalg.lstsq(information.sum(axis=0), score.sum(axis=0), rcond=None)[0]
            new = self.terms(beta + step)
            for _ in range(30):
                if new[0] >= loglik - 1e-12 * abs(loglik):
                    break
                step = step / 2
                new = self.terms(beta + step)
            beta, gain = beta + step, new[0] - loglik
            loglik, score, information = new
            # Newton converges quadratically: after this step the error is below rounding.
            if np.max(np.abs(step)) < 1e-8 * (1 + np.max(np.abs(beta))) or gain < 1e-13 * abs(loglik):
                break
        total = information.sum(axis=0)
        return CoxMaximum(beta, total, loglik, self._estimable(beta, total, start))

    def _estimable(self, beta: FloatArray, information: FloatArray, start: FloatArray) -> np.ndarray:
        """Whether each coefficient is finite and told by the events.

        The likelihood is monotone, or flat, in the directions without information (Heinze & Schemper 2001,
        doi:10.1111/j.0006-341X.2001.00114.x); `start` is the information (k, k) at zero.
        """
        spread = self.X.std(axis=0)
        scaled = information / np.outer(spread, spread)
        values, vectors = np.linalg.eigh(scaled)
        # Without any effect, each death tells as much as the spread of those at risk.
        most = max(float(np.diag(start / np.outer(spread, spread)).max()), 1.0)
        flat = vectors[:, values < INFORMATIVE * most]
        return (np.abs(beta) * spread <= INFINITE) & ~(np.abs(flat) > 1e-6).any(axis=1)


def _check(X: FloatArray, status: FloatArray) -> None:
    if len(X) != len(status) or not np.isfinite(X).all():
        raise AnalysisError("the predictors of a Cox model need a row of finite numbers per person")
    if not status.any():
        raise AnalysisError("nobody has an event, so hazards cannot be compared")
    centred = X - X.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0))
    if (np.ptp(X, axis=0) == 0).any() or np.linalg.matrix_rank(centred / scale) < X.shape[1]:
        raise AnalysisError("a predictor of the Cox model is the same for everybody or follows from the others")


def fit_cox(time: ArrayLike, event: ArrayLike, X: ArrayLike, ties: str = "efron") -> CoxFit:
    """Fit ``hazard(t) = h0(t) exp(X beta)``; see `PartialLikelihood` for the arguments and errors.

    Parameters
    ----------
    time, event, X, ties
        As in `PartialLikelihood`.

    Returns
    -------
    CoxFit
        Intervals are Wald, 95 %. Coefficients that cannot be estimated (monotone likelihood) have NaN as standard
        error.

    Raises
    ------
    AnalysisError
        As `PartialLikelihood`.
    """
    from scipy.stats import norm

    model = PartialLikelihood(time, event, X, ties)
    beta, information, loglik, estimable = model.maximise()
    covariance = np.asarray(np.linalg.pinv(information, hermitian=True))
    se = np.sqrt(np.where(estimable, np.diag(covariance), np.nan))
    half, statistic = norm.ppf(0.975) * se, beta / se
    linear = np.empty(len(model.X))
    linear[model.order] = model.X @ beta
    return CoxFit(
        beta,
        se,
        statistic,
        2 * norm.sf(np.abs(statistic)),
        beta - half,
        beta + half,
        covariance,
        model.loglik(np.zeros(len(beta))),
        loglik,
        len(model.X),
        len(model.deaths),
        linear,
        estimable,
    )


def proportionality(time: ArrayLike, event: ArrayLike, X: ArrayLike, ties: str = "efron") -> Proportionality:
    """Score tests of proportional hazards for each column of `X`, and globally.

    NaN where events are too few, and for all where a coefficient of the model cannot be estimated.

    The score test of survival 3.x (Grambsch & Therneau 1994, with its exact variance), on the Kaplan-Meier scale of
    time.

    Parameters
    ----------
    time, event, X, ties
        As in `PartialLikelihood`.

    Returns
    -------
    Proportionality
        Statistics and p values (k,) and the global ones.

    Raises
    ------
    AnalysisError
        As `PartialLikelihood`.
    """
    from scipy.stats import chi2

    model = PartialLikelihood(time, event, X, ties)
    beta, total, _, estimable = model.maximise()
    unknown = np.full(len(beta), np.nan)
    if not estimable.all():
        return Proportionality(unknown, unknown, float("nan"), float("nan"))
    _, score, information = model.terms(beta)
    g = _transformed(model)
    gradient = g @ score
    cross, square = np.tensordot(g, information, 1), np.tensordot(g**2, information, 1)
    left: FloatArray = np.asarray(square - cross @ np.linalg.solve(total, cross), dtype=float)
    if np.ptp(g) == 0 or np.linalg.matrix_rank(left) < len(beta):
        return Proportionality(unknown, unknown, float("nan"), float("nan"))
    each = gradient**2 / np.diag(left)
    whole = float(gradient @ np.linalg.solve(left, gradient))
    return Proportionality(each, np.asarray(chi2.sf(each, 1)), whole, float(chi2.sf(whole, len(each))))


def _transformed(model: PartialLikelihood) -> FloatArray:
    """1 - Kaplan-Meier just before each death, centred."""
    dead = np.zeros(len(model.time))
    dead[model.deaths] = 1
    curve = kaplan_meier(model.time, dead)
    before = np.concatenate([[1.0], curve.survival])[np.searchsorted(curve.time, model.time[model.deaths])]
    return np.asarray(before.mean() - before)


def concordance(time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> Concordance:
    """Harrell's C: how often the person with the higher risk has the event first.

    Parameters
    ----------
    time, event : (n,) array-like
        Any unit of time; 1 for an event, 0 where censored.
    risk : (n,) array-like
        Only the order counts; ties are half right.

    Returns
    -------
    Concordance

    Raises
    ------
    AnalysisError
        When no two people can be compared.
    """
    times, status = checked_times(time, event)
    score = np.asarray(risk, dtype=float)
    first = status.astype(bool)
    earlier = (times[first, None] < times) | ((times[first, None] == times) & ~first)
    win = np.where(score[first, None] > score, 1.0, 0.5 * (score[first, None] == score))
    pairs = float(earlier.sum())
    if not pairs:
        raise AnalysisError("no two people can be compared: nobody has an event before another's time")
    won = earlier * win
    c = float(won.sum() / pairs)
    gap = won - c * earlier
    influence = gap.sum(axis=0)
    influence[first] += gap.sum(axis=1)
    return Concordance(c, float(np.sqrt((influence**2).sum()) / pairs), int(pairs))


def concordance_columns(time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> dict[str, float]:
    """``concordance`` with the bounds ``concordance_low`` and ``concordance_high`` of its normal 95 % interval.

    Parameters
    ----------
    time, event, risk : (n,) arrays
        As in `concordance`; a higher risk means an earlier event.

    Returns
    -------
    dict of str to float
        Bounds are cut at 0 and 1.
    """
    from scipy.stats import norm

    found = concordance(time, event, risk)
    half = float(norm.ppf(0.975)) * found.se
    low, high = max(found.c - half, 0.0), min(found.c + half, 1.0)
    return {"concordance": found.c, "concordance_low": low, "concordance_high": high}
