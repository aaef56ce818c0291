"""Drawing of a statistical analysis from its table and the ``Figure`` of its JSON file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from bids_app.clinical.analyses.case_control import ROBUST
from bids_app.clinical.figures import (
    BrainMap,
    Calibration,
    Courses,
    Figure,
    Forest,
    KaplanMeier,
    LovePlot,
    Scatter,
    Shifts,
    Table,
    Trajectory,
    figure_from_json,
)
from bids_app.errors import InputError
from bids_app.regions import display_name
from bids_app.reports.figures import cohort_charts, people_charts
from bids_app.reports.figures.files import panels, standalone
from bids_app.reports.figures.maps import map_pair
from bids_app.reports.loading import Fan, Group, Record, Sheet

CHARTS: dict[type[Figure], Callable[[pd.DataFrame, Any], str]] = {
    Forest: cohort_charts.forest,
    LovePlot: cohort_charts.love,
    KaplanMeier: cohort_charts.kaplan_meier,
    Trajectory: cohort_charts.trajectory,
    Scatter: people_charts.scatter,
    Calibration: people_charts.calibration,
    Shifts: people_charts.shifts,
}
SMALL = (Courses, Scatter)
MOST_PARTS, MOST_SMALL = 6, 18
Q_LIMIT = 0.05
# several models of one number: the one that the sentences tell is drawn, the others are folded
MODELS = "method"
CONTROLS = "control_group"
# the reader's order; names are matched by their start, others come before the last two
ORDER = (
    "burden",
    "deviation_prevalence",
    "case_control",
    "region",
    "prevalence",
    "courses",
    "scores_counts",
    "scores_regions",
    "scores_people",
    "comparability",
    "volume_rates",
    "volume_rate_contrasts",
    "published_rates",
    "rates",
    "visits",
    "change",
    "summed_pairs",
    "stability",
    "transition",
    "progression",
    "relapse",
    "survival",
    "hazards",
    "risk",
    "trajector",
    "decision",
)
LAST = ("calibration", "matching", "roles")


class Drawing(NamedTuple):
    """One picture of an analysis: heading, inline SVG, the text of the file, and the region that it is about."""

    title: str
    inline: str
    file: str
    region: str = ""


class Analysis(NamedTuple):
    """One analysis as the report shows it."""

    name: str
    title: str
    sentences: list[str]
    methods: str
    record: Record
    sheet: Sheet
    drawings: list[Drawing]
    layout: str
    models: bool
    together: bool
    problem: str | None
    lead: int = 0

    @property
    def others(self) -> list[tuple[int, str]]:
        """The sentences but the leading one, with their places."""
        return [(place, text) for place, text in enumerate(self.sentences) if place != self.lead]

    @property
    def computed(self) -> bool:
        """Whether there is a result; otherwise the table holds the reason."""
        return list(self.sheet.table.columns) != ["analysis", "reason"]

    @property
    def people(self) -> int:
        """The number of people whose rows it has; 0 where rows are not of people."""
        table = self.sheet.table
        return int(table["participant_id"].nunique()) if "participant_id" in table else 0

    @property
    def per_person(self) -> bool:
        """Whether it is a table with rows of people, which are read by search."""
        return not self.drawings and "participant_id" in self.sheet.table

    def files(self) -> dict[str, str]:
        """Names and texts of the drawings' files."""
        name = f"group_{self.name}"
        if self.together and len(self.drawings) > 1:
            return {f"{name}.svg": panels([(drawing.title, drawing.file) for drawing in self.drawings])}
        parts = [f"_{index + 1}" for index in range(len(self.drawings))] if len(self.drawings) > 1 else [""]
        return {f"{name}{part}.svg": drawing.file for part, drawing in zip(parts, self.drawings)}

    @property
    def shown(self) -> list[Drawing]:
        """The drawings that are seen at once: of several models of one number only the told one."""
        return self.drawings[:1] if self.models else self.drawings

    @property
    def other_models(self) -> list[Drawing]:
        """The drawings of the same number by other models."""
        return self.drawings[1:] if self.models else []


def read_analyses(group: Group) -> list[Analysis]:
    """All analyses of the dataset, drawn."""
    controls, patients = _groups(group)
    found = [_analysis(name, *group.analyses[name], group) for name in sorted(group.analyses, key=_place)]
    return [analysis._replace(lead=leading(analysis.sentences, controls, patients)) for analysis in found]


def leading(sentences: Sequence[str], controls: Collection[str], patients: Collection[str]) -> int:
    """The place of the sentence to show first: where that is the controls', the first that is about patients."""
    told = [(_names(text, controls), _names(text, patients)) for text in sentences]
    if not told or told[0] != (True, False):
        return 0
    return next((place for place, (_, patient) in enumerate(told) if patient), 0)


def _names(text: str, groups: Collection[str]) -> bool:
    """Whether a sentence names one of the groups; the groups of a rule are called risk group and others."""
    return any(
        re.search(rf"(\bgroup {re.escape(name)}|^{re.escape(name)})(?!\w)", text, re.IGNORECASE) for name in groups
    )


