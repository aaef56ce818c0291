"""A run as a Slurm job array: who is in which task, and the scripts of the array, the group level and the summary."""

from __future__ import annotations

import hashlib
import math
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.bids.names import named_path, output_path, participant_id
from bids_app.bids.status import read_statuses
from bids_app.errors import SchedulerError, UsageError
from bids_app.run.config import RunConfig
from bids_app.run.planned import Plan
from bids_app.run.slurm_limits import minutes_of, partition_minutes, tasks_allowed
from bids_app.tables import atomic_write

# A scheduler likes tasks of minutes; a scored scan with its report on a slow shared file system, and recon-all (s).
TASK_SECONDS = 600.0
START_SECONDS = 5.0
# Limits of the group level and of the summary, and the least of a task, which is told to end a minute before (minutes)
GROUP_MINUTES, SUMMARY_MINUTES, LEAST_MINUTES = 120, 30, 3
SCORE_SECONDS = 2.0
RECON_SECONDS = 10 * 3600.0
CPUS = '"${SLURM_CPUS_PER_TASK:-1}"'
_WORD = re.compile(r"[^\s\x00-\x1f\x7f]+")
# Intermediate files on the node, given back whatever happens; the log ends with the processor time
SCRATCH = """scratch=$(mktemp -d "${TMPDIR:-/tmp}/normvol-XXXXXX")
export TMPDIR="$scratch"
trap 'rm -rf "$scratch"; times' EXIT
"""
# One array at a time for an output folder; what was accepted is taken back when Slurm refuses a later job.
BUSY = 75  # of the script below (sysexits.h: try again later)
SUBMIT = """exec 9>>../submit.lock
if ! flock -n 9; then echo "another submission for this output folder is under way" >&2; exit 75; fi
mine=$(cat ../*/jobs.txt 2>/dev/null || true)
queue=$(squeue -h -o %F -n normvol,normvol-group,normvol-summary)
busy=$(grep -Fx -e "$mine" <<< "$queue" | sort -nu | tr '\\n' ' ' || true)
if [ -n "$mine" ] && [ -n "$busy" ]; then
    echo "jobs for this output folder wait or run already: $busy- wait for them, or end them: scancel $busy" >&2
    exit 75
fi
jobs=()
take_back() {
    [ "$?" = 0 ] || [ "${#jobs[@]}" = 0 ] || scancel "${jobs[@]}" || echo "end them: scancel ${jobs[*]}" >&2
}
trap take_back EXIT
add() {
    local id
    id=$(sbatch --parsable "$@" 9>&-)
    jobs+=("${id%%;*}")
    printf '%s\\n' "${jobs[@]}" > jobs.txt
}
add participant.sbatch
add --dependency="afterany:${jobs[0]}" group.sbatch
add --dependency="afterany:${jobs[1]}" summary.sbatch
echo "submitted: array ${jobs[0]}, group level ${jobs[1]}, summary ${jobs[2]}"
"""
# Fields of a RunConfig that each task decides for itself
OF_A_TASK = ("analysis_level", "participant_label", "nprocs", "mem_mb", "dry_run", "quiet", "scheduler")


@dataclass(frozen=True, kw_only=True)
class JobArray:
    """What the jobs ask of Slurm, and where the software is: a container image, or a virtual environment."""

    partition: str | None = None
    account: str | None = None
    time: str | None = None
    mem_mb: int | None = None
    nprocs: int = 1
    sbatch_args: tuple[str, ...] = ()
    at_once: int | None = None
    people_per_task: int | None = None
    max_tasks: int | None = None
    image: Path | None = None
    bind: tuple[str, ...] = ()
    venv: Path | None = None


def people_to_do(plan: Plan, output_dir: Path) -> list[tuple[str, float]]:
    """Who a task has to look at, with the seconds it will take.

    Who is left out for the reason that is on record already is left alone.
    """
    known = {
        (row.participant_id, row.session_id, row.reason)
        for row in read_statuses(output_dir).itertuples()
        if row.status == "omitted"
    }
    seconds: dict[str, float] = {}
    for scan in plan.scans:
        runs = sum(command is not None for command in (scan.recon, scan.cross, scan.base))
        seconds[scan.participant] = seconds.get(scan.participant, 0) + SCORE_SECONDS + runs * RECON_SECONDS
    for item in plan.omissions:
        session = None if item.session is None else f"ses-{item.session}"
        if (participant_id(item.participant), session, item.reason) not in known:
            seconds.setdefault(item.participant, 0.1)
    return sorted(seconds.items())


