"""Who can be scored, who cannot and why, and what is already there: decided before any graph is built."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bids_app.bids.covariates import Covariates
from bids_app.bids.layout import Scan
from bids_app.bids.markers import is_person_done, is_scan_done
from bids_app.bids.names import LONGEST_LABEL, derivative_path, is_label, listed, participant_id, scan_name
from bids_app.errors import NormvolError
from bids_app.findings import Finding
from bids_app.freesurfer.locate import trees_of_nobody
from bids_app.freesurfer.recon_command import ReconAllCommand
from bids_app.normative.base import NormativeModel
from bids_app.normative.harmonise.adaptation import unadapted_warning
from bids_app.run.adaptation import ScanAdaptations, estimate_adaptation
from bids_app.run.alike import asked_for, check_alike, with_before
from bids_app.run.config import RunConfig
from bids_app.run.fingerprint import fingerprint
from bids_app.run.missing_trees import why_no_tree
from bids_app.run.models import load_study_model, model_sha256
from bids_app.run.recon import ReconPlan, recon_memory_gb
from bids_app.run.request import Request, SubjectPlaces, open_request
from bids_app.run.scan import EXPECTED_TABLES, kept_columns
from bids_app.run.streams import stream_findings
from bids_app.run.trees import Trees
from bids_app.tables import read_json

# Kinds of findings on scored scans that a plan makes, and not the scoring
PLANNED_KINDS = frozenset(
    (
        "age-one-for-all",
        "age-contradicts-dates",
        "age-units",
        "age-limit",
        "session-label-matched",
        "tree-choice",
        "tree-name-trusted",
        "streams-mixed",
    )
)


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


@dataclass(frozen=True)
class PlannedScan:
    """A scan that can be scored: its covariates and its subject directory, or how to make one.

    Its findings so far travel as plain values under ``findings`` in `covariates`.
    """

    participant: str
    session: str | None
    covariates: dict[str, Any]
    subject_dir: Path | None = None
    recon: ReconAllCommand | None = None
    base: ReconAllCommand | None = None
    cross: ReconAllCommand | None = None
    adaptation_file: Path | None = None

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


def make_plan(config: RunConfig, work_dir: Path) -> Plan:
    """Look at every scan of the dataset and decide what to do with it.

    Raises
    ------
    BIDSError, UsageError, ModelError
        When the run as a whole is impossible.
    """
    return plan_request(open_request(config, work_dir))


def plan_request(request: Request) -> Plan:
    """Three steps with a table between each: scans, their covariates, their FreeSurfer trees."""
    model = load_study_model(request.model.name, request.model.scoring)
    context = _context(request)
    asked_for_now = asked_for(request.model, context.model_sha256)
    scored_as = with_before(request.output_dir, asked_for_now, force=request.force)
    differs = check_alike(request.output_dir, scored_as, force=request.force)
    names = request.places.names()
    scans, unnamed = _with_labels(request.dataset.scans(names))
    asked = {scan.name for scan in request.dataset.asked(scans)} | {omission.name for omission in unnamed}
    covariates, table_findings = request.dataset.covariates(scans)
    trees = Trees(trust_names=request.places.trust_names)
    adaptations = None if request.model.controls is None else _adaptations(request, model, trees)
    can_be_scored = {scan.name for scan, item in zip(scans, covariates) if not item.problem}
    recon = ReconPlan(request.recon, scans, asked & can_be_scored)
    outcomes = [_plan_scan(scan, item, request.places, recon, trees) for scan, item in zip(scans, covariates)]
    planned, omissions = _with_other_sessions([*outcomes, *unnamed], trees)
    planned = _with_stream_findings(planned)
    planned = [scan for scan in planned if scan.name in asked]
    if adaptations is not None:
        planned = [_adapted(scan, adaptations, request.work_dir) for scan in planned]
    # A person's tables and report need all sessions, so one changed session brings the others along.
    columns = model.extra_covariates
    omissions = [_shortened(omission, request.folders) for omission in omissions if omission.name in asked]
    changed = {
        scan.participant for scan in planned if request.force or not is_up_to_date(scan, context, trees, columns)
    }
    changed |= _not_done(planned, omissions, request.output_dir)
    return Plan(
        context=context,
        scans=tuple(scan for scan in planned if scan.participant in changed),
        omissions=tuple(omissions),
        up_to_date=tuple(scan for scan in planned if scan.participant not in changed),
        notes=adaptations.notes if adaptations is not None else (unadapted_warning(model),),
        findings=(*differs, *table_findings, *_of_nobody(request, scans)),
        everybody=request.dataset.everyone,
        scored_as=scored_as,
        subject_directories=request.places.roots,
        adaptations=adaptations,
    )


def _with_labels(scans: Sequence[Scan]) -> tuple[list[Scan], list[Omission]]:
    """The scans whose labels can be part of a file's name; the others are left out, whatever else is known of them."""
    named, unnamed = [], []
    for scan in scans:
        wrong = next((label for label in (scan.participant, scan.session) if label and not is_label(label)), None)
        if wrong is None:
            named.append(scan)
        else:
            reason = f"{wrong[:80]!r} is no BIDS label (letters, digits and +, at most {LONGEST_LABEL})"
            unnamed.append(Omission(scan.participant, scan.session, "labels", reason, "rename it, in the tables too"))
    return named, unnamed


