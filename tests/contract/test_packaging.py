"""What an index and an installer get."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tarfile

import pytest
import yaml

from tests.contract.test_descriptors import load_script


@pytest.fixture(scope="module")
def setup(repository):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(repository / "setup.cfg")
    return parser


def test_the_constraints_are_the_lower_bounds(repository, setup):
    made = load_script(repository, "lowest_versions").lowest(repository)
    assert (repository / ".ci" / "lowest.txt").read_text() == made, "run scripts/lowest_versions.py"
    needed = (
        setup["options"]["install_requires"].split("\n")[1:] + setup["options.extras_require"]["test"].split("\n")[1:]
    )
    assert len(made.splitlines()) == len([line for line in needed if line])


def test_the_page_of_the_index_is_the_readme_without_anything_relative(repository, setup):
    page = repository / setup["metadata"]["long_description"].removeprefix("file: ")
    assert page.read_text() == load_script(repository, "index_readme").index_readme(), "run scripts/index_readme.py"
    assert not re.search(r"\]\((?!https?://)", page.read_text())
    assert "](docs/" not in load_script(repository, "index_readme").index_readme("https://example.org/blob/main")


def test_the_licence_page_names_what_to_install_without_pcntoolkit(repository, setup):
    page = (repository / "docs" / "licences.md").read_text().replace("\\\n", "")
    (listed,) = re.findall(r"^pip install (contourpy.*)$", page, flags=re.MULTILINE)
    needed = re.findall(r"^(\S+) ", setup["options"]["install_requires"].strip(), flags=re.MULTILINE)
    assert set(listed.split()) == set(needed) - {"pcntoolkit"}


def test_every_tool_of_the_lint_is_in_dev(repository, setup):
    extras = setup["options.extras_require"]
    named = set(re.findall(r'"\$bin/([\w-]+)"', (repository / ".ci" / "lint").read_text()))
    packages = {"bosh": "boutiques", "lint-imports": "import-linter"}
    assert {packages.get(tool, tool) for tool in named} <= {line.split(" ")[0] for line in extras["lint"].split("\n")}
    assert "%(test)s" in extras["dev"]
    assert "%(lint)s" in extras["dev"]


@pytest.mark.slow
def test_the_source_distribution_holds_all_that_the_repository_does(repository, tmp_path):
    pytest.importorskip("build", reason="build is not installed")
    source = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=repository, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (repository / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((repository / name).read_bytes())
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", str(tmp_path / "dist"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as stream:
        inside = {name.partition("/")[2] for name in stream.getnames()}
    assert {"tests/contract/test_packaging.py", "docs/usage.md", ".zenodo.json"} <= inside
    assert {file.relative_to(source).as_posix() for file in source.rglob("*") if file.is_file()} - inside == set()
    assert not [name for name in inside if name.endswith(".pyc")]


def test_every_step_of_continuous_integration_is_a_script_that_runs_here_too(repository):
    config = yaml.safe_load((repository / ".circleci" / "config.yml").read_text())
    steps = [step for job in config["jobs"].values() for step in job["steps"]]
    steps += config["commands"]["environment"]["steps"]
    commands = [step["run"]["command"].split() for step in steps if isinstance(step, dict) and "run" in step]
    assert {command[0] for command in commands} == {"bash"}
    assert all((repository / command[1]).exists() for command in commands)
    called = {command[1] for command in commands}
    whole = "".join((repository / ".ci" / name).read_text() for name in ("run", "full"))
    assert {script for script in called if script not in whole} == set()
