import json
import os
from pathlib import Path

import pytest

from bids_app.bids.covariates import read_covariates, scan_covariates
from bids_app.bids.layout import Scan
from bids_app.bids.scanners import Scanner, scanner_of, scanners_of

PRISMA = {
    "Manufacturer": "SIEMENS",
    "ManufacturersModelName": "Prisma_fit",
    "MagneticFieldStrength": 2.89,
    "DeviceSerialNumber": "66001",
}
SCANS = (Scan("1", "a"), Scan("1", "b"))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def dataset(root, *sidecars, table="participant_id\tage\tsex\nsub-1\t40\tF\n", name="T1w"):
    """One person, one visit per sidecar (None: no file)."""
    (root / "participants.tsv").write_text(table)
    for session, content in zip("ab", sidecars, strict=False):
        if content is not None:
            write(root / f"sub-1/ses-{session}/anat/sub-1_ses-{session}_{name}.json", content)
    return root


def test_the_scanner_is_that_of_the_sidecar_where_no_column_tells_it(tmp_path):
    root = dataset(tmp_path, PRISMA, PRISMA | {"DeviceSerialNumber": 66002})
    told = read_covariates(root, SCANS)
    assert told["scanner"].tolist() == ["Siemens Prisma fit 3T 66001", "Siemens Prisma fit 3T 66002"]


@pytest.mark.parametrize("column", ["site", "Scanner", "centre"])
def test_a_column_counts_before_the_sidecar(tmp_path, column):
    table = f"participant_id\tage\tsex\t{column}\nsub-1\t40\tF\tnorth\n"
    told = read_covariates(dataset(tmp_path, PRISMA, PRISMA, table=table), SCANS)
    assert told[column].tolist() == ["north", "north"]
    assert column == "scanner" or "scanner" not in told


def test_an_empty_cell_of_the_column_does_not_count(tmp_path):
    table = "participant_id\tage\tsex\tscanner\nsub-1\t40\tF\tn/a\n"
    assert read_covariates(dataset(tmp_path, PRISMA, table=table), SCANS[:1])["scanner"][0].startswith("Siemens")


def test_what_one_sidecar_leaves_out_is_no_other_scanner(tmp_path):
    lacking = {name: value for name, value in PRISMA.items() if name != "DeviceSerialNumber"}
    told = read_covariates(dataset(tmp_path, PRISMA, lacking | {"MagneticFieldStrength": 30000}), SCANS)["scanner"]
    assert told.tolist() == ["Siemens Prisma fit 3T"] * 2


@pytest.mark.parametrize(
    "said", [{}, [], "not json", {"MagneticFieldStrength": 3}, {"Manufacturer": "none"}, {"Manufacturer": ["GE"]}, None]
)
def test_a_sidecar_that_does_not_tell_leaves_it_open(tmp_path, said):
    assert "scanner" not in read_covariates(dataset(tmp_path, said), SCANS[:1])


def test_sidecars_above_are_inherited_and_overruled(tmp_path):
    write(tmp_path / "T1w.json", PRISMA)
    write(
        tmp_path / "sub-1/ses-a/anat/sub-1_ses-a_acq-x_run-1_T1w.json", {"StationName": "MR2", "DeviceSerialNumber": ""}
    )
    assert scanner_of(tmp_path, SCANS[0]) == Scanner("Siemens", "Prisma fit", "3T", "MR2")
    assert scanner_of(tmp_path, SCANS[1]) == Scanner("Siemens", "Prisma fit", "3T", "66001")
    assert scanner_of(tmp_path, Scan("2")) == Scanner("Siemens", "Prisma fit", "3T", "66001")


@pytest.mark.parametrize(
    ("written", "read"), [("GE MEDICAL SYSTEMS", "GE"), ("Philips Healthcare", "Philips"), ("Hitachi", "Hitachi")]
)
def test_makers_are_read_however_they_are_written(tmp_path, written, read):
    write(tmp_path / "sub-1/anat/sub-1_T1w.json", {"Manufacturer": written, "MagneticFieldStrength": "1.494"})
    assert str(scanner_of(tmp_path, Scan("1"))) == f"{read} 1.5T"


def findings(root):
    return [[finding.seen for finding in one.findings] for one in scan_covariates(root, SCANS, one_age=True)[0]]


SESSIONS = "session_id\tscanner\tage\nses-a\t{}\t40\nses-b\t{}\t41\n"


@pytest.mark.parametrize(
    ("cells", "second", "said"),
    [
        (("one", "one"), PRISMA | {"DeviceSerialNumber": "7"}, "column scanner says one of a and b, their sidecars"),
        (("one", "two"), PRISMA, "column scanner says one and two of a and b, their sidecars both"),
        (("one", "Philips"), PRISMA | {"DeviceSerialNumber": "7"}, "column scanner says Philips, the sidecar Siemens"),
        (("one", "two"), PRISMA | {"DeviceSerialNumber": "7"}, None),
        (("one", "one"), PRISMA, None),
        (("one", "n/a"), PRISMA, None),
        (("one", "GE's old friend in the room for Siemens"), None, None),
    ],
)
def test_a_disagreement_of_column_and_sidecar_is_a_finding(tmp_path, cells, second, said):
    root = dataset(tmp_path, PRISMA, second)
    write(root / "sub-1/sub-1_sessions.tsv", SESSIONS.format(*cells))
    seen = findings(root)
    assert seen[0] == []
    assert len(seen[1]) == (said is not None)
    assert said is None or seen[1][0].startswith(said)


def test_models_without_a_number_of_the_device_may_be_two_scanners(tmp_path):
    lacking = {name: value for name, value in PRISMA.items() if name != "DeviceSerialNumber"}
    root = dataset(tmp_path, lacking, lacking)
    write(root / "sub-1/sub-1_sessions.tsv", SESSIONS.format("one", "two"))
    assert findings(root) == [[], []]


def test_the_folder_of_everybody_is_listed_once_however_many_scans_there_are(tmp_path, monkeypatch):
    (tmp_path / "T1w.json").write_text('{"Manufacturer": "GE"}')
    listed, usual = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(Path(folder)) or usual(folder))
    found = scanners_of(tmp_path, [Scan(label) for label in "123"], [{}] * 3)
    assert [column for column, _ in found] == [{"scanner": "GE"}] * 3
    assert listed.count(tmp_path) == 1
