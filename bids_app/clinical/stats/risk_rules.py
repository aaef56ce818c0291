"""Who is at risk: rules on the deviations of a person's first scan.

A rule is "at least k infra-normal deviations", with k given, from the healthy reference (more than 97.5 % of
healthy people have), or chosen on the data; or "the thalamus is infra-normal on either side".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.clinical.deviations import expected_count
from bids_app.clinical.stats.cox import PartialLikelihood
from bids_app.errors import AnalysisError
from bids_app.normative.base import Z_CRITICAL, tails

THALAMUS = ("Left-Thalamus", "Right-Thalamus")
# Each side of a cut must keep this share of people, and events on both.
SMALLEST_GROUP = 0.1
FOLDS = 10
INNER_FOLDS = 5


@dataclass(frozen=True)
class RiskRule:
    """A rule and whom it puts at risk.

    Parameters
    ----------
    name : str
        ``count`` or ``thalamus``, or ``count cross-validated``.
    definition : str
        In words.
    at_risk : (n,) bool array
        One per person.
    k : float
        Least number of deviations; NaN for other rules, the median over folds when cross-validated.
    warning : str or None
    known : (n,) bool array, optional
        Whether it is known that a person is at risk or not; default: of everybody.
    """

    name: str
    definition: str
    at_risk: np.ndarray
    k: float = float("nan")
    warning: str | None = None
    known: np.ndarray | None = None

    def told(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows` (n, bool) whose state is known.

        Parameters
        ----------
        rows : (n,) bool array

        Returns
        -------
        (n,) bool array
        """
        return rows if self.known is None else rows & self.known


@lru_cache(maxsize=64)
def reference_k(n_regions: int, threshold: float = Z_CRITICAL) -> int:
    """One more than the 97.5th centile of the number of infra-normal deviations of healthy people."""
    return expected_count(n_regions, "infra", threshold).high + 1


def count_rule(counts: ArrayLike, k: int, source: str = "given") -> RiskRule:
    """At least `k` infra-normal deviations.

    Parameters
    ----------
    counts : (n,) int array
        Infra-normal deviations per person.
    k : int
    source : {"given", "reference", "data"}
        Where k comes from, for the definition in words.

    Returns
    -------
    RiskRule
    """
    words = {"given": "", "reference": ", more than 97.5 % of healthy people have", "data": ", chosen on these data"}
    definition = f"at least {k} infra-normal deviation{'s' if k != 1 else ''}{words[source]}"
    return RiskRule("count", definition, np.asarray(np.greater_equal(counts, k)), float(k))


def reference_rule(counts: ArrayLike, high: ArrayLike) -> RiskRule:
    """More infra-normal deviations (n,) than 97.5 % of healthy people have in a person's place (`high`, (n,)).

    Parameters
    ----------
    counts, high : (n,) arrays

    Returns
    -------
    RiskRule
        `count_rule` where the bound is the same for everybody.
    """
    values, bounds = np.asarray(counts, dtype=float), np.asarray(high, dtype=float)
    k = int(np.median(bounds)) + 1
    if np.ptp(bounds) == 0:
        return count_rule(values, k, "reference")
    least, most = int(bounds.min()) + 1, int(bounds.max()) + 1
    definition = f"more infra-normal deviations than 97.5 % of healthy people have (at least {least} to {most})"
    return RiskRule("count", definition, values > bounds, float(k))


def thalamus_rule(zscores: pd.DataFrame, threshold: float = Z_CRITICAL) -> RiskRule | None:
    """Left or right thalamus at or below -threshold; None where no thalamus was scored.

    Parameters
    ----------
    zscores : (n rows) DataFrame
        One column per region.
    threshold : float
        In z units.

    Returns
    -------
    RiskRule or None
        A person with one thalamus missing is known only if the other is at risk.
    """
    present = [name for name in THALAMUS if name in zscores]
    if not present:
        return None
    z = zscores[present].to_numpy(dtype=float)
    at_risk = np.asarray(tails(z, threshold)[0].any(axis=1))
    # Normal is only known where both sides are.
    known = np.asarray(at_risk | np.isfinite(z).all(axis=1))
    return RiskRule("thalamus", f"left or right thalamus with z <= -{threshold:g}", at_risk, known=known)


