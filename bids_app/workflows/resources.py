"""``--resource-monitor``: time and peak memory of every node as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.tables import write_tsv

COLUMNS = {
    "node": {"Description": "Full name of the node in the graph"},
    "seconds": {"Description": "Wall time of the node", "Units": "s"},
    "peak_memory_gb": {"Description": "Highest resident memory seen while the node ran", "Units": "GB"},
    "cpu_percent": {"Description": "Processor use, 100 per processor", "Units": "%"},
    "reserved_gb": {"Description": "Memory that the scheduler reserves for the node", "Units": "GB"},
}


class ResourceTable:
    """A nipype status callback that also passes each event on.

    Parameters
    ----------
    path : Path
        Table to write when `close` is called.
    then : callable, optional
        Called with ``(node, event)`` after each event.
    """

    def __init__(self, path: Path, then: Callable[[Any, str], None] | None = None) -> None:
        self.path, self.then = path, then
        self.rows: list[dict[str, Any]] = []

    def __call__(self, node: Any, event: str) -> None:
        if event == "end":
            self._record(node)
        if self.then is not None:
            self.then(node, event)

    def _record(self, node: Any) -> None:
        runtime = getattr(node.result, "runtime", None)
        if runtime is None or isinstance(runtime, list):
            return
        self.rows.append(
            {
                "node": node.fullname,
                "seconds": getattr(runtime, "duration", None),
                "peak_memory_gb": getattr(runtime, "mem_peak_gb", None),
                "cpu_percent": getattr(runtime, "cpu_percent", None),
                "reserved_gb": node.mem_gb,
            }
        )

    def close(self) -> Path:
        """Write the table."""
        return write_tsv(pd.DataFrame(self.rows, columns=list(COLUMNS)), self.path, COLUMNS)
