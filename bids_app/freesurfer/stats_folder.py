"""The stats files of one subject, each read once, whoever asks: the check of the tree, and the volumes."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path

from bids_app.errors import FreeSurferError, StatsFileError
from bids_app.freesurfer import subject
from bids_app.freesurfer.stats import StatsFile, parse_stats, read_content


class StatsFolder:
    """The stats files of one subject; remembers what was used, from which content, and what was odd.

    Parameters
    ----------
    subject_dir : Path
        FreeSurfer or FastSurfer subject directory.
    """

    def __init__(self, subject_dir: Path) -> None:
        self.subject_dir = subject_dir
        self.inputs: dict[str, str] = {}
        self.notes: list[str] = []
        self._parsed: dict[str, tuple[StatsFile, str] | StatsFileError] = {}
        self._contents: dict[str, bytes | StatsFileError] = {}

    @cached_property
    def present(self) -> frozenset[str]:
        """Names of the files; none when the folder cannot be read."""
        try:
            return frozenset(os.listdir(self.subject_dir / "stats"))
        except OSError:
            return frozenset()

    @cached_property
    def flavour(self) -> str:
        """FreeSurfer or FastSurfer (`subject.flavour`)."""
        return subject.flavour(self.subject_dir)

    def require(self) -> None:
        """Raise FreeSurferError when the folder cannot be read."""
        try:
            os.scandir(self.subject_dir / "stats").close()
        except OSError as error:
            raise FreeSurferError(f"{self.subject_dir} has no readable stats folder ({error.strerror})") from error

    def look(self, name: str) -> StatsFile:
        """The content of ``stats/<name>``, of which nothing is remembered as used.

        Raises
        ------
        StatsFileError
            When it cannot be read, or is damaged.
        """
        return self._content(name)[0]

    def read(self, name: str) -> StatsFile:
        """Read ``stats/<name>``; raise StatsFileError when that cannot be done."""
        found, digest = self._content(name)
        self.inputs[f"stats/{name}"] = digest
        self.notes.extend(found.notes)
        return found

    def find(self, name: str) -> StatsFile | None:
        """Read ``stats/<name>`` if it is there and whole; otherwise None, with a note if it is damaged."""
        if name not in self.present:
            return None
        try:
            return self.read(name)
        except StatsFileError as error:
            self.notes.append(f"left out: {error}")
            return None

    def content(self, name: str) -> bytes:
        """The bytes of ``stats/<name>``, of which nothing is remembered as used.

        Raises
        ------
        StatsFileError
            When it cannot be read.
        """
        if name not in self._contents:
            try:
                self._contents[name] = read_content(self._path(name))
            except StatsFileError as error:
                self._contents[name] = error
        found = self._contents[name]
        if isinstance(found, StatsFileError):
            raise found
        return found

    def _path(self, name: str) -> str:
        return os.path.join(self.subject_dir, "stats", name)

    def _content(self, name: str) -> tuple[StatsFile, str]:
        if name not in self._parsed:
            try:
                content = self.content(name)
                self._parsed[name] = parse_stats(content, self._path(name)), hashlib.sha256(content).hexdigest()
            except StatsFileError as error:
                self._parsed[name] = error
        found = self._parsed[name]
        if isinstance(found, StatsFileError):
            raise found
        return found
