"""Real patients against the healthy people of their own sites: the tables of docs/real-patients.md.

    python benchmarks/real_patients.py HEALTHY.tsv.gz PATIENTS.tsv.gz -o OUT

For each diagnosis the patients with an empty ``qc_flag`` and the healthy people of their sites are scored with
``normvol-model score`` (adapted by site) and compared with ``normvol-model analyse``, with a model that was trained
without these sites and with the packaged model, whose training data hold the controls. The tables that are printed
hold sums over people only, and no group, control group or site of fewer than 5 people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from bids_app.cli import exitcodes
from bids_app.cli.model import main as normvol_model
from bids_app.regions import display_name
from bids_app.tables import read_table, write_tsv

CONTROL = "HC"
# one disease under two names in the sources
SAME = {"MDD/depressive episode": "MDD"}
SMALLEST = 5
PACKAGED = "open-calibrated"
ELSEWHERE = "elsewhere"
ANALYSIS = """\
[roles]
diagnosis = "diagnosis"

[options]
control = "HC"
match_ratio = {ratio}
match_exact = ["site"]
"""
# controls per person; 0: all controls of the sites
RATIOS = (0, 1)


def main() -> None:
    """Select, train, score, analyse, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("healthy", type=Path)
    parser.add_argument("patients", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    healthy, patients = (usable(read_table(path)) for path in (arguments.healthy, arguments.patients))
    output = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    write_tsv(healthy[~healthy["site"].isin(patients["site"])], output / "healthy_elsewhere.tsv")
    call("train", output / "healthy_elsewhere.tsv", "-o", output / f"{ELSEWHERE}.json")
    models = {ELSEWHERE: output / f"{ELSEWHERE}.json", PACKAGED: PACKAGED}
    groups = dict(cohorts(healthy, patients))
    found = {name: analyse(name, table, output, models) for name, table in groups.items()}
    counts, regions = (pd.concat([parts[index] for parts in found.values()]) for index in (0, 1))
    print("\n".join([*who(groups), "", *deviations(counts), "", *compared(counts), "", *regional(regions)]))


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """People whose FreeSurfer output passed."""
    return table[table["qc_flag"].isna()].replace({"diagnosis": SAME})


def cohorts(healthy: pd.DataFrame, patients: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each diagnosis with the healthy people of its sites; sites with too few of either are left out."""
    for name, people in patients.groupby("diagnosis", sort=True):
        both = [site for site, part in people.groupby("site")
                if min(len(part), (healthy["site"] == site).sum()) >= SMALLEST]
        if both:
            yield str(name), pd.concat([healthy[healthy["site"].isin(both)], people[people["site"].isin(both)]])


def analyse(name: str, table: pd.DataFrame, output: Path,
            models: Mapping[str, str | Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score and compare one diagnosis with every model: ``group_case_control`` and ``group_region_differences``."""
    folder = output / "".join(letter if letter.isalnum() else "-" for letter in name)
    people = write_tsv(table, folder / "people.tsv")
    found: tuple[list[pd.DataFrame], list[pd.DataFrame]] = ([], [])
    for label, model in models.items():
        scores = folder / f"z_{label}.tsv"
        call("score", people, "--model", model, "-o", scores, "--adapt-controls", f"diagnosis == '{CONTROL}'",
             "--adapt-by", "site")
        for ratio in RATIOS:
            analysis, results = folder / f"analysis_{ratio}.toml", folder / f"{label}_{ratio}"
            analysis.write_text(ANALYSIS.format(ratio=ratio))
            call("analyse", people, "--zscores", scores, "--analysis", analysis, "-o", results)
            matched = (results / "group_matching.tsv").exists()
            for tables, file in zip(found, ("case_control", "region_differences")):
                tables.append(read_table(results / f"group_{file}.tsv").assign(model=label, ratio=ratio,
                                                                               matched=matched))
    return pd.concat(found[0]), pd.concat(found[1])


def call(*words: object) -> None:
    """A command of the model workbench, which must work."""
    code = normvol_model([str(word) for word in words])
    if code not in (exitcodes.OK, exitcodes.OMISSIONS):
        raise SystemExit(code)


def who(groups: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Who was compared."""
    yield "| group | sites | people | women | mean age (SD) | controls | women | mean age (SD) |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, table in groups.items():
        parts = []
        for people in (table[table["diagnosis"] != CONTROL], table[table["diagnosis"] == CONTROL]):
            women = int((people["sex"] == "female").sum())
            few = min(women, len(people) - women) < SMALLEST
            parts.append(f"{len(people)} | {'-' if few else women} | {people['age'].mean():.1f} "
                         f"({people['age'].std():.1f})")
        yield f"| {name} | {table['site'].nunique()} | {' | '.join(parts)} |"


def deviations(counts: pd.DataFrame, model: str = ELSEWHERE) -> Iterator[str]:
    """Number of deviations by group, against all controls of the sites and against matched ones."""
    yield "| group | controls | tail | people | controls | mean, people | mean, controls | IRR (95 % interval) | p |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in _rows(counts, model):
        yield (f"| {row['group']} | {'matched 1:1' if row['matched'] else 'all of the sites'} | {row['tail']} | "
               f"{row['n_group']} | {row['n_control']} | {row['mean_group']:.2f} | {row['mean_control']:.2f} | "
               f"{_ratio(row)} | {row['p']:.3f} |")


def compared(counts: pd.DataFrame) -> Iterator[str]:
    """The same ratios with both models, against all controls."""
    yield "| group | tail | trained without these sites | packaged model |"
    yield "|---|---|---|---|"
    pairs = zip(_rows(counts, ELSEWHERE), _rows(counts, PACKAGED), strict=True)
    yield from (f"| {one['group']} | {one['tail']} | {_ratio(one)} | {_ratio(other)} |"
                for one, other in pairs if not one["matched"])


def _rows(counts: pd.DataFrame, model: str) -> list[dict[str, object]]:
    kept = counts[(counts["model"] == model) & (counts["method"] == "maximum likelihood") & (counts["tail"] != "total")
                  & ((counts["ratio"] == 0) | counts["matched"])]
    return kept.to_dict("records")


def _ratio(row: Mapping[str, object]) -> str:
    return f"{row['irr']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def regional(regions: pd.DataFrame, model: str = ELSEWHERE) -> Iterator[str]:
    """Regions whose mean z differs after correction within the group, against all controls of the sites."""
    yield "| group | region | difference of mean z (95 % interval) | Cohen's d | q |"
    yield "|---|---|---|---|---|"
    kept = regions[(regions["model"] == model) & (regions["ratio"] == 0)]
    for name, part in kept.groupby("group", sort=False):
        found = part[part["q"] < 0.05].sort_values("p")
        yield from (f"| {name} | {display_name(row['region'])} | {row['difference']:.2f} ({row['difference_low']:.2f} "
                    f"to {row['difference_high']:.2f}) | {row['cohens_d']:.2f} | {row['q']:.3f} |"
                    for row in found.to_dict("records"))
        if found.empty:
            yield f"| {name} | none of {len(part)} | | | {part['q'].min():.2f} (smallest) |"


if __name__ == "__main__":
    main()
