"""What is known of a scan's lesions: masks in the dataset and its derivatives, and tables of segmentation tools."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bids_app.bids.layout import Scan
from bids_app.bids.names import bare, named_path, participant_id, scan_name, unpadded
from bids_app.bids.source_tables import read_any_sheet
from bids_app.bounded import names_in
from bids_app.errors import InputError
from bids_app.findings import Finding

# <prefix>_[space-T1w_][label-lesion_](mask|dseg|roi|probseg).nii[.gz], "lesion" in a label or description
MASK = re.compile(r"_(?:label|desc)-[A-Za-z0-9]*(?i:lesion)[A-Za-z0-9]*_.*?(?:mask|dseg|roi|probseg)\.nii(?:\.gz)?$")
SPACE = re.compile(r"_space-([A-Za-z0-9+]+)_")
# Spaces that are those of the person's T1w image
OWN_SPACES = ("T1w", "T1", "orig", "individual", "scanner", "native", "anat", "fsnative")
PERSON = ("participant_id", "participant", "subject", "subject_id", "sub", "id")
SESSION = ("session_id", "session", "ses", "visit")
TOTAL = re.compile(r"(total_|t2_|wm_|flair_)*lesions?_?(volume|vol|load)(_(total|mm3|mm_3|ml|cm3))*|tlv(_(mm3|ml))?")
COUNT = re.compile(r"(n|no|num|number|count)(_of)?_(wm_|t2_)*lesions?|(total_|wm_|t2_)*lesions?_?(count|number|num|n)")
MILLILITRES = ("_ml", "_cm3")
# What segmentation tools write for one scan: LST-AI's tables, SAMSEG's statistics
PER_SCAN = ("lesion_stats.csv", "annotated_lesion_stats.csv", "samseg.stats")
SAMSEG = re.compile(r"^#\s*Measure\s+Lesions\s*,\s*([-+.\deE]+)\s*,\s*mm\^3", re.MULTILINE)
SCAN_IN_PATH = re.compile(r"sub-([A-Za-z0-9+]+)(?:[_/].*?ses-([A-Za-z0-9+]+))?")
Key = tuple[str, str | None]


@dataclass(frozen=True)
class LesionSource:
    """What is known of one scan's lesions before any image is looked at.

    Parameters
    ----------
    mask : Path or None
    count, volume_mm3 : float or None
        From a table.
    parts : mapping
        Volume (mm^3) by part of the brain, from a table.
    table : str
        Name of that table.
    findings : tuple of Finding
    """

    mask: Path | None = None
    count: float | None = None
    volume_mm3: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    table: str = ""
    findings: tuple[Finding, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Plain values for the nodes; findings travel on their own."""
        values = {"count": self.count, "volume_mm3": self.volume_mm3, "parts": dict(self.parts), "table": self.table}
        return {**values, "mask": None if self.mask is None else str(self.mask)}


def mask_roots(bids_dir: Path, derivatives: Sequence[str | Path] = ()) -> list[Path]:
    """The datasets that may hold masks: those of ``-d [name=]path``, the dataset itself, and its derivatives."""
    named = [named_path(given)[1] for given in derivatives]
    folder = bids_dir / "derivatives"
    inside = [folder / name for name in names_in(folder) if (folder / name).is_dir()]
    return list(dict.fromkeys([*named, *inside, bids_dir]))


def find_mask(scan: Scan, roots: Iterable[Path]) -> LesionSource:
    """The lesion mask of a scan in T1w space; a finding says which others were not used."""
    found: list[Path] = []
    elsewhere: list[Path] = []
    for root in roots:
        parts = (participant_id(scan.participant), *([f"ses-{scan.session}"] if scan.session else ()), "anat")
        folder = os.path.join(root, *parts)
        for name in names_in(folder):
            if name.startswith(f"{scan.name}_") and MASK.search(name):
                space = SPACE.search(name)
                own = space is None or space[1] in OWN_SPACES
                (found if own and "_FLAIR_" not in name else elsewhere).append(Path(folder, name))
    findings = []
    if len(found) > 1:
        others = ", ".join(path.name for path in found[1:])
        findings.append(Finding("lesion-mask-choice", f"{found[0].name} was used, not {others}"))
    elif elsewhere and not found:
        named = ", ".join(path.name for path in elsewhere)
        findings.append(Finding("lesion-mask-unused", f"{named}: not in the space of the T1w image"))
    return LesionSource(found[0] if found else None, findings=tuple(findings))


def with_table(source: LesionSource, row: LesionSource | None) -> LesionSource:
    """What a table says of a scan beside its mask."""
    if row is None:
        return source
    return replace(row, mask=source.mask, findings=(*source.findings, *row.findings))


class LesionRows(dict[Key, LesionSource]):
    """Lesions by participant and session label as a table spells them."""

    @cached_property
    def alike(self) -> dict[Key, list[Key]]:
        """The keys by what `unpadded` leaves of them."""
        found: dict[Key, list[Key]] = {}
        for key in self:
            found.setdefault(spelling(*key), []).append(key)
        return found


