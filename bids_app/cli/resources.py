"""Processors and memory that this run may use: scheduler first, then cgroup, then the host."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from bids_app.errors import UsageError

# The program (about 180 MB) and one worker (about 150 MB), as measured in docs/performance.md
LEAST_MB = 350
_UNITS = {"": 1, "k": 1 / 1024, "m": 1, "g": 1024, "t": 1024 * 1024}


def parse_memory(text: str) -> int:
    """Memory in MB from ``16G``, ``16GB``, ``500M``, ``16384`` (MB); UsageError otherwise."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if not match or float(match[1]) <= 0:
        raise UsageError(f"cannot read {text!r} as an amount of memory", "write for example 16G or 8000M")
    size = max(1, int(float(match[1]) * _UNITS[match[2]]))
    if size < LEAST_MB and not re.search("[a-z]", text.lower()):
        raise UsageError(
            f"{text.strip()} without a unit is {size} MB, and a run takes about {LEAST_MB} MB", f"write {text.strip()}G"
        )
    return size


def available_cpus(environ: Mapping[str, str] = os.environ, cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Processors that the scheduler, the affinity mask and the cgroup all allow (at least 1)."""
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "NSLOTS", "PBS_NUM_PPN", "LSB_DJOB_NUMPROC"):
        if environ.get(name, "").isdecimal():
            limits.append(int(environ[name]))
            break
    limits += _cgroup_cpus(cgroup)
    return max(1, min(limits))


def available_memory_mb(environ: Mapping[str, str] = os.environ, cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory in MB that the scheduler, the cgroup and the host all allow."""
    import psutil

    limits = [psutil.virtual_memory().total // 2**20]
    if environ.get("SLURM_MEM_PER_NODE", "").isdecimal():
        limits.append(int(environ["SLURM_MEM_PER_NODE"]))
    elif environ.get("SLURM_MEM_PER_CPU", "").isdecimal():
        limits.append(int(environ["SLURM_MEM_PER_CPU"]) * available_cpus(environ, cgroup))
    for path in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        text = _read(path)
        if text.isdecimal():
            limits.append(int(text) // 2**20)
    return max(1, min(limits))


def too_little_memory(mem_mb: int | None) -> str | None:
    """What to say when a run may not fit: a system that ends a program for its memory leaves it no last word."""
    if mem_mb is None or mem_mb >= LEAST_MB:
        return None
    return (
        f"memory: {mem_mb} MB may be used and a run takes about {LEAST_MB} MB; "
        "if it ends without a closing line (exit code 137), give it more"
    )


def _cgroup_cpus(cgroup: Path) -> list[int]:
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(cgroup / "cpu" / "cpu.cfs_quota_us"), _read(cgroup / "cpu" / "cpu.cfs_period_us")
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        return [max(1, int(quota) // int(period))]
    return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
