"""The first screen of a participant's report: a verdict in words, the regions that matter, the trend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from bids_app.regions import display_name
from bids_app.reports.components import chapter, field
from bids_app.reports.figures.charts import trend_chart
from bids_app.reports.loading import Person, Scan

ENOUGH_FOR_A_PLACE = 3
NAMED_CHANGES = 4
UNKNOWN_SITES = "does not know"
SIDES = (("infra", "smaller"), ("supra", "larger"))


class Trend(NamedTuple):
    """The course of the counts since the first scan: words and a drawing."""

    sentences: list[Markup]
    drawing: str


def verdict(scan: Scan) -> list[Markup]:
    """A sentence per side that compares the count of regions with what healthy people show."""
    return [
        _side(scan, side, word, counts, measure)
        for counts, measure in scan.counts.items()
        for side, word in SIDES
        if scan.summary.get(f"{counts}.n_{side}") is not None
    ]


def _side(scan: Scan, side: str, word: str, counts: str, measure: str) -> Markup:
    key, count = f"{counts}.n_{side}", scan.summary.get(f"{counts}.n_{side}")
    expected = scan.summary.get(f"{counts}.expected.n_{side}") or {}
    start = Markup('<span class="{}">{}</span> {} {}{}').format(
        side, field(scan.summary, key), word, "region" if count == 1 else "regions", f" by {measure}" * bool(measure)
    )
    place = _place(scan, side, measure)
    if "high" not in expected:
        return start + (f"; {place}." if place else ".")
    low, high = (field(scan.summary, f"{counts}.expected.n_{side}.{end}", 0) for end in ("low", "high"))
    compared = Markup(": {} {} show, {} to {}{}.").format(
        _position(count, expected), _healthy(scan, counts), low, high, f"; {place}" if place else ""
    )
    return start + compared


def _position(count: float, expected: Mapping[str, Any]) -> str:
    if count > float(expected["high"]):
        return "more than"
    return "fewer than" if count < float(expected["low"]) else "within what"


def _healthy(scan: Scan, counts: str) -> str:
    unknown = UNKNOWN_SITES in str(scan.summary.get(f"{counts}.expected.source", ""))
    return "healthy people on an unknown scanner" if unknown else "healthy people"


def _place(scan: Scan, side: str, measure: str = "") -> str:
    """Where most of the regions of one side lie, when that can be said."""
    sheet = scan.sheets.get(measure, scan.deviations)
    if sheet is None:
        return ""
    table = sheet.table
    places = [chapter(region) for region in table.loc[table["deviation"] == side, "region"]]
    if len(places) < ENOUGH_FOR_A_PLACE:
        return ""
    name, times = Counter(places).most_common(1)[0]
    name = name[:1].lower() + name[1:]
    if times == len(places):
        return f"all in the {name}" if name.endswith(("lobe", "cortex", "cerebellum")) else f"all {name}"
    if 2 * times <= len(places):
        return "spread over the brain"
    return f"most of them in the {name}" if name.endswith(("lobe", "cortex", "cerebellum")) else f"most of them {name}"


def qualities(person: Person) -> list[tuple[Scan, str]]:
    """A scan for each verdict with its reasons, and the names of all scans that share it."""
    found: dict[tuple[str, ...], list[Scan]] = {}
    for scan in person.scans:
        verdict_and_reasons = scan.summary.get("quality.verdict"), *(scan.summary.get("quality.reasons") or ())
        found.setdefault(tuple(map(str, verdict_and_reasons)), []).append(scan)
    return [(scans[-1], ", ".join(scan.label for scan in scans)) for scans in found.values()]


def trend(person: Person) -> Trend | None:
    """How the counts went since the first scan, for people with several."""
    if len(person.scans) < 2 or any(scan.summary.get("counts.n_infra") is None for scan in person.scans):
        return None
    first, last = person.scans[0], person.scans[-1]
    counted = [
        Markup("{} then, {} now ({})").format(
            field(first.summary, f"counts.n_{side}"), field(last.summary, f"counts.n_{side}"), word
        )
        for side, word in SIDES
    ]
    sentences = [Markup("Since {}: {}; {}.").format(first.label, *counted)]
    changed = _changed(person, first, last)
    if changed:
        sentences.append(Markup("{}").format(changed))
    ages = [float(scan.summary.get("covariates.age")) for scan in person.scans]
    counts = {side: [float(scan.summary.get(f"counts.n_{side}")) for scan in person.scans] for side, _ in SIDES}
    expected = last.summary.get("counts.expected.n_infra") or {}
    return Trend(sentences, trend_chart(ages, [scan.label for scan in person.scans], counts, expected))


def _changed(person: Person, first: Scan, last: Scan) -> str:
    """The regions whose change exceeds its measurement error, by name."""
    if person.change is None or not len(person.change.table):
        return ""
    table = person.change.table
    rows = table[(table["session_from"] == first.session) & (table["session_to"] == last.session)]
    rows = rows[rows["reliable"].astype(str).str.lower() == "true"]
    order = rows["z_change"].abs().sort_values(ascending=False, kind="stable").index
    names = [display_name(region) for region in rows.loc[order, "region"]]
    if not names:
        return ""
    more = " and others" if len(names) > NAMED_CHANGES else ""
    return f"Changed by more than the measurement error: {', '.join(names[:NAMED_CHANGES])}{more}."
