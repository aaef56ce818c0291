"""Training with scikit-learn's manners."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import UsageError
from bids_app.normative.estimator import NormativeEstimator
from tests.normative.test_training import BOTH, people


@pytest.fixture(scope="module")
def table():
    return people(600, seed=9)


def test_the_fitted_estimator_predicts_transforms_and_scores(table):
    estimator = NormativeEstimator(regions=BOTH).fit(table)
    assert list(estimator.predict(table).columns) == list(BOTH)
    assert estimator.transform(table).shape == (600, 2)
    assert 0.2 < estimator.score(table) < 1
    assert pd.isna(estimator.transform(table.assign(age=np.nan))).all().all()


def test_it_passes_the_checks_that_scikit_learn_has_for_such_an_estimator():
    checks = pytest.importorskip("sklearn.utils.estimator_checks", reason="scikit-learn is not installed")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        checks.check_estimator(NormativeEstimator())
    assert any("requires input" in str(warning.message) for warning in caught)
    name, estimator = "NormativeEstimator", NormativeEstimator()
    for check in (
        "check_no_attributes_set_in_init",
        "check_set_params",
        "check_get_params_invariance",
        "check_parameters_default_constructible",
        "check_estimator_repr",
        "check_estimator_cloneable",
        "check_valid_tag_types",
    ):
        getattr(checks, check)(name, estimator)


def test_clones_pipelines_and_cross_validation_work(table):
    base = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.utils.validation import check_is_fitted

    estimator = NormativeEstimator(regions=BOTH, mode="reference")
    copy = base.clone(estimator)
    assert copy is not estimator
    assert copy.get_params() == estimator.get_params()
    assert (cross_val_score(estimator, table, cv=2) > 0.1).all()
    pipeline = make_pipeline(estimator).fit(table)
    check_is_fitted(pipeline[0])
    assert pipeline.transform(table).shape == (600, 2)


def test_an_array_and_an_unfitted_estimator_are_refused_in_words(table):
    with pytest.raises(UsageError, match="named columns"):
        NormativeEstimator().fit(np.zeros((5, 3)))
    with pytest.raises(UsageError, match="call fit first"):
        NormativeEstimator().transform(table)
    with pytest.raises(ValueError, match="no parameter 'nonsense'"):
        NormativeEstimator().set_params(nonsense=1)
