"""Tables and JSON on disk: read tolerantly, write atomically and byte-identically."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import tempfile
import tomllib
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import yaml

from bids_app import bounded
from bids_app.errors import InputError, UsageError

NA = "n/a"
NA_VALUES = ("", "n/a", "N/A", "na", "NA", "NaN", "nan", "null", "None")
FLOAT_FORMAT = "%.12g"
# How a name that is not UTF-8 on disk is written: spelt out
UNWRITABLE = "backslashreplace"
_FORMULA = re.compile(r"'*[=+\-@].", re.DOTALL)
_MARKED = re.compile(r"'+[=+\-@].", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]inf")
_SURROGATE = re.compile("[\ud800-\udfff]")
ROWS_PER_PIECE = 2_000
_QUOTED = re.compile(r'["\t\r\n]')
# Disk, quota or a limit on the size of a file is used up: the system says so without a name
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SPREADSHEETS = (".xlsx", ".xlsm")
MAX_YAML_VALUES = 100_000


def atomic_write(path: Path | str, content: str | bytes) -> Path:
    """Write `content` to `path` so that a reader sees the old file or the whole new one."""
    with atomic_stream(path) as stream:
        stream.write(content.encode("utf-8", UNWRITABLE) if isinstance(content, str) else content)
    return Path(path)


@contextmanager
def atomic_stream(path: Path | str) -> Iterator[IO[bytes]]:
    """A stream to write to; `path` appears whole at the end, or stays as it was after an error.

    The temporary file has one name per `path`, so what a killed process left is taken over by the next writer.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.chmod(temporary, _permissions())
            os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _temporary(path: Path) -> tuple[int, str]:
    """A file to write to beside `path`, locked while it is open; of another name while somebody else writes."""
    name = str(path.with_name(f".{path.name}.tmp"))
    handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(name) and os.path.samestat(os.fstat(handle), os.stat(name)):
            os.ftruncate(handle, 0)
            return handle, name
    except OSError:  # held by another writer, or a filesystem without locks
        pass
    os.close(handle)
    return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")


def _permissions() -> int:
    """The mode of a new file under the umask of this process."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def format_tsv(table: pd.DataFrame, header: bool = True) -> str:
    """The bytes of `write_tsv` as text: tab separated, ``n/a`` for missing, 12 significant digits.

    Text that a spreadsheet would run as a formula has a ``'`` in front, which `read_table` takes away.
    """
    return "".join(tsv_pieces(table, header))


def tsv_pieces(table: pd.DataFrame, header: bool = True) -> Iterator[str]:
    """The text of `format_tsv`, some rows at a time: a wide table as one text takes twice the memory of its numbers."""
    for start in range(0, max(len(table), 1), ROWS_PER_PIECE):
        piece = _each_text(table.iloc[start : start + ROWS_PER_PIECE], _FORMULA, inert)
        yield _joined_blocks(piece, header and start == 0) or _to_csv(piece, header and start == 0)


def _to_csv(table: pd.DataFrame, header: bool) -> str:
    return table.to_csv(sep="\t", index=False, na_rep=NA, float_format=FLOAT_FORMAT, lineterminator="\n", header=header)


def _joined_blocks(table: pd.DataFrame, header: bool) -> str | None:
    """What `_to_csv` gives, in a fifth of its time: neighbouring columns of numbers are formatted as one block.

    None for a table that only pandas can write: one column, no row, cells that need quotes, other types.
    """
    if min(table.shape) < 1 or table.shape[1] < 2 or not _unquoted(table.columns):
        return None
    blocks: list[list[str]] = []
    for numbers, run in groupby((column for _, column in table.items()), _is_float):
        if numbers:
            blocks.append(_lines_of_numbers([column.to_numpy() for column in run]))
            continue
        for column in run:
            cells = _cells(column)
            if cells is None:
                return None
            blocks.append(cells)
    lines = ["\t".join(table.columns)] if header else []
    return "\n".join([*lines, *map("\t".join, zip(*blocks, strict=True)), ""])


def _is_float(column: pd.Series) -> bool:
    return column.dtype == np.float64


def _lines_of_numbers(columns: Sequence[np.ndarray]) -> list[str]:
    """A line of text per row of `columns`."""
    line = "\t".join([FLOAT_FORMAT] * len(columns)) + "\n"
    numbers = tuple(np.column_stack(columns).ravel().tolist())
    return (line * len(columns[0]) % numbers).replace("nan", NA).split("\n")[:-1]


def _cells(column: pd.Series) -> list[str] | None:
    """Texts, truth values and whole numbers as they are written; None for others, and for texts that need quotes."""
    cells = _objects(column)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "bi":
        return list(map(str, cells))
    for place in np.flatnonzero(column.isna()):
        cells[place] = NA
    return cells if _unquoted(cells) else None


def _unquoted(cells: Iterable[Any]) -> bool:
    return set(map(type, cells)) <= {str} and not _QUOTED.search("".join(cells))


def inert(text: str) -> str:
    """`text` as a cell that no spreadsheet runs (``=``, ``+``, ``-``, ``@`` in front); numbers stay as they are."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def without_mark(text: str) -> str:
    """The text that `inert` wrote."""
    return text[1:] if _MARKED.match(text) else text


