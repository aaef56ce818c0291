"""What a run says on the terminal and in its log."""

import pytest

from bids_app.cli.progress import open_log


@pytest.mark.parametrize(("quiet", "shown"), [(False, ["one", "two"]), (True, ["two"])])
def test_a_quiet_run_says_only_what_went_wrong_and_its_log_has_everything(quiet, shown, tmp_path, capsys):
    log = open_log(tmp_path / "logs" / "run.log", quiet=quiet)
    log.info("one")
    log.warning("two")
    log.debug("three")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == shown
    assert [line.split()[-1] for line in (tmp_path / "logs" / "run.log").read_text().splitlines()] == ["one", "two"]


def test_more_words_when_asked_for(tmp_path, capsys):
    open_log(None, verbose=1).debug("three")
    assert "three" in capsys.readouterr().err
