"""The tables of many scans, read as one: wide tables of them, and their text for whoever needs it again."""

from __future__ import annotations

import math
import os
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bids_app import bounded
from bids_app.bids.names import derivative_parts
from bids_app.errors import InputError
from bids_app.tables import NA_VALUES

KEYS = ["participant_id", "session_id"]
ScanKey = tuple[str, str | None]
# Scans whose tables are parsed as one text
AT_ONCE = 256


class Columns(NamedTuple):
    """One column of many tables under each other: row of the scan, names of regions, place in these, value."""

    rows: np.ndarray
    regions: list[str]
    places: np.ndarray
    values: np.ndarray


class KeptTables:
    """The text of scans' tables in a temporary file without a name: each is opened once in the output folder."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="normvol-")  # noqa: SIM115
        self._places: dict[str, tuple[array[int], array[int]]] = {}

    def add(self, desc: str, texts: Sequence[bytes]) -> None:
        """Keep a kind of table of the next scans; of those without one, nothing."""
        starts, sizes = self._places.setdefault(desc, (array("q"), array("q")))
        sizes.extend(map(len, texts))
        starts.extend(accumulate(map(len, texts[:-1]), initial=self._file.tell()))
        self._file.writelines(texts)
        self._file.flush()

    def of_scan(self, number: int) -> list[tuple[str, str]]:
        """The tables of the scan of this number, in the order in which their kinds were added: kind and text."""
        places = ((desc, sizes[number], starts[number]) for desc, (starts, sizes) in self._places.items())
        # Processes that share the file have one position in it: each names the place where it reads
        return [
            (desc, os.pread(self._file.fileno(), *place).decode("utf-8-sig")) for desc, *place in places if place[0]
        ]


def read_wide(
    output_dir: Path | str,
    keys: Iterable[ScanKey],
    desc: str,
    value: str,
    optional: bool = False,
    kept: KeptTables | None = None,
) -> pd.DataFrame:
    """One column of the scans' tables, spread: one row per scan, one column per region.

    Parameters
    ----------
    output_dir : path-like
    keys : iterable of (participant_id, session_id or None)
    desc : {'volumes', 'deviations', 'extended', 'asymmetry', 'thickness', 'area'}
    value : str
        Column to spread, such as ``z``.
    optional : bool
        Whether scans may have no such table.
    kept : KeptTables, optional
        Gets the text of every table.

    Returns
    -------
    DataFrame
        ``participant_id session_id`` and the regions in the order of first appearance; NaN where a scan
        lacks one. Rows are in the order of `keys`.

    Raises
    ------
    InputError
        When a table is absent or damaged.
    """
    keys, root = list(keys), os.fspath(output_dir)
    position: dict[str, int] = {}
    values = np.empty((len(keys), 0))
    for start in range(0, len(keys), AT_ONCE):
        paths = [os.path.join(root, *derivative_parts(*key, desc)) for key in keys[start : start + AT_ONCE]]
        texts = [_content(path, value, optional) for path in paths]
        if kept is not None:
            kept.add(desc, [text or b"" for text in texts])
        found = _parsed_together(texts, value) or _parsed_one_by_one(texts, paths, value)
        columns = np.array([position.setdefault(region, len(position)) for region in found.regions], dtype=int)
        if len(position) > values.shape[1]:
            values = _widened(values, len(position))
        values[start + found.rows, columns[found.places]] = found.values
    frame = pd.DataFrame(keys, columns=KEYS, dtype=object)
    return pd.concat([frame, pd.DataFrame(values, columns=list(position))], axis=1)


def read_column(path: Path | str, value: str) -> tuple[list[str], list[float]]:
    """Regions and one numeric column of a scan's table.

    Raises
    ------
    InputError
        When it is absent or damaged.
    """
    return _column(_content(str(path), value, False) or b"", str(path), value)


def _content(path: str, value: str, optional: bool) -> bytes | None:
    """The bytes of a table; None where it is absent and may be."""
    try:
        return bounded.read_bytes(path, bounded.MAX_JSON_BYTES)
    except OSError as error:
        if optional and isinstance(error, FileNotFoundError):
            return None
        raise _unreadable(path, value, error) from error


def _parsed_together(texts: Sequence[bytes | None], value: str) -> Columns | None:
    """Regions and values of tables with one header; None when not all of them are as normvol writes them."""
    from pyarrow import ArrowException, BufferReader, csv, dictionary, float64, int32, string

    there = [text for text in texts if text is not None]
    header, end, _ = max(there, key=len, default=b"").partition(b"\n")
    if not end or not all(text.startswith(header + end) and text.endswith(end) for text in there):
        return None
    counts = [0 if text is None else text.count(end) - 1 for text in texts]
    body = b"".join([text[len(header) + 1 :] for text in there])
    try:
        table = csv.read_csv(
            BufferReader(body),
            csv.ReadOptions(use_threads=False, column_names=header.decode().split("\t"), block_size=len(body) + 1),
            csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(
                include_columns=["region", value],
                column_types={"region": dictionary(int32(), string()), value: float64()},
                null_values=NA_VALUES,
            ),
        ).combine_chunks()
    except (ArrowException, KeyError, UnicodeDecodeError):
        return None
    regions = table["region"].chunk(0)
    names = regions.dictionary.to_pylist()
    if len(regions) != sum(counts) or "" in names:
        return None
    return Columns(np.repeat(np.arange(len(texts)), counts), names, regions.indices.to_numpy(), table[value].to_numpy())


def _parsed_one_by_one(texts: Sequence[bytes | None], paths: Sequence[str], value: str) -> Columns:
    """What `_parsed_together` gives, of any tables; InputError names the one that is damaged."""
    empty: tuple[list[str], list[float]] = ([], [])
    found = [empty if text is None else _column(text, path, value) for text, path in zip(texts, paths, strict=True)]
    position: dict[str, int] = {}
    places = [position.setdefault(region, len(position)) for regions, _ in found for region in regions]
    rows = np.repeat(np.arange(len(texts)), [len(numbers) for _, numbers in found])
    return Columns(rows, list(position), np.array(places, dtype=int), np.array([x for _, own in found for x in own]))


def _column(text: bytes, path: str, value: str) -> tuple[list[str], list[float]]:
    """Regions and one numeric column of a table."""
    try:
        lines = text.decode("utf-8-sig").splitlines()
        header = lines[0].split("\t")
        width = len(header)
        if {line.count("\t") for line in lines} != {width - 1}:
            raise ValueError("a row has more or fewer cells than the header")
        cells = "\t".join(lines).split("\t")[width:]
        numbers = cells[header.index(value) :: width]
        return cells[header.index("region") :: width], [math.nan if x in NA_VALUES else float(x) for x in numbers]
    except (ValueError, IndexError) as error:
        raise _unreadable(path, value, error) from error


def _unreadable(path: str, value: str, error: Exception) -> InputError:
    return InputError(
        f"cannot read the column {value} of {path} ({error})", "run the participant level again for this scan"
    )


def _widened(values: np.ndarray, width: int) -> np.ndarray:
    """`values` with as many columns more, of NaN, as it lacks."""
    return np.hstack([values, np.full((len(values), width - values.shape[1]), np.nan)])