def _each_text(table: pd.DataFrame, pattern: re.Pattern[str], change: Callable[[str], str]) -> pd.DataFrame:
    """`table` with the cells and names of columns that match `pattern` changed."""
    changed = {}
    for place in range(table.shape[1]):
        column = table.iloc[:, place]
        if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
            continue
        cells = _objects(column)
        if any(isinstance(cell, str) and pattern.match(cell) for cell in _distinct(cells)):
            kind = object if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
            cells = [change(cell) if isinstance(cell, str) else cell for cell in cells]
            changed[place] = pd.Series(cells, index=column.index, dtype=kind)
    if changed:
        parts = [changed.get(place, table.iloc[:, place]) for place in range(table.shape[1])]
        table = pd.concat(parts, axis=1, keys=range(len(parts))).set_axis(table.columns, axis=1)
    if any(isinstance(name, str) and pattern.match(name) for name in table.columns):
        table = table.set_axis([change(name) if isinstance(name, str) else name for name in table.columns], axis=1)
    return table


def _objects(column: pd.Series) -> list[Any]:
    """The cells: pandas goes through text that Arrow holds in ten times the time."""
    return column.to_numpy(dtype=object).tolist()


def _distinct(cells: Iterable[Any]) -> Iterable[Any]:
    try:
        return set(cells)
    except TypeError:  # lists and such
        return cells


def without_marks(table: pd.DataFrame) -> pd.DataFrame:
    """A table as it was before `format_tsv` made its formulas inert."""
    return _each_text(table, _MARKED, without_mark)


def write_tsv(table: pd.DataFrame, path: Path | str, columns: Mapping[str, Any] | None = None) -> Path:
    """Write a BIDS table, and its JSON dictionary beside it when `columns` is given.

    Parameters
    ----------
    table : DataFrame
        One row per observation; the index is not written.
    path : path-like ending in ``.tsv``
    columns : mapping, optional
        BIDS data dictionary: column name to ``{"Description": ..., "Units": ..., "Levels": ...}``.
        Every column of `table` must be described.

    Raises
    ------
    ValueError
        When a column of `table` has no description.
    """
    path = Path(path)
    if columns is not None:
        missing = [name for name in table.columns if name not in columns]
        if missing:
            raise ValueError(f"no description for columns {missing} of {path.name}")
        write_json({name: columns[name] for name in table.columns}, path.with_suffix(".json"))
    with atomic_stream(path) as stream:
        stream.writelines(piece.encode("utf-8", UNWRITABLE) for piece in tsv_pieces(table))
    return path


def write_json(content: Any, path: Path | str) -> Path:
    """Write JSON with two-space indent and a final newline; NaN is refused."""
    return atomic_write(path, format_json(content))


def format_json(content: Any) -> str:
    """The text that `write_json` writes."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Spelt out as text: as an escape of JSON it would come back as what no table can hold
    return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)


def write_parquet(table: pd.DataFrame, path: Path | str) -> Path:
    """Write a table as Parquet, atomically; what is not numbers is text, as it is in a TSV."""
    others = table.select_dtypes(exclude=["number", "bool"])
    text = {name: column.where(column.isna(), column.astype(str)) for name, column in others.items()}
    with atomic_stream(path) as stream:
        table.assign(**text).to_parquet(stream, index=False)
    return Path(path)


def read_json(path: Path | str, made_of_pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Read a JSON file; raise InputError with the file's name when it is not JSON, or of a size that none has.

    `made_of_pairs` makes an object of its names and values (default: a dict).
    """
    try:
        return bounded.loads(bounded.read_text(path, bounded.MAX_JSON_BYTES), object_pairs_hook=made_of_pairs)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {path} as JSON ({_why(error)})", "check or remove the file") from error


