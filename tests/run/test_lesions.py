"""Lesions in a run: from mask and table to summary, table of regions, findings, report and group tables."""

import re

import nibabel as nib
import numpy as np
import pytest

from bids_app.bids.layout import Scan
from bids_app.cli.main import main
from bids_app.freesurfer.synthetic import write_subject
from bids_app.run.lesions import LesionPlan, given_images, scan_lesions
from bids_app.tables import read_json, read_table
from tests.integration.test_runs import make_dataset

LIA = np.array([[-1, 0, 0, 20], [0, 0, 1, -16], [0, -1, 0, 18], [0, 0, 0, 1.0]])
SHAPE = (40, 36, 32)


@pytest.fixture
def dataset(tmp_path):
    """Two people; the first has a mask that covers a third of the left thalamus."""
    bids = make_dataset(tmp_path / "bids")
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[5:35, 5:30, 5:28] = 2
    labels[15:24, 10:20, 10:20] = 10
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[15:18, 10:20, 10:20] = 1
    for label in ("01", "02"):
        tree = bids / "derivatives/freesurfer" / f"sub-{label}"
        write_subject(tree, {"Left-Thalamus": 7000.0}, etiv=1.5e6)
        (tree / "mri").mkdir(exist_ok=True)
        nib.save(nib.MGHImage(labels, LIA), tree / "mri" / "aparc+aseg.mgz")
    nib.save(nib.Nifti1Image(mask, LIA), bids / "sub-01/anat/sub-01_space-T1w_label-lesion_mask.nii.gz")
    return bids


@pytest.mark.slow
def test_a_mask_and_a_table_reach_reports_and_group(dataset, tmp_path, capsys):
    table, out = tmp_path / "lesions.tsv", tmp_path / "out"
    table.write_text("participant_id\tlesion_volume\tlesion_count\nsub-02\t2500\t9\n")
    command = [str(dataset), str(out), "participant", "--nprocs", "1", "--lesions", str(table)]
    assert main(command) == 0
    first = read_json(out / "sub-01/anat/sub-01_desc-summary_morph.json")
    assert (first["lesions"]["count"], first["lesions"]["volume_mm3"]) == (1, 300.0)
    assert [f["kind"] for f in first["findings"]] == ["lesions-unfilled"]
    assert "left thalamus (33 %)" in first["findings"][0]["seen"]
    regions = read_table(out / "sub-01/anat/sub-01_desc-lesions_morph.tsv").set_index("region")
    assert regions.loc["Left-Thalamus", "share"] == pytest.approx(1 / 3)
    second = read_json(out / "sub-02/anat/sub-02_desc-summary_morph.json")
    assert (second["lesions"]["count"], second["lesions"]["source"]) == (9, "lesions.tsv")
    page = (out / "sub-01.html").read_text()
    shown = " ".join(re.sub(r"<[^>]+>", "", page).split())
    assert "1 lesion, 300 mm³, from sub-01_space-T1w_label-lesion_mask.nii.gz" in shown
    assert "not known to be filled" in shown
    capsys.readouterr()
    assert main(command) == 0
    assert "2 up to date" in capsys.readouterr().err
    nib.save(
        nib.Nifti1Image(np.zeros(SHAPE, dtype=np.uint8), LIA),
        dataset / "sub-01/anat/sub-01_space-T1w_label-lesion_mask.nii.gz",
    )
    assert main(command) == 0
    changed = read_json(out / "sub-01/anat/sub-01_desc-summary_morph.json")
    assert (changed["lesions"]["count"], changed["findings"]) == (0, [])
    assert main([str(dataset), str(out), "group", "--analysis", "auto"]) == 0
    scans = read_table(out / "group_deviations.tsv").set_index("participant_id")
    assert scans.loc["sub-02", "lesion_volume_mm3"] == 2500
    assert read_table(out / "group" / "group_cohort.tsv")["lesion_count_median"].iloc[0] == 4.5
    assert read_table(out / "group" / "group_lesions.tsv")["measure"].tolist()[:2] == [
        "lesion volume",
        "number of lesions",
    ]


def known(tree, mask, **values):
    nothing = {"count": None, "volume_mm3": None, "parts": {}, "table": "", "sha256": "", "findings": []}
    return {**nothing, "tree": str(tree), "mask": str(mask), **values}


