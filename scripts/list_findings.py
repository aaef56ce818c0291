"""Write docs/findings.md: every kind of finding, from bids_app/data/findings.tsv.

python scripts/list_findings.py
"""

from __future__ import annotations

from pathlib import Path

from bids_app.findings import kinds

DOCUMENT = Path(__file__).parent.parent / "docs" / "findings.md"
HEAD = """# Findings

A finding is something that was seen and can change a number. Every finding says what was seen, what it does to the
result and what to do. Findings of a scan are in `logs/findings/sub-X[_ses-Y].tsv` and, under `findings`, in its
`desc-summary_morph.json`; those of the dataset as a whole are in `logs/findings/dataset.tsv`. All of them are in
`group_findings.tsv`, are summed up at the end of the command, and stand at the top of the person's and the group's
report. This page is made from `bids_app/data/findings.tsv` by `scripts/list_findings.py`.
"""


def page() -> str:
    """The whole page."""
    parts = [
        f"## `{kind.kind}`: {kind.title}\n\n{kind.meaning}.\n\n* Effect: {kind.effect}.\n* What to do: {kind.remedy}.\n"
        for kind in kinds().values()
    ]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    DOCUMENT.write_text(page(), encoding="utf-8")
