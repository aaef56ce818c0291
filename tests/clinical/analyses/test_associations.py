import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from bids_app.clinical.analyses.association_results import count_result, region_result
from bids_app.clinical.analyses.associations import (
    ALL_VISITS,
    BETWEEN,
    STUDY,
    WITHIN,
    ScoreModel,
    count_associations,
    region_associations,
)
from bids_app.clinical.stats.linear import false_discovery, standardise
from bids_app.clinical.stats.mixed import MixedModel
from bids_app.clinical.wording import interval, p_value, q_value
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
    table = region_associations(*visits, ["edss"], ALL_VISITS)
    row = table[table["effect"] == STUDY].iloc[0]
    assert row["beta"] == pytest.approx(recorded("lmer2_fixef")[1], rel=1e-6)
    assert row["df"] == pytest.approx(recorded("lmer2_df")[1], rel=1e-6)
    assert row["se"] == pytest.approx(recorded("lmer2_se")[1], rel=1e-6)


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
    found = region_associations(table, z, ["edss"], ALL_VISITS)
    result = found[found["effect"] == STUDY].set_index("region")
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


def rows_of(table, effect):
    return table[table["effect"] == effect].reset_index(drop=True)


def test_time_and_both_parts_are_in_the_model(cohort):
    table, z = cohort
    rows = region_associations(table, z, ["edss"], ALL_VISITS)
    score = standardise(table["edss"].to_numpy())
    mean = pd.Series(score).groupby(table["participant_id"]).transform("mean").to_numpy()
    years = np.tile([0.0, 1, 2], 40)
    X = np.column_stack([np.ones(120), score - mean, mean, standardise(years)])
    fit = MixedModel(X, table["participant_id"]).fit(standardise(z["Left-Thalamus"].to_numpy()))
    for effect, position in ((WITHIN, 1), (BETWEEN, 2)):
        row = rows_of(rows, effect).iloc[0]
        assert row["beta"] == pytest.approx(fit.beta[position])
        assert row["df"] == 39
        assert row["high"] == pytest.approx(row["beta"] + t.ppf(0.975, 39) * row["se"])
        assert row["method"].endswith("jackknife over people")


def test_the_jackknife_of_both_parts_equals_refitting_without_each_person(cohort):
    table, z = cohort
    rows = region_associations(table, z[["Left-Thalamus"]], ["edss"], ALL_VISITS)
    people = table["participant_id"].unique()
    every = []
    for person in people:
        kept = (table["participant_id"] != person).to_numpy()
        found = region_associations(table[kept], z.loc[kept, ["Left-Thalamus"]], ["edss"], ALL_VISITS)
        every.append([rows_of(found, effect)["beta"][0] for effect in (WITHIN, BETWEEN)])
    expected = np.sqrt(39 / 40 * ((np.array(every) - np.mean(every, axis=0)) ** 2).sum(axis=0))
    se = [rows_of(rows, effect)["se"][0] for effect in (WITHIN, BETWEEN)]
    np.testing.assert_allclose(se, expected, rtol=0.02)


def drifting(seed, people=200):
    """z falls and EDSS rises with time, at a pace of their own in each person; nothing else is related."""
    generator = np.random.default_rng(seed)
    visits = generator.integers(2, 6, people)
    codes = np.repeat(np.arange(people), visits)
    years = np.concatenate([np.sort(generator.uniform(0, 10, n)) for n in visits])
    pace = 1 + 0.5 * generator.normal(size=people)[codes], 1 + 0.5 * generator.normal(size=people)[codes]
    edss = (
        2.5
        + 1.2 * generator.normal(size=people)[codes]
        + 0.08 * years * pace[0]
        + 0.5 * generator.normal(size=len(codes))
    )
    z = generator.normal(size=people)[codes] - 0.03 * years * pace[1] + 0.35 * generator.normal(size=len(codes))
    cohort = pd.DataFrame({"participant_id": codes.astype(str), "age": 40 + years, "edss": edss})
    return cohort, pd.DataFrame({"Left-Thalamus": z})


