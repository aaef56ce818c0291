"""Covariates of the scans to score, for every engine: read, checked against the model's ranges, explained in notes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.errors import CovariateError
from bids_app.normative.card import ModelCard
from bids_app.normative.parameters import SEXES, Stack
from bids_app.regions import ETIV

FEW_PEOPLE = 10


@dataclass(frozen=True)
class Basics:
    """Age (years), sex and eTIV (mm^3; 0 when not asked for) of n scans, each (n,); `usable` scans have them all."""

    age: FloatArray
    sex: NDArray[np.object_]
    etiv: FloatArray
    usable: NDArray[np.bool_]


def require(data: pd.DataFrame, columns: Iterable[str], card: ModelCard) -> None:
    """Refuse a table without the columns that a model needs.

    Parameters
    ----------
    data : DataFrame
    columns : iterable of str
    card : ModelCard
        Names the model in the message.

    Raises
    ------
    CovariateError
        Which columns are missing.
    """
    missing = [name for name in columns if name not in data.columns]
    if missing:
        raise CovariateError(
            f"the table has no column {', '.join(missing)}, which {card.name} needs",
            f"age is in years, sex is female or male, and {ETIV} is in mm^3",
        )


def numbers(values: pd.Series) -> FloatArray:
    """A column as numbers (n,), NaN where it is missing or no number.

    Parameters
    ----------
    values : (n,) Series

    Returns
    -------
    (n,) array
        NaN where a cell is missing or no number.
    """
    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=float)


def read_basics(data: pd.DataFrame, card: ModelCard, etiv: bool = True) -> Basics:
    """Age, sex and, when asked for, eTIV from the columns of `data` (n rows).

    Parameters
    ----------
    data : DataFrame
        Model input.
    card : ModelCard
    etiv : bool
        Whether eTIV is needed.

    Returns
    -------
    Basics

    Raises
    ------
    CovariateError
        When a column is missing.
    """
    require(data, ("age", "sex", *([ETIV] if etiv else [])), card)
    age, sex = numbers(data["age"]), data["sex"].to_numpy(dtype=object)
    volume = numbers(data[ETIV]) if etiv else np.zeros(len(data))
    head = np.isfinite(volume) & (volume > 0) if etiv else np.ones(len(data), dtype=bool)
    return Basics(age, sex, volume, np.isfinite(age) & head & np.isin(sex.astype(str), SEXES))


def major_versions(data: pd.DataFrame) -> list[str]:
    """FreeSurfer's major version of each scan, '' when it is not known.

    Parameters
    ----------
    data : DataFrame
        ``fs_version``, where it is known.

    Returns
    -------
    list of str
        One per row.
    """
    if "fs_version" not in data.columns:
        return [""] * len(data)
    majors = {value: major_version(value) for value in data["fs_version"].dropna().unique()}
    return [majors.get(value, "") for value in data["fs_version"]]


def inside_ranges(
    values: FloatArray, sex: NDArray[np.object_], ranges: Mapping[str, tuple[float, float]]
) -> NDArray[np.bool_]:
    """Whether each value (n,) is inside the range of its sex; where no range is known, it is.

    Parameters
    ----------
    values : (n,) array
    sex : (n,) array of str
    ranges : mapping
        From sex to the lowest and highest value.

    Returns
    -------
    (n,) bool array
    """
    inside = np.ones(values.size, dtype=bool)
    for name, (low, high) in ranges.items():
        rows = sex == name
        inside[rows] = (values[rows] >= low) & (values[rows] <= high)
    return inside


@dataclass(frozen=True)
class Covariates:
    """Age (years), sex, eTIV (mm^3) and FreeSurfer major version of n scans; unknown version is ''.

    `usable` scans have all covariates. `remarks` holds one list of sentences per scan. `etiv` is 0 where `uses_etiv`
    is false.
    """

    age: FloatArray
    sex: NDArray[np.object_]
    etiv: FloatArray
    version: NDArray[np.object_]
    usable: NDArray[np.bool_]
    remarks: tuple[tuple[str, ...], ...]
    uses_etiv: bool = True

    def inside(self, rows: NDArray[np.intp], fits: Stack) -> NDArray[np.bool_]:
        """Whether age and eTIV of some scans are inside the range that each region was trained on.

        Parameters
        ----------
        rows : (m,) array of int
        fits : Stack
            Of p regions; eTIV counts only where `uses_etiv`.

        Returns
        -------
        (m, p) bool array
        """
        age, etiv = self.age[rows, None], self.etiv[rows, None]
        low, high = fits.age_range.T
        inside = (age >= low) & (age <= high)
        if self.uses_etiv:
            smallest, largest = fits.etiv_range.T
            inside &= (etiv >= smallest) & (etiv <= largest)
        return inside

    def notes(self, in_range: NDArray[np.bool_]) -> tuple[str, ...]:
        """One string per scan, empty when there is nothing to say.

        Parameters
        ----------
        in_range : (n,) bool array
            Whether a scan is in range in all regions.

        Returns
        -------
        tuple of str, length n
        """
        unexplained = "some regions were trained on a narrower range of covariates"
        return tuple(
            " ".join(remarks if inside or remarks or not usable else (unexplained,))
            for remarks, inside, usable in zip(self.remarks, in_range, self.usable)
        )


def major_version(version: object) -> str:
    """``7`` of ``7.4.1`` or ``freesurfer-linux-7.4.1``; '' when there is none."""
    text = "" if version is None or (isinstance(version, float) and np.isnan(version)) else str(version)
    return next((part for part in text.replace("-", ".").lstrip("vV").split(".") if part.isdecimal()), "")


def read_covariates(
    data: pd.DataFrame, card: ModelCard, corrected: Collection[str] = (), uses_etiv: bool = True
) -> Covariates:
    """Take the covariates from `data` and compare them with the model's card.

    Parameters
    ----------
    data : DataFrame, n rows
        ``age`` (years), ``sex``, ``EstimatedTotalIntraCranialVol`` (mm^3), optionally ``fs_version``.
    card : ModelCard
    corrected : collection of str
        Major FreeSurfer versions whose offsets the model knows.
    uses_etiv : bool
        Whether eTIV is a covariate; otherwise its column may be absent.

    Returns
    -------
    Covariates

    Raises
    ------
    CovariateError
        When a column is missing.
    """
    basics, seen = read_basics(data, card, uses_etiv), major_versions(data)
    age, sex, etiv, usable = basics.age, basics.sex, basics.etiv, basics.usable
    version = np.array([major if major in corrected else "" for major in seen], dtype=object)
    needed = "age, sex or intracranial volume" if uses_etiv else "age or sex"
    remarks = [[] if ok else [f"not scored: {needed} is missing or unreadable."] for ok in usable]
    _range_remarks(remarks, usable, age, sex, etiv, card)
    _sparse_remarks(remarks, usable, age, sex, card)
    _version_remarks(remarks, seen, card, bool(corrected))
    return Covariates(age, sex, etiv, version, usable, tuple(tuple(r) for r in remarks), uses_etiv)


def _range_remarks(
    remarks: list[list[str]],
    usable: NDArray[np.bool_],
    age: FloatArray,
    sex: NDArray[np.object_],
    etiv: FloatArray,
    card: ModelCard,
) -> None:
    for name in SEXES:
        rows = usable & (sex == name)
        if name in card.age_range:
            low, high = card.age_range[name]
            for i in np.flatnonzero(rows & ((age < low) | (age > high))):
                remarks[i].append(
                    f"age {age[i]:.1f} is outside the {low:g} to {high:g} years of the model's "
                    f"{name} training data; scored as if at {np.clip(age[i], low, high):g}."
                )
        if name in card.etiv_range:
            low, high = card.etiv_range[name]
            for i in np.flatnonzero(rows & ((etiv < low) | (etiv > high))):
                remarks[i].append(
                    f"intracranial volume {etiv[i] / 1000:.0f} cm^3 is outside the "
                    f"{low / 1000:.0f} to {high / 1000:.0f} cm^3 of the model's {name} training "
                    "data; the model's line in it was continued."
                )


def _sparse_remarks(
    remarks: list[list[str]], usable: NDArray[np.bool_], age: FloatArray, sex: NDArray[np.object_], card: ModelCard
) -> None:
    """Say where the training data hold fewer than ten people of the sex in the band of age."""
    for name, bands in card.age_bands.items():
        rows = usable & (sex == name)
        for band, people in bands.items():
            low, high = (float(end) for end in band.split("-"))
            if people < FEW_PEOPLE:
                for i in np.flatnonzero(rows & (age >= low) & (age < high + 1)):
                    remarks[i].append(
                        f"only {people} {name} people of {band} years are in the model's training "
                        "data; the expected volumes are uncertain."
                    )


def _version_remarks(remarks: list[list[str]], seen: list[str], card: ModelCard, corrects: bool) -> None:
    versions = card.known_versions
    if not versions:
        return
    applied = "no version offset was applied" if corrects else "its offset is unknown"
    for i, major in enumerate(seen):
        if not major and corrects:
            remarks[i].append(f"FreeSurfer version not given; {applied}.")
        elif major and major not in versions:
            remarks[i].append(
                f"FreeSurfer {major} is not among the versions that the model was trained on "
                f"({', '.join(versions)}); {applied}."
            )
