"""A synthetic output dataset in the schema of docs/architecture.md, for the tests of the reports.

Nobody is in it: volumes are drawn from a made-up ageing curve per region.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from bids_app.bids.citation import MethodsFacts, methods_text
from bids_app.bids.group_files import group_file
from bids_app.regions import asymmetry_names, extended_regions, reference_regions
from bids_app.tables import write_json, write_tsv

FAN = {"p025": -1.96, "p05": -1.645, "p25": -0.674, "p50": 0.0, "p75": 0.674, "p95": 1.645, "p975": 1.96}
EXPECTED = {"mean": 2.05, "low": 0, "high": 8}
CENTILE_AGES = np.arange(18, 91, 2.0)


def _scale(region: str) -> float:
    return 1500.0 + 5500.0 * ((sum(map(ord, region)) * 7919) % 1000) / 1000


def expected_volume(region: str, age: np.ndarray | float) -> np.ndarray:
    """A made-up median in mm^3."""
    return _scale(region) * (1.06 - 0.0028 * (np.asarray(age, float) - 20) - 0.00002 * (np.asarray(age) - 45) ** 2)


def _centile(z: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return 100 * ndtr(z)


def _labels(z: np.ndarray) -> np.ndarray:
    return np.where(z <= -1.96, "infra", np.where(z >= 1.96, "supra", "none"))


def deviation_table(regions: tuple[str, ...], z: np.ndarray, age: float) -> pd.DataFrame:
    """The columns of ``desc-deviations`` for given z."""
    expected = np.array([float(expected_volume(region, age)) for region in regions])
    return pd.DataFrame(
        {
            "region": regions,
            "volume_mm3": expected * (1 + 0.09 * z),
            "expected_mm3": expected,
            "z": z,
            "z_se": 0.04 + 0.01 * np.abs(z),
            "centile": _centile(z),
            "deviation": _labels(z),
            "in_range": age < 85,
        }
    )


def summary(participant: str, session: str | None, age: float, sex: str, z: np.ndarray, **extra) -> dict:
    """The content of ``desc-summary``."""
    infra, supra = int((z <= -1.96).sum()), int((z >= 1.96).sum())
    content = {
        "participant_id": f"sub-{participant}",
        "session_id": f"ses-{session}" if session else None,
        "covariates": {
            "age": age,
            "sex": sex,
            "etiv_mm3": 1.48e6,
            "sources": {"age": "sub-01_sessions.tsv", "sex": "participants.tsv"},
            "notes": ["sex 'F' read as female"],
        },
        "counts": {
            "n_regions": len(z),
            "n_infra": infra,
            "n_supra": supra,
            "n_total": infra + supra,
            "expected": {"n_infra": EXPECTED, "n_supra": EXPECTED, "n_total": {"mean": 4.1, "low": 0, "high": 14}},
        },
        "quality": {
            "verdict": "warn" if infra > 8 else "pass",
            "reasons": ["61 surface holes, more than in 97.5 % of the training data"] if infra > 8 else [],
            "metrics": {
                "surface_holes": 61 if infra > 8 else 24,
                "brainseg_to_etiv": 0.742,
                "euler_number_lh": -34,
                "euler_number_rh": -40,
            },
        },
        "model": {
            "name": "open-calibrated",
            "version": "1.0.0",
            "sha256": "ab" * 32,
            "scoring": "own-sex",
            "adaptation": None,
        },
        "freesurfer": {"version": "7.4.1", "flavour": "freesurfer", "stream": "cross", "subject": f"sub-{participant}"},
        "inputs": {
            name: f"{index:02x}" * 32
            for index, name in enumerate(("stats/aseg.stats", "stats/lh.aparc.stats", "stats/rh.aparc.stats"))
        },
        "unscored": [{"region": "CSF", "reason": "the model does not hold this region"}],
        "warnings": ["WM hypointensities 6.2 mL: lesions may disturb the deep grey matter volumes"],
        "software": {"normvol": "0.1.0"},
        "fingerprint": "cd" * 32,
    }
    content.update(extra)
    return content


def write_scan(
    root: Path,
    participant: str,
    session: str | None,
    age: float,
    sex: str,
    z: np.ndarray,
    rng: np.random.Generator,
    **extra,
) -> None:
    """All files of one scan."""
    folder = root / f"sub-{participant}" / (f"ses-{session}/anat" if session else "anat")
    stem = f"sub-{participant}" + (f"_ses-{session}" if session else "")
    tables = {
        "deviations": (reference_regions(), z),
        "extended": (extended_regions(), rng.normal(size=len(extended_regions()))),
    }
    for desc, (regions, values) in tables.items():
        write_tsv(deviation_table(regions, values, age), folder / f"{stem}_desc-{desc}_morph.tsv")
    names = asymmetry_names()
    values = rng.normal(size=len(names))
    write_tsv(
        pd.DataFrame(
            {
                "region": names,
                "asymmetry_index": values * 0.03,
                "expected_index": 0.01,
                "z": values,
                "z_se": 0.05,
                "centile": _centile(values),
                "deviation": _labels(values),
                "in_range": True,
            }
        ),
        folder / f"{stem}_desc-asymmetry_morph.tsv",
    )
    write_json(summary(participant, session, age, sex, z, **extra), folder / f"{stem}_desc-summary_morph.json")


def write_centiles(root: Path, participant: str) -> None:
    """The fan of every region of one person."""
    rows = []
    for region in reference_regions() + extended_regions():
        middle = expected_volume(region, CENTILE_AGES)
        rows.append(
            pd.DataFrame(
                {"region": region, "age": CENTILE_AGES, **{name: middle * (1 + 0.09 * z) for name, z in FAN.items()}}
            )
        )
    write_tsv(pd.concat(rows), root / f"sub-{participant}/anat/sub-{participant}_desc-centiles_morph.tsv")


def write_change(root: Path, participant: str, visits: list[tuple[str, float, np.ndarray]]) -> None:
    """Change between consecutive visits."""
    rows = []
    for (first, age_first, z_first), (last, age_last, z_last) in [*pairwise(visits), (visits[0], visits[-1])]:
        years = age_last - age_first or float("nan")
        change = z_last - z_first
        se = np.full(len(change), 0.35)
        rows.append(
            pd.DataFrame(
                {
                    "region": reference_regions(),
                    "session_from": f"ses-{first}",
                    "session_to": f"ses-{last}",
                    "years": years,
                    "z_from": z_first,
                    "z_to": z_last,
                    "z_change": change,
                    "z_change_se": se,
                    "annual_z_change": change / years,
                    "reliable": np.abs(change) > 1.96 * se,
                }
            )
        )
    write_tsv(pd.concat(rows), root / f"sub-{participant}/anat/sub-{participant}_desc-change_morph.tsv")


def write_person(
    root: Path,
    participant: str = "01",
    sessions: tuple[str | None, ...] = ("1", "2", "3"),
    age: float = 51.2,
    sex: str = "female",
    burden: float = 0.6,
    seed: int = 1,
    years: float = 1.4,
    **extra,
) -> np.ndarray:
    """One person with all tables, visits `years` apart; returns z of the last visit."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-burden * 0.5, 1.0, len(reference_regions()))
    z[[1, 8]] -= 2.2 * burden
    visits = []
    for index, session in enumerate(sessions):
        z = z + (rng.normal(-0.12, 0.3, len(z)) if index else 0)
        visits.append((session, age + years * index, z))
        write_scan(root, participant, session, round(age + years * index, 2), sex, z, rng, **extra)
        name = f"sub-{participant}" + (f"_ses-{session}" if session else "")
        write_json(
            {
                "participant_id": f"sub-{participant}",
                "session_id": f"ses-{session}" if session else None,
                "status": "scored",
                "stage": "scored",
                "reason": None,
                "remedy": None,
                "run_uuid": "20260101-0",
            },
            root / f"logs/status/{name}.json",
        )
    write_centiles(root, participant)
    if len(sessions) > 1:
        write_change(root, participant, visits)
    return z


