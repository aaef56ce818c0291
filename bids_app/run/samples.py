"""Samples that were scored alike in folders of their own, taken together at the group level (``--pool``).

Their file is TOML: a table ``[samples.NAME]`` per sample with ``bids_dir`` and ``output_dir``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from bids_app.bids.finding_files import read_findings
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.scored_scans import ScoredScans
from bids_app.clinical.values import labels, level_key
from bids_app.errors import UsageError
from bids_app.findings import Finding
from bids_app.run.alike import refuse_mixed
from bids_app.run.cohort import cohort_with_clinical, read_clinical, read_cohort, scans_of
from bids_app.run.disguised import phenotype_findings_of
from bids_app.settings import from_plain, refuse_unknown
from bids_app.tables import read_toml

SAMPLE = "sample"
PERSON = "participant_id"


@dataclass(frozen=True)
class Sample:
    """One of the samples: the dataset that has its clinical columns, and the folder with its results."""

    bids_dir: Path
    output_dir: Path
    participants_file: Path | None = None
    name: str = ""


@dataclass(frozen=True)
class _Names:
    """What the people of a sample are called where all are together."""

    prefix: str = ""

    def of(self, label: str) -> str:
        return f"sub-{self.prefix}{label.removeprefix('sub-')}"

    def table(self, table: pd.DataFrame, sample: str | None = None) -> pd.DataFrame:
        """A table of the sample under these names, with the sample's name as a column where it is given."""
        named = table.assign(**{PERSON: [self.of(label) for label in table[PERSON]]}) if PERSON in table else table
        if sample is None:
            return named
        named = named.drop(columns=SAMPLE, errors="ignore")
        named.insert(2 if PERSON in named else len(named.columns), SAMPLE, sample)
        return named


def read_samples(path: Path) -> tuple[Sample, ...]:
    """The samples of a file of ``--pool``, in its order; relative paths are beside the file.

    Raises
    ------
    UsageError
        When it is not such a file, names fewer than two samples, or a folder that is not there.
    """
    content = read_toml(path)
    refuse_unknown(content, ("samples",), f"{path}: ", "table")
    tables = content.get("samples")
    if not isinstance(tables, dict) or len(tables) < 2:
        raise UsageError(f"{path} names fewer than two samples", "write a table [samples.NAME] for each")
    return tuple(_sample(name, values, path) for name, values in tables.items())


def _sample(name: str, values: object, path: Path) -> Sample:
    where = f"{path}, [samples.{name}]"
    if not re.fullmatch(r"[A-Za-z0-9]+", name):
        raise UsageError(f"{where}: the name of a sample has only letters and digits", "such as [samples.trial]")
    if not isinstance(values, dict) or "name" in values:
        raise UsageError(f"{where}: bids_dir and output_dir are needed")
    lacking = [key for key in ("bids_dir", "output_dir") if key not in values]
    if lacking:
        raise UsageError(f"{where}: {' and '.join(lacking)} lacking", "each sample has bids_dir and output_dir")
    given = from_plain(Sample, {**values, "name": name}, where)
    people = given.participants_file
    bids_dir, output_dir = (path.parent / folder.expanduser() for folder in (given.bids_dir, given.output_dir))
    file = None if people is None else path.parent / people.expanduser()
    absent = [str(place) for place in (bids_dir, output_dir, file) if place is not None and not place.exists()]
    if absent:
        raise UsageError(f"{where}: {absent[0]} does not exist", "check the path")
    return Sample(bids_dir, output_dir, file, name)


