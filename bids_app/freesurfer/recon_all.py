"""Run FreeSurfer's recon-all (6, 7, 8) in a subjects directory of our own, safely and resumably.

A tree is only ever started, resumed or repaired when this program started it: each has a record in
``<subjects_dir>/.normvol/``. A lock that the running recon-all inherits keeps a second run away and outlives
a killed parent, so whoever holds the lock knows that nobody else is working on the tree.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_app.errors import ReconAllError
from bids_app.freesurfer import segmentation, subject
from bids_app.freesurfer.check import SubjectCheck, check_subject
from bids_app.freesurfer.programs import package_of
from bids_app.freesurfer.recon_command import ReconAllCommand, child_environment, find_license, find_recon_all
from bids_app.tables import read_json, write_json

RECORDS = ".normvol"
_GRACE_SECONDS = 20.0
_ORPHAN_SECONDS = 2.0
# Process groups of the recon-all that this process waits for
_RUNNING: set[int] = set()
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK}


def run_recon_all(
    command: ReconAllCommand,
    *,
    license_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Path:
    """Bring one subject directory to completion and return it.

    Nothing is done when it is complete already. An unfinished tree that was started with the same input is
    resumed; the input is then not given again, as recon-all demands.

    Parameters
    ----------
    command : ReconAllCommand
        What to run; its subjects directory is created and belongs to this program.
    license_file : Path, optional
        FreeSurfer licence, else found by FreeSurfer's own rules (`find_license`); asked for only when
        recon-all has to run.
    environ : mapping, optional
        Environment of recon-all (default: this process's).
    timeout : float, optional
        Seconds after which recon-all is stopped.

    Raises
    ------
    ReconAllError
        When recon-all is absent, has no licence, is already running there, was started by someone else or
        with other input, or does not finish; the message names the log.
    """
    environ = dict(os.environ if environ is None else environ)
    records = command.subjects_dir / RECORDS
    records.mkdir(parents=True, exist_ok=True)
    with _locked(records / f"{command.directory.name}.lock", command) as (handle, exclusive):
        if _prepare(command, records, exclusive, environ).usable:
            return command.directory
        executable = find_recon_all(environ)
        environ = child_environment(executable, environ)
        environ["FS_LICENSE"] = str(find_license(license_file, environ))
        environ["SUBJECTS_DIR"] = str(command.subjects_dir)
        link_fsaverage(command.subjects_dir, environ)
        resume = command.directory.exists()
        log = records / f"{command.directory.name}.log"
        command = _with_linked_images(command, records)
        code = _execute([str(executable), *command.arguments(resume=resume)], environ, log, handle, timeout)
    return _conclude(command, code, log)


def _prepare(command: ReconAllCommand, records: Path, exclusive: bool, environ: Mapping[str, str]) -> SubjectCheck:
    """Refuse what is not ours, drop what cannot be resumed, and say how the tree stands."""
    folder, record = command.directory, records / f"{command.directory.name}.json"
    state = _state(command)
    if folder.exists() and not record.exists():
        if state.usable:
            return state
        raise ReconAllError(
            f"{folder} is unfinished and was not started by normvol, so it is left alone ({state.message})",
            "move it away or finish it with recon-all yourself",
        )
    now = command.record(environ)
    if folder.exists() and not _same(before := _with_version(read_json(record), folder), now):
        if _told(before) != _told(now):
            _refuse_version(command, before, now, record, state)
        if not _only_time_points_differ(before, now):
            raise ReconAllError(
                f"{folder} was started with other input or options than now", f"remove it and {record} to start anew"
            )
        # The base is of other sessions than now: it and all that was made from it are made again.
        shutil.rmtree(folder)
        state = _state(command)
    markers = list((folder / "scripts").glob("IsRunning*"))
    if markers and not exclusive and state.status != "stale":
        raise ReconAllError(state.message, state.remedy)
    for marker in markers:
        marker.unlink(missing_ok=True)
    if folder.exists() and not state.usable and not command.can_resume():
        shutil.rmtree(folder)
    write_json(now, record)
    return state


def _with_version(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A record; of one without version, what the tree's own build stamp and logs say."""
    if record.get("version"):
        return dict(record)
    version = subject.version_in_stamp(subject.read_script(folder, "build-stamp.txt"))
    return {**record, "version": version, "segmentation": segmentation.of_tree(folder, version) if version else None}


def _told(record: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return record.get("version"), record.get("segmentation")


def _same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two records agree in what both know."""
    unknown = {name for name in ("version", "segmentation") if before.get(name) is None or now.get(name) is None}
    return {**before, **dict.fromkeys(unknown)} == {**now, **dict.fromkeys(unknown)}


def _refuse_version(
    command: ReconAllCommand, before: Mapping[str, Any], now: Mapping[str, Any], record: Path, state: SubjectCheck
) -> None:
    """ReconAllError for a tree of another FreeSurfer than today's; what both know decides."""
    known = [
        (old, new)
        for old, new in zip(_told(before), _told(now), strict=True)
        if old is not None and new is not None and old != new
    ]
    if not known:
        return
    was, is_ = (
        f"FreeSurfer {r.get('version') or 'of an unknown version'} ({r['segmentation']})" for r in (before, now)
    )
    verb = "made" if state.usable else "begun"
    raise ReconAllError(
        f"{command.directory} was {verb} by {was} and would go on with {is_}: one brain would be of two programs",
        f"use the first version and options again, or remove {command.directory} and {record} to start anew",
    )


def _only_time_points_differ(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    unknown = {"time_points": None, "version": None, "segmentation": None}
    return {**before, **unknown} == {**now, **unknown}


def _with_linked_images(command: ReconAllCommand, records: Path) -> ReconAllCommand:
    """The command with images through links where a path holds a blank, at which recon-all's scripts break."""

    def linked(number: int, image: Path | None) -> Path | None:
        if image is None or not any(character.isspace() for character in str(image)):
            return image
        link = records / "images" / f"{command.directory.name}_{number}{''.join(image.suffixes[-2:])}"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(image)
        return link

    count = len(command.t1w)
    t1w = tuple(link for number, image in enumerate(command.t1w) if (link := linked(number, image)) is not None)
    extra = tuple(str(linked(count + 2 + number, Path(word))) for number, word in enumerate(command.extra))
    return replace(
        command, t1w=t1w, t2w=linked(count, command.t2w), flair=linked(count + 1, command.flair), extra=extra
    )


def _state(command: ReconAllCommand) -> SubjectCheck:
    """How the tree stands; a base is finished when recon-all says so, its statistics are not used."""
    folder = command.directory
    if command.stream != "base":
        return check_subject(folder)
    failed = (folder / "scripts" / "recon-all.error").exists()
    if subject.done_subject(folder) and not failed:
        return SubjectCheck("complete", f"{folder} is complete")
    return SubjectCheck("failed" if failed else "killed", f"the base {folder} is not finished", "run recon-all again")


@contextmanager
def _locked(path: Path, command: ReconAllCommand) -> Iterator[tuple[int, bool]]:
    """Hold the tree's lock; yields its descriptor and whether the file system has locks at all."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield handle, _lock(handle, command)
    finally:
        os.close(handle)


def _lock(handle: int, command: ReconAllCommand) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ReconAllError(
            f"recon-all is already running in {command.directory}", "wait until it has finished"
        ) from error
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def link_fsaverage(subjects_dir: Path, environ: Mapping[str, str]) -> None:
    """Link FreeSurfer's fsaverage before recon-all does, which parallel runs would do at the same time."""
    source = Path(environ.get("FREESURFER_HOME", "")) / "subjects" / "fsaverage"
    if environ.get("FREESURFER_HOME") and source.is_dir():
        with suppress(FileExistsError):
            (subjects_dir / "fsaverage").symlink_to(source)


def _execute(arguments: list[str], environ: dict[str, str], log: Path, lock: int, timeout: float | None) -> int | None:
    """Exit code of recon-all; None when the time was up. Its whole process group ends with it."""
    with open(log, "ab") as stream:
        stream.write((" ".join(arguments) + "\n").encode())
        stream.flush()
        try:
            process = subprocess.Popen(
                arguments,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
            )
        except OSError as error:
            raise ReconAllError(
                f"{arguments[0]} cannot be started ({error.strerror})",
                f"its first line names the shell that it needs: install {package_of('tcsh')}",
            ) from error
        _RUNNING.add(process.pid)
        try:
            return process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end_group(process)
            _RUNNING.discard(process.pid)


def end_running() -> None:
    """End what this process runs, at once: nobody is left who waits for it."""
    for step in (signal.SIGTERM, signal.SIGKILL):
        for group in tuple(_RUNNING):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, step)
        time.sleep(_ORPHAN_SECONDS if _RUNNING and step == signal.SIGTERM else 0)


def _end_group(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        return
    for step in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, step)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE_SECONDS)
            return


def _conclude(command: ReconAllCommand, code: int | None, log: Path) -> Path:
    state = _state(command)
    if code == 0 and state.usable:
        return command.directory
    said = _last_error(log)
    if code == 0 and not command.directory.exists():
        raise ReconAllError(
            f"recon-all ended without error but did nothing for {command.directory.name}{said}",
            f"check --recon-args; read {log}",
        )
    own_log = command.directory / "scripts" / "recon-all.log"
    read = f"{log} and {own_log}" if own_log.exists() else str(log)
    raise ReconAllError(
        f"recon-all {_ending(code)} for {command.directory.name}: {state.message}{said}",
        f"{_to_install(said)}read {read}; a new run resumes it",
    )


def _to_install(said: str) -> str:
    """Which package a program comes from that recon-all's scripts did not find; else nothing."""
    absent = re.search(r"([\w.-]+): Command not found", said)
    package = package_of(absent[1]) if absent else None
    return f"install {package}, which has {absent[1]}; " if absent and package else ""


def _last_error(log: Path) -> str:
    """The last line of recon-all's output that says what is wrong, else its last line."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    # the line that starts with the program is ours: the command
    telling = r"(?i)error(?!s at)|not found|cannot|unrecognized|undefined"  # not: "exited with ERRORS at ..."
    wrong = [line for line in lines if re.search(telling, line)]
    last = (wrong or lines[1:] or [""])[-1]
    return f" ({last})" if last else ""


def _ending(code: int | None) -> str:
    if code is None:
        return "took longer than allowed and was stopped"
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        return f"was killed by signal {number}" + (" (out of memory?)" if number == signal.SIGKILL else "")
    return f"ended with exit code {code}" if code else "ended without error but left no whole statistics"


__all__ = ["ReconAllCommand", "end_running", "find_license", "find_recon_all", "link_fsaverage", "run_recon_all"]
