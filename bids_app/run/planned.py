"""What a plan is made of: its context, the scans to score, those that are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_app.bids.disguise import Disguise
from bids_app.bids.names import scan_name
from bids_app.findings import Finding
from bids_app.freesurfer.recon_command import ReconAllCommand
from bids_app.run.adaptation import ScanAdaptations


@dataclass(frozen=True)
class RunContext:
    """What is the same for every scan of a run."""

    output_dir: Path
    work_dir: Path
    model: str
    model_sha256: str
    scoring: str
    run_uuid: str
    omp_nthreads: int = 1
    recon_memory_gb: float = 8.0
    trust_names: bool = False
    license_file: Path | None = None
    figure_formats: tuple[str, ...] = ()
    second_model: str | None = None
    second_sha256: str | None = None
    disguise: Disguise | None = None


@dataclass(frozen=True)
class PlannedScan:
    """A scan that can be scored: its covariates and its subject directory, or how to make one.

    Its findings so far travel as plain values under ``findings`` in `covariates`. `expected` is the name that the
    statistics in `subject_dir` must agree with; `volumes_file` is what the plan has read of them, where it had to.
    """

    participant: str
    session: str | None
    covariates: dict[str, Any]
    subject_dir: Path | None = None
    expected: str | None = None
    recon: ReconAllCommand | None = None
    base: ReconAllCommand | None = None
    cross: ReconAllCommand | None = None
    adaptation_file: Path | None = None
    volumes_file: Path | None = None

    @property
    def name(self) -> str:
        """``sub-X`` or ``sub-X_ses-Y``."""
        return scan_name(self.participant, self.session)


@dataclass(frozen=True)
class Omission:
    """A scan that is left out: the stage that refused it, the reason, what to do, and files that git-annex lacks."""

    participant: str
    session: str | None
    stage: str
    reason: str
    remedy: str = ""
    findings: tuple[Finding, ...] = ()
    to_fetch: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """``sub-X`` or ``sub-X_ses-Y``."""
        return scan_name(self.participant, self.session)


@dataclass(frozen=True)
class Plan:
    """What a participant-level run will do; `findings` are on the dataset, `everybody`: no label narrows the run."""

    context: RunContext
    scans: tuple[PlannedScan, ...] = ()
    omissions: tuple[Omission, ...] = ()
    up_to_date: tuple[PlannedScan, ...] = ()
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    everybody: bool = True
    scored_as: Mapping[str, Any] = field(default_factory=dict)
    subject_directories: tuple[Path, ...] = ()
    adaptations: ScanAdaptations | None = None

    def people(self) -> list[list[PlannedScan]]:
        """The scans to score, one list per person, in order."""
        grouped: dict[str, list[PlannedScan]] = {}
        for scan in self.scans:
            grouped.setdefault(scan.participant, []).append(scan)
        return list(grouped.values())
