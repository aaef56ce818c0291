"""Where Dask runs: a scheduler that is there, or a cluster that dask-jobqueue starts from a file."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bids_app.errors import SchedulerError, UsageError
from bids_app.tables import read_json, read_yaml

CONNECT_SECONDS = 60
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
# What goes wrong inside Dask is any error: its own checks are assertions and lookups
REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


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
        return "address", place
    if place.endswith((".yaml", ".yml")):
        return "cluster", _cluster_settings(Path(place))
    remedy = f"dask scheduler --scheduler-file {place}"
    if not Path(place).is_file():
        raise UsageError(f"--scheduler: there is no scheduler file {place}", remedy)
    if not isinstance(read_json(place), dict):
        raise UsageError(f"--scheduler: {place} is no scheduler file", remedy)
    return "file", place


def check_usable(scheduler: str) -> None:
    """`check_scheduler`, and whether the jobs of a cluster can be submitted from here.

    Raises
    ------
    SchedulerError
        When the command that submits them is not there.
    """
    how, where = check_scheduler(scheduler)
    command = CLUSTERS[where[0]][1] if how == "cluster" else None
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
    _check_values(settings, str(path))
    return kind, settings


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
        maximum = 0
        if how == "cluster":
            cluster, maximum = _start(*where, recon_gb)
            stack.callback(_end, cluster)
            target: dict[str, Any] = {"address": cluster}
        else:
            target = {"address": where} if how == "address" else {"scheduler_file": where}
        connection = Connection(target, maximum)
        stack.callback(connection.close)
        connection.open()
        yield connection


def _end(cluster: Any) -> None:
    """Close a cluster, of which some jobs may not have begun (dask-jobqueue then fails an assertion)."""
    with contextlib.suppress(*REFUSALS):
        cluster.close()


def _start(kind: str, settings: dict[str, Any], recon_gb: float | None) -> tuple[Any, int]:
    """The cluster and the most workers that it may have; one person at a time per worker process."""
    import dask
    import dask_jobqueue
    import distributed

    given = dict(settings)
    adapt, jobs = given.pop("adapt", None), given.pop("jobs", 1)
    dask.config.set({"distributed.scheduler.worker-ttl": given.pop("worker-ttl", "5 minutes")})
    if kind == "local":
        cluster: Any = _made(distributed.LocalCluster, kind, threads_per_worker=1, dashboard_address=None, **given)
        return cluster, len(cluster.workers)
    cores, memory_gb = given["cores"], dask.utils.parse_bytes(given["memory"]) / 1e9
    fitting = cores if recon_gb is None else max(1, min(cores, int(memory_gb // recon_gb)))
    processes = given.setdefault("processes", fitting)
    resources = f"memory={memory_gb / processes:g} threads={max(1, cores // processes)}"
    # One thread takes tasks whatever a job's cores; a graph uses the others through recon-all.
    extra = ["--nthreads", "1", "--resources", f"'{resources}'", *given.pop("worker_extra_args", [])]
    scheduler_options = {"dashboard_address": None, **given.pop("scheduler_options", {})}
    made = getattr(dask_jobqueue, CLUSTERS[kind][0])
    cluster = _made(made, kind, worker_extra_args=extra, scheduler_options=scheduler_options, **given)
    maximum: int = adapt.get("maximum", max(1, adapt.get("minimum", 0))) if adapt else jobs
    if adapt:
        cluster.adapt(minimum_jobs=adapt.get("minimum", 0), maximum_jobs=maximum)
    else:
        cluster.scale(jobs=jobs)
    return cluster, maximum * processes


def _made(make: Callable[..., Any], kind: str, **given: Any) -> Any:
    try:
        return make(**given)
    except REFUSALS as error:
        why = str(error).partition(". ")[0] or type(error).__name__
        raise SchedulerError(
            f"Dask does not start a {kind} cluster ({why})", "check the names and values in its file"
        ) from error


class Connection:
    """A client of Dask that survives its scheduler.

    Parameters
    ----------
    target : dict
        How ``distributed.Client`` reaches the scheduler.
    maximum : int
        Workers that a cluster of our own may come to have; 0 where it is not ours.
    """

    def __init__(self, target: dict[str, Any], maximum: int) -> None:
        self.target, self.maximum = target, maximum
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
            self.client = Client(**self.target, timeout=CONNECT_SECONDS, set_as_default=False)
            if not self.maximum:
                self.client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except REFUSALS as error:
            self.close()
            where = next(iter(self.target.values()))
            raise SchedulerError(
                f"no Dask scheduler with a worker answers at {where} ({type(error).__name__})",
                "start both, dask scheduler and dask worker, or check the address",
            ) from error

    def close(self) -> None:
        """Leave the scheduler."""
        if self.client is not None:
            with contextlib.suppress(Exception):
                self.client.close(timeout=5)
            self.client = None

    def workers(self) -> dict[str, Any]:
        """Address to what the scheduler knows of each worker."""
        found: dict[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        return found

    def slots(self) -> int:
        """How many people can be under way at once, now or when the cluster has grown."""
        return max(self.maximum, sum(worker["nthreads"] for worker in self.workers().values()), 1)
