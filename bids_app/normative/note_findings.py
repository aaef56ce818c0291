"""What an engine notes about a scan's covariates, as findings: the notes that can change a number, by kind."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bids_app.findings import Finding

# What the sentences of `normative.covariates`, of the engines and of adaptations hold, to the kind of finding.
KINDS = {
    r"age (\S+ )?is outside": "outside-age-range",
    r"age or intracranial volume is outside": "outside-age-range",
    r"(intracranial volume|EstimatedTotalIntraCranialVol) .* is outside": "outside-etiv-range",
    r"only \d+ (fe)?male people of": "few-of-that-age",
    r"FreeSurfer \S+ is not among the versions": "outside-versions",
    r"no (fe)?male control was scanned": "controls-of-one-sex",
    r"thickness is beyond": "surfaces-failed",
    r"some regions were trained on a narrower range": "outside-age-range",
}
_SENTENCES = re.compile(r"(?<=\.) +(?=[A-Za-z])")


def sentences_of(note: str) -> list[str]:
    """The single sentences of a scan's note."""
    return [sentence for sentence in _SENTENCES.split(note) if sentence]


def kind_of(sentence: str) -> str | None:
    """The kind of finding that a sentence of a note is; None for a harmless remark."""
    return next((kind for pattern, kind in KINDS.items() if re.search(pattern, sentence)), None)


def note_findings(notes: Iterable[str]) -> list[Finding]:
    """The findings in the notes on a scan."""
    sentences = [sentence for note in notes for sentence in sentences_of(note)]
    return [Finding(kind, sentence.rstrip(".")) for sentence in sentences if (kind := kind_of(sentence))]
