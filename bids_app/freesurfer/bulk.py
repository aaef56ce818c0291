"""The volumes of many scans as one wide table, in several processes and with memory that does not grow with N."""

from __future__ import annotations

import csv
import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd

from bids_app import regions
from bids_app.errors import FreeSurferError
from bids_app.freesurfer.volumes import read_volumes, region_values
from bids_app.processes import end_with
from bids_app.tables import NA, inert

ID_COLUMNS = ("subject", "fs_version", "flavour", "stream", "problem")
_BATCH = 512
_CHUNK = 16

Record = tuple[str | float | None, ...]


def columns() -> tuple[str, ...]:
    """Columns of the table: the id columns, then every region and measure of data/regions.tsv."""
    return (*ID_COLUMNS, *regions.measured_names())


def read_record(subject_dir: Path | str) -> Record:
    """One row of the table; a directory that cannot be read has its reason in ``problem`` and no volumes."""
    path = Path(subject_dir)
    names = regions.measured_names()
    try:
        found = read_volumes(path, everything=False)
    except FreeSurferError as error:
        return (path.name, None, None, None, str(error), *[None] * len(names))
    values = region_values(found.rows, found.measures)
    return (path.name, found.fs_version, found.flavour, found.stream, None, *[values.get(name) for name in names])


def iterate_records(subject_dirs: Iterable[Path | str], *, nprocs: int = 1) -> Iterator[Record]:
    """`read_record` of every directory, in order; only a batch of them is in memory at a time."""
    paths = iter(subject_dirs)
    if nprocs <= 1:
        yield from map(read_record, paths)
        return
    with multiprocessing.get_context().Pool(nprocs, end_with, (os.getpid(),)) as pool:
        while batch := list(islice(paths, _BATCH)):
            yield from pool.map(read_record, batch, chunksize=_CHUNK)


def volumes_table(subject_dirs: Iterable[Path | str], *, nprocs: int = 1) -> pd.DataFrame:
    """Volumes of many scans, one row each.

    Parameters
    ----------
    subject_dirs : iterable of path-like
    nprocs : int
        Number of processes.

    Returns
    -------
    DataFrame
        ``subject fs_version flavour stream problem`` and one column per region in mm^3, mm or mm^2 (NaN where absent).
    """
    names = columns()
    table = pd.DataFrame(list(iterate_records(subject_dirs, nprocs=nprocs)), columns=list(names))
    return table.astype(dict.fromkeys(names[len(ID_COLUMNS) :], float))


def write_volumes_table(subject_dirs: Iterable[Path | str], path: Path | str, *, nprocs: int = 1) -> int:
    """Stream the table of `volumes_table` to a TSV file, which appears whole or not at all.

    Returns
    -------
    int
        Number of scans that could not be read (their reason is in ``problem``).
    """
    path = Path(path)
    problems = 0
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
            writer.writerow(columns())
            for record in iterate_records(subject_dirs, nprocs=nprocs):
                problems += record[ID_COLUMNS.index("problem")] is not None
                writer.writerow([_cell(value) for value in record])
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return problems


def _cell(value: str | float | None) -> str:
    if value is None or value != value:
        return NA
    return f"{value:.12g}" if isinstance(value, float) else inert(str(value))
