"""The output dataset as a whole: is the folder fit for it, and the files that make it a BIDS derivative."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_app import __version__
from bids_app.bids.citation import MethodsFacts, methods_text, model_titles, template, without_html
from bids_app.bids.derivatives import SCHEMA
from bids_app.bids.names import output_path, relative_place
from bids_app.errors import InputError, UsageError
from bids_app.tables import atomic_write, read_json, write_json

SOFTWARE = "normvol"
BIDS_VERSION = "1.10.0"
# what the BIDS schema does not know
IGNORED = (
    "*.html",
    "CITATION.md",
    "adaptation.json",
    "analysis.toml",
    "assets",
    "change_model.json",
    "model_*.json",
    "group",
    "group_*",
    "figures",
    "log",
    "logs",
    "*_morph.tsv",
    "*_morph.json",
)


def check_output_dir(bids_dir: Path | str, output_dir: Path | str, *, reports_only: bool = False) -> tuple[str, ...]:
    """Refuse an output folder that would harm other data; return sentences of warning.

    Raises
    ------
    UsageError
        When it is the BIDS folder, another dataset, a FreeSurfer subjects folder, a file, or cannot be
        written; with `reports_only` when it does not exist.
    """
    bids, output = Path(bids_dir).resolve(), Path(output_dir).resolve()
    if output == bids:
        raise UsageError(
            f"the output folder is the BIDS folder {bids}", f"use for example {bids}/derivatives/{SOFTWARE}"
        )
    if output.exists() and not output.is_dir():
        raise UsageError(f"the output folder {output} is a file", "name a folder")
    if reports_only and not output.is_dir():
        raise UsageError(
            f"the output folder {output} does not exist, so there is nothing to report on", "check the path"
        )
    _check_writable(output)
    if not _is_ours(output):
        _check_free(output)
    if output.is_relative_to(bids) and output.relative_to(bids).parts[0] != "derivatives":
        return (f"the output folder {output} lies inside the BIDS dataset but not in its derivatives/ folder",)
    return ()


def check_result_folder(output_dir: Path | str) -> None:
    """Refuse a folder that is not fit for results of plain tables.

    Raises
    ------
    UsageError
        When it is a file, a BIDS dataset or a FreeSurfer subjects folder, or cannot be written.
    """
    output = Path(output_dir).resolve()
    if output.exists() and not output.is_dir():
        raise UsageError(f"the output folder {output} is a file", "name a folder")
    if (output / "dataset_description.json").exists():
        raise UsageError(
            f"the output folder {output} is a BIDS dataset", "results of a plain table go to a folder of their own"
        )
    _check_writable(output)
    _check_free(output)


def _check_writable(output: Path) -> None:
    existing = next(folder for folder in (output, *output.parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(
            f"the output folder {output} cannot be written ({existing} is read-only for this user)",
            "name another folder",
        )


def _is_ours(output: Path) -> bool:
    """Whether the folder is normvol's; another dataset is refused."""
    path = output / "dataset_description.json"
    if not path.exists():
        return False
    content = read_json(path)
    makers = content.get("GeneratedBy") or [] if isinstance(content, dict) else []
    names = [maker.get("Name") for maker in makers if isinstance(maker, Mapping)]
    if SOFTWARE not in names:
        what = f"made by {names[0]}" if names else "raw data or of unknown origin"
        raise UsageError(f"the output folder {output} already holds another dataset ({what})", "name another folder")
    return True


def _check_free(output: Path) -> None:
    subject = next(output.glob("*/stats/aseg.stats"), None) or next(output.glob("*/scripts/recon-all.log"), None)
    if subject is not None or (output / "fsaverage").exists():
        raise UsageError(
            f"the output folder {output} holds FreeSurfer subjects, which are never written to",
            "give it with --fs-subjects-dir and name another output folder",
        )


def write_dataset_files(
    output_dir: Path | str,
    *,
    bids_dir: Path | str,
    model: str,
    scoring: str = "own-sex",
    subject_directories: Sequence[Path] = (),
    model_card: Mapping[str, Any] | None = None,
    structure: str = "",
    regions: tuple[str, ...] = (),
) -> None:
    """Write dataset_description.json, .bidsignore, README, CITATION.md and, with a card, ``model_<name>.json``.

    Same arguments, same bytes; several jobs may write at once.

    Parameters
    ----------
    bids_dir : path-like
    model : str
        Name (or path) of the normative model.
    scoring : str
        Scoring mode.
    subject_directories : sequence of Path
        Folders of FreeSurfer subjects that are read.
    model_card : mapping, optional
        ``ModelCard.to_json()`` of the model.
    structure, regions : str, tuple of str
        What the model is made of, and its regions, for CITATION.md.
    """
    output, bids = Path(output_dir), Path(bids_dir)
    name = str(model_card["name"]) if model_card else Path(model).stem
    label = f"{name} {model_card['version']}" if model_card and model_card.get("version") else name
    card_file = output_path(output, f"model_{name}.json")
    sources = [folder for folder in subject_directories if not folder.is_relative_to(output)]
    write_json(_description(output, bids, label, sources), output_path(output, "dataset_description.json"))
    atomic_write(output_path(output, ".bidsignore"), "\n".join(IGNORED) + "\n")
    atomic_write(
        output_path(output, "README.md"),
        template("boilerplate_readme.md").substitute(version=__version__, model=without_html(label)),
    )
    facts = MethodsFacts(name, model_card or {}, structure, regions, scoring)
    atomic_write(output_path(output, "CITATION.md"), methods_text(facts))
    if model_card:
        write_json(model_titles(model_card), card_file)


def _description(output: Path, bids: Path, model: str, sources: Sequence[Path]) -> dict[str, Any]:
    raw = _raw_description(bids)
    return {
        "Name": f"normvol: regional volumes against a healthy reference ({raw.get('Name', bids.name)})",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": SOFTWARE, "Version": __version__, "Description": f"normative model {model}"}],
        "SourceDatasets": [_source(output, bids, raw), *(_source(output, folder, {}) for folder in sources)],
        "HowToAcknowledge": "See CITATION.md",
        "OutputSchema": SCHEMA,
    }


def _raw_description(bids: Path) -> Mapping[str, Any]:
    try:
        content = read_json(bids / "dataset_description.json")
    except InputError:
        return {}
    return content if isinstance(content, Mapping) else {}


def _source(output: Path, folder: Path, description: Mapping[str, Any]) -> dict[str, str]:
    """Where a source is: its DOI when it has one, and its place relative to the output, else its name alone."""
    found = {"URL": relative_place(folder, output) or folder.name}
    if description.get("DatasetDOI"):
        found["DOI"] = str(description["DatasetDOI"])
    return found
