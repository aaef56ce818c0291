"""Each region's mean z of a group against its controls, and how often regions deviate."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bids_app.clinical.figures import BrainMap
from bids_app.clinical.results import AnalysisResult, make_result, map_limits
from bids_app.clinical.stats.linear import false_discovery
from bids_app.clinical.stats.risk_rules import THALAMUS
from bids_app.clinical.wording import few_people, listing, percent, plural, software
from bids_app.errors import AnalysisError
from bids_app.normative.base import Z_CRITICAL
from bids_app.regions import display_name

REGION_METHODS = (
    "For each region the mean z of the group was compared with that of the controls ({test}, 95 % interval), with "
    "Cohen's d from the pooled standard deviation; p values were corrected by Benjamini-Hochberg over the regional "
    "volumes, for each group on its own. Software: {software}."
)
WELCH = "Welch's t test"
PAIRED = "t test of the differences within matched sets, the controls of each person counted as one"
ADJUSTED = "linear model with {covariates}, HC3 standard errors and t tests"
REGION_COLUMNS = [
    "region",
    "structure",
    "group",
    "control_group",
    "n_group",
    "n_control",
    "mean_group",
    "mean_control",
    "difference",
    "difference_low",
    "difference_high",
    "cohens_d",
    "statistic",
    "df",
    "p",
    "q",
]


def region_differences(
    zscores: pd.DataFrame,
    groups: pd.Series,
    control: str,
    regions: Sequence[str] | None = None,
    sets: pd.DataFrame | None = None,
    covariates: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Mean z of each group against the controls, region by region.

    Parameters
    ----------
    zscores : DataFrame
        One row per person, one column per region.
    groups : Series
        Group of each row (same order); missing rows are left out.
    control : str
        The level that the others are compared with.
    regions : sequence of str, optional
        Default: all columns of `zscores` that are numeric.
    sets : DataFrame, optional
        ``set weight`` of each row of a matched cohort (one group): differences are within matched sets.
    covariates : DataFrame, optional
        Numeric columns (same rows) that the difference is adjusted for.

    Returns
    -------
    DataFrame
        ``region structure group control_group n_group n_control mean_group mean_control difference
        difference_low difference_high cohens_d statistic df p q``. A region with fewer than two values in a
        group has no test. q is over the regions of a group.

    Raises
    ------
    AnalysisError
        When nobody is in the control group, or nobody outside it.
    """
    columns = list(regions) if regions is not None else list(zscores.select_dtypes("number").columns)
    z, labels = zscores[columns].to_numpy(dtype=float), groups.to_numpy()
    others = sorted({str(label) for label in labels[groups.notna()]} - {control})
    if not others or not (labels == control).any():
        raise AnalysisError(
            f"a comparison needs the control group {control} and another group",
            "check the control level in the analysis file",
        )
    blocks = []
    for name in others:
        member, healthy = labels == name, labels == control
        block = _differences(z[member], z[healthy], columns)
        if sets is not None:
            block = block.assign(**_within_sets(z, member, sets))
        elif covariates is not None:
            rows = member | healthy
            block = block.assign(**_adjusted(z[rows], member[rows], covariates.to_numpy(dtype=float)[rows]))
        blocks.append(block.assign(group=name, q=false_discovery(block["p"].to_numpy())))
    table = pd.concat(blocks, ignore_index=True).assign(control_group=control)
    table["structure"] = [display_name(region) for region in table["region"]]
    return table[REGION_COLUMNS]


def _within_sets(z: np.ndarray, member: np.ndarray, sets: pd.DataFrame) -> dict[str, np.ndarray]:
    """Mean difference within matched sets per region, with t test and interval over the sets."""
    number, weight = sets["set"].to_numpy(dtype=int), sets["weight"].to_numpy(dtype=float)[:, None]
    means = []
    for side in (member, ~member):
        known = (~np.isnan(z)) * weight * side[:, None]
        sums, total = np.zeros((2, number.max() + 1, z.shape[1]))
        np.add.at(sums, number, np.where(known > 0, z, 0) * known)
        np.add.at(total, number, known)
        with np.errstate(invalid="ignore"):
            means.append(sums / total)
    within = means[0] - means[1]
    n, difference, variance = _moments(within)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _t_test(difference, np.sqrt(variance / n), n - 1.0)


def _adjusted(z: np.ndarray, member: np.ndarray, covariates: np.ndarray) -> dict[str, np.ndarray]:
    """Difference per region in a linear model with covariates, with HC3 standard errors."""
    from statsmodels.regression.linear_model import OLS

    found = np.full((3, z.shape[1]), np.nan)
    for column, values in enumerate(z.T):
        rows = ~np.isnan(values) & ~np.isnan(covariates).any(axis=1)
        X = np.column_stack([np.ones(rows.sum()), member[rows], covariates[rows]])
        scale = np.sqrt((X**2).sum(axis=0))
        if len(X) > X.shape[1] and np.linalg.matrix_rank(X / np.where(scale > 0, scale, 1)) == X.shape[1]:
            fit = OLS(values[rows], X / scale).fit()
            leverage = fit.get_influence().hat_matrix_diag
            se = fit.HC3_se[1] if leverage.max() < 1 - 1e-8 else np.nan
            found[:, column] = fit.params[1] / scale[1], se / scale[1], fit.df_resid
    return _t_test(*found)


