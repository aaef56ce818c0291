"""What recon-all's scripts call beyond FreeSurfer itself, and its Debian packages (``data/recon_programs.tsv``)."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from bids_app.tables import read_table


@lru_cache(maxsize=1)
def packages() -> dict[str, str]:
    """Program or library to its Debian package."""
    table = read_table(str(files("bids_app.data") / "recon_programs.tsv"), text=True)
    return dict(zip(table["program"], table["package"], strict=True))


def package_of(program: str) -> str | None:
    """The Debian package that a program is in; None for programs that are not in the table."""
    return packages().get(program)
