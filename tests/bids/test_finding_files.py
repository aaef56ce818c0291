"""Findings on disk."""

from bids_app.bids.finding_files import (
    add_findings,
    collect_findings,
    findings_of,
    findings_path,
    read_findings,
    read_findings_file,
    write_findings,
)
from bids_app.findings import Finding
from bids_app.tables import read_json, read_table

LIMIT = Finding("age-limit", "age '89+' is a lower limit")


def test_findings_come_back_as_they_were(tmp_path):
    one, two = LIMIT.of("sub-2", "ses-1"), Finding("tree-choice", 'two, "quoted"; and n/a').of("sub-10")
    nobody = Finding("trees-of-nobody", "sub-9")
    write_findings([two], findings_path(tmp_path, "10"))
    write_findings([one, one], findings_path(tmp_path, "2", "1"))
    write_findings([nobody], findings_path(tmp_path, None))
    assert read_findings(tmp_path) == [nobody, one, two]


def test_no_finding_leaves_no_file(tmp_path):
    path = findings_path(tmp_path, "01")
    write_findings([LIMIT.of("sub-01")], path)
    assert write_findings([], path) is None
    assert not path.exists()
    assert read_findings(tmp_path) == []


def test_all_findings_are_collected_with_a_dictionary(tmp_path):
    write_findings([LIMIT.of("sub-01")], findings_path(tmp_path, "01"))
    assert len(collect_findings(tmp_path, [Finding("run-differs", "x")])) == 2
    table = read_table(tmp_path / "group_findings.tsv")
    assert table["kind"].tolist() == ["run-differs", "age-limit"]
    assert set(read_json(tmp_path / "group_findings.json")) == set(table.columns)


def test_summaries_hold_findings_as_plain_values():
    summary = {"participant_id": "sub-01", "session_id": None, "findings": [LIMIT.to_json()]}
    assert findings_of(summary) == [LIMIT.of("sub-01")]
    assert findings_of({"participant_id": "sub-01"}) == []


def test_findings_of_the_group_go_before_those_that_are_there(tmp_path):
    write_findings([LIMIT.of("sub-01")], findings_path(tmp_path, "01"))
    collect_findings(tmp_path)
    add_findings(tmp_path, [Finding("run-differs", "x")])
    add_findings(tmp_path, [Finding("run-differs", "y")])
    found = read_findings_file(tmp_path / "group_findings.tsv")
    assert [finding.seen for finding in found] == ["y", "x", LIMIT.seen]
    assert collect_findings(tmp_path, scans=[]) == []
    assert read_findings_file(tmp_path / "none.tsv") == []


def test_findings_lie_under_the_name_of_the_scan(tmp_path):
    folder = tmp_path / "logs" / "findings"
    assert findings_path(tmp_path, None) == folder / "dataset.tsv"
    assert findings_path(tmp_path, "01") == folder / "sub-01.tsv"
    assert findings_path(tmp_path, "01", "2") == folder / "sub-01_ses-2.tsv"
    path = write_findings([LIMIT, LIMIT], folder / "dataset.tsv")
    assert path == folder / "dataset.tsv"
    assert len(path.read_text().splitlines()) == 2
    assert write_findings([], folder / "none.tsv") is None
