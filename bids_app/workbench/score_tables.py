"""z-scores in a plain table: the file beside it that says where they come from, and reading both back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app import __version__
from bids_app.bids.citation import MethodsFacts, methods_text, model_titles
from bids_app.bids.columns import columns_for
from bids_app.bids.names import output_path
from bids_app.bids.sink import SOFTWARE
from bids_app.errors import InputError
from bids_app.regions import AREA, ETIV, MEASURES, THICKNESS, counted_regions, measured_names, reference_regions
from bids_app.tables import atomic_write, read_json, read_table, write_json
from bids_app.workbench.table_columns import IDENTIFIERS, rename_columns

MADE_BY = "GeneratedBy"
# The median of |z| of healthy people is 0.67; volumes in mm^3 are thousands.
LARGEST_MEDIAN_Z = 20.0


@dataclass(frozen=True)
class Origin:
    """What made z-scores: the model's card and how it was used; without a card nothing is known.

    Parameters
    ----------
    card : mapping or None
        ``ModelCard.to_json()``.
    scoring : str
    adaptation : mapping or None
        ``SiteAdaptation.to_dict()``; None without site adaptation.
    rows : str or None
        `rows_digest` of the table that was scored.
    structure, regions : str, tuple of str
        What the model is made of, and its regions.
    """

    card: Mapping[str, Any] | None = None
    scoring: str = "own-sex"
    adaptation: Mapping[str, Any] | None = None
    rows: str | None = None
    structure: str = ""
    regions: tuple[str, ...] = ()

    @property
    def model(self) -> str | None:
        """Name and version of the model."""
        return f"{self.card['name']} {self.card.get('version', '')}".strip() if self.card else None

    def write(
        self, output_dir: Path, programs: Mapping[tuple[str, str], int], statistics: tuple[str, ...] = ()
    ) -> None:
        """Write CITATION.md and ``model_<name>.json`` of the model; those of an earlier run are removed.

        `programs` and `statistics` are those of `MethodsFacts`.
        """
        for path in output_dir.glob("model_*.json"):
            path.unlink()
        (output_dir / "CITATION.md").unlink(missing_ok=True)
        if self.card:
            name = str(self.card["name"])
            card_file = output_path(output_dir, f"model_{name}.json")
            levels = (self.adaptation or {}).get("levels", {})
            controls = {str(key): len(level["people"]) for key, level in levels.items()}
            facts = MethodsFacts(
                name, self.card, self.structure, self.regions, self.scoring, True, programs, controls, statistics
            )
            atomic_write(output_path(output_dir, "CITATION.md"), methods_text(facts))
            write_json(model_titles(self.card), card_file)


class RowsDigest:
    """Fingerprint of what z depends on, in any order of rows and in pieces: identifiers, covariates, volumes."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, data: pd.DataFrame) -> None:
        """Take in some rows of model input; the order of rows and of pieces does not matter.

        Parameters
        ----------
        data : DataFrame
            Only identifiers, covariates and measures count.
        """
        words = [name for name in (*IDENTIFIERS, "sex", "fs_version") if name in data]
        numbers = [
            name for name in ("age", ETIV, *reference_regions(), *measured_names(THICKNESS, AREA)) if name in data
        ]
        start = hashlib.sha256("\n".join([*words, *numbers]).encode())
        values = data[numbers].to_numpy(dtype="<f8")
        cells_of = [[str(cell) for cell in data[name]] for name in words]
        for cells, row in zip(zip(*cells_of) if words else [()] * len(data), values, strict=True):
            digest = start.copy()
            digest.update("\n".join(cells).encode() + row.tobytes())
            self._sum += int.from_bytes(digest.digest())

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return f"{self._sum % 2**256:064x}"


def rows_digest(data: pd.DataFrame) -> str:
    """The `RowsDigest` of a whole table.

    Parameters
    ----------
    data : DataFrame
        Model input.

    Returns
    -------
    str
        Hexadecimal.
    """
    digest = RowsDigest()
    digest.add(data)
    return digest.hexdigest()


