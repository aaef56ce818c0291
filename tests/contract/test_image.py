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
    names = ("SUBJECTS_DIR", "MNI_DIR", "MNI_DATAPATH", "MNI_PERL5LIB", "PERL5LIB", "FSFAST_HOME", "FS_OVERRIDE")
    assert all(f"{name}=" in stages["full"] for name in (*names, "LOCAL_DIR", "FSF_OUTPUT_FORMAT", "FREESURFER_HOME"))


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
    for folder in ("bin", "average/mult-comp-cor", "models", "subjects/fsaverage", "subjects/bert", "mni/data", "docs"):
        (home / folder).mkdir(parents=True)
    for name in ("mri_convert", "mris_inflate", "freeview.bin", "tcsh", "gawk", "time", "nu_correct", "mritotal"):
        write_program(home / "bin" / name, "exit 1")
    for name in ("bc", "perl", "uptime", "ps", "hostname", "uname", "tee"):
        write_program(home / "bin" / name, "exit 0")
    write_program(home / "bin" / "recon-all", "set cmd = (mri_convert $a)\n  set cmd = (mris_inflate $b)")
    return home


def write_program(path, body):
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def check(repository, home):
    environment = os.environ | {"FREESURFER_HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
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
