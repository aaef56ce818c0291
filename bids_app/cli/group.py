"""The group level: check, graph, closing words."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.bids.derivatives import summary_paths
from bids_app.bids.disguise import is_anonymised
from bids_app.bids.finding_files import GROUP_FILE, read_findings_file
from bids_app.bids.group_files import group_file, written_results
from bids_app.bids.names import bare, output_path
from bids_app.bids.ratings import scan_keys, stored_ratings, unknown
from bids_app.bids.sink import write_dataset_files
from bids_app.cli import exitcodes
from bids_app.cli.progress import open_log
from bids_app.cli.summary import left_out_lines, not_computed_lines
from bids_app.cli.words import STATUS_LINE, show
from bids_app.clinical.analysis import UNUSED
from bids_app.clinical.analysis_file import AUTO, read_analysis
from bids_app.clinical.results import FAILURE, AnalysisResult, read_result
from bids_app.clinical.wording import plural
from bids_app.errors import InputError, UsageError
from bids_app.findings import summary_lines
from bids_app.processes import scratch_folder
from bids_app.run.cohort import every_visit_of, read_cohort, reading_once
from bids_app.run.config import RunConfig
from bids_app.run.planned import Omission
from bids_app.run.samples import Pool, Sample, read_samples
from bids_app.tables import atomic_write
from bids_app.workflows.execution import run_graph
from bids_app.workflows.group import init_group_wf

LOST_SALT = (
    "note  labels are anonymised, so no column of BIDS_DIR is joined (age, sex, group and site are there); "
    "give the participant level's --anonymise-map or --anonymise-salt to join them"
)


def run_group(config: RunConfig) -> int:
    """Write the group tables, statistics and report of what is in the output folder."""
    if config.analysis is not None and config.analysis != AUTO:
        read_analysis(config.analysis)
    samples = () if config.pool is None else _samples(config, config.pool)
    with reading_once():
        return _carry_out(config, _counted(config, samples))


@dataclass(frozen=True)
class _Counted:
    """How many scans of how many people are in, and every scan with what became of it."""

    scans: int
    people: int
    inclusion: pd.DataFrame

    @property
    def missing(self) -> pd.DataFrame:
        """The scans that are not in."""
        return self.inclusion[self.inclusion["status"] != "scored"]


def _counted(config: RunConfig, samples: Sequence[Sample]) -> _Counted:
    """The closing words of the cohort. Nobody here keeps the cohort itself: what no node reads again can go."""
    quality = (config.exclude_quality, config.include_quality)
    cohort = Pool.read(samples, *quality).scored() if samples else read_cohort(config.output_dir, *quality)
    return _Counted(len(cohort.scans), cohort.scans["participant_id"].nunique(), cohort.inclusion)


def _carry_out(config: RunConfig, cohort: _Counted) -> int:
    if config.dry_run:
        show(f"would write group tables and report of {plural(cohort.scans, 'scan')}; {len(cohort.missing)} not in")
        return exitcodes.OK
    if config.pool is not None:
        write_dataset_files(config.output_dir, bids_dir=config.bids_dir, model=config.model, scoring=config.scoring)
    log = open_log(
        output_path(config.output_dir, "logs", f"group-{uuid.uuid4().hex}.log"),
        config.verbose,
        config.quiet,
        config.shared,
    )
    if config.participant_label or config.session_label:
        log.info("note  the group level takes every scored scan of %s; labels do not narrow it", config.output_dir)
    if config.pool is None and config.disguise is None and is_anonymised(config.output_dir):
        log.info(LOST_SALT)
    if config.analysis is not None and config.pool is None:
        with suppress(InputError):  # the node that needs them meets it again
            every_visit_of(config.output_dir, config.bids_dir, config.participants_file, config.anonymise_salt)
    with scratch_folder("normvol-work-") as work_dir:
        crashes = run_graph(init_group_wf(config, work_dir=work_dir), config)
    for crash in crashes:
        name = f"crash-{crash.node.rsplit('.', 1)[-1]}.txt"
        atomic_write(output_path(config.output_dir, "logs", name), config.shared(crash.text))
        log.warning("failed in %s: %s", crash.node.rsplit(".", 1)[-1], crash.reason)
    if crashes:
        if all(crash.expected for crash in crashes):
            raise InputError(crashes[0].reason, crashes[0].remedy)
        return exitcodes.FAILED
    return _close(config, cohort, log)


def _close(config: RunConfig, cohort: _Counted, log: logging.Logger) -> int:
    """The words at the end, and the exit code."""
    scans, people, missing = cohort.scans, cohort.people, cohort.missing
    log.info(
        "%s of %s in; %s not",
        plural(scans, "scan"),
        plural(people, "person is" if scans == 1 else "person are", "people are"),
        plural(len(missing), "scan is", "scans are"),
    )
    omissions = [_omission(row) for row in missing.to_dict("records")]
    for line in (*_unknown_ratings(config, cohort), *left_out_lines(omissions), *_notes_on_analyses(config)):
        log.info(line)
    findings = read_findings_file(config.output_dir / GROUP_FILE)
    for line in summary_lines(findings, str(config.output_dir / GROUP_FILE)):
        log.info(line)
    log.info("report: %s", config.output_dir / "group.html")
    log.info("%s", STATUS_LINE.format(config.output_dir))
    written = written_results(config.output_dir) if config.analysis else {}
    failures = [text for content in written.values() if (text := content.get(FAILURE))]
    for text in failures:
        log.error("an analysis failed: %s", text)
    if failures:
        return exitcodes.FAILED
    return exitcodes.OMISSIONS if len(missing) else exitcodes.OK


def _samples(config: RunConfig, pool: Path) -> tuple[Sample, ...]:
    """The samples that are pooled into the output folder."""
    samples = read_samples(pool)
    if summary_paths(config.output_dir) and all(not s.output_dir.samefile(config.output_dir) for s in samples):
        raise UsageError(
            f"{config.output_dir} holds scans of its own that {pool} does not name",
            "name it there as a sample, or name another output folder",
        )
    return samples


def _unknown_ratings(config: RunConfig, cohort: _Counted) -> list[str]:
    """Ratings of scans that the dataset does not have."""
    names = unknown(stored_ratings(config.output_dir), scan_keys(cohort.inclusion))
    return [f"the rating of {name} is about no scan of {config.output_dir}" for name in names]


def _notes_on_analyses(config: RunConfig) -> list[str]:
    """Why results were not computed, and what was found out about columns, but for the roles that nobody plays."""
    if config.analysis is None:
        return []
    written = written_results(config.output_dir)
    said = written.get(group_file(config.output_dir, "roles", ".json"), {}).get("Sentences", [])
    return [*not_computed_lines(_empty_results(written)), *(text for text in said if not text.startswith(UNUSED))]


def _empty_results(written: Mapping[Path, Mapping[str, Any]]) -> list[AnalysisResult]:
    """The results that say why nothing was computed."""
    return [
        read_result(path.with_suffix(".tsv"))
        for path, content in written.items()
        if "reason" in content and path.with_suffix(".tsv").is_file()
    ]


def _omission(row: Mapping[str, Any]) -> Omission:
    session = row["session_id"]
    return Omission(
        bare(row["participant_id"], "sub"),
        bare(session, "ses") if isinstance(session, str) else None,
        *(_text(row[name]) for name in ("stage", "reason", "remedy")),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
