import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses import score_analyses
from bids_app.clinical.analyses.change_analyses import rates, repeated_scans, stability
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import prepare
from bids_app.errors import AnalysisError
from bids_app.regions import reference_regions
from tests.clinical.simulated import simulated_cohort

CONFIG = AnalysisConfig(roles={"diagnosis": "dx", "scanner": "scanner"}, control="HC")


@pytest.fixture(scope="module")
def cohort():
    return simulated_cohort(n_patients=60, n_controls=10)


def test_results_describe_every_column(cohort):
    data = prepare(*cohort, CONFIG)
    results = (*rates(data), *stability(data))
    assert next(result.figure.limits[0] for result in results if result.name == "stability") == 0
    for result in results:
        assert set(result.table.columns) <= set(result.columns)
        assert result.table.index.tolist() == list(range(len(result.table)))
        assert result.table["group"].eq("MS").all()
    assert len(rates(data)[0].table) == 82
    assert len(stability(data)[1].table) == 60 * 82


def test_a_fall_over_time_is_found_and_said(cohort):
    table, z = cohort
    years = table["age"] - table.groupby("participant_id")["age"].transform("min")
    falling = z.assign(**{"Left-Thalamus": z["Left-Thalamus"] - 0.8 * years})
    result = rates(prepare(table, falling, CONFIG))[0]
    row = result.table.set_index("region").loc["Left-Thalamus"]
    assert row["low"] < -0.8 < row["high"]
    assert "left thalamus" in result.sentences[0]


def test_a_change_of_scanner_is_harmonised(cohort):
    table, z = cohort
    generator = np.random.default_rng(0)
    scanner = generator.choice(["a", "b"], len(table))
    shifted = z + 1.5 * (scanner == "b")[:, None]
    scans, clean, note = repeated_scans(prepare(table.assign(scanner=scanner), shifted, CONFIG))
    assert "longitudinal ComBat" in note.method
    labels = scanner[scans.index]
    gap = clean[labels == "b"].mean() - clean[labels == "a"].mean()
    assert abs(gap.mean()) < 0.15
    assert "harmonised" in rates(prepare(table.assign(scanner=scanner), shifted, CONFIG))[0].sentences[-1]


def test_one_scanner_per_person_is_left_alone(cohort):
    table, z = cohort
    scanner = table["participant_id"].str[-1].astype(int) % 2
    _, clean, note = repeated_scans(prepare(table.assign(scanner=scanner), z, CONFIG))
    assert note.sentences() == ()
    np.testing.assert_array_equal(clean, z.loc[clean.index])


def test_harmonisation_that_is_impossible_is_said(cohort):
    table, z = cohort
    scanner = np.where(np.arange(len(table)) == 1, "b", "a")
    _, _, note = repeated_scans(prepare(table.assign(scanner=scanner), z, CONFIG))
    assert "ComBat cannot be fitted" in note.method
    assert "z was not harmonised over scanners" in note.sentences()[0]
    sentences = rates(prepare(table.assign(scanner=scanner), z, CONFIG))[0].sentences
    assert "was not harmonised over scanners" in sentences[-1]
    assert not any("was harmonised" in sentence for sentence in sentences)


def test_a_scan_that_cannot_be_harmonised_is_left_out_and_gaps_stay_gaps(cohort):
    table, z = cohort
    scanner = np.random.default_rng(0).choice(["a", "b"], len(table)).astype(object)
    first = table["participant_id"].iloc[0]
    scanner[np.flatnonzero(table["participant_id"] == first)[1]] = None
    gappy = z.assign(**{"Left-Putamen": np.nan})
    gappy.iloc[0, 0] = np.nan
    scans, clean, note = repeated_scans(prepare(table.assign(scanner=scanner), gappy, CONFIG))
    assert note.done
    assert "1 scan of an unknown scanner, or of one used once, is left out" in note.sentences()[1]
    assert clean[scans[CONFIG.roles["scanner"]].isna()].isna().all(axis=None)
    assert clean["Left-Putamen"].isna().all()
    assert np.isnan(clean.iloc[0, 0])
    assert clean.drop(columns="Left-Putamen").iloc[0, 1:].notna().all()


def test_two_scans_that_cannot_be_harmonised_are_left_out(cohort):
    table, z = cohort
    scanner = np.random.default_rng(0).choice(["a", "b"], len(table)).astype(object)
    scanner[np.flatnonzero(table["participant_id"] == table["participant_id"].iloc[0])[:2]] = None
    _, _, note = repeated_scans(prepare(table.assign(scanner=scanner), z, CONFIG))
    assert "2 scans of an unknown scanner, or of one used once, are left out" in note.sentences()[1]


