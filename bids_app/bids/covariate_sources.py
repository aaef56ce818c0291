"""The tables that may know a scan's age and sex, and what their rows say."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bids_app.bids.covariate_columns import SCAN_NAMES, Answer, Roles, find_roles
from bids_app.bids.names import participant_id, scan_name, unpadded
from bids_app.bids.source_tables import (
    PERHAPS_SESSION,
    Row,
    format_remark,
    people_tables,
    plain,
    read_any_sheet,
    read_sheet,
    read_sidecar,
    row_key,
)
from bids_app.bids.visit_times import parse_time
from bids_app.errors import BIDSError


@dataclass(frozen=True)
class Source:
    """One table: its name in messages, its rows per person and session (None: of the person), its columns.

    `remark` says what is odd about its format.
    """

    name: str = ""
    rows: dict[str, dict[str | None, list[Row]]] = field(default_factory=dict)
    roles: Roles = field(default_factory=Roles)
    found: bool = False
    remark: str = ""

    def row(self, participant: str, session: str | None) -> Row:
        """The first row of a scan; empty when there is none."""
        return self.rows.get(participant, {}).get(session, [{}])[0] if self.rows else {}

    def sessions(self, participant: str) -> set[str]:
        """The sessions that have rows."""
        return {session for session in self.rows.get(participant, {}) if session is not None}

    def ask(self, question: Callable[[Row, Roles], Answer], participant: str, session: str | None) -> Answer:
        """What the rows of a scan answer; several rows must agree."""
        answers = [question(row, self.roles) for row in self.rows.get(participant, {}).get(session, [])]
        if len({answer.value for answer in answers}) > 1:
            column = self._perhaps_session()
            remedy = f"; is {column} the session? then call it session_id" if column else "; keep one"
            return Answer(
                problem=f"{self.name} has {len(answers)} rows for {participant_id(participant)} that differ{remedy}"
            )
        if not answers or (answers[0].value is None and not answers[0].problem):
            return Answer()
        answer = answers[0]
        if answer.value is None:
            return Answer(problem=f"{self.name}: {answer.problem}")
        findings = tuple(replace(finding, seen=f"{self.name}: {finding.seen}") for finding in answer.findings)
        return replace(answer, column=f"{self.name}:{answer.column}", findings=findings)

    def _perhaps_session(self) -> str | None:
        names = {name for visits in self.rows.values() for rows in visits.values() for row in rows for name in row}
        return next((name for name in sorted(names) if plain(name) in PERHAPS_SESSION), None)

    def label_of(self, participant: str, session: str, others: Collection[str]) -> str:
        """The label under which the table has `session`: its own, or the one spelling that can be meant.

        `others` are all sessions of the person; ``01`` is not taken for ``1`` where both are.
        """
        known = self.sessions(participant)
        if session in known:
            return session
        same = [label for label in known if unpadded(label) == unpadded(session)]
        rivals = [label for label in {*others, session} if unpadded(label) == unpadded(session)]
        return same[0] if len(same) == len(rivals) == 1 else session

    def dates(
        self, participant: str, session: str | None, *, of_scan: bool = False
    ) -> list[list[tuple[str, datetime]]]:
        """The dates that each row of a scan gives, with their columns, the most trusted first; rows without are not in.

        With `of_scan` only from columns that name the visit or image.
        """
        rows = self.rows.get(participant, {}).get(session, [])
        names = [name for name in self.roles.dates if not of_scan or set(plain(name).split("_")) & SCAN_NAMES]
        found = ([(name, time) for name in names if (time := parse_time(row.get(name)))] for row in rows)
        return [dates for dates in found if dates]

    def births(self, participant: str) -> set[datetime]:
        """Every date of birth that the rows of a person give."""
        rows = [row for visit in self.rows.get(participant, {}).values() for row in visit]
        times = (parse_time(row.get(name)) for row in rows for name in self.roles.births)
        return {time for time in times if time}


NOTHING = Source()


def load_source(path: Path) -> Source:
    """A table of people (``participants.tsv`` or the user's own), its JSON dictionary beside it.

    Raises
    ------
    BIDSError
        When it has no column that names the person.
    """
    header, rows = read_any_sheet(path)
    if "participant_id" not in header:
        raise BIDSError(
            f"{path} has no column participant_id (columns: {', '.join(header)})",
            f"add it, or rename the column that names the person (is it {header[0]}?) to participant_id",
        )
    return _source(path.name, header, rows, read_sidecar(path), format_remark(path))


def _source(name: str, header: Sequence[str], rows: Sequence[Row], sidecar: Mapping[str, Any], remark: str) -> Source:
    keyed: dict[str, dict[str | None, list[Row]]] = {}
    for row in rows:
        participant, session = row_key(row)
        keyed.setdefault(participant, {}).setdefault(session, []).append(row)
    return Source(name, keyed, find_roles(header, sidecar, rows), True, remark)


def load_phenotypes(bids_dir: Path) -> list[Source]:
    """The tables of ``phenotype/`` that name people; one that cannot be read is passed over."""
    found = []
    for path in people_tables(bids_dir / "phenotype"):
        with suppress(BIDSError):
            found.append(load_source(path))
    return [source for source in found if source.roles.ages or source.roles.wide or source.roles.dates]


def load_scans_table(bids_dir: Path, participant: str, session: str | None) -> Source:
    """The rows of ``sub-X[_ses-Y]_scans.tsv`` as those of the scan; empty when there is none."""
    folders = [participant_id(participant)] if session is None else [participant_id(participant), f"ses-{session}"]
    place = os.path.join(bids_dir, *folders, f"{scan_name(participant, session)}_scans.tsv")
    if not os.path.exists(place):
        return NOTHING
    path = Path(place)
    header, rows = read_sheet(path)
    anat = [row for row in rows if row.get("filename", "").startswith("anat/")]
    roles = find_roles(header, {**read_sidecar(bids_dir / "scans.tsv"), **read_sidecar(path)}, rows)
    return Source(path.name, {participant: {session: anat or rows}}, roles, True)


def load_visits(bids_dir: Path, people: Iterable[str]) -> dict[str, Source]:
    """Per person the rows of ``sub-X/sub-X_sessions.tsv``, or of a ``sessions.tsv`` of the whole dataset."""
    whole = bids_dir / "sessions.tsv"
    common = load_source(whole) if whole.exists() else None
    common_sidecar = read_sidecar(whole)
    found: dict[str, Source] = {}
    for person in people:
        place = os.path.join(bids_dir, f"sub-{person}", f"sub-{person}_sessions.tsv")
        if os.path.exists(place):
            path = Path(place)
            header, rows = read_sheet(path)
            keyed: dict[str | None, list[Row]] = {}
            for row in rows:
                keyed.setdefault(row_key(row)[1], []).append(row)
            roles = find_roles(header, {**common_sidecar, **read_sidecar(path)}, rows)
            found[person] = Source(path.name, {person: keyed}, roles)
        elif common is not None:
            found[person] = common
    return found
