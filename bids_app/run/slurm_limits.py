"""What a Slurm allows: to submit from here, tasks of an array, and how long a job of a partition may take."""

from __future__ import annotations

import math
import os
import pwd
import re
import shutil
import subprocess

from bids_app.errors import SchedulerError, UsageError

# What a default Slurm takes (slurm.conf: MaxArraySize 1001 counts from 0, MaxJobCount 10000)
TASKS_AT_MOST = 1000
# minutes[:seconds], hours:minutes:seconds, days-hours[:minutes[:seconds]] (sbatch, --time)
_MINUTES = re.compile(r"(\d+)(?::(\d+))?", re.ASCII)
_HOURS = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", re.ASCII)
_NO_LIMIT = ("unlimited", "infinite")


def check_submission() -> None:
    """See that jobs can be submitted from here, before anything is written.

    Raises
    ------
    SchedulerError
        When there is no sbatch here.
    """
    if shutil.which("sbatch") is None:
        raise SchedulerError(
            "there is no sbatch on this machine, and nothing was written",
            "run this on the cluster; or leave --submit out, and run the submit.sh that is named then there",
        )


def minutes_of(text: str) -> float:
    """Minutes of a time in Slurm's form; infinite where it is without limit.

    Raises
    ------
    UsageError
        When it is none.
    """
    if text.lower() in _NO_LIMIT:
        return math.inf
    short, long = _MINUTES.fullmatch(text), _HOURS.fullmatch(text)
    if short:
        return int(short[1]) + int(short[2] or 0) / 60
    if long is None:
        raise UsageError(f"--time {text!r} is no time of Slurm", "write for example 90, 01:30:00 or 1-12:00:00")
    days, hours, minutes, seconds = (int(number or 0) for number in long.groups())
    return 1440 * days + 60 * hours + minutes + seconds / 60


def partition_minutes(partition: str | None) -> float:
    """The longest time of a job in one of these partitions (default: Slurm's own); infinite where nobody says.

    What ``SBATCH_PARTITION`` names wins, as in sbatch.
    """
    partition = os.environ.get("SBATCH_PARTITION") or partition
    wanted = None if partition is None else partition.split(",")
    found = []
    for line in _answer("sinfo", "-h", "-o", "%P %l").splitlines():
        name, _, limit = line.strip().partition(" ")
        if name.endswith("*") if wanted is None else name.removesuffix("*") in wanted:
            found.append(math.inf if limit == "n/a" else minutes_of(limit))
    return max(found, default=math.inf)


def tasks_allowed(given: int | None) -> int:
    """How many tasks one array may have: as given, as this Slurm says, or as a default Slurm has it."""
    if given is not None:
        return given
    said = _answer("scontrol", "show", "config")
    limits = {name: int(value) for name, value in re.findall(r"^(MaxArraySize|MaxJobCount)\s*=\s*(\d+)", said, re.M)}
    mine = _answer("sacctmgr", "-nP", "show", "assoc", f"user={_user()}", "format=MaxSubmit")
    # The group job and the summary are submitted with the array.
    submit = [int(word) - 2 for word in mine.split() if word.isdecimal()]
    found = [limits.get("MaxArraySize", TASKS_AT_MOST + 1) - 1, limits.get("MaxJobCount", 10_000) // 2, *submit]
    return max(1, min(found))


def _user() -> str:
    """Who submits: of nobody Slurm would tell everybody's limits."""
    try:
        return os.environ.get("USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _answer(*command: str) -> str:
    """What the command says, nothing where it is absent or refuses."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
