"""Results of the statistics on invented people, with their default options: no number moves unnoticed."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bids_app.clinical.stats.cox import concordance, fit_cox, proportionality
from bids_app.clinical.stats.decision_curves import net_benefit, predicted_risk
from bids_app.clinical.stats.imputation import impute_two_level, pool
from bids_app.clinical.stats.matching import MatchSettings, balance, match, pairs_table
from bids_app.clinical.stats.negative_binomial import fit_counts
from bids_app.clinical.stats.progression import ProgressionRule, confirmed_progression, poisson_rate, required_rise
from bids_app.clinical.stats.resampling import hazard_ratios, percentile_interval, resample
from bids_app.clinical.stats.risk_rules import balanced_folds, candidates, choose_k, chosen_rules, reference_k
from bids_app.clinical.stats.stability import entropy_bits, stability_table
from bids_app.clinical.stats.survival import kaplan_meier, log_rank, log_rank_permutation
from bids_app.clinical.stats.trajectories import mean_rates, person_rates
from tests.clinical.parity import invented
from tests.recorded import check_recorded


def content(found: Any) -> dict[str, Any]:
    return found._asdict() if hasattr(found, "_asdict") else vars(found)


def survival_people() -> tuple[pd.Series, pd.Series, pd.Series, pd.Series]:
    people = invented("surv.csv")
    return people["tt"], people["ev"], people["hi"], people["age"]


def test_survival_is_as_recorded():
    time, event, high, age = survival_people()
    sites = np.arange(len(time)) % 3
    both = np.column_stack([high, age])
    fit = fit_cox(time, event, both)
    curve = kaplan_meier(time, event)
    samples = resample(len(time), 8, 3)
    plain, layered = log_rank(time, event, high), log_rank(time, event, high, strata=sites)
    check_recorded(
        "stats_survival",
        {
            "fit": content(fit),
            "curve": [curve.time, curve.survival, curve.low, curve.high, curve.at_risk, curve.median()],
            "log_rank": [plain.statistic, plain.p, layered.statistic, layered.p],
            "permutation": [
                log_rank_permutation(time, event, high, 200),
                log_rank_permutation(time, event, high, 99, 2, sites),
            ],
            "proportional": [content(proportionality(time, event, both, ties)) for ties in ("efron", "breslow")],
            "concordance": [content(concordance(time, event, risk)) for risk in (fit.linear, np.round(age / 10))],
            "bootstrap": hazard_ratios(time, event, high == 1, samples),
            "intervals": [percentile_interval(np.r_[np.inf, np.nan, np.arange(n)]) for n in (0, 1, 39, 200)],
        },
    )


def test_rules_and_decision_curves_are_as_recorded():
    time, event, high, age = survival_people()
    counts = np.round(age / 8) - 3
    ours, honest = chosen_rules(counts, time, event)
    risk = predicted_risk(time, event, np.asarray(age), 4.0, balanced_folds(event, 5, 1))
    check_recorded(
        "stats_rules",
        {
            "k": [reference_k(n, z) for n, z in product((1, 10, 82), (1.5, 1.96))],
            "candidates": candidates(counts, event),
            "chosen": [choose_k(counts, time, event), choose_k(counts, time, event, seed=5, folds=4)],
            "rules": [ours.k, ours.at_risk, honest.at_risk, honest.k],
            "risk": risk,
            "benefit": net_benefit(time, event, high == 1, 4.0),
            "by risk": net_benefit(time, event, np.stack([risk >= 0.1, risk >= 0.3]), 4.0, (0.1, 0.3)),
        },
    )


def test_imputation_and_pooling_are_as_recorded():
    visits = invented("long.csv").head(120)
    y = visits["edss"].to_numpy(float).copy()
    y[::7] = np.nan
    X = visits[["nb_deviations", "z"]].to_numpy(float)
    drawn = impute_two_level(y, X, visits["eid"])
    clipped = impute_two_level(y, X, visits["eid"], m=2, seed=4, limits=(2.0, 3.0))
    pooled = [pool([1.0, 1.2, 0.9], [0.3, 0.31, 0.28], df) for df in (np.inf, 20.0)]
    check_recorded(
        "stats_imputation", {"drawn": drawn[:, ::7], "clipped": clipped[:, ::7], "pooled": [content(p) for p in pooled]}
    )


def test_matching_is_as_recorded():
    people = invented("match.csv").iloc[::12].reset_index(drop=True)
    people.insert(0, "participant_id", [f"p{i}" for i in range(len(people))])
    people["site"] = np.arange(len(people)) % 4
    treated = (people["diagnosis"] == "MS").to_numpy()
    names = [name for name in ("age", "sex", "etiv", "etiv_mm3", "icv") if name in people]
    found = {}
    for label, settings in {
        "plain": MatchSettings(covariates=tuple(names)),
        "two": MatchSettings(covariates=tuple(names), ratio=2, exact=("site",)),
        "caliper": MatchSettings(covariates=tuple(names), caliper=0.1),
    }.items():
        matching = match(people, treated, settings)
        found[label] = {
            "balance": balance(people, matching, treated, names),
            "pairs": pairs_table(people, matching).head(25),
        }
    check_recorded("stats_matching", found)


def test_counts_are_as_recorded():
    study = invented("nb.csv")
    X = np.column_stack([np.ones(len(study)), study["dg"]])
    weights = 0.5 + np.arange(len(study)) % 3
    fits = {
        "maximum likelihood": fit_counts(study["cnt"], X),
        "theta one": fit_counts(study["cnt"], X, theta=1.0, level=0.9),
        "weighted": fit_counts(study["cnt"], X, weights=weights, clusters=np.arange(len(study)) // 2),
        "no event": fit_counts(np.where(study["dg"] == 1, study["cnt"], 0), X),
    }
    check_recorded(
        "stats_counts",
        {
            name: {
                key: value
                for key, value in content(fit).items()
                # How far a coefficient without bound had got when the fit ended is another number on each machine
                if not key.startswith("_") and not (name == "no event" and key in ("coef", "se", "robust_se"))
            }
            for name, fit in fits.items()
        },
    )


def test_progression_is_as_recorded():
    times = np.array([0.0, 0.5, 1.0, 1.6, 2.0, 2.6, 3.1])
    courses = {
        "up": [2, 2, 3, 3, 3, 4, 4],
        "down and up": [4, 3, 3, 2, 2, 3.5, 3.5],
        "once": [2, 3, 2, 2, 3, 2, 2],
        "zero": [0, 1, 1.5, 1.5, 2, 2, 2],
        "high": [6, 6, 6.5, 6.5, 6.5, 6, 6],
        "late": [np.nan, np.nan, 3, 3, 4, 4, 4],
    }
    rules = {"plain": ProgressionRule(), "roving": ProgressionRule(roving=True)}
    found = {
        f"{course} {rule} {relapses} {scan}": list(confirmed_progression(times, scores, rules[rule], relapses, scan))
        for (course, scores), rule, relapses, scan in product(courses.items(), rules, ((), (0.95,)), (None, 0.6))
    }
    rates = [
        content(rate) if hasattr(rate, "__dict__") else list(rate)
        for rate in (poisson_rate(0, 10), poisson_rate(7, 21.5), poisson_rate(7, 3, 0.9))
    ]
    check_recorded(
        "stats_progression", {**found, "rates": rates, "rises": [required_rise(x) for x in (0, 0.5, 1, 5.5, 6, 8)]}
    )


def test_change_over_time_is_as_recorded():
    rng = np.random.default_rng(8)
    people = pd.Series(np.repeat([f"p{i}" for i in range(14)], [1, 2, 3, 4, 5, 3, 3, 2, 4, 4, 1, 3, 3, 2]))
    years = people.groupby(people).cumcount() * 1.1
    z = pd.DataFrame(rng.normal(size=(len(people), 3)) - 0.3 * years.to_numpy()[:, None], columns=["a", "b", "c"])
    z.iloc[4, 0] = np.nan
    check_recorded(
        "stats_change",
        {
            "people": person_rates(z, people, years),
            "mean": mean_rates(z, people, years),
            "wide": mean_rates(z, people, years, level=0.5),
            "stability": stability_table(z, people, years),
            "stable at one": stability_table(z, people, years, threshold=1.0),
            "entropy": entropy_bits([0, 0.1, 0.5, 0.9, 1, np.nan]),
        },
    )
