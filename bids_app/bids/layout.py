"""Which scans a BIDS dataset holds: every person and session, with or without images."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_app.bids.names import bare, listed, natural_key, scan_name, split_freesurfer_name
from bids_app.bids.source_tables import read_rows
from bids_app.errors import BIDSError, UsageError
from bids_app.tables import read_json

SUFFIXES = ("T1w", "T2w", "FLAIR")
_IMAGE = re.compile(r"sub-[A-Za-z0-9+]+_(?:[A-Za-z0-9]+-[A-Za-z0-9+]+_)*(?P<suffix>T1w|T2w|FLAIR)\.nii(?:\.gz)?")


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


Key = tuple[str, str | None]


def find_scans(
    bids_dir: Path | str,
    *,
    participant_label: Sequence[str] = (),
    session_label: Sequence[str] = (),
    filter_file: Path | None = None,
    database_dir: Path | None = None,
    validate: bool = True,
    fs_subjects: Iterable[str] = (),
) -> list[Scan]:
    """Every scan of a BIDS dataset, in natural order of labels.

    Who is in: the ``sub-*`` folders, the people of ``participants.tsv`` (else of `fs_subjects`), so that nobody
    drops out silently; a person without any image has one `Scan` with empty tuples. A session is listed when
    it has an ``anat`` folder or a FreeSurfer subject.

    Parameters
    ----------
    bids_dir : path-like
    participant_label, session_label : sequence of str
        Labels to keep, with or without prefix; empty keeps all.
    filter_file : Path, optional
        JSON with pybids filters under ``t1w``, ``t2w``, ``flair`` as in the NiPreps apps.
    database_dir : Path, optional
        Folder with a pybids index, made there when absent; saves walking a slow file system again.
    validate : bool
        Insist on a dataset_description.json.
    fs_subjects : iterable of str
        Names in the FreeSurfer subjects folder (``sub-X[_ses-Y][.long.*]``); others are ignored.

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
    filters = _filters(filter_file)
    images, anat = _images(bids_dir, wanted if participant_label else people, filters, database_dir)
    by_session = "session" in (filters or {}).get("t1w", {})
    keys = _keys(wanted, images, set() if by_session else anat.union(names))
    sessions = {session for _, session in keys if session is not None}
    if session_label:
        chosen = set(_wanted(session_label, sessions, "ses", bids_dir))
        keys = [key for key in keys if key[1] in chosen]
    return [_scan(key, images.get(key, {})) for key in keys]


def check_dataset(bids_dir: Path) -> None:
    """Raise BIDSError, saying what to do, unless `bids_dir` is the root of a BIDS dataset."""
    hint = "check the path, or use --skip-bids-validation to go on without it"
    if not bids_dir.is_dir():
        raise BIDSError(f"the BIDS folder {bids_dir} does not exist", "check the path")
    description = bids_dir / "dataset_description.json"
    if not description.exists():
        raise BIDSError(f"{bids_dir} has no dataset_description.json, so it is not a BIDS dataset", f"{hint}")
    content = read_json(description)
    missing = [key for key in ("Name", "BIDSVersion") if not isinstance(content, dict) or key not in content]
    if missing:
        raise BIDSError(f"{description} lacks {' and '.join(missing)}", f"add it, or {hint.split(', or ')[1]}")


def _people(bids_dir: Path, names: list[Key]) -> list[str]:
    found = {entry.name[4:] for entry in _folders(bids_dir, "sub-")}
    table = bids_dir / "participants.tsv"
    if table.exists():
        found |= {bare(row["participant_id"], "sub") for row in read_rows(table) if row.get("participant_id")}
    # A subjects folder may serve several studies: its people count only where the dataset names nobody.
    found = found or {participant for participant, _ in names}
    if not found:
        raise BIDSError(f"{bids_dir} has neither sub-* folders nor people in participants.tsv", "check the path")
    return sorted(found, key=natural_key)


def _folders(parent: Path | str, prefix: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(parent) as entries:
            return [entry for entry in entries if entry.name.startswith(prefix) and entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise _unreadable(parent, error) from error


def _unreadable(folder: Path | str, error: OSError) -> BIDSError:
    return BIDSError(f"the folder {folder} cannot be read ({error.strerror})", "check its permissions")


def _wanted(labels: Sequence[str], known: Iterable[str], prefix: str, bids_dir: Path) -> list[str]:
    ordered = sorted(known, key=natural_key)
    if not labels:
        return ordered
    asked = {bare(label, prefix) for label in labels}
    unknown = sorted(asked.difference(ordered), key=natural_key)
    if unknown:
        kind = {"sub": "participant", "ses": "session"}[prefix]
        close = difflib.get_close_matches(unknown[0], ordered, n=3)
        near = f"; did you mean {' or '.join(close)}?" if close else ""
        raise UsageError(
            f"{kind} label(s) {listed(unknown)} are not in {bids_dir}{near}", f"known: {listed(ordered) or 'none'}"
        )
    return [label for label in ordered if label in asked]


Images = dict[Key, dict[str, list[Path]]]


def _filters(filter_file: Path | None) -> dict[str, dict[str, Any]] | None:
    if filter_file is None:
        return None
    from bids_app.bids.query import read_filters

    return read_filters(filter_file)


def _images(
    bids_dir: Path, people: Sequence[str], filters: dict[str, dict[str, Any]] | None, database_dir: Path | None
) -> tuple[Images, set[Key]]:
    """The images per scan, by a plain walk or by pybids, and the scans that have an ``anat`` folder."""
    anat, paths = _walk(bids_dir, people)
    if filters is not None or database_dir is not None:
        from bids_app.bids.query import query_images

        paths = query_images(bids_dir, people, filters or {}, database_dir)
    found: Images = {}
    for path in map(Path, paths):
        located = locate_image(path)
        if located and located[0] in anat:
            key, suffix = located
            found.setdefault(key, {}).setdefault(suffix, []).append(path)
    return found, anat


def locate_image(path: Path) -> tuple[Key, str] | None:
    """Participant, session and suffix of a structural image; None for any other file."""
    match = _IMAGE.fullmatch(path.name)
    if match is None or path.parent.name != "anat":
        return None
    above = path.parent.parent
    session = bare(above.name, "ses") if above.name.startswith("ses-") else None
    participant = bare((above.parent if session is not None else above).name, "sub")
    if not path.name.startswith(scan_name(participant, session) + "_"):
        return None
    return (participant, session), match["suffix"]


def _walk(bids_dir: Path, people: Iterable[str]) -> tuple[set[Key], list[str]]:
    """The scans with an ``anat`` folder, and the paths of the images in those folders."""
    anat: set[Key] = set()
    paths: list[str] = []
    for person in people:
        root = os.path.join(bids_dir, f"sub-{person}")
        sessions = [(entry.name[4:], entry.path) for entry in _folders(root, "ses-")]
        for session, folder in [(None, root), *sessions]:
            images = _list_images(os.path.join(folder, "anat"))
            if images is not None:
                anat.add((person, session))
                paths += images
    return anat, paths


def _list_images(folder: str) -> list[str] | None:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if _IMAGE.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise _unreadable(folder, error) from error


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
