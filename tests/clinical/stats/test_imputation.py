import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_app.clinical.stats.imputation import (
    ALIKE,
    _Sampler,
    _standard_design,
    impute_scores,
    impute_two_level,
    pool,
    pool_tables,
)
from bids_app.errors import AnalysisError


def two_level(n_people=120, visits=3, seed=0, share_missing=0.25):
    """Scores with person variance 1, residual variance 0.25 and slope 0.8, some missing."""
    generator = np.random.default_rng(seed)
    people = np.repeat(np.arange(n_people), visits)
    x = generator.normal(size=len(people))
    y = 3 + 0.8 * x + generator.normal(size=n_people)[people] + 0.5 * generator.normal(size=len(people))
    observed = np.where(generator.random(len(y)) < share_missing, np.nan, y)
    return y, observed, x, people


def test_observed_values_stay_and_the_seed_decides():
    _, observed, x, people = two_level()
    first = impute_two_level(observed, x[:, None], people, m=3, seed=5)
    np.testing.assert_array_equal(first, impute_two_level(observed, x[:, None], people, m=3, seed=5))
    known = ~np.isnan(observed)
    np.testing.assert_array_equal(first[:, known], np.tile(observed[known], (3, 1)))
    assert not np.array_equal(first, impute_two_level(observed, x[:, None], people, m=3, seed=6))


def test_imputed_values_follow_the_person_and_the_predictor():
    truth, observed, x, people = two_level()
    missing = np.isnan(observed)
    drawn = impute_two_level(observed, x[:, None], people, m=20)
    error = drawn[:, missing].mean(axis=0) - truth[missing]
    # The best possible error: the residual and what two visits say of a person's intercept.
    assert error.std() == pytest.approx(0.55, abs=0.08)
    spread = drawn[:, missing].std(axis=0, ddof=1).mean()
    assert 0.45 < spread < 0.75


@pytest.mark.parametrize(("steady", "shaky"), [(0.1, 1.0), (0.5, 0.5)])
def test_imputed_values_vary_as_the_persons_own_do(steady, shaky):
    people = np.repeat(np.arange(60), 8)
    generator = np.random.default_rng(3)
    spread = np.where(np.arange(60) < 30, steady, shaky)[people]
    y = generator.normal(size=60)[people] + spread * generator.normal(size=len(people))
    observed = np.where(np.tile(np.arange(8), 60) == 0, np.nan, y)
    drawn = impute_two_level(observed, np.empty((len(y), 0)), people, m=30)
    sd = drawn[:, np.isnan(observed)].std(axis=0, ddof=1)
    ratio = np.median(sd[30:]) / np.median(sd[:30])
    assert ratio > 4 if shaky > steady else ratio == pytest.approx(1, abs=0.2)


def test_intervals_after_pooling_cover_the_truth():
    covered, repeats = 0, 60
    for seed in range(repeats):
        _, observed, x, people = two_level(n_people=40, seed=seed, share_missing=0.3)
        estimates = []
        for y in impute_two_level(observed, x[:, None], people, m=5, seed=seed):
            slope, se = within_person_slope(y, x, people)
            estimates.append((slope, se))
        pooled = pool(*np.array(estimates).T, df_complete=79)
        covered += abs(pooled.estimate - 0.8) < 1.99 * pooled.se
    assert covered >= 0.85 * repeats


def within_person_slope(y, x, people):
    def centred(values):
        return values - (np.bincount(people, values) / np.bincount(people))[people]

    dx, dy = centred(x), centred(y)
    slope = dx @ dy / (dx @ dx)
    df = len(y) - people.max() - 2
    return slope, np.sqrt(((dy - slope * dx) ** 2).sum() / df / (dx @ dx))


def test_rubins_rules_by_hand():
    # Within variance 1, between variance 1, m = 3: total = 1 + 4/3.
    pooled = pool([[1.0], [2.0], [3.0]], [[1.0], [1.0], [1.0]])
    assert pooled.estimate[0] == 2.0
    assert pooled.se[0] == pytest.approx(np.sqrt(7 / 3))
    assert pooled.df[0] == pytest.approx(2 * (1 + 3 / 4) ** 2)
    bounded = pool([[1.0], [2.0], [3.0]], [[1.0], [1.0], [1.0]], 10.0)
    observed = 11 / 13 * 10 * (1 - 4 / 7)
    assert bounded.df[0] == pytest.approx(1 / (1 / pooled.df[0] + 1 / observed))


def test_without_missing_values_pooling_changes_nothing():
    pooled = pool([[0.5], [0.5]], [[0.1], [0.1]], 30.0)
    assert (pooled.estimate[0], pooled.se[0], pooled.df[0]) == (0.5, pytest.approx(0.1), 30.0)
    assert pooled.missing_information[0] == 0


def test_pooled_tables_keep_their_other_columns():
    table = pd.DataFrame({"region": ["a"], "beta": [0.2], "se": [0.1], "df": [50.0], "n_scans": [9]})
    pooled = pool_tables([table, table.assign(beta=0.4)])
    assert pooled["beta"].item() == pytest.approx(0.3)
    assert pooled["low"].item() < 0.3 < pooled["high"].item()
    assert pooled[["region", "n_scans"]].iloc[0].tolist() == ["a", 9]


