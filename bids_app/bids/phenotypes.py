"""Clinical columns per visit from wherever BIDS keeps them: participants, sessions, phenotype/*.tsv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import DAYS_PER_YEAR
from bids_app.bids.columns import KEYS
from bids_app.bids.covariate_sources import NOTHING, Source, load_visits
from bids_app.bids.covariates import as_numbers, read_covariates
from bids_app.bids.layout import Scan
from bids_app.bids.names import listed, natural_key, split_freesurfer_name, unpadded
from bids_app.bids.source_tables import Row, people_tables, plain, read_any_sheet, row_key
from bids_app.bids.visit_ages import ONE_AGE, VisitAges
from bids_app.bids.visit_times import MAX_FOLLOW_UP
from bids_app.findings import Finding

NOTES = "notes"
SEPARATOR = "; "
# Words that say when, but not of what: such a column gets the name of its file.
MOMENT = {"date", "dates", "onset", "start", "time", "times", "year", "years"}


def _phenotype_rows(bids_dir: Path | str) -> dict[str, list[Row]]:
    sheets = {path.stem: read_any_sheet(path) for path in people_tables(Path(bids_dir) / "phenotype")}
    return {name: rows for name, (header, rows) in sheets.items() if "participant_id" in header}


def clinical_table(
    bids_dir: Path | str, scans: Sequence[Scan] | None = None, *, participants_file: Path | None = None
) -> pd.DataFrame:
    """All clinical columns of the dataset, one row per scan or per visit.

    Parameters
    ----------
    bids_dir : path-like
    scans : sequence of Scan, optional
        The rows wanted. Without it one row per visit that any table names, so that visits without imaging
        (a disability score between two scans) are there too.
    participants_file : Path, optional
        As for `read_covariates`.

    Returns
    -------
    DataFrame
        The columns of `read_covariates`, ``visit_date`` (ISO date or NaN), ``years_from_first`` (since the person's
        first row, by date where all have one, else by age where visits have their own, else by the dates there are;
        NaN where a visit has neither) and the columns of ``phenotype/*.tsv``. Tables may have columns of these two
        names; they are then kept, and dates filled up. A column whose name is taken, or says nothing but when
        (``date``), is called ``<file>_<column>``. Of a phenotype table with several rows for one visit (a list of
        relapses) the columns that say when are joined: every row of a person has all their entries, separated by
        ``;``. ``attrs["notes"]`` says so and names the columns left out.
    """
    bids_dir = Path(bids_dir)
    phenotypes = _phenotype_rows(bids_dir)
    visits = all_visits(bids_dir, phenotypes, participants_file) if scans is None else list(scans)
    table = read_covariates(bids_dir, visits, participants_file=participants_file, one_age=True)
    ages = VisitAges(bids_dir, NOTHING, visits)
    dates = _dates(ages, visits)
    if "visit_date" in table:
        dates = [date if isinstance(date, str) else own for date, own in zip(dates, table["visit_date"], strict=True)]
    columns: dict[str, Any] = {"visit_date": dates, "years_from_first": years_from_first(table, dates)}
    columns |= {"years_from_first": table["years_from_first"]} if "years_from_first" in table else {}
    table = table.drop(columns=list(columns), errors="ignore")
    notes = []
    for name, rows in phenotypes.items():
        taken = {*table.columns, *columns}
        distinct = _distinct(rows)
        if _is_per_visit(distinct):
            joined_columns, said = _joined(name, _source(name, distinct), visits, taken, ages)
            columns |= joined_columns
            notes += said
            if len(distinct) < len(rows):
                notes.append(f"phenotype/{name}.tsv repeats {len(rows) - len(distinct)} of its rows, which count once")
        else:
            events, found = _listed(name, rows, visits, taken)
            columns |= events
            notes += found
    joined = pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)
    joined.attrs[NOTES] = tuple(notes)
    return joined


def _distinct(rows: Iterable[Row]) -> list[Row]:
    return [dict(pairs) for pairs in dict.fromkeys(tuple(row.items()) for row in rows)]


def _is_per_visit(distinct: Sequence[Row]) -> bool:
    """Whether no visit has several rows, which make a table of events."""
    return len(set(map(row_key, distinct))) == len(distinct)


def all_visits(bids_dir: Path, phenotypes: dict[str, list[Row]], participants_file: Path | None = None) -> list[Scan]:
    """Every person and visit that a table names, as `Scan` without images, in natural order."""
    table = participants_file or bids_dir / "participants.tsv"
    people = _source(table.name, read_any_sheet(table)[1] if table.exists() else [])
    others = [_source(name, rows) for name, rows in phenotypes.items()]
    labels = sorted({person for source in (people, *others) for person in source.rows}, key=natural_key)
    own = load_visits(bids_dir, labels)
    visits = []
    for person in labels:
        sessions = _sessions(bids_dir, person, [people, own.get(person, NOTHING), *others])
        visits += [Scan(person, session) for session in sorted(sessions or {None}, key=natural_key)]
    return visits


def _sessions(bids_dir: Path, person: str, sources: Sequence[Source]) -> set[str | None]:
    """The sessions that tables name, each as the folder or the first table spells it."""
    told: set[str | None] = set()
    known: set[str] | None = None
    for source in sources:
        if not source.sessions(person):
            continue
        if known is None:
            known = {path.name[4:] for path in (bids_dir / f"sub-{person}").glob("ses-*") if path.is_dir()}
        spelt = {source.label_of(person, label, known): label for label in known}
        its = {spelt.get(session, session) for session in source.sessions(person)}
        told |= its
        known |= its
    return told


def _source(name: str, rows: Iterable[Row]) -> Source:
    keyed: dict[str, dict[str | None, list[Row]]] = {}
    for row in rows:
        person, session = row_key(row)
        keyed.setdefault(person, {}).setdefault(session, []).append(row)
    return Source(name, keyed)


def every_visit(
    bids_dir: Path, participants_file: Path | None = None, phenotypes: dict[str, list[Row]] | None = None
) -> list[Scan]:
    """The visits of `all_visits`, and those that only folders name."""
    phenotypes = _phenotype_rows(bids_dir) if phenotypes is None else phenotypes
    named = all_visits(bids_dir, phenotypes, participants_file)
    folders = {path for pattern in ("sub-*", "sub-*/ses-*") for path in bids_dir.glob(pattern) if path.is_dir()}
    found = [split_freesurfer_name("_".join(path.relative_to(bids_dir).parts)) for path in sorted(folders)]
    return list(dict.fromkeys([*named, *(Scan(*labels) for labels in found if labels)]))


