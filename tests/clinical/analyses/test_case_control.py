import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, ttest_ind

from bids_app.clinical.analyses.case_control import (
    case_control_result,
    compare_counts,
    false_discovery,
    prevalence_sentences,
    region_differences,
    region_result,
)
from bids_app.clinical.analyses.group_tables import prevalence_table
from bids_app.clinical.wording import interval
from bids_app.errors import AnalysisError
from tests.clinical.parity import invented, recorded


@pytest.fixture
def cohort():
    generator = np.random.default_rng(5)
    group = np.repeat(["MS", "HC"], 60)
    infra = generator.negative_binomial(1, 1 / (1 + np.where(group == "MS", 4.5, 1.7)))
    return pd.DataFrame(
        {
            "group": group,
            "n_infra": infra,
            "n_supra": 0,
            "n_total": infra,
            "age": generator.normal(40, 8, 120),
            "site": np.tile(["A", "B"], 60),
        }
    )


def test_the_study_comparison_equals_r():
    table = invented("nb.csv")
    people = pd.DataFrame(
        {
            "group": np.where(table["dg"] == 1, "MS", "HC"),
            "n_infra": table["cnt"],
            "n_supra": table["cnt"],
            "n_total": table["cnt"],
        }
    )
    row = compare_counts(people, "MS", "HC").query("tail == 'infra' and method == 'theta = 1'").iloc[0]
    np.testing.assert_allclose(row[["irr", "low", "high"]].astype(float), recorded("nb_IRR"), rtol=2e-6)


def test_a_tail_without_any_deviation_is_left_out_and_the_rest_stays(cohort):
    table = compare_counts(cohort, "MS", "HC", covariates=["age", "site"])
    assert set(table["tail"]) == {"infra", "total"}
    assert (table["irr"] > 1.5).all()


def test_sentences_carry_the_numbers_of_the_table(cohort):
    result = case_control_result(cohort, "MS", "HC")
    row = result.table.query("tail == 'infra' and method == 'robust'").iloc[0]
    assert f"{interval(row['low'], row['high'])}, p < 0.001" in result.sentences[0]
    assert f"rate ratio of {row['irr']:.2f}" in result.sentences[0]
    assert set(result.table.columns) == set(result.columns)


def test_the_robust_interval_belongs_to_the_likelihoods_estimate(cohort):
    table = compare_counts(cohort, "MS", "HC").query("tail == 'infra'").set_index("method")
    assert list(table.index) == ["maximum likelihood", "robust", "theta = 1"]
    plain, robust = table.loc["maximum likelihood"], table.loc["robust"]
    assert robust["irr"] == plain["irr"]
    assert robust["df"] == 118
    assert robust["low"] < robust["irr"] < robust["high"]
    assert robust["se"] != pytest.approx(plain["se"], rel=1e-3)


def test_a_group_without_deviations_is_said(cohort):
    cohort.loc[cohort["group"] == "HC", ["n_infra", "n_total"]] = 0
    result = case_control_result(cohort, "MS", "HC")
    assert np.isinf(result.table["irr"]).all()
    assert "robust" not in set(result.table["method"])
    assert "a rate ratio of infinity (95 % interval above" in result.sentences[0]
    assert any("no deviation at all" in sentence for sentence in result.sentences)


@pytest.mark.filterwarnings("error")
def test_where_no_robust_interval_can_be_given_a_note_says_why(cohort):
    one = pd.concat([cohort[cohort["group"] == "HC"], cohort[cohort["group"] == "MS"].iloc[:1].assign(n_infra=4)])
    same = cohort.assign(n_infra=np.where(cohort["group"] == "MS", 3, 1))
    for table, why in ((one, "one person alone determines the ratio"), (same, "counts do not vary within groups")):
        rows = compare_counts(table, "MS", "HC").query("tail == 'infra'").set_index("method")
        assert "robust" not in rows.index
        assert f"no robust interval: {why}" in rows.loc["maximum likelihood", "note"]


def test_nothing_to_compare_is_refused(cohort):
    with pytest.raises(AnalysisError, match="nobody with group XX"):
        compare_counts(cohort, "XX", "HC")
    with pytest.raises(AnalysisError, match="every count is zero"):
        compare_counts(cohort.assign(n_infra=0, n_total=0), "MS", "HC")


@pytest.fixture
def regional():
    generator = np.random.default_rng(3)
    z = pd.DataFrame(generator.normal(size=(80, 3)), columns=["Left-Thalamus", "Left-Caudate", "Left-Putamen"])
    groups = pd.Series(np.repeat(["MS", "HC"], 40))
    z.loc[groups == "MS", "Left-Thalamus"] -= 1.5
    z.loc[3, "Left-Caudate"] = np.nan
    return z, groups


def test_region_differences_are_welch_tests(regional):
    z, groups = regional
    table = region_differences(z, groups, "HC").set_index("region")
    for region in z:
        patients, controls = z.loc[groups == "MS", region].dropna(), z.loc[groups == "HC", region]
        test = ttest_ind(patients, controls, equal_var=False)
        row = table.loc[region]
        assert row["p"] == pytest.approx(test.pvalue, rel=1e-10)
        assert (row["difference_low"], row["difference_high"]) == pytest.approx(tuple(test.confidence_interval()))
        pooled = np.sqrt(((len(patients) - 1) * patients.var() + 39 * controls.var()) / (len(patients) + 38))
        assert row["cohens_d"] == pytest.approx((patients.mean() - controls.mean()) / pooled)
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]))
    assert table.loc["Left-Caudate", "n_group"] == 39


def test_the_lowest_region_is_named(regional):
    result = region_result(*regional, "HC")
    assert "left thalamus" in result.sentences[0]
    assert set(result.table.columns) == set(result.columns)


def test_a_single_person_in_a_group_gives_no_test(regional):
    z, groups = regional
    groups = groups.where(groups == "HC", None)
    groups[0] = "MS"
    table = region_differences(z, groups, "HC")
    assert table["p"].isna().all()
    assert table["q"].isna().all()
    with pytest.raises(AnalysisError, match="control group"):
        region_differences(z, groups, "controls")


def test_false_discovery_equals_r():
    np.testing.assert_allclose(false_discovery(recorded("p_raw")), recorded("p_fdr"), rtol=1e-11)


def test_missing_p_values_are_not_part_of_the_family():
    np.testing.assert_allclose(false_discovery(np.array([0.01, np.nan, 0.02])), [0.02, np.nan, 0.02])


def test_the_most_frequent_deviation_is_named():
    z = pd.DataFrame({"Left-Thalamus": [-3.0, -3.0, 0.0, 0.0], "Left-Caudate": [0.0, 0.0, 0.0, 0.0]})
    sentences = prevalence_sentences(prevalence_table(z, ["MS", "MS", "HC", "HC"]))
    assert sentences[0] == "In group HC no region has z <= -1.96 in anybody."
    assert "left thalamus (100 %)" in sentences[1]
