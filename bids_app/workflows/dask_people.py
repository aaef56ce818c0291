"""People on the workers of Dask: one task is one person's graph, on one node, with its scratch."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bids_app import __version__
from bids_app.bids.names import output_path, participant_id
from bids_app.errors import SchedulerError
from bids_app.run.config import RunConfig
from bids_app.run.planned import PlannedScan, RunContext
from bids_app.tables import read_json, write_json
from bids_app.workflows.dask_cluster import SCORING_GB, Connection, connected
from bids_app.workflows.execution import Crash, run_graph
from bids_app.workflows.participant import init_normvol_wf, person_wf_name

# Beside what Dask itself tries again when a worker dies (distributed.scheduler.allowed-failures, 3)
ATTEMPTS = 3
RECONNECTIONS = 5
# How often the workers are looked at while nobody comes back
LOOK_SECONDS = 10.0
NO_SPACE = os.strerror(errno.ENOSPC)
# nipype changes the working directory of its process: one person at a time in each.
_ONE_AT_A_TIME = threading.Lock()

# What the plan hands on in files: fields of a scan, and what the file of each holds
_FILES = ("adaptation_file", "volumes_file")
_Files = dict[str, Any]


@dataclass
class _Person:
    """One person on their way: how often tried, and on which workers it is of no use."""

    scans: Sequence[PlannedScan]
    attempts: int = 0
    avoid: set[str] = field(default_factory=set)
    lost: str = ""

    @property
    def name(self) -> str:
        return person_wf_name(self.scans[0].participant)


@dataclass(frozen=True)
class _Outcome:
    """What a worker sends back: nodes that failed, what happened to each node and when (s before the end).

    `unfit` is why the worker did not begin at all.
    """

    crashes: list[Crash]
    events: list[tuple[str, str, float]]
    worker: str
    unfit: str = ""


def run_people(
    people: Sequence[Sequence[PlannedScan]],
    context: RunContext,
    config: RunConfig,
    on_status: Callable[[Any, str], None],
    log: logging.Logger,
) -> list[Crash]:
    """Run everybody's graph on ``config.scheduler`` and return the nodes that failed.

    A person whose worker was lost is tried again; who is lost for good is a crash of their own.
    """
    waiting = deque(_Person(scans) for scans in people)
    runs = any(scan.recon is not None for scans in people for scan in scans)
    with connected(config.scheduler, context.recon_memory_gb if runs else None) as connection:
        crew = _Crew(connection, context, config, log)
        return crew.run(waiting, on_status)


def _files_of(scans: Sequence[PlannedScan]) -> dict[str, _Files]:
    """By scan and field the contents of the plan's files, which lie on this machine."""
    files = {scan.name: {field: getattr(scan, field) for field in _FILES} for scan in scans}
    return {name: {field: read_json(path) for field, path in own.items() if path} for name, own in files.items()}


