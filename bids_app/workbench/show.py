"""A model's card and the parameters of its regions, in words for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bids_app.errors import UsageError, did_you_mean
from bids_app.normative.base import NormativeModel
from bids_app.regions import canonical


def region_parameters(model: NormativeModel, name: str) -> dict[str, Any]:
    """The parameters of a region.

    Raises
    ------
    UsageError
        When the model has no such region, or parameters that cannot be read.
    """
    region = model.parameters_of(canonical(name))
    if region is not None:
        return asdict(region)
    raise UsageError(
        f"{model.card.name} has no readable parameters of a region {name!r}",
        f"its engine ({model.card.engine}) keeps them in another form; normvol-model export centiles draws its curves"
        if canonical(name) in model.regions
        else did_you_mean(name, model.regions) or f"its regions are {', '.join(model.regions[:3])} ...",
    )


def card_lines(card: Mapping[str, Any]) -> list[str]:
    """A card as lines of key and value."""
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
