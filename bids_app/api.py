"""The Python interface, all of which ``bids_app`` itself offers: three lines from a table to z.

DataFrames in, DataFrames out; what the commands say at their end is a `FindingWarning` here. For research use only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pandas as pd

from bids_app.bids.age_sex import YEARS_PER_UNIT
from bids_app.errors import InputError, NormvolError, UsageError
from bids_app.findings import Finding
from bids_app.freesurfer.bulk import subject_table
from bids_app.normative import registry
from bids_app.normative.base import Deviations, NormativeModel
from bids_app.normative.export import centile_table
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.regions import canonical, measured_names
from bids_app.reports.figures.brainmap import brain_map_svg
from bids_app.reports.figures.plot import Picture
from bids_app.reports.figures.tables import centile_figure
from bids_app.reports.figures.values import region_values
from bids_app.workbench.score import DEFAULT_MODEL, fit_adaptation, score_frame
from bids_app.workbench.table_findings import finding_lines
from bids_app.workbench.table_input import TableReader

Model: TypeAlias = NormativeModel | str | Path
Table: TypeAlias = pd.DataFrame | str | Path
PERSON = "participant_id"
# For models that do not look at it
ANY_ETIV = 1.5e6
FAN = {"p05": 5.0, "p25": 25.0, "p50": 50.0, "p75": 75.0, "p95": 95.0}


class FindingWarning(UserWarning):
    """Something was seen in the input that can change a number; `findings` holds all of it."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("\n".join(finding_lines(findings, "the warning's attribute findings")))
        self.findings = tuple(findings)


def load_model(name_or_path: str | Path = DEFAULT_MODEL) -> NormativeModel:
    """A packaged model by name, a model file or folder, or several joined by ``+``.

    Parameters
    ----------
    name_or_path : str or path-like
        ``normvol-model list`` names the packaged ones.

    Raises
    ------
    ModelError
        When there is no such model, or its file cannot be used.

    Examples
    --------
    >>> from bids_app import load_model
    >>> model = load_model("open-calibrated")
    >>> model.card.name, len(model.regions)
    ('open-calibrated', 159)
    """
    return registry.load_model(name_or_path)


def score(
    table: Table,
    model: Model = DEFAULT_MODEL,
    *,
    adaptation: SiteAdaptation | None = None,
    mapping: Mapping[str, str] | None = None,
    sex_coding: Mapping[str, str] | None = None,
    age_units: str | None = None,
) -> Deviations:
    """Deviations of every row from the healthy reference.

    Parameters
    ----------
    table : DataFrame or path-like
        One row per scan: ``age`` (years), ``sex``, ``EstimatedTotalIntraCranialVol`` (mm^3) and one column per region
        under FreeSurfer's name (mm^3, mm or mm^2); other columns are left alone. Of a path: TSV, CSV, Parquet, .xlsx.
    model : NormativeModel, str or path-like
        As `load_model` takes it.
    adaptation : SiteAdaptation, optional
        What `adapt` made of local healthy people; without it a new scanner's offset goes into z.
    mapping : mapping, optional
        Name used here to the table's column, such as ``{"age": "Age at MRI"}``.
    sex_coding : mapping, optional
        Code in the table to ``female`` or ``male``, such as ``{"1": "male", "2": "female"}``.
    age_units : {'years', 'months', 'weeks', 'days'}, optional
        Unit of ages whose column does not say it.

    Returns
    -------
    Deviations
        `to_frame` gives z with one column per region, `to_long` one row per scan and region; rows keep their order, and
        one that cannot be scored is NaN and says why in `notes`.

    Warns
    -----
    FindingWarning
        When something in the table can change a number.

    Raises
    ------
    InputError, CovariateError, ModelError
        When the table or the model cannot be used.

    Examples
    --------
    >>> import pandas as pd
    >>> from bids_app import score
    >>> table = pd.DataFrame({"participant_id": ["sub-01", "sub-02"], "age": [34.2, 58.0], "sex": ["F", "M"]})
    >>> table["EstimatedTotalIntraCranialVol"] = [1.46e6, 1.62e6]
    >>> table["Left-Thalamus"] = [7700.0, 5900.0]
    >>> score(table).to_frame().round(2)
      participant_id  Left-Thalamus
    0         sub-01           0.06
    1         sub-02          -3.07
    """
    used = _model(model)
    found, findings = score_frame(_reader(table, used, mapping, sex_coding, age_units), used, adaptation)
    if findings:
        warnings.warn(FindingWarning(findings), stacklevel=2)
    index = table.index if isinstance(table, pd.DataFrame) else None
    return found if index is None else found.with_index(index)


