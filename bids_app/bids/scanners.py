"""The scanner of every scan from the JSON sidecars of its T1w images, where no column of the tables names it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from bids_app.bids.layout import Scan
from bids_app.bids.names import participant_id, session_id
from bids_app.bids.source_tables import is_missing
from bids_app.errors import NormvolError
from bids_app.findings import Finding
from bids_app.tables import read_json

# Names of columns (in small letters) that tell the scanner, the best first
SCANNER_COLUMNS = ("scanner", "scanner_id", "site", "site_id", "center", "centre")
SCANNER = SCANNER_COLUMNS[0]
_MAKERS = {"siemens": "Siemens", "philips": "Philips", "ge": "GE", "canon": "Canon", "toshiba": "Toshiba"}
_NOTHING = {"", "none", "n/a", "na", "unknown", "anonymous", "anon", "anonymized", "anonymised"}
# A field in gauss is beyond this many tesla.
_MOST_TESLA = 30.0


class Scanner(NamedTuple):
    """What sidecars say of a scanner; None where they say nothing."""

    maker: str | None = None
    model: str | None = None
    tesla: str | None = None
    device: str | None = None

    def known(self) -> set[str]:
        """Names of what is said."""
        return {name for name, value in self._asdict().items() if value}

    def only(self, names: set[str]) -> Scanner:
        """What is said of `names` alone."""
        return Scanner(**{name: value for name, value in self._asdict().items() if name in names})

    def __str__(self) -> str:
        return " ".join(filter(None, self))


def scanner_of(bids_dir: Path, scan: Scan, above: Mapping[str, Any] | None = None) -> Scanner:
    """What the sidecars of a scan's T1w images say, those above it (BIDS inheritance) first and overruled.

    `above` is what `_said_in` the dataset's own folder, which has an entry per person: it is listed once for all scans.
    """
    person = bids_dir / participant_id(scan.participant)
    session = session_id(scan.session)
    visit = person if session is None else person / session
    said = dict(_said_in(bids_dir) if above is None else above)
    if not os.path.isdir(person):
        return _scanner(said)
    for folder in dict.fromkeys((person, visit, visit / "anat")):
        said |= _said_in(folder)
    return _scanner(said)


def _said_in(folder: Path) -> dict[str, Any]:
    """What the sidecars of T1w images in a folder say together."""
    try:
        found = sorted(name for name in os.listdir(folder) if name.endswith("T1w.json"))
    except OSError:
        return {}
    # Above the images a name with entities may be of others; beside them all are of one visit.
    said: dict[str, Any] = {}
    if folder.name == "anat" or len(found) == 1:
        for name in reversed(found):
            said |= _content(folder / name)
    return said


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = read_json(path)
    except NormvolError:
        return {}
    return content if isinstance(content, Mapping) else {}


def _scanner(said: Mapping[str, Any]) -> Scanner:
    maker = _text(said.get("Manufacturer"))
    model = _text(said.get("ManufacturersModelName"))
    device = _text(said.get("DeviceSerialNumber")) or _text(said.get("StationName"))
    if not (maker or model or device):
        return Scanner()
    return Scanner(_maker(maker) or maker, model, _tesla(said.get("MagneticFieldStrength")), device)


def _text(value: Any) -> str | None:
    """A cell of a sidecar as text; None for lists, placeholders and nothing."""
    text = " ".join(str(value).replace("_", " ").split()) if isinstance(value, str | int | float) else ""
    return None if text.lower() in _NOTHING else text


def _maker(text: str | None) -> str | None:
    """The usual name of the maker that a text names as a word; None without one."""
    words = re.findall(r"[a-z]+", (text or "").lower())
    return next((_MAKERS[word] for word in words if word in _MAKERS), None)


def _tesla(value: Any) -> str | None:
    """``3T``: to half a tesla, as programs write 2.89 and 3, 15000 gauss and 1.5."""
    try:
        field = float(value)
    except (TypeError, ValueError):
        return None
    field /= 1e4 if field > _MOST_TESLA else 1
    return f"{round(2 * field) / 2 or field:g}T" if 0 < field <= _MOST_TESLA else None


def scanners_of(
    bids_dir: Path, scans: Sequence[Scan], others: Sequence[Mapping[str, str]]
) -> list[tuple[dict[str, str], tuple[Finding, ...]]]:
    """The column ``scanner`` of each scan where none of its columns (`others`) tells it, and where the two disagree.

    Of a person's scans only what every sidecar says is compared, since a value that one of them leaves out is no other
    scanner.
    """
    people: dict[str, list[int]] = {}
    for position, scan in enumerate(scans):
        people.setdefault(scan.participant, []).append(position)
    added: list[dict[str, str]] = [{} for _ in scans]
    findings: list[list[Finding]] = [[] for _ in scans]
    above = _said_in(bids_dir)
    for positions in people.values():
        seen = {position: scanner_of(bids_dir, scans[position], above) for position in positions}
        seen = {position: scanner for position, scanner in seen.items() if scanner.known()}
        common = set.intersection(*(scanner.known() for scanner in seen.values())) if seen else set()
        told = {position: scanner.only(common) for position, scanner in seen.items() if common}
        columns = {position: _column(others[position]) for position in told}
        for position, scanner in told.items():
            if columns[position] is None:
                added[position] = {SCANNER: str(scanner)}
        for position, text in _disagreements(scans, told, columns):
            findings[position].append(Finding("scanner-disagrees", text))
    return [(column, tuple(found)) for column, found in zip(added, findings, strict=True)]


def _column(others: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and value of the column that tells the scanner."""
    names = {name.lower(): name for name, value in others.items() if not is_missing(value)}
    return next(((names[name], str(others[names[name]])) for name in SCANNER_COLUMNS if name in names), None)


def _disagreements(
    scans: Sequence[Scan], told: Mapping[int, Scanner], columns: Mapping[int, tuple[str, str] | None]
) -> list[tuple[int, str]]:
    """Scans of one person whose column and sidecars cannot both be right."""
    found = []
    for position, scanner in told.items():
        column = columns[position]
        maker = _maker(column[1]) if column else None
        if column and maker and scanner.maker in _MAKERS.values() and maker != scanner.maker:
            found.append((position, f"column {column[0]} says {column[1]}, the sidecar {scanner}"))
    for first, second in combinations(told, 2):
        one, other = columns[first], columns[second]
        if one is None or other is None or one[0] != other[0]:
            continue
        sessions = f"{scans[first].session or 'one scan'} and {scans[second].session or 'another'}"
        if one[1] == other[1] and told[first] != told[second]:
            seen = f"column {one[0]} says {one[1]} of {sessions}, their sidecars {told[first]} and {told[second]}"
        elif one[1] != other[1] and told[first] == told[second] and told[first].device:
            seen = f"column {one[0]} says {one[1]} and {other[1]} of {sessions}, their sidecars both {told[first]}"
        else:
            continue
        found.append((second, seen))
    return found
