"""Pages that Typst makes, here or in a process of its own, which imports nothing but what that takes.

Typst (its SVG engine is resvg) draws with the fonts that matplotlib brings: no system package, no system font, and the
same bytes from the same text.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from bids_app.processes import WORKER_KILLED

KEPT_COMPILATIONS = 11
MANY_BYTES = 300_000

# A page as Typst's markup with the SVG that it shows, the format, and dots per inch; the file's bytes
Typesetter = Callable[[str, str, str, float], bytes]
_callers: set[int] = set()


def typeset(page: str, svg: str, file_format: str, dpi: float) -> bytes:
    """What Typst makes of a page with ``f.svg``; no file is written, so that none can stay.

    Parameters
    ----------
    page : str
        Typst's markup.
    svg : str
        Text of ``f.svg``.
    file_format : {'pdf', 'png'}
    dpi : float
        Resolution of a PNG.
    """
    # Typst's threads do not survive a fork, so that a call in a child would wait for them for ever
    if _callers <= {os.getpid()}:
        _callers.add(os.getpid())
        return _compiled(page, svg, file_format, dpi)
    with typeset_apart() as fresh:
        return fresh(page, svg, file_format, dpi)


@contextmanager
def typeset_apart() -> Iterator[Typesetter]:
    """Inside, `typeset` in one process of its own, which ends with the block: what it needed of memory goes with it.

    It is no child of multiprocessing, which would import the program that called again. The process begins with the
    first page.

    Raises
    ------
    RuntimeError
        When Typst cannot make a page, or the process was killed from outside.
    """
    started: list[subprocess.Popen[bytes]] = []

    def ask(page: str, svg: str, file_format: str, dpi: float) -> bytes:
        if not started:
            started.append(_start())
        return _answer(started[0], json.dumps((page, svg, file_format, dpi)))

    try:
        yield ask
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", __name__]
    package = str(Path(__file__).resolve().parents[3])  # where the first entry is "", it was that of another folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, package]))}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _answer(process: subprocess.Popen[bytes], question: str) -> bytes:
    """The bytes of a page that is asked for in one line; they come after a line with their number or an error."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(question.encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError as error:
        raise RuntimeError(WORKER_KILLED) from error
    told = process.stdout.readline()
    if not told:
        raise RuntimeError(WORKER_KILLED)
    size, problem = json.loads(told)
    result = process.stdout.read(size)
    if problem:
        raise RuntimeError(problem)
    if len(result) < size:
        raise RuntimeError(WORKER_KILLED)
    return result


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer what `typeset_apart` asks until it asks no more."""
    for line in questions:
        problem, result = None, b""
        try:
            result = _compiled(*json.loads(line))
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        answers.write(json.dumps((len(result), problem)).encode() + b"\n" + result)
        answers.flush()


def _compiled(page: str, svg: str, file_format: str, dpi: float) -> bytes:
    import typst

    folder, fonts = _fonts()
    result: bytes = typst.compile(
        {"main.typ": page.encode(), "f.svg": svg.encode()}, root=folder, format=file_format, ppi=dpi, font_paths=fonts
    )
    # Typst keeps the pixels of a page for some compilations more, and a brain map has 18 MB of them
    for _ in range(KEPT_COMPILATIONS if len(result) > MANY_BYTES else 0):
        typst.compile(b"", root=folder, format="svg", font_paths=fonts)
    return result


@lru_cache(maxsize=1)
def _fonts():
    """Matplotlib's fonts: their folder, and what Typst needs of them."""
    import typst

    # To import all of matplotlib for the name of its folder takes longer than to draw a chart
    folder = str(Path(str(find_spec("matplotlib").origin)).with_name("mpl-data") / "fonts" / "ttf")
    return folder, typst.Fonts(include_system_fonts=False, font_paths=[folder])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, and the pipe ends with it
    serve(sys.stdin.buffer, sys.stdout.buffer)
