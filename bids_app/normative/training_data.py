"""Which rows and regions of a table a model is trained on, and why the others are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError
from bids_app.normative.parameters import LOG_FLOOR_MM3, SEXES
from bids_app.normative.surfaces import surface_failures
from bids_app.regions import ETIV, VOLUME, measure_of, region_table

MAX_MISSING = 0.05
SURFACES_FAILED = "thickness beyond 6 SD in three regions or more (surfaces that failed)"


@dataclass(frozen=True)
class TrainingReport:
    """What training used and left out.

    Parameters
    ----------
    n_rows, n_used : int
    dropped : DataFrame
        Columns ``row`` (position in the table given), ``participant_id`` (when there is one), ``reason``.
    left_out_regions : mapping
        Region to reason.
    fallbacks : DataFrame
        Columns ``region``, ``sex``, ``fallback``: models that had to be simplified.
    warnings : tuple of str
        What the model does not hold.
    """

    n_rows: int
    n_used: int
    dropped: pd.DataFrame
    left_out_regions: dict[str, str] = field(default_factory=dict)
    fallbacks: pd.DataFrame = field(default_factory=pd.DataFrame)
    warnings: tuple[str, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """The report in words: one sentence per reason."""
        out = [f"{self.n_used} of {self.n_rows} rows were used."]
        out += [f"{n} left out: {reason}." for reason, n in self.dropped["reason"].value_counts(sort=False).items()]
        out += [f"Region {name} left out: {reason}." for name, reason in self.left_out_regions.items()]
        if len(self.fallbacks):
            out += [
                f"{n} of the fits are simpler: {what}."
                for what, n in self.fallbacks["fallback"].value_counts(sort=False).items()
            ]
        return (*out, *self.warnings)


@dataclass(frozen=True)
class TrainingData:
    """Complete rows, ready to fit.

    Parameters
    ----------
    table : DataFrame
        Rows used, index 0..n-1.
    regions : tuple of str, length p
    log : (p,) bool array
        Regions modelled on log volume.
    report : TrainingReport
    uses_etiv : bool
        Whether eTIV is a covariate.
    """

    table: pd.DataFrame
    regions: tuple[str, ...]
    log: NDArray[np.bool_]
    report: TrainingReport
    uses_etiv: bool = True

    @property
    def age(self) -> FloatArray:
        """Age of each person.

        Returns
        -------
        (n,) array
            Years.
        """
        return self.table["age"].to_numpy(dtype=float)

    @property
    def sex(self) -> NDArray[np.object_]:
        """Sex of each person.

        Returns
        -------
        (n,) array of {'female', 'male'}
        """
        return self.table["sex"].to_numpy(dtype=object)

    @property
    def etiv(self) -> FloatArray:
        """Intracranial volume of each person.

        Returns
        -------
        (n,) array
            mm^3; 0 where the table has no such column.
        """
        return self.table[ETIV].to_numpy(dtype=float) if self.knows_etiv else np.zeros(len(self.table))

    @property
    def knows_etiv(self) -> bool:
        """Whether the table has intracranial volumes; without, the model is of thickness."""
        return ETIV in self.table

    @property
    def site(self) -> NDArray[np.object_]:
        """Site of each person.

        Returns
        -------
        (n,) array of str
            ``site`` for everybody where the table has no such column.
        """
        if "site" not in self.table:
            return np.full(len(self.table), "site", dtype=object)
        return self.table["site"].astype(str).to_numpy(dtype=object)

    @property
    def fs_version(self) -> NDArray[np.object_]:
        """FreeSurfer version of each person, as the table has it.

        Returns
        -------
        (n,) array of str
            Empty where it is not known.
        """
        if "fs_version" not in self.table:
            return np.full(len(self.table), "", dtype=object)
        return self.table["fs_version"].fillna("").astype(str).to_numpy(dtype=object)

    def subset(self, rows: NDArray[np.bool_]) -> TrainingData:
        """Some of the rows.

        Parameters
        ----------
        rows : (n,) bool array

        Returns
        -------
        TrainingData
        """
        return replace(self, table=self.table[rows].reset_index(drop=True))

    def modelled(self) -> FloatArray:
        """Volumes (n, p) on the modelled scale.

        Returns
        -------
        (n, p) array
            Logarithms where the region is modelled so.
        """
        values = self.table[list(self.regions)].to_numpy(dtype=float, copy=True)
        values[:, self.log] = np.log(np.maximum(values[:, self.log], LOG_FLOOR_MM3))
        return values


def prepare(
    table: pd.DataFrame,
    regions: tuple[str, ...],
    *,
    logarithms: bool,
    min_per_site: int,
    min_per_sex: int,
    uses_etiv: bool = True,
) -> TrainingData:
    """Choose rows and regions.

    Parameters
    ----------
    table : DataFrame
        Model input, see ``docs/architecture.md``.
    regions : tuple of str
        Wanted regions; absent ones are an error, those missing in more than 5 % of rows are left out.
    logarithms : bool
        Whether regions with ``scale`` ``log`` in the region table are modelled on log volume.
    min_per_site, min_per_sex : int
        Smallest site that is kept, and fewest people of each sex.
    uses_etiv : bool
        Whether eTIV is a covariate of the model; if not, the table can be without it.

    Returns
    -------
    TrainingData

    Raises
    ------
    ModelError
        When a column is absent or too few people remain.
    """
    table = _with_columns(table, ("age", "sex", *([ETIV] if uses_etiv else []), *regions), uses_etiv)
    values = table[list(regions)].to_numpy(dtype=float, na_value=np.nan)
    missing = ~np.isfinite(values)
    often = missing.mean(axis=0) > MAX_MISSING if len(table) else np.zeros(len(regions), dtype=bool)
    constant = np.ptp(np.where(missing, 0, values), axis=0) == 0 if len(table) else often
    left_out = {name: "missing in more than 5 % of rows" for name, bad in zip(regions, often) if bad}
    left_out |= {name: "the same value in every row" for name, bad in zip(regions, constant & ~often) if bad}
    kept = tuple(name for name in regions if name not in left_out)
    if not kept:
        raise ModelError("no region of the training table has enough values")
    surfaces = any(measure_of(name) != VOLUME for name in kept)
    reasons = _reasons(table, missing[:, [name not in left_out for name in regions]], min_per_site, surfaces)
    dropped = pd.DataFrame({"row": np.flatnonzero(reasons != ""), "reason": reasons[reasons != ""]})
    if "participant_id" in table:
        dropped.insert(1, "participant_id", table["participant_id"].to_numpy()[dropped["row"]])
    used = table[reasons == ""].reset_index(drop=True)
    _check_sexes(used, min_per_sex)
    scale = region_table()["scale"]
    log = np.array([logarithms and scale.get(name) == "log" for name in kept])
    return TrainingData(used, kept, log, TrainingReport(len(table), len(used), dropped, left_out), uses_etiv)


def _with_columns(table: pd.DataFrame, needed: Sequence[str], uses_etiv: bool) -> pd.DataFrame:
    """`table`, whose `needed` columns must be there, without empty columns that it can do without."""
    optional = ("site",) if uses_etiv else (ETIV, "site")
    absent = [name for name in needed if name not in table.columns]
    if absent:
        named = ", ".join(absent[:5]) + (" ..." if len(absent) > 5 else "")
        raise ModelError(f"the training table lacks {len(absent)} column(s): {named}")
    empty = [name for name in optional if name in table and table[name].isna().all()]
    return table.drop(columns=empty).reset_index(drop=True)


def _reasons(table: pd.DataFrame, missing: NDArray[np.bool_], min_per_site: int, surfaces: bool) -> NDArray[np.object_]:
    """Why each row is left out, '' when it is used; the first reason counts."""
    columns = ["age", *([ETIV] if ETIV in table else [])]
    age, *heads = (pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float) for name in columns)
    checks = [
        ("age is missing or negative", ~(np.isfinite(age) & (age >= 0))),
        ("sex is neither female nor male", ~table["sex"].isin(SEXES).to_numpy()),
        *(("intracranial volume is missing or not positive", ~(np.isfinite(etiv) & (etiv > 0))) for etiv in heads),
        ("a region's volume is missing", missing.any(axis=1)),
        (SURFACES_FAILED, surface_failures(table) if surfaces else np.zeros(len(table), dtype=bool)),
    ]
    reasons = np.full(len(table), "", dtype=object)
    for text, bad in checks:
        reasons[(reasons == "") & bad] = text
    if "site" in table:
        reasons[(reasons == "") & table["site"].isna().to_numpy()] = "site is missing"
    if "participant_id" in table:
        valid = table.assign(age=age)[reasons == ""]
        later = valid.sort_values("age", kind="stable").duplicated("participant_id")
        reasons[later.index[later]] = "a later scan of the same person"
    if "site" in table and min_per_site > 1:
        left = table["site"].astype(str).where(reasons == "")
        small = left.map(left.value_counts()).lt(min_per_site).to_numpy()
        reasons[(reasons == "") & small] = f"fewer than {min_per_site} people at the site"
    return reasons


def _check_sexes(used: pd.DataFrame, min_per_sex: int) -> None:
    counts = used["sex"].value_counts()
    for sex in SEXES:
        n = int(counts.get(sex, 0))
        if n < min_per_sex:
            raise ModelError(
                f"{n} {sex} people remain for training",
                f"at least {min_per_sex} of each sex are needed (lower it with --min-per-sex)",
            )
