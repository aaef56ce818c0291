"""The demo dataset: a small synthetic BIDS dataset with FreeSurfer trees made from the model itself.

Nobody in it is real; the deviations are planted, so that what normvol finds can be compared with the truth.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app import __version__
from bids_app.bids.names import participant_id, scan_name, session_id
from bids_app.freesurfer.synthetic import write_subject
from bids_app.normative.base import NormativeModel
from bids_app.regions import ASYMMETRY_PREFIX, ETIV, region_table
from bids_app.simulation.correlated import correlated_z
from bids_app.simulation.demo_people import PEOPLE, YEARS, DemoPerson
from bids_app.tables import atomic_write, write_json, write_tsv

FS_VERSION = "7.4.1"
SYNTHETIC = "SYNTHETIC data, no person was measured"
# Standard deviation of z between two scans of one person, of the order of FreeSurfer's repeatability
SCAN_NOISE = 0.15
_WHITE_MATTER = ("lhCerebralWhiteMatterVol", "rhCerebralWhiteMatterVol")


@dataclass(frozen=True)
class DemoPaths:
    """Where the demo dataset is: its root, its FreeSurfer subjects, the planted truth; and who is in it."""

    bids_dir: Path
    fs_subjects_dir: Path
    truth: Path
    participants: tuple[str, ...]
    incomplete: tuple[str, ...]


def make_demo(folder: Path | str, model: NormativeModel, seed: int = 20340) -> DemoPaths:
    """Write the demo dataset into `folder`. Same model and seed, same bytes.

    Twelve invented people (six patients, six controls, 8 to 80 years, three with three sessions). The
    volumes of each scan are those that `model` gives the z-scores in ``sourcedata/truth.tsv``; one person's
    FreeSurfer run is incomplete on purpose.

    Parameters
    ----------
    folder : path-like
        Root of the BIDS dataset; created.
    model : NormativeModel
    seed : int
        Of the deviations that are not planted. The default was chosen among 500 so that nobody has many by chance.
    """
    root = Path(folder)
    subjects = root / "derivatives" / "freesurfer"
    scans = _scans(PEOPLE)
    regions = written_regions(model)
    z = _true_z(scans, regions, seed)
    data = pd.DataFrame(
        {
            "age": [age for *_, age in scans],
            "sex": [person.sex for person, *_ in scans],
            ETIV: [person.etiv_mm3 for person, *_ in scans],
            "fs_version": FS_VERSION,
        }
    )
    volumes = model.volumes_at(data, z, regions)
    for (person, session, _), row in zip(scans, volumes, strict=True):
        write_scan(root, subjects, person, session, dict(zip(regions, map(float, row), strict=True)))
    _write_tables(root, scans)
    truth = _write_truth(root, scans, regions, z)
    write_about(root, subjects, _readme(model))
    return DemoPaths(
        root,
        subjects,
        truth,
        tuple(person.label for person in PEOPLE),
        tuple(person.label for person in PEOPLE if person.incomplete),
    )


ScanOf = tuple[DemoPerson, int, float]


def _scans(people: Sequence[DemoPerson]) -> list[ScanOf]:
    """Person, index of the session and age, one per scan."""
    return [
        (person, index, round(person.age + YEARS[index], 1)) for person in people for index in range(person.n_sessions)
    ]


def written_regions(model: NormativeModel) -> tuple[str, ...]:
    """Modelled regions that a tree can hold independently; global measures are the sums of their parts."""
    atlas = region_table()["atlas"]
    return tuple(
        name
        for name in model.regions
        if name in _WHITE_MATTER or (not name.startswith(ASYMMETRY_PREFIX) and atlas.get(name, "global") != "global")
    )


def _true_z(scans: Sequence[ScanOf], regions: tuple[str, ...], seed: int) -> np.ndarray:
    """z of every scan (rows) and region: the person's own, scan noise, and the planted deviations."""
    rng = np.random.default_rng(seed)
    people = list(dict.fromkeys(person.label for person, *_ in scans))
    own = correlated_z(len(people), regions, rng)
    z = own[[people.index(person.label) for person, *_ in scans]]
    z += SCAN_NOISE * rng.standard_normal(z.shape)
    for row, (person, index, _) in enumerate(scans):
        for region, (first, per_year) in person.planted.items():
            if region in regions:
                z[row, regions.index(region)] = first + per_year * YEARS[index]
    return z.round(4)


def write_scan(root: Path, subjects: Path, person: DemoPerson, index: int, volumes: dict[str, float]) -> None:
    """Write the image and the FreeSurfer tree of one scan."""
    label, session = person.label, str(index + 1)
    name = scan_name(label, session)
    folder = write_subject(subjects / name, volumes, etiv=person.etiv_mm3, fs_version=FS_VERSION)
    if person.incomplete:
        (folder / "stats" / "rh.aparc.stats").unlink()
        (folder / "scripts" / "recon-all.done").unlink()
        atomic_write(
            folder / "scripts" / "recon-all.error",
            f"# {SYNTHETIC}: this run is incomplete on purpose\nSUBJECT {name}\nCMD mris_anatomical_stats\n",
        )
    anat = root / participant_id(label) / f"ses-{session}" / "anat"
    atomic_write(anat / f"{name}_T1w.nii.gz", _tiny_image())
    write_json(
        {"Modality": "MR", "ImageComments": SYNTHETIC, "Manufacturer": "none", "MagneticFieldStrength": 3},
        anat / f"{name}_T1w.json",
    )


