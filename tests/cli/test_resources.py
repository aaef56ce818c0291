"""What a run may use: scheduler, cgroup, host."""

from __future__ import annotations

import pytest

from bids_app.cli.resources import available_cpus, available_memory_mb, parse_memory, too_little_memory
from bids_app.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16G", 16384),
        ("16GB", 16384),
        ("16 GiB", 16384),
        ("500M", 500),
        ("2048", 2048),
        ("1T", 1048576),
        ("1.5g", 1536),
    ],
)
def test_memory_takes_units(text, expected):
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["", "G", "-4G", "0", "16X", "lots"])
def test_memory_refuses_what_it_cannot_read(text):
    with pytest.raises(UsageError, match="16G"):
        parse_memory(text)


def test_slurm_allocation_limits_processes(tmp_path):
    assert available_cpus({"SLURM_CPUS_PER_TASK": "1"}, tmp_path) == 1


def test_cgroup_quota_limits_processes(tmp_path):
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert available_cpus({}, tmp_path) == 1


def test_unlimited_cgroup_leaves_the_host(tmp_path):
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_cpus({}, tmp_path) >= 1
    assert available_memory_mb({}, tmp_path) > 100


def test_cgroup_memory_limits_memory(tmp_path):
    (tmp_path / "memory.max").write_text(f"{512 * 2**20}\n")
    assert available_memory_mb({}, tmp_path) == 512


def test_slurm_memory_per_node(tmp_path):
    assert available_memory_mb({"SLURM_MEM_PER_NODE": "700"}, tmp_path) == 700


def test_slurm_memory_per_cpu_counts_the_cpus(tmp_path):
    environ = {"SLURM_MEM_PER_CPU": "300", "SLURM_CPUS_PER_TASK": "1"}
    assert available_memory_mb(environ, tmp_path) == 300


def test_memory_that_a_run_does_not_fit_into_is_said_before_it_is_taken():
    assert "150 MB may be used" in too_little_memory(150)
    assert too_little_memory(2000) is None
    assert too_little_memory(None) is None
