"""Where Dask runs: a scheduler that is there, or a cluster that dask-jobqueue starts from a file."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bids_app.errors import SchedulerError, UsageError
from bids_app.tables import read_json, read_yaml

CONNECT_SECONDS = 60
SCORING_GB = 1.0
NOBODY = "no Dask worker is there; everybody else waits for one"
# Kinds of clusters of dask-jobqueue: their classes, and the commands that submit a job
CLUSTERS = {
    "slurm": ("SLURMCluster", "sbatch"),
    "pbs": ("PBSCluster", "qsub"),
    "sge": ("SGECluster", "qsub"),
    "lsf": ("LSFCluster", "bsub"),
    "htcondor": ("HTCondorCluster", "condor_submit"),
    "oar": ("OARCluster", "oarsub"),
    "local": ("LocalCluster", None),
}
# Whole numbers in a cluster's section, and the least that each may be
COUNTS = {"cores": 1, "processes": 1, "jobs": 1, "n_workers": 1}
MOST = 100_000
# What only jobs have
OF_JOBS = ("adapt", "cores", "jobs", "memory", "processes", "queue", "walltime")
PROTOCOLS = ("tcp", "tls", "ucx", "ws", "wss")
# What goes wrong inside Dask is any error: its own checks are assertions and lookups
REFUSALS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(OSError, RuntimeError, TypeError, ValueError),
)


def check_scheduler(scheduler: str) -> tuple[str, Any]:
    """How to reach it: ``("address", text)``, ``("file", path)`` or ``("cluster", (kind, settings))``.

    Raises
    ------
    UsageError
        When it is none of these, its file cannot be used, or Dask is not installed.
    """
    kind, _, place = scheduler.partition(":")
    if kind != "dask" or not place:
        raise UsageError(
            f"--scheduler {scheduler} is not known", "write local, dask:tcp://HOST:PORT, dask:FILE or dask:CLUSTER.yaml"
        )
    for module in ("distributed", *(["dask_jobqueue"] if place.endswith((".yaml", ".yml")) else [])):
        if find_spec(module) is None:
            raise UsageError(f"--scheduler {scheduler} needs {module}", "pip install 'normvol[hpc]'")
    if "://" in place:
        return "address", _checked_address(place)
    if place.endswith((".yaml", ".yml")):
        return "cluster", _cluster_settings(Path(place))
    remedy = f"dask scheduler --scheduler-file {place}"
    if not Path(place).is_file():
        raise UsageError(f"--scheduler: there is no scheduler file {place}", remedy)
    content = read_json(place)
    if not isinstance(content, dict) or not isinstance(content.get("address"), str):
        raise UsageError(f"--scheduler: {place} is no scheduler file", remedy)
    return "file", place


def _checked_address(address: str) -> str:
    try:
        parts = urlsplit(address)
        known = parts.scheme in PROTOCOLS and bool(parts.hostname) and bool(parts.port)
    except ValueError:
        known = False
    if not known or address != address.strip():
        raise UsageError(f"--scheduler: {address!r} is no address of a scheduler", "write dask:tcp://HOST:PORT")
    return address


def check_usable(scheduler: str, reach: bool = True) -> None:
    """`check_scheduler`, and whether the jobs of a cluster can be submitted from here, or the scheduler answers.

    Raises
    ------
    SchedulerError
        When the command that submits jobs is not there; with `reach`, also when no scheduler with a worker answers.
    """
    how, where = check_scheduler(scheduler)
    if how != "cluster":
        if reach:
            connection = Connection(_target(how, where))
            connection.open()
            connection.close()
        return
    command = CLUSTERS[where[0]][1]
    if command is not None and shutil.which(command) is None:
        raise SchedulerError(
            f"--scheduler {scheduler} asks for a cluster of the kind {where[0]}, and there is no {command} here",
            "run this on a machine of the cluster",
        )


def _cluster_settings(path: Path) -> tuple[str, dict[str, Any]]:
    content = read_yaml(path, "cluster file")
    section = content.get("jobqueue") if isinstance(content, dict) else None
    if not isinstance(section, dict) or len(section) != 1 or not isinstance(next(iter(section.values())), dict):
        raise UsageError(f"{path} must hold one cluster: 'jobqueue:', below it its kind, below that cores and memory")
    ((kind, settings),) = section.items()
    if kind not in CLUSTERS:
        raise UsageError(f"{path}: {kind!r} is no kind of cluster", f"known are {', '.join(CLUSTERS)}")
    missing = [name for name in ("cores", "memory") if name not in settings and kind != "local"]
    if missing:
        raise UsageError(f"{path}: {missing[0]} of a job is missing", "for example cores: 8 and memory: 32GB")
    _check_names(kind, settings, str(path))
    _check_values(settings, str(path))
    return kind, settings


def _check_names(kind: str, settings: Mapping[Any, Any], path: str) -> None:
    stray = [name for name in settings if not isinstance(name, str)]
    if kind == "local":
        stray += [name for name in OF_JOBS if name in settings]
        remedy = "a local cluster has n_workers and memory_limit"
    else:
        adapt = settings.get("adapt")
        stray += [name for name in adapt if name not in ("minimum", "maximum")] if isinstance(adapt, dict) else []
        stray += ["jobs"] if "adapt" in settings and "jobs" in settings else []
        remedy = "write jobs: 4, or adapt: with minimum: and maximum: jobs"
    if stray:
        raise UsageError(f"{path}: {stray[0]!r} has no place in the section of {kind}", remedy)


def _check_values(settings: Mapping[Any, Any], path: str) -> None:
    from dask.utils import parse_bytes, parse_timedelta

    for name, least in COUNTS.items():
        _whole(settings, name, least, path)
    forms: dict[str, tuple[type, str]] = {
        "memory": (str, "text with its unit, such as 32GB"),
        "adapt": (dict, "minimum: and maximum: jobs"),
        "worker_extra_args": (list, "a list of texts"),
        "scheduler_options": (dict, "names and values"),
    }
    for name, (form, words) in forms.items():
        if name in settings and not isinstance(settings[name], form):
            raise UsageError(f"{path}: {name} is {settings[name]!r}", f"write {words}")
    for name, parse in {"memory": parse_bytes, "worker-ttl": parse_timedelta}.items():
        try:
            known = name not in settings or parse(settings[name]) > 0
        except REFUSALS:
            known = False
        if not known:
            raise UsageError(f"{path}: {name} is {settings[name]!r}", "write a number above 0 and its unit")
    if "adapt" in settings:
        adapt = settings["adapt"]
        smallest = _whole(adapt, "minimum", 0, path)
        _whole(adapt, "maximum", max(1, smallest or 0), path)


def _whole(settings: Mapping[Any, Any], name: str, least: int, path: str) -> int | None:
    """The whole number `name` of the settings; None without it."""
    value = settings.get(name)
    if name not in settings:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
        raise UsageError(f"{path}: {name} is {value!r}", f"write a whole number from {least} to {MOST:,}")
    return value


@contextlib.contextmanager
def connected(scheduler: str, recon_gb: float | None = None) -> Iterator[Connection]:
    """A connection that can be made anew; the cluster that was started for it ends with it.

    `recon_gb` is the memory of one recon-all when any has to run (GB).
    """
    how, where = check_scheduler(scheduler)
    with contextlib.ExitStack() as stack:
        jobs = None
        if how == "cluster":
            jobs = _start(*where, recon_gb)
            stack.callback(_end, jobs.cluster)
            target: dict[str, Any] = {"address": jobs.cluster}
        else:
            target = _target(how, where)
        connection = Connection(target, jobs)
        stack.callback(connection.close)
        connection.open()
        yield connection


def _target(how: str, where: str) -> dict[str, Any]:
    return {"address" if how == "address" else "scheduler_file": where}


def _end(cluster: Any) -> None:
    """Close a cluster, of which some jobs may not have begun (dask-jobqueue then fails an assertion)."""
    with contextlib.suppress(*REFUSALS):
        cluster.close()


@dataclass(frozen=True)
class Jobs:
    """A cluster of our own: the most workers that it may have, whether it grows, and which of its jobs were refused."""

    cluster: Any
    maximum: int
    grows: bool = False
    refused: list[str] = field(default_factory=list)

    def accepted(self) -> bool:
        """Whether any job waits or runs, as far as Dask knows."""
        return any(getattr(job, "job_id", True) for job in list(self.cluster.workers.values()))


def _reporting(made: Any, refused: list[str]) -> Any:
    """The class of a cluster's jobs that notes what was said of a refused one, for which Dask itself would wait."""
    from distributed.deploy.spec import ProcessInterface

    class Job(made):  # type: ignore[misc]
        async def start(self) -> None:
            try:
                await super().start()
            except (OSError, RuntimeError, ValueError) as error:
                refused.append(" ".join(str(error).partition("stderr:")[2].split()) or str(error))
                await ProcessInterface.start(self)

    return Job


