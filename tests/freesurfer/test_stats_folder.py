"""The stats files of one subject are opened once, whoever asks for them."""

import pytest

from bids_app.errors import FreeSurferError, StatsFileError
from bids_app.freesurfer import stats_folder
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.stats_folder import StatsFolder
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import extract_volumes


@pytest.fixture
def tree(tmp_path):
    return write_subject(tmp_path / "sub-01", {"Left-Thalamus": 7000.0}, etiv=1.5e6)


def test_volumes_after_a_check_are_those_of_a_fresh_reading_and_open_no_file_again(tree, monkeypatch):
    expected, opened = extract_volumes(tree), []
    read = stats_folder.read_content
    monkeypatch.setattr(stats_folder, "read_content", lambda path: opened.append(path) or read(path))
    stats = StatsFolder(tree)
    assert check_subject(tree, stats=stats).usable
    assert stats.inputs == {}
    found = extract_volumes(tree, folder=stats)
    assert len(opened) == len(set(opened))
    assert found.inputs == expected.inputs
    assert found.notes == expected.notes
    assert found.table.equals(expected.table)


def test_a_damaged_file_is_damaged_each_time_and_found_as_a_note(tree):
    (tree / "stats/lh.aparc.stats").write_bytes(b"")
    stats = StatsFolder(tree)
    for _ in range(2):
        with pytest.raises(StatsFileError):
            stats.look("lh.aparc.stats")
    assert stats.find("lh.aparc.stats") is None
    assert "lh.aparc.stats" in stats.notes[0]
    assert stats.find("absent.stats") is None


def test_a_folder_that_is_not_there_holds_nothing_and_is_refused_where_it_is_needed(tmp_path):
    stats = StatsFolder(tmp_path)
    assert stats.present == frozenset()
    with pytest.raises(FreeSurferError, match="no readable stats folder"):
        stats.require()
