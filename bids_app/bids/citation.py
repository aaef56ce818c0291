"""CITATION.md: the methods paragraph of a run, each clause from what was run, and one list of references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template
from typing import Any

from bids_app import __version__
from bids_app.regions import (
    AREA,
    ASYMMETRY_PREFIX,
    DIFFERENCE_PREFIX,
    MEASURES,
    THICKNESS,
    VOLUME,
    counted_regions,
    measure_of,
    summed_pairs,
)
from bids_app.tables import read_json

# Words in the text to the reference that they need.
_CITED = {
    "Gorgolewski et al. 2017": "bids-apps",
    "Desikan et al. 2006": "aparc",
    "Fischl et al. 2002": "aseg",
    "Korbmacher et al. 2025": "study",
    "Fischl 2012": "freesurfer",
    "Henschel et al. 2020": "fastsurfer",
    "Royston & Altman 1994": "royston1994",
    "Sauerbrei & Royston 1999": "sauerbrei1999",
    "Jones & Pewsey 2009": "sinh-arcsinh",
    "ComBat": "combat",
}
_PROGRAMS = {"freesurfer": "FreeSurfer's recon-all (Fischl 2012)", "fastsurfer": "FastSurfer (Henschel et al. 2020)"}
_MEASURES = {VOLUME: "brain volumes", THICKNESS: "values of cortical thickness", AREA: "surface areas"}
_SCORING = {
    "own-sex": "z is the deviation in standard normal units from the model of the person's own sex.",
    "reference-compat": "z reproduces the published scripts of the source study, which divide by the residual "
    "spread of men in both sexes: z of women is too small by about 12 %.",
}


@dataclass(frozen=True)
class MethodsFacts:
    """What was run.

    Parameters
    ----------
    model : str
        Name of the model.
    card : mapping
        The model card as plain values (``ModelCard.to_json``); empty where only the name is known.
    structure : str
        What the model is made of (``normative.structure``).
    regions : tuple of str
        The model's regions.
    scoring : {'own-sex', 'reference-compat'}
    table : bool
        Volumes came from a plain table and not from a BIDS dataset.
    programs : mapping
        (flavour, version or '') to the number of scans; empty where it is not known yet.
    controls : mapping
        Scanner to the number of controls that its shift was estimated from; empty without adaptation.
    statistics : tuple of str
        Methods of the analyses that were computed.
    pial : mapping
        ``T2w`` or ``FLAIR`` to the number of scans whose pial surface was refined with one.
    """

    model: str
    card: Mapping[str, Any] = field(default_factory=dict)
    structure: str = ""
    regions: tuple[str, ...] = ()
    scoring: str = "own-sex"
    table: bool = False
    programs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    controls: Mapping[str, int] = field(default_factory=dict)
    statistics: tuple[str, ...] = ()
    pial: Mapping[str, int] = field(default_factory=dict)


def template(name: str) -> Template:
    """A packaged text with ``${placeholders}``."""
    return Template((files("bids_app.data") / name).read_text(encoding="utf-8"))


def methods_text(facts: MethodsFacts) -> str:
    """The content of CITATION.md."""
    body = template("boilerplate_methods.md").substitute(
        version=__version__,
        measures=_measures(facts.regions),
        volumes=_volumes(facts),
        regions=_regions(facts.regions),
        adaptation=_adaptation_sentence(facts.controls) if facts.controls else "",
        model=_model_sentence(facts.card, facts.model),
        engine=facts.structure or f"Engine of the model: {facts.card.get('engine', 'see the model card')}.",
        scoring=_SCORING.get(facts.scoring, f"Scoring mode: {facts.scoring}."),
        statistics="".join(f"\n{text}" for text in dict.fromkeys(facts.statistics)),
        references="${references}",
    )
    text = Template(body).safe_substitute(references="\n".join(f"* {text}" for text in _references(facts, body)))
    return without_html(text)


def of_one_person(text: str | None) -> str | None:
    """The content of CITATION.md (None: there is none) without the statistics of the group."""
    before, after = template("boilerplate_methods.md").template.split("${statistics}")
    last, following = before.rpartition("\n")[2], after.lstrip("\n").partition("\n")[0]
    start, statistics, end = (text or "").partition(f"{last}\n")
    return text and start + statistics + end[max(end.find(following), 0) :]


def without_html(text: str) -> str:
    """Markdown in which no word of a model card or of data can be a tag."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def _references(facts: MethodsFacts, text: str) -> list[str]:
    """Every reference once, told apart by its DOI: those of the text, then those of the model."""
    known = read_json(str(files("bids_app.data") / "references.json"))
    keys = [key for words, key in _CITED.items() if words in text]
    found: dict[str, str] = {}
    for reference in (*(known[key] for key in keys), *facts.card.get("citations", ())):
        dois = re.findall(r"10\.\d{4,9}/[^\s,;()]+(?:\([^\s)]*\)[^\s,;)]*)?", reference) or [reference]
        if not any(doi.rstrip(".") in found for doi in dois):
            found |= dict.fromkeys((doi.rstrip(".") for doi in dois), reference)
    return list(dict.fromkeys(found.values()))


