"""Where Dask runs: a scheduler that is there, or a cluster that dask-jobqueue starts from a file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bids_app.errors import SchedulerError, UsageError
from bids_app.tables import read_yaml

CONNECT_SECONDS = 60
# Kinds of clusters of dask-jobqueue, and their classes
CLUSTERS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
    "local": "LocalCluster",
}


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
    if not Path(place).is_file():
        raise UsageError(f"--scheduler: there is no scheduler file {place}", f"dask scheduler --scheduler-file {place}")
    return "file", place


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
    return kind, settings


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
            stack.callback(cluster.close)
            target: dict[str, Any] = {"address": cluster}
        else:
            target = {"address": where} if how == "address" else {"scheduler_file": where}
        connection = Connection(target, maximum)
        stack.callback(connection.close)
        connection.open()
        yield connection


def _start(kind: str, settings: dict[str, Any], recon_gb: float | None) -> tuple[Any, int]:
    """The cluster and the most workers that it may have; one person at a time per worker process."""
    import dask
    import dask_jobqueue
    import distributed

    given = dict(settings)
    adapt, jobs = given.pop("adapt", None), int(given.pop("jobs", 1))
    dask.config.set({"distributed.scheduler.worker-ttl": given.pop("worker-ttl", "5 minutes")})
    if kind == "local":
        cluster: Any = distributed.LocalCluster(threads_per_worker=1, dashboard_address=None, **given)
        return cluster, len(cluster.workers)
    cores, memory_gb = int(given["cores"]), dask.utils.parse_bytes(str(given["memory"])) / 1e9
    fitting = cores if recon_gb is None else max(1, min(cores, int(memory_gb // recon_gb)))
    processes = int(given.setdefault("processes", fitting))
    resources = f"memory={memory_gb / processes:g} threads={max(1, cores // processes)}"
    # One thread takes tasks whatever a job's cores; a graph uses the others through recon-all.
    extra = ["--nthreads", "1", "--resources", f"'{resources}'", *given.pop("worker_extra_args", [])]
    scheduler_options = {"dashboard_address": None, **given.pop("scheduler_options", {})}
    try:
        made = getattr(dask_jobqueue, CLUSTERS[kind])
        cluster = made(worker_extra_args=extra, scheduler_options=scheduler_options, **given)
    except (TypeError, ValueError, OSError) as error:
        raise SchedulerError(f"dask-jobqueue does not start a {kind} cluster ({error})", "see its page") from error
    maximum = int(adapt.get("maximum", 1)) if adapt else jobs
    if adapt:
        cluster.adapt(minimum_jobs=int(adapt.get("minimum", 0)), maximum_jobs=maximum)
    else:
        cluster.scale(jobs=jobs)
    return cluster, maximum * processes


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
        except (OSError, TimeoutError, ValueError) as error:
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
