"""nipoppy: its own parser takes the pipeline, runs it on a study, and tracks what was done."""

from __future__ import annotations

import json
import shutil

import pytest

from bids_app import __version__
from bids_app.freesurfer.synthetic import write_subject
from tests.platforms.conftest import AGES, block, write_raw

# Stands for the program that is not here: runs what Boutiques wrote on this machine, and not as a login shell.
APPTAINER = """#!/bin/bash
printf '%s\\n' "$*" >> "$(dirname "$0")/words"
verb=$1
[ "$verb" = --version ] && exec echo "apptainer version 1.3.0"
while [ $# -gt 0 ] && [ "${1##*.}" != sif ]; do shift; done
if [ "$verb" = pull ]; then touch "$1"; exit; fi
shift
exec /bin/sh "$@"
"""


@pytest.fixture
def pipeline(repository):
    return repository / "platforms" / "nipoppy"


def test_the_pipeline_names_this_version(pipeline):
    config = json.loads((pipeline / "config.json").read_text())
    assert config["VERSION"] == __version__
    assert [step["ANALYSIS_LEVEL"] for step in config["STEPS"]] == ["participant_session", "group"]
    inputs = {item["id"] for item in json.loads((pipeline / "descriptor.json").read_text())["inputs"]}
    for step in config["STEPS"]:
        assert set(json.loads((pipeline / step["INVOCATION_FILE"]).read_text())) <= inputs


@pytest.mark.slow
def test_a_study_is_processed_session_by_session_and_tracked(repository, nipoppy, tmp_path):
    study = tmp_path / "study"
    raw = write_raw(tmp_path / "raw")
    nipoppy.run("nipoppy", "init", "--study", study, "--bids-source", raw, "--mode", "copy", cwd=tmp_path)
    shutil.copy(raw / "participants.tsv", study / "bids")
    trees = study / "derivatives" / "freesurfer" / "7.4.1" / "output"
    for person, session in AGES:
        write_subject(trees / f"ses-{session}" / f"sub-{person}", {"Left-Thalamus": 6500.0}, etiv=1.5e6)
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "apptainer").write_text(APPTAINER)
    (stub / "apptainer").chmod(0o755)
    path = {"PATH": f"{stub}:{nipoppy.environment['PATH']}"}
    names = path | {"STUDY": study, "NORMVOL": repository, "TREES": trees}
    assert "are all valid" in nipoppy.script(block(repository, "nipoppy"), tmp_path, **names)
    assert f'"FREESURFER_SUBJECTS_DIR": "{trees}"' in (study / "global_config.json").read_text()
    process = ["nipoppy", "process", "--study", study, "--pipeline", "normvol"]
    nipoppy.run(*process, "--participant-id", "01", "--session-id", "2", cwd=tmp_path, **path)
    out = study / "derivatives" / "normvol" / __version__ / "output"
    assert {file.name for file in out.rglob("*desc-deviations_morph.tsv")} == {"sub-01_ses-2_desc-deviations_morph.tsv"}
    assert f"{trees}:{trees}:ro" in (stub / "words").read_text()
    nipoppy.run("nipoppy", "track-processing", "--study", study, "--pipeline", "normvol", cwd=tmp_path)
    tracked = (study / "derivatives" / "processing_status.tsv").read_text().splitlines()
    done = [dict(zip(tracked[0].split("\t"), row.split("\t"))) for row in tracked[1:]]
    assert {(row["participant_id"], row["session_id"], row["status"]) for row in done} == {
        ("01", "1", "FAIL"),
        ("01", "2", "SUCCESS"),
        ("02", "1", "FAIL"),
    }
    nipoppy.script(block(repository, "nipoppy-process"), tmp_path, **names)
    assert len((out / "group_deviations.tsv").read_text().splitlines()) == 1 + len(AGES)
