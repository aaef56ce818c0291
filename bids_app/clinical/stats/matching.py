"""Nearest-neighbour propensity-score matching without replacement, as MatchIt 4 does it.

The score is a logistic regression of group on the covariates. Treated people (the group) are taken in
descending order of their score; each takes the nearest control that is left (Stuart 2010,
doi:10.1214/09-STS313; Ho et al. 2011, doi:10.18637/jss.v042.i08). With k controls per treated person
this is done k times in turn.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.clinical.stats.linear import design
from bids_app.errors import AnalysisError

SMD_LIMIT = 0.1
SCORE = "propensity score"
# What is beyond is rounding error, by which equal people would not be equal, otherwise on every machine
SCORE_DECIMALS = 12


@dataclass(frozen=True)
class Matching:
    """Who was matched with whom.

    Parameters
    ----------
    treated, control : (m,) arrays of int
        Positions of the pairs' rows; a treated row appears once per control it got.
    distance : (n,) array
        Propensity score of every row.
    unmatched : (u,) array of int
        Treated rows that got no control.
    separated : bool
        The covariates tell the groups apart (almost) perfectly; the scores are then unreliable.
    """

    treated: np.ndarray
    control: np.ndarray
    distance: FloatArray
    unmatched: np.ndarray
    separated: bool

    def rows(self) -> np.ndarray:
        """Positions of all matched rows, ascending.

        Returns
        -------
        (m,) int array
            Positions in the cohort, each once.
        """
        return np.unique(np.concatenate([self.treated, self.control]))

    def sets(self) -> pd.DataFrame:
        """``set weight`` of each of `rows`: number of its matched set, and how much it counts.

        A treated row counts as one; the controls of each count as one together (Stuart 2010, section 4).

        Returns
        -------
        DataFrame
            Index: positions in the cohort, as `rows`.
        """
        rows = np.concatenate([np.unique(self.treated), self.control])
        treated = np.concatenate([np.unique(self.treated), self.treated])
        share = 1 / pd.Series(self.treated).map(pd.Series(self.treated).value_counts()).to_numpy(dtype=float)
        weight = np.concatenate([np.ones(len(rows) - len(share)), share])
        number = np.unique(treated, return_inverse=True)[1]
        return pd.DataFrame({"set": number, "weight": weight}, index=rows).sort_index()


def propensity(treated: ArrayLike, covariates: ArrayLike) -> tuple[FloatArray, bool]:
    """Logistic regression (iteratively reweighted least squares of statsmodels).

    Parameters
    ----------
    treated : (n,) bool array
    covariates : (n, k) array
        Without the intercept's column.

    Returns
    -------
    (n,) array, bool
        Probability of being treated, to `SCORE_DECIMALS`; whether the groups are (almost) perfectly separated.
    """
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    X = np.asarray(covariates, dtype=float)
    scale = X.std(axis=0)
    # The spread of a constant is a rounding error
    standard = np.where(np.ptp(X, axis=0) > 0, (X - X.mean(axis=0)) / np.where(scale > 0, scale, 1), 0.0)
    X = np.column_stack([np.ones(len(X)), standard])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separation is told by the result
        mu = np.asarray(GLM(np.asarray(treated, dtype=float), X, Binomial()).fit(tol=1e-12).fittedvalues)
    extreme = np.minimum(mu, 1 - mu) < 1e-6
    return np.round(mu, SCORE_DECIMALS), bool(extreme.mean() > 0.5)


def match_nearest(
    treated: ArrayLike, distance: ArrayLike, ratio: int = 1, caliper: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy nearest-neighbour matching without replacement.

    Parameters
    ----------
    treated : (n,) bool array
    distance : (n,) array
        Propensity score.
    ratio : int
        Controls per treated row.
    caliper : float, optional
        Largest allowed difference of scores, in their units.

    Returns
    -------
    (m,), (m,) int arrays
        Rows of treated and control of each pair, by treated row, then order of matching. Ties go to the
        control that comes first in the table.
    """
    is_treated, score = np.asarray(treated, dtype=bool), np.asarray(distance, dtype=float)
    rows = np.flatnonzero(is_treated)
    controls = np.flatnonzero(~is_treated)
    controls = controls[np.argsort(score[controls], kind="stable")]
    free = _FreeList(score[controls], controls)
    order = rows[np.argsort(-score[rows], kind="stable")]
    pairs: list[tuple[int, int, int]] = []
    for turn in range(ratio):
        for row in order:
            position = free.take_nearest(float(score[row]), caliper)
            if position is not None:
                pairs.append((int(row), turn, int(controls[position])))
    pairs.sort()
    found = np.array(pairs, dtype=int).reshape(-1, 3)
    return found[:, 0], found[:, 2]


