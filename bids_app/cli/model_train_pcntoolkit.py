"""``normvol-model train --engine pcntoolkit``: its options and its run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bids_app.cli import exitcodes
from bids_app.cli.model_options import say

if TYPE_CHECKING:
    import pandas as pd

BASES = ("linear", "polynomial", "bspline", "fractional-polynomial")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """The choice of the engine, and the options of PCNtoolkit."""
    parser.add_argument(
        "--engine",
        choices=("normvol", "pcntoolkit"),
        default="normvol",
        help="pcntoolkit: fit with PCNtoolkit; the output is a folder in its format with our card",
    )
    group = parser.add_argument_group("options of --engine pcntoolkit")
    group.add_argument(
        "--pcn-model",
        choices=("blr", "hbr"),
        default="blr",
        help="blr: Bayesian linear regression (default); hbr: hierarchical, for at most 10 regions",
    )
    group.add_argument("--basis", choices=BASES, default="bspline", help="of age (default bspline)")
    group.add_argument("--knots", type=int, default=5, metavar="N", help="of the B-spline (5)")
    group.add_argument(
        "--powers",
        type=float,
        nargs="+",
        default=[0.5, 1.0],
        metavar="P",
        help="of the fractional polynomial of age in decades (0.5 1)",
    )
    group.add_argument("--constant-variance", action="store_true", help="the variance does not depend on age")
    group.add_argument("--no-warp", action="store_true", help="Gaussian instead of sinh-arcsinh")
    group.add_argument("--site-effect", action="store_true", help="site is a batch effect (column site)")
    group.add_argument("--region", nargs="+", metavar="REGION", help="only these regions")


def run(arguments: argparse.Namespace, data: pd.DataFrame, words: dict[str, Any]) -> int:
    """Train and save; `words` are fields of the card."""
    from bids_app.errors import UsageError
    from bids_app.normative.card import ModelCard
    from bids_app.normative.engines.pcntoolkit_training import PCNtoolkitOptions, train_pcntoolkit
    from bids_app.regions import canonical, names, reference_regions

    if arguments.harmonise not in (None, "none"):
        raise UsageError("PCNtoolkit is not given harmonised volumes", "use --site-effect")
    wanted = [canonical(name) for name in arguments.region or ()] or (
        reference_regions() if arguments.regions == "reference" else names("reference", "extended")
    )
    regions = tuple(name for name in wanted if name in data.columns)
    if not regions or (arguments.region and len(regions) < len(wanted)):
        raise UsageError(f"TABLE has no column {', '.join(sorted(set(wanted) - set(regions))[:5])}")
    name = arguments.name or arguments.output.name
    card = ModelCard(
        **{
            "name": name,
            "version": "1.0.0",
            "title": name,
            "licence": "unspecified",
            "date": "unspecified",
            "summary": f"PCNtoolkit model of {len(regions)} regions.",
            "fs_versions": _versions(data),
            "sites": int(data["site"].nunique()) if "site" in data else 0,
            **words,
        }
    )
    options = PCNtoolkitOptions(
        model=arguments.pcn_model,
        basis=arguments.basis,
        knots=arguments.knots,
        powers=tuple(arguments.powers),
        heteroscedastic=not arguments.constant_variance,
        warp=not arguments.no_warp,
        site_effect=arguments.site_effect,
    )
    model = train_pcntoolkit(data, arguments.output, regions, card, options, progress=say)
    say(f"wrote {arguments.output}: {len(model.regions)} regions, {dict(model.card.n)}; {model.card.transform}")
    return exitcodes.OK


def _versions(data: pd.DataFrame) -> tuple[str, ...]:
    return tuple(sorted(data["fs_version"].dropna().astype(str).unique())) if "fs_version" in data else ()
