"""Models from and to others: import published ones, export ours, compare two on the same people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_app.errors import UsageError
from bids_app.normative.base import NormativeModel
from bids_app.normative.compare import full_comparison, write_comparison
from bids_app.normative.export import export
from bids_app.normative.plausible import too_young
from bids_app.normative.registry import load_model, save_model
from bids_app.regions import add_asymmetry
from bids_app.reports.pages.comparison import write_comparison_report
from bids_app.workbench.score import Say
from bids_app.workbench.table_findings import finding_lines
from bids_app.workbench.table_input import TableChoice

CENTILE_OPTIONS = ("etiv", "ages", "centiles")


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """What ``normvol-model import`` was asked to do.

    Parameters
    ----------
    format : str
    path : Path
        Folder with the files as published.
    output : Path
        The model file.
    rmse, offsets, sites : Path or None
        What the formats Brain Reference, CentileBrain and Braincharts need beside the files.
    assume : mapping
        What NOMIS takes to be the same for all scans.
    fs_level : str
        BrainChart's level of FreeSurfer version for all scans; empty: by each scan's version.
    """

    format: str
    path: Path
    output: Path
    rmse: Path | None = None
    offsets: Path | None = None
    sites: Path | None = None
    assume: Mapping[str, str] = field(default_factory=dict)
    fs_level: str = ""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What ``normvol-model export`` was asked to do; `etiv` in mm^3, `ages` in years, `centiles` in percent."""

    model: str
    kind: str
    output: Path
    etiv: float | None = None
    ages: tuple[float, ...] = ()
    centiles: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CompareConfig(TableChoice):
    """What ``normvol-model compare`` was asked to do: two models, a table, a folder."""

    model_a: str
    model_b: str
    output: Path


def import_model(config: ImportConfig, say: Say) -> None:
    """Import, save, and say whose model it is.

    Raises
    ------
    InputError, UsageError
        When the files or what belongs to them cannot be used.
    """
    model = _imported(config)
    path = save_model(model, config.output)
    say(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB): {len(model.regions)} regions")
    for citation in model.card.citations:
        say(f"please cite {citation}")
    say(f"licence of the model: {model.card.licence}")
    for sentence in (*model.card.z_notes, *model.card.limitations):
        say(sentence)


def _imported(config: ImportConfig) -> NormativeModel:
    if config.format.startswith("brain-reference"):
        from bids_app.normative.importers.brain_reference import import_brain_reference

        return import_brain_reference(config.path, config.rmse, asymmetry=config.format.endswith("asymmetry"))
    if config.format == "brainchart":
        from bids_app.normative.importers.brainchart import import_brainchart

        return import_brainchart(config.path, config.fs_level)
    if config.format == "centilebrain":
        from bids_app.normative.importers.centilebrain import import_centilebrain

        return import_centilebrain(config.path, config.offsets)
    if config.format == "braincharts":
        from bids_app.normative.importers.braincharts import SITES_SOURCE, import_braincharts

        if config.sites is None:
            raise UsageError(f"braincharts needs --sites FILE, the sites in the order of the design: {SITES_SOURCE}")
        return import_braincharts(config.path, config.sites)
    from bids_app.normative.importers.nomis import import_nomis

    return import_nomis(config.path, dict(config.assume))


def export_model(config: ExportConfig, say: Say) -> None:
    """Write a model in a form that others can use without this software."""
    options: dict[str, Any] = {name: value for name in CENTILE_OPTIONS if (value := getattr(config, name))}
    if options and config.kind != "centiles":
        raise UsageError(f"--{', --'.join(options)} belong to the kind centiles")
    model = load_model(config.model)
    path = export(model, config.output, config.kind, **options)
    card, size = model.card, path.stat().st_size / 1000
    regions = f"{len(model.regions)} regions of {card.name} {card.version}"
    say(f"wrote {path} ({size:.0f} kB), {regions}, licence {card.licence}")


def compare_models(config: CompareConfig, say: Say) -> None:
    """Score the same people with two models, write how far they agree, and summarise in three lines."""
    model_a, model_b = load_model(config.model_a), load_model(config.model_b)
    people, findings = config.read(say, (model_a, model_b))
    for line in finding_lines(findings, "normvol-model score TABLE --findings FILE.tsv writes them"):
        say(line)
    data = add_asymmetry(people.data)
    for card in (model_a.card, model_b.card):
        data = data.assign(age=data["age"].mask(too_young(data["age"], data["sex"], card.age_range)))
    found = full_comparison(model_a, model_b, data)
    write_comparison(found, model_a.card, model_b.card, config.output)
    page = write_comparison_report(config.output)
    table = found.regions
    say(
        f"{len(table)} regions in common; median correlation {table['correlation'].median():.3f}, "
        f"median |bias| {table['bias'].abs().median():.3f}, median kappa of z <= -1.96 "
        f"{table['infra_kappa'].median():.2f}"
    )
    if found.only_a or found.only_b:
        say(f"{len(found.only_a)} regions only in A, {len(found.only_b)} only in B")
    say(f"wrote {page}")
