import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.clinical.stats.linear import fit_linear, standardise
from bids_app.clinical.stats.mixed import MixedModel
from bids_app.errors import AnalysisError
from tests.clinical.parity import invented, recorded


@pytest.fixture(scope="module")
def visits():
    return invented("long.csv")


def design(predictor):
    return np.column_stack([np.ones(len(predictor)), predictor])


@pytest.mark.parametrize("name", ["lmer1", "lmer2"])
def test_random_intercept_and_satterthwaite_equal_lmertest(visits, name):
    if name == "lmer1":
        fit = MixedModel(design(visits["nb_deviations"]), visits["eid"]).fit(visits["edss"])
    else:
        fit = MixedModel(design(standardise(visits["edss"])), visits["eid"]).fit(standardise(visits["z"]))
    np.testing.assert_allclose(fit.beta, recorded(f"{name}_fixef"), rtol=1e-6)
    np.testing.assert_allclose(fit.se, recorded(f"{name}_se"), rtol=1e-6)
    np.testing.assert_allclose(fit.df, recorded(f"{name}_df"), rtol=1e-6)
    np.testing.assert_allclose(np.log(fit.p), np.log(recorded(f"{name}_p")), rtol=1e-6)


def test_variances_equal_lme4(visits):
    fit = MixedModel(design(visits["nb_deviations"]), visits["eid"]).fit(visits["edss"])
    np.testing.assert_allclose([fit.variance_person, fit.variance_residual], recorded("lmer1_vc"), rtol=1e-5)


@given(st.integers(3, 12), st.integers(2, 6), st.integers(0, 999))
def test_a_balanced_design_has_the_exact_degrees_of_freedom(people, per_person, seed):
    # In a balanced one-way layout the mean has people - 1 degrees of freedom.
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), per_person)
    y = 5 * generator.normal(size=people)[labels] + generator.normal(size=len(labels))
    fit = MixedModel(np.ones((len(y), 1)), labels).fit(y)
    if not fit.singular:
        assert fit.df[0] == pytest.approx(people - 1, rel=1e-5)


def test_without_variance_between_people_it_is_a_linear_model():
    y = np.tile([1.0, -1.0, 0.5, -0.5], 10)
    x = np.linspace(0, 1, 40)
    fit = MixedModel(design(x), np.repeat(np.arange(10), 4)).fit(y)
    linear = fit_linear(y[:, None], design(x))
    assert fit.singular
    np.testing.assert_allclose(fit.se, linear.se[:, 0], rtol=1e-8)
    np.testing.assert_allclose(fit.df, linear.df)


def test_one_design_serves_many_responses(visits):
    X = design(visits["edss"])
    model = MixedModel(X, visits["eid"])
    np.testing.assert_array_equal(model.fit(visits["z"]).beta, MixedModel(X, visits["eid"]).fit(visits["z"]).beta)


def test_dependent_predictors_and_constants_are_refused():
    with pytest.raises(AnalysisError, match="depend on each other"):
        fit_linear(np.ones((5, 1)), np.ones((5, 2)))
    with pytest.raises(AnalysisError, match="too few"):
        fit_linear(np.ones((2, 1)), np.ones((2, 2)))
    with pytest.raises(AnalysisError, match="same for everybody"):
        standardise(np.ones(4))
