"""``normvol-model table``: what FreeSurfer measured in every subject of a folder, as one table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bids_app.bids.columns import columns_for
from bids_app.bids.names import listed
from bids_app.errors import InputError, UsageError
from bids_app.findings import Finding
from bids_app.freesurfer.bulk import ID_COLUMNS, Record, write_volumes_table
from bids_app.freesurfer.locate import every_tree
from bids_app.freesurfer.quality import FAIL, WARN
from bids_app.freesurfer.subject import is_longitudinal_base, stream
from bids_app.regions import display_name, measure_of, measured_names, unit_of
from bids_app.tables import write_json
from bids_app.workbench.score import Say

NAMED_AT_MOST = 8
KEPT = "Its measures are in the table as they are"
LOOK = "look at the segmentation, and correct or leave out the subject"


@dataclass(frozen=True, kw_only=True)
class SubjectsConfig:
    """What ``normvol-model table`` was asked to do.

    Parameters
    ----------
    subjects_dir : Path
        FreeSurfer's or FastSurfer's subjects directory; only read.
    output : Path
        The table, ``.tsv``.
    longitudinal : bool
        Take the time points of the longitudinal stream instead of the cross-sectional runs.
    nprocs : int
        Processes.
    """

    subjects_dir: Path
    output: Path
    longitudinal: bool = False
    nprocs: int = 1


@dataclass(frozen=True)
class Subjects:
    """What became of the folder: how many rows, who could not be read and why, and what can change a number."""

    n_rows: int
    unread: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]


def subjects_table(config: SubjectsConfig, say: Say) -> Subjects:
    """Read every subject and write the table with its dictionary; `say` is told what was not taken.

    A subject that cannot be read keeps its row: ``problem`` says why, and its measures are missing.

    Raises
    ------
    InputError
        When the folder holds no subject.
    UsageError
        When it is the directory of one subject, or `output` is no ``.tsv``.
    """
    if config.output.suffix != ".tsv":
        raise UsageError(f"{config.output} is not named .tsv", "the table is tab-separated text")
    chosen = _chosen(config, say)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    seen = _Seen()
    write_volumes_table(chosen, config.output, nprocs=config.nprocs, seen=seen.take)
    write_json(_dictionary(), config.output.with_suffix(".json"))
    for line in seen.lines():
        say(line)
    return Subjects(len(chosen), tuple(seen.unread), tuple(seen.findings))


class _Seen:
    """What the rows hold, counted as they are written."""

    def __init__(self) -> None:
        self.unread: list[tuple[str, str]] = []
        self.findings: list[Finding] = []
        self._doubtful = 0
        self._programs: Counter[str] = Counter()

    def take(self, record: Record) -> None:
        """Take in a row."""
        row = dict(zip(ID_COLUMNS, record))
        if row["problem"] is not None:
            self.unread.append((str(row["subject"]), str(row["problem"])))
            return
        self._programs[f"{row['flavour']} {row['fs_version'] or 'of unknown version'}"] += 1
        self._doubtful += row["quality"] == WARN
        if row["quality"] == FAIL:
            session = None if row["session_id"] is None else str(row["session_id"])
            failed = Finding("quality-failed", f"{row['subject']}: {row['quality_reasons']}", KEPT, LOOK)
            self.findings.append(failed.of(str(row["participant_id"]), session))

    def lines(self) -> Iterator[str]:
        """Programs and versions where there are several, and doubtful quality."""
        if len(self._programs) > 1:
            counted = ", ".join(f"{program} ({n})" for program, n in sorted(self._programs.items()))
            yield f"measures of several programs or versions, which do not agree: {counted}"
        if self._doubtful:
            yield f"the quality of {self._doubtful} subject(s) is doubtful (column quality: warn)"


def _chosen(config: SubjectsConfig, say: Say) -> list[Path]:
    """The trees of the wanted stream; every other folder is said."""
    root = config.subjects_dir
    if not os.path.isdir(root):
        raise UsageError(f"{root} does not exist or is not a directory", "check the path")
    if os.path.lexists(root / "stats" / "aseg.stats"):
        raise UsageError(f"{root} is the directory of one subject", "give the directory above it")
    inside = root / "sourcedata" / "freesurfer"
    trees, strangers = every_tree(inside if os.path.isdir(inside) else root)
    bases = [path for path in trees if is_longitudinal_base(path)]
    scans = [path for path in trees if path not in set(bases)]
    wanted = [path for path in scans if (stream(path) == "long") == config.longitudinal]
    others = len(scans) - len(wanted)
    if not wanted:
        hint = "--longitudinal takes the time points of the longitudinal stream" if others else "check the path"
        raise InputError(f"{root} holds no FreeSurfer subject", hint if not config.longitudinal else "check the path")
    for line in _left(bases, strangers, others, config.longitudinal):
        say(line)
    return wanted


def _left(bases: list[Path], strangers: list[str], others: int, longitudinal: bool) -> Iterator[str]:
    if bases:
        yield f"{len(bases)} base(s) of the longitudinal stream are no scans and were not taken"
    if others:
        kind, option = ("cross-sectional run", "without") if longitudinal else ("longitudinal time point", "with")
        yield f"{others} {kind}(s) were not taken; they are {option} --longitudinal"
    if strangers:
        shown = listed(strangers, NAMED_AT_MOST)
        yield f"{len(strangers)} folder(s) without FreeSurfer output were passed over: {shown}"


def _dictionary() -> dict[str, dict[str, str]]:
    """The data dictionary of the table."""
    described = {name: dict(words) for name, words in columns_for("subjects").items()}
    for name in measured_names():
        what = display_name(name)
        words = f"{measure_of(name).capitalize()} of the {what}"
        described[name] = {"Description": words, "Units": unit_of(name)}
    return described
