"""Carry out a plan: graphs of people, statuses, closing summary, exit code."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_app.bids.derivatives import not_shown, person_summary_paths
from bids_app.bids.disguise import record_disguise
from bids_app.bids.markers import scan_marker
from bids_app.bids.names import bare, derivative_path, output_path, participant_id
from bids_app.bids.sink import write_dataset_files
from bids_app.bids.status import status_path, write_status
from bids_app.cli import exitcodes, summary
from bids_app.cli.progress import PeopleProgress, open_log
from bids_app.cli.resources import too_little_memory
from bids_app.errors import InputError
from bids_app.normative.structure import structure
from bids_app.processes import WORKER_KILLED, full_places
from bids_app.run.config import RunConfig
from bids_app.run.findings import closing_lines, record_planned
from bids_app.run.models import load_study_model
from bids_app.run.plan import shorten
from bids_app.run.planned import Omission, Plan, PlannedScan
from bids_app.run.rebuild import person_source
from bids_app.tables import atomic_write, read_json
from bids_app.workflows.execution import Crash, run_graph
from bids_app.workflows.participant import init_normvol_wf, people_per_graph, person_wf_name, scan_wf_name
from bids_app.workflows.resources import ResourceTable

# A scan whose picture or report failed is scored all the same.
AFTER_SCORING = ("draw", "tables", "report")


def carry_out(config: RunConfig, plan: Plan, rated: Sequence[str], change: str | None) -> int:
    """Score what `plan` names and write the people's reports.

    Parameters
    ----------
    config : RunConfig
    plan : Plan
    rated : sequence of str
        People (``sub-X``) whose ratings are new: their reports are written again.
    change : str or None
        What was done about ``--change-model``, a sentence for the log.

    Returns
    -------
    int
        The exit code (`exitcodes`).
    """
    log = open_log(
        output_path(config.output_dir, "logs", f"run-{plan.context.run_uuid}.log"),
        config.verbose,
        config.quiet,
        _shared(config, plan),
    )
    if plan.context.disguise is not None:
        # The map first: a salt that the folder knows and nobody keeps would be lost by a kill between the two
        if config.anonymise_map is not None:
            plan.context.disguise.write_map(config.anonymise_map)
        record_disguise(config.output_dir, plan.context.disguise)
    if change:
        log.info("%s", change)
    model = load_study_model(config.model, config.scoring)
    write_dataset_files(
        config.output_dir,
        bids_dir=config.bids_dir,
        model=model.card.name,
        scoring=config.scoring,
        subject_directories=plan.subject_directories,
        model_card=model.card.to_json(),
        structure=structure(model),
        regions=model.regions,
    )
    _record_start(config, plan, log)
    crashes = _run_in_batches(config, plan, log)
    unfit = _record_unfit(config, plan, [crash for crash in crashes if crash.unfit])
    left = {(omission.participant, omission.session) for omission in unfit}
    scans = tuple(scan for scan in plan.scans if (scan.participant, scan.session) not in left)
    plan = replace(plan, scans=scans, omissions=(*plan.omissions, *unfit))
    failed = _record_failures(config, plan, [crash for crash in crashes if not crash.unfit])
    failed += _record_unfinished(config, plan, failed)
    done = {scan.participant for scan in plan.up_to_date}
    renewed = {omission.participant for omission in (*failed, *unfit)} | {bare(who, "sub") for who in rated} & done
    if renewed:
        _repair_reports(config, plan, sorted(renewed))
    log.log(logging.WARNING if failed or plan.omissions else logging.INFO, summary.closing(config, plan, failed))
    for line in closing_lines(plan, config.output_dir):
        log.info(line)
    if failed:
        return exitcodes.FAILED
    return exitcodes.OMISSIONS if plan.omissions else exitcodes.OK


def _shared(config: RunConfig, plan: Plan) -> Callable[[str], str]:
    """What makes text fit for the output folder."""
    disguise = plan.context.disguise
    return config.shared if disguise is None else lambda text: disguise.text(config.shared(text))


def _record_start(config: RunConfig, plan: Plan, log: logging.Logger) -> None:
    log.info(
        "%d scans: %d to score, %d up to date, %d left out",
        len(plan.scans) + len(plan.up_to_date) + len(plan.omissions),
        len(plan.scans),
        len(plan.up_to_date),
        len(plan.omissions),
    )
    for note in plan.notes:
        log.info("note  %s", note)
    if warning := too_little_memory(config.mem_mb):
        log.warning("%s", warning)
    log.info("FreeSurfer subjects are looked for in: %s", ", ".join(map(str, plan.subject_directories)) or "nowhere")
    for omission in plan.omissions:
        _write_status(config, plan, omission, "omitted")
    record_planned(plan, config.output_dir)
    if plan.adaptations is not None:
        plan.adaptations.write(config.output_dir, plan.context.disguise)
    for people in plan.people():
        config.write_shared(_log_path(config, plan, people[0].participant, "config.toml"), plan.context.disguise)


def _log_path(config: RunConfig, plan: Plan, participant: str, name: str) -> Path:
    return output_path(config.output_dir, participant_id(participant), "log", plan.context.run_uuid, name)


def _write_status(config: RunConfig, plan: Plan, scan: Omission, status: str) -> None:
    """Record that a scan is not done; what an earlier run marked as done is so no more."""
    scan_marker(config.output_dir, scan.participant, scan.session).unlink(missing_ok=True)
    write_status(
        config.output_dir,
        scan.participant,
        scan.session,
        status=status,
        stage=scan.stage,
        reason=scan.reason,
        remedy=scan.remedy,
        run_uuid=plan.context.run_uuid,
    )


def _run_in_batches(config: RunConfig, plan: Plan, log: logging.Logger) -> list[Crash]:
    """Graphs of a bounded number of people, so that memory does not grow with the dataset."""
    people = plan.people()
    if config.write_graph and people:
        from bids_app.workflows.drawing import draw_graph

        draw_graph(init_normvol_wf(people[:1], plan.context), output_path(config.output_dir, "logs", "graph").parent)
    progress = _progress(people)
    monitor = ResourceTable(output_path(config.output_dir, "logs", f"resources-{plan.context.run_uuid}.tsv"), progress)
    callback = monitor if config.resource_monitor else progress
    if config.scheduler != "local":
        from bids_app.workflows.dask_people import run_people

        try:
            return run_people(people, plan.context, config, progress, log)
        finally:
            progress.close()
    crashes: list[Crash] = []
    try:
        size = people_per_graph(people, config.nprocs)
        for start in range(0, len(people), size):
            crashes += _run_batch(config, plan, people[start : start + size], callback)
            if crashes and config.stop_on_first_crash:
                break
    finally:
        progress.close()
        if config.resource_monitor:
            monitor.close()
    killed = [scans for scans in people if any(c.reason == WORKER_KILLED and _is_of(c, scans[0]) for c in crashes)]
    if killed and not config.stop_on_first_crash:
        log.info("%d people lost their worker process; they are tried once more, one at a time", len(killed))
        progress = _progress(killed)
        retried = _run_batch(config, plan, killed, progress, nprocs=1)
        progress.close()
        crashes = [c for c in crashes if not any(_is_of(c, scans[0]) for scans in killed)] + retried
    return crashes


def _progress(people: Sequence[Sequence[PlannedScan]]) -> PeopleProgress:
    return PeopleProgress(
        len(people), {person_wf_name(scans[0].participant): participant_id(scans[0].participant) for scans in people}
    )


def _run_batch(
    config: RunConfig,
    plan: Plan,
    people: Sequence[Sequence[PlannedScan]],
    callback: Callable[[Any, str], None],
    nprocs: int | None = None,
) -> list[Crash]:
    graph = init_normvol_wf(people, plan.context)
    try:
        return run_graph(graph, config, callback, nprocs)
    finally:
        if config.work_dir is None:
            shutil.rmtree(plan.context.work_dir / graph.name, ignore_errors=True)


def _is_of(crash: Crash, scan: PlannedScan) -> bool:
    return person_wf_name(scan.participant) in crash.node.split(".")


def _record_unfit(config: RunConfig, plan: Plan, crashes: Sequence[Crash]) -> list[Omission]:
    """Statuses of scans that turned out to be unfit for the model, or of no whole tree, when they were read."""
    folders = (*plan.subject_directories, config.output_dir, config.bids_dir)
    found = [
        Omission(
            scan.participant,
            scan.session,
            "freesurfer" if crash.node.endswith(".read") else "covariates",
            shorten(crash.reason, folders),
            shorten(crash.remedy, folders),
        )
        for crash in crashes
        for scan in plan.scans
        if _is_of(crash, scan) and _concerns(crash, scan)
    ]
    for omission in found:
        _write_status(config, plan, omission, "omitted")
    return found


def _record_failures(config: RunConfig, plan: Plan, crashes: Sequence[Crash]) -> list[Omission]:
    """Statuses and crash files of the scans whose nodes failed."""
    failed = []
    for crash in crashes:
        for scan in plan.scans:
            if not _is_of(crash, scan) or not _concerns(crash, scan):
                continue
            stage = crash.node.rsplit(".", 1)[-1]
            crash_file = atomic_write(
                _log_path(config, plan, scan.participant, f"crash-{stage}.txt"), _shared(config, plan)(crash.text)
            )
            folders = (*plan.subject_directories, config.output_dir, config.bids_dir)
            where = f"see {crash_file.relative_to(config.output_dir)}"
            words = crash.reason, crash.remedy if crash.expected else where
            reason, remedy = (_shared(config, plan)(shorten(text, folders)) for text in words)
            failed.append(Omission(scan.participant, scan.session, stage, reason, remedy))
            if stage.startswith(AFTER_SCORING):
                continue
            _write_status(config, plan, failed[-1], "failed")
    return failed


def _record_unfinished(config: RunConfig, plan: Plan, failed: Sequence[Omission]) -> list[Omission]:
    """Scans without result or report whose crash is not known: the run was stopped before, or could not record it."""
    named = {(omission.participant, omission.session) for omission in failed}
    unknown = [scan for scan in plan.scans if (scan.participant, scan.session) not in named]
    left = [scan for scan in unknown if not _is_done(config, plan, scan)]
    if not config.stop_on_first_crash:
        left = not_shown(left, lambda scan: _is_done(config, plan, scan))
    found = []
    for scan in left:
        why = " (--stop-on-first-crash)" if config.stop_on_first_crash and named else ""
        item = Omission(
            scan.participant,
            scan.session,
            "run",
            f"the run ended before this scan was done{why}",
            "" if why else _room(config),
        )
        _write_status(config, plan, item, "failed")
        found.append(item)
    return found


def _room(config: RunConfig) -> str:
    full = full_places((config.work_dir, config.output_dir))
    if full:
        return f"make room, bytes or inodes, in {' and '.join(full)}"
    return "check that the temporary, work and output folders have space left"


def _is_done(config: RunConfig, plan: Plan, scan: PlannedScan) -> bool:
    """Whether the scan was scored and reported since this run began (a second run may do it too)."""
    status_file = status_path(config.output_dir, scan.participant, scan.session)
    begun = _log_path(config, plan, scan.participant, "config.toml")
    summary_file = derivative_path(config.output_dir, scan.participant, scan.session, desc="summary", extension=".json")
    report = config.output_dir / f"{participant_id(scan.participant)}.html"
    try:
        scored = read_json(status_file)["status"] == "scored"
        start, *written = (path.stat().st_mtime_ns for path in (begun, summary_file, report))
    except (OSError, InputError):
        return False
    return scored and start <= min(written)


def _concerns(crash: Crash, scan: PlannedScan) -> bool:
    """Whether a crash in a person's graph is this session's; one in the person's own nodes is every session's."""
    parts = crash.node.split(".")
    in_a_scan = any(part.startswith("scan_") for part in parts)
    return not in_a_scan or scan_wf_name(scan.session) in parts


def _repair_reports(config: RunConfig, plan: Plan, people: Sequence[str]) -> None:
    """People with a failed session still get the report of their other sessions, those rated anew their rating."""
    from bids_app.workflows.reports import init_reports_wf

    people = [person for person in people if person_summary_paths(config.output_dir, person)]
    if people:
        context = plan.context
        sources = {person: person_source(config.output_dir, person, config.model) for person in people}
        graph = init_reports_wf(
            {person: False if isinstance(source, str) else source for person, source in sources.items()},
            config.output_dir,
            work_dir=context.work_dir,
            figure_formats=context.figure_formats,
        )
        run_graph(graph, replace(config, stop_on_first_crash=False))
