"""A simulated cohort of people with MS and controls whose true effects are known.

Sizes and effects are those that the source study (Korbmacher et al. 2026) published, so that the clinical
statistics can be shown to find them: 362 people, 953 scans over up to 12 years, 4.51 against 1.67
deviations (rate ratio 2.70), thalamus in deviation in 25 %, and standardised associations with EDSS. Nobody in it
is real.

z of region r at visit t of person i is ``m_r + d t + sqrt(1 - h) P_ir + sqrt(h) E_itr`` with P and E standard
normal and correlated over regions as in healthy people, h the share of variance within people. EDSS is
``2.6 + 1.5 (sqrt(1 - w) B_i + sqrt(w) W_it) + trend t``, rounded to half points; B is a linear function of P and W
of E plus independent parts, solved so that first-visit correlations have the wanted values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.clinical.deviations import REGION_CORRELATION
from bids_app.clinical.stats.risk_rules import reference_k
from bids_app.normative.base import Z_CRITICAL
from bids_app.regions import reference_regions, region_table
from bids_app.simulation.correlated import correlated_z, side_correlation

PATIENT, CONTROL = "MS", "HC"
STRUCTURES = ("Thalamus", "Hippocampus", "Putamen")
# Share of z's variance within people (1 - the ICC of FreeSurfer volumes), and of EDSS's.
WITHIN_Z, WITHIN_EDSS = 0.12, 0.28
EDSS_MEAN, EDSS_SD, EDSS_MAX = 2.6, 1.5, 9.5


@dataclass(frozen=True)
class CohortEffects:
    """True parameters of a simulated cohort.

    Parameters
    ----------
    n_people, n_scans, n_controls : int
    years : float
        Longest follow-up.
    mean_patients, mean_controls : float
        Expected number of infra-normal deviations at the first scan.
    shares : tuple of float
        Expected share of patients in deviation in each side of thalamus, hippocampus and putamen.
    beta_count : float
        Correlation of EDSS with the number of deviations at the first visit.
    betas : tuple of float
        Correlation of EDSS with z of thalamus, hippocampus and putamen (either side) at the first visit.
    within : tuple of float
        Correlation within people of EDSS with z of all other regions (mean), thalamus, hippocampus and putamen. The
        defaults were found by Newton's method on cohorts of 21,720 people so that the mixed models give the
        published coefficients (`PUBLISHED_LONGITUDINAL`): the weak one of the count asks for the sign of the first.
    decline, edss_trend : float
        Change of z and of EDSS per year in patients.
    relapse_rate, hazard_ratio : float
        Relapses per year, and how many times as many people have who exceed the reference's 97.5th centile.
    """

    n_people: int = 362
    n_scans: int = 953
    n_controls: int = 1000
    years: float = 12.0
    mean_patients: float = 4.51
    mean_controls: float = 1.67
    shares: tuple[float, float, float] = (0.25, 0.12, 0.12)
    beta_count: float = 0.24
    betas: tuple[float, float, float] = (-0.23, -0.20, -0.17)
    within: tuple[float, float, float, float] = (0.162, -0.2545, -0.226, -0.198)
    decline: float = -0.01
    edss_trend: float = 0.03
    relapse_rate: float = 0.15
    hazard_ratio: float = 1.8

    @property
    def rate_ratio(self) -> float:
        """True incidence rate ratio of deviations, patients against controls."""
        return self.mean_patients / self.mean_controls


PUBLISHED = CohortEffects()
PUBLISHED_LONGITUDINAL = {"n_infra": 0.07, "Thalamus": -0.18, "Hippocampus": -0.16, "Putamen": -0.14}
# Groups differ in nothing, and deviations are related to nothing.
NULL = CohortEffects(
    mean_controls=4.51,
    beta_count=0.0,
    betas=(0.0, 0.0, 0.0),
    within=(0.0, 0.0, 0.0, 0.0),
    decline=0.0,
    hazard_ratio=1.0,
)


def simulate_cohort(seed: int, effects: CohortEffects = PUBLISHED) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a cohort. Same seed and effects, same tables.

    Returns
    -------
    cohort : DataFrame
        One row per scan: ``participant_id session_id age sex etiv_mm3 diagnosis years_from_first edss relapse_dates``
        (years since the first visit, at the first row of a person). Controls have one scan each.
    zscores : DataFrame
        Same rows, one column per reference region.
    """
    rng = np.random.default_rng(seed)
    regions = list(reference_regions())
    person, years = _visits(effects, rng)
    z, edss = _patients(effects, person, years, rng)
    controls = correlated_z(effects.n_controls, regions, rng) + control_means(effects)
    first = np.flatnonzero(np.diff(person, prepend=-1))
    at_risk = (z[first] <= -Z_CRITICAL).sum(axis=1) >= reference_k(len(regions))
    last = np.append(first[1:], len(person)) - 1
    relapses = _relapses(effects, at_risk, years[last], rng)
    patients = pd.DataFrame(
        {
            "participant_id": [f"sub-{PATIENT}{number + 1:05}" for number in person],
            "session_id": [f"ses-{number + 1}" for number in np.arange(len(person)) - first[person]],
            "diagnosis": PATIENT,
            "years_from_first": years,
            "edss": edss,
            "relapse_dates": [relapses[number] if row == first[number] else None for row, number in enumerate(person)],
        }
    )
    people = _people(effects.n_people, 42, 10, 0.70, rng).iloc[person].reset_index(drop=True)
    people["age"] += years
    others = _people(effects.n_controls, 45, 15, 0.55, rng)
    healthy = pd.DataFrame(
        {
            "participant_id": [f"sub-{CONTROL}{number + 1:05}" for number in range(effects.n_controls)],
            "session_id": "ses-1",
            "diagnosis": CONTROL,
            "years_from_first": 0.0,
        }
    )
    cohort = pd.concat([pd.concat([patients, people], axis=1), pd.concat([healthy, others], axis=1)], ignore_index=True)
    return cohort, pd.DataFrame(np.vstack([z, controls]), columns=regions)


