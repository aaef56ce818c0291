"""Age and sex in a plain table: which columns hold them, in which unit and code; read tolerantly, never guessed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import MAX_AGE, YEARS_PER_UNIT, is_missing, parse_age, parse_sex
from bids_app.bids.covariate_columns import find_roles
from bids_app.errors import CovariateError
from bids_app.findings import Finding
from bids_app.normative.base import NormativeModel
from bids_app.regions import ETIV, THICKNESS, VOLUME, measure_of
from bids_app.workbench.table_columns import NAMED_AT_MOST
from bids_app.workbench.table_survey import Survey

# What people write for missing; no age in any unit.
SENTINELS = (777, 888, 999, 7777, 8888, 9999, 99999)
# Few people of a study are older; a column with more such ages, or with more that no one reaches, is not in years.
OLD_AGE, OLD_SHARE, IMPOSSIBLE_SHARE = 100.0, 0.1, 0.02


class CovariateColumns:
    """The columns of age and sex of a table.

    Parameters
    ----------
    names : list of str
        The table's columns.
    sidecar : mapping
        Its JSON dictionary.
    source : str
        Its name in messages.
    sex_coding : mapping, optional
        Code to ``female`` or ``male``.
    age_units : str, optional
        Unit of ages without one; wins over the column's name and the dictionary.

    Raises
    ------
    CovariateError
        When there is no such column.
    """

    def __init__(
        self,
        names: list[str],
        sidecar: Mapping[str, Any],
        source: str,
        sex_coding: Mapping[str, str] | None = None,
        age_units: str | None = None,
    ) -> None:
        roles, self._source = find_roles(names, sidecar), source
        if not roles.ages:
            raise CovariateError(f"{source} has no column of age in years", "name it with --map age=COLUMN")
        if not roles.sexes:
            raise CovariateError(f"{source} has no column of sex", "name it with --map sex=COLUMN")
        self._age, _, units = next((role for role in roles.ages if role[0] == "age"), roles.ages[0])
        self._sex, levels = next((role for role in roles.sexes if role[0] == "sex"), roles.sexes[0])
        self._levels, self._asked = sex_coding or levels, age_units is not None
        self._units = age_units or units
        self.names = [self._age, self._sex]

    def see(self, survey: Survey, table: pd.DataFrame) -> None:
        """Let a survey take in how age and sex of a piece are written.

        Parameters
        ----------
        survey : Survey
        table : DataFrame
            With the columns of age and sex.
        """
        survey.count("age", *self._read_age(table)[1:])
        survey.count("sex", *self._read_sex(table)[1:])
        years = pd.to_numeric(table[self._age], errors="coerce").astype(float)
        years = years[~years.isin(SENTINELS)] * YEARS_PER_UNIT[self._units]
        survey.count_outside("age", years, 0.0, MAX_AGE)
        survey.count_outside("old age", years, 0.0, OLD_AGE)

    def remarks(self, survey: Survey) -> list[str]:
        """Sentences on what was read tolerantly.

        Raises
        ------
        CovariateError
            When nobody's sex can be read, or the ages cannot be in their unit.
        """
        self._refuse(survey)
        out = [] if self._age == "age" else [f"age is taken from column {self._age}"]
        return out if self._sex == "sex" else [*out, f"sex is taken from column {self._sex}"]

    def findings(self, survey: Survey) -> list[Finding]:
        """What was converted, read tolerantly or refused."""
        found = [Finding("covariate-cell", text) for name in ("age", "sex") for text in survey.sentences(name)]
        if self._units != "years":
            why = "as asked" if self._asked else "as its name or JSON dictionary says"
            found = [finding for finding in found if f"({self._units}) was read as" not in finding.seen]
            found.append(Finding("age-units", f"column {self._age} is in {self._units}, {why}"))
        return found

    def ages(self, table: pd.DataFrame) -> np.ndarray:
        """Ages of a piece.

        Parameters
        ----------
        table : (n, q) DataFrame

        Returns
        -------
        (n,) array
            Years; NaN where they cannot be read.
        """
        return np.asarray(self._read_age(table)[0])

    def sexes(self, table: pd.DataFrame) -> pd.Series:
        """Sexes of a piece.

        Parameters
        ----------
        table : (n, q) DataFrame

        Returns
        -------
        (n,) Series of object
            ``female`` or ``male``, None where it cannot be read; index as `table`.
        """
        return pd.Series(self._read_sex(table)[0], index=table.index, dtype=object)

    def _refuse(self, survey: Survey) -> None:
        if not survey.understood["sex"]:
            cells = survey.cells["sex"]
            codes = [f"{cell}={sex}" for cell, sex in zip([*cells, "1", "2"], ("female", "male"))]
            shown = ", ".join(cells) or "all cells are empty"
            raise CovariateError(
                f"column {self._sex} of {self._source} holds no readable sex ({shown})",
                f"explain its codes, for example --sex-coding {' '.join(codes)}, or the other way round",
            )
        (above, filled), (old, _) = survey.above("age"), survey.above("old age")
        limit, count = (MAX_AGE, above) if above > IMPOSSIBLE_SHARE * filled else (OLD_AGE, old)
        if not self._asked and (limit == MAX_AGE or old > OLD_SHARE * filled):
            raise CovariateError(
                f"column {self._age} of {self._source} is hardly in {self._units}: {count} of {filled} ages are "
                f"above {limit:g} years",
                "say the unit with --age-units months (or weeks, days, years), or correct the column",
            )

    def _read_age(self, table: pd.DataFrame) -> tuple[Any, dict[str, int], bool, list[str]]:
        """Ages, the remarks on cells with their number of rows, whether any was read, and the first cells."""
        codes, cells = pd.factorize(table[self._age])
        read = [parse_age(_plain(cell), self._units) for cell in cells] + [(None, None)]
        values = np.array([age for age, _ in read], dtype=float)[codes]
        return values, _counted(codes, [note for _, note in read]), bool(np.isfinite(values).any()), _first(cells)

    def _read_sex(self, table: pd.DataFrame) -> tuple[Any, dict[str, int], bool, list[str]]:
        """As `_read_age`, for sex."""
        codes, cells = pd.factorize(table[self._sex])
        cells = [_plain(cell) for cell in cells]
        read = [parse_sex(cell, self._levels) for cell in cells] + [None]
        refused = [
            f"sex '{cell}' is neither female nor male, or a code without --sex-coding"
            if value is None and not is_missing(cell)
            else None
            for cell, value in zip(cells, read)
        ]
        return np.array(read, dtype=object)[codes], _counted(codes, [*refused, None]), any(read), _first(cells)


def _plain(cell: Any) -> Any:
    """A whole number without the ``.0`` that a missing cell elsewhere in its column gives it."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _first(cells: Any) -> list[str]:
    return [str(cell) for cell in cells[:NAMED_AT_MOST]]


def _counted(codes: Any, said: list[str | None]) -> dict[str, int]:
    """What was said of each distinct cell (the last entry: missing), with the number of rows."""
    counts = np.bincount(codes % len(said), minlength=len(said))
    out: dict[str, int] = {}
    for text, count in zip(said, counts):
        if text:
            out[text] = out.get(text, 0) + int(count)
    return out


def require_etiv(measures: Collection[str], source: str, models: Collection[NormativeModel] | None) -> None:
    """Refuse a table without eTIV where one of `models` uses it; without `models` where all is not thickness.

    Raises
    ------
    CovariateError
    """
    known = {measure_of(name) for name in measures} or {VOLUME}
    if ETIV not in measures and (
        known != {THICKNESS} if models is None else any(m.uses_etiv_of(known) for m in models)
    ):
        raise CovariateError(
            f"{source} has no column {ETIV} (intracranial volume, mm^3)", f"name it with --map {ETIV}=COLUMN"
        )
