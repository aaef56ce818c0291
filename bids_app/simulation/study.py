"""The study of ``normvol-demo --study``: 60 patients with one to four visits and 25 controls on two scanners.

Everybody is invented. Effects are planted on purpose, of known size, and listed in ``sourcedata/planted.tsv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.bids.names import participant_id, session_id
from bids_app.normative.base import NormativeModel
from bids_app.regions import ETIV
from bids_app.simulation.correlated import correlated_z
from bids_app.simulation.courses import FEWER_POINTS, LONGER, PER_BURDEN, PIRA, RAW, RELAPSE, Courses
from bids_app.simulation.demo import FS_VERSION, SCAN_NOISE, SYNTHETIC, write_about, write_scan, written_regions
from bids_app.simulation.study_people import (
    EDSS_PER_SEVERITY,
    INCOMPLETE,
    PASAT_PER_SEVERITY,
    SDMT_PER_SEVERITY,
    SITES,
    StudyPerson,
    invent_people,
    study_courses,
)
from bids_app.simulation.study_tables import write_study_tables
from bids_app.tables import write_tsv

CORTEX = "other cortical regions"
# z per unit of severity (patients' mean 1) at onset of the study, and z a year of those who progress
EFFECT = {
    "Thalamus": -2.1,
    "Putamen": -0.9,
    "Pallidum": -0.8,
    "Hippocampus": -0.7,
    "Lateral-Ventricle": 1.0,
    "precentral": -1.2,
    CORTEX: -1.0,
}
PER_YEAR = {"Thalamus": -0.25, "Putamen": -0.15, "Lateral-Ventricle": 0.2, "precentral": -0.12}
STABLE_SHARE = 0.2  # of PER_YEAR in those who do not progress
SITE_SHIFT, SITE_SPREAD = 0.35, 0.2
# Beyond this z some models' volumes are not positive
FARTHEST = 4.5


def make_study(folder: Path | str, model: NormativeModel, seed: int = 8) -> Path:
    """Write the study into `folder` and return that. Same model and seed, same bytes.

    Parameters
    ----------
    folder : path-like
        Root of the BIDS dataset; created.
    model : NormativeModel
        Whose volumes are written, so that every scan's true z is known (``sourcedata/truth.tsv``).
    seed : int
    """
    root, rng = Path(folder), np.random.default_rng(seed)
    people = invent_people(rng)
    regions = written_regions(model)
    z = _true_z(people, regions, rng)
    scans = [(one, visit) for one in people for visit in range(len(one.visits))]
    data = pd.DataFrame(
        {
            "age": [round(one.person.age + one.visits[visit], 2) for one, visit in scans],
            "sex": [one.person.sex for one, _ in scans],
            ETIV: [one.person.etiv_mm3 for one, _ in scans],
            "fs_version": FS_VERSION,
        }
    )
    subjects = root / "derivatives" / "freesurfer"
    volumes = model.volumes_at(data, z, regions)
    for (one, visit), row in zip(scans, volumes, strict=True):
        write_scan(root, subjects, one.person, visit, dict(zip(regions, map(float, row), strict=True)))
    courses = study_courses(people)
    write_study_tables(root, people, courses, rng)
    _write_truth(root, scans, regions, z)
    write_tsv(planted(courses), root / "sourcedata" / "planted.tsv", PLANTED_COLUMNS)
    write_about(root, subjects, README.format(synthetic=SYNTHETIC, model=model.card.name, left_out=INCOMPLETE))
    return root


def _true_z(people: Sequence[StudyPerson], regions: tuple[str, ...], rng: np.random.Generator) -> FloatArray:
    """z of every scan (rows, people in order) and region: own, noise, scanner, and what is planted."""
    own = correlated_z(len(people), regions, rng)
    shift = rng.normal(SITE_SHIFT, SITE_SPREAD, len(regions))
    effect, slope = (np.array([_of(region, table) for region in regions]) for table in (EFFECT, PER_YEAR))
    rows = []
    for one, base in zip(people, own, strict=True):
        speed = one.severity and (1.0 if one.progresses else STABLE_SHARE)
        for years in one.visits:
            planted_here = one.severity * effect + speed * years * slope
            rows.append(base + shift * (one.person.site == SITES[1]) + planted_here)
    z = np.array(rows)
    noisy = z + SCAN_NOISE * rng.standard_normal(z.shape)
    return np.asarray(noisy.clip(-FARTHEST, FARTHEST).round(4))


def _of(region: str, table: dict[str, float]) -> float:
    """The number of the structure that a region's name ends with, either side, or of the cortex; 0 for others."""
    name = region.removesuffix("_volume").removeprefix("lh_").removeprefix("rh_")
    rest = table.get(CORTEX, 0.0) if name != region else 0.0
    return table.get(name.removeprefix("Left-").removeprefix("Right-"), rest)


