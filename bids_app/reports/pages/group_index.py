"""``group_index.html``: every file of the group level with a line that says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bids_app.bids.columns import TITLES
from bids_app.bids.group_files import group_files, table_name
from bids_app.errors import InputError
from bids_app.reports.pages.page import render
from bids_app.tables import atomic_write, read_json

NAME = "group_index.html"
REPORT = ("group.html", "The report of the group")


class Entry(NamedTuple):
    """A file, relative to the output folder, and what it is."""

    file: str
    line: str


def write_group_index(root: Path) -> Path:
    """Write the page from what lies in the folder."""
    named = [(path, table_name(path)) for path in group_files(root, ".tsv", ".parquet")]
    main = [Entry(path.relative_to(root).as_posix(), TITLES[name]) for path, name in named if name in TITLES]
    order = list(TITLES)
    main.sort(key=lambda entry: (order.index(table_name(Path(entry.file))), entry.file))
    results = [Entry(path.relative_to(root).as_posix(), _title(path)) for path, name in named if name not in TITLES]
    return atomic_write(root / NAME, render("group_index.html.j2", report=Entry(*REPORT), main=main, results=results))


def _title(path: Path) -> str:
    try:
        content = read_json(path.with_suffix(".json"))
    except InputError:
        return "A table"
    title, sentences = str(content.get("Title", "A table")), content.get("Sentences") or [""]
    return f"{title}: {sentences[0]}" if "reason" in content else title
