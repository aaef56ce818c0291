import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.hazards import (
    ADJUSTED,
    CHANGES,
    DEVIATIONS,
    NO_LEVEL_EVENT,
    UNBOUNDED,
    _cox,
    _sentence,
    hazards,
)
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import prepare
from bids_app.clinical.stats.cox import concordance, fit_cox
from bids_app.errors import AnalysisError
from bids_app.regions import reference_regions


def cohort(n=60, seed=1, rate=0.25):
    """One scan and one later visit per person; relapses come sooner the more regions deviate."""
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 6, n)
    z = np.zeros((n, 82))
    for row, deviating in enumerate(k):
        z[row, :deviating] = -3
    at = rng.exponential(1 / (0.1 * np.exp(rate * k)))
    people = [f"sub-{number:02}" for number in range(n)]
    scans = pd.DataFrame(
        {
            "participant_id": people,
            "session_id": "ses-1",
            "age": rng.uniform(20, 60, n),
            "sex": rng.choice(["female", "male"], n),
            "years_from_first": 0.0,
        }
    )
    later = scans.assign(session_id="ses-2", years_from_first=8.0, age=scans["age"] + 8)
    visits = pd.concat([scans.assign(relapse_dates=[f"{time:.4f}" for time in at]), later], ignore_index=True)
    return scans, pd.DataFrame(z, columns=list(reference_regions())), visits, k, np.minimum(at, 8), at <= 8


ROLES = {"relapse_dates": "relapse_dates"}


def test_the_unadjusted_model_is_that_of_the_counts():
    scans, z, visits, k, time, event = cohort()
    (result,) = hazards(prepare(scans, z, AnalysisConfig(roles=ROLES), visits))
    row = result.table.iloc[0]
    fit = fit_cox(time, event, k.astype(float))
    assert row["estimate"] == pytest.approx(np.exp(fit.coef[0]), rel=1e-3)
    assert row["concordance"] == pytest.approx(concordance(time, event, k).c, abs=0.01)
    assert row["n_events"] == event.sum()
    assert len(result.table) == 1
    assert f"hazard ratio {row['estimate']:.2f}" in result.sentences[0]
    assert set(result.table) <= set(result.columns)


def test_covariates_are_terms_of_the_adjusted_model():
    scans, z, visits, *_ = cohort()
    config = AnalysisConfig(roles=ROLES, covariates=("age", "sex"))
    (result,) = hazards(prepare(scans, z, config, visits))
    adjusted = result.table[result.table["model"] == ADJUSTED]
    assert adjusted["term"].tolist() == [DEVIATIONS, "age", "sex: male"]
    assert "adjusted for age and sex" in result.sentences[1]
    assert "proportional hazards were checked" in result.methods


def test_a_level_without_event_has_no_estimate_and_few_events_are_said():
    scans, z, visits, *_, event = cohort(n=18)
    treatment = np.where(event, "a", "b")
    config = AnalysisConfig(roles={**ROLES, "treatment": "treatment"})
    (result,) = hazards(prepare(scans.assign(treatment=treatment), z, config, visits))
    row = result.table.set_index("term").loc["treatment: b"]
    assert np.isnan(row["estimate"])
    assert "without any event" in row["note"]
    assert any("fewer than 10 events per coefficient" in sentence for sentence in result.sentences)


@pytest.mark.parametrize("codes", [(0, 1), (1, 2)])
def test_codes_of_two_levels_have_the_same_ratio_whatever_they_are(codes):
    scans, z, visits, *_ = cohort()
    scans = scans.assign(arm=np.where(np.arange(len(scans)) % 2, *codes))
    (result,) = hazards(prepare(scans, z, AnalysisConfig(roles=ROLES, covariates=("arm",)), visits))
    assert np.isfinite(result.table.set_index("term").loc["arm", "estimate"])


def test_nobody_followed_is_said():
    scans, z, visits, *_ = cohort(n=10)
    with pytest.raises(AnalysisError):
        hazards(prepare(scans, z, AnalysisConfig(roles=ROLES), visits.iloc[:10]))


