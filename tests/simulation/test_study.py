"""The demonstration study: whole, deterministic, and with the effects that it says were planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress
from scipy.stats import t as t_distribution

from bids_app.bids.layout import find_scans
from bids_app.bids.phenotypes import clinical_table
from bids_app.clinical.analyses.follow_up import follow_up
from bids_app.clinical.analyses.score_analyses import regions_first
from bids_app.clinical.analyses.worsening_analyses import worsening
from bids_app.clinical.analysis_file import propose
from bids_app.clinical.cohort import CohortData, prepare
from bids_app.freesurfer.bulk import volumes_table
from bids_app.normative.registry import load_model
from bids_app.simulation.courses import LOG_VOLUME_SD, PER_BURDEN, RELAPSE
from bids_app.simulation.study import CORTEX, EFFECT, _of, make_study, planted
from bids_app.simulation.study_people import (
    CLINIC_YEARS,
    INCOMPLETE,
    N_CONTROLS,
    N_PATIENTS,
    invent_people,
    study_courses,
)
from bids_app.tables import read_table


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study") / "bids", load_model("open-calibrated"))


def test_the_people_are_many_enough_and_both_scanners_have_both_groups():
    people = invent_people(np.random.default_rng(8))
    patients = [one for one in people if one.person.group == "patient"]
    assert (len(patients), len(people) - len(patients)) == (N_PATIENTS, N_CONTROLS) == (60, 25)
    assert {len(one.visits) for one in patients} == {1, 2, 3, 4}
    for site in ("north", "south"):
        assert sum(one.person.site == site for one in patients) == 30
    assert sum(one.progresses for one in patients) >= 15
    assert all(one.severity == 0 for one in people if one.person.group == "control")


def test_regions_of_both_sides_get_their_structures_effect():
    assert _of("Left-Thalamus", EFFECT) == _of("Right-Thalamus", EFFECT) == EFFECT["Thalamus"]
    assert _of("rh_precentral_volume", EFFECT) == EFFECT["precentral"]
    assert _of("Left-Amygdala", EFFECT) == 0
    assert _of("lh_insula_volume", EFFECT) == EFFECT[CORTEX]


def test_events_of_each_kind_are_enough_and_listed():
    people = invent_people(np.random.default_rng(8))
    courses = study_courses(people)
    assert courses.truth.groupby("event_type")["participant_id"].nunique().min() >= 20
    assert courses.visits.groupby("participant_id")["years_from_first"].max().eq(CLINIC_YEARS).all()
    table = planted(courses)
    assert {"effect", "people", "size", "unit", "shown_in"} == set(table)
    scanned = courses.truth[courses.truth["participant_id"] != f"sub-{INCOMPLETE}"]
    listed = table[table["unit"] == "events"].set_index("effect")["size"]
    assert listed.to_dict() == scanned["event_type"].value_counts().to_dict()
    pira = scanned.loc[scanned["event_type"] == "PIRA", "participant_id"]
    assert {f"sub-{one.person.label}" for one in people if one.progresses} - {f"sub-{INCOMPLETE}"} == set(pira)


def cohort_of(study) -> CohortData:
    """The cohort as the group level sees it, with the z that the volumes were made with."""
    scans = [scan for scan in find_scans(study) if scan.participant != INCOMPLETE]
    clinical = clinical_table(study, scans)
    truth = read_table(study / "sourcedata" / "truth.tsv").set_index(["participant_id", "session_id"])
    z = truth.loc[list(zip(clinical["participant_id"], clinical["session_id"])), ["Left-Thalamus"]]
    config, _ = propose(clinical)
    return prepare(clinical, z.reset_index(drop=True), config, clinical_table(study))


@pytest.mark.slow
def test_every_planted_event_is_recovered_on_every_test_and_no_other(study):
    data = cohort_of(study)
    results = {result.name: result for result in worsening(data)}
    events = results["worsening_events"].table
    truth = read_table(study / "sourcedata" / "events.tsv")
    truth = truth[truth["participant_id"] != f"sub-{INCOMPLETE}"]
    kept = truth[truth["event_type"] != RELAPSE]
    keys = ["participant_id", "event_type"]
    assert {"edss", "nhpt", "t25fw", "sdmt"} == set(events["measure"])
    for _, found in events.groupby("measure"):
        assert found[keys].to_numpy().tolist() == kept.sort_values(["participant_id", "time"])[keys].to_numpy().tolist()
        np.testing.assert_allclose(found["time"], kept.sort_values(["participant_id", "time"])["time"], atol=0.003)
    dated = follow_up(data).relapse_times()
    attacks = study_courses(invent_people(np.random.default_rng(8))).relapses
    expected = attacks[attacks["participant_id"] != f"sub-{INCOMPLETE}"].groupby("participant_id").size()
    assert {name: len(times) for name, times in dated.items()} == expected.to_dict()


@pytest.mark.slow
def test_lesions_go_with_severity_and_the_thalamus_as_planted(study):
    data = cohort_of(study)
    first = data.scans[data.first & data.patients]
    truth = read_table(study / "sourcedata" / "truth.tsv").set_index(["participant_id", "session_id"])["severity"]
    severity = truth.loc[list(zip(first["participant_id"], first["session_id"]))].to_numpy()
    fit = linregress(severity, np.log(first["lesion_volume"].astype(float)))
    half = t_distribution.ppf(0.975, len(first) - 2) * fit.stderr
    assert fit.slope - half < PER_BURDEN < fit.slope + half
    assert half < PER_BURDEN / 2
    # z = e + s * effect and log volume = PER_BURDEN s + LOG_VOLUME_SD e, so far as severity s varies
    spread, effect = np.var(severity), EFFECT["Thalamus"]
    product = np.sqrt(effect**2 * spread + 1) * np.sqrt(PER_BURDEN**2 * spread + LOG_VOLUME_SD**2)
    table = regions_first(data)[0].table
    row = table[(table["score"] == "log1p_lesion_volume") & (table["region"] == "Left-Thalamus")].iloc[0]
    assert row["low"] < effect * PER_BURDEN * spread / product < row["high"] < 0


@pytest.mark.slow
def test_same_bytes_every_time(study, tmp_path):
    again = make_study(tmp_path / "again", load_model("open-calibrated"))
    one, other = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (study, again)
    )
    assert one == other


@pytest.mark.slow
def test_the_tables_tell_every_role_and_agree_with_the_spreadsheet(study):
    scans = find_scans(study)
    visits = clinical_table(study)
    assert len(visits) > len(scans)
    clinical = clinical_table(study, scans)
    assert clinical["age"].notna().all()
    config, _ = propose(clinical)
    roles = {"diagnosis", "edss", "pasat", "sdmt", "fss", "disease_duration", "treatment"}
    assert roles | {"nhpt", "t25fw", "relapse_dates", "relapses", "lesion_volume", "lesion_count"} <= set(config.roles)
    sheet = pd.read_csv(study / "sourcedata" / "study.csv", dtype={"Subject": str, "Visit": str})
    told = sheet.set_index(["Subject", "Visit"])["EDSS"].dropna()
    edss = read_table(study / "phenotype" / "edss.tsv")
    keys = zip(edss["participant_id"].str.removeprefix("sub-"), edss["session_id"].str.removeprefix("ses-"))
    np.testing.assert_array_equal(edss["edss"], told.loc[list(keys)])


@pytest.mark.slow
def test_planted_effects_are_in_the_trees(study):
    volumes = volumes_table(sorted((study / "derivatives" / "freesurfer").glob("sub-*")))
    assert set(volumes.loc[volumes["problem"].notna(), "participant_id"]) == {"sub-060"}
    truth = read_table(study / "sourcedata" / "truth.tsv")
    patients = truth["severity"] > 0
    first = truth["session_id"] == "ses-1"
    gap = truth.loc[patients & first, "Left-Thalamus"].mean() - truth.loc[~patients & first, "Left-Thalamus"].mean()
    assert -2.9 < gap < -1.3
    table = volumes.merge(truth[["participant_id", "session_id", "severity"]], on=["participant_id", "session_id"])
    assert (
        table.loc[table["severity"] > 0, "Left-Thalamus"].mean()
        < table.loc[table["severity"] == 0, "Left-Thalamus"].mean()
    )
