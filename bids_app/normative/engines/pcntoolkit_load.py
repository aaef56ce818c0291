"""Load models of PCNtoolkit 1.x: folders that PCNtoolkit saved, with our card beside them or without.

Our folder is PCNtoolkit's, plus ``card.json`` with the model card and the meaning of its columns::

    {"format": "normvol-pcntoolkit", "card": {...},
     "columns": {"decades": "age", "eTIV": "EstimatedTotalIntraCranialVol", "sex": "sex", "site": "site"},
     "scale": {"decades": 10},
     "levels": {"sex": {"F": "female", "M": "male"}}}

`columns` maps the model's covariates and batch effects to our columns where their names differ, `scale` says what our
value is divided by, `levels` which label of sex is which, and `site_versions` (optional) gives the FreeSurfer major
version of sites: a scan of an unknown site is then scored at known sites of its own version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_app.bounded import loads
from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import NO_DATE
from bids_app.normative.engines.pcntoolkit import NO_BATCH_EFFECT, PCNtoolkitModel
from bids_app.normative.engines.pcntoolkit_runtime import pcntoolkit, quiet
from bids_app.normative.limits import read_limited
from bids_app.regions import ETIV
from bids_app.tables import read_json

CARD_FILE = "card.json"
FORMAT = "normvol-pcntoolkit"
MODEL_TYPES = ("BLR", "HBR")
_NAMES = {
    "type": re.compile(r"BLR|HBR|[A-Za-z]*Prior"),
    "warp_name": re.compile(r"Warp[A-Za-z]+|WarpCompose\((Warp[A-Za-z]+,?)+\)"),
}
MAX_JSON_BYTES = 64 * 1024**2
MAX_DRAWS_BYTES = 1024**3
COLUMN_NAMES = {
    "age": "age",
    "etiv": ETIV,
    "icv": ETIV,
    ETIV.lower(): ETIV,
    "sex": "sex",
    "gender": "sex",
    "site": "site",
    "site_id": "site",
    "scanner": "site",
    "fs_version": "fs_version",
}
SEX_LEVELS = {"female": "female", "f": "female", "woman": "female", "male": "male", "m": "male", "man": "male"}
CITATION = (
    "Rutherford S, et al. The normative modeling framework for computational psychiatry. Nat Protoc "
    "2022;17:1711-34. doi:10.1038/s41596-022-00696-5; de Boer AAA, et al. Imaging Neurosci 2024;2. "
    "doi:10.1162/imag_a_00132"
)


def load_pcntoolkit_model(path: Path | str, unknown_sites: str = "average") -> PCNtoolkitModel:
    """Load a folder that PCNtoolkit saved (``model/normative_model.json`` below it).

    Parameters
    ----------
    path : path-like
    unknown_sites : str
        ``average`` or ``refuse``, see `PCNtoolkitModel`.

    Raises
    ------
    ModelError
        When the folder is not such a model, is damaged or too large, or has columns that are not understood.
    """
    folder = Path(path)
    described = _description(folder)
    digest = _check_files(folder)
    package = pcntoolkit()
    try:
        with quiet():
            toolkit = package.NormativeModel.load(str(folder))
    except Exception as error:
        raise ModelError(
            f"PCNtoolkit cannot load {folder} ({type(error).__name__}: {error})",
            "save the model again with PCNtoolkit 1.x",
        ) from error
    if not toolkit.is_fitted or not toolkit.response_vars:
        raise ModelError(f"{folder} holds a PCNtoolkit model that is not fitted")
    columns = _columns(toolkit, described.get("columns", {}), folder)
    levels = _sex_levels(toolkit, columns, described.get("levels", {}), folder)
    card = described.get("card")
    model = PCNtoolkitModel(
        _default_card(toolkit, folder) if card is None else ModelCard.from_json(card),
        toolkit,
        columns,
        levels,
        _scale(described, folder),
        unknown_sites,
        digest,
        site_versions=described.get("site_versions", {}),
    )
    return replace(model, card=replace(model.card, engine="pcntoolkit", sites=model.card.sites or len(model.sites)))


def _description(folder: Path) -> dict[str, Any]:
    path = folder / CARD_FILE
    if not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f'{path} is not the card of a PCNtoolkit model ("format": "{FORMAT}")')
    return content


def _check_files(folder: Path) -> str:
    """Check sizes and model types before PCNtoolkit reads the files; returns a digest over them."""
    import hashlib

    digest = hashlib.sha256()
    root = folder / "model" / "normative_model.json"
    if not root.is_file():
        raise ModelError(
            f"{folder} is neither a normvol model nor a folder saved by PCNtoolkit (it has no model/{root.name})"
        )
    models = sorted(folder.glob("model/*/regression_model.json"))
    for path in [root, *models]:
        content = read_limited(path, MAX_JSON_BYTES)
        digest.update(content)
        try:
            document = loads(content)
            _check_names(document, path)
            kind = "BLR" if path == root else document["model"]["type"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"{path} is damaged ({error})", "save the model again with PCNtoolkit 1.x") from error
        if kind not in MODEL_TYPES:
            raise ModelError(
                f"{path} holds a model of type {kind!r}", f"only {' and '.join(MODEL_TYPES)} are supported"
            )
        draws = path.parent / "idata.nc"
        if draws.is_file() and draws.stat().st_size > MAX_DRAWS_BYTES:
            raise ModelError(f"{draws} is larger than {MAX_DRAWS_BYTES // 1024**2} MB", "it is not read")
    return digest.hexdigest()


def _check_names(content: Any, path: Path) -> None:
    """Refuse names that are not those of its classes: PCNtoolkit evaluates the name of a warp, and looks others up."""
    if isinstance(content, dict):
        for key, value in content.items():
            names = _NAMES.get(str(key))
            if names is not None and isinstance(value, str) and names.fullmatch(value.replace(" ", "")) is None:
                raise ModelError(f"{path} has the {key} {value[:80]!r}, which is none of PCNtoolkit", "do not use it")
    for item in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        _check_names(item, path)


def _columns(toolkit: Any, given: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Names in the data for the model's covariates and batch effects."""
    needed = [*(toolkit.covariates or []), *(n for n in toolkit.batch_effects_maps or {} if n != NO_BATCH_EFFECT)]
    columns = {name: given.get(name) or COLUMN_NAMES.get(str(name).lower()) for name in needed}
    unknown = [name for name, column in columns.items() if column is None]
    if unknown:
        raise ModelError(
            f"{folder} needs {', '.join(unknown)}, which is not understood",
            f'say in {folder / CARD_FILE} which columns these are ("columns")',
        )
    if "sex" in (columns[name] for name in toolkit.covariates) and "sex" not in given.values():
        raise ModelError(
            f"{folder} has sex as a number",
            f'say in {folder / CARD_FILE} which number is which ("columns" and "levels")',
        )
    return {name: str(column) for name, column in columns.items()}


