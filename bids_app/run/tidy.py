"""The tidy tables of a run: what the participant level wrote per scan, one scan under the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from bids_app.bids.derivatives import ScanKey
from bids_app.bids.names import derivative_path
from bids_app.clinical.analysis_file import AUTO, SCORES, load_analysis
from bids_app.clinical.scored_scans import KEYS, ScoredScans
from bids_app.clinical.tidy import write_tidy
from bids_app.errors import InputError
from bids_app.regions import measure_of, unit_of
from bids_app.run.cohort import cohort_with_clinical, read_cohort
from bids_app.run.samples import Pool
from bids_app.run.scan import SURFACE_TABLES

ALWAYS = ("deviations", "extended", "asymmetry")
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
) -> list[Path]:
    """Write ``group_long`` and ``group_scans`` of a folder, or of the samples of `pool` together.

    Raises
    ------
    InputError
        When a table of a scan is damaged, or the dataset's own tables cannot be read.
    """
    if pool is None:
        scored = read_cohort(output_dir, *quality)
        clinical = cohort_with_clinical(scored, bids_dir, participants_file)
        sources = [(output_dir, scored)]
    else:
        scored, clinical = pool.scored(), pool.clinical()
        sources = [(sample.output_dir, cohort) for sample, cohort in zip(pool.samples, pool.cohorts, strict=True)]
    rows = (rows for folder, cohort in sources for rows in scan_regions(folder, cohort))
    return write_tidy(scored, output_dir, clinical, _scores_of(clinical, analysis), rows)


def _scores_of(clinical: pd.DataFrame, analysis: str | None) -> list[str]:
    """The columns that play the role of a clinical score, in the order of the roles."""
    config, _ = load_analysis(analysis or AUTO, clinical)
    return [str(config.roles[role]) for role in SCORES if config.column(role) in clinical]


def scan_regions(folder: Path, scored: ScoredScans) -> Iterator[list[str]]:
    """The rows of every scan of a folder in the order of `scored`, as text with the columns `tidy.MEASURED`."""
    for participant, session in scored.scans[KEYS].itertuples(index=False, name=None):
        yield _regions_of(folder, (participant, session if isinstance(session, str) else None))


def _regions_of(folder: Path, key: ScanKey) -> list[str]:
    found: list[str] = []
    for desc in (*ALWAYS, *SURFACE_TABLES):
        path = derivative_path(folder, *key, desc=desc)
        if desc in ALWAYS or path.exists():
            found += _lines(path)
    return found


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path} ({error})", "run the participant level again for this scan") from error
    out = []
    for line in lines:
        region, *values = line.split("\t")
        if len(values) != CELLS - 1:
            raise InputError(f"a row of {path} has another number of cells", "run the participant level again for it")
        out.append("\t".join((region, measure_of(region), unit_of(region), *values)))
    return out
