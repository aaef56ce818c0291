"""Temporary folders and helping processes that go when this process goes, however it goes."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

from bids_app.errors import UsageError

LOOK_SECONDS = 0.5
WORKER_KILLED = "a worker process was killed from outside, most likely because memory ran out"
LITTLE_BYTES, LITTLE_INODES = 1_000_000, 10
# Ends its reading when this process and all forked from it have ended: they alone hold the other end of the pipe.
_CLEANER = 'while IFS= read -r folder; do set -- "$@" "$folder"; done; [ $# = 0 ] || rm -rf -- "$@"'


def temporary_folder(prefix: str) -> Path:
    """A new folder that is removed when this process and its workers have ended, killed ones too."""
    folder = Path(tempfile.mkdtemp(prefix=prefix)).absolute()
    cleaner = _cleaner(os.getpid())
    if cleaner is not None and "\n" not in str(folder):
        with suppress(OSError):
            cleaner.write(os.fsencode(folder) + b"\n")
    return folder


def full_places(places: Iterable[Path | None]) -> list[str]:
    """Those of `places`, and the temporary folder, that have no room for a file: no bytes, or no inodes."""
    found = []
    for place in (Path(tempfile.gettempdir()), *filter(None, places)):
        with suppress(OSError):
            about = os.statvfs(next(folder for folder in (place, *place.absolute().parents) if folder.exists()))
            bytes_left, inodes_left = about.f_bavail * about.f_frsize, about.f_favail
            # /proc and its like count nothing
            if (about.f_blocks and bytes_left < LITTLE_BYTES) or (about.f_files and inodes_left < LITTLE_INODES):
                found.append(str(place))
    return list(dict.fromkeys(found))


def private_folder(folder: Path, *, make: bool = True) -> None:
    """Make a folder that only this user can write, or see that it is one: nipype's pickles in it can run anything.

    Raises
    ------
    UsageError
        When it is a file or belongs to somebody else, or when others could have written what it holds.
    """
    if make:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    if not folder.exists():
        return
    about = folder.stat()
    new = f"name a folder that does not exist yet, such as {folder / 'normvol'}, or trust it"
    if not stat.S_ISDIR(about.st_mode):
        raise UsageError(f"the work folder {folder} is a file", "name a folder")
    if about.st_uid != os.geteuid():
        raise UsageError(
            f"the work folder {folder} belongs to another user (uid {about.st_uid}), who could have planted something",
            f"{new}: run as that user",
        )
    if about.st_mode & 0o002 or (about.st_mode & 0o020 and any(folder.iterdir())):
        raise UsageError(
            f"the work folder {folder} can be written by others, who could have planted something",
            f"{new}: chmod 700 {folder}",
        )
    if make and about.st_mode & 0o077:
        folder.chmod(0o700)


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A `temporary_folder` that is removed at the end of the block."""
    folder = temporary_folder(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _cleaner(process: int) -> IO[bytes] | None:
    """The pipe to a shell that removes what it was told of; None where no process can be started."""
    try:
        shell = subprocess.Popen(
            ["/bin/sh", "-c", _CLEANER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )
    except OSError:
        return None
    # It outlives this process on purpose, so nobody waits for it
    shell.returncode = 0
    return shell.stdin


def end_with(parent: int, first: Callable[[], None] | None = None) -> None:
    """End this process within a second of the end of its `parent`; `first` is called before."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        try:
            if first is not None:
                first()
        finally:
            os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
