"""Who can be scored, who cannot and why, and what is already there: decided before any graph is built."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.bids.covariates import read_covariates
from bids_app.bids.layout import Scan, find_scans
from bids_app.bids.names import derivative_path, participant_id, session_id
from bids_app.errors import InputError, NormvolError
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.locate import find_subject, subject_directories
from bids_app.freesurfer.volumes import extract_volumes
from bids_app.normative.harmonise.adaptation import unadapted_warning
from bids_app.run.adaptation import ScanAdaptations, estimate_adaptation
from bids_app.run.config import RunConfig
from bids_app.run.fingerprint import fingerprint
from bids_app.run.models import load_study_model, model_sha256
from bids_app.run.recon import OWN_SUBJECTS, ReconPlan, recon_memory_gb, subject_name
from bids_app.run.scan import EXPECTED_TABLES, scan_covariates
from bids_app.tables import read_json


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


@dataclass(frozen=True)
class PlannedScan:
    """A scan that can be scored: its covariates and its subject directory, or how to make one."""

    participant: str
    session: str | None
    covariates: dict[str, Any]
    subject_dir: Path | None = None
    recon_arguments: dict[str, Any] | None = None
    base_arguments: dict[str, Any] | None = None
    cross_arguments: dict[str, Any] | None = None
    adaptation_file: Path | None = None


@dataclass(frozen=True)
class Omission:
    """A scan that is left out: the stage that refused it, the reason and what to do."""

    participant: str
    session: str | None
    stage: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True)
class Plan:
    """What a participant-level run will do."""

    context: RunContext
    scans: tuple[PlannedScan, ...] = ()
    omissions: tuple[Omission, ...] = ()
    up_to_date: tuple[PlannedScan, ...] = ()
    notes: tuple[str, ...] = ()
    subject_directories: tuple[Path, ...] = ()
    adaptations: ScanAdaptations | None = None

    def people(self) -> list[list[PlannedScan]]:
        """The scans to score, one list per person, in order."""
        grouped: dict[str, list[PlannedScan]] = {}
        for scan in self.scans:
            grouped.setdefault(scan.participant, []).append(scan)
        return list(grouped.values())


def make_plan(config: RunConfig, work_dir: Path) -> Plan:
    """Look at every scan of the dataset and decide what to do with it.

    Raises
    ------
    BIDSError, UsageError, ModelError
        When the run as a whole is impossible.
    """
    model = load_study_model(config.model, config.scoring)
    context = RunContext(
        config.output_dir,
        work_dir,
        config.model,
        model_sha256(config.model),
        config.scoring,
        uuid.uuid4().hex,
        config.omp_nthreads,
        recon_memory_gb(),
    )
    roots = subject_roots(config)
    scans = _scans(config, roots, config.participant_label, config.session_label)
    covariates = read_covariates(config.bids_dir, scans, participants_file=config.participants_file)
    adaptations = None
    if config.adapt_controls is not None:
        everyone = _scans(config, roots) if config.participant_label or config.session_label else scans
        adaptations = estimate_adaptation(config, model, everyone, roots)
    planned: list[PlannedScan] = []
    omissions: list[Omission] = []
    recon = ReconPlan(config, scans)
    rows = [{str(name): _plain(value) for name, value in row.items()} for row in covariates.to_dict("records")]
    for scan, row in zip(scans, rows, strict=True):
        outcome = _plan_scan(scan, row, config, roots, recon)
        if isinstance(outcome, Omission):
            omissions.append(
                replace(
                    outcome,
                    reason=shorten(outcome.reason, roots, config),
                    remedy=shorten(outcome.remedy, roots, config),
                )
            )
        else:
            planned.append(outcome)
    planned = _with_other_sessions(planned)
    if adaptations is not None:
        planned = [adaptations.assign(scan, work_dir) for scan in planned]
    fresh = {id(scan) for scan in planned if not config.force and is_up_to_date(scan, context)}
    # A person's tables and report need all sessions, so one changed session brings the others along.
    changed = {scan.participant for scan in planned if id(scan) not in fresh}
    return Plan(
        context=context,
        scans=tuple(scan for scan in planned if scan.participant in changed),
        omissions=tuple(omissions),
        up_to_date=tuple(scan for scan in planned if scan.participant not in changed),
        notes=adaptations.notes if adaptations is not None else (unadapted_warning(model),),
        subject_directories=tuple(roots),
        adaptations=adaptations,
    )


def subject_roots(config: RunConfig) -> list[Path]:
    """Folders that may hold FreeSurfer subjects: the user's, then the ones that recon-all made here."""
    roots = subject_directories(config.bids_dir, config.fs_subjects_dir, config.derivatives)
    own = config.output_dir / OWN_SUBJECTS
    return [*roots, own] if own.is_dir() and own not in roots else list(roots)


