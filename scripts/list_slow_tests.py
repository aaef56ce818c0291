"""Write tests/slow_tests.txt: the tests that take more processor time than the fast suite has for one.

    python scripts/list_slow_tests.py [--limit 0.15] [PYTEST ARGUMENTS]

Runs every test that is not marked otherwise, one after the other, and lists those above the limit (processor seconds
of the test and of the programs that it starts; what a shared fixture costs is the first one's). tests/conftest.py
marks the listed ones as slow. Processor time is much the same on a busy machine, so the list changes little.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "slow_tests.txt"
SELECTED = "not browser and not container and not slurm and not campaign"


class ProcessorTime:
    """A pytest plugin: processor seconds of each test with its children."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = sum(os.times()[:4])
        found = yield
        if not any(item.iter_markers("slow")) or item.nodeid in listed():
            self.seconds[item.nodeid] = sum(os.times()[:4]) - before
        return found


def listed() -> set[str]:
    """Names of the tests that the list holds now."""
    return set(LIST.read_text(encoding="utf-8").splitlines()) if LIST.exists() else set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=0.15, help="processor seconds (default 0.15)")
    options, more = parser.parse_known_args()
    recorder = ProcessorTime()
    code = pytest.main(["-q", "-m", SELECTED, *more], plugins=[recorder])
    slow = sorted(name for name, seconds in recorder.seconds.items() if seconds > options.limit)
    kept = listed() - set(recorder.seconds) if more else set()
    LIST.write_text("".join(f"{name}\n" for name in sorted({*slow, *kept})), encoding="utf-8")
    fast = sum(seconds for name, seconds in recorder.seconds.items() if name not in slow)
    print(f"{len(slow)} of {len(recorder.seconds)} tests are slow; the others take {fast:.0f} processor seconds")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
