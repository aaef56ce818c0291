"""How far two normative models agree on the same people."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.bids.names import output_path
from bids_app.errors import ModelError
from bids_app.normative.base import Z_CRITICAL, Deviations, NormativeModel
from bids_app.normative.card import ModelCard
from bids_app.regions import reference_regions
from bids_app.tables import read_json, write_json, write_tsv

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """Agreement of models A and B.

    Parameters
    ----------
    regions : DataFrame
        One row per region that both models have: ``n`` scans scored by both, Pearson ``correlation`` of z,
        ``bias`` (mean of z_B - z_A), ``rmsd`` (root mean square of z_B - z_A), and for each tail (``infra``
        z <= -1.96, ``supra`` z >= 1.96) the share of scans under each model (``infra_a``, ``infra_b``), the
        share on which both say the same (``infra_same``) and Cohen's ``infra_kappa`` (NaN where neither model
        has a scan in the tail).
    scans : DataFrame
        One row per scan, in the order of the data: number of shared regions in deviation under A and B.
    only_a, only_b : tuple of str
        Regions that one model alone has.
    """

    regions: pd.DataFrame
    scans: pd.DataFrame
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def full_comparison(model_a: NormativeModel, model_b: NormativeModel, data: pd.DataFrame) -> Comparison:
    """Score the scans of `data` (model input) with both models and compare z.

    Parameters
    ----------
    model_a, model_b : NormativeModel
    data : DataFrame
        Model input.

    Returns
    -------
    Comparison

    Raises
    ------
    ModelError
        When the models share no region of `data`.
    """
    a, b = model_a.deviations(data), model_b.deviations(data)
    shared = tuple(name for name in a.regions if name in b.regions)
    if not shared:
        raise ModelError(f"{model_a.card.name} and {model_b.card.name} have no region of the table in common")
    z_a, z_b = _columns(a, shared), _columns(b, shared)
    rows = [{"region": name, **_agreement(z_a[:, j], z_b[:, j])} for j, name in enumerate(shared)]
    return Comparison(
        pd.DataFrame(rows),
        _by_scan(data, shared, z_a, z_b),
        tuple(name for name in a.regions if name not in shared),
        tuple(name for name in b.regions if name not in shared),
    )


@lru_cache(maxsize=1)
def column_dictionary() -> dict[str, Any]:
    """BIDS data dictionary of both tables of a comparison."""
    return dict(read_json(str(files("bids_app.data") / "comparison_columns.json")))


def write_comparison(comparison: Comparison, card_a: ModelCard, card_b: ModelCard, folder: Path) -> Path:
    """Write ``comparison.tsv``, ``comparison_scans.tsv`` and ``comparison_models.json`` (both cards) into `folder`."""
    columns = column_dictionary()
    write_tsv(comparison.regions, output_path(folder, "comparison.tsv"), columns)
    write_tsv(comparison.scans, output_path(folder, "comparison_scans.tsv"), columns)
    write_json(
        {
            "a": card_a.to_json(),
            "b": card_b.to_json(),
            "only_a": list(comparison.only_a),
            "only_b": list(comparison.only_b),
            "n_scans": len(comparison.scans),
        },
        output_path(folder, "comparison_models.json"),
    )
    return folder


def _columns(found: Deviations, regions: tuple[str, ...]) -> FloatArray:
    return found.z[:, [found.regions.index(name) for name in regions]]


def _agreement(z_a: FloatArray, z_b: FloatArray) -> dict[str, float]:
    both = np.isfinite(z_a) & np.isfinite(z_b)
    x, y = z_a[both], z_b[both]
    difference = y - x
    out: dict[str, float] = {"n": int(both.sum())}
    enough = x.size > 2 and x.std() > 0 and y.std() > 0
    out["correlation"] = float(np.corrcoef(x, y)[0, 1]) if enough else np.nan
    out["bias"] = float(difference.mean()) if x.size else np.nan
    out["rmsd"] = float(np.sqrt(np.mean(difference**2))) if x.size else np.nan
    for tail, sign in (("infra", -1), ("supra", 1)):
        out.update(_tail(tail, sign * x >= Z_CRITICAL, sign * y >= Z_CRITICAL))
    return out


def _tail(tail: str, in_a: BoolArray, in_b: BoolArray) -> dict[str, float]:
    if not in_a.size:
        return dict.fromkeys((f"{tail}_a", f"{tail}_b", f"{tail}_same", f"{tail}_kappa"), np.nan)
    p_a, p_b, same = float(in_a.mean()), float(in_b.mean()), float((in_a == in_b).mean())
    by_chance = p_a * p_b + (1 - p_a) * (1 - p_b)
    kappa = (same - by_chance) / (1 - by_chance) if by_chance < 1 else np.nan
    return {f"{tail}_a": p_a, f"{tail}_b": p_b, f"{tail}_same": same, f"{tail}_kappa": kappa}


def _by_scan(data: pd.DataFrame, shared: tuple[str, ...], z_a: FloatArray, z_b: FloatArray) -> pd.DataFrame:
    """Counts over the reference regions that both models have (all shared regions when they share none of these)."""
    reference = set(reference_regions())
    counted = [j for j, name in enumerate(shared) if name in reference] or list(range(len(shared)))
    ids = {name: data[name].to_numpy() for name in ("participant_id", "session_id") if name in data}
    out = pd.DataFrame(ids or {"row": np.arange(len(data))})
    both = np.isfinite(z_a) & np.isfinite(z_b)
    out["n_regions"] = both[:, counted].sum(axis=1)
    for label, z in (("a", z_a), ("b", z_b)):
        kept = np.where(both, z, 0.0)[:, counted]
        out[f"n_infra_{label}"] = (kept <= -Z_CRITICAL).sum(axis=1)
        out[f"n_supra_{label}"] = (kept >= Z_CRITICAL).sum(axis=1)
    return out
