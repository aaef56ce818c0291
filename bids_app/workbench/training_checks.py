"""Is a table fit to train on: what site, age, sex and region do to each other before anything is fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bids_app.bids.names import listed
from bids_app.errors import InputError
from bids_app.findings import Finding
from bids_app.normative.plausible import typical_value
from bids_app.workbench.table_columns import NAMED_AT_MOST

# Fewer people of a site say little about its scanner; two already share a value by chance.
FEW_PEOPLE = 5
# Share of the variance of age or sex that lies between sites, from which their effects can hardly be told apart.
CONFOUNDED = 0.5


def refuse_constant_regions(data: pd.DataFrame, impossible: pd.DataFrame, regions: tuple[str, ...]) -> None:
    """InputError where a region has one value, or none that can be, in all rows of a site.

    Parameters
    ----------
    data : DataFrame
        Training table with a column ``site`` where there are sites.
    impossible : DataFrame of bool
        Cells that were taken out of `data` (`plausible.impossible`), same rows.
    regions : tuple of str
    """
    sites = data["site"].astype(str) if "site" in data else pd.Series("", index=data.index)
    for site, rows in data.groupby(sites, sort=True):
        if len(rows) < FEW_PEOPLE:
            continue
        where = f"of site {site}" if "site" in data else "of the table"
        for name in regions:
            if name not in data or not data[name].notna().any():
                continue
            values = rows[name].dropna()
            usual = typical_value(name) is not None or (values != 0).any()  # the fifth ventricle may well be 0
            if len(values) >= FEW_PEOPLE and values.nunique() == 1 and usual:
                raise InputError(
                    f"{name} is {values.iloc[0]:g} in all {len(values)} rows {where}",
                    "no brain region is: leave the column or the site out, or correct it",
                )
            if name in impossible and impossible.loc[rows.index, name].all():
                raise InputError(
                    f"{name} holds no value that a brain can have in all {len(rows)} rows {where}",
                    "leave the column or the site out, or correct it",
                )


def refuse_inseparable(data: pd.DataFrame) -> None:
    """Refuse sites within which age or sex does not vary: harmonisation would remove its effect with theirs.

    Parameters
    ----------
    data : DataFrame
        ``site age sex``.

    Raises
    ------
    InputError
    """
    if data["site"].nunique() < 2:
        return
    for name in ("age", "sex"):
        known = data[[name, "site"]].dropna()
        if known[name].nunique() > 1 and (known.groupby("site")[name].nunique() <= 1).all():
            raise InputError(
                f"{name} does not vary within any site: differences between sites cannot be told from those of {name}",
                "train with --harmonise none, or add people so that a site holds more than one",
            )


def site_findings(data: pd.DataFrame) -> list[Finding]:
    """Small sites, and sites that differ in age or sex so much that their effects can hardly be told apart.

    Parameters
    ----------
    data : DataFrame
        ``site``, ``age`` (years) and ``sex``.

    Returns
    -------
    list of Finding
        None with fewer than two sites.
    """
    sites = data["site"].dropna().astype(str)
    if sites.nunique() < 2:
        return []
    found, counts = [], sites.value_counts()
    small = [f"{site} ({counts[site]})" for site in sorted(counts.index[counts < FEW_PEOPLE])]
    if small:
        found.append(Finding("site-small", f"people at site {listed(small, NAMED_AT_MOST)}"))
    for name in ("age", "sex"):
        values = data[name] if name == "age" else (data[name] == "female").where(data[name].notna())
        share = _between_share(values.astype(float)[sites.index], sites)
        if share > CONFOUNDED:
            found.append(
                Finding("site-confounded", f"{100 * share:.0f} % of the variance of {name} lies between sites")
            )
    return found


def _between_share(values: pd.Series, groups: pd.Series) -> float:
    """Share of the variance of `values` that lies between `groups` (eta squared); 0 where nothing varies."""
    known = values.notna()
    values, groups = values[known], groups[known]
    total = float(((values - values.mean()) ** 2).sum())
    within = float(((values - values.groupby(groups).transform("mean")) ** 2).sum())
    return 1 - within / total if total > 0 and np.isfinite(total) else 0.0
