"""CITATION.md: the methods paragraph of a run, from the model card and fixed texts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

from bids_app import __version__
from bids_app.tables import read_json

_GENERAL = ("bids-apps", "freesurfer", "aparc", "aseg", "study")
_POLYNOMIALS = ("royston1994", "sauerbrei1999")
_ENGINES = {
    "reference": "Per sex and region, the median is a linear function of eTIV and a fractional polynomial of age "
    "(Royston & Altman 1994; Sauerbrei & Royston 1999); residuals are taken as Gaussian with constant "
    "spread.",
    "calibrated": "Per sex and region, the median is a linear function of eTIV and a fractional polynomial of age "
    "(Royston & Altman 1994; Sauerbrei & Royston 1999), the spread depends on age, and the "
    "shape of the residuals is a sinh-arcsinh distribution (Jones & Pewsey 2009).",
}
_VOLUMES = {
    "bids": "T1-weighted images were segmented by FreeSurfer's recon-all (Fischl 2012); the FreeSurfer version of "
    "every scan is recorded with\nits results.",
    "table": "Regional volumes and intracranial volume, as FreeSurfer (Fischl 2012) measures them, were read from a "
    "table.",
}
_SCORING = {
    "own-sex": "z is the deviation in standard normal units from the model of the person's own sex.",
    "reference-compat": "z reproduces the published scripts of the source study, which divide by the residual "
    "spread of men in both sexes: z of women is too small by about 12 %.",
}


def template(name: str) -> Template:
    """A packaged text with ``${placeholders}``."""
    return Template((files("bids_app.data") / name).read_text(encoding="utf-8"))


def methods_text(
    card: Mapping[str, Any] | None,
    model: str,
    scoring: str,
    *,
    table: bool = False,
    adaptation: Mapping[str, Any] | None = None,
) -> str:
    """The content of CITATION.md.

    Parameters
    ----------
    card : mapping, optional
        The model card as plain values (``ModelCard.to_json``); without it only the model's name is given.
    model : str
        Name of the model.
    scoring : {'own-sex', 'reference-compat'}
    table : bool
        Volumes came from a plain table and not from a BIDS dataset.
    adaptation : mapping, optional
        ``SiteAdaptation.to_dict()``, for a sentence on it.
    """
    card = card or {}
    mode = str(card.get("mode", "")) if card.get("engine", "normvol") == "normvol" else ""
    keys = [*_GENERAL, *(_POLYNOMIALS if mode in _ENGINES else ())]
    keys += ["sinh-arcsinh"] if mode == "calibrated" else []
    keys += ["combat"] if "ComBat" in str(card.get("harmonisation", "")) else []
    known = read_json(str(files("bids_app.data") / "references.json"))
    references = [*(known[key] for key in keys), *card.get("citations", ())]
    return template("boilerplate_methods.md").substitute(
        version=__version__,
        volumes=_VOLUMES["table" if table else "bids"],
        adaptation=_adaptation_sentence(adaptation) if adaptation else "",
        extended=", and further regions and left-right asymmetries were scored apart",
        model=_model_sentence(card, model),
        engine=_ENGINES.get(mode) or f"Engine of the model: {card.get('engine', 'see the model card')}.",
        scoring=_SCORING.get(scoring, f"Scoring mode: {scoring}."),
        references="\n".join(f"* {reference}" for reference in references),
    )


def _adaptation_sentence(adaptation: Mapping[str, Any]) -> str:
    levels = adaptation["levels"]
    people = sum(len(level["people"]) for level in levels.values())
    where = "the scanner" if len(levels) == 1 else f"each of {len(levels)} scanners"
    return (
        f"\nThe shift of {where} against the reference was estimated from {people} local healthy people (empirical "
        "Bayes) and removed; each of them was scored with themself left out."
    )


def _model_sentence(card: Mapping[str, Any], model: str) -> str:
    if not card:
        return f"The reference is the normative model {model}."
    numbers = card.get("n") or {}
    total = sum(int(n) for n in numbers.values())
    parts = []
    if total:
        parts.append(f"trained on {total:,} scans of healthy people ({_share(numbers, total)})")
    ranges = list((card.get("age_range") or {}).values())
    if ranges:
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        parts.append(f"aged {low:g} to {high:g} years")
    if card.get("sites"):
        parts.append(f"from {card['sites']} sites")
    harmonisation = card.get("harmonisation") or "none"
    site = "" if harmonisation == "none" else f" Sites were harmonised: {harmonisation}."
    version = f" {card['version']}" if card.get("version") else ""
    return f"The reference is the normative model {card.get('name', model)}{version}, {', '.join(parts)}.{site}"


def _share(numbers: Mapping[str, int], total: int) -> str:
    return f"{100 * int(numbers.get('female', 0)) / total:.1f} % female"


def model_titles(card: Mapping[str, Any]) -> dict[str, Any]:
    """The model card as a flat mapping of titles to text, numbers or lists, for ``model_<name>.json``."""
    names = {
        "licence": "Licence",
        "fs_versions": "FreeSurfer versions",
        "n": "People by sex",
        "age_range": "Age range by sex (years)",
        "etiv_range": "eTIV range by sex (mm^3)",
        "age_bands": "People by sex and age",
        "z_notes": "Notes on z",
        "not_for": "Not for",
    }
    return {
        names.get(key, key.replace("_", " ").capitalize()): _flat(key, value)
        for key, value in card.items()
        if value not in ("", (), [], {}, None)
    }


def _flat(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return [f"{name}: {_words(key, item)}" for name, item in value.items()]
    if isinstance(value, list | tuple):
        return [
            ", ".join(f"{name} {part}" for name, part in item.items()) if isinstance(item, Mapping) else item
            for item in value
        ]
    return value


def _words(key: str, item: Any) -> str:
    if isinstance(item, Mapping):
        return ", ".join(f"{name} {count}" for name, count in item.items())
    if key.endswith("_range"):
        return f"{item[0]:,.10g} to {item[1]:,.10g}"
    return f"{item:,}" if isinstance(item, int) else str(item)