def phenotype_findings(
    bids_dir: Path, scans: Iterable[Scan] = (), participants_file: Path | None = None
) -> list[Finding]:
    """A finding for each phenotype table whose every row is of a session that neither `scans` nor the dataset have, and
    for each that spells a session so that it may be another one."""
    phenotypes = _phenotype_rows(bids_dir)
    visits = [*scans, *every_visit(bids_dir, participants_file, {})] if phenotypes else []
    known = {unpadded(visit.session): f"ses-{visit.session}" for visit in visits if visit.session}
    found = []
    for name, rows in phenotypes.items():
        sessions = {session for _, session in map(row_key, rows)}
        if rows and not any(session is None or unpadded(session) in known for session in sessions):
            its = listed(sorted((f"ses-{session}" for session in sessions), key=natural_key))
            dataset = listed(sorted(known.values(), key=natural_key)) or "none"
            seen = f"phenotype/{name}.tsv has the sessions {its}; the dataset has {dataset}"
            found.append(Finding("phenotype-unmatched", seen))
        doubtful = _doubtful(_source(name, rows), visits) if _is_per_visit(_distinct(rows)) else []
        if doubtful:
            seen = f"phenotype/{name}.tsv: {listed(doubtful, 3)}"
            found.append(Finding("phenotype-row-unused", seen))
    return found


def _doubtful(source: Source, visits: Iterable[Scan]) -> list[str]:
    """Visits without a row of their own, of which several rows may be, or of whose row another visit may be."""
    own: dict[str, list[str]] = {}
    for visit in visits:
        if visit.session is not None:
            own.setdefault(visit.participant, []).append(visit.session)
    found = []
    for person, sessions in own.items():
        told = source.sessions(person)
        free = [label for label in told if label not in sessions]
        for session in sorted(set(sessions) - told, key=natural_key):
            alike = sorted(label for label in free if unpadded(label) == unpadded(session))
            if alike and source.label_of(person, session, sessions) == session:
                rows = " and ".join(f"ses-{label}" for label in alike)
                found.append(f"{rows} of sub-{person} may be ses-{session} or not")
    return found


