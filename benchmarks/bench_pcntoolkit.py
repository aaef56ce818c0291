"""Held-out log loss of the calibrated model against PCNtoolkit's heteroscedastic sinh-arcsinh BLR.

Both sides see the same people: the same 5 folds (stratified by site and sex), the same rows of training and test,
harmonised in the same way (full ComBat estimated on the training rows of the fold, age and sex preserved), the
same covariates (age, sex, eTIV). The score is the mean standardised log loss (MSLL) of the held-out rows: minus log
density under the model, plus log density under a Gaussian with the training rows' mean and SD; lower is better.

    python benchmarks/bench_pcntoolkit.py TABLE [--regions N] [--seed S] [--peers P ...] [--cache DIR] [--out TABLE.tsv]

TABLE holds one row per healthy scan (age, sex, site, eTIV, regions in mm^3; rows with a `qc_flag` are left out).
PCNtoolkit is fitted in two forms: sex as a batch effect of one model, and one model per sex (as ours).
Finished fits are kept in the cache folder, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bids_app.normative import training
from bids_app.normative.evaluation import held_out
from bids_app.normative.folds import stratified_folds
from bids_app.normative.harmonise.combat import Combat
from bids_app.regions import ETIV, reference_regions
from bids_app.tables import read_table, write_tsv

N_FOLDS = 5
LOG_2PI = np.log(2 * np.pi)
PEERS = ("pcntoolkit-pooled", "pcntoolkit-by-sex")


def main() -> None:
    options = parse_arguments()
    table = read_people(options.table)
    regions = list(reference_regions())[:: max(1, 82 // options.regions)][: options.regions]
    folds = list(harmonised_folds(table, regions, options.seed))
    scored = {peer: score_peer(folds, regions, peer, options.cache) for peer in options.peers}
    scored["normvol"] = score_ours(folds, regions)
    table = summarise({name: losses for name, (losses, _) in scored.items()}, regions)
    if options.out:
        write_tsv(table, options.out)
    report(table, {name: seconds for name, (_, seconds) in scored.items()}, len(scored["normvol"][0]))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--regions", type=int, default=82, help="number of regions, spread over the 82")
    parser.add_argument("--seed", type=int, default=0, help="of the folds; the structure was chosen with 0, 3, 7, 11")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--cache", type=Path, help="folder for finished PCNtoolkit fits")
    parser.add_argument("--out", type=Path, help="write the MSLL per region here")
    return parser.parse_args()


def read_people(path: Path) -> pd.DataFrame:
    """Rows without quality flag at sites with at least ten people, so that every fold knows every site."""
    table = read_table(path)
    if "qc_flag" in table:
        table = table[table["qc_flag"].isna()]
    sizes = table.groupby("site")["site"].transform("size")
    return table[sizes >= 10].reset_index(drop=True)


def harmonised_folds(table: pd.DataFrame, regions: list[str], seed: int = 0):
    """Yield (train, test) tables with ComBat estimated on the training rows only."""
    assignment = stratified_folds(table["site"], table["sex"], n_folds=N_FOLDS, seed=seed)
    features = [ETIV, *regions]
    covariates = np.column_stack([table["age"], table["age"] ** 2, table["sex"] == "female"])
    for fold in range(N_FOLDS):
        train, test = np.flatnonzero(assignment != fold), np.flatnonzero(assignment == fold)
        combat = Combat().fit(table.loc[train, features], table.loc[train, "site"], covariates[train])
        yield tuple(
            table.loc[rows, ["age", "sex", "site"]].assign(
                **pd.DataFrame(
                    combat.transform(table.loc[rows, features], table.loc[rows, "site"], covariates[rows]),
                    columns=features,
                    index=rows,
                )
            )
            for rows in (train, test)
        )


def score_peer(folds: list, regions: list[str], peer: str, cache: Path | None) -> tuple[np.ndarray, float]:
    """Loss above the baseline of each held-out person (rows, in the order of the folds) and region; seconds of fits."""
    parts, seconds = [], 0.0
    for number, (train, test) in enumerate(folds):
        columns = [_cached(cache, peer, number, region, train, test) for region in regions]
        parts.append(np.column_stack([column[:-1] for column in columns]))
        seconds += sum(column[-1] for column in columns)
    return np.vstack(parts), seconds


def _cached(
    cache: Path | None, peer: str, number: int, region: str, train: pd.DataFrame, test: pd.DataFrame
) -> np.ndarray:
    """Losses of the test rows, and the seconds of the fit as the last element."""
    rounded = train[["age", ETIV, region]].round(3)
    content = pd.util.hash_pandas_object(rounded).to_numpy().tobytes()
    path = cache / f"{peer}_{number}_{region}_{hashlib.sha256(content).hexdigest()[:12]}.npy" if cache else None
    if path and path.exists():
        return np.load(path, allow_pickle=False)
    began = time.perf_counter()
    loss = log_loss_pcntoolkit(train, test, region, by_sex=peer.endswith("by-sex"))
    result = np.append(loss - baseline_loss(train, test, region), time.perf_counter() - began)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, result)
    return result


def log_loss_pcntoolkit(train: pd.DataFrame, test: pd.DataFrame, region: str, by_sex: bool) -> np.ndarray:
    """Minus log density (per mm^3) of the test rows under PCNtoolkit's warped heteroscedastic BLR."""
    if not by_sex:
        return _pcntoolkit(train, test, region)
    loss = np.empty(len(test))
    for sex in ("female", "male"):
        mask = (test["sex"] == sex).to_numpy()
        loss[mask] = _pcntoolkit(train[train["sex"] == sex], test[mask], region)
    return loss


