"""How well do regional volumes repeat: standard error of measurement from repeated scans of unchanged people.

    python benchmarks/repeatability.py TABLE [--model open-calibrated] [--age 40]

TABLE has `participant_id`, `session_id` and one column per region (mm^3): two scans or more per person, one stream.
Prints the standard error of measurement in percent (standard deviation of log volume within people, both hemispheres
together) and in z of the model at that age (mean of the sexes), with its degrees of freedom, as they stand in
`bids_app/data/repeatability.tsv`; and the share of changes called reliable when each person is judged by the others.
"""

from __future__ import annotations

import argparse
import re
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from bids_app.normative.registry import load_model
from bids_app.regions import ETIV


def structure(region: str) -> str:
    """The region without its hemisphere."""
    return re.sub("^(Left-|Right-|lh_|rh_|lh|rh)", "", region)


def within_people(volumes: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Standard deviation of log volume within people and its degrees of freedom, per structure."""
    logs = np.log(volumes)
    people = logs.groupby(level=0)
    squares, df = ((logs - people.transform("mean")) ** 2).sum(), (people.count() - 1).clip(lower=0).sum()
    total, free = (values.groupby(structure).sum() for values in (squares, df))
    return np.sqrt(total / free), free


def z_per_log(model_name: str, age: float, regions: list[str]) -> pd.Series:
    """Change of z per change of log volume at the expected volume, mean of the sexes."""
    model = load_model(model_name)
    slopes = []
    for sex in ("female", "male"):
        data = pd.DataFrame({"age": [age], "sex": [sex], ETIV: [1.5e6]})
        low, high = (
            model.volumes_at(data, np.full((1, len(regions)), z), tuple(regions), None)[0] for z in (-0.5, 0.5)
        )
        slopes.append(1 / np.log(high / low))
    return pd.Series(np.mean(slopes, axis=0), index=regions)


def held_out(volumes: pd.DataFrame) -> float:
    """Share of changes called reliable (5 % two-sided) when each person is judged by the error of the others."""
    beyond = []
    for person in volumes.index.levels[0]:
        own, others = volumes.loc[[person]], volumes.drop(person, level=0)
        errors, df = within_people(others)
        limits = (stats.t.ppf(0.975, df) * np.sqrt(2) * errors)[[structure(region) for region in own]].to_numpy()
        for first, second in combinations(np.log(own.to_numpy()), 2):
            change = np.abs(second - first)
            beyond += list((change > limits)[np.isfinite(change)])
    return float(np.mean(beyond))


def main() -> None:
    """Print the rows and the share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("table")
    parser.add_argument("--model", default="open-calibrated")
    parser.add_argument("--age", type=float, default=40.0)
    options = parser.parse_args()
    volumes = pd.read_csv(options.table, sep="\t", index_col=["participant_id", "session_id"], na_values=["n/a"])
    errors, df = within_people(volumes)
    slopes = z_per_log(options.model, options.age, list(volumes.columns))
    print("region\tsem_percent\tsem_z\tdf")
    for region in volumes:
        error = errors[structure(region)]
        print(f"{region}\t{100 * error:.2f}\t{error * slopes[region]:.3f}\t{df[structure(region)]}")
    print(f"# called reliable, each person judged by the others: {100 * held_out(volumes):.1f} %")


if __name__ == "__main__":
    main()
