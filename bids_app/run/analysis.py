"""The clinical statistics of a cohort: from the derivative dataset and the BIDS tables to result files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bids_app.bids.finding_files import add_findings
from bids_app.clinical.analysis import run_analysis
from bids_app.clinical.analysis_file import load_analysis
from bids_app.clinical.results import found_by, replace_results
from bids_app.clinical.scored_scans import ScoredScans
from bids_app.errors import NormvolError
from bids_app.normative.base import NormativeModel
from bids_app.normative.registry import load_model, model_names, split_name
from bids_app.run.citation import write_citation
from bids_app.run.cohort import cohort_with_clinical, every_visit_of, read_cohort
from bids_app.run.samples import Pool, read_samples, with_sample

# Volumes that the results on lesions show beside them
BESIDE_LESIONS = ("WM-hypointensities", "Left-Lateral-Ventricle", "Right-Lateral-Ventricle")


def scoring_model(cohort: ScoredScans, name: str) -> NormativeModel | None:
    """The model that scored the cohort, where it is at hand: the one named, or a packaged one; None otherwise."""
    used = set(cohort.scans["model"].dropna())
    recorded = (str(text).split()[0] for text in sorted(used))
    packaged = (text for text in recorded if set(split_name(text)) <= set(model_names()))
    for candidate in filter(None, dict.fromkeys((name, *packaged))):
        try:
            found = load_model(candidate)
        except NormvolError:
            continue
        if used == {f"{found.card.name} {found.card.version}"}:
            return found
    return None


def write_analyses(
    output_dir: Path,
    bids_dir: Path,
    analysis: str,
    *,
    exclude_quality: Iterable[str] = (),
    include_quality: Iterable[str] = (),
    participants_file: Path | None = None,
    model: str = "",
    pool: Path | None = None,
    salt: str | None = None,
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
    pool : Path, optional
        The file of ``--pool``: the samples that are analysed together instead of `output_dir` alone.
    salt : str, optional
        Of the labels in `output_dir`, where they are hashed.

    Raises
    ------
    InputError, UsageError
        When nothing was scored, or the analysis file is impossible.
    """
    quality = (tuple(exclude_quality), tuple(include_quality))
    if pool is None:
        cohort = read_cohort(output_dir, *quality)
        visits = every_visit_of(output_dir, bids_dir, participants_file, salt)
        clinical = cohort_with_clinical(cohort, bids_dir, participants_file, visits, salt)
    else:
        together = Pool.read(read_samples(pool), *quality)
        cohort, clinical, visits = together.scored(), together.clinical(), together.visits()
    clinical = _beside_lesions(clinical, cohort.volumes)
    config, text = load_analysis(analysis, clinical, visits)
    if pool is not None:
        config = with_sample(config, clinical)
        text = config.to_toml()
    results = run_analysis(
        clinical,
        cohort.zscores,
        config,
        visits=visits,
        expected=cohort.expected(),
        measured=cohort.measured(scoring_model(cohort, model)),
    )
    written = replace_results(output_dir, results, text)
    add_findings(output_dir, found_by(results))
    write_citation(output_dir, cohort.summaries, model, results)
    return written


def _beside_lesions(clinical: pd.DataFrame, volumes: pd.DataFrame) -> pd.DataFrame:
    """The clinical table with the volumes (same rows) that the results on lesions show, where it has no such column."""
    added = {name: volumes[name].to_numpy() for name in BESIDE_LESIONS if name in volumes and name not in clinical}
    return clinical.assign(**added)
