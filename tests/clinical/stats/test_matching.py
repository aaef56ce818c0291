import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.discrete.discrete_model import Logit

from bids_app.clinical.analyses.matched import matching_methods, matching_result
from bids_app.clinical.results import describe
from bids_app.clinical.stats.matching import (
    Matching,
    MatchSettings,
    balance,
    match,
    match_nearest,
    pairs_table,
    propensity,
    usable_covariates,
)
from bids_app.errors import AnalysisError
from tests.clinical.parity import invented, recorded

COVARIATES = ("age", "sex", "etiv")
SETTINGS = MatchSettings(COVARIATES)


@pytest.fixture(scope="module")
def cohort():
    table = invented("match.csv")
    return table, (table["diagnosis"] == "MS").to_numpy()


def test_every_pair_is_that_of_matchit(cohort):
    matching = match(*cohort, SETTINGS)
    theirs = invented("match_R.csv")
    pairs = set(zip(matching.treated + 1, matching.control + 1))
    assert pairs == set(zip(theirs["t"], theirs["c"]))
    assert len(pairs) == 362
    np.testing.assert_allclose(matching.distance[:6], recorded("match_ps_head"), rtol=1e-8)


def naive(treated, score, ratio):
    """The definition, by exhaustive search."""
    free, pairs = set(np.flatnonzero(~treated)), []
    order = sorted(np.flatnonzero(treated), key=lambda row: -score[row])
    for _ in range(ratio):
        for row in order:
            if free:
                best = min(free, key=lambda other: (abs(score[other] - score[row]), other))
                free.remove(best)
                pairs.append((row, best))
    return set(pairs)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=40), st.integers(1, 3))
def test_fast_search_equals_the_definition(people, ratio):
    treated = np.array([person[0] for person in people])
    score = np.array([float(person[1]) for person in people])
    rows, controls = match_nearest(treated, score, ratio)
    assert set(zip(rows, controls)) == naive(treated, score, ratio)
    assert len(set(controls)) == len(controls)


def test_a_caliper_leaves_people_without_a_near_control_out():
    rows, controls = match_nearest([True, True, False, False], [0.1, 0.9, 0.11, 0.2], caliper=0.05)
    assert (list(rows), list(controls)) == ([0], [2])


def test_matching_balances_and_says_what_remains(cohort):
    table, treated = cohort
    matching = match(table, treated, SETTINGS)
    before_after = balance(table, matching, treated, COVARIATES).set_index("covariate")
    assert abs(before_after.loc["age", "smd_after"]) < abs(before_after.loc["age", "smd_before"])
    assert np.isnan(before_after.loc["sex", "variance_ratio_before"])
    result = matching_result(table, matching, treated, SETTINGS, "MS", "HC")
    assert "362 of 362 people of group MS" in result.sentences[0]
    assert "Differences of 0.1 or more remain" in " ".join(result.sentences)
    assert set(result.table.columns) == set(result.columns)


def test_weights_of_several_controls_count_each_person_once(cohort):
    table, treated = cohort
    matching = match(table, treated, MatchSettings(COVARIATES, ratio=2))
    row = balance(table, matching, treated, ["age"]).set_index("covariate").loc["age"]
    controls = table["age"].to_numpy()[matching.control].reshape(-1, 2)
    assert row["mean_control_after"] == pytest.approx(controls.mean(axis=1).mean())


def test_text_covariates_become_indicators():
    people = pd.DataFrame(
        {"participant_id": list("abcdef"), "age": [30.0, 40, 50, 31, 41, 51], "sex": ["female", "male"] * 3}
    )
    matching = match(people, [True, True, False, False, False, False], MatchSettings(("age", "sex")))
    assert len(matching.treated) == 2
    assert describe(pairs_table(people, matching))


def test_missing_covariates_and_empty_groups_are_said():
    people = pd.DataFrame({"age": [30.0, np.nan, 40.0]})
    with pytest.raises(AnalysisError, match="age is missing"):
        match(people, [True, False, False], MatchSettings(("age",)))
    with pytest.raises(AnalysisError, match="control level"):
        match(people, [True, True, True], MatchSettings(("age",)))
    with pytest.raises(AnalysisError, match="lesions is not in"):
        match(people, [True, False, False], MatchSettings(("lesions",)))


def test_perfect_separation_is_noticed():
    treated = np.repeat([True, False], 20)
    assert propensity(treated, np.repeat([[0.0], [1.0]], 20, axis=0))[1]
    generator = np.random.default_rng(1)
    assert not propensity(treated, generator.normal(size=(40, 2)))[1]


