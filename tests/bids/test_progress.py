"""How far an output folder is."""

import json
import os

import pytest

from bids_app.bids.progress import ScanState, scan_states
from bids_app.bids.status import write_status
from bids_app.errors import InputError


def done(root, participant, session=None, *, scans=None, marker=20, summary=10):
    """A scored scan, its marker and summary of these times, and the person's marker that covers `scans`."""
    name = f"sub-{participant}" + (f"_ses-{session}" if session else "")
    write_status(root, participant, session, status="scored", stage="scan")
    folder = root / f"sub-{participant}" / (f"ses-{session}" if session else "") / "anat"
    for path, at, content in (
        (folder / f"{name}_desc-summary_morph.json", summary, {}),
        (root / "logs/done/scans" / f"{name}.json", marker, {}),
        (root / "logs/done/people" / f"sub-{participant}.json", 30, {"scans": dict.fromkeys(scans or [name], "x")}),
    ):
        if at is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
            os.utime(path, ns=(at, at))
    return root


def states(root):
    return [(scan.name, scan.state) for scan in scan_states(root)]


def test_each_scan_is_in_one_state_in_natural_order(tmp_path):
    done(tmp_path, "10")
    done(tmp_path, "2", "1")
    write_status(tmp_path, "1", status="omitted", stage="covariates", reason="no age", remedy="add it")
    write_status(tmp_path, "3", "2", status="failed", stage="scan", reason="broken")
    assert scan_states(tmp_path) == [
        ScanState("sub-1", None, "left out", "no age", "add it"),
        ScanState("sub-2", "ses-1", "done"),
        ScanState("sub-3", "ses-2", "failed", "broken", ""),
        ScanState("sub-10", None, "done"),
    ]


@pytest.mark.parametrize(
    ("marker", "summary", "state"),
    [(20, 10, "done"), (10, 10, "done"), (10, 11, "unfinished"), (None, 10, "unfinished"), (10, None, "unfinished")],
)
def test_a_marker_is_not_older_than_the_summary_that_it_covers(tmp_path, marker, summary, state):
    done(tmp_path, "01", "1", marker=marker, summary=summary)
    assert states(tmp_path) == [("sub-01_ses-1", state)]
    if state == "unfinished":
        assert "stopped" in scan_states(tmp_path)[0].reason


def test_a_scan_that_the_persons_report_does_not_hold_is_unfinished(tmp_path):
    done(tmp_path, "01", "1", scans=["sub-01_ses-1"])
    done(tmp_path, "01", "2", scans=["sub-01_ses-1"])
    assert states(tmp_path) == [("sub-01_ses-1", "done"), ("sub-01_ses-2", "unfinished")]
    assert "not of this scan" in scan_states(tmp_path)[1].reason


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_person_without_a_readable_marker_is_unfinished(tmp_path, content):
    done(tmp_path, "01")
    (tmp_path / "logs/done/people/sub-01.json").write_text(content)
    assert states(tmp_path) == [("sub-01", "unfinished")]
    (tmp_path / "logs/done/people/sub-01.json").unlink()
    assert states(tmp_path) == [("sub-01", "unfinished")]


def test_other_files_are_no_statuses_and_a_damaged_one_is_named(tmp_path):
    done(tmp_path, "01")
    folder = tmp_path / "logs" / "status"
    for name in ("sub-02.txt", "other.json"):
        (folder / name).write_text("x")
    assert len(states(tmp_path)) == 1
    (folder / "sub-02.json").write_text("[]")
    with pytest.raises(InputError, match=r"sub-02\.json is damaged"):
        scan_states(tmp_path)


def test_without_statuses_the_table_of_inclusion_tells(tmp_path):
    with pytest.raises(InputError, match=r"no logs/status and no group_inclusion\.tsv"):
        scan_states(tmp_path)
    table = tmp_path / "group_inclusion.tsv"
    table.write_text("participant_id\tsession_id\treason\n")
    with pytest.raises(InputError, match="is damaged"):
        scan_states(tmp_path)
    table.write_text(
        "participant_id\tsession_id\tstatus\treason\tremedy\n"
        "sub-01\tses-1\tscored\tn/a\tn/a\nsub-02\tn/a\tfailed\tbroken\tmend\nsub-03\tn/a\tomitted\tr\tn/a\n"
        "sub-04\tn/a\tother\tn/a\tn/a\n"
    )
    assert scan_states(tmp_path) == [
        ScanState("sub-01", "ses-1", "done"),
        ScanState("sub-02", None, "failed", "broken", "mend"),
        ScanState("sub-03", None, "left out", "r"),
        ScanState("sub-04", None, "left out"),
    ]
    table.write_text("participant_id\tstatus\nsub-01\tscored\n")
    assert scan_states(tmp_path) == [ScanState("sub-01", None, "done")]


def test_labels_of_hashes_and_strange_signs_have_their_own_file(tmp_path):
    done(tmp_path, "x0123456789ab", "1+2")
    assert states(tmp_path) == [("sub-x0123456789ab_ses-1+2", "done")]
