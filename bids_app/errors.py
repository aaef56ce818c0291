"""The one hierarchy of errors that a user may see.

Every message is a sentence that says what is wrong, in which file, and what to do.
A traceback that reaches the user is a bug.
"""


class NormvolError(Exception):
    """Base of all errors with a sentence for the user."""


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


class ReconAllError(NormvolError):
    """recon-all could not be started or did not finish."""


class ModelError(NormvolError):
    """A normative model file is damaged, unknown or does not fit the data."""


class AnalysisError(NormvolError):
    """A statistical analysis cannot be computed from the data given."""
