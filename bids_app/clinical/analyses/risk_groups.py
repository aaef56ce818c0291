"""Risk groups by deviations at the first scan: progression, relapses, disability over time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.clinical.analyses.decision import decision_results
from bids_app.clinical.analyses.follow_up import YEARS
from bids_app.clinical.analyses.outcome_analyses import AT_RISK, OTHERS, known, progression_methods, survival_result
from bids_app.clinical.analyses.risk_data import RiskData, risk_data
from bids_app.clinical.analyses.worsening_analyses import WORSENING, worsening_methods
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.figures import Forest, Table, Trajectory
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.stats import resampling
from bids_app.clinical.stats.cox import concordance_columns, fit_cox, proportionality
from bids_app.clinical.stats.linear import standardise
from bids_app.clinical.stats.mixed import MixedModel
from bids_app.clinical.stats.random_slope import RandomSlopeModel
from bids_app.clinical.stats.risk_rules import RiskRule
from bids_app.clinical.stats.survival import PERMUTATIONS, log_rank, log_rank_permutation
from bids_app.clinical.wording import few_people, interval, p_value, plural, software, upper_first
from bids_app.errors import AnalysisError
from bids_app.normative.fit.random_intercept import RandomInterceptDesign

HAZARD, POINTS, STANDARDISED = "hazard ratio", "EDSS points", "standardised beta"
COLUMNS = {
    "rule": "Rule that puts a person at risk",
    "definition": "The rule in words",
    "k": "Least number of infra-normal deviations (median over folds when cross-validated)",
    "measure": "What the estimate is",
    "n_at_risk": "People at risk by the rule",
    "n_events": "People with an event",
    "n_events_at_risk": "People at risk with an event",
    "bootstrap_low": "Lower bound of the 95 % percentile bootstrap interval over people",
    "bootstrap_high": "Upper bound of the 95 % percentile bootstrap interval over people",
    "p_log_rank": "p of the log-rank test",
    "p_permutation": "p of the log-rank statistic among random splits of the people, for small groups",
    "p_proportional": "p of the check of proportional hazards; a small value speaks against one ratio for all times",
    "concordance": "Harrell's C: 0.5 is chance",
    "concordance_low": "Lower bound of the 95 % interval of C (normal, infinitesimal jackknife)",
    "concordance_high": "Upper bound of the 95 % interval of C",
    "edss": "Mean EDSS by the mixed model",
    "years": "Years since the first scan",
}
METHODS = (
    "People were split by rules on their first scan: {rules}. Times to an event were compared by Cox regression "
    "(Efron; check of proportional hazards by Grambsch and Therneau), the log-rank test (chi-square, and "
    "{permutations} random splits of the people) and Harrell's C; EDSS over time by a mixed model with {effects} per "
    "person, of group, years since the first scan and their product, and once with EDSS standardised and no product. "
    "Bootstrap intervals are percentiles of {samples} samples of people (seed {seed}); rules are not chosen again in "
    "them and variance components are not estimated again. Estimates are not adjusted for age, sex or treatment. "
    "Software: {software}."
)


def risk_groups(data: CohortData) -> list[AnalysisResult]:
    """Every result on risk groups that the cohort allows.

    Raises
    ------
    AnalysisError
        When no outcome is known or no rule splits the people.
    """
    risk = risk_data(data)
    results = [_comparison(risk)]
    trajectories = _trajectories(risk)
    results += [trajectories] if trajectories else []
    for name, what in (("progression", "confirmed progression"), ("relapse", "a relapse")):
        if name in risk.outcomes:
            results.append(_curves(risk, name, what))
            results += decision_results(risk, name, what)
    results += [_curves(risk, name, WORSENING[name]) for name in WORSENING if name in risk.outcomes]
    people = risk.people.assign(**{_column(rule): rule.at_risk for rule in risk.rules})
    meaning = {_column(rule): f"At risk by the rule: {rule.definition}" for rule in risk.rules}
    extra = known({**meaning, "n_infra": "Infra-normal deviations at the first scan"}, people)
    listed = make_result("risk_people", "Risk group of each person", people, figure=Table(), **extra)
    return [*results, listed]


def _column(rule: RiskRule) -> str:
    return "at_risk_" + rule.name.replace(" ", "_").replace("-", "_")


def _comparison(risk: RiskData) -> AnalysisResult:
    """Hazard ratios and differences of EDSS of every rule."""
    config = risk.followed.data.config
    samples = resampling.resample(len(risk.people), config.bootstrap, config.seed)
    rows = []
    for rule in risk.rules:
        shared = {"rule": rule.name, "definition": rule.definition, "k": rule.k}
        for name, outcome in risk.outcomes.items():
            rows.append({**shared, "outcome": name, **_hazard(risk, rule, outcome, samples)})
        rows += [{**shared, **row} for row in _disability(risk, rule, samples)]
    table = pd.DataFrame(rows)
    counts = {name: table[name].astype("Int64") for name in ("n_events", "n_events_at_risk") if name in table}
    table = table.assign(**counts)
    sentences = [_sentence(row) for row in table.to_dict("records")]
    sentences += [f"Warning: {rule.warning}." for rule in risk.rules if rule.warning]
    sentences += risk.followed.data.strata_note
    sentences += [*risk.followed.data.counting_note, *few_people(int(table[["n_people", "n_at_risk"]].min().min()))]
    slope = "random intercept and slope" if config.random_slope else "a random intercept"
    methods = f"{risk.followed.data.counting} " + METHODS.format(
        rules="; ".join(f"{rule.name}: {rule.definition}" for rule in risk.rules),
        effects=slope,
        samples=config.bootstrap,
        permutations=PERMUTATIONS,
        seed=config.seed,
        software=software("numpy", "scipy"),
    )
    hazards = (table["measure"] == HAZARD).any()
    figure = Forest(
        label="rule",
        estimate="estimate",
        low="low",
        high="high",
        p="p",
        facet="outcome",
        where={"measure": HAZARD if hazards else POINTS},
        null=1 if hazards else 0,
        log=bool(hazards),
        xlabel=f"At risk against others: {HAZARD if hazards else POINTS}",
    )
    if "progression" in risk.outcomes:
        methods = progression_methods(risk.followed) + methods
    if set(WORSENING) & set(risk.outcomes):
        methods = f"{worsening_methods(risk.followed)} {methods}"
    return make_result(
        "risk_groups",
        "Risk groups by deviations",
        table,
        sentences=tuple(sentences),
        methods=methods,
        figure=figure,
        **known({**COLUMNS, "outcome": "What is compared"}, table),
    )


def _hazard(risk: RiskData, rule: RiskRule, outcome: pd.DataFrame, samples: np.ndarray) -> dict[str, object]:
    seen = rule.told(outcome["time"].notna().to_numpy())
    time, event, high = outcome["time"][seen], outcome["event"][seen], rule.at_risk[seen]
    strata = None if risk.strata is None else risk.strata[seen]
    row: dict[str, object] = {
        "measure": HAZARD,
        "n_people": int(seen.sum()),
        "n_at_risk": int(high.sum()),
        "n_events": int(event.sum()),
        "n_events_at_risk": int(event[high].sum()),
        "estimate": np.nan,
        "low": np.nan,
        "high": np.nan,
        "p": np.nan,
        "bootstrap_low": np.nan,
        "bootstrap_high": np.nan,
        "p_log_rank": np.nan,
        "p_permutation": np.nan,
        "p_proportional": np.nan,
        "concordance": np.nan,
        "concordance_low": np.nan,
        "concordance_high": np.nan,
        "note": None,
    }
    try:
        X = np.column_stack([high.astype(float), risk.group_terms(np.flatnonzero(seen))])
        fit = fit_cox(time, event, X)
        row["p_log_rank"] = log_rank(time, event, high, strata).p
        seed = risk.followed.data.config.seed
        row["p_permutation"] = log_rank_permutation(time, event, high, seed=seed, strata=strata)
        row |= concordance_columns(time, event, high.astype(float))
    except AnalysisError as error:
        return {**row, "note": str(error)}
    if row["n_events_at_risk"] in (0, row["n_events"]):
        ratio = np.inf if row["n_events_at_risk"] else 0.0
        note = "one group has no event: the ratio is unbounded and p is from the likelihood ratio"
        p = fit.likelihood_ratio[1] if X.shape[1] == 1 else row["p_log_rank"]
        note = note if X.shape[1] == 1 else note.replace("likelihood ratio", "log-rank test")
        return {**row, "estimate": ratio, "p": p, "note": note}
    if not fit.estimable[0]:
        return {**row, "note": "no finite hazard ratio: the events do not bound it"}
    drawn = resampling.percentile_interval(resampling.hazard_ratios(time, event, high, samples[:, seen], strata))
    with np.errstate(over="ignore"):
        ratio, low, top, *bounds = np.exp([fit.coef[0], fit.low[0], fit.high[0], *drawn])
    return {
        **row,
        "estimate": ratio,
        "low": low,
        "high": top,
        "p": fit.p[0],
        "bootstrap_low": bounds[0],
        "bootstrap_high": bounds[1],
        "p_proportional": proportionality(time, event, X).p[0],
    }


def _disability(risk: RiskData, rule: RiskRule, samples: np.ndarray) -> list[dict[str, object]]:
    """Difference of EDSS at the first scan, of its change per year, and of the standardised level."""
    rows = _edss_rows(risk, rule)
    if rows is None:
        return []
    edss, years, high, codes, names = rows
    slope = risk.followed.data.config.random_slope
    position = {name: index for index, name in enumerate(risk.people["participant_id"])}
    chosen = [position[name] for name in names]
    group = risk.group_terms(np.array(chosen)[codes])
    X = np.column_stack([np.ones(len(edss)), years, high, years * high, group, years[:, None] * group])
    L = np.column_stack([X[:, :3], group])
    try:
        scaled = standardise(edss)  # an EDSS that never differs has no model
        fit = _model(X, codes, years, slope).fit(edss)
        level = _model(L, codes, years, slope).fit(scaled)
    except AnalysisError:
        return []
    drawn = _bootstrap_disability(X, edss, codes, samples[:, chosen])
    levels = _bootstrap_disability(L, scaled, codes, samples[:, chosen])[:, 2]
    shared = {"n_people": len(names), "n_at_risk": len(np.unique(codes[high == 1])), "note": None}
    found = []
    for outcome, column in (("EDSS at the first scan", 2), ("EDSS change per year", 3)):
        low, top = resampling.percentile_interval(drawn[:, column])
        found.append(
            {
                "outcome": outcome,
                "measure": POINTS,
                **shared,
                "estimate": fit.beta[column],
                "low": fit.low[column],
                "high": fit.high[column],
                "p": fit.p[column],
                "bootstrap_low": low,
                "bootstrap_high": top,
            }
        )
    low, top = resampling.percentile_interval(levels)
    found.append(
        {
            "outcome": "EDSS over all visits",
            "measure": STANDARDISED,
            **shared,
            "estimate": level.beta[2],
            "low": level.low[2],
            "high": level.high[2],
            "p": level.p[2],
            "bootstrap_low": low,
            "bootstrap_high": top,
        }
    )
    return found


def _edss_rows(
    risk: RiskData, rule: RiskRule
) -> tuple[FloatArray, FloatArray, FloatArray, np.ndarray, list[str]] | None:
    """EDSS, years, risk (0 or 1) and code of the person of each visit, and the people in the order of codes."""
    visits, edss = risk.followed.visits, risk.followed.data.config.column("edss")
    if edss not in visits:
        return None
    told = rule.told(np.ones(len(rule.at_risk), dtype=bool))
    at_risk = pd.Series(rule.at_risk.astype(float), index=risk.people["participant_id"])[told]
    rows = visits[visits[edss].notna() & visits["participant_id"].isin(at_risk.index)]
    if rows.empty:
        return None
    labels, codes = np.unique(rows["participant_id"].to_numpy().astype(str), return_inverse=True)
    high = rows["participant_id"].map(at_risk).to_numpy(dtype=float)
    return rows[str(edss)].to_numpy(dtype=float), rows[YEARS].to_numpy(dtype=float), high, codes, list(labels)


def _model(X: FloatArray, codes: np.ndarray, years: FloatArray, slope: bool) -> MixedModel | RandomSlopeModel:
    return RandomSlopeModel(X, codes, years) if slope else MixedModel(X, codes)


def _bootstrap_disability(X: FloatArray, y: FloatArray, codes: np.ndarray, samples: np.ndarray) -> FloatArray:
    """Coefficients (b, k) of the random-intercept model in samples of people, at the variance ratio of all."""
    design = RandomInterceptDesign(X, codes)
    fit = design.fit(y)
    ratio, stacked = fit.tau2 / fit.sigma2, np.column_stack([X, y])
    size, k = samples.shape[1], X.shape[1]
    cross, sums = np.zeros((size, k + 1, k + 1)), np.zeros((size, k + 1))
    np.add.at(cross, codes, stacked[:, :, None] * stacked[:, None, :])
    np.add.at(sums, codes, stacked)
    shrink = ratio / (1 + design.group_sizes * ratio)
    weighted = cross - shrink[:, None, None] * sums[:, :, None] * sums[:, None, :]
    total = (samples @ weighted.reshape(size, -1)).reshape(-1, k + 1, k + 1)
    whole = np.linalg.matrix_rank(total[:, :k, :k]) == k
    out = np.full((len(samples), k), np.nan)
    out[whole] = np.linalg.solve(total[whole, :k, :k], total[whole, :k, k:])[:, :, 0]
    return out


def _sentence(row: Mapping[Hashable, Any]) -> str:
    people = f"{row['n_at_risk']} of {plural(row['n_people'], 'person', 'people')}"
    bounds = interval(row["low"], row["high"])
    if row["measure"] == STANDARDISED:
        beta = f"standardised beta {row['estimate']:.2f} ({bounds}, {p_value(row['p'])})"
        return f"{row['outcome']}, {people} at risk ({row['definition']}) against the others: {beta}."
    if row["measure"] != HAZARD:
        difference = f"{row['estimate']:+.2f} points ({bounds}, {p_value(row['p'])})"
        return f"{row['outcome']}, {people} at risk ({row['definition']}) against the others: {difference}."
    counted = f"{upper_first(row['outcome'])}: {row['n_events']} of {row['n_people']} people had an event"
    if not 0 < row["n_at_risk"] < row["n_people"]:
        whom = "none" if row["n_at_risk"] == 0 else "all"
        return f"{counted}; {whom} of them are at risk ({row['definition']}), so groups cannot be compared."
    some = row["n_events_at_risk"] or "none"
    among = f"{counted}, {some} of them among the {row['n_at_risk']} at risk ({row['definition']})"
    if not np.isfinite(row["estimate"]) or row["estimate"] == 0:
        return f"{among}; a hazard ratio cannot be given (log-rank test {p_value(row['p_log_rank'])})."
    c = f"Harrell's C {row['concordance']:.2f} ({interval(row['concordance_low'], row['concordance_high'])})"
    doubt = row["p_proportional"] < 0.05
    note = "; the ratio changes over time, so one number does not describe it well" if doubt else ""
    return f"{among}: hazard ratio {row['estimate']:.2f} ({bounds}, {p_value(row['p'])}), {c}{note}."


def _trajectories(risk: RiskData) -> AnalysisResult | None:
    """Mean EDSS over time by risk group, from the mixed model; patient groups that are not pooled have their own."""
    rows = _edss_rows(risk, risk.primary)
    if rows is None:
        return None
    names = rows[-1]
    blocks = []
    for stratum in [None] if risk.strata is None else np.unique(risk.strata):
        chosen = set(
            risk.people["participant_id"] if stratum is None else risk.people["participant_id"][risk.strata == stratum]
        )
        blocks += _mean_curves(
            rows, np.array([name in chosen for name in names]), "" if stratum is None else f"{stratum}, "
        )
    if not blocks:
        return None
    table = pd.concat(blocks, ignore_index=True)
    figure = Trajectory(
        x="years", y="edss", low="low", high="high", group="group", xlabel="Years since the first scan", ylabel="EDSS"
    )
    methods = (
        f"Mean EDSS by a mixed model with a random intercept per person; rule: {risk.primary.definition}. "
        f"Lines end at the 95th centile of the visits. Software: {software('numpy', 'scipy')}."
    )
    return make_result(
        "risk_trajectories",
        "Disability over time by risk group",
        table,
        methods=methods,
        figure=figure,
        sentences=(f"Groups: {risk.primary.definition}, against others.",),
        **known({**COLUMNS, "group": "Risk group"}, table),
    )


def _mean_curves(
    rows: tuple[FloatArray, FloatArray, FloatArray, np.ndarray, list[str]], chosen: np.ndarray, prefix: str
) -> list[pd.DataFrame]:
    """Mean EDSS over time of the others and of the people at risk, among the `chosen` people (m,)."""
    from scipy.stats import norm

    kept = chosen[rows[3]]
    edss, years, high, codes = (values[kept] for values in rows[:4])
    if len(np.unique(high)) < 2 or np.ptp(edss) == 0:
        return []
    X = np.column_stack([np.ones(len(edss)), years, high, years * high])
    try:
        fit = RandomInterceptDesign(X, np.unique(codes, return_inverse=True)[1]).fit(edss)
    except AnalysisError:
        return []
    blocks = []
    for group, flag in ((OTHERS, 0.0), (AT_RISK, 1.0)):
        member = high == flag
        grid = np.linspace(0, max(float(np.quantile(years[member], 0.95)), 1e-9), 25)
        G = np.column_stack([np.ones(25), grid, np.full(25, flag), grid * flag])
        mean, half = G @ fit.beta, norm.ppf(0.975) * np.sqrt(np.einsum("ij,jk,ik->i", G, fit.cov_beta, G))
        label = f"{prefix}{group} (n = {len(np.unique(codes[member]))})"
        blocks.append(
            pd.DataFrame({"group": label, "years": grid, "edss": mean, "low": mean - half, "high": mean + half})
        )
    return blocks


def _curves(risk: RiskData, name: str, what: str) -> AnalysisResult:
    """Kaplan-Meier curves by risk group."""
    outcome, rule = risk.outcomes[name], risk.primary
    seen = rule.told(outcome["time"].notna().to_numpy())
    table = outcome[seen].assign(group=np.where(rule.at_risk[seen], AT_RISK, OTHERS))
    if risk.strata is not None:
        table = table.assign(stratum=risk.strata[seen])
    title, methods = f"Time to {what} by risk group", f"At risk: {rule.definition}. "
    return survival_result(f"risk_{name.split()[0].lower().replace('-', '_')}", title, table, what, methods)
