"""FreeSurfer volumes as a JSON file, to hand them from one node of the graph to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.freesurfer.volumes import COLUMNS, Reading, Row, Volumes
from bids_app.tables import read_json, write_json


def save_volumes(reading: Reading, path: Path) -> Path:
    """Write what was read as the fields of `Volumes`; tables become lists of columns."""
    content = {field.name: getattr(reading, field.name) for field in dataclasses.fields(reading)}
    content["table"] = _columns(content.pop("rows"))
    content["other_atlases"] = {atlas: _columns(rows) for atlas, rows in reading.other_atlases.items()}
    content["inputs"] = dict(sorted(reading.inputs.items()))
    return write_json(_as_json(content), path)


def _columns(rows: Sequence[Row]) -> dict[str, Sequence[Any]]:
    return dict(zip(COLUMNS, zip(*rows))) if rows else {name: [] for name in COLUMNS}


def load_volumes(path: Path) -> Volumes:
    """Read what `save_volumes` wrote."""
    content: dict[str, Any] = read_json(path)
    content["table"] = pd.DataFrame(content["table"])
    content["other_atlases"] = {name: pd.DataFrame(table) for name, table in content["other_atlases"].items()}
    content["notes"] = tuple(content["notes"])
    return Volumes(**content)


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_as_json(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
