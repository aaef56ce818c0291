"""What the image is made of: lock files, targets, FreeSurfer's trimmed tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from bids_app import __version__
from bids_app.freesurfer.programs import packages
from bids_app.tables import read_table
from tests.contract.test_descriptors import load_script


@pytest.fixture(scope="module")
def lock(repository):
    return load_script(repository, "lock")


@pytest.fixture(scope="module")
def stages(repository):
    """Stage of the Dockerfile to its text."""
    parts = re.split(r"^(?=FROM )", (repository / "Dockerfile").read_text(), flags=re.MULTILINE)
    return {re.match(r"FROM \S+ AS (\S+)", part)[1]: part for part in parts if part.startswith("FROM ")}


@pytest.mark.parametrize("name", ["full", "core"])
def test_lock_files_were_made_from_what_setup_asks_for(repository, lock, name):
    text = (repository / "requirements" / f"{name}.txt").read_text()
    assert text.startswith(lock.header(name)), "run scripts/lock.py"
    assert "http" not in text
    versions = lock.pins(text)
    entries = re.split(r"^(?=[A-Za-z])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(re.findall(r"^[A-Za-z]", text, flags=re.MULTILINE)) >= len(versions)
    assert all("--hash=sha256:" in entry for entry in entries)
    asked = {line.split(" ")[0].replace("_", "-").lower() for line in lock.wanted(name)}
    assert asked <= set(versions)


def test_the_core_has_the_versions_of_the_full_lock_and_no_pcntoolkit(repository, lock):
    full, core = (lock.pins((repository / "requirements" / f"{name}.txt").read_text()) for name in ("full", "core"))
    assert "pcntoolkit" in full
    assert "pcntoolkit" not in core
    assert core.items() <= full.items()


def test_targets_have_the_entry_point_a_user_and_their_licences(stages):
    assert {"slim-core", "slim", "full"} <= set(stages)
    assert 'ENTRYPOINT ["/opt/normvol/bin/normvol"]' in stages["runtime"]
    for target in ("slim-core", "slim", "full"):
        assert "USER 1000:1000" in stages[target]
    assert "GPL-3.0" not in stages["slim-core"] + stages["runtime"]
    assert "GPL-3.0-only" in stages["slim"]
    assert "GPL-3.0-only" in stages["full"]
    assert f"ARG VERSION={__version__}\n" in stages["runtime"]


def test_no_failed_step_is_hidden_and_no_digest_is_invented(repository):
    text = (repository / "Dockerfile").read_text()
    assert "|| true" not in text
    assert not re.search(r"@sha256:[0-9a-f]{8}", text)


def test_full_becomes_root_for_its_packages_and_has_all_of_recon_alls(stages):
    before, _, after = stages["full"].partition("apt-get install")
    assert "USER root" in before
    installed = set(after.partition("&&")[0].split())
    assert set(packages().values()) - {"coreutils"} <= installed
    assert "RUN recon-all -version && bash /tmp/check.sh" in after


def test_full_has_what_public_images_of_freesurfer_7_have(repository, stages):
    theirs = read_table(repository / "tests" / "data" / "freesurfer_images.tsv", text=True).fillna("")
    assert theirs["image"].nunique() == 3
    installed = stages["full"].partition("--no-install-recommends")[2].partition("&&")[0].split()
    block = re.search(r"^ENV ((?:.*\\\n)+.*)$", stages["full"], flags=re.MULTILINE)[1]
    variables = dict(word.split("=", 1) for word in block.replace("\\\n", " ").split())
    for row in theirs.itertuples():
        have = (
            installed if row.kind == "package" else variables["PATH" if row.kind == "path" else row.theirs].split(":")
        )
        assert row.here in have, row


def test_what_was_never_built_is_marked_so_wherever_it_is_offered(repository):
    offered = []
    for path in [*(repository / name for name in ("Dockerfile", "README.md")), *(repository / "docs").glob("*.md")]:
        text = " ".join(path.read_text().split())
        if re.search(r"normvol:full|--target full|image `full`|AS full", text):
            offered.append(path.name)
            assert re.search(r"never built|not built here|not executable here", text), path
    assert {"Dockerfile", "platforms.md", "freesurfer.md"} <= set(offered)


@pytest.mark.parametrize(("words", "code"), [([], 1), (["--optional"], 0)])
def test_templates_that_cannot_be_fetched_end_the_build_unless_optional(repository, monkeypatch, capsys, words, code):
    script = load_script(repository, "fetch_templates")
    monkeypatch.setitem(sys.modules, "templateflow", SimpleNamespace(api=SimpleNamespace(get=lambda *_, **__: [])))
    monkeypatch.setattr(sys, "argv", ["fetch_templates.py", *words])
    assert script.main() == code
    assert capsys.readouterr().out.count("left out") == len(script.TEMPLATES)


@pytest.fixture
def freesurfer(tmp_path):
    """A FreeSurfer of stubs, whole as far as its check looks."""
    home = tmp_path / "freesurfer"
    for folder in (
        "bin",
        "average/mult-comp-cor",
        "models",
        "subjects/fsaverage",
        "subjects/bert",
        "mni/data",
        "mni/bin",
        "docs",
    ):
        (home / folder).mkdir(parents=True)
    for name in ("mri_convert", "mris_inflate", "freeview.bin", "tcsh", "gawk", "time"):
        write_program(home / "bin" / name, "exit 1")
    for name in ("nu_correct", "mritotal"):
        write_program(home / "mni" / "bin" / name, "exit 1")
    for name in ("bc", "perl", "uptime", "ps", "hostname", "uname", "tee"):
        write_program(home / "bin" / name, "exit 0")
    write_program(home / "bin" / "recon-all", "set cmd = (mri_convert $a)\n  set cmd = (mris_inflate $b)")
    return home


def write_program(path, body):
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def check(repository, home):
    environment = os.environ | {"FREESURFER_HOME": str(home), "PATH": f"{home}/bin:{home}/mni/bin:{os.environ['PATH']}"}
    script = repository / "scripts" / "freesurfer" / "check.sh"
    return subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=False)


def test_trimming_takes_the_listed_and_leaves_what_the_check_wants(repository, freesurfer):
    script = repository / "scripts" / "freesurfer" / "trim.sh"
    subprocess.run(["bash", script, freesurfer], check=True)
    left = {str(path.relative_to(freesurfer)) for path in freesurfer.rglob("*")}
    assert {"bin/mri_convert", "subjects/fsaverage", "average"} <= left
    assert not {"docs", "subjects/bert", "average/mult-comp-cor", "bin/freeview.bin"} & left
    done = check(repository, freesurfer)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_program_that_cannot_start_or_is_lost_fails_the_build(repository, freesurfer):
    write_program(freesurfer / "bin" / "mri_convert", "echo 'error while loading shared libraries: libx.so'; exit 127")
    (freesurfer / "bin" / "mris_inflate").unlink()
    done = check(repository, freesurfer)
    assert done.returncode == 1
    assert "libx.so" in done.stdout
    assert "mris_inflate: recon-all calls it" in done.stdout


def test_scripts_are_followed_and_a_lost_perl_module_fails_the_build(repository, freesurfer):
    write_program(freesurfer / "bin" / "mri_convert", "[ $# = 1 ] || helper_of_convert")
    write_program(freesurfer / "bin" / "helper_of_convert", "nu_correct a b")
    write_program(freesurfer / "mni" / "bin" / "nu_correct", 'echo "Can\'t locate MNI/Startup.pm in @INC"; exit 2')
    done = check(repository, freesurfer)
    assert done.returncode == 1
    assert "nu_correct -version: Can't locate MNI/Startup.pm in @INC" in done.stdout
    assert "6 programs of FreeSurfer were looked at" in done.stdout
