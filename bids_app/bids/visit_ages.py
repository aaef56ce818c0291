"""The age at each visit of a person, from whatever table or date tells it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bids_app.bids.age_sex import DAYS_PER_YEAR, MAX_AGE
from bids_app.bids.covariate_columns import Answer, age_at_visit, age_of
from bids_app.bids.covariate_sources import NOTHING, Source, load_phenotypes, load_scans_table, load_visits
from bids_app.bids.layout import Scan
from bids_app.bids.names import natural_key
from bids_app.bids.visit_times import MAX_FOLLOW_UP
from bids_app.findings import Finding

# The end of the note on a person's one age that stands for several sessions
ONE_AGE = "used for each"
# Where an age that was worked out is said to be from
BY_BIRTH, BY_DATES = "date of birth and of the visit", " + dates"
# Years by which whole-year ages and dates may differ
TOLERANCE = 1.5
_FIRST = re.compile(r"(pre|bl|base|screen|init|first|entry|start)")
_LATER = re.compile(r"(post|fu|follow|retest|last|end|exit)")


def visit_order(label: str) -> tuple[int, tuple[tuple[int, int, str, str], ...]]:
    """Sorting key of session labels in time: numbers in order, ``pre`` before ``post``."""
    text = label.lower()
    return (-1 if _FIRST.match(text) else 1 if _LATER.match(text) else 0), natural_key(label)


def _years(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 86400 / DAYS_PER_YEAR


def _earliest(rows: Iterable[list[tuple[str, datetime]]]) -> datetime | None:
    """The earliest of the rows' most trusted dates."""
    return min((dates[0][1] for dates in rows), default=None)


