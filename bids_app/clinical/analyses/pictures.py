"""Results that are there to be looked at: everybody in the leading regions, scores, visits, fit to the controls."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bids_app.clinical.analyses import associations
from bids_app.clinical.analyses.change_analyses import repeated_scans
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.deviations import first_scans
from bids_app.clinical.figures import BrainMap, Calibration, Courses, Scatter
from bids_app.clinical.results import AnalysisResult, make_result, map_limits
from bids_app.clinical.stats.linear import design, fit_linear
from bids_app.clinical.values import numbers
from bids_app.clinical.wording import listing, plural, software
from bids_app.errors import AnalysisError
from bids_app.regions import display_name

LEADING = 4
REGIONS_PER_SCORE = 2
MOST_SCORES = 6
COUNT = "number of smaller regions"
CENTILES = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)
SCATTER_METHODS = (
    "The lines are those of the linear models of the first visit at the mean of the covariates, over scans with all "
    "values, with their 95 % intervals. Drawn are, for each score, the number of deviations and the {n} regions whose "
    "z is most strongly related to it, which are picked out and so look stronger than they are. Software: {software}."
)
CALIBRATION_METHODS = (
    "The share of controls (first scans) whose z lies at or below each centile of the reference is compared with the "
    "centile's own share; the band holds 95 % of binomial samples of as many people. Neighbouring centiles and regions "
    "are correlated. Software: {software}."
)


def courses(data: CohortData) -> list[AnalysisResult]:
    """z of every scan in the regions that most patients have below the limit, by group, and by the first score."""
    leading = _leading(data)
    scans = data.scans[data.scans["age"].notna()]
    blocks = [
        scans[_there(scans, "participant_id", "session_id", "group", "age")].assign(
            region=name, structure=display_name(name), z=data.zscores.loc[scans.index, name]
        )
        for name in leading
    ]
    table = pd.concat(blocks).dropna(subset=["z"])
    table = table[["region", "structure", *(name for name in table if name not in ("region", "structure"))]]
    shared: dict[str, Any] = {
        "x": "age",
        "y": "z",
        "person": "participant_id",
        "facet": "structure",
        "together": True,
        "xlabel": "age, years",
    }
    named = listing([display_name(name) for name in leading])
    sentence = f"Every scan by age in the regions that are most often smaller than expected: {named}."
    grouped = Courses(**shared, colour="group" if "group" in table else None)
    title = "Everybody in the leading regions"
    results = [make_result("courses", title, table.reset_index(drop=True), sentences=(sentence,), figure=grouped)]
    for column, shown in list(data.scores().items())[:1]:
        value = numbers(scans.loc[data.patients[scans.index], column])
        own = table.assign(value=value.reindex(table.index)).dropna(subset=["value"]).reset_index(drop=True)
        if len(own):
            told = f"The same in the people with a value of {shown}, coloured from low to high."
            by_score = Courses(**shared, colour="value")
            extra = {"value": f"{shown} at the scan"}
            results.append(
                make_result("courses_score", f"{title}, by {shown}", own, sentences=(told,), figure=by_score, **extra)
            )
    return results


def _there(table: pd.DataFrame, *names: str) -> list[str]:
    return [name for name in names if name in table]


def _leading(data: CohortData) -> list[str]:
    """The regions that most people outside the control group have below the limit, then those with the lowest mean."""
    rows = data.patients & data.first
    z = data.zscores[rows if rows.any() else data.first]
    z = z.loc[:, z.notna().any()]
    order = pd.DataFrame({"share": -(z <= -data.config.threshold).sum() / z.notna().sum(), "mean": z.mean()})
    return [str(name) for name in order.sort_values(["share", "mean"], kind="stable").index[:LEADING]]


def scores_people(data: CohortData) -> list[AnalysisResult]:
    """Every person's score against the number of deviations and the regions most strongly related to it."""
    people, z = data.scans[data.patients], data.zscores[data.patients]
    if people.empty:
        raise AnalysisError("there is nobody outside the control group")
    model = associations.ScoreModel(covariates=data.covariates())
    blocks: list[pd.DataFrame] = []
    problems: dict[str, None] = {}
    for column, shown in list(data.scores().items())[:MOST_SCORES]:
        try:
            blocks += _panels(people, z, column, shown, model)
        except AnalysisError as error:
            problems[f"{shown}: {error.reason}."] = None
    if not blocks:
        raise AnalysisError(" ".join(problems) or "there is no clinical score to relate")
    table = pd.concat(blocks, ignore_index=True)
    figure = Scatter(
        x="x", y="y", fit="fit", low="low", high="high", xname="x_name", yname="y_name", facet="panel", together=True
    )
    sentences = (
        f"{plural(table['participant_id'].nunique(), 'person', 'people')} with a clinical score: a dot each, with the "
        "line of the model and its 95 % interval.",
        *problems,
    )
    methods = SCATTER_METHODS.format(n=REGIONS_PER_SCORE, software=software("numpy", "scipy"))
    title = "Clinical scores and deviations of each person"
    extra = {
        "panel": "Heading of the picture that the row belongs to",
        "x": "Value of the predictor, `x_name`",
        "y": "Value of the outcome, `y_name`",
        "x_name": "What x is",
        "y_name": "What y is",
        "fit": "Outcome that the linear model expects at x and the mean of the covariates",
        "low": "Lower end of the 95 % interval of fit",
        "high": "Upper end of the 95 % interval of fit",
    }
    return [make_result("scores_people", title, table, sentences=sentences, methods=methods, figure=figure, **extra)]


