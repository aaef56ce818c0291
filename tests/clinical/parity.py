"""R's results on invented people (`tests/data/clinical`): the numbers by name, the tables by file."""

from pathlib import Path

import numpy as np
import pandas as pd

from bids_app.tables import read_table

FOLDER = Path(__file__).resolve().parents[1] / "data" / "clinical"


def recorded(name: str) -> np.ndarray:
    """The numbers of one line of ``stats_r.txt``."""
    for line in (FOLDER / "stats_r.txt").read_text(encoding="utf-8").splitlines():
        head, _, rest = line.partition(" ")
        if head == name:
            return np.array(rest.split(), dtype=float)
    raise KeyError(name)


def invented(file: str) -> pd.DataFrame:
    """One of the tables that R was given."""
    return read_table(FOLDER / file)
