"""The tables that may know a scan's age and sex, and what their rows say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bids_app.bids.covariate_columns import Answer, Roles, find_roles
from bids_app.bids.names import participant_id
from bids_app.bids.source_tables import Row, read_any_sheet, read_sheet, read_sidecar, row_key
from bids_app.errors import BIDSError


@dataclass(frozen=True)
class Source:
    """One table: its name in messages, its rows per person and session (None: of the person), its columns."""

    name: str = ""
    rows: dict[str, dict[str | None, list[Row]]] = field(default_factory=dict)
    roles: Roles = field(default_factory=Roles)
    found: bool = False

    def row(self, participant: str, session: str | None) -> Row:
        """The first row of a scan; empty when there is none."""
        return self.rows.get(participant, {}).get(session, [{}])[0]

    def sessions(self, participant: str) -> set[str]:
        """The sessions that have rows."""
        return {session for session in self.rows.get(participant, {}) if session is not None}

    def ask(self, question: Callable[[Row, Roles], Answer], participant: str, session: str | None) -> Answer:
        """What the rows of a scan answer; several rows must agree."""
        answers = [question(row, self.roles) for row in self.rows.get(participant, {}).get(session, [])]
        if len({answer.value for answer in answers}) > 1:
            return Answer(
                problem=f"{self.name} has {len(answers)} rows for {participant_id(participant)} that differ; keep one"
            )
        if not answers or (answers[0].value is None and not answers[0].problem):
            return Answer()
        answer = answers[0]
        if answer.value is None:
            return Answer(problem=f"{self.name}: {answer.problem}")
        return Answer(answer.value, f"{self.name}:{answer.column}", answer.note)


def load_source(path: Path) -> Source:
    """A table of people (``participants.tsv`` or the user's own), its JSON dictionary beside it.

    Raises
    ------
    BIDSError
        When it has no column that names the person.
    """
    header, rows = read_any_sheet(path)
    if "participant_id" not in header:
        raise BIDSError(f"{path} has no column participant_id (columns: {', '.join(header)})", "add it")
    keyed: dict[str, dict[str | None, list[Row]]] = {}
    for row in rows:
        participant, session = row_key(row)
        keyed.setdefault(participant, {}).setdefault(session, []).append(row)
    return Source(path.name, keyed, find_roles(header, read_sidecar(path)), found=True)


def load_visits(bids_dir: Path, people: Iterable[str]) -> dict[str, Source]:
    """Per person the rows of ``sub-X/sub-X_sessions.tsv``, or of a ``sessions.tsv`` of the whole dataset."""
    whole = bids_dir / "sessions.tsv"
    common = load_source(whole) if whole.exists() else None
    common_sidecar = read_sidecar(whole)
    found: dict[str, Source] = {}
    for person in people:
        path = bids_dir / f"sub-{person}" / f"sub-{person}_sessions.tsv"
        if path.exists():
            header, rows = read_sheet(path)
            keyed: dict[str | None, list[Row]] = {}
            for row in rows:
                keyed.setdefault(row_key(row)[1], []).append(row)
            roles = find_roles(header, {**common_sidecar, **read_sidecar(path)})
            found[person] = Source(path.name, {person: keyed}, roles)
        elif common is not None:
            found[person] = common
    return found
