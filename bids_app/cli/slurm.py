"""``normvol-slurm BIDS OUT``: the participant level as a Slurm job array, then the group level and a summary."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bids_app import __version__
from bids_app.cli import exitcodes
from bids_app.cli.guard import guarded
from bids_app.cli.options import Option, Parser, add_general_options, add_options, made
from bids_app.cli.resources import LEAST_MB, parse_memory
from bids_app.cli.words import STATUS_LINE, show
from bids_app.processes import private_folder, scratch_folder

OPTIONS: list[Option] = [
    ("BIDS_DIR", "the BIDS dataset (read only)"),
    ("OUTPUT_DIR", "where the derivative dataset is written"),
    ("--submit", "submit the jobs (default: write them and say how to submit them)"),
    ("--partition NAME", "partition of all jobs"),
    ("--account NAME", "account of all jobs"),
    ("--time TIME", "time limit of a task, in Slurm's form (default: three times what it should take)"),
    (
        "--mem SIZE",
        "memory of a task, with unit (default 3G, with recon-all 10G)",
        {"type": parse_memory, "dest": "mem_mb"},
    ),
    ("--nprocs N", "processors of a task (default 1)"),
    ("--sbatch-args ARG", "one more line for sbatch: --sbatch-args='--qos=short'", {"action": "append"}),
    ("--at-once N", "tasks at the same time (default: as many as Slurm starts)"),
    ("--people-per-task N", "people of one task (default: so many that it takes about ten minutes)"),
    ("--max-tasks N", "tasks of an array (default: what Slurm says that it takes, 1000 where it says nothing)"),
    ("--image FILE", "run in this Apptainer image"),
    ("--bind SRC[:DST[:OPTS]]...", "more folders for the container; those of the options are bound anyway"),
    ("--venv DIR", "run in this virtual environment (default: the one of this command)"),
]


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``normvol-slurm``; what it does not know goes to normvol."""
    parser = Parser(
        prog="normvol-slurm",
        usage="normvol-slurm BIDS_DIR OUTPUT_DIR [options] [options of normvol]",
        description="Write (and submit) the participant level as a Slurm job array of those who are missing or stale, "
        "the group level after it, and a summary. All options of normvol are understood. For research use only.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add_general_options(parser, __version__)
    add_options(parser, OPTIONS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, write, submit when asked to, and return an exit code of `exitcodes`."""
    return guarded(lambda: _run(*build_parser().parse_known_args(argv)))


def _run(arguments: argparse.Namespace, others: Sequence[str]) -> int:
    from bids_app.bids.sink import check_output_dir
    from bids_app.cli.parser import parse_config
    from bids_app.errors import UsageError
    from bids_app.run.job_array import JobArray, check_jobs, check_places, into_tasks, people_to_do, submit, write_jobs
    from bids_app.run.plan import make_plan
    from bids_app.run.slurm_limits import check_submission, tasks_allowed

    if getattr(arguments, "submit", False):
        check_submission()
    config = parse_config([str(arguments.bids_dir), str(arguments.output_dir), "participant", *others])
    if config.anonymise:
        raise UsageError("--anonymise does not go with job arrays, whose scripts name people", "run normvol itself")
    if "--omp-nthreads" not in " ".join(others):
        config = replace(config, omp_nthreads=getattr(arguments, "nprocs", 1))
    jobs = _with_full_paths(made(JobArray, arguments))
    check_jobs(jobs)
    if jobs.mem_mb is not None and jobs.mem_mb < LEAST_MB:
        raise UsageError(f"--mem is {jobs.mem_mb} MB, and a task takes about {LEAST_MB} MB", "write for example 3G")
    check_places(config, jobs)
    check_output_dir(config.bids_dir, config.output_dir)
    if config.work_dir is not None:
        private_folder(config.work_dir, make=not config.dry_run)
    with scratch_folder("normvol-work-") as scratch:
        plan = make_plan(config, config.work_dir or scratch)
    people = people_to_do(plan, config.output_dir)
    if not people:
        show(f"nobody is missing or stale; next: normvol {config.bids_dir} {config.output_dir} group")
        return exitcodes.OK
    if config.dry_run:
        would_be = len(into_tasks(people, jobs, tasks_allowed(jobs.max_tasks)))
        show(f"would write jobs for {len(people)} people in {would_be} tasks")
        return exitcodes.OK
    folder = write_jobs(config, people, jobs)
    tasks = len((folder / "tasks.txt").read_text(encoding="utf-8").splitlines())
    show(f"{len(people)} people in {tasks} tasks: {folder}")
    show(STATUS_LINE.format(config.output_dir))
    show(submit(folder) if getattr(arguments, "submit", False) else f"submit with: bash {folder}/submit.sh")
    return exitcodes.OK


def _with_full_paths(jobs):
    paths = {name: value.expanduser().absolute() for name, value in vars(jobs).items() if isinstance(value, Path)}
    return replace(jobs, **paths)


if __name__ == "__main__":
    sys.exit(main())
