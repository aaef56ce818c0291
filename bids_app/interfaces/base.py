"""What all our interfaces share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nipype.interfaces.base import SimpleInterface, isdefined

from bids_app.errors import CovariateError, NormvolError, UnusableTreeError

UNFIT = (CovariateError, UnusableTreeError)
# Begins the line that carries an error's fields in the text of a traceback, whichever plugin ran the node.
HANDED_OVER = "normvol-error: "


def given(value: Any) -> Any:
    """The value of an input; None where it was not set."""
    return value if isdefined(value) else None


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

    @classmethod
    def prepare(cls) -> None:
        """Do once, before worker processes are forked, what each of them would do first."""

    def _run_interface(self, runtime):
        try:
            self._results.update(self._call(Path(runtime.cwd if runtime else os.getcwd())))
        except NormvolError as error:
            raise hand_over(error)  # noqa: B904 (the same error)
        return runtime

    def _call(self, folder: Path) -> dict:
        raise NotImplementedError