def test_a_group_with_one_repeated_person_does_not_stop_the_others(cohort):
    table, z = cohort
    group = table["dx"].where(table["participant_id"] != table["participant_id"].iloc[0], "CIS")
    averages, own = rates(prepare(table.assign(dx=group), z, CONFIG))
    assert averages.table["group"].unique().tolist() == ["MS"]
    assert set(own.table["group"]) == {"CIS", "MS"}
    assert "Group CIS has no average" in " ".join(averages.sentences)


def test_years_come_from_the_clock_and_not_from_rounded_ages(cohort):
    table, z = cohort
    years = table["age"] - table.groupby("participant_id")["age"].transform("min")
    falling = z.assign(**{"Left-Thalamus": -0.8 * years})
    whole = table.assign(age=table["age"].round(), years_from_first=years)
    row = rates(prepare(whole, falling, CONFIG))[0].table.set_index("region").loc["Left-Thalamus"]
    assert row["rate"] == pytest.approx(-0.8)


def test_a_scan_without_a_time_is_left_out(cohort):
    table, z = cohort
    years = table["age"] - table.groupby("participant_id")["age"].transform("min")
    years.iloc[1] = np.nan
    scans = repeated_scans(prepare(table.assign(years_from_first=years), z, CONFIG))[0]
    assert 1 not in scans.index
    assert scans["years"].notna().all()


def test_nobody_scanned_twice():
    table, z = simulated_cohort(n_patients=0, n_controls=5)
    with pytest.raises(AnalysisError, match="scanned twice"):
        rates(prepare(pd.DataFrame(table), z, CONFIG))


def declining(visits, scanner_of_visit, seed=3, people=60):
    """z falls by 0.6 a year; `scanner_of_visit` names the scanner of each person and visit."""
    generator = np.random.default_rng(seed)
    rows, z = [], []
    for person in range(people):
        own = generator.normal(size=10)
        for visit in range(visits):
            rows.append(
                {
                    "participant_id": f"sub-{person:02}",
                    "session_id": f"ses-{visit}",
                    "age": 40.0 + person / 3 + visit,
                    "dx": "MS",
                    "scanner": scanner_of_visit(person, visit),
                    "edss": float(generator.integers(0, 12)) / 2,
                }
            )
            z.append(own - 0.6 * visit + 0.3 * generator.normal(size=10) + 1.0 * (rows[-1]["scanner"] == "b"))
    return pd.DataFrame(rows), pd.DataFrame(z, columns=list(reference_regions())[:10])


def test_a_scanner_that_everybody_changed_at_once_gives_no_rate():
    table, z = declining(2, lambda person, visit: "ab"[visit])
    with pytest.raises(AnalysisError, match=r"no rate is given.*cannot be told from change over time"):
        rates(prepare(table, z, CONFIG))
    said = " ".join(stability(prepare(table, z, CONFIG))[0].sentences)
    assert "not harmonised over scanners: people changed scanner" in said


@pytest.mark.parametrize("scanner", [lambda p, v: "ab"[v > 0], lambda p, v: "ab"[v > p % 3], lambda p, v: "ab"[v % 2]])
def test_harmonisation_leaves_the_true_decline(scanner):
    table, z = declining(4, scanner)
    found = rates(prepare(table, z, CONFIG))[0].table
    assert found["rate"].mean() == pytest.approx(-0.6, abs=0.06)


def test_longitudinal_associations_use_harmonised_z_and_say_so():
    table, z = declining(4, lambda person, visit: "ab"[visit > person % 3])
    roles = {"diagnosis": "dx", "scanner": "scanner", "edss": "edss"}
    data = prepare(table, z, AnalysisConfig(roles=roles, control="HC"))
    for analysis in (score_analyses.counts_all, score_analyses.regions_all):
        assert "z was harmonised over scanners first" in " ".join(analysis(data)[0].sentences)
    assert "scanners" not in " ".join(score_analyses.regions_first(data)[0].sentences)
    at_once, _ = declining(2, lambda person, visit: "ab"[visit])
    data = prepare(at_once, z.iloc[: len(at_once)], AnalysisConfig(roles=roles, control="HC"))
    assert "not harmonised over scanners" in " ".join(score_analyses.regions_all(data)[0].sentences)