def cox_rows(counts, time, event, covariates=(), **columns):
    first = pd.DataFrame({"n_infra": counts, **columns})
    return _cox(first, pd.DataFrame({"time": np.asarray(time, dtype=float), "event": event}), covariates)


def test_one_event_of_the_highest_count_bounds_nothing():
    (row,) = cox_rows([5, 1, 4, 2, 0, 3], [1, 2, 3, 4, 5, 6], [1.0, 0, 0, 0, 0, 0])
    assert np.isnan([row["estimate"], row["low"], row["high"], row["p"]]).all()
    assert row["note"] == UNBOUNDED
    (row,) = cox_rows([1, 0, 1, 0, 0, 1], [1, 2, 3, 4, 5, 6], [1.0, 0, 1, 0, 0, 0])
    assert row["note"] == NO_LEVEL_EVENT
    (row,) = cox_rows([0, 1, 0, 1, 1, 0], [1, 2, 3, 4, 5, 6], [1.0, 0, 1, 0, 0, 0])
    assert row["note"] == NO_LEVEL_EVENT


def test_the_note_depends_on_the_events_per_coefficient():
    rng = np.random.default_rng(2)
    x, time = rng.integers(0, 5, 30), np.arange(1, 31)
    for n_events, said in ((10, None), (9, "fewer than 10 events per coefficient")):
        (row,) = cox_rows(x, time, (np.arange(30) < n_events).astype(float))
        assert (row["note"], row["n_events"], row["n_people"]) == (said, n_events, 30)
        fit = fit_cox(time, np.arange(30) < n_events, x.astype(float))
        found = [row["estimate"], row["low"], row["high"], row["p"]]
        np.testing.assert_allclose(found, [*np.exp([fit.coef[0], fit.low[0], fit.high[0]]), fit.p[0]])
        assert row["covariates"] is None
    age = rng.normal(40, 5, 30)
    rows = cox_rows(x, time, (np.arange(30) < 19).astype(float), ("age", "same"), age=age, same=1.0)
    assert [row["term"] for row in rows] == [DEVIATIONS, "age"]
    assert {row["note"] for row in rows} == {"fewer than 10 events per coefficient"}
    assert {row["covariates"] for row in rows} == {"age, same"}
    rows = cox_rows(x, time, (np.arange(30) < 20).astype(float), ("age",), age=age)
    assert {row["note"] for row in rows} == {None}


def test_people_without_time_or_covariate_are_left_out():
    rng = np.random.default_rng(3)
    x, time, age = rng.integers(0, 5, 30), np.arange(1.0, 31), rng.normal(40, 5, 30)
    time[3], age[4] = np.nan, np.nan
    rows = cox_rows(x, time, np.ones(30), ("age",), age=age)
    assert {row["n_people"] for row in rows} == {28}
    with pytest.raises(AnalysisError, match="same number of deviations"):
        cox_rows([2, 2, 1], [1, 2, np.nan], [1.0, 0, 1])


def test_sentences_say_what_the_row_says():
    row = {
        "outcome": "relapse",
        "covariates": "age, sex",
        "n_events": 1,
        "n_people": 20,
        "estimate": 1.234,
        "low": 1.01,
        "high": 1.5,
        "p": 0.04,
        "concordance": 0.61,
        "concordance_low": 0.5,
        "concordance_high": 0.7,
        "p_proportional": 0.05,
        "note": None,
    }
    text = _sentence(row)
    assert text.startswith(
        "Relapse (1 event in 20 people), adjusted for age and sex: hazard ratio 1.23 for each further"
    )
    assert text.endswith("Harrell's C 0.61 (95 % interval 0.50 to 0.70).")
    assert CHANGES not in text
    assert CHANGES in _sentence({**row, "p_proportional": 0.049})
    assert _sentence({**row, "note": "few"}).endswith("; there are few.")
    assert _sentence({**row, "estimate": np.nan, "note": "why", "covariates": None}) == (
        "Relapse (1 event in 20 people): a hazard ratio cannot be given (why)."
    )