def describe_scores(ids: Iterable[str], regions: Iterable[str], origin: Origin) -> dict[str, Any]:
    """The JSON beside a table of z-scores: its columns, and under ``GeneratedBy`` where they come from."""
    known = {**columns_for("group_extended"), **columns_for("group_zscores")}
    columns = {name: {"Description": f"Column {name} of the table that was scored"} for name in ids}
    columns |= {name: known.get(name, {"Description": f"z of {name}"}) for name in regions}
    maker = {
        "Name": SOFTWARE,
        "Version": __version__,
        "Model": origin.card,
        "Scoring": origin.scoring,
        "Adaptation": origin.adaptation,
        "Rows": origin.rows,
        "Structure": origin.structure,
        "Regions": list(origin.regions),
    }  # sums over controls, nobody's volumes
    return {**columns, MADE_BY: [maker]}


def write_description(content: Mapping[str, Any], table: Path) -> Path | None:
    """Write `content` beside `table`; None when a file of another origin has that name and was left alone."""
    path = table.with_suffix(".json")
    if path.exists() and not _maker(path):
        return None
    return write_json(dict(content), path)


def read_origin(table: Path) -> Origin:
    """What `describe_scores` said of a table; an empty `Origin` for z-scores of another making."""
    maker = _maker(table.with_suffix(".json"))
    card = maker.get("Model")
    if not isinstance(card, Mapping) or "name" not in card:
        return Origin()
    made = str(maker.get("Structure") or ""), tuple(maker.get("Regions") or ())
    return Origin(card, str(maker.get("Scoring") or "own-sex"), maker.get("Adaptation"), maker.get("Rows"), *made)


def _maker(path: Path) -> Mapping[str, Any]:
    """The entry of this software under ``GeneratedBy``; empty when there is none."""
    try:
        content = read_json(path)
        makers = content[MADE_BY]
        return next(maker for maker in makers if maker["Name"] == SOFTWARE and "Model" in maker)
    except (InputError, KeyError, TypeError, StopIteration):
        return {}


def read_zscores(path: Path, mapping: Mapping[str, str] | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A table of z-scores: identifiers as text, and z of every known region.

    Parameters
    ----------
    path : Path
        TSV, CSV or Parquet, as ``normvol-model score`` writes it or of another making.
    mapping : mapping, optional
        Name used here to the table's column; entries that the table does not need are ignored.

    Returns
    -------
    DataFrame, tuple of str
        ``participant_id``, ``session_id`` where the table has them, the regions; sentences on what was renamed.

    Raises
    ------
    InputError
        When the table cannot be read, holds no z of a reference region, or holds something else.
    """
    ids = {ours: theirs for ours, theirs in (mapping or {}).items() if ours in IDENTIFIERS}
    table = read_table(path, text=[*IDENTIFIERS, *ids.values()]).reset_index(drop=True)
    if table.empty:
        raise InputError(f"{path.name} has no rows", "give the table that normvol-model score wrote with -o")
    table.columns = [str(name) for name in table.columns]
    used = {ours: theirs for ours, theirs in ids.items() if theirs in table and ours not in table}
    table, notes = rename_columns(table, used, path.name)
    known = {**columns_for("group_zscores"), **columns_for("group_extended")}
    scored = [name for name in table.columns if name in known and name not in IDENTIFIERS]
    if not set(scored).intersection(name for measure in MEASURES for name in counted_regions(measure)):
        raise InputError(
            f"{path.name} has no column of a reference region", "give the table that normvol-model score wrote with -o"
        )
    z = table[scored].apply(pd.to_numeric, errors="coerce").astype(float)
    broken = [name for name in scored if (z[name].isna() & table[name].notna()).any()]
    if broken:
        raise InputError(f"column {broken[0]} of {path.name} holds cells that are not numbers", "score the table again")
    if z.abs().stack().median() > LARGEST_MEDIAN_Z:
        raise InputError(
            f"{path.name} holds volumes or the like, not z", "give the table that normvol-model score wrote with -o"
        )
    present = [name for name in IDENTIFIERS if name in table]
    return pd.concat([table[present], z], axis=1), tuple(notes)
