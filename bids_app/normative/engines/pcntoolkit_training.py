"""Train models with PCNtoolkit (``normvol-model train --engine pcntoolkit``)."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.errors import ModelError, UsageError
from bids_app.normative.card import ModelCard
from bids_app.normative.covariates import major_versions
from bids_app.normative.engines import pcntoolkit_gradient
from bids_app.normative.engines.pcntoolkit import PCNtoolkitModel
from bids_app.normative.engines.pcntoolkit_load import CARD_FILE, CITATION, FORMAT, describe, load_pcntoolkit_model
from bids_app.normative.engines.pcntoolkit_runtime import pcntoolkit, quiet
from bids_app.regions import ETIV
from bids_app.tables import write_json

BASES = ("linear", "polynomial", "bspline", "fractional-polynomial")
MIN_ROWS = 50
MAX_HBR_REGIONS = 10
DECADE, LITRE = 10.0, 1e6
SCALE = {"age": DECADE, ETIV: LITRE}


@dataclass(frozen=True, kw_only=True)
class PCNtoolkitOptions:
    """Which regression PCNtoolkit fits.

    Parameters
    ----------
    model : str
        ``blr`` (Bayesian linear regression) or ``hbr`` (hierarchical, by sampling; at most 10 regions).
    basis : str
        Of age: ``linear``, ``polynomial``, ``bspline`` or ``fractional-polynomial``.
    knots : int
        Of the B-spline.
    powers : tuple of float
        One to three, of the fractional polynomial of age in decades.
    heteroscedastic : bool
        The variance depends on age (BLR: always through the same basis).
    warp : bool
        Sinh-arcsinh warp (BLR) or SHASHb likelihood (HBR); otherwise Gaussian.
    site_effect : bool
        Site is a batch effect beside sex.
    effects_in_variance : bool
        Batch effects move the variance too, not the mean alone (BLR).
    exact_gradient : bool
        Search BLR's hyperparameters by the exact gradient of its likelihood, not by PCNtoolkit's differences; a
        hundred sites then take seconds per region.
    draws, tune, chains : int
        Sampling of HBR; PCNtoolkit takes no seed, so two trainings differ by the error of sampling.
    """

    model: str = "blr"
    basis: str = "bspline"
    knots: int = 5
    powers: tuple[float, ...] = (0.5, 1.0)
    heteroscedastic: bool = True
    warp: bool = True
    site_effect: bool = False
    effects_in_variance: bool = True
    exact_gradient: bool = False
    draws: int = 500
    tune: int = 500
    chains: int = 2


def train_pcntoolkit(
    table: pd.DataFrame,
    folder: Path | str,
    regions: tuple[str, ...],
    card: ModelCard,
    options: PCNtoolkitOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> PCNtoolkitModel:
    """Fit one regression per region and save it in PCNtoolkit's format with our card.

    Parameters
    ----------
    table : DataFrame
        Model input: ``age``, ``sex``, ``EstimatedTotalIntraCranialVol``, `regions`, and ``site`` when it is an effect.
    folder : path-like
        New or empty folder; it appears when the training is complete.
    regions : tuple of str
    card : ModelCard
        What is known of the data; engine, covariates, transform, sites and harmonisation are filled in.
    options : PCNtoolkitOptions, optional
    progress : callable, optional
        Called with a sentence after each region.

    Returns
    -------
    PCNtoolkitModel
        As loaded from `folder`.

    Raises
    ------
    UsageError
        For impossible options or a folder that is not empty.
    ModelError
        For too few rows, or when PCNtoolkit fails.
    """
    options = options or PCNtoolkitOptions()
    folder = Path(folder)
    _check_options(options, folder, regions)
    data = _complete_rows(table, regions, options)
    package = pcntoolkit()
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with quiet():
            model = _fitted(package, data, scratch, regions, options, progress or (lambda sentence: None))
            model.save(str(scratch))
        _tidy(scratch)
        document = _card_document(card, model, data, options)
        if options.site_effect and "fs_version" in table:
            document["site_versions"] = site_versions(table)
        write_json(document, scratch / CARD_FILE)
        scratch.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return load_pcntoolkit_model(folder)


def site_versions(table: pd.DataFrame) -> dict[str, str]:
    """FreeSurfer's major version at each site whose scans, as far as known, all have the same.

    Parameters
    ----------
    table : DataFrame
        ``site fs_version``, one row per scan.

    Returns
    -------
    dict of str to str
        A site of several versions is not in it: it stands for none of them.
    """
    known = table[["site"]].assign(version=major_versions(table)).query("version != ''").dropna().drop_duplicates()
    alone = known[~known["site"].duplicated(keep=False)].sort_values("site", kind="stable")
    return dict(zip(alone["site"].astype(str), alone["version"], strict=True))


def _check_options(options: PCNtoolkitOptions, folder: Path, regions: tuple[str, ...]) -> None:
    if options.model not in ("blr", "hbr") or options.basis not in BASES:
        raise UsageError(
            f"unknown model {options.model!r} or basis {options.basis!r}",
            f"models are blr and hbr, bases {', '.join(BASES)}",
        )
    if options.model == "hbr" and len(regions) > MAX_HBR_REGIONS:
        raise UsageError("hbr samples each region for minutes", f"give at most {MAX_HBR_REGIONS} regions, or use blr")
    if options.exact_gradient and not (options.model == "blr" and options.warp and options.heteroscedastic):
        raise UsageError("the exact gradient is that of a warped, heteroscedastic blr")
    if options.basis == "fractional-polynomial" and not 1 <= len(options.powers) <= 3:
        raise UsageError("a fractional polynomial has one to three powers")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder", "give another place for the model")


def _complete_rows(table: pd.DataFrame, regions: tuple[str, ...], options: PCNtoolkitOptions) -> pd.DataFrame:
    needed = ["age", "sex", ETIV, *(["site"] if options.site_effect else []), *regions]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise ModelError(f"the training table has no column {', '.join(missing[:5])}")
    data = table[needed].dropna().reset_index(drop=True)
    if len(data) < MIN_ROWS:
        raise ModelError(f"{len(data)} complete rows are too few to train on", f"{MIN_ROWS} are needed")
    return data.assign(age=data["age"] / DECADE, **{ETIV: data[ETIV] / LITRE})


def _fitted(
    package: Any,
    data: pd.DataFrame,
    folder: Path,
    regions: tuple[str, ...],
    options: PCNtoolkitOptions,
    progress: Callable[[str], None],
) -> Any:
    """The steps of PCNtoolkit's `NormativeModel.fit` without its closing predictions, plots and tables."""
    effects = ["sex", "site"] if options.site_effect else ["sex"]
    norm_data = package.NormData.from_dataframe(
        "training", data, covariates=["age", ETIV], batch_effects=effects, response_vars=list(regions)
    )
    scaler = "none" if options.basis == "fractional-polynomial" else "standardize"
    model = package.NormativeModel(
        _template(package, options),
        savemodel=False,
        evaluate_model=False,
        saveresults=False,
        saveplots=False,
        save_dir=str(folder),
        inscaler=scaler,
        outscaler="standardize",
        name=folder.name,
    )
    model.register_data_info(norm_data)
    model.preprocess(norm_data)
    for done, region in enumerate(regions, start=1):
        x, codes, maps, y, _ = model.extract_data(norm_data.sel({"response_vars": region}))
        try:
            if options.exact_gradient:
                pcntoolkit_gradient.fit(model[region], x, codes, maps, y)
            else:
                model[region].fit(x, codes, maps, y)
        except Exception as error:
            raise ModelError(f"PCNtoolkit failed on {region} ({type(error).__name__}: {error})") from error
        progress(f"{region} fitted, {done} of {len(regions)}")
    model.is_fitted = True
    return model


