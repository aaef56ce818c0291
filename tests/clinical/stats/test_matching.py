import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.clinical.analyses.matched import matching_methods, matching_result
from bids_app.clinical.results import describe
from bids_app.clinical.stats.matching import MatchSettings, balance, match, match_nearest, pairs_table, propensity
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
