from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import InputError
from bids_app.reports.loading import Sheet, load_group, load_person
from bids_app.tables import write_json
from tests.reports import dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    dataset.write_root(tmp_path)
    return tmp_path


def test_scans_are_in_order_of_age_not_of_label(root: Path) -> None:
    rng = np.random.default_rng(0)
    for session, age in (("10", 40.0), ("2", 50.0), ("baseline", 30.0)):
        dataset.write_scan(root, "01", session, age, "male", rng.normal(size=82), rng)
    person = load_person(root, "01")
    assert [scan.session for scan in person.scans] == ["ses-baseline", "ses-10", "ses-2"]
    assert person.scans[0].stem == "sub-01_ses-baseline"


def test_rows_keep_their_place_in_the_file() -> None:
    sheet = Sheet("a.tsv", pd.DataFrame({"z": [1.0, -3.0, 2.0]}))
    chosen = Sheet(sheet.file, sheet.table[sheet.table["z"] > 0].sort_values("z", ascending=False))
    assert [(index, row["z"]) for index, row in chosen.rows()] == [(2, 2.0), (0, 1.0)]


def test_what_failed_and_the_crash_files_are_found(root: Path) -> None:
    dataset.write_person(root, "01", ("1",))
    write_json(
        {
            "participant_id": "sub-01",
            "session_id": "ses-2",
            "status": "failed",
            "stage": "volumes",
            "reason": "damaged",
            "remedy": "",
        },
        root / "logs/status/sub-01_ses-2.json",
    )
    crash = root / "sub-01/log/20260101/crash-volumes.txt"
    crash.parent.mkdir(parents=True)
    crash.write_text("traceback")
    person = load_person(root, "01")
    assert [status.get("session_id") for status in person.unfinished] == ["ses-2"]
    assert person.crashes == ("sub-01/log/20260101/crash-volumes.txt",)


def test_a_damaged_summary_is_an_error_that_names_the_file(root: Path) -> None:
    dataset.write_person(root, "01", ("1",))
    (root / "sub-01/ses-1/anat/sub-01_ses-1_desc-summary_morph.json").write_text("{")
    with pytest.raises(InputError, match="sub-01_ses-1_desc-summary_morph"):
        load_person(root, "01")


def test_tables_without_a_title_are_not_analyses(root: Path) -> None:
    dataset.write_group(root, 4)
    write_json({"n": {"Description": "count"}}, root / "group" / "group_counts.json")
    group = load_group(root)
    assert set(group.analyses) == {"associations", "zdifference", "survival", "matching", "trajectories", "casecontrol"}
    assert "counts" in group.sheets
