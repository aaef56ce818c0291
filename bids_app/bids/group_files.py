"""Where the tables of the group level lie: the main ones beside ``group.html``, all others in the folder ``group``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_app.bids.columns import TITLES
from bids_app.bids.names import output_path
from bids_app.errors import InputError
from bids_app.tables import read_json

FOLDER = "group"
TOP = ("long", "scans", "deviations", "zscores", "volumes", "inclusion", "findings")
KINDS = (".tsv", ".json", ".parquet")


def group_file(root: Path | str, name: str, suffix: str = ".tsv") -> Path:
    """Path of a file of the table ``group_<name>``.

    Raises
    ------
    InputError
        When the name cannot be that of a file, or a link leads out of `root`.
    """
    return output_path(root, *(() if name in TOP else (FOLDER,)), f"group_{name}{suffix}")


def group_files(root: Path, *suffixes: str) -> list[Path]:
    """The tables (or their dictionaries) that are there, by name."""
    places = (root, root / FOLDER)
    found = (path for place in places for path in place.glob("group_*") if path.suffix in (suffixes or KINDS))
    return sorted(found, key=lambda path: (path.name, path))


def table_name(path: Path) -> str:
    """``counts`` of ``group/group_counts.tsv``."""
    return path.stem.removeprefix("group_")


def written_results(root: Path) -> dict[Path, dict[str, Any]]:
    """The JSON files of the results in a folder, by path, with their content; other and damaged files are left out."""
    found = {}
    for path in group_files(root, ".json"):
        try:
            content = read_json(path)
        except InputError:
            continue
        if isinstance(content, dict) and "Sentences" in content:
            found[path] = content
    return found


def settle(root: Path) -> None:
    """Move what an earlier version, which had no such folder, wrote beside the report; it replaces what is there.

    Every run begins with this, so a file of ours at the top is the younger of two. Files of others stay.

    Raises
    ------
    InputError
        When a file has the folder's name, or a link leads out of `root`.
    """
    if (root / FOLDER).is_file():
        raise InputError(f"{root / FOLDER} is a file, not the folder of the group's tables", "rename or remove it")
    ours = {*TITLES, *(table_name(path) for path in written_results(root))} - set(TOP)
    for path in root.glob("group_*"):
        if path.suffix in KINDS and table_name(path) in ours:
            target = group_file(root, table_name(path), path.suffix)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
