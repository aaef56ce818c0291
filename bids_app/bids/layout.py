"""Which scans a BIDS dataset holds: every person and session, with or without images."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.bids.names import bare, is_label, listed, natural_key, scan_name, split_freesurfer_name, unpadded
from bids_app.bids.query import SUFFIXES, Images, Key, find_images, read_filters
from bids_app.bids.source_tables import read_rows
from bids_app.errors import BIDSError, UsageError
from bids_app.tables import read_json


@dataclass(frozen=True)
class Scan:
    """One person's session: labels without prefix, and its structural images (content may be un-fetched)."""

    participant: str
    session: str | None = None
    t1w: tuple[Path, ...] = ()
    t2w: tuple[Path, ...] = ()
    flair: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """``sub-X`` or ``sub-X_ses-Y``."""
        return scan_name(self.participant, self.session)


def find_scans(
    bids_dir: Path | str,
    *,
    participant_label: Sequence[str] = (),
    session_label: Sequence[str] = (),
    filter_file: Path | None = None,
    database_dir: Path | None = None,
    kept_dir: Path | None = None,
    validate: bool = True,
    fs_subjects: Iterable[str] = (),
    images: bool = True,
) -> list[Scan]:
    """Every scan of a BIDS dataset, in natural order of labels.

    Images, and what a filter file selects, come from one pybids index of the people asked for. Such an index does
    not know who has no image, so one listing of folder names is merged to it: the ``sub-*`` folders, the people of
    ``participants.tsv`` (else of `fs_subjects`), so that nobody drops out silently; a person without any image has
    one `Scan` with empty tuples. A session is listed when it has an ``anat`` folder or a FreeSurfer subject.

    Parameters
    ----------
    bids_dir : path-like
    participant_label, session_label : sequence of str
        Labels to keep, with or without prefix; empty keeps all.
    filter_file : Path, optional
        JSON with pybids filters under ``t1w``, ``t2w``, ``flair`` as in the NiPreps apps.
    database_dir : Path, optional
        Folder with a pybids index, made there when absent; saves walking a slow file system again.
    kept_dir : Path, optional
        Folder (of the work directory) where the index of a whole dataset is kept until a folder of it changes.
    validate : bool
        Insist on a dataset_description.json.
    fs_subjects : iterable of str
        Names in the FreeSurfer subjects folder (``sub-X[_ses-Y][.long.*]``); others are ignored.
    images : bool
        Look for images; without, folders' names alone tell people and sessions, unless a filter selects sessions.

    Raises
    ------
    BIDSError
        When `bids_dir` is not a BIDS dataset.
    UsageError
        When a label is unknown or the filter file unusable.
    """
    bids_dir = Path(bids_dir).absolute()
    if validate:
        check_dataset(bids_dir)
    names = [pair for pair in map(split_freesurfer_name, fs_subjects) if pair]
    people = _people(bids_dir, names)
    wanted = _wanted(participant_label, people, "sub", bids_dir)
    filters = {} if filter_file is None else read_filters(filter_file)
    by_session = "session" in filters.get("t1w", {})
    named = [label for label in wanted if is_label(label)]
    folders = _anat_folders(bids_dir, named)
    kept = None if kept_dir is None or participant_label else (kept_dir, _state(folders.values()))
    found = find_images(bids_dir, list(folders.values()), filters, database_dir, kept) if images or by_session else {}
    found = {key: item for key, item in found.items() if key in folders}
    keys = _keys(wanted, found, () if by_session else (*folders, *names))
    return only_sessions([_scan(key, found.get(key, {})) for key in keys], session_label, bids_dir)


def only_sessions(scans: Sequence[Scan], labels: Sequence[str], bids_dir: Path) -> list[Scan]:
    """The scans of the sessions `labels` (with or without prefix; empty keeps all).

    Raises
    ------
    UsageError
        When no scan has one of them.
    """
    known = {scan.session for scan in scans if scan.session is not None}
    chosen = set(_wanted(labels, known, "ses", bids_dir)) if labels else None
    return [scan for scan in scans if chosen is None or scan.session in chosen]


