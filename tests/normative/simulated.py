"""Simulated healthy people with known trajectory, scale, shape, sites and FreeSurfer versions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bids_app.regions import ETIV

THALAMUS, VENTRICLE = "Left-Thalamus", "Left-Lateral-Ventricle"


def covariates(n: int, seed: int = 0, low: float = 6.0, high: float = 80.0) -> pd.DataFrame:
    """Age, sex and eTIV of n people."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.uniform(low, high, n).round(2),
            "sex": rng.choice(["female", "male"], n),
            ETIV: rng.normal(1.5e6, 1.2e5, n).round(),
        }
    )


def thalamus_mean(table: pd.DataFrame) -> np.ndarray:
    """A curved trajectory of a deep grey structure (mm^3)."""
    x = table["age"].to_numpy() / 10
    return 3000 + 0.0025 * table[ETIV].to_numpy() + 900 * np.sqrt(x) - 280 * x


def thalamus_sd(table: pd.DataFrame) -> np.ndarray:
    """A spread that grows with age (mm^3)."""
    return np.exp(6.0 + 0.05 * table["age"].to_numpy() / 10)


def people(n: int, seed: int = 0) -> pd.DataFrame:
    """Healthy people with two regions: a thalamus (heteroscedastic, skewed) and a log-normal ventricle."""
    table = covariates(n, seed)
    rng = np.random.default_rng(seed + 1)
    z = rng.standard_normal((n, 2))
    table[THALAMUS] = thalamus_mean(table) + thalamus_sd(table) * skewed(z[:, 0])
    table[VENTRICLE] = np.exp(8.0 + 0.015 * table["age"] + 0.35 * z[:, 1])
    return table


SKEW = np.array([[-0.25, 0.9, 0.25, 0.95]])


def skewed(z: np.ndarray) -> np.ndarray:
    """Residuals of the shape `SKEW`."""
    xi, width, epsilon, delta = SKEW[0]
    return xi + width * np.sinh((np.arcsinh(z) + epsilon) / delta)
