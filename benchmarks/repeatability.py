"""How well do regional volumes repeat: standard error of measurement from repeated scans of unchanged people.

    python benchmarks/repeatability.py TABLE [--model open-calibrated] [--age 40]

TABLE has `participant_id`, `session_id` and one column per region (mm^3): two scans or more per person, one stream.
With `sex` and eTIV (and `age`, else --age for all) the scans are scored too: see `gains`.
Prints the standard error of measurement in percent (standard deviation of log volume within people, both hemispheres
together) and in z of the model at that age (mean of the sexes), with its degrees of freedom, as they stand in
`bids_app/data/repeatability.tsv`; and the share of changes called reliable when each person is judged by the others.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from bids_app.clinical.person import repeatability
from bids_app.normative.base import NormativeModel
from bids_app.normative.change_model import conditional_z
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


def gains(z: pd.DataFrame, errors: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Conditional z and difference over its measurement error of all pairs of scans of a person.

    Parameters
    ----------
    z : DataFrame
        One row per scan, by `participant_id` and `session_id` (in order of time); one column per region.
    errors : mapping of str to Series
        Per person, standard error of measurement in z by region; ``r = 1 - error^2``.

    Returns
    -------
    DataFrame
        One row per pair and region: ``participant_id apart region z_gain difference``, `apart` 1 for a scan and the
        next; the last two are standard normal where the error is right and nothing but it moves z.
    """
    blocks = []
    for person, own in z.groupby(level=0):
        error = errors[str(person)].reindex(z.columns).to_numpy(dtype=float)
        first, second = np.triu_indices(len(own), 1)
        start, end = (own.to_numpy(dtype=float)[rows] for rows in (first, second))
        pair = {
            "z_gain": conditional_z(start, end, 1 - error**2)[1],
            "difference": (end - start) / (np.sqrt(2) * error),
        }
        scans = {"participant_id": person, "apart": np.repeat(second - first, z.shape[1])}
        regions = {"region": np.tile(z.columns, len(first))}
        blocks.append(pd.DataFrame({**scans, **regions, **{name: values.ravel() for name, values in pair.items()}}))
    return pd.concat(blocks, ignore_index=True).dropna()


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Values, SD of z-gain and shares beyond 1.96 in percent, by structure (cortex as one), by time and in all."""
    group = found["region"].map(lambda name: "cortex" if name.startswith(("lh_", "rh_")) else structure(name))
    rows = {}
    next_scan, later = found[found["apart"] == 1], found[found["apart"] >= 3]
    parts = [("next scan", next_scan), ("three or more scans later", later), ("all", found)]
    for name, part in [*found.groupby(group, sort=False), *parts]:
        beyond = 100 * (part[["z_gain", "difference"]].abs() > 1.96).mean()
        rows[name] = [len(part), part["z_gain"].std(), beyond["z_gain"], beyond["difference"]]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n", "sd_z_gain", "z_gain", "difference"])


def scored_gains(model: NormativeModel, table: pd.DataFrame, slopes: pd.Series) -> dict[str, pd.DataFrame]:
    """`gains` by the packaged errors and by those of the other people."""
    names = [name for name in model.regions if name in slopes]
    z = pd.DataFrame(model.deviations(table.reset_index()).to_frame()[names].to_numpy(), table.index, names)
    people = z.index.unique(level=0)
    known = repeatability().query("stream == 'long'").set_index("region")["sem_z"].astype(float)
    others = {}
    for person in people:
        error, _ = within_people(table.drop(person, level=0)[names])
        others[person] = error[[structure(name) for name in names]].set_axis(names) * slopes
    return {"packaged": gains(z, dict.fromkeys(people, known)), "others": gains(z, others)}


def print_gains(model: NormativeModel, table: pd.DataFrame, slopes: pd.Series) -> None:
    """Print `summary` of both kinds of error, and the last line again with everybody ten years younger and older."""
    pairs = sum(n * (n - 1) // 2 for n in table.groupby(level=0).size())
    print(f"# {table.index.get_level_values(0).nunique()} people, {len(table)} scans, {pairs} pairs of scans")
    print("error\tyears\tregion\tn\tSD z-gain\tz-gain beyond 1.96 %\tdifference beyond 1.96 %")
    for shift in (0, -10, 10):
        for error, found in scored_gains(model, table.assign(age=table["age"] + shift), slopes).items():
            for name, row in summary(found).iloc[0 if shift == 0 else -1 :].iterrows():
                numbers = (f"{row['n']:.0f}", f"{row['sd_z_gain']:.2f}", f"{row['z_gain']:.1f}")
                print(error, f"{shift:+d}", name, *numbers, f"{row['difference']:.1f}", sep="\t")
            people = 100 * (found["z_gain"].abs() > 1.96).groupby(found["participant_id"]).mean()
            low, high = people.min(), people.max()
            print(f"# {error}, {shift:+d} years: z-gain beyond 1.96 in {low:.1f} to {high:.1f} % by person")


def main() -> None:
    """Print the rows and the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("table")
    parser.add_argument("--model", default="open-calibrated")
    parser.add_argument("--age", type=float, default=40.0)
    options = parser.parse_args()
    table = pd.read_csv(options.table, sep="\t", index_col=["participant_id", "session_id"], na_values=["n/a"])
    volumes = table.drop(columns=["age", "sex", ETIV], errors="ignore")
    errors, df = within_people(volumes)
    slopes = z_per_log(options.model, options.age, list(volumes.columns))
    print("region\tsem_percent\tsem_z\tdf")
    for region in volumes:
        error = errors[structure(region)]
        print(f"{region}\t{100 * error:.2f}\t{error * slopes[region]:.3f}\t{df[structure(region)]}")
    print(f"# called reliable, each person judged by the others: {100 * held_out(volumes):.1f} %")
    if {"sex", ETIV} <= set(table):
        table = table.assign(age=table.get("age", options.age)).sort_index()
        print_gains(load_model(options.model), table, slopes)


if __name__ == "__main__":
    main()