def _scale(described: Mapping[str, Any], folder: Path) -> dict[str, float]:
    scale = described.get("scale", {})
    if not isinstance(scale, dict) or not all(isinstance(v, int | float) and v > 0 for v in scale.values()):
        raise ModelError(f'{folder / CARD_FILE}: "scale" must map covariates to positive numbers')
    return {name: float(value) for name, value in scale.items()}


def _sex_levels(toolkit: Any, columns: Mapping[str, str], given: Mapping[str, Any], folder: Path) -> dict[Any, str]:
    stated = dict(given.get("sex", {}))
    name = next((name for name, column in columns.items() if column == "sex"), None)
    if name is None or name in toolkit.covariates:
        return {float(label): sex for label, sex in stated.items()}
    levels = {
        str(label): stated.get(str(label)) or SEX_LEVELS.get(str(label).lower())
        for label in toolkit.batch_effects_maps[name]
    }
    if not all(sex in ("female", "male") for sex in levels.values()) or len(set(levels.values())) < len(levels):
        raise ModelError(
            f"{folder} codes {name} as {', '.join(levels)}",
            f'say in {folder / CARD_FILE} which is female and which is male ("levels")',
        )
    return {label: str(sex) for label, sex in levels.items()}


def _default_card(toolkit: Any, folder: Path) -> ModelCard:
    effects = [name for name in toolkit.batch_effects_maps or {} if name != NO_BATCH_EFFECT]
    described = describe(toolkit)
    return ModelCard(
        name=str(toolkit.name or folder.name),
        version="unknown",
        title=f"PCNtoolkit model {toolkit.name or folder.name}",
        summary=f"{described} A folder saved by PCNtoolkit without a card of this software.",
        licence="not stated",
        date=NO_DATE,
        engine="pcntoolkit",
        mode="calibrated",
        covariates=", ".join([*toolkit.covariates, *(f"{name} (batch effect)" for name in effects)]),
        transform=f"PCNtoolkit's: response transform {toolkit.y_transform or 'none'}, scaler {toolkit.outscaler}",
        harmonisation="batch effects " + ", ".join(effects) if effects else "none",
        limitations=("No card came with this model: who it was trained on is not known.",),
        citations=(CITATION,),
    )


def describe(toolkit: Any) -> str:
    """One sentence on the kind of regression."""
    template = toolkit.template_regression_model
    if type(template).__name__ == "HBR":
        return f"Hierarchical Bayesian regression ({type(template.likelihood).__name__}), PCNtoolkit."
    parts = [
        type(template.basis_function_mean).__name__.removesuffix("BasisFunction") + " basis",
        "heteroscedastic" if template.heteroskedastic else "constant variance",
    ]
    if template.warp_name:
        parts.append(f"warp {template.warp_name}")
    return f"Bayesian linear regression ({', '.join(parts)}), PCNtoolkit."
