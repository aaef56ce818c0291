"""Small BIDS datasets made on the spot."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Make = Callable[..., Path]


@pytest.fixture
def make_dataset(tmp_path: Path) -> Make:
    """Make a BIDS dataset of `files` (path to text; ``dict`` is written as JSON) in a temporary folder."""

    def make(files: Mapping[str, object], name: str = "bids") -> Path:
        root = tmp_path / name
        for path, content in {"dataset_description.json": {"Name": "x", "BIDSVersion": "1.9.0"}, **files}.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(content) if isinstance(content, dict) else str(content))
        return root

    return make


def table(*rows: str) -> str:
    """A TSV whose cells are separated by spaces in `rows`."""
    return "".join("\t".join(row.split()) + "\n" for row in rows)
