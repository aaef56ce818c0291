"""Do the clinical statistics find the truth: coverage and power in simulated MS cohorts, and false alarms.

    nice python benchmarks/bench_power.py [--simulations 1000] [--null 2000] [--hard 300] [--jobs 2] [--save FOLDER]

Prints the tables of docs/power.md. With `--save` every cohort's statistics are kept as soon as they are known, and an
interrupted run goes on from there (delete the folder when the code changes). `--hard` adds nulls with trouble: z and
EDSS drift with time; EDSS is missing more often in old people and imputed; people change scanner. Cohorts are
`simulated_cohort`: 362 people with 953 scans and 1,000 controls. Each table has the first cohorts (200 with effects,
2,000 without) beside all of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import beta as beta_distribution
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

from bids_app.clinical.analyses import score_analyses
from bids_app.clinical.analyses.case_control import compare_counts
from bids_app.clinical.analyses.change_analyses import repeated_scans
from bids_app.clinical.analyses.follow_up import follow_up
from bids_app.clinical.analyses.group_comparison import comparison_set
from bids_app.clinical.analyses.region_differences import region_differences
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import CohortData, prepare
from bids_app.clinical.stats.cox import fit_cox, proportionality
from bids_app.clinical.stats.mixed import MixedModel
from bids_app.clinical.stats.risk_rules import reference_k
from bids_app.clinical.stats.survival import log_rank, log_rank_permutation
from bids_app.clinical.stats.trajectories import mean_rates

CONFIG = AnalysisConfig(
    roles={"diagnosis": "diagnosis", "edss": "edss", "relapse_dates": "relapse_dates"}, control=CONTROL
)
FIRST, FIRST_NULL = 200, 2000
# z falls by 0.03 and EDSS rises by 0.08 a year in everybody; otherwise nothing is related.
DRIFT = replace(NULL, decline=-0.03, edss_trend=0.08)
TROUBLES = {
    "drift": "z falls by 0.03 and EDSS rises by 0.08 a year",
    "missing": "40 % of EDSS missing, more often in old people; imputed",
    "scanner": "a new scanner, 0.5 higher in z, at a time of their own for most people",
}
ALPHA = 0.05
# Random splits per cohort of the permutation test (fewer than the product's: 5 % of 1,000 is a whole number).
SPLITS = 999
LEFT = [f"Left-{name}" for name in STRUCTURES]
Found = dict[str, np.ndarray]


class Estimate(NamedTuple):
    """One statistic of one simulated cohort; NaN where it has none."""

    value: float
    low: float
    high: float
    p: float


def analyse(seed: int, effects: CohortEffects) -> dict[str, Estimate]:
    """Every statistic of one cohort, through the functions that the group level calls."""
    data = prepare(*simulate_cohort(seed, effects), CONFIG)
    found = case_control(data)
    for part in (scores, changes, relapse, disability):
        found |= part(data)
    return found


def troubled(seed: int, trouble: str) -> dict[str, Estimate]:
    """Associations of a cohort without any, with one trouble (see `TROUBLES`)."""
    cohort, z = simulate_cohort(seed, DRIFT if trouble == "drift" else NULL)
    rng, config = np.random.default_rng([seed, 17]), CONFIG
    if trouble == "missing":
        gone = rng.random(len(cohort)) < 0.8 * np.clip((cohort["age"] - 20) / 60, 0, 1)
        cohort, config = cohort.assign(edss=cohort["edss"].mask(gone)), replace(CONFIG, missing="impute")
    if trouble == "scanner":
        change = cohort.groupby("participant_id")["years_from_first"].transform("max") * rng.uniform(
            0, 1.2, len(cohort)
        )
        moment = change.groupby(cohort["participant_id"]).transform("first")
        new = (cohort["years_from_first"] > moment).to_numpy()
        cohort, z = cohort.assign(scanner=np.where(new, "new", "old")), z + 0.5 * new[:, None]
        config = replace(CONFIG, roles={**CONFIG.roles, "scanner": "scanner"})
    data = prepare(cohort, z, config)
    return scores(data) | (changes(data) if trouble != "drift" else {})


def case_control(data: CohortData) -> dict[str, Estimate]:
    """Matched comparison of counts, of the left thalamus, and its prevalence."""
    found_set = comparison_set(data, PATIENT, CONTROL)
    people, sets = found_set.people, found_set.sets
    table = compare_counts(people, PATIENT, CONTROL, sets=sets)
    found = {}
    for row in table[table["tail"] == "infra"].to_dict("records"):
        name = {"theta = 1": "theta = 1", "robust": "robust"}.get(row["method"], "theta estimated")
        found[f"IRR, {name}"] = Estimate(row["irr"], row["low"], row["high"], row["p"])
    z = data.zscores.loc[people.index, LEFT[:1]]
    row = region_differences(z, people["group"], CONTROL, sets=sets).iloc[0]
    found["mean z difference, thalamus"] = Estimate(*row[["difference", "difference_low", "difference_high", "p"]])
    treated = (people["group"] == PATIENT).to_numpy()
    low, n = int((z[treated].to_numpy() <= -1.96).sum()), int(treated.sum())
    bounds = beta_distribution.ppf([0.025, 0.975], [low, low + 1], [n - low + 1, n - low])
    found["share of patients with thalamus z <= -1.96"] = Estimate(low / n, *bounds, np.nan)
    return found


def scores(data: CohortData) -> dict[str, Estimate]:
    """EDSS with the number of deviations and with three regions, at the first visit and over all."""
    few, found = replace(data, zscores=data.zscores[LEFT]), {}
    for counts, regions, when in (
        (score_analyses.counts_first, score_analyses.regions_first, "first visit"),
        (score_analyses.counts_all, score_analyses.regions_all, "all visits"),
    ):
        tables = [("deviations", counts(data)[0].table)]
        regional = regions(few)[0].table
        tables += [
            (name, regional[regional["region"] == region]) for name, region in zip(STRUCTURES, LEFT, strict=True)
        ]
        for name, table in tables:
            for row in table.to_dict("records"):
                kind = "" if row["effect"] == "first visit" else f", {row['effect']}"
                estimate = Estimate(row["beta"], row["low"], row["high"], row["p"])
                found[f"EDSS and {name}, {when}{kind}"] = estimate
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
    ratios = ("IRR, theta = 1", "IRR, theta estimated", "IRR, robust")
    found = dict.fromkeys(ratios, effects.rate_ratio)
    found |= {
        "share of patients with thalamus z <= -1.96": effects.shares[0],
        "EDSS and deviations, first visit": effects.beta_count,
    }
    found |= {f"EDSS and {name}, first visit": value for name, value in zip(STRUCTURES, effects.betas, strict=True)}
    longitudinal = {"deviations": PUBLISHED_LONGITUDINAL["n_infra"]}
    longitudinal |= {name: PUBLISHED_LONGITUDINAL[name] for name in STRUCTURES}
    for name, value in longitudinal.items():
        found[f"EDSS and {name}, all visits, study's model"] = value
    return found | {
        "change of z per year, thalamus": effects.decline,
        "hazard ratio of relapse (Cox)": effects.hazard_ratio,
    }


def simulate(
    statistics: Callable[[int], dict[str, Estimate]], seeds: range, options: argparse.Namespace, name: str
) -> Found:
    """The statistics (cohorts, 4) of every seed, in the order of the seeds, from the kept file when it has them."""
    kept = options.save / f"{name}.jsonl" if options.save else None
    lines = kept.read_text().splitlines() if kept and kept.exists() else []
    known = {row["seed"]: row["found"] for row in map(json.loads, lines)}
    missing = [seed for seed in seeds if seed not in known]
    with ProcessPoolExecutor(options.jobs) as pool:
        for seed, found in zip(missing, pool.map(statistics, missing, chunksize=4), strict=True):
            known[seed] = found
            if kept:
                with kept.open("a") as out:
                    out.write(json.dumps({"seed": seed, "found": found}) + "\n")
    cohorts = [known[seed] for seed in seeds]
    return {key: np.array([cohort.get(key, [np.nan] * 4) for cohort in cohorts], dtype=float) for key in cohorts[0]}


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
    parser.add_argument("--hard", type=int, default=0, help="cohorts of each null with trouble")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--save", type=Path, help="folder that keeps every cohort's statistics")
    options = parser.parse_args()
    start, first = time.perf_counter(), options.seed
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
    for number, name, effects in ((options.simulations, "effects", PUBLISHED), (options.null, "null", NULL)):
        if number:
            found = simulate(partial(analyse, effects=effects), range(first, first + number), options, name)
            rows = recovery(found, effects) if effects is PUBLISHED else false_alarms(found)
            print(f"\nseeds {first} to {first + number - 1}; % with its standard error\n")
            print("\n".join(rows), flush=True)
    for trouble, what in TROUBLES.items() if options.hard else ():
        found = simulate(partial(troubled, trouble=trouble), range(first, first + options.hard), options, trouble)
        print(f"\nno association, but {what}: {options.hard} cohorts; % with its standard error\n")
        print("\n".join(false_alarms(found)), flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s with {options.jobs} jobs")


if __name__ == "__main__":
    main()
