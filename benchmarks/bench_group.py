"""The group level by the number of scans: CPU seconds, peak memory, size of the page; statistics included.

    python benchmarks/bench_group.py [--scans 2000 10000 30000 100000] [--folder FOLDER]

A hundred synthetic people are scored. Their summaries and tables are written again and again under new names, each
with volumes and z of its own; the participants have a group, a site, EDSS, disease duration and PASAT.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_scale import measure, write_dataset

from bids_app.tables import write_json

SOURCES = 100
TABLES = {"volumes": ("volume_mm3",), "deviations": ("z",), "extended": ("z",), "asymmetry": ("z",)}
HEADER = "participant_id\tage\tsex\tgroup\tsite\tedss\tdisease_duration\tpasat\n"


def score_sources(root: Path) -> Path:
    """A hundred people, scored: the output folder."""
    bids, output = root / "bids", root / "out"
    if not output.is_dir():
        write_dataset(bids, SOURCES)
        trees = ["--fs-subjects-dir", str(bids / "derivatives/freesurfer")]
        cost = measure([str(bids), str(output), "participant", *trees], root / "log.txt")
        assert cost.code == 0, (root / "log.txt").read_text()
    return output


def _pieces(path: Path, columns: tuple[str, ...]) -> tuple[str, list[float]]:
    """A table as a %-pattern for the cells of `columns`, and these cells."""
    header, *lines = path.read_text().splitlines()
    places = [header.split("\t").index(name) for name in columns]
    values, rows = [], []
    for line in lines:
        cells = line.replace("%", "%%").split("\t")
        for place in places:
            if cells[place] != "n/a":
                values.append(float(cells[place]))
                cells[place] = "%.6g"
        rows.append("\t".join(cells))
    return "\n".join([header, *rows, ""]), values


def multiply(source: Path, bids: Path, output: Path, n_scans: int) -> None:
    """Write `n_scans` scored scans like those of `source`, and the BIDS tables of their people."""
    rng = np.random.default_rng(n_scans)
    people = sorted(path.name for path in source.glob("sub-*") if path.is_dir())
    patterns = {
        (who, desc): _pieces(source / who / "anat" / f"{who}_desc-{desc}_morph.tsv", columns)
        for who in people
        for desc, columns in TABLES.items()
    }
    texts = {who: (source / who / "anat" / f"{who}_desc-summary_morph.json").read_text() for who in people}
    statuses = {who: (source / "logs/status" / f"{who}.json").read_text() for who in people}
    for folder in (output / "logs/status", bids):
        folder.mkdir(parents=True)
    for name in ("dataset_description.json", "logs/scoring.json"):
        shutil.copy(source / name, output / name)
    write_json(
        {"Name": "bench_group", "BIDSVersion": "1.10.0", "DatasetType": "raw"}, bids / "dataset_description.json"
    )
    with (bids / "participants.tsv").open("w") as table:
        table.write(HEADER)
        for number, new in zip(range(n_scans), _names()):
            who = people[number % len(people)]
            anat = output / new / "anat"
            anat.mkdir(parents=True)
            (anat / f"{new}_desc-summary_morph.json").write_text(texts[who].replace(who, new))
            (output / "logs/status" / f"{new}.json").write_text(statuses[who].replace(who, new))
            for desc in TABLES:
                pattern, values = patterns[who, desc]
                noise = rng.normal(0, 0.3, len(values))
                moved = np.array(values) * (1 + noise / 10) if desc == "volumes" else np.array(values) + noise
                (anat / f"{new}_desc-{desc}_morph.tsv").write_text(pattern % tuple(moved.tolist()))
            table.write(_person(new, json.loads(texts[who])["covariates"], rng))


def _names() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"sub-{number:06d}"


def _person(name: str, covariates: dict, rng: np.random.Generator) -> str:
    patient = rng.random() < 0.5
    clinical = ("n/a", "n/a", "n/a")
    if patient:
        clinical = (f"{rng.integers(0, 13) / 2:g}", f"{rng.gamma(2, 5):.1f}", f"{min(rng.normal(45, 9), 60):.0f}")
    cells = (covariates["age"], covariates["sex"], "patient" if patient else "control", covariates["other"]["site"])
    return "\t".join(map(str, (name, *cells, *clinical))) + "\n"


def main(scans: list[int], root: Path) -> None:
    """Make, run and print."""
    source = score_sources(root)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print("| level                 |  scans | exit |  wall s |   CPU s | program MB | worker MB | group.html MB |")
    print("|---|---|---|---|---|---|---|---|")
    for n_scans in scans:
        bids, output = root / f"bids{n_scans}", root / f"out{n_scans}"
        if not output.is_dir():
            multiply(source, bids, output, n_scans)
        for name, options in (("group", []), ("group --analysis auto", ["--analysis", "auto"])):
            cost = measure([str(bids), str(output), "group", *options], root / "log.txt")
            page = (output / "group.html").stat().st_size / 1e6
            print(
                f"| {name:<21} | {n_scans:6d} | {cost.code:4d} | {cost.wall:7.1f} | {cost.cpu:7.1f} "
                f"| {cost.parent_mb:10.0f} | {cost.worker_mb:9.0f} | {page:13.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, nargs="+", default=[2_000, 10_000, 30_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where to work and keep what is made (default: a temporary folder)")
    options = parser.parse_args()
    if options.folder:
        main(options.scans, options.folder)
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(options.scans, Path(folder))
