"""The files of an output dataset that a report is made from, as frozen records that remember their file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.bids.citation import of_one_person
from bids_app.bids.group_files import group_file, group_files, table_name
from bids_app.bids.names import names_beginning
from bids_app.bids.ratings import FILE as RATINGS
from bids_app.errors import InputError
from bids_app.tables import read_json, read_table

OWN_FIGURE_END = "_morph"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".svg")
DEVIATION_SETS = ("deviations", "extended", "asymmetry", "thickness", "area", "second")
# Tables of counted regions, whose z are drawn on a brain
MAPPED = ("deviations", "thickness", "area")
# people whose centiles are looked for, from the middle of the head sizes
NEAREST = 20
PERSON_TABLES = ("centiles", "change", "rates", "comparability", "forecast")
GROUP_TABLES = (
    "findings",
    "inclusion",
    "flow",
    "cohort",
    "deviations",
    "counts",
    "zscores",
    "prevalence",
    "quality",
    "sites",
    "adaptation",
)


@dataclass(frozen=True)
class Sheet:
    """A table and its path relative to the output dataset; the index is the row's position in the file."""

    file: str
    table: pd.DataFrame

    def pick(self, rows: pd.Series | pd.DataFrame) -> Sheet:
        """The same file with some rows, or rows in another order.

        Parameters
        ----------
        rows : Series of bool, or DataFrame
            A mask, or the rows themselves with their positions in the file as index.

        Returns
        -------
        Sheet
        """
        return Sheet(self.file, self.table[rows] if isinstance(rows, pd.Series) else rows)

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Position in the file and the row's values."""
        yield from self._rows

    @cached_property
    def _rows(self) -> list[tuple[int, dict[str, Any]]]:
        return list(zip(self.table.index, self.table.to_dict("records"), strict=True))


@dataclass(frozen=True)
class Record:
    """A JSON file and its path relative to the output dataset."""

    file: str
    content: Any

    def get(self, key: str, default: Any = None) -> Any:
        """The value at a dotted key such as ``counts.n_infra`` or ``warnings.0``; a key may itself hold dots."""
        return _at(self.content, key, default)


def _at(value: Any, key: str, default: Any) -> Any:
    if isinstance(value, list):
        first, _, rest = key.partition(".")
        if not first.isdecimal() or int(first) >= len(value):
            return default
        found = value[int(first)]
    else:
        names = [str(name) for name in value if f"{key}.".startswith(f"{name}.")] if isinstance(value, dict) else []
        if not names:
            return default
        name = max(names, key=len)
        found, rest = value[name], key[len(name) + 1 :]
    return _at(found, rest, default) if rest else found


@dataclass(frozen=True)
class Scan:
    """What is on disk about one scored scan."""

    session: str | None
    summary: Record
    sheets: dict[str, Sheet]
    lesions: Sheet | None = None

    @property
    def deviations(self) -> Sheet | None:
        """The counted regions: of volumes, of thickness or area where no volume was scored."""
        counted = [self.sheets[name] for name in MAPPED if name in self.sheets]
        return next((sheet for sheet in counted if len(sheet.table)), counted[0] if counted else None)

    @property
    def counts(self) -> dict[str, str]:
        """Keys of the summary's counts, to the measure where it is no volume."""
        surfaces = {f"surface_counts.{name}": name for name in self.summary.get("surface_counts") or {}}
        return {"counts": ""} if self.summary.get("counts.n_regions") or not surfaces else surfaces

    @property
    def stem(self) -> str:
        """BIDS entities of the scan, ``sub-01_ses-1``."""
        return Path(self.summary.file).name.split("_desc-")[0]

    @property
    def label(self) -> str:
        """``ses-1``, or ``scan`` in a dataset without sessions."""
        return self.session or "scan"


@dataclass(frozen=True)
class Person:
    """What is on disk about one participant; scans are in order of age."""

    label: str
    scans: tuple[Scan, ...]
    centiles: Sheet | None
    change: Sheet | None
    rates: Sheet | None
    comparability: Sheet | None
    forecast: Sheet | None
    images: tuple[Path, ...]
    unfinished: tuple[Record, ...]
    crashes: tuple[str, ...]
    citation: str | None
    model_card: Record | None
    ratings: Sheet | None = None


@dataclass(frozen=True)
class Fan:
    """Centiles of every region by age for one sex and head size: those of the person nearest to the middle."""

    sheet: Sheet
    words: str

    def of(self, region: str) -> pd.DataFrame:
        """The centiles of one region.

        Parameters
        ----------
        region : str

        Returns
        -------
        DataFrame
            Rows of `sheet`, by age.
        """
        return self.sheet.table[self.sheet.table["region"] == region].sort_values("age")


@dataclass(frozen=True)
class Group:
    """What is on disk at the group level."""

    sheets: dict[str, Sheet]
    analyses: dict[str, tuple[Record, Sheet]]
    reports: frozenset[str]
    adaptation: Record | None
    citation: str | None
    model_cards: tuple[Record, ...]
    fan: Fan | None = None


