"""The house: one-way layers, module and function sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest


def modules(repository):
    return sorted((repository / "bids_app").rglob("*.py"))


def test_layers_are_one_way(repository):
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    script = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([str(script)], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_modules_stay_below_400_lines(repository):
    long = {path.name: n for path in modules(repository) if (n := len(path.read_text().splitlines())) > 400}
    assert not long


def test_functions_stay_below_60_lines(repository):
    long = [
        f"{path.name}:{node.name}"
        for path in modules(repository)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno > 60
    ]
    assert not long


def test_the_library_never_imports_nipype(repository):
    rooms = ("bids", "freesurfer", "normative", "clinical", "reports", "simulation", "run", "workbench")
    imports = ("import nipype", "from nipype")
    guilty = [
        path
        for room in rooms
        for path in (repository / "bids_app" / room).rglob("*.py")
        if any(line.strip().startswith(imports) for line in path.read_text().splitlines())
    ]
    assert not guilty
