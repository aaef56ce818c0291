"""What a cohort's own tables hold that can change a result: each sentence, and when there is none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_app.bids.disguise import Disguise
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort_findings import (
    as_findings,
    contradicting,
    mixing_streams,
    of_groups,
    same_everywhere,
    unit_doubt,
    with_z,
)
from bids_app.errors import AnalysisError

CONFIG = AnalysisConfig(roles={"diagnosis": "dx"}, control="HC")


def scans(**columns):
    people = ["sub-1", "sub-1", "sub-2", "sub-2"]
    return pd.DataFrame({"participant_id": people, "age": [40.0, 41.0, 50.0, 52.0], **columns})


def test_sentences_become_findings_without_their_full_stop():
    found = as_findings({"groups-compared": ["One.", "Two"], "rows-twice": []})
    assert [(finding.kind, finding.seen) for finding in found] == [
        ("groups-compared", "One"),
        ("groups-compared", "Two"),
    ]


def test_scans_without_any_z_are_left_out_and_empty_regions_are_said():
    z = pd.DataFrame({"Left-Thalamus": [0.1, np.nan, 0.2], "Left-Putamen": np.nan})
    kept, values, notes = with_z(pd.DataFrame({"id": [1, 2, 3]}), z)
    assert kept["id"].tolist() == [1, 3]
    assert values["Left-Thalamus"].tolist() == [0.1, 0.2]
    assert list(kept.index) == list(values.index) == [0, 1]
    assert notes[0] == "1 scan without any z-score left out."
    assert notes[1].startswith("No scan has a z-score of the left putamen;")
    assert with_z(pd.DataFrame({"id": [1]}), pd.DataFrame({"Left-Thalamus": [0.5]}))[2] == []
    with pytest.raises(AnalysisError, match="no scan has a z-score"):
        with_z(pd.DataFrame({"id": [1]}), pd.DataFrame({"Left-Thalamus": [np.nan]}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.5] * 5, True),
        ([0.5] * 5 + [np.nan], True),
        ([0.5] * 4, False),
        ([0.5] * 4 + [np.nan], False),
        ([0.5] * 5 + [0.6], False),
    ],
)
def test_one_z_in_five_scans_or_more_is_no_measurement(values, said):
    z = pd.DataFrame({"Left-Thalamus": values, "Left-Putamen": np.arange(len(values))})
    expected = ["The z-score is the same in every scan in the left thalamus (0.5)."]
    assert same_everywhere(z) == (expected if said else [])


def test_people_with_both_streams_are_named():
    assert mixing_streams(scans(stream=["cross", "long", "long", "long"])) == [
        "Scans of sub-1 are of both FreeSurfer streams, cross and long."
    ]
    assert mixing_streams(scans(stream=["cross", "cross", "long", np.nan])) == []
    assert mixing_streams(scans()) == []


@pytest.mark.parametrize(("largest", "said"), [(0.0, False), (0.1, True), (199.9, True), (200.0, False)])
def test_lesions_below_200_look_like_millilitres(largest, said):
    found = unit_doubt(scans(lesions=[0.0, 0.0, np.nan, largest]), "lesions")
    assert bool(found) == said
    assert not said or found[0].startswith("All values of lesions (role lesion_volume) are below 200;")
    assert unit_doubt(scans(), None) == unit_doubt(scans(), "lesions") == []


def test_a_sex_that_differs_between_scans_is_said():
    assert contradicting(scans(sex=["female", "male", "male", "male"])) == [
        "The sex of sub-1 differs between scans; that of the first scan counts."
    ]
    assert contradicting(scans(sex=["female", "female", "male", np.nan])) == []


@pytest.mark.parametrize(("later", "said"), [(39.5, False), (39.49, True), (41.0, False)])
def test_an_age_may_fall_by_half_a_year(later, said):
    table = scans(session_id=["ses-1", "ses-2", "ses-1", "ses-2"])
    table.loc[1, "age"] = later
    found = contradicting(table)
    assert found == (
        ["The age of sub-1 falls from one session to the next; age decides which scan is the first."] if said else []
    )


def test_sessions_are_in_the_order_of_their_numbers():
    table = scans(session_id=["ses-2", "ses-10", "ses-2", "ses-10"])
    assert contradicting(table) == []
    assert contradicting(table.assign(session_id=["ses-10", "ses-2", "ses-2", "ses-10"])) != []
    assert contradicting(table.assign(session_id=[None, None, "ses-2", "ses-10"])) == []


def test_hashed_sessions_have_no_order():
    names = ["ses-" + Disguise("salt").label("ses", text) for text in ("a", "b", "a", "b")]
    ages = {"ages falling": [41.0, 40.0, 52.0, 50.0], "ages rising": [40.0, 41.0, 50.0, 52.0]}
    for age in ages.values():
        assert contradicting(scans(session_id=names).assign(age=age)) == []


def groups(level, config=CONFIG):
    table = scans(group=[None if name is None else name for name in level])
    return of_groups(table, pd.Series(level), config)


def test_who_is_in_no_group_is_counted():
    assert groups(["HC", "HC", None, None])[1][0] == (
        "1 person without dx is in no group and left out of the analyses of groups, scores and outcomes."
    )
    assert groups([None] * 4)[1][0].startswith("2 people without dx are in no group")
    assert groups(["HC", "HC", "MS", "MS"]) == ([], [])


def test_a_diagnosis_that_changes_is_said():
    changing, _ = groups(["HC", "MS", "MS", "MS"])
    assert changing == ["dx changes between the scans of 1 person (sub-1); the first counts."]


def test_controls_by_a_code_and_levels_that_nobody_has():
    assert groups(["0", "0", "1", "1"], replace(CONFIG, control="0"))[1] == [
        "The people with dx 0, a code, are taken for the controls."
    ]
    notes = groups(["RR", "RR", "PP", "PP"], CONFIG)[1]
    assert notes == [
        "Nobody who was scanned has dx HC; the levels are PP and RR.",
        "So nobody is a control, and everybody counts as having a disease; check control in [options].",
    ]
    assert len(groups(["RR", "RR", "PP", "PP"], replace(CONFIG, groups=("PP",)))[1]) == 1
    assert len(groups(["RR"] * 4, CONFIG)[1]) == 1
    assert groups(["RR", "RR", "PP", "PP"], replace(CONFIG, control=None))[1] == []
    assert groups(["HC", "HC", "MS", "MS"], replace(CONFIG, groups=("PP", "MS")))[1] == [
        "Nobody who was scanned has dx PP; the levels are HC and MS."
    ]