def _not_done(planned: Sequence[PlannedScan], omissions: Sequence[Omission], output_dir: Path) -> set[str]:
    """The people whose report and tables are not of what is there and of what this run leaves out."""
    left_out: dict[str, dict[str, str]] = {scan.participant: {} for scan in planned}
    for omission in omissions:
        left_out.setdefault(omission.participant, {})[omission.name] = omission.reason
    people = {scan.participant for scan in planned}
    return {person for person in people if not is_person_done(output_dir, person, left_out[person])}


def _of_nobody(request: Request, scans: Sequence[Scan]) -> list[Finding]:
    """One finding that lists the trees of nobody; a run of some people cannot know."""
    if not request.dataset.everyone:
        return []
    names = trees_of_nobody(request.places.roots, {scan.participant for scan in scans})
    if not names:
        return []
    return [Finding("trees-of-nobody", f"{len(names)} in {_places(request.places.roots)}: {listed(names)}")]


def _places(roots: Sequence[Path]) -> str:
    return " and ".join(root.name for root in roots)


def _context(request: Request) -> RunContext:
    return RunContext(
        output_dir=request.output_dir,
        work_dir=request.work_dir,
        model=request.model.name,
        model_sha256=model_sha256(request.model.name),
        scoring=request.model.scoring,
        run_uuid=uuid.uuid4().hex,
        omp_nthreads=request.recon.threads,
        recon_memory_gb=recon_memory_gb(request.recon.extra),
        trust_names=request.places.trust_names,
        license_file=request.recon.license_file,
        figure_formats=request.figure_formats,
    )


def _adaptations(request: Request, model: NormativeModel, trees: Trees) -> ScanAdaptations:
    """From the controls of the whole dataset, whoever this run was asked for."""
    everybody, _ = _with_labels(request.dataset.everybody(request.places.names()))
    covariates, _ = request.dataset.covariates(everybody)
    return estimate_adaptation(
        model,
        covariates,
        everybody,
        trees,
        request.places.roots,
        controls=str(request.model.controls),
        by=request.model.by,
    )


def _adapted(scan: PlannedScan, adaptations: ScanAdaptations, work_dir: Path) -> PlannedScan:
    path = work_dir / "adaptation" / f"{scan_name(scan.participant, scan.session)}.json"
    return replace(scan, adaptation_file=adaptations.assign(scan.covariates, path))


def _plan_scan(
    scan: Scan, covariates: Covariates, places: SubjectPlaces, recon: ReconPlan, trees: Trees
) -> PlannedScan | Omission:
    if covariates.problem:
        return Omission(
            scan.participant,
            scan.session,
            "covariates",
            covariates.problem,
            _remedy(covariates.findings),
            covariates.findings,
        )
    try:
        tree = trees.find(
            places.searched,
            scan,
            only_session=recon.sessions_of(scan.participant) == 1,
            longitudinal=places.longitudinal,
        )
        if tree is None or (not tree.check.usable and recon.may_resume(tree.located.path)):
            return _to_run(scan, covariates, recon)
        if recon.is_outdated(scan, tree.path):
            return _to_run(scan, covariates, recon)
    except NormvolError as error:
        return _omitted(scan, *why_no_tree(scan, error, places, recon, trees))
    if not tree.check.usable:
        fetch = (tree.path / "stats", tree.path / "scripts") if tree.check.status == "not_fetched" else ()
        return _omitted(scan, tree.check.message, tree.check.remedy, to_fetch=fetch)
    source = {"fs_subject": tree.located.identifier, "fs_images": recon.images_of(tree.located.path)}
    row = _row(covariates, tree.findings)
    return PlannedScan(scan.participant, scan.session, {**row, **source}, subject_dir=tree.path)


def _remedy(findings: Sequence[Finding]) -> str:
    if findings:
        return findings[0].remedy
    return "add it to participants.tsv or sessions.tsv, or give --participants-file"


def _omitted(
    scan: Scan, reason: str, remedy: str, findings: tuple[Finding, ...] = (), to_fetch: tuple[Path, ...] = ()
) -> Omission:
    return Omission(scan.participant, scan.session, "freesurfer", reason, remedy, findings, to_fetch)


