"""The documentation: what it shows is what the code gives, and it builds without a warning."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import bids_app
from bids_app.normative.registry import load_model, model_names
from bids_app.tables import write_tsv
from tests.contract.test_descriptors import load_script

MOST_LINKS = 7


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def pages(repository: Path) -> list[Path]:
    return [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]


def test_the_version_stands_in_one_place(repository):
    assert yaml.safe_load((repository / "CITATION.cff").read_text())["version"] == bids_app.__version__
    assert json.loads((repository / ".zenodo.json").read_text())["version"] == bids_app.__version__
    assert f"## {bids_app.__version__}" in (repository / "CHANGELOG.md").read_text()


def test_the_readme_is_short(repository):
    text = (repository / "README.md").read_text()
    assert len(re.findall(r"(?<!!)\[[^]]+\]\([^)]+\)", text)) <= MOST_LINKS
    assert len(fenced(repository / "README.md", "sh")) <= 3  # try it, use it, test it
    assert text.count("![") == 1
    assert {"## Limits", "## Licence and citation"} <= set(text.splitlines())


def test_every_link_to_a_file_leads_somewhere(repository):
    lost = [
        f"{page.name}: {target}"
        for page in pages(repository)
        if "_build" not in page.parts
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)", page.read_text())
        if not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not lost


def test_every_page_is_in_a_table_of_contents(repository):
    docs = repository / "docs"
    named = {
        (page.parent / line).resolve()
        for page in docs.rglob("*.md")
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), flags=re.DOTALL)
        for line in block.split()
    }
    there = {path.with_suffix("").resolve() for path in docs.rglob("*.md") if "_build" not in path.parts}
    assert there - named == {docs / "index", docs / "package-index"}


def test_every_python_block_can_be_parsed_and_every_option_is_known(repository):
    from bids_app.cli.model import build_parser

    commands = build_parser()._subparsers._group_actions[0].choices
    unknown = []
    for page in pages(repository):
        for block in fenced(page, "python"):
            compile(block, str(page), "exec")
        for block in fenced(page, "sh"):
            for line in re.findall(r"normvol-model (\w+)(.*)", block.replace("\\\n", " ")):
                known = {option for action in commands[line[0]]._actions for option in action.option_strings}
                unknown += [
                    f"{page.name}: {option}"
                    for option in re.findall(r" (--?[\w-]+)", line[1].split("#")[0])
                    if option not in known
                ]
    assert not unknown


def test_the_literature_page_has_the_figures_of_the_models(repository):
    made = load_script(repository, "literature", "benchmarks").lines()
    text = (repository / "docs" / "literature.md").read_text()
    assert [line for line in made if line not in text] == []


def test_the_evaluation_page_is_of_the_packaged_versions(repository):
    text = (repository / "docs" / "evaluation.md").read_text()
    named = dict(re.findall(r"`(open-[a-z]+)` (\d+\.\d+\.\d+)", text))
    assert named == {name: load_model(name).card.version for name in model_names()}


@pytest.mark.parametrize("sex", ["female", "male"])
@pytest.mark.parametrize("name", ["open-calibrated", "open-reference"])
def test_the_expected_counts_are_those_of_the_packaged_models(repository, name, sex):
    known, new = (load_model(name).expected_counts(82, sex, adapted).values() for adapted in (True, False))
    cells = [f"{count['mean']:.1f} ({count['low']:.0f}-{count['high']:.0f})" for count in (*known, *new)]
    assert f"| {' | '.join([name, sex, *cells])} |" in (repository / "docs" / "models.md").read_text()


def test_the_r_snippet_reads_the_tidy_tables(repository, tmp_path):
    """Every call of docs/tidy.md and each function of docs/normvol.R, against what pandas reads."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("R is not installed")
    rows = [
        (f"sub-{person}", "ses-1", region, group, site, person / 10 + shift, "3 o'clock, 5\" # x")
        for person, group, site in ((1, "MS", "a"), (2, "HC", "b"), (3, "MS", "b"), (4, "HC", "a"), (5, "MS", "a"))
        for region, shift in (("Left-Thalamus", -1.0 * (group == "MS")), ("Right-Thalamus", 0.5))
    ]
    long = pd.DataFrame(rows, columns=["participant_id", "session_id", "region", "group", "site", "z", "note"])
    long.loc[3, "z"] = float("nan")
    write_tsv(long, tmp_path / "out" / "group_long.tsv")
    write_tsv(long.drop_duplicates("participant_id"), tmp_path / "out" / "group_scans.tsv")
    shutil.copy(repository / "docs" / "normvol.R", tmp_path)
    more = """
    wide <- normvol_wide(long)
    cat(dim(normvol_scans("out")), dim(wide), names(wide), sum(is.na(wide[["Right-Thalamus"]])), class(long$z), "\\n")
    """
    code = f"{fenced(repository / 'docs' / 'tidy.md', 'r')[-1]}\n{more}"
    done = subprocess.run([rscript, "--vanilla", "-e", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ids = "participant_id session_id Left-Thalamus Right-Thalamus"
    assert done.stdout.splitlines()[-1].strip() == f"5 7 5 4 {ids} 1 numeric"
    assert "groupMS" in done.stdout


@pytest.mark.slow
def test_the_notebook_shows_what_its_code_gives(repository):
    pytest.importorskip("nbclient", reason="nbclient is not installed (extra docs)")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (extra docs)")
    import nbformat

    for path in sorted((repository / "docs" / "notebooks").glob("*.ipynb")):
        stored = nbformat.read(path, as_version=4)
        again = load_script(repository, "run_notebooks").executed(path)
        assert [cell.source for cell in again.cells] == [cell.source for cell in stored.cells]
        assert [cell.get("outputs") for cell in again.cells] == [cell.get("outputs") for cell in stored.cells]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(repository, tmp_path):
    for name in ("sphinx", "myst_nb", "numpydoc", "pydata_sphinx_theme"):
        pytest.importorskip(name, reason=f"{name} is not installed (extra docs)")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-d", str(tmp_path / "trees"), str(repository / "docs")]
    done = subprocess.run(
        [*command, str(tmp_path / "html")], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    assert "three lines" in (tmp_path / "html" / "api.html").read_text().lower()