def _write_truth(root: Path, scans: Sequence[tuple[StudyPerson, int]], regions: tuple[str, ...], z: FloatArray) -> Path:
    """True z, one row per scan and one column per region."""
    keys = {
        "participant_id": [participant_id(one.person.label) for one, _ in scans],
        "session_id": [session_id(str(visit + 1)) for _, visit in scans],
        "severity": [round(one.severity, 4) for one, _ in scans],
        "progresses": [one.progresses for one, _ in scans],
    }
    table = pd.concat([pd.DataFrame(keys), pd.DataFrame(z, columns=list(regions))], axis=1)
    words = {region: {"Description": f"z that the volume of {region} was made with"} for region in regions}
    return write_tsv(table, root / "sourcedata" / "truth.tsv", {**TRUTH_COLUMNS, **words})


def planted(courses: Courses) -> pd.DataFrame:
    """What was planted: the effect, on whom, how large, and which result shows it.

    Parameters
    ----------
    courses : Courses

    Returns
    -------
    DataFrame
        `PLANTED_COLUMNS`, one row per effect; size in the row's ``unit``.
    """
    changes = "group/group_change_rates.tsv"
    rows = [
        (
            f"z of {name}, both sides",
            "patients, times severity (mean 1)",
            size,
            "z",
            "group/group_region_differences.tsv",
        )
        for name, size in EFFECT.items()
    ]
    rows += [
        (f"change of z of {name}", "patients who progress", size, "z/year", changes) for name, size in PER_YEAR.items()
    ]
    rows += [
        ("change of z of the same regions", "other patients", STABLE_SHARE, "of those", changes),
        ("z of every region", "scanner south", SITE_SHIFT, "z", "group/group_sites.tsv"),
        ("EDSS", "patients, per unit of severity", EDSS_PER_SEVERITY, "points", "group/group_scores_counts.tsv"),
        ("PASAT", "patients, per unit of severity", PASAT_PER_SEVERITY, "points", "group/group_scores_counts.tsv"),
        ("SDMT", "patients, per unit of severity", SDMT_PER_SEVERITY, "points", "group/group_scores_counts.tsv"),
        ("FSS", "nobody", 0.0, "points", "group/group_scores_counts.tsv"),
        ("rise of EDSS at PIRA and RAW", "patients with an event", 1.0, "points", "group/group_progression.tsv"),
        ("9HPT and T25FW at PIRA and RAW", "the same", 100 * LONGER, "%", "group/group_worsening_events.tsv"),
        ("SDMT at PIRA and RAW", "the same", -FEWER_POINTS, "points", "group/group_worsening_events.tsv"),
        ("log of the volume of lesions", "patients, per unit of severity", PER_BURDEN, "log mm^3", "group_long.tsv"),
    ]
    scanned = courses.truth["participant_id"] != participant_id(INCOMPLETE)
    counts = courses.truth.loc[scanned, "event_type"].value_counts().to_dict()
    rows += [
        (kind, f"patients but sub-{INCOMPLETE}; who and when: events.tsv", counts[kind], "events", shown)
        for kind, shown in (
            (PIRA, "group/group_worsening_events.tsv"),
            (RAW, "group/group_worsening_events.tsv"),
            (RELAPSE, "group/group_relapse_people.tsv"),
        )
    ]
    return pd.DataFrame(rows, columns=list(PLANTED_COLUMNS))


PLANTED_COLUMNS = {
    "effect": {"Description": "What was changed"},
    "people": {"Description": "In whom"},
    "size": {"Description": "By how much, in unit"},
    "unit": {"Description": "Unit of size"},
    "shown_in": {"Description": "Result of the group level that should show it"},
}
TRUTH_COLUMNS = {
    "participant_id": {"Description": "Label of the person"},
    "session_id": {"Description": "Label of the session"},
    "severity": {"Description": "Size of the planted disease, 0 in controls"},
    "progresses": {"Description": "Whether PIRA was planted: EDSS rises for good without a relapse"},
}
README = """# normvol demonstration study

**{synthetic}.** 60 invented patients with one to four visits and 25 invented controls on two scanners. Their FreeSurfer
trees (derivatives/freesurfer) hold volumes that normvol computed from its own model {model}. Do not analyse it as if it
were data: it lets you walk a whole study and compare every result with a known truth.

* `sourcedata/study.csv`: the spreadsheet that a study would start from, one row per visit
* `phenotype/`: the same as BIDS wants it
* `sourcedata/planted.tsv`: every effect that was planted, its size, and the result that should show it
* `sourcedata/events.tsv`: every planted PIRA, relapse-associated worsening (RAW) and relapse that recovers
* `sourcedata/truth.tsv`: the z that every volume was made with

The FreeSurfer run of sub-{left_out} is incomplete on purpose, to show how a scan that cannot be scored is reported.
"""
