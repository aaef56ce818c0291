"""RunConfig: everything a run was asked to do, frozen, written to and read from TOML."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bids_app.bids.disguise import Disguise
from bids_app.bids.names import listed, relative_place
from bids_app.errors import UsageError
from bids_app.settings import Label, from_plain, to_toml
from bids_app.tables import atomic_write

Count = Annotated[int, Field(ge=1, le=10**9)]
Processes = Annotated[int, Field(ge=1, le=10_000)]
RELATIVE_TO, GIVE_AGAIN = "relative_to", "give_again"
# On every command line, or of one machine
GIVEN_ALWAYS = ("bids_dir", "output_dir", "work_dir")
# Would say who is who
PRIVATE = ("participant_label", "session_label", "anonymise_salt", "anonymise_map", "qc_file")
# Options that hold paths, NAME=PATH, or a word that may be a path
_PLACES = (
    *("bids_filter_file", "bids_database_dir", "participants_file", "derivatives", "fs_subjects_dir"),
    *("fs_license_file", "recon_args", "t1w_derivative", "model", "analysis", "pool", "qc_file"),
    *("nipype_plugin_file", "scheduler"),
)
_PLACE = re.compile(r"([^/=]*=|dask:)?(\.{0,2}/.*|\.{1,2})", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run of the BIDS-App. Paths are absolute; labels are without their BIDS prefix."""

    bids_dir: Path
    output_dir: Path
    analysis_level: Literal["participant", "group"] = "participant"

    participant_label: tuple[Label, ...] = ()
    session_label: tuple[Label, ...] = ()
    bids_filter_file: Path | None = None
    bids_database_dir: Path | None = None
    skip_bids_validation: bool = False
    participants_file: Path | None = None
    one_age: bool = False
    derivatives: tuple[Label, ...] = ()

    fs_subjects_dir: Path | None = None
    fs_license_file: Path | None = None
    recon: Literal["auto", "ingest", "run"] = "auto"
    recon_args: tuple[Label, ...] = ()
    longitudinal: bool = False
    trust_names: bool = False
    t1w_select: Literal["all", "first", "last"] = "all"
    t1w_derivative: str | None = None
    lesions: Path | None = None
    anonymise: bool = False
    anonymise_map: Path | None = None
    anonymise_salt: str | None = None

    model: str = "open-calibrated"
    scoring: Literal["own-sex", "reference-compat"] = "own-sex"
    second_model: str | None = None
    adapt_controls: str | None = None
    adapt_by: str | None = None
    change_model: str | None = None
    exclude_quality: tuple[Literal["warn", "fail"], ...] = ()
    include_quality: tuple[Literal["warn", "fail"], ...] = ()
    qc_file: tuple[Label, ...] = ()
    quality_limit: tuple[Label, ...] = ()
    analysis: str | None = None
    pool: Path | None = None
    figure_formats: tuple[Literal["svg", "png", "pdf"], ...] = ()

    work_dir: Path | None = None
    nprocs: Processes = 1
    omp_nthreads: Processes = 1
    mem_mb: Count | None = None
    nipype_plugin_file: Path | None = None
    scheduler: str = "local"
    stop_on_first_crash: bool = False
    write_graph: bool = False
    resource_monitor: bool = False
    reports_only: bool = False
    dry_run: bool = False
    force: bool = False
    verbose: int = 0
    quiet: bool = False

    def to_toml(self) -> str:
        """This configuration as TOML; unset options are left out."""
        return to_toml(vars(self))

    def write(self, path: Path) -> Path:
        """Write the TOML file atomically."""
        return atomic_write(path, self.to_toml())

    @property
    def disguise(self) -> Disguise | None:
        """What replaces labels; None where they stay, or where nobody knows the salt any more."""
        return Disguise(self.anonymise_salt) if self.anonymise and self.anonymise_salt else None

    def write_shared(self, path: Path, disguise: Disguise | None = None) -> Path:
        """Write the TOML file for the output folder, which others read: paths are relative, or to be given again."""
        root = self.output_dir

        def relative(place: str) -> str | None:
            found = relative_place(place, root)
            return found if found is None or found[0] == "." else f"./{found}"

        left_out = (*GIVEN_ALWAYS, *(PRIVATE if self.anonymise else ()))
        kept = {name: value for name, value in vars(self).items() if name not in left_out}
        values, again = _with_places(kept, relative)
        head = {RELATIVE_TO: os.path.relpath(root, path.parent), GIVE_AGAIN: again}
        text = to_toml({**head, **values})
        return atomic_write(path, disguise.text(text) if disguise else text)

    def shared(self, text: str) -> str:
        """`text` as others may read it: no place of this machine in full."""
        given = [value for value in vars(self).values() if isinstance(value, Path)]
        places = {str(place): relative_place(place, self.output_dir) or place.name for place in given}
        own = (Path(__file__).parents[2], Path(sys.prefix), Path(sys.base_prefix), Path(tempfile.gettempdir()))
        places |= {str(place): place.name for place in own}
        places |= {str(Path.home()): "~"} if os.environ.get("HOME", "/") != "/" else {}
        for place in sorted(places, key=len, reverse=True):
            text = (
                re.sub(re.escape(place) + r"(?![^\s/\"',;:)])", places[place] or ".", text) if len(place) > 1 else text
            )
        if self.disguise is None:
            return text
        return self.disguise.text(text.replace(self.disguise.salt, "[salt]"))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], source: str = "") -> RunConfig:
        """Build from plain values, as TOML holds them; names and values that do not fit raise UsageError."""
        return from_plain(cls, values, source)


def placed(values: Mapping[str, Any], path: Path, given: Iterable[str]) -> dict[str, Any]:
    """The values of the configuration file `path`, with places that it has relative to an output folder in full.

    Raises
    ------
    UsageError
        When it lacks a place that is not relative to the output folder, and which is not `given` otherwise.
    """
    values = dict(values)
    root, again = values.pop(RELATIVE_TO, None), values.pop(GIVE_AGAIN, [])
    if not isinstance(root, str) or not isinstance(again, list):
        return values if root is None else {**values, RELATIVE_TO: root}
    lacking = [f"--{str(name).replace('_', '-')}" for name in again if name not in given]
    if lacking:
        raise UsageError(f"{path} does not keep where {listed(lacking)} was, which lay apart", "give it again")
    return _with_places(values, lambda place: os.path.normpath(path.absolute().parent / root / place))[0]


def _with_places(values: Mapping[str, Any], change: Callable[[str], str | None]) -> tuple[dict[str, Any], list[str]]:
    """`values` with every path changed, and the names of those without what could not be."""
    changed, lost = dict(values), []
    for name in _PLACES:
        value = values.get(name)
        texts = [str(text) for text in (value if isinstance(value, list | tuple) else [value] if value else [])]
        found = [_changed(text, change) for text in texts]
        if None in found:
            lost.append(name)
            del changed[name]
        elif found:
            changed[name] = tuple(found) if isinstance(value, list | tuple) else found[0]
    return changed, lost


def _changed(text: str, change: Callable[[str], str | None]) -> str | None:
    found = _PLACE.fullmatch(text)
    if found is None:
        return None if re.search(r"\s/", text) else text
    place = change(found[2])
    return None if place is None else (found[1] or "") + place
