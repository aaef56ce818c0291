"""Quality measures of healthy reference people by FreeSurfer version: ``bids_app/data/quality_reference.tsv``.

    python scripts/quality_reference.py HEALTHY [--surface TABLE] [--trees SUBJECTS_DIR ...]

HEALTHY and --surface as for train_default_models.py. Grey-white contrast is in no table, so it comes from the trees of
healthy people below --trees. The file holds centiles and numbers of people, nothing of any single person.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from bids_app.errors import NormvolError
from bids_app.freesurfer.volumes import extract_volumes
from bids_app.regions import ETIV
from bids_app.tables import read_table, write_tsv

OUTPUT = Path(__file__).resolve().parents[1] / "bids_app" / "data" / "quality_reference.tsv"
# Fewer people have no 1st and 99th centile worth the name.
FEWEST = 30
DIGITS = 4


def measures(table: pd.DataFrame) -> pd.DataFrame:
    """Quality measures, one column each, of the people of a table."""
    left, right = table["lhSurfaceHoles"], table["rhSurfaceHoles"]
    found = {
        "etiv_litres": table[ETIV] / 1e6,
        "brainsegvol_to_etiv": table["BrainSegVol"] / table[ETIV],
        "maskvol_to_etiv": table["MaskVol"] / table[ETIV],
        "surface_holes": left + right,
        "euler": 2 - left - right,
    }
    for name, base in (("cortex_asymmetry", "CortexVol"), ("white_matter_asymmetry", "CerebralWhiteMatterVol")):
        both = table[f"lh{base}"], table[f"rh{base}"]
        found[name] = (both[0] - both[1]).abs() / (both[0] + both[1])
    for side in ("lh", "rh"):
        if f"{side}_MeanThickness_thickness" in table:
            found[f"{side}_mean_thickness"] = table[f"{side}_MeanThickness_thickness"]
    return pd.DataFrame(found).assign(version=table["fs_version"].astype(str).str.split(".").str[0])


def of_trees(folders: list[Path]) -> pd.DataFrame:
    """Grey-white contrast of the subject directories below `folders`; those that cannot be read are left out."""
    return pd.DataFrame(_tree_rows(folders), columns=["contrast_snr", "version"])


def _tree_rows(folders: list[Path]) -> Iterator[tuple[float, str]]:
    for tree in sorted(path for folder in folders for path in folder.iterdir() if path.is_dir()):
        try:
            volumes = extract_volumes(tree)
        except NormvolError:
            continue
        snr = [volumes.measures[name] for name in ("lh_contrast_snr", "rh_contrast_snr") if name in volumes.measures]
        if snr:
            yield min(snr), str(volumes.fs_version).split(".")[0]


def centiles(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """1st, 50th and 99th centile of each measure by version."""
    rows = []
    for version, part in table.groupby("version", sort=True):
        for metric in part.columns.drop("version"):
            values = part[metric].dropna()
            if len(values) >= FEWEST:
                low, middle, high = values.quantile([0.01, 0.5, 0.99])
                cells = (float(f"{value:.{DIGITS}g}") for value in (low, middle, high))
                rows.append((metric, version, len(values), *cells, source))
    return pd.DataFrame(rows, columns=["metric", "fs_version", "n", "p01", "p50", "p99", "source"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--surface", type=Path)
    parser.add_argument("--trees", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    table = read_table(options.table)
    table = table[table["qc_flag"].isna()].reset_index(drop=True)
    if options.surface:
        table = table.merge(read_table(options.surface), on=["participant_id", "site"], how="left")
    parts = [centiles(measures(table), "open reference data (OpenNeuro, IXI)")]
    parts.append(centiles(of_trees(options.trees), "OpenNeuro ds004604, healthy adults"))
    found = pd.concat(parts, ignore_index=True)
    write_tsv(found, OUTPUT)
    print(found.to_string())


if __name__ == "__main__":
    main()
