"""Imputed clinical scores: is the association still found, and do its intervals hold it?

    python benchmarks/imputation.py [--cohorts 400]

150 people with 1 to 4 visits, a true slope of -0.22, 40 % of scores missing more often in old people (at random); the
residual variance is the same for everybody, or each person's own (inverse chi-squared, 4 degrees of freedom).
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import t

from bids_app.clinical.stats.imputation import impute_two_level, pool
from bids_app.clinical.stats.linear import person_parts
from bids_app.clinical.stats.mixed import MixedModel

SLOPE, PEOPLE, IMPUTATIONS = -0.22, 150, 5


def one_cohort(seed: int, own_variance: bool) -> tuple[float, bool]:
    """The pooled slope, and whether its 95 % interval holds the truth."""
    generator = np.random.default_rng(seed)
    code = np.repeat(np.arange(PEOPLE), generator.integers(1, 5, PEOPLE))
    n = len(code)
    age = generator.normal(size=PEOPLE)[code]
    z = 0.7 * generator.normal(size=PEOPLE)[code] + 0.5 * generator.normal(size=n)
    spread = np.sqrt(4 / generator.chisquare(4, PEOPLE)) if own_variance else np.ones(PEOPLE)
    spread /= np.sqrt(np.mean(spread**2))
    person = 0.8 * generator.normal(size=PEOPLE)[code]
    y = SLOPE * z + 0.3 * age + person + 0.7 * spread[code] * generator.normal(size=n)
    gone = generator.random(n) < 1 / (1 + np.exp(0.45 - 0.8 * age))
    predictors = np.column_stack([z, person_parts(z, code)[0], age])
    completed = impute_two_level(np.where(gone, np.nan, y), predictors, code, m=IMPUTATIONS, seed=seed)
    model = MixedModel(np.column_stack([np.ones(n), z, age]), code)
    fits = [model.fit(values) for values in completed]
    found = pool([fit.beta[1] for fit in fits], [fit.se[1] for fit in fits], np.mean([fit.df[1] for fit in fits]))
    half = t.ppf(0.975, found.df) * found.se
    return float(found.estimate), bool(abs(found.estimate - SLOPE) <= half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=400)
    cohorts = parser.parse_args().cohorts
    for own_variance in (False, True):
        estimates, held = zip(*(one_cohort(seed, own_variance) for seed in range(cohorts)), strict=True)
        kind = "own variance" if own_variance else "one variance"
        print(f"{kind}: mean slope {np.mean(estimates):.3f} (true {SLOPE}), intervals hold it in {np.mean(held):.1%}")


if __name__ == "__main__":
    main()