def _start(kind: str, settings: dict[str, Any], recon_gb: float | None) -> Jobs:
    """Start the cluster; one person at a time per worker process."""
    import dask
    import dask_jobqueue
    import distributed

    given = dict(settings)
    adapt, jobs = given.pop("adapt", None), given.pop("jobs", 1)
    dask.config.set({"distributed.scheduler.worker-ttl": given.pop("worker-ttl", "5 minutes")})
    if kind == "local":
        cluster: Any = _made(distributed.LocalCluster, kind, threads_per_worker=1, dashboard_address=None, **given)
        return Jobs(cluster, len(cluster.workers))
    cores, memory_gb = given["cores"], dask.utils.parse_bytes(given["memory"]) / 1e9
    needed = SCORING_GB if recon_gb is None else recon_gb
    processes = given.setdefault("processes", max(1, min(cores, int(memory_gb // needed))))
    if memory_gb / processes < needed:
        raise SchedulerError(
            f"a person takes {needed:g} GB, and a job has {memory_gb:g} GB for {processes} processes",
            "give more memory or fewer processes in the cluster file",
        )
    resources = f"memory={memory_gb / processes:g} threads={max(1, cores // processes)}"
    # One thread takes tasks whatever a job's cores; a graph uses the others through recon-all.
    extra = ["--nthreads", "1", "--resources", f"'{resources}'", *given.pop("worker_extra_args", [])]
    scheduler_options = {"dashboard_address": None, **given.pop("scheduler_options", {})}
    made = getattr(dask_jobqueue, CLUSTERS[kind][0])
    refused: list[str] = []
    job = _reporting(made.job_cls, refused)
    cluster = _made(made, kind, job_cls=job, worker_extra_args=extra, scheduler_options=scheduler_options, **given)
    maximum: int = adapt.get("maximum", max(1, adapt.get("minimum", 0))) if adapt else jobs
    if adapt:
        cluster.adapt(minimum_jobs=adapt.get("minimum", 0), maximum_jobs=maximum)
    else:
        cluster.scale(jobs=jobs)
    return Jobs(cluster, maximum * processes, bool(adapt), refused)


def _made(make: Callable[..., Any], kind: str, **given: Any) -> Any:
    try:
        return make(**given)
    except REFUSALS as error:
        why = str(error).partition(". ")[0] or type(error).__name__
        raise SchedulerError(
            f"Dask does not start a {kind} cluster ({why})", "check the names and values in its file"
        ) from error


async def _identity(address: str) -> None:
    """Ask a scheduler who it is: a client of Dask would wait without end for a server of another kind."""
    from distributed import rpc
    from distributed.security import Security

    known = Security().get_connection_args("client")
    async with rpc(address, timeout=CONNECT_SECONDS, connection_args=known) as scheduler:
        await asyncio.wait_for(scheduler.identity(), CONNECT_SECONDS + 5)


class Connection:
    """A client of Dask that survives its scheduler.

    Parameters
    ----------
    target : dict
        How ``distributed.Client`` reaches the scheduler.
    jobs : Jobs or None
        The cluster where it is our own.
    """

    def __init__(self, target: dict[str, Any], jobs: Jobs | None = None) -> None:
        self.target, self.jobs = target, jobs
        self.client: Any = None

    def open(self) -> None:
        """Connect, anew when there was a connection.

        Raises
        ------
        SchedulerError
            When nobody answers, or a scheduler that is there has no worker.
        """
        from distributed import Client

        self.close()
        try:
            if self.jobs is None:
                asyncio.run(_identity(self._address()))
            self.client = Client(**self.target, timeout=CONNECT_SECONDS, set_as_default=False)
            if self.jobs is None:
                self.client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except REFUSALS as error:
            self.close()
            where = next(iter(self.target.values()))
            raise SchedulerError(
                f"no Dask scheduler with a worker answers at {where} ({type(error).__name__})",
                "start both, dask scheduler and dask worker, or check the address",
            ) from error

    def _address(self) -> str:
        address: str = self.target.get("address") or read_json(self.target["scheduler_file"])["address"]
        return address

    def close(self) -> None:
        """Leave the scheduler."""
        if self.client is not None:
            with contextlib.suppress(Exception):
                self.client.close(timeout=5)
            self.client = None

    def workers(self) -> dict[str, Any]:
        """Address to what the scheduler knows of each worker."""
        found: dict[str, Any] = self.client.scheduler_info(n_workers=-1).get("workers", {})
        return found

    def slots(self) -> int:
        """How many people can be under way at once, now or when the cluster has grown."""
        maximum = 0 if self.jobs is None else self.jobs.maximum
        return max(maximum, sum(worker["nthreads"] for worker in self.workers().values()), 1)

    def look(self) -> list[str]:
        """What somebody who waits should know of the workers: jobs that were refused, and that there is no worker.

        Raises
        ------
        SchedulerError
            When there is no worker, and none will come.
        """
        jobs, nobody = self.jobs, not self.workers()
        said = [] if jobs is None else sorted(set(jobs.refused))
        if jobs is not None and nobody and not jobs.accepted() and (said or not jobs.grows):
            why = f"the cluster refused its jobs ({said[0]})" if said else "every job of the cluster has ended"
            raise SchedulerError(
                f"no Dask worker is left, and none will come: {why}",
                "check the cluster file; the same command again goes on",
            )
        return [*(f"the cluster refused a job: {words}" for words in said), *([NOBODY] if nobody else [])]
