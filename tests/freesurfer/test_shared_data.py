"""Every FreeSurfer subject of the development data, with the outcome that is expected of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_app import regions
from bids_app.errors import FreeSurferError
from bids_app.freesurfer.bulk import volumes_table
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.locate import find_subject, subject_directories
from bids_app.freesurfer.quality import assess_quality
from bids_app.freesurfer.stats import read_stats
from bids_app.freesurfer.volumes import extract_volumes

CROSS, LONG, FAST = ("freesurfer", "cross"), ("freesurfer", "long"), ("fastsurfer", "cross")
ANNEX = "freesurfer/ds004910_annex_failed/derivatives/freesurfer"
EMPTY = "freesurfer/brainload_subject1_fs6.0/empty_subjects"
LONGITUDINAL = "formats/longitudinal"

# Directory: status, expected subject; then version, flavour and stream, rows of the main table, of DKT and
# Destrieux, quality, and a word of the notes; None where volumes cannot be read at all
OUTCOMES: dict[str, tuple] = {
    "freesurfer/bert_fs7.2.0-beta/bert": ("complete", "bert", "7.2.0-beta", CROSS, 130, 62, 148, "pass", ""),
    "freesurfer/brainload_subject1_fs6.0/subject1": ("complete", "subject1", "6.0.x", CROSS, 130, 62, 148, "pass", ""),
    "freesurfer/fphammerle_fs6.0_fs7.0.0/soichi": ("complete", "sub-soichi", "7.0.0", CROSS, 130, 62, 148, "pass", ""),
    "freesurfer/fphammerle_fs6.0_fs7.0.0/fabian": ("incomplete", None, None),
    "freesurfer/nfmrix_sub-01_fs6.0.1/sub-01": ("complete", "sub-01", "6.0.1", CROSS, 130, 62, 148, "warn", ""),
    "freesurfer/nimh-dasb_sub-01_fs7.4.1/sub-01": ("complete", "sub-01", "7.4.1", CROSS, 130, 62, 148, "pass", ""),
    "freesurfer/spynoza_sub-0020_fs6.0.0/sub-0020": ("complete", "sub-0020", "6.0.0", CROSS, 130, 62, 148, "pass", ""),
    f"{EMPTY}/empty1": ("empty", None, None),
    f"{EMPTY}/empty2": ("empty", None, None),
    f"{EMPTY}/empty3": ("empty", None, None),
    f"{ANNEX}/sub-08": ("not_fetched", "sub-08", None),
    f"{ANNEX}/sub-09": ("failed", "sub-09", None),
    "formats/failed_recon_error": ("failed", None, None),
    "formats/stale_isrunning": ("stale", None, None),
    "formats/fs5.1": ("incomplete", None, "5.1.x", CROSS, 55, 0, 0, "fail", "no lh.aparc.stats"),
    "formats/fs5.3": ("complete", None, "5.3.x", CROSS, 129, 31, 0, "pass", ""),
    "formats/fs6.0": ("complete", None, "6.0.x", CROSS, 130, 0, 74, "pass", ""),
    "formats/fastsurfer/sub-F01": ("complete", "sub-F01", "7.4.1", FAST, 60, 62, 0, "pass", "never mapped"),
    "formats/damaged/bom": ("incomplete", None, "7.4.1", CROSS, 60, 0, 0, "fail", "no lh.aparc.stats"),
    "formats/damaged/crlf": ("incomplete", None, "7.4.1", CROSS, 60, 0, 0, "fail", "no rh.aparc.stats"),
    "formats/damaged/dup_appended": ("incomplete", None, "7.4.1", CROSS, 60, 0, 0, "fail", "there twice"),
    "formats/damaged/header_only": ("truncated", None, None),
    "formats/damaged/missing_region": ("incomplete", None, None),
    "formats/damaged/missing_rh": ("incomplete", None, "7.4.1", CROSS, 94, 0, 0, "fail", "no rh.aparc.stats"),
    "formats/damaged/subject_mismatch": ("wrong_subject", "sub-099", None),
    "formats/damaged/truncated": ("truncated", None, None),
    "formats/damaged/zero_byte": ("truncated", None, None),
    **{
        f"{LONGITUDINAL}/{person}": ("longitudinal_base", None, "7.4.1", CROSS, 128, 0, 0, "pass", "")
        for person in ("sub-L01", "sub-L02", "sub-L03")
    },
    **{
        f"{LONGITUDINAL}/{person}_ses-0{visit}{base}": (
            "complete",
            f"{person}_ses-0{visit}",
            "7.4.1",
            kind,
            128,
            0,
            0,
            "pass",
            "",
        )
        for person, visits in (("sub-L01", 3), ("sub-L02", 2), ("sub-L03", 3))
        for visit in range(1, visits + 1)
        for base, kind in (("", CROSS), (f".long.{person}", LONG))
    },
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_subject_has_its_expected_outcome(shared, name):
    folder = shared / "data" / name
    status, subject, *expected = OUTCOMES[name]
    assert check_subject(folder, expected_subject=subject).status == status
    if expected == [None]:
        with pytest.raises(FreeSurferError):
            extract_volumes(folder, expected_subject=subject)
        return
    version, kind, rows, dkt, destrieux, verdict, word = expected
    found = extract_volumes(folder, expected_subject=subject)
    assert (found.fs_version, (found.flavour, found.stream)) == (version, kind)
    assert len(found.table) == rows
    assert {name: len(table) for name, table in found.other_atlases.items()} == {
        name: count for name, count in (("DKT", dkt), ("Destrieux", destrieux)) if count
    }
    assert assess_quality(found).verdict == verdict
    assert word in "\n".join(found.notes)
    assert set(regions.reference_regions()) <= set(found.table["region"]) or found.notes


def test_the_table_of_outcomes_names_every_subject(shared):
    data = shared / "data"
    known = {data / name for name in OUTCOMES}
    for part in ("freesurfer", "formats"):
        trees = {path.parent for name in ("stats", "scripts") for path in (data / part).rglob(name)}
        assert trees <= known


def test_all_forty_of_ds004604_are_whole_and_ten_are_absent(shared):
    dataset = shared / "data" / "ds004604"
    roots = subject_directories(dataset)
    found = {number: find_subject(roots, f"{number:03d}", None) for number in range(1, 51)}
    there = [located for located in found.values() if located]
    assert len(there) == 40
    for located in there:
        assert check_subject(located.path, expected_subject=located.identifier).status == "complete"
    table = volumes_table([located.path for located in there], nprocs=2)
    assert table["problem"].isna().all()
    assert table[list(regions.reference_regions())].gt(0).all(axis=None)
    assert set(table["fs_version"]) == {"7.4.1"}


def test_a_known_person_to_the_last_digit(shared):
    table = extract_volumes(shared / "data" / "freesurfer/nimh-dasb_sub-01_fs7.4.1/sub-01").table.set_index("region")
    volumes = table["volume_mm3"]
    assert volumes["Left-Thalamus"] == 6959.9
    assert volumes["lh_insula_volume"] == int(volumes["lh_insula_volume"])
    assert volumes["lh_bankssts_volume"] == 2182
    assert table.loc["lh_bankssts_volume", ["area_mm2", "thickness_mm"]].tolist() == [927, 2.569]
    assert volumes["lhCortexVol"] == 210047.862262
    assert volumes[regions.ETIV] == 1243990.209735


def test_longitudinal_time_points_share_the_eTIV_of_the_base(shared):
    folder = shared / "data" / LONGITUDINAL
    time_points = sorted(folder.glob("sub-L01_ses-*.long.sub-L01"))
    assert len({extract_volumes(path).etiv_mm3 for path in time_points}) == 1
    assert find_subject([folder], "L01", "02", longitudinal=True).path == time_points[1]
    assert find_subject([folder], "L01", "02").path == folder / "sub-L01_ses-02"


def test_every_stats_table_of_the_development_data_is_read(shared):
    curvature, unread, read = 0, [], 0
    for path in sorted((shared / "data" / "freesurfer").rglob("*.stats")):
        if ".curv." in path.name:
            curvature += 1
            continue
        try:
            read_stats(path)
            read += 1
        except FreeSurferError as error:
            unread.append(str(error))
    assert read > 90
    assert all("has not been fetched" in message for message in unread)


def test_nothing_in_the_users_trees_is_touched(shared):
    roots = [shared / "data" / "freesurfer", shared / "data" / "formats"]

    def snapshot() -> dict[Path, int]:
        return {path: os.lstat(path).st_mtime_ns for root in roots for path in root.rglob("*")}

    before = snapshot()
    for name in OUTCOMES:
        check_subject(shared / "data" / name)
        find_subject([(shared / "data" / name).parent], "01", "1")
    assert snapshot() == before
