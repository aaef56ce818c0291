"""Show a model's card: where it comes from, whom it describes, what it must not be used for."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from bids_app.cli import exitcodes

HELP = "show a model's card, or the parameters of one region"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL and what to show of it."""
    parser.add_argument("model", metavar="NAME|PATH", help="a packaged model's name or a model file")
    parser.add_argument("--region", metavar="REGION", help="the parameters of this region")
    parser.add_argument("--json", action="store_true", help="the card as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the card or a region's parameters."""
    from bids_app.normative.registry import load_model

    model = load_model(arguments.model)
    if arguments.region:
        print(_json(_region(model, arguments.region)))
    elif arguments.json:
        print(_json(model.card.to_json()))
    else:
        print(f"regions             {len(model.regions)}")
        print("\n".join(_lines(model.card.to_json())))
    return exitcodes.OK


def _region(model: Any, name: str) -> dict[str, Any]:
    from dataclasses import asdict

    from bids_app.errors import UsageError
    from bids_app.regions import canonical

    for region in getattr(model, "region_models", ()):
        if region.name == canonical(name):
            return asdict(region)
    raise UsageError(
        f"{model.card.name} has no readable parameters of a region {name!r}",
        f"its regions are {', '.join(model.regions[:3])} ...",
    )


def _lines(card: Mapping[str, Any]) -> list[str]:
    out = []
    for name, value in card.items():
        if isinstance(value, Mapping):
            value = [f"{key}: {_short(item)}" for key, item in value.items()]
        if isinstance(value, list):
            texts = [_short(item) for item in value] or ["none"]
            out += [f"{name if i == 0 else '':<18}  {text}" for i, text in enumerate(texts)]
        else:
            out.append(f"{name:<18}  {value}")
    return out


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    if isinstance(value, list):
        numbers = all(isinstance(item, int | float) for item in value)
        return (" to " if numbers else ", ").join(_short(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _json(content: Any) -> str:
    import json

    return json.dumps(content, indent=2, ensure_ascii=False)