def _tiny_image() -> bytes:
    """An 8 x 8 x 8 ball, gzipped without a date."""
    import nibabel as nib

    grid = np.indices((8, 8, 8)) - 3.5
    ball = (100 * ((grid**2).sum(axis=0) < 12)).astype(np.int16)
    image = nib.Nifti1Image(ball, np.diag([20.0, 20.0, 20.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    return gzip.compress(image.to_bytes(), mtime=0)


def _write_tables(root: Path, scans: Sequence[ScanOf]) -> None:
    people = pd.DataFrame(
        [
            {
                "participant_id": participant_id(person.label),
                "age": person.age,
                "sex": person.sex[0].upper(),
                "group": person.group,
                "site": person.site,
            }
            for person in PEOPLE
        ]
    )
    write_tsv(people, root / "participants.tsv", PARTICIPANT_COLUMNS)
    sessions = pd.DataFrame([_session_row(*scan) for scan in scans])
    for label, rows in sessions.groupby("label"):
        path = root / participant_id(str(label)) / f"{participant_id(str(label))}_sessions.tsv"
        write_tsv(rows.drop(columns="label"), path)
    write_json(SESSION_COLUMNS, root / "sessions.json")


def _session_row(person: DemoPerson, index: int, age: float) -> dict[str, Any]:
    row = {"label": person.label, "session_id": session_id(str(index + 1)), "age": age}
    for name in ("edss", "pasat", "fss", "relapses"):
        scores = getattr(person, name)
        row[name] = scores[index] if scores else None
    row["disease_duration"] = None if person.duration is None else person.duration + YEARS[index]
    return row


def _write_truth(root: Path, scans: Sequence[ScanOf], regions: tuple[str, ...], z: np.ndarray) -> Path:
    """Long table of what every scan should score."""
    blocks = [
        pd.DataFrame(
            {
                "participant_id": participant_id(person.label),
                "session_id": session_id(str(index + 1)),
                "region": regions,
                "z": row,
                "planted": [name in person.planted for name in regions],
            }
        )
        for (person, index, _), row in zip(scans, z, strict=True)
    ]
    return write_tsv(pd.concat(blocks, ignore_index=True), root / "sourcedata" / "truth.tsv", TRUTH_COLUMNS)


def write_about(root: Path, subjects: Path, readme: str) -> None:
    """Write what a BIDS dataset says about itself; FreeSurfer's folders are none, so they only get a README."""
    maker = [{"Name": "normvol-demo", "Version": __version__, "Description": SYNTHETIC}]
    write_json(
        {
            "Name": f"normvol demonstration: {SYNTHETIC}",
            "BIDSVersion": "1.10.0",
            "DatasetType": "raw",
            "License": "CC0",
            "Authors": ["The normvol developers"],
            "GeneratedBy": maker,
        },
        root / "dataset_description.json",
    )
    atomic_write(subjects / "README.md", f"# FreeSurfer trees of the normvol demonstration\n\n**{SYNTHETIC}.**\n")
    atomic_write(root / "README.md", readme)


def _readme(model: NormativeModel) -> str:
    planted = "\n".join(_planted_line(person) for person in PEOPLE if person.planted)
    left_out = ", ".join(f"sub-{person.label}" for person in PEOPLE if person.incomplete)
    return README.format(
        version=__version__, model=model.card.name, planted=planted, left_out=left_out, synthetic=SYNTHETIC
    )


def _planted_line(person: DemoPerson) -> str:
    words = [
        f"{region} {first:g}" + (f", {slope:+g} a year" if slope else "")
        for region, (first, slope) in person.planted.items()
    ]
    return f"* {participant_id(person.label)} ({person.group}): {'; '.join(words)}"


PARTICIPANT_COLUMNS = {
    "participant_id": {"Description": f"Label ({SYNTHETIC})"},
    "age": {"Description": "Age at the first session", "Units": "years"},
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "group": {
        "Description": "Invented diagnosis",
        "Levels": {"patient": "as if with multiple sclerosis", "control": "as if healthy"},
    },
    "site": {"Description": "Invented scanner", "Levels": {"north": "one scanner", "south": "another scanner"}},
}
SESSION_COLUMNS = {
    "session_id": {"Description": f"Label of the session ({SYNTHETIC})"},
    "age": {"Description": "Age at the session", "Units": "years"},
    "edss": {"Description": "Expanded Disability Status Scale, 0 to 10 (invented)"},
    "pasat": {"Description": "Paced Auditory Serial Addition Test, correct answers of 60 (invented)"},
    "fss": {"Description": "Fatigue Severity Scale, 1 to 7 (invented)"},
    "relapses": {"Description": "Relapses since the session before, or in the year before the first (invented)"},
    "disease_duration": {"Description": "Years since the first symptom (invented)", "Units": "years"},
}
TRUTH_COLUMNS = {
    "participant_id": {"Description": "Label of the person"},
    "session_id": {"Description": "Label of the session"},
    "region": {"Description": "Name of the region, as FreeSurfer writes it"},
    "z": {"Description": "Deviation that the volume was generated with"},
    "planted": {
        "Description": "How z was chosen",
        "Levels": {"True": "planted, see README.md", "False": "drawn as in healthy people"},
    },
}
README = """# normvol demonstration dataset

**{synthetic}.** Twelve invented people; their images are balls in 8 x 8 x 8 voxels, and their FreeSurfer trees
(derivatives/freesurfer) hold volumes that normvol {version} computed from its own model {model}. Do not analyse
it as if it were data: it shows what the software does and lets you compare its output with a known truth.

`sourcedata/truth.tsv` lists the z-score that every region of every scan was generated with. Most were drawn as in
healthy people (with a seed that gives nobody many deviations by chance); these were planted (z at the first session):

{planted}

The FreeSurfer run of {left_out} is incomplete on purpose, to show how a scan that cannot be scored is reported.
"""