def test_exact_matching_stays_within_the_scanner(cohort):
    table, treated = cohort
    table = table.assign(scanner=np.where(np.arange(len(table)) % 3 == 0, "A", "B"))
    matching = match(table, treated, MatchSettings(COVARIATES, exact=("scanner",)))
    scanner = table["scanner"].to_numpy()
    assert (scanner[matching.treated] == scanner[matching.control]).all()
    assert len(matching.treated) == 362
    assert "same scanner" in matching_methods(MatchSettings(COVARIATES, exact=("scanner",)))
    with pytest.raises(AnalysisError, match="coil for exact matching"):
        match(table, treated, MatchSettings(COVARIATES, exact=("coil",)))


def test_a_covariate_of_many_texts_is_refused():
    people = pd.DataFrame({"age": [str(age) for age in range(40)]})
    with pytest.raises(AnalysisError, match="must be a number"):
        match(people, np.arange(40) < 10, MatchSettings(("age",)))


def test_a_single_person_is_matched_without_a_claim_on_balance():
    people = pd.DataFrame({"participant_id": list("abcd"), "age": [30.0, 31, 40, 50]})
    treated = [True, False, False, False]
    settings = MatchSettings(("age",))
    result = matching_result(people, match(people, treated, settings), treated, settings, "MS", "HC")
    assert result.sentences[0].startswith("1 of 1 people")
    assert not any("standardised difference" in sentence for sentence in result.sentences)


def test_weights_of_sets_worked_by_hand():
    matching = Matching(
        np.array([4, 4, 1]), np.array([0, 2, 3]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), np.array([5]), False
    )
    assert matching.rows().tolist() == [0, 1, 2, 3, 4]
    sets = matching.sets()
    assert sets.index.tolist() == [0, 1, 2, 3, 4]
    assert sets["set"].tolist() == [1, 0, 1, 0, 1]
    assert sets["weight"].tolist() == [0.5, 1, 0.5, 1, 1]
    people = pd.DataFrame({"participant_id": list("abcdef"), "age": [30.0, 40, 34, 44, 36, 70]})
    pairs = pairs_table(people, matching)
    assert pairs["pair"].tolist() == [2, 2, 1]
    assert pairs["treated"].tolist() == ["e", "e", "b"]
    assert pairs["control"].tolist() == ["a", "c", "d"]
    assert pairs["distance_treated"].tolist() == [0.5, 0.5, 0.2]
    assert pairs["distance_control"].tolist() == [0.1, 0.3, 0.4]


def test_balance_worked_by_hand():
    """Group: 40, 36 and 70 (unmatched); controls 30 and 34 count half, 44 one, 50 is not matched."""
    people = pd.DataFrame({"age": [30.0, 40, 34, 44, 36, 70, 50], "male": [0.0, 1, 1, 0, 0, 1, 1]})
    treated = np.array([0, 1, 0, 0, 1, 1, 0], dtype=bool)
    matching = Matching(np.array([4, 4, 1]), np.array([0, 2, 3]), np.linspace(0.1, 0.7, 7), np.array([5]), False)
    rows = balance(people, matching, treated, ["age", "male"]).set_index("covariate")
    assert list(rows.index) == ["propensity score", "age", "male"]
    age = rows.loc["age"]
    group, control = np.array([40, 36, 70.0]), np.array([30, 34, 44, 50.0])
    assert age["mean_group_before"] == pytest.approx(group.mean())
    assert age["mean_control_before"] == pytest.approx(control.mean())
    assert age["smd_before"] == pytest.approx((group.mean() - control.mean()) / group.std(ddof=1))
    assert age["variance_ratio_before"] == pytest.approx(group.var(ddof=1) / control.var(ddof=1))
    assert (age["mean_group_after"], age["mean_control_after"]) == (38, 38)
    assert age["smd_after"] == 0
    # weights 1/2, 1/2, 1: the unbiased weighted variance is sum w (x - 38)^2 / (2 - 1.5 / 2)
    assert age["variance_ratio_after"] == pytest.approx(8 / ((32 + 8 + 36) / (2 - 1.5 / 2)))
    male = rows.loc["male"]
    assert male["smd_before"] == pytest.approx((2 / 3 - 1 / 2) / np.sqrt(2 / 9))
    assert np.isnan(male["variance_ratio_before"])
    assert male["mean_control_after"] == 0.25


def test_balance_of_one_person_or_of_equal_values_has_no_difference():
    people = pd.DataFrame({"age": [30.0, 40, 34], "same": [5.0, 5, 5], "on": [1.0, 1.0, 0.0]})
    matching = Matching(np.array([0]), np.array([2]), np.array([0.5, 0.4, 0.3]), np.array([], dtype=int), False)
    rows = balance(people, matching, [True, False, False], ["age", "same", "on"]).set_index("covariate")
    assert rows["smd_before"].isna().all()
    assert np.isnan(rows.loc["age", "variance_ratio_after"])
    assert np.isnan(rows.loc["same", "variance_ratio_before"])
    empty = Matching(*(np.array([], dtype=int),) * 2, np.array([0.5, 0.4, 0.3]), np.array([0]), False)
    assert balance(people, empty, [True, False, False], ["age"])["mean_group_after"].isna().all()