def test_scores_stay_in_their_range_and_incomplete_predictors_are_left_out():
    _, observed, x, people = two_level(n_people=20)
    scans = pd.DataFrame({"participant_id": people, "edss": observed, "age": x, "lesions": np.nan})
    tables = impute_scores(scans, ["edss"], ["age", "lesions", "absent"], m=2, seed=1)
    for table in tables:
        assert table["edss"].notna().all()
        assert table["edss"].between(np.nanmin(observed), np.nanmax(observed)).all()


def test_too_little_to_learn_from_is_said():
    with pytest.raises(AnalysisError, match="too few"):
        impute_two_level([1.0, np.nan, np.nan, 2.0], np.ones((4, 1)), [1, 1, 2, 2])
    with pytest.raises(AnalysisError, match="predictor"):
        impute_two_level(np.ones(9), np.full((9, 1), np.nan), np.arange(9))


def test_missing_information_by_hand():
    """Within 1, between 1, m = 3: rise 4/3, df 6.125 without a bound."""
    pooled = pool([[1.0], [2.0], [3.0]], [[1.0], [1.0], [1.0]])
    assert pooled.missing_information[0] == pytest.approx((4 / 3 + 2 / (6.125 + 3)) / (4 / 3 + 1))


def test_pooled_tables_have_t_tests_of_the_pooled_numbers():
    first = pd.DataFrame({"beta": [0.2, 0.5], "se": [0.1, 0.1], "df": [50.0, 20.0]})
    found = pool_tables([first, first.assign(beta=[0.4, 0.5], df=[40.0, 20.0])])
    peer = pool([[0.2, 0.5], [0.4, 0.5]], [[0.1, 0.1], [0.1, 0.1]], np.array([45.0, 20.0]))
    np.testing.assert_allclose(found["df"], peer.df)
    np.testing.assert_allclose(found["statistic"], peer.estimate / peer.se)
    np.testing.assert_allclose(found["p"], 2 * stats.t.sf(peer.estimate / peer.se, peer.df))
    np.testing.assert_allclose(found["high"] - found["beta"], stats.t.ppf(0.975, peer.df) * peer.se)
    np.testing.assert_allclose(found["beta"] - found["low"], stats.t.ppf(0.975, peer.df) * peer.se)
    np.testing.assert_allclose(found["missing_information"], peer.missing_information)


def test_the_fewest_values_that_can_be_imputed_from():
    y = np.r_[np.arange(6.0), np.nan]
    assert np.isfinite(impute_two_level(y, np.arange(7.0)[:, None], np.arange(7))).all()
    with pytest.raises(AnalysisError, match="5 observed values"):
        impute_two_level(y[1:], np.arange(6.0)[:, None], np.arange(6))
    # a predictor that is the same for everybody tells nothing
    constant = impute_two_level(y, np.column_stack([np.arange(7.0), np.ones(7)])[:, :1], np.arange(7))
    both = impute_two_level(np.r_[y, 3.0], np.column_stack([np.arange(8.0), np.ones(8)]), np.r_[np.arange(7), 0])
    assert np.isfinite(constant).all()
    assert np.isfinite(both).all()


def test_default_imputations_are_five_of_seed_one_and_each_score_has_its_own():
    _, observed, x, people = two_level(n_people=15)
    drawn = impute_two_level(observed, x[:, None], people)
    assert drawn.shape == (5, 45)
    np.testing.assert_array_equal(drawn, impute_two_level(observed, x[:, None], people, 5, 1))
    scans = pd.DataFrame({"participant_id": people, "a": observed, "b": observed, "gap": np.nan, "x": x})
    tables = impute_scores(scans, ["a", "b", "gap"], ["x"], m=2, seed=3)
    limits = (np.nanmin(observed), np.nanmax(observed))
    for position, name in enumerate(("a", "b")):
        expected = impute_two_level(observed, x[:, None], people, 2, 3 + position, limits)
        np.testing.assert_array_equal([table[name] for table in tables], expected)
    assert len(tables) == 2
    assert tables[0]["gap"].isna().all()
    assert list(tables[0]) == list(scans)


def test_what_is_the_same_at_every_visit_is_imputed_as_that():
    y = np.r_[np.full(8, 2.0), np.nan]
    drawn = impute_two_level(y, np.arange(9.0)[:, None], np.repeat([0, 1, 2], 3))
    np.testing.assert_allclose(drawn, 2.0, atol=1e-3)


def test_many_people_with_one_variance_do_not_overflow_what_they_have_in_common():
    codes = np.arange(1000)
    sampler = _Sampler(np.sin(codes), np.ones((1000, 1)), codes, np.random.default_rng(0))
    sampler._common_variance()
    assert sampler.alike == ALIKE[-1]
    assert sampler.typical == pytest.approx(sampler.scale, rel=0.05)


def test_rounding_errors_are_no_difference_between_imputations():
    estimate = 0.1 + np.array([0.0, 1e-17, -1.4e-17, 2.8e-17, 0.0])
    pooled = pool(estimate[:, None], np.full((5, 1), 0.02), np.array([35.0]))
    assert (pooled.df[0], pooled.missing_information[0]) == (35.0, 0.0)
    other = pool((0.1 + np.array([0, 1e-9, -1e-9, 0, 0]))[:, None], np.full((5, 1), 0.02), np.array([35.0]))
    assert other.df[0] == pytest.approx(36 / 38 * 35, rel=1e-6)


@pytest.mark.parametrize("constant", [0.1, 1.4e6 / 3])
def test_a_constant_predictor_is_left_out(constant):
    X = np.column_stack([np.arange(20.0), np.full(20, constant)])
    assert _standard_design(X, np.zeros(20, dtype=bool)).shape == (20, 2)