def _volumes(facts: MethodsFacts) -> str:
    if facts.table:
        what = _measures(facts.regions, "intracranial volume").removeprefix("brain ")
        return f"Regional {what}, as of FreeSurfer (Fischl 2012), were read from a table{_versions(facts.programs)}."
    if not facts.programs:
        return (
            "T1-weighted images were segmented by FreeSurfer's recon-all (Fischl 2012); program and version of every "
            "scan are recorded with its results."
        )
    parts = []
    for flavour, words in _PROGRAMS.items():
        own = {key: count for key, count in facts.programs.items() if key[0] == flavour}
        if own:
            parts.append(f"{words}{_versions(own)}")
    return f"T1-weighted images were segmented by {' and by '.join(parts)}.{_refined(facts)}"


def _refined(facts: MethodsFacts) -> str:
    """Of how many scans T2w or FLAIR refined the pial surface; longitudinal time points do not get that step."""
    total = sum(facts.programs.values())
    return "".join(
        f" In {count} of {total} scan{'s' if total > 1 else ''} the pial surface was refined with the {image} image."
        for image, count in sorted(facts.pial.items())
    )


def _versions(programs: Mapping[tuple[str, str], int]) -> str:
    """``, version 7.4.1 (12 scans)``; nothing where no version is recorded."""
    known = {version: count for (_, version), count in sorted(programs.items()) if version}
    if not known:
        return ""
    counted = [f"{version} ({count} scan{'s' if count > 1 else ''})" for version, count in known.items()]
    return f", version{'s' if len(known) > 1 else ''} {', '.join(counted)}"


def _measures(regions: Iterable[str], covariate: str = "") -> str:
    """What a model is of, and the `covariate` of all but thickness; volumes where it is not known."""
    names = set(regions) or {""}
    found = [words for measure, words in _MEASURES.items() if any(measure_of(name) == measure for name in names)]
    return _series([*found, *[covariate] * bool(covariate and found != [_MEASURES[THICKNESS]])])


def _series(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _regions(regions: Iterable[str]) -> str:
    """How many measures of which kind were scored."""
    names = set(regions)
    if not names:
        return "Regional volumes (Desikan et al. 2006; Fischl et al. 2002) were scored."
    counted = {measure: names & set(counted_regions(measure)) for measure in MEASURES}
    surfaces = {measure: {name for name in names if measure_of(name) == measure} for measure in (THICKNESS, AREA)}
    apart = {
        "left-right asymmetries": {n for n in names if n.startswith((ASYMMETRY_PREFIX, DIFFERENCE_PREFIX))},
        "volumes of left and right together (Fischl et al. 2002)": names & set(summed_pairs()),
    }
    others = names.difference(counted[VOLUME], *surfaces.values(), *apart.values())
    parts = _of_volumes(counted[VOLUME])
    parts += [
        f"the {word} of {len(counted[measure])} Desikan-Killiany regions (Desikan et al. 2006)"
        + (f" and of {len(own) - len(counted[measure])} hemispheres" if own - counted[measure] else "")
        for measure, word in ((THICKNESS, "values of mean thickness"), (AREA, "areas of the white surface"))
        if (own := surfaces[measure])
    ]
    shown = [f"{len(own)} {word}" for word, own in {"further volumes": others, **apart}.items() if own]
    clauses = [f"{_series(parts)} were scored"] if parts else []
    clauses += [f"{_series(shown)} were scored{' apart' if parts else ''}"] if shown else []
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def _of_volumes(names: Set[str]) -> list[str]:
    """The volumes of the reference set."""
    cortical = sum(name.startswith(("lh_", "rh_")) for name in names)
    others = len(names) - cortical
    clauses = {
        f"grey-matter volumes of {cortical} Desikan-Killiany regions (Desikan et al. 2006)": cortical,
        f"the volumes of {others} subcortical and cerebellar structures (Fischl et al. 2002)": others,
    }
    return [words for words, number in clauses.items() if number]


def _adaptation_sentence(controls: Mapping[str, int]) -> str:
    people = sum(controls.values())
    where = "the scanner" if len(controls) == 1 else f"each of {len(controls)} scanners"
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
        parts.append(f"aged {low:.3g} to {high:.3g} years")
    if card.get("sites"):
        parts.append(f"from {card['sites']} sites")
    harmonisation = card.get("harmonisation") or "none"
    site = "" if harmonisation == "none" else f" Sites were harmonised: {harmonisation}."
    version = f" {card['version']}" if card.get("version") else ""
    described = f", {', '.join(parts)}" if parts else ""
    return f"The reference is the normative model {card.get('name', model)}{version}{described}.{site}"


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
        if key != "ages" and value not in ("", (), [], {}, None)
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
