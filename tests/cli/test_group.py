"""The closing words of the group level."""

from pathlib import Path

from bids_app.bids.group_files import written_results
from bids_app.cli.group import _empty_results
from bids_app.clinical.results import not_computed, write_result


def test_unreadable_files_do_not_hide_what_was_not_computed(tmp_path: Path):
    write_result(not_computed("case_control", "Case-control", "no column has the role diagnosis"), tmp_path)
    write_result(not_computed("relapse", "Relapses", "no column has the role relapses"), tmp_path)
    (tmp_path / "group" / "group_relapse.tsv").unlink()
    (tmp_path / "group" / "group_cut.json").write_text('{"reason": ', encoding="utf-8")
    (tmp_path / "group" / "group_bytes.json").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "group" / "group_number.json").write_text("3", encoding="utf-8")
    assert [result.name for result in _empty_results(written_results(tmp_path))] == ["case_control"]
