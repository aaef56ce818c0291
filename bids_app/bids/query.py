"""pybids: the structural images of the people asked for, from an index that jobs can share or a work folder keeps."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_app.bids.names import bare, scan_name
from bids_app.errors import UsageError
from bids_app.tables import read_json

if TYPE_CHECKING:
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

SUFFIXES = ("T1w", "T2w", "FLAIR")
FILTER_KEYS = {suffix.lower(): suffix for suffix in SUFFIXES}
Key = tuple[str, str | None]
Images = dict[Key, dict[str, list[Path]]]
# everything but sub-*/[ses-*/]anat/*_{T1w,T2w,FLAIR}.nii[.gz] stays out of the index
_IGNORED = (
    r"^/(?!sub-)",
    r"^/sub-[^/]+/(?!ses-|anat$|anat/)",
    r"^/sub-[^/]+/ses-[^/]+/(?!anat$|anat/)",
    r"/anat/(?!.*_(T1w|T2w|FLAIR)\.nii(\.gz)?$)",
)


def find_images(
    bids_dir: Path,
    folders: Sequence[Path],
    filters: Mapping[str, Mapping[str, Any]],
    database_dir: Path | None = None,
    kept: tuple[Path, str] | None = None,
) -> Images:
    """T1w, T2w and FLAIR images in the ``anat`` `folders` that pass `filters` (of `read_filters`), by scan and suffix.

    Without `database_dir` only `folders` are indexed; with it the whole dataset is, once. `kept` is a
    folder and the state of the dataset: the index stays there, and serves again as long as the state is the same.

    Raises
    ------
    UsageError
        When a filter or the index cannot be used.
    """
    layout = _kept_layout(bids_dir, folders, *kept) if kept and database_dir is None else None
    layout = layout or _layout(bids_dir, folders, database_dir)
    found: Images = {}
    for suffix in SUFFIXES:
        for path in _get(layout, suffix, filters.get(suffix.lower(), {})):
            if not path.is_relative_to(bids_dir):
                raise UsageError(
                    f"the pybids index in {database_dir} belongs to another dataset (it lists {path})",
                    "name another --bids-database-dir",
                )
            key = _scan_of(path.relative_to(bids_dir))
            if path.name.startswith(scan_name(*key) + "_"):
                found.setdefault(key, {}).setdefault(suffix, []).append(path)
    return found


def _scan_of(path: Path) -> Key:
    """Whose folder a file lies in: its name may say less, and must not say another."""
    participant, below = bare(path.parts[0], "sub"), path.parts[1]
    return participant, bare(below, "ses") if below.startswith("ses-") else None


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
        named = Query.__members__.get(value.removeprefix("Query."))
        if named is None:
            known = ", ".join(f"Query.{word}" for word in Query.__members__)
            raise UsageError(f"{value!r} ({name}) is no filter", f"known are {known}")
        return named
    prefix = {"session": "ses-", "subject": "sub-"}.get(name)
    if isinstance(value, str) and prefix:
        return value.removeprefix(prefix)
    if isinstance(value, list):
        return [_value(name, item) for item in value]
    if isinstance(value, Mapping):
        raise UsageError(f"the filter {name} is a table", "write a value, or a list of values")
    return value


def _indexer(bids_dir: Path, folders: Sequence[Path] | None) -> BIDSLayoutIndexer:
    """An indexer of images, which goes into `folders` alone (None: of everybody).

    pybids itself asks of each of ten thousand people whether they are to be left out, and looks around in the
    folder above each of these: 0.2 ms and 1 ms.
    """
    from bids.layout import BIDSLayoutIndexer

    places = [folder.relative_to(bids_dir) for folder in folders or ()]

    class PeopleIndexer(BIDSLayoutIndexer):
        began = folders is None

        def _index_dir(self, path: Any, config: Any, *how: Any, **named: Any) -> Any:
            if self.began or (bids_dir / self.config_filename).exists():
                return super()._index_dir(path, config, *how, **named)
            self.began = True
            found = [super(PeopleIndexer, self)._index_dir(path / name, config, *how, **named) for name in places]
            return [file for files, _ in found for file in files], [tag for _, tags in found for tag in tags]

    ignored = [re.compile(text) for text in _IGNORED]
    return PeopleIndexer(validate=False, index_metadata=False, ignore=ignored)


def _layout(bids_dir: Path, folders: Sequence[Path], database_dir: Path | None) -> BIDSLayout:
    from bids.layout import BIDSLayout

    indexer = _indexer(bids_dir, folders if database_dir is None else None)
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


def _kept_layout(bids_dir: Path, folders: Sequence[Path], folder: Path, state: str) -> BIDSLayout:
    """The index that `folder` keeps of this dataset, made anew when the dataset has changed."""
    name = hashlib.sha256(str(bids_dir).encode()).hexdigest()[:12]
    place = folder / f"{name}-{hashlib.sha256(state.encode()).hexdigest()[:12]}"
    if not place.is_dir():
        layout = _layout(bids_dir, folders, None)
        for old in folder.glob(f"{name}-*"):
            shutil.rmtree(old, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="new-") as making:
            layout.save(str(Path(making) / "index"), replace_connection=False)
            with contextlib.suppress(OSError):  # another run was faster
                (Path(making) / "index").rename(place)
        return layout
    return _layout(bids_dir, folders, place)


def _get(layout: BIDSLayout, suffix: str, filters: Mapping[str, Any]) -> list[Path]:
    query = {"suffix": suffix, "extension": [".nii", ".nii.gz"], **filters}
    try:
        return [Path(path) for path in layout.get(return_type="filename", **query)]
    except (ValueError, TypeError, AttributeError) as error:
        reason = str(error).partition(". ")[0]
        raise UsageError(f"the BIDS filter for {suffix} images cannot be used: {reason}") from error
