"""Platforms' own programs, and a small dataset with sessions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bids_app.freesurfer.synthetic import write_subject

NORMVOL = Path(sys.executable).parent
AGES = {("01", "1"): 34.0, ("01", "2"): 36.5, ("02", "1"): 51.0}


@dataclass(frozen=True)
class Programs:
    """A virtual environment of `.ci/platforms`, its programs first on PATH, then normvol's."""

    bin: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "SLURM"))}
        path = os.pathsep.join([str(self.bin), os.environ["PATH"], str(NORMVOL)])
        who = {f"GIT_{role}_{key}": f"{value}" for role in ("AUTHOR", "COMMITTER") for key, value in PERSON.items()}
        return kept | who | {"PATH": path, "HOME": str(self.home), "OMP_NUM_THREADS": "1"}

    def script(self, lines: str, cwd: Path, **more: str | Path) -> str:
        """Run lines of the documentation, each of which must succeed."""
        return self.run(
            "bash", "-euo", "pipefail", "-c", lines, cwd=cwd, **{key: str(value) for key, value in more.items()}
        )

    def run(self, *words: str | Path, cwd: Path, code: int | None = 0, **more: str) -> str:
        """Run a program; what it said."""
        words = [str(word) for word in words]
        done = subprocess.run(
            words, cwd=cwd, env=self.environment | more, capture_output=True, text=True, check=False, timeout=600
        )
        said = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{words} ended with {done.returncode}\n{said}"
        return said


def block(repository: Path, name: str) -> str:
    """The lines of docs/platforms.md under the mark ``<!-- test: NAME -->``."""
    page = (repository / "docs" / "platforms.md").read_text()
    (found,) = re.findall(rf"^<!-- test: {name} -->\n```sh\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    return found


PERSON = {"NAME": "test", "EMAIL": "test@example.org"}


def programs(repository: Path, home: Path, environment: str, program: str) -> Programs:
    folder = Path(os.environ.get("NORMVOL_PLATFORMS", repository / ".venv-platforms")) / environment / "bin"
    if not (folder / program).exists():
        pytest.skip(f"{program} is not here: bash .ci/platforms, or its folder in NORMVOL_PLATFORMS")
    return Programs(folder, home)


@pytest.fixture
def datalad(repository, tmp_path):
    """DataLad, its containers, git-annex and BABS."""
    (tmp_path / "home").mkdir()
    return programs(repository, tmp_path / "home", "babs", "datalad")


@pytest.fixture
def nipoppy(repository, tmp_path):
    (tmp_path / "home").mkdir()
    return programs(repository, tmp_path / "home", "nipoppy", "nipoppy")


def write_raw(folder: Path) -> Path:
    """A raw BIDS dataset of two people, one with two sessions; images are of no use."""
    (folder / "sub-01").mkdir(parents=True)
    text = {"Name": "two people", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(text))
    rows = [f"sub-{person}\tses-{session}\t{age}\tF" for (person, session), age in AGES.items()]
    (folder / "participants.tsv").write_text("\n".join(["participant_id\tsession_id\tage\tsex", *rows, ""]))
    for person, session in AGES:
        image = folder / f"sub-{person}" / f"ses-{session}" / "anat" / f"sub-{person}_ses-{session}_T1w.nii.gz"
        image.parent.mkdir(parents=True)
        image.write_bytes(b"not read")
    return folder


def write_tree(subjects: Path, person: str, session: str) -> Path:
    return write_subject(subjects / f"sub-{person}_ses-{session}", {"Left-Thalamus": 6500.0}, etiv=1.5e6)
