"""The closing words of the group level."""

import weakref
from pathlib import Path

from bids_app.bids.group_files import written_results
from bids_app.cli import exitcodes, group
from bids_app.cli.group import _empty_results
from bids_app.cli.parser import parse_config
from bids_app.clinical.results import not_computed, write_result
from bids_app.run.cohort import forget, read_cohort
from tests.run.test_cohort import write_scan


def test_unreadable_files_do_not_hide_what_was_not_computed(tmp_path: Path):
    write_result(not_computed("case_control", "Case-control", "no column has the role diagnosis"), tmp_path)
    write_result(not_computed("relapse", "Relapses", "no column has the role relapses"), tmp_path)
    (tmp_path / "group" / "group_relapse.tsv").unlink()
    (tmp_path / "group" / "group_cut.json").write_text('{"reason": ', encoding="utf-8")
    (tmp_path / "group" / "group_bytes.json").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "group" / "group_number.json").write_text("3", encoding="utf-8")
    assert [result.name for result in _empty_results(written_results(tmp_path))] == ["case_control"]


def test_the_report_is_written_without_the_cohort_in_memory(tmp_path: Path, monkeypatch):
    """Only what the nodes may read again holds the cohort, so that it goes when the report's worker lets go."""
    write_scan(tmp_path / "out", "1")
    (tmp_path / "bids").mkdir()
    kept = []

    def look(*_):
        cohort = weakref.ref(read_cohort(tmp_path / "out"))
        kept.append(cohort() is not None)
        forget()
        kept.append(cohort() is not None)
        return []

    monkeypatch.setattr(group, "run_graph", look)
    assert group.run_group(parse_config([str(tmp_path / "bids"), str(tmp_path / "out"), "group"])) == exitcodes.OK
    assert kept == [True, False]
