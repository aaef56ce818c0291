"""``normvol-model wide``: one row per scan and one column per region, under names that other programs take.

ENIGMA's names are those of its tables LandRvolumes, CorticalMeasuresENIGMA_ThickAvg and _SurfAvg; what ENIGMA does not
name keeps FreeSurfer's. Plain names fit REDCap and SPSS: lower case letters, digits and underscores.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from bids_app.bids.names import listed
from bids_app.errors import InputError, UsageError
from bids_app.regions import AREA, ETIV, THICKNESS, display_name, measure_of, region_table, unit_of
from bids_app.tables import atomic_write, read_json, read_table, write_json
from bids_app.tsv import FLOAT_FORMAT
from bids_app.workbench.table_columns import is_measure

LONG = "group_long"
VALUES = ("value", "expected", "z", "z_se", "centile")
BEFORE = "region"
MARKS = {".tsv": "\t", ".csv": ","}
_ENIGMA = {
    **{
        f"{side}-{name}": side[0] + short
        for side in ("Left", "Right")
        for name, short in {
            "Lateral-Ventricle": "LatVent",
            "Thalamus": "thal",
            "Caudate": "caud",
            "Putamen": "put",
            "Pallidum": "pal",
            "Hippocampus": "hippo",
            "Amygdala": "amyg",
            "Accumbens-area": "accumb",
        }.items()
    },
    **{f"{h}_MeanThickness_thickness": f"{h[0].upper()}Thickness" for h in ("lh", "rh")},
    **{f"{h}_WhiteSurfArea_area": f"{h[0].upper()}SurfArea" for h in ("lh", "rh")},
    ETIV: "ICV",
    "etiv_mm3": "ICV",
}
_ENIGMA_MEASURE = {THICKNESS: "thickavg", AREA: "surfavg"}
REDCAP = (
    "Variable / Field Name",
    "Form Name",
    "Section Header",
    "Field Type",
    "Field Label",
    "Choices, Calculations, OR Slider Labels",
    "Field Note",
    "Text Validation Type OR Show Slider Number",
)


@dataclass(frozen=True, kw_only=True)
class WideConfig:
    """What ``normvol-model wide`` was asked to do.

    Parameters
    ----------
    table : Path
        ``group_long`` as TSV or Parquet, the folder that holds it, or a table with a column per region already.
    output : Path
        ``.csv`` or ``.tsv``.
    values : tuple of str
        What of the long table becomes columns, of `VALUES`.
    names : str
        ``freesurfer``, ``enigma`` or ``plain``.
    measures : tuple of str
        Volume, thickness, area; empty: all.
    """

    table: Path
    output: Path
    values: tuple[str, ...] = ("z",)
    names: Literal["freesurfer", "enigma", "plain"] = "freesurfer"
    measures: tuple[str, ...] = ()


def wide_table(config: WideConfig) -> tuple[int, int]:
    """Write the table and its dictionary; the numbers of its rows and of its columns of measures.

    The dictionary is JSON; with plain names it is also ``<name>_redcap.csv``, which REDCap imports.

    Raises
    ------
    InputError
        When the table has none of the measures, or two rows for one scan and region.
    UsageError
        When `output` is neither ``.csv`` nor ``.tsv``.
    """
    mark = MARKS.get(config.output.suffix)
    if mark is None:
        raise UsageError(f"{config.output} is neither named .csv nor .tsv", "the ending decides the format")
    source = _source(config.table)
    table = _typed_ids(read_table(source, text=["participant_id", "session_id"]))
    wide, measured = _from_long(table, config, source) if BEFORE in table else _from_wide(table, config, source)
    known = _dictionary(source)
    described = {old: _described(old, region, value, known) for old, (region, value) in measured.items()}
    described = {name: described.get(name, known.get(name, {"Description": name})) for name in wide.columns}
    renamed = _names([str(name) for name in wide.columns], measured, config.names)
    text = wide.set_axis(renamed, axis=1).to_csv(
        sep=mark, index=False, na_rep="n/a" if mark == "\t" else "", float_format=FLOAT_FORMAT, lineterminator="\n"
    )
    atomic_write(config.output, text)
    dictionary = dict(zip(renamed, described.values(), strict=True))
    write_json(dictionary, config.output.with_suffix(".json"))
    if config.names == "plain":
        _write_redcap(dictionary, config.output.with_name(f"{config.output.stem}_redcap.csv"))
    return len(wide), len(measured)


Measured = dict[str, tuple[str, str | None]]


def _source(path: Path) -> Path:
    if not path.is_dir():
        return path
    there = [path / f"{LONG}{ending}" for ending in (".tsv", ".parquet") if (path / f"{LONG}{ending}").is_file()]
    if not there:
        raise InputError(f"{path} holds no {LONG}.tsv", "run the group level, or normvol-model analyse")
    return there[0]


def _typed_ids(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[name for name in ("session_id",) if name in table and table[name].isna().all()])


def _from_long(table: pd.DataFrame, config: WideConfig, source: Path) -> tuple[pd.DataFrame, Measured]:
    """The long table spread, and what each new column holds: region and value."""
    absent = [value for value in config.values if value not in VALUES or value not in table]
    if absent:
        there = ", ".join(value for value in VALUES if value in table)
        what = "can be spread by no" if absent[0] in table else "has no"
        raise InputError(f"{source} {what} column {absent[0]}", f"it has {there}")
    rows = table[table["measure"].isin(config.measures)] if config.measures else table
    if rows.empty:
        raise InputError(f"{source} has no {' or '.join(config.measures) or 'rows'}", "leave --measures out")
    keys = list(table.columns[: table.columns.get_loc(BEFORE)])
    ids = [name for name in ("participant_id", "session_id", "sample") if name in keys]
    double = rows.duplicated([*ids, BEFORE])
    if double.any():
        first = rows[double].iloc[0]
        raise InputError(f"{source} has {first['participant_id']} and {first[BEFORE]} twice", "keep one row of each")
    scans = rows[keys].drop_duplicates(ids).reset_index(drop=True)
    scan = rows[ids].astype(object).where(rows[ids].notna(), "").agg("\t".join, axis=1)
    place, regions = pd.factorize(scan)[0], list(dict.fromkeys(rows[BEFORE]))
    parts, measured = [scans], Measured()
    for value in config.values:
        spread = pd.Series(rows[value].to_numpy(float), [place, rows[BEFORE].to_numpy()]).unstack()[regions]
        suffix = f"_{value}" if len(config.values) > 1 else ""
        measured |= {f"{region}{suffix}": (region, value) for region in regions}
        parts.append(spread.set_axis([f"{region}{suffix}" for region in regions], axis=1))
    return pd.concat(parts, axis=1), measured


def _from_wide(table: pd.DataFrame, config: WideConfig, source: Path) -> tuple[pd.DataFrame, Measured]:
    """A table with a column per region, without the measures that were not asked for."""
    named = [str(name) for name in table.columns if is_measure(str(name))]
    kept = [name for name in named if not config.measures or measure_of(name) in config.measures or name == ETIV]
    if not kept:
        raise InputError(f"{source} has no column of a region", "give group_long.tsv or a table of volumes or z")
    return table.drop(columns=[name for name in named if name not in kept]), {name: (name, None) for name in kept}


def _dictionary(source: Path) -> dict[str, dict[str, str]]:
    beside = source.with_suffix(".json")
    content = read_json(beside) if beside.is_file() else {}
    return {name: words for name, words in content.items() if isinstance(words, dict)}


def _described(column: str, region: str, value: str | None, known: dict[str, dict[str, str]]) -> dict[str, str]:
    if value is None:
        return known.get(column, {"Description": display_name(region), "Units": unit_of(region)})
    what = f"{display_name(region)}, {measure_of(region)}"
    words = {"z": "z of the ", "z_se": "Standard error of z of the ", "centile": "Centile of the "}
    words |= {"value": "Value of the ", "expected": "Expected value of the "}
    unit = unit_of(region) if value in ("value", "expected") else "%" if value == "centile" else "1"
    text = words[value] + what
    return {"Description": text, "Units": unit}


def _names(columns: Sequence[str], measured: Measured, names: str) -> list[str]:
    """The columns' names in another program's manner; unlike columns stay unlike."""
    if names == "freesurfer":
        return list(columns)
    out = []
    for column in columns:
        region = measured.get(column, (column, None))[0]
        new = enigma_name(region) + column.removeprefix(region) if names == "enigma" else plain_name(column)
        out.append("SubjID" if names == "enigma" and column == "participant_id" else new)
    several = [name for name, count in Counter(out).items() if count > 1]
    if several:
        raise InputError(
            f"{listed(several, 5)}: more than one column has this name", "leave a column out, or use other --names"
        )
    return out


def enigma_name(region: str) -> str:
    """ENIGMA's name of a region; FreeSurfer's where ENIGMA has none.

    >>> enigma_name("Left-Thalamus"), enigma_name("rh_insula_thickness"), enigma_name("lh_insula_volume")
    ('Lthal', 'R_insula_thickavg', 'lh_insula_volume')
    """
    if region in _ENIGMA:
        return _ENIGMA[region]
    suffix = _ENIGMA_MEASURE.get(measure_of(region))
    if suffix is None or region not in region_table().index:
        return region
    side, _, rest = region.partition("_")
    return f"{side[0].upper()}_{rest.rpartition('_')[0]}_{suffix}"


def plain_name(column: str) -> str:
    """A name of lower case letters, digits and underscores, first a letter.

    >>> plain_name("Left-Thalamus"), plain_name("3rd-Ventricle"), plain_name("asymmetry_Cerebellum-Cortex")
    ('left_thalamus', 'v3rd_ventricle', 'asymmetry_cerebellum_cortex')
    """
    name = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
    return name if name[:1].isalpha() else f"v{name}"


def _write_redcap(dictionary: dict[str, dict[str, str]], path: Path) -> None:
    """A data dictionary that REDCap imports; the first field is the record's name."""
    rows = []
    for name, words in dictionary.items():
        number = "number" if "Units" in words else ""
        rows.append((name, "normvol", "", "text", words.get("Description", name), "", words.get("Units", ""), number))
    atomic_write(path, pd.DataFrame(rows, columns=list(REDCAP)).to_csv(index=False, lineterminator="\n"))
