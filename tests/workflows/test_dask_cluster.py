"""What ``--scheduler`` may say, refused with a sentence before anything runs."""

from __future__ import annotations

import logging
import socket
import socketserver
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.cli.parser import parse_config
from bids_app.errors import NormvolError, SchedulerError, UsageError
from bids_app.workflows import dask_cluster
from bids_app.workflows.dask_cluster import NOBODY, Connection, Jobs, _made, _start, check_scheduler, check_usable
from bids_app.workflows.dask_people import RECONNECTIONS, _Crew, _Person
from tests.integration.test_runs import make_dataset

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (extra hpc)")


def test_the_three_forms(tmp_path):
    (tmp_path / "s.json").write_text('{"address": "tcp://host:8786"}')
    (tmp_path / "c.yaml").write_text("jobqueue: {pbs: {cores: 8, memory: 32GB}}")
    assert check_scheduler("dask:tcp://host:8786") == ("address", "tcp://host:8786")
    assert check_scheduler(f"dask:{tmp_path}/s.json") == ("file", f"{tmp_path}/s.json")
    assert check_scheduler(f"dask:{tmp_path}/c.yaml") == ("cluster", ("pbs", {"cores": 8, "memory": "32GB"}))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- 1", "must hold one cluster"),
        ("jobqueue: {slurm: {cores: 8}}", "memory of a job is missing"),
        ("jobqueue: {slrum: {cores: 8, memory: 1GB}}", "'slrum' is no kind of cluster"),
        ("jobqueue: {pbs: {}, sge: {}}", "must hold one cluster"),
        ("a: [", "is neither YAML nor JSON"),
        ("jobqueue: {local: {cores: 8, memory: 1GB}}", "n_workers and memory_limit"),
        *(
            (f"jobqueue: {{slurm: {{cores: 8, memory: 1GB, {text}}}}}", said)
            for text, said in {
                "cores: eight": "cores is 'eight'",
                "cores: 0": "cores is 0",
                "cores: yes": "cores is True",
                "memory: lots": "memory is 'lots'",
                "memory: 0GB": "memory is '0GB'",
                "memory: 4": "with its unit",
                "processes: 0": "processes is 0",
                "jobs: many": "jobs is 'many'",
                "adapt: 3": "adapt is 3",
                "adapt: {maximum: x}": "maximum is 'x'",
                "adapt: {minimum: 9, maximum: 2}": "from 9",
                "adapt: {min: 1}": "'min' has no place",
                "adapt: {maximum: 2}, jobs: 3": "'jobs' has no place",
                "5: x": "5 has no place",
                "worker-ttl: soon": "worker-ttl is 'soon'",
                "worker_extra_args: --foo": "a list of texts",
                "scheduler_options: 3": "names and values",
            }.items()
        ),
    ],
)
def test_a_cluster_file_that_says_nothing_useful(tmp_path, content, said):
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(UsageError, match=said):
        check_scheduler(f"dask:{tmp_path}/c.yaml")


WRONG_ADDRESSES = ("tcp://", "tcp://h", "tcp://h:", "tcp://h:x", "tcp://h:99999", "foo://h:1", "TCP//h:1", " tcp://h:1")


@pytest.mark.parametrize(
    "text",
    [
        *("slurm", "dask", "dask:", "dask:/nowhere.json", "dask:/nowhere.yaml"),
        *(f"dask:{address}" for address in WRONG_ADDRESSES),
    ],
)
def test_other_words_are_refused(text):
    with pytest.raises(UsageError):
        check_scheduler(text)


def test_a_cluster_without_its_command_here_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "c.yaml").write_text("jobqueue: {lsf: {cores: 8, memory: 32GB}}")
    with pytest.raises(SchedulerError, match="no bsub here"):
        check_usable(f"dask:{tmp_path}/c.yaml")


def test_nothing_is_written_when_no_scheduler_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.2)
    bids = make_dataset(tmp_path / "bids")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"dask:tcp://127.0.0.1:{free.getsockname()[1]}"
    assert main([str(bids), str(tmp_path / "out"), "participant", "--scheduler", address]) == exitcodes.INPUT
    assert "no Dask scheduler with a worker answers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["garbage", "", "[1]", "{}", '{"address": 5}'])
def test_a_scheduler_file_that_is_none(tmp_path, content):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(NormvolError, match=r"s\.json"):
        check_scheduler(f"dask:{tmp_path}/s.json")


