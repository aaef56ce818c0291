"""FreeSurfer volumes as a JSON file, to hand them from one node of the graph to the next."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.freesurfer.volumes import Volumes
from bids_app.tables import read_json, write_json


def save_volumes(volumes: Volumes, path: Path) -> Path:
    """Write every field of `volumes`; tables become lists of columns."""
    content = {field.name: _as_json(getattr(volumes, field.name)) for field in dataclasses.fields(volumes)}
    return write_json(content, path)


def load_volumes(path: Path) -> Volumes:
    """Read what `save_volumes` wrote."""
    content: dict[str, Any] = read_json(path)
    content["table"] = pd.DataFrame(content["table"])
    content["other_atlases"] = {name: pd.DataFrame(table) for name, table in content["other_atlases"].items()}
    content["notes"] = tuple(content["notes"])
    return Volumes(**content)


def _as_json(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return {name: [_as_json(item) for item in column] for name, column in value.items()}
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_as_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