def _scans(
    config: RunConfig, roots: Sequence[Path], participants: Sequence[str] = (), sessions: Sequence[str] = ()
) -> list[Scan]:
    scans = find_scans(
        config.bids_dir,
        participant_label=participants,
        session_label=sessions,
        filter_file=config.bids_filter_file,
        database_dir=config.bids_database_dir,
        validate=not config.skip_bids_validation,
        fs_subjects=_subject_names(roots),
    )
    if not scans:
        raise InputError(f"no scan in {config.bids_dir} matches what was asked for", "check the labels")
    return scans


def _subject_names(roots: Iterable[Path]) -> list[str]:
    return sorted({entry.name for root in roots for entry in root.iterdir() if entry.name.startswith("sub-")})


def _plan_scan(
    scan: Scan, row: dict[str, Any], config: RunConfig, roots: Sequence[Path], recon: ReconPlan
) -> PlannedScan | Omission:
    if row.get("problem"):
        return Omission(
            scan.participant,
            scan.session,
            "covariates",
            str(row["problem"]),
            "add it to participants.tsv or sessions.tsv, or give --participants-file",
        )
    try:
        found = find_subject(
            [recon.subjects_dir] if config.recon == "run" else roots,
            scan.participant,
            scan.session,
            longitudinal=config.longitudinal,
            only_session=recon.sessions_of(scan.participant) == 1,
        )
        if found is None:
            return _to_run(scan, row, recon)
    except NormvolError as error:
        return Omission(scan.participant, scan.session, "freesurfer", error.reason, error.remedy)
    # A link under another name was made on purpose, so the tree is held against its own name.
    linked = found.path.is_symlink()
    subject_dir = found.path.resolve() if linked else found.path
    check = check_subject(subject_dir, expected_subject=subject_dir.name if linked else scan.name)
    if check.usable:
        source = {"fs_subject": found.identifier, "fs_images": recon.images_of(found.path)}
        return PlannedScan(scan.participant, scan.session, {**row, **source}, subject_dir=subject_dir)
    if recon.may_resume(found.path):
        return _to_run(scan, row, recon)
    return Omission(scan.participant, scan.session, "freesurfer", check.message, check.remedy)


def _to_run(scan: Scan, row: dict[str, Any], recon: ReconPlan) -> PlannedScan:
    arguments = recon.arguments(scan)
    source = {"fs_subject": subject_name(arguments["recon_arguments"]), "fs_images": recon.images(scan)}
    return PlannedScan(scan.participant, scan.session, {**row, **source}, **arguments)


def _with_other_sessions(planned: Sequence[PlannedScan]) -> list[PlannedScan]:
    """Tell every scan the eTIV of its person's other sessions: a head does not change its size."""
    etiv: dict[str, dict[str | None, float]] = {}
    counts = Counter(scan.participant for scan in planned)
    for scan in planned:
        if counts[scan.participant] > 1 and scan.subject_dir is not None:
            value = extract_volumes(scan.subject_dir).etiv_mm3
            etiv.setdefault(scan.participant, {})[scan.session] = float(value)
    return [
        replace(
            scan,
            covariates={
                **scan.covariates,
                "other_sessions_etiv": [
                    value
                    for session, value in etiv[scan.participant].items()
                    if session != scan.session and np.isfinite(value)
                ],
            },
        )
        if scan.participant in etiv
        else scan
        for scan in planned
    ]


def shorten(text: str, roots: Sequence[Path], config: RunConfig) -> str:
    """`text` with paths relative to the subjects, output and BIDS folders: tables do not say where they were made."""
    for folder in (*roots, config.output_dir, config.bids_dir):
        text = text.replace(f"{folder}/", "")
    return text


def is_up_to_date(scan: PlannedScan, context: RunContext) -> bool:
    """Whether the scan's outputs are all there and were made from the same inputs in the same way."""
    if scan.subject_dir is None:
        return False
    labels = (context.output_dir, scan.participant, scan.session)
    expected = [derivative_path(*labels, desc=desc) for desc in EXPECTED_TABLES]
    summary = derivative_path(*labels, desc="summary", extension=".json")
    report = context.output_dir / f"{participant_id(scan.participant)}.html"
    if not all(path.exists() for path in (*expected, summary, report)):
        return False
    try:
        recorded = read_json(summary).get("fingerprint")
        return recorded == scan_fingerprint(scan, context)
    except NormvolError:
        return False


def scan_fingerprint(scan: PlannedScan, context: RunContext) -> str:
    """The fingerprint that the scan's outputs would carry if they were made now."""
    assert scan.subject_dir is not None
    volumes = extract_volumes(scan.subject_dir)
    adaptation = read_json(scan.adaptation_file) if scan.adaptation_file else None
    return fingerprint(
        volumes.inputs, scan_covariates(scan.covariates, volumes), context.model_sha256, context.scoring, adaptation
    )


def scan_key(scan: PlannedScan | Omission) -> tuple[str, str | None]:
    """``participant_id`` and ``session_id`` as tables hold them."""
    return participant_id(scan.participant), session_id(scan.session)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return None if value is None or value != value else value
