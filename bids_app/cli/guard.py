"""Turn errors into one sentence and an exit code; a traceback is left for bugs."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bids_app.cli import exitcodes
from bids_app.errors import NormvolError, UsageError


def guarded(call: Callable[[], int]) -> int:
    """Run `call`; print what a user must know of an error and return the exit code."""
    prepare_environment()
    try:
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
    except KeyboardInterrupt:
        print("normvol: interrupted; run the same command again to continue", file=sys.stderr)
        return exitcodes.INTERRUPTED


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
