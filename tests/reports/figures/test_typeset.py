"""Typst in a process of its own gives what it gives here, says what is wrong, and ends with its block."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from bids_app.processes import WORKER_KILLED
from bids_app.reports.figures.typeset import serve, typeset, typeset_apart

SIMPLE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="30" viewBox="0 0 80 30">'
    '<rect width="80" height="30" fill="#fff"/><text x="4" y="20" font-family="DejaVu Sans">5 mm\u00b3 \u2212 2</text>'
    "</svg>"
)
PAGE = '#set document(date: none)\n#set page(width: 20mm, height: 8mm, margin: 0pt)\n#image("f.svg", width: 100%)'


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "bids_app.reports.figures.typeset" in child.cmdline()]


@pytest.mark.parametrize("file_format", ["png", "pdf"])
def test_a_process_of_its_own_gives_the_same_bytes(file_format):
    here = typeset(PAGE, SIMPLE, file_format, 96.0)
    with typeset_apart() as apart:
        assert [apart(PAGE, SIMPLE, file_format, 96.0) for _ in range(2)] == [here, here]


def test_one_process_serves_a_whole_block_and_ends_with_it():
    with typeset_apart() as apart:
        assert children() == []  # nothing was asked yet
        apart(PAGE, SIMPLE, "png", 96.0)
        first = children()
        apart(PAGE, SIMPLE, "pdf", 96.0)
        assert children() == first
        assert len(first) == 1
    assert children() == []


def test_what_typst_cannot_make_is_said_and_the_next_page_is_made():
    with typeset_apart() as apart:
        with pytest.raises(RuntimeError, match="unknown variable: nothing"):
            apart("#nothing", SIMPLE, "png", 96.0)
        assert apart(PAGE, SIMPLE, "png", 96.0).startswith(b"\x89PNG")


def test_a_process_that_was_killed_is_a_killed_worker():
    with typeset_apart() as apart:
        apart(PAGE, SIMPLE, "png", 96.0)
        (process,) = children()
        process.send_signal(signal.SIGKILL)
        psutil.wait_procs([process], timeout=20)
        with pytest.raises(RuntimeError, match=WORKER_KILLED):
            apart(PAGE, SIMPLE, "png", 96.0)


def fail_in_a_block() -> None:
    with typeset_apart() as apart:
        apart(PAGE, SIMPLE, "png", 96.0)
        raise KeyError


def test_the_block_that_fails_leaves_no_process():
    with pytest.raises(KeyError):
        fail_in_a_block()
    assert children() == []


def test_questions_are_answered_one_by_one_with_their_size():
    questions = io.BytesIO(
        b"".join(json.dumps(q).encode() + b"\n" for q in ((PAGE, SIMPLE, "png", 96.0), ("#x", "", "png", 96.0)))
    )
    answers = io.BytesIO()
    serve(questions, answers)
    first, _, rest = answers.getvalue().partition(b"\n")
    size, problem = json.loads(first)
    assert problem is None
    assert rest[:size] == typeset(PAGE, SIMPLE, "png", 96.0)
    size, problem = json.loads(rest[size:])
    assert size == 0
    assert "unknown variable" in problem


def test_a_worker_that_was_forked_after_a_page_makes_one_apart():
    here = typeset(PAGE, SIMPLE, "png", 96.0)
    reader, writer = os.pipe()
    forked = os.fork()
    if forked == 0:
        try:
            os.write(writer, typeset(PAGE, SIMPLE, "png", 96.0))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        assert stream.read() == here
    os.waitpid(forked, 0)


def test_it_is_found_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", ["", *(entry for entry in sys.path if not (Path(entry) / "bids_app").is_dir())])
    monkeypatch.chdir(tmp_path)
    with typeset_apart() as apart:
        assert apart(PAGE, SIMPLE, "png", 96.0).startswith(b"\x89PNG")
