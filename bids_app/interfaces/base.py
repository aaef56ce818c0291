"""What all our interfaces share."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nipype.interfaces.base import SimpleInterface

from bids_app.errors import CovariateError, NormvolError, UnusableTreeError

# Begins the line that carries an error's two fields in the text of a traceback, whichever plugin ran the node.
UNFIT = (CovariateError, UnusableTreeError)
HANDED_OVER = "normvol-error: "


def hand_over(error: NormvolError) -> NormvolError:
    """Write the error's fields into its traceback, which is all that nipype takes from one process to another."""
    error.add_note(
        HANDED_OVER + json.dumps({"reason": error.reason, "remedy": error.remedy, "unfit": isinstance(error, UNFIT)})
    )
    return error


class LibraryInterface(SimpleInterface):
    """An interface whose `_call` returns the outputs as a mapping; one call into the library each."""

    # Modules that `_call` imports, so that worker processes can be forked with them in memory
    libraries: tuple[str, ...] = ()

    def _run_interface(self, runtime):
        try:
            self._results.update(self._call(Path(runtime.cwd if runtime else os.getcwd())))
        except NormvolError as error:
            raise hand_over(error)  # noqa: B904 (the same error)
        return runtime

    def _call(self, folder: Path) -> dict:
        raise NotImplementedError
