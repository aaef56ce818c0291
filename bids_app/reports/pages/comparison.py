"""The page of ``normvol-model compare``, from the tables that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.names import output_path
from bids_app.regions import region_table
from bids_app.reports.components import Column
from bids_app.reports.figures.brainmap import brain_map_svg
from bids_app.reports.figures.svg import Plot, dot, line, svg
from bids_app.reports.loading import Record, Sheet
from bids_app.reports.pages.page import render
from bids_app.tables import atomic_write, read_json, read_table

PAGE = "comparison.html"
COLUMNS = (
    Column("region", "Region", "region"),
    Column("n", "Scans", digits=0),
    Column("correlation", "Correlation", digits=3),
    Column("bias", "Bias (B − A)", digits=3),
    Column("rmsd", "RMS difference", digits=3),
    Column("infra_a", "Share ≤ −1.96, A", digits=3),
    Column("infra_b", "Share ≤ −1.96, B", digits=3),
    Column("infra_kappa", "Kappa ≤ −1.96", digits=2),
    Column("supra_a", "Share ≥ 1.96, A", digits=3),
    Column("supra_b", "Share ≥ 1.96, B", digits=3),
    Column("supra_kappa", "Kappa ≥ 1.96", digits=2),
)
CARD_FIELDS = (
    "title",
    "summary",
    "engine",
    "covariates",
    "transform",
    "harmonisation",
    "sites",
    "fs_versions",
    "adaptation_allowed",
    "licence",
    "citations",
    "z_notes",
    "limitations",
    "not_for",
)
WIDTH, HEIGHT = 340.0, 300.0


def write_comparison_report(folder: Path | str) -> Path:
    """Write ``comparison.html`` beside the tables of a comparison.

    Parameters
    ----------
    folder : path-like
        Holds ``comparison.tsv``, ``comparison_scans.tsv`` and ``comparison_models.json``.

    Returns
    -------
    Path of the page.
    """
    folder = Path(folder)
    regions = Sheet("comparison.tsv", read_table(folder / "comparison.tsv"))
    scans = Sheet("comparison_scans.tsv", read_table(folder / "comparison_scans.tsv"))
    models = Record("comparison_models.json", read_json(folder / "comparison_models.json"))
    page = render(
        "comparison.html.j2",
        regions=regions,
        scans=scans,
        models=models,
        columns=list(COLUMNS),
        cards={label: _card(models.content[label]) for label in ("a", "b")},
        counts=[
            (tail, title, counts_chart(scans.table, tail))
            for tail, title in (("infra", "Regions at or below −1.96"), ("supra", "Regions at or above 1.96"))
        ],
        maps=_maps(regions.table),
    )
    return atomic_write(output_path(folder, PAGE), page)


def _card(card: dict[str, Any]) -> dict[str, Any]:
    return {name: card[name] for name in CARD_FIELDS if card.get(name) not in (None, "", [], {})}


def counts_chart(scans: pd.DataFrame, tail: str) -> str:
    """Deviating regions per scan under model A (across) and B (up); the mark grows with the number of scans.

    Parameters
    ----------
    scans : DataFrame
        ``n_infra_a n_infra_b n_supra_a n_supra_b``, one row per scan.
    tail : {'infra', 'supra'}

    Returns
    -------
    str
        SVG; the marks grow no more beyond 150 scans.
    """
    pairs = scans.groupby([f"n_{tail}_a", f"n_{tail}_b"]).size()
    top = max(4, int(scans[[f"n_{tail}_a", f"n_{tail}_b"]].to_numpy().max(initial=0))) + 1
    plot = Plot(44, 22, WIDTH - 64, HEIGHT - 64, (-0.5, top), (-0.5, top))
    body = [
        *plot.y_axis(5, "model B"),
        *plot.x_axis(6, "model A"),
        line(plot.px(0), plot.py(0), plot.px(top), plot.py(top), "null"),
    ]
    for (a, b), n in pairs.items():
        title = f"{a} under A, {b} under B: {n} scan{'s' if n > 1 else ''}"
        body.append(dot(plot.px(a), plot.py(b), 1.6 * min(3.5, float(np.sqrt(np.sqrt(n)))), "count", title))
    return svg(WIDTH, HEIGHT, body, f"Number of {tail}-normal regions of each scan under both models")


def _maps(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Brain maps of the bias and of the root mean square difference, when reference regions are among the regions."""
    drawn = set(region_table().query("set == 'reference'").index)
    values = table[table["region"].isin(drawn)].set_index("region")
    if values.empty:
        return []
    bias = max(0.1, float(np.nanmax(values["bias"].abs())))
    return [
        (
            "Bias: mean of z under B minus z under A",
            brain_map_svg(values["bias"], limits=(-bias, bias), label="bias (z)", threshold=None, prefix="bias"),
        ),
        (
            "Root mean square difference of z",
            brain_map_svg(
                values["rmsd"], scale="sequential", label="RMS difference (z)", threshold=None, prefix="rmsd"
            ),
        ),
    ]