def load_sheet(root: Path, file: Path) -> Sheet | None:
    """The table when it exists."""
    return Sheet(file.relative_to(root).as_posix(), read_table(file)) if file.is_file() else None


def load_record(root: Path, file: Path) -> Record | None:
    """The JSON file when it exists."""
    return Record(file.relative_to(root).as_posix(), read_json(file)) if file.is_file() else None


def load_person(root: Path, label: str) -> Person:
    """Everything about participant `label` (without prefix).

    Raises
    ------
    InputError
        When the dataset holds neither a result nor a status of the participant.
    """
    folder = root / f"sub-{label}"
    scans = sorted(
        (_scan(root, file) for file in sorted(folder.glob("**/anat/*_desc-summary_morph.json"))),
        key=lambda scan: (scan.summary.get("covariates.age") or 0.0, scan.session or ""),
    )
    statuses = list(_statuses(root, label))
    unfinished = tuple(status for status in statuses if status.get("status") != "scored")
    runs = {status.get("run_uuid") for status in statuses}
    crashes = (path for path in folder.glob("log/*/crash*") if None in runs or path.parent.name in runs)
    if not scans and not unfinished:
        raise InputError(f"nothing about sub-{label} is in {root}", "run the participant level for this label first")
    anat = folder / "anat"
    model = scans[-1].summary.get("model.name") if scans else None
    return Person(
        label=label,
        scans=tuple(scans),
        unfinished=unfinished,
        **{name: load_sheet(root, anat / f"sub-{label}_desc-{name}_morph.tsv") for name in PERSON_TABLES},
        images=_images(folder / "figures"),
        crashes=tuple(sorted(path.relative_to(root).as_posix() for path in crashes)),
        citation=of_one_person(_text(root / "CITATION.md")),
        model_card=load_record(root, root / f"model_{model}.json"),
        ratings=_ratings(root, f"sub-{label}"),
    )


def load_group(root: Path) -> Group:
    """Everything of the group level that is in the dataset."""
    sheets = {name: sheet for name in GROUP_TABLES if (sheet := load_sheet(root, group_file(root, name)))}
    ratings = _ratings(root)
    return Group(
        sheets=sheets if ratings is None else {**sheets, "ratings": ratings},
        analyses=_analyses(root),
        reports=frozenset(path.stem for path in root.glob("sub-*.html")),
        adaptation=load_record(root, root / "adaptation.json"),
        citation=_text(root / "CITATION.md"),
        model_cards=tuple(filter(None, (load_record(root, path) for path in sorted(root.glob("model_*.json"))))),
        fan=_fan(root, sheets.get("deviations")),
    )


def _fan(root: Path, scans: Sheet | None) -> Fan | None:
    """The centiles of the person of the more frequent sex whose head size is nearest to its median."""
    if scans is None or scans.table.empty or not {"sex", "etiv_mm3"} <= set(scans.table):
        return None
    people = scans.table.drop_duplicates("participant_id").dropna(subset=["sex", "etiv_mm3"])
    people = people[people["sex"] == people["sex"].mode().iloc[0]] if len(people) else people
    distance = (people["etiv_mm3"] - people["etiv_mm3"].median()).abs().sort_values(kind="stable")
    for row in people.loc[distance.index[:NEAREST]].to_dict("records"):
        who = str(row["participant_id"])
        sheet = load_sheet(root, root / who / "anat" / f"{who}_desc-centiles_morph.tsv")
        if sheet is not None:
            return Fan(sheet, f"{row['sex']}, eTIV {float(row['etiv_mm3']) / 1e6:.2f} L")
    return None


def _ratings(root: Path, participant: str | None = None) -> Sheet | None:
    """What a reader said of everybody's scans, or of one person's."""
    sheet = load_sheet(root, root / RATINGS)
    if sheet is None or participant is None:
        return sheet
    return sheet.pick(sheet.table["participant_id"].astype(str) == participant)


def _scan(root: Path, file: Path) -> Scan:
    summary = Record(file.relative_to(root).as_posix(), read_json(file))
    found = {
        name: load_sheet(root, file.with_name(file.name.replace("_desc-summary_morph.json", f"_desc-{name}_morph.tsv")))
        for name in (*DEVIATION_SETS, "lesions")
    }
    lesions = found.pop("lesions")
    sheets = {name: sheet for name, sheet in found.items() if sheet is not None}
    return Scan(summary.get("session_id"), summary, sheets, lesions)


def _statuses(root: Path, label: str) -> Iterator[Record]:
    folder = root / "logs" / "status"
    others = [name for name in names_beginning(folder, f"sub-{label}_") if name.endswith(".json")]
    for name in (f"sub-{label}.json", *others):
        status = load_record(root, folder / name)
        if status is not None:
            yield status


def _images(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.stem.endswith(OWN_FIGURE_END)
    )


def _analyses(root: Path) -> dict[str, tuple[Record, Sheet]]:
    found = {}
    for file in group_files(root, ".json"):
        record = load_record(root, file)
        sheet = load_sheet(root, file.with_suffix(".tsv"))
        if record is not None and sheet is not None and isinstance(record.get("Title"), str):
            found[table_name(file)] = (record, sheet)
    return found


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
