"""Turn errors into one sentence and an exit code; a traceback is left for bugs."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from bids_app.cli import exitcodes
from bids_app.errors import NormvolError, UsageError


def guarded(call: Callable[[], int]) -> int:
    """Run `call`; print what a user must know of an error and return the exit code."""
    prepare_environment()
    try:
        with _stoppable():
            return call()
    except UsageError as error:
        print(f"normvol: {error}", file=sys.stderr)
        return exitcodes.USAGE
    except NormvolError as error:
        print(f"normvol: {error}", file=sys.stderr)
        return exitcodes.INPUT
    except PermissionError as error:
        print(f"normvol: no permission for {error.filename}; choose a folder that can be written", file=sys.stderr)
        return exitcodes.INPUT
    except BrokenPipeError:
        sys.stderr.close()
        return exitcodes.OK
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"normvol: the system refused: {error.strerror or error}{where}; check that disk and folders can be "
              "used, then run the same command again", file=sys.stderr)
        return exitcodes.FAILED
    except KeyboardInterrupt:
        print("normvol: interrupted; run the same command again to continue", file=sys.stderr)
        return exitcodes.INTERRUPTED


@contextmanager
def _stoppable() -> Iterator[None]:
    """A scheduler's SIGTERM and a closed terminal's SIGHUP end the run as Ctrl-C does."""
    previous = {}
    if threading.current_thread() is threading.main_thread():
        # What somebody ignores on purpose (nohup) stays ignored.
        previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
                    if signal.getsignal(number) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # A second signal must not interrupt the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def prepare_environment() -> None:
    """No telemetry, and caches of libraries in a temporary folder where HOME cannot be written."""
    os.environ.setdefault("NO_ET", "1")
    os.environ.setdefault("TEMPLATEFLOW_AUTOUPDATE", "off")
    os.environ.setdefault("MPLBACKEND", "Agg")
    home = Path(os.environ.get("HOME") or "/nonexistent")
    if not os.access(home, os.W_OK):
        cache = Path(tempfile.gettempdir()) / f"normvol-cache-{os.getuid()}"
        try:
            cache.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            return
        for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "NIPYPE_CONFIG_DIR"):
            os.environ.setdefault(name, str(cache))