def test_covariates_that_cannot_be_matched_are_told():
    people = pd.DataFrame(
        {
            "age": [30.0, 40, 50, 60],
            "same": 1.0,
            "gap": [np.nan, 2, 1, 2],
            "touch": [1.0, 2, 2, 3],
            "below": [1.0, 2, 3, 4],
            "above": [4.0, 3, 2, 1],
            "none": np.nan,
            "site": list("ABAB"),
            "camp": list("AABB"),
        }
    )
    kept, left = usable_covariates(people, [True, True, False, False], list(people))
    assert kept == ["gap", "touch", "site"]
    assert {name for name, why in left.items() if "same for everybody" in why} == {"same", "none"}
    assert {name for name, why in left.items() if "apart completely" in why} == {"age", "below", "above", "camp"}
    # one person is beyond all others without a claim
    assert usable_covariates(people, [True, False, False, False], ["below"])[0] == ["below"]
    assert usable_covariates(people, [True, True, True, False], ["below"])[0] == ["below"]


def test_the_caliper_is_in_pooled_standard_deviations_and_its_limit_included():
    rng = np.random.default_rng(2)
    people = pd.DataFrame({"age": rng.normal(40, 8, 60)})
    treated = np.arange(60) < 20
    people.loc[treated, "age"] += 6
    wide = match(people, treated, MatchSettings(("age",), caliper=0.2))
    score = wide.distance
    width = 0.2 * np.sqrt((score[treated].var(ddof=1) + score[~treated].var(ddof=1)) / 2)
    gaps = np.abs(score[wide.treated] - score[wide.control])
    assert gaps.max() <= width
    expected = match_nearest(treated, score, 1, width)
    assert wide.treated.tolist() == expected[0].tolist()
    assert wide.control.tolist() == expected[1].tolist()
    assert sorted([*wide.treated, *wide.unmatched]) == list(range(20))
    assert 0 < len(wide.unmatched) < 20
    assert [len(found) for found in match_nearest([True, False], [0.5, 0.25], caliper=0.25)] == [1, 1]
    assert [len(found) for found in match_nearest([True, False], [0.25, 0.5], caliper=0.2)] == [0, 0]


def test_scores_are_a_logistic_regression_and_constant_columns_do_no_harm():
    rng = np.random.default_rng(4)
    X = rng.normal(50, 10, (80, 2))
    treated = rng.random(80) < 1 / (1 + np.exp(-(X[:, 0] - 50) / 10))
    peer = Logit(treated.astype(float), np.column_stack([np.ones(80), X])).fit(disp=0, tol=1e-12)
    found, separated = propensity(treated, X)
    np.testing.assert_allclose(found, peer.predict(), rtol=1e-7)
    assert not separated
    np.testing.assert_allclose(propensity(treated, np.column_stack([X, np.full(80, 3.0)]))[0], found, rtol=1e-7)


def test_people_without_a_stratum_are_not_matched():
    people = pd.DataFrame({"age": [30.0, 31, 32, 33, 34, 35], "site": ["A", None, "B", "A", None, "B"]})
    found = match(people, [True, True, True, False, False, False], MatchSettings(("age",), exact=("site",)))
    assert list(zip(found.treated, found.control)) == [(0, 3), (2, 5)]
    assert found.unmatched.tolist() == [1]


def test_equal_people_are_taken_in_the_order_of_the_table():
    """Their scores are computed in different places of a vector, where rounding may differ."""
    rng = np.random.default_rng(4)
    ages = rng.uniform(20, 70, 40).round(1)
    people = pd.DataFrame({"age": np.concatenate([ages, np.tile(ages, 3)]), "etiv_mm3": 1.4e6 + np.tile(ages, 4) / 3})
    treated = np.arange(len(people)) < len(ages)
    found = match(people, treated, MatchSettings(covariates=("age", "etiv_mm3")))
    assert found.control.tolist() == list(range(40, 80))


@pytest.mark.parametrize("constant", [0.1, 1.4e6 / 3, -7.3])
def test_a_constant_has_no_spread_and_no_share_in_the_score(constant):
    rng = np.random.default_rng(5)
    people = pd.DataFrame({"age": rng.uniform(20, 70, 60), "other": constant})
    treated = np.arange(60) % 3 == 0
    with_it, without = (propensity(treated, people[names])[0] for names in (["age", "other"], ["age"]))
    np.testing.assert_allclose(with_it, without, atol=1e-11)
    row = balance(people, match(people, treated, MatchSettings(covariates=("age",))), treated, ["other"]).iloc[1]
    assert row.filter(regex="smd|variance").isna().all()
