"""A new scanner after k local controls: PCNtoolkit's own transfer beside our site adaptation, on the same draws.

Sites of 45 to 100 people are left out together; PCNtoolkit's BLR (as `open-blr`) and the calibrated model are trained
on all others. k people of each left-out site, at least two of each sex, are its controls, the others are scored:
`BLR.transfer` (mean and SD of the controls' residuals, by sex, or of all controls together), our adaptation on the
BLR's z, and on the calibrated model's.
Printed: mean standardised log loss against a Gaussian of the training people (lower is better), tails, SD of z.

    python benchmarks/bench_transfer.py TABLE [--controls 5 20] [--draws 5] [--regions 10]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from xarray import DataArray

from bids_app.arrays import FloatArray
from bids_app.normative import training
from bids_app.normative.base import NormativeModel
from bids_app.normative.card import ModelCard
from bids_app.normative.engines import blr
from bids_app.normative.engines.pcntoolkit import PCNtoolkitModel
from bids_app.normative.engines.pcntoolkit_training import PCNtoolkitOptions, train_pcntoolkit
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.regions import reference_regions
from bids_app.tables import read_table

MIN_PEOPLE = 45
LOG_2PI = np.log(2 * np.pi)
CARD = ModelCard(name="left-out", version="1", title="", summary="", licence="CC0-1.0", date="2026-01-01")
BLR = PCNtoolkitOptions(site_effect=True, effects_in_variance=False, exact_gradient=True)
SEX_CODES = {"female": 0, "male": 1}


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--controls", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--regions", type=int, default=10)
    options = parser.parse_args()
    people = read_table(options.table)
    people = people[people["qc_flag"].isna()].reset_index(drop=True)
    regions = reference_regions()[:: 82 // options.regions][: options.regions]
    sizes = people["site"].value_counts()
    out = sorted(sizes[(sizes >= MIN_PEOPLE) & (sizes < 100)].index)
    rest, left = people[~people["site"].isin(out)].reset_index(drop=True), people[people["site"].isin(out)]
    print(f"{len(regions)} regions, {len(out)} sites left out, {len(left)} people")
    ours = training.train(rest, name="ours", harmonise="location", regions=regions, reference_counts=False).model
    with tempfile.TemporaryDirectory() as folder:
        theirs = train_pcntoolkit(rest, Path(folder) / "blr", regions, CARD, BLR)
        quick = blr.load(blr.pack(Path(folder) / "blr", Path(folder) / "blr.zip"))
    normal = rest[list(regions)].mean(), rest[list(regions)].std(ddof=0)
    rows = [row for k in options.controls for row in compared(left, k, options.draws, (ours, quick, theirs), normal)]
    print(pd.DataFrame(rows).groupby(["controls", "way"], sort=False).mean().to_string(float_format="{:.4f}".format))


def compared(
    left: pd.DataFrame,
    k: int,
    draws: int,
    models: tuple[NormativeModel, NormativeModel, PCNtoolkitModel],
    normal: tuple[Any, Any],
) -> list[dict[str, Any]]:
    """Measures of each way, by site and draw; the BLR is read by us (quick) and by PCNtoolkit (its transfer)."""
    rows, (ours, quick, theirs) = [], models
    for _, people in left.groupby("site"):
        local = people.reset_index(drop=True)
        for draw in range(draws):
            chosen = _draw(local, k, np.random.default_rng([draw, k, len(local)]))
            if chosen is None:
                continue
            controls, rest = local[chosen], local[~chosen]
            found = {
                "PCNtoolkit's transfer, by sex": transferred(theirs, controls, rest, SEX_CODES),
                "PCNtoolkit's transfer, together": transferred(theirs, controls, rest, dict.fromkeys(SEX_CODES, 0)),
                "BLR, our adaptation": adapted(quick, controls, rest, theirs.regions),
                "calibrated, our adaptation": adapted(ours, controls, rest, theirs.regions),
            }
            volumes = rest[list(theirs.regions)].to_numpy()
            mean, sd = (values[list(theirs.regions)].to_numpy() for values in normal)
            base = -0.5 * (LOG_2PI + ((volumes - mean) / sd) ** 2) - np.log(sd)
            rows += [_measured(k, way, z, density, base) for way, (z, density) in found.items()]
    return rows


def _draw(local: pd.DataFrame, k: int, rng: np.random.Generator) -> np.ndarray | None:
    """k controls with two of each sex or more; None where the site has not so many."""
    for _ in range(50):
        chosen = np.zeros(len(local), dtype=bool)
        chosen[rng.permutation(len(local))[:k]] = True
        counts = local.loc[chosen, "sex"].value_counts()
        if len(counts) == 2 and counts.min() >= 2:
            return chosen
    return None


def _measured(k: int, way: str, z: FloatArray, density: FloatArray, base: FloatArray) -> dict[str, Any]:
    below, above = 100 * (z < -1.96).mean(), 100 * (z > 1.96).mean()
    return {"controls": k, "way": way, "MSLL": (base - density).mean(), "below": below, "above": above, "SD": z.std()}


def adapted(
    model: NormativeModel, controls: pd.DataFrame, rest: pd.DataFrame, regions: tuple[str, ...]
) -> tuple[FloatArray, FloatArray]:
    """z, and log density per mm^3 by a difference of z over half a per cent of volume."""
    adaptation = SiteAdaptation.fit(model, controls)
    z, up, down = (
        pd.DataFrame(found.z, columns=list(found.regions))[list(regions)].to_numpy()
        for found in (
            model.deviations(rest.assign(**{name: factor * rest[name] for name in regions}), adaptation)
            for factor in (1.0, 1.0025, 0.9975)
        )
    )
    slope = (up - down) / (0.005 * rest[list(regions)].to_numpy())
    return z, -0.5 * (LOG_2PI + z**2) + np.log(slope)


def transferred(
    model: PCNtoolkitModel, controls: pd.DataFrame, rest: pd.DataFrame, codes: dict[str, int]
) -> tuple[FloatArray, FloatArray]:
    """z and log density per mm^3 under `BLR.transfer`, `codes` of sex being the batch effect at the new scanner."""
    known = model.sites[0]
    columns = []
    for region in model.regions:
        fitted, scaler = model.toolkit[region], model.toolkit.outscalers[region]
        (x, effects, y), (new_x, new_effects, new_y) = (
            _arrays(model, region, rows.assign(site=known), codes) for rows in (controls, rest)
        )
        moved = fitted.transfer(x, effects, {"sex": {str(code): code for code in set(codes.values())}}, y)
        z = moved.forward(new_x, new_effects, new_y).to_numpy()
        density = moved.elemwise_logp(new_x, new_effects, new_y).to_numpy() - np.log(np.ravel(scaler.s)[0])
        columns.append((z, density))
    z, density = zip(*columns, strict=True)
    return np.column_stack(z), np.column_stack(density)


def _arrays(model: PCNtoolkitModel, region: str, rows: pd.DataFrame, codes: dict[str, int]) -> tuple[Any, Any, Any]:
    """Scaled covariates, code of sex and scaled volumes of one region."""
    table = pd.DataFrame(
        {name: rows[model.columns[name]] / model.scale.get(name, 1.0) for name in model.toolkit.covariates}
    )
    x, _ = model._design(table.assign(sex=rows["sex"], site=rows["site"]))
    coded = rows["sex"].map(codes).to_numpy()[:, None]
    effects = DataArray(coded, dims=("observations", "batch_effect_dims"), coords={"batch_effect_dims": ["sex"]})
    return x, effects, model._scaled(region, rows[region].to_numpy(dtype=float))


if __name__ == "__main__":
    main()
