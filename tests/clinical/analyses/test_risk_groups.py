import numpy as np
import pandas as pd
import pytest

from benchmarks.simulated_cohort import CohortEffects, simulate_cohort
from bids_app.clinical.analyses.risk_data import risk_data
from bids_app.clinical.analyses.risk_groups import AT_RISK, OTHERS, _hazard, _sentence, risk_groups
from bids_app.clinical.analysis import run_analysis
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import prepare
from bids_app.clinical.stats.cox import fit_cox
from bids_app.clinical.stats.survival import log_rank_permutation
from bids_app.errors import AnalysisError

ROLES = {"diagnosis": "diagnosis", "edss": "edss", "relapse_dates": "relapse_dates"}
LARGE = CohortEffects(n_people=300, n_scans=900, n_controls=5, hazard_ratio=4.0, edss_trend=0.3)


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(3, LARGE)


def results_of(cohort, **options):
    options = {"bootstrap": 100, "risk_rule": 8, **options}
    data = prepare(*cohort, AnalysisConfig(roles=ROLES, control="HC", **options))
    return {result.name: result for result in risk_groups(data)}


@pytest.fixture(scope="module")
def results(cohort):
    return results_of(cohort)


def test_everything_that_can_be_said_is_said(results):
    assert set(results) == {
        "risk_groups",
        "risk_trajectories",
        "risk_progression",
        "risk_relapse",
        "risk_pira",
        "risk_people",
        "decision_progression",
        "decision_relapse",
    }
    for result in results.values():
        assert set(result.table.columns) <= set(result.columns)
    table = results["risk_groups"].table
    assert set(table["rule"]) == {"count", "thalamus"}
    assert set(table["measure"]) == {"hazard ratio", "EDSS points", "standardised beta"}


def test_the_ratio_is_that_of_cox_on_the_people_of_the_table(cohort, results):
    data = risk_data(prepare(*cohort, AnalysisConfig(roles=ROLES, control="HC", risk_rule=8)))
    outcome = data.outcomes["relapse"]
    seen = outcome["time"].notna().to_numpy()
    fit = fit_cox(outcome["time"][seen], outcome["event"][seen], data.rules[0].at_risk[seen].astype(float))
    row = results["risk_groups"].table.query("rule == 'count' and outcome == 'relapse'").iloc[0]
    assert row["estimate"] == pytest.approx(np.exp(fit.coef[0]))
    assert row["bootstrap_low"] < row["estimate"] < row["bootstrap_high"]
    assert row["n_events"] == outcome["event"].sum()
    splits = log_rank_permutation(outcome["time"][seen], outcome["event"][seen], data.rules[0].at_risk[seen])
    assert row["p_permutation"] == splits
    assert row["p_permutation"] == pytest.approx(row["p_log_rank"], abs=0.05)


def test_bootstrap_intervals_agree_with_the_model_where_the_model_is_true(results):
    table = results["risk_groups"].table
    rows = table[(table["measure"] != "standardised beta") & (table["rule"] == "count")]
    rows = rows[rows["outcome"] != "RAW"]  # four events, which have no upper bound
    width = np.log(rows["high"].clip(lower=1e-9) / rows["low"].clip(lower=1e-9))
    hazard = rows["measure"] == "hazard ratio"
    boot = np.log(rows["bootstrap_high"][hazard] / rows["bootstrap_low"][hazard])
    np.testing.assert_allclose(boot, width[hazard], rtol=0.35)
    points = rows[~hazard]
    drawn = points["bootstrap_high"] - points["bootstrap_low"]
    np.testing.assert_allclose(drawn, points["high"] - points["low"], rtol=0.4)


def test_a_reference_rule_and_the_number_of_regions(cohort):
    table = results_of(cohort, risk_rule="reference", bootstrap=0)["risk_groups"].table
    assert table["k"].iloc[0] == 10
    assert table["bootstrap_low"].isna().all()


def test_a_rule_chosen_on_the_data_comes_with_a_warning_and_an_honest_row(cohort):
    found = results_of(cohort, risk_rule="data", bootstrap=0)
    assert "count cross-validated" in set(found["risk_groups"].table["rule"])
    assert any(sentence.startswith("Warning: k = ") for sentence in found["risk_groups"].sentences)
    assert "nested cross-validation" in found["risk_trajectories"].sentences[0]


def test_curves_are_drawn_for_both_groups(results):
    assert set(results["risk_relapse"].table["group"]) == {AT_RISK, OTHERS}
    assert results["risk_trajectories"].table["group"].nunique() == 2
    assert set(results["decision_relapse"].table["strategy"]) >= {"nobody", "everybody"}


def test_the_same_seed_gives_the_same_tables(cohort, results):
    again = results_of(cohort)
    for name, result in results.items():
        pd.testing.assert_frame_equal(result.table, again[name].table)


def test_a_rule_that_puts_nobody_at_risk_is_said(cohort):
    table, z = cohort
    with pytest.raises(AnalysisError, match="no rule splits the people"):
        results_of((table, z * 0))


def test_no_outcome_is_said():
    table, z = simulate_cohort(1, CohortEffects(n_people=20, n_scans=20, n_controls=3))
    with pytest.raises(AnalysisError, match="over time"):
        results_of((table, z))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("seed", [20, 21, 24])
