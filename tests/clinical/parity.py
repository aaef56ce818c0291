"""The recorded R results, by name."""

from pathlib import Path

import numpy as np


def recorded(shared: Path, name: str) -> np.ndarray:
    """The numbers of one line of ``parity/clinical/stats_r.txt``."""
    for line in (shared / "parity" / "clinical" / "stats_r.txt").read_text(encoding="utf-8").splitlines():
        head, _, rest = line.partition(" ")
        if head == name:
            return np.array(rest.split(), dtype=float)
    raise KeyError(name)