class _Crew:
    def __init__(self, connection: Connection, context: RunContext, config: RunConfig, log: logging.Logger) -> None:
        self.connection, self.context, self.config, self.log = connection, context, config, log
        self.crashes: list[Crash] = []
        self.reconnections = 0
        self.came_back = threading.Event()
        self.told: set[str] = set()

    def run(self, waiting: deque[_Person], on_status: Callable[[Any, str], None]) -> list[Crash]:
        """Keep every worker busy and a few people ready, until nobody is left."""
        under_way: dict[Any, _Person] = {}
        doubtful: deque[_Person] = deque()
        try:
            while waiting or under_way or doubtful:
                if not waiting and not under_way:
                    # Whoever was there each time a worker died comes last and alone, and so harms nobody.
                    waiting.append(doubtful.popleft())
                self._submit(waiting, under_way)
                for future, person in self._ended(under_way):
                    self._settle(future, person, waiting, doubtful, on_status)
                if self.crashes and self.config.stop_on_first_crash:
                    break
        finally:
            if under_way and self.connection.client is not None:
                self.connection.client.cancel(list(under_way), force=True)
        return self.crashes

    def _submit(self, waiting: deque[_Person], under_way: dict[Any, _Person]) -> None:
        workers = self.connection.workers()
        while waiting and len(under_way) < 2 * self.connection.slots():
            person = waiting.popleft()
            person.attempts += 1
            settings = replace(self.config, stop_on_first_crash=False)
            future = self.connection.client.submit(
                run_person,
                person.scans,
                _files_of(person.scans),
                self.context,
                settings,
                __version__,
                key=f"{person.name}-{self.context.run_uuid}-{person.attempts}-{self.reconnections}",
                workers=sorted(set(workers) - person.avoid) or None if person.avoid else None,
                resources=self._resources(person, workers),
                pure=False,
            )
            future.add_done_callback(lambda _: self.came_back.set())
            under_way[future] = person

    def _resources(self, person: _Person, workers: dict[str, Any]) -> dict[str, float] | None:
        """What the person's graph needs at once, of what the workers declare."""
        recon = any(scan.recon is not None for scan in person.scans)
        needs = {
            "memory": self.context.recon_memory_gb if recon else SCORING_GB,
            "threads": self.context.omp_nthreads if recon else 1,
        }
        declared = {name: worker["resources"] for worker in workers.values() for name in worker["resources"]}
        return {name: need for name, need in needs.items() if name in declared} or None

    def _ended(self, under_way: dict[Any, _Person]) -> list[tuple[Any, _Person]]:
        """Those who came back; when the scheduler is gone, a new connection and nobody lost."""
        while not (ended := [future for future in under_way if future.done()]):
            if not self.came_back.wait(LOOK_SECONDS):
                self._look(under_way.values())
            self.came_back.clear()
        if any(other.status in ("cancelled", "lost") for other in ended):
            ended = list(under_way)  # those that are not cancelled yet will be
            self.reconnections += 1
            if self.reconnections > RECONNECTIONS:
                raise SchedulerError(
                    f"the Dask scheduler was lost {self.reconnections} times",
                    "the same command again does who is missing",
                )
            self.log.warning("the Dask scheduler was lost with %d people; connecting again", len(under_way))
            self.connection.open()
        return [(other, under_way.pop(other)) for other in ended]

    def _look(self, people: Iterable[_Person]) -> None:
        """Tell once what keeps `people` waiting."""
        said = {*self.connection.look(), *self._unmet(people)}
        for words in sorted(said - self.told):
            self.log.warning("%s", words)
        self.told = said

    def _unmet(self, people: Iterable[_Person]) -> list[str]:
        """What `people` need at once, where there are workers and none declares so much."""
        workers = self.connection.workers()
        declared = [worker["resources"] for worker in workers.values()]
        needs = {tuple(sorted((self._resources(person, workers) or {}).items())) for person in people}
        return [
            f"a person needs the resources {' and '.join(f'{name} {amount:g}' for name, amount in need)} at once, "
            "and no worker declares so much"
            for need in sorted(needs)
            if declared and not any(all(own.get(name, 0) >= amount for name, amount in need) for own in declared)
        ]

    def _settle(
        self,
        future: Any,
        person: _Person,
        waiting: deque[_Person],
        doubtful: deque[_Person],
        on_status: Callable[[Any, str], None],
    ) -> None:
        """Take what a person's task brought, or decide whether they are tried again."""
        if future.status == "finished":
            outcome: _Outcome = future.result()
            full = any(NO_SPACE in crash.text for crash in outcome.crashes)
            if not outcome.unfit and (not full or person.attempts >= ATTEMPTS):
                self.crashes += outcome.crashes
                _replay(outcome.events, on_status)
                return
            person.avoid.add(outcome.worker)
            person.lost = outcome.unfit or f"a worker's disk was full ({NO_SPACE})"
        elif future.status == "error":
            person.lost = _why(future.exception())
            # Dask has tried already, with others beside; once more, alone, tells whose fault it is.
            person.attempts = max(person.attempts, ATTEMPTS - 1)
        else:
            person.lost = "the Dask scheduler was lost"
        self.log.warning("%s  %s (attempt %d of %d)", person.scans[0].name, person.lost, person.attempts, ATTEMPTS)
        if person.attempts >= ATTEMPTS:
            text = f"Node: normvol_wf.{person.name}.worker\n\n{person.lost}\n"
            self.crashes.append(Crash(f"normvol_wf.{person.name}.worker", person.lost, "", False, text))
            on_status(SimpleNamespace(fullname=f"normvol_wf.{person.name}.worker", name="worker"), "exception")
        elif future.status == "error":
            doubtful.append(person)
        else:
            waiting.append(person)


def _why(error: Any) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return "its worker was lost each time, most likely because memory ran out"
    return f"its worker could not run it ({type(error).__name__}: {error})"


def _replay(events: Sequence[tuple[str, str, float]], on_status: Callable[[Any, str], None]) -> None:
    for fullname, event, seconds_ago in events:
        name = fullname.rsplit(".", 1)[-1]
        on_status(SimpleNamespace(fullname=fullname, name=name, seconds_ago=seconds_ago), event)


def _unfit(scans: Sequence[PlannedScan], context: RunContext, config: RunConfig, version: str) -> str:
    """Why this worker cannot do the person as the command would: another version, or folders that it does not see."""
    if version != __version__:
        return f"a worker has normvol {__version__}, and this command is {version}"
    log = output_path(context.output_dir, participant_id(scans[0].participant), "log", context.run_uuid)
    read = [config.bids_dir, *(scan.subject_dir for scan in scans if scan.subject_dir is not None)]
    unseen = next((folder for folder in (log, *read) if not folder.is_dir()), None)
    return "" if unseen is None else f"a worker does not see {unseen}, which every node must have under this name"


def run_person(
    scans: Sequence[PlannedScan], files: Mapping[str, _Files], context: RunContext, config: RunConfig, version: str
) -> _Outcome:
    """Run one person's graph in this process, on the scratch of this worker, whose normvol has to be of `version`."""
    from distributed import get_worker

    worker = get_worker()
    if unfit := _unfit(scans, context, config, version):
        return _Outcome([], [], worker.address, unfit)
    own = config.work_dir is None
    # Named before it is made: on a full disk that fails.
    base = config.work_dir or Path(worker.local_directory) / f"normvol-{uuid.uuid4().hex[:12]}"
    events: list[tuple[str, str, float]] = []
    try:
        base.mkdir(parents=True, exist_ok=True)
        here = [_with_files(scan, files, base) for scan in scans]
        graph = init_normvol_wf([here], replace(context, work_dir=base))
        with _ONE_AT_A_TIME:
            crashes = run_graph(
                graph, config, lambda node, event: events.append((node.fullname, event, time.monotonic())), here=True
            )
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        crashes = [
            Crash(f"normvol_wf.{person_wf_name(scans[0].participant)}.worker", str(error), "", False, str(error))
        ]
    finally:
        if own:
            shutil.rmtree(base, ignore_errors=True)
    end = time.monotonic()
    return _Outcome(crashes, [(name, event, end - begun) for name, event, begun in events], worker.address)


def _with_files(scan: PlannedScan, files: Mapping[str, _Files], folder: Path) -> PlannedScan:
    own = files.get(scan.name, {}).items()
    return replace(scan, **{field: write_json(content, folder / field / f"{scan.name}.json") for field, content in own})
