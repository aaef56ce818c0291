"""The command line of ``normvol``: arguments to a RunConfig."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_app import __version__
from bids_app.cli import exitcodes
from bids_app.cli.resources import available_cpus, available_memory_mb, parse_memory

if TYPE_CHECKING:
    from bids_app.run.config import RunConfig

RESEARCH_USE = "For research use only."


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)


def build_parser() -> argparse.ArgumentParser:
    """The parser; options that are not given leave no attribute, so a configuration file can fill them."""
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in exitcodes.MEANING.items())
    parser = argparse.ArgumentParser(
        prog="normvol",
        usage="normvol BIDS_DIR OUTPUT_DIR {participant,group} [options]",
        description="Regional brain volumes from FreeSurfer against a healthy reference by age, sex and "
        f"intracranial volume.\n{RESEARCH_USE}",
        epilog=f"exit codes:\n{codes}\n\nStart with: normvol-demo OUT",
        formatter_class=_Formatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", type=Path, metavar="BIDS_DIR", help="the BIDS dataset (read only)")
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="where the derivative dataset is written")
    parser.add_argument(
        "analysis_level",
        choices=("participant", "group"),
        help="participant: score scans; group: tables, statistics and report of what is there",
    )
    parser.add_argument("--version", action="version", version=f"normvol {__version__}")
    for add in (_input_options, _freesurfer_options, _model_options, _group_options, _run_options):
        add(parser)
    return parser


def _input_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("input")
    group.add_argument(
        "--participant-label",
        "--participant_label",
        nargs="+",
        metavar="LABEL",
        help="only these participants (with or without sub-)",
    )
    group.add_argument(
        "--session-label",
        "--session_label",
        nargs="+",
        metavar="LABEL",
        help="only these sessions (with or without ses-)",
    )
    group.add_argument(
        "--bids-filter-file", type=Path, metavar="FILE", help="JSON file that narrows the images, in fMRIPrep's form"
    )
    group.add_argument("--bids-database-dir", type=Path, metavar="DIR", help="keep pybids' index here and reuse it")
    group.add_argument(
        "--skip-bids-validation",
        "--skip_bids_validation",
        action="store_true",
        help="accept a dataset without a valid dataset_description.json",
    )
    group.add_argument(
        "--participants-file",
        type=Path,
        metavar="FILE",
        help="age and sex from this table instead of participants.tsv and sessions.tsv",
    )
    group.add_argument(
        "-d",
        "--derivatives",
        nargs="+",
        metavar="[NAME=]PATH",
        help="derivative datasets that hold FreeSurfer subjects (also fMRIPrep's)",
    )


def _freesurfer_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("FreeSurfer")
    group.add_argument(
        "--fs-subjects-dir", type=Path, metavar="DIR", help="existing FreeSurfer subjects (read only, never touched)"
    )
    group.add_argument(
        "--fs-license-file", type=Path, metavar="FILE", help="FreeSurfer licence; needed only when recon-all runs"
    )
    group.add_argument(
        "--recon",
        choices=("auto", "ingest", "run"),
        help="auto (default): use existing subjects, run recon-all for the others where it is "
        "installed; ingest: never run; run: always run",
    )
    group.add_argument(
        "--recon-args",
        nargs="+",
        metavar="ARG",
        help="extra arguments for recon-all; write --recon-args=-flag for a single flag",
    )
    group.add_argument(
        "--longitudinal", action="store_true", help="FreeSurfer's longitudinal stream for people with several sessions"
    )
    group.add_argument(
        "--t1w-select",
        choices=("all", "first", "last"),
        help="which T1w images of a session go into recon-all (default all: they are averaged)",
    )
    group.add_argument(
        "--t1w-derivative",
        metavar="NAME=PATH[:DESC]",
        help="take T1w images, for example lesion-filled ones, from this derivative dataset",
    )


def _model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("normative model")
    group.add_argument("--model", metavar="NAME|PATH", help="default open-calibrated; see normvol-model list")
    group.add_argument(
        "--scoring",
        choices=("own-sex", "reference-compat"),
        help="reference-compat divides by the male RMSE for everyone, as the published script does",
    )
    group.add_argument(
        "--adapt-controls",
        metavar="QUERY",
        help="local healthy people to estimate scanner shifts from, for example 'group == \"control\"'",
    )
    group.add_argument("--adapt-by", metavar="COLUMN", help="estimate the shifts per level of this column (scanner)")


def _group_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("group level")
    group.add_argument(
        "--analysis",
        metavar="FILE|auto",
        help="clinical statistics as this TOML file says; auto proposes one and writes it down",
    )
    group.add_argument(
        "--exclude-quality",
        nargs="+",
        choices=("warn", "fail"),
        metavar="VERDICT",
        help="leave scans with this quality verdict out of the statistics (warn, fail)",
    )


def _run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument(
        "-w",
        "--work-dir",
        type=Path,
        metavar="DIR",
        help="keep intermediate results here (default: a temporary folder)",
    )
    group.add_argument(
        "--nprocs",
        "--n-cpus",
        "--n_cpus",
        type=_positive,
        metavar="N",
        help="processes at once (default: what scheduler and cgroup allow)",
    )
    group.add_argument("--omp-nthreads", type=_positive, metavar="N", help="threads of one recon-all")
    group.add_argument(
        "--mem",
        type=parse_memory,
        dest="mem_mb",
        metavar="SIZE",
        help="memory to use, with unit: 16G (default: what scheduler and cgroup allow)",
    )
    group.add_argument("--nipype-plugin-file", type=Path, metavar="FILE", help="YAML or JSON with plugin, plugin_args")
    group.add_argument("--stop-on-first-crash", action="store_true", help="stop at the first failure")
    group.add_argument("--write-graph", action="store_true", help="draw the graph into OUTPUT_DIR/logs")
    group.add_argument("--resource-monitor", action="store_true", help="record memory and processor use of every node")
    group.add_argument("--reports-only", action="store_true", help="rebuild the reports from the tables alone")
    group.add_argument("--dry-run", action="store_true", help="say what would be done and stop")
    group.add_argument("--force", action="store_true", help="score again even where nothing has changed")
    group.add_argument(
        "--config-file", type=Path, metavar="FILE", help="TOML with these options; the command line wins over it"
    )
    group.add_argument("-v", "--verbose", action="count", help="more words (twice: nipype's log too)")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, not {text!r}")
    return int(text)


def parse_config(argv: Sequence[str] | None = None) -> Any:
    """The RunConfig that the arguments (and ``--config-file``) ask for.

    Raises
    ------
    UsageError
        When an option or the configuration file is impossible. (argparse itself exits with 2.)
    """
    given = vars(build_parser().parse_args(argv))
    # Imported after the arguments are read: --help and --version stay instant.
    from bids_app.run.config import RunConfig
    from bids_app.tables import read_toml

    path = given.pop("config_file", None)
    values = _from_file(read_toml(path)) if path else {}
    values.update(given)
    values.setdefault("nprocs", available_cpus())
    values.setdefault("mem_mb", available_memory_mb())
    config = _absolute(RunConfig.from_mapping(values, str(path or "")))
    config = replace(
        config,
        participant_label=_labels(config.participant_label, "sub-"),
        session_label=_labels(config.session_label, "ses-"),
    )
    _check(config)
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
    for name in ("model", "analysis"):
        value = getattr(config, name)
        if value is not None and Path(value).expanduser().exists():
            changed[name] = str(Path(value).expanduser().absolute())
    return replace(config, **changed)


def _named_path(text: str) -> str:
    """``NAME=PATH`` or ``PATH`` with the path in full."""
    name, separator, path = text.partition("=")
    if separator and "/" not in name:
        return f"{name}={Path(path).expanduser().absolute()}"
    return str(Path(text).expanduser().absolute())


def _check(config: RunConfig) -> None:
    """Refuse what no run can do, before anything is written."""
    from bids_app.errors import UsageError

    if config.adapt_by is not None and config.adapt_controls is None:
        raise UsageError(
            f"--adapt-by {config.adapt_by} needs --adapt-controls, the query that selects local healthy people"
        )
    if config.analysis is not None and config.analysis != "auto" and not Path(config.analysis).is_file():
        raise UsageError(f"--analysis {config.analysis}: there is no such file", "give a TOML file, or auto")


def _labels(labels: Sequence[str], prefix: str) -> tuple[str, ...]:
    return tuple(part.removeprefix(prefix) for label in labels for part in label.replace(",", " ").split())
