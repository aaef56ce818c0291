"""Tidy tables of the group level: ``group_long`` (a row per scan and region) and ``group_scans`` (a row per scan)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.columns import columns_for
from bids_app.clinical.scored_scans import KEYS, ScoredScans
from bids_app.clinical.undated import undated
from bids_app.freesurfer.quality import LIMITS
from bids_app.freesurfer.quality_measures import DESCRIPTIONS
from bids_app.normative.base import deviation_flag
from bids_app.regions import add_asymmetry, measure_of, unit_of
from bids_app.tables import PARQUET_FROM, atomic_stream, write_json, write_parquet_of_many, write_tsv
from bids_app.tsv import format_tsv

LONG, SCANS = "group_long", "group_scans"
MEASURED = ("region", "measure", "unit", "value", "expected", "z", "z_se", "centile", "deviation", "in_range")
TEXT = ("region", "measure", "unit", "deviation", *KEYS, "sample", "sex", "group", "site")
TOLD = "{name}, as the tables of the dataset name it"
OF_REGION = ("measure", "unit")
CHUNK = 256


def write_tidy(
    scored: ScoredScans,
    output_dir: Path,
    clinical: pd.DataFrame | None = None,
    scores: Sequence[str] = (),
    regions: Iterable[Iterable[str]] | None = None,
) -> list[Path]:
    """Write both tables with their dictionaries; from `PARQUET_FROM` scans on, the long one as Parquet only.

    Parameters
    ----------
    scored : ScoredScans
    output_dir : Path
    clinical : DataFrame, optional
        One row per scan of `scored`: the other columns of the source tables, for ``group_scans``.
    scores : sequence of str
        Columns of `clinical` that ``group_long`` has too.
    regions : iterable, optional
        Per scan its rows as text, columns `MEASURED` without measure and unit, separated by tabs; default: made of the
        tables of `scored`, which hold no expected value.

    Returns
    -------
    list of Path
        What was written, without the dictionaries.
    """
    scans = _scan_rows(scored, clinical)
    written = [write_tsv(scans, output_dir / f"{SCANS}.tsv", _described(SCANS, scans))]
    write_parquet_of_many(scans, output_dir / f"{SCANS}.parquet")
    names = [name for name in (*KEYS, "sample", "age", "sex", "group", "site", *scores) if name in scans]
    measured: Sequence[str] = MEASURED
    if regions is None:
        measured = ("region", "measure", "unit", "value", "z", "centile", "deviation")
        regions = _rows_of(scored)
    head = scans[list(dict.fromkeys(names))]
    columns = [*head.columns, *measured]
    write_json(_described(LONG, pd.DataFrame(columns=columns)), output_dir / f"{LONG}.json")
    keys = format_tsv(head.map(_one_line), header=False).split("\n")[:-1]
    known = _Known()
    with ExitStack() as stack:
        parquet = _Parquet(stack, output_dir / f"{LONG}.parquet", head, keys, measured)
        table = output_dir / f"{LONG}.tsv"
        stream = None
        if len(scans) < PARQUET_FROM:
            stream = stack.enter_context(atomic_stream(table))
            stream.write(("\t".join(columns) + "\n").encode())
            written.append(table)
        else:
            table.unlink(missing_ok=True)
        for places, rows in _pieces(regions, len(keys)):
            parquet.write(places, rows)
            if stream is not None:
                cells = [(keys[place], *row.partition("\t")) for place, row in zip(places, rows, strict=True)]
                lines = [f"{key}\t{known[region]}\t{rest}\n" for key, region, _, rest in cells]
                stream.write("".join(lines).encode())
    return written


def _scan_rows(scored: ScoredScans, clinical: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per scan: covariates, counts, what healthy people show, measures of quality, every clinical column.

    Dates are years since the person's first visit.
    """
    scans = scored.scans.reset_index(drop=True)
    quality = pd.DataFrame([summary["quality"].get("metrics", {}) for summary in scored.summaries], index=scans.index)
    reasons = ["; ".join(summary["quality"].get("reasons", ())) or None for summary in scored.summaries]
    parts = [scans, scored.expected().reset_index(drop=True).add_prefix("expected_")]
    if scored.summaries:
        parts += [pd.DataFrame({"quality_reasons": reasons}, dtype=object), quality.add_prefix("quality_")]
    if clinical is not None:
        parts.append(undated(clinical.reset_index(drop=True)))
    whole = pd.concat(parts, axis=1)
    return whole.loc[:, ~whole.columns.duplicated()]


