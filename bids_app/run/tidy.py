"""The tidy tables of a run: what the participant level wrote per scan, one scan under the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pandas as pd

from bids_app.bids.names import derivative_parts
from bids_app.clinical.analysis_file import AUTO, SCORES, load_analysis
from bids_app.clinical.scored_scans import KEYS, ScoredScans
from bids_app.clinical.tidy import write_tidy
from bids_app.errors import InputError
from bids_app.run.cohort import cohort_with_clinical, every_visit_of, read_cohort
from bids_app.run.samples import Pool

# region, value, expected, z, z_se, centile, deviation, in_range
CELLS = 8


def write_tidy_tables(
    output_dir: Path,
    bids_dir: Path,
    quality: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    *,
    participants_file: Path | None = None,
    analysis: str | None = None,
    pool: Pool | None = None,
    salt: str | None = None,
) -> list[Path]:
    """Write ``group_long`` and ``group_scans`` of a folder, or of the samples of `pool` together.

    Raises
    ------
    InputError
        When a table of a scan is damaged, or the dataset's own tables cannot be read.
    """
    if pool is None:
        scored = read_cohort(output_dir, *quality)
        visits = None if analysis is None else every_visit_of(output_dir, bids_dir, participants_file, salt)
        clinical = cohort_with_clinical(scored, bids_dir, participants_file, visits, salt)
        cohorts: tuple[ScoredScans, ...] = (scored,)
    else:
        scored, clinical = pool.scored(), pool.clinical()
        cohorts = pool.cohorts
    rows = chain.from_iterable(map(scan_regions, cohorts))
    return write_tidy(scored, output_dir, clinical, _scores_of(clinical, analysis), rows)


def _scores_of(clinical: pd.DataFrame, analysis: str | None) -> list[str]:
    """The columns that play the role of a clinical score, in the order of the roles."""
    config, _ = load_analysis(analysis or AUTO, clinical)
    return [str(config.roles[role]) for role in SCORES if config.column(role) in clinical]


def scan_regions(scored: ScoredScans) -> Iterator[list[str]]:
    """The rows of every scan that was read from its tables, as text with the columns that `tidy.write_tidy` takes."""
    assert scored.tables is not None
    for number, (participant, session) in enumerate(scored.scans[KEYS].itertuples(index=False, name=None)):
        rows: list[str] = []
        for desc, text in scored.tables.of_scan(number):
            lines = text.splitlines()
            if text.count("\t") != (CELLS - 1) * len(lines):
                name = derivative_parts(participant, session if isinstance(session, str) else None, desc)[-1]
                raise InputError(
                    f"a row of {name} has another number of cells", "run the participant level again for it"
                )
            rows += lines[1:]
        yield rows
