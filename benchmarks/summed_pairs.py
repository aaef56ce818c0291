"""How often healthy people are flagged in a pair of structures: in either side, in both, and in the sum of the two.

    python benchmarks/summed_pairs.py TABLE [--folds 5]

TABLE is one of healthy people as for scripts/train_default_models.py. Models of left, right and the sum are trained on
all folds but one (stratified by site and sex, harmonised as in training) and score the fold left out. A tail of one
region flags 2.5 % of healthy people; "either side" flags more, by how much depends on the correlation of the sides.
Prints the table in docs/ms.md.
"""

from __future__ import annotations

import argparse

import numpy as np

from bids_app.normative import training
from bids_app.normative.cross_validation import cross_validate, harmonise_as_trained
from bids_app.normative.folds import stratified_folds
from bids_app.regions import add_pair_measures, display_name, summed_pairs
from bids_app.tables import read_table

LIMIT = 1.96


def main() -> None:
    """Print one row per pair: percent of people flagged in the lower tail, and the correlation of the sides."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("table")
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    sums = summed_pairs()
    regions = tuple(name for total, pair in sums.items() for name in (pair.left, pair.right, total))
    table = read_table(options.table)
    table = add_pair_measures(table[table["qc_flag"].isna()].reset_index(drop=True), regions)
    sizes = table.groupby("site")["site"].transform("size")
    table = table[sizes >= 2 * options.folds].reset_index(drop=True)

    def train(rows):
        return training.train(
            rows, name="fold", mode="calibrated", harmonise="location", regions=regions, reference_counts=False
        ).model

    found = cross_validate(
        train,
        table,
        stratified_folds(table["site"], table["sex"], n_folds=options.folds),
        lambda known, rows: harmonise_as_trained(known, rows, kind="location", regions=regions, logarithms=True),
    )
    z = dict(zip(found.regions, found.z.T))
    print("structure\tcorrelation\tleft\tright\teither\tboth\tsum")
    for total, pair in sums.items():
        left, right = z[pair.left], z[pair.right]
        flags = [left <= -LIMIT, right <= -LIMIT]
        shares = [*flags, flags[0] | flags[1], flags[0] & flags[1], z[total] <= -LIMIT]
        words = "\t".join(f"{100 * np.mean(share):.2f}" for share in shares)
        print(f"{display_name(total)}\t{np.corrcoef(left, right)[0, 1]:.2f}\t{words}")
    print(f"# {len(table)} people, {table['site'].nunique()} sites")


if __name__ == "__main__":
    main()
