"""Errors from the nodes of a graph reach the user whole, whatever they hold."""

from __future__ import annotations

import os

import pytest
from nipype.interfaces.base import BaseInterfaceInputSpec, TraitedSpec, traits
from nipype.pipeline import engine as pe

from bids_app.errors import FreeSurferError, SchedulerError, UsageError
from bids_app.interfaces.base import LibraryInterface
from bids_app.run.config import RunConfig
from bids_app.workflows.execution import plugin_settings, run_graph

REASON = 'the tree "/data/a; b/Error: c" has\ttwo "names"'
REMEDY = "rename it; then run again"


class _In(BaseInterfaceInputSpec):
    bug = traits.Bool(False, usedefault=True)


class _Out(TraitedSpec):
    done = traits.Bool()


class Failing(LibraryInterface):
    """Fails as asked."""

    input_spec = _In
    output_spec = _Out

    def _call(self, folder):
        if self.inputs.bug:
            raise KeyError("normvol-error: {}")
        raise FreeSurferError(REASON, REMEDY)


def crash_of(tmp_path, **inputs):
    graph = pe.Workflow(name="failing_wf", base_dir=str(tmp_path / "work"))
    node = pe.Node(Failing(**inputs), name="fails")
    inner = pe.Workflow(name="sub_01_wf")
    inner.add_nodes([node])
    graph.add_nodes([inner])
    config = RunConfig(bids_dir=tmp_path, output_dir=tmp_path / "out")
    (crash,) = run_graph(graph, config, nprocs=1)
    return crash


def test_reason_and_remedy_come_apart_where_they_were_put_together(tmp_path):
    crash = crash_of(tmp_path)
    assert (crash.reason, crash.remedy, crash.expected) == (REASON, REMEDY, True)
    assert crash.node == "failing_wf.sub_01_wf.fails"
    assert "normvol-error" not in crash.text


def test_a_bug_is_not_taken_for_an_error_of_the_users(tmp_path):
    crash = crash_of(tmp_path, bug=True)
    assert not crash.expected
    assert crash.reason.startswith("unexpected error in fails: KeyError")


@pytest.mark.parametrize(
    "argument", ["memory_gb: 0", "memory_gb: lots", "memory_gb: .nan", "n_procs: 0", "n_procs: 1.5"]
)
def test_a_plugin_file_with_which_nothing_could_start_is_refused(tmp_path, argument):
    path = tmp_path / "plugin.yml"
    path.write_text(f"plugin: MultiProc\nplugin_args: {{{argument}}}\n")
    with pytest.raises(UsageError, match=f"{argument.partition(':')[0]} is .* in the nipype plugin file"):
        plugin_settings(path)


@pytest.mark.parametrize("content", ["plugin: Linear\nfoo: 1", "plugin: Linear\nplugin_args: {5: x}"])
def test_names_without_a_place_in_a_plugin_file_are_refused(tmp_path, content):
    path = tmp_path / "plugin.yml"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"and nothing like ('foo'|5)"):
        plugin_settings(path)


@pytest.mark.parametrize("plugin", ["Debug", "SLURM"])
def test_a_plugin_that_cannot_begin_is_a_sentence(tmp_path, monkeypatch, plugin):
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid account' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("LOGNAME", "somebody")
    path = tmp_path / "plugin.yml"
    path.write_text(f"plugin: {plugin}\nplugin_args: {{max_tries: 1, retry_timeout: 0}}\n")
    graph = pe.Workflow(name="failing_wf", base_dir=str(tmp_path / "work"))
    graph.add_nodes([pe.Node(Failing(), name="fails")])
    with pytest.raises(SchedulerError, match="did not run the graph"):
        run_graph(graph, RunConfig(bids_dir=tmp_path, output_dir=tmp_path / "out", nipype_plugin_file=path))


@pytest.mark.parametrize("plugin", ["MultiProc", "LegacyMultiProc"])
def test_less_memory_than_a_node_asks_for_neither_hangs_nor_fails(tmp_path, plugin):
    path = tmp_path / "plugin.yml"
    path.write_text(f"plugin: {plugin}\nplugin_args: {{memory_gb: 0.01, n_procs: 1, raise_insufficient: true}}\n")
    graph = pe.Workflow(name="failing_wf", base_dir=str(tmp_path / "work"))
    graph.add_nodes([pe.Node(Failing(), name="fails", mem_gb=0.5)])
    (crash,) = run_graph(graph, RunConfig(bids_dir=tmp_path, output_dir=tmp_path / "out", nipype_plugin_file=path))
    assert crash.reason == REASON
