"""pybids: the images that a filter file selects, from an index that jobs can share."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_app.errors import UsageError
from bids_app.tables import read_json

if TYPE_CHECKING:
    from bids.layout import BIDSLayout

FILTER_KEYS = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR"}
# everything but sub-*/[ses-*/]anat/*_{T1w,T2w,FLAIR}.nii[.gz] stays out of the index
_IGNORED = (
    r"^/(?!sub-)",
    r"^/sub-[^/]+/(?!ses-|anat$|anat/)",
    r"^/sub-[^/]+/ses-[^/]+/(?!anat$|anat/)",
    r"/anat/(?!.*_(T1w|T2w|FLAIR)\.nii(\.gz)?$)",
)


def query_images(
    bids_dir: Path, people: Sequence[str], filters: Mapping[str, Mapping[str, Any]], database_dir: Path | None
) -> list[str]:
    """Paths of the T1w, T2w and FLAIR images of `people` (labels) that pass `filters` (of `read_filters`).

    Without `database_dir` only the folders of `people` are indexed; with it the whole dataset is, once.

    Raises
    ------
    UsageError
        When a filter or the index cannot be used.
    """
    layout = _layout(bids_dir, people, database_dir)
    paths: list[str] = []
    for key, suffix in FILTER_KEYS.items():
        paths += _get(layout, suffix, filters.get(key, {}))
    foreign = next((path for path in paths if not Path(path).is_relative_to(bids_dir)), None)
    if foreign is not None:
        raise UsageError(
            f"the pybids index in {database_dir} belongs to another dataset (it lists {foreign})",
            "name another --bids-database-dir",
        )
    return paths


def read_filters(path: Path) -> dict[str, dict[str, Any]]:
    """The filters of a NiPreps filter file: ``null`` means absent, ``"*"`` any value."""
    content = read_json(path)
    if not (isinstance(content, Mapping) and all(isinstance(part, Mapping) for part in content.values())):
        raise UsageError(f'{path} must map image types to filters, as in {{"t1w": {{"acquisition": "mprage"}}}}')
    return {
        key: {name: _value(name, value) for name, value in chosen.items()}
        for key, chosen in content.items()
        if key in FILTER_KEYS
    }


def _value(name: str, value: Any) -> Any:
    from bids.layout import Query

    if value is None or value == "*":
        return Query.NONE if value is None else Query.ANY
    if isinstance(value, str) and value.startswith("Query."):
        return getattr(Query, value.removeprefix("Query."))
    prefix = {"session": "ses-", "subject": "sub-"}.get(name)
    if isinstance(value, str) and prefix:
        return value.removeprefix(prefix)
    return list(value) if isinstance(value, list) else value


class _OtherPeople:
    """A pattern to pybids: finds the paths of people who are not asked for, however many are."""

    def __init__(self, people: Sequence[str]) -> None:
        self.folders = {f"sub-{label}" for label in people}

    def search(self, path: str) -> bool:
        """Whether the path below the dataset's root belongs to somebody else."""
        folder = path.split("/", 2)[1]
        return folder.startswith("sub-") and folder not in self.folders


def _layout(bids_dir: Path, people: Sequence[str], database_dir: Path | None) -> BIDSLayout:
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    ignored: list[Any] = [re.compile(text) for text in _IGNORED]
    if database_dir is None:
        ignored.append(_OtherPeople(people))
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignored)
    try:
        return BIDSLayout(
            str(bids_dir),
            validate=False,
            indexer=indexer,
            database_path=None if database_dir is None else str(database_dir),
        )
    except (OSError, ValueError, sqlite3.Error) as error:
        raise UsageError(
            f"pybids cannot use {bids_dir} with the index in {database_dir} ({error})",
            "remove the index or leave --bids-database-dir out",
        ) from error


def _get(layout: BIDSLayout, suffix: str, filters: Mapping[str, Any]) -> list[str]:
    query = {"suffix": suffix, "extension": [".nii", ".nii.gz"], **filters}
    try:
        return [str(path) for path in layout.get(return_type="filename", **query)]
    except (ValueError, TypeError, AttributeError) as error:
        reason = str(error).partition(". ")[0]
        raise UsageError(f"the BIDS filter for {suffix} images cannot be used: {reason}") from error
