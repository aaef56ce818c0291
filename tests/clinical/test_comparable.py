from dataclasses import replace

import pandas as pd
import pytest

from bids_app.clinical.comparable import (
    ScanFacts,
    compare,
    comparison_table,
    facts_of_rows,
    facts_of_summary,
    largest_set,
    visit_pairs,
)

SCAN = ScanFacts("prisma", "7.4.1", "freesurfer", "long", False, None, 1.5e6, "pass")


def test_scans_of_one_kind_are_comparable():
    assert compare(SCAN, SCAN) == ("comparable", ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scanner": "skyra"}, "scanner prisma and skyra"),
        ({"fs_version": "6.0.0"}, "FreeSurfer version 7.4.1 and 6.0.0"),
        ({"flavour": "fastsurfer"}, "program freesurfer and fastsurfer"),
        ({"stream": "cross"}, "FreeSurfer stream long and cross"),
        ({"filled": True}, "lesion filling not filled and filled"),
        ({"pial": "FLAIR"}, "pial surface refined by T1w only and FLAIR"),
        ({"etiv_mm3": 1.7e6}, "eTIV differs by +12.5 %"),
        ({"quality": "fail"}, "quality failed"),
    ],
)
def test_what_forbids_comparing_is_named(change, words):
    assert compare(SCAN, replace(SCAN, **change)) == ("not comparable", (words,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fs_version": "7.1.0"}, "FreeSurfer version 7.4.1 and 7.1.0"),
        ({"etiv_mm3": 1.6e6}, "eTIV differs by +6.5 %"),
        ({"quality": "warn"}, "quality gives reason to look"),
    ],
)
def test_smaller_differences_call_for_care(change, words):
    assert compare(SCAN, replace(SCAN, **change)) == ("with care", (words,))


def test_a_patch_release_and_what_is_not_known_speak_for_nothing():
    assert compare(SCAN, replace(SCAN, fs_version="7.4.2"))[0] == "comparable"
    assert compare(SCAN, ScanFacts())[0] == "comparable"
    assert compare(ScanFacts(), ScanFacts())[0] == "comparable"


def test_facts_come_from_the_summary():
    summary = {
        "covariates": {"etiv_mm3": 1.4e6, "other": {"site": "north", "Scanner": 3}},
        "quality": {"verdict": "warn"},
        "freesurfer": {
            "version": "7.4.1",
            "flavour": "freesurfer",
            "stream": "cross",
            "images": ["t1_lesionfilled.nii"],
        },
    }
    found = facts_of_summary(summary)
    assert found == ScanFacts("3", "7.4.1", "freesurfer", "cross", True, None, 1.4e6, "warn")
    assert facts_of_summary({}) == ScanFacts()


def test_rows_give_what_they_have():
    rows = pd.DataFrame({"mri": ["a", None], "stream": ["long", "cross"], "etiv_mm3": [1.5e6, float("nan")]})
    first, second = facts_of_rows(rows, "mri")
    assert (first.scanner, first.stream, first.etiv_mm3, first.fs_version) == ("a", "long", 1.5e6, None)
    assert (second.scanner, second.etiv_mm3) == (None, None)


def test_each_session_is_compared_with_the_next_and_the_first_with_the_last():
    assert visit_pairs(3) == [(0, 1), (1, 2), (0, 2)]
    assert visit_pairs(2) == [(0, 1)]
    table = comparison_table(["ses-1", "ses-2", "ses-3"], [SCAN, replace(SCAN, scanner="skyra", etiv_mm3=1.53e6), SCAN])
    assert list(table["comparable"]) == ["not comparable", "not comparable", "comparable"]
    assert table["etiv_difference_percent"].to_list() == pytest.approx([1.980198, -1.980198, 0.0], abs=1e-6)


def test_the_longest_comparable_set_is_kept():
    other = replace(SCAN, scanner="skyra")
    assert largest_set([SCAN, other, SCAN, other], [0.0, 1.0, 2.0, 2.5]) == [0, 2]
    assert largest_set([SCAN, other, other], [0.0, 1.0, 2.0]) == [1, 2]
    assert largest_set([SCAN, SCAN], [0.0, 2.0]) == [0, 1]
