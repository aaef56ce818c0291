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


@pytest.mark.parametrize(
    ("said", "scanner"),
    [
        ({"Manufacturer": "GE MEDICAL SYSTEMS"}, Scanner("GE")),
        ({"Manufacturer": "Other"}, Scanner("Other")),
        ({"ManufacturersModelName": "Prisma_fit"}, Scanner(None, "Prisma fit")),
        ({"StationName": "AWP1"}, Scanner(None, None, None, "AWP1")),
        ({"DeviceSerialNumber": 0, "StationName": "x"}, Scanner(None, None, None, "0")),
        ({"DeviceSerialNumber": "unknown", "StationName": "x"}, Scanner(None, None, None, "x")),
        ({"MagneticFieldStrength": 3}, Scanner()),
    ],
)
def test_each_thing_alone_tells_a_scanner(tmp_path, said, scanner):
    assert scanner_of(dataset(tmp_path, said), SCANS[0]) == scanner


@pytest.mark.parametrize(
    ("field", "tesla"),
    [
        (2.89, "3T"),
        (1.5, "1.5T"),
        (1.494, "1.5T"),
        ("7", "7T"),
        (15000, "1.5T"),
        (30, "30T"),
        (0.064, "0.064T"),
        (0.24, "0.24T"),
        (0.26, "0.5T"),
        (0, None),
        (-3, None),
        (0.5, "0.5T"),
        (600000, None),
        ("strong", None),
        (None, None),
        ([3], None),
    ],
)
def test_the_field_is_told_to_half_a_tesla(tmp_path, field, tesla):
    found = scanner_of(dataset(tmp_path, {"Manufacturer": "GE", "MagneticFieldStrength": field}), SCANS[0])
    assert found.tesla == tesla


def test_what_is_known_and_how_it_is_written():
    scanner = Scanner("GE", None, "3T", "1")
    assert scanner.known() == {"maker", "tesla", "device"}
    assert scanner.only({"maker", "model"}) == Scanner("GE")
    assert str(scanner) == "GE 3T 1"


def test_one_sidecar_above_is_of_everybody_and_several_are_of_nobody(tmp_path):
    root = dataset(tmp_path, {}, {})
    write(root / "T1w.json", {"Manufacturer": "GE"})
    assert scanner_of(root, SCANS[0]) == Scanner("GE")
    write(root / "acq-x_T1w.json", {"Manufacturer": "Philips"})
    assert scanner_of(root, SCANS[0]) == Scanner()
    write(root / "sub-1/sub-1_T1w.json", {"Manufacturer": "Canon"})
    assert scanner_of(root, SCANS[0]) == Scanner("Canon")
    write(root / "sub-1/ses-a/sub-1_ses-a_T1w.json", {"Manufacturer": "Toshiba"})
    assert scanner_of(root, SCANS[0]) == Scanner("Toshiba")
    assert scanner_of(root, SCANS[1]) == Scanner("Canon")
    assert scanner_of(root, SCANS[1], {"ManufacturersModelName": "x"}) == Scanner("Canon", "x")


def test_of_several_sidecars_beside_the_images_the_first_by_name_wins(tmp_path):
    root = dataset(tmp_path, {"Manufacturer": "GE"})
    write(root / "sub-1/ses-a/anat/sub-1_ses-a_run-2_T1w.json", {"Manufacturer": "Philips", "StationName": "s"})
    write(root / "sub-1/ses-a/anat/sub-1_ses-a_T2w.json", {"Manufacturer": "Canon"})
    assert scanner_of(root, SCANS[0]) == Scanner("GE", None, None, "s")


def found_by(tmp_path, one, other, columns):
    root = dataset(tmp_path, one, other)
    return [[finding.seen for finding in found] for _, found in scanners_of(root, SCANS, columns)]


def test_one_column_value_and_one_scanner_agree(tmp_path):
    assert found_by(tmp_path, PRISMA, PRISMA, [{"site": "a"}, {"site": "a"}]) == [[], []]
    assert found_by(tmp_path, PRISMA, PRISMA, [{"site": "Siemens"}, {"site": "n/a"}]) == [[], []]
    assert found_by(tmp_path, PRISMA, PRISMA, [{"site": "a"}, {"centre": "b"}]) == [[], []]


def test_two_column_values_of_one_device_disagree(tmp_path):
    said = found_by(tmp_path, PRISMA, PRISMA, [{"site": "a"}, {"site": "b"}])
    assert said == [[], ["column site says a and b of a and b, their sidecars both Siemens Prisma fit 3T 66001"]]


def test_a_column_that_names_another_maker_disagrees(tmp_path):
    said = found_by(tmp_path, PRISMA, PRISMA, [{"Site": "philips-1"}, {"Site": "philips-1"}])
    assert said[0] == ["column Site says philips-1, the sidecar Siemens Prisma fit 3T 66001"]
    other = {"Manufacturer": "Home-made"}
    assert found_by(tmp_path, other, other, [{"site": "GE"}, {"site": "GE"}]) == [[], []]


def test_people_are_compared_with_themselves_only(tmp_path):
    root = dataset(tmp_path, PRISMA)
    write(root / "sub-2/anat/sub-2_T1w.json", PRISMA | {"DeviceSerialNumber": "2"})
    told = scanners_of(root, [SCANS[0], Scan("2"), Scan("3")], [{"site": "a"}, {}, {}])
    assert told == [({}, ()), ({"scanner": "Siemens Prisma fit 3T 2"}, ()), ({}, ())]


def test_scanners_that_have_nothing_in_common_are_not_told(tmp_path):
    root = dataset(tmp_path, {"Manufacturer": "GE"}, {"StationName": "x"})
    assert scanners_of(root, SCANS, [{}, {}]) == [({}, ()), ({}, ())]