def test_filled_images_give_no_doubt(dataset):
    tree = dataset / "derivatives/freesurfer/sub-01"
    lesions = known(tree, dataset / "sub-01/anat/sub-01_space-T1w_label-lesion_mask.nii.gz")
    assert [f.kind for f in scan_lesions(lesions, None).findings] == ["lesions-unfilled"]
    filled = scan_lesions(lesions, ["sub-01_desc-lesionfilled_T1w.nii.gz"])
    assert (filled.findings, filled.summary["filled"]) == ([], True)
    (tree / "scripts/recon-all.cmd").write_text("recon-all -i /data/sub-01_desc-filled_T1w.nii.gz -s sub-01 -all\n")
    assert given_images(tree) == ["sub-01_desc-filled_T1w.nii.gz"]
    assert scan_lesions(lesions, None).findings == []


def test_a_mask_that_cannot_be_read_is_a_finding_and_stops_nothing(dataset, tmp_path):
    (tmp_path / "m.nii.gz").write_bytes(b"no image")
    found = scan_lesions(known(dataset / "derivatives/freesurfer/sub-01", tmp_path / "m.nii.gz"), None)
    assert [f.kind for f in found.findings] == ["lesion-mask-unused"]
    assert (found.summary["count"], found.table) == (None, None)


def test_a_table_goes_before_the_mask(dataset):
    mask = dataset / "sub-01/anat/sub-01_space-T1w_label-lesion_mask.nii.gz"
    lesions = known(dataset / "derivatives/freesurfer/sub-01", mask, count=4.0, volume_mm3=11.0, table="t.tsv")
    found = scan_lesions(lesions, None)
    assert (found.summary["count"], found.summary["volume_mm3"]) == (4, 11)
    assert found.table["region"].tolist() == ["Left-Thalamus"]


def test_a_row_without_session_is_of_none_of_several_visits(tmp_path):
    table = tmp_path / "lesions.tsv"
    table.write_text("participant_id\tlesion_volume\nsub-01\t100\nsub-02\t200\n")
    scans = [Scan("01", "1"), Scan("01", "2"), Scan("02", "1")]
    plan = LesionPlan(tmp_path, tables=table, scans=scans)
    first, second, only = (plan.covariates(scan, tmp_path)["lesions"] for scan in scans)
    assert first["volume_mm3"] is second["volume_mm3"] is None
    assert [item["kind"] for item in first["findings"]] == ["lesion-row-unused"]
    assert (only["volume_mm3"], only["findings"]) == (200, [])
    summary = scan_lesions(first, [])
    assert summary.summary["volume_mm3"] is None
    assert [found.kind for found in summary.findings] == ["lesion-row-unused"]


@pytest.mark.parametrize(
    ("row", "scans"),
    [("sub-01\tses-01", [Scan("01", "01"), Scan("01", "1")]), ("sub-01\tses-1", [Scan("01", "1"), Scan("1", "1")])],
    ids=["sessions", "people"],
)
@pytest.mark.parametrize("asked", [slice(None), slice(1, None)], ids=["both", "one"])
def test_a_row_is_not_of_a_scan_that_is_spelt_like_that_of_another(tmp_path, row, scans, asked):
    table = tmp_path / "lesions.tsv"
    table.write_text(f"participant_id\tsession_id\tlesion_volume\n{row}\t300\n")
    for scan in scans:
        (tmp_path / f"sub-{scan.participant}").mkdir(exist_ok=True)
    # all sessions of a person are told, whoever is asked for
    told = [scan for scan in scans if scan.participant in {one.participant for one in scans[asked]}]
    plan = LesionPlan(tmp_path, tables=table, scans=told)
    own, other = (plan.covariates(scan, tmp_path)["lesions"] for scan in scans)
    assert (own["volume_mm3"], own["findings"]) == (300, [])
    assert other["volume_mm3"] is None
    assert [item["kind"] for item in other["findings"]] == ["lesion-row-unused"]
    name = row.replace("\t", "_")
    alike = f"sub-{scans[1].participant}_ses-{scans[1].session}"
    assert (
        other["findings"][0]["seen"]
        == f"lesions.tsv has a row of {name}, which fits {alike} and another that is spelt alike"
    )