def read_lesion_tables(path: Path) -> LesionRows:
    """Lesions of each scan by participant and session label: a table with one row per scan, or a folder.

    In a folder every ``lesion_stats.csv`` and ``annotated_lesion_stats.csv`` (LST-AI) and ``samseg.stats`` (SAMSEG)
    whose path names a person (``sub-X``, ``ses-Y``) counts.

    Raises
    ------
    InputError
        When there is nothing to read, or a table has neither a volume nor a number of lesions.
    """
    if path.is_dir():
        found = _from_folder(path)
        if not found:
            raise InputError(
                f"{path} holds none of {', '.join(PER_SCAN)} in folders that name a person (sub-X)",
                "give a table with participant_id, lesion_volume and lesion_count",
            )
        return LesionRows(found)
    if not path.is_file():
        raise InputError(f"the table of lesions {path} does not exist", "check the path of --lesions")
    return LesionRows(_from_table(path))


def row_of(rows: LesionRows, scan: Scan, *, only: bool = True, rivals: bool = False) -> LesionSource | None:
    """The row of a scan, 1 for 01 too; a row without session is of nobody's scan but that of a person with `only` one.

    For a person with several, or where the spelling fits several rows or (`rivals`) scans, a finding says so, and
    there is no value.
    """
    own = _row(rows, scan.participant, scan.session, rivals)
    of_person = _row(rows, scan.participant, None, rivals) if own is None else None
    if of_person is None or only:
        return own or of_person
    seen = f"{of_person.table} has a row of {participant_id(scan.participant)} without a session, who has several"
    return LesionSource(findings=(Finding("lesion-row-unused", seen),))


def _row(rows: LesionRows, person: str, session: str | None, rivals: bool) -> LesionSource | None:
    if (person, session) in rows:
        return rows[person, session]
    near = rows.alike.get(spelling(person, session), [])
    if len(near) == 1 and not rivals:
        return rows[near[0]]
    if not near:
        return None
    tables = ", ".join(sorted({str(rows[key].table) for key in near}))
    names, scan = " and ".join(scan_name(*key) for key in near), scan_name(person, session)
    seen = f"{tables} has rows of {names}, either of which may be of {scan}"
    if len(near) == 1:
        seen = f"{tables} has a row of {names}, which fits {scan} and another that is spelt alike"
    return LesionSource(findings=(Finding("lesion-row-unused", seen),))


def spelling(person: str, session: str | None) -> Key:
    """What is left of the labels of a scan without case and padding."""
    return unpadded(person), session and unpadded(session)


def _from_table(path: Path) -> dict[Key, LesionSource]:
    header, rows = read_any_sheet(path)
    plain = {name: re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in header}
    person = next((name for name in header if plain[name] in PERSON), None)
    session = next((name for name in header if plain[name] in SESSION), None)
    total = next((name for name in header if TOTAL.fullmatch(plain[name])), None)
    count = next((name for name in header if COUNT.fullmatch(plain[name])), None)
    if person is None or (total is None and count is None):
        lacks = "participant_id" if person is None else "lesion_volume and lesion_count"
        raise InputError(f"the table of lesions {path} has no column {lacks}", f"its columns are {', '.join(header)}")
    parts = [name for name in header if re.match(r"lesions?_?(volume|vol)_", plain[name]) and name != total]
    found: dict[Key, LesionSource] = {}
    for row in rows:
        label, visit = row.get(person), row.get(session) if session else None
        if label:
            key = (bare(label, "sub"), bare(visit, "ses") if visit else None)
            if key in found:
                raise InputError(f"{path} has several rows of {scan_name(*key)}", "leave one row per scan")
            found[key] = LesionSource(
                count=_number(row.get(count)) if count else None,
                volume_mm3=_volume(row.get(total), plain[total]) if total else None,
                parts={name: value for name in parts if (value := _volume(row.get(name), plain[name])) is not None},
                table=path.name,
            )
    return found


def _from_folder(folder: Path) -> dict[Key, LesionSource]:
    found: dict[Key, LesionSource] = {}
    for name in PER_SCAN:
        for path in sorted(folder.rglob(name)):
            named = SCAN_IN_PATH.search(path.relative_to(folder).as_posix())
            if named is None:
                continue
            key = (named[1], named[2])
            found[key] = _merged(found.get(key, LesionSource()), path)
    return found


def _merged(source: LesionSource, path: Path) -> LesionSource:
    """What one tool's file of one scan adds."""
    if path.name == "samseg.stats":
        measured = SAMSEG.search(path.read_text(encoding="utf-8", errors="replace"))
        return replace(source, volume_mm3=float(measured[1]), table=path.name) if measured else source
    rows = read_any_sheet(path)[1]
    if path.name == "lesion_stats.csv" and rows:
        row = {name.lower(): cell for name, cell in rows[0].items()}
        count, volume = _number(row.get("num_lesions")), _volume(row.get("lesion_volume"), "")
        return replace(source, count=count, volume_mm3=volume, table=path.name)
    parts = dict(_parts(rows))
    return replace(source, parts=parts, table=source.table or path.name)


def _parts(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    for row in rows:
        cells = {name.lower(): cell for name, cell in row.items()}
        volume = _volume(cells.get("lesion_volume"), "")
        if cells.get("region") and volume is not None:
            yield str(cells["region"]), volume


def _number(cell: Any) -> float | None:
    try:
        value = float(str(cell).replace(",", "."))
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _volume(cell: Any, name: str) -> float | None:
    """A volume in mm^3; columns that end as `MILLILITRES` are converted."""
    value = _number(cell)
    return value if value is None or not name.endswith(MILLILITRES) else 1000 * value
