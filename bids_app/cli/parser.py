"""The command line of ``normvol``: arguments to a RunConfig."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_app import __version__
from bids_app.bids.names import named_path
from bids_app.cli import exitcodes
from bids_app.cli.nipreps import AppParser, add_foreign_options
from bids_app.cli.options import Option, add_general_options, add_options
from bids_app.cli.resources import available_cpus, available_memory_mb, parse_memory

if TYPE_CHECKING:
    from bids_app.run.config import RunConfig

RESEARCH_USE = "For research use only."
DESCRIPTION = "dataset_description.json"


POSITIONAL: list[Option] = [
    ("BIDS_DIR", "the BIDS dataset (read only)"),
    ("OUTPUT_DIR", "where the derivative dataset is written"),
    (
        "analysis_level {participant,group}",
        "participant: score scans; group: tables, statistics and report of what is there",
    ),
]
GROUPS: dict[str, list[Option]] = {
    "input": [
        ("--participant-label --participant_label LABEL...", "only these participants (with or without sub-)"),
        ("--session-label --session_label LABEL...", "only these sessions (with or without ses-)"),
        ("--bids-filter-file FILE", "JSON file that narrows the images, in fMRIPrep's form"),
        ("--bids-database-dir DIR", "keep pybids' index here and reuse it"),
        ("--skip-bids-validation --skip_bids_validation", "accept a dataset without a valid dataset_description.json"),
        ("--participants-file FILE", "age and sex from this table instead of participants.tsv and sessions.tsv"),
        ("--one-age", "score every visit at the person's one age where no table or date tells the age at the visit"),
        ("-d --derivatives [NAME=]PATH...", "derivative datasets that hold FreeSurfer subjects (also fMRIPrep's)"),
    ],
    "FreeSurfer": [
        ("--fs-subjects-dir DIR", "existing FreeSurfer subjects (read only, never touched)"),
        ("--fs-license-file FILE", "FreeSurfer licence; needed only when recon-all runs"),
        (
            "--recon {auto,ingest,run}",
            "auto (default): use existing subjects, run recon-all for the others where it is installed; "
            "ingest: never run; run: always run",
        ),
        (
            "--recon-args ARG...",
            "extra arguments for recon-all, as on its command line: --recon-args '-hires -expert FILE'; several add up",
            {"action": "extend"},
        ),
        ("--trust-names", "use trees whose files name another person than their folder (renamed on purpose)"),
        ("--longitudinal", "FreeSurfer's longitudinal stream for people with several sessions"),
        (
            "--t1w-select {all,first,last}",
            "which T1w images of a session go into recon-all (default all: they are averaged)",
        ),
        (
            "--t1w-derivative NAME=PATH[:DESC]",
            "take T1w images, for example lesion-filled ones, from this derivative dataset",
        ),
        (
            "--lesions FILE|DIR",
            "number and volume of the lesions of each scan: a table, or a folder of LST-AI's or SAMSEG's files "
            "(masks named label-lesion_mask in T1w space are found by themselves)",
        ),
    ],
    "normative model": [
        ("--model NAME|PATH", "default open-calibrated; see normvol-model list"),
        (
            "--second-model NAME|PATH",
            "score with this model too (open-blr); tables and reports mark the deviations on which the two disagree",
        ),
        (
            "--scoring {own-sex,reference-compat}",
            "reference-compat divides by the male RMSE for everyone, as the published script does",
        ),
        (
            "--adapt-controls QUERY",
            "local healthy people to estimate scanner shifts from, for example 'group == \"control\"'",
        ),
        ("--adapt-by COLUMN", "estimate the shifts per level of this column (scanner)"),
        (
            "--change-model FILE.json",
            "correlations of repeated healthy scans, from normvol-model train-change, for change between visits; the "
            "output folder keeps it; none: do without again",
        ),
    ],
    "group level": [
        ("--analysis FILE|auto", "clinical statistics as this TOML file says; auto proposes one and writes it down"),
        ("--pool FILE", "take the samples together that this TOML file names, each scored in a folder of its own"),
        (
            "--figure-formats FORMAT...",
            "formats of the figure files (default: svg for people, svg png pdf for the group)",
            {"choices": ("svg", "png", "pdf")},
        ),
        (
            "--exclude-quality VERDICT...",
            "leave scans with this quality verdict out of the statistics (warn, fail); without it, those are out that "
            "fail by completeness, eTIV, surfaces or contrast",
            {"choices": ("warn", "fail")},
        ),
        (
            "--include-quality VERDICT...",
            "keep scans with this quality verdict in the statistics (warn, fail)",
            {"choices": ("warn", "fail")},
        ),
        (
            "--quality-limit NAME=LOW:HIGH...",
            "limits of a quality measure beyond which the verdict is warn; NAME=reference takes the 1st to 99th "
            "centile of healthy people by FreeSurfer version (all=reference: of every measure), NAME=off none",
        ),
        (
            "--qc-file FILE...",
            "a reader's ratings (keep, doubtful, exclude) as reports give them; they beat the automatic verdict, "
            "change no z, and are kept in the output dataset",
        ),
    ],
    "privacy": [
        (
            "--anonymise",
            "labels of people and sessions become salted hashes in all that is written; nothing says who is who; "
            "recon-all, which names its subjects, does not run",
        ),
        (
            "--anonymise-map FILE",
            "--anonymise, and keep the salt and what became of each label in this file, outside OUTPUT_DIR, for the "
            "next run and the group level",
        ),
        (
            "--anonymise-salt TEXT",
            "--anonymise with this salt, kept nowhere (without it and a map a new one is made, and forgotten)",
        ),
    ],
    "running": [
        ("-w --work-dir DIR", "keep intermediate results here (default: a temporary folder)"),
        ("--nprocs --n-cpus --n_cpus N", "processes at once (default: what scheduler and cgroup allow)"),
        ("--omp-nthreads N", "threads of one recon-all"),
        (
            "--mem SIZE",
            "memory to use, with unit: 16G (default: what scheduler and cgroup allow)",
            {"type": parse_memory, "dest": "mem_mb"},
        ),
        ("--nipype-plugin-file FILE", "YAML or JSON with plugin, plugin_args"),
        (
            "--scheduler WHERE",
            "local (default), or people on the workers of Dask: dask:tcp://HOST:PORT, dask:SCHEDULER.json, "
            "dask:CLUSTER.yaml (a dask-jobqueue section)",
        ),
        ("--stop-on-first-crash", "stop at the first failure"),
        ("--write-graph", "draw the graph into OUTPUT_DIR/logs"),
        ("--resource-monitor", "record memory and processor use of every node"),
        ("--reports-only", "rebuild the reports from the tables alone"),
        ("--dry-run", "say what would be done and stop"),
        ("--force", "score again even where nothing has changed"),
        ("--config-file FILE", "TOML with these options; the command line wins over it"),
        ("-v --verbose", "more words (twice: nipype's log too)", {"action": "count"}),
        ("-q --quiet", "no words on the terminal unless something is missing; the log file has them all"),
    ],
}


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)


def build_parser() -> argparse.ArgumentParser:
    """The parser; options that are not given leave no attribute, so a configuration file can fill them."""
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in exitcodes.MEANING.items())
    parser = AppParser(
        prog="normvol",
        usage="normvol BIDS_DIR OUTPUT_DIR {participant,group} [options]",
        description="Regional brain volumes from FreeSurfer against a healthy reference by age, sex and "
        f"intracranial volume.\n{RESEARCH_USE}",
        epilog=f"exit codes:\n{codes}\n\nStart with: normvol-demo OUT",
        formatter_class=_Formatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add_options(parser, POSITIONAL)
    add_general_options(parser, __version__)
    for title, options in GROUPS.items():
        add_options(parser.add_argument_group(title), options)
    add_foreign_options(parser)
    return parser


def parse_config(argv: Sequence[str] | None = None) -> Any:
    """The RunConfig that the arguments (and ``--config-file``) ask for.

    Raises
    ------
    UsageError
        When an option or the configuration file is impossible. (argparse itself exits with 2.)
    """
    given = vars(build_parser().parse_args(argv))
    # Imported after the arguments are read: --help and --version stay instant.
    from bids_app.run.config import RunConfig, placed
    from bids_app.tables import read_toml

    path = given.pop("config_file", None)
    values = _from_file(placed(read_toml(path), Path(path), given)) if path else {}
    values.update(given)
    values.setdefault("nprocs", available_cpus())
    values.setdefault("mem_mb", available_memory_mb())
    config = _absolute(RunConfig.from_mapping(values, str(path or "")))
    hidden = bool(config.anonymise or config.anonymise_map or config.anonymise_salt)
    config = replace(
        config,
        anonymise=hidden,
        recon="ingest" if hidden and config.recon == "auto" else config.recon,
        participant_label=_labels(config.participant_label, "participant"),
        session_label=_labels(config.session_label, "session"),
    )
    _check(config)
    if config.anonymise:
        _check_anonymous(config)
    return config if "omp_nthreads" in values else replace(config, omp_nthreads=min(8, config.nprocs))


def _from_file(content: dict[str, Any]) -> dict[str, Any]:
    """Options of a configuration file, which may be written as on the command line (``mem = "4G"``)."""
    values = {name.replace("-", "_"): value for name, value in content.items()}
    memory = values.pop("mem", None)
    return values if memory is None else {**values, "mem_mb": parse_memory(str(memory))}


def _absolute(config: RunConfig) -> RunConfig:
    """Paths in full: nodes run elsewhere, and the recorded configuration can be run from anywhere."""
    changed: dict[str, Any] = {
        name: value.expanduser().absolute() for name, value in vars(config).items() if isinstance(value, Path)
    }
    changed["derivatives"] = tuple(_named_path(text) for text in config.derivatives)
    if config.t1w_derivative is not None:
        changed["t1w_derivative"] = _named_path(config.t1w_derivative)
    changed["qc_file"] = tuple(str(Path(path).expanduser().absolute()) for path in config.qc_file)
    kind, colon, place = config.scheduler.partition(":")
    if colon and "://" not in place:
        changed["scheduler"] = f"{kind}:{Path(place).expanduser().absolute()}"
    for name in ("model", "analysis", "change_model"):
        value = getattr(config, name)
        if value is not None and Path(value).expanduser().exists():
            changed[name] = str(Path(value).expanduser().absolute())
    return replace(config, **changed)


def _named_path(text: str) -> str:
    """``NAME=PATH`` or ``PATH`` with the path in full."""
    name, path = named_path(text)
    place = str(path.expanduser().absolute())
    return f"{name}={place}" if name else place


# Options that do nothing where samples are pooled, and where they belong
OF_ONE_SAMPLE = {
    "qc_file": "give it to the group level of that sample, which keeps the ratings",
    "participants_file": "name it as participants_file in the sample's table of the file of --pool",
}


def _check(config: RunConfig) -> None:
    """Refuse what no run can do, before anything is written."""
    from bids_app.errors import UsageError

    if config.adapt_by is not None and config.adapt_controls is None:
        raise UsageError(
            f"--adapt-by {config.adapt_by} needs --adapt-controls, the query that selects local healthy people"
        )
    for name in ("nipype_plugin_file", "resource_monitor") if config.scheduler != "local" else ():
        if getattr(config, name):
            raise UsageError(
                f"--{name.replace('_', '-')} is nipype's on this machine, and --scheduler {config.scheduler} is not",
                "give one of them",
            )
    both = sorted(set(config.exclude_quality) & set(config.include_quality))
    if both:
        raise UsageError(f"{both[0]} is in both --exclude-quality and --include-quality", "name it in one of them")
    if config.analysis is not None and config.analysis != "auto" and not Path(config.analysis).is_file():
        raise UsageError(f"--analysis {config.analysis}: there is no such file", "give a TOML file, or auto")
    if config.change_model is not None and config.reports_only:
        raise UsageError(
            "--change-model is about the tables of people, which the participant level makes",
            "give it to the participant level; the output folder keeps it",
        )
    if config.pool is not None and config.analysis_level != "group":
        raise UsageError("--pool belongs to the group level", "score each sample in a folder of its own first")
    for name, remedy in OF_ONE_SAMPLE.items() if config.pool is not None else ():
        if getattr(config, name):
            raise UsageError(f"--{name.replace('_', '-')} is about one sample, and --pool about several", remedy)
    if config.fs_license_file is not None and not config.fs_license_file.is_file():
        raise UsageError(f"--fs-license-file {config.fs_license_file}: there is no such file")
    if not (config.bids_dir / DESCRIPTION).exists() and _is_raw(config.output_dir):
        raise UsageError(
            f"{config.output_dir} is a BIDS dataset and {config.bids_dir} is not", "BIDS_DIR comes before OUTPUT_DIR"
        )


def _check_anonymous(config: RunConfig) -> None:
    from bids_app.errors import UsageError

    if config.recon == "run":
        raise UsageError(
            "recon-all names its subjects, so --anonymise does not go with --recon run",
            "run recon-all into another output folder and give its sourcedata/freesurfer with --fs-subjects-dir",
        )
    if config.pool is not None:
        raise UsageError("--anonymise does not go with --pool", "give it to the participant level of each sample")
    place = config.anonymise_map
    if place is None:
        return
    for folder in (config.output_dir, config.bids_dir):
        if place.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"--anonymise-map {place} lies in {folder}, which is shared", "keep it elsewhere")
    if place.is_dir():
        raise UsageError(f"--anonymise-map {place} is a folder", "name a file")


def _is_raw(folder: Path) -> bool:
    """Whether this is a dataset with images of people."""
    return (folder / DESCRIPTION).exists() and any(folder.glob("sub-*/**/*_T1w.nii*"))


PREFIXES = {"participant": "sub-", "session": "ses-"}


def _labels(labels: Sequence[str], kind: str) -> tuple[str, ...]:
    """The labels without prefix; an empty one (of a shell variable that is not set) does not mean everybody."""
    from bids_app.errors import UsageError

    parts = [part for label in labels for part in label.replace(",", " ").split()]
    found = tuple(part.removeprefix(PREFIXES[kind]) for part in parts)
    if labels and not (found and all(found)):
        raise UsageError(f"--{kind}-label is given without a label", f"name the {kind}s, or leave the option out")
    return found
