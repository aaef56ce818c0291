"""The demonstration study: whole, deterministic, and with the effects that it says were planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.bids.layout import find_scans
from bids_app.bids.phenotypes import clinical_table
from bids_app.clinical.analysis_file import propose
from bids_app.freesurfer.bulk import volumes_table
from bids_app.normative.registry import load_model
from bids_app.simulation.study import EFFECT, _of, make_study, planted
from bids_app.simulation.study_people import N_CONTROLS, N_PATIENTS, invent_people
from bids_app.tables import read_table


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study") / "bids", load_model("open-calibrated"))


def test_the_people_are_many_enough_and_both_scanners_have_both_groups():
    people = invent_people(np.random.default_rng(4711))
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
    assert {"effect", "people", "size", "unit", "shown_in"} == set(planted())


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
    assert {"diagnosis", "edss", "pasat", "sdmt", "fss", "disease_duration", "treatment"} <= set(config.roles)
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
    assert -1.6 < gap < -0.6
    table = volumes.merge(truth[["participant_id", "session_id", "severity"]], on=["participant_id", "session_id"])
    assert (
        table.loc[table["severity"] > 0, "Left-Thalamus"].mean()
        < table.loc[table["severity"] == 0, "Left-Thalamus"].mean()
    )
