import pytest

from bids_app.freesurfer.synthetic import write_subject
from bids_app.run.streams import mixed_streams


@pytest.fixture
def trees(tmp_path):
    """A cross-sectional and a longitudinal tree, and the cross-sectional tree beside the latter."""
    cross = write_subject(tmp_path / "sub-1_ses-1", {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    long = write_subject(tmp_path / "sub-1_ses-2.long.sub-1", {"Left-Thalamus": 6860.0}, etiv=1.5e6)
    return cross, long


def test_trees_of_one_stream_are_nothing_to_say(trees):
    assert mixed_streams([trees[0]]) is None


def test_mixed_streams_are_said_and_so_is_that_their_offset_is_unknown(trees):
    finding = mixed_streams(trees)
    assert finding.kind == "streams-mixed"
    assert "sub-1_ses-1 cross; sub-1_ses-2.long.sub-1 long; no session has both trees" in finding.seen


def test_the_offset_is_measured_where_a_session_has_both(trees, tmp_path):
    write_subject(tmp_path / "sub-1_ses-2", {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    finding = mixed_streams(trees)
    assert "measured by both in 1: longitudinal less cross" in finding.seen
    assert "thalamus -1.0 %" in finding.seen  # left by -2.0 %, right not at all
