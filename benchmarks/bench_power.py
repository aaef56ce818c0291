"""Do the clinical statistics find the truth: coverage and power in simulated MS cohorts, and false alarms.

    nice python benchmarks/bench_power.py [--simulations 200] [--null 2000] [--seed 1]

Prints the two tables of docs/power.md. Cohorts are `simulation.cohort`: 362 people with 953 scans and 1,000 controls.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import beta as beta_distribution
from scipy.stats import binomtest

from bids_app.clinical import associations
from bids_app.clinical.analysis_config import AnalysisConfig
from bids_app.clinical.case_control import region_differences
from bids_app.clinical.change_analyses import repeated_scans
from bids_app.clinical.cohort_data import CohortData, prepare
from bids_app.clinical.cox import fit_cox, proportionality
from bids_app.clinical.follow_up import follow_up
from bids_app.clinical.group_comparison import comparison_set
from bids_app.clinical.mixed import MixedModel
from bids_app.clinical.negative_binomial import fit_counts
from bids_app.clinical.risk_rules import reference_k
from bids_app.clinical.survival import log_rank
from bids_app.clinical.trajectories import mean_rates
from bids_app.simulation.cohort import (
    CONTROL,
    NULL,
    PATIENT,
    PUBLISHED,
    PUBLISHED_LONGITUDINAL,
    STRUCTURES,
    CohortEffects,
    simulate_cohort,
)

CONFIG = AnalysisConfig(
    roles={"diagnosis": "diagnosis", "edss": "edss", "relapse_dates": "relapse_dates"}, control=CONTROL
)
LEFT = [f"Left-{name}" for name in STRUCTURES]


class Estimate(NamedTuple):
    """One statistic of one simulated cohort; NaN where it has none."""

    value: float
    low: float
    high: float
    p: float


def analyse(seed: int, effects: CohortEffects, intervals: bool = True) -> dict[str, Estimate]:
    """Every statistic of one cohort, through the functions that the group level calls."""
    data = prepare(*simulate_cohort(seed, effects), CONFIG)
    found = case_control(data, [1] if intervals else [])
    for part in (scores, changes, relapse, disability):
        found |= part(data)
    return found


def case_control(data: CohortData, terms: Sequence[int]) -> dict[str, Estimate]:
    """Matched comparison of counts (profile intervals of `terms`), of the left thalamus, and its prevalence."""
    people = comparison_set(data, PATIENT, CONTROL).people
    treated = (people["group"] == PATIENT).to_numpy(dtype=float)
    X = np.column_stack([np.ones(len(people)), treated])
    found = {}
    for name, theta in (("IRR, theta = 1", 1.0), ("IRR, theta estimated", None)):
        fit = fit_counts(people["n_infra"], X, theta, terms=terms)
        found[name] = Estimate(*np.exp([fit.coef[1], fit.low[1], fit.high[1]]), fit.p[1])
    z = data.zscores.loc[people.index, LEFT[:1]]
    row = region_differences(z, people["group"], CONTROL).iloc[0]
    found["mean z difference, thalamus"] = Estimate(*row[["difference", "difference_low", "difference_high", "p"]])
    low = int((z[treated == 1].to_numpy() <= -1.96).sum())
    n = int(treated.sum())
    bounds = beta_distribution.ppf([0.025, 0.975], [low, low + 1], [n - low + 1, n - low])
    found["share of patients with thalamus z <= -1.96"] = Estimate(low / n, *bounds, np.nan)
    return found


def scores(data: CohortData) -> dict[str, Estimate]:
    """EDSS with the number of deviations and with three regions, at the first visit and over all."""
    people, z = data.scans[data.patients], data.zscores.loc[data.patients, LEFT]
    found = {}
    for model, when in ((associations.FIRST_VISIT, "first visit"), (associations.ALL_VISITS, "all visits")):
        count = associations.count_associations(people, ["edss"], model).iloc[0]
        rows = associations.region_associations(people, z, ["edss"], model)
        for name, row in (("deviations", count), *zip(STRUCTURES, (row for _, row in rows.iterrows()), strict=True)):
            found[f"EDSS and {name}, {when}"] = Estimate(*row[["beta", "low", "high", "p"]])
    return found


def changes(data: CohortData) -> dict[str, Estimate]:
    """Change of z per year in the left thalamus."""
    scans, z, _ = repeated_scans(data)
    row = mean_rates(z[LEFT[:1]], scans["participant_id"], scans["years"]).iloc[0]
    return {"change of z per year, thalamus": Estimate(*row[["rate", "low", "high", "p"]])}


def _at_risk(data: CohortData) -> pd.Series:
    first = data.scans[data.first & data.patients]
    high = first["n_infra"] >= reference_k(82)
    return pd.Series(high.to_numpy(dtype=float), index=first["participant_id"])


def relapse(data: CohortData) -> dict[str, Estimate]:
    """Time to the first relapse, people above the reference's 97.5th centile against the others."""
    table = follow_up(data).relapses()
    table = table[table["time"] > 0]
    high = table["participant_id"].map(_at_risk(data)).to_numpy()
    time_, event = table["time"].to_numpy(), table["event"].to_numpy(dtype=float)
    fit, nothing = fit_cox(time_, event, high), (np.nan,) * 3
    return {
        "hazard ratio of relapse (Cox)": Estimate(*np.exp([fit.coef[0], fit.low[0], fit.high[0]]), fit.p[0]),
        "log-rank test of relapse": Estimate(*nothing, log_rank(time_, event, high).p),
        "check of proportional hazards": Estimate(*nothing, proportionality(time_, event, high).p[0]),
    }