def _joined(
    name: str, source: Source, visits: Sequence[Scan], taken: set[str], ages: VisitAges
) -> tuple[dict[str, pd.Series], list[str]]:
    """The columns of one phenotype table: the visit's row, else the person's; sessions match as for ages."""
    labels = [ages.label_in(source, visit) for visit in visits]
    found = [source.row(visit.participant, label) for visit, label in zip(visits, labels, strict=True)]
    rows = [row or source.row(visit.participant, None) for visit, row in zip(visits, found, strict=True)]
    every = [row for sessions in source.rows.values() for session in sessions.values() for row in session]
    columns = {
        _named(name, column, taken): as_numbers(pd.Series([row.get(column) for row in rows], dtype=object))
        for column in _columns(every)
    }
    spelt = [
        f"ses-{label} for ses-{visit.session}"
        for visit, label, row in zip(visits, labels, found, strict=True)
        if row and label != visit.session
    ]
    return columns, [f"phenotype/{name}.tsv writes {listed(dict.fromkeys(spelt), 3)}"] if spelt else []


def _columns(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row if column not in KEYS))


def _named(name: str, column: str, taken: set[str]) -> str:
    return f"{name}_{column}" if column in taken or set(plain(column).split("_")) <= MOMENT else column


def _says_when(column: str) -> bool:
    """Whether a column holds moments of events: ``relapse_date``, ``onset``, ``relapse_years``, ``date_of_attack``."""
    words = set(plain(column).split("_"))
    return bool(words & ({"date", "dates", "onset"} if words - MOMENT - {"relapse", "relapses"} else MOMENT))


def _listed(
    name: str, rows: Sequence[Row], visits: Sequence[Scan], taken: set[str]
) -> tuple[dict[str, pd.Series], list[str]]:
    """The moments in a table of events as one list per person, and what is said about the others."""
    file, columns = f"phenotype/{name}.tsv", _columns(rows)
    moments = [column for column in columns if _says_when(column)]
    values, notes = {}, []
    for column in moments:
        entries: dict[str, dict[str, None]] = {}
        for row in rows:
            if column in row:
                entries.setdefault(row_key(row)[0], {})[row[column]] = None
        cells = [SEPARATOR.join(entries[v.participant]) if v.participant in entries else None for v in visits]
        values[_named(name, column, taken)] = as_numbers(pd.Series(cells, dtype=object))
        absent = sum(column not in row for row in rows)
        notes += [f"{_rows(absent)} of {file} without {column}"] if absent else []
    others = [column for column in columns if column not in moments]
    said = f"joined as lists: {', '.join(values)}" if values else "no column says when, so it was not joined"
    left = f"; not joined: {', '.join(others)}" if values and others else ""
    return values, [f"{file} has several rows per visit; {said}{left}", *notes]


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"


def _dates(ages: VisitAges, visits: Sequence[Scan]) -> list[Any]:
    times = (ages.imaging_time(visit.participant, visit.session) for visit in visits)
    return [np.nan if time is None else time.date().isoformat() for time in times]


def years_from_first(table: pd.DataFrame, dates: Sequence[Any]) -> pd.Series:
    """Years since the person's first row, by date where all their rows have one, else mostly by age.

    Dates that span more than a working life were scrambled and are not used; a person whose dates are incomplete is
    timed by whichever of dates and ages knows more visits.

    Parameters
    ----------
    table : DataFrame
        ``participant_id age``, one row per visit; ``note`` where an age is not the visit's own.
    dates : sequence
        ISO dates or missing, one per row.

    Returns
    -------
    Series
        Index as `table`; NaN where neither date nor age tells.
    """
    person = table["participant_id"]
    days = (pd.to_datetime(pd.Series(dates, index=table.index), errors="coerce") - pd.Timestamp("1800-01-01")).dt.days
    by_date = _since_first(days / DAYS_PER_YEAR, person)
    # One age for several sessions says nothing about the time between them.
    note = table["note"].astype(str) if "note" in table else pd.Series("", index=table.index)
    own_age = table["age"].mask(note.str.contains(ONE_AGE))
    by_age = _since_first(own_age, person)
    plausible = by_date.groupby(person).transform("max") <= MAX_FOLLOW_UP
    complete = by_date.notna().groupby(person).transform("all")
    by_date = by_date.where(plausible)
    more = by_date.notna().groupby(person).transform("sum") > by_age.notna().groupby(person).transform("sum")
    return by_date.where((complete & plausible) | more, by_age)


def _since_first(values: pd.Series, person: pd.Series) -> pd.Series:
    return values - values.groupby(person).transform("min")
