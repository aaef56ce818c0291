"""Who can be scored, who cannot and why, and what is already there: decided before any graph is built."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bids_app.bids.covariates import Covariates
from bids_app.bids.layout import Scan
from bids_app.bids.markers import is_person_done
from bids_app.bids.names import LONGEST_LABEL, is_label, listed, scan_name
from bids_app.errors import NormvolError
from bids_app.findings import Finding
from bids_app.freesurfer.locate import Located, trees_of_nobody
from bids_app.normative.base import NormativeModel
from bids_app.normative.harmonise.adaptation import unadapted_warning
from bids_app.run.adaptation import ScanAdaptations, estimate_adaptation
from bids_app.run.alike import asked_for, check_alike, with_before
from bids_app.run.config import RunConfig
from bids_app.run.disguised import disguised, disguised_finding
from bids_app.run.lesions import LesionPlan
from bids_app.run.missing_trees import why_no_tree
from bids_app.run.models import load_second_model, load_study_model, model_sha256
from bids_app.run.planned import Omission, Plan, PlannedScan, RunContext
from bids_app.run.recon import ReconPlan, recon_memory_gb
from bids_app.run.request import Request, SubjectPlaces, open_request
from bids_app.run.scan import used_columns
from bids_app.run.streams import mixed_streams
from bids_app.run.trees import TreeFacts, Trees, base_finding
from bids_app.run.up_to_date import is_up_to_date, settled_facts


def make_plan(config: RunConfig, work_dir: Path, *, later: bool = False) -> Plan:
    """Look at every scan of the dataset and decide what to do with it.

    With `later`, statistics that only their own scan needs are read when it is scored, once, and may leave it out then.

    Raises
    ------
    BIDSError, UsageError, ModelError
        When the run as a whole is impossible.
    """
    return plan_request(open_request(config, work_dir), later=later, keep=not config.dry_run)


def plan_request(request: Request, *, later: bool = False, keep: bool = True) -> Plan:
    """Three steps with a table between each: scans, their covariates, their FreeSurfer trees.

    With `keep` what is read of trees lies in the work directory (`kept_dir`) for those who score them.
    """
    model = load_study_model(request.model.name, request.model.scoring)
    second = load_second_model(request.model.second, model)
    names = request.places.names()
    scans, unnamed = _with_labels(request.dataset.scans(names))
    request = _with_known(request, [*scans, *unnamed])
    context = _context(request)
    now = asked_for(request.told_model, context.model_sha256, context.second_sha256)
    scored_as = with_before(request.output_dir, now, force=request.force)
    differs = check_alike(request.output_dir, scored_as, force=request.force)
    asked = {scan.name for scan in request.dataset.asked(scans)} | {omission.name for omission in unnamed}
    covariates, table_findings = request.dataset.covariates(scans)
    trees = Trees(
        trust_names=request.places.trust_names,
        output_dir=request.output_dir,
        later=later,
        kept_dir=kept_dir(context) if keep else None,
        asked=asked,
    )
    adaptations = None if request.model.controls is None else _adaptations(request, model, trees, second=second)
    can_be_scored = {scan.name for scan, item in zip(scans, covariates) if not item.problem}
    recon = ReconPlan(request.recon, scans, asked & can_be_scored)
    # A person's tables and report need all sessions, so one changed session brings the others along.
    columns = used_columns(model, second)
    settled = None if request.force else partial(settled_facts, context=context, columns=columns)
    outcomes = [_plan_scan(scan, item, request.places, recon, trees, settled) for scan, item in zip(scans, covariates)]
    planned, omissions = _with_other_sessions([*outcomes, *unnamed], trees)
    planned = _with_tree_findings(planned)
    lesions = LesionPlan(request.dataset.bids_dir, request.derivatives, request.lesions, scans)
    planned = [_with_lesions(scan, lesions) for scan in planned if scan.name in asked]
    if request.quality_limits:
        limits = {"quality_limits": list(request.quality_limits)}
        planned = [replace(scan, covariates={**scan.covariates, **limits}) for scan in planned]
    if adaptations is not None:
        planned = [_adapted(scan, adaptations, request) for scan in planned]
    omissions = [_shortened(omission, request.folders) for omission in omissions if omission.name in asked]
    notes = adaptations.notes if adaptations is not None else (unadapted_warning(model),)
    found = (*differs, *table_findings, *_of_nobody(request, scans))
    if request.disguise is not None:
        planned, omissions = disguised(planned, omissions, request.disguise)
        notes = tuple(map(request.disguise.text, notes))
        found = tuple(disguised_finding(item, request.disguise) for item in found)
    is_done = None if request.force else partial(is_up_to_date, context=context, trees=trees, columns=columns)
    changed = _changed(planned, omissions, trees, is_done, request.output_dir)
    return Plan(
        context=context,
        scans=tuple(scan for scan in planned if scan.participant in changed),
        omissions=tuple(omissions),
        up_to_date=tuple(scan for scan in planned if scan.participant not in changed),
        notes=notes,
        findings=found,
        everybody=request.dataset.everyone,
        scored_as=scored_as,
        subject_directories=request.places.roots,
        adaptations=adaptations,
    )


def _changed(
    planned: Sequence[PlannedScan],
    omissions: Sequence[Omission],
    trees: Trees,
    is_done: Callable[[PlannedScan], bool] | None,
    output_dir: Path,
) -> set[str]:
    """The people who have something to do; without `is_done` all."""
    left_out = {omission.participant for omission in omissions}
    unknown = [
        scan
        for scan in planned
        if scan.participant in left_out or trees.settled.get(scan.subject_dir) != scan.covariates
    ]
    changed = {scan.participant for scan in unknown if is_done is None or not is_done(scan)}
    return changed | _not_done([scan for scan in unknown if scan.participant not in changed], omissions, output_dir)


def kept_dir(context: RunContext) -> Path:
    """Where a run keeps what its plan reads of FreeSurfer trees."""
    return context.work_dir / f"volumes-{context.run_uuid}"


def _with_known(request: Request, scans: Sequence[Scan | Omission]) -> Request:
    if request.disguise is None:
        return request
    return replace(request, disguise=request.disguise.of((scan.participant, scan.session) for scan in scans))


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
    who = "" if request.disguise else f": {listed(names)}"
    return [Finding("trees-of-nobody", f"{len(names)} in {_places(request.places.roots)}{who}")]


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
        second_model=request.model.second,
        disguise=request.disguise,
        second_sha256=None if request.model.second is None else model_sha256(request.model.second),
    )


def _adaptations(request: Request, model: NormativeModel, trees: Trees, **other: Any) -> ScanAdaptations:
    """From the controls of the whole dataset, whoever this run was asked for."""
    everybody, _ = _with_labels(request.dataset.everybody(request.places.names()))
    covariates, _ = request.dataset.covariates(everybody)
    other |= {"controls": str(request.model.controls), "by": request.model.by}
    return estimate_adaptation(model, covariates, everybody, trees, request.places.roots, **other)


def _with_lesions(scan: PlannedScan, lesions: LesionPlan) -> PlannedScan:
    tree = scan.subject_dir or (scan.recon.directory if scan.recon else None)
    if tree is None:
        return scan
    known = lesions.covariates(Scan(scan.participant, scan.session), tree)
    return replace(scan, covariates={**scan.covariates, **known}) if known else scan


def _adapted(scan: PlannedScan, adaptations: ScanAdaptations, request: Request) -> PlannedScan:
    path = request.work_dir / "adaptation" / f"{scan_name(scan.participant, scan.session)}.json"
    return replace(scan, adaptation_file=adaptations.assign(scan.covariates, path, request.disguise))


def _plan_scan(
    scan: Scan,
    covariates: Covariates,
    places: SubjectPlaces,
    recon: ReconPlan,
    trees: Trees,
    settled: Callable[[PlannedScan], TreeFacts | None] | None = None,
) -> PlannedScan | Omission:
    def planned(path: Path, located: Located, findings: tuple[Finding, ...]) -> PlannedScan:
        source = {"fs_subject": located.identifier, "fs_images": recon.images_of(located.path)}
        row = {**_row(covariates, findings), **source}
        return PlannedScan(scan.participant, scan.session, row, subject_dir=path)

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
            measured=True,
            settled=settled and (lambda *found: ((one := planned(*found)).covariates, settled(one))),
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
    found = planned(tree.path, tree.located, tree.findings)
    return replace(found, expected=tree.expected, volumes_file=trees.volumes_files.get(tree.path))


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
        replace(
            scan,
            covariates={
                **scan.covariates,
                "other_sessions_etiv": [
                    size
                    for session, size in etiv[scan.participant].items()
                    if size is not None and session != scan.session
                ],
            },
        )
        if scan.participant in etiv
        else scan
        for scan in planned
    ], omissions


def _with_tree_findings(planned: Sequence[PlannedScan]) -> list[PlannedScan]:
    """Say when trees of a person must not be compared: different longitudinal bases, or both streams."""
    trees: dict[str, list[Path]] = {}
    for scan in planned:
        if scan.subject_dir is not None:
            trees.setdefault(scan.participant, []).append(scan.subject_dir)
    mixed = {participant: mixed_streams(own) for participant, own in trees.items()}
    out = []
    for scan in planned:
        found = [base_finding(scan.subject_dir, trees.get(scan.participant, [])), mixed.get(scan.participant)]
        said = [finding.to_json() for finding in found if finding is not None]
        kept = [*scan.covariates["findings"], *said]
        out.append(replace(scan, covariates={**scan.covariates, "findings": kept}) if said else scan)
    return out


def _shortened(omission: Omission, folders: Sequence[Path]) -> Omission:
    return replace(omission, reason=shorten(omission.reason, folders), remedy=shorten(omission.remedy, folders))


def shorten(text: str, folders: Iterable[Path]) -> str:
    """`text` with paths relative to `folders`: tables do not say where they were made."""
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text