def _row(covariates: Covariates, findings: Sequence[Finding] = ()) -> dict[str, Any]:
    """The covariates of a scan as plain values for the nodes, with its findings."""
    found = dict.fromkeys((*covariates.findings, *findings))
    return {**covariates.row(), "findings": [finding.to_json() for finding in found]}


def _to_run(scan: Scan, covariates: Covariates, recon: ReconPlan) -> PlannedScan:
    commands = recon.commands(scan)
    source = {"fs_subject": commands["recon"].directory.name, "fs_images": recon.images(scan)}
    return PlannedScan(
        scan.participant,
        scan.session,
        {**_row(covariates), **source},
        recon=commands["recon"],
        base=commands.get("base"),
        cross=commands.get("cross"),
    )


def _with_other_sessions(
    outcomes: Iterable[PlannedScan | Omission], trees: Trees
) -> tuple[list[PlannedScan], list[Omission]]:
    """Tell every scan the eTIV of its person's other sessions: a head does not change its size."""
    planned = [outcome for outcome in outcomes if isinstance(outcome, PlannedScan)]
    omissions = [outcome for outcome in outcomes if isinstance(outcome, Omission)]
    counts = Counter(scan.participant for scan in planned)
    etiv: dict[str, dict[str | None, float | None]] = {}
    for scan in planned:
        if counts[scan.participant] > 1 and scan.subject_dir is not None:
            etiv.setdefault(scan.participant, {})[scan.session] = trees.facts(scan.subject_dir).etiv_mm3
    return [
        replace(scan, covariates={**scan.covariates, "other_sessions_etiv": _others(etiv[scan.participant], scan)})
        if scan.participant in etiv
        else scan
        for scan in planned
    ], omissions


def _with_stream_findings(planned: Sequence[PlannedScan]) -> list[PlannedScan]:
    """Say when trees of a person must not be compared: different longitudinal bases, or both streams."""
    trees: dict[str, list[Path]] = {}
    for scan in planned:
        if scan.subject_dir is not None:
            trees.setdefault(scan.participant, []).append(scan.subject_dir)
    return [_and_findings(scan, stream_findings(scan.subject_dir, trees.get(scan.participant, ()))) for scan in planned]


def _and_findings(scan: PlannedScan, found: Sequence[Finding]) -> PlannedScan:
    kept = [*scan.covariates["findings"], *(finding.to_json() for finding in found)]
    return replace(scan, covariates={**scan.covariates, "findings": kept}) if found else scan


def _others(etiv: Mapping[str | None, float | None], scan: PlannedScan) -> list[float]:
    return [value for session, value in etiv.items() if session != scan.session and value is not None]


def _shortened(omission: Omission, folders: Sequence[Path]) -> Omission:
    return replace(omission, reason=shorten(omission.reason, folders), remedy=shorten(omission.remedy, folders))


def shorten(text: str, folders: Iterable[Path]) -> str:
    """`text` with paths relative to `folders`: tables do not say where they were made."""
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text


def is_up_to_date(scan: PlannedScan, context: RunContext, trees: Trees, columns: Sequence[str] = ()) -> bool:
    """Whether the scan's outputs are all there and were made from the same inputs in the same way.

    `columns` are what the model uses beside age, sex and eTIV.
    """
    if scan.subject_dir is None:
        return False
    labels = (context.output_dir, scan.participant, scan.session)
    expected = [derivative_path(*labels, desc=desc) for desc in EXPECTED_TABLES]
    summary = derivative_path(*labels, desc="summary", extension=".json")
    report = context.output_dir / f"{participant_id(scan.participant)}.html"
    if not all(path.exists() for path in (*expected, summary, report)) or not is_scan_done(*labels):
        return False
    try:
        recorded = read_json(summary)
        same = recorded.get("fingerprint") == scan_fingerprint(scan, context, trees, columns)
    except NormvolError:
        return False
    found = _planned(recorded.get("findings", ())) == _planned(scan.covariates.get("findings", ()))
    return bool(same and found and recorded["covariates"].get("other") == kept_columns(scan.covariates, columns))


def _planned(findings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those findings that a plan makes, and not the scoring."""
    return [finding for finding in findings if finding["kind"] in PLANNED_KINDS]


def scan_fingerprint(scan: PlannedScan, context: RunContext, trees: Trees, columns: Sequence[str] = ()) -> str:
    """The fingerprint that the scan's outputs would carry if they were made now."""
    assert scan.subject_dir is not None
    facts = trees.facts(scan.subject_dir)
    covariates = {**scan.covariates, "etiv_mm3": facts.etiv_mm3, "fs_version": facts.fs_version}
    adaptation = read_json(scan.adaptation_file) if scan.adaptation_file else None
    return fingerprint(facts.inputs, covariates, context.model_sha256, context.scoring, adaptation, columns)
