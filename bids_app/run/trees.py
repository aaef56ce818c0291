"""The FreeSurfer trees of a run: found, checked and measured once each, in the process that plans."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.bids.layout import Scan
from bids_app.findings import Finding
from bids_app.freesurfer.check import SubjectCheck, check_subject
from bids_app.freesurfer.locate import Located, find_subject
from bids_app.freesurfer.subject import base_time_points
from bids_app.freesurfer.volumes import Reading, modelled_version, read_volumes


@dataclass(frozen=True)
class Tree:
    """A scan's subject directory (`path`, links followed), where it was found, and whether it can be trusted."""

    path: Path
    located: Located
    check: SubjectCheck
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class TreeFacts:
    """What planning needs of a tree's statistics: eTIV (mm^3, None when unknown), version, file hashes."""

    etiv_mm3: float | None
    fs_version: str | None
    inputs: Mapping[str, str]


class Trees:
    """Looks at each subject directory once, however often it is asked for.

    Parameters
    ----------
    trust_names : bool
        Take a tree whose files name another person, with a finding.
    """

    def __init__(self, *, trust_names: bool = False) -> None:
        self.trust_names = trust_names
        self._checks: dict[tuple[Path, str], SubjectCheck] = {}
        self._facts: dict[Path, TreeFacts] = {}

    def find(self, roots: Sequence[Path], scan: Scan, *, only_session: bool, longitudinal: bool = False) -> Tree | None:
        """The tree of a scan in `roots`; None when there is none.

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
        check = self._check(path, path.name if linked else scan.name)
        findings = (Finding("tree-choice", located.note),) if located.note else ()
        if check.status == "wrong_subject" and self.trust_names:
            trusted = check_subject(path, trust_names=True)
            return Tree(path, located, trusted, (*findings, Finding("tree-name-trusted", check.message)))
        return Tree(path, located, check, findings)

    def _check(self, path: Path, expected: str) -> SubjectCheck:
        key = (path, expected)
        if key not in self._checks:
            self._checks[key] = check_subject(path, expected_subject=expected)
        return self._checks[key]

    def facts(self, path: Path) -> TreeFacts:
        """What planning needs of a tree.

        Raises
        ------
        FreeSurferError
            When its statistics cannot be read.
        """
        return self._facts.get(path) or self.measure(path)[0]

    def measure(self, path: Path) -> tuple[TreeFacts, Reading]:
        """The facts, which are kept, and all that was measured, which is not."""
        reading = read_volumes(path)
        etiv = float(reading.etiv_mm3)
        version = modelled_version(reading.fs_version, reading.flavour)
        facts = TreeFacts(etiv if math.isfinite(etiv) else None, version, dict(sorted(reading.inputs.items())))
        self._facts[path] = facts
        return facts, reading


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