def _people(n: int, age: float, spread: float, female: float, rng: np.random.Generator) -> pd.DataFrame:
    sex = np.where(rng.random(n) < female, "female", "male")
    etiv = rng.normal(np.where(sex == "female", 1.42e6, 1.60e6), 1.2e5)
    return pd.DataFrame({"age": np.clip(rng.normal(age, spread, n), 18, 80), "sex": sex, "etiv_mm3": etiv})


def _visits(effects: CohortEffects, rng: np.random.Generator) -> tuple[np.ndarray, FloatArray]:
    """Person and years since the first visit of each scan; visits of a person are evenly spaced."""
    n = effects.n_people
    number = 1 + rng.multinomial(effects.n_scans - n, np.full(n, 1 / n))
    person = np.repeat(np.arange(n), number)
    index = np.arange(len(person)) - np.repeat(np.cumsum(number) - number, number)
    length = rng.uniform(1, effects.years, n)
    return person, length[person] * index / np.maximum(number - 1, 1)[person]


def _patients(
    effects: CohortEffects, person: np.ndarray, years: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """z (n, 82) and EDSS (n,) of the scans."""
    regions = list(reference_regions())
    own = correlated_z(effects.n_people, regions, rng)
    scan = correlated_z(len(person), regions, rng)
    between, within = _weights(effects)
    z = patient_means(effects) + np.sqrt(1 - WITHIN_Z) * own[person] + np.sqrt(WITHIN_Z) * scan
    z += effects.decline * years[:, None]
    stable = own @ between + np.sqrt(1 - _variance(between)) * rng.standard_normal(effects.n_people)
    moving = scan @ within + np.sqrt(1 - _variance(within)) * rng.standard_normal(len(person))
    latent = np.sqrt(1 - WITHIN_EDSS) * stable[person] + np.sqrt(WITHIN_EDSS) * moving
    return z, _edss(EDSS_MEAN + EDSS_SD * latent + effects.edss_trend * years)


def _edss(score: FloatArray) -> FloatArray:
    return np.clip(np.round(2 * score) / 2, 0, EDSS_MAX)


def _relapses(
    effects: CohortEffects, at_risk: np.ndarray, length: FloatArray, rng: np.random.Generator
) -> list[str | None]:
    """Times of relapses of each person within the follow-up, as text."""
    rate = effects.relapse_rate * np.where(at_risk, effects.hazard_ratio, 1.0)
    number = rng.poisson(rate * length)
    times = [np.sort(rng.uniform(0, end, count)) for end, count in zip(length, number, strict=True)]
    return ["; ".join(f"{at:.4f}" for at in found) or None for found in times]


def patient_means(effects: CohortEffects = PUBLISHED) -> FloatArray:
    """Mean z (82,) of patients at the first scan that gives the wanted shares and number of deviations."""
    from scipy.special import ndtri

    group = _structure_of()
    named = np.array([*effects.shares, 0.0])[group]
    rest = group == len(STRUCTURES)
    share = np.where(rest, (effects.mean_patients - named.sum()) / rest.sum(), named)
    return np.asarray(-Z_CRITICAL - ndtri(share))


def control_means(effects: CohortEffects = PUBLISHED) -> FloatArray:
    """Mean z (82,) of controls: the same everywhere, or that of patients where the groups do not differ."""
    from scipy.special import ndtri

    if effects.mean_controls == effects.mean_patients:
        return patient_means(effects)
    n_regions = len(reference_regions())
    return np.full(n_regions, -Z_CRITICAL - ndtri(effects.mean_controls / n_regions))


def _structure_of() -> np.ndarray:
    """Index into `STRUCTURES` of each reference region; its length for all others."""
    bases = region_table()["base"]
    return np.array(
        [
            STRUCTURES.index(bases[name]) if bases[name] in STRUCTURES else len(STRUCTURES)
            for name in reference_regions()
        ]
    )


@lru_cache(maxsize=1)
def _correlation() -> FloatArray:
    """Correlation (82, 82) that `correlated_z` draws from."""
    regions = list(reference_regions())
    base = region_table()["base"].reindex(regions).to_numpy()
    matrix = np.full((len(regions), len(regions)), REGION_CORRELATION)
    sides = np.array([side_correlation(name) for name in regions])
    pair = base[:, None] == base[None, :]
    matrix[pair] = np.broadcast_to(sides, matrix.shape)[pair]
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _variance(weights: FloatArray) -> float:
    return float(weights @ _correlation() @ weights)


@lru_cache(maxsize=8)
def _weights(effects: CohortEffects) -> tuple[FloatArray, FloatArray]:
    """Weights (82,) of the regions in the stable and the moving part of EDSS.

    Regions of a structure share a weight, all others another; four wanted values make a linear system of four.
    """
    from scipy.stats import norm

    group, correlation = _structure_of(), _correlation()
    basis = np.eye(len(STRUCTURES) + 1)[group]
    covariance = correlation @ basis
    of_structure = np.stack([covariance[group == index][0] for index in range(len(STRUCTURES))])
    # Stein: cov(EDSS, 1[z <= c]) = -cov(EDSS, z) phi(c - mean)
    density = norm.pdf(-Z_CRITICAL - patient_means(effects))
    of_count = -density @ covariance
    wanted = np.array([*effects.betas, effects.beta_count * _count_sd(effects)])
    first_visit = wanted / (_rounding_loss() * np.sqrt((1 - WITHIN_Z) * (1 - WITHIN_EDSS)))
    # The moving parts of z and EDSS share the first visit too.
    moving = _moving_weights(effects, basis, covariance, of_structure)
    system = np.vstack([of_structure, of_count])
    shared = np.sqrt(WITHIN_Z * WITHIN_EDSS / ((1 - WITHIN_Z) * (1 - WITHIN_EDSS))) * system @ moving
    return basis @ np.linalg.solve(system, first_visit - shared), basis @ moving


def _moving_weights(
    effects: CohortEffects, basis: FloatArray, covariance: FloatArray, of_structure: FloatArray
) -> FloatArray:
    """Weights of the four groups of regions that give the correlations `effects.within`."""
    rest = basis[:, -1] == 1
    system = np.vstack([covariance[rest].mean(axis=0), of_structure])
    return np.asarray(np.linalg.solve(system, np.array(effects.within)))


@lru_cache(maxsize=8)
def _count_sd(effects: CohortEffects) -> float:
    """Standard deviation of the number of infra-normal deviations of patients at the first scan."""
    from scipy.special import ndtr

    cut, correlation = -Z_CRITICAL - patient_means(effects), _correlation()
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    variance = 0.0
    for value in np.unique(correlation.round(12)):
        rows, columns = np.nonzero(np.isclose(correlation, value))
        if value == 1:
            chance = ndtr(cut[rows])
            variance += float((chance * (1 - chance)).sum())
            continue
        side = ndtr((cut[None, :] - np.sqrt(value) * nodes[:, None]) / np.sqrt(1 - value))
        joint = np.einsum("k,kr,kr->r", weights, side[:, rows], side[:, columns])
        variance += float((joint - ndtr(cut[rows]) * ndtr(cut[columns])).sum())
    return float(np.sqrt(variance))


@lru_cache(maxsize=1)
def _rounding_loss() -> float:
    """Correlation of the rounded, bounded EDSS with its latent value."""
    grid = np.linspace(-8, 8, 200_001)
    weight = np.exp(-(grid**2) / 2)
    weight /= weight.sum()
    shown = _edss(EDSS_MEAN + EDSS_SD * grid)
    spread = np.sqrt(weight @ shown**2 - (weight @ shown) ** 2)
    return float((weight * grid) @ shown / spread)


def larger(effects: CohortEffects, times: int) -> CohortEffects:
    """The same effects in a cohort `times` as large, to read off what a statistic estimates."""
    return replace(
        effects,
        n_people=effects.n_people * times,
        n_scans=effects.n_scans * times,
        n_controls=effects.n_controls * times,
    )
