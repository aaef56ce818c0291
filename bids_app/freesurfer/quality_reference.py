"""What quality measures of healthy reference people are, by FreeSurfer version (``data/quality_reference.tsv``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from bids_app.errors import UsageError, did_you_mean
from bids_app.tables import read_table

REFERENCE = "reference"
OFF = "off"


class Range(NamedTuple):
    """1st and 99th centile of `n` healthy people, and where these are from."""

    low: float
    high: float
    n: int
    source: str


class Bounds(NamedTuple):
    """Limits that a user asks for: outside them the verdict is ``warn``; None: no limit."""

    low: float | None
    high: float | None
    source: str


@lru_cache(maxsize=1)
def _ranges() -> Mapping[tuple[str, str], Range]:
    table = read_table(str(files("bids_app.data") / "quality_reference.tsv"), text=True)
    return {
        (row["metric"], row["fs_version"]): Range(float(row["p01"]), float(row["p99"]), int(row["n"]), row["source"])
        for row in table.to_dict("records")
    }


def reference_metrics() -> tuple[str, ...]:
    """The measures that the reference holds."""
    return tuple(dict.fromkeys(metric for metric, _ in _ranges()))


def reference_range(metric: str, fs_version: str | None) -> Range | None:
    """The range of a measure among healthy people whose FreeSurfer has the same major version; None when not known."""
    return _ranges().get((metric, str(fs_version).split(".")[0]))


def asked_bounds(asked: Sequence[str], fs_version: str | None, metrics: Sequence[str]) -> dict[str, Bounds]:
    """The limits of ``--quality-limit NAME=LOW:HIGH``, ``NAME=reference`` and ``NAME=off`` for one scan.

    Parameters
    ----------
    asked : sequence of str
        ``all=reference`` is every measure that the reference holds. Either end of LOW:HIGH may be empty.
    fs_version : str or None
        Where the reference has no people of its major version, ``reference`` sets no limit.
    metrics : sequence of str
        Names of all measures.

    Raises
    ------
    UsageError
        When a limit cannot be read.
    """
    found: dict[str, Bounds] = {}
    for text in asked:
        name, separator, value = (part.strip() for part in text.partition("="))
        if not separator or name not in (*metrics, "all") or (name == "all" and value != REFERENCE):
            near = did_you_mean(name, metrics) or f"measures are {', '.join(metrics)}"
            raise UsageError(f"--quality-limit {text}: write NAME=LOW:HIGH, NAME=reference or NAME=off", near)
        for each in reference_metrics() if name == "all" else (name,):
            bounds = _bounds(text, each, value, fs_version)
            if bounds is not None:
                found[each] = bounds
    return found


def _bounds(text: str, name: str, value: str, fs_version: str | None) -> Bounds | None:
    if value == OFF:
        return Bounds(None, None, "--quality-limit")
    if value == REFERENCE:
        known = reference_range(name, fs_version)
        said = f"1st to 99th centile of {known.n} healthy people" if known else ""
        return None if known is None else Bounds(known.low, known.high, said)
    low, separator, high = value.partition(":")
    try:
        ends = tuple(float(end) if end.strip() else None for end in (low, high))
    except ValueError:
        ends = (None, None)
    if not separator or ends == (None, None) or (None not in ends and ends[0] > ends[1]):  # type: ignore[operator]
        raise UsageError(f"--quality-limit {text}: {value!r} is no range", "write LOW:HIGH, LOW: or :HIGH")
    return Bounds(ends[0], ends[1], "--quality-limit")