class _FreeList:
    """Sorted scores of which the nearest free one can be taken in almost constant time."""

    def __init__(self, scores: FloatArray, rows: np.ndarray) -> None:
        self.scores, self.rows = scores, rows
        # left[i] / right[i]: path-compressed link to the nearest free position at or before / after i.
        self.left = list(range(len(scores) + 1))
        self.right = list(range(len(scores) + 1))

    def take_nearest(self, score: float, caliper: float | None) -> int | None:
        """Take and return the position of the nearest free score, or None."""
        start = int(np.searchsorted(self.scores, score))
        after, before = self._find(self.right, start), self._find(self.left, start) - 1
        choices = []
        if before >= 0:
            # Among equal scores, the left-most free one comes first in the table.
            first = self._find(self.right, int(np.searchsorted(self.scores, self.scores[before])))
            choices.append((score - self.scores[before], self.rows[first], first))
        if after < len(self.scores):
            choices.append((self.scores[after] - score, self.rows[after], after))
        if not choices:
            return None
        gap, _, position = min(choices)
        if caliper is not None and gap > caliper:
            return None
        self.right[position], self.left[position + 1] = position + 1, position
        return position

    @staticmethod
    def _find(link: list[int], start: int) -> int:
        root = start
        while link[root] != root:
            root = link[root]
        while link[start] != root:
            link[start], start = root, link[start]
        return root


@dataclass(frozen=True)
class MatchSettings:
    """How people are matched.

    Parameters
    ----------
    covariates : tuple of str
        Columns for the propensity score; text columns become indicators.
    ratio : int
        Controls per person of the group.
    exact : tuple of str
        Columns in which matched people must agree, such as the scanner. The score is estimated over everybody.
    caliper : float, optional
        Largest allowed difference, in standard deviations of the propensity score pooled over the groups.
    """

    covariates: tuple[str, ...] = ("age", "sex", "etiv_mm3")
    ratio: int = 1
    exact: tuple[str, ...] = ()
    caliper: float | None = None


def match(cohort: pd.DataFrame, treated: ArrayLike, settings: MatchSettings | None = None) -> Matching:
    """Match people with others of like propensity.

    Parameters
    ----------
    cohort : DataFrame
        The covariates of n people, one row each.
    treated : (n,) bool array-like
        Who gets controls from among the others.
    settings : MatchSettings, optional

    Returns
    -------
    Matching

    Raises
    ------
    AnalysisError
        When a group is empty, or covariates are missing.
    """
    settings = settings or MatchSettings()
    is_treated = np.asarray(treated, dtype=bool)
    X = design(cohort, settings.covariates)
    _check(is_treated, X)
    distance, separated = propensity(is_treated, X.to_numpy(dtype=float))
    parts = _strata(cohort, settings.exact)
    width = None
    if settings.caliper is not None:
        groups = (distance[is_treated], distance[~is_treated])
        width = settings.caliper * float(np.sqrt(np.mean([group.var(ddof=1) for group in groups])))
    pairs = [match_nearest(is_treated[part], distance[part], settings.ratio, width) for part in parts]
    rows = np.concatenate([part[found[0]] for part, found in zip(parts, pairs)])
    controls = np.concatenate([part[found[1]] for part, found in zip(parts, pairs)])
    order = np.argsort(rows, kind="stable")
    rows, controls = rows[order], controls[order]
    unmatched = np.setdiff1d(np.flatnonzero(is_treated), rows)
    return Matching(rows, controls, distance, unmatched, separated)


