"""The tables of the demonstration study: a spreadsheet as studies keep it, and the same as BIDS wants it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import DAYS_PER_YEAR
from bids_app.bids.names import participant_id, session_id
from bids_app.simulation.courses import COLUMNS, INTERVAL, Courses, plant_lesions
from bids_app.simulation.demo import PARTICIPANT_COLUMNS
from bids_app.simulation.demo_people import PATIENT
from bids_app.simulation.study_people import CLINIC_YEARS, PASAT_PER_SEVERITY, StudyPerson
from bids_app.tables import atomic_write, write_json, write_tsv
from bids_app.tsv import FLOAT_FORMAT

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
    "9HPT": "nhpt",
    "T25FW": "t25fw",
    "PASAT-3": "pasat",
    "SDMT": "sdmt",
    "FSS": "fss",
    "Relapses since last visit": "relapses",
    "Disease duration": "disease_duration",
    "Treatment": "treatment",
}
PHENOTYPES: dict[str, dict[str, dict[str, Any]]] = {
    "edss": {"edss": {"Description": f"Expanded Disability Status Scale, 0 to 10 {INVENTED}"}},
    "motor": {
        "nhpt": {"Description": f"9-hole peg test {INVENTED}", "Units": "s"},
        "t25fw": {"Description": f"Timed 25-foot walk {INVENTED}", "Units": "s"},
    },
    "cognition": {
        "pasat": {"Description": f"Paced Auditory Serial Addition Test, correct answers of 60 {INVENTED}"},
        "sdmt": {"Description": f"Symbol Digit Modalities Test, correct answers {INVENTED}"},
    },
    "fatigue": {"fss": {"Description": f"Fatigue Severity Scale, 1 to 7 {INVENTED}"}},
    "disease": {
        "disease_duration": {"Description": f"Years since the first symptom {INVENTED}", "Units": "years"},
        "relapses": {"Description": f"Relapses since the visit before {INVENTED}"},
        "treatment": {"Description": f"Treatment {INVENTED}", "Levels": {"none": "none", "high": "of high efficacy"}},
    },
}
LESIONS = {name: dict(COLUMNS[name]) for name in ("lesion_volume", "lesion_count")}
RELAPSES = {"relapse_date": {"Description": f"First day of a relapse, one row per relapse {INVENTED}"}}
KEYS = ["participant_id", "session_id"]
KEY_WORDS = {key: {"Description": f"Label of the {word}"} for key, word in zip(KEYS, ("person", "visit"))}
SESSION_COLUMNS = {
    "session_id": {"Description": "Visit; those with c in front were without a scan"},
    "acq_time": {"Description": f"Date of the visit {INVENTED}"},
    "age": {"Description": "Age at the visit", "Units": "years"},
}


def write_study_tables(root: Path, people: Sequence[StudyPerson], courses: Courses, rng: np.random.Generator) -> None:
    """Write the spreadsheets, participants.tsv, every sessions.tsv, the phenotype tables and the planted events."""
    visits = pd.DataFrame([row for one in people for row in _visits(one, courses, rng)])
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
    sources = {**dict.fromkeys(PHENOTYPES, patients), "lesions": _lesions(people, courses, patients)}
    for name, columns in {**PHENOTYPES, "lesions": LESIONS}.items():
        table = sources[name][[*KEYS, *columns]].dropna(subset=list(columns), how="all")
        write_tsv(table, root / "phenotype" / f"{name}.tsv", {**KEY_WORDS, **columns})
    begun = {participant_id(one.person.label): one.start for one in people}
    dated = [(name, _day(begun[name], years)) for name, years in courses.relapses.to_numpy()]
    relapses = pd.DataFrame(dated, columns=["participant_id", *RELAPSES])
    words = {"participant_id": KEY_WORDS["participant_id"], **RELAPSES}
    write_tsv(relapses, root / "phenotype" / "relapses.tsv", words)
    write_tsv(courses.truth, root / "sourcedata" / "events.tsv", {name: COLUMNS[name] for name in courses.truth})


def _day(start: date, years: float) -> str:
    return (start + timedelta(round(years * DAYS_PER_YEAR))).isoformat()


def _lesions(people: Sequence[StudyPerson], courses: Courses, visits: pd.DataFrame) -> pd.DataFrame:
    """Lesions at the scans of `visits`: their burden is the severity, from its mean."""
    keys = courses.visits[["participant_id", "years_from_first"]]
    lesions = pd.concat(
        [keys, plant_lesions(courses, {one.person.label: one.severity - 1 for one in people})[list(LESIONS)]], axis=1
    )
    scanned = visits.loc[~visits["session_id"].str.startswith("ses-c"), KEYS + ["years"]]
    return scanned.merge(lesions.rename(columns={"years_from_first": "years"}), on=["participant_id", "years"])


def _visits(one: StudyPerson, courses: Courses, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Scans, and of patients the visits to the clinic every half year, in order of time."""
    person = one.person
    patient, name = person.group == PATIENT, participant_id(person.label)
    own = courses.visits[courses.visits["participant_id"] == name].set_index("years_from_first")
    attacks = courses.relapses.loc[courses.relapses["participant_id"] == name, "relapse_years"]
    level = {"pasat": 52 + PASAT_PER_SEVERITY * one.severity, "fss": float(rng.normal(4.2, 1.1))}
    treatment = "high" if rng.random() < 0.5 else "none"
    found, before = [], 0.0
    for years, label in _labelled(one):
        noise = rng.normal(size=2)
        pasat = round(float(np.clip(level["pasat"] + 3 * noise[0], 0, 60)))
        fss = round(float(np.clip(level["fss"] + 0.3 * noise[1], 1, 7)), 1)
        scanned = patient and years in one.visits
        row = {
            "participant_id": name,
            "session_id": session_id(label),
            "years": years,
            "visit_date": _day(one.start, years),
            "age": round(person.age + years, 2),
            "sex": person.sex[0].upper(),
            "group": person.group,
            "site": person.site,
            **{test: float(own.loc[years, test]) if patient else None for test in ("edss", "nhpt", "t25fw")},
            "pasat": pasat if scanned else None,
            "sdmt": float(own.loc[years, "sdmt"]) if patient else None,
            "fss": fss if scanned else None,
            "relapses": int(attacks.between(before, years, inclusive="right").sum()) if patient else None,
            "disease_duration": None if person.duration is None else round(person.duration + years, 2),
            "treatment": treatment if patient else None,
        }
        before = years
        found.append(row)
    return found


def _labelled(one: StudyPerson) -> list[tuple[float, str]]:
    """Years since the first scan and label of each visit, in order of time; those without a scan begin with c."""
    clinic = np.arange(0, CLINIC_YEARS + INTERVAL / 2, INTERVAL) if one.person.group == PATIENT else np.array([])
    without = [float(years) for years in clinic if years not in one.visits]
    rows = [(years, str(i)) for i, years in enumerate(one.visits, 1)]
    return sorted(rows + [(years, f"c{i}") for i, years in enumerate(without, 1)])
