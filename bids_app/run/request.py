"""What a run was asked for, in parts: the one place that takes a RunConfig apart."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids_app.bids.covariates import Covariates, scan_covariates
from bids_app.bids.disguise import Disguise
from bids_app.bids.layout import Scan, find_scans, only_sessions
from bids_app.errors import InputError, UsageError
from bids_app.findings import Finding
from bids_app.freesurfer.locate import subject_directories
from bids_app.freesurfer.quality import check_limits
from bids_app.run.config import RunConfig

OWN_SUBJECTS = Path("sourcedata") / "freesurfer"
KEPT_INDEX = "bids-index"


@dataclass(frozen=True)
class DatasetAsked:
    """Which scans of which dataset; labels without prefix, empty means all."""

    bids_dir: Path
    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filter_file: Path | None = None
    database_dir: Path | None = None
    kept_dir: Path | None = None
    validate: bool = True
    participants_file: Path | None = None
    one_age: bool = False

    def scans(self, fs_subjects: Sequence[str]) -> list[Scan]:
        """Every scan of the people asked for, with its images (`fs_subjects` as for `find_scans`).

        All sessions are there, since what is known of one (age, tree, head size) may depend on the others; `asked`
        narrows them.
        """
        return self._found(fs_subjects, participants=self.participants)

    @property
    def everyone(self) -> bool:
        """Whether no label narrows the run."""
        return not (self.participants or self.sessions)

    def asked(self, scans: Sequence[Scan]) -> list[Scan]:
        """Those of `scans` whose session was asked for."""
        return only_sessions(scans, self.sessions, self.bids_dir)

    def everybody(self, fs_subjects: Sequence[str]) -> list[Scan]:
        """All scans of the dataset, whoever was asked for, without their images."""
        return self._found(fs_subjects, images=False)

    def covariates(self, scans: Sequence[Scan]) -> tuple[list[Covariates], tuple[Finding, ...]]:
        """What the tables say of each scan (`scan_covariates`)."""
        return scan_covariates(self.bids_dir, scans, participants_file=self.participants_file, one_age=self.one_age)

    def _found(self, fs_subjects: Sequence[str], participants: Sequence[str] = (), images: bool = True) -> list[Scan]:
        scans = find_scans(
            self.bids_dir,
            participant_label=participants,
            filter_file=self.filter_file,
            database_dir=self.database_dir,
            kept_dir=self.kept_dir,
            validate=self.validate,
            fs_subjects=fs_subjects,
            images=images,
        )
        if not scans:
            raise InputError(f"no scan in {self.bids_dir} matches what was asked for", "check the labels")
        return scans


@dataclass(frozen=True)
class SubjectPlaces:
    """Where FreeSurfer subjects are: `roots` in order of trust, `own` where recon-all makes them in the output."""

    roots: tuple[Path, ...]
    own: Path
    own_only: bool = False
    longitudinal: bool = False
    trust_names: bool = False

    @property
    def searched(self) -> tuple[Path, ...]:
        """Where a scan's subject may be taken from."""
        return (self.own,) if self.own_only else self.roots

    def names(self) -> list[str]:
        """Names of all subjects that begin as BIDS says."""
        return sorted({name for root in self.roots for name in os.listdir(root) if name.startswith("sub-")})


@dataclass(frozen=True)
class ReconOptions:
    """How recon-all is run, when it is."""

    subjects_dir: Path
    mode: str = "auto"
    license_file: Path | None = None
    extra: tuple[str, ...] = ()
    threads: int = 1
    longitudinal: bool = False
    t1w_select: str = "all"
    t1w_derivative: str | None = None


@dataclass(frozen=True)
class ModelChoice:
    """The reference and its scoring; `controls` (a condition) and `by` (the scanner's column) adapt it.

    `second` is a model whose z is set beside the first one's.
    """

    name: str
    scoring: str = "own-sex"
    controls: str | None = None
    by: str | None = None
    second: str | None = None


@dataclass(frozen=True)
class Request:
    """All parts of a participant-level run."""

    dataset: DatasetAsked
    places: SubjectPlaces
    recon: ReconOptions
    model: ModelChoice
    output_dir: Path
    work_dir: Path
    force: bool
    figure_formats: tuple[str, ...]
    derivatives: tuple[str, ...]
    lesions: Path | None
    quality_limits: tuple[str, ...]
    disguise: Disguise | None

    @property
    def told_model(self) -> ModelChoice:
        """The model as outputs tell of it."""
        if self.disguise is None or self.model.controls is None:
            return self.model
        return replace(self.model, controls=self.disguise.text(self.model.controls))

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that no table may name."""
        return (*self.places.roots, self.output_dir, self.dataset.bids_dir)


def recon_words(arguments: Sequence[str]) -> tuple[str, ...]:
    """The words of ``--recon-args``: a command line in quotes is split as a shell does, a file's name is one word.

    Raises
    ------
    UsageError
        When quotes in it do not close.
    """
    words: list[str] = []
    for text in arguments:
        try:
            words += shlex.split(text) if text.lstrip().startswith("-") else [text]
        except ValueError as error:
            raise UsageError(f"--recon-args {text!r} cannot be read ({error})", "close the quotes") from error
    return tuple(words)


def open_request(config: RunConfig, work_dir: Path) -> Request:
    """The parts of `config`.

    Raises
    ------
    UsageError
        When a FreeSurfer folder that was named does not exist, or a limit of quality cannot be read.
    """
    check_limits(config.quality_limit)
    own = config.output_dir / OWN_SUBJECTS
    roots = subject_directories(config.bids_dir, config.fs_subjects_dir, config.derivatives)
    return Request(
        dataset=DatasetAsked(
            bids_dir=config.bids_dir,
            participants=config.participant_label,
            sessions=config.session_label,
            filter_file=config.bids_filter_file,
            database_dir=config.bids_database_dir,
            kept_dir=None if config.work_dir is None else config.work_dir / KEPT_INDEX,
            validate=not config.skip_bids_validation,
            participants_file=config.participants_file,
            one_age=config.one_age,
        ),
        places=SubjectPlaces(
            roots=(*roots, own) if own.is_dir() and own not in roots else tuple(roots),
            own=own,
            own_only=config.recon == "run",
            longitudinal=config.longitudinal,
            trust_names=config.trust_names,
        ),
        recon=ReconOptions(
            subjects_dir=own,
            mode=config.recon,
            license_file=config.fs_license_file,
            extra=recon_words(config.recon_args),
            threads=config.omp_nthreads,
            longitudinal=config.longitudinal,
            t1w_select=config.t1w_select,
            t1w_derivative=config.t1w_derivative,
        ),
        model=ModelChoice(config.model, config.scoring, config.adapt_controls, config.adapt_by, config.second_model),
        output_dir=config.output_dir,
        work_dir=work_dir,
        force=config.force,
        figure_formats=config.figure_formats,
        derivatives=config.derivatives,
        lesions=config.lesions,
        quality_limits=config.quality_limit,
        disguise=config.disguise,
    )
