"""A run survives nodes that raise and workers that are killed."""

from __future__ import annotations

import gc
import os
import signal
import struct
import sys
import time

import numpy as np
import pytest
from nipype.interfaces.base import BaseInterfaceInputSpec, TraitedSpec, traits
from nipype.pipeline import engine as pe
from nipype.pipeline.engine.utils import generate_expanded_graph
from scipy.sparse import lil_matrix

from bids_app.errors import StatsFileError
from bids_app.interfaces.base import LibraryInterface
from bids_app.processes import WORKER_KILLED
from bids_app.run.config import RunConfig
from bids_app.workflows.execution import _execution_settings, run_graph
from bids_app.workflows.plugin import PatientMultiProc


class _In(BaseInterfaceInputSpec):
    value = traits.Int(mandatory=True)
    behaviour = traits.Str("add", usedefault=True)


class _Out(TraitedSpec):
    value = traits.Int()


class Step(LibraryInterface):
    """Adds one, raises or dies."""

    input_spec = _In
    output_spec = _Out

    def _call(self, folder):
        if self.inputs.behaviour == "raise":
            raise StatsFileError("stats/aseg.stats is truncated", "run recon-all again")
        if self.inputs.behaviour == "bug":
            raise ZeroDivisionError("division by zero")
        if self.inputs.behaviour == "sleep":
            time.sleep(1.5)
        if self.inputs.behaviour == "die handing over":
            frame = sys._getframe()
            while "result_queue" not in frame.f_locals:
                frame = frame.f_back
            os.write(frame.f_locals["result_queue"]._writer.fileno(), struct.pack("!i", 10**6) + b"begun")
            os.kill(os.getpid(), signal.SIGKILL)
        if self.inputs.behaviour == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"value": self.inputs.value + 1}


@pytest.fixture
def config(tmp_path):
    return RunConfig(bids_dir=tmp_path, output_dir=tmp_path, nprocs=2, mem_mb=2000)


def chain(tmp_path, behaviours):
    workflow = pe.Workflow("chain", base_dir=str(tmp_path / "work"))
    previous = None
    for index, behaviour in enumerate(behaviours):
        node = pe.Node(Step(value=0, behaviour=behaviour), name=f"step{index}")
        if previous is None:
            workflow.add_nodes([node])
        else:
            workflow.connect(previous, "value", node, "value")
        previous = node
    return workflow


def test_chain_runs_to_its_end(tmp_path, config):
    ended = []
    crashes = run_graph(chain(tmp_path, ["add"] * 6), config, lambda node, event: ended.append((node.name, event)))
    assert crashes == []
    assert ended[-1] == ("step5", "end")


def test_our_error_becomes_its_sentence(tmp_path, config):
    (crash,) = run_graph(chain(tmp_path, ["add", "raise", "add"]), config)
    assert crash.expected
    assert (crash.reason, crash.remedy) == ("stats/aseg.stats is truncated", "run recon-all again")
    assert crash.node.endswith("step1")


def test_a_bug_keeps_its_traceback(tmp_path, config):
    (crash,) = run_graph(chain(tmp_path, ["bug"]), config)
    assert not crash.expected
    assert "ZeroDivisionError" in crash.text


def test_crash_text_names_no_host_and_no_user(tmp_path, config):
    import getpass
    import socket

    (crash,) = run_graph(chain(tmp_path, ["bug"]), config)
    assert socket.gethostname() not in crash.text
    assert getpass.getuser() not in crash.text.replace("/root/", "")


def test_killed_worker_is_a_failed_node_and_the_rest_goes_on(tmp_path, config):
    workflow = pe.Workflow("both", base_dir=str(tmp_path / "work"))
    workflow.add_nodes([pe.Node(Step(value=0, behaviour="die"), name="victim")])
    workflow.connect(pe.Node(Step(value=0), name="first"), "value", pe.Node(Step(), name="second"), "value")
    crashes = run_graph(workflow, config, nprocs=1)
    assert [crash.node.rsplit(".")[-1] for crash in crashes if crash.reason == WORKER_KILLED] == ["victim"]
    assert len(crashes) == 1


def test_a_node_done_in_the_parent_does_not_wait_for_others(tmp_path, config):
    """What a node that runs here makes ready starts at once, though another node is still running."""
    workflow = pe.Workflow("both", base_dir=str(tmp_path / "work"))
    slow = pe.Node(Step(value=0, behaviour="sleep"), name="slow")
    first = pe.Node(Step(value=0), name="first")
    here = pe.Node(Step(), name="here", run_without_submitting=True)
    after = pe.Node(Step(), name="after")
    workflow.add_nodes([slow])
    workflow.connect([(first, here, [("value", "value")]), (here, after, [("value", "value")])])
    ended = []
    crashes = run_graph(workflow, config, lambda node, event: event == "end" and ended.append(node.name))
    assert crashes == []
    assert ended == ["first", "here", "after", "slow"]