@dataclass(frozen=True)
class Pool:
    """The samples with what each holds, and what their people are called where all are together."""

    samples: tuple[Sample, ...]
    cohorts: tuple[ScoredScans, ...]
    names: tuple[_Names, ...]

    @classmethod
    def read(
        cls, samples: Sequence[Sample], exclude_quality: Iterable[str] = (), include_quality: Iterable[str] = ()
    ) -> Pool:
        """Read what the participant level wrote for each sample (`read_cohort`).

        A label that two samples use is nobody in particular: then every label gets its sample's name in front.

        Raises
        ------
        InputError
            When a sample holds no scored scan, or they were not scored alike.
        """
        quality = (tuple(exclude_quality), tuple(include_quality))
        cohorts = tuple(read_cohort(sample.output_dir, *quality) for sample in samples)
        refuse_mixed([summary for cohort in cohorts for summary in cohort.summaries], samples=True)
        people = Counter(label for cohort in cohorts for label in {*cohort.scans[PERSON], *cohort.inclusion[PERSON]})
        shared = any(number > 1 for number in people.values())
        return cls(tuple(samples), cohorts, tuple(_Names(sample.name if shared else "") for sample in samples))

    def scored(self) -> ScoredScans:
        """The scored scans of all samples; the tables on scans say in ``sample`` where each is from."""
        parts = list(zip(self.samples, self.cohorts, self.names, strict=True))
        summaries = [
            {**summary, PERSON: called.of(summary[PERSON])}
            for _, cohort, called in parts
            for summary in cohort.summaries
        ]
        measures = {
            name: _stacked([called.table(getattr(cohort, name)) for _, cohort, called in parts])
            for name in ("zscores", "extended", "volumes")
        }
        about = {
            name: _stacked([called.table(getattr(cohort, name), sample.name) for sample, cohort, called in parts])
            for name in ("scans", "inclusion", "origin")
        }
        return ScoredScans(summaries=tuple(summaries), **measures, **about)

    def clinical(self) -> pd.DataFrame:
        """Covariates, counts and clinical columns of all datasets.

        Returns
        -------
        DataFrame
            One row per scan of `scored`, in its order; ``sample`` says which dataset it is from.
        """
        return _stacked(
            [
                called.table(cohort_with_clinical(cohort, sample.bids_dir, sample.participants_file), sample.name)
                for sample, cohort, called in zip(self.samples, self.cohorts, self.names, strict=True)
            ]
        )

    def visits(self) -> pd.DataFrame:
        """The clinical visits of all datasets, with a scan or without.

        Returns
        -------
        DataFrame
            One row per visit; ``sample`` says which dataset it is from.
        """
        return _stacked(
            [
                called.table(read_clinical(sample.bids_dir, sample.participants_file), sample.name)
                for sample, called in zip(self.samples, self.names, strict=True)
            ]
        )

    def findings(self) -> list[Finding]:
        """The findings on all samples, first those on the phenotype tables of their datasets."""
        of_tables = [
            replace(finding, seen=f"sample {sample.name}: {finding.seen}")
            for sample, cohort in zip(self.samples, self.cohorts, strict=True)
            for finding in phenotype_findings_of(sample.bids_dir, scans_of(cohort), sample.participants_file)
        ]
        return of_tables + [
            replace(finding, participant_id=called.of(finding.participant_id)) if finding.participant_id else finding
            for sample, called in zip(self.samples, self.names, strict=True)
            for finding in read_findings(sample.output_dir)
        ]


def with_sample(config: AnalysisConfig, clinical: pd.DataFrame) -> AnalysisConfig:
    """`config` with the sample as a term of every model, and as a stratum of the matching where that can be.

    People are matched within their sample where each sample with patients has controls of its own; otherwise the
    sample is one of the covariates of the matching, which says so where it tells the groups apart.

    Parameters
    ----------
    config : AnalysisConfig
    clinical : DataFrame
        Of `Pool.clinical`.

    Returns
    -------
    AnalysisConfig
        `config` itself where there is one sample only.
    """
    if clinical[SAMPLE].nunique() < 2:
        return config
    config = replace(config, covariates=_with(config.covariates))
    if _controls_everywhere(config, clinical):
        return replace(config, match_exact=_with(config.match_exact))
    return replace(config, match_covariates=_with(config.match_covariates))


def _with(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*columns, SAMPLE)))


def _controls_everywhere(config: AnalysisConfig, clinical: pd.DataFrame) -> bool:
    column = config.column("diagnosis")
    if column not in clinical or config.control is None:
        return True
    level = labels(clinical[column])
    control = level.map(level_key, na_action="ignore") == level_key(config.control)
    patients = set(clinical.loc[level.notna() & ~control, SAMPLE])
    return patients <= set(clinical.loc[control, SAMPLE])


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table under the other, all columns of all."""
    whole = pd.concat([table.dropna(axis=1, how="all").astype(object) for table in tables], ignore_index=True)
    columns = list(dict.fromkeys(column for table in tables for column in table))
    return whole.reindex(columns=columns).infer_objects()
