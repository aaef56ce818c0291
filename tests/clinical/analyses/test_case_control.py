import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import false_discovery_control, ttest_1samp, ttest_ind, ttest_rel

from bids_app.clinical.analyses.case_control import case_control_result, compare_counts
from bids_app.clinical.analyses.prevalence import prevalence_table
from bids_app.clinical.analyses.region_differences import prevalence_sentences, region_differences, region_result
from bids_app.clinical.stats.linear import false_discovery
from bids_app.clinical.stats.matching import MatchSettings, match
from bids_app.clinical.stats.negative_binomial import fit_counts
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


def test_matched_differences_are_paired_t_tests(regional):
    z, groups = regional
    sets = pd.DataFrame({"set": np.tile(np.arange(40), 2), "weight": 1.0})
    table = region_differences(z, groups, "HC", sets=sets).set_index("region")
    for region in z:
        pairs = pd.DataFrame({"a": z[region].to_numpy()[:40], "b": z[region].to_numpy()[40:]}).dropna()
        test = ttest_rel(pairs["a"], pairs["b"])
        assert table.loc[region, "p"] == pytest.approx(test.pvalue, rel=1e-10)
        assert table.loc[region, "difference_low"] == pytest.approx(test.confidence_interval().low)


def test_several_controls_of_a_person_count_as_one():
    z = pd.DataFrame({"Left-Thalamus": [-1.0, 0.5, -2.0, 1.0, 3.0, 0.0, -0.5]})
    groups = pd.Series(["MS", "MS", "MS", "HC", "HC", "HC", "HC"])
    sets = pd.DataFrame({"set": [0, 1, 2, 0, 0, 1, 2], "weight": [1, 1, 1, 0.5, 0.5, 1, 1]})
    row = region_differences(z, groups, "HC", sets=sets).iloc[0]
    within = [-1.0 - 2.0, 0.5 - 0.0, -2.0 + 0.5]
    assert row["difference"] == pytest.approx(np.mean(within))
    assert row["p"] == pytest.approx(ttest_1samp(within, 0).pvalue)


def test_an_adjusted_difference_is_that_of_the_linear_model(regional):
    z, groups = regional
    age = pd.DataFrame({"age": np.random.default_rng(1).normal(50, 10, 80) + (groups == "MS") * 8})
    z = z.add(-0.05 * (age["age"] - 50), axis=0)
    row = region_differences(z, groups, "HC", ["Left-Putamen"], covariates=age).iloc[0]
    X = sm.add_constant(np.column_stack([(groups == "MS"), age["age"]]).astype(float))
    fit = sm.OLS(z["Left-Putamen"].to_numpy(), X).fit(cov_type="HC3", use_t=True)
    assert row["difference"] == pytest.approx(fit.params[1])
    assert row["p"] == pytest.approx(fit.pvalues[1], rel=1e-8)


def strata(seed):
    """Truth: no difference. Strata differ in their rate and in how many controls there are."""
    generator = np.random.default_rng(seed)
    blocks = []
    for number, (rate, people, controls) in enumerate(((1.0, 20, 100), (6.0, 30, 40), (3.0, 20, 50))):
        n = people + controls
        own = generator.gamma(1.5, rate / 1.5, n)
        blocks.append(
            pd.DataFrame(
                {
                    "group": ["MS"] * people + ["HC"] * controls,
                    "scanner": f"S{number}",
                    "age": generator.normal(45, 10, n),
                    "n_infra": generator.poisson(own),
                }
            )
        )
    table = pd.concat(blocks, ignore_index=True)
    return table.assign(n_supra=0, n_total=table["n_infra"], participant_id=np.arange(len(table)))


def test_several_controls_within_exact_strata_leave_the_ratio_where_it_is():
    inside, estimates = [], []
    for seed in range(60):
        table = strata(seed)
        settings = MatchSettings(("age",), 3, ("scanner",))
        found = match(table, (table["group"] == "MS").to_numpy(), settings)
        kept = table.iloc[found.rows()]
        rows = compare_counts(kept, "MS", "HC", sets=found.sets().set_axis(kept.index)).query("tail == 'infra'")
        assert list(rows["method"]) == ["robust", "theta = 1"]
        inside.append(((rows["low"] <= 1) & (rows["high"] >= 1)).to_numpy())
        estimates.append(rows["estimate"].to_numpy())
    assert np.abs(np.mean(estimates, axis=0)).max() < 0.06
    assert (np.mean(inside, axis=0) >= 0.9).all()


def test_a_pair_is_one_unit_of_the_robust_interval():
    # the same people twice: pairs are copies, so the ratio is 1 without any error
    counts = np.random.default_rng(1).poisson(3, 50)
    table = pd.DataFrame(
        {"group": np.repeat(["MS", "HC"], 50), "n_infra": np.tile(counts, 2), "n_supra": 0, "n_total": 1}
    )
    sets = pd.DataFrame({"set": np.tile(np.arange(50), 2), "weight": 1.0})
    fits = [
        fit_counts(table["n_infra"], np.column_stack([np.ones(100), table["group"] == "MS"]), clusters=units)
        for units in (sets["set"], np.arange(100))
    ]
    assert fits[0].robust_se[1] < 1e-6
    plain = fit_counts(table["n_infra"], np.column_stack([np.ones(100), table["group"] == "MS"]))
    assert fits[1].robust_se[1] == pytest.approx(plain.robust_se[1], rel=1e-6)


def test_the_lowest_region_is_named(regional):
    result = region_result(region_differences(*regional, "HC"), "HC")
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
    assert "Of the people of group MS, at their first scan" in sentences[1]
    assert "left thalamus (2 of 2 people, 100 %, 95 % interval 16 to 100 %)" in sentences[1]


def test_a_deviation_that_nobody_has_is_given_its_upper_bound():
    z = pd.DataFrame({"Left-Thalamus": [0.0] * 3, "Left-Caudate": [-3.0, -3.0, 0.0], "Left-Putamen": [-3.0, -3.0, 0.0]})
    sentences = prevalence_sentences(prevalence_table(z), most=2)
    assert "left thalamus (0 of 3 people, at most 71 %)" in sentences[1]
