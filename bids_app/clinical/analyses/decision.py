"""Decision curves of the risk groups: the net benefit of acting on a rule, at every threshold of risk."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.clinical.analyses.outcome_analyses import known, reading_time
from bids_app.clinical.analyses.risk_data import RiskData
from bids_app.clinical.figures import Trajectory
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.stats import resampling, risk_rules
from bids_app.clinical.stats.decision_curves import THRESHOLDS, net_benefit, predicted_risk
from bids_app.clinical.stats.survival import SAME_TIME, kaplan_meier
from bids_app.clinical.wording import software
from bids_app.errors import AnalysisError

COLUMNS = {
    "strategy": "Who is acted on",
    "net_benefit": "Share of true positives less the weighted share of false positives",
    "risk_threshold": "Risk of an event from which one would act",
    "horizon": "Years by which an event counts",
    "gain": "Net benefit less the larger of those of acting on everybody and on nobody",
    "gain_low": "Lower bound of the 95 % percentile bootstrap interval of the gain",
    "gain_high": "Upper bound of the 95 % percentile bootstrap interval of the gain",
}
METHODS = (
    "Net benefit of acting on everybody, on the people at risk by a rule ({rules}), and on those whose risk exceeds "
    "the threshold (Cox model of the number of deviations, each tenth of people predicted from the others), for {what} "
    "within {horizon:g} years; censored people enter by Kaplan-Meier (Vickers et al. 2008, "
    "doi:10.1186/1472-6947-8-53). Intervals are bootstrap percentiles ({samples} samples, seed {seed}; models are not "
    "refitted). Software: {software}."
)
EVERYBODY = "everybody"


def decision_results(risk: RiskData, name: str, what: str) -> list[AnalysisResult]:
    """Decision curves of every rule and of the number of deviations; nothing where nobody has an event.

    Patient groups that are not pooled have curves of their own.

    Parameters
    ----------
    risk : RiskData
    name, what : str
        The outcome, and in words.
    """
    config, outcome = risk.followed.data.config, risk.outcomes[name]
    seen = outcome["time"].notna().to_numpy()
    if not seen.any():
        return []
    horizon = reading_time(outcome[seen])
    strata = (
        {"": seen} if risk.strata is None else {f"{s}: ": seen & (risk.strata == s) for s in np.unique(risk.strata)}
    )
    parts = {prefix: _table(risk, outcome, chosen, horizon) for prefix, chosen in strata.items()}
    tables = {prefix: part for prefix, part in parts.items() if part is not None}
    if not tables:
        return []
    sentences = [
        sentence if not prefix else f"{prefix}{sentence[0].lower()}{sentence[1:]}"
        for prefix, part in tables.items()
        for sentence in _sentences(part, horizon)
    ]
    table = pd.concat(
        [part.assign(strategy=prefix + part["strategy"]) for prefix, part in tables.items()], ignore_index=True
    ).assign(horizon=horizon)
    methods = METHODS.format(
        rules="; ".join(f"{rule.name}: {rule.definition}" for rule in risk.rules),
        what=what,
        horizon=horizon,
        samples=config.bootstrap,
        seed=config.seed,
        software=software("numpy"),
    )
    figure = Trajectory(
        x="risk_threshold",
        y="net_benefit",
        group="strategy",
        xlabel="Risk from which one would act",
        ylabel="Net benefit",
    )
    return [
        make_result(
            f"decision_{name}",
            f"Decision curves for {what}",
            table,
            methods=methods,
            figure=figure,
            sentences=tuple(sentences),
            **known(COLUMNS, table),
        )
    ]


def _table(risk: RiskData, outcome: pd.DataFrame, seen: np.ndarray, horizon: float) -> pd.DataFrame | None:
    """Net benefits among some people with an outcome; None where nobody has an event by the horizon."""
    config = risk.followed.data.config
    time, event = outcome["time"][seen].to_numpy(), outcome["event"][seen].to_numpy()
    if not (event[time <= horizon * (1 + SAME_TIME)] == 1).any():
        return None
    # Beyond one and a half times the risk of all, acting on everybody only does harm and would fill the picture.
    overall = 1 - kaplan_meier(time, event).at([horizon])[0, 0]
    thresholds = THRESHOLDS[: max(5, int(np.searchsorted(THRESHOLDS, 1.5 * overall)))]
    samples = resampling.resample(len(time), config.bootstrap, config.seed)
    benefits = {
        strategy: [net_benefit(time, event, picked, horizon, thresholds, drawn) for drawn in (None, samples)]
        for strategy, picked in _strategies(risk, seen, time, event, horizon, thresholds).items()
    }
    return _curves(benefits, thresholds)


def _strategies(
    risk: RiskData, seen: np.ndarray, time: FloatArray, event: FloatArray, horizon: float, thresholds: FloatArray
) -> dict[str, np.ndarray]:
    """Whom each strategy acts on: (n,), or (q, n) where it depends on the threshold."""
    strategies: dict[str, np.ndarray] = {EVERYBODY: np.ones(len(time), dtype=bool)}
    sure = [rule for rule in risk.rules if rule.told(seen).all(where=seen)]
    strategies |= {f"{rule.name} rule": rule.at_risk[seen] for rule in sure}
    fold = risk_rules.balanced_folds(event, risk_rules.FOLDS, risk.followed.data.config.seed)
    try:
        chance = predicted_risk(time, event, risk.people["n_infra"][seen], horizon, fold)
    except AnalysisError:
        return strategies
    return {**strategies, "predicted risk": chance >= thresholds[:, None]}


def _curves(benefits: Mapping[str, list[FloatArray]], thresholds: FloatArray) -> pd.DataFrame:
    """Net benefit and gain over acting on everybody or nobody, with bootstrap bounds, one block per strategy."""
    nothing = np.zeros((1, len(thresholds)))
    rival = [np.maximum(benefit, 0.0) for benefit in benefits[EVERYBODY]]
    blocks = [_block("nobody", thresholds, [nothing, nothing], None)]
    for strategy, both in benefits.items():
        gains = None if strategy == EVERYBODY else [benefit - best for benefit, best in zip(both, rival, strict=True)]
        blocks.append(_block(strategy, thresholds, both, gains))
    return pd.concat(blocks, ignore_index=True)


def _block(
    strategy: str, thresholds: FloatArray, both: list[FloatArray], gains: list[FloatArray] | None
) -> pd.DataFrame:
    gains = gains or [np.full((1, len(thresholds)), np.nan)] * 2
    low, high = _bounds(both[1])
    gain_low, gain_high = _bounds(gains[1])
    return pd.DataFrame(
        {
            "strategy": strategy,
            "risk_threshold": thresholds,
            "net_benefit": both[0][0],
            "low": low,
            "high": high,
            "gain": gains[0][0],
            "gain_low": gain_low,
            "gain_high": gain_high,
        }
    )


def _bounds(drawn: FloatArray) -> FloatArray:
    """95 % percentile bounds (2, q) of bootstrap values (b, q); NaN without samples."""
    return np.quantile(drawn, [0.025, 0.975], axis=0) if len(drawn) else np.full((2, drawn.shape[1]), np.nan)


def _sentences(table: pd.DataFrame, horizon: float) -> tuple[str, ...]:
    sentences = []
    for strategy, part in table[table["gain"].notna()].groupby("strategy", sort=False):
        better, sure = part[part["gain"] > 1e-12], part[part["gain_low"] > 0]
        what = f"the net benefit of acting on the {strategy}"
        said = f"By {horizon:g} years {what} exceeds that of acting on everybody or nobody"
        if better.empty:
            sentences.append(f"{said} at none of {len(part)} thresholds.")
            continue
        ends = sorted({f"{better['risk_threshold'].min():.2f}", f"{better['risk_threshold'].max():.2f}"})
        sentences.append(
            f"{said} at {len(better)} of {len(part)} thresholds ({' to '.join(ends)}); the bootstrap "
            f"interval of the difference excludes zero at {len(sure) or 'none'} of them."
        )
    return tuple(sentences)
