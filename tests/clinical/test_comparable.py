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


@pytest.mark.parametrize(
    ("etiv", "verdict"),
    # the difference is that of the mean of both
    [
        (1.05e6, "comparable"),
        (1.052e6, "with care"),
        (1.10e6, "with care"),
        (1.106e6, "not comparable"),
        (0.95e6, "with care"),
        (0.90e6, "not comparable"),
        (0.0, "comparable"),
        (None, "comparable"),
    ],
)
def test_limits_of_etiv_in_both_directions(etiv, verdict):
    one, other = ScanFacts(etiv_mm3=1e6), ScanFacts(etiv_mm3=etiv)
    assert compare(one, other)[0] == compare(other, one)[0] == verdict
    table = comparison_table(["a", "b"], [one, other])
    assert table["etiv_difference_percent"].isna().item() == (not etiv)
    assert table["reasons"].isna().item() == (verdict == "comparable")


def test_the_pial_surface_speaks_only_within_one_stream():
    other = replace(SCAN, pial="T2w", stream="cross")
    assert compare(SCAN, other)[1] == ("FreeSurfer stream long and cross",)
    assert compare(replace(SCAN, pial="T2w"), SCAN)[1] == ("pial surface refined by T2w and T1w only",)


def test_all_reasons_are_given_in_order_and_only_the_gravest():
    other = replace(SCAN, scanner="skyra", quality="fail", fs_version="7.1.0")
    assert compare(SCAN, other) == ("not comparable", ("scanner prisma and skyra", "quality failed"))
    assert compare(replace(SCAN, quality="fail"), SCAN)[0] == "not comparable"
    both = replace(SCAN, quality="warn", fs_version="7.1.0")
    assert compare(SCAN, both) == ("with care", ("FreeSurfer version 7.4.1 and 7.1.0", "quality gives reason to look"))
    assert compare(replace(SCAN, quality="warn"), SCAN)[0] == "with care"


def test_versions_are_compared_by_major_and_minor_number():
    versions = ["7", "7.x", "7.0.1", "freesurfer-7.0"]
    verdicts = [compare(ScanFacts(fs_version="7.0"), ScanFacts(fs_version=version))[0] for version in versions]
    assert verdicts == ["comparable", "with care", "comparable", "comparable"]


def test_filling_and_scanner_are_told_by_what_is_there():
    plain = facts_of_summary({"freesurfer": {"images": ["T1w.nii"], "pial": "FLAIR"}})
    assert (plain.filled, plain.pial) == (False, "FLAIR")
    assert facts_of_summary({"freesurfer": {"images": []}}).filled is None
    assert facts_of_summary({"freesurfer": {"images": ["a.nii", "INPAINTED.nii"]}}).filled
    summary = {"covariates": {"other": {"SCANNER": None}}, "freesurfer": None, "quality": None}
    assert facts_of_summary(summary) == ScanFacts()


def test_one_visit_has_no_pair_and_equal_spans_are_decided_by_number_then_order():
    assert visit_pairs(1) == visit_pairs(0) == []
    empty = comparison_table(["a"], [SCAN])
    assert empty.empty
    assert list(empty.columns) == ["session_from", "session_to", "comparable", "reasons", "etiv_difference_percent"]
    other = replace(SCAN, scanner="skyra")
    assert largest_set([SCAN, other], [0.0, 1.0]) == [0]
    assert largest_set([SCAN, other, other, SCAN, other], [0.0, 0.0, 0.5, 1.0, 1.0]) == [1, 2, 4]
    assert largest_set([], []) == []
    # ages that are not in order
    assert largest_set([SCAN, other, SCAN], [5.0, 1.0, 2.0]) == [0, 2]
