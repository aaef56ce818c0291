"""The tables of the demonstration study: a spreadsheet as studies keep it, and the same as BIDS wants it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.names import participant_id, session_id
from bids_app.simulation.demo import PARTICIPANT_COLUMNS
from bids_app.simulation.demo_people import PATIENT
from bids_app.simulation.study_people import EDSS_PER_SEVERITY, PASAT_PER_SEVERITY, RISE, SDMT_PER_SEVERITY, StudyPerson
from bids_app.tables import atomic_write, write_json, write_tsv
from bids_app.tsv import FLOAT_FORMAT

DAYS = 365.25
HALF_YEAR = 0.5
INVENTED = "(invented)"
# Column of the spreadsheet, and of which phenotype table it becomes which column
SPREADSHEET = {
    "Subject": "participant_id",
    "Visit": "session_id",
    "Date of visit": "visit_date",
    "Age at visit": "age",
    "Sex": "sex",
    "Diagnosis": "group",
    "Scanner": "site",
    "EDSS": "edss",
    "PASAT-3": "pasat",
    "SDMT": "sdmt",
    "FSS": "fss",
    "Relapses since last visit": "relapses",
    "Disease duration": "disease_duration",
    "Treatment": "treatment",
}
PHENOTYPES = {
    "edss": {"edss": {"Description": f"Expanded Disability Status Scale, 0 to 10 {INVENTED}"}},
    "cognition": {
        "pasat": {"Description": f"Paced Auditory Serial Addition Test, correct answers of 60 {INVENTED}"},
        "sdmt": {"Description": f"Symbol Digit Modalities Test, correct answers {INVENTED}"},
    },
    "fatigue": {"fss": {"Description": f"Fatigue Severity Scale, 1 to 7 {INVENTED}"}},
    "disease": {
        "disease_duration": {"Description": f"Years since the first symptom {INVENTED}", "Units": "years"},
        "relapses": {"Description": f"Relapses since the visit before, or in the year before the first {INVENTED}"},
        "treatment": {"Description": f"Treatment {INVENTED}", "Levels": {"none": "none", "high": "of high efficacy"}},
    },
}
KEYS = ["participant_id", "session_id"]
SESSION_COLUMNS = {
    "session_id": {"Description": "Visit; those with c in front were without a scan"},
    "acq_time": {"Description": f"Date of the visit {INVENTED}"},
    "age": {"Description": "Age at the visit", "Units": "years"},
}


def write_study_tables(root: Path, people: Sequence[StudyPerson], rng: np.random.Generator) -> None:
    """Write the spreadsheet, participants.tsv, every sessions.tsv and the phenotype tables."""
    visits = pd.DataFrame([row for one in people for row in _visits(one, rng)])
    text = visits.rename(columns={new: old for old, new in SPREADSHEET.items()})
    text = text.assign(Subject=[label.removeprefix("sub-") for label in text["Subject"]])
    text = text.assign(Visit=[label.removeprefix("ses-") for label in text["Visit"]])
    atomic_write(
        root / "sourcedata" / "study.csv", text.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n")
    )
    first = visits.drop_duplicates("participant_id")
    write_tsv(first[["participant_id", "age", "sex", "group", "site"]], root / "participants.tsv", PARTICIPANT_COLUMNS)
    for label, rows in visits.groupby("participant_id"):
        sessions = rows.rename(columns={"visit_date": "acq_time"})[list(SESSION_COLUMNS)]
        write_tsv(sessions, root / str(label) / f"{label}_sessions.tsv")
    write_json(SESSION_COLUMNS, root / "sessions.json")
    patients = visits[visits["group"] == PATIENT]
    for name, columns in PHENOTYPES.items():
        table = patients[[*KEYS, *columns]].dropna(subset=list(columns), how="all")
        keys = {key: {"Description": f"Label of the {word}"} for key, word in zip(KEYS, ("person", "visit"))}
        write_tsv(table, root / "phenotype" / f"{name}.tsv", {**keys, **columns})


def _visits(one: StudyPerson, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Scans, and of patients the visits to the clinic between and a year after them, in order of time."""
    person, last = one.person, one.visits[-1]
    patient = person.group == PATIENT
    between = np.arange(HALF_YEAR, last + 1.01, HALF_YEAR) if patient else np.array([])
    clinic = [float(t) for t in between if min(abs(t - scan) for scan in one.visits) > HALF_YEAR / 2]
    rows = [(t, str(i + 1), True) for i, t in enumerate(one.visits)]
    rows += [(t, f"c{i + 1}", False) for i, t in enumerate(clinic)]
    rising = float(rng.uniform(0.3, max(0.5, last * 0.7)))
    base = 1.0 + EDSS_PER_SEVERITY * one.severity + rng.normal(0, 0.5)
    scores = {
        "pasat": 52 + PASAT_PER_SEVERITY * one.severity,
        "sdmt": 58 + SDMT_PER_SEVERITY * one.severity,
        "fss": float(rng.normal(4.2, 1.1)),
    }
    treatment = "high" if rng.random() < 0.5 else "none"
    found = []
    for years, label, scanned in sorted(rows):
        noise = rng.normal(size=4)
        relapses = int(rng.poisson(0.3 + 0.15 * one.severity)) if patient else None
        row = {
            "participant_id": participant_id(person.label),
            "session_id": session_id(label),
            "visit_date": (one.start + timedelta(round(years * DAYS))).isoformat(),
            "age": round(person.age + years, 2),
            "sex": person.sex[0].upper(),
            "group": person.group,
            "site": person.site,
        }
        rise = RISE if one.progresses and years >= rising else 0.0
        row["edss"] = _half_points(base + rise + 0.15 * noise[0]) if patient else None
        for index, (name, low, high) in enumerate((("pasat", 0, 60), ("sdmt", 0, 90)), 1):
            value = round(float(np.clip(scores[name] + 3 * noise[index], low, high)))
            row[name] = value if patient and scanned else None
        row["fss"] = round(float(np.clip(scores["fss"] + 0.3 * noise[3], 1, 7)), 1) if patient and scanned else None
        row["relapses"] = relapses
        row["disease_duration"] = None if person.duration is None else round(person.duration + years, 2)
        row["treatment"] = treatment if patient else None
        found.append(row)
    return found


def _half_points(value: float) -> float:
    """The nearest step of the EDSS, which has no 0.5 and ends at 9.5 for the living."""
    step = round(2 * float(np.clip(value, 0, 9.5))) / 2
    return 1.0 if step == 0.5 else step
