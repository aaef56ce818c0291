"""Planted courses of MS: EDSS with relapses, PIRA and relapse-associated worsening, and lesions; the truth is listed.

Nobody in them is real. Visits are half a year apart and steps are just those that count, so that the definition of
Portaccio 2025 (`clinical.stats.worsening`) finds every planted event and nothing else, on EDSS and on each test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import DAYS_PER_YEAR
from bids_app.bids.names import participant_id
from bids_app.tables import write_tsv

PIRA, RAW, RELAPSE = "PIRA", "RAW", "relapse"
INTERVAL = 0.5
# Visits from one planted event to the next: confirmation, recovery and a new baseline all fit between.
SPACING = 4
# A relapse begins so many days before the visit that shows it.
ONSET_DAYS = (5, 25)
# Of PIRA this share is followed by a relapse that leaves nothing: definitions differ on whether it still is PIRA.
FOLLOWED, FOLLOWED_DAYS = 0.25, (60, 145)
STARTS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
HIGHEST = 7.0
# Seconds at no disability and per point of EDSS at the first visit, and points of the SDMT
PEGS, WALK, SDMT = (19.0, 1.2), (4.6, 0.9), (60.0, -3.0)
# What an event that stays adds: a share of the seconds, and points; people differ by these standard deviations
LONGER, FEWER_POINTS = 0.25, 5
SECONDS_SD, POINTS_SD = 0.1, 3.0
LOG_VOLUME, LOG_VOLUME_SD, PER_BURDEN, PER_YEAR, PER_RELAPSE = 7.6, 0.6, 0.8, 0.05, 0.15
MEAN_LESION_MM3 = 180.0
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "participant_id": {"Description": "Label of the invented person"},
    "session_id": {"Description": "Label of the visit"},
    "years_from_first": {"Description": "Years since the first visit", "Units": "years"},
    "edss": {"Description": "Expanded Disability Status Scale"},
    "nhpt": {"Description": "9-hole peg test", "Units": "s"},
    "t25fw": {"Description": "Timed 25-foot walk", "Units": "s"},
    "sdmt": {"Description": "Symbol Digit Modalities Test"},
    "relapse_years": {"Description": "Years from the first visit to the onset of a relapse", "Units": "years"},
    "lesion_volume": {"Description": "Volume of the lesions", "Units": "mm^3"},
    "lesion_count": {"Description": "Number of lesions"},
    "event_type": {"Description": "Planted event: PIRA, RAW, or a relapse that recovers"},
    "time": {"Description": "Years from the first visit to the visit that first shows it", "Units": "years"},
    "edss_from": {"Description": "EDSS before"},
    "edss_to": {"Description": "EDSS after"},
}


@dataclass(frozen=True)
class Courses:
    """Planted courses.

    Parameters
    ----------
    visits : DataFrame
        ``participant_id session_id years_from_first edss nhpt t25fw sdmt``, one row per visit.
    relapses : DataFrame
        ``participant_id relapse_years``, one row per relapse.
    truth : DataFrame
        ``participant_id event_type time edss_from edss_to``, one row per planted event.
    """

    visits: pd.DataFrame
    relapses: pd.DataFrame
    truth: pd.DataFrame


def plant_courses(
    labels: Sequence[str],
    years: float = 5.0,
    *,
    rates: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    starts: Mapping[str, float] | None = None,
    seed: int = 1,
) -> Courses:
    """Courses of some people with MS. Same arguments, same courses.

    Parameters
    ----------
    labels : sequence of str
        People, without prefix.
    years : float
        Length of the follow-up; visits are `INTERVAL` years apart.
    rates : mapping, optional
        ``PIRA``, ``RAW`` and ``relapse`` (that recovers) to the chance per possible visit. Default 0.15, 0.1, 0.1.
    weights : mapping, optional
        Label to a factor of the chance of PIRA, to make it go with the brain.
    starts : mapping, optional
        EDSS at the first visit of every label; default: one of `STARTS` each.
    seed : int
    """
    chances = {PIRA: 0.15, RAW: 0.1, RELAPSE: 0.1, **(rates or {})}
    generator = np.random.default_rng(seed)
    visits, relapses, truth = [], [], []
    times = np.arange(0, years + 1e-9, INTERVAL)
    for label in labels:
        own = {**chances, PIRA: min(chances[PIRA] * (weights or {}).get(label, 1.0), 0.95)}
        start = starts[label] if starts else float(generator.choice(STARTS))
        edss, attacks, events = _course(times, start, own, generator)
        tests = _tests(
            start, [sum(kind != RELAPSE and at <= time for kind, at, *_ in events) for time in times], generator
        )
        name = participant_id(label)
        relapses += [(name, round(at, 4)) for at in attacks]
        truth += [(name, *event) for event in events]
        for number, (time, score, others) in enumerate(zip(times, edss, tests, strict=True)):
            visits.append((name, f"ses-v{number:02}", float(time), score, *others))
    return Courses(
        pd.DataFrame(
            visits, columns=["participant_id", "session_id", "years_from_first", "edss", "nhpt", "t25fw", "sdmt"]
        ),
        pd.DataFrame(relapses, columns=["participant_id", "relapse_years"]),
        pd.DataFrame(truth, columns=["participant_id", "event_type", "time", "edss_from", "edss_to"]),
    )


def _course(
    times: np.ndarray, level: float, chances: Mapping[str, float], generator: np.random.Generator
) -> tuple[list[float], list[float], list[tuple[str, float, float, float]]]:
    """EDSS at each visit, onsets of relapses (years), and the events with time and EDSS before and after."""
    scores, attacks, events, last = [level], [], [], -SPACING + 2
    flare = 0.0
    for visit in range(1, len(times)):
        # the next visit confirms, so nothing is planted at the last one
        free = visit - last >= SPACING and visit < len(times) - 1 and level + 1.0 <= HIGHEST
        drawn = generator.random()
        kind, flare = _drawn(drawn, chances) if free else None, 0.0
        if kind is not None:
            last, step = visit, 1.0 if level < 6.0 else 0.5
            at = float(times[visit])
            if kind in (RAW, RELAPSE):
                attacks.append(at - float(generator.uniform(*ONSET_DAYS)) / DAYS_PER_YEAR)
            if kind == PIRA and generator.random() < FOLLOWED:
                attacks.append(at + float(generator.uniform(*FOLLOWED_DAYS)) / DAYS_PER_YEAR)
            after = level if kind == RELAPSE else level + step
            events.append((kind, at, level, after))
            flare, level = (step if kind == RELAPSE else 0.0), after
        scores.append(level + flare)
    return scores, attacks, events


def _drawn(value: float, chances: Mapping[str, float]) -> str | None:
    total = 0.0
    for kind in (PIRA, RAW, RELAPSE):
        total += chances[kind]
        if value < total:
            return kind
    return None


def _tests(edss: float, worsenings: Sequence[int], generator: np.random.Generator) -> list[tuple[float, float, float]]:
    """9-hole peg test and walk (seconds) and SDMT at each visit, from EDSS at the first and the events so far.

    A relapse that recovers leaves no trace in them, and their noise is too small to be a worsening.
    """
    hand, leg = np.exp(generator.normal(0, SECONDS_SD, 2))
    points = SDMT[0] + SDMT[1] * edss + generator.normal(0, POINTS_SD)
    rows = []
    for count in worsenings:
        longer = (1 + LONGER) ** count
        pegs, walk = hand * (PEGS[0] + PEGS[1] * edss) * longer, leg * (WALK[0] + WALK[1] * edss) * longer
        noise = np.exp(generator.normal(0, 0.006, 2))
        left = float(max(round(points - FEWER_POINTS * count), 0))
        rows.append((round(float(pegs * noise[0]), 1), round(float(walk * noise[1]), 1), left))
    return rows


def plant_lesions(courses: Courses, burden: Mapping[str, float] | None = None, seed: int = 2) -> pd.DataFrame:
    """Lesions at every visit of planted courses: they grow with time and relapses, and go with a burden.

    Parameters
    ----------
    courses : Courses
    burden : mapping, optional
        Label to a standardised severity: the mean of the log of the volume (mm^3) rises by `PER_BURDEN` for each unit.
    seed : int

    Returns
    -------
    DataFrame
        ``participant_id session_id lesion_volume lesion_count``, rows as ``courses.visits``.
    """
    generator = np.random.default_rng(seed)
    severity = {participant_id(label): value for label, value in (burden or {}).items()}
    rows = []
    for name, visits in courses.visits.groupby("participant_id", sort=False):
        own = LOG_VOLUME + PER_BURDEN * severity.get(str(name), 0.0) + generator.normal(0, LOG_VOLUME_SD)
        attacks = courses.relapses.loc[courses.relapses["participant_id"] == name, "relapse_years"].to_numpy()
        for session, time in visits[["session_id", "years_from_first"]].itertuples(index=False):
            log = own + PER_YEAR * time + PER_RELAPSE * int((attacks <= time).sum()) + generator.normal(0, 0.02)
            volume = float(np.exp(log))
            rows.append((name, session, round(volume, 1), max(1, round(volume / MEAN_LESION_MM3))))
    return pd.DataFrame(rows, columns=["participant_id", "session_id", "lesion_volume", "lesion_count"])


def write_courses(root: Path, courses: Courses, lesions: pd.DataFrame | None = None) -> Path:
    """Write ``phenotype/{ms_visits,relapses,lesions}.tsv`` of a BIDS dataset, and the planted truth.

    Parameters
    ----------
    root : Path
        The dataset.
    courses : Courses
    lesions : DataFrame, optional
        Of `plant_lesions`.

    Returns
    -------
    Path
        ``sourcedata/ms_truth.tsv``.
    """
    tables = {"phenotype/ms_visits.tsv": courses.visits, "phenotype/relapses.tsv": courses.relapses}
    tables |= {} if lesions is None else {"phenotype/lesions.tsv": lesions}
    for name, table in tables.items():
        _write(table, root / name)
    return _write(courses.truth, root / "sourcedata" / "ms_truth.tsv")


def _write(table: pd.DataFrame, path: Path) -> Path:
    return write_tsv(table, path, {name: COLUMNS[str(name)] for name in table.columns})
