"""Reading the participant level's outputs back: which scans were scored, their summaries, their tables."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from bids_app.bids.names import bare, natural_key, participant_id
from bids_app.bids.scan_tables import ScanKey, read_wide
from bids_app.errors import InputError
from bids_app.tables import read_json

HASHES = frozenset(("inputs", "fingerprint"))
# Beyond, only what was met before is shared: most values differ from scan to scan.
MOST_SHARED = 2_000
# Changes when what is read of a summary does; summaries of version 0.1 have none and are read
SCHEMA = 1
NEEDED = frozenset(("participant_id",))
SUMMARY_SUFFIX = "_desc-summary_morph.json"
# Longer than NFS keeps what it knows of a folder by default (acdirmin is 30 s, of files that are looked for 3 s)
LATE_SECONDS = 5.0
T = TypeVar("T")


def not_shown(wanted: Iterable[T], is_there: Callable[[T], bool]) -> list[T]:
    """Those of `wanted` that are not there, also not after a while: NFS shows late what another machine wrote."""
    until = time.monotonic() + LATE_SECONDS
    left = [item for item in wanted if not is_there(item)]
    while left and time.monotonic() < until:
        time.sleep(LATE_SECONDS / 20)
        left = [item for item in left if not is_there(item)]
    return left


def summary_paths(output_dir: Path | str) -> list[tuple[ScanKey, Path]]:
    """``participant_id``, ``session_id`` and path of every scan's summary, in natural order."""
    found = []
    for person in _subfolders(output_dir, "sub-"):
        sessions = [(entry.name, entry.path) for entry in _subfolders(person.path, "ses-")]
        for session, folder in [(None, person.path), *sessions]:
            stem = "_".join(part for part in (person.name, session) if part)
            path = Path(folder, "anat", stem + SUMMARY_SUFFIX)
            if path.exists():
                found.append(((person.name, session), path))
    return sorted(found, key=lambda item: (natural_key(item[0][0]), natural_key(item[0][1])))


def person_summary_paths(output_dir: Path | str, participant: str) -> list[Path]:
    """Paths of the summaries of a person's scored scans (label without prefix), in natural order."""
    person = os.path.join(output_dir, participant_id(participant))
    folders = [f"{folder}/anat" for folder in (person, *(entry.path for entry in _subfolders(person, "ses-")))]
    listings = ((folder, os.listdir(folder)) for folder in folders if os.path.isdir(folder))
    found = [Path(folder, name) for folder, names in listings for name in names if name.endswith(SUMMARY_SUFFIX)]
    return sorted(found, key=lambda path: natural_key(path.name))


def _subfolders(parent: Path | str, prefix: str) -> Iterator[os.DirEntry[str]]:
    if not os.path.isdir(parent):
        return
    with os.scandir(parent) as entries:
        yield from [entry for entry in entries if entry.name.startswith(prefix) and entry.is_dir()]


def read_summaries(output_dir: Path | str) -> list[dict[str, Any]]:
    """The content of every scan's ``desc-summary`` file, in natural order of people and sessions.

    Equal texts are one in memory, and hashes stay on disk: a hundred thousand summaries are to fit.

    Raises
    ------
    InputError
        When a summary is damaged, or of another version.
    """
    make = _Shared()
    return [
        _of_this_version(read_json(path, object_pairs_hook=make), path, output_dir)
        for _, path in summary_paths(output_dir)
    ]


def _of_this_version(summary: Any, path: Path, output_dir: Path | str) -> dict[str, Any]:
    """`summary`; InputError with what to do when it is of another version, whose form is not this one's."""
    schema = summary.get("schema", SCHEMA) if isinstance(summary, dict) else 0
    if isinstance(schema, int) and schema > SCHEMA:
        raise InputError(f"{path} was written by a newer version of normvol", "update normvol")
    if schema != SCHEMA or NEEDED.difference(summary):
        raise InputError(
            f"{path} was written by an older version of normvol, or is damaged",
            f"write it anew: normvol BIDS_DIR {output_dir} participant --force",
        )
    found: dict[str, Any] = summary
    return found


class _Shared:
    """Makes the objects of JSON texts; of lists and objects that hold no other, equal ones are one if met early."""

    def __init__(self) -> None:
        self.known: dict[Any, Any] = {}

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        key = tuple(pairs)
        try:
            found = self.known.get(key)
        except TypeError:
            return {sys.intern(name): self._value(value) for name, value in pairs if name not in HASHES}
        if found is None:
            found = {sys.intern(name): _interned(value) for name, value in pairs}
            if len(self.known) < MOST_SHARED:
                self.known[key] = found
        return found

    def _value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return _interned(value)
        try:
            few = len(self.known) < MOST_SHARED
            return self.known.setdefault((list, *value), value) if few else self.known.get((list, *value), value)
        except TypeError:
            return value


def _interned(value: Any) -> Any:
    return sys.intern(value) if isinstance(value, str) else value


def read_deviations(
    output_dir: Path | str, desc: str = "deviations", *, participants: Sequence[str] = ()
) -> pd.DataFrame:
    """z of all scored scans of an output folder.

    Parameters
    ----------
    output_dir : path-like
    desc : {'deviations', 'extended', 'asymmetry', 'thickness', 'area'}
        Which tables of z are read.
    participants : sequence of str
        Labels to keep, with ``sub-`` or without; empty keeps everybody.

    Returns
    -------
    DataFrame
        As `read_wide`: ``participant_id session_id`` and z by region, one row per scan.
    """
    wanted = {bare(label, "sub") for label in participants}
    keys = [key for key, _ in summary_paths(output_dir) if not wanted or bare(key[0], "sub") in wanted]
    return read_wide(output_dir, keys, desc, "z")
