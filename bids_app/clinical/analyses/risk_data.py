"""People, outcomes and rules of the risk groups of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.clinical.analyses.follow_up import FollowUp, follow_up
from bids_app.clinical.analyses.worsening_analyses import FEWEST_EVENTS, worsening_outcomes
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.stats import risk_rules
from bids_app.clinical.stats.risk_rules import RiskRule
from bids_app.errors import AnalysisError


@dataclass(frozen=True)
class RiskData:
    """People with a first scan and follow-up, and the rules that split them.

    Parameters
    ----------
    followed : FollowUp
    people : DataFrame
        ``participant_id n_infra``, one row per person.
    rules : tuple of RiskRule
        Over the rows of `people`.
    outcomes : mapping of name to DataFrame
        ``progression``, ``relapse``, ``PIRA``, ``RAW`` and ``EDSS-plus worsening``: ``time event``, same rows as
        `people`, NaN without follow-up.
    strata : (n,) array or None
        Group of each person where several groups are not pooled.
    """

    followed: FollowUp
    people: pd.DataFrame
    rules: tuple[RiskRule, ...]
    outcomes: dict[str, pd.DataFrame]
    strata: np.ndarray | None = None

    def group_terms(self, rows: np.ndarray) -> FloatArray:
        """Indicators (m, groups - 1) of the group of some people (m, positions); no column for one group.

        Parameters
        ----------
        rows : (m,) int array
            Positions of people.

        Returns
        -------
        (m, groups - 1) array
        """
        if self.strata is None:
            return np.empty((len(rows), 0))
        own = self.strata[rows]
        return np.column_stack([np.empty((len(rows), 0)), *(own == level for level in np.unique(own)[1:])]).astype(
            float
        )

    @property
    def primary(self) -> RiskRule:
        """The rule that curves are drawn for; groups of nested cross-validation when k was chosen on the data."""
        return next((rule for rule in self.rules if rule.name == "count cross-validated"), self.rules[0])


def risk_data(data: CohortData) -> RiskData:
    """Outcomes and rules of the people with a disease who have a visit from the first scan on."""
    followed = follow_up(data)
    first = data.scans[data.first & data.patients]
    first = first[first["participant_id"].isin(followed.people["participant_id"])]
    people = first[["participant_id", "n_infra"]].reset_index(drop=True)
    outcomes = outcomes_of(followed, people["participant_id"])
    if not outcomes:
        raise AnalysisError("there is neither EDSS nor progression nor relapse over time to compare risk groups by")
    rules = _rules(data, first, people, outcomes)
    split = tuple(rule for rule in rules if rule.at_risk.any() and not rule.at_risk.all())
    if not split:
        tried = "; ".join(f"{rule.definition}: {int(rule.at_risk.sum())} of {len(people)} people" for rule in rules)
        raise AnalysisError(f"no rule splits the people ({tried})", "set risk_rule to another number of deviations")
    strata = first["group"].to_numpy(dtype=str) if data.strata else None
    return RiskData(followed, people, split, outcomes, strata)


def outcomes_of(followed: FollowUp, people: pd.Series) -> dict[str, pd.DataFrame]:
    """``time event`` of each outcome that is known, one row per label in `people`, NaN without follow-up.

    Parameters
    ----------
    followed : FollowUp
    people : (n,) Series of str

    Returns
    -------
    dict of str to DataFrame
        ``progression``, ``relapse``, and those of `worsening_outcomes` that enough people had: n rows ``time event``,
        time in years.
    """
    found, tables = {}, {}
    for name, read in (("progression", followed.progression), ("relapse", followed.relapses)):
        try:
            tables[name] = read()
        except AnalysisError:
            continue
    worse = worsening_outcomes(followed)
    tables |= {name: table for name, table in worse.items() if table["event"].sum() >= FEWEST_EVENTS}
    for name, table in tables.items():
        kept = table[table["time"] > 0].set_index("participant_id")[["time", "event"]].astype(float)
        if len(kept):
            found[name] = kept.reindex(people.to_numpy()).reset_index(drop=True)
    return found


def _rules(
    data: CohortData, first: pd.DataFrame, people: pd.DataFrame, outcomes: dict[str, pd.DataFrame]
) -> list[RiskRule]:
    config, counts = data.config, people["n_infra"].to_numpy(dtype=float)
    if config.risk_rule == "data":
        outcome = next(iter(outcomes.values()))
        rules = list(_chosen(counts, outcome, config.seed))
    elif config.risk_rule == "reference":
        rules = [risk_rules.reference_rule(counts, data.expected("infra").loc[first.index, "high"])]
    else:
        rules = [risk_rules.count_rule(counts, int(config.risk_rule))]
    thalamus = risk_rules.thalamus_rule(data.zscores.loc[first.index], config.threshold)
    return rules + ([thalamus] if thalamus else [])


def _chosen(counts: FloatArray, outcome: pd.DataFrame, seed: int) -> Sequence[RiskRule]:
    """Rules chosen on the people with an outcome; the others are grouped by the k chosen on all."""
    seen = outcome["time"].notna().to_numpy()
    apparent, honest = risk_rules.chosen_rules(counts[seen], outcome["time"][seen], outcome["event"][seen], seed)
    everybody = counts >= apparent.k
    validated = everybody.copy()
    validated[seen] = honest.at_risk
    return [replace(apparent, at_risk=everybody), replace(honest, at_risk=validated)]
