"""The FreeSurfer trees of a run: found, checked and measured once each, in the process that plans."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_app.bids.layout import Scan
from bids_app.bids.names import derivative_parts
from bids_app.bids.status import status_path
from bids_app.errors import FreeSurferError
from bids_app.findings import Finding
from bids_app.freesurfer.check import SubjectCheck, check_subject
from bids_app.freesurfer.locate import Located, find_subject
from bids_app.freesurfer.stats_folder import StatsFolder
from bids_app.freesurfer.subject import base_time_points
from bids_app.freesurfer.unchanged import is_unchanged
from bids_app.freesurfer.volumes import Reading, modelled_version, read_volumes
from bids_app.run.records import save_volumes


@dataclass(frozen=True)
class Tree:
    """A scan's subject directory (`path`, links followed), where it was found, and whether it can be trusted.

    `expected` is the name that its statistics must agree with.
    """

    path: Path
    located: Located
    check: SubjectCheck
    expected: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class TreeFacts:
    """What planning needs of a tree's statistics: eTIV (mm^3, None when unknown), version, file hashes."""

    etiv_mm3: float | None
    fs_version: str | None
    inputs: Mapping[str, str]


Settled = Callable[[Path, Located, tuple[Finding, ...]], tuple[Mapping[str, Any], TreeFacts | None]]


