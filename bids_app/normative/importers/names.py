"""Tables that translate published names to FreeSurfer's (``data/importers/*.tsv``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

from bids_app.tables import read_table


@lru_cache(maxsize=8)
def name_table(publisher: str) -> tuple[Mapping[str, str], ...]:
    """Rows with ``published``, ``region`` and what else the publisher's files need to be found."""
    table = read_table(str(files("bids_app.data") / "importers" / f"{publisher}.tsv"))
    return tuple({str(key): str(value) for key, value in row.items()} for row in table.to_dict("records"))


def region_of(publisher: str, published: str) -> str | None:
    """FreeSurfer's name of a published region; None when the table does not know it."""
    return next((row["region"] for row in name_table(publisher) if row["published"] == published), None)
