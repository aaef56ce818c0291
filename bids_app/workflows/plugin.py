"""nipype's MultiProc without polling, whose killed worker is a failed node and not a run that hangs."""

from __future__ import annotations

import gc
import os
import signal
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from types import FrameType
from typing import Any

import numpy as np
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer, run_node

from bids_app.freesurfer.recon_all import end_running
from bids_app.interfaces.base import LibraryInterface
from bids_app.processes import WORKER_KILLED, end_with

# longer than recon-all is given to end (freesurfer.recon_all)
GRACE_SECONDS = 25.0
NOTICE_SECONDS = 5.0


def _person(node: Any) -> str:
    """Name of the sub-graph of a node below the whole graph."""
    return str(node.fullname).split(".")[1]


class _Dependencies(np.matrix):
    """Which node waits for which, dense: a sum over scipy's sparse matrix costs more than the rest of a round."""

    def getrowview(self, row: int) -> np.matrix:
        return self[row]


class PatientMultiProc(MultiProcPlugin):
    """Run nodes in a process pool; survive workers that die (out of memory, scheduler limits)."""

    def __init__(self, plugin_args: dict[str, Any] | None = None) -> None:
        super().__init__(plugin_args=plugin_args)
        self._renew_pool()

    def run(self, graph: Any, config: Any, updatehash: bool = False) -> None:
        """Run the graph.

        What exists is frozen until the end: nipype collects garbage before every submission, and
        going through the whole program each time costs more than the nodes do.
        """
        _prepare_workers(graph)
        gc.collect()
        gc.freeze()
        try:
            super().run(graph, config, updatehash=updatehash)
        except BaseException:
            self._stop_workers()
            raise
        finally:
            gc.unfreeze()

    def _send_procs_to_workers(self, updatehash: bool = False, graph: Any = None) -> None:
        """Submit what can start, then sleep until a node ends: no polling, no latency."""
        gc.freeze()
        decided, submitted = self.proc_done.sum(), self._taskid
        super()._send_procs_to_workers(updatehash=updatehash, graph=graph)
        here = self.proc_done.sum() - decided - (self._taskid - submitted)
        # A node that was done here, in this process, may have made others ready.
        if self.pending_tasks and not here:
            self._wait()

    def _wait(self) -> None:
        """Sleep until a node ends; a pool that does not notice for long that a worker is dead is broken by hand."""
        futures = [self._task_obj[task] for task, _ in self.pending_tasks]
        while not wait(futures, NOTICE_SECONDS, FIRST_COMPLETED).done:
            workers = list((self.pool._processes or {}).values())
            if all(worker.is_alive() for worker in workers):
                continue
            # It died within a message, whose rest the pool would await for ever
            for worker in workers:
                worker.kill()
            self.pool._result_queue._writer.close()

    def _submit_job(self, node: Any, updatehash: bool = False) -> int:
        """Hand the node to a worker; the future itself keeps the result until it is asked for."""
        self._taskid += 1
        job = (_run_node, node, updatehash, self._taskid)
        try:
            future = self.pool.submit(*job)
        except BrokenProcessPool:
            self._renew_pool()
            future = self.pool.submit(*job)
        self._task_obj[self._taskid] = future
        return self._taskid

    def _get_result(self, taskid: int) -> Any:
        future = self._task_obj[taskid]
        if not future.done():
            return None
        error = future.exception()
        if error is None:
            return future.result()
        reason = WORKER_KILLED if isinstance(error, BrokenProcessPool) else f"{type(error).__name__}: {error}"
        return {"taskid": taskid, "result": None, "traceback": [reason + "\n"]}

    def _generate_dependency_list(self, graph: Any) -> None:
        super()._generate_dependency_list(graph)
        self.depidx = self.depidx.toarray().view(_Dependencies)
        people: dict[str, int] = {}
        self._rank = [people.setdefault(_person(node), len(people)) for node in self.procs]

    def _sort_jobs(self, jobids: Any, scheduler: str = "tsort") -> Any:
        """One person after the other: whoever was started first is finished first."""
        return sorted(jobids, key=lambda job: (self._rank[job], job))

    def _renew_pool(self) -> None:
        self.pool.shutdown(wait=False)
        self.pool = ProcessPoolExecutor(
            max_workers=self.processors, initializer=_start_worker, initargs=(self._cwd, os.getpid())
        )

    def _stop_workers(self) -> None:
        """End the workers, with time to end what they run (recon-all), so that nothing goes on unseen."""
        workers = list((self.pool._processes or {}).values())
        self.pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()


def _start_worker(folder: str, parent: int) -> None:
    """A worker leaves Ctrl-C to its parent, ends in good order when the parent says so, and with the parent."""
    end_with(parent, end_running)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_worker)
    process_initializer(folder)


def _run_node(node: Any, updatehash: bool, taskid: int) -> dict[str, Any]:
    result: dict[str, Any] = run_node(node, updatehash, taskid)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        os._exit(0)
    return result


def _end_worker(number: int, frame: FrameType | None) -> None:
    """End at once when idle; a node at work is interrupted, so that it ends what it started."""
    signal.signal(number, signal.SIG_IGN)
    while frame is not None and frame.f_code is not _run_node.__code__:
        frame = frame.f_back
    if frame is None:
        os._exit(0)
    raise SystemExit


def _prepare_workers(graph: Any) -> None:
    """Import and prepare what the nodes will need before the workers are forked, so that they need not."""
    kinds = {type(node.interface) for node in graph.nodes()}
    for kind in sorted((kind for kind in kinds if issubclass(kind, LibraryInterface)), key=lambda kind: kind.__name__):
        for name in kind.libraries:
            import_module(name)
        kind.prepare()
