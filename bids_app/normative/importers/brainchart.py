"""BrainChart (Bethlehem et al. 2022): ``FIT_<phenotype>`` files, R lists of class ``ParamObj``, one per phenotype."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.errors import ModelError, UsageError
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import NO_DATE
from bids_app.normative.engines.generalised_gamma import LEVELS, MEAN_LEVEL, GammaFit, GammaModel, Predictor
from bids_app.normative.engines.generalised_gamma_file import with_digest
from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.importers.rfile import RObject, read_r_file
from bids_app.regions import MEAN_PREFIX, TOTAL_CEREBRAL, mean_name, names, pairs

SOURCE = "https://github.com/brainchart/Lifespan (folder Share/RefittedModels)"
LICENCE = "CC-BY-NC-ND-4.0"
CITATION = (
    "Bethlehem RAI, Seidlitz J, White SR, et al. Brain charts for the human lifespan. Nature 2022;604:525-33. "
    "doi:10.1038/s41586-022-04554-y"
)
AGES = (0.0, 100.0)
GLOBALS = {
    "GMV": ("CortexVol",),
    "WMV": ("CerebralWhiteMatterVol",),
    "sGMV": ("SubCortGrayVol",),
    "TCV": ("CortexVol", "CerebralWhiteMatterVol"),
}
SPELLING = {"Thalamus-Proper": "Thalamus"}
_POWERS = re.compile(r"bfpNA\(AgeTransformed, powers = c\(([^()]*)\)\)")
_TERMS = re.compile(r"fs_version\d+|random\(study\)|sexMale|\(Intercept\)|bfpNA\(.*\)\d?")


def import_brainchart(folder: Path, level: str = "") -> GammaModel:
    """Read the ``FIT_*`` files of a folder.

    Parameters
    ----------
    folder : Path
        ``RefittedModels`` or ``OriginalModels`` as published.
    level : str
        Level of FreeSurfer version of all scans, by the authors' name (``FS6_T1``, ``MEAN`` for their unweighted
        mean); empty: chosen by each scan's version.

    Raises
    ------
    ModelError
        When a file is missing, damaged, or of another family, or `level` is not one of its levels.
    """
    paths = sorted(folder.glob("FIT_*")) if folder.is_dir() else []
    fits, others = {}, []
    for path in paths:
        fit = read_fit(path)
        phenotype = phenotype_of(path)
        columns, region = measured_as(phenotype)
        if columns and set(columns).issubset(names()):
            fits[region] = _with_columns(fit, columns, phenotype)
        else:
            others.append(phenotype)
    if not fits:
        raise ModelError(f"{folder} holds no FIT_ file of a measure that is scored here", f"published at {SOURCE}")
    _check_level(fits, level, folder)
    order = sorted(fits, key=_position)
    return with_digest(
        GammaModel(card=_card(folder, fits, others, level), fits={name: fits[name] for name in order}, level=level)
    )


def phenotype_of(path: Path) -> str:
    """``Thalamus.Proper`` of ``FIT_Thalamus.ProperTransformed.gz``."""
    name = path.name.removeprefix("FIT_").removesuffix(".rds").removesuffix(".gz")
    return name.removesuffix("Transformed")


def measured_as(phenotype: str) -> tuple[tuple[str, ...], str]:
    """FreeSurfer's columns of a phenotype and the region's name here; no columns when it is undecided."""
    if phenotype in GLOBALS:
        columns = GLOBALS[phenotype]
        return columns, columns[0] if len(columns) == 1 else TOTAL_CEREBRAL
    prefix, _, rest = phenotype.partition("_")
    suffix = {"CT": "thickness", "SA": "area"}.get(prefix)
    if suffix and rest:
        return (f"lh_{rest}_{suffix}", f"rh_{rest}_{suffix}"), f"{MEAN_PREFIX}{rest}_{suffix}"
    base = SPELLING.get(phenotype.replace(".", "-"), phenotype.replace(".", "-"))
    if base in names():
        return ((base,), base) if base.startswith("CC_") else ((), "")
    for pair in pairs():
        if mean_name(pair) == MEAN_PREFIX + base:
            return (pair.left, pair.right), mean_name(pair)
    return (), ""


def _position(region: str) -> tuple[bool, str]:
    """Bilateral means of the cortex and below first, then whole-brain volumes."""
    return not region.startswith(MEAN_PREFIX), region


def read_fit(path: Path) -> GammaFit:
    """The model of one file, its columns not yet named.

    Raises
    ------
    ModelError
        When the file is damaged, of another family, or lacks a part.
    """
    root = read_r_file(path).get("")
    param = root.get("param") if root is not None else None
    if param is None:
        raise ModelError(f"{path} is not a model of BrainChart (no param)", f"published at {SOURCE}")
    try:
        return _fit(param, path)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"{path} lacks parts of a fitted model ({error})", "fetch it again") from error


def _fit(param: RObject, path: Path) -> GammaFit:
    family = param.get("family").value[0]  # type: ignore[union-attr]
    if family not in ("GGalt", "GG"):
        raise ModelError(f"{path} is of the family {family}, which cannot be converted", "use the authors' software")
    mu, sigma, nu = (_part(param, name) for name in ("mu", "sigma", "nu"))
    if set(nu[1]) != {"(Intercept)"} or any(name.startswith("fs_version") for name in sigma[1]):
        raise ModelError(f"{path} has a formula that cannot be converted", "use the authors' software")
    return GammaFit(
        columns=(),
        combine="mean",
        n=int(param.get("N").value[0]),  # type: ignore[union-attr]
        mu=_predictor(*mu[:2], path),
        sigma=_predictor(*sigma[:2], path),
        nu=nu[1]["(Intercept)"],
        levels=_levels(param, mu[1], path),
        mu_sd=mu[2],
        sigma_sd=sigma[2],
    )


def _part(param: RObject, name: str) -> tuple[str, dict[str, float], float | None]:
    """Formula, coefficients by R's names, and the studies' standard deviation of one parameter."""
    part: Any = param.get(name)
    fixed = part.get("fixef")
    values = np.asarray(fixed.value, dtype=float)
    unknown = [label for label in fixed.names if not _TERMS.fullmatch(label)]
    if unknown or len(fixed.names) != values.size:
        raise ValueError(f"{name} has the terms {', '.join(unknown)}")
    coefficients = {label: float(v) for label, v in zip(fixed.names, values) if label != "random(study)"}
    if not np.isfinite(list(coefficients.values())).all():
        raise ValueError(f"a coefficient of {name} is not finite")
    spread = part.get("sigma")
    sd = float(spread.value[0]) if spread is not None and np.size(spread.value) == 1 else None
    return part.get("equ").get("fixef").value[0], coefficients, sd if sd is not None and np.isfinite(sd) else None


def _predictor(formula: str, coefficients: dict[str, float], path: Path) -> Predictor:
    found = _POWERS.search(formula)
    powers = tuple(float(text) for text in found[1].split(",")) if found else ()
    terms = [value for name, value in coefficients.items() if name.startswith("bfpNA")]
    if len(terms) != len(powers) or any(p not in fp.POWERS for p in powers) or list(powers) != sorted(powers):
        raise ModelError(
            f"{path}: its powers {powers} are not those of its {len(terms)} coefficients", "fetch it again"
        )
    return Predictor(
        intercept=coefficients["(Intercept)"],
        male=coefficients.get("sexMale", 0.0),
        powers=powers,
        coefficients=tuple(terms),
    )


def _levels(param: RObject, coefficients: dict[str, float], path: Path) -> dict[str, float]:
    """Effects by name under sum contrasts: the last level is minus the sum of the others."""
    effects = [value for name, value in coefficients.items() if name.startswith("fs_version")]
    stored = param.attributes.get("levels")
    if stored is None:
        return {}
    labels = stored.get("fs_version").value
    if len(labels) != len(effects) + 1:
        raise ModelError(f"{path} has {len(labels)} FreeSurfer versions for {len(effects)} effects", "fetch it again")
    return dict(zip(labels, [*effects, -float(np.sum(effects))]))


def _with_columns(fit: GammaFit, columns: tuple[str, ...], phenotype: str) -> GammaFit:
    from dataclasses import replace

    return replace(fit, columns=columns, combine="sum" if phenotype in GLOBALS else "mean")


def _check_level(fits: dict[str, GammaFit], level: str, folder: Path) -> None:
    known = {name for fit in fits.values() for name in fit.levels}
    if level == MEAN_LEVEL or (level in known or (not level and known)):
        return
    if not known:
        raise ModelError(
            f"the files in {folder} do not name their levels of FreeSurfer version, so none can be chosen",
            f"import RefittedModels, or take the unweighted mean of levels with --fs-level {MEAN_LEVEL} (for volumes "
            "about 0.4 SD above FreeSurfer 6)",
        )
    raise UsageError(f"--fs-level {level} is not a level of these models", f"levels: {', '.join(sorted(known))}")


def _card(folder: Path, fits: dict[str, GammaFit], others: list[str], level: str) -> ModelCard:
    paired = sum(name.startswith(MEAN_PREFIX) for name in fits)
    chosen = f"the level {level} for all scans" if level else f"by scan ({', '.join(LEVELS.values())})"
    n = max(fit.n for fit in fits.values())
    return ModelCard(
        name="brainchart",
        version="imported",
        title="BrainChart, lifespan models of brain volumes",
        summary="GAMLSS, generalised gamma distribution and fractional polynomials of log age, birth to 100 years.",
        licence=LICENCE,
        date=NO_DATE,
        engine="generalised-gamma",
        mode="calibrated",
        training=({"source": "BrainChart", "licence": LICENCE, "n": n, "url": SOURCE, "citation": CITATION},),
        age_range={"female": AGES, "male": AGES},
        sites=0,
        fs_versions=() if level else tuple(sorted({"5.3", "6.0"} | ({"7"} if _has(fits, "FS7_T1") else set()))),
        covariates=f"age (years), sex, FreeSurfer version ({chosen}); NOT intracranial volume",
        transform="generalised gamma distribution of the value; z from its smaller tail",
        harmonisation="full: study as a random effect on location and scale, at 0 for a study that was not fitted",
        limitations=(
            "Licence CC BY-NC-ND 4.0: not for commercial use; do not pass the converted file on.",
            "Stored study effects are not applied; estimate a scanner's from local controls. Their published standard "
            "deviations are the prior.",
            "The files hold no covariance of the coefficients: z_se is that of the site adaptation alone.",
            "Age after conception is years x 365.245 + 280 days, as users of these models do; the authors' repository "
            "does not say so.",
            *((f"{len(others)} phenotypes were left out: not measured here, or undecided.",) if others else ()),
        ),
        citations=(CITATION,),
        z_notes=(
            f"{paired} regions are means of left and right ({MEAN_PREFIX}...), made here from FreeSurfer's values.",
            "Intracranial volume is not a covariate of this model: z changes with head size, and must not be compared "
            "with z of a model that adjusts for it.",
        ),
    )


def _has(fits: dict[str, GammaFit], level: str) -> bool:
    return any(level in fit.levels for fit in fits.values())
