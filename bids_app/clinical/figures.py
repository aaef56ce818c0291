"""How a result is drawn: one frozen class per kind of figure, kept as ``Figure`` in the result's JSON file.

Every field that names a column names one of the result's table; ``where`` keeps the rows with these values, `facet`
draws one part per level of a column (in one file where `together` is set), `table` takes the rows of another result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from bids_app.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What all kinds share."""

    kind: ClassVar[str] = "table"

    table: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    facet: str | None = None
    together: bool = False
    xlabel: str | None = None
    ylabel: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The kind, and the fields that differ from their defaults."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        told = {name: value for name, value in values.items() if value != _default(type(self), name)}
        return {"kind": self.kind, **told}


@dataclass(frozen=True, kw_only=True)
class Table(Figure):
    """Nothing but the table itself."""


@dataclass(frozen=True, kw_only=True)
class Forest(Figure):
    """Estimates with intervals, one row each; `null` is the value of no effect, or the column that holds it."""

    kind: ClassVar[str] = "forest"

    label: str
    estimate: str
    low: str
    high: str
    p: str | None = None
    null: float | str | None = None
    log: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class KaplanMeier(Figure):
    """Curves of survival by group, with numbers at risk."""

    kind: ClassVar[str] = "km"

    time: str
    survival: str
    low: str | None = None
    high: str | None = None
    group: str | None = None
    at_risk: str | None = None


@dataclass(frozen=True, kw_only=True)
class LovePlot(Figure):
    """Standardised differences of covariates before and after matching."""

    kind: ClassVar[str] = "love"

    label: str
    before: str
    after: str
    threshold: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Trajectory(Figure):
    """Lines over a numeric axis by group, with bands."""

    kind: ClassVar[str] = "trajectory"

    x: str
    y: str
    low: str | None = None
    high: str | None = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class Courses(Figure):
    """Everybody's z over age on the centiles of a region; `colour` is a column of groups or of a score."""

    kind: ClassVar[str] = "courses"

    x: str
    y: str
    person: str
    colour: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scatter(Figure):
    """A dot per person with a fitted line and its interval; `xname` and `yname` are columns that name the axes."""

    kind: ClassVar[str] = "scatter"

    x: str
    y: str
    fit: str | None = None
    low: str | None = None
    high: str | None = None
    xname: str | None = None
    yname: str | None = None


@dataclass(frozen=True, kw_only=True)
class Calibration(Figure):
    """Observed against expected shares, a line per `label`; `low` and `high` hold what sampling alone gives."""

    kind: ClassVar[str] = "calibration"

    label: str
    expected: str
    observed: str
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True, kw_only=True)
class Shifts(Figure):
    """A value of every region before and after a step, a row per `label`."""

    kind: ClassVar[str] = "shift"

    label: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class BrainMap(Figure):
    """Values per region painted on the brain."""

    kind: ClassVar[str] = "map"

    value: str
    region: str = "region"
    scale: str = "diverging"
    limits: tuple[float, float] | None = None
    threshold: float | None = None


KINDS: dict[str, type[Figure]] = {
    kind.kind: kind
    for kind in (Table, Forest, KaplanMeier, LovePlot, Trajectory, Courses, Scatter, Calibration, Shifts, BrainMap)
}


def figure_from_json(content: Mapping[str, Any]) -> Figure:
    """The figure that a result's JSON file describes.

    Raises
    ------
    InputError
        When the kind is unknown, a field is missing, or there is one that the kind does not have.
    """
    values = dict(content)
    kind = KINDS.get(str(values.pop("kind", None)))
    if kind is None:
        raise InputError(f"there is no figure of the kind {content.get('kind')!r}", "run the group level again")
    known = {f.name for f in fields(kind)}
    needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    wrong = sorted({*values} - known) or sorted(needed - {*values})
    if wrong:
        raise InputError(
            f"the figure of kind {kind.kind} has no use for, or lacks, {', '.join(wrong)}", "run the group level again"
        )
    if isinstance(values.get("limits"), list):
        values["limits"] = tuple(values["limits"])
    return kind(**values)


def _default(kind: type[Figure], name: str) -> Any:
    found = next(f for f in fields(kind) if f.name == name)
    return found.default_factory() if found.default_factory is not MISSING else found.default
