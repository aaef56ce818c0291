"""Which columns of a table hold age and sex, and how a row answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bids_app.bids.age_sex import parse_age, parse_sex, units_of
from bids_app.bids.source_tables import Row, plain

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
_FIRST_WORDS = {"first", "baseline", "entry", "inclusion", "enrolment", "enrollment", "screening", "study"}
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
    """The age columns of a table in order of trust (name, rank, units) and its sex columns (name, levels)."""

    ages: tuple[tuple[str, int, str], ...] = ()
    sexes: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @property
    def columns(self) -> set[str]:
        """Names of all these columns."""
        return {name for name, *_ in self.ages} | {name for name, _ in self.sexes}


@dataclass(frozen=True)
class Answer:
    """What a row says: a value with its column, or why there is none (`problem`, '' when just missing)."""

    value: Any = None
    column: str = ""
    note: str | None = None
    problem: str = field(default="")


def find_roles(header: Iterable[str], sidecar: Mapping[str, Any]) -> Roles:
    """The age and sex columns of a table with `header` and its JSON dictionary."""
    described = {plain(name): entry for name, entry in sidecar.items() if isinstance(entry, Mapping)}
    ages, sexes = [], []
    for name in header:
        entry = described.get(plain(name), {})
        rank = _age_rank(plain(name))
        if rank is not None:
            ages.append((name, rank, _units(name, entry)))
        if plain(name) in _SEX_NAMES:
            levels = entry.get("Levels")
            sexes.append((name, levels if isinstance(levels, Mapping) else {}))
    return Roles(
        tuple(sorted(ages, key=lambda age: age[1])),
        tuple(sorted(sexes, key=lambda sex: _SEX_NAMES.index(plain(sex[0])))),
    )


def _age_rank(name: str) -> int | None:
    words = set(name.split("_"))
    if "age" not in words:
        return None
    words -= {"age"} | _UNIT_WORDS
    if not words <= _SCAN_WORDS | _FIRST_WORDS:
        return None
    return 0 if not words else 2 if words & _FIRST_WORDS else 1


def _units(name: str, entry: Mapping[str, Any]) -> str:
    return units_of(plain(name).replace("_", " ")) or units_of(entry.get("Units", "")) or "years"


def age_of(row: Row, roles: Roles) -> Answer:
    """The age in years of `row`: the most trusted column that can be read; equal columns must agree."""
    refusals: list[str] = []
    best: dict[str, tuple[float, str | None]] = {}
    best_rank = None
    for name, rank, units in roles.ages:
        if best and rank != best_rank:
            break
        value, note = parse_age(row.get(name), units)
        if value is not None:
            best[name], best_rank = (value, note), rank
        elif note:
            refusals.append(f"{note} (column {name})")
    if len({value for value, _ in best.values()}) > 1:
        return Answer(problem=f"columns {' and '.join(best)} give different ages")
    if best:
        column, (value, note) = next(iter(best.items()))
        return Answer(value, column, note)
    return Answer(problem="; ".join(refusals))


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
    if cell.replace(".", "", 1).isdigit():
        return f"sex '{cell}' (column {name}) is a code that no JSON sidecar explains; add its Levels"
    return f"sex '{cell}' (column {name}) is neither female nor male, and the reference has no other"
