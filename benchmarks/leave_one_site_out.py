"""Leave-one-site-out test of site adaptation: how well z of a new site is calibrated after k local controls.

For every site of at least 30 people a model is trained on all other sites; k people of the site, drawn at
random (seeded, several times), serve as controls and the rest is scored. Prints one row per number of
controls, beside the simplest remedy (subtract the controls' mean z), and writes the table by site with --output, after
each site: given again with the same file, only the sites that it lacks are done.

    python benchmarks/leave_one_site_out.py HEALTHY.tsv.gz [--mode calibrated] [--controls 0 5 10 20]
    python benchmarks/leave_one_site_out.py HEALTHY.tsv.gz --surface SURFACE.tsv.gz --measure thickness
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bids_app.normative import training
from bids_app.normative.folds import leave_one_site_out
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.regions import MEASURES, counted_regions
from bids_app.tables import read_table, write_tsv

MIN_PEOPLE = 30


def main() -> None:
    """Parse arguments, run, print."""
    options = parse()
    people = read_table(options.table)
    if "qc_flag" in people:
        people = people[people["qc_flag"].isna()].reset_index(drop=True)
    if options.surface:
        people = people.merge(read_table(options.surface), on=["participant_id", "site"], how="inner")
    kept = options.output and options.output.exists()
    rows = read_table(options.output) if kept else pd.DataFrame(columns=["site"])
    for found in sites(people, options, set(rows["site"])):
        rows = pd.concat([rows, pd.DataFrame(found)]) if len(rows) else pd.DataFrame(found)
        if options.output:
            write_tsv(rows, options.output)
    print(f"{rows['site'].nunique()} sites")
    print(summary(rows).to_string(index=False, float_format=lambda value: f"{value:.4f}"))


def parse() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--surface", type=Path, help="table of thickness (mm) and area (mm^2) of the same people")
    parser.add_argument("--measure", default="volume", choices=MEASURES)
    parser.add_argument("--mode", default="calibrated", choices=training.MODES)
    parser.add_argument("--harmonise", default="location", choices=tuple(training.HARMONISE))
    parser.add_argument("--controls", type=int, nargs="+", default=[0, 5, 10, 20])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--output", type=Path, help="TSV by site and number of controls")
    return parser.parse_args()


def sites(people: pd.DataFrame, options: argparse.Namespace, done: set[str]) -> Iterator[list[dict[str, object]]]:
    """Results of each left-out site that is not `done`."""
    for site, mask in leave_one_site_out(people["site"], MIN_PEOPLE):
        if site in done:
            continue
        print(f"{site}: {mask.sum()} people", file=sys.stderr)
        trained = training.train(
            people[~mask],
            name="without",
            mode=options.mode,
            harmonise=options.harmonise,
            regions=counted_regions(options.measure),
            reference_counts=False,
        )
        local = people[mask].reset_index(drop=True)
        yield [result(trained.model, local, site, k, options.draws) for k in options.controls]


def result(model: object, local: pd.DataFrame, site: str, k: int, draws: int) -> dict[str, object]:
    """Mean over draws of k controls of what is left in the others."""
    rng = np.random.default_rng([k, len(local)])
    found = [left_over(model, local, rng.permutation(len(local)), k) for _ in range(draws if k else 1)]
    return {"site": site, "people": len(local), "controls": k, **pd.DataFrame(found).mean().to_dict()}


def left_over(model: object, local: pd.DataFrame, order: np.ndarray, k: int) -> dict[str, float]:
    """Tails and mean regional shift of the people who are not controls."""
    controls, rest = local.iloc[order[:k]], local.iloc[order[k:]]
    adaptation = SiteAdaptation.fit(model, controls) if k else None
    z = model.deviations(rest, adaptation).z
    subtracted = model.deviations(rest).z - (model.deviations(controls).z.mean(axis=0) if k else 0)
    return {
        "below": np.mean(z < -1.96),
        "above": np.mean(z > 1.96),
        "z_sd": z.std(axis=0, ddof=1).mean(),
        "shift": np.abs(z.mean(axis=0)).mean(),
        "allowed": 0.8 * np.sqrt((1 / k if k else 0) + 1 / len(rest)),
        "subtracted_below": np.mean(subtracted < -1.96),
        "subtracted_shift": np.abs(subtracted.mean(axis=0)).mean(),
    }


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per number of controls: averages over sites, and how many sites are inside the limits."""
    inside = rows.assign(within_limits=rows["below"].between(0.015, 0.04), shift_ok=rows["shift"] <= rows["allowed"])
    columns = [
        "below",
        "above",
        "z_sd",
        "shift",
        "allowed",
        "within_limits",
        "shift_ok",
        "subtracted_below",
        "subtracted_shift",
    ]
    table = inside.groupby("controls")[columns].mean().reset_index()
    return table.rename(columns={"within_limits": "sites_1.5_to_4", "shift_ok": "sites_shift_ok"})


if __name__ == "__main__":
    main()
