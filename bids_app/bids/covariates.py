"""Age and sex of every scan from the tables of a BIDS dataset: read tolerantly, never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.covariate_columns import Answer, sex_of
from bids_app.bids.covariate_sources import Source, load_source
from bids_app.bids.layout import Scan
from bids_app.bids.names import participant_id, session_id, unpadded
from bids_app.bids.scanners import scanners_of
from bids_app.bids.visit_ages import VisitAges
from bids_app.findings import Finding

COLUMNS = ("participant_id", "session_id", "age", "sex", "age_source", "sex_source", "note", "problem")


@dataclass(frozen=True)
class Covariates:
    """What the tables say of one scan.

    Parameters
    ----------
    participant_id, session_id : str
        With prefix; `session_id` None without sessions.
    age : float or None
        Years at the scan.
    sex : {'female', 'male'} or None
    age_source, sex_source : str or None
        File and column, or how it was worked out.
    note : str or None
        What was read tolerantly.
    problem : str or None
        Why the scan cannot be scored, with the file and column at fault.
    others : mapping of str to str
        The other columns of the scan's own rows, as text; a session's value wins over the person's.
    findings : tuple of Finding
    """

    participant_id: str
    session_id: str | None
    age: float | None
    sex: str | None
    age_source: str | None
    sex_source: str | None
    note: str | None
    problem: str | None
    others: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def row(self) -> dict[str, Any]:
        """One flat mapping: `COLUMNS`, then the other columns."""
        return {**{name: getattr(self, name) for name in COLUMNS}, **self.others}


def read_covariates(
    bids_dir: Path | str, scans: Sequence[Scan], *, participants_file: Path | None = None, one_age: bool = False
) -> pd.DataFrame:
    """`scan_covariates` as a table: one row per scan.

    Parameters
    ----------
    bids_dir, scans, participants_file, one_age
        As for `scan_covariates`.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS`, then the other columns of the tables, as numbers where every filled cell is one.
        ``problem`` is NaN where a scan can be scored.
    """
    found, _ = scan_covariates(bids_dir, scans, participants_file=participants_file, one_age=one_age)
    return covariate_table(found)


def scan_covariates(
    bids_dir: Path | str, scans: Sequence[Scan], *, participants_file: Path | None = None, one_age: bool = False
) -> tuple[list[Covariates], tuple[Finding, ...]]:
    """Age, sex and all other columns of the tables, scan by scan, each from its own rows alone.

    An age stated for the session wins: in ``sessions.tsv``, ``scans.tsv``, a row of ``participants.tsv`` with
    ``session_id``, a column such as ``age_ses-02``, or a table of ``phenotype/``. Otherwise it is worked out from the
    date of birth, or from the age at the first visit, and the dates of the visits. Where nothing tells, the first
    visit has the person's one age, and later ones have none (with `one_age`: the same). A scanner that no column names
    is that of the images' JSON sidecars (`scanners`).

    Parameters
    ----------
    bids_dir : path-like
    scans : sequence of Scan
    participants_file : Path, optional
        Table read instead of ``participants.tsv`` (TSV, CSV, Parquet or spreadsheet): ``participant_id``, ``age``,
        ``sex`` and, for ages per session, ``session_id``.
    one_age : bool

    Returns
    -------
    covariates : list of Covariates
        In the order of `scans`.
    findings : tuple of Finding
        On the tables as a whole.

    Raises
    ------
    BIDSError
        When a table cannot be read.
    """
    bids_dir = Path(bids_dir)
    table = participants_file or bids_dir / "participants.tsv"
    missing = participants_file is None and not table.exists()
    people = Source(table.name) if missing else load_source(table)
    ages = VisitAges(bids_dir, people, scans, explicit=participants_file is not None, one_age=one_age)
    reader = _Reader(people, ages)
    remarks = [source.remark for source in (people, *ages.phenotypes) if source.remark]
    read = [reader.read(scan) for scan in scans]
    told = scanners_of(bids_dir, scans, [one.others for one in read])
    found = [
        replace(one, others={**one.others, **column}, findings=(*one.findings, *seen))
        for one, (column, seen) in zip(read, told, strict=True)
    ]
    return found, tuple(Finding("table-format", remark) for remark in remarks)


def covariate_table(found: Sequence[Covariates]) -> pd.DataFrame:
    """The rows of some scans under each other.

    Parameters
    ----------
    found : sequence of Covariates

    Returns
    -------
    DataFrame
        As `read_covariates`: one row per element of `found`, in its order; ``age`` in years.
    """
    records = [item.row() for item in found]
    names = list(dict.fromkeys([*COLUMNS, *(name for record in records for name in record)]))
    frame = pd.DataFrame({name: [record.get(name) for record in records] for name in names}, columns=names)
    frame["age"] = frame["age"].astype(float)
    for name in names:
        if name not in COLUMNS:
            frame[name] = as_numbers(frame[name])
        elif name != "age":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), np.nan)
    return frame


class _Reader:
    """The tables of one dataset, asked scan by scan."""

    def __init__(self, people: Source, ages: VisitAges) -> None:
        self.people = people
        self.ages = ages

    def read(self, scan: Scan) -> Covariates:
        """What the tables say of a scan."""
        age, sex = self._age(scan), self._sex(scan)
        return Covariates(
            participant_id=participant_id(scan.participant),
            session_id=session_id(scan.session),
            age=age.value,
            sex=sex.value,
            age_source=age.column or None,
            sex_source=sex.column or None,
            note="; ".join(answer.note for answer in (age, sex) if answer.note) or None,
            problem=_problem(age, sex),
            others=self._others(scan),
            findings=(*age.findings, *sex.findings),
        )

    def _others(self, scan: Scan) -> dict[str, str]:
        """The columns that are neither key nor covariate; the session's value wins."""
        values: dict[str, str] = {}
        visits = self.ages.visits_of(scan.participant)
        for source, session in (
            (self.people, None),
            (self.people, self.ages.label_in(self.people, scan)),
            (visits, self.ages.label_in(visits, scan)),
        ):
            used = source.roles.columns | {"participant_id", "session_id"}
            row = source.row(scan.participant, session)
            values |= {name: value for name, value in row.items() if name not in used}
        return {f"{name}_in_table" if name in COLUMNS else name: value for name, value in values.items()}

    def _age(self, scan: Scan) -> Answer:
        answer = self.ages.at(scan)
        found = answer.value is not None or answer.problem
        return answer if found else Answer(problem=self._missing("age", scan))

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
        visits = self.ages.visits_of(scan.participant)
        answer = visits.ask(sex_of, scan.participant, self.ages.label_in(visits, scan))
        found = answer.value is not None or answer.problem
        return answer if found else Answer(problem=self._missing("sex", scan))

    def _missing(self, what: str, scan: Scan) -> str:
        """Why `what` is unknown, and in which file."""
        name, person = self.people.name, participant_id(scan.participant)
        if not self.people.rows:
            return f"{name} has no rows" if self.people.found else f"there is no {name}"
        if scan.participant not in self.people.rows:
            return f"{name} has no row for {person}{self._spelt_otherwise(scan)}"
        roles = self.people.roles.ages if what == "age" else self.people.roles.sexes
        visits = self.ages.visits_of(scan.participant).name
        also = f", and {visits} has none" if visits else ""
        if not roles:
            return f"{name} has no column {what}{also}"
        return f"column {roles[0][0]} of {name} is empty for {person}{also}"

    def _spelt_otherwise(self, scan: Scan) -> str:
        """A hint where a table varies the prefix, the case or the padding of ids, as spreadsheets do."""
        near = [label for label in self.people.rows if unpadded(label) == unpadded(scan.participant)]
        return f" (it has {' and '.join(repr(label) for label in near)}; write it as the folder)" if near else ""


def _problem(age: Answer, sex: Answer) -> str | None:
    """One sentence on what is missing."""
    if age.problem == sex.problem:
        return f"no age and no sex: {age.problem}" if age.problem else None
    both = {"age": age, "sex": sex}
    return "; ".join(f"no {what}: {answer.problem}" for what, answer in both.items() if answer.problem)


def as_numbers(column: pd.Series) -> pd.Series:
    """`column` of text as numbers when every filled cell is one, else as it is.

    Parameters
    ----------
    column : (n,) Series of str

    Returns
    -------
    (n,) Series
        float64 or int64, else object with NaN where a cell is missing; never numbers where no cell is filled.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    whole = bool((numbers.notna() == column.notna()).all()) and bool(column.notna().any())
    return numbers if whole else column.astype(object).where(column.notna(), np.nan)