def _panels(
    people: pd.DataFrame, z: pd.DataFrame, column: str, shown: str, model: associations.ScoreModel
) -> list[pd.DataFrame]:
    """The rows of one score: with the count as predictor, and as predictor of the most strongly related regions."""
    score = numbers(people[column])
    related = associations.region_associations(people, z, [column], model).dropna(subset=["statistic"])
    order = related["statistic"].abs().sort_values(ascending=False, kind="stable").index[:REGIONS_PER_SCORE]
    counted = associations.count_associations(people, [column], model)
    blocks = [_panel(people, score, people["n_infra"], (f"{shown}, {COUNT}", COUNT, shown), counted.iloc[0], model)]
    for row in related.loc[order].to_dict("records"):
        name = display_name(row["region"])
        said = f"{shown}, {name}", shown, f"z of the {name}"
        blocks.append(_panel(people, z[row["region"]], score, said, row, model))
    return blocks


def _fitted_line(
    cohort: pd.DataFrame, outcome: pd.Series, predictor: pd.Series, model: associations.ScoreModel
) -> pd.DataFrame:
    """The line of a cross-sectional model at the mean of its covariates, with its 95 % interval, at every person.

    Returns
    -------
    DataFrame
        Index of the rows of `cohort` that the model uses: ``x`` (predictor), ``y`` (outcome), ``fit low high``.

    Raises
    ------
    AnalysisError
        When the model cannot be fitted.
    """
    from scipy.stats import t

    X = pd.concat([predictor.astype(float).rename("predictor"), design(cohort, model.covariates)], axis=1)
    rows = np.flatnonzero((X.notna().all(axis=1) & outcome.notna()).to_numpy())
    rows = rows[first_scans(cohort.iloc[rows])]
    y, x = outcome.iloc[rows].astype(float), X["predictor"].iloc[rows]
    responses, predictors = associations.standardised_rows(y.to_frame(), X.iloc[rows])
    fit = fit_linear(responses, predictors)
    # standardised predictors are centred, so that the intercept and the slope are independent
    se = np.hypot(fit.se[0, 0], fit.se[1, 0] * predictors[:, 1])
    middle, half = fit.beta[1, 0] * predictors[:, 1], t.ppf(0.975, fit.df) * se
    raw = {
        name: y.mean() + y.std() * value
        for name, value in (("fit", middle), ("low", middle - half), ("high", middle + half))
    }
    return pd.DataFrame({"x": x, "y": y, **raw})


def _panel(
    people: pd.DataFrame,
    outcome: pd.Series,
    predictor: pd.Series,
    said: tuple[str, str, str],
    row: Mapping[Hashable, Any] | pd.Series,
    model: associations.ScoreModel,
) -> pd.DataFrame:
    title, x_name, y_name = said
    line = _fitted_line(people, outcome, predictor, model)
    beta = f"{title}: beta {row['beta']:.2f} ({row['low']:.2f} to {row['high']:.2f})".replace("-", "\N{MINUS SIGN}")
    who = people.loc[line.index, _there(people, "participant_id", "session_id", "group")]
    return pd.concat([who, line], axis=1).assign(panel=beta, x_name=x_name, y_name=y_name)