def disability(data: CohortData) -> dict[str, Estimate]:
    """EDSS of risk groups: level and change per year (random intercept)."""
    people = data.scans[data.patients]
    high = people["participant_id"].map(_at_risk(data)).to_numpy()
    years, y = people["years_from_first"].to_numpy(), people["edss"].to_numpy()
    X = np.column_stack([np.ones(len(y)), years, high, years * high])
    names = people["participant_id"].to_numpy()
    fit = MixedModel(X, names).fit(y)
    found = {}
    for column, name in ((2, "EDSS of risk groups, first scan"), (3, "EDSS of risk groups, change per year")):
        found[name] = Estimate(fit.beta[column], fit.low[column], fit.high[column], fit.p[column])
    return found


def truths(effects: CohortEffects) -> dict[str, float]:
    """The true value of each statistic that has one."""
    found = {"IRR, theta = 1": effects.rate_ratio, "IRR, theta estimated": effects.rate_ratio,
             "share of patients with thalamus z <= -1.96": effects.shares[0],
             "EDSS and deviations, first visit": effects.beta_count,
             "EDSS and deviations, all visits": PUBLISHED_LONGITUDINAL["n_infra"],
             "change of z per year, thalamus": effects.decline,
             "hazard ratio of relapse (Cox)": effects.hazard_ratio}  # fmt: skip
    for name, value in zip(STRUCTURES, effects.betas, strict=True):
        found[f"EDSS and {name}, first visit"] = value
        found[f"EDSS and {name}, all visits"] = PUBLISHED_LONGITUDINAL[name]
    return found


def simulate(number: int, seed: int, effects: CohortEffects, intervals: bool) -> dict[str, list[Estimate]]:
    """The statistics of `number` cohorts."""
    found = defaultdict(list)
    for index in range(number):
        for name, estimate in analyse(seed + index, effects, intervals).items():
            found[name].append(estimate)
    return found


def recovery(found: dict[str, list[Estimate]], effects: CohortEffects) -> Iterator[str]:
    """Rows: truth, mean estimate, coverage of the 95 % interval, power."""
    yield "| statistic | true | mean estimate | truth inside its 95 % interval | p < 0.05 |"
    yield "|---|---|---|---|---|"
    for name, true in truths(effects).items():
        value, low, high, p = np.array(found[name]).T
        inside = 100 * np.mean((low <= true) & (true <= high))
        power = "" if np.isnan(p).all() else f"{100 * np.mean(p < 0.05):.1f} %"
        yield f"| {name} | {true:.3g} | {value.mean():.3f} | {inside:.1f} % | {power} |"


def false_alarms(found: dict[str, list[Estimate]]) -> Iterator[str]:
    """Rows: share of p < 0.05 without any effect, with its exact interval."""
    yield "| test | p < 0.05 without any effect | exact 95 % interval |"
    yield "|---|---|---|"
    for name, estimates in found.items():
        p = np.array([estimate.p for estimate in estimates])
        p = p[~np.isnan(p)]
        if not len(p):
            continue
        hits = int((p < 0.05).sum())
        bounds = binomtest(hits, len(p)).proportion_ci()
        yield f"| {name} | {100 * hits / len(p):.2f} % | {100 * bounds.low:.2f} to {100 * bounds.high:.2f} % |"


def main() -> None:
    """Print both tables and the processor time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--null", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.process_time()
    work: tuple[tuple[int, CohortEffects, Callable[..., Iterator[str]], tuple[CohortEffects, ...]], ...] = (
        (options.simulations, PUBLISHED, recovery, (PUBLISHED,)), (options.null, NULL, false_alarms, ()))  # fmt: skip
    for number, effects, rows, arguments in work:
        if number:
            found = simulate(number, options.seed, effects, effects is PUBLISHED)
            print(f"\n{number} cohorts, seeds {options.seed} to {options.seed + number - 1}\n")
            print("\n".join(rows(found, *arguments)), flush=True)
    print(f"\n{time.process_time() - start:.0f} s of processor time")


if __name__ == "__main__":
    main()
