"""nipype's MultiProc, but a killed worker is a failed node and not a run that hangs."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer

WORKER_KILLED = "a worker process was killed from outside, most likely because memory ran out"


def _person(node: Any) -> str:
    """Name of the sub-graph of a node below the whole graph."""
    return str(node.fullname).split(".")[1]


class PatientMultiProc(MultiProcPlugin):
    """Run nodes in a process pool; survive workers that die (out of memory, scheduler limits)."""

    def _submit_job(self, node: Any, updatehash: bool = False) -> int:
        try:
            return super()._submit_job(node, updatehash=updatehash)
        except BrokenProcessPool:
            self._renew_pool()
            return super()._submit_job(node, updatehash=updatehash)

    def _async_callback(self, args: Future) -> None:
        if not args.cancelled() and args.exception() is None:
            super()._async_callback(args)

    def _get_result(self, taskid: int) -> Any:
        future = self._task_obj[taskid]
        error = future.exception() if future.done() and not future.cancelled() else None
        if error is None:
            return super()._get_result(taskid)
        reason = WORKER_KILLED if isinstance(error, BrokenProcessPool) else f"{type(error).__name__}: {error}"
        return {"taskid": taskid, "result": None, "traceback": [reason + "\n"]}

    def _sort_jobs(self, jobids: Any, scheduler: str = "tsort") -> Any:
        """One person after the other: whoever was started first is finished first."""
        people: dict[str, int] = {}
        for node in self.procs:
            people.setdefault(_person(node), len(people))
        return sorted(jobids, key=lambda job: (people[_person(self.procs[job])], job))

    def _renew_pool(self) -> None:
        self.pool.shutdown(wait=False)
        self.pool = ProcessPoolExecutor(
            max_workers=self.processors, initializer=process_initializer, initargs=(self._cwd,)
        )
