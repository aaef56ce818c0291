"""What commands show: nothing that data hold steers the terminal."""

from __future__ import annotations

import sys

from bids_app.errors import printable

# The last words of every command that fills an output folder
STATUS_LINE = "all that is done and why the rest is not: normvol-status {}"


def show(text: object) -> None:
    """Print to standard output."""
    print(printable(str(text)), flush=True)


def tell(text: object) -> None:
    """Print to standard error."""
    print(printable(str(text)), file=sys.stderr, flush=True)
