"""What the packaged models say of ageing beside published values: the table of docs/literature.md.

python benchmarks/literature.py
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bids_app import centiles, load_model
from bids_app.regions import ETIV as INTRACRANIAL
from bids_app.regions import reference_regions

MODELS = {"volume": "open-calibrated", "thickness": "open-thickness", "area": "open-area"}
ETIV = 1.5e6
CORTEX = tuple(name for name in reference_regions() if name.endswith("_volume"))
# What, measure, regions, from and to which age, what was published, and by whom
ROWS = (
    ("hippocampus", "volume", ("Left-Hippocampus", "Right-Hippocampus"), 25, 80, "-0.85", "Fraser 2015"),
    ("mean cortical thickness", "thickness", ("lh_MeanThickness_thickness", "rh_MeanThickness_thickness"), 25, 80)
    + ("-0.35", "Storsve 2014"),
    ("area of the white surface", "area", ("lh_WhiteSurfArea_area", "rh_WhiteSurfArea_area"), 25, 80)
    + ("-0.19", "Storsve 2014"),
    ("cortical volume, sum of 68 regions", "volume", CORTEX, 25, 80, "-0.51", "Storsve 2014"),
)
ACCELERATING = ("Left-Hippocampus", "Left-Thalamus", "Left-Lateral-Ventricle")
SPANS = ((30, 55), (55, 70), (70, 80))
# What was published of people of the same intracranial volume
BOTH, ONE, NONE = (
    "larger in men (Pintzka 2015, Lotze 2019)",
    "larger in men (Lotze 2019)",
    "not among those that differ",
)
SEXES = (
    ("amygdala", ("Left-Amygdala", "Right-Amygdala"), BOTH),
    ("cerebellar cortex", ("Left-Cerebellum-Cortex", "Right-Cerebellum-Cortex"), BOTH),
    ("third ventricle", ("3rd-Ventricle",), "larger in men (Pintzka 2015)"),
    ("putamen", ("Left-Putamen", "Right-Putamen"), ONE),
    ("hippocampus", ("Left-Hippocampus", "Right-Hippocampus"), ONE),
    ("thalamus", ("Left-Thalamus", "Right-Thalamus"), NONE),
    ("caudate", ("Left-Caudate", "Right-Caudate"), NONE),
)


def rate(measure: str, regions: Sequence[str], start: float, end: float) -> float:
    """Change of the median between two ages in percent a year, mean of the sexes; regions are summed."""
    table = centiles(list(regions), MODELS[measure], ages=[start, end], etiv=ETIV, percent=[50])
    sums = table.groupby(["sex", "age"])["p50"].sum().unstack()
    return float(np.mean(100 * ((sums[end] / sums[start]) ** (1 / (end - start)) - 1)))


def sex_difference(regions: Sequence[str], age: float = 50.0) -> tuple[float, float]:
    """A man's median at a woman's intracranial volume: percent above hers, and its z by her curve."""
    model = load_model(MODELS["volume"])
    people = pd.DataFrame({"age": age, "sex": ["female", "male"], INTRACRANIAL: ETIV})
    medians = model.volumes_at(people, np.zeros((2, len(regions))), tuple(regions), None)
    judged = model.deviations(people[:1].assign(**dict(zip(regions, medians[1]))))
    z = pd.Series(judged.z[0], index=judged.regions)[list(regions)]
    return float(100 * (medians[1].sum() / medians[0].sum() - 1)), float(z.mean())


def lines() -> list[str]:
    """The rows of the tables of the page."""
    found = [
        f"| {name} | {start} to {end} | {rate(measure, regions, start, end):+.2f} | {published} | {source} |"
        for name, measure, regions, start, end, published, source in ROWS
    ]
    for region in ACCELERATING:
        rates = " | ".join(f"{rate('volume', [region], *span):+.2f}" for span in SPANS)
        found.append(f"| `{region}` | {rates} |")
    for name, regions, published in SEXES:
        percent, z = sex_difference(regions)
        found.append(f"| {name} | {percent:+.1f} | {z:+.2f} | {published} |")
    return found


if __name__ == "__main__":
    print("\n".join(lines()))
