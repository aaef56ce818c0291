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
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import pandas as pd
import yaml

from bids_app import bounded
from bids_app.errors import InputError, UsageError
from bids_app.tsv import tsv_pieces, without_marks

NA_VALUES = ("", "n/a", "N/A", "na", "NA", "NaN", "nan", "null", "None")
# Tables of people are also written as Parquet from this number of scans, or of rows, on
PARQUET_FROM = 10_000
# How a name that is not UTF-8 on disk is written: spelt out
UNWRITABLE = "backslashreplace"
_SURROGATE = re.compile("[\ud800-\udfff]")
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
    name, temporary = str(path.with_name(f".{path.name}.tmp")), None
    opened: list[int] = []
    try:
        handle, temporary = _temporary(name, opened)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.chmod(temporary, _permissions())
            os.replace(temporary, path)
    except BaseException as error:
        _remove(name, opened) if temporary is None else Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _temporary(name: str, opened: list[int]) -> tuple[int, str]:
    """A file to write to, locked while it is open; of another name than `name` while somebody else writes."""
    # In one step of the interpreter: no signal comes between the making of the file and the note of it
    opened.extend(map(os.open, [name], [os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC], [0o600]))
    if _locked(opened[0], name):
        os.ftruncate(opened[0], 0)
        return opened[0], name
    os.close(opened.pop())
    return tempfile.mkstemp(dir=os.path.dirname(name), prefix=os.path.basename(name).removesuffix("tmp"), suffix=".tmp")


def _locked(handle: int, name: str) -> bool:
    """Whether the file at `name` is that of `handle`, and nobody else's: not so where a filesystem has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.exists(name) and os.path.samestat(os.fstat(handle), os.stat(name))
    except OSError:
        return False


def _remove(name: str, opened: list[int]) -> None:
    """Remove the file of a writer that was told to end before it knew that it had one."""
    for handle in opened:
        if _locked(handle, name):
            os.unlink(name)
        os.close(handle)


def _permissions() -> int:
    """The mode of a new file under the umask of this process."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


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

    Returns
    -------
    Path

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
    """Write a table as Parquet, atomically; what is not numbers is text, as it is in a TSV.

    Parameters
    ----------
    table : DataFrame
        The index is not written.
    path : path-like

    Returns
    -------
    Path
        `path`.
    """
    others = table.select_dtypes(exclude=["number", "bool"])
    text = {name: column.where(column.isna(), column.astype(str)) for name, column in others.items()}
    with atomic_stream(path) as stream:
        # Measured numbers hardly repeat: a dictionary of them costs time and space
        table.assign(**text).to_parquet(stream, index=False, use_dictionary=list(map(str, text)))
    return Path(path)


def write_parquet_of_many(table: pd.DataFrame, path: Path) -> None:
    """Write `table` as Parquet when it has `PARQUET_FROM` rows or more; otherwise an earlier one is removed.

    Parameters
    ----------
    table : DataFrame
        One row per person or scan; the index is not written.
    path : Path
        The Parquet file beside the table's TSV.
    """
    if len(table) < PARQUET_FROM:
        path.unlink(missing_ok=True)
    else:
        write_parquet(table, path)


def read_json(path: Path | str, **how: Any) -> Any:
    """Read a JSON file; raise InputError with the file's name when it is not JSON, or of a size that none has.

    `how` goes to `json.loads`.
    """
    try:
        return bounded.loads(bounded.read_text(path, bounded.MAX_JSON_BYTES), **how)
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

    Returns
    -------
    DataFrame

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

    Parameters
    ----------
    path : Path
    text : bool or collection of str
        As in `read_table`.

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        When it is damaged, or openpyxl, which reads spreadsheets, is not installed.
    """
    table = bounded.first_sheet(path, dtype=object, na_values=list(NA_VALUES), keep_default_na=False)
    return typed_cells(table, text)


def typed_cells(table: pd.DataFrame, text: bool | Collection[str] = False) -> pd.DataFrame:
    """A table of objects with the types that its cells have.

    Parameters
    ----------
    table : DataFrame of object
    text : bool or collection of str
        Columns that become text, as in `read_table`; whole numbers lose their ``.0``, missing cells stay.

    Returns
    -------
    DataFrame
    """
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


UNFIT = (NotImplementedError, TypeError, AttributeError, IndexError)
# With what unpacks (zlib) and what makes a table of the types that a damaged Parquet file names (the last four)
DAMAGED = (OSError, EOFError, ValueError, KeyError, ImportError, BadZipFile, zlib.error, *UNFIT)


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