def test_one_processor_is_enough(tmp_path, config):
    ended = []
    workflow = chain(tmp_path, ["add"] * 3)
    assert run_graph(workflow, config, lambda node, event: event == "end" and ended.append(node.name), nprocs=1) == []
    assert ended == ["step0", "step1", "step2"]


def test_what_was_frozen_for_the_run_is_thawed(tmp_path, config):
    run_graph(chain(tmp_path, ["add"]), config)
    assert gc.get_freeze_count() == 0


def test_a_plugin_of_a_cluster_is_polled_rarely(tmp_path, config):
    assert _execution_settings(config, tmp_path, "SLURMPlugin")["poll_sleep_duration"] == 2
    assert _execution_settings(config, tmp_path, "PatientMultiProc")["poll_sleep_duration"] == 0


def test_what_is_overridden_of_nipype_is_as_it_was_when_it_was_overridden():
    """`PatientMultiProc` replaces private methods; a nipype that calls them otherwise must not pass unseen."""
    from inspect import signature

    from nipype.pipeline.plugins import base, multiproc

    plugin = multiproc.MultiProcPlugin
    found = {
        name: list(signature(getattr(plugin, name)).parameters)
        for name in ("_submit_job", "_get_result", "_send_procs_to_workers", "_sort_jobs", "_generate_dependency_list")
    }
    assert found == {
        "_submit_job": ["self", "node", "updatehash"],
        "_get_result": ["self", "taskid"],
        "_send_procs_to_workers": ["self", "updatehash", "graph"],
        "_sort_jobs": ["self", "jobids", "scheduler"],
        "_generate_dependency_list": ["self", "graph"],
    }
    assert list(signature(multiproc.run_node).parameters) == ["node", "updatehash", "taskid"]
    assert list(signature(multiproc.process_initializer).parameters) == ["cwd"]
    assert issubclass(plugin, base.DistributedPluginBase)
    made = plugin(plugin_args={"n_procs": 1})
    made.pool.shutdown()
    assert {"pool", "processors", "_taskid", "_task_obj", "_cwd"} <= set(vars(made))
    assert {"procs", "proc_done", "pending_tasks"} <= set(vars(made))


def test_what_waits_is_asked_of_a_dense_matrix_as_of_nipypes_sparse_one(tmp_path):
    """The three ways in which nipype looks at it: the two sums, and the row that is emptied when a node ends."""
    plugin = PatientMultiProc({"n_procs": 1})
    plugin.pool.shutdown()
    plugin._generate_dependency_list(generate_expanded_graph(chain(tmp_path, ["add", "add", "add"])._graph))
    sparse = lil_matrix(np.asarray(plugin.depidx))
    for job in (None, 0, 1):
        for matrix in (plugin.depidx, sparse) if job is not None else ():
            row = matrix.getrowview(job)
            row[row.nonzero()] = 0
        free = ~plugin.proc_done & (plugin.depidx.sum(0) == 0)
        assert np.array_equal(np.nonzero(free)[1], np.nonzero(~plugin.proc_done & (sparse.sum(0) == 0))[1])
        assert np.array_equal(np.flatnonzero((plugin.depidx.sum(axis=0) == 0).__array__()), np.nonzero(free)[1])
    assert not plugin.depidx.any()


def test_a_worker_that_dies_while_it_hands_over_is_noticed(tmp_path, config, monkeypatch):
    monkeypatch.setattr("bids_app.workflows.plugin.NOTICE_SECONDS", 0.5)
    begun = time.monotonic()
    crashes = run_graph(chain(tmp_path, ["die handing over", "add"]), config)
    assert [crash.reason for crash in crashes] == [WORKER_KILLED]
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("failure", [BlockingIOError(11, "no process"), RuntimeError("can't start new thread")])
def test_no_worker_stays_when_the_system_gives_no_process(tmp_path, config, monkeypatch, failure):
    def refused(*arguments, **options):
        raise failure

    monkeypatch.setattr("bids_app.workflows.plugin.PatientMultiProc._submit_job", refused)
    with pytest.raises(type(failure)):
        run_graph(chain(tmp_path, ["add"]), config)


def test_what_every_worker_would_do_first_is_done_once_before_they_are_forked(tmp_path, config, monkeypatch):
    prepared = []
    monkeypatch.setattr(Step, "prepare", classmethod(lambda cls: prepared.append(os.getpid())))
    assert run_graph(chain(tmp_path, ["add", "add", "add"]), config) == []
    assert prepared == [os.getpid()]


def test_the_templates_of_a_page_are_compiled_when_it_is_prepared():
    from bids_app.interfaces.reports import ParticipantReport
    from bids_app.reports.pages.page import environment

    environment.cache_clear()
    ParticipantReport.prepare()
    names = {name for _, name in list(environment().cache.keys())}
    page = environment().get_template("participant.html.j2")
    parents = {"base.html.j2", "macros.html.j2"}
    assert names == {page.name, *parents}
