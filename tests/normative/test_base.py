"""What every model offers when its engine has nothing of its own, and what deviations become."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError, UsageError
from bids_app.normative import base
from bids_app.normative.base import Deviations
from tests.normative.gaussian_model import REGIONS, GaussianModel

MODEL = GaussianModel()
DATA = pd.DataFrame(
    {"age": [40.0, 60.0], **dict(zip(REGIONS, [[1010, 970.4], [1030, 990], [1000, 1009.6], [990, 990]]))}
)


def deviations(**changed):
    return Deviations(
        **{
            "regions": ("Left-Thalamus", "lh_insula_thickness"),
            "observed": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
            "expected": np.array([[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]]),
            "z": np.array([[-1.96, 1.96], [-1.95, 1.95], [np.nan, 9.0]]),
            "z_se": np.full((3, 2), 0.1),
            "centile": np.full((3, 2), 50.0),
            "in_range": np.array([[True, False], [True, True], [False, False]]),
            **changed,
        }
    )


@pytest.mark.parametrize("values", ["z", "centile", "expected", "observed", "z_se", "in_range"])
def test_a_frame_has_one_row_per_scan(values):
    found = deviations().to_frame(values)
    assert (found.columns.tolist(), found.index.tolist()) == (["Left-Thalamus", "lh_insula_thickness"], [0, 1, 2])
    np.testing.assert_array_equal(found.to_numpy(), getattr(deviations(), values))
    with pytest.raises(UsageError, match="there are no values 'notes'"):
        deviations().to_frame("notes")


def test_a_long_table_goes_scan_by_scan():
    scans = pd.DataFrame({"participant_id": ["a", "b", "c"]}, index=[7, 8, 9])
    found = deviations(scans=scans).to_long()
    assert found["participant_id"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert found.index.tolist() == [7, 7, 8, 8, 9, 9]
    assert found["region"].tolist() == ["Left-Thalamus", "lh_insula_thickness"] * 3
    assert found["measure"].tolist() == ["volume", "thickness"] * 3
    assert found["unit"].tolist() == ["mm^3", "mm"] * 3
    assert found["observed"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found["in_range"].tolist() == [True, False, True, True, False, False]
    assert found["deviation"].fillna("").tolist() == ["infra", "supra", "none", "none", "", "supra"]
    other = deviations(scans=scans).with_index(pd.Index(["x", "y", "z"]))
    assert other.to_frame().index.tolist() == ["x", "y", "z"]
    assert other.to_frame()["participant_id"].tolist() == ["a", "b", "c"]
    assert deviations().with_index(pd.Index([4, 5, 6])).to_long().index.tolist() == [4, 4, 5, 5, 6, 6]


def test_tails_hold_their_limit_and_missing_z_is_in_none():
    infra, supra = base.tails([-1.96, -1.9, 1.96, 1.9, np.nan])
    assert infra.tolist() == [True, False, False, False, False]
    assert supra.tolist() == [False, False, True, False, False]
    assert base.deviation_flag([[-2.0, 2.0], [1.9, np.nan]], 2.0).tolist() == [["infra", "supra"], ["none", None]]


class Shifted:
    def parameters(self, data, regions):
        shape = (len(data), len(regions))
        return np.full(shape, 0.5), np.full(shape, 2.0), np.full(shape, 0.3)


def test_an_adaptation_is_undone():
    z, se = np.array([[1.0, -1.0], [0.5, 2.0]]), np.full((2, 2), 0.4)
    found, error = base.adapt(z, se, Shifted(), DATA, ("a", "b"))
    np.testing.assert_allclose(found, [[0.25, -0.75], [0.0, 0.75]])
    np.testing.assert_allclose(error, 0.25)
    np.testing.assert_allclose(base.unadapt(found, Shifted(), DATA, ("a", "b")), z)
    same = base.adapt(z, se, None, DATA, ("a", "b"))
    assert same[0] is z
    assert same[1] is se
    np.testing.assert_array_equal(base.unadapt(np.array([1.0]), None, DATA, ("a", "b")), np.ones((2, 2)))
    np.testing.assert_allclose(base.unadapt(np.array([1.0]), Shifted(), DATA, ("a", "b")), 2.5)


def test_regions_of_the_table_are_scored_in_the_models_order():
    assert base.scored_regions(MODEL, DATA[[REGIONS[2], REGIONS[0], "age"]]) == (REGIONS[0], REGIONS[2])
    with pytest.raises(ModelError, match=r"none of the 4 regions of gaussian.*for example Left-Thalamus$"):
        base.scored_regions(MODEL, DATA[["age"]])
    surfaces = DATA[["age"]].assign(lh_insula_thickness=2.5, lh_insula_area=900.0)
    with pytest.raises(ModelError, match="--model open-thickness is of thickness") as said:
        base.scored_regions(MODEL, surfaces)
    assert "--model open-area is of area" in str(said.value)
    assert "open-volume" not in str(said.value)


def test_a_model_without_more_says_so():
    assert MODEL.parameters_of(REGIONS[0]) is None
    assert (MODEL.extra_covariates, MODEL.corrected_versions, MODEL.needs_etiv) == ((), frozenset(), True)
    for spread in (MODEL.site_sd, MODEL.site_scale_sd):
        assert spread(REGIONS[:3]).shape == (3,)
        assert np.isnan(spread(REGIONS)).all()
    assert MODEL.expected_counts(4, "female") is None
    assert MODEL.uses_etiv_of(["volume", "area"])
    assert not MODEL.uses_etiv_of(["thickness"])
    with pytest.raises(ModelError, match="one way of scoring only"):
        MODEL.with_scoring("z")


class WithoutHead(GaussianModel):
    needs_etiv = False


def test_a_model_without_etiv_uses_it_for_no_measure():
    assert not WithoutHead().uses_etiv_of(["volume"])
