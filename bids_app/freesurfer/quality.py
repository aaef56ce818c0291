"""A quality verdict on one scan's FreeSurfer output, from its statistics alone.

The verdict never replaces looking at the segmentation; it says which scans to look at first. All limits
are in `LIMITS`, one row per metric with its source; docs/freesurfer.md shows the same table.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from bids_app import regions
from bids_app.freesurfer.quality_measures import DESCRIPTIONS
from bids_app.freesurfer.quality_reference import Bounds, asked_bounds
from bids_app.freesurfer.subject import FREESURFER
from bids_app.freesurfer.volumes import Reading, Volumes

PASS, WARN, FAIL = "pass", "warn", "fail"
_ORDER = (PASS, WARN, FAIL)
_NAMED = 5


class Limit(NamedTuple):
    """Limits of a metric: outside ``warn_*`` the verdict is warn, outside ``fail_*`` fail; None: no limit."""

    metric: str
    fail_low: float | None
    warn_low: float | None
    warn_high: float | None
    fail_high: float | None
    words: str
    source: str


_REFERENCE = "open reference data, 3,538 healthy people"
LIMITS: dict[str, Limit] = {
    limit.metric: limit
    for limit in (
        Limit("etiv_litres", 0.5, 0.9, 2.2, 3.0, "eTIV (litres)", f"{_REFERENCE}: 0.91 to 2.15"),
        Limit(
            "brainsegvol_to_etiv",
            0.5,
            0.6,
            0.9,
            1.0,
            "BrainSegVol / eTIV",
            f"FastSurfer issue 378 asks for < 0.9; a brain is smaller than its skull; below: {_REFERENCE}: from 0.63",
        ),
        Limit(
            "etiv_session_difference",
            None,
            None,
            0.05,
            0.10,
            "relative difference of eTIV from the median of the other sessions",
            "an adult's skull does not change; several times the repeatability of eTIV",
        ),
        Limit(
            "surface_holes",
            None,
            None,
            100,
            None,
            "number of surface holes",
            f"{_REFERENCE}: 97.5th centile 66 (FreeSurfer 7.3.2) to 159 (6.0)",
        ),
        Limit(
            "euler",
            -217,
            None,
            None,
            None,
            "mean Euler number of the hemispheres",
            "Rosen et al. 2018, doi:10.1016/j.neuroimage.2017.12.059",
        ),
        Limit(
            "aseg_aparc_difference",
            None,
            None,
            0.02,
            0.03,
            "relative difference between aseg.stats and ?h.aparc.stats",
            "46 real trees, FreeSurfer 6.0 to 7.4.1: equal to all digits",
        ),
        Limit(
            "aparc_older_days",
            None,
            None,
            1.0,
            None,
            "days by which ?h.aparc.stats is older than the image of aseg.stats",
            "recon-all writes both within a day",
        ),
        Limit(
            "cortex_asymmetry",
            None,
            None,
            0.05,
            0.10,
            "left-right difference of cortical volume over its sum",
            f"{_REFERENCE}: 99.9th centile 0.04",
        ),
        Limit(
            "white_matter_asymmetry",
            None,
            None,
            0.05,
            0.10,
            "left-right difference of white-matter volume over its sum",
            f"{_REFERENCE}: 99.9th centile 0.034",
        ),
        Limit(
            "contrast_snr",
            1.0,
            2.0,
            None,
            None,
            "grey-white contrast over its standard deviation (lower hemisphere)",
            "46 real scans, FreeSurfer 6.0 to 7.4.1: 2.6 to 4.7",
        ),
        Limit(
            "extreme_share",
            None,
            None,
            0.05,
            0.20,
            "share of regions with |z| > 5 or outside the training data",
            "by chance below one in a million per region: a failed segmentation, not a disease",
        ),
    )
}
# Metrics that are made of z or regional volumes, the outcome of every analysis.
OUTCOMES = ("cortex_asymmetry", "white_matter_asymmetry", "extreme_share")
EXTREME_Z = 5.0
# A share of fewer regions says nothing about the whole segmentation
_ENOUGH_REGIONS = 20
# FreeSurfer measures every region; half a hemisphere less is no whole run
_MANY_ABSENT = 17


@dataclass(frozen=True)
class Quality:
    """Verdict on one scan.

    Parameters
    ----------
    verdict : {'pass', 'warn', 'fail'}
    reasons : tuple of str
        One sentence for each limit that was passed, the worst first; empty for ``pass``.
    metrics : dict
        Every metric that could be computed, those of `Volumes.measures` included.
    technical : {'pass', 'warn', 'fail'}
        The verdict by completeness, eTIV, the ratio of brain to skull, surfaces and contrast alone. Leaving scans out
        by it selects on no outcome: neither z nor regional volumes are in it.
    """

    verdict: str
    reasons: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    technical: str = PASS


def assess_quality(
    volumes: Volumes | Reading,
    *,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    other_sessions_etiv: Iterable[float] = (),
    z: Mapping[str, float] | pd.Series | None = None,
    asked: Mapping[str, Bounds] | None = None,
) -> Quality:
    """Judge the quality of one scan's segmentation.

    Parameters
    ----------
    volumes : Volumes or Reading
    ranges : mapping, optional
        Region (and ``EstimatedTotalIntraCranialVol``) to the smallest and largest value (mm^3) that the model
        was trained on.
    other_sessions_etiv : iterable of float
        eTIV (mm^3) of the person's other sessions.
    z : mapping or Series, optional
        Region (or asymmetry index) to z-score in the model.
    asked : mapping, optional
        Measure to limits that take the place of those of `LIMITS` beyond which the verdict is ``warn``.

    Returns
    -------
    Quality
    """
    values = volumes.values
    metrics = dict(volumes.measures) | _metrics(volumes, values, list(other_sessions_etiv))
    extreme = _extreme(values, ranges or {}, z if z is not None else {})
    if extreme is not None and not math.isnan(extreme[0]):
        metrics["extreme_share"] = extreme[0]
    limits = with_bounds(asked or {})
    judged = {name: said for name in limits if name in metrics and (said := _judge(limits[name], metrics[name]))}
    technical = [said for name, said in judged.items() if name not in OUTCOMES]
    technical += _hard_reasons(volumes, values, ranges or {})
    found = [*technical, *(said for name, said in judged.items() if name in OUTCOMES), *_extreme_reasons(extreme)]
    found.sort(key=lambda item: -_ORDER.index(item[0]))
    reasons = tuple(dict.fromkeys(reason for _, reason in found))
    kept = {name: float(value) for name, value in metrics.items() if not math.isnan(value)}
    return Quality(_worst(found), reasons, kept, _worst(technical))


def quality_metrics() -> tuple[str, ...]:
    """Every measure that a limit may be asked for."""
    return tuple(dict.fromkeys((*LIMITS, *DESCRIPTIONS)))


def check_limits(asked: Sequence[str]) -> None:
    """UsageError when one of the limits of ``--quality-limit`` cannot be read."""
    asked_bounds(asked, None, quality_metrics())


def with_bounds(asked: Mapping[str, Bounds]) -> dict[str, Limit]:
    """`LIMITS` with other limits for ``warn``; those for ``fail`` stay."""
    found = dict(LIMITS)
    for name, bounds in asked.items():
        limit = found.get(name) or Limit(name, None, None, None, None, name.replace("_", " "), "")
        found[name] = limit._replace(warn_low=bounds.low, warn_high=bounds.high, source=bounds.source)
    return found


def _worst(found: Iterable[tuple[str, str]]) -> str:
    return max((level for level, _ in found), key=_ORDER.index, default=PASS)


def _metrics(volumes: Volumes | Reading, values: Mapping[str, float], others: Sequence[float]) -> dict[str, float]:
    found = {"etiv_litres": volumes.etiv_mm3 / 1e6}
    others = [value for value in others if value == value]
    if others and volumes.etiv_mm3 == volumes.etiv_mm3:
        median = statistics.median(others)
        found["etiv_session_difference"] = abs(volumes.etiv_mm3 - median) / median
    for name, base in (("cortex_asymmetry", "CortexVol"), ("white_matter_asymmetry", "CerebralWhiteMatterVol")):
        left, right = values.get(f"lh{base}", math.nan), values.get(f"rh{base}", math.nan)
        if left + right > 0:
            found[name] = abs(left - right) / (left + right)
    snr = [volumes.measures[name] for name in ("lh_contrast_snr", "rh_contrast_snr") if name in volumes.measures]
    if snr:
        found["contrast_snr"] = min(snr)
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _judge(limit: Limit, value: float) -> tuple[str, str] | None:
    for level, low, high in ((FAIL, limit.fail_low, limit.fail_high), (WARN, limit.warn_low, limit.warn_high)):
        if low is not None and value < low:
            return level, f"{limit.words} is {value:.4g}, below {low:g}"
        if high is not None and value > high:
            return level, f"{limit.words} is {value:.4g}, above {high:g}"
    return None


def _hard_reasons(
    volumes: Volumes | Reading, values: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]
) -> list[tuple[str, str]]:
    reasons = []
    if math.isnan(volumes.etiv_mm3):
        reasons.append((FAIL, "there is no eTIV"))
    elif regions.ETIV in ranges:
        low, high = ranges[regions.ETIV]
        if not low <= volumes.etiv_mm3 <= high:
            span = f"{low / 1e6:.2f} to {high / 1e6:.2f}"
            reasons.append((WARN, f"eTIV is {volumes.etiv_mm3 / 1e6:.2f} litres, outside the training data ({span})"))
    empty = [name for name in regions.reference_regions() if values.get(name) == 0]
    if empty:
        reasons.append((FAIL, f"no volume at all in {_list(empty)}"))
    absent = [name for name in regions.reference_regions() if name not in values]
    if volumes.flavour == FREESURFER and len(absent) >= _MANY_ABSENT:
        reasons.append((FAIL, f"{len(absent)} reference regions are not measured: {_list(absent)}"))
    return reasons


def _extreme(
    values: Mapping[str, float], ranges: Mapping[str, tuple[float, float]], z: Mapping[str, float] | pd.Series
) -> tuple[float, list[str]] | None:
    """Share of reference regions that are extreme, names of all that are; None without a model."""
    scores: dict[str, Any] = {str(name): value for name, value in z.items()}
    bounds = {name: pair for name, pair in ranges.items() if name != regions.ETIV}
    judged = [name for name in regions.reference_regions() if name in scores or name in bounds]
    if not judged:
        return None

    def is_extreme(name: str) -> bool:
        value, (low, high) = values.get(name, math.nan), bounds.get(name, (-math.inf, math.inf))
        return abs(scores.get(name, 0.0)) > EXTREME_Z or value < low or value > high

    names = [name for name in dict.fromkeys([*judged, *scores, *bounds]) if is_extreme(name)]
    share = sum(name in names for name in judged) / len(judged)
    return share if len(judged) >= _ENOUGH_REGIONS else math.nan, names


def _extreme_reasons(extreme: tuple[float, list[str]] | None) -> list[tuple[str, str]]:
    if extreme is None or not extreme[1]:
        return []
    sided = [name for name in extreme[1] if name.startswith(regions.ASYMMETRY_PREFIX)]
    single = [name for name in extreme[1] if name not in sided]
    reasons = []
    if single:
        reasons.append((WARN, f"far outside the healthy range, so look at the segmentation: {_list(single)}"))
    if sided:
        reasons.append((WARN, f"left and right differ beyond the healthy range: {_list(sided)}"))
    return reasons


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(regions.display_name(name) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
