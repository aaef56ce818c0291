"""Can a subject directory be trusted? One status, one sentence, one remedy; nothing is written or touched."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bids_app.errors import FreeSurferError, StatsFileError
from bids_app.freesurfer import annex, atlases, subject
from bids_app.freesurfer.agreement import contradiction
from bids_app.freesurfer.stats import NAME, StatsFile
from bids_app.freesurfer.stats_folder import StatsFolder

STATUSES = (
    "complete",
    "failed",
    "killed",
    "running",
    "stale",
    "not_fetched",
    "truncated",
    "wrong_subject",
    "mixed",
    "longitudinal_base",
    "empty",
    "missing",
    "incomplete",
)
# No step of recon-all takes longer than this without a line in its logs
STALE_AFTER_HOURS = 24.0
# Subject names stand in the first lines of a stats file
HEADER_BYTES = 2048
NAMED = re.compile(rb"^# subjectname (\S+)", re.MULTILINE)
_FASTSURFER_CORTEX = "aparc.DKTatlas.mapped.stats"


@dataclass(frozen=True)
class SubjectCheck:
    """The verdict on one subject directory.

    Parameters
    ----------
    status : str
        One of `STATUSES`; only ``complete`` can be used.
    message : str
        What was found, in one sentence, with the directory.
    remedy : str
        What to do; empty when complete.
    notes : tuple of str
        Remarks on a complete directory (e.g. its scripts folder is absent).
    """

    status: str
    message: str
    remedy: str = ""
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether volumes may be read from it."""
        return self.status == "complete"


def check_subject(
    subject_dir: Path | str,
    *,
    expected_subject: str | None = None,
    trust_names: bool = False,
    stats: StatsFolder | None = None,
    look_inside: bool = True,
) -> SubjectCheck:
    """Decide whether a subject directory holds a finished, whole run of the expected person.

    A directory is complete when there is no sign of an error and the statistics that are needed are there and
    whole: ``aseg.stats`` and both ``?h.aparc.stats``, or FastSurfer's own. ``recon-all.done`` alone proves
    nothing: it also exists, holding ``1``, after an error. A tree without ``scripts/`` is accepted with a
    note.

    Parameters
    ----------
    subject_dir : path-like
    expected_subject : str, optional
        E.g. ``sub-01`` or ``sub-01_ses-1``: statistics that name another person give ``wrong_subject``.
    trust_names : bool
        Do not compare names: the directory was renamed on purpose.
    stats : StatsFolder, optional
        Of `subject_dir`, to go on with what is read here.
    look_inside : bool
        Read the statistics; otherwise they count as whole when they are there.
    """
    folder = Path(subject_dir)
    stats = stats or StatsFolder(folder)
    done = subject.read_script(folder, "recon-all.done")
    return (
        _absent(folder)
        or _base(folder)
        or _failed(folder, done)
        or _not_fetched(folder, needed_stats(stats))
        or _running(folder)
        or (None if look_inside else _untouched(folder, stats))
        or _statistics(folder, expected_subject, trust_names, stats, subject.subject_in(done))
    )


def require_usable(check: SubjectCheck) -> None:
    """Raise FreeSurferError with the check's message and remedy unless the directory is complete."""
    if not check.usable:
        raise FreeSurferError(check.message, check.remedy)


def _absent(folder: Path) -> SubjectCheck | None:
    if not os.path.isdir(folder):
        kind = "is a link to nowhere" if os.path.islink(folder) else "does not exist"
        return SubjectCheck(
            "missing", f"the subject directory {folder} {kind}", "run recon-all, or check --fs-subjects-dir"
        )
    places = (str(folder), f"{folder}/stats")
    closed = [path for path in places if os.path.exists(path) and not os.access(path, os.R_OK | os.X_OK)]
    if closed:
        return SubjectCheck(
            "missing",
            f"{closed[0]} may not be read by this user",
            f"ask its owner for permission (chmod a+rX {closed[0]})",
        )
    if not any(_has_files(f"{folder}/{name}") for name in ("stats", "scripts", "mri")):
        return SubjectCheck(
            "empty",
            f"the subject directory {folder} holds no FreeSurfer output",
            "remove it and run recon-all, or give the right --fs-subjects-dir",
        )
    return None


def _has_files(folder: str) -> bool:
    with suppress(OSError), os.scandir(folder) as entries:
        if any(not entry.name.startswith(".") and not entry.is_dir() for entry in entries):
            return True
    return any(not name.startswith(".") for _, _, names in os.walk(folder) for name in names)


def _base(folder: Path) -> SubjectCheck | None:
    if not subject.is_longitudinal_base(folder):
        return None
    return SubjectCheck(
        "longitudinal_base",
        f"{folder} is the base (within-person template) of a longitudinal stream, not a scan",
        f"use its time points, <session>.long.{folder.name}, with --longitudinal, or cross-sectional runs",
    )


