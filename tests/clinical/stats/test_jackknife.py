import numpy as np
import pytest

from bids_app.clinical.stats.jackknife import person_jackknife
from bids_app.clinical.stats.linear import standardise
from bids_app.normative.fit.random_intercept import RandomInterceptDesign


def visits(people=60, seed=1):
    """Scores whose association with x differs between and within people, and a covariate."""
    generator = np.random.default_rng(seed)
    codes = np.repeat(np.arange(people), generator.integers(1, 5, people))
    between, within = generator.exponential(size=people)[codes], generator.normal(size=len(codes))
    age = generator.normal(size=len(codes))
    x = between + within
    return codes, x, age, 0.8 * between - 0.3 * within + 0.2 * age + generator.normal(size=people)[codes]


def standardised_fit(codes, x, age, y):
    design = RandomInterceptDesign(np.column_stack([np.ones(len(x)), standardise(x), standardise(age)]), codes)
    return design, standardise(y), design.fit(standardise(y))


def test_it_equals_refitting_without_each_person():
    data = visits()
    codes, *columns = data
    every = [
        standardised_fit(codes[keep], *(values[keep] for values in columns))[2].beta[1]
        for keep in (codes != person for person in range(60))
    ]
    expected = np.sqrt(59 / 60 * np.sum((np.array(every) - np.mean(every)) ** 2))
    assert person_jackknife(*standardised_fit(*data)) == pytest.approx(expected, rel=0.01)


def test_it_finds_the_true_spread_where_the_model_is_wrong():
    fits = [standardised_fit(*visits(seed=seed)) for seed in range(120)]
    spread = np.std([fit.beta[1] for _, _, fit in fits])
    assert np.mean([fit.se[1] for _, _, fit in fits]) < 0.85 * spread
    assert np.mean([person_jackknife(*found) for found in fits]) == pytest.approx(spread, rel=0.15)


def test_no_variance_between_people():
    generator = np.random.default_rng(2)
    codes, x = np.repeat(np.arange(30), 2), generator.normal(size=60)
    design = RandomInterceptDesign(np.column_stack([np.ones(60), standardise(x)]), codes)
    y = standardise(np.tile([1.0, -1.0], 30) + 0.1 * generator.normal(size=60))
    fit = design.fit(y)
    assert fit.singular
    assert person_jackknife(design, y, fit) > 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("codes", "x", "y"),
    [
        ([0, 0, 1], [0.0, 1.0, 3.0], [0.0, 2.0, 1.0]),  # without either person no residual is left
        ([0, 0, 1, 1, 2], [0.0, 1.0, 2.0, 3.0, 5.0], [1.0, 1.0, 1.0, 1.0, 2.0]),  # without the last y is constant
        ([0, 0, 1, 1, 2], [0.0, 1.0, 2.0, 3.0, 5.0], [0.0, 1.0, 2.0, 3.0, 9.0]),  # without the last y is x
    ],
)
def test_people_without_whom_nothing_can_be_estimated_give_none(codes, x, y):
    design = RandomInterceptDesign(np.column_stack([np.ones(len(x)), standardise(np.array(x))]), codes)
    response = standardise(np.array(y))
    assert np.isnan(person_jackknife(design, response, design.fit(response)))


def test_a_covariate_that_one_person_has_gives_none():
    generator = np.random.default_rng(3)
    codes = np.repeat(np.arange(20), 3)
    X = np.column_stack([np.ones(60), generator.normal(size=60), codes == 7])
    design, y = RandomInterceptDesign(X, codes), standardise(generator.normal(size=60))
    assert np.isnan(person_jackknife(design, y, design.fit(y)))