def write_root(root: Path) -> None:
    """What stands at the top of the output dataset."""
    write_json(
        {
            "Name": "normvol",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "normvol", "Version": "0.1.0"}],
        },
        root / "dataset_description.json",
    )
    card = {
        "name": "open-calibrated",
        "version": "1.0.0",
        "mode": "calibrated",
        "n": {"female": 1801, "male": 1737},
        "age_range": {"female": (3.5, 82.0), "male": (3.5, 88.0)},
        "sites": 97,
        "harmonisation": "ComBat, full",
        "citations": ("Korbmacher et al. 2025, doi:10.1101/2025.09.14.25335702",),
    }
    (root / "CITATION.md").write_text(methods_text(MethodsFacts("open-calibrated", card)), encoding="utf-8")
    write_json(
        {
            "name": "open-calibrated",
            "version": "1.0.0",
            "licence": "CC-BY-SA-3.0",
            "n_female": 1801,
            "n_male": 1737,
            "sites": ["site A", "site B"],
            "must_not_be_used_for": "decisions about a person's care",
        },
        root / "model_open-calibrated.json",
    )


def write_group(root: Path, n_people: int = 40, seed: int = 7, people: bool = False) -> pd.DataFrame:
    """The group tables of `n_people` people in two groups; their own files too when `people`."""
    rng = np.random.default_rng(seed)
    regions = reference_regions()
    keys = pd.DataFrame({"participant_id": [f"sub-{i + 1:03d}" for i in range(n_people)]})
    keys["session_id"] = "ses-1"
    keys["group"] = np.where(np.arange(n_people) % 2, "patient", "control")
    keys["site"] = np.array(["north", "south", "west"])[np.arange(n_people) % 3]
    patient = (keys["group"] == "patient").to_numpy()
    z = rng.normal(size=(n_people, len(regions))) - 0.5 * patient[:, None] * (1 + (np.arange(len(regions)) < 14))
    z += rng.normal(0, 0.45, (n_people, 1))
    infra, supra = (z <= -1.96).sum(1), (z >= 1.96).sum(1)
    ages = rng.uniform(20, 75, n_people).round(1)
    deviations = keys.assign(
        age=ages,
        sex=np.where(rng.random(n_people) < 0.6, "female", "male"),
        etiv_mm3=rng.normal(1.5e6, 1.3e5, n_people).round(),
        n_infra=infra,
        n_supra=supra,
        n_total=infra + supra,
        n_regions=len(regions),
        quality=np.where(rng.random(n_people) < 0.1, "warn", "pass"),
        fs_version="7.4.1",
        model="open-calibrated",
    )
    write_tsv(deviations, root / "group_deviations.tsv")
    write_tsv(
        pd.concat([keys[["participant_id", "session_id"]], pd.DataFrame(z, columns=list(regions))], axis=1),
        root / "group_zscores.tsv",
    )
    _write_flow(root, keys)
    _write_descriptions(root, deviations, z)
    _write_quality(root, deviations, rng)
    _write_analyses(root, regions, rng)
    _write_adaptation(root, regions, rng)
    if people:
        for index, label in enumerate(keys["participant_id"]):
            write_scan(root, label[4:], "1", float(ages[index]), deviations["sex"][index], z[index], rng)
            write_centiles(root, label[4:])
    return deviations


