"""What a cohort's own tables hold that can change a result."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

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


def test_scans_without_any_z_are_left_out_of_both_tables():
    scans = pd.DataFrame({"participant_id": list("abc")}, index=[5, 6, 7])
    z = pd.DataFrame({"Left-Thalamus": [1.0, np.nan, np.nan], "Left-Caudate": [np.nan] * 3, "x": [1, np.nan, 2.0]})
    kept, left, notes = with_z(scans, z)
    assert kept.to_dict("list") == {"participant_id": ["a", "c"]}
    assert list(left) == list(z)
    assert kept.index.tolist() == left.index.tolist() == [0, 1]
    assert notes == [
        "1 scan without any z-score left out.",
        "No scan has a z-score of the left caudate; every result is that of the other regions.",
    ]
    assert with_z(scans, z.fillna(0.0))[2] == []
    with pytest.raises(AnalysisError, match="no scan has a z-score"):
        with_z(scans, z * np.nan)


@pytest.mark.parametrize(
    ("values", "said"),
    [([1.5] * 5, True), ([1.5] * 4, False), ([1.5] * 4 + [1.6], False), ([1.5] * 5 + [np.nan], True)],
)
def test_one_z_in_five_scans_is_no_measurement(values, said):
    z = pd.DataFrame({"Left-Thalamus": values, "Left-Caudate": np.arange(float(len(values)))})
    expected = ["The z-score is the same in every scan in the left thalamus (1.5)."] if said else []
    assert same_everywhere(z) == expected
    gaps = pd.DataFrame({"Left-Thalamus": [1.0] * 4 + [np.nan]})
    assert same_everywhere(gaps) == []


def test_people_of_both_streams_are_named():
    scans = pd.DataFrame({"participant_id": list("aabb"), "stream": ["cross", "long", "long", None]})
    assert mixing_streams(scans) == ["Scans of a are of both FreeSurfer streams, cross and long."]
    assert mixing_streams(scans.drop(columns="stream")) == mixing_streams(scans.iloc[2:]) == []


@pytest.mark.parametrize(("largest", "doubt"), [(199.9, True), (200.0, False), (0.0, False), (np.nan, False)])
def test_small_lesion_volumes_look_like_millilitres(largest, doubt):
    scans = pd.DataFrame({"lesions": [0.0, largest]})
    assert bool(unit_doubt(scans, "lesions")) is doubt
    assert unit_doubt(scans, None) == unit_doubt(scans, "absent") == []


@pytest.mark.parametrize(("fall", "said"), [(0.5, False), (0.51, True)])
def test_ages_may_fall_by_half_a_year_as_they_are_rounded(fall, said):
    scans = pd.DataFrame(
        {
            "participant_id": list("aaabb"),
            "session_id": ["2", "1", None, "1", "2"],
            "age": [30.0 - fall, 30.0, 10.0, 20.0, np.nan],
        }
    )
    found = contradicting(scans)
    assert bool(found) is said
    assert all(text.startswith("The age of a falls") for text in found)
    assert contradicting(scans.assign(session_id=None)) == contradicting(scans.drop(columns="session_id")) == []
    assert contradicting(scans.assign(sex=["male", "female", None, "male", None])) == [
        "The sex of a differs between scans; that of the first scan counts.",
        *found,
    ]


def groups_of(level, group=None, **options):
    level = pd.Series(level, dtype=object)
    scans = pd.DataFrame({"participant_id": list("aabbc")[: len(level)], "group": level if group is None else group})
    return of_groups(scans, level, AnalysisConfig(roles={"diagnosis": "dx"}, **options))


def test_groups_that_are_not_there_are_told():
    assert groups_of(["MS", "MS", "HC", "HC", "HC"], control="HC") == ([], [])
    changing, notes = groups_of(["MS", "HC", "HC", "HC", None], control="HC")
    assert changing == ["dx changes between the scans of 1 person (a); the first counts."]
    assert notes == ["1 person without dx is in no group and left out of the analyses of groups, scores and outcomes."]
    assert groups_of([None, None, None, None, "MS"])[1] == [
        "2 people without dx are in no group and left out of the analyses of groups, scores and outcomes."
    ]


def test_controls_that_nobody_is_are_told():
    levels = ["MS", "MS", "PP", "PP", "PP"]
    nobody = "So nobody is a control, and everybody counts as having a disease; check control in [options]."
    assert groups_of(levels, control="HC")[1] == ["Nobody who was scanned has dx HC; the levels are MS and PP.", nobody]
    assert groups_of(levels, control="HC", groups=("MS",))[1] == [
        "Nobody who was scanned has dx HC; the levels are MS and PP."
    ]
    assert groups_of(["MS"] * 5, control="HC")[1] == ["Nobody who was scanned has dx HC; the levels are MS."]
    assert groups_of(levels)[1] == []
    assert groups_of(["0", "0", "1", "1", "1"], control="0")[1] == [
        "The people with dx 0, a code, are taken for the controls."
    ]
    assert groups_of(levels, control="MS", groups=("SP",))[1] == [
        "Nobody who was scanned has dx SP; the levels are MS and PP."
    ]


def test_sentences_are_findings_of_their_kind():
    found = as_findings({"z-missing": ["One.", "Two"], "z-constant": []})
    assert [(finding.kind, finding.seen) for finding in found] == [("z-missing", "One"), ("z-missing", "Two")]
