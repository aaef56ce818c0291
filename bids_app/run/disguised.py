"""A plan whose labels are hashed: what the outputs are made of, while trees and images keep their own names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_app.bids.covariate_columns import GROUP_COLUMNS, SITE_COLUMNS
from bids_app.bids.disguise import Disguise, hashed_ids, is_hash
from bids_app.bids.layout import Scan
from bids_app.bids.names import bare, natural_key, scan_name
from bids_app.bids.phenotypes import NOTES, clinical_table, every_visit, phenotype_findings
from bids_app.bids.scan_tables import KEYS
from bids_app.findings import Finding
from bids_app.run.planned import Omission, PlannedScan

# Values of a plan's covariates that are places of files to read
PLACES = ("lesions",)
# Columns that split the scans are told whatever they hold
_SPLIT = frozenset((*GROUP_COLUMNS, *SITE_COLUMNS, "sex"))
_WHO = re.compile(
    r"(?i)(^|[_ .-])(ids?|mrn|names?|forename|surname|initials|dob|birth\w*|ssn|address|phone|e?-?mail|zip|postcode)"
    r"($|[_ .-])"
)


def disguised(
    planned: Sequence[PlannedScan], omissions: Sequence[Omission], disguise: Disguise
) -> tuple[list[PlannedScan], list[Omission]]:
    """Scans and omissions under hashed labels, in the order of these."""
    scans = [_disguised_scan(scan, disguise) for scan in planned]
    left = [_disguised_omission(omission, disguise) for omission in omissions]
    return sorted(scans, key=lambda scan: natural_key(scan.participant)), sorted(left, key=lambda item: item.name)


def _disguised_scan(scan: PlannedScan, disguise: Disguise) -> PlannedScan:
    person, session = disguise.participant(scan.participant), disguise.session(scan.session)
    covariates = {name: value if name in PLACES else disguise.values(value) for name, value in scan.covariates.items()}
    covariates |= {**hashed_ids(person, session, disguise), "fs_subject": scan_name(person, session)}
    tree = scan.subject_dir.name if scan.subject_dir is not None else ""
    covariates["findings"] = [
        disguise.values({**item, "seen": _without(str(item.get("seen", "")), tree, scan_name(person, session))})
        for item in scan.covariates.get("findings", ())
    ]
    return replace(scan, participant=person, session=session, covariates=covariates)


def _without(text: str, tree: str, name: str) -> str:
    """`text` that does not name a tree whose name is no BIDS one."""
    return text if not tree or tree.startswith("sub-") else text.replace(tree, name)


def _disguised_omission(omission: Omission, disguise: Disguise) -> Omission:
    return replace(
        omission,
        participant=disguise.participant(omission.participant),
        session=disguise.session(omission.session),
        reason=disguise.text(omission.reason),
        remedy=disguise.text(omission.remedy),
        findings=tuple(disguised_finding(item, disguise) for item in omission.findings),
        to_fetch=(),
    )


def disguised_finding(finding: Finding, disguise: Disguise) -> Finding:
    """A finding that names nobody."""
    return Finding(
        *(finding.kind, *map(disguise.text, (finding.seen, finding.effect, finding.remedy))),
        *(label and disguise.text(label) for label in (finding.participant_id, finding.session_id)),
    )


def clinical_of(
    bids_dir: Path, scans: Sequence[Scan] | None, participants_file: Path | None, salt: str | None
) -> pd.DataFrame:
    """`clinical_table` of scans, or of every visit, whose labels may be hashed with `salt`.

    Where nobody knows the salt the rows have no columns but their keys; columns that say who somebody is are left out.

    Parameters
    ----------
    bids_dir : Path
    scans : sequence of Scan or None
        Under the labels of the outputs; None for every visit of the dataset.
    participants_file : Path or None
        In place of the dataset's own.
    salt : str or None

    Returns
    -------
    DataFrame
        As `clinical_table`, in the order of `scans`.
    """
    if scans is not None and salt is None and any(is_hash(scan.participant) for scan in scans):
        return pd.DataFrame([(f"sub-{s.participant}", s.session and f"ses-{s.session}") for s in scans], columns=KEYS)
    if salt is None:
        return clinical_table(bids_dir, scans, participants_file=participants_file)
    disguise, own = Disguise(salt), scans
    if scans is not None:
        real = {_hashed(scan, disguise): scan for scan in every_visit(bids_dir, participants_file)}
        people = {key[0]: scan.participant for key, scan in real.items()}
        own = [
            real.get((s.participant, s.session)) or Scan(people.get(s.participant, s.participant), s.session)
            for s in scans
        ]
    table = clinical_table(bids_dir, own, participants_file=participants_file)
    notes = tuple(map(disguise.text, table.attrs.get(NOTES, ())))
    keys = zip(table[KEYS[0]].tolist(), table[KEYS[1]].tolist(), strict=True)
    hashed = [
        hashed_ids(bare(who, "sub"), bare(session, "ses") if isinstance(session, str) else None, disguise)
        for who, session in keys
    ]
    table = table.assign(**{name: [row[name] for row in hashed] for name in KEYS})
    table.attrs[NOTES] = notes
    return table.drop(columns=_telling(table))


def phenotype_findings_of(
    bids_dir: Path, scans: Iterable[Scan], participants_file: Path | None, salt: str | None = None
) -> list[Finding]:
    """`phenotype_findings`, under labels hashed with `salt`; nothing where nobody knows the salt of the labels."""
    own = list(scans)
    if any(is_hash(scan.participant) for scan in own):
        if salt is None:
            return []
        own = []
    found = phenotype_findings(bids_dir, own, participants_file)
    return found if salt is None else [disguised_finding(finding, Disguise(salt)) for finding in found]


def _telling(table: pd.DataFrame) -> list[str]:
    """Columns that say who somebody is: by their name, or because nearly everybody has a text of their own."""
    people = table[KEYS[0]].nunique()
    found = []
    for name, column in table.drop(columns=KEYS).items():
        texts = column[column.map(lambda cell: isinstance(cell, str))]
        own = (
            str(name).lower() not in _SPLIT
            and texts.nunique() > people / 2
            and not texts.map(lambda text: bool(re.search(r"\d{4}", text))).all()
        )
        if _WHO.search(str(name)) or own:
            found.append(str(name))
    return found


def _hashed(scan: Scan, disguise: Disguise) -> tuple[str, str | None]:
    return disguise.participant(scan.participant), disguise.session(scan.session)