def _template(package: Any, options: PCNtoolkitOptions) -> Any:
    if options.model == "hbr":
        return _hbr(package, options)
    return package.BLR(
        name="template",
        fixed_effect=True,
        heteroskedastic=options.heteroscedastic,
        fixed_effect_var=options.heteroscedastic and options.effects_in_variance,
        warp_name="WarpSinhArcsinh" if options.warp else None,
        warp_reparam=options.warp,
        basis_function_mean=_basis(package, options),
        basis_function_var=_basis(package, options),
        optimizer="l-bfgs-b",
    )


def _basis(package: Any, options: PCNtoolkitOptions) -> Any:
    if options.basis == "bspline":
        return package.BsplineBasisFunction(basis_column=0, nknots=options.knots)
    if options.basis == "polynomial":
        return package.PolynomialBasisFunction(basis_column=0, degree=3)
    if options.basis == "fractional-polynomial":
        return package.FractionalPolynomialBasisFunction(
            basis_column=0, order=len(options.powers), powers=list(options.powers)
        )
    return package.LinearBasisFunction(basis_column=0)


def _hbr(package: Any, options: PCNtoolkitOptions) -> Any:
    """Random intercept per batch effect in the mean; a smooth sigma; SHASHb or normal likelihood."""
    prior = package.make_prior
    mu = prior(
        linear=True,
        slope=prior(dist_name="Normal", dist_params=(0.0, 5.0)),
        intercept=prior(
            random=True,
            mu=prior(dist_name="Normal", dist_params=(0.0, 1.0)),
            sigma=prior(dist_name="HalfNormal", dist_params=(1.0,)),
        ),
        basis_function=_basis(package, options),
    )
    sigma = (
        prior(
            linear=options.heteroscedastic,
            slope=prior(dist_name="Normal", dist_params=(0.0, 2.0)),
            intercept=prior(dist_name="Normal", dist_params=(1.0, 1.0)),
            basis_function=package.LinearBasisFunction(basis_column=0),
            mapping="softplus",
            mapping_params=(0.0, 3.0),
        )
        if options.heteroscedastic
        else prior(dist_name="HalfNormal", dist_params=(1.0,))
    )
    if options.warp:
        likelihood = package.SHASHbLikelihood(
            mu,
            sigma,
            epsilon=prior(dist_name="Normal", dist_params=(0.0, 1.0)),
            delta=prior(dist_name="Normal", dist_params=(1.0, 1.0), mapping="softplus", mapping_params=(0.0, 3.0, 0.6)),
        )
    else:
        likelihood = package.NormalLikelihood(mu, sigma)
    return package.HBR(
        name="template",
        likelihood=likelihood,
        draws=options.draws,
        tune=options.tune,
        chains=options.chains,
        cores=1,
        progressbar=False,
        nuts_sampler="pymc",
    )


