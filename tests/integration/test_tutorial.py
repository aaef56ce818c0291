"""The tutorial as a person walks it, and the page on change that goes on from it: every command is typed.

Every line that the pages show must come.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```(sh|python|text)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
# The participant level of 195 scans
SHELL_SECONDS = 7200


PAGES = ("tutorial.md", "ms.md")


def blocks(repository: Path, pages: tuple[str, ...] = PAGES) -> list[tuple[str, str]]:
    return [block for page in pages for block in BLOCK.findall((repository / "docs" / page).read_text())]


@pytest.mark.parametrize("page", PAGES)
def test_every_shown_output_follows_what_makes_it(repository, page):
    kinds = [kind for kind, _ in blocks(repository, (page,))]
    assert kinds[0] != "text"
    assert all(before != "text" for before, kind in pairwise(kinds) if kind == "text")
    assert kinds.count("text") >= 5


@pytest.mark.slow
def test_the_tutorial_gives_what_it_shows(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, object] = {}
    said, lost = "", []
    for kind, text in blocks(repository):
        if kind == "sh":
            done = subprocess.run(
                ["bash", "-c", text], capture_output=True, text=True, timeout=SHELL_SECONDS, check=False
            )
            said = done.stdout + done.stderr
        elif kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, "tutorial", "exec"), names)
            said = out.getvalue()
        else:
            lost += [line for line in text.splitlines() if line.strip() and line not in said]
    assert lost == []
