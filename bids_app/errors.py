"""The one hierarchy of errors that a user may see.

Every error says what is wrong and in which file (`reason`), and what to do about it (`remedy`).
A traceback that reaches the user is a bug.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

# with signs that turn the direction of text, and bytes that are no text
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]")


class NormvolError(Exception):
    """Base of all errors with a sentence for the user.

    Parameters
    ----------
    reason : str
        What is wrong, and in which file.
    remedy : str
        What to do; empty where the reason says it all.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return printable(f"{self.reason}; {self.remedy}" if self.remedy else self.reason)


def printable(text: str) -> str:
    """`text` as a terminal may show it: control characters, which data can hold, are spelt out."""
    return _CONTROL.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class UsageError(NormvolError):
    """The command line or configuration file asks for something impossible."""


class InputError(NormvolError):
    """A file or folder that the user gave cannot be used."""


class BIDSError(InputError):
    """The BIDS dataset or one of its tables cannot be used."""


class CovariateError(InputError):
    """Age, sex or intracranial volume of a scan is missing or unreadable."""


class FreeSurferError(InputError):
    """A FreeSurfer subject directory or one of its files cannot be used."""


class StatsFileError(FreeSurferError):
    """A FreeSurfer stats file is damaged, truncated or of an unknown form."""


class UnusableTreeError(FreeSurferError):
    """A subject directory that was there before the run is not complete, or another person's: its scan is left out."""


class ReconAllError(NormvolError):
    """recon-all could not be started or did not finish."""


class ModelError(NormvolError):
    """A normative model file is damaged, unknown or does not fit the data."""


class AnalysisError(NormvolError):
    """A statistical analysis cannot be computed from the data given."""


class SchedulerError(NormvolError):
    """A cluster's scheduler (Slurm, Dask) is not there, or refused."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean X?`` for the known word nearest to a misspelt one; empty when none is near."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return f"did you mean {by_lower[near[0]]}?" if near else ""
