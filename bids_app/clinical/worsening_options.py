"""What counts as worsening, PIRA and RAW in an analysis file: a published definition, and what is set beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat

from bids_app.clinical.stats.worsening import DEFINITIONS, WorseningRule

Days = Annotated[float, Field(ge=0)] | None
Test = Literal["edss", "nhpt", "nhpt_other", "t25fw", "sdmt"]


@dataclass(frozen=True, kw_only=True)
class WorseningOptions:
    """The table ``[worsening]`` of an analysis file: None leaves a value to the definition.

    Parameters
    ----------
    definition : str
        A key of `stats.worsening.DEFINITIONS`.
    edss_plus : tuple of str
        Roles of which a worsening of any is one of EDSS-plus; those without a column are left out.

    The others are those of `stats.worsening.WorseningRule`.
    """

    definition: Literal["portaccio2025", "mueller2023", "mueller2025", "cagol2022", "kappos2020", "absent"] = (
        "portaccio2025"
    )
    edss_plus: tuple[Test, ...] = ("edss", "nhpt", "nhpt_other", "t25fw", "sdmt")
    confirmation_days: PositiveFloat | None = None
    tolerance_days: Days = None
    sustained: bool | None = None
    roving: bool | None = None
    rebaseline_after_relapse: bool | None = None
    unstable_days: Days = None
    free_from: Literal["days", "previous visit", "baseline"] | None = None
    before_onset: Days = None
    after_onset: Days = None
    until_confirmation: bool | None = None
    before_confirmation: Days = None
    after_confirmation: Days = None
    raw_before: Days = None
    raw_after: Days = None
    half_point_from: PositiveFloat | None = None
    share: PositiveFloat | None = None
    sdmt_points: PositiveFloat | None = None

    def rule(self, baseline_days: float) -> WorseningRule:
        """The whole rule, with the window of the first baseline."""
        own = {name: value for name, value in vars(self).items() if name not in ("definition", "edss_plus")}
        given = {name: value for name, value in own.items() if value is not None}
        values: dict[str, Any] = {**DEFINITIONS[self.definition], **given, "baseline_days": baseline_days}
        return WorseningRule(**values)
