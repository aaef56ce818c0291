"""Files that describe the command line cannot drift from it."""

from __future__ import annotations

import importlib.util
import json
import re

from bids_app.cli import exitcodes, slurm, status
from bids_app.cli.parser import build_parser


def load_script(repository, name, folder="scripts"):
    spec = importlib.util.spec_from_file_location(name, repository / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_boutiques_is_what_the_parser_says(repository):
    script = load_script(repository, "make_boutiques")
    made = json.loads(json.dumps(script.descriptor()))
    assert [json.loads((repository / name).read_text()) == made for name in script.FILES_WRITTEN] == [True, True]


def test_usage_page_has_the_exit_codes(repository):
    page = (repository / "docs" / "usage.md").read_text()
    table = dict(re.findall(r"^\| (\d+) \| (.+) \|$", page, flags=re.MULTILINE))
    assert {int(code): meaning for code, meaning in table.items()} == exitcodes.MEANING


def test_every_option_has_help():
    assert all(action.help for action in build_parser()._actions)


def test_options_of_the_docs_exist(repository):
    parsers = (build_parser(), status.build_parser(), slurm.build_parser())
    known = {option for parser in parsers for action in parser._actions for option in action.option_strings}
    page = (repository / "docs" / "usage.md").read_text().partition("## Options of fMRIPrep")[0]
    ours = page.replace("apptainer run --containall", "").split("#SBATCH")
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours[0] + ours[1].split("\n", 1)[1]))
    assert used <= known, used - known


def test_architecture_lists_every_module(repository):
    made = load_script(repository, "list_modules").listing(repository)
    assert made in (repository / "docs" / "architecture.md").read_text(), "run scripts/list_modules.py"


def test_files_that_the_docs_name_exist(repository):
    pages = [*(repository / "docs").glob("*.md"), repository / "README.md", repository / "CONTRIBUTING.md"]
    named = re.compile(r"(?<![\w/-])((?:bids_app|benchmarks|scripts|tests|docs|[a-z]+)/[\w/]+\.(?:py|md))")
    lost = [
        f"{page.name}: {name}"
        for page in pages
        for name in named.findall(page.read_text())
        if not any((place / name).exists() for place in (repository, repository / "bids_app", page.parent))
    ]
    assert not lost


def test_usage_page_has_the_options_of_other_apps(repository):
    made = load_script(repository, "list_options").section()
    assert made in (repository / "docs" / "usage.md").read_text(), "run scripts/list_options.py"