def adapt(
    controls: Table,
    model: Model = DEFAULT_MODEL,
    *,
    by: str | None = None,
    mapping: Mapping[str, str] | None = None,
    sex_coding: Mapping[str, str] | None = None,
    age_units: str | None = None,
) -> SiteAdaptation:
    """What a scanner adds to z, estimated from its own healthy people; give it to `score`.

    Parameters
    ----------
    controls : DataFrame or path-like
        Healthy people, as `score` takes them. A control who is scored later is left out of their own estimate; without
        ``participant_id`` they are known by their values.
    model, mapping, sex_coding, age_units :
        As in `score`; the model must be the one that scores.
    by : str, optional
        Column that tells scanners apart.

    Raises
    ------
    InputError, CovariateError, ModelError
        When nobody can be scored, `by` is missing, or the model allows no adaptation.

    Examples
    --------
    >>> import pandas as pd
    >>> from bids_app import adapt, load_model, score
    >>> model = load_model("open-calibrated")
    >>> people = pd.DataFrame({"age": range(20, 60, 2), "sex": ["F", "M"] * 10})
    >>> people["EstimatedTotalIntraCranialVol"] = 1.5e6
    >>> people["Left-Thalamus"] = 7000.0 + 20 * (people["age"] % 7)
    >>> adaptation = adapt(people, model)
    >>> adaptation.report()[["scanner", "n", "mean_z", "shift"]].round(2)
      scanner   n  mean_z  shift
    0     all  20   -1.14  -1.11
    >>> bool(abs(score(people, model, adaptation=adaptation).z.mean()) < 0.2)
    True
    """
    used = _model(model)
    return fit_adaptation(_reader(controls, used, mapping, sex_coding, age_units), used, by)


def read_subject(subject_dir: Path | str, **columns: object) -> pd.DataFrame:
    """The measures of one FreeSurfer or FastSurfer subject as a table of one row, which `score` takes.

    Parameters
    ----------
    subject_dir : path-like
        Only read.
    **columns
        More columns of the row, such as ``age=34.2, sex="F"``.

    Returns
    -------
    DataFrame
        ``participant_id session_id subject fs_version flavour stream quality quality_reasons``, `columns`, and every
        region of the region table: volume in mm^3, thickness in mm, area in mm^2.

    Raises
    ------
    FreeSurferError
        When the run failed or is not whole; the sentence says what to do.

    Examples
    --------
    >>> from bids_app import read_subject, score
    >>> row = read_subject(demo_subject, age=34.2, sex="F")
    >>> row.loc[0, ["participant_id", "session_id", "fs_version", "quality"]].tolist()
    ['sub-01', 'ses-1', '7.4.1', 'pass']
    >>> score(row).to_frame()[["participant_id", "Left-Thalamus"]].round(1)
      participant_id  Left-Thalamus
    0         sub-01           -1.7
    """
    return subject_table(Path(subject_dir), columns)


def centiles(
    regions: str | Sequence[str] | None = None,
    model: Model = DEFAULT_MODEL,
    *,
    sex: Literal["female", "male"] | None = None,
    etiv: float | None = None,
    ages: Sequence[float] | None = None,
    percent: Sequence[float] = (2.5, 5, 25, 50, 75, 95, 97.5),
) -> pd.DataFrame:
    """What healthy people of each age have: volume, thickness or area on each centile.

    Parameters
    ----------
    regions : str or sequence of str, optional
        FreeSurfer's names; default: every region of the model.
    model : NormativeModel, str or path-like
    sex : {'female', 'male'}, optional
        Default: both.
    etiv : float, optional
        Intracranial volume in mm^3; default: the middle of the model's range of each sex (NaN where it plays no part).
    ages : sequence of float, optional
        Years; default: every trained year.
    percent : sequence of float

    Returns
    -------
    DataFrame
        ``region sex age etiv_mm3`` and one column per centile (``p50``), in the unit of the region.

    Raises
    ------
    ModelError
        When the model has no such region.
    UsageError
        When `percent` is not between 0 and 100, or `sex` is not one of the two.

    Examples
    --------
    >>> from bids_app import centiles
    >>> centiles("Left-Hippocampus", sex="female", ages=[30, 70], percent=[5, 50, 95]).round(0)
                 region     sex   age   etiv_mm3      p5     p50     p95
    0  Left-Hippocampus  female  30.0  1423500.0  3548.0  4082.0  4628.0
    1  Left-Hippocampus  female  70.0  1423500.0  3174.0  3708.0  4255.0
    """
    used = _model(model)
    names = (regions,) if isinstance(regions, str) else tuple(regions or used.regions)
    names = tuple(map(canonical, names))
    for name in names:
        if name not in used.regions:
            raise InputError(f"{used.card.name} has no region {name}", "model.regions lists what it has")
    if sex not in (None, "female", "male"):
        raise UsageError(f"sex is female or male, not {sex!r}")
    without = etiv is None and not used.needs_etiv
    table = centile_table(used, ANY_ETIV if without else etiv, ages, percent, names)
    table = table.assign(etiv_mm3=float("nan")) if without else table
    return table[table["sex"] == sex].reset_index(drop=True) if sex else table