def test_a_handful_of_people_ends_in_sentences(seed):
    # So few people leave models without degrees of freedom.
    generator = np.random.default_rng(seed)
    people = int(generator.choice([1, 2, 3]))
    table, z = simulate_cohort(seed, CohortEffects(n_people=people, n_scans=people + 2, n_controls=1))
    config = AnalysisConfig(roles=ROLES, control="HC", risk_rule=1, bootstrap=5)
    for result in run_analysis(table, z, config):
        assert not any("unexpected" in sentence for sentence in result.sentences), result.sentences


def two_diseases(cohort, **options):
    """The cohort with every third person in a second disease."""
    scans, z = cohort
    names = sorted(set(scans.loc[scans["diagnosis"] != "HC", "participant_id"]))
    other = scans["participant_id"].isin(names[::3])
    return results_of((scans.assign(diagnosis=scans["diagnosis"].mask(other, "NMO")), z), **options)


def test_several_diseases_have_curves_of_their_own_and_are_compared_within_each(cohort):
    apart = two_diseases(cohort)
    for name in ("risk_relapse", "risk_trajectories"):
        labels = [label.split(" (n")[0] for label in apart[name].table["group"].unique()]
        assert sorted(labels) == sorted(f"{group}, {who}" for group in ("MS", "NMO") for who in (AT_RISK, OTHERS))
    row = apart["risk_groups"].table.query("rule == 'count' and outcome == 'relapse'").iloc[0]
    assert apart["risk_relapse"].table["p"].unique() == pytest.approx([row["p_log_rank"]])
    strategies = set(apart["decision_relapse"].table["strategy"])
    assert {"MS: everybody", "NMO: everybody", "MS: count rule", "NMO: count rule"} <= strategies
    assert all(sentence.startswith(("MS: ", "NMO: ")) for sentence in apart["decision_relapse"].sentences)


def test_pooled_diseases_share_their_curves(cohort, results):
    pooled = two_diseases(cohort, pool_groups=True)
    for name in ("risk_relapse", "decision_relapse", "risk_trajectories"):
        pd.testing.assert_frame_equal(pooled[name].table, results[name].table)


def test_a_disease_without_events_has_no_decision_curve(cohort):
    scans, z = cohort
    alone = scans["participant_id"] == sorted(set(scans.loc[scans["diagnosis"] != "HC", "participant_id"]))[0]
    scans = scans.assign(
        diagnosis=scans["diagnosis"].mask(alone, "NMO"), relapse_dates=scans["relapse_dates"].mask(alone)
    )
    found = results_of((scans, z))
    assert not found["decision_relapse"].table["strategy"].str.startswith("NMO").any()


@pytest.mark.parametrize(("kept", "side"), [(0, True), (0, False), (1, True), (1, False)])
def test_a_ratio_is_unbounded_only_where_one_side_has_no_event_at_all(cohort, kept, side):
    data = risk_data(prepare(*cohort, AnalysisConfig(roles=ROLES, control="HC", risk_rule=8)))
    outcome, rule = data.outcomes["relapse"], data.rules[0]
    event = (outcome["event"].to_numpy() > 0) & outcome["time"].notna().to_numpy()
    others = np.flatnonzero(event & (rule.at_risk == side))[kept:]
    event[others] = False
    row = _hazard(data, rule, outcome.assign(event=event), np.empty((0, len(event)), dtype=int))
    assert row["n_events_at_risk"] == (kept if side else row["n_events"] - kept)
    unbounded = 0.0 if side else np.inf
    assert (row["estimate"] == unbounded) == (kept == 0)
    assert ("unbounded" in str(row["note"])) == (kept == 0)


@pytest.mark.parametrize(("n_at_risk", "whom"), [(0, "none"), (9, "all")])
def test_without_two_sides_no_ratio_is_said(n_at_risk, whom):
    row = {"measure": "hazard ratio", "n_people": 9, "n_at_risk": n_at_risk, "n_events": 4, "outcome": "relapse"}
    said = _sentence({**row, "low": np.nan, "high": np.nan, "definition": "at least 3"})
    assert said == (
        f"Relapse: 4 of 9 people had an event; {whom} of them are at risk (at least 3), so groups cannot be compared."
    )


def test_a_ratio_is_said_with_its_interval_and_a_doubt_about_proportions():
    row = {"measure": "hazard ratio", "n_people": 9, "n_at_risk": 4, "n_events": 5, "n_events_at_risk": 3}
    row |= {"outcome": "relapse", "definition": "at least 3", "estimate": 2.5, "low": 1.1, "high": 6.0, "p": 0.03}
    row |= {"concordance": 0.6, "concordance_low": 0.5, "concordance_high": 0.7, "p_log_rank": 0.02}
    doubted, trusted = (_sentence({**row, "p_proportional": p}) for p in (0.049, 0.051))
    assert "3 of them among the 4 at risk (at least 3): hazard ratio 2.50 (95 % interval 1.10 to 6.00" in trusted
    assert "changes over time" in doubted
    assert "changes over time" not in trusted
    unbounded = _sentence({**row, "estimate": np.inf, "p_proportional": np.nan})
    assert unbounded.endswith("a hazard ratio cannot be given (log-rank test p = 0.020).")


def test_one_edss_for_everybody_has_no_model_of_disability(cohort):
    scans, z = cohort
    found = results_of((scans.assign(edss=0.0), z))
    assert set(found["risk_groups"].table["measure"]) == {"hazard ratio"}
    assert found["risk_groups"].table["estimate"].notna().any()
