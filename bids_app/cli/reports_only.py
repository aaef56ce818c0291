"""``--reports-only``: rebuild the reports from the tables; raw data and FreeSurfer trees may be gone."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_app.bids.derivatives import read_summaries
from bids_app.bids.names import bare, output_path, participant_id
from bids_app.cli import exitcodes
from bids_app.cli.progress import open_log
from bids_app.cli.words import STATUS_LINE
from bids_app.errors import InputError
from bids_app.processes import scratch_folder
from bids_app.run.config import RunConfig
from bids_app.run.rebuild import PersonSource, outdated_people, person_source
from bids_app.tables import atomic_write
from bids_app.workflows.execution import Crash, run_graph
from bids_app.workflows.reports import init_reports_wf

REPORTS_PER_GRAPH = 200


def run_reports(config: RunConfig) -> int:
    """Reports of the people asked for (participant level) or of the group (group level)."""
    group = config.analysis_level == "group"
    scored = [bare(summary["participant_id"], "sub") for summary in read_summaries(config.output_dir)]
    people = list(dict.fromkeys(scored))
    if config.participant_label:
        unknown = sorted(set(config.participant_label) - set(people))
        if unknown:
            raise InputError(
                f"no scored scan of sub-{', sub-'.join(unknown)} in {config.output_dir}",
                "run the participant level first",
            )
        people = [person for person in people if person in config.participant_label]
    if not people:
        raise InputError(f"no scored scan in {config.output_dir}", "run the participant level first")
    if group and not (config.output_dir / "group_deviations.tsv").exists():
        raise InputError(f"{config.output_dir} has no group tables", "run the group level first")
    log = open_log(None, config.verbose, config.quiet)
    with scratch_folder("normvol-work-") as work_dir:
        sources = {} if group else _sources(config, people, log)
        crashes = _run(config, sources, work_dir)
    for crash in crashes:
        name = f"crash-{crash.node.rsplit('.', 1)[-1]}-{uuid.uuid4().hex[:8]}.txt"
        atomic_write(output_path(config.output_dir, "logs", name), config.shared(crash.text))
        log.warning("failed: %s (see logs/%s)", crash.reason, name)
    if crashes:
        return exitcodes.FAILED
    log.info("wrote %s", "group.html" if group else f"{len(people)} reports")
    log.info("%s", STATUS_LINE.format(config.output_dir))
    return exitcodes.OK


def _sources(config: RunConfig, people: Sequence[str], log: logging.Logger) -> dict[str, PersonSource | bool]:
    """What the tables of people are made again from, when they are not of all scans that are there."""
    found: dict[str, PersonSource | bool] = dict.fromkeys(people, True)
    for person in outdated_people(config.output_dir, people):
        source = person_source(config.output_dir, person, config.model)
        if isinstance(source, str):
            log.warning("note  %s: its change and centile tables stay as they are: %s", participant_id(person), source)
        found[person] = False if isinstance(source, str) else source
    return found


def _run(config: RunConfig, people: Mapping[str, PersonSource | bool], work_dir: Path) -> list[Crash]:
    """The group report without `people`, otherwise theirs, in graphs of a bounded size."""
    options = {"work_dir": work_dir, "figure_formats": config.figure_formats}
    if not people:
        return run_graph(init_reports_wf({}, config.output_dir, group=True, **options), config)
    crashes = []
    items = list(people.items())
    for start in range(0, len(items), REPORTS_PER_GRAPH):
        some = dict(items[start : start + REPORTS_PER_GRAPH])
        crashes += run_graph(init_reports_wf(some, config.output_dir, **options), config)
    return crashes
