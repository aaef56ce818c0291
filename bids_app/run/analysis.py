"""The clinical statistics of a cohort: from the derivative dataset and the BIDS tables to result files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bids_app.bids.layout import Scan
from bids_app.bids.names import bare
from bids_app.bids.phenotypes import clinical_table
from bids_app.clinical.analysis import run_analysis
from bids_app.clinical.analysis_file import load_analysis
from bids_app.clinical.results import replace_results
from bids_app.clinical.scored_scans import ScoredScans
from bids_app.run.citation import write_citation
from bids_app.run.cohort import read_cohort


def write_analyses(
    output_dir: Path,
    bids_dir: Path,
    analysis: str,
    *,
    exclude_quality: Iterable[str] = (),
    include_quality: Iterable[str] = (),
    participants_file: Path | None = None,
    model: str = "",
) -> list[Path]:
    """Run every analysis that the cohort allows and write one ``group_<name>.tsv`` and ``.json`` each.

    Results of an earlier run are removed first. What was analysed how is written to ``analysis.toml``,
    which is itself a file for ``--analysis``.

    Parameters
    ----------
    analysis : str
        Path of a TOML file, or ``auto``.
    model : str
        Name or path of the model, for CITATION.md.

    Raises
    ------
    InputError, UsageError
        When nothing was scored, or the analysis file is impossible.
    """
    cohort = read_cohort(output_dir, exclude_quality, include_quality)
    clinical = cohort_with_clinical(cohort, bids_dir, participants_file)
    config, text = load_analysis(analysis, clinical)
    visits = clinical_table(bids_dir, participants_file=participants_file)
    results = run_analysis(clinical, cohort.zscores, config, visits=visits, expected=cohort.expected())
    written = replace_results(output_dir, results, text)
    write_citation(output_dir, cohort.summaries, model, results)
    return written


def cohort_with_clinical(cohort: ScoredScans, bids_dir: Path, participants_file: Path | None = None) -> pd.DataFrame:
    """One row per scored scan: covariates and counts as scored, then every other column of the BIDS tables."""
    scans = [
        Scan(
            bare(row["participant_id"], "sub"),
            bare(row["session_id"], "ses") if isinstance(row["session_id"], str) else None,
        )
        for row in cohort.scans.to_dict("records")
    ]
    clinical = clinical_table(bids_dir, scans, participants_file=participants_file)
    scored = cohort.scans.drop(columns=["group", "site"], errors="ignore")
    added = [name for name in clinical.columns if name not in scored.columns]
    return pd.concat([scored.reset_index(drop=True), clinical[added].reset_index(drop=True)], axis=1)