def _rows_of(scored: ScoredScans) -> Iterator[list[str]]:
    """The rows of every scan of plain tables, in the order of `scored`."""
    z = (
        pd.concat([scored.zscores, scored.extended.drop(columns=KEYS)], axis=1)
        .drop(columns=KEYS)
        .reset_index(drop=True)
    )
    values = add_asymmetry(scored.volumes.drop(columns=KEYS).reset_index(drop=True)).reindex(columns=z.columns)
    names = list(z.columns)
    from scipy.special import ndtr

    for row, value in zip(z.to_numpy(dtype=float), values.to_numpy(dtype=float), strict=True):
        found = {"value": value, "z": row, "centile": 100 * ndtr(row), "deviation": deviation_flag(row)}
        table = pd.DataFrame({"region": names, **found})[~np.isnan(row)]
        yield format_tsv(table, header=False).split("\n")[:-1]


def _pieces(regions: Iterable[Iterable[str]], n_scans: int) -> Iterator[tuple[list[int], list[str]]]:
    """The rows of some scans at a time, each with the place of its scan."""
    places: list[int] = []
    kept: list[str] = []
    for place, rows in zip(range(n_scans), regions, strict=True):
        kept += rows
        places += [place] * (len(kept) - len(places))
        if kept and ((place + 1) % CHUNK == 0 or place + 1 == n_scans):
            yield places, kept
            places, kept = [], []


def _one_line(cell: Any) -> Any:
    return " ".join(cell.split()) if isinstance(cell, str) else cell


class _Known(dict[str, str]):
    """Name, measure and unit of a region as the first cells of a row."""

    def __missing__(self, region: str) -> str:
        self[region] = f"{region}\t{measure_of(region)}\t{unit_of(region)}"
        return self[region]


class _Parquet:
    """A Parquet file that is written in pieces of text and appears whole at the end.

    The cells that are of a scan are parsed once, from its line of `keys`, and not once per region.
    """

    def __init__(
        self, stack: ExitStack, path: Path, head: pd.DataFrame, keys: Sequence[str], measured: Sequence[str]
    ) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        own = {str(name): pd.api.types.is_numeric_dtype(column) and name not in TEXT for name, column in head.items()}
        of_scan = {name: pa.float64() if number else pa.string() for name, number in own.items()}
        texts = {name: pa.string() for name in TEXT} | {"in_range": pa.bool_()}
        kinds = {name: texts.get(name, pa.float64()) for name in measured}
        self._schema, self._names = pa.schema([*of_scan.items(), *kinds.items()]), list(kinds)
        told = {"region": pa.dictionary(pa.int32(), pa.string())}
        self._measured = {name: told.get(name, kind) for name, kind in kinds.items() if name not in OF_REGION}
        self._scans = _parsed(keys, of_scan)
        repeated = [*of_scan, *(name for name, kind in kinds.items() if kind != pa.float64())]
        stream = stack.enter_context(atomic_stream(path))
        self._writer = stack.enter_context(ParquetWriter(stream, self._schema, use_dictionary=repeated))

    def write(self, places: Sequence[int], rows: Sequence[str]) -> None:
        """Add rows, each of the scan at its place."""
        import pyarrow as pa

        read = _parsed(rows, self._measured)
        regions = read["region"].chunk(0)
        columns = {name: read[name] for name in self._measured if name != "region"}
        names = regions.dictionary.to_pylist()
        told = {"region": names, "measure": [*map(measure_of, names)], "unit": [*map(unit_of, names)]}
        columns |= {name: pa.array(texts, pa.string()).take(regions.indices) for name, texts in told.items()}
        whole = [*self._scans.take(pa.array(places)).columns, *(columns[name] for name in self._names)]
        self._writer.write_table(pa.table(whole, schema=self._schema))


def _parsed(lines: Sequence[str], kinds: Mapping[str, Any]) -> Any:
    """Lines of a TSV file as an Arrow table with the columns `kinds`, of one chunk each."""
    from pyarrow import BufferReader, csv

    text = "\n".join([*lines, ""]).encode()
    return csv.read_csv(
        BufferReader(text),
        csv.ReadOptions(use_threads=False, column_names=list(kinds), block_size=len(text) + 1),
        csv.ParseOptions(delimiter="\t"),
        csv.ConvertOptions(column_types=kinds, null_values=["n/a"], strings_can_be_null=True),
    )


def _described(name: str, table: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    """The dictionary of either table; a column of the dataset's own tables says that it is one."""
    known: dict[str, Mapping[str, Any]] = {**columns_for("group_deviations"), **columns_for(name)}
    known |= {f"quality_{metric}": {"Description": limit.words} for metric, limit in LIMITS.items()}
    known |= {f"quality_{metric}": words for metric, words in DESCRIPTIONS.items()}
    return {str(column): known.get(str(column), {"Description": TOLD.format(name=column)}) for column in table.columns}