def read_yaml(path: Path, what: str) -> Any:
    """Read a YAML (or JSON) file as plain data: tags that would make objects are refused.

    Raises
    ------
    UsageError
        When `what` it is (for the message) cannot be read.
    """
    try:
        content = yaml.safe_load(bounded.read_text(path, bounded.MAX_SETTINGS_BYTES))
        if bounded.values_in(content) > MAX_YAML_VALUES:
            raise ValueError(f"its aliases make more than {MAX_YAML_VALUES:,} values")
        bounded.check_levels(content)
        return content
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise UsageError(f"cannot read the {what} {path} ({_why(error)})", "check the path") from error
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise UsageError(f"cannot read the {what} {path}, which is neither YAML nor JSON ({_why(error)})") from error


def _why(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())


def read_table(path: Path | str, text: bool | Collection[str] = False) -> pd.DataFrame:
    """Read TSV, CSV (also gzipped) or Parquet, with BOM, CRLF and any spelling of missing.

    Parameters
    ----------
    path : path-like
        The ending decides the format: ``.csv`` (semicolons and decimal commas are recognised), ``.parquet``,
        ``.xlsx`` (its first sheet), otherwise tab separated.
    text : bool or collection of str
        Keep every column, or these, as text (missing stays NaN); columns of Parquet have their own types.

    Raises
    ------
    InputError
        When the file is absent, empty or not a table.
    """
    path = Path(path)
    with table_errors(path):
        if path.suffix == ".parquet":
            check_parquet(path)
            return pd.read_parquet(path)
        if path.suffix.lower() in SPREADSHEETS:
            return read_spreadsheet(path, text)
        dtype = dict.fromkeys(text, str) if isinstance(text, Collection) else str if text else None
        dialect = text_dialect(path)
        with bounded.bounded_table(path) as stream:
            return without_marks(pd.read_csv(stream, dtype=dtype, **dialect))


def check_parquet(path: Path) -> None:
    """InputError when a Parquet file has more columns or cells than are read."""
    from pyarrow.parquet import read_metadata

    about = read_metadata(path)
    bounded.check_columns(path, about.num_columns, about.num_rows)


def read_spreadsheet(path: Path, text: bool | Collection[str] = False) -> pd.DataFrame:
    """The first sheet of a spreadsheet, with columns as text as in `read_table`; whole numbers lose their ``.0``.

    Raises
    ------
    InputError
        When it is damaged, or openpyxl, which reads spreadsheets, is not installed.
    """
    table = bounded.first_sheet(path, dtype=object, na_values=list(NA_VALUES), keep_default_na=False)
    return typed_cells(table, text)


def typed_cells(table: pd.DataFrame, text: bool | Collection[str] = False) -> pd.DataFrame:
    """A table of objects with the types that its cells have, and columns as text as in `read_table`."""
    wanted = text if isinstance(text, Collection) else table.columns if text else ()
    written = {name: table[name].map(_written, na_action="ignore") for name in wanted if name in table}
    return table.infer_objects().assign(**written)


def _written(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def text_dialect(path: Path) -> dict[str, Any]:
    """Arguments with which `pandas.read_csv` reads a TSV or CSV file.

    A CSV whose header has semicolons and no comma comes from a spreadsheet of a country with decimal commas.
    """
    with bounded.bounded_table(path) as stream:
        header = stream.readline()
    marks = {"sep": "\t"}
    if ".csv" in path.suffixes[-2:]:
        marks = {"sep": ";", "decimal": ","} if b";" in header and b"," not in header else {"sep": ","}
    bounded.check_columns(path, header.count(marks["sep"].encode()) + 1)
    return {
        **marks,
        "encoding": "utf-8-sig",
        "na_values": list(NA_VALUES),
        "keep_default_na": False,
        "low_memory": False,
    }


# With what unpacks (zlib) and what reads Parquet (NotImplementedError)
DAMAGED = (OSError, EOFError, ValueError, KeyError, ImportError, NotImplementedError, BadZipFile, zlib.error)


@contextmanager
def table_errors(path: Path) -> Iterator[None]:
    """What goes wrong while `path` is read as a table, as an InputError in words."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"the table {path} does not exist", "check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in UTF-8 ({error})", "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
        ) from error
    except DAMAGED as error:
        raise InputError(f"cannot read {path} as a table ({error})", "it must be TSV, CSV or Parquet") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise UsageError naming the file when it is not TOML."""
    try:
        content = tomllib.loads(bounded.read_text(path, bounded.MAX_SETTINGS_BYTES))
        bounded.check_levels(content)
        return content
    except (OSError, ValueError, RecursionError, InputError) as error:
        raise UsageError(f"cannot read the configuration file {path} ({_why(error)})") from error
