"""The pages on reliability and security name tests that are there."""

from __future__ import annotations

import ast
import re

import pytest


@pytest.mark.parametrize("page", ["reliability.md", "security.md"])
def test_every_test_that_the_page_names_is_there(repository, page):
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (repository / "docs" / page).read_text(encoding="utf-8"))
    assert named
    for file, test in named:
        path = repository / file
        assert path.is_file(), file
        functions = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
        assert not test or test in functions, f"{file}::{test}"
