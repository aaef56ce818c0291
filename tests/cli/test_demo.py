"""The demo of the README, end to end."""

import pytest

from bids_app.cli import demo, exitcodes


@pytest.mark.slow
def test_the_demo_runs_without_anything_unexpected(tmp_path, capfd):
    assert demo.main([str(tmp_path / "demo")]) == exitcodes.OK
    said = capfd.readouterr()
    derivatives = tmp_path / "demo" / "derivatives" / "normvol"
    assert (derivatives / "group" / "group_hazards.tsv").is_file()
    assert len(list(derivatives.glob("group*"))) <= 20
    written = [path for kind in ("tsv", "json", "html", "log", "txt") for path in derivatives.rglob(f"*.{kind}")]
    texts = {str(path): path.read_text(encoding="utf-8") for path in written} | {"out": said.out, "err": said.err}
    assert not [name for name, text in texts.items() if "unexpected" in text.lower()]
