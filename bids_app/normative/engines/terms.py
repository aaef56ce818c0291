"""Models that are sums of products: age and eTIV polynomials, splines, site terms, with an optional warp.

This is the form into which models of others are brought whose mean is linear in known terms but is no fractional
polynomial (Braincharts, NOMIS). For the design row x of a scan, with response g (identity or log10) and warp f::

    z = (f(g(volume)) - x m) / sqrt(noise + |L x|^2),    f(y) = sinh(b asinh(y) + epsilon b) or y

Term names are products of ``age``, ``etiv`` (both minus their centre), ``sex_male`` (0 or 1), ``spline0`` ... (cubic
B-spline basis of age) and ``site=NAME``; the empty product is the intercept. A site that the model does not know gets
the mean of the site terms, and their spread is in `z_se`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError
from bids_app.normative.base import Adaptation, Deviations, NormativeModel, adapt, scored_regions, unadapt
from bids_app.normative.card import ModelCard
from bids_app.normative.covariates import inside_ranges, read_basics
from bids_app.normative.documents import digest, read_document, write_document
from bids_app.normative.parameters import triangle

FORMAT = "normvol-terms"
FORMAT_VERSION = "1.0"
SITE = "site="
SPLINE = "spline"
VARIABLES = ("age", "etiv", "sex_male")
RESPONSES = ("identity", "log10")

Term = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TermsFit:
    """One region.

    Parameters
    ----------
    terms : tuple of products
    coefficients : (q,) tuple
    noise : float
        Residual variance on the scale of the (warped) response.
    response : str
        ``identity`` or ``log10`` of the volume in mm^3.
    warp : (epsilon, b), optional
    root : tuple, optional
        Rows of the lower triangular L of the coefficients' covariance.
    """

    terms: tuple[Term, ...]
    coefficients: tuple[float, ...]
    noise: float
    response: str = "identity"
    warp: tuple[float, float] | None = None
    root: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class TermsModel(NormativeModel):
    """A `NormativeModel` made of `TermsFit`.

    Parameters
    ----------
    card : ModelCard
    fits : mapping of region to TermsFit
    centre : mapping
        What is taken off ``age`` (years) and ``etiv`` (mm^3) before products are formed.
    knots : tuple of float
        Of the cubic B-spline, with repeated ends; empty when there is none.
    digest : str
    """

    card: ModelCard
    fits: Mapping[str, TermsFit]
    centre: Mapping[str, float] = field(default_factory=dict)
    knots: tuple[float, ...] = ()
    digest: str = ""

    @cached_property
    def regions(self) -> tuple[str, ...]:
        return tuple(self.fits)

    @property
    def extra_covariates(self) -> tuple[str, ...]:
        """The site, where the model has terms of sites."""
        return ("site",) if self.sites else ()

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Sites that the model has a term for."""
        found = {
            name: None for fit in self.fits.values() for term in fit.terms for name in term if name.startswith(SITE)
        }
        return tuple(name.removeprefix(SITE) for name in found)

    @cached_property
    def needs_etiv(self) -> bool:
        return any("etiv" in term for fit in self.fits.values() for term in fit.terms)

    def deviations(self, data: pd.DataFrame, adaptation: Adaptation | None = None) -> Deviations:
        regions = scored_regions(self, data)
        scans = _Scans.read(self, data)
        observed = data[list(regions)].to_numpy(dtype=float)
        z, se = np.full(observed.shape, np.nan), np.full(observed.shape, np.nan)
        for j, fit, mean, variance, uncertain in self._moments(scans, regions):
            z[:, j] = (_warped(fit, _responded(fit, observed[:, j])) - mean) / np.sqrt(variance)
            se[:, j] = np.sqrt(uncertain / variance)
        z, se = adapt(z, se, adaptation, data, regions)
        expected = self.volumes_at(data, np.zeros(observed.shape), regions, adaptation)
        in_range = np.repeat(scans.in_range[:, None], len(regions), axis=1)
        return Deviations(regions, observed, expected, z, se, 100 * ndtr(z), in_range, scans.notes)

    def volumes_at(
        self, data: pd.DataFrame, z: FloatArray, regions: tuple[str, ...], adaptation: Adaptation | None = None
    ) -> FloatArray:
        raw = unadapt(z, adaptation, data, regions)
        out = np.full(raw.shape, np.nan)
        for j, fit, mean, variance, _ in self._moments(_Scans.read(self, data), regions):
            out[:, j] = _volume(fit, mean + np.sqrt(variance) * raw[:, j])
        return out

    def _moments(
        self, scans: _Scans, regions: tuple[str, ...]
    ) -> Iterator[tuple[int, TermsFit, FloatArray, FloatArray, FloatArray]]:
        """Per region: index, fit, mean, predictive variance, and the part of it that is uncertainty."""
        designs: dict[tuple[Term, ...], FloatArray] = {}
        for j, region in enumerate(regions):
            fit = self.fits[region]
            if fit.terms not in designs:
                designs[fit.terms] = scans.design(fit.terms)
            x, coefficients = designs[fit.terms], np.array(fit.coefficients)
            variance = np.zeros(len(x))
            if fit.root is not None:
                variance = np.square(x @ triangle(fit.root, x.shape[1]).T).sum(axis=1)
            site = [i for i, term in enumerate(fit.terms) if any(name.startswith(SITE) for name in term)]
            between = float(np.var(coefficients[site])) if site else 0.0
            uncertain = variance + np.where(scans.known_site, 0.0, between)
            yield j, fit, x @ coefficients, fit.noise + variance, uncertain


