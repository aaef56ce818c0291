"""The volumes of many scans as one wide table, in several processes and with memory that does not grow with N."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import pandas as pd

from bids_app import regions
from bids_app.errors import FreeSurferError
from bids_app.freesurfer import subject
from bids_app.freesurfer.check import check_subject, require_usable
from bids_app.freesurfer.quality import assess_quality
from bids_app.freesurfer.volumes import read_volumes, region_values
from bids_app.processes import end_with
from bids_app.tables import UNWRITABLE, atomic_stream
from bids_app.tsv import NA, inert

ID_COLUMNS = (
    "participant_id",
    "session_id",
    "subject",
    "fs_version",
    "flavour",
    "stream",
    "quality",
    "quality_reasons",
    "problem",
)
PROBLEM = ID_COLUMNS.index("problem")
_BATCH = 512
_CHUNK = 16

Record = tuple[str | float | None, ...]


def _columns() -> tuple[str, ...]:
    """Columns of the table: the id columns, then every region and measure of data/regions.tsv."""
    return (*ID_COLUMNS, *regions.measured_names())


def read_record(subject_dir: Path | str) -> Record:
    """One row of the table; a directory that cannot be read has its reason in ``problem`` and no volumes."""
    path = Path(subject_dir)
    try:
        return _measured(path)
    except FreeSurferError as error:
        unknown = [None] * (PROBLEM - 3)
        return (*identifiers(path), *unknown, str(error), *[None] * len(regions.measured_names()))


def _measured(path: Path) -> Record:
    participant, session, name = identifiers(path)
    labelled = "/" in name
    require_usable(check_subject(path, expected_subject=f"{participant}_{session}" if labelled else None))
    found = read_volumes(path, everything=False)
    quality = assess_quality(found)
    values = region_values(found.rows, found.measures)
    reasons = "; ".join(quality.reasons) or None
    program = (found.fs_version, found.flavour, found.stream)
    measured = [values.get(region) for region in regions.measured_names()]
    return (participant, session, name, *program, quality.verdict, reasons, None, *measured)


def identifiers(path: Path) -> tuple[str, str | None, str]:
    """``participant_id``, ``session_id`` and name of a subject directory; a name that is not BIDS' is the person's."""
    name = f"{path.parent.name}/{path.name}" if path.name.startswith("ses-") else path.name
    found = subject.labels(name)
    person = f"sub-{found['sub']}" if "sub" in found else name.partition(".long.")[0]
    return person, f"ses-{found['ses']}" if "ses" in found else None, name


def subject_table(subject_dir: Path, columns: Mapping[str, object]) -> pd.DataFrame:
    """The row of one subject, with `columns` after those that name it.

    Parameters
    ----------
    subject_dir : Path
    columns : mapping
        Name to value.

    Returns
    -------
    DataFrame
        One row; volumes in mm^3, thickness in mm, area in mm^2.

    Raises
    ------
    FreeSurferError
        When its directory cannot be used.
    """
    row = dict(zip(_columns(), _measured(subject_dir)))
    del row["problem"]
    names = [name for name in ID_COLUMNS if name in row and name not in columns]
    measured = {name: float("nan") if value is None else value for name, value in row.items() if name not in ID_COLUMNS}
    return pd.DataFrame([{**{name: row[name] for name in names}, **columns, **measured}])


def iterate_records(subject_dirs: Iterable[Path | str], *, nprocs: int = 1) -> Iterator[Record]:
    """`read_record` of every directory, in order; only a batch of them is in memory at a time."""
    paths = iter(subject_dirs)
    if nprocs <= 1:
        yield from map(read_record, paths)
        return
    with multiprocessing.get_context().Pool(nprocs, _begin_worker, (os.getpid(),)) as pool:
        while batch := list(islice(paths, _BATCH)):
            yield from pool.map(read_record, batch, chunksize=_CHUNK)
        # Told to end by signal, a worker that is not yet up can miss it, and is then waited for without end.
        pool.close()
        pool.join()


def _begin_worker(parent: int) -> None:
    """A worker ends by SIGTERM at once, whatever the program that it was forked from does, and with that program."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent)


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
        `ID_COLUMNS` and one column per region in mm^3, mm or mm^2 (NaN where absent).
    """
    names = _columns()
    table = pd.DataFrame(list(iterate_records(subject_dirs, nprocs=nprocs)), columns=list(names))
    return table.astype(dict.fromkeys(names[len(ID_COLUMNS) :], float))


def write_volumes_table(
    subject_dirs: Iterable[Path | str],
    path: Path | str,
    *,
    nprocs: int = 1,
    seen: Callable[[Record], None] = lambda record: None,
) -> int:
    """Stream the table of `volumes_table` to a TSV file, which appears whole or not at all.

    Parameters
    ----------
    subject_dirs, nprocs :
        As in `volumes_table`.
    path : path-like
    seen : callable
        Is given every row.

    Returns
    -------
    int
        Number of scans that could not be read (their reason is in ``problem``).
    """
    problems = 0
    with atomic_stream(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors=UNWRITABLE, newline="")
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow(_columns())
        for record in iterate_records(subject_dirs, nprocs=nprocs):
            problems += record[PROBLEM] is not None
            seen(record)
            writer.writerow([_cell(value) for value in record])
        text.detach()  # flushed; the file stays open, and so locked, until it has its name
    return problems


def _cell(value: str | float | None) -> str:
    if value is None or value != value:
        return NA
    return f"{value:.12g}" if isinstance(value, float) else inert(str(value))
