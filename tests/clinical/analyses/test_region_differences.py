"""Mean z of groups against controls: by scipy, by statsmodels and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_app.clinical.analyses.region_differences import prevalence_sentences, region_differences, region_result
from bids_app.errors import AnalysisError

REGIONS = ["Left-Thalamus", "Right-Thalamus", "Left-Putamen"]
FIELDS = ["difference", "difference_low", "difference_high", "statistic", "df", "p"]


def cohort():
    """Three groups of 9, 7 and 6; one value missing, one row without a group."""
    rng = np.random.default_rng(5)
    z = pd.DataFrame(rng.normal(size=(23, 3)), columns=REGIONS)
    groups = pd.Series(["HC"] * 9 + ["MS"] * 7 + ["CIS"] * 6 + [None])
    z.loc[groups == "MS", "Left-Thalamus"] -= 2.5
    z.loc[10, "Right-Thalamus"] = np.nan
    return z.assign(note="text"), groups


def test_each_group_is_compared_by_welchs_test_with_its_interval_and_d():
    z, groups = cohort()
    table = region_differences(z, groups, "HC")
    assert list(table["group"]) == ["CIS"] * 3 + ["MS"] * 3
    assert list(table["region"]) == REGIONS * 2
    assert set(table["control_group"]) == {"HC"}
    for row in table.to_dict("records"):
        ours = z.loc[groups == row["group"], row["region"]].dropna()
        theirs = z.loc[groups == "HC", row["region"]]
        test = stats.ttest_ind(ours, theirs, equal_var=False)
        bounds = test.confidence_interval(0.95)
        expected = [ours.mean() - theirs.mean(), bounds.low, bounds.high, test.statistic, test.df, test.pvalue]
        assert [row[name] for name in FIELDS] == pytest.approx(expected, rel=1e-10)
        n, m = len(ours), len(theirs)
        pooled = np.sqrt(((n - 1) * ours.var() + (m - 1) * theirs.var()) / (n + m - 2))
        assert row["cohens_d"] == pytest.approx(expected[0] / pooled)
        assert (row["n_group"], row["n_control"]) == (n, m)
        assert [row["mean_group"], row["mean_control"]] == pytest.approx([ours.mean(), theirs.mean()])
    for _, part in table.groupby("group"):
        assert part["q"].to_numpy() == pytest.approx(stats.false_discovery_control(part["p"]))


def test_only_the_regions_that_are_asked_for_and_the_structures_by_name():
    z, groups = cohort()
    table = region_differences(z, groups, "HC", regions=["Left-Putamen"])
    assert list(table["region"]) == ["Left-Putamen"] * 2
    assert list(table["structure"]) == ["Left putamen"] * 2 or list(table["structure"]) == ["left putamen"] * 2


def test_one_value_gives_a_mean_and_no_test():
    z, groups = cohort()
    z.loc[(groups == "MS").to_numpy().nonzero()[0][1:], "Left-Putamen"] = np.nan
    row = region_differences(z, groups, "HC").set_index(["group", "region"]).loc[("MS", "Left-Putamen")]
    assert row["n_group"] == 1
    assert np.isfinite([row["mean_group"], row["difference"]]).all()
    assert row[["difference_low", "difference_high", "statistic", "p", "q"]].isna().all()


@pytest.mark.parametrize("levels", [["HC", "HC"], ["MS", "CIS"]])
def test_a_comparison_needs_controls_and_others(levels):
    with pytest.raises(AnalysisError, match="control group HC and another group"):
        region_differences(pd.DataFrame({"x": [0.1, 0.2]}), pd.Series(levels), "HC")


def test_matched_sets_are_compared_within_with_controls_by_weight():
    """Three sets: the controls of a set count as one, half each where there are two; a set without a value is out."""
    z = pd.DataFrame(
        {"Left-Thalamus": [-1.0, -2.0, -4.0, 0.5, 1.5, 0.0, 1.0], "Left-Putamen": [1, 2, 3, 4, 5, 6, np.nan]}
    )
    groups = pd.Series(["MS"] * 3 + ["HC"] * 4)
    sets = pd.DataFrame({"set": [0, 1, 2, 0, 0, 1, 2], "weight": [1, 1, 1, 0.5, 0.5, 1, 1]})
    table = region_differences(z, groups, "HC", sets=sets).set_index("region")
    within = np.array([-1 - 1.0, -2 - 0.0, -4 - 1.0])
    test = stats.ttest_1samp(within, 0)
    bounds = test.confidence_interval(0.95)
    row = table.loc["Left-Thalamus"]
    expected = [within.mean(), bounds.low, bounds.high, test.statistic, 2, test.pvalue]
    assert row[FIELDS].to_numpy(float) == pytest.approx(expected)
    other = stats.ttest_1samp([1 - 4.5, 2 - 6.0], 0)
    assert table.loc["Left-Putamen", ["difference", "df", "p"]].to_numpy(float) == pytest.approx(
        [-3.75, 1, other.pvalue]
    )


def test_a_covariate_is_adjusted_for_with_hc3_errors():
    from statsmodels.api import OLS, add_constant

    z, groups = cohort()
    kept = groups.isin(["HC", "MS"])
    age = pd.DataFrame({"age": np.linspace(20, 60, len(z))})
    table = region_differences(z[kept], groups[kept], "HC", covariates=age[kept]).set_index("region")
    for region in REGIONS:
        y = z.loc[kept, region]
        known = y.notna()
        X = add_constant(pd.DataFrame({"member": (groups[kept] == "MS").astype(float), "age": age.loc[kept, "age"]}))
        fit = OLS(y[known], X[known]).fit(cov_type="HC3", use_t=True)
        low, high = fit.conf_int().loc["member"]
        expected = [fit.params["member"], low, high, fit.tvalues["member"], fit.df_resid, fit.pvalues["member"]]
        assert table.loc[region, FIELDS].to_numpy(float) == pytest.approx(expected, rel=1e-8)


def test_without_rank_or_with_one_person_alone_there_is_no_adjusted_test():
    z = pd.DataFrame({"Left-Thalamus": [0.1, 0.4, -0.3, 0.9, 1.1]})
    groups = pd.Series(["HC", "HC", "HC", "MS", "MS"])
    same = pd.DataFrame({"x": [0.0, 0, 0, 1, 1]})
    assert region_differences(z, groups, "HC", covariates=same)["difference"].isna().all()
    alone = pd.DataFrame({"x": [0.0, 0, 0, 0, 1]})
    row = region_differences(z, groups, "HC", covariates=alone).iloc[0]
    assert np.isfinite(row["difference"])
    assert np.isnan(row["p"])
    few = region_differences(z.iloc[2:4], groups.iloc[2:4], "HC", covariates=same.iloc[2:4])
    assert few["difference"].isna().all()


def table(**changed):
    rows = pd.DataFrame(
        {
            "region": REGIONS,
            "structure": ["left thalamus", "right thalamus", "left putamen"],
            "group": "MS",
            "n_group": [25, 25, 24],
            "n_control": 30,
            "difference": [-0.5, -0.9, 0.7],
            "q": [0.01, 0.05, 0.049],
        }
    )
    return rows.assign(**changed)


def test_the_sentence_counts_what_is_below_five_percent_and_names_only_what_is_lower():
    result = region_result(table(), "HC")
    assert result.sentences == (
        "Mean z of group MS differs from HC in 2 of 3 regions after correction for multiple tests; it is lowest in the "
        "left thalamus (-0.50).",
    )
    assert result.figure.limits == (-1.0, 1.0) or max(map(abs, result.figure.limits)) >= 0.9
    assert result.figure.limits[0] == -result.figure.limits[1]


def test_regions_without_a_test_are_not_counted_and_few_people_are_said():
    result = region_result(table(q=[0.2, np.nan, 0.3], n_group=[19, 0, 25]), "HC")
    assert result.sentences[0].startswith("Mean z of group MS differs from HC in 0 of 2 regions")
    assert "lowest" not in result.sentences[0]
    assert "19 people" in result.sentences[1]
    nothing = region_result(table(q=np.nan), "HC")
    assert nothing.sentences[0] == "Mean z of group MS cannot be tested against HC: too few people."


def prevalence(counts, n=12):
    return pd.DataFrame(
        {
            "group": "MS",
            "region": ["Left-Thalamus", "Right-Thalamus", "Left-Putamen", "Left-Caudate", "Right-Caudate"],
            "n": n,
            "n_infra": counts,
            "share_infra": np.array(counts) / n,
            "low_infra": 0.05,
            "high_infra": 0.57,
        }
    )


def test_the_most_frequent_regions_are_named_and_the_thalamus_always():
    first, second = prevalence_sentences(prevalence([0, 1, 4, 3, 2]))
    assert "z <= -1.96" in first
    assert [name in first for name in ("putamen", "left caudate", "right caudate", "thalamus")] == [1, 1, 1, 0]
    assert "healthy reference expects 2.5 % of people" in first
    assert "(0 of 12 people, at most 57 %)" in second
    assert "(1 of 12 people, 8.3 %, 95 % interval 5.0 to 57 %)" in second


@pytest.mark.parametrize(("counts", "whom"), [([0] * 5, "in anybody"), ([1, 0, 0, 1, 0], "in more than one person")])
def test_where_hardly_anybody_deviates_no_region_is_named(counts, whom):
    (sentence,) = prevalence_sentences(prevalence(counts), threshold=2.5)
    assert sentence == f"In group MS no region has z <= -2.5 {whom}."


def test_two_people_are_enough_to_name_a_region():
    assert "most have" in prevalence_sentences(prevalence([2, 0, 0, 0, 0]), most=1)[0]
