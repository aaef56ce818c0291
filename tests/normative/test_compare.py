"""Agreement of two models, computed by hand on few people."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative import compare
from bids_app.normative.base import Deviations
from bids_app.normative.card import ModelCard
from bids_app.normative.compare import full_comparison, write_comparison
from bids_app.tables import read_json, read_table


@dataclass(frozen=True)
class Fixed:
    """A model with given z, one column per region."""

    name: str
    z: dict

    @property
    def card(self) -> ModelCard:
        return ModelCard(name=self.name, version="1", title="t", summary="s", licence="CC0-1.0", date="2026-01-01")

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(self.z)

    def deviations(self, data, adaptation=None) -> Deviations:
        z = np.column_stack(list(self.z.values())).astype(float)
        return Deviations(self.regions, z, z, z, z, z, z > 0)

    def volumes_at(self, data, z, regions, adaptation=None):
        raise NotImplementedError


A = Fixed("a", {"Left-Thalamus": [-3, -2, 0, 1, 2.5], "Left-Caudate": [0, 0, 0, 0, 0], "Left-Putamen": [1, 2, 3, 4, 5]})
B = Fixed("b", {"Left-Caudate": [1, 1, 1, 1, np.nan], "Left-Thalamus": [-2.5, -1, 0, 1, 1.5], "Brain-Stem": [0] * 5})
DATA = pd.DataFrame({"participant_id": [f"sub-{i}" for i in range(5)]})


def row(region: str) -> pd.Series:
    return full_comparison(A, B, DATA).regions.set_index("region").loc[region]


def test_only_shared_regions_are_compared_in_the_order_of_a():
    found = full_comparison(A, B, DATA)
    assert found.regions["region"].tolist() == ["Left-Thalamus", "Left-Caudate"]
    assert (found.only_a, found.only_b) == (("Left-Putamen",), ("Brain-Stem",))


def test_bias_rmsd_and_correlation_are_of_b_minus_a():
    x, y = np.array(A.z["Left-Thalamus"]), np.array(B.z["Left-Thalamus"])
    thalamus = row("Left-Thalamus")
    assert thalamus["n"] == 5
    assert thalamus["bias"] == pytest.approx(np.mean(y - x))
    assert thalamus["rmsd"] == pytest.approx(np.sqrt(np.mean((y - x) ** 2)))
    assert thalamus["correlation"] == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_missing_scans_count_for_neither_model():
    caudate = row("Left-Caudate")
    assert caudate["n"] == 4
    assert caudate["bias"] == 1.0
    assert np.isnan(caudate["correlation"])
    assert np.isnan(caudate["infra_kappa"])
    assert caudate["infra_same"] == 1.0


def test_tail_agreement_is_cohens_kappa():
    thalamus = row("Left-Thalamus")
    assert (thalamus["infra_a"], thalamus["infra_b"], thalamus["infra_same"]) == (0.4, 0.2, 0.8)
    by_chance = 0.4 * 0.2 + 0.6 * 0.8
    assert thalamus["infra_kappa"] == pytest.approx((0.8 - by_chance) / (1 - by_chance))
    assert (thalamus["supra_a"], thalamus["supra_b"]) == (0.2, 0.0)
    assert thalamus["supra_kappa"] == pytest.approx(0.0)


def test_counts_per_scan_are_over_the_shared_regions():
    scans = full_comparison(A, B, DATA).scans
    assert scans["n_regions"].tolist() == [2, 2, 2, 2, 1]
    assert scans["n_infra_a"].tolist() == [1, 1, 0, 0, 0]
    assert scans["n_infra_b"].tolist() == [1, 0, 0, 0, 0]
    assert scans["n_supra_a"].tolist() == [0, 0, 0, 0, 1]


def test_models_without_a_common_region_are_refused():
    with pytest.raises(ModelError, match="no region of the table in common"):
        full_comparison(A, Fixed("c", {"Brain-Stem": [0] * 5}), DATA)


def test_a_model_agrees_with_itself():
    same = full_comparison(A, A, DATA).regions
    assert (same["rmsd"] == 0).all()
    assert (same[["infra_same", "supra_same"]] == 1).all(axis=None)


def test_the_tables_are_described_and_the_same_every_time(tmp_path):
    found = full_comparison(A, B, DATA)
    for name in ("one", "two"):
        write_comparison(found, A.card, B.card, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    table = read_table(tmp_path / "one" / "comparison.tsv")
    assert set(read_json(tmp_path / "one" / "comparison.json")) == set(table.columns)
    assert read_json(tmp_path / "one" / "comparison_models.json")["only_a"] == ["Left-Putamen"]


def test_agreement_of_few_or_constant_z():
    found = compare._agreement(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 1.0]))
    assert found["correlation"] == pytest.approx(0.5)
    for x, y in (([0.0, 1.0], [0.0, 2.0]), ([1.0, 1.0, 1.0], [0.0, 1.0, 2.0]), ([0.0, 1.0, 2.0], [1.0, 1.0, 1.0])):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isnan(compare._agreement(np.array(x), np.array(y))["correlation"])
    none = compare._agreement(np.array([np.nan]), np.array([1.0]))
    assert none.pop("n") == 0
    assert set(none) == set(found) - {"n"}
    assert all(np.isnan(value) for value in none.values())


def test_limits_belong_to_the_tails_of_both_models():
    limit = np.array([-1.96, 1.96, 0.0])
    inner = np.array([-1.95, 1.95, 0.0])
    found = compare._agreement(limit, inner)
    assert [found[f"{tail}_{which}"] for tail in ("infra", "supra") for which in "ab"] == [1 / 3, 0, 1 / 3, 0]
    found = compare._agreement(inner, limit)
    assert [found[f"{tail}_{which}"] for tail in ("infra", "supra") for which in "ab"] == [0, 1 / 3, 0, 1 / 3]


def test_scans_are_counted_over_reference_regions_where_there_are_any():
    z_a = np.array([[-1.96, -5.0], [1.96, 5.0], [9.0, np.nan]])
    z_b = np.array([[-1.95, -5.0], [1.95, 5.0], [np.nan, 0.0]])
    mixed = compare._by_scan(pd.DataFrame(index=range(3)), ("Left-Thalamus", "lh_insula_thickness"), z_a, z_b)
    assert mixed.to_dict("list") == {
        "row": [0, 1, 2],
        "n_regions": [1, 1, 0],
        "n_infra_a": [1, 0, 0],
        "n_supra_a": [0, 1, 0],
        "n_infra_b": [0, 0, 0],
        "n_supra_b": [0, 0, 0],
    }
    data = pd.DataFrame({"participant_id": list("xyz"), "session_id": 1})
    others = compare._by_scan(data, ("a_thickness", "b_thickness"), z_a, z_b)
    assert others["n_regions"].tolist() == [2, 2, 0]
    assert others["n_infra_a"].tolist() == [2, 0, 0]
    assert others.columns.tolist()[:2] == ["participant_id", "session_id"]


def test_the_folder_is_given_back(tmp_path):
    assert write_comparison(full_comparison(A, B, DATA), A.card, B.card, tmp_path / "c") == tmp_path / "c"
