"""Look at what a RunConfig asks for, and plan it; what is planned is carried out elsewhere (`carry_out`)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bids_app.bids.disguise import check_disguise, disguise_of
from bids_app.bids.names import bare
from bids_app.bids.ratings import keep_ratings, read_ratings
from bids_app.bids.sink import check_output_dir
from bids_app.cli import exitcodes, summary
from bids_app.cli.words import show, tell
from bids_app.processes import private_folder, scratch_folder, temporary_folder
from bids_app.run.change_models import install_change_model
from bids_app.run.config import RunConfig
from bids_app.run.models import load_study_model
from bids_app.run.plan import kept_dir, make_plan


def run(config: RunConfig) -> int:
    """Run the level that `config` asks for and return the exit code."""
    for warning in check_output_dir(config.bids_dir, config.output_dir, reports_only=config.reports_only):
        tell(f"normvol: {warning}")
    if config.nipype_plugin_file is not None:
        from bids_app.workflows.cluster_plugins import check_cluster_plugin
        from bids_app.workflows.execution import plugin_settings

        check_cluster_plugin(plugin_settings(config.nipype_plugin_file)[0], config.work_dir)
    if config.scheduler != "local":
        from bids_app.workflows.dask_cluster import check_usable

        check_usable(config.scheduler, reach=not config.dry_run)
    if config.work_dir is not None:
        private_folder(config.work_dir, make=not config.dry_run)
    config = _with_salt(config)
    rated = _keep_ratings(config)
    if config.reports_only:
        from bids_app.cli.reports_only import run_reports

        return run_reports(config)
    if config.analysis_level == "group":
        from bids_app.cli.group import run_group

        _redraw_pages(config, rated)
        return run_group(config)
    return run_participants(config, rated)


def _with_salt(config: RunConfig) -> RunConfig:
    """`config` with the salt of ``--anonymise``: as given, as the map keeps it, or a new one."""
    if config.reports_only or config.pool is not None:
        return config
    known = config.anonymise_salt is not None or (config.anonymise_map is not None and config.anonymise_map.exists())
    if config.analysis_level == "group" and not known:
        return replace(config, anonymise=False)
    disguise = disguise_of(config.anonymise_salt, config.anonymise_map) if config.anonymise else None
    check_disguise(config.output_dir, disguise, next(config.output_dir.glob("sub-*"), None) is not None)
    return replace(config, anonymise_salt=disguise.salt) if disguise else config


def _keep_ratings(config: RunConfig) -> tuple[str, ...]:
    """Take the ratings of ``--qc-file`` over; the people whose ratings changed."""
    files = [Path(path) for path in config.qc_file]
    if not config.dry_run:
        return keep_ratings(config.output_dir, files, config.disguise)
    for path in files:
        read_ratings(path)
    return ()


def _redraw_pages(config: RunConfig, rated: Sequence[str]) -> None:
    """Pages of people whose ratings changed say so, where there are pages; nothing else in them changes."""
    from bids_app.workflows.execution import run_graph
    from bids_app.workflows.reports import init_reports_wf

    people = [bare(who, "sub") for who in rated if (config.output_dir / f"{who}.html").is_file()]
    if people:
        with scratch_folder("normvol-work-") as work_dir:
            graph = init_reports_wf(
                dict.fromkeys(people, False), config.output_dir, work_dir=work_dir, figure_formats=()
            )
            run_graph(graph, replace(config, stop_on_first_crash=False))


def run_participants(config: RunConfig, rated: Sequence[str] = ()) -> int:
    """Score every scan that can be scored and write the people's reports, also of those who were `rated` anew."""
    temporary = config.work_dir is None
    work_dir = config.work_dir or temporary_folder("normvol-work-")
    try:
        change = use_change_model(config)
        plan = make_plan(config, work_dir, later=not (config.dry_run or config.stop_on_first_crash))
        if config.dry_run:
            show(summary.describe_plan(plan))
            return exitcodes.OK
        try:
            # Only here, since a dry run needs no nipype
            from bids_app.cli.carry_out import carry_out

            return carry_out(config, plan, rated, change)
        finally:
            shutil.rmtree(kept_dir(plan.context), ignore_errors=True)
    finally:
        if temporary:
            shutil.rmtree(work_dir, ignore_errors=True)


def use_change_model(config: RunConfig) -> str | None:
    """Do what ``--change-model`` asks for, or in a dry run only look at it; a sentence for the log."""
    model = load_study_model(config.model, config.scoring).card.name
    return install_change_model(config.change_model, config.output_dir, model, look_only=config.dry_run)