def _t_test(difference: np.ndarray, se: np.ndarray, df: np.ndarray) -> dict[str, np.ndarray]:
    from scipy.stats import t

    with np.errstate(divide="ignore", invalid="ignore"):
        half, statistic = t.ppf(0.975, df) * se, difference / se
    return {
        "difference": difference,
        "difference_low": difference - half,
        "difference_high": difference + half,
        "statistic": statistic,
        "df": df,
        "p": 2 * t.sf(np.abs(statistic), df),
    }


def _differences(group: np.ndarray, control: np.ndarray, regions: list[str]) -> pd.DataFrame:
    (n1, m1, v1), (n0, m0, v0) = _moments(group), _moments(control)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = v1 / n1, v0 / n0
        df = (a + b) ** 2 / (a**2 / (n1 - 1) + b**2 / (n0 - 1))
        pooled = np.sqrt(((n1 - 1) * v1 + (n0 - 1) * v0) / (n1 + n0 - 2))
        difference = m1 - m0
        test = _t_test(difference, np.sqrt(a + b), df)
        d = difference / pooled
    shared = {"region": regions, "n_group": n1, "n_control": n0, "mean_group": m1, "mean_control": m0}
    return pd.DataFrame({**shared, **test, "cohens_d": d})


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, mean and unbiased variance per column, missing values left out."""
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known, values, 0).sum(axis=0) / n
        variance = np.where(known, (values - mean) ** 2, 0).sum(axis=0) / (n - 1)
    return n, mean, np.where(n > 1, variance, np.nan)


def region_result(table: pd.DataFrame, control: str, tests: Iterable[str] = (WELCH,)) -> AnalysisResult:
    """The table of `region_differences` with its sentences and brain map; `tests` says how they were made.

    Parameters
    ----------
    table : DataFrame
    control : str
    tests : iterable of str

    Returns
    -------
    AnalysisResult
    """
    sentences = []
    for name, part in table.groupby("group", sort=True):
        found, tested = part[part["q"] < 0.05], int(part["q"].notna().sum())
        if not tested:
            sentences.append(f"Mean z of group {name} cannot be tested against {control}: too few people.")
            continue
        sentence = (
            f"Mean z of group {name} differs from {control} in {len(found)} of {plural(tested, 'region')} "
            "after correction for multiple tests"
        )
        lowest = found[found["difference"] < 0].nsmallest(3, "difference")
        if len(lowest):
            named = [f"{row.structure} ({row.difference:+.2f})" for row in lowest.itertuples()]
            sentence += f"; it is lowest in the {listing(named)}"
        sentences.append(sentence + ".")
    sentences += few_people(table.loc[table["n_group"] > 0, ["n_group", "n_control"]].min().min())
    figure = BrainMap(
        region="region",
        value="difference",
        facet="group",
        scale="diverging",
        limits=map_limits(table["difference"]),
        xlabel=f"Difference of mean z from {control}",
    )
    return make_result(
        "region_differences",
        f"Regional differences from {control}",
        table,
        sentences=tuple(sentences),
        methods=REGION_METHODS.format(test="; ".join(dict.fromkeys(tests)), software=software("numpy", "scipy")),
        figure=figure,
    )


def prevalence_sentences(prevalence: pd.DataFrame, threshold: float = Z_CRITICAL, most: int = 3) -> tuple[str, ...]:
    """The regions that deviate most often, one sentence per group of a prevalence table.

    Parameters
    ----------
    prevalence : DataFrame
        Of `prevalence_table`, one row of z per person.
    threshold : float
        In z units.
    most : int
        So many regions are named, and the thalamus always.

    Returns
    -------
    tuple of str
    """
    from scipy.special import ndtr

    sentences, expected = [], float(ndtr(-threshold))
    for name, part in prevalence.groupby("group", sort=True):
        top = part[part["n_infra"] > 0].nlargest(most, "share_infra")
        highest = int(part["n_infra"].max())
        if highest < 2:
            whom = "more than one person" if highest else "anybody"
            sentences.append(f"In group {name} no region has z <= -{threshold:g} in {whom}.")
            continue
        thalamus = part[part["region"].isin(THALAMUS) & ~part["region"].isin(top["region"])]
        shares = listing([_share(row) for row in top.to_dict("records")])
        sentences.append(
            f"Of the people of group {name}, at their first scan, most have z <= -{threshold:g} in the {shares}; the "
            f"healthy reference expects {percent(expected)} of people."
        )
        if len(thalamus):
            seen = listing([_share(row) for row in thalamus.to_dict("records")])
            sentences.append(f"Of the people of group {name} it is seen in the {seen}.")
    return tuple(sentences)


def _share(row: Mapping[Hashable, Any]) -> str:
    """``left thalamus (3 of 12 people, 25 %, 95 % interval 5.5 to 57 %)``; of none the upper bound alone."""
    counted = f"{row['n_infra']} of {plural(row['n'], 'person', 'people')}"
    low, high = percent(row["low_infra"]).removesuffix(" %"), percent(row["high_infra"])
    share = f"{percent(row['share_infra'])}, 95 % interval {low} to {high}" if row["n_infra"] else f"at most {high}"
    return f"{display_name(row['region'])} ({counted}, {share})"
