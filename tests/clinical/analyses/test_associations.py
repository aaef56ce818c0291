import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from bids_app.clinical.analyses.associations import (
    ALL_VISITS,
    ScoreModel,
    count_associations,
    count_result,
    region_associations,
    region_result,
)
from bids_app.clinical.analyses.case_control import false_discovery
from bids_app.clinical.stats.linear import standardise
from bids_app.clinical.wording import interval
from bids_app.errors import AnalysisError
from tests.clinical.parity import invented, recorded


@pytest.fixture(scope="module")
def visits():
    table = invented("long.csv")
    cohort = table.rename(columns={"eid": "participant_id", "nb_deviations": "n_infra"})
    return cohort[["participant_id", "age", "edss", "n_infra"]], table[["z"]].rename(columns={"z": "Left-Thalamus"})


def test_the_cross_sectional_model_equals_r(visits):
    beta, se, statistic, p, low, high = recorded("lm")
    row = region_associations(*visits, ["edss"]).iloc[0]
    assert row["n_scans"] == row["n_people"] == visits[0]["participant_id"].nunique()
    np.testing.assert_allclose(
        row[["beta", "se", "statistic", "low", "high"]].astype(float), [beta, se, statistic, low, high], rtol=1e-9
    )
    assert row["p"] == pytest.approx(p, rel=1e-7)


def test_the_longitudinal_model_equals_r(visits):
    row = region_associations(*visits, ["edss"], ALL_VISITS).iloc[0]
    assert row["beta"] == pytest.approx(recorded("lmer2_fixef")[1], rel=1e-6)
    assert row["df"] == pytest.approx(recorded("lmer2_df")[1], rel=1e-6)


@pytest.fixture
def cohort():
    generator = np.random.default_rng(11)
    people = np.repeat([f"sub-{i:02}" for i in range(40)], 3)
    severity = np.repeat(generator.normal(size=40), 3)
    table = pd.DataFrame(
        {
            "participant_id": people,
            "age": np.repeat(generator.uniform(20, 60, 40), 3) + np.tile([0, 1, 2], 40),
            "sex": np.where(np.repeat(generator.random(40), 3) < 0.5, "female", "male"),
            "edss": severity + 0.3 * generator.normal(size=120),
            "pasat": generator.normal(size=120),
            "n_infra": generator.poisson(np.exp(0.5 + 0.6 * severity)),
        }
    )
    z = pd.DataFrame(generator.normal(size=(120, 3)), columns=["Left-Thalamus", "Left-Caudate", "Left-Putamen"])
    z["Left-Thalamus"] -= severity
    return table, z


def test_missing_values_leave_scans_out_of_the_models_that_need_them(cohort):
    table, z = cohort
    z.loc[[0, 1, 2], "Left-Caudate"] = np.nan
    table.loc[3, "edss"] = np.nan
    result = region_associations(table, z, ["edss"], ALL_VISITS).set_index("region")
    assert result.loc["Left-Thalamus", "n_scans"] == 119
    assert result.loc["Left-Caudate", ["n_scans", "n_people"]].tolist() == [116, 39]
    assert list(result.index) == list(z.columns)


def test_the_first_visit_with_a_score_is_used(cohort):
    table, z = cohort
    table.loc[0, "edss"] = np.nan
    shuffled = table.sample(frac=1, random_state=0)
    result = region_associations(shuffled, z.loc[shuffled.index], ["edss"])
    rows = np.r_[1, np.arange(3, 120, 3)]
    expected = np.corrcoef(table["edss"].to_numpy()[rows], z["Left-Thalamus"].to_numpy()[rows])[0, 1]
    assert result.iloc[0]["beta"] == pytest.approx(expected)
    assert result.iloc[0]["n_people"] == 40


def test_the_longitudinal_interval_shown_is_that_of_the_jackknife(cohort):
    table, z = cohort
    regional = region_associations(table, z, ["edss"], ALL_VISITS)
    half = t.ppf(0.975, 39) * regional["jackknife_se"]
    np.testing.assert_allclose(regional["jackknife_high"], regional["beta"] + half)
    assert (regional["jackknife_df"] == 39).all()
    result = count_result(count_associations(table, ["edss"], ALL_VISITS), {"edss": "EDSS"}, ALL_VISITS)
    row = result.table.iloc[0]
    assert interval(row["jackknife_low"], row["jackknife_high"]) in result.sentences[0]
    assert result.figure["low"] == "jackknife_low"
    assert row["low"] != pytest.approx(row["jackknife_low"], abs=1e-4)
    assert "jackknife_se" not in count_associations(table, ["edss"])


