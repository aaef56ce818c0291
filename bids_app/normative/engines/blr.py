"""PCNtoolkit's warped Bayesian linear regression read from PCNtoolkit's own files, without PCNtoolkit.

A packaged model is a zip archive of a folder that PCNtoolkit saved. z is that of PCNtoolkit's `BLR.forward`: with the
design row x, the posterior mean m and precision A of the coefficients, the noise variance v and the warp
``w(y) = sinh(b (asinh(y) + e))``, ``z = (w(y) - x m) / sqrt(v + x A^-1 x')`` (Fraza et al. 2021,
doi:10.1016/j.neuroimage.2021.118715).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.bounded import loads
from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.engines.pcntoolkit import PCNtoolkitModel

CARD, ROOT, REGION_FILE = "card.json", "model/normative_model.json", "regression_model.json"
# What the predictions need not, or what the rest says already.
TRIMMED = ("Sigma_a", "Lambda_a", "beta", "lambda_n_vec", "hyp0")
DIGITS = 9
EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(folder: Path, path: Path) -> Path:
    """Write a folder that PCNtoolkit saved as an archive: trimmed, rounded, the same bytes for the same model."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for item in sorted(file for file in folder.rglob("*") if file.is_file()):
            content = json.loads(item.read_text(encoding="utf-8"))
            if item.name == REGION_FILE:
                content["model"] = {name: value for name, value in content["model"].items() if name not in TRIMMED}
            entry = zipfile.ZipInfo(item.relative_to(folder).as_posix(), EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, json.dumps(_rounded(content), separators=(",", ":")))
    return path


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        short = float(f"{value:.{DIGITS}g}")
        return int(short) if short == int(short) and abs(short) < 10**DIGITS else short
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Regression:
    """One region: everything that its z needs.

    Parameters
    ----------
    m : (d,) array
        Coefficients of the mean.
    half : (d, d) array
        Inverse of the lower Cholesky factor of their posterior precision.
    weights : (v,) array
        Coefficients of the log precision of the noise.
    skew, tail : float
        Of the warp: e and b.
    centre, scale : float
        Of the outcome (mm^3).
    """

    m: FloatArray
    half: FloatArray
    weights: FloatArray
    skew: float
    tail: float
    centre: float
    scale: float

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Regression:
        from scipy.linalg import solve_triangular

        model, scaler = content["model"], content["outscaler"]
        hyp, precision = np.array(model["hyp"], dtype=float), np.array(model["A"], dtype=float)
        factor = np.linalg.cholesky((precision + precision.T) / 2)
        half = solve_triangular(factor, np.eye(len(factor)), lower=True)
        m = np.array(model["m"], dtype=float)
        return cls(m, half, hyp[:-3], hyp[-3], np.exp(hyp[-2]), _first(scaler["m"]), _first(scaler["s"]))

    def moments(self, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Moments of the warped outcome (the terms of z in the module's formula).

        Parameters
        ----------
        mean, variance : (n, d) and (n, v) array
            Design rows of `Archive.designs`.

        Returns
        -------
        mean : (n,) array
            ``x m``.
        sd : (n,) array
            ``sqrt(v + x A^-1 x')``.
        share : (n,) array
            Of the SD that the coefficients' uncertainty causes: ``sqrt(x A^-1 x')`` over `sd`.
        """
        noise = self.tail**2 * np.exp(-variance @ self.weights)
        own = ((mean @ self.half.T) ** 2).sum(axis=1)
        return mean @ self.m, np.sqrt(noise + own), np.sqrt(own / (noise + own))

    def warp(self, volumes: FloatArray) -> FloatArray:
        """The warp ``sinh(b (asinh(y) + e))`` of standardised outcomes y (SHASH; Fraza et al. 2021).

        Parameters
        ----------
        volumes : (n,) array
            mm^3.

        Returns
        -------
        (n,) array
            Without dimension.
        """
        return np.asarray(np.sinh(self.tail * (np.arcsinh((volumes - self.centre) / self.scale) + self.skew)))

    def _unwarp(self, warped: FloatArray) -> FloatArray:
        return np.asarray(self.centre + self.scale * np.sinh(np.arcsinh(warped) / self.tail - self.skew))


@dataclass(frozen=True)
class Archive:
    """The parts of PCNtoolkit's `NormativeModel` that scoring needs, under its names."""

    covariates: tuple[str, ...]
    covariate_ranges: Mapping[str, Mapping[str, float]]
    batch_effects_maps: Mapping[str, Mapping[str, int]]
    batch_effect_counts: Mapping[str, Mapping[str, int]]
    inscalers: Mapping[str, Mapping[str, Any]] = field(repr=False)
    regressions: Mapping[str, Regression] = field(repr=False)
    bases: tuple[Mapping[str, Any], Mapping[str, Any]] = field(repr=False)

    @property
    def response_vars(self) -> list[str]:
        return list(self.regressions)

    @classmethod
    def read(cls, root: Mapping[str, Any], regions: list[Mapping[str, Any]]) -> Archive:
        template = regions[0]["model"]
        for content in regions:
            model = content["model"]
            kind = (model["type"], model["warp_name"], model["warp_reparam"], model["heteroskedastic"])
            bases = {model[f"basis_function_{what}"]["basis_function"] for what in ("mean", "var")}
            if kind != ("BLR", "WarpSinhArcsinh", True, True) or bases != {"BsplineBasisFunction"}:
                raise ModelError("only a warped, heteroscedastic BLR of B-splines can be read", "use PCNtoolkit itself")
            if model["fixed_effect_slope"] or model["fixed_effect_var"] or not model["fixed_effect"]:
                raise ModelError("only batch effects of the mean's intercept can be read", "use PCNtoolkit itself")
        return cls(
            tuple(root["covariates"]),
            root["covariate_ranges"],
            _levels(root["batch_effects_maps"]),
            _levels(root["inverse_batch_effect_counts"]),
            root["inscalers"],
            {content["model"]["name"]: Regression.read(content) for content in regions},
            (template["basis_function_mean"], template["basis_function_var"]),
        )

    def designs(self, table: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        """Rows of the designs of mean and variance, as its `create_design_matrix` makes them.

        Parameters
        ----------
        table : DataFrame
            n rows with the covariates and the batch effects, every level a known one.

        Returns
        -------
        mean, variance : (n, d) and (n, v) array
            B-splines of the standardised covariates and the intercept; in `mean` also an indicator per level.
        """
        scaled = [
            (table[name].to_numpy(dtype=float) - _first(self.inscalers[name]["m"])) / _first(self.inscalers[name]["s"])
            for name in self.covariates
        ]
        one = np.ones((len(table), 1))
        effects = [
            np.eye(len(levels))[table[name].map(lambda label, known=levels: known[str(label)]).to_numpy()]
            for name, levels in self.batch_effects_maps.items()
        ]
        mean, variance = (_basis(basis, scaled) for basis in self.bases)
        return np.hstack([mean, one, *effects]), np.hstack([variance, one])


def _basis(basis: Mapping[str, Any], covariates: list[FloatArray]) -> FloatArray:
    """The covariate with its spline in the place of the covariate, the others as they are."""
    from scipy.interpolate import BSpline

    parts = []
    for column, values in enumerate(covariates):
        parts.append(values[:, None])
        if column == basis["basis_column"]:
            knots = np.array(basis["knots"], dtype=float)
            parts.append(BSpline.design_matrix(values, knots, basis["degree"], extrapolate=True).toarray())
    return np.hstack(parts)


def _first(value: Any) -> float:
    return float(np.ravel(value)[0])


def _levels(inverse: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """PCNtoolkit writes ``{"0_7": label}``: position, then the number that the label stands for."""
    return {
        name: {str(label): int(key.split("_")[1]) for key, label in levels.items()} for name, levels in inverse.items()
    }


@dataclass(frozen=True)
class BLRModel(PCNtoolkitModel):
    """A packaged BLR of PCNtoolkit as a `NormativeModel`."""

    toolkit: Archive = field(repr=False, compare=False)

    @cached_property
    def _regressions(self) -> dict[str, Regression]:
        return {region: self.toolkit.regressions[name] for region, name in self.published.items()}

    def site_sd(self, regions: tuple[str, ...]) -> FloatArray:
        """SD between the sites of one FreeSurfer version of their effects, in units of the noise at mean covariates."""
        middle = pd.DataFrame({name: [_first(s["m"])] for name, s in self.toolkit.inscalers.items()})
        levels = {name: next(iter(known)) for name, known in self.toolkit.batch_effects_maps.items()}
        designs = self.toolkit.designs(middle.assign(**levels))
        sites = self.toolkit.batch_effects_maps["site"]
        version = pd.Series({number: self.site_versions.get(site, "") for site, number in sites.items()}).sort_index()
        out = np.full(len(regions), np.nan)
        for j, fitted in enumerate(self._regressions.get(region) for region in regions):
            if fitted is not None:
                effects = pd.Series(fitted.m[-len(sites) :]) / fitted.moments(*designs)[1]
                out[j] = float((effects - effects.groupby(version.to_numpy()).transform("mean")).std())
        return out

    def _score(
        self, table: pd.DataFrame, volumes: FloatArray, regions: tuple[str, ...]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        mean, variance = self.toolkit.designs(table)
        z, expected, se = (np.empty(volumes.shape) for _ in range(3))
        for j, region in enumerate(regions):
            fitted = self._regressions[region]
            centre, sd, se[:, j] = fitted.moments(mean, variance)
            z[:, j] = (fitted.warp(volumes[:, j]) - centre) / sd
            expected[:, j] = fitted._unwarp(centre)
        return z, expected, se

    def _backward(self, table: pd.DataFrame, z: FloatArray, regions: tuple[str, ...]) -> FloatArray:
        mean, variance = self.toolkit.designs(table)
        out = np.empty(z.shape)
        for j, region in enumerate(regions):
            centre, sd, _ = self._regressions[region].moments(mean, variance)
            out[:, j] = self._regressions[region]._unwarp(centre + sd * z[:, j])
        return out


def load(path: Path) -> BLRModel:
    """Load an archive that `pack` wrote.

    Raises
    ------
    ModelError
        When the archive is damaged, or not of this kind.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = {name: loads(archive.read(name)) for name in sorted(archive.namelist())}
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is damaged ({error})", "install this software again") from error
    described = content[CARD]
    regions = [value for name, value in content.items() if name.endswith(REGION_FILE)]
    toolkit = Archive.read(content[ROOT], regions)
    given = described.get("columns", {})
    columns = {name: given.get(name, name) for name in (*toolkit.covariates, *toolkit.batch_effects_maps)}
    return BLRModel(
        ModelCard.from_json(described["card"]),
        toolkit,
        columns,
        {"female": "female", "male": "male"},
        {name: float(value) for name, value in described["scale"].items()},
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        site_versions=described.get("site_versions", {}),
    )


def card(path: Path) -> ModelCard:
    """The card of an archive, without its coefficients."""
    with zipfile.ZipFile(path) as archive:
        return ModelCard.from_json(loads(archive.read(CARD))["card"])