@dataclass(frozen=True)
class _Scans:
    """Variables of n scans; NaN where a scan cannot be scored."""

    values: Mapping[str, FloatArray]
    spline: FloatArray
    site: np.ndarray
    sites: tuple[str, ...]
    known_site: np.ndarray
    in_range: np.ndarray
    notes: tuple[str, ...]

    @classmethod
    def read(cls, model: TermsModel, data: pd.DataFrame) -> _Scans:
        basics = read_basics(data, model.card, etiv=model.needs_etiv)
        age, sex, etiv, bad = basics.age, basics.sex, basics.etiv, ~basics.usable
        male = np.where(bad, np.nan, (sex == "male").astype(float))
        site = data["site"].astype(str).to_numpy() if "site" in data.columns else np.full(len(data), "")
        known = np.isin(site, model.sites) | (not model.sites)
        in_range = ~bad & inside_ranges(age, sex, model.card.age_range)
        if model.needs_etiv:
            in_range &= inside_ranges(etiv, sex, model.card.etiv_range)
        values = {
            "age": age - model.centre.get("age", 0.0),
            "etiv": etiv - model.centre.get("etiv", 0.0),
            "sex_male": male,
        }
        return cls(
            values,
            _spline(model.knots, np.where(bad, np.nan, age)),
            site,
            model.sites,
            known,
            in_range,
            _notes(bad, known, in_range),
        )

    def design(self, terms: tuple[Term, ...]) -> FloatArray:
        """Design matrix (n, q); rows of scans that cannot be scored are NaN."""
        columns = []
        for term in terms:
            column = np.where(np.isnan(self.values["sex_male"]), np.nan, 1.0)
            for name in term:
                column = column * self._variable(name)
            columns.append(column)
        return np.column_stack(columns)

    def _variable(self, name: str) -> FloatArray:
        if name.startswith(SITE):
            value: FloatArray = np.where(self.known_site, self.site == name.removeprefix(SITE), 1 / len(self.sites))
            return value
        return self.spline[:, int(name.removeprefix(SPLINE))] if name.startswith(SPLINE) else self.values[name]


def _notes(bad: np.ndarray, known: np.ndarray, in_range: np.ndarray) -> tuple[str, ...]:
    out = []
    for unusable, site, inside in zip(bad, known, in_range):
        if unusable:
            out.append("not scored: a covariate that the model needs is missing or unreadable.")
            continue
        outside = "age or intracranial volume is outside the training data; the model's curve was continued."
        unknown = (
            "site unknown to the model: the mean of its sites was used; a site adaptation on local controls is advised."
        )
        out.append(" ".join(([] if inside else [outside]) + ([] if site else [unknown])))
    return tuple(out)