def usable_covariates(
    cohort: pd.DataFrame, treated: ArrayLike, covariates: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """The covariates that can be matched for, and why not the others: they do not vary, or tell the groups apart.

    Parameters
    ----------
    treated : (n,) bool array
    cohort : DataFrame
        One row per person.
    covariates : sequence of str
        Columns of it.

    Returns
    -------
    kept : list of str
    left : dict of str to str
        Covariate to the reason.
    """
    is_treated = np.asarray(treated, dtype=bool)
    kept, left = [], {}
    for name in covariates:
        X = design(cohort, [name]).to_numpy(dtype=float)
        known = ~np.isnan(X).any(axis=1)
        X, in_group = X[known], is_treated[known]
        if not X.size or not np.ptp(X, axis=0).any():
            left[name] = "is the same for everybody"
        elif any(_apart(column[in_group], column[~in_group]) for column in X.T):
            left[name] = "tells the groups apart completely, so differences between the groups may be differences of it"
        else:
            kept.append(name)
    return kept, left


def _apart(group: FloatArray, control: FloatArray) -> bool:
    """Whether all values of one group lie beyond all of the other, each group having two or more."""
    if min(len(group), len(control)) < 2:
        return False
    return bool(group.min() > control.max() or group.max() < control.min())


def _strata(cohort: pd.DataFrame, exact: Sequence[str]) -> list[np.ndarray]:
    """Positions of the rows that agree in the columns `exact`; rows where one is missing are in none."""
    if not exact:
        return [np.arange(len(cohort))]
    absent = [name for name in exact if name not in cohort]
    if absent:
        raise AnalysisError(f"the column {', '.join(absent)} for exact matching is not in the cohort table")
    grouped = cohort.reset_index(drop=True).groupby(list(exact), sort=True)
    return [np.asarray(part.index) for _, part in grouped]


def _check(treated: np.ndarray, X: pd.DataFrame) -> None:
    if not treated.any() or treated.all():
        raise AnalysisError("matching needs people of the group and controls", "check the control level")
    missing = [str(name) for name in X.columns if X[name].isna().any()]
    if missing:
        raise AnalysisError(f"the covariate {', '.join(missing)} is missing for some people", "leave them out first")


def balance(cohort: pd.DataFrame, matching: Matching, treated: ArrayLike, covariates: Sequence[str]) -> pd.DataFrame:
    """Balance of the covariates and the propensity score before and after matching.

    Parameters
    ----------
    cohort : DataFrame
        The n people that were matched.
    matching : Matching
    treated : (n,) bool array-like
    covariates : sequence of str
        Columns of `cohort`.

    Returns
    -------
    DataFrame
        ``covariate mean_group_before mean_control_before smd_before variance_ratio_before`` and the same
        ``_after``. SMDs are divided by the group's standard deviation before matching. With several
        controls per person the controls of each are weighted to count as one.
    """
    is_treated = np.asarray(treated, dtype=bool)
    X = pd.concat([pd.Series(matching.distance, name=SCORE, index=cohort.index), design(cohort, covariates)], axis=1)
    weights = np.zeros(len(cohort))
    controls_of = pd.Series(matching.treated).map(pd.Series(matching.treated).value_counts()).to_numpy()
    np.add.at(weights, matching.control, 1 / controls_of if len(controls_of) else 0.0)
    weights[np.unique(matching.treated)] = 1
    rows = []
    for name in X:
        values = X[name].to_numpy(dtype=float)
        row: dict[str, object] = {"covariate": name}
        spread = _spread(values[is_treated])
        for when, weight in (("before", np.ones(len(values))), ("after", weights)):
            group, control = _moments(values, weight * is_treated), _moments(values, weight * ~is_treated)
            binary = set(np.unique(values)) <= {0.0, 1.0}
            row |= {
                f"mean_group_{when}": group[0],
                f"mean_control_{when}": control[0],
                f"smd_{when}": (group[0] - control[0]) / spread,
                f"variance_ratio_{when}": np.nan if binary or not control[1] else group[1] / control[1],
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _spread(values: FloatArray) -> float:
    if set(np.unique(values)) <= {0.0, 1.0}:
        return float(np.sqrt(values.mean() * (1 - values.mean()))) or np.nan
    return float(values.std(ddof=1)) if len(values) > 1 and np.ptp(values) > 0 else np.nan


def _moments(values: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Weighted mean and unbiased variance."""
    total = weight.sum()
    if total == 0:
        return np.nan, np.nan
    mean = float(weight @ values / total)
    spare = total - (weight**2).sum() / total
    variance = float(weight @ (values - mean) ** 2 / spare) if spare > 0 else np.nan
    return mean, variance if np.ptp(values[weight > 0]) > 0 else 0.0 * variance


def pairs_table(cohort: pd.DataFrame, matching: Matching) -> pd.DataFrame:
    """Who was matched with whom: ``pair treated control distance_treated distance_control``.

    Parameters
    ----------
    cohort : DataFrame
        The people that were matched, with ``participant_id``.
    matching : Matching

    Returns
    -------
    DataFrame
        One row per pair; the distances are those that were matched on.
    """
    labels = cohort["participant_id"].to_numpy()
    sets = pd.Series(matching.treated).rank(method="dense").astype(int)
    return pd.DataFrame(
        {
            "pair": sets,
            "treated": labels[matching.treated],
            "control": labels[matching.control],
            "distance_treated": matching.distance[matching.treated],
            "distance_control": matching.distance[matching.control],
        }
    )
