"""Real patients against the healthy people of their own sites: the tables of docs/real-patients.md.

    python benchmarks/real_patients.py HEALTHY.tsv.gz PATIENTS.tsv.gz -o OUT --shuffles 499 --seed 1

For each diagnosis the patients with an empty ``qc_flag`` and the healthy people of their sites are scored with
``normvol-model score`` (adapted by site) and compared with ``normvol-model analyse``, with a model that was trained
without these sites and with the packaged model, whose training data hold the controls. With ``--shuffles`` the
comparison is repeated with labels shuffled within sites, site adaptation included. The tables that are printed hold
sums over people only: no group or site of fewer than 5 people, and no number of people below 5.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.group_files import group_file
from bids_app.cli import exitcodes
from bids_app.cli.model import main as normvol_model
from bids_app.clinical.analyses.case_control import compare_counts
from bids_app.clinical.analyses.region_differences import region_differences
from bids_app.clinical.deviations import count_table
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.normative.registry import load_model
from bids_app.regions import display_name, reference_regions
from bids_app.tables import read_table, write_tsv
from bids_app.workbench.table_input import read_model_table

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
FILES = ("case_control", "region_differences", "burden")
KEYS = {"diagnosis", "model", "ratio"}
PEOPLE = "people.tsv"
TAILS = {"infra": "smaller", "supra": "larger"}
# controls per person; 0: all controls of the sites
RATIOS = (0, 1)


def main() -> None:
    """Select, train, score, analyse, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("healthy", type=Path)
    parser.add_argument("patients", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--shuffles", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    healthy, everyone = read_table(arguments.healthy), read_table(arguments.patients).replace({"diagnosis": SAME})
    healthy, patients = usable(healthy), usable(everyone)
    output = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    write_tsv(healthy[~healthy["site"].isin(patients["site"])], output / "healthy_elsewhere.tsv")
    call("train", output / "healthy_elsewhere.tsv", "-o", output / f"{ELSEWHERE}.json")
    models = {ELSEWHERE: output / f"{ELSEWHERE}.json", PACKAGED: PACKAGED}
    groups = dict(cohorts(healthy, patients))
    found = {name: analyse(name, table, output, models) for name, table in groups.items()}
    counts, regions, burden = (pd.concat([parts[file] for parts in found.values()]) for file in FILES)
    rng = np.random.default_rng(arguments.seed)
    chance = {
        name: pd.DataFrame(shuffled(folder_of(name, output) / PEOPLE, models[ELSEWHERE], arguments.shuffles, rng))
        for name in groups
    }
    for table in (
        selection(everyone, patients, groups),
        sites(groups),
        who(groups),
        deviations(counts, chance),
        above(burden),
        matched(counts),
        compared(counts),
        regional(regions),
        alarms(chance),
    ):
        print("\n".join(table), end="\n\n")


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """People whose FreeSurfer output passed."""
    return table[table["qc_flag"].isna()]


def cohorts(healthy: pd.DataFrame, patients: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each diagnosis with the healthy people of its sites; sites with too few of either are left out."""
    for name, people in patients.groupby("diagnosis", sort=True):
        both = [
            site for site, part in people.groupby("site") if min(len(part), (healthy["site"] == site).sum()) >= SMALLEST
        ]
        if both:
            yield str(name), pd.concat([healthy[healthy["site"].isin(both)], people[people["site"].isin(both)]])


def folder_of(name: str, output: Path) -> Path:
    """Where the files of a diagnosis are."""
    return output / "".join(letter if letter.isalnum() else "-" for letter in name)


def analyse(name: str, table: pd.DataFrame, output: Path, models: Mapping[str, str | Path]) -> dict[str, pd.DataFrame]:
    """Score and compare one diagnosis with every model: the tables `FILES`, with the diagnosis, model and ratio."""
    folder = folder_of(name, output)
    people = write_tsv(table, folder / PEOPLE)
    found: dict[str, list[pd.DataFrame]] = {file: [] for file in FILES}
    for label, model in models.items():
        scores = folder / f"z_{label}.tsv"
        call(
            "score",
            people,
            "--model",
            model,
            "-o",
            scores,
            "--adapt-controls",
            f"diagnosis == '{CONTROL}'",
            "--adapt-by",
            "site",
        )
        for ratio in RATIOS:
            analysis, results = folder / f"analysis_{ratio}.toml", folder / f"{label}_{ratio}"
            analysis.write_text(ANALYSIS.format(ratio=ratio))
            call("analyse", people, "--zscores", scores, "--analysis", analysis, "-o", results)
            matched = (results / "group" / "group_matching.tsv").exists()
            for file, tables in found.items():
                tables.append(
                    read_table(group_file(results, file)).assign(
                        diagnosis=name, model=label, ratio=ratio, matched=matched
                    )
                )
    return {file: pd.concat(tables) for file, tables in found.items()}


def shuffled(
    people: Path, model_file: str | Path, shuffles: int, rng: np.random.Generator
) -> Iterator[dict[str, float]]:
    """Ratio and p by tail, and smallest q of a region: labels shuffled within sites, adapted to shuffled controls."""
    model, table = load_model(model_file), read_model_table(people).data
    for _ in range(shuffles):
        labels = table.groupby("site")["diagnosis"].transform(lambda part: rng.permutation(part.to_numpy()))
        data = table.assign(diagnosis=labels)
        adaptation = SiteAdaptation.fit(model, data[labels == CONTROL], "site")
        found = model.deviations(data, adaptation)
        z = pd.DataFrame(found.z, columns=list(found.regions))[list(reference_regions())]
        group = str(labels[labels != CONTROL].iloc[0])
        counts = first_choice(compare_counts(count_table(z).assign(group=labels.to_numpy()), group, CONTROL))
        result = {"q": float(region_differences(z, labels.reset_index(drop=True), CONTROL)["q"].min())}
        for row in counts.to_dict("records"):
            result |= {f"{row['tail']} estimate": row["estimate"], f"{row['tail']} p": row["p"]}
        yield result


def first_choice(counts: pd.DataFrame) -> pd.DataFrame:
    """The rows that the report's sentences quote: robust where there is one, else maximum likelihood."""
    return counts[counts["method"] != "theta = 1"].drop_duplicates(["tail", *KEYS & set(counts)], keep="last")


def call(*words: object) -> None:
    """A command of the model workbench, which must work."""
    code = normvol_model([str(word) for word in words])
    if code not in (exitcodes.OK, exitcodes.OMISSIONS):
        raise SystemExit(code)


def selection(everyone: pd.DataFrame, patients: pd.DataFrame, groups: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """How many people of each diagnosis there are, passed and are compared."""
    yield from header("diagnosis", "sites", "people", "passed", "compared")
    for name, part in everyone.groupby("diagnosis", sort=True):
        compared = int((groups[name]["diagnosis"] != CONTROL).sum()) if name in groups else 0
        yield row_of(name, part["site"].nunique(), len(part), int((patients["diagnosis"] == name).sum()), compared)


def sites(groups: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The sites of each comparison."""
    yield from header("group", "dataset", "FreeSurfer", "people", "controls")
    for name, table in groups.items():
        for site, part in table.groupby("site", sort=True):
            patients = int((part["diagnosis"] != CONTROL).sum())
            yield row_of(name, site, "/".join(sorted(set(part["fs_version"]))), patients, len(part) - patients)


def who(groups: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Who was compared."""
    yield from header("group", "people", "women", "mean age (SD)", "controls", "women", "mean age (SD)")
    for name, table in groups.items():
        cells: list[object] = []
        for people in (table[table["diagnosis"] != CONTROL], table[table["diagnosis"] == CONTROL]):
            women = int((people["sex"] == "female").sum())
            few = min(women, len(people) - women) < SMALLEST
            cells += [len(people), "-" if few else women, f"{people['age'].mean():.1f} ({people['age'].std():.1f})"]
        yield row_of(name, *cells)


def deviations(counts: pd.DataFrame, chance: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Number of deviations against all controls of the sites."""
    yield from header(
        "group",
        "deviations",
        "people",
        "controls",
        "mean, people",
        "mean, controls",
        "rate ratio (95 % interval)",
        "p",
        "p, shuffled",
    )
    for row in rows_of(counts):
        yield row_of(
            row["diagnosis"],
            TAILS[row["tail"]],
            row["n_group"],
            row["n_control"],
            f"{row['mean_group']:.2f}",
            f"{row['mean_control']:.2f}",
            ratio_of(row),
            f"{row['p']:.3f}",
            by_chance(row, chance[row["diagnosis"]]),
        )


def by_chance(row: Mapping[str, float], chance: pd.DataFrame) -> str:
    """Share of shuffles, the data themselves among them, with at least as extreme a ratio."""
    if chance.empty:
        return "-"
    extreme = chance[f"{row['tail']} estimate"].abs() >= abs(row["estimate"]) - 1e-9
    return f"{(1 + extreme.sum()) / (1 + len(chance)):.3f}"


def above(burden: pd.DataFrame) -> Iterator[str]:
    """Expected number of deviations, and people with more than 97.5 % of healthy people have."""
    yield from header("group", "deviations", "mean expected (central 95 %)", "people above", "controls above")
    kept = burden[(burden["model"] == ELSEWHERE) & (burden["ratio"] == 0) & (burden["region_set"] == "all")]
    for (name, tail), part in kept.groupby(["diagnosis", "tail"], sort=True):
        if tail in TAILS:
            control = part["group"] == CONTROL
            cells = [share_of(rows.iloc[0]) for rows in (part[~control], part[control])]
            first = part.iloc[0]
            yield row_of(
                name,
                TAILS[tail],
                f"{first['expected']:.2f} ({first['expected_low']:.0f} to {first['expected_high']:.0f})",
                *cells,
            )


def share_of(row: pd.Series) -> str:
    people, share = round(row["share_above"] * row["n"]), 100 * row["share_above"]
    return f"fewer than {SMALLEST}" if people < SMALLEST else f"{people} of {row['n']:.0f} ({share:.0f} %)"


def matched(counts: pd.DataFrame) -> Iterator[str]:
    """The same ratios against controls matched 1:1."""
    yield from header(
        "group", "deviations", "pairs", "mean, people", "mean, controls", "rate ratio (95 % interval)", "p"
    )
    for row in rows_of(counts, ratio=1):
        if row["matched"]:
            yield row_of(
                row["diagnosis"],
                TAILS[row["tail"]],
                row["n_group"],
                f"{row['mean_group']:.2f}",
                f"{row['mean_control']:.2f}",
                ratio_of(row),
                f"{row['p']:.3f}",
            )


def compared(counts: pd.DataFrame) -> Iterator[str]:
    """The same ratios with both models, against all controls."""
    yield from header("group", "deviations", "model without these sites", PACKAGED)
    for one, other in zip(rows_of(counts), rows_of(counts, PACKAGED), strict=True):
        yield row_of(one["diagnosis"], TAILS[one["tail"]], ratio_of(one), ratio_of(other))


def regional(regions: pd.DataFrame) -> Iterator[str]:
    """Regions whose mean z differs after correction within the group, against all controls of the sites."""
    yield from header("group", "region", "difference of mean z (95 % interval)", "Cohen's d", "q")
    kept = regions[(regions["model"] == ELSEWHERE) & (regions["ratio"] == 0)]
    for name, part in kept.groupby("diagnosis", sort=True):
        found = part[part["q"] < 0.05].sort_values("p")
        for row in found.to_dict("records"):
            yield row_of(
                name,
                display_name(row["region"]),
                f"{row['difference']:.2f} ({row['difference_low']:.2f} to {row['difference_high']:.2f})",
                f"{row['cohens_d']:.2f}",
                f"{row['q']:.4f}",
            )
        if found.empty:
            yield row_of(name, f"none of {len(part)}", "", "", f"{part['q'].min():.2f} (smallest)")


def alarms(chance: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """How often shuffled labels give what looks like an effect."""
    yield from header("group", "shuffles", *(f"p < 0.05, {word}" for word in TAILS.values()), "a region with q < 0.05")
    for name, found in chance.items():
        if len(found):
            shares = [(found[column] < 0.05).mean() for column in (*(f"{tail} p" for tail in TAILS), "q")]
            yield row_of(name, len(found), *(f"{100 * share:.1f} %" for share in shares))


def rows_of(counts: pd.DataFrame, model: str = ELSEWHERE, ratio: int = 0) -> list[dict[str, Any]]:
    kept = counts[(counts["model"] == model) & (counts["ratio"] == ratio) & counts["tail"].isin(TAILS)]
    return first_choice(kept).to_dict("records")


def ratio_of(row: Mapping[str, float]) -> str:
    return f"{row['irr']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def header(*cells: str) -> tuple[str, str]:
    return row_of(*cells), "|" + "---|" * len(cells)


def row_of(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |".replace("|  |", "| |").replace("|  |", "| |")


if __name__ == "__main__":
    main()