def _write_flow(root: Path, keys: pd.DataFrame) -> None:
    n = len(keys)
    left_out = pd.DataFrame(
        [
            {
                "participant_id": "sub-901",
                "session_id": "ses-1",
                "status": "omitted",
                "stage": "complete",
                "reason": "the FreeSurfer tree has no stats/aseg.stats",
                "remedy": "run recon-all again",
            },
            {
                "participant_id": "sub-902",
                "session_id": "ses-1",
                "status": "omitted",
                "stage": "covariates",
                "reason": "age is missing in participants.tsv",
                "remedy": "add the age and run again",
            },
            {
                "participant_id": "sub-903",
                "session_id": "ses-1",
                "status": "failed",
                "stage": "scored",
                "reason": "damaged file <b>lh.aparc.stats</b>",
                "remedy": "restore the file",
            },
        ]
    )
    scored = keys[["participant_id", "session_id"]].assign(
        status="scored", stage="scored", reason=np.nan, remedy=np.nan
    )
    write_tsv(pd.concat([scored, left_out]), root / "group_inclusion.tsv")
    titles = {
        "found": "Scans found",
        "complete": "FreeSurfer complete",
        "covariates": "Age and sex known",
        "in_range": "Inside the model's range",
        "scored": "Scored",
    }
    lost = [0, 1, 1, 0, 1]
    left = n + 3 - np.cumsum(lost)
    write_tsv(
        pd.DataFrame(
            {
                "step": list(titles),
                "title": list(titles.values()),
                "n_participants": left,
                "n_scans": left,
                "n_left_out": lost,
            }
        ),
        root / "group" / "group_flow.tsv",
    )