def test_what_only_changes_with_time_is_no_association():
    found = pd.concat([region_associations(*drifting(seed), ["edss"], ALL_VISITS) for seed in range(60)])
    share = (found["p"] < 0.05).groupby(found["effect"]).mean()
    assert share[STUDY] > 0.3
    assert share[WITHIN] <= 0.12
    assert share[BETWEEN] <= 0.12
    assert abs(rows_of(found, WITHIN)["beta"].mean()) < 0.02


def test_a_predictor_that_is_time_itself_is_related_between_people_only(cohort):
    table, z = cohort
    onset = table["age"] - np.repeat(np.arange(40), 3) / 4
    found = region_associations(table.assign(duration=onset.round(2)), z, ["duration"], ALL_VISITS)
    assert set(found["effect"]) == {BETWEEN, STUDY}
    result = region_result(found, {"duration": "disease duration"}, ALL_VISITS)
    assert "Left out: duration: within people the value is time itself" in " ".join(result.sentences)


def test_a_sentence_has_the_p_of_its_row(cohort):
    table, z = cohort
    found = count_associations(table, ["edss", "pasat"], ALL_VISITS)
    for _, part in found.groupby("effect"):
        np.testing.assert_allclose(part["q"], false_discovery(part["p"].to_numpy()))
    result = count_result(found, {"edss": "EDSS", "pasat": "PASAT"}, ALL_VISITS)
    for row in result.table[result.table["score"] == "edss"].to_dict("records"):
        said = f"{row['beta']:.2f} ({interval(row['low'], row['high'])}, {p_value(row['p'])}, {q_value(row['q'])}"
        assert said in result.sentences[0]
    assert "leaves time out" in result.sentences[0]
    assert result.figure.p == "q"
    regional = region_associations(table, z, ["edss"], ALL_VISITS).assign(q=1.0)
    regional.loc[regional["effect"] == WITHIN, "q"] = [0.01, 0.2, np.nan]
    said = region_result(regional, {"edss": "EDSS"}, ALL_VISITS).sentences
    assert "is, within people, related to z in 1 of 3 regions" in said[0]
    assert "left thalamus" in said[0]
    assert "left putamen" in said[0]


@pytest.mark.filterwarnings("error")
def test_without_a_jackknife_the_models_own_interval_is_given_and_said(cohort):
    table, _ = cohort
    few = table[table["participant_id"].isin(["sub-00", "sub-01", "sub-02"])].iloc[:7]
    found = count_associations(few.assign(n_infra=[0, 3, 1, 2, 5, 1, 0]), ["edss"], ALL_VISITS)
    row = rows_of(found, WITHIN).iloc[0]
    assert "no jackknife interval" in row["note"]
    assert np.isfinite(row["p"])
    assert "not available" not in count_result(found, {"edss": "EDSS"}, ALL_VISITS).sentences[0]


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


def test_regions_are_corrected_within_a_score_and_counts_over_the_scores(cohort):
    table, z = cohort
    both = region_associations(table, z, ["edss", "pasat"])
    assert len(both) == 6
    np.testing.assert_allclose(both["q"].iloc[:3], region_associations(table, z, ["edss"])["q"])
    counts = count_associations(table, ["edss", "pasat"])
    np.testing.assert_allclose(counts["q"], false_discovery(counts["p"].to_numpy()))
    assert "over the 3 regional volumes, for each score on its own" in ScoreModel().methods(3)


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
    assert set(result.table["score"]) == {"edss"}
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
    assert all(f"{beta:.2f}" in counts.sentences[0] for beta in counts.table["beta"])
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
    row = rows_of(count_associations(table, ["edss"], model), STUDY).iloc[0]
    plain = rows_of(count_associations(table, ["edss"], ALL_VISITS), STUDY).iloc[0]
    assert row["method"].endswith("random intercept and slope")
    assert "jackknife" not in model.methods()
    assert "random slope of age" in model.methods()
    assert row["beta"] == pytest.approx(plain["beta"], abs=0.1)


def test_scores_are_told_in_the_order_of_the_table(visits):
    scans = visits[0]
    found = count_associations(scans.assign(walk=scans["edss"] + 0.1 * scans["age"]), ["walk", "edss"])
    sentences = count_result(found, {"edss": "EDSS", "walk": "walking"}).sentences
    assert [text.split(" and ")[0] for text in sentences[:2]] == ["Walking", "EDSS"]
