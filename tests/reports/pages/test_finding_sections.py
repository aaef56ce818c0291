"""Findings stand at the top of the reports."""

from pathlib import Path

import pytest

from bids_app.bids.finding_files import collect_findings, findings_path, write_findings
from bids_app.findings import Finding, kinds
from bids_app.reports.pages.group import write_group_report
from bids_app.reports.pages.participant import write_participant_report
from bids_app.tables import read_json, write_json
from tests.reports import dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    dataset.write_root(tmp_path)
    dataset.write_group(tmp_path, 12)
    return tmp_path


def test_the_group_report_has_one_entry_per_kind_before_everything_else(root: Path) -> None:
    for number in range(1, 13):
        name = f"sub-{number:02d}"
        write_findings([Finding("age-limit", f"age <{number}>").of(name)], findings_path(root, f"{number:02d}"))
    write_findings([Finding("trees-of-nobody", "2 in freesurfer")], findings_path(root, None))
    collect_findings(root)
    page = write_group_report(root, figure_formats=("svg",)).read_text()
    section = page[page.index('id="findings-title"') : page.index('id="inclusion-title"')]
    assert section.count('class="finding"') == 2
    assert "sub-01, sub-02, sub-03, sub-04, sub-05, sub-06, sub-07, sub-08 and 4 more" in section
    assert "age &lt;1&gt;" in section
    assert kinds()["age-limit"].effect in section
    assert kinds()["trees-of-nobody"].remedy in section
    assert "the dataset" in section


def test_a_group_without_findings_has_no_such_section(root: Path) -> None:
    collect_findings(root)
    assert 'id="findings-title"' not in write_group_report(root, figure_formats=("svg",)).read_text()


def test_the_persons_report_says_what_was_seen_what_it_does_and_what_to_do(root: Path) -> None:
    dataset.write_person(root, "01", ("1", "2"), burden=1.0)
    (path,) = root.glob("sub-01/ses-1/anat/*_desc-summary_morph.json")
    finding = Finding("age-limit", "age '89+' is a lower limit")
    write_json({**read_json(path), "findings": [finding.to_json()]}, path)
    page = write_participant_report(root, "01").read_text()
    section = page[page.index('id="attention-title"') : page.index('id="counts-title"')]
    assert "ses-1:" in section
    assert "age &#39;89+&#39; is a lower limit" in section
    assert finding.effect in section
    assert finding.remedy in section
