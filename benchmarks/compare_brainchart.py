"""BrainChart beside our calibrated recipe, by age band, on people of sites that neither was adapted to before.

Sites of at least 30 people are left out in groups; our recipe is trained on the others, BrainChart is as imported.
Both are adapted to each left-out site on the same 20 of its people (seeded), the rest is scored. Regions are bilateral
means for both. MSLL is against one normal distribution of the training people. FreeSurfer 6 and 7 are shown apart.

    python benchmarks/compare_brainchart.py HEALTHY.tsv.gz REFITTED_MODELS_DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from bids_app.normative.base import NormativeModel
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.normative.importers.brainchart import import_brainchart
from bids_app.normative.training import train
from bids_app.regions import MEAN_PREFIX
from bids_app.tables import read_table

BANDS = {"under 18": (0, 18), "18 to 40": (18, 40), "40 to 60": (40, 60), "over 60": (60, 120)}
MIN_PEOPLE, N_CONTROLS, N_GROUPS = 30, 20, 4
STEP = 1e-3


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("models", type=Path)
    options = parser.parse_args()
    people = read_table(options.table)
    people = people[people["qc_flag"].isna()].reset_index(drop=True)
    theirs = import_brainchart(options.models)
    sides = {name: fit.columns for name, fit in theirs.fits.items() if name.startswith(MEAN_PREFIX)}
    complete = people[[column for pair in sides.values() for column in pair]].notna().all(axis=1)
    rows = compared(averaged(people[complete].reset_index(drop=True), sides), theirs, sides)
    print(summary(rows).to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def averaged(people: pd.DataFrame, sides: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """Both columns of a pair set to their mean, so that the left one is a bilateral mean for any model."""
    means = {column: people[list(pair)].mean(axis=1) for pair in sides.values() for column in pair}
    return people.assign(**means)


def compared(people: pd.DataFrame, theirs: NormativeModel, sides: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """One row per scored person and model: z beyond the limits, mean z, log density gained, over regions."""
    ours_names, theirs_names = tuple(pair[0] for pair in sides.values()), tuple(sides)
    counts = people["site"].value_counts()
    large = sorted(counts[counts >= MIN_PEOPLE].index)
    out = []
    for group in range(N_GROUPS):
        left_out = large[group::N_GROUPS]
        rest = people[~people["site"].isin(left_out)]
        ours = train(rest, name="ours", harmonise="location", regions=ours_names, reference_counts=False).model
        values = rest[list(ours_names)].to_numpy(dtype=float)
        baseline = values.mean(axis=0), values.std(axis=0)
        for site in left_out:
            table = people[people["site"] == site].reset_index(drop=True)
            order = np.random.default_rng(len(site) + group).permutation(len(table))
            controls, test = table.iloc[order[:N_CONTROLS]], table.iloc[order[N_CONTROLS:]]
            for name, model, regions in (("open-calibrated", ours, ours_names), ("BrainChart", theirs, theirs_names)):
                out.append(scored(model, name, controls, test, regions, baseline))
    return pd.concat(out, ignore_index=True)


def scored(
    model: NormativeModel,
    name: str,
    controls: pd.DataFrame,
    test: pd.DataFrame,
    regions: tuple[str, ...],
    baseline: tuple[np.ndarray, np.ndarray],
) -> pd.DataFrame:
    """Adapted on `controls`, measures of `test`."""
    adaptation = SiteAdaptation.fit(model, controls)
    found = model.deviations(test, adaptation)
    columns = [found.regions.index(region) for region in regions]
    z, y = found.z[:, columns], found.observed[:, columns]
    width = model.volumes_at(test, z + STEP, regions, adaptation) - model.volumes_at(
        test, z - STEP, regions, adaptation
    )
    density = -0.5 * z**2 - np.log(width / (2 * STEP))
    mean, sd = baseline
    gain = density + 0.5 * ((y - mean) / sd) ** 2 + np.log(sd)
    return pd.DataFrame(
        {
            "model": name,
            "freesurfer": test["fs_version"].astype(str).str[0],
            "age": test["age"],
            "mean z": z.mean(axis=1),
            "square": (z**2).mean(axis=1),
            "below": 100 * (z < -1.96).mean(axis=1),
            "above": 100 * (z > 1.96).mean(axis=1),
            "MSLL": -gain.mean(axis=1),
        }
    )


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means by FreeSurfer version, age band and model; `below` and `above` in percent."""
    out = []
    for (version, model), part in rows.groupby(["freesurfer", "model"]):
        for band, (low, high) in BANDS.items():
            chosen = part[(part["age"] >= low) & (part["age"] < high)]
            if len(chosen):
                means = chosen[["mean z", "below", "above", "MSLL"]].mean()
                spread = np.sqrt(chosen["square"].mean() - chosen["mean z"].mean() ** 2)
                keys = {"freesurfer": version, "ages": band, "model": model, "people": len(chosen)}
                out.append({**keys, **means, "SD of z": spread})
    table = pd.DataFrame(out)
    order = {band: i for i, band in enumerate(BANDS)}
    return table.sort_values(["freesurfer", "ages", "model"], key=lambda s: s.map(order) if s.name == "ages" else s)


if __name__ == "__main__":
    main()
