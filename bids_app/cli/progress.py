"""What a person sees while a run goes on: a bar on a terminal, one line per person in the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bids_app.errors import printable

LOGGER = "normvol"


def open_log(
    path: Path | None, verbose: int = 0, quiet: bool = False, shared: Callable[[str], str] = str
) -> logging.Logger:
    """The run's logger: to standard error (when `quiet`, only what went wrong), and to `path` when given.

    What goes to `path` goes through `shared` first.
    """
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [_TerminalHandler(logging.WARNING if quiet else logging.NOTSET)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    for handler in handlers:
        to_file = isinstance(handler, logging.FileHandler)
        handler.setFormatter(_Printable("%(asctime)s  %(message)s", "%H:%M:%S", shared if to_file else str))
        logger.addHandler(handler)
    return logger


class _Printable(logging.Formatter):
    """What data hold is shown, and never steers the terminal."""

    def __init__(self, form: str, times: str, shared: Callable[[str], str]) -> None:
        super().__init__(form, times)
        self._shared = shared

    def format(self, record: logging.LogRecord) -> str:
        return printable(self._shared(super().format(record)))


class _TerminalHandler(logging.Handler):
    """Writes through tqdm, so that lines and bar do not overwrite each other."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


class PeopleProgress:
    """nipype status callback that reports people, not nodes.

    Parameters
    ----------
    total : int
        People to process.
    names : dict
        Name of a person's sub-graph to ``sub-<label>``.
    """

    def __init__(self, total: int, names: dict[str, str]) -> None:
        from tqdm import tqdm

        self.names = names
        self.started: dict[str, float] = {}
        self.failed: set[str] = set()
        self.log = logging.getLogger(LOGGER)
        quiet = any(isinstance(handler, _TerminalHandler) and handler.level for handler in self.log.handlers)
        # None: no bar where standard error is no terminal
        self.bar = tqdm(total=total, unit="person", disable=quiet or None, file=sys.stderr, leave=False)

    def __call__(self, node: Any, event: str) -> None:
        person = next((self.names[part] for part in node.fullname.split(".") if part in self.names), None)
        if person is None:
            return
        # What ran elsewhere says how long ago it began.
        self.started.setdefault(person, time.monotonic() - getattr(node, "seconds_ago", 0.0))
        if event == "exception" and person not in self.failed:
            self.failed.add(person)
            self.bar.update()
            self.log.warning("%s  failed in %s", person, node.name)
        elif event == "end" and node.name == "report" and person not in self.failed:
            self.bar.update()
            self.log.info("%s  finished in %.1f s", person, time.monotonic() - self.started[person])

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()