class Trees:
    """Looks at each subject directory once, however often it is asked for.

    Parameters
    ----------
    trust_names : bool
        Take a tree whose files name another person, with a finding.
    output_dir : Path, optional
        Where scans may have been scored before.
    later : bool
        Leave the statistics of a person's one scan that was never tried to whoever scores it.
    kept_dir : Path, optional
        Where what is read of the scans `asked` (names) is kept, so that whoever scores them need not read it again.
    """

    def __init__(
        self,
        *,
        trust_names: bool = False,
        output_dir: Path | None = None,
        later: bool = False,
        kept_dir: Path | None = None,
        asked: Collection[str] = (),
    ) -> None:
        self._later = later and output_dir is not None and not trust_names
        self._kept_dir, self._asked = kept_dir, asked
        self.volumes_files: dict[Path, Path] = {}
        self.settled: dict[Path | None, Mapping[str, Any]] = {}
        self.trust_names, self.output_dir = trust_names, output_dir
        self._checks: dict[tuple[Path, str], SubjectCheck] = {}
        self._facts: dict[Path, TreeFacts] = {}
        self._open = StatsFolder(Path())

    def find(
        self,
        roots: Sequence[Path],
        scan: Scan,
        *,
        only_session: bool,
        longitudinal: bool = False,
        measured: bool = False,
        inside: bool = False,
        settled: Settled | None = None,
    ) -> Tree | None:
        """The tree of a scan in `roots`; None when there is none.

        With `measured` its `facts` are taken while its files are in memory, if they will be needed: for the other
        sessions of the person, to see whether a scored scan is up to date, or to be kept. With `inside` its statistics
        are not left for later. `settled` gives the scan's covariates, and what is recorded of its statistics when it is
        up to date if they have not changed: then the covariates are kept in `settled`.

        Raises
        ------
        FreeSurferError
            When two fit equally well.
        """
        located = find_subject(
            roots, scan.participant, scan.session, longitudinal=longitudinal, only_session=only_session
        )
        if located is None:
            return None
        # A link under another name was made on purpose, so the tree is held against its own name.
        linked = located.path.is_symlink()
        path = located.path.resolve() if linked else located.path
        expected = path.name if linked else scan.name
        findings = (Finding("tree-choice", located.note),) if located.note else ()
        tried = self.output_dir is not None and is_scored(self.output_dir, scan.participant, scan.session)
        if settled is not None and tried and only_session and not self.trust_names:
            unchanged = self._unchanged(path, expected, *settled(path, located, findings))
            if unchanged is not None:
                return Tree(path, located, unchanged, expected, findings)
        seen = inside or (path, expected) in self._checks
        if only_session and not seen and self._is_read_later(scan, path):
            check = check_subject(path, look_inside=False)
        else:
            check = self._check(path, expected)
        if check.status == "wrong_subject" and self.trust_names:
            findings = (*findings, Finding("tree-name-trusted", check.message))
            check = check_subject(path, trust_names=True, stats=self._stats(path))
        keep = self._kept_dir is not None and scan.name in self._asked and (path, expected) in self._checks
        if measured and check.usable and path not in self._facts and (not only_session or tried or keep):
            with suppress(FreeSurferError):  # whoever asks for the facts meets it again
                self.measure(path, scan)
        return Tree(path, located, check, expected, findings)

    def _unchanged(
        self, path: Path, expected: str, covariates: Mapping[str, Any], facts: TreeFacts | None
    ) -> SubjectCheck | None:
        """The check of a tree whose statistics are those of `facts`; None when it needs a closer look."""
        stats = self._stats(path)
        if facts is None or not is_unchanged(stats, facts.inputs, facts.fs_version, expected):
            return None
        check = check_subject(path, stats=stats, look_inside=False)
        if not check.usable:
            return None
        self._facts[path], self.settled[path] = facts, covariates
        return check

    def _is_read_later(self, scan: Scan, path: Path) -> bool:
        """Whether nobody asks for a tree's statistics before its scan is scored: a tree of ours may have to be resumed,
        and of a scan that was tried before the reason is known in time."""
        if not self._later or self.output_dir is None or path.is_relative_to(self.output_dir):
            return False
        return not status_path(self.output_dir, scan.participant, scan.session).exists()

    def _check(self, path: Path, expected: str) -> SubjectCheck:
        key = (path, expected)
        if key not in self._checks:
            self._checks[key] = check_subject(path, expected_subject=expected, stats=self._stats(path))
        return self._checks[key]

    def _stats(self, path: Path) -> StatsFolder:
        """The files of the tree that was looked at last: of thousands not more than one is kept."""
        if self._open.subject_dir != path:
            self._open = StatsFolder(path)
        return self._open

    def facts(self, path: Path) -> TreeFacts:
        """What planning needs of a tree.

        Raises
        ------
        FreeSurferError
            When its statistics cannot be read.
        """
        return self._facts.get(path) or self.measure(path)[0]

    def measure(self, path: Path, scan: Scan | None = None) -> tuple[TreeFacts, Reading]:
        """The facts, which are kept, and all that was measured, which lies in a file when somebody will ask again."""
        reading = read_volumes(path, folder=self._stats(path))
        self._open = StatsFolder(Path())
        etiv = float(reading.etiv_mm3)
        version = modelled_version(reading.fs_version, reading.flavour)
        facts = TreeFacts(etiv if math.isfinite(etiv) else None, version, dict(sorted(reading.inputs.items())))
        self._facts[path] = facts
        if self._kept_dir is not None and scan is not None and scan.name in self._asked:
            place = self._kept_dir / f"{len(self.volumes_files)}.json"
            self.volumes_files[path] = save_volumes(reading, place)
        return facts, reading


def is_scored(output_dir: Path, participant: str, session: str | None) -> bool:
    """Whether a scan (labels without prefix) has a summary."""
    return os.path.exists(os.path.join(output_dir, *derivative_parts(participant, session, "summary", "morph.json")))


def base_finding(tree: Path | None, trees: Iterable[Path]) -> Finding | None:
    """That the longitudinal trees of a person were made from different bases, on a longitudinal `tree` of these."""
    if tree is None or ".long." not in tree.name:
        return None
    points = {other.name: base_time_points(other) for other in trees if ".long." in other.name}
    known = {name: found for name, found in points.items() if found}
    if len({tuple(sorted(found)) for found in known.values()}) < 2:
        return None
    seen = "; ".join(f"{name} from {', '.join(found)}" for name, found in sorted(known.items()))
    return Finding("long-base-differs", f"the longitudinal trees were made from bases of different sessions: {seen}")
