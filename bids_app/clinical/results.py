"""What an analysis hands on: a tidy table, sentences, methods and how to draw it.

On disk a result is ``group/group_<name>.tsv`` and ``group/group_<name>.json``. The JSON is the BIDS dictionary of
the columns plus the keys ``Title``, ``Sentences``, ``Methods`` and ``Figure`` (``docs/reports.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from traceback import format_exception
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.group_files import group_file, table_name, written_results
from bids_app.bids.names import output_path
from bids_app.clinical.figures import Figure, figure_from_json
from bids_app.errors import InputError
from bids_app.findings import Finding
from bids_app.regions import ETIV, derived_names, display_name, measured_names
from bids_app.tables import atomic_write, read_json, read_table, write_json, write_parquet_of_many, write_tsv

ANALYSIS_FILE = "analysis.toml"
KEYS = ("Title", "Sentences", "Methods", "Figure")
FAILURE = "Traceback"
Columns = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class AnalysisResult:
    """One analysis of a cohort.

    Parameters
    ----------
    name : str
        Short name; the file is ``group_<name>.tsv``.
    title : str
        Heading in the report.
    table : DataFrame
        Tidy table with every number that a sentence or the figure shows.
    columns : mapping
        BIDS data dictionary of the columns of `table`.
    sentences : tuple of str
        The result in plain language, one sentence each.
    methods : str
        Paragraph for a methods section, with software versions.
    figure : Figure or None
        How to draw the table: ``kind`` and the names of the columns to use
        (see ``docs/reports.md``).
    failure : str
        Traceback of the bug that an analysis died of, empty for every other result.
    """

    name: str
    title: str
    table: pd.DataFrame
    columns: Columns
    sentences: tuple[str, ...] = ()
    methods: str = ""
    figure: Figure | None = field(default=None)
    failure: str = ""
    findings: tuple[Finding, ...] = ()


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = read_json(str(files("bids_app.data") / "result_columns.json"))
    return content


def describe(table: pd.DataFrame, unit: str | None = None, **extra: str) -> dict[str, dict[str, Any]]:
    """The BIDS dictionary of a table's columns.

    Parameters
    ----------
    table : DataFrame
    unit : str, optional
        Of the columns that are regions.
    **extra : str
        Description of columns of this table only.

    Returns
    -------
    dict
        Column to ``Description``, and ``Units`` or ``Levels`` where there are any.

    Raises
    ------
    KeyError
        When a column has no description.
    """
    regions = {*measured_names(), *derived_names(), ETIV}
    described: dict[str, dict[str, Any]] = {}
    for name in map(str, table.columns):
        if name in extra:
            described[name] = {"Description": extra[name]}
        elif name in regions:
            what = display_name(name)
            described[name] = {"Description": what[:1].upper() + what[1:]}
            described[name].update({"Units": unit} if unit else {})
        else:
            described[name] = dict(_dictionary()[name])
    return described


def found_by(results: Iterable[AnalysisResult]) -> tuple[Finding, ...]:
    """The findings of all results, each once."""
    return tuple(dict.fromkeys(finding for result in results for finding in result.findings))


def make_result(
    name: str,
    title: str,
    table: pd.DataFrame,
    *,
    sentences: tuple[str, ...] = (),
    methods: str = "",
    figure: Figure | None = None,
    unit: str | None = None,
    **extra: str,
) -> AnalysisResult:
    """An `AnalysisResult` whose columns are described by `describe`.

    Parameters
    ----------
    name : str
        The stem of its files, ``group_<name>``.
    title : str
    table : DataFrame
    sentences : tuple of str
        What the table says, with estimates and intervals.
    methods : str
        For the methods paragraph.
    figure : Figure, optional
    unit : str, optional
        Of the estimates.
    **extra
        Descriptions of columns that `describe` does not know.

    Returns
    -------
    AnalysisResult
    """
    return AnalysisResult(name, title, table, describe(table, unit, **extra), sentences, methods, figure)


def map_limits(values: pd.Series, diverging: bool = True) -> tuple[float, float] | None:
    """Limits of a colour scale that all maps of a figure share: round numbers (1, 2, 5 times a power of ten).

    Parameters
    ----------
    values : Series
        NaN are passed over.
    diverging : bool
        Symmetric about 0, otherwise from 0.

    Returns
    -------
    (float, float) or None
        None where nothing is known or all is 0.
    """
    largest = float(values.abs().max())
    if not np.isfinite(largest) or largest == 0:
        return None
    power = 10 ** np.floor(np.log10(largest))
    top = float(next(power * step for step in (1, 2, 5, 10) if power * step >= largest * (1 - 1e-12)))
    return (-top if diverging else 0.0, top)


def not_computed(name: str, title: str, reason: str) -> AnalysisResult:
    """The result of an analysis that cannot be computed: its table holds the reason."""
    table = pd.DataFrame({"analysis": [name], "reason": [reason]})
    return make_result(name, title, table, sentences=(f"Not computed: {reason}",))


def failed(name: str, title: str, error: Exception) -> AnalysisResult:
    """The result of an analysis that died of a bug: `not_computed`, with the traceback."""
    result = not_computed(name, title, f"an unexpected {type(error).__name__} ({error}); please report it.")
    return replace(result, failure="".join(format_exception(error)))


def write_result(result: AnalysisResult, output_dir: Path | str) -> Path:
    """Write ``group_<name>.tsv`` and ``.json`` into the folder ``group``; return the path of the table.

    Raises
    ------
    ValueError
        When a column of the table has no description.
    """
    undescribed = [str(name) for name in result.table.columns if name not in result.columns]
    if undescribed:
        raise ValueError(f"no description for columns {undescribed} of result {result.name}")
    path = group_file(output_dir, result.name)
    sidecar: dict[str, Any] = {str(name): dict(result.columns[name]) for name in result.table.columns}
    figure = None if result.figure is None else result.figure.to_json()
    sidecar.update(zip(KEYS, (result.title, list(result.sentences), result.methods, figure)))
    if result.failure:
        sidecar[FAILURE] = result.failure
    write_json(sidecar, path.with_suffix(".json"))
    write_tsv(result.table, path)
    write_parquet_of_many(result.table, path.with_suffix(".parquet"))
    return path


def read_result(path: Path | str) -> AnalysisResult:
    """Read back what `write_result` wrote; `path` is that of the table.

    Raises
    ------
    InputError
        When the JSON beside the table is absent or is not that of an analysis.
    """
    path = Path(path)
    sidecar = read_json(path.with_suffix(".json"))
    if not isinstance(sidecar, dict) or any(key not in sidecar for key in KEYS):
        raise InputError(
            f"{path.with_suffix('.json')} is not the description of an analysis", "run the group level again"
        )
    title, sentences, methods, figure = (sidecar.pop(key) for key in KEYS)
    failure = sidecar.pop(FAILURE, "")
    name, drawn = table_name(path), None if figure is None else figure_from_json(figure)
    return AnalysisResult(name, title, read_table(path), sidecar, tuple(sentences), methods, drawn, failure)


def computed_methods(results: Iterable[AnalysisResult]) -> tuple[str, ...]:
    """The methods of those results that were computed, each once."""
    return tuple(dict.fromkeys(result.methods for result in results if result.methods and "reason" not in result.table))


def replace_results(output_dir: Path, results: Iterable[AnalysisResult], text: str) -> list[Path]:
    """Write `results` and the analysis file `text` in place of those of an earlier analysis."""
    results = list(results)  # computed before anything is removed
    for path in written_results(output_dir):
        path.unlink()
        for suffix in (".tsv", ".parquet"):
            path.with_suffix(suffix).unlink(missing_ok=True)
    atomic_write(output_path(output_dir, ANALYSIS_FILE), text)
    return [write_result(result, output_dir) for result in results]
