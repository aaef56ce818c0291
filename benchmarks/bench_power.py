"""Do the clinical statistics find the truth: coverage and power in simulated MS cohorts, and false alarms.

    nice python benchmarks/bench_power.py [--simulations 1000] [--null 6000] [--seed 1] [--jobs 2]

Prints the two tables of docs/power.md. Cohorts are `simulated_cohort`: 362 people with 953 scans and 1,000 controls.
Each table has the first cohorts (200 with effects, 2,000 without) beside all of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import beta as beta_distribution
from scipy.stats import t
from simulated_cohort import (
    CONTROL,
    NULL,
    PATIENT,
    PUBLISHED,
    PUBLISHED_LONGITUDINAL,
    STRUCTURES,
    CohortEffects,
    simulate_cohort,
)

from bids_app.clinical.analyses import associations
from bids_app.clinical.analyses.case_control import region_differences
from bids_app.clinical.analyses.change_analyses import repeated_scans
from bids_app.clinical.analyses.follow_up import follow_up
from bids_app.clinical.analyses.group_comparison import comparison_set
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import CohortData, prepare
from bids_app.clinical.stats.cox import fit_cox, proportionality
from bids_app.clinical.stats.mixed import MixedModel
from bids_app.clinical.stats.negative_binomial import fit_counts
from bids_app.clinical.stats.risk_rules import reference_k
from bids_app.clinical.stats.survival import log_rank, log_rank_permutation
from bids_app.clinical.stats.trajectories import mean_rates

CONFIG = AnalysisConfig(
    roles={"diagnosis": "diagnosis", "edss": "edss", "relapse_dates": "relapse_dates"}, control=CONTROL
)
FIRST, FIRST_NULL = 200, 2000
ALPHA = 0.05
# Random splits per cohort of the permutation test (fewer than the product's: 5 % of 1,000 is a whole number).
SPLITS = 999
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
    df, se = len(people) - 2, fit.robust_se[1]
    bounds = np.exp(fit.coef[1] + t.ppf([0.025, 0.975], df) * se)
    found["IRR, theta estimated, robust"] = Estimate(np.exp(fit.coef[1]), *bounds, 2 * t.sf(abs(fit.coef[1] / se), df))
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
            if "jackknife_se" in row:
                columns = ["beta", "jackknife_low", "jackknife_high", "jackknife_p"]
                found[f"EDSS and {name}, {when}, jackknife"] = Estimate(*row[columns])
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
        "log-rank test of relapse, permutation": Estimate(*nothing, log_rank_permutation(time_, event, high, SPLITS)),
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
    ratios = ("IRR, theta = 1", "IRR, theta estimated", "IRR, theta estimated, robust")
    found = dict.fromkeys(ratios, effects.rate_ratio)
    found |= {
        "share of patients with thalamus z <= -1.96": effects.shares[0],
        "EDSS and deviations, first visit": effects.beta_count,
    }
    found |= {f"EDSS and {name}, first visit": value for name, value in zip(STRUCTURES, effects.betas, strict=True)}
    longitudinal = {"deviations": PUBLISHED_LONGITUDINAL["n_infra"]}
    longitudinal |= {name: PUBLISHED_LONGITUDINAL[name] for name in STRUCTURES}
    for name, value in longitudinal.items():
        found |= {f"EDSS and {name}, all visits{kind}": value for kind in ("", ", jackknife")}
    return found | {
        "change of z per year, thalamus": effects.decline,
        "hazard ratio of relapse (Cox)": effects.hazard_ratio,
    }


def simulate(number: int, seed: int, effects: CohortEffects, jobs: int) -> dict[str, np.ndarray]:
    """The statistics (number, 4) of `number` cohorts, in the order of their seeds."""
    seeds, work = range(seed, seed + number), partial(analyse, effects=effects, intervals=effects is PUBLISHED)
    if jobs == 1:
        cohorts = list(map(work, seeds))
    else:
        with ProcessPoolExecutor(jobs) as pool:
            cohorts = list(pool.map(work, seeds, chunksize=10))
    return {name: np.array([cohort[name] for cohort in cohorts]) for name in cohorts[0]}


def share(hits: np.ndarray) -> str:
    """A percentage with its Monte-Carlo standard error."""
    mean = hits.mean()
    return f"{100 * mean:.2f} ({100 * np.sqrt(mean * (1 - mean) / len(hits)):.2f})"


def recovery(found: dict[str, np.ndarray], effects: CohortEffects) -> Iterator[str]:
    """Rows: truth, mean estimate, coverage of the 95 % interval in the first cohorts and in all, power."""
    number = len(next(iter(found.values())))
    yield f"| statistic | true | mean estimate | inside, first {min(FIRST, number)} | inside, all {number} | p < 0.05 |"
    yield "|---|---|---|---|---|---|"
    for name, true in truths(effects).items():
        value, low, high, p = found[name].T
        inside = (low <= true) & (true <= high)
        power = "" if np.isnan(p).all() else f"{100 * np.mean(p < ALPHA):.1f}"
        yield f"| {name} | {true:.3g} | {value.mean():.3f} | {share(inside[:FIRST])} | {share(inside)} | {power} |"


def false_alarms(found: dict[str, np.ndarray]) -> Iterator[str]:
    """Rows: share of p < 0.05 without any effect, in the first cohorts and in all."""
    number = len(next(iter(found.values())))
    yield f"| test | first {min(FIRST_NULL, number)} | all {number} |"
    yield "|---|---|---|"
    for name, estimates in found.items():
        p = estimates[:, 3]
        if not np.isnan(p).all():
            yield f"| {name} | {share(p[:FIRST_NULL] < ALPHA)} | {share(p < ALPHA)} |"


def main() -> None:
    """Print both tables and the time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=FIRST)
    parser.add_argument("--null", type=int, default=FIRST_NULL)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    start = time.perf_counter()
    for number, effects in ((options.simulations, PUBLISHED), (options.null, NULL)):
        if number:
            found = simulate(number, options.seed, effects, options.jobs)
            rows = recovery(found, effects) if effects is PUBLISHED else false_alarms(found)
            print(f"\nseeds {options.seed} to {options.seed + number - 1}; % with its standard error\n")
            print("\n".join(rows), flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s with {options.jobs} jobs")


if __name__ == "__main__":
    main()
