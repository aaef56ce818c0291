"""Which columns of a table hold age and sex, and how a row answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bids_app.bids.age_sex import cannot_be_years, described_unit, parse_age, parse_sex, units_of
from bids_app.bids.names import unpadded
from bids_app.bids.source_tables import Row, plain
from bids_app.findings import Finding

# Names, lower case, of the columns with a person's group and with the scanner, the most trusted first
GROUP_COLUMNS = ("group", "diagnosis", "dx", "dx_group", "cohort", "status", "patient", "arm")
SITE_COLUMNS = ("site", "scanner", "center", "centre", "site_id", "scanner_id")

# A name is taken for an age when `age` and words of these lists make it up; `age_at_onset` is not.
_UNIT_WORDS = {"years", "year", "yrs", "yr", "y", "months", "month", "mo", "weeks", "week", "days", "day"}
_SCAN_WORDS = {
    "at",
    "in",
    "on",
    "of",
    "the",
    "scan",
    "mri",
    "imaging",
    "session",
    "visit",
    "acquisition",
    "exam",
    "test",
    "testing",
    "participant",
    "subject",
    "patient",
}
SCAN_NAMES = {"mri", "scan", "imaging", "session", "visit", "acquisition"}
_FIRST_WORDS = {"first", "baseline", "entry", "inclusion", "enrolment", "enrollment", "screening", "study"}
_VISIT_WORDS = {"ses", "session", "visit", "v", "tp", "timepoint", "time", "point"}
_BIRTH = {"birth", "birthdate", "birthday", "dob", "dateofbirth"}
UNKNOWN = "unknown"
_SEX_NAMES = (
    "sex",
    "biological_sex",
    "sex_at_birth",
    "participant_sex",
    "subject_sex",
    "patient_sex",
    "gender",
    "participant_gender",
    "subject_gender",
    "patient_gender",
)


@dataclass(frozen=True)
class Roles:
    """The age columns of a table in order of trust (name, rank, units) and its sex columns (name, levels).

    `wide` are ages of one visit each (name, the visit's label as `unpadded` writes it, units); `births` and `dates`
    are columns with the date of birth and of the visit, the most trusted first. A unit is `UNKNOWN` where values
    cannot be years and nothing says what they are; `highest` has such a value by column.
    """

    ages: tuple[tuple[str, int, str], ...] = ()
    sexes: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    wide: tuple[tuple[str, str, str], ...] = ()
    births: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    highest: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """Names of the age and sex columns."""
        return {name for name, _, _ in self.ages} | {name for name, _ in self.sexes}


@dataclass(frozen=True)
class Answer:
    """What a row says: a value with its column, or why there is none (`problem`, '' when just missing)."""

    value: Any = None
    column: str = ""
    note: str | None = None
    problem: str = field(default="")
    findings: tuple[Finding, ...] = ()


def find_roles(header: Iterable[str], sidecar: Mapping[str, Any], rows: Sequence[Row] = ()) -> Roles:
    """The age, sex and date columns of a table with `header`, its JSON dictionary and its `rows`."""
    described = {plain(name): entry for name, entry in sidecar.items() if isinstance(entry, Mapping)}
    ages, sexes, wide, births, dates = [], [], [], [], []
    highest: dict[str, str] = {}
    for name in header:
        entry = described.get(plain(name), {})
        words = plain(name).split("_")
        rank, visit = _age_rank(plain(name)), _visit_of_age(words)
        if rank is not None or visit:
            units = _units(name, entry)
            above = None if units else cannot_be_years(row[name] for row in rows if name in row)
            units = units or (UNKNOWN if above else "years")
            highest |= {name: above} if above else {}
            if rank is not None:
                ages.append((name, rank, units))
            else:
                wide.append((name, visit, units))
        if plain(name) in _SEX_NAMES:
            levels = entry.get("Levels")
            sexes.append((name, levels if isinstance(levels, Mapping) else {}))
        if set(words) & _BIRTH:
            births.append(name)
        elif plain(name) == "acq_time" or ("date" in words and set(words) - {"date", "time"} <= _SCAN_WORDS):
            dates.append(name)
    return Roles(
        tuple(sorted(ages, key=lambda age: age[1])),
        tuple(sorted(sexes, key=lambda sex: _SEX_NAMES.index(plain(sex[0])))),
        tuple(wide),
        tuple(births),
        tuple(sorted(dates, key=_date_rank)),
        highest,
    )


def _date_rank(name: str) -> int:
    """BIDS' own column first, then what names the image, the visit, and at last any date."""
    words = set(plain(name).split("_"))
    ranks = (plain(name) == "acq_time", words & SCAN_NAMES - {"session", "visit"}, words & SCAN_NAMES)
    return next((rank for rank, fits in enumerate(ranks) if fits), len(ranks))


def _age_rank(name: str) -> int | None:
    words = set(name.split("_"))
    if "age" not in words:
        return None
    words -= {"age"} | _UNIT_WORDS
    if not words <= _SCAN_WORDS | _FIRST_WORDS:
        return None
    return 0 if not words else 2 if words & _FIRST_WORDS else 1


def _visit_of_age(words: Sequence[str]) -> str:
    """The label of the one visit that a column such as ``age_ses-02`` is about; whether it is one, the rows say."""
    if "age" not in words:
        return ""
    rest = [word for word in words if word not in {"age"} | _UNIT_WORDS - {"y"} | _SCAN_WORDS | _VISIT_WORDS]
    return unpadded("".join(rest))


def _units(name: str, entry: Mapping[str, Any]) -> str | None:
    return (
        units_of(plain(name).replace("_", " "))
        or units_of(entry.get("Units", ""))
        or described_unit(entry.get("Description", ""))
        or described_unit(entry.get("LongName", ""))
    )


def age_of(row: Row, roles: Roles) -> Answer:
    """The age in years of `row`: the most trusted column that can be read; equal columns must agree."""
    refusals: list[str] = []
    best: list[Answer] = []
    best_rank = None
    for name, rank, units in roles.ages:
        if best and rank != best_rank:
            break
        answer = _age_in(row, name, units, roles)
        if answer.value is not None:
            best.append(answer)
            best_rank = rank
        elif answer.problem:
            refusals.append(answer.problem)
    if len({answer.value for answer in best}) > 1:
        return Answer(problem=f"columns {' and '.join(answer.column for answer in best)} give different ages")
    return best[0] if best else Answer(problem="; ".join(refusals))


def age_at_visit(row: Row, roles: Roles, session: str) -> Answer:
    """The age in a column of its own for `session` (a label), such as ``age_ses-02``."""
    columns = [(name, units) for name, visit, units in roles.wide if visit == unpadded(session)]
    answers = [_age_in(row, name, units, roles) for name, units in columns]
    filled = [answer for answer in answers if answer.value is not None or answer.problem]
    if len({answer.value for answer in filled}) > 1:
        return Answer(problem=f"columns {' and '.join(name for name, _ in columns)} give different ages")
    return filled[0] if filled else Answer()


def _age_in(row: Row, name: str, units: str, roles: Roles) -> Answer:
    if units == UNKNOWN and name in row:
        return Answer(
            problem=f"column {name} holds ages up to {roles.highest[name]}, which cannot be years, and nothing says "
            "their unit; write it under Units in the JSON dictionary beside the table"
        )
    value, note = parse_age(row.get(name), units)
    if value is None:
        return Answer(problem=f"{note} (column {name})" if note else "")
    kind = _kind_of(note or "")
    return Answer(value, name, note, findings=(Finding(kind, f"{note} (column {name})"),) if kind else ())


def _kind_of(note: str) -> str | None:
    """Which finding a note on an age is; a decimal comma is none."""
    if "lower limit" in note:
        return "age-limit"
    return "age-units" if " was read as " in note else None


def sex_of(row: Row, roles: Roles) -> Answer:
    """The sex of `row`: the first sex column that is filled must be readable."""
    for name, levels in roles.sexes:
        cell = row.get(name)
        if cell is None:
            continue
        value = parse_sex(cell, levels)
        if value is not None:
            return Answer(value, name)
        return Answer(problem=_unreadable_sex(cell, name))
    return Answer()


def _unreadable_sex(cell: str, name: str) -> str:
    if cell.replace(".", "", 1).isdecimal():
        return f"sex '{cell}' (column {name}) is a code that no JSON sidecar explains; add its Levels"
    return f"sex '{cell}' (column {name}) is neither female nor male, and the reference has no other"
