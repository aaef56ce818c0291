"""Write the table of other apps' options in docs/usage.md from ``bids_app/data/nipreps_options.tsv``."""

from __future__ import annotations

from pathlib import Path

from bids_app.cli.nipreps import option_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "usage.md"
HEADING = "## Options of fMRIPrep, sMRIPrep and MRIQC\n"
WORDS = """
They may stay in a command line: each is the same as one of ours, has no effect (a remark says so), or is refused
with what to use instead.

"""


def section() -> str:
    """The section: heading, one sentence, one row per option."""
    return HEADING + WORDS + option_table()


def main() -> None:
    """Replace the section at the end of the page."""
    page = PAGE.read_text().partition(HEADING)[0].rstrip()
    PAGE.write_text(f"{page}\n\n{section()}")


if __name__ == "__main__":
    main()
