"""What all our interfaces share."""

from __future__ import annotations

import os
from pathlib import Path

from nipype.interfaces.base import SimpleInterface


class LibraryInterface(SimpleInterface):
    """An interface whose `_call` returns the outputs as a mapping; one call into the library each."""

    # Modules that `_call` imports, so that worker processes can be forked with them in memory
    libraries: tuple[str, ...] = ()

    def _run_interface(self, runtime):
        self._results.update(self._call(Path(runtime.cwd if runtime else os.getcwd())))
        return runtime

    def _call(self, folder: Path) -> dict:
        raise NotImplementedError
