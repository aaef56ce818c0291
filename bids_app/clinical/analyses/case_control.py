"""A group against its controls: number of deviations, and each region's mean z."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bids_app.clinical.deviations import TAILS
from bids_app.clinical.figures import Forest
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.stats.linear import design
from bids_app.clinical.stats.negative_binomial import INFINITE, THETA_RANGE, CountFit, fit_counts
from bids_app.clinical.wording import few_people, grouped, interval, listing, p_value, plural, software
from bids_app.errors import AnalysisError

TAIL_WORDS = {"infra": "infra-normal", "supra": "supra-normal", "total": "infra- or supra-normal"}
STUDY_THETA = 1.0
ROBUST = "robust"
# A standard error of the log rate ratio that is nothing but rounding.
CERTAIN = 1e-9
COUNT_METHODS = (
    "Numbers of deviations were compared by negative binomial regression with a log link{covariates}, once "
    "with the shape theta estimated by maximum likelihood (z tests) and once with theta = 1, the "
    "dispersion estimated from the Pearson residuals and t tests, as in the source study (Korbmacher et "
    "al. 2026), with 95 % profile likelihood intervals. The robust interval and p value of the maximum likelihood "
    "estimate use sandwich standard errors (HC3; MacKinnon and White 1985) and t on the residual degrees of freedom, "
    "since counts of correlated regions are not exactly negative binomial.{matched} One scan per person is used. "
    "Software: {software}."
)
MATCHED_COUNTS = (
    " People count as one and the controls of each as one together; robust intervals take matched sets as the units (a "
    "jackknife over sets, t on their number less one), and where people have different numbers of controls all "
    "intervals do."
)


def compare_counts(
    cohort: pd.DataFrame, group: str, control: str, covariates: Sequence[str] = (), sets: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Incidence rate ratios of the number of deviations.

    Parameters
    ----------
    cohort : DataFrame
        One row per person: ``group``, ``n_infra``, ``n_supra``, ``n_total`` and the covariates.
    group, control : str
        Levels of ``group``; other rows are ignored.
    covariates : sequence of str
        Further terms of the model; rows where one is missing are left out.
    sets : DataFrame, optional
        ``set weight`` of each row of a matched cohort (same index). Robust standard errors then take matched sets as
        the units. Where weights differ (several controls per person) means and models are weighted and every interval
        is robust.

    Returns
    -------
    DataFrame
        One row per tail and method (``maximum likelihood``, ``robust``, ``theta = 1``): ``tail method group
        control_group n_group n_control mean_group mean_control irr low high estimate se statistic df p
        theta dispersion note``. `irr` is 0 or infinite when a group has no deviation at all; `note` says so, and
        there is no robust interval then.

    Raises
    ------
    AnalysisError
        When a group is empty or no tail can be fitted.
    """
    rows, matrix = _complete(cohort[cohort["group"].isin([group, control])], group, control, covariates)
    treated = matrix[:, 1] == 1
    shared = {
        "group": group,
        "control_group": control,
        "n_group": int(treated.sum()),
        "n_control": int((~treated).sum()),
    }
    units = {} if sets is None else {"weights": sets.loc[rows.index, "weight"], "clusters": sets.loc[rows.index, "set"]}
    df = len(rows) - matrix.shape[1] if sets is None else units["clusters"].nunique() - 1
    blocks, problems = [], []
    for tail in TAILS:
        try:
            found = _tail_rows(rows[f"n_{tail}"].to_numpy(dtype=float), matrix, units, df)
        except AnalysisError as error:
            problems.append((f"{TAIL_WORDS[tail]} deviations", str(error)))
            continue
        blocks += [{"tail": tail, **shared, **row} for row in found]
    if not blocks:
        raise AnalysisError("; ".join(grouped(problems)))
    return pd.DataFrame(blocks)


