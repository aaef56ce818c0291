"""DataLad and git-annex: a real clone, partly fetched, unlocked, and the recorded runs; inputs stay as they are."""

from __future__ import annotations

import re

import pytest

from tests.platforms.conftest import AGES, NORMVOL, block, write_raw, write_tree

pytestmark = pytest.mark.slow
TREES = "derivatives/freesurfer"


@pytest.fixture
def origin(datalad, tmp_path):
    """A dataset as OpenNeuro keeps it: text in git, everything of FreeSurfer in the annex."""
    folder = write_raw(tmp_path / "origin")
    for scan in AGES:
        write_tree(folder / TREES, *scan)
    (folder / ".bidsignore").write_text("derivatives\n")
    datalad.run("datalad", "create", "--force", "-c", "text2git", folder, cwd=tmp_path)
    (folder / TREES / ".gitattributes").write_text(
        "* annex.largefiles=anything\n.gitattributes annex.largefiles=nothing\n"
    )
    datalad.run("datalad", "save", "-d", folder, "-m", "all", cwd=folder)
    return folder


@pytest.fixture
def clone(datalad, origin, tmp_path):
    datalad.run("datalad", "clone", origin, tmp_path / "clone", cwd=tmp_path)
    return tmp_path / "clone"


def participants(datalad, clone, out, code):
    return datalad.run("normvol", clone, out, "participant", "--recon", "ingest", "--nprocs", "1", cwd=clone, code=code)


def test_a_part_is_fetched_and_the_remedy_fetches_the_rest(datalad, clone, tmp_path):
    assert (clone / TREES / "sub-01_ses-1" / "stats" / "aseg.stats").is_symlink()
    datalad.run("datalad", "get", f"{TREES}/sub-01_ses-1/stats", f"{TREES}/sub-01_ses-1/scripts", cwd=clone)
    said = participants(datalad, clone, tmp_path / "out", 4)
    assert "scored 1, up to date 0, left out 2" in said
    (command,) = set(
        re.findall(r"(datalad get \S.*|git annex get \S.*)", said.partition("\n")[2].rsplit("fetch", 1)[-1])
    )
    datalad.run("bash", "-c", command, cwd=clone)
    assert "scored 2, up to date 1, left out 0, failed 0" in participants(datalad, clone, tmp_path / "out", 0)
    assert datalad.run("git", "status", "--porcelain", cwd=clone) == ""


def test_unlocked_files_are_read_and_stay_as_they_are(datalad, clone, tmp_path):
    datalad.run("datalad", "get", TREES, cwd=clone)
    datalad.run("datalad", "unlock", TREES, cwd=clone)
    assert not (clone / TREES / "sub-01_ses-1" / "stats" / "aseg.stats").is_symlink()
    before = datalad.run("git", "diff", "HEAD", cwd=clone)
    assert "scored 3" in participants(datalad, clone, tmp_path / "out", 0)
    assert datalad.run("git", "diff", "HEAD", cwd=clone) == before


def test_the_lines_of_the_docs_record_both_levels_and_a_rerun_gives_the_same_bytes(
    repository, datalad, origin, tmp_path
):
    datalad.script(block(repository, "datalad"), tmp_path, ORIGIN=origin)
    clone = tmp_path / "study"
    assert datalad.run("git", "status", "--porcelain", cwd=clone) == ""
    assert datalad.run("git", "diff", "--stat", "HEAD~2", "--", TREES, "participants.tsv", "sub-01", cwd=clone) == ""
    assert (clone / "derivatives" / "normvol" / "group.html").exists()
    datalad.run("git", "tag", "first", cwd=clone)
    datalad.run("datalad", "rerun", "--since", "HEAD~2", "--onto", "HEAD~2", "--branch", "again", cwd=clone)
    assert datalad.run("git", "log", "--format=%s", "HEAD~2..", cwd=clone).count("[DATALAD RUNCMD]") == 2
    changed = datalad.run("git", "diff", "--name-only", "first", "again", cwd=clone).split()
    assert [name for name in changed if "/log/" not in name and "/logs/" not in name] == []


def test_containers_run_uses_the_image_of_the_dataset(repository, datalad, clone, tmp_path):
    image = tmp_path / "normvol.sif"
    image.write_text(f'#!/bin/bash\nexec {NORMVOL}/normvol "$@"\n')
    call = ["--call-fmt", "bash {img} {cmd}"]
    datalad.run("datalad", "containers-add", "normvol", "--url", image, *call, cwd=clone)
    datalad.script(block(repository, "containers-run"), clone)
    assert (clone / "derivatives" / "normvol" / "sub-02.html").exists()
    assert '"extra_inputs"' in datalad.run("git", "log", "-1", "--format=%B", cwd=clone)
    assert datalad.run("git", "status", "--porcelain", cwd=clone) == ""
