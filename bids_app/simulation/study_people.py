"""The people of the demonstration study: invented; their severity and course are planted and therefore known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from bids_app.bids.names import participant_id
from bids_app.simulation.courses import PIRA, SDMT, Courses, plant_courses
from bids_app.simulation.demo_people import CONTROL, PATIENT, DemoPerson

N_PATIENTS, N_CONTROLS = 60, 25
SITES = ("north", "south")
EDSS_PER_SEVERITY, PASAT_PER_SEVERITY = 1.3, -5.0
SDMT_PER_SEVERITY = SDMT[1] * EDSS_PER_SEVERITY
# The clinic sees patients every half year for so long; chances of an event at a visit that can have one
CLINIC_YEARS = 6.0
RATES = {"PIRA": 0.13, "RAW": 0.08, "relapse": 0.08}
HIGHEST_START = 4.5
INCOMPLETE = "060"
KEYS = ("participant_id", "event_type")


class StudyPerson(NamedTuple):
    """One invented person: `visits` are years since the first scan, `severity` 0 in controls, `edss` that of the first
    visit; `progresses` says whether PIRA was planted."""

    person: DemoPerson
    visits: tuple[float, ...]
    severity: float
    start: date
    edss: float = 0.0
    progresses: bool = False


def invent_people(rng: np.random.Generator) -> list[StudyPerson]:
    """Patients, then controls; the scanners have the same share of both."""
    people = []
    for number in range(1, N_PATIENTS + N_CONTROLS + 1):
        patient = number <= N_PATIENTS
        sex = "female" if rng.random() < (0.68 if patient else 0.6) else "male"
        age = round(float(np.clip(rng.normal(40, 10), 20, 64)), 1)
        etiv = round(float(rng.normal(1.42e6 if sex == "female" else 1.6e6, 9e4)))
        label = f"{number:03d}"
        person = DemoPerson(
            label,
            sex,
            PATIENT if patient else CONTROL,
            age,
            etiv,
            site=SITES[number % 2],
            duration=round(float(rng.gamma(2.0, 4.0)), 1) if patient else None,
            incomplete=label == INCOMPLETE,
        )
        several = int(rng.choice([1, 2, 3, 4], p=[0.1, 0.25, 0.35, 0.3])) if patient else 1 + (number % 5 > 0)
        gaps = rng.choice([1.0, 1.5], several - 1, p=[0.8, 0.2])
        visits = (0.0, *np.cumsum(gaps).tolist())
        severity = float(rng.lognormal(-0.18, 0.6)) if patient else 0.0
        edss = half_points(min(1.0 + EDSS_PER_SEVERITY * severity + rng.normal(0, 0.5), HIGHEST_START))
        people.append(StudyPerson(person, visits, severity, date(2015, 1, 5) + timedelta(int(number * 9)), edss))
    pira = {str(name) for name, kind in study_courses(people).truth[list(KEYS)].to_numpy() if kind == PIRA}
    return [one._replace(progresses=participant_id(one.person.label) in pira) for one in people]


def study_courses(people: Sequence[StudyPerson]) -> Courses:
    """EDSS, tests, relapses and planted events of the patients; more severe people have more PIRA."""
    patients = {one.person.label: one for one in people if one.person.group == PATIENT}
    return plant_courses(
        list(patients),
        CLINIC_YEARS,
        rates=RATES,
        weights={label: one.severity for label, one in patients.items()},
        starts={label: one.edss for label, one in patients.items()},
    )


def half_points(value: float) -> float:
    """The nearest step of the EDSS, which has no 0.5 and ends at 9.5 for the living."""
    step = round(2 * float(np.clip(value, 0, 9.5))) / 2
    return 1.0 if step == 0.5 else step
