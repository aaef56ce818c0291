"""BABS: the configurations are taken by `babs init`, and the job that it writes gives the outputs as a zip file."""

from __future__ import annotations

import shutil
import zipfile

import pytest
import yaml

from bids_app import __version__
from tests.platforms.conftest import AGES, block, write_raw, write_tree

LEVELS = ("session", "subject")
NAME = f"normvol-{__version__.replace('.', '-')}"

# Stands for the program that is not here: it lets the "image" be a file and runs the command on this machine.
SINGULARITY = """#!/bin/bash
[ "$1" = run ] && shift
while [ $# -gt 0 ] && [ "${1##*/}" != image ]; do shift; done
shift
exec normvol "$@"
"""


def configuration(repository, level):
    return yaml.safe_load((repository / "platforms" / "babs" / f"{level}.yaml").read_text())


def zip_trees(folder, level):
    """FreeSurfer output as BABS leaves it: one zip file per job."""
    folder.mkdir()
    groups = {}
    for person, session in AGES:
        groups.setdefault((person, session) if level == "session" else (person,), []).append((person, session))
    for key, scans in groups.items():
        name = f"sub-{key[0]}" + (f"_ses-{key[1]}" if len(key) > 1 else "")
        subjects = folder / "freesurfer"
        for scan in scans:
            write_tree(subjects, *scan)
        with zipfile.ZipFile(folder / f"{name}_freesurfer-7-4-1.zip", "w") as archive:
            for path in sorted(subjects.rglob("*")):
                archive.write(path, path.relative_to(folder))
        shutil.rmtree(subjects)
    return folder


def as_dataset(datalad, folder):
    datalad.run("datalad", "create", "--force", folder, cwd=folder)
    datalad.run("datalad", "save", "-d", folder, "-m", "all", cwd=folder)


@pytest.mark.parametrize("level", LEVELS)
def test_the_configuration_names_this_version_and_the_scan_it_is_for(repository, level):
    content = configuration(repository, level)
    assert content["zip_foldernames"] == {"normvol": __version__.replace(".", "-")}
    assert ("$SESSION_SELECTION_FLAG" in content["bids_app_args"]) == (level == "session")
    assert all(isinstance(value, str) for value in content["bids_app_args"].values())


@pytest.mark.slow
@pytest.mark.parametrize("level", ["session", pytest.param("subject", marks=pytest.mark.campaign)])
def test_a_job_of_babs_leaves_a_zip_file_of_one_scan_or_person(repository, datalad, tmp_path, level):
    if not (datalad.bin / "babs").exists() or not shutil.which("7z"):
        pytest.skip("babs or 7z is not here")
    raw, zips = write_raw(tmp_path / "raw"), zip_trees(tmp_path / "zips", level)
    containers = tmp_path / "containers"
    containers.mkdir()
    (tmp_path / "image.sif").write_text("no image")
    for folder in (raw, zips, containers):
        as_dataset(datalad, folder)
    datalad.run("datalad", "containers-add", "-d", containers, "--url", tmp_path / "image.sif", NAME, cwd=containers)
    content = configuration(repository, level)
    content["input_datasets"]["BIDS"]["origin_url"] = str(raw)
    content["input_datasets"]["freesurfer"]["origin_url"] = str(zips)
    content["imported_files"][0]["original_path"] = str(raw / "participants.tsv")
    content["job_compute_space"] = str(tmp_path)
    (tmp_path / f"{level}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "singularity").write_text(SINGULARITY)
    (tmp_path / "stub" / "singularity").chmod(0o755)

    project = tmp_path / "project"
    lines = block(repository, "babs").replace("session", level)
    datalad.script(lines, tmp_path, PROJECT=project, CONTAINERS=containers)
    script = (project / "analysis" / "code" / f"{NAME}_zip.sh").read_text()
    assert '--participant-label "${subid}"' in script
    assert ("--session-label $sesid" in script) == (level == "session")

    listed = project / "analysis" / "code" / "processing_inclusion.csv"
    jobs = len(listed.read_text().splitlines()) - 1
    assert jobs == (3 if level == "session" else 2)
    (store,) = [
        path for path in (project / "output_ria").glob("*/*") if path.parent.name not in ("alias", "error_logs")
    ]
    source = f"ria+file://{project}/input_ria#{(store.parent.name + store.name)}"
    for number in range(1, jobs + 1):
        datalad.run(
            "bash",
            project / "analysis" / "code" / "participant_job.sh",
            source,
            store,
            listed,
            cwd=tmp_path,
            PATH=f"{tmp_path / 'stub'}:{datalad.environment['PATH']}",
            SLURM_ARRAY_TASK_ID=str(number),
            SLURM_ARRAY_JOB_ID="7",
            DSLOCKFILE=str(tmp_path / "lock"),
        )
    datalad.script(block(repository, "babs-results"), tmp_path, PROJECT=project, BIDS=raw)
    names = [path.name for path in (tmp_path / "results").glob("*.zip")]
    assert len(names) == jobs
    for name in names:
        with zipfile.ZipFile(tmp_path / "results" / name) as archive:
            assert {path.split("/")[0] for path in archive.namelist()} == {"normvol"}
    out = tmp_path / "normvol-all" / "normvol"
    assert len((out / "group_deviations.tsv").read_text().splitlines()) == 1 + len(AGES)
