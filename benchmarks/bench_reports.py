"""Time and size of the reports: one person with three sessions, and a group of 1,000 people.

Run: python benchmarks/bench_reports.py [PEOPLE]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bids_app.reports.pages.group import write_group_report
from bids_app.reports.pages.participant import write_participant_report
from tests.reports import dataset


def main(people: int = 1000) -> None:
    """Write synthetic derivatives and report on them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset.write_root(root)
        dataset.write_person(root, "01", ("1", "2", "3"), burden=1.3)
        dataset.write_group(root, people)
        print("report\tseconds\tMB\tallowed seconds\tallowed MB")
        for name in ("first", "second"):
            _line(f"participant, three sessions, {name}", lambda: write_participant_report(root, "01"), 1.5, 3)
        _line(f"group of {people} people", lambda: write_group_report(root), 10, 10)


def _line(name: str, write, seconds: float, megabytes: float) -> None:
    start = time.perf_counter()
    page = write()
    print(f"{name}\t{time.perf_counter() - start:.2f}\t{page.stat().st_size / 1e6:.2f}\t{seconds}\t{megabytes}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