def _failed(folder: Path, done: str) -> SubjectCheck | None:
    reason = None
    if os.path.lexists(f"{folder}/scripts/recon-all.error"):
        reason = "scripts/recon-all.error is there"
    elif done.strip() not in ("", "0") and not subject.subject_in(done):
        reason = "scripts/recon-all.done holds an error code"
    elif "exited with ERRORS" in _last_line(subject.read_script(folder, "recon-all-status.log")):
        reason = "scripts/recon-all-status.log ends with an error"
    if reason is None:
        return None
    command = re.search(r"^CMD (\S+)", subject.read_script(folder, "recon-all.error"), re.MULTILINE)
    step = f" in {command[1]}" if command else ""
    return SubjectCheck(
        "failed",
        f"recon-all failed{step} for {folder} ({reason})",
        "read scripts/recon-all.log, repair the input and run recon-all again",
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _not_fetched(folder: Path, needed: Sequence[str]) -> SubjectCheck | None:
    wanted = [name for name in (*needed, "scripts/recon-all.done") if annex.is_not_fetched(f"{folder}/{name}")]
    if not wanted:
        return None
    return SubjectCheck(
        "not_fetched",
        f"the content of {', '.join(wanted)} in {folder} has not been fetched (git-annex)",
        annex.fetch_remedy([folder / "stats", folder / "scripts"]),
    )


def needed_stats(stats: StatsFolder) -> tuple[str, ...]:
    """The stats files without which a scan cannot be used, relative to the subject directory."""
    if stats.flavour == subject.FREESURFER:
        return (subject.ASEG, *(f"stats/{h}.aparc.stats" for h in subject.HEMISPHERES))
    folder = stats.subject_dir
    aseg = subject.ASEG if os.path.lexists(folder / subject.ASEG) else subject.FASTSURFER_ASEG
    cortex = tuple(f"stats/{h}.{_FASTSURFER_CORTEX}" for h in subject.HEMISPHERES)
    return (aseg, *(name for name in cortex if any(os.path.lexists(folder / other) for other in cortex)))


def _running(folder: Path) -> SubjectCheck | None:
    try:
        found = sorted(os.listdir(f"{folder}/scripts"))
    except OSError:
        found = []
    markers = [folder / "scripts" / name for name in found if name.startswith("IsRunning")]
    if not markers:
        return None
    names = ", ".join(f"scripts/{marker.name}" for marker in markers)
    alive, evidence = _is_alive(folder, markers[0])
    if alive:
        return SubjectCheck(
            "running",
            f"recon-all seems to be running in {folder} ({names}; {evidence})",
            "wait until it has finished, then run normvol again",
        )
    return SubjectCheck(
        "stale",
        f"recon-all was interrupted in {folder} and left {names} ({evidence})",
        f"make sure that no recon-all is running, remove {names} and run recon-all again",
    )


def _is_alive(folder: Path, marker: Path) -> tuple[bool, str]:
    """Judge an IsRunning file: by its process on this host, otherwise by the age of the newest log."""
    try:
        text = marker.read_text(errors="replace")
    except OSError:
        text = ""
    host = re.search(r"^HOST (\S+)", text, re.MULTILINE)
    process = re.search(r"^PROCESSID (\d+)", text, re.MULTILINE)
    if host and process and host[1] == socket.gethostname():
        alive = os.path.exists(f"/proc/{process[1]}") if os.path.isdir("/proc/self") else True
        return alive, f"process {process[1]} on this host {'is alive' if alive else 'is gone'}"
    hours = (time.time() - _last_activity(folder, text)) / 3600
    where = f"host {host[1]}" if host else "unknown host"
    return hours < STALE_AFTER_HOURS, f"{where}, last sign of life {hours:.0f} hours ago"


def _last_activity(folder: Path, marker_text: str) -> float:
    """Unix time of the newest date in status log and IsRunning file, else of the newest script file."""
    stamps = [_date(line) for line in reversed(subject.read_script(folder, "recon-all-status.log").splitlines())]
    known = [stamp for stamp in (*stamps, *map(_date, marker_text.splitlines())) if stamp]
    if known:
        return max(known)
    try:
        return max((entry.stat().st_mtime for entry in os.scandir(folder / "scripts")), default=0.0)
    except OSError:
        return 0.0


def _date(line: str) -> float | None:
    found = re.search(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d+) (\d\d:\d\d:\d\d) \S+ (\d{4})\s*$", line)
    if not found:
        return None
    try:
        return time.mktime(time.strptime(" ".join(found.groups()), "%b %d %H:%M:%S %Y"))
    except ValueError:
        return None


def _untouched(folder: Path, stats: StatsFolder) -> SubjectCheck | None:
    """A tree that has all its statistics, whatever is in them."""
    if not all(os.path.exists(f"{folder}/{name}") for name in needed_stats(stats)):
        return None
    return SubjectCheck("complete", f"{folder} is complete")


def _statistics(
    folder: Path, expected: str | None, trust_names: bool, stats: StatsFolder, done: str | None
) -> SubjectCheck:
    needed = needed_stats(stats)
    absent = [name for name in needed if not os.path.exists(f"{folder}/{name}")]
    finished = os.path.exists(f"{folder}/scripts/recon-all.done")
    try:
        files = {name: stats.look(name.removeprefix("stats/")) for name in needed if name not in absent}
        _refuse_cut_cortex(folder, files)
    except StatsFileError as error:
        return SubjectCheck("truncated", error.reason, "run recon-all's last steps again or fetch the file anew")
    return (
        (None if trust_names else _identity(stats, files, expected, done))
        or _mixed(folder, files)
        or (_lacking(folder, absent, finished) if absent else None)
        or SubjectCheck("complete", f"{folder} is complete", notes=tuple(_remarks(folder, finished)))
    )


def _lacking(folder: Path, absent: list[str], finished: bool) -> SubjectCheck:
    names = ", ".join(absent)
    if not finished and os.path.isdir(folder / "scripts"):
        return SubjectCheck(
            "killed",
            f"recon-all stopped before its end in {folder}, without an error: no {names}",
            "likely out of memory or time; give the job more and run recon-all again",
        )
    return SubjectCheck(
        "incomplete", f"{folder} lacks {names}", "copy or fetch the files, or run recon-all's last steps again"
    )


def _refuse_cut_cortex(folder: Path, files: dict[str, StatsFile]) -> None:
    """A cortical table that ends before the insula, always its last row, was cut off at a line's end."""
    for name, file in files.items():
        last = ([""] + (file.columns or {}).get(NAME, []))[-1]
        if "aparc" in name and last != atlases.LAST_DK_REGION:
            raise StatsFileError(f"the stats file {folder / name} is truncated: it ends at {last}")


def _identity(
    stats: StatsFolder, files: dict[str, StatsFile], expected: str | None, done: str | None
) -> SubjectCheck | None:
    folder = stats.subject_dir
    recorded = _recorded_names(stats, files, done)
    wanted = expected or folder.name
    wrong = [name for name in recorded if subject.is_wrong_person(folder, name, wanted)]
    if wrong and (expected or subject.labels(wanted)):
        return SubjectCheck(
            "wrong_subject",
            f"{folder / recorded[wrong[0]]} names {wrong[0]}, not {wanted}",
            "put the right subject's directory there, or use --trust-names if it was renamed on purpose",
        )
    if len(recorded) > 1:
        return SubjectCheck(
            "wrong_subject",
            f"the statistics in {folder} name different subjects ({', '.join(recorded)})",
            "put the files of one subject together again",
        )
    return None


def _mixed(folder: Path, files: dict[str, StatsFile]) -> SubjectCheck | None:
    problem = contradiction(files)
    if problem is None:
        return None
    return SubjectCheck(
        "mixed",
        f"the statistics in {folder} are not of one brain: {problem}",
        "put the files of one run together again, or run recon-all's last steps anew",
    )


def _recorded_names(stats: StatsFolder, files: dict[str, StatsFile], done: str | None) -> dict[str, str]:
    """Every subject name that the tree holds, and the first file that holds it.

    Of files that are not needed only names count that contradict: FastSurfer's may carry a working name.
    """
    recorded: dict[str, str] = {}
    for name, file in files.items():
        if "subjectname" in file.header:
            recorded.setdefault(file.header["subjectname"], name)
    needed = [name for name in recorded if subject.labels(name)]
    if stats.flavour == subject.FREESURFER:
        for name, place in _other_names(stats, files, done):
            if subject.labels(name) and any(subject.is_another_person(name, other) for other in needed):
                recorded.setdefault(name, place)
    return recorded


def _other_names(stats: StatsFolder, files: dict[str, StatsFile], done: str | None) -> Iterator[tuple[str, str]]:
    """Subject names in ``recon-all.done`` and in the headers of the stats files beside `files`."""
    if done:
        yield done, "scripts/recon-all.done"
    for file in sorted(stats.present) if files else ():
        if file.endswith(".stats") and f"stats/{file}" not in files:
            with suppress(StatsFileError):
                match = NAMED.search(stats.content(file)[:HEADER_BYTES])
                if match:
                    yield match[1].decode(errors="replace"), f"stats/{file}"


def _remarks(folder: Path, finished: bool) -> Iterator[str]:
    if not os.path.isdir(folder / "scripts"):
        yield "there is no scripts folder: whether recon-all ended without error cannot be checked"
    elif not finished:
        yield "there is no scripts/recon-all.done, but the statistics are whole"
