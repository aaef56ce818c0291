"""Train the packaged models from a table of healthy people and write them to ``bids_app/data/models``.

    python scripts/train_default_models.py TABLE [--surface TABLE] [--date 2026-11-26] [--only open-calibrated]

TABLE (TSV, gzipped or not) has one row per scan: ``participant_id site source licence fs_version age sex qc_flag
EstimatedTotalIntraCranialVol`` and FreeSurfer's regions in mm^3. Rows whose ``qc_flag`` is not empty are left out.
--surface is a table of cortical thickness (mm) and area (mm^2) of the same people, for the models of these; without it
they are not trained. The same tables and date give the same bytes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.normative import training
from bids_app.normative.card import RESEARCH_ONLY, ModelCard
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.engines.blr import pack
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.engines.pcntoolkit_training import PCNtoolkitOptions, train_pcntoolkit
from bids_app.normative.parameters import RegionFit
from bids_app.normative.training_data import prepare
from bids_app.regions import VOLUME, add_asymmetry, summed_pairs
from bids_app.tables import read_table

MODELS = Path(__file__).resolve().parents[1] / "bids_app" / "data" / "models"

SOURCES: Mapping[str, Mapping[str, str]] = {
    "OpenNeuro": {
        "url": "https://openneuro.org",
        "citation": "Markiewicz et al. 2021, doi:10.7554/eLife.71774; AOMIC-PIOP2: Snoek et al. 2021, "
        "doi:10.1038/s41597-021-00870-6",
    },
    "IXI": {
        "url": "https://brain-development.org/ixi-dataset/",
        "citation": "IXI dataset, Imperial College London, CC BY-SA 3.0",
    },
}

COMMON: dict[str, Any] = {
    "version": "1.0.0",
    "licence": "CC-BY-SA-4.0",
    "intended_use": "Research on regional brain volumes of groups and individuals of about 18 to 70 years with "
    "T1-weighted MRI processed by FreeSurfer 6 or 7, best with a site adaptation from local "
    "healthy people.",
    "not_for": (
        RESEARCH_ONLY,
        "Not for decisions about the care of a person.",
        "Not for FreeSurfer 5 (putamen about 23 % larger), FreeSurfer 8, FastSurfer or other segmentation software.",
        "Not for populations that the training data do not hold; ancestry and socio-economic status of the "
        "training people are not recorded.",
    ),
    "limitations": (
        "Seven people in ten are 18 to 30 years old. Beyond 50 years the data come mainly from two London "
        "scanners (IXI). Beyond 70 years there are 70 people: held out, they have 4.7 % of z below -1.96 in "
        "open-calibrated, and in open-reference 2.7 %, with a mean z of -0.1.",
        "FreeSurfer version and site are confounded: every site was processed with one version.",
        "'Healthy' was stated by the study for some sites and assumed for others.",
        "Without site adaptation a new scanner shifts single regions by about 0.4 to 0.5 SD.",
    ),
}

SURFACE_LIMITATIONS = (
    *COMMON["limitations"][:3],
    "The accuracy of surfaces was not looked at person by person; four people whose thickness is beyond 6 SD in ten "
    "regions or more were left out.",
)
CALIBRATED_CITATIONS = (
    "Royston & Altman 1994, doi:10.2307/2986270",
    "Jones & Pewsey 2009, doi:10.1093/biomet/asp053",
    "Rigby & Stasinopoulos 2005, doi:10.1111/j.1467-9876.2005.00510.x",
    "Johnson et al. 2007, doi:10.1093/biostatistics/kxj037",
    "DerSimonian & Laird 1986, doi:10.1016/0197-2456(86)90046-2",
)

MODEL_CARDS: dict[str, dict[str, Any]] = {
    "open-reference": {
        "mode": "reference",
        "harmonise": "mean_only",
        "version": "1.1.0",
        "title": "Open reference (method of the source study)",
        "summary": "Multivariable fractional polynomials of 82 regional volumes by sex, with a constant Gaussian "
        "residual, as in the source study, trained on openly licensed data.",
        "limitations": (
            *COMMON["limitations"],
            "z rises with head size within a site: by 0.09 to 0.20 per 100 mL of intracranial volume in people held "
            "out, so that large heads look too large and small ones too small.",
            "Over 55 years too few healthy people lie low: 1.2 % below -1.96 (1.8 % above 1.96), so that atrophy is "
            "missed there.",
        ),
        "citations": (
            "Korbmacher et al. 2025, doi:10.1101/2025.09.14.25335702 (method)",
            "Sauerbrei & Royston 1999, doi:10.1111/1467-985X.00122",
            "Ge et al. 2024, doi:10.1016/S2589-7500(23)00250-9",
        ),
    },
    "open-calibrated": {
        "mode": "calibrated",
        "harmonise": "location",
        "version": "2.0.0",
        "title": "Open calibrated (location, scale and shape)",
        "summary": "Fractional polynomials of mean and standard deviation with sinh-arcsinh residuals for 82 "
        "reference regions, 29 further volumes and 48 asymmetry indices by sex, trained on openly "
        "licensed data.",
        "citations": (
            "Korbmacher et al. 2025, doi:10.1101/2025.09.14.25335702 (study that this follows)",
            *CALIBRATED_CITATIONS,
        ),
    },
    "open-thickness": {
        "mode": "calibrated",
        "harmonise": "location",
        "version": "1.1.0",
        "measure": "thickness",
        "title": "Open cortical thickness (location, scale and shape)",
        "summary": "Fractional polynomials of mean and standard deviation with sinh-arcsinh residuals for the mean "
        "thickness of 68 cortical regions and of both hemispheres by sex, trained on openly licensed data.",
        "intended_use": COMMON["intended_use"].replace("regional brain volumes", "cortical thickness"),
        "limitations": (
            *SURFACE_LIMITATIONS,
            "Thickness differs between scanners by 0.6 SD (volumes: 0.4 SD): without local healthy people it says "
            "little about single scans.",
            "Intracranial volume is no covariate: held out, it lowered the mean standardised log loss by 0.003 only.",
        ),
        "citations": CALIBRATED_CITATIONS,
    },
    "open-sums": {
        "mode": "calibrated",
        "harmonise": "location",
        "version": "1.1.0",
        "regions": tuple(summed_pairs()),
        "title": "Open sums of left and right (location, scale and shape)",
        "summary": "Fractional polynomials of mean and standard deviation with sinh-arcsinh residuals for the volumes "
        "of left and right together of the thalamus, six other deep structures and the cerebellar cortex by sex, "
        "trained on openly licensed data. For use beside open-calibrated: --model open-calibrated+open-sums.",
        "citations": CALIBRATED_CITATIONS,
    },
    "open-blr": {
        "title": "Open second opinion (PCNtoolkit's Bayesian linear regression)",
        "summary": "Warped Bayesian linear regression of 82 regional volumes, B-spline of age in mean and variance, "
        "sex and site as batch effects of the mean, in PCNtoolkit's own format, trained on openly licensed data.",
        "limitations": (
            "Seven people in ten are 18 to 30 years old. Beyond 50 years the data come mainly from two London scanners "
            "(IXI); beyond 70 years there are 70 people.",
            *COMMON["limitations"][1:],
            "Batch effects move the mean alone: with site in the variance too, people held out were predicted worse "
            "(mean standardised log loss of four regions -0.397 against -0.375).",
            "Outside 3.5 to 88 years the B-spline runs away.",
        ),
        "citations": (),
    },
    "open-area": {
        "mode": "calibrated",
        "harmonise": "location",
        "version": "1.1.0",
        "measure": "area",
        "title": "Open surface area (location, scale and shape)",
        "summary": "Fractional polynomials of mean and standard deviation with sinh-arcsinh residuals for the area of "
        "the white surface of 68 cortical regions and of both hemispheres by sex, trained on openly licensed data.",
        "intended_use": COMMON["intended_use"].replace("regional brain volumes", "cortical surface area"),
        "limitations": (*SURFACE_LIMITATIONS, COMMON["limitations"][3]),
        "citations": CALIBRATED_CITATIONS,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--surface", type=Path)
    parser.add_argument("--date", default="2026-11-26")
    parser.add_argument("--only", choices=sorted(MODEL_CARDS))
    parser.add_argument("--output", type=Path, default=MODELS)
    options = parser.parse_args()
    table = read_table(options.table)
    table = table[table["qc_flag"].isna()].reset_index(drop=True)
    if options.surface:
        table = table.merge(read_table(options.surface), on=["participant_id", "site"], how="left")
    for name in [options.only] if options.only else MODEL_CARDS:
        if options.surface or "measure" not in MODEL_CARDS[name]:
            train(table, name, options.date, options.output)


def train(table: pd.DataFrame, name: str, date: str, folder: Path) -> None:
    """Train one packaged model and write it."""
    words = dict(MODEL_CARDS[name])
    if name == "open-blr":
        return train_blr(table, {**COMMON, **words, "date": date}, folder)
    recipe = {option: words.pop(option) for option in ("mode", "harmonise")}
    sums = words.pop("regions", ())
    regions = sums or training.default_regions(add_asymmetry(table), recipe["mode"], words.pop("measure", VOLUME))
    words = {**COMMON, **words, "date": date}
    trained = training.train(
        table, name=name, regions=regions, refit=True, card=words, progress=print, reference_counts=not sums, **recipe
    )
    model = replace(short_roots(trained.model), card=with_sources(trained.model.card, table))
    path = model_file.save(model, folder / f"{name}.json")
    print("\n".join(trained.report.sentences()))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")


def short_roots(model: NativeModel) -> NativeModel:
    """The model with four digits of its standard errors, which refits know to a tenth."""

    def short(fit: Any) -> Any:
        return replace(fit, root=tuple(float(f"{value:.3e}") for value in fit.root))

    def region_fit(fit: RegionFit) -> RegionFit:
        return replace(short(fit), sigma=None if fit.sigma is None else short(fit.sigma))

    regions = (
        replace(region, fits={sex: region_fit(fit) for sex, fit in region.fits.items()})
        for region in model.region_models
    )
    return replace(model, region_models=tuple(regions))


def train_blr(table: pd.DataFrame, words: dict[str, Any], folder: Path) -> None:
    """Train PCNtoolkit's model on the same people, trim it and write it as a zipped folder."""
    regions = training.default_regions(table, "reference")
    data = prepare(table, regions, logarithms=False, min_per_site=2, min_per_sex=30)
    card = with_sources(training.make_card(data, "open-blr", "calibrated", "none", words), table)
    options = PCNtoolkitOptions(site_effect=True, effects_in_variance=False, exact_gradient=True)
    with tempfile.TemporaryDirectory() as scratch:
        train_pcntoolkit(data.table, Path(scratch) / "open-blr", regions, card, options, print)
        path = pack(Path(scratch) / "open-blr", folder / "open-blr.zip")
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")


def with_sources(card: ModelCard, table: pd.DataFrame) -> ModelCard:
    """The card with addresses, citations and names of the datasets behind each source."""
    training_ = tuple(
        {
            **entry,
            **SOURCES.get(entry["source"], {}),
            "datasets": sorted(table.loc[table["source"] == entry["source"], "site"].unique()),
        }
        for entry in card.training
    )
    return replace(card, training=training_)


if __name__ == "__main__":
    main()
