"""A model of PCNtoolkit 1.x as a normative model: its own z, without the plots and tables that it writes.

z is `RegressionModel.forward` on scaled data, as PCNtoolkit's `NormativeModel.compute_zscores` calls it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from bids_app import regions as region_names
from bids_app.arrays import FloatArray
from bids_app.errors import ModelError
from bids_app.normative.base import Adaptation, Deviations, NormativeModel, adapt, scored_regions, unadapt
from bids_app.normative.card import ModelCard
from bids_app.normative.covariates import major_versions, numbers, require
from bids_app.normative.engines.pcntoolkit_runtime import pcntoolkit, quiet

MAX_SITES = 20
NO_BATCH_EFFECT = "dummy_batch_effect"


@dataclass(frozen=True)
class PCNtoolkitModel(NormativeModel):
    """A PCNtoolkit model as a `NormativeModel`.

    A scan of a site that the model does not know is scored at each of the (up to 20, largest) known sites: its z is the
    mean over them and the spread over them is in `z_se`. `unknown_sites="refuse"` raises ModelError instead.

    Parameters
    ----------
    card : ModelCard
    toolkit : pcntoolkit.NormativeModel
        Fitted, loaded.
    columns : mapping
        Names of the model's covariates and batch effects to names in the data.
    sex_levels : mapping
        The model's labels of sex to ``female`` and ``male``.
    scale : mapping
        Units: our value divided by `scale` is the model's covariate (1 where it is not named).
    unknown_sites : str
        ``average`` or ``refuse``.
    digest : str
    site_versions : mapping
        Sites to their FreeSurfer major version: an unknown site is scored at known ones of the scan's own version.
    """

    card: ModelCard
    toolkit: Any = field(repr=False, compare=False)
    columns: Mapping[str, str]
    sex_levels: Mapping[Any, str]
    scale: Mapping[str, float] = field(default_factory=dict)
    unknown_sites: str = "average"
    digest: str = ""
    site_versions: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def published(self) -> dict[str, str]:
        """Our region names to the model's names of its response variables."""
        return {region_names.canonical(name): name for name in sorted(self.toolkit.response_vars)}

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """Modelled regions, in the order of the region table."""
        order = {name: i for i, name in enumerate(region_names.names())}
        return tuple(sorted(self.published, key=lambda name: (order.get(name, len(order)), name)))

    @property
    def extra_covariates(self) -> tuple[str, ...]:
        """Columns that the model reads beside age, sex, eTIV and FreeSurfer version."""
        return tuple(sorted({*self.columns.values()} - {"age", "sex", region_names.ETIV, "fs_version"}))

    @property
    def corrected_versions(self) -> frozenset[str]:
        """FreeSurfer major versions whose sites stand in for an unknown one."""
        return frozenset(self.site_versions.values())

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that the model knows, the largest first; empty when site is not a batch effect."""
        counts = next((v for k, v in self._effects().items() if self.columns[k] == "site"), {})
        return tuple(str(site) for site in sorted(counts, key=lambda site: (-counts[site], str(site))))

    def _effects(self) -> dict[str, Mapping[str, int]]:
        maps = self.toolkit.batch_effects_maps or {}
        known = self.toolkit.batch_effect_counts or {}
        return {
            name: known.get(name) or dict.fromkeys(levels, 0)
            for name, levels in maps.items()
            if name != NO_BATCH_EFFECT
        }

    @property
    def needs_etiv(self) -> bool:
        """Whether eTIV is a covariate."""
        return region_names.ETIV in self.columns.values()

    def deviations(self, data: pd.DataFrame, adaptation: Adaptation | None = None) -> Deviations:
        regions = scored_regions(self, data)
        inputs = _Inputs.read(self, data)
        observed = data[list(regions)].to_numpy(dtype=float)
        z, expected, spread = (np.full(observed.shape, np.nan) for _ in range(3))
        for rows, tables in inputs.scorable():
            passes = [self._score(table, observed[rows], regions) for table in tables]
            z[rows] = np.mean([scored[0] for scored in passes], axis=0)
            expected[rows] = np.mean([scored[1] for scored in passes], axis=0)
            # An adaptation brings its own standard error of what sites do.
            several = len(passes) > 1 and adaptation is None
            between = np.var([scored[0] for scored in passes], axis=0, ddof=1) if several else 0.0
            spread[rows] = np.sqrt(np.mean([scored[2] for scored in passes], axis=0) ** 2 + between)
        if adaptation is not None:
            z, spread = adapt(z, spread, adaptation, data, regions)
            expected = self._volumes(inputs, unadapt(np.zeros(1), adaptation, data, regions), regions)
        in_range = np.repeat(inputs.in_range[:, None], len(regions), axis=1)
        return Deviations(regions, observed, expected, z, spread, 100 * ndtr(z), in_range, inputs.notes())

    def volumes_at(
        self, data: pd.DataFrame, z: FloatArray, regions: tuple[str, ...], adaptation: Adaptation | None = None
    ) -> FloatArray:
        raw = unadapt(z, adaptation, data, regions)
        return self._volumes(_Inputs.read(self, data), raw, regions)

    def _volumes(self, inputs: _Inputs, z: FloatArray, regions: tuple[str, ...]) -> FloatArray:
        out = np.full(z.shape, np.nan)
        for rows, tables in inputs.scorable():
            out[rows] = np.mean([self._backward(table, z[rows], regions) for table in tables], axis=0)
        return out

    def _score(
        self, table: pd.DataFrame, volumes: FloatArray, regions: tuple[str, ...]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """z, expected volume, and standard error of z from the coefficients."""
        z, se = np.empty(volumes.shape), np.full(volumes.shape, np.nan)
        with quiet():
            x, effects = self._design(table)
            for j, region in enumerate(regions):
                fitted = self.toolkit[self.published[region]]
                z[:, j] = fitted.forward(x, effects, self._scaled(region, volumes[:, j])).to_numpy()
                se[:, j] = _standard_error(fitted, x, effects)
        return z, self._backward(table, np.zeros(volumes.shape), regions), se

    def _backward(self, table: pd.DataFrame, z: FloatArray, regions: tuple[str, ...]) -> FloatArray:
        from xarray import DataArray

        out = np.empty(z.shape)
        with quiet():
            x, effects = self._design(table)
            for j, region in enumerate(regions):
                name = self.published[region]
                scaled = self.toolkit[name].backward(x, effects, DataArray(z[:, j], dims=("observations",)))
                out[:, j] = _untransformed(
                    self.toolkit.outscalers[name].inverse_transform(scaled.to_numpy()), self.toolkit.y_transform
                )
        return out

    def _design(self, table: pd.DataFrame) -> tuple[Any, Any]:
        """Scaled covariates and coded batch effects, as PCNtoolkit makes them from its own data."""
        data = pcntoolkit().NormData.from_dataframe(
            "scans",
            table.assign(_none=0.0),
            covariates=list(self.toolkit.covariates),
            batch_effects=list(self._effects()) or None,
            response_vars=["_none"],
        )
        x, effects, _, _, _ = self.toolkit.extract_data(data)
        scaled = x.copy(
            data=np.column_stack(
                [
                    self.toolkit.inscalers[name].transform(table[name].to_numpy(dtype=float))
                    for name in self.toolkit.covariates
                ]
            )
        )
        return scaled, effects

    def _scaled(self, region: str, volumes: FloatArray) -> Any:
        from xarray import DataArray

        with np.errstate(divide="ignore", invalid="ignore"):
            values = {"log": np.log, "log1p": np.log1p}.get(self.toolkit.y_transform, np.asarray)(volumes)
        values = np.where(np.isfinite(values), values, np.nan)
        return DataArray(self.toolkit.outscalers[self.published[region]].transform(values), dims=("observations",))


def _untransformed(values: FloatArray, transform: str | None) -> FloatArray:
    result: FloatArray = {"log": np.exp, "log1p": np.expm1}.get(transform or "", np.asarray)(values)
    return result


def _standard_error(fitted: Any, x: Any, effects: Any) -> FloatArray | float:
    """Share of the predictive SD of a BLR that its coefficients cause; unknown for other models."""
    if type(fitted).__name__ != "BLR" or getattr(fitted, "transfered", False):
        return np.nan
    _, variance = fitted.ys_s2(x.to_numpy(), effects.to_numpy())
    phi, phi_variance = fitted.Phi_Phi_var(x.to_numpy(), effects.to_numpy())
    noise = 1 / fitted.parse_hyps(fitted.hyp, phi, phi_variance)[1]
    result: FloatArray = np.sqrt(np.clip(variance - noise, 0, None) / variance)
    return result


@dataclass(frozen=True)
class _Inputs:
    """The model's covariates and batch effects of n scans, and what is to be said about them."""

    model: PCNtoolkitModel
    table: pd.DataFrame
    usable: NDArray[np.bool_]
    known_site: NDArray[np.bool_]
    in_range: NDArray[np.bool_]
    remarks: tuple[tuple[str, ...], ...]
    versions: NDArray[np.object_]

    @classmethod
    def read(cls, model: PCNtoolkitModel, data: pd.DataFrame) -> _Inputs:
        table = _own_columns(model, data)
        covariates = list(model.toolkit.covariates)
        remarks: list[list[str]] = [[] for _ in range(len(data))]
        usable: NDArray[np.bool_] = np.asarray(table.notna().drop(columns=_site_columns(model)).all(axis=1))
        known = np.ones(len(data), dtype=bool)
        for column in _site_columns(model):
            known &= np.asarray(table[column].isin(model.sites))
        if not known[usable].all() and model.unknown_sites == "refuse":
            unknown = sorted(table.loc[usable & ~known, _site_columns(model)[0]].dropna().astype(str).unique())
            raise ModelError(
                f"{model.card.name} does not know the site(s) {', '.join(unknown) or '(none given)'}",
                f"it knows {', '.join(model.sites[:10])}",
            )
        in_range = usable.copy()
        for name in covariates:
            _check_range(model, name, table[name].to_numpy(dtype=float), usable, in_range, remarks)
        for i in np.flatnonzero(~usable):
            remarks[i].append("not scored: a covariate that the model needs is missing or unreadable.")
        for i in np.flatnonzero(usable & ~known):
            remarks[i].append(
                "site unknown to the model: z is the mean over its known sites; "
                "a site adaptation on local controls is advised."
            )
        versions = np.array(major_versions(data), dtype=object)
        return cls(model, table, usable, known, in_range, tuple(tuple(r) for r in remarks), versions)

    def scorable(self) -> Iterator[tuple[NDArray[np.intp], list[pd.DataFrame]]]:
        """Rows, with one table per site that they are to be scored at."""
        rows = np.flatnonzero(self.usable & self.known_site)
        if rows.size:
            yield rows, [self.table.iloc[rows]]
        unknown = self.usable & ~self.known_site
        for version in np.unique(self.versions[unknown].astype(str)):
            rows, column = np.flatnonzero(unknown & (self.versions == version)), _site_columns(self.model)[0]
            yield rows, [self.table.iloc[rows].assign(**{column: site}) for site in self._stand_ins(version)]

    def _stand_ins(self, version: str) -> tuple[str, ...]:
        """The largest known sites of a FreeSurfer version; of all versions when none has it."""
        same = tuple(site for site in self.model.sites if self.model.site_versions.get(site) == version)
        return (same or self.model.sites)[:MAX_SITES]

    def notes(self) -> tuple[str, ...]:
        return tuple(" ".join(remarks) for remarks in self.remarks)


