"""Mixed models, matching and the comparison of counts, beside the general-purpose Python equivalents.

    python benchmarks/bench_clinical.py [--people 362] [--peer-fits 5]

Prints a table; both sides of every ratio come from this one run. statsmodels' MixedLM has no Satterthwaite degrees of
freedom, so it does less.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from bids_app.clinical.stats.matching import match_nearest
from bids_app.clinical.stats.mixed import MixedModel
from bids_app.clinical.stats.negative_binomial import fit_counts

REGIONS = 82


def timed(work: Callable[[], object], repeats: int = 3) -> float:
    """Least processor time of `repeats` runs (seconds); other work on the machine does not count."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def simulate(people: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visits of `people` (1 to 5 each): 82 outcomes, design and labels."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), generator.integers(1, 6, people))
    x = generator.normal(size=len(labels))
    shared = generator.normal(size=(people, REGIONS))[labels]
    outcomes = 0.2 * x[:, None] + shared + generator.normal(size=(len(labels), REGIONS))
    return outcomes, np.column_stack([np.ones(len(x)), x]), labels


def mixed_models(people: int, peer_fits: int) -> tuple[str, float, float]:
    """82 random-intercept fits with tests; statsmodels is scaled up from a few."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    outcomes, X, labels = simulate(people)

    def ours() -> None:
        model = MixedModel(X, labels)
        for outcome in outcomes.T:
            model.fit(outcome)

    def peer() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for outcome in outcomes.T[:peer_fits]:
                MixedLM(outcome, X, labels).fit(reml=True)

    return f"82 random-intercept models, {len(labels)} scans", timed(ours), timed(peer, 1) * REGIONS / peer_fits


def matching(controls: int = 20000, treated: int = 362) -> tuple[str, float, float]:
    """1:1 nearest matching; the peer searches all free controls for each person."""
    generator = np.random.default_rng(2)
    is_treated = np.arange(controls + treated) < treated
    score = generator.beta(2, 8, controls + treated)

    def peer() -> None:
        free = pd.Series(score[~is_treated])
        for value in np.sort(score[is_treated])[::-1]:
            free = free.drop((free - value).abs().idxmin())

    return (
        f"match {treated} people with {controls} controls",
        timed(lambda: match_nearest(is_treated, score)),
        timed(peer, 1),
    )


def counts(people: int = 724) -> tuple[str, float, float]:
    """Negative binomial comparison of two groups, shape estimated; statsmodels without profile interval."""
    from statsmodels.discrete.discrete_model import NegativeBinomial

    generator = np.random.default_rng(3)
    group = np.repeat([0, 1], people // 2)
    y = generator.negative_binomial(1, 1 / (1 + np.where(group, 4.5, 1.7)))
    X = np.column_stack([np.ones(people), group])
    return (
        f"negative binomial, {people} people",
        timed(lambda: fit_counts(y, X, terms=[1])),
        timed(lambda: NegativeBinomial(y, X).fit(disp=0)),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=int, default=362)
    parser.add_argument("--peer-fits", type=int, default=5)
    options = parser.parse_args()
    print(f"{'task':<48}{'normvol':>10}{'peer':>10}{'ratio':>8}")
    for task, ours, peer in (mixed_models(options.people, options.peer_fits), matching(), counts()):
        print(f"{task:<48}{ours:>9.3f}s{peer:>9.3f}s{peer / ours:>8.1f}")


if __name__ == "__main__":
    main()
