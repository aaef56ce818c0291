"""docs/platforms.md: every block of lines says which test runs it, or that none can."""

from __future__ import annotations

import re

import pytest


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


@pytest.mark.parametrize(("program", "section"), [("babs", "BABS"), ("nipoppy", "nipoppy")])
def test_the_page_names_the_version_that_is_tested(repository, program, section):
    pinned = re.search(rf"{program}==(\d+\.\d+)", (repository / ".ci" / "platforms").read_text())[1]
    text = (repository / "docs" / "platforms.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    assert re.search(rf"\) {re.escape(pinned)} ", text)