def check_dataset(bids_dir: Path) -> None:
    """Raise BIDSError, saying what to do, unless `bids_dir` is the root of a BIDS dataset."""
    hint = "check the path, or use --skip-bids-validation to go on without it"
    if not bids_dir.is_dir():
        raise BIDSError(f"the BIDS folder {bids_dir} does not exist", "check the path")
    description = bids_dir / "dataset_description.json"
    if not description.exists():
        raise BIDSError(f"{bids_dir} has no dataset_description.json, so it is not a BIDS dataset", hint)
    content = read_json(description)
    missing = [key for key in ("Name", "BIDSVersion") if not isinstance(content, dict) or key not in content]
    if missing:
        raise BIDSError(f"{description} lacks {' and '.join(missing)}", f"add it, or {hint.split(', or ')[1]}")


def _people(bids_dir: Path, names: list[Key]) -> set[str]:
    found = {entry.name[4:] for entry in _folders(bids_dir, "sub-")}
    table = bids_dir / "participants.tsv"
    if table.exists():
        labels = {bare(row["participant_id"], "sub") for row in read_rows(table) if row.get("participant_id")}
        labels -= found
        # a row whose label only spells a folder's otherwise (1 for 01) is no second person; covariates name it
        folders = {unpadded(label) for label in found} - {""} if labels else set()
        found |= {label for label in labels if unpadded(label) not in folders}
    # A subjects folder may serve several studies: its people count only where the dataset names nobody.
    found = found or {participant for participant, _ in names}
    if not found:
        raise BIDSError(f"{bids_dir} has neither sub-* folders nor people in participants.tsv", "check the path")
    return found


def _folders(parent: Path | str, prefix: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(parent) as entries:
            return [entry for entry in entries if entry.name.startswith(prefix) and entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise BIDSError(f"the folder {parent} cannot be read ({error.strerror})", "check its permissions") from error


def _wanted(labels: Sequence[str], known: set[str], prefix: str, bids_dir: Path) -> list[str]:
    asked = {bare(label, prefix) for label in labels}
    unknown = sorted(asked - known, key=natural_key)
    if unknown:
        ordered = sorted(known, key=natural_key)
        kind = {"sub": "participant", "ses": "session"}[prefix]
        close = difflib.get_close_matches(unknown[0], ordered, n=3)
        near = f"; did you mean {' or '.join(close)}?" if close else ""
        raise UsageError(
            f"{kind} label(s) {listed(unknown)} are not in {bids_dir}{near}", f"known: {listed(ordered) or 'none'}"
        )
    return sorted(asked if labels else known, key=natural_key)


def _anat_folders(bids_dir: Path, people: Iterable[str]) -> dict[Key, Path]:
    """The ``anat`` folder of every person and session that has one."""
    found: dict[Key, Path] = {}
    for person in people:
        root = bids_dir / f"sub-{person}"
        sessions = [(entry.name[4:], Path(entry.path)) for entry in _folders(root, "ses-")]
        for session, folder in [(None, root), *sessions]:
            anat = folder / "anat"
            if anat.is_dir():
                _check_readable(anat)
                found[person, session] = anat
    return found


def _check_readable(folder: Path) -> None:
    """pybids passes over what it may not read; nobody may drop out so."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise BIDSError(f"the folder {folder} cannot be read (Permission denied)", "check its permissions")


def _state(folders: Iterable[Path]) -> str:
    """Changes when an image comes to or leaves one of `folders`."""
    digest = hashlib.sha256()
    for folder in folders:
        digest.update(f"{folder}\t{os.stat(folder).st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _keys(people: Sequence[str], images: Images, others: Iterable[Key]) -> list[Key]:
    """The scans of `people`: those with images, and of `others` those that name a session."""
    sessions: dict[str, set[str | None]] = {person: set() for person in people}
    for participant, session in [*images, *(key for key in others if key[1] is not None)]:
        if participant in sessions:
            sessions[participant].add(session)
    return [(person, session) for person in people for session in sorted(sessions[person] or {None}, key=natural_key)]


def _scan(key: Key, images: dict[str, list[Path]]) -> Scan:
    t1w, t2w, flair = (tuple(sorted(images.get(suffix, []))) for suffix in SUFFIXES)
    return Scan(key[0], key[1], t1w, t2w, flair)