def _site_columns(model: PCNtoolkitModel) -> list[str]:
    return [name for name in model._effects() if model.columns[name] == "site"]


def _own_columns(model: PCNtoolkitModel, data: pd.DataFrame) -> pd.DataFrame:
    """The covariates (numbers) and batch effects (the model's labels) under the model's names."""
    out: dict[str, np.ndarray] = {}
    labels = {ours: theirs for theirs, ours in model.sex_levels.items()}
    for name in [*model.toolkit.covariates, *model._effects()]:
        column = model.columns[name]
        require(data, {column} - {"site"}, model.card)
        values = data[column] if column in data.columns else pd.Series(np.nan, index=data.index, dtype=object)
        if column == "sex":
            values = values.map(labels)
        if name in model.toolkit.covariates:
            out[name] = numbers(values) / model.scale.get(name, 1.0)
        else:
            out[name] = values.astype(object).to_numpy()
    return pd.DataFrame(out)


def _check_range(
    model: PCNtoolkitModel,
    name: str,
    values: FloatArray,
    usable: NDArray[np.bool_],
    in_range: NDArray[np.bool_],
    remarks: list[list[str]],
) -> None:
    limits = (model.toolkit.covariate_ranges or {}).get(name)
    if not limits:
        return
    low, high, scale = float(limits["min"]), float(limits["max"]), model.scale.get(name, 1.0)
    for i in np.flatnonzero(usable & ((values < low) | (values > high))):
        in_range[i] = False
        remarks[i].append(
            f"{model.columns[name]} {values[i] * scale:.6g} is outside the {low * scale:.6g} to "
            f"{high * scale:.6g} of the training data; the model's curve was continued."
        )