def visits(data: CohortData) -> list[AnalysisResult]:
    """Mean z of every region at the first and the last scan of the people with several, on one scale."""
    scans, z, harmonisation = repeated_scans(data)
    blocks = []
    for group, part in scans.groupby("group", sort=True):
        first = first_scans(part)
        last = first_scans(part[::-1].assign(age=-part["age"].astype(float)))[::-1]  # of equal ages the lower row
        for name, rows in (("first", first), ("last", last)):
            found = z.loc[part.index[rows]]
            blocks.append(
                pd.DataFrame(
                    {
                        "group": group,
                        "visit": name,
                        "region": found.columns,
                        "n_people": found.notna().sum().to_numpy(),
                        "mean_z": found.mean().to_numpy(),
                        "years": float(part.loc[rows, "years"].mean()),
                    }
                )
            )
    table = pd.concat(blocks, ignore_index=True)
    table["panel"] = table["group"].astype(str) + ", " + table["visit"] + " visit"
    followed = table[table["visit"] == "last"].drop_duplicates("group")
    sentences = tuple(
        f"In group {row['group']} {plural(int(row['n_people']), 'person', 'people')} were scanned again, the last time "
        f"{row['years']:.1f} years after the first on average."
        for row in followed.to_dict("records")
    )
    figure = BrainMap(value="mean_z", facet="panel", together=True, limits=map_limits(table["mean_z"]), xlabel="Mean z")
    extra = {
        "group": "Group of people",
        "visit": "First or last scan of each person with several",
        "years": "Mean years since the first scan",
        "panel": "Heading of the map that the row belongs to",
        "mean_z": "Mean z of the people",
    }
    title = "First and last visit"
    return [
        make_result("visits", title, table, sentences=(*sentences, *harmonisation.sentences()), figure=figure, **extra)
    ]


def calibration(data: CohortData) -> list[AnalysisResult]:
    """The share of controls at or below each centile of the reference, by region."""
    from scipy.special import ndtri
    from scipy.stats import binom

    control = data.control()
    z = data.zscores[(data.scans["group"] == control).to_numpy() & data.first]
    z = z.loc[:, z.notna().any()]
    if z.empty:
        raise AnalysisError("no control has a z-score")
    n = z.notna().sum().to_numpy()
    blocks = [
        pd.DataFrame(
            {
                "region": z.columns,
                "structure": [display_name(str(name)) for name in z],
                "n_people": n,
                "expected": share,
                "observed": (z <= ndtri(share)).sum().to_numpy() / n,
                "low": binom.ppf(0.025, n, share) / n,
                "high": binom.ppf(0.975, n, share) / n,
            }
        )
        for share in CENTILES
    ]
    table = pd.concat(blocks, ignore_index=True)
    extra = {
        "expected": "Share of healthy people at or below the centile",
        "observed": "Share of the controls with z at or below it",
        "low": "Lower end of the range that holds 95 % of samples of as many people",
        "high": "Upper end of that range",
    }
    figure = Calibration(
        label="region",
        expected="expected",
        observed="observed",
        low="low",
        high="high",
        xlabel="healthy people below the centile, per cent",
        ylabel="controls below it, per cent",
    )
    return [
        make_result(
            "calibration",
            "Fit of the reference to the controls",
            table,
            sentences=_calibration_sentences(table, control, int(n.max())),
            methods=CALIBRATION_METHODS.format(software=software("scipy")),
            figure=figure,
            **extra,
        )
    ]


def _calibration_sentences(table: pd.DataFrame, control: str, people: int) -> tuple[str, ...]:
    tails = {0.025: "smaller", 0.975: "larger"}
    said = []
    for share, word in tails.items():
        rows = table[table["expected"] == share]
        observed = (rows["observed"] * rows["n_people"]).sum() / rows["n_people"].sum()
        said.append(f"{100 * (observed if share < 0.5 else 1 - observed):.1f} % {word}")
    outer = table[table["expected"].isin(list(tails))]
    off = outer[(outer["observed"] < outer["low"]) | (outer["observed"] > outer["high"])]
    regions = list(dict.fromkeys(off["structure"]))
    named = f" ({listing(regions)})" if regions else ""
    return (
        f"Of the regions of {plural(people, 'person', 'people')} in group {control} {' and '.join(said)} than "
        "expected, against 2.5 % each in the reference.",
        f"Outside what sampling gives at these limits: {len(regions)} of {plural(table['region'].nunique(), 'region')}"
        f"{named}.",
    )