def test_q_belongs_to_the_p_that_is_shown(cohort):
    table, z = cohort
    found = count_associations(table, ["edss", "pasat"], ALL_VISITS)
    np.testing.assert_allclose(found["jackknife_q"], false_discovery(found["jackknife_p"].to_numpy()))
    np.testing.assert_allclose(found["q"], false_discovery(found["p"].to_numpy()))
    shown = found.assign(q=0.123, jackknife_q=0.456)
    result = count_result(shown, {"edss": "EDSS", "pasat": "PASAT"}, ALL_VISITS)
    assert "q = 0.456" in result.sentences[0]
    assert not any("0.123" in sentence for sentence in result.sentences)
    assert result.figure["p"] == "jackknife_q"
    regional = region_associations(table, z, ["edss"], ALL_VISITS).assign(q=1.0, jackknife_q=[0.01, 0.2, np.nan])
    assert "in 1 of 3 regions" in region_result(regional, {"edss": "EDSS"}, ALL_VISITS).sentences[0]


@pytest.mark.filterwarnings("error")
def test_without_a_jackknife_the_sentence_takes_the_models_own_interval(cohort):
    table, _ = cohort
    few = table[table["participant_id"].isin(["sub-00", "sub-01"])].iloc[:4]
    found = count_associations(few.assign(n_infra=[0, 3, 1, 2]), ["edss"], ALL_VISITS)
    row = found.iloc[0]
    assert np.isnan(row["jackknife_p"])
    assert "no jackknife interval" in row["note"]
    sentence = count_result(found, {"edss": "EDSS"}, ALL_VISITS).sentences[0]
    assert interval(row["low"], row["high"]) in sentence
    assert "not available" not in sentence


def test_covariates_enter_the_model(cohort):
    table, z = cohort
    adjusted = region_associations(table, z, ["edss"], ScoreModel(covariates=("age", "sex"))).iloc[0]
    first = np.arange(0, 120, 3)
    X = standardise(np.column_stack([table["edss"], table["age"], table["sex"] == "male"])[first].astype(float))
    beta = np.linalg.lstsq(
        np.column_stack([np.ones(40), X]), standardise(z["Left-Thalamus"].to_numpy()[first]), rcond=None
    )[0]
    assert adjusted["beta"] == pytest.approx(beta[1])
    assert adjusted["covariates"] == "age, sex"


def test_correction_spans_the_whole_table(cohort):
    table, z = cohort
    both = region_associations(table, z, ["edss", "pasat"])
    assert len(both) == 6
    alone = region_associations(table, z, ["edss"])
    assert (both["q"].iloc[:3].to_numpy() >= alone["q"].to_numpy()).all()
    assert not np.allclose(both["q"].iloc[:3], alone["q"])


def test_a_useless_score_does_not_stop_the_others(cohort):
    table, z = cohort
    table["constant"] = 1.0
    assert set(region_associations(table, z, ["constant", "edss"])["score"]) == {"edss"}
    with pytest.raises(AnalysisError, match="constant: a variable is the same for everybody"):
        region_associations(table, z, ["constant"])
    with pytest.raises(AnalysisError, match="two visits"):
        region_associations(table.iloc[::3], z.iloc[::3], ["edss"], ALL_VISITS)


def test_scores_that_are_left_out_are_said(cohort):
    table, z = cohort
    onset = table["participant_id"].astype("category").cat.codes.astype(float)
    odd = table.assign(constant=1.0, empty=np.nan, onset=onset)
    names = {name: name for name in ("edss", "constant", "empty", "onset")}
    result = count_result(count_associations(odd, list(names), ALL_VISITS), names, ALL_VISITS)
    assert result.table["score"].tolist() == ["edss"]
    said = " ".join(result.sentences)
    assert "Left out: constant, onset: the value is the same at all visits" in said
    assert "empty: no scan has all values" in said
    first = count_result(count_associations(odd, list(names)), names)
    assert first.table["score"].tolist() == ["edss", "onset"]
    assert "constant: a variable is the same" in " ".join(first.sentences)
    regions = region_result(region_associations(odd, z, ["edss", "empty"]), names)
    assert "empty: no scan has all values" in " ".join(regions.sentences)


def test_sentences_carry_the_numbers_of_the_table(cohort):
    table, z = cohort
    counts = count_result(count_associations(table, ["edss"], ALL_VISITS), {"edss": "EDSS"}, ALL_VISITS)
    assert f"beta {counts.table['beta'].item():.2f}" in counts.sentences[0]
    maps = region_result(region_associations(table, z, ["edss"]), {"edss": "EDSS"})
    assert "left thalamus (beta -" in maps.sentences[0]
    for result in (counts, maps):
        assert set(result.table.columns) == set(result.columns)


def test_the_score_is_the_outcome_of_the_count(cohort):
    row = count_associations(cohort[0], ["edss"]).iloc[0]
    assert (row["outcome"], row["predictor"]) == ("edss", "n_infra")


def test_a_random_slope_can_be_asked_for(cohort):
    table, _ = cohort
    model = ScoreModel(longitudinal=True, slope="age")
    row = count_associations(table, ["edss"], model).iloc[0]
    plain = count_associations(table, ["edss"], ALL_VISITS).iloc[0]
    assert row["method"].endswith("random intercept and slope")
    assert "jackknife_se" not in row
    assert "random slope of age" in model.methods()
    assert row["beta"] == pytest.approx(plain["beta"], abs=0.1)