def plot_centiles(
    region: str,
    model: Model = DEFAULT_MODEL,
    *,
    sex: Literal["female", "male"] = "female",
    etiv: float | None = None,
    scans: pd.DataFrame | None = None,
    width: float = 480,
    height: float = 320,
) -> Picture:
    """The fan of healthy values by age, with scans as dots.

    Parameters
    ----------
    region : str
    model, sex, etiv :
        As in `centiles`.
    scans : DataFrame, optional
        ``age`` (years) and a column named like the region (mm^3, mm or mm^2); a line joins those of one
        ``participant_id``.
    width, height : float
        In pixels.

    Returns
    -------
    Picture

    Raises
    ------
    InputError
        When the model has no such region, or `scans` lacks a column.

    Examples
    --------
    >>> from bids_app import plot_centiles
    >>> plot_centiles("Left-Thalamus").svg[:4]
    '<svg'
    """
    name = canonical(region)
    fan = centiles(name, model, sex=sex, etiv=etiv, percent=list(FAN.values()))
    fan = fan.rename(columns={f"p{value:g}": column for column, value in FAN.items()})
    visits = None
    if scans is not None:
        absent = [column for column in ("age", region) if column not in scans]
        if absent:
            raise InputError(f"scans has no column {absent[0]}", f"it needs age and {region}")
        people = scans[PERSON] if PERSON in scans else pd.Series(scans.index.astype(str), scans.index)
        visits = scans[["age", region]].rename(columns={region: "volume_mm3"}).assign(participant_id=people).dropna()
    return Picture(centile_figure(fan, visits, "the model", width, height))


def brain_map(values: Mapping[str, float] | pd.Series | pd.DataFrame, column: str = "z", **options: Any) -> Picture:
    """One number per region, painted on the drawing of the brain.

    Parameters
    ----------
    values : mapping, Series or DataFrame
        Region (FreeSurfer's name) to number; of a DataFrame with a column ``region`` its `column` (a result of normvol,
        `Deviations.to_long` of one scan), of one without the regions' columns of its only row.
    column : str
    **options
        ``scale`` (diverging or sequential), ``limits``, ``label``, ``threshold``, ``title``, ``views``, ``tooltips``:
        as in `bids_app.reports.figures.brainmap.brain_map_svg`.

    Returns
    -------
    Picture

    Raises
    ------
    InputError, UsageError
        When no region can be drawn, or a region has several values.

    Examples
    --------
    >>> from bids_app import brain_map
    >>> picture = brain_map({"Left-Thalamus": -2.4, "lh_insula_volume": 1.1}, label="z")
    >>> picture.save(folder / "map.pdf").name
    'map.pdf'
    """
    return Picture(brain_map_svg(_per_region(values, column), standalone=True, **{"label": column, **options}))


def _per_region(values: Mapping[str, float] | pd.Series | pd.DataFrame, column: str) -> pd.Series:
    if isinstance(values, pd.DataFrame):
        if "region" in values:
            return region_values(values, column)
        if len(values) != 1:
            raise InputError(
                f"the table has {len(values)} rows and no column region", "a map shows one scan: choose a row"
            )
        values = values.iloc[0]
    known = {canonical(str(name)): value for name, value in values.items()}
    if isinstance(values, pd.Series):
        known = {name: value for name, value in known.items() if name in measured_names()}
    return pd.to_numeric(pd.Series(known, dtype=object), errors="coerce").astype(float)


def _model(model: Model) -> NormativeModel:
    return model if isinstance(model, NormativeModel) else registry.load_model(model)


def _reader(
    table: Table,
    model: NormativeModel,
    mapping: Mapping[str, str] | None,
    sex_coding: Mapping[str, str] | None,
    age_units: str | None,
) -> TableReader:
    if not isinstance(table, pd.DataFrame | str | Path):
        raise InputError(f"a table is a DataFrame or the path of one, not {type(table).__name__}")
    codes = {str(code): sex for code, sex in (sex_coding or {}).items()}
    wrong = sorted({str(sex) for sex in codes.values()} - {"female", "male"})
    if wrong:
        raise UsageError(f"sex_coding says {wrong[0]!r}", "a code stands for female or male")
    if age_units is not None and age_units not in YEARS_PER_UNIT:
        raise UsageError(f"age_units is {age_units!r}", f"it is one of {', '.join(YEARS_PER_UNIT)}")
    try:
        return TableReader(table, mapping, codes, None, age_units, (model,))
    except NormvolError as error:
        raise type(error)(error.reason, _arguments(error.remedy)) from None


def _arguments(remedy: str) -> str:
    """A remedy with the names of arguments in place of the options of the commands."""
    for option, argument in (("--map ", "mapping, "), ("--sex-coding", "sex_coding"), ("--age-units", "age_units")):
        remedy = remedy.replace(option, argument)
    return remedy
