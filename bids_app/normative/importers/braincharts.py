"""Braincharts (Rutherford et al. 2022): pickles of PCNtoolkit 0.x, converted without running their code.

Per region a folder ``<region>/Models/NM_0_0_estimate.pkl`` with a warped Bayesian linear regression on
``[1, age, sex, one column per site, cubic B-spline of age (5 knots from -5 to 110)]``. Sex is 1 for males.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import NO_DATE
from bids_app.normative.engines.terms import SITE, SPLINE, Term, TermsFit, TermsModel, with_digest
from bids_app.normative.importers.names import name_table
from bids_app.normative.importers.restricted_pickle import Inert, number, read_pickle
from bids_app.normative.limits import read_limited
from bids_app.normative.parameters import flat

SOURCE = "https://github.com/predictive-clinical-neuroscience/braincharts (models/lifespan_57K_82sites.zip)"
SITES_SOURCE = "docs/site_ids_ct_82sites.txt in the same repository"
CITATION = (
    "Rutherford S, et al. Charting brain growth and aging at high spatial precision. eLife 2022;11:e72904. "
    "doi:10.7554/eLife.72904"
)
LICENCE = "GPL-3.0"
MODEL_FILE = Path("Models") / "NM_0_0_estimate.pkl"
META_FILE = Path("Models") / "meta_data.md"
KNOTS = (-5.0,) * 3 + (-5.0, 23.75, 52.5, 81.25, 110.0) + (110.0,) * 3
N_SPLINES = len(KNOTS) - 4
MAX_SITES_BYTES = 10**6
NO_ETIV = (
    "Intracranial volume is not a covariate of this model: z changes with head size, and must not be compared "
    "with z of a model that adjusts for it."
)


def import_braincharts(folder: Path, sites: Path) -> TermsModel:
    """Convert the volumes of a Braincharts model folder.

    Parameters
    ----------
    folder : Path
        One sub-folder per region.
    sites : Path
        The list of training sites in the order of the design, one per line.

    Raises
    ------
    ModelError
        When a file is missing, damaged, or holds another kind of model.
    """
    terms = design_terms(_read_sites(sites))
    fits = {
        row["region"]: _fit(folder / row["published"], terms)
        for row in name_table("braincharts")
        if (folder / row["published"] / MODEL_FILE).is_file()
    }
    if not fits:
        raise ModelError(
            f"{folder} holds no <region>/{MODEL_FILE} of a volume", f"the models are published at {SOURCE}"
        )
    others = sum(1 for path in folder.iterdir() if (path / MODEL_FILE).is_file()) - len(fits)
    return with_digest(TermsModel(card=_card(folder, len(terms) - 3 - N_SPLINES, others), fits=fits, knots=KNOTS))


def design_terms(sites: tuple[str, ...]) -> tuple[Term, ...]:
    """Columns of the design matrix of PCNtoolkit 0.x (`create_design_matrix`), in order."""
    return (
        (),
        ("age",),
        ("sex_male",),
        *((SITE + name,) for name in sites),
        *((f"{SPLINE}{i}",) for i in range(N_SPLINES)),
    )


def _read_sites(path: Path) -> tuple[str, ...]:
    text = read_limited(path, MAX_SITES_BYTES).decode("utf-8", "replace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names or len(set(names)) < len(names):
        raise ModelError(f"{path} is not a list of sites, one per line ({SITES_SOURCE})")
    return names


def _fit(folder: Path, terms: tuple[Term, ...]) -> TermsFit:
    path = folder / MODEL_FILE
    _check_scaling(folder / META_FILE)
    model = read_pickle(path)
    regression = model.get("blr") if isinstance(model, Inert) else None
    if not isinstance(regression, Inert) or not regression.kind.endswith(".BLR"):
        raise ModelError(f"{path} is not a Bayesian linear regression of PCNtoolkit 0.x")
    try:
        return _from_regression(regression, model, terms, path)
    except (ValueError, TypeError, IndexError, np.linalg.LinAlgError) as error:
        raise ModelError(f"{path} lacks parts of a fitted model ({error})", "fetch it again") from error


def _from_regression(blr: Inert, model: Inert, terms: tuple[Term, ...], path: Path) -> TermsFit:
    hyper, mean, precision = (np.asarray(blr.get(name), dtype=float) for name in ("hyp", "m", "A"))
    if mean.shape != (len(terms),) or precision.shape != (len(terms),) * 2:
        n = mean.size - 3 - N_SPLINES
        raise ModelError(
            f"{path} has {mean.size} coefficients, which is {n} sites",
            f"the list of sites has "
            f"{len(terms) - 3 - N_SPLINES}. Give the list that belongs to this model ({SITES_SOURCE})",
        )
    if blr.get("hetero_var") or blr.get("var_groups") is not None or number(model.get("_model_order") or 1) != 1:
        raise ModelError(f"{path} has a variance model or basis that cannot be converted", "use PCNtoolkit itself")
    warp = blr.get("warp")
    noise, shape = float(np.exp(-hyper[0])), None
    if warp is not None:
        if not isinstance(warp, Inert) or not warp.kind.endswith((".WarpSinArcsinh", ".WarpSinhArcsinh")):
            raise ModelError(f"{path} has a warp that cannot be converted ({getattr(warp, 'kind', warp)})")
        shape = (float(hyper[1]), float(np.exp(hyper[2])))
        noise *= shape[1] ** 2 if blr.get("warp_reparam") else 1.0
    return TermsFit(
        terms=terms, coefficients=tuple(float(v) for v in mean), noise=noise, warp=shape, root=_root(precision)
    )


def _root(precision: np.ndarray) -> tuple[float, ...]:
    """Lower triangular L with ``x' A^-1 x = |L x|^2``: the inverse of the Cholesky factor of A."""
    root = np.linalg.inv(np.linalg.cholesky(precision))
    return flat(root, len(root), digits=12)


def _check_scaling(path: Path) -> None:
    """The published models were fitted on unscaled data; another model's scalers cannot be applied."""
    if not path.is_file():
        return
    meta: Any = read_pickle(path)
    scalers = meta if isinstance(meta, dict) else {}
    used = [name for name in ("inscaler", "outscaler") if scalers.get(name) not in (None, "None")]
    if used:
        raise ModelError(f"{path} says that {' and '.join(used)} were used, which cannot be converted")


def _card(folder: Path, n_sites: int, others: int) -> ModelCard:
    left = (f"{others} models of cortical thickness in the folder were left out: only volumes are scored.",)
    return ModelCard(
        name="braincharts",
        version="imported",
        title="Braincharts, lifespan models of subcortical volume",
        summary="Warped Bayesian linear regression (PCNtoolkit 0.x) of subcortical volumes on age, sex and site.",
        licence=LICENCE,
        date=NO_DATE,
        engine="terms",
        mode="calibrated",
        training=({"source": "Braincharts", "licence": LICENCE, "n": 58836, "url": SOURCE, "citation": CITATION},),
        sites=n_sites,
        covariates="age (years), sex, site; NOT intracranial volume",
        transform="sinh-arcsinh warp of the volume (mm^3); z = (warped volume - predicted mean) / predictive SD",
        harmonisation="site as a fixed effect",
        limitations=(
            "A scan of an unknown site is scored at the mean of the known sites.",
            "Ages below -5 or above 110 years are outside the spline; training covers 2 to 100 years.",
            *(left if others else ()),
        ),
        citations=(CITATION,),
        z_notes=(NO_ETIV,),
    )
