"""docs/platforms.md: every block of lines says which test runs it, or that none can."""

from __future__ import annotations

import re


def test_every_block_is_run_by_something_that_exists_or_marked(repository):
    page = (repository / "docs" / "platforms.md").read_text()
    blocks = re.findall(r"^(.*)\n```sh$", page, flags=re.MULTILINE)
    assert len(blocks) > 10
    used = "".join(path.read_text() for path in (repository / "tests").rglob("test_*.py"))
    for mark in blocks:
        kind, _, words = mark.removeprefix("<!-- ").removesuffix(" -->").partition(" ")
        assert kind in ("test:", "run", "not"), f"no mark above a block: {mark!r}"
        if kind == "test:":
            assert f'block(repository, "{words}")' in used, mark
        if kind == "run":
            assert (repository / re.match(r"by ([\w./]+\w)", words)[1]).exists(), mark
