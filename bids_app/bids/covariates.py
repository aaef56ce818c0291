"""Age and sex of every scan from the tables of a BIDS dataset: read tolerantly, never guessed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import parse_age, parse_sex
from bids_app.bids.covariate_columns import Answer, age_of, sex_of
from bids_app.bids.covariate_sources import Source, load_source, load_visits
from bids_app.bids.layout import Scan
from bids_app.bids.names import participant_id, session_id
from bids_app.bids.visit_times import first_visit_age_offset

__all__ = ["COLUMNS", "as_numbers", "parse_age", "parse_sex", "read_covariates"]

# The end of the note on a person's one age that stands for several sessions
ONE_AGE = "used for each"
COLUMNS = ("participant_id", "session_id", "age", "sex", "age_source", "sex_source", "note", "problem")


def read_covariates(
    bids_dir: Path | str, scans: Sequence[Scan], *, participants_file: Path | None = None
) -> pd.DataFrame:
    """Age, sex and all other columns of the tables, one row per scan.

    An age of the session (``sessions.tsv``, or a row with ``session_id``) wins over the person's age. A
    person's age, where there are several sessions, is advanced by ``acq_time`` when every session has one,
    and otherwise used for each with a note.

    Parameters
    ----------
    bids_dir : path-like
    scans : sequence of Scan
    participants_file : Path, optional
        Table read instead of ``participants.tsv`` (TSV, CSV or Parquet): ``participant_id``, ``age``, ``sex``
        and, for ages per session, ``session_id``.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS`, then the other columns of the tables (a session's value wins). ``problem``
        says why a scan cannot be scored and which file and column is at fault; NaN when it can.

    Raises
    ------
    BIDSError
        When a table cannot be read.
    """
    bids_dir = Path(bids_dir)
    table = participants_file or bids_dir / "participants.tsv"
    missing = participants_file is None and not table.exists()
    people = Source(table.name) if missing else load_source(table)
    visits = load_visits(bids_dir, {scan.participant for scan in scans if scan.session is not None})
    reader = _Reader(bids_dir, people, visits, participants_file is not None)
    return _frame([reader.record(scan) for scan in scans])


class _Reader:
    """The tables of one dataset, asked scan by scan."""

    def __init__(self, bids_dir: Path, people: Source, visits: dict[str, Source], explicit: bool) -> None:
        self.bids_dir = bids_dir
        self.people = people
        self.visits = visits
        self.explicit = explicit

    def record(self, scan: Scan) -> dict[str, Any]:
        """The row of `read_covariates` for one scan."""
        age, sex = self._age(scan), self._sex(scan)
        return {
            "participant_id": participant_id(scan.participant),
            "session_id": session_id(scan.session),
            "age": age.value,
            "sex": sex.value,
            "age_source": age.column or None,
            "sex_source": sex.column or None,
            "note": "; ".join(answer.note for answer in (age, sex) if answer.note) or None,
            "problem": _problem(age, sex),
            **self._others(scan),
        }

    def _visits_of(self, scan: Scan) -> Source:
        return self.visits.get(scan.participant, Source())

    def _others(self, scan: Scan) -> dict[str, str]:
        """The columns that are neither key nor covariate; the session's value wins."""
        values: dict[str, str] = {}
        sources = ((self.people, None), (self.people, scan.session), (self._visits_of(scan), scan.session))
        for source, session in sources:
            used = source.roles.columns | {"participant_id", "session_id"}
            row = source.row(scan.participant, session)
            values |= {name: value for name, value in row.items() if name not in used}
        return {f"{name}_in_table" if name in COLUMNS else name: value for name, value in values.items()}

    def _age(self, scan: Scan) -> Answer:
        """Age of the session from the most trusted table, else the person's."""
        visits = self._visits_of(scan)
        if scan.session is not None:
            order = (self.people, visits) if self.explicit else (visits, self.people)
            answers = [source.ask(age_of, scan.participant, scan.session) for source in order]
            for answer in answers:
                if answer.value is not None or answer.problem:
                    return answer
        answer = self.people.ask(age_of, scan.participant, None)
        if answer.value is not None:
            return self._at_session(scan, answer)
        return answer if answer.problem else Answer(problem=self._missing("age", scan))

    def _at_session(self, scan: Scan, answer: Answer) -> Answer:
        """A person's one age at one of several sessions."""
        if scan.session is None:
            return answer
        visits = self._visits_of(scan)
        sessions = {scan.session} | visits.sessions(scan.participant) | self._folders(scan.participant)
        if len(sessions) == 1:
            return answer
        rows = {session: visits.row(scan.participant, session) for session in sessions}
        offset = first_visit_age_offset(self.bids_dir, scan.participant, scan.session, rows)
        if offset is None:
            return _noted(answer, f"one age for {len(sessions)} sessions, {ONE_AGE}")
        if offset == 0:
            return answer
        later = replace(answer, value=answer.value + offset, column=answer.column + " + acq_time")
        return _noted(later, f"age of the first session plus {offset:.2f} years by acq_time")

    def _folders(self, participant: str) -> set[str]:
        folder = self.bids_dir / f"sub-{participant}"
        names = os.listdir(folder) if folder.is_dir() else []
        return {name[4:] for name in names if name.startswith("ses-") and (folder / name).is_dir()}

    def _sex(self, scan: Scan) -> Answer:
        """Sex from any row of the person, which must agree, else from the session's row."""
        rows = [
            self.people.ask(sex_of, scan.participant, session) for session in self.people.rows.get(scan.participant, {})
        ]
        rows = [answer for answer in rows if answer.value is not None or answer.problem]
        if len({answer.value for answer in rows}) > 1:
            return Answer(
                problem=f"{self.people.name} gives {participant_id(scan.participant)} more than one sex; correct it"
            )
        if rows:
            return rows[0]
        answer = self._visits_of(scan).ask(sex_of, scan.participant, scan.session)
        found = answer.value is not None or answer.problem
        return answer if found else Answer(problem=self._missing("sex", scan))

    def _missing(self, what: str, scan: Scan) -> str:
        """Why `what` is unknown, and in which file."""
        name, person = self.people.name, participant_id(scan.participant)
        if not self.people.rows:
            return f"{name} has no rows" if self.people.found else f"there is no {name}"
        if scan.participant not in self.people.rows:
            return f"{name} has no row for {person}{self._unpadded(scan)}"
        roles = self.people.roles.ages if what == "age" else self.people.roles.sexes
        visits = self._visits_of(scan).name
        also = f", and {visits} has none" if visits else ""
        if not roles:
            return f"{name} has no column {what}{also}"
        return f"column {roles[0][0]} of {name} is empty for {person}{also}"

    def _unpadded(self, scan: Scan) -> str:
        """A hint where a spreadsheet dropped leading zeros."""
        other = scan.participant.lstrip("0")
        return f" (it has '{other}')" if other != scan.participant and other in self.people.rows else ""


def _noted(answer: Answer, note: str) -> Answer:
    return replace(answer, note="; ".join(text for text in (answer.note, note) if text))


def _problem(age: Answer, sex: Answer) -> str | None:
    """One sentence on what is missing."""
    if age.problem == sex.problem:
        return f"no age and no sex: {age.problem}" if age.problem else None
    both = {"age": age, "sex": sex}
    return "; ".join(f"no {what}: {answer.problem}" for what, answer in both.items() if answer.problem)


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    names = list(dict.fromkeys([*COLUMNS, *(name for record in records for name in record)]))
    frame = pd.DataFrame({name: [record.get(name) for record in records] for name in names}, columns=names)
    frame["age"] = frame["age"].astype(float)
    for name in names:
        if name not in COLUMNS:
            frame[name] = as_numbers(frame[name])
        elif name != "age":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), np.nan)
    return frame


def as_numbers(column: pd.Series) -> pd.Series:
    """`column` of text as numbers when every filled cell is one, else as it is."""
    numbers = pd.to_numeric(column, errors="coerce")
    whole = bool((numbers.notna() == column.notna()).all()) and bool(column.notna().any())
    return numbers if whole else column.astype(object).where(column.notna(), np.nan)