def _write_descriptions(root: Path, deviations: pd.DataFrame, z: np.ndarray) -> None:
    groups = {
        "all": np.ones(len(deviations), bool),
        **{name: (deviations["group"] == name).to_numpy() for name in ("control", "patient")},
    }
    cohort, counts, prevalence, sites = [], [], [], []
    for name, rows in groups.items():
        part = deviations[rows]
        cohort.append(
            {
                "group": name,
                "n_participants": len(part),
                "n_scans": len(part),
                "n_female": int((part["sex"] == "female").sum()),
                "age_mean": part["age"].mean(),
                "age_sd": part["age"].std(),
                "age_min": part["age"].min(),
                "age_max": part["age"].max(),
                "etiv_mean_ml": part["etiv_mm3"].mean() / 1000,
                "etiv_sd_ml": part["etiv_mm3"].std() / 1000,
            }
        )
        for tail in ("infra", "supra", "total"):
            values = part[f"n_{tail}"]
            counts.append(
                {
                    "group": name,
                    "tail": tail,
                    "n_scans": len(part),
                    "mean": values.mean(),
                    "sd": values.std(),
                    "median": values.median(),
                    "q25": values.quantile(0.25),
                    "q75": values.quantile(0.75),
                    "max": values.max(),
                    "expected_mean": 2.05,
                    "expected_low": 1.6,
                    "expected_high": 2.5,
                }
            )
        share_low, share_high = (z[rows] <= -1.96).mean(0), (z[rows] >= 1.96).mean(0)
        prevalence.append(
            pd.DataFrame(
                {
                    "region": reference_regions(),
                    "group": name,
                    "n": len(part),
                    "n_infra": (z[rows] <= -1.96).sum(0),
                    "share_infra": share_low,
                    "low_infra": share_low * 0.6,
                    "high_infra": np.minimum(1, share_low * 1.5),
                    "n_supra": (z[rows] >= 1.96).sum(0),
                    "share_supra": share_high,
                    "low_supra": share_high * 0.6,
                    "high_supra": share_high * 1.5,
                }
            )
        )
    for site, part in deviations.groupby("site"):
        values = z[part.index]
        sites.append(
            {
                "site": site,
                "fs_version": "7.4.1",
                "n_scans": len(part),
                "mean_z": values.mean(),
                "sd_z": values.std(),
                "mean_abs_shift": np.abs(values.mean(0)).mean(),
                "mean_n_infra": part["n_infra"].mean(),
            }
        )
    write_tsv(pd.DataFrame(cohort), root / "group" / "group_cohort.tsv")
    write_tsv(pd.DataFrame(counts), root / "group" / "group_counts.tsv")
    write_tsv(pd.concat(prevalence), root / "group" / "group_prevalence.tsv")
    write_tsv(pd.DataFrame(sites), root / "group" / "group_sites.tsv")


def _write_quality(root: Path, deviations: pd.DataFrame, rng: np.random.Generator) -> None:
    parts = []
    for metric, mean, sd in (("surface_holes", 30, 12), ("brainseg_to_etiv", 0.75, 0.03), ("etiv_mm3", 1.5e6, 1.3e5)):
        values = rng.normal(mean, sd, len(deviations))
        parts.append(
            deviations[["participant_id", "session_id"]].assign(
                metric=metric,
                value=values,
                low=mean - 2.5 * sd,
                high=mean + 2.5 * sd,
                outlier=np.abs(values - mean) > 2.5 * sd,
                verdict=deviations["quality"],
            )
        )
    write_tsv(pd.concat(parts), root / "group" / "group_quality.tsv")


def _analysis(root: Path, name: str, table: pd.DataFrame, title: str, sentences: list[str], figure: dict) -> None:
    dictionary = {column: {"Description": f"{column} of the analysis"} for column in table}
    ours = {"Title": title, "Sentences": sentences, "Methods": "As described in the documentation.", "Figure": figure}
    write_json({**dictionary, **ours}, group_file(root, name, ".json"))
    write_tsv(table, group_file(root, name))