class VisitAges:
    """The tables of one dataset, asked for the age at a visit.

    Parameters
    ----------
    bids_dir : Path
    people : Source
        ``participants.tsv``, or the table that the user named (`explicit`).
    scans : iterable of Scan
        Scans that exist besides the dataset's folders.
    one_age : bool
        Take the person's one age for every visit where nothing tells more.
    """

    def __init__(
        self, bids_dir: Path, people: Source, scans: Iterable[Scan], *, explicit: bool = False, one_age: bool = False
    ) -> None:
        self.bids_dir, self.people, self.explicit, self.one_age = bids_dir, people, explicit, one_age
        self._known: dict[str, set[str]] = {}
        for scan in scans:
            if scan.session is not None:
                self._known.setdefault(scan.participant, set()).add(scan.session)
        self.visits = load_visits(bids_dir, self._known)
        self.phenotypes = load_phenotypes(bids_dir)
        self._scan_tables: dict[tuple[str, str | None], Source] = {}
        self._sessions: dict[str, list[str]] = {}
        self._found: dict[str, set[str]] = {}

    def visits_of(self, participant: str) -> Source:
        """The rows of the person's sessions.tsv."""
        return self.visits.get(participant, NOTHING)

    def sessions(self, participant: str) -> list[str]:
        """Every visit of a person, in time as far as labels tell: scans, and visits of sessions.tsv without folder."""
        if participant not in self._sessions:
            found = self._labels(participant)
            table = self.visits_of(participant)
            used = {table.label_of(participant, session, found) for session in found}
            visits = {visit for visit in table.sessions(participant) - used if not self._is_folder(participant, visit)}
            self._sessions[participant] = sorted(found | visits, key=visit_order)
        return self._sessions[participant]

    def _labels(self, participant: str) -> set[str]:
        """The sessions of a person that are there: folders and FreeSurfer trees."""
        if participant not in self._found:
            self._found[participant] = {*self._known.get(participant, ()), *self._folders(participant)}
        return self._found[participant]

    def _folders(self, participant: str) -> set[str]:
        folder = os.path.join(self.bids_dir, f"sub-{participant}")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        sessions = (name for name in names if name.startswith("ses-"))
        return {name[4:] for name in sessions if os.path.isdir(os.path.join(folder, name, "anat"))}

    def _is_folder(self, participant: str, session: str) -> bool:
        return (self.bids_dir / f"sub-{participant}" / f"ses-{session}").is_dir()

    def _tables(self, scan: Scan) -> list[Source]:
        """Tables that may know a visit, the most trusted first."""
        own = (self.visits_of(scan.participant), self._scans_table(scan))
        return [self.people, *own, *self.phenotypes] if self.explicit else [*own, self.people, *self.phenotypes]

    def _scans_table(self, scan: Scan) -> Source:
        key = scan.participant, scan.session
        if key not in self._scan_tables:
            self._scan_tables[key] = load_scans_table(self.bids_dir, *key)
        return self._scan_tables[key]

    def at(self, scan: Scan) -> Answer:
        """The age at a scan: stated for it, or worked out from dates; without a value or problem when nothing tells."""
        answer = self._at(scan)
        if answer.value is None or not answer.column.endswith((BY_DATES, BY_BIRTH)):
            return answer
        return replace(answer, findings=(*answer.findings, *self._doubts(scan)))

    def _doubts(self, scan: Scan) -> list[Finding]:
        """A finding where a row gives the visit two days."""
        source, rows = self._dated(scan)
        return [
            Finding(
                "visit-dates-differ",
                f"{source.name} gives {scan.name} {', '.join(f'{name} {time:%Y-%m-%d}' for name, time in dates)}",
            )
            for dates in rows
            if len({time.date() for _, time in dates}) > 1
        ]

    def _at(self, scan: Scan) -> Answer:
        stated = self._stated(scan)
        if stated.value is not None:
            return self._held_against_dates(scan, stated)
        if stated.problem:
            return stated
        born = self._by_birth(scan)
        if born is not None:
            return born
        one = self._one_age(scan.participant)
        sessions = self.sessions(scan.participant)
        if scan.session is None or len(sessions) == 1:
            return one if one.value is not None or one.problem else self._by_other_visit(scan, sessions)
        if one.value is None:
            return one if one.problem else self._by_other_visit(scan, sessions)
        return self._advanced(scan, one, sessions)

    def _stated(self, scan: Scan) -> Answer:
        """An age that a table gives for this very scan."""
        for source in self._tables(scan):
            if scan.session is None:
                if source is self.people or source in self.phenotypes:
                    continue  # a person's age, asked later
                answer = source.ask(age_of, scan.participant, None)
            else:
                answer = self._of_session(source, scan.participant, scan.session)
            if answer.value is not None or (answer.problem and source not in self.phenotypes):
                return answer
        return Answer()

    def _held_against_dates(self, scan: Scan, stated: Answer) -> Answer:
        """A stated age, with a finding where it does not fit the first visit's age and both dates."""
        sessions = self.sessions(scan.participant) if scan.session is not None else []
        if len(sessions) < 2 or scan.session == sessions[0]:
            return stated
        first, times = self._stated(Scan(scan.participant, sessions[0])), self._times(scan.participant, sessions)
        start, end = times[sessions[0]], times.get(str(scan.session))
        if first.value is None or start is None or end is None:
            return stated
        by_age, by_date = stated.value - first.value, _years(start, end)
        if abs(by_age - by_date) <= TOLERANCE:
            return stated
        seen = (
            f"ages of ses-{sessions[0]} and ses-{scan.session} are {by_age:.1f} years apart, their dates {by_date:.1f}"
        )
        return replace(stated, findings=(*stated.findings, Finding("age-contradicts-dates", seen)))

    def _of_session(self, source: Source, participant: str, session: str) -> Answer:
        label = source.label_of(participant, session, self._labels(participant))
        answer = source.ask(age_of, participant, label)
        if answer.value is None and not answer.problem:
            return source.ask(lambda row, roles: age_at_visit(row, roles, session), participant, None)
        return self.matched(answer, source, session, label)

    def label_in(self, source: Source, scan: Scan) -> str | None:
        """The label under which a table has the session of a scan."""
        if scan.session is None:
            return None
        return source.label_of(scan.participant, scan.session, self._labels(scan.participant))

    @staticmethod
    def matched(answer: Answer, source: Source, session: str, label: str) -> Answer:
        """`answer` with a finding where the table spells the session otherwise."""
        if label == session or answer.value is None:
            return answer
        finding = Finding("session-label-matched", f"{source.name} writes session {label} for ses-{session}")
        return replace(answer, findings=(*answer.findings, finding))

    def time(self, participant: str, session: str | None) -> datetime | None:
        """When a visit was: by the most trusted table and column with a date of it, the earliest of several rows."""
        return _earliest(self._dated(Scan(participant, session))[1])

    def _dated(self, scan: Scan) -> tuple[Source, list[list[tuple[str, datetime]]]]:
        """The most trusted table that has a date of a visit, and its dates."""
        for source in self._tables(scan):
            label = self.label_in(source, scan)
            if rows := source.dates(scan.participant, label, of_scan=source in self.phenotypes):
                return source, rows
        return NOTHING, []

    def imaging_time(self, participant: str, session: str | None) -> datetime | None:
        """When a visit was by BIDS' own ``acq_time``, in sessions.tsv or else scans.tsv."""
        scan = Scan(participant, session)
        for source in (self.visits_of(participant), self._scans_table(scan)):
            if rows := source.dates(participant, self.label_in(source, scan)):
                return _earliest(rows)
        return None

    def _by_birth(self, scan: Scan) -> Answer | None:
        """The visit's date less the date of birth, where every table agrees on one."""
        births = {birth for source in (self.people, *self.phenotypes) for birth in source.births(scan.participant)}
        time = self.time(scan.participant, scan.session) if len(births) == 1 else None
        if time is None:
            return None
        age = _years(births.pop(), time)
        if not 0 <= age <= MAX_AGE:
            return None
        return Answer(age, BY_BIRTH, "age computed from the dates of birth and of the visit")

    def _one_age(self, participant: str) -> Answer:
        """The person's own age, of no stated visit."""
        answer = self.people.ask(age_of, participant, None)
        if answer.value is not None or answer.problem:
            return answer
        answers = (source.ask(age_of, participant, None) for source in self.phenotypes)
        return next((answer for answer in answers if answer.value is not None), Answer())

    def _advanced(self, scan: Scan, one: Answer, sessions: list[str]) -> Answer:
        """The person's one age, which is that of the first visit, at one of several."""
        session = str(scan.session)
        times = self._times(scan.participant, sessions)
        first = min((time for time in times.values() if time), default=None)
        this = times[session]
        if first is not None and this is not None and self._is_first(first, times, sessions):
            if this == first:
                return one
            offset = _years(first, this)
            source, note = f"{one.column}{BY_DATES}", f"age of the first session plus {offset:.2f} years by the dates"
            return replace(one, value=one.value + offset, column=source, note=_joined(one.note, note))
        if session == sessions[0] and first is None and not self.one_age:
            return one
        return self._untold(one, sessions, session)

    def _is_first(self, first: datetime, times: dict[str, datetime | None], sessions: list[str]) -> bool:
        """Whether the earliest date that is known is that of the first visit."""
        return all(times.values()) or times[sessions[0]] == first

    def _times(self, participant: str, sessions: list[str]) -> dict[str, datetime | None]:
        """The dates of the sessions; none where they cannot all be true."""
        times = {session: self.time(participant, session) for session in sessions}
        known = [time for time in times.values() if time]
        shifted = bool(known) and _years(min(known), max(known)) > MAX_FOLLOW_UP
        # numbered visits whose dates run backwards were shifted one by one
        reversed_ = known != sorted(known) and all(re.search(r"\d", session) for session in sessions)
        return dict.fromkeys(times) if shifted or reversed_ else times

    def _untold(self, one: Answer, sessions: list[str], session: str) -> Answer:
        stated = f"{one.column} gives one age ({one.value:g}) for {len(sessions)} sessions"
        seen = f"{stated}, and no date that can be true tells the time between"
        if self.one_age:
            note = f"one age for {len(sessions)} sessions, {ONE_AGE}"
            later = () if session == sessions[0] else (Finding("age-one-for-all", seen),)
            return replace(one, note=_joined(one.note, note), findings=(*one.findings, *later))
        return Answer(
            problem=f"the age at ses-{session} is not known: {seen}", findings=(Finding("age-of-visit-unknown", seen),)
        )

    def _by_other_visit(self, scan: Scan, sessions: list[str]) -> Answer:
        """The age that a table states for another visit, and the time between both."""
        times = self._times(scan.participant, sessions)
        this = times.get(str(scan.session))
        for session in sessions:
            other, time = self._stated(Scan(scan.participant, session)), times[session]
            if session != scan.session and other.value is not None and this and time:
                offset = _years(time, this)
                note = f"age at ses-{session} plus {offset:.2f} years by the dates"
                return replace(other, value=other.value + offset, column=f"{other.column}{BY_DATES}", note=note)
        return Answer()


def _joined(*notes: str | None) -> str:
    return "; ".join(note for note in notes if note)
