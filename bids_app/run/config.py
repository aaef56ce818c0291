"""RunConfig: everything a run was asked to do, frozen, written to and read from TOML."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import tomli_w

from bids_app.errors import UsageError
from bids_app.tables import atomic_write

CHOICES = {
    "analysis_level": ("participant", "group"),
    "recon": ("auto", "ingest", "run"),
    "t1w_select": ("all", "first", "last"),
    "scoring": ("own-sex", "reference-compat"),
    "exclude_quality": ("warn", "fail"),
}
POSITIVE = ("nprocs", "omp_nthreads", "mem_mb")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run of the BIDS-App. Paths are absolute; labels are without their BIDS prefix."""

    bids_dir: Path
    output_dir: Path
    analysis_level: str = "participant"

    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    bids_filter_file: Path | None = None
    bids_database_dir: Path | None = None
    skip_bids_validation: bool = False
    participants_file: Path | None = None
    derivatives: tuple[str, ...] = ()

    fs_subjects_dir: Path | None = None
    fs_license_file: Path | None = None
    recon: str = "auto"
    recon_args: tuple[str, ...] = ()
    longitudinal: bool = False
    t1w_select: str = "all"
    t1w_derivative: str | None = None

    model: str = "open-calibrated"
    scoring: str = "own-sex"
    adapt_controls: str | None = None
    adapt_by: str | None = None
    exclude_quality: tuple[str, ...] = ()
    analysis: str | None = None

    work_dir: Path | None = None
    nprocs: int = 1
    omp_nthreads: int = 1
    mem_mb: int | None = None
    nipype_plugin_file: Path | None = None
    stop_on_first_crash: bool = False
    write_graph: bool = False
    resource_monitor: bool = False
    reports_only: bool = False
    dry_run: bool = False
    force: bool = False
    verbose: int = 0

    def to_toml(self) -> str:
        """This configuration as TOML; unset options are left out."""
        return tomli_w.dumps({name: _plain(value) for name, value in asdict(self).items() if value is not None})

    def write(self, path: Path) -> Path:
        """Write the TOML file atomically."""
        return atomic_write(path, self.to_toml())

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> RunConfig:
        """Build from plain values (as TOML holds them); unknown names and values raise UsageError."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UsageError(f"unknown option(s) {', '.join(unknown)} in the configuration", "see normvol --help")
        hints = get_type_hints(cls)
        typed = {name: _typed(name, value, hints[name]) for name, value in values.items()}
        for name, value in typed.items():
            _check(name, value)
        return cls(**typed)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _check(name: str, value: Any) -> None:
    known = CHOICES.get(name)
    for item in value if isinstance(value, tuple) else (value,):
        if known and item not in known:
            raise UsageError(f"option {name} is one of {', '.join(known)}, not {item!r}")
    if name in POSITIVE and value is not None and value < 1:
        raise UsageError(f"option {name} must be 1 or more, not {value}")


def _typed(name: str, value: Any, hint: Any) -> Any:
    text = str(hint)
    if "tuple" in text:
        if not isinstance(value, list | tuple):
            raise UsageError(f"option {name} takes a list, not {value!r}")
        return tuple(str(item) for item in value)
    if "Path" in text:
        return None if value is None else Path(str(value))
    expected = bool if "bool" in text else int if "int" in text else str
    if value is not None and (not isinstance(value, expected) or (expected is int and isinstance(value, bool))):
        raise UsageError(f"option {name} takes {expected.__name__}, not {value!r}")
    return value
