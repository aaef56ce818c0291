"""Turn errors into one sentence and an exit code; a traceback is left for bugs."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from bids_app.cli import exitcodes
from bids_app.cli.words import tell
from bids_app.errors import NormvolError, UsageError
from bids_app.processes import full_places, temporary_folder

# What the system says of a path that nothing can have
NO_SUCH_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)


def guarded(call: Callable[[], int]) -> int:
    """Run `call`; print what a user must know of an error and return the exit code."""
    try:
        with _environment(), _stoppable():
            return call()
    except UsageError as error:
        tell(f"normvol: {error}")
        return exitcodes.USAGE
    except NormvolError as error:
        tell(f"normvol: {error}")
        return exitcodes.INPUT
    except PermissionError as error:
        tell(f"normvol: {_forbidden(error)}")
        return exitcodes.INPUT
    except BrokenPipeError:
        sys.stderr.close()
        return exitcodes.OK
    except (BlockingIOError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "start new thread" not in str(error):
            raise
        tell(
            "normvol: the system gives this run no further process, thread or memory; allow more (ulimit, scheduler) "
            "or give a smaller --nprocs, then run the same command again"
        )
        return exitcodes.FAILED
    except OSError as error:
        if error.errno == errno.EROFS:
            tell(
                f"normvol: {error.filename} lies in a place that is read-only now; make it writable, then run the same "
                "command again"
            )
            return exitcodes.FAILED
        if error.errno in NO_SUCH_PATH:
            tell(f"normvol: {error.strerror}: {str(error.filename)[:200]}; check the path")
            return exitcodes.INPUT
        full = full_places([Path(error.filename).parent] if error.filename else [])
        if full:  # nipype passes over a full disk and misses later what it could not write
            tell(f"normvol: no room is left in {' and '.join(full)} (bytes or inodes); make room")
            return exitcodes.FAILED
        where = f" ({error.filename})" if error.filename else ""
        tell(
            f"normvol: the system refused: {error.strerror or error}{where}; check that disk and folders can be "
            "used, then run the same command again"
        )
        return exitcodes.FAILED
    except KeyboardInterrupt:
        tell("normvol: interrupted; run the same command again to continue")
        return exitcodes.INTERRUPTED


def _forbidden(error: PermissionError) -> str:
    """What was not permitted: a system call that reads a folder or file, or one that writes."""
    place = Path(os.fsdecode(error.filename)) if error.filename else None
    if place is not None and os.path.lexists(place) and not os.access(place, os.R_OK):
        return f"{place} cannot be read ({error.strerror}); check its permissions"
    return f"no permission for {error.filename}; choose a folder that can be written"


def leave(code: int) -> int:
    """Leave the program; after an interruption at once, for threads of libraries may wait for workers that are gone."""
    if code == exitcodes.INTERRUPTED:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    return code


@contextmanager
def _stoppable() -> Iterator[None]:
    """A scheduler's SIGTERM and a closed terminal's SIGHUP end the run as Ctrl-C does."""
    previous = {}
    if threading.current_thread() is threading.main_thread():
        # What somebody ignores on purpose (nohup) stays ignored.
        previous = {
            number: signal.signal(number, _interrupt)
            for number in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) == signal.SIG_DFL
        }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # A second signal must not interrupt the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _environment() -> Iterator[None]:
    """No telemetry, and caches of libraries in a folder of this run's own where HOME cannot be written."""
    settings = {"NO_ET": "1", "TEMPLATEFLOW_AUTOUPDATE": "off", "MPLBACKEND": "Agg"}
    cache = None
    if not os.access(os.environ.get("HOME") or "/nonexistent", os.W_OK):
        with suppress(OSError):
            cache = str(temporary_folder("normvol-cache-"))
            settings.update(dict.fromkeys(("MPLCONFIGDIR", "XDG_CACHE_HOME", "NIPYPE_CONFIG_DIR"), cache))
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        if cache is not None:
            shutil.rmtree(cache, ignore_errors=True)