def _groups(group: Group) -> tuple[set[str], set[str]]:
    """The names of the controls and of all other groups."""
    tables = [sheet.table for _, sheet in group.analyses.values()]
    controls = {str(name) for table in tables if CONTROLS in table for name in table[CONTROLS].dropna().unique()}
    cohort = group.sheets.get("cohort")
    every = set() if cohort is None else set(cohort.table["group"].dropna().astype(str))
    return {*controls, "Others"}, {*(every - controls - {"all"}), "Risk group"}


def _place(name: str) -> tuple[int, str]:
    for place, start in enumerate((*ORDER, "", *LAST)):
        if start and name.startswith(start):
            return place, name
    return len(ORDER), name


def _analysis(name: str, record: Record, sheet: Sheet, group: Group) -> Analysis:
    drawings, problem, figure = [], None, None
    try:
        content = record.get("Figure")
        figure = figure_from_json(content) if content else None
        drawings = _draw(name, figure, _drawn_rows(figure, sheet, group), group.fan) if figure else []
    except (InputError, KeyError, ValueError, TypeError, IndexError) as error:
        problem = f"The figure could not be drawn from {sheet.file} ({type(error).__name__}: {error})."
    return Analysis(
        name,
        str(record.get("Title", name)),
        list(record.get("Sentences") or []),
        str(record.get("Methods") or ""),
        record,
        sheet,
        drawings,
        _layout(figure, drawings),
        figure is not None and figure.facet == MODELS,
        figure is not None and figure.together,
        problem,
    )


def _layout(figure: Figure | None, drawings: list[Drawing]) -> str:
    """The class of the element that holds the drawings."""
    if isinstance(figure, SMALL):
        return "charts"
    return "maps" if isinstance(figure, BrainMap) and len(drawings) > 1 else "stack"


def _drawn_rows(figure: Figure, sheet: Sheet, group: Group) -> pd.DataFrame:
    """The rows that the figure draws: of this table or another, limited by ``where``."""
    other = figure.table
    if other in group.analyses:
        sheet = group.analyses[other][1]
    elif other in group.sheets:
        sheet = group.sheets[other]
    table = sheet.table
    for column, value in figure.where.items():
        table = table[table[column].astype(str) == str(value)]
    return table


def _draw(name: str, figure: Figure, table: pd.DataFrame, fan: Fan | None) -> list[Drawing]:
    if table.empty or isinstance(figure, Table):
        return []
    if isinstance(figure, BrainMap):
        parts = _parts(figure, table)[:MOST_PARTS]
        drawn = [_map(f"map-{name}-{index}", title, part, figure) for index, (title, part) in enumerate(parts)]
        return [drawing for drawing in drawn if drawing.inline]
    return chart_drawings(figure, table, fan.of if fan else None)


def chart_drawings(
    figure: Figure, table: pd.DataFrame, fan: Callable[[str], pd.DataFrame] | None = None
) -> list[Drawing]:
    """The charts of a figure, one per level of its facet, with one scale for the parts of a forest.

    Parameters
    ----------
    figure : Figure
    table : DataFrame
    fan : callable, optional
        Gives the centiles of a region by age (``age``, ``p025`` to ``p975``) for courses.

    Returns
    -------
    list of Drawing
    """
    parts = _parts(figure, table)
    if isinstance(figure, Forest) and len(parts) > 1:
        figure = replace(figure, limits=cohort_charts.forest_limits(table, figure))
    drawings = []
    for title, part in parts[: MOST_SMALL if isinstance(figure, SMALL) else MOST_PARTS]:
        region = str(part["region"].iloc[0]) if isinstance(figure, Courses) and "region" in part else ""
        if isinstance(figure, Courses):
            inline = people_charts.courses(part, figure, fan(region) if fan else None)
        else:
            inline = CHARTS[type(figure)](part, figure)
        drawings.append(Drawing(title, inline, standalone(inline), region))
    return [drawing for drawing in drawings if drawing.inline]


def _parts(figure: Figure, table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Heading and rows of each part; of several models of one number the told one first."""
    if figure.facet not in table:
        return [("", table.reset_index(drop=True))]
    parts = [(name, part.reset_index(drop=True)) for name, part in table.groupby(figure.facet, sort=False)]
    if figure.facet == MODELS:
        parts.sort(key=lambda part: part[0] != ROBUST)
    return [(display_name(str(name)), part) for name, part in parts]


def _map(prefix: str, title: str, table: pd.DataFrame, figure: BrainMap) -> Drawing:
    rows = table.dropna(subset=[figure.value])
    values = dict(zip(rows[figure.region], rows[figure.value].astype(float), strict=True))
    options = {
        "scale": figure.scale,
        "label": figure.xlabel or figure.value,
        "threshold": figure.threshold,
        "limits": figure.limits or _limits(values, figure.scale),
        "marked": set(rows.loc[rows["q"] < Q_LIMIT, figure.region]) if "q" in rows else None,
    }
    return Drawing(title, *map_pair(values, prefix, **options))


def _limits(values: Mapping[str, float], scale: str) -> tuple[float, float] | None:
    """Ends of the colours that hold all values; a diverging scale is symmetric."""
    if scale != "diverging" or not values:
        return None
    reach = max(abs(value) for value in values.values())
    steps = (0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
    end = next((step for step in steps if step >= reach), reach)
    return -end, end
