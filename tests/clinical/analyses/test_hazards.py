import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.hazards import ADJUSTED, DEVIATIONS, hazards
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
