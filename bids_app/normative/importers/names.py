"""Tables that translate published names to FreeSurfer's (``data/importers/*.tsv``)."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import pandas as pd

from bids_app.tables import read_table


@lru_cache(maxsize=8)
def name_table(publisher: str) -> pd.DataFrame:
    """Columns ``published`` and ``region`` (and ``position`` where models come in a fixed order)."""
    return read_table(str(files("bids_app.data") / "importers" / f"{publisher}.tsv"))


def region_of(publisher: str, published: str) -> str | None:
    """FreeSurfer's name of a published region; None when the table does not know it."""
    table = name_table(publisher)
    found = table.loc[table["published"] == published, "region"]
    return None if found.empty else str(found.iloc[0])
