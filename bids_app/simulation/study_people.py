"""The people of the demonstration study: invented; their severity and course are planted and therefore known."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from bids_app.simulation.demo_people import CONTROL, PATIENT, DemoPerson

N_PATIENTS, N_CONTROLS = 60, 25
SITES = ("north", "south")
EDSS_PER_SEVERITY, PASAT_PER_SEVERITY, SDMT_PER_SEVERITY = 1.6, -5.0, -6.0
RISE = 1.5
INCOMPLETE = "060"


class StudyPerson(NamedTuple):
    """One invented person: `visits` are years since the first scan, `severity` 0 in controls."""

    person: DemoPerson
    visits: tuple[float, ...]
    severity: float
    progresses: bool
    start: date


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
        several = int(rng.choice([1, 2, 3, 4], p=[0.15, 0.25, 0.35, 0.25])) if patient else 1 + (number % 5 == 0)
        gaps = rng.normal(1.1, 0.12, several - 1).round(2)
        visits = (0.0, *np.cumsum(gaps).round(2).tolist())
        severity = float(rng.lognormal(-0.18, 0.6)) if patient else 0.0
        chance = float(rng.random())
        progresses = patient and several > 1 and chance < 0.15 + 0.25 * severity
        people.append(StudyPerson(person, visits, severity, progresses, date(2015, 1, 5) + timedelta(int(number * 9))))
    return people