def into_tasks(people: Sequence[tuple[str, float]], jobs: JobArray, most: int) -> list[list[str]]:
    """Labels per task: neighbours together until a task is long enough, in at most `most` tasks.

    Parameters
    ----------
    people : sequence of (str, float)
        Label and seconds that the person takes.
    jobs : JobArray
        Its `people_per_task` wins over the length.
    most : int

    Returns
    -------
    list of list of str
        Labels in the order of `people`.

    Raises
    ------
    UsageError
        When `people_per_task` needs more than `most` tasks.
    """
    if jobs.people_per_task is not None:
        size = jobs.people_per_task
        tasks = [[label for label, _ in people[start : start + size]] for start in range(0, len(people), size)]
        if len(tasks) > most:
            needed = math.ceil(len(people) / most)
            raise UsageError(
                f"{len(people)} people, {size} per task, are {len(tasks)} tasks, and {most} are allowed",
                f"give --people-per-task {needed} or more, or --max-tasks if your Slurm takes more",
            )
        return tasks
    length = TASK_SECONDS
    while len(tasks := _filled(people, length)) > most:
        length *= 1.1
    return tasks


def _filled(people: Iterable[tuple[str, float]], length: float) -> list[list[str]]:
    tasks: list[list[str]] = []
    used = math.inf
    for label, seconds in people:
        if used + seconds > length:
            tasks.append([])
            used = START_SECONDS
        tasks[-1].append(label)
        used += seconds
    return tasks


def write_jobs(config: RunConfig, people: Sequence[tuple[str, float]], jobs: JobArray) -> Path:
    """Write tasks, configuration and scripts into ``OUT/logs/slurm/<name>`` and return that folder.

    The name is a hash of what the tasks do, so the same work has the same folder.

    Parameters
    ----------
    config : RunConfig
        What every task does, without the options `OF_A_TASK`.
    people : sequence of (str, float)
        Of `people_to_do`.
    jobs : JobArray

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UsageError
        As `into_tasks`; or when the partition ends a task before it can be done.
    """
    tasks = into_tasks(people, jobs, tasks_allowed(jobs.max_tasks))
    seconds = dict(people)
    longest = max(sum(seconds[label] for label in task) for task in tasks)
    most = _most_minutes(jobs, longest / jobs.nprocs / 60)
    lines = "".join(" ".join(map(participant_id, task)) + "\n" for task in tasks)
    values = {name: value for name, value in vars(config).items() if name not in OF_A_TASK}
    settings = RunConfig(**values).to_toml()
    settings = "".join(line for line in settings.splitlines(True) if line.split(" ")[0] not in OF_A_TASK)
    name = hashlib.sha256((lines + settings).encode()).hexdigest()[:8]
    folder = output_path(config.output_dir, "logs", "slurm", f"array-{name}", "log").parent
    (folder / "log").mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "tasks.txt", lines)
    atomic_write(folder / "config.toml", settings)
    for script, text in _scripts(config, folder, len(tasks), longest, jobs, most).items():
        atomic_write(folder / script, text)
    return folder


def _most_minutes(jobs: JobArray, needed: float) -> float:
    """The longest time that the partition gives to a job; what it takes longer would wait for ever."""
    if any(re.match(r"-p|--part", text) for text in jobs.sbatch_args):
        return math.inf
    most = partition_minutes(jobs.partition)
    asked = needed if jobs.time is None else minutes_of(jobs.time)
    if asked > most:
        where = f"the partition {jobs.partition}" if jobs.partition else "the default partition"
        what = f"a task is thought to need {needed:.0f}" if jobs.time is None else f"--time {jobs.time} is longer"
        raise UsageError(
            f"a job in {where} may take {most:.0f} minutes, and {what}",
            "give another --partition, or a --time that is enough for your data",
        )
    return most