def _tidy(folder: Path) -> None:
    """Take out what is not the model: empty result folders and this machine's paths."""
    for name in ("results", "plots"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in folder.glob("model/**/*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if "save_dir" in content:
            content["save_dir"] = "."
            content["name"] = None
        if "idata_path" in content.get("model", {}):
            content["model"]["idata_path"] = "idata.nc"
        path.write_text(json.dumps(content), encoding="utf-8")


def _card_document(card: ModelCard, model: Any, data: pd.DataFrame, options: PCNtoolkitOptions) -> dict[str, Any]:
    values = card.to_json()
    sexes = dict(iter(data.groupby("sex")))
    values.update(
        engine="pcntoolkit",
        mode="calibrated",
        sites=int(data["site"].nunique()) if options.site_effect else card.sites,
        n={sex: len(rows) for sex, rows in sexes.items()},
        age_range={sex: [float(f(rows["age"]) * DECADE) for f in (min, max)] for sex, rows in sexes.items()},
        etiv_range={sex: [float(f(rows[ETIV]) * LITRE) for f in (min, max)] for sex, rows in sexes.items()},
        covariates="age (years), EstimatedTotalIntraCranialVol (mm^3); batch effects: sex"
        + (", site" if options.site_effect else "")
        + ("" if options.effects_in_variance else ", in the mean alone"),
        transform=describe(model),
        harmonisation="site as a batch effect" if options.site_effect else card.harmonisation,
        citations=[*card.citations, *([] if CITATION in card.citations else [CITATION])],
    )
    return {"format": FORMAT, "card": values, "scale": SCALE, "options": asdict(options)}