def _pcntoolkit(train: pd.DataFrame, test: pd.DataFrame, region: str) -> np.ndarray:
    from pcntoolkit import BLR, BsplineBasisFunction, NormativeModel, NormData
    from pcntoolkit.util.output import Output

    Output.set_show_messages(False)
    Output.set_show_warnings(False)

    def data(rows: pd.DataFrame) -> NormData:
        return NormData.from_dataframe(
            "bench", rows, covariates=["age", ETIV], batch_effects=["sex"], response_vars=[region]
        )

    effect = train["sex"].nunique() > 1
    template = BLR(
        heteroskedastic=True,
        fixed_effect=effect,
        fixed_effect_var=effect,
        warp_name="WarpSinhArcsinh",
        warp_reparam=True,
        basis_function_mean=BsplineBasisFunction(basis_column=0, nknots=5),
        basis_function_var=BsplineBasisFunction(basis_column=0, nknots=5),
        optimizer="l-bfgs-b",
    )
    model = NormativeModel(
        template, savemodel=False, evaluate_model=False, saveresults=False, saveplots=False, save_dir=_scratch()
    )
    known = data(train)
    model.register_data_info(known)
    model.preprocess(known)
    x, effects, maps, y, _ = model.extract_data(known.sel({"response_vars": region}))
    model[region].fit(x, effects, maps, y)
    held_out = data(test)
    model.preprocess(held_out)
    x, effects, _, y, _ = model.extract_data(held_out.sel({"response_vars": region}))
    return np.log(model.outscalers[region].s) - model[region].elemwise_logp(x, effects, y).to_numpy()


def _scratch() -> str:
    import tempfile

    return tempfile.mkdtemp(prefix="bench_pcntoolkit_")


def baseline_loss(train: pd.DataFrame, test: pd.DataFrame, region: str) -> np.ndarray:
    mean, sd = train[region].mean(), train[region].std(ddof=0)
    return 0.5 * (LOG_2PI + ((test[region] - mean) / sd) ** 2).to_numpy() + np.log(sd)


def score_ours(folds: list, regions: list[str]) -> tuple[np.ndarray, float]:
    """The same for the calibrated model, all regions of a fold in one fit."""
    parts, seconds = [], 0.0
    for train, test in folds:
        began = time.perf_counter()
        model = fit_ours(train, regions)
        seconds += time.perf_counter() - began
        found = held_out(model, test, train)
        order = [found.regions.index(region) for region in regions]
        parts.append((found.baseline - found.log_density)[:, order])
    return np.vstack(parts), seconds


def fit_ours(train: pd.DataFrame, regions: list[str]):
    return training.train(
        train, name="bench", mode="calibrated", harmonise="none", regions=tuple(regions), reference_counts=False
    ).model


def summarise(losses: dict[str, np.ndarray], regions: list[str]) -> pd.DataFrame:
    """Per region: MSLL of each model, and normvol minus each peer with its paired standard error."""
    table = pd.DataFrame({"region": regions, **{name: values.mean(axis=0) for name, values in losses.items()}})
    for peer in [name for name in losses if name != "normvol"]:
        difference = losses["normvol"] - losses[peer]
        table[f"minus_{peer}"] = difference.mean(axis=0)
        table[f"se_{peer}"] = difference.std(axis=0, ddof=1) / np.sqrt(len(difference))
    return table


def report(table: pd.DataFrame, seconds: dict[str, float], people: int) -> None:
    print(f"{len(table)} regions, {N_FOLDS} folds, {people} people")
    print("mean MSLL (lower is better): " + ", ".join(f"{name} {table[name].mean():.4f}" for name in seconds))
    for peer in [name for name in seconds if name != "normvol"]:
        difference, se = table[f"minus_{peer}"], table[f"se_{peer}"]
        worst = table["region"][difference.idxmax()]
        print(
            f"normvol against {peer}: no worse in {100 * (difference <= 0).mean():.1f} % of regions, not worse "
            f"beyond sampling error (one-sided 95 %) in {100 * (difference <= 1.645 * se).mean():.1f} %, better "
            f"beyond it in {100 * (difference < -1.645 * se).mean():.1f} %; median difference "
            f"{difference.median():+.4f} (typical standard error {se.median():.4f}), worst {difference.max():+.4f} "
            f"in {worst}"
        )
        print(
            f"time of the fits: {peer} {seconds[peer]:.1f} s, normvol {seconds['normvol']:.2f} s, "
            f"ratio {seconds[peer] / seconds['normvol']:.0f}"
        )


if __name__ == "__main__":
    main()