def _write_adaptation(root: Path, regions: tuple[str, ...], rng: np.random.Generator) -> None:
    shift = rng.normal(0, 0.4, len(regions))
    parts = [
        pd.DataFrame(
            {
                "scanner": scanner,
                "region": regions,
                "n": 9,
                "mean_z": shift * 1.2,
                "shift": shift,
                "se": 0.2,
                "scale": 1.0,
                "site_sd": 0.4,
            }
        )
        for scanner in ("north", "south.a")
    ]
    write_tsv(pd.concat(parts), root / "group" / "group_adaptation.tsv")
    level = {"people": ["sub-001"], "n_scans": 9, "age_range": [20.1, 61.0], "sexes": {"female": 5, "male": 4}}
    write_json(
        {
            "format": "normvol-site-adaptation",
            "model": "open-calibrated",
            "by": "site",
            "levels": {"north": level, "south.a": level},
        },
        root / "adaptation.json",
    )


def _write_analyses(root: Path, regions: tuple[str, ...], rng: np.random.Generator) -> None:
    beta = rng.normal(-0.1, 0.08, len(regions))
    table = pd.DataFrame(
        {
            "region": regions,
            "beta": beta,
            "ci_low": beta - 0.1,
            "ci_high": beta + 0.1,
            "p_fdr": rng.uniform(0, 0.4, len(regions)),
        }
    )
    _analysis(
        root,
        "associations",
        table,
        "Regional deviations and EDSS",
        ["A lower thalamic z went with a higher EDSS (beta -0.21)."],
        {
            "kind": "forest",
            "label": "region",
            "estimate": "beta",
            "low": "ci_low",
            "high": "ci_high",
            "p": "p_fdr",
            "xlabel": "standardised beta",
        },
    )
    _analysis(
        root,
        "zdifference",
        table.rename(columns={"beta": "mean_difference"}),
        "Mean difference in z",
        ["Patients had lower z in most regions."],
        {"kind": "map", "value": "mean_difference", "scale": "diverging", "xlabel": "mean difference in z"},
    )
    times = np.arange(0, 12.5, 0.5)
    curves = [
        pd.DataFrame(
            {
                "group": group,
                "time": times,
                "survival": np.exp(-rate * times),
                "ci_low": np.exp(-rate * times * 1.3),
                "ci_high": np.exp(-rate * times * 0.75),
                "n_at_risk": np.linspace(120, 20, len(times)).astype(int),
            }
        )
        for group, rate in (("fewer than 5", 0.05), ("5 or more", 0.11))
    ]
    _analysis(
        root,
        "survival",
        pd.concat(curves),
        "Time to confirmed progression",
        ["People with 5 or more deviations progressed earlier (hazard ratio 2.1)."],
        {
            "kind": "km",
            "time": "time",
            "survival": "survival",
            "low": "ci_low",
            "high": "ci_high",
            "group": "group",
            "at_risk": "n_at_risk",
            "xlabel": "years since first visit",
        },
    )
    _analysis(
        root,
        "matching",
        pd.DataFrame(
            {"variable": ["age", "sex", "etiv"], "smd_before": [0.42, -0.2, 0.11], "smd_after": [0.03, 0.02, -0.05]}
        ),
        "Balance of the matched controls",
        ["362 pairs were matched."],
        {"kind": "love", "label": "variable", "before": "smd_before", "after": "smd_after"},
    )
    lines = [
        pd.DataFrame(
            {
                "group": group,
                "years": times,
                "edss": 2 + slope * times,
                "ci_low": 1.7 + slope * times,
                "ci_high": 2.3 + slope * times,
            }
        )
        for group, slope in (("low", 0.05), ("high", 0.16))
    ]
    _analysis(
        root,
        "trajectories",
        pd.concat(lines),
        "EDSS over time",
        ["Disability rose faster in the high-burden group."],
        {
            "kind": "trajectory",
            "x": "years",
            "y": "edss",
            "low": "ci_low",
            "high": "ci_high",
            "group": "group",
            "xlabel": "years since first visit",
            "ylabel": "EDSS",
        },
    )
    _analysis(
        root,
        "casecontrol",
        pd.DataFrame({"term": ["group"], "irr": [2.7], "low": [2.21], "high": [3.3]}),
        "Number of deviations, patients against controls",
        ["Patients had 2.70 times as many deviations."],
        {"kind": "table"},
    )
