"""Change over repeated scans: rates and stability of deviations, harmonised when scanners change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_app.clinical.analyses.outcome_analyses import known
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.figures import BrainMap, Table
from bids_app.clinical.results import AnalysisResult, make_result, map_limits
from bids_app.clinical.stats.linear import false_discovery, person_parts
from bids_app.clinical.stats.stability import region_stability, stability_table
from bids_app.clinical.stats.trajectories import mean_rates, person_rates
from bids_app.clinical.values import numbers
from bids_app.clinical.wording import few_people, interval, listing, percent, plural, software
from bids_app.errors import AnalysisError, InputError

RATE_COLUMNS = {
    "rate": "Change of z per year",
    "followed": "Years between the first and the last scan",
    "note": "Remark on the row",
    "group": "Group of people",
}
STABILITY_COLUMNS = {
    "group": "Group of people",
    "n_visits": "Number of scans with a value",
    "n_deviating": "Scans in infra-normal deviation",
    "share_deviating": "n_deviating divided by n_visits",
    "n_worsening": "Transitions from no deviation to deviation between one scan and the next",
    "n_recovery": "Transitions from deviation to none",
    "n_stable_deviating": "Deviation at one scan and the next",
    "n_stable_normal": "No deviation at one scan and the next",
    "n_ever": "People in deviation at any scan",
    "share_recovered": "n_recovery divided by all transitions from a deviation",
    "share_persistent": "Share of the people ever in deviation who were so at every scan",
    "entropy": "Shannon entropy of the state over visits, 0 (never changes) to 1 bit (half of the visits); mean over "
    "people where a row is a region",
}
RATE_METHODS = (
    "The average change of z per year is the slope of time within people (each person's scans centred on their mean), "
    "with standard errors that allow for people who change at different rates (clustered by person) and t tests on the "
    "effective number of people, corrected over regions and groups by Benjamini-Hochberg. "
    "Each person's own rate is a least-squares slope; its interval uses the variance within people pooled "
    "over the group. {note}Software: {software}."
)
STABILITY_METHODS = (
    "A region's state at a scan is deviation (z <= -{threshold:g}) or none. For people with two or more scans the "
    "share of scans in deviation, transitions between one scan and the next and the entropy of the state in bits are "
    "given. A state also changes when z crosses the threshold by measurement error alone, so recovery and worsening "
    "are upper bounds of real change. {note}Software: {software}."
)
# Share of the variance of time within people that must not be told by the scanner.
OWN_TIME = 0.1
CONFOUNDED = (
    "people changed scanner (column {column}) at the same time of their follow-up, so a change of scanner cannot be "
    "told from change over time. "
)
HARMONISED = (
    "z was harmonised over scanners (column {column}) by longitudinal ComBat with age at the first scan, years since "
    "then, sex and group kept (Beer et al. 2020, doi:10.1016/j.neuroimage.2020.117129), which moves all scanners to "
    "their common mean. "
)


def rates(data: CohortData) -> list[AnalysisResult]:
    """Average rate of change per region and group, and the rate of every person and region."""
    scans, z, harmonisation = repeated_scans(data)
    if harmonisation.confounded:
        raise AnalysisError(f"no rate is given: {harmonisation.method.strip().rstrip('.')}")
    averages, own, few = [], [], []
    for group, part in scans.groupby("group", sort=True):
        values, years = z.loc[part.index], part["years"].to_numpy()
        own.append(person_rates(values, part["participant_id"], years).assign(group=group))
        try:
            averages.append(mean_rates(values, part["participant_id"], years).assign(group=group))
        except AnalysisError as error:
            few.append(f"Group {group} has no average: {error}.")
    if not averages:
        raise AnalysisError("fewer than two people have repeated scans at different times, so there is no rate")
    table = _first(pd.concat(averages, ignore_index=True), "group")
    table["q"] = false_discovery(table["p"].to_numpy(dtype=float))
    people = _first(pd.concat(own, ignore_index=True), "group", "participant_id")
    methods = RATE_METHODS.format(note=harmonisation.method, software=software("numpy", "scipy"))
    sentences = (*_rate_sentences(table), *few, *harmonisation.sentences())
    figure = BrainMap(
        region="region",
        value="rate",
        facet="group",
        scale="diverging",
        limits=map_limits(table["rate"]),
        xlabel="Change of z per year",
    )
    return [
        make_result(
            "change_rates",
            "Change of z over time",
            table,
            sentences=sentences,
            methods=methods,
            figure=figure,
            **known(RATE_COLUMNS, table),
        ),
        make_result(
            "change_rates_people",
            "Change of z of each person",
            people,
            methods=methods,
            figure=Table(),
            **known(RATE_COLUMNS, people),
        ),
    ]


def _rate_sentences(table: pd.DataFrame) -> tuple[str, ...]:
    sentences = []
    for group, part in table.groupby("group", sort=True):
        found = part[part["q"] < 0.05]
        falling = found[found["rate"] < 0].nsmallest(3, "rate")
        people = plural(int(part["n_people"].max()), "person", "people")
        text = (
            f"In group {group} ({people} with repeated scans) z changes over time in {len(found)} of "
            f"{plural(len(part), 'region')} after correction for multiple tests"
        )
        named = [
            f"{row['structure']} ({row['rate']:+.3f} per year, {interval(row['low'], row['high'], 3)})"
            for row in falling.to_dict("records")
        ]
        sentences.append(f"{text}{'; it falls fastest in the ' + listing(named) if named else ''}.")
    return tuple(sentences) + few_people(int(table["n_people"].min()))


def stability(data: CohortData) -> list[AnalysisResult]:
    """Stability of the deviation state per region and group, and per person."""
    scans, z, harmonisation = repeated_scans(data)
    blocks = []
    for group, part in scans.groupby("group", sort=True):
        found = stability_table(z.loc[part.index], part["participant_id"], part["years"], data.config.threshold)
        blocks.append(found.assign(group=group))
    people = _first(pd.concat(blocks, ignore_index=True), "group", "participant_id")
    summed = [region_stability(part).assign(group=group) for group, part in people.groupby("group", sort=True)]
    table = _first(pd.concat(summed, ignore_index=True), "group")
    methods = STABILITY_METHODS.format(
        threshold=data.config.threshold, note=harmonisation.method, software=software("numpy")
    )
    figure = BrainMap(
        region="region",
        value="share_deviating",
        facet="group",
        scale="sequential",
        limits=map_limits(table["share_deviating"], diverging=False),
        xlabel="Share of scans in infra-normal deviation",
    )
    return [
        make_result(
            "stability",
            "Stability of deviations",
            table,
            sentences=(*_stability_sentences(table), *harmonisation.sentences()),
            methods=methods,
            figure=figure,
            **known(STABILITY_COLUMNS, table),
        ),
        make_result(
            "stability_people",
            "Stability of deviations of each person",
            people,
            methods=methods,
            figure=Table(),
            **known(STABILITY_COLUMNS, people),
        ),
    ]


def _stability_sentences(table: pd.DataFrame) -> tuple[str, ...]:
    sentences = []
    for group, part in table.groupby("group", sort=True):
        total = part[["n_worsening", "n_recovery", "n_stable_deviating", "n_stable_normal"]].sum()
        moves = int(total.sum())
        most = part.loc[part["share_deviating"].idxmax()]
        often = (
            f"the {most['structure']} is in deviation most often ({percent(most['share_deviating'])} of scans)"
            if most["n_deviating"]
            else "no region is in deviation at any scan"
        )
        sentences.append(
            f"In group {group} {percent(total['n_worsening'] / moves)} of {moves} transitions of a region between "
            f"scans worsened, "
            f"{percent(total['n_recovery'] / moves)} recovered and "
            f"{percent((total['n_stable_deviating'] + total['n_stable_normal']) / moves)} stayed as they were; {often}."
        )
    return tuple(sentences)


@dataclass(frozen=True)
class Harmonisation:
    """What was done about scanners: a passage for the methods, whether z was harmonised, and who could not be.

    `confounded`: people changed scanner, and all so at the same time of their follow-up that a change of scanner and a
    change with time cannot be told apart.
    """

    method: str = ""
    done: bool = False
    remark: str = ""
    confounded: bool = False

    def sentences(self) -> tuple[str, ...]:
        """For the reader of the result; nothing where nobody changed scanner."""
        if not self.done:
            return (f"z was not harmonised over scanners: {self.method.strip()}",) if self.method else ()
        moved = "z was harmonised over scanners first, which moves all scanners to their common mean."
        return (moved, self.remark.strip()) if self.remark else (moved,)


def confounded(scanner: pd.Series, people: pd.Series, years: np.ndarray) -> bool:
    """Whether time within people is (almost) told by the scanner: everybody changed at the same visit.

    Parameters
    ----------
    scanner, people : Series (n,)
    years : (n,) array
        Since each person's first scan.

    Returns
    -------
    bool
    """
    codes = np.unique(people.to_numpy().astype(str), return_inverse=True)[1]
    time = person_parts(years, codes)[1]
    levels = scanner.astype(str).to_numpy()
    if len(np.unique(levels)) < 2:
        return False
    within = np.column_stack(
        [person_parts((levels == level).astype(float), codes)[1] for level in np.unique(levels)[1:]]
    )
    if not time.any() or not within.any():
        return False
    left = time - within @ np.linalg.lstsq(within, time, rcond=None)[0]
    return bool(left @ left < OWN_TIME * (time @ time))


def repeated_scans(data: CohortData) -> tuple[pd.DataFrame, pd.DataFrame, Harmonisation]:
    """Scans of people with two or more, their z, and what was done about scanners.

    Parameters
    ----------
    data : CohortData

    Returns
    -------
    scans : DataFrame
        ``participant_id group age years`` (since the first scan), index as in `data`. A scan without a time is left
        out, unless none of the person has one (0 years; their order is that of the table).
    z : DataFrame
        Same index; harmonised over scanners where somebody changed scanner and that is possible.
    harmonisation : Harmonisation

    Raises
    ------
    AnalysisError
        When nobody was scanned twice.
    """
    scans = followed_scans(data)
    z, harmonisation = harmonised(data, scans)
    return scans, z, harmonisation


def followed_scans(data: CohortData) -> pd.DataFrame:
    """The first table of `repeated_scans`.

    Parameters
    ----------
    data : CohortData

    Returns
    -------
    DataFrame
        Rows of ``data.scans`` with its columns, ``group`` (``all`` without a diagnosis) and ``years`` since the
        person's first scan.

    Raises
    ------
    AnalysisError
        When nobody was scanned twice.
    """
    scans = data.scans[data.scans["age"].notna()]
    if "group" in scans:
        scans = scans[scans["group"].notna()]
    else:
        scans = scans.assign(group="all")
    person = scans["participant_id"]
    clock = numbers(scans[data.clock(scans)])
    scans = scans.assign(years=(clock - clock.groupby(person).transform("min")).fillna(0.0))
    scans = scans[clock.notna() | ~clock.notna().groupby(person).transform("any")]
    scans = scans[scans["participant_id"].map(scans["participant_id"].value_counts()) >= 2]
    if scans.empty:
        raise AnalysisError("nobody was scanned twice, so there is no change over time")
    return scans


def harmonised(
    data: CohortData, scans: pd.DataFrame, values: pd.DataFrame | None = None, scanner: str | None = None
) -> tuple[pd.DataFrame, Harmonisation]:
    """z of `scans`, harmonised over scanners by longitudinal ComBat when somebody changed scanner.

    Parameters
    ----------
    data : CohortData
    scans : (n rows) DataFrame
        ``participant_id age years`` and the scanner's column.
    values : (n rows) DataFrame, optional
        What is harmonised; default: z.
    scanner : str, optional
        The scanner's column; default: that of the role.

    Returns
    -------
    z : (n rows) DataFrame
        One column per region; unchanged where nobody changed scanner or harmonisation is impossible.
    how : Harmonisation
        What was done, or why not.
    """
    z = data.zscores.loc[scans.index] if values is None else values
    column = scanner or data.config.column("scanner")
    if column not in scans or scans.groupby("participant_id")[column].nunique().max() < 2:
        return z, Harmonisation()
    from bids_app.normative.harmonise.longitudinal_combat import LongitudinalCombat

    person = scans["participant_id"]
    # What never differs has no scanner in it, and no variance to estimate.
    known = z.loc[:, z.nunique() > 1]
    # A gap holds the person's mean while scanners are estimated, and is a gap again afterwards.
    filled = known.fillna(known.groupby(person).transform("mean")).fillna(known.mean())
    labels = scans.loc[scans[column].notna(), column].astype(str)
    rows = labels.index[labels.map(labels.value_counts()) >= 2]
    years = scans.loc[rows, "years"].to_numpy(dtype=float)
    if confounded(labels[rows], person[rows], years):
        return z, Harmonisation(CONFOUNDED.format(column=column), confounded=True)
    # Age at the first scan and time since then: a trend within people must not be read off differences between them.
    kept = [scans.loc[rows, "age"].to_numpy(dtype=float) - years]
    kept += [years] if np.ptp(years) > 0 else []
    for name in ("sex", "group"):
        if name in scans:
            kept += [
                (scans.loc[rows, name] == level).to_numpy(dtype=float)
                for level in sorted(scans.loc[rows, name].dropna().unique())[1:]
            ]
    try:
        clean = LongitudinalCombat().fit_transform(
            filled.loc[rows].to_numpy(),
            labels[rows].to_numpy(),
            scans.loc[rows, "participant_id"].to_numpy(),
            np.column_stack(kept),
        )
    except (AnalysisError, InputError) as error:
        return z, Harmonisation(f"people changed scanner, but ComBat cannot be fitted ({error}). ")
    # A scan as measured beside harmonised ones of the same person would look like change.
    out = z.loc[rows].reindex(z.index)
    out.loc[rows, known.columns] = clean
    remark = _without_scanner(len(scans) - len(rows))
    return out.where(z.notna()), Harmonisation(HARMONISED.format(column=column) + remark, True, remark)


def _without_scanner(left: int) -> str:
    verb = "is" if left == 1 else "are"
    return f"{plural(left, 'scan')} of an unknown scanner, or of one used once, {verb} left out. " if left else ""


def _first(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return table[[*columns, *[name for name in table if name not in columns]]]
