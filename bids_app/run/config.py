"""RunConfig: everything a run was asked to do, frozen, written to and read from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bids_app.settings import Label, from_plain, to_toml
from bids_app.tables import atomic_write

Count = Annotated[int, Field(ge=1)]


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

    model: str = "open-calibrated"
    scoring: Literal["own-sex", "reference-compat"] = "own-sex"
    adapt_controls: str | None = None
    adapt_by: str | None = None
    change_model: str | None = None
    exclude_quality: tuple[Literal["warn", "fail"], ...] = ()
    include_quality: tuple[Literal["warn", "fail"], ...] = ()
    qc_file: tuple[Label, ...] = ()
    analysis: str | None = None
    pool: Path | None = None
    figure_formats: tuple[Literal["svg", "png", "pdf"], ...] = ()

    work_dir: Path | None = None
    nprocs: Count = 1
    omp_nthreads: Count = 1
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

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], source: str = "") -> RunConfig:
        """Build from plain values, as TOML holds them; names and values that do not fit raise UsageError."""
        return from_plain(cls, values, source)