def _scripts(
    config: RunConfig, folder: Path, tasks: int, longest: float, jobs: JobArray, most: float
) -> dict[str, str]:
    at_once = f"%{jobs.at_once}" if jobs.at_once else ""
    run = f"{_normvol(config, jobs)} {_quoted(config.bids_dir)} {_quoted(config.output_dir)}"
    configured = f"--config-file {_quoted(folder / 'config.toml')}"
    recon = longest > RECON_SECONDS
    array = _header(
        jobs,
        [f"--job-name=normvol --array=1-{tasks}{at_once}", "--output=log/participant-%a.txt"],
        memory=jobs.mem_mb or (10_000 if recon else 3_000),
        time=jobs.time or _walltime(min(most, max(30, math.ceil(3 * longest / jobs.nprocs / 60)))),
        cpus=jobs.nprocs,
    )
    labels = f'read -r -a labels <<< "$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {_quoted(folder / "tasks.txt")})"\n'
    participant = f'{run} participant {configured} --participant-label "${{labels[@]}}" --nprocs {CPUS}'
    group = f"{run} group {configured}"
    after = ["--job-name=normvol-{0}", "--output=log/{0}.txt"]

    def header_of(level: str, memory: int, minutes: float) -> str:
        return _header(jobs, [line.format(level) for line in after], memory=memory, time=_walltime(minutes))

    return {
        "participant.sbatch": array + SCRATCH + labels + _carried_out(participant),
        "group.sbatch": header_of("group", 4_000, min(most, GROUP_MINUTES)) + SCRATCH + _carried_out(group),
        "summary.sbatch": header_of("summary", 1_000, min(most, SUMMARY_MINUTES)) + SCRATCH + _status(config, jobs),
        "submit.sh": _submit(folder),
    }


def _header(jobs: JobArray, lines: Sequence[str], *, memory: int, time: str, cpus: int = 1) -> str:
    asked = [*lines, f"--ntasks=1 --cpus-per-task={cpus} --mem={memory}M --time={time}"]
    # The script is told before the time is over, so that a run can end what it began.
    asked += ["--open-mode=append --signal=B:TERM@60"]
    asked += [f"--partition={jobs.partition}"] if jobs.partition else []
    asked += [f"--account={jobs.account}"] if jobs.account else []
    asked += jobs.sbatch_args
    quoted = "# shellcheck disable=SC2016\n"  # a dollar sign in a path stays one
    return "#!/bin/bash\n" + "".join(f"#SBATCH {line}\n" for line in asked) + f"{quoted}set -euo pipefail\n"


def _walltime(minutes: float) -> str:
    hours, rest = divmod(math.floor(minutes), 60)
    return f"{hours:02d}:{rest:02d}:00"


def _carried_out(command: str) -> str:
    """Run `command`, hand the scheduler's TERM on to it, and do not fail for people who are left out (exit code 4)."""
    return (
        "trap 'kill -TERM \"$!\" 2>/dev/null || true' TERM\n"
        f"{command} &\n"
        'code=0\nwait "$!" || code=$?\n'
        'while kill -0 "$!" 2>/dev/null; do code=0; wait "$!" || code=$?; done\n'
        'case "$code" in 0 | 4) exit 0 ;; *) exit "$code" ;; esac\n'
    )


def _normvol(config: RunConfig, jobs: JobArray) -> str:
    if jobs.image is None:
        python = (jobs.venv or Path(sys.prefix)) / "bin" / "python"
        return f"{_quoted(python)} -m bids_app.cli.main"
    return " ".join(["apptainer run", *_container(config, jobs)])


def _container(config: RunConfig, jobs: JobArray) -> list[str]:
    """Options of Apptainer and the image: every path of the configuration is bound under its own name."""
    binds = [f"{path}:{path}:ro" for path in sorted(_paths(config))]
    binds += [f"{path}:{path}" for path in (config.output_dir, config.work_dir) if path is not None]
    options = [word for bind in (*binds, *jobs.bind) for word in ("--bind", _quoted(bind))]
    environment = "SLURM_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1},SLURM_MEM_PER_NODE=${SLURM_MEM_PER_NODE:-}"
    return ["--containall", "--workdir", '"$scratch"', "--env", f'"{environment}"', *options, _quoted(jobs.image)]


def _paths(config: RunConfig) -> set[Path]:
    """What a run reads, as far as its configuration names it."""
    values: list[object] = [value for value in vars(config).values() if value is not None]
    texts = [item for value in values for item in (value if isinstance(value, tuple) else (value,))]
    paths = {_place(text) for text in texts if isinstance(text, str | Path)}
    written = {config.output_dir, config.work_dir}
    return {path for path in paths if path.is_absolute() and path.exists() and path not in written}