def candidates(counts: ArrayLike, event: ArrayLike) -> list[int]:
    """Values of k that leave enough people, and an event, on either side.

    Parameters
    ----------
    counts : (n,) int array
    event : (n,) bool array

    Returns
    -------
    list of int
        Ascending; empty where no threshold divides the people.
    """
    values, dead = np.asarray(counts, dtype=float), np.asarray(event, dtype=bool)
    found = []
    for k in range(1, int(values.max()) + 1 if len(values) else 1):
        high = values >= k
        balanced = SMALLEST_GROUP <= high.mean() <= 1 - SMALLEST_GROUP
        if balanced and (dead & high).any() and (dead & ~high).any():
            found.append(k)
    return found


def choose_k(counts: ArrayLike, time: ArrayLike, event: ArrayLike, seed: int = 1, folds: int = INNER_FOLDS) -> int:
    """The k whose Cox model predicts left-out people best (cross-validated partial likelihood).

    Verweij & van Houwelingen 1993 (doi:10.1002/sim.4780122407): the sum over folds of the log partial likelihood of
    all people less that of the people outside the fold, at the coefficient fitted outside it.

    Parameters
    ----------
    counts : (n,) array-like
        Deviations of each person.
    time, event : (n,) array-like
    seed, folds : int
        Of the random folds, which hold like shares of the events.

    Returns
    -------
    int

    Raises
    ------
    AnalysisError
        When no k splits the people into two groups with events.
    """
    values, times, dead = (np.asarray(array, dtype=float) for array in (counts, time, event))
    options = candidates(values, dead)
    if not options:
        raise AnalysisError(
            "no number of deviations gives two groups with events", "give the option risk_rule a number"
        )
    fold = balanced_folds(dead, folds, seed)
    gains = [_validated_likelihood((values >= k).astype(float), times, dead, fold) for k in options]
    return options[int(np.argmax(gains))]


def _validated_likelihood(high: FloatArray, time: FloatArray, event: FloatArray, fold: np.ndarray) -> float:
    whole = PartialLikelihood(time, event, high)
    total = 0.0
    for part in range(int(fold.max()) + 1):
        rest = fold != part
        try:
            inside = PartialLikelihood(time[rest], event[rest], high[rest])
        except AnalysisError:
            return -np.inf
        best = inside.maximise()
        if not best.estimable.all():  # an infinite ratio makes the events outside it impossible
            return -np.inf
        total += whole.loglik(best.beta) - best.loglik
    return total


def balanced_folds(event: FloatArray, folds: int, seed: int) -> np.ndarray:
    """Fold of each person, events spread evenly.

    Parameters
    ----------
    event : (n,) array
        0 or 1.
    folds, seed : int

    Returns
    -------
    (n,) int array
        0 to folds - 1.
    """
    generator = np.random.default_rng(seed)
    order = np.lexsort((generator.random(len(event)), event))
    fold = np.empty(len(event), dtype=int)
    fold[order] = np.arange(len(event)) % folds
    return fold


def chosen_rules(counts: ArrayLike, time: ArrayLike, event: ArrayLike, seed: int = 1) -> tuple[RiskRule, RiskRule]:
    """The rule chosen on everybody, and the groups of nested cross-validation.

    The first looks better than it is, because the people who chose k are those who are compared. For the
    second, k is chosen (by inner cross-validation) without the people of each outer fold, who are then grouped by it.

    Parameters
    ----------
    counts, time, event : (n,) arrays
        Time in years.
    seed : int

    Returns
    -------
    apparent, honest : RiskRule
    """
    values, times, dead = (np.asarray(array, dtype=float) for array in (counts, time, event))
    k = choose_k(values, times, dead, seed)
    fold, at_risk, chosen = balanced_folds(dead, FOLDS, seed + 1), np.zeros(len(values), dtype=bool), []
    for part in range(FOLDS):
        rest = fold != part
        if rest.all():
            continue
        inner = choose_k(values[rest], times[rest], dead[rest], seed + 2 + part)
        at_risk[~rest] = values[~rest] >= inner
        chosen.append(inner)
    warning = (
        f"k = {k} was chosen on the same people that are compared, so its estimates, intervals and p values are too "
        f"good; the honest row is that of nested cross-validation (k = {min(chosen)} to {max(chosen)} over "
        f"{len(chosen)} folds)"
    )
    honest = RiskRule(
        "count cross-validated",
        "number of deviations with k chosen without the person (nested cross-validation)",
        at_risk,
        float(np.median(chosen)),
    )
    return replace(count_rule(values, k, "data"), warning=warning), honest
