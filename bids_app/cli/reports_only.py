"""``--reports-only``: rebuild the reports from the tables; raw data and FreeSurfer trees may be gone."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from bids_app.bids.derivatives import read_summaries
from bids_app.bids.names import bare
from bids_app.cli import exitcodes
from bids_app.cli.progress import open_log
from bids_app.errors import InputError
from bids_app.run.config import RunConfig
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
    work_dir = Path(tempfile.mkdtemp(prefix="normvol-work-"))
    try:
        crashes = _run(config, [] if group else people, work_dir)
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)
    for crash in crashes:
        name = f"crash-{crash.node.rsplit('.', 1)[-1]}-{uuid.uuid4().hex[:8]}.txt"
        (config.output_dir / "logs").mkdir(exist_ok=True)
        (config.output_dir / "logs" / name).write_text(crash.text, encoding="utf-8")
        log.warning("failed: %s (see logs/%s)", crash.reason, name)
    if crashes:
        return exitcodes.FAILED
    log.info("wrote %s", "group.html" if group else f"{len(people)} reports")
    return exitcodes.OK


def _run(config: RunConfig, people: Sequence[str], work_dir: Path) -> list[Crash]:
    """The group report without `people`, otherwise theirs, in graphs of a bounded size."""
    options = {"work_dir": work_dir, "figure_formats": config.figure_formats}
    if not people:
        return run_graph(init_reports_wf([], config.output_dir, group=True, **options), config)
    crashes = []
    for start in range(0, len(people), REPORTS_PER_GRAPH):
        some = people[start : start + REPORTS_PER_GRAPH]
        crashes += run_graph(init_reports_wf(some, config.output_dir, **options), config)
    return crashes