def _place(text: Path | str) -> Path:
    """The path in ``[NAME=]PATH`` or ``NAME=PATH:DESC``."""
    path = named_path(text)[1]
    return path if path.exists() else Path(str(path).rpartition(":")[0])


def _status(config: RunConfig, jobs: JobArray) -> str:
    out = _quoted(config.output_dir)
    if jobs.image is not None:
        return " ".join(["apptainer exec", *_container(config, jobs), "normvol-status", out, "|| true"]) + "\n"
    command = _quoted((jobs.venv or Path(sys.prefix)) / "bin" / "normvol-status")
    return f"{command} {out} || true\n"


def _submit(folder: Path) -> str:
    return f"#!/bin/bash\n# shellcheck disable=SC2016\nset -euo pipefail\ncd {_quoted(folder)}\n" + SUBMIT


def check_jobs(jobs: JobArray) -> None:
    """See that the jobs can be what was asked for, before anything is written.

    Raises
    ------
    UsageError
        When a value would not stay in its line of a script, the time is none of Slurm's, or the software is not there.
    """
    words = {"partition": jobs.partition, "account": jobs.account, "time": jobs.time}
    for name, text in words.items():
        if text is not None and not _WORD.fullmatch(text):
            raise UsageError(f"--{name} {text!r} is not one word", "write the name alone")
    if jobs.time is not None and minutes_of(jobs.time) < LEAST_MINUTES:
        raise UsageError(
            f"--time {jobs.time} is too short, since a task is told to end a minute before",
            f"give {LEAST_MINUTES} or more",
        )
    if any(not text.startswith("/") for text in jobs.bind):
        raise UsageError("--bind needs the full path of a folder of this machine", "write --bind /data:/data:ro")
    broken = next((text for text in (*jobs.sbatch_args, *jobs.bind) if not text.isprintable()), None)
    if broken is not None:
        raise UsageError(f"{broken!r} has a line break or a sign of control in it", "give one option for each line")
    stray = next((text for text in jobs.sbatch_args if not text.startswith("-")), None)
    if stray is not None:
        raise UsageError(f"--sbatch-args {stray!r} is no option of sbatch", "write --sbatch-args='--qos=short'")
    absent = [path for path in (jobs.image, jobs.venv and jobs.venv / "bin" / "python") if path and not path.exists()]
    if absent:
        raise UsageError(f"{absent[0]} does not exist, and every task needs it", "check --image or --venv")


def check_places(config: RunConfig, jobs: JobArray) -> None:
    """See that Slurm and Apptainer take the names of the folders as they are, before anything is written.

    Parameters
    ----------
    config : RunConfig
        Its folders.
    jobs : JobArray
        Its image.

    Raises
    ------
    UsageError
        When Slurm would read a part of the output folder's name as a pattern, or Apptainer split a bound one's.
    """
    odd = next((sign for sign in "%\\" if sign in str(config.output_dir)), None)
    if odd is not None:
        raise UsageError(
            f"{config.output_dir} has a {odd} in its name, which Slurm reads as a pattern, and no task could begin",
            "write into a folder without it",
        )
    bound = (*sorted(_paths(config)), config.output_dir, *filter(None, (config.work_dir,)))
    split = next((path for path in bound if set(str(path)) & set(":,")), None) if jobs.image else None
    if split is not None:
        raise UsageError(
            f"{split} has a colon or a comma in its name, where Apptainer ends a name", "use a folder without it"
        )


def submit(folder: Path) -> str:
    """Submit the jobs of `folder` and return what was submitted.

    Raises
    ------
    SchedulerError
        When sbatch refuses a job, or jobs for this output folder are under way; none of these jobs stays then.
    """
    done = subprocess.run(["bash", str(folder / "submit.sh")], capture_output=True, text=True, check=False)
    if done.returncode:
        remedy = "see --partition, --time and --mem where Slurm refuses a job; then"
        raise SchedulerError(
            f"the jobs in {folder} were not submitted: {' '.join(done.stderr.split())}",
            f"{'' if done.returncode == BUSY else remedy} submit with: bash {folder}/submit.sh".strip(),
        )
    return done.stdout.strip()


def _quoted(value: object) -> str:
    return shlex.quote(str(value))