@pytest.mark.parametrize("make", [dict, [].index, {}.__getitem__])
def test_whatever_goes_wrong_inside_dask_is_a_sentence(make):
    with pytest.raises(SchedulerError, match="does not start a slurm cluster"):
        _made(lambda: make("x"), "slurm")


def looked(monkeypatch, jobs, workers=()):
    connection = Connection({}, jobs)
    monkeypatch.setattr(connection, "workers", lambda: dict.fromkeys(workers))
    return connection.look()


def test_who_waits_is_told_of_refused_jobs_and_that_nobody_works(monkeypatch):
    waiting = SimpleNamespace(workers={"a": SimpleNamespace(job_id="7")})
    none = SimpleNamespace(workers={"a": SimpleNamespace(job_id=None)})
    assert looked(monkeypatch, None, ["w"]) == []
    assert looked(monkeypatch, None) == [NOBODY]
    assert looked(monkeypatch, Jobs(waiting, 2)) == [NOBODY]
    assert looked(monkeypatch, Jobs(none, 2, grows=True)) == [NOBODY]
    assert looked(monkeypatch, Jobs(none, 2, refused=["no", "no"]), ["w"]) == ["the cluster refused a job: no"]
    assert looked(monkeypatch, Jobs(waiting, 2, refused=["no"])) == ["the cluster refused a job: no", NOBODY]


@pytest.mark.parametrize(
    ("more", "said"), [({"refused": ["no"], "grows": True}, "refused its jobs .no."), ({}, "every job .* has ended")]
)
def test_waiting_for_jobs_that_never_come_ends(monkeypatch, more, said):
    with pytest.raises(SchedulerError, match=said):
        looked(monkeypatch, Jobs(SimpleNamespace(workers={}), 2, **more))


@pytest.mark.parametrize(("gb", "said"), [(None, "takes 1 GB, .* 0.5 GB for 1"), (8.0, "takes 8 GB, .* 0.5 GB for 1")])
def test_a_job_that_is_too_small_for_anybody_is_not_started(gb, said):
    with pytest.raises(SchedulerError, match=said):
        _start("slurm", {"cores": 8, "memory": "500MB"}, gb)


def test_what_no_worker_declares_is_told(monkeypatch):
    crew = _Crew(Connection({}), SimpleNamespace(recon_memory_gb=8.0, omp_nthreads=2), None, None)
    people = [_Person([SimpleNamespace(recon=recon)]) for recon in (None, "recon-all")]
    declared = {
        "a": {"resources": {"memory": 4.0, "threads": 2.0}},
        "b": {"resources": {"memory": 9.0, "threads": 1.0}},
    }
    monkeypatch.setattr(crew.connection, "workers", lambda: declared)
    (said,) = crew._unmet(people)
    assert said.startswith("a person needs the resources memory 8 and threads 2 at once, and no worker")
    declared["c"] = {"resources": {"memory": 8.0, "threads": 2.0}}
    assert crew._unmet(people) == []
    declared.clear()
    assert crew._unmet(people) == []


class Lost:
    status = "cancelled"

    def done(self):
        return True


def test_a_scheduler_that_is_lost_again_and_again_ends_the_run(monkeypatch):
    crew = _Crew(Connection({}), None, None, logging.getLogger("test"))
    lost = Lost()
    monkeypatch.setattr(crew.connection, "open", lambda: None)
    for _ in range(RECONNECTIONS):
        assert crew._ended({lost: "person"}) == [(lost, "person")]
    with pytest.raises(SchedulerError, match="lost 6 times; the same command again"):
        crew._ended({lost: "person"})


class Stranger(socketserver.BaseRequestHandler):
    """A server that is no scheduler: it answers in its own words and stays."""

    def handle(self):
        while self.request.recv(4096):
            self.request.sendall(b"HTTP/1.0 400 Bad request\r\n" * 20)


def test_a_server_of_another_kind_is_no_scheduler(monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stranger) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(SchedulerError, match="no Dask scheduler"):
            Connection({"address": f"tcp://127.0.0.1:{server.server_address[1]}"}).open()
        server.shutdown()


def test_options_of_this_machine_are_refused_with_it(tmp_path):
    with pytest.raises(UsageError, match="--resource-monitor"):
        parse_config([str(tmp_path), "out", "participant", "--scheduler", "dask:tcp://h:1", "--resource-monitor"])


def test_nothing_of_dask_is_imported_without_it():
    code = (
        "import sys, bids_app.cli.carry_out, bids_app.workflows.dask_cluster, bids_app.workflows.dask_people\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('dask', 'distributed', 'dask_jobqueue')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