def _spline(knots: tuple[float, ...], age: FloatArray) -> FloatArray:
    """Cubic B-spline basis of age (n, number of knots - 4); ages beyond the knots are taken at the end."""
    if not knots:
        return np.empty((age.size, 0))
    from scipy.interpolate import BSpline

    out = np.full((age.size, len(knots) - 4), np.nan)
    usable = np.isfinite(age)
    inside = np.clip(age[usable], knots[0], knots[-1])
    out[usable] = BSpline.design_matrix(inside, np.array(knots), 3).toarray()
    return out


def _responded(fit: TermsFit, volume: FloatArray) -> FloatArray:
    if fit.response == "identity":
        return volume
    return np.log10(np.where(volume > 0, volume, np.nan))


def _warped(fit: TermsFit, response: FloatArray) -> FloatArray:
    if fit.warp is None:
        return response
    epsilon, b = fit.warp
    warped: FloatArray = np.sinh(b * np.arcsinh(response) + epsilon * b)
    return warped


def _volume(fit: TermsFit, value: FloatArray) -> FloatArray:
    if fit.warp is not None:
        epsilon, b = fit.warp
        value = np.sinh((np.arcsinh(value) - epsilon * b) / b)
    return value if fit.response == "identity" else 10**value


def save(model: TermsModel, path: Path | str) -> Path:
    """Write the model as readable JSON."""
    return write_document(_body(model), path)


def with_digest(model: TermsModel) -> TermsModel:
    """The model with the digest that its file would have."""
    return replace(model, digest=digest(_body(model)))


def _body(model: TermsModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "card": model.card.to_json(),
        "centre": dict(model.centre),
        "knots": list(model.knots),
        "regions": {
            name: {key: _lists(value) for key, value in vars(fit).items() if value is not None}
            for name, fit in model.fits.items()
        },
    }


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def from_document(document: Mapping[str, Any], source: str) -> TermsModel:
    """Build a model from plain values, checking every one.

    Raises
    ------
    ModelError
        When something is missing, of the wrong kind, or was changed after saving.
    """
    if str(document.get("format_version", "")).split(".")[0] != FORMAT_VERSION.split(".")[0]:
        raise ModelError(
            f"{source} has format version {document.get('format_version')!r}, this software reads {FORMAT_VERSION}",
            "update normvol or import the model again",
        )
    body = {key: value for key, value in document.items() if key != "digest"}
    try:
        if digest(body) != document["digest"]:
            raise ModelError(f"the content of {source} does not match its digest", "import the model again")
        fits = {str(name): _fit(values) for name, values in document["regions"].items()}
        return TermsModel(
            card=ModelCard.from_json(document["card"]),
            fits=fits,
            digest=document["digest"],
            centre={name: float(value) for name, value in document["centre"].items()},
            knots=tuple(float(value) for value in document["knots"]),
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{source} is not a valid model of terms ({error})", "import the model again") from error


def _fit(values: Mapping[str, Any]) -> TermsFit:
    fit = TermsFit(
        terms=tuple(tuple(str(name) for name in term) for term in values["terms"]),
        coefficients=_floats(values["coefficients"]),
        noise=float(values["noise"]),
        response=values["response"],
        warp=None if "warp" not in values else (float(values["warp"][0]), float(values["warp"][1])),
        root=None if "root" not in values else _floats(values["root"]),
    )
    size = len(fit.terms)
    for name in {name for term in fit.terms for name in term}:
        if name not in VARIABLES and not name.startswith((SITE, SPLINE)):
            raise ValueError(f"unknown variable {name!r}")
    whole = len(fit.coefficients) == size and (fit.root is None or len(fit.root) == size * (size + 1) // 2)
    if not whole or fit.response not in RESPONSES or not fit.noise > 0 or not np.isfinite(fit.coefficients).all():
        raise ValueError("terms, coefficients and variance do not fit together")
    return fit


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def load(path: Path | str) -> TermsModel:
    """Read a model file of this form.

    Raises
    ------
    ModelError
        When it is damaged, of another version, or was changed.
    """
    document = read_document(path, "import the model again")
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelError(f"{path} is not a model of the form {FORMAT}")
    return from_document(document, str(path))