def _complete(
    rows: pd.DataFrame, group: str, control: str, covariates: Sequence[str]
) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows with all covariates, and their design (n, 2 + k): one, in `group`, covariates."""
    X = design(rows, covariates)
    complete = X.notna().all(axis=1).to_numpy()
    rows, X = rows[complete], X[complete]
    treated = (rows["group"] == group).to_numpy()
    if not treated.any() or treated.all():
        raise AnalysisError(
            f"there is nobody with group {group if not treated.any() else control}", "check the control level"
        )
    return rows, np.column_stack([np.ones(len(rows)), treated, X.to_numpy(dtype=float)])


def _tail_rows(
    counts: np.ndarray, matrix: np.ndarray, units: Mapping[str, pd.Series], df: int
) -> list[dict[str, object]]:
    """The rows of one tail: every method of the ratio of `counts` (n,) in the design `matrix` (n, k)."""
    treated = matrix[:, 1] == 1
    weights = np.asarray(units["weights"] if units else np.ones(len(counts)), dtype=float)
    means = [float(np.average(counts[side], weights=weights[side])) for side in (treated, ~treated)]
    weighted = bool(np.ptp(weights) > 0)
    found: list[dict[str, object]] = []
    for method, theta in (("maximum likelihood", None), ("theta = 1", STUDY_THETA)):
        fit = fit_counts(counts, matrix, theta, terms=[1], **units)
        row: dict[str, object] = {"mean_group": means[0], "mean_control": means[1], "method": method}
        sure = not fit.unbounded.any() and fit.robust_se[1] > CERTAIN
        if not (weighted and sure):
            found.append({**row, **_rate_ratio(fit)})
        if sure and (theta is None or weighted):
            found.append({**row, "method": ROBUST if theta is None else method, **_robust_ratio(fit, df)})
    return found


def _rate_ratio(fit: CountFit) -> dict[str, object]:
    estimate = float(fit.coef[1])
    infinite = abs(estimate) > INFINITE
    if infinite:
        estimate = float(np.sign(estimate)) * np.inf
    with np.errstate(over="ignore"):
        irr, low, high = (float(np.exp(value)) for value in (estimate, fit.low[1], fit.high[1]))
    return {
        "irr": irr,
        "low": low,
        "high": high,
        "estimate": estimate,
        "se": np.nan if infinite else float(fit.se[1]),
        "statistic": float(fit.statistic[1]),
        "df": fit.df,
        "p": float(fit.p[1]),
        "theta": fit.theta,
        "dispersion": fit.dispersion,
        "note": _note(fit, infinite),
    }


def _robust_ratio(fit: CountFit, df: int) -> dict[str, object]:
    """`_rate_ratio` with the sandwich standard error."""
    from scipy.stats import t

    estimate, se = float(fit.coef[1]), float(fit.robust_se[1])
    half, statistic = float(t.ppf(0.975, df)) * se, estimate / se
    return {
        **_rate_ratio(fit),
        "low": np.exp(estimate - half),
        "high": np.exp(estimate + half),
        "se": se,
        "statistic": statistic,
        "df": float(df),
        "p": float(2 * t.sf(abs(statistic), df)),
    }


def _note(fit: CountFit, infinite: bool) -> str | None:
    notes = []
    if infinite:
        notes.append("one group has no deviation at all: the ratio is 0 or infinite and p is from the likelihood ratio")
    elif fit.unbounded.any():
        notes.append("a covariate predicts the absence of deviations perfectly: its coefficient is unbounded")
    elif fit.theta_estimated and not fit.robust_se[1] > CERTAIN:
        alone = np.isnan(fit.robust_se[1])
        why = "one person alone determines the ratio" if alone else "counts do not vary within groups"
        notes.append(f"no robust interval: {why}")
    if fit.theta_estimated and fit.theta >= THETA_RANGE[1]:
        notes.append("counts vary no more than a Poisson distribution: theta is at its upper limit")
    return "; ".join(notes) or None


def case_control_result(
    cohort: pd.DataFrame, group: str, control: str, covariates: Sequence[str] = (), sets: pd.DataFrame | None = None
) -> AnalysisResult:
    """`compare_counts` with its sentences and forest plot.

    Parameters
    ----------
    cohort, group, control, covariates, sets
        As for `compare_counts`.

    Returns
    -------
    AnalysisResult
    """
    table = compare_counts(cohort, group, control, covariates, sets)
    # The robust row where there is one: it comes after the likelihood's.
    first = table[table["method"] != "theta = 1"].drop_duplicates("tail", keep="last")
    study = table[table["method"] == "theta = 1"].set_index("tail")
    who = "controls" if sets is None else "matched controls"
    sentences = [
        _count_sentence(row, who, study.loc[row["tail"]] if row["tail"] in study.index else None)
        for row in first.to_dict("records")
    ]
    sentences += [f"These ratios are adjusted for {listing(list(covariates))}."] if covariates else []
    sentences += [
        f"Note on {TAIL_WORDS[row['tail']]} deviations: {row['note']}."
        for row in first[first["note"].notna()].to_dict("records")
    ]
    sentences += few_people(int(table[["n_group", "n_control"]].min().min()))
    methods = COUNT_METHODS.format(
        covariates=f", adjusted for {', '.join(covariates)}" if covariates else "",
        matched="" if sets is None else MATCHED_COUNTS,
        software=software("numpy", "scipy"),
    )
    figure = Forest(
        label="tail",
        estimate="irr",
        low="low",
        high="high",
        null=1,
        log=True,
        p="p",
        facet="method",
        xlabel=f"Incidence rate ratio, {group} against {control}",
    )
    return make_result(
        "case_control",
        f"Number of deviations, {group} against {control}",
        table,
        sentences=tuple(sentences),
        methods=methods,
        figure=figure,
    )


def _count_sentence(row: Mapping[Hashable, Any], who: str, study: Mapping[Any, Any] | None) -> str:
    means = (
        f"{plural(row['n_group'], 'person', 'people')} of group {row['group']} had on average {row['mean_group']:.2f} "
        f"{TAIL_WORDS[row['tail']]} deviations, {row['n_control']} {who} {row['mean_control']:.2f}"
    )
    compared = "" if study is None else f"; with theta = 1, as in the source study, {_ratio(study)}"
    return f"{means}: a rate ratio of {_ratio(row)}{compared}."


def _ratio(row: Mapping[Any, Any]) -> str:
    ratio = row["irr"]
    said = f"{ratio:.2f}" if np.isfinite(ratio) and ratio > 0 else "0" if ratio == 0 else "infinity"
    return f"{said} ({interval(row['low'], row['high'])}, {p_value(row['p'])})"
